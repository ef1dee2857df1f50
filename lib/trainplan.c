/* trainplan - memory from shapes alone, time from one layer of them and the data */
#include "trainplan.h"
#include "timeplan.h"
#include <stdlib.h>

static struct trainplan_work work_of(const struct trainrun *r)
{
    const struct trainrun_opts *o = r->o;
    const long window = o->batch * o->accum, per = (r->data.n + window - 1) / window,
               all = per * o->epochs, gap = o->eval_every ? o->eval_every : per;
    struct trainplan_work w = {.steps = o->max_steps && o->max_steps < all ? o->max_steps : all};
    const double share = (double)w.steps / (double)all * (double)o->epochs;
    w.evals = r->val.n ? 1 + (w.steps + gap - 1) / gap : 0;
    w.tokens = share * (double)(r->data.n_ids - (size_t)r->data.n);
    w.labels = share * (double)r->data.n_loss;
    w.eval_tokens = (double)w.evals * (double)(r->val.n_ids - (size_t)r->val.n);
    w.eval_labels = (double)w.evals * (double)r->val.n_loss;
    return w;
}

/* Seconds; negative: *e says why it cannot be told. */
static double time_of(const struct trainplan *p, const struct trainrun *r, struct kn_dev *dev,
                      struct err *e)
{
    const struct trainplan_work *w = &p->work;
    const struct memplan_conf *c = &p->c;
    const double mean = trainrun_document(r);
    struct timeplan_conf t = {.lora = c->lora, .document = (int)mean};
    struct timeplan s;
    t.full = c->method == MEMPLAN_FULL;
    t.rows = c->pack < c->batch * t.document ? c->pack : c->batch * t.document;
    t.labels = w->labels / w->tokens;
    t.recompute = c->recompute;
    t.mixed = c->mixed;
    if (timeplan_measure(&s, &p->m.h, p->m.tensor, p->m.n_tensor, &t, dev, e) < 0)
        return -1;
    return w->tokens * s.row + w->labels * s.label + (double)w->steps * s.step +
           w->eval_tokens * s.row_eval + w->eval_labels * s.label_eval;
}

int trainplan_make(struct trainplan *t, struct trainrun *r, const struct trainrun_opts *o,
                   struct model *m, const char *base, struct kn_dev *dev, struct err *e)
{
    const int full = trainrun_is_full(o);
    *t = (struct trainplan){.c = {.method = full ? MEMPLAN_FULL : MEMPLAN_LORA,
                                  .batch = (int)o->batch,
                                  .lora = {.rank = (int)o->rank,
                                           .alpha = o->alpha,
                                           .dropout = o->dropout,
                                           .dora = o->dora},
                                  .pack = (int)o->pack,
                                  .recompute = o->recompute,
                                  .mixed = trainrun_is_mixed(o),
                                  .optim = trainrun_optim(o),
                                  .ranks = (int)o->world_size}};
    struct memplan_conf *c = &t->c;
    if (lora_select(o->targets, &c->lora, e) < 0 || model_open(m, base, dev, 0, e) < 0 ||
        trainrun_data(r, o, m, e) < 0 || memplan_open(&t->m, base, NULL, e) < 0)
        return e->code;
    c->lora.n_class = r->data.n_label;
    for (int i = 0; i < t->m.n_tensor; i++)
        if (!full && t->m.tensor[i].ndim == 2 && kn_type_info(t->m.tensor[i].type)->block_len > 1)
            c->method = MEMPLAN_QLORA;
    c->n_ctx = r->data.longest > r->val.longest ? r->data.longest : r->val.longest;
    if (memplan_make(&t->p, &t->m, c, dev, e) < 0)
        return err_prefix(e, "%s", base);
    t->work = work_of(r);
    t->seconds = time_of(t, r, dev, &t->why);
    return 0;
}

void trainplan_free(struct trainplan *t)
{
    memplan_close(&t->m);
}

void trainplan_text(FILE *f, const struct trainplan *t, const struct trainrun *r,
                    const struct memplan_shown *shown)
{
    memplan_text(f, shown);
    fprintf(f, "data         %15d  samples, %.0f tokens of them an epoch, %ld with a loss\n",
            r->data.n, (double)(r->data.n_ids - (size_t)r->data.n), r->data.n_loss);
    fprintf(f, "steps        %15ld  %ld validations\n", t->work.steps, t->work.evals);
    if (t->seconds >= 0)
        fprintf(f, "time         %15.0f  seconds, %.0f tokens/s, from one layer of these shapes\n",
                t->seconds, t->work.tokens / t->seconds);
}

int trainplan_json(FILE *f, const struct trainplan *t, const struct trainrun *r,
                   const struct memplan_shown *shown, struct err *e)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    memplan_json(&j, shown);
    json_kv_int(&j, "samples", r->data.n);
    json_kv_num(&j, "tokens", t->work.tokens);
    json_kv_num(&j, "loss_tokens", t->work.labels);
    json_kv_int(&j, "steps", t->work.steps);
    json_kv_int(&j, "validations", t->work.evals);
    json_key(&j, "seconds");
    if (t->seconds >= 0)
        json_num(&j, t->seconds);
    else
        json_raw(&j, "null");
    json_end(&j, '}');
    int rc = json_line(&j, f, e);
    free(j.buf);
    return rc;
}
