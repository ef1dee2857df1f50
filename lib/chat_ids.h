/* chat_ids.h - a rendered conversation as token ids: special tokens only where the template wrote them */
#ifndef CHAT_IDS_H
#define CHAT_IDS_H
#include "bpe.h"

struct chat_marks; /* a tokenizer's special tokens by their texts */
int chat_marks_new(struct chat_marks **m, const struct bpe *b, struct err *e);
void chat_marks_free(struct chat_marks *m);
/* Ids (malloc) of n bytes, of which those with mark came from outside; their number or a negative code. */
long chat_ids(const struct chat_marks *m, const struct bpe *b, const char *s, const uint8_t *mark,
              size_t n, int32_t **ids, struct err *e);
#endif
