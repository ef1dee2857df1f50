/* model_layer - the tensors of a layer onto a device: every shape checked, every number finite */
#include "dev.h"
#include "model.h"
#include "model_impl.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static int check_values(const struct model *m, const struct tensor *t, struct err *e)
{
    const int64_t bad = tensor_not_finite(t), len = tensor_type_block(t->type);
    if (bad < 0)
        return 0;
    if (t->type == KN_NF4) /* its scales are no part of a block */
        return err_set(e, ERR_DATA, "%s: tensor %s: a scale is not finite", m->file.path, t->name);
    if (len > 1)
        return err_set(e, ERR_DATA, "%s: tensor %s: the scale of block %" PRId64 " is not finite",
                       m->file.path, t->name, bad / len);
    return err_set(e, ERR_DATA, "%s: tensor %s: element %" PRId64 " is not finite", m->file.path,
                   t->name, bad);
}

int model_failed(const struct model *m, const char *what, int rc, struct err *e)
{
    dev_failed(m->dev, what, rc, e);
    return err_prefix(e, "%s", m->file.path);
}

int model_weight(const struct model *m, struct kn_weight **w, const char *name, int n, int k,
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
        return rc < 0 ? model_failed(m, name, rc, e) : 0;
    }
    if ((rc = check_values(m, t, e)) < 0)
        return rc;
    rc = kn_weight_new(m->dev, t->type, n, k, t->data, flags, w);
    /* a device may still read it: it comes back by itself */
    if (m->forget)
        m->forget(m->forget_arg, t);
    else
        mapfile_forget(&m->file.map, t->data, t->bytes);
    return rc < 0 ? model_failed(m, name, rc, e) : 0;
}

/* A norm or bias widened to f32. */
int model_vector(const struct model *m, struct model_small *s, struct kn_at *at, const char *name,
                 int n, struct err *e)
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
    s->used += model_small_round((size_t)n);
    return 0;
}

static const char *layer_name(char *s, size_t size, int l, const char *part)
{
    snprintf(s, size, "model.layers.%d.%s", l, part);
    return s;
}

/* A vector that adds to one (Gemma's norms) is kept as the sum. */
int model_norm(const struct model *m, struct model_small *s, struct kn_at *at, const char *name,
               int n, struct err *e)
{
    float *x = s->host + s->used;
    if (model_vector(m, s, at, name, n, e) < 0)
        return e->code;
    for (int i = 0; i < n && m->h.norm_adds_one; i++)
        x[i] = 1.0f + x[i];
    return 0;
}

#define NAME(part) layer_name(s_, sizeof s_, l, part)

int model_load_attn(struct model *m, struct model_small *s, int l, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_attn *a = &m->layer[l].attn;
    const int q = h->n_head * h->head_dim, kv = h->n_head_kv * h->head_dim;
    flags |= flags & KN_W_INFER ? KN_W_LAYER : 0;
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
    if (model_norm(m, s, &a->norm, NAME("input_layernorm.weight"), h->n_embd, e) < 0 ||
        (hparams_has(h, ARCH_LAYER_NORM) &&
         model_vector(m, s, &a->norm_bias, NAME("input_layernorm.bias"), h->n_embd, e) < 0) ||
        (hparams_has(h, ARCH_POST_NORM) &&
         model_norm(m, s, &a->post, NAME("post_attention_layernorm.weight"), h->n_embd, e) < 0))
        return e->code;
    if (h->qkv_bias && (model_vector(m, s, &a->bq, NAME("self_attn.q_proj.bias"), q, e) < 0 ||
                        model_vector(m, s, &a->bk, NAME("self_attn.k_proj.bias"), kv, e) < 0 ||
                        model_vector(m, s, &a->bv, NAME("self_attn.v_proj.bias"), kv, e) < 0))
        return e->code;
    if ((h->o_bias || apr_tensor(&m->file, NAME("self_attn.o_proj.bias"))) &&
        model_vector(m, s, &a->bo, NAME("self_attn.o_proj.bias"), h->n_embd, e) < 0)
        return e->code;
    if (h->qk_norm &&
        (model_norm(m, s, &a->q_norm, NAME("self_attn.q_norm.weight"), h->head_dim, e) < 0 ||
         model_norm(m, s, &a->k_norm, NAME("self_attn.k_norm.weight"), h->head_dim, e) < 0))
        return e->code;
    if (model_weight(m, &a->q, NAME("self_attn.q_proj.weight"), q, h->n_embd, flags, e) < 0 ||
        model_weight(m, &a->k, NAME("self_attn.k_proj.weight"), kv, h->n_embd, flags, e) < 0 ||
        model_weight(m, &a->v, NAME("self_attn.v_proj.weight"), kv, h->n_embd, flags, e) < 0)
        return e->code;
    return model_weight(m, &a->o, NAME("self_attn.o_proj.weight"), h->n_embd, q, flags, e);
}

/* gate, up and down under a prefix; n rows of gate and up */
static int load_mlp(const struct model *m, struct kn_weight **w[3], int l, const char *prefix,
                    int n, int flags, struct err *e)
{
    static const char *const part[] = {"gate_proj", "up_proj", "down_proj"};
    char s_[TENSOR_NAME], name[80];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s.weight", prefix, part[i]);
        if (model_weight(m, w[i], NAME(name), i == 2 ? m->h.n_embd : n, i == 2 ? n : m->h.n_embd,
                         flags, e) < 0)
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
    if (model_weight(m, &x->router, NAME("mlp.gate.weight"), h->n_expert, h->n_embd, flags, e) < 0)
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
    return model_weight(m, &x->shared_gate, NAME("mlp.shared_expert_gate.weight"), 1, h->n_embd,
                        flags, e);
}

/* norms and biases of the feed-forward part */
static int load_ffn_small(struct model *m, struct model_small *s, int l, struct err *e)
{
    const struct hparams *h = &m->h;
    struct kn_ffn *f = &m->layer[l].ffn;
    const int post = hparams_has(h, ARCH_POST_NORM), layer = hparams_has(h, ARCH_LAYER_NORM);
    char s_[TENSOR_NAME];
    if (model_norm(
            m, s, &f->norm,
            NAME(post ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight"),
            h->n_embd, e) < 0 ||
        (post &&
         model_norm(m, s, &f->post, NAME("post_feedforward_layernorm.weight"), h->n_embd, e) < 0) ||
        (layer && model_vector(m, s, &f->norm_bias, NAME("post_attention_layernorm.bias"),
                               h->n_embd, e) < 0))
        return e->code;
    if (!h->mlp_bias)
        return 0;
    if ((!layer && model_vector(m, s, &f->bgate, NAME("mlp.gate_proj.bias"), h->n_ff, e) < 0) ||
        model_vector(m, s, &f->bup, NAME(layer ? "mlp.c_fc.bias" : "mlp.up_proj.bias"), h->n_ff,
                     e) < 0)
        return e->code;
    return model_vector(m, s, &f->bdown, NAME(layer ? "mlp.c_proj.bias" : "mlp.down_proj.bias"),
                        h->n_embd, e);
}

int model_load_ffn(struct model *m, struct model_small *s, int l, int flags, struct err *e)
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
    flags |= flags & KN_W_INFER ? KN_W_LAYER : 0;
    if (!hparams_has(h, ARCH_LAYER_NORM))
        return load_mlp(m, w, l, "mlp", h->n_ff, flags, e);
    if (model_weight(m, &f->up, NAME("mlp.c_fc.weight"), h->n_ff, h->n_embd, flags, e) < 0)
        return e->code;
    return model_weight(m, &f->down, NAME("mlp.c_proj.weight"), h->n_embd, h->n_ff, flags, e);
}
#undef NAME
