/* nf4 - a whole tensor in 4-bit NormalFloat with double quantization, bitsandbytes' arithmetic
 *
 * QLoRA (Dettmers et al. 2023) and bitsandbytes functional.py.  Blocks of 64 values run across row ends;
 * a block's scale is the largest magnitude in it, and the scales less their mean are kept in 8 bits, 256
 * of them to a scale of their own. */
#include "blocks.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { NEST = 256 }; /* block scales that share a scale */

static const float code[16] = {-1,
                               -0.6961928009986877f,
                               -0.5250730514526367f,
                               -0.39491748809814453f,
                               -0.28444138169288635f,
                               -0.18477343022823334f,
                               -0.09105003625154495f,
                               0,
                               0.07958029955625534f,
                               0.16093020141124725f,
                               0.24611230194568634f,
                               0.33791524171829224f,
                               0.44070982933044434f,
                               0.5626170039176941f,
                               0.7229568362236023f,
                               1};
/* their middles as bitsandbytes' kernels have them; a value equal to one takes the lower code */
static const float middle[15] = {-.8480964f,  -.61063293f,  -.45999527f, -.33967943f, -.23460741f,
                                 -.13791173f, -.045525018f, .03979015f,  .12025525f,  .20352125f,
                                 .29201377f,  .38931254f,   .50166345f,  .64278692f,  .86147842f};

/* The signed dynamic map: for i = 0..6 the means of neighbours on a line from 0.1 to 1 in 2^i steps, times
 * 10^(i - 6), either sign; 0 and 1. Sorted. */
static void dynamic_map(float map[256])
{
    int n = 127; /* 0 stands in the middle: 127 below, 128 above */
    map[n] = 0;
    for (int i = 0; i < 7; i++) {
        const int steps = 1 << i;
        for (int k = 0; k < steps; k++, n++) {
            const double lo = 0.1 + 0.9 * k / steps, hi = 0.1 + 0.9 * (k + 1) / steps;
            map[n + 1] = (float)((lo + hi) / 2 * pow(10, i - 6));
        }
    }
    map[255] = 1;
    for (int k = 0; k < 127; k++)
        map[126 - k] = -map[128 + k];
}

static size_t blocks_of(size_t n)
{
    return n / KN_NF4_BLOCK + (n % KN_NF4_BLOCK != 0);
}

size_t kn_nf4_bytes(size_t n)
{
    const size_t nb = blocks_of(n);
    return n / 2 + n % 2 + nb + 4 * (nb / NEST + (nb % NEST != 0)) + 4;
}

void kn_nf4_absmax(const float *x, size_t n, float *absmax)
{
    for (size_t b = 0; b < blocks_of(n); b++) {
        float most = 0;
        for (size_t i = b * KN_NF4_BLOCK; i < n && i < (b + 1) * KN_NF4_BLOCK; i++)
            most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        absmax[b] = most;
    }
}

/* v in [-1, 1] to the nearest of the map: middles count as the lower one */
static uint8_t nearest_in(const float map[256], float v)
{
    int lo = 0, hi = 255; /* the answer lies in [lo, hi] */
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (v > (map[mid] + map[mid + 1]) / 2)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint8_t)lo;
}

void kn_nf4_nest(const float *absmax, size_t n, void *dst)
{
    const size_t nb = blocks_of(n), groups = nb / NEST + (nb % NEST != 0);
    uint8_t *scales = (uint8_t *)dst + n / 2 + n % 2, *tops = scales + nb;
    float map[256];
    double sum = 0;
    dynamic_map(map);
    for (size_t b = 0; b < nb; b++)
        sum += absmax[b];
    const float offset = nb ? (float)(sum / (double)nb) : 0;
    for (size_t g = 0; g < groups; g++) {
        const size_t end = (g + 1) * NEST < nb ? (g + 1) * NEST : nb;
        float top = 0;
        for (size_t b = g * NEST; b < end; b++)
            top = fabsf(absmax[b] - offset) > top ? fabsf(absmax[b] - offset) : top;
        const float inverse = 1 / (top > 1e-38f ? top : 1e-38f);
        for (size_t b = g * NEST; b < end; b++)
            scales[b] = nearest_in(map, (absmax[b] - offset) * inverse);
        memcpy(tops + 4 * g, &top, 4);
    }
    memcpy(tops + 4 * groups, &offset, 4);
}

void kn_nf4_codes(const float *x, size_t n, const float *absmax, uint8_t *codes)
{
    for (size_t i = 0; i < n; i++) {
        const float a = absmax[i / KN_NF4_BLOCK], v = x[i] * (1 / (a > 1e-38f ? a : 1e-38f));
        unsigned q = 0;
        for (int k = 0; k < 15; k++)
            q += v > middle[k];
        if (i & 1)
            codes[i / 2] = (uint8_t)(codes[i / 2] | q);
        else
            codes[i / 2] = (uint8_t)(q << 4);
    }
}

void kn_nf4_dequantize(const void *src, size_t n, size_t first, float *dst, size_t count)
{
    const size_t nb = blocks_of(n), groups = nb / NEST + (nb % NEST != 0);
    const uint8_t *codes = src, *scales = codes + n / 2 + n % 2, *tops = scales + nb;
    float map[256], offset, top;
    assert(first <= n && count <= n - first);
    dynamic_map(map);
    memcpy(&offset, tops + 4 * groups, 4);
    for (size_t i = 0; i < count;) {
        const size_t at = first + i, b = at / KN_NF4_BLOCK;
        size_t end = (b + 1) * KN_NF4_BLOCK - first;
        end = end < count ? end : count;
        memcpy(&top, tops + 4 * (b / NEST), 4);
        const float a = map[scales[b]] * top + offset;
        for (; i < end; i++) {
            const uint8_t two = codes[(first + i) / 2];
            dst[i] = code[(first + i) & 1 ? two & 15 : two >> 4] * a;
        }
    }
}
