/* test_bpe_words - the encoder against the split pattern read aloud and the slowest possible merging */
#include "bpe_impl.h"
#include "rng.h"
#include "tap.h"
#include "unicode.h"
#include <string.h>

/* ---- the pattern of pretok.c, alternative by alternative, on classes of characters ---- */

struct chars { /* class and first byte of each character, and a last one of class 0 */
    int cls[4096], byte[4096], n;
    size_t at[4097];
};

static void read_chars(struct chars *c, const char *s, size_t n)
{
    unsigned len;
    c->n = 0;
    for (size_t i = 0; i < n; i += len, c->n++) {
        c->cls[c->n] = (int)unicode_class((const uint8_t *)s + i, &len);
        c->byte[c->n] = (uint8_t)s[i] == 0xC5 && (uint8_t)s[i + 1] == 0xBF ? 's' : s[i];
        c->at[c->n] = i;
    }
    c->at[c->n] = n;
}

static int run(const struct chars *c, int i, int mask, int want)
{
    while (i < c->n && (c->cls[i] & mask) == want)
        i++;
    return i;
}

static int fold(const struct chars *c, int i)
{
    return i < c->n && c->byte[i] > 0 ? c->byte[i] | 0x20 : 0;
}

static int word(const struct chars *c, int i, int digits)
{
    int a = fold(c, i + 1), b = fold(c, i + 2), k, e;
    if (c->byte[i] == '\'' && i + 1 < c->n && c->cls[i + 1] == UNI_L) {
        if (a == 's' || a == 't' || a == 'm' || a == 'd')
            return i + 2;
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
            return i + 3;
    }
    k = i + (c->cls[i] == 0 || (c->cls[i] & (UNI_SPACE | UNI_NL)) == UNI_SPACE);
    if ((e = run(c, k, UNI_CLASS, UNI_L)) > k)
        return e;
    if (c->cls[i] == UNI_N) {
        e = run(c, i, UNI_CLASS, UNI_N);
        return e - i > digits ? i + digits : e;
    }
    k = i + (c->byte[i] == ' ');
    if ((e = run(c, k, UNI_CLASS, 0)) > k)
        return run(c, e, UNI_NL, UNI_NL);
    e = run(c, i, UNI_SPACE, UNI_SPACE);
    for (k = e; k > i; k--)
        if (c->cls[k - 1] & UNI_NL)
            return k;
    return e == c->n || e == i + 1 ? e : e - 1;
}

/* ---- merging: the lowest rank, then the leftmost, by reading all merges ---- */

static int merge(const struct bpe *b, const char *s, size_t n, int32_t *id)
{
    int k = (int)n;
    if (b->head->flags & BPE_F_IGNORE_MERGES)
        for (uint32_t i = 0; i < b->head->n_id; i++) {
            size_t m;
            const char *t = bpe_text(b, i, &m);
            if ((b->kind[i] & BPE_K_BYTES) && m == n && memcmp(t, s, n) == 0) {
                id[0] = (int32_t)i;
                return 1;
            }
        }
    for (int i = 0; i < k; i++)
        id[i] = b->byte_id[(uint8_t)s[i]];
    for (uint32_t r = 0; r < b->head->n_merge; r++) {
        const uint32_t *m = b->merge + 3 * (size_t)r;
        int i = 0;
        while (i + 1 < k && (id[i] != (int32_t)m[0] || id[i + 1] != (int32_t)m[1]))
            i++;
        if (i + 1 >= k)
            continue;
        id[i] = (int32_t)m[2];
        memmove(id + i + 1, id + i + 2, (size_t)(k - i - 2) * sizeof *id);
        k--;
        r = UINT32_MAX; /* from the first again: a merge may make a pair of lower rank */
    }
    return k;
}

static long slowly(const struct bpe *b, const char *s, size_t n, int32_t *id)
{
    static struct chars c;
    long k = 0;
    read_chars(&c, s, n);
    for (int i = 0, j; i < c.n; i = j) {
        j = word(&c, i, b->head->pretok == PRETOK_LLAMA3 ? 3 : 1);
        k += merge(b, s + c.at[i], c.at[j] - c.at[i], id + k);
    }
    return k;
}

/* ---- texts ---- */

static const char *const bits[] = {
    "'s",
    "'S",
    "'re",
    "'VE",
    "'ll",
    "'d",
    "'t",
    "'m",
    "'\u017f",
    "'x",
    "''",
    "def ",
    "fibonacci",
    "return",
    "if",
    " ",
    "    ",
    "        ",
    "\n",
    "\r\n",
    "  \n",
    "\t",
    "\v",
    "==",
    "<=",
    "()",
    "):\n",
    "_",
    ".",
    "#",
    "123",
    "7",
    "Hello",
    " world",
    "leading",
    "trailing",
    "DON'T",
    "na",
    "\u00e9",
    "\u00a0",
    "\u3000",
    "\xC2\x85",
    "\u2028",
    "\u0661",
    "\u2160",
    "\u65e5\u672c",
    "\u4e2d",
    "\U0001F642",
    "\U0001F469\u200D\U0001F4BB",
    "xxxxxxxxxxxxx",
    "------------------------------",
};

static size_t random_text(struct rng *g, char *s)
{
    size_t n = 0, parts = rng_below(g, rng_below(g, 10) ? 30 : 200);
    for (size_t i = 0; i < parts; i++) {
        const char *t = bits[rng_below(g, sizeof bits / sizeof *bits)];
        for (uint64_t k = rng_below(g, 12) ? 1 : rng_below(g, 8); k && n < 3900; k--) {
            memcpy(s + n, t, strlen(t));
            n += strlen(t);
        }
        if (rng_below(g, 3) == 0 && n < 3900)
            s[n++] = (char)rng_below(g, 128);
    }
    return n;
}

static void against_slow(const char *path, const char *name)
{
    struct err e = {0};
    struct rng g = {.key = 11};
    struct bpe *b;
    int good = 0, again = 0;
    char s[4096];
    static int32_t want[4096];
    if (bpe_load_json(&b, path, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    b->head->flags &= ~(uint32_t)BPE_F_NFC;
    for (int i = 0; i < 500; i++) {
        size_t n = random_text(&g, s);
        long k = slowly(b, s, n, want);
        for (int turn = 0; turn < 2; turn++) {
            int32_t *ids;
            long got = bpe_encode(b, s, n, 0, &ids, &e);
            int same = got == k && memcmp(ids, want, (size_t)k * sizeof *ids) == 0;
            if (!same)
                printf("# text %d: %ld ids, expected %ld: %.*s\n", i, got, k, (int)n, s);
            *(turn ? &again : &good) += same;
            free(ids);
        }
    }
    ok(good == 500, "%s: %d of 500 random texts as the slow way", name, good);
    ok(again == 500, "and from memory: %d", again);
    bpe_free(b);
}

/* One word of every length, so that each way of merging and of remembering is taken. */
static void lengths(const char *path)
{
    struct err e = {0};
    struct bpe *b;
    int good = 0, all = 0;
    char s[300];
    int32_t want[300], *ids;
    if (bpe_load_json(&b, path, &e)) {
        ok(0, "%s", e.msg);
        return;
    }
    for (int turn = 0; turn < 2; turn++)
        for (size_t n = 1; n < sizeof s; n++)
            for (int kind = 0; kind < 3; kind++, all++) {
                for (size_t i = 0; i < n; i++)
                    s[i] = kind == 0 ? 'e' : kind == 1 ? "fibonacci"[i % 9] : ' ';
                long k = slowly(b, s, n, want), got = bpe_encode(b, s, n, 0, &ids, &e);
                good += got == k && memcmp(ids, want, (size_t)k * sizeof *ids) == 0;
                free(ids);
            }
    ok(good == all, "words of 1 to %zu bytes: %d of %d", sizeof s - 1, good, all);
    ok(bpe_encode(b, "", 0, BPE_BOS, &ids, &e) == (b->head->bos >= 0) && ids, "an empty text");
    free(ids);
    bpe_free(b);
}

int main(void)
{
    const char *qwen = TOP "/tests/vectors/tokenizer/qwen3.json",
               *llama = TOP "/tests/vectors/tokenizer/llama3.json";
    against_slow(qwen, "Qwen3");
    against_slow(llama, "Llama-3.1");
    lengths(qwen);
    lengths(llama);
    return done_testing();
}
