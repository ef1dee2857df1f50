/* train.c - the calls of train.h: to the device's table, composed of others, or KN_EUNSUP */
#include "train.h"

#define CALL(op, ...)                                                                              \
    (d->ops->train && d->ops->train->op ? d->ops->train->op(__VA_ARGS__) : KN_EUNSUP)

int kn_linear(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags)
{
    return CALL(linear, d, y, x, w, bias, m, flags);
}

int kn_linear_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy, const struct kn_weight *w,
                  int m, int flags)
{
    return CALL(linear_bwd, d, dx, dy, w, m, flags);
}

int kn_linear_lora(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                   struct kn_at bias, struct kn_at z, struct kn_at b, float alpha, int r, int m,
                   int flags)
{
    if (d->ops->train && d->ops->train->linear_lora)
        return d->ops->train->linear_lora(d, y, x, w, bias, z, b, alpha, r, m, flags);
    int err = kn_linear(d, y, x, w, bias, m, flags);
    return err ? err : kn_gemm(d, y, z, b, alpha, m, w->n, r, KN_TB | KN_ADD);
}

int kn_linear_lora_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dy,
                       const struct kn_weight *w, struct kn_at dz, struct kn_at a, int r, int m,
                       int flags)
{
    if (d->ops->train && d->ops->train->linear_lora_bwd)
        return d->ops->train->linear_lora_bwd(d, dx, dy, w, dz, a, r, m, flags);
    int err = kn_linear_bwd(d, dx, dy, w, m, flags);
    return err ? err : kn_gemm(d, dx, dz, a, 1, m, w->k, r, KN_ADD);
}

/* ---- a group of small calls, in f32 ---- */

static struct kn_at input(struct kn_dev *d, const struct kn_group *g, int m, int *rc)
{
    if (g->input == KN_IN_NORM)
        *rc = kn_norm(d, g->h, g->rstd, g->x, g->norm, g->eps, m, g->k);
    else if (g->input == KN_IN_SWIGLU)
        *rc = kn_swiglu(d, g->h, g->x, g->up, m, g->k);
    else
        *rc = 0;
    return g->input == KN_IN_PLAIN ? g->x : g->h;
}

/* The adapter's own input; the same draws forward and backward. */
static struct kn_at dropped(struct kn_dev *d, const struct kn_group *g, const struct kn_lin *l,
                            struct kn_at h, int m, int *rc)
{
    if (g->dropout <= 0)
        return h;
    if (!*rc)
        *rc = kn_dropout(d, g->dropped, h, g->dropout, g->seed, l->draws, (size_t)m * (size_t)g->k);
    return g->dropped;
}

static int lin_f32(struct kn_dev *d, const struct kn_group *g, const struct kn_lin *l,
                   struct kn_at h, int m)
{
    int rc = 0, n = l->w->n;
    const struct kn_at none = {0};
    if (l->a.buf) {
        struct kn_at in = dropped(d, g, l, h, m, &rc);
        rc = rc ? rc : kn_gemm(d, l->z, in, l->a, 1, m, g->r, g->k, KN_TB);
        rc = rc ? rc
                : kn_linear_lora(d, l->y, h, l->w, l->mag.buf ? none : l->bias, l->z, l->b,
                                 g->alpha, g->r, m, 0);
        if (l->mag.buf) {
            rc = rc ? rc : kn_row_norm(d, l->norm, l->w, l->a, l->b, g->alpha, g->r);
            rc = rc ? rc : kn_dora(d, l->y, l->y, l->mag, l->norm, l->bias, m, n);
        }
    } else
        rc = kn_linear(d, l->y, h, l->w, l->bias, m, 0);
    return rc || !l->res.buf ? rc : kn_axpy(d, l->y, l->res, 1, (size_t)m * (size_t)n);
}

static int has_magnitudes(const struct kn_group *g)
{
    for (int i = 0; i < g->n_lin; i++)
        if (g->lin[i].mag.buf)
            return 1;
    return 0;
}

int kn_group(struct kn_dev *d, const struct kn_group *g, int m, int flags)
{
    if (flags & KN_MIXED)
        return has_magnitudes(g) ? KN_EUNSUP : CALL(group, d, g, m);
    int rc;
    struct kn_at h = input(d, g, m, &rc);
    for (int i = 0; !rc && i < g->n_lin; i++)
        rc = lin_f32(d, g, &g->lin[i], h, m);
    return rc;
}

/* dw += dy^T h;  dbias += the sum of dy's rows */
static int base_bwd_f32(struct kn_dev *d, const struct kn_group *g, const struct kn_lin *l,
                        struct kn_at h, int m)
{
    int rc = 0;
    if (l->dw.buf)
        rc = kn_gemm(d, l->dw, l->dy, h, 1, l->w->n, g->k, m, KN_TA | KN_ADD);
    return rc || !l->dbias.buf ? rc : kn_sum_rows(d, l->dbias, l->dy, m, l->w->n);
}

/* The weights' gradients first: what follows may write over dy's rows and x. */
static int group_bwd_mixed(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m)
{
    int rc = has_magnitudes(g) ? KN_EUNSUP : 0, dw = 0;
    for (int i = 0; !rc && i < g->n_lin; i++) {
        dw |= g->lin[i].dw.buf != NULL;
        if (g->lin[i].dbias.buf)
            rc = kn_sum_rows(d, g->lin[i].dbias, g->lin[i].dy, m, g->lin[i].w->n);
    }
    rc = rc || !dw ? rc : CALL(group_dw, d, g, m);
    return rc ? rc : CALL(group_bwd, d, g, dx, m);
}

/* dz = alpha dy b;  db += alpha dy^T z;  da += dz^T h;  dh (= or +=) dy w + dz a */
static int lin_bwd_f32(struct kn_dev *d, const struct kn_group *g, const struct kn_lin *l,
                       struct kn_at h, struct kn_at dh, int m, int flags)
{
    int rc = 0, r = g->r, n = l->w->n, k = g->k;
    if (!l->a.buf)
        return dh.buf ? kn_linear_bwd(d, dh, l->dy, l->w, m, flags) : 0;
    struct kn_at in = dropped(d, g, l, h, m, &rc);
    rc = rc ? rc : kn_gemm(d, g->dz, l->dy, l->b, g->alpha, m, r, n, 0);
    rc = rc ? rc : kn_gemm(d, l->db, l->dy, l->z, g->alpha, n, r, m, KN_TA | KN_ADD);
    rc = rc ? rc : kn_gemm(d, l->da, g->dz, in, 1, r, k, m, KN_TA | KN_ADD);
    if (rc || !dh.buf)
        return rc;
    if (g->dropout <= 0)
        return kn_linear_lora_bwd(d, dh, l->dy, l->w, g->dz, l->a, r, m, flags);
    rc = kn_linear_bwd(d, dh, l->dy, l->w, m, flags);
    rc = rc ? rc : kn_gemm(d, g->dropped, g->dz, l->a, 1, m, k, r, 0);
    dropped(d, g, l, g->dropped, m, &rc);
    return rc ? rc : kn_axpy(d, dh, g->dropped, 1, (size_t)m * (size_t)k);
}

/* dmag, and l->dy turned into the gradient of what the magnitudes scale, which is made again. */
static int through_magnitude(struct kn_dev *d, const struct kn_group *g, struct kn_lin *l,
                             struct kn_at h, int m)
{
    const struct kn_at none = {0};
    if (!l->mag.buf)
        return 0;
    int rc = kn_linear_lora(d, g->wide, h, l->w, none, l->z, l->b, g->alpha, g->r, m, 0);
    rc = rc ? rc : kn_dora_bwd(d, l->dmag, l->dy, g->wide, l->norm, m, l->w->n);
    rc = rc ? rc : kn_dora(d, g->wide, l->dy, l->mag, l->norm, none, m, l->w->n);
    l->dy = g->wide;
    return rc;
}

int kn_group_bwd(struct kn_dev *d, const struct kn_group *g, struct kn_at dx, int m, int flags)
{
    if (flags & KN_MIXED)
        return group_bwd_mixed(d, g, dx, m);
    int rc = 0, wanted = dx.buf || g->input == KN_IN_SWIGLU;
    struct kn_at h = g->input == KN_IN_PLAIN ? g->x : g->h, none = {0};
    struct kn_at dh = !wanted ? none : g->input == KN_IN_PLAIN ? dx : g->dh;
    for (int i = 0; !rc && i < g->n_lin; i++) {
        struct kn_lin l = g->lin[i];
        rc = base_bwd_f32(d, g, &l, h, m);
        rc = rc ? rc : through_magnitude(d, g, &l, h, m);
        rc = rc ? rc : lin_bwd_f32(d, g, &l, h, dh, m, i ? KN_ADD : 0);
    }
    if (rc || !wanted || g->input == KN_IN_PLAIN)
        return rc;
    if (g->input == KN_IN_SWIGLU)
        return kn_swiglu_bwd(d, g->x, g->up, dh, g->x, g->up, (size_t)m * (size_t)g->k);
    return kn_norm_bwd(d, dx, g->dnorm, dh, g->x, g->norm, g->rstd, m, g->k, KN_ADD);
}

int kn_gemm(struct kn_dev *d, struct kn_at c, struct kn_at a, struct kn_at b, float alpha, int m,
            int n, int k, int flags)
{
    return CALL(gemm, d, c, a, b, alpha, m, n, k, flags);
}

int kn_norm(struct kn_dev *d, struct kn_at y, struct kn_at rstd, struct kn_at x, struct kn_at w,
            float eps, int m, int n)
{
    return CALL(norm, d, y, rstd, x, w, eps, m, n);
}

int kn_norm_bwd(struct kn_dev *d, struct kn_at dx, struct kn_at dw, struct kn_at dy, struct kn_at x,
                struct kn_at w, struct kn_at rstd, int m, int n, int flags)
{
    return CALL(norm_bwd, d, dx, dw, dy, x, w, rstd, m, n, flags);
}

int kn_rope_doc(struct kn_dev *d, struct kn_at x, struct kn_at table, struct kn_at doc, int t,
                int n_head, int head_dim, int rope_dim, int pairs, int sign)
{
    return CALL(rope, d, x, table, doc, t, n_head, head_dim, rope_dim, pairs, sign);
}

int kn_attn_doc(struct kn_dev *d, struct kn_at y, struct kn_at lse, struct kn_at q, struct kn_at k,
                struct kn_at v, struct kn_at doc, const struct kn_attn *a, int t, int flags)
{
    return CALL(attn, d, y, lse, q, k, v, doc, a, t, flags);
}

int kn_attn_doc_bwd(struct kn_dev *d, struct kn_at dq, struct kn_at dk, struct kn_at dv,
                    struct kn_at dy, struct kn_at y, struct kn_at lse, struct kn_at q,
                    struct kn_at k, struct kn_at v, struct kn_at doc, const struct kn_attn *a,
                    int t, int flags)
{
    return CALL(attn_bwd, d, dq, dk, dv, dy, y, lse, q, k, v, doc, a, t, flags);
}

int kn_swiglu_bwd(struct kn_dev *d, struct kn_at dgate, struct kn_at dup, struct kn_at dy,
                  struct kn_at gate, struct kn_at up, size_t n)
{
    return CALL(swiglu_bwd, d, dgate, dup, dy, gate, up, n);
}

int kn_xent(struct kn_dev *d, struct kn_at loss, struct kn_at logits, struct kn_at label,
            float scale, int m, int n, int want_grad)
{
    return CALL(xent, d, loss, logits, label, scale, m, n, want_grad);
}

int kn_embed_ids(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, struct kn_at ids,
                 int m)
{
    return CALL(embed, d, y, w, ids, m);
}

int kn_fill(struct kn_dev *d, struct kn_at y, float value, size_t n)
{
    return CALL(fill, d, y, value, n);
}

int kn_axpy(struct kn_dev *d, struct kn_at y, struct kn_at x, float alpha, size_t n)
{
    return CALL(axpy, d, y, x, alpha, n);
}

int kn_dropout(struct kn_dev *d, struct kn_at y, struct kn_at x, float p, uint64_t seed,
               uint64_t counter, size_t n)
{
    return CALL(dropout, d, y, x, p, seed, counter, n);
}

int kn_rows_get(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m, int n)
{
    return CALL(rows_get, d, y, x, idx, m, n);
}

int kn_rows_put(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at idx, int m, int n)
{
    return CALL(rows_put, d, y, x, idx, m, n);
}

int kn_sumsq(struct kn_dev *d, struct kn_at out, struct kn_at x, size_t n)
{
    return CALL(sumsq, d, out, x, n);
}

int kn_adamw(struct kn_dev *d, struct kn_at w, struct kn_at g, struct kn_at m, struct kn_at v,
             size_t n, const struct kn_adamw *h)
{
    return h->moment == KN_MOMENT_F32 ? CALL(adamw, d, w, g, m, v, n, h)
                                      : CALL(adamw_small, d, w, g, m, v, n, h);
}

int kn_momentum(struct kn_dev *d, struct kn_at out, struct kn_at m, struct kn_at g, size_t n,
                const struct kn_adamw *h)
{
    return CALL(momentum, d, out, m, g, n, h);
}

int kn_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w, struct kn_at a,
                struct kn_at b, float alpha, int r)
{
    return CALL(row_norm, d, norm, w, a, b, alpha, r);
}

int kn_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag, struct kn_at norm,
            struct kn_at bias, int m, int n)
{
    return CALL(dora, d, y, x, mag, norm, bias, m, n);
}

int kn_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                struct kn_at norm, int m, int n)
{
    return CALL(dora_bwd, d, dmag, dy, x, norm, m, n);
}

int kn_sum_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, int m, int n)
{
    return CALL(sum_rows, d, y, x, m, n);
}

int kn_embed_bwd(struct kn_dev *d, struct kn_at dw, struct kn_at dy, struct kn_at ids, int m, int n)
{
    return CALL(embed_bwd, d, dw, dy, ids, m, n);
}

int kn_weight_live(struct kn_dev *d, struct kn_at rows, int n, int k, struct kn_weight **w)
{
    const void *p = kn_host(d, rows);
    if (p)
        return kn_weight_new(d, KN_F32, n, k, p, KN_W_TRAIN, w);
    const int err = CALL(weight_live, d, rows, n, k, w);
    if (!err) {
        (*w)->type = KN_F32;
        (*w)->n = n;
        (*w)->k = k;
        (*w)->flags = KN_W_TRAIN;
    }
    return err;
}
