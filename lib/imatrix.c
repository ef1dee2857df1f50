/* imatrix - importance matrices: llama.cpp's two file formats */
#include "imatrix.h"
#include "gguf_write.h"
#include "mapfile.h"
#include "outfile.h"
#include "tensor.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- entries ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct imatrix_entry *)a)->name, ((const struct imatrix_entry *)b)->name);
}

const struct imatrix_entry *imatrix_find(const struct imatrix *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->entry[i].name, name) == 0)
            return &m->entry[i];
    return NULL;
}

/* One more entry, of zeros. */
static struct imatrix_entry *append(struct imatrix *m, const char *name, size_t n_mat, size_t cols,
                                    struct err *e)
{
    struct imatrix_entry *t;
    size_t values;
    if (m->n == m->cap) {
        size_t cap = m->cap ? 2 * m->cap : 64;
        if (!(t = realloc(m->entry, cap * sizeof *t)))
            goto full;
        m->entry = t;
        m->cap = cap;
    }
    t = &m->entry[m->n];
    *t = (struct imatrix_entry){.name = strdup(name), .n_mat = n_mat, .cols = cols};
    t->count = calloc(n_mat + 1, sizeof *t->count);
    t->sum = size_mul(n_mat, cols, &values) ? calloc(values + 1, sizeof *t->sum) : NULL;
    if (t->name && t->count && t->sum) {
        m->n++;
        return t;
    }
    free(t->name);
    free(t->count);
    free(t->sum);
full:
    err_set(e, ERR_NOMEM, "weight %s: out of memory", name);
    return NULL;
}

struct imatrix_entry *imatrix_get(struct imatrix *m, const char *name, size_t n_mat, size_t cols,
                                  struct err *e)
{
    struct imatrix_entry *t = (struct imatrix_entry *)imatrix_find(m, name);
    if (!t)
        return append(m, name, n_mat, cols, e);
    if (t->n_mat == n_mat && t->cols == cols)
        return t;
    err_set(e, ERR_DATA, "weight %s: %zu x %zu sums, expected %zu x %zu", name, t->n_mat, t->cols,
            n_mat, cols);
    return NULL;
}

int imatrix_dataset(struct imatrix *m, const char *name, struct err *e)
{
    char **more = realloc(m->dataset, (m->n_dataset + 1) * sizeof *more);
    if (more)
        m->dataset = more;
    if (!more || !(more[m->n_dataset] = strdup(name)))
        return err_set(e, ERR_NOMEM, "out of memory");
    m->n_dataset++;
    return 0;
}

int imatrix_add(struct imatrix *a, const struct imatrix *b, struct err *e)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct imatrix_entry *from = &b->entry[i];
        struct imatrix_entry *to = imatrix_get(a, from->name, from->n_mat, from->cols, e);
        if (!to)
            return e->code;
        /* the older format counts chunks, and its sums are as much smaller */
        const int64_t rows = b->chunk_size || !a->chunk_size ? 1 : a->chunk_size;
        for (size_t k = 0; k < from->n_mat * from->cols; k++)
            to->sum[k] += from->sum[k] * (float)rows;
        for (size_t k = 0; k < from->n_mat; k++)
            to->count[k] += from->count[k] * rows;
    }
    for (size_t i = 0; i < b->n_dataset; i++)
        if (imatrix_dataset(a, b->dataset[i], e) < 0)
            return e->code;
    a->chunks += b->chunks;
    return 0;
}

void imatrix_mean(const struct imatrix_entry *t, float *mean)
{
    for (size_t k = 0; k < t->n_mat; k++)
        for (size_t i = 0; i < t->cols; i++) {
            const size_t at = k * t->cols + i;
            mean[at] = t->count[k] > 0 ? t->sum[at] / (float)t->count[k] : 1;
        }
}

void imatrix_free(struct imatrix *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->entry[i].name);
        free(m->entry[i].sum);
        free(m->entry[i].count);
    }
    for (size_t i = 0; i < m->n_dataset; i++)
        free(m->dataset[i]);
    free(m->entry);
    free(m->dataset);
    memset(m, 0, sizeof *m);
}

/* A sum of squares is neither negative nor NaN. */
static int check_sums(const struct imatrix_entry *t, const char *path, struct err *e)
{
    for (size_t i = 0; i < t->n_mat * t->cols; i++)
        if (!(t->sum[i] >= 0 && isfinite(t->sum[i])))
            return err_set(e, ERR_DATA, "%s: weight %s: value %zu is %g, expected a sum of squares",
                           path, t->name, i, (double)t->sum[i]);
    return 0;
}

/* ---- GGUF ---- */

static int read_counts(struct imatrix_entry *t, const struct tensor *c, const char *path,
                       struct err *e)
{
    for (size_t k = 0; k < t->n_mat; k++) {
        float v;
        memcpy(&v, (const char *)c->data + 4 * k, 4);
        if (!(v >= 0 && v <= 9e15f))
            return err_set(e, ERR_DATA, "%s: tensor %s: count %zu is %g", path, c->name, k,
                           (double)v);
        t->count[k] = llroundf(v);
    }
    return 0;
}

static int read_pair(struct imatrix *m, const struct gguf *g, const struct tensor *s,
                     const char *path, struct err *e)
{
    char name[TENSOR_NAME + 1], other[TENSOR_NAME + 16];
    const size_t stem = strlen(s->name) - strlen(".in_sum2");
    memcpy(name, s->name, stem);
    name[stem] = 0;
    snprintf(other, sizeof other, "%s.counts", name);
    const struct tensor *c = gguf_tensor(g, other);
    if (!c)
        return err_set(e, ERR_DATA, "%s: tensor %s: %s is missing", path, s->name, other);
    const uint64_t n_mat = tensor_count(c), values = tensor_count(s);
    if (tensor_type_by_name("F32") != s->type || s->type != c->type || !n_mat || !values ||
        values % n_mat)
        return err_set(
            e, ERR_DATA, "%s: tensor %s: %" PRIu64 " sums (%s) for %" PRIu64 " counts (%s)", path,
            s->name, values, tensor_type_name(s->type), n_mat, tensor_type_name(c->type));
    struct imatrix_entry *t = append(m, name, n_mat, values / n_mat, e);
    if (!t)
        return err_prefix(e, "%s", path);
    memcpy(t->sum, s->data, values * 4);
    return read_counts(t, c, path, e);
}

static uint32_t number(const struct gguf *g, const char *key, struct err *e)
{
    double v = gguf_num(g, key, 0, e);
    return v >= 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
}

static int read_gguf(struct imatrix *m, const char *path, struct err *e)
{
    struct gguf g;
    int rc = gguf_open(&g, path, e);
    if (rc < 0)
        return rc;
    const struct gguf_kv *sets = gguf_find(&g, "imatrix.datasets");
    for (int i = 0; i < g.n_tensor && rc == 0; i++) {
        const char *end = strstr(g.tensor[i].name, ".in_sum2");
        if (end && !end[strlen(".in_sum2")] && end > g.tensor[i].name)
            rc = read_pair(m, &g, &g.tensor[i], path, e);
    }
    for (uint64_t i = 0; rc == 0 && sets && sets->type == GGUF_ARRAY && sets->strs && i < sets->n;
         i++) {
        char *s = strndup(sets->strs[i].p, sets->strs[i].n);
        rc = s ? imatrix_dataset(m, s, e) : err_set(e, ERR_NOMEM, "out of memory");
        free(s);
    }
    if (rc == 0) {
        m->chunks = number(&g, "imatrix.chunk_count", e);
        m->chunk_size = number(&g, "imatrix.chunk_size", e);
        rc = e->code < 0 ? e->code : 0;
    }
    if (rc == 0 && !m->n)
        rc = err_set(e, ERR_DATA, "%s: no tensor NAME.in_sum2: no importance matrix", path);
    gguf_close(&g);
    return rc;
}

/* ---- .dat: number of entries; each: length and text of the name, calls, number of values, values;
 * chunks; length and text of the data set's name (the last two may be missing).  All int32 and f32. ---- */

struct cursor {
    const uint8_t *p;
    size_t n, at;
    const char *path;
};

static int take_i32(struct cursor *c, const char *what, int32_t *v, struct err *e)
{
    *v = 0;
    if (c->n - c->at < 4)
        return err_set(e, ERR_DATA, "%s: offset %zu: %s: the file ends", c->path, c->at, what);
    memcpy(v, c->p + c->at, 4);
    c->at += 4;
    return 0;
}

/* `n` bytes of text with no NUL, at most TENSOR_NAME for a name. */
static char *take_text(struct cursor *c, const char *what, int32_t max, struct err *e)
{
    int32_t n;
    size_t at = c->at;
    char *s = NULL;
    if (take_i32(c, what, &n, e) < 0)
        return NULL;
    if (n < 0 || n > max || (size_t)n > c->n - c->at || memchr(c->p + c->at, 0, (size_t)n))
        err_set(e, ERR_DATA, "%s: offset %zu: %s: %" PRId32 " bytes of text", c->path, at, what, n);
    else if (!(s = strndup((const char *)c->p + c->at, (size_t)n)))
        err_set(e, ERR_NOMEM, "out of memory");
    else
        c->at += (size_t)n;
    return s;
}

static int read_dat_entry(struct imatrix *m, struct cursor *c, struct err *e)
{
    int32_t calls = 0, values = 0;
    char *name = take_text(c, "name of a weight", TENSOR_NAME, e);
    struct imatrix_entry *t;
    int rc = name ? 0 : e->code;
    if (rc == 0 && !*name)
        rc = err_set(e, ERR_DATA, "%s: offset %zu: a weight without a name", c->path, c->at);
    if (rc == 0 && (take_i32(c, "calls", &calls, e) < 0 || take_i32(c, "values", &values, e) < 0))
        rc = e->code;
    if (rc == 0 && (values < 1 || calls < 0 || (size_t)values > (c->n - c->at) / 4))
        rc = err_set(e, ERR_DATA,
                     "%s: weight %s: %" PRId32 " values of %" PRId32 " calls, %zu bytes are left",
                     c->path, name, values, calls, c->n - c->at);
    if (rc == 0) {
        if ((t = append(m, name, 1, (size_t)values, e))) {
            memcpy(t->sum, c->p + c->at, (size_t)values * 4);
            c->at += (size_t)values * 4;
            t->count[0] = calls ? calls : 1; /* as llama-quantize: values as they are */
        } else {
            rc = err_prefix(e, "%s", c->path);
        }
    }
    free(name);
    return rc;
}

static int read_dat(struct imatrix *m, const struct mapfile *map, struct err *e)
{
    struct cursor c = {map->p, map->n, 0, map->path};
    int32_t n, chunks;
    int rc = take_i32(&c, "number of weights", &n, e);
    if (rc == 0 && n < 1)
        rc = err_set(e, ERR_DATA, "%s: %" PRId32 " weights: no importance matrix", map->path, n);
    for (int32_t i = 0; i < n && rc == 0; i++)
        rc = read_dat_entry(m, &c, e);
    if (rc == 0 && c.at < c.n) {
        char *name = NULL;
        if ((rc = take_i32(&c, "chunks", &chunks, e)) == 0) {
            m->chunks = chunks > 0 ? (uint32_t)chunks : 0;
            if (c.at < c.n && !(name = take_text(&c, "data set", 65536, e)))
                rc = e->code;
        }
        if (name && *name)
            rc = imatrix_dataset(m, name, e);
        free(name);
    }
    return rc;
}

int imatrix_read(struct imatrix *m, const char *path, struct err *e)
{
    struct mapfile map;
    memset(m, 0, sizeof *m);
    int rc = mapfile_open(&map, path, e);
    if (rc < 0)
        return rc;
    if (map.n >= 4 && memcmp(map.p, "GGUF", 4) == 0 && strcmp(path, "-"))
        rc = read_gguf(m, path, e);
    else
        rc = read_dat(m, &map, e);
    mapfile_close(&map);
    for (size_t i = 0; i < m->n && rc == 0; i++)
        rc = check_sums(&m->entry[i], path, e);
    if (rc == 0)
        qsort(m->entry, m->n, sizeof *m->entry, by_name);
    for (size_t i = 1; i < m->n && rc == 0; i++)
        if (strcmp(m->entry[i - 1].name, m->entry[i].name) == 0)
            rc = err_set(e, ERR_DATA, "%s: weight %s: twice", path, m->entry[i].name);
    if (rc < 0)
        imatrix_free(m);
    return rc;
}

/* ---- writing ---- */

static int write_gguf(const struct imatrix *m, const char *path, char *sha256, struct err *e)
{
    struct gguf_out w = {0};
    struct tensor *t = calloc(2 * m->n + 1, sizeof *t);
    float **count = calloc(m->n + 1, sizeof *count);
    int rc = t && count ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    gguf_out_str(&w, "general.type", "imatrix");
    gguf_out_strs(&w, "imatrix.datasets");
    for (size_t i = 0; i < m->n_dataset; i++)
        gguf_out_item(&w, m->dataset[i], strlen(m->dataset[i]));
    gguf_out_u32(&w, "imatrix.chunk_count", m->chunks);
    gguf_out_u32(&w, "imatrix.chunk_size", m->chunk_size);
    for (size_t i = 0; i < m->n && rc == 0; i++) {
        const struct imatrix_entry *x = &m->entry[i];
        if (!(count[i] = malloc((x->n_mat + 1) * sizeof **count))) {
            rc = err_set(e, ERR_NOMEM, "out of memory");
            break;
        }
        for (size_t k = 0; k < x->n_mat; k++)
            count[i][k] = (float)x->count[k];
        struct tensor *s = &t[2 * i], *c = s + 1;
        *s = (struct tensor){.ndim = 2, .dim = {x->n_mat, x->cols}, .data = x->sum};
        *c = (struct tensor){.ndim = 2, .dim = {x->n_mat, 1}, .data = count[i]};
        if (x->n_mat == 1) { /* ggml counts no outer dimensions of 1 */
            *s = (struct tensor){.ndim = 1, .dim = {x->cols}, .data = x->sum};
            *c = (struct tensor){.ndim = 1, .dim = {1}, .data = count[i]};
        }
        if (snprintf(s->name, sizeof s->name, "%s.in_sum2", x->name) >= (int)sizeof s->name ||
            snprintf(c->name, sizeof c->name, "%s.counts", x->name) >= (int)sizeof c->name)
            rc = err_set(e, ERR_DATA, "weight %s: the name is too long", x->name);
        s->bytes = tensor_bytes(s->type, s->ndim, s->dim);
        c->bytes = tensor_bytes(c->type, c->ndim, c->dim);
    }
    if (rc == 0)
        rc = gguf_write(path, &w, t, (int)(2 * m->n), NULL, NULL, sha256, e);
    for (size_t i = 0; count && i < m->n; i++)
        free(count[i]);
    free(count);
    free(t);
    gguf_out_free(&w);
    return rc;
}

static int put_i32(struct outfile *o, int64_t v, struct err *e)
{
    int32_t x = v > INT32_MAX ? INT32_MAX : (int32_t)v;
    return outfile_write(o, &x, 4, e);
}

static int put_text(struct outfile *o, const char *s, struct err *e)
{
    int rc = put_i32(o, (int64_t)strlen(s), e);
    return rc < 0 ? rc : outfile_write(o, s, strlen(s), e);
}

/* As save_imatrix_legacy of llama.cpp: means times calls, calls = chunks rounded up. */
static int put_dat_entry(struct outfile *o, const struct imatrix_entry *x, int64_t chunk_size,
                         struct err *e)
{
    int64_t most = 0;
    int rc;
    for (size_t k = 0; k < x->n_mat; k++)
        most = x->count[k] > most ? x->count[k] : most;
    const int64_t calls = (most + chunk_size - 1) / chunk_size;
    if ((rc = put_text(o, x->name, e)) < 0 || (rc = put_i32(o, calls, e)) < 0 ||
        (rc = put_i32(o, (int64_t)(x->n_mat * x->cols), e)) < 0)
        return rc;
    for (size_t i = 0; i < x->n_mat * x->cols && rc == 0; i++) {
        const int64_t n = x->count[i / x->cols];
        float v = (n ? x->sum[i] / (float)n : 1) * (float)calls;
        rc = outfile_write(o, &v, 4, e);
    }
    return rc;
}

static int write_dat(const struct imatrix *m, const char *path, char *sha256, struct err *e)
{
    struct outfile o;
    const int64_t size = m->chunk_size ? m->chunk_size : 1;
    size_t n = 0;
    int rc = outfile_open(&o, path, e);
    if (rc < 0)
        return rc;
    for (int pass = 0; pass < 2 && rc == 0; pass++) { /* entries without any data are left out */
        if (pass)
            rc = put_i32(&o, (int64_t)n, e);
        for (size_t i = 0; i < m->n && rc == 0; i++) {
            int64_t all = 0;
            for (size_t k = 0; k < m->entry[i].n_mat; k++)
                all += m->entry[i].count[k];
            if (all && pass)
                rc = put_dat_entry(&o, &m->entry[i], size, e);
            n += all && !pass;
        }
    }
    if (rc == 0)
        rc = put_i32(&o, m->chunks, e);
    if (rc == 0)
        rc = put_text(&o, m->n_dataset ? m->dataset[m->n_dataset - 1] : "", e);
    if (rc < 0) {
        outfile_abort(&o);
        return rc;
    }
    if ((rc = outfile_commit(&o, e)) == 0 && sha256)
        memcpy(sha256, o.hex, 65);
    return rc;
}

int imatrix_write(struct imatrix *m, const char *path, int dat, char *sha256, struct err *e)
{
    qsort(m->entry, m->n, sizeof *m->entry, by_name);
    return dat ? write_dat(m, path, sha256, e) : write_gguf(m, path, sha256, e);
}
