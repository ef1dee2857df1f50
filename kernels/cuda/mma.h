/* mma.h - exact sums of a block of R1 for 32 rows of w and eight tokens a tile, by the tensor cores
 *
 * mma.m16n8k32 (k16 for Q6_K, whose scales are of sixteen): lane 4 g + t holds rows g and g + 8, bytes
 * 4 t ... of w; token g, bytes 4 t ... of x; sums of rows g, g + 8 and tokens 2 t, 2 t + 1.  Weights and
 * activations lie so that what a warp reads at once is 128 bytes in a row (cuda.h). */
#ifndef CUDA_MMA_H
#define CUDA_MMA_H
#include "cuda/matmul.h"

#ifdef EMULATED /* tests/gpu/emulate */
static void mma32(int c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    const uint32_t b[] = {b0, b1};
    emu_mma(c, a, 4, b, 2);
}
static void mma16(int c[4], uint32_t a0, uint32_t a1, uint32_t b)
{
    const uint32_t a[] = {a0, a1};
    emu_mma(c, a, 2, &b, 1);
}
#else
/* c = a b; from zero, which then needs no registers */
__device__ static void mma32(int c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%10,%10,%10,%10};"
        : "=r"(c[0]), "=r"(c[1]), "=r"(c[2]), "=r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(0));
}
__device__ static void mma16(int c[4], uint32_t a0, uint32_t a1, uint32_t b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%7,%7,%7,%7};"
        : "=r"(c[0]), "=r"(c[1]), "=r"(c[2]), "=r"(c[3])
        : "r"(a0), "r"(a1), "r"(b), "r"(0));
}
#endif

/* Where operands lie: SHARED, or read-only global memory. */
template <bool SHARED, class T> __device__ static T read(const T *p)
{
    if constexpr (SHARED)
        return *p;
    else
        return __ldg(p);
}
template <bool SHARED> __device__ static uint32_t word_at(const void *p)
{
    return read<SHARED>((const uint32_t *)p);
}
__device__ static int byte_of(uint32_t u, int i) /* signed */
{
    return (int)(u << (24 - 8 * i)) >> 24;
}

/* A block of a group of w, and of tokens, of which eight lie together: what there is of the first eight, and how many
 * bytes (q, sums) and floats (scale) on the next are.  sums: struct act. */
struct operands {
    const uint8_t *w;
    const int8_t *q;
    const void *sums;
    const float *scale;
    size_t q_next, sums_next, scale_next;
};
/* of eight tokens' sums of a block of LEN */
template <int LEN> constexpr int SUM_BYTES = LEN == 256 ? 256 : 32;

/* What a thread holds of a tile: rows g + 8 i (i < 4), tokens 8 j + 2 t + c; sums as two mmas have them. */
template <int TILES> struct sums {
    int s[TILES][2][4];
};

/* c of an mma with factors f0 and f1 of its two rows into s */
__device__ static void scaled(int s[4], const int c[4], int f0, int f1)
{
    s[0] += f0 * c[0];
    s[1] += f0 * c[1];
    s[2] += f1 * c[2];
    s[3] += f1 * c[3];
}

/* exact for |i| < 2^22, and several times cheaper than the conversion */
__device__ static float small_float(int i)
{
    return __int_as_float(i + 0x4b400000) - 12582912.0f;
}
template <bool SMALL> __device__ static float number(int i)
{
    return SMALL ? small_float(i) : (float)i;
}

/* fma(f da, x) for an eight of tokens into acc: x of rows 2 i and 2 i + 1 as an mma has them */
template <bool SMALL, int TILES>
__device__ static void add(float (&acc)[4][TILES][2], int i, int j, const int x[4],
                           const float f[4], float2 da)
{
    float(&a)[2] = acc[2 * i][j], (&b)[2] = acc[2 * i + 1][j];
    a[0] = fmaf(f[2 * i] * da.x, number<SMALL>(x[0]), a[0]);
    a[1] = fmaf(f[2 * i] * da.y, number<SMALL>(x[1]), a[1]);
    b[0] = fmaf(f[2 * i + 1] * da.x, number<SMALL>(x[2]), b[0]);
    b[1] = fmaf(f[2 * i + 1] * da.y, number<SMALL>(x[3]), b[1]);
}

/* One block of 256 (K-quants). */
template <int TYPE, int TILES, bool SHARED>
__device__ static void block_k(float (&acc)[4][TILES][2], const struct operands &o, int g, int t)
{
    constexpr struct form F = form_of(TYPE);
    constexpr bool q6 = TYPE == KN_Q6_K;
    constexpr int QS = TYPE == KN_Q4_K ? 1 : 3;
    const uint8_t *w = o.w;
    struct sums<TILES> s = {
    };
    float d[4], m[4];
    uint32_t sc[4][4], mn[4][2], high[4][2];
    const auto piece = [=](int c, int i) { /* word t of piece c, row g + 8 i */
                                           return word_at<SHARED>(w + (c * GROUP + g + 8 * i) * 16 +
                                                                  t * 4);
    };
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint4 h = read<SHARED>((const uint4 *)(w + ((q6 ? 12 : 0) * GROUP + g + 8 * i) * 16));
        if (q6) {
            sc[i][0] = h.x, sc[i][1] = h.y, sc[i][2] = h.z, sc[i][3] = h.w;
            d[i] = half_float(read<SHARED>(
                (const unsigned short *)(w + F.pieces * GROUP * 16 + (g + 8 * i) * F.small())));
            m[i] = 0;
        } else {
            d[i] = half_float(h.x);
            m[i] = -half_float(h.x >> 16);
            scales_of(h, sc[i], mn[i]);
        }
    }
    if (TYPE == KN_Q5_K)
#pragma unroll
        for (int i = 0; i < 4; i++)
            high[i][0] = piece(1, i), high[i][1] = piece(2, i);
#pragma unroll
    for (int sub = 0; sub < 8; sub++) { /* 32 values */
        uint32_t a[2][4];               /* rows g and g + 8 of the first sixteen, of the second */
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int h = 0; h < 2; h++) {
                uint32_t v;
                if (q6) {
                    const int n = sub / 4, z = sub % 4;
                    v = (piece(4 * n + 2 * (z & 1) + h, i) >> 4 * (z >> 1) & 0x0f0f0f0fu) |
                        (piece(8 + 2 * n + h, i) >> 2 * z & 0x03030303u) << 4;
                } else {
                    v = piece(QS + sub / 2 * 2 + h, i) >> 4 * (sub & 1) & 0x0f0f0f0fu;
                    if (TYPE == KN_Q5_K)
                        v |= (high[i][h] >> sub & 0x01010101u) << 4;
                }
                a[i / 2][i % 2 + 2 * h] = v;
            }
#pragma unroll
        for (int j = 0; j < TILES; j++) {
            const int8_t *x = o.q + j * o.q_next + (2 * sub) * 128 + g * 16 + t * 4;
            const uint32_t b0 = word_at<SHARED>(x), b1 = word_at<SHARED>(x + 128);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (q6) {
                    const int f = 2 * sub;
                    int c[4], e[4];
                    mma16(c, a[i][0], a[i][1], b0);
                    mma16(e, a[i][2], a[i][3], b1);
                    scaled(s.s[j][i], c, byte_of(sc[2 * i][f / 4], f % 4),
                           byte_of(sc[2 * i + 1][f / 4], f % 4));
                    scaled(s.s[j][i], e, byte_of(sc[2 * i][f / 4], f % 4 + 1),
                           byte_of(sc[2 * i + 1][f / 4], f % 4 + 1));
                } else {
                    int c[4];
                    mma32(c, a[i], b0, b1);
                    scaled(s.s[j][i], c, (int)(sc[2 * i][sub / 4] >> 8 * (sub % 4) & 63),
                           (int)(sc[2 * i + 1][sub / 4] >> 8 * (sub % 4) & 63));
                }
            }
        }
    }
    /* sums of sixteen activations times minima (each twice), or scales (for the offset of Q6_K) */
    uint32_t f[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint32_t two = t < 2 ? mn[i][0] : mn[i][1];
        f[i] = q6 ? (t == 0   ? sc[i][0]
                     : t == 1 ? sc[i][1]
                     : t == 2 ? sc[i][2]
                              : sc[i][3])
                  : __byte_perm(two, 0, t % 2 ? 0x3322 : 0x1100);
    }
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        const int8_t *x = (const int8_t *)o.sums + j * o.sums_next + g * 16 + t * 4;
        const uint32_t up = word_at<SHARED>(x), low = word_at<SHARED>(x + 128);
        const float2 da = *(const float2 *)(o.scale + j * o.scale_next + 2 * t);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int c[4], e[4];
            mma16(c, f[2 * i], f[2 * i + 1], up);
            mma16(e, f[2 * i], f[2 * i + 1], low);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                c[n] = 64 * c[n] + e[n];
                if (q6) /* the offset of its values */
                    s.s[j][i][n] -= 32 * c[n];
            }
            add<false, TILES>(acc, i, j, s.s[j][i], d, da);
            if (!q6) /* at most 8 * 63 * 32 * 127 */
                add<true, TILES>(acc, i, j, c, m, da);
        }
    }
}

/* four bits to bit 4 of four bytes */
__device__ static uint32_t fifth_bits(uint32_t bits)
{
    return ((bits & 15) * 0x00204081u & 0x01010101u) << 4;
}

/* One block of 32. */
template <int TYPE, int TILES, bool SHARED>
__device__ static void block_32(float (&acc)[4][TILES][2], const struct operands &o, int g, int t)
{
    constexpr struct form F = form_of(TYPE);
    constexpr bool with_min = TYPE == KN_Q4_1 || TYPE == KN_Q5_1;
    constexpr int offset = TYPE == KN_Q4_0 ? 8 : TYPE == KN_Q5_0 ? 16 : 0;
    const uint8_t *w = o.w;
    float d[4], m[4];
    uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint8_t *p = w + (g + 8 * i) * 16 + t * 4;
        const unsigned short *small =
            (const unsigned short *)(w + F.pieces * GROUP * 16 + (g + 8 * i) * F.small());
        d[i] = half_float(read<SHARED>(small));
        m[i] = with_min ? half_float(read<SHARED>(small + 1)) : 0;
        uint32_t v0 = word_at<SHARED>(p), v1;
        if (TYPE == KN_Q8_0) {
            v1 = word_at<SHARED>(p + GROUP * 16);
        } else {
            v1 = v0 >> 4 & 0x0f0f0f0fu;
            v0 &= 0x0f0f0f0fu;
            if (TYPE == KN_Q5_0 || TYPE == KN_Q5_1) {
                const unsigned short *high = small + (F.small() - 4) / 2;
                v0 |= fifth_bits((uint32_t)read<SHARED>(high) >> 4 * t);
                v1 |= fifth_bits((uint32_t)read<SHARED>(high + 1) >> 4 * t);
            }
        }
        a[i / 2][i % 2] = v0;
        a[i / 2][i % 2 + 2] = v1;
    }
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        const int8_t *x = o.q + j * o.q_next + g * 16 + t * 4;
        const uint32_t b0 = word_at<SHARED>(x), b1 = word_at<SHARED>(x + 128);
        const int2 both = offset || with_min
                              ? *(const int2 *)((const char *)o.sums + j * o.sums_next + 8 * t)
                              : make_int2(0, 0);
        const int of[4] = {both.x, both.y, both.x, both.y};
        const float2 da = *(const float2 *)(o.scale + j * o.scale_next + 2 * t);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int c[4];
            mma32(c, a[i], b0, b1);
#pragma unroll
            for (int n = 0; n < 4; n++)
                c[n] -= offset * of[n];
            add<true, TILES>(acc, i, j, c, d, da); /* at most 32 * 128 * 127 */
            if (with_min)
                add<true, TILES>(acc, i, j, of, m, da);
        }
    }
}

/* acc takes a block. */
template <int TYPE, int TILES, bool SHARED>
__device__ static void multiply(float (&acc)[4][TILES][2], const struct operands &o, int g, int t)
{
    if constexpr (form_of(TYPE).len == 256)
        block_k<TYPE, TILES, SHARED>(acc, o, g, t);
    else
        block_32<TYPE, TILES, SHARED>(acc, o, g, t);
}
#endif
