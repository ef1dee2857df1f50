/* attend.h - attention of many pairs of (row, head) over one KV head (R4); included by rows.simd.c
 *
 * Pairs are taken in blocks of up to SIMD_MR, which share every load of k and v, as rows do in a
 * matrix product.  A tile's k and v serve all blocks of the unit before the next tile is touched. */
#ifndef ATTEND_H
#define ATTEND_H
#include "kvtile.h"

#include <float.h>

_Static_assert(SIMD_MR <= 12 && TILE % (16 * SIMD_NP) == 0, "the switches below");

INLINE vf cached(int type, const void *p, int i)
{
    return type == KN_F16 ? vf_load_f16((const uint16_t *)p + i) : vf_load((const float *)p + i);
}

/* What the next tile will read, a part at each call. */
struct ahead {
    const char *k, *v;
    int bytes; /* of each; 0: nothing */
};
INLINE void fetch(const struct ahead *a, int part, int parts)
{
    const int from = part * a->bytes / parts & ~63, to = (part + 1) * a->bytes / parts & ~63;
    for (int i = from; i < to; i += 64) {
        __builtin_prefetch(a->k + i, 0, 2);
        __builtin_prefetch(a->v + i, 0, 2);
    }
}

/* The sums of R pairs by NV vectors: registers, once both are constants.  Few pairs take twice the
 * vectors, so that as many chains run at once. */
enum { SUM_VECS = 2 * SIMD_NP };
typedef vf sums[SIMD_MR][SUM_VECS];
#define WIDE(R)  (2 * (R) < SIMD_MR)
#define EACH_SUM UNROLL for (int r = 0; r < R; r++) UNROLL for (int e = 0; e < NV; e++)

/* One lane of R3: the chain over `steps` elements of q(steps, R) and k(steps, TILE). */
INLINE void lane(int type, int R, int NV, int steps, int line, const float *q, const void *k,
                 sums acc)
{
    EACH_SUM acc[r][e] = vf_zero();
    for (q += line * R; steps; steps--, line++, q += R) {
        vf x[SUM_VECS];
        UNROLL for (int e = 0; e < NV; e++) x[e] = cached(type, k, line * TILE + 16 * e);
        EACH_SUM acc[r][e] = vf_fma(vf_set1(q[r]), x[e], acc[r][e]);
    }
}

/* s(R, TILE) = scale * (q . k) for 16 * NV positions at k.  q is (16 * steps, R) in the order of k's
 * lines, four times four lanes that the fold brings together: ((a + b) + (c + d)). */
INLINE void scores(int type, int R, int NV, int steps, float scale, const float *q, const void *k,
                   const struct ahead *next, float *s)
{
    sums four[4], two, acc;
    for (int g = 0; g < 4; g++) {
        const int at = 4 * g * steps;
        fetch(next, g, 4);
        lane(type, R, NV, steps, at, q, k, two);
        lane(type, R, NV, steps, at + steps, q, k, acc);
        EACH_SUM two[r][e] = vf_add(two[r][e], acc[r][e]);
        lane(type, R, NV, steps, at + 2 * steps, q, k, four[g]);
        lane(type, R, NV, steps, at + 3 * steps, q, k, acc);
        EACH_SUM four[g][r][e] = vf_add(two[r][e], vf_add(four[g][r][e], acc[r][e]));
    }
    EACH_SUM vf_store(s + r * TILE + 16 * e,
                      vf_mul(vf_set1(scale), vf_add(vf_add(four[0][r][e], four[1][r][e]),
                                                    vf_add(four[2][r][e], four[3][r][e]))));
}

/* up to n > 0 positions */
INLINE void score_tile(int type, int R, int steps, int n, float scale, const float *q,
                       const void *k, const struct ahead *next, float *s)
{
    const struct ahead nothing = {NULL, NULL, 0};
    const int size = type == KN_F16 ? 2 : 4;
    if (WIDE(R) && 16 * SUM_VECS <= TILE && n > 16 * SIMD_NP) {
        scores(type, R, SUM_VECS, steps, scale, q, k, next, s);
        return;
    }
    for (int h = 0; h < n; h += 16 * SIMD_NP)
        scores(type, R, SIMD_NP, steps, scale, q, (const char *)k + h * size, h ? &nothing : next,
               s + h);
}

/* NV vectors of o(R, dim) from `at` on: o * c, then += p_j * v_j for j in [j, end) */
INLINE void output_part(int type, int R, int NV, int dim, int at, int j, int end, const float *c,
                        const float *p, const void *v, float *o)
{
    sums acc;
    EACH_SUM acc[r][e] = vf_mul(vf_load(o + r * dim + at + 16 * e), vf_set1(c[r]));
    for (; j < end; j++) {
        vf x[SUM_VECS];
        UNROLL for (int e = 0; e < NV; e++) x[e] = cached(type, v, j * dim + at + 16 * e);
        EACH_SUM acc[r][e] = vf_fma(vf_set1(p[r * TILE + j]), x[e], acc[r][e]);
    }
    EACH_SUM vf_store(o + r * dim + at + 16 * e, acc[r][e]);
}

INLINE void outputs(int type, int R, int dim, int from, int to, const float *c, const float *p,
                    const void *v, float *o)
{
    const int wide = WIDE(R) ? SUM_VECS : SIMD_NP;
    int i = 0;
    for (; i + 16 * wide <= dim; i += 16 * wide)
        output_part(type, R, wide, dim, i, from, to, c, p, v, o);
    for (; i < dim; i += 16)
        output_part(type, R, 1, dim, i, from, to, c, p, v, o);
}

/* The number of pairs as a constant, so that their sums are registers. */
#if defined(ISA_generic)
#define WITH_R(r, F) F(r);
#else
#define CASE_R(n, F)                                                                               \
    case n:                                                                                        \
        if (n <= SIMD_MR)                                                                          \
            F(n);                                                                                  \
        break;
#define WITH_R(r, F)                                                                               \
    switch (r) {                                                                                   \
        CASE_R(1, F)                                                                               \
        CASE_R(2, F)                                                                               \
        CASE_R(3, F)                                                                               \
        CASE_R(4, F)                                                                               \
        CASE_R(5, F)                                                                               \
        CASE_R(6, F)                                                                               \
        CASE_R(7, F)                                                                               \
        CASE_R(8, F)                                                                               \
        CASE_R(9, F)                                                                               \
        CASE_R(10, F)                                                                              \
        CASE_R(11, F)                                                                              \
        CASE_R(12, F)                                                                              \
    }
#endif

static void scores_n(int type, int n, int steps, int most, float scale, const float *q,
                     const void *k, const struct ahead *next, float *s)
{
#define F32(R) score_tile(KN_F32, R, steps, most, scale, q, k, next, s)
#define F16(R) score_tile(KN_F16, R, steps, most, scale, q, k, next, s)
    if (type == KN_F16) {
        WITH_R(n, F16)
    } else {
        WITH_R(n, F32)
    }
#undef F32
#undef F16
}

static void outputs_n(int type, int n, int dim, int from, int to, const float *c, const float *p,
                      const void *v, float *o)
{
#define F32(R) outputs(KN_F32, R, dim, from, to, c, p, v, o)
#define F16(R) outputs(KN_F16, R, dim, from, to, c, p, v, o)
    if (type == KN_F16) {
        WITH_R(n, F16)
    } else {
        WITH_R(n, F32)
    }
#undef F32
#undef F16
}

/* Up to SIMD_MR pairs on their way through the tiles. */
struct pairs {
    int n, end[SIMD_MR]; /* positions that each sees, ascending: [begin, end) */
    int begin[SIMD_MR];
    float *q, *o, *p; /* (dim, n) in the order of k's lines; (n, dim); (n, TILE) of this tile */
    float m[16], l[16], c[16];
};

static int at_most(int x, int most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* s(n, TILE) to p; the maxima and sums move on; c = what the outputs so far are multiplied by */
static void softmax(struct pairs *b, int t, float cap)
{
    float top[16] = {0}, sum[16] = {0}, *s = b->p;
    const vf by = vf_set1(cap);
    for (int r = 0; r < b->n; r++, s += TILE) {
        for (int j = 0; cap != 0 && j < TILE; j += 16)
            vf_store(s + j, vf_mul(by, vf_tanh(vf_div(vf_load(s + j), by))));
        for (int j = at_most(b->end[r] - t, TILE); j < TILE; j++)
            s[j] = -INFINITY;
        for (int j = at_most(b->begin[r] - t, TILE) - 1; j >= 0; j--)
            s[j] = -INFINITY;
        top[r] = vf_hmax(vf_max(vf_load(s), vf_load(s + 16)));
    }
    const vf old = vf_load(b->m), m = vf_max(vf_load(top), old), c = vf_exp(vf_sub(old, m));
    vf_store(b->m, m);
    vf_store(b->c, c);
    s = b->p;
    for (int r = 0; r < b->n; r++, s += TILE) {
        const vf mr = vf_set1(b->m[r]);
        const vf p0 = vf_exp(vf_sub(vf_load(s), mr)), p1 = vf_exp(vf_sub(vf_load(s + 16), mr));
        vf_store(s, p0);
        vf_store(s + 16, p1);
        sum[r] = vf_fold(vf_add(p0, p1));
    }
    vf_store(b->l, vf_fma(vf_load(b->l), c, vf_load(sum)));
}

/* The weights of one tile, positions from t on. */
static void tile_weights(const struct attn_unit *u, int type, struct pairs *b, int t, const char *k,
                         const struct ahead *next)
{
    scores_n(type, b->n, u->dim / 16, at_most(b->end[b->n - 1] - t, TILE), u->scale, b->q, k, next,
             b->p);
    softmax(b, t, u->cap);
}

static void tile_outputs(const struct attn_unit *u, int type, const struct pairs *b, int t,
                         const char *v)
{
    static const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int n = b->n, all = at_most(b->end[0] - t, TILE), most = at_most(b->end[n - 1] - t, TILE);
    outputs_n(type, n, u->dim, 0, all, b->c, b->p, v, b->o);
    /* on the diagonal later rows see more: what is stale or to come is never multiplied */
    for (int r = 0, same; r < n && all < most; r += same) {
        const int to = at_most(b->end[r] - t, TILE);
        for (same = 1; r + same < n && b->end[r + same] == b->end[r]; same++)
            ;
        if (to > all)
            outputs_n(type, same, u->dim, all, to, ones, b->p + r * TILE, v, b->o + r * u->dim);
    }
}

static int first_seen(const struct attn_unit *u, int row)
{
    return u->window && u->pos[row] >= u->window ? u->pos[row] - u->window + 1 : 0;
}

/* pairs [from, to) of the unit, their q turned and their sums at 0 */
static void begin_pairs(const struct attn_unit *u, struct pairs *b, int from, int to)
{
    float *q = b->q, *o = b->o;
    b->n = to - from;
    memset(o, 0, (size_t)(b->n * u->dim) * sizeof *o);
    for (int r = 0; r < 16; r++)
        b->m[r] = -FLT_MAX, b->l[r] = 0; /* finite: a tile before a row's window changes nothing */
    for (int r = 0; r < b->n; r++) {
        const int row = (from + r) / u->group, head = (from + r) % u->group;
        const float *x = u->q + (size_t)row * u->row + head * u->head_dim;
        b->end[r] = u->pos[row] + 1;
        b->begin[r] = first_seen(u, row);
        for (int i = 0; i < 16; i++) {
            float *to_q = q + kv_line(i, u->dim) * b->n + r;
            for (int d = i; d < u->dim; d += 16, to_q += b->n)
                *to_q = d < u->head_dim ? x[d] : 0;
        }
    }
}

static void end_pairs(const struct attn_unit *u, const struct pairs *b, int from)
{
    for (int r = 0; r < b->n; r++) {
        const int row = (from + r) / u->group, head = (from + r) % u->group;
        float *y = u->y + (size_t)row * u->row + head * u->head_dim;
        const vf l = vf_set1(b->l[r]);
        for (int i = 0; i < u->head_dim; i += 16)
            vf_store_n(y + i, vf_div(vf_load(b->o + r * u->dim + i), l), u->head_dim - i);
    }
}

/* k (which 0) or v of a tile in the form that the blocks read: as it lies, or widened */
static const char *tile_form(const struct attn_unit *u, int which, const char *tile, int type,
                             float *room)
{
    if (type == u->type)
        return tile;
    if (u->type == KN_F16)
        widen_f16(u->dim, (const uint16_t *)(const void *)tile, room);
    else
        (which ? widen_v_q8 : widen_k_q8)(u->dim, (const int8_t *)tile, room);
    return (const char *)room;
}

/* k serves all blocks, then v: one of them and a block's q or outputs fit the first cache together */
static void attend(const struct attn_unit *u)
{
    enum { MOST = (ATTN_MAX_PAIRS + SIMD_MR - 1) / SIMD_MR };
    struct pairs b[MOST];
    _Alignas(64) float p[ATTN_MAX_PAIRS * TILE];
    const int n = u->to - u->from, n_b = (n + SIMD_MR - 1) / SIMD_MR;
    const int type = u->type == KN_F16 && n_b == 1 ? KN_F16 : KN_F32;
    float *q = u->scratch, *o = q + ATTN_MAX_PAIRS * u->dim, *room = o + ATTN_MAX_PAIRS * u->dim;
    for (int i = 0; i < n_b; i++) {
        const int from = n * i / n_b, to = n * (i + 1) / n_b;
        b[i].q = q + from * u->dim, b[i].o = o + from * u->dim, b[i].p = p + from * TILE;
        begin_pairs(u, &b[i], u->from + from, u->from + to);
    }
    const int end = u->pos[(u->to - 1) / u->group] + 1;
    for (int t = first_seen(u, u->from / u->group) / TILE * TILE, first = 0; t < end; t += TILE) {
        const size_t at = (size_t)u->blocks[t / TILE] * u->block_bytes;
        struct ahead next = {NULL, NULL, 0};
        if (t + TILE < end) {
            const size_t to = (size_t)u->blocks[t / TILE + 1] * u->block_bytes;
            next = (struct ahead){u->k + to, u->v + to, (int)(u->v - u->k)};
        }
        while (b[first].end[b[first].n - 1] <= t)
            first++;
        const char *tile = tile_form(u, 0, u->k + at, type, room);
        int last = first; /* later blocks have windows that begin beyond this tile */
        while (last < n_b && b[last].begin[0] < t + TILE)
            last++;
        for (int i = first; i < last; i++, next.bytes = 0)
            tile_weights(u, type, &b[i], t, tile, &next);
        tile = tile_form(u, 1, u->v + at, type, room);
        for (int i = first; i < last; i++)
            tile_outputs(u, type, &b[i], t, tile);
    }
    for (int i = 0; i < n_b; i++)
        end_pairs(u, &b[i], u->from + n * i / n_b);
}
#endif
