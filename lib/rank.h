/* rank.h - choose one of several samples of a task, without its tests
 *
 * And the mark that such a choice leaves on a record, so that its score is told apart from pass@1:
 *     "rank":{"label":"best of 4 by majority","by":"majority","chosen":2,"of":4,"reason":"..."}
 * A record that was chosen before keeps its first label in front of the new one. */
#ifndef RANK_H
#define RANK_H
#include "err.h"
#include "json.h"

enum rank_by { RANK_MAJORITY, RANK_LOGPROB, RANK_FIRST, RANK_SHORTEST };
struct rank_sample {
    long sample;
    const char *code;
    double logprob; /* mean per token; NAN = not known */
    long tokens;
    const cJSON *outputs; /* behaviour/1: array of strings, or NULL */
};
enum { RANK_REASON = 120 };
/* The index of the chosen one of v (n >= 1), with the reason in words; ERR_NOMEM.
 *   majority  the largest group that behaves alike: equal outputs on all inputs (AlphaCode's clusters,
 *             Li et al. 2022, arXiv:2203.07814).  A sample with an error on every input only counts
 *             where no other is there.  Of groups of one size, and of the samples of a group, the one
 *             of the highest mean log-probability, then of the lowest number.
 *   logprob   the highest mean log-probability    shortest  the fewest bytes of code
 *   first     the lowest number
 * logprob and shortest take a sample without code only if there is no other. Ties: the lowest number. */
int rank_choose(enum rank_by by, const struct rank_sample *v, int n, char reason[RANK_REASON],
                struct err *e);
/* "OLD, then NEW", or NEW if the record had none. */
int rank_label(char *buf, size_t size, const cJSON *record, const char *label);
#endif
