/* report_compare - the comparisons of a report as numbers, adjusted for their number */
#include "json.h"
#include "report_impl.h"
#include "stats.h"
#include <math.h>
#include <stdlib.h>

struct report_difference *report_differences(const struct report *r, int *n)
{
    struct err none = {0};
    const cJSON *v;
    int i = 0;
    *n = cJSON_GetArraySize(r->compare);
    struct report_difference *d = calloc((size_t)*n + 1, sizeof *d);
    double *p = malloc(((size_t)*n + 1) * sizeof *p);
    if (d && p)
        cJSON_ArrayForEach(v, r->compare)
        {
            struct report_difference *c = &d[i];
            c->bench = json_get_str(v, "bench", "", &none);
            const char *const of[] = {json_get_str(v, "a", "", &none),
                                      json_get_str(v, "b", "", &none)};
            c->a = report_name_among(r, of[0], c->bench, of, 2);
            c->b = report_name_among(r, of[1], c->bench, of, 2);
            c->difference = json_get_num(v, "difference", 0, &none);
            c->level = json_get_num(v, "ci", 0.95, &none);
            c->p = json_get_num(v, "mcnemar_p", NAN, &none);
            c->paired_test = !isnan(c->p);
            if (!c->paired_test)
                c->p = json_get_num(v, "permutation_p", NAN, &none);
            c->detectable = json_get_num(v, "detectable", NAN, &none);
            c->n_task = json_get_int(v, "n_task", 0, &none);
            c->pass_a = json_get_int(v, "pass_a", 0, &none);
            c->pass_b = json_get_int(v, "pass_b", 0, &none);
            c->rate_a = json_get_num(v, "rate_a", (double)c->pass_a / (double)c->n_task, &none);
            c->rate_b = json_get_num(v, "rate_b", (double)c->pass_b / (double)c->n_task, &none);
            c->only_a = json_get_int(v, "only_a", 0, &none);
            c->only_b = json_get_int(v, "only_b", 0, &none);
            report_pair(v, "bootstrap", c->ci);
            p[i++] = c->p;
        }
    int bad = !d || !p || (*n > 1 && stats_holm(p, (size_t)*n));
    for (i = 0; d && i < *n; i++) {
        if (!bad)
            d[i].p_adjusted = p[i];
        bad |= !d[i].a || !d[i].b;
    }
    free(p);
    if (bad) {
        report_differences_free(d, *n);
        return NULL;
    }
    return d;
}

void report_differences_free(struct report_difference *d, int n)
{
    for (int i = 0; d && i < n; i++) {
        free(d[i].a);
        free(d[i].b);
    }
    free(d);
}
