/* timeplan - one layer of a model's shapes, trained by the clock */
#include "timeplan.h"
#include "backward.h"
#include "clock.h"
#include "dev.h"
#include "full.h"
#include "model_impl.h"
#include "optim.h"
#include <stdlib.h>
#include <string.h>

struct probe {
    struct model m; /* of one layer */
    struct model_small small;
    struct lora l; /* or */
    struct full f;
    struct params *params; /* of one of the two */
    struct backward b;
    int rows, n_label;
    int32_t *ids, *doc, *label;
};

static void forget(void *arg, const struct tensor *t)
{
    (void)arg, (void)t; /* nothing is mapped */
}

/* Of the tensors those of the ends and the first layer, every byte FILL: a finite number of moderate size in all types. */
enum { FILL = 0x3c };
static int shapes(struct probe *p, const struct tensor *tensor, int n, struct err *e)
{
    static const char first[] = "model.layers.0.", all[] = "model.layers.";
    struct apr *f = &p->m.file;
    size_t bytes = 0;
    f->tensor = calloc((size_t)n + 1, sizeof *f->tensor);
    if (!f->tensor)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        struct tensor *t = &f->tensor[f->n_tensor];
        *t = tensor[i];
        if (strncmp(t->name, all, sizeof all - 1) == 0 &&
            strncmp(t->name, first, sizeof first - 1) != 0)
            continue;
        if (strcmp(t->name, "model.embed_tokens.weight") == 0 ||
            strcmp(t->name, "lm_head.weight") == 0)
            t->dim[0] = (uint64_t)p->m.h.n_vocab;
        t->bytes = tensor_bytes(t->type, t->ndim, t->dim);
        t->data = NULL;
        f->n_tensor++;
        bytes += t->bytes;
    }
    int rc = model_room("one layer to be measured", bytes, e);
    for (int i = 0; rc == 0 && i < f->n_tensor; i++)
        if ((f->tensor[i].data = malloc(f->tensor[i].bytes + 1)))
            memset((void *)(uintptr_t)f->tensor[i].data, FILL, f->tensor[i].bytes);
        else
            rc = err_set(e, ERR_NOMEM, "one layer to be measured: out of memory");
    return rc;
}

static int load(struct probe *p, const struct timeplan_conf *c, struct err *e)
{
    const int flags = KN_W_TRAIN | (c->mixed && !c->full ? KN_W_MIXED : 0);
    struct model *m = &p->m;
    if (model_begin(m, &p->small, 0, e) < 0 || model_load_ends(m, &p->small, flags, e) < 0 ||
        model_load_attn(m, &p->small, 0, flags, e) < 0 ||
        model_load_ffn(m, &p->small, 0, flags, e) < 0 || model_push(m, &p->small, 0, e) < 0)
        return e->code;
    m->n_real = m->h.n_vocab;
    struct lora_conf lora = c->lora;
    struct lora *l = c->full ? NULL : &p->l;
    lora.n_class = 0;
    lora.pattern = NULL; /* it may choose none of this layer's modules */
    p->params = c->full ? &p->f.p : &p->l.p;
    if (c->full ? full_new(&p->f, m, e) < 0 : lora_new(&p->l, &lora, &m->h, m->dev, 1, e) < 0)
        return e->code;
    const size_t need = backward_bytes(&m->h, l, m->dev, p->rows, c->recompute, c->mixed);
    if (model_room("one layer to be measured", need, e) < 0 ||
        backward_new(&p->b, m, l, p->rows, c->recompute, c->mixed, e) < 0)
        return e->code;
    p->b.full = c->full ? &p->f : NULL;
    return 0;
}

static int inputs(struct probe *p, const struct timeplan_conf *c, struct err *e)
{
    const size_t n = (size_t)p->rows;
    p->ids = calloc(n, sizeof *p->ids);
    p->doc = calloc(n, sizeof *p->doc);
    p->label = calloc(n, sizeof *p->label);
    if (!p->ids || !p->doc || !p->label)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < p->rows; i++) {
        const int has = (int)((i + 1) * c->labels) > (int)(i * c->labels) || i == 0;
        p->ids[i] = i * 7 % p->m.h.n_vocab;
        p->doc[i] = i - i % c->document;
        p->label[i] = has ? i * 5 % p->m.h.n_vocab : -1;
        p->n_label += has;
    }
    return 0;
}

/* One pass; seconds of the head, and of all the rest. */
static int pass(struct probe *p, int grad, double *head, double *rest, struct err *e)
{
    double loss = 0, all = clock_now();
    memset(p->b.seconds, 0, sizeof p->b.seconds);
    int rc = backward_run(&p->b, p->ids, p->doc, p->label, p->rows, 1.0f / (float)p->n_label, grad,
                          &loss, e);
    if (rc == 0 && (rc = kn_sync(p->m.dev)) < 0)
        rc = dev_failed(p->m.dev, "training", rc, e);
    *head = p->b.seconds[BACKWARD_HEAD] + p->b.seconds[BACKWARD_LOSS];
    *rest = clock_now() - all - *head;
    return rc;
}

/* times: what one layer's optimizer step is multiplied with */
static int measure(struct probe *p, struct timeplan *t, const struct hparams *h, double times,
                   struct err *e)
{
    const struct optim o = OPTIM_DEFAULT;
    const double layers = h->n_layer, vocab = (double)h->n_vocab / p->m.h.n_vocab;
    double head, rest, norm, begin;
    int rc;
    for (int grad = 1; grad >= 0; grad--) {
        if ((rc = pass(p, grad, &head, &rest, e)) < 0 || (rc = pass(p, grad, &head, &rest, e)) < 0)
            return rc;
        *(grad ? &t->row : &t->row_eval) = rest / p->rows * layers;
        *(grad ? &t->label : &t->label_eval) = head / p->n_label * vocab;
    }
    if ((rc = optim_step(&o, p->params, 1, &norm, e)) < 0)
        return rc;
    begin = clock_now();
    if ((rc = optim_step(&o, p->params, 2, &norm, e)) == 0 && (rc = kn_sync(p->m.dev)) < 0)
        rc = dev_failed(p->m.dev, "training", rc, e);
    t->step = (clock_now() - begin) * times;
    return rc;
}

static void done(struct probe *p)
{
    struct apr file = p->m.file; /* model_free would close it */
    p->m.file = (struct apr){.path = NULL};
    if (p->b.m)
        backward_free(&p->b);
    lora_free(&p->l);
    full_free(&p->f);
    model_free(&p->m);
    for (int i = 0; i < file.n_tensor; i++)
        free((void *)(uintptr_t)file.tensor[i].data);
    free(file.tensor);
    free(p->small.host);
    free(p->ids);
    free(p->doc);
    free(p->label);
}

int timeplan_measure(struct timeplan *t, const struct hparams *h, const struct tensor *tensor,
                     int n, const struct timeplan_conf *c, struct kn_dev *dev, struct err *e)
{
    struct probe p = {.rows = c->rows < TIMEPLAN_ROWS ? c->rows : TIMEPLAN_ROWS};
    p.m.dev = dev;
    p.m.h = *h;
    p.m.h.n_layer = 1;
    p.m.h.n_vocab = h->n_vocab < TIMEPLAN_VOCAB ? h->n_vocab : TIMEPLAN_VOCAB;
    p.m.n_ctx = c->document;
    p.m.file.path = (char *)(uintptr_t) "a layer to be measured";
    p.m.forget = forget;
    int rc = shapes(&p, tensor, n, e);
    if (rc == 0 && (rc = load(&p, c, e)) == 0 && (rc = inputs(&p, c, e)) == 0) {
        double all = 0;
        for (int i = 0; i < n; i++)
            all += (double)tensor_count(&tensor[i]);
        rc = measure(&p, t, h, c->full ? all / (double)p.params->n : h->n_layer, e);
    }
    done(&p);
    return rc;
}
