/* norm - RMSNorm: y = (x / sqrt(mean(x^2) + eps)) * w; LayerNorm; and the 16-lane dot product of R3 */
#include "ref/ref.h"
#include <math.h>

float ref_dot16(const float *a, const float *b, int n)
{
    float lane[16] = {0};
    for (int i = 0; i < n; i++)
        lane[i % 16] = fmaf(a[i], b[i], lane[i % 16]);
    return ref_fold16(lane);
}

static void norm_double(float *y, const float *x, const float *w, float eps, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    double r = 1 / sqrt(sum / n + eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)(x[i] * r * w[i]);
}

static void norm_float(float *y, const float *x, const float *w, float eps, int n)
{
    float r = 1.0f / sqrtf(ref_dot16(x, x, n) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = x[i] * r * w[i];
}

int ref_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                 int n)
{
    for (int i = 0; i < m; i++) {
        size_t off = (size_t)i * (size_t)n;
        (ref_dev(d)->rounded ? norm_float : norm_double)(ref_f32(d, y) + off, ref_f32(d, x) + off,
                                                         ref_f32(d, w), eps, n);
    }
    return KN_OK;
}

static void layer_double(float *y, const float *x, const float *w, const float *bias, float eps,
                         int n)
{
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    for (int i = 0; i < n; i++)
        square += (x[i] - sum / n) * (x[i] - sum / n);
    double mean = sum / n, r = 1 / sqrt(square / n + eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)((x[i] - mean) * r * w[i] + bias[i]);
}

static void layer_float(float *y, const float *x, const float *w, const float *bias, float eps,
                        int n)
{
    float sum[16] = {0}, square[16] = {0};
    for (int i = 0; i < n; i++)
        sum[i % 16] += x[i];
    const float mean = ref_fold16(sum) / (float)n;
    for (int i = 0; i < n; i++)
        square[i % 16] = fmaf(x[i] - mean, x[i] - mean, square[i % 16]);
    const float r = 1.0f / sqrtf(ref_fold16(square) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = (x[i] - mean) * r * w[i] + bias[i];
}

int ref_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                   struct kn_at bias, float eps, int m, int n)
{
    for (int i = 0; i < m; i++) {
        size_t off = (size_t)i * (size_t)n;
        (ref_dev(d)->rounded ? layer_float : layer_double)(ref_f32(d, y) + off, ref_f32(d, x) + off,
                                                           ref_f32(d, w), ref_f32(d, bias), eps, n);
    }
    return KN_OK;
}
