/* pick.c - which path's passes over logits this machine runs */
#include "../pick.h"

#include <stddef.h>
#include <string.h>

extern const struct kn_pick pick_generic, pick_avx2, pick_avx512;

const struct kn_pick *kn_pick(const char *path)
{
#if defined(__x86_64__)
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni") && (!path || !strcmp(path, "avx512")))
        return &pick_avx512;
    if (avx2 && (!path || !strcmp(path, "avx2")))
        return &pick_avx2;
#endif
    return !path || !strcmp(path, "generic") ? &pick_generic : NULL;
}
