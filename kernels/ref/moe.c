/* moe - routing of a mixture of experts, and its rows taken out and added back */
#include "experts.h"
#include "ref/ref.h"
#include <string.h>

int ref_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                  int n_expert, int top_k, int normalize)
{
    for (size_t r = 0; r < (size_t)m; r++)
        kn_route_row(ref_f32(d, logits) + r * (size_t)n_expert, ref_i32(d, ids) + r * (size_t)top_k,
                     ref_f32(d, p) + r * (size_t)top_k, n_expert, top_k, normalize);
    return KN_OK;
}

int ref_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n)
{
    for (int i = 0; i < m; i++)
        memcpy(ref_f32(d, y) + (size_t)i * (size_t)n,
               ref_f32(d, x) + (size_t)ref_i32(d, rows)[i] * (size_t)n, (size_t)n * sizeof(float));
    return KN_OK;
}

int ref_add_rows(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at rows,
                 struct kn_at p_at, float s, int m, int n)
{
    const int rounded = ref_dev(d)->rounded;
    const int32_t *row = ref_i32(d, rows);
    const float *p = ref_f32(d, p_at);
    for (int i = 0; i < m; i++) {
        float *y = ref_f32(d, y_at) + (size_t)(row ? row[i] : i) * (size_t)n;
        const float *x = ref_f32(d, x_at) + (size_t)i * (size_t)n, w = p ? p[i] : s;
        for (int j = 0; j < n; j++)
            y[j] = rounded ? y[j] + w * x[j] : (float)(y[j] + (double)w * x[j]);
    }
    return KN_OK;
}
