/* params - places of what training changes, and their memory */
#include "params.h"
#include <stdlib.h>
#include <string.h>

int params_plan(struct params *p, size_t n, enum params_kind kind, size_t *at, struct err *e)
{
    *at = p->n;
    if (n > SIZE_MAX / 8 / sizeof(float) - p->n)
        return err_set(e, ERR_NOMEM, "%zu parameters and %zu more", p->n, n);
    if (!p->n_part || p->part[p->n_part - 1].kind != kind) {
        struct params_part *more = realloc(p->part, ((size_t)p->n_part + 1) * sizeof *more);
        if (!more)
            return err_set(e, ERR_NOMEM, "%d kinds of parameters", p->n_part);
        p->part = more;
        p->part[p->n_part++].kind = kind;
    }
    p->n += n;
    p->part[p->n_part - 1].end = p->n;
    return 0;
}

int params_alloc(struct params *p, struct kn_dev *dev, const char *what, struct err *e)
{
    struct kn_at *at[] = {&p->w, &p->g, &p->m, &p->v};
    p->dev = dev;
    for (int i = 0; i < 4; i++)
        if (kn_alloc(dev, p->n * sizeof(float), at[i]))
            return err_set(e, ERR_NOMEM, "%s: %zu parameters, four values each", what, p->n);
    return 0;
}

void params_free(struct params *p)
{
    struct kn_at *at[] = {&p->w, &p->g, &p->m, &p->v};
    for (int i = 0; i < 4; i++)
        if (at[i]->buf)
            kn_free(p->dev, *at[i]);
    free(p->part);
    memset(p, 0, sizeof *p);
}
