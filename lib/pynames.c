/* pynames - which names a statement binds, changes, and takes from outside
 *
 * The parser reports names as it meets them; when a scope closes, what it bound is taken out of what it
 * used, and the rest belongs to the scope around. */
#include "err.h"
#include "pyparse_private.h"
#include <stdlib.h>
#include <string.h>

/* Closing scopes looks at every name inside again: enough for any program, a bound for hostile ones. */
enum { MAX_WORK = 1 << 25 };

static void switch_off(struct py_events *e)
{
    e->on = 0;
    e->n = 0;
    e->full = 1;
}

static void add(struct py_events *e, const char *s, size_t n, int role)
{
    if (!e->on)
        return;
    if (e->n >= PY_MAX_NAMES || n > UINT16_MAX) {
        switch_off(e);
        return;
    }
    if (e->n == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 256;
        struct py_event *v = realloc(e->v, cap * sizeof *v);
        if (!v) {
            switch_off(e);
            e->nomem = 1;
            return;
        }
        e->v = v;
        e->cap = cap;
    }
    e->v[e->n++] = (struct py_event){s, (uint32_t)n, role};
}

void py_name(struct py_parser *p, const struct py_token *t, int role)
{
    add(&p->ev, t->p, t->n, role);
}

static void turn(struct py_events *e, size_t mark, int from, int to)
{
    for (size_t i = mark; i < e->n; i++)
        if (e->v[i].role == from)
            e->v[i].role = to;
    e->work += e->n > mark ? e->n - mark : 0;
    if (e->work > MAX_WORK)
        switch_off(e);
}

void py_names_forget(struct py_parser *p, size_t mark)
{
    if (p->ev.on && p->ev.n > mark)
        p->ev.n = mark;
}

void py_names_fix(struct py_parser *p, size_t mark)
{
    turn(&p->ev, mark, PY_USE, PY_FIXED);
    turn(&p->ev, mark, PY_ROOT, PY_FIXED);
}

void py_names_root(struct py_parser *p, size_t mark)
{
    turn(&p->ev, mark, PY_USE, PY_ROOT);
}

void py_names_store(struct py_parser *p, size_t mark)
{
    turn(&p->ev, mark, PY_USE, PY_BIND);
    turn(&p->ev, mark, PY_ROOT, PY_TOUCH);
}

void py_names_params(struct py_parser *p, size_t mark)
{
    size_t n = p->ev.n;
    for (size_t i = mark; i < n && i < p->ev.n; i++)
        if (p->ev.v[i].role == PY_PARAM)
            add(&p->ev, p->ev.v[i].p, p->ev.v[i].n, PY_BIND);
}

static int by_name(const void *a, const void *b)
{
    const struct py_event *x = a, *y = b;
    if (x->n != y->n)
        return x->n < y->n ? -1 : 1;
    return memcmp(x->p, y->p, x->n);
}

static int by_name_and_role(const void *a, const void *b)
{
    int c = by_name(a, b);
    return c ? c : ((const struct py_event *)a)->role - ((const struct py_event *)b)->role;
}

/* The names since mark, sorted, each role of a name once. */
static void sort_names(struct py_events *e, size_t mark)
{
    size_t n = e->n - mark, k = 0;
    if (n < 2)
        return;
    struct py_event *v = e->v + mark;
    qsort(v, n, sizeof *v, by_name_and_role);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || by_name_and_role(&v[i], &v[k - 1]))
            v[k++] = v[i];
    e->n = mark + k;
}

void py_names_close(struct py_parser *p, size_t mark, enum py_scope scope)
{
    struct py_events *e = &p->ev;
    size_t out = mark;
    if (!e->on || e->n <= mark)
        return;
    e->work += 8 * (e->n - mark);
    if (e->work > MAX_WORK) {
        switch_off(e);
        return;
    }
    sort_names(e, mark);
    for (size_t i = mark, j; i < e->n; i = j) {
        int bound = 0, outer = 0;
        for (j = i; j < e->n && !by_name(&e->v[j], &e->v[i]); j++) {
            bound |= e->v[j].role == PY_BIND;
            outer |= e->v[j].role == PY_OUTER;
        }
        for (size_t k = i; k < j; k++) {
            struct py_event v = e->v[k];
            int ours = bound && !outer && !(scope == PY_SCOPE_CLASS && v.role == PY_FREE);
            if (ours || v.role == PY_PARAM)
                continue;
            v.role = scope == PY_SCOPE_FUNCTION || v.role == PY_FREE ? PY_FREE : PY_FIXED;
            e->v[out++] = v;
        }
    }
    e->n = out;
}

/* ---- what a statement at the top leaves ---- */

static int keep(struct py_module *m, const struct py_event *v)
{
    if (m->n_name == m->cap_name) {
        int cap = m->cap_name ? 2 * m->cap_name : 256;
        struct py_name *q = realloc(m->name, (size_t)cap * sizeof *q);
        if (!q)
            return ERR_NOMEM;
        m->name = q;
        m->cap_name = cap;
    }
    m->name[m->n_name++] = (struct py_name){v->p, v->n};
    return 0;
}

int py_names_statement(struct py_parser *p, struct py_module *m, struct py_stmt *s)
{
    struct py_events *e = &p->ev;
    s->name = m->n_name;
    if (e->on)
        sort_names(e, 0);
    if (m->n_name + (int)e->n > PY_MAX_NAMES)
        switch_off(e);
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0, j; i < e->n; i = j) {
            int is[3] = {0, 0, 0}; /* bound, changed, used */
            for (j = i; j < e->n && !by_name(&e->v[j], &e->v[i]); j++) {
                int r = e->v[j].role;
                is[r == PY_BIND ? 0 : r == PY_TOUCH ? 1 : 2] |= r != PY_PARAM;
            }
            if (!is[pass])
                continue;
            if (keep(m, &e->v[i]) < 0)
                return ERR_NOMEM;
            ++*(pass == 0 ? &s->n_binds : pass == 1 ? &s->n_changes : &s->n_uses);
        }
    e->n = 0;
    if (e->full)
        m->more = 1;
    return e->nomem ? ERR_NOMEM : 0;
}
