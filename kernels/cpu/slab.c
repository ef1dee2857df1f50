/* slab.c - memory in large pages: of weights, many in one, and of other large arrays */
#include "slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 2 << 20, SLAB = 16 << 20 }; /* what a slab does not use is never touched */

void *large_alloc(size_t bytes)
{
    const size_t page = bytes < PAGE ? 64 : PAGE;
    if (bytes > SIZE_MAX - page)
        return NULL;
    bytes = (bytes + page - 1) / page * page;
    void *p = aligned_alloc(page, bytes ? bytes : page);
    if (p && page == PAGE)
        madvise(p, bytes, MADV_HUGEPAGE); /* a wish: without it all works, slower */
    return p;
}

size_t large_bytes(size_t bytes)
{
    const size_t page = bytes < PAGE ? 64 : PAGE;
    return bytes > SIZE_MAX - page ? SIZE_MAX : (bytes + page - 1) / page * page;
}

void slab_count(struct slab_count *c, size_t bytes)
{
    bytes = bytes > SIZE_MAX - 2 * (size_t)PAGE ? SIZE_MAX / 2 : (bytes + 63) & ~(size_t)63;
    if (c->size - c->used < bytes) {
        c->size = bytes < SLAB ? SLAB : bytes;
        c->used = 0;
    }
    const size_t before = c->used ? large_bytes(c->used < PAGE ? PAGE : c->used) : 0;
    c->used += bytes;
    c->pages += large_bytes(c->used < PAGE ? PAGE : c->used) - before;
}

void slab_drop(struct slab *s)
{
    if (s && --s->n_held == 0) {
        free(s->p);
        free(s);
    }
}

static struct slab *slab_new(size_t bytes)
{
    struct slab *s = calloc(1, sizeof *s);
    size_t size = bytes < SLAB ? SLAB : bytes;
    if (!s || !(s->p = large_alloc(size))) {
        free(s);
        return NULL;
    }
    s->size = size;
    s->n_held = 1;
    return s;
}

void *slab_take(struct slab **now, size_t bytes, struct slab **owner)
{
    if (bytes > SIZE_MAX - 2 * (size_t)PAGE)
        return NULL;
    bytes = (bytes + 63) & ~(size_t)63;
    if (!*now || (*now)->size - (*now)->used < bytes) {
        struct slab *s = slab_new(bytes);
        if (!s)
            return NULL;
        slab_drop(*now);
        *now = s;
    }
    struct slab *s = *now;
    void *p = s->p + s->used;
    s->used += bytes;
    s->n_held++;
    *owner = s;
    return p;
}
