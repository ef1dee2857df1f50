/* quantize_lanes.h - groups into lanes and codes out of them */
#include "quantize_search.h"

/* Element i of sixteen groups of n to row i. */
INLINE void gather(const int n, const float *const group[16], float (*to)[16])
{
#if defined(__AVX2__)
    for (int g = 0; g < 16; g += 8)
        for (int i = 0; i < n; i += 8) {
            __m256 r[8], t[8];
            UNROLL for (int k = 0; k < 8; k++) r[k] = _mm256_loadu_ps(group[g + k] + i);
            UNROLL for (int k = 0; k < 8; k += 2)
            {
                t[k] = _mm256_unpacklo_ps(r[k], r[k + 1]);
                t[k + 1] = _mm256_unpackhi_ps(r[k], r[k + 1]);
            }
            UNROLL for (int k = 0; k < 8; k += 4)
            {
                r[k] = _mm256_shuffle_ps(t[k], t[k + 2], 0x44);
                r[k + 1] = _mm256_shuffle_ps(t[k], t[k + 2], 0xee);
                r[k + 2] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0x44);
                r[k + 3] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0xee);
            }
            UNROLL for (int k = 0; k < 4; k++)
            {
                _mm256_storeu_ps(to[i + k] + g, _mm256_permute2f128_ps(r[k], r[k + 4], 0x20));
                _mm256_storeu_ps(to[i + k + 4] + g, _mm256_permute2f128_ps(r[k], r[k + 4], 0x31));
            }
        }
#else
    for (int g = 0; g < 16; g++)
        for (int i = 0; i < n; i++)
            to[i][g] = group[g][i];
#endif
}

/* Codes (whole numbers of -128..255 modulo 256) in rows c to q[group][element]. */
INLINE void scatter(const int n, uint8_t (*c)[16], uint8_t *q)
{
#if defined(__AVX2__)
    for (int i0 = 0; i0 < n; i0 += 16) {
        __m128i r[16], t[16];
        UNROLL for (int k = 0; k < 16; k++) r[k] = _mm_loadu_si128((const __m128i *)c[i0 + k]);
        /* four rounds of interleaving row k with row k + 8 transpose 16 x 16 bytes */
        UNROLL for (int two = 0; two < 2; two++)
        {
            UNROLL for (int k = 0; k < 8; k++)
            {
                t[2 * k] = _mm_unpacklo_epi8(r[k], r[k + 8]);
                t[2 * k + 1] = _mm_unpackhi_epi8(r[k], r[k + 8]);
            }
            UNROLL for (int k = 0; k < 8; k++)
            {
                r[2 * k] = _mm_unpacklo_epi8(t[k], t[k + 8]);
                r[2 * k + 1] = _mm_unpackhi_epi8(t[k], t[k + 8]);
            }
        }
        UNROLL for (int k = 0; k < 16; k++) _mm_storeu_si128((__m128i *)(q + k * n + i0), r[k]);
    }
#else
    for (int g = 0; g < 16; g++)
        for (int i = 0; i < n; i++)
            q[g * n + i] = c[i][g];
#endif
}

/* A row of whole numbers in 0..127 or -128..127 to bytes. */
INLINE void put_codes(uint8_t c[16], vf l)
{
    vi_store_s8((int8_t *)c, vf_to_int(l));
}

/* The codes that the search itself chose. */
INLINE void codes_found(const int n, const struct lanes *s, const struct found *f, float lo,
                        float hi, float add, uint8_t *q)
{
    uint8_t c[32][16];
    for (int i = 0; i < n; i++) {
        const vf v = vf_mul(f->iscale, vf_sub(vf_load(s->x[i]), f->from));
        put_codes(c[i], vf_add(nearest(v, lo, hi, 1), vf_set1(add)));
    }
    scatter(n, c, q);
}

/* Codes by the scales as stored: nearest((x + m) / d); lanes of d 0 keep what is in q. */
INLINE void codes_stored(const int n, const struct lanes *s, const float d[16], const float m[16],
                         float lo, float hi, float add, uint8_t *q)
{
    uint8_t c[32][16], kept[512];
    const vf zero = vf_zero(), dv = vf_load(d), mv = vf_load(m);
    const vm live = vm_ne(dv, zero);
    const vf by = vf_pick(live, dv, vf_set1(1));
    vf reach = zero;
    for (int i = 0; i < n; i++)
        reach = vf_max(vf_abs(vf_load(s->x[i])), reach);
    const int wild = is_wild(vf_div(vf_add(reach, vf_abs(mv)), by), vf_set1(1));
    for (int i = 0; i < n; i++) {
        const vf v = vf_div(vf_add(vf_load(s->x[i]), mv), by);
        put_codes(c[i], vf_add(wild ? nearest(v, lo, hi, 1) : nearest(v, lo, hi, 0), vf_set1(add)));
    }
    if (!vm_all(live))
        memcpy(kept, q, (size_t)(16 * n));
    scatter(n, c, q);
    if (!vm_all(live))
        for (int g = 0; g < 16; g++)
            if (d[g] == 0)
                memcpy(q + g * n, kept + g * n, (size_t)n);
}
