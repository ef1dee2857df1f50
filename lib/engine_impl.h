/* engine_impl.h - what the engine's parts share: sequences, the queue, the step's batch
 *
 * Invariants
 *  1. ids[0..n_done-1] of a sequence are in the cache; n_done < n_ids while it is active.
 *  2. Blocks still to come for all active sequences (`owed`) never exceed what the cache can give,
 * so taking one inside a step cannot fail and nothing is ever thrown out half done.
 *  3. A sequence that shares blocks waits until they are filled; their owner was admitted before it
 * and runs before it, so the wait ends. */
#ifndef ENGINE_IMPL_H
#define ENGINE_IMPL_H
#include "answer.h"
#include "clock.h"
#include "engine.h"
#include "forward.h"
#include "kvcache.h"

struct seq {
    struct engine_request req;
    struct engine_result res;
    struct seq *next;  /* queue, or results in order */
    struct seq *newer; /* finished, in order of finishing */
    int finished;
    int32_t *ids; /* (n_prompt + max_new) behind the struct, as logprob is */
    int n_ids, n_prompt, max_new, n_done;
    int n_block;    /* blocks held */
    int need;       /* blocks that it may come to hold */
    int rope;       /* model_rope_shift */
    int n_shared;   /* of them taken from others: to be waited for */
    int copy_from;  /* a partly filled block to copy first, held; -1 none */
    int rows, out;  /* of this step; out: its index among the logits rows, -1 none */
    int32_t *block; /* (max_blocks) the place's row of the table */
    double *logprob;
    double start;
    struct answer answer;
};
struct engine {
    const struct model *m;
    struct engine_opts o;
    struct forward f;
    struct kvcache kv;
    struct sampler_scratch *scratch;
    struct seq **active; /* (batch) in order of admission */
    int32_t **table;     /* (batch) free rows of the block tables are beyond n_active */
    int n_active, owed, max_blocks, n_queued;
    struct seq *queue, *queue_end; /* waiting */
    struct seq *order, *order_end; /* all that have no result taken, in order of the requests */
    struct seq *fin, *fin_end;     /* finished, unordered */
    int32_t *tok, *pos, *seq, *rope, *adapter, *out, *blocks; /* the step's batch */
    float *
        logits; /* where the device's memory is not ours: of a step, or of a row that f.top does not settle */
    struct engine_stats stats;
};

static inline int engine_blocks(int positions)
{
    return (positions + KN_TILE - 1) / KN_TILE;
}

/* engine_admit.c: waiting requests become sequences, in their order, as long as there is a place and
 * blocks for the longest answer; prefixes that the cache knows are taken from it. */
void engine_admit(struct engine *g);
/* 1 once all that the sequence shares is there; copies the partly filled block. *rc: the device's. */
int engine_ready(struct engine *g, struct seq *s, int *rc);
#endif
