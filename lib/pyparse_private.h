/* pyparse_private.h - what statements (pyparse.c), patterns, expressions, strings and names share */
#ifndef PYPARSE_PRIVATE_H
#define PYPARSE_PRIVATE_H
#include "pyparse.h"

enum py_role {
    PY_USE,   /* a name that a following '=' would bind */
    PY_ROOT,  /* the a of a.b, a[1]: a following '=' would change it */
    PY_FIXED, /* used, whatever follows */
    PY_FREE,  /* used by a function inside */
    PY_BIND,  /* bound here */
    PY_TOUCH, /* changed here */
    PY_PARAM, /* a parameter of a header that is still read */
    PY_OUTER  /* named by global or nonlocal */
};
struct py_event {
    const char *p;
    uint32_t n;
    int role;
};
struct py_events { /* the names of the scopes that are open */
    struct py_event *v;
    size_t n, cap;
    int on, full, nomem; /* full: more than PY_MAX_NAMES, or too much work; on is 0 then */
    size_t work;
};
struct py_parser {
    struct py_lexer lx;
    struct py_token tok;
    struct py_events ev;
    int depth, defs; /* expressions inside expressions; functions around */
    int saw, kind;   /* PY_SAW_; of the last decorated or async statement */
    const char *end; /* behind the last NEWLINE, and the line of the token before it */
    long end_line;
    const char *why; /* of the failure farthest in the text */
    const char *at;
    long line;
    int open;
};

/* Every parsing function returns -1 on failure. */
int py_fail(struct py_parser *p, const char *why);
void py_next(struct py_parser *p);
int py_take(struct py_parser *p, int type); /* 1 and the next token, or 0 */
int py_expect(struct py_parser *p, int type, const char *why);
void py_back(struct py_parser *p, const struct py_parser *to); /* failures are remembered */
int py_is_word(const struct py_parser *p, const char *word);   /* a soft keyword */

/* Expressions return what may be done with them: */
enum {
    PY_X_NAME = 1,   /* a bare name */
    PY_X_SINGLE = 2, /* += */
    PY_X_TARGET = 4, /* = */
    PY_X_DEL = 8,    /* del */
    PY_X_STAR = 16,  /* begins with '*' */
    PY_X_WALRUS = 32 /* an assignment expression */
};
int py_expression(struct py_parser *p);
int py_named(struct py_parser *p);
int py_star_named(struct py_parser *p);
int py_list(struct py_parser *p);  /* star_expressions */
int py_yield(struct py_parser *p); /* at 'yield' */
int py_list_or_yield(struct py_parser *p);
int py_target(struct py_parser *p);                        /* one, '*' allowed; stored */
int py_targets(struct py_parser *p);                       /* of for */
int py_arguments(struct py_parser *p, int bare_generator); /* behind '(', up to ')' */
int py_params(struct py_parser *p, int end);               /* up to end: ')' or ':' (lambda) */
int py_group(struct py_parser *p);                         /* behind '(', up to ')' */
int py_begins_expression(int type);

/* At "match": 0 done, 1 this is no match statement, and nothing is read. */
int py_match(struct py_parser *p);
int py_patterns(struct py_parser *p);
int py_block(struct py_parser *p);

int py_strings(struct py_parser *p); /* one or more literals */

void py_name(struct py_parser *p, const struct py_token *t, int role);
void py_names_forget(struct py_parser *p, size_t mark);
void py_names_fix(struct py_parser *p, size_t mark);
void py_names_root(struct py_parser *p, size_t mark);
void py_names_store(struct py_parser *p, size_t mark);
void py_names_params(struct py_parser *p, size_t mark); /* PARAMs since mark are bound now */
enum py_scope { PY_SCOPE_FUNCTION, PY_SCOPE_CLASS, PY_SCOPE_COMPREHENSION };
void py_names_close(struct py_parser *p, size_t mark, enum py_scope scope);
/* Move the names to m, as those of its statement s. 0, or ERR_NOMEM. */
int py_names_statement(struct py_parser *p, struct py_module *m, struct py_stmt *s);
#endif
