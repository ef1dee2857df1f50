/* jinja_compare - truth, equality, order, membership and iteration of a template's values, as in Python */
#include "jinja_impl.h"
#include <string.h>

const char *j_type(struct jv v)
{
    static const char *const name[] = {
        [J_UNDEF] = "Undefined", [J_NONE] = "NoneType", [J_BOOL] = "bool",
        [J_INT] = "int",         [J_FLOAT] = "float",   [J_STR] = "str",
        [J_LIST] = "list",       [J_TUPLE] = "tuple",   [J_DICT] = "dict",
        [J_GEN] = "generator",   [J_NS] = "Namespace",  [J_MACRO] = "Macro",
        [J_FUNC] = "function",   [J_METHOD] = "method", [J_LOOP] = "LoopContext"};
    return v.t == J_VIEW ? v.u.l->kind : name[v.t];
}

int j_number(struct jv v)
{
    return v.t == J_INT || v.t == J_FLOAT || v.t == J_BOOL;
}

double j_double(struct jv v)
{
    return v.t == J_FLOAT ? v.u.f : (double)v.u.i;
}

int j_true(struct jv v)
{
    switch (v.t) {
    case J_UNDEF:
    case J_NONE:
        return 0;
    case J_BOOL:
    case J_INT:
        return v.u.i != 0;
    case J_FLOAT:
        return v.u.f != 0;
    case J_STR:
        return v.u.s->n != 0;
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return v.u.l->n != 0;
    case J_DICT:
        return v.u.d->n != 0;
    default:
        return 1;
    }
}

static int same_list(struct jx *x, const struct jlist *a, const struct jlist *b)
{
    if (a->n != b->n)
        return 0;
    for (size_t i = 0; i < a->n; i++)
        if (!j_eq(x, a->v[i], b->v[i]) || x->failed)
            return 0;
    return 1;
}

static int same_dict(struct jx *x, const struct jdict *a, const struct jdict *b)
{
    if (a->n != b->n)
        return 0;
    for (size_t i = 0; i < a->n; i++) {
        const struct jv *v = jdict_get(x, b, a->key[i]);
        if (!v || !j_eq(x, a->val[i], *v) || x->failed)
            return 0;
    }
    return 1;
}

int j_eq(struct jx *x, struct jv a, struct jv b)
{
    int yes;
    if (a.t == J_STR && b.t == J_STR)
        return a.u.s->n == b.u.s->n && !jx_spend(x, a.u.s->n) &&
               memcmp(a.u.s->s, b.u.s->s, a.u.s->n) == 0;
    if (jx_spend(x, 0))
        return 0;
    if (j_number(a) && j_number(b))
        return a.t == J_FLOAT || b.t == J_FLOAT ? j_double(a) == j_double(b) : a.u.i == b.u.i;
    if (a.t != b.t)
        return 0;
    switch (a.t) {
    case J_UNDEF:
    case J_NONE:
        return 1;
    case J_LIST:
    case J_TUPLE:
    case J_DICT:
        yes = !jx_enter(x) &&
              (a.t == J_DICT ? same_dict(x, a.u.d, b.u.d) : same_list(x, a.u.l, b.u.l));
        jx_leave(x);
        return yes;
    case J_METHOD:
        return a.u.method->row == b.u.method->row;
    default:
        return a.u.l == b.u.l; /* a pointer in all of them */
    }
}

int j_cmp(struct jx *x, struct jv a, struct jv b)
{
    if (j_number(a) && j_number(b)) {
        if (a.t == J_FLOAT || b.t == J_FLOAT) {
            double p = j_double(a), q = j_double(b);
            return (p > q) - (p < q);
        }
        return (a.u.i > b.u.i) - (a.u.i < b.u.i);
    }
    if (a.t == J_STR && b.t == J_STR) { /* the order of UTF-8 is that of code points */
        size_t n = a.u.s->n < b.u.s->n ? a.u.s->n : b.u.s->n;
        int c = jx_spend(x, n) ? 0 : memcmp(a.u.s->s, b.u.s->s, n);
        return c ? c : (a.u.s->n > b.u.s->n) - (a.u.s->n < b.u.s->n);
    }
    if (a.t == b.t && (a.t == J_LIST || a.t == J_TUPLE)) {
        size_t i = 0, n = a.u.l->n < b.u.l->n ? a.u.l->n : b.u.l->n;
        int c = 0;
        if (!jx_enter(x)) {
            while (i < n && j_eq(x, a.u.l->v[i], b.u.l->v[i]) && !x->failed)
                i++;
            c = i < n ? j_cmp(x, a.u.l->v[i], b.u.l->v[i])
                      : (a.u.l->n > b.u.l->n) - (a.u.l->n < b.u.l->n);
        }
        jx_leave(x);
        return c;
    }
    if (a.t == J_UNDEF || b.t == J_UNDEF)
        jx_fail(x, "'%s' is undefined",
                a.t == J_UNDEF && a.u.what   ? a.u.what
                : b.t == J_UNDEF && b.u.what ? b.u.what
                                             : "a value");
    else
        jx_fail(x, "no order between '%s' and '%s'", j_type(a), j_type(b));
    return 0;
}

int j_in(struct jx *x, struct jv item, struct jv of)
{
    if (of.t == J_STR) {
        if (item.t != J_STR)
            jx_fail(x, "'in <string>' requires a string, found %s", j_type(item));
        else if (!jx_spend(x, of.u.s->n))
            return j_find(of.u.s, 0, item.u.s) <= of.u.s->n;
        return 0;
    }
    if (of.t == J_DICT)
        return jdict_get(x, of.u.d, item) != NULL;
    const struct jlist *l = j_iter(x, of);
    for (size_t i = 0; l && i < l->n && !x->failed; i++)
        if (j_eq(x, item, l->v[i]))
            return 1;
    return 0;
}

static struct jlist *characters(struct jx *x, const struct jstr *s)
{
    struct jlist *l;
    j_list(x, J_LIST, &l);
    for (size_t i = 0, n; i < s->n && !x->failed; i += n) {
        for (n = 1; i + n < s->n && (s->s[i + n] & 0xc0) == 0x80;)
            n++;
        jlist_add(x, l, j_sub(x, s, i, n));
    }
    return x->failed ? NULL : l;
}

struct jlist *j_iter(struct jx *x, struct jv v)
{
    struct jlist *l;
    switch (v.t) {
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return v.u.l;
    case J_GEN: /* what is left of it; after this, nothing */
        j_list(x, J_LIST, &l);
        if (x->failed)
            return NULL;
        l->v = v.u.l->v ? v.u.l->v + v.u.l->at : NULL;
        l->n = l->cap = v.u.l->n - v.u.l->at;
        v.u.l->at = v.u.l->n;
        return l;
    case J_DICT:
        j_list(x, J_LIST, &l);
        if (x->failed)
            return NULL;
        l->v = v.u.d->key;
        l->n = l->cap = v.u.d->n;
        return l;
    case J_STR:
        return characters(x, v.u.s);
    case J_UNDEF:
        j_list(x, J_LIST, &l);
        return x->failed ? NULL : l;
    default:
        jx_fail(x, "'%s' object is not iterable", j_type(v));
        return NULL;
    }
}

int64_t j_len(struct jx *x, struct jv v)
{
    switch (v.t) {
    case J_UNDEF:
        return 0;
    case J_STR:
        return jx_spend(x, v.u.s->n) ? -1 : (int64_t)j_points(v.u.s);
    case J_LIST:
    case J_TUPLE:
    case J_VIEW:
        return (int64_t)v.u.l->n;
    case J_DICT:
        return (int64_t)v.u.d->n;
    case J_LOOP:
        return (int64_t)v.u.loop->items->n;
    default:
        jx_fail(x, "object of type '%s' has no length", j_type(v));
        return -1;
    }
}
