/* bpe_gguf_write - byte-level BPE as the tokenizer.ggml.* keys of a GGUF file: bpe_gguf.c's inverse
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
            if (type[i] == BPE_GGUF_NORMAL) {
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

int bpe_save_gguf(const struct bpe *b, int n_vocab, struct gguf_out *w, int *loses, struct err *e)
{
    const char *pre = bpe_gguf_pre(b, loses);
    char *buf;
    int rc;
    if (!pre)
        return err_set(e, ERR_DATA, "pre-tokenizer %u with flags %u: no name in GGUF",
                       b->head->pretok, b->head->flags);
    if ((uint32_t)n_vocab < b->head->n_id)
        return err_set(e, ERR_DATA, "the tokenizer has %u tokens, the embedding %d rows",
                       b->head->n_id, n_vocab);
    if (!(buf = malloc(bpe_room(b))))
        return err_set(e, ERR_NOMEM, "out of memory");
    gguf_out_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_out_str(w, "tokenizer.ggml.pre", pre);
    if ((rc = tokens(b, (uint32_t)n_vocab, buf, w, loses, e)) == 0)
        rc = merges(b, buf, w, e);
    free(buf);
    return rc;
}
