/* stats.h - what a score is worth: pass@k, intervals, paired tests; all deterministic */
#ifndef STATS_H
#define STATS_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

/* Unbiased pass@k of one task: 1 - C(n-c,k)/C(n,k) as a product of min(c, k) fractions.
 * n samples drawn, c of them correct, 1 <= k <= n.  In [0,1]; NAN if the numbers are not so.
 * Source: Chen et al. 2021, arXiv:2107.03374, eq. 1 and fig. 3. */
double stats_pass_at_k(long n, long c, long k);
/* p with P(Z <= z) = p for a standard normal Z, 0 < p < 1. */
double stats_normal_quantile(double p);
/* Wilson score interval of c successes in n > 0 trials at a level such as 0.95. */
void stats_wilson(long c, long n, double level, double ci[2]);
/* The same interval for the mean of values in [0, 1], one a task, that are means or estimates over
 * `samples` samples in all: Wilson's with the effective number of trials m = mean (1 - mean) / se^2,
 * se the standard error of the tasks' mean, kept within n and max(n, samples).  Samples of a task are
 * alike, and this counts a task once however often it was sampled (the clustered standard error of
 * Miller 2024, arXiv:2411.00640, where a task is a cluster); it is never empty, as the bootstrap is
 * if all tasks score alike; with one sample a task it is stats_wilson.  Source of the form: Franco,
 * Little, Louis, Slud 2019, J. Surv. Stat. Methodol. 7:334.  Returns m. */
double stats_wilson_tasks(const double *v, size_t n, double samples, double level, double ci[2]);
/* Mean, each value added with its rounding error kept (Neumaier), so that order hardly matters. */
double stats_mean(const double *v, size_t n);
/* Percentile bootstrap of the mean of v[0..n-1] (tasks are drawn, not samples): `boot` resamples.
 * The same arguments give the same bytes. 0, or ERR_NOMEM. */
int stats_bootstrap(const double *v, size_t n, long boot, double level, uint64_t seed, double ci[2],
                    struct err *e);
/* Exact two-sided McNemar test of b against c discordant pairs (binomial, p = 1/2); *mid_p (or
 * NULL) gets the mid-p value. 1 if there are none. */
double stats_mcnemar(long b, long c, double *mid_p);
/* Sign-flip permutation test that the mean of the differences d[0..n-1] is 0, two-sided, never 0:
 * exact over all sign patterns of the differences that are not 0 if there are at most `draws`, else
 * from so many random ones, the observed one counted (Phipson and Smyth 2010). */
double stats_sign_flip(const double *d, size_t n, long draws, uint64_t seed);
/* The difference of two pass rates that n paired tasks, a share `discordant` of which differ, show
 * at the level with the power given (Connor 1987, Biometrics 43:207): the delta with delta sqrt(n)
 * = z_(1-alpha/2) sqrt(psi) + z_power sqrt(psi - delta^2).  If psi is too small for the exact
 * test, 0 included: the least difference that can show, all discordant tasks on one side, psi =
 * delta: P(Bin(n, delta) >= m) = power, where m such tasks make p <= 1 - level (2^(1-m): 6 at
 * 0.95).  NAN for n < m. */
double stats_detectable(long n, double discordant, double level, double power);
/* The same for paired rates instead of passes: (z_(1-alpha/2) + z_power) s / sqrt(n), s the standard
 * deviation of the differences d[0..n-1].  NAN if they are all equal. */
double stats_detectable_mean(const double *d, size_t n, double level, double power);
/* Holm's step-down adjustment of n p-values, in place: what each is worth when all were looked at.
 * 0, or ERR_NOMEM. */
int stats_holm(double *p, size_t n);
#endif
