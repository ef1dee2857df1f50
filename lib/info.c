/* info - what is in a .apr, GGUF or SafeTensors model, for people and as JSON */
#include "info.h"
#include "bpe.h"
#include "receipt.h"
#include "verify.h"
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static int read_hparams(struct info *f, struct err *e)
{
    char path[PATH_MAX];
    cJSON *c;
    if (strcmp(f->format, "apr") == 0)
        return hparams_from_meta(&f->h, f->apr.meta, e);
    if (strcmp(f->format, "gguf") == 0)
        return hparams_from_gguf(&f->h, &f->gguf, e);
    struct stat st;
    const char *slash = strrchr(f->path, '/');
    int dir = stat(f->path, &st) == 0 && S_ISDIR(st.st_mode);
    snprintf(path, sizeof path, "%.*s/config.json",
             dir     ? (int)strlen(f->path)
             : slash ? (int)(slash - f->path)
                     : 1,
             dir || slash ? f->path : ".");
    if (!(c = json_load(path, e)))
        return e->code;
    int rc = hparams_from_config(&f->h, c, NULL, e);
    cJSON_Delete(c);
    return rc;
}

static int count_tokens(struct info *f, struct err *e)
{
    struct bpe *b;
    const struct gguf_kv *kv = gguf_find(&f->gguf, "tokenizer.ggml.tokens");
    const struct tensor *t = f->apr.map.p ? apr_tensor(&f->apr, APR_TOKENIZER) : NULL;
    f->n_tokens = kv && kv->n < INT_MAX ? (int)kv->n : -1;
    if (!t)
        return 0;
    f->tokenizer_bytes = t->bytes;
    int rc = bpe_load_tables(&b, t->data, t->bytes, f->path, e);
    if (rc == 0)
        f->n_tokens = bpe_n_vocab(b);
    if (rc == 0)
        bpe_free(b);
    return rc;
}

const char *info_format(const char *path, struct err *e)
{
    struct stat st;
    char magic[4] = "";
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return "safetensors";
    FILE *in = fopen(path, "rb");
    if (!in) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        return NULL;
    }
    size_t n = fread(magic, 1, 4, in);
    fclose(in);
    return n == 4 && memcmp(magic, "APR", 4) == 0    ? "apr"
           : n == 4 && memcmp(magic, "GGUF", 4) == 0 ? "gguf"
                                                     : "safetensors";
}

/* The receipt: in a .apr, else in the sidecar if that is of a file of this size. */
static void read_sidecar(struct info *f)
{
    struct receipts r = {0};
    struct err none = {0};
    if (strcmp(f->format, "apr") && receipts_note(&r, f->path, &none) == 0 && r.n &&
        r.v[0].state == RECEIPT_OK) {
        f->sidecar = r.v[0].meta;
        r.v[0].meta = NULL;
    }
    receipts_free(&r);
}

int info_open(struct info *f, const char *path, struct err *e)
{
    int rc;
    memset(f, 0, sizeof *f);
    f->path = path;
    f->n_tokens = -1;
    if (!(f->format = info_format(path, e)))
        return e->code;
    if (strcmp(f->format, "apr") == 0) {
        rc = apr_open(&f->apr, path, e);
        f->tensor = f->apr.tensor;
        f->n_tensor = f->apr.n_tensor;
        f->file_bytes = f->apr.map.n;
    } else if (strcmp(f->format, "gguf") == 0) {
        rc = gguf_open(&f->gguf, path, e);
        f->tensor = f->gguf.tensor;
        f->n_tensor = f->gguf.n_tensor;
        for (int i = 0; i < f->gguf.n_map; i++)
            f->file_bytes += f->gguf.map[i].n;
    } else {
        rc = safetensors_open(&f->st, path, e);
        if (rc < 0 && strstr(e->msg, "not a SafeTensors file")) {
            *e = (struct err){0};
            rc = err_set(e, ERR_DATA, "%s: expected .apr, GGUF or SafeTensors, found none of them",
                         path);
        }
        f->tensor = f->st.tensor;
        f->n_tensor = f->st.n_tensor;
        for (int i = 0; i < f->st.n_map; i++)
            f->file_bytes += f->st.map[i].n;
    }
    if (rc == 0 && (rc = count_tokens(f, e)) < 0)
        info_close(f);
    if (rc < 0)
        return rc;
    for (int i = 0; i < f->n_tensor; i++)
        if (strcmp(f->tensor[i].name, APR_TOKENIZER)) {
            f->params += tensor_count(&f->tensor[i]);
            f->bytes += f->tensor[i].bytes;
        }
    f->has_h = read_hparams(f, &f->why) == 0;
    read_sidecar(f);
    return 0;
}

void info_close(struct info *f)
{
    apr_close(&f->apr);
    gguf_close(&f->gguf);
    safetensors_close(&f->st);
    cJSON_Delete(f->sidecar);
    f->sidecar = NULL;
}

double info_bits(const struct info *f)
{
    return f->params ? 8.0 * (double)f->bytes / (double)f->params : 0;
}

static const cJSON *receipt_of(const struct info *f)
{
    return cJSON_GetObjectItemCaseSensitive(f->apr.meta ? f->apr.meta : f->sidecar, "receipt");
}

static void hparams_json(const struct info *f, struct json_out *j)
{
    cJSON *o = cJSON_CreateObject();
    struct err none = {0};
    json_key(j, "hparams");
    if (o && f->has_h && hparams_to_meta(&f->h, o, &none) == 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(o, "model_type");
        json_tree(j, o);
    } else {
        json_raw(j, "null");
        json_kv_str(j, "hparams_error", f->why.msg);
    }
    cJSON_Delete(o);
}

void info_json(const struct info *f, struct json_out *j)
{
    static const char *const kept[] = {"name",    "source",      "original_format",
                                       "license", "chat_format", "provenance"};
    json_begin(j, '{');
    json_kv_str(j, "path", f->path);
    json_kv_str(j, "format", f->format);
    json_kv_int(j, "file_bytes", (long long)f->file_bytes);
    hparams_json(f, j);
    json_kv_int(j, "param_count", (long long)f->params);
    json_kv_int(j, "tensor_bytes", (long long)f->bytes);
    json_kv_num(j, "bits_per_weight", info_bits(f));
    json_key(j, "tokens");
    if (f->n_tokens < 0)
        json_raw(j, "null");
    else
        json_int(j, f->n_tokens);
    json_kv_int(j, "tokenizer_bytes", (long long)f->tokenizer_bytes);
    for (size_t i = 0; i < sizeof kept / sizeof *kept && f->apr.meta; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(f->apr.meta, kept[i]);
        if (v && !cJSON_IsNull(v)) {
            json_key(j, kept[i]);
            json_tree(j, v);
        }
    }
    if (receipt_of(f)) {
        json_key(j, "receipt");
        json_tree(j, receipt_of(f));
    }
    json_key(j, "tensors");
    json_begin(j, '[');
    for (int i = 0; i < f->n_tensor; i++) {
        const struct tensor *t = &f->tensor[i];
        json_begin(j, '{');
        json_kv_str(j, "name", t->name);
        json_kv_str(j, "type", tensor_type_name(t->type));
        json_key(j, "shape");
        json_begin(j, '[');
        for (int d = 0; d < t->ndim; d++)
            json_int(j, (long long)t->dim[d]);
        json_end(j, ']');
        json_kv_int(j, "bytes", (long long)t->bytes);
        json_end(j, '}');
    }
    json_end(j, ']');
    json_end(j, '}');
}

/* Text from a file may hold control characters: a terminal must not obey them. */
void info_put_text(FILE *out, const char *s)
{
    for (; *s; s++)
        fputc((unsigned char)*s < 32 || *s == 127 ? '?' : *s, out);
}

static void put_line(FILE *out, const char *label, const char *text)
{
    if (!text)
        return;
    fprintf(out, "%-14s", label);
    info_put_text(out, text);
    fputc('\n', out);
}

int info_text(const struct info *f, FILE *out)
{
    static const char *const scaling[] = {"", ", linear scaling", ", llama-3 scaling",
                                          ", YaRN scaling", ", longrope scaling"};
    struct err none = {0};
    const struct hparams *h = &f->h;
    char shape[200], line[512];
    put_line(out, "file", f->path);
    fprintf(out, "%-14s%s, %" PRIu64 " bytes\n", "format", f->format, f->file_bytes);
    if (f->apr.meta) {
        put_line(out, "name", json_get_str(f->apr.meta, "name", NULL, &none));
        put_line(out, "source", json_get_str(f->apr.meta, "source", NULL, &none));
        put_line(out, "license", json_get_str(f->apr.meta, "license", NULL, &none));
        put_line(out, "chat format", json_get_str(f->apr.meta, "chat_format", NULL, &none));
    }
    if (f->has_h) {
        fprintf(out,
                "%-14s%s, %d layers, width %d, %d heads of %d (%d for keys and values), MLP %d\n",
                "architecture", h->arch, h->n_layer, h->n_embd, h->n_head, h->head_dim,
                h->n_head_kv, h->n_ff);
        fprintf(out, "%-14s%d rows%s, context %d, RoPE base %g (%s)%s\n", "", h->n_vocab,
                h->tied ? ", head tied" : "", h->n_ctx, h->rope_theta,
                h->rope_pairs ? "adjacent pairs" : "split halves", scaling[h->rope_scaling]);
        fprintf(out, "%-14s", "stop ids");
        for (int i = 0; i < h->n_stop; i++)
            fprintf(out, "%s%d", i ? ", " : "", h->stop[i]);
        fputc('\n', out);
    } else {
        put_line(out, "architecture", f->why.msg);
    }
    if (f->n_tokens >= 0)
        fprintf(out, "%-14s%d tokens\n", "tokenizer", f->n_tokens);
    fprintf(out, "%-14s%" PRIu64 " in %d tensors, %" PRIu64 " bytes, %.3f bits each\n", "weights",
            f->params, f->n_tensor, f->bytes, info_bits(f));
    verify_line(receipt_of(f), f->apr.meta ? apr_weights_id(&f->apr) : 0, line, sizeof line);
    put_line(out, "receipt", line);
    for (int i = 0; i < f->n_tensor; i++) {
        const struct tensor *t = &f->tensor[i];
        fprintf(out, "%-7s %12zu  %-16s ", tensor_type_name(t->type), t->bytes,
                tensor_shape(t, shape, sizeof shape));
        info_put_text(out, t->name);
        fputc('\n', out);
    }
    return ferror(out) ? -1 : 0;
}
