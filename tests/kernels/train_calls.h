/* train_calls.h - calls, forward and back, that are compared with ref and differenced on it */
#ifndef TRAIN_CALLS_H
#define TRAIN_CALLS_H
#include "train_case.h"

static inline int run_norm(struct kn_dev *d, const struct test *t, struct kn_at *b,
                           struct kn_weight *w)
{
    (void)w;
    int err = kn_norm(d, b[0], b[1], b[2], b[3], 1e-6f, t->m, t->n);
    return err ? err : kn_norm_bwd(d, b[4], b[5], b[6], b[2], b[3], b[1], t->m, t->n, t->flags);
}
static inline int run_swiglu(struct kn_dev *d, const struct test *t, struct kn_at *b,
                             struct kn_weight *w)
{
    (void)w;
    return kn_swiglu_bwd(d, b[0], b[1], b[2], b[3], b[4], (size_t)t->m);
}

/* 0 norm, 1 a, 2 b, 3 x, 4 mag, 5 y, 6 bias, 7 dmag, 8 dy, 9 dx */
static inline int run_dora(struct kn_dev *d, const struct test *t, struct kn_at *b,
                           struct kn_weight *w)
{
    const struct kn_at none = {0};
    int err = kn_row_norm(d, b[0], w, t->absent ? none : b[1], b[2], 0.7f, t->r);
    err = err ? err : kn_dora(d, b[5], b[3], b[4], b[0], t->absent ? none : b[6], t->m, t->n);
    err = err ? err : kn_dora(d, b[9], b[8], b[4], b[0], none, t->m, t->n);
    return err ? err : kn_dora_bwd(d, b[7], b[8], b[3], b[0], t->m, t->n);
}

static inline struct test dora_test(int m, int n, int k, int r, int type)
{
    struct test t = test("dora", m, n, k, type, 0);
    const size_t mn = (size_t)m * (size_t)n;
    t.r = r;
    t.rows = weight(type, n, k);
    buf(&t, (size_t)n, 1, 1);
    buf(&t, (size_t)r * (size_t)k, 1, 0);
    buf(&t, (size_t)n * (size_t)r, 1, 0);
    buf(&t, mn, 1, 0);
    buf(&t, (size_t)n, 1, 0);
    buf(&t, mn, 1, 1);
    buf(&t, (size_t)n, 1, 0);
    buf(&t, (size_t)n, 1, 1);
    buf(&t, mn, 1, 0);
    buf(&t, mn, 1, 1);
    return t;
}

static inline int run_attn(struct kn_dev *d, const struct test *t, struct kn_at *b,
                           struct kn_weight *w)
{
    (void)w;
    int err = kn_attn_doc(d, b[0], b[1], b[2], b[3], b[4], b[5], &t->attn, t->m, t->flags);
    return err ? err
               : kn_attn_doc_bwd(d, b[6], b[7], b[8], b[9], b[0], b[1], b[2], b[3], b[4], b[5],
                                 &t->attn, t->m, t->flags);
}

static inline struct test attn_test(int t, int heads, int kv, int hd, int docs)
{
    struct test x = test("attention", t, heads, hd, 0, 0);
    int32_t *doc = malloc((size_t)t * 4);
    for (int i = 0; i < t; i++) /* documents of unequal lengths */
        doc[i] = i == 0 || (docs > 1 && i % (t / docs + 1) == 0) ? i : doc[i - 1];
    x.attn = (struct kn_attn){.n_head = heads, .n_head_kv = kv, .head_dim = hd, .scale = 0.3f};
    size_t q = (size_t)t * heads * hd, k = (size_t)t * kv * hd;
    buf(&x, q, 1, 1);
    buf(&x, (size_t)t * heads, 1, 1);
    buf(&x, q, 1, 0);
    buf(&x, k, 1, 0);
    buf(&x, k, 1, 0);
    ids(&x, (size_t)t, doc);
    buf(&x, q, 1, 1);
    buf(&x, k, 1, 1);
    buf(&x, k, 1, 1);
    buf(&x, q, 1, 0);
    free(doc);
    return x;
}

#endif
