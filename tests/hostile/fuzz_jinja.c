/* fuzz_jinja - libFuzzer entry: whatever the template, it is refused, fails with its line, or renders UTF-8
 * with a mark for each byte, twice the same (make fuzz)
 *
 * Input: the template; behind a \x02, if there is one, the variables as JSON. */
#include "jinja_impl.h"
#include "json.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char talk[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"S\"},{\"role\":"
                           "\"user\",\"content\":\"Hé 🙂\\n\"},"
                           "{\"role\":\"assistant\",\"content\":\"<think>x</"
                           "think>a\",\"tool_calls\":[{\"type\":\"function\","
                           "\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1.5,\"b\":[null,true]"
                           "}}}]},{\"role\":\"tool\","
                           "\"content\":\"r\"}],\"tools\":[{\"type\":\"function\",\"function\":{"
                           "\"name\":\"f\",\"description\":\"d\","
                           "\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":"
                           "\"number\"}},\"required\":[\"a\"]}}}],"
                           "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"x\":3,\"l\":[1,"
                           "\"b\"],\"d\":{\"k\":\"v\"}}";

static int render(const struct jinja *t, const char *vars, size_t n, struct jinja_text *out)
{
    struct err e = {0};
    struct jinja_vars *v = jinja_vars_new();
    struct tm now = {.tm_year = 126, .tm_mday = 1};
    v->a.limit =
        8
        << 20; /* small limits: the fuzzer finds what is slow or large otherwise, which is known */
    v->steps = 100000;
    jinja_set_time(v, now);
    int rc = jinja_set_all(v, vars, n, 0, &e);
    if (rc == 0)
        rc = jinja_render(t, v, out, &e);
    else
        *out = (struct jinja_text){0};
    jinja_vars_free(v);
    if (rc && (!e.code || !*e.msg))
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct jinja *t;
    struct jinja_text a, b;
    const uint8_t *cut = n ? memchr(p, 2, n) : NULL;
    const char *vars = cut ? (const char *)cut + 1 : talk;
    size_t m = cut ? (size_t)(cut - p) : n, k = cut ? n - m - 1 : sizeof talk - 1;
    int rc = jinja_parse(&t, (const char *)p, m, "fuzz", &e);
    if (rc) {
        if (t || !*e.msg)
            abort();
        return 0;
    }
    rc = render(t, vars, k, &a);
    if (rc == 0 && !utf8_valid(a.s, a.n))
        abort();
    for (size_t i = 0; i < a.n; i++)
        if (a.mark[i] > 1)
            abort();
    if (render(t, vars, k, &b) != rc || a.n != b.n ||
        (a.n && (memcmp(a.s, b.s, a.n) || memcmp(a.mark, b.mark, a.n))))
        abort();
    free(a.s);
    free(a.mark);
    free(b.s);
    free(b.mark);
    jinja_free(t);
    return 0;
}
