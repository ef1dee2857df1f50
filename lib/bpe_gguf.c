/* bpe_gguf - the tokenizer.ggml.* keys of a GGUF file as byte-level BPE
 *
 * GGUF does not say whether text is normalized: the Qwen2 family's tokenizer.json has NFC,
 * Llama-3's has nothing, so the pre-tokenizer's name decides. */
#include "bpe_impl.h"
#include <stdio.h>
#include <string.h>

/* Names as llama.cpp's src/llama-vocab.cpp groups them. */
static const struct {
    const char *name;
    enum pretok pretok;
    uint32_t flags;
} pre[] = {
    {"qwen2", PRETOK_QWEN, BPE_F_NFC},
    {"deepseek-r1-qwen", PRETOK_QWEN, BPE_F_NFC}, /* R1 distilled into Qwen2.5 */
    {"llama-bpe", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"llama3", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"llama-v3", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"dbrx", PRETOK_LLAMA3, 0}, /* cl100k: Phi-4 */
};

/* The first name of the table that says as much as GGUF can about b. */
const char *bpe_gguf_pre(const struct bpe *b, int *loses)
{
    const uint32_t all = BPE_F_NFC | BPE_F_IGNORE_MERGES; /* BOS has a key of its own */
    const char *near = NULL;
    for (size_t i = 0; i < sizeof pre / sizeof *pre; i++) {
        uint32_t differ = (pre[i].flags ^ b->head->flags) & all;
        if ((uint32_t)pre[i].pretok != b->head->pretok || (differ & BPE_F_IGNORE_MERGES))
            continue;
        if (!differ)
            return pre[i].name;
        if (!near)
            near = pre[i].name;
    }
    *loses |= near != NULL;
    return near;
}

static int is(const struct gguf_str *s, const char *text)
{
    return s->n == strlen(text) && memcmp(s->p, text, s->n) == 0;
}

static int strings(const struct gguf *g, const char *key, const struct gguf_kv **kv, struct err *e)
{
    *kv = gguf_find(g, key);
    if (!*kv)
        return err_set(e, ERR_DATA, "%s: no %s", g->path, key);
    if ((*kv)->type != GGUF_ARRAY || (*kv)->elem != GGUF_STRING)
        return err_set(e, ERR_DATA, "%s: %s: expected an array of strings", g->path, key);
    return 0;
}

static int tokens(struct bpe_build *w, const struct gguf *g, struct err *e)
{
    const struct gguf_kv *list, *type = gguf_find(g, "tokenizer.ggml.token_type");
    char raw[1 << 16];
    int rc = strings(g, "tokenizer.ggml.tokens", &list, e);
    if (rc)
        return rc;
    if (type && (type->type != GGUF_ARRAY || type->elem == GGUF_STRING ||
                 type->elem == GGUF_ARRAY || type->n != list->n))
        return err_set(e, ERR_DATA,
                       "%s: tokenizer.ggml.token_type: expected %llu numbers, found %llu", g->path,
                       (unsigned long long)list->n, (unsigned long long)type->n);
    for (uint64_t i = 0; i < list->n; i++) {
        const struct gguf_str *s = &list->strs[i];
        int t = type ? (int)gguf_elem(type, i) : BPE_GGUF_NORMAL, kind;
        char pad[40];
        snprintf(pad, sizeof pad, "[PAD%llu]", (unsigned long long)i);
        if (t == BPE_GGUF_UNUSED || (t != BPE_GGUF_NORMAL && is(s, pad)))
            continue; /* rows that only fill the embedding up */
        long n = -1;
        if (t == BPE_GGUF_CONTROL)
            kind = BPE_K_LITERAL | BPE_K_ADDED | BPE_K_SPECIAL;
        else if (t == BPE_GGUF_USER)
            kind = BPE_K_LITERAL | BPE_K_ADDED;
        else if (s->n <= sizeof raw && (n = bpe_unmap(s->p, s->n, raw)) >= 0)
            kind = BPE_K_BYTES;
        else
            kind = BPE_K_LITERAL;
        if ((rc = bpe_build_token(w, (long)i, n >= 0 ? raw : s->p, n >= 0 ? (size_t)n : s->n, kind,
                                  e)))
            return rc;
    }
    return bpe_build_tokens(w, e);
}

static int merges(struct bpe_build *w, const struct gguf *g, struct err *e)
{
    const struct gguf_kv *list;
    int rc = strings(g, "tokenizer.ggml.merges", &list, e);
    for (uint64_t i = 0; !rc && i < list->n; i++) {
        const struct gguf_str *s = &list->strs[i];
        const char *space = memchr(s->p, ' ', s->n);
        size_t a = space ? (size_t)(space - s->p) : 0;
        if (!space)
            rc = err_set(e, ERR_DATA, "%s: merge %llu: expected two parts", g->path,
                         (unsigned long long)i);
        else
            rc = bpe_build_merge(w, s->p, a, space + 1, s->n - a - 1, e);
    }
    if (!rc && !w->head.n_merge)
        rc = err_set(e, ERR_DATA, "%s: tokenizer.ggml.merges: expected at least one, found none",
                     g->path);
    return rc;
}

static int32_t token_id(const struct bpe_build *w, const struct gguf *g, const char *key,
                        struct err *e)
{
    double d = gguf_num(g, key, -1, e);
    return d >= 0 && d < w->head.n_id && w->kind[(uint32_t)d] ? (int32_t)d : -1;
}

int bpe_load_gguf(struct bpe **b, const struct gguf *g, struct err *e)
{
    struct bpe_build w = {.where = g->path, .head = {.bos = -1, .eos = -1}};
    const struct gguf_str *model = gguf_string(g, "tokenizer.ggml.model");
    const struct gguf_str *name = gguf_string(g, "tokenizer.ggml.pre");
    size_t k = 0;
    int rc;
    *b = NULL;
    if (!model || !is(model, "gpt2"))
        return err_set(
            e, ERR_DATA, "%s: tokenizer.ggml.model: expected gpt2 (byte-level BPE), found %.*s",
            g->path, model ? (int)(model->n < 60 ? model->n : 60) : 4, model ? model->p : "none");
    while (k < sizeof pre / sizeof *pre && !(name && is(name, pre[k].name)))
        k++;
    if (k == sizeof pre / sizeof *pre)
        return err_set(e, ERR_DATA, "%s: tokenizer.ggml.pre: pre-tokenizer %.*s is not supported",
                       g->path, name ? (int)(name->n < 60 ? name->n : 60) : 4,
                       name ? name->p : "none");
    w.head.pretok = pre[k].pretok;
    w.head.flags = pre[k].flags;
    if (!(rc = tokens(&w, g, e)) && !(rc = merges(&w, g, e))) {
        w.head.bos = token_id(&w, g, "tokenizer.ggml.bos_token_id", e);
        w.head.eos = token_id(&w, g, "tokenizer.ggml.eos_token_id", e);
        double add =
            gguf_num(g, "tokenizer.ggml.add_bos_token", (pre[k].flags & BPE_F_ADD_BOS) != 0, e);
        w.head.flags = add != 0 && w.head.bos >= 0 ? w.head.flags | BPE_F_ADD_BOS
                                                   : w.head.flags & ~(uint32_t)BPE_F_ADD_BOS;
        rc = e && e->code ? e->code : bpe_build_attach(&w, b, e);
    }
    bpe_build_free(&w);
    return rc;
}
