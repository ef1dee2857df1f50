/* gguf_write.h - GGUF v3 writer: keys of every type, tensors streamed, the file whole or not at all
 *
 * Keys are gathered in memory in the order of the calls, then gguf_write puts keys, tensor table and
 * data down.  Memory that runs out in between is remembered and told by gguf_write, so that the calls
 * need no checks. */
#ifndef GGUF_WRITE_H
#define GGUF_WRITE_H
#include "gguf.h"

enum { GGUF_ALIGN = 32, GGUF_NAME = 64 }; /* the format's default; ggml's GGML_MAX_NAME */
struct gguf_out {
    uint8_t *kv; /* keys and values as they will stand in the file */
    size_t n, cap;
    uint64_t n_kv;
    size_t count_at; /* the list that gguf_out_item fills: where its length stands */
    int failed;
    /* called with the whole file under its temporary name, not where it cannot be read back; an error is gguf_write's,
     * and no file appears. NULL: not */
    int (*look)(void *arg, const char *file, struct err *e);
    void *look_arg;
};
/* A zeroed struct is empty; no key may be given twice. A number or bool as it lies in memory: 1, 2, 4 or 8 bytes as its type has. */
void gguf_out_num(struct gguf_out *w, const char *key, enum gguf_vtype type, const void *value);
void gguf_out_u32(struct gguf_out *w, const char *key, uint32_t v);
void gguf_out_f32(struct gguf_out *w, const char *key, float v);
void gguf_out_bool(struct gguf_out *w, const char *key, int v);
void gguf_out_str(struct gguf_out *w, const char *key, const char *s);
/* n numbers as they lie in memory. */
void gguf_out_nums(struct gguf_out *w, const char *key, enum gguf_vtype elem, const void *v,
                   uint64_t n);
/* A list of strings: its key, then each item until the next key. */
void gguf_out_strs(struct gguf_out *w, const char *key);
void gguf_out_item(struct gguf_out *w, const char *s, size_t n);
void gguf_out_free(struct gguf_out *w);

/* Write path (outfile: - is stdout). Tensors in the order of t, dims outermost first; data[i] comes from
 * t[i].data or, where that is NULL, from fill(arg, i, buf), which must write t[i].bytes bytes (one tensor
 * in memory at a time). sha256 (65) may be NULL. What the format cannot hold (a type of ours, five dims,
 * a long name) is ERR_DATA naming the tensor. */
int gguf_write(const char *path, const struct gguf_out *w, const struct tensor *t, int n,
               int (*fill)(void *arg, int i, void *buf, struct err *e), void *arg, char *sha256,
               struct err *e);
#endif
