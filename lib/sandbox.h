/* sandbox.h - judge code that nobody trusts: candidate and checker in two jails, the verdict outside both
 *
 *     apr-sandbox (this code: owns the verdicts, the clocks and the kill switch)
 *       |- candidate zygote: forks one process a job, in a pid and mount namespace of its own, which runs
 *       |  the code and answers calls on a socket.  It holds no test and no expected value.
 *       `- checker zygote: forks the processes that run the tests, ask the candidate over that socket, and
 *          report here on a pipe of their own, with a nonce.  A checker judges one job at a time and stays
 *          for the next only if the test could not have left anything behind (configs/sandbox/judge.py).
 *
 * A job passes only if its checker reached the end of the test.  Only plain data crosses the socket
 * (lib/zygote/codec.c).  Killing the first process of a job's pid namespace kills all of it. */
#ifndef SANDBOX_H
#define SANDBOX_H
#include "bench.h"
#include "verdict.h"

/* What a job is judged by, code aside: raised when the same job may get another verdict. Part of each job's hash, and
 * the output_version of apr-sandbox. */
enum { SANDBOX_VERSION = 3 };

struct sandbox_limits {
    double cpu_s;    /* of each process; rounded up to whole seconds */
    double wall_s;   /* backstop; 0 = 3 cpu_s + 2 */
    long memory_mib; /* address space of each process */
    long processes;  /* and threads, of a job */
    long file_mib;   /* of a file; the private /tmp has four times that */
    long output_kib; /* on stdout and stderr together */
};
extern const struct sandbox_limits sandbox_defaults;
/* Limits of a .yaml with cpu_s, wall_s, memory_mib, processes, file_mib, output_kib; what it does not say
 * stays. */
int sandbox_profile(struct sandbox_limits *l, const char *path, struct err *e);

struct sandbox_opts {
    struct sandbox_limits limits;
    int jobs;             /* at once; 0 = half as many again as processors */
    unsigned allow;       /* mechanisms to use (jail.h), JAIL_ALL */
    unsigned require;     /* ERR_UNAVAILABLE if one of these is missing */
    enum bench_lang lang; /* of the jobs with BENCH_PROGRAM tasks, if there are any */
    const char *
        hidden; /* a folder that jobs must not see if it lies under /usr: the benchmark's; or NULL */
    int packages; /* jobs see the Python packages that are installed */
    int recheck;  /* try a wall time-out so many times more, alone */
};
enum sandbox_work {
    SANDBOX_JUDGE,
    SANDBOX_BEHAVIOUR, /* call it with `inputs` and write down what comes back */
    SANDBOX_REFERENCE  /* run the task's own solution and keep what it returns (lib/expected) */
};
struct sandbox_job {
    const struct bench_task *task;
    const char *code;
    enum sandbox_work work;
    enum bench_lang lang; /* BENCH_PROGRAM: sandbox_opts.lang */
    int inproc;           /* test and code share a process: weaker, and the verdict says so */
    const char *expected; /* BENCH_EXPECTED: the file of what the reference returns */
    const char *inputs;   /* BEHAVIOUR: a JSON array of texts (inputs/1) */
    long seconds;         /* CPU time to be expected, if it is known: long jobs begin first */
    const struct sandbox_limits *limits; /* NULL: those of the run */
};
struct sandbox;
/* Start both zygotes and judge a small program of our own, right and wrong, to see that the chain
 * holds. */
int sandbox_open(struct sandbox **s, const struct sandbox_opts *o, struct err *e);
void sandbox_close(struct sandbox *s);
/* Start what programs in sandbox_opts.lang need, which else the first of them does. ERR_UNAVAILABLE without its
 * compiler or interpreter, or where the host does not give what it must have. */
int sandbox_need_lang(struct sandbox *s, struct err *e);
unsigned sandbox_enforced(const struct sandbox *s); /* JAIL_ mask */
const char *sandbox_python(const struct sandbox *s);
int sandbox_cgroup(const struct sandbox *s); /* version of the control groups in use; 0 = none */

/* Other limits for the jobs of the next run. */
void sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *l);

/* Judge n jobs. done() is called once a job, in order; a negative return stops. A zygote that dies
 * is ERR_OS: no verdict is made up. */
int sandbox_run(struct sandbox *s, const struct sandbox_job *job, int n,
                int (*done)(void *arg, int i, const struct verdict *v, struct err *e), void *arg,
                struct err *e);

/* The program that the candidate runs (malloc): for humaneval what stands before the entry point in
 * the prompt (imports, helpers), then the code; or the whole prompt and the code if that is only a
 * body. */
char *sandbox_program(const struct bench_task *t, const char *code);
/* sha256 of program, test, limits and SANDBOX_VERSION. */
int sandbox_job_hash(const struct sandbox_job *j, const struct sandbox_limits *l, char hex[65]);
#endif
