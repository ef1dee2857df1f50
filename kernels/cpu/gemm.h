/* gemm.h - float matrix product in the order R2, for inference and training
 *
 *     C(m, n) = alpha * A(m, k) B(k, n) + bias(n)      or C += with add
 *
 * A is any strided matrix of f32: element (i, kk) at a[i * a_row + kk * a_col] (a transposed matrix
 * swaps the two strides).  B is read through `panels`, which gives 16 columns at a time in the one
 * layout that the inner loop knows: panel[kk * 16 + c].  Packed weights give pointers into
 * themselves; anything else is widened and transposed into the buffer offered.
 * C must not overlap A.  Each element is reduced as R2 says: chunks of GEMM_KC along k, one fma
 * chain in a chunk, chunk sums added in order, then alpha, then bias, then C.
 *
 * How to use: fill a struct gemm (see gemm_panels_*) and call gemm_run.  Nothing is allocated: each
 * thread uses gemm_scratch_bytes() of g->scratch. */
#ifndef GEMM_H
#define GEMM_H
#include "../blocks.h"
#include "pool.h"

enum {
    GEMM_KC = 256,  /* chunk along k (R2) */
    GEMM_SLAB = 16, /* most panels of one call of `panels`: 256 columns */
    GEMM_MB = 256,  /* most rows of A that share one packing of B */
};

struct gemm;
/* Rows [k0, k0 + kc) of columns [16 * j, 16 * (j + nj)) as nj panels; *stride = floats from one
 * panel to the next.  buf has room for nj * kc * 16 floats.  Columns at or beyond n are zero. */
typedef const float *gemm_panels_fn(const struct gemm *g, int j, int nj, int k0, int kc, float *buf,
                                    size_t *stride);
struct gemm {
    int m, n, k;
    const float *a;
    size_t a_row, a_col;
    gemm_panels_fn *panels;
    const void *b; /* for panels: */
    size_t b_ld;   /* elements of a row of b */
    int b_type;
    int align; /* panels that must be asked for together (quantized columns: 2 or 16); 0 = 1 */
    float *c;
    size_t c_ld;
    float alpha;       /* 1 leaves the sum as it is */
    const float *bias; /* or NULL */
    int add;
    float *scratch; /* n_threads times gemm_scratch_bytes() */
    const struct gemm_isa *isa;
};

/* B = W^T, W(n, k) row-major of any type: y = x W^T.  b, b_type, b_ld = k of the file. */
gemm_panels_fn gemm_panels_rows;
/* B = W(k, n) row-major of any type: dx = dy W.  align = gemm_align(b_type). */
gemm_panels_fn gemm_panels_cols;
/* B packed before by gemm_pack: f32, f16 or bf16 panels of 16 columns over all k. */
gemm_panels_fn gemm_panels_packed;
int gemm_align(int type);

/* W(n, k) of a float type to panels in the same type: element (row, kk) at
 * panel[row / 16][kk][row % 16]; rows beyond n are zero. */
void gemm_pack(int type, int n, int k, const void *rows, void *packed);
size_t gemm_packed_bytes(int type, int n, int k);

/* As gemm_pack, from any type to panels of f32; n <= 16. */
void gemm_pack_widened(int type, int n, int k, const void *rows, float *panel);

size_t gemm_scratch_bytes(void);
void gemm_run(struct pool *p, const struct gemm *g);
/* A part of it, inside a job of the caller: panels [j, j + nj), nj <= GEMM_SLAB, all rows. */
void gemm_part(const struct gemm *g, int j, int nj, int thread);

/* One instruction set's inner loops. */
struct gemm_isa {
    /* tot(mr, 16 * nj) = or += A(mr, kc) panels of f32, f16 or bf16 */
    void (*tile)(int type, int mr, int nj, int kc, const float *a, size_t a_row, size_t a_col,
                 const void *b, size_t b_stride, float *tot, size_t tot_ld, int first);
    /* rows of C from totals: alpha, bias, add */
    void (*finish)(int mr, int n, const float *tot, size_t tot_ld, float *c, size_t c_ld,
                   float alpha, const float *bias, int add);
    void (*widen)(int type, const void *src, float *dst, size_t n); /* to f32; n % 16 == 0 */
    const char
        *path; /* under which its products are counted: the -DISA that it was compiled with */
};
extern const struct gemm_isa gemm_generic, gemm_avx2, gemm_avx512, gemm_neon;
#endif
