/* test_kld - KL divergence, its statistics and llama.cpp's base files, against closed forms and the plain sums */
#include "kldbase.h"
#include "rng.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/test_kld.XXXXXX";

static int near(double a, double b, double tol)
{
    return fabs(a - b) <= tol;
}

static void test_row(void)
{
    /* P = (1/2, 1/4, 1/4), Q = (1/4, 1/2, 1/4): ln 2 / 2 - ln 2 / 4 */
    const float p[] = {0.6931472f + 3, 3, 3}, q[] = {-2, 0.6931472f - 2, -2};
    struct kld_row r;
    kld_logits(&r, p, q, 3, 1);
    ok(near(r.kl, log(2) / 4, 1e-7), "two distributions of three: %.9f", r.kl);
    ok(near(r.nll, log(2), 1e-7) && near(r.nll_base, log(4), 1e-7) && !r.same_top,
       "of the token that follows; another first choice");
    kld_logits(&r, p, p, 3, -1);
    ok(r.kl == 0 && r.same_top && r.nll == 0, "the same: 0");
}

static void test_summary(void)
{
    struct kld k = {.n = 0};
    struct kld_summary s;
    struct err e = {0};
    double sum = 0, sq = 0;
    int bad = 0;
    struct rng g = {7, 0};
    enum { N = 5000 };
    for (int i = 0; i < N; i++) {
        const double a = rng_next(&g), b = a + 0.1;
        struct kld_row r = {
            .nll = b, .nll_base = a, .kl = (double)i / (N - 1), .same_top = i % 4 != 0};
        const double dp = exp(-b) - exp(-a);
        sum += dp;
        sq += dp * dp;
        bad |= kld_add(&k, &r, &e);
    }
    kld_summary(&s, &k);
    ok(!bad && s.n == N && near(s.ln_ratio.v, 0.1, 1e-12) && near(s.ln_ratio.se, 0, 1e-7) &&
           near(s.ratio.v, exp(0.1), 1e-9) && near(s.correlation, 1, 1e-9),
       "perplexities that go together: ln ratio %.6f +- %.2e", s.ln_ratio.v, s.ln_ratio.se);
    ok(near(s.difference.v, s.ppl.v - s.ppl_base.v, 1e-12), "difference");
    ok(near(s.kl.v, 0.5, 1e-9) && near(s.kl.se, sqrt(1.0 / 12 / N), 1e-5), "mean of 0 ... 1");
    ok(s.kl_q[0] == 1 && near(s.kl_q[2], 0.99, 1e-6) && near(s.kl_q[5], 0.5, 1e-6) &&
           s.kl_q[KLD_QUANTILES - 1] == 0,
       "percentiles of 0 ... 1");
    ok(near(s.dp.v, sum / N, 1e-12) && near(s.dp_rms.v, sqrt(sq / N), 1e-12), "dp");
    ok(near(s.same_top.v, 0.75, 1e-12) && near(s.same_top.se, sqrt(.75 * .25 / (N - 1)), 1e-12),
       "same top");
    kld_free(&k);
    struct kld_row one = {.nll = 1, .nll_base = 1};
    kld_add(&k, &one, &e);
    kld_summary(&s, &k);
    ok(s.n == 1 && s.kl.se == 0 && isnan(s.correlation) && s.same_top.se == 0, "one position");
    kld_free(&k);
}

/* A file of two chunks of 6 tokens of a vocabulary of v: positions 3 and 4 of each. */
static void make(int v, const float *logits)
{
    struct outfile f;
    struct err e = {0};
    int32_t tok[12];
    uint8_t row[128];
    for (int i = 0; i < 12; i++)
        tok[i] = i % v;
    outfile_open(&f, path, &e);
    kldbase_begin(&f, 6, v, 2, tok, &e);
    for (int i = 0; i < 4; i++) {
        kldbase_pack(logits + i * v, v, row);
        outfile_write(&f, row, kldbase_bytes(v), &e);
    }
    ok(outfile_commit(&f, &e) == 0, "written: %s", e.msg);
}

static void test_file(void)
{
    enum { V = 7 };
    struct kldbase b;
    struct err e = {0};
    struct kld_row r, want;
    struct rng g = {3, 0};
    float p[4 * V], q[V];
    double worst = 0, low;
    for (int i = 0; i < 4 * V; i++)
        p[i] = (float)(12 * rng_next(&g) - 5);
    p[2] = p[5] - 40; /* as code 0: 16 below the highest */
    for (int i = 0; i < V; i++)
        q[i] = (float)rng_next(&g);
    make(V, p);
    ok(kldbase_open(&b, path, &e) == 0 && b.n_ctx == 6 && b.n_vocab == V && b.n_chunk == 2 &&
           b.tok[8] == 1 && b.map.n == 20 + 12 * 4 + 4 * (8 + 2 * 8),
       "llama.cpp's sizes, an odd vocabulary: %s", e.msg);
    for (int i = 1; i < 4; i++) {
        kld_logits(&want, p + i * V, q, V, 4);
        kldbase_compare(&b, i / 2, i % 2, q, 4, &r, &e);
        worst = fmax(worst, fabs(want.kl - r.kl));
        worst = fmax(worst, fabs(want.nll_base - r.nll_base));
        worst = fmax(worst, fabs(want.nll - r.nll));
        ok(r.same_top == want.same_top, "same top as of the logits");
    }
    ok(worst < 16.0 / 65535 * 2, "16 bits are near: %.1e", worst);
    float x[2];
    memcpy(x, b.row, sizeof x);
    low = (double)x[1];
    ok(near((double)x[0] * 65535, 16, 1e-4) &&
           ((const uint16_t *)(const void *)b.row)[4 + 2] == 0 &&
           near(low, (double)p[kld_top(p, V)] - 16 - kld_log_sum(p, V), 1e-5),
       "what is far below has the lowest code");
    kldbase_close(&b);
    for (int i = 0; i < V; i++)
        p[i] = 2;
    make(V, p);
    kldbase_open(&b, path, &e);
    kldbase_compare(&b, 0, 0, p, 0, &r, &e);
    ok(near(r.kl, 0, 1e-6) && near(r.nll_base, log(V), 1e-6), "all alike: scale 0");
    kldbase_close(&b);
}

/* The file with one number changed, or cut: ERR_DATA. */
static int refused(size_t at, int32_t v, size_t cut)
{
    uint8_t buf[4096];
    struct kldbase b;
    struct err e = {0};
    FILE *f = fopen(path, "rb");
    size_t n = fread(buf, 1, sizeof buf, f);
    fclose(f);
    char other[64];
    snprintf(other, sizeof other, "%s.bad", path);
    memcpy(buf + at, &v, 4);
    f = fopen(other, "wb");
    fwrite(buf, 1, n - cut, f);
    fclose(f);
    int rc = kldbase_open(&b, other, &e), bad = rc == ERR_DATA;
    if (rc == 0) {
        const float q[7] = {0};
        struct kld_row r;
        bad = kldbase_compare(&b, 0, 0, q, 0, &r, &e) == ERR_DATA;
        kldbase_close(&b);
    }
    unlink(other);
    return bad;
}

static void test_damage(void)
{
    int all = 1;
    static const struct {
        size_t at;
        int32_t v;
    } bad[] = {{0, 1},           {8, 3},
               {8, -6},          {8, 1 << 30},
               {12, 0},          {12, 9},
               {12, INT32_MAX},  {16, 0},
               {16, 3},          {16, INT32_MAX},
               {20, -1},         {64, 7},
               {68, 0x7fc00000}, {68, (int32_t)0xbf800000},
               {72, 0x7f800000}, {72, 0x3f800000}}; /* the last: a probability of e */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!refused(bad[i].at, bad[i].v, 0)) {
            printf("# byte %zu: %d\n", bad[i].at, bad[i].v);
            all = 0;
        }
    ok(all, "sizes, ids, scales that cannot be");
    ok(refused(0, 0x676f6c5f, 1) && refused(0, 0x676f6c5f, 120), "cut short");
    struct kldbase b;
    struct err e = {0};
    ok(kldbase_open(&b, "/nowhere/x", &e) == ERR_NOINPUT, "none there");
}

int main(void)
{
    int fd = mkstemp(path);
    close(fd);
    test_row();
    test_summary();
    test_file();
    test_damage();
    unlink(path);
    return done_testing();
}
