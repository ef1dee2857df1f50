/* pool.c - threads that share a job of phases and chunks */
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() ((void)0)
#endif

/* The ticket says everything a claim needs in one word, so that a late thread can never mistake one
 * phase for another: sequence number of the phase, its chunks, the next free chunk. */
#define T_NEXT(t)      ((uint32_t)(t)&0x1fffff)
#define T_N(t)         ((uint32_t)((t) >> 21) & 0x1fffff)
#define T_SEQ(t)       ((uint32_t)((t) >> 42))
#define T_MAKE(seq, n) ((uint64_t)(seq) << 42 | (uint64_t)(n) << 21)

/* About 40 us of pause instructions (140 cycles each on recent cores, 40 on old ones): longer than
 * the gaps inside a step, shorter than what another process would miss. */
enum { SPIN = 800 };

struct pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) atomic_int done;
    _Alignas(64) atomic_uint gen; /* futex word: changes whenever the ticket is replaced */
    atomic_int sleepers;
    _Alignas(64) atomic_int quit;
    /* the job: written before the ticket is published, read after a claim */
    pool_fn *fn;
    void *ctx;
    int phase, n_phase;
    int n_chunk[POOL_MAX_PHASES];
    int n_threads;
    pthread_t *threads;
    struct start {
        struct pool *p;
        int index;
    } * starts;
};

static void publish(struct pool *p, uint64_t t)
{
    atomic_store(&p->ticket, t);
    atomic_fetch_add(&p->gen, 1);
    if (atomic_load(&p->sleepers))
        syscall(SYS_futex, &p->gen, FUTEX_WAKE_PRIVATE, POOL_MAX_THREADS, NULL, NULL, 0);
}

/* Called by the one thread that completed a phase: the next phase that has chunks, or the end. */
static void advance(struct pool *p, uint32_t seq)
{
    int n = 0;
    while (++p->phase < p->n_phase && !(n = p->n_chunk[p->phase]))
        ;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    publish(p, T_MAKE((seq + 1) & 0x3fffff, p->phase < p->n_phase ? n : 0));
}

/* Claim and run chunks of the current phase until none is left; 0 if there was nothing to do. */
static int work(struct pool *p, int thread)
{
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    if (T_NEXT(t) >= T_N(t))
        return 0;
    int ran = 0;
    uint32_t seq = 0, n = 0;
    for (;;) {
        t = atomic_fetch_add_explicit(&p->ticket, 1, memory_order_acq_rel);
        if (T_NEXT(t) >= T_N(t))
            break;
        /* the phase cannot change while a claimed chunk of it is not counted as done */
        seq = T_SEQ(t), n = T_N(t);
        p->fn(p->ctx, p->phase, (int)T_NEXT(t), thread);
        ran++;
    }
    if (ran && atomic_fetch_add_explicit(&p->done, ran, memory_order_acq_rel) + ran == (int)n)
        advance(p, seq);
    return 1;
}

/* Wait for a ticket with work in it, or for one whose sequence number is `until`. */
static int idle(struct pool *p, int until)
{
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
    return T_NEXT(t) >= T_N(t) && !(until >= 0 && !T_N(t)) && !atomic_load(&p->quit);
}
static void wait_ticket(struct pool *p, int until)
{
    for (int i = 0; i < SPIN; i++) {
        if (!idle(p, until))
            return;
        pause_cpu();
    }
    atomic_fetch_add(&p->sleepers, 1);
    unsigned gen = atomic_load(&p->gen);
    if (idle(p, until))
        syscall(SYS_futex, &p->gen, FUTEX_WAIT_PRIVATE, gen, NULL, NULL, 0);
    atomic_fetch_sub(&p->sleepers, 1);
}

static void *worker(void *arg)
{
    struct start *s = arg;
    struct pool *p = s->p;
    while (!atomic_load(&p->quit))
        if (!work(p, s->index))
            wait_ticket(p, -1);
    return NULL;
}

struct pool *pool_new(int n_threads)
{
    if (n_threads <= 0) {
        cpu_set_t set;
        n_threads = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    }
    if (n_threads > POOL_MAX_THREADS)
        n_threads = POOL_MAX_THREADS;
    struct pool *p = aligned_alloc(64, (sizeof *p + 63) & ~(size_t)63);
    if (!p)
        return NULL;
    *p = (struct pool){.n_threads = 1};
    p->threads = calloc((size_t)n_threads, sizeof *p->threads);
    p->starts = calloc((size_t)n_threads, sizeof *p->starts);
    int ok = p->threads && p->starts;
    for (; ok && p->n_threads < n_threads; p->n_threads += ok) {
        int i = p->n_threads;
        p->starts[i] = (struct start){p, i};
        ok = !pthread_create(&p->threads[i], NULL, worker, &p->starts[i]);
    }
    if (ok)
        return p;
    pool_free(p);
    return NULL;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    atomic_store(&p->quit, 1);
    atomic_fetch_add(&p->gen, 1);
    syscall(SYS_futex, &p->gen, FUTEX_WAKE_PRIVATE, POOL_MAX_THREADS, NULL, NULL, 0);
    for (int i = 1; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    free(p->threads);
    free(p->starts);
    free(p);
}

int pool_threads(const struct pool *p)
{
    return p->n_threads;
}

int pool_chunks(const struct pool *p, int n, int least)
{
    int most = p->n_threads == 1 ? 1 : 4 * p->n_threads;
    int c = n / (least > 0 ? least : 1);
    c = c < most ? c : most;
    return c > 0 ? c : n > 0;
}

void pool_run(struct pool *p, pool_fn *fn, void *ctx, const int *n_chunk, int n_phase)
{
    int first = 0;
    while (first < n_phase && !n_chunk[first])
        first++;
    if (first == n_phase)
        return;
    if (p->n_threads == 1) {
        for (int i = first; i < n_phase; i++)
            for (int c = 0; c < n_chunk[i]; c++)
                fn(ctx, i, c, 0);
        return;
    }
    p->fn = fn, p->ctx = ctx, p->phase = first, p->n_phase = n_phase;
    for (int i = 0; i < n_phase; i++)
        p->n_chunk[i] = n_chunk[i];
    uint64_t t = atomic_load(&p->ticket);
    publish(p, T_MAKE((T_SEQ(t) + 1) & 0x3fffff, n_chunk[first]));
    for (;;) {
        if (work(p, 0))
            continue;
        t = atomic_load_explicit(&p->ticket, memory_order_acquire);
        if (!T_N(t))
            return; /* the ticket after the last phase has no chunks */
        wait_ticket(p, 0);
    }
}
