/* panels - what products in bf16 take (gemm_bf16.h): rows, normalized rows and weights of all types as panels; their room */
#include "cuda/gemm_bf16.h"
#include "cuda/matmul.h"
#include "cuda/sums.h"
#include "cuda/unpack.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- rows ---- */

/* Eight values, from column c on, zero from k on. */
template <class F>
__device__ static void put_eight(uint8_t *panels, int r, int c, int n_slab, int k, F f)
{
    __nv_bfloat162 v[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        v[i] = __floats2bfloat162_rn(c + 2 * i < k ? f(c + 2 * i) : 0.0f,
                                     c + 2 * i + 1 < k ? f(c + 2 * i + 1) : 0.0f);
    *(uint4 *)(panels + panel_at(r, c, n_slab)) = *(const uint4 *)v;
}

__global__ __launch_bounds__(512) static void norm_rows(uint8_t *panels, const float *x,
                                                        const float *w, float eps, int k,
                                                        int n_slab)
{
    __shared__ __align__(16) float piece[PIECE];
    begin_next();
    after();
    const float *row = x + (size_t)blockIdx.x * k;
    const float sum = row_sum(piece, row, k, [](float v, float s) { return fmaf(v, v, s); });
    const float r = 1.0f / sqrtf(sum / (float)k + eps);
    if (k <= PIECE)
        row = piece;
    for (int c = threadIdx.x * 8; c < n_slab * SLAB; c += blockDim.x * 8)
        put_eight(panels, blockIdx.x, c, n_slab, k, [&](int i) { return row[i] * r * w[i]; });
}

__global__ static void plain_rows(uint8_t *panels, const float *x, int m, int k, int n_slab)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int r = (int)(i / (n_slab * 8)), c = (int)(i % (n_slab * 8)) * 8;
    begin_next();
    after();
    if (r < m)
        put_eight(panels, r, c, n_slab, k, [=](int j) { return x[(size_t)r * k + j]; });
}

int cu_wide_rows(struct kn_dev *d, const float *x, int m, int k, const float *norm, float eps)
{
    uint8_t *to = cu_dev(d)->wide.x;
    if (norm)
        return cu_launch(d, "norm", norm_rows, (unsigned)m, k <= 2048 ? 256 : 512, to, x, norm, eps,
                         k, slabs(k));
    return cu_launch(d, "rows in bf16", plain_rows,
                     cu_blocks((size_t)m * (size_t)(slabs(k) * 8), 256), 256, to, x, m, k,
                     slabs(k));
}

/* ---- weights ---- */

/* A thread makes eight values of a row; 32 of them have neighbouring rows, as weights lie. */
template <int TYPE>
__global__ static void weight_panels(uint8_t *panels, const uint8_t *w, int n_block, int n, int k,
                                     int n_slab)
{
    constexpr struct form F = form_of(TYPE);
    const int r = blockIdx.y * GROUP + threadIdx.x, c = (blockIdx.x * blockDim.y + threadIdx.y) * 8;
    if (c >= n_slab * SLAB)
        return;
    put_eight(panels, r, c, n_slab, r < n ? k : 0, [=](int i) {
        constexpr int SIZE = TYPE == KN_F32 ? 4 : 2; /* of a value of a float type */
        const int more = F.len < 32 ? i % F.len * SIZE : 0;
        return element(TYPE, F.len < 32 ? 0 : i % F.len, [=](int off) {
            return (unsigned)__ldg(w + place(F, n_block, r, i / F.len, off + more));
        });
    });
}

template <int TYPE>
static int fill(struct kn_dev *d, uint8_t *to, const struct cu_weight *w, int n, int k)
{
    const dim3 grid(cu_blocks((size_t)slabs(k) * 8, 8),
                    cu_blocks((size_t)n, PANEL) * (PANEL / (unsigned)GROUP));
    weight_panels<TYPE>
        <<<grid, dim3(GROUP, 8), 0, cu_dev(d)->stream>>>(to, w->p, w->n_block, n, k, slabs(k));
    return cu_launched(d, "a weight in bf16");
}

static int make_panels(struct kn_dev *d, uint8_t *to, const struct cu_weight *w, int n, int k)
{
    switch (w->form) {
    case KN_F32:
        return fill<KN_F32>(d, to, w, n, k);
    case KN_F16:
        return fill<KN_F16>(d, to, w, n, k);
    case KN_BF16:
        return fill<KN_BF16>(d, to, w, n, k);
    }
    return by_type(w->form, [=]<int TYPE>() { return fill<TYPE>(d, to, w, n, k); });
}

int cu_wide_keep(struct kn_dev *d, struct cu_weight *w, int n, int k)
{
    struct cu_wide_room *r = &cu_dev(d)->wide;
    const size_t bytes = panel_bytes(n, k);
    size_t left = 0, all = 0;
    if (n % 8 || k % 8) /* two columns are written at once, eight values read */
        return KN_OK;
    w->wide = 1;
    int rc = cu_status(d, cudaMemGetInfo(&left, &all), "memory");
    const int keep = rc == KN_OK && left > bytes && left - bytes >= all / 4;
    if (rc == KN_OK)
        rc = cu_wide_reserve(d, 1, k > n ? k : n, keep ? 0 : bytes);
    if (rc == KN_OK && keep) {
        rc = cu_status(d, cudaMalloc(&w->panels, bytes), "a weight in bf16");
        if (rc == KN_OK && (rc = make_panels(d, w->panels, w, n, k)) != KN_OK)
            cudaFree(w->panels);
    }
    if (rc != KN_OK)
        return rc;
    w->panel_bytes = keep ? bytes : 0;
    r->n_all++;
    r->n_kept += keep;
    r->kept += w->panel_bytes;
    snprintf(
        d->note, sizeof d->note,
        "prompts in bf16: of %d weights %d are kept so too, %zu bytes; the others are made anew "
        "for each step",
        r->n_all, r->n_kept, r->kept);
    return KN_OK;
}

void cu_wide_drop(struct kn_dev *d, struct cu_weight *w)
{
    struct cu_wide_room *r = &cu_dev(d)->wide;
    cudaFree(w->panels);
    r->n_all -= w->wide;
    r->n_kept -= w->panels != NULL;
    r->kept -= w->panel_bytes;
}

int cu_wide_weight(struct kn_dev *d, const struct kn_weight *weight, int i, const uint8_t **panels)
{
    const struct cu_weight *w = (const struct cu_weight *)weight;
    *panels = w->panels ? w->panels : cu_dev(d)->wide.w[i];
    return w->panels ? KN_OK : make_panels(d, cu_dev(d)->wide.w[i], w, weight->n, weight->k);
}

/* ---- room ---- */

/* A larger piece in place of *p; the old one stays until the end, as a graph may name it. */
static int grow(struct kn_dev *d, uint8_t **p, size_t bytes)
{
    uint8_t *more = NULL;
    int rc = cu_status(d, cudaMalloc(&more, bytes), "room for prompts");
    if (rc == KN_OK && (rc = cu_forget(d, *p)) != KN_OK)
        cudaFree(more);
    if (rc == KN_OK)
        *p = more;
    return rc;
}

int cu_wide_reserve(struct kn_dev *d, int rows, int k, size_t weight)
{
    struct cu_wide_room *r = &cu_dev(d)->wide;
    int rc = KN_OK;
    rows = rows > r->rows ? rows : r->rows;
    k = k > r->k ? k : r->k;
    if (rows > r->rows || k > r->k) {
        const size_t bytes = panel_bytes(rows, k);
        if ((rc = grow(d, &r->x, bytes)) != KN_OK || (rc = grow(d, &r->h, bytes)) != KN_OK)
            return rc;
        r->rows = rows;
        r->k = k;
    }
    if (weight > r->weight) {
        for (int i = 0; i < 2 && rc == KN_OK; i++)
            rc = grow(d, &r->w[i], weight);
        if (rc == KN_OK)
            r->weight = weight;
    }
    return rc;
}
