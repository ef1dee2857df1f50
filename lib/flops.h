/* flops.h - operations that training a token takes, and how many a device does in a second
 *
 * Of all weights: 6 N + 12 L T d, N the parameters of all products with the head counted once and the looked-up
 * embedding not, T the rows that a token's document has, d the width of attention (Chowdhery et al. 2022,
 * arXiv:2204.02311, appendix B).  Beside a frozen base no gradient of N is made: 4 N, and 6 N where layers run twice.
 * Multiplications and additions count as one each. */
#ifndef FLOPS_H
#define FLOPS_H
#include "hparams.h"
#include "kernels.h"

double flops_token(const struct hparams *h, int full, int recompute, double document);
/* The rate of one large square product of that precision, as training makes it: the best of a few.  Takes a fraction
 * of a second. */
int flops_peak(struct kn_dev *d, int mixed, double *per_second, struct err *e);
#endif
