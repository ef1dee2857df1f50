/* attend.h - attention of one row (R4), included by rows.simd.c
 *
 * Scores: 16 positions at a time, 16 sums of 16 lanes that vf_fold16 folds in the canonical order.
 * Output: heads that share a KV head go through the values together, so that several fma chains run
 * at once. */
#ifndef ATTEND_H
#define ATTEND_H
#include "rows.h"
#include "simd.h"

enum { TILE = 32 }; /* KN_TILE */
#if defined(ISA_avx512)
enum { OUT_VECS = 4 };
#else
enum { OUT_VECS = 2 };
#endif

INLINE vf cached(int type, const void *p, int i)
{
    return type == KN_F16 ? vf_load_f16((const uint16_t *)p + i) : vf_load((const float *)p + i);
}

/* s(TILE) = scale * (q . k_j) for j < n, -inf beyond */
INLINE void scores(int type, int dim, int n, float scale, const float *q, const void *k, float *s)
{
    for (int h = 0; h < TILE; h += 16) {
        vf v[16];
        int m = n - h < 16 ? n - h : 16;
        if (m <= 0) {
            vf_store(s + h, vf_set1(-INFINITY));
            continue;
        }
        for (int j = 0; j < m; j++) {
            vf acc = vf_zero();
            for (int i = 0; i < dim; i += 16)
                acc = vf_fma(vf_load(q + i), cached(type, k, (h + j) * dim + i), acc);
            v[j] = acc;
        }
        for (int j = m; j < 16; j++)
            v[j] = vf_zero();
        vf_store(s + h, vf_mul(vf_set1(scale), vf_fold16(v)));
        for (int j = m; j < 16; j++)
            s[h + j] = -INFINITY;
    }
}

/* o(R, dim) = o * c, then += p_j * v_j in order */
INLINE void outputs(int type, int R, int dim, int n, const float *c, float p[][TILE], const void *v,
                    float *o)
{
    for (int i = 0; i < dim; i += 16 * OUT_VECS) {
        vf acc[ATTN_MAX_HEADS][OUT_VECS];
        const int nv = (dim - i) / 16 < OUT_VECS ? (dim - i) / 16 : OUT_VECS;
        if (nv < OUT_VECS) { /* a ragged end, one vector at a time */
            for (int e = i; e < dim; e += 16)
                for (int r = 0; r < R; r++) {
                    vf a = vf_mul(vf_load(o + r * dim + e), vf_set1(c[r]));
                    for (int j = 0; j < n; j++)
                        a = vf_fma(vf_set1(p[r][j]), cached(type, v, j * dim + e), a);
                    vf_store(o + r * dim + e, a);
                }
            return;
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            UNROLL for (int e = 0; e < OUT_VECS; e++) acc[r][e] =
                vf_mul(vf_load(o + r * dim + i + 16 * e), vf_set1(c[r]));
        }
        for (int j = 0; j < n; j++) {
            vf x[OUT_VECS];
            UNROLL for (int e = 0; e < OUT_VECS; e++) x[e] = cached(type, v, j * dim + i + 16 * e);
            UNROLL for (int r = 0; r < R; r++)
            {
                vf pj = vf_set1(p[r][j]);
                UNROLL for (int e = 0; e < OUT_VECS; e++) acc[r][e] = vf_fma(pj, x[e], acc[r][e]);
            }
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            UNROLL for (int e = 0; e < OUT_VECS; e++) vf_store(o + r * dim + i + 16 * e, acc[r][e]);
        }
    }
}

INLINE void attend_heads(int type, const struct attn_row *a)
{
    _Alignas(64) float q[ATTN_MAX_HEADS * ATTN_MAX_DIM], o[ATTN_MAX_HEADS * ATTN_MAX_DIM];
    _Alignas(64) float p[ATTN_MAX_HEADS][TILE];
    float m[ATTN_MAX_HEADS], l[ATTN_MAX_HEADS], c[ATTN_MAX_HEADS];
    const int dim = a->dim, hd = a->head_dim, heads = a->heads;
    for (int r = 0; r < heads; r++) {
        memcpy(q + r * dim, a->q + r * hd, (size_t)hd * sizeof *q);
        for (int i = hd; i < dim; i++)
            q[r * dim + i] = 0;
        for (int i = 0; i < dim; i++)
            o[r * dim + i] = 0;
        m[r] = -INFINITY, l[r] = 0;
    }
    for (int t = 0; t <= a->pos; t += TILE) {
        const size_t at = (size_t)a->blocks[t / TILE] * a->block_bytes;
        const int n = a->pos + 1 - t < TILE ? a->pos + 1 - t : TILE;
        for (int r = 0; r < heads; r++) {
            scores(type, dim, n, a->scale, q + r * dim, a->k + at, p[r]);
            vf s0 = vf_load(p[r]), s1 = vf_load(p[r] + 16);
            float max = vf_hmax(vf_max(s0, s1));
            max = max > m[r] ? max : m[r];
            s0 = vf_exp(vf_sub(s0, vf_set1(max)));
            s1 = vf_exp(vf_sub(s1, vf_set1(max)));
            vf_store(p[r], s0);
            vf_store(p[r] + 16, s1);
            c[r] = kn_exp(m[r] - max);
            l[r] = fmaf(l[r], c[r], vf_fold(vf_add(s0, s1)));
            m[r] = max;
        }
        if (heads == 4)
            outputs(type, 4, dim, n, c, p, a->v + at, o);
        else if (heads == 3)
            outputs(type, 3, dim, n, c, p, a->v + at, o);
        else if (heads == 2)
            outputs(type, 2, dim, n, c, p, a->v + at, o);
        else
            outputs(type, 1, dim, n, c, p, a->v + at, o);
    }
    for (int r = 0; r < heads; r++)
        for (int i = 0; i < hd; i += 16)
            vf_store_n(a->y + r * hd + i, vf_div(vf_load(o + r * dim + i), vf_set1(l[r])), hd - i);
}
#endif
