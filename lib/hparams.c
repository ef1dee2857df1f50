/* hparams - hyper-parameters: what the readers of their three spellings share, and their ranges
 *
 * config.json (hparams_config.c), GGUF keys (hparams_gguf.c) and .apr metadata (hparams_meta.c) spell the same
 * numbers in three ways; what none of our kernels computes is refused by the name that the source gives it,
 * never ignored. */
#include "hparams.h"
#include "blocks.h"
#include "hparams_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

int hparams_set_arch(struct hparams *h, const struct arch *a, const char *key, const char *name,
                     struct err *e)
{
    if (!a)
        return err_set(e, ERR_DATA, "%s: expected one of %s, found \"%.60s\"", key, arch_names(),
                       name ? name : "nothing");
    snprintf(h->arch, sizeof h->arch, "%s", a->name);
    return 0;
}

int hparams_has(const struct hparams *h, unsigned traits)
{
    const struct arch *a = arch_by_name(h->arch);
    return a && (a->traits & traits) != 0;
}

int hparams_window(const struct hparams *h, int layer)
{
    int full = layer < h->window_from || (h->window_period && (layer + 1) % h->window_period == 0);
    return full ? 0 : h->window;
}

int hparams_rope_dim(const struct hparams *h)
{
    return h->rope_dim ? h->rope_dim : h->head_dim;
}

int hparams_trainable(const struct hparams *h, int rows, struct err *e)
{
    const struct {
        int there;
        const char *name;
    } no[] = {
        {h->window && h->window < rows, "a sliding window that documents reach beyond"},
        {h->attn_cap != 0 || h->final_cap != 0, "soft-capping"},
        {h->n_expert, "a mixture of experts"},
        {h->o_bias || h->mlp_bias, "a bias of o_proj or the MLP"},
        {hparams_has(h, ARCH_LAYER_NORM | ARCH_POST_NORM | ARCH_GELU), "its norms or activation"},
        {h->embd_scale != 0 || h->residual_scale != 0 || h->logit_scale != 0, "multipliers"},
    };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (no[i].there)
            return err_set(e, ERR_UNAVAILABLE, "training %s: %s is not supported", h->arch,
                           no[i].name);
    return 0;
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

int hparams_add_stops(struct hparams *h, const cJSON *v, const char *key, struct err *e)
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

int hparams_whole(const cJSON *o, const char *const *names, long dflt, int *out, struct err *e)
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

int32_t hparams_id(const cJSON *o, const char *key, struct err *e)
{
    long n = json_get_int(o, key, -1, e);
    return n < 0 || n > INT32_MAX ? -1 : (int32_t)n;
}

/* yarn's numbers; mscale and mscale_all_dim become the factor that they stand for. */
static int read_yarn(struct hparams *h, const cJSON *o, struct err *e)
{
    h->rope_scaling = ROPE_YARN;
    h->rope_orig_ctx = (int)json_get_int(o, "original_max_position_embeddings", h->n_ctx, e);
    h->rope_high = json_get_num(o, "beta_fast", 32, e);
    h->rope_low = json_get_num(o, "beta_slow", 1, e);
    h->rope_untruncated = !json_get_bool(o, "truncate", 1, e);
    if (h->rope_factor == 0 && h->rope_orig_ctx > 0)
        h->rope_factor = (double)h->n_ctx / h->rope_orig_ctx;
    double scale = json_get_num(o, "mscale", 0, e), all = json_get_num(o, "mscale_all_dim", 0, e);
    double grow = h->rope_factor > 1 ? 0.1 * log(h->rope_factor) : 0;
    h->rope_attn =
        json_get_num(o, "attention_factor",
                     scale != 0 && all != 0 ? (scale * grow + 1) / (all * grow + 1) : 0, e);
    return e->code;
}

static int read_factors(const cJSON *o, const char *key, float *out, int *n, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(o, key);
    int count = 0;
    if (!cJSON_IsArray(list))
        return err_set(e, ERR_DATA, "%s: missing or no list", key);
    for (const cJSON *v = list->child; v; v = v->next) {
        if (count == HPARAMS_FACTORS || !cJSON_IsNumber(v))
            return err_set(e, ERR_DATA, "%s: expected at most %d numbers", key, HPARAMS_FACTORS);
        out[count++] = (float)v->valuedouble;
    }
    if (*n && *n != count)
        return err_set(e, ERR_DATA, "%s: expected %d numbers, found %d", key, *n, count);
    *n = count;
    return 0;
}

/* phi3's: a factor for each pair, two lists. original_max_position_embeddings may stand outside. */
static int read_long(struct hparams *h, const cJSON *o, struct err *e)
{
    static const char *const odd[] = {"short_mscale", "long_mscale"};
    h->rope_scaling = ROPE_LONG;
    h->rope_orig_ctx =
        (int)json_get_int(o, "original_max_position_embeddings", h->rope_orig_ctx, e);
    if (h->rope_factor == 0 && h->rope_orig_ctx > 0)
        h->rope_factor = (double)h->n_ctx / h->rope_orig_ctx;
    h->rope_attn = json_get_num(o, "attention_factor", 0, e);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (cJSON_GetObjectItemCaseSensitive(o, odd[i]))
            return err_set(e, ERR_DATA, "%s: not supported", odd[i]);
    if (e->code || read_factors(o, "short_factor", h->rope_short, &h->n_rope_factors, e) < 0)
        return e->code;
    return read_factors(o, "long_factor", h->rope_long, &h->n_rope_factors, e);
}

int hparams_read_scaling(struct hparams *h, const cJSON *o, const char *key, struct err *e)
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
    } else if (strcmp(type, "yarn") == 0) {
        read_yarn(h, o, e);
    } else if (strcmp(type, "longrope") == 0 || strcmp(type, "su") == 0) {
        if (!hparams_has(h, ARCH_PARTIAL))
            return err_set(e, ERR_DATA, "%s: longrope is not supported for %s", key, h->arch);
        read_long(h, o, e);
    } else {
        return err_set(
            e, ERR_DATA,
            "%s: RoPE scaling \"%.40s\" is not supported (default, linear, llama3, yarn, "
            "longrope are)",
            key, type);
    }
    return e->code ? err_prefix(e, "%s", key) : 0;
}

static int check_sizes(const struct hparams *h, struct err *e)
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
    if (!(h->rms_eps > 0) || h->rms_eps > 1)
        return err_set(e, ERR_DATA, "rms_norm_eps: expected a small positive number, found %g",
                       h->rms_eps);
    return 0;
}

static int check_rope(const struct hparams *h, struct err *e)
{
    const int dim = hparams_rope_dim(h);
    if (h->head_dim % 2 || dim % 2 || dim < 2 || dim > h->head_dim)
        return err_set(e, ERR_DATA,
                       "head_dim: expected an even number, found %d (%d of them rotated)",
                       h->head_dim, dim);
    if (!(h->rope_theta >= 1) || !isfinite(h->rope_theta))
        return err_set(e, ERR_DATA, "rope_theta: expected 1 or more, found %g", h->rope_theta);
    if (h->rope_local_theta != 0 && (!(h->rope_local_theta >= 1) || !isfinite(h->rope_local_theta)))
        return err_set(e, ERR_DATA, "rope_local_theta: expected 1 or more, found %g",
                       h->rope_local_theta);
    if (!(h->rope_attn >= 0) || !isfinite(h->rope_attn))
        return err_set(e, ERR_DATA, "rope_scaling: attention_factor: found %g", h->rope_attn);
    if (h->rope_scaling != ROPE_NONE && (!(h->rope_factor > 0) || !isfinite(h->rope_factor)))
        return err_set(e, ERR_DATA, "rope_scaling: factor: expected a positive number, found %g",
                       h->rope_factor);
    if (h->rope_scaling == ROPE_LLAMA3 && (!(h->rope_low > 0) || !(h->rope_high > h->rope_low) ||
                                           !isfinite(h->rope_high) || h->rope_orig_ctx < 1))
        return err_set(e, ERR_DATA,
                       "rope_scaling: llama3 needs 0 < low_freq_factor < high_freq_factor and "
                       "original_max_position_embeddings, found %g, %g, %d",
                       h->rope_low, h->rope_high, h->rope_orig_ctx);
    if (h->rope_scaling == ROPE_YARN &&
        (!(h->rope_low > 0) || !(h->rope_high >= h->rope_low) || !isfinite(h->rope_high) ||
         h->rope_orig_ctx < 1 || !(h->rope_theta > 1)))
        return err_set(e, ERR_DATA,
                       "rope_scaling: yarn needs 0 < beta_slow <= beta_fast, a base above 1 and "
                       "original_max_position_embeddings, found %g, %g, %g, %d",
                       h->rope_low, h->rope_high, h->rope_theta, h->rope_orig_ctx);
    if (h->rope_scaling != ROPE_LONG)
        return 0;
    if (h->n_rope_factors != dim / 2 || h->rope_orig_ctx < 2)
        return err_set(e, ERR_DATA,
                       "rope_scaling: longrope needs %d factors and "
                       "original_max_position_embeddings, found %d, %d",
                       dim / 2, h->n_rope_factors, h->rope_orig_ctx);
    for (int i = 0; i < h->n_rope_factors; i++)
        if (!(h->rope_short[i] > 0) || !(h->rope_long[i] > 0) || !isfinite(h->rope_short[i]) ||
            !isfinite(h->rope_long[i]))
            return err_set(e, ERR_DATA, "rope_scaling: factor %d: expected positive numbers", i);
    return 0;
}

/* What only some architectures have. */
static int check_more(const struct hparams *h, struct err *e)
{
    const struct {
        const char *name;
        double v;
    } real[] = {
        {"query_pre_attn_scalar", h->query_scalar}, {"attention_multiplier", h->attn_scale},
        {"embedding_multiplier", h->embd_scale},    {"residual_multiplier", h->residual_scale},
        {"logits_scaling", h->logit_scale},         {"attn_logit_softcapping", h->attn_cap},
        {"final_logit_softcapping", h->final_cap},
    };
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        if (!(real[i].v >= 0) || !(real[i].v <= 1e30) || (real[i].v != 0 && real[i].v < 1e-30))
            return err_set(e, ERR_DATA, "%s: expected a positive number, found %g", real[i].name,
                           real[i].v);
    if (h->window < 0 || h->window_from < 0 || h->window_period < 0)
        return err_set(e, ERR_DATA, "sliding_window: expected 0 or more, found %d", h->window);
    if (!hparams_has(h, ARCH_MOE) != !h->n_expert)
        return err_set(e, ERR_DATA, "num_experts: %d: not what %s has", h->n_expert, h->arch);
    if (!h->n_expert)
        return 0;
    if (h->n_expert < 1 || h->n_expert > 4096 || h->n_expert_used < 1 ||
        h->n_expert_used > h->n_expert)
        return err_set(e, ERR_DATA, "num_experts_per_tok: %d of %d experts", h->n_expert_used,
                       h->n_expert);
    if ((long)h->n_layer * h->n_expert > 1 << 18) /* DeepSeek's largest has 15 thousand */
        return err_set(e, ERR_DATA, "num_experts: %d in each of %d layers is too many", h->n_expert,
                       h->n_layer);
    if (h->n_ff_expert < 1 || h->n_ff_expert > 1 << 22)
        return err_set(e, ERR_DATA, "moe_intermediate_size: expected 1 to %d, found %d", 1 << 22,
                       h->n_ff_expert);
    if (hparams_has(h, ARCH_SHARED) != (h->n_ff_shared > 0) || h->n_ff_shared > 1 << 22)
        return err_set(e, ERR_DATA, "shared_expert_intermediate_size: %d: not what %s has",
                       h->n_ff_shared, h->arch);
    return 0;
}

int hparams_check(const struct hparams *h, struct err *e)
{
    if (check_sizes(h, e) < 0 || check_rope(h, e) < 0 || check_more(h, e) < 0)
        return e ? e->code : ERR_DATA;
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] >= h->n_vocab)
            return err_set(e, ERR_DATA, "stop id %d is outside the vocabulary of %d", h->stop[i],
                           h->n_vocab);
    if (h->bos >= h->n_vocab || h->pad >= h->n_vocab)
        return err_set(e, ERR_DATA, "%s %d is outside the vocabulary of %d",
                       h->bos >= h->n_vocab ? "bos_token_id" : "pad_token_id",
                       h->bos >= h->n_vocab ? h->bos : h->pad, h->n_vocab);
    return 0;
}
