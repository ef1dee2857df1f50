/* jinja_filter - the filters of templates that look at one value: trim, tojson, indent, int ... */
#include "jinja_filter.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct jstr *text(struct jx *x, struct jv v)
{
    return jprint_to_str(x, v).u.s;
}

/* ---- strings ---- */

static struct jv f_trim(struct jx *x, struct jv v, const struct jv *arg)
{
    return jtext_strip(x, text(x, v), arg[0], 3);
}

static struct jv f_upper(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, text(x, v), 'u');
}

static struct jv f_lower(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, text(x, v), 'l');
}

static struct jv f_capitalize(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, text(x, v), 'c');
}

static struct jv f_title(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return jtext_case(x, text(x, v), 'w');
}

static struct jv f_string(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return jprint_to_str(x, v);
}

static struct jv f_safe(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    const struct jstr *s = text(x, v);
    struct jv o = j_sub(x, s, 0, s->n);
    if (!x->failed)
        o.u.s->markup = 1;
    return o;
}

static struct jv f_replace(struct jx *x, struct jv v, const struct jv *arg)
{
    int64_t count = -1;
    if (j_given(arg[2]) && arg[2].t != J_NONE) {
        if (arg[2].t != J_INT)
            return jx_fail(x, "replace: expected a number, found '%s'", j_type(arg[2]));
        count = arg[2].u.i;
    }
    const struct jstr *s = text(x, v), *from = text(x, arg[0]), *to = text(x, arg[1]);
    return x->failed ? v : jtext_replace(x, s, from, to, count);
}

static struct jv f_format(struct jx *x, struct jv v, const struct jargs *args)
{
    if (args->n_kw)
        return jx_fail(x, "format with names is not supported");
    return jtext_format(x, text(x, v), args);
}

static struct jv f_indent(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jbuf b = {0};
    struct jv by = arg[0], one = j_text(x, " "), none[J_PARAMS] = {j_undef(j_absent)};
    int first = j_given(arg[1]) && j_true(arg[1]), blank = j_given(arg[2]) && j_true(arg[2]);
    if (v.t != J_STR)
        return jx_fail(x, "indent: expected a string, found '%s'", j_type(v));
    if (!j_given(by) || by.t == J_INT)
        by = jeval_bin(x, '*', one, j_given(by) ? by : j_int(4));
    struct jmethod lines = {jmethod_find("splitlines", J_STR), v};
    /* one newline more, as Jinja does: a text that ends with one keeps it */
    lines.self = jeval_bin(x, '+', lines.self, j_text(x, "\n"));
    if (x->failed || by.t != J_STR)
        return jx_fail(x, "indent: expected a width");
    struct jv l = lines.row->f(x, lines.self, none);
    for (size_t i = 0; i < l.u.l->n && !x->failed; i++) {
        struct jv line = l.u.l->v[i];
        if (i)
            jbuf_add(x, &b, "\n", 1, 0);
        if (i ? blank || line.u.s->n : first)
            jbuf_str(x, &b, by.u.s);
        jbuf_str(x, &b, line.u.s);
    }
    return jbuf_take(x, &b);
}

/* transformers' own: no HTML escapes, json.dumps' arguments */
static struct jv f_tojson(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jbuf b = {0};
    struct jjson o = {.indent = -1, .key_sep = j_text(x, ": ")};
    o.ascii = j_given(arg[0]) && j_true(arg[0]);
    if (j_given(arg[1]) && arg[1].t != J_NONE) {
        if ((arg[1].t != J_INT && arg[1].t != J_BOOL) || arg[1].u.i < 0 || arg[1].u.i > 40)
            return jx_fail(x, "tojson: indent: expected 0 to 40");
        o.indent = (int)arg[1].u.i;
    }
    o.item_sep = j_text(x, o.indent < 0 ? ", " : ",");
    if (j_given(arg[2]) && arg[2].t != J_NONE) {
        const struct jlist *l = arg[2].t == J_TUPLE || arg[2].t == J_LIST ? arg[2].u.l : NULL;
        if (!l || l->n != 2 || l->v[0].t != J_STR || l->v[1].t != J_STR)
            return jx_fail(x, "tojson: separators: expected two strings");
        o.item_sep = l->v[0];
        o.key_sep = l->v[1];
    }
    o.sort = j_given(arg[3]) && j_true(arg[3]);
    jprint_json(x, &b, v, &o, 0);
    return jbuf_take(x, &b);
}

/* ---- numbers ---- */

static struct jv f_abs(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    if (!j_number(v) || (v.t != J_FLOAT && v.u.i == INT64_MIN))
        return jx_fail(x, "abs: expected a number, found '%s'", j_type(v));
    return v.t == J_FLOAT ? j_float(fabs(v.u.f)) : j_int(v.u.i < 0 ? -v.u.i : v.u.i);
}

/* Python's float() of a text: 1 and *f, or 0 */
static int to_float(struct jx *x, struct jv v, double *f)
{
    char buf[100], *end;
    struct jv t = jtext_strip(x, v.u.s, j_none(), 3);
    if (x->failed || t.u.s->n == 0 || t.u.s->n >= sizeof buf)
        return 0;
    memcpy(buf, t.u.s->s, t.u.s->n);
    buf[t.u.s->n] = 0;
    if (strpbrk(buf, "xX(_")) /* C reads hex and nan(...), Python does not */
        return 0;
    *f = strtod(buf, &end);
    return *end == 0;
}

static struct jv to_int(struct jx *x, double f, struct jv otherwise)
{
    if (!isfinite(f))
        return otherwise;
    if (fabs(f) >= 9.2e18)
        return jx_fail(x, "a number is beyond 64 bits");
    return j_int((int64_t)f);
}

static struct jv f_int(struct jx *x, struct jv v, const struct jv *arg)
{
    struct jv otherwise = j_given(arg[0]) ? arg[0] : j_int(0);
    double f;
    if (v.t == J_UNDEF)
        return jx_fail(x, "'%s' is undefined", v.u.what ? v.u.what : "a value");
    if (j_given(arg[1]) && !(arg[1].t == J_INT && arg[1].u.i == 10))
        return jx_fail(x, "int: only base 10 is supported");
    if (v.t == J_INT || v.t == J_BOOL)
        return j_int(v.u.i);
    if (v.t == J_FLOAT)
        return to_int(x, v.u.f, otherwise);
    if (v.t != J_STR || !to_float(x, v, &f))
        return otherwise;
    struct jv t = jtext_strip(x, v.u.s, j_none(), 3); /* whole numbers exactly */
    char buf[32], *end;
    if (t.u.s->n < 19) {
        memcpy(buf, t.u.s->s, t.u.s->n);
        buf[t.u.s->n] = 0;
        long long i = strtoll(buf, &end, 10);
        if (*end == 0)
            return j_int(i);
    }
    return to_int(x, f, otherwise);
}

static struct jv f_float(struct jx *x, struct jv v, const struct jv *arg)
{
    double f;
    if (v.t == J_UNDEF)
        return jx_fail(x, "'%s' is undefined", v.u.what ? v.u.what : "a value");
    if (j_number(v))
        return j_float(j_double(v));
    if (v.t == J_STR && to_float(x, v, &f))
        return j_float(f);
    return j_given(arg[0]) ? arg[0] : j_float(0);
}

static struct jv f_round(struct jx *x, struct jv v, const struct jv *arg)
{
    char buf[400];
    int64_t digits = j_given(arg[0]) && arg[0].t == J_INT ? arg[0].u.i : 0;
    const struct jv how = arg[1];
    if (!j_number(v) || (j_given(arg[0]) && arg[0].t != J_INT) || digits < 0 || digits > 20)
        return jx_fail(x, "round: expected a number and 0 to 20 digits");
    if (!j_given(how) || j_is_str(how, "common")) {
        if (v.t != J_FLOAT)
            return j_int(v.u.i);
        snprintf(buf, sizeof buf, "%.*f", (int)digits, v.u.f); /* correctly rounded, as Python's */
        return j_float(isfinite(v.u.f) ? strtod(buf, NULL) : v.u.f);
    }
    double scale = pow(10, (double)digits), f = j_double(v) * scale;
    if (j_is_str(how, "ceil") || j_is_str(how, "floor"))
        return j_float((j_is_str(how, "ceil") ? ceil(f) : floor(f)) / scale);
    return jx_fail(x, "round: expected common, ceil or floor");
}

/* ---- any ---- */

static struct jv f_default(struct jx *x, struct jv v, const struct jv *arg)
{
    int by_truth = j_given(arg[1]) && j_true(arg[1]);
    if (v.t != J_UNDEF && !(by_truth && !j_true(v)))
        return v;
    return j_given(arg[0]) ? arg[0] : j_text(x, "");
}

static struct jv f_length(struct jx *x, struct jv v, const struct jv *arg)
{
    (void)arg;
    return j_int(j_len(x, v));
}

static const struct jfilter filters[] = {
    // clang-format off
    {"trim", "chars", f_trim, 0, NULL}, {"upper", "", f_upper, 0, NULL}, {"lower", "", f_lower, 0, NULL},
    {"capitalize", "", f_capitalize, 0, NULL}, {"title", "", f_title, 0, NULL},
    {"string", "", f_string, 0, NULL}, {"safe", "", f_safe, 0, NULL},
    {"replace", "old,new,count", f_replace, 2, NULL}, {"format", "", NULL, 0, f_format},
    {"indent", "width,first,blank", f_indent, 0, NULL},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", f_tojson, 0, NULL},
    {"abs", "", f_abs, 0, NULL}, {"int", "default,base", f_int, 0, NULL},
    {"float", "default", f_float, 0, NULL}, {"round", "precision,method", f_round, 0, NULL},
    {"default", "default_value,boolean", f_default, 0, NULL}, {"d", "default_value,boolean", f_default, 0, NULL},
    {"length", "", f_length, 0, NULL}, {"count", "", f_length, 0, NULL},
    // clang-format on
};

const struct jfilter *jfilter_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strlen(filters[i].name) == n && memcmp(filters[i].name, name, n) == 0)
            return &filters[i];
    for (const struct jfilter *f = jfilter_of_lists; f->name; f++)
        if (strlen(f->name) == n && memcmp(f->name, name, n) == 0)
            return f;
    return NULL;
}

struct jv jfilter_apply(struct jx *x, const struct jfilter *f, struct jv v,
                        const struct jargs *args)
{
    struct jv arg[J_PARAMS];
    if (f->raw) { /* map applies others, which may be map */
        v = jx_enter(x) ? j_undef(NULL) : f->raw(x, v, args);
        jx_leave(x);
        return v;
    }
    if (jbind(x, f->name, f->params, f->needs, args, arg))
        return j_undef(NULL);
    return f->f(x, v, arg);
}
