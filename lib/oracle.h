/* oracle.h - several runs of one benchmark together: what any of them solves, and how they fail
 *
 * The union of runs is a pass@(number of attempts): it has no place beside a pass@1, and none is
 * printed here.  Names belong to the sets that were joined; oracle_free frees the rest. */
#ifndef ORACLE_H
#define ORACLE_H
#include "score.h"
#include <stdio.h>

struct oracle_task {
    const char *id;
    long n, c;              /* samples of all runs, of them passed */
    int solved_by, last;    /* runs with a pass; the last of them */
    long kind[SCORE_KINDS]; /* verdicts */
    int flaky;
    int dominant; /* its most frequent failure, or -1 (never fails) */
};
struct oracle {
    const char *bench;
    const char *const *name;  /* of the runs, given by the caller */
    const char **choice;      /* by run: how its samples were chosen (struct score_set), or NULL */
    int n_run, n_chosen;      /* n_chosen: runs with a choice */
    struct oracle_task *task; /* in the order of the first run */
    int n;
    int n_harness, n_lone;   /* tasks left out: not judged in a run; not in every run */
    int solved, always;      /* tasks with a pass, without a failure */
    long attempts[2];        /* samples a task, least and most */
    int *unique;             /* by run: tasks that it alone solves */
    double *agree, *kappa;   /* by pair (0,1), (0,2), (1,2), ...; kappa NAN = no spread */
    double wilson[2], level; /* of solved / n */
};
/* ERR_DATA if a task is not in every set, unless partial, or if none is left. */
int oracle_join(struct oracle *o, const struct score_set *const *set, const char *const *name,
                int n_run, int partial, double level, struct err *e);
/* "pass@7"; of chosen samples "pass@7, best of 8 by majority", or if runs differ in that "pass@7, chosen
 * answers in 1 of 2 runs". */
void oracle_metric(const struct oracle *o, char *text, size_t size);
void oracle_json(struct json_out *j, const struct oracle *o, int failures); /* oracle/1 */
void oracle_text(FILE *out, const struct oracle *o, int failures);
void oracle_free(struct oracle *o);
#endif
