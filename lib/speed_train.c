/* speed_train - what a step of training is made of, measured piece by piece */
#include "backward.h"
#include "optim.h"
#include "rng.h"
#include "speed.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

enum {
    LOSS_ROWS = 256,
    FAST = 100
}; /* FAST: calls of a repetition that are too short for a clock */

struct bench {
    const struct model *m;
    struct lora l;
    struct backward b;
    struct optim o;
    int rows;
    int32_t *ids, *doc, *label;
    struct kn_at x, z, y; /* (n_embd), (rank), (n_head * head_dim) */
    long step;
};

static int kn_failed(const struct bench *b, int rc, struct err *e)
{
    return err_set(e, rc == KN_ENOMEM ? ERR_NOMEM : ERR_SOFTWARE, "%s: %s", b->m->dev->name,
                   kn_strerror(rc));
}

static int bench_new(struct bench *b, const struct model *m, const struct speed_conf *c, int rows,
                     struct err *e)
{
    struct lora_conf lc = {.rank = SPEED_RANK, .alpha = 2 * SPEED_RANK};
    const struct hparams *h = &m->h;
    struct rng rng = {c->seed, 0};
    size_t n = (size_t)rows;
    int rc;
    memset(b, 0, sizeof *b);
    b->m = m;
    b->rows = rows;
    b->o = (struct optim)OPTIM_DEFAULT;
    b->o.schedule = OPTIM_CONSTANT;
    if ((rc = lora_targets("all", &lc.targets, e)) < 0 ||
        (rc = lora_new(&b->l, &lc, h, m->dev, c->seed, e)) < 0 ||
        (rc = model_room("training", backward_bytes(h, &b->l, m->dev, rows, 0, c->mixed), e)) < 0 ||
        (rc = backward_new(&b->b, m, &b->l, rows, 0, c->mixed, e)) < 0)
        return rc;
    if ((rc = kn_alloc(m->dev, (size_t)h->n_embd * sizeof(float), &b->x)) < 0 ||
        (rc = kn_alloc(m->dev, SPEED_RANK * sizeof(float), &b->z)) < 0 ||
        (rc = kn_alloc(m->dev, (size_t)h->n_head * (size_t)h->head_dim * sizeof(float), &b->y)) <
            0 ||
        (rc = kn_fill(m->dev, b->x, 1, (size_t)h->n_embd)) < 0)
        return kn_failed(b, rc, e);
    b->ids = calloc(n, sizeof *b->ids);
    b->doc = calloc(n, sizeof *b->doc);
    b->label = calloc(n, sizeof *b->label);
    if (!b->ids || !b->doc || !b->label)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < rows; i++) {
        b->ids[i] = (int32_t)rng_below(&rng, (uint64_t)m->n_real);
        b->label[i] = (int32_t)rng_below(&rng, (uint64_t)m->n_real);
    }
    return 0;
}

static void bench_free(struct bench *b)
{
    struct kn_at at[] = {b->x, b->z, b->y};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i].buf)
            kn_free(b->m->dev, at[i]);
    backward_free(&b->b);
    lora_free(&b->l);
    free(b->ids);
    free(b->doc);
    free(b->label);
}

/* ---- the pieces; each returns the milliseconds of one, or a negative error ---- */

static int lora_forward(struct bench *b, double *ms, struct err *e)
{
    struct kn_dev *d = b->m->dev;
    const struct lora_mod *q = lora_find(&b->l, 0, LORA_Q);
    struct kn_at a = kn_plus(b->l.p.w, q->a * sizeof(float)),
                 up = kn_plus(b->l.p.w, q->b * sizeof(float));
    int rc = 0;
    double start = clock_now();
    for (int i = 0; i < FAST && rc == 0; i++)
        if ((rc = kn_gemm(d, b->z, b->x, a, 1, 1, SPEED_RANK, q->n_in, KN_TB)) == 0)
            rc = kn_gemm(d, b->y, b->z, up, b->l.scale, 1, q->n_out, SPEED_RANK, KN_TB | KN_ADD);
    rc = rc < 0 ? rc : kn_sync(d);
    *ms = (clock_now() - start) * 1e3 / FAST;
    return rc < 0 ? kn_failed(b, rc, e) : 0;
}

static int loss(struct bench *b, double *ms, struct err *e)
{
    struct kn_dev *d = b->m->dev;
    int n = b->rows < LOSS_ROWS ? b->rows : LOSS_ROWS;
    size_t size = (size_t)n * (size_t)b->m->h.n_vocab;
    int rc = kn_fill(d, b->b.logits, 0.5f, size);
    if (rc == 0 && (rc = kn_write(d, b->b.label, b->label, (size_t)n * sizeof *b->label)) == 0)
        rc = kn_sync(d);
    double start = clock_now();
    if (rc == 0 && (rc = kn_xent(d, b->b.loss, b->b.logits, b->b.label, 1.0f / (float)n, n,
                                 b->m->h.n_vocab, 1)) == 0)
        rc = kn_sync(d);
    *ms = (clock_now() - start) * 1e3;
    return rc < 0 ? kn_failed(b, rc, e) : 0;
}

static int optimizer(struct bench *b, double *ms, struct err *e)
{
    double norm, start = clock_now();
    int rc = optim_step(&b->o, &b->l.p, ++b->step, &norm, e);
    if (rc == 0 && (rc = kn_sync(b->m->dev)) < 0)
        rc = kn_failed(b, rc, e);
    *ms = (clock_now() - start) * 1e3;
    return rc;
}

static int train_step(struct bench *b, double *ms, struct err *e)
{
    double sum = 0, norm, start = clock_now();
    int rc =
        backward_run(&b->b, b->ids, b->doc, b->label, b->rows, 1.0f / (float)b->rows, 1, &sum, e);
    if (rc == 0 && (rc = optim_step(&b->o, &b->l.p, ++b->step, &norm, e)) == 0 &&
        (rc = kn_sync(b->m->dev)) < 0)
        rc = kn_failed(b, rc, e);
    *ms = (clock_now() - start) * 1e3;
    return rc;
}

int speed_train(struct speed *s, const struct model *m, const struct speed_conf *c,
                const char *which, int rows, struct err *e)
{
    static const struct {
        const char *name;
        int (*run)(struct bench *b, double *ms, struct err *e);
    } piece[] = {{"lora_forward", lora_forward},
                 {"loss", loss},
                 {"optimizer", optimizer},
                 {"train_step", train_step}};
    struct bench b;
    int rc;
    if (rows > m->n_ctx)
        return err_set(e, ERR_USAGE, "a document of %d tokens: the model has %d positions", rows,
                       m->n_ctx);
    speed_peak_reset();
    rc = bench_new(&b, m, c, rows, e);
    for (size_t k = 0; k < sizeof piece / sizeof *piece && rc == 0; k++) {
        if (strcmp(which, "all") && strcmp(which, piece[k].name))
            continue;
        struct speed_row *r = speed_add(s, piece[k].name, "ms", c->reps);
        if (!r)
            rc = err_set(e, ERR_NOMEM, "out of memory");
        for (int i = -c->warmup; i < c->reps && rc == 0; i++) {
            double ms;
            if (c->tell)
                c->tell(c->arg, r->name, i);
            if ((rc = piece[k].run(&b, &ms, e)) == 0 && i >= 0)
                r->value[i] = ms;
        }
        if (rc == 0)
            r->peak = speed_peak();
    }
    bench_free(&b);
    return rc;
}
