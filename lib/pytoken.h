/* pytoken.h - the tokens of Python 3.11
 *
 * A lexer is a plain struct over text that outlives it: copying the struct saves its place.  Nothing
 * is allocated.  Well-formed UTF-8 is the caller's business (py_parse looks); encoding cookies are not
 * obeyed, as ast.parse of a str does not.  Source: "Lexical analysis" of the Python 3.11 reference
 * and what CPython 3.11 does where that is silent (lone \r ends a line, form feeds, tab stops). */
#ifndef PYTOKEN_H
#define PYTOKEN_H
#include <stddef.h>
#include <stdint.h>

/* Operators of one character are that character. */
enum py_type {
    PY_EOF = 128,
    PY_ERROR, /* lexer.why tells; it comes again and again */
    PY_NEWLINE,
    PY_INDENT,
    PY_DEDENT,
    PY_NAME,
    PY_NUMBER,
    PY_STRING,
    PY_ELLIPSIS,
    PY_ARROW,   /* -> */
    PY_WALRUS,  /* := */
    PY_COMPARE, /* == != <= >= (and < > in their own types) */
    PY_POWER,   /* ** */
    PY_FLOORDIV,
    PY_SHIFT,     /* << >> */
    PY_AUGASSIGN, /* += and the like */
    PY_BAD,       /* a character that begins no token: $ ? ! ` or <> */
    PY_KEYWORD_FIRST,
    PY_AND = PY_KEYWORD_FIRST,
    PY_AS,
    PY_ASSERT,
    PY_ASYNC,
    PY_AWAIT,
    PY_BREAK,
    PY_CLASS,
    PY_CONTINUE,
    PY_DEF,
    PY_DEL,
    PY_ELIF,
    PY_ELSE,
    PY_EXCEPT,
    PY_FALSE,
    PY_FINALLY,
    PY_FOR,
    PY_FROM,
    PY_GLOBAL,
    PY_IF,
    PY_IMPORT,
    PY_IN,
    PY_IS,
    PY_LAMBDA,
    PY_NONE,
    PY_NONLOCAL,
    PY_NOT,
    PY_OR,
    PY_PASS,
    PY_RAISE,
    PY_RETURN,
    PY_TRUE,
    PY_TRY,
    PY_WHILE,
    PY_WITH,
    PY_YIELD
};
/* flags of a token */
enum {
    PY_IMAGINARY = 1, /* number */
    PY_RAW = 2,       /* strings */
    PY_BYTES = 4,
    PY_FORMAT = 8,
    PY_TRIPLE = 16
};

struct py_token {
    int type, flags;
    const char *p; /* with quotes and prefix */
    size_t n;
    long line; /* of its first byte, from 1 */
};

enum { PY_MAX_INDENT = 100, PY_MAX_PAREN = 200 }; /* CPython's MAXINDENT and MAXLEVEL */
struct py_lexer {
    const char *begin, *p, *end;
    long line;
    int bol;    /* at the beginning of a line */
    int inside; /* the text is what stands between parentheses: no lines, ')' at its end */
    int n_indent, pending; /* pending: INDENT (> 0) or DEDENTs (< 0) to hand out */
    int level;             /* open brackets */
    int newline_due;       /* tokens since the last NEWLINE */
    long last_line;        /* on which the last token ends that is text */
    const char *why;       /* of PY_ERROR */
    long why_line,
        why_open; /* line of the error; of the bracket or string that was never closed, or 0 */
    int indent[PY_MAX_INDENT], alt[PY_MAX_INDENT]; /* columns with tabs of 8 and of 1 */
    char paren[PY_MAX_PAREN];
    uint32_t paren_at[PY_MAX_PAREN]; /* offset from begin */
};
void py_lex_begin(struct py_lexer *x, const char *s, size_t n);
/* An expression of an f-string: n bytes that stand on `line`, read as if parentheses were around. The
 * '(' has been read. */
void py_lex_inside(struct py_lexer *x, const char *s, size_t n, long line);
void py_lex_next(struct py_lexer *x, struct py_token *t);

/* A keyword's type, or PY_NAME. */
int py_keyword(const char *s, size_t n);
/* Bytes of the character at s (well-formed, but it may be cut off by end), its code point in *c. */
size_t py_char(const char *s, const char *end, uint32_t *c);
int py_ident_start(uint32_t c); /* XID_Start of Unicode 14 and '_' */
int py_ident_char(uint32_t c);  /* XID_Continue */
#endif
