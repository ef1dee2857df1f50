/* lora - adapters as one array, their names, and PEFT's folder written */
#include "lora.h"
#include "peft.h"
#include "rng.h"
#include "safetensors.h"
#include <inttypes.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[LORA_WHICH] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                              "gate_proj", "up_proj", "down_proj"};

const char *lora_name(int which)
{
    return names[which];
}

int lora_targets(const char *list, unsigned *targets, struct err *e)
{
    *targets = 0;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        int which = 0;
        while (which < LORA_WHICH && (strlen(names[which]) != n || strncmp(names[which], p, n)))
            which++;
        if (which < LORA_WHICH)
            *targets |= 1u << which;
        else if (n == 3 && strncmp(p, "all", 3) == 0)
            *targets |= (1u << LORA_WHICH) - 1;
        else
            return err_set(e, ERR_USAGE,
                           "unknown target '%.*s', expected all or some of q_proj,k_proj,v_proj,"
                           "o_proj,gate_proj,up_proj,down_proj",
                           (int)n, p);
        p += n;
        p += *p == ',';
    }
    return *targets ? 0 : err_set(e, ERR_USAGE, "no target layers given");
}

/* Names are letters, commas and "_": anything else makes it an expression. */
int lora_select(const char *text, struct lora_conf *c, struct err *e)
{
    regex_t re;
    c->pattern = NULL;
    if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz_,")] == 0)
        return lora_targets(text, &c->targets, e);
    int rc = regcomp(&re, text, REG_EXTENDED | REG_NOSUB);
    if (rc) {
        char why[200];
        regerror(rc, &re, why, sizeof why);
        return err_set(e, ERR_USAGE, "targets '%s': %s", text, why);
    }
    regfree(&re);
    c->pattern = text;
    c->targets = (1u << LORA_WHICH) - 1;
    return 0;
}

/* The modules that a configuration means. */
struct chosen {
    const struct lora_conf *c;
    regex_t re;
    int on; /* re is compiled */
};

static void choose(struct chosen *x, const struct lora_conf *c)
{
    *x = (struct chosen){.c = c};
    x->on = c->pattern && regcomp(&x->re, c->pattern, REG_EXTENDED) == 0;
}

static int is_chosen(const struct chosen *x, int layer, int which)
{
    char name[128];
    regmatch_t m;
    if (!(x->c->targets >> which & 1) || !x->c->pattern)
        return x->c->targets >> which & 1;
    lora_module(layer, which, name, sizeof name);
    /* POSIX takes the longest match: if any is the whole name, this one is */
    return x->on && regexec(&x->re, name, 1, &m, 0) == 0 && m.rm_so == 0 && !name[m.rm_eo];
}

static void choose_end(struct chosen *x)
{
    if (x->on)
        regfree(&x->re);
}

void lora_module(int layer, int which, char *s, size_t size)
{
    snprintf(s, size, "model.layers.%d.%s.%s", layer, which <= LORA_O ? "self_attn" : "mlp",
             names[which]);
}

float lora_scale(const struct lora_conf *c)
{
    return (float)(c->alpha / (c->rslora ? sqrt(c->rank) : c->rank));
}

static void shape(const struct hparams *h, struct lora_mod *m)
{
    int q = h->n_head * h->head_dim, kv = h->n_head_kv * h->head_dim;
    const int in[] = {h->n_embd, h->n_embd, h->n_embd, q, h->n_embd, h->n_embd, h->n_ff};
    const int out[] = {q, kv, kv, h->n_embd, h->n_ff, h->n_ff, h->n_embd};
    m->n_in = in[m->which];
    m->n_out = out[m->which];
}

size_t lora_params(const struct lora_conf *c, const struct hparams *h)
{
    size_t n = 0;
    struct chosen x;
    choose(&x, c);
    for (int i = 0; i < h->n_layer * LORA_WHICH; i++) {
        struct lora_mod m = {.which = i % LORA_WHICH};
        shape(h, &m);
        if (is_chosen(&x, i / LORA_WHICH, m.which))
            n += (size_t)c->rank * ((size_t)m.n_in + (size_t)m.n_out) +
                 (c->dora ? (size_t)m.n_out : 0);
    }
    choose_end(&x);
    return n + (size_t)c->n_class * (size_t)h->n_embd;
}

/* A from its module's own stream, so that a choice of targets changes no other module. */
static int draw(struct lora *l, int n_embd, uint64_t seed, struct err *e)
{
    float *w = calloc(l->p.n ? l->p.n : 1, sizeof *w);
    if (!w)
        return err_set(e, ERR_NOMEM, "adapters: %zu parameters", l->p.n);
    for (int i = 0; i < l->n_mod; i++) {
        const struct lora_mod *m = &l->mod[i];
        char name[128];
        lora_module(m->layer, m->which, name, sizeof name);
        struct rng r = {rng_key(seed, name, 0), 0};
        double bound = 1 / sqrt((double)m->n_in);
        for (size_t k = 0; k < (size_t)l->c.rank * (size_t)m->n_in; k++)
            w[m->a + k] = (float)((2 * rng_next(&r) - 1) * bound);
    }
    struct rng score = {rng_key(seed, "score", 0), 0};
    for (size_t k = 0; k < (size_t)l->c.n_class * (size_t)n_embd; k++)
        w[l->score + k] = (float)(0.02 * rng_normal(&score));
    int rc = kn_write(l->p.dev, l->p.w, w, l->p.n * sizeof *w);
    free(w);
    return rc ? err_set(e, ERR_NOMEM, "adapters: %s", kn_strerror(rc)) : 0;
}

/* Which modules there are, and where their factors lie. */
static int modules(struct lora *l, const struct hparams *h, struct err *e)
{
    const struct lora_conf want = l->c;
    struct chosen x;
    int rc = 0;
    choose(&x, &want);
    if (l->c.n_class > h->n_vocab)
        rc = err_set(e, ERR_DATA, "%d classes: more than the model has tokens", l->c.n_class);
    rc = rc ? rc
            : params_plan(&l->p, (size_t)l->c.n_class * (size_t)h->n_embd, PARAMS_WEIGHT, &l->score,
                          e);
    l->c.targets = 0; /* of them those that occur */
    for (int i = 0; rc == 0 && i < h->n_layer * LORA_WHICH; i++) {
        struct lora_mod *m = &l->mod[l->n_mod];
        char name[128];
        *m = (struct lora_mod){.layer = i / LORA_WHICH, .which = i % LORA_WHICH};
        if (!is_chosen(&x, m->layer, m->which))
            continue;
        shape(h, m);
        lora_module(m->layer, m->which, name, sizeof name);
        if (l->c.rank > (m->n_in < m->n_out ? m->n_in : m->n_out))
            rc = err_set(e, ERR_USAGE, "rank %d is larger than the layer %s (%d, %d)", l->c.rank,
                         name, m->n_out, m->n_in);
        const size_t rank = (size_t)l->c.rank, n_in = (size_t)m->n_in, n_out = (size_t)m->n_out;
        rc = rc ? rc : params_plan(&l->p, rank * n_in, PARAMS_WEIGHT, &m->a, e);
        rc = rc ? rc : params_plan(&l->p, rank * n_out, PARAMS_FAST, &m->b, e);
        rc = rc ? rc : params_plan(&l->p, l->c.dora ? n_out : 0, PARAMS_FAST, &m->mag, e);
        m->out = l->n_mod ? m[-1].out + (size_t)m[-1].n_out : 0;
        l->c.targets |= 1u << m->which;
        l->n_mod++;
    }
    choose_end(&x);
    if (rc == 0 && l->n_mod == 0)
        rc = err_set(e, ERR_USAGE, "targets '%s': no module of the model matches",
                     l->c.pattern ? l->c.pattern : "");
    return rc;
}

int lora_plan(struct params *p, const struct lora_conf *c, const struct hparams *h, struct err *e)
{
    struct lora l = {.c = *c, .n_layer = h->n_layer};
    l.mod = calloc((size_t)h->n_layer * LORA_WHICH, sizeof *l.mod);
    int rc = l.mod ? modules(&l, h, e) : err_set(e, ERR_NOMEM, "adapters");
    free(l.mod);
    *p = l.p;
    return rc;
}

int lora_new(struct lora *l, const struct lora_conf *c, const struct hparams *h, struct kn_dev *dev,
             uint64_t seed, struct err *e)
{
    *l = (struct lora){.c = *c, .scale = lora_scale(c), .n_layer = h->n_layer};
    l->mod = calloc((size_t)h->n_layer * LORA_WHICH, sizeof *l->mod);
    if (!l->mod)
        return err_set(e, ERR_NOMEM, "adapters");
    int rc = modules(l, h, e);
    if (rc || (rc = params_alloc(&l->p, dev, "adapters", e))) {
        lora_free(l);
        return rc;
    }
    const struct lora_mod *last = &l->mod[l->n_mod - 1];
    if (c->dora && kn_alloc(dev, (last->out + (size_t)last->n_out) * sizeof(float), &l->norm)) {
        lora_free(l);
        return err_set(e, ERR_NOMEM, "adapters: norms");
    }
    rc = draw(l, h->n_embd, seed, e);
    if (rc)
        lora_free(l);
    return rc;
}

void lora_free(struct lora *l)
{
    if (l->norm.buf)
        kn_free(l->p.dev, l->norm);
    params_free(&l->p);
    free(l->mod);
    memset(l, 0, sizeof *l);
}

const struct lora_mod *lora_find(const struct lora *l, int layer, int which)
{
    for (int i = 0; i < l->n_mod; i++)
        if (l->mod[i].layer == layer && l->mod[i].which == which)
            return &l->mod[i];
    return NULL;
}

static int save_config(const struct lora *l, const char *dir, const char *base, struct err *e)
{
    const char *target[LORA_WHICH];
    struct peft_config c = {.base = base,
                            .rank = l->c.rank,
                            .rslora = l->c.rslora,
                            .dora = l->c.dora,
                            .alpha = l->c.alpha,
                            .dropout = l->c.dropout,
                            .target = target,
                            .classifies = l->c.n_class > 0,
                            .pattern = l->c.pattern};
    for (int i = 0; i < LORA_WHICH; i++)
        if (l->c.targets >> i & 1)
            target[c.n_target++] = names[i];
    return peft_save_config(dir, &c, e);
}

/* The head, and its classes' names as metadata. */
static int save_head(const struct lora *l, const float *w, struct tensor *t, cJSON *meta,
                     struct err *e)
{
    const size_t first = l->mod[0].a - l->score; /* the head ends where the adapters begin */
    struct json_out j = {0};
    snprintf(t->name, sizeof t->name, "base_model.model.score.weight");
    t->type = KN_F32;
    t->ndim = 2;
    t->dim[0] = (uint64_t)l->c.n_class;
    t->dim[1] = (uint64_t)(first / (size_t)l->c.n_class);
    t->data = w + l->score;
    t->bytes = first * sizeof *w;
    json_begin(&j, '[');
    for (int i = 0; i < l->c.n_class; i++)
        json_str(&j, l->c.label[i]);
    json_end(&j, ']');
    char *text = json_take(&j, NULL);
    const int bad = !text || !cJSON_AddStringToObject(meta, "labels", text);
    free(text);
    return bad ? err_set(e, ERR_NOMEM, "labels") : 0;
}

int lora_save(const struct lora *l, const char *dir, const char *base, uint64_t base_id,
              char *sha256, struct err *e)
{
    char path[4096];
    float *w = malloc((l->p.n ? l->p.n : 1) * sizeof *w);
    struct tensor *t = calloc(3 * (size_t)l->n_mod + 2, sizeof *t);
    cJSON *meta = cJSON_CreateObject();
    int rc = 0, n = 2 * l->n_mod;
    if (!w || !t || !meta || !cJSON_AddStringToObject(meta, "format", "pt"))
        rc = err_set(e, ERR_NOMEM, "%s", dir);
    else if (base_id && (snprintf(path, sizeof path, "%016" PRIx64, base_id),
                         !cJSON_AddStringToObject(meta, "base_weights", path)))
        rc = err_set(e, ERR_NOMEM, "%s", dir);
    else if (kn_read(l->p.dev, w, l->p.w, l->p.n * sizeof *w))
        rc = err_set(e, ERR_SOFTWARE, "adapters cannot be read from %s", l->p.dev->name);
    for (int i = 0; rc == 0 && i < 2 * l->n_mod; i++) {
        const struct lora_mod *m = &l->mod[i / 2];
        char module[128];
        int b = i % 2, rank = l->c.rank;
        lora_module(m->layer, m->which, module, sizeof module);
        snprintf(t[i].name, sizeof t[i].name, "base_model.model.%s.lora_%c.weight", module,
                 b ? 'B' : 'A');
        t[i].type = KN_F32;
        t[i].ndim = 2;
        t[i].dim[0] = (uint64_t)(b ? m->n_out : rank);
        t[i].dim[1] = (uint64_t)(b ? rank : m->n_in);
        t[i].data = w + (b ? m->b : m->a);
        t[i].bytes = (size_t)t[i].dim[0] * (size_t)t[i].dim[1] * sizeof *w;
    }
    for (int i = 0; rc == 0 && l->c.dora && i < l->n_mod; i++, n++) {
        const struct lora_mod *m = &l->mod[i];
        char module[128];
        lora_module(m->layer, m->which, module, sizeof module);
        snprintf(t[n].name, sizeof t[n].name, "base_model.model.%s.lora_magnitude_vector", module);
        t[n].type = KN_F32;
        t[n].ndim = 1;
        t[n].dim[0] = (uint64_t)m->n_out;
        t[n].data = w + m->mag;
        t[n].bytes = (size_t)m->n_out * sizeof *w;
    }
    if (rc == 0 && l->c.n_class)
        rc = save_head(l, w, &t[n++], meta, e);
    if (rc == 0 && (rc = save_config(l, dir, base, e)) == 0) {
        if (snprintf(path, sizeof path, "%s/adapter_model.safetensors", dir) >= (int)sizeof path)
            rc = err_set(e, ERR_CANTCREAT, "%s: path too long", dir);
        else
            rc = safetensors_write(path, t, n, meta, sha256, e);
    }
    cJSON_Delete(meta);
    free(t);
    free(w);
    return rc;
}
