/* trainer.h - the training loop: windows of samples to optimizer steps, validation, divergence
 *
 * A step takes batch * accum samples in the epoch's order; its loss is the sum over all their
 * response tokens divided by the number of those tokens, so accumulation changes nothing but
 * memory, in the last window too.  Everything that happens at a step follows from (seed, step): a
 * run that stops and resumes gives the same bits.
 *
 * With ranks (params.h) each process takes its part of every batch, and of the slices of a validation; gradients and
 * losses are summed.  The loss curve is that of one process but for the rounding of a sum in another order; dropout
 * has other draws. */
#ifndef TRAINER_H
#define TRAINER_H
#include "backward.h"
#include "dataset.h"
#include "optim.h"

struct trainer_conf {
    int batch, accum, epochs, max_rows, recompute, mixed; /* mixed: see backward.h */
    uint64_t seed;
    double max_loss;   /* a step's loss above it is divergence; 0 = only NaN and infinity are */
    const char *alert; /* said when it is; or NULL */
    /* another trainer's, whose memory is used too (backward_join); or NULL */
    const struct backward *with;
};
struct trainer {
    struct trainer_conf c;
    struct optim optim;
    const struct dataset *data;
    struct lora *lora; /* NULL with full training */
    struct params *params;
    struct backward back;
    uint32_t *order;              /* of `epoch` */
    long epoch, per_epoch, total; /* steps of an epoch, of the run */
    long n_right;                 /* samples of the last trainer_eval whose class was right */
};
struct trainer_step { /* what a step did */
    long step, epoch; /* from 1 */
    long tokens, loss_tokens;
    double loss, grad_norm, lr;
};
/* Adapters beside m, or all of m's weights; the other is NULL. */
int trainer_new(struct trainer *t, const struct trainer_conf *c, const struct optim *o,
                const struct model *m, struct lora *l, struct full *full, const struct dataset *d,
                struct err *e);
void trainer_free(struct trainer *t);
/* Step number `step` from 1. ERR_DATA "step N: ..." if the loss or the gradient is not finite, or
 * the loss is above max_loss. */
int trainer_run(struct trainer *t, long step, struct trainer_step *out, struct err *e);
/* Mean loss per response token over a dataset, no gradient. */
int trainer_eval(struct trainer *t, const struct dataset *d, double *loss, long *loss_tokens,
                 struct err *e);
#endif
