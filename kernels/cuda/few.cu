/* few - R1 for up to eight rows of activations: each weight is read once, a thread for each (row of w, lane of R1)
 *
 * A block of threads is one group of 32 rows and the eight lanes: warp l takes blocks l, l + 8 ...  The next
 * block's weights are on their way to registers, its activations to shared memory, while one is used.
 * Integer sums are exact, so that no thread needs another one until the fold. */
#include "cuda/async.h"
#include "cuda/matmul.h"

/* A block of w in a thread's registers. */
template <int TYPE> struct block {
    static constexpr struct form F = form_of(TYPE);
    uint4 c[F.pieces];
    uint32_t small[2];
};

template <int TYPE>
__device__ static void load(struct block<TYPE> &w, const uint8_t *p, int b, int row)
{
    constexpr struct form F = form_of(TYPE);
    p += (size_t)b * (GROUP * F.bytes);
#pragma unroll
    for (int i = 0; i < F.pieces; i++)
        w.c[i] = __ldcs((const uint4 *)(p + (i * GROUP + row) * 16));
    p += F.pieces * GROUP * 16 + row * F.small();
    if (F.small() == 2) {
        w.small[0] = *(const uint16_t *)p;
    } else if (F.small() == 4) {
        w.small[0] = *(const uint32_t *)p;
    } else if (F.small() == 6) { /* d, then the high bits */
        w.small[0] = *(const uint16_t *)p;
        w.small[1] = *(const uint16_t *)(p + 2) | (uint32_t) * (const uint16_t *)(p + 4) << 16;
    } else if (F.small() == 8) {
        const uint2 u = *(const uint2 *)p;
        w.small[0] = u.x, w.small[1] = u.y;
    }
}

/* word i of a vector; i is known when it is compiled */
__device__ static uint32_t word(const uint4 &v, int i)
{
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

/* four bits to bit 4 of four bytes */
__device__ static uint32_t fifth(uint32_t bits)
{
    return ((bits & 15) * 0x00204081u & 0x01010101u) << 4;
}

/* The sixteen values [16 i, 16 i + 16) of a block as four words of bytes, without the offset of Q4_0, Q5_0 and Q6_K. */
template <int TYPE>
__device__ static void sixteen(const struct block<TYPE> &w, int i, uint32_t v[4])
{
    if (TYPE == KN_Q8_0) {
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[j] = word(w.c[i], j);
    } else if (TYPE == KN_Q6_K) {
        const int n = i / 8, g = i % 8 / 2, h = i % 2;
#pragma unroll
        for (int j = 0; j < 4; j++)
            v[j] = (word(w.c[4 * n + 2 * (g & 1) + h], j) >> 4 * (g >> 1) & 0x0f0f0f0fu) |
                   (word(w.c[8 + 2 * n + h], j) >> 2 * g & 0x03030303u) << 4;
    } else if (TYPE == KN_Q4_K || TYPE == KN_Q5_K) {
        const int sub = i / 2, h = i % 2, qs = TYPE == KN_Q5_K ? 3 : 1;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = word(w.c[qs + sub / 2 * 2 + h], j) >> 4 * (sub & 1) & 0x0f0f0f0fu;
            if (TYPE == KN_Q5_K)
                v[j] |= (word(w.c[1 + h], j) >> sub & 0x01010101u) << 4;
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            v[j] = word(w.c[0], j) >> 4 * i & 0x0f0f0f0fu;
            if (TYPE == KN_Q5_0 || TYPE == KN_Q5_1)
                v[j] |= fifth(w.small[1] >> (16 * i + 4 * j));
        }
    }
}

/* d, the factor of the minimum, and the sub-scales and sub-minima, four a word */
template <int TYPE>
__device__ static void scales(const struct block<TYPE> &w, float &d, float &m, uint32_t sc[4],
                              uint32_t mn[2])
{
    if (TYPE == KN_Q4_K || TYPE == KN_Q5_K) {
        const uint4 h = w.c[0];
        d = half_float(h.x);
        m = -half_float(h.x >> 16);
        sc[0] = h.y & 0x3f3f3f3fu;
        mn[0] = h.z & 0x3f3f3f3fu;
        sc[1] = (h.w & 0x0f0f0f0fu) | (h.y >> 2 & 0x30303030u);
        mn[1] = (h.w >> 4 & 0x0f0f0f0fu) | (h.z >> 2 & 0x30303030u);
    } else {
        d = half_float(w.small[0]);
        m = half_float(w.small[0] >> 16);
        if (TYPE == KN_Q6_K)
            for (int i = 0; i < 4; i++)
                sc[i] = word(w.c[12], i);
    }
}

__device__ static int signed_byte(uint32_t u, int i)
{
    return (int)(u << (24 - 8 * i)) >> 24;
}

/* A warp's activations of the blocks that it takes next, and of those after them. */
template <int TYPE, int M> struct alignas(16) room {
    static constexpr int LEN = form_of(TYPE).len, AHEAD = LEN == 32 ? 4 : 1; /* blocks at once */
    static constexpr int BYTES = AHEAD * LEN, SUMS = LEN == 32 ? AHEAD : 8;
    int8_t q[2][M][BYTES];
    int32_t sum[2][M][SUMS]; /* of each block; LEN 256: four words of high, four of low parts */
    float scale[2][M][AHEAD];
};

/* Blocks b, b + 8 ... of `rows` rows of eight on their way to a half of the room. */
template <int TYPE, int M>
__device__ static void fetch(struct room<TYPE, M> &to, int half, const struct act &a, int b,
                             int n_block, int rows, int lane)
{
    using R = struct room<TYPE, M>;
    constexpr int Q = R::BYTES / 16;
    for (int t = lane; t < M * Q; t += 32) {
        const int r = t / Q, c = t % Q * 16, block = b + 8 * (c / R::LEN);
        if (r < rows && block < n_block)
            copy_async<16>(&to.q[half][r][c],
                           a.q + (size_t)((block * R::LEN + c % R::LEN) / 16) * 128 + r * 16);
    }
    if (R::LEN == 256) {
        if (lane < 2 * M && lane / 2 < rows && b < n_block)
            copy_async<16>(&to.sum[half][lane / 2][lane % 2 * 4],
                           a.split + (size_t)b * 256 + lane % 2 * 128 + lane / 2 * 16);
        if (lane < rows && b < n_block)
            copy_async<4>(&to.scale[half][lane][0], a.scale + (size_t)b * 8 + lane);
    } else if (lane < M * R::AHEAD) {
        const int r = lane / R::AHEAD, i = lane % R::AHEAD, block = b + 8 * i;
        if (r < rows && block < n_block) {
            copy_async<4>(&to.sum[half][r][i], a.sum + (size_t)block * 8 + r);
            copy_async<4>(&to.scale[half][r][i], a.scale + (size_t)block * 8 + r);
        }
    }
    copies_end();
}

/* acc[r] takes a block of w with the activations of block `at` of a half of the room, as R1 says. */
template <int TYPE, int M>
__device__ static void take(float acc[M], const struct block<TYPE> &w,
                            const struct room<TYPE, M> &a, int half, int at, int rows)
{
    constexpr int LEN = form_of(TYPE).len;
    constexpr bool with_min =
        TYPE == KN_Q4_1 || TYPE == KN_Q5_1 || TYPE == KN_Q4_K || TYPE == KN_Q5_K;
    constexpr int offset = TYPE == KN_Q4_0 ? 8 : TYPE == KN_Q5_0 ? 16 : TYPE == KN_Q6_K ? 32 : 0;
    float d, m;
    uint32_t sc[4], mn[2];
    int s[M], ms[M];
    scales<TYPE>(w, d, m, sc, mn);
#pragma unroll
    for (int r = 0; r < M; r++)
        s[r] = ms[r] = 0;
#pragma unroll
    for (int i = 0; i < LEN / 16; i++) {
        uint32_t v[4];
        sixteen<TYPE>(w, i, v);
#pragma unroll
        for (int r = 0; r < M; r++) {
            const int4 x = *(const int4 *)&a.q[half][r][at * LEN + 16 * i];
            int dot = __dp4a((int)v[0], x.x, LEN == 32 ? s[r] : 0);
            dot = __dp4a((int)v[1], x.y, dot);
            dot = __dp4a((int)v[2], x.z, dot);
            dot = __dp4a((int)v[3], x.w, dot);
            if (LEN == 32)
                s[r] = dot;
            else if (TYPE == KN_Q6_K)
                s[r] += signed_byte(sc[i / 4], i % 4) * dot;
            else
                s[r] += (int)(sc[i / 8] >> 8 * (i / 2 % 4) & 63) * dot;
        }
    }
#pragma unroll
    for (int r = 0; r < M; r++) {
        const int32_t *sum = a.sum[half][r];
        if (LEN == 32) {
            ms[r] = sum[at];
        } else if (with_min || offset) {
            int high = 0, low = 0;
#pragma unroll
            for (int j = 0; j < 4; j++) { /* a minimum is that of two sums of 16 */
                const int f =
                    with_min ? (int)__byte_perm(mn[j / 2], 0, j % 2 ? 0x3322 : 0x1100) : (int)sc[j];
                high = __dp4a(f, sum[j], high);
                low = __dp4a(f, sum[4 + j], low);
            }
            ms[r] = 64 * high + low;
        }
        const float da = a.scale[half][r][at];
        if (r >= rows) /* what lies there is no number of ours */
            break;
        acc[r] = fmaf(d * da, (float)(s[r] - offset * ms[r]), acc[r]);
        if (with_min)
            acc[r] = fmaf(m * da, (float)ms[r], acc[r]);
    }
}

template <int TYPE, int M>
__global__ __launch_bounds__(256) static void few(const __grid_constant__ struct products ps,
                                                  struct act a, int m)
{
    using R = struct room<TYPE, M>;
    constexpr struct form F = form_of(TYPE);
    constexpr int AHEAD = R::AHEAD;
    __shared__ R rooms[8];
    __shared__ float lane[8][M][GROUP];
    const int row = threadIdx.x % 32, warp = threadIdx.x / 32, rows = min(M, m);
    const int n_block = ps.n_block;
    int group = blockIdx.x;
    const struct product p = ps.p[product_of(ps, &group)];
    const uint8_t *w = p.w + (size_t)group * n_block * (size_t)(GROUP * F.bytes);
    float acc[M];
#pragma unroll
    for (int r = 0; r < M; r++)
        acc[r] = 0;
    struct block<TYPE> now[AHEAD], next[AHEAD];
    begin_next();
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (warp + 8 * i < n_block)
            load<TYPE>(now[i], w, warp + 8 * i, row);
    after(); /* weights are never written; the activations are */
    fetch<TYPE, M>(rooms[warp], 0, a, warp, n_block, rows, row);
    int half = 0;
    for (int b = warp; b < n_block; b += 8 * AHEAD, half ^= 1) {
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (b + 8 * (AHEAD + i) < n_block)
                load<TYPE>(next[i], w, b + 8 * (AHEAD + i), row);
        fetch<TYPE, M>(rooms[warp], half ^ 1, a, b + 8 * AHEAD, n_block, rows, row);
        copies_wait<1>();
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            if (b + 8 * i < n_block)
                take<TYPE, M>(acc, now[i], rooms[warp], half, i, rows);
        __syncwarp(); /* the half is free again */
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            now[i] = next[i];
    }
#pragma unroll
    for (int r = 0; r < M; r++)
        lane[warp][r][row] = acc[r];
    __syncthreads();
    for (int i = threadIdx.x; i < M * GROUP; i += 256) {
        const int r = i / GROUP, j = group * GROUP + i % GROUP;
        if (r >= rows || j >= p.n)
            continue;
        float f[8];
        for (int l = 0; l < 8; l++)
            f[l] = lane[l][r][i % GROUP];
        put_sum(p, r, j, fold8(f));
    }
}

template <int TYPE> static int launch(struct kn_dev *d, const struct products *p, int m)
{
    const unsigned groups = (unsigned)p->end[TOGETHER - 1];
    const struct act a = cu_dev(d)->act;
    if (m == 1)
        return cu_launch(d, "product", few<TYPE, 1>, groups, 256, *p, a, m);
    if (m <= 4)
        return cu_launch(d, "product", few<TYPE, 4>, groups, 256, *p, a, m);
    return cu_launch(d, "product", few<TYPE, 8>, groups, 256, *p, a, m);
}

int cu_few(struct kn_dev *d, const struct products *p, int type, int m)
{
    return by_type(type, [=]<int TYPE>() { return launch<TYPE>(d, p, m); });
}
