/* apr-rank - one of several samples of each task, chosen without its tests (code/1 to code/1) */
#include "cli.h"
#include "json.h"
#include "keyed.h"
#include "outfile.h"
#include "rank.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *by, *behaviour, *samples, *out;
} o = {.by = "majority", .out = "-"};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_CHOICE(0, "by", &o.by, "majority|logprob|first|shortest|round", "how to choose"),
    CLI_STR(0, "behaviour", &o.behaviour, "FILE", "what the samples do on generated inputs (behaviour/1)"),
    CLI_STR(0, "samples", &o.samples, "FILE", "answers with log-probabilities (sample/1)"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout)"),
    CLI_END // clang-format on
};
static const struct cli cli = {
    .name = "apr-rank",
    .what = "choose one of several samples of each task",
    .usage = "[options] [CODE.jsonl ...]",
    .example =
        "apr-rank code.jsonl --by logprob --samples samples.jsonl | apr-sandbox --bench basic",
    .opts = opts,
    .see = "apr-inputs(1), apr-sandbox(1), passk(1), schema(7)",
    .output_version = 1};

enum { LABEL = 512 };
struct choice { /* what goes into "rank" */
    const char *by, *reason;
    long chosen, of;
    char label[LABEL];
};
struct run {
    struct keyed code, behaviour, samples;
    struct outfile f;
    struct json_out j;
};

/* The record with another sample number and the mark of the choice. */
static int put(struct run *r, const struct keyed_record *c, long sample, const struct choice *k,
               struct err *e)
{
    static const char *const own[] = {"schema", "task_id", "sample", "rank"};
    struct json_out *j = &r->j;
    const cJSON *m;
    int rc;
    json_begin(j, '{');
    json_kv_str(j, "schema", "code/1");
    json_kv_str(j, "task_id", c->task_id);
    json_kv_int(j, "sample", sample);
    cJSON_ArrayForEach(m, c->v)
    {
        size_t i = 0;
        while (i < 4 && strcmp(own[i], m->string))
            i++;
        if (i == 4) {
            json_key(j, m->string);
            json_tree(j, m);
        }
    }
    json_key(j, "rank");
    json_begin(j, '{');
    json_kv_str(j, "label", k->label);
    json_kv_str(j, "by", k->by);
    json_kv_int(j, "chosen", k->chosen);
    json_kv_int(j, "of", k->of);
    json_kv_str(j, "reason", k->reason);
    json_end(j, '}');
    json_end(j, '}');
    rc = j->failed ? err_set(e, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && (rc = outfile_write(&r->f, j->buf, j->len, e)) == 0)
        rc = outfile_write(&r->f, "\n", 1, e);
    json_reset(j);
    return rc;
}

/* ---- rounds ---- */

/* The last file's answer to each task and sample of the first. */
static int rounds(struct run *r, char **file, struct err *e)
{
    char label[40];
    if (r->code.n == 0)
        return err_set(e, ERR_DATA, "%s: no records", file[0]);
    snprintf(label, sizeof label, "%d rounds", r->code.n_file);
    for (int i = 0; i < r->code.n; i++) {
        const struct keyed_record *c = &r->code.v[i], *last;
        if (!keyed_find(&r->code, 0, c->bench, c->task_id, c->sample))
            return err_set(e, ERR_DATA, "%s:%ld: %s has no %.60s, sample %ld", file[c->file],
                           c->line, file[0], c->task_id, c->sample);
        if (c->file)
            continue;
        struct choice k = {.by = "round", .of = r->code.n_file};
        last = keyed_find(&r->code, -1, c->bench, c->task_id, c->sample);
        k.chosen = last->file + 1;
        k.reason = last->file ? "answered again" : "answered once";
        if (rank_label(k.label, LABEL, c->v, label) < 0)
            return err_set(e, ERR_DATA, "%s:%ld: rank: the label is too long", file[0], c->line);
        int rc = put(r, last, c->sample, &k, e);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- samples ---- */

/* Mean log-probability per token, from the sample's record or the code's own. */
static int take_logprob(struct rank_sample *s, const struct keyed_record *c,
                        const struct keyed_record *sample, const char *path, struct err *e)
{
    const cJSON *v = sample ? sample->v : c->v;
    double sum = json_get_num(v, "logprob_sum", NAN, e);
    s->tokens = json_get_int(v, "tokens_generated", 0, e);
    s->logprob = s->tokens > 0 ? sum / (double)s->tokens : NAN;
    if (e->code)
        return err_prefix(e, "%s:%ld", sample ? o.samples : path,
                          v == c->v ? c->line : sample->line);
    return 0;
}

static int take_sample(struct run *r, struct rank_sample *s, const struct keyed_record *c,
                       const char *path, struct err *e)
{
    const struct keyed_record *b = NULL, *sample = NULL;
    const cJSON *out;
    *s = (struct rank_sample){.sample = c->sample, .code = json_get_str(c->v, "code", NULL, e)};
    if (!s->code && !e->code)
        s->code = json_get_str(c->v, "completion", NULL, e);
    if (!s->code || e->code) {
        err_set(e, ERR_DATA, "code is missing");
        return err_prefix(e, "%s:%ld", path, c->line);
    }
    if (o.behaviour && !(b = keyed_find(&r->behaviour, -1, c->bench, c->task_id, c->sample)))
        return err_set(e, ERR_DATA, "%s:%ld: %s has no %.60s, sample %ld", path, c->line,
                       o.behaviour, c->task_id, c->sample);
    if (o.samples && !(sample = keyed_find(&r->samples, -1, c->bench, c->task_id, c->sample)))
        return err_set(e, ERR_DATA, "%s:%ld: %s has no %.60s, sample %ld", path, c->line, o.samples,
                       c->task_id, c->sample);
    s->outputs = b ? cJSON_GetObjectItemCaseSensitive(b->v, "outputs") : NULL;
    cJSON_ArrayForEach(out, s->outputs) if (!cJSON_IsString(out)) s->outputs = NULL;
    if (b && !cJSON_IsArray(s->outputs))
        return err_set(e, ERR_DATA, "%s:%ld: outputs: expected an array of strings", o.behaviour,
                       b->line);
    if (take_logprob(s, c, sample, path, e) < 0)
        return e->code;
    if (!strcmp(o.by, "logprob") && isnan(s->logprob))
        return err_set(e, ERR_DATA,
                       "%s:%ld: no log-probability of %.60s, sample %ld: give --samples, made "
                       "with apr-gen --logprobs",
                       path, c->line, c->task_id, c->sample);
    return 0;
}

struct group {
    int at, n, first; /* its place in the order, its samples, the earliest record */
};
static int by_first(const void *a, const void *b)
{
    return ((const struct group *)a)->first - ((const struct group *)b)->first;
}

static int choose(struct run *r, const int *order, const struct group *g, int most,
                  const char *path, struct err *e)
{
    static const char *const names[] = {"majority", "logprob", "first", "shortest"};
    struct rank_sample *s = cli_malloc((size_t)g->n * sizeof *s);
    struct choice k = {.by = o.by, .of = g->n};
    char reason[RANK_REASON], label[80];
    int best = 0, by = 0, rc = 0;
    while (strcmp(names[by], o.by))
        by++;
    for (int i = 0; i < g->n && rc == 0; i++)
        rc = take_sample(r, &s[i], &r->code.v[order[g->at + i]], path, e);
    if (rc == 0)
        rc = best = rank_choose((enum rank_by)by, s, g->n, reason, e);
    if (rc >= 0) {
        const struct keyed_record *c = &r->code.v[order[g->at + best]];
        k.reason = reason;
        k.chosen = s[best].sample;
        snprintf(label, sizeof label, "best of %d by %s", most, o.by);
        rc = rank_label(k.label, LABEL, c->v, label) < 0
                 ? err_set(e, ERR_DATA, "%s:%ld: rank: the label is too long", path, c->line)
                 : put(r, c, 0, &k, e);
    }
    free(s);
    return rc;
}

/* Task by task, in the order in which they appear. */
static int best_of_n(struct run *r, const char *path, struct err *e)
{
    if (r->code.n == 0)
        return err_set(e, ERR_DATA, "%s: no records", path);
    int *order = keyed_by_task(&r->code), n = 0, most = 0, rc = 0;
    struct group *g = cli_malloc(((size_t)r->code.n + 1) * sizeof *g);
    if (!order)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < r->code.n && order; i++) {
        if (i == 0 || !keyed_same_task(&r->code.v[order[i]], &r->code.v[order[i - 1]]))
            g[n++] = (struct group){i, 0, order[i]};
        g[n - 1].n++;
        if (order[i] < g[n - 1].first)
            g[n - 1].first = order[i];
        if (g[n - 1].n > most)
            most = g[n - 1].n;
    }
    qsort(g, (size_t)n, sizeof *g, by_first);
    for (int i = 0; i < n && rc == 0; i++)
        rc = choose(r, order, &g[i], most, path, e);
    free(order);
    free(g);
    return rc;
}

static void write_meta(const struct run *r, char **file, int n, double seconds)
{
    const char **in = cli_malloc(((size_t)n + 3) * sizeof *in);
    struct err e = {0};
    int k = 0;
    for (int i = 0; i < n; i++)
        if (strcmp(file[i], "-"))
            in[k++] = file[i];
    if (o.behaviour)
        in[k++] = o.behaviour;
    if (o.samples)
        in[k++] = o.samples;
    in[k] = NULL;
    if (meta_write(o.out, r->f.hex, r->f.bytes, in, "cpu", seconds, &e) < 0)
        cli_die(&e);
    free(in);
}

int main(int argc, char **argv)
{
    static const char *const heavy[] = {"text", "thinking", "ids", "logprobs", NULL};
    static char *standard_input[] = {"-", NULL};
    static struct run r;
    double start = clock_now();
    struct err e = {0};
    cli_parse(&cli, &argc, &argv);
    int by_round = !strcmp(o.by, "round"), rc = 0;
    if (argc == 0 && !by_round) {
        argc = 1;
        argv = standard_input;
    }
    if (by_round ? argc < 2 : argc > 1)
        cli_usage(by_round ? "--by round takes the code of two rounds or more"
                           : "one file of code at most (--by round takes more)");
    if (!strcmp(o.by, "majority") && !o.behaviour)
        cli_usage("--by majority needs --behaviour");
    if (by_round && (o.behaviour || o.samples))
        cli_usage("--by round takes code alone");
    for (int i = 0; i < argc && rc == 0; i++)
        rc = keyed_read(&r.code, argv[i], "code/1", NULL, &e);
    if ((rc == 0 && o.behaviour &&
         (rc = keyed_read(&r.behaviour, o.behaviour, "behaviour/1", NULL, &e)) < 0) ||
        (rc == 0 && o.samples &&
         (rc = keyed_read(&r.samples, o.samples, "sample/1", heavy, &e)) < 0) ||
        rc < 0 || outfile_open(&r.f, o.out, &e) < 0)
        cli_die(&e);
    if ((by_round ? rounds(&r, argv, &e)
                  : best_of_n(&r, strcmp(argv[0], "-") ? argv[0] : "standard input", &e)) < 0 ||
        outfile_commit(&r.f, &e) < 0) {
        outfile_abort(&r.f);
        cli_die(&e);
    }
    if (strcmp(o.out, "-"))
        write_meta(&r, argv, argc, clock_now() - start);
    keyed_free(&r.code);
    keyed_free(&r.behaviour);
    keyed_free(&r.samples);
    free(r.j.buf);
    return cli_exit(0);
}
