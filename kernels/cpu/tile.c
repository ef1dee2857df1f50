/* tile.c - AMX: whether this process may use tiles; the model's registers */
#include "tile.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    REQ_XCOMP_PERM = 0x1023,
    XFEATURE_XTILEDATA = 18
}; /* Linux: Documentation/arch/x86/xstate */

int tile_allowed(void)
{
    unsigned a, b, c, d = 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    const unsigned bf16 = d >> 22 & 1, tile = d >> 24 & 1, int8 = d >> 25 & 1;
    return bf16 && tile && int8 && syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
int tile_allowed(void)
{
    return 0;
}
#endif

_Thread_local struct tile_model tile_model;
