/* machine.h - which of the instruction sets that files are compiled for (mk/build.mk, isa_*) this machine runs */
#ifndef KN_MACHINE_H
#define KN_MACHINE_H
#if defined(__x86_64__)
#include <cpuid.h>

static inline int machine_avx2(void)
{
    unsigned a, b, c = 0, d; /* CPUID.1:ECX bit 29, F16C; clang 14 has no name for it */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && c >> 29 & 1;
}
static inline int machine_avxvnni(void)
{
    unsigned a = 0, b, c, d; /* CPUID.7.1:EAX bit 4; clang 14 has no name for it */
    return machine_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
}
static inline int machine_avx512(void)
{
    return machine_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
static inline int machine_avx512bf16(void)
{
    unsigned a = 0, b, c, d; /* CPUID.7.1:EAX bit 5; gcc 12's name for it is not clang 14's */
    return machine_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 5 & 1;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Linux asm/hwcap.h: AT_HWCAP bit 20 ASIMDDP, AT_HWCAP2 bit 13 I8MM */
static inline int machine_neon(void)
{
    return getauxval(AT_HWCAP) >> 20 & 1;
}
static inline int machine_neon_i8mm(void)
{
    return machine_neon() && getauxval(AT_HWCAP2) >> 13 & 1;
}
#endif
#endif
