/* optim - learning rates, and one step of AdamW or Muon over all parameters */
#include "optim.h"
#include "moment.h"
#include "ranks.h"
#include "room.h"
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

/* ---- the moments ---- */

int optim_moment(const char *name, enum kn_moment *m)
{
    static const char *const names[] = {"f32", "bf16", "8bit"};
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *m = (enum kn_moment)i;
            return 0;
        }
    return -1;
}

static int has_muon(const struct params *p, const struct params_part *x)
{
    return p->muon && x->kind == PARAMS_MATRIX;
}

size_t optim_moment_bytes(const struct optim *o, struct params *p)
{
    p->moment = o->moment;
    p->muon = o->muon;
    p->m_all = p->v_all = 0;
    for (int i = 0; i < p->n_part; i++) {
        struct params_part *x = &p->part[i];
        const size_t bytes = kn_moment_bytes(p->moment, x->n);
        x->m = p->m_all;
        x->v = p->v_all;
        p->m_all += bytes;
        p->v_all += has_muon(p, x) ? 0 : bytes;
    }
    return p->m_all + p->v_all;
}

/* Floats of Muon's largest matrix, and of its smaller side squared. */
static void muon_sizes(const struct params *p, size_t *most, size_t *square)
{
    *most = *square = 0;
    for (int i = 0; i < p->n_part; i++) {
        const struct params_part *x = &p->part[i];
        const size_t side = (size_t)(x->rows < x->cols ? x->rows : x->cols);
        if (x->kind != PARAMS_MATRIX)
            continue;
        *most = x->n > *most ? x->n : *most;
        *square = side * side > *square ? side * side : *square;
    }
}

size_t optim_scratch_bytes(const struct optim *o, const struct params *p)
{
    size_t most, square;
    muon_sizes(p, &most, &square);
    return o->muon ? 2 * (most + square) * sizeof(float) : 0;
}

static int zeros(struct params *p, struct kn_at *at, size_t bytes)
{
    /* +0 of every kind but 8 bits, whose scale it is */
    const size_t n = (bytes + sizeof(float) - 1) / sizeof(float);
    int rc = n ? kn_alloc(p->dev, n * sizeof(float), at) : 0;
    return rc || !n ? rc : kn_fill(p->dev, *at, 0, n);
}

int optim_begin(const struct optim *o, struct params *p, struct err *e)
{
    const int rank = p->ranks ? p->ranks->rank : 0, n = p->ranks ? p->ranks->n : 1;
    size_t most, square;
    optim_moment_bytes(o, p);
    p->from = params_share(p, rank, n);
    p->to = params_share(p, rank + 1, n);
    const size_t m = params_moment_at(p, p->to, 0) - params_moment_at(p, p->from, 0),
                 v = params_moment_at(p, p->to, 1) - params_moment_at(p, p->from, 1);
    const size_t need = m + v + optim_scratch_bytes(o, p), room = room_available("");
    if (need > room)
        return err_set(e, ERR_NOMEM, "the optimizer's moments: needs %zu bytes, %zu available",
                       need, room);
    int rc = zeros(p, &p->m, m);
    rc = rc ? rc : zeros(p, &p->v, v);
    muon_sizes(p, &most, &square);
    if (o->muon && most) {
        struct kn_at *big[] = {&p->x, &p->y}, *small[] = {&p->gram, &p->poly};
        for (int i = 0; i < 2 && !rc; i++)
            if ((rc = kn_alloc(p->dev, most * sizeof(float), big[i])) == 0)
                rc = kn_alloc(p->dev, square * sizeof(float), small[i]);
    }
    return rc ? err_set(e, rc == KN_ENOMEM ? ERR_NOMEM : ERR_UNAVAILABLE,
                        "the optimizer's moments, %zu bytes: %s", m + v, kn_strerror(rc))
              : 0;
}

/* Where the moments of float `at` lie, which is in this process's share. */
static struct kn_at moment(const struct params *p, size_t at, int second)
{
    return kn_plus(second ? p->v : p->m,
                   params_moment_at(p, at, second) - params_moment_at(p, p->from, second));
}

/* ---- a step ---- */

static int sumsq(struct params *p, struct kn_at x, size_t n, double *sum)
{
    struct kn_at at;
    int rc = kn_alloc(p->dev, sizeof *sum, &at);
    if (rc)
        return rc;
    if ((rc = kn_sumsq(p->dev, at, x, n)) == 0)
        rc = kn_read(p->dev, sum, at, sizeof *sum);
    kn_free(p->dev, at);
    return rc;
}

/* p->x made orthogonal; it may change places with p->y. */
static int newton_schulz(struct params *p, const struct params_part *part)
{
    static const float a = 3.4445f, b = -4.7750f, c = 2.0315f;
    struct kn_dev *d = p->dev;
    const int rows = part->rows, cols = part->cols, wide = rows <= cols;
    const int side = wide ? rows : cols, other = wide ? cols : rows;
    const size_t n = (size_t)rows * (size_t)cols, square = (size_t)side * (size_t)side;
    double sum;
    int rc = sumsq(p, p->x, n, &sum);
    rc = rc ? rc : kn_fill(d, p->y, 0, n);
    rc = rc ? rc : kn_axpy(d, p->y, p->x, (float)(1 / (sqrt(sum) + 1e-7)), n);
    for (int i = 0; !rc && i < 5; i++) { /* from y to x, then they change places */
        struct kn_at x = p->y, next = p->x;
        rc = kn_gemm(d, p->gram, x, x, 1, side, side, other, wide ? KN_TB : KN_TA);
        rc = rc ? rc : kn_gemm(d, p->poly, p->gram, p->gram, c, side, side, side, 0);
        rc = rc ? rc : kn_axpy(d, p->poly, p->gram, b, square);
        rc = rc     ? rc
             : wide ? kn_gemm(d, next, p->poly, x, 1, rows, cols, rows, 0)
                    : kn_gemm(d, next, x, p->poly, 1, rows, cols, cols, 0);
        rc = rc ? rc : kn_axpy(d, next, x, a, n);
        p->x = x;
        p->y = next;
    }
    const struct kn_at out = p->y; /* the last one */
    p->y = p->x;
    p->x = out;
    return rc;
}

static int muon(const struct optim *o, struct params *p, const struct params_part *x,
                const struct kn_adamw *h)
{
    struct kn_adamw own = *h;
    const size_t n = (size_t)x->rows * (size_t)x->cols, at = x->at * sizeof(float);
    const struct kn_at w = kn_plus(p->w, at);
    const double most = x->rows > x->cols ? x->rows : x->cols;
    own.beta1 = (float)o->momentum;
    own.first = x->at;
    int rc = kn_momentum(p->dev, p->x, moment(p, x->at, 0), kn_plus(p->g, at), x->n, &own);
    rc = rc ? rc : newton_schulz(p, x);
    rc = rc ? rc : kn_axpy(p->dev, w, w, (float)(-(double)h->lr * h->weight_decay), n);
    return rc ? rc : kn_axpy(p->dev, w, p->x, (float)(-(double)h->lr * 0.2 * sqrt(most)), n);
}

/* What AdamW does with a part. */
static struct kn_adamw of_part(const struct optim *o, const struct params_part *x,
                               const struct kn_adamw *h)
{
    struct kn_adamw own = *h;
    if (x->kind == PARAMS_FAST)
        own.lr = (float)(h->lr * o->ratio);
    if (x->kind == PARAMS_VECTOR && !o->decay_all)
        own.weight_decay = 0;
    return own;
}

static int adamw(struct params *p, size_t from, size_t to, struct kn_adamw *h)
{
    const size_t at = from * sizeof(float);
    h->first = from;
    return kn_adamw(p->dev, kn_plus(p->w, at), kn_plus(p->g, at), moment(p, from, 0),
                    moment(p, from, 1), to - from, h);
}

/* Of the parts in our share those of equal rates and decay at once, unless a block ends between them. */
static int update(const struct optim *o, struct params *p, const struct kn_adamw *h)
{
    size_t from = p->from, to = p->from; /* of a run that is to be done */
    struct kn_adamw run = {.t = 0};
    int rc = 0;
    for (int i = 0; rc == 0 && i < p->n_part; i++) {
        const struct params_part *x = &p->part[i];
        const size_t begin = x->at > p->from ? x->at : p->from,
                     end = x->at + x->n < p->to ? x->at + x->n : p->to;
        if (begin >= end)
            continue;
        struct kn_adamw own = of_part(o, x, h);
        const int goes_on = to > from && !has_muon(p, x) && own.lr == run.lr &&
                            own.weight_decay == run.weight_decay &&
                            (p->moment != KN_MOMENT_8BIT || (to - from) % KN_MOMENT_BLOCK == 0);
        if (to > from && !goes_on)
            rc = adamw(p, from, to, &run);
        if (!goes_on)
            from = begin;
        run = own;
        to = end;
        if (has_muon(p, x)) {
            rc = rc ? rc : muon(o, p, x, h);
            from = to;
        }
    }
    return rc || to == from ? rc : adamw(p, from, to, &run);
}

/* The square of the gradient's norm; of several processes each has a share, whose sums are added in order. */
static int squares(struct params *p, double *sum, struct err *e)
{
    int rc = sumsq(p, kn_plus(p->g, p->from * sizeof(float)), p->to - p->from, sum);
    if (rc)
        return err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc));
    return p->ranks ? ranks_sum(p->ranks, sum, 1, e) : 0;
}

int optim_step(const struct optim *o, struct params *p, long step, double *norm, struct err *e)
{
    double sum = 0;
    int rc = p->m_all ? 0 : optim_begin(o, p, e);
    if (rc == 0 && p->ranks)
        rc = ranks_reduce(p->ranks, p, e);
    if (rc || (rc = squares(p, &sum, e)))
        return rc;
    *norm = sqrt(sum);
    if (!isfinite(*norm))
        return err_set(e, ERR_DATA, "the gradient is not finite");
    struct kn_adamw h = {.lr = (float)optim_lr(o, step),
                         .beta1 = (float)o->beta1,
                         .beta2 = (float)o->beta2,
                         .eps = (float)o->eps,
                         .weight_decay = (float)o->weight_decay,
                         .grad_scale = 1,
                         .t = step,
                         .moment = o->moment,
                         .seed = o->seed};
    if (o->clip > 0 && o->clip < *norm + 1e-6)
        h.grad_scale = (float)(o->clip / (*norm + 1e-6));
    if ((rc = update(o, p, &h)) == 0)
        rc = kn_fill(p->dev, p->g, 0, p->n);
    if (rc)
        return err_set(e, ERR_UNAVAILABLE, "optimizer: %s", kn_strerror(rc));
    return p->ranks ? ranks_spread(p->ranks, p, e) : 0;
}
