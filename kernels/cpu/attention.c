/* attention.c - attention of a batch, cut into units that keep all threads busy
 *
 * A unit is some pairs of (row, query head) of one sequence and one KV head; it reads the cache of
 * its positions once, whatever the pairs.  Pairs may be cut anywhere, since each is on its own, so
 * few sequences still serve many threads: by KV head, then by query head.  Positions are never cut:
 * R4 is one chain. */
#include "cpu.h"

#include <assert.h>

/* Sequences of the batch, those with most positions first: threads take units in this order, and a
 * long one that began last would be waited for. */
void cpu_attn_segments(struct cpu_batch *b, const struct kn_rows *r)
{
    b->n_seg = 0;
    for (int i = 0, n; i < r->n_tok; i += n) {
        for (n = 1; i + n < r->n_tok && r->seq[i + n] == r->seq[i]; n++)
            ;
        const struct cpu_seg s = {i, n, r->pos[i + n - 1] + 1, 0, 0};
        int at = b->n_seg++;
        for (; at > 0 && b->seg[at - 1].positions < s.positions; at--)
            b->seg[at] = b->seg[at - 1];
        b->seg[at] = s;
    }
}

/* How many pairs of a sequence go into a unit.  Each unit reads the cache once more, so few threads
 * take all at once; several units a thread, as rows of a prompt differ in cost, only if a unit still
 * has pairs enough to be limited by arithmetic. */
static int unit_pairs(double share, int positions)
{
    enum { ENOUGH = 24 };
    double n = share / 4 / positions;
    if (n < ENOUGH) {
        n = share / positions;
        n = n < ENOUGH ? n : ENOUGH;
    }
    return n < 1 ? 1 : n < ATTN_MAX_PAIRS ? (int)(n + 0.999) : ATTN_MAX_PAIRS;
}

struct attention {
    const struct cpu_dev *c;
    const struct cpu_kv *kv;
    const struct cpu_batch *b;
    const struct kn_attn *a;
    const float *q;
    float *y;
    int layer;
};

/* Parts of each sequence's pairs, and the number of units before them; returns all units. */
static int plan(const struct attention *t)
{
    const int n_kv = t->a->n_head_kv, group = t->a->n_head / n_kv;
    double cost = 0;
    for (int i = 0; i < t->b->n_seg; i++)
        cost += (double)t->b->seg[i].rows * t->b->seg[i].positions;
    const double share = cost * t->a->n_head / pool_threads(t->c->pool);
    int units = 0;
    for (int i = 0; i < t->b->n_seg; i++) {
        struct cpu_seg *s = &t->b->seg[i];
        const int pairs = s->rows * group, most = unit_pairs(share, s->positions);
        s->parts = (pairs + most - 1) / most;
        s->first_unit = units;
        units += s->parts * n_kv;
    }
    return units;
}

static void run_unit(void *ctx, int phase, int chunk, int thread)
{
    const struct attention *t = ctx;
    const struct kn_attn *a = t->a;
    int lo = 0, hi = t->b->n_seg - 1;
    (void)phase;
    while (lo < hi) { /* the last sequence whose units begin at or before this one */
        const int mid = (lo + hi + 1) / 2;
        if (t->b->seg[mid].first_unit <= chunk)
            lo = mid;
        else
            hi = mid - 1;
    }
    const struct cpu_seg *s = &t->b->seg[lo];
    const int unit = chunk - s->first_unit, head = unit % a->n_head_kv;
    const int part = s->parts - 1 - unit / a->n_head_kv; /* the last rows see most: they go first */
    const int group = a->n_head / a->n_head_kv;
    const size_t row = (size_t)a->n_head * (size_t)a->head_dim;
    const size_t at = (size_t)s->row * row + (size_t)(head * group) * (size_t)a->head_dim;
    struct attn_unit u = {.type = t->kv->kv.type, .head_dim = a->head_dim, .dim = t->kv->dim};
    pool_part(s->rows * group, s->parts, part, &u.from, &u.to);
    u.group = group, u.scale = a->scale, u.cap = a->cap, u.window = a->window,
    u.pos = t->b->pos + s->row;
    u.blocks = t->b->blocks + (size_t)t->b->seq[s->row] * (size_t)t->b->b.max_blocks;
    u.k = cpu_kv_tile(t->kv, t->layer, 0, 0, head), u.v = cpu_kv_tile(t->kv, t->layer, 0, 1, head);
    u.block_bytes = t->kv->block_bytes;
    u.q = t->q + at, u.y = t->y + at, u.row = row;
    u.scratch = t->c->attn_scratch + (size_t)thread * attn_scratch(t->c->attn_dim);
    t->c->rows->attend(&u);
}

int cpu_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                  int layer, const struct kn_attn *a, const struct kn_batch *b)
{
    struct attention t = {.c = cpu_dev(d), .kv = (const struct cpu_kv *)kv, .a = a};
    t.b = (const struct cpu_batch *)b, t.layer = layer;
    t.q = cpu_f32(q), t.y = cpu_f32(y);
    const int units = plan(&t);
    assert(units <= POOL_MAX_CHUNKS);
    pool_run(t.c->pool, run_unit, &t, &units, 1);
    return KN_OK;
}
