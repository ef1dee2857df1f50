/* packed - the file of prepared weights: header, index, forms; mapped, and checked by several threads */
#include "packed.h"
#include "hash.h"
#include "mapfile.h"
#include "outfile.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "APRPACK1";
enum { MAX_ENTRY = 1 << 20, MAX_THREADS = 16 };

struct head {                                  /* little-endian, as the machine that made it */
    char magic[8], layout[48], model[72];      /* sha256 of the metadata */
    uint64_t n_entry, file_bytes, index_xxh64; /* of head with this 0, then the entries */
    char zero[104];
};
struct entry {
    char name[TENSOR_NAME];
    int32_t type, n, k, zero;
    uint64_t off, bytes, xxh64; /* off from the file's start, a multiple of 64 */
};
_Static_assert(sizeof(struct head) == 256 && sizeof(struct entry) % 8 == 0, "no holes");

struct packed {
    struct head h;
    struct entry *entry;
    struct mapfile map;
};

static void model_hash(const struct apr *a, char hex[65])
{
    char *meta = cJSON_PrintUnformatted(a->meta);
    hash_sha256_mem(meta ? meta : "", meta ? strlen(meta) : 0, hex);
    free(meta);
}

static uint64_t index_hash(struct head h, const struct entry *v)
{
    h.index_xxh64 = 0;
    uint64_t first = hash_xxh64(&h, sizeof h, 0);
    return hash_xxh64(v, (size_t)h.n_entry * sizeof *v, first);
}

int packed_path(const char *model, char *name, size_t size)
{
    int n = snprintf(name, size, "%s.packed", model);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

void packed_free(struct packed *p)
{
    if (!p)
        return;
    mapfile_close(&p->map);
    free(p->entry);
    free(p);
}

/* Index within the file's bounds, entries in order without gaps of more than their alignment. */
static int check_index(const struct packed *p, const char *path, struct err *e)
{
    uint64_t end = sizeof p->h + p->h.n_entry * sizeof *p->entry;
    if (index_hash(p->h, p->entry) != p->h.index_xxh64)
        return err_set(e, ERR_DATA, "%s: damaged index; make it again or remove it", path);
    for (uint64_t i = 0; i < p->h.n_entry; i++) {
        const struct entry *v = &p->entry[i];
        if (!memchr(v->name, 0, sizeof v->name) || v->off % 64 || v->off < end ||
            v->off - end >= 64 || v->off > p->h.file_bytes || v->bytes > p->h.file_bytes - v->off)
            return err_set(e, ERR_DATA, "%s: entry %d: bytes outside of the file", path, (int)i);
        end = v->off + v->bytes;
    }
    return 0;
}

struct checking {
    const struct packed *p;
    atomic_size_t next;
    atomic_int bad; /* 1 + entry that has another hash */
};

static void *check_entries(void *arg)
{
    struct checking *c = arg;
    size_t i;
    while (!atomic_load(&c->bad) && (i = atomic_fetch_add(&c->next, 1)) < c->p->h.n_entry) {
        const struct entry *v = &c->p->entry[i];
        if (hash_xxh64(c->p->map.p + v->off, v->bytes, 0) != v->xxh64)
            atomic_store(&c->bad, 1 + (int)i);
    }
    return NULL;
}

/* The forms stay in the page cache, where the next start finds them, and are used there: copies in large pages
 * are read as fast to within what could be measured (1.5B Q4_K_M decode, AMX machine: 14.4 and 14.6 tokens/s),
 * but clearing and filling 0.9 GB of them was four fifths of the time to the first token. */
static int check_forms(const struct packed *p, const char *path, int n_threads, struct err *e)
{
    pthread_t t[MAX_THREADS];
    struct checking c = {.p = p};
    int n = 0;
    while (n + 1 < n_threads && n < MAX_THREADS && !pthread_create(&t[n], NULL, check_entries, &c))
        n++;
    check_entries(&c);
    while (n > 0)
        pthread_join(t[--n], NULL);
    return c.bad ? err_set(e, ERR_DATA, "%s: weight %s is damaged; make it again or remove it",
                           path, p->entry[c.bad - 1].name)
                 : 0;
}

/* Does the file belong to this model and device? */
static int fits(const struct head *h, const struct apr *a, const struct kn_dev *dev, char why[200])
{
    char hex[65];
    if (memcmp(h->magic, magic, sizeof magic) || !memchr(h->layout, 0, sizeof h->layout) ||
        strcmp(h->layout, kn_layout(dev)))
        return snprintf(why, 200, "made for another layout than \"%s\"", kn_layout(dev)), 0;
    if (!cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64"))
        return snprintf(why, 200, "the model has no hashes to know it by"), 0;
    model_hash(a, hex);
    if (!memchr(h->model, 0, sizeof h->model) || strcmp(h->model, hex))
        return snprintf(why, 200, "made for another model"), 0;
    return 1;
}

static int open_all(struct packed *p, const char *path, const struct apr *a,
                    const struct kn_dev *dev, char why[200], struct err *e)
{
    struct err no = {0};
    int rc;
    if (mapfile_open(&p->map, path, &no) < 0)
        return snprintf(why, 200, "%.199s", no.msg), 0;
    if (p->map.n < sizeof p->h)
        return snprintf(why, 200, "no file of packed weights"), 0;
    memcpy(&p->h, p->map.p, sizeof p->h);
    if (!fits(&p->h, a, dev, why))
        return 0;
    if (p->map.n != p->h.file_bytes || p->h.n_entry > MAX_ENTRY ||
        p->h.n_entry * sizeof *p->entry > p->h.file_bytes - sizeof p->h)
        return err_set(e, ERR_DATA, "%s: %zu bytes, expected %llu; make it again or remove it",
                       path, p->map.n, (unsigned long long)p->h.file_bytes);
    size_t index = (size_t)p->h.n_entry * sizeof *p->entry;
    if (!(p->entry = malloc(index + 1)))
        return err_set(e, ERR_NOMEM, "%s: needs %zu bytes", path, index);
    memcpy(p->entry, p->map.p + sizeof p->h, index);
    if ((rc = check_index(p, path, e)) < 0 || (rc = check_forms(p, path, dev->n_threads, e)) < 0)
        return rc;
    return 1;
}

int packed_open(struct packed **out, const char *path, const struct apr *a,
                const struct kn_dev *dev, char why[200], struct err *e)
{
    why[0] = 0;
    *out = NULL;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return 0;
    struct packed *p = calloc(1, sizeof *p);
    int rc = p ? open_all(p, path, a, dev, why, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 1)
        *out = p;
    else
        packed_free(p);
    return rc;
}

const void *packed_find(const struct packed *p, const struct tensor *t, size_t *bytes)
{
    for (uint64_t i = 0; p && t->ndim == 2 && i < p->h.n_entry; i++) {
        const struct entry *v = &p->entry[i];
        if (v->type == t->type && (uint64_t)v->n == t->dim[0] && (uint64_t)v->k == t->dim[1] &&
            !strcmp(v->name, t->name)) {
            *bytes = (size_t)v->bytes;
            return p->map.p + v->off;
        }
    }
    *bytes = 0;
    return NULL;
}

int packed_write(const char *path, const struct apr *a, const struct kn_dev *dev,
                 const struct tensor *const *t, const struct kn_weight *const *w, int n,
                 char sha256[65], uint64_t *bytes, struct err *e)
{
    struct outfile o = {0};
    struct head h = {0};
    struct entry *v = calloc((size_t)n + 1, sizeof *v);
    uint64_t at = sizeof h;
    int rc = v ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (!cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64"))
        rc = err_set(e, ERR_DATA, "%s: no tensor hashes to know the model by: import it again",
                     a->path);
    for (int i = 0; i < n; i++) {
        size_t size;
        kn_weight_form(dev, w[i], &size);
        at += size ? sizeof *v : 0;
    }
    for (int i = 0; rc == 0 && i < n; i++) {
        size_t size;
        const void *form = kn_weight_form(dev, w[i], &size);
        struct entry *x = &v[h.n_entry];
        if (!size) /* an embedding that is only looked up */
            continue;
        at = (at + 63) / 64 * 64;
        snprintf(x->name, sizeof x->name, "%.*s", TENSOR_NAME - 1, t[i]->name);
        x->type = t[i]->type, x->n = w[i]->n, x->k = w[i]->k;
        x->off = at, x->bytes = size, x->xxh64 = hash_xxh64(form, size, 0);
        at += size;
        h.n_entry++;
    }
    memcpy(h.magic, magic, sizeof magic);
    snprintf(h.layout, sizeof h.layout, "%s", kn_layout(dev));
    model_hash(a, h.model);
    h.file_bytes = at;
    h.index_xxh64 = v ? index_hash(h, v) : 0;
    if (rc < 0 || (rc = outfile_open(&o, path, e)) < 0 ||
        (rc = outfile_write(&o, &h, sizeof h, e)) < 0 ||
        (rc = outfile_write(&o, v, (size_t)h.n_entry * sizeof *v, e)) < 0)
        goto done;
    for (int i = 0; rc == 0 && i < n; i++) {
        size_t size;
        const void *form = kn_weight_form(dev, w[i], &size);
        if (size && (rc = outfile_pad(&o, 64, e)) == 0)
            rc = outfile_write(&o, form, size, e);
    }
    if (rc == 0 && (rc = outfile_commit(&o, e)) == 0) {
        memcpy(sha256, o.hex, 65);
        *bytes = at;
    }
done:
    outfile_abort(&o);
    free(v);
    return rc;
}
