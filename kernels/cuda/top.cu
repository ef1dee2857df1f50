// top.cu - what comes first in a row of logits, and its mass (R6): so that whoever chooses a token reads some bytes a row
#include "cuda.h"
extern "C" {
#include "poly.h"
}

enum {
    THREADS = KN_TOP_LANES,
    ROOM = 4096, /* candidates that are looked at more closely: k of them and what lies near */
    FEW = 16,    /* rows up to which each is given to many blocks, of SHARE threads */
    SHARE = 256,
};
/* of a row that several blocks look at: zero before and after */
struct cu_first {
    unsigned long long best;
    unsigned done, bad;
};

/* A candidate as a number that is larger the earlier it comes; 0: none.  +0 and -0 are equal. */
__device__ static uint64_t rank_of(float logit, int id)
{
    const uint32_t u = __float_as_uint(logit + 0.0f);
    return (uint64_t)(u >> 31 ? ~u : u | 0x80000000u) << 32 | ~(uint32_t)id;
}

/* list(n) descending; n a power of two */
__device__ static void sort(uint64_t *list, int n)
{
    for (int run = 2; run <= n; run *= 2)
        for (int step = run / 2; step > 0; step /= 2) {
            for (int i = threadIdx.x; i < n; i += THREADS) {
                const int other = i ^ step;
                const uint64_t a = list[i], b = list[other];
                if (other > i && (a < b) == ((i & run) == 0)) {
                    list[i] = b;
                    list[other] = a;
                }
            }
            __syncthreads();
        }
}

__device__ static uint64_t most(uint64_t r)
{
    for (int o = 16; o > 0; o /= 2) {
        const uint64_t other = __shfl_xor_sync(~0u, r, o);
        r = other > r ? other : r;
    }
    return r;
}

/* A block for a row, a thread for a lane.  The k-th of what each thread has first comes no earlier than the k-th of all: what
 * comes no later than it is collected and sorted. */
__global__ static void top(struct kn_top *out, const float *logits, int n, int n_real, int k,
                           int flags)
{
    __shared__ uint64_t list[ROOM];
    __shared__ int found;
    const float *x = logits + (size_t)blockIdx.x * n;
    struct kn_top *t = out + blockIdx.x;
    const int lane = threadIdx.x;
    uint64_t first = 0;
    int bad = 0;
#pragma unroll 8
    for (int i = lane; i < n_real; i += THREADS) {
        const float v = x[i];
        const uint64_t r = rank_of(v, i);
        bad |= v != v;
        first = r > first ? r : first;
    }
    if (lane == 0)
        found = 0;
    if (__syncthreads_or(bad)) {
        if (lane == 0)
            t->nan = 1, t->n = 0, t->mass = 0;
        return;
    }
    uint64_t best, least;
    if (k == 1) {
        const uint64_t r = most(first);
        if (lane % 32 == 0)
            list[lane / 32] = r;
        __syncthreads();
        best = least = most(list[lane % 32]);
    } else {
        list[lane] = first;
        __syncthreads();
        sort(list, THREADS);
        best = list[0];
        least = list[k - 1];
    }
    __syncthreads();
    const float max = x[~(uint32_t)best];
    double sum = 0;
    if (k == 1 && lane == 0)
        list[0] = best, found = 1;
    if (k > 1 || flags & KN_TOP_MASS) {
#pragma unroll 4
        for (int i = lane; i < n_real; i += THREADS) {
            const float v = x[i];
            const uint64_t r = rank_of(v, i);
            if (flags & KN_TOP_MASS)
                sum += kn_exp(v - max);
            if (k > 1 && r >= least) {
                const int at = atomicAdd(&found, 1);
                if (at < ROOM)
                    list[at] = r;
            }
        }
    }
    __syncthreads();
    const int some = found;
    int whole = 1;
    while (whole < some && whole < ROOM)
        whole *= 2;
    if (some > 1 && some <= ROOM) {
        for (int i = some + lane; i < whole; i += THREADS)
            list[i] = 0;
        __syncthreads();
        sort(list, whole);
    }
    const int kept = some > ROOM ? 0 : some < k ? some : k;
    if (lane < kept) {
        const int id = (int)~(uint32_t)list[lane];
        t->cand[lane] = {x[id], id};
    }
    if (lane == 0)
        t->n = kept, t->nan = 0, t->mass = 0;
    if (flags & KN_TOP_MASS) {
        double *lanes = (double *)list;
        __syncthreads();
        lanes[lane] = sum;
        __syncthreads();
        for (int half = THREADS / 2; half > 0; half /= 2) {
            if (lane < half)
                lanes[lane] += lanes[lane + half];
            __syncthreads();
        }
        if (lane == 0)
            t->mass = lanes[0];
    }
}

/* The first of a row alone, by so many blocks that the card reads at full speed; the last of them says it. */
__global__ static void first(struct kn_top *out, const float *logits, struct cu_first *room, int n,
                             int n_real)
{
    const float *x = logits + (size_t)blockIdx.y * n;
    struct cu_first *at = room + blockIdx.y;
    uint64_t r = 0;
    int bad = 0;
#pragma unroll 8
    for (int i = blockIdx.x * SHARE + threadIdx.x; i < n_real; i += gridDim.x * SHARE) {
        const float v = x[i];
        const uint64_t other = rank_of(v, i);
        bad |= v != v;
        r = other > r ? other : r;
    }
    r = most(r);
    if (threadIdx.x % 32 == 0)
        atomicMax(&at->best, (unsigned long long)r);
    if (__syncthreads_or(bad) && threadIdx.x == 0)
        atomicOr(&at->bad, 1u);
    if (threadIdx.x != 0)
        return;
    __threadfence();
    if (atomicAdd(&at->done, 1u) + 1 < gridDim.x)
        return;
    __threadfence();
    const int id = (int)~(uint32_t)atomicExch(&at->best, 0ull);
    struct kn_top *t = out + blockIdx.y;
    t->nan = (int32_t)atomicExch(&at->bad, 0u);
    t->n = t->nan ? 0 : 1;
    t->mass = 0;
    t->cand[0] = {t->nan ? 0 : x[id], t->nan ? 0 : id};
    at->done = 0;
}

static int first_of(struct kn_dev *d, struct kn_at out, struct kn_at logits, int m, int n,
                    int n_real)
{
    struct cu_dev *c = cu_dev(d);
    if (!c->first) {
        int rc = cu_status(d, cudaMalloc(&c->first, FEW * sizeof *c->first), "room for candidates");
        if (rc == KN_OK)
            rc = cu_status(d, cudaMemsetAsync(c->first, 0, FEW * sizeof *c->first, c->stream),
                           "room for candidates");
        if (rc != KN_OK)
            return rc;
    }
    const unsigned wave = cu_blocks((size_t)n_real, SHARE * 8),
                   most = 2 * (unsigned)c->processors / (unsigned)m + 1;
    first<<<dim3(wave < most ? wave : most, m), SHARE, 0, c->stream>>>(
        (struct kn_top *)cu_f32(out), cu_f32(logits), c->first, n, n_real);
    return cu_launched(d, "the first of logits");
}

int cu_top(struct kn_dev *d, struct kn_at out, struct kn_at logits, int m, int n, int n_real, int k,
           int flags)
{
    if (m == 0)
        return KN_OK;
    if (k == 1 && !(flags & KN_TOP_MASS) && m <= FEW)
        return first_of(d, out, logits, m, n, n_real);
    top<<<m, THREADS, 0, cu_dev(d)->stream>>>((struct kn_top *)cu_f32(out), cu_f32(logits), n,
                                              n_real, k, flags);
    return cu_launched(d, "the first of logits");
}
