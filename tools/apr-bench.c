/* apr-bench - how fast a model runs here: prompts, generation, batches, start, training, memory */
#include "backward.h"
#include "cli.h"
#include "dev.h"
#include "engine.h"
#include "outfile.h"
#include "speed.h"
#include "start.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *prompt, *gen, *batch, *batch_size, *brick, *precision, *device, *kv_type, *out;
    struct cli_list both;
    long reps, warmup, chunk, threads, train_rows, seed;
    int ttft, all, json, csv, md, exact;
} o = {.prompt = "512",
       .gen = "128",
       .batch = "0",
       .batch_size = "128,128",
       .reps = 5,
       .warmup = 1,
       .train_rows = 512,
       .precision = "f32",
       .device = "cpu",
       .kv_type = "f16",
       .out = "-"};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR('p', "prompt", &o.prompt, "LIST", "prompts of so many tokens: 512,2048; 0 = none"),
    CLI_STR('n', "gen", &o.gen, "LIST", "so many tokens one by one; 0 = none"),
    CLI_LIST(0, "pg", &o.both, "P,N", "a prompt of P, then N tokens (repeatable)"),
    CLI_STR(0, "batch", &o.batch, "LIST", "so many sequences at once: 1,8,32; 0 = none"),
    CLI_STR(0, "batch-size", &o.batch_size, "P,N", "of each: prompt and generated tokens"),
    CLI_FLAG(0, "ttft", &o.ttft, "a new process each time: load to first token"),
    CLI_CHOICE(0, "brick", &o.brick, "lora_forward|optimizer|loss|train_step|ttft|throughput|batch|all", "one of the seven bricks, or all, and nothing else"),
    CLI_FLAG(0, "all", &o.all, "everything: pg 512,128, batches of 1, 8 and 32, ttft, bricks"),
    CLI_INT('r', "repetitions", &o.reps, "N", "measured runs of each test", 1, 10000),
    CLI_INT(0, "warmup", &o.warmup, "N", "runs before that are not measured", 0, 1000),
    CLI_INT(0, "chunk", &o.chunk, "N", "rows of a step of a prompt; 0 = as the device likes, or 512", 0, 65536),
    CLI_INT(0, "train-rows", &o.train_rows, "N", "tokens of a training step", 1, 65536),
    CLI_CHOICE(0, "precision", &o.precision, "f32|bf16", "operands of a training step's products"),
    CLI_INT(0, "seed", &o.seed, "N", "of the tokens", 0, 9e15),
    CLI_CHOICE(0, "kv-type", &o.kv_type, "f32|f16|q8_0", "numbers of the KV cache"),
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, cuda, auto, ref ..."),
    CLI_FLAG(0, "exact", &o.exact, "prompts too in the arithmetic of every device (as --device cuda:exact)"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores", 0, 1024),
    CLI_STR('o', "output", &o.out, "FILE", "write here"),
    CLI_FLAG(0, "json", &o.json, "one JSON object"),
    CLI_FLAG(0, "csv", &o.csv, "comma-separated values"),
    CLI_FLAG(0, "md", &o.md, "a table in Markdown"),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-bench",
                               .what = "measure how fast a model runs",
                               .usage = "M.apr [options]",
                               .example = "apr-bench m.apr -p 512 -n 128 --batch 8,32 -r 3",
                               .opts = opts,
                               .see = "apr-random(1), apr-gen(1), schema(7)",
                               .output_version = 1};

enum { MAX_TESTS = 64 };
struct plan {
    struct speed_test test[MAX_TESTS];
    int n, ttft;
    const char *train; /* a piece of training, "all", or NULL */
};

static void add(struct plan *p, int n_seq, int n_prompt, int n_gen, int split)
{
    if (p->n == MAX_TESTS)
        cli_usage("at most %d tests", MAX_TESTS);
    p->test[p->n++] = (struct speed_test){n_seq, n_prompt, n_gen, split};
}

static int list(const char *text, const char *what, int *v, int max)
{
    struct err e = {0};
    int n = speed_list(text, what, v, max, &e);
    if (n < 0)
        cli_die(&e);
    return n;
}

static void pair(const char *text, const char *what, int v[2])
{
    if (list(text, what, v, 2) != 2)
        cli_usage("%s: %s: expected two numbers: P,N", what, text);
}

static void add_batches(struct plan *p, const char *sizes)
{
    int v[MAX_TESTS], pg[2], n = list(sizes, "--batch", v, MAX_TESTS);
    pair(o.batch_size, "--batch-size", pg);
    for (int i = 0; i < n; i++)
        add(p, v[i], pg[0], pg[1], 1);
}

/* What upstream's `bench --brick` names, each measured. */
static void add_brick(struct plan *p, const char *name)
{
    int all = strcmp(name, "all") == 0;
    if (all || strcmp(name, "throughput") == 0)
        add(p, 1, 0, 128, 0);
    if (all || strcmp(name, "batch") == 0)
        add_batches(p, "8");
    p->ttft |= all || strcmp(name, "ttft") == 0;
    if (all || strstr("lora_forward optimizer loss train_step", name))
        p->train = name;
}

static void make_plan(struct plan *p)
{
    int v[MAX_TESTS], n, pg[2];
    if (o.brick) {
        add_brick(p, o.brick);
        return;
    }
    n = list(o.prompt, "--prompt", v, MAX_TESTS);
    for (int i = 0; i < n; i++)
        add(p, 1, v[i], 0, 0);
    n = list(o.gen, "--gen", v, MAX_TESTS);
    for (int i = 0; i < n; i++)
        add(p, 1, 0, v[i], 0);
    for (int i = 0; i < o.both.n; i++) {
        pair(o.both.v[i], "--pg", pg);
        add(p, 1, pg[0], pg[1], 0);
    }
    if (o.all)
        add(p, 1, 512, 128, 0);
    add_batches(p, o.all && strcmp(o.batch, "0") == 0 ? "1,8,32" : o.batch);
    p->ttft = o.ttft || o.all;
    p->train = o.all ? "all" : NULL;
    if (!p->n && !p->ttft)
        cli_usage("nothing to measure");
}

struct shown {
    struct cli_progress p;
    double runs;
};

static void tell(void *arg, const char *name, int rep)
{
    struct shown *s = arg;
    char text[80];
    snprintf(text, sizeof text, "%s %s%d", name, rep < 0 ? "warm-up " : "",
             rep < 0 ? -rep : rep + 1);
    cli_progress(&s->p, s->runs++, text);
}

static void measure(struct speed *s, struct speed_head *h, const struct plan *p, const char *path,
                    const struct speed_conf *c)
{
    struct kn_dev *dev;
    struct model m;
    struct err e = {0};
    int ctx = 1;
    for (int i = 0; i < p->n; i++)
        ctx = speed_ctx(&p->test[i]) > ctx ? speed_ctx(&p->test[i]) : ctx;
    const int flags = KN_W_INFER | (o.exact ? START_EXACT : 0);
    if (p->ttft &&
        speed_start(s, path, o.device, (int)o.threads, flags, c, &e) < 0) /* no threads yet */
        cli_die(&e);
    /* training alone runs on the CPU */
    if (p->n ? start_model(&m, &dev, path, o.device, (int)o.threads, flags, ctx, &e) < 0
             : dev_open(&dev, strcmp(o.device, "auto") ? o.device : "cpu", (int)o.threads, &e) < 0)
        cli_die(&e);
    snprintf(h->device, sizeof h->device, "%s", dev->name);
    h->threads = dev->n_threads;
    if (cli_verbose && dev->note[0])
        cli_warn("%s: %s", dev->name, dev->note);
    if (p->n) {
        struct speed_conf with = *c;
        with.chunk = c->chunk ? c->chunk : dev->step ? dev->step : ENGINE_CHUNK;
        for (int i = 0; i < p->n; i++)
            if (speed_run(s, &m, &with, &p->test[i], &e) < 0)
                cli_die(&e);
        model_free(&m); /* before training's kind of weights takes memory */
    }
    if (p->train) {
        if (model_load(&m, path, dev, backward_weights(path, dev, c->mixed), (int)o.train_rows,
                       &e) < 0 ||
            speed_train(s, &m, c, p->train, (int)o.train_rows, &e) < 0)
            cli_die(&e);
        model_free(&m);
    }
    kn_close(dev);
}

static void show(const struct speed *s, const struct speed_head *h)
{
    enum speed_format format = o.json  ? SPEED_JSON
                               : o.csv ? SPEED_CSV
                               : o.md  ? SPEED_MD
                                       : SPEED_TABLE;
    struct err e = {0};
    struct outfile f;
    size_t n;
    char *text = speed_text(s, h, format, &n);
    if (!text)
        cli_die(&(struct err){ERR_NOMEM, "out of memory"});
    if (outfile_open(&f, o.out, &e) < 0 || outfile_write(&f, text, n, &e) < 0 ||
        outfile_commit(&f, &e) < 0)
        cli_die(&e);
    free(text);
}

int main(int argc, char **argv)
{
    struct plan p = {.n = 0};
    struct err e = {0};
    struct apr a;
    struct speed s = {0};
    struct shown shown = {.p = {.what = "measuring", .unit = "runs"}};
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage(argc ? "one model at a time" : "which model?");
    if (o.json + o.csv + o.md > 1)
        cli_usage("one of --json, --csv, --md");
    make_plan(&p);
    if (apr_open(&a, argv[0], &e) < 0)
        cli_die(&e);
    struct speed_conf c = {.reps = (int)o.reps,
                           .warmup = (int)o.warmup,
                           .chunk = (int)o.chunk,
                           .kv_type = kn_type_by_name(o.kv_type),
                           .mixed = strcmp(o.precision, "bf16") == 0,
                           .seed = (uint64_t)o.seed,
                           .tell = tell,
                           .arg = &shown};
    struct speed_head h = {.model = json_get_str(a.meta, "name", argv[0], &e),
                           .file = a.map.n,
                           .kv_type = o.kv_type,
                           .precision = o.precision,
                           .reps = (int)o.reps};
    int pieces = !p.train ? 0 : strcmp(p.train, "all") ? 1 : 4;
    shown.p.total = (double)(p.n + p.ttft + pieces) * (double)(o.reps + o.warmup);
    measure(&s, &h, &p, argv[0], &c);
    cli_progress_end(&shown.p, shown.runs, NULL);
    show(&s, &h);
    speed_free(&s);
    apr_close(&a);
    return cli_exit(0);
}
