/* report_html - the report as one HTML page: scores, differences, runs together, failures */
#include "html.h"
#include "paths.h"
#include "plot.h"
#include "report_impl.h"
#include "report_page.h"
#include "yaml.h"
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMED = 12 }; /* tasks that are named one by one */

/* ---- scores ---- */

/* Tasks that the benchmark's reference solutions pass: as the score says, or configs/bench for as
 * many tasks; NAN if it is not known. */
static double ceiling_of(const char *bench, const struct report_cell *c)
{
    char path[PATH_MAX];
    struct yaml_doc d;
    struct err ignored = {0};
    const char *root = paths_root();
    double ceiling = NAN;
    size_t n = strspn(bench, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+");
    if (!isnan(c->ceiling) || !root || bench[n] || !n ||
        (size_t)snprintf(path, sizeof path, "%s/configs/bench/%s.yaml", root, bench) >=
            sizeof path ||
        yaml_load(&d, path, &ignored) < 0)
        return c->ceiling;
    long passed = yaml_int(&d, d.root, "ceiling", -1, &ignored),
         tasks = yaml_int(&d, d.root, "n_task", -1, &ignored);
    if (!ignored.code && passed >= 0 && tasks == c->n_task)
        ceiling = (double)passed;
    yaml_free(&d);
    return ceiling;
}

static void score_figure(FILE *f, const struct report *r, const struct report_row *row)
{
    struct plot_dot d[REPORT_RUNS];
    struct plot_axis x = {0, 100, NAN, " %", 0};
    char text[REPORT_RUNS][32];
    long n_task = -1;
    int n = 0, levels = 0;
    double level = 0;
    for (int k = 0; k < r->n_run; k++) {
        const struct report_cell *c = &row->cell[k];
        if (!c->n_task)
            continue;
        snprintf(text[n], sizeof text[n], "%.1f %%", 100 * c->value);
        d[n] = (struct plot_dot){r->run[k],      text[n],        100 * c->value,
                                 100 * c->ci[0], 100 * c->ci[1], k};
        levels |= n && c->level != level;
        level = c->level;
        n_task = n_task < 0 || n_task == c->n_task ? c->n_task : 0;
        x.mark = n_task ? 100 * ceiling_of(row->bench, c) / (double)n_task : NAN;
        n++;
    }
    html_put(f, "<figure class=\"panel\"><figcaption><b>%s</b> %s", row->bench, row->metric);
    if (n_task > 0)
        html_put(f, ", %ld tasks", n_task);
    if (levels)
        html_put(f, ", intervals at several levels");
    fputs("</figcaption>\n", f);
    plot_dots(f, "Scores in percent with their intervals; the table below has the numbers", &x, d,
              n);
    fputs("</figure>\n", f);
}

static void score_line(FILE *f, const struct report *r, const struct report_row *row, int k,
                       int with_level)
{
    const struct report_cell *c = &row->cell[k];
    double ceiling = ceiling_of(row->bench, c);
    html_put(f, "<tr><td>%s</td><td>%s</td><th scope=\"row\">", row->bench, row->metric);
    plot_swatch(f, k);
    html_put(f, " %s</th><td class=\"num\"><b>%.1f&#8239;%%</b></td><td class=\"num\">%.1f – %.1f",
             r->run[k], 100 * c->value, 100 * c->ci[0], 100 * c->ci[1]);
    if (with_level)
        html_put(f, " (%g&#8239;%%)", 100 * c->level);
    fputs("</td>", f);
    if (c->n_sample == c->n_task)
        html_put(f, "<td class=\"num\">%ld of %ld</td>", c->passed, c->n_task);
    else
        html_put(f, "<td class=\"num\">%ld of %ld samples, %ld tasks</td>", c->passed, c->n_sample,
                 c->n_task);
    if (isnan(ceiling))
        fputs("<td class=\"num muted\">not measured</td></tr>\n", f);
    else
        html_put(f, "<td class=\"num\">%.0f of %ld</td></tr>\n", ceiling, c->n_task);
}

static void score_table(FILE *f, const struct report *r)
{
    double level = report_level(r);
    fputs(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Scores as a "
        "table\"><table>\n<thead><tr><th scope=\"col\">benchmark</th><th scope=\"col\">metric</th>"
        "<th scope=\"col\">run</th><th scope=\"col\" class=\"num\">score</th><th scope=\"col\" "
        "class=\"num\">interval</th><th scope=\"col\" class=\"num\">passed</th><th scope=\"col\" "
        "class=\"num\">can be passed</th></tr></thead>\n<tbody>\n",
        f);
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++)
            if (r->row[i].cell[k].n_task)
                score_line(f, r, &r->row[i], k, isnan(level));
    fputs("</tbody></table></div>\n<p class=\"note\">Intervals ", f);
    if (isnan(level))
        fputs("at the level in parentheses", f);
    else
        html_put(f, "at %g&#8239;%%", 100 * level);
    fputs(": Wilson's, clustered by task. Can be passed (the dashed line): tasks that the "
          "benchmark's own reference solutions pass.</p>\n",
          f);
}

static void scores(FILE *f, const struct report *r)
{
    char words[160];
    fputs("<section id=\"scores\" aria-labelledby=\"h-scores\"><h2 id=\"h-scores\">Scores</h2>\n",
          f);
    if (r->n_row) {
        fputs("<div class=\"panels\">\n", f);
        for (int i = 0; i < r->n_row; i++)
            score_figure(f, r, &r->row[i]);
        fputs("</div>\n", f);
        score_table(f, r);
    }
    for (int i = 0; i < r->n_left; i++)
        html_put(f, "<p class=\"note\"><b>%s</b> %s: %s.</p>\n", r->left[i].bench,
                 r->run[r->left[i].run], report_left_words(&r->left[i], words));
    fputs("</section>\n", f);
}

/* ---- differences ---- */

static int run_index(const struct report *r, const char *name)
{
    for (int k = 0; k < r->n_run; k++)
        if (strcmp(r->run[k], name) == 0)
            return k;
    return -1;
}

static const char *text_of(const cJSON *v, const char *key)
{
    const cJSON *s = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsString(s) ? s->valuestring : "";
}

static double number_of(const cJSON *v, const char *key)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(v, key);
    return cJSON_IsNumber(n) ? n->valuedouble : NAN;
}

/* Points with their sign, and a minus as long as the plus */
static const char *points(char buf[24], double share)
{
    double v = 100 * share;
    int zero = fabs(v) < 0.05;
    snprintf(buf, 24, "%s%.1f", zero ? "" : v < 0 ? "−" : "+", zero ? 0.0 : fabs(v));
    return buf;
}

static void difference_words(FILE *f, const struct report_difference *d, int n)
{
    int real = d->p_adjusted < 0.05;
    char a[24], b[24], c[24];
    html_put(f, "<li><p><span class=\"tag %s\">%s</span> <b>%s</b>: ", real ? "yes" : "no",
             real ? "real" : "may be chance", d->bench);
    if (d->paired_test)
        html_put(f, "%s solves %ld of %ld tasks, %s %ld", d->b, d->pass_b, d->n_task, d->a,
                 d->pass_a);
    else
        html_put(f, "%s passes %.1f&#8239;%%, %s %.1f&#8239;%% on %ld tasks", d->b, 100 * d->rate_b,
                 d->a, 100 * d->rate_a, d->n_task);
    html_put(f, ": %s points, %g&#8239;%% interval %s to %s.</p>\n<p class=\"muted\">",
             points(a, d->difference), 100 * d->level, points(b, d->ci[0]), points(c, d->ci[1]));
    html_put(f, "%ld %s %s %s%s, %ld %s %s%s. ", d->only_b,
             d->only_b == 1 ? "task is" : "tasks are", d->paired_test ? "solved by" : "better with",
             d->b, d->paired_test ? " alone" : "", d->only_a, d->paired_test ? "by" : "with", d->a,
             d->paired_test ? " alone" : "");
    html_put(
        f, "If neither were better, so uneven a result would come up with probability %.2g (%s)",
        d->p, d->paired_test ? "exact McNemar test, two-sided" : "permutation test, two-sided");
    if (n > 1)
        html_put(f, "; for one of %d comparisons looked at together, %.2g (Holm)", n,
                 d->p_adjusted);
    fputs(".", f);
    if (!real && !isnan(d->detectable))
        html_put(f, " So many tasks would show a difference of %.1f points (80&#8239;%% power).",
                 100 * d->detectable);
    fputs("</p></li>\n", f);
}

static int differences(FILE *f, const struct report *r, struct err *e)
{
    int n;
    struct report_difference *d = report_differences(r, &n);
    struct plot_dot *dot = d ? calloc((size_t)n, sizeof *dot) : NULL;
    char(*text)[2][300] = d ? calloc((size_t)n, sizeof *text) : NULL;
    struct plot_axis x = {0, 0, 0, "", 1};
    if (!dot || !text) {
        report_differences_free(d, d ? n : 0);
        free(dot);
        free(text);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    for (int i = 0; i < n; i++) {
        snprintf(text[i][0], sizeof text[i][0], "%.60s: %.60s → %.60s", d[i].bench, d[i].a, d[i].b);
        points(text[i][1], d[i].difference);
        int run = run_index(r, d[i].b);
        dot[i] = (struct plot_dot){text[i][0],       text[i][1],       100 * d[i].difference,
                                   100 * d[i].ci[0], 100 * d[i].ci[1], run < 0 ? 7 : run};
        x.from = fmax(-100, fmin(x.from, dot[i].lo));
        x.to = fmin(100, fmax(x.to, dot[i].hi));
    }
    double step = plot_step(x.from, x.to, 5);
    x.from = floor(x.from / step) * step;
    x.to = ceil(x.to / step) * step;
    if (!(x.from < x.to))
        x.from = -1, x.to = 1;
    fputs(
        "<section id=\"differences\" aria-labelledby=\"h-differences\"><h2 "
        "id=\"h-differences\">Differences</h2>\n<figure class=\"panel\"><figcaption>Difference in "
        "points, with its interval</figcaption>\n",
        f);
    plot_dots(f, "Differences in points with their intervals; the list below says them in words",
              &x, dot, n);
    fputs("</figure>\n<ul class=\"words\">\n", f);
    for (int i = 0; i < n; i++)
        difference_words(f, &d[i], n);
    fputs("</ul>\n</section>\n", f);
    report_differences_free(d, n);
    free(dot);
    free(text);
    return 0;
}

static void oracle_runs(FILE *f, const struct report *r, const cJSON *v)
{
    const char *bench = text_of(v, "bench"), *of[REPORT_RUNS];
    const cJSON *run, *tasks, *t, *runs = cJSON_GetObjectItemCaseSensitive(v, "runs");
    int n_of = 0;
    cJSON_ArrayForEach(run, runs) if (n_of < REPORT_RUNS) of[n_of++] = text_of(run, "run");
    fputs("<ul class=\"words\">\n", f);
    cJSON_ArrayForEach(run, runs)
    {
        char *name = report_name_among(r, text_of(run, "run"), bench, of, n_of);
        int n = 0, index = run_index(r, name ? name : "");
        fputs("<li><p>", f);
        if (index >= 0)
            plot_swatch(f, index);
        html_put(f, " %s alone solved %.0f", name ? name : "", number_of(run, "unique"));
        tasks = cJSON_GetObjectItemCaseSensitive(run, "unique_tasks");
        cJSON_ArrayForEach(t, tasks) if (cJSON_IsString(t) && n++ < NAMED)
            html_put(f, "%s<span class=\"code\">%.60s</span>", n > 1 ? ", " : ": ", t->valuestring);
        html_put(f, n > NAMED ? " and %d more</p></li>\n" : "</p></li>\n", n - NAMED);
        free(name);
    }
    fputs("</ul>\n", f);
}

static void oracle(FILE *f, const struct report *r)
{
    const cJSON *v;
    double ci[2];
    fputs("<section id=\"oracle\" aria-labelledby=\"h-oracle\"><h2 id=\"h-oracle\">Runs "
          "together</h2>\n<p class=\"note\">What several attempts solve between them, pass@(number "
          "of attempts). It is no score of one model and never stands beside pass@1.</p>\n",
          f);
    cJSON_ArrayForEach(v, r->oracle)
    {
        html_put(
            f,
            "<h3>%s <span class=\"muted\">%s over %.0f runs</span></h3>\n<p>%.0f of %.0f tasks, "
            "<b>%.1f&#8239;%%</b>",
            text_of(v, "bench"), text_of(v, "metric"), number_of(v, "n_run"),
            number_of(v, "solved"), number_of(v, "n_task"), 100 * number_of(v, "value"));
        if (report_pair(v, "wilson", ci))
            html_put(f, ", interval %.1f – %.1f", 100 * ci[0], 100 * ci[1]);
        html_put(f, ": always solved %.0f, sometimes %.0f, never %.0f.</p>\n",
                 number_of(v, "always"), number_of(v, "sometimes"), number_of(v, "never"));
        oracle_runs(f, r, v);
    }
    fputs("</section>\n", f);
}

/* ---- failures ---- */

static int most_first(const void *x, const void *y)
{
    const cJSON *a = *(const cJSON *const *)x, *b = *(const cJSON *const *)y;
    return a->valuedouble != b->valuedouble ? (a->valuedouble < b->valuedouble ? 1 : -1)
                                            : strcmp(a->string, b->string);
}

/* Bars of one benchmark: each verdict but pass, the most frequent first. */
static void failure_figure(FILE *f, const struct report *r, const struct report_row *row)
{
    cJSON *total = cJSON_CreateObject(), *at;
    const cJSON *v, *kind[REPORT_KINDS];
    char words[REPORT_KINDS][64];
    const char *name[REPORT_KINDS];
    double count[REPORT_KINDS * REPORT_RUNS];
    int n = 0, runs = 0, series[REPORT_RUNS];
    for (int k = 0; k < r->n_run; k++) {
        if (row->cell[k].verdicts)
            series[runs++] = k;
        cJSON_ArrayForEach(v, row->cell[k].verdicts)
        {
            if (!cJSON_IsNumber(v) || strcmp(v->string, "pass") == 0)
                continue;
            if ((at = cJSON_GetObjectItemCaseSensitive(total, v->string)))
                cJSON_SetNumberValue(at, at->valuedouble + v->valuedouble);
            else if (cJSON_GetArraySize(total) < REPORT_KINDS)
                cJSON_AddNumberToObject(total, v->string, v->valuedouble);
        }
    }
    cJSON_ArrayForEach(v, total) kind[n++] = v;
    qsort(kind, (size_t)n, sizeof *kind, most_first);
    for (int i = 0; i < n; i++) {
        report_verdict_words(kind[i]->string, words[i], sizeof words[i]);
        name[i] = words[i];
        for (int k = 0; k < runs; k++) {
            v = cJSON_GetObjectItemCaseSensitive(row->cell[series[k]].verdicts, kind[i]->string);
            count[i * runs + k] = cJSON_IsNumber(v) ? v->valuedouble : 0;
        }
    }
    if (runs) {
        html_put(f,
                 "<figure class=\"panel\"><figcaption><b>%s</b> answers that failed, by verdict"
                 "</figcaption>\n",
                 row->bench);
        if (n)
            plot_bars(f, "Failures by verdict; the numbers stand at the bars", name, count, n,
                      series, runs);
        else
            fputs("<p>none</p>", f);
        fputs("<ul class=\"legend\">", f);
        for (int k = 0; k < runs; k++) {
            fputs("<li>", f);
            plot_swatch(f, series[k]);
            html_put(f, " %s</li>", r->run[series[k]]);
        }
        fputs("</ul></figure>\n", f);
    }
    cJSON_Delete(total);
}

static int has_verdicts(const struct report *r)
{
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->n_run; k++)
            if (report_pass_at_1(r->row[i].metric) && r->row[i].cell[k].verdicts)
                return 1;
    return 0;
}

static void failures(FILE *f, const struct report *r)
{
    fputs("<section id=\"failures\" aria-labelledby=\"h-failures\"><h2 "
          "id=\"h-failures\">Failures</h2>\n<div class=\"panels\">\n",
          f);
    for (int i = 0; i < r->n_row; i++)
        if (report_pass_at_1(r->row[i].metric))
            failure_figure(f, r, &r->row[i]);
    fputs("</div>\n</section>\n", f);
}

/* ---- the page ---- */

static void contents(FILE *f, const struct report *r, int grid)
{
    static const char *const item = "<li><a href=\"#%s\">%s</a></li>\n";
    fputs("<nav aria-label=\"Contents\"><ul>\n", f);
    if (r->n_row || r->n_left)
        html_put(f, item, "scores", "Scores");
    if (cJSON_GetArraySize(r->compare))
        html_put(f, item, "differences", "Differences");
    if (cJSON_GetArraySize(r->oracle))
        html_put(f, item, "oracle", "Runs together");
    if (grid)
        html_put(f, item, "tasks", "Tasks");
    if (has_verdicts(r))
        html_put(f, item, "failures", "Failures");
    if (r->n_training)
        html_put(f, item, "training", "Training");
    if (grid)
        html_put(f, item, "costs", "Tokens and time");
    html_put(f, item, "receipts", "Receipts");
    fputs("</ul></nav>\n", f);
}

static void heading(FILE *f, const struct report *r, const char *title)
{
    int runs = 0;
    long tasks = 0;
    for (int k = 0; k < r->n_run; k++)
        runs += r->scored[k] || r->tried[k];
    for (int b = 0; b < r->n_bench; b++)
        for (int i = 0; i < r->bench[b].n; i++)
            tasks += report_task_tried(r, &r->bench[b].task[i]);
    html_put(f, "<header class=\"top\"><div><h1>%s</h1>\n<p class=\"muted\">", title);
    if (runs)
        html_put(f, "%d run%s, ", runs, runs == 1 ? "" : "s");
    if (tasks)
        html_put(f, "%ld task%s, ", tasks, tasks == 1 ? "" : "s");
    html_put(f,
             "%d file%s</p></div>\n<button type=\"button\" id=\"theme\" hidden>Theme</button>"
             "</header>\n",
             r->n_file, r->n_file == 1 ? "" : "s");
}

static void tasks(FILE *f, const struct report *r, long cut, size_t limit)
{
    fputs("<section id=\"tasks\" aria-labelledby=\"h-tasks\"><h2 id=\"h-tasks\">Tasks</h2>\n", f);
    report_grid(f, r);
    if (cut)
        html_put(
            f,
            "<p class=\"note\">%ld text%s longer than %ld bytes %s cut, so that the page stays "
            "small; each says how much is left out.</p>\n",
            cut, cut == 1 ? "" : "s", (long)limit, cut == 1 ? "is" : "are");
    fputs("</section>\n", f);
}

int report_html(const struct report *r, const char *title, FILE *out, struct err *e)
{
    char *css = NULL, *js = NULL;
    long cut = 0;
    int grid = 0, rc;
    size_t limit = report_text_limit(r, &cut);
    for (int k = 0; k < r->n_run; k++)
        grid |= r->tried[k];
    if ((rc = html_asset("report.css", &css, e)) < 0 || (rc = html_asset("report.js", &js, e)) < 0)
        goto done;
    html_begin(out, title, css, js);
    fputs("<a class=\"skip\" href=\"#main\">Skip to the scores</a>\n", out);
    heading(out, r, title);
    contents(out, r, grid);
    fputs("<main id=\"main\">\n", out);
    if (r->n_row || r->n_left)
        scores(out, r);
    if (cJSON_GetArraySize(r->compare) && (rc = differences(out, r, e)) < 0)
        goto done;
    if (cJSON_GetArraySize(r->oracle))
        oracle(out, r);
    if (grid)
        tasks(out, r, cut, limit);
    if (has_verdicts(r))
        failures(out, r);
    if (r->n_training)
        rc = report_training_part(out, r, e);
    if (rc == 0 && grid)
        rc = report_costs(out, r, e);
    if (rc == 0)
        rc = report_receipts(out, r, e);
    fputs("</main>\n", out);
    if (rc == 0 && grid)
        rc = report_grid_data(out, r, limit, e);
    html_end(out, js);
done:
    free(css);
    free(js);
    return rc;
}
