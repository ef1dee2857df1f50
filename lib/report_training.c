/* report_training - the page's training curves: loss and validation, learning rate, gradient norm */
#include "html.h"
#include "plot.h"
#include "report_page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CURVE = 4096 }; /* points of a smoothed curve */

static void split(const struct report_curve *c, double *x, double *y)
{
    for (long i = 0; i < c->n; i++) {
        x[i] = c->v[i].step;
        y[i] = c->v[i].value;
    }
}

/* Means of windows that slide by a step and are a twentieth of the whole wide. */
static long smooth(const struct report_curve *c, double *x, double *y)
{
    long half = c->n / 40, n = c->n < CURVE ? c->n : CURVE;
    for (long i = 0; i < n; i++) {
        long mid = i * c->n / n, from = mid - half < 0 ? 0 : mid - half,
             to = mid + half >= c->n ? c->n - 1 : mid + half, seen = 0;
        double sum = 0;
        for (long k = from; k <= to; k += 1 + (to - from) / 4096)
            if (isfinite(c->v[k].value)) {
                sum += c->v[k].value;
                seen++;
            }
        x[i] = c->v[mid].step;
        y[i] = seen ? sum / (double)seen : NAN;
    }
    return n;
}

static void small_curve(FILE *f, const struct report_curve *c, const char *what, int log, double *x,
                        double *y)
{
    struct plot_line l = {what, PLOT_LINE, 7, x, y, c->n};
    struct plot_frame p = {.x_label = "step", .y_label = what, .height = 110, .log = log};
    split(c, x, y);
    if (!plot_fit(&p, &l, 1))
        return;
    fputs("<figure class=\"panel\">", f);
    plot_lines(f, what, &p, &l, 1);
    fputs("</figure>\n", f);
}

static void training_words(FILE *f, const struct report_training *t)
{
    long odd = 0, first = 0, last = t->val.n - 1;
    for (long i = 0; i < t->loss.n; i++)
        odd += !isfinite(t->loss.v[i].value);
    while (first < last && isnan(t->val.v[first].value))
        first++;
    fputs("<p>", f);
    if (t->loss.n)
        html_put(f, "Loss %.4f → %.4f in %ld steps. ", t->loss.v[0].value,
                 t->loss.v[t->loss.n - 1].value, t->loss.n);
    if (last >= 0 && !isnan(t->val.v[last].value))
        html_put(f, "Validation loss %.4f → %.4f (perplexity %.3f → %.3f) after %g epoch%s. ",
                 t->val.v[first].value, t->val.v[last].value, exp(t->val.v[first].value),
                 exp(t->val.v[last].value), t->epoch, t->epoch == 1 ? "" : "s");
    if (odd)
        html_put(f, "<b>%ld of %ld steps have a loss that is no number.</b>", odd, t->loss.n);
    fputs("</p>\n", f);
}

static int one(FILE *f, const struct report_training *t, struct err *e)
{
    size_t n = (size_t)(t->loss.n + t->val.n + CURVE + 1) + (size_t)(t->lr.n + t->grad_norm.n);
    double *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    struct plot_line l[3];
    struct plot_frame p = {.x_label = "step", .y_label = "loss per token, nats", .height = 240};
    int k = 0;
    if (!x || !y) {
        free(x);
        free(y);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    html_put(f, "<h3>%s</h3>\n", t->name);
    training_words(f, t);
    size_t at = 0;
    if (t->loss.n) {
        split(&t->loss, x, y);
        l[k++] = (struct plot_line){"training, each step", PLOT_FAINT, 0, x, y, t->loss.n};
        at = (size_t)t->loss.n;
        long m = smooth(&t->loss, x + at, y + at);
        l[k++] = (struct plot_line){"training, running mean", PLOT_LINE, 0, x + at, y + at, m};
        at += (size_t)m;
    }
    if (t->val.n) {
        split(&t->val, x + at, y + at);
        l[k++] = (struct plot_line){"validation", PLOT_DOTS, 1, x + at, y + at, t->val.n};
    }
    if (plot_fit(&p, l, k)) {
        fputs("<figure class=\"panel\">", f);
        plot_lines(f, "Loss by step; the sentence above has the first and last values", &p, l, k);
        fputs("</figure>\n", f);
    }
    fputs("<div class=\"panels\">\n", f);
    small_curve(f, &t->lr, "learning rate", -1, x, y);
    small_curve(f, &t->grad_norm, "gradient norm", 0, x, y);
    fputs("</div>\n", f);
    free(x);
    free(y);
    return 0;
}

int report_training_part(FILE *f, const struct report *r, struct err *e)
{
    int rc = 0;
    fputs("<section id=\"training\" aria-labelledby=\"h-training\"><h2 "
          "id=\"h-training\">Training</h2>\n",
          f);
    for (int i = 0; i < r->n_training && rc == 0; i++)
        rc = one(f, &r->training[i], e);
    fputs("</section>\n", f);
    return rc;
}
