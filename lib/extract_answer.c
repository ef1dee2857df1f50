/* extract_answer - an answer that is a value or a call, where no code is asked for (CRUXEval)
 *
 * Looked for in this order, each from the end of the answer, since reasoning comes first:
 *   1. what stands between [ANSWER] and [/ANSWER], as CRUXEval's own prompts ask for it;
 *   2. "assert f(...) == value", over several lines if it takes them;
 *   3. "f(...) == value", and for a call "f(...)" alone;
 *   4. the last \boxed{} of LaTeX that holds a literal, or that call;
 *   5. a fence that holds one expression;
 *   6. a literal that ends a line: "Answer: 3", "the output is `'ab'`." */
#include "extract_private.h"
#include "pycall.h"
#include "pylit.h"
#include "pyparse.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_LINES = 64,    /* of one assert */
    MAX_TRIED = 512,   /* lines of one answer that are looked at, from its end */
    MAX_TEXT = 1 << 18 /* bytes, from its end: what is before was reasoning */
};

static int ends(struct span s, const char *with)
{
    size_t m = strlen(with);
    return s.n >= m && !memcmp(s.p + s.n - m, with, m);
}

/* Without white space, Markdown's marks of lists, quotations and emphasis, and ticks around it. */
static struct span bare(struct span s)
{
    size_t n;
    do {
        n = s.n;
        s = span_trim(s);
        if (s.n && (*s.p == '`' || *s.p == '>'))
            s.p++, s.n--;
        if (span_starts(s, "**") || span_starts(s, "- ") || span_starts(s, "* "))
            s.p += 2, s.n -= 2;
        if (s.n && s.p[s.n - 1] == '`')
            s.n--;
        if (ends(s, "**"))
            s.n -= 2;
        if (s.n > 2 && *s.p == '*' && s.p[1] != '*' && s.p[s.n - 1] == '*') /* *5* */
            s.p++, s.n -= 2;
    } while (s.n != n);
    return s;
}

/* One statement, and no other, without yield; of type `kind`, or of any. */
static int parses(struct finder *f, struct span s, int kind)
{
    struct py_module m;
    int ok;
    if (s.n == 0 || f->nomem)
        return 0;
    if (py_parse(&m, s.p, s.n, 0) < 0) {
        f->nomem = 1;
        return 0;
    }
    ok = m.ok && m.n == 1 && !(m.saw & PY_SAW_RETURN) && (kind < 0 || m.stmt[0].kind == kind);
    py_module_free(&m);
    return ok;
}

/* Does s parse as an expression, with the judge's brackets around it and without? */
static int is_value(struct finder *f, struct span s)
{
    char *all;
    int ok;
    if (s.n == 0 || s.n > MAX_TEXT || !(all = malloc(s.n + 8)))
        return 0;
    memcpy(all, "assert(", 7);
    memcpy(all + 7, s.p, s.n);
    all[7 + s.n] = ')';
    ok = parses(f, (struct span){all, s.n + 8}, PY_ASSERT) && parses(f, s, -1);
    free(all);
    return ok;
}

static int calls(const struct finder *f, struct span s)
{
    size_t m = f->o->entry ? strlen(f->o->entry) : 0;
    return m && s.n > m && !memcmp(s.p, f->o->entry, m) && s.p[m] == '(';
}

static int fits(struct finder *f, struct span s)
{
    return f->o->asked == EXTRACT_CALL ? calls(f, s) && is_value(f, s) : is_value(f, s);
}

static int put(struct finder *f, struct span s, enum extract_how how)
{
    struct candidate c = {.s = s, .how = how, .parses = 1, .defines = 1, .rank = RANK_DEFINES};
    finder_add(f, &c);
    return 1;
}

/* An assert that begins s, which goes on to the end of the text: as many lines as it takes. */
static struct span whole_assert(struct finder *f, struct span s)
{
    const char *end = s.p + s.n, *p = s.p;
    struct span line, no = {NULL, 0};
    for (int i = 0; i < MAX_LINES && span_line(&p, end, &line); i++) {
        struct span t = {s.p, (size_t)(line.p + line.n - s.p)};
        if (parses(f, t, PY_ASSERT))
            return t;
        if (i == 0 && parses(f, bare(t), PY_ASSERT))
            return bare(t);
    }
    return no;
}

static int marked(struct finder *f, struct span s)
{
    static const char open[] = "[ANSWER]", close[] = "[/ANSWER]";
    const char *at = NULL, *p = s.p, *end = s.p + s.n, *stop;
    struct span t;
    while ((p = memmem(p, (size_t)(end - p), open, sizeof open - 1)))
        at = p += sizeof open - 1;
    if (!at)
        return 0;
    stop = memmem(at, (size_t)(end - at), close, sizeof close - 1);
    t = bare((struct span){at, (size_t)((stop ? stop : end) - at)});
    if (parses(f, t, PY_ASSERT) || fits(f, t))
        return put(f, t, stop ? EXTRACT_FENCE : EXTRACT_OPEN_FENCE);
    return 0;
}

/* The literal at the end of a line of words; empty if there is none. */
static struct span last_literal(struct span line)
{
    static const char *const behind[] = {": ",        ":** ",     " is ", "= ",
                                         " returns ", " return ", "-> ",  NULL};
    struct span t = bare(line), best = {NULL, 0};
    char *copy;
    const char *q;
    if (t.n && t.p[t.n - 1] == '.')
        t = bare((struct span){t.p, t.n - 1});
    if (t.n > 4096 || !(copy = strndup(t.p, t.n)))
        return best;
    for (int i = -1; i < 0 || behind[i];
         i++) /* the longest that is one: a string may hold " is " */
        for (q = i < 0 ? copy : strstr(copy, behind[i]); q; q = strstr(q, behind[i])) {
            struct pylit v;
            struct span u;
            const char *r;
            q += i < 0 ? 0 : strlen(behind[i]);
            u = bare((struct span){t.p + (q - copy), t.n - (size_t)(q - copy)});
            r = copy + (u.p - t.p);
            copy[u.p + u.n - t.p] = 0;
            if (u.n > best.n && pylit_read(&v, &r) == 0) {
                if (*r == 0)
                    best = u;
                pylit_free(&v);
            }
            if (i < 0)
                break;
        }
    free(copy);
    return best;
}

/* LaTeX without what it puts before brackets and around words: "\{4: \text{'a'}\}". */
static char *without_latex(struct span s)
{
    static const char *const fonts[] = {"\\text{", "\\texttt{", "\\mathtt{", "\\mathrm{", NULL};
    char *out = malloc(s.n + 1), *w = out;
    int depth = 0, closes[16] = {0}; /* the depths at which a font's brace was opened */
    int n_font = 0;
    for (size_t i = 0; out && i < s.n; i++) {
        int k = 0;
        while (fonts[k] && !span_starts((struct span){s.p + i, s.n - i}, fonts[k]))
            k++;
        if (fonts[k] && n_font < 16) {
            closes[n_font++] = depth++;
            i += strlen(fonts[k]) - 1;
            continue;
        }
        if (s.p[i] == '\\' && i + 1 < s.n && strchr("{}_%#&$", s.p[i + 1])) {
            *w++ = s.p[++i];
            continue;
        }
        depth += s.p[i] == '{';
        depth -= s.p[i] == '}';
        if (s.p[i] == '}' && n_font > 0 && closes[n_font - 1] == depth)
            n_font--;
        else
            *w++ = s.p[i];
    }
    if (out)
        *w = 0;
    return out;
}

/* The span between a brace and the one that closes it; escaped ones do not count. */
static struct span braced(const char *p, const char *end)
{
    int depth = 1;
    for (const char *q = p; q < end; q++) {
        if (*q == '\\')
            q++;
        else if (*q == '{')
            depth++;
        else if (*q == '}' && --depth == 0)
            return (struct span){p, (size_t)(q - p)};
    }
    return (struct span){NULL, 0};
}

static int is_literal(const char *s)
{
    struct pylit v;
    int good = pylit_read(&v, &s) == 0;
    if (good)
        pylit_free(&v);
    return good && *s == 0;
}

static int boxed(struct finder *f, struct span text)
{
    static const char mark[] = "\\boxed{";
    const char *p = NULL, *end = text.p + text.n, *q = text.p;
    struct span s;
    while ((q = memmem(q, (size_t)(end - q), mark, sizeof mark - 1)))
        p = q += sizeof mark - 1;
    if (!p || !(s = braced(p, end)).p)
        return 0;
    s = finder_text(f, without_latex(span_trim(s)));
    if (!s.p) {
        f->nomem = 1;
        return 0;
    }
    if (f->o->asked == EXTRACT_CALL ? !fits(f, s) : s.n > 4096 || !is_literal(s.p))
        return 0;
    return put(f, s, EXTRACT_RAW);
}

/* One line, by rule 2, 3 or 6; s goes from there to the end of the text. */
static int by_line(struct finder *f, struct span line, struct span s, int rule)
{
    struct span t = bare(line);
    if (rule == 2) {
        size_t k = span_starts(t, "assert ") || span_starts(t, "assert(") ? 1 : 0;
        s.n -= (size_t)(t.p - s.p);
        s.p = t.p;
        t = k ? whole_assert(f, s) : (struct span){NULL, 0};
    } else if (rule == 3) {
        int compares = memmem(t.p, t.n, "==", 2) != NULL;
        if (!calls(f, t) || (!compares && f->o->asked != EXTRACT_CALL) || !is_value(f, t))
            return 0;
    } else if (f->o->asked == EXTRACT_CALL) {
        return 0;
    } else
        t = last_literal(line);
    return t.n && put(f, t, EXTRACT_RAW);
}

/* The last line that fulfils the rule. */
static int last_line(struct finder *f, struct span s, int rule)
{
    const char *end = s.p + s.n, *p = end;
    for (int i = 0; i < MAX_TRIED && p > s.p; i++) {
        const char *line = p;
        while (line > s.p && line[-1] != '\n')
            line--;
        if (by_line(f, (struct span){line, (size_t)(p - line)},
                    (struct span){line, (size_t)(end - line)}, rule))
            return 1;
        p = line - (line > s.p);
    }
    return 0;
}

int answer_search(struct finder *f, struct span text, int *fences)
{
    struct regions r;
    int found;
    if (text.n > MAX_TEXT) {
        text.p += text.n - MAX_TEXT;
        text.n = MAX_TEXT;
    }
    if (region_split(&r, text, BENCH_PYTHON) < 0)
        return -1;
    found = marked(f, text) || last_line(f, text, 2) || last_line(f, text, 3) || boxed(f, text);
    for (int i = r.n - 1; i >= 0 && !found; i--)
        if (r.v[i].how != EXTRACT_RAW && fits(f, span_trim(r.v[i].s)))
            found = put(f, span_trim(r.v[i].s), r.v[i].how);
    if (!found)
        last_line(f, text, 6);
    *fences = r.fences;
    free(r.v);
    return f->nomem ? -1 : 0;
}
