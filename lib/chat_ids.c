/* chat_ids - a rendered conversation as token ids: special tokens only where the template wrote them
 *
 * Nearly always no message spells a special token: then the text is encoded whole, as Hugging Face does.
 * Otherwise it is cut behind and before the template's own special tokens around each such place, and what
 * lies between is encoded as plain text. */
#include "chat_ids.h"
#include <stdlib.h>
#include <string.h>

struct chat_marks {
    int32_t *id;    /* ordered by first byte */
    int begin[257]; /* where those of a byte begin */
};

int chat_marks_new(struct chat_marks **out, const struct bpe *b, struct err *e)
{
    int n_vocab = bpe_n_vocab(b), at[256];
    size_t len;
    struct chat_marks *m = *out = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int pass = 0; pass < 2; pass++) { /* count by first byte, then place */
        for (int32_t i = 0; i < n_vocab; i++) {
            const char *s = bpe_is_special(b, i) ? bpe_token(b, i, &len) : NULL;
            if (!s || !len)
                continue;
            if (pass)
                m->id[at[(uint8_t)*s]++] = i;
            else
                m->begin[(uint8_t)*s + 1]++;
        }
        for (int c = 0; c < 256 && !pass; c++) {
            at[c] = m->begin[c];
            m->begin[c + 1] += m->begin[c];
        }
        if (!pass && !(m->id = malloc(((size_t)m->begin[256] + 1) * sizeof *m->id)))
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return 0;
}

void chat_marks_free(struct chat_marks *m)
{
    if (m)
        free(m->id);
    free(m);
}

/* Bytes of the longest special token at s + i, 0 if there is none. */
static size_t longest(const struct chat_marks *m, const struct bpe *b, const char *s, size_t n,
                      size_t i)
{
    size_t best = 0, len;
    int c = (uint8_t)s[i];
    for (int k = m->begin[c]; k < m->begin[c + 1]; k++) {
        const char *t = bpe_token(b, m->id[k], &len);
        if (len > best && len <= n - i && memcmp(t, s + i, len) == 0)
            best = len;
    }
    return best;
}

static int outside(const uint8_t *mark, size_t i, size_t len)
{
    return memchr(mark + i, 1, len) != NULL;
}

/* The next special token from i on: its place, bytes into *len; n if there is none. ours: the template's own,
 * else one that has a byte from outside. */
static size_t next(const struct chat_marks *m, const struct bpe *b, const char *s,
                   const uint8_t *mark, size_t n, size_t i, int ours, size_t *len)
{
    for (; i < n; i++) {
        if (m->begin[(uint8_t)s[i]] == m->begin[(uint8_t)s[i] + 1] ||
            !(*len = longest(m, b, s, n, i)))
            continue;
        int forged = outside(mark, i, *len);
        if (forged != ours)
            return i;
        i += *len - 1;
    }
    return n;
}

struct ids {
    int32_t *v;
    size_t n;
};

static int encode(struct ids *t, const struct bpe *b, const char *s, size_t n, int flags,
                  struct err *e)
{
    int32_t *v = NULL;
    if (n == 0)
        return 0;
    long k = bpe_encode(b, s, n, flags, &v, e);
    if (k < 0)
        return (int)k;
    int32_t *p = realloc(t->v, (t->n + (size_t)k + 1) * sizeof *p);
    if (p) {
        memcpy(p + t->n, v, (size_t)k * sizeof *v);
        t->v = p;
        t->n += (size_t)k;
    }
    free(v);
    return p ? 0 : err_set(e, ERR_NOMEM, "out of memory for a prompt");
}

/* The end of the last of the template's own special tokens in [from, to). */
static size_t before(const struct chat_marks *m, const struct bpe *b, const char *s,
                     const uint8_t *mark, size_t from, size_t to)
{
    size_t end = from, len;
    for (size_t i = from; (i = next(m, b, s, mark, to, i, 1, &len)) < to; i += len)
        end = i + len;
    return end;
}

long chat_ids(const struct chat_marks *m, const struct bpe *b, const char *s, const uint8_t *mark,
              size_t n, int32_t **ids, struct err *e)
{
    struct ids t = {0};
    size_t done = 0, len;
    int rc = 0;
    *ids = NULL;
    while (!rc && done < n) {
        size_t forged = next(m, b, s, mark, n, done, 0, &len), from = n, to = n;
        if (forged < n) {
            from = before(m, b, s, mark, done, forged);
            to = next(m, b, s, mark, n, forged + len, 1, &len);
        }
        rc = encode(&t, b, s + done, from - done, BPE_SPECIAL, e);
        if (!rc)
            rc = encode(&t, b, s + from, to - from, 0, e);
        done = to;
    }
    if (!rc && !t.v && !(t.v = malloc(sizeof *t.v)))
        rc = err_set(e, ERR_NOMEM, "out of memory for a prompt");
    if (rc) {
        free(t.v);
        return rc;
    }
    *ids = t.v;
    return (long)t.n;
}
