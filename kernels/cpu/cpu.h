/* cpu.h - the CPU device inside: memory, weights, batch, cache, scratch; not for use outside
 * kernels/cpu */
#ifndef CPU_H
#define CPU_H
#include "../kernels.h"
#include "gemm.h"
#include "mmq.h"
#include "mmq_tile.h"
#include "pool.h"
#include "rows.h"
#include "slab.h"

/* Products (parts of them: a chunk of panels) that one thread ran; a cache line for itself. */
struct cpu_count {
    _Alignas(64) uint64_t quantized;
    uint64_t tiles, floating;
};

struct cpu_dev { /* kn_dev.priv */
    struct pool *pool;
    const struct mmq_isa *mmq;
    const struct mmq_tiles *tiles; /* for products of many rows; NULL on paths without tiles */
    const struct gemm_isa *gemm;
    const struct rows_isa *rows;
    const struct train_isa *train; /* cpu_train.h */
    /* quantized activations of one step, in both block sizes; grown as weights and batches are made
     */
    char *act[2];
    size_t act_size[2]; /* bytes */
    int max_k, max_rows;
    struct slab *slab;   /* the one that weights are being put into */
    float *gemm_scratch; /* (n_threads) gemm_scratch_bytes() */
    char *tile_scratch;  /* (n_threads) tile_scratch_bytes */
    size_t tile_scratch_bytes;
    struct cpu_count *count; /* (n_threads) */
    float *attn_scratch;     /* (n_threads) attn_scratch(attn_dim); grown as caches are made */
    int attn_dim;
};
static inline struct cpu_dev *cpu_dev(const struct kn_dev *d)
{
    return d->priv;
}

struct cpu_buf {
    struct kn_buf buf;
    char *p;     /* aligned to 64 */
    void *whole; /* the allocation */
};
static inline float *cpu_f32(struct kn_at a)
{
    return a.buf ? (float *)(void *)(((struct cpu_buf *)a.buf)->p + a.off) : NULL;
}

struct cpu_weight {
    struct kn_weight w;
    const void *rows; /* the file's layout: embedding and training read it */
    int packed_type;  /* of packed: a quantized type, or a float type where products follow R2 */
    const uint8_t *packed; /* panels of 16 rows; NULL without KN_W_INFER and KN_W_FLOAT */
    size_t panel_bytes;
    struct slab *slab;  /* that holds packed; NULL: it is the caller's */
    uint16_t *tiles[2]; /* with KN_W_MIXED: bf16 tiles for forward and backward (train_bf16.h) */
    struct slab *tiles_slab[2];
};
/* 32 or 256 if products quantize the activations, 0 for R2 */
static inline int cpu_act_block(const struct cpu_weight *w)
{
    return kn_type_info(w->packed_type)->act_block;
}

/* Consecutive rows of one sequence: where they begin, how many, the positions that the last one
 * sees; how attention cuts them (attention.c). */
struct cpu_seg {
    int row, rows, positions, parts, first_unit;
};
struct cpu_batch {
    struct kn_batch b;
    int32_t *tok, *pos, *seq, *out, *rope; /* (max_tok) */
    int32_t *blocks;                       /* (max_seq, max_blocks) */
    struct cpu_seg *seg;                   /* (max_tok) */
    int n_seg;
};
struct cpu_kv {
    struct kn_kv kv;
    int dim;            /* head_dim padded to 16 with zeros */
    size_t tile_bytes;  /* k or v of a block and KV head: rows.h says how they lie */
    size_t block_bytes; /* (n_head_kv, 2: k v) tiles */
    char *p;            /* (n_layer, n_block) blocks */
};
static inline char *cpu_kv_tile(const struct cpu_kv *kv, int layer, int block, int which, int head)
{
    return kv->p + ((size_t)layer * (size_t)kv->kv.n_block + (size_t)block) * kv->block_bytes +
           ((size_t)head * 2 + (size_t)which) * kv->tile_bytes;
}

/* How much the code compiled for `path` ran on this device; after kn_sync.  A path's name comes from
 * its object file, so one path's code under another's device name is seen. */
uint64_t cpu_path_count(const struct kn_dev *d, const char *path);

/* weight.c; the name changes with every change of mmq_pack's or gemm_pack's bytes */
#define CPU_LAYOUT "panels of 16, version 2"
int cpu_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                   struct kn_weight **out);
void cpu_weight_free(struct kn_dev *d, struct kn_weight *w);
const void *cpu_weight_form(const struct kn_weight *w, size_t *bytes);
int cpu_weight_take(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                    const void *form, size_t bytes, struct kn_weight **out);

/* Bytes of the panels that cpu_weight_new would make, SIZE_MAX if they do not fit a size; *act_block: of the
 * activations that they are multiplied with, 0: floats, or no panels. */
size_t cpu_weight_bytes(int type, int n, int k, int flags, int *act_block);
extern const struct kn_count_ops cpu_count_ops; /* count.c */

/* kv.c, attention.c */
int cpu_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
               struct kn_kv **out);
int cpu_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block);
void cpu_kv_free(struct kn_dev *d, struct kn_kv *kv);
/* k and v (head_dim) of one KV head into the cache at the row's position */
void cpu_kv_store(const struct cpu_dev *c, const struct cpu_kv *kv, const struct cpu_batch *b,
                  int layer, int row, int head, const float *k, const float *v);
void cpu_attn_segments(struct cpu_batch *b, const struct kn_rows *r);
int cpu_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                  int layer, const struct kn_attn *a, const struct kn_batch *b);

/* ops.c, small.c */
int cpu_reserve(struct cpu_dev *c, int k, int rows);
extern const struct kn_ops kn_cpu_ops;

int cpu_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w,
              const struct kn_batch *b);
int cpu_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                 int n);
int cpu_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
               struct kn_at bias, int m, int flags);
int cpu_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
             const struct kn_batch *b);
int cpu_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                 const struct kn_batch *b);
int cpu_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n);
int cpu_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                   struct kn_at bias, float eps, int m, int n);
int cpu_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
            int m, int n);
int cpu_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n);
int cpu_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m,
                  int n);
int cpu_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows,
                 struct kn_at p, float s, int m, int n);
int cpu_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                  int n_expert, int top_k, int normalize);
int cpu_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b);
int cpu_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n);
int cpu_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
            int layer, const struct kn_attn *a, const struct kn_batch *b);
int cpu_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
            const struct kn_batch *b);
int cpu_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
             struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b);
#endif
