/* train_panels - f32 into panels of bf16: inputs of groups, gradients, factors; what is missing of a panel is zeros */
#include "cuda/train_wide.h"
#include "philox.h"
#include "poly.h"

/* Eight values of a row from p on, `left` of which are there. */
__device__ static void eight(float v[8], const float *p, int left)
{
    if (left >= 8 && (size_t)p % 16 == 0) {
        *(float4 *)&v[0] = *(const float4 *)p;
        *(float4 *)&v[4] = *(const float4 *)(p + 4);
        return;
    }
#pragma unroll
    for (int j = 0; j < 8; j++)
        v[j] = j < left ? p[j] : 0;
}

/* x(m, k), or what a group's input makes of it, dropped if p > 0 */
struct of_x {
    const float *x, *up, *norm, *rstd;
    int m, k, input;
    float p, keep;
    uint64_t seed, draws;
    __device__ void take(float v[8], int row, int col) const
    {
        const size_t at = (size_t)row * k + col;
        const int left = row < m ? k - col : 0;
        if (left <= 0) {
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = 0;
            return;
        }
        eight(v, x + at, left);
        if (input == KN_IN_NORM) {
            float w[8];
            const float r = rstd[row];
            eight(w, norm + col, left);
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = v[j] * r * w[j];
        } else if (input == KN_IN_SWIGLU) {
            float u[8];
            eight(u, up + at, left);
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = v[j] * kn_sigmoid(v[j]) * u[j];
        }
        if (p > 0)
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = kn_philox_f32(seed, draws + at + j) >= p ? v[j] * keep : 0;
    }
};
/* factors a (r, k) of up to three adapters, one below another */
struct of_a {
    const float *a[KN_GROUP];
    int r, k, wide;
    __device__ void take(float v[8], int row, int col) const
    {
        const int i = row / wide, at = row % wide;
        const float *f = i == 0 ? a[0] : i == 1 ? a[1] : i == 2 ? a[2] : NULL;
        const int left = f && at < r ? k - col : 0;
        if (left > 0)
            eight(v, f + (size_t)at * k + col, left);
        else
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = 0;
    }
};
/* times x(m, r) of up to three adapters, side by side */
struct of_columns {
    const float *x[KN_GROUP];
    int m, r, wide;
    float times;
    __device__ void take(float v[8], int row, int col) const
    {
        const int i = col / wide, at = col % wide; /* wide: a multiple of 16 */
        const float *f = i == 0 ? x[0] : i == 1 ? x[1] : i == 2 ? x[2] : NULL;
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = f && row < m && at + j < r ? times * f[(size_t)row * r + at + j] : 0;
    }
};

/* Eight columns a thread. */
template <class OF>
__global__ static void pack(uint8_t *to, const __grid_constant__ OF of, int rows, int n_slab)
{
    const int eights = n_slab * (SLAB / 8);
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int row = (int)(i / eights), col = (int)(i % eights) * 8;
    if (row >= rows)
        return;
    float v[8];
    of.take(v, row, col);
    __align__(16) __nv_bfloat162 h[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
        h[j] = __floats2bfloat162_rn(v[2 * j], v[2 * j + 1]);
    *(uint4 *)(to + panel_at(row, col, n_slab)) = *(const uint4 *)h;
}

static unsigned blocks_of(int rows, int cols)
{
    return cu_blocks((size_t)rows * slabs(cols) * (SLAB / 8), 256);
}
static int whole(int rows)
{
    return (rows + PANEL - 1) / PANEL * PANEL;
}

__global__ static void rstds(float *rstd, const float *x, float eps, int n)
{
    __shared__ float part[256];
    const float *row = x + (size_t)blockIdx.x * n;
    float s = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        s = fmaf(row[i], row[i], s);
    part[threadIdx.x] = s;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        rstd[blockIdx.x] = 1.0f / sqrtf(part[0] / (float)n + eps);
}

int cu_group_panels(struct kn_dev *d, uint8_t *to, const struct kn_group *g, int m, float p,
                    uint64_t draws, int fresh)
{
    const struct of_x of = {cu_f32(g->x),
                            cu_f32(g->up),
                            cu_f32(g->norm),
                            cu_f32(g->rstd),
                            m,
                            g->k,
                            (int)g->input,
                            p,
                            1 / (1 - p),
                            g->seed,
                            draws};
    if (g->input == KN_IN_NORM && fresh)
        rstds<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(g->rstd), cu_f32(g->x), g->eps, g->k);
    pack<of_x>
        <<<blocks_of(whole(m), g->k), 256, 0, cu_dev(d)->stream>>>(to, of, whole(m), slabs(g->k));
    return cu_launched(d, "panels of an input");
}

__global__ static void pack_swiglu(uint8_t *dgate, uint8_t *dup, uint8_t *h, const float *dh,
                                   const float *gate, const float *up, int m, int k, int rows,
                                   int n_slab)
{
    const int eights = n_slab * (SLAB / 8);
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int row = (int)(i / eights), col = (int)(i % eights) * 8;
    const int left = row < m ? k - col : 0;
    __align__(16) __nv_bfloat162 dg[4], du[4], act[4];
    float v[8] = {}, g[8] = {}, u[8] = {};
    if (row >= rows)
        return;
    if (left > 0) {
        const size_t at = (size_t)row * k + col;
        eight(v, dh + at, left);
        eight(g, gate + at, left);
        eight(u, up + at, left);
    }
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float s = kn_sigmoid(g[j]), x = v[j], gs = g[j] * s, a = gs * u[j];
        v[j] = x * u[j] * s * (1.0f + g[j] * (1.0f - s));
        u[j] = x * gs;
        g[j] = a;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        dg[j] = __floats2bfloat162_rn(v[2 * j], v[2 * j + 1]);
        du[j] = __floats2bfloat162_rn(u[2 * j], u[2 * j + 1]);
        act[j] = __floats2bfloat162_rn(g[2 * j], g[2 * j + 1]);
    }
    const size_t at = panel_at(row, col, n_slab);
    *(uint4 *)(dgate + at) = *(const uint4 *)dg;
    *(uint4 *)(dup + at) = *(const uint4 *)du;
    if (h)
        *(uint4 *)(h + at) = *(const uint4 *)act;
}

int cu_swiglu_panels(struct kn_dev *d, uint8_t *dgate, uint8_t *dup, uint8_t *h, const float *dh,
                     const float *gate, const float *up, int m, int k)
{
    pack_swiglu<<<blocks_of(whole(m), k), 256, 0, cu_dev(d)->stream>>>(dgate, dup, h, dh, gate, up,
                                                                       m, k, whole(m), slabs(k));
    return cu_launched(d, "backward of SwiGLU");
}

int cu_x_panels(struct kn_dev *d, uint8_t *to, const float *x, int m, int k)
{
    const struct of_x of = {x, NULL, NULL, NULL, m, k, KN_IN_PLAIN, 0, 1, 0, 0};
    pack<of_x><<<blocks_of(whole(m), k), 256, 0, cu_dev(d)->stream>>>(to, of, whole(m), slabs(k));
    return cu_launched(d, "panels of a gradient");
}

int cu_a_panels(struct kn_dev *d, uint8_t *to, const struct adapters *a, int k)
{
    const int rows = whole(a->n * a->wide);
    const struct of_a of = {{a->x[0], a->x[1], a->x[2]}, a->r, k, a->wide};
    pack<of_a><<<blocks_of(rows, k), 256, 0, cu_dev(d)->stream>>>(to, of, rows, slabs(k));
    return cu_launched(d, "panels of factors");
}

int cu_column_panels(struct kn_dev *d, uint8_t *to, const struct adapters *a, int m, float times)
{
    const int cols = a->n * a->wide;
    const struct of_columns of = {{a->x[0], a->x[1], a->x[2]}, m, a->r, a->wide, times};
    pack<of_columns>
        <<<blocks_of(whole(m), cols), 256, 0, cu_dev(d)->stream>>>(to, of, whole(m), slabs(cols));
    return cu_launched(d, "panels of factors");
}
