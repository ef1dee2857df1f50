/* test_stats - against the check values of the evaluation reference and of closed forms */
#include "stats.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static int near(double a, double b, double tol)
{
    return fabs(a - b) <= tol;
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
    ok(isnan(stats_detectable(10, 0, 0.95, 0.8)), "nothing discordant: unknown");
    for (int i = 0; i < 164; i++)
        v[i] = i < 12 ? 1 : i < 18 ? -1 : 0;
    ok(near(stats_sign_flip(v, 164, 20000, 3), stats_mcnemar(12, 6, NULL), 0.01),
       "sign flips agree with McNemar: %.3f", stats_sign_flip(v, 164, 20000, 3));
    double holm[] = {0.01, 0.04, 0.03, 0.005};
    ok(stats_holm(holm, 4) == 0 && near(holm[0], 0.03, 1e-12) && near(holm[1], 0.06, 1e-12) &&
           near(holm[2], 0.06, 1e-12) && near(holm[3], 0.02, 1e-12),
       "Holm: %g %g %g %g", holm[0], holm[1], holm[2], holm[3]);
    return done_testing();
}
