/* mmq_few.h - quantized products of a few rows: quants go from the panel to registers, once for R rows
 *
 * The rows of x lie `ld` bytes apart. */
#ifndef MMQ_FEW_H
#define MMQ_FEW_H
#include "mmq_block.h"

/* s[r] = the exact dot product of a block of 32, from its panel */
INLINE void dot32(int type, int R, const uint8_t *q, const char *act, size_t ld, vi *s)
{
    const int bits = bits_of(type);
    const struct mmq_act32 *a[ROWS32];
    vi p[ROWS32]; /* a short sum; of high nibbles, 16 times theirs */
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act32 *)(act + (size_t)r * ld);
        s[r] = begin32(type, a[r]);
        p[r] = vi_zero();
    }
    UNROLL for (int i = 0; i < 8; i++)
    {
        const int t = bits == 4 ? i / 2 + i % 2 * 4 : i; /* a byte's nibbles one after the other */
        const int high = bits == 4 && t >= 4 && SIMD_U8;
        const vi w = bits == 8 ? quants(q, t) : high ? word4_high(q, t) : word_of(bits, q, t);
        UNROLL for (int r = 0; r < R; r++)
        {
            const vi x = word(a[r]->q, t);
            if (bits == 8)
                s[r] = vi_dot_s8(s[r], w, x);
            else if (high)
                p[r] = vi_dot_u8(p[r], w, x);
            else if (!SIMD_SHORT)
                s[r] = vi_dot_u7(s[r], w, x);
            else {
                p[r] = vs_dot(p[r], w, x);
                if ((i + 1) % chain_of(bits, 8) == 0)
                    s[r] = vs_join(s[r], p[r]), p[r] = vi_zero();
            }
        }
    }
    UNROLL for (int r = 0; bits == 4 && SIMD_U8 && r < R; r++) s[r] = vi_add(s[r], vi_sra(p[r], 4));
}

/* ms[r] = the sums of the rows' sub-blocks of 32 with the minima of Q4_K, Q5_K */
INLINE void dot_minima(int R, const uint8_t *minima, const struct mmq_act256 **a, vi *ms)
{
    UNROLL for (int p = 0; p < 4; p++)
    {
        const vi m = vi_load_u8_pairs(minima + 32 * p);
        UNROLL for (int r = 0; r < R; r++) ms[r] =
            vi_dot_s16(ms[r], m, word((const int8_t *)a[r]->sum32, p));
    }
}

/* s[r], ms[r] = the dot products of a block of Q4_K with their sub-scales */
INLINE void dot_k4(int R, const uint8_t *q, const uint8_t *scale, const char *act, size_t ld, vi *s,
                   vi *ms)
{
    const struct mmq_act256 *a[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        s[r] = ms[r] = vi_zero();
    }
    UNROLL for (int g = 0; g < 4; g++) /* sub-blocks 2g and 2g + 1 are nibbles of the same bytes */
    {
        const vi su = vs_factor_u8(scale + 32 * g), sv = vs_factor_u8(scale + 32 * g + 16);
        vi u[ROWS256], v[ROWS256];
        q = again(q);
        UNROLL for (int r = 0; r < R; r++) u[r] = v[r] = vi_zero();
        UNROLL for (int t = 0; t < 8; t++)
        {
            const vi x = quants(q, 8 * g + t), low = vi_and(x, vi_bytes(0x0f));
            const vi high = SIMD_U8 ? vi_and(x, vi_set1((int32_t)0xf0f0f0f0))
                                    : vi_and(vi_srl(x, 4), vi_bytes(0x0f));
            UNROLL for (int r = 0; r < R; r++)
            {
                u[r] = vs_dot(u[r], low, word(a[r]->q, 16 * g + t));
                const vi second = word(a[r]->q, 16 * g + 8 + t);
                v[r] = SIMD_U8 ? vi_dot_u8(v[r], high, second) : vs_dot(v[r], high, second);
            }
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            s[r] = vs_scaled(s[r], u[r], su);
            s[r] = vs_scaled(s[r], SIMD_U8 ? vi_sra(v[r], 4) : v[r], sv);
        }
    }
    dot_minima(R, scale + 128, a, ms);
}

/* The same of Q5_K and Q6_K: sub-block after sub-block.  Q6_K has no minima, but quants 32 too high. */
INLINE void dot_k56(int type, int R, const uint8_t *q, const uint8_t *scale, const char *act,
                    size_t ld, vi *s, vi *ms)
{
    const int six = type == KN_Q6_K, bits = bits_of(type), words = six ? 4 : 8;
    const struct mmq_act256 *a[ROWS256];
    const int8_t *x[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        x[r] = a[r]->q;
        s[r] = ms[r] = vi_zero();
    }
    for (int p = 0; p < 32 / words; p++) { /* pairs of sub-blocks */
        const vi pair = six ? vi_load_s8_pairs(scale + 32 * p) : vi_zero();
        const vi f[2] = {six ? vs_factor_low(pair) : vs_factor_u8(scale + 32 * p),
                         six ? vs_factor_high(pair) : vs_factor_u8(scale + 32 * p + 16)};
        UNROLL for (int r = 0; six && r < R; r++) ms[r] =
            vi_dot_s16(ms[r], pair, word((const int8_t *)a[r]->sum16, p));
        UNROLL for (int j = 0; j < 2; j++)
        {
            vi u[ROWS256];
            q = again(q);
            UNROLL for (int r = 0; r < R; r++) u[r] = vi_zero();
            UNROLL for (int t = 0; t < words; t++)
            {
                const vi w = word_of(bits, q, t);
                UNROLL for (int r = 0; r < R; r++)
                {
                    u[r] = vs_dot(u[r], w, word(x[r], t));
                    if ((t + 1) % chain_of(bits, words) == 0)
                        s[r] = vs_scaled(s[r], u[r], f[j]), u[r] = vi_zero();
                }
            }
            q += 8 * bits * words;
            UNROLL for (int r = 0; r < R; r++) x[r] += 4 * words;
        }
    }
    if (!six)
        dot_minima(R, scale + 128, a, ms);
    UNROLL for (int r = 0; six && r < R; r++) s[r] = vi_sub(s[r], vi_sll(ms[r], 5));
}

INLINE vf fold_lanes(const vf *lane, int step)
{
    vf a = vf_add(lane[0], lane[4 * step]), b = vf_add(lane[step], lane[5 * step]);
    vf c = vf_add(lane[2 * step], lane[6 * step]), e = vf_add(lane[3 * step], lane[7 * step]);
    return vf_add(vf_add(a, c), vf_add(b, e));
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
            if (type == KN_Q4_K)
                dot_k4(R, q, sc + 64, act, ld, s, ms);
            else
                dot_k56(type, R, q, sc + (six ? 32 : 64), act, ld, s, ms);
            combine256(type, R, s, ms, vf_load_f16((const uint16_t *)sc),
                       six ? vf_zero() : vf_load_f16((const uint16_t *)sc + 16), act, ld, acc);
            q += qb, sc += scale_bytes(type), act += sizeof(struct mmq_act256);
        }
        UNROLL for (int r = 0; r < R; r++) lane[l][r] = acc[r];
    }
    UNROLL for (int r = 0; r < R; r++)
        vf_store(y + (size_t)r * y_ld, fold_lanes(&lane[0][r], ROWS256));
}

/* as many steps of R rows as m has, if R rows go over a panel at once */
#define ROWS(f, most, R)                                                                           \
    for (; (most) >= (R) && m >= (R); m -= (R), act += (R)*ld, y += (R)*y_ld)                      \
        f(type, (most) >= (R) ? (R) : 1, nb, q, act, ld, y, y_ld);

INLINE void rows32(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                   size_t y_ld){ROWS(panel32, ROWS32, 8) ROWS(panel32, ROWS32, 4)
                                    ROWS(panel32, ROWS32, 2) ROWS(panel32, ROWS32, 1)} INLINE
    void rows256(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                 size_t y_ld)
{
    ROWS(panel256, ROWS256, 4)
    ROWS(panel256, ROWS256, 2)
    ROWS(panel256, ROWS256, 1)
}
#undef ROWS
#endif
