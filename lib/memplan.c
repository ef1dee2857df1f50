/* memplan - the lines of a plan: weights, KV cache, activations, adapters and optimizer */
#include "memplan.h"
#include "apr.h"
#include "forward.h"
#include "mapfile.h"
#include <string.h>

/* A file page that is touched brings its neighbours along: 64 KiB, or all of a large one. */
enum { FAULT = 2 << 20 };

struct making {
    struct memplan *p;
    const struct memplan_model *m;
    const struct memplan_conf *c;
    const struct kn_dev *dev;
};

static void line(struct making *x, const char *part, const char *what, size_t bytes, int guessed)
{
    if (bytes && x->p->n_line < MEMPLAN_LINES)
        x->p->line[x->p->n_line++] = (struct memplan_line){part, what, bytes, guessed};
}

static size_t times(size_t a, size_t b)
{
    return size_mul(a, b, &a) ? a : SIZE_MAX;
}

/* File pages that n different rows touch, spread evenly over `bytes`: of P places each is missed with
 * (1 - 1/P)^n. */
static size_t touched(size_t bytes, size_t n)
{
    const double places = (double)bytes / FAULT;
    double missed = 1;
    if (places < 1)
        return bytes;
    for (double q = 1 - 1 / places; n; n >>= 1, q *= q)
        missed *= n & 1 ? q : 1;
    return (size_t)((double)bytes * (1 - missed));
}

static void weights(struct making *x, struct model_need *need, int flags)
{
    const struct memplan_model *m = x->m;
    const struct hparams *h = &m->h;
    const size_t tokens = times((size_t)x->c->batch, (size_t)x->c->n_ctx);
    model_need(need, m->tensor, m->n_tensor, h, x->dev, flags, x->c->n_ctx);
    const int looked_up =
        !h->tied || need->in_place < need->rows; /* else the head reads all of it */
    size_t all = need->in_place, rows = 0;
    if (looked_up) {
        all -= all >= need->rows ? need->rows : 0;
        rows = touched(need->rows, tokens < (size_t)h->n_vocab ? tokens : (size_t)h->n_vocab);
    }
    x->p->file = need->file;
    x->p->embedding_rows = rows;
    line(x, "weights", "prepared for products", need->count.pages, 0);
    line(x, "weights", "read where the file has them", all, 0);
    line(x, "weights", "embedding rows in the file, at most", rows, 0);
    line(x, "weights", "norms and biases", need->small, 0);
}

static void tables(struct making *x, const struct model_need *need)
{
    line(x, "other", "RoPE table", need->rope, 0);
    line(x, "other", "tokenizer", x->m->tokenizer, x->m->guessed);
    line(x, "other", "metadata", x->m->metadata, x->m->guessed);
    line(x, "other", "the program and its libraries", MEMPLAN_PROGRAM, 1);
}

static void inference(struct making *x)
{
    const struct memplan_conf *c = x->c;
    const struct hparams *h = &x->m->h;
    struct model_need need;
    const size_t rows = times((size_t)c->batch, (size_t)c->n_ctx);
    const int chunk = c->chunk > 0 ? c->chunk : ENGINE_CHUNK;
    struct engine_opts o = {.batch = c->batch, .n_ctx = c->n_ctx, .kv_type = c->kv_type};
    o.chunk = rows < (size_t)chunk ? (int)rows : chunk;
    o.chunk = o.chunk < o.batch ? o.batch : o.chunk;
    const int positions = c->n_ctx > 1 ? c->n_ctx - 1 : 1; /* the last token is never fed back */
    const size_t blocks = times((size_t)c->batch, (size_t)((positions + KN_TILE - 1) / KN_TILE));
    weights(x, &need, KN_W_INFER);
    line(x, "kv", kn_type_info(c->kv_type)->name, times(blocks, engine_block_bytes(h, c->kv_type)),
         0);
    const size_t fixed = engine_fixed_bytes(&o, h, x->dev, &need.count);
    forward_count(h, x->dev, &need.count, o.chunk, o.batch);
    line(x, "activations", "rows of a step, logits, scratch",
         fixed == SIZE_MAX ? fixed : fixed - need.count.idle, 0);
    tables(x, &need);
}

/* Rows of a pass: whole samples, each but its last token, as many as --pack has room for. */
static int pass_rows(const struct memplan_conf *c)
{
    const long len = c->n_ctx > 2 ? c->n_ctx - 1 : 1,
               most = c->pack > c->n_ctx ? c->pack : c->n_ctx;
    const long whole = most / len * len, all = (long)c->batch * len;
    return (int)(all < whole ? all : whole);
}

/* Bytes of the largest tensor in f32. */
static size_t largest(const struct memplan_model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->n_tensor; i++)
        if (strcmp(m->tensor[i].name, APR_TOKENIZER) && tensor_count(&m->tensor[i]) > n)
            n = tensor_count(&m->tensor[i]);
    return times(n, sizeof(float));
}

/* All that is trained, as places without memory. */
static int places(struct params *p, const struct memplan_model *m, const struct memplan_conf *c,
                  struct err *e)
{
    size_t at;
    int rc = 0;
    if (c->method != MEMPLAN_FULL)
        return lora_plan(p, &c->lora, &m->h, e);
    for (int i = 0; rc == 0 && i < m->n_tensor; i++) {
        const struct tensor *t = &m->tensor[i];
        if (strcmp(t->name, APR_TOKENIZER) == 0)
            continue;
        const int matrix = t->ndim == 2, of_layer = strncmp(t->name, "model.layers.", 13) == 0;
        rc = params_plan(p, (size_t)tensor_count(t),
                         !matrix    ? PARAMS_VECTOR
                         : of_layer ? PARAMS_MATRIX
                                    : PARAMS_WEIGHT,
                         &at, e);
        if (rc == 0 && matrix && p->n_part) {
            p->part[p->n_part - 1].rows = (int)t->dim[0];
            p->part[p->n_part - 1].cols = (int)t->dim[1];
        }
    }
    return rc;
}

static int optimizer(struct making *x, struct err *e)
{
    const struct memplan_conf *c = x->c;
    struct params p = {.n = 0};
    const size_t ranks = c->ranks > 1 ? (size_t)c->ranks : 1;
    int rc = places(&p, x->m, c, e);
    if (rc == 0) {
        line(x, "optimizer", c->optim.muon ? "Muon's and AdamW's moments" : "AdamW's two moments",
             (optim_moment_bytes(&c->optim, &p) + ranks - 1) / ranks, ranks > 1);
        line(x, "optimizer", "Muon's scratch", optim_scratch_bytes(&c->optim, &p), 0);
    }
    params_free(&p);
    return rc;
}

static int training(struct making *x, struct err *e)
{
    const struct memplan_conf *c = x->c;
    const struct hparams *h = &x->m->h;
    const int full = c->method == MEMPLAN_FULL, rows = pass_rows(c);
    struct lora l = {.c = c->lora};
    struct model_need need;
    const int flags = KN_W_TRAIN | (c->mixed && !full ? KN_W_MIXED : 0);
    int rc = hparams_trainable(h, c->n_ctx, e);
    if (rc < 0)
        return rc;
    if (!full)
        weights(x, &need, flags);
    else
        model_need(&need, x->m->tensor, x->m->n_tensor, h, x->dev, flags, c->n_ctx);
    const size_t values = full ? (size_t)x->m->params : lora_params(&c->lora, h),
                 array = times(values, sizeof(float));
    line(x, "weights", full ? "as trained, in f32" : "adapters", array, 0);
    line(x, "activations", c->recompute ? "of one layer, and each layer's input" : "of all layers",
         backward_bytes(h, full ? NULL : &l, x->dev, rows, c->recompute, c->mixed), 0);
    backward_count(h, full ? NULL : &c->lora, x->dev, &need.count, rows, c->n_ctx, c->mixed, flags);
    line(x, "activations", "scratch of the device", kn_count_scratch(&need.count), 0);
    line(x, "optimizer", "gradients", array, 0);
    if ((rc = optimizer(x, e)) < 0)
        return rc;
    line(x, "other", full ? "the largest tensor, to be saved" : "a copy to be saved",
         full ? largest(x->m) : array, 0);
    tables(x, &need);
    return 0;
}

int memplan_make(struct memplan *p, const struct memplan_model *m, const struct memplan_conf *c,
                 const struct kn_dev *dev, struct err *e)
{
    struct making x = {p, m, c, dev};
    int rc = 0;
    memset(p, 0, sizeof *p);
    if (c->n_ctx > m->h.n_ctx)
        return err_set(e, ERR_USAGE, "%d positions asked for, the model has %d", c->n_ctx,
                       m->h.n_ctx);
    if (c->method == MEMPLAN_INFERENCE && !kn_row_bytes(c->kv_type, (size_t)m->h.head_dim))
        return err_set(e, ERR_UNAVAILABLE,
                       "KV cache in %s: expected a head_dim that is a multiple of %d, found %d",
                       kn_type_info(c->kv_type)->name, kn_type_info(c->kv_type)->block_len,
                       m->h.head_dim);
    if (c->method == MEMPLAN_INFERENCE)
        inference(&x);
    else
        rc = training(&x, e);
    if (rc < 0)
        return rc;
    static const char *const parts[] = {"weights", "kv", "activations", "optimizer", "other"};
    size_t *sums[] = {&p->weights, &p->kv, &p->activations, &p->optimizer, &p->other};
    for (int i = 0; i < p->n_line; i++)
        for (int k = 0; k < 5; k++)
            if (strcmp(p->line[i].part, parts[k]) == 0 &&
                !size_add(*sums[k], p->line[i].bytes, sums[k]))
                *sums[k] = SIZE_MAX;
    for (int k = 0; k < 5; k++)
        if (!size_add(p->total, *sums[k], &p->total))
            p->total = SIZE_MAX;
    if (p->total == SIZE_MAX)
        return err_set(e, ERR_NOMEM, "the plan's bytes fit no size");
    return 0;
}
