/* train_attn.h - attention of training: what both arithmetics share */
#ifndef CUDA_TRAIN_ATTN_H
#define CUDA_TRAIN_ATTN_H
#include "cuda/train_ops.h"
#include <stdio.h>

enum {
    ATTN16_MAX = 128
}; /* the widest head with operands in bf16; wider ones are computed in f32 */

/* Up to `end`, the first row that is not of a's document; doc ascends. */
__device__ static inline int document_until(const int32_t *doc, int a, int end)
{
    int low = a + 1, high = end;
    while (low < high) {
        const int mid = (low + high) / 2;
        if (doc[mid] == doc[a])
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* to(n): dy . y, of n rows of hd */
int cu_row_dots(struct kn_dev *d, float *to, const float *dy, const float *y, int n, int hd);
int cu_attn16(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
              struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t);
int cu_attn16_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                  struct kn_at dy, const float *dots, struct kn_at lse, struct kn_at q,
                  struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t);
#endif
