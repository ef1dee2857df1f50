/* pymutate - small seeded changes to Python values that keep their types */
#ifndef PYMUTATE_H
#define PYMUTATE_H
#include "pytype.h"

struct pymutate {
    struct rng rng;
    const uint32_t *letter; /* (n_letter) characters that strings are made of */
    int n_letter;
    int negative; /* negative numbers occur; else they are rare */
};
/* Change v in one place. t: its type, for elements of what is empty. -1 if memory ran out. */
int pymutate(struct pymutate *m, struct pylit *v, const struct pytype *t);
#endif
