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
enum {
    TOGETHER = 3,
    FEW = 8,          /* rows that few.cu is for */
    MANY = 128,       /* rows up to which many.cu is best: tiles of fewer leave processors idle */
    HALF_TOKENS = 64, /* of a tile of halves.cu */
    HALF_BYTES =
        548, /* of an activation row's block of 256 in halves, with its sums and its scale */
};
struct products { /* of one type, with the same x */
    struct product p[TOGETHER];
    int k, n_block;
    int end
        [TOGETHER]; /* groups of rows up to each one's last; those that are not there: the same */
};

/* The product with w, and the next of several with the same x: returns whether it could join. */
struct products cu_products(const struct kn_weight *w, float *y, const float *bias, int add);
int cu_join(struct products *p, const struct kn_weight *w, float *y, const float *bias);

/* The device's room for activations, for a product of m rows with blocks of len. */
static inline struct act cu_act(const struct kn_dev *d, int m, int len)
{
    struct act a = cu_dev(d)->act;
    a.half = len == 256 && m > MANY && cu_dev(d)->hopper ? HALF_TOKENS : 0;
    return a;
}
/* x(m, k) into the device's room for activations, blocks of len */
int cu_quantize(struct kn_dev *d, const float *x, int m, int k, int len);
/* R1 with what is in that room; m <= ACT_ROWS: the best of those below */
int cu_product(struct kn_dev *d, const struct products *p, int type, int m);
int cu_few(struct kn_dev *d, const struct products *p, int type, int m);   /* m <= FEW */
int cu_many(struct kn_dev *d, const struct products *p, int type, int m);  /* any */
int cu_tiles(struct kn_dev *d, const struct products *p, int type, int m); /* any */
int cu_halves(struct kn_dev *d, const struct products *p, int type,
              int m); /* m > MANY, K-quants, Hopper */
/* R2 */
int cu_float(struct kn_dev *d, const struct products *p, int type, const float *x, int m);

/* LEN values f(0) ... to block b of a row of activations of k, by a warp. */
template <int LEN, class F>
__device__ static void quantize_block(struct act a, int row, int b, int k, int lane, F f)
{
    constexpr int EACH = LEN / 32; /* values of a lane, in a row */
    float v[EACH], amax = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        v[i] = f(lane * EACH + i);
        amax = fmaxf(amax, fabsf(v[i]));
    }
    for (int o = 16; o > 0; o /= 2)
        amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, o));
    const bool zero = amax < 0x1p-96f;
    const float inv = zero ? 0.0f : 127.0f / amax;
    int sum = 0;
    int8_t q[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int n = __float2int_rn(v[i] * inv);
        q[i] = (int8_t)n;
        sum += n;
    }
    if (LEN == 256 &&
        a.half) { /* groups of eight values: 0 1 4 5 apart from 2 3 6 7, as lanes take them */
        uint8_t *const to = (uint8_t *)a.q + ((size_t)(row / a.half) * (k / LEN) + b) *
                                                 (size_t)(HALF_BYTES * a.half);
        const int r = row % a.half, chunk = lane % 8 / 2 * 2;
        __half2 h[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            h[i] = __floats2half2_rn(q[2 * i % EACH], q[(2 * i + 1) % EACH]);
        uint8_t *const line = to + lane / 8 * (a.half * 128) + r * 128 + lane % 2 * 8;
        *(uint2 *)(line + ((chunk ^ (r & 7)) << 4)) =
            make_uint2(*(uint32_t *)&h[0], *(uint32_t *)&h[2]);
        *(uint2 *)(line + (((chunk + 1) ^ (r & 7)) << 4)) =
            make_uint2(*(uint32_t *)&h[1], *(uint32_t *)&h[3]);
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        if (lane % 4 == 0) { /* sum lane / 4 */
            __half *split = (__half *)(to + a.half * 512 + r * 32) + lane / 8 * 4 + lane / 4 % 2;
            split[0] = __float2half_rn((float)(sum & ~1));
            split[2] = __float2half_rn((float)(sum & 1));
        }
        if (lane == 0)
            ((float *)(to + a.half * 544))[r] = zero ? 0.0f : amax / 127.0f;
        return;
    }
    const int at = b * LEN + lane * EACH;
    int8_t *to = a.q + ((size_t)(row / 8) * (k / 16) + at / 16) * 128 + row % 8 * 16 + at % 16;
    const size_t block = (size_t)(row / 8) * (k / LEN) + b;
    if (LEN == 256) {
        uint2 u;
        memcpy(&u, q, 8);
        *(uint2 *)to = u;
        sum += __shfl_xor_sync(~0u, sum, 1);
        if (lane % 2 == 0) {
            const int high = (sum + 32) >> 6;
            int8_t *split = a.split + block * 256 + row % 8 * 16 + lane / 2;
            split[0] = (int8_t)high;
            split[128] = (int8_t)(sum - 64 * high);
        }
    } else {
        *to = q[0];
        for (int o = 16; o > 0; o /= 2)
            sum += __shfl_xor_sync(~0u, sum, o);
        if (lane == 0)
            a.sum[block * 8 + row % 8] = sum;
    }
    if (lane == 0)
        a.scale[block * 8 + row % 8] = zero ? 0.0f : amax / 127.0f;
}

/* f.operator()<TYPE>() of a type that R1 is of */
template <class F> static inline int by_type(int type, F f)
{
    switch (type) {
    case KN_Q4_0:
        return f.template operator()<KN_Q4_0>();
    case KN_Q4_1:
        return f.template operator()<KN_Q4_1>();
    case KN_Q5_0:
        return f.template operator()<KN_Q5_0>();
    case KN_Q5_1:
        return f.template operator()<KN_Q5_1>();
    case KN_Q8_0:
        return f.template operator()<KN_Q8_0>();
    case KN_Q4_K:
        return f.template operator()<KN_Q4_K>();
    case KN_Q5_K:
        return f.template operator()<KN_Q5_K>();
    case KN_Q6_K:
        return f.template operator()<KN_Q6_K>();
    }
    return KN_EUNSUP;
}

/* R1's fold of its eight lanes; f is used up. */
__device__ static inline float fold8(float f[8])
{
    for (int half = 4; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            f[l] += f[l + half];
    return f[0];
}
/* The sum of a row of w with a token to its place. */
__device__ static inline void put_sum(const struct product &p, int token, int row, float sum)
{
    const float v = p.bias ? sum + p.bias[row] : sum;
    float *y = p.y + (size_t)token * p.n + row;
    *y = p.add ? *y + v : v;
}

/* The product that a group of rows belongs to; *group becomes its number there. */
__device__ static inline int product_of(const struct products &ps, int *group)
{
    int i = 0;
    while (i < TOGETHER - 1 && *group >= ps.end[i])
        i++;
    *group -= i ? ps.end[i - 1] : 0;
    return i;
}
#endif
