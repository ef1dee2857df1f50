/* test_ops - products, rows, ops on a batch, routing and memory, each on every device
 *
 * usage: test_ops [quick | DEVICE]     see ops.h */
#include "kernels/ops.h"

/* ---- the ops ---- */

/* p: type, m, n, k, bias, KN_ADD, weight flags */
static size_t run_matmul(struct kn_dev *d, const int *p, float *y)
{
    int m = p[1], n = p[2], k = p[3];
    size_t count = (size_t)m * (size_t)n;
    float *x = numbers(7, (size_t)m * (size_t)k);
    for (int i = 0; i < m * k; i++) /* blocks of zeros, and blocks of magnitudes near FLT_MIN */
        x[i] *= i / 32 % 9 == 4 ? 0.0f : i / 32 % 9 == 7 ? 1e-36f : 1.0f;
    struct kn_at xa = on(d, x, (size_t)m * (size_t)k), ya = random_on(d, 8, count);
    struct kn_at bias = p[4] ? random_on(d, 9, (size_t)n) : (struct kn_at){0};
    must(kn_matmul(d, ya, xa, weight(d, p[0], n, k, p[6], 10), bias, m, p[5]), "kn_matmul");
    must(kn_read(d, y, ya, count * sizeof *y), "kn_read");
    return count;
}

static void test_matmul(void)
{
    static const struct op quant = {"matmul", run_matmul, 1e-4},
                           flt = {"matmul", run_matmul, 1e-11};
    static const int mn[][2] = {{1, 1},  {1, 7},  {2, 8},  {3, 17}, {8, 33}, {33, 5},
                                {64, 3}, {1, 64}, {5, 64}, {4, 16}, {78, 40}};
    for (int t = 0; t < N_QUANT; t++) {
        int type = quant_types[t], len = kn_type_info(type)->block_len;
        int ks[] = {len, 2 * len, 3 * len, 7 * len, 8 * len, 9 * len, 17 * len};
        for (size_t i = 0; i < 11; i++)
            for (size_t j = 0; j < (len == 32 ? 7 : 5); j++)
                check(&quant, (int[8]){type, mn[i][0], mn[i][1], ks[j], (int)(i + j) % 2,
                                       j % 3 == 1 ? KN_ADD : 0, KN_W_INFER});
        check(&quant, (int[8]){type, 33, 70, 2816, 1, 0, KN_W_INFER});
        /* several tiles of rows and tokens; one row: long, and with more groups of rows than a card has processors */
        check(&quant, (int[8]){type, 130, 133, 768, 1, KN_ADD, KN_W_INFER});
        check(&quant, (int[8]){type, 1, 33, 18944, 1, KN_ADD, KN_W_INFER});
        if (type == KN_Q8_0 || type == KN_Q6_K)
            check(&quant, (int[8]){type, 1, 4300, 768, 1, 0, KN_W_INFER});
        if (named && len == 256) /* more tiles of rows and tokens than a card has processors */
            check(&quant, (int[8]){type, 130, 5700, 768, 1, 0, KN_W_INFER});
        report(&quant, kn_type_info(type)->name);
        check(&flt, (int[8]){type, 3, 9, 512, 1, 0, KN_W_INFER | KN_W_FLOAT});
        check(&flt, (int[8]){type, 1, 8, 2816, 0, KN_ADD, KN_W_FLOAT});
        report(&flt, "KN_W_FLOAT");
    }
    for (int t = 0; t < N_WIDE; t++) {
        for (size_t i = 0; i < 11; i++)
            check(&flt, (int[8]){wide_types[t], mn[i][0], mn[i][1], 256 * (1 + (int)i % 3),
                                 (int)i % 2, i % 3 == 1 ? KN_ADD : 0, KN_W_INFER});
        report(&flt, kn_type_info(wide_types[t])->name);
    }
    for (int t = 0; t < N_FLOAT; t++) {
        static const int ks[] = {1, 3, 31, 32, 255, 256, 257, 600};
        for (size_t i = 0; i < 10; i++)
            for (size_t j = 0; j < 8; j++)
                check(&flt, (int[8]){float_types[t], mn[i][0], mn[i][1], ks[j], (int)(i + j) % 2,
                                     j % 3 == 1 ? KN_ADD : 0, KN_W_INFER});
        check(&flt, (int[8]){float_types[t], 33, 70, 2816, 1, 0, KN_W_INFER});
        report(&flt, kn_type_info(float_types[t])->name);
    }
}

/* The first rows of x, in batches of all sizes: the same bits. */
static void test_matmul_rows(void)
{
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int t = 0; t < N_QUANT + N_FLOAT + N_WIDE; t++) {
            int type = t < N_QUANT             ? quant_types[t]
                       : t < N_QUANT + N_FLOAT ? float_types[t - N_QUANT]
                                               : wide_types[t - N_QUANT - N_FLOAT];
            int p[8] = {type, 64, 35, 768, 1, 0, KN_W_INFER};
            forget_rows();
            size_t n = run_matmul(dev[i].d, p, exact);
            for (int m = 1; m <= 33; m = m == 1 ? 2 : m == 2 ? 3 : m == 3 ? 8 : m == 8 ? 33 : 99) {
                p[1] = m; /* the first rows of the same x */
                n = run_matmul(dev[i].d, p, got);
                bad += memcmp(got, exact, n * sizeof *got) != 0;
                drop_all();
            }
        }
        ok(bad == 0, "a product's row does not depend on its batch: %s", dev[i].name);
    }
}

/* p: m, n, in place */
static size_t run_norm(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[1], count = (size_t)p[0] * n;
    struct kn_at x = random_on(d, 1, count), w = random_on(d, 2, n);
    struct kn_at ya = p[2] ? x : on(d, NULL, count);
    must(kn_rms_norm(d, ya, x, w, 1e-6f, p[0], p[1]), "kn_rms_norm");
    must(kn_read(d, y, ya, count * sizeof *y), "kn_read");
    return count;
}

/* p: m, n, in place; values from tiny to beyond exp's range */
static size_t run_swiglu(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[0] * (size_t)p[1];
    float *gate = numbers(3, n);
    for (size_t i = 0; i < n; i++)
        gate[i] *= i % 5 == 0 ? 120.0f : i % 5 == 1 ? 1e-30f : 8.0f;
    struct kn_at g = on(d, gate, n), up = random_on(d, 4, n), ya = p[2] ? g : on(d, NULL, n);
    must(kn_swiglu(d, ya, g, up, p[0], p[1]), "kn_swiglu");
    must(kn_read(d, y, ya, n * sizeof *y), "kn_read");
    return n;
}

/* p: m, n, in place; a mean that is large beside the deviation */
static size_t run_layer_norm(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[1], count = (size_t)p[0] * n;
    float *in = numbers(1, count);
    for (size_t i = 0; i < count; i++)
        in[i] += p[2] ? 3 : 0.1f;
    struct kn_at x = on(d, in, count), w = random_on(d, 2, n), bias = random_on(d, 3, n);
    struct kn_at ya = p[2] ? x : on(d, NULL, count);
    must(kn_layer_norm(d, ya, x, w, bias, 1e-5f, p[0], p[1]), "kn_layer_norm");
    must(kn_read(d, y, ya, count * sizeof *y), "kn_read");
    return count;
}

/* p: m, n, in place, activation, without up */
static size_t run_glu(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[0] * (size_t)p[1];
    float *gate = numbers(3, n);
    for (size_t i = 0; i < n; i++)
        gate[i] *= i % 5 == 0 ? 120.0f : i % 5 == 1 ? 1e-30f : 4.0f;
    struct kn_at g = on(d, gate, n), up = random_on(d, 4, n), ya = p[2] ? g : on(d, NULL, n);
    struct kn_at none = {0};
    must(kn_glu(d, ya, g, p[4] ? none : up, p[3] ? KN_GELU : KN_SILU, p[0], p[1]), "kn_glu");
    must(kn_read(d, y, ya, n * sizeof *y), "kn_read");
    return n;
}

/* p: m, n, which map */
static size_t run_map(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[0] * (size_t)p[1];
    float *in = numbers(5, n);
    for (size_t i = 0; i < n; i++)
        in[i] *= i % 4 == 0 ? 300.0f : 20.0f;
    if (p[2] == KN_ZERO)
        in[0] = NAN;
    struct kn_at x = on(d, in, n);
    must(kn_map(d, x, (enum kn_map)p[2], 30, p[0], p[1]), "kn_map");
    must(kn_read(d, y, x, n * sizeof *y), "kn_read");
    return n;
}

/* p: m, n, with rows: backwards, taken out first; with weights */
static size_t run_add_rows(struct kn_dev *d, const int *p, float *y)
{
    size_t n = (size_t)p[0] * (size_t)p[1], bytes = (size_t)p[0] * sizeof(int32_t);
    struct kn_at x = random_on(d, 6, n), ya = random_on(d, 7, n), t = on(d, NULL, n);
    struct kn_at rows = on(d, NULL, (size_t)p[0]), w = random_on(d, 8, (size_t)p[0]), none = {0};
    int32_t id[64];
    for (int i = 0; i < p[0]; i++)
        id[i] = p[0] - 1 - i;
    must(kn_write(d, rows, id, bytes), "kn_write");
    if (p[2])
        must(kn_take_rows(d, t, x, rows, p[0], p[1]), "kn_take_rows");
    must(kn_add_rows(d, ya, p[2] ? t : x, p[2] ? rows : none, p[3] ? w : none, 0.3f, p[0], p[1]),
         "kn_add_rows");
    must(kn_read(d, y, ya, n * sizeof *y), "kn_read");
    return n;
}

/* what some architectures add to a layer */
static void test_more_rows(void)
{
    static const struct op ops[] = {{"layer_norm", run_layer_norm, 1e-11},
                                    {"glu", run_glu, 1e-12},
                                    {"map", run_map, 1e-12},
                                    {"add_rows", run_add_rows, 1e-12}};
    static const int n[] = {2, 15, 16, 17, 64, 200, 1003}, m[] = {1, 3, 33};
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 7; j++)
                check(&ops[k], k == 1   ? (int[8]){m[i], n[j], (i + j) % 2, j % 3 > 0, i % 2}
                               : k == 2 ? (int[8]){m[i], n[j], (i + j) % 4}
                               : k == 3 ? (int[8]){m[i], n[j], j % 2, (i + j) % 3 > 0}
                                        : (int[8]){m[i], n[j], (i + j) % 2});
        report(&ops[k], "");
    }
}

static void test_rows(void)
{
    static const struct op norm = {"rms_norm", run_norm, 1e-12},
                           swiglu = {"swiglu", run_swiglu, 1e-12};
    static const int n[] = {1, 7, 15, 16, 17, 64, 128, 200, 576, 896, 1003};
    static const int m[] = {1, 2, 3, 8, 33};
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 11; j++) {
            check(&norm, (int[8]){m[i], n[j], (int)(i + j) % 2});
        }
    check(&norm, (int[8]){64, 256, 1});
    report(&norm, "");
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 11; j++)
            check(&swiglu, (int[8]){m[i], n[j], (int)(i + j) % 2});
    report(&swiglu, "");
}

/* ---- ops on a batch ---- */

/* p: type, vocabulary, width */
static size_t run_embed(struct kn_dev *d, const int *p, float *y)
{
    const struct kn_rows *r = ragged(p[1], 2, (int[]){3, 6}, (int[]){0, 9});
    size_t n = (size_t)r->n_tok * (size_t)p[2];
    struct kn_batch *b = batch(d, r);
    struct kn_at ya = on(d, NULL, n);
    must(kn_embed(d, ya, weight(d, p[0], p[1], p[2], KN_W_INFER, 20), b), "kn_embed");
    must(kn_read(d, y, ya, n * sizeof *y), "kn_read");
    kn_batch_free(d, b);
    return n;
}

/* p: width */
static size_t run_take_out(struct kn_dev *d, const int *p, float *y)
{
    const struct kn_rows *r = ragged(50, 3, (int[]){1, 9, 4}, (int[]){0, 9, 2});
    size_t width = (size_t)p[0], n = (size_t)r->n_out * width;
    struct kn_batch *b = batch(d, r);
    struct kn_at x = random_on(d, 21, (size_t)r->n_tok * width), ya = on(d, NULL, n);
    must(kn_take_out(d, ya, x, p[0], b), "kn_take_out");
    must(kn_read(d, y, ya, n * sizeof *y), "kn_read");
    kn_batch_free(d, b);
    return n;
}

/* p: n_head, head_dim, rope_dim, pairs */
static size_t run_rope(struct kn_dev *d, const int *p, float *y)
{
    const struct kn_rows *r = ragged(50, 3, (int[]){1, 9, 4}, (int[]){0, 90, 2});
    size_t n = (size_t)r->n_tok * (size_t)(p[0] * p[1]);
    struct kn_batch *b = batch(d, r);
    struct kn_attn a = {.head_dim = p[1], .rope_dim = p[2], .rope_pairs = p[3]};
    a.rope = random_on(d, 22, (size_t)p[2] * MAX_BLOCKS * KN_TILE);
    struct kn_at x = random_on(d, 23, n);
    must(kn_rope(d, x, &a, p[0], b), "kn_rope");
    must(kn_read(d, y, x, n * sizeof *y), "kn_read");
    kn_batch_free(d, b);
    return n;
}

static void test_batch_rows(void)
{
    static const struct op embed = {"embed", run_embed, 0}, take = {"take_out", run_take_out, 0};
    static const struct op rope = {"rope", run_rope, 1e-13};
    for (int t = 0; t < N_QUANT; t++) {
        check(&embed, (int[8]){quant_types[t], 37, 256});
        check(&embed, (int[8]){quant_types[t], 11, 768});
        if (t < N_WIDE)
            check(&embed, (int[8]){wide_types[t], 37, 256});
    }
    for (int t = 0; t < N_FLOAT; t++)
        for (int w = 1; w < 70; w += 17)
            check(&embed, (int[8]){float_types[t], 37, w});
    report(&embed, "");
    for (int w = 1; w < 300; w += 37)
        check(&take, (int[8]){w});
    report(&take, "");
    for (int pairs = 0; pairs < 2; pairs++)
        for (int hd = 2; hd <= 130; hd += 32) {
            check(&rope, (int[8]){1, hd, hd, pairs});
            check(&rope, (int[8]){3, hd, hd / 4 * 2, pairs}); /* partial */
        }
    check(&rope, (int[8]){2, 64, 64, 0});
    check(&rope, (int[8]){5, 128, 128, 1});
    report(&rope, "");
}

/* ---- routing, argmax, memory ---- */

/* p: m, n_expert, top_k, normalize; logits on a coarse grid, so that there are ties */
static size_t run_moe(struct kn_dev *d, const int *p, float *y)
{
    size_t m = (size_t)p[0], k = (size_t)p[2], n = m * (size_t)p[1];
    float *x = numbers(70, n);
    int32_t id[1024];
    for (size_t i = 0; i < n; i++)
        x[i] = rintf(x[i] * 6) / 2;
    struct kn_at logits = on(d, x, n), ids = on(d, NULL, m * k), pr = on(d, NULL, m * k);
    int err = kn_moe_route(d, ids, pr, logits, p[0], p[1], p[2], p[3]);
    if (err == KN_EUNSUP)
        return 0;
    must(err, "kn_moe_route");
    must(kn_read(d, y, pr, m * k * sizeof *y), "kn_read");
    must(kn_read(d, id, ids, m * k * sizeof *id), "kn_read");
    for (size_t i = 0; i < m * k; i++)
        y[m * k + i] = (float)id[i];
    return 2 * m * k;
}

/* ids and weights against the definition, written out again */
static int moe_is_right(const int *p, const float *y)
{
    int bad = 0, m = p[0], n = p[1], k = p[2];
    const float *x = numbers(70, (size_t)m * (size_t)n);
    for (int r = 0; r < m; r++) {
        double v[256], sum = 0, kept = 0, max = -1e9;
        int taken[256] = {0}, at = 0;
        for (int i = 0; i < n; i++) {
            v[i] = rintf(x[r * n + i] * 6) / 2;
            max = v[i] > max ? v[i] : max;
        }
        for (int i = 0; i < n; i++)
            sum += exp(v[i] - max);
        for (int t = 0; t < k; t++) {
            int best = -1;
            for (int i = 0; i < n; i++)
                if (!taken[i] && (best < 0 || v[i] > v[best]))
                    best = i;
            taken[best] = 1;
            kept += exp(v[best] - max) / sum;
        }
        for (int i = 0; i < n; i++)
            if (taken[i]) {
                double want = exp(v[i] - max) / sum / (p[3] ? kept : 1);
                bad += (int)y[m * k + r * k + at] != i || fabs(y[r * k + at] - want) > 1e-6;
                at++;
            }
    }
    drop_all();
    return !bad;
}

static void test_moe(void)
{
    static const struct op op = {"moe_route", run_moe, 1e-12};
    static const int shape[][4] = {
        {1, 1, 1, 1}, {3, 8, 2, 1}, {5, 60, 4, 0}, {7, 128, 8, 1}, {2, 8, 8, 0}};
    int right = 1;
    for (size_t i = 0; i < 5; i++) {
        int p[8] = {shape[i][0], shape[i][1], shape[i][2], shape[i][3]};
        check(&op, p);
        right &= moe_is_right(p, exact);
    }
    ok(right, "moe_route: experts and weights by the definition, ties to the lowest id");
    report(&op, "");
}

static void test_memory(void)
{
    for (int i = 0; i < n_dev; i++) {
        struct kn_dev *d = dev[i].d;
        struct kn_at a, b;
        float v[100], w[100];
        int bad = 0;
        for (int j = 0; j < 100; j++)
            v[j] = (float)j;
        must(kn_alloc(d, 1000, &a), "kn_alloc");
        must(kn_alloc(d, 0, &b), "kn_alloc of nothing");
        must(kn_read(d, w, kn_plus(a, 600), 400), "kn_read");
        for (int j = 0; j < 100; j++)
            bad += w[j] != 0;
        must(kn_write(d, kn_plus(a, 400), v, 400), "kn_write");
        must(kn_all_reduce(d, kn_plus(a, 400), 100), "kn_all_reduce");
        must(kn_all_gather(d, a, kn_plus(a, 400), 100), "kn_all_gather");
        must(kn_read(d, w, a, 400), "kn_read");
        bad += memcmp(v, w, sizeof v) != 0 || kn_sync(d) != 0;
        float *host = kn_host(d, kn_plus(a, 400));
        bad += host && memcmp(host, v, sizeof v) != 0;
        bad += host && (uintptr_t)kn_host(d, a) % 64 != 0;
        kn_free(d, a);
        kn_free(d, b);
        struct kn_at logits = on(d, NULL, 7 * 3000), ids = on(d, NULL, 7);
        int32_t id[7];
        for (int r = 0; r < 7; r++) { /* two equal maxima: the lower id */
            float top = 5.0f;
            must(kn_write(d, kn_plus(logits, (size_t)(r * 3000 + r * 400) * 4), &top, 4),
                 "kn_write");
            must(kn_write(d, kn_plus(logits, (size_t)(r * 3000 + 2999) * 4), &top, 4), "kn_write");
        }
        must(kn_argmax(d, ids, logits, 7, 3000), "kn_argmax");
        must(kn_read(d, id, ids, sizeof id), "kn_read");
        for (int r = 0; r < 7; r++)
            bad += id[r] != r * 400;
        drop_all();
        must(kn_alloc_host(d, 1000, &a), "kn_alloc_host");
        must(kn_write(d, a, v, 400), "kn_write");
        must(kn_map(d, kn_plus(a, 40), KN_SCALE, 2, 1, 90), "kn_map");
        must(kn_read(d, w, a, 400), "kn_read");
        host = kn_host(d, a);
        for (int j = 0; j < 100; j++)
            bad += w[j] != (j < 10 ? v[j] : 2 * v[j]) || (host && host[j] != w[j]);
        kn_free(d, a);
        ok(bad == 0, "zeroed memory, write, read, the host's, collectives of one, argmax: %s",
           dev[i].name);
    }
}

/* Rows of many shapes: peaked, flat, ties, zeros of both signs, minus infinity; one with a NaN. */
static void fill_logits(float *x, int m, int n)
{
    float *v = numbers(80, (size_t)m * (size_t)n);
    for (int r = 0; r < m; r++)
        for (int i = 0; i < n; i++) {
            float *to = x + (size_t)r * (size_t)n + i, from = v[(size_t)r * (size_t)n + i];
            *to = r == 0   ? from * 20
                  : r == 1 ? from / 50
                  : r == 2 ? rintf(from * 3)
                  : r == 3 ? rintf(from) * -0.0f
                           : from * 4;
            if (r == 4 && i % 3)
                *to = -INFINITY;
            if (r == 5 && i == n / 2)
                *to = NAN;
        }
}

/* Of each row what kernels/top.c finds, to the bit; a row that is left to the host is one of many ties. */
static void test_top(void)
{
    enum { M = 7 };
    static const int shape[][3] = {
        /* n, n_real, k */
        {1, 1, 1},          {5, 4, 3},       {700, 700, 256},      {1025, 1024, 40},
        {8192, 8000, 1},    {8192, 8192, 2}, {151936, 151665, 40}, {151936, 151936, 256},
        {152064, 152064, 1}};
    struct kn_dev *ref;
    must(kn_open(&ref, "ref", 1), "kn_open");
    for (int i = 0; i < n_dev; i++) {
        struct kn_dev *d = dev[i].d;
        int bad = 0, left = 0, found = 1;
        for (size_t s = 0; s < sizeof shape / sizeof *shape && found; s++)
            for (int flags = 0; flags <= KN_TOP_MASS; flags++) {
                const int n = shape[s][0], n_real = shape[s][1], k = shape[s][2];
                float *x = calloc((size_t)M * (size_t)n, sizeof *x);
                fill_logits(x, M, n);
                struct kn_at at, wat, logits = on(d, x, (size_t)M * (size_t)n);
                struct kn_at rl;
                must(kn_alloc(ref, (size_t)M * (size_t)n * sizeof *x, &rl), "kn_alloc");
                must(kn_write(ref, rl, x, (size_t)M * (size_t)n * sizeof *x), "kn_write");
                must(kn_alloc_host(d, M * sizeof(struct kn_top), &at), "kn_alloc_host");
                must(kn_alloc_host(ref, M * sizeof(struct kn_top), &wat), "kn_alloc_host");
                found = kn_top(d, at, logits, M, n, n_real, k, flags) == KN_OK;
                must(kn_sync(d), "kn_sync");
                must(kn_top(ref, wat, rl, M, n, n_real, k, flags), "kn_top");
                const struct kn_top *have = kn_host(d, at), *want = kn_host(ref, wat);
                for (int r = 0; r < M && found; r++) {
                    const int odd = have[r].nan || want[r].nan;
                    left += !odd && have[r].n == 0;
                    bad += have[r].nan != want[r].nan;
                    if (odd)
                        continue;
                    bad += memcmp(&have[r].mass, &want[r].mass, sizeof have[r].mass) != 0 &&
                           want[r].mass == want[r].mass;
                    bad += have[r].n == 0 ? r == 0 || r > 3
                                          : have[r].n != want[r].n ||
                                                memcmp(have[r].cand, want[r].cand,
                                                       (size_t)want[r].n * sizeof *want[r].cand);
                }
                kn_free(d, at);
                kn_free(ref, wat);
                kn_free(ref, rl);
                free(x);
                drop_all();
            }
        if (found)
            ok(bad == 0, "the first of logits and their mass: %s (%d rows left to the host)",
               dev[i].name, left);
        else
            skip("%s: logits are not in our memory, and it has no kn_top", dev[i].name);
    }
    kn_close(ref);
}

int main(int argc, char **argv)
{
    ops_begin(argc, argv);
    test_memory();
    test_rows();
    test_more_rows();
    test_batch_rows();
    thin = quick;
    test_matmul();
    thin = 0;
    test_matmul_rows();
    test_moe();
    test_top();
    return ops_end();
}
