/* matmul.h - what the products share: a product, quantizing a block of activations, the fold of R1 */
#ifndef CUDA_MATMUL_H
#define CUDA_MATMUL_H
#include "cuda/cuda.h"

struct product { /* y(m, n) = x w^T + bias, or += */
    const uint8_t *w;
    float *y;
    const float *bias; /* or NULL */
    int n, add;
};
enum { TOGETHER = 3 };
struct products { /* of one type, with the same x */
    struct product p[TOGETHER];
    int k, n_block;
    int end
        [TOGETHER]; /* groups of rows up to each one's last; those that are not there: the same */
};

/* The product with w, and the next of several with the same x: returns whether it could join. */
struct products cu_products(const struct kn_weight *w, float *y, const float *bias, int add);
int cu_join(struct products *p, const struct kn_weight *w, float *y, const float *bias);

/* x(m, k) into the device's room for activations, blocks of len */
int cu_quantize(struct kn_dev *d, const float *x, int m, int k, int len);
/* R1 with what is in that room; m <= ACT_ROWS */
int cu_product(struct kn_dev *d, const struct products *p, int type, int m);
int cu_few(struct kn_dev *d, const struct products *p, int type, int m);
/* R2 */
int cu_float(struct kn_dev *d, const struct products *p, int type, const float *x, int m);

/* LEN values f(0) ... to block b of the activations, by a warp. */
template <int LEN, class F>
__device__ static void quantize_block(struct act a, size_t b, int lane, F f)
{
    float v[LEN / 32], amax = 0;
#pragma unroll
    for (int i = 0; i < LEN / 32; i++) { /* 256: a lane has eight in a row */
        v[i] = f(lane * (LEN / 32) + i);
        amax = fmaxf(amax, fabsf(v[i]));
    }
    for (int o = 16; o > 0; o /= 2)
        amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, o));
    const bool zero = amax < 0x1p-96f;
    const float inv = zero ? 0.0f : 127.0f / amax;
    int sum = 0;
    int8_t q[LEN / 32];
#pragma unroll
    for (int i = 0; i < LEN / 32; i++) {
        const int n = __float2int_rn(v[i] * inv);
        q[i] = (int8_t)n;
        sum += n;
    }
    if (LEN == 256) {
        uint2 u;
        memcpy(&u, q, 8);
        *(uint2 *)(a.q + b * LEN + lane * 8) = u;
        sum += __shfl_xor_sync(~0u, sum, 1);
        if (lane % 2 == 0)
            a.sum[b * 16 + lane / 2] = (int16_t)sum;
    } else {
        a.q[b * LEN + lane] = q[0];
        for (int o = 8; o > 0; o /= 2)
            sum += __shfl_xor_sync(~0u, sum, o);
        if (lane % 16 == 0)
            a.sum[b * 2 + lane / 16] = (int16_t)sum;
    }
    if (lane == 0)
        a.scale[b] = zero ? 0.0f : amax / 127.0f;
}
#endif
