/* train_rows - what training does row by row or element by element: norm, RoPE, SwiGLU, loss */
#include "philox.h"
#include "ref/ref_train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* y = x r w with r = 1 / sqrt(mean(x^2) + eps) */
int ref_train_norm(struct kn_dev *d, struct kn_at y_at, struct kn_at rstd_at, struct kn_at x_at,
                   struct kn_at w_at, float eps, int m, int n)
{
    float *y = ref_f32(d, y_at), *rstd = ref_f32(d, rstd_at);
    const float *x = ref_f32(d, x_at), *w = ref_f32(d, w_at);
    for (int i = 0; i < m; i++, x += n, y += n) {
        double s = 0;
        for (int j = 0; j < n; j++)
            s += (double)x[j] * x[j];
        double r = 1 / sqrt(s / n + eps);
        rstd[i] = (float)r;
        for (int j = 0; j < n; j++)
            y[j] = (float)(x[j] * r * w[j]);
    }
    return 0;
}

/* With g = dy w:  dx = r g - r^3 x (g . x) / n;  dw += dy x r */
int ref_train_norm_bwd(struct kn_dev *d, struct kn_at dx_at, struct kn_at dw_at, struct kn_at dy_at,
                       struct kn_at x_at, struct kn_at w_at, struct kn_at rstd_at, int m, int n,
                       int flags)
{
    float *dx = ref_f32(d, dx_at), *dw = ref_f32(d, dw_at);
    const float *dy = ref_f32(d, dy_at), *x = ref_f32(d, x_at), *w = ref_f32(d, w_at);
    const float *rstd = ref_f32(d, rstd_at);
    for (int j = 0; dw && j < n; j++) {
        double s = 0;
        for (int i = 0; i < m; i++)
            s += (double)dy[(size_t)i * n + j] * x[(size_t)i * n + j] * rstd[i];
        dw[j] = (float)(dw[j] + s);
    }
    for (int i = 0; i < m; i++, x += n, dy += n, dx += n) {
        double r = rstd[i], dot = 0;
        for (int j = 0; j < n; j++)
            dot += (double)dy[j] * w[j] * x[j];
        for (int j = 0; j < n; j++) {
            double v = r * dy[j] * w[j] - r * r * r * x[j] * dot / n;
            dx[j] = (float)(flags & KN_ADD ? dx[j] + v : v);
        }
    }
    return 0;
}

/* (u, v) -> (u c - v s, v c + u s); the backward is the inverse rotation: s negated */
int ref_train_rope(struct kn_dev *d, struct kn_at x_at, struct kn_at table_at, struct kn_at doc_at,
                   int t, int n_head, int head_dim, int rope_dim, int pairs, int sign)
{
    float *x = ref_f32(d, x_at);
    const float *table = ref_f32(d, table_at);
    const int32_t *doc = ref_i32(d, doc_at);
    int half = rope_dim / 2;
    for (int i = 0; i < t; i++) {
        const float *cs = table + (size_t)(i - doc[i]) * rope_dim;
        for (int h = 0; h < n_head; h++, x += head_dim)
            for (int k = 0; k < half; k++) {
                float *u = pairs ? x + 2 * k : x + k, *v = pairs ? u + 1 : u + half;
                double c = cs[k], s = sign * (double)cs[half + k], a = *u, b = *v;
                *u = (float)(a * c - b * s);
                *v = (float)(b * c + a * s);
            }
    }
    return 0;
}

/* y = g s(g) u, s the sigmoid:  du = dy g s(g);  dg = dy u s(g) (1 + g (1 - s(g))) */
int ref_train_swiglu_bwd(struct kn_dev *d, struct kn_at dgate_at, struct kn_at dup_at,
                         struct kn_at dy_at, struct kn_at gate_at, struct kn_at up_at, size_t n)
{
    float *dgate = ref_f32(d, dgate_at), *dup = ref_f32(d, dup_at);
    const float *dy = ref_f32(d, dy_at), *gate = ref_f32(d, gate_at), *up = ref_f32(d, up_at);
    for (size_t i = 0; i < n; i++) {
        double g = gate[i], u = up[i], s = 1 / (1 + exp(-g)), dv = dy[i];
        dgate[i] = (float)(dv * u * s * (1 + g * (1 - s)));
        dup[i] = (float)(dv * g * s);
    }
    return 0;
}

/* loss = log sum exp(logits) - logits[label];  gradient scale (softmax - onehot) */
int ref_train_xent(struct kn_dev *d, struct kn_at loss_at, struct kn_at logits_at,
                   struct kn_at label_at, float scale, int m, int n, int want_grad)
{
    float *loss = ref_f32(d, loss_at), *z = ref_f32(d, logits_at);
    const int32_t *label = ref_i32(d, label_at);
    for (int i = 0; i < m; i++, z += n) {
        loss[i] = 0;
        if (label[i] < 0) {
            if (want_grad)
                memset(z, 0, (size_t)n * sizeof *z);
            continue;
        }
        double max = z[0], sum = 0;
        for (int j = 1; j < n; j++)
            max = z[j] > max ? z[j] : max;
        for (int j = 0; j < n; j++)
            sum += exp(z[j] - max);
        loss[i] = (float)(log(sum) + max - z[label[i]]);
        for (int j = 0; want_grad && j < n; j++)
            z[j] = (float)(scale * (exp(z[j] - max) / sum - (j == label[i])));
    }
    return 0;
}

int ref_train_fill(struct kn_dev *d, struct kn_at y_at, float value, size_t n)
{
    float *y = ref_f32(d, y_at);
    for (size_t i = 0; i < n; i++)
        y[i] = value;
    return 0;
}

int ref_train_axpy(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, float alpha, size_t n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(y[i] + (double)alpha * x[i]);
    return 0;
}

int ref_train_dropout(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, float p,
                      uint64_t seed, uint64_t counter, size_t n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    float keep = 1 / (1 - p);
    for (size_t i = 0; i < n; i++)
        y[i] = kn_philox_f32(seed, counter + i) >= p ? x[i] * keep : 0;
    return 0;
}

int ref_train_rows_get(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at idx_at,
                       int m, int n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    const int32_t *idx = ref_i32(d, idx_at);
    for (int i = 0; i < m; i++)
        memcpy(y + (size_t)i * n, x + (size_t)idx[i] * n, (size_t)n * sizeof *y);
    return 0;
}

int ref_train_rows_put(struct kn_dev *d, struct kn_at y_at, struct kn_at x_at, struct kn_at idx_at,
                       int m, int n)
{
    float *y = ref_f32(d, y_at);
    const float *x = ref_f32(d, x_at);
    const int32_t *idx = ref_i32(d, idx_at);
    for (int i = 0; i < m; i++)
        memcpy(y + (size_t)idx[i] * n, x + (size_t)i * n, (size_t)n * sizeof *y);
    return 0;
}

int ref_train_sumsq(struct kn_dev *d, struct kn_at out_at, struct kn_at x_at, size_t n)
{
    const float *x = ref_f32(d, x_at);
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * x[i];
    memcpy(ref_f32(d, out_at), &s, sizeof s);
    return 0;
}

/* m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
 * w -= lr (wd w + (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)) */
int ref_train_adamw(struct kn_dev *d, struct kn_at w_at, struct kn_at g_at, struct kn_at m_at,
                    struct kn_at v_at, size_t n, const struct kn_adamw *h)
{
    float *w = ref_f32(d, w_at), *m = ref_f32(d, m_at), *v = ref_f32(d, v_at);
    const float *g = ref_f32(d, g_at);
    double c1 = 1 - pow(h->beta1, (double)h->t), c2 = 1 - pow(h->beta2, (double)h->t);
    for (size_t i = 0; i < n; i++) {
        double gi = (double)h->grad_scale * g[i];
        double mi = h->beta1 * (double)m[i] + (1 - (double)h->beta1) * gi;
        double vi = h->beta2 * (double)v[i] + (1 - (double)h->beta2) * gi * gi;
        double step = mi / c1 / (sqrt(vi / c2) + h->eps);
        m[i] = (float)mi;
        v[i] = (float)vi;
        w[i] = (float)(w[i] - h->lr * (h->weight_decay * (double)w[i] + step));
    }
    return 0;
}
