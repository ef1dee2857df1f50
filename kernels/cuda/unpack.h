/* unpack.h - one element of a block of any type as f32, as kn_dequantize makes it; bytes by a function
 *
 * For what is read once: embeddings, and weights that are kept widened. */
#ifndef CUDA_UNPACK_H
#define CUDA_UNPACK_H
#include "cuda/cuda.h"

/* Where byte `off` of block b of a row of a weight lies (cuda.h). */
__device__ static inline size_t place(struct form f, int n_block, int row, int b, int off)
{
    const size_t at = ((size_t)(row / GROUP) * n_block + b) * (size_t)(GROUP * f.bytes);
    const int r = row % GROUP, o = off - f.head;
    if (o >= 0 && o < 16 * f.pieces)
        return at + (size_t)(o / 16 * GROUP + r) * 16 + o % 16;
    const int small = off < f.head ? off : off - 16 * f.pieces;
    return at + (size_t)f.pieces * GROUP * 16 + (size_t)r * f.small() + small;
}

/* A block in a file: its length and its bytes. */
struct file_form {
    int len, bytes;
};
__host__ __device__ static inline struct file_form file_form_of(int type)
{
    switch (type) {
    case KN_F32:
        return {1, 4};
    case KN_F16:
    case KN_BF16:
        return {1, 2};
    case KN_Q2_K:
        return {256, sizeof(struct kn_q2_k)};
    case KN_Q3_K:
        return {256, sizeof(struct kn_q3_k)};
    case KN_IQ4_NL:
        return {32, sizeof(struct kn_iq4_nl)};
    case KN_IQ4_XS:
        return {256, sizeof(struct kn_iq4_xs)};
    case KN_MXFP4:
        return {32, sizeof(struct kn_mxfp4)};
    }
    return {form_of(type).len, form_of(type).bytes};
}

/* the uneven values of blocks.c */
__device__ static inline int iq4_value(unsigned q)
{
    const int8_t v[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    return v[q];
}
__device__ static inline int fp4_value(unsigned q)
{
    const int8_t v[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    return v[q];
}

template <class Bytes> __device__ static float element_32(int type, int i, Bytes byte)
{
    const auto half = [&](int off) { return half_float(byte(off) | byte(off + 1) << 8); };
    const int head = form_of(type).head;
    if (type == KN_Q8_0)
        return half(0) * (float)(int8_t)byte(2 + i);
    int q = (int)(byte(head + i % 16) >> (i < 16 ? 0 : 4) & 15);
    if (type == KN_Q5_0 || type == KN_Q5_1)
        q |= (int)(byte(head - 4 + i / 8) >> i % 8 & 1) << 4;
    if (type == KN_Q4_1 || type == KN_Q5_1)
        return half(0) * (float)q + half(2);
    return half(0) * (float)(q - (type == KN_Q4_0 ? 8 : 16));
}

template <class Bytes> __device__ static float element_k45(int type, int i, Bytes byte)
{
    const auto half = [&](int off) { return half_float(byte(off) | byte(off + 1) << 8); };
    const int j = i / 32, at = i % 32, qs = type == KN_Q5_K ? 48 : 16;
    unsigned sc, m, q = byte(qs + 32 * (j / 2) + at) >> 4 * (j & 1) & 15;
    if (j < 4) {
        sc = byte(4 + j) & 63;
        m = byte(8 + j) & 63;
    } else {
        sc = (byte(8 + j) & 15) | byte(j) >> 6 << 4;
        m = byte(8 + j) >> 4 | byte(4 + j) >> 6 << 4;
    }
    if (type == KN_Q5_K)
        q |= (byte(16 + at) >> j & 1) << 4;
    return half(0) * (float)sc * (float)q - half(2) * (float)m;
}

template <class Bytes> __device__ static float element_q6(int i, Bytes byte)
{
    const int n = i / 128, g = i % 128 / 32, l = i % 32;
    const unsigned lo = byte(64 * n + 32 * (g & 1) + l) >> 4 * (g >> 1) & 15;
    const int q = (int)(lo | (byte(128 + 32 * n + l) >> 2 * g & 3) << 4) - 32;
    return half_float(byte(208) | byte(209) << 8) * (float)(int8_t)byte(192 + i / 16) * (float)q;
}

template <class Bytes> __device__ static float element_q23(int type, int i, Bytes byte)
{
    const auto half = [&](int off) { return half_float(byte(off) | byte(off + 1) << 8); };
    const int j = i / 16, at = 16 * (j & 1) + i % 16, shift = 2 * (j / 2 % 4);
    if (type == KN_Q2_K) {
        const unsigned s = byte(j), q = byte(16 + 32 * (j / 8) + at) >> shift & 3;
        return half(80) * (float)(s & 15) * (float)q - half(82) * (float)(s >> 4);
    }
    const unsigned lo = byte(32 + 32 * (j / 8) + at) >> shift & 3;
    const int sc =
        (int)((byte(96 + j % 8) >> 4 * (j / 8) & 15) | (byte(104 + j % 4) >> 2 * (j / 4) & 3) << 4);
    const int q = (int)lo - (byte(at) >> j / 2 & 1 ? 0 : 4);
    return half(108) * (float)(sc - 32) * (float)q;
}

template <class Bytes> __device__ static float element_uneven(int type, int i, Bytes byte)
{
    const auto half = [&](int off) { return half_float(byte(off) | byte(off + 1) << 8); };
    if (type == KN_IQ4_XS) {
        const int j = i / 32, at = i % 32;
        const unsigned high = byte(2) | byte(3) << 8;
        const int sc = (int)((byte(4 + j / 2) >> 4 * (j & 1) & 15) | (high >> 2 * j & 3) << 4);
        const unsigned q = byte(8 + 16 * j + at % 16) >> (at < 16 ? 0 : 4) & 15;
        return half(0) * (float)(sc - 32) * (float)iq4_value(q);
    }
    const int head = type == KN_MXFP4 ? 1 : 2;
    const unsigned q = byte(head + i % 16) >> (i < 16 ? 0 : 4) & 15;
    if (type == KN_IQ4_NL)
        return half(0) * (float)iq4_value(q);
    const unsigned e = byte(0); /* kn_e8m0_half */
    return __uint_as_float(e < 2 ? 0x00200000u << e : (e - 1) << 23) * (float)fp4_value(q);
}

/* Element i of a block whose byte at an offset is byte(offset). */
template <class Bytes> __device__ static float element(int type, int i, Bytes byte)
{
    switch (type) {
    case KN_F32:
        return __uint_as_float(byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24);
    case KN_F16:
        return half_float(byte(0) | byte(1) << 8);
    case KN_BF16:
        return __uint_as_float((byte(0) | byte(1) << 8) << 16);
    case KN_Q4_K:
    case KN_Q5_K:
        return element_k45(type, i, byte);
    case KN_Q6_K:
        return element_q6(i, byte);
    case KN_Q2_K:
    case KN_Q3_K:
        return element_q23(type, i, byte);
    case KN_IQ4_NL:
    case KN_IQ4_XS:
    case KN_MXFP4:
        return element_uneven(type, i, byte);
    }
    return element_32(type, i, byte);
}
#endif
