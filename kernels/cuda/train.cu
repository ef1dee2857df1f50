/* train - the table of the CUDA device's training calls */
#include "cuda/train_ops.h"

static_assert((int)CU_ROOMS <= (int)CU_ROOMS_MOST, "rooms");

const struct kn_train_ops cu_train_ops = {
    .logits = 256 << 20,
    .linear = cu_train_linear,
    .linear_bwd = cu_train_linear_bwd,
    .group = cu_train_group,
    .group_bwd = cu_train_group_bwd,
    .group_dw = cu_train_group_dw,
    .gemm = cu_train_gemm,
    .norm = cu_train_norm,
    .norm_bwd = cu_train_norm_bwd,
    .rope = cu_train_rope,
    .attn = cu_train_attn,
    .attn_bwd = cu_train_attn_bwd,
    .swiglu_bwd = cu_train_swiglu_bwd,
    .xent = cu_train_xent,
    .embed = cu_train_embed,
    .fill = cu_train_fill,
    .axpy = cu_train_axpy,
    .dropout = cu_train_dropout,
    .rows_get = cu_train_rows_get,
    .rows_put = cu_train_rows_put,
    .sumsq = cu_train_sumsq,
    .adamw = cu_train_adamw,
    .adamw_small = cu_train_adamw_small,
    .momentum = cu_train_momentum,
    .row_norm = cu_train_row_norm,
    .dora = cu_train_dora,
    .dora_bwd = cu_train_dora_bwd,
    .sum_rows = cu_train_sum_rows,
    .embed_bwd = cu_train_embed_bwd,
    .weight_live = cu_train_live,
};
