/* tensor.h - a named tensor in a file: type, shape, bytes; what every format reader hands out */
#ifndef TENSOR_H
#define TENSOR_H
#include <stddef.h>
#include <stdint.h>

enum { TENSOR_DIMS = 8, TENSOR_NAME = 256 };
/* types beyond enum kn_type, by GGML's ids */
enum { TENSOR_I8 = 24, TENSOR_I16 = 25, TENSOR_I64 = 27, TENSOR_F64 = 28, TENSOR_U8 = 160 };

struct tensor {
    char name[TENSOR_NAME + 1];
    int type;                  /* enum kn_type or above */
    int ndim;
    uint64_t dim[TENSOR_DIMS]; /* outermost first, row-major */
    const void *data;          /* inside the mapped file; belongs to it */
    size_t bytes;
};
/* rows (all dims but the last) and columns (the last) */
uint64_t tensor_rows(const struct tensor *t);
uint64_t tensor_cols(const struct tensor *t);
/* Bytes that type and dims ask for; 0 on overflow, unknown type or a row that is no multiple of its block. */
size_t tensor_bytes(int type, int ndim, const uint64_t *dim);
const char *tensor_type_name(int type); /* "Q8_0"; "?" if unknown */
#endif
