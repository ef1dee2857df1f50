/* optim - learning rates and one AdamW step over all parameters */
#include "optim.h"
#include "train.h"
#include <math.h>
#include <string.h>

int optim_schedule(const char *name, enum optim_schedule *s)
{
    static const char *const names[] = {"cosine", "linear", "constant", "wsd"};
    for (int i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0) {
            *s = (enum optim_schedule)i;
            return 0;
        }
    return -1;
}

/* What is a share of all steps if below 1. */
static double steps(const struct optim *o, double n)
{
    return n < 1 ? ceil(n * (double)o->total) : n;
}

double optim_lr(const struct optim *o, long step)
{
    double warm = steps(o, o->warmup);
    if ((double)step <= warm)
        return o->lr * (double)step / warm;
    if (o->schedule == OPTIM_CONSTANT)
        return o->lr;
    if (o->schedule == OPTIM_WSD) { /* 1 before the last `decay` steps, 0 just after the last */
        double fall = steps(o, o->decay), to_go = (double)o->total - (double)step + 1;
        return to_go > fall ? o->lr : o->lr * to_go / (fall + 1);
    }
    /* 0 just after the warm-up, 1 just after the last step: no step is wasted at lr 0 */
    double left = (double)o->total - warm, at = ((double)step - 1 - warm) / (left > 1 ? left : 1);
    at = at < 1 ? at : 1;
    return o->lr * (o->schedule == OPTIM_LINEAR ? 1 - at : 0.5 * (1 + cos(M_PI * at)));
}

/* Parts of equal rates and decay at once. */
static int update(const struct optim *o, struct params *p, const struct kn_adamw *h)
{
    size_t from = 0;
    int rc = 0;
    for (int i = 0; rc == 0 && i < p->n_part; i++) {
        struct kn_adamw own[2] = {*h, *h};
        for (int k = 0; k < 2 && i + k < p->n_part; k++) {
            const enum params_kind kind = p->part[i + k].kind;
            own[k].lr = kind == PARAMS_FAST ? (float)(h->lr * o->ratio) : h->lr;
            own[k].weight_decay = kind == PARAMS_VECTOR && !o->decay_all ? 0 : h->weight_decay;
        }
        if (i + 1 < p->n_part && own[0].lr == own[1].lr &&
            own[0].weight_decay == own[1].weight_decay)
            continue;
        const size_t at = from * sizeof(float);
        rc = kn_adamw(p->dev, kn_plus(p->w, at), kn_plus(p->g, at), kn_plus(p->m, at),
                      kn_plus(p->v, at), p->part[i].end - from, &own[0]);
        from = p->part[i].end;
    }
    return rc;
}

int optim_step(const struct optim *o, struct params *p, long step, double *norm, struct err *e)
{
    struct kn_at sum;
    double sumsq = 0;
    int rc = kn_alloc(p->dev, sizeof sumsq, &sum);
    if (rc)
        return err_set(e, ERR_NOMEM, "optimizer: %s", kn_strerror(rc));
    if ((rc = kn_sumsq(p->dev, sum, p->g, p->n)) == 0)
        rc = kn_read(p->dev, &sumsq, sum, sizeof sumsq);
    kn_free(p->dev, sum);
    if (rc)
        return err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc));
    *norm = sqrt(sumsq);
    if (!isfinite(*norm))
        return err_set(e, ERR_DATA, "the gradient is not finite");
    struct kn_adamw h = {.lr = (float)optim_lr(o, step),
                         .beta1 = (float)o->beta1,
                         .beta2 = (float)o->beta2,
                         .eps = (float)o->eps,
                         .weight_decay = (float)o->weight_decay,
                         .grad_scale = 1,
                         .t = step};
    if (o->clip > 0 && o->clip < *norm + 1e-6)
        h.grad_scale = (float)(o->clip / (*norm + 1e-6));
    if ((rc = update(o, p, &h)) == 0)
        rc = kn_fill(p->dev, p->g, 0, p->n);
    return rc ? err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc)) : 0;
}
