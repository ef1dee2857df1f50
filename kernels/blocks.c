/* blocks - facts of the tensor types, f16 and bf16 conversions, dequantizing rows of blocks */
#include "blocks.h"
#include <assert.h>
#include <string.h>
#include <strings.h>

// clang-format off
static const struct kn_type_info types[] = {
    [KN_F32]  = {"F32", 1, 4, 0},
    [KN_F16]  = {"F16", 1, 2, 0},
    [KN_Q4_0] = {"Q4_0", 32, sizeof(struct kn_q4_0), 32},
    [KN_Q4_1] = {"Q4_1", 32, sizeof(struct kn_q4_1), 32},
    [KN_Q5_0] = {"Q5_0", 32, sizeof(struct kn_q5_0), 32},
    [KN_Q5_1] = {"Q5_1", 32, sizeof(struct kn_q5_1), 32},
    [KN_Q8_0] = {"Q8_0", 32, sizeof(struct kn_q8_0), 32},
    [KN_Q2_K] = {"Q2_K", 256, sizeof(struct kn_q2_k), 0},
    [KN_Q3_K] = {"Q3_K", 256, sizeof(struct kn_q3_k), 0},
    [KN_Q4_K] = {"Q4_K", 256, sizeof(struct kn_q4_k), 256},
    [KN_Q5_K] = {"Q5_K", 256, sizeof(struct kn_q5_k), 256},
    [KN_Q6_K] = {"Q6_K", 256, sizeof(struct kn_q6_k), 256},
    [KN_I32]  = {"I32", 1, 4, 0},
    [KN_BF16] = {"BF16", 1, 2, 0},
    [KN_IQ4_NL] = {"IQ4_NL", 32, sizeof(struct kn_iq4_nl), 0},
    [KN_IQ4_XS] = {"IQ4_XS", 256, sizeof(struct kn_iq4_xs), 0},
    [KN_MXFP4] = {"MXFP4", 32, sizeof(struct kn_mxfp4), 0},
    [KN_NF4] = {"NF4", KN_NF4_BLOCK, KN_NF4_BLOCK / 2 + 1, 0},
};
// clang-format on
enum { N_TYPES = sizeof types / sizeof *types };

const struct kn_type_info *kn_type_info(int type)
{
    static const struct kn_type_info none = {NULL, 1, 0, 0};
    return type >= 0 && type < N_TYPES && types[type].name ? &types[type] : &none;
}

int kn_type_by_name(const char *name)
{
    for (int t = 0; t < N_TYPES; t++)
        if (types[t].name && strcasecmp(types[t].name, name) == 0)
            return t;
    return -1;
}

size_t kn_row_bytes(int type, size_t n)
{
    const struct kn_type_info *t = kn_type_info(type);
    if (!t->name || type == KN_NF4 || n % (size_t)t->block_len)
        return 0;
    size_t blocks = n / (size_t)t->block_len;
    return blocks <= SIZE_MAX / (size_t)t->block_bytes ? blocks * (size_t)t->block_bytes : 0;
}

static float from_bits(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

float kn_f16_to_f32(kn_half h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 1023;
    if (exp == 0) /* zero and subnormals: man * 2^-24, exact */
        return from_bits(sign | to_bits((float)man * 0x1p-24f));
    if (exp == 31) /* infinity; NaN made quiet, as the hardware does */
        return from_bits(sign | 0x7f800000u | man << 13 | (man ? 0x400000u : 0));
    return from_bits(sign | (exp + 112) << 23 | man << 13);
}

kn_half kn_f32_to_f16(float x)
{
    uint32_t u = to_bits(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) /* NaN: keep the top of the payload */
        return (kn_half)(sign | 0x7e00u | (a >> 13 & 0x3ff));
    if (a >= 0x47800000u) /* 2^16 and above, infinity */
        return (kn_half)(sign | 0x7c00u);
    if (a < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, rounded by the adder */
        float sum = from_bits(a) + 0.5f; /* ulp of [0.5, 1) is 2^-24 */
        return (kn_half)(sign | (to_bits(sum) - to_bits(0.5f)));
    }
    a += 0xfffu + (a >> 13 & 1); /* half to even; a carry moves on to the exponent */
    return (kn_half)(sign | ((a - (112u << 23)) >> 13));
}

float kn_bf16_to_f32(uint16_t h)
{
    return from_bits((uint32_t)h << 16);
}

uint16_t kn_f32_to_bf16(float x)
{
    uint32_t u = to_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

void kn_k4_unpack(const uint8_t s[12], uint8_t sc[8], uint8_t m[8])
{
    for (int j = 0; j < 4; j++) {
        sc[j] = s[j] & 63;
        m[j] = s[j + 4] & 63;
        sc[j + 4] = (uint8_t)((s[j + 8] & 15) | (s[j] >> 6) << 4);
        m[j + 4] = (uint8_t)(s[j + 8] >> 4 | (s[j + 4] >> 6) << 4);
    }
}

static void dequantize_32(int type, const uint8_t *p, float *y)
{
    kn_half d16, m16;
    uint32_t qh;
    memcpy(&d16, p, 2);
    memcpy(&m16, p + 2, 2);
    float d = kn_f16_to_f32(d16), m = kn_f16_to_f32(m16);
    switch (type) {
    case KN_Q4_0:
        p += offsetof(struct kn_q4_0, qs);
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((p[i] & 15) - 8);
            y[i + 16] = d * (float)((p[i] >> 4) - 8);
        }
        break;
    case KN_Q4_1:
        p += offsetof(struct kn_q4_1, qs);
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)(p[i] & 15) + m;
            y[i + 16] = d * (float)(p[i] >> 4) + m;
        }
        break;
    case KN_Q5_0:
        memcpy(&qh, p + offsetof(struct kn_q5_0, qh), 4);
        p += offsetof(struct kn_q5_0, qs);
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((int)((p[i] & 15u) | (qh >> i & 1) << 4) - 16);
            y[i + 16] = d * (float)((int)(p[i] >> 4 | (qh >> (i + 16) & 1) << 4) - 16);
        }
        break;
    case KN_Q5_1:
        memcpy(&qh, p + offsetof(struct kn_q5_1, qh), 4);
        p += offsetof(struct kn_q5_1, qs);
        for (int i = 0; i < 16; i++) {
            y[i] = d * (float)((p[i] & 15u) | (qh >> i & 1) << 4) + m;
            y[i + 16] = d * (float)(p[i] >> 4 | (qh >> (i + 16) & 1) << 4) + m;
        }
        break;
    default: /* KN_Q8_0 */
        p += offsetof(struct kn_q8_0, qs);
        for (int i = 0; i < 32; i++)
            y[i] = d * (float)(int8_t)p[i];
    }
}

/* Q4_K and Q5_K: eight sub-blocks of 32; two neighbours share 32 bytes, low nibbles first */
static void dequantize_k45(int type, const uint8_t *p, float *y)
{
    kn_half d16, m16;
    uint8_t sc[8], m[8];
    memcpy(&d16, p, 2);
    memcpy(&m16, p + 2, 2);
    float d = kn_f16_to_f32(d16), dmin = kn_f16_to_f32(m16);
    kn_k4_unpack(p + offsetof(struct kn_q4_k, scales), sc, m);
    const uint8_t *qh = type == KN_Q5_K ? p + offsetof(struct kn_q5_k, qh) : NULL;
    const uint8_t *qs = p + (qh ? offsetof(struct kn_q5_k, qs) : offsetof(struct kn_q4_k, qs));
    for (int j = 0; j < 8; j++) {
        float dj = d * (float)sc[j], mj = dmin * (float)m[j];
        for (int i = 0; i < 32; i++) {
            int q = qs[32 * (j / 2) + i] >> 4 * (j & 1) & 15;
            if (qh)
                q |= (qh[i] >> j & 1) << 4;
            y[32 * j + i] = dj * (float)q - mj;
        }
    }
}

/* two halves of 128; quarter g of a half takes its low nibbles from ql[32*(g&1)..], two bits of qh
 */
static void dequantize_q6_k(const uint8_t *p, float *y)
{
    struct kn_q6_k b;
    memcpy(&b, p, sizeof b);
    float d = kn_f16_to_f32(b.d);
    for (int n = 0; n < 2; n++)
        for (int g = 0; g < 4; g++)
            for (int i = 0; i < 32; i++) {
                int lo = b.ql[64 * n + 32 * (g & 1) + i] >> 4 * (g >> 1) & 15;
                int q = (lo | (b.qh[32 * n + i] >> 2 * g & 3) << 4) - 32;
                y[128 * n + 32 * g + i] = d * (float)b.scales[8 * n + 2 * g + i / 16] * (float)q;
            }
}

static void dequantize_q2_k(const uint8_t *p, float *y)
{
    struct kn_q2_k b;
    memcpy(&b, p, sizeof b);
    const float d = kn_f16_to_f32(b.d), dmin = kn_f16_to_f32(b.dmin);
    for (int j = 0; j < 16; j++) {
        const float dj = d * (float)(b.scales[j] & 15), mj = dmin * (float)(b.scales[j] >> 4);
        for (int i = 0; i < 16; i++) {
            int q = b.qs[32 * (j / 8) + 16 * (j & 1) + i] >> 2 * (j / 2 % 4) & 3;
            y[16 * j + i] = dj * (float)q - mj;
        }
    }
}

static void dequantize_q3_k(const uint8_t *p, float *y)
{
    struct kn_q3_k b;
    memcpy(&b, p, sizeof b);
    const float d = kn_f16_to_f32(b.d);
    for (int j = 0; j < 16; j++) {
        int sc = (b.scales[j % 8] >> 4 * (j / 8) & 15) | (b.scales[8 + j % 4] >> 2 * (j / 4) & 3)
                                                             << 4;
        const float dj = d * (float)(sc - 32);
        for (int i = 0; i < 16; i++) {
            int at = 16 * (j & 1) + i, lo = b.qs[32 * (j / 8) + at] >> 2 * (j / 2 % 4) & 3;
            y[16 * j + i] = dj * (float)(lo - (b.hmask[at] >> j / 2 & 1 ? 0 : 4));
        }
    }
}

/* kvalues_iq4nl and kvalues_fp4 (doubled) of ggml-common.h */
const int8_t kn_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                  1,    13,   25,  38,  53,  69,  89,  113};
static const int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void look_up(const uint8_t qs[16], const int8_t value[16], float d, float *y)
{
    for (int i = 0; i < 16; i++) {
        y[i] = d * (float)value[qs[i] & 15];
        y[i + 16] = d * (float)value[qs[i] >> 4];
    }
}

static void dequantize_iq4_xs(const uint8_t *p, float *y)
{
    struct kn_iq4_xs b;
    memcpy(&b, p, sizeof b);
    const float d = kn_f16_to_f32(b.d);
    for (int j = 0; j < 8; j++) {
        int sc = (b.scales_l[j / 2] >> 4 * (j & 1) & 15) | (b.scales_h >> 2 * j & 3) << 4;
        look_up(b.qs + 16 * j, kn_iq4_values, d * (float)(sc - 32), y + 32 * j);
    }
}

static void dequantize_uneven(int type, const uint8_t *p, float *y)
{
    kn_half d;
    memcpy(&d, p, 2);
    if (type == KN_MXFP4)
        look_up(p + 1, fp4_values, kn_e8m0_half(p[0]), y);
    else
        look_up(p + 2, kn_iq4_values, kn_f16_to_f32(d), y);
}

float kn_e8m0_half(uint8_t e)
{
    return from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

void kn_dequantize(int type, const void *src, float *dst, size_t n)
{
    const struct kn_type_info *t = kn_type_info(type);
    const uint8_t *p = src;
    assert(t->name && type != KN_I32 && type != KN_NF4 && n % (size_t)t->block_len == 0);
    if (type == KN_F32) {
        if (n)
            memcpy(dst, src, n * sizeof *dst);
        return;
    }
    if (t->block_len == 1 && ((uintptr_t)src & 1) == 0) {
        kn_widen(type, src, dst, n);
        return;
    }
    for (size_t i = 0; i < n; i += (size_t)t->block_len, p += t->block_bytes) {
        uint16_t h;
        switch (type) {
        case KN_F16:
        case KN_BF16: /* at an odd address */
            memcpy(&h, p, 2);
            dst[i] = type == KN_F16 ? kn_f16_to_f32(h) : kn_bf16_to_f32(h);
            break;
        case KN_Q2_K:
            dequantize_q2_k(p, dst + i);
            break;
        case KN_Q3_K:
            dequantize_q3_k(p, dst + i);
            break;
        case KN_IQ4_XS:
            dequantize_iq4_xs(p, dst + i);
            break;
        case KN_IQ4_NL:
        case KN_MXFP4:
            dequantize_uneven(type, p, dst + i);
            break;
        case KN_Q4_K:
        case KN_Q5_K:
            dequantize_k45(type, p, dst + i);
            break;
        case KN_Q6_K:
            dequantize_q6_k(p, dst + i);
            break;
        default:
            dequantize_32(type, p, dst + i);
        }
    }
}
