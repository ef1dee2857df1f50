/* route - choose a strategy on validation tasks */
#include "route.h"
#include "rng.h"
#include "score.h"
#include "stats.h"
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 10000, PART = 0x726f757465 }; /* PART: another draw than a sample's own ("route") */

int route_validates(const char *task_id, double validation, uint64_t seed)
{
    return rng_u01(rng_key(seed, task_id, PART), 0, 0) < validation;
}

const char *route_bench(const struct keyed_record *x)
{
    return x->bench ? x->bench : "unnamed";
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

/* ---- reading ---- */

/* Add a verdict of strategy s to task t. */
static int add(struct route *r, int s, int t, const struct keyed_record *x, const char *path,
               struct err *e)
{
    size_t cell = (size_t)s * (size_t)r->v[0].n + (size_t)t;
    int kind = score_outcome(cJSON_GetObjectItemCaseSensitive(x->v, "passed"),
                             cJSON_GetObjectItemCaseSensitive(x->v, "verdict"),
                             cJSON_GetObjectItemCaseSensitive(x->v, "result"), e);
    if (kind < 0 || score_name("bench", route_bench(x), e))
        return err_prefix(e, "%s:%ld", path, x->line);
    r->n[cell] += kind != VERDICT_harness_error;
    r->c[cell] += kind == VERDICT_pass;
    return 0;
}

/* Count the verdicts of strategy s; its tasks must be those of the first. */
static int count(struct route *r, int s, char *const *file, struct err *e)
{
    const struct keyed *k = &r->v[s];
    int *order = keyed_by_task(k), t = -1;
    if (!order)
        return no_memory(e);
    for (int i = 0; i < k->n && !e->code; i++) {
        const struct keyed_record *x = &k->v[order[i]];
        if (i == 0 || !keyed_same_task(x, &k->v[order[i - 1]]))
            t++;
        if (s == 0) {
            r->task[t] = (struct route_task){x->task_id, route_bench(x),
                                             route_validates(x->task_id, r->validation, r->seed)};
            r->n_task = t + 1;
        } else if (t >= r->n_task || strcmp(x->task_id, r->task[t].id) ||
                   strcmp(route_bench(x), r->task[t].bench)) {
            err_set(e, ERR_DATA, "%s:%ld: not the tasks of %s: look at %.60s", file[s], x->line,
                    file[0], x->task_id);
        }
        if (!e->code)
            add(r, s, t, x, file[s], e);
    }
    free(order);
    if (!e->code && t + 1 < r->n_task)
        err_set(e, ERR_DATA, "%s: not the tasks of %s: %.60s is missing", file[s], file[0],
                r->task[t + 1].id);
    return e->code;
}

static void list_benches(struct route *r)
{
    for (int i = 0; i < r->v[0].n; i++) {
        const char *name = route_bench(&r->v[0].v[i]);
        int k = r->n_bench - 1; /* files have one after another */
        while (k >= 0 && strcmp(r->bench[k], name))
            k--;
        if (k < 0)
            r->bench[r->n_bench++] = name;
    }
}

int route_read(struct route *r, char *const *file, int n_file, double validation, uint64_t seed,
               struct err *e)
{
    size_t n, n_s = (size_t)n_file;
    *r = (struct route){.n_strategy = n_file, .validation = validation, .seed = seed};
    if (!(r->v = calloc(n_s, sizeof *r->v)))
        return no_memory(e);
    for (int s = 0; s < n_file; s++)
        if (keyed_read(&r->v[s], file[s], "verdict/1", NULL, e) < 0)
            return e->code;
    if (!(n = (size_t)r->v[0].n))
        return err_set(e, ERR_DATA, "%s: no records", file[0]);
    r->task = malloc(n * sizeof *r->task);
    r->bench = malloc(n * sizeof *r->bench);
    r->c = calloc(n_s * n, sizeof *r->c);
    r->n = calloc(n_s * n, sizeof *r->n);
    if (!r->task || !r->bench || !r->c || !r->n)
        return no_memory(e);
    for (int s = 0; s < n_file; s++)
        if (count(r, s, file, e) < 0)
            return e->code;
    list_benches(r);
    return 0;
}

void route_free(struct route *r)
{
    for (int s = 0; r->v && s < r->n_strategy; s++)
        keyed_free(&r->v[s]);
    free(r->v);
    free(r->task);
    free(r->bench);
    free(r->c);
    free(r->n);
    *r = (struct route){0};
}

/* ---- choosing ---- */

struct table {                      /* pass rates on the validation tasks */
    double *rate;                   /* (n_strategy, n_task) */
    double *d;                      /* (n_task) scratch */
    double *p;                      /* (n_strategy - 1) */
    int n_strategy, n_task, single; /* single: one sample a task everywhere */
    uint64_t seed;
};

static const double *row(const struct table *t, int s)
{
    return t->rate + (size_t)s * (size_t)t->n_task;
}

/* p of strategy s against the best. */
static double p_value(const struct table *t, int s, int best)
{
    long more = 0, less = 0;
    for (int i = 0; i < t->n_task; i++) {
        t->d[i] = row(t, best)[i] - row(t, s)[i];
        more += t->d[i] > 0;
        less += t->d[i] < 0;
    }
    return t->single ? stats_mcnemar(more, less, NULL)
                     : stats_sign_flip(t->d, (size_t)t->n_task, DRAWS, t->seed);
}

enum part { NOT_ASKED, TEST, VALIDATION, LEFT_OUT };

static enum part part_of(const struct route *r, const char *bench, int task)
{
    const struct route_task *t = &r->task[task];
    if (bench && strcmp(bench, t->bench))
        return NOT_ASKED;
    if (!t->validates)
        return TEST;
    for (int s = 0; s < r->n_strategy; s++)
        if (r->n[(size_t)s * (size_t)r->v[0].n + (size_t)task] == 0)
            return LEFT_OUT;
    return VALIDATION;
}

/* Sort the tasks into the parts; fill the table and the counts of passed samples. */
static void split(const struct route *r, const char *bench, struct table *t, struct route_choice *k)
{
    int n[4] = {0}, at = 0;
    for (int i = 0; i < r->n_task; i++)
        n[part_of(r, bench, i)]++;
    k->n_test = n[TEST];
    k->left_out = n[LEFT_OUT];
    k->n_validation = t->n_task = n[VALIDATION];
    t->single = 1;
    for (int i = 0; i < r->n_task; i++) {
        if (part_of(r, bench, i) != VALIDATION)
            continue;
        for (int s = 0; s < r->n_strategy; s++) {
            size_t cell = (size_t)s * (size_t)r->v[0].n + (size_t)i;
            t->rate[(size_t)s * (size_t)t->n_task + (size_t)at] =
                (double)r->c[cell] / (double)r->n[cell];
            t->single &= r->n[cell] == 1;
            k->score[s].passed += r->c[cell];
            k->score[s].n_sample += r->n[cell];
        }
        at++;
    }
}

static int compare(const struct table *t, struct route_choice *k, struct err *e)
{
    for (int s = 0; s < t->n_strategy; s++) {
        struct route_score *x = &k->score[s];
        x->value = stats_mean(row(t, s), (size_t)t->n_task);
        stats_wilson_tasks(row(t, s), (size_t)t->n_task, (double)x->n_sample, 0.95, x->ci);
        /* sums of equal rates may differ in their last bits */
        if (x->value > k->score[k->best].value + 1e-12)
            k->best = s;
    }
    for (int s = 0, i = 0; s < t->n_strategy; s++)
        if (s != k->best)
            t->p[i++] = p_value(t, s, k->best);
    if (stats_holm(t->p, (size_t)t->n_strategy - 1) < 0)
        return no_memory(e);
    for (int s = 0, i = 0; s < t->n_strategy; s++) {
        k->score[s].p = s == k->best ? 1 : t->p[i++];
        k->rivals += s != k->best && k->score[s].p > 0.05;
    }
    return 0;
}

int route_choose(const struct route *r, const char *bench, struct route_choice *k, struct err *e)
{
    size_t n_s = (size_t)r->n_strategy, n_t = (size_t)r->n_task;
    struct table t = {.n_strategy = r->n_strategy, .seed = r->seed};
    int rc;
    *k = (struct route_choice){.score = calloc(n_s, sizeof *k->score)};
    t.rate = malloc(n_s * n_t * sizeof *t.rate);
    t.d = malloc(n_t * sizeof *t.d);
    t.p = malloc(n_s * sizeof *t.p);
    if (!k->score || !t.rate || !t.d || !t.p) {
        rc = no_memory(e);
    } else {
        split(r, bench, &t, k);
        rc = k->n_validation && k->n_test
                 ? compare(&t, k, e)
                 : err_set(e, ERR_DATA,
                           "%s: %d tasks to choose on, %d to score: expected some of both",
                           bench ? bench : "all benchmarks", k->n_validation, k->n_test);
    }
    free(t.rate);
    free(t.d);
    free(t.p);
    return rc;
}
