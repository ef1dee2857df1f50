/* train_factor - gradients of the adapters' factors in bf16 tiles: a sum for each unit of rows, then their sum
 *
 * da = dz^T h and db = alpha (dy^T z)^T have a row of tiles for each 16 of the rank and go along the rows of
 * the batch, so h and dy must become tiles of B.  A block makes them while its rows are near: of dy from the
 * tiles of A that the layer's own products just read, of h from the rows that the norm's or SwiGLU's backward
 * just touched, and not in a pass of its own that would read all columns of both once more. */
#include "cpu/train_group.h"
#include <string.h>

static size_t wide(int n)
{
    return (size_t)train16_up(n, T16_K);
}

size_t factor_sums(struct group16 *j)
{
    const size_t rows = 16 * (size_t)j->rn;
    j->unit_floats = 0;
    for (int i = 0; i < j->n_ad; i++) /* da of all layers in a row: it is one product */
        j->ad[i]->da = j->unit_floats, j->unit_floats += rows * wide(j->g->k);
    for (int i = 0; i < j->n_ad; i++)
        j->ad[i]->db = j->unit_floats, j->unit_floats += rows * wide(j->ad[i]->n);
    return j->unit_floats;
}

size_t factor_own(struct group16 *j, size_t at)
{
    const size_t tile = T16 * sizeof(uint16_t), block = (size_t)(j->rn * tiles(j->block)) * tile;
    j->own_zt = at, at += block;
    j->own_dzt = at, at += block * (size_t)j->n_ad;
    j->own_b = at, at += (size_t)(COLS / T16_N * tiles(UNIT)) * tile;
    j->own_rows = at, at += 32 * COLS * sizeof(float);
    return at;
}

static float *unit_sums(const struct group16 *j, int row)
{
    return j->sums + (size_t)(row / UNIT) * j->unit_floats;
}

void factor_tiles(const struct group16 *j, const float *f, int n, uint16_t *to, char *own)
{
    const int r = j->g->r, bt = tiles(j->block);
    uint16_t *tmp = (uint16_t *)(void *)(own + j->own_b);
    for (int p = 0; p < j->rn; p++)
        for (int t = 0; t < n; t += 32) {
            j->isa->pairs(tmp, f + (size_t)t * (size_t)r + 16 * p, (size_t)r, least(32, n - t),
                          least(16, r - 16 * p), 1);
            j->isa->turn(to + ((size_t)p * (size_t)bt + (size_t)(t / 32)) * T16, tmp, 1);
        }
}

/* sum(16 mt, cols) = t^T b over the unit that is `at` rows into the block; t: tiles of A of the block */
static void unit_product(const struct group16 *j, const uint16_t *t, int mt, int at, int kt,
                         int cols, float *sum, size_t ld, char *own)
{
    const uint16_t *b = (const uint16_t *)(const void *)(own + j->own_b);
    struct train16 p = {.seg = {{t + (size_t)(at / 32) * T16, b, (size_t)tiles(j->block) * T16,
                                 (size_t)kt * T16, kt}},
                        .n_seg = 1,
                        .mt = mt,
                        .nt = panels(cols),
                        .c = sum,
                        .ldc = ld};
    j->product(&p);
}

void factor_db(const struct group16 *j, const struct lin16 *l, const uint16_t *dy, int row, int n,
               char *own)
{
    uint16_t *b = (uint16_t *)(void *)(own + j->own_b);
    const size_t lda = (size_t)l->kt * T16;
    for (int at = 0; at < n; at += UNIT) {
        const int kt = tiles(least(UNIT, n - at));
        const size_t ldb = (size_t)kt * T16;
        float *sum = unit_sums(j, row + at) + l->db;
        for (int from = 0; from < l->n; from += COLS) {
            const int cols = least(COLS, l->n - from);
            for (int t = 0; t < kt; t++)
                for (int q = 0; q < cols; q += 32) {
                    const uint16_t *a =
                        dy + (size_t)(at / 16 + 2 * t) * lda + (size_t)((from + q) / 32) * T16;
                    j->isa->weave(b + (size_t)(q / 16) * ldb + (size_t)t * T16, ldb, a, a + lda);
                }
            unit_product(j, (const uint16_t *)(const void *)(own + j->own_zt), j->rn, at, kt, cols,
                         sum + from, wide(l->n), own);
        }
    }
}

/* n <= 32 rows of h, columns from..from + cols; dropped: of this layer. *ld: floats between rows */
static const float *input_columns(const struct group16 *j, const struct lin16 *dropped, int row,
                                  int n, int from, int cols, float *tmp, size_t *ld)
{
    const struct kn_group *g = j->g;
    const size_t k = (size_t)g->k, at = (size_t)row * k + (size_t)from;
    const float *x =
        g->input == KN_IN_SWIGLU ? j->dh + at /* input_bwd left h there */ : at_f32(g->x, at);
    *ld = k;
    if (g->input != KN_IN_NORM && !dropped)
        return x;
    for (int i = 0; i < n; i++, x += k) {
        float *to = tmp + (size_t)i * COLS;
        if (g->input == KN_IN_NORM)
            j->rows->scale(to, x, at_f32(g->norm, (size_t)from),
                           *at_f32(g->rstd, (size_t)(row + i)), cols);
        if (dropped)
            group_drop(g, dropped->l, row + i, from, cols, g->input == KN_IN_NORM ? to : x, to);
    }
    *ld = COLS;
    return tmp;
}

void factor_da(const struct group16 *j, int row, int at, int n, char *own)
{
    uint16_t *b = (uint16_t *)(void *)(own + j->own_b);
    const uint16_t *dzt = (const uint16_t *)(const void *)(own + j->own_dzt);
    const int kt = tiles(n), each = j->g->dropout > 0; /* each layer then has its own h */
    const size_t layer = (size_t)(j->rn * tiles(j->block)) * T16;
    for (int i = 0; i < (each ? j->n_ad : 1); i++)
        for (int from = 0; from < j->g->k; from += COLS) {
            const int cols = least(COLS, j->g->k - from);
            for (int t = 0; t < kt; t++) {
                size_t ld;
                const int rows = least(32, n - 32 * t);
                const float *x =
                    input_columns(j, each ? j->ad[i] : NULL, row + at + 32 * t, rows, from, cols,
                                  (float *)(void *)(own + j->own_rows), &ld);
                for (int q = 0; q < cols; q += 16)
                    j->isa->pairs(b + (size_t)(q / 16 * kt + t) * T16, x + q, ld, rows,
                                  least(16, cols - q), 1);
            }
            unit_product(j, dzt + (size_t)i * layer, each ? j->rn : j->n_ad * j->rn, at, kt, cols,
                         unit_sums(j, row + at) + j->ad[i]->da + from, wide(j->g->k), own);
        }
}

/* ---- the third phase: 64 columns of all units ---- */

enum { TASK = 64 };

int factor_tasks(struct group16 *j)
{
    int n = j->n_da = (j->g->k + TASK - 1) / TASK;
    for (int i = 0; i < j->n_ad; i++)
        n += j->n_db[i] = (j->ad[i]->n + TASK - 1) / TASK;
    return n;
}

/* sum(TASK) of row r of the matrix at `place` of each unit, units ascending */
static void sum_units(const struct group16 *j, size_t place, float *sum, int cols)
{
    memcpy(sum, unit_sums(j, 0) + place, (size_t)cols * sizeof *sum);
    for (int row = UNIT; row < j->m; row += UNIT)
        j->rows->axpy(sum, unit_sums(j, row) + place, 1, (size_t)cols);
}

void factor_add(const struct group16 *j, int chunk)
{
    const struct kn_group *g = j->g;
    float sum[TASK];
    if (chunk < j->n_da) {
        const int from = chunk * TASK, cols = least(TASK, g->k - from);
        for (int i = 0; i < j->n_ad; i++)
            for (int r = 0; r < g->r; r++) {
                sum_units(j, j->ad[i]->da + (size_t)r * wide(g->k) + (size_t)from, sum, cols);
                j->rows->axpy(at_f32(j->ad[i]->l->da, (size_t)r * (size_t)g->k + (size_t)from), sum,
                              1, (size_t)cols);
            }
        return;
    }
    chunk -= j->n_da;
    int i = 0;
    for (; chunk >= j->n_db[i]; i++)
        chunk -= j->n_db[i];
    const struct lin16 *l = j->ad[i];
    const int from = chunk * TASK, cols = least(TASK, l->n - from);
    float *db = at_f32(l->l->db, (size_t)from * (size_t)g->r);
    for (int r = 0; r < g->r; r++) {
        sum_units(j, l->db + (size_t)r * wide(l->n) + (size_t)from, sum, cols);
        for (int n = 0; n < cols; n++)
            db[n * g->r + r] += g->alpha * sum[n];
    }
}
