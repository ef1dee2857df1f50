/* fused - the calls of a layer in few kernels: norm with quantizing, heads (QK-norm, RoPE, cache), SwiGLU with quantizing
 *
 * The same operations in the same order as the small calls; rows of prompts in default mode go to prompt.cu.  What does not fit (weights of float types,
 * of several activation blocks, more rows than the room for activations) is left to the composition. */
#include "cuda/kv.h"
#include "cuda/matmul.h"
#include "cuda/prompt.h"
#include "cuda/sums.h"
#include "poly.h"

/* ---- kernels ---- */

/* The norm of row rows[i] of x, or of row i, as activations. */
template <int LEN>
__global__ __launch_bounds__(512) static void norm_act(struct act a, const float *x, const float *w,
                                                       const int32_t *rows, float eps, int n)
{
    constexpr int EACH = LEN / 32; /* values of a lane */
    __shared__ __align__(16) float piece[PIECE];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float factor[EACH]; /* of the warp's first block: never written, so it need not wait */
    begin_next();
    for (int i = 0; i < EACH; i++)
        factor[i] = warp < n / LEN ? w[warp * LEN + lane * EACH + i] : 0;
    after();
    const float *row = x + (size_t)(rows ? rows[blockIdx.x] : blockIdx.x) * n;
    const float sum = row_sum(piece, row, n, [](float v, float s) { return fmaf(v, v, s); });
    const float r = 1.0f / sqrtf(sum / (float)n + eps);
    if (n <= PIECE)
        row = piece;
    for (int b = warp; b < n / LEN; b += blockDim.x / 32)
        quantize_block<LEN>(a, blockIdx.x, b, n, lane, [&](int i) {
            const float f = b == warp ? factor[i % EACH] : w[b * LEN + i];
            return row[b * LEN + i] * r * f;
        });
}

/* silu(gate) * up of (m, n) as activations; a warp for each block */
template <int LEN>
__global__ static void swiglu_act(struct act a, const float *gate, const float *up, int n,
                                  size_t n_block)
{
    const size_t b = (size_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    begin_next();
    after();
    if (b < n_block)
        quantize_block<LEN>(a, (int)(b / (n / LEN)), (int)(b % (n / LEN)), n, threadIdx.x % 32,
                            [=](int i) { return kn_silu(gate[b * LEN + i]) * up[b * LEN + i]; });
}

struct heads { /* what is done with the heads of a row */
    float *q;
    const float *k, *v, *q_norm, *k_norm, *table;
    const int32_t *pos, *seq, *rope, *blocks;
    char *cache;
    size_t tile;
    int n_head, n_head_kv, head_dim, rope_dim, pairs, dim, type, max_blocks;
    float eps;
};

/* R3 over a head in shared memory by a warp */
__device__ static float head_sum(const float *x, int n, int lane)
{
    float sum = 0;
    if (lane < 16) {
        for (int i = lane; i < n; i += 16)
            sum = fmaf(x[i], x[i], sum);
        sum = fold16(sum);
    }
    return __shfl_sync(~0u, sum, 0);
}

/* a warp for each (row, head): those of q, of k, of v */
__global__ static void do_heads(struct heads h, int n_tok)
{
    extern __shared__ float room[];
    const int lane = threadIdx.x % 32, per_row = h.n_head + 2 * h.n_head_kv;
    const int id = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    begin_next();
    after();
    if (id >= n_tok * per_row)
        return;
    const int row = id / per_row, i = id % per_row;
    const int kind = i < h.n_head ? 0 : i < h.n_head + h.n_head_kv ? 1 : 2; /* q, k, v */
    const int head = kind == 0 ? i : (i - h.n_head) % h.n_head_kv;
    const size_t at =
        ((size_t)row * (kind == 0 ? h.n_head : h.n_head_kv) + head) * (size_t)h.head_dim;
    const float *from = (kind == 0 ? h.q : kind == 1 ? h.k : h.v) + at;
    const float *norm = kind == 0 ? h.q_norm : kind == 1 ? h.k_norm : NULL;
    float *x = room + threadIdx.x / 32 * h.head_dim;
    for (int j = lane; j < h.head_dim; j += 32)
        x[j] = from[j];
    __syncwarp();
    if (norm) {
        const float r = 1.0f / sqrtf(head_sum(x, h.head_dim, lane) / (float)h.head_dim + h.eps);
        for (int j = lane; j < h.head_dim; j += 32)
            x[j] = x[j] * r * norm[j];
        __syncwarp();
    }
    const int half = kind < 2 ? h.rope_dim / 2 : 0;
    const float *c = half ? h.table + (size_t)h.rope[row] * h.rope_dim : NULL, *s = c + half;
    for (int j = lane; j < half; j += 32) {
        float *p0 = h.pairs ? &x[2 * j] : &x[j], *p1 = h.pairs ? &x[2 * j + 1] : &x[j + half];
        const float x0 = *p0, x1 = *p1;
        *p0 = x0 * c[j] - x1 * s[j];
        *p1 = x1 * c[j] + x0 * s[j];
    }
    __syncwarp();
    if (kind == 0) {
        for (int j = lane; j < h.head_dim; j += 32)
            h.q[at + j] = x[j];
        return;
    }
    const int p = h.pos[row];
    const size_t block = (size_t)h.blocks[(size_t)h.seq[row] * h.max_blocks + p / KN_TILE];
    char *tile = h.cache + ((block * h.n_head_kv + head) * 2 + kind - 1) * h.tile;
    for (int j = lane; j < h.head_dim; j += 32)
        put(tile, h.type, h.dim, kind - 1, p % KN_TILE, j, x[j]);
}

/* ---- calls ---- */

static int form(const struct kn_weight *w)
{
    return ((const struct cu_weight *)w)->form;
}

static int norm_into(struct kn_dev *d, const float *x, const float *w, const int32_t *rows,
                     float eps, int m, int n, int len)
{
    return cu_launch(d, "norm", len == 256 ? norm_act<256> : norm_act<32>, (unsigned)m, 512,
                     cu_act(d, m, len), x, w, rows, eps, n);
}

/* Products of the activations with up to three weights, those of one type together. */
static int several(struct kn_dev *d, const struct kn_weight *const *w, float *const *y,
                   const float *const *bias, int n, int m)
{
    for (int i = 0; i < n; i++) {
        int first = 1;
        for (int j = 0; j < i; j++)
            first &= form(w[j]) != form(w[i]);
        if (!first)
            continue;
        struct products p = cu_products(w[i], y[i], bias[i], 0);
        for (int j = i + 1; j < n; j++)
            if (form(w[j]) == form(w[i]))
                cu_join(&p, w[j], y[j], bias[j]);
        int rc = cu_product(d, &p, form(w[i]), m);
        if (rc != KN_OK)
            return rc;
    }
    return KN_OK;
}

/* the next part of tmp, on a cache line */
static float *part(struct kn_at *tmp, size_t n)
{
    float *p = cu_f32(*tmp);
    *tmp = kn_plus(*tmp, (n * sizeof *p + 63) / 64 * 64);
    return p;
}

int cu_heads(struct kn_dev *d, float *q, const float *k, const float *v, struct kn_kv *kv,
             int layer, const struct kn_attn *a, const struct kn_batch *batch, int from, int m)
{
    const struct cu_batch *b = (const struct cu_batch *)batch;
    const struct cu_kv *c = (const struct cu_kv *)kv;
    const struct heads h = {
        .q = q,
        .k = k,
        .v = v,
        .q_norm = cu_f32(a->q_norm),
        .k_norm = cu_f32(a->k_norm),
        .table = cu_f32(a->rope),
        .pos = b->dev + b->pos + from,
        .seq = b->dev + b->seq + from,
        .rope = b->dev + b->rope + from,
        .blocks = b->dev + b->blocks,
        .cache = c->p + (size_t)layer * (size_t)kv->n_block * c->block,
        .tile = c->tile,
        .n_head = a->n_head,
        .n_head_kv = a->n_head_kv,
        .head_dim = a->head_dim,
        .rope_dim = a->rope_dim,
        .pairs = a->rope_pairs,
        .dim = c->dim,
        .type = kv->type,
        .max_blocks = batch->max_blocks,
        .eps = a->eps,
    };
    enum { WARPS = 4 };
    const size_t warps = (size_t)m * (size_t)(a->n_head + 2 * a->n_head_kv);
    return cu_launch_room(d, "heads", do_heads, cu_blocks(warps, WARPS), 32 * WARPS,
                          WARPS * (size_t)a->head_dim * sizeof(float), h, m);
}

/* The first m rows of the batch. */
static int fused_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                     struct kn_kv *kv, int layer, const struct kn_attn *a,
                     const struct kn_batch *batch, int m)
{
    const int len = act_block(form(a->q));
    if (!len || act_block(form(a->k)) != len || act_block(form(a->v)) != len || m > ACT_ROWS)
        return KN_EUNSUP;
    const size_t width = (size_t)m * (size_t)a->n_head_kv * (size_t)a->head_dim;
    float *k = part(&tmp, width), *v = part(&tmp, width);
    const struct kn_weight *const w[] = {a->q, a->k, a->v};
    float *const y[] = {cu_f32(q), k, v};
    const float *const bias[] = {cu_f32(a->bq), cu_f32(a->bk), cu_f32(a->bv)};
    int rc = norm_into(d, cu_f32(x), cu_f32(a->norm), NULL, a->eps, m, a->n_embd, len);
    if (rc != KN_OK || (rc = several(d, w, y, bias, 3, m)) != KN_OK)
        return rc;
    return cu_heads(d, y[0], k, v, kv, layer, a, batch, 0, m);
}

/* The same from small calls, for what the fused one does not take. */
static int small_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                     struct kn_kv *kv, int layer, const struct kn_attn *a,
                     const struct kn_batch *batch, int m)
{
    const size_t width = (size_t)m * (size_t)a->n_head_kv * (size_t)a->head_dim;
    const struct kn_at h = tmp;
    part(&tmp, (size_t)m * (size_t)a->n_embd);
    const struct kn_at k = tmp;
    part(&tmp, width);
    int rc = cu_rms_norm(d, h, x, a->norm, a->eps, m, a->n_embd);
    if (rc != KN_OK || (rc = cu_matmul(d, q, h, a->q, a->bq, m, 0)) != KN_OK ||
        (rc = cu_matmul(d, k, h, a->k, a->bk, m, 0)) != KN_OK ||
        (rc = cu_matmul(d, tmp, h, a->v, a->bv, m, 0)) != KN_OK)
        return rc;
    return cu_heads(d, cu_f32(q), cu_f32(k), cu_f32(tmp), kv, layer, a, batch, 0, m);
}

int cu_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
           int layer, const struct kn_attn *a, const struct kn_batch *batch)
{
    const int wide = !d->exact && cu_wide_qkv_fits(a), m = wide ? batch->n_made : batch->n_tok;
    int rc = m ? fused_qkv(d, q, x, tmp, kv, layer, a, batch, m) : KN_OK;
    if (!wide)
        return rc;
    if (rc == KN_EUNSUP)
        rc = small_qkv(d, q, x, tmp, kv, layer, a, batch, m);
    return rc != KN_OK || m == batch->n_tok ? rc : cu_wide_qkv(d, q, x, tmp, kv, layer, a, batch);
}

int cu_attn_out(struct kn_dev *d, struct kn_at x, struct kn_at att, const struct kn_attn *a,
                const struct kn_batch *batch)
{
    const int n = d->exact || !cu_wide_out_fits(a) ? batch->n_tok : batch->n_made;
    int rc = cu_matmul(d, x, att, a->o, a->bo, n, KN_ADD);
    return rc != KN_OK || n == batch->n_tok ? rc : cu_wide_out(d, x, att, a, batch);
}

/* The first m rows. */
static int fused_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
                     int m)
{
    const int len = act_block(form(f->gate)), len2 = act_block(form(f->down));
    if (!len || act_block(form(f->up)) != len || !len2 || m > ACT_ROWS)
        return KN_EUNSUP;
    const size_t width = (size_t)m * (size_t)f->n_ff, n = width / (size_t)len2;
    float *gate = part(&tmp, width), *up = part(&tmp, width);
    const struct kn_weight *const w[] = {f->gate, f->up};
    float *const y[] = {gate, up};
    const float *const bias[] = {NULL, NULL};
    int rc = norm_into(d, cu_f32(x), cu_f32(f->norm), NULL, f->eps, m, f->n_embd, len);
    if (rc != KN_OK || (rc = several(d, w, y, bias, 2, m)) != KN_OK)
        return rc;
    rc = cu_launch(d, "SwiGLU", len2 == 256 ? swiglu_act<256> : swiglu_act<32>, cu_blocks(n, 4),
                   128, cu_act(d, m, len2), gate, up, f->n_ff, n);
    const struct products p = cu_products(f->down, cu_f32(x), NULL, 1);
    return rc != KN_OK ? rc : cu_product(d, &p, form(f->down), m);
}

static int small_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
                     int m)
{
    const size_t width = (size_t)m * (size_t)f->n_ff;
    const struct kn_at h = tmp;
    part(&tmp, (size_t)m * (size_t)f->n_embd);
    const struct kn_at gate = tmp;
    part(&tmp, width);
    int rc = cu_rms_norm(d, h, x, f->norm, f->eps, m, f->n_embd);
    if (rc != KN_OK || (rc = cu_matmul(d, gate, h, f->gate, {}, m, 0)) != KN_OK ||
        (rc = cu_matmul(d, tmp, h, f->up, {}, m, 0)) != KN_OK ||
        (rc = cu_swiglu(d, gate, gate, tmp, m, f->n_ff)) != KN_OK)
        return rc;
    return cu_matmul(d, x, gate, f->down, {}, m, KN_ADD);
}

int cu_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
           const struct kn_batch *batch)
{
    const int wide = !d->exact && cu_wide_ffn_fits(f), m = wide ? batch->n_made : batch->n_tok;
    int rc = m ? fused_ffn(d, x, tmp, f, m) : KN_OK;
    if (!wide)
        return rc;
    if (rc == KN_EUNSUP)
        rc = small_ffn(d, x, tmp, f, m);
    return rc != KN_OK || m == batch->n_tok ? rc : cu_wide_ffn(d, x, f, batch);
}

int cu_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
            struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *batch)
{
    const struct cu_batch *b = (const struct cu_batch *)batch;
    const int m = batch->n_out, len = act_block(form(w));
    (void)tmp;
    if (m == 0)
        return KN_OK;
    if (!len || m > ACT_ROWS)
        return KN_EUNSUP;
    int rc = norm_into(d, cu_f32(x), cu_f32(norm), b->dev + b->out, eps, m, w->k, len);
    const struct products p = cu_products(w, cu_f32(logits), NULL, 0);
    return rc != KN_OK ? rc : cu_product(d, &p, form(w), m);
}
