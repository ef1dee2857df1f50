/* params - places of what training changes, and their memory */
#include "params.h"
#include "moment.h"
#include <stdlib.h>
#include <string.h>

int params_plan(struct params *p, size_t n, enum params_kind kind, size_t *at, struct err *e)
{
    *at = p->n;
    if (n > SIZE_MAX / 8 / sizeof(float) - p->n)
        return err_set(e, ERR_NOMEM, "%zu parameters and %zu more", p->n, n);
    if (n == 0)
        return 0;
    struct params_part *more = realloc(p->part, ((size_t)p->n_part + 1) * sizeof *more);
    if (!more)
        return err_set(e, ERR_NOMEM, "%d parts of parameters", p->n_part);
    p->part = more;
    p->part[p->n_part++] = (struct params_part){.at = p->n, .n = n, .kind = kind};
    p->n += n;
    return 0;
}

int params_alloc(struct params *p, struct kn_dev *dev, const char *what, struct err *e)
{
    p->dev = dev;
    if (kn_alloc(dev, p->n * sizeof(float), &p->w) || kn_alloc(dev, p->n * sizeof(float), &p->g))
        return err_set(e, ERR_NOMEM, "%s: %zu parameters, two values each", what, p->n);
    return 0;
}

void params_free(struct params *p)
{
    const struct kn_at at[] = {p->w, p->g, p->m, p->v, p->x, p->y, p->gram, p->poly};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i].buf)
            kn_free(p->dev, at[i]);
    free(p->part);
    memset(p, 0, sizeof *p);
}

/* The part with float `at`; behind all: NULL. */
static const struct params_part *part_of(const struct params *p, size_t at)
{
    int low = 0, high = p->n_part;
    while (low < high) {
        const int mid = (low + high) / 2;
        if (p->part[mid].at + p->part[mid].n <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low < p->n_part ? &p->part[low] : NULL;
}

size_t params_moment_at(const struct params *p, size_t at, int second)
{
    const struct params_part *x = part_of(p, at);
    if (!x)
        return second ? p->v_all : p->m_all;
    const size_t inside =
        second && p->muon && x->kind == PARAMS_MATRIX ? 0 : kn_moment_bytes(p->moment, at - x->at);
    return (second ? x->v : x->m) + inside;
}

size_t params_share(const struct params *p, int i, int n)
{
    const size_t at = p->n / (size_t)n * (size_t)i;
    const struct params_part *x = i < n ? part_of(p, at) : NULL;
    if (!x)
        return p->n;
    if (p->muon && x->kind == PARAMS_MATRIX)
        return at - x->at < x->n / 2 ? x->at : x->at + x->n;
    return at - (at - x->at) % KN_MOMENT_BLOCK;
}
