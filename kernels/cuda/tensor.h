/* tensor.h - fragments of 16-bit operands: read from shared memory, multiplied with sums in f32 */
#ifndef CUDA_TENSOR_H
#define CUDA_TENSOR_H
#include "cuda/cuda.h"

#ifdef EMULATED /* tests/gpu/emulate */
static void load4(uint32_t r[4], const void *p)
{
    emu_load4(r, p, 0);
}
static void load4_turned(uint32_t r[4], const void *p)
{
    emu_load4(r, p, 1);
}
static void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    emu_mma_float(c, a, b0, b1,
                  [](unsigned short x) { return __uint_as_float((unsigned)x << 16); });
}
static void mma_f16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    emu_mma_float(c, a, b0, b1, [](unsigned short x) { return __half2float(__ushort_as_half(x)); });
}
static void copy_or_zero(void *to, const void *from, bool there)
{
    static const char zeros[16] = {};
    emu_copy_async(to, there ? from : zeros, 16);
}
#else

/* Four 8 x 8 matrices: lane 8 i + j gives row j of matrix i; of each, lane 4 r + c has row r, columns 2 c and 2 c + 1. */
__device__ static inline void load4(uint32_t r[4], const void *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(p))
                 : "memory");
}
/* the same, transposed */
__device__ static inline void load4_turned(uint32_t r[4], const void *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"((unsigned)__cvta_generic_to_shared(p))
                 : "memory");
}
/* c += a b of m16n8k16: rows lane / 4 and 8 more, columns 2 (lane % 4) and one more */
__device__ static inline void mma_bf16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ static inline void mma_f16(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
/* 16 bytes to shared memory while the thread goes on; zeros if not `there` */
__device__ static inline void copy_or_zero(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                     (unsigned)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
#endif
#endif
