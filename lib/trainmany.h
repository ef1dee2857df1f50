/* trainmany.h - several adapters trained at once beside one frozen base, a step of each in turn
 *
 * The base is loaded once and activations lie in one place; each adapter has its own data, order, optimizer, metrics
 * and checkpoints, so that its bits are those of a run alone.  One run is the case of n = 1. */
#ifndef TRAINMANY_H
#define TRAINMANY_H
#include "trainrun.h"

struct trainmany {
    struct trainrun *run; /* (n) */
    char **text;          /* (n_text) what their paths point to */
    int n, n_text;
    int *done; /* (n) */
    int turn;  /* whose step is next */
};
/* One run, as the options say. */
int trainmany_one(struct trainmany *t, const struct trainrun_opts *o, struct err *e);
/* list (n): "DATA:OUT[,DATA:OUT...]"; o->metrics: NULL, or a name in which % stands for OUT.  ERR_USAGE: an item that is
 * no pair, an OUT that is there twice. */
int trainmany_parse(struct trainmany *t, const struct trainrun_opts *o, const char *const *list,
                    int n, struct err *e);
/* `tell` gets the OUT of the run that speaks, or NULL if there is but one. */
int trainmany_new(struct trainmany *t, const struct trainrun_opts *o, struct model *m,
                  const char *base, void (*tell)(void *out, const char *line), struct err *e);
/* One step; *at is the run that made it, *last 1 if that was all it had to do: it is to be saved now.  1: there is more
 * to do; 0: not. */
int trainmany_step(struct trainmany *t, struct trainrun **at, int *last, struct err *e);
void trainmany_free(struct trainmany *t);
#endif
