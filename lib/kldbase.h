/* kldbase.h - the file of a base model's distributions that llama-perplexity --kl-divergence-base writes and reads
 *
 *     "_logits_"  i32 n_ctx, n_vocab, n_chunk    i32 tokens[n_chunk][n_ctx]
 *     per chunk, for its positions n_ctx/2 to n_ctx-2:  f32 scale, low    u16 code[n_vocab], one more if that is odd
 *
 * ln P of id i is scale * code[i] + low; all that is more than 16 below the highest logit has code 0.  Tokens are those
 * of the text; the first of a chunk becomes BOS, if the model adds one, when it is computed.  Numbers as x86 has them. */
#ifndef KLDBASE_H
#define KLDBASE_H
#include "kld.h"
#include "mapfile.h"
#include "outfile.h"

struct kldbase {
    int n_ctx, n_vocab, n_chunk;
    const int32_t *tok; /* (n_chunk, n_ctx), inside the map */
    const uint8_t *row; /* (n_chunk, kldbase_rows, kldbase_bytes) */
    struct mapfile map;
};
int kldbase_rows(int n_ctx);       /* positions of a chunk that are scored */
size_t kldbase_bytes(int n_vocab); /* of a position */
/* ERR_NOINPUT; ERR_DATA for another kind of file, sizes that do not fit the file, ids beyond n_vocab. */
int kldbase_open(struct kldbase *b, const char *path, struct err *e);
void kldbase_close(struct kldbase *b);
/* KL divergence of softmax(q) from position `row` of chunk `chunk`, as kld_logits has it, over the ids whose ln P is
 * above -16. ERR_DATA if scale or low cannot be, or a probability is above 1. */
int kldbase_compare(const struct kldbase *b, int chunk, int row, const float *q, int32_t next,
                    struct kld_row *r, struct err *e);

/* What comes before the positions: tok (n_chunk, n_ctx). */
int kldbase_begin(struct outfile *f, int n_ctx, int n_vocab, int n_chunk, const int32_t *tok,
                  struct err *e);
/* logits (n) as a position: kldbase_bytes(n) bytes. */
void kldbase_pack(const float *logits, int n, void *row);
#endif
