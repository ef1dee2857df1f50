/* batch - the rows of a step on the device: one copy each; the paged cache: make, copy a block, write */
#include "cuda/gemm_bf16.h"
#include "cuda/kv.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cu_batch_new(struct kn_dev *d, int max_tok, int max_seq, int max_blocks, struct kn_batch **out)
{
    struct cu_batch *b = (struct cu_batch *)calloc(1, sizeof *b);
    if (!b)
        return KN_ENOMEM;
    const size_t n = (size_t)max_tok;
    b->pos = n, b->seq = 2 * n, b->rope = 3 * n, b->out = 4 * n, b->items = 5 * n,
    b->blocks = 9 * n;
    b->words = 9 * n + (size_t)max_seq * (size_t)max_blocks;
    int rc = d->exact ? KN_OK : cu_wide_reserve(d, max_tok, 1, 0);
    if (rc == KN_OK)
        rc = cu_status(d, cudaMalloc(&b->dev, b->words * sizeof *b->dev), "a batch");
    if (rc == KN_OK)
        rc = cu_status(d, cudaMallocHost(&b->host, SLOTS * b->words * sizeof *b->host), "a batch");
    for (int i = 0; i < SLOTS && rc == KN_OK; i++)
        rc = cu_status(d, cudaEventCreateWithFlags(&b->copied[i], cudaEventDisableTiming),
                       "a batch");
    *out = &b->b;
    if (rc != KN_OK)
        cu_batch_free(d, &b->b);
    return rc;
}

void cu_batch_free(struct kn_dev *d, struct kn_batch *batch)
{
    struct cu_batch *b = (struct cu_batch *)batch;
    cudaStreamSynchronize(cu_dev(d)->stream);
    for (int i = 0; i < SLOTS; i++)
        if (b->copied[i])
            cudaEventDestroy(b->copied[i]);
    cudaFreeHost(b->host);
    cudaFree(b->dev);
    free(b);
}

/* Rows [from, to) into work items of up to `most` rows, those of a sequence being consecutive; only those of one row, of
 * several, or (-1) all.  Returns how many. */
static int make_items(int32_t **item, const struct kn_rows *r, int from, int to, int most,
                      int several)
{
    int count = 0;
    for (int i = from, n; i < to; i += n) {
        for (n = 1; n < most && i + n < to && r->seq[i + n] == r->seq[i]; n++)
            ;
        if (several >= 0 && (n > 1) != several)
            continue;
        *(*item)++ = i;
        *(*item)++ = n;
        count++;
    }
    return count;
}

int cu_batch_set(struct kn_dev *d, struct kn_batch *batch, const struct kn_rows *r)
{
    struct cu_batch *b = (struct cu_batch *)batch;
    const int slot = b->slot;
    int32_t *h = b->host + (size_t)slot * b->words;
    const size_t n = (size_t)r->n_tok * sizeof *h;
    int rc = cu_status(d, cudaEventSynchronize(b->copied[slot]), "a batch");
    if (rc != KN_OK || r->n_tok == 0)
        return rc;
    memcpy(h, r->tok, n);
    memcpy(h + b->pos, r->pos, n);
    memcpy(h + b->seq, r->seq, n);
    memcpy(h + b->rope, r->rope ? r->rope : r->pos, n);
    if (r->n_out)
        memcpy(h + b->out, r->out, (size_t)r->n_out * sizeof *h);
    int32_t *item = h + b->items;
    const int exact = d->exact ? r->n_tok : r->n_made; /* the first rows */
    for (int i = 0; i < 2; i++) {
        const int from = i ? exact : 0, to = i ? r->n_tok : exact;
        b->n_single[i] = make_items(&item, r, from, to, ITEM_ROWS, 0);
        b->n_several[i] = make_items(&item, r, from, to, ITEM_ROWS, 1);
    }
    b->n_prompt = make_items(&item, r, exact, r->n_tok, PROMPT_ROWS, -1);
    const size_t table = (size_t)r->n_seq * (size_t)batch->max_blocks;
    memcpy(h + b->blocks, r->blocks, table * sizeof *h);
    rc = cu_status(d,
                   cudaMemcpyAsync(b->dev, h, (b->blocks + table) * sizeof *h,
                                   cudaMemcpyHostToDevice, cu_dev(d)->stream),
                   "a batch");
    if (rc == KN_OK)
        rc = cu_status(d, cudaEventRecord(b->copied[slot], cu_dev(d)->stream), "a batch");
    b->slot = (slot + 1) % SLOTS;
    return rc;
}

/* ---- the cache ---- */

int cu_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
              struct kn_kv **out)
{
    if (head_dim > HEAD_MAX) {
        snprintf(d->why, sizeof d->why, "heads of %d, at most %d", head_dim, HEAD_MAX);
        return KN_EUNSUP;
    }
    struct cu_kv *kv = (struct cu_kv *)calloc(1, sizeof *kv);
    if (!kv)
        return KN_ENOMEM;
    kv->dim = (head_dim + 15) / 16 * 16;
    kv->tile = (size_t)KN_TILE * (type == KN_F32   ? (size_t)kv->dim * 4
                                  : type == KN_F16 ? (size_t)kv->dim * 2
                                                   : (size_t)kv->dim / 32 * 34);
    kv->block = 2 * (size_t)n_head_kv * kv->tile;
    const size_t blocks = (size_t)n_layer * (size_t)n_block;
    int rc = kv->block > SIZE_MAX / 2 / blocks ? KN_ENOMEM : KN_OK;
    if (rc == KN_OK)
        rc = cu_status(d, cudaMalloc(&kv->p, blocks * kv->block), "the KV cache");
    if (rc == KN_OK)
        rc = cu_status(d, cudaMemsetAsync(kv->p, 0, blocks * kv->block, cu_dev(d)->stream),
                       "the KV cache");
    if (rc != KN_OK) {
        cudaFree(kv->p);
        free(kv);
        return rc;
    }
    *out = &kv->kv;
    return KN_OK;
}

void cu_kv_free(struct kn_dev *d, struct kn_kv *kv)
{
    (void)d;
    cudaFree(((struct cu_kv *)kv)->p);
    free(kv);
}

int cu_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block)
{
    const struct cu_kv *c = (const struct cu_kv *)kv;
    const size_t pitch = (size_t)kv->n_block * c->block;
    if (dst_block == src_block)
        return KN_OK;
    return cu_status(d,
                     cudaMemcpy2DAsync(c->p + (size_t)dst_block * c->block, pitch,
                                       c->p + (size_t)src_block * c->block, pitch, c->block,
                                       (size_t)kv->n_layer, cudaMemcpyDeviceToDevice,
                                       cu_dev(d)->stream),
                     "a copy of a KV block");
}

/* a warp for each (row, head, k or v) */
__global__ static void write_rows(char *cache, const float *k, const float *v, const int32_t *pos,
                                  const int32_t *seq, const int32_t *blocks, int max_blocks,
                                  int n_head, int head_dim, int dim, int type, size_t tile_bytes)
{
    const int row = blockIdx.x, head = blockIdx.y, which = threadIdx.y, at = pos[row];
    const size_t block = (size_t)blocks[(size_t)seq[row] * max_blocks + at / KN_TILE];
    char *tile = cache + ((block * n_head + head) * 2 + which) * tile_bytes;
    const float *x = (which ? v : k) + ((size_t)row * n_head + head) * head_dim;
    for (int i = threadIdx.x; i < head_dim; i += 32)
        put(tile, type, dim, which, at % KN_TILE, i, x[i]);
}

int cu_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                const struct kn_batch *batch)
{
    const struct cu_kv *c = (const struct cu_kv *)kv;
    const struct cu_batch *b = (const struct cu_batch *)batch;
    if (batch->n_tok == 0)
        return KN_OK;
    char *cache = c->p + (size_t)layer * (size_t)kv->n_block * c->block;
    write_rows<<<dim3(batch->n_tok, kv->n_head_kv), dim3(32, 2), 0, cu_dev(d)->stream>>>(
        cache, cu_f32(k), cu_f32(v), b->dev + b->pos, b->dev + b->seq, b->dev + b->blocks,
        batch->max_blocks, kv->n_head_kv, kv->head_dim, c->dim, kv->type, c->tile);
    return cu_launched(d, "KV write");
}
