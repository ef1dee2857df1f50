/* kld.h - how far one model's distributions of the next token are from another's: KL divergence and its statistics
 *
 * All in nats, of a base P and a model Q: sum of P (ln P - ln Q), exact in double.  The statistics and their standard
 * errors are those of llama-perplexity --kl-divergence, so that figures compare (kldbase.h has its files). */
#ifndef KLD_H
#define KLD_H
#include "err.h"
#include "json.h"
#include <stdint.h>
#include <stdio.h>

struct kld_row {          /* one position */
    double nll, nll_base; /* -ln Q, -ln P of the token that follows */
    double kl;
    int same_top; /* both have the same first choice, lowest id on ties */
};
/* Of logits (n): base and q.  next: the token that follows; -1: none is known, then nll and nll_base are 0. */
void kld_logits(struct kld_row *r, const float *base, const float *q, int n, int32_t next);
/* ln of the sum of exp of n logits. */
double kld_log_sum(const float *x, int n);
/* The highest of n, lowest index on ties. */
int kld_top(const float *x, int n);

struct kld { /* positions so far; zeroed at the start */
    size_t n, cap, same_top;
    double nll, nll2, nll_base, nll_base2, nll_both; /* sums, of squares, of products */
    double kl, kl2, dp, dp2, dp4; /* dp: Q's probability of the token minus P's */
    float *v, *d;                 /* (n) kl and dp of each */
};
int kld_add(struct kld *k, const struct kld_row *r, struct err *e); /* ERR_NOMEM */
void kld_free(struct kld *k);

struct kld_value {
    double v, se; /* se: its standard error, 0 for ten positions or fewer */
};
enum { KLD_QUANTILES = 11, KLD_DP_QUANTILES = 13 };
extern const double kld_at[KLD_QUANTILES], kld_dp_at[KLD_DP_QUANTILES]; /* 1 (the most) ... 0 */
struct kld_summary {
    size_t n;
    struct kld_value ppl, ppl_base, ln_ratio, ratio, difference, kl, dp, dp_rms, same_top;
    double correlation; /* of ln PPL; NAN where one of both does not vary */
    double kl_q[KLD_QUANTILES], dp_q[KLD_DP_QUANTILES];
};
/* n > 0.  Sorts k->v and k->d. */
void kld_summary(struct kld_summary *s, struct kld *k);
/* The value below which a share p of n > 0 sorted values lies, between neighbours in proportion. */
double kld_quantile(const float *sorted, size_t n, double p);
/* Members of an object that is open: kld/1 (schema.7). */
void kld_json(struct json_out *j, const struct kld_summary *s);
/* The lines of llama-perplexity. */
void kld_text(FILE *out, const struct kld_summary *s);
#endif
