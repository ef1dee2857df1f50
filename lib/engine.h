/* engine.h - many sequences at once: continuous batching over one model
 *
 * Requests queue; each engine_step admits what fits, runs one ragged batch (a row for each sequence
 * that decodes, prompt chunks in the rows that are left) and samples.  A finished sequence gives
 * its place to the next at once.  A result depends on its request alone: not on the batch size, the
 * place, the threads or the neighbours.
 *
 * The engine owns its sequences and results; what a request points at must live until its result is
 * released.  A step neither allocates nor locks, except that admission allocates the new sequence's
 * buffers and an answer longer than expected grows its text. */
#ifndef ENGINE_H
#define ENGINE_H
#include "model.h"
#include "sampler.h"

struct engine;
struct engine_opts {
    int batch;   /* sequences in flight */
    int n_ctx;   /* longest sequence; at most the model's n_ctx */
    int chunk;   /* rows of a step; 0 = 512; at least batch */
    int n_block; /* KV blocks of KN_TILE positions; 0 = batch sequences of n_ctx */
    int kv_type; /* KN_F32 or KN_F16 */
    int unordered;
};
struct engine_request {
    const int32_t *ids; /* (n_ids) prompt, prefill included */
    int n_ids, max_tokens;
    struct sampler sampler;
    uint64_t key;            /* rng_key(seed, task_id, sample) */
    const char *const *stop; /* (n_stop) stop strings */
    int n_stop;
    const char *prefill; /* text of the ids that begin the answer, or NULL */
    long think_budget;   /* -1 = none */
    int logprobs;
    void *tag;
};
enum engine_finish { ENGINE_STOP, ENGINE_LENGTH, ENGINE_CONTEXT };
struct engine_result {
    void *tag;
    enum engine_finish finish;
    int prompt_tokens, n_ids;
    const int32_t *ids;    /* (n_ids) generated, the stop id included */
    const double *logprob; /* (n_ids) or NULL */
    const char *text, *thinking;
    size_t n_text, n_thinking;
    int thinking_open; /* it ended inside its thinking */
    double seconds;    /* from admission to the end */
};
int engine_new(struct engine **g, const struct model *m, const struct engine_opts *o,
               struct err *e);
void engine_free(struct engine *g);
/* Queue a request. ERR_DATA if the prompt leaves no room in the context or does not fit the KV
 * blocks. */
int engine_add(struct engine *g, const struct engine_request *r, struct err *e);
int engine_queued(const struct engine *g); /* requests that wait */
/* One step. 1 = there is more to do, 0 = nothing left, negative = error. */
int engine_step(struct engine *g, struct err *e);
/* The next result, in the order of the requests (or as they finish); NULL = none yet. */
const struct engine_result *engine_result(struct engine *g);
void engine_release(struct engine *g, const struct engine_result *r);

struct engine_stats {
    uint64_t steps, rows, generated, prompt,
        shared; /* shared: prompt positions taken from other sequences */
};
struct engine_stats engine_stats(const struct engine *g);
const char *engine_finish_name(enum engine_finish f); /* "stop" "length" "context" */
#endif
