/* train.h - forward and backward arithmetic of training, on the buffers and weights of kernels.h
 *
 * All activations and gradients f32.  T rows are packed documents: doc[t] is the first row of t's
 * document, so row t attends to rows doc[t]..t and its position is t - doc[t].  dx calls write
 * (dx = ...) unless KN_ADD is given.  Products follow R2 of kernels.h whatever the weight's type, so
 * that losses and gradients do not depend on threads.  Weights are made with KN_W_TRAIN.
 *
 * KN_MIXED asks a group of layers or attention for products of bf16 operands summed in f32, in the one
 * order that AMX's TDPBF16PS has, so that all paths of the cpu give the same bits:
 *  T1  Operands are rounded to bf16 (half to even; f32 denormals are zero, NaN stays NaN).  k is cut in
 *      chunks of 32, the last filled up with zeros.  A chunk is two chains of fma from 0, one over its even k, one over its odd k, ascending;
 *      then sum = sum + (even + odd), from 0, chunks ascending.  Denormals count as zero, as operands and
 *      as results.  Source: Intel 64 and IA-32 SDM volume 2, TDPBF16PS.
 *  T2  A layer: z = h a^T; y = one sum over the chunks of h w^T, then those of z (alpha b)^T; then
 *      + bias, then + res.
 *      Backward: dz = dy (alpha b); the gradient of h is one sum over the group's layers in order, of each
 *      the chunks of dy w, then those of dz a.  da += dz^T h and db += alpha (dy^T z): of each 64 rows a sum
 *      in chunks of 32, then their sum, ascending.  dw += dy^T h: one sum over all rows in chunks of 32.
 *      alpha b is rounded as a product; silu(g) is g (1 / (1 + exp(-g))).
 *      With dropout the adapter has its own h, and (dz a) is a sum of its own, dropped, then added.
 *  T3  Attention: queries in tiles of 32 rows from the document's first; s = (scale q) k^T; m = max s;
 *      p = exp(s - m); y = (p v) / sum p, the sum in R3's order, of unrounded p.  Backward: p = exp(s - lse),
 *      ds = p (dy v^T - dy . y); dv += p^T dy and dk += ds^T (scale q) tile by tile, heads ascending;
 *      dq = scale (ds k).
 * A card rounds the same operands; its tensor cores sum in an order of their own (cuda/train_wide.h), which depends on
 * the shape alone: equal bits from run to run on one kind of card.
 *
 * Moments that are not f32 (kn_moment) are widened, a step is done with them in f32, and what it made is rounded;
 * all paths and ref give the same bits:
 *  T4  bf16: x's bits + 16 random bits, cut to the upper 16: stochastic rounding (Zamirai et al. 2020,
 *      arXiv:2010.06192), without which a decay of 0.999 is less than half a step of bf16 and v stands still.  The
 *      draws are Philox's of (seed, t, number of the element): 16 bits for m, 16 for v.
 *  T5  8 bits: blocks of 256, each with its largest absolute value as scale; x / scale goes to the nearest entry of
 *      the dynamic map (ties: the lower), of v the unsigned one: Dettmers et al. 2021, arXiv:2110.02861, as
 *      bitsandbytes' kOptimizerStatic8bit2StateBlockwise; but a v above 0 never becomes 0, which would make a step
 *      of m / eps.
 *  T6  AdamW over them: g = grad_scale g; m = fma(beta1, m, (1 - beta1) g); v = fma(beta2, v, (1 - beta2) g g);
 *      w = w - (lr wd) w; w = w - lr (m c1 / (sqrt(v c2) + eps)), c = 1 / (1 - beta^t); products from the left. */
#ifndef KN_TRAIN_H
#define KN_TRAIN_H
#include "kernels.h"

enum {
    KN_TA = 2, /* gemm: A or B transposed (KN_ADD as in kernels.h) */
    KN_TB = 4,
    KN_MIXED = 8, /* groups and attention: T1 to T3 in place of R2 */
};

/* A group: linear layers on one input, each with its adapter.  With KN_MIXED, h and dropped may be absent.
 * Forward, of each layer: y = h w^T + alpha (h' a^T) b^T + bias + res, z = h' a^T is kept; h' is h, or h
 * with dropout.  With magnitudes (DoRA, Liu et al. 2024, arXiv:2402.09353)
 * y = (mag / norm) (h w^T + alpha (h' a^T) b^T) + bias + res, norm_j = |w_j + alpha b_j a|; norm counts as a constant in
 * the backward, as the paper (4.3) and PEFT have it.  Not with KN_MIXED: KN_EUNSUP.  Backward: da, db, dw = dy^T h,
 * dbias and dnorm are added to; h's gradient goes on to the group's input.  dx may be x in a plain group of one layer.
 * A norm's gradient needs dx. */
enum kn_input {
    KN_IN_PLAIN,  /* h = x; the backward writes dx */
    KN_IN_NORM,   /* h = rms_norm(x), rstd kept; the backward adds to dx */
    KN_IN_SWIGLU, /* h = silu(x) up; the backward turns x and up into their gradients */
};
struct kn_lin {
    const struct kn_weight *w; /* (n, k) */
    struct kn_at bias, res;    /* (n), (m, n) or absent; res may not be y */
    struct kn_at y, dy;        /* (m, n) */
    struct kn_at a, b, z;      /* (r, k), (n, r), (m, r); a absent: no adapter */
    struct kn_at da, db;       /* like a, b */
    struct kn_at mag, dmag;    /* (n) DoRA's magnitudes; absent: none */
    struct kn_at norm;         /* (n) norms of the adapted weight's rows, made by the forward */
    struct kn_at dw, dbias;    /* like w and bias, in f32; absent: these are frozen */
    uint64_t draws;            /* counter of the first draw of its dropout */
};
enum { KN_GROUP = 3 }; /* layers of a group at most: q, k, v */
struct kn_group {
    enum kn_input input;
    int k, r, n_lin; /* columns of x; rank; layers */
    struct kn_lin lin[KN_GROUP];
    struct kn_at x, up;      /* (m, k) */
    struct kn_at norm, rstd; /* (k), (m) */
    struct kn_at dnorm;      /* (k); absent: the norm is frozen */
    float eps, alpha, dropout;
    uint64_t seed;           /* of dropout */
    struct kn_at h, dropped; /* (m, k) scratch; h lasts until the backward */
    struct kn_at dh, dz;     /* (m, k), (m, r) scratch of the backward */
    struct kn_at wide;       /* (m, the largest n) scratch of the backward, with DoRA */
    /* Of the backward with KN_MIXED, for devices that keep operands in a form of their own. */
    int fresh;  /* the kn_group before was this one's, and what it read is as it was */
    int handed; /* KN_IN_SWIGLU: the gradients of x and up are left undefined, the next kn_group_bwd has those two places
                   as dy of its layers 0 and 1, and nobody else reads them */
};

struct kn_adamw;
struct kn_train_ops {
    size_t logits; /* (opt) floats of logits that should exist at once; 0: few */
    int (*linear)(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                  struct kn_at bias, int m, int flags);
    int (*linear_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dy, const struct kn_weight *w,
                      int m, int flags);
    int (*linear_lora)(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                       struct kn_at bias, struct kn_at z, struct kn_at b, float alpha, int r, int m,
                       int flags); /* (opt) */
    int (*linear_lora_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                           const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r, int m,
                           int flags);                               /* (opt) */
    int (*group)(struct kn_dev *d, const struct kn_group *g, int m); /* with KN_MIXED */
    int (*group_bwd)(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m);
    int (*group_dw)(struct kn_dev *d, const struct kn_group *g, int m); /* ... before it: dw */
    int (*gemm)(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                int m, int n, int k, int flags);
    int (*norm)(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x, struct kn_at w,
                float eps, int m, int n);
    int (*norm_bwd)(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy,
                    struct kn_at x, struct kn_at w, struct kn_at rstd, int m, int n, int flags);
    int (*rope)(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                int n_head, int head_dim, int rope_dim, int pairs, int sign);
    int (*attn)(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
                struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t, int flags);
    int (*attn_bwd)(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                    struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                    struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                    int t, int flags);
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
    int (*adamw_small)(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                       struct kn_at v, size_t n, const struct kn_adamw *h); /* T4 to T6 */
    int (*momentum)(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                    const struct kn_adamw *h);
    int (*row_norm)(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w, struct kn_at a,
                    struct kn_at b, float alpha, int r);
    int (*dora)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                struct kn_at norm, struct kn_at bias, int m, int n);
    int (*dora_bwd)(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                    struct kn_at norm, int m, int n);
    int (*sum_rows)(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n);
    int (*embed_bwd)(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids, int m,
                     int n);
    int (*weight_live)(struct kn_dev *d, struct kn_at rows, int n, int k,
                       struct kn_weight **w); /* (opt) where buffers are not memory of the host */
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
/* Forward and backward of a group; dx absent: nobody below wants it.  Without KN_MIXED a composition of the
 * calls above and below. KN_EUNSUP if a device has no bf16. */
int kn_group(struct kn_dev *d, const struct kn_group *g, int m, int flags);
int kn_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m, int flags);
/* DoRA: norm(n) of the rows of w + alpha b(n, r) a(r, k), a absent: of w;
 * y(m, n) = x (mag / norm)(n) + bias, y may be x;  dmag(n) += sum over rows of dy x / norm. */
int kn_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w, struct kn_at a,
                struct kn_at b, float alpha, int r);
int kn_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag, struct kn_at norm,
            struct kn_at bias, int m, int n);
int kn_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                struct kn_at norm, int m, int n);
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
                struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t, int flags);
int kn_attn_doc_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                    struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                    struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                    int t, int flags);
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
/* Row ids[i] of dw(vocabulary, n) += row i of dy(m, n), i ascending. */
int kn_embed_bwd(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids, int m,
                 int n);
/* y(n) += the sum of x(m, n)'s rows, ascending: the gradient of a bias. */
int kn_sum_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n);
/* A weight (n, k) whose rows are f32 in a buffer, for the calls of this header: each reads what is there when it
 * runs.  KN_EUNSUP where a buffer is not memory of the host. */
int kn_weight_live(struct kn_dev *d, struct kn_at rows, int n, int k, struct kn_weight **w);
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
/* How an optimizer's running means are kept. */
enum kn_moment { KN_MOMENT_F32, KN_MOMENT_BF16, KN_MOMENT_8BIT };
size_t kn_moment_bytes(enum kn_moment type, size_t n); /* n elements in whole blocks */
/* AdamW (Loshchilov and Hutter 2019): decoupled decay, bias correction, t counted from 1.  m and v begin with a
 * block. */
struct kn_adamw {
    float lr, beta1, beta2, eps, weight_decay, grad_scale;
    long t;
    enum kn_moment moment;
    uint64_t seed, first; /* of bf16's rounding; number of the first element */
};
int kn_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
             size_t n, const struct kn_adamw *h);
/* Nesterov's momentum: g = grad_scale g; m = beta1 m + g; out = g + beta1 m, with m as it was before it is rounded. */
int kn_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                const struct kn_adamw *h);
#endif
