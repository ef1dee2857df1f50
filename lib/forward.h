/* forward.h - the model in reading order: embed, layers, head, over one ragged batch with a paged
 * KV cache
 *
 * No allocation after forward_new.  Results of a row do not depend on the other rows of the batch.
 */
#ifndef FORWARD_H
#define FORWARD_H
#include "model.h"

enum { FORWARD_GRAPHS = 64 }; /* steps of up to so many sequences are recorded and replayed */

struct forward {
    const struct model *m;
    struct kn_dev *d;
    struct kn_batch *batch;
    struct kn_kv *kv;
    int max_tok, max_seq, max_out, max_blocks, n_block;
    struct kn_at x, q, att, tmp,
        logits; /* (max_tok, n_embd) (max_tok, n_head*hd) x2, tmp, (max_out, n_vocab) */
    /* called with x (n_tok, n_embd) after the embedding (layer 0) and after each layer
     * (1..n_layer); NULL = not */
    void (*watch)(void *arg, int layer, struct kn_at x, int n_tok);
    void *watch_arg;
    struct kn_graph
        *graph[FORWARD_GRAPHS]; /* of n_tok - 1: a step of one generated row a sequence */
    int no_graphs;              /* the device has none */
    struct kn_at
        top; /* (max_out) struct kn_top, in our memory; buf NULL: forward_top was not asked */
};
int forward_new(struct forward *f, const struct model *m, int max_tok, int max_seq, int max_out,
                int max_blocks, int n_block, int kv_type, struct err *e);
void forward_free(struct forward *f);
/* One step; logits of the rows r->out[] are at f->logits afterwards.  r->adapter: numbers of m->lora. */
int forward_step(struct forward *f, const struct kn_rows *r, struct err *e);
/* Before the first step, for who chooses from logits where they are: 1, and from then on forward_tops gives what kn_top finds
 * in the last step's (n_out; n_real of the model), in memory of f, and f->logits stay with the device; 0: the device has
 * no kn_top. */
int forward_top(struct forward *f, struct err *e);
int forward_tops(struct forward *f, int k, int flags, const struct kn_top **top, struct err *e);
/* Its parts: the batch, x from the tokens, through layer l, logits from x.  An id of r->tok that is no row of the
 * embedding is ERR_DATA: here, for every way that ids come. */
int forward_batch(struct forward *f, const struct kn_rows *r, struct err *e);
int forward_embed(struct forward *f);
int forward_layer(struct forward *f, int l);
int forward_head(struct forward *f);
/* The device's own scratch for steps of at most max_tok rows, max_out of them with logits; c: as model_need left it. */
void forward_count(const struct hparams *h, const struct kn_dev *dev, struct kn_count *c,
                   int max_tok, int max_out);
/* Bytes that forward_new would take; SIZE_MAX if they do not fit a size. */
size_t forward_bytes(const struct hparams *h, int max_tok, int max_seq, int max_out, int max_blocks,
                     int n_block, int kv_type);
#endif
