/* diff - two models side by side: what is there to be compared, and what is the same */
#include "diff.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct diff *d;
    const struct diff_want *w;
    const char *path_b;
    const struct side *a;
};

const char *diff_state_name(int state)
{
    static const char *const names[DIFF_STATES] = {"equal", "within", "differs", "shape",
                                                   "bytes", "only a", "only b"};
    return names[state];
}

/* ---- tensors ---- */

static int wanted(const struct diff_want *w, const struct tensor *t)
{
    return strcmp(t->name, APR_TOKENIZER) != 0 && (!w->tensor || strstr(t->name, w->tensor)) &&
           (!w->filter || regexec(w->filter, t->name, 0, NULL, 0) == 0);
}

static void only(struct diff_tensor *t, const struct tensor *have, enum diff_state state)
{
    *t = (struct diff_tensor){.state = state};
    *(state == DIFF_ONLY_A ? &t->a : &t->b) = *have;
    t->a.data = t->b.data = NULL;
}

/* Without a limit only what is equal is the same. */
static int within(const struct diff_tensor *t, const struct diff_limits *l)
{
    if (t->not_same || (isinf(l->max) && isinf(l->rel_rms) && l->cosine <= -1))
        return 0;
    return t->sum.max <= l->max && diff_rel_rms(&t->sum) <= l->rel_rms &&
           diff_cosine(&t->sum) >= l->cosine;
}

/* Both lists are sorted by name. */
static int compare_tensors(struct job *j, const struct side *b, struct err *e)
{
    struct diff *d = j->d;
    const struct view *x = j->a->v, *y = b->v;
    if (!(d->t = calloc((size_t)x->n + (size_t)y->n + 1, sizeof *d->t)))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0, k = 0; i < x->n || k < y->n;) {
        const int order = i == x->n ? 1 : k == y->n ? -1 : tensor_by_name(&x->t[i], &y->t[k]);
        const struct tensor *have = order <= 0 ? &x->t[i] : &y->t[k];
        struct diff_tensor *t = &d->t[d->n];
        const int take = wanted(j->w, have);
        if (take && order)
            only(t, have, order < 0 ? DIFF_ONLY_A : DIFF_ONLY_B);
        else if (take && diff_tensor(t, j->a, i, b, k, e) < 0)
            return e->code;
        i += order <= 0;
        k += order >= 0;
        if (!take)
            continue;
        if (t->state == DIFF_BEYOND && within(t, &j->w->limits))
            t->state = DIFF_WITHIN;
        diff_add(&d->all, &t->sum);
        d->count[t->state]++;
        d->n++;
    }
    return d->n ? 0 : err_set(e, ERR_DATA, "no tensor to compare");
}

/* ---- both ---- */

static int keep(char **to, const char *s, struct err *e)
{
    return (*to = strdup(s)) ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static void judge(struct diff *d, const struct diff_limits *l)
{
    d->same = d->n == d->count[DIFF_EQUAL] + d->count[DIFF_WITHIN] && d->n_note == d->n_minor &&
              !d->n_skipped;
    if (d->has_logits)
        d->same &= d->logits.kl.v <= l->kl && d->logits.same_top.v >= l->same_top;
}

static int look_b(void *arg, const struct side *b, struct err *e)
{
    struct job *j = arg;
    struct diff *d = j->d;
    if (keep(&d->path[1], b->path, e) < 0 || keep(&d->why[1], b->why, e) < 0 ||
        compare_tensors(j, b, e) < 0 || (!j->w->weights && diff_notes(d, j->a, b, e) < 0))
        return e->code;
    if ((j->w->prompts || j->w->text) && diff_logits(d, j->a, b, j->w, e) < 0)
        return e->code;
    judge(d, &j->w->limits);
    return 0;
}

static int look_a(void *arg, const struct side *a, struct err *e)
{
    struct job *j = arg;
    j->a = a;
    if (keep(&j->d->path[0], a->path, e) < 0 || keep(&j->d->why[0], a->why, e) < 0)
        return e->code;
    return side_open(j->path_b, look_b, j, e);
}

int diff_models(struct diff *d, const char *a, const char *b, const struct diff_want *w,
                struct err *e)
{
    struct job j = {.d = d, .w = w, .path_b = b};
    memset(d, 0, sizeof *d);
    return side_open(a, look_a, &j, e);
}

void diff_free(struct diff *d)
{
    for (int i = 0; i < 2; i++) {
        free(d->path[i]);
        free(d->why[i]);
    }
    for (int i = 0; i < d->n_note; i++) {
        free(d->note[i].a);
        free(d->note[i].b);
    }
    free(d->note);
    free(d->t);
    memset(d, 0, sizeof *d);
}
