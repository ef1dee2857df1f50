/* optim.h - AdamW with warm-up, a schedule and clipping by the global norm
 *
 * Steps count from 1.  During the w warm-up steps lr rises as step / w; then cosine falls to 0 at
 * the last step, linear likewise, constant stays; wsd stays and falls linearly over the last `decay`
 * steps.  Gradients are scaled by min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_
 * does; the norm is summed in double in a fixed order. */
#ifndef OPTIM_H
#define OPTIM_H
#include "params.h"

enum optim_schedule { OPTIM_COSINE, OPTIM_LINEAR, OPTIM_CONSTANT, OPTIM_WSD };
struct optim {
    double lr, warmup;         /* warmup: a fraction of all steps if below 1, else steps */
    double decay;              /* of wsd, likewise */
    double ratio;              /* B's learning rate is lr * ratio: LoRA+ (arXiv:2402.12354) */
    double weight_decay, clip; /* clip 0 = none */
    double beta1, beta2, eps;
    int decay_all; /* weight_decay of norms and biases too */
    enum optim_schedule schedule;
    long total; /* steps of the whole run */
};
#define OPTIM_DEFAULT                                                                              \
    {                                                                                              \
        .lr = 1e-4, .decay = 0.1, .ratio = 1, .clip = 1, .beta1 = 0.9, .beta2 = 0.999,             \
        .eps = 1e-8, .total = 1                                                                    \
    }

int optim_schedule(const char *name, enum optim_schedule *s); /* -1: unknown */
double optim_lr(const struct optim *o, long step);
/* One step; norms and biases do not decay unless decay_all; gradients are zero afterwards. *norm: before clipping. ERR_DATA if it
 * is not finite: the weights are untouched then. */
int optim_step(const struct optim *o, struct params *p, long step, double *norm, struct err *e);
#endif
