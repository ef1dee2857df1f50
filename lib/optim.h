/* optim.h - AdamW or Muon with warm-up, a schedule and clipping by the global norm
 *
 * Steps count from 1.  During the w warm-up steps lr rises as step / w; then cosine falls to 0 at
 * the last step, linear likewise, constant stays; wsd stays and falls linearly over the last `decay`
 * steps.  Gradients are scaled by min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_
 * does; the norm is summed in double in a fixed order.
 *
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) is for the matrices of layers: Nesterov's momentum
 * m = mu m + g, u = g + mu m, made orthogonal by five steps of X = a X + (b A + c A A) X, A = X X^T, from
 * X = u / (|u| + 1e-7) with (a, b, c) = (3.4445, -4.7750, 2.0315), in f32; then
 * w -= lr (wd w + 0.2 sqrt(max(rows, columns)) X), which gives the update AdamW's size, so that rate and decay are the
 * same for both (Liu et al. 2025, arXiv:2502.16982).  Everything else has AdamW. */
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
    double momentum; /* Muon's mu */
    int decay_all;   /* weight_decay of norms and biases too */
    int muon;        /* for each PARAMS_MATRIX */
    enum kn_moment moment;
    uint64_t seed; /* of bf16's rounding */
    enum optim_schedule schedule;
    long total; /* steps of the whole run */
};
#define OPTIM_DEFAULT                                                                              \
    {                                                                                              \
        .lr = 1e-4, .decay = 0.1, .ratio = 1, .clip = 1, .beta1 = 0.9, .beta2 = 0.999,             \
        .eps = 1e-8, .momentum = 0.95, .total = 1                                                  \
    }

int optim_schedule(const char *name, enum optim_schedule *s); /* -1: unknown */
int optim_moment(const char *name, enum kn_moment *m);        /* "f32" "bf16" "8bit"; -1: unknown */
double optim_lr(const struct optim *o, long step);
/* The moments of this process's share of p, as zeros.  The first step does it where it was not done. */
int optim_begin(const struct optim *o, struct params *p, struct err *e);
/* Bytes that optim_begin takes for all of p: of moments, and of scratch. */
size_t optim_moment_bytes(const struct optim *o, struct params *p);
size_t optim_scratch_bytes(const struct optim *o, const struct params *p);
/* One step; norms and biases do not decay unless decay_all; gradients are zero afterwards. *norm: before clipping. ERR_DATA if it
 * is not finite: the weights are untouched then.  With ranks the gradients of all are summed, and each steps with its
 * share. */
int optim_step(const struct optim *o, struct params *p, long step, double *norm, struct err *e);
#endif
