/* walk - a model computed with one layer in memory at a time */
#include "walk.h"
#include <stdlib.h>
#include <string.h>

/* The layer that a tensor is of, -1: none. */
static int layer_of(const struct tensor *t)
{
    int l;
    return sscanf(t->name, "model.layers.%d.", &l) == 1 && l >= 0 ? l : -1;
}

/* The tensors of a layer that have to be made. */
static int bring(struct walk *w, int l, struct err *e)
{
    struct tensor *t = w->m.file.tensor;
    int rc = 0;
    for (int i = 0; i < w->v->n && rc == 0; i++) {
        if (t[i].data || layer_of(&t[i]) != l || !t[i].bytes)
            continue;
        if (!(w->made[i] = malloc(t[i].bytes)))
            return err_set(e, ERR_NOMEM, "%s: tensor %s: out of memory", w->v->name, t[i].name);
        rc = w->v->fill(w->v->arg, i, w->made[i], e);
        t[i].data = w->made[i];
    }
    return rc;
}

static void let_go(struct walk *w, int l)
{
    struct tensor *t = w->m.file.tensor;
    for (int i = 0; i < w->v->n; i++) {
        if (layer_of(&t[i]) != l)
            continue;
        if (w->made[i]) {
            free(w->made[i]);
            w->made[i] = NULL;
            t[i].data = NULL;
        }
    }
}

static int load_layer(struct walk *w, int l, struct err *e)
{
    size_t from;
    int rc = bring(w, l, e);
    if (!w->keep)
        w->small.used = w->base;
    from = w->small.used;
    if (rc == 0 && (rc = model_load_attn(&w->m, &w->small, l, w->flags, e)) == 0 &&
        (rc = model_load_ffn(&w->m, &w->small, l, w->flags, e)) == 0)
        rc = model_push(&w->m, &w->small, from, e);
    return rc;
}

/* A tensor was prepared. */
static void forget(void *arg, const struct tensor *t)
{
    const struct walk *w = arg;
    if (w->v->forget && !w->made[t - w->m.file.tensor])
        w->v->forget(w->v->arg, t);
}

/* What is prepared at once: the ends and the largest layer (mixes of types have layers of several sizes), or
 * everything.  SIZE_MAX: it fits no size, or there is no memory to count in. */
static size_t bytes_needed(const struct walk *w)
{
    const int n_layer = w->m.h.n_layer;
    size_t ends = 0, largest = 0;
    if (w->keep)
        return model_bytes(&w->m, w->flags);
    size_t *layer = calloc((size_t)n_layer, sizeof *layer);
    for (int i = 0; layer && i < w->v->n; i++) {
        const struct tensor *t = &w->v->t[i];
        const int l = layer_of(t);
        size_t *to = l < 0 || l >= n_layer ? &ends : &layer[l], n;
        if (!size_mul(t->bytes, t->data ? 1 : 2, &n) || !size_add(*to, n, to))
            *to = SIZE_MAX;
        if (to != &ends && *to > largest)
            largest = *to;
    }
    const size_t all = layer ? ends + largest : SIZE_MAX;
    free(layer);
    return all < largest ? SIZE_MAX : all;
}

int walk_open(struct walk *w, const struct view *v, struct kn_dev *dev, int flags, int n_ctx,
              int max_tok, int max_seq, int max_out, int max_blocks, int kv_type, struct err *e)
{
    struct model *m = &w->m;
    int rc;
    memset(w, 0, sizeof *w);
    w->v = v;
    w->flags = flags;
    m->dev = dev;
    m->h = v->h;
    m->n_ctx = n_ctx;
    m->file.path = (char *)(uintptr_t)v->name; /* borrowed, all four: walk_close takes them out */
    m->file.meta = (cJSON *)(uintptr_t)v->meta;
    m->file.n_tensor = v->n;
    m->file.tensor = malloc(((size_t)v->n + 1) * sizeof *m->file.tensor);
    w->made = calloc((size_t)v->n + 1, sizeof *w->made);
    if (!m->file.tensor || !w->made) {
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", v->name);
        goto fail;
    }
    m->forget = forget;
    m->forget_arg = w;
    memcpy(m->file.tensor, v->t, (size_t)v->n * sizeof *v->t);
    w->keep = model_bytes(m, w->flags) <= WALK_KEEP;
    if ((rc = model_room(v->name, bytes_needed(w), e)) < 0 ||
        (rc = model_begin(m, &w->small, 0, e)) < 0 || (rc = bring(w, -1, e)) < 0 ||
        (rc = model_load_ends(m, &w->small, w->flags, e)) < 0 ||
        (rc = model_push(m, &w->small, 0, e)) < 0 ||
        (rc = forward_new(&w->f, m, max_tok, max_seq, max_out, max_blocks, max_seq * max_blocks,
                          kv_type, e)) < 0)
        goto fail;
    w->base = w->small.used;
    return 0;
fail:
    walk_close(w);
    return rc;
}

void walk_close(struct walk *w)
{
    struct tensor *t = w->m.file.tensor;
    if (w->f.d)
        forward_free(&w->f);
    w->m.file = (struct apr){.path = NULL};
    w->m.tok = NULL;
    model_free(&w->m);
    for (int i = 0; w->made && i < w->v->n; i++)
        free(w->made[i]);
    free(w->made);
    free(t);
    free(w->small.host);
    memset(w, 0, sizeof *w);
}

static int failed(const struct walk *w, int rc, struct err *e)
{
    return err_set(e,
                   rc == KN_ENOMEM   ? ERR_NOMEM
                   : rc == KN_EUNSUP ? ERR_UNAVAILABLE
                                     : ERR_SOFTWARE,
                   "%s: %s: %s", w->v->name, w->m.dev->name, kn_strerror(rc));
}

int walk_hold(struct walk *w, int l, struct err *e)
{
    if (w->keep && l < w->loaded)
        return 0;
    int rc = load_layer(w, l, e);
    w->loaded = l + 1;
    return rc;
}

void walk_drop(struct walk *w, int l)
{
    if (w->keep)
        return;
    model_free_layer(&w->m, &w->m.layer[l]);
    let_go(w, l);
}

int walk_step(struct walk *w, const struct kn_rows *r, struct err *e)
{
    struct forward *f = &w->f;
    int rc;
    if ((rc = forward_batch(f, r, e)) < 0)
        return err_prefix(e, "%s", w->v->name);
    if ((rc = forward_embed(f)) < 0)
        return failed(w, rc, e);
    for (int l = 0; l < w->m.h.n_layer; l++) {
        if ((rc = walk_hold(w, l, e)) < 0)
            return rc;
        rc = forward_layer(f, l);
        walk_drop(w, l);
        if (rc < 0)
            return failed(w, rc, e);
    }
    return 0;
}

int walk_logits(struct walk *w, const struct kn_rows *r, const int32_t *rows, int n, float *logits,
                struct err *e)
{
    struct forward *f = &w->f;
    struct kn_rows some = *r;
    int rc;
    some.out = rows;
    some.n_out = n;
    if ((rc = forward_batch(f, &some, e)) < 0)
        return err_prefix(e, "%s", w->v->name);
    if ((rc = forward_head(f)) < 0 ||
        (rc = kn_read(f->d, logits, f->logits,
                      (size_t)n * (size_t)w->m.h.n_vocab * sizeof *logits)) < 0)
        return failed(w, rc, e);
    return 0;
}
