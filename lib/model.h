/* model.h - a model on a device: hyper-parameters, tokenizer and the struct of weights with shapes
 */
#ifndef MODEL_H
#define MODEL_H
#include "apr.h"
#include "bpe.h"
#include "count.h"
#include "hparams.h"
#include "kernels.h"
#include "packed.h"

struct model_lora;
struct model_layer {
    struct kn_attn
        attn; /* norm, q (n_head*head_dim, n_embd), k, v (n_head_kv*head_dim, n_embd), o ... */
    struct kn_ffn ffn; /* norm, gate, up (n_ff, n_embd), down (n_embd, n_ff) */
    struct kn_moe moe; /* in place of gate, up and down, where the model has experts */
};
struct model {
    struct apr file;
    struct hparams h;
    struct bpe *tok;           /* NULL if the file has none */
    struct kn_dev *dev;        /* not owned */
    struct kn_weight *embd;    /* (n_vocab, n_embd) */
    struct kn_weight *head;    /* (n_vocab, n_embd); = embd when tied */
    struct kn_at out_norm;     /* (n_embd) */
    struct kn_at out_bias;     /* (n_embd) of a LayerNorm; buf NULL: an RMSNorm */
    struct model_layer *layer; /* (n_layer) */
    struct kn_at rope;         /* (n_ctx, rope_dim) */
    struct kn_at
        rope_local; /* ... of the windowed layers; the same unless they have a base of their own */
    int n_short;    /* lines behind the n_ctx of rope: longrope's short table; 0: none */
    int n_ctx;      /* positions of the table: the longest sequence */
    int n_rope;     /* of them filled in: all, or see MODEL_LATER */
    const struct model_lora *lora; /* adapters beside the weights (model_lora.h), or NULL */
    struct packed *packed;         /* forms of weights from M.apr.packed, or NULL */
    char packed_why[200];          /* why a file of that name was passed over; "" */
    int n_real;              /* ids >= n_real are padding rows of the embedding: never chosen */
    struct kn_at small;      /* the allocation behind norms and biases */
    const char *chat_format; /* "chatml" or NULL; inside file.meta */
    const char *chat_system; /* default system text or NULL */
    void (*forget)(void *arg, const struct tensor *t); /* of tensors that file has not mapped: their
                                                          pages are not needed soon; or NULL */
    void *forget_arg;
};
/* Load onto dev. flags: KN_W_*. n_ctx: positions wanted (0 = the model's own; more than those is
 * ERR_USAGE). Shapes are checked tensor by tensor; a model that does not fit is refused before
 * loading, with the bytes. NaN or infinity in norms, biases or block scales: ERR_DATA with tensor
 * and index.  With flags KN_W_INFER alone the prepared weights of PATH.packed are taken where they belong
 * to this model and device (packed.h). */
enum {
    MODEL_LATER = 1 << 16
}; /* a flag: fill the RoPE table only when model_positions asks for it */
int model_load(struct model *m, const char *path, struct kn_dev *dev, int flags, int n_ctx,
               struct err *e);
/* The first half of it: hyper-parameters, tokenizer and chat format, no weights; dev may be NULL. model_free ends it. */
int model_open(struct model *m, const char *path, struct kn_dev *dev, int n_ctx, struct err *e);
/* What a row's position is moved by to find its line of the RoPE table: longrope has other factors for a sequence
 * that stays within the model's first context than for a longer one.  positions: all that it may come to have. */
int model_rope_shift(const struct model *m, int positions);
/* Rows of the RoPE table up to position n, n <= m->n_ctx: before a step that reaches there. */
int model_positions(struct model *m, int n, struct err *e);
/* The weights with the tensors that they were made from, at most `max`; their number. */
int model_weights(const struct model *m, const struct tensor **t, const struct kn_weight **w,
                  int max);
void model_free(struct model *m);
/* What loading takes, from names, types and shapes alone (model_need.c); bytes. */
struct model_need {
    size_t file;           /* matrices as a file has them */
    size_t in_place;       /* of them those that a device reads there, all the time */
    size_t rows;           /* the embedding, if the rows of the tokens that occur are read there */
    size_t small, rope;    /* norms and biases; RoPE tables */
    struct kn_count count; /* what dev makes of them, and its scratch */
};
/* t: n tensors sorted by name; those that the model does not have are left out.  flags as model_load's. */
void model_need(struct model_need *x, const struct tensor *t, int n, const struct hparams *h,
                const struct kn_dev *dev, int flags, int n_ctx);
/* All but the scratch: what must be available for model_load; SIZE_MAX if it fits no size. */
size_t model_need_bytes(const struct model_need *x);
size_t model_bytes(const struct model *m, int flags); /* ... of a model whose file is open */
/* Memory that this process can still have: what the system calls available, within the limits on
 * address space (ulimit -v) and of the control group. ERR_NOMEM "NAME: needs N bytes, M available".
 */
int model_room(const char *name, size_t bytes, struct err *e);
#endif
