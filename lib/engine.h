/* engine.h - many sequences at once: continuous batching over one model
 *
 * Requests queue; each engine_step admits what fits, runs one ragged batch (a row for each sequence
 * that decodes, prompt chunks in the rows that are left) and samples.  A finished sequence gives
 * its place to the next at once.  A result depends on its request alone: not on the batch size, the
 * place, the threads or the neighbours.
 *
 * The engine owns its sequences and results; what a request points at must live until its result is
 * released.  engine_add allocates what a sequence needs.  A step neither allocates nor locks; only the
 * text of an answer whose tokens are longer than ENGINE_TOKEN_BYTES on the whole grows in one. */
#ifndef ENGINE_H
#define ENGINE_H
#include "model.h"
#include "sampler.h"

enum { ENGINE_BATCH = 64, ENGINE_CHUNK = 512, ENGINE_TOKEN_BYTES = 16 };

struct engine;
struct engine_opts {
    int batch;   /* sequences in flight */
    int n_ctx;   /* longest sequence; at most the model's n_ctx */
    int chunk;   /* rows of a step; 0 = ENGINE_CHUNK; at least batch */
    int n_block; /* KV blocks of KN_TILE positions; 0 = batch sequences of n_ctx */
    int kv_type; /* of the cache */
    int unordered;
    int no_share; /* every prompt is computed whole: for tests, changes no result */
    int top; /* kn_top finds what a token is chosen from, as it does where logits are not in our memory: likewise */
};
/* What a number of requests need, before anything is allocated. */
struct engine_need {
    const int *positions; /* (n) engine_positions of each */
    long n;
    size_t room;  /* bytes that may be taken */
    long misfit;  /* out: the first request that cannot fit alone; -1 none */
    size_t bytes; /* out: what the plan takes at most */
};
/* KV positions that a request may come to hold. */
int engine_positions(int n_ids, int max_tokens, int n_ctx);
/* Fill in what is 0 of batch, chunk and n_block so that all fits the room: KV blocks for the longest
 * answers of as many of the requests as can be in flight, fewer where memory ends; ENGINE_BATCH
 * sequences, or as many as there are requests, or fewer where memory ends.  ERR_NOMEM "needs N bytes
 * ..., M available" if a request cannot fit (misfit). */
int engine_plan(struct engine_opts *o, const struct model *m, struct engine_need *need,
                struct err *e);
/* What an engine takes on dev beside the model and the KV blocks (chunk and batch given; weights: of
 * model_need), and for one KV block; bytes, SIZE_MAX if they fit no size. */
size_t engine_fixed_bytes(const struct engine_opts *o, const struct hparams *h,
                          const struct kn_dev *dev, const struct kn_count *weights);
size_t engine_block_bytes(const struct hparams *h, int kv_type);
struct engine_request {
    const int32_t *ids; /* (n_ids) prompt, prefill included */
    int n_ids, max_tokens;
    struct sampler sampler;
    uint64_t key; /* rng_key(seed, task_id, sample) */
    int adapter;  /* from 1: number of the model's adapter and one (model_lora.h); 0: none */
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
/* Queue a request. ERR_DATA if the prompt leaves no room in the context, ERR_NOMEM if it does not fit
 * the KV blocks. */
int engine_add(struct engine *g, const struct engine_request *r, struct err *e);
int engine_queued(const struct engine *g); /* requests that wait */
/* One step. 1 = there is more to do, 0 = nothing left, negative = error. */
int engine_step(struct engine *g, struct err *e);
/* The next result, in the order of the requests (or as they finish); NULL = none yet. */
const struct engine_result *engine_result(struct engine *g);
void engine_release(struct engine *g, const struct engine_result *r);

struct engine_stats {
    uint64_t steps, rows, generated, prompt;
    uint64_t shared; /* prompt positions taken from other sequences */
    int most_active; /* sequences in one step */
};
struct engine_stats engine_stats(const struct engine *g);
const char *engine_finish_name(enum engine_finish f); /* "stop" "length" "context" */
#endif
