/* sampler.h - the next token from logits: greedy, temperature, top-k, top-p, min-p, repetition
 * penalty
 *
 * Order as llama.cpp: penalty, top-k, top-p, min-p, temperature.  Greedy = temperature 0: argmax,
 * lowest id on exact ties.  The draw is rng_u01(key, position): it depends on (seed, task_id,
 * sample, position) alone. */
#ifndef SAMPLER_H
#define SAMPLER_H
#include "kernels.h"
#include <stdint.h>

struct sampler {
    double temperature, top_p, min_p, repeat_penalty;
    int top_k, repeat_last; /* repeat_last: ids that the penalty looks back on; 0 = all */
};
struct sampler_scratch; /* (n_vocab) once per sequence slot or thread */
struct sampler_scratch *sampler_scratch_new(int n_vocab);
void sampler_scratch_free(struct sampler_scratch *s);
/* Let the passes over the logits run on that path (kernels/pick.h): for tests, all give the same bits.
 * -1 if this machine lacks it. */
int sampler_scratch_path(struct sampler_scratch *s, const char *path);
/* logits (n_vocab) may be changed by the penalty. history: the ids so far (prompt and answer).
 * *logprob (may be NULL): log softmax of the untouched logits at the chosen id. n_real: ids >=
 * n_real are padding rows and never chosen. -1 if a logit is NaN. */
int32_t sampler_next(const struct sampler *s, struct sampler_scratch *w, float *logits, int n_vocab,
                     int n_real, const int32_t *history, int n_history, uint64_t key,
                     uint64_t position, double *logprob);
/* The same from what kn_top finds.  sampler_top: how many candidates of n_real ids that takes, and in *flags what else; 0: it
 * takes all logits (a penalty; no top-k, or one above KN_TOP_MOST, and no top-p).  sampler_next_top: the token,
 * -1 if a logit is NaN, SAMPLER_ALL if the candidates do not settle it. */
enum { SAMPLER_ALL = -2 };
int sampler_top(const struct sampler *s, int n_real, int logprob, int *flags);
int32_t sampler_next_top(const struct sampler *s, struct sampler_scratch *w, const struct kn_top *t,
                         int n_real, uint64_t key, uint64_t position, double *logprob);
/* log softmax of logits (n) at id. */
double sampler_logprob(const float *logits, int n, int32_t id);
#endif
