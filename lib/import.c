/* import - the one way in which a .apr file is put together from the tensors of another format */
#include "import.h"
#include "blocks.h"
#include "bpe.h"
#include "chat.h"
#include "hash.h"
#include "import_impl.h"
#include "vocab.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- the one way in which a file is put together ---- */

int import_check(const struct import_want *w, const char *name, const struct tensor *t,
                 const char *refusal, struct err *e)
{
    struct tensor want = {.ndim = w->ndim, .dim = {w->dim[0], w->dim[1]}};
    char found[200], expected[80];
    int64_t bad;
    if (!t)
        return err_set(e, ERR_DATA, "tensor %s: missing", name);
    if (t->ndim != w->ndim || memcmp(t->dim, want.dim, (size_t)t->ndim * sizeof *t->dim))
        return err_set(e, ERR_DATA, "tensor %s: shape: expected %s, found %s", name,
                       tensor_shape(&want, expected, sizeof expected),
                       tensor_shape(t, found, sizeof found));
    if (!tensor_is_weight(t->type))
        return err_set(e, ERR_DATA, "tensor %s: type %s %s", name, tensor_type_name(t->type),
                       refusal);
    if (t->data && (bad = tensor_not_finite(t)) >= 0)
        return err_set(e, ERR_DATA, "tensor %s: NaN or infinity at element %" PRId64, name, bad);
    return 0;
}

const struct tensor *import_part(const struct import_want *w, const struct tensor *whole,
                                 const char *name, struct tensor *part, struct err *e)
{
    const struct import_part *p = &w->part;
    struct tensor want = {.ndim = p->stacked ? 3 : 2, .dim = {p->whole, w->dim[1]}};
    char found[200], expected[80];
    if (p->stacked)
        want.dim[1] = w->dim[0], want.dim[2] = w->dim[1];
    if (!whole) {
        err_set(e, ERR_DATA, "tensor %s: missing", name);
        return NULL;
    }
    if (whole->ndim != want.ndim ||
        memcmp(whole->dim, want.dim, (size_t)want.ndim * sizeof *want.dim)) {
        err_set(e, ERR_DATA, "tensor %s: shape: expected %s, found %s", name,
                tensor_shape(&want, expected, sizeof expected),
                tensor_shape(whole, found, sizeof found));
        return NULL;
    }
    *part = *whole;
    part->ndim = 2;
    part->dim[0] = w->dim[0], part->dim[1] = w->dim[1], part->dim[2] = 0;
    part->bytes = whole->bytes / p->whole * (p->stacked ? 1 : w->dim[0]);
    part->data = (const uint8_t *)whole->data + whole->bytes / p->whole * p->first;
    return part;
}

/* The source's tensor for w, checked; a part of one is described in *part. */
static const struct tensor *source_tensor(const struct import *im, const struct import_want *w,
                                          struct tensor *part, struct err *e)
{
    const char *name = im->gguf_names ? w->gguf : w->hf;
    const struct tensor *t = im->find(im->source, name);
    const int whole = im->gguf_names ? !w->part.gguf : !w->part.hf;
    struct tensor as = {.name = ""};
    if (!whole && !(t = import_part(w, t, name, part, e))) {
        err_prefix(e, "%s", im->path);
        return NULL;
    }
    if (t && t->type == TENSOR_F8_E4M3 && t->ndim == 2) { /* its values are looked at apart */
        as = *t;
        as.type = KN_BF16;
        as.data = NULL;
    }
    if (as.ndim && !whole)
        err_set(e, ERR_DATA, "tensor %s: FP8 in a tensor of several weights is not supported",
                name);
    else if (import_check(w, name, as.ndim ? &as : t, "is not supported", e) == 0 &&
             (as.ndim ? import_fp8_check(im, t, e) : import_stray_scale(im, t, e)) == 0) {
        import_forget(im, t);
        return t;
    }
    err_prefix(e, "%s", im->path);
    return NULL;
}

static int by_pointer_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A tensor that nobody asked for may change what the model computes. */
static int check_extra(const struct import *im, int n_used, struct err *e)
{
    const char **used = malloc(((size_t)n_used + 1) * sizeof *used);
    int rc = 0;
    if (!used)
        return err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
    for (int i = 0; i < n_used; i++)
        used[i] = im->used[i]->name;
    qsort(used, (size_t)n_used, sizeof *used, by_pointer_name);
    for (int i = 0; i < im->n_tensor && rc == 0; i++) {
        const char *name = im->tensor[i].name;
        if (!bsearch(&name, used, (size_t)n_used, sizeof *used, by_pointer_name) &&
            !(im->ignored && im->ignored(&im->h, name)))
            rc = err_set(e, ERR_DATA, "%s: tensor %s: unknown to architecture %s", im->path, name,
                         im->h.arch);
    }
    free(used);
    return rc;
}

const char *import_end_mark(int i)
{
    static const char *const ends[] = {"<|im_end|>",
                                       "<|endoftext|>",
                                       "<|eot_id|>",
                                       "<|eom_id|>",
                                       "<|end|>",
                                       ("<\xef\xbd\x9c"
                                        "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>")};
    return (size_t)i < sizeof ends / sizeof *ends ? ends[i] : NULL;
}

static int merge_stops(struct import *im, struct err *e)
{
    int rc = 0;
    if (!im->tok)
        return 0;
    rc = hparams_add_stop(&im->h, bpe_eos(im->tok));
    if (im->eos)
        rc |= hparams_add_stop(&im->h, bpe_id(im->tok, im->eos));
    for (int i = 0; import_end_mark(i); i++) {
        int32_t id = bpe_id(im->tok, import_end_mark(i));
        if (id >= 0 && bpe_is_special(im->tok, id))
            rc |= hparams_add_stop(&im->h, id);
    }
    return rc ? err_set(e, ERR_DATA, "%s: more than %d stop ids", im->path, HPARAMS_STOPS) : 0;
}

static int add_token_name(cJSON *o, const char *key, const struct bpe *b, int32_t id)
{
    size_t n;
    const char *s = id >= 0 ? bpe_token(b, id, &n) : NULL;
    char buf[256];
    if (!s || n >= sizeof buf || !utf8_valid(s, n))
        return 1;
    memcpy(buf, s, n);
    buf[n] = 0;
    return cJSON_AddStringToObject(o, key, buf) != NULL;
}

static int special_tokens(struct import *im)
{
    if (!im->tok)
        return 1;
    cJSON *o = cJSON_AddObjectToObject(im->meta, "special_tokens");
    int32_t eos = bpe_eos(im->tok) >= 0 ? bpe_eos(im->tok) : im->h.n_stop ? im->h.stop[0] : -1;
    return o && add_token_name(o, "bos_token", im->tok, im->h.bos) &&
           add_token_name(o, "eos_token", im->tok, eos) &&
           add_token_name(o, "pad_token", im->tok, im->h.pad) &&
           add_token_name(o, "im_start_token", im->tok, bpe_id(im->tok, "<|im_start|>")) &&
           add_token_name(o, "im_end_token", im->tok, bpe_id(im->tok, "<|im_end|>"));
}

/* A template that we could not render is refused here, not when somebody asks. */
static int add_template(struct import *im, struct err *e)
{
    char where[300];
    int chatml;
    if (!im->template)
        return 0;
    snprintf(where, sizeof where, "%.250s: chat template", im->path);
    if (chat_check(im->template, where, &chatml, e))
        return e->code;
    return cJSON_AddStringToObject(im->meta, "chat_template", im->template) &&
                   (!chatml || cJSON_AddStringToObject(im->meta, "chat_format", "chatml"))
               ? 0
               : err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
}

/* In pieces, so that the file passes through memory. */
static void digest(const struct mapfile *m, char hex[65])
{
    static const size_t piece = 8 << 20;
    struct hash_sha256 h;
    hash_sha256_init(&h);
    for (size_t at = 0; at < m->n; at += piece) {
        size_t n = m->n - at < piece ? m->n - at : piece;
        hash_sha256_add(&h, m->p + at, n);
        mapfile_forget(m, m->p + at, n);
    }
    hash_sha256_hex(&h, hex);
}

/* Metadata that both sources share; `tok` and `h` are complete. */
static int describe(struct import *im, struct err *e)
{
    char source[512], path[PATH_MAX], *slash;
    cJSON *list, *step, *inputs, *input;
    if (hparams_to_meta(&im->h, im->meta, e) < 0 || add_template(im, e) < 0)
        return e->code;
    /* the name alone: the same model gives the same bytes wherever it lies */
    snprintf(path, sizeof path, "%s", im->path);
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/';)
        path[--n] = 0;
    slash = strrchr(path, '/');
    if (im->origin && *im->origin)
        snprintf(source, sizeof source, "%s", im->origin);
    else
        snprintf(source, sizeof source, "local://%.250s",
                 strcmp(path, "-") ? slash ? slash + 1 : path : "standard-input");
    cJSON *derived = apr_derive_meta(im->meta, e);
    if (!derived)
        return e->code;
    cJSON_Delete(im->meta);
    im->meta = derived;
    list = cJSON_GetObjectItemCaseSensitive(im->meta, "provenance");
    step = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
    inputs = cJSON_AddArrayToObject(step, "inputs");
    int good = inputs && cJSON_AddStringToObject(im->meta, "source", source) &&
               cJSON_AddStringToObject(im->meta, "original_format", im->format) &&
               special_tokens(im);
    for (int i = 0; i < im->n_map && good; i++) {
        char hex[65];
        digest(&im->map[i], hex);
        good = (input = cJSON_CreateObject()) && cJSON_AddItemToArray(inputs, input) &&
               cJSON_AddNumberToObject(input, "bytes", (double)im->map[i].n) &&
               cJSON_AddStringToObject(input, "sha256", hex);
    }
    return good ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
}

/* aprender reads the vocabulary from the metadata; leave it out where 16 MiB would not hold it. */
static void add_vocabulary(struct import *im)
{
    enum { ROOM = 14 << 20 };
    char *v = im->vocabulary ? cJSON_PrintUnformatted(im->vocabulary) : NULL,
         *m = im->merges ? cJSON_PrintUnformatted(im->merges) : NULL;
    if (v && m && strlen(v) + strlen(m) < ROOM) {
        cJSON_AddItemToObject(im->meta, "tokenizer.vocabulary", im->vocabulary);
        cJSON_AddItemToObject(im->meta, "tokenizer.merges", im->merges);
        cJSON_AddStringToObject(im->meta, "tokenizer.model_type", "BPE");
        cJSON_AddNumberToObject(im->meta, "tokenizer.vocab_size",
                                cJSON_GetArraySize(im->vocabulary));
        if (im->h.bos >= 0)
            cJSON_AddNumberToObject(im->meta, "tokenizer.bos_token_id", im->h.bos);
        if (im->h.n_stop)
            cJSON_AddNumberToObject(im->meta, "tokenizer.eos_token_id",
                                    bpe_eos(im->tok) >= 0 ? bpe_eos(im->tok) : im->h.stop[0]);
    } else {
        cJSON_Delete(im->vocabulary);
        cJSON_Delete(im->merges);
    }
    im->vocabulary = im->merges = NULL;
    free(v);
    free(m);
}

static int gather(struct import *im, int *n, void **tables, struct err *e)
{
    struct import_want w;
    size_t size;
    int rc, count = 0;
    while (import_wanted(&im->h, count, &w))
        count++;
    im->out = calloc((size_t)count + 1, sizeof *im->out);
    im->used = calloc((size_t)count + 1, sizeof *im->used);
    im->part = calloc((size_t)count + 1, sizeof *im->part);
    if (!im->out || !im->used || !im->part)
        return err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
    for (*n = 0; *n < count; ++*n) {
        struct tensor *t = &im->out[*n];
        import_wanted(&im->h, *n, &w);
        if (!(im->used[*n] = source_tensor(im, &w, &im->part[*n], e)))
            return e->code;
        *t = *im->used[*n];
        memcpy(t->name, w.name, sizeof t->name);
    }
    if ((rc = check_extra(im, count, e)) < 0 || (rc = import_types(im, count, e)) < 0 || !im->tok)
        return rc;
    if ((rc = bpe_save_tables(im->tok, tables, &size, e)) < 0)
        return rc;
    struct tensor *t = &im->out[(*n)++];
    *t = (struct tensor){
        .type = TENSOR_U8, .ndim = 1, .dim = {size}, .data = *tables, .bytes = size};
    snprintf(t->name, sizeof t->name, "%s", APR_TOKENIZER);
    return 0;
}

/* ---- the source as it is ---- */

/* A tensor of the view: FP8 times its scales, as F32, or one that lies askew. */
static int fill_shown(void *arg, int i, void *buf, struct err *e)
{
    const struct import *im = arg;
    const char *name = im->shown[i].name;
    int k = 0;
    while (strcmp(im->out[k].name, name))
        k++;
    const struct tensor *from = im->used[k];
    int rc = 0;
    if (from->type == TENSOR_F8_E4M3)
        rc = import_fp8(im, from, buf, e);
    else
        memcpy(buf, from->data, from->bytes);
    import_forget(im, from);
    return rc;
}

/* SafeTensors put data anywhere; kernels read F32 as such, and everything else by halves. */
static int lies_askew(const struct tensor *t)
{
    return (uintptr_t)t->data % (t->type == KN_F32 ? 4 : 2) != 0;
}

static void forget_shown(void *arg, const struct tensor *t)
{
    import_forget(arg, t);
}

static int show(struct import *im, int n, struct view *v, struct err *e)
{
    n -= im->tok != NULL; /* its tables are the last */
    if (!(im->shown = calloc((size_t)n + 1, sizeof *im->shown)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
    for (int i = 0; i < n; i++) {
        struct tensor *t = &im->shown[i];
        *t = *im->used[i];
        memcpy(t->name, im->out[i].name, sizeof t->name);
        if (t->type == TENSOR_F8_E4M3) {
            t->type = KN_F32;
            t->bytes = tensor_bytes(KN_F32, t->ndim, t->dim);
            t->data = NULL;
        } else if (lies_askew(t)) {
            t->data = NULL;
        }
    }
    qsort(im->shown, (size_t)n, sizeof *im->shown, tensor_by_name);
    *v = (struct view){.name = im->path,
                       .h = im->h,
                       .tok = im->tok,
                       .meta = im->meta,
                       .t = im->shown,
                       .n = n,
                       .fill = fill_shown,
                       .forget = forget_shown,
                       .arg = im};
    return 0;
}

/* For who only looks: what a view has of the metadata. */
static int show_alone(struct import *im, int n, struct err *e)
{
    struct view v;
    if (add_template(im, e) < 0)
        return e->code;
    if (!special_tokens(im))
        return err_set(e, ERR_NOMEM, "%s: out of memory", im->path);
    return show(im, n, &v, e) < 0 ? e->code : im->look(im->look_arg, &v, e);
}

static int write_file(struct import *im, const char *out, int n, struct import_done *done,
                      struct err *e)
{
    struct view v;
    struct stat st;
    int rc;
    if (describe(im, e) < 0 || (im->opts.shown && show(im, n, &v, e) < 0))
        return e->code;
    if (im->opts.shown)
        *im->opts.shown = &v;
    add_vocabulary(im);
    rc = apr_write_receipt(out, im->meta, im->out, n, import_fill, im, im->opts.receipt,
                           done->sha256, e);
    if (im->opts.shown)
        *im->opts.shown = NULL;
    done->h = im->h;
    done->bytes = rc == 0 && strcmp(out, "-") && stat(out, &st) == 0 ? (uint64_t)st.st_size : 0;
    return rc;
}

int import_write(struct import *im, const char *out, struct import_done *done, struct err *e)
{
    void *tables = NULL;
    int32_t *ids = NULL;
    int n = 0, rc;
    if ((rc = vocab_check(im->tok, &im->h, im->path, e)) < 0)
        goto done;
    if (im->tok) {
        im->h.add_bos = bpe_encode(im->tok, "", 0, BPE_BOS, &ids, e) == 1;
        free(ids);
        if (im->h.add_bos)
            im->h.bos = bpe_bos(im->tok);
    }
    if ((rc = merge_stops(im, e)) < 0 || (rc = hparams_check(&im->h, e)) < 0 ||
        (rc = gather(im, &n, &tables, e)) < 0)
        goto done;
    rc = im->look ? show_alone(im, n, e) : write_file(im, out, n, done, e);
done:
    free(tables);
    free(im->shown);
    im->shown = NULL;
    free(im->out);
    free(im->used);
    free(im->part);
    im->out = im->part = NULL;
    im->used = NULL;
    return rc;
}
