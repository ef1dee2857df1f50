/* sandbox_selftest.h - the hostile programs and the verdicts that they must get
 *
 * A program is a file whose suffix (.py, .js, .cpp, .c) is its language and that has the lines
 *
 *     # task: HumanEval/53           // in C, C++ and JavaScript
 *     # expect: KIND ...             one of these verdicts
 *     # bench: NAME                  if it is not HumanEval in that language (C: basic-c); x.yaml is beside it
 */
#ifndef SANDBOX_SELFTEST_H
#define SANDBOX_SELFTEST_H
#include "sandbox.h"

struct selftest {
    char *name, *bench, *task_id, *expect, *code;
    const struct bench_task *task; /* while they run */
    enum bench_lang lang;
    char skip[160]; /* what keeps it from being tried here, or "" */
};
/* All programs of dir, sorted by name. ERR_NOINPUT, ERR_DATA (a file without its lines). */
int selftest_load(struct selftest **t, int *n, const char *dir, struct err *e);
void selftest_free(struct selftest *t, int n);
int selftest_expected(const struct selftest *t, enum verdict_kind k); /* 1 = it is one of those */

/* v is NULL for a program that is skipped: t->skip says why. A negative return stops. */
typedef int selftest_told(void *arg, const struct selftest *t, const struct verdict *v,
                          struct err *e);
/* Run them all, each language in a sandbox of its own: told() once a program. */
int selftest_run(const struct sandbox_opts *o, struct selftest *t, int n, const char *dir,
                 selftest_told *told, void *arg, struct err *e);
#endif
