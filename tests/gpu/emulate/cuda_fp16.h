/* cuda_fp16.h - half precision for kernels/cuda on the host */
#ifndef EMULATE_CUDA_FP16_H
#define EMULATE_CUDA_FP16_H
#include "cuda_runtime.h"
#include <immintrin.h>
struct __half {
    unsigned short x;
};
struct __half2 {
    __half x, y;
};
static inline __half __ushort_as_half(unsigned short x)
{
    return {x};
}
static inline unsigned short __half_as_ushort(__half h)
{
    return h.x;
}
static inline float __half2float(__half h)
{
    return _cvtsh_ss(h.x);
}
static inline __half __float2half_rn(float f)
{
    return {(unsigned short)_cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT)};
}
static inline __half2 __floats2half2_rn(float a, float b)
{
    return {__float2half_rn(a), __float2half_rn(b)};
}
static inline float2 __half22float2(__half2 h)
{
    return {__half2float(h.x), __half2float(h.y)};
}
#endif
