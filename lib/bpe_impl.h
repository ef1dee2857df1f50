/* bpe_impl.h - what the tokenizer's own files share; everybody else includes bpe.h */
#ifndef BPE_IMPL_H
#define BPE_IMPL_H
#include "bpe.h"
#include "pretok.h"

/* Kind of an id, one byte: 0 = no token. */
enum {
    BPE_K_BYTES = 1,   /* vocabulary, reached by merging */
    BPE_K_LITERAL = 2, /* has a text only: added, or outside the byte alphabet */
    BPE_K_ADDED = 4,   /* found in text before it is cut into words; the rest qualifies this */
    BPE_K_SPECIAL = 8,
    BPE_K_NORMALIZED = 16, /* sought in normalized text */
    BPE_K_LSTRIP = 32,     /* takes the spaces before it */
    BPE_K_RSTRIP = 64
};
enum { BPE_F_NFC = 1, BPE_F_IGNORE_MERGES = 2, BPE_F_ADD_BOS = 4 };

struct bpe_head { /* of the binary tables; bpe_tables.c describes them */
    char magic[8];
    uint32_t pretok, flags, n_id, n_merge, n_byte;
    int32_t bos, eos;
    uint32_t reserved[7];
};

struct bpe_pair { /* slot of the hash of merges */
    uint32_t left, right, rank, id;
};
struct bpe_index { /* text -> id, open addressing; slot holds id + 1 */
    uint32_t *slot, mask;
};
struct bpe_added { /* ids of added tokens sorted by text */
    uint32_t *id;
    int n;
    int only;           /* the one first byte that all share, or -1 */
    uint8_t first[256]; /* bytes with which some begin */
};

struct bpe {
    struct bpe_head *head; /* the tables: one allocation */
    size_t size;
    const uint32_t *off;   /* (n_id + 1) */
    const uint32_t *merge; /* (n_merge, 3): left, right, result */
    const uint8_t *kind;   /* (n_id) */
    const char *bytes;     /* (n_byte) */
    struct bpe_pair *pair; /* id 0 in an empty slot's rank: BPE_NO_RANK */
    uint32_t pair_mask;
    struct bpe_index index;
    int32_t byte_id[256];
    struct bpe_added added[2][2]; /* [normalized][special ones too] */
};
#define BPE_NO_RANK UINT32_MAX

uint64_t bpe_hash(const void *p, size_t n);
/* The text of an id below n_id: empty if it has no token. */
static inline const char *bpe_text(const struct bpe *b, uint32_t id, size_t *n)
{
    *n = b->off[id + 1] - b->off[id];
    return b->bytes + b->off[id];
}
static inline uint32_t bpe_pair_hash(uint32_t left, uint32_t right)
{
    uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}
/* Id of a byte-level vocabulary entry, -1. */
int32_t bpe_find(const struct bpe_index *x, const uint32_t *off, const char *bytes, const char *s,
                 size_t n);
int bpe_index_make(struct bpe_index *x, const uint32_t *off, const char *bytes, const uint8_t *kind,
                   uint32_t n_id, uint32_t *dup);

/* Check tables of n bytes (malloc, now owned) and make the object. */
int bpe_attach(struct bpe **b, void *tables, size_t n, const char *where, struct err *e);

/* Tables under construction: tokens in any order, then bpe_build_tokens, then merges, then attach.
 */
struct bpe_build {
    const char *where;
    struct bpe_head head;
    struct bpe_build_tok {
        size_t off;
        uint32_t len;
        uint8_t kind;
    } * tok;
    uint32_t cap_tok;
    char *buf; /* texts of tok, in order of arrival */
    size_t n_buf, cap_buf;
    uint32_t *off; /* from bpe_build_tokens on: as in struct bpe */
    uint8_t *kind;
    char *bytes;
    struct bpe_index index;
    uint32_t *merge;
    size_t cap_merge;
};
/* Add a token; an added token may repeat a vocabulary entry of the same id and text. */
int bpe_build_token(struct bpe_build *w, long id, const char *s, size_t n, int kind, struct err *e);
int bpe_build_tokens(struct bpe_build *w, struct err *e);
int bpe_build_merge(struct bpe_build *w, const char *a, size_t na, const char *b, size_t nb,
                    struct err *e);
int bpe_build_attach(struct bpe_build *w, struct bpe **b, struct err *e);
void bpe_build_free(struct bpe_build *w);
/* n bytes of byte-alphabet UTF-8 to the bytes they stand for, in place or to another place; the
 * length, or -1 if a character is outside the alphabet. */
long bpe_unmap(const char *s, size_t n, char *out);
/* Back: n bytes to byte-alphabet UTF-8, at most 2n bytes at out; their number. */
size_t bpe_map(const char *s, size_t n, char *out);
/* Merge r in that alphabet, "left right", at out, which has room for bpe_room bytes; their number. */
size_t bpe_merge_text(const struct bpe *b, uint32_t r, char *out);
size_t bpe_room(const struct bpe *b); /* for any text in that alphabet, or any merge, and a NUL */

enum { /* tokenizer.ggml.token_type */
       BPE_GGUF_NORMAL = 1,
       BPE_GGUF_CONTROL = 3,
       BPE_GGUF_USER = 4,
       BPE_GGUF_UNUSED = 5
};
/* The name of b's pre-tokenizer in tokenizer.ggml.pre, or NULL. *loses is set where the name says
 * nothing or the opposite about the normalization. */
const char *bpe_gguf_pre(const struct bpe *b, int *loses);
#endif
