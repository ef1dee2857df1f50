/* apr - open a .apr container, version 2.0 (apr.5): everything checked but the bytes of tensors; find a tensor */
#include "apr.h"
#include "apr_impl.h"
#include "apr_meta.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_ENTRY = 2 + 1 + 1 + 1 + 8 + 8 }; /* one-byte name, no dims */

static uint64_t get(const uint8_t *p, int n)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)n);
    return v;
}

static int read_header(struct apr *a, uint64_t *meta_off, uint64_t *meta_n, uint64_t *index_off,
                       struct err *e)
{
    static const struct {
        int flag;
        const char *what;
    } refused[] = {{APR_F_LZ4, "LZ4-compressed"},
                   {APR_F_ZSTD, "zstd-compressed"},
                   {APR_F_ENCRYPTED, "encrypted"},
                   {APR_F_SHARDED, "one shard of several"},
                   {APR_F_COLUMN_MAJOR, "column-major"}};
    const uint8_t *p = a->map.p;
    if (a->map.n < APR_HEADER + 4)
        return err_set(e, ERR_DATA, "%s: truncated: %zu bytes, a .apr file has at least %d",
                       a->path, a->map.n, APR_HEADER + 4);
    if (memcmp(p, "APR", 4))
        return err_set(e, ERR_DATA,
                       "%s: not a .apr file: expected magic 41505200, found %02x%02x%02x%02x",
                       a->path, p[0], p[1], p[2], p[3]);
    if (p[4] != 2)
        return err_set(e, ERR_DATA, "%s: .apr version %d.%d, expected 2.x", a->path, p[4], p[5]);
    if (apr_header_crc(p) != (uint32_t)get(p + 40, 4))
        return err_set(e, ERR_DATA, "%s: header CRC: expected %08" PRIx32 ", found %08" PRIx32,
                       a->path, apr_header_crc(p), (uint32_t)get(p + 40, 4));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (get(p + 6, 2) & (unsigned)refused[i].flag)
            return err_set(e, ERR_DATA, "%s: the file is %s (flags %04x): not supported", a->path,
                           refused[i].what, (unsigned)get(p + 6, 2));
    *meta_off = get(p + 12, 8);
    *meta_n = get(p + 20, 4);
    *index_off = get(p + 24, 8);
    a->data_off = get(p + 32, 8);
    uint64_t end = a->map.n - 4;
    if (*meta_off < APR_HEADER || *meta_off > end || *meta_n > end - *meta_off)
        return err_set(e, ERR_DATA,
                       "%s: metadata at %" PRIu64 "+%" PRIu64 " is outside the file (%zu bytes)",
                       a->path, *meta_off, *meta_n, a->map.n);
    if (a->data_off > end || *index_off < APR_HEADER || *index_off > a->data_off)
        return err_set(e, ERR_DATA,
                       "%s: tensor index at %" PRIu64 ", data at %" PRIu64
                       ": out of order or outside the file (%zu bytes)",
                       a->path, *index_off, a->data_off, a->map.n);
    if (*meta_off<a->data_off && * meta_off + *meta_n> * index_off && *meta_off < *index_off)
        return err_set(e, ERR_DATA, "%s: metadata overlaps the tensor index at %" PRIu64, a->path,
                       *index_off);
    if (*meta_off % APR_ALIGN || *index_off % APR_ALIGN || a->data_off % APR_ALIGN)
        return err_set(e, ERR_DATA,
                       "%s: sections at %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       ": expected multiples of %d",
                       a->path, *meta_off, *index_off, a->data_off, APR_ALIGN);
    return 0;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* Members of the object in ascending order of keys, as the index has them. */
static int sort_names(const cJSON *o, const cJSON ***names, size_t *n)
{
    *n = 0;
    if (!cJSON_IsObject(o))
        return 0;
    for (const cJSON *v = o->child; v; v = v->next)
        ++*n;
    if (!(*names = malloc((*n + 1) * sizeof **names)))
        return ERR_NOMEM;
    *n = 0;
    for (const cJSON *v = o->child; v; v = v->next)
        (*names)[(*n)++] = v;
    qsort(*names, *n, sizeof **names, by_key);
    return 0;
}

static int read_entry(struct apr *a, int i, uint64_t *at, const cJSON **names, size_t n_names,
                      size_t *next, struct err *e)
{
    const uint8_t *p = a->map.p;
    struct tensor *t = &a->tensor[i];
    uint64_t pos = *at, off, end = a->data_off, room = a->map.n - 4 - a->data_off;
    if (end - pos < MIN_ENTRY)
        return err_set(e, ERR_DATA, "%s: tensor index: truncated in entry %d at %" PRIu64, a->path,
                       i, pos);
    size_t n = get(p + pos, 2);
    pos += 2;
    if (n < 1 || n > TENSOR_NAME || end - pos < n + 18)
        return err_set(e, ERR_DATA, "%s: tensor index: entry %d at %" PRIu64 ": name of %zu bytes",
                       a->path, i, *at, n);
    memcpy(t->name, p + pos, n);
    if (memchr(t->name, 0, n) || !utf8_valid(t->name, n))
        return err_set(e, ERR_DATA,
                       "%s: tensor index: entry %d at %" PRIu64 ": name is not UTF-8 text", a->path,
                       i, *at);
    pos += n;
    if (i && strcmp(t->name, t[-1].name) <= 0)
        return err_set(e, ERR_DATA, "%s: tensor index: %s follows %s: expected ascending names",
                       a->path, t->name, t[-1].name);
    while (*next < n_names && strcmp(names[*next]->string, t->name) < 0)
        ++*next;
    const cJSON *named =
        *next < n_names && strcmp(names[*next]->string, t->name) == 0 ? names[*next] : NULL;
    int byte = p[pos];
    t->ndim = p[pos + 1];
    pos += 2;
    if (t->ndim > TENSOR_DIMS)
        return err_set(e, ERR_DATA, "%s: tensor %s: %d dims, at most %d", a->path, t->name, t->ndim,
                       TENSOR_DIMS);
    if (end - pos < 8 * (uint64_t)t->ndim + 16)
        return err_set(e, ERR_DATA, "%s: tensor %s: entry runs into the data at %" PRIu64, a->path,
                       t->name, end);
    for (int d = 0; d < t->ndim; d++, pos += 8)
        t->dim[d] = get(p + pos, 8);
    off = get(p + pos, 8);
    t->bytes = get(p + pos + 8, 8);
    *at = pos + 16;
    if (off % APR_ALIGN)
        return err_set(e, ERR_DATA, "%s: tensor %s: offset %" PRIu64 ", expected a multiple of %d",
                       a->path, t->name, off, APR_ALIGN);
    if (off > room || t->bytes > room - off)
        return err_set(e, ERR_DATA,
                       "%s: tensor %s: truncated: bytes %" PRIu64
                       "+%zu of the data section, which has %" PRIu64,
                       a->path, t->name, off, t->bytes, room);
    t->data = p + a->data_off + off;
    return apr_type_resolve(a->path, t, byte, named, e);
}

/* The last tensor is padded to 64 bytes before the footer; a writer that left the padding out is
 * borne with, anything in between is a file cut short. */
static int check_end(const struct apr *a, struct err *e)
{
    uint64_t end = a->data_off;
    for (int i = 0; i < a->n_tensor; i++) {
        const struct tensor *t = &a->tensor[i];
        uint64_t stop = (uint64_t)((const uint8_t *)t->data - a->map.p) + t->bytes;
        end = stop > end ? stop : end;
    }
    uint64_t whole = (end + APR_ALIGN - 1) / APR_ALIGN * APR_ALIGN + 4;
    if (a->map.n < whole && a->map.n != end + 4)
        return err_set(e, ERR_DATA, "%s: truncated: %zu bytes, expected %" PRIu64, a->path,
                       a->map.n, whole);
    return 0;
}

int apr_open(struct apr *a, const char *path, struct err *e)
{
    uint64_t meta_off = 0, meta_n = 0, at = 0;
    const cJSON **names = NULL;
    size_t n_names = 0, next = 0;
    int rc, bad;
    char where[400];
    memset(a, 0, sizeof *a);
    if (!(a->path = strdup(path)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = mapfile_open(&a->map, a->path, e)) < 0 ||
        (rc = read_header(a, &meta_off, &meta_n, &at, e)) < 0)
        goto fail;
    a->meta_off = meta_off;
    a->meta_end = meta_off + meta_n;
    a->index_off = at;
    snprintf(where, sizeof where, "%s: metadata", path);
    if (!(a->meta = apr_meta_parse((const char *)a->map.p + meta_off, meta_n, where, e))) {
        rc = e && e->code ? e->code : ERR_DATA;
        goto fail;
    }
    if (!cJSON_IsObject(a->meta)) {
        rc = err_set(e, ERR_DATA, "%s: expected a JSON object", where);
        goto fail;
    }
    uint64_t count = get(a->map.p + 8, 4);
    if (count > (a->data_off - at) / MIN_ENTRY) {
        rc = err_set(e, ERR_DATA,
                     "%s: %" PRIu64 " tensors do not fit in an index of %" PRIu64 " bytes", path,
                     count, a->data_off - at);
        goto fail;
    }
    if (!(a->tensor = calloc(count + 1, sizeof *a->tensor))) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto fail;
    }
    if ((rc = sort_names(cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_types"), &names,
                         &n_names)) < 0) {
        err_set(e, rc, "%s: out of memory", path);
        goto fail;
    }
    for (a->n_tensor = 0; (uint64_t)a->n_tensor < count; a->n_tensor++)
        if ((rc = read_entry(a, a->n_tensor, &at, names, n_names, &next, e)) < 0)
            goto fail;
    if ((rc = check_end(a, e)) < 0)
        goto fail;
    if ((bad = tensor_overlap(a->tensor, a->n_tensor)) != -1) {
        rc = bad < 0 ? err_set(e, ERR_NOMEM, "%s: out of memory", path)
                     : err_set(e, ERR_DATA, "%s: tensor %s: overlaps another tensor", path,
                               a->tensor[bad].name);
        goto fail;
    }
    free(names);
    return 0;
fail:
    free(names);
    apr_close(a);
    return rc;
}

void apr_close(struct apr *a)
{
    cJSON_Delete(a->meta);
    free(a->tensor);
    mapfile_close(&a->map);
    free(a->path);
    memset(a, 0, sizeof *a);
}

const struct tensor *apr_tensor(const struct apr *a, const char *name)
{
    int lo = 0, hi = a->n_tensor;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2, c = strcmp(name, a->tensor[mid].name);
        if (c == 0)
            return &a->tensor[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
