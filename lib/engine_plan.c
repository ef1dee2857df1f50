/* engine_plan - how many sequences and KV blocks fit the memory, before anything is allocated */
#include "engine_impl.h"
#include "mapfile.h"
#include "model_lora.h"
#include <stdlib.h>

/* Of the room so much is left alone: what else grows meanwhile. */
enum { RESERVE = 16 };
/* What sampler_scratch_new allocates for each token. */
enum { SAMPLER_BYTES = 28 };

size_t engine_fixed_bytes(const struct engine_opts *o, const struct hparams *h,
                          const struct kn_dev *dev, const struct kn_count *weights)
{
    struct kn_count c = *weights;
    const size_t logits = (size_t)h->n_vocab * sizeof(float) * (size_t)o->batch;
    const int shared = dev->ops->host != NULL; /* else a copy of the logits is read back */
    size_t n =
        forward_bytes(h, o->chunk, o->batch, o->batch, engine_blocks(o->n_ctx), 0, o->kv_type);
    forward_count(h, dev, &c, o->chunk, o->batch);
    if (!size_add(n, (size_t)h->n_vocab * SAMPLER_BYTES, &n) ||
        !size_add(n, shared ? 0 : logits, &n) || !size_add(n, kn_count_scratch(&c), &n))
        return SIZE_MAX;
    return n;
}

size_t engine_block_bytes(const struct hparams *h, int kv_type)
{
    return forward_bytes(h, 1, 1, 1, 1, 2, kv_type) - forward_bytes(h, 1, 1, 1, 1, 1, kv_type) +
           sizeof(struct kvcache_block);
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
    const size_t block = engine_block_bytes(&m->h, o->kv_type);
    struct model_need weights;
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
    model_need(&weights, m->file.tensor, m->file.n_tensor, &m->h, m->dev, KN_W_INFER, m->n_ctx);
    need->misfit = -1;
    o->batch = automatic ? ENGINE_BATCH : o->batch;
    o->batch = need->n < o->batch ? (need->n ? (int)need->n : 1) : o->batch;
    for (;; o->batch /= 2) { /* fewer logits and rows, if it is left to us */
        o->chunk = chunk;
        set_chunk(o);
        fixed = engine_fixed_bytes(o, &m->h, m->dev, &weights.count);
        fits = size_add(fixed, model_lora_bytes(m, o->chunk), &fixed) &&
               size_add(fixed, least, &all) && all <= need->room;
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
