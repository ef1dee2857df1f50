/* evalbench.h - a model, or an adapter beside one, scored on a benchmark by the tools that everybody uses
 *
 *     apr-prompt --bench B | apr-gen -m M [--adapter DIR] | apr-extract | apr-sandbox --bench B | passk --bench B
 *
 * Each tool is a process of its own, found beside this one's program; they end with it.  Answers are greedy, so that a
 * score depends on the weights and the benchmark alone. */
#ifndef EVALBENCH_H
#define EVALBENCH_H
#include "err.h"

struct evalbench {
    const char *bench, *model, *adapter; /* adapter: PEFT's folder, or NULL */
    const char *device;                  /* of apr-gen */
    long threads;                        /* 0 = all cores; changes no result */
    const char *scratch;                 /* a folder for what the tools say */
};
struct evalbench_score {
    double value; /* pass@1 */
    long passed, tasks, harness_errors;
};
/* The first tool that failed gives the error: its name, how it ended, and the last line that it said.  The code is that of
 * its exit status: ERR_DATA for 65 and so on, ERR_SOFTWARE for a signal or an unknown one. */
int evalbench_run(const struct evalbench *b, struct evalbench_score *s, struct err *e);
#endif
