/* bpe_gguf_write - byte-level and SentencePiece BPE as the tokenizer.ggml.* keys of a GGUF file: bpe_gguf.c's inverse
 *
 * GGUF spells vocabulary entries in the byte alphabet and added tokens as they are.  It has one type
 * for each entry, so an entry cannot be an added token and a part of merges at once. */
#include "bpe_impl.h"
#include "gguf_write.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Type of an entry, or ERR_DATA. */
static int type_of(const struct bpe *b, uint32_t id, int32_t *type, struct err *e)
{
    size_t n;
    const char *s = bpe_text(b, id, &n);
    int k = b->kind[id];
    if (!k)
        *type = BPE_GGUF_UNUSED;
    else if (id + 1 == b->head->unk)
        *type = BPE_GGUF_UNKNOWN;
    else if (k == (BPE_K_BYTES | BPE_K_BYTE))
        *type = BPE_GGUF_BYTE;
    else if (!(k & BPE_K_ADDED))
        *type = BPE_GGUF_NORMAL;
    else
        *type = k & BPE_K_SPECIAL ? BPE_GGUF_CONTROL : BPE_GGUF_USER;
    if (k && !(k & (BPE_K_ADDED | BPE_K_BYTES)))
        return err_set(e, ERR_DATA, "token %u \"%.*s\": not in the byte alphabet: no GGUF entry",
                       id, (int)(n < 60 ? n : 60), s);
    if ((k & BPE_K_ADDED) && (k & BPE_K_BYTES) && n == 1)
        return err_set(e, ERR_DATA, "token %u is an added token and a byte: GGUF cannot say both",
                       id);
    return 0;
}

/* Lists of texts and types, filled up to n_vocab entries. */
static int tokens(const struct bpe *b, uint32_t n_vocab, char *buf, struct gguf_out *w, int *loses,
                  struct err *e)
{
    int32_t *type = calloc((size_t)n_vocab + 1, sizeof *type);
    int odd = BPE_K_LSTRIP | BPE_K_RSTRIP | (b->head->flags & BPE_F_NFC ? BPE_K_NORMALIZED : 0);
    int rc = type ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    gguf_out_strs(w, "tokenizer.ggml.tokens");
    for (uint32_t i = 0; i < n_vocab && rc == 0; i++) {
        char pad[32];
        size_t n = (size_t)snprintf(pad, sizeof pad, "[PAD%u]", i);
        const char *s = pad;
        type[i] = BPE_GGUF_UNUSED;
        if (i < b->head->n_id && b->kind[i]) {
            rc = type_of(b, i, &type[i], e);
            s = bpe_text(b, i, &n);
            *loses |= (b->kind[i] & odd) != 0;
            if (type[i] == BPE_GGUF_NORMAL && !b->spm) {
                n = bpe_map(s, n, buf);
                s = buf;
            }
        }
        gguf_out_item(w, s, n);
    }
    if (rc == 0)
        gguf_out_nums(w, "tokenizer.ggml.token_type", GGUF_I32, type, n_vocab);
    free(type);
    return rc;
}

static int merges(const struct bpe *b, char *buf, struct gguf_out *w, struct err *e)
{
    gguf_out_strs(w, "tokenizer.ggml.merges");
    for (uint32_t r = 0; r < b->head->n_merge; r++) {
        const uint32_t *m = b->merge + 3 * (size_t)r;
        for (int i = 0; i < 3; i++)
            if (b->kind[m[i]] & BPE_K_ADDED)
                return err_set(e, ERR_DATA,
                               "token %u is an added token and a part of merge %u: GGUF cannot say "
                               "both",
                               m[i], r);
        gguf_out_item(w, buf, bpe_merge_text(b, r, buf));
    }
    return 0;
}

/* Scores that lead to the same merges, if any do: a token's is the place of its first merge, from the
 * back.  llama.cpp looks at what a merge results in, and of equal ones takes the leftmost. */
static int scores(const struct bpe *b, uint32_t n_vocab, struct gguf_out *w, struct err *e)
{
    float *v = calloc((size_t)n_vocab + 1, sizeof *v);
    uint32_t place = 0;
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (uint32_t i = 0; i < n_vocab; i++)
        v[i] = b->head->n_score && i < b->head->n_id ? (float)spm_score(b, i) : 0;
    for (uint32_t r = 0; r < b->head->n_merge && !b->head->n_score; r++) {
        uint32_t id = b->merge[3 * (size_t)r + 2];
        if (v[id] == 0)
            v[id] = -(float)++place;
    }
    /* single characters come after all: nothing leads to them */
    for (uint32_t i = 0; i < b->head->n_id && !b->head->n_score; i++)
        if (b->kind[i] == BPE_K_BYTES && v[i] == 0)
            v[i] = -(float)++place;
    gguf_out_nums(w, "tokenizer.ggml.scores", GGUF_F32, v, n_vocab);
    free(v);
    return 0;
}

/* What GGUF's "llama" says: U+2581 for spaces, in front of every piece or nowhere. */
static int save_chars(const struct bpe *b, uint32_t n_vocab, struct gguf_out *w, int *loses,
                      struct err *e)
{
    const uint32_t f = b->head->flags, must = BPE_F_CHARS | BPE_F_FALLBACK,
                   may = must | BPE_F_ADD_BOS | BPE_F_PREPEND | BPE_F_SPACES | BPE_F_STRIP |
                         BPE_F_FUSE_UNK | BPE_F_META | BPE_F_META_FIRST | BPE_F_META_NEVER;
    int front = (f & BPE_F_PREPEND) || ((f & BPE_F_META) && !(f & BPE_F_META_NEVER)), rc;
    if ((f & ~may) || (f & must) != must || !(f & (BPE_F_SPACES | BPE_F_META)))
        return err_set(e, ERR_DATA,
                       "a SentencePiece tokenizer with flags %u: no model in GGUF says that", f);
    *loses |= (f & BPE_F_META) != 0;
    gguf_out_str(w, "tokenizer.ggml.model", "llama");
    gguf_out_str(w, "tokenizer.ggml.pre", "default");
    if ((rc = tokens(b, n_vocab, NULL, w, loses, e)) || (rc = scores(b, n_vocab, w, e)))
        return rc;
    if (b->head->unk)
        gguf_out_u32(w, "tokenizer.ggml.unknown_token_id", b->head->unk - 1);
    gguf_out_bool(w, "tokenizer.ggml.add_space_prefix", front);
    return 0;
}

int bpe_save_gguf(const struct bpe *b, int n_vocab, struct gguf_out *w, int *loses, struct err *e)
{
    const char *pre = b->spm ? "default" : bpe_gguf_pre(b, loses);
    char *buf;
    int rc;
    if (!pre)
        return err_set(e, ERR_DATA, "pre-tokenizer %u with flags %u: no name in GGUF",
                       b->head->pretok, b->head->flags);
    if ((uint32_t)n_vocab < b->head->n_id)
        return err_set(e, ERR_DATA, "the tokenizer has %u tokens, the embedding %d rows",
                       b->head->n_id, n_vocab);
    if (b->spm)
        return save_chars(b, (uint32_t)n_vocab, w, loses, e);
    if (!(buf = malloc(bpe_room(b))))
        return err_set(e, ERR_NOMEM, "out of memory");
    gguf_out_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_out_str(w, "tokenizer.ggml.pre", pre);
    if ((rc = tokens(b, (uint32_t)n_vocab, buf, w, loses, e)) == 0)
        rc = merges(b, buf, w, e);
    free(buf);
    return rc;
}
