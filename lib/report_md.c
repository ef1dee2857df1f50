/* report_md - scores, differences, runs together, training and verdicts as a short Markdown page */
#include "md.h"
#include "report.h"
#include "report_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void write_cell(const struct report_cell *c, int with_level, FILE *out)
{
    fprintf(out, " %.1f %% [%.1f, %.1f]", 100 * c->value, 100 * c->ci[0], 100 * c->ci[1]);
    if (with_level)
        fprintf(out, " (%g %%)", 100 * c->level);
    if (c->n_sample == c->n_task)
        fprintf(out, " %ld of %ld |", c->passed, c->n_task);
    else
        fprintf(out, " %ld tasks, %ld samples |", c->n_task, c->n_sample);
}

static void write_table(const struct report *r, FILE *out)
{
    double level = report_level(r);
    fprintf(out, "| benchmark | metric |");
    for (int k = 0; k < r->n_run; k++)
        if (r->scored[k]) {
            putc(' ', out);
            md_text(out, r->run[k]);
            fputs(" |", out);
        }
    fprintf(out, "\n|---|---|");
    for (int k = 0; k < r->n_run; k++)
        if (r->scored[k])
            fprintf(out, "---|");
    for (int i = 0; i < r->n_row; i++) {
        fputs("\n| ", out);
        md_text(out, r->row[i].bench);
        fputs(" | ", out);
        md_text(out, r->row[i].metric);
        fputs(" |", out);
        for (int k = 0; k < r->n_run; k++)
            if (r->scored[k] && r->row[i].cell[k].n_task)
                write_cell(&r->row[i].cell[k], isnan(level), out);
            else if (r->scored[k])
                fprintf(out, " |");
    }
    fputs("\n\nIn brackets: ", out);
    if (isnan(level))
        fputs("intervals, each at the level behind it", out);
    else
        fprintf(out, "%g %% intervals", 100 * level);
    fputs(", Wilson's, clustered by task (passk(1)).\n", out);
}

static void write_scores(const struct report *r, const char *mark, FILE *out)
{
    char words[160];
    fprintf(out, "\n%s Scores\n\n", mark);
    if (r->n_row)
        write_table(r, out);
    for (int i = 0; i < r->n_left; i++) {
        fputs(i == 0 && r->n_row ? "\n- **" : "- **", out);
        md_text(out, r->left[i].bench);
        fputs("** ", out);
        md_text(out, r->run[r->left[i].run]);
        fprintf(out, ": %s.\n", report_left_words(&r->left[i], words));
    }
}

static void write_compare(const struct report *r, const char *mark, FILE *out)
{
    int n;
    struct report_difference *d = report_differences(r, &n);
    if (d)
        fprintf(out, "\n%s Differences\n\n", mark);
    for (int i = 0; d && i < n; i++) {
        fputs("- **", out);
        md_text(out, d[i].bench);
        fputs("** ", out);
        md_text(out, d[i].a);
        fputs(" → ", out);
        md_text(out, d[i].b);
        fputs(": ", out);
        if (d[i].paired_test)
            fprintf(out, "%ld → %ld of %ld, ", d[i].pass_a, d[i].pass_b, d[i].n_task);
        fprintf(out, "%+.1f points [%.1f, %.1f]", 100 * d[i].difference, 100 * d[i].ci[0],
                100 * d[i].ci[1]);
        if (d[i].level != 0.95)
            fprintf(out, " (%g %%)", 100 * d[i].level);
        fputs(", ", out);
        if (d[i].paired_test)
            fprintf(out, "McNemar p = %.2g (%ld and %ld discordant)", d[i].p, d[i].only_a,
                    d[i].only_b);
        else
            fprintf(out, "permutation p = %.2g", d[i].p);
        if (n > 1)
            fprintf(out, ", Holm %.2g", d[i].p_adjusted);
        if (d[i].p_adjusted < 0.05)
            fprintf(out, ": real\n");
        else if (isnan(d[i].detectable))
            fprintf(out, ": may be chance\n");
        else
            fprintf(out, ": may be chance (%.1f points would show)\n", 100 * d[i].detectable);
    }
    report_differences_free(d, n);
}

static double number_of(const cJSON *v, const char *key)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsNumber(n) ? n->valuedouble : NAN;
}

static void write_oracle(const struct report *r, const char *mark, FILE *out)
{
    const cJSON *v;
    struct err none = {0};
    fprintf(out,
            "\n%s Runs together\n\nWhat several attempts solve between them: no score of one "
            "model.\n\n",
            mark);
    cJSON_ArrayForEach(v, r->oracle)
    {
        double ci[2], level = json_get_num(v, "ci", 0.95, &none);
        fputs("- **", out);
        md_text(out, json_get_str(v, "bench", "", &none));
        fputs("** ", out);
        md_text(out, json_get_str(v, "metric", "", &none));
        fprintf(out, " over %.0f runs: %.0f of %.0f tasks, %.1f %%", number_of(v, "n_run"),
                number_of(v, "solved"), number_of(v, "n_task"), 100 * number_of(v, "value"));
        if (report_pair(v, "wilson", ci))
            fprintf(out, ", %g %% interval [%.1f, %.1f] (Wilson)", 100 * level, 100 * ci[0],
                    100 * ci[1]);
        fprintf(out, "; always solved %.0f, sometimes %.0f, never %.0f\n", number_of(v, "always"),
                number_of(v, "sometimes"), number_of(v, "never"));
    }
}

/* The loss in up to 60 columns, each a mean, from the lowest block (lowest loss) to the highest. */
static void sparkline(const struct report_point *v, long n, FILE *out)
{
    static const char *const block[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double mean[60], lo = INFINITY, hi = -INFINITY;
    long cols = n < 60 ? n : 60;
    for (long c = 0; c < cols; c++) {
        long from = c * n / cols, to = (c + 1) * n / cols;
        mean[c] = 0;
        for (long i = from; i < to; i++)
            mean[c] += v[i].value / (double)(to - from);
        if (isfinite(mean[c])) {
            lo = fmin(lo, mean[c]);
            hi = fmax(hi, mean[c]);
        }
    }
    for (long c = 0; c < cols; c++) {
        double at =
            hi > lo ? (mean[c] / 2 - lo / 2) / (hi / 2 - lo / 2) : 0; /* halves: no overflow */
        fputs(isfinite(mean[c]) ? block[(int)(at * 7.999)] : "!", out);
    }
}

static void write_training(const struct report_training *t, const char *mark, FILE *out)
{
    long first = 0, last = t->val.n - 1;
    while (first < last && isnan(t->val.v[first].value))
        first++;
    fprintf(out, "\n%s Training (", mark);
    md_text(out, t->name);
    fprintf(out, ")\n\n");
    if (t->loss.n) {
        fprintf(out, "Loss %.4f → %.4f in %ld steps: `", t->loss.v[0].value,
                t->loss.v[t->loss.n - 1].value, t->loss.n);
        sparkline(t->loss.v, t->loss.n, out);
        fprintf(out, "`\n");
    }
    if (last >= 0 && !isnan(t->val.v[last].value)) {
        double a = t->val.v[first].value, b = t->val.v[last].value;
        if (t->loss.n)
            fprintf(out, "\n");
        fprintf(out, "Validation loss %.4f → %.4f (perplexity %.3f → %.3f) after %g epoch%s.\n", a,
                b, exp(a), exp(b), t->epoch, t->epoch == 1 ? "" : "s");
    }
}

static const cJSON *verdicts_of(const struct report *r, int row, int run)
{
    return report_pass_at_1(r->row[row].metric) ? r->row[row].cell[run].verdicts : NULL;
}

/* How answers ended, a column a run and benchmark. */
static void write_verdicts(const struct report *r, FILE *out)
{
    cJSON *kinds = cJSON_CreateObject();
    const cJSON *v, *kind;
    int n_col = 0;
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++) {
            const cJSON *of = verdicts_of(r, i, k);
            n_col += of != NULL;
            cJSON_ArrayForEach(v, of) if (!cJSON_GetObjectItemCaseSensitive(kinds, v->string))
                cJSON_AddNullToObject(kinds, v->string);
        }
    if (n_col) {
        fprintf(out, "\n## Verdicts\n\n| verdict |");
        for (int i = 0; i < r->n_row; i++)
            for (int k = 0; k < r->n_run; k++)
                if (verdicts_of(r, i, k)) {
                    putc(' ', out);
                    md_text(out, r->row[i].bench);
                    putc(' ', out);
                    md_text(out, r->run[k]);
                    fputs(" |", out);
                }
        fprintf(out, "\n|---|");
        for (int i = 0; i < n_col; i++)
            fprintf(out, "--:|");
        cJSON_ArrayForEach(kind, kinds)
        {
            fputs("\n| ", out);
            md_text(out, kind->string);
            fputs(" |", out);
            for (int i = 0; i < r->n_row; i++)
                for (int k = 0; k < r->n_run; k++)
                    if (verdicts_of(r, i, k)) {
                        v = cJSON_GetObjectItemCaseSensitive(verdicts_of(r, i, k), kind->string);
                        fprintf(out, cJSON_IsNumber(v) ? " %.0f |" : " |",
                                cJSON_IsNumber(v) ? v->valuedouble : 0);
                    }
        }
        fprintf(out, "\n");
    }
    cJSON_Delete(kinds);
}

void report_markdown_results(const struct report *r, const char *mark, FILE *out)
{
    if (r->n_row || r->n_left)
        write_scores(r, mark, out);
    if (cJSON_GetArraySize(r->compare))
        write_compare(r, mark, out);
    if (cJSON_GetArraySize(r->oracle))
        write_oracle(r, mark, out);
    for (int i = 0; i < r->n_training; i++)
        write_training(&r->training[i], mark, out);
}

void report_markdown(const struct report *r, const char *title, FILE *out)
{
    fputs("# ", out);
    md_text(out, title);
    putc('\n', out);
    report_markdown_results(r, "##", out);
    write_verdicts(r, out);
}
