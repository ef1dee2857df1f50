/* poly.h - exp and SiLU as one polynomial: the same bits from C, AVX, CUDA and GLSL (R5)
 *
 * Only fma, multiplication, comparison-and-select and integer adds and shifts, all of which IEEE
 * and two's complement fix to the bit, so that a vector form is a transcription line by line:
 *   `x > hi ? hi : x` is _mm_min_ps(hi, x) (a NaN passes), the last line is a blend.
 * Results below FLT_MIN are 0, since some GPUs flush them; no result is subnormal. */
#ifndef KN_POLY_H
#define KN_POLY_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define KN_INLINE static inline __host__ __device__
#else
#define KN_INLINE static inline
#endif

#define KN_EXP_LO    (-87.3365402f) /* exp of anything below is less than FLT_MIN */
#define KN_EXP_HI    89.0f          /* exp of anything above 88.7228 overflows: one clamp for all */
#define KN_EXP_LOG2E 1.44269502f
#define KN_EXP_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, half to even */
/* ln 2 in two parts; n * LN2_HI is exact inside the fma, and so is x - n * LN2_HI */
#define KN_EXP_LN2_HI 0.693147182f
#define KN_EXP_LN2_LO (-1.90465421e-9f)
/* exp(r) = 1 + r + r^2 (C2 + C3 r + ... + C6 r^4) on |r| <= ln(2)/2: minimax of the relative error
 * (Remez exchange), 3.1e-9 before the coefficients are rounded to float */
#define KN_EXP_C2 0x1.fffffcp-2f
#define KN_EXP_C3 0x1.555492p-3f
#define KN_EXP_C4 0x1.5558f2p-5f
#define KN_EXP_C5 0x1.123a2p-7f
#define KN_EXP_C6 0x1.6a23dp-10f

KN_INLINE uint32_t kn_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
KN_INLINE float kn_bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* e^x, error below 1 ulp where the result is normal (every 37th float tried); +inf above 88.7228; 0
 * below -87.3365 and at -inf; exp(0) is 1 and NaN passes. */
KN_INLINE float kn_exp(float x)
{
    float c = x > KN_EXP_HI ? KN_EXP_HI : x;
    float t = fmaf(c, KN_EXP_LOG2E, KN_EXP_MAGIC);
    float n = t - KN_EXP_MAGIC;
    float r = fmaf(n, -KN_EXP_LN2_HI, c);
    r = fmaf(n, -KN_EXP_LN2_LO, r);
    float q = KN_EXP_C6;
    q = fmaf(q, r, KN_EXP_C5);
    q = fmaf(q, r, KN_EXP_C4);
    q = fmaf(q, r, KN_EXP_C3);
    q = fmaf(q, r, KN_EXP_C2);
    float p = fmaf(q, r * r, r) + 1.0f;
    /* times 2^n as two powers of two, since 2^128 is no float; the shift is arithmetic */
    int32_t i = (int32_t)(kn_float_bits(t) - 0x4b400000u);
    int32_t half = i >> 1;
    float s1 = kn_bits_float(((uint32_t)half + 127u) << 23);
    float s2 = kn_bits_float((uint32_t)(i - half + 127) << 23);
    p = p * s1 * s2;
    return x < KN_EXP_LO ? 0.0f : p;
}

/* x * sigmoid(x) */
KN_INLINE float kn_silu(float x)
{
    return x / (1.0f + kn_exp(-x));
}

/* x * Phi(x) in the tanh form, as torch's gelu_pytorch_tanh: with u = sqrt(2/pi) (x + 0.044715 x^3) it is
 * x (1 + tanh u) / 2 = x / (1 + exp(-2u)) */
#define KN_GELU_CUBE 0.044715f
#define KN_GELU_2U   1.59576917f /* 2 sqrt(2/pi) */
KN_INLINE float kn_gelu(float x)
{
    float u = fmaf(KN_GELU_CUBE * (x * x), x, x);
    return x / (1.0f + kn_exp(-(KN_GELU_2U * u)));
}

/* within 1.2e-7 of tanh; a NaN passes */
KN_INLINE float kn_tanh(float x)
{
    return 1.0f - 2.0f / (1.0f + kn_exp(x + x));
}

KN_INLINE float kn_sigmoid(float x)
{
    return 1.0f / (1.0f + kn_exp(-x));
}
#endif
