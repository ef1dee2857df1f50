/* bpe_tables - the tokenizer's binary tables: layout, checks, load and save
 *
 * Layout, little-endian, no padding:
 *      0  char     magic[8]           "APRBPE1\n"
 *      8  u32      pretok             enum pretok
 *     12  u32      flags              BPE_F_*
 *     16  u32      n_id               highest id with a token, plus 1
 *     20  u32      n_merge
 *     24  u32      n_byte
 *     28  i32      bos, eos           -1 = none
 *     36  u32      unk                the unknown token's id + 1; 0 = none
 *     40  u32      n_score            n_id, or 0
 *     44  u32      reserved[5]        zero
 *     64  u32      off[n_id + 1]      text of id i: bytes[off[i]] .. bytes[off[i + 1]]
 *         u32      merge[n_merge][3]  left, right, result, in order of rank
 *         u8       kind[n_id]         BPE_K_*
 *         u8       bytes[n_byte]
 *         f64      score[n_score]     of SentencePiece; unaligned
 *
 * What bpe_load_tables checks, so that no table can make the encoder write a wrong text or leave its
 * arrays: 1 the sections fill the blob exactly; off begins at 0, never falls, ends at n_byte; 2
 * each of the 256 bytes is a BPE_K_BYTES token, or with BPE_F_FALLBACK one that names it, or with
 * BPE_F_CHARS there is an unknown token; 3 the parts and the result of a merge are
 * BPE_K_BYTES tokens, and text(result) = text(left) text(right); 4 an id without a token has no
 * text; one with a token has some, and added ones are valid UTF-8. */
#include "bpe_impl.h"
#include "unicode.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct bpe_head) == 64, "head is 64 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tables are read in place");

static int check_tokens(const struct bpe *b, const char *where, struct err *e)
{
    const struct bpe_head *h = b->head;
    if (b->off[0] != 0 || b->off[h->n_id] != h->n_byte)
        return err_set(e, ERR_DATA, "%s: token offsets: expected 0..%u, found %u..%u", where,
                       h->n_byte, b->off[0], b->off[h->n_id]);
    for (uint32_t i = 0; i < h->n_id; i++)
        if (b->off[i + 1] < b->off[i] || b->off[i + 1] > h->n_byte)
            return err_set(e, ERR_DATA, "%s: token %u: text ends at %u of %u, begins at %u", where,
                           i, b->off[i + 1], h->n_byte, b->off[i]);
    for (uint32_t i = 0; i < h->n_id; i++) {
        uint32_t n = b->off[i + 1] - b->off[i];
        int k = b->kind[i], one = (k & BPE_K_BYTES) != 0, two = (k & BPE_K_LITERAL) != 0;
        int byte = k == (BPE_K_BYTES | BPE_K_BYTE);
        if (byte ? !(h->flags & BPE_F_FALLBACK) || spm_byte(b->bytes + b->off[i], n) < 0
                 : k >= 128 || (k > 7 && !(k & BPE_K_ADDED)) || (k ? one + two != 1 : 0) ||
                       (k && !n) || (!k && n) || n > BPE_MAX_TOKEN)
            return err_set(e, ERR_DATA, "%s: token %u: kind %d with %u bytes", where, i, k, n);
        if ((k & BPE_K_ADDED) && unicode_bad_utf8(b->bytes + b->off[i], n) != n)
            return err_set(e, ERR_DATA, "%s: added token %u: invalid UTF-8", where, i);
    }
    if (h->unk > h->n_id || (h->unk && !b->kind[h->unk - 1]))
        return err_set(e, ERR_DATA, "%s: unknown token %u is not a token", where, h->unk - 1);
    if (h->bos < -1 || h->eos < -1 ||
        (h->bos >= 0 && ((uint32_t)h->bos >= h->n_id || !b->kind[h->bos])) ||
        (h->eos >= 0 && ((uint32_t)h->eos >= h->n_id || !b->kind[h->eos])))
        return err_set(e, ERR_DATA, "%s: bos %d or eos %d is not a token (ids below %u)", where,
                       h->bos, h->eos, h->n_id);
    return 0;
}

/* Whether t is a and c joined, of na and nc bytes. Most have few: eight bytes are compared at once,
 * and SLACK bytes follow the last text. */
static inline int joined(const char *t, const char *a, uint32_t na, const char *c, uint32_t nc)
{
    uint64_t w[4];
    if (na > 8 || nc > 8)
        return memcmp(t, a, na) == 0 && memcmp(t + na, c, nc) == 0;
    memcpy(w, t, 8);
    memcpy(w + 1, a, 8);
    memcpy(w + 2, t + na, 8);
    memcpy(w + 3, c, 8);
    return ((w[0] ^ w[1]) << (64 - 8 * na) | (w[2] ^ w[3]) << (64 - 8 * nc)) == 0;
}

static int check_merges(const struct bpe *b, const char *where, struct err *e)
{
    for (uint32_t r = 0; r < b->head->n_merge; r++) {
        const uint32_t *m = b->merge + 3 * (size_t)r;
        for (int k = 0; k < 3; k++)
            if (m[k] >= b->head->n_id ||
                (b->kind[m[k]] & (BPE_K_BYTES | BPE_K_BYTE)) != BPE_K_BYTES)
                return err_set(e, ERR_DATA, "%s: merge %u: id %u is not a vocabulary token", where,
                               r, m[k]);
        size_t na, nc, nt;
        const char *a = bpe_text(b, m[0], &na), *c = bpe_text(b, m[1], &nc),
                   *t = bpe_text(b, m[2], &nt);
        if (nt != na + nc || !joined(t, a, (uint32_t)na, c, (uint32_t)nc))
            return err_set(e, ERR_DATA, "%s: merge %u: token %u is not tokens %u and %u joined",
                           where, r, m[2], m[0], m[1]);
    }
    return 0;
}

struct sortable {
    const char *s;
    uint32_t n, id;
};

static int by_text(const void *x, const void *y)
{
    const struct sortable *a = x, *b = y;
    int c = memcmp(a->s, b->s, a->n < b->n ? a->n : b->n);
    return c ? c : a->n != b->n ? (a->n < b->n ? -1 : 1) : a->id < b->id ? -1 : 1;
}

static int is_added_as(int kind, int normalized, int special)
{
    return !(kind & BPE_K_NORMALIZED) == !normalized && (special || !(kind & BPE_K_SPECIAL));
}

/* From the n added tokens in order of text those that are sought in one way. */
static int pick_added(struct bpe *b, const struct sortable *v, uint32_t n, int normalized,
                      int special)
{
    struct bpe_added *a = &b->added[normalized][special];
    int n_first = 0;
    a->id = malloc((n + 1) * sizeof *a->id);
    if (!a->id)
        return ERR_NOMEM;
    a->only = -1;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)v[i].s[0];
        if (!is_added_as(b->kind[v[i].id], normalized, special))
            continue;
        a->id[a->n++] = v[i].id;
        n_first += !a->first[c];
        a->first[c] = 1;
        a->only = c;
    }
    if (n_first != 1)
        a->only = -1;
    return 0;
}

static int make_added(struct bpe *b)
{
    uint32_t n = 0, n_id = b->head->n_id;
    int rc = 0;
    for (uint32_t i = 0; i < n_id; i++)
        n += (b->kind[i] & BPE_K_ADDED) != 0;
    struct sortable *v = malloc((n + 1) * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    n = 0;
    for (uint32_t i = 0; i < n_id; i++)
        if (b->kind[i] & BPE_K_ADDED)
            v[n++] = (struct sortable){b->bytes + b->off[i], b->off[i + 1] - b->off[i], i};
    qsort(v, n, sizeof *v, by_text);
    for (int i = 0; i < 4; i++)
        rc |= pick_added(b, v, n, i >> 1, i & 1);
    free(v);
    return rc;
}

static int check_head(const struct bpe_head *h, size_t n, const char *where, struct err *e)
{
    if (n < sizeof *h || memcmp(h->magic, BPE_MAGIC, sizeof h->magic))
        return err_set(e, ERR_DATA, "%s: not tokenizer tables of version 1", where);
    const uint32_t chars = BPE_F_CHARS;
    if ((h->flags & chars ? h->pretok != 0 : !pretok_known(h->pretok) || h->flags > 7) ||
        h->flags > BPE_F_ALL)
        return err_set(e, ERR_DATA, "%s: unknown pre-tokenizer %u or flags %u", where, h->pretok,
                       h->flags);
    if (h->n_id < (h->flags & chars ? 1 : 256) || h->n_id > BPE_MAX_ID ||
        h->n_merge > BPE_MAX_MERGE)
        return err_set(e, ERR_DATA,
                       "%s: %u tokens and %u merges: expected 256 to %d, and at most %d", where,
                       h->n_id, h->n_merge, BPE_MAX_ID, BPE_MAX_MERGE);
    if (h->n_score != 0 && h->n_score != h->n_id)
        return err_set(e, ERR_DATA, "%s: %u scores of %u tokens", where, h->n_score, h->n_id);
    if (n != sizeof *h + 8 * (size_t)h->n_score + 4 * ((size_t)h->n_id + 1) +
                 12 * (size_t)h->n_merge + h->n_id + h->n_byte)
        return err_set(e, ERR_DATA,
                       "%s: %zu bytes of tables: not what %u tokens, %u merges and %u bytes need",
                       where, n, h->n_id, h->n_merge, h->n_byte);
    return 0;
}

static const size_t huge = 2 << 20;

/* in large pages where they are at least half used */
static size_t big_bytes(size_t n)
{
    const size_t page = n >= huge / 2 ? huge : 64;
    return (n + page - 1) / page * page;
}

void *bpe_big_alloc(size_t n)
{
    const size_t page = n >= huge / 2 ? huge : 64;
    n = big_bytes(n);
    void *p = aligned_alloc(page, n);
    if (p && page == huge)
        madvise(p, n, MADV_HUGEPAGE); /* a wish: without it all works, slower */
    return p;
}

enum { SLACK = 8 };

/* Bytes of all that place() allocates in one. */
static size_t placed(const struct bpe_head *h, size_t n)
{
    return (n + SLACK + 63) / 64 * 64 + bpe_buckets(h->n_merge) * sizeof(struct bpe_bucket) +
           65536 * sizeof(struct bpe_merge);
}

static size_t memory(const struct bpe_head *h, size_t n)
{
    size_t cap = 16;
    while (cap < (size_t)h->n_id + h->n_id / 2) /* as bpe_index_new */
        cap *= 2;
    return big_bytes(placed(h, n)) + cap * sizeof(uint32_t) + big_bytes(bpe_scratch_bytes());
}

size_t bpe_tables_memory(const void *p, size_t n)
{
    struct err e = {0};
    return check_head(p, n, "", &e) < 0 ? 0 : memory(p, n);
}

size_t bpe_guess_memory(int n_vocab)
{
    enum { TEXT = 8 }; /* bytes of a token; and about as many merges as tokens */
    const struct bpe_head h = {.n_id = (uint32_t)n_vocab, .n_merge = (uint32_t)n_vocab};
    return memory(&h, sizeof h + (size_t)n_vocab * (4 + 12 + 1 + TEXT));
}

/* Memory for all, with the tables copied into it; they are not checked yet. */
static int place(struct bpe *b, const void *tables, size_t n)
{
    const struct bpe_head *h = tables;
    size_t at = (n + SLACK + 63) / 64 * 64;
    uint32_t n_bucket = bpe_buckets(h->n_merge);
    char *p = bpe_big_alloc(placed(h, n));
    if (!p)
        return ERR_NOMEM;
    memcpy(p, tables, n);
    memset(p + n, 0, at - n);
    b->head = (struct bpe_head *)p;
    b->size = n;
    b->off = (const uint32_t *)(b->head + 1);
    b->merge = b->off + h->n_id + 1;
    b->kind = (const uint8_t *)(b->merge + 3 * (size_t)h->n_merge);
    b->bytes = (const char *)b->kind + h->n_id;
    b->score = b->bytes + h->n_byte;
    b->pair = (struct bpe_bucket *)(p + at);
    b->pair_mask = n_bucket - 1;
    b->pair_shift = __builtin_clz(n_bucket) + 33;
    b->two = (struct bpe_merge *)(b->pair + n_bucket);
    b->pool = calloc(1, sizeof *b->pool);
    if (!b->pool || bpe_index_new(&b->pool->index, h->n_id))
        return ERR_NOMEM;
    pthread_mutex_init(&b->pool->lock, NULL);
    return 0;
}

/* The lowest id of each byte. */
static int find_bytes(struct bpe *b, const char *where, struct err *e)
{
    memset(b->byte_id, 0xFF, sizeof b->byte_id);
    if (b->head->flags & BPE_F_CHARS)
        return 0; /* spm_attach does */
    for (uint32_t id = b->head->n_id; id--;)
        if ((b->kind[id] & BPE_K_BYTES) && b->off[id + 1] - b->off[id] == 1)
            b->byte_id[(uint8_t)b->bytes[b->off[id]]] = (int32_t)id;
    for (int i = 0; i < 256; i++)
        if (b->byte_id[i] < 0)
            return err_set(e, ERR_DATA, "%s: no token for byte 0x%02x", where, i);
    return 0;
}

int bpe_load_tables(struct bpe **out, const void *p, size_t n, const char *where, struct err *e)
{
    struct bpe *b;
    int rc = check_head(p, n, where, e);
    *out = NULL;
    if (rc)
        return rc;
    if (!(b = calloc(1, sizeof *b)) || place(b, p, n)) {
        bpe_free(b);
        return err_set(e, ERR_NOMEM, "%s: out of memory for %zu bytes of tokenizer tables", where,
                       n);
    }
    if ((rc = check_tokens(b, where, e)) || (rc = find_bytes(b, where, e)) ||
        (rc = check_merges(b, where, e)))
        goto fail;
    if ((b->head->flags & BPE_F_CHARS) && (rc = spm_attach(b, where, e)))
        goto fail;
    bpe_pairs_fill(b);
    if (make_added(b)) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", where);
        goto fail;
    }
    *out = b;
    return 0;
fail:
    bpe_free(b);
    return rc;
}

void bpe_free(struct bpe *b)
{
    if (!b)
        return;
    for (int i = 0; i < 4; i++)
        free(b->added[i >> 1][i & 1].id);
    if (b->pool) {
        for (size_t i = 0; i < sizeof b->pool->idle / sizeof *b->pool->idle; i++)
            bpe_scratch_free(b->pool->idle[i]);
        free(b->pool->index.slot);
        free(b->pool);
    }
    spm_free(b->spm);
    free(b->head);
    free(b);
}

int bpe_save_tables(const struct bpe *b, void **p, size_t *n, struct err *e)
{
    *p = malloc(b->size);
    *n = b->size;
    if (!*p)
        return err_set(e, ERR_NOMEM, "out of memory for tokenizer tables");
    memcpy(*p, b->head, b->size);
    return 0;
}
