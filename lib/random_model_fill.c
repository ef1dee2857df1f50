/* random_model_fill - random blocks of every weight type
 *
 * A tensor is first filled with random bytes; then the fields that are not free (scales) are set, with
 * the bytes that lie there as the choice among a table of 64 scales.  The generator is SplitMix64
 * (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): its word i is a function
 * of key + i alone. */
#include "blocks.h"
#include "random_model.h"
#include "rng.h"
#include <math.h>
#include <string.h>

enum { SCALES = 64, HALVES = 4096 };
struct scales {
    kn_half d[SCALES],
        m[SCALES]; /* scale; minimum that centres the block, where the type has one */
};

static void random_bytes(uint64_t key, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t z = key + (i / 8 + 1) * 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        memcpy(p + i, &z, n - i < 8 ? n - i : 8);
    }
}

/* Scales of blocks around d: 3/4 to 5/4 of it, minima to match. `middle` of the integers goes to 0. */
static void make_scales(struct scales *s, double d, double middle)
{
    for (int i = 0; i < SCALES; i++) {
        double x = d * (0.75 + 0.5 * i / (SCALES - 1));
        s->d[i] = kn_f32_to_f16((float)x);
        s->m[i] = kn_f32_to_f16((float)(x * middle));
    }
}

static kn_half at(const void *p)
{
    kn_half h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* The scale that the random half at p chooses, put there; sign: it may be negative, as the types that
 * have no minimum allow; that also takes away the bias of integers that reach further down than up. */
static void put_scale(uint8_t *p, const struct scales *s, int sign)
{
    kn_half h = at(p), d = (kn_half)(s->d[h % SCALES] | (sign ? h & 0x8000 : 0));
    memcpy(p, &d, sizeof d);
}

/* Scale at p and minimum behind it; negate: x = d*q + m, else d*q - m. */
static void put_scale_min(uint8_t *p, const struct scales *s, int negate)
{
    kn_half h = at(p), d = s->d[h % SCALES],
            m = (kn_half)(s->m[h % SCALES] | (negate ? 0x8000 : 0));
    memcpy(p, &d, sizeof d);
    memcpy(p + sizeof d, &m, sizeof m);
}

/* 8 scales of 32 to 63 and minima within 2 of them, from the 12 random bytes at p; packed as
 * kn_k4_unpack reads them. */
static void put_k4(uint8_t p[12])
{
    uint8_t sc[8], m[8];
    for (int j = 0; j < 8; j++) {
        int near = 32 + p[j] % 32 + p[j + 4] / 32 % 5 - 2;
        sc[j] = (uint8_t)(32 + p[j] % 32);
        m[j] = (uint8_t)(near > 63 ? 63 : near);
    }
    for (int j = 0; j < 4; j++) {
        p[j] = (uint8_t)(sc[j] | sc[j + 4] >> 4 << 6);
        p[j + 4] = (uint8_t)(m[j] | m[j + 4] >> 4 << 6);
        p[j + 8] = (uint8_t)((sc[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
}

static void tame(int type, uint8_t *p, const struct scales *s)
{
    switch (type) {
    case KN_Q4_0:
    case KN_Q5_0:
        put_scale(p, s, 1);
        break;
    case KN_Q8_0:
        put_scale(p, s, 0);
        for (int i = 2; i < 34; i++)
            p[i] = p[i] == 0x80 ? 0x81 : p[i]; /* no quantizer writes -128 */
        break;
    case KN_Q4_1:
    case KN_Q5_1:
        put_scale_min(p, s, 1);
        break;
    case KN_Q4_K:
    case KN_Q5_K:
        put_scale_min(p, s, 0);
        put_k4(p + 4);
        break;
    default: /* KN_Q6_K: scales of 32 to 95, either sign */
        for (int i = 192; i < 208; i++) {
            int scale = 32 + p[i] % 64;
            p[i] = (uint8_t)(p[i] & 0x80 ? -scale : scale);
        }
        put_scale(p + 208, s, 0);
    }
}

/* Standard deviation of a block's values over its d, and the integer that is to become 0. */
static double spread(int type, double *middle)
{
    /* uniform over 2^b integers: sqrt((4^b - 1) / 12); sub-scales uniform over 32..63: root mean square
     * 48.4, over 32..95: 66.2; what the minima's steps of 1 in 48 add is below 1 % */
    *middle = 0;
    switch (type) {
    case KN_Q4_0:
        return 4.61;
    case KN_Q5_0:
        return 9.23;
    case KN_Q8_0:
        return 73.6;
    case KN_Q4_1:
        *middle = 7.5;
        return 4.61;
    case KN_Q5_1:
        *middle = 15.5;
        return 9.23;
    case KN_Q4_K:
        *middle = 7.5;
        return 4.61 * 48.4;
    case KN_Q5_K:
        *middle = 15.5;
        return 9.23 * 48.4;
    default:
        return 18.5 * 66.2; /* KN_Q6_K */
    }
}

static void fill_blocks(int type, uint8_t *p, size_t bytes, double sd)
{
    size_t block = (size_t)kn_type_info(type)->block_bytes;
    struct scales s;
    double middle, per_d = spread(type, &middle);
    make_scales(&s, sd / per_d, middle);
    for (size_t i = 0; i < bytes; i += block)
        tame(type, p + i, &s);
}

/* 16-bit floats of lo to hi in HALVES even steps. */
static void fill_halves(int type, uint8_t *p, size_t bytes, double lo, double hi)
{
    uint16_t table[HALVES], h;
    for (int i = 0; i < HALVES; i++) {
        float x = (float)(lo + (hi - lo) * (i + 0.5) / HALVES);
        table[i] = type == KN_F16 ? kn_f32_to_f16(x) : kn_f32_to_bf16(x);
    }
    for (size_t i = 0; i < bytes; i += 2) {
        memcpy(&h, p + i, 2);
        memcpy(p + i, &table[h % HALVES], 2);
    }
}

static void fill_floats(uint8_t *p, size_t bytes, double lo, double hi)
{
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t u;
        memcpy(&u, p + i, 4);
        float x = (float)(lo + (hi - lo) * (u + 0.5) / 0x1p32);
        memcpy(p + i, &x, 4);
    }
}

void random_model_fill(const struct tensor *t, uint64_t seed, void *dst)
{
    double sd = 1 / sqrt((double)tensor_cols(t)), lo = -sd * sqrt(3), hi = -lo;
    size_t n = strlen(t->name);
    if (t->ndim == 1) {
        int bias = n > 5 && strcmp(t->name + n - 5, ".bias") == 0;
        lo = bias ? -0.1 : 0.9;
        hi = bias ? 0.1 : 1.1;
    }
    random_bytes(rng_key(seed, t->name, 0), dst, t->bytes);
    if (t->type == KN_F32)
        fill_floats(dst, t->bytes, lo, hi);
    else if (t->type == KN_F16 || t->type == KN_BF16)
        fill_halves(t->type, dst, t->bytes, lo, hi);
    else
        fill_blocks(t->type, dst, t->bytes, sd);
}
