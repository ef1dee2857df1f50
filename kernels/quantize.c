/* quantize - f32 to blocks: the bytes of GGML's reference quantizers, without an importance matrix
 *
 * Byte parity rests on the order of every sum and on separate multiplications and additions, so the
 * searches below follow ggml-quants.c operation by operation (formats.md, section 1.2, says the
 * same in words).  Inputs must be finite. */
#include "blocks.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* round half to even for |x| <= 4194303, through the adder as GGML does */
static int nearest(float x)
{
    float val = x + 12582912.f; /* 1.5 * 2^23 */
    int32_t i;
    memcpy(&i, &val, sizeof i);
    return (i & 0x007fffff) - 0x00400000;
}

static int clamp(int x, int lo, int hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* 1/d; 0 where d is 0 or so small that 1/d overflows (its f16 is 0 then anyway) */
static float inverse(float d)
{
    float id = d != 0 ? 1.0f / d : 0.0f;
    return isfinite(id) ? id : 0.0f;
}

/* the element of the largest magnitude with its sign; the first one wins */
static float largest(const float *x, int n)
{
    float amax = 0, max = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > amax) {
            amax = fabsf(x[i]);
            max = x[i];
        }
    return max;
}

/* Q4_0, Q5_0: the largest element becomes -half; q in 0..2*half-1 */
static void codes_signed(const float *x, uint8_t *q, int half, kn_half *d16)
{
    float d = largest(x, 32) / (float)-half, id = inverse(d);
    *d16 = kn_f32_to_f16(d);
    for (int i = 0; i < 32; i++) {
        int v = (int)(x[i] * id + ((float)half + 0.5f));
        q[i] = (uint8_t)(v < 2 * half - 1 ? v : 2 * half - 1);
    }
}

/* Q4_1, Q5_1: from the smallest to the largest in qmax steps */
static void codes_minmax(const float *x, uint8_t *q, int qmax, kn_half *d16, kn_half *m16)
{
    float min = x[0], max = x[0];
    for (int i = 1; i < 32; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    float d = (max - min) / (float)qmax, id = inverse(d);
    *d16 = kn_f32_to_f16(d);
    *m16 = kn_f32_to_f16(min);
    for (int i = 0; i < 32; i++) {
        int v = (int)((x[i] - min) * id + 0.5f);
        q[i] = (uint8_t)(v < qmax ? v : qmax);
    }
}

static void pack_nibbles(const uint8_t *q, uint8_t *qs)
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void pack_fifth(const uint8_t *q, uint8_t *qh)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(q[i] >> 4) << i;
    memcpy(qh, &bits, 4);
}

static void quantize_32(int type, const float *x, uint8_t *p)
{
    uint8_t q[32];
    kn_half d, m = 0;
    size_t at = 2;
    if (type == KN_Q8_0) {
        float s = fabsf(largest(x, 32)) / 127.0f, id = inverse(s);
        d = kn_f32_to_f16(s);
        for (int i = 0; i < 32; i++)
            q[i] = (uint8_t)(int8_t)roundf(x[i] * id);
        memcpy(p, &d, 2);
        memcpy(p + at, q, 32);
        return;
    }
    if (type == KN_Q4_0 || type == KN_Q5_0)
        codes_signed(x, q, type == KN_Q4_0 ? 8 : 16, &d);
    else
        codes_minmax(x, q, type == KN_Q4_1 ? 15 : 31, &d, &m);
    memcpy(p, &d, 2);
    if (type == KN_Q4_1 || type == KN_Q5_1) {
        memcpy(p + at, &m, 2);
        at += 2;
    }
    if (type == KN_Q5_0 || type == KN_Q5_1) {
        pack_fifth(q, p + at);
        at += 4;
    }
    pack_nibbles(q, p + at);
}

/* Scale and minimum of one sub-block of 32 (x = scale*q - *min, *min >= 0) of least weighted
 * squared error: nstep + 1 trial scales, for each the best scale and minimum by least squares.  As
 * in GGML an improvement replaces `min`, and later trials start from the new one. */
static float search_scale_min(int nmax, const float *x, const float *w, uint8_t *q, float *the_min,
                              float rmin, float rdelta, int nstep)
{
    float min = x[0], max = x[0], sum_w = w[0], sum_x = sum_w * x[0];
    for (int i = 1; i < 32; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
        sum_w += w[i];
        sum_x += w[i] * x[i];
    }
    if (min > 0)
        min = 0;
    *the_min = -min;
    if (max == min) {
        memset(q, 0, 32);
        return 0;
    }
    float iscale = (float)nmax / (max - min), scale = 1 / iscale, best = 0;
    for (int i = 0; i < 32; i++) {
        q[i] = (uint8_t)clamp(nearest(iscale * (x[i] - min)), 0, nmax);
        float diff = scale * (float)q[i] + min - x[i];
        best += w[i] * (diff * diff);
    }
    for (int step = 0; step <= nstep; step++) {
        uint8_t t[32];
        float sum_l = 0, sum_l2 = 0, sum_xl = 0;
        iscale = (rmin + rdelta * (float)step + (float)nmax) / (max - min);
        for (int i = 0; i < 32; i++) {
            t[i] = (uint8_t)clamp(nearest(iscale * (x[i] - min)), 0, nmax);
            float l = (float)t[i];
            sum_l += w[i] * l;
            sum_l2 += w[i] * l * l;
            sum_xl += w[i] * l * x[i];
        }
        float det = sum_w * sum_l2 - sum_l * sum_l;
        if (!(det > 0))
            continue;
        float this_scale = (sum_w * sum_xl - sum_x * sum_l) / det;
        float this_min = (sum_l2 * sum_x - sum_l * sum_xl) / det;
        if (this_min > 0) {
            this_min = 0;
            this_scale = sum_xl / sum_l2;
        }
        float error = 0;
        for (int i = 0; i < 32; i++) {
            float diff = this_scale * (float)t[i] + this_min - x[i];
            error += w[i] * (diff * diff);
        }
        if (error < best) {
            memcpy(q, t, sizeof t);
            best = error;
            scale = this_scale;
            min = this_min;
        }
    }
    *the_min = -min;
    return scale;
}

static void pack_k4(const uint8_t ls[8], const uint8_t lm[8], uint8_t s[12])
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(ls[j] | (ls[j + 4] >> 4) << 6);
        s[j + 4] = (uint8_t)(lm[j] | (lm[j + 4] >> 4) << 6);
        s[j + 8] = (uint8_t)((ls[j + 4] & 15) | (lm[j + 4] & 15) << 4);
    }
}

/* Codes, scales and minima of a super-block of Q4_K (nmax 15) or Q5_K (nmax 31). */
static void codes_k45(int nmax, const float *x, uint8_t q[256], uint8_t s[12], kn_half *d16,
                      kn_half *m16)
{
    float scale[8], min[8], w[32], max_scale = 0, max_min = 0;
    for (int j = 0; j < 8; j++) {
        float sum = 0;
        for (int i = 0; i < 32; i++)
            sum += x[32 * j + i] * x[32 * j + i];
        float av = sqrtf(sum / 32);
        for (int i = 0; i < 32; i++)
            w[i] = av + fabsf(x[32 * j + i]);
        scale[j] = search_scale_min(nmax, x + 32 * j, w, q + 32 * j, &min[j],
                                    nmax == 15 ? -1.f : -0.5f, 0.1f, nmax == 15 ? 20 : 15);
        max_scale = scale[j] > max_scale ? scale[j] : max_scale;
        max_min = min[j] > max_min ? min[j] : max_min;
    }
    float inv_scale = max_scale > 0 ? 63.f / max_scale : 0.f;
    float inv_min = max_min > 0 ? 63.f / max_min : 0.f;
    uint8_t ls[8], lm[8];
    for (int j = 0; j < 8; j++) {
        ls[j] = (uint8_t)clamp((uint8_t)nearest(inv_scale * scale[j]), 0, 63);
        lm[j] = (uint8_t)clamp((uint8_t)nearest(inv_min * min[j]), 0, 63);
    }
    pack_k4(ls, lm, s);
    *d16 = kn_f32_to_f16(max_scale / 63.f);
    *m16 = kn_f32_to_f16(max_min / 63.f);
    /* once more with the scales as stored; a sub-block of scale 0 keeps what the search found */
    for (int j = 0; j < 8; j++) {
        float d = kn_f16_to_f32(*d16) * (float)ls[j], m = kn_f16_to_f32(*m16) * (float)lm[j];
        if (d == 0)
            continue;
        for (int i = 32 * j; i < 32 * j + 32; i++)
            q[i] = (uint8_t)clamp(nearest((x[i] + m) / d), 0, nmax);
    }
}

static void quantize_q4_k(const float *x, uint8_t *p)
{
    struct kn_q4_k b;
    uint8_t q[256];
    codes_k45(15, x, q, b.scales, &b.d, &b.dmin);
    for (int j = 0; j < 128; j++) {
        int i = j / 32 * 64 + j % 32;
        b.qs[j] = (uint8_t)(q[i] | q[i + 32] << 4);
    }
    memcpy(p, &b, sizeof b);
}

static void quantize_q5_k(const float *x, uint8_t *p)
{
    struct kn_q5_k b;
    uint8_t q[256];
    codes_k45(31, x, q, b.scales, &b.d, &b.dmin);
    memset(b.qh, 0, sizeof b.qh);
    for (int j = 0; j < 128; j++) {
        int i = j / 32 * 64 + j % 32;
        b.qs[j] = (uint8_t)((q[i] & 15) | (q[i + 32] & 15) << 4);
    }
    for (int i = 0; i < 256; i++)
        b.qh[i % 32] |= (uint8_t)((q[i] >> 4) << i / 32);
    memcpy(p, &b, sizeof b);
}

/* A block whose largest magnitude is below this is zero (GROUP_MAX_EPS of ggml-quants.c). */
#define GROUP_MAX_EPS 1e-15f

/* Scale of 16 elements for codes -32..31 (stored + 32), weights x^2, 18 trial scales around the
 * first */
static float search_scale(const float *x, uint8_t *q)
{
    float max = largest(x, 16), scale = 0, best = 0;
    if (fabsf(max) < GROUP_MAX_EPS) {
        memset(q, 0, 16);
        return 0;
    }
    for (int trial = 0; trial <= 18; trial++) {
        int step = trial == 0 ? 0 : trial <= 9 ? trial - 10 : trial - 9; /* 0, then -9..-1, 1..9 */
        float iscale = -(32 + 0.1f * (float)step) / max, sum_lx = 0, sum_l2 = 0;
        for (int i = 0; i < 16; i++) {
            float l = (float)clamp(nearest(iscale * x[i]), -32, 31), w = x[i] * x[i];
            sum_lx += w * x[i] * l;
            sum_l2 += w * l * l;
        }
        if (trial == 0)
            scale = sum_l2 != 0 ? sum_lx / sum_l2 : 0.0f;
        else if (sum_l2 > 0 && sum_lx * sum_lx > best * sum_l2)
            scale = sum_lx / sum_l2;
        else
            continue;
        best = scale * sum_lx;
        for (int i = 0; i < 16; i++)
            q[i] = (uint8_t)(32 + clamp(nearest(iscale * x[i]), -32, 31));
    }
    return scale;
}

static void quantize_q6_k(const float *x, uint8_t *p)
{
    struct kn_q6_k b = {0};
    uint8_t q[256];
    float scale[16], max_scale;
    for (int j = 0; j < 16; j++)
        scale[j] = search_scale(x + 16 * j, q + 16 * j);
    max_scale = largest(scale, 16);
    if (fabsf(max_scale) >= GROUP_MAX_EPS) {
        float iscale = -128.f / max_scale;
        b.d = kn_f32_to_f16(1 / iscale);
        for (int j = 0; j < 16; j++) {
            int s = nearest(iscale * scale[j]);
            b.scales[j] = (int8_t)(s < 127 ? s : 127);
            float d = kn_f16_to_f32(b.d) * (float)b.scales[j];
            if (d == 0)
                continue;
            for (int i = 16 * j; i < 16 * j + 16; i++)
                q[i] = (uint8_t)(clamp(nearest(x[i] / d), -32, 31) + 32);
        }
        for (int i = 0; i < 256; i++) {
            int n = i / 128, g = i % 128 / 32, l = i % 32;
            b.ql[64 * n + 32 * (g & 1) + l] |= (uint8_t)((q[i] & 15) << 4 * (g >> 1));
            b.qh[32 * n + l] |= (uint8_t)((q[i] >> 4) << 2 * g);
        }
    }
    memcpy(p, &b, sizeof b);
}

void kn_quantize(int type, const float *src, void *dst, size_t n)
{
    const struct kn_type_info *t = kn_type_info(type);
    uint8_t *p = dst;
    assert(t->name && type != KN_I32 && n % (size_t)t->block_len == 0);
    if (type == KN_F32) {
        if (n)
            memcpy(dst, src, n * sizeof *src);
        return;
    }
    for (size_t i = 0; i < n; i += (size_t)t->block_len, p += t->block_bytes) {
        uint16_t h;
        switch (type) {
        case KN_F16:
        case KN_BF16:
            h = type == KN_F16 ? kn_f32_to_f16(src[i]) : kn_f32_to_bf16(src[i]);
            memcpy(p, &h, 2);
            break;
        case KN_Q4_K:
            quantize_q4_k(src + i, p);
            break;
        case KN_Q5_K:
            quantize_q5_k(src + i, p);
            break;
        case KN_Q6_K:
            quantize_q6_k(src + i, p);
            break;
        default:
            quantize_32(type, src + i, p);
        }
    }
}
