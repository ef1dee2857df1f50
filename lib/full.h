/* full.h - all weights of a model as parameters: full training
 *
 * Each matrix, norm and bias of a loaded model is widened to f32 and moves into params' array, in the place of what
 * came from the file: what the optimizer changes is what the next pass computes with.  A tied head is the embedding
 * and gets both gradients.  Matrices come first, then norms and biases, which weight decay leaves alone. */
#ifndef FULL_H
#define FULL_H
#include "model.h"
#include "params.h"

struct full_weight {
    const struct tensor *from; /* in the model's file */
    struct kn_weight *w;       /* of a matrix; the model's */
    size_t at, n;              /* floats from params' start; values */
};
struct full {
    struct params p;
    struct full_weight *t; /* (n) */
    int n;
};

/* m: loaded with KN_W_TRAIN; its weights live in f from here on, which takes 8 bytes of memory for each, and the
 * optimizer (optim.h) 8 or less.  ERR_NOMEM
 * before anything is allocated; ERR_UNAVAILABLE: a device whose memory is not the host's. */
int full_new(struct full *f, struct model *m, struct err *e);
void full_free(struct full *f);
/* The place of the gradient of a matrix, or of a norm or bias; absent if f is NULL or does not train it. */
struct kn_at full_grad(const struct full *f, const struct kn_weight *w);
struct kn_at full_grad_at(const struct full *f, struct kn_at vector);

struct verify;
/* The model as a .apr, everything else carried on from m's file; type: of its weights, one of QUANT_MIXES.  check:
 * compares it with the parameters before it gets its name (verify.h).  sha256 (65) of the file. */
int full_save(const struct full *f, const struct model *m, const char *path, const char *type,
              struct verify *check, char *sha256, struct err *e);
#endif
