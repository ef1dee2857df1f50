/* test_stats - against the check values of the evaluation reference and of closed forms */
#include "rng.h"
#include "stats.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static int near(double a, double b, double tol)
{
    return fabs(a - b) <= tol;
}

/* C(n, k), exact: n <= 60 */
static uint64_t choose(int n, int k)
{
    uint64_t c = 1;
    if (k > n)
        return 0;
    for (int i = 1; i <= k; i++)
        c = c * (uint64_t)(n - k + i) / (uint64_t)i;
    return c;
}

static void test_estimator(void)
{
    double worst = 0, far = 0;
    int exact = 1, n_case = 0;
    for (int n = 1; n <= 60; n++)
        for (int c = 0; c <= n; c++)
            for (int k = 1; k <= n; k++, n_case++) {
                uint64_t all = choose(n, k), miss = choose(n - c, k);
                long double want = (long double)(all - miss) / (long double)all;
                worst = fmax(worst, (double)fabsl((long double)stats_pass_at_k(n, c, k) - want));
            }
    ok(worst < 1e-15, "pass@k against exact fractions, all %d of n <= 60: off by %.1e", n_case,
       worst);
    for (long n = 1; n <= 400; n++)
        for (long c = 0; c <= n; c++)
            exact &= stats_pass_at_k(n, c, 1) == (double)c / (double)n;
    ok(exact, "pass@1 is c / n, rounded once");
    struct rng r = {5, 0};
    for (int i = 0; i < 20000; i++) { /* the paper's product, of c factors, in long double */
        long n = 1 + (long)rng_below(&r, 3000), c = (long)rng_below(&r, (uint64_t)n + 1),
             k = 1 + (long)rng_below(&r, (uint64_t)n);
        long double miss = 1;
        for (long m = n - c + 1; m <= n; m++)
            miss *= 1 - (long double)k / (long double)m;
        double want = n - c < k ? 1 : (double)(1 - miss);
        far = fmax(far, fabs(stats_pass_at_k(n, c, k) - want));
    }
    ok(far < 3e-14, "20000 random n <= 3000 against the product in long double: off by %.1e", far);
}

/* The share of all sign patterns of d[0..n-1] that are as far out as |bound|, one at a time */
static double enumerate(const double *d, int n, double sum, double bound)
{
    return n == 0 ? fabs(sum) >= bound - 1e-9
                  : (enumerate(d + 1, n - 1, sum + d[0], bound) +
                     enumerate(d + 1, n - 1, sum - d[0], bound)) /
                        2;
}

static void test_sign_flip(void)
{
    struct rng r = {11, 0};
    double d[16], worst = 0, far = 0;
    for (int trial = 0; trial < 200; trial++) {
        int n = 1 + (int)rng_below(&r, 13);
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += d[i] = ((double)rng_below(&r, 11) - 4) / 5; /* ties and zeros too */
        double want = enumerate(d, n, 0, fabs(sum));
        worst = fmax(worst, fabs(stats_sign_flip(d, (size_t)n, 10000, 0) - want));
    }
    ok(worst == 0, "sign flips of up to 13 tasks are all tried: equal to an enumeration");
    for (int trial = 0; trial < 50; trial++) {
        double sum = 0;
        for (int i = 0; i < 16; i++)
            sum += d[i] = (double)rng_below(&r, 1000) / 1000 - 0.4;
        double want = enumerate(d, 16, 0, fabs(sum)), got = stats_sign_flip(d, 16, 10000, 7);
        far = fmax(far, fabs(got - want) / sqrt(want * (1 - want) / 10000 + 1e-6));
    }
    ok(far < 4, "drawn sign flips of 16: within %.1f standard errors of the enumeration", far);
    for (int i = 0; i < 16; i++)
        d[i] = 0;
    ok(stats_sign_flip(d, 16, 1000, 0) == 1, "no difference: p = 1");
}

/* How often an interval holds the mean of the tasks' population. Tasks have uniform pass rates (hard
 * = 0), or four of five one above 0.9. */
static void coverage(int trials, int n_task, int n, int k, int hard, double *boot, double *wilson)
{
    struct rng r = {2024, 0};
    struct err e = {0};
    double v[164], ci[2], truth = 0, a = 0, b = 0;
    for (int i = 0; i < 100000; i++) {
        double u = (i + 0.5) / 100000;
        truth += (hard ? 0.8 * (1 - pow(0.1 * u, k)) + 0.2 * (1 - pow(1 - u, k)) : 1 - pow(u, k)) /
                 100000;
    }
    for (int t = 0; t < trials; t++) {
        for (int i = 0; i < n_task; i++) {
            double p = rng_next(&r);
            long c = 0;
            if (hard)
                p = rng_next(&r) < 0.8 ? 1 - 0.1 * p : p;
            for (int s = 0; s < n; s++)
                c += rng_next(&r) < p;
            v[i] = stats_pass_at_k(n, c, k);
        }
        stats_bootstrap(v, (size_t)n_task, 500, 0.95, (uint64_t)t, ci, &e);
        a += ci[0] <= truth && truth <= ci[1];
        stats_wilson_tasks(v, (size_t)n_task, (double)n * n_task / k, 0.95, ci);
        b += ci[0] <= truth && truth <= ci[1];
    }
    *boot = a / trials;
    *wilson = b / trials;
}

static void test_coverage(void)
{
    double boot, wilson;
    coverage(1000, 164, 1, 1, 0, &boot, &wilson);
    ok(boot > 0.93 && boot < 0.97 && wilson > 0.93 && wilson < 0.97,
       "95 %% intervals, 164 tasks, 1 sample: bootstrap holds the truth in %.1f %%, Wilson in %.1f",
       100 * boot, 100 * wilson);
    coverage(1000, 164, 5, 1, 0, &boot, &wilson);
    ok(boot > 0.93 && boot < 0.97 && wilson > 0.93 && wilson < 0.97,
       "5 samples of each: bootstrap over tasks %.1f %%, clustered Wilson %.1f %%", 100 * boot,
       100 * wilson);
    coverage(1000, 50, 20, 10, 1, &boot, &wilson);
    ok(boot < 0.85 && wilson > 0.91,
       "50 easy tasks, pass@10 of 20: bootstrap %.1f %%, clustered Wilson %.1f %%", 100 * boot,
       100 * wilson);
}

static void test_power(void)
{
    struct rng r = {3, 0};
    double delta = stats_detectable(164, 0.36, 0.95, 0.8), d[200], sum = 0;
    int found = 0;
    for (int t = 0; t < 4000; t++) {
        long only[2] = {0, 0};
        for (int i = 0; i < 164; i++) {
            double u = rng_next(&r);
            only[u < (0.36 - delta) / 2] += u < 0.36;
        }
        found += stats_mcnemar(only[0], only[1], NULL) < 0.05;
    }
    ok(near(found / 4000.0, 0.8, 0.04),
       "a detectable difference is found in %.1f %% of 4000 trials", found / 40.0);
    /* Too few discordant pairs for any difference among them: all on one side, and more than these.
     * The exact power is that of six of them or more, for five against none have p = 0.0625. */
    double least = stats_detectable(164, 5.0 / 164, 0.95, 0.8), power = 1;
    for (int k = 0; k < 6; k++)
        power -= exp(lgamma(165) - lgamma(k + 1) - lgamma(165 - k) + k * log(least) +
                     (164 - k) * log1p(-least));
    ok(least > 5.0 / 164 && near(power, 0.8, 1e-9) && stats_mcnemar(6, 0, NULL) < 0.05 &&
           stats_mcnemar(5, 0, NULL) > 0.05,
       "5 of 164 differ: %.1f points would show, with a power of %.1f %%", 100 * least,
       100 * power);
    ok(stats_detectable(164, 0, 0.95, 0.8) == least, "none differs: the same");
    ok(near(stats_detectable(164, least * 1.0001, 0.95, 0.8), least, 2e-3) &&
           stats_detectable(164, 0.06, 0.95, 0.8) > least,
       "from there on the approximation begins: %.4f, %.4f",
       stats_detectable(164, least * 1.0001, 0.95, 0.8), least);
    ok(isnan(stats_detectable(5, 0.5, 0.95, 0.8)) && isnan(stats_detectable(5, 1, 0.95, 0.8)) &&
           near(stats_detectable(6, 0, 0.95, 0.8), pow(0.8, 1.0 / 6), 1e-9) &&
           isnan(stats_detectable(0, 0.5, 0.95, 0.8)),
       "five tasks show nothing; of six all must differ");
    ok(near(stats_detectable(8, 0, 0.95, 0.8), 0.8014034528, 1e-9) &&
           near(stats_detectable(50, 0, 0.95, 0.8), 0.1535224276, 1e-9),
       "the exact power, as summed with Python's integers");
    for (int i = 0; i < 200; i++)
        sum += d[i] = rng_next(&r) - 0.4;
    double s2 = 0;
    for (int i = 0; i < 200; i++)
        s2 += pow(d[i] - sum / 200, 2) / 199;
    ok(near(stats_detectable_mean(d, 200, 0.95, 0.8), 2.8015852 * sqrt(s2 / 200), 1e-7),
       "detectable with rates: (1.960 + 0.842) standard errors");
}

static void test_wilson_tasks(void)
{
    double v[164], a[2], b[2];
    for (int i = 0; i < 164; i++)
        v[i] = i < 140;
    stats_wilson(140, 164, 0.95, a);
    ok(stats_wilson_tasks(v, 164, 164, 0.95, b) == 164 && !memcmp(a, b, sizeof a),
       "one sample a task: Wilson's own interval, to the bit");
    ok(stats_wilson_tasks(v, 164, 1640, 0.95, b) == 164 && !memcmp(a, b, sizeof a),
       "ten equal samples a task: no narrower");
    ok(stats_wilson_tasks(v, 140, 1400, 0.95, b) == 140 && b[1] == 1 && near(b[0], 0.9733, 1e-4),
       "all pass: from %.4f to 1, not a point", b[0]);
    for (int i = 0; i < 10; i++)
        v[i] = 0.5;
    stats_wilson(25, 50, 0.95, a);
    ok(stats_wilson_tasks(v, 10, 50, 0.95, b) == 50 && near(a[0], b[0], 1e-15),
       "tasks that do not differ: every sample counts");
    ok(stats_wilson_tasks(v, 1, 50, 0.95, b) == 1, "one task says nothing of others");
    double w[] = {1e16, 1, -1e16, 1};
    ok(stats_mean(w, 4) == 0.5, "a mean that plain sums would lose");
}

int main(void)
{
    static const struct {
        long c, n;
        double lo, hi;
    } wilson[] = {{140, 164, 79.1, 90.0},
                  {143, 164, 81.2, 91.5},
                  {149, 164, 85.5, 94.4},
                  {97, 164, 51.5, 66.4},
                  {381, 500, 72.3, 79.7}};
    static const struct {
        long b, c;
        double p, tol;
    } mcnemar[] = {
        {5, 1, 0.219, 5e-4},  {12, 6, 0.238, 5e-4},       {9, 3, 0.146, 5e-4}, {17, 6, 0.035, 5e-4},
        {31, 24, 0.42, 5e-3}, {12, 139, 1.4e-28, 5e-30},  {0, 0, 1, 0},        {4, 4, 1, 0},
        {1, 0, 1, 1e-12},     {0, 10, 0.001953125, 1e-15}};
    double ci[2], again[2], mid, v[164];
    struct err e = {0};
    ok(stats_pass_at_k(1, 1, 1) == 1 && stats_pass_at_k(6, 3, 1) == 0.5 &&
           stats_pass_at_k(3, 0, 2) == 0,
       "pass@1");
    ok(near(stats_pass_at_k(10, 3, 5), 1 - 21.0 / 252, 1e-15) && stats_pass_at_k(10, 6, 5) == 1,
       "pass@5 of 10");
    ok(near(stats_pass_at_k(200, 7, 100), 1 - 0.00700888, 1e-7), "pass@100 of 200: %.9f",
       stats_pass_at_k(200, 7, 100));
    ok(isnan(stats_pass_at_k(5, 1, 6)) && isnan(stats_pass_at_k(5, 6, 1)) &&
           isnan(stats_pass_at_k(5, 1, 0)),
       "k > n and c > n have no value");
    ok(near(stats_normal_quantile(0.975), 1.959963984540054, 1e-14) &&
           near(stats_normal_quantile(0.8), 0.8416212335729143, 1e-14) &&
           near(stats_normal_quantile(1e-10), -6.361340902404056, 1e-12) &&
           stats_normal_quantile(0.5) == 0,
       "normal quantiles");
    for (size_t i = 0; i < sizeof wilson / sizeof *wilson; i++) {
        stats_wilson(wilson[i].c, wilson[i].n, 0.95, ci);
        ok(near(100 * ci[0], wilson[i].lo, 0.05) && near(100 * ci[1], wilson[i].hi, 0.05),
           "Wilson %ld/%ld: [%.2f, %.2f]", wilson[i].c, wilson[i].n, 100 * ci[0], 100 * ci[1]);
    }
    stats_wilson(0, 10, 0.95, ci);
    ok(ci[0] == 0 && near(ci[1], 0.2775328, 1e-6), "Wilson of none");
    for (size_t i = 0; i < sizeof mcnemar / sizeof *mcnemar; i++) {
        double p = stats_mcnemar(mcnemar[i].b, mcnemar[i].c, &mid),
               q = stats_mcnemar(mcnemar[i].c, mcnemar[i].b, NULL);
        ok(near(p, mcnemar[i].p, mcnemar[i].tol) && p == q && mid <= p && mid > 0,
           "McNemar %ld, %ld: p %.4g, mid-p %.4g", mcnemar[i].b, mcnemar[i].c, p, mid);
    }
    for (int i = 0; i < 164; i++)
        v[i] = i < 56;
    ok(stats_bootstrap(v, 164, 10000, 0.95, 1, ci, &e) == 0 &&
           stats_bootstrap(v, 164, 10000, 0.95, 1, again, &e) == 0 &&
           memcmp(ci, again, sizeof ci) == 0,
       "the bootstrap repeats itself");
    ok(near(ci[0], 0.2683, 0.01) && near(ci[1], 0.4146, 0.01), "56/164: [%.4f, %.4f]", ci[0],
       ci[1]);
    ok(stats_bootstrap(v, 56, 100, 0.95, 1, ci, &e) == 0 && ci[0] == 1 && ci[1] == 1,
       "no spread, no interval");
    ok(near(stats_detectable(164, 59.0 / 164, 0.95, 0.8), 0.13027, 5e-5), "detectable: %.4f",
       stats_detectable(164, 59.0 / 164, 0.95, 0.8));
    for (int i = 0; i < 164; i++)
        v[i] = i < 12 ? 1 : i < 18 ? -1 : 0;
    ok(near(stats_sign_flip(v, 164, 20000, 3), stats_mcnemar(12, 6, NULL), 0.01),
       "sign flips agree with McNemar: %.3f", stats_sign_flip(v, 164, 20000, 3));
    double holm[] = {0.01, 0.04, 0.03, 0.005};
    ok(stats_holm(holm, 4) == 0 && near(holm[0], 0.03, 1e-12) && near(holm[1], 0.06, 1e-12) &&
           near(holm[2], 0.06, 1e-12) && near(holm[3], 0.02, 1e-12),
       "Holm: %g %g %g %g", holm[0], holm[1], holm[2], holm[3]);
    double tied[] = {0.02, 0.02, 0.9};
    ok(stats_holm(tied, 3) == 0 && near(tied[0], 0.06, 1e-12) && near(tied[1], 0.06, 1e-12) &&
           near(tied[2], 0.9, 1e-12),
       "Holm of equal p-values");
    test_estimator();
    test_wilson_tasks();
    test_sign_flip();
    test_power();
    test_coverage();
    return done_testing();
}
