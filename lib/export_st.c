/* export_st - a .apr file as a Hugging Face folder: the inverse of import_st */
#include "blocks.h"
#include "chat.h"
#include "export.h"
#include "export_impl.h"
#include "outdir.h"
#include "outfile.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Blocks become the type asked for, or BF16; plain matrices are converted only if a type is asked for,
 * vectors only widened. */
static int target(const struct tensor *t, enum import_type want)
{
    int plain = tensor_type_block(t->type) == 1;
    if (want == IMPORT_F32 || (t->ndim == 1 && !plain))
        return KN_F32;
    if (t->ndim == 1 || (plain && want == IMPORT_KEEP))
        return t->type;
    return want == IMPORT_F16 ? KN_F16 : KN_BF16;
}

/* ---- texts ---- */

/* sha256 (65): the file's, or NULL */
static int write_text(const char *dir, const char *name, const char *s, size_t n, char *sha256,
                      struct err *e)
{
    char path[PATH_MAX + 64];
    struct outfile f;
    int rc;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if ((rc = outfile_open(&f, path, e)) < 0)
        return rc;
    if ((rc = outfile_write(&f, s, n, e)) < 0 || (rc = outfile_write(&f, "\n", 1, e)) < 0)
        outfile_abort(&f);
    else if ((rc = outfile_commit(&f, e)) == 0 && sha256)
        memcpy(sha256, f.hex, 65);
    return rc;
}

int export_json(const char *dir, const char *name, struct json_out *j, char *sha256, struct err *e)
{
    size_t n;
    char *s = json_take(j, &n);
    int rc = s ? write_text(dir, name, s, n, sha256, e) : err_set(e, ERR_NOMEM, "out of memory");
    free(s);
    return rc;
}

static const char *torch_type(const struct exporter *x)
{
    uint64_t bytes[3] = {0};
    static const char *const names[] = {"float32", "float16", "bfloat16"};
    int most = 0;
    for (int i = 0; i < x->n; i++) {
        int k = x->out[i].type == KN_F32 ? 0 : x->out[i].type == KN_F16 ? 1 : 2;
        bytes[k] += x->out[i].bytes;
        most = bytes[k] > bytes[most] ? k : most;
    }
    return names[most];
}

static void put_id(struct json_out *j, const char *key, int32_t id)
{
    if (id >= 0)
        json_kv_int(j, key, id);
}

static void put_floats(struct json_out *j, const char *key, const float *x, int n)
{
    json_key(j, key);
    json_begin(j, '[');
    for (int i = 0; i < n; i++)
        json_num(j, hparams_plain((double)x[i]));
    json_end(j, ']');
}

static void put_yarn(struct json_out *j, const struct hparams *h)
{
    json_kv_int(j, "original_max_position_embeddings", h->rope_orig_ctx);
    json_kv_num(j, "beta_fast", h->rope_high);
    json_kv_num(j, "beta_slow", h->rope_low);
    if (h->rope_untruncated)
        json_kv_bool(j, "truncate", 0);
}

/* Older spelling, which transformers of every version reads. */
static void put_rope(struct json_out *j, const struct hparams *h)
{
    static const char *const names[] = {"", "linear", "llama3", "yarn", "longrope"};
    json_kv_num(j, "rope_theta", h->rope_theta);
    if (h->rope_local_theta != 0)
        json_kv_num(j, "rope_local_base_freq", h->rope_local_theta);
    if (h->rope_dim)
        json_kv_num(j, "partial_rotary_factor", (double)h->rope_dim / h->head_dim);
    if (hparams_has(h, ARCH_PARTIAL)) /* phi-3's configuration wants it, scaling or not */
        json_kv_int(j, "original_max_position_embeddings",
                    h->rope_scaling == ROPE_LONG ? h->rope_orig_ctx : h->n_ctx);
    if (h->rope_scaling == ROPE_NONE)
        return;
    json_key(j, "rope_scaling");
    json_begin(j, '{');
    json_kv_str(j, "rope_type", names[h->rope_scaling]);
    if (hparams_has(h, ARCH_PARTIAL))
        json_kv_str(j, "type", names[h->rope_scaling]);
    if (h->rope_scaling != ROPE_LONG)
        json_kv_num(j, "factor", h->rope_factor);
    if (h->rope_scaling == ROPE_LLAMA3) {
        json_kv_num(j, "low_freq_factor", h->rope_low);
        json_kv_num(j, "high_freq_factor", h->rope_high);
        json_kv_int(j, "original_max_position_embeddings", h->rope_orig_ctx);
    } else if (h->rope_scaling == ROPE_YARN) {
        put_yarn(j, h);
    } else if (h->rope_scaling == ROPE_LONG) {
        put_floats(j, "short_factor", h->rope_short, h->n_rope_factors);
        put_floats(j, "long_factor", h->rope_long, h->n_rope_factors);
    }
    if (h->rope_attn != 0)
        json_kv_num(j, "attention_factor", h->rope_attn);
    json_end(j, '}');
}

static void put_window(struct json_out *j, const struct hparams *h)
{
    const enum arch_window w = arch_by_name(h->arch)->window;
    if (w == WINDOW_NONE)
        return;
    if (h->window)
        json_kv_int(j, "sliding_window", h->window);
    else
        json_key(j, "sliding_window"), json_raw(j, "null");
    if (w == WINDOW_ASKED) {
        json_kv_bool(j, "use_sliding_window", h->window != 0);
        if (h->window)
            json_kv_int(j, "max_window_layers", h->window_from);
    }
    if (w == WINDOW_FIVE_OF_SIX)
        json_kv_int(j, "sliding_window_pattern", h->window_period);
    if (!h->window || w == WINDOW_ALL)
        return;
    json_key(j, "layer_types");
    json_begin(j, '[');
    for (int i = 0; i < h->n_layer; i++)
        json_str(j, hparams_window(h, i) ? "sliding_attention" : "full_attention");
    json_end(j, ']');
}

/* A number with a point (Hugging Face's configurations are typed, and 30 is no float there), or the null that means
 * none. */
static void put_cap(struct json_out *j, const char *key, double v)
{
    char text[40];
    json_key(j, key);
    if (v == 0) {
        json_raw(j, "null");
    } else if (v == floor(v) && fabs(v) < 1e15) {
        snprintf(text, sizeof text, "%.1f", v);
        json_raw(j, text);
    } else {
        json_num(j, v);
    }
}

static void put_more(struct json_out *j, const struct hparams *h)
{
    if (hparams_has(h, ARCH_SCALAR))
        json_kv_num(j, "query_pre_attn_scalar", h->query_scalar);
    if (hparams_has(h, ARCH_CAPS)) {
        put_cap(j, "attn_logit_softcapping", h->attn_cap);
        put_cap(j, "final_logit_softcapping", h->final_cap);
    }
    if (hparams_has(h, ARCH_MULTIPLIERS)) {
        json_kv_num(j, "attention_multiplier",
                    h->attn_scale != 0 ? h->attn_scale : 1 / sqrt((double)h->head_dim));
        json_kv_num(j, "embedding_multiplier", h->embd_scale != 0 ? h->embd_scale : 1);
        json_kv_num(j, "residual_multiplier", h->residual_scale != 0 ? h->residual_scale : 1);
        json_kv_num(j, "logits_scaling", h->logit_scale != 0 ? h->logit_scale : 1);
    }
    if (hparams_has(h, ARCH_BIAS_KEYS)) {
        json_kv_bool(j, "attention_bias", h->qkv_bias);
        json_kv_bool(j, "mlp_bias", h->mlp_bias);
    }
    if (hparams_has(h, ARCH_LAYER_NORM))
        json_kv_bool(j, "use_bias", h->mlp_bias);
    if (!h->n_expert)
        return;
    json_kv_int(j, "num_experts", h->n_expert);
    json_kv_int(j, "num_experts_per_tok", h->n_expert_used);
    json_kv_int(j, "moe_intermediate_size", h->n_ff_expert);
    if (h->n_ff_shared)
        json_kv_int(j, "shared_expert_intermediate_size", h->n_ff_shared);
    json_kv_bool(j, "norm_topk_prob", h->norm_topk);
    json_kv_int(j, "decoder_sparse_step", 1);
    json_key(j, "mlp_only_layers");
    json_raw(j, "[]");
}

static void put_sizes(struct json_out *j, const struct hparams *h)
{
    json_kv_int(j, "hidden_size", h->n_embd);
    json_kv_int(j, "intermediate_size", h->n_ff);
    json_kv_int(j, "num_hidden_layers", h->n_layer);
    json_kv_int(j, "num_attention_heads", h->n_head);
    json_kv_int(j, "num_key_value_heads", h->n_head_kv);
    json_kv_int(j, "head_dim", h->head_dim);
    json_kv_int(j, "vocab_size", h->n_vocab);
    json_kv_int(j, "max_position_embeddings", h->n_ctx);
    json_kv_num(j, hparams_has(h, ARCH_LAYER_NORM) ? "norm_epsilon" : "rms_norm_eps", h->rms_eps);
}

static int write_config(const struct exporter *x, const char *dir, struct err *e)
{
    const struct hparams *h = &x->h;
    const char *act = hparams_has(h, ARCH_GELU) ? "gelu_pytorch_tanh" : "silu";
    struct json_out j = {0};
    json_begin(&j, '{');
    json_key(&j, "architectures");
    json_begin(&j, '[');
    json_str(&j, arch_by_name(h->arch)->hf_class);
    json_end(&j, ']');
    json_kv_str(&j, "model_type", h->arch);
    if (export_text(x, "name"))
        json_kv_str(&j, "_name_or_path", export_text(x, "name"));
    put_sizes(&j, h);
    put_rope(&j, h);
    json_kv_str(&j, hparams_has(h, ARCH_ONE_PLUS) ? "hidden_activation" : "hidden_act", act);
    json_kv_bool(&j, "tie_word_embeddings", h->tied);
    put_window(&j, h);
    put_more(&j, h);
    put_id(&j, "bos_token_id", h->bos);
    put_id(&j, "eos_token_id", h->n_stop ? h->stop[0] : -1);
    put_id(&j, "pad_token_id", h->pad);
    json_kv_str(&j, "torch_dtype", torch_type(x));
    json_end(&j, '}');
    return export_json(dir, "config.json", &j, NULL, e);
}

static int is_id(const char *key)
{
    return strcmp(key, "bos_token_id") == 0 || strcmp(key, "eos_token_id") == 0 ||
           strcmp(key, "pad_token_id") == 0;
}

/* The object that the imported folder had in this file (import_st.c's carry), or NULL. */
static const cJSON *carried(const struct exporter *x, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(x->a.meta, key);
    return cJSON_IsObject(v) ? v : NULL;
}

static int names_id(const cJSON *v, int32_t id)
{
    if (cJSON_IsNumber(v))
        return v->valuedouble == id;
    for (v = cJSON_IsArray(v) ? v->child : NULL; v; v = v->next)
        if (cJSON_IsNumber(v) && v->valuedouble == id)
            return 1;
    return 0;
}

/* Do this file and the others tell every stop id? config.json has the first one. */
static int tells_stops(const struct exporter *x, const cJSON *generation)
{
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(generation, "eos_token_id");
    for (int i = 1; i < x->h.n_stop; i++)
        if (!names_id(eos, x->h.stop[i]) && !(x->tok && bpe_eos(x->tok) == x->h.stop[i]))
            return 0;
    return 1;
}

static int write_generation(const struct exporter *x, const char *dir, struct err *e)
{
    const struct hparams *h = &x->h;
    const cJSON *own = carried(x, "generation_config");
    struct json_out j = {0};
    if (own && tells_stops(x, own)) {
        json_tree(&j, own);
        return export_json(dir, "generation_config.json", &j, NULL, e);
    }
    json_begin(&j, '{');
    for (const cJSON *v = own ? own->child : NULL; v; v = v->next)
        if (!is_id(v->string)) {
            json_key(&j, v->string);
            json_tree(&j, v);
        }
    put_id(&j, "bos_token_id", h->bos);
    if (h->n_stop) {
        json_key(&j, "eos_token_id");
        json_begin(&j, '[');
        for (int i = 0; i < h->n_stop; i++)
            json_int(&j, h->stop[i]);
        json_end(&j, ']');
    }
    put_id(&j, "pad_token_id", h->pad);
    json_end(&j, '}');
    return export_json(dir, "generation_config.json", &j, NULL, e);
}

static void put_token(struct json_out *j, const char *key, const struct bpe *b, int32_t id)
{
    size_t n;
    const char *s = id >= 0 ? bpe_token(b, id, &n) : NULL;
    json_key(j, key);
    if (s && n && utf8_valid(s, n))
        json_strn(j, s, n);
    else
        json_raw(j, "null");
}

/* Keys that import_st.c does not carry: a file that has them all the same is none of ours. */
static int has_own_place(const char *key)
{
    return strcmp(key, "chat_template") == 0 || strcmp(key, "added_tokens_decoder") == 0;
}

static int write_tokenizer(const struct exporter *x, const char *dir, struct err *e)
{
    const struct hparams *h = &x->h;
    const cJSON *own = carried(x, "tokenizer_config");
    struct json_out j = {0};
    size_t n;
    char *s = bpe_save_json(x->tok, &n, e);
    int rc = s ? write_text(dir, "tokenizer.json", s, n, NULL, e) : e->code;
    free(s);
    char *template = rc < 0 ? NULL : chat_meta_template(x->a.meta, x->tok, e);
    if (rc < 0 || e->code < 0)
        return e->code;
    json_begin(&j, '{');
    if (own) {
        for (const cJSON *v = own->child; v; v = v->next)
            if (!has_own_place(v->string)) {
                json_key(&j, v->string);
                json_tree(&j, v);
            }
        if (template)
            json_kv_str(&j, "chat_template", template);
        free(template);
        json_end(&j, '}');
        return export_json(dir, "tokenizer_config.json", &j, NULL, e);
    }
    json_kv_str(&j, "tokenizer_class", "PreTrainedTokenizerFast"); /* reads tokenizer.json alone */
    put_token(&j, "bos_token", x->tok, h->bos >= 0 ? h->bos : bpe_bos(x->tok));
    put_token(&j, "eos_token", x->tok,
              bpe_eos(x->tok) >= 0 ? bpe_eos(x->tok)
              : h->n_stop          ? h->stop[0]
                                   : -1);
    put_token(&j, "pad_token", x->tok, h->pad);
    json_kv_bool(&j, "clean_up_tokenization_spaces", 0);
    json_kv_int(&j, "model_max_length", h->n_ctx);
    if (template)
        json_kv_str(&j, "chat_template", template);
    free(template);
    json_end(&j, '}');
    return export_json(dir, "tokenizer_config.json", &j, NULL, e);
}

/* ---- all of it ---- */

/* Biases are fixed by the architecture there: llama's switch would mean one of o too. */
static int refuse(const struct hparams *h, struct err *e)
{
    const int always = hparams_has(h, ARCH_QKV_BIAS), keys = hparams_has(h, ARCH_BIAS_KEYS),
              all = hparams_has(h, ARCH_LAYER_NORM);
    const int good = keys  ? h->qkv_bias == h->o_bias && (!h->qk_norm || !h->mlp_bias)
                     : all ? h->qkv_bias == h->o_bias && h->o_bias == h->mlp_bias
                           : h->qkv_bias == always && !h->o_bias && !h->mlp_bias;
    if (!good)
        return err_set(e, ERR_DATA, "attention_bias: %s: not what transformers' %s is",
                       h->qkv_bias ? "true" : "false", h->arch);
    return 0;
}

int export_st(const char *in, const char *out, enum import_type type,
              const struct gguf_split *split, const struct export_look *look,
              struct export_done *done, struct err *e)
{
    static const char *const ours[] = {EXPORT_WEIGHTS,
                                       "model-*-of-*.safetensors",
                                       EXPORT_INDEX,
                                       "config.json",
                                       "tokenizer.json",
                                       "generation_config.json",
                                       "tokenizer_config.json",
                                       NULL};
    static const struct gguf_split whole;
    struct exporter x;
    struct outdir d = {0};
    struct err own = {0};
    int rc;
    if (!e)
        e = &own;
    memset(done, 0, sizeof *done);
    if ((rc = export_open(&x, in, 0, e)) < 0)
        goto done;
    if (refuse(&x.h, e) < 0) {
        rc = err_prefix(e, "%s", in);
        goto done;
    }
    done->no_tokenizer = !x.tok;
    if ((rc = outdir_open(&d, out, ours, e)) < 0)
        goto done;
    for (int i = 0; i < x.n; i++)
        export_type(&x, i, target(&x.out[i], type));
    if ((rc = export_weights(&x, d.tmp, split ? split : &whole, done, e)) < 0 ||
        (rc = write_config(&x, d.tmp, e)) < 0 || (rc = write_generation(&x, d.tmp, e)) < 0 ||
        (x.tok && (rc = write_tokenizer(&x, d.tmp, e)) < 0)) {
        if (rc == ERR_DATA)
            rc = err_prefix(e, "%s", in);
        goto done;
    }
    if (look && (rc = export_show(&x, look, d.tmp, 0, e)) < 0) {
        err_prefix(e, "%s", out);
        goto done;
    }
    rc = outdir_commit(&d, e);
done:
    outdir_abort(&d);
    export_close(&x);
    return rc;
}
