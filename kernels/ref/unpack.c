/* unpack - a quantized block as integers and scales, for the exact dot products of R1 */
#include "blocks.h"
#include "ref/matmul.h"
#include <string.h>

static float half_at(const uint8_t *p)
{
    kn_half h;
    memcpy(&h, p, sizeof h);
    return kn_f16_to_f32(h);
}

static int unpack_32(int type, const uint8_t *p, struct ref_block *u)
{
    int fifth = type == KN_Q5_0 || type == KN_Q5_1, with_min = type == KN_Q4_1 || type == KN_Q5_1;
    int offset = type == KN_Q4_0 ? 8 : type == KN_Q5_0 ? 16 : 0;
    uint32_t qh = 0;
    u->d = half_at(p);
    u->m = with_min ? half_at(p + 2) : 0;
    u->sc[0] = 1;
    u->mn[0] = 1;
    p += with_min ? 4 : 2;
    if (type == KN_Q8_0) {
        memcpy(u->q, p, 32);
        return 1;
    }
    if (fifth) {
        memcpy(&qh, p, 4);
        p += 4;
    }
    for (int i = 0; i < 32; i++) {
        int lo = i < 16 ? p[i] & 15 : p[i - 16] >> 4;
        u->q[i] = (int8_t)((lo | (int)(qh >> i & 1) << 4) - offset);
    }
    return 1;
}

static int unpack_k45(int type, const uint8_t *p, struct ref_block *u)
{
    uint8_t sc[8], m[8];
    u->d = half_at(p);
    u->m = -half_at(p + 2);
    kn_k4_unpack(p + 4, sc, m);
    const uint8_t *qh = p + 16, *qs = type == KN_Q5_K ? p + 48 : p + 16;
    for (int j = 0; j < 8; j++) {
        u->sc[j] = sc[j];
        u->mn[j] = m[j];
        for (int i = 0; i < 32; i++) {
            int q = qs[32 * (j / 2) + i] >> 4 * (j & 1) & 15;
            if (type == KN_Q5_K)
                q |= (qh[i] >> j & 1) << 4;
            u->q[32 * j + i] = (int8_t)q;
        }
    }
    return 8;
}

static int unpack_q6_k(const uint8_t *p, struct ref_block *u)
{
    struct kn_q6_k b;
    memcpy(&b, p, sizeof b);
    u->d = kn_f16_to_f32(b.d);
    u->m = 0;
    for (int i = 0; i < 256; i++) {
        int n = i / 128, g = i % 128 / 32, l = i % 32;
        int lo = b.ql[64 * n + 32 * (g & 1) + l] >> 4 * (g >> 1) & 15;
        u->q[i] = (int8_t)((lo | (b.qh[32 * n + l] >> 2 * g & 3) << 4) - 32);
    }
    for (int j = 0; j < 16; j++) {
        u->sc[j] = b.scales[j];
        u->mn[j] = 0;
    }
    return 16;
}

int ref_unpack(int type, const uint8_t *p, struct ref_block *u)
{
    switch (type) {
    case KN_Q4_K:
    case KN_Q5_K:
        return unpack_k45(type, p, u);
    case KN_Q6_K:
        return unpack_q6_k(p, u);
    }
    return unpack_32(type, p, u);
}
