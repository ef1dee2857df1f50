/* attention_rows - R4 to the bit for several rows of a sequence, or all heads of a row that share k and v: those are read
 * once for all of a work item
 *
 * For the scores a warp has 8 rows by 16 positions, a lane two by two; for the weights a warp has OWN rows, a lane one
 * position; then a thread has two columns of v and EACH of the rows, and goes through the positions in their order. */
#include "cuda/attend.h"
#include "poly.h"

enum { HEADS = 8 }; /* of a row, that share k and v, at most */

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

/* q . k of EACH rows from q on with EACH positions, 8 apart, sixteen lanes each */
template <int EACH>
__device__ static void scores(float s[EACH][EACH], const float *q, const float *k, int dim)
{
    float lane[EACH][EACH][16] = {};
    for (int u = 0; u < dim; u += 16) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float4 x[EACH], y[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                x[i] = *(const float4 *)(k + 8 * i * (dim + 4) + u + 4 * j);
                y[i] = *(const float4 *)(q + i * (dim + 4) + u + 4 * j);
            }
#pragma unroll
            for (int i = 0; i < EACH * EACH; i++) {
                float *l = &lane[i / EACH][i % EACH][4 * j];
                l[0] = fmaf(y[i / EACH].x, x[i % EACH].x, l[0]);
                l[1] = fmaf(y[i / EACH].y, x[i % EACH].y, l[1]);
                l[2] = fmaf(y[i / EACH].z, x[i % EACH].z, l[2]);
                l[3] = fmaf(y[i / EACH].w, x[i % EACH].w, l[3]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < EACH * EACH; i++)
        s[i / EACH][i % EACH] = fold_lanes(lane[i / EACH][i % EACH]);
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

/* o of EACH rows takes columns `column` and one more of a tile of v; row r sees the first n[r] positions. */
template <int TYPE, int ROWS, int EACH>
__device__ static void add_values(float o[EACH][2], const int n[EACH], const char *tile, int column,
                                  int dim, const float (*weight)[ROWS])
{
    int all = KN_TILE, some = 0;
#pragma unroll
    for (int r = 0; r < EACH; r++)
        all = min(all, n[r]), some = max(some, n[r]);
    if (all == KN_TILE) {
#pragma unroll 8
        for (int j = 0; j < KN_TILE; j++) {
            const float2 x = two_values<TYPE>(tile, j, column, dim);
#pragma unroll
            for (int r = 0; r < EACH; r++) {
                o[r][0] = fmaf(weight[j][r], x.x, o[r][0]);
                o[r][1] = fmaf(weight[j][r], x.y, o[r][1]);
            }
        }
        return;
    }
    for (int j = 0; j < some; j++) {
        const float2 x = two_values<TYPE>(tile, j, column, dim);
#pragma unroll
        for (int r = 0; r < EACH; r++) {
            o[r][0] = j < n[r] ? fmaf(weight[j][r], x.x, o[r][0]) : o[r][0];
            o[r][1] = j < n[r] ? fmaf(weight[j][r], x.y, o[r][1]) : o[r][1];
        }
    }
}

/* One work item and head; ROWS HEADS: one row, and the heads that share k and v. */
template <int TYPE, int ROWS, int EACH>
__global__ __launch_bounds__(WARPS * 32, 2) static void attend_several(float *y, const float *query,
                                                                       struct view v,
                                                                       const int2 *items)
{
    extern __shared__ __align__(16) float room[]; /* q (ROWS, dim + 4), k (KN_TILE, dim + 4) */
    __shared__ __align__(16) float weight[KN_TILE][ROWS];
    __shared__ float score[ROWS][KN_TILE + 1], shrink[ROWS], total[ROWS];
    __shared__ int until[ROWS]; /* positions of the tile that a row sees */
    constexpr int WIDTH = WARPS * 32 / (ROWS / EACH), OWN = ROWS / WARPS;
    constexpr bool HEADED = ROWS == HEADS;
    constexpr int PAIRS = HEADED ? 1 : 2; /* rows and positions of a lane's scores */
    begin_next();
    after();
    const int n_head = HEADED ? v.n_head_kv : v.n_head, share = v.n_head / v.n_head_kv;
    const int2 item = items[(gridDim.x - 1 - blockIdx.x) / n_head]; /* the longest first */
    const int first = item.x, count = HEADED ? share : item.y, id = blockIdx.x % n_head;
    const int head = HEADED ? id * share : id, kv_head = HEADED ? id : id / share;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int column = threadIdx.x % WIDTH * 2, group = threadIdx.x / WIDTH * EACH;
    const int32_t *table = v.blocks + (size_t)v.seq[first] * v.max_blocks;
    const size_t stride = HEADED ? v.head_dim : (size_t)v.n_head * v.head_dim;
    const size_t at = ((size_t)first * v.n_head + head) * v.head_dim;
    float *q = room, *k = room + ROWS * (v.dim + 4);
    for (int i = threadIdx.x; i < ROWS * v.dim; i += WARPS * 32) {
        const int r = i / v.dim, c = i % v.dim;
        q[r * (v.dim + 4) + c] = r < count && c < v.head_dim ? query[at + r * stride + c] : 0.0f;
    }
    struct state row[OWN];
    float o[EACH][2] = {};
    /* of the scores */
    const int row0 = HEADED ? lane / 4 : warp % 4 * 8 + lane / 8 * 2;
    const int p0 = HEADED ? warp * 4 + lane % 4 : warp / 4 * 16 + lane % 8;
#pragma unroll
    for (int r = 0; r < OWN; r++) {
        const int i = OWN * warp + r, pos = i < count ? v.pos[HEADED ? first : first + i] : -1;
        row[r] = {-INFINITY, 0, pos, v.window && pos >= v.window ? pos - v.window + 1 : 0};
    }
    const int last = v.pos[HEADED ? first : first + count - 1] / KN_TILE, low = v.pos[first];
    const int begin = (v.window && low >= v.window ? low - v.window + 1 : 0) / KN_TILE;
    const auto tile_of = [&](int t, int which) {
        return v.cache + (((size_t)table[t] * v.n_head_kv + kv_head) * 2 + which) * v.tile;
    };
    load_k<TYPE>(k, tile_of(begin, 0), v.dim);
    for (int t = begin; t <= last; t++) {
        __syncthreads(); /* k is there; the weights have been used */
        float s[PAIRS][PAIRS];
        scores<PAIRS>(s, q + row0 * (v.dim + 4), k + p0 * (v.dim + 4), v.dim);
#pragma unroll
        for (int i = 0; i < PAIRS * PAIRS; i++)
            score[row0 + i / PAIRS][p0 + i % PAIRS * 8] = s[i / PAIRS][i % PAIRS];
        __syncthreads(); /* k is used up too */
        if (t < last)
            load_k<TYPE>(k, tile_of(t + 1, 0), v.dim);
#pragma unroll
        for (int r = 0; r < OWN; r++) {
            float w, c;
            int n;
            weigh(row[r], v, score[OWN * warp + r][lane], t * KN_TILE + lane, t, w, c, n);
            weight[lane][OWN * warp + r] = w;
            if (lane == 0)
                shrink[OWN * warp + r] = c, until[OWN * warp + r] = n;
        }
        __syncthreads();
        if (column >= v.head_dim)
            continue;
        int n[EACH];
#pragma unroll
        for (int r = 0; r < EACH; r++) {
            n[r] = until[group + r];
            o[r][0] *= shrink[group + r];
            o[r][1] *= shrink[group + r];
        }
        add_values<TYPE, ROWS, EACH>(o, n, tile_of(t, 1), column, v.dim,
                                     (const float(*)[ROWS]) & weight[0][group]);
    }
#pragma unroll
    for (int r = 0; r < OWN; r++)
        if (lane == 0)
            total[OWN * warp + r] = row[r].l;
    __syncthreads();
#pragma unroll
    for (int r = 0; r < EACH; r++)
        for (int c = 0; c < 2; c++)
            if (column + c < v.head_dim && group + r < count)
                y[at + (group + r) * stride + column + c] = o[r][c] / total[group + r];
}

template <int TYPE, int ROWS>
static int start(struct kn_dev *d, float *y, const float *q, const struct view *v,
                 const int2 *items, int n_items)
{
    auto *kernel = v->dim <= 64    ? attend_several<TYPE, ROWS, ROWS / 8>
                   : v->dim <= 128 ? attend_several<TYPE, ROWS, ROWS / 4>
                                   : attend_several<TYPE, ROWS, ROWS / 2>;
    const size_t room = (size_t)((ROWS + KN_TILE) * (v->dim + 4)) * sizeof(float);
    if (room > 36 << 10) { /* beyond what a kernel has without asking, beside its own */
        int rc = cu_room(d, "room for attention", kernel, room);
        if (rc != KN_OK)
            return rc;
    }
    const int n_head = ROWS == HEADS ? v->n_head_kv : v->n_head;
    return cu_launch_room(d, "attention", kernel, (unsigned)n_items * (unsigned)n_head, WARPS * 32,
                          room, y, q, *v, items);
}

template <int ROWS>
static int by_cache(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                    const int2 *items, int n_items)
{
    return type == KN_F32   ? start<KN_F32, ROWS>(d, y, q, v, items, n_items)
           : type == KN_F16 ? start<KN_F16, ROWS>(d, y, q, v, items, n_items)
                            : start<KN_Q8_0, ROWS>(d, y, q, v, items, n_items);
}

int cu_attend_several(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                      const int2 *items, int n_items)
{
    return by_cache<ITEM_ROWS>(d, y, q, v, type, items, n_items);
}

int cu_shares_heads(const struct view *v)
{
    const int share = v->n_head / v->n_head_kv;
    return share >= HEADS / 2 && share <= HEADS;
}

int cu_attend_heads(struct kn_dev *d, float *y, const float *q, const struct view *v, int type,
                    const int2 *items, int n_items)
{
    return by_cache<HEADS>(d, y, q, v, type, items, n_items);
}
