/* vocab.h - a model's tokenizer beside its embedding: every id that the tokenizer can give must be a row */
#ifndef VOCAB_H
#define VOCAB_H
#include "apr.h"
#include "bpe.h"
#include "hparams.h"

/* The tokenizer of an open .apr into *tok, to be freed with bpe_free; NULL: the file has none.  ERR_DATA as vocab_check
 * has it, or what keeps the tables from being read; *tok is NULL then. */
int vocab_load(struct bpe **tok, const struct apr *a, const struct hparams *h, struct err *e);
/* ERR_DATA with both numbers if tok (NULL: nothing to check) has more tokens than the embedding has rows.  More rows than
 * tokens are padding, which many models have.  path begins the message. */
int vocab_check(const struct bpe *tok, const struct hparams *h, const char *path, struct err *e);
#endif
