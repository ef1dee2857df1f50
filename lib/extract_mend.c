/* extract_mend - text that is not quite Python: escapes, foreign characters, tabs, prompts */
#include "extract_private.h"
#include "pytoken.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct out {
    char *p;
    size_t n, cap;
    int changed, failed;
};

static void put(struct out *o, const char *s, size_t n)
{
    if (o->cap - o->n < n + 1) {
        size_t cap = 2 * (o->cap + n + 32);
        char *p = o->failed ? NULL : realloc(o->p, cap);
        if (!p) {
            o->failed = 1;
            return;
        }
        o->p = p;
        o->cap = cap;
    }
    memcpy(o->p + o->n, s, n);
    o->n += n;
    o->p[o->n] = 0;
}

static void change(struct out *o, const char *with)
{
    put(o, with, strlen(with));
    o->changed = 1;
}

/* ---- marks behind code ---- */

static void cut_marks(struct out *o, struct span s)
{
    static const char *const marks[] = {
        "```",     "<|",        "</code>",   "</pre>",      "</s>",  "[DONE]", "[/PYTHON]",
        "[/CODE]", "</python>", "</answer>", "</solution>", "[END]", NULL};
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *q = lex_literal(p, end);
        for (int i = 0; q == p && marks[i]; i++)
            if (span_starts((struct span){p, (size_t)(end - p)}, marks[i])) {
                put(o, s.p, (size_t)(p - s.p));
                o->changed = 1;
                return;
            }
        p = q > p ? q : p + 1;
    }
}

/* ---- HTML ---- */

static const struct {
    const char *name, *text;
} entities[] = {{"&lt;", "<"},   {"&gt;", ">"},  {"&amp;", "&"},  {"&quot;", "\""},
                {"&#34;", "\""}, {"&#39;", "'"}, {"&#x27;", "'"}, {"&apos;", "'"},
                {"&nbsp;", " "}, {"&#61;", "="}, {"&#43;", "+"}};

static int entity(const char *p, const char *end)
{
    for (int i = 0; *p == '&' && i < (int)(sizeof entities / sizeof *entities); i++)
        if (span_starts((struct span){p, (size_t)(end - p)}, entities[i].name))
            return i;
    return -1;
}

int mend_needs_html(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    if (!memchr(s.p, '&', s.n))
        return 0;
    while (p < end) {
        const char *q = lex_literal(p, end);
        if (q == p && entity(p, end) >= 0)
            return 1;
        p = q > p ? q : p + 1;
    }
    return 0;
}

static void unescape_html(struct out *o, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    if (!mend_needs_html(s))
        return;
    while (p < end) {
        int k = entity(p, end);
        if (k < 0) {
            put(o, p++, 1);
            continue;
        }
        change(o, entities[k].text);
        p += strlen(entities[k].name);
    }
}

/* ---- characters ---- */

/* What stands for a character outside of strings; NULL: itself. */
static const char *ascii_for(uint32_t c, char one[2])
{
    static const struct {
        uint32_t first, last;
        const char *text;
    } map[] = {{0x85, 0x85, "\n"},     {0xA0, 0xA0, " "},      {0xAD, 0xAD, ""},
               {0xD7, 0xD7, "*"},      {0xF7, 0xF7, "/"},      {0x1680, 0x1680, " "},
               {0x2000, 0x200A, " "},  {0x200B, 0x200F, ""},   {0x2010, 0x2015, "-"},
               {0x2018, 0x201B, "'"},  {0x201C, 0x201F, "\""}, {0x2026, 0x2026, "..."},
               {0x2028, 0x2029, "\n"}, {0x202A, 0x202E, ""},   {0x202F, 0x202F, " "},
               {0x205F, 0x205F, " "},  {0x2060, 0x2064, ""},   {0x2192, 0x2192, "->"},
               {0x2212, 0x2212, "-"},  {0x2260, 0x2260, "!="}, {0x2264, 0x2264, "<="},
               {0x2265, 0x2265, ">="}, {0x3000, 0x3000, " "},  {0x3001, 0x3001, ","},
               {0x3010, 0x3010, "["},  {0x3011, 0x3011, "]"},  {0xFEFF, 0xFEFF, ""}};
    if (c >= 0xFF01 && c <= 0xFF5E) { /* full-width forms */
        one[0] = (char)(c - 0xFF01 + '!');
        return one;
    }
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (c >= map[i].first && c <= map[i].last)
            return map[i].text;
    return NULL;
}

static void plain_characters(struct out *o, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *q = lex_literal(p, end), *text = NULL;
        char one[2] = "";
        uint32_t c;
        if (q == p && (unsigned char)*p >= 0x80) {
            q = p + py_char(p, end, &c);
            text = ascii_for(c, one);
        } else if (q == p)
            q++;
        if (text)
            change(o, text);
        else
            put(o, p, (size_t)(q - p));
        p = q;
    }
}

/* ---- Markdown ---- */

static void drop_backslashes(struct out *o, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    while (p < end) {
        const char *q = lex_literal(p, end);
        if (q == p && *p == '\\' && end - p > 1 && strchr("_*[]()<>#=+-", p[1])) {
            change(o, "");
            p++;
            q = p + 1;
        }
        q = q > p ? q : p + 1;
        put(o, p, (size_t)(q - p));
        p = q;
    }
}

/* ---- lines ---- */

/* An interactive session: what was typed, without what was printed. */
static void typed_lines(struct out *o, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line, first = span_trim(s);
    if (!span_starts(first, ">>>"))
        return;
    while (span_line(&p, end, &line)) {
        struct span t = line;
        t.p += span_indent(line), t.n -= span_indent(line);
        if (!span_starts(t, ">>>") && !span_starts(t, "..."))
            continue;
        t.p += 3, t.n -= 3;
        if (t.n && *t.p == ' ')
            t.p++, t.n--;
        put(o, t.p, t.n);
        put(o, "\n", 1);
    }
    o->changed = 1;
}

/* Tabs in indentation as spaces up to the next multiple of `tab`. */
static void expand_tabs(struct out *o, struct span s, int tab)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    struct lex x = {0};
    while (span_line(&p, end, &line)) {
        size_t k = span_indent(line);
        int col = 0;
        if (!x.triple && k < line.n && memchr(line.p, '\t', k)) {
            for (size_t i = 0; i < k; i++)
                col = line.p[i] == '\t' ? (col / tab + 1) * tab : col + 1;
            for (; col > 0; col--)
                put(o, " ", 1);
            o->changed = 1;
        } else
            put(o, line.p, k);
        put(o, line.p + k, line.n - k);
        put(o, "\n", 1);
        lex_line(&x, line);
    }
}

/* The whole program on one line, as a string literal would hold it. */
static void real_newlines(struct out *o, struct span s)
{
    struct span t = span_trim(s);
    if (!t.n || memchr(t.p, '\n', t.n) || !memmem(t.p, t.n, "\\n", 2) || text_begins_code(t) != 0)
        return;
    for (size_t i = 0; i < t.n; i++) {
        char next = i + 1 < t.n ? t.p[i + 1] : 0;
        if (t.p[i] == '\\' && (next == 'n' || next == 't' || next == '"')) {
            change(o, next == 'n' ? "\n" : next == 't' ? "\t" : "\"");
            i++;
        } else
            put(o, t.p + i, 1);
    }
}

static char *finish(struct out *o, int *nomem)
{
    if (o->failed)
        *nomem = 1;
    if (!o->failed && o->changed)
        return o->p;
    free(o->p);
    return NULL;
}

char *mend_text(enum extract_mend what, struct span s, int tab, int *nomem)
{
    struct out o = {0};
    put(&o, "", 0);
    switch (what) {
    case EXTRACT_MEND_MARKS:
        cut_marks(&o, s);
        break;
    case EXTRACT_MEND_HTML:
        unescape_html(&o, s);
        break;
    case EXTRACT_MEND_BACKSLASHES:
        drop_backslashes(&o, s);
        break;
    case EXTRACT_MEND_CHARACTERS:
        plain_characters(&o, s);
        break;
    case EXTRACT_MEND_PROMPTS:
        typed_lines(&o, s);
        break;
    case EXTRACT_MEND_TABS:
        expand_tabs(&o, s, tab);
        break;
    case EXTRACT_MEND_NEWLINES:
        real_newlines(&o, s);
        break;
    default:
        break;
    }
    return finish(&o, nomem);
}

char *mend_indent(struct span s, struct span add, size_t remove, int first_only, int *nomem)
{
    struct out o = {.changed = 1};
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    put(&o, "", 0);
    while (span_line(&p, end, &line)) {
        size_t k = span_indent(line);
        if (k < line.n && (!first_only || o.n == 0)) {
            k = k < remove ? k : remove;
            put(&o, add.p, add.n);
            line.p += k, line.n -= k;
        }
        put(&o, line.p, line.n);
        put(&o, "\n", 1);
    }
    return finish(&o, nomem);
}
