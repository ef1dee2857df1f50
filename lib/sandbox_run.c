/* sandbox_run - a batch of jobs: which one when, wall time-outs again alone, results in order */
#include "sandbox_private.h"
#include <stdlib.h>
#include <string.h>

struct batch {
    const struct sandbox_job *job;
    struct verdict *v;                /* (n) */
    char *state;                      /* (n) WAITING and so on */
    int n, next, told, active, again; /* again: a job to try alone, -1 */
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

static void take(struct sandbox *s, struct batch *b, struct slot *t)
{
    int i = t->job, before = b->v[i].attempt; /* attempts that ended in a wall time-out */
    free(b->v[i].outputs);
    sandbox_finish(s, t);
    t->v.attempt = before + 1;
    t->v.flaky = before > 0 && t->v.kind != VERDICT_timeout_wall;
    b->v[i] = t->v;
    b->active--;
    if (t->v.kind == VERDICT_timeout_wall && before < s->o.recheck) {
        b->again = b->again < 0 ? i : b->again;
        b->state[i] = WAITING; /* a second one waits its turn: see below */
        return;
    }
    b->state[i] = JUDGED;
}

static int
next_again(const struct batch *b) /* another first attempt that ended in a wall time-out */
{
    for (int i = b->told; i < b->next; i++)
        if (b->state[i] == WAITING)
            return i;
    return -1;
}

int sandbox_run(struct sandbox *s, const struct sandbox_job *job, int n,
                int (*done)(void *arg, int i, const struct verdict *v, struct err *e), void *arg,
                struct err *e)
{
    struct batch b = {.job = job, .n = n, .again = -1};
    int rc = 0;
    b.v = calloc((size_t)n + 1, sizeof *b.v);
    b.state = calloc((size_t)n + 1, 1);
    if (!b.v || !b.state)
        rc = err_set(e, ERR_NOMEM, "sandbox: out of memory for %d jobs", n);
    while (rc == 0 && b.told < n) {
        /* new jobs, unless one must run alone */
        while (rc == 0 && b.again < 0 && b.next < n && b.active < s->n_slot) {
            int i = b.next++;
            if (!*job[i].code) {
                b.v[i] = (struct verdict){.kind = VERDICT_no_code, .attempt = 1};
                if (job[i].work == SANDBOX_BEHAVIOUR)
                    sandbox_outputs(&b.v[i], NULL, sandbox_n_inputs(&job[i]));
                b.state[i] = JUDGED;
            } else {
                rc = give(s, &b, i, e);
            }
        }
        if (rc == 0 && b.again >= 0 && b.active == 0) {
            int i = b.again;
            rc = give(s, &b, i, e);
            while (rc == 0 && b.state[i] == RUNNING) {
                rc = sandbox_step(s, e);
                for (int k = 0; k < s->n_slot && rc == 0; k++)
                    if (sandbox_finished(&s->slot[k]))
                        take(s, &b, &s->slot[k]);
            }
            b.again = next_again(&b);
        } else if (rc == 0 && b.active > 0 && !(b.state[b.told] == JUDGED)) {
            rc = sandbox_step(s, e);
        }
        for (int k = 0; k < s->n_slot && rc == 0; k++)
            if (sandbox_finished(&s->slot[k]))
                take(s, &b, &s->slot[k]);
        while (rc == 0 && b.told < n && b.state[b.told] == JUDGED) {
            rc = done(arg, b.told, &b.v[b.told], e);
            free(b.v[b.told].outputs);
            b.v[b.told++].outputs = NULL;
        }
    }
    for (int i = 0; b.v && i < n; i++)
        free(b.v[i].outputs);
    free(b.v);
    free(b.state);
    return rc;
}
