/* trainer - windows of samples to optimizer steps */
#include "trainer.h"
#include "ranks.h"
#include "rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int trainer_new(struct trainer *t, const struct trainer_conf *c, const struct optim *o,
                const struct model *m, struct lora *l, struct full *full, const struct dataset *d,
                struct err *e)
{
    long window = (long)c->batch * c->accum;
    *t = (struct trainer){.c = *c, .optim = *o, .data = d, .lora = l, .epoch = -1};
    t->params = full ? &full->p : &l->p;
    t->per_epoch = (d->n + window - 1) / window;
    t->total = t->per_epoch * c->epochs;
    t->optim.total = t->total;
    t->order = malloc((size_t)d->n * sizeof *t->order);
    if (!t->order)
        return err_set(e, ERR_NOMEM, "an order of %d samples", d->n);
    int rc = c->with ? backward_join(&t->back, c->with, l, e)
                     : backward_new(&t->back, m, l, c->max_rows, c->recompute, c->mixed, e);
    t->back.full = full;
    if (rc || (rc = optim_begin(o, t->params, e)))
        trainer_free(t);
    return rc;
}

void trainer_free(struct trainer *t)
{
    if (t->back.m && !t->c.with)
        backward_free(&t->back);
    free(t->order);
    memset(t, 0, sizeof *t);
}

/* Forward, and backward where scale > 0, over the samples; *loss gets the sum over their tokens. */
static int pass(struct trainer *t, const struct dataset *d, const uint32_t *which, int n,
                float scale, uint64_t key, double *loss, long *rows, long *loss_tokens,
                struct err *e)
{
    struct dataset_packs p;
    int rc = dataset_pack(&p, d, which, n, t->c.max_rows, e);
    if (rc)
        return rc;
    for (int i = 0; rc == 0 && i < p.n_pack; i++) {
        int at = p.start[i], len = p.start[i + 1] - at;
        t->back.dropout_key = rng_key(key, "dropout", (uint64_t)i);
        rc = backward_run(&t->back, p.ids + at, p.doc + at, p.label + at, len, scale, scale > 0,
                          loss, e);
    }
    *rows += p.n_rows;
    *loss_tokens += p.n_loss;
    dataset_packs_free(&p);
    return rc;
}

/* This process's part of n samples: all, or with ranks the rank-th of equal parts. */
static long part(const struct trainer *t, long n, int next)
{
    const struct ranks *r = t->params->ranks;
    return r ? n * (r->rank + next) / r->n : next * n;
}

/* Forward and backward of one batch, or of our part of it. */
static int batch(struct trainer *t, struct trainer_step *out, long from, long i, long n,
                 long loss_tokens, double *sum, struct err *e)
{
    const long begin = i + part(t, n, 0), end = i + part(t, n, 1);
    const uint64_t key =
        rng_key(t->c.seed, "step", (uint64_t)out->step << 20 | (uint64_t)(begin - from));
    return begin == end
               ? 0
               : pass(t, t->data, t->order + begin, (int)(end - begin), 1 / (float)loss_tokens, key,
                      sum, &out->tokens, &out->loss_tokens, e);
}

/* What the ranks have done becomes what all have. */
static int together(struct trainer *t, struct trainer_step *out, double *sum, struct err *e)
{
    double x[] = {*sum, (double)out->tokens, (double)out->loss_tokens};
    if (!t->params->ranks)
        return 0;
    int rc = ranks_sum(t->params->ranks, x, 3, e);
    *sum = x[0];
    out->tokens = (long)x[1];
    out->loss_tokens = (long)x[2];
    return rc;
}

int trainer_run(struct trainer *t, long step, struct trainer_step *out, struct err *e)
{
    long epoch = (step - 1) / t->per_epoch, window = (long)t->c.batch * t->c.accum;
    long from = (step - 1) % t->per_epoch * window, to = from + window, loss_tokens = 0;
    double sum = 0;
    int rc = 0;
    to = to < t->data->n ? to : t->data->n;
    if (t->epoch != epoch)
        dataset_order(t->order, t->data->n, t->c.seed, epoch);
    t->epoch = epoch;
    *out = (struct trainer_step){.step = step, .epoch = epoch + 1};
    for (long i = from; i < to; i++)
        loss_tokens += t->data->s[t->order[i]].n_loss;
    for (long i = from; rc == 0 && i < to; i += t->c.batch) {
        long n = to - i < t->c.batch ? to - i : t->c.batch;
        rc = batch(t, out, from, i, n, loss_tokens, &sum, e);
    }
    rc = rc ? rc : together(t, out, &sum, e);
    if (rc) {
        err_prefix(e, "step %ld", step);
        return rc;
    }
    out->loss = sum / (double)loss_tokens;
    out->lr = optim_lr(&t->optim, step);
    if (!isfinite(out->loss))
        return err_set(e, ERR_DATA, "step %ld: the loss is not finite", step);
    if (t->c.max_loss > 0 && out->loss > t->c.max_loss)
        return err_set(e, ERR_DATA, "step %ld: the loss is %.4g, above %.4g: diverged%s%.300s",
                       step, out->loss, t->c.max_loss, t->c.alert ? ": " : "",
                       t->c.alert ? t->c.alert : "");
    if ((rc = optim_step(&t->optim, t->params, step, &out->grad_norm, e)))
        err_prefix(e, "step %ld", step);
    return rc;
}

/* Slices of the samples, each summed alone and by one rank: the same bits for any number of them. */
enum { SLICE = 64 };

static int eval_slices(struct trainer *t, const struct dataset *d, double *sums, struct err *e)
{
    const struct ranks *r = t->params->ranks;
    uint32_t which[SLICE];
    int rc = 0;
    for (int i = 0; rc == 0 && i < d->n; i += SLICE) {
        const int n = d->n - i < SLICE ? d->n - i : SLICE;
        long rows = 0, labels = 0;
        if (r && i / SLICE % r->n != r->rank)
            continue;
        for (int k = 0; k < n; k++)
            which[k] = (uint32_t)(i + k);
        double *to = &sums[3 * (i / SLICE)];
        t->back.n_right = 0;
        rc = pass(t, d, which, n, 0, 0, &to[0], &rows, &labels, e);
        to[1] = (double)labels;
        to[2] = (double)t->back.n_right;
    }
    return rc;
}

int trainer_eval(struct trainer *t, const struct dataset *d, double *loss, long *loss_tokens,
                 struct err *e)
{
    const int n = (d->n + SLICE - 1) / SLICE;
    double *sums = calloc(3 * (size_t)n + 1, sizeof *sums); /* loss, tokens, right ones */
    double dropout = t->lora ? t->lora->c.dropout : 0, sum = 0, tokens = 0;
    int rc = sums ? 0 : err_set(e, ERR_NOMEM, "losses of %d samples", d->n);
    double seconds[BACKWARD_N_PART]; /* of training alone */
    memcpy(seconds, t->back.seconds, sizeof seconds);
    if (t->lora)
        t->lora->c.dropout = 0;
    rc = rc ? rc : eval_slices(t, d, sums, e);
    if (t->lora)
        t->lora->c.dropout = dropout;
    memcpy(t->back.seconds, seconds, sizeof seconds);
    if (rc == 0 && t->params->ranks)
        rc = ranks_sum(t->params->ranks, sums, 3 * n, e);
    t->n_right = 0;
    for (int i = 0; rc == 0 && i < n; i++) {
        sum += sums[3 * i];
        tokens += sums[3 * i + 1];
        t->n_right += (long)sums[3 * i + 2];
    }
    *loss = sum / tokens;
    *loss_tokens = (long)tokens;
    free(sums);
    return rc;
}
