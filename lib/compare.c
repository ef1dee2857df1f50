/* compare - two runs of one benchmark, task by task */
#include "compare.h"
#include "score_text.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>

void compare_free(struct comparison *c)
{
    free(c->task);
    free(c->a);
    free(c->b);
    free(c->d);
    *c = (struct comparison){0};
}

static void add(struct comparison *c, const struct score_task *x, const struct score_task *y)
{
    c->task[c->n] = x->id;
    c->a[c->n] = (double)x->c / (double)x->n;
    c->b[c->n] = (double)y->c / (double)y->n;
    c->d[c->n] = c->b[c->n] - c->a[c->n];
    c->only_a += c->d[c->n] < 0;
    c->only_b += c->d[c->n] > 0;
    c->pass_a += x->c;
    c->pass_b += y->c;
    c->single &= x->n == 1 && y->n == 1;
    c->n++;
}

int compare_pair(struct comparison *c, const struct score_set *a, const struct score_set *b,
                 int partial, struct err *e)
{
    const char *example = NULL;
    size_t n = (size_t)a->n_task + 1;
    *c = (struct comparison){.bench = a->bench, .single = 1};
    c->task = malloc(n * sizeof *c->task);
    c->a = malloc(n * sizeof *c->a);
    c->b = malloc(n * sizeof *c->b);
    c->d = malloc(n * sizeof *c->d);
    if (!c->task || !c->a || !c->b || !c->d)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < a->n_task; i++) {
        const struct score_task *x = &a->task[i], *y = score_find(b, x->id);
        if (!y) {
            c->n_lone++;
            example = x->id;
        } else if (x->n == 0 || y->n == 0) {
            c->n_harness++;
        } else {
            add(c, x, y);
        }
    }
    for (int i = 0; i < b->n_task; i++)
        if (!score_find(a, b->task[i].id)) {
            c->n_lone++;
            example = b->task[i].id;
        }
    if (c->n_lone && !partial)
        return err_set(e, ERR_DATA,
                       "%s: %d task%s in one file only, such as %.60s (--partial leaves them out)",
                       c->bench, c->n_lone, c->n_lone == 1 ? "" : "s", example);
    if (!c->n && c->n_harness)
        return err_set(e, ERR_DATA,
                       "%s: no task left: %d in both files, with nothing but harness errors in one",
                       c->bench, c->n_harness);
    return c->n ? 0 : err_set(e, ERR_DATA, "%s: no task in both files", c->bench);
}

int compare_test(struct comparison *c, double level, long boot, uint64_t seed, struct err *e)
{
    size_t n = (size_t)c->n;
    c->level = level;
    if (c->single) {
        c->mean_a = (double)c->pass_a / c->n;
        c->mean_b = (double)c->pass_b / c->n;
        c->difference = (double)(c->pass_b - c->pass_a) / c->n;
        c->p = stats_mcnemar(c->only_a, c->only_b, &c->mid_p);
        c->detectable = stats_detectable(c->n, (double)(c->only_a + c->only_b) / c->n, 0.95, 0.8);
    } else {
        c->mean_a = stats_mean(c->a, n);
        c->mean_b = stats_mean(c->b, n);
        c->difference = stats_mean(c->d, n);
        c->p = stats_sign_flip(c->d, n, boot, seed);
        c->mid_p = NAN;
        c->detectable = stats_detectable_mean(c->d, n, 0.95, 0.8);
    }
    c->holm_p = c->p;
    return stats_bootstrap(c->d, n, boot, level, seed, c->boot, e);
}

int compare_holm(struct comparison *c, int n, struct err *e)
{
    double *p = malloc(((size_t)n + 1) * sizeof *p);
    int ok = p != NULL;
    for (int i = 0; i < n && ok; i++)
        p[i] = c[i].p;
    ok = ok && stats_holm(p, (size_t)n) == 0;
    for (int i = 0; i < n && ok; i++)
        c[i].holm_p = p[i];
    free(p);
    return ok ? 0 : err_set(e, ERR_NOMEM, "out of memory");
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

void compare_json(struct json_out *j, const struct comparison *c, int n)
{
    json_begin(j, '{');
    json_kv_str(j, "schema", "compare/1");
    json_kv_str(j, "bench", c->bench);
    json_kv_str(j, "a", c->name_a);
    json_kv_str(j, "b", c->name_b);
    if (c->choice_a)
        json_kv_str(j, "choice_a", c->choice_a);
    if (c->choice_b)
        json_kv_str(j, "choice_b", c->choice_b);
    json_kv_int(j, "n_task", c->n);
    json_kv_int(j, "pass_a", c->pass_a);
    json_kv_int(j, "pass_b", c->pass_b);
    json_kv_num(j, "rate_a", c->mean_a);
    json_kv_num(j, "rate_b", c->mean_b);
    json_kv_num(j, "difference", c->difference);
    json_kv_num(j, "ci", c->level);
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
    json_kv_num(j, "holm_p", c->holm_p);
    json_kv_int(j, "n_comparison", n);
    json_kv_num(j, "detectable", c->detectable);
    json_kv_int(j, "left_out", c->n_harness + c->n_lone);
    list(j, "tasks_only_a", c, -1);
    list(j, "tasks_only_b", c, 1);
    json_end(j, '}');
}

/* The tasks that one side does better. */
static void write_tasks(FILE *out, const char *what, const struct comparison *c, int sign)
{
    struct score_list l = {out, what, 0};
    for (int i = 0; i < c->n; i++) {
        char rates[64] = "";
        if (c->d[i] * sign <= 0)
            continue;
        if (!c->single)
            snprintf(rates, sizeof rates, " (%.2f -> %.2f)", c->a[i], c->b[i]);
        score_list_add(&l, c->task[i], rates);
    }
    score_list_end(&l);
}

void compare_text(FILE *out, const struct comparison *c, int n)
{
    if (c->single)
        fprintf(out, "%s: %ld -> %ld of %d tasks (%s -> %s)\n", c->bench, c->pass_a, c->pass_b,
                c->n, c->name_a, c->name_b);
    else
        fprintf(out, "%s: %.2f %% -> %.2f %% of %d tasks (%s -> %s)\n", c->bench, 100 * c->mean_a,
                100 * c->mean_b, c->n, c->name_a, c->name_b);
    if (c->choice_a || c->choice_b)
        fprintf(out, "  answers      %s -> %s\n", c->choice_a ? c->choice_a : "single",
                c->choice_b ? c->choice_b : "single");
    fprintf(out, "  difference   %+.1f points, %g %% interval [%.1f, %.1f]\n", 100 * c->difference,
            100 * c->level, 100 * c->boot[0], 100 * c->boot[1]);
    fprintf(out, "  discordant   %d better in the first, %d in the second\n", c->only_a, c->only_b);
    if (c->single)
        fprintf(out, "  McNemar      p = %.2g (exact, two-sided), mid-p = %.2g\n", c->p, c->mid_p);
    else
        fprintf(out, "  permutation  p = %.2g (sign flips, two-sided)\n", c->p);
    if (n > 1)
        fprintf(out, "  Holm         p = %.2g as one of %d comparisons\n", c->holm_p, n);
    if (!isnan(c->detectable))
        fprintf(out, "  detectable   %.1f points at 80 %% power\n", 100 * c->detectable);
    else
        fprintf(out, "  detectable   %s\n",
                c->single ? "nothing: too few tasks" : "unknown: all tasks differ alike");
    write_tasks(out, "first only", c, -1);
    write_tasks(out, "second only", c, 1);
}
