/* fuzz_extract - libFuzzer entry: whatever a model says, the extractor answers, and what it says about its
 * answer is true (make fuzz) */
#include "extract.h"
#include "json.h"
#include "jsonmend.h"
#include "pyparse.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char prompt[] = "import math\n\n\ndef f(xs):\n    \"\"\"Sum.\"\"\"\n";

static int parses(const char *before, const char *s, size_t n)
{
    struct py_module m;
    size_t k = strlen(before);
    char *all = malloc(k + n + 1);
    memcpy(all, before, k);
    memcpy(all + k, s, n);
    if (py_parse(&m, all, k + n, 1) < 0)
        abort();
    int ok = m.ok && !(m.saw & PY_SAW_RETURN);
    for (int i = 0; i < m.n;
         i++) /* statements are whole lines, in order, and names point into the text */
        if (m.stmt[i].begin >= m.stmt[i].end || m.stmt[i].end > k + n ||
            m.stmt[i].line > m.stmt[i].last_line || (i && m.stmt[i].begin < m.stmt[i - 1].end))
            abort();
    for (int i = 0; i < m.n_name; i++)
        if (m.name[i].p < all || m.name[i].p + m.name[i].n > all + k + n)
            abort();
    py_module_free(&m);
    free(all);
    return ok;
}

/* flags, then text, and behind a \x01 reasoning that came apart */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct extract x;
    int flags = n ? *p : 0;
    const char *text = (const char *)p + (n > 0), *cut;
    size_t m = n - (n > 0);
    char *s = malloc(m + 1), *thought = NULL;
    memcpy(s, text, m);
    s[m] = 0;
    if ((cut = memchr(s, 1, m))) {
        thought = strdup(cut + 1);
        m = (size_t)(cut - s);
        s[m] = 0;
    }
    struct extract_opts o = {.entry = flags & 1 ? "f" : NULL,
                             .prompt = flags & 2 ? prompt : NULL,
                             .no_body = flags >> 2 & 1,
                             .sanitize = flags >> 3 & 1,
                             .as_is = flags >> 4 & 1,
                             .lang = (flags & 0x60) == 0x60 ? (enum bench_lang)(flags >> 7 | 2)
                                                            : BENCH_PYTHON};
    if (extract_find(&x, s, m, thought, flags >> 5 & 1, &o, &e) < 0)
        abort();
    if (strlen(x.code) != x.n || (x.n == 0) != (x.how == EXTRACT_NONE) ||
        (x.n && x.code[x.n - 1] != '\n'))
        abort();
    if (x.body && (o.no_body || (o.lang == BENCH_PYTHON && x.code[0] != ' ' && x.code[0] != '\t')))
        abort();
    if (x.parses == 1 && !parses(!x.body ? "" : o.prompt ? o.prompt : "def _():\n", x.code, x.n))
        abort();
    if (o.lang == BENCH_PYTHON && x.n && !x.body && x.parses == 0 && !x.why)
        abort();
    free(x.code);
    o.lang = BENCH_PYTHON;
    o.asked = flags & 1 ? EXTRACT_CALL : EXTRACT_VALUE;
    if (extract_find(&x, s, m, thought, 0, &o, &e) < 0)
        abort();
    if (x.n && (!x.answer || !parses("", x.code, x.n)))
        abort();
    free(x.code);
    json_mend(s, m);
    free(s);
    free(thought);
    return 0;
}
