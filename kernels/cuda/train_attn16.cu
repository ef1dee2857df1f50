/* train_attn16 - attention of training with operands in bf16 (T3), on the tensor cores
 *
 * Four warps have 64 rows, sixteen each, taken document by document; tiles of what they attend to begin with the
 * document.  Forward, the largest score is found first, so that p is rounded as T3 has it. */
#include "cuda/tensor.h"
#include "cuda/train_attn.h"
#include "poly.h"
#include <cuda_bf16.h>

enum { TILE = 64, THREADS = 128 };

struct heads16 {
    const float *q, *k, *v, *dy, *lse, *dot;
    float *out, *out_lse, *dk, *dv; /* y and lse forward; dq */
    const int32_t *doc;
    float scale;
    int t, n_head, n_head_kv, hd;
};
template <int HD> constexpr int WIDTH = HD + 8; /* of a row in shared memory: no bank conflicts */
template <int HD> constexpr int TILE_BYTES = TILE *WIDTH<HD> * 2;
typedef __nv_bfloat16 half16;

/* Rows [row, end) of x(t, n_head, hd), head h, times `times`; zeros behind them and beyond hd. */
template <int HD>
__device__ static void load(half16 *to, const float *x, int row, int end, int n_head, int h, int hd,
                            float times)
{
    const bool wide = hd % 4 == 0;
    for (int i = threadIdx.x; i < TILE * HD / 4; i += THREADS) {
        const int r = i / (HD / 4), c = i % (HD / 4) * 4;
        const float *from = x + ((size_t)(row + r) * n_head + h) * hd + c;
        float v[4] = {0, 0, 0, 0};
        if (row + r < end && wide && c < hd) {
            *(float4 *)v = *(const float4 *)from;
        } else if (row + r < end) {
#pragma unroll
            for (int j = 0; j < 4; j++)
                v[j] = c + j < hd ? from[j] : 0;
        }
        __nv_bfloat162 *p = (__nv_bfloat162 *)(to + r * WIDTH<HD> + c);
        p[0] = __floats2bfloat162_rn(times * v[0], times * v[1]);
        p[1] = __floats2bfloat162_rn(times * v[2], times * v[3]);
    }
}

/* c(16, 64) = a b^T: rows of a from `row` on, all rows of b, along HD */
template <int HD>
__device__ static void scores(float c[8][4], const half16 *a, int row, const half16 *b)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int n = 0; n < 8; n++)
        c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0;
#pragma unroll
    for (int k = 0; k < HD; k += 16) {
        uint32_t x[4];
        load4(x, a + (row + lane % 16) * WIDTH<HD> + k + lane / 16 * 8);
#pragma unroll
        for (int n = 0; n < 4; n++) {
            uint32_t y[4];
            load4(y, b + (n * 16 + lane / 16 * 8 + lane % 8) * WIDTH<HD> + k + lane / 8 % 2 * 8);
            mma_bf16(c[2 * n], x, y[0], y[1]);
            mma_bf16(c[2 * n + 1], x, y[2], y[3]);
        }
    }
}

__device__ static uint32_t pair(float a, float b)
{
    const __nv_bfloat162 h = __floats2bfloat162_rn(a, b);
    uint32_t u;
    memcpy(&u, &h, sizeof u);
    return u;
}
/* o(16, HD) += p(16, 64), rounded, b(64, HD) */
template <int HD>
__device__ static void add_product(float o[HD / 8][4], const float p[8][4], const half16 *b)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const uint32_t x[4] = {pair(p[2 * k][0], p[2 * k][1]), pair(p[2 * k][2], p[2 * k][3]),
                               pair(p[2 * k + 1][0], p[2 * k + 1][1]),
                               pair(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int n = 0; n < HD / 16; n++) {
            uint32_t y[4];
            load4_turned(y, b + (k * 16 + lane % 16) * WIDTH<HD> + n * 16 + lane / 16 * 8);
            mma_bf16(o[2 * n], x, y[0], y[1]);
            mma_bf16(o[2 * n + 1], x, y[2], y[3]);
        }
    }
}
template <int HD> __device__ static void zero(float o[HD / 8][4])
{
#pragma unroll
    for (int n = 0; n < HD / 8; n++)
        o[n][0] = o[n][1] = o[n][2] = o[n][3] = 0;
}
/* Row `row` (and 8 further) of o(16, HD) times f0 (f1) to x(t, n_head, hd), where it is before `end`. */
template <int HD>
__device__ static void store(float *x, const float o[HD / 8][4], int row, int end, int n_head,
                             int h, int hd, float f0, float f1)
{
    const int c0 = 2 * (threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (row + 8 * i >= end)
            continue;
        float *y = x + ((size_t)(row + 8 * i) * n_head + h) * hd;
        const float f = i ? f1 : f0;
#pragma unroll
        for (int n = 0; n < HD / 8; n++)
#pragma unroll
            for (int e = 0; e < 2; e++)
                if (n * 8 + c0 + e < hd)
                    y[n * 8 + c0 + e] = o[n][2 * i + e] * f;
    }
}
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
template <int HD>
__device__ static void forward_rows(const struct heads16 &s, char *room, int h, int a, int b,
                                    int first)
{
    half16 *q = (half16 *)room, *k = (half16 *)(room + TILE_BYTES<HD>),
           *v = (half16 *)(room + 2 * TILE_BYTES<HD>);
    const int g = h / (s.n_head / s.n_head_kv), in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, row = a + in + lane / 4;
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, c[8][4], o[HD / 8][4];
    zero<HD>(o);
    __syncthreads();
    load<HD>(q, s.q, a, b, s.n_head, h, s.hd, s.scale);
    for (int pass = 0; pass < 2; pass++) {
        for (int j0 = first; j0 < b; j0 += TILE) {
            __syncthreads();
            load<HD>(k, s.k, j0, b, s.n_head_kv, g, s.hd, 1);
            if (pass)
                load<HD>(v, s.v, j0, b, s.n_head_kv, g, s.hd, 1);
            __syncthreads();
            scores<HD>(c, q, in, k);
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const bool seen = j0 + n * 8 + 2 * (lane % 4) + e % 2 <= row + e / 2 * 8;
                    if (!pass) {
                        m[e / 2] = seen ? fmaxf(m[e / 2], c[n][e]) : m[e / 2];
                    } else {
                        c[n][e] = seen ? kn_exp(c[n][e] - m[e / 2]) : 0;
                        l[e / 2] += c[n][e];
                    }
                }
            if (pass)
                add_product<HD>(o, c, v);
        }
        if (!pass)
            m[0] = four_max(m[0]), m[1] = four_max(m[1]);
    }
    l[0] = four_sum(l[0]), l[1] = four_sum(l[1]);
    store<HD>(s.out, o, row, b, s.n_head, h, s.hd, 1 / l[0], 1 / l[1]);
    for (int i = 0; i < 2; i++)
        if (lane % 4 == 0 && row + 8 * i < b)
            s.out_lse[(size_t)(row + 8 * i) * s.n_head + h] = m[i] + logf(l[i]);
}

/* dq of rows [a, b) */
template <int HD>
__device__ static void dq_rows(const struct heads16 &s, char *room, int h, int a, int b, int first)
{
    half16 *q = (half16 *)room, *dy = (half16 *)(room + TILE_BYTES<HD>),
           *k = (half16 *)(room + 2 * TILE_BYTES<HD>), *v = (half16 *)(room + 3 * TILE_BYTES<HD>);
    const int g = h / (s.n_head / s.n_head_kv), in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, row = a + in + lane / 4;
    float c[8][4], e[8][4], o[HD / 8][4], lse[2], dot[2];
    zero<HD>(o);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const size_t at = (size_t)min(row + 8 * i, b - 1) * s.n_head + h;
        lse[i] = s.lse[at], dot[i] = s.dot[at];
    }
    __syncthreads();
    load<HD>(q, s.q, a, b, s.n_head, h, s.hd, s.scale);
    load<HD>(dy, s.dy, a, b, s.n_head, h, s.hd, 1);
    for (int j0 = first; j0 < b; j0 += TILE) {
        __syncthreads();
        load<HD>(k, s.k, j0, b, s.n_head_kv, g, s.hd, 1);
        load<HD>(v, s.v, j0, b, s.n_head_kv, g, s.hd, 1);
        __syncthreads();
        scores<HD>(c, q, in, k);
        scores<HD>(e, dy, in, v);
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const bool seen = j0 + n * 8 + 2 * (lane % 4) + i % 2 <= row + i / 2 * 8;
                c[n][i] = seen && row + i / 2 * 8 < b
                              ? kn_exp(c[n][i] - lse[i / 2]) * (e[n][i] - dot[i / 2])
                              : 0;
            }
        add_product<HD>(o, c, k);
    }
    store<HD>(s.out, o, row, b, s.n_head, h, s.hd, s.scale, s.scale);
}

/* dk and dv of positions [a, b) of one document, heads ascending, rows ascending in tiles from its first */
template <int HD>
__device__ static void dkv_rows(const struct heads16 &s, char *room, int g, int a, int b, int first)
{
    half16 *q = (half16 *)room, *dy = (half16 *)(room + TILE_BYTES<HD>),
           *k = (half16 *)(room + 2 * TILE_BYTES<HD>), *v = (half16 *)(room + 3 * TILE_BYTES<HD>);
    float *lse = (float *)(room + 4 * TILE_BYTES<HD>), *dot = lse + TILE;
    const int group = s.n_head / s.n_head_kv, in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, pos = a + in + lane / 4;
    float c[8][4], e[8][4], dk[HD / 8][4], dv[HD / 8][4];
    zero<HD>(dk);
    zero<HD>(dv);
    __syncthreads();
    load<HD>(k, s.k, a, b, s.n_head_kv, g, s.hd, 1);
    load<HD>(v, s.v, a, b, s.n_head_kv, g, s.hd, 1);
    for (int h = g * group; h < (g + 1) * group; h++)
        for (int i0 = first + (a - first) / TILE * TILE; i0 < s.t && s.doc[i0] == first;
             i0 += TILE) {
            const int end = document_until(s.doc, i0, min(s.t, i0 + (int)TILE));
            __syncthreads();
            load<HD>(q, s.q, i0, end, s.n_head, h, s.hd, s.scale);
            load<HD>(dy, s.dy, i0, end, s.n_head, h, s.hd, 1);
            if (threadIdx.x < TILE) {
                const size_t at = (size_t)min(i0 + (int)threadIdx.x, end - 1) * s.n_head + h;
                lse[threadIdx.x] = s.lse[at];
                dot[threadIdx.x] = s.dot[at];
            }
            __syncthreads();
            scores<HD>(c, k, in, q);
            scores<HD>(e, v, in, dy);
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int at = n * 8 + 2 * (lane % 4) + i % 2;
                    const bool seen = i0 + at >= pos + i / 2 * 8 && i0 + at < end;
                    c[n][i] = seen ? kn_exp(c[n][i] - lse[at]) : 0;
                    e[n][i] = c[n][i] * (e[n][i] - dot[at]);
                }
            add_product<HD>(dv, c, dy);
            add_product<HD>(dk, e, q);
        }
    store<HD>(s.dk, dk, pos, b, s.n_head_kv, g, s.hd, 1, 1);
    store<HD>(s.dv, dv, pos, b, s.n_head_kv, g, s.hd, 1, 1);
}

enum what { FORWARD, BACK_Q, BACK_KV };
template <int WHAT, int HD>
__global__ __launch_bounds__(THREADS) static void attend16(const __grid_constant__ struct heads16 s)
{
    extern __shared__ __align__(16) char room[];
    const int end = min(s.t, (int)(blockIdx.x + 1) * TILE);
    begin_next();
    after();
    for (int a = blockIdx.x * TILE, b; a < end; a = b) {
        b = document_until(s.doc, a, end);
        if (WHAT == FORWARD)
            forward_rows<HD>(s, room, blockIdx.y, a, b, s.doc[a]);
        else if (WHAT == BACK_Q)
            dq_rows<HD>(s, room, blockIdx.y, a, b, s.doc[a]);
        else
            dkv_rows<HD>(s, room, blockIdx.y, a, b, s.doc[a]);
    }
}

/* ---- the calls ---- */

template <int WHAT, int HD>
static int launch_hd(struct kn_dev *d, const struct heads16 *s, int n_head)
{
    const int bytes = (WHAT == FORWARD ? 3 : 4) * TILE_BYTES<HD> + 2 * TILE * 4;
    int rc = cu_room(d, "room for attention", attend16<WHAT, HD>, bytes);
    return rc != KN_OK ? rc
                       : cu_launch_room(d, "attention in bf16", attend16<WHAT, HD>,
                                        dim3(cu_blocks((size_t)s->t, TILE), (unsigned)n_head),
                                        THREADS, (size_t)bytes, *s);
}
template <int WHAT> static int launch(struct kn_dev *d, const struct heads16 *s, int n_head)
{
    return s->hd <= 32   ? launch_hd<WHAT, 32>(d, s, n_head)
           : s->hd <= 64 ? launch_hd<WHAT, 64>(d, s, n_head)
                         : launch_hd<WHAT, 128>(d, s, n_head);
}

static struct heads16 heads(struct kn_at q, struct kn_at k, struct kn_at v, struct kn_at doc,
                            const struct kn_attn *a, int t)
{
    struct heads16 s = {};
    s.q = cu_f32(q), s.k = cu_f32(k), s.v = cu_f32(v), s.doc = cu_i32(doc);
    s.scale = a->scale, s.t = t;
    s.n_head = a->n_head, s.n_head_kv = a->n_head_kv, s.hd = a->head_dim;
    return s;
}

int cu_attn16(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
              struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t)
{
    struct heads16 s = heads(q, k, v, doc, a, t);
    s.out = cu_f32(y), s.out_lse = cu_f32(lse);
    return launch<FORWARD>(d, &s, a->n_head);
}

int cu_attn16_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                  struct kn_at dy, const float *dots, struct kn_at lse, struct kn_at q,
                  struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t)
{
    struct heads16 s = heads(q, k, v, doc, a, t);
    s.out = cu_f32(dq), s.dk = cu_f32(dk), s.dv = cu_f32(dv);
    s.dy = cu_f32(dy), s.lse = cu_f32(lse), s.dot = dots;
    int rc = launch<BACK_Q>(d, &s, a->n_head);
    return rc != KN_OK ? rc : launch<BACK_KV>(d, &s, a->n_head_kv);
}
