/* extract_private.h - what the parts of extraction share: pieces of text, regions, candidates */
#ifndef EXTRACT_PRIVATE_H
#define EXTRACT_PRIVATE_H
#include "extract.h"

struct span {
    const char *p;
    size_t n;
};

/* ---- extract_text.c: lines, and whether one reads as Python or as prose ---- */

int span_line(const char **p, const char *end, struct span *line); /* without \n; 0 at the end */
int span_starts(struct span s, const char *with);
struct span span_trim(struct span s);
int span_blank(struct span s);
struct span span_first(struct span s); /* the first line that is not blank, or the last one */
size_t span_word(struct span s);       /* length of the identifier at its beginning */
size_t span_indent(struct span line);  /* bytes of white space before it; its length if blank */

struct lex { /* just enough of Python's lexer to know what is inside brackets and long strings */
    char triple; /* the quote of an open long string, 0 = none */
    int depth;   /* open brackets */
};
/* 1 if the line ends in a comment or inside a string. */
int lex_line(struct lex *x, struct span line);
/* Behind the string or comment at p; p itself if there is none, or its end is not on the line or is
 * far away; the end for a long string that never ends. */
const char *lex_literal(const char *p, const char *end);

/* At column 0, outside of strings and brackets. */
int text_is_code(struct span line);
/* Offset at which a line begins that is surely code ("def f", also behind "Answer: "), or -1. */
long text_begins_code(struct span line);
int text_is_heading(struct span comment);  /* "## Notes": Markdown, not a comment */
struct span text_cut_prose(struct span s); /* up to the first line of prose at column 0 */
int text_has_def(struct span s);
int text_defines(struct span s, const char *name);
int text_has_method(struct span s, const char *name); /* "def name(" that is indented */
/* Is it said that what comes next is a choice ("Alternatively"), not a correction? */
int text_is_aside(struct span s);
int text_begins_turn(struct span s); /* a line "User:", "Question:" or the like */

/* ---- extract_turn.c ---- */

/* Take the thinking block off the text: 1 if it has no end. */
int region_thought(struct span *text, struct span *thought);
struct span region_turn(struct span text); /* the first turn, without marks of turns */

/* ---- extract_region.c: fences ---- */

struct region {
    struct span s;
    enum extract_how how; /* FENCE, OPEN_FENCE, RAW */
    int named;            /* the mark: 1 names the language, 0 none, -1 another one */
    int indent, quoted;   /* columns, and a "> ", to take off each line */
    int first;            /* at the beginning of the text */
    int aside;            /* what is said before it: this is another way, or another turn's */
};
struct regions {
    struct region *v;
    int n, cap, fences;
};
int region_split(struct regions *r, struct span text, enum bench_lang lang); /* 0, ERR_NOMEM */

/* ---- extract_mend.c ---- */

/* The text mended (malloc), or NULL: nothing to do (or no memory: then *nomem is set). */
char *mend_text(enum extract_mend what, struct span s, int tab, int *nomem);
/* Each line that is not blank (or the first alone) without its first bytes of white space, up to
 * `remove`, and with `add` before it. */
char *mend_indent(struct span s, struct span add, size_t remove, int first_only, int *nomem);
/* 1 if HTML's escapes stand outside of strings: they are no Python, even if they parse. */
int mend_needs_html(struct span s);

/* ---- candidates ---- */

enum rank {
    RANK_LENDS = -1, /* never the answer */
    RANK_TEXT,
    RANK_DEF,    /* does not parse, holds a definition */
    RANK_BROKEN, /* does not parse, defines what is asked for */
    RANK_OTHER,  /* parses and defines something */
    RANK_STUB,   /* defines what is asked for, without code: the question again */
    RANK_BODY,
    RANK_DEFINES /* parses and defines what is asked for */
};
struct candidate {
    struct span s;
    enum extract_how how;
    enum rank rank;
    int named, body, parses, defines;
    int again;        /* of equals it wins over an earlier one: a fence that says it once more */
    struct span name; /* of its first definition */
    unsigned mended;
    long line;
    const char *why;
};
struct finder {
    const struct extract_opts *o;
    struct candidate *v;
    int n, cap;
    void **own; /* what candidates point into */
    int n_own, cap_own;
    size_t work, limit; /* bytes parsed, and how many may be */
    size_t sought;      /* bytes that were looked through for a beginning: the same limit */
    int late;           /* of equal candidates the last */
    int nomem;
};
const char *finder_prompt(const struct finder *f); /* what a body is appended to */
int finder_own(struct finder *f, void *p);         /* 0, or -1 and p is freed */
struct span finder_text(struct finder *f,
                        char *s); /* s, now f's; empty with NULL if there is none */
void finder_add(struct finder *f, const struct candidate *c);

void python_region(struct finder *f, const struct region *r); /* extract_python.c */
void brace_region(struct finder *f, const struct region *r);  /* extract_brace.c */
/* As need_assemble: pieces that define what candidate `best` calls are put before it. */
char *brace_assemble(struct finder *f, int best, struct extract *x);

/* ---- extract_loose.c ---- */

/* Candidates that are not looked for as long as there are others; Python alone. */
void loose_search(struct finder *f, struct span text);

/* ---- extract_stub.c ---- */

/* Has this def, or every def in this class, no code: "pass", "...", a docstring alone? */
int stub_python(struct span def);

/* ---- extract_answer.c ---- */

/* One candidate at most: the value or call that was asked for. 0, or -1: no memory. */
int answer_search(struct finder *f, struct span text, int *fences);

/* ---- extract_need.c ---- */

/* The code of candidate `best` with what it needs from the others, and without what it must lose
 * (malloc). Fills parts and dropped. NULL if memory ran out. */
char *need_assemble(struct finder *f, int best, struct extract *x);
#endif
