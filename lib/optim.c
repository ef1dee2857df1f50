/* optim - learning rates and one AdamW step over all adapters */
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

/* The values from..to-1 of all four arrays. */
static int update_part(struct lora *l, size_t from, size_t to, const struct kn_adamw *h)
{
    const size_t at = from * sizeof(float);
    return kn_adamw(l->dev, kn_plus(l->w, at), kn_plus(l->g, at), kn_plus(l->m, at),
                    kn_plus(l->v, at), to - from, h);
}

/* All at once, or with two rates A and B by turns. */
static int update(const struct optim *o, struct lora *l, const struct kn_adamw *h)
{
    struct kn_adamw fast = *h;
    int rc = 0;
    if (o->ratio == 1)
        return update_part(l, 0, l->n_param, h);
    fast.lr = (float)(h->lr * o->ratio);
    for (int i = 0; rc == 0 && i < l->n_mod; i++) {
        const size_t a = l->mod[i].a, b = l->mod[i].b;
        rc = update_part(l, a, b, h);
        rc = rc ? rc : update_part(l, b, i + 1 < l->n_mod ? l->mod[i + 1].a : l->n_param, &fast);
    }
    return rc;
}

int optim_step(const struct optim *o, struct lora *l, long step, double *norm, struct err *e)
{
    struct kn_at sum;
    double sumsq = 0;
    int rc = kn_alloc(l->dev, sizeof sumsq, &sum);
    if (rc)
        return err_set(e, ERR_NOMEM, "optimizer: %s", kn_strerror(rc));
    if ((rc = kn_sumsq(l->dev, sum, l->g, l->n_param)) == 0)
        rc = kn_read(l->dev, &sumsq, sum, sizeof sumsq);
    kn_free(l->dev, sum);
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
    if ((rc = update(o, l, &h)) == 0)
        rc = kn_fill(l->dev, l->g, 0, l->n_param);
    return rc ? err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc)) : 0;
}
