/* gguf.h - GGUF v2/v3 reader (split files too): keys and tensors of a mapped file, all checked */
#ifndef GGUF_H
#define GGUF_H
#include "err.h"
#include "mapfile.h"
#include "tensor.h"

enum gguf_vtype {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};
struct gguf_str { /* not NUL-terminated, inside the map */
    const char *p;
    size_t n;
};
struct gguf_kv {
    struct gguf_str key;
    enum gguf_vtype type, elem; /* elem: of an array */
    uint64_t n;                 /* elements of an array, else 1 */
    const uint8_t *data;        /* the value as stored */
    struct gguf_str *strs;      /* of a string (1) or string array (n), else NULL */
};
struct gguf {
    struct mapfile *map;
    int n_map;
    char *path;
    struct gguf_kv *kv;
    size_t n_kv;
    struct tensor *tensor; /* GGUF names; dims outermost first */
    int n_tensor;
};
int gguf_open(struct gguf *g, const char *path, struct err *e);
void gguf_close(struct gguf *g);
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key);
/* Numbers of any integer or float width; dflt if the key is absent, ERR_DATA if it is of another kind. */
double gguf_num(const struct gguf *g, const char *key, double dflt, struct err *e);
/* A token id below n; -1: none, which is no key, or -1 (llama.cpp writes it as u32 too).  Any other number is ERR_DATA with
 * key and number: llama.cpp warns and takes a default of its tokenizer's kind (11 of byte-level BPE, 1 and 2 of
 * SentencePiece), which is some token of this model, but hardly the one that was meant. */
int32_t gguf_id(const struct gguf *g, const char *key, int n, struct err *e);
double gguf_elem(const struct gguf_kv *kv, uint64_t i); /* element of a numeric array */
const struct gguf_str *gguf_string(const struct gguf *g, const char *key); /* NULL if absent */
const struct tensor *gguf_tensor(const struct gguf *g, const char *name);
#endif
