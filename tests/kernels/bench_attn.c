/* bench_attn - how fast attention is: prefill in % of the fma peak, decode in GB/s of cache read
 *
 * usage: bench_attn [DEVICE [THREADS [TYPE...]]]     e.g.  bench_attn cpu:avx512 2 f16
 *
 * The fma peak is measured on the same threads, eight independent chains of the device's widest
 * vectors.  A time is the least of several, for all layers of the shape.  Arithmetic counted: q . k and p . v
 * at positions that a row sees, 4 * head_dim a pair of (row, head) and position.
 * Run it alone; make check does not. */
#include "cpu/pool.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { PEAK_LOOPS = 200000, PEAK_CHAINS = 10 };
#if defined(__x86_64__)
#include <immintrin.h>
/* A row of chains written out: the compiler must keep them in registers. */
#define CHAINS(V, FMA, SET)                                                                        \
    V a = SET(1), b = SET(1e-9f), c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a,  \
      c8 = a, c9 = a;                                                                              \
    for (int i = 0; i < PEAK_LOOPS; i++) {                                                         \
        c0 = FMA(c0, a, b), c1 = FMA(c1, a, b), c2 = FMA(c2, a, b), c3 = FMA(c3, a, b);            \
        c4 = FMA(c4, a, b), c5 = FMA(c5, a, b), c6 = FMA(c6, a, b), c7 = FMA(c7, a, b);            \
        c8 = FMA(c8, a, b), c9 = FMA(c9, a, b);                                                    \
        __asm__ volatile("" : "+x"(c0), "+x"(c1), "+x"(c2), "+x"(c3), "+x"(c4));                   \
    }                                                                                              \
    V s[10] = {c0, c1, c2, c3, c4, c5, c6, c7, c8, c9};                                            \
    memcpy(sink, s, sizeof s)
__attribute__((target("avx2,fma"))) static int chains_256(void *sink)
{
    CHAINS(__m256, _mm256_fmadd_ps, _mm256_set1_ps);
    return 8;
}
__attribute__((target("avx512f"))) static int chains_512(void *sink)
{
    CHAINS(__m512, _mm512_fmadd_ps, _mm512_set1_ps);
    return 16;
}
#endif

struct peak {
    int wide;
    char sink[256][1024];
    int lanes;
};
static void run_chains(void *ctx, int phase, int chunk, int thread)
{
    struct peak *p = ctx;
    (void)phase, (void)chunk;
#if defined(__x86_64__)
    p->lanes = p->wide ? chains_512(p->sink[thread]) : chains_256(p->sink[thread]);
#else
    (void)thread;
#endif
}

/* GFLOP/s of fma on all threads, the best of some; 0 where it is not known */
static double fma_peak(const struct kn_dev *d)
{
    static struct peak p;
    struct pool *pool = pool_new(d->n_threads);
    double best = 0;
    int chunks = d->n_threads;
    p.wide = strstr(d->name, "avx512") != NULL;
    for (int i = 0; pool && i < 50; i++) {
        double t = now();
        pool_run(pool, run_chains, &p, &chunks, 1);
        t = 2.0 * PEAK_CHAINS * p.lanes * PEAK_LOOPS * chunks / (now() - t) / 1e9;
        best = t > best ? t : best;
    }
    pool_free(pool);
    return best;
}

struct shape {
    const char *name;
    int layers, n_head, n_head_kv, head_dim;
};

static struct kn_at filled(struct kn_dev *d, size_t n)
{
    struct kn_at a;
    float *x = malloc(n * sizeof *x);
    if (!x || kn_alloc(d, n * sizeof *x, &a))
        exit(1);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((i * 2654435761u >> 8) % 2000) / 1000 - 1;
    kn_write(d, a, x, n * sizeof *x);
    free(x);
    return a;
}

/* Rows [ctx, ctx + rows) of each of n_seq sequences, over a cache that holds what is before. */
static void measure(struct kn_dev *d, const struct shape *s, int type, int n_seq, int ctx, int rows,
                    double peak)
{
    enum { WRITE = 512 };
    const int blocks = (ctx + rows + KN_TILE - 1) / KN_TILE, n = n_seq * rows;
    const int most = n > WRITE ? n : WRITE;
    const size_t kv_row = (size_t)s->n_head_kv * (size_t)s->head_dim;
    const size_t q_row = (size_t)s->n_head * (size_t)s->head_dim;
    struct kn_attn a = {.n_head = s->n_head, .n_head_kv = s->n_head_kv, .head_dim = s->head_dim};
    struct kn_kv *kv;
    struct kn_batch *b;
    int32_t *i32 = calloc(3 * (size_t)most + (size_t)(n_seq * blocks), sizeof *i32);
    a.scale = 0.1f;
    if (!i32 || kn_batch_new(d, most, n_seq, blocks, &b) ||
        kn_kv_new(d, s->layers, n_seq * blocks, s->n_head_kv, s->head_dim, type, &kv))
        exit(1);
    struct kn_at k = filled(d, (size_t)most * kv_row), q = filled(d, (size_t)n * q_row);
    struct kn_at y = filled(d, (size_t)n * q_row);
    struct kn_rows r = {.n_seq = n_seq, .tok = i32, .pos = i32 + most, .seq = i32 + 2 * most};
    int32_t *pos = i32 + most, *seq = pos + most, *at = seq + most;
    r.blocks = at, r.out = i32;
    for (int i = 0; i < n_seq * blocks; i++) /* blocks of a sequence lie apart, as in use */
        at[i] = i % blocks * n_seq + i / blocks;
    for (int w = 0; w < n_seq; w++)
        for (int p = 0; p < ctx + rows; p += r.n_tok) {
            r.n_tok = ctx + rows - p < WRITE ? ctx + rows - p : WRITE;
            for (int i = 0; i < r.n_tok; i++)
                pos[i] = p + i, seq[i] = w;
            kn_batch_set(d, b, &r);
            for (int l = 0; l < s->layers; l++)
                kn_kv_write(d, kv, l, k, k, b);
        }
    r.n_tok = n;
    for (int i = 0; i < n; i++)
        pos[i] = ctx + i % rows, seq[i] = i / rows;
    kn_batch_set(d, b, &r);
    double best = 1e9, begin = now(), pairs = 0;
    for (int i = 0; i < n; i++)
        pairs += (double)s->n_head * (pos[i] + 1);
    do {
        double t = now();
        for (int l = 0; l < s->layers; l++)
            kn_attention(d, y, q, kv, l, &a, b);
        t = now() - t;
        best = t < best ? t : best;
    } while (now() - begin < 1.0);
    double flop = 4.0 * s->head_dim * pairs * s->layers / best / 1e9;
    double read =
        2.0 * (double)kn_row_bytes(type, kv_row) * n_seq * (ctx + rows) * s->layers / best / 1e9;
    printf("%-6s %-5s %4d %6d %5d %10.3f ms %9.1f GFLOP/s %5.1f %% of peak %8.2f GB/s\n", s->name,
           kn_type_info(type)->name, n_seq, ctx, rows, best * 1e3, flop,
           peak > 0 ? 100 * flop / peak : 0, read);
    fflush(stdout);
    kn_free(d, k), kn_free(d, q), kn_free(d, y);
    kn_kv_free(d, kv);
    kn_batch_free(d, b);
    free(i32);
}

int main(int argc, char **argv)
{
    static const struct shape shapes[] = {
        {"1.5B", 28, 12, 2, 128}, {"0.5B", 24, 14, 2, 64}, {"tiny", 8, 8, 4, 64}};
    static const int work[][3] = {{1, 0, 512},  {1, 4096, 256}, {4, 0, 128}, {1, 512, 1},
                                  {1, 8192, 1}, {8, 1024, 1},   {32, 256, 1}};
    static const int types[] = {KN_F32, KN_F16, KN_Q8_0};
    struct kn_dev *d;
    const char *name = argc > 1 ? argv[1] : "cpu";
    int err = kn_open(&d, name, argc > 2 ? atoi(argv[2]) : 0);
    if (err) {
        fprintf(stderr, "bench_attn: %s: %s\n", name, kn_strerror(err));
        return 69;
    }
    double peak = fma_peak(d);
    printf("# %s, %d threads, fma peak %.1f GFLOP/s\n# model cache seqs before rows\n", d->name,
           d->n_threads, peak);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            int wanted = argc <= 3;
            for (int i = 3; i < argc; i++)
                wanted |= kn_type_by_name(argv[i]) == types[t];
            for (size_t w = 0; wanted && w < sizeof work / sizeof *work; w++)
                measure(d, &shapes[s], types[t], work[w][0], work[w][1], work[w][2], peak);
        }
    kn_close(d);
    return 0;
}
