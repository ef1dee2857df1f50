/* bpe_build - tokenizer tables from tokens and merges, as tokenizer.json and GGUF name them */
#include "bpe_impl.h"
#include "mapfile.h"
#include <stdlib.h>
#include <string.h>

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

static size_t mapped(const struct bpe *b, uint32_t id, char *out)
{
    size_t n;
    const char *s = bpe_text(b, id, &n);
    if (!(b->head->flags & BPE_F_CHARS))
        return bpe_map(s, n, out);
    memcpy(out, s, n);
    return n;
}

size_t bpe_merge_text(const struct bpe *b, uint32_t r, char *out)
{
    const uint32_t *m = b->merge + 3 * (size_t)r;
    size_t k = mapped(b, m[0], out);
    out[k++] = ' ';
    return k + mapped(b, m[1], out + k);
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
    if (id < 0 || id >= BPE_MAX_ID)
        return err_set(e, ERR_DATA, "%s: token id %ld: expected 0 to %d", w->where, id,
                       BPE_MAX_ID - 1);
    if (n == 0 || n > BPE_MAX_TOKEN)
        return err_set(e, ERR_DATA, "%s: token %ld has %zu bytes: expected 1 to %d", w->where, id,
                       n, BPE_MAX_TOKEN);
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
    if (bpe_index_new(&w->index, n))
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    dup = bpe_index_fill(&w->index, w->off, w->bytes, w->kind, n);
    if (dup < n)
        return err_set(e, ERR_DATA, "%s: token %u repeats token %d", w->where, dup,
                       bpe_index_find(&w->index, w->off, w->bytes, w->bytes + w->off[dup],
                                      w->off[dup + 1] - w->off[dup]));
    return 0;
}

static long unmapped(const struct bpe_build *w, const char *s, size_t n, char *out)
{
    if (!(w->head.flags & BPE_F_CHARS))
        return bpe_unmap(s, n, out);
    memcpy(out, s, n);
    return (long)n;
}

int bpe_build_merge(struct bpe_build *w, const char *a, size_t na, const char *b, size_t nb,
                    struct err *e)
{
    char ra[BPE_MAX_TOKEN], rb[BPE_MAX_TOKEN];
    if (w->head.n_merge >= BPE_MAX_MERGE)
        return err_set(e, ERR_DATA, "%s: more than %d merges", w->where, BPE_MAX_MERGE);
    if (na > sizeof ra || nb > sizeof rb)
        return err_set(e, ERR_DATA, "%s: merge %u: a part has %zu bytes", w->where, w->head.n_merge,
                       na > nb ? na : nb);
    long ma = unmapped(w, a, na, ra), mb = unmapped(w, b, nb, rb);
    int32_t ia = -1, ib = -1, ir = -1;
    if (ma > 0 && mb > 0 && ma + mb <= BPE_MAX_TOKEN) {
        ia = bpe_index_find(&w->index, w->off, w->bytes, ra, (size_t)ma);
        ib = bpe_index_find(&w->index, w->off, w->bytes, rb, (size_t)mb);
        memcpy(ra + ma, rb, (size_t)mb);
        ir = bpe_index_find(&w->index, w->off, w->bytes, ra, (size_t)(ma + mb));
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
    w->head.n_score = w->score && w->n_score == h->n_id ? w->n_score : 0;
    size_t n_score = 8 * (size_t)h->n_score;
    size_t n = sizeof *h + n_off + n_merge + h->n_id + h->n_byte + n_score;
    char *p = malloc(n), *q = p;
    *b = NULL;
    if (!p)
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    memcpy(w->head.magic, BPE_MAGIC, sizeof w->head.magic);
    memcpy(q, h, sizeof *h);
    memcpy(q += sizeof *h, w->off, n_off);
    q += n_off;
    if (n_merge)
        memcpy(q, w->merge, n_merge);
    memcpy(q += n_merge, w->kind, h->n_id);
    memcpy(q + h->n_id, w->bytes, h->n_byte);
    if (n_score)
        memcpy(q + h->n_id + h->n_byte, w->score, n_score);
    int rc = bpe_load_tables(b, p, n, w->where, e);
    free(p);
    return rc;
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
    free(w->score);
    memset(w, 0, sizeof *w);
}
