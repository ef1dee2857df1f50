/* random_model - models of random weights in true shapes: the shapes, the plan, the file */
#include "random_model.h"
#include "apr.h"
#include "blocks.h"
#include "bpe_synth.h"
#include "import.h"
#include "verify.h"
#include <stdlib.h>
#include <string.h>

/* From each model's config.json.  n_token: what the tokenizer has; the rows of the embedding beyond it
 * are padding. */
static const struct shape {
    const char *name, *arch;
    int n_embd, n_layer, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_token, n_ctx, tied;
    double rope_theta;
} shapes[] = {
    // clang-format off
    {"qwen2.5-0.5b",   "qwen2",  896, 24, 14, 2,  64,  4864, 151936, 151665,  32768, 1, 1e6},
    {"qwen2.5-1.5b",   "qwen2", 1536, 28, 12, 2, 128,  8960, 151936, 151665,  32768, 1, 1e6},
    {"qwen2.5-3b",     "qwen2", 2048, 36, 16, 2, 128, 11008, 151936, 151665,  32768, 1, 1e6},
    {"qwen2.5-7b",     "qwen2", 3584, 28, 28, 4, 128, 18944, 152064, 151665,  32768, 0, 1e6},
    {"qwen2.5-14b",    "qwen2", 5120, 48, 40, 8, 128, 13824, 152064, 151665,  32768, 0, 1e6},
    {"qwen2.5-32b",    "qwen2", 5120, 64, 40, 8, 128, 27648, 152064, 151665,  32768, 0, 1e6},
    {"qwen3-0.6b",     "qwen3", 1024, 28, 16, 8, 128,  3072, 151936, 151669,  40960, 1, 1e6},
    {"qwen3-1.7b",     "qwen3", 2048, 28, 16, 8, 128,  6144, 151936, 151669,  40960, 1, 1e6},
    {"qwen3-4b",       "qwen3", 2560, 36, 32, 8, 128,  9728, 151936, 151669,  40960, 1, 1e6},
    {"qwen3-8b",       "qwen3", 4096, 36, 32, 8, 128, 12288, 151936, 151669,  40960, 0, 1e6},
    {"tiny-coder-29m", "qwen2",  512,  8,  8, 4,  64,  1536,   8192,   8192,   2048, 1, 1e5},
    // clang-format on
};

static int set_shape(struct random_model *m, const char *name, struct err *e)
{
    const struct shape *s = shapes, *end = shapes + sizeof shapes / sizeof *shapes;
    while (s < end && strcmp(s->name, name))
        s++;
    if (s == end)
        return err_set(e, ERR_USAGE, "shape %s: expected one of %s", name, RANDOM_SHAPES);
    m->h = (struct hparams){.n_layer = s->n_layer,
                            .n_embd = s->n_embd,
                            .n_head = s->n_head,
                            .n_head_kv = s->n_head_kv,
                            .head_dim = s->head_dim,
                            .n_ff = s->n_ff,
                            .n_vocab = s->n_vocab,
                            .n_ctx = s->n_ctx,
                            .rope_theta = s->rope_theta,
                            .rms_eps = 1e-6,
                            .tied = s->tied,
                            .qkv_bias = strcmp(s->arch, "qwen2") == 0,
                            .qk_norm = strcmp(s->arch, "qwen3") == 0,
                            .n_stop = 1,
                            .stop = {s->n_token - 1},
                            .bos = -1,
                            .pad = s->n_token - 3}; /* <|endoftext|>, as Qwen's models have it */
    snprintf(m->h.arch, sizeof m->h.arch, "%s", s->arch);
    return bpe_synth(&m->tok, s->n_token, e);
}

/* Names, shapes and types; quant_plan sees weights of floats, as llama.cpp's quantizer would. */
static int set_tensors(struct random_model *m, const struct quant_mix *mix, struct err *e)
{
    struct import_want w;
    int count = 0, rc, *type;
    while (import_wanted(&m->h, count, &w))
        count++;
    m->t = calloc((size_t)count + 1, sizeof *m->t);
    type = calloc((size_t)count + 1, sizeof *type);
    if (!m->t || !type) {
        free(type);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    for (int i = 0; i < count; i++) {
        import_wanted(&m->h, i, &w);
        m->t[i] = (struct tensor){
            .type = KN_F32, .ndim = w.ndim, .dim = {w.dim[0], w.ndim == 2 ? w.dim[1] : 0}};
        memcpy(m->t[i].name, w.name, sizeof w.name);
    }
    rc = quant_plan(mix, m->t, count, type, e);
    for (int i = 0; i < count && rc == 0; i++) {
        m->t[i].type = type[i];
        m->t[i].bytes = tensor_bytes(type[i], m->t[i].ndim, m->t[i].dim);
    }
    m->n = count;
    free(type);
    return rc;
}

static int add_tokenizer(struct random_model *m, struct err *e)
{
    struct tensor *t = &m->t[m->n];
    size_t size;
    int rc = bpe_save_tables(m->tok, &m->tables, &size, e);
    if (rc < 0)
        return rc;
    *t = (struct tensor){
        .type = TENSOR_U8, .ndim = 1, .dim = {size}, .data = m->tables, .bytes = size};
    snprintf(t->name, sizeof t->name, "%s", APR_TOKENIZER);
    m->n++;
    return 0;
}

static int is_mix(const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = RANDOM_MIXES; *p; p += strcspn(p, "|"), p += *p == '|')
        if (strcspn(p, "|") == n && memcmp(p, name, n) == 0)
            return 1;
    return 0;
}

int random_model_new(struct random_model *m, const char *shape, const char *mix, uint64_t seed,
                     struct err *e)
{
    int rc;
    memset(m, 0, sizeof *m);
    m->seed = seed;
    snprintf(m->name, sizeof m->name, "random %s %s", shape, mix);
    if (!is_mix(mix))
        return err_set(e, ERR_USAGE, "type %s: expected one of %s", mix, RANDOM_MIXES);
    if ((rc = set_shape(m, shape, e)) < 0 || (rc = set_tensors(m, quant_mix(mix), e)) < 0 ||
        (rc = add_tokenizer(m, e)) < 0)
        random_model_free(m);
    return rc;
}

void random_model_free(struct random_model *m)
{
    bpe_free(m->tok);
    free(m->t);
    free(m->tables);
    memset(m, 0, sizeof *m);
}

uint64_t random_model_bytes(const struct random_model *m)
{
    uint64_t n = 0;
    for (int i = 0; i < m->n; i++)
        n += m->t[i].data ? 0 : m->t[i].bytes;
    return n;
}

struct writing {
    const struct random_model *m;
    void (*done)(void *arg, uint64_t bytes);
    void *arg;
    uint64_t bytes;
};

static int fill(void *arg, int i, void *buf, struct err *e)
{
    struct writing *w = arg;
    (void)e;
    random_model_fill(&w->m->t[i], w->m->seed, buf);
    w->bytes += w->m->t[i].bytes;
    if (w->done)
        w->done(w->arg, w->bytes);
    return 0;
}

static cJSON *describe(const struct random_model *m, struct err *e)
{
    cJSON *meta = cJSON_CreateObject(), *derived = NULL;
    if (meta && cJSON_AddStringToObject(meta, "name", m->name) &&
        cJSON_AddStringToObject(meta, "description", "random weights, for measuring speed") &&
        cJSON_AddStringToObject(meta, "chat_format", "chatml") &&
        cJSON_AddNumberToObject(meta, "random_seed", (double)m->seed)) {
        if (hparams_to_meta(&m->h, meta, e) == 0)
            derived = apr_derive_meta(meta, e);
    } else
        err_set(e, ERR_NOMEM, "out of memory");
    cJSON_Delete(meta);
    return derived;
}

int random_model_write(const struct random_model *m, const char *out, char sha256[65],
                       void (*done)(void *arg, uint64_t bytes), void *arg, struct err *e)
{
    struct writing w = {.m = m, .done = done, .arg = arg};
    struct verify none;
    struct apr_receipt receipt = {.look = NULL};
    struct err own = {0};
    cJSON *meta;
    int rc;
    if (!e)
        e = &own;
    if (!(meta = describe(m, e)))
        return e->code;
    verify_none(&none, "random weights, which have no source");
    memcpy(receipt.text, none.text, sizeof receipt.text);
    rc = apr_write_receipt(out, meta, m->t, m->n, fill, &w, &receipt, sha256, e);
    cJSON_Delete(meta);
    return rc;
}
