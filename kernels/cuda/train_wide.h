/* train_wide.h - products of training in bf16 with sums in f32: both operands panels, either along k or across
 *
 * Pieces.  A panel's slab (gemm_bf16.h) is two pieces of 64 rows by 64 columns, 8 KiB each.  A product walks along k
 * in chunks of 64; for each, a tile wants the pieces of its rows, or where an operand is TURNED (its own rows are what
 * is summed over) the pieces of its columns.  So one form of x serves y = x w^T, dx = dy w and dw = dy^T x.
 *
 * Order.  Each output is one chain of matrix instructions over the chunks of all parts, in order; of a split product
 * each SPLIT chunks are a chain of their own, which are then added, ascending.  m and n do not matter. */
#ifndef CUDA_TRAIN_WIDE_H
#define CUDA_TRAIN_WIDE_H
#include "cuda/gemm_bf16.h"
#include "cuda/train_ops.h"

enum { PIECE_BYTES = SLAB_BYTES / 2, PARTS = KN_GROUP + 1, SPLIT = 16 };

/* An operand (rows, cols) in panels. */
struct panels {
    const uint8_t *p;
    int rows, cols;
};
/* c (+)= op(a) op(b)^T over one part of k */
struct part16 {
    const uint8_t *a, *b;
    int a_slabs, b_slabs, a_last, b_last, chunks; /* last: of the pieces along m, along n */
};
/* y(m, n) = alpha (sum of parts) + bias + res, or +=; ld: floats of a row of y and res */
struct product16 {
    struct part16 part[PARTS];
    int n_part, m, n, chunks, add;
    float *y, alpha;
    const float *bias, *res;
    size_t ld;
};
enum turned { ALONG = 0, TURNED = 1 };

/* One more part.  ALONG: a(m, k), b(n, k); TURNED: a(k, m), b(k, n). */
void cu_part(struct product16 *p, struct panels a, enum turned ta, struct panels b, enum turned tb);
/* All parts at once. */
int cu_product(struct kn_dev *d, const struct product16 *p, enum turned ta, enum turned tb);
/* Few columns, long k: sums of SPLIT chunks each to part(*n_split, m, n) in ROOM_PART. */
int cu_product_split(struct kn_dev *d, struct product16 *p, enum turned ta, enum turned tb,
                     int *n_split);

/* ---- panels (train_panels.cu) ---- */

/* Of a group's input h(m, k), of dropped h if p > 0; fresh: rstd is written. */
int cu_group_panels(struct kn_dev *d, uint8_t *to, const struct kn_group *g, int m, float p,
                    uint64_t draws, int fresh);
/* Of x(m, k). */
int cu_x_panels(struct kn_dev *d, uint8_t *to, const float *x, int m, int k);
/* Gradients of SwiGLU's two inputs (m, k), of dh(m, k), and h again if it is wanted. */
int cu_swiglu_panels(struct kn_dev *d, uint8_t *dgate, uint8_t *dup, uint8_t *h, const float *dh,
                     const float *gate, const float *up, int m, int k);
/* Of the adapters of a group, or some of them, each padded to `wide`: a multiple of 16; NULL: zeros. */
struct adapters {
    const float *x[KN_GROUP];
    int n, r, wide;
};
/* a (r, k) each, one below another: (n * wide, k) */
int cu_a_panels(struct kn_dev *d, uint8_t *to, const struct adapters *a, int k);
/* times x (m, r) each, side by side: (m, n * wide) */
int cu_column_panels(struct kn_dev *d, uint8_t *to, const struct adapters *a, int m, float times);
#endif
