/* prompt - the calls of a layer for the rows of prompts: norm into bf16, products on the tensor cores (prompt.h) */
#include "cuda/prompt.h"

static int wide(const struct kn_weight *w)
{
    return ((const struct cu_weight *)w)->wide;
}

int cu_wide_qkv_fits(const struct kn_attn *a)
{
    return wide(a->q) && wide(a->k) && wide(a->v);
}

int cu_wide_out_fits(const struct kn_attn *a)
{
    return wide(a->o);
}

int cu_wide_ffn_fits(const struct kn_ffn *f)
{
    return wide(f->gate) && wide(f->up) && wide(f->down);
}

/* A value of row `row` of a matrix of n columns. */
static float *row_of(struct kn_at a, int row, int n)
{
    return cu_f32(a) + (size_t)row * (size_t)n;
}

/* Products of the rows that are in panels: at once if the weights' panels are there, else one by one. */
static int products(struct kn_dev *d, const struct kn_weight *const *w, const struct side *s, int n,
                    int m)
{
    struct wide p = {.x = cu_dev(d)->wide.x, .m = m, .n_slab = slabs(w[0]->k)};
    int at = 0, rc = KN_OK;
    for (int i = 0; i < n && rc == KN_OK; i++) {
        const int kept = ((const struct cu_weight *)w[i])->panels != NULL;
        struct side *to = &p.side[at++];
        *to = s[i];
        if ((rc = cu_wide_weight(d, w[i], 0, &to->w)) == KN_OK && (!kept || i == n - 1)) {
            rc = cu_wide(d, &p);
            for (; at > 0; at--)
                p.side[at - 1] = {};
        }
    }
    return rc;
}

int cu_wide_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                struct kn_kv *kv, int layer, const struct kn_attn *a, const struct kn_batch *b)
{
    const int from = b->n_made, m = b->n_tok - from, width = a->n_head_kv * a->head_dim;
    float *k = cu_f32(tmp), *v = k + ((size_t)m * (size_t)width + 15) / 16 * 16;
    float *const yq = row_of(q, from, a->q->n);
    const struct kn_weight *const w[] = {a->q, a->k, a->v};
    const struct side s[] = {{NULL, yq, cu_f32(a->bq), a->q->n, 0},
                             {NULL, k, cu_f32(a->bk), width, 0},
                             {NULL, v, cu_f32(a->bv), width, 0}};
    int rc = cu_wide_rows(d, row_of(x, from, a->n_embd), m, a->n_embd, cu_f32(a->norm), a->eps);
    if (rc != KN_OK || (rc = products(d, w, s, 3, m)) != KN_OK)
        return rc;
    return cu_heads(d, yq, k, v, kv, layer, a, b, from, m);
}

int cu_wide_out(struct kn_dev *d, struct kn_at x, struct kn_at att, const struct kn_attn *a,
                const struct kn_batch *b)
{
    const int from = b->n_made, m = b->n_tok - from;
    const struct side s = {NULL, row_of(x, from, a->o->n), cu_f32(a->bo), a->o->n, 1};
    int rc = cu_wide_rows(d, row_of(att, from, a->o->k), m, a->o->k, NULL, 0);
    return rc != KN_OK ? rc : products(d, &a->o, &s, 1, m);
}

int cu_wide_ffn(struct kn_dev *d, struct kn_at x, const struct kn_ffn *f, const struct kn_batch *b)
{
    const int from = b->n_made, m = b->n_tok - from;
    float *const y = row_of(x, from, f->n_embd);
    struct cu_wide_room *const r = &cu_dev(d)->wide;
    struct wide p = {.x = r->x, .h = r->h, .m = m, .n_slab = slabs(f->n_embd), .gated = 1};
    int rc = cu_wide_rows(d, y, m, f->n_embd, cu_f32(f->norm), f->eps);
    if (rc != KN_OK || (rc = cu_wide_weight(d, f->gate, 0, &p.side[0].w)) != KN_OK ||
        (rc = cu_wide_weight(d, f->up, 1, &p.side[1].w)) != KN_OK)
        return rc;
    p.side[0].n = p.side[1].n = f->n_ff;
    if ((rc = cu_wide(d, &p)) != KN_OK)
        return rc;
    struct wide down = {.x = r->h, .m = m, .n_slab = slabs(f->n_ff)};
    down.side[0] = {NULL, y, NULL, f->n_embd, 1};
    rc = cu_wide_weight(d, f->down, 0, &down.side[0].w);
    return rc != KN_OK ? rc : cu_wide(d, &down);
}
