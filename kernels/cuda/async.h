/* async.h - copies to shared memory that go on while a thread works */
#ifndef CUDA_ASYNC_H
#define CUDA_ASYNC_H
#include "cuda/cuda.h"

#ifdef EMULATED /* tests/gpu/emulate */
template <int BYTES> static void copy_async(void *to, const void *from)
{
    emu_copy_async(to, from, BYTES);
}
static void copy_once(void *to, const void *from)
{
    emu_copy_async(to, from, 16);
}
static void copies_end(void)
{
    emu_copies_end();
}
template <int LEFT> static void copies_arrive(void)
{
    emu_copies_wait(LEFT);
}
#else
/* 16 or 4 bytes */
template <int BYTES> __device__ static void copy_async(void *to, const void *from)
{
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    if (BYTES == 16)
        asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(at), "l"(from));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(at), "l"(from));
}
/* 16 bytes that no other block of threads of the processor wants */
__device__ static void copy_once(void *to, const void *from)
{
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((unsigned)__cvta_generic_to_shared(to)),
        "l"(from));
}
__device__ static void copies_end(void)
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* the thread's own but for the last LEFT groups; others have to be waited for */
template <int LEFT> __device__ static void copies_arrive(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}
#endif
/* the warp's */
template <int LEFT> __device__ static void copies_wait(void)
{
    copies_arrive<LEFT>();
    __syncwarp();
}
#endif
