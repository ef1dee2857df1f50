/* quantize_search.h - scales of sixteen groups at once, each lane in GGML's own order of operations
 *
 * Byte parity with ggml-quants.c rests on the order of every sum and on separate multiplications and
 * additions.  So nothing is summed across lanes: lane g holds group g, element i of all groups is one
 * vector, and each lane does what the scalar code does for its group.  (make_qx_quants, make_q3_quants,
 * make_qkx2_quants, make_qkx3_quants, quantize_row_iq4_nl_impl of ggml-quants.c.) */
#include "simd_mask.h"

#include <math.h>

/* Groups whose largest magnitude is below this are zero (GROUP_MAX_EPS of ggml-quants.c). */
#define GROUP_MAX_EPS 1e-15f

struct lanes {
    float x[32][16], w[32][16]; /* values and weights: element, group */
    float wx[32][16];           /* w * x, of search_signed */
    float t[32][16];            /* codes of a trial */
};
/* What a search found: value = scale * code + min, code = nearest(iscale * (value - from)). */
struct found {
    vf scale, min, iscale, from;
};

/* nearest_int of GGML and a clamp: x + 1.5 * 2^23 leaves the rounded x in the low bits.  Beyond 2^22
 * those bits wrap around; `wild` says that this may happen and must happen as it does there. */
INLINE vf nearest(vf x, float lo, float hi, int wild)
{
    const vf magic = vf_set1(12582912.f);
    vf l = vf_add(x, magic);
    if (wild)
        l = vi_to_float(vi_sub(vi_and(vf_bits(l), vi_set1(0x7fffff)), vi_set1(0x400000)));
    else
        l = vf_sub(l, magic);
    return vf_max(vf_set1(lo), vf_min(vf_set1(hi), l));
}

/* Is |iscale| * range beyond what nearest() holds, or not a number, in some lane? */
INLINE int is_wild(vf iscale, vf range)
{
    return !vm_all(vm_ge(vf_set1(4e6f), vf_mul(vf_abs(iscale), range)));
}

/* The element of the largest magnitude with its sign, the first one wins; *amax its magnitude. */
INLINE vf largest(const int n, const struct lanes *s, vf *amax)
{
    vf max = vf_zero();
    *amax = vf_zero();
    for (int i = 0; i < n; i++) {
        const vf x = vf_load(s->x[i]), ax = vf_abs(x);
        const vm more = vm_gt(ax, *amax);
        *amax = vf_pick(more, ax, *amax);
        max = vf_pick(more, x, max);
    }
    return max;
}

/* ---- a scale and a minimum: codes 0..nmax (make_qkx2_quants, make_qkx3_quants) ---- */

struct sums {
    vf l, l2, xl;
};

INLINE struct sums minmax_sums(const int n, const float nmax, struct lanes *s, vf iscale, vf min,
                               const int wild)
{
    struct sums a = {vf_zero(), vf_zero(), vf_zero()};
    for (int i = 0; i < n; i++) {
        const vf x = vf_load(s->x[i]), w = vf_load(s->w[i]);
        const vf l = nearest(vf_mul(iscale, vf_sub(x, min)), 0, nmax, wild), wl = vf_mul(w, l);
        vf_store(s->t[i], l);
        a.l = vf_add(a.l, wl);
        a.l2 = vf_add(a.l2, vf_mul(wl, l));
        a.xl = vf_add(a.xl, vf_mul(wl, x));
    }
    return a;
}

/* of the codes in s->t: sum of w * (scale * code + min - x)^2, or of the magnitudes (mad) */
INLINE vf minmax_error(const int n, const struct lanes *s, vf scale, vf min, const int mad)
{
    vf sum = vf_zero();
    for (int i = 0; i < n; i++) {
        vf d = vf_sub(vf_add(vf_mul(scale, vf_load(s->t[i])), min), vf_load(s->x[i]));
        d = mad ? vf_abs(d) : vf_mul(d, d);
        sum = vf_add(sum, vf_mul(vf_load(s->w[i]), d));
    }
    return sum;
}

/* nstep + 1 trial scales, for each the best scale and minimum by least squares.  As in GGML an
 * improvement replaces `min`, and later trials start from the new one. */
INLINE struct found search_minmax(const int n, const float nmax, struct lanes *s, float rmin,
                                  float rdelta, int nstep, const int mad)
{
    const vf zero = vf_zero(), x0 = vf_load(s->x[0]), w0 = vf_load(s->w[0]);
    vf min = x0, max = x0, sum_w = w0, sum_x = vf_mul(w0, x0), reach = vf_abs(x0);
    for (int i = 1; i < n; i++) {
        const vf x = vf_load(s->x[i]), w = vf_load(s->w[i]);
        min = vf_min(x, min);
        max = vf_max(x, max);
        reach = vf_max(vf_abs(x), reach);
        sum_w = vf_add(sum_w, w);
        sum_x = vf_add(sum_x, vf_mul(w, x));
    }
    min = vf_pick(vm_gt(min, zero), zero, min);
    const vm some = vm_gt(max, min);
    const vf first_min = min;
    max = vf_pick(some, max, vf_add(min, vf_set1(1))); /* a flat lane: anything but 0 / 0 */
    vf iscale = vf_div(vf_set1(nmax), vf_sub(max, min));
    struct found f = {vf_div(vf_set1(1), iscale), min, iscale, min};
    if (is_wild(iscale, vf_add(reach, vf_abs(min))))
        minmax_sums(n, nmax, s, iscale, min, 1);
    else
        minmax_sums(n, nmax, s, iscale, min, 0);
    vf best = minmax_error(n, s, f.scale, min, mad);
    for (int step = 0; step <= nstep; step++) {
        iscale = vf_div(vf_set1(rmin + rdelta * (float)step + nmax), vf_sub(max, f.min));
        const struct sums a = is_wild(iscale, vf_add(reach, vf_abs(f.min)))
                                  ? minmax_sums(n, nmax, s, iscale, f.min, 1)
                                  : minmax_sums(n, nmax, s, iscale, f.min, 0);
        const vf det = vf_sub(vf_mul(sum_w, a.l2), vf_mul(a.l, a.l));
        vf scale = vf_div(vf_sub(vf_mul(sum_w, a.xl), vf_mul(sum_x, a.l)), det);
        vf low = vf_div(vf_sub(vf_mul(a.l2, sum_x), vf_mul(a.l, a.xl)), det);
        const vm above = vm_gt(low, zero);
        scale = vf_pick(above, vf_div(a.xl, a.l2), scale);
        low = vf_pick(above, zero, low);
        const vf error = minmax_error(n, s, scale, low, mad);
        const vm better = vm_and(vm_gt(det, zero), vm_gt(best, error));
        if (!vm_any(better))
            continue;
        best = vf_pick(better, error, best);
        f.from = vf_pick(better, f.min, f.from);
        f.iscale = vf_pick(better, iscale, f.iscale);
        f.scale = vf_pick(better, scale, f.scale);
        f.min = vf_pick(better, low, f.min);
    }
    f.scale = vf_keep(some, f.scale);
    f.iscale = vf_keep(some, f.iscale); /* and so codes of 0 */
    f.min = vf_pick(some, f.min, first_min);
    f.from = vf_pick(some, f.from, first_min);
    return f;
}

/* ---- a scale alone: codes -nmax..nmax-1 (make_qx_quants with rmse_type 1) ---- */

INLINE void signed_sums(const int n, const float nmax, const struct lanes *s, vf iscale, vf *lx,
                        vf *l2)
{
    *lx = *l2 = vf_zero();
    for (int i = 0; i < n; i++) {
        /* at most nmax + 1: never wild */
        const vf l = nearest(vf_mul(iscale, vf_load(s->x[i])), -nmax, nmax - 1, 0);
        *lx = vf_add(*lx, vf_mul(vf_load(s->wx[i]), l));
        *l2 = vf_add(*l2, vf_mul(vf_mul(vf_load(s->w[i]), l), l));
    }
}

/* Lanes of zeros get scale 0; *some: the others. */
INLINE struct found search_signed(const int n, const float nmax, struct lanes *s, vm *some)
{
    const vf zero = vf_zero();
    vf amax, max = largest(n, s, &amax), lx, l2;
    *some = vm_ge(amax, vf_set1(GROUP_MAX_EPS));
    max = vf_pick(*some, max, vf_set1(1));
    for (int i = 0; i < n; i++)
        vf_store(s->wx[i], vf_mul(vf_load(s->w[i]), vf_load(s->x[i])));
    struct found f = {.min = zero, .from = zero, .iscale = vf_div(vf_set1(-nmax), max)};
    signed_sums(n, nmax, s, f.iscale, &lx, &l2);
    f.scale = vf_keep(vm_ne(l2, zero), vf_div(lx, l2));
    vf best = vf_mul(f.scale, lx);
    for (int step = -9; step <= 9; step++) {
        if (step == 0)
            continue;
        const vf iscale = vf_div(vf_set1(-(nmax + 0.1f * (float)step)), max);
        signed_sums(n, nmax, s, iscale, &lx, &l2);
        const vm better = vm_and(vm_gt(l2, zero), vm_gt(vf_mul(lx, lx), vf_mul(best, l2)));
        if (!vm_any(better))
            continue;
        f.scale = vf_pick(better, vf_div(lx, l2), f.scale);
        best = vf_pick(better, vf_mul(f.scale, lx), best);
        f.iscale = vf_pick(better, iscale, f.iscale);
    }
    f.scale = vf_keep(*some, f.scale);
    return f;
}

/* ---- Q3_K without weights from outside: codes moved one by one (make_q3_quants) ---- */

/* Groups of 16, weights x^2; the codes, -nmax..nmax-1, are left in s->t. */
INLINE vf search_q3(struct lanes *s, vm *some)
{
    const float nmax = 4;
    const vf zero = vf_zero();
    vf amax, max = largest(16, s, &amax), lx = zero, l2 = zero;
    *some = vm_ge(amax, vf_set1(GROUP_MAX_EPS));
    const vf iscale = vf_div(vf_set1(-nmax), vf_pick(*some, max, vf_set1(1)));
    for (int i = 0; i < 16; i++) {
        const vf x = vf_load(s->x[i]), w = vf_mul(x, x), wx = vf_mul(w, x);
        const vf l = nearest(vf_mul(iscale, x), -nmax, nmax - 1, 0);
        vf_store(s->w[i], w);
        vf_store(s->wx[i], wx);
        vf_store(s->t[i], l);
        lx = vf_add(lx, vf_mul(wx, l));
        l2 = vf_add(l2, vf_mul(vf_mul(w, l), l));
    }
    for (int round = 0; round < 5; round++) {
        int changed = 0;
        for (int i = 0; i < 16; i++) {
            const vf w = vf_load(s->w[i]), wx = vf_load(s->wx[i]), old = vf_load(s->t[i]);
            vf slx = vf_sub(lx, vf_mul(wx, old)), sl2 = vf_sub(l2, vf_mul(vf_mul(w, old), old));
            const vf l = nearest(vf_div(vf_mul(vf_load(s->x[i]), sl2), slx), -nmax, nmax - 1, 1);
            vm take = vm_and(vm_gt(slx, zero), vm_ne(l, old));
            slx = vf_add(slx, vf_mul(wx, l));
            sl2 = vf_add(sl2, vf_mul(vf_mul(w, l), l));
            take = vm_and(take, vm_and(vm_gt(sl2, zero), vm_gt(vf_mul(vf_mul(slx, slx), l2),
                                                               vf_mul(vf_mul(lx, lx), sl2))));
            if (!vm_any(take))
                continue;
            changed = 1;
            vf_store(s->t[i], vf_pick(take, l, old));
            lx = vf_pick(take, slx, lx);
            l2 = vf_pick(take, sl2, l2);
        }
        if (!changed) /* a lane that did not change would not in the next round either */
            break;
    }
    return vf_keep(vm_and(*some, vm_gt(l2, zero)), vf_div(lx, l2));
}

/* ---- IQ4_NL and IQ4_XS: sixteen uneven values ---- */

/* kn_iq4_values, where the compiler sees them */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* The nearest of the values, the upper one from the middle on (best_index_int8: with these values its
 * two differences are exact where they decide); as the value, or as its index. */
INLINE vf iq4_nearest(vf x, const int index)
{
    vf q = vf_set1(index ? 0 : iq4_values[0]);
    UNROLL for (int i = 0; i < 15; i++)
    {
        const float middle = (float)(iq4_values[i] + iq4_values[i + 1]) / 2;
        const float gap = index ? 1 : (float)(iq4_values[i + 1] - iq4_values[i]);
        q = vf_add(q, vf_keep(vm_nlt(x, vf_set1(middle)), vf_set1(gap)));
    }
    return q;
}

INLINE void iq4_sums(const struct lanes *s, vf iscale, vf *qx, vf *q2)
{
    *qx = *q2 = vf_zero();
    for (int i = 0; i < 32; i++) {
        const vf x = vf_load(s->x[i]), q = iq4_nearest(vf_mul(iscale, x), 0);
        const vf wq = vf_mul(vf_load(s->w[i]), q);
        *qx = vf_add(*qx, vf_mul(wq, x));
        *q2 = vf_add(*q2, vf_mul(wq, q));
    }
}

/* Groups of 32 with weights; zeros give scale 0. */
INLINE vf search_iq4(const struct lanes *s)
{
    const vf zero = vf_zero();
    vf amax, max = largest(32, s, &amax), qx, q2;
    const vm some = vm_ge(amax, vf_set1(GROUP_MAX_EPS));
    max = vf_pick(some, max, vf_set1(1));
    vf d = vf_div(vf_neg(max), vf_set1(iq4_values[0]));
    iq4_sums(s, vf_div(vf_set1(1), d), &qx, &q2);
    d = vf_keep(vm_gt(q2, zero), vf_div(qx, q2));
    vf best = vf_mul(d, qx);
    for (int step = -7; step <= 7; step++) {
        iq4_sums(s, vf_div(vf_set1((float)(step + iq4_values[0])), max), &qx, &q2);
        const vm better = vm_and(vm_gt(q2, zero), vm_gt(vf_mul(qx, qx), vf_mul(best, q2)));
        d = vf_pick(better, vf_div(qx, q2), d);
        best = vf_pick(better, vf_mul(d, qx), best);
    }
    return vf_keep(some, d);
}
