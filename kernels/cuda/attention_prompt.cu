/* attention_prompt - attention of the rows of a prompt on the tensor cores: f16 operands, sums and weights in f32
 *
 * A block of threads has up to 128 rows of a sequence and one head, a warp 32 rows.  Blocks of 64 positions, anchored at
 * position 0, ascending: the running maximum, the weights 2^(s - max), o = o 2^(old - new) + p v.  A block that a row does
 * not see leaves its numbers as they are, so that they do not depend on what other rows are in the step. */
#include "cuda/async.h"
#include "cuda/attend.h"
#include "cuda/prompt.h"
#include "cuda/tensor.h"

enum { AT_ONCE = 64, THREADS = 128 };

/* Positions [64 j, 64 j + 64) of k and v into shared memory as f16, what lies beyond `last` as zeros (v; of k it does not
 * matter).  k: (2 tiles, dim / 8, 32 positions, 8); v: (64 positions, dim), its pieces of 16 bytes swizzled. */
template <int TYPE, int DIM>
__device__ static void bring(uint8_t *to, const struct view &v, const int32_t *table, int kv_head,
                             int j, int last)
{
    constexpr int PIECES = DIM / 8, EACH = AT_ONCE * PIECES / THREADS;
    uint8_t *const tv = to + AT_ONCE * DIM * 2;
    const char *tile[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int t = min(2 * j + i, last / KN_TILE);
        tile[i] = v.cache + ((size_t)table[t] * v.n_head_kv + kv_head) * 2 * v.tile;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        const int at = threadIdx.x + THREADS * i, half = i / (EACH / 2); /* of the positions */
        const int p = at / PIECES, c = at % PIECES;                      /* of v */
        const int in = at - half * KN_TILE * PIECES;                     /* of k */
        uint8_t *pv = tv + p * DIM * 2 + ((c ^ (p & 7)) << 4);
        const char *vt = tile[half] + v.tile;
        const bool seen = AT_ONCE * j + p <= last;
        if constexpr (TYPE == KN_F16) {
            copy_once(to + at * 16, tile[half] + in * 16);
            copy_or_zero(pv, vt + (p % KN_TILE * DIM + c * 8) * 2, seen);
        } else {
            __half2 h[8];
            if (in / KN_TILE % 2 == 0) { /* sixteen values: two pieces */
                float f[16];
                widen16<TYPE>(tile[half], in / KN_TILE / 2, in % KN_TILE, DIM, f);
#pragma unroll
                for (int u = 0; u < 8; u++)
                    h[u] = __floats2half2_rn(f[2 * u], f[2 * u + 1]);
                *(uint4 *)(to + at * 16) = *(uint4 *)h;
                *(uint4 *)(to + (at + KN_TILE) * 16) = *(uint4 *)(h + 4);
            }
#pragma unroll
            for (int u = 0; u < 4; u++)
                h[u] = seen
                           ? __floats2half2_rn(value<TYPE>(vt, p % KN_TILE, c * 8 + 2 * u, DIM),
                                               value<TYPE>(vt, p % KN_TILE, c * 8 + 2 * u + 1, DIM))
                           : __half2();
            *(uint4 *)pv = *(uint4 *)h;
        }
    }
    copies_end();
}

template <int TYPE, int DIM>
__global__ __launch_bounds__(THREADS, 2) static void attend_prompt(float *y, const float *query,
                                                                   struct view v, const int2 *items)
{
    constexpr int PIECES = DIM / 8, STEP = 2 * AT_ONCE * DIM * 2;
    extern __shared__ __align__(128) uint8_t places[]; /* q (128, DIM), 2 of k and v */
    begin_next();
    after();
    const int2 item = items[(gridDim.x - 1 - blockIdx.x) / v.n_head]; /* the longest first */
    const int first = item.x, count = item.y;
    const int head = blockIdx.x % v.n_head, kv_head = head / (v.n_head / v.n_head_kv);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int32_t *table = v.blocks + (size_t)v.seq[first] * v.max_blocks;
    const int last = v.pos[first + count - 1], n_step = last / AT_ONCE + 1;
    const size_t stride = (size_t)v.n_head * DIM;
    const size_t at0 = ((size_t)first * v.n_head + head) * DIM;
    uint8_t *const sq = places, *const ring = places + PROMPT_ROWS * DIM * 2;
    bring<TYPE, DIM>(ring, v, table, kv_head, 0, last);
    const float scale = v.scale * 1.44269504f; /* log2(e): the weights are powers of 2 */
    for (int i = threadIdx.x; i < PROMPT_ROWS * PIECES; i += THREADS) {
        const int r = i / PIECES, c = i % PIECES;
        __half2 h[4] = {};
        if (r < count) {
            const float4 *from = (const float4 *)(query + at0 + r * stride + c * 8);
            const float4 a = from[0], b = from[1];
            h[0] = __floats2half2_rn(a.x * scale, a.y * scale);
            h[1] = __floats2half2_rn(a.z * scale, a.w * scale);
            h[2] = __floats2half2_rn(b.x * scale, b.y * scale);
            h[3] = __floats2half2_rn(b.z * scale, b.w * scale);
        }
        *(uint4 *)(sq + r * DIM * 2 + ((c ^ (r & 7)) << 4)) = *(uint4 *)h;
    }
    float o[2][DIM / 8][4] = {}, m[4], l[4] = {};
    int pos[4], low = 0x7fffffff; /* rows lane / 4 + 8 i of the warp's 32 */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        m[i] = -INFINITY;
        pos[i] = v.pos[first + min(32 * warp + lane / 4 + 8 * i, count - 1)];
    }
    low = v.pos[first + min(32 * warp, count - 1)];
    for (int j = 0; j < n_step; j++) {
        const uint8_t *k = ring + j % 2 * STEP, *vv = k + AT_ONCE * DIM * 2;
        copies_arrive<0>();
        __syncthreads(); /* k and v are there, and the others' are used up */
        if (j + 1 < n_step)
            bring<TYPE, DIM>(ring + (j + 1) % 2 * STEP, v, table, kv_head, j + 1, last);
        float s[2][8][4] = {};
#pragma unroll
        for (int u = 0; u < DIM / 16; u++) {
            uint32_t a[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const int r = 32 * warp + 16 * i + lane % 16, c = 2 * u + lane / 16;
                load4(a[i], sq + r * DIM * 2 + ((c ^ (r & 7)) << 4));
            }
#pragma unroll
            for (int n = 0; n < 4; n++) {
                uint32_t b[4];
                const int p = 16 * n + lane / 16 * 8 + lane % 8, c = 2 * u + lane / 8 % 2;
                load4(b, k + p / KN_TILE * (KN_TILE * DIM * 2) + (c * KN_TILE + p % KN_TILE) * 16);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    mma_f16(s[i][2 * n], a[i], b[0], b[1]);
                    mma_f16(s[i][2 * n + 1], a[i], b[2], b[3]);
                }
            }
        }
        const bool all = AT_ONCE * j + AT_ONCE - 1 <= low; /* each row of the warp sees all of it */
        float f[4];
#pragma unroll
        for (int r = 0; r < 4; r++) {
            float max = m[r];
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &x = s[r / 2][n][r % 2 * 2 + c];
                    if (!all && AT_ONCE * j + 8 * n + 2 * (lane % 4) + c > pos[r])
                        x = -INFINITY;
                    max = fmaxf(max, x);
                }
            max = fmaxf(max, __shfl_xor_sync(~0u, max, 1));
            max = fmaxf(max, __shfl_xor_sync(~0u, max, 2));
            f[r] = exp2f(m[r] - max);
            m[r] = max;
            float sum = 0;
#pragma unroll
            for (int n = 0; n < 8; n++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &x = s[r / 2][n][r % 2 * 2 + c];
                    x = exp2f(x - max);
                    sum += x;
                }
            l[r] = l[r] * f[r] + sum;
        }
        /* times 1 changes nothing */
        if (__any_sync(~0u, f[0] != 1 || f[1] != 1 || f[2] != 1 || f[3] != 1))
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int n = 0; n < DIM / 8; n++)
#pragma unroll
                    for (int c = 0; c < 4; c++)
                        o[i][n][c] *= f[2 * i + c / 2];
#pragma unroll
        for (int u = 0; u < AT_ONCE / 16; u++) {
            uint32_t a[2][4];
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    const float *x = &s[i][2 * u + c / 2][c % 2 * 2];
                    const __half2 h = __floats2half2_rn(x[0], x[1]);
                    a[i][c] = *(const uint32_t *)&h;
                }
#pragma unroll
            for (int n = 0; n < DIM / 16; n++) {
                uint32_t b[4];
                const int p = 16 * u + lane / 8 % 2 * 8 + lane % 8, c = 2 * n + lane / 16;
                load4_turned(b, vv + p * DIM * 2 + ((c ^ (p & 7)) << 4));
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    mma_f16(o[i][2 * n], a[i], b[0], b[1]);
                    mma_f16(o[i][2 * n + 1], a[i], b[2], b[3]);
                }
            }
        }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        l[r] += __shfl_xor_sync(~0u, l[r], 1);
        l[r] += __shfl_xor_sync(~0u, l[r], 2);
        const int row = 32 * warp + lane / 4 + 8 * r;
        if (row >= count)
            continue;
        float *to = y + at0 + row * stride + 2 * (lane % 4);
        const float inverse = 1.0f / l[r];
#pragma unroll
        for (int n = 0; n < DIM / 8; n++)
            *(float2 *)(to + 8 * n) =
                make_float2(o[r / 2][n][r % 2 * 2] * inverse, o[r / 2][n][r % 2 * 2 + 1] * inverse);
    }
}

template <int TYPE, int DIM>
static int start(struct kn_dev *d, float *y, const float *q, const struct view *v,
                 const int2 *items, int n_items)
{
    auto *kernel = attend_prompt<TYPE, DIM>;
    const int room = PROMPT_ROWS * DIM * 2 + 2 * (2 * AT_ONCE * DIM * 2);
    int rc = cu_room(d, "room for attention", kernel, (size_t)room);
    if (rc != KN_OK)
        return rc;
    return cu_launch_room(d, "attention", kernel, (unsigned)n_items * (unsigned)v->n_head, THREADS,
                          (size_t)room, y, q, *v, items);
}

int cu_attends_prompts(const struct view *v)
{
    return (v->head_dim == 64 || v->head_dim == 128) && v->cap == 0 && v->window == 0;
}

int cu_attend_prompt(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                     const int2 *items, int n_items)
{
    const bool wide = v->head_dim == 128;
    if (type == KN_F16)
        return (wide ? start<KN_F16, 128> : start<KN_F16, 64>)(d, y, q, v, items, n_items);
    if (type == KN_F32)
        return (wide ? start<KN_F32, 128> : start<KN_F32, 64>)(d, y, q, v, items, n_items);
    return (wide ? start<KN_Q8_0, 128> : start<KN_Q8_0, 64>)(d, y, q, v, items, n_items);
}
