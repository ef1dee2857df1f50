/* slab.c - memory of weights: large pages shared by many weights */
#include "slab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 2 << 20, SLAB = 16 << 20 }; /* what a slab does not use is never touched */

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
    size_t size = bytes < SLAB ? SLAB : (bytes + PAGE - 1) / PAGE * PAGE;
    if (!s || !(s->p = aligned_alloc(PAGE, size))) {
        free(s);
        return NULL;
    }
    s->size = size;
    s->n_held = 1;
    madvise(s->p, size, MADV_HUGEPAGE); /* a wish: without it all works, slower */
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
