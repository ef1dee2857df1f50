/* test_apr_meta - metadata with its large lists left as text: what json_parse makes, byte for byte */
#include "apr_meta.h"
#include "rng.h"
#include "tap.h"
#include <string.h>

enum { TOKENS = 12000 }; /* 64 KiB and more as a list */

static size_t list(char *s, const char *between, const char *odd)
{
    size_t n = 0;
    s[n++] = '[';
    for (int i = 0; i < TOKENS; i++)
        n += (size_t)sprintf(s + n, "%s\"\u0120tok%d%s\"", i ? between : "", i,
                             i % 1000 == 7 ? odd : "");
    s[n++] = ']';
    s[n] = 0;
    return n;
}

/* 1 if both ways agree: the same print of the tree, or the same error. *raw: lists left as text. */
static int agree(const char *s, size_t n, int *raw)
{
    struct err e = {0}, f = {0};
    cJSON *v = json_parse(s, n, "t", &e), *w = apr_meta_parse(s, n, "t", &f);
    char *a = v ? cJSON_PrintUnformatted(v) : NULL, *b = w ? cJSON_PrintUnformatted(w) : NULL;
    int yes = a ? b && strcmp(a, b) == 0 : !b && strcmp(e.msg, f.msg) == 0;
    *raw = 0;
    for (const cJSON *m = w ? w->child : NULL; m; m = m->next)
        *raw += (m->type & 0xFF) == cJSON_Raw;
    free(a);
    free(b);
    cJSON_Delete(v);
    cJSON_Delete(w);
    return yes;
}

static void spelled(char *s, const char *what, const char *between, const char *odd, int want)
{
    size_t n = (size_t)sprintf(s, "{\"a\": {\"b\": [\"x]\", {}]}, \"tokenizer.vocabulary\":");
    int raw;
    n += list(s + n, between, odd);
    n += (size_t)sprintf(s + n, ", \"c\\\"[\":1,\"tokenizer.merges\" : ");
    n += list(s + n, ",", "");
    n += (size_t)sprintf(s + n, " , \"d\":[]} ");
    int same = agree(s, n, &raw);
    ok(same && raw == want, "%s: the same, %d of 2 lists left as text", what, raw);
}

/* Damaged near the ends of the lists and of the object, where it matters. */
static void damaged(char *s)
{
    struct rng g = {.key = 9};
    size_t n = strlen(s), good = 0;
    char *t = malloc(n + 1);
    const char *second = strstr(s, "tokenizer.merges");
    size_t near[] = {0, 40, (size_t)(second - s), n};
    int raw, loaded = 0;
    for (int i = 0; i < 200; i++) {
        memcpy(t, s, n + 1);
        for (uint64_t k = rng_below(&g, 2) + 1; k; k--) {
            size_t at = near[rng_below(&g, 4)] + rng_below(&g, 80);
            at = at > 50 ? at - 50 : at;
            t[at < n ? at : n - 1] = "[]{},:\"\\ n0\xFF"[rng_below(&g, 12)];
        }
        size_t m = i % 10 ? n : rng_below(&g, n);
        good += (size_t)agree(t, m, &raw);
        loaded += raw > 0;
    }
    ok(good == 200, "%zu of 200 damaged texts: the same tree or the same error; %d with lists",
       good, loaded);
    free(t);
}

int main(void)
{
    char *s = malloc(8 << 20);
    int raw;
    spelled(s, "with white space", ", ", "", 1);
    spelled(s, "with \\u", ",", "\\u00e9", 1);
    spelled(s, "with a wrong escape", ",", "\\x", 0);
    spelled(s, "with a control character", ",", "\t", 1);
    spelled(s, "with invalid UTF-8", ",", "\xC3", 0);
    spelled(s, "with a number in it", ",1,", "", 1);
    spelled(s, "as cJSON prints it", ",", "\\\"\\\\\\n", 2);
    damaged(s);
    ok(agree("", 0, &raw) && agree("[]", 2, &raw) && agree("{}", 2, &raw) &&
           agree("{\"a\":1,\"a\":2}", 13, &raw) && agree("{\"a\":[\"b\"", 9, &raw),
       "small texts");
    free(s);
    return done_testing();
}
