/* keyed.h - the records of a JSONL file, found by benchmark, task and sample
 *
 * The set owns its records and their trees. */
#ifndef KEYED_H
#define KEYED_H
#include "err.h"
#include "json.h"

struct keyed_record {
    char *task_id;     /* a number as its digits; the line number if the record has none */
    const char *bench; /* inside v; NULL if it has none */
    long sample, line;
    int file; /* which of several files */
    cJSON *v;
};
struct keyed {
    struct keyed_record *v; /* (n) in the order of the files */
    int n, cap, n_file;
    int *index; /* (n) by task, sample, file */
};
/* Add the records of path ("-" is stdin). schema: "code/1" and the like; records without one are
 * taken too. drop: members not kept (NULL-terminated list), may be NULL. A task and sample twice in
 * one file is ERR_DATA. */
int keyed_read(struct keyed *k, const char *path, const char *schema, const char *const *drop,
               struct err *e);
void keyed_free(struct keyed *k);
/* The record of a file (counted from 0), or with file -1 of the last that has it; NULL if there is
 * none. bench NULL, or a record without one, fits any. */
const struct keyed_record *keyed_find(const struct keyed *k, int file, const char *bench,
                                      const char *task_id, long sample);
/* Indices of all records (malloc; NULL if memory ran out), those of a task together, its samples by
 * number. */
int *keyed_by_task(const struct keyed *k);
int keyed_same_task(const struct keyed_record *a, const struct keyed_record *b); /* and benchmark */
/* 1 if two records belong to the same benchmark as far as they say. */
int keyed_same_bench(const char *a, const char *b);
#endif
