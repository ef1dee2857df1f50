/* score_text - scores as a table for people, and as columns for other programs */
#include "score_text.h"
#include "bench.h"
#include <stdlib.h>
#include <string.h>

enum { NAMED = 10 };

static void interval(char *text, size_t size, const double ci[2])
{
    snprintf(text, size, "[%.1f, %.1f]", 100 * ci[0], 100 * ci[1]);
}

void score_table_head(FILE *out, double level, int ceilings)
{
    char wilson[40];
    snprintf(wilson, sizeof wilson, "Wilson %g %%", 100 * level);
    fprintf(out, "%-16s %-9s %8s  %-14s %-14s ", "benchmark", "metric", "value", wilson,
            "bootstrap");
    fprintf(out, ceilings ? "%-18s %-13s adjusted\n" : "%s\n", "passed", "ceiling");
}

void score_table_row(FILE *out, const struct score_set *s, const struct score *v)
{
    char metric[32], wilson[32], boot[32], passed[64], ceiling[48] = "-";
    snprintf(metric, sizeof metric, "pass@%ld", v->k);
    interval(wilson, sizeof wilson, v->clustered);
    interval(boot, sizeof boot, v->bootstrap);
    snprintf(passed, sizeof passed, "%ld of %ld%s", v->passed, v->n_sample,
             v->n_sample != v->n_task ? " samples" : "");
    fprintf(out, "%-16s %-9s %6.2f %%  %-14s %-14s ", s->bench, metric, 100 * v->value, wilson,
            boot);
    if (!v->limit) {
        fprintf(out, "%s\n", passed);
        return;
    }
    if (v->limit->ceiling >= 0)
        snprintf(ceiling, sizeof ceiling, "%ld of %ld", v->limit->ceiling, v->limit->n);
    fprintf(out, "%-18s %-13s ", passed, ceiling);
    if (!v->adjusted) {
        fprintf(out, "-\n");
        return;
    }
    interval(wilson, sizeof wilson, v->adjusted->clustered);
    fprintf(out, "%.2f %% %s\n", 100 * v->adjusted->value, wilson);
}

/* "what: a, b and 3 more", of the tasks that are flaky, or that skip marks; nothing if none is */
static void list_tasks(FILE *out, const struct score_set *s, const unsigned char *skip,
                       const struct bench *b, int all, const char *what)
{
    int n = 0;
    for (int i = 0; i < s->n_task; i++) {
        if (!(skip ? skip[i] : s->task[i].flaky))
            continue;
        if (n++ < NAMED || all) {
            const struct bench_task *t = skip && b ? bench_find(b, s->task[i].id) : NULL;
            fprintf(out, "%s%s", n == 1 ? what : ", ", s->task[i].id);
            if (t && t->fault)
                fprintf(out, " (%s)", t->fault);
        }
    }
    if (n > NAMED && !all)
        fprintf(out, " and %d more", n - NAMED);
    if (n)
        fprintf(out, "\n");
}

void score_about(FILE *out, const struct score_set *s, const struct score *v, const struct bench *b,
                 int all)
{
    int order[SCORE_KINDS], n = score_kinds(s->kind, order);
    fprintf(out, "\nverdicts of %s\n", s->bench);
    for (int i = 0; i < n; i++)
        fprintf(out, "  %-16s %6ld  %.*s\n", score_kind(order[i]), s->kind[order[i]],
                (int)(40 * s->kind[order[i]] / (s->n_sample + s->n_harness)),
                "########################################");
    if (v->n_sample != v->n_task)
        fprintf(out,
                "  intervals are over tasks: for pass@%ld, %ld samples say as much as %.0f task%s "
                "sampled once\n",
                v->k, v->n_sample, v->n_effective, v->n_effective < 1.5 ? "" : "s");
    if (s->choice)
        fprintf(out, "  answers were chosen, %s: not the pass@%ld of single answers\n", s->choice,
                v->k);
    if (s->n_inproc)
        fprintf(out, "  %ld verdict%s from one process with the code (trust inproc)\n", s->n_inproc,
                s->n_inproc == 1 ? " is" : "s are");
    list_tasks(out, s, NULL, NULL, all, "  flaky, a re-run gave another verdict: ");
    if (!v->limit)
        return;
    list_tasks(out, s, v->limit->skip, b, all, "  no reference solution passes: ");
    if (v->limit->n_odd)
        fprintf(out, "  %d of them passed all the same\n", v->limit->n_odd);
}

void score_list_add(struct score_list *l, const char *name, const char *more)
{
    int width = (int)(strlen(name) + strlen(more)) + 2;
    if (l->column == 0 || l->column + width > 100) {
        fprintf(l->out, "%s  %-12s ", l->column ? ",\n" : "", l->column ? "" : l->head);
        l->column = 15;
    } else {
        fprintf(l->out, ", ");
    }
    fprintf(l->out, "%s%s", name, more);
    l->column += width;
}

void score_list_end(struct score_list *l)
{
    if (l->column)
        fprintf(l->out, "\n");
}

static void number(FILE *out, double v)
{
    struct json_out j = {0};
    json_num(&j, v);
    fprintf(out, "\t%s", j.buf ? j.buf : "");
    free(j.buf);
}

void score_tsv_head(FILE *out)
{
    fprintf(out, "bench\tmetric\tvalue\twilson_low\twilson_high\tbootstrap_low\tbootstrap_high\t"
                 "passed\tn_sample\tn_task\tharness_errors\tceiling\tadjusted\tchoice\n");
}

void score_tsv_row(FILE *out, const struct score_set *s, const struct score *v)
{
    fprintf(out, "%s\tpass@%ld", s->bench, v->k);
    number(out, v->value);
    number(out, v->clustered[0]);
    number(out, v->clustered[1]);
    number(out, v->bootstrap[0]);
    number(out, v->bootstrap[1]);
    fprintf(out, "\t%ld\t%ld\t%ld\t%ld\t", v->passed, v->n_sample, v->n_task, s->n_harness);
    if (v->limit && v->limit->ceiling >= 0)
        fprintf(out, "%ld", v->limit->ceiling);
    if (v->adjusted)
        number(out, v->adjusted->value);
    else
        fprintf(out, "\t");
    fprintf(out, "\t%s\n", s->choice ? s->choice : "");
}
