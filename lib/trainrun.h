/* trainrun.h - a run of training: data, steps, validations, checkpoints, metrics and what is written at the end
 *
 *     trainrun_model(&m, &o, base, dev, &e);          the model, for one run or several beside each other
 *     trainrun_new(&r, &o, &m, base, &e);             r.data_path, r.out and so on are set before
 *     trainrun_resume(&r, &e);                        goes on where an interrupted run stopped
 *     while ((rc = trainrun_step(&r, &e)) > 0) ;      one step, and what is due behind it
 *     trainrun_save(&r, inputs.., &e);
 *
 * The state after every save_every steps is in OUT.ckpt; the same options with the same inputs go on from there, to
 * the same bits; the weights of the best score are in OUT.best.ckpt if they are wanted: the
 * lowest validation loss, or with eval_bench the highest pass@1 of that benchmark.  The metrics of a
 * run under way are in FILE.part. */
#ifndef TRAINRUN_H
#define TRAINRUN_H
#include "full.h"
#include "json.h"
#include "lora.h"
#include "outfile.h"
#include "ranks.h"
#include "trainer.h"

/* What the user chose; apr-lora(1) says what each means. */
struct trainrun_opts {
    const char *method, *type, *task, *data, *val, *out, *targets, *schedule, *metrics, *device,
        *precision, *keep, *eval_bench, *alert, *optim, *optim_state, *meet;
    long rank, epochs, batch, accum, max_seq_len, seed, save_every, threads, max_steps, pack,
        eval_every, patience, world_size, world_rank, wait;
    double alpha, dropout, lr, ratio, warmup, decay, weight_decay, clip, max_loss;
    int rslora, dora, recompute, show_batch, plan, json, prompt_loss, no_verify, truncate;
};
int trainrun_is_full(const struct trainrun_opts *o);
int trainrun_is_mixed(const struct trainrun_opts *o);
int trainrun_classifies(const struct trainrun_opts *o);
struct optim trainrun_optim(const struct trainrun_opts *o);

struct trainrun {
    /* set by the caller */
    const char *data_path, *out, *metrics_path; /* metrics_path NULL: none */
    void (*tell)(void *arg, const char *line);  /* what a person may want to know; not NULL */
    void *arg;
    const struct trainrun *
        with; /* of the same options and model: activations lie in its memory, and val is its; or NULL */
    /* of trainrun_new */
    const struct trainrun_opts *o;
    const char *base;
    struct model *model; /* not owned */
    struct lora lora;    /* or */
    struct full full;
    struct params *params; /* of one of the two */
    struct dataset data, val;
    struct trainer trainer;
    struct ranks ranks; /* with a world_size above 1 */
    struct partfile metrics;
    struct json_out line;
    char key[65], ckpt[4200], best_ckpt[4210];
    double best;              /* validation loss, or pass@1 */
    long best_step;           /* -1: none yet */
    long step, lines;         /* done; of metrics, written by this run or one before it */
    int stopped;              /* early */
    struct trainer_step last; /* what the last step did */
    double tokens, seconds;   /* of this process's steps */
    long first;               /* the step it began behind */
};

int trainrun_model(struct model *m, const struct trainrun_opts *o, const char *base,
                   struct kn_dev *dev, int *unpacked, struct err *e);
/* The data of a run (and of a plan), checked; samples that were cut are told. */
int trainrun_data(struct trainrun *r, const struct trainrun_opts *o, struct model *m,
                  struct err *e);
int trainrun_new(struct trainrun *r, const struct trainrun_opts *o, struct model *m,
                 const char *base, struct err *e);
void trainrun_free(struct trainrun *r);
/* The processes of a run find each other; nothing to do where there is one. */
int trainrun_join(struct trainrun *r, struct err *e);
/* Where an interrupted run of the same key stopped.  ERR_DATA: a damaged checkpoint, or one of this very command on
 * other data. */
int trainrun_resume(struct trainrun *r, struct err *e);
/* One step, with the validation and the checkpoint that are due behind it, and before the first the first
 * validation.  1: there is more to do; 0: done, the parameters are those to be written. */
int trainrun_step(struct trainrun *r, struct err *e);

/* Rows that a document of the data has, in the mean. */
double trainrun_document(const struct trainrun *r);
/* A short line on how it goes: step, loss, the share of `peak` operations a second (flops.h; 0: not known) that the
 * steps so far had, and the most memory that the process had. */
void trainrun_progress(const struct trainrun *r, double peak, char *line, size_t size);

/* Of several processes the first writes: metrics, and what the three below do.
 * Say at once, not after hours, that the output cannot be made. */
int trainrun_probe(const struct trainrun_opts *o, const char *out, struct err *e);
/* The adapter or the model, with its sidecar; start: when the tool began. */
int trainrun_save(struct trainrun *r, const char *base, double start, struct err *e);
/* After that: the metrics get their name and the checkpoints go. */
int trainrun_done(struct trainrun *r, struct err *e);

/* The tokens of the first step, a line each: the sample's number, the position in its document, the id, 1 if loss is
 * taken on it, the text as JSON. */
int trainrun_show(struct trainrun *r, FILE *f, struct err *e);

/* For trainrun's own files. */
struct evalbench_score;
int trainrun_bench(struct trainrun *r, struct evalbench_score *s, struct err *e);
int trainrun_key(struct trainrun *r, const char *base, struct err *e);
void trainrun_say(const struct trainrun *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The first digits of a key are the model's and the options', the others the data's. */
enum { TRAINRUN_KEY_OPTS = 40 };
#endif
