/* mmq.simd.c - the inner loops of the quantized matrix product (R1): the table of a path */
#include "mmq_few.h"
#include "mmq_many.h"

static void panel(int type, int m, int k, const uint8_t *q, const void *act, size_t ld, float *y,
                  size_t y_ld)
{
    const char *x = act;
#define TYPE(T, f, len)                                                                            \
    case T:                                                                                        \
        for (int n; MANY > 0 && T != KN_Q8_0 && m >= MANY;                                         \
             m -= n, x += (size_t)n * ld, y += (size_t)n * y_ld) {                                 \
            n = m < MANY_ROWS ? m : MANY_ROWS;                                                     \
            many(T, n, k / (len), q, x, ld, y, y_ld);                                              \
        }                                                                                          \
        f(T, m, k / (len), q, x, ld, y, y_ld);                                                     \
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
