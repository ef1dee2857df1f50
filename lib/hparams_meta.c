/* hparams_meta - hyper-parameters to and from the metadata of a .apr file */
#include "hparams.h"
#include "hparams_impl.h"
#include <math.h>
#include <string.h>

static int add(cJSON *m, const char *key, cJSON *v)
{
    cJSON_DeleteItemFromObjectCaseSensitive(m, key);
    return v && cJSON_AddItemToObject(m, key, v);
}

static int put_floats(cJSON *o, const char *key, const float *x, int n)
{
    cJSON *list = cJSON_CreateArray();
    int good = add(o, key, list);
    for (int i = 0; i < n && good; i++)
        good = cJSON_AddItemToArray(list, cJSON_CreateNumber((double)x[i]));
    return good;
}

static int put_scaling(const struct hparams *h, cJSON *m)
{
    static const char *const names[] = {"", "linear", "llama3", "yarn", "longrope"};
    cJSON_DeleteItemFromObjectCaseSensitive(m, "rope_scaling");
    if (h->rope_scaling == ROPE_NONE)
        return 1;
    cJSON *s = cJSON_CreateObject();
    int good = add(m, "rope_scaling", s) &&
               add(s, "rope_type", cJSON_CreateString(names[h->rope_scaling])) &&
               add(s, "factor", cJSON_CreateNumber(h->rope_factor));
    if (good && h->rope_scaling == ROPE_LLAMA3)
        good = add(s, "low_freq_factor", cJSON_CreateNumber(h->rope_low)) &&
               add(s, "high_freq_factor", cJSON_CreateNumber(h->rope_high));
    if (good && h->rope_scaling != ROPE_LINEAR)
        good = add(s, "original_max_position_embeddings", cJSON_CreateNumber(h->rope_orig_ctx));
    if (good && h->rope_scaling == ROPE_YARN)
        good = add(s, "beta_fast", cJSON_CreateNumber(h->rope_high)) &&
               add(s, "beta_slow", cJSON_CreateNumber(h->rope_low)) &&
               (!h->rope_untruncated || add(s, "truncate", cJSON_CreateBool(0)));
    if (good && h->rope_scaling == ROPE_LONG)
        good = put_floats(s, "short_factor", h->rope_short, h->n_rope_factors) &&
               put_floats(s, "long_factor", h->rope_long, h->n_rope_factors);
    return good &&
           (h->rope_attn == 0 || add(s, "attention_factor", cJSON_CreateNumber(h->rope_attn)));
}

/* What only some architectures have: whole numbers and flags, and reals; under Hugging Face's names where it has
 * them. Left out where it is 0. */
#define MORE_WHOLE(X)                                                                              \
    X("rope_dim", rope_dim)                                                                        \
    X("sliding_window", window)                                                                    \
    X("sliding_window_from", window_from)                                                          \
    X("sliding_window_period", window_period)                                                      \
    X("o_proj_bias", o_bias)                                                                       \
    X("mlp_bias", mlp_bias)                                                                        \
    X("norm_adds_one", norm_adds_one)                                                              \
    X("num_experts", n_expert)                                                                     \
    X("num_experts_per_tok", n_expert_used)                                                        \
    X("moe_intermediate_size", n_ff_expert)                                                        \
    X("shared_expert_intermediate_size", n_ff_shared)                                              \
    X("norm_topk_prob", norm_topk)
#define MORE_REAL(X)                                                                               \
    X("rope_local_theta", rope_local_theta)                                                        \
    X("query_pre_attn_scalar", query_scalar)                                                       \
    X("attention_multiplier", attn_scale)                                                          \
    X("embedding_multiplier", embd_scale)                                                          \
    X("residual_multiplier", residual_scale)                                                       \
    X("logits_scaling", logit_scale)                                                               \
    X("attn_logit_softcapping", attn_cap)                                                          \
    X("final_logit_softcapping", final_cap)

static int put_more(const struct hparams *h, cJSON *m)
{
    int good = 1;
#define PUT(key, member)                                                                           \
    cJSON_DeleteItemFromObjectCaseSensitive(m, key);                                               \
    if (good && h->member != 0)                                                                    \
        good = add(m, key, cJSON_CreateNumber(h->member));
    MORE_WHOLE(PUT)
    MORE_REAL(PUT)
#undef PUT
    return good;
}

static int get_more(struct hparams *h, const cJSON *m, struct err *e)
{
#define GET(key, member)                                                                           \
    if (WHOLE(m, &h->member, 0, e, key) < 0)                                                       \
        return e->code;
    MORE_WHOLE(GET)
#undef GET
#define GET(key, member) h->member = json_get_num(m, key, 0, e);
    MORE_REAL(GET)
#undef GET
    return e->code;
}

int hparams_to_meta(const struct hparams *h, cJSON *m, struct err *e)
{
    static const int rope_type[] = {2, 0}; /* split halves, adjacent pairs */
    int stops[HPARAMS_STOPS], good;
    for (int i = 0; i < h->n_stop; i++)
        stops[i] = h->stop[i];
    good = add(m, "architecture", cJSON_CreateString(h->arch)) &&
           add(m, "model_type", cJSON_CreateString(h->arch)) &&
           add(m, "hidden_size", cJSON_CreateNumber(h->n_embd)) &&
           add(m, "num_layers", cJSON_CreateNumber(h->n_layer)) &&
           add(m, "num_heads", cJSON_CreateNumber(h->n_head)) &&
           add(m, "num_kv_heads", cJSON_CreateNumber(h->n_head_kv)) &&
           add(m, "head_dim", cJSON_CreateNumber(h->head_dim)) &&
           add(m, "intermediate_size", cJSON_CreateNumber(h->n_ff)) &&
           add(m, "vocab_size", cJSON_CreateNumber(h->n_vocab)) &&
           add(m, "max_position_embeddings", cJSON_CreateNumber(h->n_ctx)) &&
           add(m, "rope_theta", cJSON_CreateNumber(h->rope_theta)) &&
           add(m, "rope_type", cJSON_CreateNumber(rope_type[h->rope_pairs != 0])) &&
           add(m, "rms_norm_eps", cJSON_CreateNumber(h->rms_eps)) &&
           add(m, "tie_word_embeddings", cJSON_CreateBool(h->tied)) &&
           add(m, "attention_bias", cJSON_CreateBool(h->qkv_bias)) &&
           add(m, "qk_norm", cJSON_CreateBool(h->qk_norm)) &&
           add(m, "stop_token_ids", cJSON_CreateIntArray(stops, h->n_stop)) &&
           add(m, "add_bos_token", cJSON_CreateBool(h->add_bos)) &&
           add(m, "bos_token_id", h->bos < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(h->bos)) &&
           add(m, "pad_token_id", h->pad < 0 ? cJSON_CreateNull() : cJSON_CreateNumber(h->pad));
    good = good && put_more(h, m) && put_scaling(h, m);
    return good ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int hparams_from_meta(struct hparams *h, const cJSON *m, struct err *e)
{
    struct err own = {0};
    memset(h, 0, sizeof *h);
    h->bos = h->pad = -1;
    if (!e)
        e = &own;
    const char *name = json_get_str(m, "architecture", json_get_str(m, "model_type", NULL, e), e);
    const struct arch *a = arch_by_name(name);
    if (hparams_set_arch(h, a, "architecture", name, e) < 0)
        return e->code;
    /* aliases: what aprender's own importer may have written (its last name is ours) */
    if (WHOLE(m, &h->n_embd, -1, e, "hidden_dim", "d_model", "hidden_size") < 0 ||
        WHOLE(m, &h->n_layer, -1, e, "num_hidden_layers", "n_layers", "num_layers") < 0 ||
        WHOLE(m, &h->n_head, -1, e, "num_attention_heads", "n_heads", "num_heads") < 0 ||
        WHOLE(m, &h->n_head_kv, h->n_head, e, "num_key_value_heads", "n_kv_heads", "num_kv_heads") <
            0 ||
        WHOLE(m, &h->n_ff, -1, e, "ffn_dim", "intermediate_dim", "intermediate_size") < 0 ||
        WHOLE(m, &h->n_vocab, -1, e, "n_vocab", "vocab_size") < 0 ||
        WHOLE(m, &h->n_ctx, -1, e, "max_seq_len", "context_length", "max_position_embeddings") <
            0 ||
        WHOLE(m, &h->head_dim,
              a->head_dim ? a->head_dim
              : h->n_head ? h->n_embd / h->n_head
                          : 0,
              e, "head_dim") < 0)
        return e->code;
    int type;
    if (WHOLE(m, &type, 2, e, "rope_type") < 0)
        return e->code;
    if (type != 0 && type != 2)
        return err_set(e, ERR_DATA, "rope_type: expected 0 or 2, found %d", type);
    h->rope_pairs = type == 0;
    h->rope_theta = json_get_num(m, "rope_theta", 10000, e);
    h->rms_eps = json_get_num(m, "rms_norm_eps", 1e-6, e);
    h->tied = json_get_bool(m, "tie_word_embeddings", 0, e);
    h->qkv_bias = json_get_bool(m, "attention_bias", hparams_has(h, ARCH_QKV_BIAS), e);
    h->qk_norm = json_get_bool(m, "qk_norm", hparams_has(h, ARCH_QK_NORM), e);
    h->add_bos = json_get_bool(m, "add_bos_token", 0, e);
    h->bos = hparams_id(m, "bos_token_id", e);
    h->pad = hparams_id(m, "pad_token_id", e);
    if (e->code || get_more(h, m, e) < 0 ||
        hparams_read_scaling(h, cJSON_GetObjectItemCaseSensitive(m, "rope_scaling"), "rope_scaling",
                             e) < 0 ||
        hparams_add_stops(h, cJSON_GetObjectItemCaseSensitive(m, "stop_token_ids"),
                          "stop_token_ids", e) < 0)
        return e->code;
    return hparams_check(h, e);
}
