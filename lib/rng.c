/* rng - Philox-4x32-10 counter-based random numbers */
#include "rng.h"
#include "hash.h"
#include "philox.h"
#include <math.h>
#include <string.h>

void rng_philox(uint64_t key, uint64_t ctr_hi, uint64_t ctr_lo, uint32_t out[4])
{
    kn_philox(key, ctr_hi, ctr_lo, out);
}

double rng_u01(uint64_t key, uint64_t ctr_hi, uint64_t ctr_lo)
{
    uint32_t x[4];
    rng_philox(key, ctr_hi, ctr_lo, x);
    return (double)(((uint64_t)x[0] << 32 | x[1]) >> 11) * 0x1p-53;
}

uint64_t rng_key(uint64_t seed, const char *task_id, uint64_t sample)
{
    uint64_t h = hash_fnv(HASH_FNV, &seed, sizeof seed);
    h = hash_fnv(h, task_id, strlen(task_id) + 1);
    return hash_fnv(h, &sample, sizeof sample);
}

double rng_next(struct rng *r)
{
    return rng_u01(r->key, 0, r->ctr++);
}

double rng_normal(struct rng *r)
{
    double u = rng_next(r), v = rng_next(r);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586476925 * v);
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % n, x;
    do {
        uint32_t o[4];
        rng_philox(r->key, 0, r->ctr++, o);
        x = (uint64_t)o[0] << 32 | o[1];
    } while (x >= limit);
    return x % n;
}

void rng_shuffle(struct rng *r, uint32_t *v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(r, i);
        uint32_t t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}
