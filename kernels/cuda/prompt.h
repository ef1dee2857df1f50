/* prompt.h - the rows of prompts in the device's default mode: products in bf16, attention on the tensor cores
 *
 * Which arithmetic a row has depends on the row and the layer's shape alone.  What these calls do not take (cap, windows,
 * other widths of heads, sizes that are no multiple of 8) is computed as exact mode does, for all rows. */
#ifndef CUDA_PROMPT_H
#define CUDA_PROMPT_H
#include "cuda/attend.h"
#include "cuda/gemm_bf16.h"

/* What norm, RoPE and cache do with q, k, v of rows [from, from + m) (fused.cu); the pointers are those rows'. */
int cu_heads(struct kn_dev *d, float *q, const float *k, const float *v, struct kn_kv *kv,
             int layer, const struct kn_attn *a, const struct kn_batch *batch, int from, int m);

/* The calls of a layer for the rows of prompts, which are those from batch->n_made on, of layers that fit. */
int cu_wide_qkv_fits(const struct kn_attn *a);
int cu_wide_out_fits(const struct kn_attn *a);
int cu_wide_ffn_fits(const struct kn_ffn *f);
int cu_wide_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                struct kn_kv *kv, int layer, const struct kn_attn *a, const struct kn_batch *b);
int cu_wide_out(struct kn_dev *d, struct kn_at x, struct kn_at att, const struct kn_attn *a,
                const struct kn_batch *b);
int cu_wide_ffn(struct kn_dev *d, struct kn_at x, const struct kn_ffn *f, const struct kn_batch *b);

/* Whether attention like v's is made by cu_attend_prompt; work items (first row, rows) of up to PROMPT_ROWS rows. */
int cu_attends_prompts(const struct view *v);
int cu_attend_prompt(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                     const int2 *items, int n_items);
#endif
