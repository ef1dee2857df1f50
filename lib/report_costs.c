/* report_costs - the page's table of tokens and time, generating and judging */
#include "html.h"
#include "plot.h"
#include "report_page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS, PROMPT, TOK_S, INFERENCE, CPU, WALL, RSS, COSTS };

static double cost(const struct report_try *t, int which)
{
    const double v[COSTS] = {t->tokens, t->prompt_tokens, t->tok_s, t->inference_ms,
                             t->cpu_ms, t->wall_ms,       t->rss_kb};
    return v[which];
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Values of one kind of cost of a benchmark in a run, sorted; their number. */
static long gather(const struct report_bench *b, int run, int which, double *v)
{
    long n = 0;
    for (int i = 0; i < b->n; i++)
        for (int k = 0; k < b->task[i].run[run].n; k++) {
            double c = cost(&b->task[i].run[run].v[k], which);
            if (isfinite(c))
                v[n++] = c;
        }
    qsort(v, (size_t)n, sizeof *v, ascending);
    return n;
}

static void put_cost(FILE *f, double v, const char *unit)
{
    fputs("<td class=\"num\">", f);
    if (isnan(v))
        fputs("<span class=\"muted\">–</span>", f);
    else
        html_put(f, fabs(v) >= 1000 || v == floor(v) ? "%.0f%s" : "%.3g%s", v, unit);
    fputs("</td>", f);
}

static void cost_line(FILE *f, const struct report *r, const struct report_bench *b, int run,
                      double *v)
{
    double median[COSTS], sum[COSTS], most[COSTS];
    long answers = 0, cut = 0;
    for (int i = 0; i < b->n; i++)
        for (int k = 0; k < b->task[i].run[run].n; k++) {
            answers++;
            cut += strcmp(b->task[i].run[run].v[k].finish, "length") == 0;
        }
    for (int w = 0; w < COSTS; w++) {
        long n = gather(b, run, w, v);
        median[w] = n ? (v[(n - 1) / 2] + v[n / 2]) / 2 : NAN;
        most[w] = n ? v[n - 1] : NAN;
        sum[w] = n ? 0 : NAN;
        for (long i = 0; i < n; i++)
            sum[w] += v[i];
    }
    html_put(f, "<tr><td>%s</td><th scope=\"row\">", b->name);
    plot_swatch(f, run);
    html_put(f, " %s</th><td class=\"num\">%ld</td>", r->run[run], answers);
    put_cost(f, sum[PROMPT], "");
    put_cost(f, sum[TOKENS], "");
    put_cost(f, median[TOKENS], "");
    put_cost(f, most[TOKENS], "");
    put_cost(f, isnan(sum[TOKENS]) ? NAN : (double)cut, "");
    put_cost(f, median[TOK_S], "");
    put_cost(f, median[INFERENCE], "");
    put_cost(f, median[CPU], "");
    put_cost(f, median[WALL], "");
    put_cost(f, most[RSS] / 1024, "");
    fputs("</tr>\n", f);
}

int report_costs(FILE *f, const struct report *r, struct err *e)
{
    long most = 1;
    for (int b = 0; b < r->n_bench; b++) {
        long n = 0;
        for (int i = 0; i < r->bench[b].n; i++)
            for (int k = 0; k < r->n_run; k++)
                n += r->bench[b].task[i].run[k].n;
        most = n > most ? n : most;
    }
    double *v = malloc((size_t)most * sizeof *v);
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    fputs("<section id=\"costs\" aria-labelledby=\"h-costs\"><h2 id=\"h-costs\">Tokens and "
          "time</h2>\n"
          "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Tokens and time as a "
          "table\"><table>\n<thead><tr><th rowspan=\"2\" scope=\"col\">benchmark</th><th "
          "rowspan=\"2\" scope=\"col\">run</th><th rowspan=\"2\" scope=\"col\" "
          "class=\"num\">answers</th><th colspan=\"5\" scope=\"colgroup\">tokens</th><th "
          "colspan=\"2\" scope=\"colgroup\">generation</th><th colspan=\"3\" "
          "scope=\"colgroup\">judging</th></tr>\n<tr>",
          f);
    static const char *const head[] = {"of prompts", "generated",        "median per answer",
                                       "most",       "cut at the limit", "tokens/s, median",
                                       "ms, median", "CPU ms, median",   "wall ms, median",
                                       "MiB, most"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        html_put(f, "<th scope=\"col\" class=\"num\">%s</th>", head[i]);
    fputs("</tr></thead>\n<tbody>\n", f);
    for (int b = 0; b < r->n_bench; b++)
        for (int k = 0; k < r->n_run; k++) {
            int any = 0;
            for (int i = 0; i < r->bench[b].n && !any; i++)
                any = r->bench[b].task[i].run[k].n > 0;
            if (any)
                cost_line(f, r, &r->bench[b], k, v);
        }
    fputs("</tbody></table></div>\n<p class=\"note\">A dash: not recorded. Tokens are in the files "
          "of samples; times are there if apr-gen and apr-sandbox ran with "
          "--timings.</p>\n</section>\n",
          f);
    free(v);
    return 0;
}
