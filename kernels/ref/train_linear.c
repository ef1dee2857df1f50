/* train_linear - products of training: y = x W^T + b, dx = dy W, and c = alpha op(a) op(b); an embedding and biases */
#include "ref/ref_train.h"
#include <stdlib.h>

static void put(float *y, double v, int flags)
{
    *y = flags & KN_ADD ? (float)((double)*y + v) : (float)v;
}

int ref_train_linear(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at,
                     const struct kn_weight *w, struct kn_at bias_at, int m, int flags)
{
    float *y = ref_f32(d, y_at), *row = malloc((size_t)w->k * sizeof *row);
    const float *x = ref_f32(d, x_at), *bias = ref_f32(d, bias_at);
    if (!row)
        return KN_ENOMEM;
    for (int j = 0; j < w->n; j++) {
        ref_weight_f32(w, j, row);
        for (int i = 0; i < m; i++) {
            double s = bias ? bias[j] : 0;
            for (int p = 0; p < w->k; p++)
                s += (double)x[(size_t)i * w->k + p] * row[p];
            put(&y[(size_t)i * w->n + j], s, flags);
        }
    }
    free(row);
    return 0;
}

/* dx(i, :) = sum over j of dy(i, j) * w(j, :) */
int ref_train_linear_bwd(struct kn_dev *d, struct kn_at dx_at, struct kn_at dy_at,
                         const struct kn_weight *w, int m, int flags)
{
    float *dx = ref_f32(d, dx_at), *row = malloc((size_t)w->k * sizeof *row);
    const float *dy = ref_f32(d, dy_at);
    size_t n = (size_t)m * w->k;
    double *sum = calloc(n, sizeof *sum);
    for (int j = 0; row && sum && j < w->n; j++) {
        ref_weight_f32(w, j, row);
        for (int i = 0; i < m; i++)
            for (int p = 0; p < w->k; p++)
                sum[(size_t)i * w->k + p] += (double)dy[(size_t)i * w->n + j] * row[p];
    }
    for (size_t i = 0; row && sum && i < n; i++)
        put(&dx[i], sum[i], flags);
    int err = row && sum ? KN_OK : KN_ENOMEM;
    free(row);
    free(sum);
    return err;
}

int ref_train_gemm(struct kn_dev *d, struct kn_at c_at, struct kn_at a_at, struct kn_at b_at,
                   float alpha, int m, int n, int k, int flags)
{
    float *c = ref_f32(d, c_at);
    const float *a = ref_f32(d, a_at), *b = ref_f32(d, b_at);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int p = 0; p < k; p++) {
                float av = flags & KN_TA ? a[(size_t)p * m + i] : a[(size_t)i * k + p];
                float bv = flags & KN_TB ? b[(size_t)j * k + p] : b[(size_t)p * n + j];
                s += (double)av * bv;
            }
            put(&c[(size_t)i * n + j], alpha * s, flags);
        }
    return 0;
}

int ref_train_embed(struct kn_dev *d, struct kn_at y_at, const struct kn_weight *w,
                    struct kn_at ids_at, int m)
{
    float *y = ref_f32(d, y_at);
    const int32_t *ids = ref_i32(d, ids_at);
    for (int i = 0; i < m; i++)
        ref_weight_f32(w, ids[i], y + (size_t)i * w->k);
    return 0;
}

/* Each id's rows are summed where it occurs first. */
int ref_train_embed_bwd(struct kn_dev *d, struct kn_at dw_at, struct kn_at dy_at,
                        struct kn_at ids_at, int m, int n)
{
    float *dw = ref_f32(d, dw_at);
    const float *dy = ref_f32(d, dy_at);
    const int32_t *ids = ref_i32(d, ids_at);
    for (int i = 0; i < m; i++) {
        int first = 1;
        for (int q = 0; first && q < i; q++)
            first = ids[q] != ids[i];
        for (int j = 0; first && j < n; j++) {
            double s = 0;
            for (int q = i; q < m; q++)
                s += ids[q] == ids[i] ? dy[(size_t)q * n + j] : 0;
            put(&dw[(size_t)ids[i] * n + j], s, KN_ADD);
        }
    }
    return 0;
}

int ref_train_sum_rows(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, int m, int n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    for (int j = 0; j < n; j++) {
        double s = 0;
        for (int i = 0; i < m; i++)
            s += x[(size_t)i * n + j];
        put(&y[j], s, KN_ADD);
    }
    return 0;
}
