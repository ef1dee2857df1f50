/* test_quant - mixes by llama.cpp's rules and bytes; conversion on threads; what is refused
 *
 * With the shared models present, every tensor of the two GGUF files that llama.cpp made of the
 * built-in model is compared byte by byte with our conversion of the SafeTensors it came from. */
#include "blocks.h"
#include "gguf.h"
#include "quant.h"
#include "safetensors.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static struct tensor tensor(const char *name, int type, uint64_t rows, uint64_t cols,
                            const void *data)
{
    struct tensor t = {.type = type, .ndim = rows ? 2 : 1, .data = data};
    snprintf(t.name, sizeof t.name, "%s", name);
    t.dim[0] = rows ? rows : cols;
    t.dim[1] = rows ? cols : 0;
    t.bytes = tensor_bytes(type, t.ndim, t.dim);
    return t;
}

/* type of one tensor in a model of n_layer layers, with or without a head of its own */
static int planned(const char *mix, const char *name, uint64_t rows, uint64_t cols, int n_layer,
                   int untied)
{
    struct tensor t[3];
    char last[64];
    int type[3], n = 0;
    struct err e = {0};
    snprintf(last, sizeof last, "model.layers.%d.input_layernorm.weight", n_layer - 1);
    t[n++] = tensor(last, KN_BF16, 0, cols, NULL);
    t[n++] = tensor(name, KN_BF16, rows, cols, NULL);
    if (untied)
        t[n++] = tensor("lm_head.weight", KN_BF16, 512, cols, NULL);
    return quant_plan(quant_mix(mix), t, n, type, &e) == 0 ? type[1] : e.code;
}

static void test_rules(void)
{
    static const char v[] = "model.layers.%d.self_attn.v_proj.weight",
                      down[] = "model.layers.%d.mlp.down_proj.weight";
    char six[64] = "", five[64] = "", name[64];
    for (int l = 0; l < 24; l++) { /* formats.md 1.4: more(i, 24) */
        snprintf(name, sizeof name, v, l);
        int a = planned("q4_k_m", name, 256, 256, 24, 1);
        snprintf(name, sizeof name, down, l);
        int b = planned("q4_k_m", name, 256, 256, 24, 1),
            c = planned("q5_k_m", name, 256, 256, 24, 0);
        int d = planned("q4_k_s", name, 256, 256, 24, 0);
        six[l] = a == KN_Q6_K && b == KN_Q6_K && c == KN_Q6_K   ? '6'
                 : a == KN_Q4_K && b == KN_Q4_K && c == KN_Q5_K ? '.'
                                                                : '?';
        five[l] = d == KN_Q5_K ? '5' : d == KN_Q4_K ? '.' : '?';
    }
    ok(strcmp(six, "666..6..6..6..6..6..6666") == 0, "layers with more bits: %s", six);
    ok(strcmp(five, "555.....................") == 0, "q4_k_s, down_proj: %s", five);
    ok(planned("q4_k_s", "model.layers.3.self_attn.v_proj.weight", 256, 256, 24, 0) == KN_Q5_K &&
           planned("q4_k_s", "model.layers.4.self_attn.v_proj.weight", 256, 256, 24, 0) == KN_Q4_K,
       "q4_k_s, v_proj");
    const char *embed = "model.embed_tokens.weight", *head = "lm_head.weight";
    ok(planned("q4_k_m", embed, 512, 256, 2, 0) == KN_Q6_K &&
           planned("q4_k_m", embed, 512, 256, 2, 1) == KN_Q4_K &&
           planned("q4_0", head, 512, 256, 2, 1) == KN_Q6_K &&
           planned("q8_0", head, 512, 256, 2, 1) == KN_Q8_0,
       "the head, tied or not");
    const char *gate = "model.layers.0.mlp.gate_proj.weight";
    ok(planned("q4_k_m", gate, 64, 896, 2, 0) == KN_Q5_0 &&
           planned("q5_k_m", gate, 64, 896, 2, 0) == KN_Q5_1 &&
           planned("q6_k", gate, 64, 896, 2, 0) == KN_Q8_0 &&
           planned("q4_0", embed, 64, 896, 2, 0) == KN_Q8_0 &&
           planned("q8_0", gate, 64, 40, 2, 0) == KN_F16 &&
           planned("q4_k_m", gate, 64, 40, 2, 0) == KN_F16,
       "rows that are no multiple of the block");
    ok(planned("q4_k_m", "model.norm.weight", 0, 256, 2, 0) == KN_F32 &&
           planned("f16", "model.layers.0.self_attn.q_proj.bias", 0, 256, 2, 0) == KN_F32 &&
           planned("q8_0", "model.layers.0.mlp.gate.weight", 8, 256, 2, 0) == KN_F32 &&
           planned("bf16", gate, 8, 256, 2, 0) == KN_BF16 &&
           planned("f32", gate, 8, 40, 2, 0) == KN_F32,
       "what stays exact; plain types");
    ok(!quant_mix("q4_k") && !quant_mix("") && quant_mix("q5_1")->base == KN_Q5_1,
       "names of mixes");
    struct tensor odd[2] = {tensor("tokenizer.tables", TENSOR_U8, 0, 100, NULL),
                            tensor("model.embed_tokens.weight", 16, 1, 256, NULL)};
    int type[2];
    struct err e = {0};
    ok(quant_plan(quant_mix("q8_0"), odd, 1, type, &e) == 0 && type[0] == TENSOR_U8, "tables stay");
    ok(quant_plan(quant_mix("q8_0"), odd, 2, type, &e) == ERR_DATA && strstr(e.msg, "IQ2_XXS"),
       "a type that cannot be read: %s", e.msg);
    ok(quant_loses_twice(KN_Q8_0, KN_Q4_K) && quant_loses_twice(KN_Q8_0, KN_F16) &&
           !quant_loses_twice(KN_Q8_0, KN_Q8_0) && !quant_loses_twice(KN_Q8_0, KN_F32) &&
           !quant_loses_twice(KN_BF16, KN_Q4_0),
       "rounding twice");
}

static void test_convert(void)
{
    enum { R = 300, C = 512 };
    float *x = malloc(R * C * sizeof *x);
    char *a = malloc(R * C * 4), *b = malloc(R * C * 4);
    for (int i = 0; i < R * C; i++)
        x[i] = sinf((float)i * 0.37f) * cosf((float)i * 0.0011f);
    struct tensor t = tensor("w.weight", KN_F32, R, C, x), q;
    struct err e = {0};
    static const int types[] = {KN_F32, KN_F16, KN_BF16, KN_Q4_1, KN_Q8_0, KN_Q4_K, KN_Q6_K};
    int bad = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t bytes = tensor_bytes(types[i], 2, t.dim);
        bad += quant_convert(&t, types[i], a, 1, &e) || quant_convert(&t, types[i], b, 3, &e);
        bad += memcmp(a, b, bytes) != 0;
        kn_quantize(types[i], x, b, R * C);
        bad += memcmp(a, b, bytes) != 0;
        q = tensor("w.weight", types[i], R, C, a); /* and on: to itself, to f32 */
        bad += quant_convert(&q, types[i], b, 2, &e) || memcmp(a, b, bytes) != 0;
        bad += quant_convert(&q, KN_F32, b, 2, &e) != 0;
    }
    ok(bad == 0, "one thread, three threads and kn_quantize agree; types to themselves and to F32");
    /* the lowest index is named, whichever thread comes first */
    x[299 * C + 1] = INFINITY;
    x[250 * C + 7] = NAN;
    x[140 * C] = 70000;
    ok(quant_convert(&t, KN_Q4_K, a, 3, &e) == ERR_DATA &&
           strstr(e.msg, "tensor w.weight: element 71680 (row 140, column 0) is 70000"),
       "beyond f16: %s", e.msg);
    e = (struct err){0};
    ok(quant_convert(&t, KN_BF16, a, 3, &e) == ERR_DATA &&
           strstr(e.msg, "element 128007 (row 250, column 7) is NaN"),
       "NaN: %s", e.msg);
    e = (struct err){0};
    x[250 * C + 7] = 0;
    ok(quant_convert(&t, KN_F32, a, 3, &e) == ERR_DATA &&
           strstr(e.msg, "row 299, column 1) is infinite"),
       "infinity, type kept: %s", e.msg);
    e = (struct err){0};
    t.dim[0] = R + 1;
    ok(quant_convert(&t, KN_F32, a, 1, &e) == ERR_DATA, "size and shape disagree: %s", e.msg);
    free(x);
    free(a);
    free(b);
}

/* model.layers.3.self_attn.q_proj.weight -> blk.3.attn_q.weight */
static void gguf_name(const char *hf, char *out, size_t size)
{
    static const char *const part[][2] = {
        {"self_attn.q_proj", "attn_q"},   {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"},
        {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
        {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},    {"model.embed_tokens", "token_embd"},
        {"model.norm", "output_norm"},    {"lm_head", "output"}};
    int layer, used = 0;
    const char *rest = hf;
    if (sscanf(hf, "model.layers.%d.%n", &layer, &used) == 1 && used)
        rest += used;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        size_t n = strlen(part[i][0]);
        if (strncmp(rest, part[i][0], n) == 0 && rest[n] == '.') {
            if (used)
                snprintf(out, size, "blk.%d.%s%s", layer, part[i][1], rest + n);
            else
                snprintf(out, size, "%s%s", part[i][1], rest + n);
            return;
        }
    }
    snprintf(out, size, "?");
}

static void compare(const char *folder, const char *file, const char *mix)
{
    char path[600], name[300];
    struct safetensors s = {0};
    struct gguf g = {0};
    struct err e = {0};
    snprintf(path, sizeof path, "%s/hf", folder);
    int opened = safetensors_open(&s, path, &e);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (opened < 0 || gguf_open(&g, path, &e) < 0) {
        skip("%s", e.msg);
        safetensors_close(&s);
        return;
    }
    int *type = calloc((size_t)s.n_tensor, sizeof *type), matched = 0, wrong_type = 0;
    size_t bytes = 0, theirs = 0, differ = 0;
    ok(quant_plan(quant_mix(mix), s.tensor, s.n_tensor, type, &e) == 0, "%s: plan %s", file, e.msg);
    for (int i = 0; i < s.n_tensor; i++) {
        gguf_name(s.tensor[i].name, name, sizeof name);
        const struct tensor *t = gguf_tensor(&g, name);
        size_t n = tensor_bytes(type[i], s.tensor[i].ndim, s.tensor[i].dim), d = 0;
        bytes += n;
        theirs += t ? t->bytes : 0;
        if (!t || t->type != type[i]) {
            printf("# %s: %s here, %s there\n", s.tensor[i].name, tensor_type_name(type[i]),
                   t ? tensor_type_name(t->type) : "absent");
            wrong_type++;
            continue;
        }
        uint8_t *q = malloc(n);
        if (quant_convert(&s.tensor[i], type[i], q, 2, &e) == 0)
            for (size_t k = 0; k < n; k++)
                d += q[k] != ((const uint8_t *)t->data)[k];
        else
            d = n;
        if (d)
            printf("# %s %s: %zu of %zu bytes differ\n", tensor_type_name(type[i]), t->name, d, n);
        differ += d;
        matched++;
        free(q);
    }
    ok(wrong_type == 0 && matched == g.n_tensor, "%s: types of all %d tensors", file, matched);
    ok(bytes == theirs, "%s: %zu tensor bytes", file, bytes);
    ok(differ == 0, "%s: %zu of %zu bytes differ", file, differ, bytes);
    free(type);
    gguf_close(&g);
    safetensors_close(&s);
}

int main(void)
{
    const char *shared = getenv("APR_SHARED");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/models/tiny-coder-29m", shared ? shared : TOP "/../shared");
    test_rules();
    test_convert();
    compare(folder, "tiny-coder-29m-Q8_0.gguf", "q8_0");
    compare(folder, "tiny-coder-29m-Q4_K_M.gguf", "q4_k_m");
    return done_testing();
}
