/* moe - routing of a mixture of experts: softmax, the top_k experts by ascending id, their weights
 *
 * All f32 on both devices: which expert is chosen is part of the result.  The softmax sum follows
 * R3. */
#include "poly.h"
#include "ref/ref.h"

/* does expert e, of weight p[e], come before every expert but top_k - 1? Ties go to the lower id.
 */
static int among_top(const float *x, int n, int e, int top_k)
{
    int before = 0;
    for (int i = 0; i < n; i++)
        before += x[i] > x[e] || (x[i] == x[e] && i < e);
    return before < top_k;
}

int ref_moe_route(struct kn_dev *d, struct kn_at ids_at, struct kn_at p_at, struct kn_at logits_at,
                  int m, int n_expert, int top_k, int normalize)
{
    for (int r = 0; r < m; r++) {
        const float *x = ref_f32(d, logits_at) + (size_t)r * (size_t)n_expert;
        float *p = ref_f32(d, p_at) + (size_t)r * (size_t)top_k;
        int32_t *ids = ref_i32(d, ids_at) + (size_t)r * (size_t)top_k;
        float max = x[0], lane[16] = {0}, kept[16] = {0};
        for (int i = 1; i < n_expert; i++)
            max = x[i] > max ? x[i] : max;
        for (int i = 0; i < n_expert; i++)
            lane[i % 16] += kn_exp(x[i] - max);
        float sum = ref_fold16(lane);
        int n = 0;
        for (int i = 0; i < n_expert && n < top_k; i++)
            if (among_top(x, n_expert, i, top_k)) {
                ids[n] = i;
                p[n++] = kn_exp(x[i] - max) / sum;
            }
        for (int i = 0; i < n; i++)
            kept[i % 16] += p[i];
        float total = ref_fold16(kept);
        for (int i = 0; i < n && normalize; i++)
            p[i] /= total;
    }
    return KN_OK;
}
