/* test_bpe_many - many texts, or parts of one, by any number of threads: the ids of bpe_encode */
#include "bpe.h"
#include "mapfile.h"
#include "rng.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

static const char *const bits[] = {
    "def f(x):\n",  "\n",         "\n\n",     "\r\n",  "    return x\n", "\n'shell",    "\n\u0301e",
    "<|im_start|>", "<|im_end|>", "\n<|im_",  "end|>", "\n  \n",         "na\u00efve ", "e\u0301",
    "\u65e5\u672c", "\n\u3000x",  "123\n456", "''\n'", "\t\n#",          " ",           "fibonacci",
};

static char *random_text(struct rng *g, size_t n, size_t *len)
{
    char *s = malloc(n + 64);
    size_t k = 0;
    while (k < n) {
        const char *t = bits[rng_below(g, sizeof bits / sizeof *bits)];
        memcpy(s + k, t, strlen(t));
        k += strlen(t);
    }
    *len = k;
    return s;
}

enum { TEXTS = 24 };

static int same(const struct bpe *b, const struct bpe_text *t, int flags)
{
    struct err e = {0};
    int32_t *ids;
    long n = bpe_encode(b, t->s, t->n, flags, &ids, &e);
    int yes = n == t->n_ids && memcmp(ids, t->ids, (size_t)n * sizeof *ids) == 0;
    free(ids);
    return yes;
}

static void equal(const struct bpe *b, const char *name)
{
    static const size_t long_one[] = {0, 1, 100, 524287, 524288, 700000, 1500000};
    struct rng g = {.key = 3};
    struct err e = {0};
    struct bpe_text t[TEXTS];
    size_t bad;
    for (int i = 0; i < TEXTS; i++)
        t[i].s = random_text(&g, i < 7 ? long_one[i] : rng_below(&g, 3000), &t[i].n);
    for (int threads = 0; threads <= 8; threads = threads * 2 + 1) {
        int good = 0, flags = threads & 3;
        if (bpe_encode_many(b, t, TEXTS, flags, threads, &bad, &e)) {
            ok(0, "%s", e.msg);
            break;
        }
        for (int i = 0; i < TEXTS; i++) {
            good += same(b, &t[i], flags);
            free(t[i].ids);
        }
        ok(good == TEXTS, "%s, %d threads: %d of %d texts as alone", name, threads, good, TEXTS);
    }
    ok(bpe_encode_many(b, t, 0, 0, 2, &bad, &e) == 0, "no texts");
    for (int i = 0; i < TEXTS; i++)
        free((char *)t[i].s);
}

static void failures(const struct bpe *b)
{
    struct rng g = {.key = 5};
    struct err e = {0}, alone = {0};
    struct bpe_text t[4];
    size_t bad;
    int32_t *ids;
    for (int i = 0; i < 4; i++)
        t[i].s = random_text(&g, i == 2 ? 2000000 : 1000, &t[i].n);
    ((char *)t[2].s)[1700000] = (char)0xFF;
    ((char *)t[2].s)[1900000] = (char)0xFF;
    ((char *)t[3].s)[5] = (char)0xFF;
    int rc = bpe_encode_many(b, t, 4, 0, 3, &bad, &e);
    ok(rc == ERR_DATA && bad == 2 && !t[0].ids && !t[1].ids, "the first failure, no ids left");
    bpe_encode(b, t[2].s, t[2].n, 0, &ids, &alone);
    ok(strcmp(e.msg, alone.msg) == 0, "as alone: %s", e.msg);
    for (int i = 0; i < 4; i++)
        free((char *)t[i].s);
}

/* Added tokens that reach over line ends: the text is one part. */
static void across(const char *json)
{
    static const char from[] = "\"lstrip\":false", to[] = "\"lstrip\":true ";
    char path[] = "/tmp/test_bpe_many.XXXXXX";
    struct err e = {0};
    struct mapfile m;
    struct bpe *b;
    if (mapfile_open(&m, json, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    char *s = malloc(m.n), *at;
    memcpy(s, m.p, m.n);
    for (size_t i = 0; (at = memmem(s + i, m.n - i, from, strlen(from)));
         i = (size_t)(at - s) + strlen(to))
        memcpy(at, to, strlen(to));
    int fd = mkstemp(path);
    ok(write(fd, s, m.n) == (ssize_t)m.n && bpe_load_json(&b, path, &e) == 0,
       "tokens that take the spaces before them %s", e.msg);
    close(fd);
    unlink(path);
    free(s);
    mapfile_close(&m);
    if (!e.code) {
        equal(b, "they");
        bpe_free(b);
    }
}

int main(void)
{
    struct err e = {0};
    struct bpe *b;
    const char *qwen = TOP "/tests/vectors/tokenizer/qwen3.json";
    if (bpe_load_json(&b, qwen, &e) == 0) {
        equal(b, "Qwen3");
        failures(b);
        bpe_free(b);
    } else
        ok(0, "%s", e.msg);
    if (bpe_load_json(&b, TOP "/tests/vectors/tokenizer/llama3.json", &e) == 0) {
        equal(b, "Llama-3.1");
        bpe_free(b);
    } else
        ok(0, "%s", e.msg);
    across(qwen);
    return done_testing();
}
