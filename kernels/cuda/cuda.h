/* cuda.h - what the parts of the CUDA device share: its objects, and how weights and caches lie
 *
 * "cuda:exact" computes by R1 to R5 of kernels.h, to the bit.  "cuda" does so but for the rows of prompts (prompt.h).
 *
 * How a weight lies.  Rows go in groups of 32, the last filled up with zeros; a warp reads one group, a
 * thread one row.  The 16-byte pieces of a block lie as [piece][row of the group], so that a load of the
 * warp is 512 bytes in a row; behind them what is no multiple of 16 (a scale, high bits), [row][bytes]:
 *
 *     group g, block b at ((g * n_block + b) * 32 * block_bytes)
 *
 * F32, F16 and BF16 are blocks of 16 bytes.  The size is the file's, but for the filled rows. */
#ifndef CUDA_CUDA_H
#define CUDA_CUDA_H
#define _Static_assert static_assert
extern "C" {
#include "kernels.h"
}
#include <cuda_fp16.h>
#include <cuda_runtime.h>

enum {
    GROUP = 32,      /* rows of a weight that lie together */
    ACT_ROWS = 1024, /* rows of activations that are quantized at once */
    HEAD_MAX = 1024, /* the widest head */
    CU_ROOMS_MOST = 12,
};

/* How a block of a type lies: `head` bytes, then `pieces` of 16, then the rest of `bytes`. */
struct form {
    int len, bytes, head, pieces;
    __host__ __device__ constexpr int small() const
    {
        return bytes - 16 * pieces;
    }
};
__host__ __device__ constexpr struct form form_of(int type)
{
    switch (type) {
    case KN_F32:
        return {4, 16, 0, 1};
    case KN_F16:
    case KN_BF16:
        return {8, 16, 0, 1};
    case KN_Q4_0:
        return {32, 18, 2, 1};
    case KN_Q4_1:
        return {32, 20, 4, 1};
    case KN_Q5_0:
        return {32, 22, 6, 1};
    case KN_Q5_1:
        return {32, 24, 8, 1};
    case KN_Q8_0:
        return {32, 34, 2, 2};
    case KN_Q4_K:
        return {256, 144, 0, 9};
    case KN_Q5_K:
        return {256, 176, 0, 11};
    case KN_Q6_K:
        return {256, 210, 0, 13};
    }
    return {0, 0, 0, 0};
}
/* the activation block of its products: 0 float arithmetic (R2) */
__host__ __device__ constexpr int act_block(int type)
{
    return form_of(type).len >= 32 ? form_of(type).len : 0;
}

/* Quantized activations, rows of k in blocks of LEN.  Eight rows lie together, so that a fragment of a matrix product
 * is 128 bytes in a row:  q (m / 8, k / 16, 8 rows, 16);  scale (m / 8, k / LEN, 8 rows).
 * Sums of q: LEN 32: sum (m / 8, k / 32, 8 rows).  LEN 256: of sixteen each, as 64 high + low, both of 8 bits:
 * split (m / 8, k / 256, high or low, 8 rows, 16).
 * half > 0 (LEN 256, halves.cu): (m / half, k / 256), each q in f16 (4 slabs of 64 columns, half rows, 64), in pieces of
 * 16 bytes swizzled as wgmma wants them and the values of sixteen in the order 0 1 4 5 8 9 12 13 2 3 6 7 10 11 14 15; sums
 * of 32 as f16 (half rows, 4, even part or last bit, 2); scale (half rows). */
struct act {
    int8_t *q;
    union {
        int32_t *sum;
        int8_t *split;
    };
    float *scale;
    int half;
};
struct cu_old { /* memory that a graph may still name: freed when the device is closed */
    struct cu_old *next;
    void *p;
};
struct cu_wide_room { /* of prompts (gemm_bf16.h) */
    int rows, k;      /* x and h have room for so many rows of so many columns */
    uint8_t *x, *h;   /* panels */
    size_t weight;    /* bytes that each of w has, for weights that are not kept as panels */
    uint8_t *w[2];
    size_t kept; /* bytes of panels that are kept, of n_kept weights of n_all */
    int n_kept, n_all;
};
struct cu_dev { /* kn_dev.priv */
    cudaStream_t stream;
    int hopper; /* compute capability 9.0 */
    int processors;
    int early; /* the card can begin a kernel before the one before has ended */
    struct act act;
    int act_k;              /* the widest row that it has room for */
    char *stage;            /* (STAGE bytes) rows of a file on their way into a weight */
    struct cu_books *books; /* of 8-bit moments (train_moment.cu) */
    struct cu_first *first; /* what cu_top collects where a row is more than one block's */
    char *landing;          /* (LANDING bytes) of the host, for what is read */
    struct cu_old *old;
    struct cu_wide_room wide;
    struct {
        void *p;
        size_t bytes;
    } room[CU_ROOMS_MOST]; /* of training (train_ops.h) */
    struct {               /* panels that wait in these rooms for the group that follows */
        const void *x, *dy[2];
        int m;
    } ready;
};
struct cu_buf {
    struct kn_buf buf;
    char *p;
    int host; /* it is the host's memory, which the card writes to */
};
struct cu_weight {
    struct kn_weight w;
    int form; /* a type of form_of: the weight's own, or KN_F32 where it is kept widened */
    int n_block;
    int wide;        /* prompts may use it in bf16 */
    uint8_t *p;      /* NULL: it is for training alone */
    uint8_t *panels; /* its bf16 form, if it is kept */
    size_t panel_bytes;
    struct { /* for training: the file's rows or panels (train_ops.h); live: a buffer's */
        int type, live;
        uint8_t *rows, *panels;
    } train;
};
enum {
    SLOTS = 4,
    ITEM_ROWS = 32,
    PROMPT_ROWS = 128
}; /* batches that may be on their way at once; rows of a work item; of one of cu_attend_prompt */
struct cu_batch {
    struct kn_batch b;
    int32_t *dev, *host; /* (words), (SLOTS, words) */
    size_t words;
    size_t pos, seq, rope, out, items, blocks; /* where they begin, in words; tok at 0 */
    /* Work items of attention, (first row, rows): of the rows in exact arithmetic, then of prompts', [n_single] of one
     * row and [n_several] of up to ITEM_ROWS rows of one sequence; last, prompts' again, n_prompt of up to PROMPT_ROWS. */
    int n_single[2], n_several[2], n_prompt;
    cudaEvent_t copied[SLOTS];
    int slot;
};
/* a cache: (layer, block, head, k or v) tiles of KN_TILE positions; k as [16-byte piece][position], v as
 * [position][dim]; behind them the f16 scales of Q8_0, k as [dim / 32][position], v as [position][dim / 32] */
struct cu_kv {
    struct kn_kv kv;
    int dim; /* head_dim up to the next multiple of 16 */
    size_t tile, block;
    char *p;
};

static inline struct cu_dev *cu_dev(const struct kn_dev *d)
{
    return (struct cu_dev *)d->priv;
}
static inline float *cu_f32(struct kn_at a)
{
    return a.buf ? (float *)(((struct cu_buf *)a.buf)->p + a.off) : NULL;
}
static inline int32_t *cu_i32(struct kn_at a)
{
    return (int32_t *)cu_f32(a);
}
static inline unsigned cu_blocks(size_t n, size_t size)
{
    return (unsigned)((n + size - 1) / size);
}

/* What a call of the runtime, or the launch before, came to: an enum kn_err, the words in d->why. */
int cu_status(struct kn_dev *d, cudaError_t err, const char *what);
static inline int cu_launched(struct kn_dev *d, const char *what)
{
    return cu_status(d, cudaGetLastError(), what);
}
/* A launch whose blocks may begin while the kernel before still runs (where the card can): the kernel says
 * begin_next() first, and after() before it touches what earlier kernels wrote or read. */
template <class... P, class... A>
static inline int cu_launch_room(struct kn_dev *d, const char *what, void (*kernel)(P...),
                                 dim3 grid, dim3 block, size_t shared, A... args)
{
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = grid;
    c.blockDim = block;
    c.dynamicSmemBytes = shared;
    c.stream = cu_dev(d)->stream;
    c.attrs = &early;
    c.numAttrs = cu_dev(d)->early ? 1 : 0;
    return cu_status(d, cudaLaunchKernelEx(&c, kernel, P(args)...), what);
}
/* Shared memory beyond what a kernel has without asking. */
template <class K>
static inline int cu_room(struct kn_dev *d, const char *what, K *kernel, size_t bytes)
{
    return cu_status(d,
                     cudaFuncSetAttribute((const void *)kernel,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                     what);
}
template <class... P, class... A>
static inline int cu_launch(struct kn_dev *d, const char *what, void (*kernel)(P...), dim3 grid,
                            dim3 block, A... args)
{
    return cu_launch_room(d, what, kernel, grid, block, 0, args...);
}
/* the lower half of u */
__device__ static inline float half_float(unsigned u)
{
    return __half2float(__ushort_as_half((unsigned short)u));
}
/* The sub-scales and sub-minima of a block of Q4_K or Q5_K from its head, a byte each: eight and eight. */
__device__ static inline void scales_of(const uint4 &h, uint32_t *scale, uint32_t *min)
{
    scale[0] = h.y & 0x3f3f3f3fu;
    scale[1] = (h.w & 0x0f0f0f0fu) | (h.y >> 2 & 0x30303030u);
    min[0] = h.z & 0x3f3f3f3fu;
    min[1] = (h.w >> 4 & 0x0f0f0f0fu) | (h.z >> 2 & 0x30303030u);
}
__device__ static inline void begin_next(void)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ static inline void after(void)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Room for activations of k; while no graph is recorded. */
int cu_reserve(struct kn_dev *d, int k);
/* The device frees p when it is closed: a graph may name it. */
int cu_forget(struct kn_dev *d, void *p);

int cu_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                  struct kn_weight **w);
void cu_weight_free(struct kn_dev *d, struct kn_weight *w);
int cu_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, const struct kn_batch *b);

int cu_batch_new(struct kn_dev *d, int max_tok, int max_seq, int max_blocks, struct kn_batch **b);
int cu_batch_set(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r);
void cu_batch_free(struct kn_dev *d, struct kn_batch *b);
int cu_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
              struct kn_kv **kv);
int cu_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block);
void cu_kv_free(struct kn_dev *d, struct kn_kv *kv);
int cu_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                const struct kn_batch *b);

int cu_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags);
int cu_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
            const struct kn_batch *b);
int cu_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                 int layer, const struct kn_attn *a, const struct kn_batch *b);
int cu_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                int n);
int cu_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                  struct kn_at bias, float eps, int m, int n);
int cu_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n);
int cu_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
           int m, int n);
int cu_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n);
int cu_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b);
int cu_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n);
int cu_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, struct kn_at p,
                float s, int m, int n);
int cu_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                 int n_expert, int top_k, int normalize);
/* fused */
int cu_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
           int layer, const struct kn_attn *a, const struct kn_batch *b);
int cu_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
           const struct kn_batch *b);
int cu_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
            struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b);
int cu_attn_out(struct kn_dev *d, struct kn_at x, struct kn_at att, const struct kn_attn *a,
                const struct kn_batch *b);
int cu_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n);
int cu_top(struct kn_dev *d, struct kn_at top, struct kn_at logits, int m, int n, int n_real, int k,
           int flags);
#endif
