/* compose - the fused calls from small ones, argmax on the host, collectives of a group of one
 *
 * A backend that fuses a call must give the same bits as its composition here. */
#include "kernels.h"
#include <assert.h>
#include <math.h>

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

/* kn_qkv: h (n_embd), k, v (n_head_kv * head_dim); kn_ffn: h (n_embd), gate, up (n_ff); kn_head:
 * h (n_embd); for each of max_tok rows.  The calls use tmp one after the other. */
size_t kn_tmp_bytes(const struct kn_attn *a, const struct kn_ffn *f, int max_tok)
{
    size_t m = (size_t)max_tok, qkv = 0, ffn = 0;
    if (a)
        qkv = part_bytes(m, (size_t)a->n_embd) +
              2 * part_bytes(m, (size_t)a->n_head_kv * (size_t)a->head_dim);
    if (f)
        ffn = part_bytes(m, (size_t)f->n_embd) + 2 * part_bytes(m, (size_t)f->n_ff);
    return qkv > ffn ? qkv : ffn;
}

static int compose_qkv(struct kn_dev *d, struct kn_at q, struct kn_at x, struct kn_at tmp,
                       struct kn_kv *kv, int layer, const struct kn_attn *a,
                       const struct kn_batch *b)
{
    int m = b->n_tok, err;
    size_t rows = (size_t)m, width = (size_t)a->n_head_kv * (size_t)a->head_dim;
    struct kn_at h = take(&tmp, rows, (size_t)a->n_embd);
    struct kn_at k = take(&tmp, rows, width), v = take(&tmp, rows, width);
    if ((err = kn_rms_norm(d, h, x, a->norm, a->eps, m, a->n_embd)) ||
        (err = kn_matmul(d, q, h, a->q, a->bq, m, 0)) ||
        (err = kn_matmul(d, k, h, a->k, a->bk, m, 0)) ||
        (err = kn_matmul(d, v, h, a->v, a->bv, m, 0)))
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
    return (d->ops->qkv ? d->ops->qkv : compose_qkv)(d, q, x, tmp, kv, layer, a, b);
}

static int compose_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
                       const struct kn_batch *b)
{
    int m = b->n_tok, err;
    size_t rows = (size_t)m;
    struct kn_at h = take(&tmp, rows, (size_t)f->n_embd);
    struct kn_at gate = take(&tmp, rows, (size_t)f->n_ff), up = take(&tmp, rows, (size_t)f->n_ff);
    struct kn_at none = {0};
    if ((err = kn_rms_norm(d, h, x, f->norm, f->eps, m, f->n_embd)) ||
        (err = kn_matmul(d, gate, h, f->gate, none, m, 0)) ||
        (err = kn_matmul(d, up, h, f->up, none, m, 0)) ||
        (err = kn_swiglu(d, gate, gate, up, m, f->n_ff)))
        return err;
    return kn_matmul(d, x, gate, f->down, none, m, KN_ADD);
}

int kn_ffn(struct kn_dev *d, struct kn_at x, struct kn_at tmp, const struct kn_ffn *f,
           const struct kn_batch *b)
{
    assert(f->gate->n == f->n_ff && f->up->n == f->n_ff && f->down->n == f->n_embd);
    assert(f->gate->k == f->n_embd && f->up->k == f->n_embd && f->down->k == f->n_ff);
    assert(tmp.buf && tmp.buf->bytes - tmp.off >= kn_tmp_bytes(NULL, f, b->n_tok));
    return (d->ops->ffn ? d->ops->ffn : compose_ffn)(d, x, tmp, f, b);
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
    return (d->ops->head ? d->ops->head : compose_head)(d, logits, x, tmp, norm, eps, w, b);
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
