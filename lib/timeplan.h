/* timeplan.h - how long training an adapter or all weights takes, before the model is loaded
 *
 * One layer of the model's shapes and types, all of one value, goes forward and backward once to get warm and once by the clock, on
 * as many rows as a pass has (at most TIMEPLAN_ROWS), in documents of the data's mean length; so does the head, with a
 * vocabulary of at most TIMEPLAN_VOCAB.  What was measured is multiplied: layers, vocabulary, tokens, of
 * the optimizer of all weights their number.  Reading weights that
 * are not in a cache, and a machine that slows down when it gets hot, are not in it. */
#ifndef TIMEPLAN_H
#define TIMEPLAN_H
#include "lora.h"
#include "tensor.h"

enum { TIMEPLAN_ROWS = 512, TIMEPLAN_VOCAB = 4096 };
struct timeplan_conf {
    int full; /* all weights, or: */
    struct lora_conf lora;
    int rows, document; /* of a pass; of a document */
    double labels;      /* share of the rows that have a loss */
    int recompute, mixed;
};
struct timeplan {
    double row, label,
        step; /* seconds of training a row, of the head on one with a loss, of the optimizer */
    double row_eval, label_eval; /* forward alone */
};
/* tensor (n) sorted by name, their types and shapes alone.  ERR_NOMEM: a layer does not fit. */
int timeplan_measure(struct timeplan *t, const struct hparams *h, const struct tensor *tensor,
                     int n, const struct timeplan_conf *c, struct kn_dev *dev, struct err *e);
#endif
