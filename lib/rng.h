/* rng.h - a counter-based generator: the draw depends on the key and the counter alone
 *
 * Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so a draw is the
 * same whatever ran beside it, in whatever order. */
#ifndef RNG_H
#define RNG_H
#include <stddef.h>
#include <stdint.h>

void rng_philox(uint64_t key, uint64_t ctr_hi, uint64_t ctr_lo, uint32_t out[4]);
double rng_u01(uint64_t key, uint64_t ctr_hi, uint64_t ctr_lo);        /* [0,1), 53 bits */
uint64_t rng_key(uint64_t seed, const char *task_id, uint64_t sample); /* key of a sample's draws */

/* A stream: counter from 0 upwards. */
struct rng {
    uint64_t key, ctr;
};
double rng_next(struct rng *r);                /* [0,1) */
double rng_normal(struct rng *r);              /* mean 0, variance 1 (Box-Muller) */
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1, unbiased */
void rng_shuffle(struct rng *r, uint32_t *v, size_t n);
#endif
