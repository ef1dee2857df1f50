/* kvtile.h - a position into a tile of the cache, and a tile in f32; included by rows.simd.c */
#ifndef KVTILE_H
#define KVTILE_H
#include "rows.h"
#include "simd.h"

enum { TILE = 32 }; /* KN_TILE */

/* 32 floats to int8 and their scale, as kn_quantize does it: amax / 127, halves away from zero */
INLINE kn_half quantize_block(const float *x, int8_t *q)
{
    const vf x0 = vf_load(x), x1 = vf_load(x + 16), one = vf_set1(1.0f);
    const float d = vf_hmax(vf_max(vf_abs(x0), vf_max(vf_abs(x1), vf_zero()))) / 127.0f;
    const float inverse = d != 0 ? 1.0f / d : 0.0f;
    const vf id = vf_set1(inverse <= 3.402823466e38f ? inverse : 0.0f);
    for (int i = 0; i < 2; i++) {
        const vf s = vf_mul(i ? x1 : x0, id), a = vf_abs(s);
        vf n = vi_to_float(vf_to_int(a)); /* a half went to the even side: up if that was down */
        n = vf_add(n, vf_zero_below(one, vf_sub(a, n), 0.5f));
        const vi sign = vi_and(vf_bits(s), vi_set1((int32_t)0x80000000u));
        vi_store_s8(q + 16 * i, vf_to_int(vi_float_bits(vi_or(vf_bits(n), sign))));
    }
    return kn_f32_to_f16(d);
}

/* n values of `size` bytes into lines of a k tile, position p */
INLINE void scatter(int size, int n, int dim, int first, const void *from, void *tile, int p)
{
    for (int i = 0; i < n; i++) {
        const size_t at = (size_t)kv_line(first + i, dim) * TILE + (size_t)p;
        memcpy((char *)tile + at * (size_t)size, (const char *)from + i * size, (size_t)size);
    }
}

static void kv_put_f16(int n, int which, int p, const float *x, uint16_t *tile)
{
    const int dim = (n + 15) & ~15;
    uint16_t h[ATTN_MAX_DIM];
    for (int i = 0; i < n; i += 16)
        vf_store_f16(h + i, vf_load_n(x + i, n - i));
    if (which)
        memcpy(tile + p * dim, h, (size_t)n * sizeof *h);
    else
        scatter(2, n, dim, 0, h, tile, p);
}

static void kv_put_q8(int n, int which, int p, const float *x, int8_t *tile)
{
    uint16_t *scale = (uint16_t *)(void *)(tile + TILE * n);
    int8_t q[32];
    for (int b = 0; b < n / 32; b++) {
        scale[which ? p * (n / 32) + b : b * TILE + p] = quantize_block(x + 32 * b, q);
        if (which)
            memcpy(tile + p * n + 32 * b, q, sizeof q);
        else
            scatter(1, 32, n, 32 * b, q, tile, p);
    }
}

static void kv_put(int type, int n, int which, int p, const float *x, void *tile)
{
    if (type == KN_F16)
        kv_put_f16(n, which, p, x, tile);
    else if (type == KN_Q8_0)
        kv_put_q8(n, which, p, x, tile);
    else if (which)
        memcpy((float *)tile + p * ((n + 15) & ~15), x, (size_t)n * sizeof *x);
    else
        scatter(4, n, (n + 15) & ~15, 0, x, tile, p);
}

/* tiles to f32: what several blocks of pairs read is widened once */
static void widen_f16(int dim, const uint16_t *tile, float *y)
{
    for (int i = 0; i < dim * TILE; i += 16)
        vf_store(y + i, vf_load_f16(tile + i));
}
static void widen_k_q8(int dim, const int8_t *tile, float *y)
{
    const uint16_t *scale = (const uint16_t *)(const void *)(tile + TILE * dim);
    const int steps = dim / 16;
    for (int s = 0; s < steps; s++) {
        const vf d0 = vf_load_f16(scale + s / 2 * TILE),
                 d1 = vf_load_f16(scale + s / 2 * TILE + 16);
        for (int at = s * TILE; at < dim * TILE; at += steps * TILE) {
            vf_store(y + at, vf_mul(d0, vi_to_float(vi_load_s8(tile + at))));
            vf_store(y + at + 16, vf_mul(d1, vi_to_float(vi_load_s8(tile + at + 16))));
        }
    }
}
static void widen_v_q8(int dim, const int8_t *tile, float *y)
{
    const uint16_t *scale = (const uint16_t *)(const void *)(tile + TILE * dim);
    float d[TILE * ATTN_MAX_DIM / 32];
    for (int i = 0; i < dim; i += 16) /* TILE * dim / 32 scales */
        vf_store(d + i, vf_load_f16(scale + i));
    for (int b = 0; b < dim; b++, tile += 32, y += 32) {
        const vf s = vf_set1(d[b]);
        vf_store(y, vf_mul(s, vi_to_float(vi_load_s8(tile))));
        vf_store(y + 16, vf_mul(s, vi_to_float(vi_load_s8(tile + 16))));
    }
}
#endif
