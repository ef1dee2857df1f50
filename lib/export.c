/* export - a .apr file taken apart for another format: its tensors checked, named, and their rows in the
 * order of the target's RoPE */
#include "export.h"
#include "blocks.h"
#include "export_impl.h"
#include "import.h"
#include "quant.h"
#include "vocab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* llama.cpp turns neighbouring elements of a head in its llama architecture, Hugging Face element i with
 * element i + hd/2: row j*hd/2 + i of a head (j = 0, 1) goes to row 2i + j, as in permute() of
 * convert_hf_to_gguf.py; or back. */
void export_permute(const uint8_t *from, uint8_t *to, size_t rows, size_t bytes, int heads,
                    int pairs)
{
    size_t hd = rows / (size_t)heads, row = bytes / rows;
    for (size_t r = 0; r < rows; r++) {
        size_t in_head = r % hd, i = in_head % (hd / 2), j = in_head / (hd / 2);
        size_t other = r - in_head + 2 * i + j;
        memcpy(to + (pairs ? other : r) * row, from + (pairs ? r : other) * row, row);
    }
}

/* Norms that one side keeps as w and the other as 1 + w. */
static void shift(float *x, size_t n, float plus)
{
    for (size_t i = 0; i < n && plus != 0; i++)
        x[i] += plus;
}

int export_fill(void *arg, int i, void *buf, struct err *e)
{
    const struct exporter *x = arg;
    const struct export_out *how = &x->how[i];
    const int type = x->out[i].type;
    uint8_t *to = buf;
    for (int p = 0; p < how->n; p++) {
        const struct tensor *from = x->from[how->first + p];
        const size_t bytes = tensor_bytes(type, from->ndim, from->dim);
        const void *plain = from->data;
        void *room = NULL;
        int rc = 0;
        if (type != from->type) {
            if (how->heads && !(room = malloc(bytes)))
                return err_set(e, ERR_NOMEM, "out of memory");
            rc = quant_convert(from, type, room ? room : to, 0, e);
            plain = room ? room : to;
        }
        if (rc == 0 && how->heads)
            export_permute(plain, to, from->dim[0], bytes, how->heads, x->pairs);
        else if (rc == 0 && plain != to)
            memcpy(to, plain, bytes);
        free(room);
        if (rc < 0)
            return rc;
        if (how->plus != 0)
            shift((float *)(void *)to, tensor_count(from), how->plus);
        to += bytes;
    }
    return 0;
}

void export_type(struct exporter *x, int i, int type)
{
    struct tensor *t = &x->out[i];
    if (type != t->type) {
        t->type = type;
        t->bytes = tensor_bytes(type, t->ndim, t->dim);
        t->data = NULL;
    }
    if (x->how[i].heads || x->how[i].n > 1 || x->how[i].plus != 0)
        t->data = NULL;
}

int export_show(const struct exporter *x, const struct export_look *look, const char *path,
                int loses, struct err *e)
{
    struct view from;
    int rc = view_apr(&from, &x->a, e);
    if (rc == 0)
        rc = look->look(look->arg, &from, path, loses, e);
    view_apr_free(&from);
    return rc;
}

const char *export_text(const struct exporter *x, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(x->a.meta, key);
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static int by_address(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    return (x > y) - (x < y);
}

/* Tensors that the architecture does not have would be lost. */
static int check_extra(const struct exporter *x, struct err *e)
{
    const struct tensor **used = malloc(((size_t)x->n_from + 1) * sizeof *used);
    int rc = 0;
    if (!used)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(used, x->from, (size_t)x->n_from * sizeof *used);
    qsort(used, (size_t)x->n_from, sizeof *used, by_address);
    for (int i = 0; i < x->a.n_tensor && rc == 0; i++) {
        const struct tensor *t = &x->a.tensor[i];
        int spare = strcmp(t->name, APR_TOKENIZER) == 0 ||
                    /* the embedding once more */
                    (x->h.tied && strcmp(t->name, "lm_head.weight") == 0);
        if (!spare && !bsearch(&t, used, (size_t)x->n_from, sizeof *used, by_address))
            rc = err_set(e, ERR_DATA, "tensor %s: unknown to architecture %s", t->name, x->h.arch);
    }
    free(used);
    return rc;
}

int export_heads(const struct hparams *h, int pairs, const char *gguf)
{
    if (pairs == h->rope_pairs)
        return 0;
    return strstr(gguf, ".attn_q.") ? h->n_head : strstr(gguf, ".attn_k.") ? h->n_head_kv : 0;
}

/* The tensor that begins with w, of one source so far. */
static void begin_out(struct exporter *x, const struct import_want *w, int gguf)
{
    const struct import_part *p = &w->part;
    struct tensor *t = &x->out[x->n];
    struct export_out *how = &x->how[x->n++];
    *t = *x->from[x->n_from];
    memset(t->name, 0, sizeof t->name);
    snprintf(t->name, sizeof t->name, "%s", gguf ? w->gguf : w->hf);
    *how = (struct export_out){
        .first = x->n_from, .n = 1, .heads = export_heads(&x->h, x->pairs, w->gguf)};
    if (w->norm && hparams_has(&x->h, ARCH_ONE_PLUS) && x->h.norm_adds_one != !gguf)
        how->plus = gguf ? 1 : -1;
    if (how->plus != 0) /* sums are not bf16 numbers */
        export_type(x, x->n - 1, KN_F32);
    if (!(gguf ? p->gguf : p->hf))
        return;
    if (p->stacked)
        t->ndim = 3, t->dim[2] = w->dim[1], t->dim[1] = w->dim[0];
    t->dim[0] = p->whole;
    t->bytes = tensor_bytes(t->type, t->ndim, t->dim);
    t->data = NULL;
}

static int put_source(struct exporter *x, const struct import_want *w, int gguf, struct err *e)
{
    const int part = gguf ? w->part.gguf : w->part.hf;
    const struct tensor *t = apr_tensor(&x->a, w->name);
    if (import_check(w, w->name, t, "is no type of weights that can be exported", e) < 0)
        return e->code;
    x->from[x->n_from] = t;
    if (!part || w->part.first == 0) {
        begin_out(x, w, gguf);
        export_type(x, x->n - 1, x->out[x->n - 1].type);
    } else {
        struct export_out *how = &x->how[x->n - 1];
        const struct tensor *first = x->from[how->first];
        if (t->type != first->type)
            return err_set(
                e, ERR_DATA, "tensor %s: type %s, %s is %s: the format has both in one tensor",
                t->name, tensor_type_name(t->type), first->name, tensor_type_name(first->type));
        how->n++;
    }
    x->n_from++;
    return 0;
}

static int gather(struct exporter *x, int gguf, struct err *e)
{
    struct import_want w;
    size_t count = 0;
    while (import_wanted(&x->h, (int)count, &w))
        count++;
    x->out = calloc(count + 3, sizeof *x->out);
    x->from = calloc(count + 1, sizeof *x->from);
    x->how = calloc(count + 3, sizeof *x->how);
    if (!x->out || !x->from || !x->how)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < (int)count; i++) {
        import_wanted(&x->h, i, &w);
        if (put_source(x, &w, gguf, e) < 0)
            return e->code;
    }
    return check_extra(x, e);
}

/* What hparams can say and the architecture of that name is not, in either format. */
static int refuse(const struct hparams *h, struct err *e)
{
    if (h->rope_pairs && !hparams_has(h, ARCH_GGUF_PAIRS))
        return err_set(e, ERR_DATA, "rope_type: 0 (adjacent pairs): %s has split halves", h->arch);
    if (h->qk_norm != hparams_has(h, ARCH_QK_NORM))
        return err_set(e, ERR_DATA, "qk_norm: %s: not what %s is", h->qk_norm ? "true" : "false",
                       h->arch);
    return 0;
}

int export_open(struct exporter *x, const char *in, int gguf, struct err *e)
{
    int rc;
    memset(x, 0, sizeof *x);
    if ((rc = apr_open(&x->a, in, e)) < 0 || (rc = apr_verify(&x->a, e)) < 0)
        return rc;
    if (hparams_from_meta(&x->h, x->a.meta, e) < 0 || refuse(&x->h, e) < 0)
        return err_prefix(e, "%s", in);
    x->pairs = gguf && hparams_has(&x->h, ARCH_GGUF_PAIRS);
    if (gather(x, gguf, e) < 0)
        return err_prefix(e, "%s", in);
    return vocab_load(&x->tok, &x->a, &x->h, e);
}

void export_close(struct exporter *x)
{
    free(x->out);
    free(x->from);
    free(x->how);
    bpe_free(x->tok);
    apr_close(&x->a);
}
