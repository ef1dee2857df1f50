/* pyexpr - expressions of Python 3.11, targets, arguments and parameters
 *
 * The grammar's levels between "or" and "**" decide how operands group, not what is accepted, so each
 * run of them is one loop. */
#include "pyparse_private.h"
#include <string.h>

static const char invalid[] = "invalid syntax";

int py_begins_expression(int type)
{
    switch (type) {
    case PY_NAME:
    case PY_NUMBER:
    case PY_STRING:
    case PY_ELLIPSIS:
    case PY_NONE:
    case PY_TRUE:
    case PY_FALSE:
    case PY_NOT:
    case PY_LAMBDA:
    case PY_AWAIT:
    case '(':
    case '[':
    case '{':
    case '-':
    case '+':
    case '~':
        return 1;
    default:
        return 0;
    }
}

/* What a list of elements allows, one more added. */
static int join(int all, int one)
{
    if (one & PY_X_STAR)
        one &= ~PY_X_DEL;
    return all & one & (PY_X_TARGET | PY_X_DEL);
}

/* ---- comprehensions ---- */

static int disjunction(struct py_parser *p);
static int operand(struct py_parser *p);

static int at_for(const struct py_parser *p)
{
    return p->tok.type == PY_FOR || p->tok.type == PY_ASYNC;
}

/* The clauses behind an element whose names begin at mark. */
static int comprehension(struct py_parser *p, size_t mark)
{
    py_names_fix(p, mark);
    while (at_for(p)) {
        py_take(p, PY_ASYNC);
        if (py_expect(p, PY_FOR, "expected for") < 0 || py_targets(p) < 0 ||
            py_expect(p, PY_IN, "expected in") < 0 || disjunction(p) < 0)
            return -1;
        while (py_take(p, PY_IF))
            if (disjunction(p) < 0)
                return -1;
    }
    py_names_close(p, mark, PY_SCOPE_COMPREHENSION);
    return 0;
}

/* ---- atoms ---- */

/* Elements up to the bracket `end`; first has been read. */
static int elements(struct py_parser *p, int end, int first)
{
    int all = join(PY_X_TARGET | PY_X_DEL, first), x;
    while (py_take(p, ',') && p->tok.type != end) {
        if ((x = py_star_named(p)) < 0)
            return -1;
        all = join(all, x);
    }
    return py_expect(p, end, invalid) < 0 ? -1 : all;
}

int py_group(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x;
    if (py_take(p, ')'))
        return PY_X_TARGET | PY_X_DEL;
    if (p->tok.type == PY_YIELD)
        return py_yield(p) < 0 ? -1 : py_expect(p, ')', invalid);
    if ((x = py_star_named(p)) < 0)
        return -1;
    if (at_for(p) && !(x & PY_X_STAR))
        return comprehension(p, mark) < 0 ? -1 : py_expect(p, ')', invalid);
    if (p->tok.type == ',')
        return elements(p, ')', x);
    if (x & PY_X_STAR)
        return py_fail(p, "a starred expression alone in parentheses");
    return py_expect(p, ')', invalid) < 0 ? -1 : x & (PY_X_SINGLE | PY_X_TARGET | PY_X_DEL);
}

static int bracket_list(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x;
    if (py_take(p, ']'))
        return PY_X_TARGET | PY_X_DEL;
    if ((x = py_star_named(p)) < 0)
        return -1;
    if (at_for(p) && !(x & PY_X_STAR))
        return comprehension(p, mark) < 0 ? -1 : py_expect(p, ']', invalid);
    return elements(p, ']', x);
}

static int dict_item(struct py_parser *p)
{
    if (py_take(p, PY_POWER))
        return operand(p);
    if (py_expression(p) < 0 || py_expect(p, ':', "expected : after a key") < 0)
        return -1;
    return py_expression(p);
}

static int braces(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x = PY_X_STAR;
    if (py_take(p, '}'))
        return 0;
    if (p->tok.type != PY_POWER && (x = py_star_named(p)) < 0)
        return -1;
    if (p->tok.type == PY_POWER || (p->tok.type == ':' && !(x & (PY_X_STAR | PY_X_WALRUS)))) {
        if (py_take(p, ':') ? py_expression(p) < 0 : dict_item(p) < 0)
            return -1;
        if (at_for(p) && !(x & PY_X_STAR))
            return comprehension(p, mark) < 0 ? -1 : py_expect(p, '}', invalid);
        while (py_take(p, ',') && p->tok.type != '}')
            if (dict_item(p) < 0)
                return -1;
        return py_expect(p, '}', invalid);
    }
    if (at_for(p) && !(x & PY_X_STAR))
        return comprehension(p, mark) < 0 ? -1 : py_expect(p, '}', invalid);
    return elements(p, '}', x) < 0 ? -1 : 0;
}

static int atom(struct py_parser *p)
{
    switch (p->tok.type) {
    case PY_NAME:
        py_name(p, &p->tok, PY_USE);
        py_next(p);
        return PY_X_NAME | PY_X_SINGLE | PY_X_TARGET | PY_X_DEL;
    case PY_NUMBER:
    case PY_ELLIPSIS:
    case PY_NONE:
    case PY_TRUE:
    case PY_FALSE:
        py_next(p);
        return 0;
    case PY_STRING:
        return py_strings(p);
    case '(':
        py_next(p);
        return py_group(p);
    case '[':
        py_next(p);
        return bracket_list(p);
    case '{':
        py_next(p);
        return braces(p);
    default:
        return py_fail(p, invalid);
    }
}

/* ---- calls and subscripts ---- */

int py_arguments(struct py_parser *p, int bare_generator)
{
    enum { POSITIONAL, KEYWORD, UNPACKED } stage = POSITIONAL;
    size_t mark = p->ev.n;
    int x, n = 0;
    for (; p->tok.type != ')'; n++) {
        size_t m = p->ev.n;
        if (py_take(p, PY_POWER)) {
            stage = UNPACKED;
            x = py_expression(p);
        } else if (py_take(p, '*')) {
            if (stage == UNPACKED)
                return py_fail(p, "* behind ** among the arguments");
            x = py_expression(p);
        } else if ((x = py_named(p)) >= 0) {
            if ((x & PY_X_NAME) && p->tok.type == '=') {
                stage = stage == POSITIONAL ? KEYWORD : stage;
                py_names_forget(p, m); /* the name of a parameter elsewhere */
                py_next(p);
                x = py_expression(p);
            } else if (at_for(p) && n == 0 && bare_generator) {
                return comprehension(p, m) < 0 ? -1 : py_expect(p, ')', invalid);
            } else if (stage != POSITIONAL) {
                return py_fail(p, "a positional argument behind a keyword argument");
            }
        }
        if (x < 0)
            return -1;
        if (!py_take(p, ',') && p->tok.type != ')')
            return py_fail(p, invalid);
    }
    py_names_fix(p, mark);
    return py_expect(p, ')', invalid);
}

static int slice(struct py_parser *p)
{
    int x = 0;
    if (py_take(p, '*'))
        return py_expression(p);
    if (p->tok.type != ':' && ((x = py_named(p)) < 0 || p->tok.type != ':'))
        return x;
    if (x & PY_X_WALRUS)
        return py_fail(p, invalid);
    for (int k = 0; k < 2 && py_take(p, ':'); k++)
        if (p->tok.type != ':' && p->tok.type != ',' && p->tok.type != ']' && py_expression(p) < 0)
            return -1;
    return 0;
}

static int subscript(struct py_parser *p)
{
    size_t mark = p->ev.n;
    do {
        if (slice(p) < 0)
            return -1;
    } while (py_take(p, ',') && p->tok.type != ']');
    py_names_fix(p, mark);
    return py_expect(p, ']', invalid);
}

static int primary(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x = atom(p);
    while (x >= 0) {
        if (p->tok.type != '.' && p->tok.type != '(' && p->tok.type != '[')
            return x;
        if (x & PY_X_NAME)
            py_names_root(p, mark);
        else if (!(x & PY_X_SINGLE))
            py_names_fix(p, mark);
        if (py_take(p, '.')) {
            if (py_expect(p, PY_NAME, "expected a name behind .") < 0)
                return -1;
            x = PY_X_SINGLE | PY_X_TARGET | PY_X_DEL;
        } else if (py_take(p, '(')) {
            x = py_arguments(p, 1);
        } else {
            py_next(p);
            x = subscript(p) < 0 ? -1 : PY_X_SINGLE | PY_X_TARGET | PY_X_DEL;
        }
    }
    return -1;
}

/* ---- operators ---- */

static int factor(struct py_parser *p) /* signs, await, "**" */
{
    int x = 0, plain = 1, await;
    for (;;) {
        while (p->tok.type == '-' || p->tok.type == '+' || p->tok.type == '~') {
            plain = 0;
            py_next(p);
        }
        await = py_take(p, PY_AWAIT);
        if ((x = primary(p)) < 0)
            return -1;
        plain &= !await;
        if (!py_take(p, PY_POWER))
            return plain ? x : 0;
        plain = 0;
    }
}

static int operand(struct py_parser *p) /* bitwise_or */
{
    int x = factor(p);
    while (x >= 0) {
        int t = p->tok.type;
        if (!(t < 128 && strchr("+-*/%@&|^", t)) && t != PY_FLOORDIV && t != PY_SHIFT)
            return x;
        py_next(p);
        x = factor(p) < 0 ? -1 : 0;
    }
    return -1;
}

static int comparison_operator(struct py_parser *p)
{
    int t = p->tok.type;
    if (t == PY_IS) {
        py_next(p);
        py_take(p, PY_NOT);
        return 1;
    }
    if (t == PY_NOT) {
        py_next(p);
        return py_expect(p, PY_IN, "expected in behind not") < 0 ? -1 : 1;
    }
    if (t != '<' && t != '>' && t != PY_COMPARE && t != PY_IN)
        return 0;
    py_next(p);
    return 1;
}

static int disjunction(struct py_parser *p)
{
    int plain = 1, x, op;
    for (;;) {
        while (py_take(p, PY_NOT))
            plain = 0;
        if ((x = operand(p)) < 0)
            return -1;
        while ((op = comparison_operator(p)) != 0) {
            if (op < 0 || operand(p) < 0)
                return -1;
            plain = 0;
        }
        if (!py_take(p, PY_AND) && !py_take(p, PY_OR))
            return plain ? x : 0;
        plain = 0;
    }
}

static int lambda(struct py_parser *p)
{
    size_t mark = p->ev.n, inside;
    p->saw |= PY_SAW_LAMBDA;
    py_next(p);
    if (py_params(p, ':') < 0 || py_expect(p, ':', "expected :") < 0)
        return -1;
    inside = p->ev.n;
    py_names_params(p, mark);
    if (py_expression(p) < 0)
        return -1;
    py_names_close(p, inside, PY_SCOPE_FUNCTION);
    return 0;
}

int py_expression(struct py_parser *p)
{
    int x = -1;
    if (++p->depth > PY_MAX_DEPTH)
        return py_fail(p, "expressions nest too deep");
    if (p->tok.type == PY_LAMBDA) {
        x = lambda(p);
    } else if ((x = disjunction(p)) >= 0) {
        while (py_take(p, PY_IF)) { /* "a if b else c if d else e" without recursion */
            if (disjunction(p) < 0 || py_expect(p, PY_ELSE, "expected else") < 0)
                return -1;
            if ((p->tok.type == PY_LAMBDA ? lambda(p) : disjunction(p)) < 0)
                return -1;
            x = 0;
        }
    }
    p->depth--;
    return x;
}

int py_named(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x = py_expression(p);
    if (x < 0 || p->tok.type != PY_WALRUS || !(x & PY_X_NAME))
        return x;
    py_names_store(p, mark);
    py_next(p);
    return py_expression(p) < 0 ? -1 : PY_X_WALRUS;
}

/* '*' bitwise_or: a target if what follows is one. */
static int starred(struct py_parser *p)
{
    int x;
    py_next(p);
    return (x = operand(p)) < 0 ? -1 : PY_X_STAR | (x & PY_X_TARGET);
}

int py_star_named(struct py_parser *p)
{
    return p->tok.type == '*' ? starred(p) : py_named(p);
}

int py_list(struct py_parser *p)
{
    int x = p->tok.type == '*' ? starred(p) : py_expression(p), one;
    if (x < 0 || p->tok.type != ',')
        return x;
    x = join(PY_X_TARGET | PY_X_DEL, x);
    while (py_take(p, ',') && (p->tok.type == '*' || py_begins_expression(p->tok.type))) {
        if ((one = p->tok.type == '*' ? starred(p) : py_expression(p)) < 0)
            return -1;
        x = join(x, one);
    }
    return x;
}

int py_yield(struct py_parser *p)
{
    if (p->defs == 0)
        p->saw |= PY_SAW_RETURN;
    py_next(p);
    if (py_take(p, PY_FROM))
        return py_expression(p) < 0 ? -1 : 0;
    if (p->tok.type != '*' && !py_begins_expression(p->tok.type))
        return 0;
    return py_list(p) < 0 ? -1 : 0;
}

int py_list_or_yield(struct py_parser *p)
{
    return p->tok.type == PY_YIELD ? py_yield(p) : py_list(p);
}

/* ---- targets ---- */

int py_target(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x;
    py_take(p, '*');
    if ((x = primary(p)) < 0)
        return -1;
    if (!(x & PY_X_TARGET))
        return py_fail(p, "cannot assign to that");
    py_names_store(p, mark);
    return 0;
}

int py_targets(struct py_parser *p)
{
    do {
        if (py_target(p) < 0)
            return -1;
    } while (py_take(p, ',') && p->tok.type != PY_IN);
    return 0;
}

/* ---- parameters ---- */

static int param(struct py_parser *p, int end, int star) /* a name, and its annotation in a def */
{
    if (p->tok.type == PY_NAME)
        py_name(p, &p->tok, PY_PARAM);
    if (py_expect(p, PY_NAME, "expected a parameter") < 0)
        return -1;
    if (end == ':' || !py_take(p, ':'))
        return 0;
    return star && p->tok.type == '*' ? starred(p) : py_expression(p);
}

int py_params(struct py_parser *p, int end)
{
    int n = 0, defaults = 0, slash = 0, star = 0,
        bare = 0; /* bare: '*', and no name behind it yet */
    for (; p->tok.type != end; n++) {
        if (py_take(p, PY_POWER)) {
            if (bare || param(p, end, 0) < 0)
                return py_fail(p, "a bare * without a parameter");
            py_take(p, ',');
            return p->tok.type == end ? 0 : py_fail(p, "a parameter behind **");
        }
        if (p->tok.type == '/') {
            if (n == 0 || slash || star)
                return py_fail(p, "a / out of place");
            slash = 1;
            py_next(p);
        } else if (p->tok.type == '*') {
            if (star)
                return py_fail(p, "more than one *");
            star = 1;
            py_next(p);
            if (p->tok.type == ',')
                bare = 1;
            else if (param(p, end, 1) < 0)
                return -1;
        } else {
            if (param(p, end, 0) < 0)
                return -1;
            bare = 0;
            if (py_take(p, '=')) {
                defaults = 1;
                if (py_expression(p) < 0)
                    return -1;
            } else if (defaults && !star)
                return py_fail(p, "a parameter without a default behind one with");
        }
        if (!py_take(p, ',') && p->tok.type != end)
            return py_fail(p, invalid);
    }
    return bare ? py_fail(p, "a bare * without a parameter") : 0;
}
