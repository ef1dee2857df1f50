/* test_hparams - hyper-parameters from three sources, what is refused, and the RoPE table */
#include "blocks.h"
#include "hparams.h"
#include "mkgguf.h"
#include "tap.h"
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#define QWEN2                                                                                      \
    "\"model_type\":\"qwen2\",\"hidden_size\":896,\"num_hidden_layers\":24,\"num_attention_"       \
    "heads\":14,"                                                                                  \
    "\"num_key_value_heads\":2,\"intermediate_size\":4864,\"vocab_size\":151936,"                  \
    "\"max_position_embeddings\":32768,\"rms_norm_eps\":1e-6,\"hidden_act\":\"silu\","             \
    "\"tie_word_embeddings\":true,\"eos_token_id\":151645"
#define LLAMA                                                                                      \
    "\"model_type\":\"llama\",\"hidden_size\":256,\"num_hidden_layers\":2,\"num_attention_"        \
    "heads\":4,"                                                                                   \
    "\"num_key_value_heads\":2,\"head_dim\":64,\"intermediate_size\":512,\"vocab_size\":512,"      \
    "\"max_position_embeddings\":2048,\"rms_norm_eps\":1e-5,\"attention_bias\":false,\"mlp_"       \
    "bias\":false"
#define LLAMA3                                                                                     \
    "\"factor\":8.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"                             \
    "\"original_max_position_embeddings\":256"

#define SIZES                                                                                      \
    "\"hidden_size\":64,\"num_hidden_layers\":12,\"num_attention_heads\":4,"                       \
    "\"num_key_value_heads\":2,\"intermediate_size\":96,\"vocab_size\":256,"                       \
    "\"max_position_embeddings\":512"
#define MOE                                                                                        \
    "\"model_type\":\"qwen2_moe\"," SIZES ",\"num_experts\":8,\"num_experts_per_tok\":2,"          \
    "\"moe_intermediate_size\":32"
#define GEMMA "\"model_type\":\"gemma2\"," SIZES
#define PHI3  "\"model_type\":\"phi3\"," SIZES

static int from(struct hparams *h, const char *config, const char *generation, struct err *e)
{
    cJSON *c = cJSON_Parse(config), *g = generation ? cJSON_Parse(generation) : NULL;
    memset(e, 0, sizeof *e);
    int rc = c ? hparams_from_config(h, c, g, e) : 1;
    cJSON_Delete(c);
    cJSON_Delete(g);
    return rc;
}

static int refused(const char *config, const char *word)
{
    struct hparams h;
    struct err e;
    int rc = from(&h, config, NULL, &e);
    if (rc != ERR_DATA || !strstr(e.msg, word))
        printf("# rc %d: %s\n", rc, e.msg);
    return rc == ERR_DATA && strstr(e.msg, word);
}

static void configs(void)
{
    struct hparams h, g;
    struct err e;
    ok(from(&h,
            "{" QWEN2
            ",\"rope_theta\":1000000.0,\"sliding_window\":32768,\"use_sliding_window\":false}",
            "{\"eos_token_id\":[151645,151643]}", &e) == 0,
       "Qwen2.5, the older form: %s", e.msg);
    ok(h.n_embd == 896 && h.n_layer == 24 && h.head_dim == 64 && h.n_head_kv == 2 &&
           h.n_ff == 4864 && h.n_vocab == 151936 && h.n_ctx == 32768 && h.tied && h.qkv_bias &&
           !h.qk_norm && !h.rope_pairs && h.rope_theta == 1e6 && h.rms_eps == 1e-6,
       "its numbers");
    ok(h.n_stop == 2 && h.stop[0] == 151645 && h.stop[1] == 151643 && h.bos == -1,
       "stop ids of both files");
    ok(from(&g,
            "{" QWEN2 ",\"rope_parameters\":{\"rope_theta\":1000000.0,\"rope_type\":\"default\"},"
            "\"layer_types\":[\"full_attention\"]}",
            "{\"eos_token_id\":[151645,151643]}", &e) == 0 &&
           memcmp(&g, &h, sizeof h) == 0,
       "transformers 5 form gives the same: %s", e.msg);
    ok(from(&h,
            "{" LLAMA
            ",\"rope_parameters\":{\"rope_theta\":500000.0,\"rope_type\":\"llama3\"," LLAMA3 "}}",
            NULL, &e) == 0 &&
           h.rope_scaling == ROPE_LLAMA3 && h.rope_factor == 8 && h.rope_orig_ctx == 256 &&
           h.rope_theta == 5e5 && !h.qkv_bias && !h.tied,
       "llama-3 scaling: %s", e.msg);
    ok(from(&g,
            "{" LLAMA ",\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}}",
            NULL, &e) == 0 &&
           memcmp(&g, &h, sizeof h) == 0,
       "the older form");
    cJSON *m = cJSON_CreateObject();
    h.rope_pairs = 1;
    hparams_add_stop(&h, 7);
    hparams_add_stop(&h, 7);
    ok(h.n_stop == 1 && hparams_to_meta(&h, m, &e) == 0 && hparams_from_meta(&g, m, &e) == 0 &&
           memcmp(&g, &h, sizeof h) == 0,
       "through .apr metadata and back: %s", e.msg);
    ok(json_get_int(m, "rope_type", -1, &e) == 0 && json_get_int(m, "num_layers", 0, &e) == 2 &&
           !cJSON_GetObjectItem(m, "n_layer") && !cJSON_GetObjectItem(m, "num_hidden_layers"),
       "aprender's spellings, no alias beside them");
    cJSON_Delete(m);
    m = cJSON_Parse(
        "{\"architecture\":\"qwen2\",\"hidden_size\":64,\"num_hidden_layers\":1,\"num_attention_"
        "heads\":4,"
        "\"num_kv_heads\":null,\"num_key_value_heads\":2,\"intermediate_size\":8,\"vocab_size\":9,"
        "\"context_length\":10}");
    ok(hparams_from_meta(&h, m, &e) == 0 && h.n_layer == 1 && h.n_head_kv == 2 && h.qkv_bias &&
           h.rope_pairs == 0,
       "a file of aprender's with aliases: %s", e.msg);
    cJSON_Delete(m);
    ok(from(&h,
            "{\"model_type\":\"qwen3\",\"hidden_size\":2560,\"num_hidden_layers\":36,\"num_"
            "attention_heads\":32,"
            "\"num_key_value_heads\":8,\"intermediate_size\":9728,\"vocab_size\":151936,"
            "\"max_position_embeddings\":40960,\"rope_theta\":1000000}",
            NULL, &e) == 0 &&
           h.head_dim == 128 && h.qk_norm && !h.qkv_bias,
       "Qwen3: head_dim is 128, not hidden/heads: %s", e.msg);
}

/* Windows: which layers have one. */
static void windows(void)
{
    struct hparams h;
    struct err e;
    ok(from(&h,
            "{" QWEN2
            ",\"use_sliding_window\":true,\"sliding_window\":4096,\"max_window_layers\":21}",
            NULL, &e) == 0 &&
           !hparams_window(&h, 20) && hparams_window(&h, 21) == 4096,
       "qwen2: from max_window_layers on: %s", e.msg);
    ok(from(&h, "{" GEMMA "}", NULL, &e) == 0 && hparams_window(&h, 0) == 4096 &&
           !hparams_window(&h, 1) && h.tied && h.head_dim == 256 && h.attn_cap == 50 &&
           h.final_cap == 30 && h.embd_scale == 8,
       "gemma2: every second layer, its defaults: %s", e.msg);
    ok(from(&h,
            "{\"model_type\":\"gemma3_text\"," SIZES ",\"sliding_window\":64,"
            "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":8}}",
            NULL, &e) == 0 &&
           hparams_window(&h, 4) == 64 && !hparams_window(&h, 5) && h.rope_theta == 1e6 &&
           h.rope_local_theta == 1e4 && h.rope_scaling == ROPE_LINEAR && h.attn_cap == 0,
       "gemma3: five of six, two bases: %s", e.msg);
    ok(from(&h, "{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":null}", NULL, &e) == 0 &&
           !h.window,
       "mistral: null is none: %s", e.msg);
    ok(from(
           &h,
           "{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":16,\"layer_types\":["
           "\"full_attention\",\"sliding_attention\",\"sliding_attention\",\"full_attention\","
           "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"full_attention\","
           "\"sliding_attention\",\"sliding_attention\",\"sliding_attention\",\"full_attention\"]}",
           NULL, &e) == 0 &&
           h.window_from == 1 && h.window_period == 4,
       "layer types as a beginning and a period: %s", e.msg);
    ok(from(&h, "{" LLAMA ",\"sliding_window\":16}", NULL, &e) == 0 && !h.window,
       "llama has none: %s", e.msg);
}

static void trainable(void)
{
    static const char *const no[][2] = {
        {"{" GEMMA "}", "soft-capping"},
        {"{" MOE ",\"shared_expert_intermediate_size\":8}", "experts"},
        {"{\"model_type\":\"starcoder2\"," SIZES "}", "bias"},
        {"{\"model_type\":\"granite\"," SIZES ",\"embedding_multiplier\":12}", "multipliers"},
        {"{\"model_type\":\"mistral\"," SIZES ",\"sliding_window\":16}", "sliding window"}};
    struct hparams h;
    struct err e;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        ok(from(&h, no[i][0], NULL, &e) == 0 && hparams_trainable(&h, 17, &e) == ERR_UNAVAILABLE &&
               strstr(e.msg, no[i][1]),
           "what training does not compute: %s", e.msg);
    ok(hparams_trainable(&h, 16, &e) == 0, "documents within the window are trained");
    ok(from(&h, "{" QWEN2 "}", NULL, &e) == 0 && hparams_trainable(&h, 4096, &e) == 0, "qwen2 is");
}

static void refusals(void)
{
    ok(refused("{\"model_type\":\"gemma3\"}", "gemma3"), "unknown architecture");
    ok(refused("{\"model_type\":\"gpt_neox\"}", "granite"), "its error names those that are known");
    ok(refused("{\"model_type\":\"qwen2\"}", "hidden_size: missing"), "a missing key");
    ok(refused("{" QWEN2 ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}}", "dynamic"),
       "dynamic RoPE scaling");
    ok(refused("{" QWEN2 ",\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":0.5}}",
               "beta_slow"),
       "YaRN whose ramp is upside down");
    ok(refused("{" QWEN2 ",\"rope_parameters\":{\"rope_type\":\"longrope\"}}", "longrope"),
       "longrope");
    ok(refused("{" QWEN2 ",\"rope_parameters\":{\"full_attention\":{}}}", "full_attention"),
       "RoPE a kind of layer");
    ok(refused(
           "{" QWEN2
           ",\"layer_types\":[\"full_attention\",\"sliding_attention\"],\"sliding_window\":4096}",
           "layer_types: 2 for 24"),
       "fewer layer types than layers");
    ok(refused("{" LLAMA ",\"layer_types\":[\"full_attention\",\"chunked_attention\"]}",
               "chunked_attention"),
       "another kind of layer");
    ok(refused("{" MOE ",\"mlp_only_layers\":[0]}", "mlp_only_layers"),
       "layers without experts among layers with them");
    ok(refused("{" MOE ",\"decoder_sparse_step\":2}", "decoder_sparse_step"), "the same as a step");
    ok(refused("{" MOE ",\"shared_expert_intermediate_size\":null}",
               "shared_expert_intermediate_size"),
       "a shared expert without a size");
    ok(refused("{" LLAMA ",\"num_experts\":8}", "num_experts"), "experts of llama");
    ok(refused("{" GEMMA ",\"attention_bias\":true}", "attention_bias"), "a bias of Gemma");
    ok(refused("{" GEMMA ",\"hidden_activation\":\"gelu\"}", "gelu"), "GELU by erf");
    ok(refused("{" GEMMA ",\"query_pre_attn_scalar\":-1}", "query_pre_attn_scalar"),
       "a scale that is no number");
    ok(refused("{" PHI3 ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1],"
               "\"long_factor\":[1,2,3]}}",
               "long_factor"),
       "factors of two lengths");
    ok(refused("{" PHI3 ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1],"
               "\"original_max_position_embeddings\":256,\"long_factor\":[1,2]}}",
               "longrope needs"),
       "factors for another number of pairs");
    ok(refused("{" LLAMA ",\"vision_config\":{}}", "vision_config"), "an image model");
    ok(refused("{" QWEN2 ",\"final_logit_softcapping\":30.0}", "final_logit_softcapping"),
       "soft-capping");
    ok(refused("{" QWEN2 ",\"quantization_config\":{\"bits\":4}}", "quantization_config"),
       "a quantized folder");
    ok(refused("{" LLAMA ",\"hidden_act\":\"gelu\"}", "gelu"), "another activation");
    ok(refused("{" LLAMA ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor"),
       "partial RoPE");
    ok(refused("{" LLAMA ",\"eos_token_id\":512}", "outside the vocabulary"), "a stop id outside");
    ok(refused("{" LLAMA ",\"eos_token_id\":\"</s>\"}", "eos_token_id"), "a stop id that is text");
    ok(refused("{" LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}",
               "low_freq_factor"),
       "llama-3 scaling without its numbers");
    struct hparams h = {.arch = "llama"};
    struct err e = {0};
    ok(hparams_check(&h, &e) == ERR_DATA, "an empty set: %s", e.msg);
}

/* Every key of every golden's config.json with values that it should not have: refused with ERR_DATA, or taken with
 * all that follows from it in range. */
static int survives(const cJSON *c)
{
    static float table[3 * 4096];
    struct hparams h, back;
    struct err e = {0};
    int rc = hparams_from_config(&h, c, NULL, &e);
    if (rc)
        return rc == ERR_DATA && e.msg[0];
    cJSON *meta = cJSON_CreateObject();
    hparams_rope_table(&h, 0, h.n_ctx, 0, 3, table);
    hparams_rope_table(&h, 1, 1, 0, 3, table);
    rc = hparams_to_meta(&h, meta, &e) == 0 && hparams_from_meta(&back, meta, &e) == 0 &&
         memcmp(&h, &back, sizeof h) == 0;
    cJSON_Delete(meta);
    return rc;
}

static int try_values(cJSON *whole, cJSON *in)
{
    static const char *const values[] = {"null",     "-1",     "0",  "1e300", "2147483648",
                                         "0.5",      "\"x\"",  "[]", "{}",    "true",
                                         "[1,null]", "1e-300", "3",  "7"};
    int bad = 0;
    for (int k = 0; k < cJSON_GetArraySize(in); k++) {
        cJSON *v = cJSON_GetArrayItem(in, k);
        char key[100];
        snprintf(key, sizeof key, "%s", v->string ? v->string : "");
        if (cJSON_IsObject(v))
            bad += try_values(whole, v);
        cJSON *keep = cJSON_Duplicate(v, 1);
        for (size_t i = 0; *key && i < sizeof values / sizeof *values; i++) {
            cJSON_ReplaceItemInObjectCaseSensitive(in, key, cJSON_Parse(values[i]));
            if (!survives(whole)) {
                printf("# %s: %s\n", key, values[i]);
                bad++;
            }
        }
        if (*key)
            cJSON_ReplaceItemInObjectCaseSensitive(in, key, keep);
        else
            cJSON_Delete(keep);
    }
    return bad;
}

static void hostile(void)
{
    struct dirent **list;
    int n = scandir(TOP "/tests/vectors/arch", &list, NULL, alphasort), tried = 0;
    for (int i = 0; i < n; i++) {
        char path[400];
        struct err e = {0};
        snprintf(path, sizeof path, TOP "/tests/vectors/arch/%s/config.json", list[i]->d_name);
        cJSON *c = list[i]->d_name[0] == '.' ? NULL : json_load(path, &e);
        if (c) {
            ok(survives(c) && try_values(c, c) == 0, "%s: any value of any key", list[i]->d_name);
            tried++;
        }
        cJSON_Delete(c);
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    ok(tried > 15, "%d configurations", tried);
}

static struct mk m;
static const char *id_key; /* has this id in place of the usual one */
static uint32_t id_value;
static void put_id(const char *key, uint32_t id)
{
    if (!id_key || strcmp(key, id_key))
        mk_kv_u32(&m, key, id);
}

static void gguf(const char *arch, int rope_freqs, const char *extra_key, const char *extra)
{
    char key[80];
    const char *const keys[] = {
        "block_count",          "embedding_length",        "feed_forward_length",
        "attention.head_count", "attention.head_count_kv", "context_length"};
    const uint32_t values[] = {2, 256, 512, 4, 2, 2048};
    mk_begin(&m, 3);
    mk_kv_str(&m, "general.architecture", arch);
    for (int i = 0; i < 6; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i]);
        mk_kv_u32(&m, key, values[i]);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    mk_kv_f32(&m, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    mk_kv_f32(&m, key, 500000);
    put_id("tokenizer.ggml.eos_token_id", 2);
    put_id("tokenizer.ggml.bos_token_id", 1);
    put_id("tokenizer.ggml.eot_token_id", 5);
    if (id_key)
        mk_kv_u32(&m, id_key, id_value);
    mk_kv_str(&m, "tokenizer.ggml.pre", "llama-bpe");
    if (extra_key)
        mk_kv_str(&m, extra_key, extra);
    mk_tensor(&m, "token_embd.weight", KN_F32, 512, 8);
    if (rope_freqs)
        mk_tensor(&m, "rope_freqs.weight", KN_F32, 0, 32);
    mk_end(&m);
    if (rope_freqs) { /* as convert_hf_to_gguf writes them */
        float d[32];
        for (int k = 0; k < 32; k++) {
            double wl = 2 * M_PI * pow(500000, 2.0 * k / 64), s = (256 / wl - 1) / 3;
            d[k] = (float)(wl < 64 ? 1 : wl > 256 ? 8 : 1 / ((1 - s) / 8 + s));
        }
        if (rope_freqs == 2)
            d[20] *= 1.5f;
        memcpy(m.b + m.n - m.data_n + m.t[1].off, d, sizeof d);
    }
}

/* Ids of special tokens: none, or one of the vocabulary of 512. */
static void gguf_special_ids(const char *path)
{
    static const struct {
        const char *key;
        uint32_t id;
        int good;
    } some[] = {{"bos", 511, 1}, {"bos", UINT32_MAX, 1}, {"bos", 512, 0},     {"bos", 1u << 31, 0},
                {"eos", 511, 1}, {"eos", UINT32_MAX, 1}, {"eos", 512, 0},     {"eom", 512, 0},
                {"eom", 511, 1}, {"padding", 511, 1},    {"padding", 512, 1}, {"bos", 70000, 0}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        struct gguf g;
        struct hparams h;
        struct err e = {0};
        char key[60];
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", some[i].key);
        id_key = key;
        id_value = some[i].id;
        gguf("llama", 0, NULL, NULL);
        id_key = NULL;
        mk_save(&m, path);
        if (gguf_open(&g, path, &e) < 0)
            abort();
        const int rc = hparams_from_gguf(&h, &g, &e);
        const int none = some[i].id > 511;
        ok(some[i].good ? rc == 0 && (some[i].key[0] != 'b' || h.bos == (none ? -1 : 511)) &&
                              (some[i].key[0] != 'p' || h.pad == (none ? -1 : 511))
                        : rc == ERR_DATA && strstr(e.msg, key) && strstr(e.msg, path) &&
                              strstr(e.msg, "outside the vocabulary of 512"),
           "%s %u: %s", some[i].key, some[i].id, e.msg);
        gguf_close(&g);
    }
}

static void ggufs(void)
{
    char path[] = "/tmp/test_hparams.XXXXXX";
    struct gguf g;
    struct hparams h;
    struct err e = {0};
    close(mkstemp(path));
    gguf("llama", 1, NULL, NULL);
    mk_save(&m, path);
    ok(gguf_open(&g, path, &e) == 0 && hparams_from_gguf(&h, &g, &e) == 0, "GGUF: %s", e.msg);
    ok(h.n_vocab == 512 && h.n_embd == 256 && h.head_dim == 64 && h.rope_pairs == 1 && h.tied &&
           !h.qkv_bias && h.rms_eps == 1e-5 && h.rope_theta == 5e5,
       "its numbers; f32 values as short decimals");
    ok(h.rope_scaling == ROPE_LLAMA3 && h.rope_factor == 8 && h.rope_low == 1 && h.rope_high == 4 &&
           h.rope_orig_ctx == 256,
       "rope_freqs.weight is recognised as llama-3 scaling");
    ok(h.n_stop == 2 && h.stop[0] == 2 && h.stop[1] == 5 && h.bos == 1 && h.add_bos, "ids");
    gguf_close(&g);
    gguf_special_ids(path);
    gguf("llama", 2, NULL, NULL);
    mk_save(&m, path);
    ok(gguf_open(&g, path, &e) == 0 && hparams_from_gguf(&h, &g, &e) == ERR_DATA &&
           strstr(e.msg, "rope_freqs"),
       "other divisors are refused: %s", e.msg);
    gguf_close(&g);
    memset(&e, 0, sizeof e);
    gguf("gptneox", 0, NULL, NULL);
    mk_save(&m, path);
    ok(gguf_open(&g, path, &e) == 0 && hparams_from_gguf(&h, &g, &e) == ERR_DATA &&
           strstr(e.msg, "gptneox") && strstr(e.msg, path),
       "unknown architecture: %s", e.msg);
    gguf_close(&g);
    memset(&e, 0, sizeof e);
    gguf("qwen2", 0, "qwen2.rope.scaling.type", "dynamic");
    mk_save(&m, path);
    ok(gguf_open(&g, path, &e) == 0 && hparams_from_gguf(&h, &g, &e) == ERR_DATA &&
           strstr(e.msg, "dynamic"),
       "an unknown RoPE scaling: %s", e.msg);
    gguf_close(&g);
    unlink(path);
}

static void rope(void)
{
    struct hparams h;
    struct err e;
    static float t[300 * 64];
    from(&h,
         "{" LLAMA ",\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3 "}}",
         NULL, &e);
    hparams_rope_table(&h, 0, h.n_ctx, 0, 300, t);
    double worst = 0;
    for (int pos = 0; pos < 300; pos++)
        for (int k = 0; k < 32; k++) { /* reference formula in double */
            double inv = pow(500000, -2.0 * k / 64), wl = 2 * M_PI / inv, s = (256 / wl - 1) / 3;
            inv = wl > 256 ? inv / 8 : wl < 64 ? inv : (1 - s) * inv / 8 + s * inv;
            worst = fmax(worst, fabs(cos(pos * inv) - (double)t[pos * 64 + k]));
            worst = fmax(worst, fabs(sin(pos * inv) - (double)t[pos * 64 + 32 + k]));
        }
    ok(worst < 1e-4, "llama-3 table against double: %.3g", worst);
    ok(t[0] == 1 && t[32] == 0 && fabsf(t[64] - 0.54030231f) < 1e-7f, "position 0 and 1 of pair 0");
}

int main(void)
{
    configs();
    windows();
    trainable();
    hostile();
    refusals();
    ggufs();
    rope();
    return done_testing();
}
