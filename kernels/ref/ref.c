/* ref - the reference device's memory, weights, batches and table of calls */
#include "ref/ref.h"
#include "ref/matmul.h"
#include "ref/ref_train.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ref_dev *ref_dev(const struct kn_dev *d)
{
    return d->priv;
}

float *ref_f32(const struct kn_dev *d, struct kn_at a)
{
    (void)d;
    return a.buf ? (float *)(void *)(((struct ref_buf *)a.buf)->p + a.off) : NULL;
}

int32_t *ref_i32(const struct kn_dev *d, struct kn_at a)
{
    (void)d;
    return a.buf ? (int32_t *)(void *)(((struct ref_buf *)a.buf)->p + a.off) : NULL;
}

void ref_weight_f32(const struct kn_weight *w, int i, float *row)
{
    const struct ref_weight *r = (const struct ref_weight *)w;
    kn_dequantize(w->type, r->rows + (size_t)i * r->row_bytes, row, (size_t)w->k);
}

float ref_fold16(float lane[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static int ref_open(struct kn_dev *dev, const char *opt, int n_threads)
{
    (void)n_threads;
    if (*opt && strcmp(opt, "q") != 0)
        return KN_EDEVICE;
    struct ref_dev *d = dev->priv = calloc(1, sizeof *d);
    if (!d)
        return KN_ENOMEM;
    d->rounded = *opt != 0;
    snprintf(dev->name, sizeof dev->name, "%s", *opt ? "ref:q" : "ref");
    dev->n_threads = 1;
    dev->exact = d->rounded;
    return KN_OK;
}

static void ref_close(struct kn_dev *dev)
{
    struct ref_dev *d = ref_dev(dev);
    free(d->row);
    free(d->block);
    free(d->act);
    free(d->act_scale);
    free(d->score);
    free(d);
}

/* realloc that keeps the old memory on failure */
static int grow(void *pp, size_t n, size_t size)
{
    void *old, *p;
    memcpy(&old, pp, sizeof old);
    if (!(p = realloc(old, n * size)))
        return KN_ENOMEM;
    memcpy(pp, &p, sizeof p);
    return KN_OK;
}

int ref_reserve_k(struct ref_dev *d, int k)
{
    size_t n = (size_t)k, blocks = (n + 31) / 32;
    if (k <= d->max_k)
        return KN_OK;
    if (grow(&d->row, n, sizeof *d->row) || grow(&d->block, blocks, sizeof *d->block) ||
        grow(&d->act, n * REF_MAX_ROWS, sizeof *d->act) ||
        grow(&d->act_scale, blocks * REF_MAX_ROWS, sizeof *d->act_scale))
        return KN_ENOMEM;
    d->max_k = k;
    return KN_OK;
}

static int ref_alloc(struct kn_dev *d, size_t bytes, struct kn_buf **out)
{
    (void)d;
    if (bytes > SIZE_MAX - 64)
        return KN_ENOMEM;
    size_t whole = (bytes + 63) / 64 * 64 + (bytes == 0 ? 64 : 0);
    struct ref_buf *b = calloc(1, sizeof *b);
    if (!b || !(b->p = aligned_alloc(64, whole))) {
        free(b);
        return KN_ENOMEM;
    }
    memset(b->p, 0, whole);
    *out = &b->buf;
    return KN_OK;
}

static void ref_free(struct kn_dev *d, struct kn_buf *b)
{
    (void)d;
    free(((struct ref_buf *)b)->p);
    free(b);
}

static int ref_write(struct kn_dev *d, struct kn_at dst, const void *src, size_t bytes)
{
    (void)d;
    memcpy(((struct ref_buf *)dst.buf)->p + dst.off, src, bytes);
    return KN_OK;
}

static int ref_read(struct kn_dev *d, void *dst, struct kn_at src, size_t bytes)
{
    (void)d;
    memcpy(dst, ((struct ref_buf *)src.buf)->p + src.off, bytes);
    return KN_OK;
}

static void *ref_host(struct kn_dev *d, struct kn_at a)
{
    (void)d;
    return ((struct ref_buf *)a.buf)->p + a.off;
}

static int ref_sync(struct kn_dev *d)
{
    (void)d;
    return KN_OK;
}

static int ref_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                          struct kn_weight **out)
{
    (void)n;
    (void)flags;
    int err = ref_reserve_k(ref_dev(d), k);
    if (err)
        return err;
    struct ref_weight *w = calloc(1, sizeof *w);
    if (!w)
        return KN_ENOMEM;
    w->rows = rows;
    w->row_bytes = kn_row_bytes(type, (size_t)k);
    *out = &w->w;
    return KN_OK;
}

static void ref_weight_free(struct kn_dev *d, struct kn_weight *w)
{
    (void)d;
    free(w);
}

static void ref_batch_free(struct kn_dev *d, struct kn_batch *batch)
{
    struct ref_batch *b = (struct ref_batch *)batch;
    (void)d;
    free(b->tok);
    free(b->pos);
    free(b->seq);
    free(b->rope);
    free(b->out);
    free(b->blocks);
    free(b);
}

static int ref_batch_new(struct kn_dev *dev, int max_tok, int max_seq, int max_blocks,
                         struct kn_batch **out)
{
    struct ref_dev *d = ref_dev(dev);
    struct ref_batch *b = calloc(1, sizeof *b);
    size_t n = (size_t)max_tok, n_pos = (size_t)max_blocks * KN_TILE;
    if (!b)
        return KN_ENOMEM;
    b->tok = calloc(n, sizeof *b->tok);
    b->pos = calloc(n, sizeof *b->pos);
    b->seq = calloc(n, sizeof *b->seq);
    b->rope = calloc(n, sizeof *b->rope);
    b->out = calloc(n, sizeof *b->out);
    b->blocks = calloc((size_t)max_seq * (size_t)max_blocks, sizeof *b->blocks);
    if (!b->tok || !b->pos || !b->seq || !b->rope || !b->out || !b->blocks ||
        (max_blocks > d->max_pos / KN_TILE && grow(&d->score, n_pos, sizeof *d->score))) {
        ref_batch_free(dev, &b->b);
        return KN_ENOMEM;
    }
    if (max_blocks > d->max_pos / KN_TILE)
        d->max_pos = max_blocks * KN_TILE;
    *out = &b->b;
    return KN_OK;
}

static int ref_batch_set(struct kn_dev *d, struct kn_batch *batch, const struct kn_rows *r)
{
    struct ref_batch *b = (struct ref_batch *)batch;
    size_t n = (size_t)r->n_tok * sizeof(int32_t);
    (void)d;
    if (n) {
        memcpy(b->tok, r->tok, n);
        memcpy(b->pos, r->pos, n);
        memcpy(b->seq, r->seq, n);
        memcpy(b->rope, r->rope ? r->rope : r->pos, n);
        memcpy(b->blocks, r->blocks,
               (size_t)r->n_seq * (size_t)batch->max_blocks * sizeof(int32_t));
    }
    if (r->n_out)
        memcpy(b->out, r->out, (size_t)r->n_out * sizeof(int32_t));
    return KN_OK;
}

const struct kn_ops kn_ref_ops = {
    .version = KN_VERSION,
    .name = "ref",
    .open = ref_open,
    .close = ref_close,
    .alloc = ref_alloc,
    .free = ref_free,
    .write = ref_write,
    .read = ref_read,
    .host = ref_host,
    .sync = ref_sync,
    .weight_new = ref_weight_new,
    .weight_free = ref_weight_free,
    .batch_new = ref_batch_new,
    .batch_set = ref_batch_set,
    .batch_free = ref_batch_free,
    .kv_new = ref_kv_new,
    .kv_copy = ref_kv_copy,
    .kv_free = ref_kv_free,
    .embed = ref_embed,
    .rms_norm = ref_rms_norm,
    .matmul = ref_matmul,
    .rope = ref_rope,
    .kv_write = ref_kv_write,
    .attention = ref_attention,
    .swiglu = ref_swiglu,
    .take_out = ref_take_out,
    .layer_norm = ref_layer_norm,
    .glu = ref_glu,
    .map = ref_map,
    .take_rows = ref_take_rows,
    .add_rows = ref_add_rows,
    .moe_route = ref_moe_route,
    .train = &kn_ref_train,
};
