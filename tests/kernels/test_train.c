/* test_train - every training call on every device against ref; groups: test_group.c */
#include "moment.h"
#include "train_calls.h"
#include "train_compare.h"

static int run_linear(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    return kn_linear(d, b[0], b[1], w, b[2], t->m, t->flags);
}
static int run_linear_bwd(struct kn_dev *d, const struct test *t, struct kn_at *b,
                          struct kn_weight *w)
{
    return kn_linear_bwd(d, b[0], b[1], w, t->m, t->flags);
}
static int run_lora(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    int err = kn_linear_lora(d, b[0], b[1], w, b[2], b[3], b[4], 2.5f, 5, t->m, t->flags);
    return err ? err : kn_linear_lora_bwd(d, b[5], b[6], w, b[3], b[7], 5, t->m, t->flags);
}
static int run_gemm(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_gemm(d, b[0], b[1], b[2], 0.5f, t->m, t->n, t->k, t->flags);
}

static void products(void)
{
    static const struct {
        int m, n, k, type;
    } s[] = {{1, 8, 16, KN_F32},      {3, 5, 7, KN_F32},      {29, 65, 300, KN_F32},
             {20, 40, 64, KN_Q8_0},   {7, 33, 512, KN_Q4_K},  {40, 17, 256, KN_Q6_K},
             {16, 96, 96, KN_F16},    {5, 34, 64, KN_BF16},   {200, 300, 544, KN_Q5_0},
             {9, 1030, 256, KN_Q5_K}, {15, 16, 1024, KN_Q4_0}};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        for (int add = 0; add < 2; add++) {
            size_t m = s[i].m, n = s[i].n, k = s[i].k;
            struct test t = test("linear", s[i].m, s[i].n, s[i].k, s[i].type, add ? KN_ADD : 0);
            t.rows = weight(s[i].type, s[i].n, s[i].k);
            buf(&t, m * n, 1, 1);
            buf(&t, m * k, 1, 0);
            buf(&t, n, 1, 0);
            compare(&t, run_linear, 1e-11);
            struct test u = test("linear_bwd", s[i].m, s[i].n, s[i].k, s[i].type, add ? KN_ADD : 0);
            u.rows = weight(s[i].type, s[i].n, s[i].k);
            buf(&u, m * k, 1, 1);
            buf(&u, m * n, 1, 0);
            compare(&u, run_linear_bwd, 1e-11);
            struct test v =
                test("linear_lora", s[i].m, s[i].n, s[i].k, s[i].type, add ? KN_ADD : 0);
            v.rows = weight(s[i].type, s[i].n, s[i].k);
            buf(&v, m * n, 1, 1);
            buf(&v, m * k, 1, 0);
            buf(&v, n, 1, 0);
            buf(&v, m * 5, 1, 0);
            buf(&v, n * 5, 1, 0);
            buf(&v, m * k, 1, 1);
            buf(&v, m * n, 1, 0);
            buf(&v, k * 5, 1, 0);
            compare(&v, run_lora, 1e-11);
        }
    static const int g[][3] = {{1, 1, 1},    {8, 300, 70},  {16, 17, 513}, {300, 8, 64},
                               {33, 48, 16}, {15, 16, 257}, {180, 260, 31}};
    for (size_t i = 0; i < sizeof g / sizeof *g; i++)
        for (int f = 0; f < 8; f++) {
            struct test t = test("gemm", g[i][0], g[i][1], g[i][2], 0,
                                 (f & 1 ? KN_ADD : 0) | (f & 2 ? KN_TA : 0) | (f & 4 ? KN_TB : 0));
            buf(&t, (size_t)t.m * t.n, 1, 1);
            buf(&t, (size_t)t.m * t.k, 1, 0);
            buf(&t, (size_t)t.n * t.k, 1, 0);
            compare(&t, run_gemm, 1e-11);
        }
}

static int run_xent(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_xent(d, b[0], b[1], b[2], 0.25f, t->m, t->n, t->flags);
}
static int run_rope(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_rope_doc(d, b[0], b[1], b[2], t->m, 3, t->k, t->n, t->flags & 1,
                       t->flags & 2 ? -1 : 1);
}
static int run_small(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    struct kn_adamw h = {.lr = 1e-2f,
                         .beta1 = .9f,
                         .beta2 = .999f,
                         .eps = 1e-8f,
                         .weight_decay = .1f,
                         .grad_scale = .5f,
                         .t = 3};
    int err = kn_axpy(d, b[0], b[1], 0.75f, (size_t)t->m);
    if (!err)
        err = kn_fill(d, b[8], 0.5f, (size_t)t->m);
    if (!err)
        err = kn_dropout(d, b[2], b[1], 0.3f, 77, 1234567, (size_t)t->m);
    if (!err)
        err = kn_adamw(d, b[3], b[1], b[4], b[5], (size_t)t->m, &h);
    return err ? err : kn_rows_get(d, b[6], b[1], b[7], 2, t->m / 3);
}

/* 0 w, 1 g, 2 m and 3 v as f32, 4 momentum's output: three steps over moments of t->type, then they are widened */
static int run_small_moments(struct kn_dev *d, const struct test *t, struct kn_at *b,
                             struct kn_weight *w)
{
    struct kn_adamw h = {.lr = 1e-2f,
                         .beta1 = .9f,
                         .beta2 = .999f,
                         .eps = 1e-8f,
                         .weight_decay = .1f,
                         .grad_scale = .5f,
                         .moment = (enum kn_moment)t->type,
                         .seed = 7,
                         .first = 4};
    const size_t n = (size_t)t->m, bytes = kn_moment_bytes(h.moment, n);
    char *p = malloc(bytes);
    float *x = malloc(n * sizeof *x);
    uint32_t *draws = calloc(n, sizeof *draws);
    struct kn_at s[2];
    int err = 0;
    (void)w;
    for (int k = 0; k < 2; k++) { /* rounded alike on every device */
        kn_moment_draws(&h, 1, draws, n);
        kn_moment_store(h.moment, k == 0, p, t->in[2 + k], n, draws);
        s[k] = put(d, p, bytes);
    }
    for (h.t = 1; !err && h.t <= 3; h.t++)
        err = t->flags ? kn_momentum(d, b[4], s[0], b[1], n, &h)
                       : kn_adamw(d, b[0], b[1], s[0], s[1], n, &h);
    for (int k = 0; k < 2; k++) {
        err = err ? err : kn_read(d, p, s[k], bytes);
        kn_moment_load(h.moment, k == 0, p, x, n);
        err = err ? err : kn_write(d, b[2 + k], x, n * sizeof *x);
        kn_free(d, s[k]);
    }
    free(p);
    free(x);
    free(draws);
    return err;
}

static void moments(void)
{
    static const int s[] = {1, 255, 256, 257, 10007};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        for (int type = 0; type < 3; type++)
            for (int momentum = 0; momentum < 2; momentum++) {
                struct test t = test("moments", s[i], 0, 0, type, momentum);
                for (int b = 0; b < 5; b++)
                    buf(&t, (size_t)s[i], 1, b != 1);
                for (int j = 0; j < s[i]; j++) {
                    t.in[2][j] *= 1e-2f;
                    t.in[3][j] = t.in[3][j] * t.in[3][j] * 1e-4f;
                }
                compare(&t, run_small_moments, type ? 0x1p-100 : 1e-11); /* T6: ref's bits */
            }
}

/* What T4 and T5 say of single values. */
static void rounding(void)
{
    enum { N = 20000 };
    const float *map = kn_moment_map(1), *v = kn_moment_map(0);
    static float x[N], y[N];
    static uint16_t h[N];
    static uint32_t draws[N];
    static struct kn_block8 b[N / KN_MOMENT_BLOCK + 1];
    int good = map[0] > -1 && map[127] == 0 && map[255] == 1 && v[0] == 0 && v[255] == 1;
    for (int i = 1; i < 256; i++)
        good &= map[i] > map[i - 1] && v[i] > v[i - 1];
    /* bitsandbytes.functional.create_dynamic_map(), entries 0, 64, 128, 200; and signed=False, 1, 128 */
    good &= fabsf(map[0] + 0.99296875f) < 1e-6f && fabsf(map[64] + 0.0985937f) < 1e-6f &&
            fabsf(map[128] - 5.5e-7f) < 1e-12f && fabsf(v[1] - 3.25e-7f) < 1e-12f;
    ok(good, "the dynamic maps");
    double sum = 0, worst = 0;
    for (int i = 0; i < N; i++)
        x[i] = 1.001f;
    for (uint64_t t = 0; t < 50; t++) {
        const struct kn_adamw round = {.seed = 5, .t = (long)t, .moment = KN_MOMENT_BF16};
        kn_moment_draws(&round, 0, draws, N);
        kn_moment_store(KN_MOMENT_BF16, 0, h, x, N, draws);
        kn_moment_load(KN_MOMENT_BF16, 0, h, y, N);
        for (int i = 0; i < N; i++) {
            sum += y[i];
            worst = fmax(worst, fabs(y[i] - 1.001));
        }
    }
    ok(fabs(sum / (50. * N) - 1.001) < 2e-5 && worst < 0x1p-7,
       "bf16: 1.001 on average, %.6f; never further than a step", sum / (50. * N));
    for (int i = 0; i < N; i++)
        x[i] = ldexpf(draw(), -i % 30);
    kn_moment_store(KN_MOMENT_8BIT, 1, b, x, N, NULL);
    kn_moment_load(KN_MOMENT_8BIT, 1, b, y, N);
    int nearest = 1;
    for (int i = 0; i < N; i++) {
        const float scale = b[i / KN_MOMENT_BLOCK].scale;
        double best = INFINITY;
        for (int k = 0; k < 256; k++)
            best = fmin(best, fabs((double)x[i] / scale - map[k]));
        nearest &= fabs((double)y[i] / scale - (double)x[i] / scale) < best + 1e-7;
    }
    ok(nearest, "8 bits: the nearest entry of the map");
    x[0] = 1;
    for (int i = 1; i < N; i++)
        x[i] = i % 2 ? 1e-20f : 0;
    kn_moment_store(KN_MOMENT_8BIT, 0, b, x, N, NULL);
    kn_moment_load(KN_MOMENT_8BIT, 0, b, y, N);
    int kept = 1;
    for (int i = 1; i < N; i++)
        kept &= i % 2 ? y[i] > 0 : y[i] == 0;
    ok(kept, "8 bits: of v, 0 stays 0 and nothing else becomes it");
}

static void magnitudes(void)
{
    static const int s[][4] = {{1, 1, 32, 1}, {5, 40, 64, 3}, {33, 200, 96, 8}, {3, 20, 1056, 4}};
    for (int i = 0; i < 8; i++) {
        const int *c = s[i / 2];
        struct test t = dora_test(c[0], c[1], c[2], c[3], i % 2 ? KN_Q8_0 : KN_F32);
        t.absent = i == 4;
        compare(&t, run_dora, 1e-11);
    }
}

/* 0 y, 1 x, 2 dw, 3 ids */
static int run_sums(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    int err = kn_sum_rows(d, b[0], b[1], t->m, t->n);
    return err ? err : kn_embed_bwd(d, b[2], b[1], b[3], t->m, t->n);
}

static void sums(void)
{
    static const int s[][2] = {{1, 1}, {40, 512}, {17, 33}, {600, 70}};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        const size_t m = (size_t)s[i][0], n = (size_t)s[i][1];
        struct test t = test("sums of rows, an embedding's gradient", s[i][0], s[i][1], 0, 0, 0);
        int32_t id[600];
        for (int j = 0; j < s[i][0]; j++)
            id[j] = j * j % 11;
        buf(&t, n, 1, 1);
        buf(&t, m * n, 1, 0);
        buf(&t, 11 * n, 1, 1);
        ids(&t, m, id);
        compare(&t, run_sums, 1e-11);
    }
}

static void rows(void)
{
    static const int s[][2] = {{1, 1}, {5, 64}, {3, 100}, {40, 512}, {17, 33}};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        for (int add = 0; add < 2; add++) {
            size_t m = s[i][0], n = s[i][1];
            struct test t = test("norm", s[i][0], s[i][1], 0, 0, add);
            buf(&t, m * n, 1, 1);
            buf(&t, m, 1, 1);
            buf(&t, m * n, 1, 0);
            buf(&t, n, 1, 0);
            buf(&t, m * n, 1, 1);
            buf(&t, n, 1, 1);
            buf(&t, m * n, 1, 0);
            compare(&t, run_norm, 1e-11);
            struct test x = test("xent", s[i][0], s[i][1], 0, 0, add);
            int32_t label[64];
            for (int j = 0; j < s[i][0]; j++)
                label[j] = j % 4 == 3 ? -1 : j * 7 % s[i][1];
            buf(&x, m, 1, 1);
            buf(&x, m * n, 4, 1);
            ids(&x, m, label);
            compare(&x, run_xent, 1e-11);
        }
    static const int e[] = {1, 15, 4096, 10007};
    for (size_t i = 0; i < 4; i++) {
        struct test t = test("swiglu_bwd", e[i], 0, 0, 0, 0);
        buf(&t, e[i], 1, 1);
        buf(&t, e[i], 1, 1);
        buf(&t, e[i], 1, 0);
        buf(&t, e[i], 6, 0);
        buf(&t, e[i], 1, 0);
        compare(&t, run_swiglu, 1e-11);
        if (e[i] < 3) /* its rows are thirds */
            continue;
        struct test u = test("axpy, dropout, adamw, rows_get", e[i], 0, 0, 0, 0);
        int32_t pick[2] = {2, 0};
        for (int b = 0; b < 7; b++) {
            buf(&u, b == 6 ? 2 * (e[i] / 3) : e[i], 1, b != 1);
            for (int j = 0; b == 5 && j < e[i]; j++)
                u.in[5][j] = fabsf(u.in[5][j]);
        }
        ids(&u, 2, pick);
        buf(&u, e[i], 1, 1);
        compare(&u, run_small, 1e-11);
    }
    for (int f = 0; f < 4; f++) {
        int32_t doc[7] = {0, 0, 0, 3, 4, 4, 4};
        struct test t = test("rope", 7, 12, 20, 0, f);
        buf(&t, 7 * 3 * 20, 1, 1);
        buf(&t, 3 * 12, 1, 0);
        ids(&t, 7, doc);
        compare(&t, run_rope, 1e-11);
    }
}

static void attention(void)
{
    static const int s[][5] = {{1, 1, 1, 16, 1},   {5, 2, 1, 8, 2},    {70, 4, 2, 64, 3},
                               {130, 2, 2, 20, 1}, {33, 6, 2, 128, 1}, {200, 2, 1, 32, 7}};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++) {
        struct test t = attn_test(s[i][0], s[i][1], s[i][2], s[i][3], s[i][4]);
        compare(&t, run_attn, 1e-10);
        struct test u = attn_test(s[i][0], s[i][1], s[i][2], s[i][3], s[i][4]);
        u.flags = KN_MIXED;
        compare(&u, run_attn, 2e-8);
    }
}

int main(int argc, char **argv)
{
    quick = is_quick(argc, argv);
    if (!quick) /* f32 products of many sizes */
        products();
    rows();
    sums();
    moments();
    rounding();
    magnitudes();
    attention();
    return done_testing();
}
