/* bpe_gguf - the tokenizer.ggml.* keys of a GGUF file as byte-level or SentencePiece BPE
 *
 * GGUF does not say whether text is normalized: the Qwen2 family's tokenizer.json has NFC,
 * Llama-3's has nothing, so the pre-tokenizer's name decides. */
#include "bpe_impl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names as llama.cpp's src/llama-vocab.cpp groups them. */
static const struct {
    const char *name;
    uint32_t pretok, flags;
} pre[] = {
    {"qwen2", PRETOK_QWEN, BPE_F_NFC},
    {"deepseek-r1-qwen", PRETOK_QWEN, BPE_F_NFC}, /* R1 distilled into Qwen2.5 */
    {"llama-bpe", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"llama3", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"llama-v3", PRETOK_LLAMA3, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"dbrx", PRETOK_LLAMA3, 0}, /* cl100k: Phi-4 */
    {"gpt-2", PRETOK_GPT2, 0},
    {"phi-2", PRETOK_GPT2, 0},
    {"gpt-4o", PRETOK_GPT4O, 0},
    {"gpt-4o", PRETOK_GPT4O, BPE_F_IGNORE_MERGES}, /* merges lead to every token: the same ids */
    {"tekken", PRETOK_TEKKEN, BPE_F_IGNORE_MERGES | BPE_F_ADD_BOS},
    {"starcoder", PRETOK_STARCODER, 0},
    {"smollm", PRETOK_STARCODER, 0},
    {"refact", PRETOK_STARCODER, 0}, /* Granite's code models */
    {"deepseek-llm", PRETOK_DEEPSEEK_LLM, 0},
    {"deepseek-coder", PRETOK_DEEPSEEK_CODER, 0},
    {"deepseek-v3", PRETOK_DEEPSEEK3, 0},
};

/* The first name of the table that says as much as GGUF can about b. */
const char *bpe_gguf_pre(const struct bpe *b, int *loses)
{
    const uint32_t all = BPE_F_NFC | BPE_F_IGNORE_MERGES; /* BOS has a key of its own */
    const char *near = NULL;
    for (size_t i = 0; i < sizeof pre / sizeof *pre; i++) {
        uint32_t differ = (pre[i].flags ^ b->head->flags) & all;
        if (pre[i].pretok != b->head->pretok || (differ & BPE_F_IGNORE_MERGES))
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
    const int chars = w->head.flags & BPE_F_CHARS;
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
        const double v = type ? gguf_elem(type, i) : BPE_GGUF_NORMAL;
        int t = v >= 0 && v < 256 ? (int)v : 0, kind; /* 0: as llama.cpp's "undefined" */
        char pad[40];
        snprintf(pad, sizeof pad, "[PAD%llu]", (unsigned long long)i);
        if (t == BPE_GGUF_UNUSED || (t != BPE_GGUF_NORMAL && is(s, pad)))
            continue; /* rows that only fill the embedding up */
        long n = -1;
        if (t == BPE_GGUF_CONTROL)
            kind = BPE_K_LITERAL | BPE_K_ADDED | BPE_K_SPECIAL;
        else if (t == BPE_GGUF_USER)
            kind = BPE_K_LITERAL | BPE_K_ADDED;
        else if (chars && t == BPE_GGUF_UNKNOWN)
            kind = BPE_K_LITERAL | BPE_K_ADDED | BPE_K_SPECIAL;
        else if (chars)
            kind = t == BPE_GGUF_BYTE ? BPE_K_BYTES | BPE_K_BYTE : BPE_K_BYTES;
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

/* The id of a token, -1: none. */
static int32_t token_id(const struct bpe_build *w, const struct gguf *g, const char *key,
                        struct err *e)
{
    const int32_t id = gguf_id(g, key, (int)w->head.n_id, e);
    if (id < 0 || w->kind[id])
        return id;
    err_set(e, ERR_DATA, "%s: %s: %d is a row without a token", g->path, key, (int)id);
    return -1;
}

/* The row of tokenizer.ggml.pre, or ERR_DATA. */
static int pre_of(const struct gguf *g, struct err *e)
{
    const struct gguf_str *name = gguf_string(g, "tokenizer.ggml.pre");
    size_t k = 0;
    while (k < sizeof pre / sizeof *pre && !(name && is(name, pre[k].name)))
        k++;
    if (k == sizeof pre / sizeof *pre)
        return err_set(e, ERR_DATA, "%s: tokenizer.ggml.pre: pre-tokenizer %.*s is not supported",
                       g->path, name ? (int)(name->n < 60 ? name->n : 60) : 4,
                       name ? name->p : "none");
    return (int)k;
}

/* Of a SentencePiece model: one number for each token. */
static int scores(struct bpe_build *w, const struct gguf *g, struct err *e)
{
    const struct gguf_kv *kv = gguf_find(g, "tokenizer.ggml.scores");
    uint32_t n = w->head.n_id;
    if (!kv || kv->type != GGUF_ARRAY || kv->elem == GGUF_STRING || kv->elem == GGUF_ARRAY ||
        kv->n < n)
        return err_set(e, ERR_DATA, "%s: tokenizer.ggml.scores: expected a number for each token",
                       g->path);
    if (!(w->score = malloc(((size_t)n + 1) * sizeof *w->score)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", g->path);
    for (uint32_t i = 0; i < n; i++)
        if (!isfinite(w->score[i] = gguf_elem(kv, i)))
            return err_set(e, ERR_DATA, "%s: tokenizer.ggml.scores: number %u is not finite",
                           g->path, i);
    w->n_score = n;
    return spm_build_merges(w, e);
}

/* The last steps of both kinds: ids of special tokens. add: whether bos comes first by default. */
static int specials(struct bpe_build *w, const struct gguf *g, int add, struct err *e)
{
    w->head.bos = token_id(w, g, "tokenizer.ggml.bos_token_id", e);
    w->head.eos = token_id(w, g, "tokenizer.ggml.eos_token_id", e);
    if (gguf_num(g, "tokenizer.ggml.add_bos_token", add, e) != 0 && w->head.bos >= 0)
        w->head.flags |= BPE_F_ADD_BOS;
    else
        w->head.flags &= ~(uint32_t)BPE_F_ADD_BOS;
    return e->code;
}

/* "llama": SentencePiece BPE */
static int load_chars(struct bpe_build *w, const struct gguf *g, struct err *e)
{
    int rc;
    w->head.flags = BPE_F_CHARS | BPE_F_SPACES | BPE_F_FALLBACK | BPE_F_FUSE_UNK;
    if (gguf_num(g, "tokenizer.ggml.add_space_prefix", 1, e) != 0)
        w->head.flags |= BPE_F_PREPEND | BPE_F_STRIP;
    if ((rc = tokens(w, g, e)) || (rc = scores(w, g, e)))
        return rc;
    w->head.unk = (uint32_t)token_id(w, g, "tokenizer.ggml.unknown_token_id", e) + 1;
    return specials(w, g, 1, e);
}

static int load_bytes(struct bpe_build *w, const struct gguf *g, struct err *e)
{
    int k = pre_of(g, e), rc;
    if (k < 0)
        return k;
    w->head.pretok = pre[k].pretok;
    w->head.flags = pre[k].flags;
    if ((rc = tokens(w, g, e)) || (rc = merges(w, g, e)))
        return rc;
    return specials(w, g, (pre[k].flags & BPE_F_ADD_BOS) != 0, e);
}

int bpe_load_gguf(struct bpe **b, const struct gguf *g, struct err *e)
{
    struct bpe_build w = {.where = g->path, .head = {.bos = -1, .eos = -1}};
    const struct gguf_str *model = gguf_string(g, "tokenizer.ggml.model");
    struct err own = {0};
    int rc;
    if (!e)
        e = &own;
    *b = NULL;
    if (model && is(model, "gpt2"))
        rc = load_bytes(&w, g, e);
    else if (model && is(model, "llama"))
        rc = load_chars(&w, g, e);
    else
        return err_set(e, ERR_DATA,
                       "%s: tokenizer.ggml.model: expected gpt2 (byte-level BPE) or llama "
                       "(SentencePiece BPE), found %.*s",
                       g->path, model ? (int)(model->n < 60 ? model->n : 60) : 4,
                       model ? model->p : "none");
    if (!rc)
        rc = bpe_build_attach(&w, b, e);
    bpe_build_free(&w);
    return rc;
}
