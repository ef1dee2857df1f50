/* adapt.h - what the fused calls and batches share about adapters; not for use outside kernels/ */
#ifndef KN_ADAPT_H
#define KN_ADAPT_H
#include "kernels.h"

/* The step's rows by adapter. */
int kn_adapt_set(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r);
void kn_adapt_free(struct kn_dev *d, struct kn_batch *b);
/* y(n_tok, n), which holds x w^T + bias or a sum with it, becomes that of the adapted layer; lora NULL: nothing to do. */
int kn_adapt(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
             const struct kn_lora *lora, const struct kn_batch *b);
/* Does one of these layers change for a row of the step? */
int kn_adapts(const struct kn_batch *b, const struct kn_lora *const *lora, int n);
#endif
