/* trainrun - a run of training from its data to its last step: what it resumes from, scores, keeps and records */
#include "trainrun.h"
#include "ckpt.h"
#include "clock.h"
#include "evalbench.h"
#include "hash.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int trainrun_is_full(const struct trainrun_opts *o)
{
    return strcmp(o->method, "full") == 0;
}

int trainrun_is_mixed(const struct trainrun_opts *o)
{
    return strcmp(o->precision, "bf16") == 0;
}

int trainrun_classifies(const struct trainrun_opts *o)
{
    return strcmp(o->task, "classify") == 0;
}

void trainrun_say(const struct trainrun *r, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    r->tell(r->arg, line);
}

/* ---- what is loaded ---- */

static int adapters(const struct trainrun_opts *o, struct lora_conf *c, struct err *e)
{
    *c = (struct lora_conf){.rank = (int)o->rank,
                            .alpha = o->alpha,
                            .dropout = o->dropout,
                            .rslora = o->rslora,
                            .dora = o->dora};
    return lora_select(o->targets, c, e);
}

int trainrun_model(struct model *m, const struct trainrun_opts *o, const char *base,
                   struct kn_dev *dev, int *unpacked, struct err *e)
{
    const int full = trainrun_is_full(o), mixed = trainrun_is_mixed(o);
    const int flags = full ? KN_W_TRAIN : backward_weights(base, dev, mixed);
    struct lora_conf c;
    *unpacked = mixed && !full && !(flags & KN_W_MIXED);
    return adapters(o, &c, e) ? e->code : model_load(m, base, dev, flags, 0, e);
}

static enum dataset_task task(const struct trainrun_opts *o)
{
    return trainrun_classifies(o) ? DATASET_CLASSIFY
           : o->task[0] == 'i'    ? DATASET_INSTRUCT
           : o->task[0] == 'c'    ? DATASET_COMPLETION
                                  : DATASET_PRETRAIN;
}

static void tell_lengths(const struct trainrun *r, const char *path, const struct dataset *d,
                         int len)
{
    if (r->o->truncate && d->truncated + d->left_out)
        trainrun_say(r, "%s: %ld samples cut at %d tokens, %ld left out: their prompts fill them",
                     path, d->truncated, len, d->left_out);
    else if (d->left_out)
        trainrun_say(
            r, "%s: %ld of %ld samples have more than %d tokens: left out (--truncate cuts them)",
            path, d->left_out, d->left_out + d->n, len);
}

int trainrun_data(struct trainrun *r, const struct trainrun_opts *o, struct model *m, struct err *e)
{
    const int len = o->max_seq_len < m->h.n_ctx ? (int)o->max_seq_len : m->h.n_ctx;
    struct dataset_conf data = {task(o), len, o->prompt_loss, (uint64_t)o->seed, o->truncate, NULL};
    r->o = o;
    r->model = m;
    if (dataset_load(&r->data, r->data_path, m, &data, e))
        return e->code;
    data.classes = trainrun_classifies(o) ? &r->data : NULL;
    if (o->val && !r->with && dataset_load(&r->val, o->val, m, &data, e))
        return e->code;
    tell_lengths(r, r->data_path, &r->data, len);
    if (r->with)
        r->val = r->with->val;
    else if (o->val)
        tell_lengths(r, o->val, &r->val, len);
    return 0;
}

struct optim trainrun_optim(const struct trainrun_opts *o)
{
    struct optim opt = OPTIM_DEFAULT;
    opt.lr = o->lr;
    opt.warmup = o->warmup;
    opt.ratio = o->ratio;
    opt.decay = o->decay;
    opt.weight_decay = o->weight_decay;
    opt.clip = o->clip;
    opt.muon = strcmp(o->optim, "muon") == 0;
    opt.seed = (uint64_t)o->seed;
    optim_moment(o->optim_state, &opt.moment);
    optim_schedule(o->schedule, &opt.schedule);
    return opt;
}

/* What of the model or beside it is trained. */
static int new_params(struct trainrun *r, struct err *e)
{
    struct lora_conf c;
    const int full = trainrun_is_full(r->o);
    if (adapters(r->o, &c, e))
        return e->code;
    c.n_class = r->data.n_label;
    c.label = (const char *const *)r->data.label;
    r->params = full ? &r->full.p : &r->lora.p;
    if (full ? full_new(&r->full, r->model, e)
             : lora_new(&r->lora, &c, &r->model->h, r->model->dev, (uint64_t)r->o->seed, e))
        return e->code;
    r->params->ranks = r->o->world_size > 1 ? &r->ranks : NULL;
    return 0;
}

int trainrun_new(struct trainrun *r, const struct trainrun_opts *o, struct model *m,
                 const char *base, struct err *e)
{
    const struct optim opt = trainrun_optim(o);
    const int rows = (int)(o->pack > o->max_seq_len ? o->pack : o->max_seq_len);
    const int full = trainrun_is_full(o), mixed = trainrun_is_mixed(o);
    const struct trainer_conf t = {(int)o->batch,     (int)o->accum,
                                   (int)o->epochs,    rows,
                                   o->recompute,      mixed,
                                   (uint64_t)o->seed, o->max_loss,
                                   o->alert,          r->with ? &r->with->trainer.back : NULL};
    struct lora *l = full ? NULL : &r->lora;
    size_t n = r->out ? strlen(r->out) : 0;
    while (n > 1 && r->out[n - 1] == '/')
        n--;
    snprintf(r->ckpt, sizeof r->ckpt, "%.*s.ckpt", (int)n, n ? r->out : "");
    snprintf(r->best_ckpt, sizeof r->best_ckpt, "%.*s.best.ckpt", (int)n, n ? r->out : "");
    r->best_step = -1;
    r->base = base;
    ranks_init(&r->ranks, (int)o->world_rank, (int)o->world_size, (int)o->wait);
    if (trainrun_data(r, o, m, e) || new_params(r, e) ||
        (!r->with && model_room("activations",
                                backward_bytes(&m->h, l, m->dev, rows, o->recompute, mixed), e)) ||
        trainer_new(&r->trainer, &t, &opt, m, l, full ? &r->full : NULL, &r->data, e))
        return e->code;
    if (o->max_steps && o->max_steps < r->trainer.total)
        r->trainer.total = r->trainer.optim.total = o->max_steps;
    return trainrun_key(r, base, e);
}

void trainrun_free(struct trainrun *r)
{
    ranks_leave(&r->ranks);
    free(r->line.buf);
    trainer_free(&r->trainer);
    lora_free(&r->lora);
    full_free(&r->full);
    dataset_free(&r->data);
    if (!r->with)
        dataset_free(&r->val);
}

/* ---- metrics ---- */

/* A record of this run, unless an interrupted run wrote it already. */
static int metric(struct trainrun *r, struct err *e)
{
    int rc = 0;
    json_end(&r->line, '}');
    if (r->line.failed)
        rc = err_set(e, ERR_NOMEM, "metrics");
    else if (r->metrics.f && r->lines++ >= r->metrics.kept)
        rc = partfile_line(&r->metrics, r->line.buf, r->line.len, e);
    json_reset(&r->line);
    return rc;
}

static void metric_begin(struct trainrun *r, const char *event, long step, long epoch)
{
    json_begin(&r->line, '{');
    json_kv_str(&r->line, "schema", "metric/1");
    json_kv_str(&r->line, "event", event);
    json_kv_int(&r->line, "step", step);
    json_kv_int(&r->line, "epoch", epoch);
}

static int step_metric(struct trainrun *r, const struct trainer_step *s, struct err *e)
{
    metric_begin(r, "step", s->step, s->epoch);
    json_kv_num(&r->line, "loss", s->loss);
    json_kv_num(&r->line, "grad_norm", s->grad_norm);
    json_kv_num(&r->line, "lr", s->lr);
    json_kv_int(&r->line, "tokens", s->tokens);
    json_kv_int(&r->line, "loss_tokens", s->loss_tokens);
    return metric(r, e);
}

/* ---- scores ---- */

static int keeps_best(const struct trainrun *r)
{
    return strcmp(r->o->keep, "best") == 0;
}

/* Scores at a time: of validation, of a benchmark. */
static int scores(const struct trainrun *r)
{
    return (r->val.n > 0) + (r->o->eval_bench != NULL);
}

/* Steps between them. */
static long every(const struct trainrun *r)
{
    return r->o->eval_every ? r->o->eval_every : r->trainer.per_epoch;
}

/* What the best weights are chosen by. */
static const char *what(const struct trainrun *r)
{
    return r->o->eval_bench ? "pass@1" : "validation loss";
}

static int validate(struct trainrun *r, long step, long epoch, double *loss, struct err *e)
{
    long n;
    int rc = trainer_eval(&r->trainer, &r->val, loss, &n, e);
    if (rc)
        return rc;
    const long right = r->trainer.n_right;
    const double share = (double)right / (double)n;
    metric_begin(r, "epoch", step, epoch);
    json_kv_num(&r->line, "loss", *loss);
    if (trainrun_classifies(r->o)) {
        trainrun_say(r, "epoch %ld: validation loss %.4f, accuracy %.4f (%ld of %ld)", epoch, *loss,
                     share, right, n);
        json_kv_num(&r->line, "accuracy", share);
    } else {
        trainrun_say(r, "epoch %ld: validation loss %.4f, perplexity %.4f", epoch, *loss,
                     exp(*loss));
        json_kv_num(&r->line, "perplexity", exp(*loss));
    }
    json_kv_int(&r->line, "loss_tokens", n);
    return metric(r, e);
}

static int bench(struct trainrun *r, long step, long epoch, double *pass, struct err *e)
{
    struct evalbench_score s;
    if (trainrun_bench(r, &s, e))
        return err_prefix(e, "step %ld", step);
    *pass = s.value;
    trainrun_say(r, "step %ld: %s: %ld of %ld, pass@1 %.4f", step, r->o->eval_bench, s.passed,
                 s.tasks, s.value);
    if (s.harness_errors)
        trainrun_say(r, "step %ld: %s: %ld answers could not be judged", step, r->o->eval_bench,
                     s.harness_errors);
    metric_begin(r, "bench", step, epoch);
    json_kv_str(&r->line, "bench", r->o->eval_bench);
    json_kv_num(&r->line, "pass_at_1", s.value);
    json_kv_int(&r->line, "passed", s.passed);
    json_kv_int(&r->line, "n_task", s.tasks);
    return metric(r, e);
}

/* A checkpoint of the best weights has their score behind the run's key. */
enum { SCORED_KEY = 100 };
static const char *scored_key(const struct trainrun *r, double score, char *key)
{
    snprintf(key, SCORED_KEY, "%s %.17g", r->key, score);
    return key;
}

/* All scores of these weights, and if they are the best so far they are kept. */
static int evaluate(struct trainrun *r, long step, long epoch, struct err *e)
{
    char key[SCORED_KEY];
    double loss = 0, pass = 0;
    int rc = 0;
    if (r->val.n && (rc = validate(r, step, epoch, &loss, e)))
        return rc;
    if (r->o->eval_bench && (rc = bench(r, step, epoch, &pass, e)))
        return rc;
    const double now = r->o->eval_bench ? -pass : loss;
    if (r->best_step >= 0 && !(now < (r->o->eval_bench ? -r->best : r->best)))
        return 0;
    r->best = r->o->eval_bench ? pass : loss;
    r->best_step = step;
    if (!r->o->patience && !keeps_best(r))
        return 0;
    return ckpt_save(r->best_ckpt, scored_key(r, r->best, key), r->params, step, e);
}

/* The best weights so far, and their score.  The checkpoint's weights come after it. */
static int resume_best(struct trainrun *r, struct err *e)
{
    const size_t n = strlen(r->key);
    char key[SCORED_KEY];
    long step;
    int rc;
    if (!scores(r) || (rc = ckpt_key(r->best_ckpt, key, sizeof key, &step, e)))
        return e->code;
    if (strncmp(key, r->key, n) || key[n] != ' ') /* none, or of another run */
        return 0;
    r->best = strtod(key + n, NULL);
    rc = ckpt_load(r->best_ckpt, key, r->params, &r->best_step, e);
    if (rc <= 0)
        r->best_step = -1;
    return rc < 0 ? rc : 0;
}

/* ---- going on ---- */

/* Is the checkpoint this run's?  ERR_DATA: of this very command, on other data. */
static int is_ours(const struct trainrun *r, struct err *e)
{
    char key[65];
    long step;
    int rc = ckpt_key(r->ckpt, key, sizeof key, &step, e);
    if (rc || !key[0])
        return rc;
    if (strcmp(key, r->key) == 0)
        return 1;
    if (strncmp(key, r->key, TRAINRUN_KEY_OPTS) == 0)
        return err_set(
            e, ERR_DATA,
            "%s: the data changed since this checkpoint of step %ld; remove it to start over",
            r->ckpt, step);
    trainrun_say(r, "%s: of another model or other arguments, passed over", r->ckpt);
    return 0;
}

/* What all ranks must have in common: the run's key, and when all hand over their moments. */
int trainrun_join(struct trainrun *r, struct err *e)
{
    char text[100], key[65];
    const int n = snprintf(text, sizeof text, "%s %ld", r->key, r->o->save_every);
    if (r->o->world_size == 1)
        return 0;
    hash_sha256_mem(text, (size_t)n, key);
    return ranks_join(&r->ranks, r->o->meet, key, e);
}

/* All ranks go on from the same step, and compare with the best of the same step. */
static int agree(struct trainrun *r, struct err *e)
{
    const double n = (double)r->o->world_size, own[] = {(double)r->step, (double)r->best_step};
    double sum[] = {own[0], own[1]};
    if (r->o->world_size == 1)
        return 0;
    if (ranks_sum(&r->ranks, sum, 2, e))
        return e->code;
    for (int i = 0; i < 2; i++)
        if (sum[i] != n * own[i])
            return err_set(e, ERR_DATA,
                           "%s: step %.0f here, another one elsewhere: every process must see the "
                           "same file",
                           i ? r->best_ckpt : r->ckpt, own[i]);
    return 0;
}

int trainrun_resume(struct trainrun *r, struct err *e)
{
    long scored;
    int rc = is_ours(r, e);
    if (rc == 1 && (rc = resume_best(r, e)) == 0)
        rc = ckpt_load(r->ckpt, r->key, r->params, &r->step, e);
    if (rc < 0 || (rc = agree(r, e)) < 0)
        return rc;
    if (r->best_step > r->step) /* it will be reached again */
        r->best_step = -1;
    scored = scores(r) * (1 + r->step / every(r));
    r->lines = r->step ? r->step + scored : 0;
    r->first = r->step;
    if (r->step)
        trainrun_say(r, "going on after step %ld of %s", r->step, r->ckpt);
    if (r->metrics_path && r->o->world_rank == 0 &&
        (rc = partfile_open(&r->metrics, r->metrics_path, r->key, NULL, NULL, e)) < 0)
        return rc;
    if (r->metrics.f && r->metrics.kept < r->lines)
        trainrun_say(r, "%s.part: %ld of %ld records are there, the first are lost",
                     r->metrics_path, r->metrics.kept, r->lines);
    return 0;
}

/* ---- steps ---- */

/* The best weights in the place of the last. */
static int take_best(struct trainrun *r, struct err *e)
{
    char key[SCORED_KEY];
    long step;
    int rc = ckpt_load(r->best_ckpt, scored_key(r, r->best, key), r->params, &step, e);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(e, ERR_NOINPUT, "%s: it is gone", r->best_ckpt);
    trainrun_say(r, "kept: step %ld, %s %.4f", step, what(r), r->best);
    return 0;
}

/* What is due behind a step. */
static int behind(struct trainrun *r, long step, struct err *e)
{
    const struct trainer *t = &r->trainer;
    const struct trainrun_opts *o = r->o;
    int rc = 0;
    if (scores(r) && (step % every(r) == 0 || step == t->total)) {
        if ((rc = evaluate(r, step, r->last.epoch, e)))
            return rc;
        r->stopped = o->patience && (step - r->best_step) / every(r) >= o->patience;
    }
    if (r->stopped && step < t->total)
        trainrun_say(r, "step %ld: no %s %s than %.4f of step %ld: stopped", step,
                     r->o->eval_bench ? "higher" : "lower", what(r), r->best, r->best_step);
    if (!r->stopped && o->save_every && step % o->save_every == 0 && step < t->total)
        rc = ckpt_save(r->ckpt, r->key, r->params, step, e);
    return rc;
}

int trainrun_step(struct trainrun *r, struct err *e)
{
    const long total = r->trainer.total;
    const double begin = clock_now();
    int rc;
    if (r->step < total && !r->stopped) {
        if (scores(r) && r->step == 0 && (rc = evaluate(r, 0, 0, e)))
            return rc;
        const double now = r->step ? begin : clock_now();
        if ((rc = trainer_run(&r->trainer, r->step + 1, &r->last, e)) ||
            (rc = step_metric(r, &r->last, e)))
            return rc;
        r->step++;
        r->seconds += clock_now() - now;
        r->tokens += (double)r->last.tokens;
        if ((rc = behind(r, r->step, e)))
            return rc;
    }
    if (r->step < total && !r->stopped)
        return 1;
    return scores(r) && keeps_best(r) && r->o->world_rank == 0 ? take_best(r, e) : 0;
}
