/* mmq_block.h - one block of a panel: its sizes, its quants as bytes, its share of a sum (R1) */
#ifndef MMQ_BLOCK_H
#define MMQ_BLOCK_H
#include "mmq.h"
#include "mmq_rows.h"
#include "mmq_words.h"

/* ROWS32, ROWS256: rows of x that go over a panel at once.  From MANY rows on, a block's quants are
 * first widened to bytes in the cache, once for all rows (0: never); LANE32, LANE256: the rows that go
 * over those at once.  Registers decide: 32, 16, none. */
#if defined(ISA_avx512)
enum { ROWS32 = 8, ROWS256 = 4, MANY = 0, LANE32 = 8, LANE256 = 8 };
#elif defined(ISA_avx2) || defined(ISA_avxvnni)
enum { ROWS32 = 2, ROWS256 = 2, MANY = 4, LANE32 = 4, LANE256 = SIMD_SHORT ? 4 : 2 };
#elif defined(ISA_neon) || defined(ISA_neon_i8mm)
enum { ROWS32 = 4, ROWS256 = 2, MANY = 4, LANE32 = 4, LANE256 = 2 };
#else
enum { ROWS32 = 1, ROWS256 = 1, MANY = 0, LANE32 = 1, LANE256 = 1 };
#endif

/* Words of 4 quants that a short sum holds: each adds up to 2 * (2^bits - 1) * 127 to an int16.  Where
 * sums are not short, all words of a sub-block. */
INLINE int chain_of(int bits, int words)
{
    const int holds = bits == 4 ? 8 : bits == 5 ? 4 : 2;
    return SIMD_SHORT && holds < words ? holds : words;
}
INLINE int bits_of(int type)
{
    return type == KN_Q4_0 || type == KN_Q4_1 || type == KN_Q4_K   ? 4
           : type == KN_Q5_0 || type == KN_Q5_1 || type == KN_Q5_K ? 5
           : type == KN_Q6_K                                       ? 6
                                                                   : 8;
}
INLINE int is32(int type)
{
    return type != KN_Q4_K && type != KN_Q5_K && type != KN_Q6_K;
}
INLINE int has_min(int type)
{
    return type == KN_Q4_1 || type == KN_Q5_1;
}

INLINE vi word(const int8_t *q, int t) /* 4 activations, to all rows */
{
    int32_t w;
    memcpy(&w, q + 4 * t, 4);
    return vi_set1(w);
}
/* Hardware follows a line of memory too closely for one core to use the bandwidth.  Decoding on two threads of an
 * Emerald Rapids, tokens a second, in turns, medians of 5, by bytes ahead 1024, 4096, 6144, 8192, 12288: 0.5B Q8_0 32.5,
 * 38.4, 35.7, 37.8, 38.9; 1.5B Q4_K_M 16.1, 18.0, 17.5, 17.8, 18.2; 0.5B Q4_K_M 32.0, 39.0, 40.8, 40.3, 41.4; with none (other
 * turns, medians of 4) 34.7 and 15.6 beside 34.2 and 17.6 of 1024.  Past the end of a weight a prefetch does nothing. */
enum { AHEAD = 8192 };
INLINE void ahead(const uint8_t *q, size_t bytes)
{
    UNROLL for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(q + AHEAD + i, 0, 2);
}

/* The same address, which the compiler does not know: what was loaded from it before is loaded again.
 * Sixteen registers do not hold a whole block, and gcc would spill it. */
INLINE const uint8_t *again(const uint8_t *q)
{
    if (SIMD_SHORT)
        __asm__("" : "+r"(q));
    return q;
}

/* word t of a block of 32, or of a sub-block of 32 of Q4_K, Q5_K; of a sub-block of 16 of Q6_K */
INLINE vi word_of(int bits, const uint8_t *q, int t)
{
    return bits == 4 ? word4(q, t) : bits == 5 ? word5(q, t) : word6(q, t);
}

/* sizes of a block in a panel */
INLINE size_t quant_bytes(int type)
{
    return type == KN_Q8_0      ? 8 * 64
           : type == KN_Q4_K    ? 32 * 64
           : type == KN_Q5_K    ? 40 * 64
           : type == KN_Q6_K    ? 48 * 64
           : bits_of(type) == 5 ? 5 * 64
                                : 4 * 64;
}
INLINE size_t scale_bytes(int type)
{
    return type == KN_Q6_K                      ? 288
           : type == KN_Q4_K || type == KN_Q5_K ? 320
           : has_min(type)                      ? 64
                                                : 32;
}

/* where a sum begins: what the quants' offset takes away */
INLINE vi begin32(int type, const struct mmq_act32 *a)
{
    return type == KN_Q8_0   ? vi_dot_s8_init(a->sum)
           : type == KN_Q4_0 ? vi_set1(-8 * a->sum)
           : type == KN_Q5_0 ? vi_set1(-16 * a->sum)
                             : vi_zero();
}

/* ---- blocks to floats */

/* acc[r] += the block's share, as R1 has it */
INLINE void combine32(int type, int R, const vi *s, vf dw, vf m, const char *act, size_t ld,
                      vf *acc)
{
    UNROLL for (int r = 0; r < R; r++)
    {
        const struct mmq_act32 *a = (const struct mmq_act32 *)(act + (size_t)r * ld);
        vf da = vf_set1(a->d);
        acc[r] = vf_fma(vf_mul(dw, da), vi_to_float(s[r]), acc[r]);
        if (has_min(type))
            acc[r] = vf_fma(vf_mul(m, da), vf_set1((float)a->sum), acc[r]);
    }
}
INLINE void combine256(int type, int R, const vi *s, const vi *ms, vf dw, vf dm, const char *act,
                       size_t ld, vf *acc)
{
    UNROLL for (int r = 0; r < R; r++)
    {
        vf da = vf_set1(((const struct mmq_act256 *)(act + (size_t)r * ld))->d);
        acc[r] = vf_fma(vf_mul(dw, da), vi_to_float(s[r]), acc[r]);
        if (type != KN_Q6_K)
            acc[r] = vf_fma(vf_neg(vf_mul(dm, da)), vi_to_float(ms[r]), acc[r]);
    }
}
#endif
