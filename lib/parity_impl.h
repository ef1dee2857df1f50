/* parity_impl.h - what the parts of a comparison share: the devices with the model, a step, nearness */
#ifndef PARITY_IMPL_H
#define PARITY_IMPL_H
#include "parity.h"
#include "walk.h"

enum { PARITY_DEVICES = 1 + PARITY_PEERS }; /* the one that is judged, then its peers */
struct parity_device {
    struct kn_dev *dev;
    int flags; /* of its weights */
    struct walk w;
    struct kn_at a, b, c; /* (max_tok, widest) */
    float *own;           /* (n_tok, n_embd) of its own numbers so far */
};
struct parity_step { /* rows [from, from + m) */
    int from, m;
};
struct parity_job {
    struct parity *p;
    struct parity_device d[PARITY_DEVICES];
    int n_dev, n_tok, n_step, n_embd, n_vocab, max_blocks, made;
    struct parity_step *step; /* (n_step) */
    int32_t *tok, *pos, *zero,
        *blocks;                    /* (n_tok) x3; (2, max_blocks): shared numbers, own numbers */
    float *out[PARITY_DEVICES], *x; /* results; (n_tok, n_embd) the first peer's numbers */
    float *q, *att, *h, *gate, *up, *x1; /* the first peer's of a step, (max_tok, widest) */
    size_t widest;
};
/* Rows of width n of the judged device (out[0]) and of peer k (out[1 + k]) into a nearness. */
void parity_near_add(struct parity_near *n, const float *a, const float *b, int rows, size_t width,
                     int layer);
/* A step as the batch of device d; own: with the cache of its own numbers. */
int parity_batch(struct parity_job *j, int d, struct parity_step s, int own, int n_out,
                 struct err *e);
/* Layer l, loaded on every device: ops, and the layer as a whole, of all steps; x becomes its output. */
int parity_layer_ops(struct parity_job *j, int l, struct err *e);
/* p from nothing: the file, its hash, and what computes. */
void parity_identify(struct parity *p, const struct apr *a, const struct kn_dev *dev);
/* parity_run of what is identified. */
int parity_compare(struct parity *p, const struct apr *a, struct kn_dev *dev,
                   const struct parity_want *w, struct err *e);
/* Judge: p->passed and each peer's why. */
void parity_judge(struct parity *p);
#endif
