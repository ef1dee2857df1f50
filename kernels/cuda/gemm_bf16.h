/* gemm_bf16.h - products in bf16 on the tensor cores with sums in f32: how operands lie, what a product is
 *
 * Panels.  An operand (rows, k) lies in panels of 128 rows, a panel in slabs of 64 columns, what is missing filled up
 * with zeros (rows of x beyond m: with anything, they end in rows that are not kept).  A slab is 16 KiB in a row:
 *
 *     (r, c) in slab (r / 128 * n_slab + c / 64), there at r % 128 * 128 + ((c % 64 / 8) ^ (r % 8)) * 16 + c % 8 * 2
 *
 * which is how wgmma wants it in shared memory (128-byte swizzle) and ldmatrix reads without bank conflicts: a slab is
 * copied as it is.
 *
 * Order.  Each output is one chain of matrix instructions along k, 16 columns each, ascending, whatever m is: no sum is
 * ever split.  What an instruction does inside is the card's affair, so cards may differ. */
#ifndef CUDA_GEMM_BF16_H
#define CUDA_GEMM_BF16_H
#include "cuda/cuda.h"
#include <cuda_bf16.h>

enum { PANEL = 128, SLAB = 64, SLAB_BYTES = PANEL * SLAB * 2, SIDES = 3 };

/* Byte of (r, c), of panels of n_slab slabs. */
__host__ __device__ static inline size_t panel_at(int r, int c, int n_slab)
{
    return ((size_t)(r / PANEL) * n_slab + c / SLAB) * SLAB_BYTES +
           (size_t)(r % PANEL * 128 + ((c % SLAB / 8) ^ (r % 8)) * 16 + c % 8 * 2);
}
__host__ __device__ static inline int slabs(int k)
{
    return (k + SLAB - 1) / SLAB;
}
static inline size_t panel_bytes(int rows, int k)
{
    return (size_t)cu_blocks((size_t)rows, PANEL) * (size_t)slabs(k) * SLAB_BYTES;
}

struct side { /* y(m, n) = x w^T + bias, or += */
    const uint8_t *w;
    float *y;
    const float *bias; /* or NULL */
    int n, add;
};
/* Up to SIDES products with one x; gated: side 0 and 1 have one n, and h(m, n), panels too, is silu(x side0) * (x side1). */
struct wide {
    struct side side[SIDES];
    const uint8_t *x;
    uint8_t *h;
    int m, n_slab, gated;
};
int cu_wide(struct kn_dev *d, const struct wide *w);

/* Room for panels of x and of h, of `rows` rows of up to k, and for two weights of `weight` bytes, while no graph is
 * recorded; what is there stays if it is enough. */
int cu_wide_reserve(struct kn_dev *d, int rows, int k, size_t weight);
/* A weight (n, k) that prompts may use: its panels are kept, unless less than a quarter of the card's memory would be left
 * for caches and steps; else there is room to make them when they are needed. */
int cu_wide_keep(struct kn_dev *d, struct cu_weight *w, int n, int k);
void cu_wide_drop(struct kn_dev *d, struct cu_weight *w);
/* The panels of w: those that are kept, or made now in room `i`, 0 or 1. */
int cu_wide_weight(struct kn_dev *d, const struct kn_weight *w, int i, const uint8_t **panels);
/* Rows x(m, k) into the panels of x; norm: normalized with it first. */
int cu_wide_rows(struct kn_dev *d, const float *x, int m, int k, const float *norm, float eps);
#endif
