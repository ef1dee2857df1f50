/* spm - SentencePiece's ways: words of characters, byte fallback, unigram, merges from scores
 *
 * BPE here has no words: the whole text is merged at once.  No merge reaches across two characters that
 * stand side by side in no token, so a text is cut there, and the parts are remembered like words
 * (bpe_words.c).  Which pairs of characters do is a table of bits by hash; a false hit only misses a
 * cut. */
#include "bpe_impl.h"
#include "unicode.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PAIR_BITS = 20 };
struct spm {
    uint8_t pair[(1 << PAIR_BITS) / 8];
    int cut;        /* whether texts may be cut at other pairs */
    size_t longest; /* text of a token */
    double unknown; /* score of an unknown character in a unigram */
    uint32_t *off;  /* texts as decoding gives them */
    char *bytes;
};

static uint32_t hash_of(uint32_t a, uint32_t b)
{
    return (a * 0x9E3779B1u ^ b * 0x85EBCA6Bu) * 0xC2B2AE35u >> (32 - PAIR_BITS);
}

int spm_byte(const char *s, size_t n)
{
    static const char hex[] = "0123456789ABCDEF";
    const char *a, *b;
    if (n != 6 || memcmp(s, "<0x", 3) || s[5] != '>' || !s[3] || !s[4] ||
        !(a = strchr(hex, s[3])) || !(b = strchr(hex, s[4])))
        return -1;
    return (int)(a - hex) << 4 | (int)(b - hex);
}

double spm_score(const struct bpe *b, uint32_t id)
{
    double v;
    memcpy(&v, b->score + 8 * (size_t)id, sizeof v);
    return v;
}

const char *spm_text(const struct bpe *b, uint32_t id, size_t *n)
{
    *n = b->spm->off[id + 1] - b->spm->off[id];
    return b->spm->bytes + b->spm->off[id];
}

/* Texts as decoding gives them: a space for each U+2581, the byte that a token names. */
static void decoded(struct bpe *b)
{
    struct spm *m = b->spm;
    uint32_t at = 0;
    for (uint32_t id = 0; id < b->head->n_id; id++) {
        size_t n;
        const char *s = bpe_text(b, id, &n);
        m->off[id] = at;
        if (b->kind[id] & BPE_K_BYTE && !(b->kind[id] & BPE_K_ADDED)) {
            m->bytes[at++] = (char)spm_byte(s, n);
            continue;
        }
        for (size_t i = 0; i < n;) {
            int mark = n - i >= 3 && memcmp(s + i, SPM_SPACE, 3) == 0;
            m->bytes[at++] = mark ? ' ' : s[i];
            i += mark ? 3 : 1;
        }
    }
    m->off[b->head->n_id] = at;
}

static void pairs(struct bpe *b)
{
    struct spm *m = b->spm;
    for (uint32_t id = 0; id < b->head->n_id; id++) {
        size_t n;
        const uint8_t *s = (const uint8_t *)bpe_text(b, id, &n);
        unsigned len;
        if (!(b->kind[id] & BPE_K_BYTES) || !n || unicode_bad_utf8((const char *)s, n) < n)
            continue;
        uint32_t before = unicode_code(s, &len);
        for (size_t i = len; i < n; i += len) {
            uint32_t c = unicode_code(s + i, &len), h = hash_of(before, c);
            m->pair[h >> 3] |= (uint8_t)(1 << (h & 7));
            before = c;
        }
    }
}

/* The token of one character, -1. */
static int32_t char_id(const struct bpe *b, const uint8_t *s, size_t n)
{
    int32_t id = bpe_find(b, (const char *)s, n);
    return id >= 0 && b->kind[id] == (BPE_K_BYTES | BPE_K_BYTE) ? -1 : id;
}

static int check(struct bpe *b, const char *where, struct err *e)
{
    const struct bpe_head *h = b->head;
    struct spm *m = b->spm;
    double least = INFINITY;
    for (uint32_t id = h->n_id; id--;) {
        size_t n;
        const char *s = bpe_text(b, id, &n);
        m->longest = n > m->longest ? n : m->longest;
        if (b->kind[id] == (BPE_K_BYTES | BPE_K_BYTE))
            b->byte_id[spm_byte(s, n)] = (int32_t)id;
        if ((b->kind[id] & BPE_K_BYTES) && unicode_bad_utf8(s, n) < n)
            return err_set(e, ERR_DATA, "%s: token %u: invalid UTF-8", where, id);
        if (h->n_score && !isfinite(spm_score(b, id)))
            return err_set(e, ERR_DATA, "%s: token %u: its score is not finite", where, id);
        if (h->n_score && b->kind[id] && spm_score(b, id) < least)
            least = spm_score(b, id);
    }
    for (int i = 0; i < 256 && (h->flags & BPE_F_FALLBACK); i++)
        /* an ASCII character with a token of its own needs no other: Gemma has no <0x09> */
        if (b->byte_id[i] < 0 && !(i < 128 && char_id(b, &(uint8_t){(uint8_t)i}, 1) >= 0))
            return err_set(e, ERR_DATA, "%s: byte fallback: no token <0x%02X>", where, i);
    if (!(h->flags & BPE_F_FALLBACK) && !h->unk)
        return err_set(e, ERR_DATA, "%s: neither byte fallback nor an unknown token", where);
    if ((h->flags & BPE_F_UNIGRAM) && (!h->n_score || h->n_merge || !h->unk))
        return err_set(e, ERR_DATA, "%s: a unigram needs scores, an unknown token and no merges",
                       where);
    m->unknown = least - 10; /* the penalty of SentencePiece and of Hugging Face */
    m->cut = !(h->flags & BPE_F_UNIGRAM) && (h->flags & BPE_F_FALLBACK);
    return 0;
}

int spm_attach(struct bpe *b, const char *where, struct err *e)
{
    struct spm *m = b->spm = calloc(1, sizeof *m);
    int rc;
    if (m) {
        m->off = malloc(((size_t)b->head->n_id + 1) * sizeof *m->off);
        m->bytes = malloc((size_t)b->head->n_byte + 1);
    }
    if (!m || !m->off || !m->bytes)
        return err_set(e, ERR_NOMEM, "%s: out of memory", where);
    if ((rc = check(b, where, e)))
        return rc;
    decoded(b);
    pairs(b);
    return 0;
}

void spm_free(struct spm *m)
{
    if (!m)
        return;
    free(m->off);
    free(m->bytes);
    free(m);
}

char *spm_spaces(const char *s, size_t n, int front, size_t *m)
{
    size_t k = front ? 3 : 0, spaces = 0;
    for (size_t i = 0; i < n; i++)
        spaces += s[i] == ' ';
    char *t = malloc(n + 2 * spaces + k + 1);
    if (!t)
        return NULL;
    memcpy(t, SPM_SPACE, k);
    for (size_t i = 0; i < n; i++) {
        if (s[i] == ' ') {
            memcpy(t + k, SPM_SPACE, 3);
            k += 3;
        } else
            t[k++] = s[i];
    }
    *m = k;
    return t;
}

size_t spm_words(const struct bpe *b, const uint8_t *s, size_t n, size_t *end, size_t max)
{
    const struct spm *m = b->spm;
    int split = (b->head->flags & BPE_F_SPLIT) != 0;
    size_t k = 0;
    unsigned len;
    uint32_t before = unicode_code(s, &len);
    for (size_t i = len; i < n; i += len) {
        uint32_t c = unicode_code(s + i, &len), h = hash_of(before, c);
        before = c;
        if ((m->cut && !(m->pair[h >> 3] >> (h & 7) & 1)) || (split && c == 0x2581)) {
            end[k++] = i;
            if (k == max)
                return k;
        }
    }
    end[k++] = n;
    return k;
}

/* ---- a word ---- */

/* Ids of unknown text of n bytes at out; their number. fused: the one before is unknown, too. */
static size_t unknown(const struct bpe *b, const uint8_t *s, size_t n, int fused, int32_t *out,
                      size_t stride)
{
    if (b->head->flags & BPE_F_FALLBACK) {
        for (size_t i = 0; i < n; i++)
            out[i * stride] = b->byte_id[s[i]];
        return n;
    }
    if (fused && (b->head->flags & BPE_F_FUSE_UNK))
        return 0;
    *out = (int32_t)b->head->unk - 1;
    return 1;
}

static long merge(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n,
                  int32_t *out)
{
    size_t k = 0, stride;
    int fused = 0;
    unsigned len;
    int32_t *id = bpe_symbols(w, n, &stride), v;
    if (!id)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i += len) {
        unicode_code(s + i, &len);
        if ((v = char_id(b, s + i, len)) >= 0)
            id[k++ * stride] = v;
        else
            k += unknown(b, s + i, len, fused, id + k * stride, stride);
        fused = v < 0;
    }
    return bpe_merge_symbols(b, w, k, out);
}

struct best { /* the best way to a place in the text */
    double score;
    int32_t id;      /* of the last token */
    uint32_t before; /* where it begins; UINT32_MAX: there is no way yet */
};

static void arrive(struct best *at, double score, int32_t id, size_t from)
{
    if (at->before == UINT32_MAX || score > at->score)
        *at = (struct best){score, id, (uint32_t)from};
}

/* All ways through n bytes; as in Hugging Face's library a character of no token of its own may be
 * unknown, and of equal ways the first found stays. */
static void ways(const struct bpe *b, const uint8_t *s, size_t n, struct best *best)
{
    unsigned len, next;
    for (size_t i = 0; i < n; i += len) {
        int single = 0;
        unicode_code(s + i, &len);
        for (size_t k = len; k <= b->spm->longest && i + k <= n; k += next) {
            int32_t id = bpe_find(b, (const char *)s + i, k);
            if (id >= 0) {
                arrive(&best[i + k], best[i].score + spm_score(b, (uint32_t)id), id, i);
                single |= k == len;
            }
            if (i + k == n)
                break;
            unicode_code(s + i + k, &next);
        }
        if (!single)
            arrive(&best[i + len], best[i].score + b->spm->unknown, (int32_t)b->head->unk - 1, i);
    }
}

static long unigram(const struct bpe *b, const uint8_t *s, size_t n, int32_t *out)
{
    const int32_t unk = (int32_t)b->head->unk - 1;
    long k = 0;
    if (n >= UINT32_MAX)
        return ERR_NOMEM;
    struct best *best = malloc((n + 1) * sizeof *best);
    if (!best)
        return ERR_NOMEM;
    for (size_t i = 0; i <= n; i++)
        best[i] = (struct best){0, -1, UINT32_MAX};
    ways(b, s, n, best);
    for (size_t end = n; end;) { /* from the back: ids in reverse, unknown characters together */
        size_t from = best[end].before;
        int32_t id = best[end].id;
        while (id == unk && from && best[from].id == unk)
            from = best[from].before;
        if (id != unk)
            out[k++] = id;
        else if (b->head->flags & BPE_F_FALLBACK)
            while (end > from)
                out[k++] = b->byte_id[s[--end]];
        else
            out[k++] = unk;
        end = from;
    }
    for (long i = 0; i < k / 2; i++) {
        int32_t t = out[i];
        out[i] = out[k - 1 - i];
        out[k - 1 - i] = t;
    }
    free(best);
    return k;
}

long spm_merge(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n, int32_t *out)
{
    return b->head->flags & BPE_F_UNIGRAM ? unigram(b, s, n, out) : merge(b, w, s, n, out);
}
