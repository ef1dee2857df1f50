/* rows.h - operations on one row or one head, and attention of one row: an instruction set's table
 */
#ifndef ROWS_H
#define ROWS_H
#include "../blocks.h"

enum {
    ATTN_MAX_HEADS = 4, /* query heads of one KV head served by one pass over the cache */
    ATTN_MAX_DIM = 512,
};

/* Attention of `heads` query heads of one row that share a KV head.  The cache is in blocks of
 * KN_TILE positions; k and v of a block and KV head are (KN_TILE, dim) with dim padded to 16. */
struct attn_row {
    int heads, head_dim, dim, pos, type;
    float scale;
    const int32_t *blocks; /* ids of the sequence's blocks */
    const char *k, *v;     /* of this layer and KV head in block 0 */
    size_t block_bytes;    /* from a block to the next */
    const float *q;        /* (heads, head_dim) */
    float *y;
};

struct rows_isa {
    /* y(n) = x * 1/sqrt(mean(x^2) + eps) * w */
    void (*norm)(int n, const float *x, const float *w, float eps, float *y);
    /* rotate rope_dim elements of one head; cs: cos(rope_dim / 2), sin(rope_dim / 2) */
    void (*rope)(int rope_dim, int pairs, const float *cs, float *x);
    void (*swiglu)(size_t n, const float *gate, const float *up, float *y);
    /* y(n) = y0 + (t + bias): what a product does with its sums; y0 and bias may be NULL */
    void (*put)(int n, const float *t, const float *bias, const float *y0, float *y);
    void (*to_f16)(int n, const float *x, uint16_t *y);
    int32_t (*argmax)(int n, const float *x); /* lowest id on ties; NaN is never chosen */
    void (*attend)(const struct attn_row *a);
};
extern const struct rows_isa rows_generic, rows_avx2, rows_avx512, rows_neon;
#endif
