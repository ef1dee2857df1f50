/* test_sampler - ties, the definitions of top-k, top-p and min-p, penalty, reproducible draws, and all
 * of it against a plain form that sorts everything */
#include "pick.h"
#include "poly.h"
#include "rng.h"
#include "sampler.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { V = 1000 };
static struct sampler_scratch *w;
static const struct sampler plain = {.temperature = 1, .top_p = 1, .repeat_penalty = 1};

/* Ids that 4000 draws reach, as a count per id. */
static int reach(struct sampler s, const float *logits, int n, int *count)
{
    int kinds = 0;
    float x[V];
    memset(count, 0, V * sizeof *count);
    for (uint64_t i = 0; i < 4000; i++) {
        memcpy(x, logits, (size_t)n * sizeof *x);
        int32_t id = sampler_next(&s, w, x, n, n, NULL, 0, 42, i, NULL);
        kinds += id >= 0 && count[id]++ == 0;
    }
    return kinds;
}

/* ---- the definition: scalar exp, everything sorted, sums of doubles in the candidates' order */
struct item {
    float logit;
    int32_t id;
};
static int by_rank(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit ? 1 : -1)
                                : (x->id > y->id) - (x->id < y->id);
}

static int32_t plain_next(const struct sampler *s, const float *logits, int n, struct item *c,
                          double u, double *logprob)
{
    double sum = 0, mass = 0;
    int best = 0, n_cand = n;
    for (int i = 0; i < n; i++) {
        c[i] = (struct item){logits[i], i};
        if (logits[i] > logits[best])
            best = i;
        if (isnan(logits[i]))
            return -1;
    }
    const float max = logits[best];
    double lane[KN_TOP_LANES] = {0}; /* R6 */
    for (int i = 0; i < n; i++)
        lane[i % KN_TOP_LANES] += kn_exp(logits[i] - max);
    for (int half = KN_TOP_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    const double all = sum = lane[0];
    int32_t id = best;
    if (s->temperature > 0) {
        const int ranked = (s->top_k > 0 && s->top_k < n) || (s->top_p > 0 && s->top_p < 1);
        if (ranked)
            qsort(c, (size_t)n, sizeof *c, by_rank);
        if (s->top_k > 0 && s->top_k < n) {
            n_cand = s->top_k;
            sum = 0;
            for (int i = 0; i < n_cand; i++)
                sum += kn_exp(c[i].logit - max);
        }
        if (s->top_p > 0 && s->top_p < 1) {
            int k = 0;
            while (k < n_cand && (mass += kn_exp(c[k++].logit - max)) < s->top_p * sum)
                ;
            n_cand = k;
        }
        if (s->min_p > 0) {
            int k = 0;
            for (int i = 0; i < n_cand; i++)
                if (kn_exp(c[i].logit - max) >= s->min_p)
                    c[k++] = c[i];
            n_cand = k;
        }
        const float scale = (float)(1 / s->temperature);
        double at = 0;
        sum = 0;
        for (int i = 0; i < n_cand; i++)
            sum += kn_exp((c[i].logit - max) * scale);
        id = -1;
        for (int i = 0; i < n_cand && id < 0; i++)
            if ((at += kn_exp((c[i].logit - max) * scale)) > u * sum)
                id = c[i].id;
        id = id < 0 ? c[0].id : id; /* no sum: all are minus infinity */
    }
    *logprob = (double)logits[id] - (double)max - log(all);
    return id;
}

/* Logits of many shapes: peaked, flat, few values with many ties, zeros of both signs, minus infinity. */
static void fill(struct rng *r, float *x, int n, int shape)
{
    static const float spread[] = {0.01f, 1, 3, 10, 40};
    for (int i = 0; i < n; i++) {
        const float v = spread[shape % 5] * (float)rng_normal(r);
        x[i] = shape < 5 ? v : shape < 10 ? roundf(v) : roundf(v * 0.1f) * (i % 2 ? 1.0f : -1.0f);
        if (shape >= 10 && i % 7 == 0)
            x[i] = -INFINITY;
    }
}

/* What kn_top finds in x(n) settles the same token and log-probability: how often it does; -1: another one. */
static int by_top(struct kn_dev *dev, const struct sampler *s, struct sampler_scratch *own,
                  const float *x, int n, uint64_t position, int32_t want, double want_lp)
{
    struct kn_at logits = {0}, at = {0};
    double lp = 1;
    int flags, got = 0;
    const int k = sampler_top(s, n, 1, &flags);
    if (k == 0)
        return 0;
    if (kn_alloc(dev, (size_t)n * sizeof *x, &logits) ||
        kn_alloc_host(dev, sizeof(struct kn_top), &at) ||
        kn_write(dev, logits, x, (size_t)n * sizeof *x) ||
        kn_top(dev, at, logits, 1, n, n, k, flags) || kn_sync(dev))
        return -1;
    const int32_t id = sampler_next_top(s, own, kn_host(dev, at), n, 7, position, &lp);
    if (id != SAMPLER_ALL)
        got = id == want && (lp == want_lp || (isnan(lp) && isnan(want_lp))) ? 1 : -1;
    kn_free(dev, at);
    kn_free(dev, logits);
    return got;
}

static int differ(struct kn_dev *dev, const char *path, int n, int *settled)
{
    static const double tops[] = {0.001, 0.3, 0.9, 0.95, 0.999, 0.9999999, 1},
                        mins[] = {0, 0, 0.05, 0.5, 1}, temps[] = {0, 0.2, 0.8, 1, 3};
    static const int ks[] = {0, 0, 1, 2, 40, 500, 513, 3000, 1 << 30};
    struct rng r = {.key = (uint64_t)n};
    struct sampler_scratch *own = sampler_scratch_new(n);
    float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    struct item *c = malloc((size_t)n * sizeof *c);
    int bad = sampler_scratch_path(own, path) != 0;
    const int rounds = n > 10000 ? 30 : n > 5000 ? 90 : 300;
    for (int i = 0; i < rounds && !bad; i++) {
        double lp = 1, want_lp = 2;
        struct sampler s = {.temperature = temps[rng_below(&r, 5)],
                            .top_p = tops[rng_below(&r, 7)],
                            .min_p = mins[rng_below(&r, 5)],
                            .repeat_penalty = 1,
                            .top_k = ks[rng_below(&r, 9)]};
        fill(&r, x, n, i % 15);
        memcpy(y, x, (size_t)n * sizeof *x);
        int32_t want = plain_next(&s, x, n, c, rng_u01(7, 0, (uint64_t)i), &want_lp);
        int32_t got = sampler_next(&s, own, y, n, n, NULL, 0, 7, (uint64_t)i, &lp);
        bad = got != want || (lp != want_lp && !(isnan(lp) && isnan(want_lp))) ||
              memcmp(x, y, (size_t)n * sizeof *x) ||
              (lp == lp && strcmp(path, "generic") == 0 && lp != sampler_logprob(x, n, got));
        if (bad)
            printf("# n %d, round %d: id %d, expected %d; %.17g, expected %.17g\n", n, i, (int)got,
                   (int)want, lp, want_lp);
        const int top = strcmp(path, "generic") == 0
                            ? by_top(dev, &s, own, x, n, (uint64_t)i, want, want_lp)
                            : 0;
        if (top < 0)
            bad = printf("# n %d, round %d: another token by kn_top\n", n, i);
        else
            *settled += top;
        y[rng_below(&r, (uint64_t)n)] = NAN;
        if (sampler_next(&s, own, y, n, n, NULL, 0, 7, (uint64_t)i, NULL) != -1)
            bad = 1;
    }
    free(x);
    free(y);
    free(c);
    sampler_scratch_free(own);
    return bad;
}

static void test_against_plain(void)
{
    struct kn_dev *dev;
    if (kn_open(&dev, "ref", 1) < 0) {
        ok(0, "a device");
        return;
    }
    static const char *const paths[] = {"generic", "avx2", "avx512", "neon"};
    static const int sizes[] = {1, 2, 15, 16, 17, 63, 64, 65, 257, 1024, 8192, 151936};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        int bad = 0, settled = 0;
        if (!kn_pick(paths[p])) {
            skip("%s: this machine lacks it", paths[p]);
            continue;
        }
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            bad |= differ(dev, paths[p], sizes[i], &settled);
        ok(!bad, "%s: ids and log-probabilities of a plain sort, to the bit", paths[p]);
        if (strcmp(paths[p], "generic") == 0)
            ok(settled > 500, "the same from what kn_top finds (%d of 3,120)", settled);
    }
    kn_close(dev);
}

int main(void)
{
    struct sampler s = {.top_p = 1, .repeat_penalty = 1};
    float x[V], y[V];
    int count[V];
    double lp = 0;
    w = sampler_scratch_new(V);

    for (int i = 0; i < V; i++)
        x[i] = i == 7 || i == 9 ? 5.0f : (float)(i % 5);
    ok(sampler_next(&s, w, x, V, V, NULL, 0, 1, 1, NULL) == 7, "greedy: the lowest id of a tie");
    x[900] = 6;
    ok(sampler_next(&s, w, x, V, 900, NULL, 0, 1, 1, NULL) == 7,
       "greedy: padding rows are never chosen");
    x[3] = NAN;
    ok(sampler_next(&s, w, x, V, V, NULL, 0, 1, 1, NULL) == -1, "a NaN is seen");
    for (int i = 0; i < V; i++)
        x[i] = -INFINITY;
    x[5] = 0;
    ok(sampler_next(&plain, w, x, V, V, NULL, 0, 1, 1, &lp) == 5 && lp == 0,
       "one finite logit: probability 1");

    /* p = 0.5 0.25 0.125 0.0625 0.0625 over shuffled ids */
    float five[5] = {logf(.0625f), logf(.5f), logf(.125f), logf(.25f), logf(.0625f)};
    struct sampler k2 = plain, p5 = plain, p6 = plain, m = plain, cold = plain;
    k2.top_k = 2;
    p5.top_p = 0.49;
    p6.top_p = 0.75001;
    m.min_p = 0.249;
    cold.temperature = 0.5;
    ok(reach(plain, five, 5, count) == 5 && abs(count[1] - 2000) < 130 && abs(count[2] - 500) < 90,
       "temperature 1 draws by probability (%d of 4000 at 0.5)", count[1]);
    ok(reach(k2, five, 5, count) == 2 && count[1] && count[3] && abs(count[3] - 1333) < 120,
       "top-k 2 and its shares");
    ok(reach(p5, five, 5, count) == 1 && count[1], "top-p below the largest keeps one");
    ok(reach(p6, five, 5, count) == 3 && count[2],
       "top-p keeps the smallest prefix that reaches p");
    ok(reach(m, five, 5, count) == 3 && !count[0] && !count[4], "min-p keeps p_i >= min_p * p_max");
    reach(cold, five, 5, count); /* p^2: 1/4 1/16 1/64 1/256 1/256 of 0.3359 */
    ok(abs(count[1] - 2977) < 120, "temperature 0.5 squares the odds (%d)", count[1]);
    float tie[4] = {1, 1, 1, 0};
    ok(reach(k2, tie, 4, count) == 2 && count[0] && count[1], "top-k takes the lower ids of a tie");

    /* top-p beyond the ids that are ranked first: equal to a full sort */
    struct sampler p9 = plain;
    p9.top_p = 0.9;
    for (int i = 0; i < V; i++)
        x[i] = (float)((i * 7919) % V) * 1e-3f;
    reach(p9, x, V, count);
    double total = 0, mass = 0;
    int cut = 0;
    for (int r = V - 1; r >= 0; r--)
        total += exp(r * 1e-3);
    for (int r = V - 1; r >= 0 && mass < 0.9 * total; r--, cut++)
        mass += exp(r * 1e-3);
    int outside = 0;
    for (int i = 0; i < V; i++)
        outside += count[i] && (i * 7919) % V < V - cut;
    ok(cut > 300 && outside == 0, "top-p over a flat distribution stays inside its %d ids", cut);

    /* penalty: > 0 divided, < 0 multiplied, once for an id however often it occurs */
    struct sampler pen = {.top_p = 1, .repeat_penalty = 2};
    float z[3] = {3, 2, -1};
    int32_t seen[4] = {0, 0, 0, 2};
    ok(sampler_next(&pen, w, z, 3, 3, seen, 4, 1, 1, &lp) == 1 && z[0] == 1.5f && z[2] == -2,
       "repeat penalty");
    ok(fabs(lp - (2 - log(exp(3) + exp(2) + exp(-1)))) < 1e-6,
       "log-probability is of the untouched logits");
    pen.repeat_last = 1;
    float z2[3] = {3, 2, -1};
    ok(sampler_next(&pen, w, z2, 3, 3, seen, 4, 1, 1, NULL) == 0 && z2[0] == 3,
       "penalty over the last ids only");

    /* the draw depends on key and position alone */
    int same = 1, differ = 0;
    uint64_t key = rng_key(42, "HumanEval/0", 3);
    struct sampler_scratch *other = sampler_scratch_new(V);
    for (uint64_t p = 0; p < 50; p++) {
        memcpy(y, x, sizeof y);
        int32_t a = sampler_next(&p9, w, x, V, V, NULL, 0, key, p, NULL);
        sampler_next(&k2, other, x, V, V, NULL, 0, key + p, 99, NULL);
        int32_t b = sampler_next(&p9, other, y, V, V, NULL, 0, key, p, NULL);
        same &= a == b;
        differ +=
            a != sampler_next(&p9, w, x, V, V, NULL, 0, rng_key(42, "HumanEval/0", 4), p, NULL);
    }
    ok(same && differ > 25, "equal keys draw equally, another sample draws otherwise");
    test_against_plain();
    sampler_scratch_free(w);
    sampler_scratch_free(other);
    return done_testing();
}
