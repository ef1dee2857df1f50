/* rows.h - operations on one row or one head, the cache's tiles, attention: an instruction set's
 * table */
#ifndef ROWS_H
#define ROWS_H
#include "../kernels.h"

enum {
    ATTN_MAX_PAIRS = 96, /* pairs of (row, query head) that one unit of attention serves */
    ATTN_MAX_DIM = 512,
};

/* A tile is k or v of one KV head at KN_TILE positions; dim is head_dim padded to 16 with zeros.
 *   v  (KN_TILE, dim): position by position, as p . v goes through it
 *   k  (dim, KN_TILE): a vector holds one element at 16 positions, so that the 16 lanes of R3 are 16
 *      sums of vectors and their fold is 15 additions.  Element d is line kv_line(d, dim): lane by
 *      lane, lanes in the order in which the fold takes them up (0 + 8, 4 + 12, ...).
 * F32 and F16 lie so as they are.  Q8_0: int8 so, then f16 scales (dim / 32, KN_TILE) of k or
 * (KN_TILE, dim / 32) of v. */
static inline int kv_line(int d, int dim)
{
    static const uint8_t place[16] = {0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15};
    return place[d & 15] * (dim / 16) + d / 16;
}

/* Attention (R4) of pairs [from, to) of consecutive rows of one sequence, over one KV head.  Pair i is
 * row i / group and the KV head's query head i % group. */
struct attn_unit {
    int type, head_dim, dim, group, from, to;
    int window; /* 0 = none */
    float scale, cap;
    const int32_t *pos;    /* of the rows, ascending */
    const int32_t *blocks; /* ids of the sequence's blocks */
    const char *k, *v;     /* tiles of this layer and KV head in block 0 */
    size_t block_bytes;    /* from a block to the next */
    const float *q;        /* row 0, the KV head's first query head */
    float *y;
    size_t row;     /* floats of q and y from a row to the next */
    float *scratch; /* attn_scratch(dim) floats */
};
/* q and outputs of the pairs, k or v of a tile in f32 */
static inline size_t attn_scratch(int dim)
{
    return (size_t)dim * (2 * ATTN_MAX_PAIRS + 32);
}

struct rows_isa {
    /* y(n) = x * 1/sqrt(mean(x^2) + eps) * w */
    void (*norm)(int n, const float *x, const float *w, float eps, float *y);
    /* rotate rope_dim elements of one head; cs: cos(rope_dim / 2), sin(rope_dim / 2) */
    void (*rope)(int rope_dim, int pairs, const float *cs, float *x);
    void (*swiglu)(size_t n, const float *gate, const float *up, float *y);
    /* y(n) = (x - mean) * 1/sqrt(var + eps) * w + bias */
    void (*layer_norm)(int n, const float *x, const float *w, const float *bias, float eps,
                       float *y);
    void (*glu)(size_t n, int act, const float *gate, const float *up, float *y); /* enum kn_act */
    void (*map)(size_t n, int map, float s, float *x);                            /* enum kn_map */
    void (*add)(size_t n, float s, const float *x, float *y);                     /* y += s * x */
    /* y(n) = y0 + (t + bias): what a product does with its sums; y0 and bias may be NULL */
    void (*put)(int n, const float *t, const float *bias, const float *y0, float *y);
    int32_t (*argmax)(int n, const float *x); /* lowest id on ties; NaN is never chosen */
    /* x(head_dim) into position p of a tile of k (which 0) or v (1) */
    void (*kv_put)(int type, int head_dim, int which, int p, const float *x, void *tile);
    void (*attend)(const struct attn_unit *u);
};
extern const struct rows_isa rows_generic, rows_avx2, rows_avx512, rows_neon;
#endif
