/* mmq_words.h - the quants of a panel's block as words of 4 bytes: how 5 and 6 bits lie in 8
 *
 * Eight words of 5 bits lie in five words of bytes, four of 6 bits in three: each byte holds one quant in its low
 * bits, the high bits of all hold the rest.  Taking them apart takes 23 and 11 operations of AVX2, where nibbles
 * and their high bits in words apart took 36 and 17; what that changes is in recipes/RESULTS.md. */
#ifndef MMQ_WORDS_H
#define MMQ_WORDS_H
#include "mmq.h"
#include "simd.h"

INLINE vi quants(const uint8_t *q, int w)
{
    return vi_load(q + 64 * w);
}
/* A byte < 64 in all places.  gcc makes such constants anew in each block where registers are few (three instructions
 * on one port); a table that it cannot see into is an operand from memory. */
INLINE vi vi_bytes(int b)
{
    return SIMD_SHORT ? vi_load(mmq_bytes[b]) : vi_set1(b * 0x01010101);
}
/* word t of 8: elements 4t .. 4t + 3 of 32, low nibbles of words 0..3, then their high ones */
INLINE vi word4(const uint8_t *q, int t)
{
    const vi x = quants(q, t % 4);
    return vi_and(t < 4 ? x : vi_srl(x, 4), vi_bytes(0x0f));
}
/* 16 times word t of them, t >= 4: unsigned bytes, and no shift */
INLINE vi word4_high(const uint8_t *q, int t)
{
    return vi_and(quants(q, t % 4), vi_set1((int32_t)0xf0f0f0f0));
}
/* word t of 8 of a pair of sub-blocks of Q4_K, which are the low and the high nibbles of 8 words */
INLINE vi word4_k(const uint8_t *q, int second, int t)
{
    const vi x = quants(q, t);
    return vi_and(second ? vi_srl(x, 4) : x, vi_bytes(0x0f));
}
/* word t of 8 out of 5 */
INLINE vi word5(const uint8_t *q, int t)
{
    if (t < 5)
        return vi_and(quants(q, t), vi_bytes(0x1f));
    if (t < 7) {
        const vi low = vi_and(vi_srl(quants(q, 2 * t - 10), 5), vi_bytes(0x07));
        return vi_and_or(vi_srl(quants(q, 2 * t - 9), 2), vi_bytes(0x18), low);
    }
    const vi low = vi_and(vi_srl(quants(q, 4), 5), vi_bytes(0x07));
    return vi_and_or(vi_srl(quants(q, 3), 3), vi_bytes(0x10),
                     vi_and_or(vi_srl(quants(q, 1), 4), vi_bytes(0x08), low));
}
/* word t of 4 out of 3 */
INLINE vi word6(const uint8_t *q, int t)
{
    if (t < 3)
        return vi_and(quants(q, t), vi_bytes(0x3f));
    const vi low = vi_and(vi_srl(quants(q, 0), 6), vi_bytes(0x03));
    return vi_and_or(vi_srl(quants(q, 2), 2), vi_bytes(0x30),
                     vi_and_or(vi_srl(quants(q, 1), 4), vi_bytes(0x0c), low));
}
#endif
