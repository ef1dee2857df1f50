/* mmq.tile.c - the quantized product on tiles: spreading panels, products, the float chain of R1 */
#include "mmq_rows.h"
#include "mmq_tile.h"
#include "mmq_words.h"
#include "simd_tile.h"
#include "tile.h"

/* A spread block: bytes as B tiles, then its scales widened. */
struct spread32 {
    int8_t w[8][64];
    float d[16], m[16];
};
struct spread256 {
    uint8_t low[4][16][64];
    int8_t high[4][16][64];
    float d[16], neg_min[16];
    int32_t m[4][16]; /* pairs of int16 */
};

/* ---- rows of x */

static void quantize32(int nb, const float *x, struct mmq_group32 *g, int r)
{
    for (int l = 0; l < 8; l++)
        for (int b = l; b < nb; b += 8, g++) {
            const float *xb = x + (size_t)b * 32;
            float id;
            g->d[r] = scale_of(xb, 32, &id);
            int32_t sum = bytes16(xb, vf_set1(id), g->q[r]);
            g->sum[r] = (float)(sum + bytes16(xb + 16, vf_set1(id), g->q[r] + 16));
        }
}
static void quantize256(int nb, const float *x, struct mmq_group256 *g, int r)
{
    for (int l = 0; l < 8; l++)
        for (int b = l; b < nb; b += 8, g++) {
            const float *xb = x + (size_t)b * 256;
            int32_t sum[8];
            float id;
            g->d[r] = scale_of(xb, 256, &id);
            for (int i = 0; i < 8; i++) {
                int8_t *q = g->q[i / 2][r] + i % 2 * 32;
                sum[i] = bytes16(xb + 32 * i, vf_set1(id), q);
                sum[i] += bytes16(xb + 32 * i + 16, vf_set1(id), q + 16);
            }
            for (int i = 0; i < 4; i++)
                g->pair[i][r] = (int32_t)((uint32_t)sum[2 * i] & 0xffff) |
                                (int32_t)((uint32_t)sum[2 * i + 1] << 16);
        }
}
static void clear_rows(int act_block, int nb, void *group, int from)
{
    struct mmq_group32 *g = group;
    struct mmq_group256 *g256 = group;
    for (int b = 0; b < nb; b++)
        for (int r = from; r < 16; r++)
            if (act_block == 32) {
                memset(g[b].q[r], 0, sizeof g[b].q[r]);
                g[b].d[r] = g[b].sum[r] = 0;
            } else {
                for (int i = 0; i < 4; i++) {
                    memset(g256[b].q[i][r], 0, sizeof g256[b].q[i][r]);
                    g256[b].pair[i][r] = 0;
                }
                g256[b].d[r] = 0;
            }
}

static void quantize(int act_block, int k, const float *x, void *act, int row, int last)
{
    const int nb = k / act_block, r = row % 16;
    char *group = (char *)act + mmq_tile_act_bytes(act_block, row / 16 * 16, k);
    if (act_block == 32)
        quantize32(nb, x, (struct mmq_group32 *)(void *)group, r);
    else
        quantize256(nb, x, (struct mmq_group256 *)(void *)group, r);
    if (last)
        clear_rows(act_block, nb, group, r + 1);
}

/* ---- spreading a panel */

INLINE void spread_32(int type, int nb, const uint8_t *q, struct spread32 *s)
{
    const int five = type == KN_Q5_0 || type == KN_Q5_1, min = type == KN_Q4_1 || type == KN_Q5_1;
    const size_t qb = type == KN_Q8_0 ? 512 : five ? 320 : 256;
    const uint16_t *d = (const uint16_t *)(const void *)(q + (size_t)nb * qb);
    const vi zero = vi_bytes(type == KN_Q4_0 ? 0x08 : type == KN_Q5_0 ? 0x10 : 0);
    for (int b = 0; b < nb; b++, q += qb, d += min ? 32 : 16, s++) {
        vf_store(s->d, vf_load_f16(d));
        if (min)
            vf_store(s->m, vf_load_f16(d + 16));
        if (type == KN_Q8_0) {
            UNROLL for (int t = 0; t < 8; t++)
                vi_store(s->w[t], vi_xor(quants(q, t), vi_set1((int32_t)0x80808080)));
            continue;
        }
        UNROLL for (int t = 0; t < 8; t++)
        {
            const vi w = five ? word5(q, t) : word4(q, t);
            vi_store(s->w[t], min ? w : vi_sub8(w, zero));
        }
    }
}

/* one word of quants (minus `zero` in each half) times its sub-scales into the two planes */
INLINE void put_planes(vi w, vi zero, vi scale, uint8_t *low, int8_t *high)
{
    const vi even = vi_set1(0x00ff00ff), odd = vi_set1((int32_t)0xff00ff00);
    vi e = vi_mul16(vi_sub16(vi_and(w, even), zero), scale);
    vi o = vi_mul16(vi_sub16(vi_and(vi_srl(w, 8), even), zero), scale);
    vi_store(low, vi_and_or(vi_sll(o, 8), odd, vi_and(e, even)));
    vi_store(high, vi_and_or(vi_srl(e, 8), even, vi_and(o, odd)));
}
INLINE vi twice16(vi x) /* both halves of a lane */
{
    return vi_or(vi_and(x, vi_set1(0xffff)), vi_sll(x, 16));
}

INLINE void spread_k45(int type, const uint8_t *q, const uint8_t *sc, struct spread256 *s)
{
    vf_store(s->d, vf_load_f16((const uint16_t *)(const void *)sc));
    vf_store(s->neg_min, vf_neg(vf_load_f16((const uint16_t *)(const void *)sc + 16)));
    for (int p = 0; p < 4; p++)
        vi_store(s->m[p], vi_load_u8_pairs(sc + 64 + 128 + 32 * p));
    UNROLL for (int g = 0; g < 4; g++)
    {
        vi s0 = twice16(vi_load_u8(sc + 64 + 32 * g));
        vi s1 = twice16(vi_load_u8(sc + 64 + 32 * g + 16));
        const uint8_t *from = q + (type == KN_Q5_K ? 2 * 5 * 64 : 8 * 64) * g;
        UNROLL for (int t = 0; t < 8; t++)
        {
            const int five = type == KN_Q5_K;
            put_planes(five ? word5(from, t) : word4_k(from, 0, t), vi_zero(), s0, s->low[g][t],
                       s->high[g][t]);
            put_planes(five ? word5(from + 5 * 64, t) : word4_k(from, 1, t), vi_zero(), s1,
                       s->low[g][t + 8], s->high[g][t + 8]);
        }
    }
}

INLINE void spread_k6(const uint8_t *q, const uint8_t *sc, struct spread256 *s)
{
    const vi zero = vi_set1(0x00200020);
    vf_store(s->d, vf_load_f16((const uint16_t *)(const void *)sc));
    for (int j = 0; j < 16; j++, q += 3 * 64) {
        const vi pair = vi_load_s8_pairs(sc + 32 + 32 * (j / 2));
        const vi scale = twice16(j % 2 ? vs_factor_high(pair) : vs_factor_low(pair));
        UNROLL for (int t = 0; t < 4; t++) put_planes(
            word6(q, t), zero, scale, s->low[j / 4][j % 4 * 4 + t], s->high[j / 4][j % 4 * 4 + t]);
    }
}

static void spread(int type, int nb, const uint8_t *q, void *to)
{
    struct spread256 *s = to;
    switch (type) {
    case KN_Q8_0:
        spread_32(KN_Q8_0, nb, q, to);
        return;
    case KN_Q4_0:
        spread_32(KN_Q4_0, nb, q, to);
        return;
    case KN_Q4_1:
        spread_32(KN_Q4_1, nb, q, to);
        return;
    case KN_Q5_0:
        spread_32(KN_Q5_0, nb, q, to);
        return;
    case KN_Q5_1:
        spread_32(KN_Q5_1, nb, q, to);
        return;
    }
    const size_t qb = type == KN_Q6_K ? 48 * 64 : type == KN_Q5_K ? 40 * 64 : 32 * 64;
    const size_t sb = type == KN_Q6_K ? 288 : 320;
    const uint8_t *sc = q + (size_t)nb * qb;
    for (int b = 0; b < nb; b++, q += qb, sc += sb, s++) {
        if (type == KN_Q6_K)
            spread_k6(q, sc, s);
        else if (type == KN_Q5_K)
            spread_k45(KN_Q5_K, q, sc, s);
        else
            spread_k45(KN_Q4_K, q, sc, s);
    }
}

/* ---- products of a group of R rows and a panel; lane(8, R) vectors of 16 outputs
 *
 * Tiles and vectors have units of their own: while the products of one block run, the float steps of the
 * block before it are done.  They must alternate finely in the code, or the window of instructions
 * that the processor looks ahead in (512) holds only one of the two.
 *
 * As few tiles as possible hold anything but zeros.  A zeroed tile takes no register, and where the other
 * thread of a core is at work there are hardly more registers than the eight names: each product then waits
 * for one (on such a core 4 products with 6 loads take 295 ticks of 2.1 GHz with eight tiles in use, 119 with
 * four; on a core of one's own 58 either way). */

INLINE int lane_blocks(int nb, int l)
{
    return l < nb ? (nb - l + 7) / 8 : 0;
}

/* the float step of a block of 32, from the sums of its tile */
INLINE void step32(int R, int min, const int32_t *sum, const struct mmq_group32 *a,
                   const struct spread32 *s, vf *acc)
{
    const vf dw = vf_load(s->d), m = min ? vf_load(s->m) : vf_zero();
    UNROLL for (int r = 0; r < R; r++)
    {
        const vf da = vf_set1(a->d[r]);
        acc[r] = vf_fma(vf_mul(dw, da), vi_to_float(vi_load(sum + 16 * r)), acc[r]);
        if (min)
            acc[r] = vf_fma(vf_mul(m, da), vf_set1(a->sum[r]), acc[r]);
    }
}

/* The sums of a block are stored when the product of the next is issued, and its float step comes when that of
 * the second next is: in line with its own it would wait. */
INLINE void group32(int R, int min, int nb, const struct mmq_group32 *a, const struct spread32 *s,
                    vf (*lane)[16])
{
    enum { LATE = 3 };
    _Alignas(64) int32_t sum[4][16 * 16];
    vf acc[16];
    int l = 0, left = lane_blocks(nb, 0), i = 0;
    UNROLL for (int r = 0; r < R; r++) acc[r] = vf_zero();
#define ISSUE(i, c)                                                                                \
    {                                                                                              \
        tile_load(2, a[i].q, 32);                                                                  \
        tile_load(3, s[i].w, 64);                                                                  \
        tile_dot_ss(c, 2, 3);                                                                      \
    }
#define STORE(c, buf)                                                                              \
    {                                                                                              \
        tile_store(c, sum[buf], 64);                                                               \
        tile_zero(c);                                                                              \
    }
#define STEP(i, buf)                                                                               \
    {                                                                                              \
        step32(R, min, sum[(buf)&3], a + (i), s + (i), acc);                                       \
        if (--left == 0) {                                                                         \
            UNROLL for (int r = 0; r < R; r++)                                                     \
            {                                                                                      \
                lane[l][r] = acc[r];                                                               \
                acc[r] = vf_zero();                                                                \
            }                                                                                      \
            left = lane_blocks(nb, ++l);                                                           \
        }                                                                                          \
    }
#define TURN(i, n)                                                                                 \
    if ((i) < nb) {                                                                                \
        if ((n) % 2)                                                                               \
            ISSUE(i, 1)                                                                            \
        else                                                                                       \
            ISSUE(i, 0)                                                                            \
    }                                                                                              \
    if ((i) > 0 && (i) <= nb) {                                                                    \
        if ((n) % 2)                                                                               \
            STORE(0, ((n) + 3) % 4)                                                                \
        else                                                                                       \
            STORE(1, ((n) + 3) % 4)                                                                \
    }                                                                                              \
    if ((i) >= LATE && (i) < nb + LATE)                                                            \
    STEP((i)-LATE, (n)-LATE)
    for (i = 0; i < nb + LATE; i += 4) {
        TURN(i, 0)
        TURN(i + 1, 1)
        TURN(i + 2, 2)
        TURN(i + 3, 3)
    }
#undef TURN
#undef ISSUE
#undef STORE
#undef STEP
    for (; l < 8; l++)
        for (int r = 0; r < R; r++)
            lane[l][r] = vf_zero();
}

/* the float step of rows [from, from + n) of a block of 256 */
INLINE void step256(int from, int n, int six, const int32_t *low, const int32_t *high,
                    const struct mmq_group256 *a, const struct spread256 *s, int first, vf *acc)
{
    const vf dw = vf_load(s->d), dm = six ? vf_zero() : vf_load(s->neg_min);
    vi m[4];
    if (!six) {
        UNROLL for (int p = 0; p < 4; p++) m[p] = vi_load(s->m[p]);
    }
    UNROLL for (int r = from; r < from + n; r++)
    {
        const vf da = vf_set1(a->d[r]);
        vi v = vi_add(vi_load(low + 16 * r), vi_sll(vi_load(high + 16 * r), 8));
        vf x = vf_fma(vf_mul(dw, da), vi_to_float(v), first ? vf_zero() : acc[r]);
        if (!six) {
            vi ms = vi_zero();
            UNROLL for (int p = 0; p < 4; p++) ms = vi_dot16(ms, m[p], vi_set1(a->pair[p][r]));
            x = vf_fma(vf_mul(dm, da), vi_to_float(ms), x);
        }
        acc[r] = x;
    }
}

/* A block of a panel with a group of rows. */
struct unit256 {
    const struct mmq_group256 *a;
    const struct spread256 *s;
    vf *acc;               /* (16) sums of its lane */
    vf (*part)[16];        /* (3, 16) of the fold */
    int lane, first, last; /* first, last: of its lane */
};

/* Lanes are visited in this order, so that the fold of R1,
 * ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7)), needs three partial sums and not eight lanes. */
static const uint8_t lane_order[8] = {0, 4, 2, 6, 1, 5, 3, 7};

/* Lane `lane` is x: into part; after lane 7 part[0] is the sum. */
INLINE void fold(int R, int lane, vf (*part)[16], const vf *x)
{
    switch (lane) {
    case 0:
        UNROLL for (int r = 0; r < R; r++) part[0][r] = x[r];
        break;
    case 4:
        UNROLL for (int r = 0; r < R; r++) part[0][r] = vf_add(part[0][r], x[r]);
        break;
    case 2:
    case 1:
        UNROLL for (int r = 0; r < R; r++) part[1][r] = x[r];
        break;
    case 6:
        UNROLL for (int r = 0; r < R; r++) part[0][r] =
            vf_add(part[0][r], vf_add(part[1][r], x[r]));
        break;
    case 5:
        UNROLL for (int r = 0; r < R; r++) part[1][r] = vf_add(part[1][r], x[r]);
        break;
    case 3:
        UNROLL for (int r = 0; r < R; r++) part[2][r] = x[r];
        break;
    default:
        UNROLL for (int r = 0; r < R; r++) part[0][r] =
            vf_add(part[0][r], vf_add(part[1][r], vf_add(part[2][r], x[r])));
    }
}

/* the same fold where all lanes are there */
static void fold32(vf (*lane)[16], vf *sum)
{
    for (int r = 0; r < 16; r++) {
        vf a = vf_add(lane[0][r], lane[4][r]), b = vf_add(lane[1][r], lane[5][r]);
        vf c = vf_add(lane[2][r], lane[6][r]), e = vf_add(lane[3][r], lane[7][r]);
        sum[r] = vf_add(vf_add(a, c), vf_add(b, e));
    }
}

/* a quarter of the float steps of a unit */
INLINE void quarter256(int g, int R, int six, int32_t (*sum)[16 * 16], const struct unit256 *u)
{
    if (u->first)
        step256(R / 4 * g, R / 4, six, sum[0], sum[1], u->a, u->s, 1, u->acc);
    else
        step256(R / 4 * g, R / 4, six, sum[0], sum[1], u->a, u->s, 0, u->acc);
}

/* The products of unit `now` and the float steps of unit `before`, either NULL. */
INLINE void unit256(int R, int six, int32_t (*sum)[16 * 16], const struct unit256 *now,
                    const struct unit256 *before)
{
    UNROLL for (int g = 0; g < 4; g++)
    {
        if (now) {
            tile_load(2, now->a->q[g], 64);
            tile_load(3, now->s->low[g], 64);
            tile_dot_su(0, 2, 3);
            tile_load(3, now->s->high[g], 64);
            tile_dot_ss(1, 2, 3);
        }
        if (before)
            quarter256(g, R, six, sum, before);
    }
    if (now) {
        tile_store(0, sum[0], 64);
        tile_zero(0);
        tile_store(1, sum[1], 64);
        tile_zero(1);
    }
    if (before && before->last)
        fold(R, before->lane, before->part, before->acc);
}

/* n_panel panels (at most 2) by n_group groups (at most 4) of R rows, block by block, so that the units of
 * a block find most of their operands in the L1 cache.  The sums end in part[panel * 4 + group][0]; acc is
 * room for as many, in the caller's frame: beside `sum` in this one it cost a tenth of the speed. */
INLINE void units256(int R, int six, int nb, int n_panel, int n_group, const struct mmq_group256 *a,
                     const struct spread256 *s, vf (*acc)[16], vf (*part)[3][16])
{
    _Alignas(64) int32_t sum[2][16 * 16];
    vf none[16];
    struct unit256 now, before = {0};
    int at[9] = {0}, have = 0;
    UNROLL for (int r = 0; r < R; r++) none[r] = vf_zero();
    for (int l = 0; l < 8; l++) /* a panel has lane after lane */
        at[l + 1] = at[l] + lane_blocks(nb, l);
    for (int o = 0; o < 8; o++) {
        const int l = lane_order[o];
        for (int i = at[l]; i < at[l + 1]; i++)
            for (int p = 0; p < n_panel; p++)
                for (int q = 0; q < n_group; q++) {
                    const int u = p * 4 + q;
                    now = (struct unit256){a + q * nb + i, s + p * nb + i,    acc[u], part[u], l,
                                           i == at[l],     i + 1 == at[l + 1]};
                    if (have)
                        unit256(R, six, sum, &now, &before);
                    else
                        unit256(R, six, sum, &now, NULL);
                    before = now;
                    have = 1;
                }
        if (at[l] < at[l + 1])
            continue;
        if (have) /* its fold comes first */
            unit256(R, six, sum, NULL, &before);
        have = 0;
        for (int u = 0; u < 8; u++)
            if (u / 4 < n_panel && u % 4 < n_group)
                fold(R, l, part[u], none);
    }
    if (have)
        unit256(R, six, sum, NULL, &before);
}

/* sum(rows), then bias and y */
static void put_rows(int rows, const vf *sum, const struct mmq_out *o, int row, int col)
{
    const int n = o->n - col < 16 ? o->n - col : 16;
    for (int r = 0; r < rows; r++) {
        vf v = sum[r];
        float *y = o->y + (size_t)(row + r) * o->ld + col;
        if (o->bias)
            v = vf_add(v, vf_load_n(o->bias + col, n));
        if (o->add)
            v = vf_add(vf_load_n(y, n), v);
        vf_store_n(y, v, n);
    }
}

/* rows of a group, rounded up to what the loops are made for */
static int padded(int rows)
{
    return (rows + 3) & ~3;
}

static void shape(int block, int rows)
{
    const int k = block == 32 ? 32 : 64, n_sum = 2; /* then A, then B */
    struct tile_shape s;
    memset(&s, 0, sizeof s);
    for (int t = 0; t < n_sum; t++)
        tile_set(&s, t, rows, 64);
    tile_set(&s, n_sum, rows, k);
    tile_set(&s, n_sum + 1, k / 4, 64);
    tile_begin(&s);
}

#define EACH_R(R, call)                                                                            \
    switch (R) {                                                                                   \
    case 16:                                                                                       \
        call(16);                                                                                  \
        break;                                                                                     \
    case 12:                                                                                       \
        call(12);                                                                                  \
        break;                                                                                     \
    case 8:                                                                                        \
        call(8);                                                                                   \
        break;                                                                                     \
    default:                                                                                       \
        call(4);                                                                                   \
    }

static void run32(int min, int R, int nb, const struct mmq_group32 *a, const struct spread32 *s,
                  vf (*lane)[16])
{
#define CALL(n)                                                                                    \
    if (min)                                                                                       \
        group32(n, 1, nb, a, s, lane);                                                             \
    else                                                                                           \
        group32(n, 0, nb, a, s, lane)
    EACH_R(R, CALL)
#undef CALL
}

static void run256(int six, int R, int nb, int n_panel, int n_group, const struct mmq_group256 *a,
                   const struct spread256 *s, vf (*acc)[16], vf (*part)[3][16])
{
#define CALL(n)                                                                                    \
    if (six)                                                                                       \
        units256(n, 1, nb, n_panel, n_group, a, s, acc, part);                                     \
    else                                                                                           \
        units256(n, 0, nb, n_panel, n_group, a, s, acc, part)
    EACH_R(R, CALL)
#undef CALL
}

struct work {
    int type, nb, block, m;
    size_t group_bytes, spread_bytes;
    const char *act, *spread;
    const struct mmq_out *o;
};

/* groups [g, g + n) of R rows, n <= 4 (1 for blocks of 32), with panels [0, n_panel) whose first column
 * is col */
static void groups(const struct work *w, int g, int n, int R, int n_panel, int col)
{
    _Alignas(64) vf lane[8][16], acc[8][16], part[8][3][16]; /* [panel * 4 + group] */
    const void *a = w->act + (size_t)g * w->group_bytes;
    const int step = w->block == 256 ? 2 : 1;
    for (int p = 0; p < n_panel; p += step) {
        const void *s = w->spread + (size_t)p * w->spread_bytes;
        const int np = n_panel - p < step ? n_panel - p : step;
        if (w->block == 32) {
            run32(w->type == KN_Q4_1 || w->type == KN_Q5_1, R, w->nb, a, s, lane);
            fold32(lane, part[0][0]);
        } else
            run256(w->type == KN_Q6_K, R, w->nb, np, n, a, s, acc, part);
        for (int j = 0; j < np; j++)
            for (int i = 0; i < n; i++) {
                int row = 16 * (g + i);
                put_rows(w->m - row < 16 ? w->m - row : 16, part[4 * j + i][0], w->o, row,
                         col + 16 * (p + j));
            }
    }
}

static void panels(int type, int m, int k, const uint8_t *panel, int n_panel, size_t panel_bytes,
                   const void *act, const struct mmq_out *o, void *scratch)
{
    const int block = kn_type_info(type)->act_block, nb = k / block, full = m / 16, rest = m % 16;
    struct work w = {.type = type, .nb = nb, .block = block, .m = m, .act = act, .o = o};
    w.group_bytes = mmq_tile_act_bytes(block, 16, k);
    w.spread_bytes =
        (size_t)nb * (block == 32 ? sizeof(struct spread32) : sizeof(struct spread256));
    w.spread = scratch;
    size_t fit = MMQ_TILE_SCRATCH / w.spread_bytes;
    const int most = fit < 1 ? 1 : fit > 64 ? 64 : (int)fit;
    for (int p = 0; p < n_panel; p += most) {
        const int n = n_panel - p < most ? n_panel - p : most;
        for (int i = 0; i < n; i++)
            spread(type, nb, panel + (size_t)(p + i) * panel_bytes,
                   (char *)scratch + (size_t)i * w.spread_bytes);
        if (full)
            shape(block, 16);
        for (int g = 0; g < full;) {
            int n_group = block == 32 ? 1 : full - g < 4 ? full - g : 4;
            groups(&w, g, n_group, 16, n, 16 * p);
            g += n_group;
        }
        if (rest) {
            shape(block, padded(rest));
            groups(&w, full, 1, padded(rest), n, 16 * p);
        }
    }
    tile_end();
}

#if defined(TILE_amx)
const struct mmq_tiles FN(mmq) = {"amx", quantize, panels};
#else
const struct mmq_tiles FN(mmq) = {"amx-model", quantize, panels};
#endif
