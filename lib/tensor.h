/* tensor.h - a named tensor in a file: type, shape, bytes; what every format reader hands out */
#ifndef TENSOR_H
#define TENSOR_H
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_DIMS = 8, TENSOR_NAME = 256 };
/* types beyond enum kn_type: GGML's ids below 128, the two block layouts of aprender's own, and from 160
 * on our ids for types that only SafeTensors has */
enum {
    TENSOR_I8 = 24,
    TENSOR_I16 = 25,
    TENSOR_I64 = 27,
    TENSOR_F64 = 28,
    TENSOR_APR_Q4 = 128, /* whole tensor flat, per 32 values an f16 scale and 16 bytes of nibbles */
    TENSOR_APR_Q8 = 129, /* one f32 scale, then int8 */
    TENSOR_U8 = 160,
    TENSOR_BOOL,
    TENSOR_U16,
    TENSOR_U32,
    TENSOR_U64,
    TENSOR_F8_E4M3,
    TENSOR_F8_E5M2,
    TENSOR_F8_E8M0,
    TENSOR_C64,
    TENSOR_F4,      /* two values a byte */
    TENSOR_F6_E2M3, /* four values in three bytes */
    TENSOR_F6_E3M2
};

struct tensor {
    char name[TENSOR_NAME + 1];
    int type; /* enum kn_type or above */
    int ndim;
    uint64_t dim[TENSOR_DIMS]; /* outermost first, row-major */
    const void *data;          /* inside the mapped file; belongs to it */
    size_t bytes;
};
/* rows (all dims but the last) and columns (the last); a scalar is 1 x 1 */
uint64_t tensor_rows(const struct tensor *t);
uint64_t tensor_cols(const struct tensor *t);
uint64_t tensor_count(const struct tensor *t); /* elements */
/* Bytes that type and dims ask for; 0 on overflow, unknown type or a row that is no multiple of its block. */
size_t tensor_bytes(int type, int ndim, const uint64_t *dim);
/* The same for tensors that may be empty: 1 and *bytes, or 0. */
int tensor_size(int type, int ndim, const uint64_t *dim, size_t *bytes);
const char *tensor_type_name(int type);    /* "Q8_0"; "?" if unknown */
int tensor_type_by_name(const char *name); /* -1 if unknown; case matters */
int tensor_type_block(int type);           /* values of a block, 1 for plain types, 0 if unknown */
/* The float widths and quantized types that the engine computes with. */
int tensor_is_weight(int type);
/* Index of the first value (or of the first block's first value) that is NaN or infinite; -1 if there is
 * none. Looks at floats and at the scales of quantized blocks, not at integers. */
int64_t tensor_not_finite(const struct tensor *t);
/* n values of a weight as f32, from `first` on, which begins a block. */
void tensor_values(const struct tensor *t, uint64_t first, float *x, size_t n);
/* qsort and bsearch by name, bytewise */
int tensor_by_name(const void *a, const void *b);
/* "(512, 256)" into buf */
const char *tensor_shape(const struct tensor *t, char *buf, size_t size);
/* Index of a tensor whose bytes overlap those of another among n tensors of one mapping, or -1. ERR_NOMEM
 * is -2. */
int tensor_overlap(const struct tensor *t, int n);
#endif
