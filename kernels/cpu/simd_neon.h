/* simd_neon.h - simd.h with four 128-bit registers; the dot product is SDOT, or with i8mm USDOT */
#include <arm_neon.h>

typedef struct {
    float32x4_t v[4];
} vf;
typedef struct {
    int32x4_t v[4];
} vi;
enum { SIMD_MR = 6, SIMD_NP = 1 }; /* f32 tile: 6 rows by one vf fill 24 of 32 registers */

/* the same for each of the four registers, whose number is i: a constant, so that r is no array */
#define AT(n, expr)                                                                                \
    {                                                                                              \
        enum { i = n };                                                                            \
        r.v[i] = (expr);                                                                           \
    }
#define OP(type, expr)                                                                             \
    type r;                                                                                        \
    AT(0, expr) AT(1, expr) AT(2, expr) AT(3, expr) return r
#define VF_OP(expr) OP(vf, expr)
#define VI_OP(expr) OP(vi, expr)
#define F32(x)      vreinterpretq_f32_s32(x)
#define S32(x)      vreinterpretq_s32_f32(x)
#define S8(x)       vreinterpretq_s8_s32(x)
#define U32(x)      vreinterpretq_u32_s32(x)

// one line an operation
// clang-format off
INLINE vf vf_load(const float *p) { VF_OP(vld1q_f32(p + 4 * i)); }
INLINE void vf_store(float *p, vf x)
{
    UNROLL for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, x.v[i]);
}
INLINE vf vf_set1(float x) { VF_OP(vdupq_n_f32(x)); }
INLINE vf vf_zero(void) { return vf_set1(0); }
INLINE vf vf_add(vf x, vf y) { VF_OP(vaddq_f32(x.v[i], y.v[i])); }
INLINE vf vf_sub(vf x, vf y) { VF_OP(vsubq_f32(x.v[i], y.v[i])); }
INLINE vf vf_mul(vf x, vf y) { VF_OP(vmulq_f32(x.v[i], y.v[i])); }
INLINE vf vf_div(vf x, vf y) { VF_OP(vdivq_f32(x.v[i], y.v[i])); }
/* x < y ? x : y, as x86 has it: FMIN would give a NaN on either side */
INLINE vf vf_min(vf x, vf y) { VF_OP(vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i])); }
/* x > y ? x : y */
INLINE vf vf_max(vf x, vf y) { VF_OP(vbslq_f32(vcgtq_f32(x.v[i], y.v[i]), x.v[i], y.v[i])); }
INLINE vf vf_fma(vf x, vf y, vf z) { VF_OP(vfmaq_f32(z.v[i], x.v[i], y.v[i])); }
INLINE vi vf_bits(vf x) { VI_OP(S32(x.v[i])); }
INLINE vf vi_float_bits(vi x) { VF_OP(F32(x.v[i])); }
INLINE vf vf_neg(vf x) { VF_OP(vnegq_f32(x.v[i])); }
INLINE vf vf_abs(vf x) { VF_OP(vabsq_f32(x.v[i])); }
/* lanes whose x < limit become 0 */
INLINE vf vf_zero_below(vf p, vf x, float limit)
{
    VF_OP(F32(vbicq_s32(S32(p.v[i]), vreinterpretq_s32_u32(vcltq_f32(x.v[i], vdupq_n_f32(limit))))));
}
INLINE vf vf_load_f16(const uint16_t *p) { VF_OP(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)))); }
INLINE void vf_store_f16(uint16_t *p, vf x) /* rounds as FPCR says: half to even */
{
    UNROLL for (int i = 0; i < 4; i++)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    VF_OP(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
/* lane[i] += lane[i + 8], + 4: what is left are four lanes */
INLINE float32x4_t fold_to4(vf x)
{
    return vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
}
/* ... + 2, + 1 */
INLINE float vf_fold(vf x)
{
    float32x4_t q = fold_to4(x);
    return vpadds_f32(vadd_f32(vget_low_f32(q), vget_high_f32(q)));
}
INLINE float vf_hmax(vf x)
{
    float32x4_t m = x.v[0];
    UNROLL for (int i = 1; i < 4; i++)
        m = vbslq_f32(vcgtq_f32(m, x.v[i]), m, x.v[i]);
    float a[4];
    vst1q_f32(a, m);
    a[0] = a[0] > a[2] ? a[0] : a[2];
    a[1] = a[1] > a[3] ? a[1] : a[3];
    return a[0] > a[1] ? a[0] : a[1];
}

INLINE vi vi_load(const void *p)
{
    vi r;
    UNROLL for (int i = 0; i < 4; i++)
        r.v[i] = vreinterpretq_s32_u8(vld1q_u8((const uint8_t *)p + 16 * i));
    return r;
}
INLINE void vi_store(void *p, vi x)
{
    UNROLL for (int i = 0; i < 4; i++)
        vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_s32(x.v[i]));
}
INLINE vi vi_set1(int32_t x) { VI_OP(vdupq_n_s32(x)); }
INLINE vi vi_zero(void) { return vi_set1(0); }
INLINE vi vi_add(vi x, vi y) { VI_OP(vaddq_s32(x.v[i], y.v[i])); }
INLINE vi vi_sub(vi x, vi y) { VI_OP(vsubq_s32(x.v[i], y.v[i])); }
INLINE vi vi_mul(vi x, vi y) { VI_OP(vmulq_s32(x.v[i], y.v[i])); }
INLINE vi vi_and(vi x, vi y) { VI_OP(vandq_s32(x.v[i], y.v[i])); }
INLINE vi vi_or(vi x, vi y) { VI_OP(vorrq_s32(x.v[i], y.v[i])); }
/* (a & mask) | b */
INLINE vi vi_and_or(vi x, vi mask, vi y) { return vi_or(vi_and(x, mask), y); }
INLINE vi vi_sll(vi x, int n) { VI_OP(vreinterpretq_s32_u32(U32(x.v[i]) << n)); }
INLINE vi vi_srl(vi x, int n) { VI_OP(vreinterpretq_s32_u32(U32(x.v[i]) >> n)); }
INLINE vi vi_sra(vi x, int n) { VI_OP(x.v[i] >> n); }
INLINE vf vi_to_float(vi x) { VF_OP(vcvtq_f32_s32(x.v[i])); }
INLINE vi vf_to_int(vf x) { VI_OP(vcvtnq_s32_f32(x.v[i])); } /* half to even */
INLINE int32_t vi_sum(vi x)
{
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[1]), vaddq_s32(x.v[2], x.v[3])));
}
INLINE vi vi_load_u8(const uint8_t *p)
{
    uint8x16_t b = vld1q_u8(p);
    uint16x8_t lo = vmovl_u8(vget_low_u8(b)), hi = vmovl_high_u8(b);
    return (vi){{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))), vreinterpretq_s32_u32(vmovl_high_u16(lo)),
                 vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))), vreinterpretq_s32_u32(vmovl_high_u16(hi))}};
}
INLINE vi vi_load_s8(const int8_t *p)
{
    int8x16_t b = vld1q_s8(p);
    int16x8_t lo = vmovl_s8(vget_low_s8(b)), hi = vmovl_high_s8(b);
    return (vi){{vmovl_s16(vget_low_s16(lo)), vmovl_high_s16(lo), vmovl_s16(vget_low_s16(hi)), vmovl_high_s16(hi)}};
}
/* 32 bytes to 16 pairs of int16 */
INLINE vi vi_load_u8_pairs(const uint8_t *p) { VI_OP(vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p + 8 * i)))); }
INLINE vi vi_load_s8_pairs(const uint8_t *p)
{
    VI_OP(vreinterpretq_s32_s16(vmovl_s8(vreinterpret_s8_u8(vld1_u8(p + 8 * i)))));
}
/* lanes hold -128..127 */
INLINE void vi_store_s8(int8_t *p, vi x)
{
    int16x8_t lo = vmovn_high_s32(vmovn_s32(x.v[0]), x.v[1]), hi = vmovn_high_s32(vmovn_s32(x.v[2]), x.v[3]);
    vst1q_s8(p, vmovn_high_s16(vmovn_s16(lo), hi));
}
/* acc + the four products of unsigned bytes w <= 127 and signed bytes a, exact */
INLINE vi vi_dot_u7(vi acc, vi w, vi a) { VI_OP(vdotq_s32(acc.v[i], S8(w.v[i]), S8(a.v[i]))); }
/* acc + the products of (w - 128) and a, if acc began as vi_dot_s8_init(sum of a) */
#if defined(__ARM_FEATURE_MATMUL_INT8)
/* the same of any unsigned bytes */
enum { SIMD_U8 = 1 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a)
{
    VI_OP(vusdotq_s32(acc.v[i], vreinterpretq_u8_s32(w.v[i]), S8(a.v[i])));
}
INLINE vi vi_dot_s8(vi acc, vi w, vi a)
{
    VI_OP(vusdotq_s32(acc.v[i], vreinterpretq_u8_s32(w.v[i]), S8(a.v[i])));
}
INLINE vi vi_dot_s8_init(int32_t sum) { return vi_set1(-128 * sum); }
#else
/* not here: the product is of signed bytes */
enum { SIMD_U8 = 0 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
INLINE vi vi_dot_s8(vi acc, vi w, vi a)
{
    VI_OP(vdotq_s32(acc.v[i], veorq_s8(S8(w.v[i]), vdupq_n_s8(-128)), S8(a.v[i])));
}
INLINE vi vi_dot_s8_init(int32_t sum)
{
    (void)sum;
    return vi_zero();
}
#endif
INLINE int32x4_t dot_s16(int32x4_t acc, int16x8_t x, int16x8_t y)
{
    return vaddq_s32(acc, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
/* acc + the two products of int16 */
INLINE vi vi_dot_s16(vi acc, vi x, vi y)
{
    VI_OP(dot_s16(acc.v[i], vreinterpretq_s16_s32(x.v[i]), vreinterpretq_s16_s32(y.v[i])));
}
/* four vectors of four lanes: + 2 side by side, then + 1 */
INLINE float32x4_t fold4(const vf *v)
{
    float64x2_t q[4];
    UNROLL for (int i = 0; i < 4; i++)
        q[i] = vreinterpretq_f64_f32(fold_to4(v[i]));
    float32x4_t a = vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(q[0], q[1])), vreinterpretq_f32_f64(vzip2q_f64(q[0], q[1])));
    float32x4_t b = vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(q[2], q[3])), vreinterpretq_f32_f64(vzip2q_f64(q[2], q[3])));
    return vpaddq_f32(a, b);
}
/* 16 vectors to their 16 folds */
INLINE vf vf_fold16(const vf *v) { VF_OP(fold4(v + 4 * i)); }
// clang-format on
#undef AT
#undef OP
#undef VF_OP
#undef VI_OP
#undef F32
#undef S32
#undef S8
#undef U32
