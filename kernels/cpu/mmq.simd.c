/* mmq.simd.c - the inner loops of the quantized matrix product (R1) */
#include "mmq.h"
#include "mmq_rows.h"

#if defined(ISA_avx512)
enum { ROWS32 = 8, ROWS256 = 4 }; /* rows of x whose accumulators fit the registers */
#elif defined(ISA_avx2)
enum { ROWS32 = 2, ROWS256 = 1 };
#else
enum { ROWS32 = 1, ROWS256 = 1 };
#endif

INLINE vi word(const int8_t *q, int t) /* 4 activations, to all rows */
{
    int32_t w;
    memcpy(&w, q + 4 * t, 4);
    return vi_set1(w);
}
INLINE vi quants(const uint8_t *q, int w)
{
    return vi_load(q + 64 * w);
}

/* Hardware follows a line of memory too closely for one core to use the bandwidth: reading 1 KiB
 * ahead gave 7 % with 4 KiB pages and 23 % with 2 MiB ones.  Past the end of a weight a prefetch
 * does nothing. */
INLINE void ahead(const uint8_t *q, size_t bytes)
{
    UNROLL for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(q + 1024 + i, 0, 2);
}

/* s[r] = the exact dot product of a block of 32, for R rows of x that lie `ld` bytes apart */
INLINE void dot32(int type, int R, const uint8_t *q, const char *act, size_t ld, vi *s)
{
    const vi low = vi_set1(0x0f0f0f0f), fifth = vi_set1(0x10101010);
    const struct mmq_act32 *a[ROWS32];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act32 *)(act + (size_t)r * ld);
        s[r] = type == KN_Q8_0   ? vi_dot_s8_init(a[r]->sum)
               : type == KN_Q4_0 ? vi_set1(-8 * a[r]->sum)
               : type == KN_Q5_0 ? vi_set1(-16 * a[r]->sum)
                                 : vi_zero();
    }
    if (type == KN_Q8_0) {
        UNROLL for (int t = 0; t < 8; t++)
        {
            vi w = quants(q, t);
            UNROLL for (int r = 0; r < R; r++) s[r] = vi_dot_s8(s[r], w, word(a[r]->q, t));
        }
        return;
    }
    const int five = type == KN_Q5_0 || type == KN_Q5_1;
    vi h = five ? quants(q, 4) : vi_zero();
    UNROLL for (int t = 0; t < 4; t++)
    {
        vi w = quants(q, t);
        vi lo = vi_and(w, low), hi = vi_and(vi_srl(w, 4), low);
        if (five) {
            lo = vi_and_or(vi_sll(h, 4 - t), fifth, lo);
            hi = vi_and_or(vi_srl(h, t), fifth, hi);
        }
        UNROLL for (int r = 0; r < R; r++)
        {
            s[r] = vi_dot_u7(s[r], lo, word(a[r]->q, t));
            s[r] = vi_dot_u7(s[r], hi, word(a[r]->q, t + 4));
        }
    }
}

/* y(R, 16) of a panel whose blocks have 32 elements */
INLINE void panel32(int type, int R, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                    size_t y_ld)
{
    const size_t qb = type == KN_Q8_0 ? 512 : type == KN_Q5_0 || type == KN_Q5_1 ? 320 : 256;
    const int min = type == KN_Q4_1 || type == KN_Q5_1;
    const uint16_t *d = (const uint16_t *)(q + (size_t)nb * qb);
    vf lane[8][ROWS32];
    for (int l = 0; l < 8; l++) {
        vf acc[ROWS32];
        UNROLL for (int r = 0; r < R; r++) acc[r] = vf_zero();
        for (int b = l; b < nb; b += 8) {
            ahead(q, qb);
            vi s[ROWS32];
            dot32(type, R, q, act, ld, s);
            vf dw = vf_load_f16(d), m = min ? vf_load_f16(d + 16) : vf_zero();
            UNROLL for (int r = 0; r < R; r++)
            {
                const struct mmq_act32 *a = (const struct mmq_act32 *)(act + (size_t)r * ld);
                vf da = vf_set1(a->d);
                acc[r] = vf_fma(vf_mul(dw, da), vi_to_float(s[r]), acc[r]);
                if (min)
                    acc[r] = vf_fma(vf_mul(m, da), vf_set1((float)a->sum), acc[r]);
            }
            q += qb, d += min ? 32 : 16, act += sizeof(struct mmq_act32);
        }
        UNROLL for (int r = 0; r < R; r++) lane[l][r] = acc[r];
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        vf a = vf_add(lane[0][r], lane[4][r]), b = vf_add(lane[1][r], lane[5][r]);
        vf c = vf_add(lane[2][r], lane[6][r]), e = vf_add(lane[3][r], lane[7][r]);
        vf_store(y + (size_t)r * y_ld, vf_add(vf_add(a, c), vf_add(b, e)));
    }
}

/* s[r], ms[r] = the dot products of a block of Q4_K or Q5_K with their sub-scales */
INLINE void dot_k45(int type, int R, const uint8_t *q, const uint8_t *scale, const char *act,
                    size_t ld, vi *s, vi *ms)
{
    const vi low = vi_set1(0x0f0f0f0f), fifth = vi_set1(0x10101010);
    const struct mmq_act256 *a[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        s[r] = ms[r] = vi_zero();
    }
    UNROLL for (int g = 0; g < 4; g++) /* sub-blocks 2g and 2g + 1 */
    {
        vi u[ROWS256], v[ROWS256];
        UNROLL for (int r = 0; r < R; r++) u[r] = v[r] = vi_zero();
        UNROLL for (int t = 0; t < 8; t++)
        {
            vi w = quants(q, 8 * g + t);
            vi lo = vi_and(w, low), hi = vi_and(vi_srl(w, 4), low);
            if (type == KN_Q5_K) {
                vi h = quants(q, 32 + t);
                lo = vi_and_or(2 * g < 4 ? vi_sll(h, 4 - 2 * g) : vi_srl(h, 2 * g - 4), fifth, lo);
                hi = vi_and_or(2 * g < 3 ? vi_sll(h, 3 - 2 * g) : vi_srl(h, 2 * g - 3), fifth, hi);
            }
            UNROLL for (int r = 0; r < R; r++)
            {
                u[r] = vi_dot_u7(u[r], lo, word(a[r]->q, 16 * g + t));
                v[r] = vi_dot_u7(v[r], hi, word(a[r]->q, 16 * g + 8 + t));
            }
        }
        vi su = vi_load_u8(scale + 32 * g), sv = vi_load_u8(scale + 32 * g + 16);
        UNROLL for (int r = 0; r < R; r++) s[r] =
            vi_add(s[r], vi_add(vi_mul(u[r], su), vi_mul(v[r], sv)));
    }
    UNROLL for (int p = 0; p < 4; p++)
    {
        vi m = vi_load_u8_pairs(scale + 128 + 32 * p);
        UNROLL for (int r = 0; r < R; r++) ms[r] =
            vi_dot_s16(ms[r], m, word((const int8_t *)a[r]->sum32, p));
    }
}

INLINE void dot_k6(int R, const uint8_t *q, const uint8_t *scale, const char *act, size_t ld, vi *s)
{
    const vi low = vi_set1(0x0f0f0f0f), high = vi_set1(0x30303030);
    const struct mmq_act256 *a[ROWS256];
    UNROLL for (int r = 0; r < R; r++)
    {
        a[r] = (const struct mmq_act256 *)(act + (size_t)r * ld);
        s[r] = vi_zero();
    }
    for (int nh = 0; nh < 4; nh++) { /* n = nh / 2: 128 elements; words 4h .. 4h + 3 of each 32 */
        int n = nh / 2, h = nh % 2;
        vi u[4][ROWS256];
        UNROLL for (int g = 0; g < 4; g++)
        {
            UNROLL for (int r = 0; r < R; r++) u[g][r] =
                vi_set1(-32 * a[r]->sum16[8 * n + 2 * g + h]);
        }
        UNROLL for (int t4 = 0; t4 < 4; t4++)
        {
            int t = 4 * h + t4;
            vi w0 = quants(q, 16 * n + t), w1 = quants(q, 16 * n + 8 + t);
            vi qh = quants(q, 32 + 8 * n + t);
            vi w[4] = {vi_and_or(vi_sll(qh, 4), high, vi_and(w0, low)),
                       vi_and_or(vi_sll(qh, 2), high, vi_and(w1, low)),
                       vi_and_or(qh, high, vi_and(vi_srl(w0, 4), low)),
                       vi_and_or(vi_srl(qh, 2), high, vi_and(vi_srl(w1, 4), low))};
            UNROLL for (int g = 0; g < 4; g++)
            {
                UNROLL for (int r = 0; r < R; r++) u[g][r] =
                    vi_dot_u7(u[g][r], w[g], word(a[r]->q, 32 * n + 8 * g + t));
            }
        }
        UNROLL for (int g = 0; g < 4; g++)
        {
            vi sc = vi_load_s8((const int8_t *)scale + 16 * (8 * n + 2 * g + h));
            UNROLL for (int r = 0; r < R; r++) s[r] = vi_add(s[r], vi_mul(u[g][r], sc));
        }
    }
}

/* y(R, 16) of a panel whose blocks have 256 elements */
INLINE void panel256(int type, int R, int nb, const uint8_t *q, const char *act, size_t ld,
                     float *y, size_t y_ld)
{
    const int six = type == KN_Q6_K;
    const size_t qb = six ? 48 * 64 : type == KN_Q5_K ? 40 * 64 : 32 * 64, sb = six ? 288 : 320;
    const uint8_t *sc = q + (size_t)nb * qb;
    vf lane[8][ROWS256];
    for (int l = 0; l < 8; l++) {
        vf acc[ROWS256];
        UNROLL for (int r = 0; r < R; r++) acc[r] = vf_zero();
        for (int b = l; b < nb; b += 8) {
            ahead(q, qb);
            vi s[ROWS256], ms[ROWS256];
            if (six)
                dot_k6(R, q, sc + 32, act, ld, s);
            else
                dot_k45(type, R, q, sc + 64, act, ld, s, ms);
            vf dw = vf_load_f16((const uint16_t *)sc);
            vf dm = six ? vf_zero() : vf_load_f16((const uint16_t *)sc + 16);
            UNROLL for (int r = 0; r < R; r++)
            {
                vf da = vf_set1(((const struct mmq_act256 *)(act + (size_t)r * ld))->d);
                acc[r] = vf_fma(vf_mul(dw, da), vi_to_float(s[r]), acc[r]);
                if (!six)
                    acc[r] = vf_fma(vf_neg(vf_mul(dm, da)), vi_to_float(ms[r]), acc[r]);
            }
            q += qb, sc += sb, act += sizeof(struct mmq_act256);
        }
        UNROLL for (int r = 0; r < R; r++) lane[l][r] = acc[r];
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        vf a = vf_add(lane[0][r], lane[4][r]), b = vf_add(lane[1][r], lane[5][r]);
        vf c = vf_add(lane[2][r], lane[6][r]), e = vf_add(lane[3][r], lane[7][r]);
        vf_store(y + (size_t)r * y_ld, vf_add(vf_add(a, c), vf_add(b, e)));
    }
}

#define ROWS(f, R)                                                                                 \
    for (; m >= (R); m -= (R), act += (R)*ld, y += (R)*y_ld)                                       \
        f(type, R, nb, q, act, ld, y, y_ld);

INLINE void rows32(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                   size_t y_ld)
{
    if (ROWS32 > 4) {
        ROWS(panel32, ROWS32 > 4 ? 8 : 1)
        ROWS(panel32, ROWS32 > 4 ? 4 : 1)
    }
    if (ROWS32 > 1) {
        ROWS(panel32, ROWS32 > 1 ? 2 : 1)
    }
    ROWS(panel32, 1)
}
INLINE void rows256(int type, int m, int nb, const uint8_t *q, const char *act, size_t ld, float *y,
                    size_t y_ld)
{
    if (ROWS256 > 2) {
        ROWS(panel256, ROWS256 > 2 ? 4 : 1)
        ROWS(panel256, ROWS256 > 2 ? 2 : 1)
    }
    ROWS(panel256, 1)
}

static void panel(int type, int m, int k, const uint8_t *q, const void *act, size_t ld, float *y,
                  size_t y_ld)
{
#define TYPE(T, f, len)                                                                            \
    case T:                                                                                        \
        f(T, m, k / (len), q, act, ld, y, y_ld);                                                   \
        break;
    switch (type) {
        TYPE(KN_Q8_0, rows32, 32)
        TYPE(KN_Q4_0, rows32, 32)
        TYPE(KN_Q4_1, rows32, 32)
        TYPE(KN_Q5_0, rows32, 32)
        TYPE(KN_Q5_1, rows32, 32)
        TYPE(KN_Q4_K, rows256, 256)
        TYPE(KN_Q5_K, rows256, 256)
        TYPE(KN_Q6_K, rows256, 256)
    }
}

static void quantize(int act_block, int k, const float *x, void *act)
{
    const int nb = k / act_block;
    struct mmq_act32 *a = act;
    struct mmq_act256 *a256 = act;
    for (int l = 0; l < 8; l++)
        for (int b = l; b < nb; b += 8) {
            const float *xb = x + (size_t)b * (size_t)act_block;
            float id;
            if (act_block == 32) {
                a->d = scale_of(xb, 32, &id);
                a->sum = bytes16(xb, vf_set1(id), a->q);
                a->sum += bytes16(xb + 16, vf_set1(id), a->q + 16);
                a++;
                continue;
            }
            a256->d = scale_of(xb, 256, &id);
            for (int i = 0; i < 16; i++)
                a256->sum16[i] = bytes16(xb + 16 * i, vf_set1(id), a256->q + 16 * i);
            for (int i = 0; i < 8; i++)
                a256->sum32[i] = (int16_t)(a256->sum16[2 * i] + a256->sum16[2 * i + 1]);
            a256++;
        }
}

const struct mmq_isa FN(mmq) = {quantize, panel, PATH};
