/* train_attn - causal attention inside packed documents in f32, forward and backward
 *
 * A block of threads has 32 rows, taken document by document; tiles of what they attend to begin with the document, so
 * that a row's result depends on its document alone.  No sum is shared among blocks. */
#include "cuda/train_attn.h"
#include "poly.h"

enum { TILE = 32, THREADS = 128 };

struct heads {
    const float *q, *k, *v, *y, *dy, *lse, *dot;
    float *out, *out_lse, *dk, *dv; /* y and lse forward; dq */
    const int32_t *doc;
    float scale;
    int t, n_head, n_head_kv, hd;
};

/* Rows [row, end) of x(t, n_head, hd), head h, times `times`, into to(TILE, hd + 1); zeros behind them. */
__device__ static void load(float *to, const float *x, int row, int end, int n_head, int h, int hd,
                            float times)
{
    for (int i = threadIdx.x; i < TILE * hd; i += THREADS) {
        const int r = i / hd, c = i % hd;
        to[r * (hd + 1) + c] =
            row + r < end ? times * x[((size_t)(row + r) * n_head + h) * hd + c] : 0;
    }
}
__device__ static float dot(const float *a, const float *b, int n)
{
    float s = 0;
    for (int i = 0; i < n; i++)
        s = fmaf(a[i], b[i], s);
    return s;
}
/* over the four threads of a row */
__device__ static float four_max(float v)
{
    v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
    return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}
__device__ static float four_sum(float v)
{
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

/* y and lse of rows [a, b) of a document that begins at `first` */
__device__ static void forward_rows(const struct heads &s, float *room, int h, int a, int b,
                                    int first)
{
    const int hd = s.hd, w = hd + 1, g = h / (s.n_head / s.n_head_kv);
    const int r = threadIdx.x / 4, f = threadIdx.x % 4, row = a + r;
    float *q = room, *k = q + TILE * w, *v = k + TILE * w, *o = v + TILE * w, *p = o + TILE * w;
    float m = -INFINITY, l = 0;
    __syncthreads();
    load(q, s.q, a, b, s.n_head, h, hd, 1);
    for (int c = f; c < hd; c += 4)
        o[r * w + c] = 0;
    for (int j0 = first; j0 < b; j0 += TILE) {
        float most = -INFINITY, sum = 0;
        __syncthreads();
        load(k, s.k, j0, b, s.n_head_kv, g, hd, 1);
        load(v, s.v, j0, b, s.n_head_kv, g, hd, 1);
        __syncthreads();
        for (int j = f; j < TILE; j += 4) {
            const float x = j0 + j <= row ? s.scale * dot(q + r * w, k + j * w, hd) : -INFINITY;
            p[r * (TILE + 1) + j] = x;
            most = fmaxf(most, x);
        }
        most = fmaxf(m, four_max(most));
        const float c = most == -INFINITY ? 1 : kn_exp(m - most);
        for (int j = f; j < TILE; j += 4) {
            const float e = most == -INFINITY ? 0 : kn_exp(p[r * (TILE + 1) + j] - most);
            p[r * (TILE + 1) + j] = e;
            sum += e;
        }
        l = l * c + four_sum(sum);
        m = most;
        __syncwarp();
        for (int i = f; i < hd; i += 4) {
            float x = o[r * w + i] * c;
            for (int j = 0; j < TILE; j++)
                x = fmaf(p[r * (TILE + 1) + j], v[j * w + i], x);
            o[r * w + i] = x;
        }
    }
    if (row >= b)
        return;
    const size_t at = (size_t)row * s.n_head + h;
    for (int i = f; i < hd; i += 4)
        s.out[at * hd + i] = o[r * w + i] / l;
    if (f == 0)
        s.out_lse[at] = m + logf(l);
}

__global__ static void forward(const __grid_constant__ struct heads s)
{
    extern __shared__ float room[];
    begin_next();
    after();
    const int end = min(s.t, (int)(blockIdx.x + 1) * TILE);
    for (int a = blockIdx.x * TILE, b; a < end; a = b) {
        b = document_until(s.doc, a, end);
        forward_rows(s, room, blockIdx.y, a, b, s.doc[a]);
    }
}

/* dy . y of each row and head, a warp each */
__global__ static void row_dots(float *to, const float *dy, const float *y, int n, int hd)
{
    const int i = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    float s = 0;
    if (i >= n)
        return;
    for (int c = lane; c < hd; c += 32)
        s = fmaf(dy[(size_t)i * hd + c], y[(size_t)i * hd + c], s);
    for (int o = 16; o > 0; o /= 2)
        s += __shfl_xor_sync(~0u, s, o);
    if (lane == 0)
        to[i] = s;
}

int cu_row_dots(struct kn_dev *d, float *to, const float *dy, const float *y, int n, int hd)
{
    row_dots<<<cu_blocks((size_t)n, 8), 256, 0, cu_dev(d)->stream>>>(to, dy, y, n, hd);
    return cu_launched(d, "backward of attention");
}

/* p and ds of query i and position j, whose rows are at hand */
__device__ static void weigh(const struct heads &s, float &p, float &ds, const float *q,
                             const float *dy, const float *k, const float *v, size_t at)
{
    p = kn_exp(s.scale * dot(q, k, s.hd) - s.lse[at]);
    ds = p * (dot(dy, v, s.hd) - s.dot[at]);
}

__device__ static void dq_rows(const struct heads &s, float *room, int h, int a, int b, int first)
{
    const int hd = s.hd, w = hd + 1, g = h / (s.n_head / s.n_head_kv);
    const int r = threadIdx.x / 4, f = threadIdx.x % 4, row = a + r;
    float *q = room, *k = q + TILE * w, *v = k + TILE * w, *dy = v + TILE * w, *o = dy + TILE * w;
    float *p = o + TILE * w;
    const size_t at = (size_t)min(row, b - 1) * s.n_head + h;
    __syncthreads();
    load(q, s.q, a, b, s.n_head, h, hd, 1);
    load(dy, s.dy, a, b, s.n_head, h, hd, 1);
    for (int c = f; c < hd; c += 4)
        o[r * w + c] = 0;
    for (int j0 = first; j0 < b; j0 += TILE) {
        __syncthreads();
        load(k, s.k, j0, b, s.n_head_kv, g, hd, 1);
        load(v, s.v, j0, b, s.n_head_kv, g, hd, 1);
        __syncthreads();
        for (int j = f; j < TILE; j += 4) {
            float e, ds = 0;
            if (j0 + j <= row && row < b)
                weigh(s, e, ds, q + r * w, dy + r * w, k + j * w, v + j * w, at);
            p[r * (TILE + 1) + j] = ds;
        }
        __syncwarp();
        for (int i = f; i < hd; i += 4) {
            float x = o[r * w + i];
            for (int j = 0; j < TILE; j++)
                x = fmaf(p[r * (TILE + 1) + j], k[j * w + i], x);
            o[r * w + i] = x;
        }
    }
    for (int i = f; row < b && i < hd; i += 4)
        s.out[at * hd + i] = s.scale * o[r * w + i];
}

__global__ static void backward_q(const __grid_constant__ struct heads s)
{
    extern __shared__ float room[];
    begin_next();
    after();
    const int end = min(s.t, (int)(blockIdx.x + 1) * TILE);
    for (int a = blockIdx.x * TILE, b; a < end; a = b) {
        b = document_until(s.doc, a, end);
        dq_rows(s, room, blockIdx.y, a, b, s.doc[a]);
    }
}

/* dk and dv of positions [a, b) of one document, heads ascending, rows ascending in tiles from its first */
__device__ static void dkv_rows(const struct heads &s, float *room, int g, int a, int b, int first)
{
    const int hd = s.hd, w = hd + 1, group = s.n_head / s.n_head_kv;
    const int r = threadIdx.x / 4, f = threadIdx.x % 4, pos = a + r;
    float *k = room, *v = k + TILE * w, *q = v + TILE * w, *dy = q + TILE * w, *dk = dy + TILE * w;
    float *dv = dk + TILE * w, *p = dv + TILE * w, *ds = p + TILE * (TILE + 1);
    __syncthreads();
    load(k, s.k, a, b, s.n_head_kv, g, hd, 1);
    load(v, s.v, a, b, s.n_head_kv, g, hd, 1);
    for (int c = f; c < hd; c += 4)
        dk[r * w + c] = dv[r * w + c] = 0;
    for (int h = g * group; h < (g + 1) * group; h++)
        for (int i0 = first + (a - first) / TILE * TILE; i0 < s.t && s.doc[i0] == first;
             i0 += TILE) {
            const int end = document_until(s.doc, i0, min(s.t, i0 + (int)TILE));
            __syncthreads();
            load(q, s.q, i0, end, s.n_head, h, hd, 1);
            load(dy, s.dy, i0, end, s.n_head, h, hd, 1);
            __syncthreads();
            for (int i = f; i < TILE; i += 4) {
                float e = 0, x = 0;
                if (i0 + i < end && i0 + i >= pos && pos < b)
                    weigh(s, e, x, q + i * w, dy + i * w, k + r * w, v + r * w,
                          (size_t)(i0 + i) * s.n_head + h);
                p[r * (TILE + 1) + i] = e;
                ds[r * (TILE + 1) + i] = x;
            }
            __syncwarp();
            for (int c = f; c < hd; c += 4) {
                float x = dk[r * w + c], e = dv[r * w + c];
                for (int i = 0; i < TILE; i++) {
                    x = fmaf(ds[r * (TILE + 1) + i], s.scale * q[i * w + c], x);
                    e = fmaf(p[r * (TILE + 1) + i], dy[i * w + c], e);
                }
                dk[r * w + c] = x;
                dv[r * w + c] = e;
            }
        }
    for (int c = f; pos < b && c < hd; c += 4) {
        const size_t at = ((size_t)pos * s.n_head_kv + g) * hd + c;
        s.dk[at] = dk[r * w + c];
        s.dv[at] = dv[r * w + c];
    }
}

__global__ static void backward_kv(const __grid_constant__ struct heads s)
{
    extern __shared__ float room[];
    begin_next();
    after();
    const int end = min(s.t, (int)(blockIdx.x + 1) * TILE);
    for (int a = blockIdx.x * TILE, b; a < end; a = b) {
        b = document_until(s.doc, a, end);
        dkv_rows(s, room, blockIdx.y, a, b, s.doc[a]);
    }
}

/* ---- the calls ---- */

static int launch(struct kn_dev *d, void (*kernel)(const struct heads), const struct heads *s,
                  int arrays, int n_head)
{
    const size_t bytes = (size_t)(arrays * TILE * (s->hd + 1) + 2 * TILE * (TILE + 1)) * 4;
    if (bytes > 227 << 10) {
        snprintf(d->why, sizeof d->why, "attention with heads of %d is not supported", s->hd);
        return KN_EUNSUP;
    }
    int rc =
        cu_status(d,
                  cudaFuncSetAttribute((const void *)kernel,
                                       cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                  "room for attention");
    return rc != KN_OK ? rc
                       : cu_launch_room(d, "attention", kernel,
                                        dim3(cu_blocks((size_t)s->t, TILE), (unsigned)n_head),
                                        THREADS, bytes, *s);
}

int cu_train_attn(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q,
                  struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t,
                  int flags)
{
    struct heads s = {};
    if (t == 0)
        return KN_OK;
    if (flags & KN_MIXED && a->head_dim <= ATTN16_MAX)
        return cu_attn16(d, y, lse, q, k, v, doc, a, t);
    s.q = cu_f32(q), s.k = cu_f32(k), s.v = cu_f32(v), s.doc = cu_i32(doc);
    s.out = cu_f32(y), s.out_lse = cu_f32(lse), s.scale = a->scale;
    s.t = t, s.n_head = a->n_head, s.n_head_kv = a->n_head_kv, s.hd = a->head_dim;
    return launch(d, forward, &s, 5, a->n_head);
}

int cu_train_attn_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                      struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                      struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                      int t, int flags)
{
    struct heads s = {};
    float *dots;
    if (t == 0)
        return KN_OK;
    int rc = cu_scratch(d, ROOM_ROWS, (size_t)t * a->n_head * sizeof *dots, &dots);
    if (rc == KN_OK)
        rc = cu_row_dots(d, dots, cu_f32(dy), cu_f32(y), t * a->n_head, a->head_dim);
    if (rc != KN_OK)
        return rc;
    if (flags & KN_MIXED && a->head_dim <= ATTN16_MAX)
        return cu_attn16_bwd(d, dq, dk, dv, dy, dots, lse, q, k, v, doc, a, t);
    s.q = cu_f32(q), s.k = cu_f32(k), s.v = cu_f32(v), s.doc = cu_i32(doc);
    s.dy = cu_f32(dy), s.lse = cu_f32(lse), s.dot = dots, s.scale = a->scale;
    s.out = cu_f32(dq), s.dk = cu_f32(dk), s.dv = cu_f32(dv);
    s.t = t, s.n_head = a->n_head, s.n_head_kv = a->n_head_kv, s.hd = a->head_dim;
    rc = launch(d, backward_q, &s, 5, a->n_head);
    return rc != KN_OK ? rc : launch(d, backward_kv, &s, 6, a->n_head_kv);
}
