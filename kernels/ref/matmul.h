/* matmul.h - a weight block as integers and its scales, the same for every quantized type */
#ifndef REF_MATMUL_H
#define REF_MATMUL_H
#include <stdint.h>

/* Element e of sub-block j (16 equal ones of a 256-block in Q6_K, 8 in Q4_K and Q5_K, 1 otherwise)
 * is d * sc[j] * q[e] + m * mn[j]; m is -dmin for K-quants. */
struct ref_block {
    int8_t q[256];
    int16_t sc[16], mn[16];
    float d, m;
};
/* One block of a quantized type; returns its number of sub-blocks. */
int ref_unpack(int type, const uint8_t *p, struct ref_block *u);
#endif
