/* oracle - several runs of one benchmark together */
#include "oracle.h"
#include "score_text.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void oracle_free(struct oracle *o)
{
    free(o->task);
    free(o->choice);
    free(o->unique);
    free(o->agree);
    free(o->kappa);
    *o = (struct oracle){0};
}

static void add(struct oracle_task *t, const struct score_task *s, int run)
{
    t->n += s->n;
    t->c += s->c;
    t->flaky |= s->flaky;
    if (s->c) {
        t->solved_by++;
        t->last = run;
    }
    for (int k = 0; k < SCORE_KINDS; k++)
        t->kind[k] += s->kind[k];
}

/* Ties go to the kind that verdict.h has first. */
static int dominant(const struct oracle_task *t)
{
    int best = -1;
    for (int k = 0; k < SCORE_KINDS; k++)
        if (k != VERDICT_pass && k != VERDICT_harness_error && t->kind[k] &&
            (best < 0 || t->kind[k] > t->kind[best]))
            best = k;
    return best;
}

static int task_everywhere(struct oracle *o, const struct score_set *const *set, const char *id,
                           const char **missing)
{
    int judged = 1;
    for (int r = 0; r < o->n_run; r++) {
        const struct score_task *s = score_find(set[r], id);
        if (!s) {
            o->n_lone++;
            *missing = id;
            return 0;
        }
        judged &= s->n > 0;
    }
    o->n_harness += !judged;
    return judged;
}

static void join_tasks(struct oracle *o, const struct score_set *const *set, const char **missing)
{
    for (int i = 0; i < set[0]->n_task; i++) {
        const char *id = set[0]->task[i].id;
        struct oracle_task *t = &o->task[o->n];
        if (!task_everywhere(o, set, id, missing))
            continue;
        *t = (struct oracle_task){.id = id};
        for (int r = 0; r < o->n_run; r++)
            add(t, score_find(set[r], id), r);
        t->dominant = dominant(t);
        o->solved += t->c > 0;
        o->always += t->c == t->n;
        o->attempts[0] = o->n && o->attempts[0] < t->n ? o->attempts[0] : t->n;
        o->attempts[1] = o->attempts[1] > t->n ? o->attempts[1] : t->n;
        if (t->solved_by == 1)
            o->unique[t->last]++;
        o->n++;
    }
    for (int r = 1; r < o->n_run; r++)
        for (int i = 0; i < set[r]->n_task; i++)
            if (!score_find(set[0], set[r]->task[i].id)) {
                o->n_lone++;
                *missing = set[r]->task[i].id;
            }
}

/* How often a sample of one run and a sample of another agree, and Cohen's kappa: the same beyond
 * what runs with these pass rates would have by chance. */
static void agreement(struct oracle *o, const struct score_set *a, const struct score_set *b,
                      int pair)
{
    double agree = 0, mean_a = 0, mean_b = 0;
    for (int i = 0; i < o->n; i++) {
        const struct score_task *x = score_find(a, o->task[i].id), *y = score_find(b, x->id);
        double p = (double)x->c / (double)x->n, q = (double)y->c / (double)y->n;
        agree += p * q + (1 - p) * (1 - q);
        mean_a += p;
        mean_b += q;
    }
    agree /= o->n;
    mean_a /= o->n;
    mean_b /= o->n;
    double chance = mean_a * mean_b + (1 - mean_a) * (1 - mean_b);
    o->agree[pair] = agree;
    o->kappa[pair] = chance < 1 ? (agree - chance) / (1 - chance) : NAN;
}

int oracle_join(struct oracle *o, const struct score_set *const *set, const char *const *name,
                int n_run, int partial, double level, struct err *e)
{
    const char *missing = NULL;
    size_t pairs = (size_t)n_run * (size_t)(n_run - 1) / 2;
    *o = (struct oracle){.bench = set[0]->bench, .name = name, .n_run = n_run, .level = level};
    o->task = malloc(((size_t)set[0]->n_task + 1) * sizeof *o->task);
    o->choice = malloc((size_t)n_run * sizeof *o->choice);
    o->unique = calloc((size_t)n_run, sizeof *o->unique);
    o->agree = malloc((pairs + 1) * sizeof *o->agree);
    o->kappa = malloc((pairs + 1) * sizeof *o->kappa);
    if (!o->task || !o->choice || !o->unique || !o->agree || !o->kappa)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int r = 0; r < n_run; r++) {
        o->choice[r] = set[r]->choice;
        o->n_chosen += set[r]->choice != NULL;
    }
    join_tasks(o, set, &missing);
    if (o->n_lone && !partial)
        return err_set(e, ERR_DATA,
                       "%s: %d task%s not in every run, such as %.60s (--partial leaves them out)",
                       o->bench, o->n_lone, o->n_lone == 1 ? "" : "s", missing);
    if (!o->n && o->n_harness)
        return err_set(e, ERR_DATA,
                       "%s: no task left: %d in every run, with nothing but harness errors in one",
                       o->bench, o->n_harness);
    if (!o->n)
        return err_set(e, ERR_DATA, "%s: no task in every run", o->bench);
    for (int b = 1, pair = 0; b < n_run; b++)
        for (int a = 0; a < b; a++)
            agreement(o, set[a], set[b], pair++);
    stats_wilson(o->solved, o->n, level, o->wilson);
    return 0;
}

void oracle_metric(const struct oracle *o, char *text, size_t size)
{
    char attempts[64];
    int alike = o->choice[0] != NULL;
    if (o->attempts[0] == o->attempts[1])
        snprintf(attempts, sizeof attempts, "pass@%ld", o->attempts[0]);
    else
        snprintf(attempts, sizeof attempts, "pass@%ld..%ld", o->attempts[0], o->attempts[1]);
    for (int r = 1; r < o->n_run && alike; r++)
        alike = o->choice[r] && strcmp(o->choice[r], o->choice[0]) == 0;
    if (alike)
        snprintf(text, size, "%s, %s", attempts, o->choice[0]);
    else if (o->n_chosen)
        snprintf(text, size, "%s, chosen answers in %d of %d runs", attempts, o->n_chosen,
                 o->n_run);
    else
        snprintf(text, size, "%s", attempts);
}

/* ---- oracle/1 ---- */

static void kinds_json(struct json_out *j, const long *kind)
{
    int order[SCORE_KINDS], n = score_kinds(kind, order);
    json_key(j, "verdicts");
    json_begin(j, '{');
    for (int i = 0; i < n; i++)
        json_kv_int(j, score_kind(order[i]), kind[order[i]]);
    json_end(j, '}');
}

static void task_json(struct json_out *j, const struct oracle_task *t, int kinds)
{
    json_begin(j, '{');
    json_kv_str(j, "task_id", t->id);
    json_kv_int(j, "passed", t->c);
    json_kv_int(j, "n", t->n);
    if (kinds)
        kinds_json(j, t->kind);
    json_end(j, '}');
}

/* The kinds that dominate a task, by the number of their tasks */
static int groups(const struct oracle *o, long size[SCORE_KINDS], int order[SCORE_KINDS])
{
    memset(size, 0, SCORE_KINDS * sizeof *size);
    for (int i = 0; i < o->n; i++)
        if (o->task[i].dominant >= 0)
            size[o->task[i].dominant]++;
    return score_kinds(size, order);
}

static void failures_json(struct json_out *j, const struct oracle *o)
{
    long size[SCORE_KINDS];
    int order[SCORE_KINDS], n = groups(o, size, order);
    json_key(j, "failures");
    json_begin(j, '[');
    for (int g = 0; g < n; g++) {
        json_begin(j, '{');
        json_kv_str(j, "verdict", score_kind(order[g]));
        json_kv_int(j, "n_task", size[order[g]]);
        json_key(j, "tasks");
        json_begin(j, '[');
        for (int i = 0; i < o->n; i++)
            if (o->task[i].dominant == order[g])
                task_json(j, &o->task[i], 1);
        json_end(j, ']');
        json_end(j, '}');
    }
    json_end(j, ']');
}

static void runs_json(struct json_out *j, const struct oracle *o)
{
    json_key(j, "runs");
    json_begin(j, '[');
    for (int r = 0; r < o->n_run; r++) {
        json_begin(j, '{');
        json_kv_str(j, "run", o->name[r]);
        if (o->choice[r])
            json_kv_str(j, "choice", o->choice[r]);
        json_kv_int(j, "unique", o->unique[r]);
        json_key(j, "unique_tasks");
        json_begin(j, '[');
        for (int i = 0; i < o->n; i++)
            if (o->task[i].solved_by == 1 && o->task[i].last == r)
                json_str(j, o->task[i].id);
        json_end(j, ']');
        json_end(j, '}');
    }
    json_end(j, ']');
    json_key(j, "agreement");
    json_begin(j, '[');
    for (int b = 1, pair = 0; b < o->n_run; b++)
        for (int a = 0; a < b; a++, pair++) {
            json_begin(j, '{');
            json_kv_str(j, "a", o->name[a]);
            json_kv_str(j, "b", o->name[b]);
            json_kv_num(j, "agree", o->agree[pair]);
            json_kv_num(j, "kappa", o->kappa[pair]);
            json_end(j, '}');
        }
    json_end(j, ']');
}

static int is_never(const struct oracle_task *t)
{
    return t->c == 0;
}
static int is_sometimes(const struct oracle_task *t)
{
    return t->c > 0 && t->c < t->n;
}
static int is_flaky(const struct oracle_task *t)
{
    return t->flaky;
}

static void tasks_json(struct json_out *j, const char *key, const struct oracle *o,
                       int (*is)(const struct oracle_task *), int counts)
{
    json_key(j, key);
    json_begin(j, '[');
    for (int i = 0; i < o->n; i++)
        if (is(&o->task[i])) {
            if (counts)
                task_json(j, &o->task[i], 0);
            else
                json_str(j, o->task[i].id);
        }
    json_end(j, ']');
}

void oracle_json(struct json_out *j, const struct oracle *o, int failures)
{
    char metric[SCORE_METRIC];
    oracle_metric(o, metric, sizeof metric);
    json_begin(j, '{');
    json_kv_str(j, "schema", "oracle/1");
    json_kv_str(j, "bench", o->bench);
    json_kv_str(j, "metric", metric);
    json_kv_int(j, "n_run", o->n_run);
    json_kv_int(j, "n_task", o->n);
    json_kv_int(j, "solved", o->solved);
    json_kv_num(j, "value", (double)o->solved / o->n);
    json_kv_num(j, "ci", o->level);
    json_key(j, "wilson");
    json_begin(j, '[');
    json_num(j, o->wilson[0]);
    json_num(j, o->wilson[1]);
    json_end(j, ']');
    json_kv_int(j, "always", o->always);
    json_kv_int(j, "sometimes", o->solved - o->always);
    json_kv_int(j, "never", o->n - o->solved);
    json_kv_int(j, "left_out", o->n_harness + o->n_lone);
    runs_json(j, o);
    tasks_json(j, "never_tasks", o, is_never, 0);
    tasks_json(j, "sometimes_tasks", o, is_sometimes, 1);
    tasks_json(j, "flaky", o, is_flaky, 0);
    if (failures)
        failures_json(j, o);
    json_end(j, '}');
}

/* ---- for people ---- */

static void tasks_text(FILE *out, const char *head, const struct oracle *o,
                       int (*is)(const struct oracle_task *), int counts)
{
    struct score_list l = {out, head, 0};
    for (int i = 0; i < o->n; i++) {
        char more[64] = "";
        if (!is(&o->task[i]))
            continue;
        if (counts)
            snprintf(more, sizeof more, " %ld/%ld", o->task[i].c, o->task[i].n);
        score_list_add(&l, o->task[i].id, more);
    }
    score_list_end(&l);
}

static void unique_text(FILE *out, const struct oracle *o)
{
    for (int r = 0; r < o->n_run; r++) {
        struct score_list l = {out, "", 0};
        fprintf(out, "  %-12s %s: %d\n", r ? "" : "unique wins", o->name[r], o->unique[r]);
        for (int i = 0; i < o->n; i++)
            if (o->task[i].solved_by == 1 && o->task[i].last == r)
                score_list_add(&l, o->task[i].id, "");
        score_list_end(&l);
    }
}

static void failures_text(FILE *out, const struct oracle *o)
{
    long size[SCORE_KINDS];
    int order[SCORE_KINDS], n = groups(o, size, order);
    fprintf(out, "\nfailures of %s by their most frequent verdict\n", o->bench);
    for (int g = 0; g < n; g++) {
        fprintf(out, "  %-16s %6ld task%s\n", score_kind(order[g]), size[order[g]],
                size[order[g]] == 1 ? "" : "s");
        for (int i = 0; i < o->n; i++) {
            const struct oracle_task *t = &o->task[i];
            int kinds[SCORE_KINDS], m = score_kinds(t->kind, kinds);
            if (t->dominant != order[g])
                continue;
            fprintf(out, "    %-20s", t->id);
            for (int k = 0; k < m; k++)
                fprintf(out, "%s%s %ld", k ? ", " : " ", score_kind(kinds[k]), t->kind[kinds[k]]);
            fprintf(out, "\n");
        }
    }
}

void oracle_text(FILE *out, const struct oracle *o, int failures)
{
    char metric[SCORE_METRIC];
    oracle_metric(o, metric, sizeof metric);
    fprintf(out, "%s: %d of %d tasks solved in at least one of %d runs\n", o->bench, o->solved,
            o->n, o->n_run);
    fprintf(out, "  %-12s %.2f %% (any attempt counts), %g %% interval [%.1f, %.1f]\n", metric,
            100.0 * o->solved / o->n, 100 * o->level, 100 * o->wilson[0], 100 * o->wilson[1]);
    for (int r = 0; r < o->n_run && o->n_chosen; r++)
        fprintf(out, "  %-12s %s: %s\n", r ? "" : "answers", o->name[r],
                o->choice[r] ? o->choice[r] : "single");
    fprintf(out, "  %-12s %d always, %d sometimes, %d never\n", "tasks", o->always,
            o->solved - o->always, o->n - o->solved);
    unique_text(out, o);
    tasks_text(out, "never", o, is_never, 0);
    tasks_text(out, "sometimes", o, is_sometimes, 1);
    tasks_text(out, "flaky", o, is_flaky, 0);
    for (int b = 1, pair = 0; b < o->n_run; b++)
        for (int a = 0; a < b; a++, pair++) {
            fprintf(out, "  %-12s %.1f %% of tasks", pair ? "" : "agreement", 100 * o->agree[pair]);
            if (!isnan(o->kappa[pair]))
                fprintf(out, ", kappa %.2f", o->kappa[pair]);
            fprintf(out, ": %s, %s\n", o->name[a], o->name[b]);
        }
    if (failures)
        failures_text(out, o);
}
