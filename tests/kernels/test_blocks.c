/* test_blocks - block formats byte for byte: conversions, quantizers and dequantizers
 *
 * The hashes were taken from ggml (commits d99724f2 and de3ff81, -O3 without contraction) over 4096 draws
 * of a splitmix64 stream, four rows of 1024; the weights of the columns are g * g + 0.01 for the next 1024
 * draws g. */
#include "blocks.h"
#include "quantize.h"
#include "tap.h"
#include <math.h>
#include <string.h>

static uint64_t state = 42;
static uint64_t splitmix(void)
{
    uint64_t z = (state += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t fnv(const void *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
    return h;
}

static int same_hex(const uint8_t *p, const char *hex)
{
    for (; *hex; hex += 2, p++) {
        unsigned v;
        if (sscanf(hex, "%2x", &v) != 1 || v != *p)
            return 0;
    }
    return 1;
}

enum { N = 4096 };
static float x[N], y[N], weight[1024];
#define RARE 0xf6ca97de192f1814u /* ggml's */
static uint8_t q[N * 4], q2[N * 4];

// clang-format off
static const struct {
    int type;
    size_t bytes;
    uint64_t quantized, dequantized, weighted; /* weighted: quantized with weights */
    double rmse;                               /* 0: none was taken */
    const char *first; /* of block 0 */
} golden[] = {
    {KN_Q4_0, 2304, 0x6271c95160a30303, 0x0b24303710e71797, 0x14dc9f684927da81, .037679,
     "642f1c8214b5f01ea3ad154ac3d8f8b8dbe3"},
    {KN_Q4_1, 2560, 0x88340e80e2d8b7df, 0xbd3407f8d93f3467, 0xa4e25510aff116f4, 0, ""},
    {KN_Q5_0, 2816, 0xa069f8d82ee85a4c, 0x2fbfc410abd221f0, 0xc69d065e2b462e84, .018186, ""},
    {KN_Q5_1, 3072, 0xf0c61777d909e0c2, 0xf96d370c37d68a63, 0xd197be91495ff2a4, 0, ""},
    {KN_Q8_0, 4352, 0x0b144e057a264c1a, 0x263d81e7fc97a1d3, 0x0b144e057a264c1a, .002174,
     "731f42a3c3d58165b353d421affe04062dae93ff90347e8b1b218bc3434e7935505e"},
    {KN_Q2_K, 1344, 0x2256ff7da15190bf, 0x9715864420d23915, 0x5426968687fecb29, 0, ""},
    {KN_Q3_K, 1760, 0xdb9bae8de23a36c9, 0x8dd4b993dcc09f0b, 0x0507187b8c9f9c76, 0, ""},
    {KN_Q4_K, 2304, 0xbe5d18584747fa1d, 0x553eaf9496f9f5a2, 0xc28c00a679f625a2, .031977,
     "6d182324fcfafdf9fbfbfcfa9cfbbfacabc2a465104dc31c852943c7a8581a2381f7613a2e5109d9"},
    {KN_Q5_K, 2816, 0x4bf8184cd62caeb0, 0xa02fd08851fa9dbf, 0x761903a2d72c6cb3, .016032, ""},
    {KN_Q6_K, 3360, 0x01b24c761902f8e2, 0x4ad250ad8c16d6f5, 0x009f14967fff808b, .007837, ""},
    {KN_IQ4_NL, 2304, 0xb0ea6ae6757047c3, 0xa4ad6f6bc58ec386, 0x2ace4634c45b08a4, 0, ""},
    {KN_IQ4_XS, 2176, 0xae65712bf188948b, 0x38496281e451b3ed, 0x20b914108b80e163, 0, ""},
    {KN_MXFP4, 2176, 0xc7a1ff5f5c6154c9, 0xe3603018d62586e1, 0xc7a1ff5f5c6154c9, 0, ""},
};
// clang-format on

static double rmse(void)
{
    double s = 0;
    for (int i = 0; i < N; i++)
        s += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sqrt(s / N);
}

static void test_golden(void)
{
    ok(same_hex((const uint8_t *)x, "c85cf73e3a202ebf64b6e2be7c8c9fbe"), "the input itself");
    for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
        int type = golden[g].type;
        const char *name = kn_type_info(type)->name;
        kn_quantize(type, x, q, N);
        kn_dequantize(type, q, y, N);
        ok(kn_row_bytes(type, N) == golden[g].bytes, "%s: bytes", name);
        ok(same_hex(q, golden[g].first), "%s: first bytes", name);
        ok(fnv(q, golden[g].bytes) == golden[g].quantized, "%s: quantized %016llx", name,
           (unsigned long long)fnv(q, golden[g].bytes));
        ok(fnv(y, sizeof y) == golden[g].dequantized, "%s: dequantized %016llx", name,
           (unsigned long long)fnv(y, sizeof y));
        ok(golden[g].rmse == 0 || fabs(rmse() - golden[g].rmse) < 1e-6, "%s: rmse %.6f", name,
           rmse());
    }
}

/* every path that this machine has, with and without weights */
static void test_paths(void)
{
    static const char *const paths[] = {"generic", "avx2", "avx512", "neon"};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        const struct kn_quantizer *z = kn_quantizer(paths[p]);
        int bad = 0;
        for (size_t g = 0; z && g < sizeof golden / sizeof *golden; g++) {
            const size_t bytes = golden[g].bytes;
            for (int row = 0; row < 4; row++) {
                z->run(golden[g].type, x + 1024 * row, q + bytes / 4 * (size_t)row, 1024, NULL);
                z->run(golden[g].type, x + 1024 * row, q2 + bytes / 4 * (size_t)row, 1024, weight);
            }
            if (fnv(q, bytes) != golden[g].quantized || fnv(q2, bytes) != golden[g].weighted) {
                bad++;
                printf("# %s: %016llx, weighted %016llx\n", kn_type_info(golden[g].type)->name,
                       (unsigned long long)fnv(q, bytes), (unsigned long long)fnv(q2, bytes));
            }
        }
        if (z)
            ok(bad == 0, "%s: all types, with weights and without", paths[p]);
        else
            skip("%s: all types, with weights and without: not on this machine", paths[p]);
    }
    ok(!kn_quantizer("sse"), "no such path");
}

/* What is rare: flat groups, ties, outliers, subnormals, weights of 0 and of 1e8: the same bytes on every
 * path, and those of ggml (hash over all types). */
static void test_rare(void)
{
    static float a[2816], w[2816];
    static uint8_t to[2816 * 4];
    static const char *const paths[] = {"generic", "avx2", "avx512", "neon"};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        const struct kn_quantizer *z = kn_quantizer(paths[p]);
        uint64_t h = 0;
        state = 7;
        for (int row = 0; z && row < 6; row++) {
            for (int i = 0; i < 2816; i++) {
                const float u = (float)(splitmix() >> 40) / 8388608 - 1;
                const int r = i / 32 % 6;
                a[i] = row % 3 == 0   ? ldexpf(u, (int)(splitmix() % 40) - 30)
                       : row % 3 == 1 ? (float)((int)(splitmix() % 5) - 2) * 0.25f
                       : r == 0       ? 0
                       : r == 1       ? -1
                       : r == 2       ? 1 + u * 1e-6f
                       : r == 3       ? -1 + u * 1e-6f
                       : r == 4       ? u * 1e-20f
                                      : u * 60000;
                w[i] = splitmix() % 3 ? 0 : ldexpf(u * u, (int)(splitmix() % 28));
            }
            for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
                const size_t bytes = kn_row_bytes(golden[g].type, 2816);
                z->run(golden[g].type, a, to, 2816, NULL);
                h = h * 31 + fnv(to, bytes);
                z->run(golden[g].type, a, to, 2816, w);
                h = h * 31 + fnv(to, bytes);
            }
        }
        if (z)
            ok(h == RARE, "%s: rare values and weights: %016llx", paths[p], (unsigned long long)h);
        else
            skip("%s: rare values and weights: not on this machine", paths[p]);
    }
}

/* Q4_1 and Q5_1 against x = d*q + m written out, and half a step of error (plus f16 rounding) */
static void test_minmax(void)
{
    for (int bits = 4; bits <= 5; bits++) {
        int type = bits == 4 ? KN_Q4_1 : KN_Q5_1, bytes = bits == 4 ? 20 : 24, bad = 0, far = 0;
        kn_quantize(type, x, q, N);
        kn_dequantize(type, q, y, N);
        for (int i = 0; i < N; i++) {
            const uint8_t *b = q + i / 32 * bytes, *qs = b + (bits == 4 ? 4 : 8);
            int e = i % 32, v = e < 16 ? qs[e] & 15 : qs[e - 16] >> 4;
            if (bits == 5)
                v |= (b[4 + e / 8] >> e % 8 & 1) << 4;
            float d = kn_f16_to_f32((kn_half)(b[0] | b[1] << 8));
            float m = kn_f16_to_f32((kn_half)(b[2] | b[3] << 8));
            bad += d * (float)v + m != y[i];
            far += fabsf(x[i] - y[i]) > d * 0.5f + 2e-3f;
        }
        ok(bad == 0 && far == 0, "%s: formula and error bound, rmse %.6f", kn_type_info(type)->name,
           rmse());
    }
}

/* every f16 against its definition, and back; every midpoint of neighbours rounds to even */
static void test_f16(void)
{
    int bad = 0, back = 0, mid = 0, near = 0;
    for (unsigned h = 0; h < 0x10000; h++) {
        int e = h >> 10 & 31, m = h & 1023;
        double v = e == 0 ? ldexp(m, -24) : e == 31 ? INFINITY : ldexp(1024 + m, e - 25);
        float f = kn_f16_to_f32((kn_half)h);
        if (e == 31 && m) {
            bad += !isnan(f);
            back += (kn_f32_to_f16(f) & 0x7dff) != (h & 0x7dff);
            continue;
        }
        bad += (double)f != (h & 0x8000 ? -v : v) || !signbit(f) != !(h & 0x8000);
        back += kn_f32_to_f16(f) != h;
        if (e == 31)
            continue;
        double up = m == 1023 && e == 30 ? 65536 : fabs((double)kn_f16_to_f32((kn_half)(h + 1)));
        float half = (float)((v + up) / 2), s = h & 0x8000 ? -1 : 1; /* exact in f32 */
        mid += kn_f32_to_f16(s * half) != (h & 1 ? h + 1 : h);
        near += kn_f32_to_f16(s * nextafterf(half, 0)) != h;
        near += kn_f32_to_f16(s * nextafterf(half, INFINITY)) != h + 1;
    }
    ok(bad == 0, "f16 to f32: all 65536");
    ok(back == 0, "f32 to f16 and back: all 65536");
    ok(mid == 0 && near == 0, "f32 to f16: every midpoint to even, its neighbours to the nearer");
    ok(kn_f32_to_f16(65520.f) == 0x7c00 && kn_f32_to_f16(65519.996f) == 0x7bff, "f16 overflow");
    ok(kn_f32_to_f16(1e-30f) == 0 && kn_f32_to_f16(-1e-30f) == 0x8000, "f16 underflow");
}

static void test_bf16(void)
{
    int bad = 0;
    for (unsigned h = 0; h < 0x10000; h++) {
        float f = kn_bf16_to_f32((uint16_t)h);
        bad += isnan(f) ? !isnan(kn_bf16_to_f32(kn_f32_to_bf16(f))) : kn_f32_to_bf16(f) != h;
    }
    ok(bad == 0, "bf16 to f32 and back: all 65536");
    ok(kn_f32_to_bf16(1.00390625f) == 0x3f80 && kn_f32_to_bf16(1.01171875f) == 0x3f82,
       "half to even");
    ok(kn_f32_to_bf16(3.4e38f) == 0x7f80, "bf16 overflow is infinity");
}

/* zeros, equal values, one spike, tiny and large magnitudes: finite, zero stays zero */
static void test_edges(void)
{
    static const int all[] = {KN_F32,  KN_F16,    KN_BF16,   KN_Q4_0, KN_Q4_1, KN_Q5_0,
                              KN_Q5_1, KN_Q8_0,   KN_Q4_K,   KN_Q5_K, KN_Q6_K, KN_Q2_K,
                              KN_Q3_K, KN_IQ4_NL, KN_IQ4_XS, KN_MXFP4};
    for (size_t t = 0; t < sizeof all / sizeof *all; t++) {
        int type = all[t], bad = 0;
        size_t bytes = kn_row_bytes(type, 256);
        float a[256], b[256];
        for (int kind = 0; kind < 6; kind++) {
            for (int i = 0; i < 256; i++)
                a[i] = kind == 0   ? 0
                       : kind == 1 ? 0.75f
                       : kind == 2 ? (i == 200 ? -3.0f : 0)
                       : kind == 3 ? x[i] * 1e-42f /* subnormal: the scale rounds to 0 */
                       : kind == 4 ? x[i] * 60000.0f
                                   : -fabsf(x[i]);
            kn_quantize(type, a, q, 256);
            kn_quantize(type, a, q2, 256);
            bad += memcmp(q, q2, bytes) != 0;
            kn_dequantize(type, q, b, 256);
            for (int i = 0; i < 256; i++) {
                float tol = kind == 4 ? 8000.f : kind == 2 ? 0.25f : kind == 3 ? 1e-40f : 0.14f;
                if (type == KN_Q2_K || type == KN_Q3_K || type == KN_MXFP4) /* coarser */
                    tol *= 4;
                bad += !(fabsf(a[i] - b[i]) <= tol);
                bad += kind == 0 && b[i] != 0;
            }
        }
        ok(bad == 0, "%s: zeros, equal values, a spike, tiny, large, negative",
           kn_type_info(type)->name);
    }
}

/* NF4: bitsandbytes' formulas written out; the bounds of its codes; any part of a tensor alone */
static void test_nf4(void)
{
    enum { COUNT = 4096 - 37 }; /* the last block is not full */
    static uint8_t packed[4096];
    static float part[200];
    float absmax[65];
    int far = 0, unlike = 0;
    double worst = 0;
    const size_t nb = (COUNT + 63) / 64, bytes = (COUNT + 1) / 2 + nb + 4 + 4;
    ok(kn_nf4_bytes(COUNT) == bytes && kn_nf4_bytes(0) == 4 &&
           kn_nf4_bytes(64 * 256) == 8192 + 256 + 8 &&
           kn_nf4_bytes(64 * 256 + 1) == 8193 + 257 + 12,
       "NF4: bytes");
    kn_nf4_absmax(x, COUNT, absmax);
    kn_nf4_nest(absmax, COUNT, packed);
    kn_nf4_codes(x, COUNT, absmax, packed);
    kn_nf4_dequantize(packed, COUNT, 0, y, COUNT);
    for (int i = 0; i < COUNT; i++) {
        const float top = absmax[i / 64];
        far += fabsf(x[i] - y[i]) >
               0.1525f * top + 0.02f; /* half the widest gap; the scale's rounding */
        /* a block's own largest is code 15 or 0 */
        const int c = i & 1 ? packed[i / 2] & 15 : packed[i / 2] >> 4;
        far += fabsf(x[i]) == top && c != (x[i] > 0 ? 15 : 0);
        worst = fabs((double)x[i] - y[i]) > worst ? fabs((double)x[i] - y[i]) : worst;
    }
    ok(far == 0, "NF4: each value within half a gap of its code, the largest at the end: %.4f",
       worst);
    for (int first = 0; first < COUNT - 200; first += 101) {
        kn_nf4_dequantize(packed, COUNT, (size_t)first, part, 200);
        unlike += memcmp(part, y + first, sizeof part) != 0;
    }
    ok(unlike == 0, "NF4: any part of a tensor");
    /* one block: its scale is the mean, so that nothing is left to round, and codes come back as they are */
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
    kn_nf4_absmax(code, 16, absmax);
    kn_nf4_nest(absmax, 16, packed);
    kn_nf4_codes(code, 16, absmax, packed);
    kn_nf4_dequantize(packed, 16, 0, y, 16);
    ok(memcmp(y, code, sizeof code) == 0 && same_hex(packed, "0123456789abcdef"),
       "NF4: the sixteen codes, the first of two in the high nibble");
}

int main(void)
{
    for (int i = 0; i < N; i++)
        x[i] = (float)(splitmix() >> 40) / 8388608 - 1;
    for (int i = 0; i < 1024; i++) {
        const float g = (float)(splitmix() >> 40) / 8388608 - 1;
        weight[i] = g * g + 0.01f;
    }
    test_golden();
    test_paths();
    test_rare();
    test_minmax();
    test_f16();
    test_bf16();
    test_edges();
    test_nf4();
    ok(kn_type_by_name("q4_k") == KN_Q4_K && kn_type_by_name("BF16") == KN_BF16, "types by name");
    ok(kn_type_by_name("q4_k_m") == -1 && kn_type_by_name("") == -1, "no such types");
    ok(kn_type_info(4)->name == NULL && kn_type_info(-1)->name == NULL &&
           kn_type_info(99)->name == NULL,
       "unknown ids");
    ok(kn_row_bytes(KN_Q4_K, 128) == 0 && kn_row_bytes(KN_F32, SIZE_MAX) == 0 &&
           kn_row_bytes(KN_Q8_0, 64) == 68,
       "bytes of a row");
    return done_testing();
}
