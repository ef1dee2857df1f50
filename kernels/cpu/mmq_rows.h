/* mmq_rows.h - a row of x to the bytes of R1: what both layouts of activations share */
#ifndef MMQ_ROWS_H
#define MMQ_ROWS_H
#include "simd.h"

/* 16 values to bytes; returns their sum */
INLINE int32_t bytes16(const float *x, vf id, int8_t *q)
{
    vi v = vf_to_int(vf_mul(vf_load(x), id));
    vi_store_s8(q, v);
    return vi_sum(v);
}

/* n values, n a multiple of 16: d, and the factor to bytes (0 for a block of zeros) */
INLINE float scale_of(const float *x, int n, float *id)
{
    vf m = vf_abs(vf_load(x));
    for (int i = 16; i < n; i += 16)
        m = vf_max(m, vf_abs(vf_load(x + i)));
    float amax = vf_hmax(m);
    int zero = amax < 0x1p-96f; /* 127 / amax must stay finite */
    *id = zero ? 0 : 127.0f / amax;
    return zero ? 0 : amax / 127.0f;
}
#endif
