/* model_lora - adapters beside a model's weights: read, checked against the base, prepared for products */
#include "model_lora.h"
#include "dev.h"
#include "hash.h"
#include "peft.h"
#include <stdlib.h>
#include <string.h>

/* One linear layer that may have adapters. */
struct part {
    const char *name;
    const struct kn_weight *w;   /* NULL: the layer has none of it */
    const struct kn_lora **lora; /* where the layer keeps its adapters */
};

static void parts_of(const struct model *m, int l, struct part part[MODEL_LORA_PARTS])
{
    struct kn_attn *a = &m->layer[l].attn;
    struct kn_ffn *f = &m->layer[l].ffn;
    const int two = !f->gate && f->up; /* c_fc and c_proj */
    const struct part all[MODEL_LORA_PARTS] = {
        {"self_attn.q_proj", a->q, &a->lora_q},
        {"self_attn.k_proj", a->k, &a->lora_k},
        {"self_attn.v_proj", a->v, &a->lora_v},
        {"self_attn.o_proj", a->o, &a->lora_o},
        {"mlp.gate_proj", f->gate, &f->lora_gate},
        {two ? "mlp.c_fc" : "mlp.up_proj", f->up, &f->lora_up},
        {two ? "mlp.c_proj" : "mlp.down_proj", f->down, &f->lora_down}};
    memcpy(part, all, sizeof all);
}

static int nomem(const struct model_adapter *a, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: out of memory", a->path);
}

/* The set frees it. */
static int keep(struct model_lora *s, void *p)
{
    if (s->n_own == s->cap_own) {
        const size_t cap = s->cap_own ? 2 * s->cap_own : 64;
        void **own = realloc(s->own, cap * sizeof *own);
        if (!own)
            return -1;
        s->own = own;
        s->cap_own = cap;
    }
    s->own[s->n_own++] = p;
    return 0;
}

static int weight(struct model_lora *s, const struct model_adapter *a, const struct peft *p,
                  const struct tensor *t, struct kn_weight **w, struct err *e)
{
    float *x = peft_values(p, t, e);
    if (!x)
        return e->code;
    if (keep(s, x) < 0) {
        free(x);
        return nomem(a, e);
    }
    const int rc =
        kn_weight_new(s->m->dev, KN_F32, (int)t->dim[0], (int)t->dim[1], x, KN_W_INFER, w);
    return rc < 0 ? dev_failed(s->m->dev, a->path, rc, e) : 0;
}

/* Magnitudes x become factors of the outputs; a merge computes them alike. */
static int column_factors(const struct model_adapter *a, const struct tensor *base, const float *fa,
                          const float *fb, float *x, struct err *e)
{
    const int n = (int)tensor_rows(base), k = (int)tensor_cols(base);
    float *w = malloc((size_t)k * sizeof *w), *row = malloc((size_t)k * sizeof *row);
    const int ok = w && row;
    for (int i = 0; ok && i < n; i++) {
        tensor_values(base, (size_t)i * (size_t)k, w, (size_t)k);
        peft_row(row, fa, fb, a->rank, i, k);
        x[i] = (float)peft_factor(x[i], w, row, (float)a->scale, k);
    }
    free(w);
    free(row);
    return ok ? 0 : nomem(a, e);
}

/* DoRA's factors of a module, whose A and B are the last two that were kept. */
static int columns(struct model_lora *s, const struct model_adapter *a, const struct peft *p,
                   const struct tensor *base, struct kn_lora *l, struct err *e)
{
    const size_t n = (size_t)tensor_rows(base);
    const struct tensor *t = peft_magnitude(p, base->name, (int)n, e);
    float *x = t ? peft_values(p, t, e) : NULL;
    int rc =
        x ? column_factors(a, base, s->own[s->n_own - 2], s->own[s->n_own - 1], x, e) : e->code;
    if (rc == 0) {
        l->column = kn_plus(s->column, s->column_used * sizeof *x);
        s->column_used += (n + 15) / 16 * 16;
        if ((rc = kn_write(s->m->dev, l->column, x, n * sizeof *x)) < 0)
            rc = dev_failed(s->m->dev, a->path, rc, e);
    }
    free(x);
    return rc;
}

/* Adapter i of one layer's part. */
static int load_part(struct model_lora *s, int i, const struct peft *p, int l,
                     const struct part *part, struct kn_lora *lora, struct err *e)
{
    struct model_adapter *a = &s->v[i];
    struct kn_lora *x = &lora[i];
    char name[TENSOR_NAME];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, part->name);
    const int has = part->w ? peft_has(p, name, part->w->n, part->w->k, e) : 0;
    if (has <= 0)
        return has;
    x->scale = (float)a->scale;
    *part->lora = lora;
    a->modules++;
    struct kn_adapter_width *w = &s->width;
    w->in = part->w->k > w->in ? part->w->k : w->in;
    w->out = part->w->n > w->out ? part->w->n : w->out;
    w->rank = a->rank > w->rank ? a->rank : w->rank;
    w->columns |= a->dora;
    int rc = weight(s, a, p, peft_tensor(p, name, 'A'), &x->a, e);
    if (rc == 0)
        rc = weight(s, a, p, peft_tensor(p, name, 'B'), &x->b, e);
    return rc || !a->dora ? rc : columns(s, a, p, apr_tensor(&s->m->file, name), x, e);
}

/* Every module must have found its layer: the first tensor of the base that has an adapter and is none of those. */
static int all_found(const struct model_lora *s, const struct model_adapter *a,
                     const struct peft *p, struct err *e)
{
    const struct model *m = s->m;
    for (int i = 0; a->modules < p->n_mod && i < m->file.n_tensor; i++) {
        const struct tensor *t = &m->file.tensor[i];
        int known = !peft_tensor(p, t->name, 'A');
        for (int l = 0; !known && l < m->h.n_layer; l++) {
            struct part part[MODEL_LORA_PARTS];
            parts_of(m, l, part);
            for (int k = 0; k < MODEL_LORA_PARTS; k++) {
                char name[TENSOR_NAME];
                snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, part[k].name);
                known |= part[k].w && strcmp(name, t->name) == 0;
            }
        }
        if (!known)
            return err_set(e, ERR_DATA, "%s: an adapter of %s can only be merged (apr-fuse)",
                           a->path, t->name);
    }
    return 0;
}

/* Room for the column factors of all: floats. */
static size_t column_size(const struct peft *p, int n)
{
    size_t sum = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; p[i].dora && k < p[i].s.n_tensor; k++)
            if (p[i].s.tensor[k].ndim == 1)
                sum += (size_t)p[i].s.tensor[k].dim[0] + 16;
    return sum;
}

static int check(const struct model_lora *s, const struct model_adapter *a, const struct peft *p,
                 int other_base, struct err *e)
{
    const struct apr *f = &s->m->file;
    size_t bytes = 0;
    if (!other_base && peft_check_base(p, a->path, apr_weights_id(f), f->path,
                                       "--other-base takes it all the same", e) < 0)
        return e->code;
    for (int i = 0; i < p->s.n_tensor; i++)
        bytes += 2 * (size_t)tensor_count(&p->s.tensor[i]) * sizeof(float);
    return peft_check_names(p, f->tensor, f->n_tensor, e) < 0 ? e->code
                                                              : model_room(a->path, bytes, e);
}

static char *join(const char *dir, const char *file)
{
    const size_t n = strlen(dir) + strlen(file) + 2;
    char *s = malloc(n);
    if (s)
        snprintf(s, n, "%s/%s", dir, file);
    return s;
}

/* "NAME=DIR"; a "/" before the "=" makes it part of a DIR whose last part is the name. */
static int name_of(struct model_lora *s, struct model_adapter *a, const char *spec, struct err *e)
{
    const size_t head = strcspn(spec, "=/");
    const char *dir = spec[head] == '=' ? spec + head + 1 : spec, *from = spec;
    size_t n = head;
    if (dir == spec) {
        size_t end = strlen(spec);
        while (end > 1 && spec[end - 1] == '/')
            end--;
        for (n = 0; n < end && spec[end - n - 1] != '/';)
            n++;
        from = spec + end - n;
    }
    a->name = strndup(from, n);
    a->path = strdup(dir);
    a->config = join(dir, "adapter_config.json");
    a->weights = join(dir, "adapter_model.safetensors");
    if (!a->name || !a->path || !a->config || !a->weights)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!*a->name || !*a->path)
        return err_set(e, ERR_USAGE, "adapter '%s': expected NAME=DIR, or a folder with a name",
                       spec);
    if (model_lora_find(s, a->name) < s->n - 1)
        return err_set(e, ERR_USAGE, "adapter '%s': the name is given twice", a->name);
    return 0;
}

static int open_all(struct model_lora *s, struct peft *p, const char *const *spec, int n,
                    int other_base, struct err *e)
{
    for (int i = 0; i < n; i++) {
        struct model_adapter *a = &s->v[s->n++];
        if (name_of(s, a, spec[i], e) < 0 || peft_open(&p[i], a->path, e) < 0 ||
            check(s, a, &p[i], other_base, e) < 0 || hash_sha256_file(a->weights, a->sha256, e) < 0)
            return e->code;
        a->rank = p[i].rank;
        a->scale = p[i].scale;
        a->dora = p[i].dora;
    }
    return 0;
}

static int load_all(struct model_lora *s, struct peft *p, struct err *e)
{
    const size_t column = column_size(p, s->n), n = (size_t)s->n;
    int rc = column ? kn_alloc(s->m->dev, column * sizeof(float), &s->column) : 0;
    if (rc < 0)
        return dev_failed(s->m->dev, "adapters", rc, e);
    if (column && !kn_host(s->m->dev, s->column))
        return err_set(
            e, ERR_UNAVAILABLE,
            "use_dora: device %s cannot run such an adapter beside the weights; merge it "
            "(apr-fuse)",
            s->m->dev->name);
    for (int l = 0; l < s->m->h.n_layer; l++) {
        struct part part[MODEL_LORA_PARTS];
        parts_of(s->m, l, part);
        for (int k = 0; k < MODEL_LORA_PARTS; k++)
            for (int i = 0; i < s->n; i++)
                if (load_part(s, i, &p[i], l, &part[k],
                              s->layer + ((size_t)l * MODEL_LORA_PARTS + (size_t)k) * n, e) < 0)
                    return e->code;
    }
    for (int i = 0; i < s->n; i++)
        if (all_found(s, &s->v[i], &p[i], e) < 0)
            return e->code;
    return 0;
}

int model_lora_load(struct model_lora *s, struct model *m, const char *const *spec, int n,
                    int other_base, struct err *e)
{
    struct peft *p = calloc((size_t)n + 1, sizeof *p);
    *s = (struct model_lora){.m = m};
    s->v = calloc((size_t)n + 1, sizeof *s->v);
    s->layer = calloc((size_t)m->h.n_layer * MODEL_LORA_PARTS * (size_t)n + 1, sizeof *s->layer);
    int rc = p && s->v && s->layer ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0 && n && (rc = open_all(s, p, spec, n, other_base, e)) == 0 &&
        (rc = load_all(s, p, e)) == 0)
        m->lora = s;
    for (int i = 0; p && i < n; i++)
        peft_close(&p[i]);
    free(p);
    if (rc < 0)
        model_lora_free(s);
    return rc;
}

int model_lora_find(const struct model_lora *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].name, name) == 0)
            return i;
    return -1;
}

void model_lora_names(const struct model_lora *s, char *text, size_t size)
{
    size_t at = 0;
    snprintf(text, size, "none");
    for (int i = 0; s && i < s->n && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i ? ", " : "", s->v[i].name);
}

void model_lora_free(struct model_lora *s)
{
    struct model *m = s->m;
    for (int l = 0; m && s->layer && l < m->h.n_layer; l++) {
        struct part part[MODEL_LORA_PARTS];
        parts_of(m, l, part);
        for (int k = 0; k < MODEL_LORA_PARTS; k++) {
            for (int i = 0; i < s->n; i++) {
                struct kn_lora *x =
                    &s->layer[((size_t)l * MODEL_LORA_PARTS + (size_t)k) * (size_t)s->n +
                              (size_t)i];
                kn_weight_free(m->dev, x->a);
                kn_weight_free(m->dev, x->b);
            }
            *part[k].lora = NULL;
        }
    }
    if (m && s->column.buf)
        kn_free(m->dev, s->column);
    if (m)
        m->lora = NULL;
    for (size_t i = 0; i < s->n_own; i++)
        free(s->own[i]);
    for (int i = 0; s->v && i < s->n; i++) {
        struct model_adapter *a = &s->v[i];
        free(a->name);
        free(a->path);
        free(a->config);
        free(a->weights);
    }
    free(s->own);
    free(s->v);
    free(s->layer);
    *s = (struct model_lora){0};
}

size_t model_lora_bytes(const struct model *m, int max_tok)
{
    return m->lora ? kn_adapter_bytes(max_tok, &m->lora->width) : 0;
}
