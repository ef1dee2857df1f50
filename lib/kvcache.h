/* kvcache.h - who holds which KV block: a paged allocator with reference counts and shared prefixes
 *
 * The blocks' contents live on the device (kn_kv); this is their bookkeeping.  A block of KN_TILE
 * positions is free, held by one or more sequences, or kept: nobody holds it, but its contents are
 * the KV of a known token prefix, so that a later sequence may take it up again; kept blocks go,
 * oldest first, when free ones run out or when more than max_kept are kept, so that a long run does
 * not touch all its memory for prompts that are past.
 *
 * Sharing.  A prefix is named by its blocks' tokens, chained.  Full blocks are shared as they are
 * and never written again.  A block that agrees in part is shared by copy (kn_kv_copy): its owner goes
 * on writing behind the shared positions, the copy's owner behind its own.  A block is entered
 * before its contents exist (promised) and may be read once kvcache_fill said so. */
#ifndef KVCACHE_H
#define KVCACHE_H
#include "kernels.h"

struct kvcache_block {
    int ref;             /* sequences that hold it */
    int entered, filled; /* in the table; contents complete up to n_tok */
    int n_tok;           /* tokens that the entry names: KN_TILE, fewer for a last block */
    uint64_t hash;       /* of the chain up to here */
    uint64_t parent;     /* hash of the chain before it */
    int next, sibling;   /* in the bucket of its hash, of its parent's; -1 ends */
    int newer, older;    /* free list or list of kept blocks */
    int32_t tok[KN_TILE];
};
struct kvcache {
    int n_block, n_free, n_kept; /* all; free; kept by nobody but known */
    int free_top, oldest, newest;
    int max_kept;                /* kvcache_init: all */
    int n_bucket;                /* a power of two */
    int *bucket, *child;         /* (n_bucket) first block or -1, by hash and by parent's hash */
    struct kvcache_block *block; /* (n_block) */
};
int kvcache_init(struct kvcache *c, int n_block); /* 0, or -1: out of memory */
void kvcache_fini(struct kvcache *c);

int kvcache_left(const struct kvcache *c); /* blocks that kvcache_take can give */
int kvcache_take(struct kvcache *c);       /* a block held once; -1 = none left */
void kvcache_hold(struct kvcache *c, int b);
void kvcache_drop(struct kvcache *c, int b);

/* The chain's hash with n_tok more tokens; a chain begins with a small number, one for each kind of prefix that shares with
 * no other. */
uint64_t kvcache_chain(uint64_t parent, const int32_t *tok, int n_tok);
/* The block whose contents are tok[0..n_tok-1] after `parent`; -1 if unknown. Not held by the call.
 */
int kvcache_find(const struct kvcache *c, uint64_t parent, const int32_t *tok, int n_tok);
/* The block after `parent` whose named contents begin with most of tok[0..n_tok-1]: how many in *n_same
 * (0 and -1 if none has the first); of equal ones a filled one. Looks at the newest few. */
int kvcache_alike(const struct kvcache *c, uint64_t parent, const int32_t *tok, int n_tok,
                  int *n_same);
/* Name block b as that (if nobody did before): a promise until kvcache_fill. */
void kvcache_enter(struct kvcache *c, int b, uint64_t parent, const int32_t *tok, int n_tok);
void kvcache_fill(struct kvcache *c, int b);
#endif
