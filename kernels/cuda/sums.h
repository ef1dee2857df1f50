/* sums.h - R3's sum over a row by a block of threads */
#ifndef CUDA_SUMS_H
#define CUDA_SUMS_H
#include "cuda/cuda.h"

/* R3's sums of a row by a block of threads: lane i is thread i, i < 16 */
enum { PIECE = 4096 }; /* values in shared memory at once */

__device__ static float fold16(float lane)
{
    for (int half = 8; half > 0; half /= 2)
        lane += __shfl_down_sync(0xffff, lane, half, 16);
    return lane;
}

/* sum of term(x[i]); every thread gets it */
template <class Add> __device__ static float row_sum(const float *x, int n, Add add)
{
    __shared__ float piece[PIECE];
    __shared__ float sum;
    float lane = 0;
    for (int from = 0; from < n; from += PIECE) {
        const int count = min(PIECE, n - from);
        __syncthreads();
        for (int i = threadIdx.x; i < count; i += blockDim.x)
            piece[i] = x[from + i];
        __syncthreads();
        if (threadIdx.x < 16) {
#pragma unroll 16
            for (int i = threadIdx.x; i < count; i += 16)
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
