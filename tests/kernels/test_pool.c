/* test_pool.c - kernels/cpu/pool: every chunk once, phases in order, beside busy threads and other
 * processes; who is pinned where */
#include "cpu/pool.h"

#include "tap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
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

/* Processes with a pool of two threads each, and busy ones: of each whether it ended well in time. */
static int processes(int pools, int busy, int policy)
{
    enum { MOST = 8, SECONDS = 120 };
    pid_t pid[MOST];
    int fine = 1, status;
    for (int i = 0; i < pools + busy; i++) {
        if ((pid[i] = fork()) != 0)
            continue;
        alarm(SECONDS); /* a pool that hangs dies of it */
        struct sched_param none = {0};
        if (i >= pools) {
            sched_setscheduler(0, policy, &none);
            burn(NULL);
        }
        struct pool *p = pool_new(2);
        _exit(p && rounds(p, 2000) ? 0 : 1);
    }
    for (int i = 0; i < pools; i++)
        fine &= pid[i] > 0 && waitpid(pid[i], &status, 0) == pid[i] && status == 0;
    for (int i = pools; i < pools + busy; i++)
        fine &= pid[i] > 0 && kill(pid[i], SIGKILL) == 0 && waitpid(pid[i], &status, 0) == pid[i];
    return fine;
}

/* ---- pinning */
static cpu_set_t where[POOL_MAX_THREADS];
static atomic_int seen;

/* chunks that wait for each other: every thread runs one */
static void look(void *ctx, int phase, int chunk, int thread)
{
    const int n = *(int *)ctx;
    (void)phase, (void)chunk;
    sched_getaffinity(0, sizeof where[thread], &where[thread]);
    for (atomic_fetch_add(&seen, 1); atomic_load(&seen) < n;)
        sched_yield();
}

/* Workers that are pinned to one CPU of `all`, each to another; -1: a worker outside `all`, or the
 * caller's CPUs are no longer `all`. */
static int pinned(int n_threads, const cpu_set_t *all)
{
    struct pool *p = pool_new(n_threads);
    cpu_set_t taken, both;
    int n = n_threads, found = 0;
    atomic_store(&seen, 0);
    CPU_ZERO(&taken);
    pool_run(p, look, &n, &n, 1);
    for (int i = 0; i < n; i++) {
        CPU_AND(&both, &where[i], all);
        if (!CPU_EQUAL(&both, &where[i]) || (i == 0 && !CPU_EQUAL(&both, all)))
            found = -n;
        CPU_AND(&both, &where[i], &taken);
        found += i > 0 && CPU_COUNT(&where[i]) == 1 && CPU_COUNT(&both) == 0;
        if (i > 0)
            CPU_OR(&taken, &taken, &where[i]);
    }
    pool_free(p);
    return found < 0 ? -1 : found;
}

static void test_pinning(void)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    const int n = CPU_COUNT(&all);
    unsetenv("APR_PIN");
    if (n < 2 || n > POOL_MAX_THREADS) {
        skip("pinning: %d CPUs", n);
        return;
    }
    ok(pinned(n, &all) == n - 1, "%d threads on %d CPUs: workers pinned, the caller not", n, n);
    ok(pinned(n + 1, &all) == 0, "more threads than CPUs: none is pinned");
    if (n > 2)
        ok(pinned(2, &all) == 0, "fewer threads than CPUs: none is pinned");
    setenv("APR_PIN", "0", 1);
    ok(pinned(n, &all) == 0, "APR_PIN=0: none is pinned");
    unsetenv("APR_PIN");
    CPU_ZERO(&one);
    for (int c = 0; c < CPU_SETSIZE && !CPU_COUNT(&one); c++)
        if (CPU_ISSET(c, &all))
            CPU_SET(c, &one);
    sched_setaffinity(0, sizeof one, &one);
    struct pool *p = pool_new(0);
    ok(pool_threads(p) == 1, "one CPU of the process's: one thread");
    pool_free(p);
    sched_setaffinity(0, sizeof all, &all);
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
    ok(processes(2, 0, SCHED_OTHER), "two processes of two threads");
    ok(processes(2, 3, SCHED_OTHER), "and beside three busy ones");
    ok(processes(2, 3, SCHED_IDLE), "and beside three that take what is left");
    test_pinning();
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
