/* bench_pool.c - what a phase of the pool costs beside its work, and what a busy neighbour takes
 *
 * usage: bench_pool [THREADS [SECONDS]]
 *
 * First the overhead: phases of as many chunks as threads, and of four times as many, each chunk
 * busy for a set time by the clock; overhead is the median of a phase's time less its chunks'.  Then
 * the work done a second (a fixed number of multiplications, so that time in which a thread is put
 * aside is not counted) in phases like a decode step's, for a neighbour to be compared with: see
 * tests/slow/busy-neighbour.sh.  make check does not run it. */
#include "cpu/pool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct load {
    double seconds; /* of a chunk */
    long turns[2];  /* of a chunk, phases in turns */
};
static struct {
    _Alignas(64) volatile uint64_t x;
} sink[POOL_MAX_THREADS];

static void timed(void *ctx, int phase, int chunk, int thread)
{
    const struct load *l = ctx;
    double end = now() + l->seconds;
    (void)phase, (void)chunk, (void)thread;
    while (l->seconds > 0 && now() < end)
        ;
}

static void counted(void *ctx, int phase, int chunk, int thread)
{
    const struct load *l = ctx;
    uint64_t x = (uint64_t)chunk;
    for (long i = 0; i < l->turns[phase % 2]; i++)
        x = x * 6364136223846793005u + 1;
    sink[thread].x = x;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void overhead(struct pool *p, double us, int per_thread)
{
    enum { RUNS = 1000, PHASES = POOL_MAX_PHASES };
    static double t[RUNS];
    struct load l = {.seconds = us * 1e-6};
    int n[PHASES];
    for (int i = 0; i < PHASES; i++)
        n[i] = per_thread * pool_threads(p);
    for (int i = 0; i < RUNS; i++) {
        double start = now();
        pool_run(p, timed, &l, n, PHASES);
        t[i] = (now() - start) / PHASES;
    }
    qsort(t, RUNS, sizeof *t, by_value);
    printf("%d threads, %2d chunks of %4.1f us: a phase costs %6.0f ns beside them (median; best "
           "%.0f)\n",
           pool_threads(p), n[0], us, (t[RUNS / 2] - us * 1e-6 * per_thread) * 1e9,
           (t[0] - us * 1e-6 * per_thread) * 1e9);
}

static void rate(struct pool *p, double us, double seconds)
{
    const double turns_a_us = 612; /* about: 4 cycles each */
    struct load l = {.turns = {(long)turns_a_us, (long)(turns_a_us * us)}};
    int n[4], jobs = 0;
    double start = now();
    for (int i = 0; i < 4; i++)
        n[i] = 4 * pool_threads(p);
    for (; now() < start + seconds; jobs++)
        pool_run(p, counted, &l, n, 4);
    printf("%d threads, phases of %d chunks of 1 and %.0f us: %.0f jobs/s\n", pool_threads(p), n[0],
           us, jobs / (now() - start));
}

int main(int argc, char **argv)
{
    struct pool *p = pool_new(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0);
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
    if (!p)
        return 71;
    for (int per = 1; per <= 4; per *= 4) {
        overhead(p, 0, per);
        overhead(p, 0.5, per);
        overhead(p, 5, per);
    }
    rate(p, 5, seconds);
    rate(p, 60, seconds);
    pool_free(p);
    return 0;
}
