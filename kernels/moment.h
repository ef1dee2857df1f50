/* moment.h - an optimizer's running means in less than f32: bf16, or 8 bits in blocks of 256
 *
 * Only AdamW and Muon of train.h read and write them; the tests look inside. */
#ifndef KN_MOMENT_H
#define KN_MOMENT_H
#include "train.h"

enum { KN_MOMENT_BLOCK = 256 };
struct kn_block8 { /* value = scale * map[code] */
    float scale;   /* largest absolute value */
    uint8_t code[KN_MOMENT_BLOCK];
};
_Static_assert(sizeof(struct kn_block8) == 260, "8.125 bits a value");

/* The draws that n elements' bf16 are rounded with, `first` being the first one's number: 16 bits for each of two
 * moments.  Of other types nothing is drawn. */
void kn_moment_draws(const struct kn_adamw *h, uint64_t first, uint32_t *draw, size_t n);
/* The code book: ascending; of unsigned values (v), or of both signs (m). */
const float *kn_moment_map(int is_signed);
/* n elements from the beginning of a block on; n may end inside one. */
void kn_moment_load(enum kn_moment type, int is_signed, const void *from, float *x, size_t n);
/* A block's scale is made anew, so n ends inside one at the end of all alone.  draw: of bf16; m (signed) takes the
 * lower halves, v the upper ones. */
void kn_moment_store(enum kn_moment type, int is_signed, void *to, const float *x, size_t n,
                     const uint32_t *draw);
/* What T6 multiplies with: lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, lr wd, grad_scale, and of m and v
 * 1 / (1 - beta^t). */
void kn_adamw_factors(const struct kn_adamw *h, float c[10]);
#endif
