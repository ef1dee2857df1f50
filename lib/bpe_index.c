/* bpe_index - the tokenizer's two hashes: token of a text, and rank of a pair of tokens
 *
 * Neither is stored: making them takes a few milliseconds, and what is made here needs no checks. */
#include "bpe_impl.h"
#include <stdlib.h>
#include <string.h>

uint64_t bpe_hash(const void *p, size_t n)
{
    const char *s = p;
    uint64_t h = n * 0x9E3779B97F4A7C15u, w;
    for (; n >= 8; n -= 8, s += 8) {
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    if (n) {
        w = 0;
        memcpy(&w, s, n);
        h = (h ^ w) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    return h * 0x9E3779B97F4A7C15u >> 20;
}

/* ---- texts ---- */

int bpe_index_new(struct bpe_index *x, uint32_t n_id)
{
    size_t cap = 16;
    while (cap < (size_t)n_id + n_id / 2)
        cap *= 2;
    x->mask = (uint32_t)(cap - 1);
    x->slot = calloc(cap, sizeof *x->slot);
    return x->slot ? 0 : ERR_NOMEM;
}

/* The slot that holds the text's token, or the empty one where it belongs. */
static uint32_t *slot_of(const struct bpe_index *x, const uint32_t *off, const char *bytes,
                         const char *s, size_t n)
{
    for (uint32_t h = (uint32_t)bpe_hash(s, n) & x->mask;; h = (h + 1) & x->mask) {
        uint32_t id = x->slot[h] - 1;
        if (!x->slot[h] || (off[id + 1] - off[id] == n && memcmp(bytes + off[id], s, n) == 0))
            return x->slot + h;
    }
}

int32_t bpe_index_find(const struct bpe_index *x, const uint32_t *off, const char *bytes,
                       const char *s, size_t n)
{
    return (int32_t)*slot_of(x, off, bytes, s, n) - 1;
}

uint32_t bpe_index_fill(struct bpe_index *x, const uint32_t *off, const char *bytes,
                        const uint8_t *kind, uint32_t n_id)
{
    uint32_t dup = n_id;
    for (uint32_t id = 0; id < n_id; id++) {
        if (!(kind[id] & BPE_K_BYTES))
            continue;
        uint32_t *slot = slot_of(x, off, bytes, bytes + off[id], off[id + 1] - off[id]);
        if (*slot)
            dup = id;
        else
            *slot = id + 1;
    }
    return dup;
}

int32_t bpe_find(const struct bpe *b, const char *s, size_t n)
{
    struct bpe_pool *p = b->pool;
    if (!atomic_load_explicit(&p->indexed, memory_order_acquire)) {
        pthread_mutex_lock(&p->lock);
        if (!atomic_load_explicit(&p->indexed, memory_order_relaxed))
            bpe_index_fill(&p->index, b->off, b->bytes, b->kind, b->head->n_id);
        atomic_store_explicit(&p->indexed, 1, memory_order_release);
        pthread_mutex_unlock(&p->lock);
    }
    return bpe_index_find(&p->index, b->off, b->bytes, s, n);
}

/* ---- pairs ---- */

uint32_t bpe_buckets(uint32_t n_merge)
{
    uint32_t n = 2; /* two thirds full at most, so that every search ends */
    while ((size_t)n * BPE_WAYS < (size_t)n_merge + n_merge / 2 + 1)
        n *= 2;
    return n;
}

/* The merge of rank r into the place of its pair (a repeated merge), or the first empty one. */
static void put(const struct bpe *b, uint64_t hash, uint32_t r)
{
    const uint32_t *m = b->merge + 3 * (size_t)r;
    uint64_t pair = (uint64_t)m[0] << 32 | m[1];
    for (uint64_t i = hash >> b->pair_shift;; i = (i + 1) & b->pair_mask) {
        struct bpe_bucket *k = &b->pair[i];
        for (int j = 0; j < BPE_WAYS; j++)
            if (k->pair[j] == pair || k->pair[j] == BPE_NO_PAIR) {
                k->pair[j] = pair;
                k->merge[j] = (struct bpe_merge){r, m[2]};
                return;
            }
    }
}

void bpe_pairs_fill(struct bpe *b)
{
    enum { AHEAD = 32 }; /* buckets on their way from memory */
    uint64_t hash[AHEAD];
    uint32_t n = b->head->n_merge;
    memset(b->pair, 0xFF, ((size_t)b->pair_mask + 1) * sizeof *b->pair);
    memset(b->two, 0xFF, 65536 * sizeof *b->two);
    for (uint32_t r = 0; r < n + AHEAD; r++) {
        if (r >= AHEAD)
            put(b, hash[r % AHEAD], r - AHEAD);
        if (r >= n)
            continue;
        const uint32_t *m = b->merge + 3 * (size_t)r;
        const char *t = b->bytes + b->off[m[2]];
        hash[r % AHEAD] = bpe_pair_hash(m[0], m[1]);
        __builtin_prefetch(b->pair + (hash[r % AHEAD] >> b->pair_shift), 1);
        if (b->off[m[2] + 1] - b->off[m[2]] == 2 && b->byte_id[(uint8_t)t[0]] == (int32_t)m[0] &&
            b->byte_id[(uint8_t)t[1]] == (int32_t)m[1])
            b->two[(uint8_t)t[0] << 8 | (uint8_t)t[1]] = (struct bpe_merge){r, m[2]};
    }
}
