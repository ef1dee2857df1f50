/* philox.h - Philox-4x32-10 for kernels: four 32-bit draws from a key and a counter
 *
 * Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".  Draw i of a stream is word i
 * % 4 of block i / 4, so that any thread can make any draw. */
#ifndef KN_PHILOX_H
#define KN_PHILOX_H
#include <stdint.h>

#ifdef __CUDACC__
#define KN_PHILOX static inline __host__ __device__
#else
#define KN_PHILOX static inline
#endif

/* The 128-bit counter is (ctr_hi, ctr_lo). */
KN_PHILOX void kn_philox(uint64_t key, uint64_t ctr_hi, uint64_t ctr_lo, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)ctr_lo, c1 = (uint32_t)(ctr_lo >> 32);
    uint32_t c2 = (uint32_t)ctr_hi, c3 = (uint32_t)(ctr_hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Uniform in [0, 1) with 24 bits: exact in f32. */
KN_PHILOX float kn_philox_f32(uint64_t key, uint64_t i)
{
    uint32_t x[4];
    kn_philox(key, 0, i / 4, x);
    return (float)(x[i % 4] >> 8) * 0x1p-24f;
}
#endif
