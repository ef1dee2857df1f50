/* hash - sha256 (libcrypto), FNV-1a, CRC-32 (zlib) */
#include "hash.h"
#include "mapfile.h"
#include <libdeflate.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
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
    struct hash_sha256 h;
    enum { PIECE = 16 << 20 }; /* what is behind us need not stay in memory */
    hash_sha256_init(&h);
    for (size_t at = 0; at < m.n; at += PIECE) {
        const size_t k = m.n - at < PIECE ? m.n - at : PIECE;
        hash_sha256_add(&h, m.p + at, k);
        mapfile_forget(&m, m.p + at, k);
    }
    hash_sha256_hex(&h, hex);
    mapfile_close(&m);
    return 0;
}

int hash_git_blob_file(const char *path, char hex[41], struct err *e)
{
    struct mapfile m;
    char head[40];
    unsigned char d[20] = {0};
    int rc = mapfile_open(&m, path, e);
    if (rc < 0)
        return rc;
    int n = snprintf(head, sizeof head, "blob %zu", m.n);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    int good = c && EVP_DigestInit_ex(c, EVP_sha1(), NULL) &&
               EVP_DigestUpdate(c, head, (size_t)n + 1) && EVP_DigestUpdate(c, m.p, m.n) &&
               EVP_DigestFinal_ex(c, d, NULL);
    EVP_MD_CTX_free(c);
    mapfile_close(&m);
    for (int i = 0; i < 20; i++)
        snprintf(hex + 2 * i, 3, "%02x", d[i]);
    return good ? 0 : err_set(e, ERR_NOMEM, "%s: no sha1", path);
}

int hash_oid_file(const char *path, const char *oid, struct err *e)
{
    char hex[65];
    int rc = strlen(oid) == 64 ? hash_sha256_file(path, hex, e) : hash_git_blob_file(path, hex, e);
    return rc < 0 ? rc : strcmp(hex, oid) == 0;
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
    return libdeflate_crc32(crc, n ? p : "",
                            n); /* three times zlib's speed; NULL would restart it */
}

uint32_t hash_crc32_join(uint32_t a, uint32_t b, uint64_t n_b)
{
    return (uint32_t)crc32_combine(a, b, (z_off_t)n_b);
}

/* ---- XXH64 (xxHash specification 0.1.1, part "XXH64 Algorithm Description") ---- */

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static uint64_t rotl(uint64_t x, int r)
{
    return x << r | x >> (64 - r);
}

static uint64_t get64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static uint64_t xxh_round(uint64_t acc, uint64_t lane)
{
    return rotl(acc + lane * P2, 31) * P1;
}

uint64_t hash_xxh64(const void *data, size_t n, uint64_t seed)
{
    const unsigned char *p = data, *end = p + n;
    uint64_t h;
    if (n >= 32) {
        /* four variables, not an array: gcc keeps that in memory, at half the speed */
        uint64_t a = seed + P1 + P2, b = seed + P2, c = seed, d = seed - P1;
        for (; end - p >= 32; p += 32) {
            a = xxh_round(a, get64(p));
            b = xxh_round(b, get64(p + 8));
            c = xxh_round(c, get64(p + 16));
            d = xxh_round(d, get64(p + 24));
        }
        h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
        h = (h ^ xxh_round(0, a)) * P1 + P4;
        h = (h ^ xxh_round(0, b)) * P1 + P4;
        h = (h ^ xxh_round(0, c)) * P1 + P4;
        h = (h ^ xxh_round(0, d)) * P1 + P4;
    } else {
        h = seed + P5;
    }
    h += n;
    for (; end - p >= 8; p += 8)
        h = rotl(h ^ xxh_round(0, get64(p)), 27) * P1 + P4;
    if (end - p >= 4) {
        uint32_t v;
        memcpy(&v, p, 4);
        h = rotl(h ^ v * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++)
        h = rotl(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}
