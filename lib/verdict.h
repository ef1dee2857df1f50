/* verdict.h - what became of a piece of code: the kinds of verdict/1 */
#ifndef VERDICT_H
#define VERDICT_H
#include "json.h"

#define VERDICTS(X)                                                                                \
    X(pass)                                                                                        \
    X(wrong_answer)                                                                                \
    X(exception)                                                                                   \
    X(syntax_error)                                                                                \
    X(compile_error)                                                                               \
    X(no_entry_point)                                                                              \
    X(no_code)                                                                                     \
    X(bad_return)                                                                                  \
    X(early_exit)                                                                                  \
    X(crash)                                                                                       \
    X(timeout_cpu)                                                                                 \
    X(timeout_wall)                                                                                \
    X(memory)                                                                                      \
    X(output_limit)                                                                                \
    X(file_limit)                                                                                  \
    X(process_limit)                                                                               \
    X(forbidden)                                                                                   \
    X(protocol)                                                                                    \
    X(harness_error)

enum verdict_kind {
#define X(name) VERDICT_##name,
    VERDICTS(X)
#undef X
        VERDICT_COUNT
};
const char *verdict_name(enum verdict_kind k);
int verdict_parse(const char *name); /* -1 if unknown */

struct verdict {
    enum verdict_kind kind;
    char detail[768]; /* for people: which assert, which exception */
    int run, total;   /* asserts reached and in all; 0 0 = never got to the test */
    int exit, signal; /* how the candidate's process ended by itself; 0 0 = it was stopped after the
                         test */
    int attempt;      /* 2 = a wall time-out was tried again alone */
    int flaky;        /* the attempts differ */
    int inproc;       /* code and test shared a process */
    long output_bytes;      /* on stdout and stderr */
    char *outputs;          /* of a behaviour: JSON array of texts; belongs to the run */
    double cpu_ms, wall_ms; /* of the candidate */
    long rss_kb;
};
/* One verdict/1 record. enforced: JAIL_ mask (jail.h); job: sha256 of the job; rank: how the code was chosen among
 * others, as JSON, or NULL; timings: with times. */
void verdict_write(struct json_out *j, const struct verdict *v, const char *task_id, long sample,
                   const char *bench, unsigned enforced, const char *job, const char *rank,
                   int timings);
/* One behaviour/1 record, of a verdict with outputs. */
void verdict_behaviour(struct json_out *j, const struct verdict *v, const char *task_id,
                       long sample, const char *bench);
#endif
