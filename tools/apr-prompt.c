/* apr-prompt - a benchmark's problems as prompts (prompt/1) */
#include "bench.h"
#include "cli.h"
#include "json.h"
#include "outfile.h"
#include "prompt.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *strategy, *out;
    long max_tokens, limit, samples;
} o = {.strategy = "standard", .out = "-", .samples = 1};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "benchmark of configs/bench, or a .jsonl[.gz] file"),
    CLI_STR(0, "strategy", &o.strategy, "NAME", "strategy of configs/prompts, or a .yaml file"),
    CLI_INT(0, "max-tokens", &o.max_tokens, "N", "bound answers by N tokens (0: what the benchmark says)", 0, 1 << 24),
    CLI_INT(0, "samples", &o.samples, "N", "write each problem N times, as samples 0..N-1", 1, 100000),
    CLI_INT(0, "limit", &o.limit, "N", "only the first N problems (0: all)", 0, 1 << 24),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-prompt",
                               .what = "write a benchmark's problems as prompts",
                               .usage = "--bench NAME [options]",
                               .example =
                                   "apr-prompt --bench basic | apr-gen -m m.apr | apr-extract",
                               .opts = opts,
                               .see = "apr-gen(1), schema(7)",
                               .output_version = 1};

static void record(struct json_out *j, const struct bench *b, const struct bench_task *t,
                   const struct prompt *p, const char *text, long sample)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "prompt/1");
    json_kv_str(j, "task_id", t->task_id);
    json_kv_int(j, "sample", sample);
    json_kv_str(j, "bench", b->name);
    json_kv_str(j, "strategy", p->strategy);
    json_key(j, "system");
    if (p->system)
        json_str(j, p->system);
    else
        json_raw(j, "null");
    json_kv_str(j, "prompt", text);
    json_key(j, "prefill");
    json_raw(j, "null");
    json_kv_str(j, "template", "chat");
    json_key(j, "stop");
    json_begin(j, '[');
    json_end(j, ']');
    json_kv_int(j, "max_tokens", o.max_tokens ? o.max_tokens : b->max_tokens);
    json_end(j, '}');
}

static int write_all(const struct bench *b, const struct prompt *p, struct outfile *f,
                     struct err *e)
{
    struct json_out j = {0};
    int rc = 0;
    for (int i = 0; i < b->n && rc == 0 && (o.limit == 0 || i < o.limit); i++) {
        char *text = prompt_text(p, b, &b->task[i], e);
        if (!text)
            rc = e->code;
        for (long s = 0; s < o.samples && rc == 0; s++) {
            record(&j, b, &b->task[i], p, text, s);
            if (j.failed)
                rc = err_set(e, ERR_NOMEM, "out of memory");
            else if ((rc = outfile_write(f, j.buf, j.len, e)) == 0)
                rc = outfile_write(f, "\n", 1, e);
            json_reset(&j);
        }
        free(text);
    }
    free(j.buf);
    return rc;
}

int main(int argc, char **argv)
{
    double start = cli_now();
    struct err e = {0};
    struct bench b;
    struct prompt p;
    struct outfile f = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc > 0)
        cli_usage("unexpected operand %s", argv[0]);
    if (!o.bench)
        cli_usage("--bench is needed");
    if (bench_load(&b, o.bench, &e) < 0 || prompt_load(&p, o.strategy, &e) < 0 ||
        outfile_open(&f, o.out, &e) < 0)
        cli_die(&e);
    if (write_all(&b, &p, &f, &e) < 0 || outfile_commit(&f, &e) < 0) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (strcmp(o.out, "-")) {
        const char *in[] = {b.path, NULL};
        if (meta_write(o.out, f.hex, f.bytes, in, "cpu", cli_now() - start, &e) < 0)
            cli_die(&e);
    }
    bench_free(&b);
    prompt_free(&p);
    return cli_exit(0);
}
