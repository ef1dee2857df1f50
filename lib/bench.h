/* bench.h - a benchmark: its problems, how they are asked and what its tests are
 *
 * configs/bench/NAME.yaml says where the data is (a key of the catalog), its format, which ids
 * belong, how long answers may be, which items are known to be broken.  Two formats: "humaneval"
 * (prompt, entry_point, test with check(candidate)) and "mbpp" (text, test_list of asserts, set-up
 * code). */
#ifndef BENCH_H
#define BENCH_H
#include "err.h"
#include <stddef.h>

struct bench_task {
    char *task_id;     /* an integer in the data becomes its digits */
    char *prompt;      /* humaneval: the code to complete; mbpp: the task in words */
    char *entry_point; /* humaneval; NULL for mbpp */
    char *called;      /* mbpp: what the first assert calls; bench_entry gives either */
    char *test;        /* humaneval: defines check(candidate); NULL for mbpp */
    char **tests;      /* mbpp: asserts */
    int n_tests;
    char *setup;     /* mbpp: code before the asserts; may be "" */
    char *canonical; /* reference solution: humaneval a body to append to prompt, mbpp a program */
    const char *fault; /* why no solution can pass, or NULL */
};
struct bench {
    char *name, *path; /* the data file */
    char sha256[65];   /* of the data file */
    int mbpp;          /* format: 0 humaneval, 1 mbpp */
    long max_tokens;   /* of an answer */
    long ceiling;      /* tasks that the reference solutions pass; -1 = not measured */
    struct bench_task *task;
    int n;
    int *order; /* task indices by id, for bench_task */
    char **fault_text;
    int n_fault;
};
/* name: configs/bench/NAME.yaml, a path of such a .yaml, or a path of a data file (.jsonl,
 * .jsonl.gz), whose format is seen from its first record. */
int bench_load(struct bench *b, const char *name, struct err *e);
void bench_free(struct bench *b);
/* The function that is asked for: entry_point, or for mbpp the first name that an assert calls and
 * that is no builtin of Python's; NULL if there is none. Lives as long as the task. */
const char *bench_entry(const struct bench_task *t);
const struct bench_task *bench_find(const struct bench *b,
                                    const char *task_id); /* NULL if absent */
#endif
