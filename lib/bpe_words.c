/* bpe_words - normalized text to ids: cut into words, remember the words, merge the new ones
 *
 * A word's bytes are merged: the adjacent pair of lowest rank first, leftmost among equals.  Words of
 * up to SHORT bytes are merged in a fixed frame, longer ones with a heap and a linked list in
 * O(n log n).
 *
 * Words repeat, so most are never merged: a scratch keeps the ids of words that it met, for as long
 * as the tokenizer lives.  A word of up to 15 bytes and four ids has 32 bytes in a table of sets of
 * two, which fill one cache line; the key is the word itself, so what is found is exact.  Words are
 * taken BATCH at a time: ends, then keys (the lines begin to arrive), then ids. */
#include "bpe_impl.h"
#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 48,
    BATCH = 64,
    IDS = 4, /* of a cached word */
    SETS =
        16384, /* 1 MiB: 10 MB of Python has 52,000 different words, of which 4 % come again too late */
    LONG_BYTES = 94, /* of a cached long word */
    LONG_IDS = 24,
    LONG_SLOTS = 4096, /* 768 KiB */
    LINE = 64
};

struct cached { /* key: up to 15 bytes, then their number; zero = empty */
    uint64_t key[2];
    uint32_t id[IDS]; /* the first also has the number of ids, << 24 */
};
struct cached_long {
    uint8_t n, n_id; /* zero = empty */
    uint8_t text[LONG_BYTES];
    int32_t id[LONG_IDS];
};
_Static_assert(2 * sizeof(struct cached) == LINE && sizeof(struct cached_long) == 3 * LINE,
               "sets are whole cache lines");
_Static_assert(BPE_MAX_ID <= 1 << 24, "an id has 24 bits in a cached word");

struct node { /* a symbol of a long word */
    int32_t id;
    uint32_t prev, next, rank, merged; /* the last two: of the pair with the next symbol */
};
struct bpe_scratch {
    struct cached (*set)[2];
    struct cached_long *slot; /* behind set */
    struct node *node;        /* of long words */
    uint64_t *heap;
    size_t cap_node, n_heap;
};

size_t bpe_scratch_bytes(void)
{
    return SETS * sizeof(struct cached[2]) + LONG_SLOTS * sizeof(struct cached_long);
}

struct bpe_scratch *bpe_scratch_new(void)
{
    const size_t set = SETS * sizeof(struct cached[2]),
                 slot = LONG_SLOTS * sizeof(struct cached_long);
    struct bpe_scratch *w = calloc(1, sizeof *w);
    char *p = w ? bpe_big_alloc(set + slot) : NULL;
    if (!p) {
        free(w);
        return NULL;
    }
    memset(p, 0, set + slot);
    w->set = (void *)p;
    w->slot = (void *)(p + set);
    return w;
}

void bpe_scratch_free(struct bpe_scratch *w)
{
    if (!w)
        return;
    free(w->set);
    free(w->node);
    free(w->heap);
    free(w);
}

/* ---- merging ---- */

/* A short word in the making: symbols keep the place of their first byte. key: rank of the pair with
 * the next symbol and place in one number, so that the least one is the pair to merge. */
enum { PLACE = 6 };
_Static_assert(SHORT <= 1 << PLACE && BPE_MAX_MERGE <= 1 << (32 - PLACE - 1), "a key has 32 bits");
struct frame {
    uint32_t key[SHORT], merged[SHORT];
    int32_t id[SHORT];
    uint8_t next[SHORT + 1], prev[SHORT + 1];
};

static inline void set_key(struct frame *f, size_t at, struct bpe_merge m)
{
    f->key[at] = m.rank == BPE_NO_RANK ? UINT32_MAX : m.rank << PLACE | (uint32_t)at;
    f->merged[at] = m.id;
}

static inline void find_key(const struct bpe *b, struct frame *f, size_t at)
{
    set_key(f, at, bpe_merge_of(b, (uint32_t)f->id[at], (uint32_t)f->id[f->next[at]]));
}

/* Ids of 2 <= n <= SHORT bytes into out; their number. */
static size_t merge_short(const struct bpe *b, const uint8_t *s, size_t n, int32_t *out)
{
    struct frame f;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        f.id[i] = b->byte_id[s[i]];
        f.next[i] = (uint8_t)(i + 1);
        f.prev[i + 1] = (uint8_t)i;
    }
    for (size_t i = 0; i + 1 < n; i++)
        set_key(&f, i, b->two[s[i] << 8 | s[i + 1]]);
    f.key[n - 1] = UINT32_MAX;
    for (;;) {
        uint32_t best = UINT32_MAX;
        for (size_t i = 0; i + 1 < n; i++)
            best = f.key[i] < best ? f.key[i] : best;
        if (best == UINT32_MAX)
            break;
        size_t at = best & ((1 << PLACE) - 1), gone = f.next[at];
        f.id[at] = (int32_t)f.merged[at];
        f.next[at] = f.next[gone];
        f.prev[f.next[at]] = (uint8_t)at;
        f.key[gone] = f.key[at] = UINT32_MAX;
        if (f.next[at] < n)
            find_key(b, &f, at);
        if (at)
            find_key(b, &f, f.prev[at]);
    }
    for (size_t i = 0; i < n; i = f.next[i])
        out[k++] = f.id[i];
    return k;
}

/* Min-heap of rank << 32 | position. */
static void heap_push(struct bpe_scratch *w, uint64_t v)
{
    size_t i = w->n_heap++;
    for (; i && w->heap[(i - 1) / 2] > v; i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = v;
}

static uint64_t heap_pop(struct bpe_scratch *w)
{
    uint64_t top = w->heap[0], v = w->heap[--w->n_heap];
    size_t i = 0, c;
    for (; (c = 2 * i + 1) < w->n_heap; i = c) {
        c += c + 1 < w->n_heap && w->heap[c + 1] < w->heap[c];
        if (w->heap[c] >= v)
            break;
        w->heap[i] = w->heap[c];
    }
    w->heap[i] = v;
    return top;
}

#define END UINT32_MAX

static void set_pair(const struct bpe *b, struct bpe_scratch *w, uint32_t at)
{
    struct node *v = w->node + at;
    struct bpe_merge m = {BPE_NO_RANK, 0};
    if (v->next != END)
        m = bpe_merge_of(b, (uint32_t)v->id, (uint32_t)w->node[v->next].id);
    v->rank = m.rank;
    v->merged = m.id;
    if (v->rank != BPE_NO_RANK)
        heap_push(w, (uint64_t)v->rank << 32 | at);
}

static int long_room(struct bpe_scratch *w, size_t n)
{
    if (n >= END)
        return ERR_NOMEM;
    if (n <= w->cap_node)
        return 0;
    free(w->node);
    free(w->heap);
    w->node = malloc(n * sizeof *w->node);
    /* n at first, two for each merge, one taken for each */
    w->heap = malloc(3 * n * sizeof *w->heap);
    w->cap_node = w->node && w->heap ? n : 0;
    return w->cap_node ? 0 : ERR_NOMEM;
}

int32_t *bpe_symbols(struct bpe_scratch *w, size_t n, size_t *stride)
{
    if (long_room(w, n))
        return NULL;
    *stride = sizeof *w->node / sizeof(int32_t);
    return &w->node[0].id;
}

/* An entry of the heap is stale unless the symbol's pair still has its rank: ranks are unique. */
long bpe_merge_symbols(const struct bpe *b, struct bpe_scratch *w, size_t n, int32_t *out)
{
    long k = 0;
    w->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        w->node[i].prev = (uint32_t)i - 1;
        w->node[i].next = i + 1 < n ? (uint32_t)i + 1 : END;
    }
    for (size_t i = 0; i < n; i++)
        set_pair(b, w, (uint32_t)i);
    while (w->n_heap) {
        uint64_t top = heap_pop(w);
        uint32_t at = (uint32_t)top;
        struct node *v = w->node + at, *gone;
        if (v->rank != top >> 32)
            continue;
        gone = w->node + v->next;
        v->id = (int32_t)v->merged;
        v->next = gone->next;
        gone->rank = BPE_NO_RANK;
        if (v->next != END)
            w->node[v->next].prev = at;
        if (v->prev != END)
            set_pair(b, w, v->prev);
        set_pair(b, w, at);
    }
    for (uint32_t i = 0; i != END; i = w->node[i].next)
        out[k++] = w->node[i].id;
    return k;
}

static long merge_long(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n,
                       int32_t *out)
{
    if (long_room(w, n))
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        w->node[i].id = b->byte_id[s[i]];
    return bpe_merge_symbols(b, w, n, out);
}

static long merge(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n,
                  int32_t *out)
{
    if (b->spm)
        return spm_merge(b, w, s, n, out);
    if (n == 1) {
        out[0] = b->byte_id[s[0]];
        return 1;
    }
    if (b->head->flags & BPE_F_IGNORE_MERGES) {
        int32_t id = bpe_find(b, (const char *)s, n);
        if (id >= 0) {
            out[0] = id;
            return 1;
        }
    }
    return n <= SHORT ? (long)merge_short(b, s, n, out) : merge_long(b, w, s, n, out);
}

/* ---- words ---- */

struct key {
    uint64_t w[2];
    uint32_t set;
};

static inline struct key key_of(const uint8_t *s, size_t n, size_t left)
{
    /* bytes that remain of a word of n */
    static const uint64_t keep[16][2] = {
        {0, 0},
        {0xFF, 0},
        {0xFFFF, 0},
        {0xFFFFFF, 0},
        {0xFFFFFFFF, 0},
        {0xFFFFFFFFFF, 0},
        {0xFFFFFFFFFFFF, 0},
        {0xFFFFFFFFFFFFFF, 0},
        {UINT64_MAX, 0},
        {UINT64_MAX, 0xFF},
        {UINT64_MAX, 0xFFFF},
        {UINT64_MAX, 0xFFFFFF},
        {UINT64_MAX, 0xFFFFFFFF},
        {UINT64_MAX, 0xFFFFFFFFFF},
        {UINT64_MAX, 0xFFFFFFFFFFFF},
        {UINT64_MAX, 0xFFFFFFFFFFFFFF},
    };
    struct key k = {{0, 0}, 0};
    if (left >= 16)
        memcpy(k.w, s, 16);
    else
        memcpy(k.w, s, n);
    k.w[0] &= keep[n][0];
    k.w[1] = (k.w[1] & keep[n][1]) | (uint64_t)n << 56;
    uint64_t h = (k.w[0] ^ k.w[1] * 0xD6E8FEB86659FD93u) * 0x9E3779B97F4A7C15u;
    k.set = (uint32_t)(h >> 32) % SETS;
    return k;
}

/* A word whose set has not got it: long, of many ids, or new.  Into the set in the place of the one
 * that has been there longest, or into its slot.  The number of ids, or ERR_NOMEM. */
static long other_word(const struct bpe *b, struct bpe_scratch *w, const struct key *key,
                       const uint8_t *s, size_t n, int32_t *out)
{
    struct cached_long *c = n <= LONG_BYTES ? w->slot + bpe_hash(s, n) % LONG_SLOTS : NULL;
    if (c && c->n == n && memcmp(c->text, s, n) == 0) {
        memcpy(out, c->id, c->n_id * sizeof *out);
        return c->n_id;
    }
    long k = merge(b, w, s, n, out);
    if (k <= 0)
        return k;
    if (n < 16 && k <= IDS) {
        struct cached *v = w->set[key->set];
        v[1] = v[0];
        memcpy(v[0].key, key->w, sizeof key->w);
        memset(v[0].id, 0, sizeof v[0].id);
        memcpy(v[0].id, out, (size_t)k * sizeof *out);
        v[0].id[0] |= (uint32_t)k << 24;
    } else if (c && k <= LONG_IDS) {
        c->n = (uint8_t)n;
        c->n_id = (uint8_t)k;
        memcpy(c->text, s, n);
        memcpy(c->id, out, (size_t)k * sizeof *out);
    }
    return k;
}

static inline int is(const struct cached *c, const struct key *k)
{
    return ((c->key[0] ^ k->w[0]) | (c->key[1] ^ k->w[1])) == 0;
}

/* Ids of the words of s, which end at end[0..n_word), into out; where they end, or NULL. */
static int32_t *batch(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n,
                      const size_t *end, size_t n_word, int32_t *out)
{
    struct key key[BATCH];
    for (size_t i = 0, at = 0; i < n_word; at = end[i++])
        if (end[i] - at < 16) {
            key[i] = key_of(s + at, end[i] - at, n - at);
            __builtin_prefetch(w->set[key[i].set]);
        }
    for (size_t i = 0, at = 0; i < n_word; at = end[i++]) {
        size_t len = end[i] - at;
        if (len < 16) {
            const struct cached *c = w->set[key[i].set];
            c += !is(c, &key[i]);
            if (is(c, &key[i])) { /* c is one past the set's first: still in it */
                memcpy(out, c->id, sizeof c->id);
                out[0] &= 0xFFFFFF;
                out += c->id[0] >> 24;
                continue;
            }
        }
        long k = other_word(b, w, &key[i], s + at, len, out);
        if (k < 0)
            return NULL;
        out += k;
    }
    return out;
}

int bpe_words(const struct bpe *b, struct bpe_scratch *w, const char *text, size_t n,
              struct bpe_ids *out)
{
    struct pretok_at stage = {{0}};
    size_t end[BATCH], k;
    for (size_t at = 0; at < n; at += end[k - 1]) {
        const uint8_t *s = (const uint8_t *)text + at;
        k = b->spm ? spm_words(b, s, n - at, end, BATCH)
                   : pretok_words(b->head->pretok, s, n - at, end, BATCH, &stage);
        /* an id has a byte at least; a cached word is copied with all the room that it has */
        if (bpe_ids_room(out, end[k - 1] + IDS))
            return ERR_NOMEM;
        int32_t *stop = batch(b, w, s, n - at, end, k, out->v + out->n);
        if (!stop)
            return ERR_NOMEM;
        out->n = (size_t)(stop - out->v);
    }
    return 0;
}
