/* test_train - every training call: ref's gradients by finite differences, every device against ref
 */
#include "tap.h"
#include "train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 42;
static float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(state >> 11) / 4503599627370496.0 - 1);
}

static struct kn_at put(struct kn_dev *d, const void *p, size_t bytes)
{
    struct kn_at a = {0};
    if (kn_alloc(d, bytes ? bytes : 4, &a) || (p && bytes && kn_write(d, a, p, bytes)))
        abort();
    return a;
}

static float *fill(size_t n, float scale)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw() * scale;
    return x;
}

/* A case: inputs and outputs by number; run() does the call on a device. */
enum { MAX_BUF = 40 };
struct test {
    const char *name;
    int m, n, k, type, flags, n_buf;
    float *in[MAX_BUF]; /* initial content, f32 or int32 */
    size_t len[MAX_BUF];
    int out[MAX_BUF]; /* 1: compare */
    void *rows;
    struct kn_attn attn;
    int doc_of;
    /* a group */
    int r, n_lin, input, absent; /* absent: nobody wants dx */
    float dropout;
};

static struct test test(const char *name, int m, int n, int k, int type, int flags)
{
    struct test t = {.name = name, .m = m, .n = n, .k = k, .type = type, .flags = flags};
    return t;
}

static int buf(struct test *t, size_t n, float scale, int out)
{
    t->in[t->n_buf] = fill(n, scale);
    t->len[t->n_buf] = n;
    t->out[t->n_buf] = out;
    return t->n_buf++;
}

static int ids(struct test *t, size_t n, const int32_t *v)
{
    t->in[t->n_buf] = malloc((n + 1) * 4);
    memcpy(t->in[t->n_buf], v, n * 4);
    t->len[t->n_buf] = n;
    t->out[t->n_buf] = 0;
    return t->n_buf++;
}

typedef int run_fn(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w);

/* Outputs of one device, all in one array. */
static float *run_on(const char *name, int threads, struct test *t, run_fn *run, size_t *n)
{
    struct kn_dev *d;
    struct kn_weight *w = NULL;
    struct kn_at b[MAX_BUF];
    if (kn_open(&d, name, threads))
        return NULL;
    for (int i = 0; i < t->n_buf; i++)
        b[i] = put(d, t->in[i], t->len[i] * 4);
    if (t->rows && kn_weight_new(d, t->type, t->n, t->k, t->rows, KN_W_TRAIN, &w))
        abort();
    float *out = NULL;
    *n = 0;
    if (run(d, t, b, w) == 0) {
        for (int i = 0; i < t->n_buf; i++)
            *n += t->out[i] ? t->len[i] : 0;
        out = malloc((*n + 1) * sizeof *out);
        size_t at = 0;
        for (int i = 0; i < t->n_buf; i++)
            if (t->out[i]) {
                kn_read(d, out + at, b[i], t->len[i] * 4);
                at += t->len[i];
            }
    }
    if (w)
        kn_weight_free(d, w);
    for (int i = 0; i < t->n_buf; i++)
        kn_free(d, b[i]);
    kn_close(d);
    return out;
}

static double nmse(const float *a, const float *b, size_t n)
{
    double e = 0, s = 1e-30;
    for (size_t i = 0; i < n; i++) {
        e += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)b[i] * b[i];
        if (!isfinite(a[i]))
            return INFINITY;
    }
    return e / s;
}

/* Of a group, the worst of its outputs: a wrong small one must not hide beside a large one. */
static double error_of(const struct test *t, const float *a, const float *b, size_t n)
{
    double worst = 0;
    if (!t->n_lin)
        return nmse(a, b, n);
    for (int i = 0; i < t->n_buf; i++)
        if (t->out[i]) {
            double e = nmse(a, b, t->len[i]);
            worst = e > worst ? e : worst;
            a += t->len[i], b += t->len[i];
        }
    return worst;
}

/* quick (for an emulator): without the model, which is plain C; 3 threads; fewer groups */
static int quick;
static const char *const device[] = {"cpu:amx-model", "cpu:generic", "cpu:avx2",      "cpu:avxvnni",
                                     "cpu:avx512",    "cpu:neon",    "cpu:neon_i8mm", "cpu:amx"};

/* All devices and thread counts against ref; equal bits across threads and instruction sets. */
static void compare(struct test *t, run_fn *run, double limit)
{
    size_t n, n2;
    double worst = 0;
    float *want = run_on("ref", 1, t, run, &n), *first = NULL;
    int ran = 0, same = 1;
    for (size_t i = quick; i < sizeof device / sizeof *device; i++)
        for (int threads = quick ? 3 : 1; threads <= 3; threads += 2) {
            float *got = run_on(device[i], threads, t, run, &n2);
            if (!got)
                continue;
            double e = error_of(t, got, want, n);
            worst = e > worst ? e : worst;
            if (first)
                same &= !memcmp(first, got, n * sizeof *got);
            ran++;
            if (first)
                free(got);
            else
                first = got;
        }
    if (!ran)
        skip("%s: no cpu device", t->name);
    else
        ok(want && worst < limit && same,
           "%s m %d n %d k %d type %d flags %d: %d runs, nmse %.1e%s", t->name, t->m, t->n, t->k,
           t->type, t->flags, ran, worst, same ? "" : ", bits differ");
    free(want);
    free(first);
    for (int i = 0; i < t->n_buf; i++)
        free(t->in[i]);
    free(t->rows);
}

static void *weight(int type, int n, int k)
{
    float *x = fill((size_t)n * k, 0.2f);
    size_t row = kn_row_bytes(type, (size_t)k);
    char *rows = malloc(row * n + 1);
    for (int i = 0; i < n; i++)
        kn_quantize(type, x + (size_t)i * k, rows + i * row, (size_t)k);
    free(x);
    return rows;
}

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

/* ---- groups ---- */

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
                         .dz = b[G_DZ]};
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

/* T1 written out: the chunks of one product from `sum` on. */
static float flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static float operand(float x)
{
    return flushed(kn_bf16_to_f32(kn_f32_to_bf16(x)));
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

/* One layer on every path, element by element in T1's and T2's order. */
static void order(void)
{
    for (size_t dev = quick; dev < sizeof device / sizeof *device; dev++) {
        enum { M = 19, N = 35, K = 600, R = 6 };
        struct test t = group_test(M, N, K, R, 1, KN_IN_PLAIN, KN_F32, KN_MIXED);
        size_t n;
        int wrong = 0;
        for (int i = 0; i < M * K; i++) /* products and sums among the denormals, some not */
            t.in[G_X][i] = ldexpf(t.in[G_X][i], i % 3 ? -126 : i % 5 ? -60 : 0);
        float *got = run_on(device[dev], 2, &t, run_group, &n), *y, *z, *dx;
        const float *w = t.rows, *a = t.in[G_LIN + L_A], *b = t.in[G_LIN + L_B];
        if (!got) {
            skip("order of products: no %s here", device[dev]);
            continue;
        }
        dx = got, y = dx + M * K, z = y + M * N;
        for (int i = 0; i < M; i++) {
            const float *x = t.in[G_X] + i * K, *dy = t.in[G_LIN + L_DY] + i * N;
            float dz[R];
            for (int r = 0; r < R; r++) {
                wrong += chunks(0, K, x, 1, a + r * K, 1, 1) != z[i * R + r];
                dz[r] = chunks(0, N, dy, 1, b + r, R, 1.7f);
            }
            for (int j = 0; j < N; j++) {
                float s = chunks(0, K, x, 1, w + j * K, 1, 1);
                s = chunks(s, R, z + i * R, 1, b + j * R, 1, 1.7f) + t.in[G_LIN + L_BIAS][j];
                wrong += s + t.in[G_LIN + L_RES][i * N + j] != y[i * N + j];
            }
            for (int c = 0; c < K; c++) {
                float s = chunks(0, N, dy, 1, w + c, K, 1);
                wrong += chunks(s, R, dz, 1, a + c, K, 1) != dx[i * K + c];
            }
        }
        ok(wrong == 0, "%s: products of bf16 in T1's order, %d of %d differ", device[dev], wrong,
           M * (N + K + R));
        free(got);
        for (int i = 0; i < t.n_buf; i++)
            free(t.in[i]);
        free(t.rows);
    }
}

static int run_norm(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    int err = kn_norm(d, b[0], b[1], b[2], b[3], 1e-6f, t->m, t->n);
    return err ? err : kn_norm_bwd(d, b[4], b[5], b[6], b[2], b[3], b[1], t->m, t->n, t->flags);
}
static int run_swiglu(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    return kn_swiglu_bwd(d, b[0], b[1], b[2], b[3], b[4], (size_t)t->m);
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

/* 0 norm, 1 a, 2 b, 3 x, 4 mag, 5 y, 6 bias, 7 dmag, 8 dy, 9 dx */
static int run_dora(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    const struct kn_at none = {0};
    int err = kn_row_norm(d, b[0], w, t->absent ? none : b[1], b[2], 0.7f, t->r);
    err = err ? err : kn_dora(d, b[5], b[3], b[4], b[0], t->absent ? none : b[6], t->m, t->n);
    err = err ? err : kn_dora(d, b[9], b[8], b[4], b[0], none, t->m, t->n);
    return err ? err : kn_dora_bwd(d, b[7], b[8], b[3], b[0], t->m, t->n);
}

static struct test dora_test(int m, int n, int k, int r, int type)
{
    struct test t = test("dora", m, n, k, type, 0);
    const size_t mn = (size_t)m * (size_t)n;
    t.r = r;
    t.rows = weight(type, n, k);
    buf(&t, (size_t)n, 1, 1);
    buf(&t, (size_t)r * (size_t)k, 1, 0);
    buf(&t, (size_t)n * (size_t)r, 1, 0);
    buf(&t, mn, 1, 0);
    buf(&t, (size_t)n, 1, 0);
    buf(&t, mn, 1, 1);
    buf(&t, (size_t)n, 1, 0);
    buf(&t, (size_t)n, 1, 1);
    buf(&t, mn, 1, 0);
    buf(&t, mn, 1, 1);
    return t;
}

static void magnitudes(void)
{
    static const int s[][4] = {{1, 1, 32, 1}, {5, 40, 64, 3}, {33, 200, 96, 8}};
    for (int i = 0; i < 6; i++) {
        const int *c = s[i / 2];
        struct test t = dora_test(c[0], c[1], c[2], c[3], i % 2 ? KN_Q8_0 : KN_F32);
        t.absent = i == 4;
        compare(&t, run_dora, 1e-11);
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

static int run_attn(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w)
{
    (void)w;
    int err = kn_attn_doc(d, b[0], b[1], b[2], b[3], b[4], b[5], &t->attn, t->m, t->flags);
    return err ? err
               : kn_attn_doc_bwd(d, b[6], b[7], b[8], b[9], b[0], b[1], b[2], b[3], b[4], b[5],
                                 &t->attn, t->m, t->flags);
}

static struct test attn_test(int t, int heads, int kv, int hd, int docs)
{
    struct test x = test("attention", t, heads, hd, 0, 0);
    int32_t *doc = malloc((size_t)t * 4);
    for (int i = 0; i < t; i++) /* documents of unequal lengths */
        doc[i] = i == 0 || (docs > 1 && i % (t / docs + 1) == 0) ? i : doc[i - 1];
    x.attn = (struct kn_attn){.n_head = heads, .n_head_kv = kv, .head_dim = hd, .scale = 0.3f};
    size_t q = (size_t)t * heads * hd, k = (size_t)t * kv * hd;
    buf(&x, q, 1, 1);
    buf(&x, (size_t)t * heads, 1, 1);
    buf(&x, q, 1, 0);
    buf(&x, k, 1, 0);
    buf(&x, k, 1, 0);
    ids(&x, (size_t)t, doc);
    buf(&x, q, 1, 1);
    buf(&x, k, 1, 1);
    buf(&x, k, 1, 1);
    buf(&x, q, 1, 0);
    free(doc);
    return x;
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

int main(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    if (!quick) { /* ref alone, and f32 products of many sizes */
        finite_differences();
        products();
    }
    groups();
    order();
    rows();
    magnitudes();
    attention();
    return done_testing();
}
