/* bpe_impl.h - what the tokenizer's own files share; everybody else includes bpe.h */
#ifndef BPE_IMPL_H
#define BPE_IMPL_H
#include "bpe.h"
#include "pretok.h"
#include <pthread.h>
#include <stdatomic.h>

/* Kind of an id, one byte: 0 = no token. */
enum {
    BPE_K_BYTES = 1,   /* vocabulary, reached by merging */
    BPE_K_LITERAL = 2, /* has a text only: added, or outside the byte alphabet */
    BPE_K_ADDED = 4,   /* found in text before it is cut into words; the rest qualifies this */
    BPE_K_SPECIAL = 8,
    BPE_K_NORMALIZED = 16, /* sought in normalized text */
    BPE_K_LSTRIP = 32,     /* takes the spaces before it */
    BPE_K_RSTRIP = 64,
    BPE_K_BYTE = 128 /* vocabulary, "<0x0A>": stands for the byte that it names */
};
enum {
    BPE_F_NFC = 1,
    BPE_F_IGNORE_MERGES = 2,
    BPE_F_ADD_BOS = 4,
    BPE_F_CHARS = 8,        /* SentencePiece: words of characters, not of bytes (spm.c) */
    BPE_F_PREPEND = 16,     /* normalizer: U+2581 before every piece of text */
    BPE_F_SPACES = 32,      /* normalizer: U+2581 for each space, after that */
    BPE_F_META = 64,        /* pre-tokenizer: the same; U+2581 in front only where there is none */
    BPE_F_META_FIRST = 128, /* ... in front of the text only, */
    BPE_F_META_NEVER = 256, /* ... nowhere */
    BPE_F_SPLIT = 512,      /* each U+2581 begins a word */
    BPE_F_FALLBACK = 1024,  /* a character that is no token is its bytes */
    BPE_F_FUSE_UNK = 2048,  /* unknown characters that adjoin are one token */
    BPE_F_UNIGRAM = 4096,   /* the best sum of scores instead of merges */
    BPE_F_STRIP = 8192,     /* a decoded text loses one space at its beginning */
    BPE_F_ALL = 16383
};

#define BPE_MAGIC "APRBPE1\n"
struct bpe_head { /* of the binary tables; bpe_tables.c describes them */
    char magic[8];
    uint32_t pretok, flags, n_id, n_merge, n_byte;
    int32_t bos, eos;
    uint32_t unk;     /* its id + 1, 0 = none */
    uint32_t n_score; /* n_id, or 0 */
    uint32_t reserved[5];
};

struct bpe_merge {     /* of two neighbours */
    uint32_t rank, id; /* rank BPE_NO_RANK: none */
};
enum { BPE_WAYS = 4 };
struct bpe_bucket {          /* of the hash of merges: one cache line, filled from the front */
    uint64_t pair[BPE_WAYS]; /* left << 32 | right; BPE_NO_PAIR */
    struct bpe_merge merge[BPE_WAYS];
};
#define BPE_NO_RANK UINT32_MAX
#define BPE_NO_PAIR UINT64_MAX
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
    struct bpe_head *head; /* the tables, then pair and two: one allocation */
    size_t size;
    const uint32_t *off;   /* (n_id + 1) */
    const uint32_t *merge; /* (n_merge, 3): left, right, result */
    const uint8_t *kind;   /* (n_id) */
    const char *bytes;     /* (n_byte) */
    struct bpe_bucket *pair;
    int pair_shift; /* bucket of a hash: its upper bits */
    uint32_t pair_mask;
    struct bpe_merge *two; /* (256, 256): those of pair that are two bytes, as every word begins */
    int32_t byte_id[256];
    const char *score;            /* (n_score) double, unaligned */
    struct spm *spm;              /* with BPE_F_CHARS */
    struct bpe_added added[2][2]; /* [normalized][special ones too] */
    struct bpe_pool *pool;
};
enum { BPE_MAX_ID = 1 << 22, BPE_MAX_TOKEN = 1 << 16, BPE_MAX_MERGE = 1 << 23 };

/* What an encoder works with and remembers: one thread's at a time, and one tokenizer's for good.
 * Between calls it waits in the tokenizer's pool. */
size_t bpe_scratch_bytes(void); /* of a new one: its word caches */
struct bpe_scratch *bpe_scratch_new(void);
void bpe_scratch_free(struct bpe_scratch *w);
struct bpe_pool { /* what changes under an immutable tokenizer */
    _Atomic(struct bpe_scratch *) idle[16];
    pthread_mutex_t lock;
    atomic_int indexed;
    struct bpe_index index; /* filled when a text is first sought */
};

/* bpe_encode of the n bytes from text[from] on; only the text's beginning gets the bos. */
long bpe_encode_at(const struct bpe *b, const char *text, size_t from, size_t n, int flags,
                   int32_t **ids, struct err *e);

struct bpe_ids { /* ids so far */
    int32_t *v;
    size_t n, cap;
};
int bpe_ids_room(struct bpe_ids *x, size_t k); /* for k more: 0, or ERR_NOMEM */
/* Ids of normalized text without added tokens, appended. 0, or ERR_NOMEM. */
int bpe_words(const struct bpe *b, struct bpe_scratch *w, const char *s, size_t n,
              struct bpe_ids *out);

/* For spm.c: ids of the n symbols that bpe_symbols made room for, merged, into out; their number. */
int32_t *bpe_symbols(struct bpe_scratch *w, size_t n, size_t *stride); /* NULL: out of memory */
long bpe_merge_symbols(const struct bpe *b, struct bpe_scratch *w, size_t n, int32_t *out);

/* ---- SentencePiece (spm.c) ---- */
#define SPM_SPACE "\xE2\x96\x81"                                 /* U+2581, three bytes */
int spm_attach(struct bpe *b, const char *where, struct err *e); /* checks and what is derived */
void spm_free(struct spm *m);
/* What stands for the byte that a token's text names, "<0x0A>"; -1 if it names none. */
int spm_byte(const char *s, size_t n);
/* The text of a token as decoding gives it. */
const char *spm_text(const struct bpe *b, uint32_t id, size_t *n);
/* Spaces replaced, U+2581 in front if so wanted: a new text (malloc) of *m bytes, or NULL. */
char *spm_spaces(const char *s, size_t n, int front, size_t *m);
/* The first words of s, as pretok_words. */
size_t spm_words(const struct bpe *b, const uint8_t *s, size_t n, size_t *end, size_t max);
/* Ids of a word into out, which has room for n: their number, or ERR_NOMEM. */
long spm_merge(const struct bpe *b, struct bpe_scratch *w, const uint8_t *s, size_t n,
               int32_t *out);
double spm_score(const struct bpe *b, uint32_t id);

uint64_t bpe_hash(const void *p, size_t n);
/* Memory to be read all over: whole cache lines, of 2 MB pages where that is worth it; free it. */
void *bpe_big_alloc(size_t n);
/* The text of an id below n_id: empty if it has no token. */
static inline const char *bpe_text(const struct bpe *b, uint32_t id, size_t *n)
{
    *n = b->off[id + 1] - b->off[id];
    return b->bytes + b->off[id];
}
static inline uint64_t bpe_pair_hash(uint32_t left, uint32_t right)
{
    return left * 0x9E3779B97F4A7C15u + right * 0xD6E8FEB86659FD93u;
}
static inline struct bpe_merge bpe_merge_of(const struct bpe *b, uint32_t left, uint32_t right)
{
    uint64_t pair = (uint64_t)left << 32 | right;
    for (uint64_t i = bpe_pair_hash(left, right) >> b->pair_shift;; i = (i + 1) & b->pair_mask) {
        const struct bpe_bucket *k = &b->pair[i];
        for (int j = 0; j < BPE_WAYS; j++)
            if (k->pair[j] == pair)
                return k->merge[j];
        if (k->pair[BPE_WAYS - 1] == BPE_NO_PAIR)
            return (struct bpe_merge){BPE_NO_RANK, 0};
    }
}
uint32_t bpe_buckets(uint32_t n_merge); /* a power of two */
void bpe_pairs_fill(struct bpe *b);

/* Of several ids with one text the lowest is found. */
int bpe_index_new(struct bpe_index *x, uint32_t n_id); /* 0, or ERR_NOMEM */
/* The last id whose text another one has, else n_id. */
uint32_t bpe_index_fill(struct bpe_index *x, const uint32_t *off, const char *bytes,
                        const uint8_t *kind, uint32_t n_id);
int32_t bpe_index_find(const struct bpe_index *x, const uint32_t *off, const char *bytes,
                       const char *s, size_t n); /* -1 = none */
/* Id of a byte-level vocabulary entry, -1. */
int32_t bpe_find(const struct bpe *b, const char *s, size_t n);

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
    int byte_decoder; /* tokenizer.json: the decoder has ByteFallback */
    double *score;    /* of each id, or NULL: owned */
    uint32_t n_score;
};
/* Merges from scores, as Hugging Face's converter makes them from a SentencePiece model. */
int spm_build_merges(struct bpe_build *w, struct err *e);
/* tokenizer.json's normalizer, pre-tokenizer and decoder into head (bpe_steps.c); cJSON or NULL. */
struct cJSON;
int bpe_steps(struct bpe_build *w, const struct cJSON *normalizer, const struct cJSON *pre,
              const struct cJSON *decoder, struct err *e);
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
       BPE_GGUF_UNKNOWN = 2,
       BPE_GGUF_CONTROL = 3,
       BPE_GGUF_USER = 4,
       BPE_GGUF_UNUSED = 5,
       BPE_GGUF_BYTE = 6
};
/* The name of b's pre-tokenizer in tokenizer.ggml.pre, or NULL. *loses is set where the name says
 * nothing or the opposite about the normalization. */
const char *bpe_gguf_pre(const struct bpe *b, int *loses);
#endif
