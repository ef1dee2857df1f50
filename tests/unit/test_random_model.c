/* test_random_model - random weights: true sizes, sane values, equal bytes for equal seeds; the vocabulary */
#include "apr.h"
#include "blocks.h"
#include "bpe_synth.h"
#include "random_model.h"
#include "tap.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* Parameters and bytes of llama.cpp's own Q4_K_M files without metadata (reference/formats.md, 1.4) */
static void test_sizes(void)
{
    static const struct {
        const char *shape;
        uint64_t values, bytes;
    } known[] = {
        {"qwen2.5-0.5b", 494032768, 391859712},   {"qwen2.5-1.5b", 1543714304, 980097536},
        {"qwen2.5-3b", 3085938688, 1923946496},   {"qwen2.5-7b", 7615616512, 4677120000},
        {"qwen2.5-14b", 14770033664, 8982142976}, {"qwen2.5-32b", 32763876352, 19845357568},
        {"qwen3-0.6b", 596049920, 390753280},     {"qwen3-4b", 4022468096, 2491323904},
        {"qwen3-8b", 8190735360, 5021827072}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct random_model m;
        struct err e = {0};
        uint64_t values = 0;
        if (random_model_new(&m, known[i].shape, "q4_k_m", 0, &e) < 0) {
            ok(0, "%s: %s", known[i].shape, e.msg);
            continue;
        }
        for (int t = 0; t < m.n; t++)
            values += m.t[t].data ? 0 : tensor_count(&m.t[t]);
        ok(values == known[i].values && random_model_bytes(&m) == known[i].bytes,
           "%s: parameters and bytes of the true model", known[i].shape);
        random_model_free(&m);
    }
}

static struct tensor tensor(const char *name, int type, int ndim, uint64_t rows, uint64_t cols)
{
    struct tensor t = {.type = type, .ndim = ndim, .dim = {rows, ndim == 2 ? cols : 0}};
    snprintf(t.name, sizeof t.name, "%s", name);
    t.bytes = tensor_bytes(type, ndim, t.dim);
    return t;
}

static void test_values(void)
{
    static const int types[] = {KN_Q4_0, KN_Q4_1, KN_Q5_0, KN_Q5_1, KN_Q8_0, KN_Q4_K,
                                KN_Q5_K, KN_Q6_K, KN_F16,  KN_BF16, KN_F32};
    enum { R = 64, C = 1024 };
    float *x = malloc(R * C * sizeof *x);
    char *a = malloc(4 * R * C), *b = malloc(4 * R * C);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct tensor t = tensor("model.layers.0.mlp.up_proj.weight", types[i], 2, R, C);
        double sum = 0, squares = 0, most = 0;
        random_model_fill(&t, 7, a);
        random_model_fill(&t, 7, b);
        int same = memcmp(a, b, t.bytes) == 0;
        random_model_fill(&t, 8, b);
        int differ = memcmp(a, b, t.bytes) != 0;
        t.data = a;
        kn_dequantize(types[i], a, x, R * C);
        for (int k = 0; k < R * C; k++) {
            sum += x[k];
            squares += (double)x[k] * x[k];
            most = fabs(x[k]) > most ? fabs(x[k]) : most;
        }
        double mean = sum / (R * C), sd = sqrt(squares / (R * C));
        /* 1/32 wanted; the mean of 65,536 values strays by 1/256 of that, of blocks' minima a little more */
        ok(same && differ && tensor_not_finite(&t) < 0 && fabs(sd * 32 - 1) < 0.05 &&
               fabs(mean) < 0.0005 && most < 0.16,
           "%s: mean %.5f, deviation %.5f, largest %.3f", tensor_type_name(types[i]), mean, sd,
           most);
        int lowest = 0;
        for (size_t k = 0; types[i] == KN_Q8_0 && k < t.bytes; k += sizeof(struct kn_q8_0))
            for (int j = 2; j < 34; j++)
                lowest |= a[k + (size_t)j] == -128;
        ok(!lowest, "%s: no -128 where no quantizer writes one", tensor_type_name(types[i]));
    }
    struct tensor norm = tensor("model.norm.weight", KN_F32, 1, C, 0),
                  bias = tensor("model.layers.0.self_attn.q_proj.bias", KN_F32, 1, C, 0);
    float lo = 9, hi = -9, widest = 0;
    random_model_fill(&norm, 0, x);
    for (int i = 0; i < C; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    random_model_fill(&bias, 0, x);
    for (int i = 0; i < C; i++)
        widest = fabsf(x[i]) > widest ? fabsf(x[i]) : widest;
    ok(lo >= 0.9f && lo < 0.91f && hi <= 1.1f && hi > 1.09f, "norms: %.3f to %.3f", lo, hi);
    ok(widest <= 0.1f && widest > 0.09f, "biases: up to %.3f", widest);
    free(x);
    free(a);
    free(b);
}

static void test_vocabulary(void)
{
    struct bpe *b;
    struct err e = {0};
    int32_t *ids;
    size_t n;
    ok(bpe_synth(&b, 151665, &e) == 0 && bpe_n_vocab(b) == 151665, "as large as Qwen2.5's: %s",
       e.msg);
    long k = bpe_encode(b, "abcd zz\n<|im_end|>", 18, BPE_SPECIAL, &ids, &e);
    char *text = k > 0 ? bpe_decode(b, ids, (size_t)k, 0, &n) : NULL;
    ok(k == 5 && ids[4] == 151664 && ids[4] == bpe_eos(b) && text &&
           strcmp(text, "abcd zz\n<|im_end|>") == 0,
       "letters by fours and twos, the rest by bytes, and back: %ld tokens", k);
    ok(k == 5 && ids[0] == 256 + 676 + 1 * 676 + 2 * 26 + 3, "\"abcd\" is \"ab\" and \"cd\": %d",
       k > 0 ? ids[0] : -1);
    free(text);
    free(ids);
    bpe_free(b);
    ok(bpe_synth(&b, 259, &e) == ERR_USAGE && !b, "too small: %s", e.msg);
    e.code = 0;
    ok(bpe_synth(&b, 457912, &e) == ERR_USAGE, "too large: %s", e.msg);
    e.code = 0;
    ok(bpe_synth(&b, 457911, &e) == 0, "the largest");
    bpe_free(b);
}

static void test_file(void)
{
    struct random_model m;
    struct err e = {0};
    struct apr a;
    char path[] = "/tmp/test_random_model.XXXXXX", one[65], two[65];
    int fd = mkstemp(path);
    close(fd);
    ok(random_model_new(&m, "tiny-coder-29m", "q4_k_m", 3, &e) == 0 &&
           random_model_write(&m, path, one, NULL, NULL, &e) == 0 &&
           random_model_write(&m, path, two, NULL, NULL, &e) == 0 && strcmp(one, two) == 0,
       "written twice: equal bytes %s", e.msg);
    ok(apr_open(&a, path, &e) == 0 && apr_verify(&a, &e) == 0, "whole %s", e.msg);
    apr_close(&a);
    random_model_free(&m);
    unlink(path);
    ok(random_model_new(&m, "gpt-2", "q8_0", 0, &e) == ERR_USAGE && strstr(e.msg, "gpt-2"), "%s",
       e.msg);
    e.code = 0;
    ok(random_model_new(&m, "qwen2.5-0.5b", "q3", 0, &e) == ERR_USAGE && strstr(e.msg, "q3"), "%s",
       e.msg);
}

int main(void)
{
    test_sizes();
    test_values();
    test_vocabulary();
    test_file();
    return done_testing();
}
