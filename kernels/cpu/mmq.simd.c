/* mmq.simd.c - the inner loops of the quantized matrix product (R1) */
#include "mmq.h"
#include "mmq_rows.h"

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
INLINE vi quants(const uint8_t *q, int w)
{
    return vi_load(q + 64 * w);
}

/* Hardware follows a line of memory too closely for one core to use the bandwidth: reading 1 KiB
 * ahead gave 7 % with 4 KiB pages and 23 % with 2 MiB ones.  Past the end of a weight a prefetch
 * does nothing. */
INLINE void ahead(const uint8_t *q, size_t bytes)
{
    UNROLL for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(q + 1024 + i, 0, 2);
}

/* The same address, which the compiler does not know: what was loaded from it before is loaded again.
 * Sixteen registers do not hold a whole block, and gcc would spill it. */
INLINE const uint8_t *again(const uint8_t *q)
{
    if (SIMD_SHORT)
        __asm__("" : "+r"(q));
    return q;
}

/* ---- a block's quants as bytes */

/* words t and t + 4 of a block of 32; h: its fifth bits */
INLINE void widen32(int type, const uint8_t *q, vi h, int t, vi w[2])
{
    const vi low = vi_set1(0x0f0f0f0f), fifth = vi_set1(0x10101010), x = quants(q, t);
    w[0] = vi_and(x, low), w[1] = vi_and(vi_srl(x, 4), low);
    if (bits_of(type) == 5) {
        w[0] = vi_and_or(vi_sll(h, 4 - t), fifth, w[0]);
        w[1] = vi_and_or(vi_srl(h, t), fifth, w[1]);
    }
}
/* words t of sub-blocks 2g and 2g + 1 of Q4_K, Q5_K */
INLINE void widen_k45(int type, const uint8_t *q, int g, int t, vi w[2])
{
    const vi low = vi_set1(0x0f0f0f0f), fifth = vi_set1(0x10101010), x = quants(q, 8 * g + t);
    w[0] = vi_and(x, low), w[1] = vi_and(vi_srl(x, 4), low);
    if (type == KN_Q5_K) {
        const vi h = quants(q, 32 + t);
        w[0] = vi_and_or(2 * g < 4 ? vi_sll(h, 4 - 2 * g) : vi_srl(h, 2 * g - 4), fifth, w[0]);
        w[1] = vi_and_or(2 * g < 3 ? vi_sll(h, 3 - 2 * g) : vi_srl(h, 2 * g - 3), fifth, w[1]);
    }
}
/* word t of run g of 32 in the n-th 128 elements of Q6_K */
INLINE vi widen_k6(const uint8_t *q, int n, int g, int t)
{
    const vi low = vi_set1(0x0f0f0f0f), high = vi_set1(0x30303030);
    const vi x = quants(q, 16 * n + 8 * (g % 2) + t), h = quants(q, 32 + 8 * n + t);
    return vi_and_or(g < 2 ? vi_sll(h, 4 - 2 * g) : vi_srl(h, 2 * g - 4), high,
                     vi_and(g < 2 ? x : vi_srl(x, 4), low));
}

/* ---- integer sums of a block, for R rows of x that lie `ld` bytes apart */

/* where a sum begins: what the quants' offset takes away */
INLINE vi begin32(int type, const struct mmq_act32 *a)
{
    return type == KN_Q8_0   ? vi_dot_s8_init(a->sum)
           : type == KN_Q4_0 ? vi_set1(-8 * a->sum)
           : type == KN_Q5_0 ? vi_set1(-16 * a->sum)
                             : vi_zero();
}

/* s[r] = the exact dot product of a block of 32, from its panel */
INLINE void dot32(int type, int R, const uint8_t *q, const char *act, size_t ld, vi *s)
{
    const struct mmq_act32 *a[ROWS32];
    vi p[ROWS32];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act32 *)(act + (size_t)r * ld);
        s[r] = begin32(type, a[r]);
        p[r] = vi_zero();
    }
    if (type == KN_Q8_0) {
        UNROLL for (int t = 0; t < 8; t++)
        {
            const vi w = quants(q, t);
            UNROLL for (int r = 0; r < R; r++) s[r] = vi_dot_s8(s[r], w, word(a[r]->q, t));
        }
        return;
    }
    const vi h = bits_of(type) == 5 ? quants(q, 4) : vi_zero();
    UNROLL for (int t = 0; t < 4; t++)
    {
        vi w[2];
        widen32(type, q, h, t, w);
        UNROLL for (int r = 0; r < R; r++)
        {
            if (!SIMD_SHORT) {
                s[r] = vi_dot_u7(s[r], w[0], word(a[r]->q, t));
                s[r] = vi_dot_u7(s[r], w[1], word(a[r]->q, t + 4));
                continue;
            }
            p[r] = vs_dot(p[r], w[0], word(a[r]->q, t));
            p[r] = vs_dot(p[r], w[1], word(a[r]->q, t + 4));
            if (2 * (t + 1) % chain_of(bits_of(type), 8) == 0)
                s[r] = vs_join(s[r], p[r]), p[r] = vi_zero();
        }
    }
}

/* s[r], ms[r] = the dot products of a block of Q4_K or Q5_K with their sub-scales */
INLINE void dot_k45(int type, int R, const uint8_t *q, const uint8_t *scale, const char *act,
                    size_t ld, vi *s, vi *ms)
{
    const struct mmq_act256 *a[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        s[r] = ms[r] = vi_zero();
    }
    UNROLL for (int g = 0; g < 4; g++) /* sub-blocks 2g and 2g + 1 */
    {
        const vi su = vs_factor_u8(scale + 32 * g), sv = vs_factor_u8(scale + 32 * g + 16);
        vi u[ROWS256], v[ROWS256];
        q = again(q);
        UNROLL for (int r = 0; r < R; r++) u[r] = v[r] = vi_zero();
        UNROLL for (int t = 0; t < 8; t++)
        {
            vi w[2];
            widen_k45(type, q, g, t, w);
            UNROLL for (int r = 0; r < R; r++)
            {
                u[r] = vs_dot(u[r], w[0], word(a[r]->q, 16 * g + t));
                v[r] = vs_dot(v[r], w[1], word(a[r]->q, 16 * g + 8 + t));
                if ((t + 1) % chain_of(bits_of(type), 8) == 0) {
                    s[r] = vs_scaled(vs_scaled(s[r], u[r], su), v[r], sv);
                    u[r] = v[r] = vi_zero();
                }
            }
        }
    }
    UNROLL for (int p = 0; p < 4; p++)
    {
        vi m = vi_load_u8_pairs(scale + 128 + 32 * p);
        UNROLL for (int r = 0; r < R; r++) ms[r] =
            vi_dot_s16(ms[r], m, word((const int8_t *)a[r]->sum32, p));
    }
}

INLINE void dot_k6(int R, const uint8_t *q, const uint8_t *scale, const char *act, size_t ld, vi *s)
{
    const struct mmq_act256 *a[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        s[r] = vi_zero();
    }
    for (int nh = 0; nh < 4; nh++) { /* n = nh / 2: 128 elements; words 4h .. 4h + 3 of each 32 */
        const int n = nh / 2, h = nh % 2;
        UNROLL for (int g = 0; g < 4; g++)
        {
            const int j = 8 * n + 2 * g + h; /* the sub-block of 16 */
            const vi f = vs_factor_s8((const int8_t *)scale + 16 * j);
            vi u[ROWS256];
            q = again(q);
            UNROLL for (int r = 0; r < R; r++)
            {
                u[r] = vs_begin(-32 * a[r]->sum16[j]);
                if (SIMD_SHORT)
                    s[r] = vs_scaled(s[r], u[r], f), u[r] = vi_zero();
            }
            UNROLL for (int t = 0; t < 4; t++)
            {
                const vi w = widen_k6(q, n, g, 4 * h + t);
                UNROLL for (int r = 0; r < R; r++)
                {
                    u[r] = vs_dot(u[r], w, word(a[r]->q, 32 * n + 8 * g + 4 * h + t));
                    if ((t + 1) % chain_of(6, 4) == 0)
                        s[r] = vs_scaled(s[r], u[r], f), u[r] = vi_zero();
                }
            }
        }
    }
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

INLINE vf fold_lanes(const vf *lane, int step)
{
    vf a = vf_add(lane[0], lane[4 * step]), b = vf_add(lane[step], lane[5 * step]);
    vf c = vf_add(lane[2 * step], lane[6 * step]), e = vf_add(lane[3 * step], lane[7 * step]);
    return vf_add(vf_add(a, c), vf_add(b, e));
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

/* ---- few rows: y(R, 16) of a panel, quants straight from it */

INLINE void panel32(int type, int R, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                    size_t y_ld)
{
    const size_t qb = quant_bytes(type);
    const uint16_t *d = (const uint16_t *)(q + (size_t)nb * qb);
    vf lane[8][ROWS32];
    for (int l = 0; l < 8; l++) {
        vf acc[ROWS32];
        UNROLL for (int r = 0; r < R; r++) acc[r] = vf_zero();
        for (int b = l; b < nb; b += 8) {
            ahead(q, qb);
            vi s[ROWS32];
            dot32(type, R, q, act, ld, s);
            combine32(type, R, s, vf_load_f16(d), has_min(type) ? vf_load_f16(d + 16) : vf_zero(),
                      act, ld, acc);
            q += qb, d += scale_bytes(type) / 2, act += sizeof(struct mmq_act32);
        }
        UNROLL for (int r = 0; r < R; r++) lane[l][r] = acc[r];
    }
    UNROLL for (int r = 0; r < R; r++)
        vf_store(y + (size_t)r * y_ld, fold_lanes(&lane[0][r], ROWS32));
}

INLINE void panel256(int type, int R, int nb, const uint8_t *q, const char *act, size_t ld,
                     float *y, size_t y_ld)
{
    const int six = type == KN_Q6_K;
    const size_t qb = quant_bytes(type);
    const uint8_t *sc = q + (size_t)nb * qb;
    vf lane[8][ROWS256];
    for (int l = 0; l < 8; l++) {
        vf acc[ROWS256];
        UNROLL for (int r = 0; r < R; r++) acc[r] = vf_zero();
        for (int b = l; b < nb; b += 8) {
            ahead(q, qb);
            vi s[ROWS256], ms[ROWS256];
            if (six)
                dot_k6(R, q, sc + 32, act, ld, s);
            else
                dot_k45(type, R, q, sc + 64, act, ld, s, ms);
            combine256(type, R, s, ms, vf_load_f16((const uint16_t *)sc),
                       six ? vf_zero() : vf_load_f16((const uint16_t *)sc + 16), act, ld, acc);
            q += qb, sc += scale_bytes(type), act += sizeof(struct mmq_act256);
        }
        UNROLL for (int r = 0; r < R; r++) lane[l][r] = acc[r];
    }
    UNROLL for (int r = 0; r < R; r++)
        vf_store(y + (size_t)r * y_ld, fold_lanes(&lane[0][r], ROWS256));
}

#define ROWS(f, R)                                                                                 \
    for (; m >= (R); m -= (R), act += (R)*ld, y += (R)*y_ld)                                       \
        f(type, R, nb, q, act, ld, y, y_ld);

INLINE void rows32(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                   size_t y_ld)
{
    if (ROWS32 > 4) {
        ROWS(panel32, ROWS32 > 4 ? 8 : 1)
    }
    if (ROWS32 > 2) {
        ROWS(panel32, ROWS32 > 2 ? 4 : 1)
    }
    if (ROWS32 > 1) {
        ROWS(panel32, ROWS32 > 1 ? 2 : 1)
    }
    ROWS(panel32, 1)
}
INLINE void rows256(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                    size_t y_ld)
{
    if (ROWS256 > 2) {
        ROWS(panel256, ROWS256 > 2 ? 4 : 1)
    }
    if (ROWS256 > 1) {
        ROWS(panel256, ROWS256 > 1 ? 2 : 1)
    }
    ROWS(panel256, 1)
}

/* ---- many rows: a lane's blocks are widened once, then every row goes over them */

enum { MANY_ROWS = 64, PIECE32 = 32, PIECE256 = 4 }; /* 16 KiB of sums, 20 or 22 KiB of blocks */

struct wide32 {
    _Alignas(64) uint8_t w[8][64];
    float d[16], m[16];
};
struct wide256 {
    _Alignas(64) uint8_t w[64][64];
    uint8_t factor[16][64]; /* of the sub-blocks: see vs_factor_u8 */
    uint8_t min[8][64];     /* pairs of int16: minima of 2 sub-blocks, for Q6_K their scales */
    float d[16], m[16];
};

union wide {
    struct wide32 b32[PIECE32];
    struct wide256 b256[PIECE256];
};

/* blocks of the lanes before l, of nb in all */
INLINE int first_of(int nb, int l)
{
    return nb / 8 * l + (l < nb % 8 ? l : nb % 8);
}

INLINE void wide32(int type, const uint8_t *q, const uint8_t *sc, struct wide32 *b)
{
    const uint16_t *d = (const uint16_t *)(const void *)sc;
    const vi h = bits_of(type) == 5 ? quants(q, 4) : vi_zero();
    UNROLL for (int t = 0; t < 4; t++)
    {
        vi w[2];
        widen32(type, q, h, t, w);
        vi_store(b->w[t], w[0]), vi_store(b->w[t + 4], w[1]);
    }
    vf_store(b->d, vf_load_f16(d));
    if (has_min(type))
        vf_store(b->m, vf_load_f16(d + 16));
}

INLINE void wide256(int type, const uint8_t *q, const uint8_t *sc, struct wide256 *b)
{
    vf_store(b->d, vf_load_f16((const uint16_t *)sc));
    if (type == KN_Q6_K) {
        const int8_t *scale = (const int8_t *)sc + 32;
        for (int n = 0; n < 2; n++) {
            for (int t = 0; t < 8; t++) {
                UNROLL for (int g = 0; g < 4; g++)
                    vi_store(b->w[32 * n + 8 * g + t], widen_k6(q, n, g, t));
            }
        }
        for (int j = 0; j < 16; j++)
            vi_store(b->factor[j], vs_factor_s8(scale + 16 * j));
        for (int j = 0; j < 8; j++) /* low half one, high half the other */
            vi_store(b->min[j], vi_and_or(vi_load_s8(scale + 32 * j), vi_set1(0xffff),
                                          vi_sll(vi_load_s8(scale + 32 * j + 16), 16)));
        return;
    }
    vf_store(b->m, vf_load_f16((const uint16_t *)sc + 16));
    UNROLL for (int g = 0; g < 4; g++)
    {
        for (int t = 0; t < 8; t++) {
            vi w[2];
            widen_k45(type, q, g, t, w);
            vi_store(b->w[16 * g + t], w[0]), vi_store(b->w[16 * g + 8 + t], w[1]);
        }
    }
    for (int j = 0; j < 8; j++)
        vi_store(b->factor[j], vs_factor_u8(sc + 64 + 16 * j));
    for (int p = 0; p < 4; p++)
        vi_store(b->min[p], vi_load_u8_pairs(sc + 192 + 32 * p));
}

/* acc[r] += n blocks */
INLINE void lane32(int type, int R, int n, const struct wide32 *b, const char *act, size_t ld,
                   vf *acc)
{
    const int chain = chain_of(bits_of(type), 8);
    for (; n > 0; n--, b++, act += sizeof(struct mmq_act32)) {
        const struct mmq_act32 *a[LANE32];
        vi s[LANE32], p[LANE32];
        UNROLL for (int r = 0; r < R; r++)
        {
            a[r] = (const struct mmq_act32 *)(act + (size_t)r * ld);
            s[r] = begin32(type, a[r]);
            p[r] = vi_zero();
        }
        UNROLL for (int t = 0; t < 8; t++)
        {
            const vi w = vi_load(b->w[t]);
            UNROLL for (int r = 0; r < R; r++)
            {
                const vi x = word(a[r]->q, t);
                if (!SIMD_SHORT)
                    s[r] = vi_dot_u7(s[r], w, x);
                else {
                    p[r] = vs_dot(p[r], w, x);
                    if ((t + 1) % chain == 0)
                        s[r] = vs_join(s[r], p[r]), p[r] = vi_zero();
                }
            }
        }
        combine32(type, R, s, vf_load(b->d), has_min(type) ? vf_load(b->m) : vf_zero(), act, ld,
                  acc);
    }
}

INLINE void lane256(int type, int R, int n, const struct wide256 *b, const char *act, size_t ld,
                    vf *acc)
{
    const int six = type == KN_Q6_K, words = six ? 4 : 8; /* of a sub-block */
    const int chain = chain_of(bits_of(type), words);
    for (; n > 0; n--, b++, act += sizeof(struct mmq_act256)) {
        const struct mmq_act256 *a[LANE256];
        vi s[LANE256], ms[LANE256];
        UNROLL for (int r = 0; r < R; r++)
        {
            a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
            s[r] = ms[r] = vi_zero();
        }
        for (int j = 0; j < 64 / words; j++) { /* sub-blocks */
            const vi f = vi_load(b->factor[j]);
            vi p[LANE256];
            UNROLL for (int r = 0; r < R; r++) p[r] = vi_zero();
            UNROLL for (int t = 0; t < words; t++)
            {
                const vi w = vi_load(b->w[words * j + t]);
                UNROLL for (int r = 0; r < R; r++)
                {
                    p[r] = vs_dot(p[r], w, word(a[r]->q, words * j + t));
                    if ((t + 1) % chain == 0)
                        s[r] = vs_scaled(s[r], p[r], f), p[r] = vi_zero();
                }
            }
        }
        for (int j = 0; j < (six ? 8 : 4); j++) {
            const vi m = vi_load(b->min[j]);
            UNROLL for (int r = 0; r < R; r++)
            {
                const int16_t *sum = six ? a[r]->sum16 : a[r]->sum32;
                ms[r] = vi_dot_s16(ms[r], m, word((const int8_t *)sum, j));
            }
        }
        if (six) {
            UNROLL for (int r = 0; r < R; r++) s[r] = vi_sub(s[r], vi_sll(ms[r], 5));
        }
        combine256(type, R, s, ms, vf_load(b->d), vf_load(b->m), act, ld, acc);
    }
}

/* The sums of up to MANY_ROWS rows while their lanes are taken in the order in which R1 folds them:
 * 0 4 2 6 1 5 3 7; sum[depth] waits for its partner. */
struct sums {
    _Alignas(64) float v[4][MANY_ROWS][16]; /* 3 that wait and the lane at work */
    int depth, n_fold; /* sums that wait; how many of them this lane is added to at its end */
};

/* R rows from `row` on over n blocks of a lane; first, last: of the lane */
INLINE void piece(int type, int R, int n, const union wide *b, const char *act, size_t ld, int row,
                  int first, int last, struct sums *u)
{
    vf acc[LANE32 > LANE256 ? LANE32 : LANE256];
    UNROLL for (int r = 0; r < R; r++) acc[r] =
        first ? vf_zero() : vf_load(u->v[u->depth][row + r]);
    if (is32(type))
        lane32(type, R, n, b->b32, act, ld, acc);
    else
        lane256(type, R, n, b->b256, act, ld, acc);
    UNROLL for (int r = 0; r < R; r++)
    {
        int to = u->depth;
        for (int i = 0; last && i < u->n_fold; i++)
            acc[r] = vf_add(vf_load(u->v[--to][row + r]), acc[r]);
        vf_store(u->v[to][row + r], acc[r]);
    }
}

/* y(m, 16) of a panel, m <= MANY_ROWS */
INLINE void many(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                 size_t y_ld)
{
    static const int order[8] = {0, 4, 2, 6, 1, 5, 3, 7}, n_fold[8] = {0, 1, 0, 2, 0, 1, 0, 3};
    const int small = is32(type), R = small ? LANE32 : LANE256, most = small ? PIECE32 : PIECE256;
    const size_t qb = quant_bytes(type), sb = scale_bytes(type);
    const size_t act_bytes = small ? sizeof(struct mmq_act32) : sizeof(struct mmq_act256);
    const uint8_t *scales = q + (size_t)nb * qb;
    union wide b;
    struct sums u = {.depth = 0};
    for (int i = 0; i < 8; i++) {
        const int l = order[i], end = first_of(nb, l + 1);
        u.n_fold = n_fold[i];
        for (int at = first_of(nb, l), n, first = 1; first || at < end; at += n, first = 0) {
            n = end - at < most ? end - at : most;
            for (int j = 0; j < n; j++) {
                const size_t block = (size_t)(at + j);
                if (small)
                    wide32(type, q + block * qb, scales + block * sb, &b.b32[j]);
                else
                    wide256(type, q + block * qb, scales + block * sb, &b.b256[j]);
            }
            const char *x = act + (size_t)at * act_bytes;
            int row = 0;
            for (; row + R <= m; row += R)
                piece(type, R, n, &b, x + (size_t)row * ld, ld, row, first, at + n >= end, &u);
            for (; row < m; row++)
                piece(type, 1, n, &b, x + (size_t)row * ld, ld, row, first, at + n >= end, &u);
        }
        u.depth += 1 - u.n_fold;
    }
    for (int r = 0; r < m; r++)
        vf_store(y + (size_t)r * y_ld, vf_load(u.v[0][r]));
}

static void panel(int type, int m, int k, const uint8_t *q, const void *act, size_t ld, float *y,
                  size_t y_ld)
{
    const char *x = act;
#define TYPE(T, f, len)                                                                            \
    case T:                                                                                        \
        for (int n; MANY && T != KN_Q8_0 && m >= MANY;                                             \
             m -= n, x += (size_t)n * ld, y += (size_t)n * y_ld) {                                 \
            n = m < MANY_ROWS ? m : MANY_ROWS;                                                     \
            many(T, n, k / (len), q, x, ld, y, y_ld);                                              \
        }                                                                                          \
        f(T, m, k / (len), q, x, ld, y, y_ld);                                                     \
        break;
    switch (type) {
        TYPE(KN_Q8_0, rows32, 32)
        TYPE(KN_Q4_0, rows32, 32)
        TYPE(KN_Q4_1, rows32, 32)
        TYPE(KN_Q5_0, rows32, 32)
        TYPE(KN_Q5_1, rows32, 32)
        TYPE(KN_Q4_K, rows256, 256)
        TYPE(KN_Q5_K, rows256, 256)
        TYPE(KN_Q6_K, rows256, 256)
    }
}

static void quantize(int act_block, int k, const float *x, void *act)
{
    const int nb = k / act_block;
    struct mmq_act32 *a = act;
    struct mmq_act256 *a256 = act;
    for (int l = 0; l < 8; l++)
        for (int b = l; b < nb; b += 8) {
            const float *xb = x + (size_t)b * (size_t)act_block;
            float id;
            if (act_block == 32) {
                a->d = scale_of(xb, 32, &id);
                a->sum = bytes16(xb, vf_set1(id), a->q);
                a->sum += bytes16(xb + 16, vf_set1(id), a->q + 16);
                a++;
                continue;
            }
            a256->d = scale_of(xb, 256, &id);
            for (int i = 0; i < 16; i++)
                a256->sum16[i] = bytes16(xb + 16 * i, vf_set1(id), a256->q + 16 * i);
            for (int i = 0; i < 8; i++)
                a256->sum32[i] = (int16_t)(a256->sum16[2 * i] + a256->sum16[2 * i + 1]);
            a256++;
        }
}

const struct mmq_isa FN(mmq) = {quantize, panel, PATH};
