/* pytoken - text to the tokens of Python 3.11: lines, indentation, names, numbers, strings */
#include "pytoken.h"
#include <string.h>

static int is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static int is_hex(int c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int begins_name(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static int continues_name(unsigned char c)
{
    return begins_name(c) || is_digit(c);
}

static int at(const struct py_lexer *x, size_t k) /* the byte k ahead; -1 behind the end */
{
    return (size_t)(x->end - x->p) > k ? (unsigned char)x->p[k] : -1;
}

static int at_newline(const struct py_lexer *x)
{
    int c = at(x, 0);
    return c == '\n' || c == '\r';
}

static void skip_newline(struct py_lexer *x) /* \n, \r\n or a lone \r */
{
    x->p += at(x, 0) == '\r' && at(x, 1) == '\n' ? 2 : 1;
    x->line++;
}

static int fail(struct py_lexer *x, const char *why)
{
    x->why = why;
    x->why_line = x->line;
    return PY_ERROR;
}

static long line_of(const struct py_lexer *x, const char *p) /* p lies before x->p */
{
    long line = x->line;
    for (const char *q = x->p; q > p; q--)
        line -= q[-1] == '\n' || (q[-1] == '\r' && (q == x->end || *q != '\n'));
    return line;
}

void py_lex_begin(struct py_lexer *x, const char *s, size_t n)
{
    memset(x, 0, offsetof(struct py_lexer, indent));
    x->begin = x->p = s;
    x->end = s + n;
    x->line = x->bol = 1;
    x->indent[0] = x->alt[0] = 0;
}

void py_lex_inside(struct py_lexer *x, const char *s, size_t n, long line)
{
    py_lex_begin(x, s, n);
    x->line = line;
    x->bol = 0;
    x->inside = x->level = 1;
    x->paren[0] = '(';
    x->paren_at[0] = 0;
}

/* A backslash at x->p must end its line, and not the text. */
static int continuation(struct py_lexer *x)
{
    x->p++;
    if (x->p == x->end)
        return fail(x, "the text ends after a backslash");
    if (!at_newline(x))
        return fail(x, "a character after a line's backslash");
    skip_newline(x);
    return x->p == x->end ? fail(x, "the text ends after a backslash") : 0;
}

/* ---- indentation ---- */

static int set_indent(struct py_lexer *x, int col, int alt)
{
    static const char tabs[] = "inconsistent use of tabs and spaces in indentation";
    int top = x->n_indent;
    if (col == x->indent[top])
        return alt == x->alt[top] ? 0 : fail(x, tabs);
    if (col > x->indent[top]) {
        if (top + 1 >= PY_MAX_INDENT)
            return fail(x, "too many levels of indentation");
        if (alt <= x->alt[top])
            return fail(x, tabs);
        x->indent[++x->n_indent] = col;
        x->alt[x->n_indent] = alt;
        x->pending = 1;
        return 0;
    }
    while (x->n_indent > 0 && col < x->indent[x->n_indent])
        x->n_indent--, x->pending--;
    if (col != x->indent[x->n_indent])
        return fail(x, "unindent does not match any outer indentation level");
    return alt == x->alt[x->n_indent] ? 0 : fail(x, tabs);
}

/* The white space that begins a line. 1: the line holds nothing else, or a comment. */
static int begin_line(struct py_lexer *x)
{
    int col = 0, alt = 0, first = 0, c; /* first: column before the first backslash */
    for (;; x->p++) {
        c = at(x, 0);
        if (c == ' ')
            col++, alt++;
        else if (c == '\t')
            col = (col / 8 + 1) * 8, alt++;
        else if (c == '\f')
            col = alt = 0;
        else if (c == '\\') {
            first = first ? first : col;
            if (continuation(x) == PY_ERROR)
                return PY_ERROR;
            x->p--;
        } else
            break;
        if (col > 1 << 24) /* absurd, and must not overflow */
            return fail(x, "too much indentation");
    }
    x->bol = 0;
    if (c == '#' || c == '\n' || c == '\r')
        return 1;
    if (c < 0) /* the end: what is open ends at column 0 */
        col = alt = first = 0;
    return set_indent(x, first ? first : col, first ? first : alt);
}

/* ---- names ---- */

int py_keyword(const char *s, size_t n)
{
    static const char *const words[] = {
        "and",  "as",     "assert", "async",  "await",  "break",   "class",    "continue", "def",
        "del",  "elif",   "else",   "except", "False",  "finally", "for",      "from",     "global",
        "if",   "import", "in",     "is",     "lambda", "None",    "nonlocal", "not",      "or",
        "pass", "raise",  "return", "True",   "try",    "while",   "with",     "yield"};
    if (n < 2 || n > 8)
        return PY_NAME;
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (words[i][0] == s[0] && strlen(words[i]) == n && !memcmp(words[i], s, n))
            return PY_KEYWORD_FIRST + i;
    return PY_NAME;
}

static int name(struct py_lexer *x)
{
    const char *s = x->p;
    int ascii = 1;
    while (x->p < x->end && continues_name((unsigned char)*x->p))
        ascii &= (unsigned char)*x->p++ < 0x80;
    if (ascii)
        return py_keyword(s, (size_t)(x->p - s));
    for (const char *p = s; p < x->p;) {
        uint32_t c;
        size_t k = py_char(p, x->p, &c);
        if (!(p == s ? py_ident_start(c) : py_ident_char(c)))
            return fail(x, "a character that no name can hold");
        p += k;
    }
    return PY_NAME;
}

/* ---- numbers ---- */

static const char bad_number[] = "invalid number";

static int digits(struct py_lexer *x, int (*ok)(int)) /* with single underscores between */
{
    for (;;) {
        while (ok(at(x, 0)))
            x->p++;
        if (at(x, 0) != '_')
            return 0;
        x->p++;
        if (!ok(at(x, 0)))
            return fail(x, bad_number);
    }
}

static int is_octal(int c)
{
    return c >= '0' && c <= '7';
}

static int is_binary(int c)
{
    return c == '0' || c == '1';
}

/* Behind a number no name may begin, but for a keyword: "1if x else y". */
static int number_end(struct py_lexer *x)
{
    static const char *const follow[] = {"and", "else", "for", "if", "in", "is", "or", "not"};
    if (at(x, 0) < 0 || !continues_name((unsigned char)*x->p))
        return PY_NUMBER;
    for (size_t i = 0; i < sizeof follow / sizeof *follow; i++) {
        size_t k = strlen(follow[i]);
        if ((size_t)(x->end - x->p) >= k && !memcmp(x->p, follow[i], k))
            return PY_NUMBER;
    }
    return fail(x, bad_number);
}

/* "0x1F", "0o17", "0b1". */
static int radix_number(struct py_lexer *x, int (*ok)(int))
{
    x->p += 2;
    if (at(x, 0) == '_')
        x->p++;
    if (!ok(at(x, 0)))
        return fail(x, bad_number);
    if (digits(x, ok) == PY_ERROR)
        return PY_ERROR;
    return is_digit(at(x, 0)) ? fail(x, bad_number) : number_end(x);
}

/* Leading zeros, and CPython's bound on what it converts (sys.int_info.default_max_str_digits). */
static int check_integer(struct py_lexer *x, const char *s)
{
    size_t n = 0;
    int zero = *s == '0', other = 0;
    for (; s < x->p; s++)
        n += *s != '_', other |= *s != '_' && *s != '0';
    if (zero && other)
        return fail(x, "leading zeros in a decimal number");
    return n > 4300 && other ? fail(x, "more than 4300 digits in a number") : 0;
}

static int number(struct py_lexer *x, int *flags)
{
    const char *s = x->p;
    int c = at(x, 1) | 0x20, whole = 1;
    if (at(x, 0) == '0' && (c == 'x' || c == 'o' || c == 'b'))
        return radix_number(x, c == 'x' ? is_hex : c == 'o' ? is_octal : is_binary);
    if (at(x, 0) != '.' && digits(x, is_digit) == PY_ERROR)
        return PY_ERROR;
    if (at(x, 0) == '.') {
        whole = 0;
        x->p++;
        if (is_digit(at(x, 0)) && digits(x, is_digit) == PY_ERROR)
            return PY_ERROR;
    }
    if ((at(x, 0) | 0x20) == 'e') {
        int sign = at(x, 1) == '+' || at(x, 1) == '-';
        if (is_digit(at(x, 1 + (size_t)sign))) {
            whole = 0;
            x->p += 1 + sign;
            if (digits(x, is_digit) == PY_ERROR)
                return PY_ERROR;
        } else if (sign)
            return fail(x, bad_number);
    }
    if ((at(x, 0) | 0x20) == 'j') {
        x->p++;
        *flags = PY_IMAGINARY;
    } else if (whole && check_integer(x, s) == PY_ERROR)
        return PY_ERROR;
    return number_end(x);
}

/* ---- strings ---- */

/* Prefix letters before a quote: their number, or -1. */
static int string_prefix(const struct py_lexer *x, int *flags)
{
    int b = 0, r = 0, u = 0, f = 0;
    for (size_t i = 0; i < 3; i++) {
        int c = at(x, i);
        if (c == '"' || c == '\'') {
            *flags = (r ? PY_RAW : 0) | (b ? PY_BYTES : 0) | (f ? PY_FORMAT : 0);
            return (int)i;
        }
        c |= 0x20;
        if (c == 'b' && !b && !u && !f)
            b = 1;
        else if (c == 'u' && !u && !b && !r && !f)
            u = 1;
        else if (c == 'r' && !r && !u)
            r = 1;
        else if (c == 'f' && !f && !b && !u)
            f = 1;
        else
            return -1;
    }
    return -1;
}

static int string(struct py_lexer *x, int *flags)
{
    int q = at(x, 0);
    long line = x->line;
    if (at(x, 1) == q && at(x, 2) == q) {
        *flags |= PY_TRIPLE;
        x->p += 3;
    } else
        x->p++;
    while (x->p < x->end) {
        int c = at(x, 0);
        if (c == q && (!(*flags & PY_TRIPLE) || (at(x, 1) == q && at(x, 2) == q))) {
            x->p += *flags & PY_TRIPLE ? 3 : 1;
            return PY_STRING;
        }
        if (c == '\\')
            c = (++x->p, at(x, 0));
        else if ((c == '\n' || c == '\r') && !(*flags & PY_TRIPLE))
            return fail(x, "a string is not closed on its line");
        if (c == '\n' || c == '\r')
            skip_newline(x);
        else if (c >= 0)
            x->p++;
    }
    x->why_open = line;
    return fail(x, *flags & PY_TRIPLE ? "a long string is never closed"
                                      : "a string is not closed on its line");
}

/* ---- operators ---- */

static int open_bracket(struct py_lexer *x, int c)
{
    if (x->level >= PY_MAX_PAREN)
        return fail(x, "too many nested brackets");
    x->paren_at[x->level] = (uint32_t)(x->p - x->begin);
    x->paren[x->level++] = (char)c;
    x->p++;
    return c;
}

static int close_bracket(struct py_lexer *x, int c)
{
    int want = c == ')' ? '(' : c == ']' ? '[' : '{';
    if (x->level <= x->inside)
        return fail(x, "a bracket is closed that is not open");
    if (x->paren[x->level - 1] != want)
        return fail(x, "a bracket is closed by another one");
    x->level--;
    x->p++;
    return c;
}

static int operator_token(struct py_lexer *x)
{
    static const struct {
        char s[4];
        int type;
    } ops[] = {
        {"**=", PY_AUGASSIGN}, {"//=", PY_AUGASSIGN}, {">>=", PY_AUGASSIGN}, {"<<=", PY_AUGASSIGN},
        {"...", PY_ELLIPSIS},  {"->", PY_ARROW},      {":=", PY_WALRUS},     {"==", PY_COMPARE},
        {"!=", PY_COMPARE},    {"<=", PY_COMPARE},    {">=", PY_COMPARE},    {"<>", PY_BAD},
        {"**", PY_POWER},      {"//", PY_FLOORDIV},   {"<<", PY_SHIFT},      {">>", PY_SHIFT},
        {"+=", PY_AUGASSIGN},  {"-=", PY_AUGASSIGN},  {"*=", PY_AUGASSIGN},  {"/=", PY_AUGASSIGN},
        {"%=", PY_AUGASSIGN},  {"&=", PY_AUGASSIGN},  {"|=", PY_AUGASSIGN},  {"^=", PY_AUGASSIGN},
        {"@=", PY_AUGASSIGN}};
    int c = at(x, 0);
    if (c == 0)
        return fail(x, "a NUL byte");
    if (strchr("([{", c))
        return open_bracket(x, c);
    if (strchr(")]}", c))
        return close_bracket(x, c);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        size_t k = strlen(ops[i].s);
        if (ops[i].s[0] == c && (size_t)(x->end - x->p) >= k && !memcmp(x->p, ops[i].s, k)) {
            x->p += k;
            return ops[i].type;
        }
    }
    if (!strchr("+-*/%@&|^~<>=.,:;", c))
        return c == '$' || c == '?' || c == '!' || c == '`'
                   ? (x->p++, PY_BAD)
                   : fail(x, "a character that begins nothing");
    x->p++;
    return c;
}

/* ---- the next token ---- */

static int at_end(struct py_lexer *x)
{
    if (x->inside) { /* the closing parenthesis that is not in the text, then the end */
        if (x->level == 0)
            return PY_EOF;
        if (x->level == 1) {
            x->level = 0;
            return ')';
        }
    }
    if (x->level > 0) {
        x->why_open = line_of(x, x->begin + x->paren_at[x->level - 1]);
        return fail(x, "a bracket is never closed");
    }
    if (x->newline_due) { /* the last line has no newline */
        x->newline_due = 0;
        x->bol = 1;
        return PY_NEWLINE;
    }
    return PY_EOF;
}

/* Up to what begins a token: 0, or a token that needs no text. */
static int skip_blank(struct py_lexer *x)
{
    for (;;) {
        int c, blank = 0;
        if (x->bol && !x->inside) {
            if ((blank = begin_line(x)) == PY_ERROR)
                return PY_ERROR;
            if (x->pending) {
                int type = x->pending > 0 ? PY_INDENT : PY_DEDENT;
                x->pending += x->pending > 0 ? -1 : 1;
                return type;
            }
        }
        while ((c = at(x, 0)) == ' ' || c == '\t' || c == '\f')
            x->p++;
        if (c == '#')
            while (x->p < x->end && !at_newline(x))
                x->p++;
        if (x->p == x->end) {
            if (x->bol == 0 && blank) { /* a comment ends the text: its line ends too */
                x->bol = 1;
                continue;
            }
            return at_end(x);
        }
        if (at_newline(x)) {
            skip_newline(x);
            if (x->level > 0)
                continue;
            x->bol = 1;
            if (blank || !x->newline_due)
                continue;
            x->newline_due = 0;
            return PY_NEWLINE;
        }
        if (c != '\\')
            return 0;
        if (continuation(x) == PY_ERROR)
            return PY_ERROR;
    }
}

static int token(struct py_lexer *x, struct py_token *t)
{
    int prefix, c;
    if (x->why)
        return PY_ERROR;
    if (x->pending) {
        int type = x->pending > 0 ? PY_INDENT : PY_DEDENT;
        x->pending += x->pending > 0 ? -1 : 1;
        return type;
    }
    if ((c = skip_blank(x)) != 0)
        return c;
    t->p = x->p;
    t->line = x->line;
    x->newline_due = 1;
    c = at(x, 0);
    if (begins_name((unsigned char)c) || c == '"' || c == '\'') {
        if ((prefix = string_prefix(x, &t->flags)) < 0)
            return name(x);
        x->p += prefix;
        return string(x, &t->flags);
    }
    if (is_digit(c) || (c == '.' && is_digit(at(x, 1))))
        return number(x, &t->flags);
    return operator_token(x);
}

void py_lex_next(struct py_lexer *x, struct py_token *t)
{
    t->flags = 0;
    t->p = NULL;
    t->type = token(x, t);
    if (!t->p) { /* no text: it stands behind the last one, or an INDENT before the next */
        t->p = x->p;
        t->n = 0;
        t->line = t->type == PY_NEWLINE ? x->last_line : x->line;
        return;
    }
    t->n = (size_t)(x->p - t->p);
    x->last_line = x->line;
}
