/* train.h - forward and backward arithmetic of training, on the buffers and weights of kernels.h
 *
 * All activations and gradients f32.  T rows are packed documents: doc[t] is the first row of t's
 * document, so row t attends to rows doc[t]..t and its position is t - doc[t].  dx calls write
 * (dx = ...) unless KN_ADD is given.  Products follow R2 of kernels.h whatever the weight's type, so
 * that losses and gradients do not depend on threads.  Weights are made with KN_W_TRAIN. */
#ifndef KN_TRAIN_H
#define KN_TRAIN_H
#include "kernels.h"

enum { KN_TA = 2, KN_TB = 4 }; /* gemm flags: A or B transposed (KN_ADD as in kernels.h) */

struct kn_adamw;
struct kn_train_ops {
    int (*linear)(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                  struct kn_at bias, int m, int flags);
    int (*linear_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dy, const struct kn_weight *w,
                      int m, int flags);
    int (*linear_lora)(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                       struct kn_at bias, struct kn_at z, struct kn_at b, float alpha, int r, int m,
                       int flags); /* (opt) */
    int (*linear_lora_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                           const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r, int m,
                           int flags); /* (opt) */
    int (*gemm)(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                int m, int n, int k, int flags);
    int (*norm)(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x, struct kn_at w,
                float eps, int m, int n);
    int (*norm_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy,
                    struct kn_at x, struct kn_at w, struct kn_at rstd, int m, int n, int flags);
    int (*rope)(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                int n_head, int head_dim, int rope_dim, int pairs, int sign);
    int (*attn)(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
                struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t);
    int (*attn_bwd)(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                    struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                    struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                    int t);
    int (*swiglu_bwd)(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                      struct kn_at gate, struct kn_at up, size_t n);
    int (*xent)(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
                float scale, int m, int n, int want_grad);
    int (*embed)(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, struct kn_at ids,
                 int m);
    int (*fill)(struct kn_dev *d, struct kn_at y, float value, size_t n);
    int (*axpy)(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha, size_t n);
    int (*dropout)(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
                   uint64_t counter, size_t n);
    int (*rows_get)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                    int n);
    int (*rows_put)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                    int n);
    int (*sumsq)(struct kn_dev *d, struct kn_at out, struct kn_at x, size_t n);
    int (*adamw)(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
                 size_t n, const struct kn_adamw *h);
};

/* y(m, n) = x(m, k) w(n, k)^T + bias: f32 products with the dequantized weight. */
int kn_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags);
/* dx(m, k) = dy(m, n) w(n, k). */
int kn_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy, const struct kn_weight *w,
                  int m, int flags);
/* A linear layer with its adapter in one pass over y and dx; a default composes linear and gemm.
 * y(m, n) = x w^T + bias + alpha * z(m, r) b(n, r)^T;  dx(m, k) = dy w + dz(m, r) a(r, k). */
int kn_linear_lora(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                   struct kn_at bias, struct kn_at z, struct kn_at b, float alpha, int r, int m,
                   int flags);
int kn_linear_lora_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                       const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r, int m,
                       int flags);
/* c(m, n) = alpha * op(a)(m, k) op(b)(k, n), or c += with KN_ADD.  KN_TA: a is stored (k, m); KN_TB:
 * b is stored (n, k). */
int kn_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha, int m,
            int n, int k, int flags);
/* As kn_rms_norm; rstd(m) kept for the backward.  norm_bwd: dx, and dw(n) += if dw.buf is given. */
int kn_norm(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x, struct kn_at w,
            float eps, int m, int n);
int kn_norm_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy, struct kn_at x,
                struct kn_at w, struct kn_at rstd, int m, int n, int flags);
/* x(t, n_head, head_dim) rotated in place at positions t - doc[t]; sign -1 is the backward.
 * table (n_ctx, rope_dim) as kn_attn.rope. */
int kn_rope_doc(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                int n_head, int head_dim, int rope_dim, int pairs, int sign);
/* y, q (t, n_head, hd); k, v (t, n_head_kv, hd); lse(t, n_head) = log sum exp of the scaled scores.
 * The backward writes dq, dk, dv. */
int kn_attn_doc(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
                struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t);
int kn_attn_doc_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                    struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                    struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                    int t);
/* y = silu(gate) * up is kn_swiglu; here its two gradients; dgate may be gate, dup may be up. */
int kn_swiglu_bwd(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                  struct kn_at gate, struct kn_at up, size_t n);
/* loss(m) = -log softmax(logits)[label], 0 where label < 0; with want_grad logits becomes
 * scale * (softmax - onehot), 0 in masked rows. */
int kn_xent(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
            float scale, int m, int n, int want_grad);
/* y(m, k) = rows ids[] (int32) of w. */
int kn_embed_ids(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, struct kn_at ids,
                 int m);
int kn_fill(struct kn_dev *d, struct kn_at y, float value, size_t n); /* y = value */
int kn_axpy(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha,
            size_t n); /* y += alpha x */
/* y = x * mask / (1 - p); element i is kept if the counter-based draw (seed, counter + i) >= p, so
 * the backward is the same call on the gradient. */
int kn_dropout(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
               uint64_t counter, size_t n);
/* Rows by number: y(m, n) = rows idx[] (int32) of x;  rows idx[] of y = x(m, n), idx without doubles.
 * The head runs on the rows that have a label alone. */
int kn_rows_get(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m, int n);
int kn_rows_put(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m, int n);
/* out: one double, the sum of squares, accumulated in double in a fixed order. */
int kn_sumsq(struct kn_dev *d, struct kn_at out, struct kn_at x, size_t n);
/* AdamW (Loshchilov and Hutter 2019): decoupled decay, bias correction, t counted from 1. */
struct kn_adamw {
    float lr, beta1, beta2, eps, weight_decay, grad_scale;
    long t;
};
int kn_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
             size_t n, const struct kn_adamw *h);
#endif
