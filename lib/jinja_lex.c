/* jinja_lex - a template's text as tokens, with Jinja's rules for white space around tags */
#include "jinja_impl.h"
#include "json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lexer {
    struct jinja *t;
    struct err *e;
    struct jtoks *out;
    const char *s; /* the text, line ends made \n */
    size_t n, at, counted;
    int line;          /* of `counted` */
    int line_starting; /* what was read last ended with a newline */
    int failed;
};

static int line_of(struct lexer *l, size_t at)
{
    for (; l->counted < at; l->counted++)
        l->line += l->s[l->counted] == '\n';
    return l->line;
}

static int fail(struct lexer *l, size_t at, const char *what)
{
    int line = 1;
    for (size_t i = 0; i < at; i++)
        line += l->s[i] == '\n';
    l->failed = 1;
    return err_set(l->e, ERR_DATA, "%s:%d: %s", l->t->where, line, what);
}

static struct jtok *put(struct lexer *l, enum jtok_kind kind, size_t at)
{
    static struct jtok spare;
    struct jtoks *o = l->out;
    if (o->n == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 256;
        struct jtok *v = realloc(o->v, cap * sizeof *v);
        if (!v) {
            l->failed = 1;
            err_set(l->e, ERR_NOMEM, "%s: out of memory", l->t->where);
            spare = (struct jtok){0};
            return &spare;
        }
        o->v = v;
        o->cap = cap;
    }
    o->v[o->n] = (struct jtok){.kind = kind, .line = line_of(l, at)};
    return &o->v[o->n++];
}

static int space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static size_t skip_space(const struct lexer *l, size_t i)
{
    size_t n;
    while (i < l->n && jtext_is_space(l->s + i, l->n - i, &n))
        i += n;
    return i;
}

/* Bytes of the white space that ends before `to`; 0 if there is none. */
static size_t space_before(const struct lexer *l, size_t from, size_t to)
{
    size_t n = 1, len;
    while (to - n > from && (l->s[to - n] & 0xc0) == 0x80)
        n++;
    return jtext_is_space(l->s + to - n, n, &len) && len == n ? n : 0;
}

static int starts(const struct lexer *l, size_t i, const char *what)
{
    size_t k = strlen(what);
    return i + k <= l->n && memcmp(l->s + i, what, k) == 0;
}

/* Text before a tag: "-" strips it, lstrip_blocks takes the blanks of a line that begins with a block. */
static void put_data(struct lexer *l, size_t from, size_t to, char sign, int is_variable)
{
    size_t n;
    if (sign == '-') {
        while (to > from && (n = space_before(l, from, to)))
            to -= n;
    } else if (sign != '+' && !is_variable) {
        size_t bol = to;
        while (bol > from && l->s[bol - 1] != '\n')
            bol--;
        if ((bol > from || l->line_starting) && bol < to && skip_space(l, bol) >= to)
            to = bol;
    }
    if (to > from) {
        struct jtok *k = put(l, T_DATA, from);
        k->s = l->s + from;
        k->n = to - from;
    }
}

/* If a tag ends at i with `end` ("%}"): the offset behind it and the white space that goes with it. */
static size_t tag_end(const struct lexer *l, size_t i, const char *end)
{
    if (starts(l, i, "-") && starts(l, i + 1, end))
        return skip_space(l, i + 3);
    if (*end != '}' && starts(l, i, "+") && starts(l, i + 1, end))
        return i + 3;
    if (!starts(l, i, end))
        return 0;
    return i + 2 + (*end != '}' && starts(l, i + 2, "\n"));
}

static void go_on(struct lexer *l, size_t at)
{
    l->line_starting = at > 0 && l->s[at - 1] == '\n';
    l->at = at;
}

static void comment(struct lexer *l, size_t from)
{
    for (size_t i = from; i + 1 < l->n; i++) {
        size_t end = tag_end(l, i, "#}");
        if (end) {
            go_on(l, end);
            return;
        }
    }
    fail(l, from, "the comment has no end");
}

/* i behind "{%" and its sign: the offset behind `word` and the white space around it, or 0. */
static size_t word(const struct lexer *l, size_t i, const char *w)
{
    i = skip_space(l, i);
    return starts(l, i, w) ? skip_space(l, i + strlen(w)) : 0;
}

static int is_sign(char c)
{
    return c == '-' || c == '+';
}

/* {% raw %} ... {% endraw %}: 1 if the tag at `from` is one. */
static int raw(struct lexer *l, size_t from)
{
    size_t i = word(l, from, "raw"), end;
    if (!i || !(starts(l, i, "%}") || starts(l, i, "-%}")))
        return 0;
    size_t text = l->s[i] == '-' ? skip_space(l, i + 3) : i + 2;
    l->line_starting = l->s[text - 1] == '\n';
    for (i = text; i + 1 < l->n; i++) {
        if (!starts(l, i, "{%"))
            continue;
        char sign = i + 2 < l->n && is_sign(l->s[i + 2]) ? l->s[i + 2] : 0;
        size_t w = word(l, i + 2 + (sign != 0), "endraw");
        if (w && (end = tag_end(l, w, "%}"))) {
            put_data(l, text, i, sign, 0);
            go_on(l, end);
            return 1;
        }
    }
    fail(l, from, "raw has no endraw");
    return 1;
}

/* ---- inside tags ---- */

static size_t put_utf8(char *o, uint32_t c)
{
    size_t n = 0;
    if (c < 0x80)
        o[n++] = (char)c;
    else if (c < 0x800) {
        o[n++] = (char)(0xc0 | c >> 6);
        o[n++] = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        o[n++] = (char)(0xe0 | c >> 12);
        o[n++] = (char)(0x80 | (c >> 6 & 63));
        o[n++] = (char)(0x80 | (c & 63));
    } else {
        o[n++] = (char)(0xf0 | c >> 18);
        o[n++] = (char)(0x80 | (c >> 12 & 63));
        o[n++] = (char)(0x80 | (c >> 6 & 63));
        o[n++] = (char)(0x80 | (c & 63));
    }
    return n;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* One of Python's escapes, i at what follows the backslash; the offset behind it, 0: not one that we have. */
static size_t escape(const struct lexer *l, size_t i, size_t end, char *o, size_t *n)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    char c = l->s[i];
    const char *simple = memchr(from, c, sizeof from - 1);
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v = 0;
    if (c == '\n')
        return i + 1;
    if (simple) {
        o[(*n)++] = to[simple - from];
        return i + 1;
    }
    if (c >= '0' && c <= '7') {
        size_t k = i;
        for (; k < end && k < i + 3 && l->s[k] >= '0' && l->s[k] <= '7'; k++)
            v = v * 8 + (uint32_t)(l->s[k] - '0');
        *n += put_utf8(o + *n, v);
        return k;
    }
    if (c == 'N')
        return 0;
    if (!digits) {
        o[(*n)++] = '\\';
        return i;
    }
    for (size_t k = 1; k <= digits; k++) {
        if (i + k >= end || hex(l->s[i + k]) < 0)
            return 0;
        v = v * 16 + (uint32_t)hex(l->s[i + k]);
    }
    if (v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
        return 0;
    *n += put_utf8(o + *n, v);
    return i + 1 + digits;
}

static void string(struct lexer *l, size_t from)
{
    size_t end = from + 1, n = 0;
    while (end < l->n && l->s[end] != l->s[from])
        end += 1 + (l->s[end] == '\\');
    if (end >= l->n) {
        fail(l, from, "the string has no end");
        return;
    }
    char *o = jarena_alloc(&l->t->a, end - from + 1);
    if (!o) {
        l->failed = 1;
        err_set(l->e, ERR_NOMEM, "%s: out of memory", l->t->where);
        return;
    }
    for (size_t i = from + 1; i < end;) {
        if (l->s[i] != '\\') {
            o[n++] = l->s[i++];
            continue;
        }
        size_t next = escape(l, i + 1, end, o, &n);
        if (!next) {
            fail(l, i, "a string has an escape that is not supported, or not one");
            return;
        }
        i = next;
    }
    struct jtok *k = put(l, T_STR, from);
    k->s = o;
    k->n = n;
    l->at = end + 1;
}

static int digit(const struct lexer *l, size_t i)
{
    return i < l->n && l->s[i] >= '0' && l->s[i] <= '9';
}

static void number(struct lexer *l, int after_dot)
{
    char buf[64];
    size_t i = l->at, n = 0;
    int real = 0;
    while (digit(l, i) || (i < l->n && l->s[i] == '_' && digit(l, i + 1) && n)) {
        if (n + 8 > sizeof buf) {
            fail(l, l->at, "a number has too many digits");
            return;
        }
        if (l->s[i] != '_')
            buf[n++] = l->s[i];
        i++;
    }
    if (!after_dot && i < l->n && l->s[i] == '.' && digit(l, i + 1)) {
        real = 1;
        for (buf[n++] = l->s[i++]; digit(l, i) && n + 8 < sizeof buf; i++)
            buf[n++] = l->s[i];
    }
    size_t sign = i + 1 < l->n && is_sign(l->s[i + 1]);
    if (!after_dot && i < l->n && (l->s[i] | 32) == 'e' && digit(l, i + 1 + sign)) {
        real = 1;
        buf[n++] = 'e';
        if (sign)
            buf[n++] = l->s[i + 1];
        for (i += 1 + sign; digit(l, i) && n + 1 < sizeof buf; i++)
            buf[n++] = l->s[i];
    }
    buf[n] = 0;
    if (digit(l, i) ||
        (i < l->n && (l->s[i] == '_' || ((l->s[i] | 32) >= 'a' && (l->s[i] | 32) <= 'z'))) ||
        (!real && n > 1 && buf[0] == '0')) {
        fail(l, l->at, "a number is written in a way that is not supported");
        return;
    }
    struct jtok *k = put(l, real ? T_FLOAT : T_INT, l->at);
    errno = 0;
    if (real)
        k->f = strtod(buf, NULL);
    else
        k->i = strtoll(buf, NULL, 10);
    if (!real && errno)
        fail(l, l->at, "a number is beyond 64 bits");
    l->at = i;
}

static int name_char(char c)
{
    return c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9');
}

static void name(struct lexer *l)
{
    size_t i = l->at;
    while (i < l->n && name_char(l->s[i]))
        i++;
    struct jtok *k = put(l, T_NAME, l->at);
    k->s = l->s + l->at;
    k->n = i - l->at;
    l->at = i;
}

/* An operator; brackets are counted, so that "}}" may end two of them instead of the tag. */
static void operator(struct lexer *l, char *stack, int *depth)
{
    static const char two[][3] = {"//", "**", "==", "!=", ">=", "<="};
    char c = l->s[l->at], open = c == ')' ? '(' : c == ']' ? '[' : c == '}' ? '{' : 0;
    size_t from = l->at;
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (starts(l, from, two[i])) {
            put(l, T_OP, from)->op = J2(two[i][0], two[i][1]);
            l->at += 2;
            return;
        }
    if (!c || !strchr("+-/*%~[](){}<>=.:|,;", c)) {
        fail(l, from,
             c & 0x80 ? "a tag has a character that is not ASCII outside of a string"
                      : "a tag has a character that Jinja does not know");
        return;
    }
    if (c == '(' || c == '[' || c == '{') {
        if (*depth == JINJA_NESTING) {
            fail(l, from, "brackets are nested too deeply");
            return;
        }
        stack[(*depth)++] = c;
    }
    if (open && (*depth == 0 || stack[--*depth] != open)) {
        fail(l, from, "a bracket is closed that is not open");
        return;
    }
    put(l, T_OP, from)->op = c;
    l->at++;
}

static void tag(struct lexer *l, const char *end, enum jtok_kind last)
{
    char stack[JINJA_NESTING];
    int depth = 0;
    size_t from = l->at;
    while (!l->failed) {
        size_t behind = depth ? 0 : tag_end(l, l->at, end);
        if (behind) {
            put(l, last, l->at);
            go_on(l, behind);
            return;
        }
        if (l->at >= l->n) {
            fail(l, from, "the tag has no end");
            return;
        }
        char c = l->s[l->at];
        const struct jtok *before = &l->out->v[l->out->n - 1];
        if (space(c) || (c & 0x80 && skip_space(l, l->at) > l->at))
            l->at = skip_space(l, l->at);
        else if (c >= '0' && c <= '9')
            number(l, before->kind == T_OP && before->op == '.');
        else if (name_char(c))
            name(l);
        else if (c == '\'' || c == '"')
            string(l, l->at);
        else
            operator(l, stack, &depth);
    }
}

/* \r\n and \r to \n; one newline at the end goes. */
static int normalise(struct lexer *l, const char *text, size_t n)
{
    char *s = jarena_alloc(&l->t->a, n + 1);
    if (!s)
        return err_set(l->e, ERR_NOMEM, "%s: out of memory", l->t->where);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n')
            continue;
        s[l->n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (l->n && s[l->n - 1] == '\n')
        l->n--;
    l->s = s;
    return 0;
}

int jinja_lex(struct jinja *t, const char *text, size_t n, struct jtoks *out, struct err *e)
{
    struct lexer l = {.t = t, .e = e, .out = out, .line = 1, .line_starting = 1};
    if (n > JINJA_SOURCE)
        return err_set(e, ERR_DATA, "%s: the template has %zu bytes, more than %d", t->where, n,
                       JINJA_SOURCE);
    if (!utf8_valid(text, n))
        return err_set(e, ERR_DATA, "%s: the template is not UTF-8", t->where);
    if (normalise(&l, text, n))
        return e->code;
    while (!l.failed && l.at < l.n) {
        size_t i = l.at;
        while (i < l.n && !(l.s[i] == '{' && i + 1 < l.n && memchr("%{#", l.s[i + 1], 3)))
            i++;
        if (i == l.n) {
            put_data(&l, l.at, l.n, '+', 1);
            break;
        }
        char kind = l.s[i + 1], sign = i + 2 < l.n && is_sign(l.s[i + 2]) ? l.s[i + 2] : 0;
        size_t inside = i + 2 + (sign != 0);
        put_data(&l, l.at, i, sign, kind == '{');
        l.at = inside;
        if (kind == '#')
            comment(&l, inside);
        else if (kind == '{') {
            put(&l, T_VBEGIN, i);
            tag(&l, "}}", T_VEND);
        } else if (!raw(&l, inside)) {
            put(&l, T_BBEGIN, i);
            tag(&l, "%}", T_BEND);
        }
    }
    put(&l, T_EOF, l.n);
    return l.failed ? e->code : 0;
}
