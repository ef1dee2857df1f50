/* parity - the comparison: a prompt, the devices, layer after layer, the logits, the judgement */
#include "chat_model.h"
#include "clock.h"
#include "dev.h"
#include "hash.h"
#include "parity_impl.h"
#include "request.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT = 16, /* logits at a time */
    SOME = 16,
    FEW = 4 /* rows of steps between the long one and single rows: other kernels */
};

void parity_near_add(struct parity_near *n, const float *a, const float *b, int rows, size_t width,
                     int layer)
{
    for (int r = 0; r < rows; r++, a += width, b += width) {
        double ab = 0, aa = 0, bb = 0, most = 0, top = 0;
        for (size_t i = 0; i < width; i++) {
            const double x = a[i], y = b[i], d = fabs(x - y);
            ab += x * y;
            aa += x * x;
            bb += y * y;
            most = d > most || d != d ? d : most;
            top = fabs(y) > top ? fabs(y) : top;
        }
        const int equal = memcmp(a, b, width * sizeof *a) == 0;
        double cosine = equal || (aa == 0 && bb == 0) ? 1 : ab / sqrt(aa * bb);
        const double error = top > 0 ? most / top : most;
        if (!isfinite(aa) || !isfinite(bb)) /* equal or not */
            cosine = -1;
        cosine = isfinite(cosine) ? cosine : -1;
        if (!n->rows || cosine < n->cosine)
            n->cosine = cosine, n->layer = layer;
        n->error = !(error <= n->error) ? error : n->error;
        n->rows++;
        n->equal += (size_t)equal;
    }
}

/* ---- the prompt ---- */

/* Ids of the templated prompt, the text as often as it takes; of a model without tokenizer numbers that spread. */
static int make_ids(struct parity_job *j, const struct model *m, const struct parity_conf *c,
                    struct err *e)
{
    const int want = c->positions < m->h.n_ctx ? c->positions : m->h.n_ctx;
    j->n_tok = want;
    if (!(j->tok = calloc((size_t)want * 3, sizeof *j->tok)))
        return err_set(e, ERR_NOMEM, "out of memory");
    j->pos = j->tok + want;
    j->zero = j->pos + want;
    for (int i = 0; i < want; i++) {
        j->pos[i] = i;
        j->tok[i] = (int32_t)((i * 7919L + 13) % m->h.n_vocab);
    }
    if (!m->tok)
        return 0;
    const struct request_defaults d = {
        .raw = !model_has_chat(m), .max_tokens = 1, .n_ctx = 1 << 20};
    const size_t n = strlen(c->prompt);
    int got = 0;
    for (size_t times = 1; got < want && times <= 64; times *= 2) {
        struct requests r;
        char *text = malloc(times * (n + 1));
        if (!text)
            return err_set(e, ERR_NOMEM, "out of memory");
        for (size_t i = 0; i < times; i++) {
            memcpy(text + i * (n + 1), c->prompt, n);
            text[i * (n + 1) + n] = i + 1 < times ? '\n' : 0;
        }
        const int rc = requests_add_text(&r, text, m, &d, e);
        free(text);
        if (rc < 0)
            return rc;
        got = r.v->n_ids < want ? r.v->n_ids : want;
        memcpy(j->tok, r.v->ids, (size_t)got * sizeof *j->tok);
        requests_free(&r);
    }
    if (got < want)
        return err_set(e, ERR_CONFIG, "the prompt of the thresholds gives %d tokens, expected %d",
                       got, want);
    return 0;
}

/* ---- devices ---- */

static int open_device(struct parity_job *j, struct parity_device *d, const struct view *v,
                       struct err *e)
{
    const size_t n = (size_t)j->n_tok;
    int rc = walk_open(&d->w, v, d->dev, d->flags, j->n_tok, j->n_tok, 1, OUT, 2 * j->max_blocks,
                       KN_F16, e);
    if (rc < 0)
        return rc;
    if (!(d->own = calloc(n * (size_t)j->n_embd, sizeof *d->own)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = kn_alloc(d->dev, n * j->widest * sizeof(float), &d->a)) < 0 ||
        (rc = kn_alloc(d->dev, n * j->widest * sizeof(float), &d->b)) < 0 ||
        (rc = kn_alloc(d->dev, n * j->widest * sizeof(float), &d->c)) < 0)
        return dev_failed(d->dev, "parity", rc, e);
    return 0;
}

static void close_device(struct parity_device *d, int close)
{
    const struct kn_at at[] = {d->a, d->b, d->c};
    for (int i = 0; i < 3; i++)
        if (at[i].buf)
            kn_free(d->dev, at[i]);
    if (d->w.v)
        walk_close(&d->w);
    free(d->own);
    if (close)
        kn_close(d->dev);
}

int parity_batch(struct parity_job *j, int d, struct parity_step s, int own, int n_out,
                 struct err *e)
{
    struct parity_device *v = &j->d[d];
    const struct kn_rows r = {.n_tok = s.m,
                              .n_seq = 1,
                              .n_out = n_out,
                              .n_made = j->made ? s.m : 0,
                              .tok = j->tok + s.from,
                              .pos = j->pos + s.from,
                              .seq = j->zero,
                              .out = j->pos, /* 0, 1 ... */
                              .blocks = j->blocks + (own ? 2 * j->max_blocks : 0)};
    return forward_batch(&v->w.f, &r, e);
}

/* ---- parts of the run ---- */

static int move(struct parity_device *d, float *host, int m, size_t width, int in, struct err *e)
{
    const size_t bytes = (size_t)m * width * sizeof *host;
    const int rc =
        in ? kn_write(d->dev, d->w.f.x, host, bytes) : kn_read(d->dev, host, d->w.f.x, bytes);
    return rc < 0 ? dev_failed(d->dev, "a step", rc, e) : 0;
}

static int embed(struct parity_job *j, struct err *e)
{
    const size_t n = (size_t)j->n_embd;
    for (int s = 0; s < j->n_step; s++)
        for (int d = 0; d < j->n_dev; d++) {
            struct parity_device *v = &j->d[d];
            int rc = parity_batch(j, d, j->step[s], 1, 0, e);
            if (rc == 0 && (rc = forward_embed(&v->w.f)) < 0)
                rc = dev_failed(v->dev, "embedding", rc, e);
            if (rc < 0 ||
                (rc = move(v, v->own + (size_t)j->step[s].from * n, j->step[s].m, n, 0, e)) < 0)
                return rc;
        }
    memcpy(j->x, j->d[1].own, (size_t)j->n_tok * n * sizeof *j->x);
    for (int k = 0; k + 1 < j->n_dev; k++)
        parity_near_add(&j->p->peer[k].op[PARITY_EMBED], j->d[0].own, j->d[1 + k].own, j->n_tok, n,
                        0);
    return 0;
}

/* Each device's own numbers through layer l. */
static int own_layer(struct parity_job *j, int d, int l, struct err *e)
{
    struct parity_device *v = &j->d[d];
    const size_t n = (size_t)j->n_embd;
    for (int s = 0; s < j->n_step; s++) {
        float *x = v->own + (size_t)j->step[s].from * n;
        int rc = parity_batch(j, d, j->step[s], 1, 0, e);
        if (rc < 0 || (rc = move(v, x, j->step[s].m, n, 1, e)) < 0)
            return rc;
        if ((rc = forward_layer(&v->w.f, l)) < 0)
            return dev_failed(v->dev, "a layer", rc, e);
        if ((rc = move(v, x, j->step[s].m, n, 0, e)) < 0)
            return rc;
    }
    return 0;
}

/* Logits of rows s from x into out[d]. */
static int head(struct parity_job *j, int d, struct parity_step s, float *x, struct err *e)
{
    struct parity_device *v = &j->d[d];
    const size_t n = (size_t)j->n_embd;
    int rc = parity_batch(j, d, s, 1, s.m, e);
    if (rc < 0 || (rc = move(v, x + (size_t)s.from * n, s.m, n, 1, e)) < 0)
        return rc;
    if ((rc = forward_head(&v->w.f)) == 0)
        rc = kn_read(v->dev, j->out[d], v->w.f.logits,
                     (size_t)s.m * (size_t)j->n_vocab * sizeof(float));
    return rc < 0 ? dev_failed(v->dev, "logits", rc, e) : 0;
}

static int first_choice(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static int logits(struct parity_job *j, struct parity_step s, struct err *e)
{
    const size_t n = (size_t)j->n_vocab;
    int rc = 0;
    for (int d = 0; d < j->n_dev; d++)
        if ((rc = head(j, d, s, j->d[d].own, e)) < 0)
            return rc;
    for (int k = 0; k + 1 < j->n_dev; k++) {
        struct parity_peer *p = &j->p->peer[k];
        parity_near_add(&p->logits, j->out[0], j->out[1 + k], s.m, n, 0);
        for (int i = 0; i < s.m; i++) {
            const int a = first_choice(j->out[0] + (size_t)i * n, j->n_vocab),
                      b = first_choice(j->out[1 + k] + (size_t)i * n, j->n_vocab);
            p->same += a == b;
            if (a != b && p->differs < 0)
                p->differs = s.from + i, p->id = a, p->id_peer = b;
        }
    }
    for (int d = 0; d < j->n_dev && j->p->with_ops; d++)
        if ((rc = head(j, d, s, j->x, e)) < 0)
            return rc;
    for (int k = 0; k + 1 < j->n_dev && j->p->with_ops; k++)
        parity_near_add(&j->p->peer[k].op[PARITY_HEAD], j->out[0], j->out[1 + k], s.m, n, 0);
    return 0;
}

static int layers(struct parity_job *j, struct err *e)
{
    int rc = 0;
    for (int l = 0; l < j->p->n_layer && rc == 0; l++) {
        int held = 0;
        for (; held < j->n_dev && (rc = walk_hold(&j->d[held].w, l, e)) == 0; held++)
            rc = own_layer(j, held, l, e);
        if (rc == 0 && j->p->with_ops)
            rc = parity_layer_ops(j, l, e);
        for (int d = 0; d <= held && d < j->n_dev; d++)
            walk_drop(&j->d[d].w, l);
    }
    for (int s = 0; s < j->n_step && rc == 0; s++)
        for (int at = 0; at < j->step[s].m && rc == 0; at += OUT) {
            const int left = j->step[s].m - at;
            rc = logits(j, (struct parity_step){j->step[s].from + at, left < OUT ? left : OUT}, e);
        }
    return rc;
}

/* ---- all of it ---- */

static const struct parity_limits *limits_of(const struct parity_want *w, const struct kn_dev *dev,
                                             const struct kn_dev *peer, int flt)
{
    return strcmp(peer->name, "ref") == 0           ? &w->conf->ref
           : flt                                    ? &w->conf->flt
           : (dev->exact || w->made) && peer->exact ? &w->conf->exact
                                                    : &w->conf->rounded;
}

static int make_room(struct parity_job *j, const struct hparams *h, const struct parity_conf *c,
                     struct err *e)
{
    const size_t n = (size_t)j->n_tok, q = (size_t)h->n_head * (size_t)h->head_dim;
    const int singly = c->singly < j->n_tok ? c->singly : j->n_tok - 1;
    j->n_embd = h->n_embd;
    j->n_vocab = h->n_vocab;
    j->max_blocks = (j->n_tok + KN_TILE - 1) / KN_TILE;
    j->widest = (size_t)h->n_embd;
    j->widest = q > j->widest ? q : j->widest;
    j->widest = (size_t)h->n_ff > j->widest ? (size_t)h->n_ff : j->widest;
    j->p->n_tok = j->n_tok;
    j->p->singly = singly;
    j->n_step = singly + (j->n_tok - singly >= 4 * (SOME + FEW) ? 3 : 1);
    const size_t logits = OUT * (size_t)h->n_vocab, acts = n * j->widest,
                 room = logits > acts ? logits : acts;
    /* the block table of shared numbers, and of each device's own */
    if (!(j->step = calloc((size_t)j->n_step, sizeof *j->step)) ||
        !(j->blocks = calloc(4 * (size_t)j->max_blocks, sizeof *j->blocks)) ||
        !(j->x = calloc(n * (size_t)h->n_embd, sizeof *j->x)) ||
        !(j->q = calloc(acts, sizeof *j->q)) || !(j->att = calloc(acts, sizeof *j->att)) ||
        !(j->h = calloc(acts, sizeof *j->h)) || !(j->gate = calloc(acts, sizeof *j->gate)) ||
        !(j->up = calloc(acts, sizeof *j->up)) || !(j->x1 = calloc(acts, sizeof *j->x1)))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int d = 0; d < j->n_dev; d++)
        if (!(j->out[d] = calloc(room, sizeof *j->out[d])))
            return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < 2 * j->max_blocks; i++) /* a table has 2 max_blocks places */
        j->blocks[i < j->max_blocks ? i : j->max_blocks + i] = i;
    const int m[] = {j->n_tok - singly - (j->n_step > singly + 1 ? SOME + FEW : 0), SOME, FEW};
    for (int i = 0, from = 0; i < j->n_step; from += j->step[i++].m)
        j->step[i] = (struct parity_step){from, i < j->n_step - singly ? m[i] : 1};
    return 0;
}

static void free_job(struct parity_job *j)
{
    for (int d = 0; d < j->n_dev; d++) {
        close_device(&j->d[d], d > 0);
        free(j->out[d]);
    }
    free(j->tok);
    free(j->step);
    free(j->blocks);
    free(j->x);
    free(j->q);
    free(j->att);
    free(j->h);
    free(j->gate);
    free(j->up);
    free(j->x1);
}

static int run(struct parity_job *j, const struct view *v, const struct apr *a,
               const struct parity_want *w, struct err *e)
{
    struct parity *p = j->p;
    struct model m = {.file = *a, .h = v->h, .tok = v->tok};
    struct err none = {0};
    m.chat_format = json_get_str(a->meta, "chat_format", NULL, &none);
    m.chat_system = json_get_str(a->meta, "chat_system", NULL, &none);
    int rc = make_ids(j, &m, w->conf, e);
    if (rc < 0 || (rc = make_room(j, &v->h, w->conf, e)) < 0)
        return rc;
    p->n_layer = v->h.n_layer;
    for (int k = 0; k < p->n_peer; k++)
        if (!(p->peer[k].layer = calloc((size_t)p->n_layer, sizeof *p->peer[k].layer)))
            return err_set(e, ERR_NOMEM, "out of memory");
    for (int d = 0; d < j->n_dev; d++)
        if ((rc = open_device(j, &j->d[d], v, e)) < 0)
            return rc;
    if ((rc = embed(j, e)) < 0)
        return rc;
    return layers(j, e);
}

int parity_run(struct parity *p, const struct apr *a, struct kn_dev *dev,
               const struct parity_want *w, struct err *e)
{
    parity_identify(p, a, dev);
    return parity_compare(p, a, dev, w, e);
}

int parity_compare(struct parity *p, const struct apr *a, struct kn_dev *dev,
                   const struct parity_want *w, struct err *e)
{
    struct parity_job j = {.p = p, .made = w->made};
    struct view v;
    const double start = clock_now();
    p->with_ops = w->ops;
    int rc = view_apr(&v, a, e);
    if (rc < 0)
        return rc;
    j.d[j.n_dev].flags = KN_W_INFER;
    j.d[j.n_dev++].dev = dev;
    for (int k = 0; k < w->n_peer && rc == 0; k++) {
        struct kn_dev *peer = NULL;
        const int flt = strcmp(w->peer[k], PARITY_FLOAT) == 0;
        if ((rc = dev_open(&peer, flt ? "cpu" : w->peer[k], w->threads, e)) < 0)
            break;
        j.d[j.n_dev].flags = KN_W_INFER | (flt ? KN_W_FLOAT : 0);
        j.d[j.n_dev++].dev = peer;
        struct parity_peer *x = &p->peer[p->n_peer++];
        snprintf(x->name, sizeof x->name, "%s", flt ? PARITY_FLOAT : peer->name);
        x->limits = *limits_of(w, dev, peer, flt);
        x->differs = x->id = x->id_peer = -1;
    }
    if (rc == 0)
        rc = run(&j, &v, a, w, e);
    free_job(&j);
    view_apr_free(&v);
    p->seconds = clock_now() - start;
    if (rc == 0)
        parity_judge(p);
    else
        parity_free(p);
    return rc;
}

void parity_free(struct parity *p)
{
    for (int k = 0; k < p->n_peer; k++)
        free(p->peer[k].layer);
    p->n_peer = 0;
}
