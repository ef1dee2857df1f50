/* many - R1 for many rows of activations: exact integer products by the tensor cores, a lane of R1 a warp
 *
 * A block of threads makes 32 rows of w by 8 TILES tokens.  Warp l takes the blocks of lane l, so that each
 * lane's chain of fma is in one warp, and the fold is that of few.cu.  Fragments are read straight from memory. */
#include "cuda/mma.h"

template <int TYPE, int TILES>
__global__ __launch_bounds__(256, 2) static void many(const __grid_constant__ struct products ps,
                                                      struct act a, int m)
{
    constexpr struct form F = form_of(TYPE);
    constexpr int TOKENS = 8 * TILES, WIDE = GROUP + 4; /* no two of a store in one bank */
    extern __shared__ float lanes[];                    /* (8, TOKENS, WIDE) */
    const int warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int k = ps.k, n_block = ps.n_block, first = blockIdx.x * TOKENS;
    int group = blockIdx.y;
    const struct product p = ps.p[product_of(ps, &group)];
    const size_t eight = first / 8;
    float acc[4][TILES][2] = {};
    begin_next();
    after();
    struct operands o = {.w = p.w + (size_t)group * n_block * (size_t)(GROUP * F.bytes),
                         .q = a.q + eight * k * 8,
                         .sums = a.split + eight * k,
                         .scale = a.scale + eight * (k / F.len) * 8,
                         .q_next = (size_t)k * 8,
                         .sums_next = (size_t)k,
                         .scale_next = (size_t)(k / F.len) * 8};
    for (int b = warp; b < n_block; b += 8) {
        struct operands at = o;
        at.w += (size_t)b * (GROUP * F.bytes);
        at.q += (size_t)b * F.len * 8;
        at.sums = (const char *)o.sums + (size_t)b * SUM_BYTES<F.len>;
        at.scale += (size_t)b * 8;
        multiply<TYPE, TILES, false>(acc, at, g, t);
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
        put_sum(p, first + token, j, fold8(f));
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
    return by_type(type, [=]<int TYPE>() { return launch<TYPE>(d, p, m); });
}
