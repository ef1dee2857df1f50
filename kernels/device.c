/* device - open by name, and every kn_ call: check the shapes, then the backend's function
 *
 * A wrong shape is a caller's bug, so the checks are asserts; they look at a few integers and never
 * at device memory.  Calls whose substitute is more than a line are in compose.c. */
#include "adapt.h"
#include "plugin.h"
#include <assert.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const struct kn_ops kn_ref_ops;
extern const struct kn_ops kn_cpu_ops;

const char *kn_strerror(int err)
{
    switch (err) {
    case KN_OK:
        return "no error";
    case KN_ENOMEM:
        return "the device is out of memory";
    case KN_EDEVICE:
        return "no such device, or this machine cannot run it";
    case KN_EUNSUP:
        return "not supported by this device";
    }
    return "unknown error";
}

static int all_cores(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > 0 ? n : 1;
}

static _Thread_local char open_why[sizeof((struct kn_dev *)0)->why];

const char *kn_why(const struct kn_dev *d)
{
    return d ? d->why : open_why;
}

/* The backend of that name: one of ours, or one that is opened now. */
static const struct kn_ops *backend(const char *name, size_t stem)
{
    const struct kn_ops *const own[] = {&kn_ref_ops, &kn_cpu_ops};
    static const char *const others[] = {"cuda"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]->name) == stem && strncmp(own[i]->name, name, stem) == 0)
            return own[i];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strlen(others[i]) == stem && strncmp(others[i], name, stem) == 0)
            return kn_plugin(others[i], open_why, sizeof open_why);
    return NULL;
}

int kn_open(struct kn_dev **out, const char *name, int n_threads)
{
    const size_t stem = strcspn(name, ":");
    open_why[0] = 0;
    const struct kn_ops *ops = backend(name, stem);
    if (!ops || (name[stem] && !name[stem + 1]))
        return KN_EDEVICE;
    if (ops->version != KN_VERSION) {
        snprintf(open_why, sizeof open_why, "its interface is version %d, expected %d",
                 ops->version, KN_VERSION);
        return KN_EDEVICE;
    }
    struct kn_dev *d = calloc(1, sizeof *d);
    if (!d)
        return KN_ENOMEM;
    d->ops = ops;
    d->n_threads = n_threads > 0 ? n_threads : all_cores();
    int err = ops->open(d, name[stem] ? name + stem + 1 : "", d->n_threads);
    if (err) {
        memcpy(open_why, d->why, sizeof open_why);
        free(d);
        return err;
    }
    *out = d;
    return KN_OK;
}

void kn_close(struct kn_dev *d)
{
    if (!d)
        return;
    d->ops->close(d);
    free(d);
}

const char *kn_file(const struct kn_dev *d)
{
    return d->ops == &kn_ref_ops || d->ops == &kn_cpu_ops ? NULL : kn_plugin_file(d->ops);
}

/* `count` elements of 4 bytes lie inside the buffer */
static int fits(struct kn_at a, size_t rows, size_t cols)
{
    return a.buf && a.off % 4 == 0 && a.off <= a.buf->bytes &&
           (cols == 0 || rows <= (a.buf->bytes - a.off) / 4 / cols);
}

static int fits_or_absent(struct kn_at a, size_t rows, size_t cols)
{
    return !a.buf || fits(a, rows, cols);
}

static int in_range(struct kn_at a, size_t bytes)
{
    return a.buf && a.off <= a.buf->bytes && bytes <= a.buf->bytes - a.off;
}

static int alloc(struct kn_dev *d, int (*from)(struct kn_dev *, size_t, struct kn_buf **),
                 size_t bytes, struct kn_at *a)
{
    struct kn_buf *b = NULL;
    int err = from(d, bytes, &b);
    if (err)
        return err;
    b->bytes = bytes;
    *a = (struct kn_at){b, 0};
    return KN_OK;
}

int kn_alloc(struct kn_dev *d, size_t bytes, struct kn_at *a)
{
    return alloc(d, d->ops->alloc, bytes, a);
}

int kn_alloc_host(struct kn_dev *d, size_t bytes, struct kn_at *a)
{
    return alloc(d, d->ops->alloc_host ? d->ops->alloc_host : d->ops->alloc, bytes, a);
}

void kn_free(struct kn_dev *d, struct kn_at a)
{
    if (a.buf)
        d->ops->free(d, a.buf);
}

int kn_write(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes)
{
    assert(in_range(dst, bytes));
    return bytes ? d->ops->write(d, dst, src, bytes) : KN_OK;
}

int kn_read(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes)
{
    assert(in_range(src, bytes));
    return bytes ? d->ops->read(d, dst, src, bytes) : d->ops->sync(d);
}

void *kn_host(struct kn_dev *d, struct kn_at a)
{
    assert(in_range(a, 0));
    return d->ops->host ? d->ops->host(d, a) : NULL;
}

int kn_sync(struct kn_dev *d)
{
    return d->ops->sync(d);
}

int kn_graph_begin(struct kn_dev *d)
{
    return d->ops->graph_begin ? d->ops->graph_begin(d) : KN_EUNSUP;
}

int kn_graph_end(struct kn_dev *d, struct kn_graph **g)
{
    return d->ops->graph_end ? d->ops->graph_end(d, g) : KN_EUNSUP;
}

int kn_graph_launch(struct kn_dev *d, struct kn_graph *g)
{
    return d->ops->graph_launch ? d->ops->graph_launch(d, g) : KN_EUNSUP;
}

void kn_graph_free(struct kn_dev *d, struct kn_graph *g)
{
    if (g && d->ops->graph_free)
        d->ops->graph_free(d, g);
}

static int made(struct kn_weight *w, int err, int type, int n, int k, int flags,
                struct kn_weight **out)
{
    if (err)
        return err;
    w->type = type;
    w->n = n;
    w->k = k;
    w->flags = flags;
    *out = w;
    return KN_OK;
}

int kn_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                  struct kn_weight **out)
{
    assert(n > 0 && k > 0 && rows && (kn_row_bytes(type, (size_t)k) || type == KN_NF4) &&
           type != KN_I32);
    struct kn_weight *w = NULL;
    float *widened = NULL;
    if (type == KN_NF4) {
        const size_t count = (size_t)n * (size_t)k;
        if (count > SIZE_MAX / sizeof *widened || !(widened = malloc(count * sizeof *widened)))
            return KN_ENOMEM;
        kn_nf4_dequantize(rows, count, 0, widened, count);
        type = KN_F32;
        rows = widened;
    }
    int err = d->ops->weight_new(d, type, n, k, rows, flags, &w);
    err = made(w, err, type, n, k, flags, out);
    if (err)
        free(widened);
    else
        (*out)->widened = widened;
    return err;
}

const char *kn_layout(const struct kn_dev *d)
{
    return d->ops->layout ? d->ops->layout : "";
}

const void *kn_weight_form(const struct kn_dev *d, const struct kn_weight *w, size_t *bytes)
{
    *bytes = 0;
    return d->ops->weight_form ? d->ops->weight_form(w, bytes) : NULL;
}

int kn_weight_take(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                   const void *form, size_t bytes, struct kn_weight **out)
{
    assert(n > 0 && k > 0 && rows && kn_row_bytes(type, (size_t)k) && type != KN_I32);
    struct kn_weight *w = NULL;
    if (!d->ops->weight_take)
        return KN_EUNSUP;
    int err = d->ops->weight_take(d, type, n, k, rows, flags, form, bytes, &w);
    return made(w, err, type, n, k, flags, out);
}

void kn_weight_free(struct kn_dev *d, struct kn_weight *w)
{
    if (!w)
        return;
    void *widened = w->widened;
    d->ops->weight_free(d, w);
    free(widened);
}

int kn_batch_new(struct kn_dev *d, int max_tok, int max_seq, int max_blocks, struct kn_batch **out)
{
    assert(max_tok > 0 && max_seq > 0 && max_blocks > 0);
    struct kn_batch *b = NULL;
    int err = d->ops->batch_new(d, max_tok, max_seq, max_blocks, &b);
    if (err)
        return err;
    b->max_tok = max_tok;
    b->max_seq = max_seq;
    b->max_blocks = max_blocks;
    *out = b;
    return KN_OK;
}

/* rows of a sequence together with ascending positions inside its blocks; out ascending */
static void check_rows(const struct kn_batch *b, const struct kn_rows *r)
{
    assert(r->n_tok >= 0 && r->n_tok <= b->max_tok && r->n_seq >= 0 && r->n_seq <= b->max_seq);
    assert(r->n_out >= 0 && r->n_out <= r->n_tok && r->n_made >= 0 && r->n_made <= r->n_tok);
    for (int i = 0; i < r->n_tok; i++) {
        assert(r->seq[i] >= 0 && r->seq[i] < r->n_seq && r->tok[i] >= 0);
        assert(r->pos[i] >= 0 && r->pos[i] / KN_TILE < b->max_blocks);
        assert(i == 0 || r->seq[i] != r->seq[i - 1] || r->pos[i] > r->pos[i - 1]);
        assert(!r->adapter || (r->adapter[i] >= -1 && r->adapter[i] < b->n_adapter));
    }
    for (int i = 0; i < r->n_out; i++)
        assert(r->out[i] < r->n_tok && r->out[i] > (i ? r->out[i - 1] : -1));
}

int kn_batch_set(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r)
{
    check_rows(b, r);
    int err = d->ops->batch_set(d, b, r);
    if (err)
        return err;
    b->n_tok = r->n_tok;
    b->n_seq = r->n_seq;
    b->n_out = r->n_out;
    b->n_made = r->n_made;
    return kn_adapt_set(d, b, r);
}

void kn_batch_free(struct kn_dev *d, struct kn_batch *b)
{
    if (!b)
        return;
    kn_adapt_free(d, b);
    d->ops->batch_free(d, b);
}

int kn_kv_new(struct kn_dev *d, int n_layer, int n_block, int n_head_kv, int head_dim, int type,
              struct kn_kv **out)
{
    assert(n_layer > 0 && n_block > 0 && n_head_kv > 0 && head_dim > 0);
    assert(type == KN_F32 || type == KN_F16 || type == KN_Q8_0);
    struct kn_kv *kv = NULL;
    if (!kn_row_bytes(type, (size_t)head_dim)) /* a block would lie across heads */
        return KN_EUNSUP;
    int err = d->ops->kv_new(d, n_layer, n_block, n_head_kv, head_dim, type, &kv);
    if (err)
        return err;
    kv->n_layer = n_layer;
    kv->n_block = n_block;
    kv->n_head_kv = n_head_kv;
    kv->head_dim = head_dim;
    kv->type = type;
    *out = kv;
    return KN_OK;
}

int kn_kv_copy(struct kn_dev *d, struct kn_kv *kv, int dst_block, int src_block)
{
    assert(dst_block >= 0 && dst_block < kv->n_block && src_block >= 0 && src_block < kv->n_block);
    return d->ops->kv_copy(d, kv, dst_block, src_block);
}

void kn_kv_free(struct kn_dev *d, struct kn_kv *kv)
{
    if (kv)
        d->ops->kv_free(d, kv);
}

int kn_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, const struct kn_batch *b)
{
    assert(fits(y, (size_t)b->n_tok, (size_t)w->k));
    return d->ops->embed(d, y, w, b);
}

int kn_rms_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w, float eps, int m,
                int n)
{
    assert(m >= 0 && n > 0 && fits(y, (size_t)m, (size_t)n) && fits(x, (size_t)m, (size_t)n) &&
           fits(w, 1, (size_t)n));
    return d->ops->rms_norm(d, y, x, w, eps, m, n);
}

int kn_matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
              struct kn_at bias, int m, int flags)
{
    assert(m >= 0 && (flags & ~KN_ADD) == 0 && w->flags & (KN_W_INFER | KN_W_FLOAT));
    assert(fits(y, (size_t)m, (size_t)w->n) && fits(x, (size_t)m, (size_t)w->k) &&
           fits_or_absent(bias, 1, (size_t)w->n));
    return d->ops->matmul(d, y, x, w, bias, m, flags);
}

int kn_rope(struct kn_dev *d, struct kn_at x, const struct kn_attn *a, int n_head,
            const struct kn_batch *b)
{
    assert(a->rope_dim % 2 == 0 && a->rope_dim <= a->head_dim && n_head > 0);
    assert(fits(x, (size_t)b->n_tok, (size_t)n_head * (size_t)a->head_dim));
    if (a->rope_dim == 0)
        return KN_OK;
    assert(fits(a->rope, 1, (size_t)a->rope_dim));
    return d->ops->rope(d, x, a, n_head, b);
}

int kn_kv_write(struct kn_dev *d, struct kn_kv *kv, int layer, struct kn_at k, struct kn_at v,
                const struct kn_batch *b)
{
    size_t width = (size_t)kv->n_head_kv * (size_t)kv->head_dim;
    assert(layer >= 0 && layer < kv->n_layer);
    assert(fits(k, (size_t)b->n_tok, width) && fits(v, (size_t)b->n_tok, width));
    return d->ops->kv_write(d, kv, layer, k, v, b);
}

int kn_attention(struct kn_dev *d, struct kn_at y, struct kn_at q, const struct kn_kv *kv,
                 int layer, const struct kn_attn *a, const struct kn_batch *b)
{
    size_t width = (size_t)a->n_head * (size_t)a->head_dim;
    assert(layer >= 0 && layer < kv->n_layer && kv->n_head_kv == a->n_head_kv &&
           kv->head_dim == a->head_dim && a->n_head % a->n_head_kv == 0);
    assert(fits(y, (size_t)b->n_tok, width) && fits(q, (size_t)b->n_tok, width));
    return d->ops->attention(d, y, q, kv, layer, a, b);
}

int kn_swiglu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, int m, int n)
{
    assert(m >= 0 && n > 0 && fits(y, (size_t)m, (size_t)n) && fits(gate, (size_t)m, (size_t)n) &&
           fits(up, (size_t)m, (size_t)n));
    return d->ops->swiglu(d, y, gate, up, m, n);
}

int kn_take_out(struct kn_dev *d, struct kn_at y, struct kn_at x, int n, const struct kn_batch *b)
{
    assert(n > 0 && fits(y, (size_t)b->n_out, (size_t)n) && fits(x, (size_t)b->n_tok, (size_t)n));
    return d->ops->take_out(d, y, x, n, b);
}

int kn_layer_norm(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at w,
                  struct kn_at bias, float eps, int m, int n)
{
    assert(m >= 0 && n > 0 && fits(y, (size_t)m, (size_t)n) && fits(x, (size_t)m, (size_t)n));
    assert(fits(w, 1, (size_t)n) && fits(bias, 1, (size_t)n));
    return d->ops->layer_norm(d, y, x, w, bias, eps, m, n);
}
int kn_glu(struct kn_dev *d, struct kn_at y, struct kn_at gate, struct kn_at up, enum kn_act act,
           int m, int n)
{
    assert(m >= 0 && n > 0 && fits(y, (size_t)m, (size_t)n) && fits(gate, (size_t)m, (size_t)n));
    assert(!up.buf || fits(up, (size_t)m, (size_t)n));
    return d->ops->glu(d, y, gate, up, act, m, n);
}
int kn_map(struct kn_dev *d, struct kn_at x, enum kn_map map, float s, int m, int n)
{
    assert(m >= 0 && n > 0 && fits(x, (size_t)m, (size_t)n));
    return d->ops->map(d, x, map, s, m, n);
}
int kn_take_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, int m, int n)
{
    assert(m >= 0 && n > 0 && fits(y, (size_t)m, (size_t)n) && fits(rows, (size_t)m, 1));
    return d->ops->take_rows(d, y, x, rows, m, n);
}
int kn_add_rows(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, struct kn_at p,
                float s, int m, int n)
{
    assert(m >= 0 && n > 0 && fits(x, (size_t)m, (size_t)n));
    assert((!rows.buf || fits(rows, (size_t)m, 1)) && (!p.buf || fits(p, (size_t)m, 1)));
    return d->ops->add_rows(d, y, x, rows, p, s, m, n);
}
int kn_moe_route(struct kn_dev *d, struct kn_at ids, struct kn_at p, struct kn_at logits, int m,
                 int n_expert, int top_k, int normalize)
{
    assert(m >= 0 && top_k > 0 && top_k <= n_expert && fits(logits, (size_t)m, (size_t)n_expert));
    assert(fits(ids, (size_t)m, (size_t)top_k) && fits(p, (size_t)m, (size_t)top_k));
    return d->ops->moe_route ? d->ops->moe_route(d, ids, p, logits, m, n_expert, top_k, normalize)
                             : KN_EUNSUP;
}
