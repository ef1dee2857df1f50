/* fuzz_adapter - libFuzzer entry: whatever an adapter in GGUF holds, it becomes a folder or is refused; the folder can be
 * read, and goes back into a GGUF file that gives the same weights (make fuzz)
 *
 * The model is base.apr in the working folder. */
#include "adapter.h"
#include "fuzz.h"
#include "peft.h"

/* Nothing here is to outlive the process. */
int fsync(int fd)
{
    (void)fd;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char dir[] = "dir.adapter", back[] = "dir.adapter.gguf";
    struct adapter_done to, from;
    struct peft a;
    struct err e = {0};
    if (adapter_from_gguf("base.apr", fuzz_file(0, p, n), dir, &from, &e) < 0) {
        if (!*e.msg)
            abort();
        return 0;
    }
    if (peft_open(&a, dir, &e) < 0 || a.n_mod != from.modules || a.rank != from.rank)
        abort();
    fuzz_touch(a.s.tensor, a.s.n_tensor);
    const double alpha = a.alpha;
    peft_close(&a);
    if (alpha != 0 && (adapter_to_gguf("base.apr", dir, back, &to, &e) < 0 ||
                       to.modules != from.modules || to.rank != from.rank))
        abort();
    return 0;
}
