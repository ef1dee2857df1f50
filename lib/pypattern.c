/* pypattern - match statements of Python 3.11 and their patterns */
#include "pyparse_private.h"
#include <string.h>

static const char invalid[] = "invalid syntax";
static int pattern(struct py_parser *p); /* 1: a bare name */

static int capture(struct py_parser *p) /* a name that is bound; "_" is none */
{
    if (p->tok.type == PY_NAME && !py_is_word(p, "_"))
        py_name(p, &p->tok, PY_BIND);
    return py_expect(p, PY_NAME, "expected a name in a pattern");
}

static int number(struct py_parser *p) /* -1, 1 + 2j */
{
    int real;
    py_take(p, '-');
    real = !(p->tok.flags & PY_IMAGINARY);
    if (py_expect(p, PY_NUMBER, "expected a number in a pattern") < 0)
        return -1;
    if (p->tok.type != '+' && p->tok.type != '-')
        return 0;
    py_next(p);
    if (!real || p->tok.type != PY_NUMBER || !(p->tok.flags & PY_IMAGINARY))
        return py_fail(p, "expected a complex number in a pattern");
    py_next(p);
    return 0;
}

/* a.b.c: 1 if there was a dot. */
static int dotted(struct py_parser *p)
{
    int dots = 0;
    while (py_take(p, '.')) {
        dots = 1;
        if (py_expect(p, PY_NAME, "expected a name behind .") < 0)
            return -1;
    }
    return dots;
}

static int class_arguments(struct py_parser *p) /* behind '(' */
{
    int keywords = 0, bare;
    while (p->tok.type != ')') {
        size_t mark = p->ev.n;
        if ((bare = pattern(p)) < 0)
            return -1;
        if (bare && p->tok.type == '=') {
            keywords = 1;
            py_names_forget(p, mark); /* the name of an attribute */
            py_next(p);
            if (pattern(p) < 0)
                return -1;
        } else if (keywords)
            return py_fail(p, "a positional pattern behind a keyword");
        if (!py_take(p, ',') && p->tok.type != ')')
            return py_fail(p, invalid);
    }
    py_next(p);
    return 0;
}

/* A capture or "_" (1: a bare name), a.b, A(...). */
static int name_pattern(struct py_parser *p)
{
    struct py_token first = p->tok;
    int dots;
    if (py_is_word(p, "_")) {
        py_next(p);
        return 1;
    }
    py_next(p);
    if ((dots = dotted(p)) < 0)
        return -1;
    if (!py_take(p, '(')) {
        py_name(p, &first, dots ? PY_FIXED : PY_BIND);
        return !dots;
    }
    py_name(p, &first, PY_FIXED);
    return class_arguments(p);
}

static int mapping(struct py_parser *p) /* behind '{' */
{
    while (p->tok.type != '}') {
        if (py_take(p, PY_POWER)) {
            if (py_is_word(p, "_") || capture(p) < 0)
                return py_fail(p, "expected a name behind **");
            py_take(p, ',');
            return py_expect(p, '}', "a pattern behind **");
        }
        if (p->tok.type == PY_NAME) {
            py_name(p, &p->tok, PY_FIXED);
            py_next(p);
            if (dotted(p) <= 0)
                return py_fail(p, "a key of a pattern that is no constant");
        } else if (p->tok.type == PY_STRING) {
            if (py_strings(p) < 0)
                return -1;
        } else if (!py_take(p, PY_NONE) && !py_take(p, PY_TRUE) && !py_take(p, PY_FALSE) &&
                   number(p) < 0)
            return -1;
        if (py_expect(p, ':', "expected : in a pattern") < 0 || pattern(p) < 0)
            return -1;
        if (!py_take(p, ',') && p->tok.type != '}')
            return py_fail(p, invalid);
    }
    py_next(p);
    return 0;
}

static int maybe_star(struct py_parser *p)
{
    return py_take(p, '*') ? capture(p) : pattern(p);
}

/* (pattern), (a, *b), [a, b] behind the bracket; end is its partner. */
static int sequence(struct py_parser *p, int end)
{
    int n = 0, comma = 0, star = 0;
    for (; p->tok.type != end; n++) {
        star |= p->tok.type == '*';
        if (maybe_star(p) < 0)
            return -1;
        if (!(comma = py_take(p, ',')) && p->tok.type != end)
            return py_fail(p, invalid);
    }
    if (end == ')' && n == 1 && star && !comma)
        return py_fail(p, "a starred pattern alone in parentheses");
    py_next(p);
    return 0;
}

static int closed(struct py_parser *p)
{
    switch (p->tok.type) {
    case PY_NAME:
        return name_pattern(p);
    case PY_NUMBER:
    case '-':
        return number(p);
    case PY_STRING:
        return py_strings(p);
    case PY_NONE:
    case PY_TRUE:
    case PY_FALSE:
        py_next(p);
        return 0;
    case '(':
        py_next(p);
        return sequence(p, ')');
    case '[':
        py_next(p);
        return sequence(p, ']');
    case '{':
        py_next(p);
        return mapping(p);
    default:
        return py_fail(p, invalid);
    }
}

static int pattern(struct py_parser *p)
{
    int bare = 0, x;
    if (++p->depth > PY_MAX_DEPTH)
        return py_fail(p, "patterns nest too deep");
    for (int n = 0; n == 0 || py_take(p, '|'); n++) {
        if ((x = closed(p)) < 0)
            return -1;
        bare = n == 0 && x;
    }
    p->depth--;
    if (!py_take(p, PY_AS))
        return bare;
    if (py_is_word(p, "_"))
        return py_fail(p, "cannot bind _ in a pattern");
    return capture(p);
}

int py_patterns(struct py_parser *p)
{
    int star = p->tok.type == '*';
    if (maybe_star(p) < 0)
        return -1;
    if (p->tok.type != ',')
        return star ? py_fail(p, "a starred pattern alone") : 0;
    while (py_take(p, ',') && p->tok.type != ':' && p->tok.type != PY_IF)
        if (maybe_star(p) < 0)
            return -1;
    return 0;
}

/* match subject: NEWLINE INDENT case. Anything else is an expression that begins with a name. */
static int header(struct py_parser *p)
{
    int x;
    py_next(p);
    if ((p->tok.type != '*' && !py_begins_expression(p->tok.type)) || (x = py_star_named(p)) < 0)
        return -1;
    if (p->tok.type != ',' && (x & PY_X_STAR))
        return -1;
    while (py_take(p, ',') && p->tok.type != ':')
        if (py_star_named(p) < 0)
            return -1;
    return py_take(p, ':') && py_take(p, PY_NEWLINE) && py_take(p, PY_INDENT) &&
                   py_is_word(p, "case")
               ? 0
               : -1;
}

int py_match(struct py_parser *p)
{
    struct py_parser before = *p;
    if (header(p) < 0) {
        py_back(p, &before);
        return 1;
    }
    while (py_is_word(p, "case")) {
        py_next(p);
        if (py_patterns(p) < 0 || (py_take(p, PY_IF) && py_named(p) < 0) ||
            py_expect(p, ':', "expected :") < 0 || py_block(p) < 0)
            return -1;
    }
    return py_expect(p, PY_DEDENT, "expected case");
}
