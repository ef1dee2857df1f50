/* sampler - the next token from logits, the same on every machine
 *
 * Weights are kn_exp (poly.h), sums are doubles taken in one fixed order: the candidates' order,
 * which is by falling logit and rising id once top-k or top-p has sorted them, else by id.  So a
 * draw has the same bits wherever it runs. */
#include "sampler.h"
#include "poly.h"
#include "rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_RANKED = 128 }; /* ids that top-p sorts before it looks whether they are enough */

enum { LANES = 64 }; /* a constant number of turns: the compiler makes vectors of them */

struct cand {
    float logit;
    int32_t id;
};
struct sampler_scratch {
    struct cand *cand; /* (n_vocab) */
    float *raw;        /* (n_vocab) logits before the penalty */
    float *weight;     /* (n_vocab) of the candidates */
    uint32_t *seen;    /* (n_vocab) the call that penalised an id last */
    uint32_t call;
};

struct sampler_scratch *sampler_scratch_new(int n_vocab)
{
    struct sampler_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->cand = calloc((size_t)n_vocab, sizeof *s->cand);
    s->raw = calloc((size_t)n_vocab, sizeof *s->raw);
    s->weight = calloc((size_t)n_vocab, sizeof *s->weight);
    s->seen = calloc((size_t)n_vocab, sizeof *s->seen);
    if (!s->cand || !s->raw || !s->weight || !s->seen) {
        sampler_scratch_free(s);
        return NULL;
    }
    return s;
}

void sampler_scratch_free(struct sampler_scratch *s)
{
    if (!s)
        return;
    free(s->cand);
    free(s->raw);
    free(s->weight);
    free(s->seen);
    free(s);
}

/* Lowest id of the largest logit; -1 if one is NaN. */
static int32_t argmax(const float *x, int n)
{
    float lane[LANES], max = -INFINITY;
    int nan[LANES] = {0}, any = 0, i = 0, k = 0;
    for (int j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    for (; k + LANES <= n; k += LANES)
        for (int j = 0; j < LANES; j++) {
            lane[j] = x[k + j] > lane[j] ? x[k + j] : lane[j];
            nan[j] |= x[k + j] != x[k + j];
        }
    for (int j = 0; j < LANES; j++) {
        max = lane[j] > max ? lane[j] : max;
        any |= nan[j];
    }
    for (; k < n; k++) {
        max = x[k] > max ? x[k] : max;
        any |= x[k] != x[k];
    }
    if (any)
        return -1;
    while (i < n - 1 && x[i] != max)
        i++;
    return i;
}

/* w = exp((x - max) * scale), n at most LANES */
static void weights(float *w, const float *x, int n, float max, float scale)
{
    if (n == LANES)
        for (int j = 0; j < LANES; j++)
            w[j] = kn_exp((x[j] - max) * scale);
    else
        for (int j = 0; j < n; j++)
            w[j] = kn_exp((x[j] - max) * scale);
}

/* Sum of exp(x - max) in the order of the ids. */
static double mass_of(const float *x, int n, float max)
{
    float w[LANES];
    double sum = 0;
    for (int i = 0; i < n; i += LANES) {
        int k = n - i < LANES ? n - i : LANES;
        weights(w, x + i, k, max, 1);
        for (int j = 0; j < k; j++)
            sum += w[j];
    }
    return sum;
}

static double logprob_of(const float *x, int n, int32_t id, float max)
{
    return (double)x[id] - (double)max - log(mass_of(x, n, max));
}

double sampler_logprob(const float *logits, int n, int32_t id)
{
    int32_t best = argmax(logits, n);
    return best < 0 ? NAN : logprob_of(logits, n, id, logits[best]);
}

/* logit / r if positive, else logit * r, once for each id among the last n (llama.cpp, CTRL) */
static void penalise(const struct sampler *s, struct sampler_scratch *w, float *logits, int n_real,
                     const int32_t *history, int n_history)
{
    int first = s->repeat_last > 0 && n_history > s->repeat_last ? n_history - s->repeat_last : 0;
    if (++w->call == 0) { /* the counter wrapped: no mark may look current */
        for (int i = 0; i < n_real; i++)
            w->seen[i] = 0;
        w->call = 1;
    }
    for (int i = first; i < n_history; i++) {
        int32_t id = history[i];
        if (id < 0 || id >= n_real || w->seen[id] == w->call)
            continue;
        w->seen[id] = w->call;
        logits[id] = logits[id] > 0 ? (float)(logits[id] / s->repeat_penalty)
                                    : (float)(logits[id] * s->repeat_penalty);
    }
}

/* 1 if a comes before b: larger logit, then lower id */
static int before(struct cand a, struct cand b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Sift c[i] down in a heap of n whose root is the last in rank. */
static void sift(struct cand *c, int i, int n)
{
    for (int kid; (kid = 2 * i + 1) < n; i = kid) {
        if (kid + 1 < n && before(c[kid], c[kid + 1]))
            kid++;
        if (!before(c[i], c[kid]))
            return;
        struct cand t = c[i];
        c[i] = c[kid];
        c[kid] = t;
    }
}

/* The k first in rank of x, sorted, into c. */
static void top(struct cand *c, int k, const float *x, int n)
{
    for (int i = 0; i < k; i++)
        c[i] = (struct cand){x[i], i};
    for (int i = k / 2 - 1; i >= 0; i--)
        sift(c, i, k);
    for (int i = k; i < n; i++) {
        struct cand v = {x[i], i};
        if (before(v, c[0])) {
            c[0] = v;
            sift(c, 0, k);
        }
    }
    for (int i = k - 1; i > 0; i--) { /* heapsort: in place, where qsort may allocate */
        struct cand last = c[0];
        c[0] = c[i];
        c[i] = last;
        sift(c, 0, i);
    }
}

/* Shortest prefix of the ranked ids whose mass reaches p of the total; at least one. Ranks more ids
 * as it needs them: most distributions are settled within a few hundred. */
static int nucleus(struct cand *c, int ranked, int n_cand, const float *x, int n, float max,
                   double p)
{
    double total = 0, mass = 0;
    if (n_cand < n) { /* after top-k: of the mass that it left */
        for (int i = 0; i < n_cand; i++)
            total += kn_exp(c[i].logit - max);
    } else {
        total = mass_of(x, n, max);
    }
    for (int i = 0; i < n_cand; i++) {
        if (i == ranked) {
            ranked = ranked * 8 < n_cand ? ranked * 8 : n_cand;
            top(c, ranked, x, n);
        }
        mass += kn_exp(c[i].logit - max);
        if (mass >= p * total)
            return i + 1;
    }
    return n_cand;
}

/* One of the candidates by weight exp((logit - max) / temperature); u in [0,1). weight (n) is
 * scratch. */
static int32_t draw(const struct cand *c, int n, float max, double temperature, double u,
                    float *weight)
{
    const float scale = (float)(1 / temperature);
    float x[LANES];
    double sum = 0, at = 0;
    int32_t last = c[0].id;
    for (int i = 0; i < n; i += LANES) {
        int k = n - i < LANES ? n - i : LANES;
        for (int j = 0; j < k; j++)
            x[j] = c[i + j].logit;
        weights(weight + i, x, k, max, scale);
        for (int j = 0; j < k; j++)
            sum += weight[i + j];
    }
    for (int i = 0; i < n; i++) {
        if (weight[i] > 0)
            last = c[i].id;
        at += weight[i];
        if (at > u * sum)
            return c[i].id;
    }
    return last;
}

int32_t sampler_next(const struct sampler *s, struct sampler_scratch *w, float *logits, int n_vocab,
                     int n_real, const int32_t *history, int n_history, uint64_t key,
                     uint64_t position, double *logprob)
{
    int n = n_real < n_vocab ? n_real : n_vocab, n_cand = n, ranked = 0;
    int32_t best = argmax(logits, n), id;
    const float *raw = logits;
    float max, raw_max;
    if (best < 0)
        return -1;
    id = best;
    max = raw_max = logits[best];
    if (s->repeat_penalty > 0 && s->repeat_penalty != 1) {
        if (logprob)
            raw = memcpy(w->raw, logits, (size_t)n * sizeof *logits);
        penalise(s, w, logits, n, history, n_history);
        id = best = argmax(logits, n);
        if (best < 0)
            return -1;
        max = logits[best];
    }
    if (s->temperature > 0) {
        if (s->top_k > 0 && s->top_k < n) {
            n_cand = ranked = s->top_k;
            top(w->cand, ranked, logits, n);
        }
        if (s->top_p > 0 && s->top_p < 1) {
            if (!ranked) {
                ranked = n_cand < FIRST_RANKED ? n_cand : FIRST_RANKED;
                top(w->cand, ranked, logits, n);
            }
            n_cand = nucleus(w->cand, ranked, n_cand, logits, n, max, s->top_p);
        }
        if (!ranked)
            for (int i = 0; i < n; i++)
                w->cand[i] = (struct cand){logits[i], i};
        if (s->min_p > 0) {
            int kept = 0;
            for (int i = 0; i < n_cand; i++)
                if (kn_exp(w->cand[i].logit - max) >= s->min_p)
                    w->cand[kept++] = w->cand[i];
            n_cand = kept;
        }
        id = draw(w->cand, n_cand, max, s->temperature, rng_u01(key, 0, position), w->weight);
    }
    if (logprob)
        *logprob = logprob_of(raw, n, id, raw_max);
    return id;
}
