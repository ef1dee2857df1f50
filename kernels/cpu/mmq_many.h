/* mmq_many.h - quantized products of many rows: a lane's blocks are widened to bytes in the cache, then
 * every row goes over them */
#ifndef MMQ_MANY_H
#define MMQ_MANY_H
#include "mmq_block.h"

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
    UNROLL for (int t = 0; t < 8; t++) vi_store(b->w[t], word_of(bits_of(type), q, t));
    vf_store(b->d, vf_load_f16(d));
    if (has_min(type))
        vf_store(b->m, vf_load_f16(d + 16));
}

INLINE void wide256(int type, const uint8_t *q, const uint8_t *sc, struct wide256 *b)
{
    vf_store(b->d, vf_load_f16((const uint16_t *)sc));
    if (type == KN_Q6_K) {
        for (int j = 0; j < 16; j++, q += 3 * 64) {
            UNROLL for (int t = 0; t < 4; t++) vi_store(b->w[4 * j + t], word6(q, t));
        }
        for (int p = 0; p < 8; p++) {
            const vi pair = vi_load_s8_pairs(sc + 32 + 32 * p);
            vi_store(b->factor[2 * p], vs_factor_low(pair));
            vi_store(b->factor[2 * p + 1], vs_factor_high(pair));
            vi_store(b->min[p], pair);
        }
        return;
    }
    vf_store(b->m, vf_load_f16((const uint16_t *)sc + 16));
    for (int g = 0; g < 4; g++) {
        UNROLL for (int h = 0; h < 2; h++)
        {
            const int j = 2 * g + h;
            UNROLL for (int t = 0; t < 8; t++)
                vi_store(b->w[8 * j + t], type == KN_Q5_K ? word5(q + 5 * 64 * j, t)
                                                          : word4_k(q + 8 * 64 * g, h, t));
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
#endif
