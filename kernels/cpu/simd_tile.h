/* simd_tile.h - the few operations on bytes and halves of lanes that spreading panels needs */
#ifndef SIMD_TILE_H
#define SIMD_TILE_H
#include "simd.h"

// one line an operation
// clang-format off
#if defined(TILE_amx)
INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
INLINE vi vi_sub8(vi a, vi b) { return _mm512_sub_epi8(a, b); }
INLINE vi vi_sub16(vi a, vi b) { return _mm512_sub_epi16(a, b); }
INLINE vi vi_mul16(vi a, vi b) { return _mm512_mullo_epi16(a, b); }
INLINE vi vi_dot16(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); } /* two products of int16 */
#else
INLINE vi vi_xor(vi a, vi b) { VI_OP(a.v[i] ^ b.v[i]); }
INLINE vi each_bits(vi a, vi b, int bits, int mul)
{
    vi r;
    EACH {
        uint32_t out = 0, mask = bits == 8 ? 0xff : 0xffff;
        for (int s = 0; s < 32; s += bits) {
            uint32_t x = (uint32_t)a.v[i] >> s & mask, y = (uint32_t)b.v[i] >> s & mask;
            out |= ((mul ? x * y : x - y) & mask) << s;
        }
        r.v[i] = (int32_t)out;
    }
    return r;
}
INLINE vi vi_sub8(vi a, vi b) { return each_bits(a, b, 8, 0); }
INLINE vi vi_sub16(vi a, vi b) { return each_bits(a, b, 16, 0); }
INLINE vi vi_mul16(vi a, vi b) { return each_bits(a, b, 16, 1); }
INLINE vi vi_dot16(vi acc, vi a, vi b) { return vi_dot_s16(acc, a, b); }
#endif
#endif
