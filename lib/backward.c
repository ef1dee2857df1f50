/* backward - one pass over packed documents: embed, layers, head, and back */
#include "backward.h"
#include "clock.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

const char *const backward_parts[BACKWARD_N_PART] = {
#define X(id, name) name,
    BACKWARD_PARTS(X)
#undef X
};

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
                       const struct lora *l, size_t n, int mixed)
{
    size_t e = (size_t)h->n_embd, q = (size_t)h->n_head * (size_t)h->head_dim;
    size_t kv = (size_t)h->n_head_kv * (size_t)h->head_dim, ff = (size_t)h->n_ff;
    *s = (struct backward_acts){.rstd1 = take(c, n, 1)};
    if (!mixed) { /* else they are made again from what they are made of, as operands in bf16 */
        s->h1 = take(c, n, e);
        s->h2 = take(c, n, e);
        s->act = take(c, n, ff);
    }
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
    s->rstd2 = take(c, n, 1);
    s->gate = take(c, n, ff);
    s->up = take(c, n, ff);
    for (int i = 0; l && i < LORA_WHICH; i++)
        if (l->c.targets >> i & 1)
            s->z[i] = take(c, n, (size_t)l->c.rank);
}

/* Rows whose logits exist at once: many enough that the head's weight is read seldom, 16 MB where that is
 * more than 256, or what the device asks for. */
static int head_rows(const struct hparams *h, const struct kn_dev *dev)
{
    const size_t asked = dev->ops->train ? dev->ops->train->logits : 0;
    const size_t n = (asked ? asked : 4 << 20) / (size_t)h->n_vocab, most = asked ? 1 << 16 : 1024;
    return n < 256 ? 256 : n > most ? (int)most : (int)n;
}

static void carve_all(struct backward *b, struct carve *c, const struct hparams *h,
                      const struct lora *l, const struct kn_dev *dev)
{
    size_t n = (size_t)b->max_rows, e = (size_t)h->n_embd, ff = (size_t)h->n_ff;
    size_t q = (size_t)h->n_head * (size_t)h->head_dim;
    size_t kv = (size_t)h->n_head_kv * (size_t)h->head_dim, wide = ff > q ? ff : q;
    b->head_rows = head_rows(h, dev) < b->max_rows ? head_rows(h, dev) : b->max_rows;
    struct kn_at *ints[] = {&b->ids, &b->doc, &b->label, &b->pick};
    for (int i = 0; i < 4; i++)
        *ints[i] = take(c, n, 1);
    for (int i = 0; i <= h->n_layer; i++)
        b->x[i] = take(c, n, e);
    for (int i = 0; i < b->n_slot; i++)
        carve_slot(c, &b->slot[i], h, l, n, b->mixed);
    b->dx = take(c, n, e);
    b->dh = take(c, n, e);
    b->dq = take(c, n, q);
    b->dk = take(c, n, kv);
    b->dv = take(c, n, kv);
    b->dff = take(c, n, wide > e ? wide : e);
    b->dz = take(c, n, l ? (size_t)l->c.rank : 1);
    if (l && l->c.dropout > 0) /* the adapters' own input */
        b->wide = take(c, n, wide > e ? wide : e);
    if (l && l->c.dora) /* an output before its magnitudes */
        b->scaled = take(c, n, wide > e ? wide : e);
    b->hx = take(c, n, e);
    b->hn = take(c, n, e);
    b->rstd = take(c, n, 1);
    b->loss = take(c, n, 1);
    b->logits = take(c, (size_t)b->head_rows, (size_t)h->n_vocab);
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

size_t backward_bytes(const struct hparams *h, const struct lora *l, const struct kn_dev *dev,
                      int max_rows, int recompute, int mixed)
{
    struct backward b = {.mixed = mixed};
    struct carve c = {0};
    if (arrays(&b, h->n_layer, max_rows, recompute))
        carve_all(&b, &c, h, l, dev);
    else
        c.used = SIZE_MAX;
    backward_free(&b);
    return c.used;
}

/* One group: n_lin layers of n[] outputs on k inputs, as the four below and the head have them. */
static void count_group(const struct kn_dev *dev, struct kn_count *c, const struct lora_conf *l,
                        int k, const int *n, int n_lin, int first, int m, int mixed, int flags,
                        int own)
{
    struct kn_weight w[KN_GROUP];
    struct kn_buf there;
    struct kn_group g = {.k = k, .n_lin = n_lin};
    if (l) {
        g.r = l->rank;
        g.dropout = (float)l->dropout;
    }
    for (int i = 0; i < n_lin; i++) {
        w[i] = (struct kn_weight){.n = n[i], .k = k, .flags = flags};
        g.lin[i].w = &w[i];
        if (l && l->targets >> (first + i) & 1)
            g.lin[i].a.buf = &there;
        if (own)
            g.lin[i].dw.buf = &there;
    }
    kn_count_group(dev, c, &g, m, mixed ? KN_MIXED : 0);
}

void backward_count(const struct hparams *h, const struct lora_conf *l, const struct kn_dev *dev,
                    struct kn_count *c, int max_rows, int longest, int mixed, int weight_flags)
{
    const int e = h->n_embd, ff = h->n_ff, q = h->n_head * h->head_dim;
    const int kv = h->n_head_kv * h->head_dim,
              slice = head_rows(h, dev) < max_rows ? head_rows(h, dev) : max_rows;
    const int three[] = {q, kv, kv}, two[] = {ff, ff};
    count_group(dev, c, l, e, three, 3, LORA_Q, max_rows, mixed, weight_flags, !l);
    count_group(dev, c, l, q, &e, 1, LORA_O, max_rows, mixed, weight_flags, !l);
    count_group(dev, c, l, e, two, 2, LORA_GATE, max_rows, mixed, weight_flags, !l);
    count_group(dev, c, l, ff, &e, 1, LORA_DOWN, max_rows, mixed, weight_flags, !l);
    count_group(dev, c, NULL, e, &h->n_vocab, 1, 0, slice, mixed, weight_flags, !l);
    kn_count_attn(dev, c, h->head_dim, longest, mixed ? KN_MIXED : 0);
}

static const struct kn_weight *weight_of(const struct model *m, const struct lora_mod *mod)
{
    const struct kn_attn *a = &m->layer[mod->layer].attn;
    const struct kn_ffn *f = &m->layer[mod->layer].ffn;
    const struct kn_weight *const w[] = {a->q, a->k, a->v, a->o, f->gate, f->up, f->down};
    return w[mod->which];
}

/* DoRA's magnitudes begin as the norms of the weights' rows. */
static int magnitudes(const struct model *m, const struct lora *l, struct err *e)
{
    const struct kn_at none = {0};
    int rc = 0;
    for (int i = 0; l && l->c.dora && rc == 0 && i < l->n_mod; i++)
        rc = kn_row_norm(m->dev, kn_plus(l->p.w, l->mod[i].mag * sizeof(float)),
                         weight_of(m, &l->mod[i]), none, none, 0, 0);
    return rc ? err_set(e, ERR_UNAVAILABLE, "DoRA on %s: %s", m->dev->name, kn_strerror(rc)) : 0;
}

/* The classification head, which is read and trained where it lies among the adapters. */
static int score(struct backward *b, const struct model *m, const struct lora *l, struct err *e)
{
    if (!l || !l->c.n_class)
        return 0;
    b->host_score = malloc((size_t)b->head_rows * (size_t)l->c.n_class * sizeof *b->host_score);
    if (!b->host_score)
        return err_set(e, ERR_NOMEM, "scores of %d classes", l->c.n_class);
    int rc = kn_weight_live(m->dev, kn_plus(l->p.w, l->score * sizeof(float)), l->c.n_class,
                            m->h.n_embd, &b->score);
    return rc ? err_set(e, ERR_UNAVAILABLE, "a classification head on %s: %s", m->dev->name,
                        kn_strerror(rc))
              : 0;
}

int backward_new(struct backward *b, const struct model *m, struct lora *l, int max_rows,
                 int recompute, int mixed, struct err *e)
{
    struct carve c = {0};
    *b = (struct backward){.m = m, .l = l, .mixed = mixed};
    int rc = hparams_trainable(&m->h, max_rows, e);
    if (rc < 0)
        return rc;
    if (mixed && l && l->c.dora)
        return err_set(e, ERR_UNAVAILABLE, "DoRA in bf16 is not supported: train it in f32");
    size_t bytes = backward_bytes(&m->h, l, m->dev, max_rows, recompute, mixed);
    if (!arrays(b, m->h.n_layer, max_rows, recompute) || bytes == SIZE_MAX ||
        kn_alloc(m->dev, bytes, &b->mem)) {
        backward_free(b);
        return err_set(e, ERR_NOMEM, "training: %zu bytes for the activations of %d rows", bytes,
                       max_rows);
    }
    c.base = b->mem;
    carve_all(b, &c, &m->h, l, m->dev);
    if ((rc = magnitudes(m, l, e)) || (rc = score(b, m, l, e)))
        backward_free(b);
    return rc;
}

int backward_join(struct backward *b, const struct backward *with, struct lora *l, struct err *e)
{
    *b = *with;
    b->l = l;
    memset(b->seconds, 0, sizeof b->seconds);
    return magnitudes(b->m, l, e);
}

void backward_free(struct backward *b)
{
    if (b->mem.buf)
        kn_free(b->m->dev, b->mem);
    if (b->score)
        kn_weight_free(b->m->dev, b->score);
    free(b->host_score);
    free(b->x);
    free(b->slot);
    free(b->host);
    free(b->host_loss);
    memset(b, 0, sizeof *b);
}

int backward_weights(const char *path, const struct kn_dev *dev, int mixed)
{
    struct apr a;
    struct err e = {0};
    size_t n = 0;
    if (mixed && dev->ops->train && dev->ops->train->weight_live)
        return KN_W_TRAIN | KN_W_MIXED;
    if (!mixed || apr_open(&a, path, &e))
        return KN_W_TRAIN; /* model_load will say what is wrong */
    for (int i = 0; i < a.n_tensor; i++)
        if (a.tensor[i].ndim == 2)
            n += a.tensor[i].dim[0] * a.tensor[i].dim[1];
    apr_close(&a);
    return KN_W_TRAIN | (model_room(path, 2 * 4 * n, &e) ? 0 : KN_W_MIXED);
}

/* ---- the four groups of a layer, described once for forward and backward ---- */

/* Calls stop at the first error: `rc` carries it through a layer.  The time is counted for `part`. */
#define DO(part, call)                                                                             \
    do {                                                                                           \
        double begin = clock_now();                                                                \
        if (b->rc == 0)                                                                            \
            b->rc = (call);                                                                        \
        b->b->seconds[BACKWARD_##part] += clock_now() - begin;                                     \
    } while (0)

struct pass {
    struct backward *b;
    int n, rc, flags; /* rows; KN_MIXED or 0 */
    struct kn_dev *d;
};

static struct kn_at floats(struct kn_at a, size_t n)
{
    return kn_plus(a, n * sizeof(float));
}

static struct kn_group group(const struct pass *b, int k)
{
    const struct lora *l = b->b->l;
    struct kn_group g = {.k = k, .dropped = b->b->wide, .dz = b->b->dz, .seed = b->b->dropout_key};
    if (l) {
        g.r = l->c.rank;
        g.alpha = l->scale;
        g.dropout = (float)l->c.dropout;
        g.wide = b->b->scaled;
    }
    return g;
}

static struct kn_lin *add(const struct pass *b, struct kn_group *g, int layer, int which,
                          const struct kn_weight *w, struct kn_at z)
{
    const struct lora *l = b->b->l;
    const struct lora_mod *m = l ? lora_find(l, layer, which) : NULL;
    struct kn_lin *lin = &g->lin[g->n_lin++];
    *lin = (struct kn_lin){.w = w, .dw = full_grad(b->b->full, w)};
    if (m) {
        lin->a = floats(l->p.w, m->a);
        lin->b = floats(l->p.w, m->b);
        lin->da = floats(l->p.g, m->a);
        lin->db = floats(l->p.g, m->b);
        lin->z = z;
        if (l->c.dora) {
            lin->mag = floats(l->p.w, m->mag);
            lin->dmag = floats(l->p.g, m->mag);
            lin->norm = floats(l->norm, m->out);
        }
        lin->draws = (uint64_t)(m - l->mod) << 40; /* a module's draws: fewer than 2^40 */
    }
    return lin;
}

static void set_bias(const struct pass *b, struct kn_lin *l, struct kn_at bias)
{
    l->bias = bias;
    l->dbias = full_grad_at(b->b->full, bias);
}

/* q, k, v of the normed residual */
static struct kn_group qkv(const struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    const int qk = a->q_norm.buf != NULL;
    struct kn_group g = group(b, a->n_embd);
    g.input = KN_IN_NORM;
    g.x = b->b->x[i], g.norm = a->norm, g.rstd = s->rstd1, g.eps = a->eps;
    g.dnorm = full_grad_at(b->b->full, a->norm);
    g.h = s->h1, g.dh = b->b->dh;
    struct kn_lin *q = add(b, &g, i, LORA_Q, a->q, s->z[LORA_Q]);
    struct kn_lin *k = add(b, &g, i, LORA_K, a->k, s->z[LORA_K]);
    struct kn_lin *v = add(b, &g, i, LORA_V, a->v, s->z[LORA_V]);
    set_bias(b, q, a->bq), set_bias(b, k, a->bk), set_bias(b, v, a->bv);
    q->y = qk ? s->q_raw : s->q, k->y = qk ? s->k_raw : s->k, v->y = s->v;
    /* behind QK-norm q and k are not wanted any more: their place takes the gradients */
    q->dy = qk ? s->q : b->b->dq, k->dy = qk ? s->k : b->b->dk, v->dy = b->b->dv;
    return g;
}

/* what attention gave, onto the residual */
static struct kn_group attn_out(const struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    struct kn_group g = group(b, a->n_head * a->head_dim);
    g.x = s->att;
    struct kn_lin *o = add(b, &g, i, LORA_O, a->o, s->z[LORA_O]);
    set_bias(b, o, a->bo);
    o->y = s->mid, o->res = b->b->x[i], o->dy = b->b->dx;
    return g;
}

static struct kn_group gate_up(const struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_ffn *f = &b->b->m->layer[i].ffn;
    struct kn_group g = group(b, f->n_embd);
    g.input = KN_IN_NORM;
    g.x = s->mid, g.norm = f->norm, g.rstd = s->rstd2, g.eps = f->eps;
    g.dnorm = full_grad_at(b->b->full, f->norm);
    g.h = s->h2, g.dh = b->b->dh;
    struct kn_lin *gate = add(b, &g, i, LORA_GATE, f->gate, s->z[LORA_GATE]);
    struct kn_lin *up = add(b, &g, i, LORA_UP, f->up, s->z[LORA_UP]);
    gate->y = gate->dy = s->gate, up->y = up->dy = s->up;
    return g;
}

static struct kn_group down(const struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_ffn *f = &b->b->m->layer[i].ffn;
    struct kn_group g = group(b, f->n_ff);
    g.input = KN_IN_SWIGLU;
    g.x = s->gate, g.up = s->up, g.h = s->act, g.dh = b->b->dff;
    struct kn_lin *l = add(b, &g, i, LORA_DOWN, f->down, s->z[LORA_DOWN]);
    l->y = b->b->x[i + 1], l->res = s->mid, l->dy = b->b->dx;
    return g;
}

/* ---- a layer ---- */

static int forward(const struct pass *b, struct kn_group g)
{
    return kn_group(b->d, &g, b->n, b->flags);
}
static int backward(const struct pass *b, struct kn_group g, struct kn_at dx)
{
    return kn_group_bwd(b->d, &g, dx, b->n, b->flags);
}

/* The table of a pass whose documents have at most max_rows positions. */
static struct kn_at rope_of(const struct pass *b, const struct kn_attn *a)
{
    const int shift = model_rope_shift(b->b->m, b->b->max_rows);
    return kn_plus(a->rope, (size_t)shift * (size_t)a->rope_dim * sizeof(float));
}

static void layer_forward(struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    struct kn_at doc = b->b->doc;
    int n = b->n, hd = a->head_dim;
    DO(QKV, forward(b, qkv(b, i, s)));
    if (a->q_norm.buf) {
        DO(QKV, kn_norm(b->d, s->q, s->rstdq, s->q_raw, a->q_norm, a->eps, n * a->n_head, hd));
        DO(QKV, kn_norm(b->d, s->k, s->rstdk, s->k_raw, a->k_norm, a->eps, n * a->n_head_kv, hd));
    }
    if (a->rope_dim) {
        DO(ROPE, kn_rope_doc(b->d, s->q, rope_of(b, a), doc, n, a->n_head, hd, a->rope_dim,
                             a->rope_pairs, 1));
        DO(ROPE, kn_rope_doc(b->d, s->k, rope_of(b, a), doc, n, a->n_head_kv, hd, a->rope_dim,
                             a->rope_pairs, 1));
    }
    DO(ATTN, kn_attn_doc(b->d, s->att, s->lse, s->q, s->k, s->v, doc, a, n, b->flags));
    DO(OUT, forward(b, attn_out(b, i, s)));
    DO(FFN_IN, forward(b, gate_up(b, i, s)));
    DO(FFN_OUT, forward(b, down(b, i, s)));
}

/* dx: gradient of the layer's output on entry, of its input on return.  Where the embedding is frozen,
 * below layer 0 nobody wants one. */
static void layer_backward(struct pass *b, int i, const struct backward_acts *s)
{
    const struct kn_attn *a = &b->b->m->layer[i].attn;
    struct kn_at dx = b->b->dx, dff = b->b->dff, doc = b->b->doc, none = {0};
    struct kn_at dq = b->b->dq, dk = b->b->dk, dv = b->b->dv;
    int n = b->n, hd = a->head_dim;
    struct kn_group out = down(b, i, s);
    out.fresh = b->b->n_slot == 1; /* its forward was the call before */
    out.handed = !b->b->full;
    DO(FFN_OUT_BWD, backward(b, out, none));
    DO(FFN_IN_BWD, backward(b, gate_up(b, i, s), dx));
    DO(OUT_BWD, backward(b, attn_out(b, i, s), dff));
    DO(ATTN_BWD, kn_attn_doc_bwd(b->d, dq, dk, dv, dff, s->att, s->lse, s->q, s->k, s->v, doc, a, n,
                                 b->flags));
    if (a->rope_dim) {
        DO(ROPE, kn_rope_doc(b->d, dq, rope_of(b, a), doc, n, a->n_head, hd, a->rope_dim,
                             a->rope_pairs, -1));
        DO(ROPE, kn_rope_doc(b->d, dk, rope_of(b, a), doc, n, a->n_head_kv, hd, a->rope_dim,
                             a->rope_pairs, -1));
    }
    if (a->q_norm.buf) {
        DO(QKV_BWD, kn_norm_bwd(b->d, s->q, full_grad_at(b->b->full, a->q_norm), dq, s->q_raw,
                                a->q_norm, s->rstdq, n * a->n_head, hd, 0));
        DO(QKV_BWD, kn_norm_bwd(b->d, s->k, full_grad_at(b->b->full, a->k_norm), dk, s->k_raw,
                                a->k_norm, s->rstdk, n * a->n_head_kv, hd, 0));
    }
    DO(QKV_BWD, backward(b, qkv(b, i, s), i || b->b->full ? dx : none));
}

/* ---- the head: rows with a label alone, a slice at a time ---- */

/* Of n rows of a classifier those whose largest score is their label's; of equal ones the first counts. */
static void count_right(struct pass *b, const int32_t *label, int n)
{
    const int width = b->b->score->n;
    float *x = b->b->host_score;
    DO(LOSS, kn_read(b->d, x, b->b->logits, (size_t)n * (size_t)width * sizeof *x));
    for (int i = 0; b->rc == 0 && i < n; i++, x += width) {
        int best = 0;
        for (int k = 1; k < width; k++)
            best = x[k] > x[best] ? k : best;
        b->b->n_right += best == label[i];
    }
}

static void head(struct pass *b, int n_pick, float scale, int grad, double *loss)
{
    const struct model *m = b->b->m;
    const struct lora *l = b->b->l;
    const struct kn_weight *w = b->b->score ? b->b->score : m->head;
    const struct kn_at dw = b->b->score ? floats(l->p.g, l->score) : full_grad(b->b->full, m->head);
    struct kn_at hx = b->b->hx, hn = b->b->hn, dnorm = full_grad_at(b->b->full, m->out_norm);
    int e = m->h.n_embd;
    DO(HEAD, kn_write(b->d, b->b->label, b->b->host, (size_t)n_pick * sizeof(int32_t)));
    DO(HEAD,
       kn_write(b->d, b->b->pick, b->b->host + b->b->max_rows, (size_t)n_pick * sizeof(int32_t)));
    DO(HEAD, kn_rows_get(b->d, hx, b->b->x[m->h.n_layer], b->b->pick, n_pick, e));
    DO(HEAD, kn_norm(b->d, hn, b->b->rstd, hx, m->out_norm, (float)m->h.rms_eps, n_pick, e));
    for (int i = 0; i < n_pick; i += b->b->head_rows) {
        int n = n_pick - i < b->b->head_rows ? n_pick - i : b->b->head_rows;
        struct kn_at rows = floats(hn, (size_t)i * (size_t)e);
        struct kn_group g = {.k = e, .n_lin = 1, .x = rows};
        g.lin[0] = (struct kn_lin){.w = w, .y = b->b->logits, .dy = b->b->logits, .dw = dw};
        DO(HEAD, kn_group(b->d, &g, n, b->flags));
        if (b->b->score && !grad)
            count_right(b, b->b->host + i, n);
        DO(LOSS, kn_xent(b->d, floats(b->b->loss, (size_t)i), b->b->logits,
                         floats(b->b->label, (size_t)i), scale, n, w->n, grad));
        if (grad) /* the slice of hn has served: its gradient takes its place */
            DO(HEAD, kn_group_bwd(b->d, &g, rows, n, b->flags));
    }
    DO(HEAD, kn_read(b->d, b->b->host_loss, b->b->loss, (size_t)n_pick * sizeof(float)));
    for (int i = 0; b->rc == 0 && i < n_pick; i++)
        *loss += b->b->host_loss[i];
    if (!grad)
        return;
    DO(HEAD, kn_norm_bwd(b->d, hx, dnorm, hn, hx, m->out_norm, b->b->rstd, n_pick, e, 0));
    DO(HEAD, kn_fill(b->d, b->b->dx, 0, (size_t)b->n * (size_t)e));
    DO(HEAD, kn_rows_put(b->d, b->b->dx, hx, b->b->pick, n_pick, e));
}

int backward_run(struct backward *bw, const int32_t *ids, const int32_t *doc, const int32_t *label,
                 int n, float scale, int grad, double *loss, struct err *e)
{
    struct pass pass = {.b = bw, .n = n, .d = bw->m->dev}, *b = &pass;
    pass.flags = bw->mixed ? KN_MIXED : 0;
    int n_pick = 0, n_layer = bw->m->h.n_layer;
    if (n > bw->max_rows)
        return err_set(e, ERR_SOFTWARE, "a pass of %d rows, room for %d", n, bw->max_rows);
    for (int t = 0; t < n; t++) {
        const int32_t most = ids[t] > label[t] ? ids[t] : label[t];
        if (ids[t] < 0 || most >= bw->m->h.n_vocab)
            return err_set(e, ERR_DATA, "row %d: token id %d: the embedding has %d rows", t,
                           (int)(ids[t] < 0 ? ids[t] : most), bw->m->h.n_vocab);
    }
    for (int t = 0; bw->score && t < n; t++)
        if (label[t] >= bw->score->n)
            return err_set(e, ERR_DATA, "row %d: class %d of %d", t, label[t], bw->score->n);
    for (int t = 0; t < n; t++)
        if (label[t] >= 0) {
            bw->host[n_pick] = label[t];
            bw->host[bw->max_rows + n_pick++] = t;
        }
    if (n == 0 || n_pick == 0)
        return 0;
    DO(EMBED, kn_write(b->d, bw->ids, ids, (size_t)n * sizeof *ids));
    DO(EMBED, kn_write(b->d, bw->doc, doc, (size_t)n * sizeof *doc));
    DO(EMBED, kn_embed_ids(b->d, bw->x[0], bw->m->embd, bw->ids, n));
    for (int i = 0; i < n_layer; i++)
        layer_forward(b, i, &bw->slot[i % bw->n_slot]);
    head(b, n_pick, scale, grad, loss);
    for (int i = n_layer - 1; grad && i >= 0; i--) {
        if (bw->n_slot < n_layer && i < n_layer - 1) /* the last layer's are still there */
            layer_forward(b, i, &bw->slot[i % bw->n_slot]);
        layer_backward(b, i, &bw->slot[i % bw->n_slot]);
    }
    if (grad && bw->full)
        DO(EMBED, kn_embed_bwd(b->d, full_grad(bw->full, bw->m->embd), bw->dx, bw->ids, n,
                               bw->m->h.n_embd));
    if (b->rc)
        return err_set(e, b->rc == KN_ENOMEM ? ERR_NOMEM : ERR_UNAVAILABLE, "training on %s: %s",
                       b->d->name, kn_strerror(b->rc));
    return 0;
}
