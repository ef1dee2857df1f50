/* optim - learning rates and one AdamW step over all adapters */
#include "optim.h"
#include "train.h"
#include <math.h>
#include <string.h>

int optim_schedule(const char *name, enum optim_schedule *s)
{
    static const char *const names[] = {"cosine", "linear", "constant"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *s = (enum optim_schedule)i;
            return 0;
        }
    return -1;
}

double optim_lr(const struct optim *o, long step)
{
    double warm = o->warmup < 1 ? ceil(o->warmup * (double)o->total) : o->warmup;
    if ((double)step <= warm)
        return o->lr * (double)step / warm;
    if (o->schedule == OPTIM_CONSTANT)
        return o->lr;
    /* 0 just after the warm-up, 1 just after the last step: no step is wasted at lr 0 */
    double left = (double)o->total - warm, at = ((double)step - 1 - warm) / (left > 1 ? left : 1);
    at = at < 1 ? at : 1;
    return o->lr * (o->schedule == OPTIM_LINEAR ? 1 - at : 0.5 * (1 + cos(M_PI * at)));
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
    if ((rc = kn_adamw(l->dev, l->w, l->g, l->m, l->v, l->n_param, &h)) == 0)
        rc = kn_fill(l->dev, l->g, 0, l->n_param);
    return rc ? err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc)) : 0;
}
