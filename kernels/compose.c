/* compose - the fused calls from small ones, argmax on the host, collectives of a group of one
 *
 * A backend that fuses a call must give the same bits as its composition here. */
#include "adapt.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>

/* Parts of tmp start on cache lines, so that a backend may use aligned loads. */
static size_t part_bytes(size_t rows, size_t cols)
{
    return (rows * cols * sizeof(float) + 63) / 64 * 64;
}

/* The next part of tmp; moves *tmp past it. */
static struct kn_at take(struct kn_at *tmp, size_t rows, size_t cols)
{
    struct kn_at a = *tmp;
    *tmp = kn_plus(a, part_bytes(rows, cols));
    assert(a.buf && tmp->off <= a.buf->bytes);
    return a;
}

/* Widths of a mixture's parts: its widest hidden rows */
static size_t moe_width(const struct kn_moe *e)
{
    return (size_t)(e->n_ff > e->n_ff_shared ? e->n_ff : e->n_ff_shared);
}

/* kn_qkv: h (n_embd), k, v (n_head_kv * head_dim); kn_attn_out: y (n_embd); kn_ffn: h, gate, up (n_ff),
 * y if the sum is not plain; a mixture: h, y, logits, weights and ids, rows, their p, inputs, outputs, gate, up;
 * kn_head: h (n_embd); for each of max_tok rows.  The calls use tmp one after the other. */
size_t kn_tmp_bytes(const struct kn_attn *a, const struct kn_ffn *f, int max_tok)
{
    size_t m = (size_t)max_tok, qkv = 0, ffn = 0;
    if (a)
        qkv = part_bytes(m, (size_t)a->n_embd) +
              2 * part_bytes(m, (size_t)a->n_head_kv * (size_t)a->head_dim);
    if (f)
        ffn = 2 * part_bytes(m, (size_t)f->n_embd) + 2 * part_bytes(m, (size_t)f->n_ff);
    if (f && f->moe)
        ffn = 4 * part_bytes(m, (size_t)f->n_embd) + 2 * part_bytes(m, moe_width(f->moe)) +
              part_bytes(m, (size_t)f->moe->n_expert) + 2 * part_bytes(m, (size_t)f->moe->top_k) +
              2 * part_bytes(m, 1);
    return qkv > ffn ? qkv : ffn;
}

static int norm_of(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                   struct kn_at bias, float eps, int m, int n)
{
    return bias.buf ? kn_layer_norm(d, y, x, w, bias, eps, m, n)
                    : kn_rms_norm(d, y, x, w, eps, m, n);
}

/* x += residual * post(y) */
static int add_to(struct kn_dev *d, struct kn_at x, struct kn_at y, struct kn_at post, float eps,
                  float residual, int m, int n)
{
    int err = post.buf ? kn_rms_norm(d, y, y, post, eps, m, n) : KN_OK;
    struct kn_at none = {0};
    return err ? err : kn_add_rows(d, x, y, none, none, residual != 0 ? residual : 1, m, n);
}

static int compose_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                       struct kn_kv *kv, int layer, const struct kn_attn *a,
                       const struct kn_batch *b)
{
    int m = b->n_tok, err;
    size_t rows = (size_t)m, width = (size_t)a->n_head_kv * (size_t)a->head_dim;
    struct kn_at h = take(&tmp, rows, (size_t)a->n_embd);
    struct kn_at k = take(&tmp, rows, width), v = take(&tmp, rows, width);
    if ((err = norm_of(d, h, x, a->norm, a->norm_bias, a->eps, m, a->n_embd)) ||
        (err = kn_matmul(d, q, h, a->q, a->bq, m, 0)) ||
        (err = kn_matmul(d, k, h, a->k, a->bk, m, 0)) ||
        (err = kn_matmul(d, v, h, a->v, a->bv, m, 0)) ||
        (err = kn_adapt(d, q, h, a->q, a->lora_q, b)) ||
        (err = kn_adapt(d, k, h, a->k, a->lora_k, b)) ||
        (err = kn_adapt(d, v, h, a->v, a->lora_v, b)))
        return err;
    if (a->q_norm.buf &&
        (err = kn_rms_norm(d, q, q, a->q_norm, a->eps, m * a->n_head, a->head_dim)))
        return err;
    if (a->k_norm.buf &&
        (err = kn_rms_norm(d, k, k, a->k_norm, a->eps, m * a->n_head_kv, a->head_dim)))
        return err;
    if ((err = kn_rope(d, q, a, a->n_head, b)) || (err = kn_rope(d, k, a, a->n_head_kv, b)))
        return err;
    return kn_kv_write(d, kv, layer, k, v, b);
}

int kn_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp, struct kn_kv *kv,
           int layer, const struct kn_attn *a, const struct kn_batch *b)
{
    assert(a->q->n == a->n_head * a->head_dim && a->k->n == a->n_head_kv * a->head_dim &&
           a->v->n == a->k->n);
    assert(a->q->k == a->n_embd && a->k->k == a->n_embd && a->v->k == a->n_embd);
    assert(kv->n_head_kv == a->n_head_kv && kv->head_dim == a->head_dim);
    assert(tmp.buf && tmp.buf->bytes - tmp.off >= kn_tmp_bytes(a, NULL, b->n_tok));
    const struct kn_lora *const lora[] = {a->lora_q, a->lora_k, a->lora_v};
    const int fused = d->ops->qkv && !a->norm_bias.buf && !kn_adapts(b, lora, 3);
    const int err = fused ? d->ops->qkv(d, q, x, tmp, kv, layer, a, b) : KN_EUNSUP;
    return err == KN_EUNSUP ? compose_qkv(d, q, x, tmp, kv, layer, a, b) : err;
}

int kn_attn_out(struct kn_dev *d, struct kn_at x, struct kn_at att, struct kn_at tmp,
                const struct kn_attn *a, const struct kn_batch *b)
{
    int m = b->n_tok, err = KN_EUNSUP;
    const int plain = !a->post.buf && a->residual == 0;
    if (plain && d->ops->attn_out && !kn_adapts(b, &a->lora_o, 1))
        err = d->ops->attn_out(d, x, att, a, b);
    if (err != KN_EUNSUP)
        return err;
    if (plain) {
        err = kn_matmul(d, x, att, a->o, a->bo, m, KN_ADD);
        return err ? err : kn_adapt(d, x, att, a->o, a->lora_o, b);
    }
    struct kn_at y = take(&tmp, (size_t)m, (size_t)a->n_embd);
    if ((err = kn_matmul(d, y, att, a->o, a->bo, m, 0)) ||
        (err = kn_adapt(d, y, att, a->o, a->lora_o, b)))
        return err;
    return add_to(d, x, y, a->post, a->eps, a->residual, m, a->n_embd);
}

/* y = down(act(gate(h)) * up(h)), or down(act(up(h))), with room for gate and up; b is looked at for adapters alone */
static int dense(struct kn_dev *d, struct kn_at y, struct kn_at h, struct kn_at room[2],
                 const struct kn_ffn *f, int m, int flags, const struct kn_batch *b)
{
    int err;
    struct kn_at none = {0};
    if ((err = kn_matmul(d, room[1], h, f->up, f->bup, m, 0)) ||
        (err = kn_adapt(d, room[1], h, f->up, f->lora_up, b)) ||
        (f->gate && (err = kn_matmul(d, room[0], h, f->gate, f->bgate, m, 0))) ||
        (f->gate && (err = kn_adapt(d, room[0], h, f->gate, f->lora_gate, b))))
        return err;
    if (f->gate && f->act == KN_SILU)
        err = kn_swiglu(d, room[0], room[0], room[1], m, f->n_ff);
    else if (f->gate)
        err = kn_glu(d, room[0], room[0], room[1], f->act, m, f->n_ff);
    else
        err = kn_glu(d, room[0], room[1], none, f->act, m, f->n_ff);
    if (err || (err = kn_matmul(d, y, room[0], f->down, f->bdown, m, flags)))
        return err;
    return kn_adapt(d, y, room[0], f->down, f->lora_down, b);
}

/* The rows that chose expert e, and their weights. */
static int chosen_by(const int32_t *ids, const float *p, int m, int top_k, int e, int32_t *row,
                     float *weight)
{
    int n = 0;
    for (int i = 0; i < m * top_k; i++)
        if (ids[i] == e) {
            row[n] = i / top_k;
            weight[n++] = p[i];
        }
    return n;
}

/* y = the sum of the chosen experts of h, and the shared one */
static int mixture(struct kn_dev *d, struct kn_at y, struct kn_at h, struct kn_at tmp,
                   const struct kn_ffn *f, int m, const struct kn_batch *b)
{
    const struct kn_moe *e = f->moe;
    const size_t rows = (size_t)m, n = (size_t)f->n_embd;
    struct kn_at none = {0}, logits = take(&tmp, rows, (size_t)e->n_expert);
    struct kn_at ids = take(&tmp, rows, (size_t)e->top_k), p = take(&tmp, rows, (size_t)e->top_k);
    struct kn_at row = take(&tmp, rows, 1), weight = take(&tmp, rows, 1);
    struct kn_at in = take(&tmp, rows, n), out = take(&tmp, rows, n);
    struct kn_at room[2] = {take(&tmp, rows, moe_width(e)), take(&tmp, rows, moe_width(e))};
    int err;
    if ((err = kn_map(d, y, KN_ZERO, 0, m, f->n_embd)) ||
        (err = kn_matmul(d, logits, h, e->router, none, m, 0)) ||
        (err = kn_moe_route(d, ids, p, logits, m, e->n_expert, e->top_k, e->normalize)) ||
        (err = kn_sync(d)))
        return err;
    for (int i = 0; i < e->n_expert; i++) {
        struct kn_ffn one = {.n_embd = f->n_embd, .n_ff = e->n_ff, .act = f->act};
        one.gate = e->gate[i], one.up = e->up[i], one.down = e->down[i];
        int count = chosen_by(kn_host(d, ids), kn_host(d, p), m, e->top_k, i, kn_host(d, row),
                              kn_host(d, weight));
        if (count && ((err = kn_take_rows(d, in, h, row, count, f->n_embd)) ||
                      (err = dense(d, out, in, room, &one, count, 0, b)) ||
                      (err = kn_add_rows(d, y, out, row, weight, 0, count, f->n_embd)) ||
                      (err = kn_sync(d)))) /* the next expert's rows go where these are */
            return err;
    }
    if (!e->n_ff_shared)
        return KN_OK;
    struct kn_ffn shared = {.n_embd = f->n_embd, .n_ff = e->n_ff_shared, .act = f->act};
    shared.gate = e->shared[0], shared.up = e->shared[1], shared.down = e->shared[2];
    if ((err = dense(d, out, h, room, &shared, m, 0, b)) ||
        (err = kn_matmul(d, weight, h, e->shared_gate, none, m, 0)) ||
        (err = kn_map(d, weight, KN_SIGMOID, 0, m, 1)))
        return err;
    return kn_add_rows(d, y, out, none, weight, 0, m, f->n_embd);
}

/* Nothing but an RMSNorm, silu(gate) * up, and the sum: what a backend fuses. */
static int plain(const struct kn_ffn *f)
{
    return !f->moe && f->gate && f->act == KN_SILU && !f->norm_bias.buf && !f->post.buf &&
           f->residual == 0 && !f->bgate.buf && !f->bup.buf && !f->bdown.buf;
}

static int compose_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
                       const struct kn_batch *b)
{
    int m = b->n_tok, err, direct = !f->moe && !f->post.buf && f->residual == 0;
    size_t rows = (size_t)m;
    struct kn_at h = take(&tmp, rows, (size_t)f->n_embd);
    if ((err = norm_of(d, h, x, f->norm, f->norm_bias, f->eps, m, f->n_embd)))
        return err;
    struct kn_at y = direct ? x : take(&tmp, rows, (size_t)f->n_embd);
    if (f->moe) {
        err = mixture(d, y, h, tmp, f, m, b);
    } else {
        struct kn_at gate = take(&tmp, rows, (size_t)f->n_ff);
        struct kn_at room[2] = {gate, take(&tmp, rows, (size_t)f->n_ff)};
        err = dense(d, y, h, room, f, m, direct ? KN_ADD : 0, b);
    }
    return err || direct ? err : add_to(d, x, y, f->post, f->eps, f->residual, m, f->n_embd);
}

int kn_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
           const struct kn_batch *b)
{
    assert(f->moe || (f->up->n == f->n_ff && f->down->n == f->n_embd && f->up->k == f->n_embd &&
                      f->down->k == f->n_ff));
    assert(f->moe || !f->gate || (f->gate->n == f->n_ff && f->gate->k == f->n_embd));
    assert(tmp.buf && tmp.buf->bytes - tmp.off >= kn_tmp_bytes(NULL, f, b->n_tok));
    if (f->moe && !kn_host(d, x)) {
        snprintf(d->why, sizeof d->why, "no mixtures of experts");
        return KN_EUNSUP;
    }
    const struct kn_lora *const lora[] = {f->lora_gate, f->lora_up, f->lora_down};
    const int fused = d->ops->ffn && plain(f) && !kn_adapts(b, lora, 3);
    const int err = fused ? d->ops->ffn(d, x, tmp, f, b) : KN_EUNSUP;
    return err == KN_EUNSUP ? compose_ffn(d, x, tmp, f, b) : err;
}

static int compose_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
                        struct kn_at norm, float eps, const struct kn_weight *w,
                        const struct kn_batch *b)
{
    int err;
    struct kn_at h = take(&tmp, (size_t)b->n_out, (size_t)w->k);
    if ((err = kn_take_out(d, h, x, w->k, b)) ||
        (err = kn_rms_norm(d, h, h, norm, eps, b->n_out, w->k)))
        return err;
    return kn_matmul(d, logits, h, w, (struct kn_at){0}, b->n_out, 0);
}

int kn_head(struct kn_dev *d, struct kn_at logits, struct kn_at x, struct kn_at tmp,
            struct kn_at norm, float eps, const struct kn_weight *w, const struct kn_batch *b)
{
    const int err = d->ops->head ? d->ops->head(d, logits, x, tmp, norm, eps, w, b) : KN_EUNSUP;
    return err == KN_EUNSUP ? compose_head(d, logits, x, tmp, norm, eps, w, b) : err;
}

/* Read in pieces, so that it needs no memory and works without shared memory. NaN is never chosen.
 */
static int compose_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n)
{
    enum { PIECE = 1024 };
    float piece[PIECE];
    for (int i = 0; i < m; i++) {
        float best = -INFINITY;
        int32_t id = 0;
        for (int j = 0; j < n; j += PIECE) {
            int len = n - j < PIECE ? n - j : PIECE;
            size_t off = ((size_t)i * (size_t)n + (size_t)j) * sizeof(float);
            int err = kn_read(d, piece, kn_plus(logits, off), (size_t)len * sizeof(float));
            if (err)
                return err;
            for (int t = 0; t < len; t++)
                if (piece[t] > best) {
                    best = piece[t];
                    id = j + t;
                }
        }
        int err = kn_write(d, kn_plus(ids, (size_t)i * sizeof id), &id, sizeof id);
        if (err)
            return err;
    }
    return KN_OK;
}

int kn_argmax(struct kn_dev *d, struct kn_at ids, struct kn_at logits, int m, int n)
{
    assert(m >= 0 && n > 0);
    return (d->ops->argmax ? d->ops->argmax : compose_argmax)(d, ids, logits, m, n);
}

int kn_all_reduce(struct kn_dev *d, struct kn_at x, size_t n)
{
    return d->ops->all_reduce ? d->ops->all_reduce(d, x, n) : KN_OK;
}

int kn_all_gather(struct kn_dev *d, struct kn_at y, struct kn_at x, size_t n)
{
    if (d->ops->all_gather)
        return d->ops->all_gather(d, y, x, n);
    if (y.buf == x.buf && y.off == x.off)
        return KN_OK;
    float piece[1024];
    for (size_t i = 0; i < n;) {
        size_t len = n - i < 1024 ? n - i : 1024, off = i * sizeof(float);
        int err = kn_read(d, piece, kn_plus(x, off), len * sizeof(float));
        if (err || (err = kn_write(d, kn_plus(y, off), piece, len * sizeof(float))))
            return err;
        i += len;
    }
    return KN_OK;
}
