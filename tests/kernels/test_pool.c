/* test_pool.c - kernels/cpu/pool: every chunk once, phases in order, beside busy threads */
#include "cpu/pool.h"

#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { N = 1000 };
static atomic_int hits[POOL_MAX_PHASES][N], bad;
static int want[POOL_MAX_PHASES];

static void count(void *ctx, int phase, int chunk, int thread)
{
    (void)thread;
    int n_phase = *(int *)ctx;
    atomic_fetch_add(&hits[phase][chunk], 1);
    for (int p = 0; p < n_phase; p++) { /* all before is done, nothing after has begun */
        int c = p < phase ? want[p] - 1 : 0;
        if (p != phase && want[p] && (atomic_load(&hits[p][c]) != 0) != (p < phase))
            atomic_store(&bad, 1);
    }
}

static int exact(int n_phase)
{
    for (int p = 0; p < n_phase; p++)
        for (int c = 0; c < N; c++)
            if (hits[p][c] != (c < want[p]))
                return 0;
    return !bad;
}

static atomic_int stop;
static void *burn(void *arg)
{
    while (!atomic_load(&stop))
        ;
    return arg;
}

static int rounds(struct pool *p, int n)
{
    int ok = 1;
    for (int i = 0; i < n; i++) {
        int n_phase = 1 + i % POOL_MAX_PHASES;
        for (int k = 0; k < n_phase; k++)
            want[k] = (i * 7 + k * 13) % 11 ? (i * 31 + k * 17) % 40 : 0;
        memset(hits, 0, sizeof hits);
        pool_run(p, count, &n_phase, want, n_phase);
        ok &= exact(n_phase);
        if (i % 97 == 0)
            usleep(200); /* let the workers fall asleep */
    }
    return ok;
}

int main(void)
{
    static const int threads[] = {1, 2, 3, 8};
    for (int i = 0; i < 4; i++) {
        struct pool *p = pool_new(threads[i]);
        ok(p && pool_threads(p) == threads[i], "%d threads", threads[i]);
        ok(rounds(p, 500), "every chunk once, phases in order");
        pool_free(p);
    }
    pthread_t busy[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&busy[i], NULL, burn, NULL);
    struct pool *p = pool_new(2);
    ok(rounds(p, 200), "beside three busy threads");
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(busy[i], NULL);
    ok(pool_chunks(p, 0, 4) == 0 && pool_chunks(p, 3, 4) == 1 && pool_chunks(p, 1000, 1) == 8,
       "chunks of a range");
    int a, b, last = 0, whole = 1;
    for (int c = 0; c < 7; c++, last = b) {
        pool_part(100, 7, c, &a, &b);
        whole &= a == last && b > a;
    }
    ok(whole && last == 100, "parts cover the range");
    pool_free(p);
    return done_testing();
}
