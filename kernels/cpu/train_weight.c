/* train_weight - gradients of a group's own weights in bf16 tiles (T1, T2 of train.h): dw += dy^T h
 *
 * Per layer one job of two phases: dy^T becomes tiles of A, h (once) tiles of B; then blocks of dw, each a
 * product over all rows. */
#include "cpu/cpu_train.h"
#include <string.h>

enum { BLOCK = 128 }; /* rows and columns of a block: operands of 2048 rows share the L2 cache */

struct job {
    const struct kn_group *g;
    const struct kn_lin *l;
    const struct train16_isa *isa;
    const struct train_rows_isa *rows;
    train16_product *product;
    int m, tt;       /* rows; tiles along them */
    int made;        /* h's tiles are there */
    uint16_t *a, *b; /* tiles of dy^T, of h */
    float *own;
    size_t own_size;
};

static int up(int n, int to)
{
    return (n + to - 1) / to;
}
static int least(int a, int b)
{
    return a < b ? a : b;
}

/* n rows of h from row `row` on: where they are, or made in tmp (32, k) */
static const float *input_rows(const struct job *j, int row, int n, float *tmp)
{
    const struct kn_group *g = j->g;
    const size_t k = (size_t)g->k, at = (size_t)row * k;
    const float *x = cpu_f32(g->x) + at;
    if (g->input == KN_IN_PLAIN)
        return x;
    for (int i = 0; i < n; i++) {
        float *to = tmp + (size_t)i * k;
        if (g->input == KN_IN_NORM)
            j->rows->scale(to, x + (size_t)i * k, cpu_f32(g->norm), cpu_f32(g->rstd)[row + i],
                           g->k);
        else
            j->rows->swiglu(to, x + (size_t)i * k, cpu_f32(g->up) + at + (size_t)i * k, k);
    }
    return tmp;
}

/* Thirty-two rows of dy, or of h, as a tile of every panel. */
static void pack(const struct job *j, int chunk, float *own)
{
    const int row = chunk % j->tt * 32, n = least(32, j->m - row), dy = chunk < j->tt;
    const int cols = dy ? j->l->w->n : j->g->k;
    uint16_t *tmp = (uint16_t *)(void *)own;
    const float *x =
        dy ? cpu_f32(j->l->dy) + (size_t)row * (size_t)cols : input_rows(j, row, n, own + T16 / 2);
    for (int p = 0; p < up(cols, 16); p++) {
        const size_t at = ((size_t)p * (size_t)j->tt + (size_t)(row / 32)) * T16;
        j->isa->pairs(dy ? tmp : j->b + at, x + 16 * p, (size_t)cols, n, least(16, cols - 16 * p),
                      1);
        if (dy)
            j->isa->turn(j->a + at, tmp, 1);
    }
}

static void block(const struct job *j, int chunk, float *sum)
{
    const int down = up(j->l->w->n, BLOCK), k = j->g->k;
    const int i0 = chunk % down * BLOCK, c0 = chunk / down * BLOCK;
    const int rows = least(BLOCK, j->l->w->n - i0), cols = least(BLOCK, k - c0);
    const size_t ld = (size_t)j->tt * T16;
    const struct train16 p = {
        .seg = {{j->a + (size_t)(i0 / 16) * ld, j->b + (size_t)(c0 / 16) * ld, ld, ld, j->tt}},
        .n_seg = 1,
        .mt = up(rows, 16),
        .nt = up(cols, 16),
        .c = sum,
        .ldc = BLOCK};
    float *dw = cpu_f32(j->l->dw) + (size_t)i0 * (size_t)k + c0;
    j->product(&p);
    for (int i = 0; i < rows; i++)
        j->rows->add(dw + (size_t)i * (size_t)k, NULL, sum + (size_t)i * BLOCK, cols);
}

static void run_chunk(void *ctx, int phase, int chunk, int thread)
{
    const struct job *j = ctx;
    float *own = j->own + (size_t)thread * j->own_size;
    (phase ? block : pack)(j, chunk, own);
}

/* Floats of scratch: own of each thread, shared by all; 0 where no layer has a gradient. */
static void scratch_of(const struct kn_group *g, int m, size_t *own, size_t *shared)
{
    const size_t k = (size_t)train16_up(g->k, 16), packing = T16 / 2 + 32 * k;
    size_t n = 0;
    for (int i = 0; i < g->n_lin; i++)
        if (g->lin[i].dw.buf && (size_t)g->lin[i].w->n > n)
            n = (size_t)g->lin[i].w->n;
    *own = !n ? 0 : packing > BLOCK * BLOCK ? packing : BLOCK * BLOCK;
    *shared = !n ? 0 : ((size_t)train16_up((int)n, 16) + k) * (size_t)up(m, 32) * 32 / 2;
}

void cpu_train_group_dw_sizes(const struct kn_dev *d, const struct kn_group *g, int m,
                              size_t size[TRAIN_SLOTS])
{
    scratch_of(g, m, &size[TRAIN_OWN], &size[TRAIN_SHARED]);
    size[TRAIN_OWN] *= (size_t)d->n_threads;
}

int cpu_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m)
{
    const struct train_isa *isa = train_isa(d);
    struct job j = {.g = g, .isa = isa->b16, .rows = isa->rows, .product = isa->product, .m = m};
    const size_t k = (size_t)train16_up(g->k, 16);
    size_t shared;
    scratch_of(g, m, &j.own_size, &shared);
    if (!shared)
        return 0;
    j.tt = up(m, 32);
    j.own = train_scratch(TRAIN_OWN, j.own_size * (size_t)d->n_threads);
    j.b = (uint16_t *)(void *)train_scratch(TRAIN_SHARED, shared);
    j.a = j.b + k * (size_t)j.tt * 32;
    if (!j.own || !j.b)
        return KN_ENOMEM;
    for (int i = 0; i < g->n_lin; i++) {
        if (!g->lin[i].dw.buf)
            continue;
        j.l = &g->lin[i];
        const int n_chunk[2] = {j.made ? j.tt : 2 * j.tt, up(j.l->w->n, BLOCK) * up(g->k, BLOCK)};
        pool_run(cpu_dev(d)->pool, run_chunk, &j, n_chunk, 2);
        j.made = 1;
    }
    return 0;
}
