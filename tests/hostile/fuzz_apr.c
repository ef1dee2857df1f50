/* fuzz_apr - libFuzzer entry: whatever the bytes, the apr reader answers (make fuzz) */
#include "apr.h"
#include "bpe.h"
#include "fuzz.h"
#include "hash.h"
#include "hparams.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct apr a;
    const char *path = fuzz_file(0, p, n);
    if (n >= 64) { /* let the fuzzer behind the header CRC */
        uint32_t crc = hash_crc32(hash_crc32(0, p, 40), p + 44, 20);
        if (pwrite(FUZZ_FD, &crc, 4, 40) != 4)
            return 0;
    }
    if (apr_open(&a, path, &e) == 0) {
        fuzz_touch(a.tensor, a.n_tensor);
        struct hparams h;
        struct bpe *b;
        struct err e2 = {0}, e3 = {0};
        const struct tensor *t = apr_tensor(&a, APR_TOKENIZER);
        hparams_from_meta(&h, a.meta, &e2);
        if (t && bpe_load_tables(&b, t->data, t->bytes, "fuzz", &e3) == 0)
            bpe_free(b);
        apr_close(&a);
    }
    return 0;
}
