/* ops.c - the calls of kernels.h: jobs of a few phases on the pool
 *
 * A phase works on rows (norm, quantize, RoPE) or on panels of 16 outputs (products).  The fused
 * calls do in one job what their compositions do in several, with the same bits. */
#include "cpu.h"

#include <assert.h>
#include <string.h>

enum { MAX_PRODUCTS = 3 };

/* y(m, n) = or += act w^T + bias, a part of a phase */
struct product {
    const struct cpu_weight *w;
    const float *bias;
    float *y;
    int add;
};

struct job {
    struct cpu_dev *c;
    int m, k; /* rows of the products of this phase and their length */
    /* the products' input: float rows, and how to make them */
    const float *x;      /* (m, k), or the rows that the norm reads */
    float *h;            /* (m, k) normed rows; NULL: x itself is the input */
    const int32_t *take; /* row i of the input is x[take[i]] */
    const float *norm;
    float eps;
    int blocks; /* bit 0, 1: quantize in blocks of 32, of 256 */
    struct product p[MAX_PRODUCTS];
    int n_product, n_panel, n_chunk[4], chunk_base;
    /* what a call adds */
    const struct kn_attn *a;
    const struct cpu_batch *b;
    const struct cpu_kv *kv;
    const struct kn_ffn *f;
    int layer;
    float *q, *kk, *v, *gate, *up;
};

static size_t act_bytes(const struct job *j, int which)
{
    return mmq_act_bytes(which ? 256 : 32, j->k);
}

/* Tiles pay from a few rows on; with fewer a product is bound by reading the weight. */
static int on_tiles(const struct job *j)
{
    return j->c->tiles && j->m >= MMQ_TILE_MIN;
}

/* rows [from, to): norm, then quantize */
static void input_rows(const struct job *j, int from, int to)
{
    for (int i = from; i < to; i++) {
        const float *x = j->x + (size_t)(j->take ? j->take[i] : i) * (size_t)j->k;
        if (j->norm) {
            float *h = j->h + (size_t)i * (size_t)j->k;
            j->c->rows->norm(j->k, x, j->norm, j->eps, h);
            x = h;
        }
        for (int t = 0; t < 2; t++) {
            if (!(j->blocks >> t & 1))
                continue;
            if (on_tiles(j))
                j->c->tiles->quantize(t ? 256 : 32, j->k, x, j->c->act[t], i, i == j->m - 1);
            else
                j->c->mmq->quantize(t ? 256 : 32, j->k, x,
                                    j->c->act[t] + (size_t)i * act_bytes(j, t));
        }
    }
}

static int part_of(int n, int n_chunk, int chunk, int *to)
{
    int from;
    pool_part(n, n_chunk, chunk, &from, to);
    return from;
}

/* panels [from, to) of one product, all rows */
static void product_panels(const struct job *j, const struct product *p, int from, int to,
                           int thread)
{
    const struct cpu_weight *w = p->w;
    const struct cpu_dev *c = j->c;
    const int n = w->w.n, block = cpu_act_block(w);
    if (!block) {
        struct gemm g = {.m = j->m, .n = n, .k = j->k, .a = j->norm ? j->h : j->x};
        g.a_row = (size_t)j->k, g.a_col = 1, g.alpha = 1, g.add = p->add, g.bias = p->bias;
        g.panels = gemm_panels_packed, g.b = w->packed, g.b_type = w->packed_type;
        g.c = p->y, g.c_ld = (size_t)n, g.scratch = c->gemm_scratch, g.isa = c->gemm;
        c->count[thread].floating++;
        for (; from < to; from += GEMM_SLAB)
            gemm_part(&g, from, to - from < GEMM_SLAB ? to - from : GEMM_SLAB, thread);
        return;
    }
    const size_t ld = act_bytes(j, block == 256), n_y = (size_t)n;
    const char *act = c->act[block == 256];
    if (on_tiles(j)) {
        c->count[thread].tiles++;
        const struct mmq_out o = {.y = p->y + 16 * from,
                                  .ld = n_y,
                                  .bias = p->bias ? p->bias + 16 * from : NULL,
                                  .add = p->add,
                                  .n = n - 16 * from};
        c->tiles->panels(w->packed_type, j->m, j->k, w->packed + (size_t)from * w->panel_bytes,
                         to - from, w->panel_bytes, act, &o,
                         c->tile_scratch + (size_t)thread * c->tile_scratch_bytes);
        return;
    }
    c->count[thread].quantized++;
    for (; from < to; from++) {
        const uint8_t *panel = w->packed + (size_t)from * w->panel_bytes;
        const int cols = n - 16 * from < 16 ? n - 16 * from : 16;
        float *y = p->y + 16 * from;
        if (cols == 16 && !p->bias && !p->add) {
            c->mmq->panel(w->packed_type, j->m, j->k, panel, act, ld, y, n_y);
            continue;
        }
        for (int i = 0; i < j->m; i += 64) {
            float t[64][16];
            int m = j->m - i < 64 ? j->m - i : 64;
            c->mmq->panel(w->packed_type, m, j->k, panel, act + (size_t)i * ld, ld, t[0], 16);
            for (int r = 0; r < m; r++) {
                float *yr = y + (size_t)(i + r) * n_y;
                c->rows->put(cols, t[r], p->bias ? p->bias + 16 * from : NULL, p->add ? yr : NULL,
                             yr);
            }
        }
    }
}

/* panels [from, to) of all products of a phase, one after the other */
static void all_panels(const struct job *j, int from, int to, int thread)
{
    int base = 0;
    for (int i = 0; i < j->n_product; i++) {
        int panels = (j->p[i].w->w.n + 15) / 16;
        int a = from - base, b = to - base;
        a = a < 0 ? 0 : a;
        b = b > panels ? panels : b;
        if (a < b)
            product_panels(j, &j->p[i], a, b, thread);
        base += panels;
    }
}

static void add_product(struct job *j, const struct kn_weight *kw, const float *bias, float *y,
                        int add)
{
    const struct cpu_weight *w = (const struct cpu_weight *)kw;
    assert(w->packed);
    j->p[j->n_product++] = (struct product){w, bias, y, add};
    j->n_panel += (kw->n + 15) / 16;
    int block = cpu_act_block(w);
    j->blocks |= block == 32 ? 1 : block == 256 ? 2 : 0;
}

/* chunks of the input phase and of the product phase */
static void plan(struct job *j, int *in, int *out)
{
    *in = j->norm || j->blocks ? pool_chunks(j->c->pool, j->m, 1) : 0;
    *out = pool_chunks(j->c->pool, j->n_panel, 4);
}

/* ---- matmul and head: input rows, then panels */

static void run_products(void *ctx, int phase, int chunk, int thread)
{
    struct job *j = ctx;
    int to, from = part_of(phase ? j->n_panel : j->m, j->n_chunk[phase], chunk, &to);
    if (phase == 0)
        input_rows(j, from, to);
    else
        all_panels(j, from, to, thread);
}

static void products(struct job *j)
{
    plan(j, &j->n_chunk[0], &j->n_chunk[1]);
    pool_run(j->c->pool, run_products, j, j->n_chunk, 2);
}

int cpu_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
               struct kn_at bias, int m, int flags)
{
    struct cpu_dev *c = cpu_dev(d);
    for (int i = 0; i < m; i += c->max_rows) { /* the activations' room */
        struct job j = {.c = c, .m = m - i < c->max_rows ? m - i : c->max_rows, .k = w->k};
        j.x = cpu_f32(x) + (size_t)i * (size_t)w->k;
        add_product(&j, w, cpu_f32(bias), cpu_f32(y) + (size_t)i * (size_t)w->n, flags & KN_ADD);
        products(&j);
    }
    return KN_OK;
}

int cpu_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
             struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b)
{
    struct job j = {.c = cpu_dev(d), .m = b->n_out, .k = w->k, .x = cpu_f32(x), .h = cpu_f32(tmp)};
    if (!j.m)
        return KN_OK;
    j.take = ((const struct cpu_batch *)b)->out;
    j.norm = cpu_f32(norm), j.eps = eps;
    add_product(&j, w, NULL, cpu_f32(logits), 0);
    products(&j);
    return KN_OK;
}

/* ---- qkv: input rows; panels of q, k and v; heads */

/* unit of (row, head): a query head, or a KV head's k and v */
static void finish_head(const struct job *j, int unit)
{
    const struct kn_attn *a = j->a;
    const int heads = a->n_head + a->n_head_kv, row = unit / heads, head = unit % heads;
    const size_t hd = (size_t)a->head_dim;
    const int is_q = head < a->n_head, kv_head = head - a->n_head;
    float *x = is_q ? j->q + ((size_t)row * (size_t)a->n_head + (size_t)head) * hd
                    : j->kk + ((size_t)row * (size_t)a->n_head_kv + (size_t)kv_head) * hd;
    const float *norm = cpu_f32(is_q ? a->q_norm : a->k_norm);
    if (norm)
        j->c->rows->norm(a->head_dim, x, norm, a->eps, x);
    if (a->rope_dim)
        j->c->rows->rope(a->rope_dim, a->rope_pairs,
                         cpu_f32(a->rope) + (size_t)j->b->rope[row] * (size_t)a->rope_dim, x);
    if (is_q)
        return;
    cpu_kv_store(j->c, j->kv, j->b, j->layer, row, kv_head, x,
                 j->v + ((size_t)row * (size_t)a->n_head_kv + (size_t)kv_head) * hd);
}

static void run_qkv(void *ctx, int phase, int chunk, int thread)
{
    struct job *j = ctx;
    const int units = j->m * (j->a->n_head + j->a->n_head_kv);
    int to, from = part_of(phase == 0   ? j->m
                           : phase == 1 ? j->n_panel
                                        : units,
                           j->n_chunk[phase], chunk, &to);
    if (phase == 0)
        input_rows(j, from, to);
    else if (phase == 1)
        all_panels(j, from, to, thread);
    else
        for (; from < to; from++)
            finish_head(j, from);
}

int cpu_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
            int layer, const struct kn_attn *a, const struct kn_batch *b)
{
    struct job j = {
        .c = cpu_dev(d), .m = b->n_tok, .k = a->n_embd, .x = cpu_f32(x), .h = cpu_f32(tmp)};
    if (!j.m)
        return KN_OK;
    j.norm = cpu_f32(a->norm), j.eps = a->eps;
    j.a = a, j.b = (const struct cpu_batch *)b, j.kv = (const struct cpu_kv *)kv, j.layer = layer;
    j.q = cpu_f32(q);
    j.kk = j.h + (((size_t)j.m * (size_t)j.k + 15) & ~(size_t)15);
    j.v = j.kk + (((size_t)j.m * (size_t)a->k->n + 15) & ~(size_t)15);
    add_product(&j, a->q, cpu_f32(a->bq), j.q, 0);
    add_product(&j, a->k, cpu_f32(a->bk), j.kk, 0);
    add_product(&j, a->v, cpu_f32(a->bv), j.v, 0);
    plan(&j, &j.n_chunk[0], &j.n_chunk[1]);
    j.n_chunk[2] = pool_chunks(j.c->pool, j.m * (a->n_head + a->n_head_kv), 4);
    pool_run(j.c->pool, run_qkv, &j, j.n_chunk, 3);
    return KN_OK;
}

/* ---- ffn: input rows; panels of gate and up, SwiGLU; quantized rows; panels of down */

static void run_ffn(void *ctx, int phase, int chunk, int thread)
{
    struct job *j = ctx;
    const int n_ff = j->f->n_ff, panels = (n_ff + 15) / 16;
    struct job in = *j; /* the second pair of phases has another input and other products */
    if (phase >= 2) {
        in.k = n_ff, in.x = j->gate, in.norm = NULL, in.blocks = 0;
        in.n_product = in.n_panel = 0;
        add_product(&in, j->f->down, NULL, (float *)(void *)(uintptr_t)j->x, 1);
    } else {
        in.n_product = in.n_panel = in.blocks = 0;
        add_product(&in, j->f->gate, NULL, j->gate, 0);
        add_product(&in, j->f->up, NULL, j->up, 0);
    }
    const int n = phase % 2 == 0 ? j->m : phase == 1 ? panels : in.n_panel;
    int to, from = part_of(n, j->n_chunk[phase], chunk, &to);
    if (phase % 2 == 0) {
        input_rows(&in, from, to);
    } else if (phase == 3) {
        all_panels(&in, from, to, thread);
    } else {
        product_panels(&in, &in.p[0], from, to, thread);
        product_panels(&in, &in.p[1], from, to, thread);
        const int last = 16 * to < n_ff ? 16 * to : n_ff;
        for (int i = 0; i < j->m; i++) {
            const size_t at = (size_t)i * (size_t)n_ff + (size_t)(16 * from);
            j->c->rows->swiglu((size_t)(last - 16 * from), j->gate + at, j->up + at, j->gate + at);
        }
    }
}

int cpu_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
            const struct kn_batch *b)
{
    struct job j = {
        .c = cpu_dev(d), .m = b->n_tok, .k = f->n_embd, .x = cpu_f32(x), .h = cpu_f32(tmp)};
    if (!j.m)
        return KN_OK;
    j.norm = cpu_f32(f->norm), j.eps = f->eps, j.f = f;
    j.gate = j.h + (((size_t)j.m * (size_t)j.k + 15) & ~(size_t)15);
    j.up = j.gate + (((size_t)j.m * (size_t)f->n_ff + 15) & ~(size_t)15);
    struct pool *p = j.c->pool;
    j.n_chunk[0] = pool_chunks(p, j.m, 1);
    j.n_chunk[1] = pool_chunks(p, (f->n_ff + 15) / 16, 4);
    j.n_chunk[2] = cpu_act_block((const struct cpu_weight *)f->down) ? j.n_chunk[0] : 0;
    j.n_chunk[3] = pool_chunks(p, (f->n_embd + 15) / 16, 4);
    pool_run(p, run_ffn, &j, j.n_chunk, 4);
    return KN_OK;
}
