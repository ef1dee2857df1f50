/* test_ops - every inference op on every device against ref, and against ref:q bit for bit
 *
 * For each case: "ref" gives the true values (NMSE within the tolerance listed with the op),
 * "ref:q" the bits that every other device must have, with 1 and with 2 threads.  Further down: a
 * row's result does not depend on the batch it is in, and a fused call equals its composition.
 *
 * To add an op: write run_OP(d, p, y), which makes its inputs from fixed seeds, issues the call on
 * device d with the integers p, and copies the outputs to y (returns their number; 0 if the device
 * answers KN_EUNSUP); list it in a struct op with its tolerance; loop check() over shapes (1, odd,
 * one less than a block, a block, more, large) and end with report().
 *
 * usage: test_ops [quick]     quick: fewer devices, every third case of the large grids (for an emulator) */
#include "kernels.h"
#include "tap.h"
#include <math.h>
#include <string.h>

enum { MAX_DEV = 24, MAX_OUT = 1 << 16, MAX_HELD = 128 };

static struct device {
    char name[48];
    struct kn_dev *d;
    int n, far, differ;  /* cases; with far too large an error; with bits unlike ref:q */
    double error, power; /* sums of squares over the cases */
} dev[MAX_DEV];          /* 0 is ref, 1 ref:q */
static int n_dev;

static const int quant_types[] = {KN_Q4_0, KN_Q4_1, KN_Q5_0, KN_Q5_1,
                                  KN_Q8_0, KN_Q4_K, KN_Q5_K, KN_Q6_K};
static const int float_types[] = {KN_F32, KN_F16, KN_BF16};
enum { N_QUANT = 8, N_FLOAT = 3 };

/* ---- inputs: a function of the seed alone; freed by drop_all ---- */

static struct held {
    struct kn_dev *d;
    struct kn_at at;
    struct kn_weight *w;
    void *mem;
} held[MAX_HELD];
static int n_held;

static void must(int err, const char *what)
{
    if (err) {
        printf("Bail out! %s: %s\n", what, kn_strerror(err));
        exit(1);
    }
}

static void *keep(void *mem)
{
    must(mem && n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.mem = mem};
    return mem;
}

static void drop_all(void)
{
    while (n_held > 0) {
        struct held *h = &held[--n_held];
        if (h->w)
            kn_weight_free(h->d, h->w);
        if (h->at.buf)
            kn_free(h->d, h->at);
        free(h->mem);
    }
}

/* uniform in [-1, 1) */
static float *numbers(uint64_t seed, size_t n)
{
    float *x = keep(malloc(n * sizeof *x + 1));
    uint64_t s = seed * 0x9E3779B97F4A7C15u + 1;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        x[i] = (float)(s >> 40) / 8388608 - 1;
    }
    return x;
}

static struct kn_at on(struct kn_dev *d, const void *p, size_t count)
{
    struct kn_at a;
    must(kn_alloc(d, count * 4, &a), "kn_alloc");
    if (p)
        must(kn_write(d, a, p, count * 4), "kn_write");
    must(n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.d = d, .at = a};
    return a;
}

static struct kn_at random_on(struct kn_dev *d, uint64_t seed, size_t n)
{
    return on(d, numbers(seed, n), n);
}

/* Quantized rows of the case at hand, made once for all devices: Q4_K's search is slow. */
static struct rows {
    int type, n, k;
    uint64_t seed;
    void *p;
} cache[16];
static int n_cached;

static void forget_rows(void)
{
    while (n_cached > 0)
        free(cache[--n_cached].p);
}

static const void *weight_rows(int type, int n, int k, uint64_t seed)
{
    for (int i = 0; i < n_cached; i++)
        if (cache[i].type == type && cache[i].n == n && cache[i].k == k && cache[i].seed == seed)
            return cache[i].p;
    size_t count = (size_t)n * (size_t)k;
    void *p = malloc(kn_row_bytes(type, (size_t)k) * (size_t)n);
    must(p && n_cached < 16 ? 0 : KN_ENOMEM, "test memory");
    kn_quantize(type, numbers(seed, count), p, count);
    cache[n_cached++] = (struct rows){type, n, k, seed, p};
    return p;
}

static struct kn_weight *weight(struct kn_dev *d, int type, int n, int k, int flags, uint64_t seed)
{
    struct kn_weight *w;
    must(kn_weight_new(d, type, n, k, weight_rows(type, n, k, seed), flags, &w), "kn_weight_new");
    must(n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.d = d, .w = w};
    return w;
}

/* ---- the comparison ---- */

struct op {
    const char *name;
    size_t (*run)(struct kn_dev *d, const int *p, float *y);
    double tolerance; /* NMSE against ref, over all cases of a report; a case alone (which may be
                       * one number, nearly cancelled) may have 100 times that */
};

static float truth[MAX_OUT], exact[MAX_OUT], got[MAX_OUT];

static int quick, thin; /* thin: every third case only */

static void check(const struct op *op, const int *p)
{
    static int n_case;
    if (thin && n_case++ % 3)
        return;
    forget_rows();
    size_t n = op->run(dev[0].d, p, truth), nq = op->run(dev[1].d, p, exact);
    drop_all();
    must(n && n == nq && n <= MAX_OUT ? 0 : KN_EDEVICE, op->name);
    for (int i = 1; i < n_dev; i++) {
        size_t ni = i == 1 ? n : op->run(dev[i].d, p, memset(got, 0x7f, sizeof got));
        const float *y = i == 1 ? exact : got;
        drop_all();
        if (ni == 0)
            continue;
        double e = 0, power = 0;
        for (size_t k = 0; k < n; k++) {
            e += ((double)y[k] - truth[k]) * ((double)y[k] - truth[k]);
            power += (double)truth[k] * truth[k];
        }
        int differ = ni != n || memcmp(y, exact, n * sizeof *y) != 0;
        int far = !(e <= 100 * op->tolerance * power);
        dev[i].n++;
        dev[i].far += far;
        dev[i].differ += differ;
        dev[i].error += e;
        dev[i].power += power;
        if (differ || far) {
            size_t at = 0;
            while (at < n - 1 && memcmp(&y[at], &exact[at], sizeof *y) == 0)
                at++;
            printf(
                "# %s on %s, p = %d %d %d %d %d %d %d %d: nmse %.3g; element %zu of %zu is %.9g, "
                "ref:q %.9g, ref %.9g\n",
                op->name, dev[i].name, p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], e / power,
                at, n, y[at], exact[at], truth[at]);
        }
    }
}

static void report(const struct op *op, const char *variant)
{
    for (int i = 1; i < n_dev; i++) {
        struct device *v = &dev[i];
        double e = v->power > 0 ? v->error / v->power : v->error;
        if (v->n == 0)
            skip("%s %s: not supported by %s", op->name, variant, v->name);
        else
            ok(v->far == 0 && v->differ == 0 && e <= op->tolerance,
               "%s %s on %s: %d cases, nmse %.2g <= %.0e%s", op->name, variant, v->name, v->n, e,
               op->tolerance, i > 1 ? ", bits of ref:q" : "");
        v->n = v->far = v->differ = 0;
        v->error = v->power = 0;
    }
}

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
        report(&quant, kn_type_info(type)->name);
        check(&flt, (int[8]){type, 3, 9, 512, 1, 0, KN_W_INFER | KN_W_FLOAT});
        check(&flt, (int[8]){type, 1, 8, 2816, 0, KN_ADD, KN_W_FLOAT});
        report(&flt, "KN_W_FLOAT");
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

enum { MAX_ROWS = 256, N_BLOCK = 24, MAX_BLOCKS = 8 };
static const struct kn_rows *ragged(int n_vocab, int n_seq, const int *len, const int *start)
{
    static int32_t tok[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], out[MAX_ROWS], blocks[N_BLOCK];
    static struct kn_rows r;
    r = (struct kn_rows){
        .n_seq = n_seq, .tok = tok, .pos = pos, .seq = seq, .out = out, .blocks = blocks};
    for (int s = 0; s < n_seq; s++) {
        for (int b = 0; b < MAX_BLOCKS; b++)
            blocks[s * MAX_BLOCKS + b] =
                (s * MAX_BLOCKS + b) * 7 % N_BLOCK; /* scattered, disjoint */
        for (int t = 0; t < len[s]; t++, r.n_tok++) {
            tok[r.n_tok] = (r.n_tok * 5 + 3) % n_vocab;
            pos[r.n_tok] = start[s] + t;
            seq[r.n_tok] = s;
            if (t == len[s] - 1 || t % 4 == 1)
                out[r.n_out++] = r.n_tok;
        }
    }
    return &r;
}

static struct kn_batch *batch(struct kn_dev *d, const struct kn_rows *r)
{
    struct kn_batch *b;
    must(kn_batch_new(d, MAX_ROWS, 3, MAX_BLOCKS, &b), "kn_batch_new");
    must(kn_batch_set(d, b, r), "kn_batch_set");
    return b;
}

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

/* ---- attention and the fused calls: a small layer over a cache ---- */

struct layer {
    struct kn_attn a;
    struct kn_ffn f;
    struct kn_weight *w[7];
};
enum { WITH_BIAS = 1, WITH_QK_NORM = 2, PAIRS = 4, SHARP = 8, STALE = 16, PIECES = 32 };

/* p: type, n_embd, n_head, n_head_kv, head_dim, kv type, options; n_ff is n_embd */
static void make_layer(struct kn_dev *d, const int *p, struct layer *l)
{
    int q = p[2] * p[4], kv = p[3] * p[4], e = p[1], opt = p[6];
    const int n[7] = {q, kv, kv, e, e, e, e}, k[7] = {e, e, e, q, e, e, e};
    for (int i = 0; i < 7;
         i++) /* the output projection is not used here: q need not suit its blocks */
        l->w[i] = i == 3 ? NULL : weight(d, p[0], n[i], k[i], KN_W_INFER, 30 + (uint64_t)i);
    l->a = (struct kn_attn){.n_embd = e,
                            .n_head = p[2],
                            .n_head_kv = p[3],
                            .head_dim = p[4],
                            .rope_dim = p[4] / 2 * 2,
                            .rope_pairs = opt & PAIRS,
                            .eps = 1e-6f,
                            .scale = opt & SHARP ? 9.0f : 1 / sqrtf((float)p[4]),
                            .norm = random_on(d, 40, (size_t)e),
                            .q = l->w[0],
                            .k = l->w[1],
                            .v = l->w[2]};
    if (opt & WITH_BIAS) {
        l->a.bq = random_on(d, 41, (size_t)q);
        l->a.bk = random_on(d, 42, (size_t)kv);
        l->a.bv = random_on(d, 43, (size_t)kv);
    }
    if (opt & WITH_QK_NORM) {
        l->a.q_norm = random_on(d, 44, (size_t)p[4]);
        l->a.k_norm = random_on(d, 45, (size_t)p[4]);
    }
    l->a.rope = random_on(d, 46, (size_t)p[4] * MAX_BLOCKS * KN_TILE);
    l->f = (struct kn_ffn){e, e, 1e-6f, random_on(d, 47, (size_t)e), l->w[4], l->w[5], l->w[6]};
}

/* Only rows [from, to) of r: a step of its own. */
static struct kn_rows some_rows(const struct kn_rows *r, int from, int to)
{
    struct kn_rows s = *r;
    static int32_t out[MAX_ROWS];
    s.n_tok = to - from;
    s.tok += from;
    s.pos += from;
    s.seq += from;
    s.n_out = s.n_tok;
    s.out = out;
    for (int i = 0; i < s.n_tok; i++)
        out[i] = i;
    return s;
}

/* What one layer makes of a ragged batch: q, attention, x after the feed-forward part, logits,
 * taken `step` rows at a time.  p[7]: 0 = ragged batch of three sequences; else one sequence of
 * p[7] rows. */
static size_t run_steps(struct kn_dev *d, const int *p, float *y, int step)
{
    const struct kn_rows *r = p[7] ? ragged(50, 1, &p[7], (int[]){0})
                                   : ragged(50, 3, (int[]){1, 35, 66}, (int[]){0, 0, 0});
    struct kn_rows all = *r;
    struct layer l;
    struct kn_kv *kv;
    make_layer(d, p, &l);
    must(kn_kv_new(d, 2, N_BLOCK, p[3], p[4], p[5], &kv), "kn_kv_new");
    size_t q_row = (size_t)(p[2] * p[4]), x_row = (size_t)p[1], rows = (size_t)all.n_tok,
           n_head = 19;
    struct kn_weight *head = weight(d, p[0], (int)n_head, p[1], KN_W_INFER, 50);
    struct kn_at norm = random_on(d, 51, x_row), x = random_on(d, 52, rows * x_row);
    struct kn_at q = on(d, NULL, rows * q_row), att = on(d, NULL, rows * q_row);
    struct kn_at logits = on(d, NULL, rows * n_head), ids = on(d, NULL, rows);
    struct kn_at tmp = on(d, NULL, kn_tmp_bytes(&l.a, &l.f, all.n_tok) / 4);
    for (int i = 0; i < all.n_tok; i += step) {
        int end = i + step < all.n_tok ? i + step : all.n_tok;
        struct kn_rows s = some_rows(&all, i, end);
        struct kn_batch *b = batch(d, &s);
        size_t f = (size_t)i * 4;
        must(kn_qkv(d, kn_plus(q, f * q_row), kn_plus(x, f * x_row), tmp, kv, 1, &l.a, b),
             "kn_qkv");
        must(kn_attention(d, kn_plus(att, f * q_row), kn_plus(q, f * q_row), kv, 1, &l.a, b),
             "kn_attention");
        must(kn_ffn(d, kn_plus(x, f * x_row), tmp, &l.f, b), "kn_ffn");
        must(kn_head(d, kn_plus(logits, f * n_head), kn_plus(x, f * x_row), tmp, norm, 1e-6f, head,
                     b),
             "kn_head");
        kn_batch_free(d, b);
    }
    must(kn_argmax(d, ids, logits, all.n_tok, (int)n_head), "kn_argmax");
    size_t n = 0;
    const struct {
        struct kn_at at;
        size_t row;
    } out[] = {{q, q_row}, {att, q_row}, {x, x_row}, {logits, n_head}};
    for (size_t i = 0; i < 4; n += rows * out[i++].row)
        must(kn_read(d, y + n, out[i].at, rows * out[i].row * sizeof *y), "kn_read");
    int32_t id[MAX_ROWS];
    must(kn_read(d, id, ids, rows * sizeof *id), "kn_read");
    for (size_t i = 0; i < rows; i++, n++) { /* as 0 or 1: is it the largest, and the first such? */
        const float *row = y + n - i - (rows - i) * n_head;
        int best = 0;
        for (int j = 1; j < (int)n_head; j++)
            best = row[j] > row[best] ? j : best;
        y[n] = id[i] == best;
    }
    kn_kv_free(d, kv);
    return n;
}

static size_t run_layer(struct kn_dev *d, const int *p, float *y)
{
    return run_steps(d, p, y, MAX_ROWS);
}

/* Rows of r that step `piece` of three takes: of each sequence another part, so that chunks which
 * begin and end inside a tile meet decoding rows of other sequences.  which[i] is the row in r. */
static struct kn_rows piece_of(const struct kn_rows *r, int piece, int32_t *which)
{
    static const int cut[3][4] = {{0, 1, 1, 999}, {0, 7, 8, 999}, {0, 20, 53, 999}};
    static int32_t tok[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS];
    struct kn_rows s = *r;
    s.n_tok = s.n_out = 0;
    s.tok = tok, s.pos = pos, s.seq = seq;
    for (int i = 0, at = 0; i < r->n_tok; i++) {
        at = i && r->seq[i] == r->seq[i - 1] ? at + 1 : 0; /* place in its sequence */
        const int *c = cut[r->n_seq == 1 ? 2 : r->seq[i]];
        if (at < c[piece] || at >= c[piece + 1])
            continue;
        tok[s.n_tok] = r->tok[i], pos[s.n_tok] = r->pos[i], seq[s.n_tok] = r->seq[i];
        which[s.n_tok++] = i;
    }
    return s;
}

/* one step over given k, v, q: rows which[i] of them; what comes out goes to those rows of y */
static void attend_rows(struct kn_dev *d, const struct kn_attn *a, struct kn_kv *kv,
                        const struct kn_rows *r, const int32_t *which, const float *const in[3],
                        float *y)
{
    const size_t q_row = (size_t)(a->n_head * a->head_dim), rows = (size_t)r->n_tok;
    const size_t width[3] = {(size_t)(a->n_head_kv * a->head_dim),
                             (size_t)(a->n_head_kv * a->head_dim), q_row};
    struct kn_at at[3], ya = on(d, NULL, rows * q_row);
    struct kn_batch *b = batch(d, r);
    for (int i = 0; i < 3; i++) {
        at[i] = on(d, NULL, rows * width[i]);
        for (size_t j = 0; j < rows; j++)
            must(kn_write(d, kn_plus(at[i], j * width[i] * 4), in[i] + (size_t)which[j] * width[i],
                          width[i] * 4),
                 "kn_write");
    }
    must(kn_kv_write(d, kv, 0, at[0], at[1], b), "kn_kv_write");
    must(kn_attention(d, ya, at[2], kv, 0, a, b), "kn_attention");
    for (size_t j = 0; j < rows; j++)
        must(kn_read(d, y + (size_t)which[j] * q_row, kn_plus(ya, j * q_row * 4), q_row * 4),
             "kn_read");
    kn_batch_free(d, b);
}

/* attention alone, from k, v, q given: its own tolerance.  p as run_layer's; PIECES: in three steps
 */
static size_t run_attention(struct kn_dev *d, const int *p, float *y)
{
    const struct kn_rows *r = p[7] ? ragged(50, 1, &p[7], (int[]){0})
                                   : ragged(50, 3, (int[]){1, 35, 66}, (int[]){0, 0, 0});
    struct kn_attn a = {.n_head = p[2], .n_head_kv = p[3], .head_dim = p[4]};
    struct kn_kv *kv;
    size_t rows = (size_t)r->n_tok, q_row = (size_t)(p[2] * p[4]), kv_row = (size_t)(p[3] * p[4]);
    const float *const in[3] = {numbers(60, rows * kv_row), numbers(61, rows * kv_row),
                                numbers(62, rows * q_row)};
    int32_t which[MAX_ROWS];
    const struct kn_rows all = *r;
    a.scale = p[6] & SHARP ? 40.0f : 1 / sqrtf((float)p[4]);
    must(kn_kv_new(d, 1, N_BLOCK, p[3], p[4], p[5], &kv), "kn_kv_new");
    if (p[6] & STALE) { /* what another sequence left in the blocks must not be seen: inf in F16 */
        float *old = numbers(63, 100 * kv_row);
        for (size_t i = 0; i < 100 * kv_row; i++)
            old[i] *= 1e30f;
        for (int i = 0; i < N_BLOCK * KN_TILE; i += 96) { /* every block, three at a time */
            int32_t blocks[MAX_BLOCKS], tok[96] = {0}, pos[96], seq[96] = {0};
            for (int j = 0; j < 96; j++)
                pos[j] = j, blocks[j / KN_TILE] = (i + j) / KN_TILE;
            struct kn_rows full = {
                .n_tok = 96, .n_seq = 1, .tok = tok, .pos = pos, .seq = seq, .blocks = blocks};
            struct kn_batch *b = batch(d, &full);
            struct kn_at oa = on(d, old, 96 * kv_row);
            must(kn_kv_write(d, kv, 0, oa, oa, b), "kn_kv_write");
            kn_batch_free(d, b);
        }
    }
    for (int i = 0; i < all.n_tok; i++)
        which[i] = i;
    if (!(p[6] & PIECES))
        attend_rows(d, &a, kv, &all, which, in, y);
    for (int i = 0; p[6] & PIECES && i < 3; i++) {
        struct kn_rows s = piece_of(&all, i, which);
        if (s.n_tok)
            attend_rows(d, &a, kv, &s, which, in, y);
    }
    kn_kv_free(d, kv);
    return rows * q_row;
}

static const int kv_types[] = {KN_F32, KN_F16, KN_Q8_0};
enum { N_KV = 3 };

/* groups of 1 to 8 query heads and the head widths in use; rows, since the outputs must fit */
static const int shapes[][4] = {{1, 1, 64, 0},   {2, 1, 80, 0},   {3, 1, 96, 0},    {4, 1, 128, 0},
                                {10, 2, 64, 0},  {6, 1, 96, 0},   {7, 1, 80, 0},    {8, 1, 64, 0},
                                {2, 1, 256, 0},  {6, 2, 96, 0},   {12, 2, 128, 33}, {14, 2, 64, 60},
                                {7, 1, 256, 33}, {8, 1, 80, 100}, {1, 1, 512, 70}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void test_attention(void)
{
    static const struct op op = {"attention", run_attention, 1e-11};
    static const int heads[][3] = {{1, 1, 64}, {4, 2, 32}, {3, 1, 128},
                                   {2, 2, 20}, {6, 2, 15}, {1, 1, 1}};
    static const int len[] = {0, 1, 2, 31, 32, 33, 64, 65, 100};
    for (int t = 0; t < N_KV; t++) {
        for (size_t h = 0; h < 6; h++)
            for (size_t i = 0; i < 9 && kn_row_bytes(kv_types[t], (size_t)heads[h][2]); i++)
                check(&op, (int[8]){0, 0, heads[h][0], heads[h][1], heads[h][2], kv_types[t],
                                    (i % 2 ? SHARP : 0) | (i % 3 ? STALE : 0), len[i]});
        for (int h = 0; h < N_SHAPES; h++)
            if (kn_row_bytes(kv_types[t], (size_t)shapes[h][2]))
                check(&op, (int[8]){0, 0, shapes[h][0], shapes[h][1], shapes[h][2], kv_types[t],
                                    STALE | (h % 2 ? PIECES : 0), shapes[h][3]});
        char variant[32];
        snprintf(variant, sizeof variant, "%s cache", kn_type_info(kv_types[t])->name);
        report(&op, variant);
    }
    for (int i = 0; i < n_dev; i++) {
        struct kn_kv *kv;
        ok(kn_kv_new(dev[i].d, 1, 1, 2, 48, KN_Q8_0, &kv) == KN_EUNSUP,
           "no Q8_0 cache for heads of 48: %s", dev[i].name);
    }
}

static const int layers[][8] = {
    {KN_F32, 40, 4, 2, 10, KN_F32, WITH_BIAS, 0},
    {KN_Q8_0, 64, 3, 1, 32, KN_F32, WITH_BIAS | PAIRS, 0},
    {KN_Q4_K, 256, 2, 1, 64, KN_F16, WITH_QK_NORM, 0},
    {KN_Q6_K, 256, 2, 2, 16, KN_F32, WITH_QK_NORM | WITH_BIAS, 0},
    {KN_Q5_1, 96, 2, 1, 24, KN_F16, PAIRS, 0},
    {KN_BF16, 33, 1, 1, 7, KN_F32, 0, 33},
    {KN_Q8_0, 64, 8, 1, 32, KN_Q8_0, WITH_QK_NORM, 0},
};
enum { N_LAYERS = sizeof layers / sizeof *layers };

static void test_layer(void)
{
    /* activations are rounded to 8 bits four times in a row, hence the larger tolerance */
    static const struct op quant = {"a layer", run_layer, 1e-3}, flt = {"a layer", run_layer, 1e-9};
    for (int i = 0; i < N_LAYERS; i++) {
        const struct op *op = kn_type_info(layers[i][0])->act_block ? &quant : &flt;
        check(op, layers[i]);
        report(op, kn_type_info(layers[i][0])->name);
    }
}

/* A row's result is the same alone, in steps of three (with a chunk before it), and in one batch.
 */
static void test_batch_independence(void)
{
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int c = 0; c < N_LAYERS; c++) {
            forget_rows();
            size_t n = run_steps(dev[i].d, layers[c], exact, MAX_ROWS);
            drop_all();
            for (int step = 1; step <= 64; step = step == 1   ? 3
                                                  : step == 3 ? 8
                                                  : step == 8 ? 64
                                                              : 99) {
                run_steps(dev[i].d, layers[c], got, step);
                drop_all();
                bad += memcmp(got, exact, n * sizeof *got) != 0;
            }
        }
        for (int c = 0; c < N_KV * N_SHAPES; c++) { /* attention: in one step, in three */
            const int *h = shapes[c / N_KV], type = kv_types[c % N_KV];
            int p[8] = {0, 0, h[0], h[1], h[2], type, 0, h[3]};
            if (!kn_row_bytes(type, (size_t)h[2]))
                continue;
            size_t n = run_attention(dev[i].d, p, exact);
            p[6] = PIECES | STALE;
            run_attention(dev[i].d, p, got);
            drop_all();
            bad += memcmp(got, exact, n * sizeof *got) != 0;
        }
        for (int t = 0; t < N_QUANT + N_FLOAT; t++) {
            int type = t < N_QUANT ? quant_types[t] : float_types[t - N_QUANT];
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
        ok(bad == 0, "a row's bits do not depend on its batch: %s", dev[i].name);
    }
}

/* the backend's fused calls against its own small ones */
static void test_composition(void)
{
    for (int i = 1; i < n_dev; i++) {
        struct kn_dev *d = dev[i].d;
        const struct kn_ops *whole = d->ops;
        struct kn_ops small = *whole;
        int bad = 0, fused = whole->qkv || whole->ffn || whole->head || whole->argmax;
        small.qkv = NULL;
        small.ffn = NULL;
        small.head = NULL;
        small.argmax = NULL;
        for (int c = 0; c < N_LAYERS && fused; c++) {
            forget_rows();
            size_t n = run_layer(d, layers[c], exact);
            d->ops = &small;
            run_layer(d, layers[c], got);
            d->ops = whole;
            drop_all();
            bad += memcmp(got, exact, n * sizeof *got) != 0;
        }
        if (fused)
            ok(bad == 0, "fused calls equal their compositions: %s", dev[i].name);
        else
            skip("%s fuses nothing", dev[i].name);
    }
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
        ok(bad == 0, "zeroed memory, write, read, collectives of one, argmax: %s", dev[i].name);
    }
}

/* p: KV type, head_dim.  A block of 20 positions is copied; then both go on with a 21st of their own.
 * y: of layer 1, the last row before and after the copy; the 21st of the copy, of the original; of
 * the copy's sequence in a cache of its own. */
static size_t run_kv_copy(struct kn_dev *d, const int *p, float *y)
{
    enum { N = 20 };
    const size_t hd = (size_t)p[1], row = 2 * hd;
    struct kn_attn a = {.n_head = 2, .n_head_kv = 1, .head_dim = p[1], .scale = 1};
    int32_t tok[N + 1] = {0}, pos[N + 1], seq[N + 1] = {0}, blocks[MAX_BLOCKS] = {3};
    struct kn_rows r = {
        .n_tok = N, .n_seq = 1, .tok = tok, .pos = pos, .seq = seq, .blocks = blocks};
    struct kn_rows next = r;
    struct kn_kv *kv;
    struct kn_at k = random_on(d, 80, (N + 2) * hd), v = random_on(d, 81, (N + 2) * hd);
    struct kn_at q = random_on(d, 82, (N + 1) * row), ya = on(d, NULL, (N + 1) * row);
    for (int j = 0; j <= N; j++)
        pos[j] = j;
    next.n_tok = 1, next.pos = pos + N;
    must(kn_kv_new(d, 2, N_BLOCK, 1, p[1], p[0], &kv), "kn_kv_new");
    struct kn_batch *b = batch(d, &r);
    for (int layer = 0; layer < 2; layer++)
        must(kn_kv_write(d, kv, layer, k, v, b), "kn_kv_write");
    must(kn_attention(d, ya, q, kv, 1, &a, b), "kn_attention");
    must(kn_read(d, y, kn_plus(ya, (N - 1) * row * 4), row * 4), "kn_read");
    must(kn_kv_copy(d, kv, 17, 3), "kn_kv_copy");
    blocks[0] = 17;
    must(kn_batch_set(d, b, &r), "kn_batch_set");
    must(kn_attention(d, ya, q, kv, 1, &a, b), "kn_attention");
    must(kn_read(d, y + row, kn_plus(ya, (N - 1) * row * 4), row * 4), "kn_read");
    blocks[0] = 5; /* as if there had been no copy */
    must(kn_batch_set(d, b, &r), "kn_batch_set");
    must(kn_kv_write(d, kv, 1, k, v, b), "kn_kv_write");
    for (int i = 0; i < 3; i++) { /* rows N and N + 1 of k and v are two ways to go on */
        blocks[0] = i == 1 ? 3 : i ? 5 : 17;
        const size_t f = (size_t)(i == 1 ? N + 1 : N) * hd * 4;
        must(kn_batch_set(d, b, &next), "kn_batch_set");
        must(kn_kv_write(d, kv, 1, kn_plus(k, f), kn_plus(v, f), b), "kn_kv_write");
    }
    for (size_t i = 0; i < 3; i++) {
        blocks[0] = i == 1 ? 3 : i ? 5 : 17;
        must(kn_batch_set(d, b, &next), "kn_batch_set");
        must(kn_attention(d, ya, kn_plus(q, N * row * 4), kv, 1, &a, b), "kn_attention");
        must(kn_read(d, y + (2 + i) * row, ya, row * 4), "kn_read");
    }
    kn_batch_free(d, b);
    kn_kv_free(d, kv);
    return 5 * row;
}

/* a copied block serves another sequence as its prefix */
static void test_kv_copy(void)
{
    static const struct op op = {"kv_copy", run_kv_copy, 1e-11};
    for (int t = 0; t < N_KV; t++) {
        static const int dims[] = {8, 64, 96};
        for (int i = 0; i < 3; i++)
            if (kn_row_bytes(kv_types[t], (size_t)dims[i]))
                check(&op, (int[8]){kv_types[t], dims[i]});
        report(&op, kn_type_info(kv_types[t])->name);
    }
    for (int i = 1; i < n_dev; i++) {
        int bad = 0;
        for (int t = 0; t < N_KV; t++) {
            const size_t n = run_kv_copy(dev[i].d, (int[8]){kv_types[t], 64}, got) / 5;
            bad += memcmp(got, got + n, n * 4) != 0 || memcmp(got + 2 * n, got + 4 * n, n * 4) != 0;
            bad += memcmp(got + 2 * n, got + 3 * n, n * 4) == 0;
            drop_all();
        }
        ok(bad == 0, "a copied block goes its own way, all layers: %s", dev[i].name);
    }
}

/* quick: one device a path, and not the plain ones */
static void open_devices(void)
{
    static const struct {
        const char *name;
        int threads; /* 7: attention of few KV heads is then cut by query head */
    } want[] = {{"ref", 1},         {"ref:q", 1},         {"cpu", 7},           {"cpu:generic", 2},
                {"cpu:generic", 1}, {"cpu:avx2", 2},      {"cpu:avx2", 1},      {"cpu:avxvnni", 2},
                {"cpu:avxvnni", 1}, {"cpu:avx512", 2},    {"cpu:avx512", 1},    {"cpu:neon", 2},
                {"cpu:neon", 1},    {"cpu:neon_i8mm", 2}, {"cpu:neon_i8mm", 1}, {"cpu:amx", 2},
                {"cpu:amx", 1},     {"cpu:amx-model", 2}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct device *v = &dev[n_dev];
        if (quick && i >= 3 && (want[i].threads == 1 || i == 3 || strstr(want[i].name, "model")))
            continue;
        int err = kn_open(&v->d, want[i].name, want[i].threads);
        if (err) {
            skip("%s: %s", want[i].name, kn_strerror(err));
            continue;
        }
        snprintf(v->name, sizeof v->name, "%s, %d threads", v->d->name, v->d->n_threads);
        n_dev++;
    }
    struct kn_dev *d;
    ok(n_dev >= 2 && strcmp(dev[0].d->name, "ref") == 0 && strcmp(dev[1].d->name, "ref:q") == 0,
       "the two references open");
    ok(kn_open(&d, "refer", 1) == KN_EDEVICE && kn_open(&d, "ref:z", 1) == KN_EDEVICE &&
           kn_open(&d, "ref:", 1) == KN_EDEVICE && kn_open(&d, "", 1) == KN_EDEVICE,
       "no such devices");
}

int main(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    open_devices();
    test_memory();
    test_rows();
    test_batch_rows();
    thin = quick;
    test_attention();
    thin = 0;
    test_kv_copy();
    thin = quick;
    test_matmul();
    thin = 0;
    test_layer();
    test_batch_independence();
    test_composition();
    test_moe();
    forget_rows();
    for (int i = 0; i < n_dev; i++)
        kn_close(dev[i].d);
    return done_testing();
}
