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
#endif
