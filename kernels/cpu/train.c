/* train.c - the cpu's training calls: rows and documents shared out over threads, and the table */
#include "cpu/cpu_train.h"
#include "moment.h"
#include "philox.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BUILD(isa, tiles, product)                                                                 \
    {                                                                                              \
        &train_gemm_##isa, &train_attn_##isa, &train_rows_##isa, &train16_##tiles,                 \
            train16_product_##product                                                              \
    }
const struct train_isa train_generic = BUILD(generic, generic, generic);
const struct train_isa train_amx_model = BUILD(generic, generic, tile_model);
#if defined(__x86_64__)
const struct train_isa train_amx = BUILD(avx512, avx512bf16, tile_amx);
const struct train_isa train_avx512 = BUILD(avx512, avx512, avx512);
const struct train_isa train_avx2 = BUILD(avx2, avx2, avx2);
#elif defined(__aarch64__)
const struct train_isa train_neon = BUILD(neon, neon, neon);
#endif

float *train_scratch(enum train_slot slot, size_t n)
{
    static _Thread_local struct {
        float *p;
        size_t n;
    } slots[TRAIN_SLOTS];
    if (slots[slot].n < n) {
        free(slots[slot].p);
        slots[slot].n = 0;
        slots[slot].p = n > SIZE_MAX / sizeof(float) ? NULL : large_alloc(n * sizeof(float));
        if (slots[slot].p)
            slots[slot].n = n;
    }
    return slots[slot].p;
}

enum { SLICE = 4096 };

static void rows_chunk(void *ctx, int phase, int chunk, int thread)
{
    const struct train_rows *r = ctx;
    int from, to;
    (void)phase;
    (void)thread;
    pool_part(r->m, r->n_chunk, chunk, &from, &to);
    r->fn(r, from, to);
}

int train_rows_run(struct kn_dev *d, struct train_rows *r, int least)
{
    r->isa = train_isa(d)->rows;
    r->n_chunk = pool_chunks(cpu_dev(d)->pool, r->m, least);
    pool_run(cpu_dev(d)->pool, rows_chunk, r, &r->n_chunk, 1);
    return 0;
}

/* The elements of slices from..to */
static size_t slice(const struct train_rows *r, int from, int to, size_t *at)
{
    size_t end = (size_t)to * SLICE;
    *at = (size_t)from * SLICE;
    return (end < r->all ? end : r->all) - *at;
}

static int slices(size_t n)
{
    return (int)((n + SLICE - 1) / SLICE);
}

static void norm_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++)
        r->isa->norm(r->y + (size_t)i * r->n, r->y2 + i, r->x + (size_t)i * r->n, r->x2, r->k,
                     r->n);
}

static int train_norm(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x,
                      struct kn_at w, float eps, int m, int n)
{
    struct train_rows r = {.fn = norm_rows, .m = m, .n = n, .k = eps};
    r.y = cpu_f32(y);
    r.y2 = cpu_f32(rstd);
    r.x = cpu_f32(x);
    r.x2 = cpu_f32(w);
    return train_rows_run(d, &r, 16);
}

static void norm_bwd_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++) {
        size_t at = (size_t)i * r->n;
        r->isa->norm_bwd(r->y + at, r->x + at, r->x2 + at, r->x3, r->x4[i], r->n, r->add);
    }
}

/* columns of dw += dy x rstd, rows ascending */
static void norm_dw_columns(const struct train_rows *r, int from, int to)
{
    r->isa->norm_dw(r->y2 + from, r->x + from, r->x2 + from, r->x4, r->rope_dim, (size_t)r->n,
                    to - from);
}

int cpu_train_norm_dw(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at x,
                      struct kn_at rstd, int m, int n)
{
    struct train_rows r = {.fn = norm_dw_columns, .m = n, .n = n, .rope_dim = m};
    r.y2 = cpu_f32(dw);
    r.x = cpu_f32(dy);
    r.x2 = cpu_f32(x);
    r.x4 = cpu_f32(rstd);
    return train_rows_run(d, &r, 16);
}

static int train_norm_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy,
                          struct kn_at x, struct kn_at w, struct kn_at rstd, int m, int n,
                          int flags)
{
    struct train_rows r = {.fn = norm_bwd_rows, .m = m, .n = n, .add = flags & KN_ADD};
    r.y = cpu_f32(dx);
    r.x = cpu_f32(dy);
    r.x2 = cpu_f32(x);
    r.x3 = cpu_f32(w);
    r.x4 = cpu_f32(rstd);
    if (dw.buf)
        cpu_train_norm_dw(d, dw, dy, x, rstd, m, n);
    return train_rows_run(d, &r, 16);
}

static void rope_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++)
        r->isa->rope(r->y + (size_t)i * (size_t)r->n_head * (size_t)r->head_dim,
                     r->x + (size_t)(i - r->id[i]) * (size_t)r->rope_dim, r->n_head, r->head_dim,
                     r->rope_dim, r->pairs, r->sign);
}

static int train_rope(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                      int n_head, int head_dim, int rope_dim, int pairs, int sign)
{
    struct train_rows r = {.fn = rope_rows, .m = t, .n_head = n_head, .head_dim = head_dim};
    r.rope_dim = rope_dim;
    r.pairs = pairs;
    r.sign = sign;
    r.y = cpu_f32(x);
    r.x = cpu_f32(table);
    r.id = train_i32(doc);
    return train_rows_run(d, &r, 16);
}

static void swiglu_bwd_rows(const struct train_rows *r, int from, int to)
{
    size_t at, n = slice(r, from, to, &at);
    r->isa->swiglu_bwd(r->y + at, r->y2 + at, NULL, r->x + at, r->x2 + at, r->x3 + at, n);
}

static int train_swiglu_bwd(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                            struct kn_at gate, struct kn_at up, size_t n)
{
    struct train_rows r = {.fn = swiglu_bwd_rows, .m = slices(n), .all = n};
    r.y = cpu_f32(dgate);
    r.y2 = cpu_f32(dup);
    r.x = cpu_f32(dy);
    r.x2 = cpu_f32(gate);
    r.x3 = cpu_f32(up);
    return train_rows_run(d, &r, 1);
}

static void xent_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++) {
        float *z = r->y + (size_t)i * r->n;
        if (r->id[i] >= 0) {
            r->y2[i] = r->isa->xent(z, r->id[i], r->k, r->n, r->add);
            continue;
        }
        r->y2[i] = 0;
        if (r->add)
            memset(z, 0, (size_t)r->n * sizeof *z);
    }
}

static int train_xent(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
                      float scale, int m, int n, int want_grad)
{
    struct train_rows r = {.fn = xent_rows, .m = m, .n = n, .k = scale, .add = want_grad};
    r.y = cpu_f32(logits);
    r.y2 = cpu_f32(loss);
    r.id = train_i32(label);
    return train_rows_run(d, &r, 4);
}

static void axpy_rows(const struct train_rows *r, int from, int to)
{
    size_t at, n = slice(r, from, to, &at);
    r->isa->axpy(r->y + at, r->x + at, r->k, n);
}

static int train_axpy(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha, size_t n)
{
    struct train_rows r = {.fn = axpy_rows, .m = slices(n), .all = n, .k = alpha};
    r.y = cpu_f32(y);
    r.x = cpu_f32(x);
    return train_rows_run(d, &r, 1);
}

static void fill_rows(const struct train_rows *r, int from, int to)
{
    size_t at, n = slice(r, from, to, &at);
    for (size_t i = at; i < at + n; i++)
        r->y[i] = r->k;
}

static int train_fill(struct kn_dev *d, struct kn_at y, float value, size_t n)
{
    struct train_rows r = {.fn = fill_rows, .m = slices(n), .all = n, .k = value};
    r.y = cpu_f32(y);
    return train_rows_run(d, &r, 1);
}

void train_drop(float *y, const float *x, float p, uint64_t seed, uint64_t counter, size_t n)
{
    const float keep = 1 / (1 - p);
    for (size_t i = 0; i < n; i++)
        y[i] = kn_philox_f32(seed, counter + i) >= p ? x[i] * keep : 0;
}

static void dropout_rows(const struct train_rows *r, int from, int to)
{
    size_t at, n = slice(r, from, to, &at);
    train_drop(r->y + at, r->x + at, r->k, r->seed, r->counter + at, n);
}

static int train_dropout(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
                         uint64_t counter, size_t n)
{
    struct train_rows r = {.fn = dropout_rows, .m = slices(n), .all = n, .k = p};
    r.seed = seed;
    r.counter = counter;
    r.y = cpu_f32(y);
    r.x = cpu_f32(x);
    return train_rows_run(d, &r, 1);
}

static void get_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++)
        memcpy(r->y + (size_t)i * r->n, r->x + (size_t)r->id[i] * r->n,
               (size_t)r->n * sizeof *r->y);
}

static void put_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++)
        memcpy(r->y + (size_t)r->id[i] * r->n, r->x + (size_t)i * r->n,
               (size_t)r->n * sizeof *r->y);
}

static void embed_rows(const struct train_rows *r, int from, int to)
{
    for (int i = from; i < to; i++)
        train_weight(r->w, r->id[i], 0, r->n, r->y + (size_t)i * (size_t)r->n);
}

static int train_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w,
                       struct kn_at ids, int m)
{
    struct train_rows r = {.fn = embed_rows, .m = m, .n = w->k, .w = w};
    r.y = cpu_f32(y);
    r.id = train_i32(ids);
    return train_rows_run(d, &r, 16);
}

/* Of the two below the columns are the job's rows. */
static void embed_bwd_columns(const struct train_rows *r, int from, int to)
{
    for (int i = 0; i < r->rope_dim; i++)
        r->isa->add(r->y + (size_t)r->id[i] * (size_t)r->n + from, NULL,
                    r->x + (size_t)i * (size_t)r->n + from, to - from);
}

static int train_embed_bwd(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids,
                           int m, int n)
{
    struct train_rows r = {.fn = embed_bwd_columns, .m = n, .n = n, .rope_dim = m};
    r.y = cpu_f32(dw);
    r.x = cpu_f32(dy);
    r.id = train_i32(ids);
    return train_rows_run(d, &r, 16);
}

static void sum_columns(const struct train_rows *r, int from, int to)
{
    r->isa->sum_rows(r->y + from, r->x + from, r->rope_dim, (size_t)r->n, to - from);
}

static int train_sum_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n)
{
    struct train_rows r = {.fn = sum_columns, .m = n, .n = n, .rope_dim = m};
    r.y = cpu_f32(y);
    r.x = cpu_f32(x);
    return train_rows_run(d, &r, 16);
}

static int train_rows_get(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                          int n)
{
    struct train_rows r = {.fn = get_rows, .m = m, .n = n};
    r.y = cpu_f32(y);
    r.x = cpu_f32(x);
    r.id = train_i32(idx);
    return train_rows_run(d, &r, 64);
}

static int train_rows_put(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m,
                          int n)
{
    struct train_rows r = {.fn = put_rows, .m = m, .n = n};
    r.y = cpu_f32(y);
    r.x = cpu_f32(x);
    r.id = train_i32(idx);
    return train_rows_run(d, &r, 64);
}

static int train_sumsq(struct kn_dev *d, struct kn_at out, struct kn_at x_at, size_t n)
{
    (void)d;
    const float *x = cpu_f32(x_at);
    double lane[8] = {0}, s = 0;
    for (size_t i = 0; i < n; i++)
        lane[i % 8] += (double)x[i] * x[i];
    for (int i = 0; i < 8; i++)
        s += lane[i];
    memcpy(cpu_f32(out), &s, sizeof s);
    return 0;
}

static void adamw_rows(const struct train_rows *r, int from, int to)
{
    size_t at, n = slice(r, from, to, &at);
    r->isa->adamw(r->y + at, r->x + at, r->y2 + at, (float *)(uintptr_t)r->x2 + at, n, r->c);
}

static int train_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                       struct kn_at v, size_t n, const struct kn_adamw *h)
{
    struct train_rows r = {.fn = adamw_rows, .m = slices(n), .all = n};
    r.y = cpu_f32(w);
    r.x = cpu_f32(g);
    r.y2 = cpu_f32(m);
    r.x2 = cpu_f32(v);
    kn_adamw_factors(h, r.c);
    return train_rows_run(d, &r, 1);
}

/* Attention: one chunk is one document and one KV head, in f32 or in bf16. */
struct docs {
    const struct train_isa *isa;
    struct attn_job job;
    const int32_t *start; /* first row of each document, then t */
    char *own;
    size_t own_size;
    int n_head_kv, backward, mixed;
};

static void docs_chunk(void *ctx, int phase, int chunk, int thread)
{
    const struct docs *x = ctx;
    struct attn_job j = x->job;
    char *own = x->own + (size_t)thread * x->own_size;
    (void)phase;
    j.from = x->start[chunk / x->n_head_kv];
    j.to = x->start[chunk / x->n_head_kv + 1];
    j.kv_head = chunk % x->n_head_kv;
    if (x->mixed)
        (x->backward ? x->isa->b16->attn_bwd : x->isa->b16->attn)(&j, x->isa->product, own);
    else
        (x->backward ? x->isa->attn->backward : x->isa->attn->forward)(&j, (float *)(void *)own);
}

/* bytes of one thread */
static size_t docs_own(const struct train_isa *isa, int head_dim, int longest, int mixed)
{
    size_t bytes = mixed ? isa->b16->attn_scratch(head_dim, longest)
                         : isa->attn->scratch(head_dim, longest) * sizeof(float);
    return (bytes + 63) / 64 * 64;
}

size_t cpu_train_attn_size(const struct kn_dev *d, int head_dim, int longest, int mixed)
{
    return docs_own(train_isa(d), head_dim, longest, mixed) / sizeof(float) * (size_t)d->n_threads;
}

static int docs_run(struct kn_dev *d, struct docs *x, const int32_t *doc, int t)
{
    int32_t *start = malloc(((size_t)t + 1) * sizeof *start);
    int n = 0, longest = 0, hd = x->job.a->head_dim;
    if (!start)
        return KN_ENOMEM;
    for (int i = 0; i < t; i++)
        if (doc[i] == i)
            start[n++] = i;
    start[n] = t;
    for (int i = 0; i < n; i++)
        longest = start[i + 1] - start[i] > longest ? start[i + 1] - start[i] : longest;
    x->isa = train_isa(d);
    x->start = start;
    x->n_head_kv = x->job.a->n_head_kv;
    x->own_size = docs_own(x->isa, hd, longest, x->mixed);
    x->own = (char *)train_scratch(TRAIN_OWN, x->own_size / sizeof(float) * (size_t)d->n_threads);
    int n_chunk = n * x->n_head_kv;
    if (x->own)
        pool_run(cpu_dev(d)->pool, docs_chunk, x, &n_chunk, 1);
    free(start);
    return x->own ? KN_OK : KN_ENOMEM;
}

static int train_attn(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q,
                      struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                      int t, int flags)
{
    struct docs x = {.job = {.q = cpu_f32(q),
                             .k = cpu_f32(k),
                             .v = cpu_f32(v),
                             .out = cpu_f32(y),
                             .lse = cpu_f32(lse),
                             .a = a},
                     .mixed = flags & KN_MIXED};
    return docs_run(d, &x, train_i32(doc), t);
}

static int train_attn_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                          struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                          struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                          int t, int flags)
{
    struct docs x = {.job = {.q = cpu_f32(q),
                             .k = cpu_f32(k),
                             .v = cpu_f32(v),
                             .dy = cpu_f32(dy),
                             .y = cpu_f32(y),
                             .lse = cpu_f32(lse),
                             .dq = cpu_f32(dq),
                             .dk = cpu_f32(dk),
                             .dv = cpu_f32(dv),
                             .a = a},
                     .backward = 1,
                     .mixed = flags & KN_MIXED};
    return docs_run(d, &x, train_i32(doc), t);
}

const struct kn_train_ops kn_cpu_train = {
    .linear = cpu_train_linear,
    .linear_bwd = cpu_train_linear_bwd,
    .linear_lora = cpu_train_linear_lora,
    .linear_lora_bwd = cpu_train_linear_lora_bwd,
    .group = cpu_train_group,
    .group_bwd = cpu_train_group_bwd,
    .group_dw = cpu_train_group_dw,
    .gemm = cpu_train_gemm,
    .norm = train_norm,
    .norm_bwd = train_norm_bwd,
    .rope = train_rope,
    .attn = train_attn,
    .attn_bwd = train_attn_bwd,
    .swiglu_bwd = train_swiglu_bwd,
    .xent = train_xent,
    .embed = train_embed,
    .fill = train_fill,
    .axpy = train_axpy,
    .dropout = train_dropout,
    .rows_get = train_rows_get,
    .rows_put = train_rows_put,
    .sumsq = train_sumsq,
    .adamw = train_adamw,
    .adamw_small = cpu_train_adamw_small,
    .momentum = cpu_train_momentum,
    .row_norm = cpu_train_row_norm,
    .dora = cpu_train_dora,
    .dora_bwd = cpu_train_dora_bwd,
    .sum_rows = train_sum_rows,
    .embed_bwd = train_embed_bwd,
};
