/* ref_train.h - ref's training calls: scalar, sums in double; the definition of correct */
#ifndef REF_REF_TRAIN_H
#define REF_REF_TRAIN_H
#include "ref/ref.h"
#include "train.h"

extern const struct kn_train_ops kn_ref_train;

int ref_train_linear(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at,
                     const struct kn_weight *w, struct kn_at bias_at, int m, int flags);
int ref_train_linear_bwd(struct kn_dev *d, struct kn_at dx_at, struct kn_at dy_at,
                         const struct kn_weight *w, int m, int flags);
int ref_train_gemm(struct kn_dev *d, struct kn_at c_at, struct kn_at a_at, struct kn_at b_at,
                   float alpha, int m, int n, int k, int flags);
int ref_train_embed(struct kn_dev *d, struct kn_at y_at, const struct kn_weight *w,
                    struct kn_at ids_at, int m);
int ref_train_embed_bwd(struct kn_dev *d, struct kn_at dw_at, struct kn_at dy_at,
                        struct kn_at ids_at, int m, int n);
int ref_train_sum_rows(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, int m, int n);
int ref_train_norm(struct kn_dev *d, struct kn_at y_at, struct kn_at rstd_at, struct kn_at x_at,
                   struct kn_at w_at, float eps, int m, int n);
int ref_train_norm_bwd(struct kn_dev *d, struct kn_at dx_at, struct kn_at dw_at, struct kn_at dy_at,
                       struct kn_at x_at, struct kn_at w_at, struct kn_at rstd_at, int m, int n,
                       int flags);
int ref_train_rope(struct kn_dev *d, struct kn_at x_at, struct kn_at table_at, struct kn_at doc_at,
                   int t, int n_head, int head_dim, int rope_dim, int pairs, int sign);
int ref_train_swiglu_bwd(struct kn_dev *d, struct kn_at dgate_at, struct kn_at dup_at,
                         struct kn_at dy_at, struct kn_at gate_at, struct kn_at up_at, size_t n);
int ref_train_xent(struct kn_dev *d, struct kn_at loss_at, struct kn_at logits_at,
                   struct kn_at label_at, float scale, int m, int n, int want_grad);
int ref_train_fill(struct kn_dev *d, struct kn_at y_at, float value, size_t n);
int ref_train_axpy(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, float alpha, size_t n);
int ref_train_dropout(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, float p,
                      uint64_t seed, uint64_t counter, size_t n);
int ref_train_rows_get(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at idx_at,
                       int m, int n);
int ref_train_rows_put(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at idx_at,
                       int m, int n);
int ref_train_sumsq(struct kn_dev *d, struct kn_at out_at, struct kn_at x_at, size_t n);
int ref_train_adamw(struct kn_dev *d, struct kn_at w_at, struct kn_at g_at, struct kn_at m_at,
                    struct kn_at v_at, size_t n, const struct kn_adamw *h);
int ref_train_adamw_small(struct kn_dev *d, struct kn_at w_at, struct kn_at g_at, struct kn_at m_at,
                          struct kn_at v_at, size_t n, const struct kn_adamw *h);
int ref_train_momentum(struct kn_dev *d, struct kn_at out_at, struct kn_at m_at, struct kn_at g_at,
                       size_t n, const struct kn_adamw *h);
int ref_train_attn(struct kn_dev *d, struct kn_at y_at, struct kn_at lse_at, struct kn_at q_at,
                   struct kn_at k_at, struct kn_at v_at, struct kn_at doc_at,
                   const struct kn_attn *a, int t, int flags);
int ref_train_attn_bwd(struct kn_dev *d, struct kn_at dq_at, struct kn_at dk_at, struct kn_at dv_at,
                       struct kn_at dy_at, struct kn_at y_at, struct kn_at lse_at,
                       struct kn_at q_at, struct kn_at k_at, struct kn_at v_at, struct kn_at doc_at,
                       const struct kn_attn *a, int t, int flags);
/* x as an operand of KN_MIXED */
double ref_bf16(float x);
int ref_train_group(struct kn_dev *d, const struct kn_group *g, int m);
int ref_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m);
int ref_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m);
int ref_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                       struct kn_at a, struct kn_at b, float alpha, int r);
int ref_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                   struct kn_at norm, struct kn_at bias, int m, int n);
int ref_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                       struct kn_at norm, int m, int n);
#endif
