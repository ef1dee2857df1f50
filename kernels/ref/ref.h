/* ref.h - the reference device: scalar code that defines what every other device must compute
 *
 * "ref" sums in double with unrounded activations and weights dequantized element by element: what
 * quality is measured against.  "ref:q" follows R1 to R5 of kernels.h in f32, step by step: what
 * the fast paths must equal bit for bit.  Both run on the caller's thread, at once. */
#ifndef REF_REF_H
#define REF_REF_H
#include "kernels.h"

enum { REF_MAX_ROWS = 8 }; /* rows of x that one pass over a quantized weight serves */

struct ref_block;            /* a weight block as integers (matmul.c) */
struct ref_dev {             /* kn_dev.priv */
    int rounded;             /* ref:q */
    float *row;              /* (max k) a dequantized weight row */
    struct ref_block *block; /* (max k / 32) an unpacked weight row */
    int8_t *act;             /* (REF_MAX_ROWS, max k) quantized activations */
    float *act_scale;        /* (REF_MAX_ROWS, max k / 32) */
    double *score;           /* (max positions) attention weights of one (row, head) */
    int max_k, max_pos;      /* what the scratch above is for */
};
struct ref_buf {
    struct kn_buf buf;
    char *p;
};
struct ref_weight {
    struct kn_weight w;
    const uint8_t *rows;
    size_t row_bytes;
};
struct ref_batch {
    struct kn_batch b;
    int32_t *tok, *pos, *seq, *rope, *out; /* (max_tok) */
    int32_t *blocks;                       /* (max_seq, max_blocks) */
};
struct ref_kv {
    struct kn_kv kv;
    char *p; /* (n_layer, n_block, 2: k v, KN_TILE, n_head_kv, head_dim) */
};
extern const struct kn_ops kn_ref_ops;

struct ref_dev *ref_dev(const struct kn_dev *d);
/* A place as a host address; NULL for an absent one. */
float *ref_f32(const struct kn_dev *d, struct kn_at a);
int32_t *ref_i32(const struct kn_dev *d, struct kn_at a);
/* Row i of a weight in f32, k values. */
void ref_weight_f32(const struct kn_weight *w, int i, float *row);
/* Grow the scratch; called when weights and batches are made, so that no later call allocates. */
int ref_reserve_k(struct ref_dev *d, int k);
/* The cache line of a position: which 0 = k, 1 = v; the row's position p of sequence s. */
void *ref_kv_at(const struct kn_kv *kv, int layer, const struct kn_batch *b, int s, int p,
                int which);

/* Row sums in the order of R3: 16 lanes, fma ascending, fold 8, 4, 2, 1. */
float ref_fold16(float lane[16]);
float ref_dot16(const float *a, const float *b, int n);

int ref_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
               struct kn_kv **kv);
int ref_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block);
void ref_kv_free(struct kn_dev *d, struct kn_kv *kv);
int ref_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                 const struct kn_batch *b);
int ref_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w,
              const struct kn_batch *b);
int ref_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b);
int ref_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                 int n);
int ref_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
               struct kn_at bias, int m, int flags);
int ref_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
             const struct kn_batch *b);
int ref_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                  int layer, const struct kn_attn *a, const struct kn_batch *b);
int ref_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n);
int ref_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                   struct kn_at bias, float eps, int m, int n);
int ref_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
            int m, int n);
int ref_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n);
int ref_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m,
                  int n);
int ref_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows,
                 struct kn_at p, float s, int m, int n);
int ref_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                  int n_expert, int top_k, int normalize);
#endif
