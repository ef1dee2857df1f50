/* train_ops.h - what the training calls of the CUDA device share: scratch, weights as rows and panels, its calls
 *
 * Weights of training.  Floats of 16 bits with KN_W_MIXED lie as panels (gemm_bf16.h), bf16 as panels alone; all others
 * as the file's rows, and panels or f32 are made of them in scratch where a product wants them. */
#ifndef CUDA_TRAIN_OPS_H
#define CUDA_TRAIN_OPS_H
#include "cuda/cuda.h"
extern "C" {
#include "train.h"
}

/* Scratch by use: what a room holds lasts until the next call that takes it. */
enum cu_scratch_of {
    ROOM_WEIGHT,  /* a weight as panels, or slices of it in f32 */
    ROOM_X,       /* panels of a group's input */
    ROOM_DROPPED, /* of an adapter's own input */
    ROOM_DY,      /* of outputs' gradients */
    ROOM_Z,       /* of z, of dz */
    ROOM_FACTOR,  /* of a and b */
    ROOM_PART,    /* sums in f32 that are added later */
    ROOM_HEADS,   /* operands of attention; dk and dv of each head */
    ROOM_ROWS,    /* a number for each row */
    CU_ROOMS
};
/* At least `bytes`; NULL in *p and an error if there is not the memory.  What it held is lost if it has to grow. */
int cu_scratch(struct kn_dev *d, enum cu_scratch_of room, size_t bytes, void *p);

int cu_train_weight(struct kn_dev *d, struct cu_weight *w, int type, int n, int k, const void *rows,
                    int flags);
void cu_train_weight_free(struct cu_weight *w);
/* Rows [row, row + count) in f32 at y(count, k). */
int cu_widened(struct kn_dev *d, float *y, const struct kn_weight *w, int row, int count);
/* All of it as panels: its own, or made in ROOM_WEIGHT. */
int cu_panels_of(struct kn_dev *d, const struct kn_weight *w, const uint8_t **panels);

/* c(m, n) = alpha op(a)(m, k) op(b)(k, n), or +=, + bias(n), in R2's order */
int cu_gemm_f32(struct kn_dev *d, float *c, const float *a, const float *b, const float *bias,
                float alpha, int m, int n, int k, int flags);
/* y += x dropped (train.h) */
int cu_add_dropped(struct kn_dev *d, float *y, const float *x, float p, uint64_t seed,
                   uint64_t counter, size_t n);

extern const struct kn_train_ops cu_train_ops;
int cu_train_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                    struct kn_at bias, int m, int flags);
int cu_train_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                        const struct kn_weight *w, int m, int flags);
int cu_train_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                  int m, int n, int k, int flags);
int cu_train_live(struct kn_dev *d, struct kn_at rows, int n, int k, struct kn_weight **w);
int cu_train_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, struct kn_at ids,
                   int m);
int cu_train_group(struct kn_dev *d, const struct kn_group *g, int m);
int cu_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m);
int cu_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m);
int cu_train_norm(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x,
                  struct kn_at w, float eps, int m, int n);
int cu_train_norm_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy,
                      struct kn_at x, struct kn_at w, struct kn_at rstd, int m, int n, int flags);
int cu_train_rope(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                  int n_head, int head_dim, int rope_dim, int pairs, int sign);
int cu_train_attn(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q,
                  struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t,
                  int flags);
int cu_train_attn_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                      struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                      struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                      int t, int flags);
int cu_train_swiglu_bwd(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                        struct kn_at gate, struct kn_at up, size_t n);
int cu_train_xent(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
                  float scale, int m, int n, int want_grad);
int cu_train_fill(struct kn_dev *d, struct kn_at y, float value, size_t n);
int cu_train_axpy(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha, size_t n);
int cu_train_dropout(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
                     uint64_t counter, size_t n);
int cu_train_rows_get(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                      int n);
int cu_train_rows_put(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                      int n);
int cu_train_sumsq(struct kn_dev *d, struct kn_at out, struct kn_at x, size_t n);
int cu_train_adamw_small(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                         struct kn_at v, size_t n, const struct kn_adamw *h);
int cu_train_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                      const struct kn_adamw *h);
int cu_train_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
                   size_t n, const struct kn_adamw *h);
int cu_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                      struct kn_at a, struct kn_at b, float alpha, int r);
int cu_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                  struct kn_at norm, struct kn_at bias, int m, int n);
int cu_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                      struct kn_at norm, int m, int n);
int cu_train_sum_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n);
int cu_train_embed_bwd(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids, int m,
                       int n);
#endif
