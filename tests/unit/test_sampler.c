/* test_sampler - ties, the definitions of top-k, top-p and min-p, penalty, reproducible draws */
#include "rng.h"
#include "sampler.h"
#include "tap.h"
#include <math.h>
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
    sampler_scratch_free(w);
    sampler_scratch_free(other);
    return done_testing();
}
