/* fuzz_gguf - libFuzzer entry: whatever the bytes, the gguf reader answers (make fuzz) */
#include "bpe.h"
#include "gguf.h"
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
    struct gguf g;
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) || pwrite(fd, p, n, 0) != (ssize_t)n)
        return 0;
    if (gguf_open(&g, path, &e) == 0) {
        volatile uint64_t sum = 0;
        for (int i = 0; i < g.n_tensor; i++)
            for (size_t k = 0; k < g.tensor[i].bytes; k++)
                sum += ((const uint8_t *)g.tensor[i].data)[k];
        struct hparams h;
        struct bpe *b;
        struct err e2 = {0}, e3 = {0};
        hparams_from_gguf(&h, &g, &e2);
        if (bpe_load_gguf(&b, &g, &e3) == 0)
            bpe_free(b);
        gguf_close(&g);
    }
    return 0;
}
