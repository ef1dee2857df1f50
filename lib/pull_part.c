/* pull_part - a file that comes in ranges: its bytes, and a table of what is there that survives kill -9
 *
 * The table is written after the bytes that it tells of.  A killed process loses nothing that it wrote; after a
 * power failure the table may be ahead of the bytes, which the digest of the whole file then shows. */
#include "pull_part.h"
#include "hash.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAVE_EVERY = 64 << 10 };

/* As it lies in PATH.part.state, on this machine only. */
struct table {
    char magic[8], key[80];
    uint64_t size;
    uint32_t n, crc; /* crc of all that follows, and of the rest with this zero */
    struct part_span span[PART_SPANS];
};
static const char magic[8] = "aprpart1";

static char *name(const struct part *p, const char *suffix)
{
    size_t n = strlen(p->path), k = strlen(suffix);
    char *s = malloc(n + k + 1);
    if (s) {
        memcpy(s, p->path, n);
        memcpy(s + n, suffix, k + 1);
    }
    return s;
}

int part_save(struct part *p, struct err *e)
{
    struct table t = {.size = p->size, .n = p->n};
    memcpy(t.magic, magic, sizeof magic);
    memcpy(t.key, p->key, sizeof t.key);
    memcpy(t.span, p->span, sizeof t.span);
    t.crc = hash_crc32(0, &t, sizeof t);
    p->unsaved = 0;
    if (pwrite(p->state, &t, sizeof t, 0) != (ssize_t)sizeof t)
        return err_errno(e, ERR_IO, "%s.part.state", p->path);
    return 0;
}

static int load(struct part *p)
{
    struct table t;
    struct stat st;
    if (pread(p->state, &t, sizeof t, 0) != (ssize_t)sizeof t || fstat(p->fd, &st))
        return 0;
    uint32_t crc = t.crc;
    t.crc = 0;
    if (memcmp(t.magic, magic, sizeof magic) || hash_crc32(0, &t, sizeof t) != crc ||
        memcmp(t.key, p->key, sizeof t.key) || t.size != p->size || !*p->key || t.n < 1 ||
        t.n > PART_SPANS || (uint64_t)st.st_size != p->size)
        return 0;
    uint64_t at = 0;
    for (uint32_t i = 0; i < t.n; at = t.span[i++].end)
        if (t.span[i].begin != at || t.span[i].at < at || t.span[i].end < t.span[i].at)
            return 0;
    if (at != p->size)
        return 0;
    p->n = t.n;
    memcpy(p->span, t.span, sizeof p->span);
    return 1;
}

static void cut(struct part *p, uint64_t range)
{
    uint64_t step = p->size, at = 0;
    memset(p->span, 0, sizeof p->span);
    if (range && p->size != UINT64_MAX && p->size / range >= 2) {
        step = p->size / PART_SPANS + 1;
        step = step > range ? step : range;
    }
    p->n = 0;
    do {
        struct part_span *s = &p->span[p->n++];
        s->begin = s->at = at;
        at = p->size - at > step ? at + step : p->size;
        s->end = at;
    } while (at < p->size);
}

int part_reset(struct part *p, int whole, uint64_t range, struct err *e)
{
    cut(p, whole ? 0 : range);
    if (ftruncate(p->fd, 0))
        return err_errno(e, ERR_IO, "%s.part", p->path);
    if (p->size != UINT64_MAX && p->size &&
        (p->size > INT64_MAX || (fallocate(p->fd, 0, 0, (off_t)p->size) &&
                                 (errno != EOPNOTSUPP || ftruncate(p->fd, (off_t)p->size)))))
        return err_errno(e, ERR_IO, "%s.part: %" PRIu64 " bytes", p->path, p->size);
    return part_save(p, e);
}

int part_open(struct part *p, const char *path, uint64_t size, const char *key, uint64_t range,
              struct err *e)
{
    char *part, *state;
    int rc = 0;
    *p = (struct part){.fd = -1, .state = -1, .size = size};
    snprintf(p->key, sizeof p->key, "%s", key);
    if (!(p->path = strdup(path)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    part = name(p, ".part");
    state = name(p, ".part.state");
    if (!part || !state)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
    else if ((p->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        rc = err_errno(e, ERR_CANTCREAT, "%s", part);
    else if (flock(p->fd, LOCK_EX | LOCK_NB))
        rc = err_set(e, ERR_LOCKED, "%s: another process is fetching it", part);
    else if ((p->state = open(state, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        rc = err_errno(e, ERR_CANTCREAT, "%s", state);
    else if (!load(p))
        rc = part_reset(p, 0, range, e);
    free(part);
    free(state);
    if (rc < 0)
        part_close(p);
    return rc;
}

int part_write(struct part *p, int span, const void *bytes, size_t n, struct err *e)
{
    struct part_span *s = &p->span[span];
    const char *b = bytes;
    while (n) {
        ssize_t k = pwrite(p->fd, b, n, (off_t)s->at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return err_errno(e, ERR_IO, "%s.part", p->path);
        b += k;
        n -= (size_t)k;
        s->at += (uint64_t)k;
        p->unsaved += (uint64_t)k;
    }
    return p->unsaved >= SAVE_EVERY || s->at == s->end ? part_save(p, e) : 0;
}

uint64_t part_done(const struct part *p)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < p->n; i++)
        n += p->span[i].at - p->span[i].begin;
    return n;
}

int part_complete(const struct part *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->span[i].at != p->span[i].end)
            return 0;
    return 1;
}

int part_commit(struct part *p, struct err *e)
{
    char *part = name(p, ".part"), *state = name(p, ".part.state");
    int rc = 0;
    if (!part || !state)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", p->path);
    else if (fsync(p->fd))
        rc = err_errno(e, ERR_IO, "%s", part);
    else if (rename(part, p->path))
        rc = err_errno(e, ERR_CANTCREAT, "%s", p->path);
    else
        unlink(state);
    free(part);
    free(state);
    return rc;
}

void part_remove(struct part *p)
{
    char *part = name(p, ".part"), *state = name(p, ".part.state");
    if (part)
        unlink(part);
    if (state)
        unlink(state);
    free(part);
    free(state);
}

void part_close(struct part *p)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->state >= 0)
        close(p->state);
    free(p->path);
    *p = (struct part){.fd = -1, .state = -1};
}
