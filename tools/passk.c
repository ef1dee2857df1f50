/* passk - verdicts to pass@k, with intervals */
#include "bench.h"
#include "cli.h"
#include "json.h"
#include "outfile.h"
#include "score.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 16, NAMED = 10 };
static struct {
    const char *k, *bench, *out;
    double ci;
    long boot, seed;
    int json, partial;
} o = {.k = "1", .out = "-", .ci = 0.95, .boot = 10000};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('k', "k", &o.k, "LIST", "values of k, separated by commas"),
    CLI_STR('b', "bench", &o.bench, "NAME", "check that every task of this benchmark is there"),
    CLI_FLAG(0, "partial", &o.partial, "score what is there; name what is missing as a warning"),
    CLI_FLOAT(0, "ci", &o.ci, "LEVEL", "level of the intervals", 0.5, 0.9999),
    CLI_INT(0, "boot", &o.boot, "N", "bootstrap resamples of tasks", 100, 1000000),
    CLI_INT(0, "seed", &o.seed, "N", "seed of the bootstrap", 0, 1L << 53),
    CLI_FLAG(0, "json", &o.json, "write score/1 records"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "passk",
                               .what = "score verdicts: pass@k with its intervals",
                               .usage = "[FILE..] [options]",
                               .example = "passk verdicts.jsonl -k 1,10",
                               .opts = opts,
                               .see = "apr-sandbox(1), apr-compare(1), schema(7)",
                               .output_version = 1};

static int parse_k(long *k)
{
    int n = 0;
    for (const char *p = o.k; n < MAX_K;) {
        char *end;
        k[n] = strtol(p, &end, 10);
        if (end == p || k[n] < 1 || k[n] > 1000000 || (*end && *end != ','))
            cli_usage("--k %s: expected whole numbers from 1, separated by commas", o.k);
        n++;
        if (!*end)
            return n;
        p = end + 1;
    }
    cli_usage("--k %s: at most %d values", o.k, MAX_K);
}

/* Names of up to NAMED tasks: "a, b and 3 more" */
static void name_task(char *text, size_t size, int i, const char *id)
{
    size_t n = strlen(text);
    if (i < NAMED)
        snprintf(text + n, size - n, "%s%.40s", i ? ", " : "", id);
}

/* Complain about n tasks: an error, or with --partial a warning. */
static int lacking(int n, const char *what, const char *names, struct err *e)
{
    char more[32] = "";
    if (n > NAMED)
        snprintf(more, sizeof more, " and %d more", n - NAMED);
    if (!o.partial)
        return err_set(e, ERR_DATA, "%s: %s%s (--partial scores the rest)", what, names, more);
    cli_warn("%s: %s%s", what, names, more);
    return 0;
}

/* Every task of the benchmark is in the set, and no other. */
static int check_bench(const struct score_book *s, const struct bench *b, struct err *e)
{
    char names[512] = "", what[128];
    int missing = 0, rc = 0;
    if (s->n_set != 1 || strcmp(s->set[0].bench, b->name))
        rc = err_set(e, ERR_DATA, "expected verdicts of benchmark %s, found %s%s", b->name,
                     s->set[0].bench, s->n_set > 1 ? " and others" : "");
    for (int i = 0; i < b->n && !rc; i++)
        if (!score_find(&s->set[0], b->task[i].task_id))
            name_task(names, sizeof names, missing++, b->task[i].task_id);
    for (int i = 0; !rc && i < s->set[0].n_task; i++)
        if (!bench_find(b, s->set[0].task[i].id))
            rc = err_set(e, ERR_DATA, "benchmark %s has no task %s", b->name, s->set[0].task[i].id);
    if (!rc && missing) {
        snprintf(what, sizeof what, "%d of %d tasks of %.40s have no verdict", missing, b->n,
                 b->name);
        rc = lacking(missing, what, names, e);
    }
    return rc;
}

/* A task with fewer than k judged samples has no pass@k. */
static int check_k(const struct score_set *s, long k, struct err *e)
{
    char names[512] = "", what[128];
    int few = 0;
    for (int i = 0; i < s->n_task; i++)
        if (s->task[i].n < k)
            name_task(names, sizeof names, few++, s->task[i].id);
    if (!few)
        return 0;
    snprintf(what, sizeof what,
             "%.40s: pass@%ld needs %ld judged samples, and %d of %d tasks have fewer", s->bench, k,
             k, few, s->n_task);
    return lacking(few, what, names, e);
}

static void table_row(FILE *out, const struct score_set *s, const struct score *r)
{
    char metric[32], wilson[32] = "-", boot[32];
    snprintf(metric, sizeof metric, "pass@%ld", r->k);
    if (r->has_wilson)
        snprintf(wilson, sizeof wilson, "[%.1f, %.1f]", 100 * r->wilson[0], 100 * r->wilson[1]);
    snprintf(boot, sizeof boot, "[%.1f, %.1f]", 100 * r->bootstrap[0], 100 * r->bootstrap[1]);
    fprintf(out, "%-16s %-9s %6.2f %%  %-14s %-14s %ld of %ld%s\n", s->bench, metric,
            100 * r->value, wilson, boot, r->passed, r->n_sample,
            r->n_sample != r->n_task ? " samples" : "");
}

static void histogram(FILE *out, const struct score_set *s)
{
    int flaky = 0;
    fprintf(out, "\nverdicts of %s\n", s->bench);
    for (int i = 0; i < s->n_count; i++)
        fprintf(out, "  %-16s %6ld  %.*s\n", s->count[i].verdict, s->count[i].n,
                (int)(40 * s->count[i].n / (s->n_sample + s->n_harness)),
                "########################################");
    for (int i = 0; i < s->n_task; i++)
        flaky += s->task[i].flaky;
    if (flaky)
        fprintf(out, "  %d flaky task%s: a re-run gave another verdict\n", flaky,
                flaky == 1 ? "" : "s");
}

static int report(const struct score_book *s, const long *k, int n_k, FILE *out, struct err *e)
{
    struct json_out j = {0};
    struct score r;
    char level[40];
    int rc;
    snprintf(level, sizeof level, "Wilson %g %%", 100 * o.ci);
    if (!o.json)
        fprintf(out, "%-16s %-9s %8s  %-14s %-14s passed\n", "benchmark", "metric", "value", level,
                "bootstrap");
    for (int i = 0; i < s->n_set; i++)
        for (int m = 0; m < n_k; m++) {
            const struct score_set *v = &s->set[i];
            if ((rc = check_k(v, k[m], e)) ||
                (rc = score_eval(v, k[m], o.ci, o.boot, (uint64_t)o.seed, &r, e)) < 0)
                return rc;
            if (!o.json)
                table_row(out, v, &r);
            else {
                score_json(&j, v, &r);
                if ((rc = json_line(&j, out, e)))
                    return rc;
            }
        }
    free(j.buf);
    for (int i = 0; i < s->n_set; i++) {
        if (!o.json)
            histogram(out, &s->set[i]);
        if (s->set[i].n_harness)
            cli_warn("%s: %ld harness error%s left out: not the model's fault, judge again",
                     s->set[i].bench, s->set[i].n_harness, s->set[i].n_harness == 1 ? "" : "s");
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct score_book s = {NULL, 0};
    struct bench b = {0};
    char *text = NULL;
    size_t n = 0;
    struct outfile f = {0};
    long k[MAX_K];
    static char *standard_input[] = {"-", NULL};
    cli_parse(&cli, &argc, &argv);
    int n_k = parse_k(k);
    double start = cli_now();
    if (argc == 0) {
        argc = 1;
        argv = standard_input;
    }
    if (o.bench && bench_load(&b, o.bench, &e))
        cli_die(&e);
    for (int i = 0; i < argc; i++)
        if (score_read(&s, argv[i], o.bench ? b.name : "unnamed", &e))
            cli_die(&e);
    FILE *out = open_memstream(&text, &n);
    if (!out)
        err_set(&e, ERR_NOMEM, "out of memory");
    else if (!(o.bench && check_bench(&s, &b, &e)) && !report(&s, k, n_k, out, &e) && fclose(out))
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code)
        cli_die(&e);
    if (outfile_open(&f, o.out, &e) || outfile_write(&f, text, n, &e)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (outfile_commit(&f, &e))
        cli_die(&e);
    if (strcmp(o.out, "-") &&
        meta_write(o.out, f.hex, f.bytes, (const char *const *)argv, NULL, cli_now() - start, &e))
        cli_die(&e);
    free(text);
    score_free(&s);
    if (o.bench)
        bench_free(&b);
    return cli_exit(0);
}
