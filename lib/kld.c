/* kld - KL divergence of two distributions of the next token, and what many positions say */
#include "kld.h"
#include <math.h>
#include <stdlib.h>

const double kld_at[KLD_QUANTILES] = {1, .999, .99, .95, .9, .5, .1, .05, .01, .001, 0};
const double kld_dp_at[KLD_DP_QUANTILES] = {1,   .999, .99, .95, .9,   .75, .5,
                                            .25, .1,   .05, .01, .001, 0};

/* ---- one position ---- */

int kld_top(const float *x, int n)
{
    int top = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > x[top] ? i : top;
    return top;
}

double kld_log_sum(const float *x, int n)
{
    const double top = (double)x[kld_top(x, n)];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    return top + log(sum);
}

void kld_logits(struct kld_row *r, const float *base, const float *q, int n, int32_t next)
{
    const double a = kld_log_sum(base, n), b = kld_log_sum(q, n);
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)base[i] - a) * ((double)base[i] - a - ((double)q[i] - b));
    *r = (struct kld_row){.kl = sum > 0 ? sum : 0, .same_top = kld_top(base, n) == kld_top(q, n)};
    if (next >= 0) {
        r->nll = b - (double)q[next];
        r->nll_base = a - (double)base[next];
    }
}

/* ---- many ---- */

int kld_add(struct kld *k, const struct kld_row *r, struct err *e)
{
    const double dp = exp(-r->nll) - exp(-r->nll_base);
    if (k->n == k->cap) {
        const size_t cap = 2 * k->cap + 1024;
        float *v = realloc(k->v, cap * sizeof *v), *d = v ? realloc(k->d, cap * sizeof *d) : NULL;
        if (v)
            k->v = v;
        if (!d)
            return err_set(e, ERR_NOMEM, "%zu positions: out of memory", k->n);
        k->d = d;
        k->cap = cap;
    }
    k->v[k->n] = (float)r->kl;
    k->d[k->n++] = (float)dp;
    k->nll += r->nll;
    k->nll2 += r->nll * r->nll;
    k->nll_base += r->nll_base;
    k->nll_base2 += r->nll_base * r->nll_base;
    k->nll_both += r->nll * r->nll_base;
    k->kl += r->kl;
    k->kl2 += r->kl * r->kl;
    k->dp += dp;
    k->dp2 += dp * dp;
    k->dp4 += dp * dp * dp * dp;
    k->same_top += (size_t)r->same_top;
    return 0;
}

void kld_free(struct kld *k)
{
    free(k->v);
    free(k->d);
    *k = (struct kld){.n = 0};
}

static struct kld_value mean_of(double sum, double sum2, size_t n)
{
    const double mean = sum / (double)n, var = sum2 / (double)n - mean * mean;
    return (struct kld_value){mean, var > 0 && n > 10 ? sqrt(var / (double)(n - 1)) : 0};
}

/* Standard error of a difference of two that go together. */
static double apart(double a, double b, double covariance)
{
    const double var = a * a + b * b - 2 * covariance;
    return var > 0 ? sqrt(var) : 0;
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double kld_quantile(const float *sorted, size_t n, double p)
{
    const double at = p * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n)
        return (double)sorted[n - 1];
    return (1 - (at - (double)i)) * (double)sorted[i] + (at - (double)i) * (double)sorted[i + 1];
}

void kld_summary(struct kld_summary *s, struct kld *k)
{
    const size_t n = k->n;
    const double N = (double)n, top = (double)k->same_top / N;
    const struct kld_value q = mean_of(k->nll, k->nll2, n),
                           b = mean_of(k->nll_base, k->nll_base2, n),
                           mse = mean_of(k->dp2, k->dp4, n);
    const double cov =
        n < 10 ? 0 : (k->nll_both / N - k->nll / N * (k->nll_base / N)) / (double)(n - 1);
    *s = (struct kld_summary){.n = n,
                              .ppl = {exp(q.v), exp(q.v) * q.se},
                              .ppl_base = {exp(b.v), exp(b.v) * b.se},
                              .ln_ratio = {q.v - b.v, apart(q.se, b.se, cov)},
                              .kl = mean_of(k->kl, k->kl2, n),
                              .dp = mean_of(k->dp, k->dp2, n),
                              .dp_rms = {sqrt(mse.v), mse.v > 0 ? 0.5 / sqrt(mse.v) * mse.se : 0},
                              .same_top = {top, n > 1 ? sqrt(top * (1 - top) / (N - 1)) : 0},
                              .correlation = q.se > 0 && b.se > 0 ? cov / (q.se * b.se) : NAN};
    s->ratio = (struct kld_value){exp(s->ln_ratio.v), exp(s->ln_ratio.v) * s->ln_ratio.se};
    s->difference = (struct kld_value){
        s->ppl.v - s->ppl_base.v, apart(s->ppl.se, s->ppl_base.se, s->ppl.v * s->ppl_base.v * cov)};
    qsort(k->v, n, sizeof *k->v, by_value);
    qsort(k->d, n, sizeof *k->d, by_value);
    for (int i = 0; i < KLD_QUANTILES; i++)
        s->kl_q[i] = kld_quantile(k->v, n, kld_at[i]);
    for (int i = 0; i < KLD_DP_QUANTILES; i++)
        s->dp_q[i] = kld_quantile(k->d, n, kld_dp_at[i]);
}

/* ---- shown ---- */

static void put(struct json_out *j, const char *key, struct kld_value v)
{
    char se[40];
    snprintf(se, sizeof se, "%s_stderr", key);
    json_kv_num(j, key, v.v);
    json_kv_num(j, se, v.se);
}

static void put_quantiles(struct json_out *j, const char *key, const double *at, const double *v,
                          int n)
{
    char name[24];
    json_key(j, key);
    json_begin(j, '{');
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%g", 100 * at[i]);
        json_kv_num(j, name, v[i]);
    }
    json_end(j, '}');
}

void kld_json(struct json_out *j, const struct kld_summary *s)
{
    json_kv_int(j, "scored", (long long)s->n);
    put(j, "ppl", s->ppl);
    put(j, "ppl_base", s->ppl_base);
    json_kv_num(j, "correlation", s->correlation);
    put(j, "ln_ratio", s->ln_ratio);
    put(j, "ratio", s->ratio);
    put(j, "difference", s->difference);
    put(j, "kl", s->kl);
    put_quantiles(j, "kl_percentiles", kld_at, s->kl_q, KLD_QUANTILES);
    put(j, "dp", s->dp);
    put(j, "dp_rms", s->dp_rms);
    put_quantiles(j, "dp_percentiles", kld_dp_at, s->dp_q, KLD_DP_QUANTILES);
    put(j, "same_top", s->same_top);
}

static void print_quantiles(FILE *out, const char *what, const double *at, const double *v, int n,
                            const char *format)
{
    for (int i = 0; i < n; i++) {
        if (at[i] <= 0 || at[i] >= 1)
            fprintf(out, "%s %s: ", at[i] <= 0 ? "Minimum" : "Maximum", what);
        else if (at[i] > 0.49 && at[i] < 0.51)
            fprintf(out, "Median  %s: ", what);
        else
            fprintf(out, "%4.1f%%   %s: ", 100 * at[i], what);
        fprintf(out, format, v[i]);
    }
}

void kld_text(FILE *out, const struct kld_summary *s)
{
    const struct {
        const char *label;
        struct kld_value v;
    } ppl[] = {{"Mean ln(PPL(Q)/PPL(base))     ", s->ln_ratio},
               {"Mean PPL(Q)/PPL(base)         ", s->ratio},
               {"Mean PPL(Q)-PPL(base)         ", s->difference}};
    double percent[KLD_DP_QUANTILES];
    fprintf(out, "====== Perplexity statistics ======\n");
    fprintf(out, "Mean PPL(Q)                   : %10.6f ± %10.6f\n", s->ppl.v, s->ppl.se);
    fprintf(out, "Mean PPL(base)                : %10.6f ± %10.6f\n", s->ppl_base.v,
            s->ppl_base.se);
    fprintf(out, "Cor(ln(PPL(Q)), ln(PPL(base))): %6.2f%%\n", 100 * s->correlation);
    for (size_t i = 0; i < sizeof ppl / sizeof *ppl; i++)
        fprintf(out, "%s: %10.6f ± %10.6f\n", ppl[i].label, ppl[i].v.v, ppl[i].v.se);
    fprintf(out, "\n====== KL divergence statistics ======\n");
    fprintf(out, "Mean    KLD: %10.6f ± %10.6f\n", s->kl.v, s->kl.se);
    print_quantiles(out, "KLD", kld_at, s->kl_q, KLD_QUANTILES, "%10.6f\n");
    fprintf(out, "\n====== Token probability statistics ======\n");
    fprintf(out, "Mean    Δp: %6.3f ± %5.3f %%\n", 100 * s->dp.v, 100 * s->dp.se);
    for (int i = 0; i < KLD_DP_QUANTILES; i++)
        percent[i] = 100 * s->dp_q[i];
    print_quantiles(out, "Δp", kld_dp_at, percent, KLD_DP_QUANTILES, "%6.3f%%\n");
    fprintf(out, "RMS Δp    : %6.3f ± %5.3f %%\n", 100 * s->dp_rms.v, 100 * s->dp_rms.se);
    fprintf(out, "Same top p: %6.3f ± %5.3f %%\n", 100 * s->same_top.v, 100 * s->same_top.se);
}
