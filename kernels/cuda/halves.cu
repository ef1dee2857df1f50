/* halves - R1 of K-quants for more rows than many.cu is best for, on Hopper: a block's integer sums by products of halves, exact in f32
 *
 * A weight's value times its sub-scale is an operand in f16.  All sums are of integers and none, whole or in part, reaches
 * 2^24, so that f32 holds each:
 *     Q4_K  (q - 8) scale is at most 504: times 127, 256 of them, 16,386,048; what is missing is 8 times the sum of
 *           scale * (sum of 32 activations)
 *     Q5_K  scale is 8 h + l, Q6_K 16 h + l: two sums are kept
 * fma(8 or 16, high, low) is then the integer sum, rounded once as (float)s of R1 is.
 *
 * A block of threads takes tile after tile of 128 rows by 64 tokens; one thread brings blocks of w, as they lie, and of
 * activations into a ring of shared memory; a warpgroup multiplies 64 rows, with operands of w made in registers, and goes
 * through the lanes of R1 in the order 0 4 2 6 1 5 3 7, in which the fold needs three sums beside the chain at hand.
 * SPLIT, for few tiles: 64 rows, of which each warpgroup takes one half of the lanes. */
#include "cuda/hopper.h"
#include "cuda/matmul.h"
#include "cuda/tensor.h"

constexpr int N = HALF_TOKENS; /* tokens of a tile */
enum { ROOM = 226 << 10, STAGES_MAX = 4, WARPGROUPS = 2 };

/* Where things are in a stage. */
template <int TYPE, bool SPLIT> struct halves_stage {
    static constexpr int GROUPS = SPLIT ? 2 : 4, RINGS = SPLIT ? 2 : 1;
    static constexpr int W = GROUP * form_of(TYPE).bytes;
    static constexpr int AT_SUMS = N * 512, AT_SCALE = AT_SUMS + N * 32, AT_W = HALF_BYTES * N;
    static constexpr int BYTES = (AT_W + GROUPS * W + 1023) / 1024 * 1024; /* swizzled: on 1024 */
    static constexpr int MEET = SPLIT ? 64 * N * 4 : 0;
    static constexpr int FIT = (ROOM - 1024 - MEET) / (RINGS * BYTES);
    static constexpr int STAGES = FIT < STAGES_MAX ? FIT : STAGES_MAX;
    static constexpr int ALL = 1024 + RINGS * STAGES * BYTES + MEET;
};

#ifdef HOPPER_CODE
__device__ static int lane_at(int i) /* 0 4 2 6 1 5 3 7: the bits turned round */
{
    return (i & 1) << 2 | (i & 2) | i >> 2;
}

/* two bytes of u, chosen by `pick` (0x4140: the first two, 0x4342: the others), as 1024 + byte */
__device__ static __half2 bytes_half2(uint32_t u, unsigned pick)
{
    const uint32_t r = __byte_perm(u, 0x64646464u, pick);
    return *(const __half2 *)&r;
}
__device__ static __half2 twice(float x)
{
    return __half2half2(__float2half_rn(x));
}
__device__ static uint32_t bits(__half2 h)
{
    return *(const uint32_t *)&h;
}

/* A sub-scale as factors of its values: high and low; Q4_K: the factor, and what is added to the product. */
struct factor {
    __half2 high, low;
};
template <int TYPE> __device__ static struct factor factor_of(uint32_t word, int i)
{
    struct factor f;
    const unsigned pick = 0x4040u + (unsigned)i * 0x0101u;
    if (TYPE == KN_Q4_K) { /* of 16 (64 + q): scale / 16, and - 72 scale to be added */
        f.high = __hfma2(bytes_half2(word, pick), twice(0.0625f), twice(-64));
        f.low = __hmul2(f.high, twice(-1152));
    } else if (TYPE == KN_Q5_K) {
        f.high = __hsub2(bytes_half2(word >> 3 & 0x07070707u, pick), twice(1024));
        f.low = __hsub2(bytes_half2(word & 0x07070707u, pick), twice(1024));
    } else { /* signed: 16 h + l, l of 0 to 15 */
        f.high = __hsub2(bytes_half2((word ^ 0x80808080u) >> 4 & 0x0f0f0f0fu, pick), twice(1032));
        f.low = __hsub2(bytes_half2(word & 0x0f0f0f0fu, pick), twice(1024));
    }
    return f;
}

/* What operands are made of: words of rows `row` and 8 more of a group of rows, for values [32 sub, + 32). */
struct raw {
    uint32_t v[2][2], high[2][2], scale[2]; /* (row, sixteen) */
};
template <int TYPE> __device__ static struct raw bring(const uint8_t *w, int row, int t, int sub)
{
    constexpr int QS = TYPE == KN_Q4_K ? 1 : 3;
    struct raw r = {};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const auto piece = [=](int c, int word) {
            return *(const uint32_t *)(w + (c * GROUP + row + 8 * i) * 16 + word * 4);
        };
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int n = sub / 4, z = sub % 4;
            r.v[i][h] = piece(TYPE == KN_Q6_K ? 4 * n + 2 * (z & 1) + h : QS + sub / 2 * 2 + h, t);
            if (TYPE != KN_Q4_K)
                r.high[i][h] = piece(TYPE == KN_Q6_K ? 8 + 2 * n + h : 1 + h, t);
        }
        if (TYPE == KN_Q6_K)
            r.scale[i] = piece(12, sub / 2);
    }
    return r;
}

/* The operands of values [32 sub + 16 h, + 16). */
template <int TYPE>
__device__ static void operands(uint32_t high[4], uint32_t low[4], const struct raw &r,
                                const uint32_t (&sc)[2][2], int sub, int h)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        struct factor f;
        __half2 x[2];
        uint32_t v = r.v[i][h];
        if (TYPE == KN_Q6_K) {
            const int z = sub % 4;
            v = (v >> 4 * (z >> 1) & 0x0f0f0f0fu) | (r.high[i][h] >> 2 * z & 0x03030303u) << 4;
            f = factor_of<TYPE>(r.scale[i], 2 * (sub % 2) + h);
        } else {
            f = factor_of<TYPE>(sc[i][sub / 4], sub % 4);
            if (TYPE == KN_Q4_K)
                v = (sub % 2 ? v : v << 4) & 0xf0f0f0f0u;
            else
                v = (v >> 4 * (sub % 2) & 0x0f0f0f0fu) | (r.high[i][h] >> sub & 0x01010101u) << 4;
        }
#pragma unroll
        for (int c = 0; c < 2; c++) {
            x[c] = bytes_half2(v, c ? 0x4342 : 0x4140);
            if (TYPE == KN_Q4_K) {
                high[i + 2 * c] = bits(__hfma2(x[c], f.high, f.low));
            } else {
                x[c] = __hsub2(x[c], twice(TYPE == KN_Q6_K ? 1056 : 1024));
                high[i + 2 * c] = bits(__hmul2(x[c], f.high));
                low[i + 2 * c] = bits(__hmul2(x[c], f.low));
            }
        }
    }
}

#define F4(i)  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define F16(i) F4(i), F4(i + 4), F4(i + 8), F4(i + 12)
/* d (+)= a b: 64 x 64 by 16, a in registers */
__device__ static void multiply(float (&d)[32], const uint32_t a[4], uint64_t b, int add)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,"
                 "%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, {%32,%33,%34,%35}, %36, p, 1, 1, 0;\n}"
                 : F16(0), F16(16)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}
#undef F4
#undef F16

/* As in hopper.h, but loads of what is there already may pass them: */
__device__ static void group_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;");
}
__device__ static void group_end(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;");
}
template <int LEFT> __device__ static void group_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT));
}

/* acc takes a block: of w, rows `row` and 8 more; of activations (struct act). */
template <int TYPE>
__device__ static void take(float (&acc)[N / 2], const uint8_t *act, const uint8_t *w, int row,
                            int g, int t)
{
    constexpr struct form F = form_of(TYPE);
    constexpr bool q6 = TYPE == KN_Q6_K, two = TYPE != KN_Q4_K;
    using S = struct halves_stage<TYPE, false>;
    float s[N / 2], less[two ? N / 2 : 1];
    uint32_t sc[2][2] = {}, mn[2][2] = {};
    float d[2], m[2] = {};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int r = row + 8 * i;
        if (q6) {
            d[i] = half_float(*(const unsigned short *)(w + F.pieces * GROUP * 16 + r * F.small()));
            continue;
        }
        const uint4 h = *(const uint4 *)(w + r * 16);
        d[i] = half_float(h.x);
        m[i] = -half_float(h.x >> 16);
        scales_of(h, sc[i], mn[i]);
    }
    const uint64_t b = operand(act);
    uint32_t a[2][2][4], e[two ? 2 : 1][2][4];
    struct raw ahead[2] = {bring<TYPE>(w, row, t, 0)};
#pragma unroll
    for (int sub = 0; sub < 8; sub++) {
        if (sub < 7)
            ahead[(sub + 1) % 2] = bring<TYPE>(w, row, t, sub + 1);
        if (sub >= 2)
            group_wait<1>(); /* these registers are free again */
#pragma unroll
        for (int h = 0; h < 2; h++)
            operands<TYPE>(a[sub % 2][h], e[two ? sub % 2 : 0][h], ahead[sub % 2], sc, sub, h);
        group_begin();
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint64_t at = b + (sub / 2 * (N * 128) >> 4) + (sub % 2 * 2 + h) * 2;
            multiply(s, a[sub % 2][h], at, sub + h);
            if constexpr (two)
                multiply(less, e[sub % 2][h], at, sub + h);
        }
        group_end();
    }
    /* scales and minima times sums of 32 activations: columns 2 t and 2 t + 1 of both halves of an operand */
    uint32_t by_scale[4] = {}, by_min[4] = {};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const unsigned pick = t % 2 ? 0x4342u : 0x4140u;
        by_scale[i] = by_scale[i + 2] =
            bits(__hsub2(bytes_half2(t < 2 ? sc[i][0] : sc[i][1], pick), twice(1024)));
        by_min[i] = by_min[i + 2] =
            bits(__hsub2(bytes_half2(t < 2 ? mn[i][0] : mn[i][1], pick), twice(1024)));
    }
    group_wait<0>();
    made(s);
    if (two)
        made(less);
#pragma unroll
    for (int j = 0; j < N / 8; j++) {
        const float2 da = *(const float2 *)(act + S::AT_SCALE + (8 * j + 2 * t) * 4);
        float ms[4] = {}, high[4] = {};
        if (!q6) {
            const uint2 x = *(const uint2 *)(act + S::AT_SUMS + (8 * j + g) * 32 + t * 8);
            mma_f16(ms, by_min, x.x, x.y);
            if (!two)
                mma_f16(high, by_scale, x.x, x.y);
        }
#pragma unroll
        for (int c = 0; c < 4; c++) {
            const int at = 4 * j + c;
            const float scale = c % 2 ? da.y : da.x;
            const float sum = two ? fmaf(q6 ? 16.0f : 8.0f, s[at], less[two ? at : 0])
                                  : fmaf(8.0f, high[c], s[at]);
            acc[at] = fmaf(d[c / 2] * scale, sum, acc[at]);
            if (!q6)
                acc[at] = fmaf(m[c / 2] * scale, ms[c], acc[at]);
        }
    }
}

/* to = from, to += from */
template <int K> __device__ static void set(float (&to)[K], const float (&from)[K])
{
#pragma unroll
    for (int i = 0; i < K; i++)
        to[i] = from[i];
}
template <int K> __device__ static void add(float (&to)[K], const float (&from)[K])
{
#pragma unroll
    for (int i = 0; i < K; i++)
        to[i] += from[i];
}
/* The sum of the lane at place i of the order is done; after the last place w0 is the fold. */
template <int K>
__device__ static void fold(float (&w0)[K], float (&w1)[K], float (&w2)[K], float (&acc)[K], int i)
{
    if (i == 0) {
        set(w0, acc);
    } else if (i == 1) {
        add(w0, acc);
    } else if (i == 2 || i == 4) {
        set(w1, acc);
    } else if (i == 3) {
        add(w1, acc);
        add(w0, w1);
    } else if (i == 5) {
        add(w1, acc);
    } else if (i == 6) {
        set(w2, acc);
    } else {
        add(w2, acc);
        add(w1, w2);
        add(w0, w1);
    }
#pragma unroll
    for (int j = 0; j < K; j++)
        acc[j] = 0;
}
#endif

template <int TYPE, bool SPLIT>
__global__ __launch_bounds__((WARPGROUPS + 1) * WARPGROUP,
                             1) static void halves(const __grid_constant__ struct products ps,
                                                   const uint8_t *act, int m)
{
#ifdef HOPPER_CODE
    using S = struct halves_stage<TYPE, SPLIT>;
    extern __shared__ uint8_t unaligned[];
    uint8_t *const room = unaligned + (-shared_at(unaligned) & 1023);
    __shared__ uint64_t full[S::RINGS][S::STAGES], empty[S::RINGS][S::STAGES];
    const int group = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0), n_block = ps.n_block;
    const int token_tiles = (m + N - 1) / N, n_group = ps.end[TOGETHER - 1];
    const int n_tile = token_tiles * ((n_group + S::GROUPS - 1) / S::GROUPS);
    if (threadIdx.x == 0) {
        for (int r = 0; r < S::RINGS; r++)
            for (int i = 0; i < S::STAGES; i++) {
                barrier_new(&full[r][i], 1);
                barrier_new(&empty[r][i], SPLIT ? 4 : 8); /* warps */
            }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    begin_next();
    after();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        const int r = threadIdx.x / 32;
        if (threadIdx.x % 32 == 0 && r < S::RINGS) {
            uint8_t *const ring = room + r * S::STAGES * S::BYTES;
            int stage = 0;
            unsigned phase = 1;
            for (int i = blockIdx.x; i < n_tile; i += gridDim.x) {
                const int first = i / token_tiles * S::GROUPS;
                const uint8_t *from = act + (size_t)(i % token_tiles) * n_block * (HALF_BYTES * N);
                const uint8_t *w[S::GROUPS];
                int there = 0;
#pragma unroll
                for (int j = 0; j < S::GROUPS; j++)
                    if (first + j < n_group) {
                        int g = first + j;
                        const struct product &p = ps.p[product_of(ps, &g)];
                        w[j] = p.w + (size_t)g * n_block * S::W;
                        there++;
                    }
                for (int o = SPLIT ? 4 * r : 0; o < (SPLIT ? 4 * r + 4 : 8); o++)
                    for (int b = lane_at(o); b < n_block; b += 8) {
                        uint8_t *to = ring + stage * S::BYTES;
                        barrier_wait(&empty[r][stage], phase);
                        barrier_expect(&full[r][stage], S::AT_W + there * S::W);
                        bulk(to, from + (size_t)b * S::AT_W, S::AT_W, &full[r][stage]);
#pragma unroll
                        for (int j = 0; j < S::GROUPS; j++)
                            if (j < there)
                                bulk(to + S::AT_W + j * S::W, w[j] + (size_t)b * S::W, S::W,
                                     &full[r][stage]);
                        if (++stage == S::STAGES)
                            stage = 0, phase ^= 1;
                    }
            }
        }
        return;
    }
    asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
    const int wg = group - 1, warp = threadIdx.x % WARPGROUP / 32, lane = threadIdx.x % 32;
    const int g = lane / 4, t = lane % 4, r = SPLIT ? wg : 0;
    const int my = (SPLIT ? 0 : 2 * wg) + warp / 2, row = warp % 2 * 16 + g; /* group of rows */
    const uint8_t *const ring = room + r * S::STAGES * S::BYTES;
    float *const meet = (float *)(room + S::RINGS * S::STAGES * S::BYTES);
    int stage = 0;
    unsigned phase = 0;
    for (int i = blockIdx.x; i < n_tile; i += gridDim.x) {
        float acc[N / 2] = {}, w0[N / 2], w1[N / 2], w2[SPLIT ? 1 : N / 2];
        const int first_place = SPLIT ? 4 * wg : 0;
        for (int o = 0; o < (SPLIT ? 4 : 8); o++) {
            for (int b = lane_at(first_place + o); b < n_block; b += 8) {
                const uint8_t *from = ring + stage * S::BYTES;
                barrier_wait(&full[r][stage], phase);
                take<TYPE>(acc, from, from + S::AT_W + my * S::W, row, g, t);
                __syncwarp();
                if (lane == 0)
                    barrier_arrive(&empty[r][stage], 0);
                if (++stage == S::STAGES)
                    stage = 0, phase ^= 1;
            }
            if constexpr (SPLIT)
                fold(w0, w1, w1, acc, o);
            else
                fold(w0, w1, w2, acc, o);
        }
        if (SPLIT) { /* the halves of the lanes meet */
            const int at = threadIdx.x % WARPGROUP;
            if (wg == 1) {
                if (i != (int)blockIdx.x)
                    asm volatile("bar.sync 2, 256;" ::: "memory"); /* the last ones were read */
#pragma unroll
                for (int j = 0; j < N / 2; j++)
                    meet[j * WARPGROUP + at] = w0[j];
                asm volatile("bar.arrive 1, 256;" ::: "memory");
                continue;
            }
            asm volatile("bar.sync 1, 256;" ::: "memory");
#pragma unroll
            for (int j = 0; j < N / 2; j++)
                w0[j] += meet[j * WARPGROUP + at];
            if (i + (int)gridDim.x < n_tile)
                asm volatile("bar.arrive 2, 256;" ::: "memory");
        }
        int where = i / token_tiles * S::GROUPS + my;
        if (where >= n_group)
            continue;
        const struct product p = ps.p[product_of(ps, &where)];
        const int first = i % token_tiles * N;
#pragma unroll
        for (int j = 0; j < N / 8; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) {
                const int token = first + 8 * j + 2 * t + c % 2,
                          n = where * GROUP + row + c / 2 * 8;
                if (token < m && n < p.n)
                    put_sum(p, token, n, w0[4 * j + c]);
            }
    }
#else
    (void)ps, (void)act, (void)m;
#endif
}

template <int TYPE, bool SPLIT> static int start(struct kn_dev *d, const struct products *p, int m)
{
    using S = struct halves_stage<TYPE, SPLIT>;
    auto *kernel = halves<TYPE, SPLIT>;
    const int n_tile = (m + N - 1) / N * ((p->end[TOGETHER - 1] + S::GROUPS - 1) / S::GROUPS);
    const int processors = cu_dev(d)->processors;
    int rc = cu_room(d, "room for a product", kernel, S::ALL);
    if (rc != KN_OK)
        return rc;
    return cu_launch_room(
        d, "product", kernel, (unsigned)(n_tile < processors ? n_tile : processors),
        (WARPGROUPS + 1) * WARPGROUP, S::ALL, *p, (const uint8_t *)cu_dev(d)->act.q, m);
}

template <int TYPE> static int launch(struct kn_dev *d, const struct products *p, int m)
{
    const int tiles = (m + N - 1) / N * ((p->end[TOGETHER - 1] + 3) / 4);
    return tiles <= cu_dev(d)->processors ? start<TYPE, true>(d, p, m)
                                          : start<TYPE, false>(d, p, m);
}

int cu_halves(struct kn_dev *d, const struct products *p, int type, int m)
{
    return type == KN_Q4_K   ? launch<KN_Q4_K>(d, p, m)
           : type == KN_Q5_K ? launch<KN_Q5_K>(d, p, m)
                             : launch<KN_Q6_K>(d, p, m);
}
