/* report - scores, comparisons and training metrics as a short Markdown page */
#include "report.h"
#include "score.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int report_init(struct report *r, struct err *e)
{
    memset(r, 0, sizeof *r);
    r->row = calloc(REPORT_ROWS, sizeof *r->row);
    r->compare = cJSON_CreateArray();
    return r->row && r->compare ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

void report_free(struct report *r)
{
    for (int i = 0; i < r->n_row; i++) {
        for (int k = 0; k < REPORT_RUNS; k++)
            cJSON_Delete(r->row[i].cell[k].verdicts);
        free(r->row[i].bench);
        free(r->row[i].metric);
    }
    for (int i = 0; i < r->n_run; i++)
        free(r->run[i]);
    for (int i = 0; i < r->n_training; i++) {
        free(r->training[i].loss);
        free(r->training[i].name);
    }
    free(r->training);
    free(r->row);
    cJSON_Delete(r->compare);
    memset(r, 0, sizeof *r);
}

/* "runs/x/base-score.basic.jsonl" with bench "basic": base. */
static char *run_name(const char *path, const char *bench)
{
    static const char *const stage[] = {"-score", "-scores", "-verdict", "-verdicts"};
    const char *slash = strrchr(path, '/'), *p = slash ? slash + 1 : path;
    char *s = strdup(p), *dot;
    if (!s)
        return NULL;
    size_t nb = strlen(bench);
    while ((dot = strrchr(s, '.')) && dot != s &&
           (!strcmp(dot, ".jsonl") || !strcmp(dot, ".gz") || !strcmp(dot, ".score") ||
            !strcmp(dot, ".verdicts") || (nb && !strcmp(dot + 1, bench))))
        *dot = 0;
    for (size_t i = 0; i < sizeof stage / sizeof *stage; i++) {
        size_t n = strlen(s), k = strlen(stage[i]);
        if (n > k && !strcmp(s + n - k, stage[i]))
            s[n - k] = 0;
    }
    size_t n = strlen(s);
    if (nb && n > nb + 1 && s[n - nb - 1] == '-' && !strcmp(s + n - nb, bench)) /* base-basic */
        s[n - nb - 1] = 0;
    return s;
}

static int run_of(struct report *r, const char *path, const char *bench, struct err *e)
{
    char *name = run_name(path, bench);
    for (int i = 0; name && i < r->n_run; i++)
        if (strcmp(r->run[i], name) == 0) {
            free(name);
            return i;
        }
    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (r->n_run == REPORT_RUNS) {
        free(name);
        return err_set(e, ERR_DATA, "%s: more than %d runs in one report", path, REPORT_RUNS);
    }
    r->run[r->n_run] = name;
    return r->n_run++;
}

static struct report_cell *cell_of(struct report *r, const char *path, const char *bench,
                                   const char *metric, struct err *e)
{
    int run = run_of(r, path, bench, e), i = 0;
    if (run < 0)
        return NULL;
    while (i < r->n_row && (strcmp(r->row[i].bench, bench) || strcmp(r->row[i].metric, metric)))
        i++;
    if (i == REPORT_ROWS) {
        err_set(e, ERR_DATA, "%s: more than %d scores in one report", path, REPORT_ROWS);
        return NULL;
    }
    if (i == r->n_row) {
        r->row[i].bench = strdup(bench);
        r->row[i].metric = strdup(metric);
        r->n_row++;
        if (!r->row[i].bench || !r->row[i].metric) {
            err_set(e, ERR_NOMEM, "out of memory");
            return NULL;
        }
    }
    if (r->row[i].cell[run].n_task) {
        err_set(e, ERR_DATA, "%s: a second score %s of %s for run %s", path, metric, bench,
                r->run[run]);
        return NULL;
    }
    return &r->row[i].cell[run];
}

static int number_pair(const cJSON *o, const char *key, double v[2])
{
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(o, key);
    const cJSON *x = cJSON_GetArrayItem(a, 0), *y = cJSON_GetArrayItem(a, 1);
    if (!cJSON_IsNumber(x) || !cJSON_IsNumber(y))
        return 0;
    v[0] = x->valuedouble;
    v[1] = y->valuedouble;
    return 1;
}

/* ---- the four kinds of record ---- */

static int add_score(struct report *r, const char *path, const cJSON *v, struct err *e)
{
    const char *bench = json_get_str(v, "bench", NULL, e),
               *metric = json_get_str(v, "metric", NULL, e);
    struct report_cell c = {.value = json_get_num(v, "value", NAN, e),
                            .level = json_get_num(v, "ci", 0.95, e),
                            .passed = json_get_int(v, "passed", 0, e),
                            .n_sample = json_get_int(v, "n_sample", 0, e),
                            .n_task = json_get_int(v, "n_task", 0, e)};
    if (e->code)
        return e->code;
    if (!bench || !metric || isnan(c.value) || c.n_task < 1 ||
        !(number_pair(v, "wilson", c.ci) || number_pair(v, "bootstrap", c.ci)))
        return err_set(e, ERR_DATA,
                       "score/1: expected bench, metric, value, n_task and an interval");
    struct report_cell *to = cell_of(r, path, bench, metric, e);
    if (!to)
        return e->code;
    *to = c;
    const cJSON *verdicts = cJSON_GetObjectItemCaseSensitive(v, "verdicts");
    to->verdicts = cJSON_IsObject(verdicts) ? cJSON_Duplicate(verdicts, 1) : NULL;
    return 0;
}

static int add_compare(struct report *r, const cJSON *v, struct err *e)
{
    double ci[2];
    const char *a = json_get_str(v, "a", NULL, e), *b = json_get_str(v, "b", NULL, e);
    double d = json_get_num(v, "difference", NAN, e);
    long n = json_get_int(v, "n_task", 0, e);
    double p = json_get_num(v, "mcnemar_p", json_get_num(v, "permutation_p", NAN, e), e);
    if (!e->code && (!a || isnan(p) || !b || !json_get_str(v, "bench", NULL, e) || isnan(d) ||
                     n < 1 || !number_pair(v, "bootstrap", ci)))
        err_set(e, ERR_DATA,
                "compare/1: expected bench, a, b, difference, n_task, bootstrap and a p");
    if (e->code)
        return e->code;
    cJSON_AddItemToArray(r->compare, cJSON_Duplicate(v, 1));
    return 0;
}

static struct report_training *training_of(struct report *r, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (r->n_training && strcmp(r->training[r->n_training - 1].name, slash ? slash + 1 : path) == 0)
        return &r->training[r->n_training - 1];
    struct report_training *t = realloc(r->training, ((size_t)r->n_training + 1) * sizeof *t);
    if (!t)
        return NULL;
    r->training = t;
    t += r->n_training;
    *t = (struct report_training){.first_val = NAN, .last_val = NAN};
    t->name = strdup(slash ? slash + 1 : path);
    return t->name ? (r->n_training++, t) : NULL;
}

static int add_metric(struct report *r, const char *path, const cJSON *v, struct err *e)
{
    struct report_training *t = training_of(r, path);
    const char *event = json_get_str(v, "event", "", e);
    double loss = json_get_num(v, "loss", NAN, e), epoch = json_get_num(v, "epoch", 0, e);
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (e->code)
        return e->code;
    if (strcmp(event, "epoch") == 0) {
        if (isnan(t->first_val))
            t->first_val = loss;
        t->last_val = loss;
        t->epoch = epoch;
    } else if (strcmp(event, "step") == 0) {
        if (t->n_step == t->cap) {
            long cap = 2 * t->cap + 256;
            double *p = realloc(t->loss, (size_t)cap * sizeof *p);
            if (!p)
                return err_set(e, ERR_NOMEM, "out of memory");
            t->loss = p;
            t->cap = cap;
        }
        t->loss[t->n_step++] = loss;
    }
    return 0; /* other events belong to others */
}

/* A file of verdicts becomes a score: pass@1. */
static int add_verdicts(struct report *r, const char *path, struct err *e)
{
    struct score_book s = {NULL, 0};
    if (strcmp(path, "-") == 0) /* its first record is gone */
        return err_set(e, ERR_DATA, "standard input: verdicts: put passk --json before this");
    int rc = score_read(&s, path, "unnamed", e);
    for (int i = 0; i < s.n_set && rc == 0; i++) {
        struct score v;
        struct json_out j = {0};
        size_t n;
        if ((rc = score_eval(&s.set[i], 1, 0.95, 10000, 0, &v, e)) < 0)
            break;
        score_json(&j, &s.set[i], &v);
        char *text = json_take(&j, &n);
        cJSON *record = text ? json_parse(text, n, path, e) : NULL;
        rc = record ? add_score(r, path, record, e) : err_set(e, ERR_NOMEM, "out of memory");
        cJSON_Delete(record);
        free(text);
    }
    score_free(&s);
    return rc;
}

int report_read(struct report *r, const char *path, struct err *e)
{
    struct jsonl *in = malloc(sizeof *in);
    int rc, verdicts = 0;
    if (!in)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = jsonl_open(in, path, e)) == 0) {
        while (!verdicts && (rc = jsonl_next(in, e)) == 1) {
            const cJSON *s = cJSON_GetObjectItemCaseSensitive(in->v, "schema");
            const char *schema = cJSON_IsString(s) ? s->valuestring : "none";
            if (strcmp(schema, "verdict/1") == 0 && in->lineno == 1)
                verdicts = 1;
            else if (strcmp(schema, "score/1") == 0)
                rc = add_score(r, path, in->v, e);
            else if (strcmp(schema, "compare/1") == 0)
                rc = add_compare(r, in->v, e);
            else if (strcmp(schema, "metric/1") == 0)
                rc = add_metric(r, path, in->v, e);
            else
                rc = err_set(
                    e, ERR_DATA,
                    "schema: expected score/1, compare/1, metric/1 or verdict/1, found %.40s",
                    schema);
            if (rc < 0) {
                err_prefix(e, "%s:%ld", in->path, in->lineno);
                break;
            }
        }
        if (rc == 0 && in->lineno == 0)
            rc = err_set(e, ERR_DATA, "%s: no records", in->path);
        jsonl_close(in);
    }
    free(in);
    return rc < 0 ? rc : verdicts ? add_verdicts(r, path, e) : 0;
}

/* ---- Markdown ---- */

static void write_scores(const struct report *r, FILE *out)
{
    double level = 0.95;
    fprintf(out, "\n## Scores\n\n| benchmark | metric |");
    for (int k = 0; k < r->n_run; k++)
        fprintf(out, " %s |", r->run[k]);
    fprintf(out, "\n|---|---|");
    for (int k = 0; k < r->n_run; k++)
        fprintf(out, "---|");
    for (int i = 0; i < r->n_row; i++) {
        fprintf(out, "\n| %s | %s |", r->row[i].bench, r->row[i].metric);
        for (int k = 0; k < r->n_run; k++) {
            const struct report_cell *c = &r->row[i].cell[k];
            if (!c->n_task) {
                fprintf(out, " |");
                continue;
            }
            level = c->level;
            fprintf(out, " %.1f %% [%.1f, %.1f]", 100 * c->value, 100 * c->ci[0], 100 * c->ci[1]);
            if (c->n_sample == c->n_task)
                fprintf(out, " %ld of %ld |", c->passed, c->n_task);
            else
                fprintf(out, " %ld tasks, %ld samples |", c->n_task, c->n_sample);
        }
    }
    fprintf(out,
            "\n\nIn brackets: %g %% intervals, Wilson's where each task has one sample, else "
            "bootstrap over tasks.\n",
            100 * level);
}

static void write_compare(const struct report *r, FILE *out)
{
    struct err none = {0};
    int n = cJSON_GetArraySize(r->compare), i = 0;
    double *p = malloc(((size_t)n + 1) * sizeof *p), ci[2];
    const cJSON *v;
    if (!p)
        return;
    cJSON_ArrayForEach(v, r->compare) p[i++] =
        json_get_num(v, "mcnemar_p", json_get_num(v, "permutation_p", NAN, &none), &none);
    if (n > 1 && stats_holm(p, (size_t)n)) {
        free(p);
        return;
    }
    fprintf(out, "\n## Differences\n\n");
    i = 0;
    cJSON_ArrayForEach(v, r->compare)
    {
        const char *bench = json_get_str(v, "bench", "", &none);
        char *a = run_name(json_get_str(v, "a", "", &none), bench),
             *b = run_name(json_get_str(v, "b", "", &none), bench);
        double raw = json_get_num(v, "mcnemar_p", NAN, &none),
               d = json_get_num(v, "detectable", NAN, &none);
        number_pair(v, "bootstrap", ci);
        fprintf(out, "- **%s** %s → %s: ", bench, a ? a : "a", b ? b : "b");
        if (!isnan(raw))
            fprintf(out, "%ld → %ld of %ld, ", json_get_int(v, "pass_a", 0, &none),
                    json_get_int(v, "pass_b", 0, &none), json_get_int(v, "n_task", 0, &none));
        fprintf(out, "%+.1f points [%.1f, %.1f], ", 100 * json_get_num(v, "difference", 0, &none),
                100 * ci[0], 100 * ci[1]);
        if (isnan(raw))
            fprintf(out, "permutation p = %.2g", json_get_num(v, "permutation_p", NAN, &none));
        else
            fprintf(out, "McNemar p = %.2g (%ld and %ld discordant)", raw,
                    json_get_int(v, "only_a", 0, &none), json_get_int(v, "only_b", 0, &none));
        if (n > 1)
            fprintf(out, ", Holm %.2g", p[i]);
        if (p[i] < 0.05)
            fprintf(out, ": real\n");
        else if (isnan(d))
            fprintf(out, ": may be chance\n");
        else
            fprintf(out, ": may be chance (%.1f points would show)\n", 100 * d);
        free(a);
        free(b);
        i++;
    }
    free(p);
}

/* The loss in up to 60 columns, each a mean, from the lowest block (lowest loss) to the highest. */
static void sparkline(const double *v, long n, FILE *out)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double mean[60], lo = INFINITY, hi = -INFINITY;
    long cols = n < 60 ? n : 60;
    for (long c = 0; c < cols; c++) {
        long from = c * n / cols, to = (c + 1) * n / cols;
        mean[c] = 0;
        for (long i = from; i < to; i++)
            mean[c] += v[i] / (double)(to - from);
        lo = fmin(lo, mean[c]);
        hi = fmax(hi, mean[c]);
    }
    for (long c = 0; c < cols; c++) {
        double at = hi > lo ? (mean[c] - lo) / (hi - lo) : 0;
        fputs(isnan(mean[c]) ? "!" : block[(int)(at * 7.999)], out);
    }
}

static void write_training(const struct report_training *t, FILE *out)
{
    fprintf(out, "\n## Training (%s)\n\n", t->name);
    if (t->n_step) {
        fprintf(out, "Loss %.4f → %.4f in %ld steps: `", t->loss[0], t->loss[t->n_step - 1],
                t->n_step);
        sparkline(t->loss, t->n_step, out);
        fprintf(out, "`\n");
    }
    if (!isnan(t->last_val)) {
        if (t->n_step)
            fprintf(out, "\n");
        fprintf(out, "Validation loss %.4f → %.4f (perplexity %.3f → %.3f) after %g epoch%s.\n",
                t->first_val, t->last_val, exp(t->first_val), exp(t->last_val), t->epoch,
                t->epoch == 1 ? "" : "s");
    }
}

/* How answers ended, a column a run and benchmark. */
static void write_verdicts(const struct report *r, FILE *out)
{
    cJSON *kinds = cJSON_CreateObject();
    const cJSON *v, *kind;
    int n_col = 0;
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++) {
            if (strcmp(r->row[i].metric, "pass@1") == 0 && r->row[i].cell[k].verdicts) {
                n_col++;
                cJSON_ArrayForEach(
                    v, r->row[i].cell[k].verdicts) if (!cJSON_HasObjectItem(kinds, v->string))
                    cJSON_AddNullToObject(kinds, v->string);
            }
        }
    if (n_col) {
        fprintf(out, "\n## Verdicts\n\n| verdict |");
        for (int i = 0; i < r->n_row; i++)
            for (int k = 0; k < r->n_run; k++)
                if (strcmp(r->row[i].metric, "pass@1") == 0 && r->row[i].cell[k].verdicts)
                    fprintf(out, " %s %s |", r->row[i].bench, r->run[k]);
        fprintf(out, "\n|---|");
        for (int i = 0; i < n_col; i++)
            fprintf(out, "--:|");
        cJSON_ArrayForEach(kind, kinds)
        {
            fprintf(out, "\n| %s |", kind->string);
            for (int i = 0; i < r->n_row; i++)
                for (int k = 0; k < r->n_run; k++)
                    if (strcmp(r->row[i].metric, "pass@1") == 0 && r->row[i].cell[k].verdicts) {
                        v = cJSON_GetObjectItemCaseSensitive(r->row[i].cell[k].verdicts,
                                                             kind->string);
                        fprintf(out, cJSON_IsNumber(v) ? " %.0f |" : " |",
                                cJSON_IsNumber(v) ? v->valuedouble : 0);
                    }
        }
        fprintf(out, "\n");
    }
    cJSON_Delete(kinds);
}

void report_write(const struct report *r, const char *title, FILE *out)
{
    fprintf(out, "# %s\n", title);
    if (r->n_row)
        write_scores(r, out);
    if (cJSON_GetArraySize(r->compare))
        write_compare(r, out);
    for (int i = 0; i < r->n_training; i++)
        write_training(&r->training[i], out);
    write_verdicts(r, out);
}
