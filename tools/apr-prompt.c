/* apr-prompt - a benchmark's problems as prompts (prompt/1), for a first or a second round */
#include "bench.h"
#include "cli.h"
#include "feedback.h"
#include "json.h"
#include "keyed.h"
#include "outfile.h"
#include "prompt.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *strategy, *code, *verdicts, *out;
    long max_tokens, limit, samples;
} o = {.strategy = "standard", .out = "-", .samples = 1};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "benchmark of configs/bench, or a .jsonl[.gz] file"),
    CLI_STR(0, "strategy", &o.strategy, "NAME", "strategy of configs/prompts, or a .yaml file"),
    CLI_STR(0, "samples-from", &o.code, "FILE", "second round: the code of the first (code/1)"),
    CLI_STR(0, "verdicts", &o.verdicts, "FILE", "second round: the verdicts on it (verdict/1)"),
    CLI_INT(0, "max-tokens", &o.max_tokens, "N", "bound answers by N tokens (0: what benchmark and strategy say)", 0, 1 << 24),
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
                               .output_version = 2};

struct run {
    struct bench b;
    struct prompt p;
    struct outfile f;
    struct json_out j;
};

static int put(struct run *r, const struct bench_task *t, long sample,
               const struct prompt_first *first, struct err *e)
{
    int rc = prompt_record(&r->j, &r->p, &r->b, t, sample, o.max_tokens, first, e);
    if (rc == 0 && (rc = outfile_write(&r->f, r->j.buf, r->j.len, e)) == 0)
        rc = outfile_write(&r->f, "\n", 1, e);
    json_reset(&r->j);
    return rc;
}

static int in_limit(const struct run *r, const struct bench_task *t)
{
    return o.limit == 0 || t - r->b.task < o.limit;
}

static int first_round(struct run *r, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < r->b.n && in_limit(r, &r->b.task[i]); i++)
        for (long s = 0; s < o.samples && rc == 0; s++)
            rc = put(r, &r->b.task[i], s, NULL, e);
    return rc;
}

/* The prompt for an answer that failed; nothing for one that passed, or whose failure is ours. */
static int second(struct run *r, const struct keyed_record *c, const struct keyed *verdicts,
                  struct err *e)
{
    const struct bench_task *t = bench_find(&r->b, c->task_id);
    const struct keyed_record *v = keyed_find(verdicts, -1, r->b.name, c->task_id, c->sample);
    struct prompt_first first;
    char *feedback;
    int rc;
    if (!t)
        return err_set(e, ERR_DATA, "%s:%ld: task_id %.60s is not in the benchmark %s", o.code,
                       c->line, c->task_id, r->b.name);
    if (!v)
        return err_set(e, ERR_DATA, "%s:%ld: %s has no verdict on %.60s, sample %ld", o.code,
                       c->line, o.verdicts, c->task_id, c->sample);
    const cJSON *tests = cJSON_GetObjectItemCaseSensitive(v->v, "tests");
    const char *kind = json_get_str(v->v, "verdict", "fail", e),
               *detail = json_get_str(v->v, "detail", NULL, e);
    long run = cJSON_IsObject(tests) ? json_get_int(tests, "run", 0, e) : 0,
         total = cJSON_IsObject(tests) ? json_get_int(tests, "total", 0, e) : 0;
    int passed = json_get_bool(v->v, "passed", 0, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", o.verdicts, v->line);
    first.code = json_get_str(c->v, "code", NULL, e);
    if (!first.code && !e->code)
        first.code = json_get_str(c->v, "completion", NULL, e);
    if (!first.code && !e->code)
        err_set(e, ERR_DATA, "code is missing");
    if (e->code)
        return err_prefix(e, "%s:%ld", o.code, c->line);
    if (passed || !strcmp(kind, "harness_error") || !in_limit(r, t))
        return 0;
    if (!(feedback = feedback_text(t, first.code, kind, detail, run, total,
                                   r->p.form[prompt_form(&r->b)].shows_tests)))
        return err_set(e, ERR_NOMEM, "out of memory");
    first.feedback = feedback;
    rc = put(r, t, c->sample, &first, e);
    free(feedback);
    return rc;
}

static int second_round(struct run *r, struct err *e)
{
    struct keyed code = {0}, verdicts = {0};
    int rc;
    if ((rc = keyed_read(&verdicts, o.verdicts, "verdict/1", NULL, e)) == 0 &&
        (rc = keyed_read(&code, o.code, "code/1", NULL, e)) == 0)
        for (int i = 0; i < code.n && rc == 0; i++)
            rc = second(r, &code.v[i], &verdicts, e);
    if (rc == 0 && verdicts.n > code.n)
        rc = err_set(e, ERR_DATA, "%s has %d verdicts, %s %d answers", o.verdicts, verdicts.n,
                     o.code, code.n);
    keyed_free(&code);
    keyed_free(&verdicts);
    return rc;
}

static void write_meta(const struct run *r, double seconds)
{
    const char *in[] = {r->b.path, o.code, o.verdicts, NULL};
    struct err e = {0};
    if (meta_write(o.out, r->f.hex, r->f.bytes, in, "cpu", seconds, &e) < 0)
        cli_die(&e);
}

int main(int argc, char **argv)
{
    double start = clock_now();
    struct err e = {0};
    static struct run r;
    cli_parse(&cli, &argc, &argv);
    if (argc > 0)
        cli_usage("unexpected operand %s", argv[0]);
    if (!o.bench)
        cli_usage("--bench is needed");
    if (!o.code != !o.verdicts)
        cli_usage("--samples-from and --verdicts go together");
    if (o.code && o.samples > 1)
        cli_usage("--samples: a second round has the samples of the first");
    if (prompt_load(&r.p, o.strategy, &e) < 0)
        cli_die(&e);
    if (r.p.second && !o.code)
        cli_usage("strategy %s is for a second round: give --samples-from and --verdicts",
                  r.p.strategy);
    if (o.code && !r.p.second)
        cli_usage("strategy %s is for a first round: --samples-from is of no use to it",
                  r.p.strategy);
    if (bench_load(&r.b, o.bench, &e) < 0 || outfile_open(&r.f, o.out, &e) < 0)
        cli_die(&e);
    if ((o.code ? second_round(&r, &e) : first_round(&r, &e)) < 0 || outfile_commit(&r.f, &e) < 0) {
        outfile_abort(&r.f);
        cli_die(&e);
    }
    if (strcmp(o.out, "-"))
        write_meta(&r, clock_now() - start);
    free(r.j.buf);
    bench_free(&r.b);
    prompt_free(&r.p);
    return cli_exit(0);
}
