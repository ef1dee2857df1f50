/* simd_mask.h - comparisons of sixteen lanes and what follows from them, for each path of simd.h
 *
 * vm holds a truth per lane; a comparison with NaN is false, but those of vm_ne and
 * vm_nlt (not less) are true. */
#ifndef SIMD_MASK_H
#define SIMD_MASK_H
#include "simd.h"

// one line an operation
// clang-format off
#if defined(ISA_avx512)
typedef __mmask16 vm;
INLINE vm vm_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
INLINE vm vm_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
INLINE vm vm_nlt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }
INLINE vm vm_ne(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }
INLINE vm vm_and(vm a, vm b) { return (vm)(a & b); }
INLINE vm vm_not(vm a) { return (vm)~a; }
INLINE int vm_any(vm a) { return a != 0; }
INLINE int vm_all(vm a) { return a == 0xffff; }
INLINE vf vf_pick(vm m, vf yes, vf no) { return _mm512_mask_mov_ps(no, m, yes); }
INLINE vf vf_keep(vm m, vf x) { return _mm512_maskz_mov_ps(m, x); }
INLINE vf vf_sqrt(vf x) { return _mm512_sqrt_ps(x); }
INLINE vi vf_trunc(vf x) { return _mm512_cvttps_epi32(x); }
#elif defined(ISA_avx2) || defined(ISA_avxvnni)
typedef vf vm;
INLINE vm vm_gt(vf x, vf y) { return VF(_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ)); }
INLINE vm vm_ge(vf x, vf y) { return VF(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)); }
INLINE vm vm_nlt(vf x, vf y) { return VF(_mm256_cmp_ps(x.a, y.a, _CMP_NLT_UQ), _mm256_cmp_ps(x.b, y.b, _CMP_NLT_UQ)); }
INLINE vm vm_ne(vf x, vf y) { return VF(_mm256_cmp_ps(x.a, y.a, _CMP_NEQ_UQ), _mm256_cmp_ps(x.b, y.b, _CMP_NEQ_UQ)); }
INLINE vm vm_and(vm x, vm y) { return VF2(_mm256_and_ps); }
INLINE vm vm_not(vm x)
{
    vf y = vi_float_bits(vi_set1(-1));
    return VF2(_mm256_xor_ps);
}
INLINE int vm_any(vm x) { return _mm256_movemask_ps(_mm256_or_ps(x.a, x.b)) != 0; }
INLINE int vm_all(vm x) { return _mm256_movemask_ps(_mm256_and_ps(x.a, x.b)) == 255; }
INLINE vf vf_pick(vm m, vf x, vf y) { return VF(_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)); }
INLINE vf vf_keep(vm x, vf y) { return VF2(_mm256_and_ps); }
INLINE vf vf_sqrt(vf x) { return VF(_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)); }
INLINE vi vf_trunc(vf x) { return VI(_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)); }
#elif defined(ISA_neon) || defined(ISA_neon_i8mm)
/* the same for each of the four registers, whose number is i */
#define AT(n, expr) { enum { i = n }; r.v[i] = (expr); }
#define FOUR(type, expr) type r; AT(0, expr) AT(1, expr) AT(2, expr) AT(3, expr) return r
#define S32(x) vreinterpretq_s32_u32(x)
#define F2S(x) vreinterpretq_s32_f32(x)
typedef vi vm;
INLINE vm vm_gt(vf x, vf y) { FOUR(vi, S32(vcgtq_f32(x.v[i], y.v[i]))); }
INLINE vm vm_ge(vf x, vf y) { FOUR(vi, S32(vcgeq_f32(x.v[i], y.v[i]))); }
INLINE vm vm_nlt(vf x, vf y) { FOUR(vi, S32(vmvnq_u32(vcltq_f32(x.v[i], y.v[i])))); }
INLINE vm vm_ne(vf x, vf y) { FOUR(vi, S32(vmvnq_u32(vceqq_f32(x.v[i], y.v[i])))); }
INLINE vm vm_and(vm x, vm y) { FOUR(vi, vandq_s32(x.v[i], y.v[i])); }
INLINE vm vm_not(vm x) { FOUR(vi, vmvnq_s32(x.v[i])); }
INLINE int vm_any(vm x) { return vminvq_s32(vminq_s32(vminq_s32(x.v[0], x.v[1]), vminq_s32(x.v[2], x.v[3]))) < 0; }
INLINE int vm_all(vm x) { return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.v[0], x.v[1]), vmaxq_s32(x.v[2], x.v[3]))) < 0; }
INLINE vf vf_pick(vm m, vf x, vf y) { FOUR(vf, vbslq_f32(vreinterpretq_u32_s32(m.v[i]), x.v[i], y.v[i])); }
INLINE vf vf_keep(vm m, vf x) { FOUR(vf, vreinterpretq_f32_s32(vandq_s32(m.v[i], F2S(x.v[i])))); }
INLINE vf vf_sqrt(vf x) { FOUR(vf, vsqrtq_f32(x.v[i])); }
INLINE vi vf_trunc(vf x) { FOUR(vi, vcvtq_s32_f32(x.v[i])); }
#undef AT
#undef FOUR
#undef S32
#undef F2S
#else
typedef vi vm;
INLINE vm vm_gt(vf a, vf b) { VI_OP(-(a.v[i] > b.v[i])); }
INLINE vm vm_ge(vf a, vf b) { VI_OP(-(a.v[i] >= b.v[i])); }
INLINE vm vm_nlt(vf a, vf b) { VI_OP(-!(a.v[i] < b.v[i])); }
INLINE vm vm_ne(vf a, vf b) { VI_OP(-(a.v[i] != b.v[i])); }
INLINE vm vm_and(vm a, vm b) { VI_OP(a.v[i] & b.v[i]); }
INLINE vm vm_not(vm a) { VI_OP(~a.v[i]); }
INLINE int vm_any(vm a)
{
    int32_t any = 0;
    EACH any |= a.v[i];
    return any != 0;
}
INLINE int vm_all(vm a)
{
    int32_t all = -1;
    EACH all &= a.v[i];
    return all == -1;
}
INLINE vf vf_pick(vm m, vf yes, vf no) { VF_OP(m.v[i] ? yes.v[i] : no.v[i]); }
INLINE vf vf_keep(vm m, vf x) { VF_OP(m.v[i] ? x.v[i] : 0); }
INLINE vf vf_sqrt(vf x) { VF_OP(sqrtf(x.v[i])); }
INLINE vi vf_trunc(vf x) { VI_OP(x.v[i]); }
#endif
// clang-format on
#endif
