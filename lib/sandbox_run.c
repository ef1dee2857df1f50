/* sandbox_run - a batch of jobs: which one when, wall time-outs again alone, results in order */
#include "sandbox_private.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct batch {
    const struct sandbox_job *job;
    struct verdict **v;               /* (n): from the first attempt until it is told */
    char *state;                      /* (n) WAITING and so on */
    int *order;                       /* (n): which one begins when */
    int n, next, told, active, again; /* next: of order; again: a job to try alone, -1 */
};
enum { WAITING, RUNNING, JUDGED };

static int give(struct sandbox *s, struct batch *b, int i, struct err *e)
{
    struct slot *t = s->slot;
    while (t->busy)
        t++;
    t->job = i;
    b->state[i] = RUNNING;
    b->active++;
    return sandbox_start(s, t, &b->job[i], e);
}

static void forget(struct batch *b, int i)
{
    if (b->v[i])
        free(b->v[i]->outputs);
    free(b->v[i]);
    b->v[i] = NULL;
}

static int keep(struct batch *b, int i, const struct verdict *v, struct err *e)
{
    forget(b, i);
    if (!(b->v[i] = malloc(sizeof *v)))
        return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    *b->v[i] = *v;
    return 0;
}

static int take(struct sandbox *s, struct batch *b, struct slot *t, struct err *e)
{
    int i = t->job, before = b->v[i] ? b->v[i]->attempt : 0; /* these ended in a wall time-out */
    sandbox_finish(s, t);
    t->v.attempt = before + 1;
    t->v.flaky = before > 0 && t->v.kind != VERDICT_timeout_wall;
    b->active--;
    if (keep(b, i, &t->v, e) < 0)
        return e->code;
    if (t->v.kind == VERDICT_timeout_wall && before < s->o.recheck) {
        b->again = b->again < 0 ? i : b->again;
        b->state[i] = WAITING; /* a second one waits its turn: see below */
        return 0;
    }
    b->state[i] = JUDGED;
    return 0;
}

static int take_finished(struct sandbox *s, struct batch *b, struct err *e)
{
    int rc = 0;
    for (int k = 0; k < s->n_slot && rc == 0; k++)
        if (sandbox_finished(&s->slot[k]))
            rc = take(s, b, &s->slot[k], e);
    return rc;
}

static int no_code(struct batch *b, int i, struct err *e)
{
    struct verdict v = {.kind = VERDICT_no_code, .attempt = 1};
    if (b->job[i].work == SANDBOX_BEHAVIOUR)
        sandbox_outputs(&v, NULL, sandbox_n_inputs(&b->job[i]));
    b->state[i] = JUDGED;
    return keep(b, i, &v, e);
}

static int
next_again(const struct batch *b) /* another first attempt that ended in a wall time-out */
{
    for (int k = 0; k < b->next; k++)
        if (b->state[b->order[k]] == WAITING)
            return b->order[k];
    return -1;
}

/* Long jobs first, or one that began last would keep a single processor busy; else as they come (malloc). */
static int *order_of(const struct sandbox_job *job, int n)
{
    int *order = malloc(((size_t)n + 1) * sizeof *order), k = 0;
    long longest = 0, below;
    for (int i = 0; i < n; i++)
        longest = job[i].seconds > longest ? job[i].seconds : longest;
    for (long s = longest; order && k < n; s = below) { /* once for each length that there is */
        below = LONG_MIN;
        for (int i = 0; i < n; i++)
            if (job[i].seconds == s)
                order[k++] = i;
            else if (job[i].seconds < s && job[i].seconds > below)
                below = job[i].seconds;
    }
    return order;
}

int sandbox_run(struct sandbox *s, const struct sandbox_job *job, int n,
                int (*done)(void *arg, int i, const struct verdict *v, struct err *e), void *arg,
                struct err *e)
{
    struct batch b = {.job = job, .n = n, .again = -1};
    int rc = 0;
    b.v = calloc((size_t)n + 1, sizeof(struct verdict *));
    b.state = calloc((size_t)n + 1, 1);
    if (!b.v || !b.state || !(b.order = order_of(job, n)))
        rc = err_set(e, ERR_NOMEM, "sandbox: out of memory for %d jobs", n);
    while (rc == 0 && b.told < n) {
        /* new jobs, unless one must run alone */
        while (rc == 0 && b.again < 0 && b.next < n && b.active < s->n_slot) {
            int i = b.order[b.next++];
            rc = *job[i].code ? give(s, &b, i, e) : no_code(&b, i, e);
        }
        if (rc == 0 && b.again >= 0 && b.active == 0) {
            int i = b.again;
            rc = give(s, &b, i, e);
            while (rc == 0 && b.state[i] == RUNNING) {
                rc = sandbox_step(s, e);
                if (rc == 0)
                    rc = take_finished(s, &b, e);
            }
            b.again = next_again(&b);
        } else if (rc == 0 && b.active > 0 && !(b.state[b.told] == JUDGED)) {
            rc = sandbox_step(s, e);
        }
        if (rc == 0)
            rc = take_finished(s, &b, e);
        while (rc == 0 && b.told < n && b.state[b.told] == JUDGED) {
            rc = done(arg, b.told, b.v[b.told], e);
            forget(&b, b.told++);
        }
    }
    for (int i = 0; b.v && i < n; i++)
        forget(&b, i);
    free(b.v);
    free(b.state);
    free(b.order);
    return rc;
}
