/* hparams.h - hyper-parameters of a model: from config.json, from GGUF keys, to and from .apr metadata */
#ifndef HPARAMS_H
#define HPARAMS_H
#include "err.h"
#include "gguf.h"
#include "json.h"

enum { HPARAMS_STOPS = 16 };
enum rope_scaling { ROPE_NONE, ROPE_LINEAR, ROPE_LLAMA3 };
struct hparams {
    char arch[32]; /* "qwen2" "qwen3" "llama" */
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    double rope_theta, rms_eps;
    int rope_pairs; /* 0 halves, 1 neighbours (as kn_attn) */
    enum rope_scaling rope_scaling;
    double rope_factor, rope_low, rope_high; /* llama3: factor, low_freq_factor, high_freq_factor */
    int rope_orig_ctx;
    int tied; /* the head is the embedding */
    int qkv_bias, qk_norm;
    int n_stop; /* union of eos ids: config, generation_config, tokenizer */
    int32_t stop[HPARAMS_STOPS];
    int32_t bos, pad; /* -1 = none */
    int add_bos;
};
/* config.json (both rope_parameters and rope_scaling forms) and, where given, generation_config.json.
 * An unknown architecture, or a key that would change results and is not supported (sliding windows in
 * use, soft-capping, another activation, YaRN ...), is ERR_DATA with its name. */
int hparams_from_config(struct hparams *h, const cJSON *config, const cJSON *generation,
                        struct err *e);
int hparams_from_gguf(struct hparams *h, const struct gguf *g, struct err *e);
int hparams_to_meta(const struct hparams *h, cJSON *meta, struct err *e); /* keys of apr.5 */
int hparams_from_meta(struct hparams *h, const cJSON *meta, struct err *e);
int hparams_check(const struct hparams *h, struct err *e); /* ranges and products */
int hparams_add_stop(struct hparams *h, int32_t id);       /* a set: no doubles */
/* RoPE table (to - from, head_dim) of positions [from, to): cos[hd/2] then sin[hd/2]. inv_freq and angle in f32 as
 * Hugging Face computes them, cos and sin in double from that angle. */
void hparams_rope_table(const struct hparams *h, int from, int to, float *table);
/* What the llama-3 rule divides the frequency inv by. */
double hparams_llama3_divisor(double inv, double factor, double low, double high, double orig);
#endif
