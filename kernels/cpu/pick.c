/* pick.c - which path's passes over logits this machine runs */
#include "../pick.h"
#include "../machine.h"

#include <stddef.h>
#include <string.h>

extern const struct kn_pick pick_generic, pick_avx2, pick_avx512, pick_neon;

static int is(const char *wanted, const char *path)
{
    return !wanted || !strcmp(wanted, path);
}

const struct kn_pick *kn_pick(const char *path)
{
#if defined(__x86_64__)
    if (machine_avx512() && is(path, "avx512"))
        return &pick_avx512;
    if (machine_avx2() && is(path, "avx2"))
        return &pick_avx2;
#elif defined(__aarch64__)
    if (machine_neon() && is(path, "neon"))
        return &pick_neon;
#endif
    return is(path, "generic") ? &pick_generic : NULL;
}
