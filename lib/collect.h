/* collect.h - sums of squares of what meets each weight of a model, while it runs
 *
 * collect_begin puts itself between the model and its device: until collect_end every product x w^T adds
 * the squares of x to w's entry (imatrix.h), row by row in the order of the batch, and fused calls are
 * composed of small ones, which gives the same bits (kernels/compose.c).  So the sums depend neither on
 * threads nor on how many rows a step has. */
#ifndef COLLECT_H
#define COLLECT_H
#include "imatrix.h"
#include "model.h"

struct collect;
/* head: of the output layer too. The model and m stay where they are until collect_end. ERR_NOMEM,
 * ERR_DATA (a weight of m has another shape). */
int collect_begin(struct collect **c, const struct model *model, struct imatrix *m, int head,
                  struct err *e);
/* ERR_DATA if a sum is not finite: names the weight. */
int collect_end(struct collect *c, struct err *e);
#endif
