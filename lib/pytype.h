/* pytype.h - types of Python values as far as inputs are made by them
 *
 * A type owns its parts. */
#ifndef PYTYPE_H
#define PYTYPE_H
#include "pylit.h"
#include "rng.h"

enum pytype_kind {
    PYTYPE_UNKNOWN,
    PYTYPE_NONE, /* from here to dict in the order of enum pylit_kind */
    PYTYPE_BOOL,
    PYTYPE_INT,
    PYTYPE_FLOAT,
    PYTYPE_STR,
    PYTYPE_LIST,
    PYTYPE_TUPLE,
    PYTYPE_SET,
    PYTYPE_DICT,
    PYTYPE_ANY
};
struct pytype {
    enum pytype_kind kind;
    struct pytype *part; /* (n_part) of elements; dict: of key and value */
    int n_part;
    int any_length; /* tuple: one type, any number */
};
/* Read an annotation ("List[Tuple[int, str]]", "Optional[int]", "int | None") up to a ',', '=' or ')'.
 * -1 if it is none of plain data. Of a union the first part that is not None counts. */
int pytype_read(struct pytype *t, const char **p);
/* What a parameter of that name usually is: "n" an int, "s" a str, "lst" a list of ints. 0 = no idea. */
int pytype_of_name(struct pytype *t, const char *name);
/* The type of a value, joined with what *t says already: int and float make float, others any. */
int pytype_join(struct pytype *t, const struct pylit *v);
void pytype_free(struct pytype *t);
/* A small random value. -1 if memory ran out. */
int pytype_make(struct pylit *v, const struct pytype *t, struct rng *r);
#endif
