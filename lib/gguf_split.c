/* gguf_split - a GGUF model in several files, as llama.cpp's gguf-split writes and reads them */
#include "gguf_split.h"
#include "outdir.h"
#include "outfile.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

uint64_t gguf_split_size(const char *text)
{
    static const char units[] = "KMG";
    char *end;
    uint64_t v, by = 1;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno)
        return 0;
    const char *u = *end ? strchr(units, *end) : NULL;
    for (int i = 0; u && i <= u - units; i++)
        by *= 1000;
    return (*end && (!u || end[1])) || __builtin_mul_overflow(v, by, &v) ? 0 : v;
}

int gguf_split_end(const struct gguf_split *s, const struct tensor *t, int n, int i)
{
    uint64_t sum = 0;
    int first = i;
    for (; i < n; i++) {
        uint64_t padded = (t[i].bytes + GGUF_ALIGN - 1) / GGUF_ALIGN * GGUF_ALIGN;
        if (i > first && ((s->max_bytes && padded > s->max_bytes - sum) ||
                          (s->max_tensors && i - first == s->max_tensors)))
            break;
        sum += padded;
        if (s->max_bytes && sum > s->max_bytes) { /* one that is too large alone */
            i++;
            break;
        }
    }
    return i;
}

struct part {
    int (*fill)(void *arg, int i, void *buf, struct err *e);
    void *arg;
    int first;
};

static int fill_part(void *arg, int i, void *buf, struct err *e)
{
    const struct part *p = arg;
    return p->fill(p->arg, p->first + i, buf, e);
}

static void put_split(struct gguf_out *w, int no, int count, int n_tensor)
{
    uint16_t a = (uint16_t)no, b = (uint16_t)count;
    int32_t c = n_tensor;
    gguf_out_num(w, "split.no", GGUF_U16, &a);
    gguf_out_num(w, "split.tensors.count", GGUF_I32, &c); /* gguf-split's order: equal bytes */
    gguf_out_num(w, "split.count", GGUF_U16, &b);
}

static char *name_of(const char *path, int no, int count)
{
    size_t n = strlen(path);
    char *s = malloc(n + 32);
    if (n > 5 && strcmp(path + n - 5, ".gguf") == 0)
        n -= 5;
    if (s)
        snprintf(s, n + 32, "%.*s-%05d-of-%05d.gguf", (int)n, path, no + 1, count);
    return s;
}

void gguf_pieces_free(struct gguf_piece *piece, int n)
{
    for (int i = 0; piece && i < n; i++)
        free(piece[i].path);
    free(piece);
}

/* Where a file lies before it gets its name (malloc). */
static char *below(const struct outdir *d, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t n = strlen(d->tmp) + strlen(base) + 2;
    char *s = malloc(n);
    if (s)
        snprintf(s, n, "%s/%s", d->tmp, base);
    return s;
}

/* The files out of the folder: without its first one a set is none. */
static int give_names(const struct outdir *d, const struct gguf_piece *p, int count, struct err *e)
{
    int rc = 0, named = count; /* files from here on have their names */
    if (unlink(p[0].path) && errno != ENOENT)
        return err_errno(e, ERR_CANTCREAT, "%s", p[0].path);
    while (named > 0 && rc == 0) {
        const char *to = p[named - 1].path;
        char *from = below(d, to);
        if (!from)
            rc = err_set(e, ERR_NOMEM, "%s: out of memory", to);
        else if (named == 1 && outfile_sync_dir(to)) /* the others' names before the first's */
            rc = err_errno(e, ERR_IO, "%s", to);
        else if (rename(from, to))
            rc = err_errno(e, ERR_CANTCREAT, "%s", to);
        else
            named--;
        free(from);
    }
    if (rc == 0 && outfile_sync_dir(p[0].path))
        rc = err_errno(e, ERR_IO, "%s", p[0].path);
    for (int i = named; rc < 0 && i < count; i++)
        unlink(p[i].path);
    return rc;
}

/* Every file in d, the first one last. */
static int write_files(const struct outdir *d, struct gguf_out *w, const struct tensor *t, int n,
                       const int *first, int count, struct gguf_piece *p,
                       int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                       struct err *e)
{
    int rc = 0;
    put_split(w, 0, count, n);
    for (int i = count; i-- > 0 && rc == 0;) {
        struct gguf_out own = {0}, whole = *w;
        struct part part = {fill, arg, first[i]};
        struct stat st;
        char *path = below(d, p[i].path);
        if (i)
            put_split(&own, i, count, n);
        whole.look = NULL; /* not before the file has the name by which the others are found */
        rc = path ? gguf_write(path, i ? &own : &whole, t + first[i], first[i + 1] - first[i],
                               fill ? fill_part : NULL, &part, p[i].sha256, e)
                  : err_set(e, ERR_NOMEM, "%s: out of memory", p[i].path);
        p[i].bytes = rc == 0 && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
        if (rc == 0 && i == 0 && w->look && (rc = w->look(w->look_arg, path, e)) < 0)
            err_prefix(e, "%s", p[0].path);
        gguf_out_free(&own);
        free(path);
    }
    return rc;
}

int gguf_write_split(const char *path, struct gguf_out *w, const struct tensor *t, int n,
                     const struct gguf_split *s,
                     int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                     struct gguf_piece **piece, int *n_piece, struct err *e)
{
    int first[GGUF_FILES + 1] = {0}, count = 0, rc = 0;
    struct gguf_piece *p;
    struct outdir d = {0};
    for (int i = 0; i < n || !count; i = first[count]) {
        if (count == GGUF_FILES)
            return err_set(e, ERR_DATA, "%s: more than %d files: give a larger bound", path,
                           GGUF_FILES);
        first[++count] = gguf_split_end(s, t, n, i);
    }
    if (!(p = calloc((size_t)count, sizeof *p)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    for (int i = 0; i < count && rc == 0; i++)
        if (!(p[i].path = name_of(path, i, count)))
            rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if (rc == 0 && (rc = outdir_beside(&d, path, e)) == 0 &&
        (rc = write_files(&d, w, t, n, first, count, p, fill, arg, e)) == 0)
        rc = give_names(&d, p, count, e);
    outdir_abort(&d);
    if (rc < 0) {
        gguf_pieces_free(p, count);
        return rc;
    }
    *piece = p;
    *n_piece = count;
    return 0;
}
