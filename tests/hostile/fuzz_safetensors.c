/* fuzz_safetensors - libFuzzer entry: whatever the bytes, the safetensors reader answers (make
 * fuzz) */
#include "safetensors.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static int fd = -1;
    static char path[40];
    struct err e = {0};
    struct safetensors s;
    if (fd < 0) {
        fd = memfd_create("fuzz", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (ftruncate(fd, 0) || pwrite(fd, p, n, 0) != (ssize_t)n)
        return 0;
    if (safetensors_open(&s, path, &e) == 0) {
        volatile uint64_t sum = 0;
        for (int i = 0; i < s.n_tensor; i++)
            for (size_t k = 0; k < s.tensor[i].bytes; k++)
                sum += ((const uint8_t *)s.tensor[i].data)[k];
        safetensors_close(&s);
    }
    return 0;
}
