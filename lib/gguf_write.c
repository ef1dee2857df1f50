/* gguf_write - GGUF v3 writer */
#include "gguf_write.h"
#include "json.h"
#include "outfile.h"
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian");

enum { VERSION = 3 };

/* of a gguf_vtype; strings and lists have no fixed one */
static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static void put(struct gguf_out *w, const void *p, size_t n)
{
    if (w->failed || n == 0)
        return;
    if (n > w->cap - w->n) {
        size_t cap;
        uint8_t *grown;
        if (!size_add(w->n, n, &cap) || !size_add(cap, cap / 2 + 4096, &cap) ||
            !(grown = realloc(w->kv, cap))) {
            w->failed = 1;
            return;
        }
        w->kv = grown;
        w->cap = cap;
    }
    memcpy(w->kv + w->n, p, n);
    w->n += n;
}

static void put_u32(struct gguf_out *w, uint32_t v)
{
    put(w, &v, sizeof v);
}

static void put_str(struct gguf_out *w, const char *s, size_t n)
{
    uint64_t len = n;
    put(w, &len, sizeof len);
    put(w, s, n);
}

static void put_key(struct gguf_out *w, const char *key, enum gguf_vtype type)
{
    put_str(w, key, strlen(key));
    put_u32(w, type);
    w->n_kv++;
}

void gguf_out_num(struct gguf_out *w, const char *key, enum gguf_vtype type, const void *value)
{
    put_key(w, key, type);
    put(w, value, width[type]);
}

void gguf_out_u32(struct gguf_out *w, const char *key, uint32_t v)
{
    gguf_out_num(w, key, GGUF_U32, &v);
}

void gguf_out_f32(struct gguf_out *w, const char *key, float v)
{
    gguf_out_num(w, key, GGUF_F32, &v);
}

void gguf_out_bool(struct gguf_out *w, const char *key, int v)
{
    uint8_t b = v != 0;
    gguf_out_num(w, key, GGUF_BOOL, &b);
}

void gguf_out_str(struct gguf_out *w, const char *key, const char *s)
{
    put_key(w, key, GGUF_STRING);
    put_str(w, s, strlen(s));
}

static void put_list(struct gguf_out *w, const char *key, enum gguf_vtype elem, uint64_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(w, elem);
    w->count_at = w->n;
    put(w, &n, sizeof n);
}

void gguf_out_nums(struct gguf_out *w, const char *key, enum gguf_vtype elem, const void *v,
                   uint64_t n)
{
    size_t bytes;
    put_list(w, key, elem, n);
    if (!size_mul(n, width[elem], &bytes))
        w->failed = 1;
    else
        put(w, v, bytes);
}

void gguf_out_strs(struct gguf_out *w, const char *key)
{
    put_list(w, key, GGUF_STRING, 0);
}

void gguf_out_item(struct gguf_out *w, const char *s, size_t n)
{
    uint64_t count;
    put_str(w, s, n);
    if (w->failed)
        return;
    memcpy(&count, w->kv + w->count_at, sizeof count);
    count++;
    memcpy(w->kv + w->count_at, &count, sizeof count);
}

void gguf_out_free(struct gguf_out *w)
{
    free(w->kv);
    memset(w, 0, sizeof *w);
}

/* ---- the file ---- */

static uint64_t aligned(uint64_t n)
{
    return (n + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
}

static int check_tensor(const char *path, const struct tensor *t, struct err *e)
{
    size_t need;
    char shape[200];
    if (!t->name[0] || strlen(t->name) > GGUF_NAME || !utf8_valid(t->name, strlen(t->name)))
        return err_set(e, ERR_DATA, "%s: tensor %s: expected a name of 1 to %d bytes of UTF-8",
                       path, t->name, GGUF_NAME);
    if (t->ndim < 1 || t->ndim > 4)
        return err_set(e, ERR_DATA, "%s: tensor %s: %d dims: GGUF holds 1 to 4", path, t->name,
                       t->ndim);
    if (t->type < 0 || t->type >= TENSOR_APR_Q4) /* ids from 128 on are not GGML's */
        return err_set(e, ERR_DATA, "%s: tensor %s: GGUF has no type %s", path, t->name,
                       tensor_type_name(t->type));
    if (!tensor_size(t->type, t->ndim, t->dim, &need) || !need || need != t->bytes)
        return err_set(e, ERR_DATA, "%s: tensor %s: %s %s does not take %zu bytes", path, t->name,
                       tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape), t->bytes);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_tensors(const char *path, const struct tensor *t, int n, struct err *e)
{
    const char **names = malloc(((size_t)n + 1) * sizeof *names);
    int rc = 0;
    if (!names)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = check_tensor(path, &t[i], e);
        names[i] = t[i].name;
    }
    if (rc == 0)
        qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 1; i < n && rc == 0; i++)
        if (strcmp(names[i], names[i - 1]) == 0)
            rc = err_set(e, ERR_SOFTWARE, "%s: tensor %s: given twice", path, names[i]);
    free(names);
    return rc;
}

/* Everything before the data. */
static int put_head(struct gguf_out *head, const struct gguf_out *w, const struct tensor *t, int n)
{
    uint64_t n_tensor = (uint64_t)n, off = 0;
    put(head, "GGUF", 4);
    put_u32(head, VERSION);
    put(head, &n_tensor, sizeof n_tensor);
    put(head, &w->n_kv, sizeof w->n_kv);
    put(head, w->kv, w->n);
    for (int i = 0; i < n; i++) {
        put_str(head, t[i].name, strlen(t[i].name));
        put_u32(head, (uint32_t)t[i].ndim);
        for (int d = t[i].ndim; d-- > 0;) /* innermost first */
            put(head, &t[i].dim[d], sizeof t[i].dim[d]);
        put_u32(head, (uint32_t)t[i].type);
        put(head, &off, sizeof off);
        off += aligned(t[i].bytes);
    }
    return w->failed || head->failed ? ERR_NOMEM : 0;
}

/* What is at o's temporary name, while it has that. */
static int show(struct outfile *o, const struct gguf_out *w, struct err *e)
{
    if (!w->look || !o->tmp)
        return 0;
    if (fflush(o->f))
        return err_errno(e, ERR_IO, "%s", o->path);
    return w->look(w->look_arg, o->tmp, e) < 0 ? err_prefix(e, "%s", o->path) : 0;
}

static int write_all(struct outfile *o, const struct gguf_out *head, const struct tensor *t, int n,
                     int (*fill)(void *, int, void *, struct err *), void *arg, void *buf,
                     struct err *e)
{
    int rc;
    if ((rc = outfile_write(o, head->kv, head->n, e)) < 0 ||
        (rc = outfile_pad(o, GGUF_ALIGN, e)) < 0)
        return rc;
    for (int i = 0; i < n; i++) {
        if (!t[i].data && (rc = fill(arg, i, buf, e)) < 0)
            return err_set(e, rc, "tensor %s", t[i].name);
        if ((rc = outfile_write(o, t[i].data ? t[i].data : buf, t[i].bytes, e)) < 0 ||
            (rc = outfile_pad(o, GGUF_ALIGN, e)) < 0)
            return rc;
    }
    return 0;
}

int gguf_write(const char *path, const struct gguf_out *w, const struct tensor *t, int n,
               int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg, char *sha256,
               struct err *e)
{
    struct gguf_out head = {0};
    struct outfile o = {0};
    struct err own = {0};
    size_t largest = 0;
    void *buf = NULL;
    int rc;
    if (!e)
        e = &own;
    for (int i = 0; i < n; i++)
        if (!t[i].data && t[i].bytes > largest)
            largest = t[i].bytes;
    if ((rc = check_tensors(path, t, n, e)) < 0)
        return rc;
    if (largest && !fill)
        return err_set(e, ERR_SOFTWARE, "%s: a tensor without data", path);
    if (put_head(&head, w, t, n) < 0 || (largest && !(buf = malloc(largest)))) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        goto done;
    }
    if ((rc = outfile_open(&o, path, e)) < 0)
        goto done;
    if ((rc = write_all(&o, &head, t, n, fill, arg, buf, e)) < 0 || (rc = show(&o, w, e)) < 0)
        outfile_abort(&o);
    else if ((rc = outfile_commit(&o, e)) == 0 && sha256)
        memcpy(sha256, o.hex, sizeof o.hex);
done:
    gguf_out_free(&head);
    free(buf);
    return rc;
}
