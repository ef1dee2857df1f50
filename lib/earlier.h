/* earlier.h - verdicts of an earlier run, to be taken over where the job is the same
 *
 * A verdict is found by task, sample and the job's hash (code, test, limits, tool); harness errors are not
 * taken over, and a last line that a kill tore is passed over. */
#ifndef EARLIER_H
#define EARLIER_H
#include "err.h"
#include <stddef.h>

struct earlier {
    struct earlier_line {
        char *key, *text;
        size_t n;
    } * line; /* sorted by key */
    int n, cap;
};
int earlier_load(struct earlier *x, const char *path, struct err *e);
/* The line without its end, n bytes; NULL if there is none. Lives as long as x. */
const char *earlier_find(const struct earlier *x, const char *task_id, long sample, const char *job,
                         size_t *n);
void earlier_free(struct earlier *x);
#endif
