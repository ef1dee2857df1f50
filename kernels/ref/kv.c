/* kv - the paged cache: make, copy a block, write rows */
#include "ref/ref.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t line_bytes(const struct kn_kv *kv)
{
    return kn_row_bytes(kv->type, (size_t)kv->n_head_kv * (size_t)kv->head_dim);
}

static size_t block_bytes(const struct kn_kv *kv)
{
    return 2 * KN_TILE * line_bytes(kv);
}

int ref_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
               struct kn_kv **out)
{
    struct ref_kv *kv = calloc(1, sizeof *kv);
    (void)d;
    if (!kv)
        return KN_ENOMEM;
    kv->kv = (struct kn_kv){n_layer, n_block, n_head_kv, head_dim, type};
    size_t n = (size_t)n_layer * (size_t)n_block;
    kv->p = block_bytes(&kv->kv) <= SIZE_MAX / n ? calloc(n, block_bytes(&kv->kv)) : NULL;
    if (!kv->p) {
        free(kv);
        return KN_ENOMEM;
    }
    *out = &kv->kv;
    return KN_OK;
}

void ref_kv_free(struct kn_dev *d, struct kn_kv *kv)
{
    (void)d;
    free(((struct ref_kv *)kv)->p);
    free(kv);
}

int ref_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block)
{
    size_t bytes = block_bytes(kv);
    (void)d;
    for (int l = 0; l < kv->n_layer; l++) {
        char *layer = ((struct ref_kv *)kv)->p + (size_t)l * (size_t)kv->n_block * bytes;
        memmove(layer + (size_t)dst_block * bytes, layer + (size_t)src_block * bytes, bytes);
    }
    return KN_OK;
}

void *ref_kv_at(const struct kn_kv *kv, int layer, const struct kn_batch *batch, int s, int p,
                int which)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    int block = b->blocks[(size_t)s * (size_t)batch->max_blocks + (size_t)(p / KN_TILE)];
    assert(block >= 0 && block < kv->n_block);
    size_t line =
        (((size_t)layer * (size_t)kv->n_block + (size_t)block) * 2 + (size_t)which) * KN_TILE +
        (size_t)(p % KN_TILE);
    return ((const struct ref_kv *)kv)->p + line * line_bytes(kv);
}

int ref_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                 const struct kn_batch *batch)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    size_t width = (size_t)kv->n_head_kv * (size_t)kv->head_dim;
    for (int i = 0; i < batch->n_tok; i++)
        for (int which = 0; which < 2; which++) {
            const float *src = ref_f32(d, which ? v : k) + (size_t)i * width;
            void *dst = ref_kv_at(kv, layer, batch, b->seq[i], b->pos[i], which);
            kn_quantize(kv->type, src, dst, width);
        }
    return KN_OK;
}
