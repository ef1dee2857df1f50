/* hash - sha256 (libcrypto), FNV-1a, CRC-32 (zlib) */
#include "hash.h"
#include "mapfile.h"
#include <openssl/evp.h>
#include <zlib.h>

int hash_sha256_init(struct hash_sha256 *h)
{
    h->ctx = EVP_MD_CTX_new();
    return h->ctx && EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) ? 0 : ERR_NOMEM;
}

void hash_sha256_add(struct hash_sha256 *h, const void *p, size_t n)
{
    EVP_DigestUpdate(h->ctx, p, n);
}

void hash_sha256_hex(struct hash_sha256 *h, char hex[65])
{
    unsigned char d[32];
    unsigned n = 0;
    EVP_DigestFinal_ex(h->ctx, d, &n);
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
    for (unsigned i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[d[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[d[i] & 15];
    }
    hex[64] = 0;
}

void hash_sha256_mem(const void *p, size_t n, char hex[65])
{
    struct hash_sha256 h;
    hash_sha256_init(&h);
    hash_sha256_add(&h, p, n);
    hash_sha256_hex(&h, hex);
}

int hash_sha256_file(const char *path, char hex[65], struct err *e)
{
    struct mapfile m;
    int rc = mapfile_open(&m, path, e);
    if (rc < 0)
        return rc;
    hash_sha256_mem(m.p, m.n, hex);
    mapfile_close(&m);
    return 0;
}

uint64_t hash_fnv(uint64_t h, const void *p, size_t n)
{
    const unsigned char *s = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}

uint32_t hash_crc32(uint32_t crc, const void *p, size_t n)
{
    const unsigned char *s = p;
    while (n) { /* zlib takes unsigned lengths */
        uInt k = n > 1u << 30 ? 1u << 30 : (uInt)n;
        crc = (uint32_t)crc32(crc, s, k);
        s += k;
        n -= k;
    }
    return crc;
}
