/* fuzz_split - libFuzzer entry: whatever the files of a split GGUF model hold, they are read as one or refused
 * (make fuzz)
 *
 * Input: up to three files; how many there are by name, the last byte says. */
#include "fuzz.h"
#include "gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static const char *const first[] = {"dir.split/m-00001-of-00002.gguf",
                                        "dir.split/m-00001-of-00003.gguf"};
    struct err e = {0};
    struct gguf g;
    const int three = n && p[n - 1] & 1;
    mkdir("dir.split", 0755);
    fuzz_name(0, first[0]);
    fuzz_name(1, "dir.split/m-00002-of-00002.gguf");
    fuzz_name(0, first[1]);
    fuzz_name(1, "dir.split/m-00002-of-00003.gguf");
    fuzz_name(2, "dir.split/m-00003-of-00003.gguf");
    fuzz_files(p, n, 3);
    if (gguf_open(&g, first[three], &e) == 0) {
        fuzz_touch(g.tensor, g.n_tensor);
        for (int i = 0; i < g.n_tensor; i++)
            if (gguf_tensor(&g, g.tensor[i].name) != &g.tensor[i])
                abort();
        gguf_close(&g);
    }
    return 0;
}
