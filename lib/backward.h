/* backward.h - the model forward and backward for training adapters or all weights, in reading order
 *
 * Rows are packed documents: row t attends to its own document alone, positions begin at 0 in each.
 * Beside adapters the base is frozen; gradients are added to lora->p.g or full->p.g.  The head runs on the rows
 * that have a label, a slice at a time, so the logits of a batch never exist at once.  Per layer
 * the activations are kept, or with `recompute` the layer's input alone, and the layer runs again
 * in the backward.  With classes (lora.h) the head is theirs, and labels are classes.  With `mixed`, products have bf16 operands and f32 sums (KN_MIXED of train.h). */
#ifndef BACKWARD_H
#define BACKWARD_H
#include "full.h"
#include "lora.h"
#include "model.h"

struct backward_acts {                       /* of one layer; (rows, ...) */
    struct kn_at h1, rstd1;                  /* n_embd, 1: norm before attention; h1 not if mixed */
    struct kn_at q_raw, k_raw, rstdq, rstdk; /* before QK-norm (absent without) */
    struct kn_at q, k, v;                    /* n_head*hd, n_head_kv*hd x2 */
    struct kn_at att, lse;                   /* n_head*hd, n_head */
    struct kn_at mid, h2, rstd2;             /* n_embd, n_embd (not if mixed), 1 */
    struct kn_at gate, up, act;              /* n_ff; act not if mixed */
    struct kn_at z[LORA_WHICH];              /* rank: the adapters' A x */
};
/* Where the time of a pass goes: of the seconds per part, what returns with its work done. */
#define BACKWARD_PARTS(X)                                                                          \
    X(EMBED, "embedding")                                                                          \
    X(QKV, "q, k, v")                                                                              \
    X(ROPE, "RoPE")                                                                                \
    X(ATTN, "attention")                                                                           \
    X(OUT, "o")                                                                                    \
    X(FFN_IN, "gate, up")                                                                          \
    X(FFN_OUT, "down")                                                                             \
    X(HEAD, "head")                                                                                \
    X(LOSS, "loss")                                                                                \
    X(OUT_BWD, "o, backward")                                                                      \
    X(ATTN_BWD, "attention, backward")                                                             \
    X(QKV_BWD, "q, k, v, backward")                                                                \
    X(FFN_IN_BWD, "gate, up, backward")                                                            \
    X(FFN_OUT_BWD, "down, backward")
enum backward_part {
#define X(id, name) BACKWARD_##id,
    BACKWARD_PARTS(X)
#undef X
        BACKWARD_N_PART
};
extern const char *const backward_parts[BACKWARD_N_PART];

struct backward {
    const struct model *m;
    struct lora *l;
    struct kn_weight *score; /* of l: the classification head in place of m's; NULL: none */
    float *host_score;       /* (head_rows, n_class) */
    long n_right; /* rows without gradient whose largest class is their label, added up */
    const struct full *full;     /* of m, set by the caller who trains all of it; else NULL */
    int max_rows, n_slot, mixed; /* n_slot 1: recompute */
    int head_rows;               /* of a slice of the head */
    struct kn_at mem;            /* the allocation behind everything */
    struct kn_at ids, doc, label, pick; /* (max_rows) int32 */
    struct kn_at *x;            /* (n_layer + 1) of (max_rows, n_embd): the residual stream */
    struct backward_acts *slot; /* (n_slot) */
    struct kn_at dx, dh, dq, dk, dv, dff, dz, wide, scaled; /* gradients and scratch */
    struct kn_at hx, hn, rstd, logits,
        loss;             /* the head: picked rows; logits (head_rows, n_vocab) */
    uint64_t dropout_key; /* of this pass; set by the caller when dropout > 0 */
    int32_t *host;        /* (max_rows) labels picked, then their rows */
    float *host_loss;
    double seconds[BACKWARD_N_PART];
};

size_t backward_bytes(const struct hparams *h, const struct lora *l, const struct kn_dev *dev,
                      int max_rows, int recompute, int mixed);
/* The device's scratch for passes of at most max_rows rows, documents of at most `longest`; weight_flags: those
 * that the weights are loaded with. */
void backward_count(const struct hparams *h, const struct lora_conf *l, const struct kn_dev *dev,
                    struct kn_count *c, int max_rows, int longest, int mixed, int weight_flags);
int backward_new(struct backward *b, const struct model *m, struct lora *l, int max_rows,
                 int recompute, int mixed, struct err *e);
/* The same for other adapters of the same shapes on the same model, in `with`'s memory: passes of the two may follow
 * each other, and neither finds anything of the other's.  It ends before `with`, and is not freed. */
int backward_join(struct backward *b, const struct backward *with, struct lora *l, struct err *e);
void backward_free(struct backward *b);
/* How to load the model of this file for it (kn_weight_new's flags): with `mixed` the weights are kept in both
 * layouts that products want (KN_W_MIXED) if that takes at most half of the memory; else they are packed at every
 * use, to the same bits.  A device whose memory is not the host's keeps what it wants of them. */
int backward_weights(const char *path, const struct kn_dev *dev, int mixed);
/* One pass over n rows: ids, doc (first row of t's document), label (-1 = no loss).  *loss += the
 * sum of -log p(label) in double; with grad, scale * dLoss/dparameter is added to lora->p.g or
 * full->p.g.  Without either: the base alone. */
int backward_run(struct backward *b, const int32_t *ids, const int32_t *doc, const int32_t *label,
                 int n, float scale, int grad, double *loss, struct err *e);
#endif
