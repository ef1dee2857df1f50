/* ops.h - a test of ops: inputs, every device, its outputs against ref, and against ref:q bit for bit
 *
 * A device that is not exact ("cuda") has to be near alone: within ROUNDED, or the op's tolerance if that is more.
 *
 * For each case: "ref" gives the true values (NMSE within the tolerance listed with the op),
 * "ref:q" the bits that every other device must have, with 1 and with 2 threads.
 *
 * To add an op: write run_OP(d, p, y), which makes its inputs from fixed seeds, issues the call on
 * device d with the integers p, and copies the outputs to y (returns their number; 0 if the device
 * answers KN_EUNSUP); list it in a struct op with its tolerance; loop check() over shapes (1, odd,
 * one less than a block, a block, more, large) and end with report().  A test's main is ops_begin, its
 * tests, ops_end; its argument `quick`: fewer devices, and a third of the cases where `thin` is set (for an
 * emulator); or the name of a device: that one alone beside the references (tests/gpu/cuda.sh). */
#ifndef OPS_H
#define OPS_H
#include "kernels.h"
#include "tap.h"
#include <math.h>
#include <string.h>

#define ROUNDED 1e-4
enum { MAX_DEV = 24, MAX_OUT = 1 << 20, MAX_HELD = 512 };

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
/* without kernels of their own: products in f32 */
static const int wide_types[] = {KN_Q2_K, KN_Q3_K, KN_IQ4_NL, KN_IQ4_XS, KN_MXFP4};
enum { N_QUANT = 8, N_FLOAT = 3, N_WIDE = 5 };

/* ---- inputs: a function of the seed alone; freed by drop_all ---- */

static struct held {
    struct kn_dev *d;
    struct kn_at at;
    struct kn_weight *w;
    void *mem;
} held[MAX_HELD];
static int n_held;

static inline void must(int err, const char *what)
{
    if (err) {
        printf("Bail out! %s: %s\n", what, kn_strerror(err));
        exit(1);
    }
}

static inline void *keep(void *mem)
{
    must(mem && n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.mem = mem};
    return mem;
}

static inline void drop_all(void)
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
static inline float *numbers(uint64_t seed, size_t n)
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

static inline struct kn_at on(struct kn_dev *d, const void *p, size_t count)
{
    struct kn_at a;
    must(kn_alloc(d, count * 4, &a), "kn_alloc");
    if (p)
        must(kn_write(d, a, p, count * 4), "kn_write");
    must(n_held < MAX_HELD ? 0 : KN_ENOMEM, "test memory");
    held[n_held++] = (struct held){.d = d, .at = a};
    return a;
}

static inline struct kn_at random_on(struct kn_dev *d, uint64_t seed, size_t n)
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

static inline void forget_rows(void)
{
    while (n_cached > 0)
        free(cache[--n_cached].p);
}

static inline const void *weight_rows(int type, int n, int k, uint64_t seed)
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

static inline struct kn_weight *weight(struct kn_dev *d, int type, int n, int k, int flags,
                                       uint64_t seed)
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

/* of a device */
static inline double tolerance(const struct op *op, const struct device *v)
{
    return v->d->exact || v == dev + 1 || op->tolerance > ROUNDED ? op->tolerance : ROUNDED;
}

static float truth[MAX_OUT], exact[MAX_OUT], got[MAX_OUT];

static int quick, thin, named; /* thin: a third of the cases only; named: one device alone */

static inline void check(const struct op *op, const int *p)
{
    static uint32_t n_case;
    /* scrambled: the loops of a grid may have a period of three themselves */
    if (thin && (n_case++ * 2654435761u >> 16) % 3)
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
        int differ = ni != n || (dev[i].d->exact && memcmp(y, exact, n * sizeof *y) != 0);
        int far = !(e <= 100 * tolerance(op, &dev[i]) * power);
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

static inline void report(const struct op *op, const char *variant)
{
    for (int i = 1; i < n_dev; i++) {
        struct device *v = &dev[i];
        double e = v->power > 0 ? v->error / v->power : v->error;
        if (v->n == 0)
            skip("%s %s: not supported by %s", op->name, variant, v->name);
        else
            ok(v->far == 0 && v->differ == 0 && e <= tolerance(op, v),
               "%s %s on %s: %d cases, nmse %.2g <= %.0e%s", op->name, variant, v->name, v->n, e,
               tolerance(op, v), i > 1 && v->d->exact ? ", bits of ref:q" : "");
        v->n = v->far = v->differ = 0;
        v->error = v->power = 0;
    }
}

/* ---- ops on a batch ---- */

enum { MAX_ROWS = 256, N_BLOCK = 24, MAX_BLOCKS = 8 };
static inline const struct kn_rows *ragged(int n_vocab, int n_seq, const int *len, const int *start)
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

static inline struct kn_batch *batch(struct kn_dev *d, const struct kn_rows *r)
{
    struct kn_batch *b;
    must(kn_batch_new(d, MAX_ROWS, 3, MAX_BLOCKS, &b), "kn_batch_new");
    must(kn_batch_set(d, b, r), "kn_batch_set");
    return b;
}

/* quick: one device a path, and not the plain ones; only: that device, which must be there */
static inline void open_devices(const char *only)
{
    static const struct {
        const char *name;
        int threads; /* 7: attention of few KV heads is then cut by query head */
    } want[] = {{"ref", 1},         {"ref:q", 1},         {"cpu", 7},           {"cpu:generic", 2},
                {"cpu:generic", 1}, {"cpu:avx2", 2},      {"cpu:avx2", 1},      {"cpu:avxvnni", 2},
                {"cpu:avxvnni", 1}, {"cpu:avx512", 2},    {"cpu:avx512", 1},    {"cpu:neon", 2},
                {"cpu:neon", 1},    {"cpu:neon_i8mm", 2}, {"cpu:neon_i8mm", 1}, {"cpu:amx", 2},
                {"cpu:amx", 1},     {"cpu:amx-model", 2}, {"cuda", 1},          {"cuda:exact", 1}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct device *v = &dev[n_dev];
        if (quick && i >= 3 && (want[i].threads == 1 || i == 3 || strstr(want[i].name, "model")))
            continue;
        if (only && i >= 2 && strcmp(only, want[i].name) != 0)
            continue;
        int err = kn_open(&v->d, want[i].name, want[i].threads);
        if (err && only) {
            ok(0, "%s: %s: %s", want[i].name, kn_strerror(err), kn_why(NULL));
            continue;
        }
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

static inline void ops_begin(int argc, char **argv)
{
    quick = argc > 1 && strcmp(argv[1], "quick") == 0;
    named = argc > 1 && !quick;
    open_devices(named ? argv[1] : NULL);
    if (named)
        ok(n_dev > 2, "%s is one of the devices", argv[1]);
}
static inline int ops_end(void)
{
    forget_rows();
    for (int i = 0; i < n_dev; i++)
        kn_close(dev[i].d);
    return done_testing();
}
#endif
