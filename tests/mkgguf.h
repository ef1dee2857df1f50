/* mkgguf.h - GGUF files for tests, written field by field */
#ifndef MKGGUF_H
#define MKGGUF_H
#include "gguf.h"
#include <stdio.h>
#include <string.h>

struct mk {
    uint8_t b[1 << 20];
    size_t n;
    uint64_t n_tensor, n_kv, data_n;
    struct {
        char name[80];
        int type, ndim;
        uint64_t ne[4]; /* innermost first, as in the file */
        uint64_t off;
        size_t bytes;
    } t[64];
};
__attribute__((unused)) static void mk_put(struct mk *m, const void *p, size_t n)
{
    memcpy(m->b + m->n, p, n);
    m->n += n;
}
__attribute__((unused)) static void mk_u32(struct mk *m, uint32_t v)
{
    mk_put(m, &v, 4);
}
__attribute__((unused)) static void mk_u64(struct mk *m, uint64_t v)
{
    mk_put(m, &v, 8);
}
__attribute__((unused)) static void mk_str(struct mk *m, const char *s)
{
    mk_u64(m, strlen(s));
    mk_put(m, s, strlen(s));
}
__attribute__((unused)) static void mk_begin(struct mk *m, uint32_t version)
{
    m->n = m->n_tensor = m->n_kv = m->data_n = 0;
    mk_put(m, "GGUF", 4);
    mk_u32(m, version);
    mk_u64(m, 0); /* counts: patched by mk_end */
    mk_u64(m, 0);
}
__attribute__((unused)) static void mk_key(struct mk *m, const char *key, uint32_t type)
{
    m->n_kv++;
    mk_str(m, key);
    mk_u32(m, type);
}
__attribute__((unused)) static void mk_kv_u32(struct mk *m, const char *key, uint32_t v)
{
    mk_key(m, key, GGUF_U32);
    mk_u32(m, v);
}
__attribute__((unused)) static void mk_kv_f32(struct mk *m, const char *key, float v)
{
    mk_key(m, key, GGUF_F32);
    mk_put(m, &v, 4);
}
__attribute__((unused)) static void mk_kv_str(struct mk *m, const char *key, const char *v)
{
    mk_key(m, key, GGUF_STRING);
    mk_str(m, v);
}
__attribute__((unused)) static void mk_kv_strs(struct mk *m, const char *key, const char *const *v,
                                               size_t n)
{
    mk_key(m, key, GGUF_ARRAY);
    mk_u32(m, GGUF_STRING);
    mk_u64(m, n);
    for (size_t i = 0; i < n; i++)
        mk_str(m, v[i]);
}
__attribute__((unused)) static void mk_kv_i32s(struct mk *m, const char *key, const int32_t *v,
                                               size_t n)
{
    mk_key(m, key, GGUF_ARRAY);
    mk_u32(m, GGUF_I32);
    mk_u64(m, n);
    mk_put(m, v, 4 * n);
}
/* rows 0: one dim */
__attribute__((unused)) static void mk_tensor(struct mk *m, const char *name, int type,
                                              uint64_t rows, uint64_t cols)
{
    uint64_t dim[2] = {rows ? rows : cols, cols};
    snprintf(m->t[m->n_tensor].name, sizeof m->t->name, "%s", name);
    m->t[m->n_tensor].type = type;
    m->t[m->n_tensor].ndim = rows ? 2 : 1;
    m->t[m->n_tensor].ne[0] = cols;
    m->t[m->n_tensor].ne[1] = rows;
    m->t[m->n_tensor].off = m->data_n;
    m->t[m->n_tensor].bytes = tensor_bytes(type, rows ? 2 : 1, dim);
    m->data_n += (m->t[m->n_tensor].bytes + 31) / 32 * 32;
    m->n_tensor++;
}
/* The descriptions and the data: bytes of a fixed pattern that are small finite floats in every
 * width. */
__attribute__((unused)) static void mk_end(struct mk *m)
{
    memcpy(m->b + 8, &m->n_tensor, 8);
    memcpy(m->b + 16, &m->n_kv, 8);
    for (uint64_t i = 0; i < m->n_tensor; i++) {
        mk_str(m, m->t[i].name);
        mk_u32(m, (uint32_t)m->t[i].ndim);
        for (int d = 0; d < m->t[i].ndim; d++)
            mk_u64(m, m->t[i].ne[d]);
        mk_u32(m, (uint32_t)m->t[i].type);
        mk_u64(m, m->t[i].off);
    }
    while (m->n % 32)
        m->b[m->n++] = 0;
    for (uint64_t i = 0; i < m->data_n; i++)
        m->b[m->n++] = (uint8_t)(i % 4 == 3 ? 0x3c : i % 4 == 1 ? 0x2c : i * 7);
}
__attribute__((unused)) static int mk_save(const struct mk *m, const char *path)
{
    FILE *f = fopen(path, "wb");
    return f && fwrite(m->b, 1, m->n, f) == m->n && fclose(f) == 0 ? 0 : -1;
}
#endif
