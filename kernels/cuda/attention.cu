/* attention - R4 to the bit for a row on its own: one block of threads for each (row, head)
 *
 * Eight tiles at once: a warp takes one, a lane one position, for the scores and the weights; then a
 * thread takes one column of v and goes through all positions in their order. */
#include "cuda/attend.h"
#include "cuda/prompt.h"
#include "poly.h"

enum {
    COLUMNS = HEAD_MAX / (WARPS * 32),
    BUSY = 128, /* blocks of threads that keep a card busy */
};

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

static int one_by_one(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                      const int2 *items, int n)
{
    auto *kernel = type == KN_F32   ? attend<KN_F32>
                   : type == KN_F16 ? attend<KN_F16>
                                    : attend<KN_Q8_0>;
    return cu_launch(d, "attention", kernel, (unsigned)n * (unsigned)v->n_head, WARPS * 32, y, q,
                     *v, items);
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
    const int2 *items = (const int2 *)(b->dev + b->items);
    int rc = KN_OK;
    if (c->dim > WIDEST) /* each row for itself */
        return one_by_one(d, cu_f32(y), cu_f32(q), &v, kv->type, NULL, batch->n_tok);
    for (int i = 0; i < 2 && rc == KN_OK; i++) {
        if (i == 1 && cu_attends_prompts(&v)) {
            items += b->n_single[1] + b->n_several[1];
            return b->n_prompt
                       ? cu_attend_prompt(d, cu_f32(y), cu_f32(q), &v, kv->type, items, b->n_prompt)
                       : KN_OK;
        }
        /* one after another, but fewer blocks of threads: for many rows */
        if (cu_shares_heads(&v) && b->n_single[i] * a->n_head_kv >= BUSY)
            rc = cu_attend_heads(d, cu_f32(y), cu_f32(q), &v, kv->type, items, b->n_single[i]);
        else if (b->n_single[i])
            rc = one_by_one(d, cu_f32(y), cu_f32(q), &v, kv->type, items, b->n_single[i]);
        items += b->n_single[i];
        if (rc == KN_OK && b->n_several[i])
            rc = cu_attend_several(d, cu_f32(y), cu_f32(q), &v, kv->type, items, b->n_several[i]);
        items += b->n_several[i];
    }
    return rc;
}
