/* test_bpe_tables - damaged tokenizer.json and tables: refused, or still telling the truth */
#include "bpe.h"
#include "mapfile.h"
#include "rng.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

static const char text[] =
    "def f(n):\n    if n <= 1:\n        return n\nI'm na\u00efve 1234567 <|im_end|>";

/* Whatever was loaded must take any text and give it back. */
static int truthful(struct bpe *b)
{
    struct err e = {0};
    int32_t *ids;
    size_t n;
    long k = bpe_encode(b, text, sizeof text - 1, BPE_SPECIAL | BPE_BOS, &ids, &e);
    long from = k > 0 && ids[0] == bpe_bos(b);
    char *s = k < 0 ? NULL : bpe_decode(b, ids + from, (size_t)(k - from), 0, &n);
    int yes = s && n == sizeof text - 1 && memcmp(s, text, n) == 0;
    free(s);
    free(ids);
    bpe_free(b);
    return yes;
}

static char path[] = "/tmp/test_bpe.XXXXXX";

static int try_json(const char *s, size_t n, struct err *e)
{
    struct bpe *b = NULL;
    FILE *f = fopen(path, "wb");
    fwrite(s, 1, n, f);
    fclose(f);
    e->code = 0;
    e->msg[0] = 0;
    if (bpe_load_json(&b, path, e))
        return e->code && !b ? 0 : -1;
    return truthful(b) ? 1 : -1;
}

/* tokenizer.json with `from` replaced by `to` */
static void refused(const struct mapfile *m, const char *from, const char *to, const char *why)
{
    struct err e;
    const char *s = (const char *)m->p, *at = memmem(s, m->n, from, strlen(from));
    char *t = malloc(m->n + strlen(to) + 1);
    if (!at) {
        ok(0, "no %s in the file", from);
        return;
    }
    size_t a = (size_t)(at - s), n = 0;
    memcpy(t, s, n = a);
    memcpy(t + n, to, strlen(to));
    n += strlen(to);
    memcpy(t + n, at + strlen(from), m->n - a - strlen(from));
    n += m->n - a - strlen(from);
    ok(try_json(t, n, &e) == 0 && strstr(e.msg, why), "refused: %s",
       strchr(e.msg, ':') ? strchr(e.msg, ':') + 2 : "");
    free(t);
}

static void json(const struct mapfile *m)
{
    struct err e;
    struct rng g = {.key = 1};
    char *t = malloc(m->n + 1);
    int bad = 0, loaded = 0;
    for (int i = 0; i < 600; i++) {
        memcpy(t, m->p, m->n);
        size_t n = m->n;
        if (i % 3 == 0)
            n = rng_below(&g, m->n);
        else
            for (uint64_t k = rng_below(&g, 3) + 1; k; k--)
                t[rng_below(&g, n)] =
                    i % 3 == 1 ? (char)rng_below(&g, 256) : "[]{},:\"\\0"[rng_below(&g, 9)];
        int r = try_json(t, n, &e);
        bad += r < 0;
        loaded += r > 0;
    }
    ok(bad == 0, "600 damaged tokenizer.json: %d loaded, none lies", loaded);
    free(t);
    refused(m, "\"NFC\"", "\"NFKC\"", "normalizer NFKC");
    refused(m, "\"type\":\"Split\"", "\"type\":\"Punctuation\"", "pre-tokenizer Punctuation");
    refused(m, "\\\\p{N}|", "\\\\p{N}+|", "pattern");
    refused(m, "\"Isolated\"", "\"Removed\"", "Isolated");
    refused(m, "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space");
    refused(m, "\"type\":\"BPE\"", "\"type\":\"Unigram\"", "Unigram");
    refused(m, "\"byte_fallback\":false", "\"byte_fallback\":true", "byte_fallback");
    refused(m, "\"dropout\":null", "\"dropout\":0.1", "dropout");
    refused(m, "\"end_of_word_suffix\":\"\"", "\"end_of_word_suffix\":\"</w>\"",
            "end_of_word_suffix");
    refused(m, "\"single_word\":false", "\"single_word\":true", "single_word");
    refused(m, "\"merges\":[", "\"nothing\":[", "no merges");
    refused(m, "\"model\":{", "\"model\":{\"vocab\":{},", "two of \"vocab\"");
    refused(m, "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"",
            "decoder WordPiece");
    refused(m, "\"merges\":[", "\"merges\":[[\"a\",\"zz\"],", "not in the vocabulary");
    refused(m, "\"merges\":[", "\"merges\":[\"a b c\",", "two parts");
    refused(m, "\"vocab\":{", "\"vocab\":{\"a b\":-1,", "token id");
    refused(m, "\"vocab\":{", "\"vocab\":{\"zz\":99999999,", "99999999");
    refused(m, "\"vocab\":{\"0\":15,", "\"vocab\":{", "byte 0x30");
    refused(m, "\"vocab\":{\"0\":15,", "\"vocab\":{\"0\":15,\"zz\":15,", "id 15");
    refused(m, "\"vocab\":{\"0\":15,", "\"vocab\":{\"0\":15,\"0\":200000,", "repeats");
    refused(m, "\"vocab\":{\"0\":15,", "\"vocab\":{\"0\":15,\"\\ud800\":200000,", "surrogate");
}

static void tables(const char *json_path)
{
    struct err e = {0};
    struct bpe *b, *c;
    struct rng g = {.key = 2};
    void *p;
    size_t n;
    int bad = 0, loaded = 0;
    if (bpe_load_json(&b, json_path, &e) || bpe_save_tables(b, &p, &n, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    bpe_free(b);
    char *t = malloc(n);
    ok(bpe_load_tables(&c, p, n, "t", &e) == 0 && truthful(c), "tables load, %zu bytes", n);
    for (int i = 0; i < 600; i++) {
        memcpy(t, p, n);
        size_t k = n;
        if (i % 4 == 0)
            k = rng_below(&g, i % 8 ? 100 : n);
        else if (i % 4 == 1) /* the head */
            t[rng_below(&g, 64)] ^= (char)(1u << rng_below(&g, 8));
        else /* the end: kinds, texts, merges; or anywhere in the offsets */
            t[i % 4 == 2 ? n - 1 - rng_below(&g, 20000) : rng_below(&g, n)] ^=
                (char)(1u << rng_below(&g, 8));
        e.code = 0;
        if (bpe_load_tables(&c, t, k, "t", &e) == 0) {
            loaded++;
            int32_t *ids;
            char *s;
            size_t m;
            long ni = bpe_encode(c, text, sizeof text - 1, 3, &ids, &e);
            s = ni < 0 ? NULL : bpe_decode(c, ids, (size_t)ni, 1, &m);
            bad += !s;
            free(s);
            free(ids);
            bpe_free(c);
        } else
            bad += c != NULL || !e.code;
    }
    ok(bad == 0, "600 damaged tables: %d loaded, none crashes", loaded);
    free(t);
    free(p);
}

int main(void)
{
    struct err e = {0};
    struct mapfile m;
    const char *qwen = TOP "/tests/vectors/tokenizer/qwen3.json";
    int fd = mkstemp(path);
    close(fd);
    if (mapfile_open(&m, qwen, &e)) {
        ok(0, "%s", e.msg);
        return done_testing();
    }
    json(&m);
    mapfile_close(&m);
    tables(qwen);
    unlink(path);
    return done_testing();
}
