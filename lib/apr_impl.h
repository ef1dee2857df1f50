/* apr_impl.h - what the container's reader and writer share (apr.5); everybody else includes apr.h */
#ifndef APR_IMPL_H
#define APR_IMPL_H
#include "apr.h"
#include "hash.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files are little-endian and mapped as they are");

enum {
    APR_HEADER = 64,
    APR_ALIGN = 64,
    APR_META_MAX = 16 << 20 /* aprender's MAX_METADATA_SIZE */
};
enum { /* header flags */
       APR_F_LZ4 = 1,
       APR_F_ZSTD = 2,
       APR_F_ENCRYPTED = 4,
       APR_F_SHARDED = 0x10,
       APR_F_QUANTIZED = 0x20,
       APR_F_VOCAB = 0x200,
       APR_F_ROW_MAJOR = 0x400,
       APR_F_COLUMN_MAJOR = 0x800
};

/* CRC of a header, all of it but the CRC's own four bytes. */
static inline uint32_t apr_header_crc(const uint8_t h[APR_HEADER])
{
    return hash_crc32(hash_crc32(0, h, 40), h + 44, 20);
}

/* apr_types.c: a byte of the index means one of several types, and the size decides */

/* The byte that aprender's reader takes for a type; its own meanings of 3..7 where it has one. */
int apr_type_byte(int type);
/* Type of t, whose shape and size are known, from its byte, or from the name that the writer recorded (a string) or NULL.
 * ERR_DATA names path and t: the byte is no type's, or the size is that of none. */
int apr_type_resolve(const char *path, struct tensor *t, int byte, const cJSON *named,
                     struct err *e);
#endif
