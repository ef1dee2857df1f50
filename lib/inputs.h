/* inputs.h - inputs to call a solution with, made from what its prompt shows and nothing else
 *
 * Where the values come from, the first that there is:
 *   1. calls of the function with plain literals: in the docstring, in MBPP's asserts (its prompt
 *      shows them all);
 *   2. "NAME = LITERAL" or "NAME: LITERAL" for every parameter, or "Input: LITERAL" for the only one;
 *   3. the parameters' annotations; the usual meaning of a parameter's name; else an integer.
 * The examples come first, then examples with one to three arguments' places changed (pymutate.h).
 * The draws depend on (seed, task_id) alone.  Tests and reference solutions are not looked at. */
#ifndef INPUTS_H
#define INPUTS_H
#include "bench.h"
#include <stdint.h>

enum inputs_from { INPUTS_NOTHING, INPUTS_EXAMPLES, INPUTS_TYPES, INPUTS_NAMES };
struct inputs {
    char **v; /* (n) source text of the arguments, all different; "" = no arguments */
    int n;
    enum inputs_from from;
};
/* At most `want` inputs; fewer if no more different ones are found, none if the prompt has no
 * definition and no call of the function. ERR_NOMEM. */
int inputs_make(struct inputs *in, const struct bench_task *t, int want, uint64_t seed,
                struct err *e);
void inputs_free(struct inputs *in);
const char *inputs_from_name(enum inputs_from f); /* "none" "examples" "types" "names" */
#endif
