/* export_st - a .apr file as a Hugging Face folder: the inverse of import_st */
#include "blocks.h"
#include "export.h"
#include "export_impl.h"
#include "outdir.h"
#include "outfile.h"
#include "safetensors.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WEIGHTS "model.safetensors"

/* ---- weights ---- */

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

static int write_weights(struct exporter *x, const char *dir, enum import_type want, char *sha256,
                         struct err *e)
{
    char path[PATH_MAX + 64];
    cJSON *meta = cJSON_CreateObject();
    int rc;
    snprintf(path, sizeof path, "%s/%s", dir, WEIGHTS);
    for (int i = 0; i < x->n; i++)
        export_type(x, i, target(&x->out[i], want));
    if (!meta || !cJSON_AddStringToObject(meta, "format", "pt")) /* transformers asks for it */
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        rc = safetensors_stream(path, x->out, x->n, export_fill, x, meta, sha256, e);
    cJSON_Delete(meta);
    return rc;
}

/* ---- texts ---- */

static int write_text(const char *dir, const char *name, const char *s, size_t n, struct err *e)
{
    char path[PATH_MAX + 64];
    struct outfile f;
    int rc;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if ((rc = outfile_open(&f, path, e)) < 0)
        return rc;
    if ((rc = outfile_write(&f, s, n, e)) < 0 || (rc = outfile_write(&f, "\n", 1, e)) < 0)
        outfile_abort(&f);
    else
        rc = outfile_commit(&f, e);
    return rc;
}

/* The writer's text as a file. */
static int write_json(const char *dir, const char *name, struct json_out *j, struct err *e)
{
    size_t n;
    char *s = json_take(j, &n);
    int rc = s ? write_text(dir, name, s, n, e) : err_set(e, ERR_NOMEM, "out of memory");
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

/* Older spelling, which transformers of every version reads. */
static void put_rope(struct json_out *j, const struct hparams *h)
{
    json_kv_num(j, "rope_theta", h->rope_theta);
    if (h->rope_scaling == ROPE_NONE)
        return;
    json_key(j, "rope_scaling");
    json_begin(j, '{');
    json_kv_str(j, "rope_type", h->rope_scaling == ROPE_LINEAR ? "linear" : "llama3");
    json_kv_num(j, "factor", h->rope_factor);
    if (h->rope_scaling == ROPE_LLAMA3) {
        json_kv_num(j, "low_freq_factor", h->rope_low);
        json_kv_num(j, "high_freq_factor", h->rope_high);
        json_kv_int(j, "original_max_position_embeddings", h->rope_orig_ctx);
    }
    json_end(j, '}');
}

static int write_config(const struct exporter *x, const char *dir, struct err *e)
{
    static const char *const class[][2] = {{"qwen2", "Qwen2ForCausalLM"},
                                           {"qwen3", "Qwen3ForCausalLM"},
                                           {"llama", "LlamaForCausalLM"}};
    const struct hparams *h = &x->h;
    struct json_out j = {0};
    json_begin(&j, '{');
    json_key(&j, "architectures");
    json_begin(&j, '[');
    for (size_t i = 0; i < sizeof class / sizeof *class; i++)
        if (strcmp(class[i][0], h -> arch) == 0)
            json_str(&j, class[i][1]);
    json_end(&j, ']');
    json_kv_str(&j, "model_type", h->arch);
    if (export_text(x, "name"))
        json_kv_str(&j, "_name_or_path", export_text(x, "name"));
    json_kv_int(&j, "hidden_size", h->n_embd);
    json_kv_int(&j, "intermediate_size", h->n_ff);
    json_kv_int(&j, "num_hidden_layers", h->n_layer);
    json_kv_int(&j, "num_attention_heads", h->n_head);
    json_kv_int(&j, "num_key_value_heads", h->n_head_kv);
    json_kv_int(&j, "head_dim", h->head_dim);
    json_kv_int(&j, "vocab_size", h->n_vocab);
    json_kv_int(&j, "max_position_embeddings", h->n_ctx);
    json_kv_num(&j, "rms_norm_eps", h->rms_eps);
    put_rope(&j, h);
    json_kv_str(&j, "hidden_act", "silu");
    json_kv_bool(&j, "tie_word_embeddings", h->tied);
    if (strcmp(h->arch, "qwen2"))
        json_kv_bool(&j, "attention_bias", 0);
    if (strcmp(h->arch, "llama"))
        json_kv_bool(&j, "use_sliding_window", 0);
    put_id(&j, "bos_token_id", h->bos);
    put_id(&j, "eos_token_id", h->n_stop ? h->stop[0] : -1);
    put_id(&j, "pad_token_id", h->pad);
    json_kv_str(&j, "torch_dtype", torch_type(x));
    json_end(&j, '}');
    return write_json(dir, "config.json", &j, e);
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
        return write_json(dir, "generation_config.json", &j, e);
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
    return write_json(dir, "generation_config.json", &j, e);
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

static int write_tokenizer(const struct exporter *x, const char *dir, struct err *e)
{
    const struct hparams *h = &x->h;
    const char *template = export_text(x, "chat_template");
    const cJSON *own = carried(x, "tokenizer_config");
    struct json_out j = {0};
    size_t n;
    char *s = bpe_save_json(x->tok, &n, e);
    int rc = s ? write_text(dir, "tokenizer.json", s, n, e) : e->code;
    free(s);
    if (rc < 0)
        return rc;
    json_begin(&j, '{');
    if (own) {
        for (const cJSON *v = own->child; v; v = v->next) {
            json_key(&j, v->string);
            json_tree(&j, v);
        }
        if (template)
            json_kv_str(&j, "chat_template", template);
        json_end(&j, '}');
        return write_json(dir, "tokenizer_config.json", &j, e);
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
    json_end(&j, '}');
    return write_json(dir, "tokenizer_config.json", &j, e);
}

/* ---- all of it ---- */

/* Biases are fixed by the architecture there: llama's switch would mean one of o too. */
static int refuse(const struct hparams *h, struct err *e)
{
    if (h->qkv_bias != (strcmp(h->arch, "qwen2") == 0))
        return err_set(e, ERR_DATA, "attention_bias: %s: not what transformers' %s is",
                       h->qkv_bias ? "true" : "false", h->arch);
    return 0;
}

int export_st(const char *in, const char *out, enum import_type type, struct export_done *done,
              struct err *e)
{
    static const char *const ours[] = {
        WEIGHTS, "config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json",
        NULL};
    struct exporter x;
    struct outdir d = {0};
    struct err own = {0};
    struct stat st;
    char path[PATH_MAX + 64];
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
    if ((rc = write_weights(&x, d.tmp, type, done->sha256, e)) < 0 ||
        (rc = write_config(&x, d.tmp, e)) < 0 || (rc = write_generation(&x, d.tmp, e)) < 0 ||
        (x.tok && (rc = write_tokenizer(&x, d.tmp, e)) < 0)) {
        if (rc == ERR_DATA)
            rc = err_prefix(e, "%s", in);
        goto done;
    }
    snprintf(path, sizeof path, "%s/%s", d.tmp, WEIGHTS);
    if (stat(path, &st) == 0)
        done->bytes = (uint64_t)st.st_size;
    rc = outdir_commit(&d, e);
done:
    outdir_abort(&d);
    export_close(&x);
    return rc;
}
