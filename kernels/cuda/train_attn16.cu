/* train_attn16 - attention of training with operands in bf16 (T3), on the tensor cores
 *
 * All operands are rounded first, heads padded to HD.  Four warps have 64 rows, sixteen each, taken document by document; tiles of what they attend to begin with the
 * document.  Forward, the largest score is found first, so that p is rounded as T3 has it. */
#include "cuda/async.h"
#include "cuda/tensor.h"
#include "cuda/train_attn.h"
#include "poly.h"
#include <cuda_bf16.h>

enum { TILE = 64, THREADS = 128 };

typedef __nv_bfloat16 half16;
struct heads16 {
    const half16 *q, *k, *v, *dy; /* (t, heads, HD), q times the scale */
    const float *lse, *dot;
    float *out, *out_lse, *dk, *dv; /* y and lse forward; dq; dk and dv of each head of q */
    const int32_t *doc;
    float scale;
    int t, n_head, n_head_kv, hd;
};
template <int HD> constexpr int WIDTH = HD + 8; /* of a row in shared memory: no bank conflicts */
template <int HD> constexpr int TILE_BYTES = TILE *WIDTH<HD> * 2;

/* to(rows, n_head, HD) = times x(rows, n_head, hd), zeros beyond hd: four columns a thread */
template <int HD>
__global__ static void round_heads(half16 *to, const float *x, size_t n, int hd, float times)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    const size_t row = i / (HD / 4);
    const int c = (int)(i % (HD / 4)) * 4;
    float v[4];
    if (row >= n)
        return;
#pragma unroll
    for (int j = 0; j < 4; j++)
        v[j] = c + j < hd ? times * x[row * hd + c + j] : 0;
    __nv_bfloat162 *p = (__nv_bfloat162 *)(to + row * HD + c);
    p[0] = __floats2bfloat162_rn(v[0], v[1]);
    p[1] = __floats2bfloat162_rn(v[2], v[3]);
}

/* Rows [row, end) of x(t, n_head, HD), head h, on their way; zeros behind them. */
template <int HD>
__device__ static void load(half16 *to, const half16 *x, int row, int end, int n_head, int h)
{
#pragma unroll
    for (int i = threadIdx.x; i < TILE * HD / 8; i += THREADS) {
        const int r = i / (HD / 8), c = i % (HD / 8) * 8;
        copy_or_zero(to + r * WIDTH<HD> + c,
                     x + ((size_t)min(row + r, end - 1) * n_head + h) * HD + c, row + r < end);
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
    const auto tile = [=](int i) { return (half16 *)(room + i * TILE_BYTES<HD>); };
    const int g = h / (s.n_head / s.n_head_kv), in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, row = a + in + lane / 4;
    float m[2] = {-INFINITY, -INFINITY}, l[2] = {0, 0}, c[8][4], o[HD / 8][4];
    zero<HD>(o);
    __syncthreads();
    load<HD>(tile(0), s.q, a, b, s.n_head, h);
    for (int pass = 0; pass < 2; pass++) {
        const auto bring = [&](int j0, int to) {
            if (j0 < b) {
                load<HD>(tile(1 + to), s.k, j0, b, s.n_head_kv, g);
                if (pass)
                    load<HD>(tile(3 + to), s.v, j0, b, s.n_head_kv, g);
            }
            copies_end();
        };
        bring(first, 0);
        for (int j0 = first, at = 0; j0 < b; j0 += TILE, at ^= 1) {
            bring(j0 + TILE, at ^ 1);
            copies_arrive<1>();
            __syncthreads();
            scores<HD>(c, tile(0), in, tile(1 + at));
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
                add_product<HD>(o, c, tile(3 + at));
            __syncthreads();
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
    const auto tile = [=](int i) { return (half16 *)(room + i * TILE_BYTES<HD>); };
    const int g = h / (s.n_head / s.n_head_kv), in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, row = a + in + lane / 4;
    float c[8][4], e[8][4], o[HD / 8][4], lse[2], dot[2];
    zero<HD>(o);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const size_t at = (size_t)min(row + 8 * i, b - 1) * s.n_head + h;
        lse[i] = s.lse[at], dot[i] = s.dot[at];
    }
    const auto bring = [&](int j0, int to) {
        if (j0 < b) {
            load<HD>(tile(2 + to), s.k, j0, b, s.n_head_kv, g);
            load<HD>(tile(4 + to), s.v, j0, b, s.n_head_kv, g);
        }
        copies_end();
    };
    __syncthreads();
    load<HD>(tile(0), s.q, a, b, s.n_head, h);
    load<HD>(tile(1), s.dy, a, b, s.n_head, h);
    bring(first, 0);
    for (int j0 = first, at = 0; j0 < b; j0 += TILE, at ^= 1) {
        bring(j0 + TILE, at ^ 1);
        copies_arrive<1>();
        __syncthreads();
        scores<HD>(c, tile(0), in, tile(2 + at));
        scores<HD>(e, tile(1), in, tile(4 + at));
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const bool seen = j0 + n * 8 + 2 * (lane % 4) + i % 2 <= row + i / 2 * 8;
                c[n][i] = seen && row + i / 2 * 8 < b
                              ? kn_exp(c[n][i] - lse[i / 2]) * (e[n][i] - dot[i / 2])
                              : 0;
            }
        add_product<HD>(o, c, tile(2 + at));
        __syncthreads();
    }
    store<HD>(s.out, o, row, b, s.n_head, h, s.hd, s.scale, s.scale);
}

/* What head h adds to dk and dv of positions [a, b) of one document: rows ascending in tiles from its first. */
template <int HD>
__device__ static void dkv_rows(const struct heads16 &s, char *room, int h, int a, int b, int first)
{
    const auto tile = [=](int i) { return (half16 *)(room + i * TILE_BYTES<HD>); };
    float *lse = (float *)tile(6), *dot = lse + 2 * TILE;
    const int g = h / (s.n_head / s.n_head_kv), in = threadIdx.x / 32 * 16;
    const int lane = threadIdx.x % 32, pos = a + in + lane / 4;
    float c[8][4], e[8][4], dk[HD / 8][4], dv[HD / 8][4];
    zero<HD>(dk);
    zero<HD>(dv);
    const auto bring = [&](int i0, int to) {
        if (i0 < s.t && s.doc[i0] == first) {
            const int end = document_until(s.doc, i0, min(s.t, i0 + (int)TILE));
            load<HD>(tile(2 + to), s.q, i0, end, s.n_head, h);
            load<HD>(tile(4 + to), s.dy, i0, end, s.n_head, h);
            if (threadIdx.x < TILE) {
                const size_t at = (size_t)min(i0 + (int)threadIdx.x, end - 1) * s.n_head + h;
                lse[to * TILE + threadIdx.x] = s.lse[at];
                dot[to * TILE + threadIdx.x] = s.dot[at];
            }
        }
        copies_end();
    };
    __syncthreads();
    load<HD>(tile(0), s.k, a, b, s.n_head_kv, g);
    load<HD>(tile(1), s.v, a, b, s.n_head_kv, g);
    const int begin = first + (a - first) / TILE * TILE;
    bring(begin, 0);
    for (int i0 = begin, to = 0; i0 < s.t && s.doc[i0] == first; i0 += TILE, to ^= 1) {
        const int end = document_until(s.doc, i0, min(s.t, i0 + (int)TILE));
        bring(i0 + TILE, to ^ 1);
        copies_arrive<1>();
        __syncthreads();
        scores<HD>(c, tile(0), in, tile(2 + to));
        scores<HD>(e, tile(1), in, tile(4 + to));
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int at = n * 8 + 2 * (lane % 4) + i % 2;
                const bool seen = i0 + at >= pos + i / 2 * 8 && i0 + at < end;
                c[n][i] = seen ? kn_exp(c[n][i] - lse[to * TILE + at]) : 0;
                e[n][i] = c[n][i] * (e[n][i] - dot[to * TILE + at]);
            }
        add_product<HD>(dv, c, tile(4 + to));
        add_product<HD>(dk, e, tile(2 + to));
        __syncthreads();
    }
    store<HD>(s.dk, dk, pos, b, s.n_head, h, s.hd, 1, 1);
    store<HD>(s.dv, dv, pos, b, s.n_head, h, s.hd, 1, 1);
}

/* y(t, n_head_kv, hd) = the sum over the heads of a group, ascending, of part(t, n_head, hd) */
__global__ static void add_heads(float *y, const float *part, size_t n, int group, int hd)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, row = i / hd, c = i % hd;
    float s = 0;
    if (i >= n)
        return;
    for (int h = 0; h < group; h++)
        s += part[(row * group + h) * hd + c];
    y[i] = s;
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

template <int WHAT, int HD> static int launch(struct kn_dev *d, const struct heads16 *s)
{
    const int bytes = (WHAT == FORWARD ? 5 : 6) * TILE_BYTES<HD> + 4 * TILE * 4;
    int rc = cu_room(d, "room for attention", attend16<WHAT, HD>, bytes);
    return rc != KN_OK ? rc
                       : cu_launch_room(d, "attention in bf16", attend16<WHAT, HD>,
                                        dim3(cu_blocks((size_t)s->t, TILE), (unsigned)s->n_head),
                                        THREADS, (size_t)bytes, *s);
}

template <int HD>
static half16 *rounded(struct kn_dev *d, half16 **to, const float *x, size_t rows, int hd,
                       float times)
{
    half16 *here = *to;
    round_heads<HD>
        <<<cu_blocks(rows * HD / 4, 256), 256, 0, cu_dev(d)->stream>>>(here, x, rows, hd, times);
    *to += rows * HD;
    return here;
}

struct call16 {
    struct kn_at y, lse, q, k, v, doc, dq, dk, dv, dy;
    const float *dots; /* NULL: forward */
    const struct kn_attn *a;
    int t;
};

template <int HD> static int run(struct kn_dev *d, const struct call16 *c)
{
    const struct kn_attn *a = c->a;
    const size_t rows = (size_t)c->t * a->n_head, rows_kv = (size_t)c->t * a->n_head_kv;
    const size_t sums = c->dots ? (2 * rows * a->head_dim * sizeof(float) + 255) / 256 * 256 : 0;
    struct heads16 s = {};
    char *room;
    int rc =
        cu_scratch(d, ROOM_HEADS, sums + (2 * rows + 2 * rows_kv) * HD * sizeof(half16), &room);
    half16 *to = (half16 *)(room + sums);
    if (rc != KN_OK)
        return rc;
    s.q = rounded<HD>(d, &to, cu_f32(c->q), rows, a->head_dim, a->scale);
    s.k = rounded<HD>(d, &to, cu_f32(c->k), rows_kv, a->head_dim, 1);
    s.v = rounded<HD>(d, &to, cu_f32(c->v), rows_kv, a->head_dim, 1);
    s.doc = cu_i32(c->doc), s.scale = a->scale, s.t = c->t;
    s.n_head = a->n_head, s.n_head_kv = a->n_head_kv, s.hd = a->head_dim;
    if (!c->dots) {
        s.out = cu_f32(c->y), s.out_lse = cu_f32(c->lse);
        return launch<FORWARD, HD>(d, &s);
    }
    s.dy = rounded<HD>(d, &to, cu_f32(c->dy), rows, a->head_dim, 1);
    s.lse = cu_f32(c->lse), s.dot = c->dots, s.out = cu_f32(c->dq);
    s.dk = (float *)room, s.dv = s.dk + rows * a->head_dim;
    if ((rc = launch<BACK_Q, HD>(d, &s)) != KN_OK || (rc = launch<BACK_KV, HD>(d, &s)) != KN_OK)
        return rc;
    const size_t n = rows_kv * a->head_dim;
    const int group = a->n_head / a->n_head_kv;
    add_heads<<<cu_blocks(n, 256), 256, 0, cu_dev(d)->stream>>>(cu_f32(c->dk), s.dk, n, group,
                                                                s.hd);
    add_heads<<<cu_blocks(n, 256), 256, 0, cu_dev(d)->stream>>>(cu_f32(c->dv), s.dv, n, group,
                                                                s.hd);
    return cu_launched(d, "backward of attention");
}

static int run_any(struct kn_dev *d, const struct call16 *c)
{
    return c->a->head_dim <= 32   ? run<32>(d, c)
           : c->a->head_dim <= 64 ? run<64>(d, c)
                                  : run<128>(d, c);
}

int cu_attn16(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
              struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t)
{
    struct call16 c = {};
    c.y = y, c.lse = lse, c.q = q, c.k = k, c.v = v, c.doc = doc, c.a = a, c.t = t;
    return run_any(d, &c);
}

int cu_attn16_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                  struct kn_at dy, const float *dots, struct kn_at lse, struct kn_at q,
                  struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t)
{
    struct call16 c = {};
    c.lse = lse, c.q = q, c.k = k, c.v = v, c.doc = doc, c.a = a, c.t = t;
    c.dq = dq, c.dk = dk, c.dv = dv, c.dy = dy, c.dots = dots;
    return run_any(d, &c);
}
