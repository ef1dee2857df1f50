/* fuzz_kldbase - libFuzzer entry: whatever the bytes, the reader of a base's distributions answers, and what it compares
 * with is numbers (make fuzz) */
#include "fuzz.h"
#include "kldbase.h"
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct kldbase b;
    if (kldbase_open(&b, fuzz_file(0, p, n), &e) < 0)
        return 0;
    float *q = malloc((size_t)b.n_vocab * sizeof *q);
    uint8_t *row = malloc(kldbase_bytes(b.n_vocab));
    for (int i = 0; i < b.n_vocab; i++)
        q[i] = (float)(i % 7) - 3;
    for (int c = 0; c < b.n_chunk; c++)
        for (int r = 0; r < kldbase_rows(b.n_ctx); r++) {
            struct kld_row out;
            const int32_t next = b.tok[(size_t)c * (size_t)b.n_ctx + (size_t)(r + 1)];
            e.code = 0;
            if (kldbase_compare(&b, c, r, q, next, &out, &e) == 0 &&
                (!isfinite(out.kl) || !isfinite(out.nll) || !isfinite(out.nll_base)))
                abort();
        }
    kldbase_pack(q, b.n_vocab, row);
    free(row);
    free(q);
    kldbase_close(&b);
    return 0;
}
