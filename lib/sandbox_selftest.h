/* sandbox_selftest.h - the hostile programs and the verdicts that they must get
 *
 * A program is a .py file that begins with "# task: HumanEval/53" and "# expect: KIND ..." lines.
 */
#ifndef SANDBOX_SELFTEST_H
#define SANDBOX_SELFTEST_H
#include "sandbox.h"

struct selftest {
    char *name, *task_id, *expect, *code;
};
/* All *.py of dir, sorted by name. ERR_NOINPUT, ERR_DATA (a file without its two lines). */
int selftest_load(struct selftest **t, int *n, const char *dir, struct err *e);
void selftest_free(struct selftest *t, int n);
int selftest_expected(const struct selftest *t, enum verdict_kind k); /* 1 = it is one of those */
/* Run them all against HumanEval's tasks: told() once a program. Two batches: programs that only the clock can
 * end get little of it, the others plenty, so that a busy machine changes no verdict. */
int selftest_run(struct sandbox *s, const struct selftest *t, int n,
                 int (*told)(void *arg, const struct selftest *t, const struct verdict *v,
                             struct err *e),
                 void *arg, struct err *e);
#endif
