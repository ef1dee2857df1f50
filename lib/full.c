/* full - a model's weights moved to where an optimizer changes them */
#include "full.h"
#include "train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tensor and where the model keeps it: a matrix or a vector of n. */
struct item {
    char name[TENSOR_NAME + 1];
    enum params_kind kind;
    struct kn_weight **w;
    struct kn_at *v;
    size_t n;
};
enum { OF_MODEL = 3, OF_LAYER = 15 };

static void matrix(struct item *it, int *n, struct kn_weight **w, int layer, const char *part)
{
    struct item *x = &it[(*n)++];
    *x = (struct item){.w = w, .n = (size_t)(*w)->n * (size_t)(*w)->k};
    x->kind = layer < 0 ? PARAMS_WEIGHT : PARAMS_MATRIX;
    if (layer < 0)
        snprintf(x->name, sizeof x->name, "%s.weight", part);
    else
        snprintf(x->name, sizeof x->name, "model.layers.%d.%s.weight", layer, part);
}

static void vector(struct item *it, int *n, struct kn_at *v, int len, int layer, const char *part)
{
    struct item *x = &it[*n];
    if (!v->buf) /* this architecture has none */
        return;
    *x = (struct item){.v = v, .n = (size_t)len, .kind = PARAMS_VECTOR};
    if (layer < 0)
        snprintf(x->name, sizeof x->name, "%s", part);
    else
        snprintf(x->name, sizeof x->name, "model.layers.%d.%s", layer, part);
    ++*n;
}

/* All tensors of the model, matrices first; it: room for OF_MODEL and OF_LAYER each. */
static int list(struct model *m, struct item *it)
{
    int n = 0;
    matrix(it, &n, &m->embd, -1, "model.embed_tokens");
    if (m->head != m->embd)
        matrix(it, &n, &m->head, -1, "lm_head");
    for (int l = 0; l < m->h.n_layer; l++) {
        struct kn_attn *a = &m->layer[l].attn;
        struct kn_ffn *f = &m->layer[l].ffn;
        matrix(it, &n, &a->q, l, "self_attn.q_proj");
        matrix(it, &n, &a->k, l, "self_attn.k_proj");
        matrix(it, &n, &a->v, l, "self_attn.v_proj");
        matrix(it, &n, &a->o, l, "self_attn.o_proj");
        matrix(it, &n, &f->gate, l, "mlp.gate_proj");
        matrix(it, &n, &f->up, l, "mlp.up_proj");
        matrix(it, &n, &f->down, l, "mlp.down_proj");
    }
    vector(it, &n, &m->out_norm, m->h.n_embd, -1, "model.norm.weight");
    for (int l = 0; l < m->h.n_layer; l++) {
        struct kn_attn *a = &m->layer[l].attn;
        vector(it, &n, &a->norm, m->h.n_embd, l, "input_layernorm.weight");
        vector(it, &n, &m->layer[l].ffn.norm, m->h.n_embd, l, "post_attention_layernorm.weight");
        vector(it, &n, &a->bq, a->q->n, l, "self_attn.q_proj.bias");
        vector(it, &n, &a->bk, a->k->n, l, "self_attn.k_proj.bias");
        vector(it, &n, &a->bv, a->v->n, l, "self_attn.v_proj.bias");
        vector(it, &n, &a->bo, a->o->n, l, "self_attn.o_proj.bias");
        vector(it, &n, &a->q_norm, a->head_dim, l, "self_attn.q_norm.weight");
        vector(it, &n, &a->k_norm, a->head_dim, l, "self_attn.k_norm.weight");
    }
    return n;
}

static size_t aligned(size_t n) /* to 64 bytes */
{
    return (n + 15) / 16 * 16;
}

/* The file's values, widened, to their place. */
static int widen(const struct full *f, const struct model *m, const struct full_weight *t,
                 struct err *e)
{
    enum { CHUNK = 1 << 16 }; /* values: a multiple of every block */
    float *x = malloc(CHUNK * sizeof *x);
    int rc = x ? 0 : err_set(e, ERR_NOMEM, "%s", t->from->name);
    for (size_t i = 0; rc == 0 && i < t->n; i += CHUNK) {
        const size_t n = t->n - i < CHUNK ? t->n - i : CHUNK;
        tensor_values(t->from, i, x, n);
        if (kn_write(f->p.dev, kn_plus(f->p.w, (t->at + i) * sizeof *x), x, n * sizeof *x) ||
            kn_sync(f->p.dev))
            rc =
                err_set(e, ERR_SOFTWARE, "%s cannot be written to %s", t->from->name, m->dev->name);
    }
    mapfile_forget(&m->file.map, t->from->data, t->from->bytes);
    free(x);
    return rc;
}

/* A tensor's place is planned, or the model is turned to it. */
static int plan(struct full *f, const struct model *m, const struct item *x, struct err *e)
{
    struct full_weight *t = &f->t[f->n++];
    *t = (struct full_weight){.from = apr_tensor(&m->file, x->name), .n = x->n};
    if (!t->from || tensor_count(t->from) != x->n)
        return err_set(e, ERR_DATA, "%s: tensor %s: missing, or not of %zu values", m->file.path,
                       x->name, x->n);
    int rc = params_plan(&f->p, aligned(x->n), x->kind, &t->at, e);
    if (rc == 0 && x->w) {
        f->p.part[f->p.n_part - 1].rows = (*x->w)->n;
        f->p.part[f->p.n_part - 1].cols = (*x->w)->k;
    }
    return rc;
}

static int turn(struct full *f, struct model *m, const struct item *x, struct full_weight *t,
                struct err *e)
{
    const struct kn_at at = kn_plus(f->p.w, t->at * sizeof(float));
    struct kn_weight *w;
    int rc = widen(f, m, t, e);
    if (rc)
        return rc;
    if (!x->w) {
        *x->v = at;
        return 0;
    }
    if ((rc = kn_weight_live(m->dev, at, (*x->w)->n, (*x->w)->k, &w)))
        return err_set(e, rc == KN_EUNSUP ? ERR_UNAVAILABLE : ERR_NOMEM, "full training on %s: %s",
                       m->dev->name, kn_strerror(rc));
    kn_weight_free(m->dev, *x->w);
    t->w = *x->w = w;
    return 0;
}

int full_new(struct full *f, struct model *m, struct err *e)
{
    const size_t most = OF_MODEL + OF_LAYER * (size_t)m->h.n_layer;
    const int tied = m->head == m->embd;
    struct item *it = calloc(most, sizeof *it);
    int n = 0, rc;
    *f = (struct full){.t = calloc(most, sizeof *f->t)};
    if ((rc = hparams_trainable(&m->h, 1, e)) == 0 && (!it || !f->t))
        rc = err_set(e, ERR_NOMEM, "%zu tensors", most);
    if (rc == 0)
        n = list(m, it);
    for (int i = 0; rc == 0 && i < n; i++)
        rc = plan(f, m, &it[i], e);
    if (rc == 0)
        rc = model_room("weights and gradients", 2 * sizeof(float) * f->p.n, e);
    if (rc == 0)
        rc = params_alloc(&f->p, m->dev, "weights", e);
    for (int i = 0; rc == 0 && i < n; i++) {
        rc = turn(f, m, &it[i], &f->t[i], e);
        if (tied) /* after a failure too: what it was is freed */
            m->head = m->embd;
    }
    free(it);
    if (rc)
        full_free(f);
    return rc;
}

void full_free(struct full *f)
{
    params_free(&f->p);
    free(f->t);
    memset(f, 0, sizeof *f);
}

struct kn_at full_grad(const struct full *f, const struct kn_weight *w)
{
    const struct kn_at none = {0};
    for (int i = 0; f && i < f->n; i++)
        if (f->t[i].w == w)
            return kn_plus(f->p.g, f->t[i].at * sizeof(float));
    return none;
}

struct kn_at full_grad_at(const struct full *f, struct kn_at vector)
{
    const struct kn_at none = {0};
    return f && vector.buf && vector.buf == f->p.w.buf ? kn_plus(f->p.g, vector.off - f->p.w.off)
                                                       : none;
}
