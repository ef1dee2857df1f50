/* info.h - what is in a model file, whatever its format: numbers, tensors, tokenizer, where it came from */
#ifndef INFO_H
#define INFO_H
#include "apr.h"
#include "gguf.h"
#include "hparams.h"
#include "safetensors.h"

struct info {
    const char *path, *format; /* "apr", "gguf", "safetensors" */
    struct apr apr;
    struct gguf gguf;
    struct safetensors st;
    const struct tensor *tensor; /* sorted by name; belongs to the reader above */
    int n_tensor;
    int has_h; /* hyper-parameters were found and are supported */
    struct hparams h;
    struct err why; /* why not */
    uint64_t params, bytes, tokenizer_bytes, file_bytes;
    int n_tokens;   /* -1: no tokenizer */
    cJSON *sidecar; /* of a format without a place for a receipt, or NULL */
};
/* "apr" or "gguf" by the first bytes, else "safetensors", which a folder or an index is too.  NULL: ERR_NOINPUT. */
const char *info_format(const char *path, struct err *e);
int info_open(struct info *f, const char *path, struct err *e);
void info_close(struct info *f);
double info_bits(const struct info *f); /* per weight, 0 if there are none */
/* One object: format, numbers, counts, provenance and "tensors": [{name, type, shape, bytes}]. */
void info_json(const struct info *f, struct json_out *j);
/* The same for people. */
int info_text(const struct info *f, FILE *out);

/* Where everything lies: each byte of each file in one row, in order. */
struct info_row {
    int file; /* from 0, in the order of the shards */
    uint64_t offset, bytes;
    const char *what; /* "header", "metadata", "index of tensors", "tensor", "padding", "CRC-32" */
    const struct tensor *t; /* or NULL */
};
int info_map(const struct info *f, struct info_row **row, int *n, struct err *e); /* free(*row) */
int info_map_json(const struct info *f, struct json_out *j, struct err *e);
int info_map_text(const struct info *f, FILE *out, struct err *e);
void info_put_text(FILE *out, const char *s); /* without control characters */
#endif
