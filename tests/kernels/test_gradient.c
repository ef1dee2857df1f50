/* test_gradient - ref's gradients of every training call by finite differences */
#include "train_calls.h"

/* Finite differences on ref: L = sum of g * f(x); the gradient that the backward gives along a
 * random direction u against (L(x + h u) - L(x - h u)) / 2h. Outputs are f32, so h is large and the
 * functions smooth. */
struct fd {
    struct kn_dev *d;
    const struct test *t;
    struct kn_weight *w;
    run_fn *forward;
    int y; /* output buffer, g its weights */
    const float *g;
};

static double loss_at(const struct fd *f, struct kn_at *b, int x, const float *u, double h)
{
    size_t n = f->t->len[x], m = f->t->len[f->y];
    float *v = malloc(n * 4 + 4), *y = malloc(m * 4 + 4);
    for (int i = 0; i < f->t->n_buf; i++)
        kn_write(f->d, b[i], f->t->in[i], f->t->len[i] * 4);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(f->t->in[x][i] + h * u[i]);
    kn_write(f->d, b[x], v, n * 4);
    f->forward(f->d, f->t, b, f->w);
    kn_read(f->d, y, b[f->y], m * 4);
    double s = 0;
    for (size_t i = 0; i < m; i++)
        s += f->g ? (double)f->g[i] * y[i] : y[i];
    free(v);
    free(y);
    return s;
}

static void fd_check(const char *what, struct fd *f, struct kn_at *b, int x, const float *grad)
{
    size_t n = f->t->len[x];
    double worst = 0, h = 1.0 / 64;
    for (int trial = 0; trial < 4; trial++) {
        float *u = fill(n, 1);
        double want = 0, size = 1e-9;
        for (size_t i = 0; i < n; i++) {
            want += (double)grad[i] * u[i];
            size += (double)grad[i] * grad[i] / 3;
        }
        /* two step sizes cancel the h^2 term (Richardson) */
        double d1 = (loss_at(f, b, x, u, h) - loss_at(f, b, x, u, -h)) / (2 * h);
        double d2 = (loss_at(f, b, x, u, h / 2) - loss_at(f, b, x, u, -h / 2)) / h;
        double e = fabs((4 * d2 - d1) / 3 - want) / sqrt(size);
        worst = e > worst ? e : worst;
        free(u);
    }
    ok(worst < 2e-4, "finite differences: %s, relative error %.1e", what, worst);
}

static int fd_attn(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_attn_doc(d, b[0], b[1], b[2], b[3], b[4], b[5], &t->attn, t->m, t->flags);
}
static int fd_norm(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_norm(d, b[0], b[1], b[2], b[3], 1e-6f, t->m, t->n);
}
static int fd_swiglu(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_swiglu(d, b[5], b[3], b[4], 1, t->m);
}
static int fd_linear(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    return kn_linear(d, b[2], b[0], w, (struct kn_at){0}, t->m, 0);
}
static int fd_rope(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_rope_doc(d, b[0], b[1], b[2], t->m, 3, t->k, t->n, t->flags, 1);
}
static int fd_xent(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_xent(d, b[0], b[1], b[2], 1, t->m, t->n, 0);
}

/* Run forward and backward once, then difference the forward along each input named. */
static void differences(const char *what, struct test *t, run_fn *both, run_fn *forward, int y,
                        int dy, const int (*pair)[2], int n_pair)
{
    struct kn_dev *d;
    struct kn_weight *w = NULL;
    struct kn_at b[MAX_BUF];
    if (kn_open(&d, "ref", 1))
        abort();
    for (int i = 0; i < t->n_buf; i++)
        b[i] = put(d, t->in[i], t->len[i] * 4);
    if (t->rows && kn_weight_new(d, t->type, t->n, t->k, t->rows, KN_W_TRAIN, &w))
        abort();
    ok(both(d, t, b, w) == 0, "%s runs on ref", what);
    struct fd f = {d, t, w, forward, y, dy < 0 ? NULL : t->in[dy]};
    for (int i = 0; i < n_pair; i++) {
        size_t n = t->len[pair[i][0]];
        float *grad = malloc(n * 4 + 4);
        char name[80];
        snprintf(name, sizeof name, "%s, input %d", what, pair[i][0]);
        for (int j = 0; j < t->n_buf; j++)
            kn_write(d, b[j], t->in[j], t->len[j] * 4);
        both(d, t, b, w);
        kn_read(d, grad, b[pair[i][1]], n * 4);
        fd_check(name, &f, b, pair[i][0], grad);
        free(grad);
    }
    if (w)
        kn_weight_free(d, w);
    for (int i = 0; i < t->n_buf; i++) {
        kn_free(d, b[i]);
        free(t->in[i]);
    }
    free(t->rows);
    kn_close(d);
}

static int both_linear(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    return kn_linear_bwd(d, b[1], b[3], w, t->m, 0);
}
/* 0 x, 1 w, 2 bias, 3 norm, 4 y, 5 dy, 6 h, 7 rstd, 8 dh, 9 dx, 10 dw, 11 dbias, 12 dnorm */
static int base_group(struct kn_dev *d, const struct test *t, struct kn_at *b, int backward)
{
    struct kn_weight *w;
    struct kn_group g = {.input = KN_IN_NORM,
                         .k = t->k,
                         .n_lin = 1,
                         .x = b[0],
                         .norm = b[3],
                         .rstd = b[7],
                         .eps = 1e-6f,
                         .h = b[6],
                         .dh = b[8],
                         .dnorm = b[12]};
    if (kn_weight_live(d, b[1], t->n, t->k, &w))
        return -1;
    g.lin[0] =
        (struct kn_lin){.w = w, .bias = b[2], .y = b[4], .dy = b[5], .dw = b[10], .dbias = b[11]};
    int err = kn_group(d, &g, t->m, 0);
    if (!err && backward)
        err = kn_group_bwd(d, &g, b[9], t->m, 0);
    kn_weight_free(d, w);
    return err;
}
static int fd_base(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return base_group(d, t, b, 0);
}
static int both_base(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return base_group(d, t, b, 1);
}

/* 0 w, 1 ids, 2 y, 3 dy, 4 dw */
static int fd_embed(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    if (kn_weight_live(d, b[0], t->n, t->k, &w))
        return -1;
    int err = kn_embed_ids(d, b[2], w, b[1], t->m);
    kn_weight_free(d, w);
    return err;
}
static int both_embed(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    int err = fd_embed(d, t, b, w);
    return err ? err : kn_embed_bwd(d, b[4], b[3], b[1], t->m, t->k);
}

static int both_rope(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w; /* the gradient of a rotation is the inverse rotation of dy */
    return kn_rope_doc(d, b[3], b[1], b[2], t->m, 3, t->k, t->n, t->flags, -1);
}
static int both_xent(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_xent(d, b[0], b[1], b[2], 1, t->m, t->n, 1);
}

static void finite_differences(void)
{
    static const int attn_pairs[][2] = {{2, 6}, {3, 7}, {4, 8}};
    struct test a = attn_test(9, 4, 2, 8, 2);
    differences("attention", &a, run_attn, fd_attn, 0, 9, attn_pairs, 3);

    static const int norm_pairs[][2] = {{2, 4}, {3, 5}};
    struct test n = test("norm", 4, 24, 0, 0, 0);
    buf(&n, 96, 1, 1);
    buf(&n, 4, 1, 1);
    buf(&n, 96, 2, 0);
    buf(&n, 24, 1, 0);
    buf(&n, 96, 1, 1);
    buf(&n, 24, 0, 1);
    buf(&n, 96, 1, 0);
    differences("norm", &n, run_norm, fd_norm, 0, 6, norm_pairs, 2);

    static const int swiglu_pairs[][2] = {{3, 0}, {4, 1}};
    struct test s = test("swiglu", 50, 0, 0, 0, 0);
    for (int i = 0; i < 6; i++)
        buf(&s, 50, i == 3 ? 3 : 1, 0);
    differences("swiglu", &s, run_swiglu, fd_swiglu, 5, 2, swiglu_pairs, 2);

    static const int linear_pairs[][2] = {{0, 1}};
    struct test l = test("linear", 3, 10, 32, KN_Q8_0, 0);
    l.rows = weight(KN_Q8_0, 10, 32);
    buf(&l, 3 * 32, 1, 0);
    buf(&l, 3 * 32, 1, 0);
    buf(&l, 3 * 10, 1, 0);
    buf(&l, 3 * 10, 1, 0);
    differences("linear", &l, both_linear, fd_linear, 2, 3, linear_pairs, 1);

    static const int base_pairs[][2] = {{0, 9}, {1, 10}, {2, 11}, {3, 12}};
    static const size_t base_len[] = {96, 240, 10, 24, 40, 40, 96, 4, 96, 96, 240, 10, 24};
    struct test g = test("a layer's own weights", 4, 10, 24, 0, 0);
    for (int i = 0; i < 13; i++) {
        buf(&g, base_len[i], i == 0 ? 2 : 1, 0);
        if (i >= 9) /* what gradients are added to */
            memset(g.in[i], 0, g.len[i] * 4);
    }
    differences("a layer's own weights", &g, both_base, fd_base, 4, 5, base_pairs, 4);

    static const int embed_pairs[][2] = {{0, 4}};
    int32_t id[5] = {3, 0, 3, 6, 3};
    struct test q = test("embedding", 5, 7, 6, 0, 0);
    buf(&q, 42, 1, 0);
    ids(&q, 5, id);
    buf(&q, 30, 1, 0);
    buf(&q, 30, 1, 0);
    buf(&q, 42, 0, 0);
    differences("embedding", &q, both_embed, fd_embed, 2, 3, embed_pairs, 1);

    static const int rope_pairs[][2] = {{0, 3}};
    for (int pairs = 0; pairs < 2; pairs++) {
        int32_t doc[5] = {0, 0, 0, 3, 3};
        struct test r = test("rope", 5, 8, 10, 0, pairs);
        buf(&r, 5 * 3 * 10, 1, 0);
        buf(&r, 3 * 8, 1, 0);
        ids(&r, 5, doc);
        buf(&r, 5 * 3 * 10, 1, 0);
        differences(pairs ? "rope of neighbours" : "rope of halves", &r, both_rope, fd_rope, 0, 3,
                    rope_pairs, 1);
    }

    static const int dora_pairs[][2] = {{3, 9}, {4, 7}};
    struct test m = dora_test(4, 12, 32, 2, KN_Q8_0);
    memset(m.in[7], 0, m.len[7] * 4);
    differences("dora", &m, run_dora, run_dora, 5, 8, dora_pairs, 2);

    static const int xent_pairs[][2] = {{1, 1}};
    int32_t label[4] = {3, -1, 0, 18};
    struct test x = test("xent", 4, 19, 0, 0, 0);
    buf(&x, 4, 1, 0);
    buf(&x, 4 * 19, 2, 0);
    ids(&x, 4, label);
    differences("xent", &x, both_xent, fd_xent, 0, -1, xent_pairs, 1);
}

int main(void)
{
    finite_differences();
    return done_testing();
}
