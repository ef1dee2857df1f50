/* mmq.c - weights of quantized products: from the file's rows to panels of 16 */
#include "mmq.h"
#include "mmq_tile.h"

#include <string.h>

#define X4(f, b)  f((b)), f((b) + 1), f((b) + 2), f((b) + 3)
#define X16(f, b) X4(f, b), X4(f, (b) + 4), X4(f, (b) + 8), X4(f, (b) + 12)
#define B4(b)     b, b, b, b
#define B16(b)    B4(b), B4(b), B4(b), B4(b)
#define LINE(b)                                                                                    \
    {                                                                                              \
        B16(b), B16(b), B16(b), B16(b)                                                             \
    }
_Alignas(64) const uint8_t mmq_bytes[64][64] = {X16(LINE, 0), X16(LINE, 16), X16(LINE, 32),
                                                X16(LINE, 48)};

/* bytes of one block of a panel: quants, scales */
static int quant_bytes(int type)
{
    switch (type) {
    case KN_Q8_0:
        return 8 * 64;
    case KN_Q4_0:
    case KN_Q4_1:
        return 4 * 64;
    case KN_Q5_0:
    case KN_Q5_1:
        return 5 * 64;
    case KN_Q4_K:
        return 32 * 64;
    case KN_Q5_K:
        return 40 * 64;
    case KN_Q6_K:
        return 48 * 64;
    }
    return 0;
}
static int scale_bytes(int type)
{
    switch (type) {
    case KN_Q4_1:
    case KN_Q5_1:
        return 64;
    case KN_Q4_K:
    case KN_Q5_K:
        return 64 + 128 + 128;
    case KN_Q6_K:
        return 32 + 256;
    }
    return 32;
}

size_t mmq_panel_bytes(int type, int k)
{
    size_t nb = (size_t)k / (size_t)kn_type_info(type)->block_len;
    return (nb * (size_t)(quant_bytes(type) + scale_bytes(type)) + 63) & ~(size_t)63;
}

/* word w of lane r, and the half of lane r in a group of 16 */
static void put_word(uint8_t *to, int w, int r, const void *word)
{
    memcpy(to + 64 * w + 4 * r, word, 4);
}
static void put_words(uint8_t *to, int w, int n, int r, const uint8_t *from)
{
    for (int i = 0; i < n; i++)
        put_word(to, w + i, r, from + 4 * i);
}
static void put_half(uint8_t *to, int g, int r, kn_half h)
{
    memcpy(to + 32 * g + 2 * r, &h, 2);
}

/* Words of 4 quants, a byte each, to the bytes of a panel (mmq_words.h) and back. */
enum { EACH = 0x01010101 };
static void put_5(uint8_t *to, int r, const uint32_t w[8])
{
    const uint32_t b[5] = {
        w[0] | (w[5] & 7 * EACH) << 5, w[1] | (w[5] & 24 * EACH) << 2 | (w[7] & 8 * EACH) << 4,
        w[2] | (w[6] & 7 * EACH) << 5, w[3] | (w[6] & 24 * EACH) << 2 | (w[7] & 16 * EACH) << 3,
        w[4] | (w[7] & 7 * EACH) << 5};
    for (int i = 0; i < 5; i++)
        put_word(to, i, r, &b[i]);
}
static void put_6(uint8_t *to, int r, const uint32_t w[4])
{
    for (int i = 0; i < 3; i++) {
        const uint32_t b = w[i] | (w[3] >> 2 * i & 3 * EACH) << 6;
        put_word(to, i, r, &b);
    }
}
static uint32_t get_word(const uint8_t *from, int w, int r)
{
    uint32_t b;
    memcpy(&b, from + 64 * w + 4 * r, 4);
    return b;
}
static void get_5(const uint8_t *from, int r, uint32_t w[8])
{
    uint32_t b[5];
    for (int i = 0; i < 5; i++) {
        b[i] = get_word(from, i, r);
        w[i] = b[i] & 31 * EACH;
    }
    w[5] = (b[0] >> 5 & 7 * EACH) | (b[1] >> 2 & 24 * EACH);
    w[6] = (b[2] >> 5 & 7 * EACH) | (b[3] >> 2 & 24 * EACH);
    w[7] = (b[4] >> 5 & 7 * EACH) | (b[1] >> 4 & 8 * EACH) | (b[3] >> 3 & 16 * EACH);
}
static void get_6(const uint8_t *from, int r, uint32_t w[4])
{
    w[3] = 0;
    for (int i = 0; i < 3; i++) {
        const uint32_t b = get_word(from, i, r);
        w[i] = b & 63 * EACH;
        w[3] |= (b >> 6 & 3 * EACH) << 2 * i;
    }
}

/* The file's nibbles and high bits as such words: elements 4t .. 4t + 3 of a sub-block are word t. */
static uint32_t file_word(const uint8_t *from, int w)
{
    uint32_t x;
    memcpy(&x, from + 4 * w, 4);
    return x;
}
static void put_q5(uint8_t *to, int r, const uint8_t *qs, const uint8_t *qh)
{
    const uint32_t h = file_word(qh, 0);
    uint32_t w[8];
    for (int t = 0; t < 8; t++) /* four bits of h, one to each byte */
        w[t] = (file_word(qs, t % 4) >> 4 * (t / 4) & 15 * EACH) |
               ((h >> 4 * t & 15) * 0x00204081 & EACH) << 4;
    put_5(to, r, w);
}
static void put_q5_k(uint8_t *to, int r, const struct kn_q5_k *b)
{
    uint32_t w[8];
    for (int j = 0; j < 8; j++, to += 5 * 64) {
        for (int t = 0; t < 8; t++)
            w[t] = (file_word(b->qs, 8 * (j / 2) + t) >> 4 * (j % 2) & 15 * EACH) |
                   (file_word(b->qh, t) >> j & EACH) << 4;
        put_5(to, r, w);
    }
}
static void put_q6_k(uint8_t *to, int r, const struct kn_q6_k *b)
{
    uint32_t w[4];
    for (int j = 0; j < 16; j++, to += 3 * 64) { /* half n, run g of 32, its half i */
        const int n = j / 8, g = j / 2 % 4, i = j % 2;
        for (int t = 0; t < 4; t++)
            w[t] = (file_word(b->ql, 16 * n + 8 * (g % 2) + 4 * i + t) >> 4 * (g / 2) & 15 * EACH) |
                   (file_word(b->qh, 8 * n + 4 * i + t) >> 2 * g & 3 * EACH) << 4;
        put_6(to, r, w);
    }
}

/* 6-bit scales and minima of Q4_K and Q5_K (reference: ggml get_scale_min_k4) */
static void put_k_scales(uint8_t *to, int r, kn_half d, kn_half dmin, const uint8_t s[12])
{
    put_half(to, 0, r, d);
    put_half(to, 1, r, dmin);
    for (int j = 0; j < 8; j++) {
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        int m = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        to[64 + 16 * j + r] = (uint8_t)sc;
        to[64 + 128 + 32 * (j / 2) + 2 * r + j % 2] = (uint8_t)m;
    }
}

union any_block {
    struct kn_q8_0 q8_0;
    struct kn_q4_0 q4_0;
    struct kn_q4_1 q4_1;
    struct kn_q5_0 q5_0;
    struct kn_q5_1 q5_1;
    struct kn_q4_k q4_k;
    struct kn_q5_k q5_k;
    struct kn_q6_k q6_k;
};

static void put_block(int type, const uint8_t *src, int r, uint8_t *q, uint8_t *s)
{
    union any_block b;
    memcpy(&b, src, (size_t)kn_type_info(type)->block_bytes);
    switch (type) {
    case KN_Q8_0:
        put_half(s, 0, r, b.q8_0.d);
        for (int i = 0; i < 32; i++)
            b.q8_0.qs[i] = (int8_t)(b.q8_0.qs[i] ^ -128);
        put_words(q, 0, 8, r, (const uint8_t *)b.q8_0.qs);
        break;
    case KN_Q4_0:
        put_half(s, 0, r, b.q4_0.d);
        put_words(q, 0, 4, r, b.q4_0.qs);
        break;
    case KN_Q4_1:
        put_half(s, 0, r, b.q4_1.d);
        put_half(s, 1, r, b.q4_1.m);
        put_words(q, 0, 4, r, b.q4_1.qs);
        break;
    case KN_Q5_0:
        put_half(s, 0, r, b.q5_0.d);
        put_q5(q, r, b.q5_0.qs, b.q5_0.qh);
        break;
    case KN_Q5_1:
        put_half(s, 0, r, b.q5_1.d);
        put_half(s, 1, r, b.q5_1.m);
        put_q5(q, r, b.q5_1.qs, b.q5_1.qh);
        break;
    case KN_Q4_K:
        put_k_scales(s, r, b.q4_k.d, b.q4_k.dmin, b.q4_k.scales);
        put_words(q, 0, 32, r, b.q4_k.qs);
        break;
    case KN_Q5_K:
        put_k_scales(s, r, b.q5_k.d, b.q5_k.dmin, b.q5_k.scales);
        put_q5_k(q, r, &b.q5_k);
        break;
    case KN_Q6_K:
        put_half(s, 0, r, b.q6_k.d);
        for (int j = 0; j < 16; j++)
            s[32 + 32 * (j / 2) + 2 * r + j % 2] = (uint8_t)b.q6_k.scales[j];
        put_q6_k(q, r, &b.q6_k);
        break;
    }
}

/* ---- and back: what the put_ functions above did */

static void get_words(uint8_t *to, const uint8_t *q, int w, int n, int r)
{
    for (int i = 0; i < n; i++)
        memcpy(to + 4 * i, q + 64 * (w + i) + 4 * r, 4);
}
static kn_half get_half(const uint8_t *s, int g, int r)
{
    kn_half h;
    memcpy(&h, s + 32 * g + 2 * r, 2);
    return h;
}
static void add_word(uint8_t *to, int w, uint32_t bits) /* to bits that are 0 */
{
    bits |= file_word(to, w);
    memcpy(to + 4 * w, &bits, 4);
}
static void get_q5(const uint8_t *q, int r, uint8_t qs[16], uint8_t qh[4])
{
    uint32_t w[8], h = 0;
    get_5(q, r, w);
    for (int t = 0; t < 8; t++) /* the bits of four bytes, in a row */
        h |= ((w[t] >> 4 & EACH) * 0x10204080u >> 28 & 15) << 4 * t;
    for (int t = 0; t < 4; t++)
        w[t] = (w[t] & 15 * EACH) | (w[t + 4] & 15 * EACH) << 4;
    memcpy(qs, w, 16);
    memcpy(qh, &h, 4);
}
static void get_q5_k(const uint8_t *q, int r, struct kn_q5_k *b)
{
    uint32_t w[8];
    memset(b->qs, 0, sizeof b->qs);
    memset(b->qh, 0, sizeof b->qh);
    for (int j = 0; j < 8; j++, q += 5 * 64) {
        get_5(q, r, w);
        for (int t = 0; t < 8; t++) {
            add_word(b->qs, 8 * (j / 2) + t, (w[t] & 15 * EACH) << 4 * (j % 2));
            add_word(b->qh, t, (w[t] >> 4 & EACH) << j);
        }
    }
}
static void get_q6_k(const uint8_t *q, int r, struct kn_q6_k *b)
{
    uint32_t w[4];
    memset(b->ql, 0, sizeof b->ql);
    memset(b->qh, 0, sizeof b->qh);
    for (int j = 0; j < 16; j++, q += 3 * 64) {
        const int n = j / 8, g = j / 2 % 4, i = j % 2;
        get_6(q, r, w);
        for (int t = 0; t < 4; t++) {
            add_word(b->ql, 16 * n + 8 * (g % 2) + 4 * i + t, (w[t] & 15 * EACH) << 4 * (g / 2));
            add_word(b->qh, 8 * n + 4 * i + t, (w[t] >> 4 & 3 * EACH) << 2 * g);
        }
    }
}
static void get_k_scales(const uint8_t *from, int r, kn_half *d, kn_half *dmin, uint8_t s[12])
{
    *d = get_half(from, 0, r);
    *dmin = get_half(from, 1, r);
    for (int j = 0; j < 4; j++) {
        const uint8_t *m = from + 64 + 128 + 2 * r + j % 2;
        int sc0 = from[64 + 16 * j + r], sc1 = from[64 + 16 * (j + 4) + r];
        int m0 = m[32 * (j / 2)], m1 = m[32 * (j / 2 + 2)];
        s[j] = (uint8_t)(sc0 | sc1 >> 4 << 6);
        s[j + 4] = (uint8_t)(m0 | m1 >> 4 << 6);
        s[j + 8] = (uint8_t)((sc1 & 15) | (m1 & 15) << 4);
    }
}

static void get_block(int type, union any_block *b, int r, const uint8_t *q, const uint8_t *s)
{
    switch (type) {
    case KN_Q8_0:
        b->q8_0.d = get_half(s, 0, r);
        get_words((uint8_t *)b->q8_0.qs, q, 0, 8, r);
        for (int i = 0; i < 32; i++)
            b->q8_0.qs[i] = (int8_t)(b->q8_0.qs[i] ^ -128);
        break;
    case KN_Q4_0:
        b->q4_0.d = get_half(s, 0, r);
        get_words(b->q4_0.qs, q, 0, 4, r);
        break;
    case KN_Q4_1:
        b->q4_1.d = get_half(s, 0, r);
        b->q4_1.m = get_half(s, 1, r);
        get_words(b->q4_1.qs, q, 0, 4, r);
        break;
    case KN_Q5_0:
        b->q5_0.d = get_half(s, 0, r);
        get_q5(q, r, b->q5_0.qs, b->q5_0.qh);
        break;
    case KN_Q5_1:
        b->q5_1.d = get_half(s, 0, r);
        b->q5_1.m = get_half(s, 1, r);
        get_q5(q, r, b->q5_1.qs, b->q5_1.qh);
        break;
    case KN_Q4_K:
        get_k_scales(s, r, &b->q4_k.d, &b->q4_k.dmin, b->q4_k.scales);
        get_words(b->q4_k.qs, q, 0, 32, r);
        break;
    case KN_Q5_K:
        get_k_scales(s, r, &b->q5_k.d, &b->q5_k.dmin, b->q5_k.scales);
        get_q5_k(q, r, &b->q5_k);
        break;
    case KN_Q6_K:
        b->q6_k.d = get_half(s, 0, r);
        for (int j = 0; j < 16; j++)
            b->q6_k.scales[j] = (int8_t)s[32 + 32 * (j / 2) + 2 * r + j % 2];
        get_q6_k(q, r, &b->q6_k);
        break;
    }
}

void mmq_row(int type, int k, const uint8_t *panels, int row, float *y)
{
    const struct kn_type_info *t = kn_type_info(type);
    const int nb = k / t->block_len, qb = quant_bytes(type), sb = scale_bytes(type);
    const uint8_t *q = panels + (size_t)(row / 16) * mmq_panel_bytes(type, k);
    const uint8_t *s = q + (size_t)nb * (size_t)qb;
    union any_block block;
    for (int lane = 0; lane < 8; lane++)
        for (int b = lane; b < nb; b += 8, q += qb, s += sb) {
            get_block(type, &block, row % 16, q, s);
            kn_dequantize(type, &block, y + (size_t)b * (size_t)t->block_len, (size_t)t->block_len);
        }
}

void mmq_pack(int type, int n, int k, const void *rows, int from, int to, uint8_t *panels)
{
    const struct kn_type_info *t = kn_type_info(type);
    const size_t size = mmq_panel_bytes(type, k), row_bytes = kn_row_bytes(type, (size_t)k);
    const int nb = k / t->block_len, qb = quant_bytes(type), sb = scale_bytes(type);
    for (int p = from; p < to; p++) {
        uint8_t *q = panels + (size_t)p * size, *s = q + (size_t)nb * (size_t)qb;
        memset(q, 0, size);
        for (int r = 0; r < 16 && 16 * p + r < n; r++) {
            const uint8_t *row = (const uint8_t *)rows + (size_t)(16 * p + r) * row_bytes;
            size_t slot = 0;
            for (int lane = 0; lane < 8; lane++)
                for (int b = lane; b < nb; b += 8, slot++)
                    put_block(type, row + (size_t)b * (size_t)t->block_bytes, r,
                              q + slot * (size_t)qb, s + slot * (size_t)sb);
        }
    }
}

/* A spread panel takes at most 33.5 bytes for each k (mmq.tile.c), here 34. */
size_t mmq_tile_scratch(int max_k)
{
    size_t one = ((size_t)max_k * 34 + 127) & ~(size_t)63;
    return one > MMQ_TILE_SCRATCH ? one : MMQ_TILE_SCRATCH;
}
