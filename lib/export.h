/* export.h - a .apr file in the formats of others */
#ifndef EXPORT_H
#define EXPORT_H
#include "err.h"
#include <stdint.h>

struct export_done {
    char sha256[65];
    uint64_t bytes; /* of the file; 0 if it went to standard output */
    /* what the format says nothing of, for a warning */
    int no_tokenizer;    /* the .apr has none */
    int tokenizer_loses; /* added tokens that take spaces with them, or normalization */
};
/* in as llama.cpp's converter would have written it: its names, keys, and order of q's and k's rows.
 * Weights keep their bytes; norms, biases and other vectors become F32.  in is verified first.  What GGUF
 * cannot hold is ERR_DATA naming tensor, token or key. */
int export_gguf(const char *in, const char *out, struct export_done *done, struct err *e);
#endif
