/* hparams_gguf - hyper-parameters from the keys of a GGUF file */
#include "blocks.h"
#include "hparams.h"
#include "hparams_impl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GGUF keeps f32: the shortest decimal that rounds to it, so that both sources give the same
 * metadata. */
double hparams_plain(double f32)
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
    snprintf(full, sizeof full, "%s.%s", arch_by_name(h->arch)->gguf, key);
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
        err_set(e, ERR_DATA, "%s.%s: %g is out of range", arch_by_name(h->arch)->gguf, key, v);
        return 0;
    }
    return (int)v;
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
        h->rope_factor = hparams_plain((double)largest);
        h->rope_low = 1;
        h->rope_high = 4;
    }
    return 0;
}

static int gguf_refuse(const struct hparams *h, const struct gguf *g, struct err *e)
{
    static const struct {
        const char *key;
        unsigned traits; /* that take it */
    } zero[] = {{"expert_count", ARCH_MOE},
                {"attn_logit_softcapping", ARCH_CAPS},
                {"final_logit_softcapping", ARCH_CAPS},
                {"logit_scale", ARCH_MULTIPLIERS},
                {"residual_scale", ARCH_MULTIPLIERS},
                {"embedding_scale", ARCH_MULTIPLIERS},
                {"attention.scale", ARCH_MULTIPLIERS},
                {"expert_weights_scale", 0},
                {"rope.scaling.yarn_attn_factor", 0},
                {"attention.temperature_scale", 0},
                {"rope.scaling.yarn_log_multiplier", 0},
                {"rope.scaling.yarn_ext_factor", 0}};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        double v = arch_num(h, g, zero[i].key, 0, e);
        if (!e->code && v != 0 && !hparams_has(h, zero[i].traits))
            err_set(e, ERR_DATA, "%s.%s: %g is not supported", arch_by_name(h->arch)->gguf,
                    zero[i].key, v);
    }
    double gate = arch_num(h, g, "expert_gating_func", 1, e);
    if (!e->code && gate != 1)
        err_set(e, ERR_DATA, "%s.expert_gating_func: %g is not supported", h->arch, gate);
    if (!e->code && arch_num(h, g, "attention.causal", 1, e) == 0)
        err_set(e, ERR_DATA, "%s.attention.causal: false is not supported", h->arch);
    return e->code;
}

/* llama.cpp takes the period from the architecture; newer files may say it. */
static void gguf_window(struct hparams *h, const struct gguf *g, struct err *e)
{
    const struct arch *a = arch_by_name(h->arch);
    h->window = arch_int(h, g, "attention.sliding_window", 0, e);
    char key[80];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", a->gguf);
    const struct gguf_kv *kv = gguf_find(g, key);
    int period = a->window == WINDOW_ALTERNATE ? 2 : a->window == WINDOW_FIVE_OF_SIX ? 6 : 0;
    if (!e->code && kv && kv->type == GGUF_ARRAY)
        err_set(e, ERR_DATA, "%s: a list is not supported", key);
    else if (kv)
        period = arch_int(h, g, "attention.sliding_window_pattern", period, e);
    if (a->window == WINDOW_NONE || a->window == WINDOW_ASKED) {
        if (!e->code && h->window && h->window < h->n_ctx)
            err_set(e, ERR_DATA, "%s.attention.sliding_window: %d is not supported", a->gguf,
                    h->window);
        h->window = 0;
    }
    h->window_period = h->window ? period : 0;
}

static void gguf_more(struct hparams *h, const struct gguf *g, struct err *e)
{
    const int layer_norm = hparams_has(h, ARCH_LAYER_NORM);
    h->rms_eps = hparams_plain(arch_num(
        h, g, layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", NAN,
        e));
    h->tied = !gguf_tensor(g, "output.weight");
    h->qkv_bias = gguf_tensor(g, "blk.0.attn_q.bias") != NULL;
    h->o_bias = gguf_tensor(g, "blk.0.attn_output.bias") != NULL;
    h->mlp_bias = gguf_tensor(g, "blk.0.ffn_up.bias") != NULL;
    h->qk_norm = gguf_tensor(g, "blk.0.attn_q_norm.weight") != NULL;
    h->rope_pairs = hparams_has(h, ARCH_GGUF_PAIRS);
    if (hparams_has(h, ARCH_EMBD_ROOT))
        h->embd_scale = sqrt((double)h->n_embd);
    /* what llama.cpp has in its code: the 27B models, known by their layers, divide by another number */
    if (hparams_has(h, ARCH_SCALAR) && h->n_head > 0)
        h->query_scalar = h->n_layer == (hparams_has(h, ARCH_QK_NORM) ? 62 : 46)
                              ? h->n_embd / h->n_head
                              : h->head_dim;
    if (hparams_has(h, ARCH_CAPS)) {
        const int two = !hparams_has(h, ARCH_QK_NORM); /* llama.cpp's defaults for Gemma 2 */
        h->attn_cap = two ? hparams_plain(arch_num(h, g, "attn_logit_softcapping", 50, e)) : 0;
        h->final_cap = hparams_plain(arch_num(h, g, "final_logit_softcapping", two ? 30 : 0, e));
    }
    if (hparams_has(h, ARCH_MULTIPLIERS)) {
        h->attn_scale = hparams_plain(arch_num(h, g, "attention.scale", 0, e));
        double *factor[] = {&h->embd_scale, &h->residual_scale, &h->logit_scale};
        static const char *const keys[] = {"embedding_scale", "residual_scale", "logit_scale"};
        for (int i = 0; i < 3; i++) {
            double v = hparams_plain(arch_num(h, g, keys[i], 0, e));
            *factor[i] = v == 1 ? 0 : v;
        }
    }
    if (hparams_has(h, ARCH_MOE)) {
        h->n_expert = arch_int(h, g, "expert_count", NAN, e);
        h->n_expert_used = arch_int(h, g, "expert_used_count", NAN, e);
        h->n_ff_expert =
            arch_int(h, g, "expert_feed_forward_length",
                     h->n_expert_used > 0 ? floor((double)h->n_ff / h->n_expert_used) : NAN, e);
        if (hparams_has(h, ARCH_SHARED))
            h->n_ff_shared = arch_int(h, g, "expert_shared_feed_forward_length", h->n_ff, e);
        h->norm_topk = hparams_has(h, ARCH_TOP_NORM); /* as llama.cpp has it in its code */
    }
}

static int is_text(const struct gguf_str *s, const char *text)
{
    return s && s->n == strlen(text) && memcmp(s->p, text, s->n) == 0;
}

/* llama.cpp multiplies yarn's own factor by its key; Hugging Face's attention_factor is the product. */
static void gguf_yarn(struct hparams *h, const struct gguf *g, double factor, struct err *e)
{
    h->rope_scaling = ROPE_YARN;
    h->rope_factor = hparams_plain(factor);
    h->rope_orig_ctx = arch_int(h, g, "rope.scaling.original_context_length", h->n_ctx, e);
    h->rope_high = hparams_plain(arch_num(h, g, "rope.scaling.yarn_beta_fast", 32, e));
    h->rope_low = hparams_plain(arch_num(h, g, "rope.scaling.yarn_beta_slow", 1, e));
    double attn = arch_num(h, g, "rope.scaling.attn_factor", 1, e);
    if (attn != 1)
        h->rope_attn = hparams_plain((float)(attn * hparams_rope_own_attn(h)));
}

static int read_factors(const struct gguf *g, const char *name, float *out, int n, struct err *e)
{
    const struct tensor *t = gguf_tensor(g, name);
    if (!t || t->type != KN_F32 || t->ndim != 1 || t->dim[0] != (uint64_t)n || n > HPARAMS_FACTORS)
        return err_set(e, ERR_DATA, "%s: expected F32 (%d)", name, n);
    memcpy(out, t->data, (size_t)n * sizeof *out);
    return 0;
}

static int gguf_long(struct hparams *h, const struct gguf *g, struct err *e)
{
    h->rope_scaling = ROPE_LONG;
    h->rope_orig_ctx = arch_int(h, g, "rope.scaling.original_context_length", NAN, e);
    h->rope_factor = h->rope_orig_ctx > 0 ? (double)h->n_ctx / h->rope_orig_ctx : 0;
    h->n_rope_factors = hparams_rope_dim(h) / 2;
    if (e->code ||
        read_factors(g, "rope_factors_short.weight", h->rope_short, h->n_rope_factors, e) < 0 ||
        read_factors(g, "rope_factors_long.weight", h->rope_long, h->n_rope_factors, e) < 0)
        return e->code;
    double attn = arch_num(h, g, "rope.scaling.attn_factor", 1, e);
    if (fabs(attn - hparams_rope_own_attn(h)) > 1e-6 * attn)
        h->rope_attn = hparams_plain(attn);
    return e->code;
}

static int gguf_rope(struct hparams *h, const struct gguf *g, struct err *e)
{
    const struct arch *a = arch_by_name(h->arch);
    char key[60];
    h->rope_theta = hparams_plain(arch_num(h, g, "rope.freq_base", 10000, e));
    if (a->traits & ARCH_TWO_BASES)
        h->rope_local_theta = hparams_plain(arch_num(h, g, "rope.freq_base_swa", 10000, e));
    int dims = arch_int(h, g, "rope.dimension_count", h->head_dim, e);
    if (!e->code && dims != h->head_dim && !(a->traits & ARCH_PARTIAL))
        return err_set(e, ERR_DATA,
                       "%s.rope.dimension_count: expected %d (all of a head), found %d", a->gguf,
                       h->head_dim, dims);
    h->rope_dim = dims == h->head_dim ? 0 : dims;
    snprintf(key, sizeof key, "%s.rope.scaling.type", a->gguf);
    const struct gguf_str *s = gguf_string(g, key);
    double factor =
        arch_num(h, g, "rope.scaling.factor", arch_num(h, g, "rope.scale_linear", 0, e), e);
    const struct tensor *t = gguf_tensor(g, "rope_freqs.weight");
    if (gguf_tensor(g, "rope_factors_long.weight") && (a->traits & ARCH_PARTIAL) &&
        (!s || is_text(s, "longrope")))
        return e->code ? e->code : gguf_long(h, g, e);
    if (s && is_text(s, "yarn")) {
        gguf_yarn(h, g, factor, e);
    } else if (s && !is_text(s, "none") && !is_text(s, "linear")) {
        return err_set(e, ERR_DATA, "%s: \"%.*s\" is not supported", key,
                       (int)(s->n < 40 ? s->n : 40), s->p);
    } else if (s ? is_text(s, "linear") : factor != 0 && factor != 1) {
        h->rope_scaling = ROPE_LINEAR;
        h->rope_factor = hparams_plain(factor);
    }
    if (e->code || !t)
        return e->code;
    if (h->rope_scaling != ROPE_NONE)
        return err_set(e, ERR_DATA,
                       "rope_freqs.weight beside RoPE scaling by a key: not supported");
    return read_rope_freqs(h, t, e);
}

static int gguf_ids(struct hparams *h, const struct gguf *g, struct err *e)
{
    static const char *const stops[] = {"tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        const int32_t id = e->code ? -1 : gguf_id(g, stops[i], h->n_vocab, e);
        hparams_add_stop(h, id);
    }
    if (e->code || (h->bos = gguf_id(g, "tokenizer.ggml.bos_token_id", h->n_vocab, e), e->code))
        return e->code;
    /* nothing that we compute needs padding, and finetunes are about that give an id beyond the vocabulary: as for
     * llama.cpp, that is none */
    struct err unused = {0};
    h->pad = gguf_id(g, "tokenizer.ggml.padding_token_id", h->n_vocab, &unused);
    const struct gguf_str *pre = gguf_string(g, "tokenizer.ggml.pre");
    int llama3 =
        pre && pre->n == 9 && memcmp(pre->p, "llama-bpe", 9) == 0; /* llama.cpp adds BOS there */
    h->add_bos = h->bos >= 0 && gguf_num(g, "tokenizer.ggml.add_bos_token", llama3, e) != 0;
    return e->code;
}

int hparams_from_gguf(struct hparams *h, const struct gguf *g, struct err *e)
{
    struct err own = {0};
    char arch[40] = "", kind[40], window[80];
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
        return err_set(e, ERR_DATA, "%s: general.type: expected \"model\", found \"%s\"%s", g->path,
                       kind,
                       strcmp(kind, "adapter") == 0 ? " (gguf2apr --base M.apr reads it)" : "");
    }
    snprintf(window, sizeof window, "%s.attention.sliding_window", arch);
    const struct arch *a = arch_by_gguf(arch, gguf_num(g, window, 0, e) > 0);
    if (e->code || hparams_set_arch(h, a, "general.architecture", s ? arch : NULL, e) < 0)
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
    gguf_more(h, g, e);
    gguf_window(h, g, e);
    if (e->code || gguf_refuse(h, g, e) < 0 || gguf_rope(h, g, e) < 0 || gguf_ids(h, g, e) < 0 ||
        hparams_check(h, e) < 0)
        return strncmp(e->msg, g->path, strlen(g->path)) ? err_prefix(e, "%s", g->path) : e->code;
    return 0;
}
