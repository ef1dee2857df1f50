/* apr_write - write a .apr container, version 2.0 (apr.5), its tensors streamed, its receipt last */
#include "apr.h"
#include "apr_impl.h"
#include "blocks.h"
#include "outfile.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const struct tensor *t;
    int n;
    int *order;
    uint64_t *off;  /* in the data section, by position in order */
    uint64_t *hash; /* by position in order */
    uint64_t data_n;
    uint8_t *head; /* header, metadata, index: all before the data */
    size_t head_n;
    int (*fill)(void *, int, void *, struct err *);
    void *arg, *buf;
    struct apr_receipt *receipt; /* or NULL */
};

static const struct tensor *sort_base; /* qsort has no argument; writers do not run side by side */
static int by_name_of_index(const void *a, const void *b)
{
    return strcmp(sort_base[*(const int *)a].name, sort_base[*(const int *)b].name);
}

static int check_tensors(struct writer *w, const char *path, struct err *e)
{
    uint64_t off = 0;
    char shape[200];
    for (int i = 0; i < w->n; i++)
        w->order[i] = i;
    sort_base = w->t;
    qsort(w->order, (size_t)w->n, sizeof *w->order, by_name_of_index);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        size_t need;
        if (k && strcmp(t->name, w->t[w->order[k - 1]].name) == 0)
            return err_set(e, ERR_SOFTWARE, "%s: tensor %s: given twice", path, t->name);
        if (!t->name[0] || !utf8_valid(t->name, strlen(t->name)))
            return err_set(e, ERR_DATA, "%s: tensor %d: name is empty or no UTF-8", path,
                           w->order[k]);
        if (!tensor_size(t->type, t->ndim, t->dim, &need) || need != t->bytes)
            return err_set(e, ERR_DATA, "%s: tensor %s: %s %s does not take %zu bytes", path,
                           t->name, tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape),
                           t->bytes);
        w->off[k] = off;
        off += (t->bytes + APR_ALIGN - 1) / APR_ALIGN * APR_ALIGN;
    }
    w->data_n = off;
    return 0;
}

static void set_item(cJSON *o, const char *key, cJSON *v)
{
    cJSON_DeleteItemFromObjectCaseSensitive(o, key);
    cJSON_AddItemToObject(o, key, v);
}

/* aprender's description of the type that most of the quantized bytes have. */
static void describe_quantization(const struct writer *w, cJSON *m)
{
    size_t bytes[256] = {0};
    int most = 0;
    cJSON_DeleteItemFromObjectCaseSensitive(m, "quantization");
    for (int i = 0; i < w->n; i++)
        if (tensor_type_block(w->t[i].type) > 1) {
            bytes[w->t[i].type] += w->t[i].bytes;
            most = bytes[w->t[i].type] > bytes[most] ? w->t[i].type : most;
        }
    const struct kn_type_info *k = kn_type_info(most);
    if (!bytes[most] || !k->name || !k->block_len)
        return;
    cJSON *q = cJSON_AddObjectToObject(m, "quantization");
    cJSON_AddStringToObject(q, "quant_type", k->name);
    cJSON_AddNumberToObject(q, "bits", k->block_bytes * 8 / k->block_len);
    cJSON_AddNumberToObject(q, "block_size", k->block_len);
    cJSON_AddBoolToObject(q, "symmetric",
                          most == KN_Q4_0 || most == KN_Q5_0 || most == KN_Q8_0 || most == KN_Q6_K);
}

/* Its text and so many spaces, which JSON takes no notice of, that its size does not depend on it. */
static int add_receipt(cJSON *m, const char *text)
{
    char slot[APR_RECEIPT];
    snprintf(slot, sizeof slot, "%-*s", APR_RECEIPT - 1, text);
    return cJSON_AddRawToObject(m, "receipt", slot) != NULL;
}

/* What the writer must record. */
static cJSON *complete_meta(const struct writer *w, const cJSON *meta)
{
    cJSON *m = meta ? cJSON_Duplicate(meta, 1) : cJSON_CreateObject(),
          *types = cJSON_CreateObject(), *hashes = cJSON_CreateObject();
    static const char *const nulls[] = {"license", "data_source", "data_license"};
    double params = 0, bytes = 0;
    if (!m || !types || !hashes) {
        cJSON_Delete(m);
        cJSON_Delete(types);
        cJSON_Delete(hashes);
        return NULL;
    }
    if (!cJSON_GetObjectItemCaseSensitive(m, "model_type"))
        cJSON_AddStringToObject(m, "model_type", "");
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls;
         i++) /* aprender writes these even when null */
        if (!cJSON_GetObjectItemCaseSensitive(m, nulls[i]))
            cJSON_AddNullToObject(m, nulls[i]);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        char hex[20];
        if (strcmp(t->name, APR_TOKENIZER))
            params += (double)tensor_count(t);
        bytes += (double)t->bytes;
        snprintf(hex, sizeof hex, "%016" PRIx64, w->hash[k]);
        cJSON_AddStringToObject(types, t->name, tensor_type_name(t->type));
        cJSON_AddStringToObject(hashes, t->name, hex);
    }
    set_item(m, "param_count", cJSON_CreateNumber(params));
    set_item(m, "total_size", cJSON_CreateNumber(bytes));
    describe_quantization(w, m);
    set_item(m, "tensor_types", types);
    set_item(m, "tensor_xxh64", hashes);
    cJSON_DeleteItemFromObjectCaseSensitive(m, "receipt");
    if (w->receipt && !add_receipt(m, w->receipt->text)) {
        cJSON_Delete(m);
        return NULL;
    }
    return m;
}

static void put(uint8_t *p, uint64_t v, int n)
{
    memcpy(p, &v, (size_t)n);
}

static uint64_t aligned(uint64_t n)
{
    return (n + APR_ALIGN - 1) / APR_ALIGN * APR_ALIGN;
}

/* Everything before the data, with the hashes and the receipt known so far: 0 or an error. Its size
 * does not depend on their values. */
static int build_head(struct writer *w, const char *path, const cJSON *meta, struct err *e)
{
    cJSON *m = complete_meta(w, meta);
    char *json = m ? cJSON_PrintUnformatted(m) : NULL;
    unsigned flags = APR_F_ROW_MAJOR;
    size_t json_n = json ? strlen(json) : 0, index_n = 0;
    int rc = 0;
    if (m && cJSON_GetObjectItemCaseSensitive(m, "tokenizer.vocabulary"))
        flags |= APR_F_VOCAB;
    cJSON_Delete(m);
    if (!json)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        index_n += 2 + strlen(t->name) + 2 + 8 * (size_t)t->ndim + 16;
        if (tensor_type_block(t->type) > 1)
            flags |= APR_F_QUANTIZED;
        if (strcmp(t->name, APR_TOKENIZER) == 0)
            flags |= APR_F_VOCAB;
    }
    uint64_t index_off = aligned(APR_HEADER + json_n), data_off = aligned(index_off + index_n);
    if (json_n > APR_META_MAX)
        rc = err_set(e, ERR_DATA, "%s: %zu bytes of metadata, at most %d", path, json_n,
                     APR_META_MAX);
    free(w->head);
    w->head_n = data_off;
    w->head = rc < 0 ? NULL : calloc(1, data_off);
    if (!w->head) {
        free(json);
        return rc < 0 ? rc : err_set(e, ERR_NOMEM, "%s: out of memory", path);
    }
    memcpy(w->head, "APR\0\2\0", 6);
    put(w->head + 6, flags, 2);
    put(w->head + 8, (uint64_t)w->n, 4);
    put(w->head + 12, APR_HEADER, 8);
    put(w->head + 20, json_n, 4);
    put(w->head + 24, index_off, 8);
    put(w->head + 32, data_off, 8);
    put(w->head + 40, apr_header_crc(w->head), 4);
    memcpy(w->head + APR_HEADER, json, json_n);
    free(json);
    uint8_t *p = w->head + index_off;
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        size_t name_n = strlen(t->name);
        put(p, name_n, 2);
        memcpy(p + 2, t->name, name_n);
        p += 2 + name_n;
        *p++ = (uint8_t)apr_type_byte(t->type);
        *p++ = (uint8_t)t->ndim;
        for (int d = 0; d < t->ndim; d++, p += 8)
            put(p, t->dim[d], 8);
        put(p, w->off[k], 8);
        put(p + 8, t->bytes, 8);
        p += 16;
    }
    return 0;
}

/* Bytes of the tensor at position k; NULL and *e on failure. */
static const void *bytes_of(struct writer *w, int k, struct err *e)
{
    const struct tensor *t = &w->t[w->order[k]];
    if (t->data || !t->bytes)
        return t->data ? t->data : "";
    int rc = w->fill(w->arg, w->order[k], w->buf, e);
    if (rc < 0) {
        err_set(e, rc, "tensor %s", t->name);
        return NULL;
    }
    return w->buf;
}

static int write_data(struct writer *w, struct outfile *o, uint32_t *crc, struct err *e)
{
    static const uint8_t zeros[APR_ALIGN];
    for (int k = 0; k < w->n; k++) {
        const struct tensor *t = &w->t[w->order[k]];
        const void *p = bytes_of(w, k, e);
        size_t pad = (APR_ALIGN - t->bytes % APR_ALIGN) % APR_ALIGN;
        int rc;
        if (!p)
            return e->code;
        w->hash[k] = hash_xxh64(p, t->bytes, 0);
        *crc = hash_crc32(hash_crc32(*crc, p, t->bytes), zeros, pad);
        if ((rc = outfile_write(o, p, t->bytes, e)) < 0 ||
            (rc = outfile_write(o, zeros, pad, e)) < 0)
            return rc;
    }
    return 0;
}

/* The head once more, as it has become, and the footer: crc is that of the data. */
static int finish(struct writer *w, struct outfile *o, const cJSON *meta, uint32_t crc, int again,
                  struct err *e)
{
    const uint64_t end = w->head_n + w->data_n;
    int rc;
    if (again && ((rc = build_head(w, o->path, meta, e)) < 0 ||
                  (rc = outfile_patch(o, 0, w->head, w->head_n, e)) < 0))
        return rc;
    crc = hash_crc32_join(hash_crc32(0, w->head, w->head_n), crc, w->data_n);
    return o->bytes > end ? outfile_patch(o, end, &crc, 4, e) : outfile_write(o, &crc, 4, e);
}

static int take_receipt(struct writer *w, struct outfile *o, const cJSON *meta, uint32_t crc,
                        struct err *e)
{
    struct apr_receipt *r = w->receipt;
    int rc;
    if (!r || !r->look || !o->tmp)
        return 0;
    free(w->buf); /* look needs memory itself */
    w->buf = NULL;
    if (fflush(o->f))
        return err_errno(e, ERR_IO, "%s", o->path);
    if ((rc = r->look(r->arg, o->tmp, r->text, e)) < 0)
        return err_prefix(e, "%s", o->path);
    return finish(w, o, meta, crc, 1, e);
}

int apr_write(const char *path, const cJSON *meta, const struct tensor *t, int n,
              int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg, char *sha256,
              struct err *e)
{
    return apr_write_receipt(path, meta, t, n, fill, arg, NULL, sha256, e);
}

int apr_write_receipt(const char *path, const cJSON *meta, const struct tensor *t, int n,
                      int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                      struct apr_receipt *r, char *sha256, struct err *e)
{
    struct writer w = {.t = t, .n = n, .fill = fill, .arg = arg, .receipt = r};
    struct outfile o = {0};
    struct err own = {0};
    size_t largest = 0;
    uint32_t crc = 0;
    int rc, streamed = 0, opened = 0;
    if (!e)
        e = &own;
    w.order = calloc((size_t)n + 1, sizeof *w.order);
    w.off = calloc((size_t)n + 1, sizeof *w.off);
    w.hash = calloc((size_t)n + 1, sizeof *w.hash);
    if (!w.order || !w.off || !w.hash) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    if ((rc = check_tensors(&w, path, e)) < 0)
        goto done;
    for (int i = 0; i < n; i++)
        if (!t[i].data && t[i].bytes) {
            streamed = 1;
            largest = t[i].bytes > largest ? t[i].bytes : largest;
        }
    if (streamed && (!fill || !(w.buf = malloc(largest)))) {
        rc = err_set(e, fill ? ERR_NOMEM : ERR_SOFTWARE,
                     "%s: %zu bytes for one tensor: out of memory", path, largest);
        goto done;
    }
    if ((rc = outfile_open(&o, path, e)) < 0)
        goto done;
    opened = 1;
    if (streamed || (r && r->look))
        outfile_patches(&o);
    /* The hashes stand before the data. Of mapped tensors they are taken first; of streamed ones
     * they are patched in afterwards, or, where the output cannot be patched (a pipe), fill runs
     * twice. */
    if (!streamed || !o.tmp)
        for (int k = 0; k < n; k++) {
            const void *p = bytes_of(&w, k, e);
            if (!p) {
                rc = e->code;
                goto done;
            }
            w.hash[k] = hash_xxh64(p, t[w.order[k]].bytes, 0);
        }
    if ((rc = build_head(&w, path, meta, e)) < 0 ||
        (rc = outfile_write(&o, w.head, w.head_n, e)) < 0 || (rc = write_data(&w, &o, &crc, e)) < 0)
        goto done;
    if ((rc = finish(&w, &o, meta, crc, streamed && o.tmp, e)) < 0 ||
        (rc = take_receipt(&w, &o, meta, crc, e)) < 0)
        goto done;
    opened = 0;
    if ((rc = outfile_commit(&o, e)) == 0 && sha256)
        memcpy(sha256, o.hex, 65);
done:
    if (opened)
        outfile_abort(&o);
    free(w.order);
    free(w.off);
    free(w.hash);
    free(w.head);
    free(w.buf);
    return rc;
}
