/* fuzz_gguf - libFuzzer entry: whatever the bytes, the gguf reader answers (make fuzz) */
#include "bpe.h"
#include "fuzz.h"
#include "gguf.h"
#include "hparams.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct gguf g;
    const char *path = fuzz_file(0, p, n);
    if (gguf_open(&g, path, &e) == 0) {
        fuzz_touch(g.tensor, g.n_tensor);
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
