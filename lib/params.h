/* params.h - what training changes: values, gradients and an optimizer's moments, arrays on a device
 *
 * First each piece is planned, which gives its place; then values and gradients are allocated at once, as zeros.
 * The moments come when training begins (optim_begin): in f32 or less, of all parameters or, where several processes
 * train one model, of this one's share. */
#ifndef PARAMS_H
#define PARAMS_H
#include "err.h"
#include "kernels.h"
#include "train.h"

enum params_kind {
    PARAMS_WEIGHT,
    PARAMS_MATRIX, /* of a layer: Muon's, where that is asked for */
    PARAMS_FAST,   /* has the rate of LoRA+'s B */
    PARAMS_VECTOR  /* a norm or a bias: weight decay leaves it alone */
};
struct params_part {
    size_t at, n; /* floats */
    enum params_kind kind;
    int rows, cols; /* of a PARAMS_MATRIX, rows * cols <= n */
    size_t m, v;    /* bytes of the moments of all parts before it */
};
struct ranks;
struct params {
    struct kn_dev *dev; /* not owned */
    size_t n;           /* floats of w and of g */
    struct kn_at w, g;
    struct params_part *part; /* (n_part) one behind another */
    int n_part;
    struct ranks *ranks; /* who trains this beside us; NULL: nobody.  Not owned */
    /* what optim_begin makes */
    enum kn_moment moment;
    int muon;            /* a PARAMS_MATRIX has no v */
    size_t from, to;     /* floats whose moments are here */
    struct kn_at m, v;   /* a part's begin with a block of their own */
    size_t m_all, v_all; /* bytes of all parameters' moments */
    struct kn_at x, y, gram,
        poly; /* Muon's scratch: two of the largest matrix, two of its smaller side squared */
};

/* n floats more; *at: where they begin. */
int params_plan(struct params *p, size_t n, enum params_kind kind, size_t *at, struct err *e);
/* what: begins the message if there is not the memory. */
int params_alloc(struct params *p, struct kn_dev *dev, const char *what, struct err *e);
void params_free(struct params *p);

/* Bytes of the moments of all before float `at`, which is where a part begins or a block of it; second: of v. */
size_t params_moment_at(const struct params *p, size_t at, int second);
/* Where the share of rank i of n begins, that of n: where all end.  Blocks are not cut, nor Muon's matrices, so that
 * the shares' moments one behind another are those of a single process. */
size_t params_share(const struct params *p, int i, int n);
#endif
