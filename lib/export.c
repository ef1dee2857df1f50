/* export - a .apr file taken apart for another format: its tensors checked, named, and their rows in the
 * order of the target's RoPE */
#include "export.h"
#include "blocks.h"
#include "export_impl.h"
#include "import.h"
#include "quant.h"
#include <stdlib.h>
#include <string.h>

/* llama.cpp turns neighbouring elements of a head in its llama architecture, Hugging Face element i with
 * element i + hd/2: row j*hd/2 + i of a head (j = 0, 1) goes to row 2i + j, as in permute() of
 * convert_hf_to_gguf.py; or back. */
static void permute(const uint8_t *from, uint8_t *to, size_t rows, size_t bytes, int heads,
                    int pairs)
{
    size_t hd = rows / (size_t)heads, row = bytes / rows;
    for (size_t r = 0; r < rows; r++) {
        size_t in_head = r % hd, i = in_head % (hd / 2), j = in_head / (hd / 2);
        size_t other = r - in_head + 2 * i + j;
        memcpy(to + (pairs ? other : r) * row, from + (pairs ? r : other) * row, row);
    }
}

int export_fill(void *arg, int i, void *buf, struct err *e)
{
    const struct exporter *x = arg;
    const struct tensor *from = x->from[i], *to = &x->out[i];
    int convert = to->type != from->type, rc = 0;
    void *plain = buf;
    if (convert && x->heads[i] && !(plain = malloc(to->bytes)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (convert)
        rc = quant_convert(from, to->type, plain, 0, e);
    if (rc == 0 && x->heads[i])
        permute(convert ? plain : from->data, buf, from->dim[0], to->bytes, x->heads[i], x->pairs);
    if (plain != buf)
        free(plain);
    return rc;
}

void export_type(struct exporter *x, int i, int type)
{
    struct tensor *t = &x->out[i];
    if (type != t->type) {
        t->type = type;
        t->bytes = tensor_bytes(type, t->ndim, t->dim);
        t->data = NULL;
    }
    if (x->heads[i])
        t->data = NULL;
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
    const struct tensor **used = malloc(((size_t)x->n + 1) * sizeof *used);
    int rc = 0;
    if (!used)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(used, x->from, (size_t)x->n * sizeof *used);
    qsort(used, (size_t)x->n, sizeof *used, by_address);
    for (int i = 0; i < x->a.n_tensor && rc == 0; i++) {
        const struct tensor *t = &x->a.tensor[i];
        int spare = strcmp(t->name, APR_TOKENIZER) == 0 ||
                    /* the embedding once more */
                    (x->h.tied && strcmp(t->name, "lm_head.weight") == 0);
        if (!spare && !bsearch(&t, used, (size_t)x->n, sizeof *used, by_address))
            rc = err_set(e, ERR_DATA, "tensor %s: unknown to architecture %s", t->name, x->h.arch);
    }
    free(used);
    return rc;
}

/* Heads of a tensor whose rows follow RoPE, where source and target disagree. */
static int heads_of(const struct exporter *x, const char *gguf)
{
    if (x->pairs == x->h.rope_pairs)
        return 0;
    return strstr(gguf, ".attn_q.") ? x->h.n_head : strstr(gguf, ".attn_k.") ? x->h.n_head_kv : 0;
}

static int gather(struct exporter *x, int gguf, struct err *e)
{
    struct import_want w;
    int count = 0;
    while (import_wanted(&x->h, count, &w))
        count++;
    x->out = calloc((size_t)count + 1, sizeof *x->out);
    x->from = calloc((size_t)count + 1, sizeof *x->from);
    x->heads = calloc((size_t)count + 1, sizeof *x->heads);
    if (!x->out || !x->from || !x->heads)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (x->n = 0; x->n < count; x->n++) {
        import_wanted(&x->h, x->n, &w);
        x->from[x->n] = apr_tensor(&x->a, w.name);
        if (import_check(&w, w.name, x->from[x->n], "is no type of weights that can be exported",
                         e) < 0)
            return e->code;
        x->out[x->n] = *x->from[x->n];
        if (gguf)
            memcpy(x->out[x->n].name, w.gguf, sizeof w.gguf);
        x->heads[x->n] = heads_of(x, w.gguf);
        export_type(x, x->n, x->out[x->n].type);
    }
    return check_extra(x, e);
}

/* What hparams can say and the architecture of that name is not, in either format. */
static int refuse(const struct hparams *h, struct err *e)
{
    if (h->rope_pairs && strcmp(h->arch, "llama"))
        return err_set(e, ERR_DATA, "rope_type: 0 (adjacent pairs): %s has split halves", h->arch);
    if (h->qk_norm != (strcmp(h->arch, "qwen3") == 0))
        return err_set(e, ERR_DATA, "qk_norm: %s: not what %s is", h->qk_norm ? "true" : "false",
                       h->arch);
    return 0;
}

int export_open(struct exporter *x, const char *in, int gguf, struct err *e)
{
    const struct tensor *t;
    int rc;
    memset(x, 0, sizeof *x);
    if ((rc = apr_open(&x->a, in, e)) < 0 || (rc = apr_verify(&x->a, e)) < 0)
        return rc;
    if (hparams_from_meta(&x->h, x->a.meta, e) < 0 || refuse(&x->h, e) < 0)
        return err_prefix(e, "%s", in);
    x->pairs = gguf && strcmp(x->h.arch, "llama") == 0;
    if (gather(x, gguf, e) < 0)
        return err_prefix(e, "%s", in);
    t = apr_tensor(&x->a, APR_TOKENIZER);
    return t ? bpe_load_tables(&x->tok, t->data, t->bytes, in, e) : 0;
}

void export_close(struct exporter *x)
{
    free(x->out);
    free(x->from);
    free(x->heads);
    bpe_free(x->tok);
    apr_close(&x->a);
}
