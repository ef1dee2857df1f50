/* small.c - the small calls of kernels.h: each one phase over rows */
#include "../experts.h"
#include "cpu.h"

#include <assert.h>
#include <string.h>

struct rows_job {
    struct cpu_dev *c;
    int m, n, n_chunk, n_head, layer;
    int kind; /* of activation or map; whether to normalize */
    const float *x, *w;
    float *y, *v;
    float eps;
    const struct cpu_weight *weight;
    const struct cpu_batch *b;
    const struct cpu_kv *kv;
    const struct kn_attn *a;
    int32_t *ids;
    void (*row)(const struct rows_job *j, int i);
};

static void run_rows(void *ctx, int phase, int chunk, int thread)
{
    const struct rows_job *j = ctx;
    int from, to;
    (void)phase, (void)thread;
    pool_part(j->m, j->n_chunk, chunk, &from, &to);
    for (; from < to; from++)
        j->row(j, from);
}

/* `least` rows are worth another thread */
static int each_row(struct rows_job *j, int least)
{
    j->n_chunk = pool_chunks(j->c->pool, j->m, least);
    pool_run(j->c->pool, run_rows, j, &j->n_chunk, 1);
    return KN_OK;
}
/* rows of n floats until about 16 KiB */
static int worth(int n)
{
    return 1 + 4096 / (n + 1);
}

/* From the panels where the weight is the head too: they are in memory anyway, and each row of a mapped file would
 * bring 16 pages with it, 64 KiB for 1 (Linux's fault_around_bytes). */
static void embed_row(const struct rows_job *j, int i)
{
    const struct kn_weight *w = &j->weight->w;
    const int tok = j->b->tok[i];
    assert(tok < w->n);
    if (j->weight->packed && cpu_act_block(j->weight)) {
        mmq_row(w->type, w->k, j->weight->packed, tok, j->y + (size_t)i * (size_t)w->k);
        return;
    }
    kn_dequantize(w->type,
                  (const char *)j->weight->rows + (size_t)tok * kn_row_bytes(w->type, (size_t)w->k),
                  j->y + (size_t)i * (size_t)w->k, (size_t)w->k);
}
int cpu_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, const struct kn_batch *b)
{
    struct rows_job j = {.c = cpu_dev(d), .m = b->n_tok, .y = cpu_f32(y), .row = embed_row};
    j.weight = (const struct cpu_weight *)w, j.b = (const struct cpu_batch *)b;
    return each_row(&j, worth(w->k));
}

static void norm_row(const struct rows_job *j, int i)
{
    const size_t at = (size_t)i * (size_t)j->n;
    j->c->rows->norm(j->n, j->x + at, j->w, j->eps, j->y + at);
}
int cpu_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                 int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(x), .w = cpu_f32(w)};
    j.y = cpu_f32(y), j.eps = eps, j.row = norm_row;
    return each_row(&j, worth(n));
}

static void rope_row(const struct rows_job *j, int i)
{
    const float *cs = j->w + (size_t)j->b->rope[i] * (size_t)j->a->rope_dim;
    float *x = j->y + (size_t)i * (size_t)j->n_head * (size_t)j->a->head_dim;
    for (int h = 0; h < j->n_head; h++, x += j->a->head_dim)
        j->c->rows->rope(j->a->rope_dim, j->a->rope_pairs, cs, x);
}
int cpu_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
             const struct kn_batch *b)
{
    struct rows_job j = {.c = cpu_dev(d), .m = b->n_tok, .y = cpu_f32(x), .w = cpu_f32(a->rope)};
    j.a = a, j.n_head = n_head, j.b = (const struct cpu_batch *)b, j.row = rope_row;
    return each_row(&j, worth(n_head * a->head_dim));
}

static void kv_row(const struct rows_job *j, int i)
{
    const size_t hd = (size_t)j->kv->kv.head_dim, heads = (size_t)j->kv->kv.n_head_kv;
    for (size_t h = 0; h < heads; h++) {
        const size_t at = ((size_t)i * heads + h) * hd;
        cpu_kv_store(j->c, j->kv, j->b, j->layer, i, (int)h, j->x + at, j->w + at);
    }
}
int cpu_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                 const struct kn_batch *b)
{
    struct rows_job j = {
        .c = cpu_dev(d), .m = b->n_tok, .x = cpu_f32(k), .w = cpu_f32(v), .row = kv_row};
    j.layer = layer, j.kv = (const struct cpu_kv *)kv, j.b = (const struct cpu_batch *)b;
    return each_row(&j, worth(kv->n_head_kv * kv->head_dim));
}

static void swiglu_row(const struct rows_job *j, int i)
{
    const size_t at = (size_t)i * (size_t)j->n;
    j->c->rows->swiglu((size_t)j->n, j->x + at, j->w + at, j->y + at);
}
int cpu_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(gate), .w = cpu_f32(up)};
    j.y = cpu_f32(y), j.row = swiglu_row;
    return each_row(&j, worth(4 * n));
}

static void layer_norm_row(const struct rows_job *j, int i)
{
    const size_t at = (size_t)i * (size_t)j->n;
    j->c->rows->layer_norm(j->n, j->x + at, j->w, j->v, j->eps, j->y + at);
}
int cpu_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                   struct kn_at bias, float eps, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(x), .w = cpu_f32(w)};
    j.v = cpu_f32(bias), j.y = cpu_f32(y), j.eps = eps, j.row = layer_norm_row;
    return each_row(&j, worth(n));
}

static void glu_row(const struct rows_job *j, int i)
{
    const size_t at = (size_t)i * (size_t)j->n;
    j->c->rows->glu((size_t)j->n, j->kind, j->x + at, j->w ? j->w + at : NULL, j->y + at);
}
int cpu_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
            int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(gate), .w = cpu_f32(up)};
    j.y = cpu_f32(y), j.kind = (int)act, j.row = glu_row;
    return each_row(&j, worth(4 * n));
}

static void map_row(const struct rows_job *j, int i)
{
    j->c->rows->map((size_t)j->n, j->kind, j->eps, j->y + (size_t)i * (size_t)j->n);
}
int cpu_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .y = cpu_f32(x), .row = map_row};
    j.kind = (int)map, j.eps = s;
    return each_row(&j, worth(n));
}

static void take_row(const struct rows_job *j, int i)
{
    memcpy(j->y + (size_t)i * (size_t)j->n, j->x + (size_t)j->ids[i] * (size_t)j->n,
           (size_t)j->n * sizeof(float));
}
int cpu_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(x), .y = cpu_f32(y)};
    j.ids = (int32_t *)(void *)cpu_f32(rows), j.row = take_row;
    return each_row(&j, worth(n));
}

static void add_row(const struct rows_job *j, int i)
{
    j->c->rows->add((size_t)j->n, j->w ? j->w[i] : j->eps, j->x + (size_t)i * (size_t)j->n,
                    j->y + (size_t)(j->ids ? j->ids[i] : i) * (size_t)j->n);
}
int cpu_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows,
                 struct kn_at p, float s, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(x), .w = cpu_f32(p)};
    j.y = cpu_f32(y), j.eps = s, j.ids = (int32_t *)(void *)cpu_f32(rows), j.row = add_row;
    return each_row(&j, worth(n));
}

static void route_row(const struct rows_job *j, int i)
{
    const size_t at = (size_t)i * (size_t)j->n_head;
    kn_route_row(j->x + (size_t)i * (size_t)j->n, j->ids + at, j->y + at, j->n, j->n_head, j->kind);
}
int cpu_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                  int n_expert, int top_k, int normalize)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n_expert, .n_head = top_k};
    j.x = cpu_f32(logits), j.y = cpu_f32(p), j.ids = (int32_t *)(void *)cpu_f32(ids);
    j.kind = normalize, j.row = route_row;
    return each_row(&j, worth(n_expert * n_expert));
}

int cpu_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b)
{
    const struct cpu_batch *cb = (const struct cpu_batch *)b;
    (void)d;
    for (int i = 0; i < b->n_out; i++)
        memcpy(cpu_f32(y) + (size_t)i * (size_t)n, cpu_f32(x) + (size_t)cb->out[i] * (size_t)n,
               (size_t)n * sizeof(float));
    return KN_OK;
}

static void argmax_row(const struct rows_job *j, int i)
{
    j->ids[i] = j->c->rows->argmax(j->n, j->x + (size_t)i * (size_t)j->n);
}
int cpu_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n)
{
    struct rows_job j = {.c = cpu_dev(d), .m = m, .n = n, .x = cpu_f32(logits), .row = argmax_row};
    j.ids = (int32_t *)(void *)cpu_f32(ids);
    return each_row(&j, worth(n));
}
