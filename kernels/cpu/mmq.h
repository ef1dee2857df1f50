/* mmq.h - quantized matrix product in the order R1
 *
 * A weight (n, k) is repacked once into panels of 16 rows, so that a SIMD lane is an output row: a
 * 32-bit lane holds 4 consecutive elements of its row, and one instruction multiplies them by the 4
 * activations that all rows share.  Nibbles stay nibbles: a panel has the size of its rows in the
 * file (K-quants: 6-bit scales become bytes, + 3 %).  Blocks of a panel are stored in the order in
 * which R1 reduces them - lane 0's blocks 0, 8, 16, ..., then lane 1's - so that a product reads
 * one straight line and keeps one accumulator per output.
 *
 * A panel: quants of all blocks, then scales of all blocks; rows beyond n are zero.
 *   quants of a block   Q8_0  8 words x 16 rows, each byte + 128 (VNNI multiplies unsigned by
 * signed) Q4_x  4 words x 16: low nibbles are elements 4t.., high 16 + 4t.. Q5_x  4 words, then one
 * word of fifth bits: bit t of byte c is element 4t + c Q4_K  32 words; Q5_K 32 words, 8 words of
 * fifth bits; Q6_K 32 words, 16 of high bits scales of a block   d(16) f16 and m(16) or dmin(16)
 * f16 where there is one; then for Q4_K and Q5_K sc(8, 16) and m(4, 16, 2) bytes, for Q6_K sc(16,
 * 16) bytes
 *
 * Activations are quantized per row, block by block in the same order. */
#ifndef MMQ_H
#define MMQ_H
#include "../blocks.h"

struct mmq_act32 { /* 32 values, x = d * q */
    float d;
    int32_t sum; /* of q */
    int8_t q[32];
};
struct mmq_act256 { /* 256 values */
    float d;
    int16_t sum32[8];  /* of 32 values each */
    int16_t sum16[16]; /* of 16 */
    int8_t q[256];
};

static inline size_t mmq_act_bytes(int act_block, int k)
{
    return (size_t)(k / act_block) *
           (act_block == 32 ? sizeof(struct mmq_act32) : sizeof(struct mmq_act256));
}
size_t mmq_panel_bytes(int type, int k);
/* Panels [from, to) of a weight whose rows are in the file's layout. */
void mmq_pack(int type, int n, int k, const void *rows, int from, int to, uint8_t *panels);
/* Row `row` of panels that mmq_pack made, widened as kn_dequantize widens the file's: y(k). */
void mmq_row(int type, int k, const uint8_t *panels, int row, float *y);

/* Line b: byte b in all places (mmq_words.h). */
extern const uint8_t mmq_bytes[64][64];

/* One instruction set's loops. */
struct mmq_isa {
    /* x(k) to activation blocks */
    void (*quantize)(int act_block, int k, const float *x, void *act);
    /* y(m, 16) of one panel; rows of act are act_bytes apart, rows of y y_ld floats */
    void (*panel)(int type, int m, int k, const uint8_t *panel, const void *act, size_t act_bytes,
                  float *y, size_t y_ld);
    const char
        *path; /* under which its products are counted: the -DISA that it was compiled with */
};
extern const struct mmq_isa mmq_generic, mmq_avx2, mmq_avxvnni, mmq_avx512, mmq_neon, mmq_neon_i8mm;
#endif
