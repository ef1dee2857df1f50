/* train_gemm.h - float products in R2's order: packed panels of B, tiles, one micro-kernel per
 * build
 *
 * C(m, n) = alpha * A(m, k) B(k, n) (+ bias) (+ C).  Each element is reduced in chunks of 256 along
 * k, one fma chain per chunk from 0, chunk sums added in order; so it depends on neither the tile
 * nor the thread nor the instruction set.  A is read in place, B is copied to panels first and a
 * weight is dequantized on the way, so a quantized base needs no second copy (a panel costs 2 to 3
 * cycles an element and serves all m rows, where a row costs 1/32 of a cycle). */
#ifndef TRAIN_GEMM_H
#define TRAIN_GEMM_H
#include "train.h"

enum { TRAIN_KC = 256 }; /* R2's chunk */

/* Tile of a build: mr rows of A by nr columns of B, nr a multiple of 16. */
struct train_gemm_isa {
    int mr, nr, row_panels, col_panels; /* panels of a task's block of C */
    /* tile(mr, nr) = (first ? 0 : tile) + chunk of kc products; tile has row stride ld, A(i, p) is
     * at a[i * a_row + p * a_col]. */
    void (*micro)(int kc, const float *a, size_t a_row, size_t a_col, const float *b, float *tile,
                  int ld, int first);
    /* the same for nr = 16, for a thin C */
    void (*micro16)(int kc, const float *a, size_t a_row, size_t a_col, const float *b, float *tile,
                    int ld, int first);
    /* n <= 16 rows of k floats (stride ld) become columns of a panel `width` wide; where n is less
     * than min(width, 16) zeros fill up */
    void (*transpose)(const float *rows, size_t ld, int n, int k, float *panel, int width);
    /* c = alpha * tile + bias, or c += : n columns of one row */
    void (*finish)(float *c, const float *tile, const float *bias, float alpha, int n, int add);
};
extern const struct train_gemm_isa train_gemm_generic, train_gemm_avx2, train_gemm_avx512,
    train_gemm_neon;
#endif
