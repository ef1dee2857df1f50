/* test_group - layers on one input with their adapters: every device against ref, and T1's and T2's order written out */
#include "train_compare.h"

enum { G_X, G_UP, G_NORM, G_RSTD, G_H, G_DROPPED, G_DH, G_DZ, G_DX, G_LIN };
enum { L_Y, L_DY, L_RES, L_BIAS, L_A, L_B, L_Z, L_DA, L_DB, L_ALL };

/* Layers of n, n - 7 and n - 14 outputs: the first rows of one weight. The last has no adapter if there are
 * two. */
static int lin_n(const struct test *t, int i)
{
    return t->n - 7 * i > 0 ? t->n - 7 * i : 1;
}
static int lin_adapter(const struct test *t, int i)
{
    return t->r && !(t->n_lin == 2 && i == 1);
}

static int run_group(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    struct kn_group g = {.input = (enum kn_input)t->input,
                         .k = t->k,
                         .r = t->r,
                         .n_lin = t->n_lin,
                         .x = b[G_X],
                         .up = b[G_UP],
                         .norm = b[G_NORM],
                         .rstd = b[G_RSTD],
                         .eps = 1e-6f,
                         .alpha = 1.7f,
                         .dropout = t->dropout,
                         .seed = 99,
                         .h = b[G_H],
                         .dropped = b[G_DROPPED],
                         .dh = b[G_DH],
                         .dz = b[G_DZ],
                         .dnorm =
                             t->base && t->input == KN_IN_NORM ? b[t->base] : (struct kn_at){0}};
    struct kn_weight *mine[KN_GROUP] = {NULL};
    struct kn_at none = {0}, dx = t->absent ? none : b[G_DX];
    (void)w;
    for (int i = 0; i < t->n_lin; i++) {
        const struct kn_at *l = b + G_LIN + i * L_ALL;
        int flags = KN_W_TRAIN | (t->flags & KN_MIXED && t->m % 2 ? KN_W_MIXED : 0);
        if (kn_weight_new(d, t->type, lin_n(t, i), t->k, t->rows, flags, &mine[i]))
            abort();
        g.lin[i] = (struct kn_lin){.w = mine[i]};
        g.lin[i].bias = i ? none : l[L_BIAS], g.lin[i].res = i == 1 ? none : l[L_RES];
        g.lin[i].y = l[L_Y], g.lin[i].dy = l[L_DY], g.lin[i].draws = (uint64_t)i << 32;
        if (lin_adapter(t, i)) {
            g.lin[i].a = l[L_A], g.lin[i].b = l[L_B], g.lin[i].z = l[L_Z];
            g.lin[i].da = l[L_DA], g.lin[i].db = l[L_DB];
        }
        if (t->base) { /* the first has a bias, a second no gradient of its weight */
            g.lin[i].dw = i == 1 ? none : b[t->base + 1 + 2 * i];
            g.lin[i].dbias = i ? none : b[t->base + 2 + 2 * i];
        }
    }
    int err = kn_group(d, &g, t->m, t->flags);
    err = err ? err : kn_group_bwd(d, &g, dx, t->m, t->flags);
    for (int i = 0; i < t->n_lin; i++)
        kn_weight_free(d, mine[i]);
    return err;
}

static struct test group_test(int m, int n, int k, int r, int n_lin, int input, int type, int flags)
{
    static const char *const name[] = {"group", "group of a norm", "group of SwiGLU"};
    struct test t = test(name[input], m, n, k, type, flags);
    size_t mk = (size_t)m * k, w = r ? r : 1;
    t.r = r, t.n_lin = n_lin, t.input = input;
    t.rows = weight(type, n, k);
    buf(&t, mk, 1, input == KN_IN_SWIGLU);
    buf(&t, mk, 1, input == KN_IN_SWIGLU);
    buf(&t, k, 1, 0);
    buf(&t, m, 1, input == KN_IN_NORM);
    buf(&t, mk, 1, 0);
    buf(&t, mk, 1, 0);
    buf(&t, mk, 1, 0);
    buf(&t, m * w, 1, 0);
    buf(&t, mk, 1, input != KN_IN_SWIGLU);
    for (int i = 0; i < n_lin; i++) {
        size_t out = lin_n(&t, i);
        int a = lin_adapter(&t, i);
        buf(&t, m * out, 1, 1);
        buf(&t, m * out, 1, 0);
        buf(&t, m * out, 1, 0);
        buf(&t, out, 1, 0);
        buf(&t, w * k, 0.3f, 0);
        buf(&t, w * out, 0.3f, 0);
        buf(&t, m * w, 1, a);
        buf(&t, w * k, 1, a);
        buf(&t, w * out, 1, a);
    }
    return t;
}

/* With KN_MIXED z and dz are rounded again: where ref's differ in the last bit of f32 a rounding may go the
 * other way, an error of 2^-9 of one value. */
static void groups(void)
{
    static const struct {
        int m, n, k, r, n_lin, input, type;
    } s[] = {
        {1, 16, 32, 4, 1, KN_IN_PLAIN, KN_F32},       {33, 48, 64, 16, 3, KN_IN_NORM, KN_BF16},
        {70, 37, 50, 5, 2, KN_IN_NORM, KN_F32},       {130, 40, 96, 16, 1, KN_IN_SWIGLU, KN_Q8_0},
        {21, 100, 256, 40, 2, KN_IN_PLAIN, KN_Q4_K},  {64, 32, 64, 0, 1, KN_IN_PLAIN, KN_F16},
        {600, 20, 33, 17, 3, KN_IN_NORM, KN_F32},     {37, 1500, 32, 3, 1, KN_IN_PLAIN, KN_Q8_0},
        {259, 530, 544, 16, 2, KN_IN_SWIGLU, KN_Q5_0}};
    for (size_t i = 0; i < (quick ? 6 : sizeof s / sizeof *s); i++)
        for (int mixed = 0; mixed < 2; mixed++)
            for (int drop = 0; drop < 2; drop++) {
                struct test t = group_test(s[i].m, s[i].n, s[i].k, s[i].r, s[i].n_lin, s[i].input,
                                           s[i].type, mixed ? KN_MIXED : 0);
                t.dropout = drop ? 0.25f : 0;
                t.absent = i == 6 && drop;
                compare(&t, run_group, mixed ? 2e-8 : 1e-11);
            }
}

/* With gradients of norm, weights and biases, beside adapters and without. */
static void bases(void)
{
    static const struct {
        int m, n, k, r, n_lin, input;
    } s[] = {{1, 16, 32, 0, 1, KN_IN_PLAIN},   {33, 48, 64, 16, 3, KN_IN_NORM},
             {70, 37, 50, 0, 2, KN_IN_NORM},   {130, 40, 96, 0, 1, KN_IN_SWIGLU},
             {600, 20, 33, 0, 3, KN_IN_NORM},  {37, 1500, 32, 3, 1, KN_IN_PLAIN},
             {259, 330, 288, 0, 3, KN_IN_NORM}};
    for (size_t i = 0; i < (quick ? 5 : sizeof s / sizeof *s); i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            struct test t = group_test(s[i].m, s[i].n, s[i].k, s[i].r, s[i].n_lin, s[i].input,
                                       KN_F32, mixed ? KN_MIXED : 0);
            t.base = buf(&t, (size_t)t.k, 1, t.input == KN_IN_NORM);
            for (int j = 0; j < t.n_lin; j++) {
                buf(&t, (size_t)lin_n(&t, j) * (size_t)t.k, 1, j != 1);
                buf(&t, (size_t)lin_n(&t, j), 1, j == 0);
            }
            compare(&t, run_group, mixed ? 2e-8 : 1e-11);
        }
}

/* T1 written out: the chunks of one product from `sum` on. */
static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static float operand(float x)
{
    return kn_bf16_to_f32(kn_f32_to_bf16(flushed(x)));
}
static float chunks(float sum, int k, const float *a, size_t sa, const float *b, size_t sb,
                    float times)
{
    for (int c = 0; c < k; c += 32) {
        float t[2] = {0, 0};
        for (int p = c; p < c + 32 && p < k; p++)
            t[p % 2] = flushed(
                fmaf(operand(a[(size_t)p * sa]), operand(times * b[(size_t)p * sb]), t[p % 2]));
        sum = flushed(sum + flushed(t[0] + t[1]));
    }
    return sum;
}

/* T2's sum over the m rows of a gradient: of each 64 a sum by itself, then those in order. */
static float units(int m, const float *a, size_t sa, const float *b, size_t sb)
{
    float sum = chunks(0, m < 64 ? m : 64, a, sa, b, sb, 1);
    for (int i = 64; i < m; i += 64)
        sum +=
            chunks(0, m - i < 64 ? m - i : 64, a + (size_t)i * sa, sa, b + (size_t)i * sb, sb, 1);
    return sum;
}

/* One layer on every path, element by element in T1's and T2's order. */
static void order(void)
{
    for (size_t dev = quick; !only && dev < DEVICES; dev++) { /* cards have orders of their own */
        enum { M = 147, N = 35, K = 600, R = 6 };
        struct test t = group_test(M, N, K, R, 1, KN_IN_PLAIN, KN_F32, KN_MIXED);
        size_t n;
        int wrong = 0, wrong_sum = 0, wrong_dw = 0;
        t.base = buf(&t, K, 1, 0);
        buf(&t, N * K, 1, 1);
        buf(&t, N, 1, 0);
        for (int i = 0; i < M * K; i++) /* products and sums among the denormals, some not */
            t.in[G_X][i] = ldexpf(t.in[G_X][i], i % 3 ? -126 : i % 5 ? -60 : 0);
        float *got = run_on(device[dev], 2, &t, run_group, &n), *y, *z, *dx, *da, *db;
        const float *w = t.rows, *a = t.in[G_LIN + L_A], *b = t.in[G_LIN + L_B];
        const float *x = t.in[G_X], *dy = t.in[G_LIN + L_DY];
        float dz[M][R];
        if (!got) {
            skip("order of products: no %s here", device[dev]);
            continue;
        }
        dx = got, y = dx + M * K, z = y + M * N, da = z + M * R, db = da + R * K;
        for (int i = 0; i < M; i++) {
            for (int r = 0; r < R; r++) {
                wrong += chunks(0, K, x + i * K, 1, a + r * K, 1, 1) != z[i * R + r];
                dz[i][r] = chunks(0, N, dy + i * N, 1, b + r, R, 1.7f);
            }
            for (int j = 0; j < N; j++) {
                float s = chunks(0, K, x + i * K, 1, w + j * K, 1, 1);
                s = chunks(s, R, z + i * R, 1, b + j * R, 1, 1.7f) + t.in[G_LIN + L_BIAS][j];
                wrong += s + t.in[G_LIN + L_RES][i * N + j] != y[i * N + j];
            }
            for (int c = 0; c < K; c++) {
                float s = chunks(0, N, dy + i * N, 1, w + c, K, 1);
                wrong += chunks(s, R, dz[i], 1, a + c, K, 1) != dx[i * K + c];
            }
        }
        ok(wrong == 0, "%s: products of bf16 in T1's order, %d of %d differ", device[dev], wrong,
           M * (N + K + R));
        for (int r = 0; r < R; r++) {
            for (int c = 0; c < K; c++)
                wrong_sum += t.in[G_LIN + L_DA][r * K + c] + units(M, &dz[0][r], R, x + c, K) !=
                             da[r * K + c];
            for (int j = 0; j < N; j++)
                wrong_sum += t.in[G_LIN + L_DB][j * R + r] + 1.7f * units(M, dy + j, N, z + r, R) !=
                             db[j * R + r];
        }
        ok(wrong_sum == 0, "%s: gradients of factors in T2's order, %d of %d differ", device[dev],
           wrong_sum, R * (N + K));
        for (int c = 0; c < N * K; c++) /* dw is the last output */
            wrong_dw += t.in[t.base + 1][c] + chunks(0, M, dy + c / K, N, x + c % K, K, 1) !=
                        (got + n - N * K)[c];
        ok(wrong_dw == 0, "%s: gradients of weights in T2's order, %d of %d differ", device[dev],
           wrong_dw, N * K);
        free(got);
        for (int i = 0; i < t.n_buf; i++)
            free(t.in[i]);
        free(t.rows);
    }
}

/* A NaN that adding half a place would make infinite is one in its row of y and z, on every path, and nowhere else. */
static void nan_stays(void)
{
    for (size_t dev = quick; dev < (only ? 1 : DEVICES); dev++) {
        enum { M = 20, N = 35, K = 64, R = 6, ROW = 3 };
        struct test t = group_test(M, N, K, R, 1, KN_IN_PLAIN, KN_F32, KN_MIXED);
        const uint32_t bits = 0x7f800001;
        size_t n;
        int wrong = 0;
        memcpy(t.in[G_X] + ROW * K + 5, &bits, sizeof bits);
        float *got = run_on(device_of(dev), 2, &t, run_group, &n);
        for (int i = 0; got && i < M; i++) {
            const float *y = got + M * K + i * N, *z = got + M * (K + N) + i * R;
            for (int j = 0; j < N; j++)
                wrong += !isnan(y[j]) != (i != ROW);
            for (int r = 0; r < R; r++)
                wrong += !isnan(z[r]) != (i != ROW);
        }
        if (got)
            ok(wrong == 0, "%s: a NaN stays one", device_of(dev));
        else
            skip("a NaN stays one: no %s here", device_of(dev));
        free(got);
        for (int i = 0; i < t.n_buf; i++)
            free(t.in[i]);
        free(t.rows);
    }
}

/* The feed-forward part of a layer, forward and back: the second group hands the gradients of its inputs on to the
 * first.  0 x, 1 norm, 2 rstd, 3 h, 4 dh, 5 dz, 6 dx, 7 act, 8 dact, 9 y, 10 dy; of gate, up and down each its y or
 * input (gate and up alone), then a, b, z, da, db. */
enum { F_X, F_NORM, F_RSTD, F_H, F_DH, F_DZ, F_DX, F_ACT, F_DACT, F_Y, F_DY, F_GATE, F_UP, F_LIN };
static int run_ffn(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    struct kn_weight *mine[3] = {NULL};
    const int n[] = {t->n, t->n, t->k}, k[] = {t->k, t->k, t->n};
    struct kn_group in = {.input = KN_IN_NORM,
                          .k = t->k,
                          .r = t->r,
                          .n_lin = 2,
                          .alpha = 1.7f,
                          .x = b[F_X],
                          .norm = b[F_NORM],
                          .rstd = b[F_RSTD],
                          .eps = 1e-6f,
                          .h = b[F_H],
                          .dh = b[F_DH],
                          .dz = b[F_DZ]};
    struct kn_group out = {.input = KN_IN_SWIGLU,
                           .k = t->n,
                           .r = t->r,
                           .n_lin = 1,
                           .alpha = 1.7f,
                           .x = b[F_GATE],
                           .up = b[F_UP],
                           .h = b[F_ACT],
                           .dh = b[F_DACT],
                           .dz = b[F_DZ],
                           .fresh = 1,
                           .handed = 1};
    const struct kn_at none = {0};
    (void)w;
    for (int i = 0; i < 3; i++) {
        const struct kn_at *l = b + F_LIN + 5 * i;
        struct kn_lin *lin = i < 2 ? &in.lin[i] : &out.lin[0];
        if (kn_weight_new(d, KN_F32, n[i], k[i], t->rows, KN_W_TRAIN | KN_W_MIXED, &mine[i]))
            abort();
        *lin =
            (struct kn_lin){.w = mine[i], .a = l[0], .b = l[1], .z = l[2], .da = l[3], .db = l[4]};
        lin->y = i < 2 ? b[F_GATE + i] : b[F_Y];
        lin->dy = i < 2 ? b[F_GATE + i] : b[F_DY];
    }
    int err = kn_group(d, &in, t->m, t->flags);
    err = err ? err : kn_group(d, &out, t->m, t->flags);
    err = err ? err : kn_group_bwd(d, &out, none, t->m, t->flags);
    err = err ? err : kn_group_bwd(d, &in, b[F_DX], t->m, t->flags);
    for (int i = 0; i < 3; i++)
        kn_weight_free(d, mine[i]);
    return err;
}

static void handed_on(void)
{
    static const int s[][4] = {{33, 48, 64, 16}, {130, 100, 40, 5}};
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        for (int mixed = 0; mixed < 2; mixed++) {
            struct test t = test("a feed-forward part", s[i][0], s[i][1], s[i][2], KN_F32,
                                 mixed ? KN_MIXED : 0);
            const size_t m = (size_t)t.m, n = (size_t)t.n, k = (size_t)t.k, r = (size_t)s[i][3];
            t.r = s[i][3], t.n_lin = 2;
            t.rows = weight(KN_F32, t.n, t.k);
            const size_t len[] = {m * k, k,     m,     m * k, m * k, m * r, m * k,
                                  m * n, m * n, m * k, m * k, m * n, m * n};
            for (int j = 0; j < F_LIN; j++)
                buf(&t, len[j], 1, j == F_DX || j == F_Y);
            for (int j = 0; j < 3; j++) {
                const size_t wide = j < 2 ? k : n, high = j < 2 ? n : k;
                buf(&t, r * wide, 0.3f, 0);
                buf(&t, high * r, 0.3f, 0);
                buf(&t, m * r, 1, 1);
                buf(&t, r * wide, 1, 1);
                buf(&t, high * r, 1, 1);
            }
            compare(&t, run_ffn, mixed ? 1e-6 : 1e-11);
        }
}

int main(int argc, char **argv)
{
    quick = is_quick(argc, argv);
    /* how many roundings go the other way is the draws' matter: the bound of groups() is of these */
    state = quick ? state : 14224136083716974492u;
    groups();
    order();
    nan_stays();
    bases();
    handed_on();
    return done_testing();
}
