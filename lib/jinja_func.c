/* jinja_func - functions that templates call, how arguments find their parameters, variables from outside */
#include "jinja_impl.h"
#include <stdlib.h>
#include <string.h>

/* ---- parameters ---- */

int jparam_count(const char *params)
{
    int n = *params != 0;
    for (; *params; params++)
        n += *params == ',';
    return n;
}

int jparam_index(const char *params, const char *name)
{
    size_t k = strlen(name);
    for (int i = 0;; i++) {
        const char *comma = strchr(params, ',');
        size_t n = comma ? (size_t)(comma - params) : strlen(params);
        if (n == k && n && memcmp(params, name, n) == 0)
            return i;
        if (!comma)
            return -1;
        params = comma + 1;
    }
}

int jbind(struct jx *x, const char *what, const char *params, int needs, const struct jargs *args,
          struct jv *to)
{
    int most = jparam_count(params), i;
    for (i = 0; i < J_PARAMS; i++)
        to[i] = j_undef(j_absent);
    if (args->n > (size_t)most)
        jx_fail(x, "%s takes at most %d arguments, found %zu", what, most, args->n);
    for (size_t k = 0; k < args->n && !x->failed; k++)
        to[k] = args->v[k];
    for (size_t k = 0; k < args->n_kw && !x->failed; k++) {
        const char *name = args->name[args->n + k];
        if ((i = jparam_index(params, name)) < 0 || j_given(to[i]))
            jx_fail(x, "%s: the argument '%.40s' is unknown or given twice", what, name);
        else
            to[i] = args->v[args->n + k];
    }
    for (i = 0; i < needs && !x->failed; i++)
        if (!j_given(to[i]))
            jx_fail(x, "%s needs %d arguments", what, needs);
    return x->failed;
}

/* ---- functions ---- */

static struct jv f_range(struct jx *x, const struct jargs *args)
{
    enum { MOST = 100000 }; /* of Jinja's sandbox */
    struct jlist *l;
    int64_t v[3] = {0, 0, 1};
    if (args->n < 1 || args->n > 3 || args->n_kw)
        return jx_fail(x, "range takes 1 to 3 arguments");
    for (size_t i = 0; i < args->n; i++) {
        if (args->v[i].t != J_INT && args->v[i].t != J_BOOL)
            return jx_fail(x, "range: expected a whole number, found '%s'", j_type(args->v[i]));
        v[args->n == 1 ? 1 : i] = args->v[i].u.i;
        if (args->v[i].u.i > INT32_MAX || args->v[i].u.i < -INT32_MAX)
            return jx_fail(x, "range too big");
    }
    if (v[2] == 0)
        return jx_fail(x, "range() arg 3 must not be zero");
    struct jv out = j_list(x, J_VIEW, &l);
    if (x->failed)
        return out;
    l->kind = "range";
    for (int64_t i = v[0]; !x->failed && (v[2] > 0 ? i < v[1] : i > v[1]); i += v[2]) {
        if (l->n == MOST)
            return jx_fail(x, "range too big: the sandbox allows %d", MOST);
        jlist_add(x, l, j_int(i));
    }
    return out;
}

/* dict(a, b=1) and namespace(a, b=1) */
static struct jv make_dict(struct jx *x, const struct jargs *args, enum jtype t)
{
    struct jdict *d;
    struct jv v = j_dict(x, &d);
    v.t = t;
    if (args->n > 1 || (args->n && args->v[0].t != J_DICT))
        return jx_fail(x, "expected a mapping and arguments by name");
    for (size_t i = 0; args->n && i < args->v[0].u.d->n && !x->failed; i++)
        jdict_put(x, d, args->v[0].u.d->key[i], args->v[0].u.d->val[i]);
    for (size_t k = 0; k < args->n_kw && !x->failed; k++)
        jdict_put(x, d, j_text(x, args->name[args->n + k]), args->v[args->n + k]);
    return v;
}

static struct jv f_dict(struct jx *x, const struct jargs *args)
{
    return make_dict(x, args, J_DICT);
}

static struct jv f_namespace(struct jx *x, const struct jargs *args)
{
    return make_dict(x, args, J_NS);
}

static struct jv f_raise(struct jx *x, const struct jargs *args)
{
    struct jv arg[J_PARAMS];
    if (jbind(x, "raise_exception", "message", 1, args, arg))
        return arg[0];
    struct jv text = jprint_to_str(x, arg[0]);
    return jx_fail(x, "the template refuses: %.*s", (int)(text.u.s->n < 300 ? text.u.s->n : 300),
                   text.u.s->s);
}

static struct jv f_strftime_now(struct jx *x, const struct jargs *args)
{
    char format[100], out[400];
    struct jv arg[J_PARAMS];
    struct tm now = x->vars->now;
    time_t t;
    if (jbind(x, "strftime_now", "format", 1, args, arg))
        return arg[0];
    if (arg[0].t != J_STR || arg[0].u.s->n >= sizeof format)
        return jx_fail(x, "strftime_now: expected a short string");
    if (!x->vars->has_now && ((t = time(NULL)) == (time_t)-1 || !localtime_r(&t, &now)))
        return jx_fail(x, "the time is not known");
    memcpy(format, arg[0].u.s->s, arg[0].u.s->n);
    format[arg[0].u.s->n] = 0;
    size_t n = strftime(out, sizeof out, format, &now);
    char *s = jx_alloc(x, n + 1);
    if (!s)
        return j_none();
    memcpy(s, out, n);
    return j_str(x, s, n, 0);
}

static const struct jfunc funcs[] = {{"range", "", f_range},
                                     {"dict", "", f_dict},
                                     {"namespace", "", f_namespace},
                                     {"raise_exception", "message", f_raise},
                                     {"strftime_now", "format", f_strftime_now}};

const struct jfunc *jfunc_find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof funcs / sizeof *funcs; i++)
        if (strlen(funcs[i].name) == n && memcmp(funcs[i].name, name, n) == 0)
            return &funcs[i];
    return NULL;
}

/* ---- variables from outside ---- */

struct jinja_vars *jinja_vars_new(void)
{
    struct jinja_vars *v = calloc(1, sizeof *v);
    if (v) {
        struct err none = {0};
        struct jx x = {.a = &v->a, .e = &none, .most = JINJA_STEPS};
        v->a.limit = JINJA_MEMORY;
        v->steps = JINJA_STEPS;
        j_dict(&x, &v->vars);
        if (!x.failed)
            return v;
    }
    jinja_vars_free(v);
    return NULL;
}

void jinja_vars_free(struct jinja_vars *v)
{
    if (v)
        jarena_free(&v->a);
    free(v);
}

static struct jv copied(struct jx *x, const char *s, int mark)
{
    size_t n = strlen(s);
    char *own = jx_alloc(x, n + 1);
    if (own)
        memcpy(own, s, n);
    return j_str(x, own ? own : "", own ? n : 0, mark);
}

static int put(struct jx *x, struct jinja_vars *v, const char *name, struct jv val)
{
    jdict_put(x, v->vars, copied(x, name, 0), val);
    return x->failed ? x->e->code : 0;
}

int jinja_set_str(struct jinja_vars *v, const char *name, const char *s, int trusted, struct err *e)
{
    struct jx x = {.a = &v->a, .e = e, .most = v->steps};
    return put(&x, v, name, copied(&x, s, trusted ? 0 : JINJA_OUTSIDE));
}

int jinja_set_bool(struct jinja_vars *v, const char *name, int on, struct err *e)
{
    struct jx x = {.a = &v->a, .e = e, .most = v->steps};
    return put(&x, v, name, j_bool(on));
}

int jinja_set_json(struct jinja_vars *v, const char *name, const char *s, size_t n, struct err *e)
{
    struct jx x = {.a = &v->a, .e = e, .most = v->steps};
    struct jv val = jread_json(&x, s, n, JINJA_OUTSIDE);
    return put(&x, v, name, val);
}

int jinja_set_all(struct jinja_vars *v, const char *s, size_t n, int trusted, struct err *e)
{
    struct jx x = {.a = &v->a, .e = e, .most = v->steps};
    struct jv all = jread_json(&x, s, n, trusted ? 0 : JINJA_OUTSIDE);
    if (!x.failed && all.t != J_DICT)
        jx_fail(&x, "the variables: expected an object, found '%s'", j_type(all));
    for (size_t i = 0; !x.failed && i < all.u.d->n; i++)
        jdict_put(&x, v->vars, all.u.d->key[i], all.u.d->val[i]);
    return x.failed ? e->code : 0;
}

void jinja_set_time(struct jinja_vars *v, struct tm now)
{
    v->now = now;
    v->has_now = 1;
}
