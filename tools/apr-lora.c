/* apr-lora - train a LoRA adapter, or all of a model, on instructions, completions or text
 *
 * The state after every --save-every steps is in OUT.ckpt; the same command with the same inputs
 * goes on from there, to the same bits; the weights with the lowest validation loss are in
 * OUT.best.ckpt if they are wanted.  The metrics of a run under way are in FILE.part. */
#include "ckpt.h"
#include "cli.h"
#include "dev.h"
#include "hash.h"
#include "memplan.h"
#include "outdir.h"
#include "outfile.h"
#include "quant.h"
#include "room.h"
#include "timeplan.h"
#include "trainer.h"
#include "verify.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    const char *method, *type, *task, *data, *val, *out, *targets, *schedule, *metrics, *device,
        *precision, *keep;
    long rank, epochs, batch, accum, max_seq_len, seed, save_every, threads, max_steps, pack,
        eval_every, patience;
    double alpha, dropout, lr, ratio, warmup, decay, weight_decay, clip, max_loss;
    int rslora, dora, recompute, show_batch, plan, json, prompt_loss, no_verify;
} o = {.method = "lora",
       .task = "instruct",
       .targets = "all",
       .schedule = "cosine",
       .device = "cpu",
       .precision = "f32",
       .keep = "last",
       .rank = 16,
       .epochs = 1,
       .batch = 8,
       .accum = 1,
       .max_seq_len = 512,
       .seed = 42,
       .save_every = 50,
       .pack = 2048,
       .alpha = 32,
       .lr = 1e-4,
       .ratio = 1,
       .decay = 0.1,
       .clip = 1,
       .max_loss = 10};

#define TASKS "instruct|completion|pretrain"
// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('d', "data", &o.data, "FILE", "training samples (JSONL); required"),
    CLI_CHOICE(0, "method", &o.method, "lora|full", "train an adapter, or all weights of the model"),
    CLI_CHOICE(0, "task", &o.task, TASKS, "records: instruction, response, system; prompt, response; text"),
    CLI_FLAG(0, "prompt-loss", &o.prompt_loss, "take loss on prompts too"),
    CLI_STR(0, "val", &o.val, "FILE", "validation samples, scored before and after each epoch"),
    CLI_INT(0, "eval-every", &o.eval_every, "N", "score them every N steps; 0 = after each epoch", 0, 1e9),
    CLI_INT(0, "patience", &o.patience, "N", "stop after N scores without a new lowest loss; 0 = never", 0, 1e9),
    CLI_CHOICE(0, "keep", &o.keep, "last|best", "weights to write: the last, or those of the lowest validation loss"),
    CLI_FLAG(0, "show-batch", &o.show_batch, "print the first step's tokens with their mask, and end"),
    CLI_FLAG(0, "plan", &o.plan, "print memory and time that it would take, and end"),
    CLI_FLAG(0, "json", &o.json, "the plan as one JSON object"),
    CLI_STR('o', "output", &o.out, "OUT", "write the adapter here (PEFT's folder), or the model (a .apr); required"),
    CLI_CHOICE('t', "type", &o.type, QUANT_MIXES, "full: weight types of the model written; f32"),
    CLI_FLAG(0, "no-verify", &o.no_verify, "full: do not compare the model written with what was trained"),
    CLI_INT('r', "rank", &o.rank, "N", "rank of A and B", 1, 4096),
    CLI_FLOAT(0, "alpha", &o.alpha, "F", "scale: alpha / rank", 1e-6, 1e6),
    CLI_FLOAT(0, "dropout", &o.dropout, "F", "dropout of the adapters' input", 0, 0.99),
    CLI_FLAG(0, "rslora", &o.rslora, "scale by alpha / sqrt(rank)"),
    CLI_FLAG(0, "dora", &o.dora, "a magnitude for each output besides: DoRA"),
    CLI_STR(0, "targets", &o.targets, "LIST", "all, or of q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj, or a regular expression of modules"),
    CLI_FLOAT(0, "lr", &o.lr, "F", "learning rate", 0, 10),
    CLI_FLOAT(0, "lr-ratio", &o.ratio, "F", "B learns F times as fast as A (LoRA+: 16)", 1e-6, 1e6),
    CLI_INT(0, "epochs", &o.epochs, "N", "passes over the data", 1, 1e6),
    CLI_INT(0, "batch", &o.batch, "N", "samples of a batch", 1, 1e6),
    CLI_INT(0, "accum", &o.accum, "N", "batches of a step", 1, 1e6),
    CLI_FLOAT(0, "warmup", &o.warmup, "F", "share of the steps if below 1, else steps", 0, 1e9),
    CLI_CHOICE(0, "schedule", &o.schedule, "cosine|linear|constant|wsd", "learning rate after the warm-up"),
    CLI_FLOAT(0, "decay", &o.decay, "F", "wsd: it falls for this share of the steps if below 1, else steps", 0, 1e9),
    CLI_FLOAT(0, "weight-decay", &o.weight_decay, "F", "AdamW's decoupled decay", 0, 10),
    CLI_FLOAT(0, "clip", &o.clip, "F", "clip the gradient's global norm; 0 = never", 0, 1e9),
    CLI_INT(0, "max-seq-len", &o.max_seq_len, "N", "cut samples at N tokens; rows of a window of text", 2, 1 << 20),
    CLI_INT(0, "seed", &o.seed, "N", "of the first A, the order and dropout", 0, 1e15),
    CLI_STR(0, "metrics", &o.metrics, "FILE", "write metric/1 records here"),
    CLI_INT(0, "save-every", &o.save_every, "N", "steps between checkpoints; 0 = none", 0, 1e9),
    CLI_INT(0, "max-steps", &o.max_steps, "N", "stop after N steps; 0 = all epochs", 0, 1e9),
    CLI_FLOAT(0, "max-loss", &o.max_loss, "F", "a step's loss above it is an error; 0 = any is fine", 0, 1e9),
    CLI_INT(0, "pack", &o.pack, "N", "rows of a pass: memory against speed", 1, 1 << 20),
    CLI_FLAG(0, "recompute", &o.recompute, "keep one layer's activations and run layers twice"),
    CLI_CHOICE(0, "precision", &o.precision, "f32|bf16", "operands of products; sums are f32"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:amx, cpu:avx512, cpu:avx2, ref ..."),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-lora",
                               .what = "train a LoRA adapter or a whole model",
                               .usage = "M.apr --data FILE -o OUT [options]",
                               .example = "apr-lora m.apr --data train.jsonl --rank 16 -o tuned",
                               .opts = opts,
                               .see = "apr-fuse(1), apr-gen(1), schema(7)",
                               .output_version = 2};

struct run {
    struct model model;
    struct lora lora; /* or */
    struct full full;
    struct params *params; /* of one of the two */
    struct dataset data, val;
    struct trainer trainer;
    struct partfile metrics;
    struct json_out line;
    char key[65], ckpt[4200], best_ckpt[4210];
    double best;      /* validation loss */
    long best_step;   /* -1: none yet */
    long step, lines; /* done; of metrics, written by this run or one before it */
};

static void add_samples(struct hash_sha256 *h, const struct dataset *d)
{
    hash_sha256_add(h, &d->n, sizeof d->n);
    for (int i = 0; i < d->n; i++) {
        const struct dataset_sample *s = &d->s[i];
        const int shape[2] = {s->n, s->n_prompt};
        hash_sha256_add(h, shape, sizeof shape);
        hash_sha256_add(h, d->ids + s->at, (size_t)s->n * sizeof *d->ids);
    }
    for (size_t i = 0; i < d->n_record; i++) {
        const uint64_t at = d->record[i];
        hash_sha256_add(h, &at, sizeof at);
    }
}

/* Digest of all that the result depends on; threads, paths of outputs and the like are left out.  The first
 * OF_RUN digits are the model's and the arguments', the others the data's. */
enum { OF_RUN = 40 };
static int run_key(struct run *r, const char *base, struct err *e)
{
    char text[1024];
    struct hash_sha256 h, data;
    char hex[65], *meta = cJSON_PrintUnformatted(r->model.file.meta); /* has the tensors' hashes */
    if (!meta || hash_sha256_init(&h) < 0 || hash_sha256_init(&data) < 0)
        return err_set(e, ERR_NOMEM, "%s", base);
    hash_sha256_add(&h, meta, strlen(meta));
    free(meta);
    snprintf(
        text, sizeof text,
        "%s|%zu|%ld %.17g %.17g %d %u %s|%.17g %ld %ld %ld %.17g %s %.17g %.17g|%ld %ld %ld %ld "
        "%s|%.17g %.17g %d|%ld %ld %s|%s %d",
        o.method, r->model.file.map.n, o.rank, o.alpha, o.dropout, o.rslora, r->lora.c.targets,
        r->model.dev->name, o.lr, o.epochs, o.batch, o.accum, o.warmup, o.schedule, o.weight_decay,
        o.clip, o.max_seq_len, o.seed, o.max_steps, o.pack, o.precision, o.ratio, o.decay, o.dora,
        o.eval_every, o.patience, o.keep, o.task, o.prompt_loss);
    if (r->lora.c.pattern)
        hash_sha256_add(&h, r->lora.c.pattern, strlen(r->lora.c.pattern));
    hash_sha256_add(&h, text, strlen(text));
    add_samples(&data, &r->data);
    add_samples(&data, &r->val);
    hash_sha256_hex(&h, r->key);
    hash_sha256_hex(&data, hex);
    memcpy(r->key + OF_RUN, hex, 64 - OF_RUN);
    return 0;
}

/* A record of this run, unless an interrupted run wrote it already. */
static int metric(struct run *r, struct err *e)
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

static void metric_begin(struct run *r, const char *event, long step, long epoch, double loss)
{
    json_begin(&r->line, '{');
    json_kv_str(&r->line, "schema", "metric/1");
    json_kv_str(&r->line, "event", event);
    json_kv_int(&r->line, "step", step);
    json_kv_int(&r->line, "epoch", epoch);
    json_kv_num(&r->line, "loss", loss);
}

static int validate(struct run *r, long step, long epoch, struct err *e)
{
    double loss;
    long n;
    int rc = trainer_eval(&r->trainer, &r->val, &loss, &n, e);
    if (rc)
        return rc;
    cli_warn("epoch %ld: validation loss %.4f, perplexity %.4f", epoch, loss, exp(loss));
    metric_begin(r, "epoch", step, epoch, loss);
    json_kv_num(&r->line, "perplexity", exp(loss));
    json_kv_int(&r->line, "loss_tokens", n);
    if ((rc = metric(r, e)) || (r->best_step >= 0 && !(loss < r->best)))
        return rc;
    r->best = loss;
    r->best_step = step;
    return o.patience || strcmp(o.keep, "best") == 0
               ? ckpt_save(r->best_ckpt, r->key, r->params, step, e)
               : 0;
}

static int step_metric(struct run *r, const struct trainer_step *s, struct err *e)
{
    metric_begin(r, "step", s->step, s->epoch, s->loss);
    json_kv_num(&r->line, "grad_norm", s->grad_norm);
    json_kv_num(&r->line, "lr", s->lr);
    json_kv_int(&r->line, "tokens", s->tokens);
    json_kv_int(&r->line, "loss_tokens", s->loss_tokens);
    return metric(r, e);
}

/* With --verbose: where the time went. */
static void parts(const struct run *r, double seconds, double tokens)
{
    const struct backward *b = &r->trainer.back;
    double left = seconds;
    if (!cli_verbose || tokens <= 0)
        return;
    for (int i = 0; i <= BACKWARD_N_PART; i++) {
        double s = i < BACKWARD_N_PART ? b->seconds[i] : left;
        left -= s;
        cli_warn("%6.2f s %5.1f %% %6.2f us a token  %s", s, 100 * s / seconds, 1e6 * s / tokens,
                 i < BACKWARD_N_PART ? backward_parts[i] : "optimizer, data and the rest");
    }
    cli_warn("%.0f tokens in %.2f s, %.0f tokens/s", tokens, seconds, tokens / seconds);
}

/* Steps between validations. */
static long every(const struct run *r)
{
    return o.eval_every ? o.eval_every : r->trainer.per_epoch;
}

static int train(struct run *r, struct err *e)
{
    struct trainer *t = &r->trainer;
    struct cli_progress progress = {.what = "apr-lora", .unit = "tokens"};
    struct trainer_step s;
    double tokens = 0, seconds = 0;
    int rc = r->val.n && r->step == 0 ? validate(r, 0, 0, e) : 0, stop = 0;
    char now[80];
    for (long i = r->step + 1; rc == 0 && !stop && i <= t->total; i++) {
        double begin = clock_now();
        if ((rc = trainer_run(t, i, &s, e)) || (rc = step_metric(r, &s, e)))
            break;
        seconds += clock_now() - begin;
        tokens += (double)s.tokens;
        progress.total = tokens / (double)(i - r->step) * (double)(t->total - r->step);
        snprintf(now, sizeof now, "step %ld/%ld, loss %.4f", i, t->total, s.loss);
        cli_progress(&progress, tokens, now);
        if (r->val.n && (i % every(r) == 0 || i == t->total)) {
            rc = validate(r, i, s.epoch, e);
            stop = o.patience && (i - r->best_step) / every(r) >= o.patience;
        }
        if (rc == 0 && stop && i < t->total)
            cli_warn("step %ld: no lower validation loss than %.4f of step %ld: stopped", i,
                     r->best, r->best_step);
        if (rc == 0 && !stop && o.save_every && i % o.save_every == 0 && i < t->total)
            rc = ckpt_save(r->ckpt, r->key, r->params, i, e);
    }
    cli_progress_end(&progress, tokens, NULL);
    if (rc == 0)
        parts(r, seconds, tokens);
    if (rc == 0 && r->val.n && strcmp(o.keep, "best") == 0) {
        long step;
        rc = ckpt_load(r->best_ckpt, r->key, r->params, &step, e);
        rc = rc < 0 ? rc : rc == 1 ? 0 : err_set(e, ERR_NOINPUT, "%s: it is gone", r->best_ckpt);
        if (rc == 0)
            cli_warn("kept: step %ld, validation loss %.4f", step, r->best);
    }
    return rc;
}

/* Is the checkpoint this run's?  ERR_DATA: of this very command, on other data. */
static int is_ours(const struct run *r, struct err *e)
{
    char key[65];
    long step;
    int rc = ckpt_key(r->ckpt, key, sizeof key, &step, e);
    if (rc || !key[0])
        return rc;
    if (strcmp(key, r->key) == 0)
        return 1;
    if (strncmp(key, r->key, OF_RUN) == 0)
        return err_set(
            e, ERR_DATA,
            "%s: the data changed since this checkpoint of step %ld; remove it to start over",
            r->ckpt, step);
    cli_warn("%s: of another model or other arguments, passed over", r->ckpt);
    return 0;
}

/* The best weights so far; their loss has the same bits when it is worked out again.  The checkpoint's weights
 * come after it. */
static int resume_best(struct run *r, struct err *e)
{
    long n;
    if (!r->val.n)
        return 0;
    const int rc = ckpt_load(r->best_ckpt, r->key, r->params, &r->best_step, e);
    if (rc <= 0)
        r->best_step = -1;
    return rc <= 0 ? rc : trainer_eval(&r->trainer, &r->val, &r->best, &n, e);
}

/* Where an interrupted run of the same key stopped. */
static int resume(struct run *r, struct err *e)
{
    long scored;
    int rc = is_ours(r, e);
    r->best_step = -1;
    if (rc == 1 && (rc = resume_best(r, e)) == 0)
        rc = ckpt_load(r->ckpt, r->key, r->params, &r->step, e);
    if (rc < 0)
        return rc;
    if (r->best_step > r->step) /* it will be reached again */
        r->best_step = -1;
    scored = r->val.n ? 1 + r->step / every(r) : 0;
    r->lines = r->step ? r->step + scored : 0;
    if (r->step)
        cli_warn("going on after step %ld of %s", r->step, r->ckpt);
    if (o.metrics && (rc = partfile_open(&r->metrics, o.metrics, r->key, NULL, NULL, e)) < 0)
        return rc;
    if (r->metrics.f && r->metrics.kept < r->lines)
        cli_warn("%s.part: %ld of %ld records are there, the first are lost", o.metrics,
                 r->metrics.kept, r->lines);
    return 0;
}

/* The tokens of a sample: its number, position in the document, id, 1 if loss is taken on it, text as JSON. */
static void show_sample(struct run *r, uint32_t number)
{
    const struct dataset *d = &r->data;
    const struct dataset_sample *s = &d->s[number];
    const size_t *next = dataset_next(d, s->at), *end = next ? d->record + d->n_record : NULL;
    for (int t = 0, first = 0; t < s->n; t++) {
        const int32_t id = d->ids[s->at + (size_t)t];
        const int begins = next < end && *next == s->at + (size_t)t;
        size_t len = 0;
        const char *text = bpe_token(r->model.tok, id, &len);
        if (begins)
            first = t, next++;
        json_reset(&r->line);
        json_strn(&r->line, text ? text : "", len);
        printf("%u\t%d\t%d\t%d\t%.*s\n", number, t - first, id, t >= s->n_prompt && !begins,
               (int)r->line.len, r->line.buf);
    }
}

/* A line per token of the first step. */
static int show_batch(struct run *r, struct err *e)
{
    const long want = o.batch * o.accum, n = want < r->data.n ? want : r->data.n;
    uint32_t *order = malloc((size_t)r->data.n * sizeof *order);
    if (!order)
        return err_set(e, ERR_NOMEM, "an order of %d samples", r->data.n);
    dataset_order(order, r->data.n, (uint64_t)o.seed, 0);
    for (long i = 0; i < n; i++)
        show_sample(r, order[i]);
    json_reset(&r->line);
    free(order);
    return 0;
}

static enum dataset_task task(void)
{
    return o.task[0] == 'i'   ? DATASET_INSTRUCT
           : o.task[0] == 'c' ? DATASET_COMPLETION
                              : DATASET_PRETRAIN;
}

static int is_full(void)
{
    return strcmp(o.method, "full") == 0;
}

static struct optim optim(void)
{
    struct optim opt = OPTIM_DEFAULT;
    opt.lr = o.lr;
    opt.warmup = o.warmup;
    opt.ratio = o.ratio;
    opt.decay = o.decay;
    opt.weight_decay = o.weight_decay;
    opt.clip = o.clip;
    optim_schedule(o.schedule, &opt.schedule);
    return opt;
}

static int load_data(struct run *r, struct err *e)
{
    const struct model *m = &r->model;
    const int len = o.max_seq_len < m->h.n_ctx ? (int)o.max_seq_len : m->h.n_ctx;
    const struct dataset_conf data = {task(), len, o.prompt_loss, (uint64_t)o.seed};
    if (dataset_load(&r->data, o.data, m, &data, e) ||
        (o.val && dataset_load(&r->val, o.val, m, &data, e)))
        return e->code;
    if (r->data.truncated || r->data.left_out)
        cli_warn("%s: %ld samples cut at %d tokens, %ld left out: their prompts fill them", o.data,
                 r->data.truncated, len, r->data.left_out);
    return 0;
}

/* The model, and what of it or beside it is trained. */
static int load_model(struct run *r, const char *base, struct kn_dev *dev, int mixed, struct err *e)
{
    struct lora_conf c = {.rank = (int)o.rank, .alpha = o.alpha, .dropout = o.dropout};
    const int flags = is_full() ? KN_W_TRAIN : backward_weights(base, mixed);
    c.rslora = o.rslora;
    c.dora = o.dora;
    if (mixed && !is_full() && !(flags & KN_W_MIXED))
        cli_warn("too little memory to keep the weights in bf16: slower");
    if (lora_select(o.targets, &c, e) || model_load(&r->model, base, dev, flags, 0, e) ||
        load_data(r, e))
        return e->code;
    r->params = is_full() ? &r->full.p : &r->lora.p;
    return is_full() ? full_new(&r->full, &r->model, e)
                     : lora_new(&r->lora, &c, &r->model.h, dev, (uint64_t)o.seed, e);
}

static int load(struct run *r, const char *base, struct kn_dev *dev, struct err *e)
{
    const struct optim opt = optim();
    const long rows = o.pack > o.max_seq_len ? o.pack : o.max_seq_len;
    const int mixed = strcmp(o.precision, "bf16") == 0;
    const struct trainer_conf t = {(int)o.batch, (int)o.accum, (int)o.epochs,    (int)rows,
                                   o.recompute,  mixed,        (uint64_t)o.seed, o.max_loss};
    const struct model *m = &r->model;
    struct lora *l = is_full() ? NULL : &r->lora;
    struct full *full = is_full() ? &r->full : NULL;
    if (load_model(r, base, dev, mixed, e) ||
        model_room("activations", backward_bytes(&m->h, l, (int)rows, o.recompute, mixed), e) ||
        trainer_new(&r->trainer, &t, &opt, m, l, full, &r->data, e))
        return e->code;
    if (o.max_steps && o.max_steps < r->trainer.total)
        r->trainer.total = r->trainer.optim.total = o.max_steps;
    return run_key(r, base, e);
}

/* ---- --plan: memory from shapes alone, time from one layer of them and the data ---- */

/* What there is to do. */
struct work {
    long steps, evals;
    double tokens, labels; /* rows trained on; of them with a loss */
    double eval_tokens, eval_labels;
};

static struct work work_of(const struct run *r)
{
    const long window = o.batch * o.accum, per = (r->data.n + window - 1) / window,
               all = per * o.epochs, gap = o.eval_every ? o.eval_every : per;
    struct work w = {.steps = o.max_steps && o.max_steps < all ? o.max_steps : all};
    const double share = (double)w.steps / (double)all * (double)o.epochs;
    w.evals = r->val.n ? 1 + (w.steps + gap - 1) / gap : 0;
    w.tokens = share * (double)(r->data.n_ids - (size_t)r->data.n);
    w.labels = share * (double)r->data.n_loss;
    w.eval_tokens = (double)w.evals * (double)(r->val.n_ids - (size_t)r->val.n);
    w.eval_labels = (double)w.evals * (double)r->val.n_loss;
    return w;
}

/* Seconds; negative: *e says why it cannot be told. */
static double time_of(const struct run *r, const struct work *w, const struct memplan_model *m,
                      const struct memplan_conf *c, struct kn_dev *dev, struct err *e)
{
    /* every window of text cuts one document in two */
    const double mean = (double)r->data.n_ids / ((double)r->data.n + (double)r->data.n_record) - 1;
    struct timeplan_conf t = {.lora = c->lora, .document = mean > 1 ? (int)mean : 1};
    struct timeplan s;
    t.rows = c->pack < c->batch * t.document ? c->pack : c->batch * t.document;
    t.labels = w->labels / w->tokens;
    t.recompute = c->recompute;
    t.mixed = c->mixed;
    if (timeplan_measure(&s, &m->h, m->tensor, m->n_tensor, &t, dev, e) < 0)
        return -1;
    return w->tokens * s.row + w->labels * s.label + (double)w->steps * s.step +
           w->eval_tokens * s.row_eval + w->eval_labels * s.label_eval;
}

static void print_plan(const struct run *r, const struct work *w, double seconds,
                       const struct memplan_shown *shown)
{
    struct json_out j = {0};
    struct err e = {0};
    if (!o.json) {
        memplan_text(stdout, shown);
        printf("data         %15d  samples, %.0f tokens of them an epoch, %ld with a loss\n",
               r->data.n, (double)(r->data.n_ids - (size_t)r->data.n), r->data.n_loss);
        printf("steps        %15ld  %ld validations\n", w->steps, w->evals);
        if (seconds >= 0)
            printf("time         %15.0f  seconds, %.0f tokens/s, from one layer of these shapes\n",
                   seconds, w->tokens / seconds);
        return;
    }
    json_begin(&j, '{');
    memplan_json(&j, shown);
    json_kv_int(&j, "samples", r->data.n);
    json_kv_num(&j, "tokens", w->tokens);
    json_kv_num(&j, "loss_tokens", w->labels);
    json_kv_int(&j, "steps", w->steps);
    json_kv_int(&j, "validations", w->evals);
    json_key(&j, "seconds");
    if (seconds >= 0)
        json_num(&j, seconds);
    else
        json_raw(&j, "null");
    json_end(&j, '}');
    if (json_line(&j, stdout, &e) < 0)
        cli_die(&e);
    free(j.buf);
}

/* 0, or 1 if it does not fit. */
static int plan(struct run *r, const char *base, struct kn_dev *dev)
{
    struct err e = {0};
    struct memplan_model m;
    struct memplan p;
    struct memplan_conf c = {
        .method = is_full() ? MEMPLAN_FULL : MEMPLAN_LORA,
        .batch = (int)o.batch,
        .lora = {.rank = (int)o.rank, .alpha = o.alpha, .dropout = o.dropout, .dora = o.dora},
        .pack = (int)o.pack,
        .recompute = o.recompute,
        .mixed = strcmp(o.precision, "bf16") == 0};
    if (lora_select(o.targets, &c.lora, &e) < 0 || model_open(&r->model, base, dev, 0, &e) < 0 ||
        load_data(r, &e) < 0 || memplan_open(&m, base, NULL, &e) < 0)
        cli_die(&e);
    for (int i = 0; i < m.n_tensor; i++)
        if (!is_full() && m.tensor[i].ndim == 2 && kn_type_info(m.tensor[i].type)->block_len > 1)
            c.method = MEMPLAN_QLORA;
    c.n_ctx = r->data.longest > r->val.longest ? r->data.longest : r->val.longest;
    if (memplan_make(&p, &m, &c, dev, &e) < 0) {
        err_prefix(&e, "%s", base);
        cli_die(&e);
    }
    const size_t room = room_available("");
    const struct memplan_shown shown = {&p, &m, &c, base, dev, room};
    const struct work w = work_of(r);
    const double seconds = is_full() ? -1 : time_of(r, &w, &m, &c, dev, &e);
    if (seconds < 0)
        cli_warn("no time: %s", is_full() ? "that of adapters alone is measured" : e.msg);
    print_plan(r, &w, seconds, &shown);
    memplan_close(&m);
    return p.total <= room ? 0 : 1;
}

static const char *const lora_files[] = {"adapter_config.json", "adapter_model.safetensors", NULL};

static int save_adapter(struct run *r, const char *const *inputs, double start, struct err *e)
{
    struct outdir d;
    struct stat st;
    char sha[65], path[4200];
    int rc = outdir_open(&d, o.out, lora_files, e);
    if (rc)
        return rc;
    if ((rc = lora_save(&r->lora, d.tmp, inputs[0], apr_weights_id(&r->model.file), sha, e)) ||
        (rc = outdir_commit(&d, e))) {
        outdir_abort(&d);
        return rc;
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", o.out);
    if (stat(path, &st))
        return err_errno(e, ERR_IO, "%s", path);
    return meta_write(o.out, sha, (uint64_t)st.st_size, inputs, r->model.dev->name,
                      clock_now() - start, e);
}

static int save_model(struct run *r, const char *const *inputs, double start, struct err *e)
{
    struct verify check = {.off = o.no_verify, .threads = (int)o.threads};
    struct stat st;
    char sha[65];
    if (full_save(&r->full, &r->model, o.out, o.type ? o.type : "f32", &check, sha, e))
        return e->code;
    if (verify_failed(&check))
        cli_warn("%s: not verified: %s", o.out, check.why);
    if (stat(o.out, &st))
        return err_errno(e, ERR_IO, "%s", o.out);
    return meta_write_receipt(o.out, sha, (uint64_t)st.st_size, inputs, r->model.dev->name,
                              clock_now() - start, check.text, e);
}

static int save(struct run *r, const char *base, double start, struct err *e)
{
    const char *const inputs[] = {base, o.data, o.val, NULL};
    return (is_full() ? save_model : save_adapter)(r, inputs, start, e);
}

/* Say at once, not after hours, that the output cannot be made. */
static int probe(struct err *e)
{
    struct outdir d;
    struct outfile f;
    int rc = is_full() ? outfile_open(&f, o.out, e) : outdir_open(&d, o.out, lora_files, e);
    if (rc == 0 && is_full())
        outfile_abort(&f);
    else if (rc == 0)
        outdir_abort(&d);
    return rc;
}

static void check_usage(int argc)
{
    const int full = is_full();
    if (argc != 1 || !o.data || (!o.out && !o.show_batch && !o.plan))
        cli_usage(argc != 1 ? "one M.apr is needed"
                  : o.data  ? "-o OUT is needed"
                            : "--data FILE is needed");
    if (o.json && !o.plan)
        cli_usage("--json goes with --plan");
    if (!o.val && (o.patience || strcmp(o.keep, "last")))
        cli_usage("--patience and --keep best need --val");
    if (full && (o.rslora || o.dora || o.dropout > 0 || o.ratio != 1 || strcmp(o.targets, "all")))
        cli_usage("--rslora, --dora, --dropout, --lr-ratio and --targets are of adapters, not of "
                  "--method full");
    if (full && o.out && strcmp(o.out, "-") == 0)
        cli_usage("--method full writes a file, not standard output");
    if (!full && (o.type || o.no_verify))
        cli_usage("--type and --no-verify are of --method full");
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    static struct run r;
    struct kn_dev *dev;
    cli_parse(&cli, &argc, &argv);
    check_usage(argc);
    if (dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (o.plan)
        return cli_exit(plan(&r, argv[0], dev));
    if (o.show_batch) {
        if (load(&r, argv[0], dev, &e) || show_batch(&r, &e))
            cli_die(&e);
        return cli_exit(0);
    }
    if (probe(&e))
        cli_die(&e);
    size_t n = strlen(o.out);
    while (n > 1 && o.out[n - 1] == '/')
        n--;
    snprintf(r.ckpt, sizeof r.ckpt, "%.*s.ckpt", (int)n, o.out);
    snprintf(r.best_ckpt, sizeof r.best_ckpt, "%.*s.best.ckpt", (int)n, o.out);
    if (load(&r, argv[0], dev, &e) || resume(&r, &e) || train(&r, &e) ||
        save(&r, argv[0], start, &e) || (r.metrics.f && partfile_commit(&r.metrics, &e)))
        cli_die(&e);
    unlink(r.ckpt);
    unlink(r.best_ckpt);
    free(r.line.buf);
    trainer_free(&r.trainer);
    lora_free(&r.lora);
    full_free(&r.full);
    dataset_free(&r.data);
    dataset_free(&r.val);
    model_free(&r.model);
    kn_close(dev);
    return cli_exit(0);
}
