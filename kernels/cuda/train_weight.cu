/* train_weight - weights of training: kept as rows or panels, made into f32 or panels; scratch */
#include "cuda/gemm_bf16.h"
#include "cuda/train_ops.h"
#include "cuda/unpack.h"
#include <stdlib.h>

int cu_scratch(struct kn_dev *d, enum cu_scratch_of room, size_t bytes, void *out)
{
    struct cu_dev *c = cu_dev(d);
    *(void **)out = c->room[room].p;
    if (bytes <= c->room[room].bytes)
        return KN_OK;
    int rc = cu_status(d, cudaStreamSynchronize(c->stream), "room for training");
    cudaFree(c->room[room].p);
    c->room[room].p = NULL;
    c->room[room].bytes = 0;
    if (rc == KN_OK)
        rc = cu_status(d, cudaMalloc(&c->room[room].p, bytes), "room for training");
    if (rc == KN_OK)
        c->room[room].bytes = bytes;
    *(void **)out = c->room[room].p;
    return rc;
}

/* A weight as a kernel reads it: rows of a file, or panels. */
struct source {
    const uint8_t *rows, *panels;
    size_t row_bytes;
    int type, n, k;
};
static struct source source_of(const struct kn_weight *w)
{
    const struct cu_weight *c = (const struct cu_weight *)w;
    const struct file_form f = file_form_of(c->train.type);
    return {c->train.rows, c->train.panels, (size_t)(w->k / f.len) * f.bytes, c->train.type, w->n,
            w->k};
}
__device__ static float value_of(const struct source &s, int row, int col)
{
    if (!s.rows)
        return __bfloat162float(
            *(const __nv_bfloat16 *)(s.panels + panel_at(row, col, slabs(s.k))));
    const struct file_form f = file_form_of(s.type);
    const uint8_t *b = s.rows + row * s.row_bytes + (size_t)(col / f.len) * f.bytes;
    if (s.type == KN_F32)
        return *(const float *)b;
    if (s.type == KN_BF16)
        return __uint_as_float((unsigned)*(const uint16_t *)b << 16);
    return element(s.type, col % f.len, [=](int off) { return (unsigned)b[off]; });
}

__global__ static void widen(float *y, const __grid_constant__ struct source s, int row, size_t n)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = value_of(s, row + (int)(i / s.k), (int)(i % s.k));
}

/* Eight columns a thread; what is missing of a panel is zeros. */
__global__ static void make_panels(uint8_t *to, const __grid_constant__ struct source s)
{
    const int n_slab = slabs(s.k), eights = n_slab * (SLAB / 8);
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int row = (int)(i / eights), col = (int)(i % eights) * 8;
    if (row >= (s.n + PANEL - 1) / PANEL * PANEL)
        return;
    __align__(16) __nv_bfloat16 v[8];
#pragma unroll
    for (int j = 0; j < 8; j++)
        v[j] = __float2bfloat16(row < s.n && col + j < s.k ? value_of(s, row, col + j) : 0.0f);
    *(uint4 *)(to + panel_at(row, col, n_slab)) = *(const uint4 *)v;
}

static int fill_panels(struct kn_dev *d, uint8_t *to, const struct source &s)
{
    const size_t n = (size_t)cu_blocks((size_t)s.n, PANEL) * PANEL * slabs(s.k) * (SLAB / 8);
    make_panels<<<cu_blocks(n, 256), 256, 0, cu_dev(d)->stream>>>(to, s);
    return cu_launched(d, "panels of a weight");
}

int cu_train_weight(struct kn_dev *d, struct cu_weight *w, int type, int n, int k, const void *rows,
                    int flags)
{
    const struct file_form f = file_form_of(type);
    const size_t bytes = (size_t)(k / f.len) * f.bytes * n;
    const int small = type == KN_F32 || type == KN_F16 || type == KN_BF16;
    w->train.type = type;
    w->w.n = n, w->w.k = k;
    int rc = cu_status(d, cudaMalloc(&w->train.rows, bytes), "a weight");
    if (rc == KN_OK) /* the stream's, as all that reads it */
        rc = cu_status(
            d,
            cudaMemcpyAsync(w->train.rows, rows, bytes, cudaMemcpyHostToDevice, cu_dev(d)->stream),
            "weight to the device");
    if (rc != KN_OK || !small || !(flags & KN_W_MIXED))
        return rc;
    rc = cu_status(d, cudaMalloc(&w->train.panels, panel_bytes(n, k)), "a weight");
    if (rc == KN_OK)
        rc = fill_panels(d, w->train.panels, source_of(&w->w));
    if (rc == KN_OK)
        rc = cu_status(d, cudaStreamSynchronize(cu_dev(d)->stream), "a weight");
    if (rc == KN_OK && type == KN_BF16) {
        cudaFree(w->train.rows);
        w->train.rows = NULL;
    }
    return rc;
}

void cu_train_weight_free(struct cu_weight *w)
{
    if (!w->train.live)
        cudaFree(w->train.rows);
    cudaFree(w->train.panels);
}

int cu_train_live(struct kn_dev *d, struct kn_at rows, int n, int k, struct kn_weight **out)
{
    struct cu_weight *w = (struct cu_weight *)calloc(1, sizeof *w);
    (void)d, (void)n, (void)k;
    if (!w)
        return KN_ENOMEM;
    w->train.type = KN_F32;
    w->train.live = 1;
    w->train.rows = (uint8_t *)cu_f32(rows);
    *out = &w->w;
    return KN_OK;
}

int cu_widened(struct kn_dev *d, float *y, const struct kn_weight *w, int row, int count)
{
    const size_t n = (size_t)count * w->k;
    widen<<<cu_blocks(n, 256), 256, 0, cu_dev(d)->stream>>>(y, source_of(w), row, n);
    return cu_launched(d, "a weight in f32");
}

int cu_panels_of(struct kn_dev *d, const struct kn_weight *w, const uint8_t **out)
{
    const struct cu_weight *c = (const struct cu_weight *)w;
    uint8_t *p = c->train.panels;
    int rc = KN_OK;
    if (!p && (rc = cu_scratch(d, ROOM_WEIGHT, panel_bytes(w->n, w->k), &p)) == KN_OK)
        rc = fill_panels(d, p, source_of(w));
    *out = p;
    return rc;
}

/* A token that the table does not have gives a row that is not a number. */
__global__ static void embed_ids(float *y, const __grid_constant__ struct source s,
                                 const int32_t *ids)
{
    const int row = ids[blockIdx.x];
    for (int i = threadIdx.x; i < s.k; i += blockDim.x)
        y[(size_t)blockIdx.x * s.k + i] = row < 0 || row >= s.n ? NAN : value_of(s, row, i);
}

int cu_train_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, struct kn_at ids,
                   int m)
{
    if (m == 0)
        return KN_OK;
    embed_ids<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), source_of(w), cu_i32(ids));
    return cu_launched(d, "embedding");
}

/* Sum of squares of row j of w, or of w + alpha b a: a block of threads a row, in a fixed order. */
__global__ static void row_norms(float *norm, const __grid_constant__ struct source s,
                                 const float *a, const float *b, float alpha, int r)
{
    __shared__ double part[256];
    const int j = blockIdx.x;
    double sum = 0;
    for (int p = threadIdx.x; p < s.k; p += blockDim.x) {
        double delta = 0;
        for (int i = 0; a && i < r; i++)
            delta += (double)b[(size_t)j * r + i] * a[(size_t)i * s.k + p];
        const double v = value_of(s, j, p) + alpha * delta;
        sum += v * v;
    }
    part[threadIdx.x] = sum;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        norm[j] = (float)sqrt(part[0]);
}

int cu_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                      struct kn_at a, struct kn_at b, float alpha, int r)
{
    row_norms<<<w->n, 256, 0, cu_dev(d)->stream>>>(cu_f32(norm), source_of(w), cu_f32(a), cu_f32(b),
                                                   alpha, r);
    return cu_launched(d, "norms of a weight's rows");
}
