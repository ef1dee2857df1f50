/* extract_text - lines of an answer: does this one read as Python or as prose */
#include "extract_private.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

int span_line(const char **p, const char *end, struct span *line)
{
    const char *nl;
    if (*p >= end)
        return 0;
    nl = memchr(*p, '\n', (size_t)(end - *p));
    line->p = *p;
    line->n = (size_t)((nl ? nl : end) - *p);
    *p = nl ? nl + 1 : end;
    return 1;
}

int span_starts(struct span s, const char *with)
{
    size_t m = strlen(with);
    return s.n >= m && !memcmp(s.p, with, m);
}

struct span span_trim(struct span s)
{
    while (s.n && isspace((unsigned char)*s.p))
        s.p++, s.n--;
    while (s.n && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

int span_blank(struct span s)
{
    return span_indent(s) == s.n;
}

size_t span_indent(struct span line)
{
    size_t i = 0;
    while (i < line.n && isspace((unsigned char)line.p[i]))
        i++;
    return i;
}

struct span span_first(struct span s)
{
    const char *p = s.p;
    struct span line = {s.p, 0};
    while (span_line(&p, s.p + s.n, &line) && span_blank(line))
        ;
    return line;
}

static int is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

size_t span_word(struct span s)
{
    size_t i = 0;
    if (s.n == 0 || isdigit((unsigned char)*s.p))
        return 0;
    while (i < s.n && is_word(s.p[i]))
        i++;
    return i;
}

static struct span after(struct span s, size_t n)
{
    return (struct span){s.p + n, s.n - n};
}

/* ---- strings and brackets ---- */

int lex_line(struct lex *x, struct span line)
{
    const char *p = line.p;
    size_t n = line.n;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        int three = i + 2 < n && p[i + 1] == c && p[i + 2] == c;
        if (x->triple) {
            if (c == '\\')
                i++;
            else if (c == x->triple && three)
                x->triple = 0, i += 2;
        } else if (c == '#') {
            return 1;
        } else if ((c == '"' || c == '\'') && three) {
            x->triple = c;
            i += 2;
        } else if (c == '"' || c == '\'') {
            for (i++; i < n && p[i] != c; i++)
                if (p[i] == '\\')
                    i++;
            if (i >= n)
                return 1;
        } else if (c && strchr("([{", c)) {
            x->depth++;
        } else if (c && strchr(")]}", c) && x->depth > 0) {
            x->depth--;
        }
    }
    return x->triple != 0;
}

const char *lex_literal(const char *p, const char *end)
{
    char c = *p;
    const char *q = p + 1;
    if (c == '#') {
        q = memchr(p, '\n', (size_t)(end - p));
        return q ? q : end;
    }
    if (c != '"' && c != '\'')
        return p;
    if (end - p > 2 && p[1] == c && p[2] == c) {
        for (q = p + 3; q + 2 < end; q++) {
            if (*q == '\\')
                q++;
            else if (*q == c && q[1] == c && q[2] == c)
                return q + 3;
        }
        return end;
    }
    for (; q < end && *q != '\n' && q - p < 4096;
         q++) { /* bounded: callers come here for each quote */
        if (*q == c)
            return q + 1;
        q += *q == '\\';
    }
    return p; /* an apostrophe */
}

/* ---- what a line is ---- */

static int keyword(struct span s, size_t w)
{
    static const char *const words[] = {
        "def",    "class",  "import", "from",     "async",  "if",       "elif",
        "else",   "for",    "while",  "try",      "except", "finally",  "with",
        "return", "assert", "raise",  "pass",     "break",  "continue", "del",
        "global", "lambda", "not",    "nonlocal", "yield",  "await",    NULL};
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == w && !memcmp(words[i], s.p, w))
            return 1;
    return 0;
}

static int is(struct span s, size_t w, const char *word)
{
    return w == strlen(word) && !memcmp(s.p, word, w);
}

/* Marks that models put behind code, alone on a line. */
static int is_end_mark(struct span s)
{
    static const char *const marks[] = {"[DONE]",  "[/PYTHON]", "[PYTHON]", "[BEGIN]", "[END]",
                                        "[/CODE]", "[/INST]",   "[INST]",   "[/ANS]",  NULL};
    for (int i = 0; marks[i]; i++)
        if (span_starts(s, marks[i]))
            return 1;
    return 0;
}

/* "from the list ..." and "import the module" are prose. */
static int is_import(struct span s, size_t w)
{
    struct span rest = span_trim(after(s, w));
    size_t m = span_word(rest);
    struct span next = span_trim(after(rest, m));
    if (rest.n == 0 || (m == 0 && *rest.p != '.'))
        return 0;
    if (is(s, w, "from"))
        return *rest.p == '.' || span_starts(next, "import") || span_starts(next, ".");
    return next.n == 0 || strchr(".,;#", *next.p) || span_starts(next, "as ");
}

/* "f(" behind def, "C:" behind class; not "class of problems: easy". Foreign brackets and Markdown's
 * backslashes pass: they can be mended. */
static int is_head(struct span s, int class)
{
    size_t w = span_word(s), foreign = 0;
    for (size_t i = 0; i < w; i++)
        foreign |= (unsigned char)s.p[i] >= 0x80;
    s = span_trim(after(s, w));
    return w &&
           ((s.n && (*s.p == '(' || *s.p == '\\' || (*s.p == ':' && class))) || (foreign && !s.n));
}

static int keyword_line(struct span s, size_t w)
{
    if (is(s, w, "def") || is(s, w, "class"))
        return is_head(span_trim(after(s, w)), *s.p == 'c');
    if (is(s, w, "import") || is(s, w, "from"))
        return is_import(s, w);
    if (is(s, w, "if") || is(s, w, "for") || is(s, w, "with") || is(s, w, "while"))
        return memchr(s.p, ':', s.n) || memchr(s.p, '(', s.n) || s.p[s.n - 1] == '\\';
    return 1;
}

/* What is written before examples and turns, in any case. */
static int is_label(struct span s)
{
    static const char *const words[] = {"input", "output",    "example", "note",   "result",
                                        "user",  "assistant", "human",   "answer", "explanation",
                                        "usage", "expected",  NULL};
    for (int i = 0; words[i]; i++)
        if (strlen(words[i]) == s.n && !strncasecmp(s.p, words[i], s.n))
            return 1;
    return 0;
}

/* A type that is spelled in lower case; classes and what typing has begin with a capital. */
static int is_type(struct span s, size_t w)
{
    static const char *const names[] = {"int",   "str",        "float",     "bool",    "list",
                                        "dict",  "set",        "tuple",     "bytes",   "object",
                                        "type",  "range",      "frozenset", "complex", "bytearray",
                                        "slice", "memoryview", NULL};
    if (isupper((unsigned char)*s.p) || *s.p == '_')
        return 1;
    for (int i = 0; names[i]; i++)
        if (is(s, w, names[i]))
            return 1;
    return 0;
}

/* Behind the ':' of `label`; not "Note: this ..." or "Input: n = 10", which is an annotation only by
 * its form. */
static int is_annotation(struct span label, struct span s)
{
    size_t w, m;
    s = span_trim(s);
    m = w = span_word(s);
    while (m < s.n && isspace((unsigned char)s.p[m]))
        m++;
    if (m == 0 || m == s.n || !strchr("=[.|", s.p[m]))
        return 0;
    if (is_label(label))
        return is_type(s, w);
    return !isupper((unsigned char)*label.p) || is_type(s, w) || s.p[w] == '.'; /* np.ndarray */
}

int text_is_code(struct span s)
{
    size_t w;
    struct span rest;
    int spaced, assigns;
    s = span_trim(s);
    if (s.n == 0)
        return 1;
    if (*s.p == '#')
        return !text_is_heading(s);
    if (is_end_mark(s))
        return 0;
    if (strchr("@([{)]}\"'", *s.p))
        return 1;
    assigns = memchr(s.p, '=', s.n) != NULL;
    if (*s.p == '*')
        return s.n > 1 && span_word(after(s, 1)) > 0 && assigns;
    if ((w = span_word(s)) == 0)
        return 0;
    if (keyword(s, w))
        return keyword_line(s, w);
    rest = span_trim(after(s, w));
    spaced = rest.p > s.p + w;
    if (rest.n == 0)
        return 0; /* a lone word */
    switch (*rest.p) {
    case ':':
        return is_annotation((struct span){s.p, w}, after(rest, 1));
    case ',':
        return assigns;
    case '-':
        return !spaced || assigns;
    case '.':
        return rest.n > 1 && is_word(rest.p[1]);
    case '(':
        return !spaced || strchr(")]", s.p[s.n - 1]) != NULL;
    default:
        return strchr("=[;+*/%&|^<>@", *rest.p) != NULL;
    }
}

int text_is_heading(struct span s)
{
    return s.n > 1 && s.p[0] == '#' && s.p[1] == '#';
}

/* A line with which code can begin. */
static int first_line(struct span s)
{
    size_t w = span_word(s);
    if (w && keyword(s, w))
        return text_is_code(s) &&
               (span_starts(s, "def ") || span_starts(s, "class ") || span_starts(s, "import ") ||
                span_starts(s, "from ") || span_starts(s, "async def "));
    return s.n > 1 && *s.p == '@' && span_word(after(s, 1));
}

long text_begins_code(struct span line)
{
    const char *p;
    struct span rest;
    if (first_line(line))
        return 0;
    /* behind a tag or label: "[PYTHON]def f(x):", "<code>import re", "Answer: def f(x):" */
    p = line.n && *line.p == '['   ? memchr(line.p, ']', line.n)
        : line.n && *line.p == '<' ? memchr(line.p, '>', line.n)
                                   : NULL;
    if (!p && line.n && isalpha((unsigned char)*line.p)) {
        p = memchr(line.p, ':', line.n < 24 ? line.n : 24);
        for (const char *q = line.p; p && q < p; q++)
            if (!isalpha((unsigned char)*q) && *q != ' ')
                p = NULL;
    }
    if (!p)
        return -1;
    rest = span_trim(after(line, (size_t)(p + 1 - line.p)));
    return first_line(rest) && memchr(rest.p, ':', rest.n) ? (long)(rest.p - line.p) : -1;
}

struct span text_cut_prose(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    struct lex x = {0};
    int continued = 0;
    while (span_line(&p, end, &line)) {
        int inside = x.triple || x.depth > 0 || continued;
        if (!inside && line.n && !isspace((unsigned char)*line.p) && !text_is_code(line)) {
            s.n = (size_t)(line.p - s.p);
            return s;
        }
        if (x.depth > 0 && !x.triple && (span_starts(line, "def ") || span_starts(line, "class ")))
            x.depth = 0; /* a bracket that was never closed: do not swallow the rest */
        lex_line(&x, line);
        continued = line.n && line.p[line.n - 1] == '\\';
    }
    return s;
}

/* ---- definitions in text that need not parse ---- */

int text_has_def(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    while (span_line(&p, end, &line)) {
        struct span t = span_trim(line);
        if (span_starts(t, "def ") || span_starts(t, "class ") || span_starts(t, "async def ") ||
            (t.n && memmem(t.p, t.n, "= lambda", 8)))
            return 1;
    }
    return 0;
}

int text_defines(struct span s, const char *name)
{
    const char *p = s.p, *end = s.p + s.n;
    size_t m = strlen(name);
    struct span q;
    while (span_line(&p, end, &q)) {
        int def = 0;
        if (span_starts(q, "async "))
            q = after(q, 6);
        if (span_starts(q, "def ") || span_starts(q, "class ")) {
            def = 1;
            q = after(q, *q.p == 'd' ? 4 : 6);
            while (q.n && *q.p == ' ')
                q = after(q, 1);
        }
        if (!span_starts(q, name) || (q.n > m && is_word(q.p[m])))
            continue;
        q = after(q, m);
        while (q.n && *q.p == ' ')
            q = after(q, 1);
        if (def || (q.n > 1 && *q.p == '=' && q.p[1] != '='))
            return 1;
    }
    return 0;
}

int text_has_method(struct span s, const char *name)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    while (span_line(&p, end, &line)) {
        size_t k = span_indent(line);
        line = after(line, k);
        if (span_starts(line, "async "))
            line = after(line, 6);
        if (k == 0 || !span_starts(line, "def "))
            continue;
        line = span_trim(after(line, 4));
        if (span_word(line) == strlen(name) && span_starts(line, name))
            return 1;
    }
    return 0;
}

/* ---- what is said before a fence ---- */

/* Does the text hold one of the words, at a word's beginning, in any case? */
static int says(struct span s, const char *const *words)
{
    for (size_t i = 0; i < s.n; i++) {
        if (i > 0 && is_word(s.p[i - 1]))
            continue;
        for (int k = 0; words[k]; k++) {
            size_t m = strlen(words[k]);
            if (s.n - i >= m && !strncasecmp(s.p + i, words[k], m))
                return 1;
        }
    }
    return 0;
}

int text_is_aside(struct span s)
{
    static const char *const corrections[] = {"wait",    "wrong", "mistake", "incorrect",
                                              "correct", "fix",   "bug",     "error",
                                              "fail",    "revis", "final",   NULL};
    static const char *const choices[] = {
        "alternative", "another ",       "other way",   "variant",    "variation",
        "equivalent",  "you can also",   "can also be", "could also", "if you prefer",
        "comparison",  "without using ", NULL};
    static const char *const answers[] = {
        "implement", "solution", "complet", "improv", "optimi", "better",    "together", "updat",
        "instead",   "actually", "should",  "answer", "code:",  "function:", "program:", NULL};
    enum { NEAR = 2048 }; /* bytes before the fence that are about it */
    struct span t = span_trim(s);
    if (t.n > NEAR)
        t = after(t, t.n - NEAR);
    if (says(t, corrections) || (t.n >= 2 && !strncasecmp(t.p, "no", 2) && span_word(t) == 2))
        return 0;
    if (says(t, choices) || (t.n >= 2 && !strncasecmp(t.p, "or", 2) && span_word(t) == 2))
        return 1;
    return !says(t, answers); /* a quotation, an extension, a warning example */
}

int text_begins_turn(struct span s)
{
    static const char *const roles[] = {"user:",     "human:",      "assistant:", "question:",
                                        "q:",        "system:",     "student:",   "### instruction",
                                        "### input", "### problem", NULL};
    const char *p = s.p;
    struct span line;
    while (span_line(&p, s.p + s.n, &line))
        for (int k = 0; roles[k]; k++)
            if (line.n >= strlen(roles[k]) && !strncasecmp(line.p, roles[k], strlen(roles[k])))
                return 1;
    return 0;
}

int extract_defines(const char *code, const char *name)
{
    return text_defines((struct span){code, strlen(code)}, name);
}
