/* fuzz_safetensors - libFuzzer entry: whatever the bytes, the safetensors reader answers (make
 * fuzz) */
#include "fuzz.h"
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct safetensors s;
    const char *path = fuzz_file(0, p, n);
    if (safetensors_open(&s, path, &e) == 0) {
        fuzz_touch(s.tensor, s.n_tensor);
        safetensors_close(&s);
    }
    return 0;
}
