/* walk.h - a model computed with one layer in memory at a time
 *
 * For looking at a model of any size: weights of a layer are prepared, used for all rows and let go; the embedding
 * and the head stay.  A small model is kept whole, so that further steps cost less.  Results are those of forward.h. */
#ifndef WALK_H
#define WALK_H
#include "forward.h"
#include "model_impl.h"
#include "view.h"

enum { WALK_KEEP = 128 << 20 }; /* bytes: models up to this size are kept */
struct walk {
    const struct view *v;
    struct model m; /* its tensors are the view's */
    struct forward f;
    struct model_small small;
    size_t base; /* of small: where the layers' norms begin */
    int flags;   /* of the weights */
    int keep;    /* all layers stay */
    int loaded;  /* layers that are there, if they stay */
    void **made; /* (v->n) tensors that fill made */
};
/* Weights with flags, KN_W_INFER or that with KN_W_FLOAT (products in f32); n_ctx positions, max_tok rows, max_seq sequences of max_blocks KV blocks of kv_type, logits of max_out rows at a time.
 * ERR_NOMEM says what is needed and what there is; ERR_UNAVAILABLE what the device cannot do. */
int walk_open(struct walk *w, const struct view *v, struct kn_dev *dev, int flags, int n_ctx,
              int max_tok, int max_seq, int max_out, int max_blocks, int kv_type, struct err *e);
void walk_close(struct walk *w);
/* Layer l in memory, for forward_layer(&w->f, l), and no longer. */
int walk_hold(struct walk *w, int l, struct err *e);
void walk_drop(struct walk *w, int l);
/* All rows through all layers. */
int walk_step(struct walk *w, const struct kn_rows *r, struct err *e);
/* Logits (n, n_vocab) of n <= max_out rows of the last step. */
int walk_logits(struct walk *w, const struct kn_rows *r, const int32_t *rows, int n, float *logits,
                struct err *e);
#endif
