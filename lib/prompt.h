/* prompt.h - a prompting strategy: how a benchmark's problem becomes what a model is asked
 *
 * configs/prompts/NAME.yaml holds one text a form of question: humaneval (Python code to complete),
 * mbpp (words and asserts), words (words alone), answer (what makes an assert true), program (code of another
 * language to complete).  Placeholders in braces: {prompt} (code to complete; white space at its end
 * removed), {text}, {tests} (asserts, one a line), {entry} (the function's name), {language},
 * {fence} (what a code block in it is marked with: cpp for C++), and in a second round {code} and
 * {feedback}.  Other braces stand for themselves.  Beside the text: a system turn, turns before the question (exemplars), a
 * prefill of the answer, raw text instead of chat, stop strings, tokens. */
#ifndef PROMPT_H
#define PROMPT_H
#include "bench.h"
#include "json.h"

struct prompt_turn { /* one exchange before the question */
    char *user, *assistant;
};
struct prompt_form { /* how problems of one format are put */
    char *text;      /* NULL = not at all */
    char *system, *prefill;
    struct prompt_turn *turn; /* (n_turn) */
    char **stop;              /* (n_stop) */
    int n_turn, n_stop, raw;
    int shows_tests; /* {tests} is in its texts */
    long max_tokens; /* the answer needs at least so many; 0 = what the benchmark says */
};
enum { PROMPT_HUMANEVAL, PROMPT_MBPP, PROMPT_WORDS, PROMPT_ANSWER, PROMPT_PROGRAM, PROMPT_FORMS };
struct prompt {
    char *strategy;
    struct prompt_form form[PROMPT_FORMS];
    int second; /* 1: its texts need a first answer */
};
struct prompt_first { /* what a second round builds on */
    const char *code, *feedback;
};
/* A strategy's name, upstream's other name for it (structured-cot, fewshot, code-gen-opt, reflect),
 * or the path of its .yaml. ERR_NOINPUT, ERR_CONFIG. */
int prompt_load(struct prompt *p, const char *strategy, struct err *e);
void prompt_free(struct prompt *p);
int prompt_form(const struct bench *b); /* PROMPT_*: how the tasks of a benchmark are asked */
/* The question for a task of a first round (malloc). NULL with ERR_CONFIG if the strategy does not
 * know the format, ERR_DATA if the task lacks what the text asks for. */
char *prompt_text(const struct prompt *p, const struct bench *b, const struct bench_task *t,
                  struct err *e);
/* Append the prompt/1 record of a task. max_tokens 0: the benchmark's, or the strategy's if that is
 * more. first: NULL in a first round. */
int prompt_record(struct json_out *j, const struct prompt *p, const struct bench *b,
                  const struct bench_task *t, long sample, long max_tokens,
                  const struct prompt_first *first, struct err *e);
#endif
