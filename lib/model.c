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

/* Floats of all norms and biases, an upper bound (one that is absent is counted). */
static size_t small_size(const struct hparams *h)
{
    size_t q = small_round((size_t)h->n_head * (size_t)h->head_dim);
    size_t kv = small_round((size_t)h->n_head_kv * (size_t)h->head_dim);
    size_t embd = small_round((size_t)h->n_embd), hd = small_round((size_t)h->head_dim);
    size_t more = 2 * embd; /* biases of LayerNorms, or norms after the parts */
    if (h->mlp_bias)
        more += 2 * small_round((size_t)h->n_ff) + embd;
    return (size_t)h->n_layer * (3 * embd + q + 2 * kv + 2 * hd + more) + 2 * embd;
}

static int two_tables(const struct hparams *h)
{
    return h->rope_local_theta != 0;
}

/* Lines of a second table for sequences short enough for longrope's other factors. */
static int short_lines(const struct hparams *h, int n_ctx)
{
    return h->rope_scaling == ROPE_LONG && n_ctx > h->rope_orig_ctx ? h->rope_orig_ctx : 0;
}

/* of one table */
static size_t rope_bytes(const struct hparams *h, int n_ctx)
{
    return (size_t)n_ctx * (size_t)hparams_rope_dim(h) * sizeof(float);
}

size_t model_bytes(const struct apr *a, const struct hparams *h, int n_ctx)
{
    size_t n = small_size(h) * sizeof(float) + rope_bytes(h, n_ctx) * (two_tables(h) ? 2 : 1) +
               rope_bytes(h, short_lines(h, n_ctx));
    for (int i = 0; i < a->n_tensor; i++)
        if (a->tensor[i].ndim == 2)
            n += a->tensor[i].bytes;
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

/* Offsets of the half-precision scales inside a block; n of them. */
static int scales_of(int type, size_t *at)
{
    at[0] = 0;
    at[1] = sizeof(kn_half);
    switch (type) {
    case KN_Q4_0:
    case KN_Q5_0:
    case KN_Q8_0:
        return 1;
    case KN_Q4_1:
    case KN_Q5_1:
    case KN_Q4_K:
    case KN_Q5_K:
        return 2;
    case KN_Q6_K:
        at[0] = offsetof(struct kn_q6_k, d);
        return 1;
    default:
        return 0;
    }
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
    int n = scales_of(t->type, at);
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

/* A vector that adds to one (Gemma's norms) is kept as the sum. */
static int norm(const struct model *m, struct small *s, struct kn_at *at, const char *name, int n,
                struct err *e)
{
    float *x = s->host + s->used;
    if (vector(m, s, at, name, n, e) < 0)
        return e->code;
    for (int i = 0; i < n && m->h.norm_adds_one; i++)
        x[i] = 1.0f + x[i];
    return 0;
}

#define NAME(part) layer_name(s_, sizeof s_, l, part)

static int load_attn(struct model *m, struct small *s, int l, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_attn *a = &m->layer[l].attn;
    const int q = h->n_head * h->head_dim, kv = h->n_head_kv * h->head_dim;
    const int window = hparams_window(h, l);
    const double scale = h->attn_scale != 0     ? h->attn_scale
                         : h->query_scalar != 0 ? 1 / sqrt(h->query_scalar)
                                                : 1 / sqrt((double)h->head_dim);
    char s_[TENSOR_NAME];
    *a = (struct kn_attn){.n_embd = h->n_embd,
                          .n_head = h->n_head,
                          .n_head_kv = h->n_head_kv,
                          .head_dim = h->head_dim,
                          .rope_dim = hparams_rope_dim(h),
                          .rope_pairs = h->rope_pairs,
                          .eps = (float)h->rms_eps,
                          .scale = (float)scale,
                          .rope = window ? m->rope_local : m->rope,
                          .window = window,
                          .cap = (float)h->attn_cap,
                          .residual = (float)h->residual_scale};
    if (norm(m, s, &a->norm, NAME("input_layernorm.weight"), h->n_embd, e) < 0 ||
        (hparams_has(h, ARCH_LAYER_NORM) &&
         vector(m, s, &a->norm_bias, NAME("input_layernorm.bias"), h->n_embd, e) < 0) ||
        (hparams_has(h, ARCH_POST_NORM) &&
         norm(m, s, &a->post, NAME("post_attention_layernorm.weight"), h->n_embd, e) < 0))
        return e->code;
    if (h->qkv_bias && (vector(m, s, &a->bq, NAME("self_attn.q_proj.bias"), q, e) < 0 ||
                        vector(m, s, &a->bk, NAME("self_attn.k_proj.bias"), kv, e) < 0 ||
                        vector(m, s, &a->bv, NAME("self_attn.v_proj.bias"), kv, e) < 0))
        return e->code;
    if ((h->o_bias || apr_tensor(&m->file, NAME("self_attn.o_proj.bias"))) &&
        vector(m, s, &a->bo, NAME("self_attn.o_proj.bias"), h->n_embd, e) < 0)
        return e->code;
    if (h->qk_norm &&
        (norm(m, s, &a->q_norm, NAME("self_attn.q_norm.weight"), h->head_dim, e) < 0 ||
         norm(m, s, &a->k_norm, NAME("self_attn.k_norm.weight"), h->head_dim, e) < 0))
        return e->code;
    if (weight(m, &a->q, NAME("self_attn.q_proj.weight"), q, h->n_embd, flags, e) < 0 ||
        weight(m, &a->k, NAME("self_attn.k_proj.weight"), kv, h->n_embd, flags, e) < 0 ||
        weight(m, &a->v, NAME("self_attn.v_proj.weight"), kv, h->n_embd, flags, e) < 0)
        return e->code;
    return weight(m, &a->o, NAME("self_attn.o_proj.weight"), h->n_embd, q, flags, e);
}

/* gate, up and down under a prefix; n rows of gate and up */
static int load_mlp(const struct model *m, struct kn_weight **w[3], int l, const char *prefix,
                    int n, int flags, struct err *e)
{
    static const char *const part[] = {"gate_proj", "up_proj", "down_proj"};
    char s_[TENSOR_NAME], name[80];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s.weight", prefix, part[i]);
        if (weight(m, w[i], NAME(name), i == 2 ? m->h.n_embd : n, i == 2 ? n : m->h.n_embd, flags,
                   e) < 0)
            return e->code;
    }
    return 0;
}

static int load_moe(struct model *m, int l, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_moe *x = &m->layer[l].moe;
    const size_t n = (size_t)h->n_expert;
    char s_[TENSOR_NAME], prefix[60];
    *x = (struct kn_moe){.n_expert = h->n_expert,
                         .top_k = h->n_expert_used,
                         .normalize = h->norm_topk,
                         .n_ff = h->n_ff_expert,
                         .n_ff_shared = h->n_ff_shared};
    x->gate = calloc(3 * n, sizeof(struct kn_weight *));
    if (!x->gate)
        return err_set(e, ERR_NOMEM, "%s: out of memory", m->file.path);
    x->up = x->gate + n, x->down = x->up + n;
    m->layer[l].ffn.moe = x;
    if (weight(m, &x->router, NAME("mlp.gate.weight"), h->n_expert, h->n_embd, flags, e) < 0)
        return e->code;
    for (int i = 0; i < h->n_expert; i++) {
        struct kn_weight **w[] = {&x->gate[i], &x->up[i], &x->down[i]};
        snprintf(prefix, sizeof prefix, "mlp.experts.%d", i);
        if (load_mlp(m, w, l, prefix, h->n_ff_expert, flags, e) < 0)
            return e->code;
    }
    if (!h->n_ff_shared)
        return 0;
    struct kn_weight **w[] = {&x->shared[0], &x->shared[1], &x->shared[2]};
    if (load_mlp(m, w, l, "mlp.shared_expert", h->n_ff_shared, flags, e) < 0)
        return e->code;
    return weight(m, &x->shared_gate, NAME("mlp.shared_expert_gate.weight"), 1, h->n_embd, flags,
                  e);
}

/* norms and biases of the feed-forward part */
static int load_ffn_small(struct model *m, struct small *s, int l, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_ffn *f = &m->layer[l].ffn;
    const int post = hparams_has(h, ARCH_POST_NORM), layer = hparams_has(h, ARCH_LAYER_NORM);
    char s_[TENSOR_NAME];
    if (norm(m, s, &f->norm,
             NAME(post ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight"),
             h->n_embd, e) < 0 ||
        (post &&
         norm(m, s, &f->post, NAME("post_feedforward_layernorm.weight"), h->n_embd, e) < 0) ||
        (layer &&
         vector(m, s, &f->norm_bias, NAME("post_attention_layernorm.bias"), h->n_embd, e) < 0))
        return e->code;
    if (!h->mlp_bias)
        return 0;
    if ((!layer && vector(m, s, &f->bgate, NAME("mlp.gate_proj.bias"), h->n_ff, e) < 0) ||
        vector(m, s, &f->bup, NAME(layer ? "mlp.c_fc.bias" : "mlp.up_proj.bias"), h->n_ff, e) < 0)
        return e->code;
    return vector(m, s, &f->bdown, NAME(layer ? "mlp.c_proj.bias" : "mlp.down_proj.bias"),
                  h->n_embd, e);
}

static int load_ffn(struct model *m, struct small *s, int l, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_ffn *f = &m->layer[l].ffn;
    struct kn_weight **w[] = {&f->gate, &f->up, &f->down};
    char s_[TENSOR_NAME];
    *f = (struct kn_ffn){.n_embd = h->n_embd,
                         .n_ff = h->n_ff,
                         .eps = (float)h->rms_eps,
                         .residual = (float)h->residual_scale,
                         .act = hparams_has(h, ARCH_GELU) ? KN_GELU : KN_SILU};
    if (load_ffn_small(m, s, l, e) < 0)
        return e->code;
    if (h->n_expert)
        return load_moe(m, l, flags, e);
    if (!hparams_has(h, ARCH_LAYER_NORM))
        return load_mlp(m, w, l, "mlp", h->n_ff, flags, e);
    if (weight(m, &f->up, NAME("mlp.c_fc.weight"), h->n_ff, h->n_embd, flags, e) < 0)
        return e->code;
    return weight(m, &f->down, NAME("mlp.c_proj.weight"), h->n_embd, h->n_ff, flags, e);
}
#undef NAME

int model_rope_shift(const struct model *m, int positions)
{
    return positions <= m->n_short ? m->n_ctx : 0;
}

/* Lines [from, to) of the table of one kind, at `at`. */
static int fill_rope(const struct model *m, float *table, struct kn_at at, int local, int n_ctx,
                     int from, int to)
{
    if (from >= to)
        return 0;
    hparams_rope_table(&m->h, local, n_ctx, from, to, table);
    return kn_write(m->dev, kn_plus(at, rope_bytes(&m->h, from)), table,
                    rope_bytes(&m->h, to - from));
}

int model_positions(struct model *m, int n, struct err *e)
{
    const int from = m->n_rope, near = n < m->n_short ? n : m->n_short;
    if (n <= from)
        return 0;
    float *table = malloc(rope_bytes(&m->h, n - from));
    int rc = table ? 0 : KN_ENOMEM;
    if (rc == 0 && (rc = fill_rope(m, table, m->rope, 0, m->n_ctx, from, n)) == 0 &&
        two_tables(&m->h))
        rc = fill_rope(m, table, m->rope_local, 1, m->n_ctx, from, n);
    if (rc == 0)
        rc = fill_rope(m, table, kn_plus(m->rope, rope_bytes(&m->h, m->n_ctx)), 0, m->n_short, from,
                       near);
    free(table);
    if (rc < 0)
        return kn_failed(m, "rope table", rc, e);
    m->n_rope = n;
    return 0;
}

static int load_rope(struct model *m, int later, struct err *e)
{
    const size_t bytes = rope_bytes(&m->h, m->n_ctx);
    m->n_short = short_lines(&m->h, m->n_ctx);
    int rc = kn_alloc(m->dev, bytes * (two_tables(&m->h) ? 2 : 1) + rope_bytes(&m->h, m->n_short),
                      &m->rope);
    if (rc < 0)
        return kn_failed(m, "rope table", rc, e);
    m->rope_local = two_tables(&m->h) ? kn_plus(m->rope, bytes) : m->rope;
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
        if ((rc = load_attn(m, &s, l, flags, e)) < 0 || (rc = load_ffn(m, &s, l, flags, e)) < 0)
            goto done;
    if ((rc = norm(m, &s, &m->out_norm, "model.norm.weight", h->n_embd, e)) < 0 ||
        (hparams_has(h, ARCH_LAYER_NORM) &&
         (rc = vector(m, &s, &m->out_bias, "model.norm.bias", h->n_embd, e)) < 0))
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

/* Where a layer's weight of that name is kept; NULL if its layers have none of it. */
static struct kn_weight **slot(const struct model *m, int l, const char *part)
{
    struct model_layer *y = &m->layer[l];
    const struct {
        const char *name;
        struct kn_weight **w;
    } fixed[] = {{"self_attn.q_proj", &y->attn.q},
                 {"self_attn.k_proj", &y->attn.k},
                 {"self_attn.v_proj", &y->attn.v},
                 {"self_attn.o_proj", &y->attn.o},
                 {"mlp.gate_proj", &y->ffn.gate},
                 {"mlp.up_proj", &y->ffn.up},
                 {"mlp.down_proj", &y->ffn.down},
                 {"mlp.c_fc", &y->ffn.up},
                 {"mlp.c_proj", &y->ffn.down},
                 {"mlp.gate", &y->moe.router},
                 {"mlp.shared_expert_gate", &y->moe.shared_gate},
                 {"mlp.shared_expert.gate_proj", &y->moe.shared[0]},
                 {"mlp.shared_expert.up_proj", &y->moe.shared[1]},
                 {"mlp.shared_expert.down_proj", &y->moe.shared[2]}};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(part, fixed[i].name) == 0)
            return fixed[i].w;
    char kind[8];
    int id, end = 0;
    if (!y->moe.gate || sscanf(part, "mlp.experts.%d.%7[a-z]_proj%n", &id, kind, &end) != 2 ||
        !end || part[end] || id < 0 || id >= m->h.n_expert)
        return NULL;
    return strcmp(kind, "gate") == 0 ? &y->moe.gate[id]
           : strcmp(kind, "up") == 0 ? &y->moe.up[id]
                                     : &y->moe.down[id];
}

int model_weights(const struct model *m, const struct tensor **t, const struct kn_weight **w,
                  int max)
{
    int n = 0;
    for (int i = 0; i < m->file.n_tensor && n < max; i++) {
        const struct tensor *x = &m->file.tensor[i];
        const char *dot = strrchr(x->name, '.');
        char part[TENSOR_NAME + 1];
        int l, at = 0;
        if (!dot || strcmp(dot, ".weight") || x->ndim != 2)
            continue;
        struct kn_weight *found = NULL;
        if (strcmp(x->name, "model.embed_tokens.weight") == 0)
            found = m->embd;
        else if (strcmp(x->name, "lm_head.weight") == 0 && m->head != m->embd)
            found = m->head;
        else if (sscanf(x->name, "model.layers.%d.%n", &l, &at) == 1 && at && l >= 0 &&
                 l < m->h.n_layer && x->name + at < dot) {
            snprintf(part, sizeof part, "%.*s", (int)(dot - x->name - at), x->name + at);
            struct kn_weight **p = slot(m, l, part);
            found = p ? *p : NULL;
        }
        if (found)
            t[n] = x, w[n++] = found;
    }
    return n;
}

static void free_layer(const struct model *m, struct model_layer *y)
{
    struct kn_weight *w[] = {y->attn.q,        y->attn.k,        y->attn.v,
                             y->attn.o,        y->ffn.gate,      y->ffn.up,
                             y->ffn.down,      y->moe.router,    y->moe.shared[0],
                             y->moe.shared[1], y->moe.shared[2], y->moe.shared_gate};
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        kn_weight_free(m->dev, w[i]);
    for (int i = 0; y->moe.gate && i < 3 * m->h.n_expert; i++) /* up and down follow */
        kn_weight_free(m->dev, y->moe.gate[i]);
    free(y->moe.gate);
}

void model_free(struct model *m)
{
    if (m->head != m->embd)
        kn_weight_free(m->dev, m->head);
    kn_weight_free(m->dev, m->embd);
    for (int l = 0; m->layer && l < m->h.n_layer; l++)
        free_layer(m, &m->layer[l]);
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
