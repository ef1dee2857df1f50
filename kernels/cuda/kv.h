/* kv.h - one value into the cache, a lane for each of 32 neighbours (cuda.h says how it lies) */
#ifndef CUDA_KV_H
#define CUDA_KV_H
#include "cuda/cuda.h"

/* 32 values of one head and position, a lane each, as KN_Q8_0 has them (R4) */
__device__ static void put_q8(char *tile, int dim, int which, int p, int i, float x)
{
    float amax = fabsf(x);
    for (int o = 16; o > 0; o /= 2)
        amax = fmaxf(amax, __shfl_xor_sync(~0u, amax, o));
    const float s = amax / 127.0f, inv = 1.0f / s;
    const int8_t q = (int8_t)roundf(x * (isfinite(inv) ? inv : 0.0f));
    __half *scale = (__half *)(tile + (size_t)KN_TILE * dim);
    if (which)
        tile[p * dim + i] = q;
    else
        tile[(i / 16 * KN_TILE + p) * 16 + i % 16] = q;
    if (i % 32 == 0)
        scale[which ? p * (dim / 32) + i / 32 : i / 32 * KN_TILE + p] = __float2half_rn(s);
}

/* value i of k (which 0) or v at place p of a tile */
__device__ static void put(char *tile, int type, int dim, int which, int p, int i, float x)
{
    if (type == KN_Q8_0)
        put_q8(tile, dim, which, p, i, x);
    else if (type == KN_F16)
        ((__half *)tile)[which ? p * dim + i : (i / 8 * KN_TILE + p) * 8 + i % 8] =
            __float2half_rn(x);
    else
        ((float *)tile)[which ? p * dim + i : (i / 4 * KN_TILE + p) * 4 + i % 4] = x;
}
#endif
