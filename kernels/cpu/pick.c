/* pick.c - which path's passes over logits this machine runs */
#include "../pick.h"

#include <stddef.h>
#include <string.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

extern const struct kn_pick pick_generic, pick_avx2, pick_avx512, pick_neon;

static int is(const char *wanted, const char *path)
{
    return !wanted || !strcmp(wanted, path);
}

const struct kn_pick *kn_pick(const char *path)
{
#if defined(__x86_64__)
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni") && is(path, "avx512"))
        return &pick_avx512;
    if (avx2 && is(path, "avx2"))
        return &pick_avx2;
#elif defined(__aarch64__)
    if (getauxval(AT_HWCAP) >> 20 & 1 && is(path, "neon")) /* ASIMDDP: how the file is compiled */
        return &pick_neon;
#endif
    return is(path, "generic") ? &pick_generic : NULL;
}
