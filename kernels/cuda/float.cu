/* float - R2: products with F32, F16 and BF16 weights; a thread for each (row of w, chunk of 256)
 *
 * A block of threads is one group of 32 rows; eight warps take eight chunks at once, whose sums are
 * then added in their order. */
#include "cuda/matmul.h"

template <int TYPE> __device__ static void widen(const uint4 &u, float *v)
{
    const uint32_t w[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (TYPE == KN_F32) {
            v[i] = __uint_as_float(w[i]);
        } else if (TYPE == KN_F16) {
            v[2 * i] = half_float(w[i]);
            v[2 * i + 1] = half_float(w[i] >> 16);
        } else {
            v[2 * i] = __uint_as_float(w[i] << 16);
            v[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
        }
    }
}

/* chunk c of M rows of x with a row of w: one chain of fma each */
template <int TYPE, int M>
__device__ static void chunk(float acc[M], const uint8_t *w, const float *x, int c, int k, int row,
                             int rows)
{
    constexpr int LEN = form_of(TYPE).len;
    const int end = min(k, (c + 1) * 256);
#pragma unroll 4
    for (int i = c * 256; i < end; i += LEN) {
        const uint4 u = __ldcs((const uint4 *)(w + ((size_t)(i / LEN) * GROUP + row) * 16));
        float v[8];
        widen<TYPE>(u, v);
#pragma unroll
        for (int r = 0; r < M; r++) {
            if (r >= rows)
                break;
            const float *xr = x + (size_t)r * k + i;
#pragma unroll
            for (int j = 0; j < LEN; j++)
                if (i + j < end)
                    acc[r] = fmaf(__ldg(xr + j), v[j], acc[r]);
        }
    }
}

template <int TYPE, int M>
__global__ __launch_bounds__(256) static void product(struct products ps, const float *x, int m)
{
    __shared__ float part[8][M][GROUP];
    const int row = threadIdx.x % 32, warp = threadIdx.x / 32, first = blockIdx.y * M;
    const int rows = min(M, m - first), n_chunk = (ps.k + 255) / 256;
    const struct product p = ps.p[0];
    const uint8_t *w = p.w + (size_t)blockIdx.x * ps.n_block * (GROUP * 16);
    float total = 0;
    for (int from = 0; from < n_chunk; from += 8) {
        if (from + warp < n_chunk) {
            float acc[M];
#pragma unroll
            for (int r = 0; r < M; r++)
                acc[r] = 0;
            chunk<TYPE, M>(acc, w, x + (size_t)first * ps.k, from + warp, ps.k, row, rows);
#pragma unroll
            for (int r = 0; r < M; r++)
                part[warp][r][row] = acc[r];
        }
        __syncthreads();
        if (warp < rows)
            for (int c = 0; c < min(8, n_chunk - from); c++)
                total = from + c ? total + part[c][warp][row] : part[c][warp][row];
        __syncthreads();
    }
    const int j = blockIdx.x * GROUP + row;
    if (warp >= rows || j >= p.n)
        return;
    const float v = p.bias ? total + p.bias[j] : total;
    float *y = p.y + (size_t)(first + warp) * p.n + j;
    *y = p.add ? *y + v : v;
}

template <int TYPE>
static void launch(cudaStream_t s, const struct products *p, const float *x, int m)
{
    const unsigned groups = (unsigned)p->end[0];
    for (int from = 0; from < m; from += 1 << 15) { /* a grid has 65535 at most */
        struct products q = *p;
        const int rows = m - from < 1 << 15 ? m - from : 1 << 15;
        q.p[0].y += (size_t)from * p->p[0].n;
        const float *xf = x + (size_t)from * p->k;
        if (m == 1)
            product<TYPE, 1><<<groups, 256, 0, s>>>(q, xf, rows);
        else
            product<TYPE, 8><<<dim3(groups, cu_blocks((size_t)rows, 8)), 256, 0, s>>>(q, xf, rows);
    }
}

int cu_float(struct kn_dev *d, const struct products *p, int type, const float *x, int m)
{
    cudaStream_t s = cu_dev(d)->stream;
    if (type == KN_F32)
        launch<KN_F32>(s, p, x, m);
    else if (type == KN_F16)
        launch<KN_F16>(s, p, x, m);
    else
        launch<KN_BF16>(s, p, x, m);
    return cu_launched(d, "product");
}
