/* apr_types - what a byte of the index says about a tensor: one of several types, and the size decides */
#include "apr_impl.h"
#include "blocks.h"

static const struct {
    uint8_t byte, type;
} meanings[] = {
    // clang-format off
    {0, KN_F32}, {1, KN_F16}, {2, KN_Q4_0}, {3, TENSOR_F64}, {3, KN_Q4_1}, {4, KN_I32}, {5, TENSOR_I64},
    {6, TENSOR_I8}, {6, KN_Q5_0}, {7, TENSOR_U8}, {7, KN_Q5_1}, {8, KN_Q8_0}, {8, TENSOR_APR_Q4},
    {9, TENSOR_APR_Q8}, {9, 9}, {10, 10}, {11, 11}, {12, KN_Q4_K}, {13, KN_Q5_K}, {14, KN_Q6_K}, {15, 15},
    {16, 16}, {17, 17}, {18, 18}, {19, 19}, {20, 20}, {21, 21}, {22, 22}, {23, 23}, {24, TENSOR_I8},
    {25, TENSOR_I16}, {26, KN_I32}, {27, TENSOR_I64}, {28, TENSOR_F64}, {29, 29}, {30, KN_BF16}, {34, 34},
    {35, 35}, {39, 39}, {128, TENSOR_APR_Q4}, {129, TENSOR_APR_Q8},
    // clang-format on
};

int apr_type_byte(int type)
{
    static const uint8_t plain[][2] = {
        {TENSOR_F64, 3}, {KN_I32, 4}, {TENSOR_I64, 5}, {TENSOR_I8, 6}, {TENSOR_U8, 7}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (plain[i][0] == type)
            return plain[i][1];
    return type;
}

static int can_mean(int byte, int type)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (meanings[i].byte == byte && meanings[i].type == type)
            return 1;
    return byte == type && type >= TENSOR_U8 && tensor_type_block(type);
}

int apr_type_resolve(const char *path, struct tensor *t, int byte, const cJSON *named,
                     struct err *e)
{
    size_t n = 0;
    char shape[200];
    /* A name that fits neither byte nor size is left over from another writer that kept our keys.
     */
    int type = cJSON_IsString(named) ? tensor_type_by_name(named->valuestring) : -1;
    if (type >= 0 && can_mean(byte, type) && tensor_size(type, t->ndim, t->dim, &n) &&
        n == t->bytes) {
        t->type = type;
        return 0;
    }
    t->type = -1;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (meanings[i].byte != byte)
            continue;
        if (t->type < 0)
            t->type = meanings[i].type;
        if (tensor_size(meanings[i].type, t->ndim, t->dim, &n) && n == t->bytes) {
            t->type = meanings[i].type;
            return 0;
        }
    }
    if (t->type < 0 && can_mean(byte, byte)) {
        t->type = byte;
        if (tensor_size(byte, t->ndim, t->dim, &n) && n == t->bytes)
            return 0;
    }
    if (t->type < 0)
        return err_set(e, ERR_DATA, "%s: tensor %s: unknown type %d", path, t->name, byte);
    return err_set(
        e, ERR_DATA, "%s: tensor %s: size %zu fits no type of byte %d (%s ...) with shape %s", path,
        t->name, t->bytes, byte, tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape));
}
