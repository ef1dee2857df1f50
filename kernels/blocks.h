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
    KN_Q4_K = 12,
    KN_Q5_K = 13,
    KN_Q6_K = 14,
    KN_I32 = 26,
    KN_BF16 = 30,
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

_Static_assert(sizeof(struct kn_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(struct kn_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(struct kn_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(struct kn_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(struct kn_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(struct kn_q4_k) == 144, "Q4_K");
_Static_assert(sizeof(struct kn_q5_k) == 176, "Q5_K");
_Static_assert(sizeof(struct kn_q6_k) == 210, "Q6_K");

/* Facts of a type; name is NULL for an id that no kernel computes with. */
struct kn_type_info {
    const char *name; /* "Q4_K" */
    int block_len;    /* elements of a block */
    int block_bytes;  /* bytes of a block */
    int act_block;    /* activation block of its matmul: 32, 256, or 0 for float arithmetic */
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
/* n f32 to `type`; byte-equal to ggml's reference quantizers without contraction (no imatrix).
 * n a multiple of the block. */
void kn_quantize(int type, const float *src, void *dst, size_t n);
#endif
