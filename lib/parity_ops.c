/* parity_ops - a layer's ops on every device, from the same numbers */
#include "dev.h"
#include "parity_impl.h"
#include <string.h>

/* What an op takes: of the first peer, on the host. */
struct in {
    const struct parity_job *j;
    int l, m;
    const float *x; /* (m, width) */
    const float *y; /* a second one */
};
typedef int op_fn(struct parity_device *d, const struct in *in, struct kn_at *out);

static int put(const struct parity_device *d, struct kn_at at, const float *x, int m, size_t width)
{
    return kn_write(d->dev, at, x, (size_t)m * width * sizeof *x);
}
static const struct kn_attn *attn_of(const struct parity_device *d, const struct in *in)
{
    return &d->w.m.layer[in->l].attn;
}
static const struct kn_ffn *ffn_of(const struct parity_device *d, const struct in *in)
{
    return &d->w.m.layer[in->l].ffn;
}

/* ---- small calls ---- */

static int norm(struct parity_device *d, const struct in *in, struct kn_at w, struct kn_at bias,
                float eps, struct kn_at *out)
{
    const int n = in->j->n_embd, rc = put(d, d->a, in->x, in->m, (size_t)n);
    *out = d->b;
    return rc < 0     ? rc
           : bias.buf ? kn_layer_norm(d->dev, d->b, d->a, w, bias, eps, in->m, n)
                      : kn_rms_norm(d->dev, d->b, d->a, w, eps, in->m, n);
}
static int do_norm(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    const struct kn_attn *a = attn_of(d, in);
    return norm(d, in, a->norm, a->norm_bias, a->eps, out);
}
static int do_ffn_norm(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    const struct kn_ffn *f = ffn_of(d, in);
    return norm(d, in, f->norm, f->norm_bias, f->eps, out);
}

static int product(struct parity_device *d, const struct in *in, const struct kn_weight *w,
                   struct kn_at bias, struct kn_at *out)
{
    const int rc = put(d, d->a, in->x, in->m, (size_t)w->k);
    *out = d->b;
    return rc < 0 ? rc : kn_matmul(d->dev, d->b, d->a, w, bias, in->m, 0);
}
static int do_q(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, attn_of(d, in)->q, attn_of(d, in)->bq, out);
}
static int do_k(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, attn_of(d, in)->k, attn_of(d, in)->bk, out);
}
static int do_v(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, attn_of(d, in)->v, attn_of(d, in)->bv, out);
}
static int do_gate(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, ffn_of(d, in)->gate, ffn_of(d, in)->bgate, out);
}
static int do_up(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, ffn_of(d, in)->up, ffn_of(d, in)->bup, out);
}
static int do_down(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    return product(d, in, ffn_of(d, in)->down, ffn_of(d, in)->bdown, out);
}
static int do_rope(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    const struct kn_attn *a = attn_of(d, in);
    const int rc = put(d, d->a, in->x, in->m, (size_t)a->n_head * (size_t)a->head_dim);
    *out = d->a;
    return rc < 0 ? rc : kn_rope(d->dev, d->a, a, a->n_head, d->w.f.batch);
}
static int do_act(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    const struct kn_ffn *f = ffn_of(d, in);
    const size_t n = (size_t)f->n_ff;
    int rc = put(d, d->a, in->x, in->m, n);
    if (rc == 0 && in->y)
        rc = put(d, d->b, in->y, in->m, n);
    *out = d->c;
    return rc < 0 ? rc
                  : kn_glu(d->dev, d->c, d->a, in->y ? d->b : (struct kn_at){0}, f->act, in->m,
                           f->n_ff);
}

/* ---- fused calls ---- */

static int do_qkv(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    struct forward *f = &d->w.f;
    const int rc = put(d, f->x, in->x, in->m, (size_t)in->j->n_embd);
    *out = f->q;
    return rc < 0 ? rc : kn_qkv(d->dev, f->q, f->x, f->tmp, f->kv, in->l, attn_of(d, in), f->batch);
}
static int do_attention(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    struct forward *f = &d->w.f;
    const struct kn_attn *a = attn_of(d, in);
    const int rc = put(d, f->q, in->x, in->m, (size_t)a->n_head * (size_t)a->head_dim);
    *out = f->att;
    return rc < 0 ? rc : kn_attention(d->dev, f->att, f->q, f->kv, in->l, a, f->batch);
}
static int do_out(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    struct forward *f = &d->w.f;
    const struct kn_attn *a = attn_of(d, in);
    int rc = put(d, f->att, in->x, in->m, (size_t)a->n_head * (size_t)a->head_dim);
    if (rc == 0)
        rc = put(d, f->x, in->y, in->m, (size_t)in->j->n_embd);
    *out = f->x;
    return rc < 0 ? rc : kn_attn_out(d->dev, f->x, f->att, f->tmp, a, f->batch);
}
static int do_ffn(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    struct forward *f = &d->w.f;
    const int rc = put(d, f->x, in->x, in->m, (size_t)in->j->n_embd);
    *out = f->x;
    return rc < 0 ? rc : kn_ffn(d->dev, f->x, f->tmp, ffn_of(d, in), f->batch);
}
static int do_layer(struct parity_device *d, const struct in *in, struct kn_at *out)
{
    struct forward *f = &d->w.f;
    const int rc = put(d, f->x, in->x, in->m, (size_t)in->j->n_embd);
    *out = f->x;
    return rc < 0 ? rc : forward_layer(f, in->l);
}

/* ---- all of them ---- */

/* An op on every device; the peers' nearness; the first peer's result into keep, if there is one. */
static int each(struct parity_job *j, enum parity_op op, op_fn *f, const struct in *in,
                size_t width, float *keep, struct err *e)
{
    const size_t n = (size_t)in->m * width;
    for (int d = 0; d < j->n_dev; d++) {
        struct kn_at out;
        int rc = f(&j->d[d], in, &out);
        if (rc == 0)
            rc = kn_read(j->d[d].dev, j->out[d], out, n * sizeof(float));
        if (rc < 0)
            return dev_failed(j->d[d].dev, parity_op_name((int)op), rc, e);
    }
    for (int k = 0; k + 1 < j->n_dev; k++) {
        struct parity_peer *peer = &j->p->peer[k];
        parity_near_add(&peer->op[op], j->out[0], j->out[1 + k], in->m, width, in->l);
        if (op == PARITY_LAYER)
            parity_near_add(&peer->layer[in->l], j->out[0], j->out[1 + k], in->m, width, in->l);
    }
    if (keep)
        memcpy(keep, j->out[1], n * sizeof *keep);
    return 0;
}

static int attention_ops(struct parity_job *j, int l, int m, const float *x, struct err *e)
{
    const struct kn_attn *a = &j->d[1].w.m.layer[l].attn;
    const size_t n = (size_t)j->n_embd, q = (size_t)a->n_head * (size_t)a->head_dim,
                 kv = (size_t)a->n_head_kv * (size_t)a->head_dim;
    const struct in from_x = {j, l, m, x, NULL}, from_h = {j, l, m, j->h, NULL},
                    from_q = {j, l, m, j->q, NULL}, from_att = {j, l, m, j->att, x};
    int rc;
    if ((rc = each(j, PARITY_NORM, do_norm, &from_x, n, j->h, e)) < 0 ||
        (rc = each(j, PARITY_Q, do_q, &from_h, q, j->q, e)) < 0 ||
        (rc = each(j, PARITY_K, do_k, &from_h, kv, NULL, e)) < 0 ||
        (rc = each(j, PARITY_V, do_v, &from_h, kv, NULL, e)) < 0 ||
        (a->rope_dim && (rc = each(j, PARITY_ROPE, do_rope, &from_q, q, NULL, e)) < 0) ||
        (rc = each(j, PARITY_QKV, do_qkv, &from_x, q, j->q, e)) < 0 ||
        (rc = each(j, PARITY_ATTENTION, do_attention, &from_q, q, j->att, e)) < 0)
        return rc;
    return each(j, PARITY_OUT, do_out, &from_att, n, j->x1, e);
}

static int ffn_ops(struct parity_job *j, int l, int m, struct err *e)
{
    const struct kn_ffn *f = &j->d[1].w.m.layer[l].ffn;
    const size_t n = (size_t)j->n_embd, wide = (size_t)f->n_ff;
    const struct in from_x = {j, l, m, j->x1, NULL}, from_h = {j, l, m, j->h, NULL},
                    gated = {j, l, m, j->gate, j->up}, plain = {j, l, m, j->up, NULL},
                    act = {j, l, m, j->gate, NULL};
    int rc = each(j, PARITY_FFN_NORM, do_ffn_norm, &from_x, n, j->h, e);
    if (rc == 0 && !f->moe)
        if ((f->gate && (rc = each(j, PARITY_GATE, do_gate, &from_h, wide, j->gate, e)) < 0) ||
            (rc = each(j, PARITY_UP, do_up, &from_h, wide, j->up, e)) < 0 ||
            (rc = each(j, PARITY_ACT, do_act, f->gate ? &gated : &plain, wide, j->gate, e)) < 0)
            return rc;
    if (rc == 0 && !f->moe)
        rc = each(j, PARITY_DOWN, do_down, &act, n, NULL, e);
    return rc < 0 ? rc : each(j, PARITY_FFN, do_ffn, &from_x, n, NULL, e);
}

int parity_layer_ops(struct parity_job *j, int l, struct err *e)
{
    for (int s = 0; s < j->n_step; s++) {
        const struct parity_step step = j->step[s];
        float *x = j->x + (size_t)step.from * (size_t)j->n_embd;
        const struct in whole = {j, l, step.m, x, NULL};
        int rc = 0;
        for (int d = 0; d < j->n_dev && rc == 0; d++)
            rc = parity_batch(j, d, step, 0, 0, e);
        if (rc < 0 || (rc = attention_ops(j, l, step.m, x, e)) < 0 ||
            (rc = ffn_ops(j, l, step.m, e)) < 0 ||
            (rc = each(j, PARITY_LAYER, do_layer, &whole, (size_t)j->n_embd, x, e)) < 0)
            return rc;
    }
    return 0;
}
