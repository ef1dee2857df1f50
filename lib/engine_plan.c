/* engine_plan - how many sequences and KV blocks fit the memory, before anything is allocated */
#include "engine_impl.h"
#include "mapfile.h"
#include <stdlib.h>

/* Of the room so much is left alone: what else grows meanwhile. */
enum { RESERVE = 16 };

/* All but the KV blocks. */
static size_t fixed_bytes(const struct engine_opts *o, const struct model *m, int max_blocks)
{
    const size_t sampler = (size_t)m->h.n_vocab * 28, host = (size_t)m->h.n_vocab * 4;
    size_t n = forward_bytes(&m->h, o->chunk, o->batch, o->batch, max_blocks, 0, o->kv_type);
    if (!size_add(n, sampler + host * (size_t)o->batch, &n))
        return SIZE_MAX;
    return n;
}

static size_t block_bytes(const struct engine_opts *o, const struct model *m)
{
    return forward_bytes(&m->h, 1, 1, 1, 1, 2, o->kv_type) -
           forward_bytes(&m->h, 1, 1, 1, 1, 1, o->kv_type) + sizeof(struct kvcache_block);
}

/* Blocks that `batch` of the requests hold at most: the longest of them. count[b]: requests of b blocks. */
static long long blocks_wanted(const long *count, int most, int batch)
{
    long long sum = 0;
    for (int b = most; b > 0 && batch > 0; b--) {
        const long k = count[b] < batch ? count[b] : batch;
        sum += k * b;
        batch -= (int)k;
    }
    return sum;
}

static void set_chunk(struct engine_opts *o)
{
    if (o->chunk <= 0)
        o->chunk = ENGINE_CHUNK;
    if (o->chunk < o->batch)
        o->chunk = o->batch;
}

int engine_plan(struct engine_opts *o, const struct model *m, struct engine_need *need,
                struct err *e)
{
    const int automatic = o->batch <= 0, chunk = o->chunk, max_blocks = engine_blocks(o->n_ctx);
    const size_t block = block_bytes(o, m);
    long *count = calloc((size_t)max_blocks + 1, sizeof *count), longest = 0;
    if (!count)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (long i = 0; i < need->n; i++) {
        count[engine_blocks(need->positions[i])]++;
        longest = need->positions[i] > need->positions[longest] ? i : longest;
    }
    const size_t most = need->n ? (size_t)engine_blocks(need->positions[longest]) : 1;
    const size_t least = most < SIZE_MAX / block ? most * block : SIZE_MAX;
    size_t fixed, all;
    int fits;
    need->misfit = -1;
    o->batch = automatic ? ENGINE_BATCH : o->batch;
    o->batch = need->n < o->batch ? (need->n ? (int)need->n : 1) : o->batch;
    for (;; o->batch /= 2) { /* fewer logits and rows, if it is left to us */
        o->chunk = chunk;
        set_chunk(o);
        fixed = fixed_bytes(o, m, max_blocks);
        fits = size_add(fixed, least, &all) && all <= need->room;
        if (fits || !automatic || o->batch == 1)
            break;
    }
    if (fits && o->n_block <= 0) {
        const long long want = blocks_wanted(count, max_blocks, o->batch);
        const size_t spare = (need->room - all) - (need->room - all) / RESERVE;
        const long long can = (long long)(most + spare / block);
        o->n_block = (int)(want < can ? want : can < INT32_MAX ? can : INT32_MAX);
        o->n_block = o->n_block < 1 ? 1 : o->n_block;
    }
    free(count);
    need->bytes = fixed + (size_t)(fits ? o->n_block : 0) * block;
    if (fits)
        return 0;
    size_t kv = least;
    for (long i = 0; need->misfit < 0 && i < need->n; i++) {
        kv = (size_t)engine_blocks(need->positions[i]) * block;
        if (!size_add(fixed, kv, &all) || all > need->room)
            need->misfit = i;
    }
    return err_set(e, ERR_NOMEM,
                   "the prompt and its answer need %zu bytes of KV cache beside %zu for a batch of "
                   "%d, %zu available",
                   kv, fixed, o->batch, need->room);
}
