/* answer.h - the text of an answer as its tokens arrive: UTF-8, stop strings, a thinking block kept
 * apart
 *
 * The caller owns the answer and what it was given (tokenizer, stop strings); both must outlive it.
 * Special tokens add no text.  A stop string is matched on the text, byte by byte and across token
 * borders, so a match does not depend on how the text was cut into tokens; it never begins inside
 * the prefill.  If the tokenizer has <think> and </think>, what stands between them goes to
 * `thought`, and the newlines after </think> are left out. */
#ifndef ANSWER_H
#define ANSWER_H
#include "bpe.h"

struct answer_text {
    char *p; /* NUL-terminated once something was added; else NULL */
    size_t n, cap;
};
struct answer {
    const struct bpe *tok;
    const char *const *stop; /* (n_stop) no empty strings */
    int n_stop;
    int32_t think, think_end; /* -1 = the tokenizer has no such tokens */
    long budget, n_thought;   /* tokens of thinking allowed (-1 = any number) and seen */
    int thinking, skip_newlines, failed;
    struct answer_text text, thought;
    size_t n_prefill; /* bytes of text that came with answer_begin */
    uint32_t ends[8]; /* a bit for each byte that a stop string ends with */
};
/* prompt (may be NULL): where it ends inside an open <think>, the answer begins in it. prefill may
 * be NULL. */
int answer_begin(struct answer *a, const struct bpe *tok, const char *const *stop, int n_stop,
                 long budget, const char *prefill, const int32_t *prompt, int n_prompt,
                 struct err *e);
void answer_end(struct answer *a);
/* Room for so many more bytes, so that pushing them allocates nothing. 0 or ERR_NOMEM. */
int answer_reserve(struct answer *a, size_t bytes);
/* One more token. 1: a stop string is complete, the text has been cut before it. Else 0, or
 * ERR_NOMEM. */
int answer_push(struct answer *a, int32_t id);
/* The id that must come next because the thinking budget is used up, or -1. */
int32_t answer_forced(const struct answer *a);
/* Bytes of text that no later token can take back: whole characters, no beginning of a stop string.
 */
size_t answer_ready(const struct answer *a);
#endif
