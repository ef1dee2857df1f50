/* extract_region - an answer as regions: fences and the text between them */
#include "extract_private.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- fences ---- */

struct mark {
    int n; /* ticks or tildes; 0 = the line is no mark */
    char c;
    int indent, quoted;
    struct span info;
};

/* "```python def f(): ...", or all on one line: where the code begins; NULL if not on that line. */
static const char *code_on_mark(struct span info)
{
    size_t w = span_word(info);
    struct span same = span_trim((struct span){info.p + w, info.n - w});
    if (text_begins_code(same) == 0)
        return same.p;
    return text_begins_code(info) == 0 ? info.p : NULL;
}

static struct mark fence_mark(struct span line)
{
    struct mark m = {0};
    size_t i = 0;
    if (line.n && *line.p == '>') { /* a quotation */
        m.quoted = 1;
        line.p++, line.n--;
        if (line.n && *line.p == ' ')
            line.p++, line.n--;
    }
    i = span_indent(line);
    if (i >= line.n || (line.p[i] != '`' && line.p[i] != '~'))
        return m;
    m.c = line.p[i];
    m.indent = (int)i;
    for (; i < line.n && line.p[i] == m.c; i++)
        m.n++;
    m.info = span_trim((struct span){line.p + i, line.n - i});
    if (m.n < 3 || (m.c == '`' && m.info.n && memchr(m.info.p, '`', m.info.n) &&
                    !code_on_mark(m.info))) /* "```f(x)``` is called" is prose */
        m.n = 0;
    return m;
}

/* Where a mark ends a line that begins with something else ("return x```"), outside of strings and
 * comments; NULL = nowhere. lex: before the line. */
static const char *mark_behind(struct lex lex, struct span line, char c)
{
    struct span t = span_trim(line);
    const char *p = t.p + t.n;
    while (p > t.p && p[-1] == c)
        p--;
    if (t.p + t.n - p < 3 || p == t.p)
        return NULL;
    return lex_line(&lex, (struct span){line.p, (size_t)(p - line.p)}) ? NULL : p;
}

/* 1: the mark names the language; 0: nothing, or a word that could be anything; -1: another one. */
static int names(struct span info, enum bench_lang lang)
{
    static const char *const words[BENCH_LANGS + 1][28] = {
        {"python", "py", "python3", "ipython", "pycon", "python-repl", "python2", "py3", NULL},
        {"c", "h", NULL},
        {"cpp", "c++", "cc", "cxx", "hpp", NULL},
        {"javascript", "js", "node", "nodejs", "mjs", "jsx", NULL},
        {"bash",   "sh",   "shell",      "console", "text",       "txt",      "json",
         "output", "java", "plaintext",  "yaml",    "diff",       "markdown", "md",
         "rust",   "go",   "html",       "sql",     "typescript", "ts",       "ruby",
         "xml",    "toml", "powershell", "zsh",     "makefile",   "log",      NULL}};
    size_t w = 0;
    while (info.n && strchr("{.[", *info.p)) /* ```{.python} */
        info.p++, info.n--;
    while (w < info.n && (isalnum((unsigned char)info.p[w]) || strchr("+-#", info.p[w])))
        w++;
    for (int k = 0; w && k <= BENCH_LANGS; k++)
        for (int i = 0; words[k][i]; i++)
            if (strlen(words[k][i]) == w && !strncasecmp(words[k][i], info.p, w))
                return k == (int)lang ? 1 : -1;
    return 0;
}

struct splitter {
    struct regions *r;
    enum bench_lang lang;
    const char *p, *end; /* what is left */
    size_t rescan;       /* bytes that may be read again: a search inside strings comes back */
    int other_turn;      /* the text went on as somebody else */
    int nomem;
};

static void put(struct splitter *x, const struct region *r)
{
    struct regions *v = x->r;
    if (span_trim(r->s).n == 0)
        return;
    if (v->n == v->cap) {
        int cap = v->cap ? 2 * v->cap : 8;
        struct region *q = realloc(v->v, (size_t)cap * sizeof *q);
        if (!q) {
            x->nomem = 1;
            return;
        }
        v->v = q;
        v->cap = cap;
    }
    v->fences += r->how != EXTRACT_RAW;
    v->v[v->n++] = *r;
}

/* Where the code of a fence ends: *after is behind its closing mark. 1: closed; 0: it never is. */
static int fence_end(struct splitter *x, const struct mark *m, const char *code, const char **stop,
                     const char **after)
{
    const char *q = code, *first = NULL, *first_after = NULL;
    struct lex lex = {0};
    struct span line;
    while (span_line(&q, x->end, &line)) {
        struct mark k = fence_mark(line);
        const char *behind = k.n ? NULL : mark_behind(lex, line, m->c);
        if (behind) {
            *stop = behind;
            *after = q;
            return 1;
        }
        if (k.n >= 3 && k.c == m->c && (k.info.n ? !lex.triple : k.n >= m->n)) {
            *stop = line.p;
            *after = k.info.n ? line.p : q; /* "```python" ends one fence and begins the next */
            if (!lex.triple)
                return 1;
            if (!first) /* inside a long string: a later mark may be the right one */
                first = *stop, first_after = *after;
        }
        if (first && (size_t)(q - first_after) >= x->rescan)
            break;
        lex_line(&lex, line);
    }
    if (first) {
        x->rescan -= (size_t)(q - first_after) < x->rescan ? (size_t)(q - first_after) : x->rescan;
        *stop = first;
        *after = first_after;
        return 1;
    }
    *stop = *after = x->end;
    return 0;
}

/* The fence whose mark is m, behind the text `before`; x->p is behind the mark's line. */
static void fence(struct splitter *x, const struct mark *m, struct span line, struct span before)
{
    struct region r = {.how = EXTRACT_FENCE,
                       .named = names(m->info, x->lang),
                       .indent = m->indent,
                       .quoted = m->quoted};
    const char *code = code_on_mark(m->info), *stop, *close = NULL;
    if (x->r->fences > 0) {
        x->other_turn |= text_begins_turn(before);
        r.aside = x->other_turn || text_is_aside(before);
    }
    r.s.p = code ? code : x->p;
    if (code)
        close = mark_behind((struct lex){0}, (struct span){code, (size_t)(line.p + line.n - code)},
                            m->c);
    if (close) {
        r.s.n = (size_t)(close - code);
    } else {
        if (!fence_end(x, m, r.s.p, &stop, &x->p))
            r.how = EXTRACT_OPEN_FENCE;
        r.s.n = (size_t)(stop - r.s.p);
    }
    put(x, &r);
}

/* "Here it is: ```python" at the end of a line of prose. */
static int mark_at_end(struct span line, struct mark *m)
{
    struct span t = span_trim(line);
    size_t w = 0;
    while (w < t.n && (isalnum((unsigned char)t.p[t.n - 1 - w]) || t.p[t.n - 1 - w] == '+'))
        w++;
    if (w >= t.n || t.n - w < 4 || memcmp(t.p + t.n - w - 3, "```", 3) || t.p[t.n - w - 4] == '`')
        return 0;
    if (memmem(t.p, t.n - w - 3, "```", 3))
        return 0;
    *m = (struct mark){.n = 3, .c = '`', .info = {t.p + t.n - w, w}};
    return 1;
}

/* Does the text before the first mark begin with code?  Then a fence was opened in the prompt, and the
 * mark closes it. */
static int opened_before(struct span s)
{
    struct span line = span_first(s);
    size_t k = span_indent(line);
    if (k == line.n)
        return 0;
    if (k == 0)
        return text_begins_code(line) == 0;
    line.p += k, line.n -= k;
    return text_is_code(line);
}

int region_split(struct regions *out, struct span text, enum bench_lang lang)
{
    struct splitter x = {out, lang, text.p, text.p + text.n, 4 * text.n + 65536, 0, 0};
    struct region raw = {.how = EXTRACT_RAW, .s = {text.p, 0}};
    struct span line;
    struct mark m;
    memset(out, 0, sizeof *out);
    while (span_line(&x.p, x.end, &line)) {
        int at_end = 0;
        const char *from;
        m = fence_mark(line);
        if (m.n == 0 && !(at_end = mark_at_end(line, &m)))
            continue;
        from = at_end ? m.info.p - 3 : line.p;
        raw.s.n = (size_t)(from - raw.s.p);
        put(&x, &raw);
        if (m.info.n || raw.s.p != text.p || !opened_before(raw.s))
            fence(&x, &m, line, raw.s);
        raw.s.p = x.p;
    }
    raw.s.n = (size_t)(x.end - raw.s.p);
    put(&x, &raw);
    for (int i = 0; i < out->n; i++)
        out->v[i].first = i == 0;
    return x.nomem ? ERR_NOMEM : 0;
}
