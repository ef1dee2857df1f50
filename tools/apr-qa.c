/* apr-qa - the twelve gates before a release */
#include "cli.h"
#include "paths.h"
#include "qa.h"
#include "textout.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *gates, *device, *gpu, *source, *ollama, *previous, *out;
    long threads, tokens, reps, golden_tokens, min_executed;
    double tok_s, speedup, drop;
    int skip[QA_N], classifier, json;
} o = {.gates = "configs/qa.yaml",
       .device = "cpu",
       .gpu = "cuda:exact",
       .out = "-",
       .tok_s = -1,
       .speedup = -1,
       .drop = -1};

// clang-format off
static const struct cli_opt opts[] = {
    CLI_STR(0, "gates", &o.gates, "FILE", "thresholds and golden answers"),
    CLI_STR(0, "previous-report", &o.previous, "FILE", "an earlier report: its speed must not be lost"),
    CLI_STR(0, "safetensors-path", &o.source, "PATH", "folder, SafeTensors, GGUF or .apr that the model was made from"),
    CLI_STR(0, "ollama", &o.ollama, "MODEL", "the same model's name in ollama"),
    CLI_FLOAT(0, "assert-tps", &o.tok_s, "F", "tokens a second in place of the file's", -1, 1e9),
    CLI_FLOAT(0, "assert-gpu-speedup", &o.speedup, "F", "GPU against CPU, in place of the file's", -1, 1e6),
    CLI_FLOAT(0, "regression-threshold", &o.drop, "F", "share of the speed that may be lost, in place of the file's", -1, 1),
    CLI_FLAG(0, "assert-classifier-head", &o.classifier, "a classifier head must be there"),
    CLI_INT(0, "min-executed", &o.min_executed, "N", "gates that must have run, in place of the file's", 0, QA_N),
    CLI_INT(0, "iterations", &o.reps, "N", "measured runs, in place of the file's", 0, 1000),
    CLI_INT(0, "max-tokens", &o.golden_tokens, "N", "of a golden answer, in place of the file's", 0, 65536),
#define X(id, name, option) CLI_FLAG(0, "skip-" option, &o.skip[QA_##id], "leave out " name),
    QA_GATES(X)
#undef X
    CLI_STR(0, "device", &o.device, "D", "cpu, cpu:avx2, cpu:avx512, ref ..."),
    CLI_STR(0, "gpu-device", &o.gpu, "D", "what the gates of a GPU run on"),
    CLI_INT(0, "threads", &o.threads, "N", "0 = all cores", 0, 1024),
    CLI_STR('o', "output", &o.out, "FILE", "write the report here"),
    CLI_FLAG(0, "json", &o.json, "the report as one JSON object"),
    CLI_END};
// clang-format on
static const struct cli cli = {.name = "apr-qa",
                               .what = "twelve gates before a release",
                               .usage = "M.apr [options]",
                               .example =
                                   "apr-qa m.apr --json -o qa.json --previous-report last.json",
                               .opts = opts,
                               .see = "apr-check(1), apr-bench(1), apr-compare(1), schema(7)",
                               .output_version = 1};

/* Thresholds of the file, and what the command line says otherwise. */
static void thresholds(struct qa_conf *c)
{
    static char path[PATH_MAX];
    struct err e = {0};
    if (paths_find(o.gates, path, sizeof path, &e) < 0 || qa_conf_load(c, path, &e) < 0)
        cli_die(&e);
    o.gates = path;
    c->min_tok_s = o.tok_s >= 0 ? o.tok_s : c->min_tok_s;
    c->gpu_speedup = o.speedup >= 0 ? o.speedup : c->gpu_speedup;
    c->max_drop = o.drop >= 0 ? o.drop : c->max_drop;
    c->min_executed = o.min_executed ? (int)o.min_executed : c->min_executed;
    c->reps = o.reps ? (int)o.reps : c->reps;
    c->golden_tokens = o.golden_tokens ? (int)o.golden_tokens : c->golden_tokens;
}

static void tell(void *arg, const struct qa_gate *g)
{
    (void)arg;
    if (cli_verbose)
        cli_warn("%-4s %s, %.2f s", qa_status_name(g->status), g->name, g->seconds);
}

static void write_report(const struct qa *q, double seconds)
{
    const char *const inputs[] = {q->path, o.gates, o.previous, NULL};
    struct json_out j = {0};
    struct err e = {0};
    char *text = NULL;
    size_t n = 0;
    FILE *f;
    if ((f = open_memstream(&text, &n))) {
        if (o.json) {
            qa_json(&j, q);
            json_line(&j, f, &e);
            free(j.buf);
        } else {
            qa_text(f, q);
        }
        fclose(f);
    }
    if (!text)
        err_set(&e, ERR_NOMEM, "out of memory");
    else if (!e.code)
        textout_write(o.out, text, n, inputs, seconds, &e);
    if (e.code)
        cli_die(&e);
    free(text);
}

int main(int argc, char **argv)
{
    static struct qa q;
    struct qa_conf c;
    struct err e = {0};
    const double start = clock_now();
    cli_parse(&cli, &argc, &argv);
    if (argc != 1)
        cli_usage("one M.apr is needed");
    thresholds(&c);
    struct qa_opts run = {.device = o.device,
                          .gpu = o.gpu,
                          .threads = (int)o.threads,
                          .source = o.source,
                          .ollama = o.ollama,
                          .previous = o.previous,
                          .classifier = o.classifier,
                          .tell = tell};
    memcpy(run.skip, o.skip, sizeof run.skip);
    if (qa_run(&q, argv[0], &c, &run, &e) < 0)
        cli_die(&e);
    write_report(&q, clock_now() - start);
    qa_conf_free(&c);
    return cli_exit(q.passed ? 0 : 1);
}
