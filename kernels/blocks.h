/* blocks.h - tensor types and quantized block layouts, shared by every backend
 *
 * A row of a tensor is a sequence of blocks; rows never share a block.  Ids and layouts are GGML's
 * (ggml src/ggml-common.h), so that files need no translation.  Fields can be unaligned inside a
 * file: read them with memcpy. */
#ifndef KN_BLOCKS_H
#define KN_BLOCKS_H
#include <stddef.h>
#include <stdint.h>

enum kn_type {
    KN_F32 = 0,
    KN_F16 = 1,
    KN_Q4_0 = 2,
    KN_Q4_1 = 3,
    KN_Q5_0 = 6,
    KN_Q5_1 = 7,
    KN_Q8_0 = 8,
    KN_Q2_K = 10,
    KN_Q3_K = 11,
    KN_Q4_K = 12,
    KN_Q5_K = 13,
    KN_Q6_K = 14,
    KN_IQ4_NL = 20,
    KN_IQ4_XS = 23,
    KN_I32 = 26,
    KN_BF16 = 30,
    KN_MXFP4 = 39,
    KN_NF4 = 176, /* ours: no file of GGML's has it, and it is no sequence of blocks (below) */
};

typedef uint16_t kn_half; /* IEEE half, little-endian */

/* x = d * (q - 8): 4.5 bits per weight; low nibbles are the first 16 elements */
struct kn_q4_0 {
    kn_half d;
    uint8_t qs[16];
};
/* x = d * q + m: 5 bits */
struct kn_q4_1 {
    kn_half d, m;
    uint8_t qs[16];
};
/* x = d * (q - 16): 5.5 bits; qh bit i = fifth bit of element i */
struct kn_q5_0 {
    kn_half d;
    uint8_t qh[4];
    uint8_t qs[16];
};
/* x = d * q + m: 6 bits */
struct kn_q5_1 {
    kn_half d, m;
    uint8_t qh[4];
    uint8_t qs[16];
};
/* x = d * q: 8.5 bits */
struct kn_q8_0 {
    kn_half d;
    int8_t qs[32];
};
/* 16 sub-blocks of 16: x = d*(s & 15)*q - dmin*(s >> 4), q of 2 bits: 2.625 bits */
struct kn_q2_k {
    uint8_t scales[16];
    uint8_t qs[64];
    kn_half d, dmin;
};
/* 16 sub-blocks of 16: x = d*(sc - 32)*(q - 4), q of 3 bits (the third in hmask), 6-bit sc packed in 12
 * bytes: 3.4375 bits */
struct kn_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[12];
    kn_half d;
};
/* 8 sub-blocks of 32: x = d*sc_j*q - dmin*m_j, 6-bit sc and m packed in 12 bytes: 4.5 bits */
struct kn_q4_k {
    kn_half d, dmin;
    uint8_t scales[12];
    uint8_t qs[128];
};
/* as Q4_K with a fifth bit: 5.5 bits */
struct kn_q5_k {
    kn_half d, dmin;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
/* 16 sub-blocks of 16: x = d*sc*(q - 32): 6.5625 bits */
struct kn_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    kn_half d;
};

/* x = d * v[q], v the sixteen uneven values of kn_iq4_values: 4.5 bits */
struct kn_iq4_nl {
    kn_half d;
    uint8_t qs[16];
};
/* 8 sub-blocks of 32: x = d*(sc - 32)*v[q], 6-bit sc: 4.25 bits */
struct kn_iq4_xs {
    kn_half d;
    uint16_t scales_h;
    uint8_t scales_l[4];
    uint8_t qs[128];
};
/* x = 2^(e - 127) * v[q], v = 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives (OCP MX): 4.25 bits */
struct kn_mxfp4 {
    uint8_t e;
    uint8_t qs[16];
};

_Static_assert(sizeof(struct kn_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(struct kn_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(struct kn_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(struct kn_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(struct kn_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(struct kn_q4_k) == 144, "Q4_K");
_Static_assert(sizeof(struct kn_q5_k) == 176, "Q5_K");
_Static_assert(sizeof(struct kn_q6_k) == 210, "Q6_K");
_Static_assert(sizeof(struct kn_q2_k) == 84, "Q2_K");
_Static_assert(sizeof(struct kn_q3_k) == 110, "Q3_K");
_Static_assert(sizeof(struct kn_iq4_nl) == 18, "IQ4_NL");
_Static_assert(sizeof(struct kn_iq4_xs) == 136, "IQ4_XS");
_Static_assert(sizeof(struct kn_mxfp4) == 17, "MXFP4");

extern const int8_t kn_iq4_values[16];
/* Half of an exponent of MXFP4, 2^(e - 128): for the doubled values, which are whole numbers. */
float kn_e8m0_half(uint8_t e);

/* Facts of a type; name is NULL for an id that no kernel computes with. */
struct kn_type_info {
    const char *name; /* "Q4_K" */
    int block_len;    /* elements of a block */
    int block_bytes;  /* bytes of a block */
    int act_block; /* activation block of its matmul: 32, 256, or 0 for float arithmetic (R2) with the
                         weight widened to f32 */
};
const struct kn_type_info *kn_type_info(int type); /* never NULL; name NULL if unknown */
int kn_type_by_name(const char *name);             /* "q4_k", "Q4_K" -> id; -1 if unknown */
/* Bytes of a row of n elements; 0 if the type is unknown or n is no multiple of its block. */
size_t kn_row_bytes(int type, size_t n);

/* Exact conversions (round to nearest even; NaN stays NaN, f16 overflow becomes infinity). */
float kn_f16_to_f32(kn_half h);
kn_half kn_f32_to_f16(float x);
float kn_bf16_to_f32(uint16_t h);
uint16_t kn_f32_to_bf16(float x);

/* The eight 6-bit scales and minima of a Q4_K or Q5_K block. */
void kn_k4_unpack(const uint8_t s[12], uint8_t sc[8], uint8_t m[8]);

/* n elements of `type` at src to f32; n a multiple of the block.  Bit-equal to ggml's dequantizers
 * built without contraction: (d*sc)*q - (dmin*m). */
void kn_dequantize(int type, const void *src, float *dst, size_t n);
/* n f32 to `type`; byte-equal to ggml's quantizers without contraction.  n a multiple of the block. */
void kn_quantize(int type, const float *src, void *dst, size_t n);
/* One row of n, with a weight for each column (an importance matrix: mean squares of the activations), or
 * NULL.  F32, F16, BF16, Q8_0 and MXFP4 do not look at it. */
void kn_quantize_row(int type, const float *src, void *dst, size_t n, const float *weight);
/* n F16 or BF16 to f32. */
void kn_widen(int type, const void *src, float *dst, size_t n);
/* The first of n values whose magnitude is not <= limit (NaN is not); n if there is none. */
size_t kn_first_beyond(const float *x, size_t n, float limit);

/* KN_NF4: a tensor of n values as a whole: codes[(n + 1) / 2], of two neighbours the first in the high
 * nibble; a byte for each block of 64 values; an f32 for each 256 of these; one f32, the mean of the block
 * scales.  4.127 bits.  kn_row_bytes is 0 for it; kn_weight_new takes it and widens it to f32. */
enum { KN_NF4_BLOCK = 64 };
size_t kn_nf4_bytes(size_t n);
/* The largest magnitude of each block of n values, which begin a block. */
void kn_nf4_absmax(const float *x, size_t n, float *absmax);
/* Everything behind the codes of a tensor of n values. */
void kn_nf4_nest(const float *absmax, size_t n, void *dst);
/* Codes of n values that begin a block, with the exact scales. */
void kn_nf4_codes(const float *x, size_t n, const float *absmax, uint8_t *codes);
/* count of the n values of the tensor at src, from `first` on. */
void kn_nf4_dequantize(const void *src, size_t n, size_t first, float *dst, size_t count);
#endif
