/* plot.h - figures as inline SVG that fit any width
 *
 * Horizontal places are percent of the width, vertical ones pixels, so texts keep their size on a
 * narrow screen and in print.  Each figure says in words what it shows (aria-label); colours and
 * shapes of a series are classes s0..s7 of the style sheet.  Texts are escaped. */
#ifndef PLOT_H
#define PLOT_H
#include <stdio.h>

/* Round steps for an axis: 1, 2 or 5 times a power of ten, about n of them in from..to. */
double plot_step(double from, double to, int n);
/* The mark of a series (colour and shape) beside its name, for legends. */
void plot_swatch(FILE *f, int series);

struct plot_dot { /* a value with its interval, a line each */
    const char *label, *text;
    double value, lo, hi;
    int series;
};
struct plot_axis {
    double from, to;  /* data outside is cut */
    double mark;      /* a dashed line, such as a ceiling or zero; NAN = none */
    const char *unit; /* after each number, "" = none */
    int sign;         /* numbers carry their sign */
};
void plot_dots(FILE *f, const char *what, const struct plot_axis *x, const struct plot_dot *d,
               int n);

/* Bars of n_series values for each of n kinds: v[kind * n_series + series]. */
void plot_bars(FILE *f, const char *what, const char *const *kind, const double *v, int n,
               const int *series, int n_series);

enum plot_style { PLOT_FAINT, PLOT_LINE, PLOT_DOTS };
struct plot_line {
    const char *label;
    enum plot_style style;
    int series;
    const double *x, *y; /* x rises; a y that is no number is a gap */
    long n;
};
struct plot_frame {
    double x[2], y[2];
    int log; /* y is logarithmic: y[0] > 0; -1 asks plot_fit for a linear one */
    const char *x_label, *y_label; /* with units */
    int height;                    /* pixels of the plot area */
};
/* The range of all lines, widened to round numbers; logarithmic if that is not refused, all is
 * positive and spans more than a factor of 8. 0 if there is nothing to draw. */
int plot_fit(struct plot_frame *p, const struct plot_line *l, int n);
void plot_lines(FILE *f, const char *what, const struct plot_frame *p, const struct plot_line *l,
                int n);
#endif
