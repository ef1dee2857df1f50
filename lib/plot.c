/* plot - dots with whiskers, bars and curves as inline SVG */
#include "plot.h"
#include "html.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* colours of the style sheet; points of a curve and numbers of an axis at most */
enum { SERIES = 8, POINTS = 600, TICKS = 12 };

static int usable(double v) /* beyond this an axis has no numbers that help */
{
    return fabs(v) < 1e30;
}

double plot_step(double from, double to, int n)
{
    double raw = (to - from) / n, unit;
    if (!(raw > 0) || !isfinite(raw))
        return 1;
    unit = pow(10, floor(log10(raw)));
    raw /= unit;
    return unit * (raw <= 1.0001 ? 1 : raw <= 2.0001 ? 2 : raw <= 5.0001 ? 5 : 10);
}

static double percent(double v, double from, double to)
{
    double at = 100 * (v - from) / (to - from);
    return at < 0 ? 0 : at > 100 ? 100 : at;
}

/* ---- marks ---- */

static void mark(FILE *f, const char *x, double y, int series)
{
    static const char *const path[] = {"M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0-11 0z",
                                       "M-5-5H5V5H-5z", "M0-6.5L6 5H-6z",
                                       "M0-6.5L6.5 0L0 6.5L-6.5 0z"};
    fprintf(f,
            "<svg x=\"%s\" y=\"%g\" overflow=\"visible\"><path class=\"mark s%d\" d=\"%s\"/></svg>",
            x, y, series % SERIES, path[series % 4]);
}

void plot_swatch(FILE *f, int series)
{
    fputs("<svg class=\"swatch\" width=\"14\" height=\"14\" aria-hidden=\"true\">", f);
    mark(f, "7", 7, series);
    fputs("</svg>", f);
}

static void begin(FILE *f, const char *what, const char *class, int height)
{
    html_put(
        f, "<svg class=\"plot %s\" width=\"100%%\" height=\"%d\" role=\"img\" aria-label=\"%s\">\n",
        class, height, what);
}

/* Numbers under a horizontal axis; the outer ones stay inside. */
static void x_axis(FILE *f, const struct plot_axis *x, double top, double bottom)
{
    double step = plot_step(x->from, x->to, 5);
    double first = ceil(x->from / step - 1e-9) * step;
    for (int i = 0; i < TICKS && first + i * step <= x->to + step * 1e-9; i++) {
        double t = first + i * step, at = percent(t, x->from, x->to);
        fprintf(f, "<line class=\"grid\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%g\" y2=\"%g\"/>", at, at,
                top, bottom);
        int zero = fabs(t) < step / 2;
        html_put(f, "<text class=\"tick %s\" x=\"%.2f%%\" y=\"%g\">%s%g%s</text>\n",
                 at < 4    ? "at-start"
                 : at > 96 ? "at-end"
                           : "at-middle",
                 at, bottom + 16,
                 zero      ? ""
                 : t < 0   ? "−"
                 : x->sign ? "+"
                           : "",
                 zero ? 0.0 : fabs(t), x->unit);
    }
}

void plot_dots(FILE *f, const char *what, const struct plot_axis *x, const struct plot_dot *d,
               int n)
{
    enum { ROW = 44 };
    double bottom = n * ROW + 2;
    begin(f, what, "dots", n * ROW + 26);
    x_axis(f, x, 0, bottom);
    if (!isnan(x->mark)) {
        double at = percent(x->mark, x->from, x->to);
        fprintf(f, "<line class=\"limit\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%g\"/>\n", at,
                at, bottom);
    }
    for (int i = 0; i < n; i++) {
        char at[24];
        double y = i * ROW + 28;
        size_t cut = html_cut(d[i].label, strlen(d[i].label), 30);
        html_put(f, "<g><title>%s: %s</title><text class=\"name\" x=\"0\" y=\"%g\">%.*s%s</text>",
                 d[i].label, d[i].text, y - 13, (int)cut, d[i].label, d[i].label[cut] ? "…" : "");
        html_put(f, "<text class=\"value at-end\" x=\"100%%\" dx=\"-8\" y=\"%g\">%s</text>", y - 13,
                 d[i].text);
        fprintf(f, "<line class=\"whisker s%d\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%g\" y2=\"%g\"/>",
                d[i].series % SERIES, percent(d[i].lo, x->from, x->to),
                percent(d[i].hi, x->from, x->to), y, y);
        snprintf(at, sizeof at, "%.2f%%", percent(d[i].value, x->from, x->to));
        mark(f, at, y, d[i].series);
        fputs("</g>\n", f);
    }
    fputs("</svg>\n", f);
}

void plot_bars(FILE *f, const char *what, const char *const *kind, const double *v, int n,
               const int *series, int n_series)
{
    int group = 20 + 15 * n_series + 6;
    double most = 1;
    for (int i = 0; i < n * n_series; i++)
        if (usable(v[i]))
            most = fmax(most, v[i]);
    begin(f, what, "bars", n * group);
    for (int i = 0; i < n; i++) {
        html_put(f, "<text class=\"name\" x=\"0\" y=\"%d\">%s</text>\n", i * group + 14, kind[i]);
        for (int k = 0; k < n_series; k++) {
            double count = usable(v[i * n_series + k]) ? v[i * n_series + k] : 0,
                   at = 88 * fmax(count, 0) / most;
            int y = i * group + 20 + 15 * k;
            fprintf(f, "<rect class=\"bar s%d\" x=\"0\" y=\"%d\" width=\"%.2f%%\" height=\"12\"/>",
                    series[k] % SERIES, y, count > 0 ? fmax(at, 0.4) : 0);
            fprintf(
                f,
                "<svg x=\"%.2f%%\" y=\"%d\" overflow=\"visible\"><text class=\"tick\" x=\"6\">%g"
                "</text></svg>\n",
                at, y + 10, count);
        }
    }
    fputs("</svg>\n", f);
}

/* ---- curves ---- */

int plot_fit(struct plot_frame *p, const struct plot_line *l, int n)
{
    double lo = INFINITY, hi = -INFINITY, step;
    p->x[0] = INFINITY;
    p->x[1] = -INFINITY;
    for (int i = 0; i < n; i++)
        for (long k = 0; k < l[i].n; k++)
            if (usable(l[i].y[k]) && usable(l[i].x[k])) {
                lo = fmin(lo, l[i].y[k]);
                hi = fmax(hi, l[i].y[k]);
                p->x[0] = fmin(p->x[0], l[i].x[k]);
                p->x[1] = fmax(p->x[1], l[i].x[k]);
            }
    if (!(lo <= hi))
        return 0;
    if (p->x[0] == p->x[1])
        p->x[1] = p->x[0] + 1;
    p->log = p->log >= 0 && lo > 1e-30 && hi / lo > 8;
    if (p->log > 0) { /* to the next 1, 2 or 5 on either side */
        double a = pow(10, floor(log10(lo))), b = pow(10, floor(log10(hi)));
        p->y[0] = lo >= 5 * a ? 5 * a : lo >= 2 * a ? 2 * a : a;
        p->y[1] = hi <= b ? b : hi <= 2 * b ? 2 * b : hi <= 5 * b ? 5 * b : 10 * b;
    } else {
        if (hi - lo < 1e-12 * fmax(fabs(hi), 1))
            hi = lo + fmax(fabs(lo) * 0.1, 1e-6);
        step = plot_step(lo, hi, 4);
        p->log = 0;
        p->y[0] = lo >= 0 && lo < (hi - lo) / 2 ? 0 : floor(lo / step + 1e-9) * step;
        p->y[1] = ceil(hi / step - 1e-9) * step;
    }
    return 1;
}

static double height_of(const struct plot_frame *p, double y)
{
    double at =
        p->log ? log(y / p->y[0]) / log(p->y[1] / p->y[0]) : (y - p->y[0]) / (p->y[1] - p->y[0]);
    return 1 - (at < 0 ? 0 : at > 1 ? 1 : at);
}

static void y_tick(FILE *f, const struct plot_frame *p, double v)
{
    double y = height_of(p, v) * p->height;
    fprintf(f, "<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>", y, y);
    fprintf(f, "<text class=\"tick at-end\" x=\"-8\" y=\"%.1f\">%.4g</text>\n", y + 4, v);
}

static void y_axis(FILE *f, const struct plot_frame *p)
{
    if (p->log) {
        int from = (int)floor(log10(p->y[0]) + 1e-9), to = (int)ceil(log10(p->y[1]) - 1e-9);
        int every = (to - from + TICKS - 1) / TICKS; /* decades from number to number */
        for (int ten = from; ten <= to; ten += every ? every : 1)
            for (int m = 1; m <= (to - from <= 3 ? 5 : 1); m += m == 2 ? 3 : 1) {
                double v = m * pow(10, ten);
                if (v >= p->y[0] * 0.9999 && v <= p->y[1] * 1.0001)
                    y_tick(f, p, v);
            }
        return;
    }
    double step = plot_step(p->y[0], p->y[1], 4);
    for (int i = 0; i < TICKS && p->y[0] + i * step <= p->y[1] + step * 1e-6; i++) {
        double v = p->y[0] + i * step;
        y_tick(f, p, fabs(v) < step * 1e-6 ? 0 : v);
    }
}

/* A curve as a path in a square of 1000, which is stretched; the pen keeps its width. Of more than
 * POINTS points, the least and the greatest of each stretch are drawn. */
static void curve(FILE *f, const struct plot_frame *p, const struct plot_line *l)
{
    long stretch = l->n > POINTS ? (2 * l->n + POINTS - 1) / POINTS : 1;
    int pen = 0;
    fprintf(f, "<path class=\"%s s%d\" d=\"", l->style == PLOT_FAINT ? "faint" : "curve",
            l->series % SERIES);
    for (long from = 0; from < l->n; from += stretch) {
        long pick[2] = {-1, -1}, to = from + stretch < l->n ? from + stretch : l->n;
        for (long i = from; i < to; i++)
            if (usable(l->y[i]) && usable(l->x[i])) {
                if (pick[0] < 0 || l->y[i] < l->y[pick[0]])
                    pick[0] = i;
                if (pick[1] < 0 || l->y[i] > l->y[pick[1]])
                    pick[1] = i;
            }
        if (pick[0] < 0)
            pen = 0;
        if (pick[0] > pick[1]) {
            long t = pick[0];
            pick[0] = pick[1];
            pick[1] = t;
        }
        for (int i = pick[0] == pick[1]; i < 2 && pick[i] >= 0; i++, pen = 1)
            fprintf(f, "%c%.1f %.1f", pen ? 'L' : 'M',
                    10 * percent(l->x[pick[i]], p->x[0], p->x[1]),
                    1000 * height_of(p, l->y[pick[i]]));
    }
    fputs("\"/>\n", f);
}

static void legend(FILE *f, const struct plot_line *l, int n)
{
    fputs("<ul class=\"legend\">", f);
    for (int i = 0; i < n; i++) {
        fputs("<li>", f);
        if (l[i].style == PLOT_DOTS)
            plot_swatch(f, l[i].series);
        else
            fprintf(f,
                    "<svg class=\"swatch\" width=\"22\" height=\"14\" aria-hidden=\"true\"><path "
                    "class=\"%s s%d\" d=\"M1 7H21\"/></svg>",
                    l[i].style == PLOT_FAINT ? "faint" : "curve", l[i].series % SERIES);
        html_put(f, " %s</li>", l[i].label);
    }
    fputs("</ul>\n", f);
}

void plot_lines(FILE *f, const char *what, const struct plot_frame *p, const struct plot_line *l,
                int n)
{
    struct plot_axis x = {p->x[0], p->x[1], NAN, "", 0};
    html_put(f, "<p class=\"axis\">%s%s</p>\n<div class=\"frame\">", p->y_label,
             p->log ? ", logarithmic" : "");
    begin(f, what, "lines", p->height + 22);
    y_axis(f, p);
    x_axis(f, &x, 0, p->height);
    fprintf(f,
            "<svg x=\"0\" y=\"0\" width=\"100%%\" height=\"%d\" viewBox=\"0 0 1000 1000\" "
            "preserveAspectRatio=\"none\" overflow=\"visible\">\n",
            p->height);
    for (int i = 0; i < n; i++)
        if (l[i].style != PLOT_DOTS)
            curve(f, p, &l[i]);
    fputs("</svg>\n", f);
    for (int i = 0; i < n; i++)
        for (long k = 0; l[i].style == PLOT_DOTS && k < l[i].n; k++) {
            char at[24];
            if (!usable(l[i].y[k]) || !usable(l[i].x[k]))
                continue;
            snprintf(at, sizeof at, "%.2f%%", percent(l[i].x[k], p->x[0], p->x[1]));
            html_put(f, "<g><title>%s %g: %.4g</title>", p->x_label, l[i].x[k], l[i].y[k]);
            mark(f, at, height_of(p, l[i].y[k]) * p->height, l[i].series);
            fputs("</g>\n", f);
        }
    html_put(f, "</svg></div>\n<p class=\"axis x\">%s</p>\n", p->x_label);
    if (n > 1)
        legend(f, l, n);
}
