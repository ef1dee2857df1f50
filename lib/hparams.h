/* hparams.h - hyper-parameters of a model: from config.json, from GGUF keys, to and from .apr metadata */
#ifndef HPARAMS_H
#define HPARAMS_H
#include "arch.h"
#include "err.h"
#include "gguf.h"
#include "json.h"

enum { HPARAMS_STOPS = 16, HPARAMS_FACTORS = 256 };
enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_LONG };
/* A number that only some architectures have is 0 where it changes nothing. */
struct hparams {
    char arch[32]; /* a name of arch.h's table */
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    double rope_theta, rms_eps;
    int rope_pairs; /* 0 halves, 1 neighbours (as kn_attn) */
    enum rope_scaling rope_scaling;
    double rope_factor, rope_low, rope_high; /* llama3: factor, low_freq_factor, high_freq_factor;
                                                yarn: factor, beta_slow, beta_fast */
    int rope_orig_ctx;
    int rope_dim;         /* rotated elements of a head, the first ones; 0 = all */
    double rope_attn;     /* yarn, long: factor of cos and sin, if not the rule's own */
    int rope_untruncated; /* yarn: the ends of the ramp are not rounded */
    double
        rope_local_theta; /* base of the windowed layers, which have no scaling; 0: as the others */
    int n_rope_factors;   /* long: rope_dim / 2 */
    float rope_short[HPARAMS_FACTORS], rope_long[HPARAMS_FACTORS];
    /* layers from window_from on, but not every window_period-th, see `window` positions */
    int window, window_from, window_period;
    int tied; /* the head is the embedding */
    int qkv_bias, qk_norm, o_bias, mlp_bias;
    int norm_adds_one;                 /* norms hold w for a factor of 1 + w */
    double query_scalar;               /* scores are scaled by its power -1/2; 0: head_dim's */
    double attn_scale;                 /* ... or by this */
    double embd_scale, residual_scale; /* factors, 0 = 1 */
    double logit_scale;                /* logits are divided by it, 0 = 1 */
    double attn_cap, final_cap;        /* soft caps of scores and logits */
    int n_expert, n_expert_used, n_ff_expert, n_ff_shared, norm_topk;
    int n_stop; /* union of eos ids: config, generation_config, tokenizer */
    int32_t stop[HPARAMS_STOPS];
    int32_t bos, pad; /* -1 = none */
    int add_bos;
};
/* config.json (both rope_parameters and rope_scaling forms) and, where given, generation_config.json.
 * An unknown architecture, or a key that would change results and is not supported (another activation,
 * dynamic RoPE scaling, layers without experts among layers with them ...), is ERR_DATA with its name. */
int hparams_from_config(struct hparams *h, const cJSON *config, const cJSON *generation,
                        struct err *e);
int hparams_from_gguf(struct hparams *h, const struct gguf *g, struct err *e);
int hparams_to_meta(const struct hparams *h, cJSON *meta, struct err *e); /* keys of apr.5 */
int hparams_from_meta(struct hparams *h, const cJSON *meta, struct err *e);
int hparams_check(const struct hparams *h, struct err *e); /* ranges and products */
int hparams_add_stop(struct hparams *h, int32_t id);       /* a set: no doubles */
int hparams_has(const struct hparams *h, unsigned traits); /* any of enum arch_trait */
/* Window of a layer, 0 = none. */
int hparams_window(const struct hparams *h, int layer);
int hparams_rope_dim(const struct hparams *h);
/* Is there anything that training on documents of at most `rows` positions does not compute? ERR_UNAVAILABLE with
 * its name. */
int hparams_trainable(const struct hparams *h, int rows, struct err *e);

/* RoPE (rope.c).  Table (to - from, rope_dim) of positions [from, to): cos[rope_dim/2] then sin[rope_dim/2], of the
 * windowed layers if `local`; n_ctx: of the longest sequence, which says which factors longrope takes. inv_freq
 * and angle in f32 as Hugging Face computes them, cos and sin in double from that angle. */
void hparams_rope_table(const struct hparams *h, int local, int n_ctx, int from, int to,
                        float *table);
/* What the llama-3 rule divides the frequency inv by. */
double hparams_llama3_divisor(double inv, double factor, double low, double high, double orig);
/* The shortest decimal that rounds to the same f32: GGUF keeps f32, config.json decimals. */
double hparams_plain(double f32);
/* The factor of cos and sin that belongs to a rule (yarn, long) when none is given. */
double hparams_rope_own_attn(const struct hparams *h);
/* yarn: where the ramp between scaled and unscaled pairs lies. */
void hparams_yarn_range(const struct hparams *h, double *low, double *high);
#endif
