/* train.c - the table of ref's training calls */
#include "ref/ref_train.h"

const struct kn_train_ops kn_ref_train = {
    .linear = ref_train_linear,
    .linear_bwd = ref_train_linear_bwd,
    .group = ref_train_group,
    .group_bwd = ref_train_group_bwd,
    .gemm = ref_train_gemm,
    .norm = ref_train_norm,
    .norm_bwd = ref_train_norm_bwd,
    .rope = ref_train_rope,
    .attn = ref_train_attn,
    .attn_bwd = ref_train_attn_bwd,
    .swiglu_bwd = ref_train_swiglu_bwd,
    .xent = ref_train_xent,
    .embed = ref_train_embed,
    .fill = ref_train_fill,
    .axpy = ref_train_axpy,
    .dropout = ref_train_dropout,
    .rows_get = ref_train_rows_get,
    .rows_put = ref_train_rows_put,
    .sumsq = ref_train_sumsq,
    .adamw = ref_train_adamw,
    .row_norm = ref_train_row_norm,
    .dora = ref_train_dora,
    .dora_bwd = ref_train_dora_bwd,
};
