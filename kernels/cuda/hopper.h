/* hopper.h - what kernels of compute capability 9.0 are made of: barriers of shared memory, bulk copies, wgmma's groups
 *
 * HOPPER_CODE is defined where the card that is compiled for has them. */
#ifndef CUDA_HOPPER_H
#define CUDA_HOPPER_H
#include "cuda/cuda.h"

enum { WARPGROUP = 128 };

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HOPPER_CODE 1
__device__ static inline unsigned shared_at(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}
__device__ static inline void barrier_new(uint64_t *b, unsigned count)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_at(b)), "r"(count));
}
__device__ static inline void barrier_wait(uint64_t *b, unsigned phase)
{
    asm volatile("{\n.reg .pred p;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@p bra done;\n"
                 "bra again;\n"
                 "done:\n}" ::"r"(shared_at(b)),
                 "r"(phase)
                 : "memory");
}
__device__ static inline void barrier_expect(uint64_t *b, unsigned bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_at(b)),
                 "r"(bytes)
                 : "memory");
}
/* on the barrier of block `rank` of the cluster; what was read before is done, so that it needs no fence */
__device__ static inline void barrier_arrive(uint64_t *b, unsigned rank)
{
    asm volatile("{\n.reg .b32 at;\n"
                 "mapa.shared::cluster.u32 at, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [at];\n}" ::"r"(shared_at(b)),
                 "r"(rank)
                 : "memory");
}
/* bytes: a multiple of 16 */
__device__ static inline void bulk(void *to, const void *from, unsigned bytes, uint64_t *b)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], "
                 "%2, [%3];" ::"r"(shared_at(to)),
                 "l"(from), "r"(bytes), "r"(shared_at(b))
                 : "memory");
}
/* into both blocks of the cluster, each of which counts it on its own barrier */
__device__ static inline void bulk_both(void *to, const void *from, unsigned bytes, uint64_t *b)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::"
                 "cluster [%0], [%1], %2, [%3], %4;" ::"r"(shared_at(to)),
                 "l"(from), "r"(bytes), "r"(shared_at(b)), "h"((uint16_t)3)
                 : "memory");
}
__device__ static inline void cluster_sync(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}
/* rows of 128 bytes, swizzled, eight rows 1024 bytes on; of an operand whose k lies across them, `next` from 64 columns
 * to the 64 that follow */
__device__ static inline uint64_t operand(const void *p, unsigned next = 16)
{
    return (uint64_t)((shared_at(p) & 0x3ffff) >> 4) | (uint64_t)(next >> 4) << 16 |
           (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

#define D8(i)                                                                                      \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),    \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define D32(i) D8(i), D8(i + 8), D8(i + 16), D8(i + 24)
/* d (+)= a b: 64 x 256 by 16; TA, TB: that operand lies with its rows or columns, not with k, along memory */
template <int TA, int TB>
__device__ static inline void multiply(float (&d)[128], uint64_t a, uint64_t b, int add)
{
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"
        "%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,"
        "%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63,%64,%65,%66,%67,"
        "%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,"
        "%90,%91,%92,%93,%94,%95,%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,"
        "%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,"
        "%126,%127}, %128, %129, p, 1, 1, %131, %132;\n}"
        : D32(0), D32(32), D32(64), D32(96)
        : "l"(a), "l"(b), "r"(add), "n"(TA), "n"(TB));
}
__device__ static inline void multiply_begin(void)
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ static inline void multiply_commit(void)
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* x is what products have made of it by now: without it arithmetic on x could be moved before the wait for them */
template <int K> __device__ static inline void made(float (&x)[K])
{
#pragma unroll
    for (int i = 0; i < K; i++)
        asm volatile("" : "+f"(x[i]));
}
/* until all but the last LEFT groups are done */
template <int LEFT> __device__ static inline void multiply_wait(void)
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}
#endif
#endif
