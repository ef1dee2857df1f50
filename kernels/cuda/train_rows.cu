/* train_rows - what training does row by row or element by element; sums in an order of the shape alone */
#include "cuda/sums.h"
#include "cuda/train_ops.h"
#include "philox.h"
#include "poly.h"

static unsigned cells(size_t n)
{
    return cu_blocks(n, 256);
}
__device__ static size_t cell(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* The block's sum of v by a tree; all threads get it. */
template <class T> __device__ static T block_sum(T *part, T v)
{
    __syncthreads();
    part[threadIdx.x] = v;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] += part[threadIdx.x + half];
    }
    __syncthreads();
    return part[0];
}

__global__ static void norm(float *y, float *rstd, const float *x, const float *w, float eps, int n)
{
    __shared__ __align__(16) float piece[PIECE];
    const float *row = x + (size_t)blockIdx.x * n;
    const float sum = row_sum(piece, row, n, [](float v, float a) { return fmaf(v, v, a); });
    const float r = 1.0f / sqrtf(sum / (float)n + eps);
    if (threadIdx.x == 0)
        rstd[blockIdx.x] = r;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        y[(size_t)blockIdx.x * n + i] = row[i] * r * w[i];
}

int cu_train_norm(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x,
                  struct kn_at w, float eps, int m, int n)
{
    if (m == 0)
        return KN_OK;
    norm<<<m, n <= 256 ? 32 : 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(rstd), cu_f32(x),
                                                           cu_f32(w), eps, n);
    return cu_launched(d, "norm");
}

__global__ static void norm_bwd(float *dx, const float *dy, const float *x, const float *w,
                                const float *rstd, int n, int add)
{
    __shared__ float part[256];
    const size_t at = (size_t)blockIdx.x * n;
    const float r = rstd[blockIdx.x];
    float dot = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        dot = fmaf(dy[at + i] * w[i], x[at + i], dot);
    const float c = r * r * r * block_sum(part, dot) / (float)n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const float v = r * dy[at + i] * w[i] - c * x[at + i];
        dx[at + i] = add ? dx[at + i] + v : v;
    }
}

/* ---- sums over rows: a column a thread, of each ROWS rows a sum, then theirs, ascending ---- */

enum { ROWS = 64 };
enum of { OF_X, OF_X_DY, OF_NORM }; /* x; x dy; x dy rstd */
template <int WHAT>
__global__ static void column_parts(double *part, const float *x, const float *dy,
                                    const float *rstd, int m, int n)
{
    const int j = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * ROWS;
    double s = 0;
    if (j >= n)
        return;
    for (int i = first; i < min(m, first + (int)ROWS); i++) {
        double v = x[(size_t)i * n + j];
        if (WHAT != OF_X)
            v *= dy[(size_t)i * n + j];
        if (WHAT == OF_NORM)
            v *= rstd[i];
        s += v;
    }
    part[(size_t)blockIdx.y * n + j] = s;
}
__global__ static void column_sums(float *y, const double *part, const float *under, int n_part,
                                   int n)
{
    const int j = blockIdx.x * blockDim.x + threadIdx.x;
    double s = 0;
    if (j >= n)
        return;
    for (int i = 0; i < n_part; i++)
        s += part[(size_t)i * n + j];
    y[j] = (float)(y[j] + (under ? s / under[j] : s));
}

template <int WHAT>
static int columns(struct kn_dev *d, float *y, const float *x, const float *dy, const float *rstd,
                   const float *under, int m, int n)
{
    const unsigned n_part = cu_blocks((size_t)m, ROWS);
    double *part;
    int rc = cu_scratch(d, ROOM_PART, (size_t)n_part * n * sizeof *part, &part);
    if (rc != KN_OK || m == 0)
        return rc;
    column_parts<WHAT><<<dim3(cu_blocks((size_t)n, 128), n_part), 128, 0, cu_dev(d)->stream>>>(
        part, x, dy, rstd, m, n);
    column_sums<<<cu_blocks((size_t)n, 128), 128, 0, cu_dev(d)->stream>>>(y, part, under,
                                                                          (int)n_part, n);
    return cu_launched(d, "sums of columns");
}

int cu_train_norm_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy,
                      struct kn_at x, struct kn_at w, struct kn_at rstd, int m, int n, int flags)
{
    int rc = KN_OK;
    if (m == 0)
        return rc;
    if (dw.buf)
        rc = columns<OF_NORM>(d, cu_f32(dw), cu_f32(x), cu_f32(dy), cu_f32(rstd), NULL, m, n);
    if (rc != KN_OK)
        return rc;
    norm_bwd<<<m, n <= 256 ? 32 : 256, 0, cu_dev(d)->stream>>>(
        cu_f32(dx), cu_f32(dy), cu_f32(x), cu_f32(w), cu_f32(rstd), n, flags & KN_ADD);
    return cu_launched(d, "backward of a norm");
}

int cu_train_sum_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n)
{
    return columns<OF_X>(d, cu_f32(y), cu_f32(x), NULL, NULL, NULL, m, n);
}

int cu_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                      struct kn_at norm, int m, int n)
{
    return columns<OF_X_DY>(d, cu_f32(dmag), cu_f32(x), cu_f32(dy), NULL, cu_f32(norm), m, n);
}

__global__ static void dora(float *y, const float *x, const float *mag, const float *under,
                            const float *bias, size_t n_all, int n)
{
    const size_t i = cell();
    const int j = (int)(i % n);
    if (i < n_all)
        y[i] = x[i] * (mag[j] / under[j]) + (bias ? bias[j] : 0);
}

int cu_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                  struct kn_at under, struct kn_at bias, int m, int n)
{
    const size_t all = (size_t)m * n;
    if (m == 0)
        return KN_OK;
    dora<<<cells(all), 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_f32(mag),
                                                    cu_f32(under), cu_f32(bias), all, n);
    return cu_launched(d, "magnitudes");
}

/* The rows of an id are added where it is first, ascending. */
__global__ static void embed_bwd(float *dw, const float *dy, const int32_t *ids, int m, int n)
{
    __shared__ int seen;
    const int i = blockIdx.x, id = ids[i];
    if (threadIdx.x == 0)
        seen = 0;
    __syncthreads();
    for (int q = threadIdx.x; q < i; q += blockDim.x)
        if (ids[q] == id)
            seen = 1; /* whoever writes it writes the same */
    __syncthreads();
    if (seen)
        return;
    for (int j = threadIdx.x; j < n; j += blockDim.x) {
        double s = dw[(size_t)id * n + j];
        for (int q = i; q < m; q++)
            if (ids[q] == id)
                s += dy[(size_t)q * n + j];
        dw[(size_t)id * n + j] = (float)s;
    }
}

int cu_train_embed_bwd(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids, int m,
                       int n)
{
    if (m == 0)
        return KN_OK;
    embed_bwd<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(dw), cu_f32(dy), cu_i32(ids), m, n);
    return cu_launched(d, "gradient of an embedding");
}

/* ---- RoPE, activations, loss ---- */

__global__ static void rope(float *x, const float *table, const int32_t *doc, int n_head,
                            int head_dim, int rope_dim, int pairs, float sign)
{
    const int half = rope_dim / 2, row = blockIdx.x;
    const float *c = table + (size_t)(row - doc[row]) * rope_dim, *s = c + half;
    for (int i = threadIdx.x; i < n_head * half; i += blockDim.x) {
        const int k = i % half;
        float *h = x + ((size_t)row * n_head + i / half) * head_dim;
        float *p0 = pairs ? &h[2 * k] : &h[k], *p1 = pairs ? &h[2 * k + 1] : &h[k + half];
        const float x0 = *p0, x1 = *p1, sine = sign * s[k];
        *p0 = x0 * c[k] - x1 * sine;
        *p1 = x1 * c[k] + x0 * sine;
    }
}

int cu_train_rope(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                  int n_head, int head_dim, int rope_dim, int pairs, int sign)
{
    if (t == 0)
        return KN_OK;
    rope<<<t, 256, 0, cu_dev(d)->stream>>>(cu_f32(x), cu_f32(table), cu_i32(doc), n_head, head_dim,
                                           rope_dim, pairs, (float)sign);
    return cu_launched(d, "RoPE");
}

__global__ static void swiglu_bwd(float *dgate, float *dup, const float *dy, const float *gate,
                                  const float *up, size_t n)
{
    const size_t i = cell();
    if (i >= n)
        return;
    const float g = gate[i], u = up[i], s = kn_sigmoid(g), v = dy[i];
    dgate[i] = v * u * s * (1.0f + g * (1.0f - s));
    dup[i] = v * (g * s);
}

int cu_train_swiglu_bwd(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                        struct kn_at gate, struct kn_at up, size_t n)
{
    if (n == 0)
        return KN_OK;
    swiglu_bwd<<<cells(n), 256, 0, cu_dev(d)->stream>>>(cu_f32(dgate), cu_f32(dup), cu_f32(dy),
                                                        cu_f32(gate), cu_f32(up), n);
    return cu_launched(d, "backward of SwiGLU");
}

/* A block of threads a row: the largest, the sum of exponentials, then the gradient. */
__global__ static void xent(float *loss, float *logits, const int32_t *label, float scale, int n,
                            int want_grad)
{
    __shared__ float part[512];
    float *z = logits + (size_t)blockIdx.x * n, max = -INFINITY, sum = 0;
    const int mine = label[blockIdx.x];
    if (mine < 0) {
        for (int j = threadIdx.x; want_grad && j < n; j += blockDim.x)
            z[j] = 0;
        if (threadIdx.x == 0)
            loss[blockIdx.x] = 0;
        return;
    }
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        max = fmaxf(max, z[j]);
    part[threadIdx.x] = max;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            part[threadIdx.x] = fmaxf(part[threadIdx.x], part[threadIdx.x + half]);
    }
    __syncthreads();
    max = part[0];
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        sum += kn_exp(z[j] - max);
    sum = block_sum(part, sum);
    if (threadIdx.x == 0)
        loss[blockIdx.x] = logf(sum) + max - z[mine];
    const float k = scale / sum;
    __syncthreads();
    for (int j = threadIdx.x; want_grad && j < n; j += blockDim.x)
        z[j] = kn_exp(z[j] - max) * k - (j == mine ? scale : 0);
}

int cu_train_xent(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
                  float scale, int m, int n, int want_grad)
{
    if (m == 0)
        return KN_OK;
    xent<<<m, 512, 0, cu_dev(d)->stream>>>(cu_f32(loss), cu_f32(logits), cu_i32(label), scale, n,
                                           want_grad);
    return cu_launched(d, "cross-entropy");
}

/* ---- element by element ---- */

__global__ static void fill(float *y, float value, size_t n)
{
    const size_t i = cell();
    if (i < n)
        y[i] = value;
}
int cu_train_fill(struct kn_dev *d, struct kn_at y, float value, size_t n)
{
    if (n == 0)
        return KN_OK;
    fill<<<cells(n), 256, 0, cu_dev(d)->stream>>>(cu_f32(y), value, n);
    return cu_launched(d, "fill");
}

__global__ static void axpy(float *y, const float *x, float alpha, size_t n)
{
    const size_t i = cell();
    if (i < n)
        y[i] = fmaf(alpha, x[i], y[i]);
}
int cu_train_axpy(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha, size_t n)
{
    if (n == 0)
        return KN_OK;
    axpy<<<cells(n), 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), alpha, n);
    return cu_launched(d, "sum");
}

__global__ static void dropout(float *y, const float *x, float p, float keep, uint64_t seed,
                               uint64_t counter, size_t n, int add)
{
    const size_t i = cell();
    if (i >= n)
        return;
    const float v = kn_philox_f32(seed, counter + i) >= p ? x[i] * keep : 0;
    y[i] = add ? y[i] + v : v;
}
int cu_add_dropped(struct kn_dev *d, float *y, const float *x, float p, uint64_t seed,
                   uint64_t counter, size_t n)
{
    dropout<<<cells(n), 256, 0, cu_dev(d)->stream>>>(y, x, p, 1 / (1 - p), seed, counter, n, 1);
    return cu_launched(d, "dropout");
}
int cu_train_dropout(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
                     uint64_t counter, size_t n)
{
    if (n == 0)
        return KN_OK;
    dropout<<<cells(n), 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), p, 1 / (1 - p), seed,
                                                     counter, n, 0);
    return cu_launched(d, "dropout");
}

__global__ static void rows_move(float *y, const float *x, const int32_t *idx, int n, int put)
{
    const size_t here = (size_t)blockIdx.x * n, there = (size_t)idx[blockIdx.x] * n;
    for (int j = threadIdx.x; j < n; j += blockDim.x)
        y[(put ? there : here) + j] = x[(put ? here : there) + j];
}
int cu_train_rows_get(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                      int n)
{
    if (m == 0)
        return KN_OK;
    rows_move<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_i32(idx), n, 0);
    return cu_launched(d, "rows");
}
int cu_train_rows_put(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                      int n)
{
    if (m == 0)
        return KN_OK;
    rows_move<<<m, 256, 0, cu_dev(d)->stream>>>(cu_f32(y), cu_f32(x), cu_i32(idx), n, 1);
    return cu_launched(d, "rows");
}

/* ---- the optimizer ---- */

enum { SQUARES = 1 << 14 }; /* values of a part */
__global__ static void squares(double *part, const float *x, size_t n)
{
    __shared__ double sum[256];
    const size_t first = (size_t)blockIdx.x * SQUARES,
                 end = first + SQUARES < n ? first + SQUARES : n;
    double s = 0;
    for (size_t i = first + threadIdx.x; i < end; i += blockDim.x)
        s += (double)x[i] * x[i];
    s = block_sum(sum, s);
    if (threadIdx.x == 0)
        part[blockIdx.x] = s;
}
__global__ static void sum_parts(double *out, const double *part, unsigned n)
{
    __shared__ double sum[256];
    double s = 0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x)
        s += part[i];
    s = block_sum(sum, s);
    if (threadIdx.x == 0)
        *out = s;
}
int cu_train_sumsq(struct kn_dev *d, struct kn_at out, struct kn_at x, size_t n)
{
    const unsigned n_part = cu_blocks(n, SQUARES);
    double *part;
    int rc = cu_scratch(d, ROOM_PART, (n_part + 1) * sizeof *part, &part);
    if (rc != KN_OK)
        return rc;
    if (n_part)
        squares<<<n_part, 256, 0, cu_dev(d)->stream>>>(part, cu_f32(x), n);
    sum_parts<<<1, 256, 0, cu_dev(d)->stream>>>((double *)cu_f32(out), part, n_part);
    return cu_launched(d, "sum of squares");
}

struct adam {
    float lr, b1, c1, b2, c2, eps, decay, scale, m, v;
};
__global__ static void adamw(float *w, const float *g, float *m, float *v, size_t n,
                             const __grid_constant__ struct adam h)
{
    const size_t i = cell();
    if (i >= n)
        return;
    const float gi = g[i] * h.scale, mi = fmaf(h.b1, m[i], h.c1 * gi);
    const float vi = fmaf(h.b2, v[i], h.c2 * gi * gi);
    const float step = mi * h.m / (sqrtf(vi * h.v) + h.eps), wi = w[i] - h.decay * w[i];
    m[i] = mi;
    v[i] = vi;
    w[i] = wi - h.lr * step;
}
int cu_train_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
                   size_t n, const struct kn_adamw *h)
{
    const struct adam a = {h->lr,
                           h->beta1,
                           (float)(1 - (double)h->beta1),
                           h->beta2,
                           (float)(1 - (double)h->beta2),
                           h->eps,
                           h->lr * h->weight_decay,
                           h->grad_scale,
                           (float)(1 / (1 - pow(h->beta1, (double)h->t))),
                           (float)(1 / (1 - pow(h->beta2, (double)h->t)))};
    if (n == 0)
        return KN_OK;
    adamw<<<cells(n), 256, 0, cu_dev(d)->stream>>>(cu_f32(w), cu_f32(g), cu_f32(m), cu_f32(v), n,
                                                   a);
    return cu_launched(d, "AdamW");
}
