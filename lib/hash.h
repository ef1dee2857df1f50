/* hash.h - sha256 of bytes and files, git's sha1 of a blob, 64-bit FNV-1a, CRC-32 */
#ifndef HASH_H
#define HASH_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct hash_sha256 {
    void *ctx;
};
int hash_sha256_init(struct hash_sha256 *h);
void hash_sha256_add(struct hash_sha256 *h, const void *p, size_t n);
void hash_sha256_hex(struct hash_sha256 *h, char hex[65]); /* ends it */
int hash_sha256_file(const char *path, char hex[65], struct err *e);
/* What git calls a file with these bytes: sha1 of "blob SIZE", a NUL and the bytes. */
int hash_git_blob_file(const char *path, char hex[41], struct err *e);
/* Does the file have this digest, 64 hex digits of sha256 or 40 of a git blob?  1 or 0. */
int hash_oid_file(const char *path, const char *oid, struct err *e);
void hash_sha256_mem(const void *p, size_t n, char hex[65]);

uint64_t hash_fnv(uint64_t h, const void *p, size_t n); /* start with HASH_FNV */
#define HASH_FNV 0xcbf29ce484222325u
uint32_t hash_crc32(uint32_t crc, const void *p, size_t n);     /* IEEE, start with 0 */
uint32_t hash_crc32_join(uint32_t a, uint32_t b, uint64_t n_b); /* of two pieces put together */
uint64_t hash_xxh64(const void *p, size_t n,
                    uint64_t seed); /* XXH64: many GB/s, not cryptographic */
#endif
