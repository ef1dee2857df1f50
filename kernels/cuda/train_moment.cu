/* train_moment - AdamW and momentum over moments in bf16 or 8 bits (T4 to T6 of train.h): a block of threads for 256 elements */
#include "cuda/train_ops.h"
#include <math.h>
extern "C" {
#include "moment.h"
}
#include "moment_book.h"
#include "philox.h"

enum { BLOCK = KN_MOMENT_BLOCK };
struct cu_books {
    struct kn_book of[2]; /* [is_signed] */
};

/* What a step needs beside its operands. */
struct step {
    float lr, b1, c1, b2, c2, eps, decay, scale, m, v;
    uint64_t seed, t, first;
    const struct cu_books *books;
};

template <int TYPE>
__device__ static float load(const struct step &s, int is_signed, const void *from, size_t i)
{
    if (TYPE == KN_MOMENT_F32)
        return ((const float *)from)[i];
    if (TYPE == KN_MOMENT_BF16)
        return __uint_as_float((uint32_t)((const uint16_t *)from)[i] << 16);
    const struct kn_block8 *b = (const struct kn_block8 *)from + i / BLOCK;
    return b->scale * s.books->of[is_signed].map[b->code[i % BLOCK]];
}

/* The largest absolute value of a block's; NaN counts for nothing. */
__device__ static float most_of(float x)
{
    __shared__ float lane[BLOCK / 32];
    x = fabsf(x);
    for (int o = 16; o > 0; o /= 2)
        x = fmaxf(x, __shfl_xor_sync(~0u, x, o));
    __syncthreads(); /* of the moment before */
    if (threadIdx.x % 32 == 0)
        lane[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < BLOCK / 32; i++)
        x = fmaxf(x, lane[i]);
    return x;
}

/* How many of the book's middles are below y. */
__device__ static int code_of(const struct kn_book &b, float y)
{
    int c = 0;
    for (int half = KN_CODES / 2; half > 0; half /= 2)
        c += y > b.mid[c + half - 1] ? half : 0;
    return c;
}

/* Of element i, all threads of the block together; beyond n they fill the last block up. */
template <int TYPE>
__device__ static void store(const struct step &s, int is_signed, void *to, size_t i, size_t n,
                             float x, uint32_t draw)
{
    if (TYPE == KN_MOMENT_F32 && i < n)
        ((float *)to)[i] = x;
    if (TYPE == KN_MOMENT_BF16 && i < n)
        ((uint16_t *)to)[i] =
            (uint16_t)((__float_as_uint(x) + (is_signed ? draw & 0xffff : draw >> 16)) >> 16);
    if (TYPE != KN_MOMENT_8BIT)
        return;
    struct kn_block8 *b = (struct kn_block8 *)to + blockIdx.x;
    const struct kn_book &book = s.books->of[is_signed];
    const float most = most_of(i < n ? x : 0);
    int c = book.zero;
    if (i < n && most > 0) {
        c = code_of(book, x / most);
        if (!is_signed && c == book.zero && x > 0)
            c++;
    }
    b->code[threadIdx.x] = (uint8_t)c;
    if (threadIdx.x == 0)
        b->scale = most;
}

template <int TYPE> __device__ static uint32_t draw_of(const struct step &s, size_t i)
{
    uint32_t x[4] = {0, 0, 0, 0};
    if (TYPE != KN_MOMENT_BF16)
        return 0;
    kn_philox(s.seed, s.t, (s.first + i) / 4, x);
    const int k = (int)((s.first + i) % 4);
    return k == 0 ? x[0] : k == 1 ? x[1] : k == 2 ? x[2] : x[3];
}

template <int TYPE>
__global__ static void adamw(float *w, const float *g, void *m, void *v, size_t n,
                             const __grid_constant__ struct step s)
{
    const size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    float mi = 0, vi = 0;
    if (i < n) {
        const float gi = g[i] * s.scale;
        mi = fmaf(s.b1, load<TYPE>(s, 1, m, i), s.c1 * gi);
        vi = fmaf(s.b2, load<TYPE>(s, 0, v, i), s.c2 * gi * gi);
        const float wi = w[i] - s.decay * w[i];
        w[i] = wi - s.lr * (mi * s.m / (sqrtf(vi * s.v) + s.eps));
    }
    if (TYPE == KN_MOMENT_8BIT)
        __syncthreads(); /* the block's scale and codes are read */
    const uint32_t draw = draw_of<TYPE>(s, i);
    store<TYPE>(s, 1, m, i, n, mi, draw);
    store<TYPE>(s, 0, v, i, n, vi, draw);
}

template <int TYPE>
__global__ static void momentum(float *out, const float *g, void *m, size_t n,
                                const __grid_constant__ struct step s)
{
    const size_t i = (size_t)blockIdx.x * BLOCK + threadIdx.x;
    float mi = 0;
    if (i < n) {
        const float gi = s.scale * g[i];
        mi = fmaf(s.b1, load<TYPE>(s, 1, m, i), gi);
        out[i] = fmaf(s.b1, mi, gi);
    }
    if (TYPE == KN_MOMENT_8BIT)
        __syncthreads();
    store<TYPE>(s, 1, m, i, n, mi, draw_of<TYPE>(s, i));
}

static int begin(struct kn_dev *d, const struct kn_adamw *h, struct step *s)
{
    struct cu_dev *c = cu_dev(d);
    if (h->moment == KN_MOMENT_8BIT && !c->books) {
        struct cu_books both;
        for (int i = 0; i < 2; i++)
            kn_make_book(&both.of[i], i);
        int rc = cu_status(d, cudaMalloc(&c->books, sizeof both), "8-bit values");
        if (rc == KN_OK)
            rc = cu_status(
                d, cudaMemcpyAsync(c->books, &both, sizeof both, cudaMemcpyHostToDevice, c->stream),
                "8-bit values");
        if (rc == KN_OK)
            rc = cu_status(d, cudaStreamSynchronize(c->stream), "8-bit values");
        if (rc != KN_OK)
            return rc;
    }
    *s = {h->lr,
          h->beta1,
          (float)(1 - (double)h->beta1),
          h->beta2,
          (float)(1 - (double)h->beta2),
          h->eps,
          (float)((double)h->lr * h->weight_decay),
          h->grad_scale,
          (float)(1 / (1 - pow(h->beta1, (double)h->t))),
          (float)(1 / (1 - pow(h->beta2, (double)h->t))),
          h->seed,
          (uint64_t)h->t,
          h->first,
          c->books};
    return KN_OK;
}

int cu_train_adamw_small(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                         struct kn_at v, size_t n, const struct kn_adamw *h)
{
    struct step s;
    int rc = begin(d, h, &s);
    if (rc != KN_OK || n == 0)
        return rc;
    const auto kernel = h->moment == KN_MOMENT_8BIT ? adamw<KN_MOMENT_8BIT> : adamw<KN_MOMENT_BF16>;
    kernel<<<cu_blocks(n, BLOCK), BLOCK, 0, cu_dev(d)->stream>>>(cu_f32(w), cu_f32(g), cu_f32(m),
                                                                 cu_f32(v), n, s);
    return cu_launched(d, "AdamW");
}

int cu_train_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                      const struct kn_adamw *h)
{
    struct step s;
    int rc = begin(d, h, &s);
    if (rc != KN_OK || n == 0)
        return rc;
    const auto kernel = h->moment == KN_MOMENT_8BIT   ? momentum<KN_MOMENT_8BIT>
                        : h->moment == KN_MOMENT_BF16 ? momentum<KN_MOMENT_BF16>
                                                      : momentum<KN_MOMENT_F32>;
    kernel<<<cu_blocks(n, BLOCK), BLOCK, 0, cu_dev(d)->stream>>>(cu_f32(out), cu_f32(g), cu_f32(m),
                                                                 n, s);
    return cu_launched(d, "momentum");
}
