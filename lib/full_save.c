/* full_save - a trained model as a .apr, compared with its parameters before it gets its name */
#include "dev.h"
#include "full.h"
#include "quant.h"
#include "verify.h"
#include <stdlib.h>
#include <string.h>

struct saving {
    const struct full *f;
    const struct model *m;
    const struct full_weight **of; /* (n) a tensor's parameters; NULL: not trained */
    struct tensor *t, *wide;       /* (n) of the output; of the parameters as they are */
    int n, threads;
};

static int fill_wide(void *arg, int i, void *buf, struct err *e)
{
    const struct saving *s = arg;
    const struct kn_at at = kn_plus(s->f->p.w, s->of[i]->at * sizeof(float));
    const int rc = kn_read(s->m->dev, buf, at, s->wide[i].bytes);
    return rc ? dev_failed(s->m->dev, s->wide[i].name, rc, e) : 0;
}

static int fill(void *arg, int i, void *buf, struct err *e)
{
    const struct saving *s = arg;
    const size_t at = s->of[i]->at * sizeof(float);
    struct tensor x = s->wide[i];
    void *copy = NULL;
    int rc = 0;
    x.data = kn_host(s->m->dev, kn_plus(s->f->p.w, at));
    if (!x.data) { /* it is the device's own */
        x.data = copy = malloc(x.bytes);
        rc = copy ? fill_wide(arg, i, copy, e) : err_set(e, ERR_NOMEM, "%s", x.name);
    }
    if (rc == 0)
        rc = quant_convert(&x, s->t[i].type, buf, s->threads, e);
    free(copy);
    return rc;
}

static void forget(void *arg, const struct tensor *t)
{
    const struct saving *s = arg;
    mapfile_forget(&s->m->file.map, t->data, t->bytes);
}

/* What each tensor is and becomes. */
static int plan(struct saving *s, const char *type, struct err *e)
{
    const struct apr *a = &s->m->file;
    int *to = calloc((size_t)s->n + 1, sizeof *to), rc = 0;
    s->of = calloc((size_t)s->n + 1, sizeof *s->of);
    s->t = calloc((size_t)s->n + 1, sizeof *s->t);
    s->wide = calloc((size_t)s->n + 1, sizeof *s->wide);
    if (!to || !s->of || !s->t || !s->wide)
        rc = err_set(e, ERR_NOMEM, "%d tensors", s->n);
    for (int i = 0; rc == 0 && i < s->n; i++)
        s->t[i] = s->wide[i] = a->tensor[i];
    for (int i = 0; rc == 0 && i < s->f->n; i++) {
        const ptrdiff_t k = s->f->t[i].from - a->tensor;
        struct tensor *x = &s->wide[k];
        s->of[k] = &s->f->t[i];
        x->type = KN_F32;
        x->data = NULL;
        x->bytes = tensor_bytes(KN_F32, x->ndim, x->dim);
    }
    if (rc == 0)
        rc = quant_plan(quant_mix(type), s->wide, s->n, to, e);
    for (int i = 0; rc == 0 && i < s->n; i++) {
        struct tensor *x = &s->t[i];
        if (!s->of[i])
            continue;
        x->type = to[i];
        x->data = NULL;
        if (!tensor_size(to[i], x->ndim, x->dim, &x->bytes))
            rc = err_set(e, ERR_DATA, "tensor %s: its rows do not fit type %s", x->name,
                         tensor_type_name(to[i]));
    }
    free(to);
    return rc;
}

int full_save(const struct full *f, const struct model *m, const char *path, const char *type,
              struct verify *check, char *sha256, struct err *e)
{
    struct saving s = {.f = f, .m = m, .n = m->file.n_tensor, .threads = check->threads};
    struct apr_receipt receipt;
    struct view from = {.n = 0};
    cJSON *meta = apr_derive_meta(m->file.meta, e);
    int rc = meta ? plan(&s, type, e) : e->code;
    verify_begin(check, &receipt);
    if (rc == 0 && (rc = verify_source(check, &receipt, &from, &m->file, e)) == 0) {
        from.t = s.wide;
        from.fill = fill_wide;
        from.forget = forget;
        from.arg = &s;
        rc = apr_write_receipt(path, meta, s.t, s.n, fill, &s, &receipt, sha256, e);
        view_apr_free(&from);
    }
    cJSON_Delete(meta);
    free(s.of);
    free(s.t);
    free(s.wide);
    return rc;
}
