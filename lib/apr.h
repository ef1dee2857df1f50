/* apr.h - the .apr container, version 2.0: read and write (apr.5)
 *
 * The file is mapped; tensors, names and metadata live until apr_close.  Everything is checked before
 * use: sizes, offsets, overlaps, both CRCs' extents.  Tensor names are Hugging Face's
 * ("model.layers.0.self_attn.q_proj.weight"); tensors are sorted by name. */
#ifndef APR_H
#define APR_H
#include "err.h"
#include "json.h"
#include "mapfile.h"
#include "tensor.h"

#define APR_TOKENIZER "tokenizer.tables" /* U8 tensor: bpe_save's layout */

struct apr {
    struct mapfile map;
    char *path;
    cJSON *meta;
    struct tensor *tensor;
    int n_tensor;
    uint64_t meta_off, meta_end, index_off,
        data_off; /* where its parts begin; where metadata end */
};
/* ERR_NOINPUT, ERR_DATA with file, tensor, offset, expected and found. Does not read tensor data. */
int apr_open(struct apr *a, const char *path, struct err *e);
void apr_close(struct apr *a);
const struct tensor *apr_tensor(const struct apr *a, const char *name); /* NULL if absent */
/* Read everything: footer CRC and per-tensor hashes. ERR_DATA names what differs. */
int apr_verify(const struct apr *a, struct err *e);
/* The hashes alone, where the metadata holds them: for whoever uses the weights (xxh64 runs at the
 * speed of memory, the CRC does not), but for tensors that skip(arg, t), if given, says to leave out.
 * ERR_DATA names the tensor. */
int apr_verify_tensors(const struct apr *a, int (*skip)(void *arg, const struct tensor *t),
                       void *arg, struct err *e);

/* Write path whole (outfile). Tensors in any order; data[i] comes from t[i].data or, where that is NULL,
 * from fill(arg, i, buf) which must write t[i].bytes bytes (streamed: one tensor in memory at a time).
 * meta gains what the writer must record (exact type names, tensor hashes, tool). sha256 (65) may be NULL. */
int apr_write(const char *path, const cJSON *meta, const struct tensor *t, int n,
              int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg, char *sha256,
              struct err *e);
/* The same with a receipt: what came of comparing the file with its source (verify.h).  Its place in the metadata is
 * reserved when they are written; look then sees the file, whole but still under the temporary name, and sets text;
 * the header's CRC is taken again and joined with that of the data.  An error of look is the writer's: no file
 * appears, and one of that name stays as it is.  Without look, or where the output cannot be read back (a pipe), text
 * is written as it comes. */
enum { APR_RECEIPT = 1024 };
struct apr_receipt {
    char text[APR_RECEIPT]; /* a JSON object */
    int (*look)(void *arg, const char *file, char text[APR_RECEIPT], struct err *e);
    void *arg;
};
int apr_write_receipt(const char *path, const cJSON *meta, const struct tensor *t, int n,
                      int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg,
                      struct apr_receipt *r, char *sha256, struct err *e);
/* XXH64 of the names and hashes of all tensors, by which a receipt says which weights it is of; 0 if the file has no
 * hashes. */
uint64_t apr_weights_id(const struct apr *a);
/* A copy of meta for a derived model: everything carried on but the receipt, provenance list extended by this tool. */
cJSON *apr_derive_meta(const cJSON *meta, struct err *e);
#endif
