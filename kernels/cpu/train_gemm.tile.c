/* train_gemm.tile.c - products of bf16 tiles on AMX, or on the model of it
 *
 * Two by two tiles of C, so that of four loads each serves two products; k in blocks of KB chunks or a
 * little more, for which two panels of B (32 KB) stay in the first cache while A passes by. */
#include "cpu/tile.h"
#include "cpu/train_bf16.h"

#define PASTE(a, b)  a##_##b
#define PASTE2(a, b) PASTE(a, b)
#define INLINE       static inline __attribute__((always_inline))

enum { KB = 16 };
/* tiles; macros, because gcc writes their numbers into the names of registers */
#define C00 0
#define C01 1
#define C10 2
#define C11 3
#define A0  4
#define A1  5
#define B0  6
#define B1  7
static const struct tile_shape shape = {.palette = 1,
                                        .colsb = {64, 64, 64, 64, 64, 64, 64, 64},
                                        .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* Chunks from..to of all segments' chunks; C at c. two_m, two_n are constants. */
INLINE void block(const struct train16 *p, int two_m, int two_n, int ip, int jp, int from, int to,
                  int add)
{
    float *c = p->c + (size_t)ip * 16 * p->ldc + (size_t)jp * 16, *c1 = c + 16 * p->ldc;
    const size_t ld = p->ldc * sizeof *c;
    if (add) {
        tile_load(C00, c, ld);
        if (two_n)
            tile_load(C01, c + 16, ld);
        if (two_m)
            tile_load(C10, c1, ld);
        if (two_m && two_n)
            tile_load(C11, c1 + 16, ld);
    } else {
        tile_zero(C00);
        if (two_n)
            tile_zero(C01);
        if (two_m)
            tile_zero(C10);
        if (two_m && two_n)
            tile_zero(C11);
    }
    for (int s = 0, first = 0; s < p->n_seg; first += p->seg[s++].kt) {
        const struct train16_seg *g = &p->seg[s];
        int k0 = from > first ? from - first : 0, k1 = to - first < g->kt ? to - first : g->kt;
        const uint16_t *a = g->a + (size_t)ip * g->lda + (size_t)k0 * T16;
        const uint16_t *b = g->b + (size_t)jp * g->ldb + (size_t)k0 * T16;
        for (int k = k0; k < k1; k++, a += T16, b += T16) {
            tile_load(A0, a, 64);
            tile_load(B0, b, 64);
            tile_dot_bf16(C00, A0, B0);
            if (two_n) {
                tile_load(B1, b + g->ldb, 64);
                tile_dot_bf16(C01, A0, B1);
            }
            if (two_m) {
                tile_load(A1, a + g->lda, 64);
                tile_dot_bf16(C10, A1, B0);
            }
            if (two_m && two_n)
                tile_dot_bf16(C11, A1, B1);
        }
    }
    tile_store(C00, c, ld);
    if (two_n)
        tile_store(C01, c + 16, ld);
    if (two_m)
        tile_store(C10, c1, ld);
    if (two_m && two_n)
        tile_store(C11, c1 + 16, ld);
}

void PASTE2(train16_product, ISA)(const struct train16 *p)
{
    int all = 0;
    for (int s = 0; s < p->n_seg; s++)
        all += p->seg[s].kt;
    int blocks = all < KB ? 1 : all / KB;
    tile_begin(&shape);
    for (int jp = 0; jp < p->nt; jp += 2)
        for (int kb = 0; kb < blocks; kb++) {
            int from = all * kb / blocks, to = all * (kb + 1) / blocks, add = p->add || kb;
            int two_n = jp + 1 < p->nt, ip = 0;
            for (; ip + 1 < p->mt; ip += 2)
                if (two_n)
                    block(p, 1, 1, ip, jp, from, to, add);
                else
                    block(p, 1, 0, ip, jp, from, to, add);
            if (ip < p->mt && two_n)
                block(p, 0, 1, ip, jp, from, to, add);
            else if (ip < p->mt)
                block(p, 0, 0, ip, jp, from, to, add);
        }
    tile_end();
}
