/* pick.h - passes over a row of logits for whoever chooses from it: the largest, exp, a search
 *
 * Plain functions on host memory, not calls of a device: the same bits on every path. */
#ifndef KN_PICK_H
#define KN_PICK_H

struct kn_pick {
    const char *path; /* "avx512" ... */
    /* The largest of x(n), n > 0; NaN if one is NaN. */
    float (*max)(int n, const float *x);
    /* The first i in [from, n) with x[i] >= t; n if there is none. No x is NaN. */
    int (*next)(const float *x, int from, int n, float t);
    /* w(n) = kn_exp((x - max) * scale) */
    void (*exps)(int n, const float *x, float max, float scale, float *w);
};
/* The fastest path of this machine, or the named one; NULL if it cannot run that. */
const struct kn_pick *kn_pick(const char *path);
#endif
