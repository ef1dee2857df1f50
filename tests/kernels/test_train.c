/* test_train - every training call on every device against ref; groups: test_group.c */
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
    struct kn_adamw h = {1e-2f, .9f, .999f, 1e-8f, .1f, .5f, 3};
    int err = kn_axpy(d, b[0], b[1], 0.75f, (size_t)t->m);
    if (!err)
        err = kn_fill(d, b[8], 0.5f, (size_t)t->m);
    if (!err)
        err = kn_dropout(d, b[2], b[1], 0.3f, 77, 1234567, (size_t)t->m);
    if (!err)
        err = kn_adamw(d, b[3], b[1], b[4], b[5], (size_t)t->m, &h);
    return err ? err : kn_rows_get(d, b[6], b[1], b[7], 2, t->m / 3);
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
    magnitudes();
    attention();
    return done_testing();
}
