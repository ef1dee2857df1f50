/* pystring - what stands inside string literals: escapes, and the expressions of f-strings
 *
 * In Python 3.11 an f-string is a string first: its text ends at its quote, whatever its braces hold.
 * Its expressions are then cut out by counting brackets and quotes, and parsed as if in parentheses. */
#include "pyparse_private.h"
#include <string.h>

static int hex_digits(const char *s, const char *end, int n, uint32_t *v)
{
    if (end - s < n)
        return 0;
    *v = 0;
    for (int i = 0; i < n; i++) {
        int c = s[i], d = c >= '0' && c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (d < 0 || d > 15 || ((c < '0' || c > '9') && d < 10))
            return 0;
        *v = *v << 4 | (uint32_t)d;
    }
    return 1;
}

static const char *named_character(const char *s, const char *end) /* behind \N; NULL = malformed */
{
    const char *q = s < end && *s == '{' ? ++s : NULL;
    while (q && q < end && *q != '}') {
        int c = *q++;
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == ' ' ||
              c == '-'))
            return NULL;
    }
    return q && q < end && q > s ? q + 1 : NULL;
}

/* The escapes of a piece of text that is not raw. NULL, or what is wrong. */
static const char *bad_escape(const char *s, const char *end, int bytes)
{
    static const char why[] = "malformed escape in a string";
    while ((s = memchr(s, '\\', (size_t)(end - s)))) {
        uint32_t v = 0;
        if (++s == end) /* before an f-string's brace */
            break;
        int c = *s++;
        if (c == 'x' && !hex_digits(s, end, 2, &v))
            return why;
        if (bytes)
            continue;
        if (c == 'u' && !hex_digits(s, end, 4, &v))
            return why;
        if (c == 'U' && (!hex_digits(s, end, 8, &v) || v > 0x10FFFF))
            return why;
        if (c == 'N' && !(s = named_character(s, end)))
            return why;
    }
    return NULL;
}

/* ---- f-strings ---- */

struct fstring {
    struct py_parser *p;
    const char *s, *end; /* what is left */
    int raw;
};

static int wrong(struct fstring *f, const char *why)
{
    return py_fail(f->p, why);
}

/* Text up to an expression (0) or to the end of the text, in a format specification (level > 0) also
 * to a '}' (1). */
static int literal(struct fstring *f, int level)
{
    for (;;) {
        const char *begin = f->s, *why = NULL;
        while (f->s < f->end && *f->s != '{' && *f->s != '}') {
            if (*f->s++ != '\\' || f->raw || f->s == f->end || *f->s == '{' || *f->s == '}')
                continue;
            if (*f->s++ == 'N' && f->s < f->end && *f->s == '{')
                while (f->s < f->end && *f->s++ != '}')
                    ;
        }
        if (!f->raw && (why = bad_escape(begin, f->s, 0)))
            return wrong(f, why);
        if (f->s == f->end || (level > 0 && *f->s == '}'))
            return 1;
        if (level > 0 || f->end - f->s < 2 || f->s[1] != *f->s)
            return *f->s == '{' ? 0 : wrong(f, "a single } in an f-string");
        f->s += 2; /* "{{" and "}}" stand for themselves */
    }
}

/* Find the end of an expression: f->s at '!', ':', '=', '}' outside of brackets and quotes. */
static int find_end(struct fstring *f)
{
    char open[PY_MAX_PAREN], quote = 0;
    int level = 0, triple = 0;
    for (; f->s < f->end; f->s++) {
        char c = *f->s, next = f->end - f->s > 1 ? f->s[1] : 0;
        int three = next == c && f->end - f->s > 2 && f->s[2] == c;
        if (c == '\\')
            return wrong(f, "a backslash in an expression of an f-string");
        if (quote) {
            if (c == quote && (!triple || three)) {
                f->s += triple ? 2 : 0;
                quote = 0;
            }
        } else if (c == '\'' || c == '"') {
            quote = c;
            triple = three;
            f->s += three ? 2 : 0;
        } else if (c == '(' || c == '[' || c == '{') {
            if (level == PY_MAX_PAREN)
                return wrong(f, "too many nested brackets");
            open[level++] = c;
        } else if (c == '#') {
            return wrong(f, "a # in an expression of an f-string");
        } else if (level == 0 && strchr("!:}=<>", c)) {
            if (next == '=' && c != ':' && c != '}')
                f->s++;
            else if (c != '<' && c != '>')
                return 0;
        } else if (c == ')' || c == ']' || c == '}') {
            if (level == 0 || open[--level] != (c == ')' ? '(' : c == ']' ? '[' : '{'))
                return wrong(f, "a bracket in an f-string is closed that is not open");
        }
    }
    return wrong(f, quote ? "a string in an f-string is not closed" : "expected } in an f-string");
}

static int parse_inside(struct fstring *f, const char *s, size_t n)
{
    struct py_parser *p = f->p;
    struct py_lexer outer = p->lx;
    struct py_token tok = p->tok;
    int rc;
    if (strspn(s, " \t\n\r\f") >= n) /* one of "!:=}" stands behind it */
        return wrong(f, "an empty expression in an f-string");
    py_lex_inside(&p->lx, s, n, tok.line);
    py_next(p);
    rc = py_group(p);
    p->lx = outer;
    p->tok = tok;
    return rc < 0 ? -1 : 0;
}

static int pieces(struct fstring *f, int level);

/* {expression}, with "=", a conversion and a format specification if they are there. */
static int replacement(struct fstring *f, int level)
{
    static const char no_end[] = "expected } in an f-string";
    const char *begin = ++f->s;
    if (level >= 2)
        return wrong(f, "expressions of an f-string nest too deep");
    if (find_end(f) < 0 || parse_inside(f, begin, (size_t)(f->s - begin)) < 0)
        return -1;
    if (*f->s == '=')
        do
            f->s++;
        while (f->s < f->end && strchr(" \t\n\r\f\v", *f->s));
    if (f->s < f->end && *f->s == '!') {
        if (f->end - f->s < 2 || !strchr("sra", f->s[1]))
            return wrong(f, "a conversion in an f-string that is not s, r or a");
        f->s += 2;
    }
    if (f->s < f->end && *f->s == ':') {
        f->s++;
        if (pieces(f, level + 1) < 0)
            return -1;
    }
    if (f->s == f->end || *f->s != '}')
        return wrong(f, no_end);
    f->s++;
    return 0;
}

static int pieces(struct fstring *f, int level)
{
    int rc;
    while ((rc = literal(f, level)) == 0)
        if (replacement(f, level) < 0)
            return -1;
    return rc < 0 ? -1 : 0;
}

/* ---- literals ---- */

static int literal_token(struct py_parser *p, const struct py_token *t)
{
    int quote = t->flags & PY_TRIPLE ? 3 : 1;
    const char *s = t->p, *end = t->p + t->n - quote, *why = NULL;
    while (*s != '"' && *s != '\'')
        s++;
    s += quote;
    if (t->flags & PY_FORMAT) {
        struct fstring f = {p, s, end, t->flags & PY_RAW};
        return pieces(&f, 0);
    }
    if (t->flags & PY_BYTES)
        for (const char *q = s; q < end; q++)
            if ((unsigned char)*q >= 0x80)
                return py_fail(p, "bytes hold a character that is not ASCII");
    if (!(t->flags & PY_RAW))
        why = bad_escape(s, end, t->flags & PY_BYTES);
    return why ? py_fail(p, why) : 0;
}

int py_strings(struct py_parser *p)
{
    int bytes = p->tok.flags & PY_BYTES;
    for (; p->tok.type == PY_STRING; py_next(p)) {
        if ((p->tok.flags & PY_BYTES) != bytes)
            return py_fail(p, "bytes beside a string");
        if (literal_token(p, &p->tok) < 0)
            return -1;
    }
    return 0;
}
