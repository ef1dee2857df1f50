/* tiles - R1 for more rows than many.cu is best for: 128 rows of w by 64 tokens a block of threads, by way of shared memory
 *
 * A warp makes one group of 32 rows by 32 tokens and goes through all lanes of R1, in the order 0 4 2 6 1 5 3 7, in
 * which the fold needs no more than three sums beside the chain at hand; those wait in local memory, so that two
 * blocks of threads fit into a processor.  The next blocks are on their way to shared memory while one is multiplied. */
#include "cuda/async.h"
#include "cuda/mma.h"

enum { ROW_GROUPS = 4, TOKEN_GROUPS = 8, THREADS = 256, TILES = 4 };

/* Where things are in a stage: PER blocks of one lane of ROW_GROUPS groups and TOKEN_GROUPS eights of tokens. */
template <int TYPE> struct stage {
    static constexpr struct form F = form_of(TYPE);
    static constexpr int PER = F.len == 256 ? 1 : 4;
    static constexpr int W = GROUP * F.bytes, Q = 8 * F.len, SUMS = SUM_BYTES<F.len>, SCALE = 32;
    static constexpr int AT_Q = ROW_GROUPS * W, AT_SUMS = AT_Q + TOKEN_GROUPS * Q;
    static constexpr int AT_SCALE = AT_SUMS + TOKEN_GROUPS * SUMS;
    static constexpr int BLOCK = AT_SCALE + TOKEN_GROUPS * SCALE; /* bytes of one block's things */
    static constexpr int BYTES = PER * BLOCK;
};

/* n bytes, a multiple of 16, by all threads */
template <int N> __device__ static void copy(char *to, const void *from)
{
#pragma unroll
    for (int i = threadIdx.x * 16; i < N; i += THREADS * 16)
        copy_once(to + i, (const char *)from + i);
}

/* A place in the order of lanes. */
struct step {
    int lane, b; /* index into the order, its block */
};
__device__ static int lane_at(int i) /* 0 4 2 6 1 5 3 7: the bits turned round */
{
    return (i & 1) << 2 | (i & 2) | i >> 2;
}

/* The blocks of a step on their way. groups[i]: the i-th group's first block, or NULL. */
template <int TYPE>
__device__ static void fetch(char *to, const uint8_t *const *groups, const struct act &a, int eight,
                             struct step s, int n_block, int k)
{
    using S = struct stage<TYPE>;
    for (int i = 0; i < S::PER && s.b + 8 * i < n_block; i++, to += S::BLOCK) {
        const size_t b = (size_t)(s.b + 8 * i);
        for (int r = 0; r < ROW_GROUPS; r++)
            if (groups[r])
                copy<S::W>(to + r * S::W, groups[r] + b * S::W);
        for (int e = 0; e < TOKEN_GROUPS; e++)
            copy<S::Q>(to + S::AT_Q + e * S::Q, a.q + (size_t)(eight + e) * k * 8 + b * S::Q);
        const int e = threadIdx.x / 32;
        const int part = threadIdx.x % 32 * 16;
        if (part < S::SUMS)
            copy_once(to + S::AT_SUMS + e * S::SUMS + part,
                      a.split + (size_t)(eight + e) * k + b * S::SUMS + part);
        if (part < S::SCALE)
            copy_once(to + S::AT_SCALE + e * S::SCALE + part,
                      (const char *)(a.scale + ((size_t)(eight + e) * (k / S::F.len) + b) * 8) +
                          part);
    }
    copies_end();
}

using tile = float[4][TILES][2];

/* The sum of the lane at place i of the order is done: it meets those that wait for it, and waits itself.  After
 * place 7 wait[0] is the fold. */
__device__ static void fold(tile wait[3], tile &acc, int i)
{
    int n = __popc(i); /* that wait */
    for (; i & 1; i >>= 1) {
        n--;
#pragma unroll
        for (int x = 0; x < 8 * TILES; x++)
            (&acc[0][0][0])[x] += (&wait[n][0][0][0])[x];
    }
#pragma unroll
    for (int x = 0; x < 8 * TILES; x++) {
        (&wait[n][0][0][0])[x] = (&acc[0][0][0])[x];
        (&acc[0][0][0])[x] = 0;
    }
}

template <int TYPE>
__global__ __launch_bounds__(THREADS,
                             2) static void tiles(const __grid_constant__ struct products ps,
                                                  struct act a, int m)
{
    using S = struct stage<TYPE>;
    extern __shared__ __align__(128) char room[]; /* two stages */
    __shared__ const uint8_t *groups[ROW_GROUPS];
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int k = ps.k, n_block = ps.n_block, eight = blockIdx.x * TOKEN_GROUPS;
    const int my = warp % ROW_GROUPS,
              tokens = warp / ROW_GROUPS * 4; /* first eight of the warp's */
    int group = blockIdx.y * ROW_GROUPS + my;
    const bool there = group < ps.end[TOGETHER - 1];
    const struct product p = ps.p[there ? product_of(ps, &group) : 0];
    if (threadIdx.x % 32 == 0 && warp < ROW_GROUPS)
        groups[my] = there ? p.w + (size_t)group * n_block * S::W : NULL;
    tile acc = {}, wait[3];
    begin_next();
    after();
    __syncthreads();
    struct step now = {0, 0};
    fetch<TYPE>(room, groups, a, eight, now, n_block, k);
    for (int half = 0; now.lane < 8; half ^= 1) {
        struct step next = {now.lane, now.b + 8 * S::PER};
        while (next.b >= n_block && next.lane < 8) /* a lane may have no block at all */
            next.b = ++next.lane < 8 ? lane_at(next.lane) : n_block;
        if (next.lane < 8)
            fetch<TYPE>(room + (half ^ 1) * S::BYTES, groups, a, eight, next, n_block, k);
        else
            copies_end();
        copies_arrive<1>();
        __syncthreads();
        if (there)
            for (int i = 0; i < S::PER && now.b + 8 * i < n_block; i++) {
                const char *at = room + half * S::BYTES + i * S::BLOCK;
                multiply<TYPE, TILES, true>(
                    acc,
                    {.w = (const uint8_t *)at + my * S::W,
                     .q = (const int8_t *)at + S::AT_Q + tokens * S::Q,
                     .sums = at + S::AT_SUMS + tokens * S::SUMS,
                     .scale = (const float *)(at + S::AT_SCALE + tokens * S::SCALE),
                     .q_next = S::Q,
                     .sums_next = S::SUMS,
                     .scale_next = S::SCALE / 4},
                    g, t);
            }
        __syncthreads();
        for (int i = now.lane; i < next.lane; i++)
            fold(wait, acc, i);
        now = next;
    }
    if (!there)
        return;
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int c = 0; c < 2; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int token = (eight + tokens + j) * 8 + 2 * t + c,
                          r = group * GROUP + g + 8 * i;
                if (token >= m || r >= p.n)
                    continue;
                put_sum(p, token, r, wait[0][i][j][c]);
            }
}

template <int TYPE> static int launch(struct kn_dev *d, const struct products *p, int m)
{
    const size_t room = 2 * stage<TYPE>::BYTES;
    int rc = cu_room(d, "room for a product", tiles<TYPE>, room);
    if (rc != KN_OK)
        return rc;
    return cu_launch_room(d, "product", tiles<TYPE>,
                          dim3(cu_blocks((size_t)m, 8 * TOKEN_GROUPS),
                               cu_blocks((size_t)p->end[TOGETHER - 1], ROW_GROUPS)),
                          THREADS, room, *p, cu_dev(d)->act, m);
}

int cu_tiles(struct kn_dev *d, const struct products *p, int type, int m)
{
    return by_type(type, [=]<int TYPE>() { return launch<TYPE>(d, p, m); });
}
