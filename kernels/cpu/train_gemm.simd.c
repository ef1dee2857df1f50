/* train_gemm.simd.c - the micro-kernels of train_gemm.h for one instruction set */
#include "cpu/train_gemm.h"
#include "cpu/simd.h"

#if defined ISA_avx512
enum { MR = 14, NV = 2 }; /* 28 sums + 2 of B + 1 broadcast of 32 registers */
#elif defined ISA_avx2
enum { MR = 6, NV = 1 }; /* 12 sums of 16 registers */
#else
enum { MR = 4, NV = 1 };
#endif

/* sum[i][j] += a[i][p] * b[p][j] over p; everything in registers once the loops are unrolled. Every
 * third row of A has a pointer of its own: addressing modes reach the two after it. */
INLINE void any_micro(int nv, int kc, const float *a, size_t a_row, size_t a_col, const float *b,
                      float *tile, int ld, int first)
{
    vf s[MR][2];
    const float *row[(MR + 2) / 3];
    UNROLL for (int i = 0; i < (MR + 2) / 3; i++) row[i] = a + 3 * (size_t)i * a_row;
    UNROLL for (int i = 0; i < MR; i++)
    {
        UNROLL for (int j = 0; j < nv; j++) s[i][j] = vf_zero();
    }
    for (int p = 0; p < kc; p++, b += 16 * nv) {
        vf bv[2];
        UNROLL for (int j = 0; j < nv; j++) bv[j] = vf_load(b + 16 * j);
        UNROLL for (int i = 0; i < MR; i++)
        {
            vf av = vf_set1(row[i / 3][(size_t)(i % 3) * a_row]);
            UNROLL for (int j = 0; j < nv; j++) s[i][j] = vf_fma(av, bv[j], s[i][j]);
        }
        UNROLL for (int i = 0; i < (MR + 2) / 3; i++) row[i] += a_col;
    }
    UNROLL for (int i = 0; i < MR; i++)
    {
        UNROLL for (int j = 0; j < nv; j++)
        {
            float *t = tile + (size_t)i * ld + 16 * j;
            vf_store(t, first ? s[i][j] : vf_add(vf_load(t), s[i][j]));
        }
    }
}

static void micro(int kc, const float *a, size_t a_row, size_t a_col, const float *b, float *tile,
                  int ld, int first)
{
    any_micro(NV, kc, a, a_row, a_col, b, tile, ld, first);
}

static void micro16(int kc, const float *a, size_t a_row, size_t a_col, const float *b, float *tile,
                    int ld, int first)
{
    any_micro(1, kc, a, a_row, a_col, b, tile, ld, first);
}

/* rows r0.. of `rows` (stride ld), n of them, as columns of a panel `width` wide, the rest 0 */
static void transpose(const float *rows, size_t ld, int n, int k, float *panel, int width)
{
    int p = 0;
#ifdef ISA_avx512
    if (n > 1 && n <= 16 && ld < INT32_MAX / 16) {
        __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        __m512i at = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)ld));
        __mmask16 have = (__mmask16)((1u << n) - 1);
        __mmask16 all = (__mmask16)((1u << (width < 16 ? width : 16)) - 1);
        for (; p < k; p++)
            _mm512_mask_storeu_ps(
                panel + (size_t)p * width, all,
                _mm512_mask_i32gather_ps(_mm512_setzero_ps(), have, at, rows + p, 4));
        return;
    }
#endif
    for (; p < k; p++) {
        float *to = panel + (size_t)p * width;
        int full = width < 16 ? width : 16;
        for (int r = 0; r < full; r++)
            to[r] = r < n ? rows[r * ld + p] : 0;
    }
}

static void finish(float *c, const float *tile, const float *bias, float alpha, int n, int add)
{
    vf al = vf_set1(alpha);
    int j = 0;
    for (; j + 16 <= n; j += 16) {
        vf v = vf_mul(al, vf_load(tile + j));
        if (bias)
            v = vf_add(v, vf_load(bias + j));
        vf_store(c + j, add ? vf_add(vf_load(c + j), v) : v);
    }
    for (; j < n; j++) {
        float v = alpha * tile[j];
        if (bias)
            v += bias[j];
        c[j] = add ? c[j] + v : v;
    }
}

const struct train_gemm_isa FN(train_gemm) = {
    .mr = MR,
    .nr = 16 * NV,
    .row_panels = 168 / MR, /* of A in the L2 cache: 168 * 256 * 4 = 172 KB */
    .col_panels = 256 / (16 * NV),
    .micro = micro,
    .micro16 = micro16,
    .transpose = transpose,
    .finish = finish,
};
