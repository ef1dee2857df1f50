/* test_plot - axes and figures, also of values that no axis can show */
#include "plot.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static char *text;
static size_t size;

static int sound(FILE *f) /* an SVG without a number that is none, and not endless */
{
    fclose(f);
    return strstr(text, "</svg>") && !strstr(text, "nan") && !strstr(text, "inf") && size < 200000;
}

static FILE *begin(void)
{
    free(text);
    text = NULL;
    return open_memstream(&text, &size);
}

int main(void)
{
    static const struct {
        double from, to, step;
    } steps[] = {{0, 100, 20}, {0, 1, 0.2}, {-15, 5, 5}, {0, 7, 2}, {1e-9, 4e-9, 1e-9}, {3, 3, 1}};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        ok(fabs(plot_step(steps[i].from, steps[i].to, 5) / steps[i].step - 1) < 1e-9,
           "step of %g..%g: %g", steps[i].from, steps[i].to,
           plot_step(steps[i].from, steps[i].to, 5));
    double x[5] = {1, 2, 3, 4, 5}, y[5] = {2, 1, 0.5, 0.2, 0.07};
    struct plot_line l = {"loss", PLOT_LINE, 0, x, y, 5};
    struct plot_frame p = {.x_label = "step", .y_label = "loss", .height = 100};
    ok(plot_fit(&p, &l, 1) && p.log && p.y[0] == 0.05 && p.y[1] == 2 && p.x[0] == 1 && p.x[1] == 5,
       "logarithmic: %g..%g", p.y[0], p.y[1]);
    FILE *f = begin();
    plot_lines(f, "w", &p, &l, 1);
    ok(sound(f) && strstr(text, ">0.5</text>") && strstr(text, "logarithmic"), "a curve");
    ok(strstr(text, "d=\"M0.0 0.0L250.0 187.9L500.0 375.8") != NULL, "its path");
    p.log = -1;
    ok(plot_fit(&p, &l, 1) && !p.log && p.y[0] == 0, "linear if asked");
    y[2] = NAN;
    f = begin();
    plot_lines(f, "w", &p, &l, 1);
    ok(sound(f) && strstr(text, "L250.0 500.0M750.0"), "a gap");
    static const double odd[][5] = {{1e308, -1e308, 0, 1, 2}, {1e17, 1e17 + 16, 1e17, 1e17, 1e17},
                                    {1e-300, 1e29, 1, 1, 1},  {INFINITY, -INFINITY, NAN, 5, 5},
                                    {0, 0, 0, 0, 0},          {-3, -3, -3, -3, -3},
                                    {5e-324, 1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        for (int side = 0; side < 2; side++) {
            memcpy(side ? x : y, odd[i], sizeof x);
            p.log = 0;
            f = begin();
            if (plot_fit(&p, &l, 1))
                plot_lines(f, "w", &p, &l, 1);
            else
                fputs("</svg>", f);
            ok(sound(f), "odd values %zu on %s", i, side ? "x" : "y");
        }
    memcpy(y, (double[]){NAN, NAN, INFINITY, NAN, 1e31}, sizeof y);
    ok(!plot_fit(&p, &l, 1), "nothing to draw");
    struct plot_axis a = {0, 100, NAN, " %", 0};
    struct plot_dot d[] = {
        {"<base>", "34.1 %", 34.1, 27.3, 41.7, 0},
        {"a name that is much longer than what fits above a line", "1", 500, -1e300, 1e300, 9}};
    f = begin();
    plot_dots(f, "what \"it\" shows", &a, d, 2);
    ok(sound(f) && strstr(text, "aria-label=\"what &quot;it&quot; shows\"") &&
           strstr(text, "x=\"34.10%\"") && strstr(text, "x1=\"27.30%\" x2=\"41.70%\"") &&
           strstr(text, "&lt;base&gt;") && strstr(text, "…"),
       "dots");
    const char *kind[] = {"wrong answer", "timeout"};
    double v[] = {10, 5, 0, 20};
    int series[] = {0, 1};
    f = begin();
    plot_bars(f, "w", kind, v, 2, series, 2);
    ok(sound(f) && strstr(text, "width=\"44.00%\"") && strstr(text, "width=\"88.00%\"") &&
           strstr(text, ">20</text>"),
       "bars");
    memcpy(v, (double[]){INFINITY, -5, NAN, 1e300}, sizeof v);
    f = begin();
    plot_bars(f, "w", kind, v, 2, series, 2);
    ok(sound(f), "odd bars");
    free(text);
    return done_testing();
}
