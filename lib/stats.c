/* stats - pass@k, Wilson, bootstrap, McNemar: the arithmetic of scores */
#include "stats.h"
#include "rng.h"
#include <math.h>
#include <stdlib.h>

double stats_pass_at_k(long n, long c, long k)
{
    double miss = 1;
    long few = c < k ? c : k,
         many = c < k ? k : c; /* C(n-c,k)/C(n,k) does not change if c and k do */
    if (k < 1 || k > n || c < 0 || c > n)
        return NAN;
    if (n - c < k)
        return 1;
    if (k == 1)
        return (double)c / (double)n; /* 1 - (n - c) / n would round 0.5 to 0.4999999999999999 */
    for (long i = 0; i < few; i++)
        miss *= (double)(n - many - i) / (double)(n - i);
    return 1 - miss;
}

/* Acklam's rational approximation (relative error 1.2e-9), then one Halley step on erfc. */
double stats_normal_quantile(double p)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,
                               -2.759285104469687e+02, 1.383577518672690e+02,
                               -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02,
                               -1.556989798598866e+02, 6.680131188771972e+01,
                               -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01,
                               -2.400758277161838e+00, -2.549732539343734e+00,
                               4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    double q = p < 0.5 ? p : 1 - p, x, e, u;
    if (q < 0.02425) {
        double t = sqrt(-2 * log(q));
        x = (((((c[0] * t + c[1]) * t + c[2]) * t + c[3]) * t + c[4]) * t + c[5]) /
            ((((d[0] * t + d[1]) * t + d[2]) * t + d[3]) * t + 1);
    } else {
        double t = q - 0.5, r = t * t;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * t /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
    }
    e = 0.5 * erfc(-x / sqrt(2)) - q;
    u = e * sqrt(2 * M_PI) * exp(x * x / 2);
    x -= u / (1 + x * u / 2);
    return p < 0.5 ? x : -x;
}

/* Of a share p in n trials; n need not be whole. */
static void wilson(double p, double n, double level, double ci[2])
{
    double z = stats_normal_quantile(0.5 + level / 2), z2 = z * z;
    double mid = (p + z2 / (2 * n)) / (1 + z2 / n);
    double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
    ci[0] = p <= 0 ? 0 : mid - half;
    ci[1] = p >= 1 ? 1 : mid + half;
}

void stats_wilson(long c, long n, double level, double ci[2])
{
    wilson((double)c / (double)n, (double)n, level, ci);
}

double stats_mean(const double *v, size_t n)
{
    double sum = 0, lost = 0;
    for (size_t i = 0; i < n; i++) {
        double t = sum + v[i];
        lost += fabs(sum) >= fabs(v[i]) ? sum - t + v[i] : v[i] - t + sum;
        sum = t;
    }
    return (sum + lost) / (double)n;
}

static double variance(const double *v, size_t n)
{
    double mean = stats_mean(v, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return n > 1 ? sum / (double)(n - 1) : 0;
}

double stats_wilson_tasks(const double *v, size_t n, double samples, double level, double ci[2])
{
    double p = stats_mean(v, n), se2 = variance(v, n) / (double)n, m = (double)n;
    if (se2 > 0)
        m = fmin(fmax(p * (1 - p) / se2, m), fmax(m, samples));
    else if (p > 0 && p < 1 && n > 1) /* one task alone does not say how tasks differ */
        m = fmax(m, samples);
    wilson(p, m, level, ci);
    return m;
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

int stats_bootstrap(const double *v, size_t n, long boot, double level, uint64_t seed, double ci[2],
                    struct err *e)
{
    double *mean = malloc((size_t)boot * sizeof *mean);
    if (!mean || n == 0 || boot < 1) {
        free(mean);
        return err_set(e, ERR_NOMEM, "out of memory for %ld bootstrap means", boot);
    }
    for (long b = 0; b < boot; b++) {
        double sum = 0;
        uint32_t r[4];
        for (size_t i = 0; i < n; i++) {
            if (i % 4 == 0)
                rng_philox(seed, (uint64_t)b, i / 4, r);
            sum += v[(uint64_t)r[i % 4] * n >> 32]; /* a bias of n / 2^32 at most */
        }
        mean[b] = sum / (double)n;
    }
    qsort(mean, (size_t)boot, sizeof *mean, ascending);
    long cut = (long)floor((1 - level) / 2 * (double)boot + 1e-9); /* 0.1 / 2 of 10000 is 500 */
    ci[0] = mean[cut];
    ci[1] = mean[boot - 1 - cut];
    free(mean);
    return 0;
}

double stats_mcnemar(long b, long c, double *mid_p)
{
    long n = b + c, less = b < c ? b : c;
    double tail = 0, point = 1, p;
    int sign;
    for (long i = 0; i <= less; i++) {
        point = exp(lgamma_r((double)n + 1, &sign) - lgamma_r((double)i + 1, &sign) -
                    lgamma_r((double)(n - i) + 1, &sign) - (double)n * M_LN2);
        tail += point;
    }
    p = b == c ? 1 : 2 * tail;
    if (mid_p)
        *mid_p = b == c ? 1 : 2 * tail - point;
    return p < 1 ? p : 1;
}

/* The share of the 2^m sign patterns of d[0..m-1] whose sum is at least `bound` from 0. */
static double all_flips(const double *d, size_t m, double bound)
{
    long extreme = 0;
    for (long signs = 0; signs < 1L << m; signs++) {
        double sum = 0;
        for (size_t i = 0; i < m; i++)
            sum += signs >> i & 1 ? -d[i] : d[i];
        extreme += fabs(sum) >= bound;
    }
    return (double)extreme / (double)(1L << m);
}

double stats_sign_flip(const double *d, size_t n, long draws, uint64_t seed)
{
    double sum = 0, size = 0, bound, some[40];
    size_t m = 0;     /* differences that are not 0; the first 40 in some[] */
    long extreme = 1; /* the observed signs are one of the draws */
    for (size_t i = 0; i < n; i++) {
        sum += d[i];
        size += fabs(d[i]);
        if (d[i] != 0 && m++ < 40)
            some[m - 1] = d[i];
    }
    bound = fabs(sum) - 1e-9 * fmax(1, size); /* rounding must not break a tie */
    if (m < 40 && (1L << m) <= draws)
        return all_flips(some, m, bound);
    for (long b = 0; b < draws; b++) {
        uint32_t r[4];
        sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (i % 128 == 0)
                rng_philox(seed, (uint64_t)b, i / 128, r);
            sum += r[i % 128 / 32] >> i % 32 & 1 ? d[i] : -d[i];
        }
        extreme += fabs(sum) >= bound;
    }
    return (double)extreme / (double)(draws + 1);
}

/* Is delta found among n pairs, a share psi of which differ? */
static int shows(double delta, double psi, long n, double za, double zb)
{
    double rest = psi - delta * delta;
    return delta * sqrt((double)n) >= za * sqrt(psi) + zb * sqrt(rest > 0 ? rest : 0);
}

/* So many pairs must differ, all one way, for the exact test to see it: 6 at 95 %. */
static long least_discordant(double level)
{
    long k = 1;
    while (ldexp(1, (int)(1 - k)) > 1 - level && k < 1000)
        k++;
    return k;
}

/* P(X >= k) of X in n with probability p each. */
static double at_least(long k, long n, double p)
{
    double below = 0;
    if (p <= 0 || p >= 1)
        return p >= 1 && n >= k;
    for (long i = 0; i < k && i <= n; i++)
        below += exp(lgamma((double)n + 1) - lgamma((double)i + 1) - lgamma((double)(n - i) + 1) +
                     (double)i * log(p) + (double)(n - i) * log1p(-p));
    return 1 - below;
}

double stats_detectable(long n, double discordant, double level, double power)
{
    double za = stats_normal_quantile(0.5 + level / 2), zb = stats_normal_quantile(power), lo = 0,
           hi = discordant;
    long least = least_discordant(level);
    if (n < least || isnan(discordant))
        return NAN;
    int few = at_least(least, n, discordant) < power; /* even if all differed one way */
    if (few)
        hi = 1;
    for (int i = 0; i < 60; i++) { /* found is 0 up to the delta sought, then 1 */
        double d = (lo + hi) / 2;
        if (few ? at_least(least, n, d) >= power : shows(d, discordant, n, za, zb))
            hi = d;
        else
            lo = d;
    }
    return (lo + hi) / 2;
}

double stats_detectable_mean(const double *d, size_t n, double level, double power)
{
    double s2 = variance(d, n);
    if (!(s2 > 0))
        return NAN;
    return (stats_normal_quantile(0.5 + level / 2) + stats_normal_quantile(power)) *
           sqrt(s2 / (double)n);
}

int stats_holm(double *p, size_t n)
{
    double *sorted = malloc((n + 1) * sizeof *sorted),
           *adjusted = malloc((n + 1) * sizeof *adjusted);
    int ok = sorted && adjusted;
    for (size_t i = 0; ok && i < n; i++)
        sorted[i] = p[i];
    if (ok)
        qsort(sorted, n, sizeof *sorted, ascending);
    for (size_t i = 0; ok && i < n; i++) {
        adjusted[i] = fmin(1, sorted[i] * (double)(n - i));
        if (i && adjusted[i] < adjusted[i - 1])
            adjusted[i] = adjusted[i - 1];
    }
    for (size_t i = 0; ok && i < n; i++)
        for (size_t k = n; k-- > 0;) /* of equal p-values the last has the largest adjusted one */
            if (sorted[k] == p[i]) {
                p[i] = adjusted[k];
                break;
            }
    free(sorted);
    free(adjusted);
    return ok ? 0 : ERR_NOMEM;
}
