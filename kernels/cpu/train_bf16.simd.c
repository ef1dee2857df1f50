/* train_bf16.simd.c - bf16 tiles made of f32 rows, and their product by vectors in AMX's order */
#include "cpu/train_bf16.h"
#include "cpu/simd.h"
#include "cpu/train_round.h"

#ifndef ROUND_bf16 /* tiles alone: the product is AMX's */
/* Denormals count as zero (T1): x86 does it by two bits of MXCSR, other machines by a mask. */
#if defined ISA_avx2 || defined ISA_avx512
#define FLUSH      0x8040 /* FTZ and DAZ */
#define flushed(x) (x)
#else
static vf flushed(vf x)
{
    vi sign = vi_and(vf_bits(x), vi_set1((int32_t)0x80000000));
    return vi_float_bits(vi_or(sign, vf_bits(vf_zero_below(x, vf_abs(x), 0x1p-126f))));
}
#endif

#if defined ISA_avx512
enum { MR = 8 }; /* 8 even and 8 odd chains, 8 sums of 32 registers */
#else
enum { MR = 2 }; /* 2 even and 2 odd chains of two registers each, of 16 */
#endif
enum { KB = 8 }; /* chunks of A that are wide in f32 at once: 16 rows of 256 */

/* c(MR, 16) += n chunks; a: [chunk][16][32] f32 from the first row on */
INLINE void micro(int n, const float *a, const uint16_t *b, float *c, size_t ldc, int add)
{
    vf s[MR];
    UNROLL for (int i = 0; i < MR; i++) s[i] =
        add ? flushed(vf_load(c + (size_t)i * ldc)) : vf_zero();
    for (; n > 0; n--, a += T16, b += T16) {
        vf e[MR], o[MR];
        UNROLL for (int i = 0; i < MR; i++) e[i] = o[i] = vf_zero();
        for (int q = 0; q < T16_K / 2; q++) {
            vi pair = vi_load(b + 2 * T16_N * q);
            vf even = flushed(vi_float_bits(vi_sll(pair, 16)));
            vf odd = flushed(vi_float_bits(vi_and(pair, vi_set1((int32_t)0xffff0000))));
            UNROLL for (int i = 0; i < MR; i++)
            {
                const float *x = a + i * T16_K + 2 * q;
                e[i] = flushed(vf_fma(vf_set1(x[0]), even, e[i]));
                o[i] = flushed(vf_fma(vf_set1(x[1]), odd, o[i]));
            }
        }
        UNROLL for (int i = 0; i < MR; i++) s[i] =
            flushed(vf_add(s[i], flushed(vf_add(e[i], o[i]))));
    }
    UNROLL for (int i = 0; i < MR; i++) vf_store(c + (size_t)i * ldc, s[i]);
}

static __attribute__((noinline)) void all_tiles(const struct train16 *p)
{
    float wide[KB * T16] __attribute__((aligned(64)));
    for (int ip = 0; ip < p->mt; ip++) {
        int add = p->add;
        for (int s = 0; s < p->n_seg; s++)
            for (int k0 = 0; k0 < p->seg[s].kt; k0 += KB, add = 1) {
                const struct train16_seg *g = &p->seg[s];
                int n = g->kt - k0 < KB ? g->kt - k0 : KB;
                const uint16_t *a = g->a + (size_t)ip * g->lda + (size_t)k0 * T16;
                for (int i = 0; i < n * T16; i += 16)
                    vf_store(wide + i, flushed(vf_load_bf16(a + i)));
                for (int jp = 0; jp < p->nt; jp++) {
                    const uint16_t *b = g->b + (size_t)jp * g->ldb + (size_t)k0 * T16;
                    float *c = p->c + (size_t)ip * 16 * p->ldc + 16 * (size_t)jp;
                    for (int i = 0; i < 16; i += MR)
                        micro(n, wide + i * T16_K, b, c + (size_t)i * p->ldc, p->ldc, add);
                }
            }
    }
}

/* The mode is set around a call that is not inlined, so that no arithmetic of others moves into it. */
void FN(train16_product)(const struct train16 *p)
{
#ifdef FLUSH
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH);
    all_tiles(p);
    _mm_setcsr(mode);
#else
    all_tiles(p);
#endif
}
#endif

static void rows(uint16_t *a, const float *x, size_t ld, int n, int k, float scale)
{
    vf s = vf_set1(scale);
    for (int i = 0; i < 16; i++, x += ld, a += T16_K) {
        uint16_t *to = a;
        int j = 0;
        for (; i < n && j + T16_K <= k; j += T16_K, to += T16)
            store_bf16_2(to, vf_mul(s, vf_load(x + j)), vf_mul(s, vf_load(x + j + 16)));
        if (i < n && j < k) { /* what is left of the last tile */
            int left = k - j;
            vf y = left > 16 ? vf_load_n(x + j + 16, left - 16) : vf_zero();
            store_bf16_2(to, vf_mul(s, vf_load_n(x + j, left)), vf_mul(s, y));
            j += T16_K, to += T16;
        }
        for (; j < k; j += T16_K, to += T16)
            store_bf16_2(to, vf_zero(), vf_zero());
    }
}

static void pairs(uint16_t *b, const float *x, size_t ld, int k, int n, float scale)
{
    vf s = vf_set1(scale);
    for (int q = 0; q < T16_K; q += 2, x += 2 * ld, b += 2 * T16_N) {
        vf even = q < k ? vf_mul(s, vf_load_n(x, n)) : vf_zero();
        vf odd = q + 1 < k ? vf_mul(s, vf_load_n(x + ld, n)) : vf_zero();
        vi_store(b, pairs_bf16(even, odd));
    }
}

static void weave(uint16_t *b, size_t ldb, const uint16_t *a0, const uint16_t *a1)
{
    for (int q = 0; q < T16_K / 2; q++, b += 2 * T16_N) {
        const uint16_t *a = (q < 8 ? a0 : a1) + q % 8 * 2 * T16_K;
#ifdef ISA_avx512
        /* words of x and y in turn: c, 32 + c */
        const __m512i left = _mm512_set_epi32(
            0x2f000f, 0x2e000e, 0x2d000d, 0x2c000c, 0x2b000b, 0x2a000a, 0x290009, 0x280008,
            0x270007, 0x260006, 0x250005, 0x240004, 0x230003, 0x220002, 0x210001, 0x200000);
        const __m512i right = _mm512_add_epi16(left, _mm512_set1_epi16(16));
        __m512i x = vi_load(a), y = vi_load(a + T16_K);
        vi_store(b, _mm512_permutex2var_epi16(x, left, y));
        vi_store(b + ldb, _mm512_permutex2var_epi16(x, right, y));
#else
        for (int c = 0; c < T16_N; c++) {
            b[2 * c] = a[c], b[2 * c + 1] = a[T16_K + c];
            b[ldb + 2 * c] = a[T16_N + c], b[ldb + 2 * c + 1] = a[T16_K + T16_N + c];
        }
#endif
    }
}

static void turn(uint16_t *to, const uint16_t *from, int kt)
{
    for (int t = 0; t < kt; t++, to += T16, from += T16)
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++)
                memcpy(to + 2 * (16 * j + i), from + 2 * (16 * i + j), 4);
}

#include "cpu/train_attn16.h"

const struct train16_isa FN(train16) = {
    rows, pairs, weave, turn, attn_scratch, attn, attn_bwd,
};
