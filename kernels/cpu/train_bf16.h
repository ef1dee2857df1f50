/* train_bf16.h - products of bf16 operands in the order T1 of train.h: packed tiles, one product a build
 *
 * A tile is 1 KB.  Of A: 16 rows by 32 k, [16][32].  Of B: 32 k by 16 columns, a pair of k side by side,
 * [16][16][2].  Of A's panel of 16 rows the tiles along k lie one after another, of B's panel of 16
 * columns too; so every load of AMX is 1 KB in a line, and a weight streams.  AMX (train_gemm.tile.c) and
 * vectors (train_bf16.simd.c) read the same tiles. */
#ifndef TRAIN_BF16_H
#define TRAIN_BF16_H
#include "train.h"

enum { T16_K = 32, T16_N = 16, T16 = T16_K * T16_N }; /* k, rows or columns, values of a tile */

/* C (+)= the sum over its segments, in order, of A(16 mt, 32 kt) B(32 kt, 16 nt). */
struct train16_seg {
    const uint16_t *a, *b;
    size_t lda, ldb; /* values from one panel to the next */
    int kt;
};
enum { TRAIN16_SEGS = 2 };
struct train16 {
    struct train16_seg seg[TRAIN16_SEGS];
    int n_seg, mt, nt;
    float *c;
    size_t ldc;
    int add; /* the sum goes on from C */
};
typedef void train16_product(const struct train16 *p);
train16_product train16_product_generic, train16_product_avx2, train16_product_avx512,
    train16_product_neon;
train16_product train16_product_tile_amx, train16_product_tile_model;

/* Attention of one document and one KV head. */
struct attn_job {
    const float *q, *k, *v, *dy, *y;
    float *out, *lse, *dq, *dk, *dv;
    const struct kn_attn *a;
    int from, to, kv_head; /* rows of the document */
};
struct train16_isa {
    /* tiles of A from n <= 16 rows of k values (stride ld) times scale; zeros fill up rows and k */
    void (*rows)(uint16_t *a, const float *x, size_t ld, int n, int k, float scale);
    /* one tile of B from k <= 32 rows of n <= 16 values (stride ld) times scale */
    void (*pairs)(uint16_t *b, const float *x, size_t ld, int k, int n, float scale);
    /* Tiles of A, rows 0..15 and 16..31 of the same 32 columns, become the tiles of B of columns 0..15 and,
     * ldb values on, of 16..31. */
    void (*weave)(uint16_t *b, size_t ldb, const uint16_t *a0, const uint16_t *a1);
    /* kt tiles of A become tiles of B whose columns were rows, and the other way round */
    void (*turn)(uint16_t *to, const uint16_t *from, int kt);
    size_t (*attn_scratch)(int head_dim, int len); /* bytes */
    void (*attn)(const struct attn_job *j, train16_product *product, void *scratch);
    void (*attn_bwd)(const struct attn_job *j, train16_product *product, void *scratch);
};
extern const struct train16_isa train16_generic, train16_avx2, train16_avx512, train16_avx512bf16,
    train16_neon;

static inline int train16_up(int n, int to)
{
    return (n + to - 1) / to * to;
}
#endif
