/* gemm_bf16 - y = x w^T in bf16: wgmma fed by bulk copies where the card has them, else mma.m16n8k16
 *
 * Hopper: blocks of threads stay and take tile after tile of 128 x 256.  One thread copies slabs into a ring of shared
 * memory; two warpgroups multiply, 64 rows each.  Two blocks on neighbouring processors share the slabs of w: each
 * brings half of them for both. */
#include "cuda/async.h"
#include "cuda/gemm_bf16.h"
#include "cuda/hopper.h"
#include "cuda/tensor.h"

/* Which product and which of its units of UNIT rows unit u of all is; w NULL: beyond the last. */
template <int UNIT> __device__ static struct side unit_of(const struct wide &w, int &u)
{
#pragma unroll
    for (int i = 0; i < SIDES; i++) {
        const int n = (w.side[i].n + UNIT - 1) / UNIT;
        if (u < n)
            return w.side[i];
        u -= n;
    }
    return {};
}

/* Units first and second of tile t of the columns. */
__device__ static void units(const struct wide &w, int t, int &first, int &second, int all)
{
    first = w.gated ? t : 2 * t;
    second = w.gated ? all / 2 + t : 2 * t + 1;
}

/* Two neighbours of a row to their place; the second is there too, as n is even. */
__device__ static void put_two(const struct side &s, int row, int col, float a, float b)
{
    if (col >= s.n)
        return;
    if (s.bias) {
        const float2 bias = *(const float2 *)(s.bias + col);
        a += bias.x, b += bias.y;
    }
    float2 *y = (float2 *)(s.y + (size_t)row * s.n + col);
    if (s.add) {
        const float2 old = *y;
        a += old.x, b += old.y;
    }
    *y = make_float2(a, b);
}

__device__ static float gated(float gate, float up)
{
    return __fdividef(gate, 1.0f + __expf(-gate)) * up;
}

__device__ static void put_gated(uint8_t *h, int n_slab, int row, int col, float a, float b)
{
    *(__nv_bfloat162 *)(h + panel_at(row, col, n_slab)) = __floats2bfloat162_rn(a, b);
}

/* ---- Hopper ---- */

enum { STAGES = 4, STAGE_BYTES = 3 * SLAB_BYTES, HOPPER_ROOM = STAGES * STAGE_BYTES + 1024 };

/* Tiles in an order in which those of a moment share rows of x and of w: 16 tiles of rows, then the next columns. */
struct tiles {
    int m, n, group;
    __device__ void at(int i, int &tm, int &tn) const
    {
        const int band = i / (group * n), first = band * group, rows = min(group, m - first);
        tm = first + i % (group * n) % rows;
        tn = i % (group * n) / rows;
    }
};

/* CLUSTER blocks have neighbouring rows; tiles.m counts CLUSTER tiles of rows as one. */
template <int CLUSTER>
__global__ __launch_bounds__(3 * WARPGROUP,
                             1) static void wide_hopper(const __grid_constant__ struct wide w,
                                                        const struct tiles tiles, int n_unit)
{
#ifdef HOPPER_CODE
    extern __shared__ uint8_t unaligned[];
    uint8_t *const room = unaligned + (-shared_at(unaligned) & 1023);
    __shared__ uint64_t full[STAGES], empty[STAGES];
    const unsigned rank = CLUSTER == 1 ? 0 : blockIdx.x % CLUSTER;
    const int group = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0), n_tile = tiles.m * tiles.n;
    const int last_panel = (w.m + PANEL - 1) / PANEL - 1;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
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
                int tm, tn, u[2];
                tiles.at(i, tm, tn);
                units(w, tn, u[0], u[1], n_unit);
                const uint8_t *b[2];
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    int unit = min(u[j], n_unit - 1);
                    const struct side s = unit_of<PANEL>(w, unit);
                    b[j] = s.w + (size_t)unit * w.n_slab * SLAB_BYTES;
                }
                const uint8_t *a =
                    w.x + (size_t)min(tm * CLUSTER + (int)rank, last_panel) * w.n_slab * SLAB_BYTES;
                for (int k = 0; k < w.n_slab; k++) {
                    uint8_t *to = room + stage * STAGE_BYTES;
                    const size_t off = (size_t)k * SLAB_BYTES;
                    barrier_wait(&empty[stage], phase);
                    barrier_expect(&full[stage], STAGE_BYTES);
                    bulk(to, a + off, SLAB_BYTES, &full[stage]);
                    if (CLUSTER == 1) {
                        bulk(to + SLAB_BYTES, b[0] + off, SLAB_BYTES, &full[stage]);
                        bulk(to + 2 * SLAB_BYTES, b[1] + off, SLAB_BYTES, &full[stage]);
                    } else {
                        bulk_both(to + (1 + rank) * SLAB_BYTES, (rank ? b[1] : b[0]) + off,
                                  SLAB_BYTES, &full[stage]);
                    }
                    if (++stage == STAGES)
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
            int tm, tn, u[2], before = -1;
            float d[128];
            tiles.at(i, tm, tn);
            for (int k = 0; k < w.n_slab; k++) {
                const uint8_t *from = room + stage * STAGE_BYTES;
                const uint64_t a = operand(from + (group - 1) * (SLAB_BYTES / 2)),
                               b = operand(from + SLAB_BYTES);
                barrier_wait(&full[stage], phase);
                multiply_begin();
#pragma unroll
                for (int j = 0; j < SLAB / 16; j++)
                    multiply<0, 0>(d, a + 2 * j, b + 2 * j, k + j);
                multiply_commit();
                multiply_wait<1>();
                if (before >= 0 && t < CLUSTER)
                    barrier_arrive(&empty[before], t);
                before = stage;
                if (++stage == STAGES)
                    stage = 0, phase ^= 1;
            }
            multiply_wait<0>();
            made(d);
            if (t < CLUSTER)
                barrier_arrive(&empty[before], t);
            const int row = (tm * CLUSTER + (int)rank) * PANEL + row_in;
            units(w, tn, u[0], u[1], n_unit);
            if (w.gated) {
                const int n_slab = slabs(w.side[0].n);
#pragma unroll
                for (int j = 0; j < 16; j++) {
                    const int col = u[0] * PANEL + 8 * j + 2 * (lane % 4);
                    if (col / SLAB >= n_slab)
                        continue;
                    const float *g = d + 4 * j, *up = d + 64 + 4 * j;
                    if (row < w.m)
                        put_gated(w.h, n_slab, row, col, gated(g[0], up[0]), gated(g[1], up[1]));
                    if (row + 8 < w.m)
                        put_gated(w.h, n_slab, row + 8, col, gated(g[2], up[2]),
                                  gated(g[3], up[3]));
                }
                continue;
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int unit = u[half];
                if (unit >= n_unit)
                    continue;
                const struct side s = unit_of<PANEL>(w, unit);
#pragma unroll
                for (int j = 0; j < 16; j++) {
                    const int col = unit * PANEL + 8 * j + 2 * (lane % 4);
                    const float *f = d + 64 * half + 4 * j;
                    if (row < w.m)
                        put_two(s, row, col, f[0], f[1]);
                    if (row + 8 < w.m)
                        put_two(s, row + 8, col, f[2], f[3]);
                }
            }
        }
    }
    if (CLUSTER > 1) /* the other block may still copy here, and count */
        cluster_sync();
#else
    (void)w, (void)tiles, (void)n_unit;
#endif
}

/* ---- other cards ---- */

enum { HALF = 64, MMA_STAGES = 3, MMA_STAGE = 2 * SLAB_BYTES, MMA_ROOM = MMA_STAGES * MMA_STAGE };

/* Tiles of 128 x 128, the columns from two units of 64; eight warps, of 64 x 32: 16 columns of each unit. */
__global__ __launch_bounds__(256) static void wide_mma(const __grid_constant__ struct wide w,
                                                       const struct tiles tiles, int n_unit)
{
    extern __shared__ __align__(128) uint8_t ring[];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, wm = warp / 4, wn = warp % 4;
    int tm, tn, u[2];
    tiles.at(blockIdx.x, tm, tn);
    units(w, tn, u[0], u[1], n_unit);
    const uint8_t *from[3] = {w.x + (size_t)tm * w.n_slab * SLAB_BYTES};
#pragma unroll
    for (int j = 0; j < 2; j++) {
        int unit = min(u[j], n_unit - 1);
        const struct side s = unit_of<HALF>(w, unit);
        from[1 + j] = s.w + (size_t)(unit / 2) * w.n_slab * SLAB_BYTES +
                      (size_t)(unit % 2) * (SLAB_BYTES / 2);
    }
    begin_next();
    after();
    const auto bring = [&](int k) {
        if (k < w.n_slab) {
            uint8_t *to = ring + k % MMA_STAGES * MMA_STAGE;
            const size_t off = (size_t)k * SLAB_BYTES;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                const int at = (threadIdx.x + 256 * i) * 16, b = at - SLAB_BYTES;
                copy_once(to + at, i < 4   ? from[0] + off + at
                                   : i < 6 ? from[1] + off + b
                                           : from[2] + off + b - SLAB_BYTES / 2);
            }
        }
        copies_end();
    };
    float d[4][4][4] = {};
    for (int k = 0; k < MMA_STAGES - 1; k++)
        bring(k);
    for (int k = 0; k < w.n_slab; k++) {
        copies_arrive<MMA_STAGES - 2>();
        __syncthreads();
        bring(k + MMA_STAGES - 1);
        const uint8_t *x = ring + k % MMA_STAGES * MMA_STAGE, *y = x + SLAB_BYTES;
#pragma unroll
        for (int j = 0; j < SLAB / 16; j++) {
            uint32_t a[4][4], b[2][4];
            const auto at = [&](const uint8_t *p, int r, int c) {
                return p + r * 128 + ((c ^ (r & 7)) << 4);
            };
#pragma unroll
            for (int i = 0; i < 4; i++)
                load4(a[i], at(x, wm * 64 + i * 16 + lane % 16, 2 * j + lane / 16));
#pragma unroll
            for (int i = 0; i < 2; i++)
                load4(b[i],
                      at(y, i * HALF + wn * 16 + lane / 16 * 8 + lane % 8, 2 * j + lane / 8 % 2));
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                    mma_bf16(d[i][n], a[i], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
        }
    }
    const int col_in = wn * 16 + 2 * (lane % 4);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const int row = tm * PANEL + wm * 64 + i / 2 * 16 + i % 2 * 8 + lane / 4;
        if (row >= w.m)
            continue;
#pragma unroll
        for (int n = 0; n < 2; n++) {
            const float *f = d[i / 2][n] + i % 2 * 2, *g = d[i / 2][n + 2] + i % 2 * 2;
            if (w.gated) {
                put_gated(w.h, slabs(w.side[0].n), row, u[0] * HALF + col_in + 8 * n,
                          gated(f[0], g[0]), gated(f[1], g[1]));
                continue;
            }
#pragma unroll
            for (int half = 0; half < 2; half++) {
                int unit = u[half];
                if (unit >= n_unit)
                    continue;
                const struct side s = unit_of<HALF>(w, unit);
                const float *v = half ? g : f;
                put_two(s, row, unit * HALF + col_in + 8 * n, v[0], v[1]);
            }
        }
    }
}

/* ---- the call ---- */

int cu_wide(struct kn_dev *d, const struct wide *w)
{
    const int fast = cu_dev(d)->hopper, unit = fast ? (int)PANEL : (int)HALF;
    int n_unit = 0, rc;
    for (int i = 0; i < SIDES; i++)
        n_unit += (w->side[i].n + unit - 1) / unit;
    struct tiles t = {(int)cu_blocks((size_t)w->m, PANEL), (n_unit + 1) / 2, 16};
    if (!fast) {
        if ((rc = cu_room(d, "room for products", wide_mma, MMA_ROOM)) != KN_OK)
            return rc;
        return cu_launch_room(d, "product in bf16", wide_mma, (unsigned)(t.m * t.n), 256, MMA_ROOM,
                              *w, t, n_unit);
    }
    const int processors = cu_dev(d)->processors;
    const int pairs = t.m > 1; /* else the other half would work for nothing */
    auto *kernel = pairs ? wide_hopper<2> : wide_hopper<1>;
    if (pairs)
        t.m = (t.m + 1) / 2, t.group = 8;
    if ((rc = cu_room(d, "room for products", kernel, HOPPER_ROOM)) != KN_OK)
        return rc;
    const int most = pairs ? processors / 2 : processors, n = t.m * t.n < most ? t.m * t.n : most;
    cudaLaunchAttribute attr[2] = {};
    attr[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attr[0].val.programmaticStreamSerializationAllowed = 1;
    attr[1].id = cudaLaunchAttributeClusterDimension;
    attr[1].val.clusterDim.x = pairs ? 2 : 1;
    attr[1].val.clusterDim.y = attr[1].val.clusterDim.z = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = (unsigned)(pairs ? 2 * n : n);
    c.blockDim = 3 * WARPGROUP;
    c.dynamicSmemBytes = HOPPER_ROOM;
    c.stream = cu_dev(d)->stream;
    c.attrs = attr;
    c.numAttrs = 2;
    return cu_status(d, cudaLaunchKernelEx(&c, kernel, *w, t, n_unit), "product in bf16");
}
