/* train_attn - causal attention inside packed documents, forward and backward, row by row
 *
 * With KN_MIXED the operands of products are rounded to bf16: scale q, k, v, dy, p, ds.
 * p_j = exp(scale q . k_j - lse), y = sum p_j v_j.  Backward: dv_j += p_j dy;
 * ds_j = p_j (dy . v_j - dy . y);  dq += scale ds_j k_j;  dk_j += scale ds_j q. */
#include "ref/ref_train.h"
#include <math.h>
#include <stdlib.h>

/* An operand of a product */
static double op(double x, int flags)
{
    return flags & KN_MIXED ? ref_bf16((float)x) : x;
}

/* (times a) . b */
static double dot(const float *a, const float *b, int n, float times, int flags)
{
    double s = 0;
    for (int i = 0; i < n; i++)
        s += op((double)times * a[i], flags) * op(b[i], flags);
    return s;
}

int ref_train_attn(struct kn_dev *d, struct kn_at y_at, struct kn_at lse_at, struct kn_at q_at,
                   struct kn_at k_at, struct kn_at v_at, struct kn_at doc_at,
                   const struct kn_attn *a, int t, int flags)
{
    float *y = ref_f32(d, y_at), *lse = ref_f32(d, lse_at);
    const float *q = ref_f32(d, q_at), *k = ref_f32(d, k_at), *v = ref_f32(d, v_at);
    const int32_t *doc = ref_i32(d, doc_at);
    int hd = a->head_dim, group = a->n_head / a->n_head_kv;
    size_t kv = (size_t)a->n_head_kv * hd;
    double *s = malloc(((size_t)t + (size_t)hd) * sizeof *s), *o = s + t;
    if (!s)
        return KN_ENOMEM;
    for (int i = 0; i < t; i++)
        for (int h = 0; h < a->n_head; h++) {
            size_t row = (size_t)i * a->n_head + h, at = (size_t)(h / group) * hd;
            double max = -INFINITY, sum = 0;
            for (int j = doc[i]; j <= i; j++) {
                s[j] = dot(q + row * hd, k + j * kv + at, hd, a->scale, flags);
                max = s[j] > max ? s[j] : max;
            }
            for (int c = 0; c < hd; c++)
                o[c] = 0;
            for (int j = doc[i]; j <= i; j++) {
                double p = exp(s[j] - max);
                sum += p;
                for (int c = 0; c < hd; c++)
                    o[c] += op(p, flags) * op(v[j * kv + at + c], flags);
            }
            for (int c = 0; c < hd; c++)
                y[row * hd + c] = (float)(o[c] / sum);
            lse[row] = (float)(max + log(sum));
        }
    free(s);
    return 0;
}

int ref_train_attn_bwd(struct kn_dev *d, struct kn_at dq_at, struct kn_at dk_at, struct kn_at dv_at,
                       struct kn_at dy_at, struct kn_at y_at, struct kn_at lse_at,
                       struct kn_at q_at, struct kn_at k_at, struct kn_at v_at, struct kn_at doc_at,
                       const struct kn_attn *a, int t, int flags)
{
    float *dq = ref_f32(d, dq_at), *dk = ref_f32(d, dk_at), *dv = ref_f32(d, dv_at);
    const float *dy = ref_f32(d, dy_at), *y = ref_f32(d, y_at), *lse = ref_f32(d, lse_at);
    const float *q = ref_f32(d, q_at), *k = ref_f32(d, k_at), *v = ref_f32(d, v_at);
    const int32_t *doc = ref_i32(d, doc_at);
    int hd = a->head_dim, group = a->n_head / a->n_head_kv;
    size_t kv = (size_t)a->n_head_kv * hd, n_kv = kv * t;
    double *sk = calloc(2 * n_kv + (size_t)hd, sizeof *sk), *sv = sk + n_kv, *sq = sv + n_kv;
    if (!sk)
        return KN_ENOMEM;
    for (int i = 0; i < t; i++)
        for (int h = 0; h < a->n_head; h++) {
            size_t row = (size_t)i * a->n_head + h, at = (size_t)(h / group) * hd;
            const float *qi = q + row * hd, *gi = dy + row * hd;
            double gy = dot(gi, y + row * hd, hd, 1, 0);
            for (int c = 0; c < hd; c++)
                sq[c] = 0;
            for (int j = doc[i]; j <= i; j++) {
                size_t o = j * kv + at;
                double p = exp(dot(qi, k + o, hd, a->scale, flags) - lse[row]);
                double ds = p * (dot(gi, v + o, hd, 1, flags) - gy);
                for (int c = 0; c < hd; c++) {
                    sv[o + c] += op(p, flags) * op(gi[c], flags);
                    sq[c] += a->scale * op(ds, flags) * op(k[o + c], flags);
                    sk[o + c] += op(ds, flags) * op((double)a->scale * qi[c], flags);
                }
            }
            for (int c = 0; c < hd; c++)
                dq[row * hd + c] = (float)sq[c];
        }
    for (size_t i = 0; i < n_kv; i++) {
        dk[i] = (float)sk[i];
        dv[i] = (float)sv[i];
    }
    free(sk);
    return 0;
}
