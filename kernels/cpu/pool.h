/* pool.h - threads that share a job of phases and chunks
 *
 * A job is a list of phases; a phase is a number of chunks; a phase begins when every chunk of the
 * one before it is done.  Threads claim chunks one by one, so a thread that the kernel has put
 * aside between chunks delays nobody, and beside other busy processes a job costs the time of the
 * threads that run.  Which thread runs a chunk is left to chance: a chunk's result must not depend
 * on it.
 *
 * A thread that waits spins for some microseconds, then sleeps in a futex.  pool_run allocates
 * nothing.  One pool serves one calling thread at a time.
 *
 * The workers of a pool that takes all CPUs of the process are pinned, one to each, unless the
 * environment says APR_PIN=0; the caller never is.  bench_pool measures a phase's overhead. */
#ifndef POOL_H
#define POOL_H

enum { POOL_MAX_PHASES = 8, POOL_MAX_CHUNKS = 1 << 20, POOL_MAX_THREADS = 256 };

struct pool;

/* thread: 0 is the caller, workers are 1..n_threads-1: an index for scratch memory. */
typedef void pool_fn(void *ctx, int phase, int chunk, int thread);

/* n_threads 0: the cores that this process may use.  NULL if out of memory or threads. */
struct pool *pool_new(int n_threads);
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);

/* Run fn for every chunk of every phase; returns when all is done.  A phase may have 0 chunks. */
void pool_run(struct pool *p, pool_fn *fn, void *ctx, const int *n_chunk, int n_phase);

/* How many chunks to cut n items into, a chunk having at least `least` items: a few per thread. */
int pool_chunks(const struct pool *p, int n, int least);

/* Items of chunk c when n are cut in n_chunk parts: [*from, *to). */
static inline void pool_part(int n, int n_chunk, int c, int *from, int *to)
{
    *from = (int)((long long)n * c / n_chunk);
    *to = (int)((long long)n * (c + 1) / n_chunk);
}
#endif
