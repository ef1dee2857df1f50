/* verify.h - a written model against what it was made from, on real prompts: the receipt
 *
 * Whoever writes a model shows both sides as views, and the file is compared before it gets its name:
 *  - tensors that keep their type, byte for byte;
 *  - logits of the prompts of data/receipt.jsonl and of the source's greedy answers to them, on the CPU as apr-gen
 *    computes them: largest difference, KL divergence of the source's distribution from the copy's (nats), share of
 *    positions with the same first choice, and greedy tokens that are the same up to the first that differs;
 *  - ids and decoded text of the file's texts, and of a conversation under the chat template.
 * Where no weight is rounded (equal types, or plain ones widened to F32) the logits must be equal bit by bit, or, where
 * the formats order the rows of q and k differently, but for rounding; other copies differ, and the receipt says by how
 * much.
 *
 * The work is bounded: VERIFY_ROWS positions for a small model, fewer where weights times positions pass VERIFY_WORK
 * or the logits VERIFY_LOGITS; a model that does not stay in memory (walk.h) answers with its first greedy token
 * only, since each further one is a pass over the weights.  Results, so the receipt too, do not depend on threads. */
#ifndef VERIFY_H
#define VERIFY_H
#include "view.h"
#include <stdio.h>

#define VERIFY_TEXTS "data/receipt.jsonl"
enum {
    VERIFY_ROWS = 160,
    VERIFY_LEAST = 8,        /* positions, however large the model */
    VERIFY_GREEDY = 12,      /* tokens of each answer */
    VERIFY_LOGITS = 20 << 20 /* bytes */
};
#define VERIFY_WORK                                                                                \
    5e10 /* multiplications of a weight with a number: some three seconds on two cores */

struct verify {
    int off;             /* --no-verify */
    int threads;         /* 0: all */
    int tokenizer_loses; /* texts may have other ids: said to the user elsewhere, counted here */
    const struct view *from;
    /* out */
    int piped;              /* the output could not be read back */
    char text[APR_RECEIPT]; /* the receipt, a JSON object (apr.5) */
    char why[200];          /* "" or why the models were not compared */
};
/* ERR_DATA: `to` is not what it was promised to be, and what differs. What keeps the models from being run (no memory,
 * no device) is no error: the receipt says so, and v->why.  weights: apr_weights_id of `to`, 0: not a .apr. */
int verify_views(struct verify *v, const struct view *to, uint64_t weights, struct err *e);
/* The receipt of a model that is not looked at. */
void verify_none(struct verify *v, const char *why);
/* For apr_write_receipt: v compares what is written with v->from, which must be set when the file is there. */
void verify_begin(struct verify *v, struct apr_receipt *r);
/* v->from is the open .apr; where it is no model that we know, r becomes the receipt that says so.  Free `from` with
 * view_apr_free. */
int verify_source(struct verify *v, struct apr_receipt *r, struct view *from, const struct apr *a,
                  struct err *e);
/* A word to the user is due: the models were not compared, and nobody asked for that. */
int verify_failed(const struct verify *v);
/* apr_receipt's look, of a struct verify. */
int verify_look(void *v, const char *file, char text[APR_RECEIPT], struct err *e);
/* export_look's look, of a struct verify: what is at path is read back. */
int verify_gguf(void *v, const struct view *from, const char *path, int loses, struct err *e);
int verify_safetensors(void *v, const struct view *from, const char *path, int loses,
                       struct err *e);

/* A receipt in a line for people; of a file's metadata whose weights have this id (0: not asked). 1 if it says that the
 * model was compared and is of these weights. */
int verify_line(const cJSON *receipt, uint64_t weights, char *s, size_t size);
#endif
