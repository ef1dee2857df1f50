/* sampler - the next token from logits, the same on every machine
 *
 * Weights are kn_exp (poly.h), sums are doubles taken in one fixed order: the candidates' order,
 * which is by falling logit and rising id once top-k or top-p has sorted them, else by id; over all ids
 * that of R6 (kernels.h), which a device can follow.  So a draw has the same bits wherever it runs. */
#include "sampler.h"
#include "pick.h"
#include "poly.h"
#include "rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1024,   /* weights made at a time: they stay in the first cache */
    HEAP_MOST = 512 /* top-k up to which a heap beats sorting all */
};

struct sampler_scratch {
    const struct kn_pick *pick;
    struct kn_cand *cand, *spare; /* (n_vocab) */
    float *raw;                   /* (n_vocab) logits before the penalty */
    float *weight;                /* (n_vocab) of the candidates */
    uint32_t *seen;               /* (n_vocab) the call that penalised an id last */
    uint32_t call;
};

struct sampler_scratch *sampler_scratch_new(int n_vocab)
{
    struct sampler_scratch *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->pick = kn_pick(NULL);
    s->cand = calloc((size_t)n_vocab, sizeof *s->cand);
    s->spare = calloc((size_t)n_vocab, sizeof *s->spare);
    s->raw = calloc((size_t)n_vocab, sizeof *s->raw);
    s->weight = calloc((size_t)n_vocab, sizeof *s->weight);
    s->seen = calloc((size_t)n_vocab, sizeof *s->seen);
    if (!s->cand || !s->spare || !s->raw || !s->weight || !s->seen) {
        sampler_scratch_free(s);
        return NULL;
    }
    return s;
}

int sampler_scratch_path(struct sampler_scratch *s, const char *path)
{
    const struct kn_pick *p = kn_pick(path);
    if (p)
        s->pick = p;
    return p ? 0 : -1;
}

void sampler_scratch_free(struct sampler_scratch *s)
{
    if (!s)
        return;
    free(s->cand);
    free(s->spare);
    free(s->raw);
    free(s->weight);
    free(s->seen);
    free(s);
}

/* Lowest id of the largest logit; -1 if one is NaN. */
static int32_t argmax(const struct kn_pick *pick, const float *x, int n)
{
    const float max = pick->max(n, x);
    return max != max ? -1 : (int32_t)pick->next(x, 0, n, max);
}

/* Sum of exp(x - max): R6. */
static double mass_of(const struct kn_pick *pick, const float *x, int n, float max)
{
    float w[KN_TOP_LANES];
    double lane[KN_TOP_LANES] = {0};
    for (int i = 0; i < n; i += KN_TOP_LANES) {
        const int k = n - i < KN_TOP_LANES ? n - i : KN_TOP_LANES;
        pick->exps(k, x + i, max, 1, w);
        for (int j = 0; j < k; j++)
            lane[j] += w[j];
    }
    for (int half = KN_TOP_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static double logprob_of(const struct kn_pick *pick, const float *x, int n, int32_t id, float max)
{
    return (double)x[id] - (double)max - log(mass_of(pick, x, n, max));
}

double sampler_logprob(const float *logits, int n, int32_t id)
{
    const struct kn_pick *pick = kn_pick(NULL);
    int32_t best = argmax(pick, logits, n);
    return best < 0 ? NAN : logprob_of(pick, logits, n, id, logits[best]);
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
static int before(struct kn_cand a, struct kn_cand b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Sift c[i] down in a heap of n whose root is the last in rank. */
static void sift(struct kn_cand *c, int i, int n)
{
    for (int kid; (kid = 2 * i + 1) < n; i = kid) {
        if (kid + 1 < n && before(c[kid], c[kid + 1]))
            kid++;
        if (!before(c[i], c[kid]))
            return;
        struct kn_cand t = c[i];
        c[i] = c[kid];
        c[kid] = t;
    }
}

/* The k first in rank of x, sorted, into c: a heap, passed by whatever is below its last. */
static void top_heap(const struct kn_pick *pick, struct kn_cand *c, int k, const float *x, int n)
{
    for (int i = 0; i < k; i++)
        c[i] = (struct kn_cand){x[i], i};
    for (int i = k / 2 - 1; i >= 0; i--)
        sift(c, i, k);
    for (int i = k; (i = pick->next(x, i, n, c[0].logit)) < n; i++) {
        struct kn_cand v = {x[i], i};
        if (before(v, c[0])) {
            c[0] = v;
            sift(c, 0, k);
        }
    }
    for (int i = k - 1; i > 0; i--) { /* heapsort: in place, where qsort may allocate */
        struct kn_cand last = c[0];
        c[0] = c[i];
        c[i] = last;
        sift(c, 0, i);
    }
}

/* Smaller for larger logits; +0 and -0 are equal, as before() has it. */
static uint32_t rank_key(float logit)
{
    const uint32_t u = kn_float_bits(logit + 0.0f);
    return u >> 31 ? u : ~u & 0x7fffffffu;
}

/* Sort candidates that are in the order of their ids by rank: three passes of 11 bits, each stable. */
static void sort(struct kn_cand *c, struct kn_cand *spare, int n)
{
    enum { BITS = 11, SIZE = 1 << BITS, PASSES = 3 };
    struct kn_cand *from = c, *to = spare;
    int count[PASSES][SIZE] = {{0}};
    for (int i = 0; i < n; i++)
        for (int p = 0; p < PASSES; p++)
            count[p][rank_key(c[i].logit) >> (p * BITS) & (SIZE - 1)]++;
    for (int p = 0; p < PASSES; p++) {
        for (int v = 0, at = 0; v < SIZE; v++) {
            const int k = count[p][v];
            count[p][v] = at;
            at += k;
        }
        for (int i = 0; i < n; i++)
            to[count[p][rank_key(from[i].logit) >> (p * BITS) & (SIZE - 1)]++] = from[i];
        struct kn_cand *t = from;
        from = to;
        to = t;
    }
    memcpy(c, from, (size_t)n * sizeof *c);
}

/* All with a logit of at least t, sorted, into w->cand; how many. */
static int collect(struct sampler_scratch *w, const float *x, int n, float t)
{
    enum { FEW = 48 };
    struct kn_cand *c = w->cand;
    int k = 0;
    for (int i = 0; (i = w->pick->next(x, i, n, t)) < n; i++)
        c[k++] = (struct kn_cand){x[i], i};
    if (k > FEW) {
        sort(c, w->spare, k);
        return k;
    }
    for (int i = 1; i < k; i++) {
        const struct kn_cand v = c[i];
        int j = i;
        for (; j > 0 && before(v, c[j - 1]); j--)
            c[j] = c[j - 1];
        c[j] = v;
    }
    return k;
}

/* The k first in rank into w->cand. */
static void top(struct sampler_scratch *w, int k, const float *x, int n)
{
    if (k <= HEAP_MOST)
        top_heap(w->pick, w->cand, k, x, n);
    else
        collect(w, x, n, -INFINITY);
}

/* Shortest prefix of the n ranked candidates whose mass reaches `mass`; n + 1 if none does. */
static int prefix(const struct sampler_scratch *w, int n, float max, double mass)
{
    double sum = 0;
    for (int i = 0; i < n; i += BLOCK) {
        float x[BLOCK], e[BLOCK];
        const int k = n - i < BLOCK ? n - i : BLOCK;
        for (int j = 0; j < k; j++)
            x[j] = w->cand[i + j].logit;
        w->pick->exps(k, x, max, 1, e);
        for (int j = 0; j < k; j++) {
            sum += e[j];
            if (sum >= mass)
                return i + j + 1;
        }
    }
    return n + 1;
}

/* Top-p after top-k: how many of the n ranked candidates are kept, of the mass that they have. */
static int nucleus_of(const struct sampler_scratch *w, int n, float max, double p)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += kn_exp(w->cand[i].logit - max);
    const int k = prefix(w, n, max, p * total);
    return k < n ? k : n;
}

/* Top-p of all ids: how many of those ranked in w->cand are kept, at least one.  Ids are ranked as far as they are needed:
 * most distributions are settled by those within a few powers of e of the likeliest. */
static int nucleus(struct sampler_scratch *w, const float *x, int n, float max, double p)
{
    static const float within[] = {4, 8, 12, 16, 24, 0}; /* the last: all */
    const size_t last = sizeof within / sizeof *within - 1;
    const double mass = p * mass_of(w->pick, x, n, max);
    for (size_t i = 0; i <= last; i++) {
        const int ranked = collect(w, x, n, i < last ? max - within[i] : -INFINITY);
        const int k = prefix(w, ranked, max, mass);
        if (k <= ranked)
            return k;
    }
    return n;
}

/* At least min_p times as likely as the likeliest; in place, in their order. */
static int keep_likely(struct sampler_scratch *w, int n, float max, double min_p)
{
    int kept = 0;
    for (int i = 0; i < n; i += BLOCK) {
        float x[BLOCK], e[BLOCK];
        const int k = n - i < BLOCK ? n - i : BLOCK;
        for (int j = 0; j < k; j++)
            x[j] = w->cand[i + j].logit;
        w->pick->exps(k, x, max, 1, e);
        for (int j = 0; j < k; j++)
            if (e[j] >= min_p)
                w->cand[kept++] = w->cand[i + j];
    }
    return kept;
}

/* One of the candidates by weight exp((logit - max) / temperature); u in [0,1). */
static int32_t draw(struct sampler_scratch *w, int n, float max, double temperature, double u)
{
    const float scale = (float)(1 / temperature);
    const struct kn_cand *c = w->cand;
    float *weight = w->weight;
    double sum = 0, at = 0;
    int32_t last = c[0].id;
    for (int i = 0; i < n; i += BLOCK) {
        float x[BLOCK];
        const int k = n - i < BLOCK ? n - i : BLOCK;
        for (int j = 0; j < k; j++)
            x[j] = c[i + j].logit;
        w->pick->exps(k, x, max, scale, weight + i);
        for (int j = 0; j < k; j++)
            sum += weight[i + j];
    }
    const double goal = u * sum;
    for (int i = 0; i < n; i++) {
        if (weight[i] > 0)
            last = c[i].id;
        at += weight[i];
        if (at > goal)
            return c[i].id;
    }
    return last;
}

/* Of the candidates in w->cand: what min-p leaves, and the draw. */
static int32_t choose(const struct sampler *s, struct sampler_scratch *w, int n_cand, float max,
                      uint64_t key, uint64_t position)
{
    if (s->min_p > 0)
        n_cand = keep_likely(w, n_cand, max, s->min_p);
    return draw(w, n_cand, max, s->temperature, rng_u01(key, 0, position));
}

static int penalises(const struct sampler *s)
{
    return s->repeat_penalty > 0 && s->repeat_penalty != 1;
}

static int has_top_k(const struct sampler *s, int n)
{
    return s->top_k > 0 && s->top_k < n;
}

static int has_top_p(const struct sampler *s)
{
    return s->top_p > 0 && s->top_p < 1;
}

int32_t sampler_next(const struct sampler *s, struct sampler_scratch *w, float *logits, int n_vocab,
                     int n_real, const int32_t *history, int n_history, uint64_t key,
                     uint64_t position, double *logprob)
{
    int n = n_real < n_vocab ? n_real : n_vocab, n_cand = n;
    int32_t best = argmax(w->pick, logits, n), id;
    const float *raw = logits;
    float max, raw_max;
    if (best < 0)
        return -1;
    id = best;
    max = raw_max = logits[best];
    if (penalises(s)) {
        if (logprob)
            raw = memcpy(w->raw, logits, (size_t)n * sizeof *logits);
        penalise(s, w, logits, n, history, n_history);
        id = best = argmax(w->pick, logits, n);
        if (best < 0)
            return -1;
        max = logits[best];
    }
    if (s->temperature > 0) {
        if (has_top_k(s, n))
            top(w, n_cand = s->top_k, logits, n);
        if (has_top_p(s))
            n_cand = n_cand < n ? nucleus_of(w, n_cand, max, s->top_p)
                                : nucleus(w, logits, n, max, s->top_p);
        else if (n_cand == n)
            for (int i = 0; i < n; i++)
                w->cand[i] = (struct kn_cand){logits[i], i};
        id = choose(s, w, n_cand, max, key, position);
    }
    if (logprob)
        *logprob = logprob_of(w->pick, raw, n, id, raw_max);
    return id;
}

int sampler_top(const struct sampler *s, int n_real, int logprob, int *flags)
{
    const int k = has_top_k(s, n_real), p = has_top_p(s), draws = s->temperature > 0;
    *flags = logprob || (draws && p && !k) ? KN_TOP_MASS : 0;
    if (penalises(s) || (draws && (k ? s->top_k > KN_TOP_MOST : !p)))
        return 0;
    return !draws ? 1 : k ? s->top_k : KN_TOP_MOST;
}

int32_t sampler_next_top(const struct sampler *s, struct sampler_scratch *w, const struct kn_top *t,
                         int n_real, uint64_t key, uint64_t position, double *logprob)
{
    const float max = t->cand[0].logit;
    int n = has_top_k(s, n_real) && s->temperature > 0 ? s->top_k : n_real;
    int32_t at = 0;
    if (t->nan)
        return -1;
    if (t->n == 0)
        return SAMPLER_ALL;
    if (s->temperature > 0) {
        memcpy(w->cand, t->cand, (size_t)t->n * sizeof *t->cand);
        if (has_top_p(s) && n < n_real)
            n = nucleus_of(w, n, max, s->top_p);
        else if (has_top_p(s)) {
            n = prefix(w, t->n, max, s->top_p * t->mass);
            if (n > t->n && t->n < n_real)
                return SAMPLER_ALL;
            n = n < n_real ? n : n_real;
        }
        const int32_t id = choose(s, w, n, max, key, position);
        while (t->cand[at].id != id)
            at++;
    }
    if (logprob)
        *logprob = (double)t->cand[at].logit - (double)max - log(t->mass);
    return t->cand[at].id;
}
