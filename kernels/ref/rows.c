/* rows - embed: rows of a weight by token; take_out: the rows whose logits are wanted */
#include "ref/ref.h"
#include <assert.h>
#include <string.h>

int ref_embed(struct kn_dev *d, struct kn_at y_at, const struct kn_weight *w,
              const struct kn_batch *batch)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    float *y = ref_f32(d, y_at);
    for (int i = 0; i < batch->n_tok; i++) {
        assert(b->tok[i] < w->n);
        ref_weight_f32(w, b->tok[i], y + (size_t)i * (size_t)w->k);
    }
    return KN_OK;
}

int ref_take_out(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, int n,
                 const struct kn_batch *batch)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    for (int i = 0; i < batch->n_out; i++)
        memcpy(y + (size_t)i * (size_t)n, x + (size_t)b->out[i] * (size_t)n, (size_t)n * sizeof *y);
    return KN_OK;
}
