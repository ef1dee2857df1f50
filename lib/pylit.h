/* pylit.h - plain literals of Python: read, copy, compare, write
 *
 * None, True, False, integers of 64 bits, floats, strings, lists, tuples, sets and dicts of them; no
 * names, no calls, no bytes.  A value owns what is in it. */
#ifndef PYLIT_H
#define PYLIT_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum pylit_kind {
    PYLIT_NONE,
    PYLIT_BOOL,
    PYLIT_INT,
    PYLIT_FLOAT,
    PYLIT_STR,
    PYLIT_LIST,
    PYLIT_TUPLE,
    PYLIT_SET,
    PYLIT_DICT
};
struct pylit {
    enum pylit_kind kind;
    int64_t i;          /* bool, int */
    double f;           /* float: finite */
    uint32_t *s;        /* (n) str: code points */
    struct pylit *item; /* (n) elements; dict: key, value, key, value ... */
    int n, cap;
};
/* Read a literal at *p, white space before it skipped; *p moves behind it. 0, or -1 if there is none
 * or memory ran out. */
int pylit_read(struct pylit *v, const char **p);
/* The positional arguments of the call whose bracket is at p, as a tuple. -1 if one is no literal. */
int pylit_read_args(struct pylit *v, const char *p);
int pylit_copy(struct pylit *to, const struct pylit *from); /* -1 if memory ran out */
void pylit_free(struct pylit *v);                           /* leaves None */
int pylit_equal(const struct pylit *a, const struct pylit *b);
/* Insert at place i, 0..n (of a str: code point c; else *item, which v then owns). -1 if memory ran
 * out, *item freed. */
int pylit_insert_char(struct pylit *v, int i, uint32_t c);
int pylit_insert(struct pylit *v, int i, struct pylit *item);
void pylit_remove(struct pylit *v, int i);
/* Source text: strings in single quotes, characters above ASCII as they are. */
void pylit_write(FILE *f, const struct pylit *v);
void pylit_write_args(FILE *f, const struct pylit *args); /* elements of a tuple, no brackets */
#endif
