/* hparams - hyper-parameters from config.json, GGUF keys and .apr metadata; ranges; the RoPE table
 *
 * Three sources spell the same numbers in three ways; what none of our kernels computes is refused
 * by the name that the source gives it, never ignored. */
#include "hparams.h"
#include "blocks.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const archs[] = {"qwen2", "qwen3", "llama"};

static int set_arch(struct hparams *h, const char *name, const char *key, struct err *e)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (name && strcmp(name, archs[i]) == 0) {
            snprintf(h->arch, sizeof h->arch, "%s", name);
            return 0;
        }
    return err_set(e, ERR_DATA, "%s: expected qwen2, qwen3 or llama, found \"%.60s\"", key,
                   name ? name : "nothing");
}

static int is(const struct hparams *h, const char *arch)
{
    return strcmp(h->arch, arch) == 0;
}

int hparams_add_stop(struct hparams *h, int32_t id)
{
    if (id < 0)
        return 0;
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] == id)
            return 0;
    if (h->n_stop == HPARAMS_STOPS)
        return ERR_DATA;
    h->stop[h->n_stop++] = id;
    return 0;
}

static int add_stops(struct hparams *h, const cJSON *v, const char *key, struct err *e)
{
    const cJSON *one = cJSON_IsArray(v) ? v->child : v;
    for (; one; one = cJSON_IsArray(v) ? one->next : NULL) {
        if (cJSON_IsNull(one))
            continue;
        if (!cJSON_IsNumber(one) || one->valuedouble < 0 || one->valuedouble > INT32_MAX ||
            one->valuedouble != floor(one->valuedouble))
            return err_set(e, ERR_DATA, "%s: expected a token id or a list of them", key);
        if (hparams_add_stop(h, (int32_t)one->valuedouble) < 0)
            return err_set(e, ERR_DATA, "%s: more than %d stop ids", key, HPARAMS_STOPS);
    }
    return 0;
}

/* A whole number from 0 to INT32_MAX under one of the names (aprender's files may hold an alias).
 */
static int whole(const cJSON *o, const char *const *names, long dflt, int *out, struct err *e)
{
    struct err own = {0};
    for (; *names; names++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, *names);
        if (!v || cJSON_IsNull(v))
            continue;
        long n = json_get_int(o, *names, 0, &own);
        if (own.code)
            return err_set(e, ERR_DATA, "%s", own.msg);
        if (n < 0 || n > INT32_MAX)
            return err_set(e, ERR_DATA, "%s: %ld is out of range", *names, n);
        *out = (int)n;
        return 0;
    }
    if (dflt < 0)
        return err_set(e, ERR_DATA, "%s: missing", names[-1]);
    *out = (int)dflt;
    return 0;
}

#define WHOLE(o, out, dflt, e, ...) whole(o, (const char *const[]){__VA_ARGS__, NULL}, dflt, out, e)

static int32_t id_of(const cJSON *o, const char *key, struct err *e)
{
    long n = json_get_int(o, key, -1, e);
    return n < 0 || n > INT32_MAX ? -1 : (int32_t)n;
}

/* {"rope_type":"llama3","factor":8,...}: older files say "type". */
static int read_scaling(struct hparams *h, const cJSON *o, const char *key, struct err *e)
{
    if (!o || cJSON_IsNull(o))
        return 0;
    if (!cJSON_IsObject(o))
        return err_set(e, ERR_DATA, "%s: expected an object", key);
    const char *type = json_get_str(o, "rope_type", json_get_str(o, "type", "default", e), e);
    if (e->code)
        return err_prefix(e, "%s", key);
    if (strcmp(type, "default") == 0 || strcmp(type, "none") == 0)
        return 0;
    h->rope_factor = json_get_num(o, "factor", 0, e);
    if (strcmp(type, "linear") == 0) {
        h->rope_scaling = ROPE_LINEAR;
    } else if (strcmp(type, "llama3") == 0) {
        h->rope_scaling = ROPE_LLAMA3;
        h->rope_low = json_get_num(o, "low_freq_factor", 0, e);
        h->rope_high = json_get_num(o, "high_freq_factor", 0, e);
        h->rope_orig_ctx = (int)json_get_int(o, "original_max_position_embeddings", 0, e);
    } else {
        return err_set(e, ERR_DATA,
                       "%s: RoPE scaling \"%.40s\" is not supported (default, linear, llama3 are)",
                       key, type);
    }
    return e->code ? err_prefix(e, "%s", key) : 0;
}

/* Keys whose presence means arithmetic that we do not have. */
static int refuse_keys(const cJSON *c, struct err *e)
{
    static const char *const present[] = {"attn_logit_softcapping",
                                          "final_logit_softcapping",
                                          "logit_scale",
                                          "logits_scaling",
                                          "embedding_multiplier",
                                          "residual_multiplier",
                                          "attention_multiplier",
                                          "quantization_config",
                                          "query_pre_attn_scalar",
                                          "num_experts",
                                          "num_local_experts",
                                          "n_routed_experts"};
    static const char *const set[] = {"mlp_bias", "use_qk_norm", "attn_output_gate"};
    for (size_t i = 0; i < sizeof present / sizeof *present; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(c, present[i]);
        if (v && !cJSON_IsNull(v) && !(cJSON_IsNumber(v) && v->valuedouble == 0))
            return err_set(e, ERR_DATA, "%s: not supported", present[i]);
    }
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (json_get_bool(c, set[i], 0, e))
            return err_set(e, ERR_DATA, "%s: true is not supported", set[i]);
    double part = json_get_num(c, "partial_rotary_factor", 1, e);
    if (part != 1)
        return err_set(e, ERR_DATA, "partial_rotary_factor: %g is not supported", part);
    return e->code;
}

/* A window that no position reaches past, or that the model does not use, changes nothing. */
static int refuse_window(const struct hparams *h, const cJSON *c, struct err *e)
{
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(c, "layer_types");
    double window = json_get_num(c, "sliding_window", 0, e);
    int used = json_get_bool(c, "use_sliding_window", 0, e);
    double from = json_get_num(c, "max_window_layers", 0, e); /* layers before it see everything */
    if (e->code)
        return e->code;
    for (const cJSON *t = cJSON_IsArray(types) ? types->child : NULL; t; t = t->next)
        if (!cJSON_IsString(t) ||
            (strcmp(t->valuestring, "full_attention") &&
             !(window >= h->n_ctx && strcmp(t->valuestring, "sliding_attention") == 0)))
            return err_set(e, ERR_DATA, "layer_types: \"%.40s\" is not supported",
                           cJSON_IsString(t) ? t->valuestring : "?");
    if (used && window > 0 && window < h->n_ctx && from < h->n_layer && !cJSON_IsArray(types))
        return err_set(e, ERR_DATA,
                       "use_sliding_window: a window of %g below %d positions is not supported",
                       window, h->n_ctx);
    return 0;
}

int hparams_from_config(struct hparams *h, const cJSON *c, const cJSON *generation, struct err *e)
{
    struct err own = {0};
    memset(h, 0, sizeof *h);
    h->bos = h->pad = -1;
    if (!e)
        e = &own;
    if (set_arch(h, json_get_str(c, "model_type", NULL, e), "model_type", e) < 0 ||
        refuse_keys(c, e) < 0)
        return e->code;
    const char *act = json_get_str(c, "hidden_act", "silu", e);
    if (strcmp(act, "silu"))
        return err_set(e, ERR_DATA, "hidden_act: expected \"silu\", found \"%.40s\"", act);
    if (WHOLE(c, &h->n_embd, -1, e, "hidden_size") < 0 ||
        WHOLE(c, &h->n_layer, -1, e, "num_hidden_layers") < 0 ||
        WHOLE(c, &h->n_head, -1, e, "num_attention_heads") < 0 ||
        WHOLE(c, &h->n_head_kv, h->n_head, e, "num_key_value_heads") < 0 ||
        WHOLE(c, &h->n_ff, -1, e, "intermediate_size") < 0 ||
        WHOLE(c, &h->n_vocab, -1, e, "vocab_size") < 0 ||
        WHOLE(c, &h->n_ctx, -1, e, "max_position_embeddings") < 0)
        return e->code;
    /* Qwen3Config's own default is 128; the others divide */
    int head_dim = is(h, "qwen3") ? 128 : h->n_head ? h->n_embd / h->n_head : 0;
    if (WHOLE(c, &h->head_dim, head_dim, e, "head_dim") < 0)
        return e->code;
    h->rms_eps = json_get_num(c, "rms_norm_eps", 1e-6, e);
    h->tied = json_get_bool(c, "tie_word_embeddings", 0, e);
    h->qk_norm = is(h, "qwen3");
    h->qkv_bias = is(h, "qwen2");
    if (!is(h, "qwen2") && json_get_bool(c, "attention_bias", 0, e))
        return err_set(e, ERR_DATA, "attention_bias: true is not supported for %s", h->arch);
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(c, "rope_parameters"); /* transformers 5 */
    const char *key = "rope_parameters";
    if (cJSON_IsObject(rope)) {
        h->rope_theta =
            json_get_num(rope, "rope_theta", json_get_num(c, "rope_theta", 10000, e), e);
        if (json_get_num(rope, "partial_rotary_factor", 1, e) != 1)
            return err_set(e, ERR_DATA, "rope_parameters: partial_rotary_factor is not supported");
        for (const cJSON *v = rope->child; v; v = v->next) /* one set per kind of layer */
            if (cJSON_IsObject(v))
                return err_set(e, ERR_DATA,
                               "rope_parameters: \"%.40s\": one set for each kind of layer is not "
                               "supported",
                               v->string);
    } else {
        rope = cJSON_GetObjectItemCaseSensitive(c, key = "rope_scaling");
        h->rope_theta = json_get_num(c, "rope_theta", 10000, e);
    }
    if (read_scaling(h, rope, key, e) < 0 || refuse_window(h, c, e) < 0)
        return e->code;
    h->bos = id_of(c, "bos_token_id", e);
    h->pad = id_of(c, "pad_token_id", e);
    if (add_stops(h, cJSON_GetObjectItemCaseSensitive(c, "eos_token_id"), "eos_token_id", e) < 0)
        return e->code;
    if (generation && add_stops(h, cJSON_GetObjectItemCaseSensitive(generation, "eos_token_id"),
                                "generation eos_token_id", e) < 0)
        return e->code;
    return e->code ? e->code : hparams_check(h, e);
}

/* ---- GGUF ---- */

/* GGUF keeps f32: the shortest decimal that rounds to it, so that both sources give the same
 * metadata. */
static double plain(double f32)
{
    char buf[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, f32);
        if (strtof(buf, NULL) == (float)f32)
            return strtod(buf, NULL);
    }
    return f32;
}

static double arch_num(const struct hparams *h, const struct gguf *g, const char *key, double dflt,
                       struct err *e)
{
    char full[100];
    snprintf(full, sizeof full, "%s.%s", h->arch, key);
    double v = gguf_num(g, full, dflt, e);
    if (!e->code && isnan(v))
        err_set(e, ERR_DATA, "%s: missing", full);
    return v;
}

static int arch_int(const struct hparams *h, const struct gguf *g, const char *key, double dflt,
                    struct err *e)
{
    double v = arch_num(h, g, key, dflt, e);
    if (e->code)
        return 0;
    if (v < 0 || v > INT32_MAX || v != floor(v)) {
        err_set(e, ERR_DATA, "%s.%s: %g is out of range", h->arch, key, v);
        return 0;
    }
    return (int)v;
}

/* The three-part inverse of transformers' _compute_llama3_parameters: what GGUF keeps as divisors.
 */
double hparams_llama3_divisor(double inv, double factor, double low, double high, double orig)
{
    double wavelength = 2 * M_PI / inv;
    if (wavelength < orig / high)
        return 1;
    if (wavelength > orig / low)
        return factor;
    double s = (orig / wavelength - low) / (high - low);
    return 1 / ((1 - s) / factor + s);
}

/* rope_freqs.weight holds divisors; recognise the llama-3 rule behind them (low 1, high 4 in every
 * release), so that the file needs no tensor of its own. */
static int read_rope_freqs(struct hparams *h, const struct tensor *t, struct err *e)
{
    int half = h->head_dim / 2;
    if (t->type != KN_F32 || t->ndim != 1 || t->dim[0] != (uint64_t)half)
        return err_set(e, ERR_DATA, "rope_freqs.weight: expected F32 (%d), found %s (%g)", half,
                       tensor_type_name(t->type), (double)t->dim[0]);
    float *d = malloc(((size_t)half + 1) * sizeof *d), largest = 0;
    if (!d)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(d, t->data, (size_t)half * sizeof *d);
    for (int i = 0; i < half; i++)
        largest = d[i] > largest ? d[i] : largest;
    int found = 0;
    for (int orig = 64; orig <= 1 << 20 && !found; orig *= 2) {
        found = 1;
        for (int i = 0; i < half && found; i++) {
            double want = hparams_llama3_divisor(pow(h->rope_theta, -2.0 * i / h->head_dim),
                                                 (double)largest, 1, 4, orig);
            found = fabs(want - (double)d[i]) <= 1e-4 * want;
        }
        if (found)
            h->rope_orig_ctx = orig;
    }
    free(d);
    if (!found)
        return err_set(
            e, ERR_DATA,
            "rope_freqs.weight: the divisors follow no llama-3 scaling that is known here");
    if (largest != 1) {
        h->rope_scaling = ROPE_LLAMA3;
        h->rope_factor = plain((double)largest);
        h->rope_low = 1;
        h->rope_high = 4;
    }
    return 0;
}

static int gguf_refuse(const struct hparams *h, const struct gguf *g, struct err *e)
{
    static const char *const zero[] = {
        "expert_count",   "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
        "residual_scale", "embedding_scale",        "attention.scale"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        double v = arch_num(h, g, zero[i], 0, e);
        if (!e->code && v != 0)
            err_set(e, ERR_DATA, "%s.%s: %g is not supported", h->arch, zero[i], v);
    }
    double window = arch_num(h, g, "attention.sliding_window", 0, e);
    if (!e->code && window > 0 && window < h->n_ctx)
        err_set(e, ERR_DATA, "%s.attention.sliding_window: %g is not supported", h->arch, window);
    if (!e->code && arch_num(h, g, "attention.causal", 1, e) == 0)
        err_set(e, ERR_DATA, "%s.attention.causal: false is not supported", h->arch);
    return e->code;
}

static int gguf_rope(struct hparams *h, const struct gguf *g, struct err *e)
{
    char key[60];
    h->rope_theta = plain(arch_num(h, g, "rope.freq_base", 10000, e));
    int dims = arch_int(h, g, "rope.dimension_count", h->head_dim, e);
    if (!e->code && dims != h->head_dim)
        return err_set(e, ERR_DATA,
                       "%s.rope.dimension_count: expected %d (all of a head), found %d", h->arch,
                       h->head_dim, dims);
    snprintf(key, sizeof key, "%s.rope.scaling.type", h->arch);
    const struct gguf_str *s = gguf_string(g, key);
    double factor =
        arch_num(h, g, "rope.scaling.factor", arch_num(h, g, "rope.scale_linear", 0, e), e);
    if (s && !(s->n == 4 && memcmp(s->p, "none", 4) == 0)) {
        if (!(s->n == 6 && memcmp(s->p, "linear", 6) == 0))
            return err_set(e, ERR_DATA, "%s: \"%.*s\" is not supported", key,
                           (int)(s->n < 40 ? s->n : 40), s->p);
        h->rope_scaling = ROPE_LINEAR;
        h->rope_factor = plain(factor);
    } else if (!s && factor != 0 && factor != 1) {
        h->rope_scaling = ROPE_LINEAR;
        h->rope_factor = plain(factor);
    }
    const struct tensor *t = gguf_tensor(g, "rope_freqs.weight");
    if (e->code || !t)
        return e->code;
    if (h->rope_scaling != ROPE_NONE)
        return err_set(e, ERR_DATA, "rope_freqs.weight beside linear RoPE scaling: not supported");
    return read_rope_freqs(h, t, e);
}

static int gguf_ids(struct hparams *h, const struct gguf *g, struct err *e)
{
    static const char *const stops[] = {"tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        double id = gguf_num(g, stops[i], -1, e);
        if (!e->code && id >= 0 && id < h->n_vocab)
            hparams_add_stop(h, (int32_t)id);
        else if (!e->code && id != -1 && id != UINT32_MAX) /* llama.cpp writes -1 as u32 */
            err_set(e, ERR_DATA, "%s: %g is outside the vocabulary of %d", stops[i], id,
                    h->n_vocab);
    }
    double bos = gguf_num(g, "tokenizer.ggml.bos_token_id", -1, e),
           pad = gguf_num(g, "tokenizer.ggml.padding_token_id", -1, e);
    h->bos = bos >= 0 && bos < h->n_vocab ? (int32_t)bos : -1;
    h->pad = pad >= 0 && pad < h->n_vocab ? (int32_t)pad : -1;
    const struct gguf_str *pre = gguf_string(g, "tokenizer.ggml.pre");
    int llama3 =
        pre && pre->n == 9 && memcmp(pre->p, "llama-bpe", 9) == 0; /* llama.cpp adds BOS there */
    h->add_bos = h->bos >= 0 && gguf_num(g, "tokenizer.ggml.add_bos_token", llama3, e) != 0;
    return e->code;
}

int hparams_from_gguf(struct hparams *h, const struct gguf *g, struct err *e)
{
    struct err own = {0};
    char arch[40] = "", kind[40];
    const struct gguf_str *s = gguf_string(g, "general.architecture"),
                          *type = gguf_string(g, "general.type");
    const struct tensor *embd = gguf_tensor(g, "token_embd.weight");
    memset(h, 0, sizeof *h);
    h->bos = h->pad = -1;
    if (!e)
        e = &own;
    if (s)
        snprintf(arch, sizeof arch, "%.*s", (int)(s->n < 39 ? s->n : 39), s->p);
    if (type && !(type->n == 5 && memcmp(type->p, "model", 5) == 0)) {
        snprintf(kind, sizeof kind, "%.*s", (int)(type->n < 39 ? type->n : 39), type->p);
        return err_set(e, ERR_DATA, "%s: general.type: expected \"model\", found \"%s\"", g->path,
                       kind);
    }
    if (set_arch(h, s ? arch : NULL, "general.architecture", e) < 0)
        return err_prefix(e, "%s", g->path);
    if (!embd || embd->ndim != 2)
        return err_set(e, ERR_DATA, "%s: tensor token_embd.weight: missing or not of two dims",
                       g->path);
    h->n_vocab = embd->dim[0] > INT32_MAX ? -1 : (int)embd->dim[0];
    h->n_layer = arch_int(h, g, "block_count", NAN, e);
    h->n_embd = arch_int(h, g, "embedding_length", NAN, e);
    h->n_ff = arch_int(h, g, "feed_forward_length", NAN, e);
    h->n_head = arch_int(h, g, "attention.head_count", NAN, e);
    h->n_head_kv = arch_int(h, g, "attention.head_count_kv", h->n_head, e);
    h->n_ctx = arch_int(h, g, "context_length", NAN, e);
    h->head_dim = arch_int(h, g, "attention.key_length", h->n_head ? h->n_embd / h->n_head : 0, e);
    int value = arch_int(h, g, "attention.value_length", h->head_dim, e);
    if (!e->code && value != h->head_dim)
        err_set(e, ERR_DATA, "%s.attention.value_length: expected %d as key_length, found %d",
                h->arch, h->head_dim, value);
    h->rms_eps = plain(arch_num(h, g, "attention.layer_norm_rms_epsilon", NAN, e));
    h->tied = !gguf_tensor(g, "output.weight");
    h->qkv_bias = gguf_tensor(g, "blk.0.attn_q.bias") != NULL;
    h->qk_norm = gguf_tensor(g, "blk.0.attn_q_norm.weight") != NULL;
    h->rope_pairs =
        is(h, "llama"); /* the converter permutes q and k rows of this architecture alone */
    if (e->code || gguf_refuse(h, g, e) < 0 || gguf_rope(h, g, e) < 0 || gguf_ids(h, g, e) < 0 ||
        hparams_check(h, e) < 0)
        return strncmp(e->msg, g->path, strlen(g->path)) ? err_prefix(e, "%s", g->path) : e->code;
    return 0;
}

/* ---- .apr metadata ---- */

static int add(cJSON *m, const char *key, cJSON *v)
{
    cJSON_DeleteItemFromObjectCaseSensitive(m, key);
    return v && cJSON_AddItemToObject(m, key, v);
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
    cJSON_DeleteItemFromObjectCaseSensitive(m, "rope_scaling");
    if (good && h->rope_scaling != ROPE_NONE) {
        cJSON *s = cJSON_CreateObject();
        good = add(m, "rope_scaling", s) &&
               add(s, "rope_type",
                   cJSON_CreateString(h->rope_scaling == ROPE_LINEAR ? "linear" : "llama3")) &&
               add(s, "factor", cJSON_CreateNumber(h->rope_factor));
        if (good && h->rope_scaling == ROPE_LLAMA3)
            good = add(s, "low_freq_factor", cJSON_CreateNumber(h->rope_low)) &&
                   add(s, "high_freq_factor", cJSON_CreateNumber(h->rope_high)) &&
                   add(s, "original_max_position_embeddings", cJSON_CreateNumber(h->rope_orig_ctx));
    }
    return good ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int hparams_from_meta(struct hparams *h, const cJSON *m, struct err *e)
{
    struct err own = {0};
    memset(h, 0, sizeof *h);
    h->bos = h->pad = -1;
    if (!e)
        e = &own;
    if (set_arch(h, json_get_str(m, "architecture", json_get_str(m, "model_type", NULL, e), e),
                 "architecture", e) < 0)
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
              is(h, "qwen3") ? 128
              : h->n_head    ? h->n_embd / h->n_head
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
    h->qkv_bias = json_get_bool(m, "attention_bias", is(h, "qwen2"), e);
    h->qk_norm = json_get_bool(m, "qk_norm", is(h, "qwen3"), e);
    h->add_bos = json_get_bool(m, "add_bos_token", 0, e);
    h->bos = id_of(m, "bos_token_id", e);
    h->pad = id_of(m, "pad_token_id", e);
    if (e->code ||
        read_scaling(h, cJSON_GetObjectItemCaseSensitive(m, "rope_scaling"), "rope_scaling", e) <
            0 ||
        add_stops(h, cJSON_GetObjectItemCaseSensitive(m, "stop_token_ids"), "stop_token_ids", e) <
            0)
        return e->code;
    return hparams_check(h, e);
}

int hparams_check(const struct hparams *h, struct err *e)
{
    const struct {
        const char *name;
        long v, lo, hi;
    } range[] = {
        {"num_layers", h->n_layer, 1, 4096},    {"hidden_size", h->n_embd, 1, 1 << 20},
        {"num_heads", h->n_head, 1, 1 << 14},   {"num_kv_heads", h->n_head_kv, 1, 1 << 14},
        {"head_dim", h->head_dim, 2, 4096},     {"intermediate_size", h->n_ff, 1, 1 << 22},
        {"vocab_size", h->n_vocab, 1, 1 << 24}, {"max_position_embeddings", h->n_ctx, 1, 1 << 26},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (range[i].v < range[i].lo || range[i].v > range[i].hi)
            return err_set(e, ERR_DATA, "%s: expected %ld to %ld, found %ld", range[i].name,
                           range[i].lo, range[i].hi, range[i].v);
    if (h->n_head % h->n_head_kv)
        return err_set(e, ERR_DATA, "num_heads %d is no multiple of num_kv_heads %d", h->n_head,
                       h->n_head_kv);
    if (h->head_dim % 2)
        return err_set(e, ERR_DATA, "head_dim: expected an even number, found %d", h->head_dim);
    if (!(h->rope_theta >= 1) || !isfinite(h->rope_theta))
        return err_set(e, ERR_DATA, "rope_theta: expected 1 or more, found %g", h->rope_theta);
    if (!(h->rms_eps > 0) || h->rms_eps > 1)
        return err_set(e, ERR_DATA, "rms_norm_eps: expected a small positive number, found %g",
                       h->rms_eps);
    if (h->rope_scaling != ROPE_NONE && (!(h->rope_factor > 0) || !isfinite(h->rope_factor)))
        return err_set(e, ERR_DATA, "rope_scaling: factor: expected a positive number, found %g",
                       h->rope_factor);
    if (h->rope_scaling == ROPE_LLAMA3 && (!(h->rope_low > 0) || !(h->rope_high > h->rope_low) ||
                                           !isfinite(h->rope_high) || h->rope_orig_ctx < 1))
        return err_set(e, ERR_DATA,
                       "rope_scaling: llama3 needs 0 < low_freq_factor < high_freq_factor and "
                       "original_max_position_embeddings, found %g, %g, %d",
                       h->rope_low, h->rope_high, h->rope_orig_ctx);
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] >= h->n_vocab)
            return err_set(e, ERR_DATA, "stop id %d is outside the vocabulary of %d", h->stop[i],
                           h->n_vocab);
    return 0;
}

/* ---- RoPE ---- */

/* inv_freq of pair k, rounded to f32 at every step as transformers' modeling_rope_utils does. */
static float inv_freq(const struct hparams *h, int k)
{
    float exponent = (float)(2 * k) / (float)h->head_dim;
    float inv = 1.0f / (float)pow((double)(float)h->rope_theta, (double)exponent);
    float factor = (float)h->rope_factor;
    if (h->rope_scaling == ROPE_LINEAR)
        return inv / factor;
    if (h->rope_scaling != ROPE_LLAMA3)
        return inv;
    float wavelength = (float)(2 * M_PI) / inv;
    float longest = (float)(h->rope_orig_ctx / h->rope_low),
          shortest = (float)(h->rope_orig_ctx / h->rope_high);
    if (wavelength > longest)
        return inv / factor;
    if (wavelength < shortest)
        return inv;
    float s = ((float)h->rope_orig_ctx / wavelength - (float)h->rope_low) /
              (float)(h->rope_high - h->rope_low);
    return (1.0f - s) * inv / factor + s * inv;
}

void hparams_rope_table(const struct hparams *h, int from, int to, float *table)
{
    int half = h->head_dim / 2;
    for (int k = 0; k < half; k++) {
        float inv = inv_freq(h, k);
        for (int pos = from; pos < to; pos++) {
            float angle = (float)pos * inv,
                  *row = table + (size_t)(pos - from) * (size_t)h->head_dim;
            row[k] = (float)cos((double)angle);
            row[half + k] = (float)sin((double)angle);
        }
    }
}
