/* pyparse - the statements of Python 3.11, and the module as a list of them */
#include "pyparse.h"
#include "err.h"
#include "json.h"
#include "pyparse_private.h"
#include <stdlib.h>
#include <string.h>

static const char invalid[] = "invalid syntax";
static int statement(struct py_parser *p);

/* ---- tokens ---- */

int py_fail(struct py_parser *p, const char *why)
{
    if (p->why && p->tok.p <= p->at)
        return -1;
    p->at = p->tok.p;
    p->why = p->tok.type == PY_ERROR ? p->lx.why : why;
    p->open = p->tok.type == PY_ERROR && p->lx.why_open;
    p->line = p->open ? p->lx.why_open : p->tok.type == PY_ERROR ? p->lx.why_line : p->tok.line;
    return -1;
}

void py_next(struct py_parser *p)
{
    py_lex_next(&p->lx, &p->tok);
    if (p->tok.type == PY_NEWLINE) {
        p->end = p->lx.p;
        p->end_line = p->lx.last_line;
    }
}

int py_take(struct py_parser *p, int type)
{
    if (p->tok.type != type)
        return 0;
    py_next(p);
    return 1;
}

int py_expect(struct py_parser *p, int type, const char *why)
{
    return py_take(p, type) ? 0 : py_fail(p, why);
}

int py_is_word(const struct py_parser *p, const char *word)
{
    return p->tok.type == PY_NAME && p->tok.n == strlen(word) && !memcmp(p->tok.p, word, p->tok.n);
}

/* Go back; the names and the farthest failure are kept. */
void py_back(struct py_parser *p, const struct py_parser *to)
{
    struct py_parser tried = *p;
    *p = *to;
    p->ev = tried.ev;
    py_names_forget(p, to->ev.n);
    p->at = tried.at;
    p->why = tried.why;
    p->line = tried.line;
    p->open = tried.open;
}

static int bind_name(struct py_parser *p, const char *why)
{
    if (p->tok.type == PY_NAME)
        py_name(p, &p->tok, PY_BIND);
    return py_expect(p, PY_NAME, why);
}

/* ---- simple statements ---- */

/* a.b.c, behind its first name. */
static int dots(struct py_parser *p)
{
    while (py_take(p, '.'))
        if (py_expect(p, PY_NAME, "expected a name behind .") < 0)
            return -1;
    return 0;
}

static int import_name(struct py_parser *p)
{
    do {
        struct py_token first = p->tok;
        if (py_expect(p, PY_NAME, "expected a module's name") < 0 || dots(p) < 0)
            return -1;
        if (!py_take(p, PY_AS))
            py_name(p, &first, PY_BIND);
        else if (bind_name(p, "expected a name behind as") < 0)
            return -1;
    } while (py_take(p, ','));
    return 0;
}

static int import_from(struct py_parser *p)
{
    int relative = 0, bracket;
    while (py_take(p, '.') || py_take(p, PY_ELLIPSIS))
        relative = 1;
    if (p->tok.type == PY_NAME || !relative)
        if (py_expect(p, PY_NAME, "expected a module's name") < 0 || dots(p) < 0)
            return -1;
    if (py_expect(p, PY_IMPORT, "expected import") < 0)
        return -1;
    if (py_take(p, '*'))
        return 0;
    bracket = py_take(p, '(');
    do {
        struct py_token first = p->tok;
        if (py_expect(p, PY_NAME, "expected a name behind import") < 0)
            return -1;
        if (!py_take(p, PY_AS))
            py_name(p, &first, PY_BIND);
        else if (bind_name(p, "expected a name behind as") < 0)
            return -1;
    } while (py_take(p, ',') && !(bracket && p->tok.type == ')'));
    return bracket ? py_expect(p, ')', invalid) : 0;
}

static int del(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x = py_list(p);
    if (x < 0)
        return -1;
    if (!(x & PY_X_DEL) || (x & PY_X_STAR))
        return py_fail(p, "cannot delete that");
    py_names_fix(p, mark);
    return 0;
}

static int outer_names(struct py_parser *p)
{
    do {
        if (p->tok.type == PY_NAME)
            py_name(p, &p->tok, PY_OUTER);
        if (py_expect(p, PY_NAME, "expected a name") < 0)
            return -1;
    } while (py_take(p, ','));
    return 0;
}

/* An expression, an assignment, or an annotation. */
static int expression_statement(struct py_parser *p)
{
    size_t mark = p->ev.n;
    int x = py_list_or_yield(p);
    if (x < 0)
        return -1;
    if (p->tok.type == ':' && (x & PY_X_SINGLE)) {
        py_names_store(p, mark);
        py_next(p);
        if (py_expression(p) < 0)
            return -1;
        return py_take(p, '=') ? py_list_or_yield(p) : 0;
    }
    if (p->tok.type == PY_AUGASSIGN && (x & PY_X_SINGLE)) {
        py_names_store(p, mark);
        py_next(p);
        return py_list_or_yield(p);
    }
    while (p->tok.type == '=') {
        if (!(x & PY_X_TARGET))
            return py_fail(p, "cannot assign to that");
        py_names_store(p, mark);
        py_next(p);
        mark = p->ev.n;
        if ((x = py_list_or_yield(p)) < 0)
            return -1;
    }
    return 0;
}

static int raise_or_assert(struct py_parser *p)
{
    int between = p->tok.type == PY_RAISE ? PY_FROM : ',';
    py_next(p);
    if (between == PY_FROM && (p->tok.type == PY_NEWLINE || p->tok.type == ';'))
        return 0;
    if (py_expression(p) < 0)
        return -1;
    return py_take(p, between) ? py_expression(p) : 0;
}

static int simple_statement(struct py_parser *p)
{
    int type = p->tok.type;
    switch (type) {
    case PY_PASS:
    case PY_BREAK:
    case PY_CONTINUE:
        py_next(p);
        return 0;
    case PY_RETURN:
        if (p->defs == 0)
            p->saw |= PY_SAW_RETURN;
        py_next(p);
        return p->tok.type == PY_NEWLINE || p->tok.type == ';' ? 0 : py_list(p);
    case PY_IMPORT:
        py_next(p);
        return import_name(p);
    case PY_FROM:
        py_next(p);
        return import_from(p);
    case PY_DEL:
        py_next(p);
        return del(p);
    case PY_GLOBAL:
    case PY_NONLOCAL:
        py_next(p);
        return outer_names(p);
    case PY_RAISE:
    case PY_ASSERT:
        return raise_or_assert(p);
    default:
        return expression_statement(p);
    }
}

static int simple_line(struct py_parser *p)
{
    for (;;) {
        if (simple_statement(p) < 0)
            return -1;
        if (py_take(p, PY_NEWLINE))
            return 0;
        if (py_expect(p, ';', invalid) < 0)
            return -1;
        if (py_take(p, PY_NEWLINE))
            return 0;
    }
}

/* ---- compound statements ---- */

int py_block(struct py_parser *p)
{
    if (!py_take(p, PY_NEWLINE))
        return simple_line(p);
    if (py_expect(p, PY_INDENT, "expected an indented block") < 0)
        return -1;
    while (p->tok.type != PY_DEDENT)
        if (statement(p) < 0)
            return -1;
    py_next(p);
    return 0;
}

static int colon_block(struct py_parser *p)
{
    return py_expect(p, ':', "expected :") < 0 ? -1 : py_block(p);
}

static int else_block(struct py_parser *p)
{
    return py_take(p, PY_ELSE) ? colon_block(p) : 0;
}

static int if_statement(struct py_parser *p)
{
    do {
        if (py_named(p) < 0 || colon_block(p) < 0)
            return -1;
    } while (py_take(p, PY_ELIF));
    return else_block(p);
}

static int for_statement(struct py_parser *p)
{
    if (py_targets(p) < 0 || py_expect(p, PY_IN, "expected in") < 0 || py_list(p) < 0 ||
        colon_block(p) < 0)
        return -1;
    return else_block(p);
}

static int handlers(struct py_parser *p)
{
    int star = -1;
    while (py_take(p, PY_EXCEPT)) {
        int this = py_take(p, '*');
        if (star >= 0 && star != this)
            return py_fail(p, "except and except* in one try");
        star = this;
        if (p->tok.type != ':' || star) {
            if (py_expression(p) < 0 ||
                (py_take(p, PY_AS) && bind_name(p, "expected a name behind as") < 0))
                return -1;
        }
        if (colon_block(p) < 0)
            return -1;
    }
    return 0;
}

static int try_statement(struct py_parser *p)
{
    if (colon_block(p) < 0)
        return -1;
    if (p->tok.type == PY_EXCEPT) {
        if (handlers(p) < 0 || else_block(p) < 0)
            return -1;
    } else if (p->tok.type != PY_FINALLY)
        return py_fail(p, "expected except or finally");
    return py_take(p, PY_FINALLY) ? colon_block(p) : 0;
}

static int with_item(struct py_parser *p)
{
    if (py_expression(p) < 0)
        return -1;
    return py_take(p, PY_AS) ? py_target(p) : 0;
}

/* (item, item as target,): 0, or -1 when the parenthesis belongs to an expression. */
static int with_brackets(struct py_parser *p)
{
    py_next(p);
    do {
        if (with_item(p) < 0)
            return -1;
    } while (py_take(p, ',') && p->tok.type != ')');
    return py_take(p, ')') && p->tok.type == ':' ? 0 : -1;
}

/* 1 if "(item, ...)" was read. */
static int bracketed(struct py_parser *p)
{
    struct py_parser before = *p;
    if (with_brackets(p) == 0)
        return 1;
    py_back(p, &before);
    return 0;
}

static int with_statement(struct py_parser *p)
{
    if (p->tok.type == '(' && bracketed(p))
        return colon_block(p);
    do {
        if (with_item(p) < 0)
            return -1;
    } while (py_take(p, ','));
    return colon_block(p);
}

static int function(struct py_parser *p)
{
    struct py_token name = p->tok;
    size_t header = p->ev.n, inside;
    if (py_expect(p, PY_NAME, "expected a function's name") < 0 ||
        py_expect(p, '(', "expected (") < 0 || py_params(p, ')') < 0 ||
        py_expect(p, ')', "expected )") < 0 || (py_take(p, PY_ARROW) && py_expression(p) < 0))
        return -1;
    inside = p->ev.n;
    py_names_params(p, header);
    p->defs++;
    if (colon_block(p) < 0)
        return -1;
    p->defs--;
    py_names_close(p, inside, PY_SCOPE_FUNCTION);
    py_name(p, &name, PY_BIND);
    return 0;
}

static int class(struct py_parser *p)
{
    struct py_token name = p->tok;
    size_t inside;
    if (py_expect(p, PY_NAME, "expected a class's name") < 0 ||
        (py_take(p, '(') && py_arguments(p, 0) < 0))
        return -1;
    inside = p->ev.n;
    if (colon_block(p) < 0)
        return -1;
    py_names_close(p, inside, PY_SCOPE_CLASS);
    py_name(p, &name, PY_BIND);
    return 0;
}

/* What stands behind "@" lines or async. */
static int kind(struct py_parser *p, int rc, int is)
{
    p->kind = is;
    return rc;
}

static int async(struct py_parser *p, int decorated)
{
    if (py_take(p, PY_DEF))
        return kind(p, function(p), PY_DEF);
    if (!decorated && py_take(p, PY_FOR))
        return kind(p, for_statement(p), PY_FOR);
    if (!decorated && py_take(p, PY_WITH))
        return kind(p, with_statement(p), PY_WITH);
    return py_fail(p, invalid);
}

static int decorated(struct py_parser *p)
{
    while (py_take(p, '@'))
        if (py_named(p) < 0 || py_expect(p, PY_NEWLINE, invalid) < 0)
            return -1;
    if (py_take(p, PY_DEF))
        return kind(p, function(p), PY_DEF);
    if (py_take(p, PY_CLASS))
        return kind(p, class(p), PY_CLASS);
    return py_take(p, PY_ASYNC) ? async(p, 1) : py_fail(p, "expected def or class");
}

static int compound(struct py_parser *p)
{
    int type = p->tok.type, rc;
    if (type == '@')
        return decorated(p);
    if (type == PY_NAME) {
        rc = py_is_word(p, "match") ? py_match(p) : 1;
        return rc == 1 ? simple_line(p) : rc;
    }
    py_next(p);
    switch (type) {
    case PY_DEF:
        return function(p);
    case PY_CLASS:
        return class(p);
    case PY_IF:
        return if_statement(p);
    case PY_FOR:
        return for_statement(p);
    case PY_WHILE:
        return py_named(p) < 0 || colon_block(p) < 0 ? -1 : else_block(p);
    case PY_TRY:
        return try_statement(p);
    case PY_WITH:
        return with_statement(p);
    default:
        return async(p, 0);
    }
}

static int statement(struct py_parser *p)
{
    switch (p->tok.type) {
    case '@':
    case PY_NAME:
    case PY_DEF:
    case PY_CLASS:
    case PY_IF:
    case PY_FOR:
    case PY_WHILE:
    case PY_TRY:
    case PY_WITH:
    case PY_ASYNC:
        return compound(p);
    case PY_INDENT:
        return py_fail(p, "unexpected indent");
    default:
        return simple_line(p);
    }
}

/* ---- the module ---- */

static int keep(struct py_module *m, const struct py_stmt *s)
{
    if (m->n >= PY_MAX_STMTS) {
        m->more = 1;
        return 0;
    }
    if (m->n == m->cap) {
        int cap = m->cap ? 2 * m->cap : 16;
        struct py_stmt *v = realloc(m->stmt, (size_t)cap * sizeof *v);
        if (!v)
            return ERR_NOMEM;
        m->stmt = v;
        m->cap = cap;
    }
    m->stmt[m->n++] = *s;
    return 0;
}

static int statements(struct py_parser *p, struct py_module *m, const char *text)
{
    while (p->tok.type != PY_EOF) {
        struct py_stmt s = {.line = p->tok.line, .kind = p->tok.type};
        const char *q = p->tok.p;
        while (q > text && q[-1] != '\n' && q[-1] != '\r')
            q--;
        s.begin = m->failed = (size_t)(q - text);
        p->saw = 0;
        if (statement(p) < 0)
            return 0;
        s.end = (size_t)(p->end - text);
        s.last_line = p->end_line;
        if (s.kind == '@' || s.kind == PY_ASYNC)
            s.kind = p->kind;
        s.saw = p->saw;
        m->saw |= p->saw;
        if (py_names_statement(p, m, &s) < 0 || keep(m, &s) < 0)
            return ERR_NOMEM;
    }
    m->ok = 1;
    return 0;
}

/* Where parsing stopped inside brackets: is the innermost one never closed?  Then that is the error. */
static void find_open_bracket(struct py_parser *p)
{
    int level = p->lx.level;
    const char *begin = p->lx.begin + (level ? p->lx.paren_at[level - 1] : 0);
    long line = p->lx.line;
    if (level == 0 || p->open)
        return;
    for (const char *q = begin; q < p->lx.p; q++)
        line -= *q == '\n' || (*q == '\r' && (q + 1 == p->lx.end || q[1] != '\n'));
    while (p->tok.type != PY_EOF && p->tok.type != PY_ERROR && p->lx.level >= level)
        py_next(p);
    if (p->lx.level < level || line >= p->line)
        return;
    p->open = 1;
    p->line = line;
    p->why = "a bracket is never closed";
}

int py_parse(struct py_module *m, const char *s, size_t n, int names)
{
    struct py_parser p;
    const char *bad;
    int rc;
    memset(m, 0, sizeof *m);
    memset(&p, 0, sizeof p);
    p.ev.on = names;
    py_lex_begin(&p.lx, s, n);
    py_next(&p);
    rc = statements(&p, m, s);
    if (!m->ok)
        find_open_bracket(&p);
    m->read = (size_t)(p.lx.p - s);
    bad = memchr(s, 0, m->read) ? "a NUL byte" : utf8_valid(s, m->read) ? NULL : "invalid UTF-8";
    free(p.ev.v);
    if (bad) { /* in a string or comment, perhaps: nothing of this is Python */
        m->ok = m->n = 0;
        m->failed = 0;
        m->line = 1;
        m->why = bad;
    } else if (!m->ok) {
        m->why = p.why ? p.why : invalid;
        m->line = p.line;
        m->open = p.open;
    }
    return rc;
}

void py_module_free(struct py_module *m)
{
    free(m->stmt);
    free(m->name);
    memset(m, 0, sizeof *m);
}
