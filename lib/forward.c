/* forward - the model in reading order, one definition for every device */
#include "forward.h"
#include "dev.h"
#include "model_lora.h"
#include <string.h>

/* A model's layers as one layer's shapes. */
struct shapes {
    struct kn_attn a;
    struct kn_moe e;
    struct kn_ffn f;
};
static void shapes_of(struct shapes *s, const struct hparams *h)
{
    s->a = (struct kn_attn){.n_embd = h->n_embd,
                            .n_head = h->n_head,
                            .n_head_kv = h->n_head_kv,
                            .head_dim = h->head_dim};
    s->e = (struct kn_moe){.n_expert = h->n_expert,
                           .top_k = h->n_expert_used,
                           .n_ff = h->n_ff_expert,
                           .n_ff_shared = h->n_ff_shared};
    s->f = (struct kn_ffn){.n_embd = h->n_embd,
                           .n_ff = h->n_ff,
                           .moe = h->n_expert ? &s->e : NULL,
                           .act = hparams_has(h, ARCH_GELU) ? KN_GELU : KN_SILU,
                           .residual = (float)h->residual_scale};
}

static size_t tmp_bytes(const struct hparams *h, int max_tok)
{
    struct shapes s;
    shapes_of(&s, h);
    return kn_tmp_bytes(&s.a, &s.f, max_tok);
}

void forward_count(const struct hparams *h, const struct kn_dev *dev, struct kn_count *c,
                   int max_tok, int max_out)
{
    struct shapes s;
    struct kn_buf there;
    shapes_of(&s, h);
    if (hparams_has(h, ARCH_POST_NORM))
        s.a.post.buf = s.f.post.buf = &there;
    if (hparams_has(h, ARCH_LAYER_NORM))
        s.f.norm_bias.buf = &there;
    kn_count_step(dev, c, &s.a, &s.f, max_tok, max_out);
}

static size_t kv_bytes(const struct hparams *h, int n_block, int kv_type)
{
    /* the cpu device pads heads to 16 */
    size_t head = kn_row_bytes(kv_type, ((size_t)h->head_dim + 15) & ~(size_t)15);
    size_t n = 2 * (size_t)h->n_head_kv * head * KN_TILE;
    if (!size_mul(n, (size_t)h->n_layer, &n) || !size_mul(n, (size_t)n_block, &n))
        return SIZE_MAX;
    return n;
}

size_t forward_bytes(const struct hparams *h, int max_tok, int max_seq, int max_out, int max_blocks,
                     int n_block, int kv_type)
{
    size_t row = (size_t)h->n_embd + 2 * (size_t)h->n_head * (size_t)h->head_dim;
    size_t n = kv_bytes(h, n_block, kv_type), act, out, table;
    if (!size_mul(row * sizeof(float), (size_t)max_tok, &act) ||
        !size_mul((size_t)h->n_vocab * sizeof(float), (size_t)max_out, &out) ||
        !size_mul((size_t)max_blocks * sizeof(int32_t), (size_t)max_seq, &table) ||
        !size_add(n, act, &n) || !size_add(n, out, &n) || !size_add(n, table, &n) ||
        !size_add(n, tmp_bytes(h, max_tok), &n))
        return SIZE_MAX;
    return n;
}

int forward_new(struct forward *f, const struct model *m, int max_tok, int max_seq, int max_out,
                int max_blocks, int n_block, int kv_type, struct err *e)
{
    const struct hparams *h = &m->h;
    const size_t q = (size_t)h->n_head * (size_t)h->head_dim, t = (size_t)max_tok;
    if (!kn_row_bytes(kv_type, (size_t)h->head_dim))
        return err_set(e, ERR_UNAVAILABLE,
                       "KV cache in %s: expected a head_dim that is a multiple of %d, found %d",
                       kn_type_info(kv_type)->name, kn_type_info(kv_type)->block_len, h->head_dim);
    size_t bytes = forward_bytes(h, max_tok, max_seq, max_out, max_blocks, n_block, kv_type);
    if (!size_add(bytes, model_lora_bytes(m, max_tok), &bytes))
        bytes = SIZE_MAX;
    int rc = model_room("activations and KV cache", bytes, e);
    if (rc < 0)
        return rc;
    memset(f, 0, sizeof *f);
    f->m = m;
    f->d = m->dev;
    f->max_tok = max_tok;
    f->max_seq = max_seq;
    f->max_out = max_out;
    f->max_blocks = max_blocks;
    f->n_block = n_block;
    if ((rc = kn_batch_new(f->d, max_tok, max_seq, max_blocks, &f->batch)) < 0 ||
        (m->lora && (rc = kn_batch_adapters(f->d, f->batch, m->lora->n, &m->lora->width)) < 0) ||
        (rc = kn_kv_new(f->d, h->n_layer, n_block, h->n_head_kv, h->head_dim, kv_type, &f->kv)) <
            0 ||
        (rc = kn_alloc(f->d, t * (size_t)h->n_embd * sizeof(float), &f->x)) < 0 ||
        (rc = kn_alloc(f->d, t * q * sizeof(float), &f->q)) < 0 ||
        (rc = kn_alloc(f->d, t * q * sizeof(float), &f->att)) < 0 ||
        (rc = kn_alloc(f->d, tmp_bytes(h, max_tok), &f->tmp)) < 0 ||
        (rc = kn_alloc_host(f->d, (size_t)max_out * (size_t)h->n_vocab * sizeof(float),
                            &f->logits)) < 0) {
        forward_free(f);
        return dev_failed(m->dev, "activations and KV cache", rc, e);
    }
    return 0;
}

void forward_free(struct forward *f)
{
    struct kn_at at[] = {f->x, f->q, f->att, f->tmp, f->logits, f->top};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i].buf)
            kn_free(f->d, at[i]);
    for (int i = 0; i < FORWARD_GRAPHS; i++)
        kn_graph_free(f->d, f->graph[i]);
    if (f->kv)
        kn_kv_free(f->d, f->kv);
    if (f->batch)
        kn_batch_free(f->d, f->batch);
    memset(f, 0, sizeof *f);
}

int forward_top(struct forward *f, struct err *e)
{
    const size_t bytes = (size_t)f->max_out * (size_t)f->m->h.n_vocab * sizeof(float);
    struct kn_at logits = {0}, top = {0};
    int rc = kn_alloc_host(f->d, (size_t)f->max_out * sizeof(struct kn_top), &top);
    if (rc == 0 &&
        (rc = kn_top(f->d, top, f->logits, 0, f->m->h.n_vocab, f->m->n_real, 1, 0)) == 0 &&
        !(f->d->ops->top && (rc = kn_alloc(f->d, bytes, &logits)) < 0)) {
        if (logits.buf) {
            kn_free(f->d, f->logits);
            f->logits = logits;
        }
        f->top = top;
        return 1;
    }
    if (top.buf)
        kn_free(f->d, top);
    return rc == KN_EUNSUP ? 0 : dev_failed(f->d, "logits", rc, e);
}

int forward_tops(struct forward *f, int k, int flags, const struct kn_top **top, struct err *e)
{
    int rc =
        kn_top(f->d, f->top, f->logits, f->batch->n_out, f->m->h.n_vocab, f->m->n_real, k, flags);
    if (rc == 0)
        rc = kn_sync(f->d);
    *top = kn_host(f->d, f->top);
    return rc < 0 ? dev_failed(f->d, "logits", rc, e) : 0;
}

static void watch(const struct forward *f, int layer, int n_tok)
{
    if (f->watch)
        f->watch(f->watch_arg, layer, f->x, n_tok);
}

int forward_batch(struct forward *f, const struct kn_rows *r, struct err *e)
{
    for (int i = 0; i < r->n_tok; i++)
        if (r->tok[i] < 0 || r->tok[i] >= f->m->h.n_vocab)
            return err_set(e, ERR_DATA, "token id %d: the embedding has %d rows", (int)r->tok[i],
                           f->m->h.n_vocab);
    const int rc = kn_batch_set(f->d, f->batch, r);
    return rc < 0 ? dev_failed(f->d, "a step", rc, e) : 0;
}

int forward_embed(struct forward *f)
{
    const struct hparams *h = &f->m->h;
    int rc = kn_embed(f->d, f->x, f->m->embd, f->batch);
    return rc < 0 || h->embd_scale == 0
               ? rc
               : kn_map(f->d, f->x, KN_SCALE, (float)h->embd_scale, f->batch->n_tok, h->n_embd);
}

/* x += o(attention(qkv(x))), then x += down(act(gate) * up): one pre-norm block. */
int forward_layer(struct forward *f, int l)
{
    const struct kn_attn *a = &f->m->layer[l].attn;
    int rc;
    if ((rc = kn_qkv(f->d, f->q, f->x, f->tmp, f->kv, l, a, f->batch)) < 0 ||
        (rc = kn_attention(f->d, f->att, f->q, f->kv, l, a, f->batch)) < 0 ||
        (rc = kn_attn_out(f->d, f->x, f->att, f->tmp, a, f->batch)) < 0)
        return rc;
    return kn_ffn(f->d, f->x, f->tmp, &f->m->layer[l].ffn, f->batch);
}

int forward_head(struct forward *f)
{
    const struct model *m = f->m;
    const int n = f->batch->n_out;
    int rc;
    if (!m->out_bias.buf)
        rc = kn_head(f->d, f->logits, f->x, f->tmp, m->out_norm, (float)m->h.rms_eps, m->head,
                     f->batch);
    else if ((rc = kn_take_out(f->d, f->tmp, f->x, m->h.n_embd, f->batch)) == 0 &&
             (rc = kn_layer_norm(f->d, f->tmp, f->tmp, m->out_norm, m->out_bias,
                                 (float)m->h.rms_eps, n, m->h.n_embd)) == 0)
        rc = kn_matmul(f->d, f->logits, f->tmp, m->head, (struct kn_at){0}, n, 0);
    if (rc == 0 && m->h.logit_scale != 0)
        rc = kn_map(f->d, f->logits, KN_SCALE, (float)(1 / m->h.logit_scale), n, m->h.n_vocab);
    if (rc == 0 && m->h.final_cap != 0)
        rc = kn_map(f->d, f->logits, KN_CAP, (float)m->h.final_cap, n, m->h.n_vocab);
    return rc;
}

/* The calls of a step, of which nothing but n_tok and n_out changes from one to the next. */
static int calls(struct forward *f)
{
    const int n_tok = f->batch->n_tok;
    int rc = forward_embed(f);
    if (rc < 0)
        return rc;
    watch(f, 0, n_tok);
    for (int l = 0; l < f->m->h.n_layer; l++) {
        if ((rc = forward_layer(f, l)) < 0)
            return rc;
        watch(f, l + 1, n_tok);
    }
    return f->batch->n_out ? forward_head(f) : 0;
}

/* The same, recorded when that number of sequences comes for the first time. */
static int replay(struct forward *f, struct kn_graph **g)
{
    int rc = 0;
    if (!*g) {
        if ((rc = kn_graph_begin(f->d)) < 0) {
            f->no_graphs = 1;
            return rc == KN_EUNSUP ? calls(f) : rc;
        }
        const int failed = calls(f);
        rc = kn_graph_end(f->d, g);
        if (failed < 0 || rc < 0)
            return failed < 0 ? failed : rc;
    }
    return kn_graph_launch(f->d, *g);
}

int forward_step(struct forward *f, const struct kn_rows *r, struct err *e)
{
    int rc = forward_batch(f, r, e);
    /* where adapters are chosen the calls change with the rows that chose them */
    const int decodes = r->n_tok == r->n_seq && r->n_out == r->n_tok && r->n_made == r->n_tok &&
                        r->n_tok > 0 && r->n_tok <= FORWARD_GRAPHS && !f->watch && !f->no_graphs &&
                        !f->batch->n_group;
    if (rc < 0)
        return rc;
    rc = decodes ? replay(f, &f->graph[r->n_tok - 1]) : calls(f);
    return rc < 0 ? dev_failed(f->d, "a step", rc, e) : 0;
}
