/* export.h - a .apr file in the formats of others */
#ifndef EXPORT_H
#define EXPORT_H
#include "err.h"
#include "gguf_split.h"
#include "import.h"
#include <stdint.h>

struct export_done {
    char sha256[65];
    uint64_t
        bytes; /* of the file (of the weights' files of a folder); 0 if it went to standard output */
    /* what the format says nothing of, for a warning */
    int no_tokenizer; /* the .apr has none */
    int window_lost; /* sliding window that llama.cpp's architecture does not have: results differ beyond it */
    int tokenizer_loses; /* added tokens that take spaces with them, or normalization */
};
/* Called when everything is written and has not its name yet: the source, and the file or folder.  An error is the
 * exporter's, and nothing appears.  loses: export_done's tokenizer_loses. */
struct export_look {
    int (*look)(void *arg, const struct view *from, const char *path, int loses, struct err *e);
    void *arg;
};
/* in as llama.cpp's converter would have written it: its names, keys, and order of q's and k's rows.
 * Weights keep their bytes; norms, biases and other vectors become F32.  in is verified first.  What GGUF
 * cannot hold is ERR_DATA naming tensor, token or key. */
int export_gguf(const char *in, const char *out, const struct export_look *look,
                struct export_done *done, struct err *e);
/* The same in several files (gguf_split.h), named after out; *piece is the caller's to free. */
int export_gguf_split(const char *in, const char *out, const struct gguf_split *split,
                      const struct export_look *look, struct gguf_piece **piece, int *n_piece,
                      struct export_done *done, struct err *e);
/* in as a Hugging Face folder: model.safetensors, config.json, generation_config.json, tokenizer.json,
 * tokenizer_config.json.  Matrices get the type, where IMPORT_KEEP turns blocks into BF16 and leaves the
 * rest; vectors are only widened.  split: so much in one file of weights, else several and model.safetensors.index.json;
 * NULL: one.  out appears whole or not at all. */
int export_st(const char *in, const char *out, enum import_type type,
              const struct gguf_split *split, const struct export_look *look,
              struct export_done *done, struct err *e);
#endif
