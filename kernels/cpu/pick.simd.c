/* pick.simd.c - passes over a row of logits: see pick.h */
#include "../pick.h"
#include "simd.h"

static float pick_max(int n, const float *x)
{
    const vi abs = vi_set1(0x7fffffff), inf = vi_set1(0x7f800000);
    vf m = vf_set1(-INFINITY);
    vi bad = vi_zero(); /* negative lanes: a NaN was there */
    int32_t lane[16];
    int i = 0, any = 0;
    for (; i + 16 <= n; i += 16) {
        const vf v = vf_load(x + i);
        m = vf_max(v, m); /* a NaN on the left gives m */
        bad = vi_or(bad, vi_sub(inf, vi_and(vf_bits(v), abs)));
    }
    float best = vf_hmax(m);
    for (; i < n; i++) {
        best = x[i] > best ? x[i] : best;
        any |= x[i] != x[i];
    }
    vi_store(lane, bad);
    for (i = 0; i < 16; i++)
        any |= lane[i] < 0;
    return any ? NAN : best;
}

static int pick_next(const float *x, int from, int n, float t)
{
    int i = from;
    for (; i + 64 <= n; i += 64) {
        const vf a = vf_max(vf_load(x + i), vf_load(x + i + 16));
        const vf b = vf_max(vf_load(x + i + 32), vf_load(x + i + 48));
        if (vf_hmax(vf_max(a, b)) >= t)
            break;
    }
    while (i < n && !(x[i] >= t))
        i++;
    return i;
}

static void pick_exps(int n, const float *x, float max, float scale, float *w)
{
    const vf m = vf_set1(max), s = vf_set1(scale);
    int i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(w + i, vf_exp(vf_mul(vf_sub(vf_load(x + i), m), s)));
    if (i < n)
        vf_store_n(w + i, vf_exp(vf_mul(vf_sub(vf_load_n(x + i, n - i), m), s)), n - i);
}

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)
extern const struct kn_pick FN(pick);
const struct kn_pick FN(pick) = {TEXT(ISA), pick_max, pick_next, pick_exps};
