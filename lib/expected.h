/* expected.h - what the reference solutions of a benchmark return, computed once and kept
 *
 * One file a task (configs/sandbox/evalplus.py writes and reads it) under $XDG_CACHE_HOME/apr/expected or
 * ~/.cache/apr/expected, named by the sha256 of all that it depends on: the task's record, the reference
 * program, the rules, the interpreter.  These files decide verdicts: where there is no folder that this user alone can
 * write, they live in one of this process. */
#ifndef EXPECTED_H
#define EXPECTED_H
#include "sandbox.h"

struct expected {
    char dir[512];
    int temporary;
    char **path;   /* by task of the benchmark; NULL where there is none */
    long *seconds; /* by task: CPU time of the reference, whole seconds */
    int n;
    int computed; /* by this process; the others were there */
};
/* The files of all BENCH_EXPECTED tasks that have `wanted` set (bytes, one a task); those that are missing are
 * computed in the sandbox. progress: called now and then, or NULL. A reference that fails is ERR_DATA
 * naming the task. */
int expected_load(struct expected *x, struct sandbox *s, const struct bench *b, const char *wanted,
                  void (*progress)(void *arg, int done, int of), void *arg, struct err *e);
void expected_free(struct expected *x);

/* The first line of such a file: what the n bytes behind it must be. */
void expected_head(char *line, size_t size, const char *p, size_t n);
/* A file without its first line (malloc); NULL with ERR_DATA if it is damaged. */
char *expected_read(const char *path, size_t *n, struct err *e);
#endif
