/* import_names - the tensors of an architecture: names in the three formats, shapes, and when they are there */
#include "hparams.h"
#include "import.h"
#include <stdio.h>
#include <string.h>

enum side { NONE, EMBD, VOCAB, FF, FF2, Q, KV, Q_KV, QKV, HEAD, EXPERTS, SHARED, ONE };
/* ALWAYS or all of these must hold */
enum when {
    ALWAYS = 0,
    BIAS = 1, /* q, k, v */
    O_BIAS = 2,
    MLP_BIAS = 4,
    QK_NORM = 8,
    LAYER_NORM = 16, /* and c_fc, c_proj */
    NO_LAYER_NORM = 32,
    POST = 64,
    NO_POST = 128,
    FUSED = 256,
    SPLIT = 512,
    DENSE = 1024,
    MOE = 2048,
    WITH_SHARED = 4096,
};
enum { NORM = 1, FUSED_TENSOR = 2 };

/* hf NULL: as name.  first, whole: of a part, as import_part has them. */
static const struct row {
    const char *name, *hf, *gguf;
    uint16_t when;
    uint8_t ndim, rows, cols, flags, first, whole;
} per_layer[] = {
    // clang-format off
    {"input_layernorm.weight",   NULL, "attn_norm.weight",   ALWAYS,     1, EMBD, 0, NORM, 0, 0},
    {"input_layernorm.bias",     NULL, "attn_norm.bias",     LAYER_NORM, 1, EMBD, 0, 0, 0, 0},
    {"self_attn.q_proj.weight",  NULL, "attn_q.weight",      SPLIT,      2, Q, EMBD, 0, 0, 0},
    {"self_attn.k_proj.weight",  NULL, "attn_k.weight",      SPLIT,      2, KV, EMBD, 0, 0, 0},
    {"self_attn.v_proj.weight",  NULL, "attn_v.weight",      SPLIT,      2, KV, EMBD, 0, 0, 0},
    {"self_attn.q_proj.weight",  "self_attn.qkv_proj.weight", "attn_qkv.weight",
                                                             FUSED,      2, Q, EMBD, FUSED_TENSOR, NONE, QKV},
    {"self_attn.k_proj.weight",  "self_attn.qkv_proj.weight", "attn_qkv.weight",
                                                             FUSED,      2, KV, EMBD, FUSED_TENSOR, Q, QKV},
    {"self_attn.v_proj.weight",  "self_attn.qkv_proj.weight", "attn_qkv.weight",
                                                             FUSED,      2, KV, EMBD, FUSED_TENSOR, Q_KV, QKV},
    {"self_attn.o_proj.weight",  NULL, "attn_output.weight", ALWAYS,     2, EMBD, Q, 0, 0, 0},
    {"self_attn.q_proj.bias",    NULL, "attn_q.bias",        BIAS,       1, Q, 0, 0, 0, 0},
    {"self_attn.k_proj.bias",    NULL, "attn_k.bias",        BIAS,       1, KV, 0, 0, 0, 0},
    {"self_attn.v_proj.bias",    NULL, "attn_v.bias",        BIAS,       1, KV, 0, 0, 0, 0},
    {"self_attn.o_proj.bias",    NULL, "attn_output.bias",   O_BIAS,     1, EMBD, 0, 0, 0, 0},
    {"self_attn.q_norm.weight",  NULL, "attn_q_norm.weight", QK_NORM,    1, HEAD, 0, NORM, 0, 0},
    {"self_attn.k_norm.weight",  NULL, "attn_k_norm.weight", QK_NORM,    1, HEAD, 0, NORM, 0, 0},
    {"post_attention_layernorm.weight",   NULL, "ffn_norm.weight", NO_POST,    1, EMBD, 0, NORM, 0, 0},
    {"post_attention_layernorm.bias",     NULL, "ffn_norm.bias",   LAYER_NORM, 1, EMBD, 0, 0, 0, 0},
    {"post_attention_layernorm.weight",   NULL, "post_attention_norm.weight", POST, 1, EMBD, 0, NORM, 0, 0},
    {"pre_feedforward_layernorm.weight",  NULL, "ffn_norm.weight",            POST, 1, EMBD, 0, NORM, 0, 0},
    {"post_feedforward_layernorm.weight", NULL, "post_ffw_norm.weight",       POST, 1, EMBD, 0, NORM, 0, 0},
    {"mlp.gate_proj.weight",     NULL, "ffn_gate.weight", DENSE | SPLIT | NO_LAYER_NORM, 2, FF, EMBD, 0, 0, 0},
    {"mlp.up_proj.weight",       NULL, "ffn_up.weight",   DENSE | SPLIT | NO_LAYER_NORM, 2, FF, EMBD, 0, 0, 0},
    {"mlp.gate_proj.weight",     "mlp.gate_up_proj.weight", "ffn_up.weight",
                                                          FUSED,         2, FF, EMBD, FUSED_TENSOR, NONE, FF2},
    {"mlp.up_proj.weight",       "mlp.gate_up_proj.weight", "ffn_up.weight",
                                                          FUSED,         2, FF, EMBD, FUSED_TENSOR, FF, FF2},
    {"mlp.down_proj.weight",     NULL, "ffn_down.weight", DENSE | NO_LAYER_NORM, 2, EMBD, FF, 0, 0, 0},
    {"mlp.gate_proj.bias",       NULL, "ffn_gate.bias",   MLP_BIAS | NO_LAYER_NORM, 1, FF, 0, 0, 0, 0},
    {"mlp.up_proj.bias",         NULL, "ffn_up.bias",     MLP_BIAS | NO_LAYER_NORM, 1, FF, 0, 0, 0, 0},
    {"mlp.down_proj.bias",       NULL, "ffn_down.bias",   MLP_BIAS | NO_LAYER_NORM, 1, EMBD, 0, 0, 0, 0},
    {"mlp.c_fc.weight",          NULL, "ffn_up.weight",   LAYER_NORM,            2, FF, EMBD, 0, 0, 0},
    {"mlp.c_fc.bias",            NULL, "ffn_up.bias",     LAYER_NORM | MLP_BIAS, 1, FF, 0, 0, 0, 0},
    {"mlp.c_proj.weight",        NULL, "ffn_down.weight", LAYER_NORM,            2, EMBD, FF, 0, 0, 0},
    {"mlp.c_proj.bias",          NULL, "ffn_down.bias",   LAYER_NORM | MLP_BIAS, 1, EMBD, 0, 0, 0, 0},
    {"mlp.gate.weight",          NULL, "ffn_gate_inp.weight", MOE,               2, EXPERTS, EMBD, 0, 0, 0},
    {"mlp.shared_expert_gate.weight",      NULL, "ffn_gate_inp_shexp.weight", WITH_SHARED, 2, ONE, EMBD, 0, 0, 0},
    {"mlp.shared_expert.gate_proj.weight", NULL, "ffn_gate_shexp.weight", WITH_SHARED, 2, SHARED, EMBD, 0, 0, 0},
    {"mlp.shared_expert.up_proj.weight",   NULL, "ffn_up_shexp.weight",   WITH_SHARED, 2, SHARED, EMBD, 0, 0, 0},
    {"mlp.shared_expert.down_proj.weight", NULL, "ffn_down_shexp.weight", WITH_SHARED, 2, EMBD, SHARED, 0, 0, 0},
    // clang-format on
};
enum { PER_LAYER = sizeof per_layer / sizeof *per_layer };

static uint64_t side(const struct hparams *h, enum side s)
{
    const uint64_t q = (uint64_t)h->n_head * (uint64_t)h->head_dim,
                   kv = (uint64_t)h->n_head_kv * (uint64_t)h->head_dim;
    const uint64_t sides[] = {[NONE] = 0,
                              [EMBD] = (uint64_t)h->n_embd,
                              [VOCAB] = (uint64_t)h->n_vocab,
                              [FF] = (uint64_t)h->n_ff,
                              [FF2] = 2 * (uint64_t)h->n_ff,
                              [Q] = q,
                              [KV] = kv,
                              [Q_KV] = q + kv,
                              [QKV] = q + 2 * kv,
                              [HEAD] = (uint64_t)h->head_dim,
                              [EXPERTS] = (uint64_t)h->n_expert,
                              [SHARED] = (uint64_t)h->n_ff_shared,
                              [ONE] = 1};
    return sides[s];
}

static unsigned true_of(const struct hparams *h)
{
    const struct arch *a = arch_by_name(h->arch);
    const unsigned t = a ? a->traits : 0;
    return (h->qkv_bias ? BIAS : 0) | (h->o_bias ? O_BIAS : 0) | (h->mlp_bias ? MLP_BIAS : 0) |
           (h->qk_norm ? QK_NORM : 0) | (t & ARCH_LAYER_NORM ? LAYER_NORM : NO_LAYER_NORM) |
           (t & ARCH_POST_NORM ? POST : NO_POST) | (t & ARCH_FUSED ? FUSED : SPLIT) |
           (h->n_expert ? MOE : DENSE) | (h->n_ff_shared ? WITH_SHARED : 0);
}

static const char *const top_names[][2] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                           {"model.norm.weight", "output_norm.weight"},
                                           {"model.norm.bias", "output_norm.bias"},
                                           {"lm_head.weight", "output.weight"}};

/* dimensions of top_names[k] */
static int top_ndim(int k)
{
    return k == 1 || k == 2 ? 1 : 2;
}

static int top_tensor(const struct hparams *h, int i, struct import_want *w)
{
    const int bias = hparams_has(h, ARCH_LAYER_NORM), n = 2 + bias + !h->tied;
    if (i >= n)
        return n;
    const int k = i == 2 && !bias ? 3 : i;
    snprintf(w->name, sizeof w->name, "%s", top_names[k][0]);
    snprintf(w->hf, sizeof w->hf, "%s", top_names[k][0]);
    snprintf(w->gguf, sizeof w->gguf, "%s", top_names[k][1]);
    w->ndim = top_ndim(k);
    w->dim[0] = side(h, w->ndim == 1 ? EMBD : VOCAB);
    w->dim[1] = w->ndim == 1 ? 0 : side(h, EMBD);
    w->norm = k == 1;
    return n;
}

static void layer_tensor(const struct hparams *h, int layer, const struct row *r,
                         struct import_want *w)
{
    snprintf(w->name, sizeof w->name, "model.layers.%d.%s", layer, r->name);
    snprintf(w->hf, sizeof w->hf, "model.layers.%d.%s", layer, r->hf ? r->hf : r->name);
    snprintf(w->gguf, sizeof w->gguf, "blk.%d.%s", layer, r->gguf);
    w->ndim = r->ndim;
    w->dim[0] = side(h, r->rows);
    w->dim[1] = w->ndim == 2 ? side(h, r->cols) : 0;
    w->norm = r->flags & NORM;
    if (r->flags & FUSED_TENSOR)
        w->part = (struct import_part){
            .gguf = 1, .hf = 1, .first = side(h, r->first), .whole = side(h, r->whole)};
}

/* gate of all experts, then up, then down */
static void expert_tensor(const struct hparams *h, int layer, int i, struct import_want *w)
{
    static const char *const kinds[] = {"gate", "up", "down"};
    const int kind = i / h->n_expert, expert = i % h->n_expert;
    snprintf(w->name, sizeof w->name, "model.layers.%d.mlp.experts.%d.%s_proj.weight", layer,
             expert, kinds[kind]);
    snprintf(w->hf, sizeof w->hf, "%.100s", w->name);
    snprintf(w->gguf, sizeof w->gguf, "blk.%d.ffn_%s_exps.weight", layer, kinds[kind]);
    w->ndim = 2;
    w->dim[0] = (uint64_t)(kind == 2 ? h->n_embd : h->n_ff_expert);
    w->dim[1] = (uint64_t)(kind == 2 ? h->n_ff_expert : h->n_embd);
    w->part = (struct import_part){
        .gguf = 1, .stacked = 1, .first = (uint64_t)expert, .whole = (uint64_t)h->n_expert};
}

int import_wanted(const struct hparams *h, int i, struct import_want *w)
{
    const unsigned is = true_of(h);
    int kinds = 0, k;
    memset(w, 0, sizeof *w);
    const int n_top = top_tensor(h, i, w);
    if (i < n_top)
        return 1;
    for (k = 0; k < PER_LAYER; k++)
        kinds += (per_layer[k].when & is) == per_layer[k].when;
    const int per = kinds + 3 * h->n_expert, layer = (i - n_top) / per;
    if (layer >= h->n_layer)
        return 0;
    i = (i - n_top) % per;
    if (i >= kinds) {
        expert_tensor(h, layer, i - kinds, w);
        return 1;
    }
    for (k = 0; (per_layer[k].when & is) != per_layer[k].when || i-- > 0; k++)
        ;
    layer_tensor(h, layer, &per_layer[k], w);
    return 1;
}

int import_gguf_name(const char *name, char *out, size_t size, int *expert)
{
    char of[8];
    int layer, used = 0, end = 0;
    *expert = -1;
    for (int k = 0; k < (int)(sizeof top_names / sizeof *top_names); k++)
        if (top_ndim(k) == 2 && strcmp(top_names[k][0], name) == 0)
            return snprintf(out, size, "%s", top_names[k][1]) < (int)size;
    if (sscanf(name, "model.layers.%5d.%n", &layer, &used) != 1 || !used || layer < 0)
        return 0;
    name += used;
    for (int k = 0; k < PER_LAYER; k++)
        if (per_layer[k].ndim == 2 && strcmp(per_layer[k].name, name) == 0)
            return snprintf(out, size, "blk.%d.%s", layer, per_layer[k].gguf) < (int)size;
    if (sscanf(name, "mlp.experts.%5d.%7[a-z]_proj.weight%n", expert, of, &end) == 2 && end &&
        !name[end] && *expert >= 0 &&
        (!strcmp(of, "gate") || !strcmp(of, "up") || !strcmp(of, "down")))
        return snprintf(out, size, "blk.%d.ffn_%s_exps.weight", layer, of) < (int)size;
    *expert = -1;
    return 0;
}
