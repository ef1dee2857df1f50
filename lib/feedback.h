/* feedback.h - what a model may be told about its failed answer, and no more
 *
 * A verdict's detail quotes hidden tests, and an exception's text can carry their arguments out:
 * the code chooses it.  So nothing of the detail is passed on as it stands.  What is told:
 *   - a sentence of ours for the kind of the verdict;
 *   - the exception's type if it is one of Python's or a class of the program;
 *   - its text if the program spells it, or if it is one of Python's own messages; of those, numbers
 *     and quoted values are replaced by dots, and a name stays only if the program has it;
 *   - for a syntax error, the line of the program;
 *   - a failing example only if the prompt shows it: one of MBPP's asserts, which are all in the
 *     prompt (then also what came back), or a call of the docstring or of MBPP+'s one assert, quoted
 *     from there; what came back of that is not told, for the code has met hidden tests too. */
#ifndef FEEDBACK_H
#define FEEDBACK_H
#include "bench.h"

/* The text (malloc; NULL if memory ran out). verdict: its name; detail may be NULL; run of total:
 * the assert that failed, 0 if none was reached.  tests_shown: the prompt has the task's asserts. */
char *feedback_text(const struct bench_task *t, const char *code, const char *verdict,
                    const char *detail, long run, long total, int tests_shown);
#endif
