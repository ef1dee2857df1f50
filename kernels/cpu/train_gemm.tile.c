/* train_gemm.tile.c - products of bf16 tiles on AMX, or on the model of it
 *
 * Two by two tiles of C, so that of four loads each serves two products; k in blocks of KB chunks or a
 * little more, for which two panels of B (32 KB) stay in the first cache while A passes by out of the
 * second.  The panels of B that come next, and the lines of C that will be stored, are asked for meanwhile:
 * B is read from the third cache or memory once per block of rows, and a first touch of it in line would
 * take longer than the products.
 *
 * A tile of A or B is zeroed after its last product, for it then takes no register: beside another thread
 * of the same core (mmq.tile.c) that is 1.5 times as fast, on a core of one's own it changes nothing. */
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

/* What the products of one block fetch ahead: `lines` of each tile of B at next0 and next1, from line `at` on;
 * the lines of C where there is time for it. */
struct ahead {
    const uint16_t *next0, *next1;
    int at, lines, c;
};
#define FETCH(p, rw, where)                                                                        \
    __builtin_prefetch((p), (rw), (where)) /* where: 3 first cache, 2 second */

INLINE void fetch_b(const struct ahead *f, int tile)
{
    for (int i = f->at; i < f->at + f->lines; i++) {
        FETCH(f->next0 + (size_t)tile * T16 + 32 * i, 0, 2);
        FETCH(f->next1 + (size_t)tile * T16 + 32 * i, 0, 2);
    }
}

/* Chunks from..to of all segments' chunks; C at c. two_m, two_n are constants. */
INLINE void block(const struct train16 *p, int two_m, int two_n, int ip, int jp, int from, int to,
                  int add, const struct ahead *f)
{
    float *c = p->c + (size_t)ip * 16 * p->ldc + (size_t)jp * 16, *c1 = c + 16 * p->ldc;
    const size_t ld = p->ldc * sizeof *c;
    int tile = 0;
    for (int i = 0; f->c && i < (two_m ? 32 : 16); i++) {
        FETCH(c + (size_t)i * p->ldc, 1, 3);
        if (two_n)
            FETCH(c + (size_t)i * p->ldc + 16, 1, 3);
    }
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
            fetch_b(f, tile++);
            tile_load(A0, a, 64);
            tile_load(B0, b, 64);
            tile_dot_bf16(C00, A0, B0);
            if (two_n) {
                tile_load(B1, b + g->ldb, 64);
                tile_dot_bf16(C01, A0, B1);
            }
            tile_zero(A0);
            if (two_m) {
                tile_load(A1, a + g->lda, 64);
                tile_dot_bf16(C10, A1, B0);
            }
            tile_zero(B0);
            if (two_m && two_n)
                tile_dot_bf16(C11, A1, B1);
            if (two_m)
                tile_zero(A1);
            if (two_n)
                tile_zero(B1);
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

/* All rows of A by two panels of B, chunks from..to. */
INLINE void column(const struct train16 *p, int two_n, int jp, int from, int to, int add,
                   struct ahead f)
{
    int ip = 0, n = (p->mt + 1) / 2, ahead = f.next0 != NULL;
    f.c = to - from >= 8;
    for (int i = 0; i < n; i++, ip += 2) {
        f.at = 16 * i / n;
        f.lines = ahead ? 16 * (i + 1) / n - f.at : 0;
        if (ip + 1 < p->mt)
            block(p, 1, two_n, ip, jp, from, to, add, &f);
        else
            block(p, 0, two_n, ip, jp, from, to, add, &f);
    }
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
            const struct train16_seg *g = &p->seg[0];
            int from = all * kb / blocks, to = all * (kb + 1) / blocks;
            int last = kb + 1 == blocks, j = last ? jp + 2 : jp, k = last ? 0 : to;
            struct ahead f = {0};
            /* the first segment is the weight; what comes after it is small and near */
            if (p->mt > 2 && j < p->nt && k < g->kt) {
                f.next0 = g->b + (size_t)j * g->ldb + (size_t)k * T16;
                f.next1 = j + 1 < p->nt ? f.next0 + g->ldb : f.next0;
            }
            if (jp + 1 < p->nt)
                column(p, 1, jp, from, to, p->add || kb, f);
            else
                column(p, 0, jp, from, to, p->add || kb, f);
        }
    tile_end();
}
