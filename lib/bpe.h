/* bpe.h - tokenizers: byte-level BPE, SentencePiece BPE and unigram; text <-> ids
 *
 * One immutable object, shared by threads.  Loaded from tokenizer.json, from GGUF metadata, or from the
 * binary tables inside a .apr.  decode(encode(x)) == x for valid UTF-8 (up to NFC). */
#ifndef BPE_H
#define BPE_H
#include "err.h"
#include "gguf.h"
#include <stddef.h>
#include <stdint.h>

struct bpe;
int bpe_load_json(struct bpe **b, const char *tokenizer_json, struct err *e); /* path */
int bpe_load_gguf(struct bpe **b, const struct gguf *g, struct err *e);
int bpe_load_tables(struct bpe **b, const void *p, size_t n, const char *where, struct err *e);
/* Bytes that a tokenizer made of them keeps once it has encoded a text, 0 if they are none. */
size_t bpe_tables_memory(const void *p, size_t n);
size_t bpe_guess_memory(int n_vocab); /* ... of a usual byte-level tokenizer of so many tokens */
int bpe_save_tables(const struct bpe *b, void **p, size_t *n, struct err *e); /* malloc */
/* tokenizer.json (malloc, *n bytes) from which bpe_load_json makes the same ids; ERR_DATA names a token that
 * the format cannot hold. */
char *bpe_save_json(const struct bpe *b, size_t *n, struct err *e);
/* The tokenizer.ggml.* keys but for the ids of bos, eos and padding, with n_vocab entries: rows that have
 * no token are "[PADn]" as llama.cpp's converter names them.  ERR_DATA names a token that GGUF cannot
 * hold.  *loses: added tokens that take spaces with them, or normalization, of which GGUF says nothing. */
struct gguf_out;
int bpe_save_gguf(const struct bpe *b, int n_vocab, struct gguf_out *w, int *loses, struct err *e);
void bpe_free(struct bpe *b);

/* Parse special tokens in the text (added ones that are not special, such as Qwen3's <think>, always are);
 * put bos first if the model adds it. */
enum { BPE_SPECIAL = 1, BPE_BOS = 2 };
/* Ids of n bytes into a malloc'ed *ids; count, or ERR_DATA (invalid UTF-8 with its offset), ERR_NOMEM. */
long bpe_encode(const struct bpe *b, const char *text, size_t n, int flags, int32_t **ids,
                struct err *e);
struct bpe_text {
    const char *s;
    size_t n;
    int32_t *ids; /* out, malloc */
    long n_ids;   /* out */
};
/* The same for n texts by at most so many threads (0 = all cores); a long text is shared by them too.
 * The ids are those of bpe_encode. 0, or the first failure in the order of the texts, of which *bad is
 * the index; then no ids are left. */
int bpe_encode_many(const struct bpe *b, struct bpe_text *t, size_t n, int flags, int threads,
                    size_t *bad, struct err *e);
/* Bytes of one token in a running text (raw for added tokens; SentencePiece's mark of a space is one);
 * NULL for an id out of range. Lives as long as b. */
const char *bpe_token(const struct bpe *b, int32_t id, size_t *n);
/* Text of ids (malloc, NUL-terminated, *n without it); special tokens left out with skip_special.  Of a
 * tokenizer that puts a space before a text the first space is dropped: for parts use bpe_token. */
char *bpe_decode(const struct bpe *b, const int32_t *ids, size_t n_ids, int skip_special,
                 size_t *n);
int32_t bpe_id(const struct bpe *b,
               const char *token); /* of an added token or vocabulary entry, -1 */
int bpe_is_special(const struct bpe *b, int32_t id);
/* 1 if the parts of a text may have other ids than the text (SentencePiece: spaces put before each, pieces across
 * words), so that it must be encoded whole. */
int bpe_wants_whole(const struct bpe *b);
int bpe_n_vocab(const struct bpe *b); /* the highest id that has a token, plus 1 */
int32_t bpe_eos(const struct bpe *b); /* -1 = none */
int32_t bpe_bos(const struct bpe *b); /* known, which is not to say that the model puts it first */
#endif
