/* quantize.h - the quantizers of one instruction set; kernels/quantize.c chooses */
#ifndef KN_QUANTIZE_H
#define KN_QUANTIZE_H
#include <stddef.h>
#include <stdint.h>

struct kn_quantizer {
    const char *path; /* "avx2" ... */
    /* n values of a row (a multiple of the block) to a quantized type; weight: one for each value, or
     * NULL.  Where GGML's formula looks at the whole row (Q4_0 to Q5_1 with weights), n is the row. */
    void (*run)(int type, const float *src, void *dst, size_t n, const float *weight);
    /* F16 and BF16 to f32 and back */
    void (*widen)(int type, const uint16_t *src, float *dst, size_t n);
    void (*narrow)(int type, const float *src, uint16_t *dst, size_t n);
    /* the first of n whose magnitude is not <= limit (NaN is not); n if there is none */
    size_t (*first_beyond)(const float *x, size_t n, float limit);
};
/* The fastest path of this machine, or the named one; NULL if it cannot run that. */
const struct kn_quantizer *kn_quantizer(const char *path);
#endif
