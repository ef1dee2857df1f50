/* hparams_config - hyper-parameters from a Hugging Face folder's config.json */
#include "hparams.h"
#include "hparams_impl.h"
#include <math.h>
#include <string.h>

/* Keys that mean arithmetic which only some architectures have, or none here. */
static int refuse_keys(const struct hparams *h, const cJSON *c, struct err *e)
{
    static const struct {
        const char *key;
        unsigned traits; /* that take it */
    } present[] = {{"attn_logit_softcapping", ARCH_CAPS},
                   {"final_logit_softcapping", ARCH_CAPS},
                   {"query_pre_attn_scalar", ARCH_SCALAR},
                   {"logits_scaling", ARCH_MULTIPLIERS},
                   {"embedding_multiplier", ARCH_MULTIPLIERS},
                   {"residual_multiplier", ARCH_MULTIPLIERS},
                   {"attention_multiplier", ARCH_MULTIPLIERS},
                   {"num_experts", ARCH_MOE},
                   {"logit_scale", 0},
                   {"quantization_config", 0},
                   {"num_local_experts", ARCH_MOE}, /* transformers 5 */
                   {"n_routed_experts", 0},
                   {"vision_config", 0}};
    static const char *const set[] = {"use_qk_norm", "attn_output_gate",
                                      "use_bidirectional_attention", "add_cross_attention"};
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(c, present[i].key);
        if (v && !cJSON_IsNull(v) && !(cJSON_IsNumber(v) && v->valuedouble == 0) &&
            !hparams_has(h, present[i].traits))
            return err_set(e, ERR_DATA, "%s: not supported", present[i].key);
    }
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (json_get_bool(c, set[i], 0, e))
            return err_set(e, ERR_DATA, "%s: true is not supported", set[i]);
    for (int i = 0; i < 2;
         i++) /* where transformers does not look at it, somebody meant something */
        if (json_get_bool(c, biases[i], 0, e) &&
            !hparams_has(h, ARCH_BIAS_KEYS | ARCH_QKV_BIAS | ARCH_LAYER_NORM))
            return err_set(e, ERR_DATA, "%s: true is not supported for %s", biases[i], h->arch);
    return e->code;
}

/* "silu", or the tanh form of GELU, by whichever of its names; Gemma's hidden_activation wins. */
static int read_act(const struct hparams *h, const cJSON *c, struct err *e)
{
    const int gelu = hparams_has(h, ARCH_GELU);
    const char *want = gelu ? "gelu_pytorch_tanh" : "silu";
    const char *act = json_get_str(c, "hidden_act", want, e), *key = "hidden_act";
    if (hparams_has(
            h,
            ARCH_ONE_PLUS)) { /* hidden_act of older Gemma folders says "gelu" and is not looked at */
        act = json_get_str(c, "hidden_activation", want, e);
        key = "hidden_activation";
    }
    if (e->code)
        return e->code;
    if (strcmp(act, want) && !(gelu && strcmp(act, "gelu_new") == 0))
        return err_set(e, ERR_DATA, "%s: expected \"%s\", found \"%.40s\"", key, want, act);
    const char *norm = json_get_str(c, "norm_type", "layer_norm", e),
               *mlp = json_get_str(c, "mlp_type", "default", e);
    if (hparams_has(h, ARCH_LAYER_NORM) && (strcmp(norm, "layer_norm") || strcmp(mlp, "default")))
        return err_set(e, ERR_DATA, "norm_type or mlp_type: \"%.40s\", \"%.40s\" are not supported",
                       norm, mlp);
    return e->code;
}

static int read_sizes(struct hparams *h, const cJSON *c, struct err *e)
{
    const struct arch *a = arch_by_name(h->arch);
    if (WHOLE(c, &h->n_embd, -1, e, "hidden_size") < 0 ||
        WHOLE(c, &h->n_layer, -1, e, "num_hidden_layers") < 0 ||
        WHOLE(c, &h->n_head, -1, e, "num_attention_heads") < 0 ||
        WHOLE(c, &h->n_head_kv, h->n_head, e, "num_key_value_heads") < 0 ||
        WHOLE(c, &h->n_ff, -1, e, "intermediate_size") < 0 ||
        WHOLE(c, &h->n_vocab, -1, e, "vocab_size") < 0 ||
        WHOLE(c, &h->n_ctx, -1, e, "max_position_embeddings") < 0)
        return e->code;
    int head_dim = a->head_dim ? a->head_dim : h->n_head ? h->n_embd / h->n_head : 0;
    return WHOLE(c, &h->head_dim, head_dim, e, "head_dim");
}

/* The number under key, 1 (which changes nothing) kept as 0. */
static double factor(const cJSON *c, const char *key, struct err *e)
{
    double v = json_get_num(c, key, 1, e);
    return v == 1 ? 0 : v;
}

static void read_more(struct hparams *h, const cJSON *c, struct err *e)
{
    const int layer_norm = hparams_has(h, ARCH_LAYER_NORM);
    const int all = layer_norm && json_get_bool(c, "use_bias", 1, e);
    h->rms_eps =
        json_get_num(c, layer_norm ? "norm_epsilon" : "rms_norm_eps", layer_norm ? 1e-5 : 1e-6, e);
    h->tied = json_get_bool(c, "tie_word_embeddings", hparams_has(h, ARCH_TIED), e);
    h->qk_norm = hparams_has(h, ARCH_QK_NORM);
    h->norm_adds_one = hparams_has(h, ARCH_ONE_PLUS);
    h->o_bias = all || (hparams_has(h, ARCH_BIAS_KEYS) && json_get_bool(c, "attention_bias", 0, e));
    h->mlp_bias = all || (hparams_has(h, ARCH_BIAS_KEYS) && json_get_bool(c, "mlp_bias", 0, e));
    h->qkv_bias = hparams_has(h, ARCH_QKV_BIAS) || h->o_bias;
    if (hparams_has(h, ARCH_EMBD_ROOT))
        h->embd_scale = sqrt((double)h->n_embd);
    if (hparams_has(h, ARCH_SCALAR))
        h->query_scalar = json_get_num(c, "query_pre_attn_scalar", 256, e);
    if (hparams_has(h, ARCH_CAPS)) {
        const int two = !hparams_has(h, ARCH_QK_NORM); /* Gemma 2's defaults; Gemma 3 has none */
        const cJSON *a = cJSON_GetObjectItemCaseSensitive(c, "attn_logit_softcapping"),
                    *f = cJSON_GetObjectItemCaseSensitive(c, "final_logit_softcapping");
        h->attn_cap = a ? json_get_num(c, "attn_logit_softcapping", 0, e) : two ? 50 : 0;
        h->final_cap = f ? json_get_num(c, "final_logit_softcapping", 0, e) : two ? 30 : 0;
    }
    if (hparams_has(h, ARCH_MULTIPLIERS)) {
        h->attn_scale = json_get_num(c, "attention_multiplier", 1, e);
        h->embd_scale = factor(c, "embedding_multiplier", e);
        h->residual_scale = factor(c, "residual_multiplier", e);
        h->logit_scale = factor(c, "logits_scaling", e);
    }
}

/* Every layer has experts; config.json can mix, and no released model of these does. */
static int read_experts(struct hparams *h, const cJSON *c, struct err *e)
{
    const cJSON *dense = cJSON_GetObjectItemCaseSensitive(c, "mlp_only_layers");
    if (!hparams_has(h, ARCH_MOE))
        return 0;
    if (cJSON_IsArray(dense) && dense->child)
        return err_set(e, ERR_DATA, "mlp_only_layers: layers without experts are not supported");
    if (json_get_int(c, "decoder_sparse_step", 1, e) != 1)
        return err_set(e, ERR_DATA, "decoder_sparse_step: expected 1");
    h->norm_topk = json_get_bool(c, "norm_topk_prob", 0, e);
    if (WHOLE(c, &h->n_expert, -1, e, "num_local_experts", "num_experts") < 0 ||
        WHOLE(c, &h->n_expert_used, -1, e, "num_experts_per_tok") < 0 ||
        WHOLE(c, &h->n_ff_expert, -1, e, "moe_intermediate_size") < 0)
        return e->code;
    if (hparams_has(h, ARCH_SHARED) &&
        WHOLE(c, &h->n_ff_shared, -1, e, "shared_expert_intermediate_size") < 0)
        return e->code;
    return e->code;
}

/* One set of RoPE numbers for each kind of layer: only the full one may be scaled. */
static int read_two_bases(struct hparams *h, const cJSON *full, const cJSON *local, struct err *e)
{
    const char *type = json_get_str(local, "rope_type", "default", e);
    if (e->code || strcmp(type, "default"))
        return e->code ? e->code
                       : err_set(e, ERR_DATA,
                                 "rope_parameters: sliding_attention: \"%.40s\" is not supported",
                                 type);
    h->rope_local_theta = json_get_num(local, "rope_theta", 10000, e);
    h->rope_theta = json_get_num(full, "rope_theta", 1000000, e);
    return hparams_read_scaling(h, full, "rope_parameters: full_attention", e);
}

static int read_rope(struct hparams *h, const cJSON *c, struct err *e)
{
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(c, "rope_parameters"), /* transformers 5 */
        *full = cJSON_GetObjectItemCaseSensitive(rope, "full_attention"),
                *local = cJSON_GetObjectItemCaseSensitive(rope, "sliding_attention");
    const int two = hparams_has(h, ARCH_TWO_BASES);
    const char *key = "rope_parameters";
    double part = json_get_num(c, "partial_rotary_factor", 1, e);
    h->rope_orig_ctx = (int)json_get_int(c, "original_max_position_embeddings", 0, e);
    if (cJSON_IsObject(rope) && two && cJSON_IsObject(full) && cJSON_IsObject(local)) {
        h->rope_orig_ctx = 0;
        return read_two_bases(h, full, local, e);
    }
    if (cJSON_IsObject(rope)) {
        h->rope_theta =
            json_get_num(rope, "rope_theta", json_get_num(c, "rope_theta", 10000, e), e);
        part = json_get_num(rope, "partial_rotary_factor", part, e);
        for (const cJSON *v = rope->child; v; v = v->next)
            if (cJSON_IsObject(v))
                return err_set(e, ERR_DATA,
                               "rope_parameters: \"%.40s\": one set for each kind of layer is not "
                               "supported for %s",
                               v->string, h->arch);
    } else {
        rope = cJSON_GetObjectItemCaseSensitive(c, key = "rope_scaling");
        h->rope_theta = json_get_num(c, "rope_theta", two ? 1000000 : 10000, e);
        part = json_get_num(rope, "partial_rotary_factor", part, e);
    }
    if (two)
        h->rope_local_theta = json_get_num(c, "rope_local_base_freq", 10000, e);
    if (part != 1) {
        if (!hparams_has(h, ARCH_PARTIAL) || !(part > 0) || !(part < 1))
            return err_set(e, ERR_DATA, "partial_rotary_factor: %g is not supported for %s", part,
                           h->arch);
        h->rope_dim = (int)(h->head_dim * part);
    }
    if (hparams_read_scaling(h, rope, key, e) < 0)
        return e->code;
    if (h->rope_scaling == ROPE_NONE || h->rope_scaling == ROPE_LINEAR)
        h->rope_orig_ctx = 0; /* phi-3's short-context folders name it for nothing */
    return e->code;
}

/* layer_types as a first windowed layer and a period; any other pattern is refused. */
static int read_types(struct hparams *h, const cJSON *types, struct err *e)
{
    static const char *const names[] = {"full_attention", "sliding_attention"};
    int n = 0, first = -1, full = -1; /* the first full layer after a windowed one */
    for (const cJSON *t = types->child; t; t = t->next, n++) {
        const char *s = cJSON_IsString(t) ? t->valuestring : "?";
        if (strcmp(s, names[0]) && strcmp(s, names[1]))
            return err_set(e, ERR_DATA, "layer_types: \"%.40s\" is not supported", s);
        int windowed = strcmp(s, names[1]) == 0;
        first = windowed && first < 0 ? n : first;
        full = !windowed && first >= 0 && full < 0 ? n : full;
    }
    if (first < 0 || n < h->n_layer) {
        h->window = 0;
        return first < 0 ? 0 : err_set(e, ERR_DATA, "layer_types: %d for %d layers", n, h->n_layer);
    }
    h->window_from = first;
    h->window_period = full < 0 ? 0 : full + 1;
    const cJSON *t = types->child;
    for (int i = 0; i < h->n_layer; i++, t = t->next)
        if ((hparams_window(h, i) != 0) != (strcmp(t->valuestring, names[1]) == 0))
            return err_set(e, ERR_DATA, "layer_types: layer %d: the pattern is not supported", i);
    return 0;
}

static int read_window(struct hparams *h, const cJSON *c, struct err *e)
{
    const struct arch *a = arch_by_name(h->arch);
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(c, "layer_types"),
                *value = cJSON_GetObjectItemCaseSensitive(c, "sliding_window");
    int used = json_get_bool(c, "use_sliding_window", 0, e), period = 0;
    if (WHOLE(c, &h->window, value ? 0 : a->default_window, e, "sliding_window") < 0)
        return e->code;
    if (a->window == WINDOW_NONE || (a->window == WINDOW_ASKED && !used && !cJSON_IsArray(types)))
        h->window = 0;
    if (a->window == WINDOW_NONE || !h->window)
        return cJSON_IsArray(types) ? read_types(h, types, e) : e->code;
    if (a->window == WINDOW_ASKED && WHOLE(c, &h->window_from, 0, e, "max_window_layers") < 0)
        return e->code;
    if (a->window == WINDOW_ALTERNATE)
        h->window_period = 2;
    if (a->window == WINDOW_FIVE_OF_SIX) {
        if (WHOLE(c, &period, 6, e, "_sliding_window_pattern", "sliding_window_pattern") < 0)
            return e->code;
        h->window_period = period;
    }
    if (cJSON_IsArray(types))
        return read_types(h, types, e);
    if (h->window_from >= h->n_layer)
        h->window = h->window_from = 0;
    return e->code;
}

int hparams_from_config(struct hparams *h, const cJSON *c, const cJSON *generation, struct err *e)
{
    struct err own = {0};
    memset(h, 0, sizeof *h);
    h->bos = h->pad = -1;
    if (!e)
        e = &own;
    const char *name = json_get_str(c, "model_type", NULL, e);
    if (e->code || hparams_set_arch(h, arch_by_name(name), "model_type", name, e) < 0 ||
        refuse_keys(h, c, e) < 0 || read_act(h, c, e) < 0 || read_sizes(h, c, e) < 0)
        return e->code;
    read_more(h, c, e);
    if (e->code || read_experts(h, c, e) < 0 || read_rope(h, c, e) < 0 || read_window(h, c, e) < 0)
        return e->code;
    h->bos = hparams_id(c, "bos_token_id", e);
    h->pad = hparams_id(c, "pad_token_id", e);
    if (hparams_add_stops(h, cJSON_GetObjectItemCaseSensitive(c, "eos_token_id"), "eos_token_id",
                          e) < 0)
        return e->code;
    if (generation &&
        hparams_add_stops(h, cJSON_GetObjectItemCaseSensitive(generation, "eos_token_id"),
                          "generation eos_token_id", e) < 0)
        return e->code;
    return e->code ? e->code : hparams_check(h, e);
}
