/* apr_verify - the bytes of a .apr against its hashes and its CRC; which weights it holds */
#include "apr.h"
#include "hash.h"
#include <inttypes.h>
#include <string.h>

int apr_verify_tensors(const struct apr *a, int (*skip)(void *arg, const struct tensor *t),
                       void *arg, struct err *e)
{
    const cJSON *hashes = cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64");
    for (const cJSON *h = hashes ? hashes->child : NULL; h; h = h->next) {
        const struct tensor *t = h->string ? apr_tensor(a, h->string) : NULL;
        char found[20];
        if (!t)
            return err_set(e, ERR_DATA, "%s: tensor_xxh64 names %.100s, which is not in the index",
                           a->path, h->string ? h->string : "nothing");
        if (skip && skip(arg, t))
            continue;
        snprintf(found, sizeof found, "%016" PRIx64, hash_xxh64(t->data, t->bytes, 0));
        mapfile_forget(&a->map, t->data, t->bytes);
        if (!cJSON_IsString(h) || strcmp(found, h->valuestring))
            return err_set(e, ERR_DATA, "%s: tensor %s: hash: expected %.20s, found %s", a->path,
                           t->name, cJSON_IsString(h) ? h->valuestring : "a string", found);
    }
    return 0;
}

uint64_t apr_weights_id(const struct apr *a)
{
    const cJSON *hashes = cJSON_GetObjectItemCaseSensitive(a->meta, "tensor_xxh64");
    uint64_t id = 0;
    for (const cJSON *h = hashes ? hashes->child : NULL; h; h = h->next)
        if (h->string && cJSON_IsString(h)) {
            id = hash_xxh64(h->string, strlen(h->string), id);
            id = hash_xxh64(h->valuestring, strlen(h->valuestring), id);
        }
    return id;
}

int apr_verify(const struct apr *a, struct err *e)
{
    size_t n = a->map.n - 4;
    if (apr_verify_tensors(a, NULL, NULL, e) < 0)
        return e->code;
    enum { PIECE = 16 << 20 }; /* what is behind us need not stay in memory */
    uint32_t want, crc = 0;
    memcpy(&want, a->map.p + n, 4);
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t k = n - at < PIECE ? n - at : PIECE;
        crc = hash_crc32(crc, a->map.p + at, k);
        mapfile_forget(&a->map, a->map.p + at, k);
    }
    if (crc != want)
        return err_set(e, ERR_DATA, "%s: file CRC: expected %08" PRIx32 ", found %08" PRIx32,
                       a->path, want, crc);
    return 0;
}
