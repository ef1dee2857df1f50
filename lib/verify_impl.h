/* verify_impl.h - what the parts of verify share */
#ifndef VERIFY_IMPL_H
#define VERIFY_IMPL_H
#include "verify.h"

enum { VERIFY_PROMPTS = 8 };
struct verify_texts { /* of data/receipt.jsonl */
    char **s;
    int n, n_prompt; /* the first n_prompt are prompts */
};
int verify_texts_load(struct verify_texts *x, struct err *e);
void verify_texts_free(struct verify_texts *x);

/* What the two models computed. */
struct verify_run {
    int prompts, rows; /* positions compared */
    const char *limit; /* what bounds them: "none", "work", "memory", "context" */
    double max_diff, kl_mean, kl_max;
    double largest;  /* logit of the source, whatever its sign, where the copy differs */
    int rounds_8bit; /* its activations are rounded to 8 bits somewhere */
    int top1;        /* positions with the same first choice */
    int greedy, greedy_same;
};
/* verify_run.c: both through the prompts. */
int verify_run(struct verify_run *r, const struct view *from, const struct view *to,
               const struct verify_texts *x, int threads, struct err *e);

/* verify_text.c: texts whose ids and decoded text are the same; -1 without a tokenizer. */
int verify_tokenizer(const struct view *from, const struct view *to, const struct verify_texts *x,
                     int *same, struct err *e);
/* Does a conversation have the same ids? 1, 0, or -1: the source has no chat template. */
int verify_chat(const struct view *from, const struct view *to, int *same, struct err *e);
#endif
