/* train_group - a group of linear layers with adapters in bf16 tiles (T1, T2 of train.h), forward and back
 *
 * Three phases of one job.  The factors (and weights that are not kept as tiles) become tiles of B.  Then
 * blocks of rows, each by one thread from the input's transformation to what follows the products, while
 * the rows are in its cache; in the backward the factors' gradients too, summed over each unit of rows.  In
 * the backward then those sums, 64 columns at a time. */
#include "cpu/train_group.h"
#include <string.h>

enum {
    BLOCK_BYTES = 768 << 10
}; /* of packed input of a block: it shares the L2 cache with weights */
enum { MOST_ROWS = 320 };

/* ---- tiles of B ---- */

/* Sixteen rows of a weight as a panel of columns: y = x w^T. own: 16 k floats, k values. */
static void pack_forward(const struct train16_isa *isa, const struct kn_weight *w, int panel,
                         float *own, uint16_t *to)
{
    int n = least(16, w->n - 16 * panel), kt = tiles(w->k);
    uint16_t *a = (uint16_t *)(void *)(own + 16 * (size_t)w->k);
    for (int i = 0; i < n; i++)
        train_weight(w, 16 * panel + i, 0, w->k, own + (size_t)i * (size_t)w->k);
    isa->rows(a, own, (size_t)w->k, n, w->k, 1);
    isa->turn(to + (size_t)panel * (size_t)kt * T16, a, kt);
}

/* Thirty-two rows of a weight as a tile of every panel: dx = dy w. own: 32 k floats. */
static void pack_backward(const struct train16_isa *isa, const struct kn_weight *w, int tile,
                          float *own, uint16_t *to)
{
    int n = least(32, w->n - 32 * tile), kt = tiles(w->n);
    for (int i = 0; i < n; i++)
        train_weight(w, 32 * tile + i, 0, w->k, own + (size_t)i * (size_t)w->k);
    for (int j = 0; j < panels(w->k); j++)
        isa->pairs(to + ((size_t)j * (size_t)kt + (size_t)tile) * T16, own + 16 * j, (size_t)w->k,
                   n, least(16, w->k - 16 * j), 1);
}

size_t cpu_train_tile_values(const struct kn_weight *w, int backward)
{
    size_t rows = (size_t)(backward ? panels(w->k) : panels(w->n));
    return rows * (size_t)(backward ? tiles(w->n) : tiles(w->k)) * T16;
}

struct packing16 {
    const struct train16_isa *isa;
    const struct kn_weight *w;
    uint16_t *to[2];
    float *own;
};

static void pack_weight(void *ctx, int phase, int chunk, int thread)
{
    const struct packing16 *p = ctx;
    float *own = p->own + (size_t)thread * 32 * (size_t)train16_up(p->w->k, T16_K);
    (phase ? pack_backward : pack_forward)(p->isa, p->w, chunk, own, p->to[phase]);
}

/* kn_weight_new's part with KN_W_MIXED */
int cpu_train_tiles(struct kn_dev *d, struct cpu_weight *w)
{
    struct packing16 p = {.isa = train_isa(d)->b16, .w = &w->w};
    int n_chunk[2] = {panels(w->w.n), tiles(w->w.n)};
    p.own = train_scratch(TRAIN_OWN, 32 * (size_t)train16_up(w->w.k, T16_K) * (size_t)d->n_threads);
    for (int i = 0; i < 2; i++) {
        w->tiles[i] =
            slab_take(&cpu_dev(d)->slab, cpu_train_tile_values(&w->w, i) * sizeof(uint16_t),
                      &w->tiles_slab[i]);
        p.to[i] = w->tiles[i];
    }
    if (!p.own || !w->tiles[0] || !w->tiles[1])
        return KN_ENOMEM;
    pool_run(cpu_dev(d)->pool, pack_weight, &p, n_chunk, 2);
    return 0;
}

/* a (r, k) and b (n, r) as B of z = h a^T and z b^T */
static void factors_forward(const struct group16 *j, const struct lin16 *l, int which,
                            uint16_t *own)
{
    const struct kn_group *g = j->g;
    const float *a = cpu_f32(l->l->a), *b = cpu_f32(l->l->b);
    size_t k = (size_t)g->k, r = (size_t)g->r;
    for (int p = 0; which == 0 && p < j->rn; p++) {
        j->isa->rows(own, a + 16 * (size_t)p * k, k, g->r - 16 * p, g->k, 1);
        j->isa->turn(l->a + (size_t)p * (size_t)j->kt * T16, own, j->kt);
    }
    for (int p = 0; which == 1 && p < panels(l->n); p++) {
        j->isa->rows(own, b + 16 * (size_t)p * r, r, l->n - 16 * p, g->r, g->alpha);
        j->isa->turn(l->b + (size_t)p * (size_t)j->rt * T16, own, j->rt);
    }
}

/* a and b as B of dz a and dz = dy (alpha b) */
static void factors_backward(const struct group16 *j, const struct lin16 *l, int which)
{
    const struct kn_group *g = j->g;
    const float *a = cpu_f32(l->l->a), *b = cpu_f32(l->l->b);
    size_t k = (size_t)g->k, r = (size_t)g->r;
    for (int p = 0; which == 0 && p < panels(g->k); p++)
        for (int t = 0; t < j->rt; t++)
            j->isa->pairs(l->a + (size_t)(p * j->rt + t) * T16, a + 32 * (size_t)t * k + 16 * p, k,
                          g->r - 32 * t, least(16, g->k - 16 * p), 1);
    for (int p = 0; which == 1 && p < j->rn; p++)
        for (int t = 0; t < l->kt; t++)
            j->isa->pairs(l->b + ((size_t)p * (size_t)l->kt + (size_t)t) * T16,
                          b + 32 * (size_t)t * r + 16 * p, r, l->n - 32 * t,
                          least(16, g->r - 16 * p), g->alpha);
}

/* First phase: of each layer a, b, and its weight in panels or tiles. */
static void pack_chunk(const struct group16 *j, int chunk, char *own)
{
    int job = 0;
    while (chunk >= j->first[job + 1])
        job++;
    const struct lin16 *l = &j->lin[job / 3];
    if (job % 3 == 2)
        (j->backward ? pack_backward : pack_forward)(j->isa, l->l->w, chunk - j->first[job],
                                                     (float *)(void *)own, l->pack);
    else if (j->backward)
        factors_backward(j, l, job % 3);
    else
        factors_forward(j, l, job % 3, (uint16_t *)(void *)own);
}

/* ---- blocks of rows ---- */

/* C of `rows` by n values at c: whole tiles in place, what is left by way of `edge`. */
static void out(const struct group16 *j, struct train16 p, int rows, int n, float *c, size_t ldc,
                float *edge)
{
    int mt = rows / 16, nt = n / 16, odd_n = n % 16, odd_m = rows % 16, add = p.add;
    struct train16 whole = p, right = p, bottom = p;
    whole.c = c, whole.ldc = ldc, whole.mt = mt, whole.nt = nt;
    if (mt && nt)
        j->product(&whole);
    right.c = edge, right.ldc = 16, right.mt = panels(rows), right.nt = 1;
    bottom.c = edge, bottom.ldc = 16 * (size_t)nt, bottom.mt = 1, bottom.nt = nt;
    for (int s = 0; s < p.n_seg; s++) {
        right.seg[s].b += (size_t)nt * p.seg[s].ldb;
        bottom.seg[s].a += (size_t)mt * p.seg[s].lda;
    }
    float *at = c + 16 * (size_t)nt;
    for (int i = 0; odd_n && add && i < rows; i++)
        memcpy(edge + 16 * (size_t)i, at + (size_t)i * ldc, (size_t)odd_n * sizeof *c);
    if (odd_n)
        j->product(&right);
    for (int i = 0; odd_n && i < rows; i++)
        memcpy(at + (size_t)i * ldc, edge + 16 * (size_t)i, (size_t)odd_n * sizeof *c);
    if (!odd_m || !nt)
        return;
    at = c + 16 * (size_t)mt * ldc;
    for (int i = 0; add && i < odd_m; i++)
        memcpy(edge + (size_t)i * bottom.ldc, at + (size_t)i * ldc, bottom.ldc * sizeof *c);
    j->product(&bottom);
    for (int i = 0; i < odd_m; i++)
        memcpy(at + (size_t)i * ldc, edge + (size_t)i * bottom.ldc, bottom.ldc * sizeof *c);
}

/* n rows of h from row `row` on: where they are, or made in tmp (16, k) */
static const float *input_rows(const struct group16 *j, int row, int n, float *tmp)
{
    const struct kn_group *g = j->g;
    size_t k = (size_t)g->k;
    const float *x = at_f32(g->x, (size_t)row * k), *up = at_f32(g->up, (size_t)row * k);
    if (g->input == KN_IN_PLAIN)
        return x;
    for (int i = 0; i < n; i++, tmp += k, x += k, up += k)
        if (g->input == KN_IN_NORM)
            j->rows->norm(tmp, at_f32(g->rstd, (size_t)(row + i)), x, cpu_f32(g->norm), g->eps,
                          g->k);
        else
            j->rows->swiglu(tmp, x, up, k);
    return tmp - (size_t)n * k;
}

/* The rows of h as tiles of A; with layer l, its own dropped h. */
static void input_tiles(const struct group16 *j, const struct lin16 *l, int row, int n, uint16_t *a,
                        float *tmp)
{
    const struct kn_group *g = j->g;
    size_t k = (size_t)g->k;
    for (int i = 0; i < n; i += 16, a += (size_t)j->kt * T16) {
        int rows = least(16, n - i);
        const float *x = input_rows(j, row + i, rows, tmp);
        for (int q = 0; l && q < rows; q++)
            group_drop(g, l->l, row + i + q, 0, g->k, x + (size_t)q * k, tmp + (size_t)q * k);
        j->isa->rows(a, l ? tmp : x, k, rows, g->k, 1);
    }
}

/* f(n, r) rounded as tiles of A (n, r) */
static void narrow_tiles(const struct group16 *j, const float *f, size_t ld, int n, uint16_t *a)
{
    for (int i = 0; i < n; i += 16)
        j->isa->rows(a + (size_t)(i / 16) * (size_t)j->rt * T16, f + (size_t)i * ld, ld,
                     least(16, n - i), j->g->r, 1);
}

static void forward_block(const struct group16 *j, int row, int n, char *own)
{
    const struct kn_group *g = j->g;
    uint16_t *a = (uint16_t *)(void *)(own + j->own_a),
             *za = (uint16_t *)(void *)(own + j->own_tile);
    uint16_t *a2 = (uint16_t *)(void *)(own + j->own_a2);
    float *f = (float *)(void *)(own + j->own_f), *f2 = (float *)(void *)(own + j->own_f2);
    const size_t lda = (size_t)j->kt * T16, ldr = (size_t)j->rt * T16;
    input_tiles(j, NULL, row, n, a, f2);
    for (int i = 0; i < g->n_lin; i++) {
        const struct lin16 *l = &j->lin[i];
        struct train16 p = {.seg = {{a, l->w, lda, lda, j->kt}, {za, l->b, ldr, ldr, j->rt}}};
        p.n_seg = 1 + l->adapter;
        if (l->adapter) {
            struct train16 z = {.seg = {{a, l->a, lda, lda, j->kt}}, .n_seg = 1};
            float *to = at_f32(l->l->z, (size_t)row * (size_t)g->r);
            if (g->dropout > 0) {
                input_tiles(j, l, row, n, a2, f2);
                z.seg[0].a = a2;
            }
            out(j, z, n, g->r, to, (size_t)g->r, f);
            narrow_tiles(j, to, (size_t)g->r, n, za);
        }
        size_t at = (size_t)row * (size_t)l->n;
        float *y = at_f32(l->l->y, at), *res = at_f32(l->l->res, at), *bias = cpu_f32(l->l->bias);
        out(j, p, n, l->n, y, (size_t)l->n, f);
        for (int q = 0; (bias || res) && q < n; q++)
            j->rows->add(y + (size_t)q * (size_t)l->n, bias,
                         res ? res + (size_t)q * (size_t)l->n : NULL, l->n);
    }
}

/* dh += dz a with dropout, a sum of its own */
static void dropped_bwd(const struct group16 *j, const struct lin16 *l, const uint16_t *za, int row,
                        int n, float *f, float *f2)
{
    const struct kn_group *g = j->g;
    size_t ldr = (size_t)j->rt * T16, k = (size_t)g->k;
    struct train16 p = {.seg = {{za, l->a, ldr, ldr, j->rt}}, .n_seg = 1};
    out(j, p, n, g->k, f2, k, f);
    for (int i = 0; i < n; i++, f2 += k) {
        group_drop(g, l->l, row + i, 0, g->k, f2, f2);
        j->rows->add(j->dh + (size_t)(row + i) * k, NULL, f2, g->k);
    }
}

/* From h's gradient to the input's. */
static void input_bwd(const struct group16 *j, int row, int n)
{
    const struct kn_group *g = j->g;
    size_t k = (size_t)g->k, at = (size_t)row * k;
    float *x = at_f32(g->x, at), *up = at_f32(g->up, at), *dh = j->dh + at;
    if (g->input == KN_IN_SWIGLU)
        for (int i = 0; i < n; i++, x += k, up += k, dh += k)
            j->rows->swiglu_bwd(x, up, dh, dh, x, up, k); /* dh becomes h, for da */
    else if (g->input == KN_IN_NORM)
        for (int i = 0; i < n; i++, x += k, dh += k)
            j->rows->norm_bwd(j->dx + at + (size_t)i * k, dh, x, cpu_f32(g->norm),
                              *at_f32(g->rstd, (size_t)(row + i)), g->k, 1);
}

static void backward_block(const struct group16 *j, int row, int n, char *own)
{
    const struct kn_group *g = j->g;
    uint16_t *a = (uint16_t *)(void *)(own + j->own_a),
             *za = (uint16_t *)(void *)(own + j->own_tile);
    float *f = (float *)(void *)(own + j->own_f), *f2 = (float *)(void *)(own + j->own_f2),
          *dz = f2;
    uint16_t *dzt = (uint16_t *)(void *)(own + j->own_dzt);
    const size_t ldr = (size_t)j->rt * T16;
    for (int i = 0; i < g->n_lin; i++) {
        const struct lin16 *l = &j->lin[i];
        const size_t lda = (size_t)l->kt * T16, width = (size_t)l->n;
        const float *dy = at_f32(l->l->dy, (size_t)row * width);
        for (int q = 0; q < train16_up(n, 32); q += 16)
            j->isa->rows(a + (size_t)(q / 16) * lda, dy + (size_t)q * width, width,
                         least(16, n - q), l->n, 1);
        if (l->adapter) {
            struct train16 z = {.seg = {{a, l->b, lda, lda, l->kt}}, .n_seg = 1};
            out(j, z, n, g->r, dz, (size_t)g->r, f);
            narrow_tiles(j, dz, (size_t)g->r, n, za);
            factor_tiles(j, dz, n, dzt, own);
            dzt += (size_t)j->rn * (size_t)tiles(j->block) * T16;
            factor_tiles(j, at_f32(l->l->z, (size_t)row * (size_t)g->r), n,
                         (uint16_t *)(void *)(own + j->own_zt), own);
            factor_db(j, l, a, row, n, own);
        }
        if (!j->wanted)
            continue;
        struct train16 p = {.seg = {{a, l->w, lda, lda, l->kt}, {za, l->a, ldr, ldr, j->rt}}};
        p.n_seg = 1 + (l->adapter && g->dropout <= 0);
        p.add = i > 0;
        out(j, p, n, g->k, j->dh + (size_t)row * (size_t)g->k, (size_t)g->k, f);
        if (l->adapter && g->dropout > 0)
            dropped_bwd(j, l, za, row, n, f, f2);
    }
    for (int q = 0; q < n; q += UNIT) { /* the unit's rows are near for both */
        if (j->wanted)
            input_bwd(j, row + q, least(UNIT, n - q));
        if (j->n_ad)
            factor_da(j, row, q, least(UNIT, n - q), own);
    }
}

/* ---- the job ---- */

static void run_chunk(void *ctx, int phase, int chunk, int thread)
{
    const struct group16 *j = ctx;
    char *own = j->own + (size_t)thread * j->own_bytes;
    if (phase == 0)
        pack_chunk(j, chunk, own);
    else if (phase == 2)
        factor_add(j, chunk);
    else {
        int row = chunk * j->block, n = least(j->block, j->m - row);
        (j->backward ? backward_block : forward_block)(j, row, n, own);
    }
}

static size_t lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
static size_t more(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Rows of a block: few enough for the cache, the blocks about equal and a multiple of the threads, whole units. */
static void cut(struct group16 *j, int widest, int n_threads)
{
    int most = BLOCK_BYTES / (int)(train16_up(widest, T16_K) * (int)sizeof(uint16_t));
    most = most < UNIT ? UNIT : most > MOST_ROWS ? MOST_ROWS : most;
    int n = (j->m + most - 1) / most;
    n = (n + n_threads - 1) / n_threads * n_threads;
    j->block = train16_up((j->m + n - 1) / n, UNIT);
    j->n_block = (j->m + j->block - 1) / j->block;
}

/* Places in a thread's scratch, for all phases. widest: of what is packed, in any matrix */
static void places(struct group16 *j, int widest, int most)
{
    const struct kn_group *g = j->g;
    size_t rows = (size_t)j->block, k = (size_t)train16_up(g->k, T16_K), half = sizeof(uint16_t);
    size_t edge = more(16 * rows, 16 * (size_t)train16_up(most, 16)) * sizeof(float);
    size_t wide = rows * (size_t)train16_up(widest, T16_K) * half, f2 = 16 * k;
    if (j->backward)
        f2 = rows * (size_t)(g->dropout > 0 && g->k > g->r ? g->k : g->r);
    j->own_a = 0;
    j->own_a2 = lines(wide);
    j->own_tile = j->own_a2 + (j->backward ? 0 : lines(rows * k * half));
    j->own_f = j->own_tile + lines(rows * (size_t)j->rt * T16_K * half);
    j->own_f2 = j->own_f + lines(edge);
    size_t blocks = j->own_f2 + lines(f2 * sizeof(float));
    size_t packing = more(32 * k * sizeof(float), (size_t)j->rt * T16 * half);
    if (j->backward && j->n_ad)
        blocks = factor_own(j, blocks);
    j->own_bytes = lines(more(blocks, packing));
}

/* The next n values from `base` on; NULL where they are only counted. */
static uint16_t *take(uint16_t *base, size_t *used, size_t n)
{
    uint16_t *at = base ? base + *used : NULL;
    *used += n;
    return at;
}

/* What all threads share: sums of the factors' gradients, tiles of the factors and of weights that are not
 * kept; their places from p on. Returns how many floats there are. */
static size_t shared_tiles(struct group16 *j, float *p)
{
    const size_t sums =
        j->backward && j->n_ad ? factor_sums(j) * (size_t)((j->m + UNIT - 1) / UNIT) : 0;
    uint16_t *to = (uint16_t *)(void *)(p ? p + sums : NULL);
    size_t used = 0;
    j->sums = p;
    for (int i = 0; i < j->g->n_lin; i++) {
        struct lin16 *l = &j->lin[i];
        size_t in = (size_t)(j->backward ? panels(j->g->k) * j->rt : j->rn * j->kt);
        size_t out_tiles = (size_t)(j->backward ? j->rn * l->kt : panels(l->n) * j->rt);
        l->a = take(to, &used, l->adapter * in * T16);
        l->b = take(to, &used, l->adapter * out_tiles * T16);
        if (!l->w || l->pack)
            l->w = l->pack = take(to, &used, cpu_train_tile_values(l->l->w, j->backward));
    }
    return sums + used / 2;
}

/* The layers, the blocks of rows and the places in scratch. */
static void group_new(struct group16 *j, const struct kn_dev *d, const struct kn_group *g, int m,
                      int backward)
{
    const struct train_isa *isa = train_isa(d);
    int widest = g->k, most = g->k, r = 0;
    *j = (struct group16){.g = g, .isa = isa->b16, .rows = isa->rows, .m = m, .backward = backward};
    j->product = isa->product;
    for (int i = 0; i < g->n_lin; i++) {
        const struct kn_lin *l = &g->lin[i];
        const struct cpu_weight *w = (const struct cpu_weight *)(const void *)l->w;
        j->lin[i] =
            (struct lin16){.l = l, .w = w->tiles[backward], .n = l->w->n, .kt = tiles(l->w->n)};
        most = l->w->n > most ? l->w->n : most;
        widest = backward ? most : g->k;
        if ((j->lin[i].adapter = l->a.buf != NULL))
            j->ad[j->n_ad++] = &j->lin[i], r = g->r;
    }
    j->kt = tiles(g->k), j->rt = tiles(r), j->rn = panels(r);
    cut(j, widest, d->n_threads);
    places(j, widest, most);
}

void cpu_train_group_sizes(const struct kn_dev *d, const struct kn_group *g, int m, int backward,
                           size_t size[TRAIN_SLOTS])
{
    struct group16 j;
    group_new(&j, d, g, m, backward);
    size[TRAIN_SHARED] = shared_tiles(&j, NULL) + 1;
    size[TRAIN_OWN] = j.own_bytes * (size_t)d->n_threads / sizeof(float);
}

static int group_run(struct kn_dev *d, const struct kn_group *g, int m, int backward,
                     struct kn_at dx)
{
    struct group16 j;
    int n_chunk[3] = {0, 0, 0};
    group_new(&j, d, g, m, backward);
    j.dx = cpu_f32(dx);
    j.dh = g->input == KN_IN_PLAIN ? j.dx : cpu_f32(g->dh);
    j.wanted = g->input == KN_IN_SWIGLU || j.dx;
    float *shared = train_scratch(TRAIN_SHARED, shared_tiles(&j, NULL) + 1);
    j.own = (char *)train_scratch(TRAIN_OWN, j.own_bytes * (size_t)d->n_threads / sizeof(float));
    if (!shared || !j.own)
        return KN_ENOMEM;
    shared_tiles(&j, shared);
    for (int i = 0; i < g->n_lin; i++) {
        int pack = j.lin[i].pack && (!backward || j.wanted), n = j.lin[i].n;
        const int chunks[3] = {j.lin[i].adapter, j.lin[i].adapter,
                               !pack      ? 0
                               : backward ? tiles(n)
                                          : panels(n)};
        for (int q = 0; q < 3; q++)
            j.first[3 * i + q + 1] = n_chunk[0] += chunks[q];
    }
    n_chunk[1] = j.n_block;
    if (backward && j.n_ad)
        n_chunk[2] = factor_tasks(&j);
    pool_run(cpu_dev(d)->pool, run_chunk, &j, n_chunk, 3);
    return 0;
}

int cpu_train_group(struct kn_dev *d, const struct kn_group *g, int m)
{
    struct kn_at none = {0};
    return group_run(d, g, m, 0, none);
}

int cpu_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m)
{
    int err = group_run(d, g, m, 1, dx);
    return err || !g->dnorm.buf ? err
                                : cpu_train_norm_dw(d, g->dnorm, g->dh, g->x, g->rstd, m, g->k);
}
