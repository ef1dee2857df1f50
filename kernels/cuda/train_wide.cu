/* train_wide - the products of train_wide.h: wgmma fed by bulk copies on Hopper, else and where n is small mma.m16n8k16 */
#include "cuda/async.h"
#include "cuda/hopper.h"
#include "cuda/tensor.h"
#include "cuda/train_wide.h"

__host__ __device__ static int pieces(int rows)
{
    return (rows + SLAB - 1) / SLAB;
}

void cu_part(struct product16 *p, struct panels a, enum turned ta, struct panels b, enum turned tb)
{
    struct part16 *x = &p->part[p->n_part++];
    x->a = a.p, x->a_slabs = slabs(a.cols);
    x->b = b.p, x->b_slabs = slabs(b.cols);
    x->a_last = pieces(ta ? a.cols : a.rows) - 1;
    x->b_last = pieces(tb ? b.cols : b.rows) - 1;
    x->chunks = pieces(ta ? a.rows : a.cols);
    p->chunks += x->chunks;
}

/* Piece i along the outputs, chunk q of k. */
template <int TURN>
__device__ static const uint8_t *piece_at(const uint8_t *p, int n_slab, int last, int i, int q)
{
    i = min(i, last);
    const size_t at = TURN ? ((size_t)(q / 2) * n_slab + i) * 2 + q % 2
                           : ((size_t)(i / 2) * n_slab + q) * 2 + i % 2;
    return p + at * PIECE_BYTES;
}

/* Two neighbours of a row to their place. */
__device__ static void put(const struct product16 &p, float *y, int row, int col, float v0,
                           float v1)
{
    if (row >= p.m || col >= p.n)
        return;
    const size_t at = (size_t)row * p.ld + col;
    const bool two = col + 1 < p.n;
    v0 *= p.alpha, v1 *= p.alpha;
    if (p.bias) {
        v0 += p.bias[col];
        v1 += two ? p.bias[col + 1] : 0;
    }
    if (p.ld % 2 == 0 && two) {
        if (p.res) {
            const float2 r = *(const float2 *)(p.res + at);
            v0 += r.x, v1 += r.y;
        }
        if (p.add) {
            const float2 r = *(const float2 *)(y + at);
            v0 += r.x, v1 += r.y;
        }
        *(float2 *)(y + at) = make_float2(v0, v1);
        return;
    }
    v0 += p.res ? p.res[at] : 0;
    y[at] = p.add ? y[at] + v0 : v0;
    if (two) {
        v1 += p.res ? p.res[at + 1] : 0;
        y[at + 1] = p.add ? y[at + 1] + v1 : v1;
    }
}

/* N pairs of a row, eight columns apart: what is added is read before anything is written. */
template <int N>
__device__ static void put_row(const struct product16 &p, float *y, int row, int col,
                               const float v[N][2])
{
    if (row >= p.m)
        return;
    if (p.ld % 2 || p.n % 2) {
#pragma unroll
        for (int j = 0; j < N; j++)
            put(p, y, row, col + 8 * j, v[j][0], v[j][1]);
        return;
    }
    const size_t at = (size_t)row * p.ld + col;
    float2 r[N], b[N], old[N];
#pragma unroll
    for (int j = 0; j < N; j++) {
        const bool here = col + 8 * j < p.n;
        r[j] = b[j] = old[j] = make_float2(0, 0);
        if (here && p.bias)
            b[j] = *(const float2 *)(p.bias + col + 8 * j);
        if (here && p.res)
            r[j] = *(const float2 *)(p.res + at + 8 * j);
        if (here && p.add)
            old[j] = *(const float2 *)(y + at + 8 * j);
    }
#pragma unroll
    for (int j = 0; j < N; j++)
        if (col + 8 * j < p.n)
            *(float2 *)(y + at + 8 * j) =
                make_float2(p.alpha * v[j][0] + b[j].x + r[j].x + old[j].x,
                            p.alpha * v[j][1] + b[j].y + r[j].y + old[j].y);
}

/* Tiles in an order in which those of a moment share rows of a and of b. */
struct tiles16 {
    int m, n, group;
    __device__ void at(int i, int &tm, int &tn) const
    {
        const int band = i / (group * n), first = band * group, rows = min(group, m - first);
        tm = first + i % (group * n) % rows;
        tn = i % (group * n) / rows;
    }
};

/* The chunks of all parts, one after another. */
struct walk16 {
    int part, q;
    __device__ void next(const struct product16 &p)
    {
        if (++q == p.part[part].chunks)
            q = 0, part++;
    }
};

/* ---- any card ---- */

template <int BN> constexpr int MMA_STAGES = BN == 64 ? 4 : 3;
template <int BN> constexpr int MMA_BYTES = MMA_STAGES<BN> *(2 + BN / 64) * PIECE_BYTES;

/* Tiles of 128 x BN; eight warps: two by four of 64 x 32, or four by two of 32 x 32. */
template <int TA, int TB, int BN>
__global__ __launch_bounds__(256) static void wide_mma16(const __grid_constant__ struct product16 p,
                                                         const struct tiles16 tiles, int split)
{
    constexpr int STAGES = MMA_STAGES<BN>, STAGE = (2 + BN / 64) * PIECE_BYTES;
    constexpr int WM = BN == 64 ? 32 : 64, ACROSS = BN / 32, FM = WM / 16;
    extern __shared__ __align__(128) uint8_t ring[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int wm = warp / ACROSS * WM, wn = warp % ACROSS * 32;
    const int from = blockIdx.y * split, count = min(split, p.chunks - from);
    int tm, tn;
    tiles.at(blockIdx.x, tm, tn);
    struct walk16 w = {0, from};
    while (w.q >= p.part[w.part].chunks)
        w.q -= p.part[w.part++].chunks;
    begin_next();
    after();
    const auto bring = [&](int k) {
        if (k < count) {
            const struct part16 &x = p.part[w.part];
            uint8_t *to = ring + k % STAGES * STAGE + threadIdx.x * 16;
#pragma unroll
            for (int i = 0; i < 2 + BN / 64; i++) {
                const uint8_t *f =
                    i < 2 ? piece_at<TA>(x.a, x.a_slabs, x.a_last, tm * 2 + i, w.q)
                          : piece_at<TB>(x.b, x.b_slabs, x.b_last, tn * (BN / 64) + i - 2, w.q);
#pragma unroll
                for (int h = 0; h < PIECE_BYTES; h += 4096)
                    copy_once(to + i * PIECE_BYTES + h, f + threadIdx.x * 16 + h);
            }
            w.next(p);
        }
        copies_end();
    };
    float d[FM][4][4] = {};
    for (int k = 0; k < STAGES - 1; k++)
        bring(k);
    for (int k = 0; k < count; k++) {
        copies_arrive<STAGES - 2>();
        __syncthreads();
        bring(k + STAGES - 1);
        const uint8_t *x = ring + k % STAGES * STAGE, *y = x + 2 * PIECE_BYTES;
        /* eight columns c of row r; of turned operands row r of k, c counts on through the pieces */
        const auto at = [&](const uint8_t *s, int r, int c) {
            return s + c / 8 * PIECE_BYTES + r * 128 + ((c % 8 ^ (r & 7)) << 4);
        };
        const auto along = [&](const uint8_t *s, int r, int c) {
            return s + r * 128 + ((c ^ (r & 7)) << 4);
        };
#pragma unroll
        for (int j = 0; j < SLAB / 16; j++) {
            uint32_t a[FM][4], b[2][4];
#pragma unroll
            for (int i = 0; i < FM; i++)
                if (TA)
                    load4_turned(a[i], at(x, j * 16 + lane / 16 * 8 + lane % 8,
                                          (wm + i * 16) / 8 + lane / 8 % 2));
                else
                    load4(a[i], along(x, wm + i * 16 + lane % 16, 2 * j + lane / 16));
#pragma unroll
            for (int i = 0; i < 2; i++)
                if (TB)
                    load4_turned(b[i], at(y, j * 16 + lane % 16, (wn + i * 16) / 8 + lane / 16));
                else
                    load4(b[i],
                          along(y, wn + i * 16 + lane / 16 * 8 + lane % 8, 2 * j + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < FM; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                    mma_bf16(d[i][n], a[i], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
    }
    float *out = p.y + (size_t)blockIdx.y * p.m * p.ld;
#pragma unroll
    for (int i = 0; i < FM; i++)
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int row = tm * 128 + wm + i * 16 + lane / 4;
            const int col = tn * BN + wn + n * 8 + 2 * (lane % 4);
            put(p, out, row, col, d[i][n][0], d[i][n][1]);
            put(p, out, row + 8, col, d[i][n][2], d[i][n][3]);
        }
}

/* ---- Hopper: tiles of 128 x 256, two warpgroups of 64 rows each; two blocks share the pieces of b ---- */

enum { H_STAGES = 4, H_STAGE = 6 * PIECE_BYTES, H_ROOM = H_STAGES * H_STAGE + 1024 };

template <int TA, int TB, int CLUSTER>
__global__ __launch_bounds__(3 * WARPGROUP, 1) static void wide_hopper16(
    const __grid_constant__ struct product16 p, const struct tiles16 tiles)
{
#ifdef HOPPER_CODE
    extern __shared__ uint8_t unaligned[];
    uint8_t *const room = unaligned + (-shared_at(unaligned) & 1023);
    __shared__ uint64_t full[H_STAGES], empty[H_STAGES];
    const unsigned rank = CLUSTER == 1 ? 0 : blockIdx.x % CLUSTER;
    const int group = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0), n_tile = tiles.m * tiles.n;
    if (threadIdx.x == 0) {
        for (int i = 0; i < H_STAGES; i++) {
            barrier_new(&full[i], 1);
            barrier_new(&empty[i], 2 * CLUSTER);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (CLUSTER > 1)
        cluster_sync();
    else
        __syncthreads();
    begin_next();
    after();
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) {
            int stage = 0;
            unsigned phase = 1;
            for (int i = blockIdx.x / CLUSTER; i < n_tile; i += gridDim.x / CLUSTER) {
                int tm, tn;
                tiles.at(i, tm, tn);
                const int rows = (tm * CLUSTER + (int)rank) * 2;
                struct walk16 w = {0, 0};
                for (int k = 0; k < p.chunks; k++) {
                    const struct part16 &x = p.part[w.part];
                    uint8_t *to = room + stage * H_STAGE;
                    barrier_wait(&empty[stage], phase);
                    barrier_expect(&full[stage], H_STAGE);
#pragma unroll
                    for (int j = 0; j < 2; j++)
                        bulk(to + j * PIECE_BYTES,
                             piece_at<TA>(x.a, x.a_slabs, x.a_last, rows + j, w.q), PIECE_BYTES,
                             &full[stage]);
#pragma unroll
                    for (int j = 0; j < 4 / CLUSTER; j++) {
                        const int at = CLUSTER == 1 ? j : 2 * (int)rank + j;
                        const uint8_t *f = piece_at<TB>(x.b, x.b_slabs, x.b_last, tn * 4 + at, w.q);
                        if (CLUSTER == 1)
                            bulk(to + (2 + at) * PIECE_BYTES, f, PIECE_BYTES, &full[stage]);
                        else
                            bulk_both(to + (2 + at) * PIECE_BYTES, f, PIECE_BYTES, &full[stage]);
                    }
                    w.next(p);
                    if (++stage == H_STAGES)
                        stage = 0, phase ^= 1;
                }
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        const int t = threadIdx.x % WARPGROUP, lane = t % 32;
        const int row_in = (group - 1) * 64 + t / 32 * 16 + lane / 4;
        int stage = 0;
        unsigned phase = 0;
        for (int i = blockIdx.x / CLUSTER; i < n_tile; i += gridDim.x / CLUSTER) {
            int tm, tn, before = -1;
            float d[128];
            tiles.at(i, tm, tn);
            for (int k = 0; k < p.chunks; k++) {
                const uint8_t *from = room + stage * H_STAGE;
                const uint64_t a = operand(from + (group - 1) * PIECE_BYTES, TA ? PIECE_BYTES : 16),
                               b = operand(from + 2 * PIECE_BYTES, TB ? PIECE_BYTES : 16);
                barrier_wait(&full[stage], phase);
                multiply_begin();
#pragma unroll
                for (int j = 0; j < SLAB / 16; j++) /* 16 of k: 32 bytes along, 2048 across */
                    multiply<TA, TB>(d, a + j * (TA ? 128 : 2), b + j * (TB ? 128 : 2), k + j);
                multiply_commit();
                multiply_wait<1>();
                if (before >= 0 && t < CLUSTER)
                    barrier_arrive(&empty[before], t);
                before = stage;
                if (++stage == H_STAGES)
                    stage = 0, phase ^= 1;
            }
            multiply_wait<0>();
            made(d);
            if (t < CLUSTER)
                barrier_arrive(&empty[before], t);
            const int row = (tm * CLUSTER + (int)rank) * 128 + row_in;
#pragma unroll
            for (int j = 0; j < 32; j += 8) {
                float v[2][8][2];
#pragma unroll
                for (int i = 0; i < 32; i++)
                    v[i / 2 % 2][i / 4][i % 2] = d[4 * j + i];
                const int col = tn * 256 + 8 * j + 2 * (lane % 4);
                put_row<8>(p, p.y, row, col, v[0]);
                put_row<8>(p, p.y, row + 8, col, v[1]);
            }
        }
    }
    if (CLUSTER > 1) /* the other block may still copy here, and count */
        cluster_sync();
#else
    (void)p, (void)tiles;
#endif
}

/* ---- the calls ---- */

template <int TA, int TB, int BN>
static int launch_mma(struct kn_dev *d, const struct product16 *p, int split)
{
    const struct tiles16 t = {(int)cu_blocks((size_t)p->m, 128), (int)cu_blocks((size_t)p->n, BN),
                              16};
    int rc = cu_room(d, "room for products", wide_mma16<TA, TB, BN>, MMA_BYTES<BN>);
    return rc != KN_OK
               ? rc
               : cu_launch_room(d, "product in bf16", wide_mma16<TA, TB, BN>,
                                dim3((unsigned)(t.m * t.n), cu_blocks((size_t)p->chunks, split)),
                                256, MMA_BYTES<BN>, *p, t, split);
}

#ifndef EMULATED
template <int TA, int TB, int CLUSTER>
static int launch_hopper(struct kn_dev *d, const struct product16 *p)
{
    struct tiles16 t = {(int)cu_blocks((size_t)p->m, 128 * CLUSTER),
                        (int)cu_blocks((size_t)p->n, 256), 16 / CLUSTER};
    int rc = cu_room(d, "room for products", wide_hopper16<TA, TB, CLUSTER>, H_ROOM);
    const int most = cu_dev(d)->processors / CLUSTER, n = t.m * t.n < most ? t.m * t.n : most;
    cudaLaunchAttribute attr[2] = {};
    attr[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attr[0].val.programmaticStreamSerializationAllowed = 1;
    attr[1].id = cudaLaunchAttributeClusterDimension;
    attr[1].val.clusterDim.x = CLUSTER;
    attr[1].val.clusterDim.y = attr[1].val.clusterDim.z = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = (unsigned)(CLUSTER * n);
    c.blockDim = 3 * WARPGROUP;
    c.dynamicSmemBytes = H_ROOM;
    c.stream = cu_dev(d)->stream;
    c.attrs = attr;
    c.numAttrs = 2;
    return rc != KN_OK ? rc
                       : cu_status(d, cudaLaunchKernelEx(&c, wide_hopper16<TA, TB, CLUSTER>, *p, t),
                                   "product in bf16");
}
#endif

template <int TA, int TB> static int launch(struct kn_dev *d, const struct product16 *p)
{
#ifndef EMULATED
    if (cu_dev(d)->hopper)
        return p->m > 128 ? launch_hopper<TA, TB, 2>(d, p) : launch_hopper<TA, TB, 1>(d, p);
#endif
    return launch_mma<TA, TB, 128>(d, p, p->chunks);
}

int cu_product(struct kn_dev *d, const struct product16 *p, enum turned ta, enum turned tb)
{
    if (p->m == 0 || p->n == 0)
        return KN_OK;
    return ta   ? tb ? launch<1, 1>(d, p) : launch<1, 0>(d, p)
             : tb ? launch<0, 1>(d, p)
                : launch<0, 0>(d, p);
}

int cu_product_split(struct kn_dev *d, struct product16 *p, enum turned ta, enum turned tb,
                     int *n_split)
{
    *n_split = (int)cu_blocks((size_t)p->chunks, SPLIT);
    p->ld = (size_t)p->n;
    p->alpha = 1;
    int rc = cu_scratch(d, ROOM_PART, (size_t)*n_split * p->m * p->n * sizeof *p->y, &p->y);
    if (rc != KN_OK || p->m == 0)
        return rc;
    return ta   ? tb ? launch_mma<1, 1, 64>(d, p, SPLIT) : launch_mma<1, 0, 64>(d, p, SPLIT)
             : tb ? launch_mma<0, 1, 64>(d, p, SPLIT)
                : launch_mma<0, 0, 64>(d, p, SPLIT);
}
