/* attention_rows - R4 to the bit for several rows of a sequence: k and v are read once for all of a work item
 *
 * For the scores and the weights a warp has OWN rows, a lane one position of the tile; then a thread has one
 * column of v and EACH of the rows, and goes through the positions in their order. */
#include "cuda/attend.h"
#include "poly.h"

constexpr int ROWS = ITEM_ROWS, OWN = ROWS / (int)WARPS;

/* A tile of k to shared memory, widened: position p at p * (dim + 4), so that lanes meet no common bank. */
template <int TYPE> __device__ static void load_k(float *to, const char *tile, int dim)
{
    for (int i = threadIdx.x; i < dim / 16 * KN_TILE; i += WARPS * 32) {
        const int p = i % KN_TILE, unit = i / KN_TILE;
        float v[16];
        widen16<TYPE>(tile, unit, p, dim, v);
#pragma unroll
        for (int j = 0; j < 4; j++)
            ((float4 *)(to + p * (dim + 4) + unit * 16))[j] =
                make_float4(v[4 * j], v[4 * j + 1], v[4 * j + 2], v[4 * j + 3]);
    }
}

/* q . k of OWN rows with one position, sixteen lanes each */
__device__ static void scores(float s[OWN], const float *q, const float *k, int dim)
{
    float lane[OWN][16] = {};
    for (int u = 0; u < dim; u += 16) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const float4 x = *(const float4 *)(k + u + 4 * j);
#pragma unroll
            for (int r = 0; r < OWN; r++) {
                const float4 y = *(const float4 *)(q + r * dim + u + 4 * j);
                lane[r][4 * j] = fmaf(y.x, x.x, lane[r][4 * j]);
                lane[r][4 * j + 1] = fmaf(y.y, x.y, lane[r][4 * j + 1]);
                lane[r][4 * j + 2] = fmaf(y.z, x.z, lane[r][4 * j + 2]);
                lane[r][4 * j + 3] = fmaf(y.w, x.w, lane[r][4 * j + 3]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < OWN; r++)
        s[r] = fold_lanes(lane[r]);
}

/* A row's running maximum and sum, and what of the cache it sees. */
struct state {
    float m, l;
    int pos, from;
};

/* R4 for one tile and a row: scores to weights; a lane has position p. */
__device__ static void weigh(struct state &a, const struct view &v, float s, int p, int tile,
                             float &weight, float &shrink, int &until)
{
    const bool in = tile >= a.from / KN_TILE && tile * KN_TILE <= a.pos;
    s = v.scale * s;
    if (v.cap != 0)
        s = v.cap * kn_tanh(s / v.cap);
    if (p > a.pos || p < a.from)
        s = -INFINITY;
    float max = s;
    for (int i = 16; i > 0; i /= 2)
        max = fmaxf(max, __shfl_xor_sync(~0u, max, i));
    max = fmaxf(max, a.m);
    weight = in && p <= a.pos ? kn_exp(s - max) : 0.0f;
    float f = weight + __shfl_down_sync(~0u, weight, 16);
    for (int i = 8; i > 0; i /= 2)
        f += __shfl_down_sync(~0u, f, i);
    f = __shfl_sync(~0u, f, 0);
    shrink = in ? kn_exp(a.m - max) : 1.0f;
    until = in ? min((int)KN_TILE, a.pos + 1 - tile * KN_TILE) : 0;
    if (in)
        a.l = fmaf(a.l, shrink, f), a.m = max;
}

/* o of EACH rows takes column `column` of a tile of v; row r sees the first n[r] positions. */
template <int TYPE, int EACH>
__device__ static void add_values(float o[EACH], const int n[EACH], const char *tile, int column,
                                  int dim, const float (*weight)[ROWS])
{
    int all = KN_TILE, some = 0;
#pragma unroll
    for (int r = 0; r < EACH; r++)
        all = min(all, n[r]), some = max(some, n[r]);
    if (all == KN_TILE) {
#pragma unroll 8
        for (int j = 0; j < KN_TILE; j++) {
            const float x = value<TYPE>(tile, j, column, dim);
#pragma unroll
            for (int r = 0; r < EACH; r++)
                o[r] = fmaf(weight[j][r], x, o[r]);
        }
        return;
    }
    for (int j = 0; j < some; j++) {
        const float x = value<TYPE>(tile, j, column, dim);
#pragma unroll
        for (int r = 0; r < EACH; r++)
            o[r] = j < n[r] ? fmaf(weight[j][r], x, o[r]) : o[r];
    }
}

/* One work item and head. */
template <int TYPE, int EACH>
__global__ __launch_bounds__(WARPS * 32, 2) static void attend_several(float *y, const float *query,
                                                                       struct view v,
                                                                       const int2 *items)
{
    extern __shared__ __align__(16) float room[]; /* q (ROWS, dim), k (KN_TILE, dim + 4) */
    __shared__ __align__(16) float weight[KN_TILE][ROWS];
    __shared__ float shrink[ROWS], total[ROWS];
    __shared__ int until[ROWS]; /* positions of the tile that a row sees */
    constexpr int WIDTH = WARPS * 32 / (ROWS / EACH);
    begin_next();
    after();
    const int2 item = items[(gridDim.x - 1 - blockIdx.x) / v.n_head]; /* the longest first */
    const int first = item.x, count = item.y;
    const int head = blockIdx.x % v.n_head, kv_head = head / (v.n_head / v.n_head_kv);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int column = threadIdx.x % WIDTH, group = threadIdx.x / WIDTH * EACH;
    const int32_t *table = v.blocks + (size_t)v.seq[first] * v.max_blocks;
    const size_t stride = (size_t)v.n_head * v.head_dim;
    const size_t at = ((size_t)first * v.n_head + head) * v.head_dim;
    float *q = room, *k = room + ROWS * v.dim;
    for (int i = threadIdx.x; i < ROWS * v.dim; i += WARPS * 32) {
        const int r = i / v.dim, c = i % v.dim;
        q[i] = r < count && c < v.head_dim ? query[at + r * stride + c] : 0.0f;
    }
    struct state row[OWN];
    float o[EACH] = {};
#pragma unroll
    for (int r = 0; r < OWN; r++) {
        const int i = OWN * warp + r, pos = i < count ? v.pos[first + i] : -1;
        row[r] = {-INFINITY, 0, pos, v.window && pos >= v.window ? pos - v.window + 1 : 0};
    }
    const int last = v.pos[first + count - 1] / KN_TILE, low = v.pos[first];
    const int begin = (v.window && low >= v.window ? low - v.window + 1 : 0) / KN_TILE;
    const auto tile_of = [&](int t, int which) {
        return v.cache + (((size_t)table[t] * v.n_head_kv + kv_head) * 2 + which) * v.tile;
    };
    load_k<TYPE>(k, tile_of(begin, 0), v.dim);
    for (int t = begin; t <= last; t++) {
        __syncthreads(); /* k is there; the weights have been used */
        float s[OWN];
        scores(s, q + OWN * warp * v.dim, k + lane * (v.dim + 4), v.dim);
#pragma unroll
        for (int r = 0; r < OWN; r++) {
            float w, c;
            int n;
            weigh(row[r], v, s[r], t * KN_TILE + lane, t, w, c, n);
            weight[lane][OWN * warp + r] = w;
            if (lane == 0)
                shrink[OWN * warp + r] = c, until[OWN * warp + r] = n;
        }
        __syncthreads();
        if (t < last)
            load_k<TYPE>(k, tile_of(t + 1, 0), v.dim);
        if (column >= v.head_dim)
            continue;
        int n[EACH];
#pragma unroll
        for (int r = 0; r < EACH; r++) {
            n[r] = until[group + r];
            o[r] *= shrink[group + r];
        }
        add_values<TYPE, EACH>(o, n, tile_of(t, 1), column, v.dim,
                               (const float(*)[ROWS]) & weight[0][group]);
    }
#pragma unroll
    for (int r = 0; r < OWN; r++)
        if (lane == 0)
            total[OWN * warp + r] = row[r].l;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < EACH; r++)
        if (column < v.head_dim && group + r < count)
            y[at + (group + r) * stride + column] = o[r] / total[group + r];
}

template <int TYPE>
static int start(struct kn_dev *d, float *y, const float *q, const struct view *v,
                 const int2 *items, int n_items)
{
    auto *kernel = v->dim <= 64    ? attend_several<TYPE, ROWS / 4>
                   : v->dim <= 128 ? attend_several<TYPE, ROWS / 2>
                                   : attend_several<TYPE, ROWS>;
    const size_t room = (size_t)(ROWS * v->dim + KN_TILE * (v->dim + 4)) * sizeof(float);
    if (room >
        40 << 10) { /* beyond what a kernel has without asking; beside what it has of its own */
        int rc =
            cu_status(d,
                      cudaFuncSetAttribute((const void *)kernel,
                                           cudaFuncAttributeMaxDynamicSharedMemorySize, (int)room),
                      "room for attention");
        if (rc != KN_OK)
            return rc;
    }
    return cu_launch_room(d, "attention", kernel, (unsigned)n_items * (unsigned)v->n_head,
                          WARPS * 32, room, y, q, *v, items);
}

int cu_attend_several(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                      const int2 *items, int n_items)
{
    return type == KN_F32   ? start<KN_F32>(d, y, q, v, items, n_items)
           : type == KN_F16 ? start<KN_F16>(d, y, q, v, items, n_items)
                            : start<KN_Q8_0>(d, y, q, v, items, n_items);
}
