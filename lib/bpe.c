/* bpe - text to ids and back: added tokens, NFC, words, merges by rank
 *
 * encode: the text is split at added tokens (leftmost, then longest), the pieces between are
 * normalized, cut into words (pretok.c), and each word's bytes are merged (bpe_words.c). */
#include "bpe_impl.h"
#include "unicode.h"
#include <stdlib.h>
#include <string.h>

struct enc {
    const struct bpe *b;
    struct bpe_scratch *scratch;
    int special;
    int first;         /* whether the piece in work begins the text */
    const char *begin; /* of the text; of the piece in work, normalized */
    const char *piece;
    struct bpe_ids id;
};

int bpe_ids_room(struct bpe_ids *x, size_t k)
{
    if (x->cap - x->n >= k)
        return 0;
    size_t cap = x->cap + x->cap / 2 + k + 64;
    int32_t *p = realloc(x->v, cap * sizeof *p);
    if (!p)
        return ERR_NOMEM;
    x->v = p;
    x->cap = cap;
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

static int pieces(struct enc *x, const char *s, size_t n, int normalized);

/* A text without added tokens, normalized, to words. */
static int words(struct enc *x, const char *s, size_t n)
{
    uint32_t f = x->b->head->flags;
    size_t m;
    if (!(f & BPE_F_META))
        return bpe_words(x->b, x->scratch, s, n, &x->id);
    int front = !(f & BPE_F_META_NEVER) && *s != ' ' && !(n >= 3 && memcmp(s, SPM_SPACE, 3) == 0) &&
                (!(f & BPE_F_META_FIRST) || (x->first && s == x->piece));
    char *t = spm_spaces(s, n, front, &m);
    int rc = t ? bpe_words(x->b, x->scratch, t, m, &x->id) : ERR_NOMEM;
    free(t);
    return rc;
}

static int gap(struct enc *x, const char *s, size_t n, int normalized)
{
    uint32_t f = x->b->head->flags;
    char *nfc = NULL, *spaced = NULL;
    int rc;
    if (n == 0)
        return 0;
    if (normalized)
        return words(x, s, n);
    x->first = s == x->begin;
    if (f & BPE_F_NFC) {
        size_t m;
        if (unicode_nfc(s, n, &nfc, &m))
            return ERR_NOMEM;
        n = nfc ? m : n;
        s = nfc ? nfc : s;
    }
    if (f & (BPE_F_PREPEND | BPE_F_SPACES)) {
        s = spaced = spm_spaces(s, n, (f & BPE_F_PREPEND) != 0, &n);
        if (!s) {
            free(nfc);
            return ERR_NOMEM;
        }
    }
    x->piece = s;
    rc = pieces(x, s, n, 1);
    free(nfc);
    free(spaced);
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
        if (gap(x, s + done, at - done, normalized) || bpe_ids_room(&x->id, 1))
            return ERR_NOMEM;
        x->id.v[x->id.n++] = id;
        done = end;
    }
    return gap(x, s + done, n - done, normalized);
}

static struct bpe_scratch *scratch_take(struct bpe_pool *p)
{
    for (size_t i = 0; i < sizeof p->idle / sizeof *p->idle; i++) {
        struct bpe_scratch *w = atomic_exchange(&p->idle[i], NULL);
        if (w)
            return w;
    }
    return bpe_scratch_new();
}

static void scratch_give(struct bpe_pool *p, struct bpe_scratch *w)
{
    for (size_t i = 0; i < sizeof p->idle / sizeof *p->idle; i++) {
        struct bpe_scratch *empty = NULL;
        if (atomic_compare_exchange_strong(&p->idle[i], &empty, w))
            return;
    }
    bpe_scratch_free(w);
}

long bpe_encode_at(const struct bpe *b, const char *text, size_t from, size_t n, int flags,
                   int32_t **ids, struct err *e)
{
    struct enc x = {.b = b, .special = (flags & BPE_SPECIAL) != 0, .begin = text};
    const char *s = text + from;
    size_t bad = unicode_bad_utf8(s, n);
    int rc = 0;
    *ids = NULL;
    if (bad < n)
        return err_set(e, ERR_DATA, "invalid UTF-8 at byte %zu (0x%02x)", from + bad,
                       (uint8_t)s[bad]);
    /* code has an id in four bytes: the ids are hardly ever moved */
    if (!(x.scratch = scratch_take(b->pool)) || bpe_ids_room(&x.id, n < 4096 ? n / 2 + 64 : n / 3))
        rc = ERR_NOMEM;
    if (!rc && from == 0 && (flags & BPE_BOS) && (b->head->flags & BPE_F_ADD_BOS) &&
        b->head->bos >= 0)
        x.id.v[x.id.n++] = b->head->bos;
    if (!rc)
        rc = pieces(&x, s, n, 0);
    if (x.scratch)
        scratch_give(b->pool, x.scratch);
    if (rc) {
        free(x.id.v);
        return err_set(e, ERR_NOMEM, "out of memory for the tokens of %zu bytes", n);
    }
    *ids = x.id.v;
    return (long)x.id.n;
}

int bpe_wants_whole(const struct bpe *b)
{
    return (b->head->flags & (BPE_F_PREPEND | BPE_F_SPACES | BPE_F_META)) != 0;
}

long bpe_encode(const struct bpe *b, const char *text, size_t n, int flags, int32_t **ids,
                struct err *e)
{
    return bpe_encode_at(b, text, 0, n, flags, ids, e);
}

/* ---- ids to text, and questions ---- */

const char *bpe_token(const struct bpe *b, int32_t id, size_t *n)
{
    if (id < 0 || (uint32_t)id >= b->head->n_id || !b->kind[id])
        return NULL;
    return b->spm ? spm_text(b, (uint32_t)id, n) : bpe_text(b, (uint32_t)id, n);
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
    if ((b->head->flags & BPE_F_STRIP) && total && *s == ' ')
        memmove(s, s + 1, --total);
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
    return n ? bpe_find(b, token, n) : -1;
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
