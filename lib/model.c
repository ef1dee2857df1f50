/* model - load a .apr onto a device: every shape checked, every number finite, memory asked for
 * first */
#include "model.h"
#include "room.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the norms and biases go: one allocation, carved out in file order of the model. */
struct small {
    float *host;
    size_t used, size; /* floats */
};

enum { SMALL_ALIGN = 16 }; /* floats: 64 bytes, as kn_alloc aligns */

static size_t small_round(size_t n)
{
    return (n + SMALL_ALIGN - 1) / SMALL_ALIGN * SMALL_ALIGN;
}

/* Floats of all norms and biases, an upper bound (a bias that is absent is counted). */
static size_t small_size(const struct hparams *h)
{
    size_t q = small_round((size_t)h->n_head * (size_t)h->head_dim);
    size_t kv = small_round((size_t)h->n_head_kv * (size_t)h->head_dim);
    size_t embd = small_round((size_t)h->n_embd), hd = small_round((size_t)h->head_dim);
    return (size_t)h->n_layer * (3 * embd + q + 2 * kv + 2 * hd) + embd;
}

static size_t rope_bytes(const struct hparams *h, int n_ctx)
{
    return (size_t)n_ctx * (size_t)h->head_dim * sizeof(float);
}

/* Types without a kernel of their own are kept in f32 (kernels.h). */
static size_t widened_bytes(const struct tensor *t)
{
    const struct kn_type_info *k = kn_type_info(t->type);
    size_t n;
    if (!k->name || k->block_len == 1 || k->act_block)
        return t->bytes;
    return size_mul((size_t)tensor_count(t), sizeof(float), &n) ? n : SIZE_MAX / 2;
}

size_t model_bytes(const struct apr *a, const struct hparams *h, int n_ctx)
{
    size_t n = small_size(h) * sizeof(float) + rope_bytes(h, n_ctx);
    for (int i = 0; i < a->n_tensor; i++)
        if (a->tensor[i].ndim == 2)
            n += widened_bytes(&a->tensor[i]);
    return n;
}

int model_room(const char *name, size_t bytes, struct err *e)
{
    const size_t room = room_available("");
    if (bytes > room)
        return err_set(e, ERR_NOMEM, "%s: needs %zu bytes, %zu available", name, bytes, room);
    return 0;
}

static void shape_text(char *s, size_t size, const uint64_t *dim, int n)
{
    size_t at = 0;
    s[0] = 0;
    for (int i = 0; i < n && at < size; i++)
        at += (size_t)snprintf(s + at, size - at, "%s%" PRIu64, i ? "," : "", dim[i]);
}

/* The tensor of that name, checked against (n, k); k 0: a vector of n. NULL with *e filled. */
static const struct tensor *get(const struct model *m, const char *name, uint64_t n, uint64_t k,
                                struct err *e)
{
    const struct tensor *t = apr_tensor(&m->file, name);
    uint64_t want[2] = {n, k};
    int ndim = k ? 2 : 1;
    if (!t) {
        err_set(e, ERR_DATA, "%s: tensor %s: missing", m->file.path, name);
        return NULL;
    }
    if (t->ndim != ndim || t->dim[0] != n || (k && t->dim[1] != k)) {
        char found[128], expected[64];
        shape_text(found, sizeof found, t->dim, t->ndim);
        shape_text(expected, sizeof expected, want, ndim);
        err_set(e, ERR_DATA, "%s: tensor %s: shape (%s), expected (%s)", m->file.path, name, found,
                expected);
        return NULL;
    }
    if (!kn_type_info(t->type)->name || t->type == KN_I32) {
        err_set(e, ERR_DATA, "%s: tensor %s: type %s is no weight", m->file.path, name,
                tensor_type_name(t->type));
        return NULL;
    }
    return t;
}

/* Element by element where there are no blocks: an exponent of all ones is NaN or infinity. */
static int check_values(const struct model *m, const struct tensor *t, struct err *e)
{
    size_t n = tensor_count(t), i = n;
    if (t->type == KN_F32) {
        const uint32_t *x = t->data;
        for (i = 0; i < n && (x[i] & 0x7f800000u) != 0x7f800000u;)
            i++;
    } else if (t->type == KN_F16 || t->type == KN_BF16) {
        const uint16_t *x = t->data, ones = t->type == KN_F16 ? 0x7c00 : 0x7f80;
        for (i = 0; i < n && (x[i] & ones) != ones;)
            i++;
    }
    return i < n ? err_set(e, ERR_DATA, "%s: tensor %s: element %zu is not finite", m->file.path,
                           t->name, i)
                 : 0;
}

static int check_scales(const struct model *m, const struct tensor *t, struct err *e)
{
    size_t at[2], size = (size_t)kn_type_info(t->type)->block_bytes;
    int n = tensor_scales(t->type, at);
    if ((t->type == KN_NF4 || t->type == KN_MXFP4) && tensor_not_finite(t) >= 0)
        return err_set(e, ERR_DATA, "%s: tensor %s: a scale is not finite", m->file.path, t->name);
    const uint8_t *p = t->data;
    for (size_t b = 0; n && b < t->bytes / size; b++)
        for (int i = 0; i < n; i++) {
            kn_half d;
            memcpy(&d, p + b * size + at[i], sizeof d);
            if ((d & 0x7c00) == 0x7c00) /* exponent of NaN and infinity */
                return err_set(e, ERR_DATA, "%s: tensor %s: the scale of block %zu is not finite",
                               m->file.path, t->name, b);
        }
    return 0;
}

static int kn_failed(const struct model *m, const char *what, int rc, struct err *e)
{
    return err_set(e,
                   rc == KN_ENOMEM   ? ERR_NOMEM
                   : rc == KN_EUNSUP ? ERR_UNAVAILABLE
                                     : ERR_SOFTWARE,
                   "%s: %s: %s on %s", m->file.path, what, kn_strerror(rc), m->dev->name);
}

static int weight(const struct model *m, struct kn_weight **w, const char *name, int n, int k,
                  int flags, struct err *e)
{
    const struct tensor *t = get(m, name, (uint64_t)n, (uint64_t)k, e);
    size_t bytes;
    int rc;
    if (!t)
        return e->code;
    const void *form = packed_find(m->packed, t, &bytes);
    if (form && flags & KN_W_INFER) {
        rc = kn_weight_take(m->dev, t->type, n, k, t->data, flags, form, bytes, w);
        return rc < 0 ? kn_failed(m, name, rc, e) : 0;
    }
    if ((rc = check_scales(m, t, e)) < 0 || (rc = check_values(m, t, e)) < 0)
        return rc;
    rc = kn_weight_new(m->dev, t->type, n, k, t->data, flags, w);
    mapfile_forget(&m->file.map, t->data,
                   t->bytes); /* a device may still read it: it comes back by itself */
    return rc < 0 ? kn_failed(m, name, rc, e) : 0;
}

/* A norm or bias widened to f32. */
static int vector(const struct model *m, struct small *s, struct kn_at *at, const char *name, int n,
                  struct err *e)
{
    const struct tensor *t = get(m, name, (uint64_t)n, 0, e);
    float *x = s->host + s->used;
    if (!t)
        return e->code;
    kn_dequantize(t->type, t->data, x, (size_t)n);
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return err_set(e, ERR_DATA, "%s: tensor %s: element %d is not finite", m->file.path,
                           name, i);
    *at = kn_plus(m->small, s->used * sizeof(float));
    s->used += small_round((size_t)n);
    return 0;
}

static const char *layer_name(char *s, size_t size, int l, const char *part)
{
    snprintf(s, size, "model.layers.%d.%s", l, part);
    return s;
}

static int load_layer(struct model *m, struct small *s, int l, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_attn *a = &m->layer[l].attn;
    struct kn_ffn *f = &m->layer[l].ffn;
    const int q = h->n_head * h->head_dim, kv = h->n_head_kv * h->head_dim;
    char s_[TENSOR_NAME];
#define NAME(part) layer_name(s_, sizeof s_, l, part)
    *a = (struct kn_attn){.n_embd = h->n_embd,
                          .n_head = h->n_head,
                          .n_head_kv = h->n_head_kv,
                          .head_dim = h->head_dim,
                          .rope_dim = h->head_dim,
                          .rope_pairs = h->rope_pairs,
                          .eps = (float)h->rms_eps,
                          .scale = (float)(1 / sqrt((double)h->head_dim)),
                          .rope = m->rope};
    *f = (struct kn_ffn){.n_embd = h->n_embd, .n_ff = h->n_ff, .eps = (float)h->rms_eps};
    if (vector(m, s, &a->norm, NAME("input_layernorm.weight"), h->n_embd, e) < 0 ||
        vector(m, s, &f->norm, NAME("post_attention_layernorm.weight"), h->n_embd, e) < 0)
        return e->code;
    if (h->qkv_bias && (vector(m, s, &a->bq, NAME("self_attn.q_proj.bias"), q, e) < 0 ||
                        vector(m, s, &a->bk, NAME("self_attn.k_proj.bias"), kv, e) < 0 ||
                        vector(m, s, &a->bv, NAME("self_attn.v_proj.bias"), kv, e) < 0))
        return e->code;
    if (apr_tensor(&m->file, NAME("self_attn.o_proj.bias")) &&
        vector(m, s, &a->bo, s_, h->n_embd, e) < 0)
        return e->code;
    if (h->qk_norm &&
        (vector(m, s, &a->q_norm, NAME("self_attn.q_norm.weight"), h->head_dim, e) < 0 ||
         vector(m, s, &a->k_norm, NAME("self_attn.k_norm.weight"), h->head_dim, e) < 0))
        return e->code;
    if (weight(m, &a->q, NAME("self_attn.q_proj.weight"), q, h->n_embd, flags, e) < 0 ||
        weight(m, &a->k, NAME("self_attn.k_proj.weight"), kv, h->n_embd, flags, e) < 0 ||
        weight(m, &a->v, NAME("self_attn.v_proj.weight"), kv, h->n_embd, flags, e) < 0 ||
        weight(m, &a->o, NAME("self_attn.o_proj.weight"), h->n_embd, q, flags, e) < 0 ||
        weight(m, &f->gate, NAME("mlp.gate_proj.weight"), h->n_ff, h->n_embd, flags, e) < 0 ||
        weight(m, &f->up, NAME("mlp.up_proj.weight"), h->n_ff, h->n_embd, flags, e) < 0 ||
        weight(m, &f->down, NAME("mlp.down_proj.weight"), h->n_embd, h->n_ff, flags, e) < 0)
        return e->code;
#undef NAME
    return 0;
}

int model_positions(struct model *m, int n, struct err *e)
{
    if (n <= m->n_rope)
        return 0;
    size_t bytes = rope_bytes(&m->h, n - m->n_rope);
    float *table = malloc(bytes);
    int rc = table ? 0 : KN_ENOMEM;
    if (rc == 0) {
        hparams_rope_table(&m->h, m->n_rope, n, table);
        rc = kn_write(m->dev, kn_plus(m->rope, rope_bytes(&m->h, m->n_rope)), table, bytes);
    }
    free(table);
    if (rc < 0)
        return kn_failed(m, "rope table", rc, e);
    m->n_rope = n;
    return 0;
}

static int load_rope(struct model *m, int later, struct err *e)
{
    int rc = kn_alloc(m->dev, rope_bytes(&m->h, m->n_ctx), &m->rope);
    if (rc < 0)
        return kn_failed(m, "rope table", rc, e);
    return later ? 0 : model_positions(m, m->n_ctx, e);
}

static int load_weights(struct model *m, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct small s = {.size = small_size(h)};
    int rc = kn_alloc(m->dev, s.size * sizeof(float), &m->small);
    s.host = calloc(s.size, sizeof(float));
    m->layer = calloc((size_t)h->n_layer, sizeof *m->layer);
    if (rc < 0 || !s.host || !m->layer) {
        rc = kn_failed(m, "norms", rc < 0 ? rc : KN_ENOMEM, e);
        goto done;
    }
    if ((rc = load_rope(m, flags & MODEL_LATER, e)) < 0)
        goto done;
    flags &= ~MODEL_LATER;
    /* an embedding that is no head is only looked up: nothing to prepare */
    if ((rc = weight(m, &m->embd, "model.embed_tokens.weight", h->n_vocab, h->n_embd,
                     h->tied ? flags : flags & ~(KN_W_INFER | KN_W_FLOAT), e)) < 0)
        goto done;
    m->head = m->embd;
    if (!h->tied) {
        m->head = NULL;
        if ((rc = weight(m, &m->head, "lm_head.weight", h->n_vocab, h->n_embd, flags, e)) < 0)
            goto done;
    }
    for (int l = 0; l < h->n_layer; l++)
        if ((rc = load_layer(m, &s, l, flags, e)) < 0)
            goto done;
    if ((rc = vector(m, &s, &m->out_norm, "model.norm.weight", h->n_embd, e)) < 0)
        goto done;
    rc = kn_write(m->dev, m->small, s.host, s.used * sizeof(float));
    if (rc == 0)
        rc = kn_sync(m->dev); /* the host copy goes now */
    if (rc < 0)
        rc = kn_failed(m, "norms", rc, e);
done:
    free(s.host);
    return rc;
}

static int load_tokenizer(struct model *m, struct err *e)
{
    const struct tensor *t = apr_tensor(&m->file, APR_TOKENIZER);
    int rc;
    m->n_real = m->h.n_vocab;
    if (!t)
        return 0;
    if ((rc = bpe_load_tables(&m->tok, t->data, t->bytes, m->file.path, e)) < 0)
        return rc;
    if (bpe_n_vocab(m->tok) < m->n_real)
        m->n_real = bpe_n_vocab(m->tok);
    return 0;
}

static int is_packed(void *arg, const struct tensor *t)
{
    size_t bytes;
    return packed_find(arg, t, &bytes) != NULL;
}

/* Prepared weights, if they are there; then what is read from the file itself is checked by its hashes. */
static int open_weights(struct model *m, const char *path, int flags, struct err *e)
{
    char name[4096];
    int rc = 0;
    if ((flags & ~MODEL_LATER) == KN_W_INFER && *kn_layout(m->dev) &&
        packed_path(path, name, sizeof name) == 0)
        rc = packed_open(&m->packed, name, &m->file, m->dev, m->packed_why, e);
    if (rc < 0)
        return rc;
    return apr_verify_tensors(&m->file, m->packed ? is_packed : NULL, m->packed, e);
}

int model_load(struct model *m, const char *path, struct kn_dev *dev, int flags, int n_ctx,
               struct err *e)
{
    int rc;
    memset(m, 0, sizeof *m);
    m->dev = dev;
    if ((rc = apr_open(&m->file, path, e)) < 0)
        return rc;
    if ((rc = hparams_from_meta(&m->h, m->file.meta, e)) < 0 ||
        (rc = hparams_check(&m->h, e)) < 0) {
        err_prefix(e, "%s", path);
        goto fail;
    }
    if (n_ctx > m->h.n_ctx) {
        rc = err_set(e, ERR_USAGE, "%s: %d positions asked for, the model has %d", path, n_ctx,
                     m->h.n_ctx);
        goto fail;
    }
    m->n_ctx = n_ctx > 0 ? n_ctx : m->h.n_ctx;
    m->chat_format = json_get_str(m->file.meta, "chat_format", NULL, e);
    m->chat_system = json_get_str(m->file.meta, "chat_system", NULL, e);
    if ((rc = e->code) < 0 || (rc = load_tokenizer(m, e)) < 0 ||
        (rc = model_room(path, model_bytes(&m->file, &m->h, m->n_ctx), e)) < 0 ||
        (rc = open_weights(m, path, flags, e)) < 0 || (rc = load_weights(m, flags, e)) < 0)
        goto fail;
    return 0;
fail:
    model_free(m);
    return rc;
}

int model_weights(const struct model *m, const struct tensor **t, const struct kn_weight **w,
                  int max)
{
    static const char *const part[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                       "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                       "mlp.down_proj"};
    char s[TENSOR_NAME], s2[64];
    int n = 0;
#define PUT(name, weight)                                                                          \
    if (n < max && (t[n] = apr_tensor(&m->file, name)))                                            \
        w[n++] = weight;
    PUT("model.embed_tokens.weight", m->embd)
    if (m->head != m->embd)
        PUT("lm_head.weight", m->head)
    for (int l = 0; l < m->h.n_layer; l++) {
        const struct kn_attn *a = &m->layer[l].attn;
        const struct kn_ffn *f = &m->layer[l].ffn;
        const struct kn_weight *v[] = {a->q, a->k, a->v, a->o, f->gate, f->up, f->down};
        for (int i = 0; i < 7; i++) {
            snprintf(s2, sizeof s2, "%s.weight", part[i]);
            PUT(layer_name(s, sizeof s, l, s2), v[i])
        }
    }
#undef PUT
    return n;
}

void model_free(struct model *m)
{
    if (m->head != m->embd)
        kn_weight_free(m->dev, m->head);
    kn_weight_free(m->dev, m->embd);
    for (int l = 0; m->layer && l < m->h.n_layer; l++) {
        struct kn_weight *w[] = {m->layer[l].attn.q,  m->layer[l].attn.k,   m->layer[l].attn.v,
                                 m->layer[l].attn.o,  m->layer[l].ffn.gate, m->layer[l].ffn.up,
                                 m->layer[l].ffn.down};
        for (size_t i = 0; i < sizeof w / sizeof *w; i++)
            kn_weight_free(m->dev, w[i]);
    }
    free(m->layer);
    packed_free(m->packed);
    if (m->rope.buf)
        kn_free(m->dev, m->rope);
    if (m->small.buf)
        kn_free(m->dev, m->small);
    bpe_free(m->tok);
    apr_close(&m->file);
    memset(m, 0, sizeof *m);
}
