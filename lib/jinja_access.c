/* jinja_access - attributes, items and slices of a template's values, as Jinja's sandbox gives them */
#include "jinja_impl.h"
#include <string.h>

/* An attribute that Python has: a method. Those that change what they belong to are not for templates. */
static int python_attr(struct jx *x, struct jv of, const char *name, struct jv *out)
{
    const struct jmethod_row *row = jmethod_find(name, (int)of.t);
    if (!row)
        return 0;
    if (!row->f && !row->raw) {
        *out = j_undef(row->params);
        return 1;
    }
    struct jmethod *m = jx_alloc(x, sizeof *m);
    if (m)
        *m = (struct jmethod){row, of};
    *out = m ? (struct jv){J_METHOD, {.method = m}} : j_undef(NULL);
    return 1;
}

static struct jv undefined_of(struct jx *x, struct jv of)
{
    return jx_fail(x, "'%s' is undefined", of.u.what ? of.u.what : "a value");
}

struct jv jget_attr(struct jx *x, struct jv of, const char *name)
{
    struct jv v;
    const struct jv *p;
    if (of.t == J_UNDEF)
        return undefined_of(x, of);
    if (of.t == J_LOOP)
        return jloop_attr(x, of.u.loop, name);
    if (of.t == J_NS) {
        p = jdict_find(of.u.d, name);
        return p ? *p : j_undef(name);
    }
    if (python_attr(x, of, name, &v))
        return v;
    p = of.t == J_DICT ? jdict_find(of.u.d, name) : NULL;
    return p ? *p : j_undef(name);
}

static int index_of(struct jv key, size_t n, size_t *i)
{
    int64_t k = key.u.i < 0 ? key.u.i + (int64_t)n : key.u.i;
    if (k < 0 || (uint64_t)k >= n)
        return 0;
    *i = (size_t)k;
    return 1;
}

static struct jv nothing(struct jx *x, struct jv key)
{
    if (key.t != J_STR)
        return j_undef("an element");
    char *s = jx_alloc(x, key.u.s->n + 1); /* for the message */
    if (s)
        memcpy(s, key.u.s->s, key.u.s->n);
    return j_undef(s);
}

/* obj[key], and if that fails for a text as key, the attribute */
struct jv jget_item(struct jx *x, struct jv of, struct jv key)
{
    size_t i;
    char name[64];
    struct jv v;
    int number = key.t == J_INT || key.t == J_BOOL;
    if (of.t == J_UNDEF)
        return undefined_of(x, of);
    if (of.t == J_DICT && key.t != J_LIST && key.t != J_DICT) {
        const struct jv *p = jdict_get(x, of.u.d, key);
        if (p)
            return *p;
    } else if (of.t == J_STR && number) {
        if (jx_spend(x, of.u.s->n) || !index_of(key, j_points(of.u.s), &i))
            return nothing(x, key);
        size_t at = j_offset(of.u.s, i), n = 1;
        while (at + n < of.u.s->n && (of.u.s->s[at + n] & 0xc0) == 0x80)
            n++;
        return j_sub(x, of.u.s, at, n);
    } else if ((of.t == J_LIST || of.t == J_TUPLE ||
                (of.t == J_VIEW && strcmp(of.u.l->kind, "range") == 0)) &&
               number)
        return index_of(key, of.u.l->n, &i) ? of.u.l->v[i] : nothing(x, key);
    if (key.t != J_STR || key.u.s->n >= sizeof name)
        return nothing(x, key);
    memcpy(name, key.u.s->s, key.u.s->n);
    name[key.u.s->n] = 0;
    if (of.t == J_NS || of.t == J_LOOP) {
        v = jget_attr(x, of, name);
        return v.t == J_UNDEF ? nothing(x, key) : v;
    }
    return python_attr(x, of, name, &v) ? v : nothing(x, key);
}

/* Python's slice.indices for one bound. */
static int64_t bound(struct jv v, int64_t n, int64_t step, int64_t otherwise)
{
    if (v.t == J_NONE)
        return otherwise;
    int64_t i = v.u.i, least = step < 0 ? -1 : 0, most = step < 0 ? n - 1 : n;
    if (i < 0)
        i = i < -n ? -n - 1 : i;
    i = i < 0 ? i + n : i;
    return i < least ? least : i > most ? most : i;
}

static int index_or_none(struct jv v)
{
    return v.t == J_NONE || v.t == J_INT || v.t == J_BOOL;
}

static struct jv slice_str(struct jx *x, const struct jstr *s, int64_t from, int64_t to,
                           int64_t step)
{
    struct jbuf b = {0};
    if (step == 1) {
        size_t at = j_offset(s, (size_t)from), end = to > from ? j_offset(s, (size_t)to) : at;
        return j_sub(x, s, at, end - at);
    }
    struct jlist *l = j_iter(x, (struct jv){J_STR, {.s = (struct jstr *)(uintptr_t)s}});
    for (int64_t i = from; l && !x->failed && (step > 0 ? i < to : i > to); i += step)
        jbuf_str(x, &b, l->v[i].u.s);
    return jbuf_take(x, &b);
}

struct jv jget_slice(struct jx *x, struct jv of, struct jv from, struct jv to, struct jv step)
{
    struct jlist *l;
    if (of.t == J_UNDEF)
        return undefined_of(x, of);
    if (of.t != J_STR && of.t != J_LIST && of.t != J_TUPLE &&
        !(of.t == J_VIEW && strcmp(of.u.l->kind, "range") == 0))
        return jx_fail(x, "'%s' object has no slices", j_type(of));
    if (!index_or_none(from) || !index_or_none(to) || !index_or_none(step))
        return jx_fail(x, "slice indices must be integers or None");
    int64_t by = step.t == J_NONE ? 1 : step.u.i, n = j_len(x, of);
    if (by == 0)
        return jx_fail(x, "slice step cannot be zero");
    if (x->failed || by > INT32_MAX || by < -INT32_MAX)
        return jx_fail(x, "a slice has too large a step");
    int64_t a = bound(from, n, by, by < 0 ? n - 1 : 0), z = bound(to, n, by, by < 0 ? -1 : n);
    if (of.t == J_STR)
        return slice_str(x, of.u.s, a, z, by);
    struct jv v = j_list(x, of.t == J_VIEW ? J_LIST : of.t, &l);
    if (by == 1 && !x->failed && z > a) { /* lists never change: share the elements */
        l->v = of.u.l->v + a;
        l->n = l->cap = (size_t)(z - a);
        return v;
    }
    for (int64_t i = a; !x->failed && (by > 0 ? i < z : i > z); i += by)
        jlist_add(x, l, of.u.l->v[i]);
    return v;
}

/* "a.b.0" of map(attribute=...), or a number */
struct jv jattr_path(struct jx *x, struct jv v, struct jv path)
{
    if (path.t != J_STR)
        return jget_item(x, v, path);
    const struct jstr *s = path.u.s;
    for (size_t i = 0; i <= s->n && !x->failed;) {
        const char *dot = i < s->n ? memchr(s->s + i, '.', s->n - i) : NULL;
        size_t n = dot ? (size_t)(dot - s->s) - i : s->n - i;
        int64_t number = 0;
        int digits = n > 0 && n < 10;
        for (size_t k = 0; k < n && digits; k++) {
            digits = s->s[i + k] >= '0' && s->s[i + k] <= '9';
            number = number * 10 + (s->s[i + k] - '0');
        }
        if (!jx_spend(x, 0))
            v = jget_item(x, v, digits ? j_int(number) : j_sub(x, s, i, n));
        i += n + 1;
    }
    return v;
}
