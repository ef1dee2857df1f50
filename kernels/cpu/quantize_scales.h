/* quantize_scales.h - the scales of one super-block, few numbers: scalar, in GGML's order */

static int nearest_int(float x)
{
    float val = x + 12582912.f; /* 1.5 * 2^23: the rounded x is in the low bits */
    int32_t i;
    memcpy(&i, &val, sizeof i);
    return (i & 0x007fffff) - 0x00400000;
}

static inline int clamp_int(int x, int lo, int hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Nine trial scales for values >= 0, then up to five rounds that move one code at a time
 * (make_qp_quants). Returns the scale; codes as bytes, wrapped where GGML's wrap. */
static float scales_positive(int n, int nmax, const float *x, uint8_t *l, const float *w)
{
    float max = 0, best = 0, lx = 0, l2 = 0;
    for (int i = 0; i < n; i++)
        max = max > x[i] ? max : x[i];
    if (max < GROUP_MAX_EPS) {
        memset(l, 0, (size_t)n);
        return 0;
    }
    float iscale = (float)nmax / max, scale = 1 / iscale;
    for (int i = 0; i < n; i++) {
        l[i] = (uint8_t)nearest_int(iscale * x[i]);
        float d = x[i] - scale * (float)l[i];
        best += w[i] * d * d;
    }
    for (int step = -4; step <= 4; step++) {
        float t = (0.1f * (float)step + (float)nmax) / max, of = 1 / t, error = 0;
        if (step == 0)
            continue;
        for (int i = 0; i < n; i++) {
            int q = nearest_int(t * x[i]);
            float d = x[i] - of * (float)(q < nmax ? q : nmax);
            error += w[i] * d * d;
        }
        if (error < best) {
            best = error;
            iscale = t;
        }
    }
    for (int i = 0; i < n; i++) {
        int q = nearest_int(iscale * x[i]);
        q = q < nmax ? q : nmax;
        l[i] = (uint8_t)q;
        lx += w[i] * x[i] * (float)q;
        l2 += w[i] * (float)q * (float)q;
    }
    for (int round = 0, changed = 1; round < 5 && changed; round++) {
        changed = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)l[i], slx = lx - w[i] * x[i] * q, sl2 = l2 - w[i] * q * q;
            if (!(slx > 0 && sl2 > 0))
                continue;
            int now = nearest_int(x[i] * sl2 / slx);
            now = now < nmax ? now : nmax;
            if (now == l[i])
                continue;
            slx += w[i] * x[i] * (float)now;
            sl2 += w[i] * (float)now * (float)now;
            if (slx * slx * l2 > lx * lx * sl2) {
                l[i] = (uint8_t)now;
                lx = slx;
                l2 = sl2;
                changed = 1;
            }
        }
    }
    return l2 > 0 ? lx / l2 : 0;
}

/* Sixteen scales of either sign to codes 0..63 (make_qx_quants with nmax 32 and weights). */
static float scales_signed(const float *x, uint8_t *l, const float *w)
{
    const int nmax = 32;
    float amax = 0, max = 0, scale = 0, best = 0;
    for (int i = 0; i < 16; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            max = x[i];
        }
    memset(l, 0, 16);
    if (amax < GROUP_MAX_EPS)
        return 0;
    for (int trial = -10; trial <= 9; trial++) { /* 0 first, then -9..-1 and 1..9 */
        int step = trial == -10 ? 0 : trial;
        if (trial == 0)
            continue;
        float iscale = step ? -((float)nmax + 0.1f * (float)step) / max : (float)-nmax / max;
        float lx = 0, l2 = 0;
        for (int i = 0; i < 16; i++) {
            float q = (float)clamp_int(nearest_int(iscale * x[i]), -nmax, nmax - 1);
            lx += w[i] * x[i] * q;
            l2 += w[i] * q * q;
        }
        if (trial == -10)
            scale = l2 != 0 ? lx / l2 : 0;
        else if (l2 > 0 && lx * lx > best * l2)
            scale = lx / l2;
        else
            continue;
        best = scale * lx;
        for (int i = 0; i < 16; i++)
            l[i] = (uint8_t)(nmax + clamp_int(nearest_int(iscale * x[i]), -nmax, nmax - 1));
    }
    return scale;
}

/* Sums of squares of two runs of n, each in its own order, side by side. */
static void sum_squares(const float *a, const float *b, size_t n, float *sa, float *sb)
{
    float u = 0, v = 0;
    for (size_t i = 0; i < n; i++) {
        u += a[i] * a[i];
        v += b[i] * b[i];
    }
    *sa = u;
    *sb = v;
}
