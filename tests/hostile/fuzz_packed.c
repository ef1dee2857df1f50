/* fuzz_packed - libFuzzer entry: whatever the bytes, prepared weights are taken, passed over or refused (make fuzz)
 *
 * The model is base.apr in the working folder.  What says that the file is of this model, and the hashes, are set
 * right before it is read. */
#include "fuzz.h"
#include "hash.h"
#include "packed.h"

/* Places in packed.c's head. */
enum { LAYOUT = 8, MODEL = 56, N_ENTRY = 128, INDEX_HASH = 144, HEAD = 256 };

static uint8_t *repaired(const uint8_t *p, size_t n, const struct apr *a, const struct kn_dev *dev)
{
    const size_t entry = TENSOR_NAME + 16 + 24;
    uint8_t *b = malloc(n + 1);
    uint64_t count, hash = 0, at[2];
    char *meta = cJSON_PrintUnformatted(a->meta), hex[65];
    memcpy(b, p, n);
    memset(b + LAYOUT, 0, MODEL - LAYOUT);
    memcpy(b + LAYOUT, kn_layout(dev), strlen(kn_layout(dev)));
    hash_sha256_mem(meta, strlen(meta), hex);
    memcpy(b + MODEL, hex, sizeof hex);
    free(meta);
    memcpy(&count, b + N_ENTRY, 8);
    count = count < (n - HEAD) / entry ? count : (n - HEAD) / entry;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *v = b + HEAD + i * entry + entry - 24;
        memcpy(at, v, sizeof at);
        if (at[0] <= n && at[1] <= n - at[0]) {
            hash = hash_xxh64(b + at[0], at[1], 0);
            memcpy(v + 16, &hash, 8);
        }
    }
    hash = 0;
    memcpy(b + INDEX_HASH, &hash, 8);
    hash = hash_xxh64(b + HEAD, count * entry, hash_xxh64(b, HEAD, 0));
    memcpy(b + INDEX_HASH, &hash, 8);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct apr a;
    static struct kn_dev *dev;
    struct packed *f;
    struct err e = {0};
    char why[200];
    if (!dev && (apr_open(&a, "base.apr", &e) < 0 || kn_open(&dev, "cpu", 1)))
        abort();
    if (n < HEAD)
        return -1;
    uint8_t *b = repaired(p, n, &a, dev);
    int rc = packed_open(&f, fuzz_file(0, b, n), &a, dev, why, &e);
    free(b);
    if ((rc == 1) != (f != NULL) || (rc < 0) != (e.code < 0) || (rc == 0) != (why[0] != 0))
        abort();
    for (int i = 0; f && i < a.n_tensor; i++) {
        const struct tensor *t = &a.tensor[i];
        struct kn_weight *w;
        size_t bytes;
        const void *form = packed_find(f, t, &bytes);
        fuzz_touch(&(struct tensor){.data = form, .bytes = form ? bytes : 0}, 1);
        if (form && (uintptr_t)form % 64)
            abort();
        if (form && tensor_is_weight(t->type) &&
            kn_weight_take(dev, t->type, (int)t->dim[0], (int)t->dim[1], t->data, KN_W_INFER, form,
                           bytes, &w) == 0)
            kn_weight_free(dev, w);
    }
    packed_free(f);
    return 0;
}
