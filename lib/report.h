/* report.h - scores, comparisons and training metrics gathered into a short Markdown page
 *
 * Files are told apart by the schema of their records: score/1, compare/1, metric/1, verdict/1
 * (scored here).  The run that a file belongs to is seen from its name: base-score.basic.jsonl is
 * "base". */
#ifndef REPORT_H
#define REPORT_H
#include "err.h"
#include "json.h"
#include <stdio.h>

enum { REPORT_RUNS = 32, REPORT_ROWS = 128 };
struct report_cell { /* one score; present if n_task > 0 */
    double value, ci[2], level;
    long passed, n_sample, n_task;
    cJSON *verdicts; /* object: verdict -> count, or NULL */
};
struct report {
    char *run[REPORT_RUNS];
    int n_run;
    struct report_row {
        char *bench, *metric;
        struct report_cell cell[REPORT_RUNS];
    } * row; /* (REPORT_ROWS) */
    int n_row;
    cJSON *compare; /* array of compare/1 */
    struct report_training {
        char *name;
        double *loss; /* of steps */
        long n_step, cap;
        double first_val, last_val, epoch; /* validation loss; NAN = none */
    } * training;
    int n_training;
};
int report_init(struct report *r, struct err *e);
int report_read(struct report *r, const char *path, struct err *e);
void report_write(const struct report *r, const char *title, FILE *out);
void report_free(struct report *r);
#endif
