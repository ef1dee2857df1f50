/* model_impl.h - what the loader's parts share */
#ifndef MODEL_IMPL_H
#define MODEL_IMPL_H
#include "model.h"

/* Where the norms and biases go: one allocation, carved out in the order in which they are loaded. */
struct model_small {
    float *host;
    size_t used, size; /* floats */
};
static inline size_t model_small_round(size_t n)
{
    enum { ALIGN = 16 }; /* floats: 64 bytes, as kn_alloc aligns */
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* model.c: what is no layer: memory for norms, the RoPE table, embedding and head, the last norm; of m the members up to
 * n_ctx must be there.  The norms lie in s->host until model_push puts those from `from` on into place. */
int model_begin(struct model *m, struct model_small *s, int flags, struct err *e);
int model_load_ends(struct model *m, struct model_small *s, int flags, struct err *e);
int model_push(const struct model *m, const struct model_small *s, size_t from, struct err *e);
void model_free_layer(const struct model *m, struct model_layer *y); /* zeroes it */

/* model_layer.c: a weight (n, k) by name; a vector of n; one that may hold w for a factor of 1 + w */
int model_weight(const struct model *m, struct kn_weight **w, const char *name, int n, int k,
                 int flags, struct err *e);
int model_vector(const struct model *m, struct model_small *s, struct kn_at *at, const char *name,
                 int n, struct err *e);
int model_norm(const struct model *m, struct model_small *s, struct kn_at *at, const char *name,
               int n, struct err *e);
int model_load_attn(struct model *m, struct model_small *s, int l, int flags, struct err *e);
int model_load_ffn(struct model *m, struct model_small *s, int l, int flags, struct err *e);
int model_failed(const struct model *m, const char *what, int rc, struct err *e);
/* model_need.c: floats of all norms and biases, an upper bound (one that is absent is counted); whether windowed
 * layers have a RoPE table of their own; lines of a second one for sequences short enough for longrope's other
 * factors; bytes of n_ctx lines of one. */
size_t model_small_size(const struct hparams *h);
int model_two_tables(const struct hparams *h);
int model_short_lines(const struct hparams *h, int n_ctx);
size_t model_rope_bytes(const struct hparams *h, int n_ctx);
#endif
