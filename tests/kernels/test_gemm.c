/* test_gemm.c - kernels/cpu/gemm: every shape and path equals the chains of R2 bit for bit */
#include "cpu/gemm.h"

#include "tap.h"

#include <math.h>
#include <string.h>

static uint32_t seed = 1;
static float rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static float r2(const struct gemm *g, const float *b, size_t b_row, size_t b_col, int i, int j)
{
    float sum = 0;
    for (int k = 0; k < g->k; k += GEMM_KC) {
        float acc = 0;
        for (int kk = k; kk < g->k && kk < k + GEMM_KC; kk++)
            acc = fmaf(g->a[(size_t)i * g->a_row + (size_t)kk * g->a_col],
                       b[(size_t)kk * b_row + (size_t)j * b_col], acc);
        sum = k ? sum + acc : acc;
    }
    return sum;
}

/* one shape: A plain or transposed, B by rows, by columns and packed, with and without bias and add
 */
static int shape(const struct gemm_isa *isa, int m, int n, int k, int type, int trans, int threads)
{
    struct pool *p = pool_new(threads);
    size_t mk = (size_t)m * (size_t)k, nk = (size_t)n * (size_t)k, mn = (size_t)m * (size_t)n;
    float *a = malloc(mk * 4), *b = malloc(nk * 4), *c = malloc(mn * 4), *c0 = malloc(mn * 4);
    float *bias = malloc((size_t)n * 4);
    char *raw = malloc(nk * 4), *packed = aligned_alloc(64, gemm_packed_bytes(KN_F32, n, k));
    for (size_t i = 0; i < mk; i++)
        a[i] = rnd();
    for (size_t i = 0; i < nk; i++)
        b[i] = rnd();
    for (int i = 0; i < n; i++)
        bias[i] = rnd();
    kn_quantize(type, b, raw, nk);
    kn_dequantize(type, raw, b, nk);
    int bad = 0, floats = type == KN_F32 || type == KN_F16 || type == KN_BF16;
    struct gemm g = {
        .m = m, .n = n, .k = k, .a = a, .a_row = (size_t)k, .a_col = 1, .b_type = type};
    g.c = c, g.c_ld = (size_t)n, g.isa = isa, g.alpha = trans ? 0.5f : 1;
    if (trans)
        g.a_row = 1, g.a_col = (size_t)m;
    g.scratch = aligned_alloc(64, gemm_scratch_bytes() * (size_t)threads);
    for (int way = 0; way < 3; way++) {
        size_t b_row = 1, b_col = (size_t)k;
        g.b = raw, g.b_ld = (size_t)k, g.panels = gemm_panels_rows, g.align = 0;
        if (way == 1) { /* the same numbers seen as (k, n) */
            if (n % kn_type_info(type)->block_len)
                continue;
            b_row = (size_t)n, b_col = 1;
            g.b_ld = (size_t)n, g.panels = gemm_panels_cols, g.align = gemm_align(type);
        } else if (way == 2) {
            if (!floats)
                continue;
            gemm_pack(type, n, k, raw, packed);
            g.b = packed, g.panels = gemm_panels_packed;
        }
        g.add = way == 1, g.bias = way ? bias : NULL;
        for (size_t i = 0; i < mn; i++)
            c[i] = c0[i] = rnd();
        gemm_run(p, &g);
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                float y = g.alpha * r2(&g, b, b_row, b_col, i, j);
                size_t at = (size_t)i * (size_t)n + (size_t)j;
                y = g.bias ? y + bias[j] : y;
                y = g.add ? c0[at] + y : y;
                bad += memcmp(&y, &c[at], 4) != 0;
            }
    }
    free(a), free(b), free(c), free(c0), free(bias), free(raw), free(packed), free(g.scratch);
    pool_free(p);
    return bad;
}

int main(void)
{
    static const struct {
        const char *name;
        const struct gemm_isa *isa;
    } path[] = {
        {"generic", &gemm_generic},
#if defined(__x86_64__)
        {"avx2", &gemm_avx2},
        {"avx512", &gemm_avx512},
#elif defined(__aarch64__)
        {"neon", &gemm_neon},
#endif
    };
    static const int type[] = {KN_F32, KN_F16, KN_BF16, KN_Q8_0, KN_Q4_K};
    for (int i = 0; i < (int)(sizeof path / sizeof *path); i++) {
#if defined(__x86_64__)
        if ((i == 1 && !__builtin_cpu_supports("avx2")) ||
            (i == 2 && !__builtin_cpu_supports("avx512vnni"))) {
            skip("%s", path[i].name);
            continue;
        }
#endif
        for (int t = 0; t < 5; t++) {
            int bad = 0, len = kn_type_info(type[t])->block_len;
            for (int m = 1; m < (i ? 31 : 15); m = m * 2 + 1)
                for (int n = len > 1 ? len : 7; n <= 300; n = n * (i ? 2 : 5) + (len > 1 ? 0 : 5))
                    bad += shape(path[i].isa, m, n, len > 1 ? 512 : 300, type[t], m & 2, 1 + m % 3);
            ok(!bad, "%s %s: %d wrong", path[i].name, kn_type_info(type[t])->name, bad);
        }
        ok(!shape(path[i].isa, 600, 37, 70, KN_F32, 0, 2), "%s many rows", path[i].name);
    }
    return done_testing();
}
