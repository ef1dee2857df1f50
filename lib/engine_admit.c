/* engine_admit - from the queue into the batch: KV blocks for the longest answer, shared prefixes */
#include "engine_impl.h"

/* Blocks that agree in part are worth a copy from so many positions on: one that is there already
 * costs the copy, one that is promised a step's wait too. */
enum { WORTH_COPY = 4, WORTH_WAIT = 8 };

/* Where a sequence's chain begins: the same tokens under another RoPE table or adapter are another prefix. */
static uint64_t root(const struct seq *s)
{
    return 2 * (uint64_t)s->req.adapter + (s->rope ? 1 : 0);
}

/* Take what the cache knows of the prompt's beginning, all but its last token: whole blocks to
 * hold, and one that agrees in part to copy. */
static void share(struct engine *g, struct seq *s)
{
    const int32_t *ids = s->req.ids;
    const int known = s->n_prompt - 1;
    uint64_t chain = root(s);
    int b, n_same, left;
    if (g->o.no_share)
        return;
    while ((s->n_block + 1) * KN_TILE <= known &&
           (b = kvcache_find(&g->kv, chain, ids + s->n_block * KN_TILE, KN_TILE)) >= 0) {
        kvcache_hold(&g->kv, b);
        chain = g->kv.block[b].hash;
        s->block[s->n_block++] = b;
    }
    s->n_shared = s->n_block;
    s->n_done = s->n_block * KN_TILE;
    left = known - s->n_done < KN_TILE ? known - s->n_done : KN_TILE;
    if (left > 0 && (b = kvcache_alike(&g->kv, chain, ids + s->n_done, left, &n_same)) >= 0 &&
        (n_same == left || n_same >= (g->kv.block[b].filled ? WORTH_COPY : WORTH_WAIT))) {
        kvcache_hold(&g->kv, b);
        s->copy_from = b;
        s->n_done += n_same;
    }
}

static void unshare(struct engine *g, struct seq *s)
{
    for (int b = s->n_block - 1; b >= 0; b--)
        kvcache_drop(&g->kv, s->block[b]);
    if (s->copy_from >= 0)
        kvcache_drop(&g->kv, s->copy_from);
    s->n_block = s->n_shared = s->n_done = 0;
    s->copy_from = -1;
}

/* Blocks for the rest of the prompt, entered as promises for those who come after. */
static void take_prompt_blocks(struct engine *g, struct seq *s)
{
    const int32_t *ids = s->req.ids;
    int n = engine_blocks(s->n_prompt);
    uint64_t chain = s->n_block ? g->kv.block[s->block[s->n_block - 1]].hash : root(s);
    g->owed += s->need - s->n_block;
    while (s->n_block < n) {
        int b = kvcache_take(&g->kv), at = s->n_block * KN_TILE;
        int left = s->n_prompt - 1 - at, k = left < KN_TILE ? left : KN_TILE;
        if (k > 0 && !g->o.no_share) {
            kvcache_enter(&g->kv, b, chain, ids + at, k);
            chain = kvcache_chain(chain, ids + at, k);
        }
        s->block[s->n_block++] = b;
        g->owed--;
    }
}

void engine_admit(struct engine *g)
{
    while (g->queue && g->n_active < g->o.batch) {
        struct seq *s = g->queue;
        s->block = g->table[g->n_active];
        share(g, s);
        int rest = s->need - s->n_block;
        if (kvcache_left(&g->kv) - g->owed < rest) {
            int copy = s->copy_from;
            if (copy < 0 || g->n_active) {
                unshare(g, s);
                return;
            }
            /* alone, and the block to copy is the one that is missing */
            kvcache_drop(&g->kv, copy);
            s->copy_from = -1;
            s->n_done = s->n_block * KN_TILE;
        }
        take_prompt_blocks(g, s);
        s->start = clock_now();
        g->stats.prompt += (uint64_t)s->n_prompt;
        g->stats.shared += (uint64_t)s->n_done;
        g->active[g->n_active++] = s;
        g->queue = s->next;
        g->n_queued--;
    }
}

int engine_ready(struct engine *g, struct seq *s, int *rc)
{
    while (s->n_shared && g->kv.block[s->block[s->n_shared - 1]].filled)
        s->n_shared--;
    if (s->n_shared)
        return 0;
    if (s->copy_from >= 0) {
        int dst = s->block[s->n_done / KN_TILE]; /* n_done is inside it */
        if (!g->kv.block[s->copy_from].filled)
            return 0;
        *rc = kn_kv_copy(g->m->dev, g->f.kv, dst, s->copy_from);
        kvcache_drop(&g->kv, s->copy_from);
        s->copy_from = -1;
    }
    return 1;
}
