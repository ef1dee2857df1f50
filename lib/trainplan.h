/* trainplan.h - what a run of training would take: memory, steps and time, before the weights are loaded
 *
 * Memory is memplan's, for samples as long as the data's longest; time is timeplan's, times what there is to do. */
#ifndef TRAINPLAN_H
#define TRAINPLAN_H
#include "memplan.h"
#include "trainrun.h"

/* What there is to do. */
struct trainplan_work {
    long steps, evals;
    double tokens, labels; /* rows trained on; of them with a loss */
    double eval_tokens, eval_labels;
};
struct trainplan {
    struct memplan_model m;
    struct memplan_conf c;
    struct memplan p;
    struct trainplan_work work;
    double seconds; /* negative: it cannot be told, and why */
    struct err why;
};

/* r: with data_path and tell set; its data and the model's file are opened and stay open. */
int trainplan_make(struct trainplan *t, struct trainrun *r, const struct trainrun_opts *o,
                   struct model *m, const char *base, struct kn_dev *dev, struct err *e);
void trainplan_free(struct trainplan *t);
/* Lines for people; one JSON object (plan/1 of schema.7). */
void trainplan_text(FILE *f, const struct trainplan *t, const struct trainrun *r,
                    const struct memplan_shown *shown);
int trainplan_json(FILE *f, const struct trainplan *t, const struct trainrun *r,
                   const struct memplan_shown *shown, struct err *e);
#endif
