/* gguf_split.h - a GGUF model in several files, as llama.cpp's gguf-split writes and reads them
 *
 * PREFIX-00001-of-0000N.gguf has all keys, and each file split.no (u16, from 0), split.count (u16) and
 * split.tensors.count (i32, of all files). */
#ifndef GGUF_SPLIT_H
#define GGUF_SPLIT_H
#include "gguf_write.h"

enum { GGUF_FILES = 1024 }; /* as many as gguf_open takes */
struct gguf_split {
    uint64_t
        max_bytes;   /* of a file's tensors; 0: no bound. A larger tensor has a file of its own */
    int max_tensors; /* of a file; 0: no bound */
};
struct gguf_piece {
    char *path, sha256[65];
    uint64_t bytes;
};
/* path: PREFIX or PREFIX.gguf.  The arguments are gguf_write's; w gains the split keys.  All files are written, and
 * w->look sees the first of them, in a temporary folder beside; then they get their names.  A first file that an earlier
 * call left is removed before, the new one comes last: whenever it is there, so are all that belong to it, and after an
 * error or a kill either the earlier files are as they were or there is no first one.  *piece: n of them, to be freed
 * by gguf_pieces_free, or NULL on an error. */
int gguf_write_split(const char *path, struct gguf_out *w, const struct tensor *t, int n,
                     const struct gguf_split *s,
                     int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                     struct gguf_piece **piece, int *n_piece, struct err *e);
/* Tensors [i, the answer) are one file's. */
int gguf_split_end(const struct gguf_split *s, const struct tensor *t, int n, int i);
void gguf_pieces_free(struct gguf_piece *piece, int n);
/* "500M", "2G", "100K" (of 1000, as gguf-split's), "123": bytes; 0 if it is none of these. */
uint64_t gguf_split_size(const char *text);
#endif
