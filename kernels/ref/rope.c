/* rope - rotary position embedding, in place: (x0, x1) to (x0 c - x1 s, x1 c + x0 s) */
#include "ref/ref.h"

int ref_rope(struct kn_dev *d, struct kn_at x_at, const struct kn_attn *a, int n_head,
             const struct kn_batch *batch)
{
    const struct ref_batch *b = (const struct ref_batch *)batch;
    int rounded = ref_dev(d)->rounded, half = a->rope_dim / 2;
    for (int i = 0; i < batch->n_tok; i++) {
        const float *c = ref_f32(d, a->rope) + (size_t)b->rope[i] * (size_t)a->rope_dim;
        const float *s = c + half;
        for (int h = 0; h < n_head; h++) {
            float *x =
                ref_f32(d, x_at) + ((size_t)i * (size_t)n_head + (size_t)h) * (size_t)a->head_dim;
            for (int k = 0; k < half; k++) {
                float *p0 = a->rope_pairs ? &x[2 * k] : &x[k];
                float *p1 = a->rope_pairs ? &x[2 * k + 1] : &x[k + half];
                float x0 = *p0, x1 = *p1;
                if (rounded) {
                    *p0 = x0 * c[k] - x1 * s[k];
                    *p1 = x1 * c[k] + x0 * s[k];
                } else {
                    *p0 = (float)((double)x0 * c[k] - (double)x1 * s[k]);
                    *p1 = (float)((double)x1 * c[k] + (double)x0 * s[k]);
                }
            }
        }
    }
    return KN_OK;
}
