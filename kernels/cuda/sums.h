/* sums.h - R3's sum over a row by a block of threads */
#ifndef CUDA_SUMS_H
#define CUDA_SUMS_H
#include "cuda/cuda.h"

enum { PIECE = 4096 }; /* values in shared memory at once */

/* the fold of the sixteen lanes of a warp's first half */
__device__ static float fold16(float lane)
{
    for (int half = 8; half > 0; half /= 2)
        lane += __shfl_down_sync(0xffff, lane, half, 16);
    return lane;
}

/* Sum of x in R3's order, add(x, a) being one step: lane i is thread i, i < 16.  Every thread gets it.  piece
 * (PIECE) holds the row afterwards if it is no longer than that. */
template <class Add> __device__ static float row_sum(float *piece, const float *x, int n, Add add)
{
    __shared__ float sum;
    float lane = 0;
    const bool wide = n % 4 == 0 && (size_t)x % 16 == 0;
    for (int from = 0; from < n; from += PIECE) {
        const int count = min((int)PIECE, n - from);
        __syncthreads();
        if (wide)
            for (int i = threadIdx.x; i < count / 4; i += blockDim.x)
                ((float4 *)piece)[i] = ((const float4 *)(x + from))[i];
        else
            for (int i = threadIdx.x; i < count; i += blockDim.x)
                piece[i] = x[from + i];
        __syncthreads();
        if (threadIdx.x < 16) {
            int i = threadIdx.x;
            for (; i + 31 * 16 < count; i += 32 * 16) {
                float v[32];
#pragma unroll
                for (int j = 0; j < 32; j++)
                    v[j] = piece[i + 16 * j];
#pragma unroll
                for (int j = 0; j < 32; j++)
                    lane = add(v[j], lane);
            }
            for (; i < count; i += 16)
                lane = add(piece[i], lane);
        }
    }
    if (threadIdx.x < 16) {
        lane = fold16(lane);
        if (threadIdx.x == 0)
            sum = lane;
    }
    __syncthreads();
    return sum;
}
#endif
