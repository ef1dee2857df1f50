/* top - what comes first in a row of logits, and its mass: the definition that a device must meet */
#include "kernels.h"
#include "poly.h"
#include <assert.h>
#include <math.h>
#include <string.h>

static int before(struct kn_cand a, struct kn_cand b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static double mass(const float *x, int n, float max)
{
    double lane[KN_TOP_LANES] = {0};
    for (int i = 0; i < n; i++)
        lane[i % KN_TOP_LANES] += kn_exp(x[i] - max);
    for (int half = KN_TOP_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static void top_row(struct kn_top *t, const float *x, int n, int k, int flags)
{
    *t = (struct kn_top){0};
    for (int i = 0; i < n; i++) {
        const struct kn_cand c = {x[i], i};
        int at = t->n;
        t->nan |= isnan(x[i]);
        if (t->n < k)
            t->n++;
        else if (before(c, t->cand[k - 1]))
            at = k - 1;
        else
            continue;
        for (; at > 0 && before(c, t->cand[at - 1]); at--)
            t->cand[at] = t->cand[at - 1];
        t->cand[at] = c;
    }
    if (flags & KN_TOP_MASS && !t->nan)
        t->mass = mass(x, n, t->cand[0].logit);
}

int kn_top(struct kn_dev *d, struct kn_at top, struct kn_at logits, int m, int n, int n_real, int k,
           int flags)
{
    assert(m >= 0 && n_real > 0 && n_real <= n && k > 0 && k <= KN_TOP_MOST);
    const int rc = d->ops->top ? d->ops->top(d, top, logits, m, n, n_real, k, flags) : KN_EUNSUP;
    struct kn_top *t = rc == KN_EUNSUP ? kn_host(d, top) : NULL;
    const float *x = t ? kn_host(d, logits) : NULL;
    if (!x)
        return rc;
    const int err = kn_sync(d);
    for (int i = 0; i < m && err == KN_OK; i++)
        top_row(t + i, x + (size_t)i * (size_t)n, n_real, k, flags);
    return err;
}
