/* attend.h - what the attention kernels share: where a row finds things, values of the cache widened */
#ifndef CUDA_ATTEND_H
#define CUDA_ATTEND_H
#include "cuda/cuda.h"

enum { WARPS = 8, WIDEST = 256 }; /* of a block of threads; the widest head of attend_several */

struct view { /* where a (row, head) finds things */
    const char *cache;
    const int32_t *pos, *seq, *blocks;
    int max_blocks, n_head, n_head_kv, head_dim, dim;
    size_t tile;
    float scale, cap;
    int window;
};

template <int TYPE>
__device__ static void widen16(const char *tile, int unit, int p, int dim, float *v)
{
    if (TYPE == KN_F32) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float4 f = *(const float4 *)(tile + ((unit * 4 + i) * KN_TILE + p) * 16);
            v[4 * i] = f.x, v[4 * i + 1] = f.y, v[4 * i + 2] = f.z, v[4 * i + 3] = f.w;
        }
    } else if (TYPE == KN_F16) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint4 u = *(const uint4 *)(tile + ((unit * 2 + i) * KN_TILE + p) * 16);
            const __half2 *h = (const __half2 *)&u;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const float2 f = __half22float2(h[j]);
                v[8 * i + 2 * j] = f.x, v[8 * i + 2 * j + 1] = f.y;
            }
        }
    } else {
        const uint4 u = *(const uint4 *)(tile + (unit * KN_TILE + p) * 16);
        const int8_t *q = (const int8_t *)&u;
        const float d =
            __half2float(((const __half *)(tile + KN_TILE * dim))[unit / 2 * KN_TILE + p]);
#pragma unroll
        for (int i = 0; i < 16; i++)
            v[i] = d * (float)q[i];
    }
}

template <int TYPE> __device__ static float value(const char *tile, int p, int i, int dim)
{
    if (TYPE == KN_F32)
        return ((const float *)tile)[p * dim + i];
    if (TYPE == KN_F16)
        return __half2float(((const __half *)tile)[p * dim + i]);
    const float d = __half2float(((const __half *)(tile + KN_TILE * dim))[p * (dim / 32) + i / 32]);
    return d * (float)(int8_t)tile[p * dim + i];
}

/* values i and i + 1 of position p, i even */
template <int TYPE> __device__ static float2 two_values(const char *tile, int p, int i, int dim)
{
    if (TYPE == KN_F32)
        return *(const float2 *)((const float *)tile + p * dim + i);
    if (TYPE == KN_F16)
        return __half22float2(*(const __half2 *)((const __half *)tile + p * dim + i));
    const float d = __half2float(((const __half *)(tile + KN_TILE * dim))[p * (dim / 32) + i / 32]);
    return {d * (float)(int8_t)tile[p * dim + i], d * (float)(int8_t)tile[p * dim + i + 1]};
}

/* sixteen lanes of R3 in registers to their sum */
__device__ static inline float fold_lanes(float lane[16])
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        lane[i] += lane[i + 8];
#pragma unroll
    for (int i = 0; i < 4; i++)
        lane[i] += lane[i + 4];
    lane[0] += lane[2];
    lane[1] += lane[3];
    return lane[0] + lane[1];
}

/* The work items of several rows of a sequence (struct cu_batch), heads of at most WIDEST. */
int cu_attend_several(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                      const int2 *items, int n_items);
/* Those of one row, for all heads that share k and v at once; whether so many do that it pays. */
int cu_shares_heads(const struct view *v);
int cu_attend_heads(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                    const int2 *items, int n_items);
#endif
