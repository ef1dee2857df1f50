/* kvcache - reference counts, kept blocks and prefix lookup for a paged KV cache */
#include "kvcache.h"
#include "hash.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int kvcache_init(struct kvcache *c, int n_block)
{
    memset(c, 0, sizeof *c);
    c->n_bucket = 64;
    while (c->n_bucket < n_block && c->n_bucket < 1 << 24)
        c->n_bucket *= 2;
    c->block = calloc((size_t)n_block, sizeof *c->block);
    c->bucket = malloc((size_t)c->n_bucket * sizeof *c->bucket);
    c->child = malloc((size_t)c->n_bucket * sizeof *c->child);
    if (!c->block || !c->bucket || !c->child) {
        kvcache_fini(c);
        return -1;
    }
    for (int i = 0; i < c->n_bucket; i++)
        c->bucket[i] = c->child[i] = -1;
    c->n_block = c->n_free = c->max_kept = n_block;
    c->free_top = c->oldest = c->newest = -1;
    for (int b = n_block - 1; b >= 0; b--) { /* block 0 is handed out first */
        c->block[b].older = c->free_top;
        c->free_top = b;
    }
    return 0;
}

void kvcache_fini(struct kvcache *c)
{
    free(c->block);
    free(c->bucket);
    free(c->child);
    memset(c, 0, sizeof *c);
}

int kvcache_left(const struct kvcache *c)
{
    return c->n_free + c->n_kept;
}

static int *bucket_of(const struct kvcache *c, uint64_t hash)
{
    return &c->bucket[hash & (uint64_t)(c->n_bucket - 1)];
}
static int *children_of(const struct kvcache *c, uint64_t parent)
{
    return &c->child[parent & (uint64_t)(c->n_bucket - 1)];
}

static void forget(struct kvcache *c, int b)
{
    int *at = bucket_of(c, c->block[b].hash);
    while (*at != b)
        at = &c->block[*at].next;
    *at = c->block[b].next;
    for (at = children_of(c, c->block[b].parent); *at != b;)
        at = &c->block[*at].sibling;
    *at = c->block[b].sibling;
    c->block[b].entered = c->block[b].filled = 0;
}

static void unlink_kept(struct kvcache *c, int b)
{
    struct kvcache_block *k = &c->block[b];
    *(k->older >= 0 ? &c->block[k->older].newer : &c->oldest) = k->newer;
    *(k->newer >= 0 ? &c->block[k->newer].older : &c->newest) = k->older;
    c->n_kept--;
}

int kvcache_take(struct kvcache *c)
{
    int b;
    if (c->n_free && c->n_kept <= c->max_kept) {
        b = c->free_top;
        c->free_top = c->block[b].older;
        c->n_free--;
    } else if (c->n_kept) {
        b = c->oldest;
        unlink_kept(c, b);
        forget(c, b);
    } else {
        return -1;
    }
    c->block[b].ref = 1;
    return b;
}

void kvcache_hold(struct kvcache *c, int b)
{
    if (c->block[b].ref++ == 0)
        unlink_kept(c, b);
}

void kvcache_drop(struct kvcache *c, int b)
{
    struct kvcache_block *k = &c->block[b];
    assert(k->ref > 0);
    if (--k->ref)
        return;
    if (k->entered && !k->filled) /* its owner ended before the contents came */
        forget(c, b);
    if (k->entered) {
        k->older = c->newest;
        k->newer = -1;
        *(c->newest >= 0 ? &c->block[c->newest].newer : &c->oldest) = b;
        c->newest = b;
        c->n_kept++;
    } else {
        k->older = c->free_top;
        c->free_top = b;
        c->n_free++;
    }
}

uint64_t kvcache_chain(uint64_t parent, const int32_t *tok, int n_tok)
{
    uint64_t h = hash_fnv(HASH_FNV, &parent, sizeof parent);
    return hash_fnv(h, tok, (size_t)n_tok * sizeof *tok);
}

int kvcache_find(const struct kvcache *c, uint64_t parent, const int32_t *tok, int n_tok)
{
    uint64_t hash = kvcache_chain(parent, tok, n_tok);
    for (int b = *bucket_of(c, hash); b >= 0; b = c->block[b].next) {
        const struct kvcache_block *k = &c->block[b];
        if (k->hash == hash && k->parent == parent && k->n_tok == n_tok &&
            memcmp(k->tok, tok, (size_t)n_tok * sizeof *tok) == 0)
            return b;
    }
    return -1;
}

int kvcache_alike(const struct kvcache *c, uint64_t parent, const int32_t *tok, int n_tok,
                  int *n_same)
{
    enum { LOOK = 64 };
    int best = -1, look = 0;
    *n_same = 0;
    for (int b = *children_of(c, parent); b >= 0 && look < LOOK; b = c->block[b].sibling, look++) {
        const struct kvcache_block *k = &c->block[b];
        int n = 0, most = k->n_tok < n_tok ? k->n_tok : n_tok;
        if (k->parent != parent)
            continue;
        while (n < most && k->tok[n] == tok[n])
            n++;
        if (n > *n_same || (n && n == *n_same && k->filled && !c->block[best].filled)) {
            best = b;
            *n_same = n;
        }
    }
    return best;
}

void kvcache_enter(struct kvcache *c, int b, uint64_t parent, const int32_t *tok, int n_tok)
{
    struct kvcache_block *k = &c->block[b];
    if (k->entered || kvcache_find(c, parent, tok, n_tok) >= 0)
        return;
    k->hash = kvcache_chain(parent, tok, n_tok);
    k->parent = parent;
    k->n_tok = n_tok;
    memcpy(k->tok, tok, (size_t)n_tok * sizeof *tok);
    k->entered = 1;
    k->filled = 0;
    int *at = bucket_of(c, k->hash);
    k->next = *at;
    *at = b;
    at = children_of(c, parent);
    k->sibling = *at;
    *at = b;
}

void kvcache_fill(struct kvcache *c, int b)
{
    if (c->block[b].entered)
        c->block[b].filled = 1;
}
