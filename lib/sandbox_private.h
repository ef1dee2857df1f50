/* sandbox_private.h - what the supervisor (sandbox.c) and the decision (sandbox_decide.c) share */
#ifndef SANDBOX_PRIVATE_H
#define SANDBOX_PRIVATE_H
#include "sandbox.h"

enum { CANDIDATE, CHECKER };
enum kill_why { KILL_NONE, KILL_DONE, KILL_WALL, KILL_OUTPUT };

struct side { /* one process of a job, as its zygote tells */
    int pidfd, kill, exited, status;
    double cpu; /* seconds */
    long rss_kb;
};
struct slot {
    int busy, job;
    struct side side[2];
    int out_fd, rep_fd; /* candidate's stdout and stderr; checker's report */
    double start, deadline;
    enum kill_why why;
    char nonce[33], report[8192], head[256];
    size_t n_report, n_output;
    struct verdict v;
};
/* Fill t->v from the report and the two exits. */
void sandbox_decide(struct slot *t, const struct sandbox_limits *l);
/* What the checker gets: the test and the nonce, as JSON (malloc). */
char *sandbox_test_json(const struct bench_task *t, const char *nonce, size_t *n);
#endif
