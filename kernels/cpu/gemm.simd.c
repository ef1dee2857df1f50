/* gemm.simd.c - the inner loops of the float matrix product (R2) */
#include "gemm.h"
#include "simd.h"

INLINE vf load(int type, const void *b, size_t i)
{
    return type == KN_F32   ? vf_load((const float *)b + i)
           : type == KN_F16 ? vf_load_f16((const uint16_t *)b + i)
                            : vf_load_bf16((const uint16_t *)b + i);
}

struct args {
    const float *a;
    size_t a_row, a_col;
    const void *b;
    size_t b_stride;
    float *tot;
    size_t tot_ld;
    int kc, first;
};

/* A tile of R rows and P panels in registers: one fma chain per element over the chunk. */
INLINE void tile(int type, int R, int P, const struct args *g)
{
    vf acc[12][4];
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int p = 0; p < P; p++) acc[r][p] = vf_zero();
    }
    /* every third row has a pointer of its own: addressing modes reach the two after it */
    const size_t a_row = g->a_row, a_col = g->a_col, stride = g->b_stride;
    const float *a[4] = {g->a, g->a + 3 * a_row, g->a + 6 * a_row, g->a + 9 * a_row};
    size_t at = 0;
    for (int k = 0; k < g->kc; k++) {
        vf w[4];
        UNROLL for (int p = 0; p < P; p++) w[p] = load(type, g->b, at + (size_t)p * stride);
        UNROLL for (int r = 0; r < R; r++)
        {
            vf x = vf_set1(a[r / 3][(size_t)(r % 3) * a_row]);
            UNROLL for (int p = 0; p < P; p++) acc[r][p] = vf_fma(x, w[p], acc[r][p]);
        }
        UNROLL for (int i = 0; i < (R + 2) / 3; i++) a[i] += a_col;
        at += 16;
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        UNROLL for (int p = 0; p < P; p++)
        {
            float *t = g->tot + (size_t)r * g->tot_ld + 16 * p;
            vf_store(t, g->first ? acc[r][p] : vf_add(vf_load(t), acc[r][p]));
        }
    }
}

/* All rows against P panels, in the largest tiles that fit. */
#define ROWS(R, P)                                                                                 \
    for (; mr >= (R); mr -= (R), g.a += (R)*g.a_row, g.tot += (R)*g.tot_ld)                        \
        tile(type, R, P, &g);

INLINE void rows(int type, int P, int mr, struct args g)
{
#if defined(ISA_avx512)
    if (P == 4) { /* few rows: more columns keep the multipliers busy */
        ROWS(4, 4)
        ROWS(2, 4)
        ROWS(1, 4)
    } else if (P == 2) {
        ROWS(12, 2)
        ROWS(8, 2)
        ROWS(4, 2)
        ROWS(2, 2)
        ROWS(1, 2)
    } else {
        ROWS(12, 1)
        ROWS(4, 1)
        ROWS(1, 1)
    }
#elif defined(ISA_avx2) || defined(ISA_neon)
    if (P == 2) {
        ROWS(2, 2)
        ROWS(1, 2)
    } else {
        ROWS(6, 1)
        ROWS(4, 1)
        ROWS(2, 1)
        ROWS(1, 1)
    }
#else
    (void)P;
    ROWS(4, 1)
    ROWS(1, 1)
#endif
}

INLINE void tiles(int type, int mr, int nj, struct args g)
{
    const size_t size = type == KN_F32 ? 4 : 2;
#define PANELS(P)                                                                                  \
    for (; nj >= (P);                                                                              \
         nj -= (P), g.b = (const char *)g.b + (P)*g.b_stride * size, g.tot += 16 * (P))            \
        rows(type, P, mr, g);
#if defined(ISA_avx512)
    if (mr <= 4) {
        PANELS(4)
    }
    PANELS(2)
#elif defined(ISA_avx2) || defined(ISA_neon)
    if (mr <= 2) {
        PANELS(2)
    }
#endif
    PANELS(1)
}

static void any_tile(int type, int mr, int nj, int kc, const float *a, size_t a_row, size_t a_col,
                     const void *b, size_t b_stride, float *tot, size_t tot_ld, int first)
{
    struct args g = {a, a_row, a_col, b, b_stride, tot, tot_ld, kc, first};
    if (type == KN_F32)
        tiles(KN_F32, mr, nj, g);
    else if (type == KN_F16)
        tiles(KN_F16, mr, nj, g);
    else
        tiles(KN_BF16, mr, nj, g);
}

static void finish(int mr, int n, const float *tot, size_t tot_ld, float *c, size_t c_ld,
                   float alpha, const float *bias, int add)
{
    vf al = vf_set1(alpha);
    for (int r = 0; r < mr; r++, tot += tot_ld, c += c_ld)
        for (int i = 0; i < n; i += 16) {
            vf y = vf_load(tot + i);
            if (alpha != 1.0f)
                y = vf_mul(al, y);
            if (bias)
                y = vf_add(y, vf_load_n(bias + i, n - i));
            if (add)
                y = vf_add(vf_load_n(c + i, n - i), y);
            vf_store_n(c + i, y, n - i);
        }
}

static void widen(int type, const void *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        vf_store(dst + i, load(type, src, i));
}

const struct gemm_isa FN(gemm) = {any_tile, finish, widen, PATH};
