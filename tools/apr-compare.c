/* apr-compare - two runs of one benchmark, task by task: is the difference real */
#include "cli.h"
#include "json.h"
#include "outfile.h"
#include "score.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *out;
    double ci;
    long boot, seed;
    int json, partial;
} o = {.out = "-", .ci = 0.95, .boot = 10000};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_FLAG(0, "partial", &o.partial, "compare the tasks that both files have"),
    CLI_FLOAT(0, "ci", &o.ci, "LEVEL", "level of the intervals", 0.5, 0.9999),
    CLI_INT(0, "boot", &o.boot, "N", "bootstrap resamples of tasks", 100, 1000000),
    CLI_INT(0, "seed", &o.seed, "N", "seed of the bootstrap", 0, 1L << 53),
    CLI_FLAG(0, "json", &o.json, "write compare/1 records"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "apr-compare",
                               .what = "compare two files of verdicts, task by task",
                               .usage = "A.jsonl B.jsonl [options]",
                               .example = "apr-compare base.jsonl tuned.jsonl",
                               .opts = opts,
                               .see = "passk(1), apr-report(1), schema(7)",
                               .output_version = 1};

struct comparison { /* of one benchmark */
    const char *bench, **task;
    double *a, *b, *d; /* pass rates and b - a, by task */
    int n, single;     /* single: one sample a task on both sides */
    int left_out;      /* tasks with a harness error, or (--partial) in one file only */
    long pass_a, pass_b, only_a, only_b;
    double mean_a, mean_b, boot[2], p, mid_p, detectable;
};

static int pair_up(struct comparison *c, const struct score_set *a, const struct score_set *b,
                   struct err *e)
{
    int lone = 0;
    const char *example = NULL;
    size_t n = (size_t)a->n_task + 1;
    *c = (struct comparison){.bench = a->bench, .single = 1};
    c->task = cli_malloc(n * sizeof *c->task);
    c->a = cli_malloc(n * sizeof *c->a);
    c->b = cli_malloc(n * sizeof *c->b);
    c->d = cli_malloc(n * sizeof *c->d);
    for (int i = 0; i < a->n_task; i++) {
        const struct score_task *x = &a->task[i], *y = score_find(b, x->id);
        if (!y) {
            lone++;
            example = x->id;
            continue;
        }
        if (x->n == 0 || y->n == 0) {
            c->left_out++;
            continue;
        }
        c->task[c->n] = x->id;
        c->a[c->n] = (double)x->c / (double)x->n;
        c->b[c->n] = (double)y->c / (double)y->n;
        c->pass_a += x->c;
        c->pass_b += y->c;
        c->single &= x->n == 1 && y->n == 1;
        c->n++;
    }
    for (int i = 0; i < b->n_task; i++)
        if (!score_find(a, b->task[i].id)) {
            lone++;
            example = b->task[i].id;
        }
    if (c->left_out)
        cli_warn("%s: %d task%s left out: harness errors", c->bench, c->left_out,
                 c->left_out == 1 ? "" : "s");
    if (lone && !o.partial)
        return err_set(e, ERR_DATA,
                       "%s: %d task%s in one file only, such as %.60s (--partial leaves them out)",
                       c->bench, lone, lone == 1 ? "" : "s", example);
    if (lone)
        cli_warn("%s: %d task%s in one file only", c->bench, lone, lone == 1 ? "" : "s");
    c->left_out += lone;
    return c->n ? 0 : err_set(e, ERR_DATA, "%s: no task in both files", c->bench);
}

static int compare(struct comparison *c, struct err *e)
{
    int discordant = 0;
    for (int i = 0; i < c->n; i++) {
        c->mean_a += c->a[i] / c->n;
        c->mean_b += c->b[i] / c->n;
        c->d[i] = c->b[i] - c->a[i];
        c->only_a += c->d[i] < 0;
        c->only_b += c->d[i] > 0;
        discordant += c->d[i] != 0;
    }
    if (c->single) {
        c->mean_a = (double)c->pass_a / c->n;
        c->mean_b = (double)c->pass_b / c->n;
        c->p = stats_mcnemar(c->only_a, c->only_b, &c->mid_p);
        c->detectable = stats_detectable(c->n, (double)discordant / c->n, 0.95, 0.8);
    } else {
        c->p = stats_sign_flip(c->d, (size_t)c->n, o.boot, (uint64_t)o.seed);
        c->mid_p = c->detectable = NAN;
    }
    return stats_bootstrap(c->d, (size_t)c->n, o.boot, o.ci, (uint64_t)o.seed, c->boot, e);
}

static void list(struct json_out *j, const char *key, const struct comparison *c, int sign)
{
    json_key(j, key);
    json_begin(j, '[');
    for (int i = 0; i < c->n; i++)
        if (c->d[i] * sign > 0)
            json_str(j, c->task[i]);
    json_end(j, ']');
}

static int write_json(FILE *out, const struct comparison *c, const char *a, const char *b,
                      struct err *e)
{
    struct json_out buf = {0}, *j = &buf;
    json_begin(j, '{');
    json_kv_str(j, "schema", "compare/1");
    json_kv_str(j, "bench", c->bench);
    json_kv_str(j, "a", a);
    json_kv_str(j, "b", b);
    json_kv_int(j, "n_task", c->n);
    json_kv_int(j, "pass_a", c->pass_a);
    json_kv_int(j, "pass_b", c->pass_b);
    json_kv_num(j, "rate_a", c->mean_a);
    json_kv_num(j, "rate_b", c->mean_b);
    json_kv_num(j, "difference",
                c->single ? (double)(c->pass_b - c->pass_a) / c->n : c->mean_b - c->mean_a);
    json_kv_num(j, "ci", o.ci);
    json_key(j, "bootstrap");
    json_begin(j, '[');
    json_num(j, c->boot[0]);
    json_num(j, c->boot[1]);
    json_end(j, ']');
    json_kv_int(j, "only_a", c->only_a);
    json_kv_int(j, "only_b", c->only_b);
    json_kv_num(j, "mcnemar_p", c->single ? c->p : NAN);
    json_kv_num(j, "mid_p", c->mid_p);
    json_kv_num(j, "permutation_p", c->single ? NAN : c->p);
    json_kv_num(j, "detectable", c->detectable);
    json_kv_int(j, "left_out", c->left_out);
    list(j, "tasks_only_a", c, -1);
    list(j, "tasks_only_b", c, 1);
    json_end(j, '}');
    int rc = json_line(j, out, e);
    free(j->buf);
    return rc;
}

static int write_text(FILE *out, const struct comparison *c, const char *a, const char *b,
                      struct err *e)
{
    if (c->single)
        fprintf(out, "%s: %ld -> %ld of %d tasks (%s -> %s)\n", c->bench, c->pass_a, c->pass_b,
                c->n, a, b);
    else
        fprintf(out, "%s: %.2f %% -> %.2f %% of %d tasks (%s -> %s)\n", c->bench, 100 * c->mean_a,
                100 * c->mean_b, c->n, a, b);
    fprintf(out, "  difference   %+.1f points, %g %% interval [%.1f, %.1f]\n",
            100 * (c->mean_b - c->mean_a), 100 * o.ci, 100 * c->boot[0], 100 * c->boot[1]);
    fprintf(out, "  discordant   %ld better in the first, %ld in the second\n", c->only_a,
            c->only_b);
    if (c->single)
        fprintf(out, "  McNemar      p = %.2g (exact, two-sided), mid-p = %.2g\n", c->p, c->mid_p);
    else
        fprintf(out, "  permutation  p = %.2g (sign flips, two-sided)\n", c->p);
    if (!isnan(c->detectable))
        fprintf(out, "  detectable   %.1f points at 80 %% power\n", 100 * c->detectable);
    for (int i = 0; i < c->n && cli_verbose; i++)
        if (c->d[i] != 0)
            fprintf(out, "  %s  %s\n", c->d[i] < 0 ? "first " : "second", c->task[i]);
    return ferror(out) ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct score_book a = {NULL, 0}, b = {NULL, 0};
    char *text = NULL;
    size_t n = 0;
    struct outfile f = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc != 2)
        cli_usage("expected two files of verdicts, found %d", argc);
    double start = cli_now();
    if (score_read(&a, argv[0], "unnamed", &e) || score_read(&b, argv[1], "unnamed", &e))
        cli_die(&e);
    FILE *out = open_memstream(&text, &n);
    if (!out)
        err_set(&e, ERR_NOMEM, "out of memory");
    if (a.n_set != b.n_set)
        err_set(&e, ERR_DATA, "%s has %d benchmarks, %s has %d", argv[0], a.n_set, argv[1],
                b.n_set);
    for (int i = 0; i < a.n_set && !e.code; i++) {
        struct comparison c = {0};
        int k = 0;
        while (k < b.n_set && strcmp(a.set[i].bench, b.set[k].bench))
            k++;
        if (k == b.n_set)
            err_set(&e, ERR_DATA, "%s: no verdicts of benchmark %s, which %s has", argv[1],
                    a.set[i].bench, argv[0]);
        else if (!pair_up(&c, &a.set[i], &b.set[k], &e) && !compare(&c, &e))
            (o.json ? write_json : write_text)(out, &c, argv[0], argv[1], &e);
        free(c.task);
        free(c.a);
        free(c.b);
        free(c.d);
    }
    if (!out || fclose(out))
        err_set(&e, ERR_NOMEM, "out of memory");
    if (e.code || outfile_open(&f, o.out, &e) || outfile_write(&f, text, n, &e)) {
        outfile_abort(&f);
        cli_die(&e);
    }
    if (outfile_commit(&f, &e))
        cli_die(&e);
    const char *inputs[] = {argv[0], argv[1], NULL};
    if (strcmp(o.out, "-") &&
        meta_write(o.out, f.hex, f.bytes, inputs, NULL, cli_now() - start, &e))
        cli_die(&e);
    free(text);
    score_free(&a);
    score_free(&b);
    return cli_exit(0);
}
