/* gguf - GGUF v2/v3 reader, split files too; every count, length and offset is checked before use
 */
#include "gguf.h"
#include "json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and mapped as they are");

/* smallest possible encodings: a count is compared with the bytes left before anything is allocated
 */
enum {
    MIN_KV = 8 + 1 + 4 + 1,
    MIN_INFO = 8 + 1 + 4 + 8 + 4 + 8,
    MAX_SHARDS = 1024,
    MAX_TENSORS = 1 << 20
};

static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4,
                                1, 0, 0, 8, 8, 8}; /* of a gguf_vtype; 0: no fixed one */

struct cur {
    const uint8_t *p;
    size_t n, at;
    const char *path;
};

/* n bytes at the cursor, or NULL with the error set */
static const uint8_t *take(struct cur *c, size_t n, const char *what, struct err *e)
{
    if (n > c->n - c->at) {
        err_set(e, ERR_DATA, "%s: truncated: %s at byte %zu takes %zu bytes, %zu are left", c->path,
                what, c->at, n, c->n - c->at);
        return NULL;
    }
    c->at += n;
    return c->p + c->at - n;
}

static int take_u32(struct cur *c, uint32_t *v, const char *what, struct err *e)
{
    const uint8_t *p = take(c, 4, what, e);
    if (p)
        memcpy(v, p, 4);
    return p ? 0 : ERR_DATA;
}

static int take_u64(struct cur *c, uint64_t *v, const char *what, struct err *e)
{
    const uint8_t *p = take(c, 8, what, e);
    if (p)
        memcpy(v, p, 8);
    return p ? 0 : ERR_DATA;
}

static int take_str(struct cur *c, struct gguf_str *s, const char *what, struct err *e)
{
    uint64_t n;
    if (take_u64(c, &n, what, e) < 0 || !(s->p = (const char *)take(c, n, what, e)))
        return ERR_DATA;
    s->n = n;
    return 0;
}

/* A key or a name: text. */
static int take_name(struct cur *c, struct gguf_str *s, const char *what, size_t max, struct err *e)
{
    size_t at = c->at;
    if (take_str(c, s, what, e) < 0)
        return ERR_DATA;
    if (s->n < 1 || s->n > max || memchr(s->p, 0, s->n) || !utf8_valid(s->p, s->n))
        return err_set(e, ERR_DATA,
                       "%s: %s at byte %zu: expected 1 to %zu bytes of UTF-8 text, found %zu",
                       c->path, what, at, max, s->n);
    return 0;
}

static int take_kv(struct cur *c, struct gguf_kv *kv, struct err *e)
{
    uint32_t type, elem;
    char where[100];
    if (take_name(c, &kv->key, "key", 65535, e) < 0 || take_u32(c, &type, "value type", e) < 0)
        return ERR_DATA;
    snprintf(where, sizeof where, "value of %.*s", (int)(kv->key.n < 60 ? kv->key.n : 60),
             kv->key.p);
    if (type > GGUF_F64)
        return err_set(e, ERR_DATA, "%s: %s: unknown value type %" PRIu32, c->path, where, type);
    kv->type = kv->elem = (enum gguf_vtype)type;
    kv->n = 1;
    if (kv->type == GGUF_ARRAY) {
        if (take_u32(c, &elem, where, e) < 0 || take_u64(c, &kv->n, where, e) < 0)
            return ERR_DATA;
        if (elem > GGUF_F64 || elem == GGUF_ARRAY)
            return err_set(e, ERR_DATA, "%s: %s: array of %s", c->path, where,
                           elem == GGUF_ARRAY ? "arrays: not supported" : "an unknown type");
        kv->elem = (enum gguf_vtype)elem;
    }
    kv->data = c->p + c->at;
    if (kv->elem != GGUF_STRING) {
        size_t bytes;
        if (!size_mul(kv->n, width[kv->elem], &bytes))
            return err_set(e, ERR_DATA, "%s: %s: %" PRIu64 " elements", c->path, where, kv->n);
        if (!take(c, bytes, where, e))
            return ERR_DATA;
        for (size_t i = 0; kv->elem == GGUF_BOOL && i < bytes; i++)
            if (kv->data[i] > 1)
                return err_set(e, ERR_DATA, "%s: %s: bool is %d", c->path, where, kv->data[i]);
        return 0;
    }
    if (kv->n > (c->n - c->at) / 8)
        return err_set(e, ERR_DATA, "%s: truncated: %s: %" PRIu64 " strings in %zu bytes", c->path,
                       where, kv->n, c->n - c->at);
    if (!(kv->strs = malloc((kv->n + 1) * sizeof *kv->strs)))
        return err_set(e, ERR_NOMEM, "%s: %s: out of memory", c->path, where);
    for (uint64_t i = 0; i < kv->n; i++)
        if (take_str(c, &kv->strs[i], where, e) < 0)
            return ERR_DATA;
    return 0;
}

static void free_kvs(struct gguf_kv *kv, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(kv[i].strs);
    free(kv);
}

static int by_key(const void *a, const void *b)
{
    const struct gguf_str *x = &(*(const struct gguf_kv *const *)a)->key,
                          *y = &(*(const struct gguf_kv *const *)b)->key;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int check_keys(const char *path, const struct gguf_kv *kv, size_t n, struct err *e)
{
    const struct gguf_kv **v = malloc((n + 1) * sizeof *v);
    int rc = 0;
    if (!v)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++)
        v[i] = &kv[i];
    qsort(v, n, sizeof *v, by_key);
    for (size_t i = 1; i < n && !rc; i++)
        if (by_key(&v[i - 1], &v[i]) == 0)
            rc = err_set(e, ERR_DATA, "%s: key %.*s is there twice", path,
                         (int)(v[i]->key.n < 100 ? v[i]->key.n : 100), v[i]->key.p);
    free(v);
    return rc;
}

static const char *type_problem(uint32_t type)
{
    static const uint8_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38};
    for (size_t i = 0; i < sizeof removed; i++)
        if (removed[i] == type)
            return "type was removed from the format";
    return type >= 128 || !tensor_type_block((int)type) ? "unknown type" : NULL;
}

/* One tensor description; data becomes its offset until the data's start is known. */
static int take_info(struct cur *c, struct tensor *t, uint64_t *off, struct err *e)
{
    struct gguf_str name;
    uint32_t ndim, type;
    uint64_t ne[4];
    const char *bad;
    char shape[120];
    if (take_name(c, &name, "tensor name", TENSOR_NAME, e) < 0)
        return ERR_DATA;
    memcpy(t->name, name.p, name.n);
    t->name[name.n] = 0;
    if (take_u32(c, &ndim, "tensor dims", e) < 0)
        return ERR_DATA;
    if (ndim < 1 || ndim > 4)
        return err_set(e, ERR_DATA, "%s: tensor %s: expected 1 to 4 dims, found %" PRIu32, c->path,
                       t->name, ndim);
    for (uint32_t i = 0; i < ndim; i++)
        if (take_u64(c, &ne[i], "tensor dims", e) < 0)
            return ERR_DATA;
    t->ndim = (int)ndim;
    for (uint32_t i = 0; i < ndim; i++) /* innermost first in the file */
        t->dim[i] = ne[ndim - 1 - i];
    if (take_u32(c, &type, "tensor type", e) < 0 || take_u64(c, off, "tensor offset", e) < 0)
        return ERR_DATA;
    if ((bad = type_problem(type)))
        return err_set(e, ERR_DATA, "%s: tensor %s: type id %" PRIu32 ": %s", c->path, t->name,
                       type, bad);
    t->type = (int)type;
    if (!tensor_size(t->type, t->ndim, t->dim, &t->bytes) || !t->bytes)
        return err_set(e, ERR_DATA, "%s: tensor %s: shape %s is impossible for %s (rows of %d)",
                       c->path, t->name, tensor_shape(t, shape, sizeof shape),
                       tensor_type_name(t->type), tensor_type_block(t->type));
    return 0;
}

/* Where the offsets of one shard's tensors point to. */
static int place(struct cur *c, struct tensor *t, const uint64_t *off, size_t n, uint64_t align,
                 struct err *e)
{
    size_t start = c->at;
    if (!n)
        return 0;
    if (!size_add(start, (size_t)((align - start % align) % align), &start) || start > c->n)
        return err_set(e, ERR_DATA, "%s: truncated: tensor data begin at byte %zu of %zu", c->path,
                       start, c->n);
    for (size_t i = 0; i < n; i++) {
        if (off[i] % align)
            return err_set(e, ERR_DATA,
                           "%s: tensor %s: offset %" PRIu64 ", expected a multiple of %" PRIu64,
                           c->path, t[i].name, off[i], align);
        if (off[i] > c->n - start || t[i].bytes > c->n - start - off[i])
            return err_set(e, ERR_DATA,
                           "%s: truncated: tensor %s needs bytes %zu+%" PRIu64
                           "+%zu, the file has %zu",
                           c->path, t[i].name, start, off[i], t[i].bytes, c->n);
        t[i].data = c->p + start + off[i];
    }
    return 0;
}

static const struct gguf_kv *find(const struct gguf_kv *kv, size_t n, const char *key)
{
    size_t k = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (kv[i].key.n == k && memcmp(kv[i].key.p, key, k) == 0)
            return &kv[i];
    return NULL;
}

static double number(enum gguf_vtype type, const uint8_t *p)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } v = {.u64 = 0};
    memcpy(&v, p, width[type]);
    switch (type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return v.u8;
    case GGUF_I8:
        return v.i8;
    case GGUF_U16:
        return v.u16;
    case GGUF_I16:
        return v.i16;
    case GGUF_U32:
        return v.u32;
    case GGUF_I32:
        return v.i32;
    case GGUF_F32:
        return (double)v.f32;
    case GGUF_U64:
        return (double)v.u64;
    case GGUF_I64:
        return (double)v.i64;
    case GGUF_F64:
        return v.f64;
    case GGUF_STRING:
    case GGUF_ARRAY:
        break;
    }
    return 0;
}

static double number_of(const char *path, const struct gguf_kv *kv, double dflt, struct err *e)
{
    if (!kv)
        return dflt;
    if (kv->type == GGUF_STRING || kv->type == GGUF_ARRAY) {
        err_set(e, ERR_DATA, "%s: key %.*s: expected a number, found %s", path, (int)kv->key.n,
                kv->key.p, kv->type == GGUF_ARRAY ? "an array" : "a string");
        return dflt;
    }
    return number(kv->type, kv->data);
}

/* One file of g. Its keys go to *kv_out, its tensors are appended. */
static int read_file(struct gguf *g, struct mapfile *m, struct gguf_kv **kv_out, size_t *n_kv_out,
                     struct err *e)
{
    struct cur c = {m->p, m->n, 0, m->path};
    uint32_t version;
    uint64_t n_tensor, n_kv, *off = NULL;
    struct gguf_kv *kv = NULL;
    const uint8_t *magic = take(&c, 4, "magic", e);
    double align;
    int rc = ERR_DATA;
    *kv_out = NULL;
    *n_kv_out = 0;
    if (!magic)
        return ERR_DATA;
    if (memcmp(magic, "GGUF", 4))
        return err_set(e, ERR_DATA,
                       "%s: not a GGUF file: expected magic 47475546, found %02x%02x%02x%02x",
                       c.path, magic[0], magic[1], magic[2], magic[3]);
    if (take_u32(&c, &version, "version", e) < 0)
        return ERR_DATA;
    if (version != 2 && version != 3)
        return err_set(e, ERR_DATA, "%s: GGUF version: expected 2 or 3, found %" PRIu32 "%s",
                       c.path, version,
                       version && !(version & 0xFFFF) ? " (a big-endian file: not supported)" : "");
    if (take_u64(&c, &n_tensor, "tensor count", e) < 0 || take_u64(&c, &n_kv, "key count", e) < 0)
        return ERR_DATA;
    size_t left = c.n - c.at;
    if (n_kv > left / MIN_KV || n_tensor > left / MIN_INFO)
        return err_set(e, ERR_DATA,
                       "%s: %" PRIu64 " keys and %" PRIu64 " tensors do not fit in %zu bytes",
                       c.path, n_kv, n_tensor, left);
    if (n_tensor > (uint64_t)(MAX_TENSORS - g->n_tensor))
        return err_set(e, ERR_DATA, "%s: more than %d tensors", c.path, MAX_TENSORS);
    struct tensor *grown = realloc(g->tensor, ((size_t)g->n_tensor + n_tensor + 1) * sizeof *grown);
    if (grown) {
        g->tensor = grown;
        memset(grown + g->n_tensor, 0, n_tensor * sizeof *grown);
    }
    kv = calloc(n_kv + 1, sizeof *kv);
    off = malloc((n_tensor + 1) * sizeof *off);
    if (!grown || !kv || !off) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", c.path);
        goto fail;
    }
    for (uint64_t i = 0; i < n_kv; i++)
        if ((rc = take_kv(&c, &kv[i], e)) < 0)
            goto fail;
    if ((rc = check_keys(c.path, kv, n_kv, e)) < 0)
        goto fail;
    rc = ERR_DATA;
    struct err wrong = {0};
    align = number_of(c.path, find(kv, n_kv, "general.alignment"), 32, &wrong);
    if (wrong.code || !(align >= 8 && align <= 1 << 30) || align != (double)(uint64_t)align ||
        ((uint64_t)align & ((uint64_t)align - 1))) { /* NaN is compared first: it has no integer */
        err_set(e, ERR_DATA, "%s: general.alignment: expected a power of two from 8 on, found %g",
                c.path, align);
        goto fail;
    }
    struct tensor *t = g->tensor + g->n_tensor;
    for (uint64_t i = 0; i < n_tensor; i++)
        if ((rc = take_info(&c, &t[i], &off[i], e)) < 0)
            goto fail;
    if ((rc = place(&c, t, off, n_tensor, (uint64_t)align, e)) < 0)
        goto fail;
    g->n_tensor += (int)n_tensor;
    *kv_out = kv;
    *n_kv_out = n_kv;
    free(off);
    return 0;
fail:
    free_kvs(kv, kv ? n_kv : 0);
    free(off);
    return rc;
}

/* Files 2 to n of a split model: NAME-00001-of-0000N.gguf was given. */
static int read_shards(struct gguf *g, int count, double total, struct err *e)
{
    size_t n = strlen(g->path);
    int no = 0, of = 0, end = 0;
    const char *tail = n >= 20 ? g->path + n - 20 : "";
    char *path;
    int rc = 0;
    if (sscanf(tail, "-%5d-of-%5d.gguf%n", &no, &of, &end) != 2 || end != 20 || no != 1 ||
        of != count)
        return err_set(e, ERR_DATA,
                       "%s: file 1 of %d: expected a name that ends in -00001-of-%05d.gguf (give "
                       "the first file)",
                       g->path, count, count);
    struct mapfile *maps = realloc(g->map, (size_t)count * sizeof *maps);
    if (!maps || !(g->map = maps, path = malloc(n + 1)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", g->path);
    memcpy(path, g->path, n + 1);
    for (int i = 1; i < count && rc == 0; i++) {
        struct gguf_kv *kv;
        size_t n_kv;
        struct err wrong = {0};
        snprintf(path + n - 20, 21, "-%05u-of-%05u.gguf", (unsigned)(i + 1) % 100000u,
                 (unsigned)count % 100000u);
        struct mapfile *m = &g->map[g->n_map];
        if ((rc = mapfile_open(m, path, e)) < 0)
            break;
        g->n_map++;
        if ((rc = read_file(g, m, &kv, &n_kv, e)) == 0) {
            double found_no = number_of(path, find(kv, n_kv, "split.no"), -1, &wrong),
                   found_of = number_of(path, find(kv, n_kv, "split.count"), -1, &wrong);
            double all = number_of(path, find(kv, n_kv, "split.tensors.count"), total, &wrong);
            if (found_no == i && found_of == count && all != total)
                rc = err_set(e, ERR_DATA,
                             "%s: split.tensors.count: expected %g as in the first file, found %g",
                             path, total, all);
            else if (found_no != i || found_of != count)
                rc =
                    err_set(e, ERR_DATA, "%s: split.no, split.count: expected %d, %d, found %g, %g",
                            path, i, count, found_no, found_of);
            free_kvs(kv, n_kv);
        }
        m->path = g->path; /* `path` goes away */
    }
    free(path);
    return rc;
}

int gguf_open(struct gguf *g, const char *path, struct err *e)
{
    int rc, bad;
    struct err wrong = {0};
    memset(g, 0, sizeof *g);
    g->path = strdup(path);
    g->map = calloc(1, sizeof *g->map);
    if (!g->path || !g->map) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto fail;
    }
    if ((rc = mapfile_open(&g->map[0], g->path, e)) < 0)
        goto fail;
    g->n_map = 1;
    if ((rc = read_file(g, &g->map[0], &g->kv, &g->n_kv, e)) < 0)
        goto fail;
    double count = number_of(path, gguf_find(g, "split.count"), 0, &wrong);
    if (wrong.code || !(count >= 0 && count <= MAX_SHARDS)) {
        rc = err_set(e, ERR_DATA, "%s: split.count: expected 1 to %d, found %g", path, MAX_SHARDS,
                     count);
        goto fail;
    }
    double no = number_of(path, gguf_find(g, "split.no"), 0, &wrong),
           total = number_of(path, gguf_find(g, "split.tensors.count"), -1, &wrong);
    if (wrong.code || no != 0) {
        rc = err_set(e, ERR_DATA, "%s: split.no: expected 0, found %g (give the first file)", path,
                     no);
        goto fail;
    }
    if (count > 1 && (rc = read_shards(g, (int)count, total, e)) < 0)
        goto fail;
    if (total >= 0 && total != g->n_tensor) {
        rc = err_set(e, ERR_DATA, "%s: split.tensors.count: expected %g tensors, found %d", path,
                     total, g->n_tensor);
        goto fail;
    }
    qsort(g->tensor, (size_t)g->n_tensor, sizeof *g->tensor, tensor_by_name);
    for (int i = 1; i < g->n_tensor; i++)
        if (strcmp(g->tensor[i].name, g->tensor[i - 1].name) == 0) {
            rc = err_set(e, ERR_DATA, "%s: tensor %s is there twice", path, g->tensor[i].name);
            goto fail;
        }
    if ((bad = tensor_overlap(g->tensor, g->n_tensor)) != -1) {
        rc = bad < 0 ? err_set(e, ERR_NOMEM, "%s: out of memory", path)
                     : err_set(e, ERR_DATA, "%s: tensor %s: overlaps another tensor", path,
                               g->tensor[bad].name);
        goto fail;
    }
    return 0;
fail:
    gguf_close(g);
    return rc;
}

void gguf_close(struct gguf *g)
{
    free_kvs(g->kv, g->n_kv);
    free(g->tensor);
    for (int i = 0; i < g->n_map; i++)
        mapfile_close(&g->map[i]);
    free(g->map);
    free(g->path);
    memset(g, 0, sizeof *g);
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key)
{
    return find(g->kv, g->n_kv, key);
}

double gguf_num(const struct gguf *g, const char *key, double dflt, struct err *e)
{
    return number_of(g->path, gguf_find(g, key), dflt, e);
}

int32_t gguf_id(const struct gguf *g, const char *key, int n, struct err *e)
{
    const double id = gguf_num(g, key, -1, e);
    if (id == -1 || id == UINT32_MAX)
        return -1;
    if (id >= 0 && id < n && id == (double)(int32_t)id)
        return (int32_t)id;
    err_set(e, ERR_DATA, "%s: %s: %.10g is outside the vocabulary of %d", g->path, key, id, n);
    return -1;
}

double gguf_elem(const struct gguf_kv *kv, uint64_t i)
{
    return i < kv->n && width[kv->elem] ? number(kv->elem, kv->data + i * width[kv->elem]) : 0;
}

const struct gguf_str *gguf_string(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && kv->type == GGUF_STRING ? kv->strs : NULL;
}

const struct tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    struct tensor key;
    if (strlen(name) > TENSOR_NAME || !g->n_tensor)
        return NULL;
    memcpy(key.name, name, strlen(name) + 1);
    return bsearch(&key, g->tensor, (size_t)g->n_tensor, sizeof key, tensor_by_name);
}
