/* train_round.h - f32 to bf16 over simd.h: half to even, NaN stays one (as kn_f32_to_bf16) */
#ifndef TRAIN_ROUND_H
#define TRAIN_ROUND_H

/* bf16 in the upper half of each lane, zeros below */
INLINE vi round16(vf x)
{
#ifdef ISA_avx512
    vi u = vf_bits(x), up = vi_add(vi_and(vi_srl(u, 16), vi_set1(1)), vi_set1(0x7fff));
    vi r = vi_add(u, up);
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u, vi_set1(0x400000));
    return vi_and(r, vi_set1((int32_t)0xffff0000));
#else
    vi u = vf_bits(x), up = vi_add(vi_and(vi_srl(u, 16), vi_set1(1)), vi_set1(0x7fff));
    /* NaN: nothing is added, or it could become infinity or zero, and it is made quiet */
    vi a = vi_and(u, vi_set1(0x7fffffff));
    vi nan = vi_srl(vi_sub(vi_set1(0x7f800000), a), 31);
    up = vi_and(up, vi_sub(nan, vi_set1(1)));
    u = vi_or(vi_add(u, up), vi_sll(nan, 22));
    return vi_and(u, vi_set1((int32_t)0xffff0000));
#endif
}

/* the sixteen upper halves */
INLINE void store16(uint16_t *p, vi x)
{
#if defined ISA_avx512
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
#elif defined ISA_avx2
    __m256i w = _mm256_packus_epi32(_mm256_srli_epi32(x.a, 16), _mm256_srli_epi32(x.b, 16));
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(w, 0xd8));
#else
    int32_t lane[16];
    vi_store(lane, x);
    for (int i = 0; i < 16; i++)
        p[i] = (uint16_t)((uint32_t)lane[i] >> 16);
#endif
}
#endif
