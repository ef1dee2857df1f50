/* fuzz_apr - libFuzzer entry: whatever the bytes, the apr reader answers (make fuzz) */
#include "apr.h"
#include "bpe.h"
#include "hash.h"
#include "hparams.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static int fd = -1;
    static char path[40];
    struct err e = {0};
    struct apr a;
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) || pwrite(fd, p, n, 0) != (ssize_t)n)
        return 0;
    if (n >= 64) { /* let the fuzzer behind the header CRC */
        uint32_t crc = hash_crc32(hash_crc32(0, p, 40), p + 44, 20);
        if (pwrite(fd, &crc, 4, 40) != 4)
            return 0;
    }
    if (apr_open(&a, path, &e) == 0) {
        volatile uint64_t sum = 0;
        for (int i = 0; i < a.n_tensor; i++)
            for (size_t k = 0; k < a.tensor[i].bytes; k++)
                sum += ((const uint8_t *)a.tensor[i].data)[k];
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
