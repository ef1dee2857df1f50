/* train_round.h - f32 to bf16 over simd.h as T1 of train.h has it: denormals are zero, then half to even; NaN stays one
 *
 * With -DROUND_bf16 (mk/build.mk, avx512bf16) by VCVTNE2PS2BF16, which is defined so whatever MXCSR says
 * (Intel 64 and IA-32 SDM volume 2); two vectors are then one instruction. */
#ifndef TRAIN_ROUND_H
#define TRAIN_ROUND_H

#ifdef ROUND_bf16
INLINE void store_bf16(uint16_t *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(x));
}
/* x, then y */
INLINE void store_bf16_2(uint16_t *p, vf x, vf y)
{
    vi_store(p, (__m512i)_mm512_cvtne2ps_pbh(y, x));
}
/* of each lane even's below odd's */
INLINE vi pairs_bf16(vf even, vf odd)
{
    const __m512i at = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                        8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(at, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}
#else
/* in the upper half of each lane, zeros below */
INLINE vi round16(vf x)
{
    vi u = vf_bits(x), up = vi_add(vi_and(vi_srl(u, 16), vi_set1(1)), vi_set1(0x7fff));
#ifdef ISA_avx512
    vi r = vi_add(u, up);
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u, vi_set1(0x400000));
    return _mm512_maskz_and_epi32(_mm512_test_epi32_mask(u, vi_set1(0x7f800000)), r,
                                  vi_set1((int32_t)0xffff0000));
#else
    /* NaN: nothing is added, or it could become infinity or zero, and it is made quiet */
    vi a = vi_and(u, vi_set1(0x7fffffff));
    vi nan = vi_srl(vi_sub(vi_set1(0x7f800000), a), 31);
    vi normal = vi_sub(vi_srl(vi_sub(a, vi_set1(0x800000)), 31), vi_set1(1));
    up = vi_and(up, vi_sub(nan, vi_set1(1)));
    u = vi_or(vi_add(u, up), vi_sll(nan, 22));
    return vi_and(vi_and(u, normal), vi_set1((int32_t)0xffff0000));
#endif
}

INLINE void store_bf16(uint16_t *p, vf x)
{
    vi r = round16(x);
#if defined ISA_avx512
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
#elif defined ISA_avx2
    __m256i w = _mm256_packus_epi32(_mm256_srli_epi32(r.a, 16), _mm256_srli_epi32(r.b, 16));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(w, 0xd8));
#else
    int32_t lane[16];
    vi_store(lane, r);
    for (int i = 0; i < 16; i++)
        p[i] = (uint16_t)((uint32_t)lane[i] >> 16);
#endif
}
INLINE void store_bf16_2(uint16_t *p, vf x, vf y)
{
    store_bf16(p, x);
    store_bf16(p + 16, y);
}
INLINE vi pairs_bf16(vf even, vf odd)
{
    return vi_or(vi_srl(round16(even), 16), round16(odd));
}
#endif
#endif
