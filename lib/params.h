/* params.h - what training changes: values, their gradients and AdamW's moments, four arrays on a device
 *
 * First each piece is planned, which gives its place; then all are allocated at once, as zeros. */
#ifndef PARAMS_H
#define PARAMS_H
#include "err.h"
#include "kernels.h"

enum params_kind {
    PARAMS_WEIGHT,
    PARAMS_FAST,  /* has the rate of LoRA+'s B */
    PARAMS_VECTOR /* a norm or a bias: weight decay leaves it alone */
};
struct params_part {
    size_t end; /* floats */
    enum params_kind kind;
};
struct params {
    struct kn_dev *dev; /* not owned */
    size_t n;           /* floats of each array */
    struct kn_at w, g, m, v;
    struct params_part *part; /* (n_part) one behind another */
    int n_part;
};

/* n floats more; *at: where they begin. */
int params_plan(struct params *p, size_t n, enum params_kind kind, size_t *at, struct err *e);
/* what: begins the message if there is not the memory. */
int params_alloc(struct params *p, struct kn_dev *dev, const char *what, struct err *e);
void params_free(struct params *p);
#endif
