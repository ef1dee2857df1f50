/* train_group.h - a group of bf16 layers at work: what its rows' blocks and its factors' gradients share
 */
#ifndef TRAIN_GROUP_H
#define TRAIN_GROUP_H
#include "cpu/cpu_train.h"

enum { UNIT = 64 };  /* rows of one sum of the factors' gradients (T2) */
enum { COLS = 128 }; /* columns that become tiles of B at once there: 16 KB for a unit */

struct lin16 {
    const struct kn_lin *l;
    const uint16_t *w;  /* tiles of B of the weight, either way */
    uint16_t *pack;     /* where they are to be made first, or NULL */
    uint16_t *a, *b;    /* of the factors, either way */
    size_t da, db;      /* where its sums lie in a unit's: [16 rn][up(k)] and [16 rn][up(n)] */
    int n, kt, adapter; /* outputs; tiles along them; has an adapter */
};
struct group16 {
    const struct kn_group *g;
    const struct train16_isa *isa;
    const struct train_rows_isa *rows;
    train16_product *product;
    struct lin16 lin[KN_GROUP];
    int m, backward, wanted;
    int kt, rt, rn;              /* tiles along k; along r as k, as columns */
    int block, n_block;          /* rows of a block: whole units */
    int first[3 * KN_GROUP + 1]; /* first chunk of each packing job */
    struct lin16 *ad[KN_GROUP];  /* those with an adapter */
    int n_ad;
    int n_da, n_db[KN_GROUP]; /* tasks of the third phase */
    float *dx, *dh;
    float *sums; /* of each unit, unit_floats apart */
    size_t unit_floats;
    char *own;
    size_t own_bytes, own_a, own_a2, own_tile, own_f, own_f2; /* places in a thread's scratch */
    size_t own_zt, own_dzt, own_b, own_rows;
};

static inline int tiles(int n)
{
    return train16_up(n, T16_K) / T16_K;
}
static inline int panels(int n)
{
    return train16_up(n, T16_N) / T16_N;
}
static inline int least(int a, int b)
{
    return a < b ? a : b;
}
static inline float *at_f32(struct kn_at a, size_t i)
{
    float *p = cpu_f32(a);
    return p ? p + i : NULL;
}
/* y = x with dropout, values from..from + n of row `row` of the input of l */
static inline void group_drop(const struct kn_group *g, const struct kn_lin *l, int row, int from,
                              int n, const float *x, float *y)
{
    uint64_t at = l->draws + (uint64_t)row * (uint64_t)g->k + (uint64_t)from;
    train_drop(y, x, g->dropout, g->seed, at, (size_t)n);
}

/* The gradients of the factors, train_factor.c.  Places of their sums: floats of a unit. */
size_t factor_sums(struct group16 *j);
/* Bytes that a thread needs from `at` on, with its places set. */
size_t factor_own(struct group16 *j, size_t at);
/* n rows of z or dz (n, r), the first of a block, as tiles of A transposed */
void factor_tiles(const struct group16 *j, const float *f, int n, uint16_t *to, char *own);
/* Sums of db: dy is n rows of l's as tiles of A, whole tiles of 32 rows. */
void factor_db(const struct group16 *j, const struct lin16 *l, const uint16_t *dy, int row, int n,
               char *own);
/* Sums of all layers' da over the unit of n rows that is `at` rows into the block that begins at `row`. */
void factor_da(const struct group16 *j, int row, int at, int n, char *own);
/* Third phase: how many tasks; one of them. */
int factor_tasks(struct group16 *j);
void factor_add(const struct group16 *j, int chunk);
#endif
