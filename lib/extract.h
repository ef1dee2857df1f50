/* extract.h - the code in a model's answer
 *
 * An answer is cut into pieces: code fences, the text between them, inside the text the runs of lines
 * that are statements.  Each piece that could be the code is a candidate and is parsed (pyparse.h).
 * The best wins; of equal ones, in this order: a mark that names the language, a closed fence, an open
 * one, text; then the first of the answer, unless a later fence is said to be better, or the last of a
 * thinking block.
 *   1. it parses and defines what is asked for (nothing known: a function or class);
 *   2. it is the body of the function that the prompt began;
 *   3. it defines what is asked for without code: the question's own head again;
 *   4. it parses and defines something;
 *   5. it defines what is asked for, and does not parse;
 *   6. the rest, ones with a definition first.
 * What the winner uses and other pieces define is put before it (behind it, if it is a body).  The
 * rules in full: apr-extract(1). */
#ifndef EXTRACT_H
#define EXTRACT_H
#include "bench.h"
#include "err.h"
#include <stddef.h>

enum extract_how {
    EXTRACT_NONE,       /* no code */
    EXTRACT_FENCE,      /* a complete fence */
    EXTRACT_OPEN_FENCE, /* a fence without an end */
    EXTRACT_RAW,        /* code without fences */
    EXTRACT_THINKING,   /* only inside the thinking block */
    EXTRACT_HOWS
};
enum extract_asked {
    EXTRACT_CODE,  /* a program or a body */
    EXTRACT_VALUE, /* an expression, or "assert entry(...) == expression": CRUXEval's output */
    EXTRACT_CALL   /* entry(...), or that assert: CRUXEval's input */
};
enum extract_thought { EXTRACT_NO_THOUGHT, EXTRACT_THOUGHT, EXTRACT_OVERFLOW /* no end mark */ };

/* What had to be done to a piece before it parsed: bits. */
enum extract_mend {
    EXTRACT_MEND_MARKS = 1,       /* cut at [DONE], </code>, </s> ... */
    EXTRACT_MEND_HTML = 2,        /* &lt; is < */
    EXTRACT_MEND_BACKSLASHES = 4, /* Markdown's \_ is _ */
    EXTRACT_MEND_CHARACTERS = 8,  /* full-width, typographic and zero-width characters */
    EXTRACT_MEND_PROMPTS = 16,    /* >>> and ... */
    EXTRACT_MEND_TABS = 32,       /* tabs mixed with spaces */
    EXTRACT_MEND_NEWLINES = 64,   /* \n spelled out */
    EXTRACT_MEND_INDENT = 128,    /* moved left or right as a whole, or its first line */
    EXTRACT_MEND_CUT = 256,       /* last lines left out */
    EXTRACT_MENDS = 9
};

struct extract_opts {
    const char *entry;  /* the name that must be defined, or NULL */
    const char *method; /* entry is a class that must have it, or NULL */
    const char *prompt; /* what a body is appended to; NULL: some function's head */
    int no_body;        /* an answer is a whole program, never the body of the prompt's function */
    int reads;          /* it may read the standard input */
    enum extract_asked asked;
    enum bench_lang lang;
    int sanitize; /* keep imports and what entry needs, nothing else */
    int as_is;    /* choose, and change nothing inside the piece */
};
struct extract {
    char *code; /* malloc'ed, NUL-terminated, "" if there is none; ends with a newline */
    size_t n;
    enum extract_how how;
    enum extract_thought thought;
    int body;                      /* to be appended to the prompt */
    int answer;                    /* an expression or an assert, not code */
    int parses, defines;           /* -1: not known (other languages; no entry) */
    int fences, candidates, parts; /* in the answer; tried; put together */
    int dropped;                   /* statements of the winner that were left out */
    unsigned mended;
    long
        line; /* of the first error in the winner before it was mended or cut, and what it is; or 0 */
    const char *why;
};
/* Find the code in text (n bytes; a NUL ends it). thought: reasoning that came apart from the text, or
 * NULL; `open`: it has no end. 0, or ERR_NOMEM. Free x->code. */
int extract_find(struct extract *x, const char *text, size_t n, const char *thought, int open,
                 const struct extract_opts *o, struct err *e);

const char *extract_how_name(enum extract_how how); /* as in code/1 */
const char *extract_mend_name(int bit);             /* 0 <= bit < EXTRACT_MENDS */

/* 1 if code has a line that binds name at column 0: def, async def, class, or an assignment. */
int extract_defines(const char *code, const char *name);
#endif
