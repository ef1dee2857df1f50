/* apr-lora - train a LoRA adapter, or all of a model, on instructions, completions or text */
#include "cli.h"
#include "dev.h"
#include "flops.h"
#include "quant.h"
#include "room.h"
#include "trainmany.h"
#include "trainplan.h"
#include <stdlib.h>
#include <string.h>

static struct trainrun_opts o = {.method = "lora",
                                 .task = "instruct",
                                 .targets = "all",
                                 .schedule = "cosine",
                                 .device = "cpu",
                                 .precision = "f32",
                                 .keep = "last",
                                 .optim = "adamw",
                                 .optim_state = "f32",
                                 .world_size = 1,
                                 .wait = 300,
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

static struct cli_list adapters;

#define TASKS "instruct|completion|pretrain|classify"
// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('d', "data", &o.data, "FILE", "training samples (JSONL); required"),
    CLI_LIST(0, "adapters", &adapters, "DATA:OUT,...", "several adapters at once on one base, each from its own data"),
    CLI_CHOICE(0, "method", &o.method, "lora|full", "train an adapter, or all weights of the model"),
    CLI_CHOICE(0, "task", &o.task, TASKS, "records: instruction, response, system; prompt, response; text; text, label"),
    CLI_FLAG(0, "prompt-loss", &o.prompt_loss, "take loss on prompts too"),
    CLI_STR(0, "val", &o.val, "FILE", "validation samples, scored before and after each epoch"),
    CLI_STR(0, "eval-bench", &o.eval_bench, "NAME", "score these weights on a benchmark too: pass@1 decides what is best"),
    CLI_INT(0, "eval-every", &o.eval_every, "N", "score them every N steps; 0 = after each epoch", 0, 1e9),
    CLI_INT(0, "patience", &o.patience, "N", "stop after N scores that are not the best; 0 = never", 0, 1e9),
    CLI_CHOICE(0, "keep", &o.keep, "last|best", "weights to write: the last, or those of the best score"),
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
    CLI_CHOICE(0, "optim", &o.optim, "adamw|muon", "full: muon is for the layers' matrices, AdamW for the rest"),
    CLI_CHOICE(0, "optim-state", &o.optim_state, "f32|bf16|8bit", "the optimizer's moments: 8, 4 or 2 bytes a parameter"),
    CLI_FLOAT(0, "weight-decay", &o.weight_decay, "F", "AdamW's decoupled decay", 0, 10),
    CLI_FLOAT(0, "clip", &o.clip, "F", "clip the gradient's global norm; 0 = never", 0, 1e9),
    CLI_INT(0, "max-seq-len", &o.max_seq_len, "N", "tokens of the longest sample; rows of a window of text", 2, 1 << 20),
    CLI_FLAG(0, "truncate", &o.truncate, "cut longer samples there, in place of leaving them out"),
    CLI_INT(0, "seed", &o.seed, "N", "of the first A, the order and dropout", 0, 1e15),
    CLI_STR(0, "metrics", &o.metrics, "FILE", "write metric/1 records here"),
    CLI_INT(0, "save-every", &o.save_every, "N", "steps between checkpoints; 0 = none", 0, 1e9),
    CLI_INT(0, "max-steps", &o.max_steps, "N", "stop after N steps; 0 = all epochs", 0, 1e9),
    CLI_FLOAT(0, "max-loss", &o.max_loss, "F", "a step's loss above it is an error; 0 = any is fine", 0, 1e9),
    CLI_STR(0, "alert", &o.alert, "TEXT", "said with that error"),
    CLI_INT(0, "pack", &o.pack, "N", "rows of a pass: memory against speed", 1, 1 << 20),
    CLI_FLAG(0, "recompute", &o.recompute, "keep one layer's activations and run layers twice"),
    CLI_CHOICE(0, "precision", &o.precision, "f32|bf16", "operands of products; sums are f32"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:amx, cpu:avx512, cpu:avx2, ref, cuda ..."),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores; changes no result", 0, 1024),
    CLI_INT(0, "world-size", &o.world_size, "N", "processes that train together, one command each", 1, RANKS_MOST),
    CLI_INT(0, "world-rank", &o.world_rank, "I", "which of them this is, from 0", 0, RANKS_MOST - 1),
    CLI_STR(0, "meet", &o.meet, "WHERE", "where they meet: HOST:PORT of number 0, or on one host a file's name"),
    CLI_INT(0, "wait", &o.wait, "S", "seconds to wait for another of them", 1, 86400),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-lora",
                               .what = "train a LoRA adapter or a whole model",
                               .usage = "M.apr --data FILE -o OUT [options]",
                               .example = "apr-lora m.apr --data train.jsonl --rank 16 -o tuned",
                               .opts = opts,
                               .see = "apr-fuse(1), apr-gen(1), schema(7)",
                               .output_version = 4};

static void tell(void *out, const char *line)
{
    cli_warn("%s%s%s", out ? (const char *)out : "", out ? ": " : "", line);
}

/* With --verbose: where the time went. */
static void parts(const struct trainrun *r)
{
    const struct backward *b = &r->trainer.back;
    double left = r->seconds;
    if (!cli_verbose || r->tokens <= 0)
        return;
    for (int i = 0; i <= BACKWARD_N_PART; i++) {
        double s = i < BACKWARD_N_PART ? b->seconds[i] : left;
        left -= s;
        cli_warn("%6.2f s %5.1f %% %6.2f us a token  %s", s, 100 * s / r->seconds,
                 1e6 * s / r->tokens,
                 i < BACKWARD_N_PART ? backward_parts[i] : "optimizer, data and the rest");
    }
    cli_warn("%.0f tokens in %.2f s, %.0f tokens/s", r->tokens, r->seconds, r->tokens / r->seconds);
}

/* Operations a second that the device could do; 0 where nobody looks, or it cannot be measured. */
static double peak(struct kn_dev *dev)
{
    struct err e = {0};
    double rate;
    return cli_shows_progress() && flops_peak(dev, trainrun_is_mixed(&o), &rate, &e) == 0 ? rate
                                                                                          : 0;
}

/* Tokens of all runs so far, and what they will be. */
static double tokens(const struct trainmany *t, double *total)
{
    double n = 0;
    *total = 0;
    for (int i = 0; i < t->n; i++) {
        const struct trainrun *r = &t->run[i];
        n += r->tokens;
        if (r->step > r->first)
            *total +=
                r->tokens / (double)(r->step - r->first) * (double)(r->trainer.total - r->first);
    }
    return n;
}

/* Each run is saved when it is done, and gives up its checkpoints when all are. */
static int train(struct trainmany *t, const char *base, double start, struct err *e)
{
    struct cli_progress progress = {.what = "apr-lora", .unit = "tokens"};
    const double most = peak(t->run[0].model->dev);
    struct trainrun *r;
    char now[160] = "";
    int rc, last, n;
    do {
        if ((rc = trainmany_step(t, &r, &last, e)) < 0 ||
            (last && trainrun_save(r, base, start, e)))
            return e->code;
        const double done = tokens(t, &progress.total);
        n = t->n > 1 ? snprintf(now, sizeof now, "%.60s: ", r->out) : 0;
        if (cli_shows_progress())
            trainrun_progress(r, most, now + n, sizeof now - (size_t)n);
        cli_progress(&progress, done, now);
    } while (rc > 0);
    cli_progress_end(&progress, tokens(t, &progress.total), now[0] ? now : NULL);
    for (int i = 0; i < t->n; i++)
        parts(&t->run[i]);
    for (int i = 0; i < t->n; i++)
        if (trainrun_done(&t->run[i], e))
            return e->code;
    return 0;
}

/* 0, or 1 if it does not fit. */
static int plan(struct trainrun *r, const char *base, struct kn_dev *dev)
{
    static struct model m;
    struct err e = {0};
    struct trainplan t;
    r->tell = tell;
    if (trainplan_make(&t, r, &o, &m, base, dev, &e) < 0)
        cli_die(&e);
    const size_t room = room_available("");
    const struct memplan_shown shown = {&t.p, &t.m, &t.c, base, dev, room};
    if (t.seconds < 0)
        cli_warn("no time: %s", t.why.msg);
    if (!o.json)
        trainplan_text(stdout, &t, r, &shown);
    else if (trainplan_json(stdout, &t, r, &shown, &e) < 0)
        cli_die(&e);
    trainplan_free(&t);
    return t.p.total <= room ? 0 : 1;
}

static void check_ranks(void)
{
    if (o.world_rank >= o.world_size || (o.world_size > 1 && !o.meet && !o.plan))
        cli_usage("--world-size N needs --world-rank below it and --meet");
    if (o.world_size > 1 && (adapters.n || o.eval_bench))
        cli_usage("--world-size N goes without --adapters and --eval-bench");
}

static void check_usage(int argc)
{
    const int full = trainrun_is_full(&o);
    if (argc != 1)
        cli_usage("one M.apr is needed");
    if (adapters.n && (full || o.data || o.out || o.plan || o.show_batch))
        cli_usage("--adapters takes the place of --data and -o, and goes without --method full, "
                  "--plan and --show-batch");
    if (adapters.n && o.metrics && !strchr(o.metrics, '%'))
        cli_usage("--metrics of several adapters needs a %% that stands for each one's OUT");
    if (!adapters.n && !o.data)
        cli_usage("--data FILE is needed");
    if (!adapters.n && !o.out && !o.show_batch && !o.plan)
        cli_usage("-o OUT is needed");
    if (o.json && !o.plan)
        cli_usage("--json goes with --plan");
    if (!o.val && !o.eval_bench && (o.patience || strcmp(o.keep, "last")))
        cli_usage("--patience and --keep best need --val or --eval-bench");
    if (full && (o.rslora || o.dora || o.dropout > 0 || o.ratio != 1 || strcmp(o.targets, "all")))
        cli_usage("--rslora, --dora, --dropout, --lr-ratio and --targets are of adapters, not of "
                  "--method full");
    if (trainrun_classifies(&o) && (full || o.prompt_loss || o.eval_bench || adapters.n))
        cli_usage("--task classify is of one adapter: it goes without --method full, --adapters, "
                  "--eval-bench and --prompt-loss");
    if (full && o.out && strcmp(o.out, "-") == 0)
        cli_usage("--method full writes a file, not standard output");
    if (!full && (o.type || o.no_verify || strcmp(o.optim, "adamw")))
        cli_usage("--type, --no-verify and --optim muon are of --method full");
    check_ranks();
}

static int load(struct trainmany *t, struct model *m, const char *base, struct kn_dev *dev,
                struct err *e)
{
    int unpacked;
    if (trainrun_model(m, &o, base, dev, &unpacked, e))
        return e->code;
    if (unpacked)
        cli_warn("too little memory to keep the weights in bf16: slower");
    return trainmany_new(t, &o, m, base, tell, e);
}

/* The outputs can be made, everything is loaded, and interrupted runs go on. */
static int begin(struct trainmany *t, struct model *m, const char *base, struct kn_dev *dev,
                 struct err *e)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < t->n; i++)
        rc = trainrun_probe(&o, t->run[i].out, e);
    rc = rc ? rc : load(t, m, base, dev, e);
    for (int i = 0; rc == 0 && i < t->n; i++)
        if ((rc = trainrun_join(&t->run[i], e)) == 0)
            rc = trainrun_resume(&t->run[i], e);
    return rc;
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    static struct model m;
    static struct trainmany t;
    struct kn_dev *dev;
    cli_parse(&cli, &argc, &argv);
    check_usage(argc);
    cli_quiet |= o.world_rank > 0; /* the first speaks for all */
    if ((adapters.n ? trainmany_parse(&t, &o, adapters.v, adapters.n, &e)
                    : trainmany_one(&t, &o, &e)) ||
        dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (o.plan)
        return cli_exit(plan(&t.run[0], argv[0], dev));
    if (o.show_batch) {
        if (load(&t, &m, argv[0], dev, &e) || trainrun_show(&t.run[0], stdout, &e))
            cli_die(&e);
        return cli_exit(0);
    }
    if (begin(&t, &m, argv[0], dev, &e) || train(&t, argv[0], start, &e))
        cli_die(&e);
    trainmany_free(&t);
    model_free(&m);
    kn_close(dev);
    return cli_exit(0);
}
