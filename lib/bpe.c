/* bpe - text to ids and back: added tokens, NFC, words, merges by rank
 *
 * encode: the text is split at added tokens (leftmost, then longest), the pieces between are
 * normalized, cut into words (pretok.c), and each word's bytes are merged: the adjacent pair of
 * lowest rank first, leftmost among equals.  Words of up to SHORT bytes are merged in place (most
 * have five bytes), longer ones with a heap and a linked list in O(n log n).  Short words repeat: a
 * direct-mapped cache that lives for one call keeps their ids. */
#include "bpe_impl.h"
#include "unicode.h"
#include <stdlib.h>
#include <string.h>

enum { SHORT = 48, CACHED_IDS = 11 };

struct cached { /* one cache line; key: up to 15 bytes of the word and its length */
    uint64_t key[2];
    int32_t n, id[CACHED_IDS];
};
struct node { /* a symbol of a long word */
    int32_t id;
    uint32_t prev, next, rank, merged; /* of the pair with the next symbol */
};
struct enc {
    const struct bpe *b;
    int special;
    int32_t *id;
    size_t n, cap;
    struct cached *cache;
    uint32_t cache_mask;
    struct node *node; /* scratch of long words */
    uint64_t *heap;
    size_t cap_node, cap_heap, n_heap;
};

static const struct bpe_pair none = {0, 0, BPE_NO_RANK, 0};

static inline const struct bpe_pair *pair_of(const struct bpe *b, int32_t left, int32_t right)
{
    uint32_t l = (uint32_t)left, r = (uint32_t)right, i = bpe_pair_hash(l, r) & b->pair_mask;
    for (; b->pair[i].rank != BPE_NO_RANK; i = (i + 1) & b->pair_mask)
        if (b->pair[i].left == l && b->pair[i].right == r)
            return &b->pair[i];
    return &none;
}

static int room(struct enc *x, size_t k)
{
    if (x->cap - x->n >= k)
        return 0;
    size_t cap = x->cap + x->cap / 2 + k + 64;
    int32_t *p = realloc(x->id, cap * sizeof *p);
    if (!p)
        return ERR_NOMEM;
    x->id = p;
    x->cap = cap;
    return 0;
}

/* ---- merging ---- */

/* Ids of 2 <= n <= SHORT bytes into out; their number. */
static size_t merge_short(const struct bpe *b, const uint8_t *s, size_t n, int32_t *out)
{
    uint32_t rank[SHORT], merged[SHORT];
    const struct bpe_pair *p;
    for (size_t i = 0; i < n; i++)
        out[i] = b->byte_id[s[i]];
    for (size_t i = 0; i + 1 < n; i++) {
        p = pair_of(b, out[i], out[i + 1]);
        rank[i] = p->rank;
        merged[i] = p->id;
    }
    while (n > 1) {
        size_t k = 0;
        uint32_t best = rank[0];
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < best) {
                best = rank[i];
                k = i;
            }
        if (best == BPE_NO_RANK)
            break;
        out[k] = (int32_t)merged[k];
        n--;
        memmove(out + k + 1, out + k + 2, (n - k - 1) * sizeof *out);
        memmove(rank + k, rank + k + 1, (n - k) * sizeof *rank);
        memmove(merged + k, merged + k + 1, (n - k) * sizeof *merged);
        if (k > 0) {
            p = pair_of(b, out[k - 1], out[k]);
            rank[k - 1] = p->rank;
            merged[k - 1] = p->id;
        }
        if (k + 1 < n) {
            p = pair_of(b, out[k], out[k + 1]);
            rank[k] = p->rank;
            merged[k] = p->id;
        }
    }
    return n;
}

/* Min-heap of rank << 32 | position. */
static void heap_push(struct enc *x, uint64_t v)
{
    size_t i = x->n_heap++;
    for (; i && x->heap[(i - 1) / 2] > v; i = (i - 1) / 2)
        x->heap[i] = x->heap[(i - 1) / 2];
    x->heap[i] = v;
}

static uint64_t heap_pop(struct enc *x)
{
    uint64_t top = x->heap[0], v = x->heap[--x->n_heap];
    size_t i = 0, c;
    for (; (c = 2 * i + 1) < x->n_heap; i = c) {
        c += c + 1 < x->n_heap && x->heap[c + 1] < x->heap[c];
        if (x->heap[c] >= v)
            break;
        x->heap[i] = x->heap[c];
    }
    x->heap[i] = v;
    return top;
}

#define END UINT32_MAX

static void set_pair(struct enc *x, uint32_t at)
{
    struct node *v = x->node + at;
    const struct bpe_pair *p = v->next == END ? &none : pair_of(x->b, v->id, x->node[v->next].id);
    v->rank = p->rank;
    v->merged = p->id;
    if (p->rank != BPE_NO_RANK)
        heap_push(x, (uint64_t)p->rank << 32 | at);
}

/* An entry of the heap is stale unless the symbol's pair still has its rank: ranks are unique. */
static int merge_long(struct enc *x, const uint8_t *s, size_t n)
{
    if (n >= END)
        return ERR_NOMEM;
    if (n > x->cap_node) {
        free(x->node);
        free(x->heap);
        x->node = malloc(n * sizeof *x->node);
        x->heap = malloc(3 * n *
                         sizeof *x->heap); /* n at first, two for each merge, one taken for each */
        x->cap_node = x->node && x->heap ? n : 0;
        if (!x->cap_node)
            return ERR_NOMEM;
    }
    x->n_heap = 0;
    for (size_t i = 0; i < n; i++)
        x->node[i] = (struct node){.id = x->b->byte_id[s[i]],
                                   .prev = (uint32_t)i - 1,
                                   .next = i + 1 < n ? (uint32_t)i + 1 : END};
    for (size_t i = 0; i < n; i++)
        set_pair(x, (uint32_t)i);
    while (x->n_heap) {
        uint64_t top = heap_pop(x);
        uint32_t at = (uint32_t)top;
        struct node *v = x->node + at, *gone;
        if (v->rank != top >> 32)
            continue;
        gone = x->node + v->next;
        v->id = (int32_t)v->merged;
        v->next = gone->next;
        gone->rank = BPE_NO_RANK;
        if (v->next != END)
            x->node[v->next].prev = at;
        if (v->prev != END)
            set_pair(x, v->prev);
        set_pair(x, at);
    }
    for (uint32_t i = 0; i != END; i = x->node[i].next)
        x->id[x->n++] = x->node[i].id;
    return 0;
}

static int word(struct enc *x, const uint8_t *s, size_t n)
{
    const struct bpe *b = x->b;
    struct cached *c = NULL;
    uint64_t key[2] = {0, 0};
    int32_t id;
    size_t from = x->n;
    if (room(x, n))
        return ERR_NOMEM;
    if (n == 1) {
        x->id[x->n++] = b->byte_id[s[0]];
        return 0;
    }
    if (n < 16 && x->cache) {
        memcpy(key, s, n);
        key[1] |= (uint64_t)n << 56;
        uint64_t h = (key[0] ^ key[1] * 0xD6E8FEB86659FD93u) * 0x9E3779B97F4A7C15u;
        c = x->cache + ((uint32_t)(h >> 32) & x->cache_mask);
        if (c->key[0] == key[0] && c->key[1] == key[1]) {
            memcpy(x->id + x->n, c->id, (size_t)c->n * sizeof *x->id);
            x->n += (size_t)c->n;
            return 0;
        }
    }
    if ((b->head->flags & BPE_F_IGNORE_MERGES) &&
        (id = bpe_find(&b->index, b->off, b->bytes, (const char *)s, n)) >= 0)
        x->id[x->n++] = id;
    else if (n <= SHORT)
        x->n += merge_short(b, s, n, x->id + x->n);
    else if (merge_long(x, s, n))
        return ERR_NOMEM;
    if (c && x->n - from <= CACHED_IDS) {
        c->key[0] = key[0];
        c->key[1] = key[1];
        c->n = (int32_t)(x->n - from);
        memcpy(c->id, x->id + from, (x->n - from) * sizeof *c->id);
    }
    return 0;
}

/* ---- added tokens ---- */

static inline int byte_at(const struct bpe *b, uint32_t id, size_t depth)
{
    uint32_t n = b->off[id + 1] - b->off[id];
    return depth < n ? (uint8_t)b->bytes[b->off[id] + depth] : -1;
}

/* The longest added token at s, or -1: the sorted list is narrowed byte by byte. */
static int32_t longest_at(const struct bpe *b, const struct bpe_added *a, const char *s, size_t n)
{
    int lo = 0, hi = a->n;
    int32_t best = -1;
    for (size_t depth = 0; depth < n && lo < hi; depth++) {
        int c = (uint8_t)s[depth], l = lo, h = hi;
        while (l < h) { /* first with a byte >= c here */
            int mid = l + (h - l) / 2;
            if (byte_at(b, a->id[mid], depth) < c)
                l = mid + 1;
            else
                h = mid;
        }
        lo = l;
        for (h = hi; l < h;) {
            int mid = l + (h - l) / 2;
            if (byte_at(b, a->id[mid], depth) <= c)
                l = mid + 1;
            else
                h = mid;
        }
        hi = l;
        if (lo < hi && byte_at(b, a->id[lo], depth + 1) < 0)
            best = (int32_t)a->id[lo];
    }
    return best;
}

static size_t next_added(const struct bpe *b, const struct bpe_added *a, const char *s, size_t n,
                         size_t i, int32_t *id)
{
    while (i < n) {
        if (a->only >= 0) {
            const char *p = memchr(s + i, a->only, n - i);
            if (!p)
                break;
            i = (size_t)(p - s);
        } else {
            while (i < n && !a->first[(uint8_t)s[i]])
                i++;
            if (i == n)
                break;
        }
        if ((*id = longest_at(b, a, s + i, n - i)) >= 0)
            return i;
        i++;
    }
    return n;
}

static int words(struct enc *x, const char *s, size_t n)
{
    for (size_t i = 0, k; i < n; i += k) {
        k = pretok_next((enum pretok)x->b->head->pretok, (const uint8_t *)s + i, n - i);
        if (word(x, (const uint8_t *)s + i, k))
            return ERR_NOMEM;
    }
    return 0;
}

static int pieces(struct enc *x, const char *s, size_t n, int normalized);

static int gap(struct enc *x, const char *s, size_t n, int normalized)
{
    char *nfc = NULL;
    size_t m;
    int rc;
    if (n == 0)
        return 0;
    if (normalized)
        return words(x, s, n);
    if ((x->b->head->flags & BPE_F_NFC) && unicode_nfc(s, n, &nfc, &m))
        return ERR_NOMEM;
    rc = pieces(x, nfc ? nfc : s, nfc ? m : n, 1);
    free(nfc);
    return rc;
}

/* Spaces directly before s[i], down to `from`; directly after. */
static size_t spaces_before(const char *s, size_t from, size_t i)
{
    unsigned len;
    while (i > from) {
        size_t k = i - 1;
        while (k > from && ((uint8_t)s[k] & 0xC0) == 0x80)
            k--;
        if (!(unicode_class((const uint8_t *)s + k, &len) & UNI_SPACE))
            break;
        i = k;
    }
    return i;
}

static size_t spaces_after(const char *s, size_t i, size_t n)
{
    unsigned len;
    while (i < n && (unicode_class((const uint8_t *)s + i, &len) & UNI_SPACE))
        i += len;
    return i;
}

static int pieces(struct enc *x, const char *s, size_t n, int normalized)
{
    const struct bpe *b = x->b;
    const struct bpe_added *a = &b->added[normalized][x->special];
    size_t done = 0, i = 0;
    while (a->n && i < n) {
        int32_t id = -1;
        size_t at = next_added(b, a, s, n, i, &id), end;
        if (id < 0)
            break;
        end = i = at + (b->off[id + 1] - b->off[id]);
        if (b->kind[id] & BPE_K_LSTRIP)
            at = spaces_before(s, done, at);
        if (b->kind[id] & BPE_K_RSTRIP)
            i = end = spaces_after(s, end, n);
        if (gap(x, s + done, at - done, normalized) || room(x, 1))
            return ERR_NOMEM;
        x->id[x->n++] = id;
        done = end;
    }
    return gap(x, s + done, n - done, normalized);
}

long bpe_encode(const struct bpe *b, const char *text, size_t n, int flags, int32_t **ids,
                struct err *e)
{
    struct enc x = {.b = b, .special = (flags & BPE_SPECIAL) != 0};
    size_t bad = unicode_bad_utf8(text, n);
    int rc = 0;
    *ids = NULL;
    if (bad < n)
        return err_set(e, ERR_DATA, "invalid UTF-8 at byte %zu (0x%02x)", bad, (uint8_t)text[bad]);
    if (n >= 256) { /* slots for about one word in eight bytes, at most 1 MiB */
        uint32_t slots = 32;
        while (slots < n / 16 && slots < 16384)
            slots *= 2;
        x.cache = calloc(slots, sizeof *x.cache);
        x.cache_mask = slots - 1;
    }
    if (room(&x, n / 3 + 16))
        rc = ERR_NOMEM;
    if (!rc && (flags & BPE_BOS) && (b->head->flags & BPE_F_ADD_BOS) && b->head->bos >= 0)
        x.id[x.n++] = b->head->bos;
    if (!rc)
        rc = pieces(&x, text, n, 0);
    free(x.cache);
    free(x.node);
    free(x.heap);
    if (rc) {
        free(x.id);
        return err_set(e, ERR_NOMEM, "out of memory for the tokens of %zu bytes", n);
    }
    *ids = x.id;
    return (long)x.n;
}

/* ---- ids to text, and questions ---- */

const char *bpe_token(const struct bpe *b, int32_t id, size_t *n)
{
    if (id < 0 || (uint32_t)id >= b->head->n_id || !b->kind[id])
        return NULL;
    *n = b->off[id + 1] - b->off[id];
    return b->bytes + b->off[id];
}

char *bpe_decode(const struct bpe *b, const int32_t *ids, size_t n_ids, int skip_special, size_t *n)
{
    size_t total = 0, k;
    for (size_t i = 0; i < n_ids; i++)
        if (bpe_token(b, ids[i], &k))
            total += k;
    char *s = malloc(total + 1);
    if (!s)
        return NULL;
    total = 0;
    for (size_t i = 0; i < n_ids; i++) {
        const char *t = bpe_token(b, ids[i], &k);
        if (!t || (skip_special && bpe_is_special(b, ids[i])))
            continue;
        memcpy(s + total, t, k);
        total += k;
    }
    s[total] = 0;
    if (n)
        *n = total;
    return s;
}

int32_t bpe_id(const struct bpe *b, const char *token)
{
    size_t n = strlen(token), k;
    for (int i = 0; i < 2; i++) {
        const struct bpe_added *a = &b->added[i][1];
        int32_t id = longest_at(b, a, token, n);
        if (id >= 0 && bpe_token(b, id, &k) && k == n)
            return id;
    }
    return n ? bpe_find(&b->index, b->off, b->bytes, token, n) : -1;
}

int bpe_is_special(const struct bpe *b, int32_t id)
{
    return id >= 0 && (uint32_t)id < b->head->n_id && (b->kind[id] & BPE_K_SPECIAL);
}

int bpe_n_vocab(const struct bpe *b)
{
    return (int)b->head->n_id;
}

int32_t bpe_eos(const struct bpe *b)
{
    return b->head->eos;
}

int32_t bpe_bos(const struct bpe *b)
{
    return b->head->bos;
}
