/* route.h - choose a strategy on one part of the tasks, to be scored on the other
 *
 * The part that a task belongs to depends on (seed, task_id) alone. */
#ifndef ROUTE_H
#define ROUTE_H
#include "keyed.h"

/* 1 if the task belongs to the part that strategies are chosen on: a share `validation` of all. */
int route_validates(const char *task_id, double validation, uint64_t seed);

struct route_task {
    const char *id, *bench; /* inside the verdicts */
    int validates;
};
struct route {       /* the verdicts of several strategies on the same tasks */
    struct keyed *v; /* (n_strategy) */
    int n_strategy, n_task;
    struct route_task *task; /* (n_task) */
    long *c, *n;        /* (n_strategy, n_task) passed and judged; harness errors are neither */
    const char **bench; /* (n_bench) in order of appearance */
    int n_bench;
    double validation;
    uint64_t seed;
};
/* Read verdict/1 files. A record without benchmark belongs to "unnamed". ERR_DATA if one file has a
 * task that another has not, or a verdict contradicts itself. */
int route_read(struct route *r, char *const *file, int n_file, double validation, uint64_t seed,
               struct err *e);
void route_free(struct route *r);
const char *route_bench(const struct keyed_record *x);

struct route_score { /* of one strategy on the validation tasks */
    double value;    /* mean pass rate */
    long passed;     /* samples */
    long n_sample;   /* judged */
    double ci[2];    /* 95 %: stats_wilson_tasks */
    double p; /* against the best, paired, adjusted for all comparisons (Holm); its own is 1 */
};
struct route_choice {
    int best; /* the highest mean pass rate, of equals the first */
    int n_validation, n_test;
    int left_out;              /* validation tasks that some strategy has only harness errors on */
    int rivals;                /* others whose difference may be chance: p > 0.05 */
    struct route_score *score; /* (n_strategy) the caller's to free */
};
/* Choose on the validation tasks of a benchmark, or of all (NULL). p: exact McNemar with one sample a
 * task, else sign flips (stats.h). ERR_DATA if one of the parts is empty. */
int route_choose(const struct route *r, const char *bench, struct route_choice *k, struct err *e);
#endif
