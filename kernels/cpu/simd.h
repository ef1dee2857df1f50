/* simd.h - sixteen lanes written once: one zmm, two ymm, four q, or an array, chosen by -DISA_...
 *
 * vf is 16 floats, vi is 16 int32.  Every function has one meaning, to the bit, on all paths:
 * lanes are independent, fma is fused, fold is the canonical order of kernels.h.  A file NAME.simd.c
 * is compiled once per path; its public names end in the path: FN(mmq_rows) is mmq_rows_avx2. */
#ifndef SIMD_H
#define SIMD_H
#include "../blocks.h"
#include "../poly.h"

#include <string.h>

#define FN_PASTE(a, b)  a##_##b
#define FN_PASTE2(a, b) FN_PASTE(a, b)
#define FN(name)        FN_PASTE2(name, ISA)
#define STRING(x)       #x
#define STRING2(x)      STRING(x)
#define PATH            STRING2(ISA) /* "avx2" */
/* Loops of a constant count that must become straight code, so that arrays become registers.  The plain
 * path has no registers to gain, and inlined as hard it took minutes to compile. */
#if defined(ISA_generic)
#define INLINE static inline __attribute__((unused))
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline, unused))
#endif
#if defined(ISA_generic)
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

#if defined(ISA_avx512)
#include "simd_avx512.h"
#elif defined(ISA_avx2) || defined(ISA_avxvnni)
#include "simd_avx2.h"
#elif defined(ISA_neon) || defined(ISA_neon_i8mm)
#include "simd_neon.h"
#else
#include "simd_generic.h"
#endif

#if !defined(ISA_avx2)
/* Short sums: where a byte product gives int16 (AVX2), a few are added before they are widened.
 * Elsewhere a short sum is an ordinary one. */
enum { SIMD_SHORT = 0 };
INLINE vi vs_dot(vi p, vi w, vi a)
{
    return vi_dot_u7(p, w, a);
}
INLINE vi vs_scaled(vi s, vi p, vi f)
{
    return vi_add(s, vi_mul(p, f));
}
INLINE vi vs_join(vi s, vi p)
{
    return vi_add(s, p);
}
INLINE vi vs_factor_u8(const uint8_t *p)
{
    return vi_load_u8(p);
}
/* of int16 pairs the low and the high ones */
INLINE vi vs_factor_low(vi x)
{
    return vi_sra(vi_sll(x, 16), 16);
}
INLINE vi vs_factor_high(vi x)
{
    return vi_sra(x, 16);
}
#endif

/* kn_exp of poly.h, line by line */
INLINE vf vf_exp(vf x)
{
    vf c = vf_min(vf_set1(KN_EXP_HI), x);
    vf t = vf_fma(c, vf_set1(KN_EXP_LOG2E), vf_set1(KN_EXP_MAGIC));
    vf n = vf_sub(t, vf_set1(KN_EXP_MAGIC));
    vf r = vf_fma(n, vf_set1(-KN_EXP_LN2_HI), c);
    r = vf_fma(n, vf_set1(-KN_EXP_LN2_LO), r);
    vf q = vf_set1(KN_EXP_C6);
    q = vf_fma(q, r, vf_set1(KN_EXP_C5));
    q = vf_fma(q, r, vf_set1(KN_EXP_C4));
    q = vf_fma(q, r, vf_set1(KN_EXP_C3));
    q = vf_fma(q, r, vf_set1(KN_EXP_C2));
    vf p = vf_add(vf_fma(q, vf_mul(r, r), r), vf_set1(1.0f));
    vi i = vi_sub(vf_bits(t), vi_set1(0x4b400000));
    vi half = vi_sra(i, 1);
    vf s1 = vi_float_bits(vi_sll(vi_add(half, vi_set1(127)), 23));
    vf s2 = vi_float_bits(vi_sll(vi_add(vi_sub(i, half), vi_set1(127)), 23));
    p = vf_mul(vf_mul(p, s1), s2);
    return vf_zero_below(p, x, KN_EXP_LO);
}

/* x * sigmoid(x) as kn_silu */
INLINE vf vf_silu(vf x)
{
    return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_neg(x))));
}

/* kn_gelu, kn_tanh and kn_sigmoid */
INLINE vf vf_gelu(vf x)
{
    vf u = vf_fma(vf_mul(vf_set1(KN_GELU_CUBE), vf_mul(x, x)), x, x);
    return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_neg(vf_mul(vf_set1(KN_GELU_2U), u)))));
}
INLINE vf vf_tanh(vf x)
{
    vf e = vf_add(vf_set1(1.0f), vf_exp(vf_add(x, x)));
    return vf_sub(vf_set1(1.0f), vf_div(vf_set1(2.0f), e));
}
INLINE vf vf_sigmoid(vf x)
{
    return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), vf_exp(vf_neg(x))));
}

/* p[0..n) with zeros above, n <= 16; and its store */
INLINE vf vf_load_n(const float *p, int n)
{
    float t[16] = {0};
    if (n >= 16)
        return vf_load(p);
    memcpy(t, p, (size_t)n * sizeof *p);
    return vf_load(t);
}
INLINE void vf_store_n(float *p, vf v, int n)
{
    float t[16];
    if (n >= 16) {
        vf_store(p, v);
        return;
    }
    vf_store(t, v);
    memcpy(p, t, (size_t)n * sizeof *p);
}
#endif
