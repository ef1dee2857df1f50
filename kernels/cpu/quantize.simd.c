/* quantize.simd.c - f32 to blocks: the bytes of GGML's quantizers, sixteen groups at once
 *
 * The searches are in quantize_search.h; here is what each type does around them
 * (quantize_row_*_ref and quantize_row_*_impl of ggml-quants.c).  Inputs must be finite. */
#include "../quantize.h"
#include "quantize_lanes.h"
#include "quantize_scales.h"

/* ---- weights ---- */

/* w = importance * sqrt(sigma2 + x^2); importance lies in s->w */
INLINE void weigh(const int n, struct lanes *s, vf sigma2)
{
    for (int i = 0; i < n; i++) {
        const vf x = vf_load(s->x[i]);
        vf_store(s->w[i], vf_mul(vf_load(s->w[i]), vf_sqrt(vf_add(sigma2, vf_mul(x, x)))));
    }
}

INLINE void weigh_squares(const int n, struct lanes *s)
{
    for (int i = 0; i < n; i++) {
        const vf x = vf_load(s->x[i]);
        vf_store(s->w[i], vf_mul(x, x));
    }
}

INLINE vf sum_weights(const int n, const struct lanes *s)
{
    vf sum = vf_zero();
    for (int i = 0; i < n; i++)
        sum = vf_add(sum, vf_load(s->w[i]));
    return sum;
}

/* ---- super-blocks of 16 groups of 16: Q2_K, Q3_K, Q6_K ---- */

static void spread16(const float *x, const float *w, struct lanes *s)
{
    const float *group[16];
    for (int g = 0; g < 16; g++)
        group[g] = x + 16 * g;
    gather(16, group, s->x);
    if (!w)
        return;
    for (int g = 0; g < 16; g++)
        group[g] = w + 16 * g;
    gather(16, group, s->w);
}

/* two bits of each code: 128 values in 32 bytes, four quarters beside each other */
static void pack_twos(const uint8_t q[256], uint8_t qs[64])
{
    for (int n = 0; n < 2; n++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *p = q + 128 * n + l;
            qs[32 * n + l] = (uint8_t)(p[0] | p[32] << 2 | p[64] << 4 | p[96] << 6);
        }
}

/* scale or minimum to 4 bits as without weights: of the largest; all bits of what GGML adds */
static kn_half four_bits(const float v[16], int shift, uint8_t scales[16])
{
    float max = 0;
    for (int j = 0; j < 16; j++)
        max = v[j] > max ? v[j] : max;
    if (!(max > 0))
        return 0;
    const float iscale = 15.f / max;
    for (int j = 0; j < 16; j++)
        scales[j] |= (uint8_t)((unsigned)nearest_int(iscale * v[j]) << shift);
    return kn_f32_to_f16(max / 15.f);
}

static void quantize_q2_k(const float *x, const float *w, uint8_t *p)
{
    struct lanes s;
    struct kn_q2_k b;
    struct found f;
    float scale[16], min[16], sw[16], d[16], m[16], sum;
    uint8_t q[256], ls[16], lm[16];
    spread16(x, w, &s);
    memset(b.scales, 0, sizeof b.scales);
    if (w) {
        sum_squares(x, x, 256, &sum, &sum);
        weigh(16, &s, vf_set1(sum / 256));
        vf_store(sw, sum_weights(16, &s));
        f = search_minmax(16, 3, &s, -0.9f, 0.05f, 36, 0);
    } else {
        for (int i = 0; i < 16; i++)
            vf_store(s.w[i], vf_abs(vf_load(s.x[i])));
        f = search_minmax(16, 3, &s, -0.5f, 0.1f, 15, 1);
    }
    vf_store(scale, f.scale);
    vf_store(min, vf_neg(f.min));
    if (w) {
        b.d = kn_f32_to_f16(scales_positive(16, 15, scale, ls, sw));
        b.dmin = kn_f32_to_f16(scales_positive(16, 15, min, lm, sw));
        for (int j = 0; j < 16; j++)
            b.scales[j] = (uint8_t)(ls[j] | lm[j] << 4);
    } else {
        b.d = four_bits(scale, 0, b.scales);
        b.dmin = four_bits(min, 4, b.scales);
    }
    for (int j = 0; j < 16; j++) {
        d[j] = kn_f16_to_f32(b.d) * (float)(b.scales[j] & 15);
        m[j] = kn_f16_to_f32(b.dmin) * (float)(b.scales[j] >> 4);
    }
    codes_found(16, &s, &f, 0, 3, 0, q);
    codes_stored(16, &s, d, m, 0, 3, 0, q);
    pack_twos(q, b.qs);
    memcpy(p, &b, sizeof b);
}

/* Six bits each: low nibbles of 8 scales and of the other 8, then the four upper pairs. */
static void pack_q3_scales(const uint8_t l[16], uint8_t s[12])
{
    memset(s, 0, 12);
    for (int j = 0; j < 16; j++) {
        s[j % 8] |= (uint8_t)((l[j] & 15) << (j < 8 ? 0 : 4));
        s[8 + j % 4] |= (uint8_t)(l[j] >> 4 << 2 * (j / 4));
    }
}

static void quantize_q3_k(const float *x, const float *w, uint8_t *p)
{
    struct lanes s;
    struct kn_q3_k b;
    float scale[16], sw[16], d[16], zero[16] = {0}, sum;
    uint8_t q[256], l[16], c[16][16];
    vm some;
    spread16(x, w, &s);
    if (w) {
        sum_squares(x, x, 256, &sum, &sum);
        weigh(16, &s, vf_set1(2 * sum / 256));
        vf_store(sw, sum_weights(16, &s));
        const struct found f = search_signed(16, 4, &s, &some);
        vf_store(scale, f.scale);
        for (int i = 0; i < 16; i++) {
            const vf v = nearest(vf_mul(f.iscale, vf_load(s.x[i])), -4, 3, 0);
            put_codes(c[i], vf_keep(some, vf_add(v, vf_set1(4))));
        }
        b.d = kn_f32_to_f16(scales_signed(scale, l, sw));
    } else {
        vf_store(scale, search_q3(&s, &some));
        float amax = 0, max = 0;
        for (int j = 0; j < 16; j++)
            if (fabsf(scale[j]) > amax) {
                amax = fabsf(scale[j]);
                max = scale[j];
            }
        for (int i = 0; i < 16; i++)
            put_codes(c[i], vf_keep(some, vf_add(vf_load(s.t[i]), vf_set1(4))));
        const float iscale = max != 0 ? -32.f / max : 0;
        b.d = max != 0 ? kn_f32_to_f16(1 / iscale) : 0;
        for (int j = 0; j < 16; j++) /* int8_t: as GGML has it, before the clamp */
            l[j] = max != 0
                       ? (uint8_t)(clamp_int((int8_t)nearest_int(iscale * scale[j]), -32, 31) + 32)
                       : 0;
    }
    pack_q3_scales(l, b.scales);
    for (int j = 0; j < 16; j++)
        d[j] = kn_f16_to_f32(b.d) * (float)((l[j] & 63) - 32);
    scatter(16, c, q);
    codes_stored(16, &s, d, zero, -4, 3, 4, q);
    memset(b.hmask, 0, sizeof b.hmask);
    for (int i = 0; i < 256; i++) {
        b.hmask[i % 32] |= (uint8_t)((q[i] >> 2) << i / 32);
        q[i] &= 3;
    }
    pack_twos(q, b.qs);
    memcpy(p, &b, sizeof b);
}

static void quantize_q6_k(const float *x, const float *w, uint8_t *p)
{
    struct lanes s;
    struct kn_q6_k b;
    float scale[16], d[16], zero[16] = {0}, amax = 0, max = 0;
    uint8_t q[256];
    vm some;
    spread16(x, w, &s);
    if (!w)
        weigh_squares(16, &s);
    struct found f = search_signed(16, 32, &s, &some);
    vf_store(scale, f.scale);
    for (int j = 0; j < 16; j++)
        if (fabsf(scale[j]) > amax) {
            amax = fabsf(scale[j]);
            max = scale[j];
        }
    memset(&b, 0, sizeof b);
    if (amax < GROUP_MAX_EPS) {
        memcpy(p, &b, sizeof b);
        return;
    }
    const float iscale = -128.f / max;
    int skipped = 0;
    b.d = kn_f32_to_f16(1 / iscale);
    for (int j = 0; j < 16; j++) {
        int l = nearest_int(iscale * scale[j]);
        b.scales[j] = (int8_t)(l < 127 ? l : 127);
        d[j] = kn_f16_to_f32(b.d) * (float)b.scales[j];
        skipped |= d[j] == 0;
    }
    if (skipped) {
        float live[16];
        codes_found(16, &s, &f, -32, 31, 32, q);
        vf_store(live, vf_keep(some, vf_set1(1)));
        for (int j = 0; j < 16; j++)
            if (live[j] == 0)
                memset(q + 16 * j, 0, 16);
    }
    codes_stored(16, &s, d, zero, -32, 31, 32, q);
    for (int n = 0; n < 2; n++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *c = q + 128 * n + l;
            b.ql[64 * n + l] = (uint8_t)((c[0] & 15) | c[64] << 4);
            b.ql[64 * n + 32 + l] = (uint8_t)((c[32] & 15) | c[96] << 4);
            b.qh[32 * n + l] =
                (uint8_t)(c[0] >> 4 | c[32] >> 4 << 2 | c[64] >> 4 << 4 | c[96] >> 4 << 6);
        }
    memcpy(p, &b, sizeof b);
}

/* ---- two super-blocks of 8 groups of 32: Q4_K, Q5_K, IQ4_XS ---- */

/* Groups of super-blocks a and b, each of 8 x 32. */
static void spread32(const float *a, const float *b, float (*to)[16])
{
    const float *group[16];
    for (int g = 0; g < 8; g++) {
        group[g] = a + 32 * g;
        group[8 + g] = b + 32 * g;
    }
    gather(32, group, to);
}

/* sigma2 of the lanes of two super-blocks: times * sum x^2 / 256 */
static vf sigma_of(const float *a, const float *b, float times)
{
    float lane[16], sa, sb;
    sum_squares(a, b, 256, &sa, &sb);
    for (int g = 0; g < 16; g++)
        lane[g] = times * (g < 8 ? sa : sb) / 256;
    return vf_load(lane);
}

static void pack_k4(const uint8_t ls[8], const uint8_t lm[8], uint8_t s[12])
{
    for (int j = 0; j < 4; j++) {
        s[j] = (uint8_t)(ls[j] | (ls[j + 4] >> 4) << 6);
        s[j + 4] = (uint8_t)(lm[j] | (lm[j + 4] >> 4) << 6);
        s[j + 8] = (uint8_t)((ls[j + 4] & 15) | (lm[j + 4] & 15) << 4);
    }
}

/* Scales and minima of one super-block to six bits. */
static void scales_k4(const int five, const float scale[8], const float min[8], const float *sw,
                      uint8_t packed[12], kn_half *d, kn_half *dmin)
{
    uint8_t ls[8], lm[8];
    if (sw) {
        *d = kn_f32_to_f16(scales_positive(8, 63, scale, ls, sw));
        *dmin = kn_f32_to_f16(scales_positive(8, 63, min, lm, sw));
        for (int j = 0; five && j < 8; j++) { /* of Q4_K all eight bits go on, in GGML too */
            ls[j] = ls[j] < 63 ? ls[j] : 63;
            lm[j] = lm[j] < 63 ? lm[j] : 63;
        }
        pack_k4(ls, lm, packed);
        return;
    }
    float max_scale = 0, max_min = 0;
    for (int j = 0; j < 8; j++) {
        max_scale = scale[j] > max_scale ? scale[j] : max_scale;
        max_min = min[j] > max_min ? min[j] : max_min;
    }
    const float is = max_scale > 0 ? 63.f / max_scale : 0, im = max_min > 0 ? 63.f / max_min : 0;
    for (int j = 0; j < 8; j++) {
        ls[j] = (uint8_t)clamp_int((uint8_t)nearest_int(is * scale[j]), 0, 63);
        lm[j] = (uint8_t)clamp_int((uint8_t)nearest_int(im * min[j]), 0, 63);
    }
    pack_k4(ls, lm, packed);
    *d = kn_f32_to_f16(max_scale / 63.f);
    *dmin = kn_f32_to_f16(max_min / 63.f);
}

static void pack_q4_k(const uint8_t q[256], uint8_t qs[128])
{
    for (int j = 0; j < 4; j++)
        for (int l = 0; l < 32; l++)
            qs[32 * j + l] = (uint8_t)((q[64 * j + l] & 15) | q[64 * j + 32 + l] << 4);
}

/* Super-blocks x[0] and x[1] to p[0] and p[1] (which may be the same). */
static void quantize_k45(const int five, const float *const x[2], const float *const w[2],
                         uint8_t *const p[2])
{
    struct lanes s;
    float scale[16], min[16], sw[16], d[16], m[16];
    uint8_t q[512], packed[2][12];
    kn_half d16[2], m16[2];
    const float nmax = five ? 31 : 15;
    struct found f;
    spread32(x[0], x[1], s.x);
    if (w[0]) {
        spread32(w[0], w[1], s.w);
        weigh(32, &s, sigma_of(x[0], x[1], 2));
        vf_store(sw, sum_weights(32, &s));
        f = search_minmax(32, nmax, &s, -0.9f, 0.05f, 36, 0);
    } else {
        vf sum = vf_zero();
        for (int i = 0; i < 32; i++) {
            const vf v = vf_load(s.x[i]);
            sum = vf_add(sum, vf_mul(v, v));
        }
        const vf av = vf_sqrt(vf_mul(sum, vf_set1(1.f / 32)));
        for (int i = 0; i < 32; i++)
            vf_store(s.w[i], vf_add(av, vf_abs(vf_load(s.x[i]))));
        f = search_minmax(32, nmax, &s, five ? -0.5f : -1.f, 0.1f, five ? 15 : 20, 0);
    }
    vf_store(scale, f.scale);
    vf_store(min, vf_neg(f.min));
    int skipped = 0;
    for (int b = 0; b < 2; b++) {
        uint8_t sc[8], mn[8];
        scales_k4(five, scale + 8 * b, min + 8 * b, w[0] ? sw + 8 * b : NULL, packed[b], &d16[b],
                  &m16[b]);
        kn_k4_unpack(packed[b], sc, mn);
        for (int j = 0; j < 8; j++) {
            d[8 * b + j] = kn_f16_to_f32(d16[b]) * (float)sc[j];
            m[8 * b + j] = kn_f16_to_f32(m16[b]) * (float)mn[j];
            skipped |= d[8 * b + j] == 0;
        }
    }
    if (skipped)
        codes_found(32, &s, &f, 0, nmax, 0, q);
    codes_stored(32, &s, d, m, 0, nmax, 0, q);
    for (int b = 0; b < 2; b++) {
        const uint8_t *c = q + 256 * b;
        uint8_t *to = p[b];
        memcpy(to, &d16[b], 2);
        memcpy(to + 2, &m16[b], 2);
        memcpy(to + 4, packed[b], 12);
        to += 16;
        if (five) {
            for (int l = 0; l < 32; l++) {
                unsigned bits = 0;
                for (int j = 0; j < 8; j++)
                    bits |= (unsigned)(c[32 * j + l] >> 4) << j;
                to[l] = (uint8_t)bits;
            }
            to += 32;
        }
        pack_q4_k(c, to);
    }
}

static void pack_nibbles(const uint8_t q[32], uint8_t qs[16])
{
    for (int i = 0; i < 16; i++)
        qs[i] = (uint8_t)((q[i] & 15) | q[i + 16] << 4);
}

static void quantize_iq4_xs(const float *const x[2], const float *const w[2], uint8_t *const p[2])
{
    struct lanes s;
    float scale[16], idl[16];
    uint8_t q[512], c[32][16];
    struct kn_iq4_xs b[2];
    spread32(x[0], x[1], s.x);
    if (w[0]) {
        spread32(w[0], w[1], s.w);
        weigh(32, &s, sigma_of(x[0], x[1], 2));
    } else {
        weigh_squares(32, &s);
    }
    vf_store(scale, search_iq4(&s));
    memset(b, 0, sizeof b);
    for (int k = 0; k < 2; k++) {
        float amax = 0, max = 0;
        for (int j = 0; j < 8; j++)
            if (fabsf(scale[8 * k + j]) > amax) {
                amax = fabsf(scale[8 * k + j]);
                max = scale[8 * k + j];
            }
        const float d = -max / 32, id = d != 0 ? 1 / d : 0;
        b[k].d = kn_f32_to_f16(d);
        for (int j = 0; j < 8; j++) {
            int l = clamp_int(nearest_int(id * scale[8 * k + j]), -32, 31);
            const float dl = d * (float)l;
            idl[8 * k + j] = dl != 0 ? 1 / dl : 0;
            l += 32;
            b[k].scales_l[j / 2] |= (uint8_t)((l & 15) << 4 * (j & 1));
            b[k].scales_h = (uint16_t)(b[k].scales_h | l >> 4 << 2 * j);
        }
    }
    const vf by = vf_load(idl);
    for (int i = 0; i < 32; i++)
        put_codes(c[i], iq4_nearest(vf_mul(by, vf_load(s.x[i])), 1));
    scatter(32, c, q);
    for (int k = 0; k < 2; k++) {
        for (int j = 0; j < 8; j++)
            pack_nibbles(q + 256 * k + 32 * j, b[k].qs + 16 * j);
        memcpy(p[k], &b[k], sizeof b[k]);
    }
}

/* ---- sixteen blocks of 32 ---- */

/* 1/d; 0 where d is 0 or so small that 1/d overflows (its f16 is 0 then anyway) */
INLINE vf inverse(vf d)
{
    const vf id = vf_div(vf_set1(1), d);
    return vf_keep(vm_ge(vf_set1(0x1.fffffep127f), vf_abs(id)), id);
}

INLINE void put_trunc(uint8_t c[16], vf v)
{
    vi_store_s8((int8_t *)c, vf_trunc(v));
}

/* Q8_0: roundf is truncation after adding just less than a half */
static void codes_q8_0(const struct lanes *s, uint8_t (*c)[16], float d[16])
{
    vf amax = vf_zero();
    for (int i = 0; i < 32; i++)
        amax = vf_max(vf_abs(vf_load(s->x[i])), amax);
    const vf scale = vf_div(amax, vf_set1(127)), id = inverse(scale);
    const vf half = vf_set1(0x1.fffffep-2f);
    for (int i = 0; i < 32; i++) {
        const vf v = vf_mul(vf_load(s->x[i]), id);
        put_trunc(c[i], vf_add(v, vf_pick(vm_gt(vf_zero(), v), vf_neg(half), half)));
    }
    vf_store(d, scale);
}

/* Q4_0, Q5_0: the largest element becomes -half; q in 0..2*half-1 */
static void codes_signed(const struct lanes *s, float half, uint8_t (*c)[16], float d[16])
{
    vf amax;
    const vf scale = vf_div(largest(32, s, &amax), vf_set1(-half)), id = inverse(scale);
    for (int i = 0; i < 32; i++) {
        const vf v = vf_add(vf_mul(vf_load(s->x[i]), id), vf_set1(half + 0.5f));
        put_trunc(c[i], vf_min(v, vf_set1(2 * half - 1)));
    }
    vf_store(d, scale);
}

/* Q4_1, Q5_1: from the smallest to the largest in qmax steps */
static void codes_minmax(const struct lanes *s, float qmax, uint8_t (*c)[16], float d[16],
                         float m[16])
{
    vf min = vf_load(s->x[0]), max = min;
    for (int i = 1; i < 32; i++) {
        const vf x = vf_load(s->x[i]);
        min = vf_min(x, min);
        max = vf_max(x, max);
    }
    const vf scale = vf_div(vf_sub(max, min), vf_set1(qmax)), id = inverse(scale);
    for (int i = 0; i < 32; i++) {
        const vf v = vf_add(vf_mul(vf_sub(vf_load(s->x[i]), min), id), vf_set1(0.5f));
        put_trunc(c[i], vf_min(v, vf_set1(qmax)));
    }
    vf_store(d, scale);
    vf_store(m, min);
}

/* the same four with weights */
static void codes_searched(int type, struct lanes *s, vf sigma2, uint8_t *q, float d[16],
                           float m[16])
{
    const int five = type == KN_Q5_0 || type == KN_Q5_1;
    weigh(32, s, sigma2);
    if (type == KN_Q4_1 || type == KN_Q5_1) {
        const float nmax = five ? 31 : 15;
        const struct found f = search_minmax(32, nmax, s, -0.9f, 0.05f, 36, 0);
        codes_found(32, s, &f, 0, nmax, 0, q);
        vf_store(d, f.scale);
        vf_store(m, vf_neg(vf_neg(f.min)));
        return;
    }
    const float nmax = five ? 16 : 8;
    vm some;
    uint8_t c[32][16];
    const struct found f = search_signed(32, nmax, s, &some);
    for (int i = 0; i < 32; i++) {
        const vf v = nearest(vf_mul(f.iscale, vf_load(s->x[i])), -nmax, nmax - 1, 0);
        put_codes(c[i], vf_keep(some, vf_add(v, vf_set1(nmax))));
    }
    scatter(32, c, q);
    vf_store(d, f.scale);
}

static void codes_iq4_nl(struct lanes *s, int weighted, uint8_t (*c)[16], float d[16])
{
    if (weighted) {
        vf sum = vf_zero();
        for (int i = 0; i < 32; i++) {
            const vf v = vf_load(s->x[i]);
            sum = vf_add(sum, vf_mul(v, v));
        }
        weigh(32, s, vf_mul(sum, vf_set1(2.f / 32)));
    } else {
        weigh_squares(32, s);
    }
    const vf scale = search_iq4(s);
    const vf id = vf_keep(vm_ne(scale, vf_zero()), vf_div(vf_set1(1), scale));
    for (int i = 0; i < 32; i++)
        put_codes(c[i], iq4_nearest(vf_mul(id, vf_load(s->x[i])), 1));
    vf_store(d, scale);
}

/* The exponent that makes the largest one at most 8 (in doubled values), then the nearest of 0, 1, 2, 3,
 * 4, 6, 8, 12 and their negatives, the lower magnitude on ties. */
static void codes_mxfp4(const struct lanes *s, uint8_t (*c)[16], uint8_t e[16])
{
    static const float middle[] = {0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10};
    vf amax = vf_zero();
    float top[16], d[16];
    for (int i = 0; i < 32; i++)
        amax = vf_max(vf_abs(vf_load(s->x[i])), amax);
    vf_store(top, amax);
    for (int g = 0; g < 16; g++) {
        /* by way of int: below 2^-125 the exponent wraps, as GGML's does */
        e[g] = top[g] > 0 ? (uint8_t)(int)(floorf(log2f(top[g])) - 2 + 127) : 0;
        d[g] = kn_e8m0_half(e[g]);
    }
    const vf scale = vf_load(d), zero = vf_zero();
    for (int i = 0; i < 32; i++) {
        const vf x = vf_load(s->x[i]), ax = vf_abs(x);
        vf q = zero;
        UNROLL for (int k = 0; k < 7; k++) q =
            vf_add(q, vf_keep(vm_gt(ax, vf_mul(vf_set1(middle[k]), scale)), vf_set1(1)));
        const vm below = vm_and(vm_gt(zero, x), vm_gt(q, zero));
        put_codes(c[i], vf_add(q, vf_keep(below, vf_set1(8))));
    }
}

static void put_block32(int type, const uint8_t *q, float d, float m, uint8_t e, uint8_t *p)
{
    const kn_half d16 = kn_f32_to_f16(d), m16 = kn_f32_to_f16(m);
    if (type == KN_MXFP4) {
        *p++ = e;
    } else {
        memcpy(p, &d16, 2);
        p += 2;
    }
    if (type == KN_Q8_0) {
        memcpy(p, q, 32);
        return;
    }
    if (type == KN_Q4_1 || type == KN_Q5_1) {
        memcpy(p, &m16, 2);
        p += 2;
    }
    if (type == KN_Q5_0 || type == KN_Q5_1) {
        uint32_t bits = 0;
        for (int i = 0; i < 32; i++)
            bits |= (uint32_t)(q[i] >> 4 & 1) << i;
        memcpy(p, &bits, 4);
        p += 4;
    }
    pack_nibbles(q, p);
}

/* n <= 16 blocks; w the weights of their values and sigma2 of the row, or NULL */
static void quantize_32(int type, const float *x, int n, const float *w, float sigma2, uint8_t *p)
{
    struct lanes s;
    uint8_t c[32][16], q[512], e[16];
    float d[16], m[16] = {0};
    const float *group[16];
    const int searched =
        w && (type == KN_Q4_0 || type == KN_Q4_1 || type == KN_Q5_0 || type == KN_Q5_1);
    for (int g = 0; g < 16; g++)
        group[g] = x + 32 * (g < n ? g : 0);
    gather(32, group, s.x);
    if (searched || (w && type == KN_IQ4_NL)) {
        for (int g = 0; g < 16; g++)
            group[g] = w + 32 * (g < n ? g : 0);
        gather(32, group, s.w);
    }
    if (searched)
        codes_searched(type, &s, vf_set1(sigma2), q, d, m);
    else if (type == KN_Q8_0)
        codes_q8_0(&s, c, d);
    else if (type == KN_Q4_0 || type == KN_Q5_0)
        codes_signed(&s, type == KN_Q4_0 ? 8 : 16, c, d);
    else if (type == KN_Q4_1 || type == KN_Q5_1)
        codes_minmax(&s, type == KN_Q4_1 ? 15 : 31, c, d, m);
    else if (type == KN_IQ4_NL)
        codes_iq4_nl(&s, w != NULL, c, d);
    else {
        codes_mxfp4(&s, c, e);
        memset(d, 0, sizeof d);
    }
    if (!searched)
        scatter(32, c, q);
    const size_t bytes = (size_t)kn_type_info(type)->block_bytes;
    for (int g = 0; g < n; g++)
        put_block32(type, q + 32 * g, d[g], m[g], type == KN_MXFP4 ? e[g] : 0,
                    p + (size_t)g * bytes);
}

/* ---- rows ---- */

static void run(int type, const float *src, void *dst, size_t n, const float *weight)
{
    const struct kn_type_info *t = kn_type_info(type);
    const size_t len = (size_t)t->block_len, nb = n / len, bytes = (size_t)t->block_bytes;
    uint8_t *p = dst;
    if (len == 32) {
        float sigma2 = 0;
        if (type == KN_Q8_0 || type == KN_MXFP4)
            weight = NULL;
        if (weight && type != KN_IQ4_NL) {
            sum_squares(src, src, n, &sigma2, &sigma2);
            sigma2 /= (float)n;
        }
        for (size_t b = 0; b < nb; b += 16)
            quantize_32(type, src + 32 * b, nb - b < 16 ? (int)(nb - b) : 16,
                        weight ? weight + 32 * b : NULL, sigma2, p + b * bytes);
        return;
    }
    if (type == KN_Q2_K || type == KN_Q3_K || type == KN_Q6_K) {
        for (size_t b = 0; b < nb; b++)
            (type == KN_Q2_K ? quantize_q2_k
             : type == KN_Q3_K
                 ? quantize_q3_k
                 : quantize_q6_k)(src + 256 * b, weight ? weight + 256 * b : NULL, p + b * bytes);
        return;
    }
    for (size_t b = 0; b < nb; b += 2) {
        const size_t other = b + 1 < nb ? b + 1 : b;
        const float *const x[2] = {src + 256 * b, src + 256 * other};
        const float *const w[2] = {weight ? weight + 256 * b : NULL,
                                   weight ? weight + 256 * other : NULL};
        uint8_t *const to[2] = {p + b * bytes, p + other * bytes};
        if (type == KN_IQ4_XS)
            quantize_iq4_xs(x, w, to);
        else if (type == KN_Q4_K)
            quantize_k45(0, x, w, to);
        else
            quantize_k45(1, x, w, to);
    }
}

static void widen(int type, const uint16_t *src, float *dst, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(dst + i, type == KN_F16 ? vf_load_f16(src + i) : vf_load_bf16(src + i));
    for (; i < n; i++)
        dst[i] = type == KN_F16 ? kn_f16_to_f32(src[i]) : kn_bf16_to_f32(src[i]);
}

static void narrow(int type, const float *src, uint16_t *dst, size_t n)
{
    size_t i = 0;
    if (type == KN_F16)
        for (; i + 16 <= n; i += 16)
            vf_store_f16(dst + i, vf_load(src + i));
    for (; i < n; i++)
        dst[i] = type == KN_F16 ? kn_f32_to_f16(src[i]) : kn_f32_to_bf16(src[i]);
}

static size_t first_beyond(const float *x, size_t n, float limit)
{
    size_t i = 0;
    for (; i + 16 <= n && vm_all(vm_ge(vf_set1(limit), vf_abs(vf_load(x + i)))); i += 16)
        ;
    while (i < n && fabsf(x[i]) <= limit)
        i++;
    return i;
}

extern const struct kn_quantizer FN(quantizer);
const struct kn_quantizer FN(quantizer) = {PATH, run, widen, narrow, first_beyond};
