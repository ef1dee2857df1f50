/* kv.c - the paged cache: make, copy a block, write rows */
#include "cpu.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Room for one unit of attention on each thread. */
static int reserve_scratch(struct cpu_dev *c, int dim)
{
    if (dim <= c->attn_dim)
        return KN_OK;
    const size_t bytes = attn_scratch(dim) * sizeof(float) * (size_t)pool_threads(c->pool);
    float *p = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    if (!p)
        return KN_ENOMEM;
    free(c->attn_scratch);
    c->attn_scratch = p, c->attn_dim = dim;
    return KN_OK;
}

void cpu_kv_free(struct kn_dev *d, struct kn_kv *kv)
{
    (void)d;
    free(((struct cpu_kv *)kv)->p);
    free(kv);
}

int cpu_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
               struct kn_kv **out)
{
    if (head_dim > ATTN_MAX_DIM)
        return KN_EUNSUP;
    struct cpu_kv *kv = calloc(1, sizeof *kv);
    if (!kv)
        return KN_ENOMEM;
    kv->kv = (struct kn_kv){n_layer, n_block, n_head_kv, head_dim, type};
    kv->dim = (head_dim + 15) & ~15;
    kv->tile_bytes = kn_row_bytes(type, (size_t)kv->dim) * KN_TILE;
    kv->block_bytes = kv->tile_bytes * 2 * (size_t)n_head_kv;
    const size_t blocks = (size_t)n_layer * (size_t)n_block;
    if (!reserve_scratch(cpu_dev(d), kv->dim) && kv->block_bytes <= SIZE_MAX / 2 / blocks)
        kv->p = calloc(blocks, kv->block_bytes);
    if (!kv->p) {
        cpu_kv_free(d, &kv->kv);
        return KN_ENOMEM;
    }
    *out = &kv->kv;
    return KN_OK;
}

int cpu_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block)
{
    const struct cpu_kv *c = (const struct cpu_kv *)kv;
    (void)d;
    for (int l = 0; l < kv->n_layer; l++)
        memmove(cpu_kv_tile(c, l, dst_block, 0, 0), cpu_kv_tile(c, l, src_block, 0, 0),
                c->block_bytes);
    return KN_OK;
}

void cpu_kv_store(const struct cpu_dev *c, const struct cpu_kv *kv, const struct cpu_batch *b,
                  int layer, int row, int head, const float *k, const float *v)
{
    const int pos = b->pos[row];
    const int block =
        b->blocks[(size_t)b->seq[row] * (size_t)b->b.max_blocks + (size_t)(pos / KN_TILE)];
    assert(block >= 0 && block < kv->kv.n_block);
    for (int which = 0; which < 2; which++)
        c->rows->kv_put(kv->kv.type, kv->kv.head_dim, which, pos % KN_TILE, which ? v : k,
                        cpu_kv_tile(kv, layer, block, which, head));
}
