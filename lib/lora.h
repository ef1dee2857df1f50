/* lora.h - LoRA adapters on a device: y = W x + scale * B A x for a chosen set of linear layers
 *
 * All adapters lie in one array (and so do gradients and moments, params.h), A before B, modules in the
 * model's order: an optimizer step is one call.  A begins Kaiming-uniform with a = sqrt(5), that is
 * U(-1/sqrt(n_in), 1/sqrt(n_in)), B as zero (Hu et al. 2021, arXiv:2106.09685; PEFT's default).
 * A classification head begins as normal draws of deviation 0.02, as transformers' does.
 * scale = alpha / rank, or alpha / sqrt(rank) with rslora (Kalajdzievski 2023, arXiv:2312.03732).
 */
#ifndef LORA_H
#define LORA_H
#include "err.h"
#include "hparams.h"
#include "params.h"

enum lora_which { LORA_Q, LORA_K, LORA_V, LORA_O, LORA_GATE, LORA_UP, LORA_DOWN, LORA_WHICH };

struct lora_conf {
    int rank, rslora, dora;   /* dora: a magnitude for each output (train.h) */
    double alpha, dropout;    /* dropout of the adapter's input, 0 <= p < 1 */
    unsigned targets;         /* bit 1 << which */
    int n_class;              /* of a classification head beside the adapters; 0: none */
    const char *const *label; /* (n_class) their names, for lora_save; must live as long */
    const char *pattern; /* of the targets' modules those whose whole name matches; NULL: all */
};
struct lora_mod {
    int layer, which, n_in, n_out;
    size_t a, b; /* floats from the start: A (rank, n_in), B (n_out, rank) */
    size_t mag;  /* (n_out) behind B, with dora */
    size_t out;  /* outputs of the modules before */
};
struct lora {
    struct lora_conf c;
    float scale;
    int n_layer, n_mod;
    struct lora_mod *mod;
    struct params p;
    size_t score;      /* the head (n_class, n_embd), before all adapters */
    struct kn_at norm; /* of the adapted rows, with dora */
};

/* "q_proj,v_proj" or "all"; ERR_USAGE names the unknown one. */
int lora_targets(const char *list, unsigned *targets, struct err *e);
/* The same into c, or where `text` is no list of names: an extended regular expression (POSIX) that modules'
 * whole names must match, as PEFT takes a string.  `text` must live as long as c. */
int lora_select(const char *text, struct lora_conf *c, struct err *e);
const char *lora_name(int which); /* "q_proj" */
/* Module name as in the model: "model.layers.3.self_attn.q_proj". */
void lora_module(int layer, int which, char *s, size_t size);
float lora_scale(const struct lora_conf *c);

/* Floats of all adapters; twice as many are allocated, and the optimizer's moments (optim.h). */
size_t lora_params(const struct lora_conf *c, const struct hparams *h);
/* Their places in p, nothing allocated; errors as lora_new. */
int lora_plan(struct params *p, const struct lora_conf *c, const struct hparams *h, struct err *e);
/* Adapters for a model of these hyper-parameters; A drawn from seed, one stream per module.  With dora the magnitudes
 * begin as zero: backward_new makes them the norms of the weights' rows.  ERR_USAGE if the pattern matches nothing, or
 * the rank is larger than a layer, which is named. */
int lora_new(struct lora *l, const struct lora_conf *c, const struct hparams *h, struct kn_dev *dev,
             uint64_t seed, struct err *e);
void lora_free(struct lora *l);
const struct lora_mod *lora_find(const struct lora *l, int layer, int which); /* NULL: none there */

/* PEFT's folder: adapter_config.json and adapter_model.safetensors, into an existing directory; with a head its
 * "score" is of the modules_to_save, the task SEQ_CLS: *ForSequenceClassification of transformers.
 * base: base_model_name_or_path; base_id: its apr_weights_id, kept as the metadata base_weights (0: not).
 * sha256 (65) of the weights' file. */
int lora_save(const struct lora *l, const char *dir, const char *base, uint64_t base_id,
              char *sha256, struct err *e);
#endif
