/* prompt.h - a prompting strategy: how a benchmark's problem becomes the text that a model is asked
 *
 * configs/prompts/NAME.yaml holds one text a format, with placeholders in braces: {prompt} (white
 * space at its end removed), {text}, {tests} (asserts, one a line).  Other braces stand for
 * themselves. */
#ifndef PROMPT_H
#define PROMPT_H
#include "bench.h"

struct prompt {
    char *strategy;
    char *humaneval, *mbpp; /* texts; NULL = the strategy has none for that format */
    char *system;           /* system turn or NULL */
};
/* A strategy's name, or the path of its .yaml. ERR_NOINPUT, ERR_CONFIG. */
int prompt_load(struct prompt *p, const char *strategy, struct err *e);
void prompt_free(struct prompt *p);
/* The text for a task (malloc). NULL with ERR_CONFIG if the strategy does not know the format. */
char *prompt_text(const struct prompt *p, const struct bench *b, const struct bench_task *t,
                  struct err *e);
#endif
