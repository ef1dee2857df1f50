/* extract_stub - is a definition only the question's head again: documentation and no code */
#include "extract_private.h"
#include "pytoken.h"
#include <string.h>

/* To the ':' that ends a head; 0: there is none. */
static int skip_head(struct py_lexer *x)
{
    struct py_token t;
    do {
        py_lex_next(x, &t);
        if (t.type == PY_EOF || t.type == PY_ERROR || t.type == PY_NEWLINE)
            return 0;
    } while (t.type != ':' || x->level > 0);
    return 1;
}

/* "raise NotImplementedError", with or without words. */
static int skip_raise(struct py_lexer *x)
{
    static const char name[] = "NotImplementedError";
    struct py_token t;
    struct py_lexer before;
    py_lex_next(x, &t);
    if (t.n != sizeof name - 1 || memcmp(t.p, name, t.n) != 0)
        return 0;
    before = *x;
    py_lex_next(x, &t);
    if (t.type != '(') {
        *x = before;
        return 1;
    }
    while (x->level > 0 && t.type != PY_EOF && t.type != PY_ERROR)
        py_lex_next(x, &t);
    return 1;
}

int stub_python(struct span def)
{
    struct py_lexer x;
    struct py_token t;
    int defs = 0;
    py_lex_begin(&x, def.p, def.n);
    for (;;) { /* at the beginning of a statement */
        py_lex_next(&x, &t);
        switch (t.type) {
        case PY_EOF:
        case PY_ERROR:
            return defs > 0;
        case '@':
            while (t.type != PY_NEWLINE && t.type != PY_EOF && t.type != PY_ERROR)
                py_lex_next(&x, &t);
            break;
        case PY_DEF:
        case PY_CLASS:
            defs += t.type == PY_DEF;
            if (!skip_head(&x))
                return 0;
            break;
        case PY_RAISE:
            if (!skip_raise(&x))
                return 0;
            break;
        case PY_STRING:
        case PY_PASS:
        case PY_ELLIPSIS:
        case PY_ASYNC:
        case PY_NEWLINE:
        case PY_INDENT:
        case PY_DEDENT:
        case ';':
            break;
        default:
            return 0;
        }
    }
}
