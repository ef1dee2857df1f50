/* train_dora - DoRA: the norms of an adapted weight's rows, and columns scaled by magnitude / norm */
#include "ref/ref_train.h"
#include <math.h>
#include <stdlib.h>

/* norm_j = |w_j + alpha b_j a| */
int ref_train_row_norm(struct kn_dev *d, struct kn_at norm_at, const struct kn_weight *w,
                       struct kn_at a_at, struct kn_at b_at, float alpha, int r)
{
    float *norm = ref_f32(d, norm_at), *row = malloc((size_t)w->k * sizeof *row);
    const float *a = ref_f32(d, a_at), *b = ref_f32(d, b_at);
    if (!row)
        return KN_ENOMEM;
    for (int j = 0; j < w->n; j++) {
        double sum = 0;
        ref_weight_f32(w, j, row);
        for (int p = 0; p < w->k; p++) {
            double delta = 0;
            for (int i = 0; a && i < r; i++)
                delta += (double)b[(size_t)j * r + i] * a[(size_t)i * w->k + p];
            double v = row[p] + alpha * delta;
            sum += v * v;
        }
        norm[j] = (float)sqrt(sum);
    }
    free(row);
    return 0;
}

int ref_train_dora(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at mag_at,
                   struct kn_at norm_at, struct kn_at bias_at, int m, int n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at), *mag = ref_f32(d, mag_at), *norm = ref_f32(d, norm_at);
    const float *bias = ref_f32(d, bias_at);
    for (int i = 0; i < m; i++, x += n, y += n)
        for (int j = 0; j < n; j++)
            y[j] = (float)(x[j] * ((double)mag[j] / norm[j]) + (bias ? bias[j] : 0));
    return 0;
}

int ref_train_dora_bwd(struct kn_dev *d, struct kn_at dmag_at, struct kn_at dy_at,
                       struct kn_at x_at, struct kn_at norm_at, int m, int n)
{
    float *dmag = ref_f32(d, dmag_at);
    const float *dy = ref_f32(d, dy_at), *x = ref_f32(d, x_at), *norm = ref_f32(d, norm_at);
    for (int j = 0; j < n; j++) {
        double s = 0;
        for (int i = 0; i < m; i++)
            s += (double)dy[(size_t)i * n + j] * x[(size_t)i * n + j];
        dmag[j] = (float)(dmag[j] + s / norm[j]);
    }
    return 0;
}
