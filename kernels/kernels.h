/* kernels.h - arithmetic on device memory: the one interface between the model and a device
 *
 * Objects.  A device (kn_dev) makes buffers, weights, batches and KV caches; all of them belong to it.
 * A place in a buffer is a handle and a byte offset (kn_at), never a pointer.  A weight is opaque:
 * a backend prepares it once (repacked, expanded, sharded) and may drop the file's layout.
 *
 * Order.  Calls queue work and return; work runs in call order; kn_sync waits, kn_read implies it.
 * Shapes are (slowest, ..., fastest), row-major, no padding, f32 unless it says otherwise.  y aliases
 * no input unless it says so.  Return 0 or an enum kn_err; a shape mismatch is a caller's bug
 * (assert).  No call allocates once its objects exist, so a step can be recorded as a graph.
 * This header includes nothing from lib/.
 *
 * THE REDUCTION ORDER.  Each output element is reduced in one order that depends on nothing but the
 * shape (K, head_dim, position): not on the batch size, the row's slot, the thread count, or the
 * instruction set.
 *  R1  Quantized matmul.  The activation row is quantized in blocks of act_block values (32; 256 for
 *      K-quants): amax = max|x|; da = amax / 127; q = rint_even(x * (127 / amax)), all f32; amax
 *      below 2^-96 gives da = 0 and zeros (127 / amax must not overflow).  Per block the integer dot s is exact; K-quants fold their integer sub-scales in:
 *      s = sum_j sc_j * sum q*a, ms = sum_j m_j * sum a.  Q4_0, Q5_0, Q6_K use q - 8, - 16, - 32.
 *      Block b belongs to lane b % 8, and within a lane blocks are taken in ascending order:
 *          acc = fma(dw * da, (float)s, acc);
 *          with a minimum:  acc = fma(-(dmin * da), (float)ms, acc)     K-quants
 *                           acc = fma(m * da, (float)sum a, acc)        Q4_1, Q5_1
 *      from acc = 0; then the fold: lane[i] += lane[i + 4], then + 2, then + 1 (i < 4, 2, 1).
 *      Integer sums may be formed in any order: they are exact.
 *  R2  Float matmul (F32, F16, BF16 weights widened exactly): chunks of 256 along K; inside a chunk
 *      one chain acc = fma(x[k], w[k], acc) from 0, k ascending; chunk sums are added in order
 *      (((c0 + c1) + c2) ...).
 *  R3  Sums of a vector (sum, sum of squares in a norm, q . k over head_dim, the softmax sum of a tile):
 *      element i belongs to lane i % 16, fma in ascending order, fold + 8, + 4, + 2, + 1.
 *  R4  Attention of one (row, head): tiles of KN_TILE positions anchored at position 0, ascending,
 *      up to the row's own position.  Per tile: s_j = scale * (q . k_j) (R3); m' = max(m, max s_j);
 *      c = exp(m - m'); p_j = exp(s_j - m') (0 beyond the position); l = fma(l, c, R3 sum of p);
 *      o_d = o_d * c, then j ascending: o_d = fma(p_j, v_jd, o_d).  Result o_d / l.
 *      With a soft cap: s_j = cap * kn_tanh(s_j / cap), after the scale.  With a window of w the tiles begin
 *      with the one that holds position pos - w + 1, and in it p_j = 0 before that position.
 *      k_j and v_j are what the cache holds, widened to f32 (exactly): F32 as written; F16 rounded to
 *      nearest even; Q8_0 in blocks of 32 along head_dim, as kn_quantize makes them, in f32:
 *      s = max|x| / 127; i = 1 / s (0 if that is not finite); q = x * i rounded to the nearest
 *      integer, halves away from 0; d = s as f16, nearest even.  The value is f32(d) * q.
 *  R5  exp is kn_exp (kernels/poly.h): one polynomial in explicit fma, shared by all devices;
 *      silu(x) = x / (1 + kn_exp(-x)); gelu and tanh likewise (kn_gelu, kn_tanh).  Division and square root are IEEE.
 *  R6  Mass of a row of logits, in double: element i belongs to lane i % KN_TOP_LANES, (double)kn_exp(x_i - max) added in
 *      ascending order from 0, fold + 512, + 256, ... + 1.
 * A device that is not exact ("cuda") computes rows of generated tokens so (kn_rows.n_made), and may compute those of a
 * text, prompts, in another arithmetic, one for each layer's shape; of the cache, what was written stays.  Its results too
 * depend on nothing but the row and what its sequence holds before it.
 * Device "ref" computes in double with unrounded activations (what quality is measured against);
 * "ref:q" follows R1 to R5 in scalar code (what the fast paths must equal bit for bit).
 *
 * Tried on paper against
 *  - a CUDA graph: a step is a fixed list of calls whose shapes are (n_tok bucket, n_out bucket); all
 *    that changes from step to step (tokens, positions, block tables) lives in the batch object's
 *    device memory and is written by kn_batch_set, one copy before the launch.
 *  - a Vulkan command buffer: kn_at is a descriptor binding plus an offset; weights are opaque, so a
 *    weight may be bound in windows (128 MiB limits); subgroups of 8 are the 8 lanes of R1.
 *  - a backward pass: train.h works on the same buffers and weights; R2 holds for both products, so
 *    gradients do not depend on threads; attention for training takes document starts, not a cache. */
#ifndef KN_KERNELS_H
#define KN_KERNELS_H
#include "blocks.h"

#define KN_VERSION 6  /* of struct kn_ops; a backend of another version is refused */
#define KN_TILE    32 /* positions of a KV block and of an attention tile (R4) */

struct kn_dev;
struct kn_buf;
struct kn_weight;
struct kn_batch;
struct kn_kv;
struct kn_graph;
struct kn_train_ops;
struct kn_count_ops;

enum kn_err {
    KN_OK = 0,
    KN_ENOMEM = -1,  /* the device is full */
    KN_EDEVICE = -2, /* no such device, or the driver failed */
    KN_EUNSUP = -3,  /* this backend lacks an optional call: use the documented substitute */
};
const char *kn_strerror(int err);

/* A place: handle and byte offset. */
struct kn_at {
    struct kn_buf *buf;
    size_t off;
};
static inline struct kn_at kn_plus(struct kn_at a, size_t bytes)
{
    a.off += bytes;
    return a;
}

/* One ragged batch, host side.  Rows of a sequence are consecutive with ascending positions; a
 * sequence is one row (decode) or many (a prefill chunk).  Copied by kn_batch_set. */
struct kn_rows {
    int n_tok, n_seq, n_out;
    const int32_t *tok;     /* (n_tok) token ids */
    const int32_t *pos;     /* (n_tok) absolute positions */
    const int32_t *seq;     /* (n_tok) sequence index 0..n_seq-1 */
    const int32_t *out;     /* (n_out) rows whose logits are wanted, ascending */
    const int32_t *adapter; /* (n_tok) adapter of a row, -1 none; NULL = none at all */
    const int32_t *blocks;  /* (n_seq, max_blocks) KV blocks; p is in blocks[p/KN_TILE] */
    const int32_t *rope;    /* (n_tok) a row's line of the RoPE table; NULL = its position */
    int n_made; /* the first n_made rows are tokens that were generated, the others a text's */
};

/* What an adapter adds to a linear layer's y(m, n) = x(m, k) w^T + bias, in f32:
 *     y += scale * ((x a^T) b^T)       both products R2, the sum over r too; then scale * it rounded, then added
 * With column factors (DoRA: magnitude / norm of the adapted weight's row) y = f * (x w^T + scale * ((x a^T) b^T)) + bias, as
 *     u = x w^T;  t = (u + scale * ((x a^T) b^T)) * f;  y = (y - u) + t
 * on devices whose memory the host reads, else KN_EUNSUP. */
struct kn_lora {
    struct kn_weight *a,
        *b; /* (r, k), (n, r), KN_F32 with KN_W_INFER; NULL: it leaves the layer alone */
    struct kn_at column; /* (n) factors of the outputs, or absent */
    float scale;
};

/* Weights of one attention and one feed-forward part.  A bias or norm with buf NULL is absent.  lora: of each linear layer the
 * adapters by number, an array as long as kn_batch_adapters was told, or NULL: none changes it. */
struct kn_attn {
    int n_embd, n_head, n_head_kv, head_dim;
    int rope_dim;                /* rotated dims of a head, usually head_dim; 0 = no RoPE */
    int rope_pairs;              /* 0: (k, k + rope_dim/2) halves; 1: (2k, 2k+1) neighbours */
    float eps, scale;            /* of the norms; of q . k, usually head_dim^-0.5 */
    struct kn_at norm;           /* (n_embd) */
    struct kn_weight *q, *o;     /* (n_head*hd, n_embd), (n_embd, n_head*hd) */
    struct kn_weight *k, *v;     /* (n_head_kv*hd, n_embd) */
    struct kn_at bq, bk, bv, bo; /* biases */
    struct kn_at q_norm, k_norm; /* (head_dim) QK-norm, before RoPE */
    struct kn_at rope;           /* (n_ctx, rope_dim): cos[rope_dim/2] then sin[rope_dim/2] */
    /* what some architectures add; all of it 0 is the plain layer */
    struct kn_at norm_bias; /* (n_embd): the norm is a LayerNorm */
    int window;             /* a row sees this many positions up to its own; 0 = all */
    float cap;              /* scores become cap * tanh(score / cap); 0 = not */
    struct kn_at post;      /* (n_embd) RMSNorm of what is added to x */
    float residual;         /* ... and its factor; 0 = 1 */
    const struct kn_lora *lora_q, *lora_k, *lora_v, *lora_o;
};
/* activation of a feed-forward part: SiLU; GELU in its tanh form */
enum kn_act { KN_SILU = 0, KN_GELU = 1 };
/* A mixture of experts: softmax of the router, top_k of them, and a shared one that all rows take, times
 * sigmoid(h . shared_gate). */
struct kn_moe {
    int n_expert, top_k, normalize;        /* normalize: the chosen weights sum to 1 */
    int n_ff, n_ff_shared;                 /* of each expert; of the shared one, 0 = none */
    struct kn_weight *router;              /* (n_expert, n_embd) */
    struct kn_weight **gate, **up, **down; /* (n_expert) of (n_ff, n_embd) x2, (n_embd, n_ff) */
    struct kn_weight *shared_gate;         /* (1, n_embd) */
    struct kn_weight *shared[3];           /* gate, up, down */
};
struct kn_ffn {
    int n_embd, n_ff;
    float eps;
    struct kn_at norm;                  /* (n_embd) */
    struct kn_weight *gate, *up, *down; /* (n_ff, n_embd) x2, (n_embd, n_ff) */
    /* what some architectures add; all of it 0 is the plain part */
    struct kn_at norm_bias, post; /* as in kn_attn */
    float residual;
    enum kn_act act; /* gate NULL: down(act(up)) */
    struct kn_at bgate, bup, bdown;
    const struct kn_moe *moe;                              /* in place of gate, up, down */
    const struct kn_lora *lora_gate, *lora_up, *lora_down; /* not with moe */
};

/* kn_map: x * s; s * tanh(x / s); 1 / (1 + exp(-x)); 0 whatever x was */
enum kn_map { KN_SCALE, KN_CAP, KN_SIGMOID, KN_ZERO };
/* matmul flag: y += instead of y = (the product is folded first, then added) */
enum { KN_ADD = 1 };
/* weight flags */
enum {
    KN_W_INFER = 1, /* used by kn_matmul and the fused calls */
    KN_W_TRAIN = 2, /* used by train.h: products in f32 with the dequantized weight */
    KN_W_FLOAT = 4, /* kn_matmul too uses R2 with the dequantized weight */
    KN_W_LAYER =
        16, /* of kn_qkv, kn_attn_out or kn_ffn: a device may keep another form of it for prompts */
    KN_W_MIXED =
        8, /* with KN_W_TRAIN: kept in bf16, 4 bytes a value, for KN_MIXED of train.h; the results
                       are the same without, the work more */
};

/* What kn_top finds in a row of logits.  cand: the k of the first n_real that come first, the larger logit before, of equal ones
 * the lower id (+0 and -0 are equal). */
enum {
    KN_TOP_MOST = 256,   /* k at most */
    KN_TOP_LANES = 1024, /* R6 */
    KN_TOP_MASS = 1,     /* flag: the mass is wanted */
};
struct kn_cand {
    float logit;
    int32_t id;
};
struct kn_top {
    double mass; /* R6 over all n_real, if it was asked for */
    int32_t
        n; /* candidates: k, or n_real if that is less; 0: more come near than the device looks at, ask the logits */
    int32_t nan; /* a logit is not a number: nothing else is valid */
    struct kn_cand cand[KN_TOP_MOST];
};

/* What a backend fills in.  Members marked (opt) may be NULL: the kn_ call of the same name then does
 * what its comment says.  Start a backend with the small ops; fuse later. */
struct kn_ops {
    int version; /* KN_VERSION */
    const char *name;
    /* memory.  open gets ops and n_threads (>= 1) filled in; it sets d->name, d->exact and d->priv.  opt is what
     * follows the colon of the device's name, "" if there is none. */
    int (*open)(struct kn_dev *d, const char *opt, int n_threads);
    void (*close)(struct kn_dev *d);
    int (*alloc)(struct kn_dev *d, size_t bytes, struct kn_buf **b);
    int (*alloc_host)(struct kn_dev *d, size_t bytes, struct kn_buf **b); /* (opt) */
    void (*free)(struct kn_dev *d, struct kn_buf *b);
    int (*write)(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes);
    int (*read)(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes);
    void *(*host)(struct kn_dev *d, struct kn_at a); /* (opt) */
    int (*sync)(struct kn_dev *d);
    /* a step as a graph (opt, all four) */
    int (*graph_begin)(struct kn_dev *d);
    int (*graph_end)(struct kn_dev *d, struct kn_graph **g);
    int (*graph_launch)(struct kn_dev *d, struct kn_graph *g);
    void (*graph_free)(struct kn_dev *d, struct kn_graph *g);
    /* weights, batch, cache */
    int (*weight_new)(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                      struct kn_weight **w);
    void (*weight_free)(struct kn_dev *d, struct kn_weight *w);
    const char *layout; /* (opt, all three) of prepared weights */
    const void *(*weight_form)(const struct kn_weight *w, size_t *bytes);
    int (*weight_take)(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                       const void *form, size_t bytes, struct kn_weight **w);
    int (*batch_new)(struct kn_dev *d, int max_tok, int max_seq, int max_blocks,
                     struct kn_batch **b);
    int (*batch_set)(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r);
    void (*batch_free)(struct kn_dev *d, struct kn_batch *b);
    int (*kv_new)(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
                  struct kn_kv **kv);
    int (*kv_copy)(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block);
    void (*kv_free)(struct kn_dev *d, struct kn_kv *kv);
    /* small ops */
    int (*embed)(struct kn_dev *d, struct kn_at y, const struct kn_weight *w,
                 const struct kn_batch *b);
    int (*rms_norm)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps,
                    int m, int n);
    int (*matmul)(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                  struct kn_at bias, int m, int flags);
    int (*rope)(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
                const struct kn_batch *b);
    int (*kv_write)(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                    const struct kn_batch *b);
    int (*attention)(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                     int layer, const struct kn_attn *a, const struct kn_batch *b);
    int (*swiglu)(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m,
                  int n);
    int (*take_out)(struct kn_dev *d, struct kn_at y, struct kn_at x, int n,
                    const struct kn_batch *b);
    int (*layer_norm)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                      struct kn_at bias, float eps, int m, int n);
    int (*glu)(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up,
               enum kn_act act, int m, int n);
    int (*map)(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n);
    int (*take_rows)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m,
                     int n);
    int (*add_rows)(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows,
                    struct kn_at p, float s, int m, int n);
    int (*moe_route)(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                     int n_expert, int top_k, int normalize); /* (opt) */
    /* fused (opt): defaults in compose.c, which also take what a backend declines with KN_EUNSUP */
    int (*qkv)(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
               int layer, const struct kn_attn *a, const struct kn_batch *b);
    int (*ffn)(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
               const struct kn_batch *b);
    int (*head)(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
                struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b);
    int (*attn_out)(struct kn_dev *d, struct kn_at x, struct kn_at att, const struct kn_attn *a,
                    const struct kn_batch *b); /* without post and residual */
    int (*argmax)(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n);
    int (*top)(struct kn_dev *d, struct kn_at top, struct kn_at logits, int m, int n, int n_real,
               int k, int flags);
    /* collectives over the devices of a group (opt: a group of one) */
    int (*all_reduce)(struct kn_dev *d, struct kn_at x, size_t n);
    int (*all_gather)(struct kn_dev *d, struct kn_at y, struct kn_at x, size_t n);
    const struct kn_train_ops *train; /* (opt) train.h */
    const struct kn_count_ops *count; /* (opt) count.h */
};

/* Every backend's buffer, weight, batch and cache begin with these; the kn_ calls that make them fill
 * in the members. */
struct kn_dev {
    const struct kn_ops *ops;
    char name[32]; /* what runs: "cpu:avx512", "ref", "ref:q" */
    int n_threads;
    int exact;     /* computes by R1 to R5, to the bit */
    int step;      /* rows of a step of prompts that it is fastest with; 0 = it does not matter */
    void *priv;    /* what open() made: freed by close() */
    char why[200]; /* the last failure in the backend's words; "" if it has none */
    char hardware[160]; /* the card and its driver, where results could depend on them; "" */
    char note[160];     /* what it keeps beside the weights so that it is faster; "" */
};
struct kn_buf {
    size_t bytes;
};
struct kn_weight {
    int type, n, k, flags; /* (n, k): n rows (outputs) of k */
    void *widened;         /* f32 rows of a KN_NF4 weight, which is a KN_F32 one to the backend */
};
/* Rows of a step that have one adapter: order[first] to order[first + n - 1], ascending. */
struct kn_adapted {
    int adapter, first, n;
};
struct kn_batch {
    int n_tok, n_seq, n_out, n_made; /* host copies: the launch shape */
    int max_tok, max_seq, max_blocks;
    /* kn_batch_adapters; all 0: no row has an adapter */
    int n_adapter, n_group;   /* that there are; that this step's rows have */
    struct kn_adapted *group; /* (n_adapter) by ascending adapter */
    int32_t *order;           /* (max_tok) rows, group by group */
    struct kn_at rows;        /* (max_tok) the same on the device */
    struct kn_at in, z, out,
        plain; /* (max_tok, k), (max_tok, r), (max_tok, n) twice: what adapters' products need */
};
struct kn_kv {
    int n_layer, n_block, n_head_kv, head_dim, type;
};

/* Device by name: "ref" "ref:q" "cpu" "cpu:generic" "cpu:avx2" "cpu:avx512" "cpu:amx" "cuda"; n_threads 0 = all
 * cores.  "cpu:amx-model" is AMX's arithmetic in plain C, for tests.  "cuda" (prompts in bf16) and "cuda:exact"
 * are a shared object beside the executable, which a build without nvcc does not have (kernels/plugin.h).
 * A path that this machine cannot run is KN_EDEVICE, never another path in its place. */
int kn_open(struct kn_dev **d, const char *name, int n_threads);
/* What the backend says of its last failure; of this thread's last kn_open if d is NULL. "": nothing. */
const char *kn_why(const struct kn_dev *d);
void kn_close(struct kn_dev *d);
/* The shared object that the backend came from; NULL: it is part of the program. */
const char *kn_file(const struct kn_dev *d);

/* Buffers are zeroed and aligned to 64 bytes.  kn_host: the place's address if host and device share
 * memory, else NULL; valid after kn_sync until the next call that writes there.
 * kn_alloc_host: a buffer that calls write and the host reads (logits): where a device can write the host's memory,
 * it lies there, and kn_host has its address. */
int kn_alloc(struct kn_dev *d, size_t bytes, struct kn_at *a);
int kn_alloc_host(struct kn_dev *d, size_t bytes, struct kn_at *a);
void kn_free(struct kn_dev *d, struct kn_at a);
int kn_write(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes);
int kn_read(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes);
void *kn_host(struct kn_dev *d, struct kn_at a);
int kn_sync(struct kn_dev *d);

/* Record the calls between begin and end, replay them with launch.  KN_EUNSUP where a backend has no
 * graphs (ref, cpu): the caller issues the calls at every step. */
int kn_graph_begin(struct kn_dev *d);
int kn_graph_end(struct kn_dev *d, struct kn_graph **g);
int kn_graph_launch(struct kn_dev *d, struct kn_graph *g);
void kn_graph_free(struct kn_dev *d, struct kn_graph *g);

/* A weight (n, k) from rows in the file's layout, row-major, k % block == 0.  `rows` must stay valid
 * (a mapped file) until kn_weight_free: a backend may use it in place.  KN_NF4 is a whole tensor. */
int kn_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                  struct kn_weight **w);
void kn_weight_free(struct kn_dev *d, struct kn_weight *w);

/* The prepared form of weights, for a file from which a later process takes it instead of preparing it
 * again.  kn_layout: the name of the layout, "" if the backend keeps none; all paths of "cpu" share one.
 * kn_weight_form: where w's form lies; *bytes 0: it has none.  kn_weight_take: as kn_weight_new, with
 * the form of a weight of equal layout, type, shape and flags; it is aligned to 64 bytes and stays
 * valid until kn_weight_free.  KN_EUNSUP: no layouts, or `bytes` is not what the form has. */
const char *kn_layout(const struct kn_dev *d);
const void *kn_weight_form(const struct kn_dev *d, const struct kn_weight *w, size_t *bytes);
int kn_weight_take(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                   const void *form, size_t bytes, struct kn_weight **w);

int kn_batch_new(struct kn_dev *d, int max_tok, int max_seq, int max_blocks, struct kn_batch **b);
int kn_batch_set(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r);
void kn_batch_free(struct kn_dev *d, struct kn_batch *b);
/* Rows of later steps may have adapters 0 to n - 1 of kn_rows; width: of a layer's input and output, and the rank, at most.
 * kn_qkv, kn_attn_out and kn_ffn then add what the layers' kn_lora say.  A row's result depends on its own adapter, not
 * on which others are in the step.  Once a batch.  kn_adapter_bytes: what it takes on the device. */
struct kn_adapter_width {
    int in, rank, out;
    int columns; /* some have column factors */
};
int kn_batch_adapters(struct kn_dev *d, struct kn_batch *b, int n,
                      const struct kn_adapter_width *w);
size_t kn_adapter_bytes(int max_tok, const struct kn_adapter_width *w);

/* Paged KV cache: n_block blocks of KN_TILE positions for every layer; type KN_F32, KN_F16 or
 * KN_Q8_0, the last for a head_dim that is a multiple of 32, else KN_EUNSUP.  How k and v lie is the
 * backend's affair; they cost kn_row_bytes(type, head_dim) a head and position, heads that are no
 * multiple of 16 up to the next.  kv_copy copies one block in all layers (copy-on-write of a shared prefix). */
int kn_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
              struct kn_kv **kv);
int kn_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block);
void kn_kv_free(struct kn_dev *d, struct kn_kv *kv);

/* y(n_tok, k) = rows tok[] of w(n, k). */
int kn_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, const struct kn_batch *b);
/* y(m, n) = (x * 1/sqrt(mean(x^2) + eps)) * w(n).  y may be x.  The mean is sum / n. */
int kn_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                int n);
/* y(m, n) = x(m, k) w(n, k)^T + bias(n); bias.buf NULL = none; KN_ADD: y += (product + bias). R1, R2. */
int kn_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags);
/* rotate x(n_tok, n_head, head_dim) in place by the rows' positions, with a->rope: of a pair
 * (x0, x1) to (x0*c - x1*s, x1*c + x0*s), each product rounded (no fma). */
int kn_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
            const struct kn_batch *b);
/* k, v (n_tok, n_head_kv, head_dim) into the cache at the rows' positions. */
int kn_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                const struct kn_batch *b);
/* y, q (n_tok, n_head, head_dim): row r attends to positions 0..pos[r] of its sequence; query head h
 * uses kv head h / (n_head / n_head_kv). R4. */
int kn_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                 int layer, const struct kn_attn *a, const struct kn_batch *b);
/* y(m, n) = silu(gate) * up; y may be gate. */
int kn_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n);
/* y(n_out, n) = rows out[] of x(n_tok, n). */
int kn_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b);
/* y(m, n) = (x - mean) * 1/sqrt(var + eps) * w + bias; y may be x.  mean = sum / n; var = the sum of squares
 * of x - mean, each rounded, / n; both R3.  The product with w is rounded before bias is added. */
int kn_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                  struct kn_at bias, float eps, int m, int n);
/* y(m, n) = act(gate) * up; up.buf NULL: act(gate); y may be gate. */
int kn_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
           int m, int n);
/* x(m, n) in place, element by element. */
int kn_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n);
/* y(m, n) = rows[i] (int32) of x. */
int kn_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n);
/* y[rows[i]] += p[i] * x[i], i < m ascending, the product rounded (no fma); rows.buf NULL: i; p.buf NULL: s for
 * all.  rows has no id twice. */
int kn_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, struct kn_at p,
                float s, int m, int n);
/* MoE: softmax over n_expert in f32, top_k ids (int32, ascending expert id) and their p (m, top_k);
 * ties take the lowest id; normalize divides p by its sum. KN_EUNSUP if absent. */
int kn_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                 int n_expert, int top_k, int normalize);

/* Fused calls.  tmp holds at least kn_tmp_bytes(...); a default composes the small ops.
 * kn_qkv:  h = rms_norm(x); q(n_tok, n_head, hd), k, v = h W^T + b; QK-norm; RoPE; k, v to the cache.
 * kn_ffn:  x += down(silu(gate(h)) * up(h)), h = rms_norm(x); with what the struct adds: another norm, biases,
 *          another activation, post norm and factor of what is added; a mixture adds its chosen experts by
 *          ascending id, the shared one last (the default needs kn_host, else KN_EUNSUP).
 * kn_attn_out: x += residual * post(att o^T + bo).
 * kn_head: logits(n_out, n) = rms_norm(x[out]) W^T.
 * kn_argmax: ids(m) int32, lowest id on ties.
 * kn_top: top(m) of struct kn_top from logits(m, n), 0 < n_real <= n, 0 < k <= KN_TOP_MOST; the default is kernels/top.c, on
 * memory that the host reads, else KN_EUNSUP. */
int kn_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
           int layer, const struct kn_attn *a, const struct kn_batch *b);
int kn_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
           const struct kn_batch *b);
int kn_attn_out(struct kn_dev *d, struct kn_at x, struct kn_at att, struct kn_at tmp,
                const struct kn_attn *a, const struct kn_batch *b);
int kn_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
            struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b);
int kn_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n);
int kn_top(struct kn_dev *d, struct kn_at top, struct kn_at logits, int m, int n, int n_real, int k,
           int flags);
/* Scratch for all of them, for up to max_tok rows; a or f may be NULL. */
size_t kn_tmp_bytes(const struct kn_attn *a, const struct kn_ffn *f, int max_tok);

/* Sum or concatenate f32 over the group of devices; a group of one: nothing to do, or a copy. */
int kn_all_reduce(struct kn_dev *d, struct kn_at x, size_t n);
int kn_all_gather(struct kn_dev *d, struct kn_at y, struct kn_at x, size_t n);
#endif
