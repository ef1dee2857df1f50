/* count.h - what a device will take for itself, counted before anything is made
 *
 * A plan of memory walks through what it is going to do - weights in the order in which they will be made,
 * then steps of generation or of training - and each call adds to a struct kn_count what the device will
 * allocate beside the buffers that the caller asks for.  Devices that keep no copies count nothing.  Sizes
 * alone are looked at: weights here have no rows. */
#ifndef KN_COUNT_H
#define KN_COUNT_H
#include "train.h"

enum { KN_COUNT_SLOTS = 8 };
struct kn_count {
    size_t weights; /* bytes of the weights' prepared forms */
    size_t pages;   /* what these occupy: the ends of large pages too */
    int embeds;     /* kn_embed takes the last weight's rows from its form, not from the file */
    size_t idle;    /* of kn_tmp_bytes(): what the device's fused calls never touch */
    /* the device's own */
    size_t slab[2];   /* used, size */
    int max_k[2];     /* of quantized weights, by the block of their activations: 32, 256 */
    size_t spread[2]; /* scratch of a thread for tiles of a weight; of the head (kn_count_head) */
    int floats;       /* there are weights of floats */
    size_t slot[KN_COUNT_SLOTS]; /* scratch: the most of each kind, bytes */
};

struct kn_count_ops {
    void (*weight)(const struct kn_dev *d, struct kn_count *c, int type, int n, int k, int flags);
    void (*step)(const struct kn_dev *d, struct kn_count *c, const struct kn_attn *a,
                 const struct kn_ffn *f, int rows, int out);
    void (*group)(const struct kn_dev *d, struct kn_count *c, const struct kn_group *g, int m,
                  int flags);
    void (*attn)(const struct kn_dev *d, struct kn_count *c, int head_dim, int longest, int flags);
};

/* A weight (n, k) as kn_weight_new would make it. */
void kn_count_weight(const struct kn_dev *d, struct kn_count *c, int type, int n, int k, int flags);
/* The weight that was just counted is the head, whose products have a row for each row of logits; before: as it was
 * without. */
void kn_count_head(struct kn_count *c, const struct kn_count *before);
/* Steps of inference of at most `rows` rows, `out` of them with logits, through layers of these shapes, with the weights counted so far. */
void kn_count_step(const struct kn_dev *d, struct kn_count *c, const struct kn_attn *a,
                   const struct kn_ffn *f, int rows, int out);
/* A group of layers forward and backward on m rows (kn_group, kn_group_bwd); of its places only whether a is
 * there is looked at, of its weights type, n, k and flags. */
void kn_count_group(const struct kn_dev *d, struct kn_count *c, const struct kn_group *g, int m,
                    int flags);
/* Attention of training over documents of at most `longest` rows. */
void kn_count_attn(const struct kn_dev *d, struct kn_count *c, int head_dim, int longest,
                   int flags);
/* Bytes of all scratch. */
size_t kn_count_scratch(const struct kn_count *c);
#endif
