/* speed.h - how fast a model runs on a device: what apr-bench measures, and the tables it prints
 *
 * A measurement is a row: a name, a unit, one value of each repetition; of decoding also the time of
 * every step.  Names and definitions of the token tests are llama-bench's and llama-batched-bench's:
 *   pp512        a prompt of 512 tokens from empty context, logits of the last: tokens a second
 *   tg128        128 steps of one token from empty context, logits of each
 *   pp512+tg128  both in a row: all tokens over the whole time
 *   pp128x8      8 prompts of 128, together; tg128x8: then 128 steps of 8 tokens: tokens of all a second
 * Tokens are drawn at random and the drawing is not measured; nothing is sampled, but where a device finds the likeliest token
 * itself (kn_top) that is measured in place of all logits on their way to the host.  What a device holds
 * is made before the clock starts.  Rows are owned by struct speed. */
#ifndef SPEED_H
#define SPEED_H
#include "clock.h"
#include "model.h"
#include <stdint.h>

struct speed_row {
    char name[40], unit[12]; /* "tg128", "tok/s" */
    double *value;           /* (n) one a repetition */
    int n;
    double *step; /* (n_step) seconds of each decoding step, ascending; NULL = none */
    int n_step;
    size_t peak, kv; /* bytes: most memory resident during it (0 = unknown); its KV cache */
};
struct speed {
    struct speed_row *row;
    int n, cap;
};
struct speed_conf {
    int reps, warmup; /* measured and not measured runs of each test */
    int chunk;        /* rows of a step of a prompt */
    int kv_type;      /* KN_F32, KN_F16 ... */
    int mixed; /* training with bf16 operands (backward.h); the model is loaded with KN_W_MIXED */
    uint64_t seed;
    void (*tell)(void *arg, const char *name, int rep); /* before each run; may be NULL */
    void *arg;
};
struct speed_test {
    int n_seq, n_prompt, n_gen;
    int split; /* prompts and steps are two rows */
};
void speed_free(struct speed *s);

/* "512,128" into v[0..max-1]; their number, or ERR_USAGE with `what`. "0" alone is none. */
int speed_list(const char *text, const char *what, int *v, int max, struct err *e);
/* Positions that the longest sequence of a test needs. */
int speed_ctx(const struct speed_test *t);
/* One test; a row, with split two. ERR_USAGE if it is longer than the model's context, or has more than
 * SPEED_SEQS sequences. */
enum { SPEED_SEQS = 1024 };
int speed_run(struct speed *s, const struct model *m, const struct speed_conf *c,
              const struct speed_test *t, struct err *e);
/* From nothing to the first token, each time in a process of its own: rows "load" (device opened, model
 * loaded) and "ttft" (then SPEED_TEXT encoded, its forward pass, the likeliest token), in s from the
 * process's start, with that process's memory.  flags: start_model's.  Call it before threads exist. */
#define SPEED_TEXT "Hello my name is"
int speed_start(struct speed *s, const char *path, const char *device, int threads, int flags,
                const struct speed_conf *c, struct err *e);

/* What training is made of, for a model loaded with KN_W_TRAIN and LoRA of rank 16 on all linear layers;
 * each in ms; `which` of them, or "all":
 *   lora_forward  what the adapter of one q_proj adds to one token: y += scale B A x
 *   loss          cross-entropy and its gradient, 256 rows of n_vocab logits
 *   optimizer     clipping and one AdamW step of all adapters
 *   train_step    forward and backward of `rows` tokens, one document, loss on each, and the optimizer */
enum { SPEED_RANK = 16 };
int speed_train(struct speed *s, const struct model *m, const struct speed_conf *c,
                const char *which, int rows, struct err *e);

/* Median, mean, ... of n values; percentile p by nearest rank: the least of the sorted values that p % of them
 * do not exceed. */
struct speed_sum {
    double median, mean, sd, min, max;
};
struct speed_sum speed_sum(const double *v, int n);
double speed_percentile(const double *sorted, int n, double p);

/* Most memory that this process had resident since speed_peak_reset, or since its start where the
 * system cannot reset it; 0 if it is not told. */
size_t speed_peak(void);
void speed_peak_reset(void);

enum speed_format { SPEED_TABLE, SPEED_JSON, SPEED_CSV, SPEED_MD };
struct speed_head { /* what was measured */
    const char *model;
    char device[32];                 /* what ran: kn_dev's name */
    size_t file;                     /* bytes of the model's file */
    const char *kv_type, *precision; /* precision: of training */
    int threads, reps;
};
/* The rows as text (malloc, *n bytes); NULL if memory runs out. */
char *speed_text(const struct speed *s, const struct speed_head *h, enum speed_format f, size_t *n);

/* For the measuring files: a new row with room for n values; NULL = out of memory. */
struct speed_row *speed_add(struct speed *s, const char *name, const char *unit, int n);
#endif
