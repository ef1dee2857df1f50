/* tiny_model.h - a llama of two layers with random weights and the built-in model's tokenizer, for
 * tests
 *
 * What it says is noise, but the same noise every time. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H
#include "apr.h"
#include "bpe.h"
#include "gguf.h"
#include "hparams.h"
#include "rng.h"
#include <stdlib.h>
#include <string.h>

enum { LAYERS = 2, EMBD = 64, HEADS = 2, KV = 1, HD = 32, FF = 96, CTX = 160 };

static void tiny_add(struct tensor *t, int *n, const char *name, int rows, int cols, struct rng *r)
{
    struct tensor *x = &t[(*n)++];
    size_t size = (size_t)rows * (size_t)(cols ? cols : 1);
    float *v = malloc(size * sizeof *v);
    memset(x, 0, sizeof *x);
    snprintf(x->name, sizeof x->name, "%s", name);
    x->type = KN_F32;
    x->ndim = cols ? 2 : 1;
    x->dim[0] = (uint64_t)rows;
    x->dim[1] = (uint64_t)cols;
    x->bytes = size * sizeof *v;
    for (size_t i = 0; i < size; i++)
        v[i] = cols ? 0.1f * (float)rng_normal(r) : 1;
    x->data = v;
}

/* Write it. change (may be NULL) may alter tensors and hyper-parameters before. */
static int tiny_model(const char *path, void (*change)(struct tensor *t, int *n, struct hparams *h),
                      struct err *e)
{
    static const char *const parts[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    static const int shape[][2] = {{HEADS * HD, EMBD}, {KV * HD, EMBD}, {KV * HD, EMBD},
                                   {EMBD, HEADS * HD}, {FF, EMBD},      {FF, EMBD},
                                   {EMBD, FF}};
    struct tensor t[64];
    struct rng r = {.key = 7};
    struct gguf g;
    struct bpe *b;
    void *tables;
    size_t bytes;
    int n = 0;
    char name[100];
    if (gguf_open(&g, TOP "/data/models/tiny-coder-29m-Q8_0.gguf", e) < 0 ||
        bpe_load_gguf(&b, &g, e) < 0 || bpe_save_tables(b, &tables, &bytes, e) < 0)
        return e->code;
    struct hparams h = {.arch = "llama",
                        .n_layer = LAYERS,
                        .n_embd = EMBD,
                        .n_head = HEADS,
                        .n_head_kv = KV,
                        .head_dim = HD,
                        .n_ff = FF,
                        .n_vocab = bpe_n_vocab(b),
                        .n_ctx = CTX,
                        .rope_theta = 1e4,
                        .rms_eps = 1e-5,
                        .tied = 1,
                        .n_stop = 1,
                        .stop = {8186},
                        .bos = -1,
                        .pad = -1};
    cJSON *meta = cJSON_CreateObject();
    tiny_add(t, &n, "model.embed_tokens.weight", h.n_vocab, EMBD, &r);
    tiny_add(t, &n, "model.norm.weight", EMBD, 0, &r);
    for (int l = 0; l < LAYERS; l++) {
        snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", l);
        tiny_add(t, &n, name, EMBD, 0, &r);
        snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", l);
        tiny_add(t, &n, name, EMBD, 0, &r);
        for (int i = 0; i < 7; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[i]);
            tiny_add(t, &n, name, shape[i][0], shape[i][1], &r);
        }
    }
    t[n] = (struct tensor){.name = APR_TOKENIZER,
                           .type = TENSOR_U8,
                           .ndim = 1,
                           .dim = {bytes},
                           .data = tables,
                           .bytes = bytes};
    n++;
    void *mine[64];
    int n_mine = n;
    for (int i = 0; i < n; i++)
        mine[i] = (void *)(uintptr_t)t[i].data;
    if (change)
        change(t, &n, &h);
    int rc = hparams_to_meta(&h, meta, e);
    if (rc == 0)
        rc = apr_write(path, meta, t, n, NULL, NULL, NULL, e);
    for (int i = 0; i < n_mine; i++)
        free(mine[i]);
    cJSON_Delete(meta);
    bpe_free(b);
    gguf_close(&g);
    return rc;
}

#endif
