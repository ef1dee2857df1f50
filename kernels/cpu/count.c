/* count.c - what the CPU device will take for itself: panels and tiles of weights, scratch of products */
#include "../count.h"
#include "cpu.h"
#include "cpu_train.h"

/* Kinds of scratch: train_scratch's slots, then those of inference. */
enum { ACT32 = (int)TRAIN_SLOTS, ACT256, THREADS, SLOTS };
_Static_assert((int)SLOTS <= (int)KN_COUNT_SLOTS, "a slot for each kind");

static void most(struct kn_count *c, int slot, size_t bytes)
{
    bytes = large_bytes(bytes);
    c->slot[slot] = bytes > c->slot[slot] ? bytes : c->slot[slot];
}

static void in_slab(struct kn_count *c, size_t bytes)
{
    struct slab_count s = {c->slab[0], c->slab[1], 0};
    if (!bytes)
        return;
    slab_count(&s, bytes);
    c->slab[0] = s.used, c->slab[1] = s.size;
    c->weights += bytes;
    c->pages += s.pages;
}

static void count_weight(const struct kn_dev *d, struct kn_count *c, int type, int n, int k,
                         int flags)
{
    int act_block;
    const size_t panels = cpu_weight_bytes(type, n, k, flags, &act_block);
    const struct kn_weight w = {.type = type, .n = n, .k = k, .flags = flags};
    in_slab(c, panels);
    if (act_block && c->max_k[act_block == 256] < k)
        c->max_k[act_block == 256] = k;
    c->floats |= panels && !act_block;
    c->embeds = act_block != 0;
    if (act_block && cpu_dev(d)->tiles) {
        /* panels of a chunk, spread to 16 bytes a column with their scales, or twice that (mmq.tile.c) */
        const size_t all = mmq_tile_scratch(k), n_panel = ((size_t)n + 15) / 16,
                     chunks = (size_t)pool_chunks(cpu_dev(d)->pool, (int)n_panel, 4),
                     own =
                         (n_panel + chunks - 1) / chunks * (size_t)k * (act_block == 32 ? 18 : 34),
                     least = own < all ? own : all;
        c->spread[0] = least > c->spread[0] ? least : c->spread[0];
    }
    if (!(flags & KN_W_MIXED))
        return;
    for (int i = 0; i < 2; i++)
        in_slab(c, cpu_train_tile_values(&w, i) * sizeof(uint16_t));
    most(c, TRAIN_OWN, 32 * (size_t)train16_up(k, T16_K) * (size_t)d->n_threads * sizeof(float));
}

/* As cpu_reserve, cpu_open and cpu_kv_new allocate it, where something will use it.  Rows that are quantized
 * leave no normed copy behind, and a plain layer adds to x at once: h and y of kn_tmp_bytes stay idle. */
static void count_step(const struct kn_dev *d, struct kn_count *c, const struct kn_attn *a,
                       const struct kn_ffn *f, int rows, int out)
{
    const int plain = !f->moe && !f->post.buf && !f->norm_bias.buf && f->act == KN_SILU &&
                      f->residual == 0 && !a->post.buf &&
                      2 * a->n_head_kv * a->head_dim <= 2 * f->n_ff;
    c->idle = plain && !c->floats ? 2 * (size_t)rows * (size_t)f->n_embd * sizeof(float) : 0;
    size_t thread = attn_scratch((a->head_dim + 15) & ~15) * sizeof(float);
    rows = (rows + MMQ_TILE_ROWS - 1) / MMQ_TILE_ROWS * MMQ_TILE_ROWS;
    for (int i = 0; i < 2; i++)
        if (c->max_k[i])
            most(c, ACT32 + i, mmq_act_bytes(i ? 256 : 32, c->max_k[i]) * (size_t)rows);
    if (c->floats)
        thread += gemm_scratch_bytes();
    const size_t head = out >= MMQ_TILE_MIN ? c->spread[1] : 0;
    thread += c->spread[0] > head ? c->spread[0] : head;
    most(c, THREADS, thread * (size_t)d->n_threads);
}

static void train_slots(struct kn_count *c, const size_t size[TRAIN_SLOTS])
{
    for (int i = 0; i < TRAIN_SLOTS; i++)
        most(c, i, size[i] * sizeof(float));
}

static void gemm(const struct kn_dev *d, struct kn_count *c, int m, int n, int k)
{
    size_t size[TRAIN_SLOTS] = {0};
    cpu_train_gemm_sizes(d, m, n, k, size);
    train_slots(c, size);
}

/* The products that kn_group and kn_group_bwd of train.c make. */
static void group_f32(const struct kn_dev *d, struct kn_count *c, const struct kn_group *g, int m)
{
    for (int i = 0; i < g->n_lin; i++) {
        const struct kn_lin *l = &g->lin[i];
        const int n = l->w->n, k = g->k, r = l->a.buf ? g->r : 0;
        if (l->dw.buf)
            gemm(d, c, n, k, m);
        gemm(d, c, m, n, k + r);
        gemm(d, c, m, k, n + (g->dropout > 0 ? 0 : r));
        if (!r)
            continue;
        gemm(d, c, m, r, k);
        gemm(d, c, m, r, n);
        gemm(d, c, n, r, m);
        gemm(d, c, r, k, m);
        if (g->dropout > 0)
            gemm(d, c, m, k, r);
    }
}

static void count_group(const struct kn_dev *d, struct kn_count *c, const struct kn_group *g, int m,
                        int flags)
{
    struct cpu_weight w[KN_GROUP] = {0};
    struct kn_group mixed = *g;
    uint16_t kept;
    if (!(flags & KN_MIXED)) {
        group_f32(d, c, g, m);
        return;
    }
    for (int i = 0; i < g->n_lin; i++) {
        w[i].w = *g->lin[i].w;
        if (w[i].w.flags & KN_W_MIXED) /* only whether they are there counts */
            w[i].tiles[0] = w[i].tiles[1] = &kept;
        mixed.lin[i].w = &w[i].w;
    }
    for (int backward = 0; backward < 2; backward++) {
        size_t size[TRAIN_SLOTS] = {0};
        cpu_train_group_sizes(d, &mixed, m, backward, size);
        train_slots(c, size);
    }
    size_t size[TRAIN_SLOTS] = {0};
    cpu_train_group_dw_sizes(d, &mixed, m, size);
    train_slots(c, size);
}

static void count_attn(const struct kn_dev *d, struct kn_count *c, int head_dim, int longest,
                       int flags)
{
    most(c, TRAIN_OWN, cpu_train_attn_size(d, head_dim, longest, flags & KN_MIXED) * sizeof(float));
}

const struct kn_count_ops cpu_count_ops = {count_weight, count_step, count_group, count_attn};
