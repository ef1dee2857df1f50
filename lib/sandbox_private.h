/* sandbox_private.h - what the parts of the supervisor share: slots, their two sides, the steps of a job
 *
 *   sandbox.c          opening, closing, the check of our own programs
 *   sandbox_run.c      a batch: which job when, rechecks, order of the results
 *   sandbox_job.c      one job: start, watch, kill, finish
 *   sandbox_payload.c  what each side is given
 *   sandbox_decide.c   from a report and two exits to a verdict */
#ifndef SANDBOX_PRIVATE_H
#define SANDBOX_PRIVATE_H
#include "cgroup.h"
#include "clock.h"
#include "jail.h"
#include "languages.h"
#include "sandbox.h"

/* The first two are always there, the others when a job needs them: one process for code and test; other languages. */
enum { CANDIDATE, CHECKER, INPROC, PROGRAM, PROGRAM_CHECKER, N_JAILS };
enum { TAIL = 4096 };
enum kill_why { KILL_NONE, KILL_DONE, KILL_WALL, KILL_CPU, KILL_OUTPUT };

struct side {                              /* one process, as its zygote tells */
    int live, pidfd, kill, status, failed; /* failed: it could not enter its jail */
    double cpu;                            /* seconds */
    long rss_kb;
};
struct slot {
    int busy, job;
    int jail[2];          /* of the two sides; the second is -1 where one process does both */
    struct side side[2];  /* a checker may live on from job to job */
    int worker;           /* its socket, -1 = none lives */
    long worker_memory;   /* the limit (MiB) that it was started for */
    int out_fd, rep_fd;   /* candidate's stdout and stderr; the report; -1 = closed */
    int told_fd;          /* a program's candidate that cannot be started says why; -1 */
    int runs;             /* of a program, one after the other, each with its own limits */
    double cpu_s, wall_s; /* of the whole job */
    double start, deadline, look_at_cpu, cpu_before;
    long oom_before;
    enum kill_why why;
    char nonce[33], failure[128]; /* why a side could not enter */
    char tail[TAIL + 1], told[2048];
    size_t n_tail, n_told;
    char *report; /* grows; a verdict is short, a reference's results are not */
    size_t n_report, cap_report, n_output;
    enum sandbox_work work;
    const char *expected; /* of a reference: where its results belong */
    int n_inputs;         /* of a behaviour */
    int reported, gone,
        stays; /* of a report that is ours: the candidate was gone; the checker stays */
    const struct sandbox_limits *limits;
    struct verdict v;
};
struct sandbox {
    struct sandbox_opts o;
    struct jail jail[N_JAILS];
    struct slot *slot;
    int n_slot;
    struct cgroup cgroup;
    struct languages languages; /* of o.lang, when there are programs */
    unsigned enforced;
};

/* ---- sandbox.c ---- */
int sandbox_need(struct sandbox *s, int k, struct err *e); /* jail k, if it is not there yet */

/* ---- sandbox_job.c ---- */
double sandbox_wall(const struct sandbox_limits *l);
int sandbox_start(struct sandbox *s, struct slot *t, const struct sandbox_job *job, struct err *e);
/* Wait for the next event of any job and deal with it. */
int sandbox_step(struct sandbox *s, struct err *e);
int sandbox_finished(const struct slot *t);
void sandbox_finish(struct sandbox *s, struct slot *t); /* verdict into t->v */
int sandbox_ask_zygote(struct sandbox *s, int k, const struct jail_request *r, const int *fd,
                       int n_fd, struct err *e);
/* A message of zygote k; 0, or ERR_OS if it is gone. */
int sandbox_message(struct sandbox *s, int k, struct err *e);
void sandbox_drop_workers(struct sandbox *s); /* checkers that wait: with other limits next time */
void sandbox_abandon(struct slot *t); /* close what a job of a run that was stopped has open */

/* ---- sandbox_decide.c ---- */
void sandbox_read_report(struct slot *t); /* once its pipe is closed */
void sandbox_decide(struct sandbox *s, struct slot *t);
/* v->outputs: the texts of list (may be NULL), then "!KIND" up to total. */
void sandbox_outputs(struct verdict *v, const cJSON *list, int total);

/* ---- sandbox_payload.c ---- */
int sandbox_n_inputs(const struct sandbox_job *job); /* of a behaviour; else 0 */
struct sandbox_payload {
    char *code, *test; /* of the candidate; of the checker, or NULL */
    size_t n_code, n_test;
    int n_inputs; /* of a behaviour */
};
int sandbox_payload(struct sandbox_payload *p, const struct sandbox_job *job, const char *nonce,
                    struct err *e);
void sandbox_payload_free(struct sandbox_payload *p);
#endif
