/* fuzz_ckpt - libFuzzer entry: whatever the bytes, a checkpoint of training is taken, passed over or refused
 * (make fuzz) */
#include "ckpt.h"
#include "fuzz.h"
#include "hash.h"
#include "optim.h"

enum { PARAMS = 16, SHA = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct params l;
    struct err e = {0};
    char key[24], hex[SHA + 1];
    long step = -7;
    const char *path = fuzz_file(0, p, n);
    if (!l.dev) {
        const struct optim o = OPTIM_DEFAULT;
        size_t at;
        if (kn_open(&l.dev, "ref", 1) || params_plan(&l, PARAMS, PARAMS_WEIGHT, &at, &e) ||
            params_alloc(&l, l.dev, "parameters", &e) || optim_begin(&o, &l, &e))
            abort();
    }
    if (n >= SHA) { /* let the fuzzer behind the digest */
        hash_sha256_mem(p, n - SHA, hex);
        if (pwrite(FUZZ_FD, hex, SHA, (off_t)(n - SHA)) != SHA)
            abort();
    }
    int rc = ckpt_load(path, "k", &l, &step, &e);
    if (rc > 1 || (rc < 0) != (e.code < 0) || (rc == 1 && step < 0))
        abort();
    e.code = 0;
    ckpt_key(path, key, sizeof key, &step, &e);
    if (!memchr(key, 0, sizeof key))
        abort();
    return 0;
}
