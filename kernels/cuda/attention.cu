/* attention - R4 to the bit for a row on its own: one block of threads for each (row, head)
 *
 * Eight tiles at once: a warp takes one, a lane one position, for the scores and the weights; then a
 * thread takes one column of v and goes through all positions in their order. */
#include "cuda/attend.h"
#include "poly.h"

enum { COLUMNS = HEAD_MAX / (WARPS * 32) };

/* q . k of one position, sixteen lanes */
template <int TYPE> __device__ static float score(const float *q, const char *tile, int p, int dim)
{
    float lane[16];
#pragma unroll
    for (int i = 0; i < 16; i++)
        lane[i] = 0;
    for (int u = 0; u < dim / 16; u++) {
        float k[16];
        widen16<TYPE>(tile, u, p, dim, k);
#pragma unroll
        for (int i = 0; i < 16; i++)
            lane[i] = fmaf(q[16 * u + i], k[i], lane[i]);
    }
    return fold_lanes(lane);
}

template <int TYPE>
__global__ __launch_bounds__(WARPS * 32) static void attend(float *y, const float *query,
                                                            struct view v, const int2 *items)
{
    __shared__ float q[HEAD_MAX], weight[WARPS * KN_TILE];
    __shared__ float top[WARPS], shrink[WARPS], sum[WARPS];
    begin_next();
    after();
    const int item = blockIdx.x / v.n_head, head = blockIdx.x % v.n_head;
    const int row = items ? items[item].x : item;
    const int kv_head = head / (v.n_head / v.n_head_kv), pos = v.pos[row];
    const int from = v.window && pos >= v.window ? pos - v.window + 1 : 0, last = pos / KN_TILE;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int32_t *table = v.blocks + (size_t)v.seq[row] * v.max_blocks;
    const size_t at = ((size_t)row * v.n_head + head) * v.head_dim;
    for (int i = threadIdx.x; i < v.dim; i += WARPS * 32)
        q[i] = i < v.head_dim ? query[at + i] : 0.0f;
    float o[COLUMNS] = {0}, m = -INFINITY, l = 0;
    for (int first = from / KN_TILE; first <= last; first += WARPS) {
        const int t = first + warp, count = min(WARPS, last - first + 1), p = t * KN_TILE + lane;
        float s = -INFINITY;
        __syncthreads(); /* q is there; what follows overwrites the weights of before */
        if (t <= last) {
            const char *tile = v.cache + ((size_t)table[t] * v.n_head_kv + kv_head) * 2 * v.tile;
            if (p <= pos && p >= from) {
                s = v.scale * score<TYPE>(q, tile, lane, v.dim);
                if (v.cap != 0)
                    s = v.cap * kn_tanh(s / v.cap);
            }
            float max = s;
            for (int i = 16; i > 0; i /= 2)
                max = fmaxf(max, __shfl_xor_sync(~0u, max, i));
            if (lane == 0)
                top[warp] = max;
        }
        __syncthreads();
        if (t <= last) {
            float before = m;
            for (int w = 0; w < warp; w++)
                before = fmaxf(before, top[w]);
            const float max = fmaxf(before, top[warp]);
            const float w = p <= pos ? kn_exp(s - max) : 0.0f;
            weight[threadIdx.x] = w;
            float f = w + __shfl_down_sync(~0u, w, 16);
            for (int i = 8; i > 0; i /= 2)
                f += __shfl_down_sync(~0u, f, i);
            if (lane == 0)
                sum[warp] = f, shrink[warp] = kn_exp(before - max);
        }
        __syncthreads();
        for (int w = 0; w < count; w++) {
            m = fmaxf(m, top[w]);
            l = fmaf(l, shrink[w], sum[w]);
        }
        for (int w = 0; w < count; w++) {
            const char *tile =
                v.cache + (((size_t)table[first + w] * v.n_head_kv + kv_head) * 2 + 1) * v.tile;
            const int n = min((int)KN_TILE, pos + 1 - (first + w) * KN_TILE);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                const int i = threadIdx.x + c * WARPS * 32;
                if (i >= v.head_dim)
                    break;
                float a = o[c] * shrink[w];
                if (n == KN_TILE) {
#pragma unroll
                    for (int j = 0; j < KN_TILE; j++)
                        a = fmaf(weight[w * KN_TILE + j], value<TYPE>(tile, j, i, v.dim), a);
                } else {
                    for (int j = 0; j < n; j++)
                        a = fmaf(weight[w * KN_TILE + j], value<TYPE>(tile, j, i, v.dim), a);
                }
                o[c] = a;
            }
        }
    }
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
        const int i = threadIdx.x + c * WARPS * 32;
        if (i < v.head_dim)
            y[at + i] = o[c] / l;
    }
}

int cu_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                 int layer, const struct kn_attn *a, const struct kn_batch *batch)
{
    const struct cu_kv *c = (const struct cu_kv *)kv;
    const struct cu_batch *b = (const struct cu_batch *)batch;
    if (batch->n_tok == 0)
        return KN_OK;
    const struct view v = {
        .cache = c->p + (size_t)layer * (size_t)kv->n_block * c->block,
        .pos = b->dev + b->pos,
        .seq = b->dev + b->seq,
        .blocks = b->dev + b->blocks,
        .max_blocks = batch->max_blocks,
        .n_head = a->n_head,
        .n_head_kv = a->n_head_kv,
        .head_dim = a->head_dim,
        .dim = c->dim,
        .tile = c->tile,
        .scale = a->scale,
        .cap = a->cap,
        .window = a->window,
    };
    auto *kernel = kv->type == KN_F32   ? attend<KN_F32>
                   : kv->type == KN_F16 ? attend<KN_F16>
                                        : attend<KN_Q8_0>;
    const int2 *items = (const int2 *)(b->dev + b->items);
    const bool alone = c->dim > WIDEST; /* each row for itself */
    const unsigned rows = (unsigned)(alone ? batch->n_tok : b->n_single);
    int rc = KN_OK;
    if (rows)
        rc = cu_launch(d, "attention", kernel, rows * (unsigned)a->n_head, WARPS * 32, cu_f32(y),
                       cu_f32(q), v, alone ? NULL : items);
    if (rc == KN_OK && !alone && b->n_several)
        rc = cu_attend_several(d, cu_f32(y), cu_f32(q), &v, kv->type, items + b->n_single,
                               b->n_several);
    return rc;
}
