/* bench_private.h - the parts of the benchmark loader: descriptions (bench_config), records (bench_record) */
#ifndef BENCH_PRIVATE_H
#define BENCH_PRIVATE_H
#include "bench.h"
#include "json.h"

struct bench_config { /* what a description says beyond struct bench */
    long first_id, last_id, n_task;
    int known; /* the format is said; else it is seen from the first record */
};
/* ---- bench_config.c ---- */
/* A description and, through bench_read, its data. */
int bench_read_config(struct bench *b, const char *path, struct err *e);
/* ---- bench.c ---- */
int bench_read(struct bench *b, const struct bench_config *c, struct err *e);
/* ---- bench_record.c ---- */
/* The members of a record that its format reads, from a line of r: the caller's to delete. */
cJSON *bench_parse(const struct bench *b, const struct jsonl *r, struct err *e);
/* Fill t from a record; t->task_id is set. */
int bench_record(const struct bench *b, struct bench_task *t, const cJSON *v, const struct jsonl *r,
                 struct err *e);
/* ---- bench_head.c ---- */
/* The name of the function that a prompt in C, C++ or JavaScript ends in (malloc); NULL if it ends in none or memory
 * ran out. */
char *bench_head(enum bench_lang lang, const char *prompt);
/* ---- bench_io.c ---- */
/* Tests of a LiveCodeBench record into t->io. */
int bench_read_io(struct bench_task *t, const cJSON *v, const struct jsonl *r, struct err *e);
#endif
