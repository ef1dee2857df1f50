/* cuda_bf16.h - bfloat16 for kernels/cuda on the host */
#ifndef EMULATE_CUDA_BF16_H
#define EMULATE_CUDA_BF16_H
#include "cuda_runtime.h"
struct __nv_bfloat162 {
    unsigned short x, y;
};
static inline unsigned short emu_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16); /* no NaN here */
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b)
{
    return {emu_bf16(a), emu_bf16(b)};
}
#endif
