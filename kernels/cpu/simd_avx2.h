/* simd_avx2.h - simd.h with two 256-bit registers; for avxvnni too, whose byte product is one
 * instruction */
#include <immintrin.h>

typedef struct {
    __m256 a, b;
} vf;
typedef struct {
    __m256i a, b;
} vi;
enum { SIMD_MR = 6, SIMD_NP = 1 }; /* f32 tile: 6 rows by one vf fill 12 of 16 registers */

#define VF(x, y) ((vf){x, y})
#define VI(x, y) ((vi){x, y})
#define VF2(op)  VF(op(x.a, y.a), op(x.b, y.b))
#define VI2(op)  VI(op(x.a, y.a), op(x.b, y.b))
#define VI1(op)  VI(op(x.a), op(x.b))

// one line an operation
// clang-format off
INLINE vf vf_load(const float *p) { return VF(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
INLINE vf vf_set1(float x) { return VF(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
INLINE vf vf_zero(void) { return VF(_mm256_setzero_ps(), _mm256_setzero_ps()); }
INLINE vf vf_add(vf x, vf y) { return VF2(_mm256_add_ps); }
INLINE vf vf_sub(vf x, vf y) { return VF2(_mm256_sub_ps); }
INLINE vf vf_mul(vf x, vf y) { return VF2(_mm256_mul_ps); }
INLINE vf vf_div(vf x, vf y) { return VF2(_mm256_div_ps); }
INLINE vf vf_min(vf x, vf y) { return VF2(_mm256_min_ps); } /* a < b ? a : b */
INLINE vf vf_max(vf x, vf y) { return VF2(_mm256_max_ps); } /* a > b ? a : b */
INLINE vf vf_fma(vf x, vf y, vf z)
{
    return VF(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
INLINE vi vf_bits(vf x) { return VI(_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)); }
INLINE vf vi_float_bits(vi x) { return VF(_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)); }
INLINE vf vf_neg(vf x)
{
    vf y = vf_set1(-0.0f);
    return VF2(_mm256_xor_ps);
}
INLINE vf vf_abs(vf x)
{
    vf y = vf_set1(-0.0f);
    return VF(_mm256_andnot_ps(y.a, x.a), _mm256_andnot_ps(y.b, x.b));
}
/* lanes whose x < limit become 0 */
INLINE vf vf_zero_below(vf p, vf x, float limit)
{
    __m256 l = _mm256_set1_ps(limit);
    return VF(_mm256_andnot_ps(_mm256_cmp_ps(x.a, l, _CMP_LT_OQ), p.a),
              _mm256_andnot_ps(_mm256_cmp_ps(x.b, l, _CMP_LT_OQ), p.b));
}
INLINE vf vf_load_f16(const uint16_t *p)
{
    return VF(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
              _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
INLINE void vf_store_f16(uint16_t *p, vf x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    __m256i x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    __m256i y = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + 8)));
    return VF(_mm256_castsi256_ps(_mm256_slli_epi32(x, 16)),
              _mm256_castsi256_ps(_mm256_slli_epi32(y, 16)));
}
/* lane[i] += lane[i + 8], + 4, + 2, + 1 */
INLINE float vf_fold(vf x)
{
    __m256 h = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
INLINE float vf_hmax(vf x)
{
    __m256 h = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

INLINE vi vi_load(const void *p)
{
    return VI(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)p + 1));
}
INLINE void vi_store(void *p, vi x)
{
    _mm256_storeu_si256((__m256i *)p, x.a);
    _mm256_storeu_si256((__m256i *)p + 1, x.b);
}
INLINE vi vi_set1(int32_t x) { return VI(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
INLINE vi vi_zero(void) { return VI(_mm256_setzero_si256(), _mm256_setzero_si256()); }
INLINE vi vi_add(vi x, vi y) { return VI2(_mm256_add_epi32); }
INLINE vi vi_sub(vi x, vi y) { return VI2(_mm256_sub_epi32); }
INLINE vi vi_mul(vi x, vi y) { return VI2(_mm256_mullo_epi32); }
INLINE vi vi_and(vi x, vi y) { return VI2(_mm256_and_si256); }
INLINE vi vi_or(vi x, vi y) { return VI2(_mm256_or_si256); }
/* (a & mask) | b */
INLINE vi vi_and_or(vi x, vi mask, vi y) { return vi_or(vi_and(x, mask), y); }
INLINE vi vi_sll(vi x, int n) { return VI(_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)); }
INLINE vi vi_srl(vi x, int n) { return VI(_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)); }
INLINE vi vi_sra(vi x, int n) { return VI(_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)); }
INLINE vf vi_to_float(vi x) { return VF(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }
INLINE vi vf_to_int(vf x) { return VI(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)); }
INLINE int32_t vi_sum(vi x)
{
    __m256i h = _mm256_add_epi32(x.a, x.b);
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}
INLINE vi vi_load_u8(const uint8_t *p)
{
    __m128i b = _mm_loadu_si128((const __m128i *)p);
    return VI(_mm256_cvtepu8_epi32(b), _mm256_cvtepu8_epi32(_mm_srli_si128(b, 8)));
}
INLINE vi vi_load_s8(const int8_t *p)
{
    __m128i b = _mm_loadu_si128((const __m128i *)p);
    return VI(_mm256_cvtepi8_epi32(b), _mm256_cvtepi8_epi32(_mm_srli_si128(b, 8)));
}
/* 32 bytes to 16 pairs of int16 */
INLINE vi vi_load_u8_pairs(const uint8_t *p)
{
    return VI(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p)),
              _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p + 16))));
}
INLINE vi vi_load_s8_pairs(const uint8_t *p)
{
    return VI(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)),
              _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p + 16))));
}
/* lanes hold -128..127 */
INLINE void vi_store_s8(int8_t *p, vi x)
{
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    _mm_storeu_si128((__m128i *)p, _mm_packs_epi16(_mm256_castsi256_si128(w),
                                                   _mm256_extracti128_si256(w, 1)));
}
#if defined(ISA_avxvnni)
/* acc + the four products of unsigned bytes w <= 127 and signed bytes a, exact */
INLINE vi vi_dot_u7(vi acc, vi w, vi a)
{
    return VI(_mm256_dpbusd_avx_epi32(acc.a, w.a, a.a), _mm256_dpbusd_avx_epi32(acc.b, w.b, a.b));
}
/* the same of any unsigned bytes */
enum { SIMD_U8 = 1 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
/* acc + the products of (w - 128) and a, if acc began as vi_dot_s8_init(sum of a) */
INLINE vi vi_dot_s8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
/* acc + the two products of int16 */
INLINE vi vi_dot_s16(vi acc, vi x, vi y)
{
    return VI(_mm256_dpwssd_avx_epi32(acc.a, x.a, y.a), _mm256_dpwssd_avx_epi32(acc.b, x.b, y.b));
}
INLINE vi vi_dot_s8_init(int32_t sum) { return vi_set1(-128 * sum); }
#else
INLINE __m256i dot_u7(__m256i acc, __m256i w, __m256i a)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)));
}
/* acc + the four products of unsigned bytes w <= 127 and signed bytes a, exact: 2 * 127 * 127 fits
 * int16 */
INLINE vi vi_dot_u7(vi acc, vi x, vi y) { return VI(dot_u7(acc.a, x.a, y.a), dot_u7(acc.b, x.b, y.b)); }
/* not here: a sum of two products fits int16 only of bytes <= 127 */
enum { SIMD_U8 = 0 };
INLINE vi vi_dot_u8(vi acc, vi w, vi a) { return vi_dot_u7(acc, w, a); }
/* acc + the products of (w - 128) and a, if acc began as vi_dot_s8_init(sum of a).  A byte of 255
 * would overflow int16 (2 * 255 * 127), so signs move to a: |w - 128| <= 128, 2 * 128 * 127 fits. */
INLINE __m256i dot_s8(__m256i acc, __m256i w, __m256i a)
{
    w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    return dot_u7(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
}
INLINE vi vi_dot_s8(vi acc, vi x, vi y) { return VI(dot_s8(acc.a, x.a, y.a), dot_s8(acc.b, x.b, y.b)); }
INLINE vi vi_dot_s8_init(int32_t sum)
{
    (void)sum;
    return vi_zero();
}
/* acc + the two products of int16 */
INLINE vi vi_dot_s16(vi acc, vi x, vi y) { return vi_add(acc, VI2(_mm256_madd_epi16)); }
#endif
#if !defined(ISA_avxvnni)
/* Short sums: pairs of int16, a few byte products each.  Widened by a factor, which is the same in both
 * halves of a lane. */
enum { SIMD_SHORT = 1 };
INLINE vi vs_dot(vi p, vi w, vi a)
{
    return VI(_mm256_add_epi16(p.a, _mm256_maddubs_epi16(w.a, a.a)),
              _mm256_add_epi16(p.b, _mm256_maddubs_epi16(w.b, a.b)));
}
INLINE vi vs_scaled(vi s, vi x, vi y) { return vi_add(s, VI2(_mm256_madd_epi16)); }
INLINE vi vs_join(vi s, vi p) { return vs_scaled(s, p, vi_set1(0x10001)); }
INLINE vi vs_factor_u8(const uint8_t *p)
{
    vi x = vi_load_u8(p);
    return vi_or(x, vi_sll(x, 16));
}
/* of int16 pairs the low and the high ones */
INLINE vi vs_factor_low(vi x)
{
    const __m256i o = _mm256_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13, 0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9,
                                       12, 13, 12, 13);
    return VI(_mm256_shuffle_epi8(x.a, o), _mm256_shuffle_epi8(x.b, o));
}
INLINE vi vs_factor_high(vi x)
{
    const __m256i o = _mm256_setr_epi8(2, 3, 2, 3, 6, 7, 6, 7, 10, 11, 10, 11, 14, 15, 14, 15, 2, 3, 2, 3, 6, 7, 6, 7, 10, 11,
                                       10, 11, 14, 15, 14, 15);
    return VI(_mm256_shuffle_epi8(x.a, o), _mm256_shuffle_epi8(x.b, o));
}
#endif
/* 16 vectors to their 16 folds */
INLINE vf vf_fold16(const vf *v)
{
    float f[16];
    UNROLL for (int i = 0; i < 16; i++)
        f[i] = vf_fold(v[i]);
    return vf_load(f);
}
