/* rows - norms, RoPE, activations, maps, rows taken and added, routing, argmax: all but products and attention */
#include "cuda/cuda.h"
#include "cuda/sums.h"
#include "experts.h"
#include "poly.h"

__global__ static void rms_norm(float *y, const float *x, const float *w, float eps, int n)
{
    __shared__ __align__(16) float piece[PIECE];
    const float *row = x + (size_t)blockIdx.x * n;
    const float sum = row_sum(piece, row, n, [](float v, float a) { return fmaf(v, v, a); });
    const float r = 1.0f / sqrtf(sum / (float)n + eps);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[(size_t)blockIdx.x * n + i] = row[i] * r * w[i];
}

__global__ static void layer_norm(float *y, const float *x, const float *w, const float *bias,
                                  float eps, int n)
{
    __shared__ __align__(16) float piece[PIECE];
    const float *row = x + (size_t)blockIdx.x * n;
    const float mean = row_sum(piece, row, n, [](float v, float a) { return a + v; }) / (float)n;
    const float square =
        row_sum(piece, row, n, [=](float v, float a) { return fmaf(v - mean, v - mean, a); });
    const float r = 1.0f / sqrtf(square / (float)n + eps);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[(size_t)blockIdx.x * n + i] = (row[i] - mean) * r * w[i] + bias[i];
}

static int norm_threads(int n)
{
    return n <= 256 ? 32 : n <= 1024 ? 128 : 512;
}

int cu_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                int n)
{
    if (m == 0)
        return KN_OK;
    rms_norm<<<m, norm_threads(n), 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_f32(w), eps, n);
    return cu_launched(d, "norm");
}

int cu_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                  struct kn_at bias, float eps, int m, int n)
{
    if (m == 0)
        return KN_OK;
    layer_norm<<<m, norm_threads(n), 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_f32(w),
                                                             cu_f32(bias), eps, n);
    return cu_launched(d, "norm");
}

__global__ static void rotate(float *x, const float *table, const int32_t *line, int n_head,
                              int head_dim, int rope_dim, int pairs)
{
    const int half = rope_dim / 2, row = blockIdx.x;
    const float *c = table + (size_t)line[row] * rope_dim, *s = c + half;
    for (int i = threadIdx.x; i < n_head * half; i += blockDim.x) {
        const int k = i % half;
        float *h = x + ((size_t)row * n_head + i / half) * head_dim;
        float *p0 = pairs ? &h[2 * k] : &h[k], *p1 = pairs ? &h[2 * k + 1] : &h[k + half];
        const float x0 = *p0, x1 = *p1;
        *p0 = x0 * c[k] - x1 * s[k];
        *p1 = x1 * c[k] + x0 * s[k];
    }
}

int cu_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
            const struct kn_batch *batch)
{
    const struct cu_batch *b = (const struct cu_batch *)batch;
    if (batch->n_tok == 0)
        return KN_OK;
    rotate<<<batch->n_tok, 256, 0, cu_dev(d)->stream>>>(cu_f32(x), cu_f32(a->rope),
                                                        b->dev + b->rope, n_head, a->head_dim,
                                                        a->rope_dim, a->rope_pairs);
    return cu_launched(d, "RoPE");
}

/* ---- element by element ---- */

__global__ static void glu(float *y, const float *gate, const float *up, int gelu, size_t n)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n)
        return;
    const float a = gelu ? kn_gelu(gate[i]) : kn_silu(gate[i]);
    y[i] = up ? a * up[i] : a;
}

int cu_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
           int m, int n)
{
    const size_t count = (size_t)m * (size_t)n;
    if (count == 0)
        return KN_OK;
    glu<<<cu_blocks(count, 256), 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(gate), cu_f32(up),
                                                              act == KN_GELU, count);
    return cu_launched(d, "activation");
}

int cu_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n)
{
    return cu_glu(d, y, gate, up, KN_SILU, m, n);
}

__global__ static void map_all(float *x, int map, float s, size_t n)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        x[i] = map == KN_SCALE     ? x[i] * s
               : map == KN_CAP     ? s * kn_tanh(x[i] / s)
               : map == KN_SIGMOID ? kn_sigmoid(x[i])
                                   : 0;
}

int cu_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n)
{
    const size_t count = (size_t)m * (size_t)n;
    if (count == 0)
        return KN_OK;
    map_all<<<cu_blocks(count, 256), 256, 0, cu_dev(d)->stream>>>(cu_f32(x), map, s, count);
    return cu_launched(d, "map");
}

__global__ static void take(float *y, const float *x, const int32_t *rows, int n)
{
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[(size_t)blockIdx.x * n + i] = x[(size_t)rows[blockIdx.x] * n + i];
}

int cu_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n,
                const struct kn_batch *batch)
{
    const struct cu_batch *b = (const struct cu_batch *)batch;
    if (batch->n_out == 0)
        return KN_OK;
    take<<<batch->n_out, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), b->dev + b->out, n);
    return cu_launched(d, "rows");
}

int cu_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n)
{
    if (m == 0)
        return KN_OK;
    take<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_i32(rows), n);
    return cu_launched(d, "rows");
}

__global__ static void add(float *y, const float *x, const int32_t *rows, const float *p, float s,
                           int n)
{
    const int i = blockIdx.x;
    const float w = p ? p[i] : s;
    y += (size_t)(rows ? rows[i] : i) * n;
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        y[j] = y[j] + w * x[(size_t)i * n + j];
}

int cu_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, struct kn_at p,
                float s, int m, int n)
{
    if (m == 0)
        return KN_OK;
    add<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_i32(rows), cu_f32(p), s, n);
    return cu_launched(d, "sum of rows");
}

__global__ static void route(int32_t *ids, float *p, const float *logits, int m, int n_expert,
                             int top_k, int normalize)
{
    const size_t r = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (r < m)
        kn_route_row(logits + r * n_expert, ids + r * top_k, p + r * top_k, n_expert, top_k,
                     normalize);
}

int cu_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                 int n_expert, int top_k, int normalize)
{
    if (m == 0)
        return KN_OK;
    route<<<cu_blocks((size_t)m, 32), 32, 0, cu_dev(d)->stream>>>(
        cu_i32(ids), cu_f32(p), cu_f32(logits), m, n_expert, top_k, normalize);
    return cu_launched(d, "routing");
}

/* the larger; of equal ones the lower id; NaN is never taken */
__device__ static void better(float &x, int &id, float x2, int id2)
{
    if (x2 > x || (x2 == x && id2 < id)) {
        x = x2;
        id = id2;
    }
}

__global__ static void argmax(int32_t *ids, const float *logits, int n)
{
    __shared__ float tops[32];
    __shared__ int at[32];
    const float *row = logits + (size_t)blockIdx.x * n;
    float x = -INFINITY;
    int id = 0x7fffffff;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        better(x, id, row[i], i);
    for (int o = 16; o > 0; o /= 2)
        better(x, id, __shfl_xor_sync(~0u, x, o), __shfl_xor_sync(~0u, id, o));
    if (threadIdx.x % 32 == 0)
        tops[threadIdx.x / 32] = x, at[threadIdx.x / 32] = id;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < (int)blockDim.x / 32; w++)
            better(x, id, tops[w], at[w]);
        ids[blockIdx.x] = x == -INFINITY ? 0 : id; /* as compose_argmax: the first beats nothing */
    }
}

int cu_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n)
{
    if (m == 0)
        return KN_OK;
    argmax<<<m, 1024, 0, cu_dev(d)->stream>>>(cu_i32(ids), cu_f32(logits), n);
    return cu_launched(d, "argmax");
}
