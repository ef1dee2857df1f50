/* mmq_tile.h - the quantized product of many rows on AMX tiles, in the order R1
 *
 * 16 rows of x by 16 outputs are one tile of sums.  Tiles multiply bytes, so that the panels of mmq.h
 * are first spread to bytes, once for all rows of x, into a scratch that stays in the L2 cache:
 *   blocks of 32    signed bytes; one tile product of k = 32, one step of R1's float chain
 *   blocks of 256   K-quants: sub-scale times quant is a number of at most 13 bits, which two planes
 *                   of bytes hold: low (unsigned) and high (signed), so that all sub-blocks of a
 *                   block add up inside the tile: s = low . a + 256 * (high . a), exactly the
 *                   integer of R1, and only one float step in 256 elements.
 *
 * Rows of x are quantized into groups of 16, block by block in the panels' order:
 *   32    q(16, 32) int8, d(16) f32, sum(16) f32
 *   256   q(4, 16, 64) int8, d(16) f32, pairs(4, 16): two int16 sums of 32 values each */
#ifndef MMQ_TILE_H
#define MMQ_TILE_H
#include "mmq.h"

enum {
    MMQ_TILE_ROWS = 16,
    MMQ_TILE_MIN =
        12, /* rows of x from which tiles win over VNNI: even at 12, 1.3 times as fast at 16 */
    MMQ_TILE_SCRATCH =
        1 << 20, /* bytes of spread panels: half of the L2 cache that AMX comes with */
};
struct mmq_group32 {
    int8_t q[16][32];
    float d[16], sum[16];
};
struct mmq_group256 {
    int8_t q[4][16][64];
    float d[16];
    int32_t pair[4][16];
};
/* Activations of m rows; m is rounded up to whole groups. */
static inline size_t mmq_tile_act_bytes(int act_block, int m, int k)
{
    return (size_t)((m + 15) / 16) * (size_t)(k / act_block) *
           (act_block == 32 ? sizeof(struct mmq_group32) : sizeof(struct mmq_group256));
}
/* Scratch of a thread for weights of up to max_k. */
size_t mmq_tile_scratch(int max_k);

struct mmq_out { /* of the first panel that is asked for */
    float *y;    /* (m, ld) */
    size_t ld;
    const float *bias; /* or NULL */
    int add;           /* y += */
    int n;             /* columns that there are */
};
struct mmq_tiles {
    const char *path; /* under which its products are counted */
    /* row `row` of x(k) into act, the groups of all rows; `last`: also clear the rest of its group */
    void (*quantize)(int act_block, int k, const float *x, void *act, int row, int last);
    /* y(m, n) of n_panel panels that lie panel_bytes apart */
    void (*panels)(int type, int m, int k, const uint8_t *panel, int n_panel, size_t panel_bytes,
                   const void *act, const struct mmq_out *o, void *scratch);
};
extern const struct mmq_tiles mmq_tile_model, mmq_tile_amx;
#endif
