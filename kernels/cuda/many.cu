/* many - R1 for many rows of activations: exact integer products by the tensor cores
 *
 * A block of threads makes 32 rows of w by 8 TILES tokens.  Warp l takes the blocks of lane l of R1, so that each
 * lane's chain of fma is in one warp, and the fold is that of few.cu.  Fragments are read straight from
 * memory: weights and activations lie so that each load is 128 bytes in a row (cuda.h).
 *
 * mma.m16n8k32 (k16 for Q6_K, whose scales are of sixteen): lane 4 g + t holds rows g and g + 8, bytes
 * 4 t ... of w; token g, bytes 4 t ... of x; sums of rows g, g + 8 and tokens 2 t, 2 t + 1. */
#include "cuda/matmul.h"

__device__ static void mma32(int c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ static void mma16(int c[4], uint32_t a0, uint32_t a1, uint32_t b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(b));
}

__device__ static uint32_t word_at(const void *p)
{
    return __ldg((const uint32_t *)p);
}
__device__ static float half_float(uint32_t u)
{
    return __half2float(__ushort_as_half((unsigned short)u));
}
__device__ static int byte_of(uint32_t u, int i) /* signed */
{
    return (int)(u << (24 - 8 * i)) >> 24;
}

/* What a thread holds of a tile: rows g + 8 i (i < 4), tokens 8 j + 2 t + c. */
template <int TILES> struct sums {
    int s[4][TILES][2];
};

/* c of an mma of rows (2 i) and (2 i + 1) with factors f0 and f1 into s */
template <int TILES>
__device__ static void scaled(struct sums<TILES> &s, const int c[4], int i, int j, int f0, int f1)
{
    s.s[2 * i][j][0] += f0 * c[0];
    s.s[2 * i][j][1] += f0 * c[1];
    s.s[2 * i + 1][j][0] += f1 * c[2];
    s.s[2 * i + 1][j][1] += f1 * c[3];
}

/* acc takes the block: fma(d da, s - offset ms), then fma(m da, ms) */
template <int TILES>
__device__ static void combine(float (&acc)[4][TILES][2], const struct sums<TILES> &s,
                               const struct sums<TILES> &ms, int offset, bool with_min,
                               const float d[4], const float m[4], const float *scale,
                               size_t stride, int t)
{
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        const float2 da = *(const float2 *)(scale + j * stride + 2 * t);
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                const float f = c ? da.y : da.x;
                float &a = acc[i][j][c];
                a = fmaf(d[i] * f, (float)(s.s[i][j][c] - offset * ms.s[i][j][c]), a);
                if (with_min)
                    a = fmaf(m[i] * f, (float)ms.s[i][j][c], a);
            }
    }
}

/* One block of 256 (K-quants). w: the group's block; q, split, scale: of the first eight tokens. */
template <int TYPE, int TILES>
__device__ static void block_k(float (&acc)[4][TILES][2], const uint8_t *w, const int8_t *q,
                               const int8_t *split, const float *scale, int k, int g, int t)
{
    constexpr struct form F = form_of(TYPE);
    constexpr bool q6 = TYPE == KN_Q6_K;
    constexpr int QS = TYPE == KN_Q4_K ? 1 : 3;
    const size_t q_next = (size_t)k * 8, split_next = (size_t)(k / 256) * 256;
    struct sums<TILES> s = {}, ms;
    float d[4], m[4];
    uint32_t sc[4][4], mn[4][2], high[4][4];
    const auto piece = [=](int c, int i) { /* word t of piece c, row g + 8 i */
                                           return word_at(w + (c * GROUP + g + 8 * i) * 16 + t * 4);
    };
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint4 h = __ldg((const uint4 *)(w + ((q6 ? 12 : 0) * GROUP + g + 8 * i) * 16));
        if (q6) {
            sc[i][0] = h.x, sc[i][1] = h.y, sc[i][2] = h.z, sc[i][3] = h.w;
            d[i] = half_float(__ldg(
                (const unsigned short *)(w + F.pieces * GROUP * 16 + (g + 8 * i) * F.small())));
            m[i] = 0;
        } else {
            d[i] = half_float(h.x);
            m[i] = -half_float(h.x >> 16);
            sc[i][0] = h.y & 0x3f3f3f3fu;
            sc[i][1] = (h.w & 0x0f0f0f0fu) | (h.y >> 2 & 0x30303030u);
            mn[i][0] = h.z & 0x3f3f3f3fu;
            mn[i][1] = (h.w >> 4 & 0x0f0f0f0fu) | (h.z >> 2 & 0x30303030u);
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
            const int8_t *x = q + j * q_next + (2 * sub) * 128 + g * 16 + t * 4;
            const uint32_t b0 = word_at(x), b1 = word_at(x + 128);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (q6) {
                    const int f = 2 * sub;
                    int c[4] = {}, e[4] = {};
                    mma16(c, a[i][0], a[i][1], b0);
                    mma16(e, a[i][2], a[i][3], b1);
                    scaled<TILES>(s, c, i, j, byte_of(sc[2 * i][f / 4], f % 4),
                                  byte_of(sc[2 * i + 1][f / 4], f % 4));
                    scaled<TILES>(s, e, i, j, byte_of(sc[2 * i][f / 4], f % 4 + 1),
                                  byte_of(sc[2 * i + 1][f / 4], f % 4 + 1));
                } else {
                    int c[4] = {};
                    mma32(c, a[i], b0, b1);
                    scaled<TILES>(s, c, i, j, (int)(sc[2 * i][sub / 4] >> 8 * (sub % 4) & 63),
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
        const int8_t *x = split + j * split_next + g * 16 + t * 4;
        const uint32_t up = word_at(x), low = word_at(x + 128);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int c[4] = {};
            mma16(c, f[2 * i], f[2 * i + 1], up);
            for (int e = 0; e < 4; e++)
                c[e] *= 64;
            mma16(c, f[2 * i], f[2 * i + 1], low);
            ms.s[2 * i][j][0] = c[0], ms.s[2 * i][j][1] = c[1];
            ms.s[2 * i + 1][j][0] = c[2], ms.s[2 * i + 1][j][1] = c[3];
        }
    }
    combine<TILES>(acc, s, ms, q6 ? 32 : 0, !q6, d, m, scale, (size_t)(k / 256) * 8, t);
}

/* four bits to bit 4 of four bytes */
__device__ static uint32_t fifth_bits(uint32_t bits)
{
    return ((bits & 15) * 0x00204081u & 0x01010101u) << 4;
}

/* One block of 32. */
template <int TYPE, int TILES>
__device__ static void block_32(float (&acc)[4][TILES][2], const uint8_t *w, const int8_t *q,
                                const int32_t *sum, const float *scale, int k, int g, int t)
{
    constexpr struct form F = form_of(TYPE);
    constexpr bool with_min = TYPE == KN_Q4_1 || TYPE == KN_Q5_1;
    constexpr int offset = TYPE == KN_Q4_0 ? 8 : TYPE == KN_Q5_0 ? 16 : 0;
    const size_t next = (size_t)(k / 32) * 8;
    struct sums<TILES> s, ms;
    float d[4], m[4];
    uint32_t a[2][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const uint8_t *p = w + (g + 8 * i) * 16 + t * 4;
        const unsigned short *small =
            (const unsigned short *)(w + F.pieces * GROUP * 16 + (g + 8 * i) * F.small());
        d[i] = half_float(__ldg(small));
        m[i] = with_min ? half_float(__ldg(small + 1)) : 0;
        uint32_t v0 = word_at(p), v1;
        if (TYPE == KN_Q8_0) {
            v1 = word_at(p + GROUP * 16);
        } else {
            v1 = v0 >> 4 & 0x0f0f0f0fu;
            v0 &= 0x0f0f0f0fu;
            if (TYPE == KN_Q5_0 || TYPE == KN_Q5_1) {
                const unsigned short *high = small + (F.small() - 4) / 2;
                v0 |= fifth_bits((uint32_t)__ldg(high) >> 4 * t);
                v1 |= fifth_bits((uint32_t)__ldg(high + 1) >> 4 * t);
            }
        }
        a[i / 2][i % 2] = v0;
        a[i / 2][i % 2 + 2] = v1;
    }
#pragma unroll
    for (int j = 0; j < TILES; j++) {
        const int8_t *x = q + j * (size_t)k * 8 + g * 16 + t * 4;
        const uint32_t b0 = word_at(x), b1 = word_at(x + 128);
        const int2 both =
            offset || with_min ? *(const int2 *)(sum + j * next + 2 * t) : make_int2(0, 0);
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int c[4] = {};
            mma32(c, a[i], b0, b1);
            s.s[2 * i][j][0] = c[0], s.s[2 * i][j][1] = c[1];
            s.s[2 * i + 1][j][0] = c[2], s.s[2 * i + 1][j][1] = c[3];
            ms.s[2 * i][j][0] = ms.s[2 * i + 1][j][0] = both.x;
            ms.s[2 * i][j][1] = ms.s[2 * i + 1][j][1] = both.y;
        }
    }
    combine<TILES>(acc, s, ms, offset, with_min, d, m, scale, next, t);
}

template <int TYPE, int TILES>
__global__ __launch_bounds__(256) static void many(const __grid_constant__ struct products ps,
                                                   struct act a, int m)
{
    constexpr struct form F = form_of(TYPE);
    constexpr int TOKENS = 8 * TILES, WIDE = GROUP + 4; /* no two of a store in one bank */
    extern __shared__ float lanes[];                    /* (8, TOKENS, WIDE) */
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int k = ps.k, n_block = ps.n_block, first = blockIdx.x * TOKENS;
    int group = blockIdx.y, i = 0;
    while (i < TOGETHER - 1 && group >= ps.end[i])
        i++;
    group -= i ? ps.end[i - 1] : 0;
    const struct product p = ps.p[i];
    const uint8_t *w = p.w + (size_t)group * n_block * (size_t)(GROUP * F.bytes);
    const size_t eight = first / 8;
    float acc[4][TILES][2] = {};
    begin_next();
    after();
    const int8_t *q = a.q + eight * k * 8;
    const float *scale = a.scale + eight * (k / F.len) * 8;
    for (int b = warp; b < n_block; b += 8) {
        const uint8_t *wb = w + (size_t)b * (GROUP * F.bytes);
        if constexpr (F.len == 256)
            block_k<TYPE, TILES>(acc, wb, q + (size_t)b * 16 * 128,
                                 a.split + (eight * (k / 256) + b) * 256, scale + (size_t)b * 8, k,
                                 g, t);
        else
            block_32<TYPE, TILES>(acc, wb, q + (size_t)b * 2 * 128,
                                  a.sum + (eight * (k / 32) + b) * 8, scale + (size_t)b * 8, k, g,
                                  t);
    }
#pragma unroll
    for (int r = 0; r < 4; r++)
#pragma unroll
        for (int j = 0; j < TILES; j++)
#pragma unroll
            for (int c = 0; c < 2; c++)
                lanes[(warp * TOKENS + 8 * j + 2 * t + c) * WIDE + g + 8 * r] = acc[r][j][c];
    __syncthreads();
    for (int o = threadIdx.x; o < TOKENS * GROUP; o += 256) {
        const int token = o / GROUP, row = o % GROUP, j = group * GROUP + row;
        if (first + token >= m || j >= p.n)
            continue;
        float f[8];
        for (int l = 0; l < 8; l++)
            f[l] = lanes[(l * TOKENS + token) * WIDE + row];
        for (int half = 4; half > 0; half /= 2)
            for (int l = 0; l < half; l++)
                f[l] += f[l + half];
        const float v = p.bias ? f[0] + p.bias[j] : f[0];
        float *y = p.y + (size_t)(first + token) * p.n + j;
        *y = p.add ? *y + v : v;
    }
}

template <int TYPE, int TILES> static int start(struct kn_dev *d, const struct products *p, int m)
{
    const size_t room = 8 * (8 * TILES) * (GROUP + 4) * sizeof(float);
    return cu_launch_room(d, "product", many<TYPE, TILES>,
                          dim3(cu_blocks((size_t)m, 8 * TILES), (unsigned)p->end[TOGETHER - 1]),
                          256, room, *p, cu_dev(d)->act, m);
}

template <int TYPE> static int launch(struct kn_dev *d, const struct products *p, int m)
{
    return m <= 16 ? start<TYPE, 2>(d, p, m) : start<TYPE, 4>(d, p, m);
}

int cu_many(struct kn_dev *d, const struct products *p, int type, int m)
{
    switch (type) {
    case KN_Q4_0:
        return launch<KN_Q4_0>(d, p, m);
    case KN_Q4_1:
        return launch<KN_Q4_1>(d, p, m);
    case KN_Q5_0:
        return launch<KN_Q5_0>(d, p, m);
    case KN_Q5_1:
        return launch<KN_Q5_1>(d, p, m);
    case KN_Q8_0:
        return launch<KN_Q8_0>(d, p, m);
    case KN_Q4_K:
        return launch<KN_Q4_K>(d, p, m);
    case KN_Q5_K:
        return launch<KN_Q5_K>(d, p, m);
    case KN_Q6_K:
        return launch<KN_Q6_K>(d, p, m);
    }
    return KN_EUNSUP;
}
