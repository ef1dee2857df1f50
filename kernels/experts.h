/* experts.h - one row of a mixture's routing: softmax, the top_k experts by ascending id, their weights
 *
 * All f32 on every device: which expert is chosen is part of the result.  The softmax sum follows R3. */
#ifndef KN_EXPERTS_H
#define KN_EXPERTS_H
#include "poly.h"

KN_INLINE float kn_route_fold(float lane[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

/* does expert e come before all but top_k - 1 of the others? Ties go to the lower id. */
KN_INLINE int kn_route_top(const float *x, int n, int e, int top_k)
{
    int before = 0;
    for (int i = 0; i < n; i++)
        before += x[i] > x[e] || (x[i] == x[e] && i < e);
    return before < top_k;
}

/* x(n_expert) to ids and p (top_k) */
KN_INLINE void kn_route_row(const float *x, int32_t *ids, float *p, int n_expert, int top_k,
                            int normalize)
{
    float max = x[0], lane[16] = {0}, kept[16] = {0};
    for (int i = 1; i < n_expert; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n_expert; i++)
        lane[i % 16] += kn_exp(x[i] - max);
    const float sum = kn_route_fold(lane);
    int n = 0;
    for (int i = 0; i < n_expert && n < top_k; i++)
        if (kn_route_top(x, n_expert, i, top_k)) {
            ids[n] = i;
            p[n++] = kn_exp(x[i] - max) / sum;
        }
    for (int i = 0; i < n; i++)
        kept[i % 16] += p[i];
    const float total = kn_route_fold(kept);
    for (int i = 0; i < n && normalize; i++)
        p[i] /= total;
}
#endif
