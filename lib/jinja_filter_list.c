/* jinja_filter_list - the filters of templates that go through a list: map, select, sort, join ... */
#include "jinja_filter.h"
#include <stdlib.h>
#include <string.h>

static struct jv arg_of(const struct jargs *args, const char *name)
{
    for (size_t k = 0; k < args->n_kw; k++)
        if (strcmp(args->name[args->n + k], name) == 0)
            return args->v[args->n + k];
    return j_undef(j_absent);
}

/* ---- order ---- */

struct sorting {
    struct jv key, item;
    size_t at;
};

/* What sort, min, unique compare: an attribute perhaps, without case unless told. */
static struct jv sort_key(struct jx *x, struct jv v, struct jv attribute, int fold)
{
    if (j_given(attribute) && attribute.t != J_NONE)
        v = jattr_path(x, v, attribute);
    return fold && v.t == J_STR && !x->failed ? jtext_case(x, v.u.s, 'l') : v;
}

/* Stable merge sort: comparing may fail, which qsort has no way to hear of. */
static void merge_sort(struct jx *x, struct sorting *v, struct sorting *tmp, size_t n, int reverse)
{
    size_t h = n / 2, i = 0, j = h, k = 0;
    if (n < 2 || x->failed)
        return;
    merge_sort(x, v, tmp, h, reverse);
    merge_sort(x, v + h, tmp, n - h, reverse);
    while (i < h && j < n && !x->failed && !jx_spend(x, 0)) {
        int c = j_cmp(x, v[j].key, v[i].key);
        tmp[k++] = (reverse ? c > 0 : c < 0) ? v[j++] : v[i++];
    }
    while (i < h)
        tmp[k++] = v[i++];
    while (j < n)
        tmp[k++] = v[j++];
    memcpy(v, tmp, n * sizeof *v);
}

struct jlist *jsorted(struct jx *x, const struct jlist *l, struct jv by, int reverse, int fold)
{
    struct jlist *out;
    j_list(x, J_LIST, &out);
    struct sorting *s = jx_alloc(x, 2 * l->n * sizeof *s + 1);
    if (!s)
        return out;
    for (size_t i = 0; i < l->n && !x->failed; i++)
        s[i] = (struct sorting){sort_key(x, l->v[i], by, fold), l->v[i], i};
    if (!x->failed)
        merge_sort(x, s, s + l->n, l->n, reverse);
    for (size_t i = 0; i < l->n && !x->failed; i++)
        jlist_add(x, out, s[i].item);
    return out;
}

static int on(struct jv v)
{
    return j_given(v) && j_true(v);
}

static struct jv as_list(struct jlist *l)
{
    return (struct jv){J_LIST, {.l = l}};
}

static struct jv f_sort(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l = j_iter(x, v);
    return l ? as_list(jsorted(x, l, arg[2], on(arg[0]), !on(arg[1]))) : v;
}

static struct jv f_dictsort(struct jx *x, struct jv v, const struct jv *arg)
{
    int by_value = j_given(arg[1]) && j_is_str(arg[1], "value");
    if (v.t != J_DICT)
        return jx_fail(x, "dictsort: expected a mapping, found '%s'", j_type(v));
    if (j_given(arg[1]) && !by_value && !j_is_str(arg[1], "key"))
        return jx_fail(x, "dictsort: expected by='key' or 'value'");
    struct jv items = jdict_list(x, v.u.d, 'i', J_LIST);
    return x->failed ? v : as_list(jsorted(x, items.u.l, j_int(by_value), on(arg[2]), !on(arg[0])));
}

static struct jv extreme(struct jx *x, struct jv v, const struct jv *arg, int sign)
{
    struct jlist *l = j_iter(x, v);
    struct jv best = j_undef("the extreme of an empty sequence"), key = best;
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        struct jv k = sort_key(x, l->v[i], arg[1], !on(arg[0]));
        if (x->failed || (i && j_cmp(x, k, key) * sign <= 0))
            continue;
        best = l->v[i];
        key = k;
    }
    return best;
}

static struct jv f_max(struct jx *x, struct jv v, const struct jv *arg)
{
    return extreme(x, v, arg, 1);
}

static struct jv f_min(struct jx *x, struct jv v, const struct jv *arg)
{
    return extreme(x, v, arg, -1);
}

static struct jv f_unique(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l = j_iter(x, v), *out;
    struct jdict *seen;
    struct jv gen = j_list(x, J_GEN, &out);
    j_dict(x, &seen);
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        struct jv k = sort_key(x, l->v[i], arg[1], !on(arg[0]));
        if (jdict_get(x, seen, k))
            continue;
        jdict_put(x, seen, k, j_none());
        jlist_add(x, out, l->v[i]);
    }
    return gen;
}

static struct jv f_reverse(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l, *out;
    (void)arg;
    if (v.t == J_STR)
        return jget_slice(x, v, j_none(), j_none(), j_int(-1));
    if (!(l = j_iter(x, v)))
        return v;
    struct jv gen = j_list(x, v.t == J_GEN ? J_LIST : J_GEN, &out);
    for (size_t i = l->n; i-- > 0 && !x->failed;)
        jlist_add(x, out, l->v[i]);
    return gen;
}

/* ---- one of them, all of them ---- */

static struct jv f_first(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    if (v.t == J_GEN)
        return v.u.l->at < v.u.l->n ? v.u.l->v[v.u.l->at++] : j_undef("the first of nothing");
    if (v.t == J_STR)
        return v.u.s->n ? jget_item(x, v, j_int(0)) : j_undef("the first of nothing");
    struct jlist *l = j_iter(x, v);
    return l && l->n ? l->v[0] : j_undef("the first of nothing");
}

static struct jv f_last(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    if (v.t == J_GEN)
        return jx_fail(x, "last: '%s' object is not reversible", j_type(v));
    if (v.t == J_STR)
        return v.u.s->n ? jget_item(x, v, j_int(-1)) : j_undef("the last of nothing");
    struct jlist *l = j_iter(x, v);
    return l && l->n ? l->v[l->n - 1] : j_undef("the last of nothing");
}

static struct jv f_list(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l = j_iter(x, v);
    (void)arg;
    return l ? as_list(l) : v;
}

static struct jv f_items(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *none;
    (void)arg;
    if (v.t == J_UNDEF)
        return j_list(x, J_GEN, &none);
    if (v.t != J_DICT)
        return jx_fail(x, "Can only get item pairs from a mapping, found '%s'", j_type(v));
    return jdict_list(x, v.u.d, 'i', J_GEN);
}

static struct jv f_join(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l = j_iter(x, v), *named;
    struct jv sep = j_given(arg[0]) ? jprint_to_str(x, arg[0]) : j_text(x, "");
    if (l && j_given(arg[1]) && arg[1].t != J_NONE) {
        j_list(x, J_LIST, &named);
        for (size_t i = 0; i < l->n && !x->failed; i++)
            jlist_add(x, named, jattr_path(x, l->v[i], arg[1]));
        l = named;
    }
    return x->failed ? v : jtext_join(x, sep.u.s, l, 0);
}

static struct jv f_sum(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jlist *l = j_iter(x, v);
    struct jv sum = j_given(arg[1]) ? arg[1] : j_int(0);
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        struct jv item = l->v[i];
        if (j_given(arg[0]) && arg[0].t != J_NONE)
            item = jattr_path(x, item, arg[0]);
        sum = jeval_bin(x, '+', sum, item);
    }
    return sum;
}

/* ---- map, select ---- */

static struct jargs rest(const struct jargs *args, size_t from)
{
    struct jargs r = *args;
    r.v = r.v ? r.v + from : NULL;
    r.name = r.name ? r.name + from : NULL;
    r.n -= from;
    return r;
}

static const struct jfilter *map_filter(struct jx *x, const struct jargs *args)
{
    const struct jfilter *f = NULL;
    if (args->n && args->v[0].t == J_STR)
        f = jfilter_find(args->v[0].u.s->s, args->v[0].u.s->n);
    if (!f)
        jx_fail(x, "map: expected the name of a filter that is supported");
    return f;
}

/* Nothing to go through, if it is nothing at all: Jinja looks at the truth before it iterates. */
static struct jlist *some(struct jx *x, struct jv v)
{
    struct jlist *l;
    if (j_true(v))
        return j_iter(x, v);
    j_list(x, J_LIST, &l);
    return l;
}

static struct jv f_map(struct jx *x, struct jv v, const struct jargs *args)
{
    struct jlist *l = some(x, v), *out;
    struct jv gen = j_list(x, J_GEN, &out), attribute = arg_of(args, "attribute"),
              otherwise = arg_of(args, "default");
    const struct jfilter *f = NULL;
    if (!args->n && j_given(attribute)) {
        if (args->n_kw > 1u + j_given(otherwise))
            return jx_fail(x, "map: unexpected argument beside attribute and default");
    } else if (l && !(f = map_filter(x, args)))
        return gen;
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        struct jargs more = f ? rest(args, 1) : *args;
        struct jv item =
            f ? jfilter_apply(x, f, l->v[i], &more) : jattr_path(x, l->v[i], attribute);
        if (!f && item.t == J_UNDEF && j_given(otherwise) && otherwise.t != J_NONE)
            item = otherwise;
        jlist_add(x, out, item);
    }
    return gen;
}

/* select, reject and their attr forms: `skip` arguments before the test's name. */
static struct jv choose(struct jx *x, struct jv v, const struct jargs *args, size_t skip, int keep)
{
    struct jlist *l = some(x, v), *out;
    struct jv gen = j_list(x, J_GEN, &out);
    const struct jtest *t = NULL;
    if (args->n < skip || args->n_kw)
        return jx_fail(x, "select: expected an attribute");
    if (args->n > skip) {
        struct jv name = args->v[skip];
        t = name.t == J_STR ? jtest_find(name.u.s->s, name.u.s->n) : NULL;
        if (!t)
            return jx_fail(x, "select: expected the name of a test that is supported");
    }
    for (size_t i = 0; l && i < l->n && !x->failed; i++) {
        struct jv item = skip ? jattr_path(x, l->v[i], args->v[0]) : l->v[i];
        struct jargs more = rest(args, args->n > skip ? skip + 1 : 0);
        if (!x->failed && (t ? jtest_apply(x, t, item, &more) : j_true(item)) == keep)
            jlist_add(x, out, l->v[i]);
    }
    return gen;
}

static struct jv f_select(struct jx *x, struct jv v, const struct jargs *args)
{
    return choose(x, v, args, 0, 1);
}

static struct jv f_reject(struct jx *x, struct jv v, const struct jargs *args)
{
    return choose(x, v, args, 0, 0);
}

static struct jv f_selectattr(struct jx *x, struct jv v, const struct jargs *args)
{
    return choose(x, v, args, 1, 1);
}

static struct jv f_rejectattr(struct jx *x, struct jv v, const struct jargs *args)
{
    return choose(x, v, args, 1, 0);
}

const struct jfilter jfilter_of_lists[] = {
    // clang-format off
    {"map", "", NULL, 0, f_map}, {"select", "", NULL, 0, f_select}, {"reject", "", NULL, 0, f_reject},
    {"selectattr", "", NULL, 0, f_selectattr}, {"rejectattr", "", NULL, 0, f_rejectattr},
    {"join", "d,attribute", f_join, 0, NULL}, {"list", "", f_list, 0, NULL}, {"items", "", f_items, 0, NULL},
    {"first", "", f_first, 0, NULL}, {"last", "", f_last, 0, NULL}, {"reverse", "", f_reverse, 0, NULL},
    {"sort", "reverse,case_sensitive,attribute", f_sort, 0, NULL},
    {"dictsort", "case_sensitive,by,reverse", f_dictsort, 0, NULL},
    {"unique", "case_sensitive,attribute", f_unique, 0, NULL},
    {"min", "case_sensitive,attribute", f_min, 0, NULL}, {"max", "case_sensitive,attribute", f_max, 0, NULL},
    {"sum", "attribute,start", f_sum, 0, NULL}, {NULL, NULL, NULL, 0, NULL},
    // clang-format on
};
