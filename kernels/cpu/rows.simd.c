/* rows.simd.c - norms, RoPE, gates, argmax: what happens to a row between products */
#include "rows.h"
#include "attend.h"

static void norm(int n, const float *x, const float *w, float eps, float *y)
{
    vf sum = vf_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16)
        sum = vf_fma(vf_load(x + i), vf_load(x + i), sum);
    if (i < n) { /* lanes without an element add +0 to a sum that is never -0 */
        vf t = vf_load_n(x + i, n - i);
        sum = vf_fma(t, t, sum);
    }
    const vf r = vf_set1(1.0f / sqrtf(vf_fold(sum) / (float)n + eps));
    for (i = 0; i + 16 <= n; i += 16)
        vf_store(y + i, vf_mul(vf_mul(vf_load(x + i), r), vf_load(w + i)));
    if (i < n)
        vf_store_n(y + i, vf_mul(vf_mul(vf_load_n(x + i, n - i), r), vf_load_n(w + i, n - i)),
                   n - i);
}

static void rope(int rope_dim, int pairs, const float *cs, float *x)
{
    const int half = rope_dim / 2;
    const float *c = cs, *s = cs + half;
    int k = 0;
    if (!pairs)
        for (; k + 16 <= half; k += 16) {
            vf a = vf_load(x + k), b = vf_load(x + half + k);
            vf co = vf_load(c + k), si = vf_load(s + k);
            vf_store(x + k, vf_sub(vf_mul(a, co), vf_mul(b, si)));
            vf_store(x + half + k, vf_add(vf_mul(b, co), vf_mul(a, si)));
        }
    for (; k < half; k++) {
        float *p = pairs ? x + 2 * k : x + k, *q = pairs ? p + 1 : p + half;
        float a = *p, b = *q;
        *p = a * c[k] - b * s[k];
        *q = b * c[k] + a * s[k];
    }
}

static void swiglu(size_t n, const float *gate, const float *up, float *y)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(y + i, vf_mul(vf_silu(vf_load(gate + i)), vf_load(up + i)));
    if (i < n) {
        int t = (int)(n - i);
        vf_store_n(y + i, vf_mul(vf_silu(vf_load_n(gate + i, t)), vf_load_n(up + i, t)), t);
    }
}

static void layer_norm(int n, const float *x, const float *w, const float *bias, float eps,
                       float *y)
{
    vf sum = vf_zero(), square = vf_zero();
    for (int i = 0; i < n; i += 16)
        sum = vf_add(sum, vf_load_n(x + i, n - i));
    const vf mean = vf_set1(vf_fold(sum) / (float)n);
    for (int i = 0; i < n; i += 16) {
        float t[16] = {0};
        vf_store_n(t, vf_sub(vf_load_n(x + i, n - i), mean), n - i); /* no lane beyond n counts */
        square = vf_fma(vf_load(t), vf_load(t), square);
    }
    const vf r = vf_set1(1.0f / sqrtf(vf_fold(square) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        vf v = vf_mul(vf_mul(vf_sub(vf_load_n(x + i, n - i), mean), r), vf_load_n(w + i, n - i));
        vf_store_n(y + i, vf_add(v, vf_load_n(bias + i, n - i)), n - i);
    }
}

static void glu(size_t n, int act, const float *gate, const float *up, float *y)
{
    for (size_t i = 0; i < n; i += 16) {
        const int t = n - i < 16 ? (int)(n - i) : 16;
        const vf g = vf_load_n(gate + i, t), a = act == KN_GELU ? vf_gelu(g) : vf_silu(g);
        vf_store_n(y + i, up ? vf_mul(a, vf_load_n(up + i, t)) : a, t);
    }
}

static void map(size_t n, int what, float s, float *x)
{
    const vf by = vf_set1(s);
    for (size_t i = 0; i < n; i += 16) {
        const int t = n - i < 16 ? (int)(n - i) : 16;
        const vf v = vf_load_n(x + i, t);
        vf_store_n(x + i,
                   what == KN_SCALE     ? vf_mul(v, by)
                   : what == KN_CAP     ? vf_mul(by, vf_tanh(vf_div(v, by)))
                   : what == KN_SIGMOID ? vf_sigmoid(v)
                                        : vf_zero(),
                   t);
    }
}

static void add(size_t n, float s, const float *x, float *y)
{
    const vf by = vf_set1(s);
    for (size_t i = 0; i < n; i += 16) {
        const int t = n - i < 16 ? (int)(n - i) : 16;
        vf_store_n(y + i, vf_add(vf_load_n(y + i, t), vf_mul(by, vf_load_n(x + i, t))), t);
    }
}

static void put(int n, const float *t, const float *bias, const float *y0, float *y)
{
    for (int i = 0; i < n; i += 16) {
        vf v = vf_load_n(t + i, n - i);
        if (bias)
            v = vf_add(v, vf_load_n(bias + i, n - i));
        if (y0)
            v = vf_add(vf_load_n(y0 + i, n - i), v);
        vf_store_n(y + i, v, n - i);
    }
}

/* The maximum first, then its first place: two fast passes. */
static int32_t argmax(int n, const float *x)
{
    vf m = vf_set1(-INFINITY);
    int i = 0;
    for (; i + 16 <= n; i += 16)
        m = vf_max(vf_load(x + i), m); /* a NaN on the left gives m */
    float best = vf_hmax(m);
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    for (i = 0; i < n; i++)
        if (x[i] == best)
            return best > -INFINITY ? i : 0;
    return 0;
}

const struct rows_isa FN(rows) = {norm, rope, swiglu, layer_norm, glu,   map,
                                  add,  put,  argmax, kv_put,     attend};
