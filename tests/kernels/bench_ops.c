/* bench_ops - how fast the products are: bytes/s of weights and arithmetic per type, shape and
 * batch
 *
 * usage: bench_ops [DEVICE [THREADS [TYPE...]]]     e.g.  bench_ops cpu:avx512 2 Q8_0 Q4_K
 *
 * First what plain loads read from 64 MiB, 512 MiB and 2 MiB in large pages; then each product: us,
 * GB/s of weights (in the file's size), its ratio to the first of those, GFLOP/s.  A weight is used
 * many times in a row, so a shape shows the cache that it fits: the last one, 34 to 256 MiB, is in
 * the third level of a large server and in memory elsewhere.
 * Run it alone; make check does not. */
#include "cpu/pool.h"
#include "kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct sweep {
    const uint64_t *p;
    size_t n;
    uint64_t sum[256][8];
};

static void sweep(void *ctx, int phase, int chunk, int thread)
{
    struct sweep *s = ctx;
    const uint64_t *p = s->p + (size_t)chunk * (s->n / 64);
    uint64_t a = 0, b = 0, c = 0, d = 0;
    (void)phase;
    for (size_t i = 0; i < s->n / 64;
         i += 8) { /* one word a quarter line: loads are not the limit */
        a += p[i], b += p[i + 2], c += p[i + 4], d += p[i + 6];
    }
    s->sum[thread][0] += a + b + c + d;
}

/* GB/s of reading `bytes` over and over, the best of some */
static double read_rate(struct pool *pool, size_t bytes)
{
    struct sweep *s = calloc(1, sizeof *s);
    uint64_t *p = aligned_alloc(2 << 20, bytes); /* as weights lie: see cpu/slab.h */
    double best = 0, end = now() + 0.3;
    int chunks = 64;
    if (!s || !p)
        exit(1);
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 1, bytes);
    s->p = p, s->n = bytes / 8;
    do {
        double t = now();
        pool_run(pool, sweep, s, &chunks, 1);
        double rate = (double)bytes / (now() - t) / 1e9;
        best = rate > best ? rate : best;
    } while (now() < end);
    free(p);
    free(s);
    return best;
}

static void product(struct kn_dev *d, int type, int m, int n, int k, double limit)
{
    size_t row = kn_row_bytes(type, (size_t)k), bytes = row * (size_t)n;
    uint8_t *rows = malloc(bytes);
    float *x = malloc((size_t)k * 4), *one = malloc((size_t)k * 4);
    struct kn_at ax, ay;
    struct kn_weight *w;
    if (!rows || !x || !one)
        exit(1);
    for (int i = 0; i < k; i++)
        one[i] = (float)(i * 37 % 101 - 50) / 50;
    for (int i = 0; i < n; i++) {
        if (i < 16)
            kn_quantize(type, one, rows + (size_t)i * row, (size_t)k);
        else
            memcpy(rows + (size_t)i * row, rows + (size_t)(i - 16) * row, row);
    }
    if (kn_weight_new(d, type, n, k, rows, KN_W_INFER, &w) ||
        kn_alloc(d, (size_t)m * (size_t)k * 4, &ax) || kn_alloc(d, (size_t)m * (size_t)n * 4, &ay))
        exit(1);
    for (int i = 0; i < m; i++)
        kn_write(d, kn_plus(ax, (size_t)i * (size_t)k * 4), one, (size_t)k * 4);
    double best = 1e9, end = now() + 0.25;
    int runs = 0;
    do {
        double t = now();
        kn_matmul(d, ay, ax, w, (struct kn_at){0}, m, 0);
        t = now() - t;
        best = t < best ? t : best;
    } while (now() < end || ++runs < 3);
    double rate = (double)bytes / best / 1e9;
    printf("%-5s %4d %6d %5d %10.1f %8.2f %6.2f %9.1f\n", kn_type_info(type)->name, m, n, k,
           best * 1e6, rate, rate / limit, 2.0 * m * n * k / best / 1e9);
    fflush(stdout);
    kn_weight_free(d, w);
    kn_free(d, ax);
    kn_free(d, ay);
    free(rows);
    free(x);
    free(one);
}

int main(int argc, char **argv)
{
    static const int types[] = {KN_Q8_0, KN_Q4_0, KN_Q4_1, KN_Q5_0, KN_Q5_1, KN_Q4_K,
                                KN_Q5_K, KN_Q6_K, KN_F32,  KN_F16,  KN_BF16};
    static const int shape[][2] = {
        {512, 512}, {1536, 512}, {512, 1536}, {8192, 512}, {16384, 4096}};
    static const int rows[] = {1, 8, 128};
    struct kn_dev *d;
    const char *name = argc > 1 ? argv[1] : "cpu";
    int err = kn_open(&d, name, argc > 2 ? atoi(argv[2]) : 0);
    if (err) {
        fprintf(stderr, "bench_ops: %s: %s\n", name, kn_strerror(err));
        return 69;
    }
    struct pool *pool = pool_new(d->n_threads);
    double big = read_rate(pool, (size_t)64 << 20), all = read_rate(pool, (size_t)512 << 20),
           cache = read_rate(pool, (size_t)2 << 20);
    pool_free(pool);
    printf("# %s, %d threads; reading 64 MiB %.1f GB/s, 512 MiB %.1f, 2 MiB %.1f\n", d->name,
           d->n_threads, big, all, cache);
    printf("# type   m      n     k         us     GB/s  /read   GFLOP/s\n");
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        int wanted = argc <= 3;
        for (int i = 3; i < argc; i++)
            wanted |= kn_type_by_name(argv[i]) == types[t];
        for (size_t s = 0; wanted && s < sizeof shape / sizeof *shape; s++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                product(d, types[t], rows[r], shape[s][0], shape[s][1], big);
    }
    kn_close(d);
    return 0;
}
