/* cpu_train.h - the cpu device's training calls: threaded, the same bits for any number of threads
 */
#ifndef CPU_TRAIN_H
#define CPU_TRAIN_H
#include "cpu/cpu.h"
#include "cpu/train_bf16.h"
#include "cpu/train_gemm.h"
#include "train.h"

extern const struct kn_train_ops kn_cpu_train;

static inline int32_t *train_i32(struct kn_at a)
{
    return (int32_t *)(void *)cpu_f32(a);
}
/* n values of row i from column `from` on, a multiple of the type's block */
void train_weight(const struct kn_weight *w, int i, int from, int n, float *row);

/* What differs between builds, chosen by the device's name. */
struct train_isa {
    const struct train_gemm_isa *gemm;
    const struct train_attn_isa *attn;
    const struct train_rows_isa *rows;
    const struct train16_isa *b16;
    train16_product *product; /* b16's, or AMX's */
};
extern const struct train_isa train_generic, train_avx2, train_avx512, train_amx, train_neon,
    train_amx_model;
static inline const struct train_isa *train_isa(const struct kn_dev *d)
{
    return cpu_dev(d)->train;
}
/* At least n floats of scratch that live as long as the process; NULL if out of memory. */
enum train_slot {
    TRAIN_A, /* panels of f32 products */
    TRAIN_B,
    TRAIN_OWN,    /* of each thread */
    TRAIN_SHARED, /* tiles of a group */
    TRAIN_SLOTS
};
float *train_scratch(enum train_slot slot, size_t n);
/* Floats that a product C(m, n) of k values, a group of bf16 layers, attention over documents of `longest` rows
 * will ask train_scratch for. */
void cpu_train_gemm_sizes(const struct kn_dev *d, int m, int n, int k, size_t size[TRAIN_SLOTS]);
void cpu_train_group_sizes(const struct kn_dev *d, const struct kn_group *g, int m, int backward,
                           size_t size[TRAIN_SLOTS]);
void cpu_train_group_dw_sizes(const struct kn_dev *d, const struct kn_group *g, int m,
                              size_t size[TRAIN_SLOTS]); /* of the weights' own gradients */
size_t cpu_train_attn_size(const struct kn_dev *d, int head_dim, int longest, int mixed);

/* Attention in f32; see train_attn.simd.c. */
struct train_attn_isa {
    size_t (*scratch)(int head_dim, int len); /* floats */
    void (*forward)(const struct attn_job *j, float *scratch);
    void (*backward)(const struct attn_job *j, float *scratch);
};
extern const struct train_attn_isa train_attn_generic, train_attn_avx2, train_attn_avx512,
    train_attn_neon;

/* Rows and elements. */
struct train_rows_isa {
    void (*norm)(float *y, float *rstd, const float *x, const float *w, float eps, int n);
    void (*norm_bwd)(float *dx, const float *dy, const float *x, const float *w, float r, int n,
                     int add);
    /* silu as g (1 / (1 + exp(-g))); h = silu(g) u may be NULL; dg, du, h may be g, u, dy */
    void (*swiglu_bwd)(float *dg, float *du, float *h, const float *dy, const float *g,
                       const float *u, size_t n);
    float (*xent)(float *z, int label, float scale, int n, int want_grad);
    void (*axpy)(float *y, const float *x, float alpha, size_t n);
    void (*rope)(float *x, const float *cs, int n_head, int head_dim, int rope_dim, int pairs,
                 int sign);
    /* y += bias, then += x; either may be NULL */
    void (*add)(float *y, const float *bias, const float *x, int n);
    /* y = x r w, as norm does */
    void (*scale)(float *y, const float *x, const float *w, float r, int n);
    /* h = silu(g) u, silu as in swiglu_bwd */
    void (*swiglu)(float *h, const float *g, const float *u, size_t n);
    void (*adamw)(float *w, const float *g, float *m, float *v, size_t n, const float *c);
    /* cols columns of matrices whose rows lie ld apart, m rows ascending: dw += dy x r; y += x */
    void (*norm_dw)(float *dw, const float *dy, const float *x, const float *r, int m, size_t ld,
                    int cols);
    void (*sum_rows)(float *y, const float *x, int m, size_t ld, int cols);
};
extern const struct train_rows_isa train_rows_generic, train_rows_avx2, train_rows_avx512,
    train_rows_neon;

int cpu_train_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                     struct kn_at bias, int m, int flags);
int cpu_train_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                         const struct kn_weight *w, int m, int flags);
int cpu_train_linear_lora(struct kn_dev *d, struct kn_at y, struct kn_at x,
                          const struct kn_weight *w, struct kn_at bias, struct kn_at z,
                          struct kn_at b, float alpha, int r, int m, int flags);
int cpu_train_linear_lora_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                              const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r,
                              int m, int flags);
/* n draws of dropout from `counter` on: y = x / (1 - p) or 0; y may be x */
void train_drop(float *y, const float *x, float p, uint64_t seed, uint64_t counter, size_t n);
/* bf16 tiles of a weight's rows, both ways */
int cpu_train_tiles(struct kn_dev *d, struct cpu_weight *w);
size_t cpu_train_tile_values(const struct kn_weight *w, int backward); /* of one of the two */
int cpu_train_group(struct kn_dev *d, const struct kn_group *g, int m);
int cpu_train_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m);
int cpu_train_group_dw(struct kn_dev *d, const struct kn_group *g, int m);
/* dw(n) += the sum over m rows of dy x rstd, each */
int cpu_train_norm_dw(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at x,
                      struct kn_at rstd, int m, int n);
int cpu_train_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha,
                   int m, int n, int k, int flags);
/* Everything that is done row by row: one job, a range of rows a chunk. */
struct train_rows {
    void (*fn)(const struct train_rows *r, int from, int to);
    const struct train_rows_isa *isa;
    int m, n, n_chunk, add;
    float *y, *y2;
    const float *x, *x2, *x3, *x4;
    const int32_t *id;
    float k, c[10];
    uint64_t seed, counter;
    size_t all; /* elements, where rows are slices of elements */
    const struct kn_weight *w;
    int n_head, head_dim, rope_dim, pairs, sign;
};
/* least: rows of a chunk */
int train_rows_run(struct kn_dev *d, struct train_rows *r, int least);

int cpu_train_adamw_small(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m,
                          struct kn_at v, size_t n, const struct kn_adamw *h);
int cpu_train_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                       const struct kn_adamw *h);
int cpu_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                       struct kn_at a, struct kn_at b, float alpha, int r);
int cpu_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                   struct kn_at norm, struct kn_at bias, int m, int n);
int cpu_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                       struct kn_at norm, int m, int n);
#endif
