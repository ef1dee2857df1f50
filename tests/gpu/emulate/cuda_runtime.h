/* cuda_runtime.h - as much of CUDA as kernels/cuda asks for, on the host: its kernels without a card, to check them
 *
 * A block of threads is run by fibers, one block after another, in one thread.  A fiber goes on until it waits for its
 * block or its warp (__syncthreads, shuffles, mma); who waits in vain is reported.  A copy to shared memory is made when
 * it is waited for, as late as the card may; shared memory begins as 0xff, as do buffers.  What fibers cannot show are
 * races within a warp between two waits, and speed. */
#ifndef EMULATE_CUDA_RUNTIME_H
#define EMULATE_CUDA_RUNTIME_H
#include <algorithm>
#include <functional>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <vector>

#define __device__
#define __host__
#define __global__
#define __shared__ static
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
#define EMULATED 1

/* ---- types ---- */

struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};
static inline int2 make_int2(int a, int b)
{
    return {a, b};
}
static inline uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}
static inline float2 make_float2(float a, float b)
{
    return {a, b};
}
static inline float4 make_float4(float a, float b, float c, float d)
{
    return {a, b, c, d};
}

/* ---- fibers ---- */

struct emu_copy {
    void *to;
    const void *from;
    int n;
};
struct emu_wait {
    unsigned mask;
    int here, gen;
}; /* of a warp */
struct emu_warp {
    struct emu_wait wait[4];
    uint32_t v[32][6];
};
struct emu_fiber {
    ucontext_t at;
    dim3 tid;
    int id, done;
    std::vector<std::vector<struct emu_copy>> copies; /* groups; the last one is open */
};
struct emu_block {
    ucontext_t back;
    std::vector<struct emu_fiber> fiber;
    std::vector<struct emu_warp> warp;
    int here, gen, alive; /* at __syncthreads */
    long progress;
    std::function<void()> run;
};
inline struct emu_block emu;
inline struct emu_fiber *emu_now;
inline char *emu_shared;
inline dim3 threadIdx, blockIdx, gridDim, blockDim;

static inline void emu_yield(void)
{
    swapcontext(&emu_now->at, &emu.back);
}
static inline void __syncthreads(void)
{
    const int gen = emu.gen;
    emu.progress++;
    if (++emu.here == emu.alive) {
        emu.here = 0;
        emu.gen++;
    }
    while (emu.gen == gen)
        emu_yield();
}
static inline struct emu_warp *emu_warp_of(void)
{
    return &emu.warp[(size_t)emu_now->id / 32];
}
static inline void emu_warp_wait(unsigned mask)
{
    struct emu_wait *w = emu_warp_of()->wait;
    while (w->mask && w->mask != mask)
        w++;
    w->mask = mask;
    const int gen = w->gen;
    emu.progress++;
    if (++w->here == __builtin_popcount(mask)) {
        w->here = 0;
        w->gen++;
    }
    while (w->gen == gen)
        emu_yield();
}
static inline void __syncwarp(void)
{
    emu_warp_wait(~0u);
}

template <class T> static inline T emu_shuffle(unsigned mask, T v, int from)
{
    static_assert(sizeof v == 4);
    struct emu_warp *w = emu_warp_of();
    T x;
    memcpy(w->v[emu_now->id % 32], &v, 4);
    emu_warp_wait(mask);
    memcpy(&x, w->v[from], 4);
    emu_warp_wait(mask);
    return x;
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int o)
{
    return emu_shuffle(mask, v, emu_now->id % 32 ^ o);
}
template <class T> static inline T __shfl_sync(unsigned mask, T v, int l)
{
    return emu_shuffle(mask, v, l);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T v, int o, int width = 32)
{
    const int lane = emu_now->id % 32;
    return emu_shuffle(mask, v, lane % width + o < width ? lane + o : lane);
}

static inline int __any_sync(unsigned mask, int x)
{
    for (int o = 16; o > 0; o /= 2)
        x |= __shfl_xor_sync(mask, x, o);
    return x;
}

static void emu_main(void)
{
    emu.run();
    emu_now->done = 1;
    emu.alive--;
    emu.progress++;
    if (emu.here && emu.here == emu.alive) { /* the card counts those that have ended too */
        emu.here = 0;
        emu.gen++;
    }
    emu_yield();
}
static inline void emu_run_block(void)
{
    enum { STACK = 256 << 10 };
    static std::vector<char *> stack;
    const int n = (int)(blockDim.x * blockDim.y * blockDim.z);
    emu.fiber.resize((size_t)n);
    emu.warp.assign((size_t)(n + 31) / 32, {});
    emu.here = emu.gen = 0;
    emu.alive = n;
    while ((int)stack.size() < n)
        stack.push_back((char *)malloc(STACK));
    for (int i = 0; i < n; i++) {
        struct emu_fiber *f = &emu.fiber[(size_t)i];
        f->id = i;
        f->done = 0;
        f->tid = dim3((unsigned)i % blockDim.x, (unsigned)i / blockDim.x % blockDim.y);
        f->copies.assign(1, {});
        getcontext(&f->at);
        f->at.uc_stack.ss_sp = stack[(size_t)i];
        f->at.uc_stack.ss_size = STACK;
        f->at.uc_link = NULL;
        makecontext(&f->at, emu_main, 0);
    }
    while (emu.alive > 0) {
        const long before = emu.progress;
        for (int i = 0; i < n; i++) {
            emu_now = &emu.fiber[(size_t)i];
            threadIdx = emu_now->tid;
            if (!emu_now->done)
                swapcontext(&emu.back, &emu_now->at);
        }
        if (emu.progress == before) {
            fprintf(stderr, "emulated kernel: threads wait for others that do not come\n");
            abort();
        }
    }
}
static inline void emu_run(dim3 grid, dim3 block, size_t shared, std::function<void()> f)
{
    emu_shared = (char *)aligned_alloc(128, (shared + 127) / 128 * 128 + 128);
    gridDim = grid;
    blockDim = block;
    emu.run = std::move(f);
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) {
                memset(emu_shared, 0xff, shared);
                emu_run_block();
            }
    free(emu_shared);
}

/* ---- copies that go on, and products of a warp ---- */

static inline void emu_copy_async(void *to, const void *from, int n)
{
    emu_now->copies.back().push_back({to, from, n});
}
static inline void emu_copies_end(void)
{
    emu_now->copies.emplace_back();
}
static inline void emu_copies_wait(int left)
{
    auto &c = emu_now->copies;
    while ((int)c.size() - 1 > left) {
        for (const auto &x : c[0])
            memcpy(x.to, x.from, (size_t)x.n);
        c.erase(c.begin());
    }
}
/* c of mma.m16n8k32 (n_a 4, n_b 2) or m16n8k16 (2, 1) of s8 */
static inline void emu_mma(int c[4], const uint32_t *a, int n_a, const uint32_t *b, int n_b)
{
    struct emu_warp *w = emu_warp_of();
    const int lane = emu_now->id % 32, g = lane / 4, t = lane % 4;
    memcpy(w->v[lane], a, (size_t)n_a * 4);
    memcpy(w->v[lane] + 4, b, (size_t)n_b * 4);
    emu_warp_wait(~0u);
    for (int i = 0; i < 4; i++) {
        int sum = 0;
        for (int q = 0; q < 4; q++)
            for (int k = 0; k < n_b; k++) {
                const int8_t *x = (const int8_t *)&w->v[g * 4 + q][i / 2 + 2 * k];
                const int8_t *y = (const int8_t *)&w->v[(2 * t + i % 2) * 4 + q][4 + k];
                for (int e = 0; e < 4; e++)
                    sum += x[e] * y[e];
            }
        c[i] = sum;
    }
    emu_warp_wait(~0u);
}

/* c += a b of mma.m16n8k16 of 16-bit floats, as f32(x) says */
template <class F>
static inline void emu_mma_float(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1, F f32)
{
    struct emu_warp *w = emu_warp_of();
    const int lane = emu_now->id % 32, g = lane / 4, t = lane % 4;
    const uint32_t b[] = {b0, b1};
    memcpy(w->v[lane], a, 16);
    memcpy(w->v[lane] + 4, b, 8);
    emu_warp_wait(~0u);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 16; k++) {
            const int q = k % 8 / 2, half = k / 8;
            const uint32_t x = w->v[g * 4 + q][i / 2 + 2 * half],
                           y = w->v[(2 * t + i % 2) * 4 + q][4 + half];
            c[i] +=
                f32((unsigned short)(x >> 16 * (k % 2))) * f32((unsigned short)(y >> 16 * (k % 2)));
        }
    emu_warp_wait(~0u);
}
/* ldmatrix.x4, plain or transposed */
static inline void emu_load4(uint32_t r[4], const void *p, int turned)
{
    struct emu_warp *w = emu_warp_of();
    const int lane = emu_now->id % 32, g = lane / 4, t = lane % 4;
    const unsigned short *row;
    memcpy(w->v[lane], &p, sizeof p);
    emu_warp_wait(~0u);
    for (int i = 0; i < 4; i++) {
        unsigned short x[2];
        for (int e = 0; e < 2; e++) {
            memcpy(&row, w->v[8 * i + (turned ? 2 * t + e : g)], sizeof row);
            x[e] = row[turned ? g : 2 * t + e];
        }
        r[i] = x[0] | (uint32_t)x[1] << 16;
    }
    emu_warp_wait(~0u);
}

/* ---- device functions ---- */

static inline float __fdividef(float a, float b)
{
    return a / b;
}
#define __expf expf /* the C library has one of its own */

static inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 4; i++)
        c += (int8_t)(a >> 8 * i) * (int8_t)(b >> 8 * i);
    return c;
}
static inline uint32_t __byte_perm(uint32_t a, uint32_t b, uint32_t s)
{
    const uint64_t v = (uint64_t)b << 32 | a;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++)
        r |= (uint32_t)(v >> 8 * (s >> 4 * i & 7) & 255) << 8 * i;
    return r;
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline float __uint_as_float(unsigned u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline float __int_as_float(int u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}
static inline int __float2int_rn(float x)
{
    return (int)lrintf(x);
}
template <class T> static inline T __ldg(const T *p)
{
    return *p;
}
template <class T> static inline T __ldcs(const T *p)
{
    return *p;
}
static inline int min(int a, int b)
{
    return a < b ? a : b;
}
static inline int max(int a, int b)
{
    return a > b ? a : b;
}

#include "runtime.h"
#endif
