/* apr-inputs - inputs to compare solutions by, made from what the prompts show (inputs/1) */
#include "bench.h"
#include "cli.h"
#include "inputs.h"
#include "json.h"
#include "outfile.h"
#include "pycall.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *out;
    long n, seed, limit;
} o = {.out = "-", .n = 32};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "benchmark of configs/bench, or a .jsonl[.gz] file"),
    CLI_INT('n', "inputs", &o.n, "N", "inputs for a problem, at most", 1, 4096),
    CLI_INT(0, "seed", &o.seed, "N", "of the draws", 0, 9e15),
    CLI_INT(0, "limit", &o.limit, "N", "only the first N problems (0: all)", 0, 1 << 24),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-inputs",
                               .what = "make inputs to compare solutions by",
                               .usage = "--bench NAME [options]",
                               .example = "apr-inputs --bench humaneval -n 32 -o inputs.jsonl",
                               .opts = opts,
                               .see = "apr-rank(1), apr-sandbox(1), schema(7)",
                               .output_version = 1};

static int record(struct json_out *j, const struct bench *b, const struct bench_task *t,
                  struct err *e)
{
    const char *entry = bench_entry(t);
    struct inputs in;
    int rc = inputs_make(&in, t, (int)o.n, (uint64_t)o.seed, e);
    if (rc < 0)
        return rc;
    json_begin(j, '{');
    json_kv_str(j, "schema", "inputs/1");
    json_kv_str(j, "task_id", t->task_id);
    json_kv_str(j, "bench", b->name);
    json_key(j, "entry_point");
    if (entry)
        json_str(j, entry);
    else
        json_raw(j, "null");
    json_kv_str(j, "from", inputs_from_name(in.from));
    json_key(j, "inputs");
    json_begin(j, '[');
    for (int i = 0; i < in.n; i++)
        json_str(j, in.v[i]);
    json_end(j, ']');
    json_end(j, '}');
    inputs_free(&in);
    return j->failed ? err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id) : 0;
}

static int write_all(const struct bench *b, struct outfile *f, struct err *e)
{
    struct json_out j = {0};
    int rc = 0;
    for (int i = 0; i < b->n && rc == 0 && (o.limit == 0 || i < o.limit); i++) {
        if ((rc = record(&j, b, &b->task[i], e)) == 0 &&
            (rc = outfile_write(f, j.buf, j.len, e)) == 0)
            rc = outfile_write(f, "\n", 1, e);
        json_reset(&j);
    }
    free(j.buf);
    return rc;
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    struct bench b;
    struct outfile f = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc > 0)
        cli_usage("unexpected operand %s", argv[0]);
    if (!o.bench)
        cli_usage("--bench is needed");
    if (bench_load(&b, o.bench, &e) < 0 || outfile_open(&f, o.out, &e) < 0)
        cli_die(&e);
    if (write_all(&b, &f, &e) < 0 || outfile_commit(&f, &e) < 0) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (strcmp(o.out, "-")) {
        const char *in[] = {b.path, NULL};
        if (meta_write(o.out, f.hex, f.bytes, in, "cpu", clock_now() - start, &e) < 0)
            cli_die(&e);
    }
    bench_free(&b);
    return cli_exit(0);
}
