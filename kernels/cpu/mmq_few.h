/* mmq_few.h - quantized products of a few rows: quants go from the panel to registers, once for R rows
 *
 * The rows of x lie `ld` bytes apart. */
#ifndef MMQ_FEW_H
#define MMQ_FEW_H
#include "mmq_block.h"

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
