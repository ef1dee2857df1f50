/* train_linear - products of training on the cpu: panels, tasks of a block of C each */
#include "cpu/cpu_train.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One product A(m, k) B(k, n).  B is a matrix with strides, or a weight: its rows are B's columns
 * (forward), or B's rows (backward). */
struct product {
    const float *a, *b;
    size_t a_row, a_col, b_row, b_col;
    const struct kn_weight *w;
    int backward, k;
    float alpha;            /* of B, applied as its panels are made */
    float *edge, *pb;       /* panels: of A's last rows, of B */
    int a_chunks, b_chunks; /* of the packing phase */
};
struct train_gemm {
    const struct train_gemm_isa *isa;
    struct product p[2]; /* C = p[0] + p[1]; k 0 = no second */
    int m, n, n0, nb;    /* columns n0 .. n0 + nb of this pass */
    int nr, ni, nj;      /* panel width of B, blocks of C */
    int col_panels;
    float alpha;
    const float *bias;
    float *c;
    size_t ldc;
    int add, swapped; /* swapped: C is stored transposed */
    float *own;       /* scratch of a thread */
    size_t own_size;
};

enum { BLOCK_FLOATS = 1 << 22, SLICE = 32 }; /* B panels of a pass: 16 MiB; k rows of a chunk */

void train_weight(const struct kn_weight *w, int i, int from, int n, float *row)
{
    const struct kn_type_info *t = kn_type_info(w->type);
    const char *rows = ((const struct cpu_weight *)(const void *)w)->rows;
    size_t at = (size_t)(from / t->block_len) * (size_t)t->block_bytes;
    kn_dequantize(w->type, rows + (size_t)i * kn_row_bytes(w->type, (size_t)w->k) + at, row,
                  (size_t)n);
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* The last rows of A where they fill no whole tile: copied with zeros below.  All others are read
 * in place. */
static void pack_a_edge(const struct train_gemm *g, const struct product *p)
{
    int mr = g->isa->mr, rows = g->m % mr;
    const float *a = p->a + (size_t)(g->m - rows) * p->a_row;
    for (int i = 0; i < mr; i++)
        for (int q = 0; q < p->k; q++)
            p->edge[(size_t)q * mr + i] = i < rows ? a[i * p->a_row + q * p->a_col] : 0;
}

/* Sixteen columns of B whose k values lie together: W's rows, or b stored (n, k). */
static void pack_b_columns(const struct train_gemm *g, const struct product *p, int chunk,
                           float *own)
{
    int col = chunk * 16, n = g->nb - col < 16 ? g->nb - col : 16;
    float *to = p->pb + (size_t)(col / g->nr) * g->nr * p->k + col % g->nr;
    const float *rows = own;
    size_t ld = (size_t)p->k;
    if (!p->w) {
        rows = p->b + (size_t)(g->n0 + col) * p->b_col;
        ld = p->b_col;
    } else
        for (int r = 0; r < n; r++)
            train_weight(p->w, g->n0 + col + r, 0, p->k, own + r * ld);
    g->isa->transpose(rows, ld, n > 0 ? n : 0, p->k, to, g->nr);
    for (int q = 0; p->alpha != 1 && q < p->k; q++)
        for (int r = 0; r < 16; r++)
            to[(size_t)q * g->nr + r] *= p->alpha;
}

/* SLICE rows of B whose n values lie together. */
static void pack_b_rows(const struct train_gemm *g, const struct product *p, int chunk, float *own)
{
    int to_row = (chunk + 1) * SLICE < p->k ? (chunk + 1) * SLICE : p->k;
    for (int q = chunk * SLICE; q < to_row; q++) {
        const float *row = own;
        if (p->w)
            train_weight(p->w, q, g->n0, g->nb, own);
        else
            row = p->b + (size_t)q * p->b_row + g->n0;
        for (int col = 0; col < g->nb; col += g->nr) {
            int n = g->nb - col < g->nr ? g->nb - col : g->nr;
            float *to = p->pb + (size_t)col * p->k + (size_t)q * g->nr;
            memcpy(to, row + col, (size_t)n * sizeof *to);
            if (n < g->nr)
                memset(to + n, 0, (size_t)(g->nr - n) * sizeof *to);
        }
    }
}

static int b_in_columns(const struct product *p)
{
    return p->w ? !p->backward : p->b_row == 1;
}

static void pack(const struct train_gemm *g, int chunk, float *own)
{
    for (int i = 0; i < 2 && g->p[i].k; i++) {
        const struct product *p = &g->p[i];
        if (chunk < p->a_chunks) {
            pack_a_edge(g, p);
            return;
        }
        chunk -= p->a_chunks;
        if (chunk < p->b_chunks) {
            if (b_in_columns(p))
                pack_b_columns(g, p, chunk, own);
            else
                pack_b_rows(g, p, chunk, own);
            return;
        }
        chunk -= p->b_chunks;
    }
}

/* The tile goes to its place in C; rows and columns beyond the edge are left out. */
static void store(const struct train_gemm *g, const float *tile, int ld, int i0, int j0, int rows,
                  int cols)
{
    int m = g->m - i0 < rows ? g->m - i0 : rows, n = g->nb - j0 < cols ? g->nb - j0 : cols;
    j0 += g->n0;
    for (int i = 0; i < m; i++, tile += ld)
        if (!g->swapped)
            g->isa->finish(g->c + (size_t)(i0 + i) * g->ldc + j0, tile, g->bias ? g->bias + j0 : 0,
                           g->alpha, n, g->add);
        else
            for (int j = 0; j < n; j++) {
                float *c = g->c + (size_t)(j0 + j) * g->ldc + i0 + i;
                *c = g->add ? *c + g->alpha * tile[j] : g->alpha * tile[j];
            }
}

/* A block of C: the tile sums of all chunks of k stay in the thread's own memory. */
static void block(const struct train_gemm *g, int chunk, float *tile)
{
    const struct train_gemm_isa *isa = g->isa;
    int ib = chunk % g->ni, jb = chunk / g->ni, ld = g->col_panels * g->nr, first = 1;
    int ip0 = ib * isa->row_panels, ip1 = ip0 + isa->row_panels, all_i = ceil_div(g->m, isa->mr);
    int jp0 = jb * g->col_panels, jp1 = jp0 + g->col_panels, all_j = ceil_div(g->nb, g->nr);
    ip1 = ip1 < all_i ? ip1 : all_i;
    jp1 = jp1 < all_j ? jp1 : all_j;
    for (int i = 0; i < 2 && g->p[i].k; i++) {
        const struct product *p = &g->p[i];
        for (int q = 0; q < p->k; q += TRAIN_KC, first = 0) {
            int kc = p->k - q < TRAIN_KC ? p->k - q : TRAIN_KC;
            for (int jp = jp0; jp < jp1; jp++) {
                const float *b = p->pb + ((size_t)jp * p->k + q) * g->nr;
                for (int ip = ip0; ip < ip1; ip++) {
                    float *t = tile + (size_t)(ip - ip0) * isa->mr * ld + (jp - jp0) * g->nr;
                    int edge = (ip + 1) * isa->mr > g->m;
                    size_t row = edge ? 1 : p->a_row, col = edge ? (size_t)isa->mr : p->a_col;
                    const float *a = (edge ? p->edge : p->a + (size_t)ip * isa->mr * row) + q * col;
                    (g->nr == 16 ? isa->micro16 : isa->micro)(kc, a, row, col, b, t, ld, first);
                }
            }
        }
    }
    store(g, tile, ld, ip0 * isa->mr, jp0 * g->nr, (ip1 - ip0) * isa->mr, (jp1 - jp0) * g->nr);
}

static void run_chunk(void *ctx, int phase, int chunk, int thread)
{
    const struct train_gemm *g = ctx;
    float *own = g->own + (size_t)thread * g->own_size;
    if (phase == 0)
        pack(g, chunk, own);
    else
        block(g, chunk, own);
}

/* Floats of scratch by slot, and columns of a pass, for C(m, n) from k values. */
static void gemm_sizes(struct train_gemm *g, int k, int n_threads, int *block_n,
                       size_t size[TRAIN_SLOTS])
{
    const struct train_gemm_isa *isa = g->isa;
    g->nr = g->n <= 16 ? 16 : isa->nr;
    g->col_panels = isa->col_panels * isa->nr / g->nr;
    *block_n = (int)(BLOCK_FLOATS / (k > 0 ? k : 1)) / 256 * 256;
    *block_n = *block_n < 256 ? 256 : *block_n;
    int max_n = g->n < *block_n ? g->n : *block_n, j_panels = ceil_div(max_n, g->nr);
    /* a thread packs 16 rows of k or one of n, then sums a block */
    size_t rows = 16 * (size_t)k, sum = (size_t)isa->row_panels * isa->mr * g->col_panels * g->nr;
    g->own_size = (rows > sum ? rows : sum) + (size_t)max_n;
    size[TRAIN_OWN] = g->own_size * (size_t)n_threads;
    size[TRAIN_A] = (size_t)isa->mr * k;
    size[TRAIN_B] = (size_t)j_panels * g->nr * k;
}

void cpu_train_gemm_sizes(const struct kn_dev *d, int m, int n, int k, size_t size[TRAIN_SLOTS])
{
    struct train_gemm g = {.isa = train_isa(d)->gemm, .m = m, .n = n};
    int block_n;
    if (m <= 16 && n > 16) /* as cpu_train_gemm turns it */
        g.m = n, g.n = m;
    gemm_sizes(&g, k, d->n_threads, &block_n, size);
}

static int train_gemm_run(struct kn_dev *d, struct train_gemm *g)
{
    const struct train_gemm_isa *isa = g->isa = train_isa(d)->gemm;
    int k = g->p[0].k + g->p[1].k, i_panels = ceil_div(g->m, isa->mr);
    size_t size[TRAIN_SLOTS] = {0};
    int block_n;
    gemm_sizes(g, k, d->n_threads, &block_n, size);
    g->ni = ceil_div(i_panels, isa->row_panels);
    const int max_n = g->n < block_n ? g->n : block_n, j_panels = ceil_div(max_n, g->nr);
    g->own = train_scratch(TRAIN_OWN, size[TRAIN_OWN]);
    float *edge = train_scratch(TRAIN_A, size[TRAIN_A]);
    float *pb = train_scratch(TRAIN_B, size[TRAIN_B]);
    if (!g->own || !edge || !pb)
        return KN_ENOMEM;
    g->p[0].edge = edge;
    g->p[1].edge = edge + (size_t)isa->mr * g->p[0].k;
    for (g->n0 = 0; g->n0 < g->n; g->n0 += block_n) {
        g->nb = g->n - g->n0 < block_n ? g->n - g->n0 : block_n;
        int panels = ceil_div(g->nb, g->nr), n_chunk[2] = {0, 0};
        g->nj = ceil_div(panels, g->col_panels);
        for (int i = 0; i < 2 && g->p[i].k; i++) {
            struct product *p = &g->p[i];
            p->pb = i ? pb + (size_t)j_panels * g->nr * g->p[0].k : pb;
            p->a_chunks = g->n0 == 0 && g->m % isa->mr != 0;
            p->b_chunks = b_in_columns(p) ? panels * g->nr / 16 : ceil_div(p->k, SLICE);
            n_chunk[0] += p->a_chunks + p->b_chunks;
        }
        n_chunk[1] = g->ni * g->nj;
        pool_run(cpu_dev(d)->pool, run_chunk, g, n_chunk, 2);
    }
    return 0;
}

int cpu_train_linear_lora(struct kn_dev *d, struct kn_at y, struct kn_at x,
                          const struct kn_weight *w, struct kn_at bias, struct kn_at z,
                          struct kn_at b, float alpha, int r, int m, int flags)
{
    struct train_gemm g = {
        .p = {{.a = cpu_f32(x), .a_row = (size_t)w->k, .a_col = 1, .w = w, .k = w->k, .alpha = 1},
              {.a = cpu_f32(z),
               .a_row = (size_t)r,
               .a_col = 1,
               .b = cpu_f32(b),
               .b_row = 1,
               .b_col = (size_t)r,
               .k = r,
               .alpha = alpha}},
        .m = m,
        .n = w->n,
        .alpha = 1,
        .bias = cpu_f32(bias),
        .c = cpu_f32(y),
        .ldc = (size_t)w->n,
        .add = flags & KN_ADD};
    return train_gemm_run(d, &g);
}

int cpu_train_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                     struct kn_at bias, int m, int flags)
{
    struct kn_at none = {0};
    return cpu_train_linear_lora(d, y, x, w, bias, none, none, 1, 0, m, flags);
}

int cpu_train_linear_lora_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                              const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r,
                              int m, int flags)
{
    struct train_gemm g = {.p = {{.a = cpu_f32(dy),
                                  .a_row = (size_t)w->n,
                                  .a_col = 1,
                                  .w = w,
                                  .backward = 1,
                                  .k = w->n,
                                  .alpha = 1},
                                 {.a = cpu_f32(dz),
                                  .a_row = (size_t)r,
                                  .a_col = 1,
                                  .b = cpu_f32(a),
                                  .b_row = (size_t)w->k,
                                  .b_col = 1,
                                  .k = r,
                                  .alpha = 1}},
                           .m = m,
                           .n = w->k,
                           .alpha = 1,
                           .c = cpu_f32(dx),
                           .ldc = (size_t)w->k,
                           .add = flags & KN_ADD};
    return train_gemm_run(d, &g);
}

int cpu_train_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                         const struct kn_weight *w, int m, int flags)
{
    struct kn_at none = {0};
    return cpu_train_linear_lora_bwd(d, dx, dy, w, none, none, 0, m, flags);
}

int cpu_train_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                   int m, int n, int k, int flags)
{
    size_t ar = flags & KN_TA ? 1 : (size_t)k, ac = flags & KN_TA ? (size_t)m : 1;
    size_t br = flags & KN_TB ? 1 : (size_t)n, bc = flags & KN_TB ? (size_t)k : 1;
    const float *pa = cpu_f32(a), *pb = cpu_f32(b);
    struct train_gemm g = {.p = {{.a = pa,
                                  .a_row = ar,
                                  .a_col = ac,
                                  .b = pb,
                                  .b_row = br,
                                  .b_col = bc,
                                  .k = k,
                                  .alpha = 1}},
                           .m = m,
                           .n = n,
                           .alpha = alpha,
                           .c = cpu_f32(c),
                           .ldc = (size_t)n,
                           .add = flags & KN_ADD};
    if (m <= 16 &&
        n > 16) { /* a thin C is computed as its transpose: the rows of a tile stay full */
        g.p[0].a = pb;
        g.p[0].a_row = bc;
        g.p[0].a_col = br;
        g.p[0].b = pa;
        g.p[0].b_row = ac;
        g.p[0].b_col = ar;
        g.m = n;
        g.n = m;
        g.swapped = 1;
    }
    return train_gemm_run(d, &g);
}
