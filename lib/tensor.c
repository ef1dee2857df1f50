/* tensor - types of tensors in files: names, block sizes, bytes of a shape */
#include "tensor.h"
#include "blocks.h"
#include "mapfile.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GGML's table (ggml.c type_traits): values and bytes of a block. Types that the engine does not
 * compute with are here so that they can be refused by name. */
static const struct {
    const char *name;
    uint8_t id, weight;
    uint16_t len, bytes;
} types[] = {
    // clang-format off
    {"F32", KN_F32, 1, 1, 4},         {"F16", KN_F16, 1, 1, 2},         {"BF16", KN_BF16, 1, 1, 2},
    {"Q4_0", KN_Q4_0, 1, 32, 18},     {"Q4_1", KN_Q4_1, 1, 32, 20},     {"Q5_0", KN_Q5_0, 1, 32, 22},
    {"Q5_1", KN_Q5_1, 1, 32, 24},     {"Q8_0", KN_Q8_0, 1, 32, 34},     {"Q8_1", 9, 0, 32, 36},
    {"Q2_K", KN_Q2_K, 1, 256, 84},         {"Q3_K", KN_Q3_K, 1, 256, 110},        {"Q4_K", KN_Q4_K, 1, 256, 144},
    {"Q5_K", KN_Q5_K, 1, 256, 176},   {"Q6_K", KN_Q6_K, 1, 256, 210},   {"Q8_K", 15, 0, 256, 292},
    {"IQ2_XXS", 16, 0, 256, 66},      {"IQ2_XS", 17, 0, 256, 74},       {"IQ3_XXS", 18, 0, 256, 98},
    {"IQ1_S", 19, 0, 256, 50},        {"IQ4_NL", KN_IQ4_NL, 1, 32, 18},        {"IQ3_S", 21, 0, 256, 110},
    {"IQ2_S", 22, 0, 256, 82},        {"IQ4_XS", KN_IQ4_XS, 1, 256, 136},      {"I8", TENSOR_I8, 0, 1, 1},
    {"I16", TENSOR_I16, 0, 1, 2},     {"I32", KN_I32, 0, 1, 4},         {"I64", TENSOR_I64, 0, 1, 8},
    {"F64", TENSOR_F64, 0, 1, 8},     {"IQ1_M", 29, 0, 256, 56},        {"TQ1_0", 34, 0, 256, 54},
    {"TQ2_0", 35, 0, 256, 66},        {"MXFP4", KN_MXFP4, 1, 32, 17},      {"NF4", KN_NF4, 1, 64, 33},
    {"APR_Q4", TENSOR_APR_Q4, 0, 32, 18}, {"APR_Q8", TENSOR_APR_Q8, 0, 1, 1},
    {"U8", TENSOR_U8, 0, 1, 1},       {"BOOL", TENSOR_BOOL, 0, 1, 1},   {"U16", TENSOR_U16, 0, 1, 2},
    {"U32", TENSOR_U32, 0, 1, 4},     {"U64", TENSOR_U64, 0, 1, 8},     {"F8_E4M3", TENSOR_F8_E4M3, 0, 1, 1},
    {"F8_E5M2", TENSOR_F8_E5M2, 0, 1, 1}, {"F8_E8M0", TENSOR_F8_E8M0, 0, 1, 1}, {"C64", TENSOR_C64, 0, 1, 8},
    {"F4", TENSOR_F4, 0, 2, 1},       {"F6_E2M3", TENSOR_F6_E2M3, 0, 4, 3}, {"F6_E3M2", TENSOR_F6_E3M2, 0, 4, 3},
    // clang-format on
};

static int find(int type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].id == type)
            return (int)i;
    return -1;
}

uint64_t tensor_cols(const struct tensor *t)
{
    return t->ndim ? t->dim[t->ndim - 1] : 1;
}

uint64_t tensor_rows(const struct tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i + 1 < t->ndim; i++)
        n *= t->dim[i];
    return n;
}

uint64_t tensor_count(const struct tensor *t)
{
    return tensor_rows(t) * tensor_cols(t);
}

int tensor_size(int type, int ndim, const uint64_t *dim, size_t *bytes)
{
    int i = find(type);
    size_t n = 1, blocks;
    if (i < 0 || ndim < 0 || ndim > TENSOR_DIMS)
        return 0;
    for (int d = 0; d < ndim; d++) /* zeros last: no order of dims may hide an overflow */
        if (dim[d] && !size_mul(n, dim[d], &n))
            return 0;
    for (int d = 0; d < ndim; d++)
        if (!dim[d])
            n = 0;
    if (type == TENSOR_APR_Q8)
        return size_add(n, 4, bytes);
    if (type == KN_NF4) { /* less than a byte a value, and a few more */
        *bytes = kn_nf4_bytes(n);
        return 1;
    }
    if (type == TENSOR_APR_Q4) /* flat: the last block may be part full */
        blocks = n / 32 + (n % 32 != 0);
    else if ((ndim ? dim[ndim - 1] : 1) % types[i].len)
        return 0;
    else
        blocks = n / types[i].len;
    return size_mul(blocks, types[i].bytes, bytes);
}

size_t tensor_bytes(int type, int ndim, const uint64_t *dim)
{
    size_t n;
    return tensor_size(type, ndim, dim, &n) ? n : 0;
}

const char *tensor_type_name(int type)
{
    int i = find(type);
    return i < 0 ? "?" : types[i].name;
}

int tensor_type_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].id;
    return -1;
}

int tensor_type_block(int type)
{
    int i = find(type);
    return i < 0 ? 0 : types[i].len;
}

int tensor_is_weight(int type)
{
    int i = find(type);
    return i >= 0 && types[i].weight;
}

/* First of n 16-bit floats, `stride` bytes apart, with all bits of `exponent` set; n if none. */
static size_t scan16(const uint8_t *p, size_t n, size_t stride, unsigned exponent)
{
    for (size_t i = 0; i < n; i++, p += stride)
        if (((unsigned)(p[0] | p[1] << 8) & exponent) == exponent)
            return i;
    return n;
}

/* Offsets of the half-precision scales inside a block of a type; their number. */
static int scales_of(int type, size_t at[2])
{
    at[0] = 0;
    at[1] = sizeof(kn_half);
    switch (type) {
    case KN_Q4_0:
    case KN_Q5_0:
    case KN_Q8_0:
    case KN_IQ4_NL:
    case KN_IQ4_XS:
        return 1;
    case KN_Q4_1:
    case KN_Q5_1:
    case KN_Q4_K:
    case KN_Q5_K:
        return 2;
    case KN_Q2_K:
        at[0] = offsetof(struct kn_q2_k, d);
        at[1] = offsetof(struct kn_q2_k, dmin);
        return 2;
    case KN_Q3_K:
        at[0] = offsetof(struct kn_q3_k, d);
        return 1;
    case KN_Q6_K:
        at[0] = offsetof(struct kn_q6_k, d);
        return 1;
    default:
        return 0;
    }
}

int64_t tensor_not_finite(const struct tensor *t)
{
    enum { F16 = 0x7c00, BF16 = 0x7f80, MXFP4_MAX = 252 }; /* 12 * 2^(252 - 128) is an f32 */
    const uint8_t *p = t->data;
    size_t n = tensor_count(t), i = n, len = (size_t)tensor_type_block(t->type);
    if (t->type == KN_F32) { /* the exponent is in the upper half, as of BF16 */
        i = scan16(p + 2, n, 4, BF16);
    } else if (t->type == KN_BF16) {
        i = scan16(p, n, 2, BF16);
    } else if (t->type == KN_F16) {
        i = scan16(p, n, 2, F16);
    } else if (t->type == KN_NF4) {
        size_t floats = (n + 64 * 256 - 1) / (64 * 256) + 1; /* scales of scales, their mean */
        i = scan16(p + t->bytes - 4 * floats + 2, floats, 4, BF16);
        return i < floats ? 0 : -1;
    } else if (t->type == KN_MXFP4) {
        const size_t blocks = n / len;
        for (i = 0; i < blocks && p[17 * i] <= MXFP4_MAX; i++)
            ;
        return i < blocks ? (int64_t)(i * len) : -1;
    } else if (tensor_is_weight(t->type)) {
        const size_t blocks = n / len;
        size_t at[2];
        const int n_at = scales_of(t->type, at);
        for (i = 0; i < blocks; i++, p += t->bytes / blocks)
            for (int k = 0; k < n_at; k++)
                if (scan16(p + at[k], 1, 0, F16) == 0)
                    return (int64_t)(i * len);
        return -1;
    }
    return i < n ? (int64_t)i : -1;
}

void tensor_values(const struct tensor *t, uint64_t first, float *x, size_t n)
{
    if (t->type == KN_NF4)
        kn_nf4_dequantize(t->data, (size_t)tensor_count(t), (size_t)first, x, n);
    else
        kn_dequantize(t->type, (const char *)t->data + kn_row_bytes(t->type, (size_t)first), x, n);
}

int tensor_by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

const char *tensor_shape(const struct tensor *t, char *buf, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < t->ndim && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRIu64, i ? ", " : "(", t->dim[i]);
    if (n < size)
        snprintf(buf + n, size - n, t->ndim ? ")" : "()");
    return buf;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

int tensor_overlap(const struct tensor *t, int n)
{
    const struct tensor **v = malloc(((size_t)n + 1) * sizeof *v);
    int bad = -1, k = 0;
    if (!v)
        return -2;
    for (int i = 0; i < n; i++)
        if (t[i].bytes)
            v[k++] = &t[i];
    qsort(v, (size_t)k, sizeof *v, by_place);
    for (int i = 1; i < k && bad < 0; i++)
        if ((uintptr_t)v[i]->data < (uintptr_t)v[i - 1]->data + v[i - 1]->bytes)
            bad = (int)(v[i] - t);
    free(v);
    return bad;
}
