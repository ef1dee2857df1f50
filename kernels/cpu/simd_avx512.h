/* simd_avx512.h - simd.h with one 512-bit register; the dot product is VNNI's */
#include <immintrin.h>

typedef __m512 vf;
typedef __m512i vi;
enum { SIMD_MR = 12, SIMD_NP = 2 }; /* f32 tile: 12 rows by 2 vectors fill 24 of 32 registers */

// one line an operation
// clang-format off
INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }
INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); } /* a < b ? a : b */
INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); } /* a > b ? a : b */
INLINE vi vf_bits(vf a) { return _mm512_castps_si512(a); }
INLINE vf vi_float_bits(vi a) { return _mm512_castsi512_ps(a); }
INLINE vf vf_neg(vf a)
{
    return vi_float_bits(_mm512_xor_si512(vf_bits(a), _mm512_set1_epi32((int)0x80000000)));
}
INLINE vf vf_abs(vf a)
{
    return vi_float_bits(_mm512_and_si512(vf_bits(a), _mm512_set1_epi32(0x7fffffff)));
}
/* lanes whose x < limit become 0 */
INLINE vf vf_zero_below(vf p, vf x, float limit)
{
    return _mm512_mask_mov_ps(p, _mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_LT_OQ),
                              _mm512_setzero_ps());
}
INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE void vf_store_f16(uint16_t *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    __m512i w = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}
/* lane[i] += lane[i + 8], + 4, + 2, + 1 */
INLINE float vf_fold(vf a)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
INLINE float vf_hmax(vf a) { return _mm512_reduce_max_ps(a); }

INLINE vi vi_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void vi_store(void *p, vi a) { _mm512_storeu_si512(p, a); }
INLINE vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
INLINE vi vi_zero(void) { return _mm512_setzero_si512(); }
INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
INLINE vi vi_mul(vi a, vi b) { return _mm512_mullo_epi32(a, b); }
INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
/* (a & mask) | b */
INLINE vi vi_and_or(vi a, vi mask, vi b) { return _mm512_ternarylogic_epi32(a, mask, b, 0xea); }
INLINE vi vi_sll(vi a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
INLINE vi vi_srl(vi a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
INLINE vi vi_sra(vi a, int n) { return _mm512_srai_epi32(a, (unsigned)n); }
INLINE vf vi_to_float(vi a) { return _mm512_cvtepi32_ps(a); }
INLINE vi vf_to_int(vf a) { return _mm512_cvtps_epi32(a); } /* half to even */
INLINE int32_t vi_sum(vi a) { return _mm512_reduce_add_epi32(a); }
INLINE vi vi_load_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)); }
INLINE vi vi_load_s8(const int8_t *p) { return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)); }
/* 32 bytes to 16 pairs of int16 */
INLINE vi vi_load_u8_pairs(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
INLINE vi vi_load_s8_pairs(const uint8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
INLINE void vi_store_s8(int8_t *p, vi a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a)); }
/* acc + the four products of unsigned bytes w <= 127 and signed bytes a, exact */
INLINE vi vi_dot_u7(vi acc, vi w, vi a) { return _mm512_dpbusd_epi32(acc, w, a); }
/* the same of any unsigned bytes */
enum { SIMD_U8 = 1 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a) { return _mm512_dpbusd_epi32(acc, w, a); }
/* acc + the products of (w - 128) and a, if acc began as vi_dot_s8_init(sum of a) */
INLINE vi vi_dot_s8(vi acc, vi w, vi a) { return _mm512_dpbusd_epi32(acc, w, a); }
INLINE vi vi_dot_s8_init(int32_t sum) { return _mm512_set1_epi32(-128 * sum); }
/* acc + the two products of int16 */
INLINE vi vi_dot_s16(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); }
/* 16 vectors to their 16 folds */
INLINE vf vf_fold16(const vf *v)
{
    __m512 f[8];
    UNROLL for (int i = 0; i < 8; i++) /* halves of i and i + 8 side by side */
        f[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[i], v[i + 8], 0x44),
                             _mm512_shuffle_f32x4(v[i], v[i + 8], 0xee));
    /* f[i] = 8 lanes of i, 8 lanes of i + 8; now + 4: 4 lanes each of i, i + 4, i + 8, i + 12 */
    __m512 g[4];
    UNROLL for (int i = 0; i < 4; i++)
        g[i] = _mm512_add_ps(_mm512_shuffle_f32x4(f[i], f[i + 4], 0x88),
                             _mm512_shuffle_f32x4(f[i], f[i + 4], 0xdd));
    /* g[i]: quarters of i, i + 8, i + 4, i + 12; + 2: within quarters, i and i + 2 side by side */
    __m512 e[2];
    UNROLL for (int i = 0; i < 2; i++)
        e[i] = _mm512_add_ps(_mm512_shuffle_ps(g[i], g[i + 2], 0x44),
                             _mm512_shuffle_ps(g[i], g[i + 2], 0xee));
    /* e[i] quarter: i, i, i + 2, i + 2; + 1 */
    __m512 d = _mm512_add_ps(_mm512_shuffle_ps(e[0], e[1], 0x88), _mm512_shuffle_ps(e[0], e[1], 0xdd));
    /* d quarter q (of 0, 8, 4, 12): lanes 0, 2, 1, 3 */
    const __m512i order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
    return _mm512_permutexvar_ps(order, d);
}
