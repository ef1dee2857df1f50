/* test_bpe - ids equal to Hugging Face's, round trips, and tables that lie */
#include "bpe.h"
#include "chat.h"
#include "mapfile.h"
#include "rng.h"
#include "tap.h"
#include <limits.h>
#include <string.h>

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

static void golden_ids(const char *dir, int llama)
{
    char path[PATH_MAX];
    struct err e = {0};
    struct bpe *b;
    snprintf(path, sizeof path, "%s/%s/tokenizer.json", dir, llama ? "llama3" : "qwen3");
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

static void built_in(const struct bpe *b)
{
    struct err e = {0};
    struct mapfile m;
    int32_t *ids;
    size_t n;
    if (mapfile_open(&m, shared("golden/ppl_text.txt"), &e)) {
        skip("no ppl_text.txt");
        return;
    }
    long k = bpe_encode(b, (const char *)m.p, m.n, 0, &ids, &e);
    ok(k == 58112, "ppl_text.txt: 58112 tokens, found %ld", k);
    char *s = bpe_decode(b, ids, (size_t)k, 0, &n);
    ok(s && n == m.n && memcmp(s, m.p, n) == 0, "and back");
    free(s);
    free(ids);
    mapfile_close(&m);
}

int main(void)
{
    struct err e = {0};
    struct bpe *b;
    const char *dir = getenv("APR_TOKENIZERS");
    if (dir) {
        golden_ids(dir, 0);
        golden_ids(dir, 1);
    } else
        skip("APR_TOKENIZERS names no folder with qwen3/ and llama3/");
    if (bpe_load_json(&b, shared("models/tiny-coder-29m/hf/tokenizer.json"), &e) == 0) {
        built_in(b);
        bpe_free(b);
    } else
        skip("%s", e.msg);
    return done_testing();
}
