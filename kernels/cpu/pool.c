/* pool.c - threads that share a job of phases and chunks */
#include "pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() ((void)0)
#endif

/* The ticket names the phase and its chunks in one word: a number that only grows, and the chunks.
 * Each thread has a share of every phase's chunks and a word for the next of them, marked with the
 * phase's number.  A thread takes its own first, which costs no traffic between cores, then the
 * others'.  A late thread can never mistake one phase for another: words do not go back, and when a
 * phase is over every share of it is used up. */
enum { N_BITS = 21 };
#define T_N(t)         ((int)((t) & ((1u << N_BITS) - 1)))
#define T_SEQ(t)       ((t) >> N_BITS)
#define T_MAKE(seq, n) ((uint64_t)(seq) << N_BITS | (uint64_t)(n))

/* About 40 us of pause instructions (140 cycles each on recent Intel cores, 40 to 65 elsewhere):
 * longer than the gaps inside a step, shorter than what another process would miss. */
enum { SPIN = 800 };

struct pool {
    _Alignas(64) _Atomic uint64_t ticket; /* 0 chunks: the job is over */
    _Alignas(64) atomic_int done;
    _Alignas(64) atomic_uint gen; /* futex word: changes whenever somebody is woken */
    atomic_int sleepers, quit;
    /* the job: written before its first ticket, read after a claim */
    _Alignas(64) pool_fn *fn;
    void *ctx;
    uint64_t first; /* the number of its phase 0 */
    int n_phase;
    int n_chunk[POOL_MAX_PHASES];
    int n_threads;
    pthread_t *threads;
    struct slot {
        _Alignas(64) _Atomic uint64_t next; /* of the thread's share: T_MAKE(phase, chunk) */
        struct pool *p;
        int index;
    } * slots;
};

static void wake_all(struct pool *p)
{
    atomic_fetch_add(&p->gen, 1);
    syscall(SYS_futex, &p->gen, FUTEX_WAKE_PRIVATE, POOL_MAX_THREADS, NULL, NULL, 0);
}

/* Whoever goes to sleep counts himself first and looks at the ticket after: one of both is seen.  An
 * exchange, as QEMU lets the load overtake an aarch64 store-release, and a wake-up was lost. */
static void publish(struct pool *p, uint64_t t)
{
    atomic_exchange(&p->ticket, t);
    if (atomic_load(&p->sleepers))
        wake_all(p);
}

/* The first phase from `phase` on that has chunks, or the end of the job. */
static void publish_phase(struct pool *p, int phase)
{
    while (phase < p->n_phase && !p->n_chunk[phase])
        phase++;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    publish(p, T_MAKE(p->first + (uint64_t)phase, phase < p->n_phase ? p->n_chunk[phase] : 0));
}

/* The next chunk of that thread's share of the ticket's phase; -1 if there is none. */
static int claim(struct pool *p, uint64_t ticket, int owner)
{
    _Atomic uint64_t *word = &p->slots[owner].next;
    uint64_t w = atomic_load_explicit(word, memory_order_relaxed), seq = T_SEQ(ticket), next;
    int from, to;
    pool_part(T_N(ticket), p->n_threads, owner, &from, &to);
    do {
        next = T_SEQ(w) == seq ? (uint64_t)T_N(w) : 0;
        if (T_SEQ(w) > seq || next >= (uint64_t)(to - from))
            return -1;
    } while (!atomic_compare_exchange_weak_explicit(word, &w, T_MAKE(seq, next + 1),
                                                    memory_order_acq_rel, memory_order_relaxed));
    return from + (int)next;
}

/* Run chunks of the ticket's phase until none is left; who completes it begins the next. */
static void work(struct pool *p, uint64_t ticket, int thread)
{
    int ran = 0, phase = 0;
    for (int k = 0; k < p->n_threads; k++) {
        const int at = thread + k, owner = at < p->n_threads ? at : at - p->n_threads;
        for (int c; (c = claim(p, ticket, owner)) >= 0; ran++) {
            /* the phase cannot end while a claimed chunk of it is not counted as done */
            phase = (int)(T_SEQ(ticket) - p->first);
            p->fn(p->ctx, phase, c, thread);
        }
    }
    if (ran && atomic_fetch_add_explicit(&p->done, ran, memory_order_acq_rel) + ran == T_N(ticket))
        publish_phase(p, phase + 1);
}

/* The ticket once it is another than `old`, or when the pool ends. */
static uint64_t wait_ticket(struct pool *p, uint64_t old)
{
    uint64_t t;
    for (int i = 0; i < SPIN; i++) {
        if ((t = atomic_load_explicit(&p->ticket, memory_order_acquire)) != old)
            return t;
        pause_cpu();
    }
    atomic_fetch_add(&p->sleepers, 1);
    unsigned gen = atomic_load(&p->gen);
    if (atomic_load(&p->ticket) == old && !atomic_load(&p->quit))
        syscall(SYS_futex, &p->gen, FUTEX_WAIT_PRIVATE, gen, NULL, NULL, 0);
    atomic_fetch_sub(&p->sleepers, 1);
    return atomic_load(&p->ticket);
}

static void *worker(void *arg)
{
    const struct slot *s = arg;
    struct pool *p = s->p;
    for (uint64_t t = 0, seen = 0; !atomic_load_explicit(&p->quit, memory_order_relaxed); seen = t)
        if ((t = wait_ticket(p, seen)) != seen && T_N(t))
            work(p, t, s->index);
    return NULL;
}

/* Where worker i goes: the i-th CPU that the process may use, the caller's own left out.  The caller
 * is not pinned, since what it starts would inherit that, and a busy neighbour on one CPU drives it
 * to another.  A worker that is not pinned is woken beside its waker when all CPUs are busy, and then
 * two threads take turns on one.  Only a pool that takes every CPU pins: of several smaller ones each
 * would choose the same. */
static int worker_cpu(int i, const cpu_set_t *cpus, int own)
{
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, cpus) && cpu != own && --i == 0)
            return cpu;
    return -1;
}

/* cpu -1: anywhere */
static int start_worker(struct pool *p, int i, int cpu)
{
    pthread_attr_t attr;
    cpu_set_t one;
    int rc = -1;
    if (cpu >= 0 && !pthread_attr_init(&attr)) {
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (!pthread_attr_setaffinity_np(&attr, sizeof one, &one))
            rc = pthread_create(&p->threads[i], &attr, worker, &p->slots[i]);
        pthread_attr_destroy(&attr);
    }
    if (rc) /* or the CPU has been taken away since */
        rc = pthread_create(&p->threads[i], NULL, worker, &p->slots[i]);
    return !rc;
}

struct pool *pool_new(int n_threads)
{
    cpu_set_t cpus;
    const char *wish = getenv("APR_PIN");
    const int n_cpu = sched_getaffinity(0, sizeof cpus, &cpus) ? 0 : CPU_COUNT(&cpus);
    if (n_threads <= 0)
        n_threads = n_cpu ? n_cpu : 1;
    if (n_threads > POOL_MAX_THREADS)
        n_threads = POOL_MAX_THREADS;
    const int own = sched_getcpu();
    const int pin = n_threads == n_cpu && !(wish && !strcmp(wish, "0"));
    struct pool *p = aligned_alloc(64, (sizeof *p + 63) & ~(size_t)63);
    if (!p)
        return NULL;
    *p = (struct pool){.n_threads = 1};
    p->threads = calloc((size_t)n_threads, sizeof *p->threads);
    p->slots = aligned_alloc(64, (size_t)n_threads * sizeof *p->slots);
    int ok = p->threads && p->slots;
    for (int i = 0; ok && i < n_threads; i++)
        p->slots[i] = (struct slot){.p = p, .index = i};
    for (; ok && p->n_threads < n_threads; p->n_threads += ok) {
        int i = p->n_threads;
        ok = start_worker(p, i, pin ? worker_cpu(i, &cpus, own) : -1);
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
    wake_all(p);
    for (int i = 1; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    free(p->threads);
    free(p->slots);
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
    uint64_t t = atomic_load(&p->ticket);
    p->fn = fn, p->ctx = ctx, p->first = T_SEQ(t) + 1, p->n_phase = n_phase;
    for (int i = 0; i < n_phase; i++)
        p->n_chunk[i] = n_chunk[i];
    publish_phase(p, first);
    for (t = atomic_load(&p->ticket); T_N(t); t = wait_ticket(p, t))
        work(p, t, 0);
}
