/* train_moment - AdamW and momentum over moments of any kind, T4 to T6 of train.h one element after another */
#include "moment.h"
#include "ref/ref_train.h"
#include <math.h>

enum { BLOCK = KN_MOMENT_BLOCK };

static void step(float *w, float g, float *m, float *v, const float *c)
{
    g *= c[7];
    *m = fmaf(c[1], *m, c[2] * g);
    *v = fmaf(c[3], *v, c[4] * g * g);
    *w -= c[6] * *w;
    *w -= c[0] * (*m * c[8] / (sqrtf(*v * c[9]) + c[5]));
}

int ref_train_adamw_small(struct kn_dev *d, struct kn_at w_at, struct kn_at g_at, struct kn_at m_at,
                          struct kn_at v_at, size_t n, const struct kn_adamw *h)
{
    float *w = ref_f32(d, w_at), c[10], m[BLOCK], v[BLOCK];
    const float *g = ref_f32(d, g_at);
    char *pm = (char *)ref_f32(d, m_at), *pv = (char *)ref_f32(d, v_at);
    kn_adamw_factors(h, c);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t len = n - i < BLOCK ? n - i : BLOCK, at = kn_moment_bytes(h->moment, i);
        uint32_t draw[BLOCK];
        kn_moment_load(h->moment, 1, pm + at, m, len);
        kn_moment_load(h->moment, 0, pv + at, v, len);
        for (size_t k = 0; k < len; k++)
            step(&w[i + k], g[i + k], &m[k], &v[k], c);
        kn_moment_draws(h, h->first + i, draw, len);
        kn_moment_store(h->moment, 1, pm + at, m, len, draw);
        kn_moment_store(h->moment, 0, pv + at, v, len, draw);
    }
    return 0;
}

int ref_train_momentum(struct kn_dev *d, struct kn_at out_at, struct kn_at m_at, struct kn_at g_at,
                       size_t n, const struct kn_adamw *h)
{
    float *out = ref_f32(d, out_at), m[BLOCK];
    const float *g = ref_f32(d, g_at);
    char *pm = (char *)ref_f32(d, m_at);
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t len = n - i < BLOCK ? n - i : BLOCK, at = kn_moment_bytes(h->moment, i);
        uint32_t draw[BLOCK];
        kn_moment_load(h->moment, 1, pm + at, m, len);
        for (size_t k = 0; k < len; k++) {
            const float gi = h->grad_scale * g[i + k];
            m[k] = fmaf(h->beta1, m[k], gi);
            out[i + k] = fmaf(h->beta1, m[k], gi);
        }
        kn_moment_draws(h, h->first + i, draw, len);
        kn_moment_store(h->moment, 1, pm + at, m, len, draw);
    }
    return 0;
}
