/* board_write - the leaderboard as Markdown, JSON lines and an HTML page */
#include "board.h"
#include "html.h"
#include "json.h"
#include "md.h"
#include "plot.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 24 }; /* lines of a figure */

static const char near_note[] =
    "its interval reaches into that of the highest score: the two are not told apart by intervals "
    "alone; ask apr-compare, which pairs the tasks";
static const char rank_note[] = "Ranked are scores of one benchmark, one metric, as many tasks and "
                                "samples and intervals of one "
                                "level (Wilson's, clustered by task); no other two.";

static const char *place(const struct board_entry *v, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s %s", v->recipe, v->model[0] ? "@" : "", v->model, v->run);
    return buf;
}

static const char *day(const struct board_entry *v)
{
    return v->date[0] ? v->date : "not known";
}

/* "2026-11-25T15:26:50Z" to the minute, as people write it */
static const char *minute(const struct board_entry *v, char buf[32])
{
    size_t n = strlen(v->date);
    if (n != 20 || v->date[10] != 'T')
        return day(v);
    snprintf(buf, 32, "%.10s %.5s", v->date, v->date + 11);
    return buf;
}

/* ---- Markdown ---- */

static void md_score(FILE *out, const struct board_entry *v)
{
    fprintf(out, "%.1f %% [%.1f, %.1f]", 100 * v->value, 100 * v->ci[0], 100 * v->ci[1]);
}

static void md_history(const struct board *b, FILE *out)
{
    int n = 0;
    for (int i = 0; i < b->n_past; i++) {
        char name[512];
        if (!board_series(b, i))
            continue;
        if (n++ == 0)
            fputs("\n## History\n\n", out);
        fputs("- ", out);
        md_text(out, place(&b->past[i], name, sizeof name));
        fputs(", ", out);
        md_text(out, b->past[i].bench);
        putc(' ', out);
        md_text(out, b->past[i].metric);
        fprintf(out, ", %ld tasks, %g %% intervals\n", b->past[i].n_task, 100 * b->past[i].level);
        for (int k = i; k >= 0; k = board_next(b, k)) {
            fputs("    - ", out);
            md_text(out, day(&b->past[k]));
            fputs(": ", out);
            md_score(out, &b->past[k]);
            fprintf(out, ", weights %.12s\n",
                    b->past[k].weights_sha256[0] ? b->past[k].weights_sha256 : "not known");
        }
    }
}

void board_markdown(const struct board *b, const char *title, FILE *out)
{
    char name[512];
    int near = 0;
    fputs("# ", out);
    md_text(out, title);
    putc('\n', out);
    for (int i = 0; i < b->n; i++) {
        const struct board_entry *v = &b->v[i];
        if (i == 0 || v->group != v[-1].group) {
            fputs("\n## ", out);
            md_text(out, v->bench);
            putc(' ', out);
            md_text(out, v->metric);
            fprintf(out, ", %ld tasks", v->n_task);
            if (v->n_sample != v->n_task)
                fprintf(out, ", %ld samples", v->n_sample);
            fprintf(out, ", %g %% intervals", 100 * v->level);
            fputs("\n\n| rank | run | score | passed | date | version | host | weights |\n"
                  "|--:|---|---|--:|---|---|---|---|\n",
                  out);
        }
        near |= v->near;
        fprintf(out, "| %d%s | ", v->rank, v->near ? " ≈" : "");
        md_text(out, place(v, name, sizeof name));
        fputs(" | ", out);
        md_score(out, v);
        fprintf(out, " | %ld of %ld | ", v->passed, v->n_sample);
        md_text(out, day(v));
        fputs(" | ", out);
        md_text(out, v->version);
        fputs(" | ", out);
        md_text(out, v->host);
        fprintf(out, " | %.12s |\n", v->weights_sha256);
    }
    if (!b->n)
        fputs("\nNo scores.\n", out);
    else
        fprintf(out, "\n%s\n", rank_note);
    if (near)
        fprintf(out, "≈: %s.\n", near_note);
    md_history(b, out);
}

/* ---- JSON ---- */

int board_json(const struct board *b, FILE *out, struct err *e)
{
    struct json_out buf = {0}, *j = &buf;
    int rc = 0;
    for (int i = 0; i < b->n && rc == 0; i++) {
        const struct board_entry *v = &b->v[i];
        json_begin(j, '{');
        json_kv_str(j, "schema", "leaderboard/1");
        json_kv_str(j, "bench", v->bench);
        json_kv_str(j, "metric", v->metric);
        json_kv_int(j, "n_task", v->n_task);
        json_kv_int(j, "n_sample", v->n_sample);
        json_kv_int(j, "rank", v->rank);
        json_kv_bool(j, "near", v->near);
        json_kv_str(j, "recipe", v->recipe);
        json_kv_str(j, "model", v->model);
        json_kv_str(j, "run", v->run);
        json_kv_num(j, "value", v->value);
        json_kv_num(j, "ci", v->level);
        json_key(j, "interval");
        json_begin(j, '[');
        json_num(j, v->ci[0]);
        json_num(j, v->ci[1]);
        json_end(j, ']');
        json_kv_int(j, "passed", v->passed);
        json_kv_str(j, "date", v->date);
        json_kv_str(j, "version", v->version);
        json_kv_str(j, "host", v->host);
        json_kv_str(j, "score_sha256", v->score_sha256);
        json_kv_str(j, "weights_sha256", v->weights_sha256);
        json_end(j, '}');
        rc = json_line(j, out, e);
    }
    free(j->buf);
    return rc;
}

/* ---- HTML ---- */

/* Dots of n entries at v[0], v[step[0]]...: of the first SHOWN. */
static void figure(FILE *f, const struct board_entry *const *v, int n, int dates, const char *what)
{
    struct plot_dot d[SHOWN];
    struct plot_axis x = {0, 100, NAN, " %", 0};
    char label[SHOWN][512], text[SHOWN + 1][32];
    n = n < SHOWN ? n : SHOWN;
    for (int i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], "%s%.1f %%", v[i]->near && !dates ? "≈ " : "",
                 100 * v[i]->value);
        if (dates)
            snprintf(label[i], sizeof label[i], "%s", minute(v[i], text[SHOWN]));
        else
            snprintf(label[i], sizeof label[i], "%s · %s%s%s", v[i]->run, v[i]->recipe,
                     v[i]->model[0] ? "@" : "", v[i]->model);
        d[i] = (struct plot_dot){
            label[i],          text[i],           100 * v[i]->value,
            100 * v[i]->ci[0], 100 * v[i]->ci[1], !dates && v[i]->rank > 1 && !v[i]->near ? 7 : 0};
    }
    fputs("<figure class=\"panel\">", f);
    plot_dots(f, what, &x, d, n);
    fputs("</figure>\n", f);
}

static void row(FILE *f, const struct board_entry *v)
{
    char buf[32];
    html_put(f,
             v->near ? "<tr><td class=\"num\" data-v=\"%d\">≈ %d</td>"
                     : "<tr><td class=\"num\" data-v=\"%d\">%d</td>",
             v->rank, v->rank);
    html_put(f, "<th scope=\"row\">%s</th><td>%s</td><td>%s</td>", v->run, v->recipe, v->model);
    html_put(f,
             "<td class=\"num\" data-v=\"%.17g\"><b>%.1f&#8239;%%</b></td><td class=\"num\" "
             "data-v=\"%.17g\">%.1f – %.1f</td>",
             v->value, 100 * v->value, v->ci[0], 100 * v->ci[0], 100 * v->ci[1]);
    html_put(f,
             "<td class=\"num\" data-v=\"%ld\">%ld of %ld</td><td "
             "data-v=\"%s\">%s</td><td>%s</td><td>%s</td>"
             "<td class=\"code\">%.12s</td></tr>\n",
             v->passed, v->passed, v->n_sample, day(v), minute(v, buf), v->version, v->host,
             v->weights_sha256);
}

static int group(FILE *f, const struct board *b, int from, int to, struct err *e)
{
    static const char *const head[] = {"rank",   "run",  "recipe",  "model", "score",  "interval",
                                       "passed", "date", "version", "host",  "weights"};
    const struct board_entry *v = &b->v[from], **list = malloc((size_t)(to - from) * sizeof *list);
    if (!list)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = from; i < to; i++)
        list[i - from] = &b->v[i];
    html_put(
        f,
        "<section id=\"g%d\" aria-labelledby=\"h%d\"><h2 id=\"h%d\">%s <span class=\"muted\">%s, "
        "%ld tasks",
        v->group, v->group, v->group, v->bench, v->metric, v->n_task);
    if (v->n_sample != v->n_task)
        html_put(f, ", %ld samples", v->n_sample);
    html_put(f, ", %g&#8239;%% intervals</span></h2>\n", 100 * v->level);
    if (to - from > 1)
        figure(f, list, to - from, 0,
               "Scores with their intervals; the table below has the numbers");
    html_put(
        f,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s as a table\"><table "
        "class=\"sortable\">\n<thead><tr>",
        v->bench);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        html_put(f,
                 i == 0 || (i > 3 && i < 7) ? "<th scope=\"col\" class=\"num\">%s</th>"
                                            : "<th scope=\"col\">%s</th>",
                 head[i]);
    fputs("</tr></thead>\n<tbody>\n", f);
    for (int i = from; i < to; i++)
        row(f, &b->v[i]);
    fputs("</tbody></table></div>\n</section>\n", f);
    free(list);
    return 0;
}

static int history(FILE *f, const struct board *b, struct err *e)
{
    const struct board_entry **list = malloc(((size_t)b->n_past + 1) * sizeof *list);
    char name[512];
    int shown = 0;
    if (!list)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < b->n_past; i++) {
        int n = 0;
        if (!board_series(b, i))
            continue;
        if (shown++ == 0)
            fputs("<section id=\"history\" aria-labelledby=\"h-history\"><h2 "
                  "id=\"h-history\">History</h2>\n<div class=\"panels\">\n",
                  f);
        for (int k = i; k >= 0; k = board_next(b, k))
            list[n++] = &b->past[k];
        html_put(f,
                 "<div><h3>%s <span class=\"muted\">%s %s, %ld tasks, %g&#8239;%% "
                 "intervals</span></h3>\n",
                 place(list[0], name, sizeof name), list[0]->bench, list[0]->metric,
                 list[0]->n_task, 100 * list[0]->level);
        int from = n > SHOWN ? n - SHOWN : 0;
        if (from)
            html_put(f, "<p class=\"note\">The last %d of %d results.</p>", SHOWN, n);
        figure(f, list + from, n - from, 1, "Results over time, from the top");
        fputs("</div>\n", f);
    }
    if (shown)
        fputs("</div></section>\n", f);
    free(list);
    return 0;
}

static void contents(FILE *f, const struct board *b)
{
    int series = 0;
    fputs("<nav aria-label=\"Contents\"><ul>\n", f);
    for (int i = 0; i < b->n; i++)
        if (i == 0 || b->v[i].group != b->v[i - 1].group)
            html_put(f, "<li><a href=\"#g%d\">%s %s, %ld tasks, %g&#8239;%% intervals</a></li>\n",
                     b->v[i].group, b->v[i].bench, b->v[i].metric, b->v[i].n_task,
                     100 * b->v[i].level);
    for (int i = 0; i < b->n_past && !series; i++)
        series = board_series(b, i);
    if (series)
        fputs("<li><a href=\"#history\">History</a></li>\n", f);
    fputs("</ul></nav>\n", f);
}

int board_html(const struct board *b, const char *title, FILE *out, struct err *e)
{
    char *css = NULL, *js = NULL;
    int rc, near = 0;
    if ((rc = html_asset("report.css", &css, e)) < 0 || (rc = html_asset("report.js", &js, e)) < 0)
        goto done;
    html_begin(out, title, css, js);
    html_put(out,
             "<a class=\"skip\" href=\"#main\">Skip to the scores</a>\n<header class=\"top\"><div>"
             "<h1>%s</h1>\n<p class=\"muted\">%d score%s</p></div>\n<button type=\"button\" "
             "id=\"theme\" hidden>Theme</button></header>\n",
             title, b->n, b->n == 1 ? "" : "s");
    contents(out, b);
    html_put(out, "<main id=\"main\">\n<p class=\"note\">%s</p>\n",
             b->n ? rank_note : "No scores.");
    for (int i = 0; i < b->n; i++)
        near |= b->v[i].near;
    if (near)
        html_put(out, "<p class=\"note\">≈: %s.</p>\n", near_note);
    for (int i = 0, from = 0; i < b->n && rc == 0; i++)
        if (i + 1 == b->n || b->v[i + 1].group != b->v[i].group) {
            rc = group(out, b, from, i + 1, e);
            from = i + 1;
        }
    if (rc == 0)
        rc = history(out, b, e);
    fputs("</main>\n", out);
    html_end(out, js);
done:
    free(css);
    free(js);
    return rc;
}
