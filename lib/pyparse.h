/* pyparse.h - does text parse as a module of Python 3.11, and what do its statements bind and use
 *
 * A recogniser: recursive descent over the tokens of pytoken.h, no tree.  It accepts what ast.parse
 * of CPython 3.11 accepts; what compile() finds later (return outside a function, two * in a target, a
 * bare except that is not the last) is not syntax.  Time and memory grow with the text alone: the
 * statements and names that are kept have a bound.  Known differences from ast.parse:
 *   - the name in \N{...} is not looked up: any letters, digits, spaces and hyphens will do;
 *   - ast.parse runs out of its stack on 2,988 levels of anything ("1+1+...", "a.b.c...", elif): here
 *     only lambdas and brackets nest on the stack, lambdas up to PY_MAX_DEPTH, the others never end.
 * The module owns its arrays; names point into the text, which must outlive it. */
#ifndef PYPARSE_H
#define PYPARSE_H
#include "pytoken.h"

enum { PY_MAX_DEPTH = 2900, PY_MAX_STMTS = 1 << 16, PY_MAX_NAMES = 1 << 18 };

struct py_name {
    const char *p;
    uint32_t n;
};
/* What stands in a statement: a return or yield outside of functions; a lambda. */
enum { PY_SAW_RETURN = 1, PY_SAW_LAMBDA = 2 };
/* A statement at the top of a module: a compound one, or a line (with ';' several simple ones). */
struct py_stmt {
    size_t begin, end; /* bytes, whole lines: end is behind the newline, or the end of the text */
    long line, last_line; /* from 1 */
    int kind; /* type of its first token; behind decorators and async that of def, class, for, with */
    int saw;  /* PY_SAW_ */
    int name; /* index of the names that it binds, then changes (a of a[0] = 1), then uses */
    int n_binds, n_changes, n_uses;
};
struct py_module {
    int ok;
    long line;       /* if not ok: where and why; the statement that failed is not in stmt */
    const char *why; /* lives for ever */
    int open;        /* a bracket or string on that line is never closed */
    size_t failed;   /* offset of the line with which the statement that failed begins */
    size_t read;     /* bytes looked at */
    struct py_stmt *stmt;
    int n;
    int saw;  /* of all statements */
    int more; /* more statements or names than are kept: stmt and name are not the whole */
    struct py_name *name;
    int n_name, cap, cap_name;
};
/* Fill m (free it with py_module_free whatever comes back). 0, or ERR_NOMEM. names: keep what the
 * statements bind and use; without it the n_ are 0. */
int py_parse(struct py_module *m, const char *s, size_t n, int names);
void py_module_free(struct py_module *m);
#endif
