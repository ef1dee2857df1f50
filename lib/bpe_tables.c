/* bpe_tables - the tokenizer's binary tables: layout, checks, hashes; and how loaders build them
 *
 * Layout, little-endian, no padding:
 *      0  char     magic[8]           "APRBPE1\n"
 *      8  u32      pretok             enum pretok
 *     12  u32      flags              BPE_F_*
 *     16  u32      n_id               highest id with a token, plus 1
 *     20  u32      n_merge
 *     24  u32      n_byte
 *     28  i32      bos, eos           -1 = none
 *     36  u32      reserved[7]        zero
 *     64  u32      off[n_id + 1]      text of id i: bytes[off[i]] .. bytes[off[i + 1]]
 *         u32      merge[n_merge][3]  left, right, result, in order of rank
 *         u8       kind[n_id]         BPE_K_*
 *         u8       bytes[n_byte]
 *
 * What bpe_attach checks, so that no table can make the encoder write a wrong text or leave its
 * arrays: 1 the sections fill the blob exactly; off begins at 0, never falls, ends at n_byte; 2
 * each of the 256 bytes is a BPE_K_BYTES token; 3 the parts and the result of a merge are
 * BPE_K_BYTES tokens, and text(result) = text(left) text(right); 4 an id without a token has no
 * text; one with a token has some, and added ones are valid UTF-8. */
#include "bpe_impl.h"
#include "mapfile.h"
#include "unicode.h"
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "APRBPE1\n";
enum { MAX_ID = 1 << 22, MAX_TOKEN = 1 << 16, MAX_MERGE = 1 << 23 };
_Static_assert(sizeof(struct bpe_head) == 64, "head is 64 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tables are read in place");

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

static uint32_t pow2_above(size_t n)
{
    uint32_t p = 16;
    while (p < n)
        p *= 2;
    return p;
}

int32_t bpe_find(const struct bpe_index *x, const uint32_t *off, const char *bytes, const char *s,
                 size_t n)
{
    for (uint32_t h = (uint32_t)bpe_hash(s, n) & x->mask; x->slot[h]; h = (h + 1) & x->mask) {
        uint32_t id = x->slot[h] - 1;
        if (off[id + 1] - off[id] == n && memcmp(bytes + off[id], s, n) == 0)
            return (int32_t)id;
    }
    return -1;
}

/* Of several ids with one text the lowest is found; *dup is then the last such id, else n_id. */
int bpe_index_make(struct bpe_index *x, const uint32_t *off, const char *bytes, const uint8_t *kind,
                   uint32_t n_id, uint32_t *dup)
{
    uint32_t cap = pow2_above((size_t)n_id + n_id / 2);
    *dup = n_id;
    x->mask = cap - 1;
    x->slot = calloc(cap, sizeof *x->slot);
    if (!x->slot)
        return ERR_NOMEM;
    for (uint32_t id = 0; id < n_id; id++) {
        if (!(kind[id] & BPE_K_BYTES))
            continue;
        const char *s = bytes + off[id];
        uint32_t n = off[id + 1] - off[id], h = (uint32_t)bpe_hash(s, n) & x->mask;
        for (; x->slot[h]; h = (h + 1) & x->mask) {
            uint32_t other = x->slot[h] - 1;
            if (off[other + 1] - off[other] == n && memcmp(bytes + off[other], s, n) == 0)
                break;
        }
        if (x->slot[h])
            *dup = id;
        else
            x->slot[h] = id + 1;
    }
    return 0;
}

/* ---- attach ---- */

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
        if (k >= 128 || (k ? one + two != 1 : 0) || (k > 7 && !(k & BPE_K_ADDED)) || (k && !n) ||
            (!k && n) || n > MAX_TOKEN)
            return err_set(e, ERR_DATA, "%s: token %u: kind %d with %u bytes", where, i, k, n);
        if ((k & BPE_K_ADDED) && unicode_bad_utf8(b->bytes + b->off[i], n) != n)
            return err_set(e, ERR_DATA, "%s: added token %u: invalid UTF-8", where, i);
    }
    if (h->bos < -1 || h->eos < -1 ||
        (h->bos >= 0 && ((uint32_t)h->bos >= h->n_id || !b->kind[h->bos])) ||
        (h->eos >= 0 && ((uint32_t)h->eos >= h->n_id || !b->kind[h->eos])))
        return err_set(e, ERR_DATA, "%s: bos %d or eos %d is not a token (ids below %u)", where,
                       h->bos, h->eos, h->n_id);
    return 0;
}

static int make_pairs(struct bpe *b, const char *where, struct err *e)
{
    uint32_t n = b->head->n_merge, cap = pow2_above((size_t)n + n / 2);
    b->pair = malloc(cap * sizeof *b->pair);
    if (!b->pair)
        return err_set(e, ERR_NOMEM, "%s: out of memory", where);
    memset(b->pair, 0xFF, cap * sizeof *b->pair);
    b->pair_mask = cap - 1;
    for (uint32_t r = 0; r < n; r++) {
        const uint32_t *m = b->merge + 3 * (size_t)r;
        for (int k = 0; k < 3; k++)
            if (m[k] >= b->head->n_id || !(b->kind[m[k]] & BPE_K_BYTES))
                return err_set(e, ERR_DATA, "%s: merge %u: id %u is not a vocabulary token", where,
                               r, m[k]);
        uint32_t na = b->off[m[0] + 1] - b->off[m[0]], nb = b->off[m[1] + 1] - b->off[m[1]];
        const char *t = b->bytes + b->off[m[2]];
        if (b->off[m[2] + 1] - b->off[m[2]] != na + nb || memcmp(t, b->bytes + b->off[m[0]], na) ||
            memcmp(t + na, b->bytes + b->off[m[1]], nb))
            return err_set(e, ERR_DATA, "%s: merge %u: token %u is not tokens %u and %u joined",
                           where, r, m[2], m[0], m[1]);
        uint32_t i = bpe_pair_hash(m[0], m[1]) & b->pair_mask;
        while (b->pair[i].rank != BPE_NO_RANK &&
               (b->pair[i].left != m[0] || b->pair[i].right != m[1]))
            i = (i + 1) & b->pair_mask;
        b->pair[i] =
            (struct bpe_pair){m[0], m[1], r, m[2]}; /* of a repeated merge the last rank holds */
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

static int make_added(struct bpe *b, int normalized, int special)
{
    struct bpe_added *a = &b->added[normalized][special];
    uint32_t n = 0, n_id = b->head->n_id;
    int n_first = 0;
    for (uint32_t i = 0; i < n_id; i++)
        n += (b->kind[i] & BPE_K_ADDED) != 0;
    struct sortable *v = malloc((n + 1) * sizeof *v);
    a->id = malloc((n + 1) * sizeof *a->id);
    if (!v || !a->id) {
        free(v);
        return ERR_NOMEM;
    }
    n = 0;
    for (uint32_t i = 0; i < n_id; i++) {
        int k = b->kind[i];
        if ((k & BPE_K_ADDED) && !(k & BPE_K_NORMALIZED) == !normalized &&
            (special || !(k & BPE_K_SPECIAL)))
            v[n++] = (struct sortable){b->bytes + b->off[i], b->off[i + 1] - b->off[i], i};
    }
    qsort(v, n, sizeof *v, by_text);
    a->only = -1;
    for (uint32_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)v[i].s[0];
        a->id[i] = v[i].id;
        n_first += !a->first[c];
        a->first[c] = 1;
        a->only = c;
    }
    if (n_first != 1)
        a->only = -1;
    a->n = (int)n;
    free(v);
    return 0;
}

int bpe_attach(struct bpe **out, void *tables, size_t n, const char *where, struct err *e)
{
    struct bpe *b = calloc(1, sizeof *b);
    struct bpe_head *h = tables;
    uint32_t dup;
    int rc = 0;
    *out = NULL;
    if (!b) {
        free(tables);
        return err_set(e, ERR_NOMEM, "%s: out of memory", where);
    }
    b->head = h;
    b->size = n;
    if (n < sizeof *h || memcmp(h->magic, magic, sizeof magic))
        rc = err_set(e, ERR_DATA, "%s: not tokenizer tables of version 1", where);
    else if (h->pretok < 1 || h->pretok >= PRETOK_END || h->flags > 7)
        rc = err_set(e, ERR_DATA, "%s: unknown pre-tokenizer %u or flags %u", where, h->pretok,
                     h->flags);
    else if (h->n_id < 256 || h->n_id > MAX_ID || h->n_merge > MAX_MERGE)
        rc = err_set(e, ERR_DATA, "%s: %u tokens and %u merges: expected 256 to %d, and at most %d",
                     where, h->n_id, h->n_merge, MAX_ID, MAX_MERGE);
    else if (n !=
             sizeof *h + 4 * ((size_t)h->n_id + 1) + 12 * (size_t)h->n_merge + h->n_id + h->n_byte)
        rc = err_set(e, ERR_DATA,
                     "%s: %zu bytes of tables: not what %u tokens, %u merges and %u bytes need",
                     where, n, h->n_id, h->n_merge, h->n_byte);
    if (rc)
        goto fail;
    b->off = (const uint32_t *)(h + 1);
    b->merge = b->off + h->n_id + 1;
    b->kind = (const uint8_t *)(b->merge + 3 * (size_t)h->n_merge);
    b->bytes = (const char *)b->kind + h->n_id;
    if ((rc = check_tokens(b, where, e)))
        goto fail;
    if (bpe_index_make(&b->index, b->off, b->bytes, b->kind, h->n_id, &dup)) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", where);
        goto fail;
    }
    for (int i = 0; i < 256; i++) {
        char c = (char)i;
        b->byte_id[i] = bpe_find(&b->index, b->off, b->bytes, &c, 1);
        if (b->byte_id[i] < 0) {
            rc = err_set(e, ERR_DATA, "%s: no token for byte 0x%02x", where, i);
            goto fail;
        }
    }
    if ((rc = make_pairs(b, where, e)))
        goto fail;
    for (int i = 0; i < 4; i++)
        if (make_added(b, i >> 1, i & 1)) {
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
    free(b->index.slot);
    free(b->pair);
    free(b->head);
    free(b);
}

int bpe_load_tables(struct bpe **b, const void *p, size_t n, const char *where, struct err *e)
{
    void *copy = malloc(n ? n : 1);
    *b = NULL;
    if (!copy)
        return err_set(e, ERR_NOMEM, "%s: out of memory for %zu bytes of tokenizer tables", where,
                       n);
    if (n)
        memcpy(copy, p, n);
    return bpe_attach(b, copy, n, where, e);
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

/* ---- build ---- */

long bpe_unmap(const char *str, size_t n, char *out)
{
    const uint8_t *s = (const uint8_t *)str;
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned c = s[i];
        if (c >= 0x80) {
            if (c < 0xC2 || c > 0xC5 || i + 1 == n)
                return -1; /* the alphabet ends at U+0143 */
            c = (c & 31) << 6 | (s[++i] & 63);
        }
        /* bytes 33-126, 161-172 and 174-255 stand for themselves; the other 68, in increasing
         * order, are U+0100 + k */
        if ((c > 32 && c < 127) || (c > 160 && c < 256 && c != 173))
            out[m++] = (char)c;
        else if (c >= 256 && c < 256 + 33)
            out[m++] = (char)(c - 256);
        else if (c >= 256 + 33 && c < 256 + 67)
            out[m++] = (char)(c - 256 - 33 + 127);
        else if (c == 256 + 67)
            out[m++] = (char)173;
        else
            return -1;
    }
    return (long)m;
}

size_t bpe_map(const char *s, size_t n, char *out)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned b = (uint8_t)s[i], c = b;
        if (b <= 32)
            c = 256 + b;
        else if (b >= 127 && b <= 160)
            c = 256 + 33 + b - 127;
        else if (b == 173)
            c = 256 + 67;
        if (c < 0x80)
            out[m++] = (char)c;
        else {
            out[m++] = (char)(0xC0 | c >> 6);
            out[m++] = (char)(0x80 | (c & 63));
        }
    }
    return m;
}

size_t bpe_merge_text(const struct bpe *b, uint32_t r, char *out)
{
    const uint32_t *m = b->merge + 3 * (size_t)r;
    size_t n, k;
    const char *s = bpe_text(b, m[0], &n);
    k = bpe_map(s, n, out);
    out[k++] = ' ';
    s = bpe_text(b, m[1], &n);
    return k + bpe_map(s, n, out + k);
}

size_t bpe_room(const struct bpe *b)
{
    size_t most = 0, n;
    for (uint32_t i = 0; i < b->head->n_id; i++) {
        bpe_text(b, i, &n);
        most = n > most ? n : most;
    }
    return 4 * most + 2; /* two texts, a byte as two, and the space between */
}

static int grow(void *pp, size_t *cap, size_t need, size_t size)
{
    size_t c = *cap, bytes;
    void **p = pp;
    if (need <= c)
        return 0;
    c = need + need / 2 + 1024;
    if (!size_mul(c, size, &bytes))
        return ERR_NOMEM;
    void *q = realloc(*p, bytes);
    if (!q)
        return ERR_NOMEM;
    *p = q;
    *cap = c;
    return 0;
}

int bpe_build_token(struct bpe_build *w, long id, const char *s, size_t n, int kind, struct err *e)
{
    if (id < 0 || id >= MAX_ID)
        return err_set(e, ERR_DATA, "%s: token id %ld: expected 0 to %d", w->where, id, MAX_ID - 1);
    if (n == 0 || n > MAX_TOKEN)
        return err_set(e, ERR_DATA, "%s: token %ld has %zu bytes: expected 1 to %d", w->where, id,
                       n, MAX_TOKEN);
    if ((uint32_t)id >= w->cap_tok) {
        size_t cap = w->cap_tok, old = cap;
        if (grow(&w->tok, &cap, (size_t)id + 1, sizeof *w->tok))
            return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
        memset(w->tok + old, 0, (cap - old) * sizeof *w->tok);
        w->cap_tok = (uint32_t)cap;
    }
    struct bpe_build_tok *t = &w->tok[id];
    if (t->kind) {
        if (!(kind & BPE_K_ADDED) || (t->kind & BPE_K_ADDED))
            return err_set(e, ERR_DATA, "%s: two tokens have id %ld", w->where, id);
        if (t->len == n && memcmp(w->buf + t->off, s, n) == 0) {
            t->kind = (uint8_t)((t->kind & BPE_K_BYTES ? kind & ~BPE_K_LITERAL : kind) |
                                (t->kind & BPE_K_BYTES));
            return 0;
        }
        if (t->kind & BPE_K_BYTES)
            return err_set(e, ERR_DATA, "%s: added token %ld differs from the vocabulary's",
                           w->where, id);
    }
    if (grow(&w->buf, &w->cap_buf, w->n_buf + n, 1))
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    memcpy(w->buf + w->n_buf, s, n);
    *t = (struct bpe_build_tok){w->n_buf, (uint32_t)n, (uint8_t)kind};
    w->n_buf += n;
    if ((uint32_t)id >= w->head.n_id)
        w->head.n_id = (uint32_t)id + 1;
    return 0;
}

int bpe_build_tokens(struct bpe_build *w, struct err *e)
{
    uint32_t n = w->head.n_id, at = 0, dup;
    w->off = malloc(((size_t)n + 1) * sizeof *w->off);
    w->kind = malloc((size_t)n + 1);
    w->bytes = malloc(w->n_buf + 1);
    if (!w->off || !w->kind || !w->bytes)
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    if (w->n_buf > UINT32_MAX / 2)
        return err_set(e, ERR_DATA, "%s: %zu bytes of tokens", w->where, w->n_buf);
    for (uint32_t i = 0; i < n; i++) {
        w->off[i] = at;
        w->kind[i] = w->tok[i].kind;
        if (w->tok[i].kind) {
            memcpy(w->bytes + at, w->buf + w->tok[i].off, w->tok[i].len);
            at += w->tok[i].len;
        }
    }
    w->off[n] = w->head.n_byte = at;
    if (bpe_index_make(&w->index, w->off, w->bytes, w->kind, n, &dup))
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    if (dup < n)
        return err_set(e, ERR_DATA, "%s: token %u repeats token %d", w->where, dup,
                       bpe_find(&w->index, w->off, w->bytes, w->bytes + w->off[dup],
                                w->off[dup + 1] - w->off[dup]));
    return 0;
}

int bpe_build_merge(struct bpe_build *w, const char *a, size_t na, const char *b, size_t nb,
                    struct err *e)
{
    char ra[MAX_TOKEN], rb[MAX_TOKEN];
    if (w->head.n_merge >= MAX_MERGE)
        return err_set(e, ERR_DATA, "%s: more than %d merges", w->where, MAX_MERGE);
    if (na > sizeof ra || nb > sizeof rb)
        return err_set(e, ERR_DATA, "%s: merge %u: a part has %zu bytes", w->where, w->head.n_merge,
                       na > nb ? na : nb);
    long ma = bpe_unmap(a, na, ra), mb = bpe_unmap(b, nb, rb);
    int32_t ia = -1, ib = -1, ir = -1;
    if (ma > 0 && mb > 0 && ma + mb <= MAX_TOKEN) {
        ia = bpe_find(&w->index, w->off, w->bytes, ra, (size_t)ma);
        ib = bpe_find(&w->index, w->off, w->bytes, rb, (size_t)mb);
        memcpy(ra + ma, rb, (size_t)mb);
        ir = bpe_find(&w->index, w->off, w->bytes, ra, (size_t)(ma + mb));
    }
    if (ia < 0 || ib < 0 || ir < 0)
        return err_set(e, ERR_DATA,
                       "%s: merge %u: \"%.*s\" and \"%.*s\": %s is not in the vocabulary", w->where,
                       w->head.n_merge, (int)(na < 60 ? na : 60), a, (int)(nb < 60 ? nb : 60), b,
                       ia < 0   ? "the first"
                       : ib < 0 ? "the second"
                                : "their join");
    if (grow(&w->merge, &w->cap_merge, 3 * ((size_t)w->head.n_merge + 1), sizeof *w->merge))
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    uint32_t *m = w->merge + 3 * (size_t)w->head.n_merge++;
    m[0] = (uint32_t)ia;
    m[1] = (uint32_t)ib;
    m[2] = (uint32_t)ir;
    return 0;
}

int bpe_build_attach(struct bpe_build *w, struct bpe **b, struct err *e)
{
    const struct bpe_head *h = &w->head;
    size_t n_off = 4 * ((size_t)h->n_id + 1), n_merge = 12 * (size_t)h->n_merge;
    size_t n = sizeof *h + n_off + n_merge + h->n_id + h->n_byte;
    char *p = malloc(n), *q = p;
    *b = NULL;
    if (!p)
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    memcpy(w->head.magic, magic, sizeof magic);
    memcpy(q, h, sizeof *h);
    memcpy(q += sizeof *h, w->off, n_off);
    q += n_off;
    if (n_merge)
        memcpy(q, w->merge, n_merge);
    memcpy(q += n_merge, w->kind, h->n_id);
    memcpy(q + h->n_id, w->bytes, h->n_byte);
    return bpe_attach(b, p, n, w->where, e);
}

void bpe_build_free(struct bpe_build *w)
{
    free(w->tok);
    free(w->buf);
    free(w->off);
    free(w->kind);
    free(w->bytes);
    free(w->index.slot);
    free(w->merge);
    memset(w, 0, sizeof *w);
}
