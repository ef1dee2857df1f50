/* diff.h - two models of any formats side by side: tensors, numbers, tokenizer, chat template, logits
 *
 * A is the reference.  Tensors are compared by their values in double, one at a time, whatever their types and containers;
 * what formats keep in another way (rows of q and k in the order of another RoPE, norms less one) is brought together
 * first.  A diff is a record of its own: nothing in it points into the files. */
#ifndef DIFF_H
#define DIFF_H
#include "json.h"
#include "kld.h"
#include "side.h"
#include <regex.h>

enum diff_state {
    DIFF_EQUAL,  /* every value, whatever the types */
    DIFF_WITHIN, /* the limits */
    DIFF_BEYOND, /* them, or where none is set, not equal */
    DIFF_SHAPE,  /* other dimensions */
    DIFF_BYTES,  /* no type of weights, or two of which one is none: other bytes */
    DIFF_ONLY_A,
    DIFF_ONLY_B,
    DIFF_STATES
};
const char *diff_state_name(int state);
struct diff_sums { /* over values, of A and of B - A */
    double count, aa, bb, ab, dd, max;
};
struct diff_tensor {
    struct tensor a, b; /* without data; of the side that lacks it: ndim 0 */
    enum diff_state state;
    struct diff_sums sum;
    uint64_t at;       /* of the largest difference, in A's order */
    uint64_t not_same; /* values where one side is NaN or infinite and the other is not the same */
};
double diff_rms(const struct diff_sums *s);
double diff_rel_rms(
    const struct diff_sums *s); /* rms over that of A; 0 if nothing differs, INFINITY if A is 0 */
double diff_cosine(const struct diff_sums *s); /* 1 if nothing differs, 0 if one side is 0 */

struct diff_note { /* a number or text that is not the same */
    char what[64];
    int minor;   /* no difference: one side says nothing of an id that is used for nothing */
    char *a, *b; /* as JSON or text; "-": none */
};
struct diff_limits { /* INFINITY, for cosine -1, for same_top 0: not set */
    double max, rel_rms, kl, cosine, same_top;
};
struct diff_want {
    struct diff_limits limits;
    const regex_t *filter;      /* of tensor names; NULL: all */
    const char *tensor;         /* part of their names; NULL: any */
    int weights;                /* compare tensors alone */
    const char *prompts, *text; /* for logits; NULL: none */
    long ctx;                   /* tokens of a prompt at most, of a chunk of the text */
    int threads;
};
struct diff {
    char *path[2], *why[2]; /* why: "" or why only tensors of it are compared */
    struct diff_tensor *t;  /* (n) by name */
    int n;
    struct diff_sums all;
    int count[DIFF_STATES];
    struct diff_note *note;              /* (n_note) */
    int n_note, n_minor;                 /* n_minor: of them no differences */
    int has_logits, n_prompt, n_skipped; /* skipped: B's tokenizer gives other ids */
    struct kld_summary logits;
    int same; /* nothing differs, or all that does is within the limits */
};
/* Free with diff_free even after an error. */
int diff_models(struct diff *d, const char *a, const char *b, const struct diff_want *w,
                struct err *e);
void diff_free(struct diff *d);

/* diff/1; limit: at most so many tensors, those of the largest relative RMS first (0: all, by name). */
int diff_json(struct json_out *j, const struct diff *d, long limit, struct err *e);
/* For people; equal tensors only with `all`. */
int diff_text(FILE *out, const struct diff *d, long limit, int all, struct err *e);

/* diff.c's parts.  One tensor of both (diff_tensor.c): a and b by index. */
int diff_tensor(struct diff_tensor *t, const struct side *a, int i, const struct side *b, int k,
                struct err *e);
void diff_add(struct diff_sums *to, const struct diff_sums *s);
/* Numbers, tokenizer, template (diff_notes.c). */
int diff_notes(struct diff *d, const struct side *a, const struct side *b, struct err *e);
/* Both run on the texts (diff_logits.c). */
int diff_logits(struct diff *d, const struct side *a, const struct side *b,
                const struct diff_want *w, struct err *e);
#endif
