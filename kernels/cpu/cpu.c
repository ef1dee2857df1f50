/* cpu.c - the CPU device: opening a path, memory, weights, batches, caches */
#include "cpu.h"
#include "../machine.h"
#include "cpu_train.h"
#include "tile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int always(void)
{
    return 1;
}
static int by_name(void) /* never chosen for a machine */
{
    return -1;
}
#if defined(__x86_64__)
static int has_amx(void)
{
    return machine_avx512bf16() && tile_allowed(); /* each processor with tiles so far has both */
}
#endif

static const struct path {
    const char *name;
    int (*runs)(void);
    const struct mmq_isa *mmq;
    const struct gemm_isa *gemm;
    const struct rows_isa *rows;
    const struct mmq_tiles *tiles;
    const struct train_isa *train;
} paths[] = {
/* best first; runs: 0 = not on this machine, negative = only if asked for by name */
#if defined(__x86_64__)
    {"amx", has_amx, &mmq_avx512, &gemm_avx512, &rows_avx512, &mmq_tile_amx, &train_amx},
    {"avx512", machine_avx512, &mmq_avx512, &gemm_avx512, &rows_avx512, NULL, &train_avx512},
    {"avxvnni", machine_avxvnni, &mmq_avxvnni, &gemm_avx2, &rows_avx2, NULL, &train_avx2},
    {"avx2", machine_avx2, &mmq_avx2, &gemm_avx2, &rows_avx2, NULL, &train_avx2},
#elif defined(__aarch64__)
    {"neon_i8mm", machine_neon_i8mm, &mmq_neon_i8mm, &gemm_neon, &rows_neon, NULL, &train_neon},
    {"neon", machine_neon, &mmq_neon, &gemm_neon, &rows_neon, NULL, &train_neon},
#endif
    {"generic", always, &mmq_generic, &gemm_generic, &rows_generic, NULL, &train_generic},
    {"amx-model", by_name, &mmq_generic, &gemm_generic, &rows_generic, &mmq_tile_model,
     &train_amx_model},
};

static void *zeroed(size_t bytes)
{
    void *p = large_alloc(bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

static void cpu_close(struct kn_dev *d)
{
    struct cpu_dev *c = cpu_dev(d);
    pool_free(c->pool);
    free(c->act[0]);
    free(c->act[1]);
    free(c->count);
    free(c->gemm_scratch);
    free(c->tile_scratch);
    free(c->attn_scratch);
    slab_drop(c->slab);
    free(c);
}

static int cpu_open(struct kn_dev *d, const char *opt, int n_threads)
{
    const struct path *p = NULL;
    for (size_t i = 0; i < sizeof paths / sizeof *paths && !p; i++)
        if (*opt ? !strcmp(opt, paths[i].name) && paths[i].runs() : paths[i].runs() > 0)
            p = &paths[i];
    if (!p)
        return KN_EDEVICE;
    struct cpu_dev *c = d->priv = calloc(1, sizeof *c);
    if (!c)
        return KN_ENOMEM;
    c->mmq = p->mmq, c->tiles = p->tiles, c->gemm = p->gemm, c->rows = p->rows, c->train = p->train;
    c->max_rows = 64;
    if ((c->pool = pool_new(n_threads))) {
        c->gemm_scratch = aligned_alloc(64, gemm_scratch_bytes() * (size_t)pool_threads(c->pool));
        c->count = zeroed((size_t)pool_threads(c->pool) * sizeof *c->count);
    }
    if (!c->gemm_scratch || !c->count) {
        cpu_close(d);
        return KN_ENOMEM;
    }
    snprintf(d->name, sizeof d->name, "cpu:%s", p->name);
    d->exact = 1;
    d->n_threads = pool_threads(c->pool);
    return KN_OK;
}

uint64_t cpu_path_count(const struct kn_dev *d, const char *path)
{
    const struct cpu_dev *c = cpu_dev(d);
    uint64_t n = 0;
    for (int i = 0; i < d->n_threads; i++) {
        n += strcmp(path, c->mmq->path) ? 0 : c->count[i].quantized;
        n += !c->tiles || strcmp(path, c->tiles->path) ? 0 : c->count[i].tiles;
        n += strcmp(path, c->gemm->path) ? 0 : c->count[i].floating;
    }
    return n;
}

static int cpu_alloc(struct kn_dev *d, size_t bytes, struct kn_buf **out)
{
    (void)d;
    struct cpu_buf *b = calloc(1, sizeof *b);
    /* calloc: pages of a large buffer that nobody writes never become memory */
    if (!b || bytes > SIZE_MAX - 64 || !(b->whole = calloc(1, bytes + 64))) {
        free(b);
        return KN_ENOMEM;
    }
    b->p = (char *)b->whole + (64 - (uintptr_t)b->whole % 64) % 64;
    *out = &b->buf;
    return KN_OK;
}

static void cpu_free(struct kn_dev *d, struct kn_buf *b)
{
    (void)d;
    free(((struct cpu_buf *)b)->whole);
    free(b);
}

static int cpu_write(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes)
{
    (void)d;
    memcpy(((struct cpu_buf *)dst.buf)->p + dst.off, src, bytes);
    return KN_OK;
}

static int cpu_read(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes)
{
    (void)d;
    memcpy(dst, ((struct cpu_buf *)src.buf)->p + src.off, bytes);
    return KN_OK;
}

static void *cpu_host(struct kn_dev *d, struct kn_at a)
{
    (void)d;
    return ((struct cpu_buf *)a.buf)->p + a.off;
}

static int cpu_sync(struct kn_dev *d)
{
    (void)d;
    return KN_OK;
}

/* Activations of max_rows rows of max_k: larger batches go in parts, so that no product allocates.
 */
int cpu_reserve(struct cpu_dev *c, int k, int rows)
{
    if (k <= c->max_k && rows <= c->max_rows)
        return KN_OK;
    k = k > c->max_k ? k : c->max_k;
    rows = rows > c->max_rows ? rows : c->max_rows;
    rows = (rows + MMQ_TILE_ROWS - 1) / MMQ_TILE_ROWS * MMQ_TILE_ROWS;
    if (c->tiles && mmq_tile_scratch(k) > c->tile_scratch_bytes) {
        size_t bytes = mmq_tile_scratch(k);
        char *p = aligned_alloc(64, bytes * (size_t)pool_threads(c->pool));
        if (!p)
            return KN_ENOMEM;
        free(c->tile_scratch);
        c->tile_scratch = p;
        c->tile_scratch_bytes = bytes;
    }
    for (int i = 0; i < 2; i++) {
        size_t size = (mmq_act_bytes(i ? 256 : 32, k) * (size_t)rows + 64) & ~(size_t)63;
        if (size <= c->act_size[i])
            continue;
        char *p = aligned_alloc(64, size);
        if (!p)
            return KN_ENOMEM;
        free(c->act[i]);
        c->act[i] = p;
        c->act_size[i] = size;
    }
    c->max_k = k;
    c->max_rows = rows;
    return KN_OK;
}

static void cpu_batch_free(struct kn_dev *d, struct kn_batch *batch)
{
    struct cpu_batch *b = (struct cpu_batch *)batch;
    (void)d;
    free(b->tok);
    free(b->blocks);
    free(b->seg);
    free(b);
}

static int cpu_batch_new(struct kn_dev *d, int max_tok, int max_seq, int max_blocks,
                         struct kn_batch **out)
{
    struct cpu_batch *b = calloc(1, sizeof *b);
    size_t n = (size_t)max_tok;
    if (!b || cpu_reserve(cpu_dev(d), 0, max_tok) || !(b->tok = calloc(n, 5 * sizeof *b->tok)) ||
        !(b->blocks = calloc((size_t)max_seq * (size_t)max_blocks, sizeof *b->blocks)) ||
        !(b->seg = calloc(n, sizeof *b->seg))) {
        if (b)
            cpu_batch_free(d, &b->b);
        return KN_ENOMEM;
    }
    b->pos = b->tok + n, b->seq = b->pos + n, b->out = b->seq + n, b->rope = b->out + n;
    *out = &b->b;
    return KN_OK;
}

static int cpu_batch_set(struct kn_dev *d, struct kn_batch *batch, const struct kn_rows *r)
{
    struct cpu_batch *b = (struct cpu_batch *)batch;
    const size_t n = (size_t)r->n_tok * sizeof *b->tok;
    (void)d;
    if (n) {
        memcpy(b->tok, r->tok, n);
        memcpy(b->pos, r->pos, n);
        memcpy(b->seq, r->seq, n);
        memcpy(b->rope, r->rope ? r->rope : r->pos, n);
        memcpy(b->blocks, r->blocks,
               (size_t)r->n_seq * (size_t)batch->max_blocks * sizeof *b->blocks);
    }
    cpu_attn_segments(b, r);
    if (r->n_out)
        memcpy(b->out, r->out, (size_t)r->n_out * sizeof *b->out);
    return KN_OK;
}

const struct kn_ops kn_cpu_ops = {
    .version = KN_VERSION,
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .write = cpu_write,
    .read = cpu_read,
    .host = cpu_host,
    .sync = cpu_sync,
    .weight_new = cpu_weight_new,
    .weight_free = cpu_weight_free,
    .layout = CPU_LAYOUT,
    .weight_form = cpu_weight_form,
    .weight_take = cpu_weight_take,
    .batch_new = cpu_batch_new,
    .batch_set = cpu_batch_set,
    .batch_free = cpu_batch_free,
    .kv_new = cpu_kv_new,
    .kv_copy = cpu_kv_copy,
    .kv_free = cpu_kv_free,
    .embed = cpu_embed,
    .rms_norm = cpu_rms_norm,
    .matmul = cpu_matmul,
    .rope = cpu_rope,
    .kv_write = cpu_kv_write,
    .attention = cpu_attention,
    .swiglu = cpu_swiglu,
    .take_out = cpu_take_out,
    .layer_norm = cpu_layer_norm,
    .glu = cpu_glu,
    .map = cpu_map,
    .take_rows = cpu_take_rows,
    .add_rows = cpu_add_rows,
    .moe_route = cpu_moe_route,
    .qkv = cpu_qkv,
    .ffn = cpu_ffn,
    .head = cpu_head,
    .argmax = cpu_argmax,
    .train = &kn_cpu_train,
    .count = &cpu_count_ops,
};
