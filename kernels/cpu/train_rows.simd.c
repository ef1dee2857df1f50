/* train_rows.simd.c - one row or range at a time: norm, SwiGLU's gradient, cross-entropy, AdamW */
#include "cpu/cpu_train.h"
#include "cpu/simd.h"
#include <math.h>

/* R3: sixteen lanes, ascending */
static float dot3(const float *a, const float *b, const float *c, int n)
{
    vf s = vf_zero();
    for (int i = 0; i < n; i += 16) {
        vf p = vf_mul(vf_load_n(a + i, n - i), vf_load_n(b + i, n - i));
        s = vf_fma(p, vf_load_n(c + i, n - i), s);
    }
    return vf_fold(s);
}

static void scale(float *y, const float *x, const float *w, float r, int n)
{
    for (int i = 0; i < n; i += 16)
        vf_store_n(y + i,
                   vf_mul(vf_mul(vf_load_n(x + i, n - i), vf_set1(r)), vf_load_n(w + i, n - i)),
                   n - i);
}

static void norm(float *y, float *rstd, const float *x, const float *w, float eps, int n)
{
    vf s = vf_zero();
    for (int i = 0; i < n; i += 16) {
        vf v = vf_load_n(x + i, n - i);
        s = vf_fma(v, v, s);
    }
    float r = 1.0f / sqrtf(vf_fold(s) / (float)n + eps);
    *rstd = r;
    scale(y, x, w, r, n);
}

static void norm_bwd(float *dx, const float *dy, const float *x, const float *w, float r, int n,
                     int add)
{
    float dot = dot3(dy, w, x, n);
    vf vr = vf_set1(r), vk = vf_set1(-r * r * r * dot / (float)n);
    for (int i = 0; i < n; i += 16) {
        vf g = vf_mul(vf_mul(vf_load_n(dy + i, n - i), vf_load_n(w + i, n - i)), vr);
        vf v = vf_fma(vf_load_n(x + i, n - i), vk, g);
        vf_store_n(dx + i, add ? vf_add(vf_load_n(dx + i, n - i), v) : v, n - i);
    }
}

/* Any of dg, du, h may be the place of g, u, dy; h NULL: nobody wants it. */
static void swiglu_bwd(float *dg, float *du, float *h, const float *dy, const float *g,
                       const float *u, size_t n)
{
    vf one = vf_set1(1);
    for (size_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf gv = vf_load_n(g + i, m), d = vf_load_n(dy + i, m), uv = vf_load_n(u + i, m);
        vf s = vf_div(one, vf_add(one, vf_exp(vf_neg(gv)))), silu = vf_mul(gv, s);
        vf slope = vf_fma(silu, vf_sub(one, s), s); /* s (1 + g (1 - s)) */
        vf_store_n(dg + i, vf_mul(vf_mul(d, uv), slope), m);
        vf_store_n(du + i, vf_mul(d, silu), m);
        if (h)
            vf_store_n(h + i, vf_mul(silu, uv), m);
    }
}

static float xent(float *z, int label, float scale, int n, int want_grad)
{
    vf m = vf_set1(z[0]), s = vf_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16)
        m = vf_max(m, vf_load(z + i));
    float max = vf_hmax(m), tail = 0;
    for (int j = i; j < n; j++)
        max = z[j] > max ? z[j] : max;
    for (i = 0; i + 16 <= n; i += 16)
        s = vf_add(s, vf_exp(vf_sub(vf_load(z + i), vf_set1(max))));
    for (int j = i; j < n; j++)
        tail += kn_exp(z[j] - max);
    float sum = vf_fold(s) + tail, loss = logf(sum) + max - z[label];
    if (!want_grad)
        return loss;
    vf k = vf_set1(scale / sum);
    for (i = 0; i + 16 <= n; i += 16)
        vf_store(z + i, vf_mul(vf_exp(vf_sub(vf_load(z + i), vf_set1(max))), k));
    for (; i < n; i++)
        z[i] = kn_exp(z[i] - max) * (scale / sum);
    z[label] -= scale;
    return loss;
}

static void axpy(float *y, const float *x, float alpha, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(y + i, vf_fma(vf_set1(alpha), vf_load(x + i), vf_load(y + i)));
    for (; i < n; i++)
        y[i] = fmaf(alpha, x[i], y[i]);
}

static vf root(vf x)
{
#if defined ISA_avx512
    return _mm512_sqrt_ps(x);
#elif defined ISA_avx2
    return (vf){_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
#else
    float lane[16];
    vf_store(lane, x);
    for (int i = 0; i < 16; i++)
        lane[i] = sqrtf(lane[i]);
    return vf_load(lane);
#endif
}

/* c: lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, lr * decay, gradient scale, 1 / (1 - beta1^t),
 * 1 / (1 - beta2^t) */
static void adamw(float *w, const float *g, float *m, float *v, size_t n, const float *c)
{
    for (size_t i = 0; i < n; i += 16) {
        int k = n - i < 16 ? (int)(n - i) : 16;
        vf gi = vf_mul(vf_load_n(g + i, k), vf_set1(c[7])), wi = vf_load_n(w + i, k);
        vf mi = vf_fma(vf_set1(c[1]), vf_load_n(m + i, k), vf_mul(vf_set1(c[2]), gi));
        vf va = vf_fma(vf_set1(c[3]), vf_load_n(v + i, k), vf_mul(vf_mul(vf_set1(c[4]), gi), gi));
        vf d = vf_add(root(vf_mul(va, vf_set1(c[9]))), vf_set1(c[5]));
        vf step = vf_div(vf_mul(mi, vf_set1(c[8])), d);
        vf_store_n(m + i, mi, k);
        vf_store_n(v + i, va, k);
        wi = vf_sub(wi, vf_mul(vf_set1(c[6]), wi));
        vf_store_n(w + i, vf_sub(wi, vf_mul(vf_set1(c[0]), step)), k);
    }
}

/* cs: cosines, then sines, of one position; no fma, as kn_rope */
static void rope(float *x, const float *cs, int n_head, int head_dim, int rope_dim, int pairs,
                 int sign)
{
    int half = rope_dim / 2;
    for (int h = 0; h < n_head; h++, x += head_dim) {
        int k = 0;
        for (; !pairs && k + 16 <= half; k += 16) {
            vf c = vf_load(cs + k), s = vf_mul(vf_set1((float)sign), vf_load(cs + half + k));
            vf a = vf_load(x + k), b = vf_load(x + half + k);
            vf_store(x + k, vf_sub(vf_mul(a, c), vf_mul(b, s)));
            vf_store(x + half + k, vf_add(vf_mul(b, c), vf_mul(a, s)));
        }
        for (; k < half; k++) {
            float *u = pairs ? x + 2 * k : x + k, *v = pairs ? u + 1 : u + half;
            float c = cs[k], s = (float)sign * cs[half + k], a = *u, b = *v;
            *u = a * c - b * s;
            *v = b * c + a * s;
        }
    }
}

static void add(float *y, const float *bias, const float *x, int n)
{
    for (int i = 0; i < n; i += 16) {
        vf v = vf_load_n(y + i, n - i);
        if (bias)
            v = vf_add(v, vf_load_n(bias + i, n - i));
        if (x)
            v = vf_add(v, vf_load_n(x + i, n - i));
        vf_store_n(y + i, v, n - i);
    }
}

static void swiglu(float *h, const float *g, const float *u, size_t n)
{
    vf one = vf_set1(1);
    for (size_t i = 0; i < n; i += 16) {
        int m = n - i < 16 ? (int)(n - i) : 16;
        vf gv = vf_load_n(g + i, m), s = vf_div(one, vf_add(one, vf_exp(vf_neg(gv))));
        vf_store_n(h + i, vf_mul(vf_mul(gv, s), vf_load_n(u + i, m)), m);
    }
}

static void norm_dw(float *dw, const float *dy, const float *x, const float *r, int m, size_t ld,
                    int cols)
{
    for (int j = 0; j < cols; j += 16) {
        vf s = vf_zero();
        for (size_t i = 0; i < (size_t)m; i++) {
            vf p =
                vf_mul(vf_load_n(dy + i * ld + j, cols - j), vf_load_n(x + i * ld + j, cols - j));
            s = vf_fma(p, vf_set1(r[i]), s);
        }
        vf_store_n(dw + j, vf_add(vf_load_n(dw + j, cols - j), s), cols - j);
    }
}

static void sum_rows(float *y, const float *x, int m, size_t ld, int cols)
{
    for (int j = 0; j < cols; j += 16) {
        vf s = vf_zero();
        for (size_t i = 0; i < (size_t)m; i++)
            s = vf_add(s, vf_load_n(x + i * ld + j, cols - j));
        vf_store_n(y + j, vf_add(vf_load_n(y + j, cols - j), s), cols - j);
    }
}

const struct train_rows_isa FN(train_rows) = {norm, norm_bwd, swiglu_bwd, xent,  axpy,    rope,
                                              add,  scale,    swiglu,     adamw, norm_dw, sum_rows};
