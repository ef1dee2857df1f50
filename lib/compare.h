/* compare.h - two runs of one benchmark, task by task: is the difference more than chance
 *
 * The names in a comparison belong to the sets it was made from; compare_free frees the rest. */
#ifndef COMPARE_H
#define COMPARE_H
#include "score.h"
#include <stdio.h>

struct comparison {
    const char *bench, *name_a, *name_b; /* names of the runs */
    const char *choice_a, *choice_b; /* how their samples were chosen (struct score_set), or NULL */
    const char **task;
    double *a, *b, *d; /* pass rates and b - a, by task */
    int n, single;     /* tasks; single: one sample a task on both sides */
    int n_harness;     /* tasks left out: nothing but harness errors on a side */
    int n_lone;        /* tasks left out: in one of the two only */
    long pass_a, pass_b;
    int only_a, only_b; /* tasks where one is better */
    double mean_a, mean_b, difference, level, boot[2];
    double p, mid_p, holm_p; /* exact McNemar; sign flips (and no mid-p) if not single */
    double detectable;
};
/* Pair the tasks. ERR_DATA if one is in one set only, unless partial, or if none is left. */
int compare_pair(struct comparison *c, const struct score_set *a, const struct score_set *b,
                 int partial, struct err *e);
int compare_test(struct comparison *c, double level, long boot, uint64_t seed, struct err *e);
/* Holm's correction over n comparisons, into holm_p. */
int compare_holm(struct comparison *c, int n, struct err *e);
/* n: comparisons that were corrected together. */
void compare_json(struct json_out *j, const struct comparison *c, int n); /* compare/1 */
void compare_text(FILE *out, const struct comparison *c, int n);
void compare_free(struct comparison *c);
#endif
