/* extract_brace - candidates in C, C++ and JavaScript: no parser, braces that balance
 *
 * A piece is whole when its braces do, and takes helpers from pieces that define them; a body is what
 * goes on up to the brace that closes the prompt's function, and HumanEval-X expects that brace in the
 * answer. */
#include "extract_private.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct scan {
    struct span s;
    size_t i;
    int depth, lowest; /* open braces; the least there ever was */
    int unclosed;      /* quotes that nothing closed */
};
/* Answers may be endless repetitions: so many quotes are sought to their line's end, so many bytes may a
 * function's head have. */
enum { MAX_UNCLOSED = 500, MAX_HEAD = 1 << 15 };

/* Behind the string or comment at i; i if there is none. */
static size_t skip_literal(struct span s, size_t i)
{
    char c = s.p[i];
    const char *q;
    if (c == '/' && i + 1 < s.n && s.p[i + 1] == '/') {
        q = memchr(s.p + i, '\n', s.n - i);
        return q ? (size_t)(q - s.p) : s.n;
    }
    if (c == '/' && i + 1 < s.n && s.p[i + 1] == '*') {
        q = memmem(s.p + i + 2, s.n - i - 2, "*/", 2);
        return q ? (size_t)(q + 2 - s.p) : s.n;
    }
    if (c != '"' && c != '\'' && c != '`')
        return i;
    if (c == '\'' && i > 0 && isalnum((unsigned char)s.p[i - 1])) /* 1'000 */
        return i;
    for (size_t k = i + 1; k < s.n && (c == '`' || s.p[k] != '\n'); k++) {
        if (s.p[k] == c)
            return k + 1;
        k += s.p[k] == '\\';
    }
    return c == '`' ? s.n : i;
}

/* One step; the character, or 0 for a literal, or -1 at the end. */
static int step(struct scan *x)
{
    size_t k;
    int c;
    if (x->i >= x->s.n)
        return -1;
    c = (unsigned char)x->s.p[x->i];
    if (c == '/' || ((c == '"' || c == '\'' || c == '`') && x->unclosed < MAX_UNCLOSED)) {
        if ((k = skip_literal(x->s, x->i)) > x->i) {
            x->i = k < x->s.n ? k : x->s.n;
            return 0;
        }
        x->unclosed += c != '/';
    }
    x->i++;
    x->depth += (c == '{') - (c == '}');
    x->lowest = x->depth < x->lowest ? x->depth : x->lowest;
    return c;
}

static int is_name(int c)
{
    return isalnum(c) || c == '_' || c == '$';
}

/* Where the function whose name ends at i has its '{', or s.n if it is none: "name(...) {", "name = ..."
 * behind const, let, var. *value: it is the latter, which defines also without a brace. */
static size_t opened_at(struct span s, size_t i, int *value)
{
    struct scan x = {.s = s, .i = i};
    int level = 0, c;
    if (s.n - i > MAX_HEAD)
        x.s.n = i + MAX_HEAD;
    while (x.i < s.n && isspace((unsigned char)s.p[x.i]))
        x.i++;
    *value = x.i < s.n && s.p[x.i] == '=' && (x.i + 1 == s.n || s.p[x.i + 1] != '=');
    if (!*value && (x.i >= s.n || s.p[x.i] != '('))
        return s.n;
    do { /* behind the parameters */
        c = step(&x);
        level += (c == '(') - (c == ')');
    } while (c >= 0 && (level > 0 || (*value && c != ';' && c != '>' && c != ')')));
    while (c >= 0 && c != ';' && (c = step(&x)) >= 0 && c != '{' && c != '}' && c != ')')
        ;
    return c == '{' ? x.i - 1 : s.n;
}

/* Between the brace at i and the one that closes it: comments alone? JavaScript may throw. */
static int is_stub(struct span s, size_t i)
{
    struct scan x = {.s = s, .i = i + 1};
    size_t from = i + 1;
    int c;
    do {
        from = x.i;
        c = step(&x);
    } while (x.depth >= 0 && (c == 0 || c == ';' || isspace(c)));
    return c == '}' || span_starts((struct span){s.p + from, s.n - from}, "throw new Error(");
}

/* Where the name comes next, as a whole word outside of literals; 0: nowhere. */
static int next_name(struct scan *x, const char *name, size_t *at)
{
    size_t m = strlen(name);
    struct span s = x->s;
    while ((*at = x->i) < s.n)
        if (step(x) == (unsigned char)*name && s.n - *at >= m && !memcmp(s.p + *at, name, m) &&
            (*at == 0 || !is_name((unsigned char)s.p[*at - 1])) &&
            (*at + m == s.n || !is_name((unsigned char)s.p[*at + m])))
            return 1;
    return 0;
}

/* 0, or 1: the name is defined; 2: by a function without code. */
static int defines(struct span s, const char *name)
{
    size_t m = strlen(name), looked = 0, at;
    struct scan x = {.s = s};
    int found = 0, value;
    while (looked < 1000 && found != 1 && next_name(&x, name, &at)) {
        looked++;
        size_t brace = opened_at(s, at + m, &value);
        if (brace < s.n)
            found = is_stub(s, brace) ? 2 : 1;
        else if (value)
            found = 1;
    }
    return found;
}

static int begins_code(struct span t) /* a line at column 0, or what stands on it */
{
    static const char *const words[] = {
        "#include",   "#define", "using ",       "function ",      "const ",  "let ",     "var ",
        "int ",       "void ",   "bool ",        "double ",        "float ",  "char ",    "long ",
        "unsigned ",  "size_t ", "std::",        "vector<",        "string ", "struct ",  "class ",
        "template",   "static ", "auto ",        "export ",        "async ",  "typedef ", "enum ",
        "namespace ", "module.", "extern ",      "inline ",        "pair<",   "map<",     "short ",
        "/*",         "//",      "'use strict'", "\"use strict\"", NULL};
    for (int i = 0; words[i]; i++)
        if (span_starts(t, words[i]))
            return 1;
    return 0;
}

static int is_code(struct span line)
{
    struct span t = span_trim(line);
    if (t.n == 0 || begins_code(t) || strchr("}{)#", *t.p))
        return 1;
    return strchr(";{},(", t.p[t.n - 1]) && memchr(t.p, ' ', t.n) != t.p;
}

/* From the first line of code to the first line of prose outside of braces. */
static struct span cut(struct span s, int fenced)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    struct scan x = {0};
    int begun = fenced;
    while (span_line(&p, end, &line)) {
        int top = x.depth <= 0 && span_indent(line) == 0 && line.n > 0;
        if (!begun && top && begins_code(line)) {
            begun = 1;
            s.p = line.p;
            x = (struct scan){.s = {line.p, (size_t)(end - line.p)}};
        } else if (!begun) {
            continue;
        } else if (!x.s.p) {
            x.s = (struct span){line.p, (size_t)(end - line.p)};
        }
        if (top && !is_code(line)) {
            end = line.p;
            break;
        }
        while (x.s.p + x.i < p && step(&x) >= 0)
            ;
        if (x.s.p + x.i > p) /* a comment or string goes over the line's end */
            p = x.s.p + x.i;
    }
    return begun ? (struct span){s.p, (size_t)(end - s.p)} : (struct span){s.p, 0};
}

static void add(struct finder *f, struct span s, struct candidate c)
{
    struct scan x = {.s = s};
    int braces = memchr(s.p, '{', s.n) != NULL, how;
    if (span_trim(s).n == 0)
        return;
    while (step(&x) >= 0)
        ;
    c.s = s;
    how = f->o->entry ? defines(s, f->o->entry) : braces;
    c.defines = how > 0;
    if (x.depth == 0 && x.lowest == 0)
        c.rank = how == 1 ? RANK_DEFINES : how ? RANK_STUB : braces ? RANK_OTHER : RANK_TEXT;
    else
        c.rank = how && f->o->entry ? RANK_BROKEN : braces ? RANK_DEF : RANK_TEXT;
    c.again = c.again && f->o->entry && c.rank == RANK_DEFINES;
    finder_add(f, &c);
}

/* Indented text up to the brace that closes the function around it. */
static int body(struct finder *f, struct span s, struct candidate c)
{
    struct scan x = {.s = s};
    int ch;
    if (f->o->no_body || (f->o->entry && defines(s, f->o->entry)))
        return 0;
    while ((ch = step(&x)) >= 0 && x.depth >= 0)
        ;
    if (ch < 0)
        return 0;
    while (x.i < s.n && s.p[x.i] == ';') /* "};" of const f = () => { */
        x.i++;
    c.s = (struct span){s.p, x.i};
    c.rank = RANK_BODY;
    c.body = c.defines = 1;
    finder_add(f, &c);
    return 1;
}

void brace_region(struct finder *f, const struct region *r)
{
    struct candidate c = {
        .how = r->how, .named = r->named, .again = r->how == EXTRACT_FENCE && !r->aside};
    if (span_indent(span_first(r->s)) > 0 && (r->how != EXTRACT_RAW || r->first) &&
        body(f, r->s, c))
        return;
    add(f, r->how == EXTRACT_FENCE ? r->s : cut(r->s, r->how == EXTRACT_OPEN_FENCE), c);
}

/* ---- helpers in other pieces ---- */

/* Each pair is compared, name by name: so many characters are looked at for one answer. */
enum { MAX_LENT = 16, MAX_NAMES = 200, MAX_PIECE = 1 << 14, MAX_LOOKED = 1 << 25 };

static int uses(struct span s, const char *name)
{
    struct scan x = {.s = s};
    size_t at;
    return next_name(&x, name, &at);
}

/* Is the name that s.p[at] begins (m bytes) defined there, outside of braces? */
static int given_at(struct span s, size_t at, size_t m, long *left)
{
    static const char *const words[] = {"if", "for", "while", "switch", "catch", "return", NULL};
    static const char *const types[] = {"struct ", "class ", "enum ", NULL};
    size_t i = at + m;
    int value;
    for (int k = 0; words[k]; k++)
        if (strlen(words[k]) == m && !memcmp(words[k], s.p + at, m))
            return 0;
    for (int k = 0; types[k]; k++)
        if (at >= strlen(types[k]) &&
            !memcmp(s.p + at - strlen(types[k]), types[k], strlen(types[k])))
            return 1;
    while (i < s.n && isspace((unsigned char)s.p[i]))
        i++;
    if (i == s.n || (s.p[i] != '(' && s.p[i] != '='))
        return 0;
    *left -= (long)(s.n - i);
    return opened_at(s, i, &value) < s.n || value;
}

/* Is the name defined in s, outside of braces? */
static int given_in(struct span s, const char *name, long *left)
{
    struct scan x = {.s = s};
    size_t at;
    *left -= (long)s.n;
    while (*left > 0 && next_name(&x, name, &at))
        if (x.depth == 0 && given_at(s, at, strlen(name), left))
            return 1;
    return 0;
}

/* Does `from` define outside of braces what `to` uses and does not define? With `clash`: what `to`
 * defines, too? */
static int gives(struct span from, struct span to, int clash, long *left)
{
    struct scan x = {.s = from};
    int looked = 0;
    while (x.i < from.n && looked < MAX_NAMES) {
        size_t at = x.i, m = 1;
        int c = step(&x);
        char name[80];
        if (c <= 0 || x.depth > 0 || !is_name(c) || isdigit(c))
            continue;
        while (at + m < from.n && is_name((unsigned char)from.p[at + m]))
            m++;
        x.i = at + m;
        if (*left <= 0)
            return 0;
        if (m >= sizeof name || !given_at(from, at, m, left))
            continue;
        looked++;
        *left -= (long)(to.n + m);
        memcpy(name, from.p + at, m);
        name[m] = 0;
        if (clash ? given_in(to, name, left) : uses(to, name) && !given_in(to, name, left))
            return 1;
    }
    return 0;
}

/* Which candidates lend; how many. What a lender needs from others is lent too. */
static int choose_lenders(const struct finder *f, int best, char *lends)
{
    long left = MAX_LOOKED;
    int n = 0, changed = 1;
    while (changed && n < MAX_LENT) {
        changed = 0;
        for (int i = 0; i < f->n && i < MAX_LENT; i++) {
            const struct candidate *c = &f->v[i];
            if (i == best || lends[i] || c->rank != RANK_OTHER || c->s.n > MAX_PIECE ||
                defines(c->s, "main") || (f->o->entry && uses(c->s, f->o->entry)))
                continue;
            for (int k = 0; k < f->n && k < MAX_LENT && !lends[i]; k++)
                lends[i] = (k == best || lends[k]) && gives(c->s, f->v[k].s, 0, &left);
            lends[i] |= best >= MAX_LENT && gives(c->s, f->v[best].s, 0, &left);
            /* nothing is defined twice */
            for (int k = 0; k < f->n && k < MAX_LENT && lends[i]; k++)
                lends[i] = k == i || !(k == best || lends[k]) || !gives(c->s, f->v[k].s, 1, &left);
            n += lends[i];
            changed |= lends[i];
        }
    }
    return n;
}

/* The lines at the beginning that helpers may need, too. */
static size_t preamble(struct span s)
{
    const char *p = s.p;
    struct span line;
    size_t n = 0;
    while (span_line(&p, s.p + s.n, &line)) {
        if (span_starts(line, "#") || span_starts(line, "using namespace ") ||
            span_starts(line, "'use strict'"))
            n = (size_t)(p - s.p);
        else if (!span_blank(line) && !span_starts(line, "//"))
            break;
    }
    return n;
}

static char *append(char *w, struct span s)
{
    memcpy(w, s.p, s.n);
    return w + s.n;
}

char *brace_assemble(struct finder *f, int best, struct extract *x)
{
    const struct candidate *c = &f->v[best];
    char lends[MAX_LENT] = {0}, *out, *w;
    size_t size = c->s.n + 2, head = 0;
    x->parts = 1;
    if (f->o->entry && !c->body && c->rank == RANK_DEFINES && !f->o->as_is && c->s.n <= MAX_PIECE &&
        f->n > 1)
        x->parts += choose_lenders(f, best, lends);
    for (int i = 0; i < MAX_LENT; i++)
        size += lends[i] ? f->v[i].s.n + 2 : 0;
    if (!(out = w = malloc(size)))
        return NULL;
    if (x->parts > 1)
        head = preamble(c->s);
    w = append(w, (struct span){c->s.p, head});
    for (int i = 0; i < MAX_LENT; i++)
        if (lends[i]) {
            w = append(w, span_trim(f->v[i].s));
            w = append(w, (struct span){"\n\n", 2});
        }
    w = append(w, (struct span){c->s.p + head, c->s.n - head});
    *w = 0;
    return out;
}
