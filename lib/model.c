/* model - load a .apr onto a device: every shape checked, every number finite, memory asked for
 * first */
#include "model.h"
#include "model_impl.h"
#include "room.h"
#include "vocab.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int model_room(const char *name, size_t bytes, struct err *e)
{
    const size_t room = room_available("");
    if (bytes > room)
        return err_set(e, ERR_NOMEM, "%s: needs %zu bytes, %zu available", name, bytes, room);
    return 0;
}

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
    return kn_write(m->dev, kn_plus(at, model_rope_bytes(&m->h, from)), table,
                    model_rope_bytes(&m->h, to - from));
}

int model_positions(struct model *m, int n, struct err *e)
{
    const int from = m->n_rope, near = n < m->n_short ? n : m->n_short;
    if (n <= from)
        return 0;
    float *table = malloc(model_rope_bytes(&m->h, n - from));
    int rc = table ? 0 : KN_ENOMEM;
    if (rc == 0 && (rc = fill_rope(m, table, m->rope, 0, m->n_ctx, from, n)) == 0 &&
        model_two_tables(&m->h))
        rc = fill_rope(m, table, m->rope_local, 1, m->n_ctx, from, n);
    if (rc == 0)
        rc = fill_rope(m, table, kn_plus(m->rope, model_rope_bytes(&m->h, m->n_ctx)), 0, m->n_short,
                       from, near);
    free(table);
    if (rc < 0)
        return model_failed(m, "rope table", rc, e);
    m->n_rope = n;
    return 0;
}

static int load_rope(struct model *m, int later, struct err *e)
{
    const size_t bytes = model_rope_bytes(&m->h, m->n_ctx);
    m->n_short = model_short_lines(&m->h, m->n_ctx);
    int rc = kn_alloc(
        m->dev, bytes * (model_two_tables(&m->h) ? 2 : 1) + model_rope_bytes(&m->h, m->n_short),
        &m->rope);
    if (rc < 0)
        return model_failed(m, "rope table", rc, e);
    m->rope_local = model_two_tables(&m->h) ? kn_plus(m->rope, bytes) : m->rope;
    return later ? 0 : model_positions(m, m->n_ctx, e);
}

int model_begin(struct model *m, struct model_small *s, int flags, struct err *e)
{
    *s = (struct model_small){.size = model_small_size(&m->h)};
    int rc = kn_alloc(m->dev, s->size * sizeof(float), &m->small);
    s->host = calloc(s->size, sizeof(float));
    m->layer = calloc((size_t)m->h.n_layer, sizeof *m->layer);
    if (rc < 0 || !s->host || !m->layer)
        return model_failed(m, "norms", rc < 0 ? rc : KN_ENOMEM, e);
    return load_rope(m, flags & MODEL_LATER, e);
}

int model_load_ends(struct model *m, struct model_small *s, int flags, struct err *e)
{
    const struct hparams *h = &m->h;
    int rc;
    /* an embedding that is no head is only looked up: nothing to prepare */
    if ((rc = model_weight(m, &m->embd, "model.embed_tokens.weight", h->n_vocab, h->n_embd,
                           h->tied ? flags : flags & ~(KN_W_INFER | KN_W_FLOAT), e)) < 0)
        return rc;
    m->head = m->embd;
    if (!h->tied) {
        m->head = NULL;
        if ((rc = model_weight(m, &m->head, "lm_head.weight", h->n_vocab, h->n_embd, flags, e)) < 0)
            return rc;
    }
    if ((rc = model_norm(m, s, &m->out_norm, "model.norm.weight", h->n_embd, e)) < 0)
        return rc;
    return hparams_has(h, ARCH_LAYER_NORM)
               ? model_vector(m, s, &m->out_bias, "model.norm.bias", h->n_embd, e)
               : 0;
}

int model_push(const struct model *m, const struct model_small *s, size_t from, struct err *e)
{
    int rc = kn_write(m->dev, kn_plus(m->small, from * sizeof(float)), s->host + from,
                      (s->used - from) * sizeof(float));
    if (rc == 0)
        rc = kn_sync(m->dev); /* the host copy may go now */
    return rc < 0 ? model_failed(m, "norms", rc, e) : 0;
}

static int load_weights(struct model *m, int flags, struct err *e)
{
    struct model_small s = {0};
    int rc = model_begin(m, &s, flags, e);
    flags &= ~MODEL_LATER;
    if (rc == 0)
        rc = model_load_ends(m, &s, flags, e);
    for (int l = 0; l < m->h.n_layer && rc == 0; l++)
        if ((rc = model_load_attn(m, &s, l, flags, e)) == 0)
            rc = model_load_ffn(m, &s, l, flags, e);
    if (rc == 0)
        rc = model_push(m, &s, 0, e);
    free(s.host);
    return rc;
}

static int load_tokenizer(struct model *m, struct err *e)
{
    const int rc = vocab_load(&m->tok, &m->file, &m->h, e);
    m->n_real = m->tok ? bpe_n_vocab(m->tok) : m->h.n_vocab;
    return rc;
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

int model_open(struct model *m, const char *path, struct kn_dev *dev, int n_ctx, struct err *e)
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
    if ((rc = e->code) < 0 || (rc = load_tokenizer(m, e)) < 0)
        goto fail;
    return 0;
fail:
    model_free(m);
    return rc;
}

int model_load(struct model *m, const char *path, struct kn_dev *dev, int flags, int n_ctx,
               struct err *e)
{
    int rc = model_open(m, path, dev, n_ctx, e);
    if (rc < 0)
        return rc;
    if ((rc = model_room(path, model_bytes(m, flags & ~MODEL_LATER), e)) < 0 ||
        (rc = open_weights(m, path, flags, e)) < 0 || (rc = load_weights(m, flags, e)) < 0)
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

void model_free_layer(const struct model *m, struct model_layer *y)
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
    *y = (struct model_layer){.ffn = {.n_ff = 0}};
}

void model_free(struct model *m)
{
    if (m->head != m->embd)
        kn_weight_free(m->dev, m->head);
    kn_weight_free(m->dev, m->embd);
    for (int l = 0; m->layer && l < m->h.n_layer; l++)
        model_free_layer(m, &m->layer[l]);
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
