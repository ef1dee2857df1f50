/* apr-lora - train a LoRA adapter, or all of a model, on instructions, completions or text */
#include "cli.h"
#include "dev.h"
#include "quant.h"
#include "room.h"
#include "trainplan.h"
#include "trainrun.h"
#include <stdlib.h>
#include <string.h>

static struct trainrun_opts o = {.method = "lora",
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

static void tell(void *arg, const char *line)
{
    (void)arg;
    cli_warn("%s", line);
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

static int train(struct trainrun *r, struct err *e)
{
    struct cli_progress progress = {.what = "apr-lora", .unit = "tokens"};
    const long total = r->trainer.total;
    char now[80];
    int rc;
    do {
        if ((rc = trainrun_step(r, e)) < 0)
            break;
        if (r->step > r->first)
            progress.total = r->tokens / (double)(r->step - r->first) * (double)(total - r->first);
        snprintf(now, sizeof now, "step %ld/%ld, loss %.4f", r->step, total, r->last.loss);
        cli_progress(&progress, r->tokens, now);
    } while (rc > 0);
    cli_progress_end(&progress, r->tokens, NULL);
    if (rc == 0)
        parts(r);
    return rc;
}

/* 0, or 1 if it does not fit. */
static int plan(struct trainrun *r, const char *base, struct kn_dev *dev)
{
    static struct model m;
    struct err e = {0};
    struct trainplan t;
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

static void check_usage(int argc)
{
    const int full = trainrun_is_full(&o);
    if (argc != 1 || !o.data || (!o.out && !o.show_batch && !o.plan))
        cli_usage(argc != 1 ? "one M.apr is needed"
                  : o.data  ? "-o OUT is needed"
                            : "--data FILE is needed");
    if (o.json && !o.plan)
        cli_usage("--json goes with --plan");
    if (!o.val && !o.eval_bench && (o.patience || strcmp(o.keep, "last")))
        cli_usage("--patience and --keep best need --val or --eval-bench");
    if (full && (o.rslora || o.dora || o.dropout > 0 || o.ratio != 1 || strcmp(o.targets, "all")))
        cli_usage("--rslora, --dora, --dropout, --lr-ratio and --targets are of adapters, not of "
                  "--method full");
    if (full && o.out && strcmp(o.out, "-") == 0)
        cli_usage("--method full writes a file, not standard output");
    if (!full && (o.type || o.no_verify))
        cli_usage("--type and --no-verify are of --method full");
}

static int load(struct trainrun *r, struct model *m, const char *base, struct kn_dev *dev,
                struct err *e)
{
    int unpacked;
    if (trainrun_model(m, &o, base, dev, &unpacked, e))
        return e->code;
    if (unpacked)
        cli_warn("too little memory to keep the weights in bf16: slower");
    return trainrun_new(r, &o, m, base, e);
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    static struct trainrun r;
    static struct model m;
    struct kn_dev *dev;
    cli_parse(&cli, &argc, &argv);
    check_usage(argc);
    r.data_path = o.data;
    r.out = o.out;
    r.metrics_path = o.metrics;
    r.tell = tell;
    if (dev_open(&dev, o.device, (int)o.threads, &e) < 0)
        cli_die(&e);
    if (o.plan)
        return cli_exit(plan(&r, argv[0], dev));
    if (o.show_batch) {
        if (load(&r, &m, argv[0], dev, &e) || trainrun_show(&r, stdout, &e))
            cli_die(&e);
        return cli_exit(0);
    }
    if (trainrun_probe(&o, r.out, &e) || load(&r, &m, argv[0], dev, &e) ||
        trainrun_resume(&r, &e) || train(&r, &e) || trainrun_save(&r, argv[0], start, &e) ||
        trainrun_done(&r, &e))
        cli_die(&e);
    trainrun_free(&r);
    model_free(&m);
    kn_close(dev);
    return cli_exit(0);
}
