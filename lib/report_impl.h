/* report_impl.h - what the files of report share: runs by name, tasks by id */
#ifndef REPORT_IMPL_H
#define REPORT_IMPL_H
#include "report.h"

/* The index of a file's run, added if it is new; or a negative error. */
int report_run_of(struct report *r, const char *path, const char *bench, int texts, struct err *e);
/* A file's name, with its folder where report_expect saw several of this name (malloc). */
char *report_file_name(const struct report *r, const char *path);
/* 1 for pass@1, of single or of chosen answers ("pass@1, best of 8 by majority"). */
int report_pass_at_1(const char *metric);
int report_pair(const cJSON *o, const char *key, double v[2]); /* two numbers; 1 = found */

int report_add_verdict(struct report *r, const char *path, const cJSON *v, long lineno,
                       struct err *e);
int report_add_prompt(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e);
int report_add_sample(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e);
int report_add_code(struct report *r, const char *path, const cJSON *v, long lineno, struct err *e);
void report_free_tasks(struct report *r);
#endif
