/* train_gemm - products of training in f32, in R2's order: the bits of every other device
 *
 * Tiles of 128 x 64, four by eight outputs a thread; sums of 256 products each are added in their order. */
#include "cuda/train_ops.h"

enum { TILE_M = 128, TILE_N = 64, TILE_K = 16, CHUNK = 256 };

struct product_f32 {
    float *c;
    const float *a, *b, *bias;
    float alpha;
    int m, n, k, add;
};

/* Element (row, col) of op(x)(rows, cols), 0 beyond; TURNED: stored (cols, rows). */
template <bool TURNED>
__device__ static float element_of(const float *x, int row, int col, int rows, int cols)
{
    if (row >= rows || col >= cols)
        return 0;
    return TURNED ? x[(size_t)col * rows + row] : x[(size_t)row * cols + col];
}

template <bool TA, bool TB>
__global__ __launch_bounds__(256) static void gemm_f32(const __grid_constant__ struct product_f32 p)
{
    __shared__ __align__(16) float at[TILE_K][TILE_M + 4], bt[TILE_K][TILE_N + 4];
    const int tid = threadIdx.x, row0 = blockIdx.x * TILE_M, col0 = blockIdx.y * TILE_N;
    const int tr = tid / 16 * 8, tc = tid % 16 * 4;
    float acc[8][4], sum[8][4];
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            acc[i][j] = sum[i][j] = 0;
    for (int k0 = 0; k0 < p.k; k0 += TILE_K) {
        __syncthreads();
#pragma unroll
        for (int i = 0; i < TILE_M * TILE_K / 256; i++) { /* neighbours in memory by neighbours */
            const int e = tid + 256 * i;
            const int r = TA ? e % TILE_M : e / TILE_K, c = TA ? e / TILE_M : e % TILE_K;
            at[c][r] = element_of<TA>(p.a, row0 + r, k0 + c, p.m, p.k);
        }
#pragma unroll
        for (int i = 0; i < TILE_N * TILE_K / 256; i++) {
            const int e = tid + 256 * i;
            const int r = TB ? e / TILE_K : e % TILE_N, c = TB ? e % TILE_K : e / TILE_N;
            bt[c][r] = element_of<!TB>(p.b, col0 + r, k0 + c, p.n, p.k);
        }
        __syncthreads();
        const int n_k = min((int)TILE_K, p.k - k0);
#pragma unroll 4
        for (int q = 0; q < n_k; q++) {
            float x[8], y[4];
#pragma unroll
            for (int i = 0; i < 8; i += 4)
                *(float4 *)&x[i] = *(const float4 *)&at[q][tr + i];
            *(float4 *)&y[0] = *(const float4 *)&bt[q][tc];
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    acc[i][j] = fmaf(x[i], y[j], acc[i][j]);
        }
        if ((k0 + TILE_K) % CHUNK == 0 || k0 + TILE_K >= p.k) {
            const bool first = k0 < CHUNK;
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    sum[i][j] = first ? acc[i][j] : sum[i][j] + acc[i][j];
                    acc[i][j] = 0;
                }
        }
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row = row0 + tr + i, col = col0 + tc + j;
            if (row >= p.m || col >= p.n)
                continue;
            float *c = p.c + (size_t)row * p.n + col, v = p.alpha * sum[i][j];
            v = p.bias ? v + p.bias[col] : v;
            *c = p.add ? *c + v : v;
        }
}

int cu_gemm_f32(struct kn_dev *d, float *c, const float *a, const float *b, const float *bias,
                float alpha, int m, int n, int k, int flags)
{
    const struct product_f32 p = {c, a, b, bias, alpha, m, n, k, (flags & KN_ADD) != 0};
    const dim3 grid(cu_blocks((size_t)m, TILE_M), cu_blocks((size_t)n, TILE_N));
    const cudaStream_t s = cu_dev(d)->stream;
    if (m == 0 || n == 0)
        return KN_OK;
    if (flags & KN_TA && flags & KN_TB)
        gemm_f32<true, true><<<grid, 256, 0, s>>>(p);
    else if (flags & KN_TA)
        gemm_f32<true, false><<<grid, 256, 0, s>>>(p);
    else if (flags & KN_TB)
        gemm_f32<false, true><<<grid, 256, 0, s>>>(p);
    else
        gemm_f32<false, false><<<grid, 256, 0, s>>>(p);
    return cu_launched(d, "product in f32");
}

int cu_train_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                  int m, int n, int k, int flags)
{
    return cu_gemm_f32(d, cu_f32(c), cu_f32(a), cu_f32(b), NULL, alpha, m, n, k, flags);
}

int cu_train_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                    struct kn_at bias, int m, int flags)
{
    float *f;
    int rc = cu_scratch(d, ROOM_WEIGHT, (size_t)w->n * w->k * sizeof *f, &f);
    if (rc == KN_OK)
        rc = cu_widened(d, f, w, 0, w->n);
    return rc != KN_OK ? rc
                       : cu_gemm_f32(d, cu_f32(y), cu_f32(x), f, cu_f32(bias), 1, m, w->n, w->k,
                                     (flags & KN_ADD) | KN_TB);
}

int cu_train_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                        const struct kn_weight *w, int m, int flags)
{
    float *f;
    int rc = cu_scratch(d, ROOM_WEIGHT, (size_t)w->n * w->k * sizeof *f, &f);
    if (rc == KN_OK)
        rc = cu_widened(d, f, w, 0, w->n);
    return rc != KN_OK
               ? rc
               : cu_gemm_f32(d, cu_f32(dx), cu_f32(dy), f, NULL, 1, m, w->k, w->n, flags & KN_ADD);
}
