/* apr-route - a strategy chosen on some tasks, its verdicts on the others (verdict/1, route/1) */
#include "cli.h"
#include "html.h"
#include "json.h"
#include "keyed.h"
#include "outfile.h"
#include "paths.h"
#include "rank.h"
#include "route.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *out, *route;
    struct cli_list name;
    double validation;
    long seed;
    int per_bench;
} o = {.out = "-", .validation = 0.3};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_LIST(0, "name", &o.name, "NAME", "name of a strategy, in the order of the files (else the file's)"),
    CLI_FLOAT(0, "validation", &o.validation, "F", "share of the tasks that the choice is made on", 0.01, 0.99),
    CLI_INT(0, "seed", &o.seed, "N", "of the split", 0, 1L << 53),
    CLI_FLAG(0, "per-bench", &o.per_bench, "choose for each benchmark alone"),
    CLI_STR(0, "route", &o.route, "FILE", "write the choice here (route/1)"),
    CLI_STR('o', "output", &o.out, "FILE", "write the verdicts here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {
    .name = "apr-route",
    .what = "choose a strategy on some tasks, score it on the others",
    .usage = "[options] VERDICTS.jsonl VERDICTS.jsonl ...",
    .example = "apr-route standard.jsonl few-shot.jsonl --route choice.jsonl | passk",
    .opts = opts,
    .see = "apr-prompt(1), apr-compare(1), passk(1), schema(7)",
    .output_version = 2};

enum { LABEL = 512 };
struct run {
    struct route r;
    char **file;
    const char **name; /* (n_strategy) */
    struct outfile verdicts, route;
    struct json_out j;
};

static void tell(const struct run *r, const char *bench, const struct route_choice *k)
{
    const struct route_score *x = &k->score[k->best];
    char doubt[80] = "";
    if (k->rivals)
        snprintf(doubt, sizeof doubt, ", but within noise: %d of the %d others may be as good",
                 k->rivals, r->r.n_strategy - 1);
    if (k->rivals || cli_verbose)
        cli_warn("%s: %s is best on %d validation tasks, %.1f %% [%.1f, %.1f]%s",
                 bench ? bench : "all benchmarks", r->name[k->best], k->n_validation,
                 100 * x->value, 100 * x->ci[0], 100 * x->ci[1], doubt);
}

static int put(struct outfile *f, struct json_out *j, struct err *e)
{
    int rc = j->failed ? err_set(e, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && (rc = outfile_write(f, j->buf, j->len, e)) == 0)
        rc = outfile_write(f, "\n", 1, e);
    json_reset(j);
    return rc;
}

static int put_route(struct run *r, const char *bench, const struct route_choice *k, struct err *e)
{
    struct json_out *j = &r->j;
    json_begin(j, '{');
    json_kv_str(j, "schema", "route/1");
    json_key(j, "bench");
    if (bench)
        json_str(j, bench);
    else
        json_raw(j, "null");
    json_kv_str(j, "chosen", r->name[k->best]);
    json_kv_num(j, "validation", o.validation);
    json_kv_int(j, "seed", o.seed);
    json_kv_int(j, "n_validation", k->n_validation);
    json_kv_int(j, "n_test", k->n_test);
    json_kv_int(j, "left_out", k->left_out);
    json_kv_bool(j, "within_noise", k->rivals > 0);
    json_key(j, "strategies");
    json_begin(j, '[');
    for (int s = 0; s < r->r.n_strategy; s++) {
        const struct route_score *x = &k->score[s];
        json_begin(j, '{');
        json_kv_str(j, "name", r->name[s]);
        json_kv_num(j, "value", x->value);
        json_kv_int(j, "passed", x->passed);
        json_key(j, "ci");
        json_begin(j, '[');
        json_num(j, x->ci[0]);
        json_num(j, x->ci[1]);
        json_end(j, ']');
        json_kv_num(j, "p", x->p);
        json_end(j, '}');
    }
    json_end(j, ']');
    json_end(j, '}');
    return put(&r->route, j, e);
}

/* One verdict of the chosen strategy, marked. */
static int put_verdict(struct run *r, const struct keyed_record *x, const struct route_choice *k,
                       struct err *e)
{
    struct json_out *j = &r->j;
    char label[200], text[LABEL], reason[80];
    const cJSON *m;
    const char *name = r->name[k->best];
    snprintf(label, sizeof label, "%.*s of %d strategies, chosen on %d other tasks",
             (int)html_cut(name, strlen(name), 100), name, r->r.n_strategy, k->n_validation);
    snprintf(reason, sizeof reason, "%.4f on the validation tasks", k->score[k->best].value);
    if (rank_label(text, LABEL, x->v, label) < 0)
        return err_set(e, ERR_DATA, "%s:%ld: rank: the label is too long", r->file[k->best],
                       x->line);
    json_begin(j, '{');
    cJSON_ArrayForEach(m, x->v)
    {
        if (strcmp(m->string, "rank")) {
            json_key(j, m->string);
            json_tree(j, m);
        }
    }
    json_key(j, "rank");
    json_begin(j, '{');
    json_kv_str(j, "label", text);
    json_kv_str(j, "by", "route");
    json_kv_str(j, "chosen", r->name[k->best]);
    json_kv_int(j, "of", r->r.n_strategy);
    json_kv_str(j, "reason", reason);
    json_end(j, '}');
    json_end(j, '}');
    return put(&r->verdicts, j, e);
}

/* Choose for a benchmark, or all (NULL), and write the verdicts on the tasks that had no part in it. */
static int route(struct run *r, const char *bench, struct err *e)
{
    struct route_choice k;
    int rc = route_choose(&r->r, bench, &k, e);
    const struct keyed *v = &r->r.v[k.best];
    for (int i = 0; i < v->n && rc == 0; i++)
        if (!(bench && strcmp(bench, route_bench(&v->v[i]))) &&
            !route_validates(v->v[i].task_id, o.validation, (uint64_t)o.seed))
            rc = put_verdict(r, &v->v[i], &k, e);
    if (rc == 0 && o.route)
        rc = put_route(r, bench, &k, e);
    if (rc == 0)
        tell(r, bench, &k);
    free(k.score);
    return rc;
}

static int route_all(struct run *r, struct err *e)
{
    int rc = 0;
    if (!o.per_bench)
        return route(r, r->r.n_bench == 1 ? r->r.bench[0] : NULL, e);
    for (int i = 0; i < r->r.n_bench && rc == 0; i++)
        rc = route(r, r->r.bench[i], e);
    return rc;
}

static void take_names(struct run *r, int n)
{
    if (o.name.n && o.name.n != n)
        cli_usage("%d names for %d files", o.name.n, n);
    r->name = o.name.n ? o.name.v : (const char **)r->file;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (!strcmp(r->name[i], r->name[k]))
                cli_usage("%s is there twice", r->name[i]);
}

static void finish(struct outfile *f, const char *path, char **in, double seconds, struct err *e)
{
    if (outfile_commit(f, e) < 0)
        cli_die(e);
    if (strcmp(path, "-") &&
        meta_write(path, f->hex, f->bytes, (const char *const *)in, NULL, seconds, e) < 0)
        cli_die(e);
}

int main(int argc, char **argv)
{
    static struct run r;
    double start = clock_now();
    struct err e = {0};
    cli_parse(&cli, &argc, &argv);
    if (argc < 2)
        cli_usage("expected the verdicts of two strategies or more, found %d", argc);
    if (o.route && paths_same(o.route, o.out))
        cli_usage("--route and the verdicts go to different files");
    r.file = argv;
    take_names(&r, argc);
    if (route_read(&r.r, argv, argc, o.validation, (uint64_t)o.seed, &e) < 0 ||
        outfile_open(&r.verdicts, o.out, &e) < 0 ||
        (o.route && outfile_open(&r.route, o.route, &e) < 0) || route_all(&r, &e) < 0) {
        outfile_abort(&r.verdicts);
        outfile_abort(&r.route);
        cli_die(&e);
    }
    finish(&r.verdicts, o.out, argv, clock_now() - start, &e);
    if (o.route)
        finish(&r.route, o.route, argv, clock_now() - start, &e);
    route_free(&r.r);
    free(r.j.buf);
    return cli_exit(0);
}
