/* train_group - a group of linear layers with KN_MIXED: operands rounded to bf16, sums in double */
#include "poly.h"
#include "ref/ref_train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As an operand: denormals are zero, then half to even. */
double ref_bf16(float x)
{
    return fabsf(x) < 0x1p-126f ? 0 : (double)kn_bf16_to_f32(kn_f32_to_bf16(x));
}

/* A matrix of operands by strides; times: a factor before the rounding. */
struct mat {
    const float *p;
    size_t row, col;
    float times;
};
static double at(const struct mat *m, int i, int j)
{
    return ref_bf16(m->times * m->p[(size_t)i * m->row + (size_t)j * m->col]);
}

/* c(m, n) += a(m, k) b(k, n) */
static void add_product(double *c, int m, int n, int k, struct mat a, struct mat b)
{
    for (int p = 0; p < k; p++)
        for (int i = 0; i < m; i++) {
            double x = at(&a, i, p);
            for (int j = 0; j < n; j++)
                c[(size_t)i * (size_t)n + (size_t)j] += x * at(&b, p, j);
        }
}

struct group { /* of one call: all scratch in one piece */
    struct kn_dev *d;
    const struct kn_group *g;
    int m;
    float *h, *own, *row, *w;
    double *sum;
};

static int begin(struct group *s, struct kn_dev *d, const struct kn_group *g, int m)
{
    size_t n = 0, mk = (size_t)m * (size_t)g->k, w = 0;
    for (int i = 0; i < g->n_lin; i++) {
        n = (size_t)g->lin[i].w->n > n ? (size_t)g->lin[i].w->n : n;
        w = n * (size_t)g->k;
    }
    size_t widest = n > (size_t)g->k ? n : (size_t)g->k;
    widest = (size_t)g->r > widest ? (size_t)g->r : widest;
    size_t sums = (size_t)m * widest;
    sums = (size_t)g->r * widest > sums ? (size_t)g->r * widest : sums;
    *s = (struct group){.d = d, .g = g, .m = m};
    s->sum = malloc(sums * sizeof *s->sum);
    s->h = malloc(mk * sizeof *s->h);
    s->own = malloc(mk * sizeof *s->own);
    s->row = malloc((sums + 1) * sizeof *s->row);
    s->w = malloc((w + 1) * sizeof *s->w);
    return s->sum && s->h && s->own && s->row && s->w ? KN_OK : KN_ENOMEM;
}

static int end(struct group *s, int err)
{
    free(s->sum);
    free(s->h);
    free(s->own);
    free(s->row);
    free(s->w);
    return err;
}

/* h into s->h; rstd is written forward */
static void input(struct group *s, int forward)
{
    const struct kn_group *g = s->g;
    const float *x = ref_f32(s->d, g->x), *up = ref_f32(s->d, g->up), *w = ref_f32(s->d, g->norm);
    float *rstd = ref_f32(s->d, g->rstd);
    size_t k = (size_t)g->k;
    for (int i = 0; i < s->m; i++) {
        const float *xi = x + (size_t)i * k;
        float *h = s->h + (size_t)i * k;
        double sum = 0;
        for (size_t c = 0; c < k; c++)
            sum += (double)xi[c] * xi[c];
        if (g->input == KN_IN_NORM && forward)
            rstd[i] = (float)(1 / sqrt(sum / g->k + g->eps));
        for (size_t c = 0; c < k; c++) {
            double v = xi[c];
            if (g->input == KN_IN_NORM)
                v *= (double)rstd[i] * w[c];
            else if (g->input == KN_IN_SWIGLU)
                v = v / (1 + exp(-v)) * up[(size_t)i * k + c];
            h[c] = (float)v;
        }
    }
}

/* x as layer l's adapter sees it: the same draws on h and on its gradient */
static int dropped(struct group *s, const struct kn_lin *l, float *x)
{
    const struct kn_group *g = s->g;
    if (g->dropout <= 0)
        return 0;
    struct ref_buf b = {.p = (char *)x};
    struct kn_at a = {.buf = &b.buf};
    return ref_train_dropout(s->d, a, a, g->dropout, g->seed, l->draws,
                             (size_t)s->m * (size_t)g->k);
}

static void weights(struct group *s, const struct kn_weight *w)
{
    for (int i = 0; i < w->n; i++)
        ref_weight_f32(w, i, s->w + (size_t)i * (size_t)w->k);
}

static double *zero(struct group *s, size_t n)
{
    memset(s->sum, 0, n * sizeof *s->sum);
    return s->sum;
}

static int forward(struct group *s, const struct kn_lin *l)
{
    const struct kn_group *g = s->g;
    int m = s->m, n = l->w->n, k = g->k, r = g->r, err = 0;
    size_t sk = (size_t)k, sr = (size_t)r, mk = (size_t)m * sk;
    const float *a = ref_f32(s->d, l->a), *b = ref_f32(s->d, l->b), *bias = ref_f32(s->d, l->bias);
    const float *res = ref_f32(s->d, l->res);
    float *z = ref_f32(s->d, l->z), *y = ref_f32(s->d, l->y);
    if (a) {
        memcpy(s->own, s->h, mk * sizeof *s->own);
        err = dropped(s, l, s->own);
        add_product(zero(s, (size_t)m * sr), m, r, k, (struct mat){s->own, sk, 1, 1},
                    (struct mat){a, 1, sk, 1});
        for (size_t i = 0; i < (size_t)m * sr; i++)
            z[i] = (float)s->sum[i];
    }
    weights(s, l->w);
    add_product(zero(s, (size_t)m * (size_t)n), m, n, k, (struct mat){s->h, sk, 1, 1},
                (struct mat){s->w, 1, sk, 1});
    if (a)
        add_product(s->sum, m, n, r, (struct mat){z, sr, 1, 1}, (struct mat){b, 1, sr, g->alpha});
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            size_t p = (size_t)i * (size_t)n + (size_t)j;
            y[p] = (float)(s->sum[p] + (bias ? bias[j] : 0) + (res ? res[p] : 0));
        }
    return err;
}

int ref_train_group(struct kn_dev *d, const struct kn_group *g, int m)
{
    struct group s;
    int err = begin(&s, d, g, m);
    if (err)
        return end(&s, err);
    input(&s, 1);
    for (int i = 0; !err && i < g->n_lin; i++)
        err = forward(&s, &g->lin[i]);
    return end(&s, err);
}

/* Gradients of layer l's factors; dz(m, r) into s->row. */
static int factors(struct group *s, const struct kn_lin *l)
{
    const struct kn_group *g = s->g;
    int m = s->m, n = l->w->n, k = g->k, r = g->r;
    size_t sk = (size_t)k, sr = (size_t)r, sn = (size_t)n;
    const float *b = ref_f32(s->d, l->b), *z = ref_f32(s->d, l->z), *dy = ref_f32(s->d, l->dy);
    float *da = ref_f32(s->d, l->da), *db = ref_f32(s->d, l->db);
    add_product(zero(s, (size_t)m * sr), m, r, n, (struct mat){dy, sn, 1, 1},
                (struct mat){b, sr, 1, g->alpha});
    for (size_t i = 0; i < (size_t)m * sr; i++)
        s->row[i] = (float)s->sum[i];
    add_product(zero(s, sn * sr), n, r, m, (struct mat){dy, 1, sn, 1}, (struct mat){z, sr, 1, 1});
    for (size_t i = 0; i < sn * sr; i++)
        db[i] = (float)(db[i] + g->alpha * s->sum[i]);
    memcpy(s->own, s->h, (size_t)m * sk * sizeof *s->own);
    int err = dropped(s, l, s->own);
    add_product(zero(s, sr * sk), r, k, m, (struct mat){s->row, 1, sr, 1},
                (struct mat){s->own, sk, 1, 1});
    for (size_t i = 0; i < sr * sk; i++)
        da[i] = (float)(da[i] + s->sum[i]);
    return err;
}

/* dh += dy w + dz a */
static int through(struct group *s, const struct kn_lin *l, double *dh)
{
    const struct kn_group *g = s->g;
    int m = s->m, n = l->w->n, k = g->k, r = g->r, err = 0;
    size_t sk = (size_t)k, mk = (size_t)m * sk;
    const float *a = ref_f32(s->d, l->a), *dy = ref_f32(s->d, l->dy);
    weights(s, l->w);
    add_product(dh, m, k, n, (struct mat){dy, (size_t)n, 1, 1}, (struct mat){s->w, sk, 1, 1});
    if (!a)
        return 0;
    add_product(zero(s, mk), m, k, r, (struct mat){s->row, (size_t)r, 1, 1},
                (struct mat){a, sk, 1, 1});
    for (size_t i = 0; i < mk; i++)
        s->own[i] = (float)s->sum[i];
    if (g->dropout > 0)
        err = dropped(s, l, s->own);
    for (size_t i = 0; i < mk; i++)
        dh[i] += g->dropout > 0 ? s->own[i] : s->sum[i];
    return err;
}

int ref_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m)
{
    struct group s;
    size_t mk = (size_t)m * (size_t)g->k;
    struct kn_at dh = g->input == KN_IN_PLAIN ? dx : g->dh;
    int wanted = dx.buf || g->input == KN_IN_SWIGLU, err = begin(&s, d, g, m);
    double *sum = calloc(mk, sizeof *sum);
    err = sum ? err : KN_ENOMEM;
    if (!err)
        input(&s, 0);
    for (int i = 0; !err && i < g->n_lin; i++) {
        if (g->lin[i].a.buf)
            err = factors(&s, &g->lin[i]);
        if (!err && wanted)
            err = through(&s, &g->lin[i], sum);
    }
    for (size_t i = 0; !err && wanted && i < mk; i++)
        ref_f32(d, dh)[i] = (float)sum[i];
    free(sum);
    end(&s, err);
    if (err || !wanted || g->input == KN_IN_PLAIN)
        return err;
    if (g->input == KN_IN_SWIGLU)
        return ref_train_swiglu_bwd(d, g->x, g->up, dh, g->x, g->up, mk);
    return ref_train_norm_bwd(d, dx, g->dnorm, dh, g->x, g->norm, g->rstd, m, g->k, KN_ADD);
}

/* dw += dy^T h */
int ref_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m)
{
    struct group s;
    int err = begin(&s, d, g, m);
    const size_t k = (size_t)g->k;
    if (!err)
        input(&s, 0);
    for (int i = 0; !err && i < g->n_lin; i++) {
        const size_t n = (size_t)g->lin[i].w->n;
        float *dw = ref_f32(d, g->lin[i].dw);
        double *sum = dw ? calloc(n * k, sizeof *sum) : NULL;
        if (!dw)
            continue;
        if (sum)
            add_product(sum, (int)n, g->k, m, (struct mat){ref_f32(d, g->lin[i].dy), 1, n, 1},
                        (struct mat){s.h, k, 1, 1});
        else
            err = KN_ENOMEM;
        for (size_t q = 0; sum && q < n * k; q++)
            dw[q] = (float)(dw[q] + sum[q]);
        free(sum);
    }
    return end(&s, err);
}
