/* bpe_synth.h - a made-up byte-level BPE vocabulary of any size, for models of random weights
 *
 * It is as large as a true one where that costs time: every entry beyond the 256 bytes is reached by
 * a merge, so that loading and encoding do the work that they do for a real model. */
#ifndef BPE_SYNTH_H
#define BPE_SYNTH_H
#include "bpe.h"

enum { BPE_SYNTH_LEAST = 260 }; /* 256 bytes, one merge, three special tokens */

/* n_token ids: the bytes; then "aa" to "zz", each of two letters; then as many as are wanted of
 * "aaaa", "aaab", ... each of two pairs; and at the end <|endoftext|>, <|im_start|>, <|im_end|>, the
 * last of which ends a text.  The pre-tokenizer is Qwen2's.  ERR_USAGE below BPE_SYNTH_LEAST or above
 * what four letters give (457,911). */
int bpe_synth(struct bpe **b, int n_token, struct err *e);
#endif
