/* backward - one pass over packed documents: embed, layers, head, and back */
#include "backward.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory: every array is carved out of one allocation ---- */

struct carve {
    struct kn_at base;
    size_t used;
};

static struct kn_at take(struct carve *c, size_t rows, size_t cols)
{
    struct kn_at a = kn_plus(c->base, c->used);
    c->used += (rows * cols * sizeof(float) + 63) / 64 * 64;
    return a;
}

static void carve_slot(struct carve *c, struct backward_acts *s, const struct hparams *h,
                       const struct lora *l, size_t n)
{
    size_t e = (size_t)h->n_embd, q = (size_t)h->n_head * (size_t)h->head_dim;
    size_t kv = (size_t)h->n_head_kv * (size_t)h->head_dim, ff = (size_t)h->n_ff;
    *s = (struct backward_acts){.h1 = take(c, n, e), .rstd1 = take(c, n, 1)};
    if (h->qk_norm) {
        s->q_raw = take(c, n, q);
        s->k_raw = take(c, n, kv);
        s->rstdq = take(c, n, (size_t)h->n_head);
        s->rstdk = take(c, n, (size_t)h->n_head_kv);
    }
    s->q = take(c, n, q);
    s->k = take(c, n, kv);
    s->v = take(c, n, kv);
    s->att = take(c, n, q);
    s->lse = take(c, n, (size_t)h->n_head);
    s->mid = take(c, n, e);
    s->h2 = take(c, n, e);
    s->rstd2 = take(c, n, 1);
    s->gate = take(c, n, ff);
    s->up = take(c, n, ff);
    s->act = take(c, n, ff);
    for (int i = 0; l && i < LORA_WHICH; i++)
        if (l->c.targets >> i & 1)
            s->z[i] = take(c, n, (size_t)l->c.rank);
}

static void carve_all(struct backward *b, struct carve *c, const struct hparams *h,
                      const struct lora *l)
{
    size_t n = (size_t)b->max_rows, e = (size_t)h->n_embd, ff = (size_t)h->n_ff;
    size_t q = (size_t)h->n_head * (size_t)h->head_dim;
    size_t kv = (size_t)h->n_head_kv * (size_t)h->head_dim, wide = ff > q ? ff : q;
    struct kn_at *ints[] = {&b->ids, &b->doc, &b->label, &b->pick};
    for (int i = 0; i < 4; i++)
        *ints[i] = take(c, n, 1);
    for (int i = 0; i <= h->n_layer; i++)
        b->x[i] = take(c, n, e);
    for (int i = 0; i < b->n_slot; i++)
        carve_slot(c, &b->slot[i], h, l, n);
    b->dx = take(c, n, e);
    b->dh = take(c, n, e);
    b->dq = take(c, n, q);
    b->dk = take(c, n, kv);
    b->dv = take(c, n, kv);
    b->dff = take(c, n, wide > e ? wide : e);
    b->dz = take(c, n, l ? (size_t)l->c.rank : 1);
    b->wide = take(c, n, wide > e ? wide : e);
    b->hx = take(c, n, e);
    b->hn = take(c, n, e);
    b->rstd = take(c, n, 1);
    b->loss = take(c, n, 1);
    b->logits = take(c, BACKWARD_HEAD, (size_t)h->n_vocab);
}

static int arrays(struct backward *b, int n_layer, int max_rows, int recompute)
{
    b->max_rows = max_rows;
    b->n_slot = recompute || n_layer < 1 ? 1 : n_layer;
    b->x = calloc((size_t)n_layer + 1, sizeof *b->x);
    b->slot = calloc((size_t)b->n_slot, sizeof *b->slot);
    b->host = malloc(2 * (size_t)max_rows * sizeof *b->host);
    b->host_loss = malloc((size_t)max_rows * sizeof *b->host_loss);
    return b->x && b->slot && b->host && b->host_loss;
}

size_t backward_bytes(const struct hparams *h, const struct lora *l, int max_rows, int recompute)
{
    struct backward b = {0};
    struct carve c = {0};
    if (arrays(&b, h->n_layer, max_rows, recompute))
        carve_all(&b, &c, h, l);
    else
        c.used = SIZE_MAX;
    backward_free(&b);
    return c.used;
}

int backward_new(struct backward *b, const struct model *m, struct lora *l, int max_rows,
                 int recompute, struct err *e)
{
    struct carve c = {0};
    *b = (struct backward){.m = m, .l = l};
    size_t bytes = backward_bytes(&m->h, l, max_rows, recompute);
    if (!arrays(b, m->h.n_layer, max_rows, recompute) || bytes == SIZE_MAX ||
        kn_alloc(m->dev, bytes, &b->mem)) {
        backward_free(b);
        return err_set(e, ERR_NOMEM, "training: %zu bytes for the activations of %d rows", bytes,
                       max_rows);
    }
    c.base = b->mem;
    carve_all(b, &c, &m->h, l);
    return 0;
}

void backward_free(struct backward *b)
{
    if (b->mem.buf)
        kn_free(b->m->dev, b->mem);
    free(b->x);
    free(b->slot);
    free(b->host);
    free(b->host_loss);
    memset(b, 0, sizeof *b);
}

/* ---- a linear layer with its adapter ---- */

/* Calls stop at the first error: `rc` carries it through a layer. */
#define DO(call)                                                                                   \
    do {                                                                                           \
        if (b->rc == 0)                                                                            \
            b->rc = (call);                                                                        \
    } while (0)

struct pass {
    struct backward *b;
    int n, rc;
    struct kn_dev *d;
};

static struct kn_at floats(struct kn_at a, size_t n)
{
    return kn_plus(a, n * sizeof(float));
}

/* The adapter's input: x, or x with dropout in `wide`; the same draw forward and backward. */
static struct kn_at dropped(struct pass *b, const struct lora_mod *m, struct kn_at x,
                            struct kn_at to)
{
    const struct lora *l = b->b->l;
    if (l->c.dropout <= 0)
        return x;
    uint64_t stream = (uint64_t)(m - l->mod) << 40; /* a module's draws: fewer than 2^40 */
    DO(kn_dropout(b->d, to, x, (float)l->c.dropout, b->b->dropout_key, stream,
                  (size_t)b->n * (size_t)m->n_in));
    return to;
}

/* y = x W^T + bias + scale (x A^T) B^T; z = x A^T is kept for the backward */
static void linear(struct pass *b, int layer, int which, struct kn_at y, struct kn_at x,
                   const struct kn_weight *w, struct kn_at bias, struct kn_at z)
{
    const struct lora *l = b->b->l;
    const struct lora_mod *m = l ? lora_find(l, layer, which) : NULL;
    if (!m) {
        DO(kn_linear(b->d, y, x, w, bias, b->n, 0));
        return;
    }
    struct kn_at in = dropped(b, m, x, b->b->wide);
    DO(kn_gemm(b->d, z, in, floats(l->w, m->a), 1, b->n, l->c.rank, m->n_in, KN_TB));
    DO(kn_linear_lora(b->d, y, x, w, bias, z, floats(l->w, m->b), l->scale, l->c.rank, b->n, 0));
}

/* dz = scale dy B;  dB += scale dy^T z;  dA += dz^T x;  dx (=, or += with KN_ADD) = dy W + dz A.
 * dx.buf NULL: nobody below wants it. */
static void linear_bwd(struct pass *b, int layer, int which, struct kn_at dx, int flags,
                       struct kn_at dy, struct kn_at x, const struct kn_weight *w, struct kn_at z)
{
    const struct lora *l = b->b->l;
    const struct lora_mod *m = lora_find(l, layer, which);
    struct kn_at dz = b->b->dz, wide = b->b->wide;
    int r = l->c.rank, n = b->n;
    if (!m) {
        if (dx.buf)
            DO(kn_linear_bwd(b->d, dx, dy, w, n, flags));
        return;
    }
    struct kn_at a = floats(l->w, m->a), in = dropped(b, m, x, wide);
    DO(kn_gemm(b->d, dz, dy, floats(l->w, m->b), l->scale, n, r, m->n_out, 0));
    DO(kn_gemm(b->d, floats(l->g, m->b), dy, z, l->scale, m->n_out, r, n, KN_TA | KN_ADD));
    DO(kn_gemm(b->d, floats(l->g, m->a), dz, in, 1, r, m->n_in, n, KN_TA | KN_ADD));
    if (!dx.buf)
        return;
    if (l->c.dropout <= 0) {
        DO(kn_linear_lora_bwd(b->d, dx, dy, w, dz, a, r, n, flags));
        return;
    }
    DO(kn_linear_bwd(b->d, dx, dy, w, n, flags));
    DO(kn_gemm(b->d, wide, dz, a, 1, n, m->n_in, r, 0));
    dropped(b, m, wide, wide);
    DO(kn_axpy(b->d, dx, wide, 1, (size_t)n * (size_t)m->n_in));
}

/* ---- a layer ---- */

static void layer_forward(struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    const struct kn_ffn *f = &b->b->m->layer[i].ffn;
    struct kn_at x = b->b->x[i], y = b->b->x[i + 1], doc = b->b->doc, none = {0};
    int n = b->n, hd = a->head_dim, qk = a->q_norm.buf != NULL;
    size_t all = (size_t)n * (size_t)a->n_embd;
    DO(kn_norm(b->d, s->h1, s->rstd1, x, a->norm, a->eps, n, a->n_embd));
    linear(b, i, LORA_Q, qk ? s->q_raw : s->q, s->h1, a->q, a->bq, s->z[LORA_Q]);
    linear(b, i, LORA_K, qk ? s->k_raw : s->k, s->h1, a->k, a->bk, s->z[LORA_K]);
    linear(b, i, LORA_V, s->v, s->h1, a->v, a->bv, s->z[LORA_V]);
    if (qk) {
        DO(kn_norm(b->d, s->q, s->rstdq, s->q_raw, a->q_norm, a->eps, n * a->n_head, hd));
        DO(kn_norm(b->d, s->k, s->rstdk, s->k_raw, a->k_norm, a->eps, n * a->n_head_kv, hd));
    }
    if (a->rope_dim) {
        DO(kn_rope_doc(b->d, s->q, a->rope, doc, n, a->n_head, hd, a->rope_dim, a->rope_pairs, 1));
        DO(kn_rope_doc(b->d, s->k, a->rope, doc, n, a->n_head_kv, hd, a->rope_dim, a->rope_pairs,
                       1));
    }
    DO(kn_attn_doc(b->d, s->att, s->lse, s->q, s->k, s->v, doc, a, n));
    linear(b, i, LORA_O, s->mid, s->att, a->o, a->bo, s->z[LORA_O]);
    DO(kn_axpy(b->d, s->mid, x, 1, all));
    DO(kn_norm(b->d, s->h2, s->rstd2, s->mid, f->norm, f->eps, n, f->n_embd));
    linear(b, i, LORA_GATE, s->gate, s->h2, f->gate, none, s->z[LORA_GATE]);
    linear(b, i, LORA_UP, s->up, s->h2, f->up, none, s->z[LORA_UP]);
    DO(kn_swiglu(b->d, s->act, s->gate, s->up, n, f->n_ff));
    linear(b, i, LORA_DOWN, y, s->act, f->down, none, s->z[LORA_DOWN]);
    DO(kn_axpy(b->d, y, s->mid, 1, all));
}

/* dx: gradient of the layer's output on entry, of its input on return.  The embedding is frozen, so
 * below layer 0 nobody wants one. */
static void layer_backward(struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    const struct kn_ffn *f = &b->b->m->layer[i].ffn;
    struct kn_at dx = b->b->dx, dh = b->b->dh, dff = b->b->dff, doc = b->b->doc, none = {0};
    struct kn_at dq = b->b->dq, dk = b->b->dk, dv = b->b->dv, below = i ? dh : none;
    int n = b->n, hd = a->head_dim, e = a->n_embd;
    linear_bwd(b, i, LORA_DOWN, dff, 0, dx, s->act, f->down, s->z[LORA_DOWN]);
    DO(kn_swiglu_bwd(b->d, s->gate, s->up, dff, s->gate, s->up, (size_t)n * (size_t)f->n_ff));
    linear_bwd(b, i, LORA_GATE, dh, 0, s->gate, s->h2, f->gate, s->z[LORA_GATE]);
    linear_bwd(b, i, LORA_UP, dh, KN_ADD, s->up, s->h2, f->up, s->z[LORA_UP]);
    DO(kn_norm_bwd(b->d, dx, none, dh, s->mid, f->norm, s->rstd2, n, e, KN_ADD));

    linear_bwd(b, i, LORA_O, dff, 0, dx, s->att, a->o, s->z[LORA_O]);
    DO(kn_attn_doc_bwd(b->d, dq, dk, dv, dff, s->att, s->lse, s->q, s->k, s->v, doc, a, n));
    if (a->rope_dim) {
        DO(kn_rope_doc(b->d, dq, a->rope, doc, n, a->n_head, hd, a->rope_dim, a->rope_pairs, -1));
        DO(kn_rope_doc(b->d, dk, a->rope, doc, n, a->n_head_kv, hd, a->rope_dim, a->rope_pairs,
                       -1));
    }
    if (a->q_norm.buf) { /* q and k are not wanted any more: their place takes the gradients */
        DO(kn_norm_bwd(b->d, s->q, none, dq, s->q_raw, a->q_norm, s->rstdq, n * a->n_head, hd, 0));
        DO(kn_norm_bwd(b->d, s->k, none, dk, s->k_raw, a->k_norm, s->rstdk, n * a->n_head_kv, hd,
                       0));
        dq = s->q;
        dk = s->k;
    }
    linear_bwd(b, i, LORA_Q, below, 0, dq, s->h1, a->q, s->z[LORA_Q]);
    linear_bwd(b, i, LORA_K, below, KN_ADD, dk, s->h1, a->k, s->z[LORA_K]);
    linear_bwd(b, i, LORA_V, below, KN_ADD, dv, s->h1, a->v, s->z[LORA_V]);
    if (i)
        DO(kn_norm_bwd(b->d, dx, none, dh, b->b->x[i], a->norm, s->rstd1, n, e, KN_ADD));
}

/* ---- the head: rows with a label alone, a slice at a time ---- */

static void head(struct pass *b, int n_pick, float scale, int grad, double *loss)
{
    const struct model *m = b->b->m;
    struct kn_at hx = b->b->hx, hn = b->b->hn, none = {0};
    int e = m->h.n_embd;
    DO(kn_write(b->d, b->b->label, b->b->host, (size_t)n_pick * sizeof(int32_t)));
    DO(kn_write(b->d, b->b->pick, b->b->host + b->b->max_rows, (size_t)n_pick * sizeof(int32_t)));
    DO(kn_rows_get(b->d, hx, b->b->x[m->h.n_layer], b->b->pick, n_pick, e));
    DO(kn_norm(b->d, hn, b->b->rstd, hx, m->out_norm, (float)m->h.rms_eps, n_pick, e));
    for (int i = 0; i < n_pick; i += BACKWARD_HEAD) {
        int n = n_pick - i < BACKWARD_HEAD ? n_pick - i : BACKWARD_HEAD;
        struct kn_at rows = floats(hn, (size_t)i * (size_t)e);
        DO(kn_linear(b->d, b->b->logits, rows, m->head, none, n, 0));
        DO(kn_xent(b->d, floats(b->b->loss, (size_t)i), b->b->logits,
                   floats(b->b->label, (size_t)i), scale, n, m->h.n_vocab, grad));
        if (grad) /* the slice of hn has served: its gradient takes its place */
            DO(kn_linear_bwd(b->d, rows, b->b->logits, m->head, n, 0));
    }
    DO(kn_read(b->d, b->b->host_loss, b->b->loss, (size_t)n_pick * sizeof(float)));
    for (int i = 0; b->rc == 0 && i < n_pick; i++)
        *loss += b->b->host_loss[i];
    if (!grad)
        return;
    DO(kn_norm_bwd(b->d, hx, none, hn, hx, m->out_norm, b->b->rstd, n_pick, e, 0));
    DO(kn_fill(b->d, b->b->dx, 0, (size_t)b->n * (size_t)e));
    DO(kn_rows_put(b->d, b->b->dx, hx, b->b->pick, n_pick, e));
}

int backward_run(struct backward *bw, const int32_t *ids, const int32_t *doc, const int32_t *label,
                 int n, float scale, int grad, double *loss, struct err *e)
{
    struct pass pass = {.b = bw, .n = n, .d = bw->m->dev}, *b = &pass;
    int n_pick = 0, n_layer = bw->m->h.n_layer;
    if (n > bw->max_rows)
        return err_set(e, ERR_SOFTWARE, "a pass of %d rows, room for %d", n, bw->max_rows);
    for (int t = 0; t < n; t++)
        if (label[t] >= 0) {
            bw->host[n_pick] = label[t];
            bw->host[bw->max_rows + n_pick++] = t;
        }
    if (n == 0 || n_pick == 0)
        return 0;
    DO(kn_write(b->d, bw->ids, ids, (size_t)n * sizeof *ids));
    DO(kn_write(b->d, bw->doc, doc, (size_t)n * sizeof *doc));
    DO(kn_embed_ids(b->d, bw->x[0], bw->m->embd, bw->ids, n));
    for (int i = 0; i < n_layer; i++)
        layer_forward(b, i, &bw->slot[i % bw->n_slot]);
    head(b, n_pick, scale, grad, loss);
    for (int i = n_layer - 1; grad && i >= 0; i--) {
        if (bw->n_slot < n_layer && i < n_layer - 1) /* the last layer's are still there */
            layer_forward(b, i, &bw->slot[i % bw->n_slot]);
        layer_backward(b, i, &bw->slot[i % bw->n_slot]);
    }
    if (b->rc)
        return err_set(e, b->rc == KN_ENOMEM ? ERR_NOMEM : ERR_UNAVAILABLE, "training on %s: %s",
                       b->d->name, kn_strerror(b->rc));
    return 0;
}
