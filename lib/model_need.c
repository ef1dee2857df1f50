/* model_need - what loading a model takes, from names, types and shapes alone */
#include "import.h"
#include "model.h"
#include "model_impl.h"
#include <stdlib.h>
#include <string.h>

/* Floats of all norms and biases, an upper bound (one that is absent is counted). */
size_t model_small_size(const struct hparams *h)
{
    size_t q = model_small_round((size_t)h->n_head * (size_t)h->head_dim);
    size_t kv = model_small_round((size_t)h->n_head_kv * (size_t)h->head_dim);
    size_t embd = model_small_round((size_t)h->n_embd), hd = model_small_round((size_t)h->head_dim);
    size_t more = 2 * embd; /* biases of LayerNorms, or norms after the parts */
    if (h->mlp_bias)
        more += 2 * model_small_round((size_t)h->n_ff) + embd;
    return (size_t)h->n_layer * (3 * embd + q + 2 * kv + 2 * hd + more) + 2 * embd;
}

int model_two_tables(const struct hparams *h)
{
    return h->rope_local_theta != 0;
}

/* Lines of a second table for sequences short enough for longrope's other factors. */
int model_short_lines(const struct hparams *h, int n_ctx)
{
    return h->rope_scaling == ROPE_LONG && n_ctx > h->rope_orig_ctx ? h->rope_orig_ctx : 0;
}

/* of one table */
size_t model_rope_bytes(const struct hparams *h, int n_ctx)
{
    return (size_t)n_ctx * (size_t)hparams_rope_dim(h) * sizeof(float);
}

static size_t sum(size_t a, size_t b)
{
    return size_add(a, b, &a) ? a : SIZE_MAX;
}

/* Types without a kernel of their own are kept in f32 (kernels.h). */
static size_t widened_bytes(const struct tensor *t)
{
    const struct kn_type_info *k = kn_type_info(t->type);
    size_t n;
    if (!k->name || k->block_len == 1 || k->act_block)
        return t->bytes;
    return size_mul((size_t)tensor_count(t), sizeof(float), &n) ? n : SIZE_MAX;
}

static void add_weight(struct model_need *x, const struct tensor *t, const struct hparams *h,
                       const struct kn_dev *dev, int flags)
{
    const int embd = strcmp(t->name, "model.embed_tokens.weight") == 0;
    const struct kn_count before = x->count;
    x->file = sum(x->file, t->bytes);
    if (embd && !h->tied)
        flags &= ~(KN_W_INFER | KN_W_FLOAT);
    kn_count_weight(dev, &x->count, t->type, (int)t->dim[0], (int)t->dim[1], flags);
    if (embd ? h->tied : strcmp(t->name, "lm_head.weight") == 0)
        kn_count_head(&x->count, &before);
    if (embd && !x->count.embeds)
        x->rows = t->bytes;
    if (x->count.weights == before.weights) /* the device reads the file's own bytes */
        x->in_place = sum(x->in_place, t->type == KN_NF4 ? t->bytes : widened_bytes(t));
}

void model_need(struct model_need *x, const struct tensor *t, int n, const struct hparams *h,
                const struct kn_dev *dev, int flags, int n_ctx)
{
    struct import_want w;
    struct tensor key;
    memset(x, 0, sizeof *x);
    /* in the order of loading, which decides how weights share large pages */
    for (int i = 0; import_wanted(h, i, &w); i++) {
        snprintf(key.name, sizeof key.name, "%s", w.name);
        /* n is 0 of a model that is described, not read: bsearch takes no NULL */
        const struct tensor *found =
            n ? bsearch(&key, t, (size_t)n, sizeof *t, tensor_by_name) : NULL;
        if (found && found->ndim == 2 && found->dim[0] <= INT32_MAX && found->dim[1] <= INT32_MAX)
            add_weight(x, found, h, dev, flags);
    }
    x->small = model_small_size(h) * sizeof(float);
    x->rope = model_rope_bytes(h, n_ctx) * (model_two_tables(h) ? 2 : 1) +
              model_rope_bytes(h, model_short_lines(h, n_ctx));
}

size_t model_need_bytes(const struct model_need *x)
{
    return sum(sum(x->count.pages, x->in_place), sum(x->small, x->rope));
}

size_t model_bytes(const struct model *m, int flags)
{
    struct model_need x;
    model_need(&x, m->file.tensor, m->file.n_tensor, &m->h, m->dev, flags, m->n_ctx);
    return model_need_bytes(&x);
}
