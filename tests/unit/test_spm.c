/* test_spm - words of every family's pre-tokenizer, ids and decoded texts of SentencePiece tokenizers, as Hugging
 * Face's library recorded them; the same after tables, tokenizer.json and GGUF have been written and read */
#include "bpe.h"
#include "gguf_write.h"
#include "json.h"
#include "pretok.h"
#include "tap.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    uint32_t p;
} family[] = {
    {"qwen2", PRETOK_QWEN},
    {"llama3", PRETOK_LLAMA3},
    {"gpt2", PRETOK_GPT2},
    {"gpt4o", PRETOK_GPT4O},
    {"tekken", PRETOK_TEKKEN},
    {"deepseek3", PRETOK_DEEPSEEK3},
    {"starcoder", PRETOK_STARCODER},
    {"deepseek-llm", PRETOK_DEEPSEEK_LLM},
    {"deepseek-coder", PRETOK_DEEPSEEK_CODER},
};
static const char *const vocabulary[] = {"llama", "gemma", "first", "unigram", "unk"};
enum { N_FAMILY = 9, N_VOCAB = 5 };

static const char *str(const cJSON *v, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(v, key));
}

/* Whether the list holds n numbers, those of v; said if not. */
static int same(const cJSON *list, const int32_t *v, long n, const char *text)
{
    const cJSON *k;
    long i = 0;
    cJSON_ArrayForEach(k, list)
    {
        if (i >= n || k->valueint != v[i]) {
            printf("# %s: number %ld: expected %d, found %d\n", text, i, k->valueint,
                   i < n ? v[i] : -1);
            return 0;
        }
        i++;
    }
    return i == n;
}

/* max: words asked for at once */
static int words_are(uint32_t p, const char *text, const cJSON *want, size_t max)
{
    struct pretok_at at = {{0}};
    int32_t end[1024];
    size_t n = strlen(text), k = 0, got[64];
    for (size_t from = 0; from < n && k < 900;) {
        size_t m = pretok_words(p, (const uint8_t *)text + from, n - from, got, max, &at);
        for (size_t i = 0; i < m; i++)
            end[k++] = (int32_t)(from + got[i]);
        from += got[m - 1];
    }
    return same(want, end, (long)k, text);
}

static int ids_are(const struct bpe *b, const cJSON *v)
{
    struct err e = {0};
    const char *text = str(v, "text");
    int32_t *ids;
    size_t n;
    long k = bpe_encode(b, text, strlen(text), BPE_SPECIAL, &ids, &e);
    if (k < 0 || !same(cJSON_GetObjectItemCaseSensitive(v, "ids"), ids, k, text)) {
        printf("# %s\n", e.msg);
        free(ids);
        return 0;
    }
    char *back = bpe_decode(b, ids, (size_t)k, 0, &n);
    int good = back && strcmp(back, str(v, "decoded")) == 0;
    if (!good)
        printf("# decoded: expected \"%s\", found \"%s\"\n", str(v, "decoded"), back);
    free(back);
    free(ids);
    return good;
}

static char path[] = "/tmp/test_spm.XXXXXX";

/* The same tokenizer by way of tables, and of tokenizer.json. */
static struct bpe *by_tables(const struct bpe *b)
{
    struct err e = {0};
    struct bpe *c = NULL;
    void *p;
    size_t n;
    if (bpe_save_tables(b, &p, &n, &e) == 0)
        bpe_load_tables(&c, p, n, "tables", &e);
    free(p);
    return c;
}

static struct bpe *by_json(const struct bpe *b)
{
    struct err e = {0};
    struct bpe *c = NULL;
    size_t n;
    char *s = bpe_save_json(b, &n, &e);
    FILE *f = s ? fopen(path, "wb") : NULL;
    if (f) {
        fwrite(s, 1, n, f);
        fclose(f);
        bpe_load_json(&c, path, &e);
    }
    if (!c)
        printf("# %s\n", e.msg);
    free(s);
    return c;
}

static struct bpe *by_gguf(const struct bpe *b)
{
    struct err e = {0};
    struct gguf_out w = {0};
    struct gguf g;
    struct bpe *c = NULL;
    int loses = 0;
    if (bpe_save_gguf(b, bpe_n_vocab(b), &w, &loses, &e) == 0 &&
        gguf_write(path, &w, NULL, 0, NULL, NULL, NULL, &e) == 0 && gguf_open(&g, path, &e) == 0) {
        bpe_load_gguf(&c, &g, &e);
        gguf_close(&g);
    }
    gguf_out_free(&w);
    if (!c)
        printf("# %s\n", e.msg);
    return c;
}

static struct bpe *tokenizer[N_VOCAB][4]; /* from the file; by tables; by json; by gguf */
static const char *const way[] = {"file", "tables", "tokenizer.json", "GGUF"};

static void load(void)
{
    for (int i = 0; i < N_VOCAB; i++) {
        struct err e = {0};
        char file[256];
        snprintf(file, sizeof file, "%s/tests/vectors/tokenizer/spm-%s.json", TOP, vocabulary[i]);
        struct bpe *b = NULL, **t = tokenizer[i];
        bpe_load_json(&b, file, &e);
        ok(b != NULL, "%s is read %s", vocabulary[i], e.msg);
        if (!(t[0] = b))
            continue;
        t[1] = by_tables(b);
        t[2] = by_json(b);
        if (i < 2) /* GGUF says neither Metaspace nor unigrams */
            t[3] = by_gguf(b);
    }
}

/* The piece of a running text keeps its space; the text as a whole loses the first. */
static void pieces(void)
{
    const struct bpe *b = tokenizer[0][0];
    struct err e = {0};
    int32_t *ids;
    size_t n;
    if (!b)
        return;
    long k = bpe_encode(b, "the the\xC3\xBF", 9, 0, &ids, &e);
    const char *s = k > 0 ? bpe_token(b, ids[0], &n) : "";
    ok(k > 0 && n >= 2 && *s == ' ', "a token has a space for U+2581");
    s = bpe_token(b, 3 + 0xC3, &n);
    ok(n == 1 && (uint8_t)*s == 0xC3, "a byte token is its byte");
    free(ids);
}

int main(void)
{
    struct err e = {0};
    int bad[N_FAMILY] = {0}, bad_ids[N_VOCAB][4] = {{0}}, cases = 0;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    close(mkstemp(path));
    FILE *f = fopen(TOP "/tests/vectors/tokenizer/families.jsonl", "r");
    load();
    while (f && (n = getline(&line, &cap, f)) > 0) {
        cJSON *v = json_parse(line, (size_t)n, "families.jsonl", &e);
        const char *words = str(v, "words"), *spm = str(v, "spm");
        cases += v != NULL;
        for (int i = 0; words && i < N_FAMILY; i++)
            for (size_t max = 1; strcmp(words, family[i].name) == 0 && max <= 64; max += 63)
                bad[i] += !words_are(family[i].p, str(v, "text"),
                                     cJSON_GetObjectItemCaseSensitive(v, "ends"), max);
        for (int i = 0; spm && i < N_VOCAB; i++)
            for (int k = 0; strcmp(spm, vocabulary[i]) == 0 && k < 4; k++)
                bad_ids[i][k] += tokenizer[i][k] && !ids_are(tokenizer[i][k], v);
        cJSON_Delete(v);
    }
    ok(cases > 500, "%d cases %s", cases, e.msg);
    for (int i = 0; i < N_FAMILY; i++)
        ok(bad[i] == 0, "words of %s", family[i].name);
    for (int i = 0; i < N_VOCAB; i++)
        for (int k = 0; k < (i < 2 ? 4 : 3); k++)
            ok(tokenizer[i][k] && bad_ids[i][k] == 0, "ids and texts of %s, by way of %s",
               vocabulary[i], way[k]);
    pieces();
    for (int i = 0; i < N_VOCAB; i++)
        for (int k = 0; k < 4; k++)
            bpe_free(tokenizer[i][k]);
    if (f)
        fclose(f);
    free(line);
    unlink(path);
    return done_testing();
}
