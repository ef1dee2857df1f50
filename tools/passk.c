/* passk - verdicts to pass@k, with intervals, ceilings and gates */
#include "bench.h"
#include "cli.h"
#include "json.h"
#include "score.h"
#include "score_text.h"
#include "textout.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_K = 16, MAX_GATE = 64, NAMED = 10 };
static struct {
    const char *k, *ceiling, *format, *out;
    struct cli_list bench, gate;
    double ci;
    long boot, seed;
    int json, partial;
} o = {.k = "1", .format = "table", .out = "-", .ci = 0.95, .boot = 10000};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('k', "k", &o.k, "LIST", "values of k, separated by commas"),
    CLI_LIST('b', "bench", &o.bench, "NAME", "check that every task of this benchmark is there"),
    CLI_STR(0, "ceiling", &o.ceiling, "FILE", "verdicts of the reference solutions"),
    CLI_LIST(0, "gate", &o.gate, "TEST", "exit 1 unless the lower bound keeps it: pass@1>=0.80"),
    CLI_FLAG(0, "partial", &o.partial, "score what is there; name what is missing as a warning"),
    CLI_FLOAT(0, "ci", &o.ci, "LEVEL", "level of the intervals", 0.5, 0.9999),
    CLI_INT(0, "boot", &o.boot, "N", "bootstrap resamples of tasks", 100, 1000000),
    CLI_INT(0, "seed", &o.seed, "N", "seed of the bootstrap", 0, 1L << 53),
    CLI_CHOICE(0, "format", &o.format, "table|json|tsv", "for people, score/1 records, columns"),
    CLI_FLAG(0, "json", &o.json, "the same as --format json"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {.name = "passk",
                               .what = "score verdicts: pass@k with its intervals",
                               .usage = "[FILE..] [options]",
                               .example = "passk verdicts.jsonl -k 1,10 --gate 'pass@1>=0.80'",
                               .opts = opts,
                               .see = "apr-sandbox(1), apr-compare(1), apr-oracle(1), schema(7)",
                               .output_version = 3};

static long k_list[MAX_K];
static int n_k;
static struct score_gate gates[MAX_GATE];

static void add_k(long k)
{
    for (int i = 0; i < n_k; i++)
        if (k_list[i] == k)
            return;
    if (n_k == MAX_K)
        cli_usage("--k %s: at most %d values", o.k, MAX_K);
    k_list[n_k++] = k;
}

static void parse_lists(void)
{
    struct err e = {0};
    for (const char *p = o.k;; p++) {
        char *end;
        long k = strtol(p, &end, 10);
        if (end == p || k < 1 || k > 1000000 || (*end && *end != ','))
            cli_usage("--k %s: expected whole numbers from 1, separated by commas", o.k);
        add_k(k);
        if (!*(p = end))
            break;
    }
    if (o.gate.n > MAX_GATE)
        cli_usage("--gate: at most %d", MAX_GATE);
    for (int i = 0; i < o.gate.n; i++) {
        if (score_gate_parse(&gates[i], o.gate.v[i], &e))
            cli_usage("--gate %s", e.msg);
        add_k(gates[i].k);
    }
    if (o.json)
        o.format = "json";
}

/* ---- what is missing ---- */

/* Complain about n tasks: an error, or with --partial a warning. */
static int lacking(const char *what, const char *const *id, int n, struct err *e)
{
    char names[512] = "", more[32] = "";
    for (int i = 0; i < n && i < NAMED; i++) {
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%s%.40s", i ? ", " : "", id[i]);
    }
    if (n > NAMED)
        snprintf(more, sizeof more, " and %d more", n - NAMED);
    for (int i = NAMED; i < n && cli_verbose; i++)
        cli_warn("%s: %s", what, id[i]);
    if (!o.partial)
        return err_set(e, ERR_DATA, "%s: %s%s (--partial scores the rest)", what, names, more);
    cli_warn("%s: %s%s", what, names, more);
    return 0;
}

/* Every task of the benchmark is in the book (that no other is, the reader has seen). */
static int check_bench(const struct score_book *s, const struct bench *b, struct err *e)
{
    const struct score_set *set = score_set(s, b->name);
    const char **id = cli_malloc(((size_t)b->n + 1) * sizeof *id);
    char what[128];
    int missing = 0, rc = 0;
    for (int i = 0; i < b->n; i++)
        if (!set || !score_find(set, b->task[i].task_id))
            id[missing++] = b->task[i].task_id;
    if (missing) {
        snprintf(what, sizeof what, "%d of %d tasks of %.40s have no verdict", missing, b->n,
                 b->name);
        rc = lacking(what, id, missing, e);
    }
    free(id);
    return rc;
}

/* A task with fewer than k judged samples has no pass@k. */
static int check_k(const struct score_set *s, long k, struct err *e)
{
    const char **id = cli_malloc(((size_t)s->n_task + 1) * sizeof *id);
    char what[128];
    int few = 0, rc = 0;
    for (int i = 0; i < s->n_task; i++)
        if (s->task[i].n < k)
            id[few++] = s->task[i].id;
    if (few) {
        snprintf(what, sizeof what,
                 "%.40s: pass@%ld needs %ld judged samples, and %d of %d tasks have fewer",
                 s->bench, k, k, few, s->n_task);
        rc = lacking(what, id, few, e);
    }
    free(id);
    return rc;
}

/* ---- scores ---- */

struct row {
    const struct score_set *set;
    struct score score, adjusted;
};

static const struct bench *find_bench(const struct bench *b, const struct score_set *s)
{
    for (int i = 0; i < o.bench.n; i++)
        if (strcmp(b[i].name, s->bench) == 0)
            return &b[i];
    return NULL;
}

static int find_limit(struct score_limit *l, const struct score_set *s, const struct bench *b,
                      const struct score_book *canon, struct err *e)
{
    *l = (struct score_limit){.ceiling = -1};
    const struct score_set *c = score_set(canon, s->bench);
    if (!c && o.ceiling)
        return err_set(e, ERR_DATA, "%s: no verdicts of benchmark %s", o.ceiling, s->bench);
    if (!c)
        return b ? score_limit_bench(l, s, b, e) : 0;
    if (score_limit_canon(l, s, c, e))
        return err_prefix(e, "%s", o.ceiling);
    if (b && b->ceiling >= 0 && (l->ceiling != b->ceiling || l->n != b->n))
        cli_warn("%s: the reference solutions pass %ld of %ld here, elsewhere %ld of %d: check the "
                 "host before you trust these numbers",
                 s->bench, l->ceiling, l->n, b->ceiling, b->n);
    return 0;
}

static int evaluate(struct row *r, const struct score_limit *l, long k, struct err *e)
{
    int rc = check_k(r->set, k, e);
    if (rc || (rc = score_eval(r->set, k, o.ci, o.boot, (uint64_t)o.seed, &r->score, e)) < 0)
        return rc;
    r->score.gate = o.gate.n ? gates : NULL;
    r->score.n_gate = o.gate.n;
    if (!l->skip)
        return 0;
    r->score.limit = l;
    if ((!l->n_skip && l->ceiling != l->n) || l->n_skip == r->set->n_task)
        return 0; /* which tasks cannot be solved is not known, or nothing is left */
    if ((rc = score_eval_but(r->set, l->skip, k, o.ci, o.boot, (uint64_t)o.seed, &r->adjusted, e)) <
        0)
        return rc;
    r->score.adjusted = &r->adjusted;
    return 0;
}

/* Returns the number of gates missed, or a negative error. */
static int check_gates(const struct row *row, int n, FILE *out, int table, struct err *e)
{
    int missed = 0;
    for (int g = 0; g < o.gate.n; g++) {
        int applied = 0;
        for (int i = 0; i < n; i++) {
            const struct score *s = &row[i].score;
            char line[256];
            if (!score_gate_applies(&gates[g], row[i].set, s))
                continue;
            int met = score_gate_met(&gates[g], s);
            snprintf(line, sizeof line,
                     "gate %.60s %s by %.60s: value %.4f, lower bound %.4f (%g %%), wanted %g",
                     gates[g].text, met ? "met" : "missed", row[i].set->bench, s->value,
                     s->clustered[0], 100 * o.ci, gates[g].wanted);
            if (table)
                fprintf(out, "%s%s\n", g + applied ? "" : "\n", line);
            if (!met)
                fprintf(stderr, "passk: %s\n", line);
            missed += !met;
            applied = 1;
        }
        if (!applied)
            return err_set(e, ERR_DATA, "gate %s: no verdicts of that benchmark", gates[g].text);
    }
    return missed;
}

static int write_rows(const struct row *row, int n, const struct bench *b, FILE *out, struct err *e)
{
    struct json_out j = {0};
    int ceilings = 0, rc = 0, table = strcmp(o.format, "table") == 0,
        json = strcmp(o.format, "json") == 0;
    for (int i = 0; i < n; i++)
        ceilings |= row[i].score.limit != NULL;
    if (table)
        score_table_head(out, o.ci, ceilings);
    else if (!json)
        score_tsv_head(out);
    for (int i = 0; i < n && !rc; i++) {
        if (json) {
            score_json(&j, row[i].set, &row[i].score);
            rc = json_line(&j, out, e);
        } else {
            (table ? score_table_row : score_tsv_row)(out, row[i].set, &row[i].score);
        }
    }
    free(j.buf);
    for (int i = 0; i < n && table; i += n_k)
        score_about(out, row[i].set, &row[i].score, find_bench(b, row[i].set), cli_verbose);
    return rc;
}

/* b: the benchmark, if --bench named it (then nothing is missing, or it was said) */
static void warn_about(const struct score_set *s, const struct bench *b)
{
    long whole = s->named && !b ? score_page_tasks(s->bench) : 0;
    if (whole > s->n_task)
        cli_warn("%s: %d of %ld tasks have verdicts (with --bench %s an error)", s->bench,
                 s->n_task, whole, s->bench);
    long least = s->task[0].n, most = least;
    for (int i = 0; i < s->n_task; i++) {
        least = s->task[i].n < least ? s->task[i].n : least;
        most = s->task[i].n > most ? s->task[i].n : most;
    }
    if (least != most)
        cli_warn("%s: from %ld to %ld judged samples a task", s->bench, least, most);
    if (s->n_harness)
        cli_warn("%s: %ld harness error%s left out: not the model's fault, judge again", s->bench,
                 s->n_harness, s->n_harness == 1 ? "" : "s");
    if (s->n_error)
        cli_warn("%s: %ld of its failures are errors of the run: nothing was there to judge",
                 s->bench, s->n_error);
}

/* Returns the number of gates missed, or a negative error. */
static int report(const struct score_book *s, const struct bench *b, const struct score_book *canon,
                  FILE *out, struct err *e)
{
    struct row *row = cli_malloc((size_t)(s->n_set * n_k) * sizeof *row);
    struct score_limit *l = cli_malloc((size_t)s->n_set * sizeof *l);
    int n = 0, rc = 0;
    for (int i = 0; i < o.bench.n && !rc; i++)
        rc = check_bench(s, &b[i], e);
    for (int i = 0; i < s->n_set && !rc; i++) {
        rc = find_limit(&l[i], &s->set[i], find_bench(b, &s->set[i]), canon, e);
        for (int k = 0; k < n_k && !rc; k++, n++) {
            row[n].set = &s->set[i];
            rc = evaluate(&row[n], &l[i], k_list[k], e);
        }
    }
    if (!rc && !(rc = write_rows(row, n, b, out, e)))
        rc = check_gates(row, n, out, strcmp(o.format, "table") == 0, e);
    for (int i = 0; i < s->n_set; i++)
        score_limit_free(&l[i]);
    free(l);
    free(row);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct score_book s = {NULL, 0}, canon = {NULL, 0};
    char *text = NULL;
    size_t n = 0;
    static char *standard_input[] = {"-", NULL};
    int missed = 0;
    cli_parse(&cli, &argc, &argv);
    parse_lists();
    double start = clock_now();
    if (argc == 0) {
        argc = 1;
        argv = standard_input;
    }
    struct bench *b = cli_malloc((size_t)o.bench.n * sizeof *b);
    for (int i = 0; i < o.bench.n; i++)
        if (bench_load(&b[i], o.bench.v[i], &e))
            cli_die(&e);
    if (o.ceiling && score_read_known(&canon, o.ceiling, b, o.bench.n, &e))
        cli_die(&e);
    for (int i = 0; i < argc; i++)
        if (score_read_known(&s, argv[i], b, o.bench.n, &e))
            cli_die(&e);
    FILE *out = open_memstream(&text, &n);
    if (!out)
        err_set(&e, ERR_NOMEM, "out of memory");
    else if ((missed = report(&s, b, &canon, out, &e)) >= 0 && fclose(out))
        err_set(&e, ERR_NOMEM, "out of memory");
    const char **inputs = cli_malloc(((size_t)argc + 2) * sizeof *inputs);
    memcpy(inputs, argv, (size_t)argc * sizeof *inputs);
    inputs[argc] = o.ceiling;
    if (e.code || textout_write(o.out, text, n, inputs, clock_now() - start, &e))
        cli_die(&e);
    for (int i = 0; i < s.n_set; i++)
        warn_about(&s.set[i], find_bench(b, &s.set[i]));
    free(inputs);
    free(text);
    score_free(&s);
    score_free(&canon);
    for (int i = 0; i < o.bench.n; i++)
        bench_free(&b[i]);
    free(b);
    return cli_exit(missed ? 1 : 0);
}
