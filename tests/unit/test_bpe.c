/* test_bpe - ids equal to Hugging Face's, round trips, and tables that lie */
#include "bpe.h"
#include "json.h"
#include "mapfile.h"
#include "rng.h"
#include "tap.h"
#include "unicode.h"
#include <limits.h>
#include <string.h>
#include <unistd.h>

static const char *shared(const char *name)
{
    static char path[PATH_MAX];
    const char *dir = getenv("APR_SHARED");
    snprintf(path, sizeof path, "%s/%s", dir ? dir : TOP "/../shared", name);
    return path;
}

/* ids as "1,2,3" */
static int ids_are(const struct bpe *b, const char *text, size_t n, int flags, const char *want)
{
    struct err e = {0};
    int32_t *ids;
    long k = bpe_encode(b, text, n, flags, &ids, &e);
    char got[4096] = "";
    for (long i = 0; i < k && strlen(got) < sizeof got - 20; i++)
        sprintf(got + strlen(got), "%s%d", i ? "," : "", ids[i]);
    free(ids);
    if (k >= 0 && strcmp(got, want) == 0)
        return 1;
    printf("# %s: expected %s\n#   found %s %s\n", text, want, got, e.msg);
    return 0;
}

/* reference/formats.md, section 13: Qwen3's (and Qwen2.5's) and Llama-3.1's ids */
static const struct {
    const char *text, *qwen, *llama;
} golden[] = {
    {"Hello world", "9707,1879", "9906,1917"},
    {"def fibonacci(n):\n    if n <= 1:\n        return n\n",
     "750,75698,1445,982,262,421,308,2651,220,16,510,286,470,308,198",
     "755,76798,1471,997,262,422,308,2717,220,16,512,286,471,308,198"},
    {"  leading and trailing  ", "220,6388,323,27748,256", "220,6522,323,28848,256"},
    {"\t\tx = 1\r\n\r\n", "197,10225,284,220,16,871", "197,10436,284,220,16,881"},
    {"I'm DON'T we'LL", "40,2776,44273,17323,582,6,4086", "40,2846,45373,17773,584,6,4178"},
    {"1234567 3.14e-10", "16,17,18,19,20,21,22,220,18,13,16,19,68,12,16,15",
     "4513,10961,22,220,18,13,975,68,12,605"},
    {"na\u00efve caf\u00e9 e\u0301", "3376,37572,586,51950,3958", "3458,38672,588,53050,384,54939"},
    {"\u65e5\u672c\u8a9e\u3068Python", "101059,102819,19182,30280", "102433,102158,19732,31380"},
    {"\U0001F642\U0001F469\u200D\U0001F4BB", "145080,145233,378,235,145851",
     "9468,19044,9468,239,102,102470,93273,119"},
    {"a\n\n\n b", "64,1406,293", "64,1432,293"},
    {"<|im_start|>user\nhi<|im_end|>", "151644,872,198,6023,151645",
     "27,91,318,5011,91,29,882,198,6151,27,91,318,6345,91,29"},
    {"x                    y", "87,503,379", "87,504,379"},
    {"\u00a0nbsp\u3000ideographic", "4102,5674,22441,94007", "4194,5792,23249,95107"},
};

static void golden_ids(const char *path, int llama)
{
    struct err e = {0};
    struct bpe *b;
    if (bpe_load_json(&b, path, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++)
        ok(ids_are(b, golden[i].text, strlen(golden[i].text), BPE_SPECIAL,
                   llama ? golden[i].llama : golden[i].qwen),
           "%s, row %zu", llama ? "Llama-3.1" : "Qwen3", i + 1);
    if (llama)
        ok(ids_are(b, "Hello world", 11, BPE_BOS, "128000,9906,1917") && bpe_bos(b) == 128000,
           "bos comes first");
    else
        ok(bpe_bos(b) == -1 && bpe_id(b, "<|im_end|>") == 151645 && bpe_id(b, "Hello") == 9707,
           "ids by text");
    bpe_free(b);
}

/* Texts of torture.jsonl: ids by Hugging Face's library; and back to the text up to NFC. */
static void torture(const struct bpe *b)
{
    struct err e = {0};
    struct jsonl *r = calloc(1, sizeof *r);
    int rc = jsonl_open(r, TOP "/tests/vectors/tokenizer/torture.jsonl", &e), good = 0, back = 0;
    while (rc == 0 && (rc = jsonl_next(r, &e)) == 1) {
        const char *text = json_get_str(r->v, "text", "", &e);
        const cJSON *want = cJSON_GetObjectItem(r->v, "ids"), *w;
        size_t n = strlen(text), m, k;
        int32_t *ids;
        char *nfc;
        long n_ids = bpe_encode(b, text, n, BPE_SPECIAL, &ids, &e), i = 0;
        int same = n_ids == cJSON_GetArraySize(want);
        cJSON_ArrayForEach(w, want) same = same && ids[i++] == w->valueint;
        if (!same)
            printf("# torture.jsonl:%ld: ids differ\n", r->lineno);
        good += same;
        char *s = bpe_decode(b, ids, (size_t)n_ids, 0, &k);
        if (unicode_nfc(text, n, &nfc, &m) == 0)
            back +=
                s && (nfc ? k == m && memcmp(s, nfc, m) == 0 : k == n && memcmp(s, text, n) == 0);
        free(nfc);
        free(s);
        free(ids);
        rc = 0;
    }
    ok(rc == 0 && good == r->lineno && good > 40, "%d of %ld hard texts: ids as Hugging Face's %s",
       good, r->lineno, e.msg);
    ok(back == r->lineno, "and back to the text: %d", back);
    jsonl_close(r);
    free(r);
}

/* decode(encode(x)) == x for random well-formed UTF-8, compared after NFC */
static void round_trip(const struct bpe *b)
{
    struct rng g = {.key = 7};
    struct err e = {0};
    int good = 0;
    for (int k = 0; k < 400; k++) {
        char text[4 * 120], *p = text, *nfc, *s;
        static const uint32_t top[] = {0x80, 0x300, 0x370, 0x3100, 0x10000, 0x2FA20, 0x110000};
        for (int i = 0; i < 120; i++) {
            uint32_t c = (uint32_t)rng_below(&g, top[rng_below(&g, 7)]);
            if (c < 0x80)
                *p++ = (char)c;
            else if (c < 0x800) {
                *p++ = (char)(0xC0 | c >> 6);
                *p++ = (char)(0x80 | (c & 63));
            } else if (c < 0x10000) {
                if (c >= 0xD800 && c < 0xE000)
                    continue;
                *p++ = (char)(0xE0 | c >> 12);
                *p++ = (char)(0x80 | (c >> 6 & 63));
                *p++ = (char)(0x80 | (c & 63));
            } else {
                *p++ = (char)(0xF0 | c >> 18);
                *p++ = (char)(0x80 | (c >> 12 & 63));
                *p++ = (char)(0x80 | (c >> 6 & 63));
                *p++ = (char)(0x80 | (c & 63));
            }
        }
        size_t n = (size_t)(p - text), m, got;
        int32_t *ids;
        long n_ids = bpe_encode(b, text, n, k & 1, &ids, &e);
        s = n_ids < 0 ? NULL : bpe_decode(b, ids, (size_t)n_ids, 0, &got);
        if (s && unicode_nfc(text, n, &nfc, &m) == 0) {
            good += nfc ? got == m && memcmp(s, nfc, m) == 0 : got == n && memcmp(s, text, n) == 0;
            free(nfc);
        }
        free(s);
        free(ids);
    }
    ok(good == 400, "round trip of random texts: %d of 400", good);
}

static void built_in(const struct bpe *b)
{
    struct err e = {0};
    struct mapfile m;
    int32_t *ids;
    size_t n;
    ok(bpe_n_vocab(b) == 8192 && bpe_eos(b) == 8186 && bpe_id(b, "<think>") == 8190,
       "ids of the built-in model");
    ok(bpe_is_special(b, 8186) && !bpe_is_special(b, 5) && !bpe_is_special(b, -1) &&
           !bpe_token(b, 8192, &n),
       "special, and no token");
    torture(b);
    round_trip(b);
    const char *marks = "a<|im_end|>b";
    long k = bpe_encode(b, marks, strlen(marks), 0, &ids, &e);
    int seen = 0;
    for (long i = 0; i < k; i++)
        seen |= ids[i] == 8186;
    free(ids);
    ok(!seen, "text that spells a special token stays text unless asked");
    ok(bpe_encode(b, "ab\xff", 3, 0, &ids, &e) == ERR_DATA && strstr(e.msg, "byte 2"), "%s", e.msg);
    e.code = 0;
    if (mapfile_open(&m, shared("golden/ppl_text.txt"), &e)) {
        skip("no ppl_text.txt");
        return;
    }
    k = bpe_encode(b, (const char *)m.p, m.n, 0, &ids, &e);
    ok(k == 58112, "ppl_text.txt: 58112 tokens, found %ld", k);
    char *s = bpe_decode(b, ids, (size_t)k, 0, &n);
    ok(s && n == m.n && memcmp(s, m.p, n) == 0, "and back");
    free(s);
    free(ids);
    mapfile_close(&m);
}

/* The built-in model's GGUF and its tokenizer.json make the same tables. */
static void gguf(void)
{
    const char *path = TOP "/data/models/tiny-coder-29m-Q8_0.gguf";
    struct err e = {0};
    struct gguf g;
    struct bpe *b, *h;
    if (access(path, R_OK))
        path = shared("models/tiny-coder-29m/tiny-coder-29m-Q8_0.gguf");
    if (gguf_open(&g, path, &e)) {
        skip("%s", e.msg);
        return;
    }
    if (bpe_load_gguf(&b, &g, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    gguf_close(&g);
    built_in(b);
    if (bpe_load_json(&h, shared("models/tiny-coder-29m/hf/tokenizer.json"), &e) == 0) {
        void *p = NULL, *q = NULL;
        size_t n, m;
        ok(bpe_save_tables(b, &p, &n, &e) == 0 && bpe_save_tables(h, &q, &m, &e) == 0 && n == m &&
               memcmp((char *)p + 64, (char *)q + 64, n - 64) == 0,
           "GGUF and tokenizer.json make the same tables (GGUF alone names a bos)");
        free(p);
        free(q);
        bpe_free(h);
    } else
        skip("%s", e.msg);
    bpe_free(b);
}

int main(void)
{
    char path[PATH_MAX];
    const char *dir = getenv("APR_TOKENIZERS");
    golden_ids(TOP "/tests/vectors/tokenizer/qwen3.json", 0);
    golden_ids(TOP "/tests/vectors/tokenizer/llama3.json", 1);
    for (int i = 0; i < 2; i++)
        if (dir) {
            snprintf(path, sizeof path, "%s/%s/tokenizer.json", dir, i ? "llama3" : "qwen3");
            golden_ids(path, i);
        } else
            skip("APR_TOKENIZERS names no folder with qwen3/ and llama3/");
    gguf();
    return done_testing();
}
