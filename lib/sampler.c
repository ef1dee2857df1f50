/* sampler - the next token from logits, the same on every machine
 *
 * Weights are kn_exp (poly.h), sums are doubles taken in one fixed order: the candidates' order,
 * which is by falling logit and rising id once top-k or top-p has sorted them, else by id.  So a
 * draw has the same bits wherever it runs. */
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

struct cand {
    float logit;
    int32_t id;
};
struct sampler_scratch {
    const struct kn_pick *pick;
    struct cand *cand, *spare; /* (n_vocab) */
    float *raw;                /* (n_vocab) logits before the penalty */
    float *weight;             /* (n_vocab) of the candidates */
    uint32_t *seen;            /* (n_vocab) the call that penalised an id last */
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

/* Sum of exp(x - max) in the order of the ids. */
static double mass_of(const struct kn_pick *pick, const float *x, int n, float max)
{
    float w[BLOCK];
    double sum = 0;
    for (int i = 0; i < n; i += BLOCK) {
        const int k = n - i < BLOCK ? n - i : BLOCK;
        pick->exps(k, x + i, max, 1, w);
        for (int j = 0; j < k; j++)
            sum += w[j];
    }
    return sum;
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

/* The k first in rank of x, sorted, into c: a heap, passed by whatever is below its last. */
static void top_heap(const struct kn_pick *pick, struct cand *c, int k, const float *x, int n)
{
    for (int i = 0; i < k; i++)
        c[i] = (struct cand){x[i], i};
    for (int i = k / 2 - 1; i >= 0; i--)
        sift(c, i, k);
    for (int i = k; (i = pick->next(x, i, n, c[0].logit)) < n; i++) {
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

/* Smaller for larger logits; +0 and -0 are equal, as before() has it. */
static uint32_t rank_key(float logit)
{
    const uint32_t u = kn_float_bits(logit + 0.0f);
    return u >> 31 ? u : ~u & 0x7fffffffu;
}

/* Sort candidates that are in the order of their ids by rank: three passes of 11 bits, each stable. */
static void sort(struct cand *c, struct cand *spare, int n)
{
    enum { BITS = 11, SIZE = 1 << BITS, PASSES = 3 };
    struct cand *from = c, *to = spare;
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
        struct cand *t = from;
        from = to;
        to = t;
    }
    memcpy(c, from, (size_t)n * sizeof *c);
}

/* All with a logit of at least t, sorted, into w->cand; how many. */
static int collect(struct sampler_scratch *w, const float *x, int n, float t)
{
    enum { FEW = 48 };
    struct cand *c = w->cand;
    int k = 0;
    for (int i = 0; (i = w->pick->next(x, i, n, t)) < n; i++)
        c[k++] = (struct cand){x[i], i};
    if (k > FEW) {
        sort(c, w->spare, k);
        return k;
    }
    for (int i = 1; i < k; i++) {
        const struct cand v = c[i];
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

/* Top-p: how many of the ranked ids are kept, at least one.  After top-k (n_cand < n) of the mass that
 * it left; else ids are ranked as far as they are needed: most distributions are settled by those
 * within a few powers of e of the likeliest. */
static int nucleus(struct sampler_scratch *w, int n_cand, const float *x, int n, float max,
                   double p)
{
    static const float within[] = {4, 8, 12, 16, 24, 0}; /* the last: all */
    const size_t last = sizeof within / sizeof *within - 1;
    int k = n_cand;
    if (n_cand < n) {
        double total = 0;
        for (int i = 0; i < n_cand; i++)
            total += kn_exp(w->cand[i].logit - max);
        k = prefix(w, n_cand, max, p * total);
        return k < n_cand ? k : n_cand;
    }
    const double mass = p * mass_of(w->pick, x, n, max);
    for (size_t i = 0; i <= last; i++) {
        const int ranked = collect(w, x, n, i < last ? max - within[i] : -INFINITY);
        if ((k = prefix(w, ranked, max, mass)) <= ranked)
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
    const struct cand *c = w->cand;
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

int32_t sampler_next(const struct sampler *s, struct sampler_scratch *w, float *logits, int n_vocab,
                     int n_real, const int32_t *history, int n_history, uint64_t key,
                     uint64_t position, double *logprob)
{
    int n = n_real < n_vocab ? n_real : n_vocab, n_cand = n, ranked = 0;
    int32_t best = argmax(w->pick, logits, n), id;
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
        id = best = argmax(w->pick, logits, n);
        if (best < 0)
            return -1;
        max = logits[best];
    }
    if (s->temperature > 0) {
        if (s->top_k > 0 && s->top_k < n) {
            n_cand = s->top_k;
            top(w, n_cand, logits, n);
            ranked = 1;
        }
        if (s->top_p > 0 && s->top_p < 1) {
            n_cand = nucleus(w, n_cand, logits, n, max, s->top_p);
            ranked = 1;
        }
        if (!ranked)
            for (int i = 0; i < n; i++)
                w->cand[i] = (struct cand){logits[i], i};
        if (s->min_p > 0)
            n_cand = keep_likely(w, n_cand, max, s->min_p);
        id = draw(w, n_cand, max, s->temperature, rng_u01(key, 0, position));
    }
    if (logprob)
        *logprob = logprob_of(w->pick, raw, n, id, raw_max);
    return id;
}
