/* slab.h - memory in large pages: of weights, many in one, and of other large arrays
 *
 * A product reads its weight in one line; with 4 KiB pages the processor's prefetch stops at every
 * page and decode loses a sixth of the bandwidth.  Weights are smaller than a 2 MiB page, so they
 * share slabs.  A slab is freed with its last weight. */
#ifndef SLAB_H
#define SLAB_H
#include <stddef.h>

/* At least `bytes`, aligned to 64, from 2 MiB on in large pages where the system has them; free() it.  NULL =
 * out of memory. */
void *large_alloc(size_t bytes);

struct slab {
    char *p;
    size_t used, size;
    int n_held; /* weights inside, and one for the slab that is being filled */
};
/* bytes aligned to 64 from *now, or from a new slab that becomes *now; *owner is to be dropped
 * later. NULL = out of memory. */
void *slab_take(struct slab **now, size_t bytes, struct slab **owner);
void slab_drop(struct slab *s);

/* Bytes that large_alloc(bytes) comes to occupy when all of it is used. */
size_t large_bytes(size_t bytes);
/* The same walk as slab_take's, of sizes alone. pages: what filled slabs and the one at hand occupy. */
struct slab_count {
    size_t used, size, pages;
};
void slab_count(struct slab_count *c, size_t bytes);
#endif
