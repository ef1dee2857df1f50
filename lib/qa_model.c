/* qa_model - gates on the file: can it run here, are its tensors and its numbers what they should be */
#include "arch.h"
#include "chat_model.h"
#include "import.h"
#include "qa_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The heads of models that classify; not of those that import.h knows. */
static const char *const heads[] = {"score.weight", "classifier.weight", NULL};

static int is_head(const char *name)
{
    for (const char *const *h = heads; *h; h++)
        if (strcmp(name, *h) == 0)
            return 1;
    return 0;
}

/* Everything that the model asks for is there on this device: it loads, and its chat template renders. */
void qa_capability(struct qa_job *j, struct qa_gate *g)
{
    struct err e = {0};
    char types[120] = "";
    int seen[256] = {0}, n = 0;
    size_t at = 0;
    if (!j->loaded) {
        qa_say(g, QA_FAIL, "%s", j->load.msg);
        return;
    }
    for (int i = 0; i < j->file.n_tensor; i++) {
        const struct tensor *t = &j->file.tensor[i];
        if (t->ndim == 2 && t->type >= 0 && t->type < 256 && !seen[t->type]++ && at < sizeof types)
            at += (size_t)snprintf(types + at, sizeof types - at, "%s%s", n++ ? ", " : "",
                                   tensor_type_name(t->type));
    }
    if (!j->m.tok) {
        qa_say(g, QA_FAIL, "the file has no tokenizer: nothing can be asked of it");
        return;
    }
    struct chat *c = NULL;
    float *x = NULL;
    int32_t *ids = NULL;
    int n_tok;
    if (model_has_chat(&j->m) && model_chat(&c, &j->m, &e) < 0) {
        qa_say(g, QA_FAIL, "chat template: %s", e.msg);
        return;
    }
    chat_free(c);
    if (qa_logits(&j->m, QA_PROMPT, &x, &ids, &n_tok, &e) < 0) {
        qa_say(g, QA_FAIL, "a step: %s", e.msg);
        return;
    }
    free(x);
    free(ids);
    qa_say(g, QA_PASS, "%s on %s: weights of %s, %s", j->h.arch, j->dev->name, types,
           model_has_chat(&j->m) ? "its chat template renders" : "no chat template");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Every tensor of the architecture with its shape, finite, and no other; the checksums hold. */
void qa_contract(struct qa_job *j, struct qa_gate *g)
{
    struct import_want w;
    struct err e = {0};
    int n = 0;
    if (apr_verify(&j->file, &e) < 0) {
        qa_say(g, QA_FAIL, "%s", e.msg);
        return;
    }
    while (import_wanted(&j->h, n, &w))
        n++;
    char(*names)[sizeof w.name] = calloc((size_t)n + 1, sizeof *names);
    for (int i = 0; names && i < n && e.code == 0; i++) {
        import_wanted(&j->h, i, &w);
        const struct tensor *t = apr_tensor(&j->file, w.name);
        memcpy(names[i], w.name, sizeof w.name);
        if (import_check(&w, w.name, t, "is no weight", &e) == 0)
            mapfile_forget(&j->file.map, t->data, t->bytes);
    }
    if (names)
        qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; names && i < j->file.n_tensor && e.code == 0; i++) {
        const char *name = j->file.tensor[i].name;
        /* an o_proj bias may be there without a key (Qwen's older files) */
        if (strcmp(name, APR_TOKENIZER) && !is_head(name) && !strstr(name, ".o_proj.bias") &&
            !bsearch(name, names, (size_t)n, sizeof *names, by_name))
            err_set(&e, ERR_DATA, "tensor %s: %s has none of that name", name, j->h.arch);
    }
    free(names);
    if (!names)
        qa_say(g, QA_FAIL, "out of memory");
    else if (e.code)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else
        qa_say(g, QA_PASS, "%d tensors with their shapes, finite; checksums hold", n);
    g->value = g->threshold = n;
    if (g->status == QA_FAIL)
        g->value = NAN;
    g->unit = "tensors";
}

static const struct qa_range *range_of(const struct qa_conf *c, const char *arch)
{
    const struct qa_range *any = NULL;
    for (int i = 0; i < c->n_theta; i++)
        if (!c->theta[i].arch)
            any = &c->theta[i];
        else if (strcmp(c->theta[i].arch, arch) == 0)
            return &c->theta[i];
    return any;
}

/* Numbers that a converter loses or invents: the RoPE base, the context, epsilon, stop ids, vocabulary. */
void qa_metadata(struct qa_job *j, struct qa_gate *g)
{
    const struct qa_conf *c = j->c;
    const struct hparams *h = &j->h;
    const struct qa_range *r = range_of(c, h->arch);
    struct err e = {0};
    if (hparams_check(h, &e) < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else if (!r)
        qa_say(g, QA_FAIL,
               "no plausible RoPE base is known for %s: a line of metadata_plausibility", h->arch);
    else if (!(h->rope_theta >= r->min && h->rope_theta <= r->max))
        qa_say(g, QA_FAIL, "rope_theta %g: %s has %g to %g", h->rope_theta, h->arch, r->min,
               r->max);
    else if (h->n_ctx < c->min_ctx || h->n_ctx > c->max_ctx)
        qa_say(g, QA_FAIL, "%d positions: expected %g to %g", h->n_ctx, c->min_ctx, c->max_ctx);
    else if (!(h->rms_eps >= c->min_eps && h->rms_eps <= c->max_eps))
        qa_say(g, QA_FAIL, "rms_norm_eps %g: expected %g to %g", h->rms_eps, c->min_eps,
               c->max_eps);
    else if (j->loaded && j->m.tok &&
             h->n_vocab - bpe_n_vocab(j->m.tok) > c->max_padding * h->n_vocab)
        qa_say(g, QA_FAIL,
               "%d rows of the embedding for %d tokens: more than %g of them are padding",
               h->n_vocab, bpe_n_vocab(j->m.tok), c->max_padding);
    else if (!h->n_stop)
        qa_say(g, QA_FAIL, "no stop id: answers would never end");
    else
        qa_say(g, QA_PASS, "%s: RoPE base %g, %d positions, epsilon %g, %d stop ids", h->arch,
               h->rope_theta, h->n_ctx, h->rms_eps, h->n_stop);
    for (int i = 0; g->status == QA_PASS && j->loaded && i < h->n_stop; i++)
        if (h->stop[i] < 0 || h->stop[i] >= j->m.n_real)
            qa_say(g, QA_FAIL, "stop id %d is no token", (int)h->stop[i]);
}

/* Of a model that classifies: labels by width, finite, no label without a weight. */
void qa_classifier(struct qa_job *j, struct qa_gate *g)
{
    const struct tensor *t = NULL;
    struct err e = {0};
    for (const char *const *h = heads; *h && !t; h++)
        t = apr_tensor(&j->file, *h);
    if (!t) {
        qa_say(g, j->o->classifier ? QA_FAIL : QA_SKIP,
               "the model has no classifier head (score.weight)");
        return;
    }
    const long labels =
        json_get_int(j->file.meta, "num_labels", t->ndim == 2 ? (long)t->dim[0] : 0, &e);
    if (e.code || t->ndim != 2 || t->dim[1] != (uint64_t)j->h.n_embd || t->dim[0] < 2 ||
        labels != (long)t->dim[0] || !tensor_is_weight(t->type)) {
        char shape[100];
        qa_say(g, QA_FAIL, "%s: %s %s: expected at least 2 labels (num_labels %ld) by %d", t->name,
               tensor_type_name(t->type), tensor_shape(t, shape, sizeof shape), labels,
               j->h.n_embd);
        return;
    }
    const int64_t bad = tensor_not_finite(t);
    const size_t cols = (size_t)t->dim[1];
    float *x = malloc(cols * sizeof *x);
    long empty = -1;
    for (uint64_t r = 0; x && bad < 0 && r < t->dim[0] && empty < 0; r++) {
        double sum = 0;
        tensor_values(t, r * cols, x, cols);
        for (size_t i = 0; i < cols; i++)
            sum += (double)x[i] * x[i];
        empty = sum > 0 ? -1 : (long)r;
    }
    if (!x || bad >= 0 || empty >= 0)
        qa_say(g, QA_FAIL,
               bad >= 0 ? "%s: element %ld is not finite" : "%s: label %ld has no weights", t->name,
               bad >= 0 ? (long)bad : empty);
    else
        qa_say(g, QA_PASS, "%s: %ld labels by %d, finite, none empty", t->name, labels,
               j->h.n_embd);
    free(x);
}
