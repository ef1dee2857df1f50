/* jinja_eval - expressions of a template: operators, names, attributes, items, slices, calls */
#include "jinja_impl.h"
#include <math.h>
#include <string.h>

const char j_absent[] = "an argument";

/* ---- names ---- */

static struct jv lookup(struct jx *x, const char *name)
{
    for (const struct jframe *f = x->f; f; f = f->up) {
        x->steps += (long)(f->n / 16);
        for (size_t i = f->n; i-- > 0;)
            if (f->v[i].name == name)
                return f->v[i].v;
    }
    const struct jv *v = jdict_find(x->vars->vars, name);
    if (v)
        return *v;
    const struct jfunc *f = jfunc_find(name, strlen(name));
    return f ? (struct jv){J_FUNC, {.func = f}} : j_undef(name);
}

/* ---- arithmetic ---- */

static struct jv overflow(struct jx *x)
{
    return jx_fail(x, "a number is beyond 64 bits");
}

static struct jv power(struct jx *x, struct jv a, struct jv b)
{
    if (a.t == J_FLOAT || b.t == J_FLOAT || b.u.i < 0) {
        double f = pow(j_double(a), j_double(b));
        return isfinite(f) ? j_float(f) : jx_fail(x, "a power that is no number");
    }
    int64_t r = 1;
    for (int64_t base = a.u.i, n = b.u.i; n > 0; n >>= 1) {
        if (n & 1 && __builtin_mul_overflow(r, base, &r))
            return overflow(x);
        if (n > 1 && __builtin_mul_overflow(base, base, &base))
            return overflow(x);
    }
    return j_int(r);
}

static struct jv divide(struct jx *x, int op, struct jv a, struct jv b)
{
    if (j_double(b) == 0)
        return jx_fail(x, "division by zero");
    if (op == '/')
        return j_float(j_double(a) / j_double(b));
    if (a.t == J_FLOAT || b.t == J_FLOAT) {
        double p = j_double(a), q = j_double(b), m = fmod(p, q);
        if (m != 0 && (m < 0) != (q < 0))
            m += q;
        return j_float(op == '%' ? m == 0 ? copysign(0, q) : m : floor((p - m) / q + 0.5));
    }
    if (a.u.i == INT64_MIN && b.u.i == -1)
        return op == '%' ? j_int(0) : overflow(x);
    int64_t q = a.u.i / b.u.i, m = a.u.i % b.u.i;
    if (m != 0 && (m < 0) != (b.u.i < 0)) {
        m += b.u.i;
        q--;
    }
    return j_int(op == '%' ? m : q);
}

static struct jv arithmetic(struct jx *x, int op, struct jv a, struct jv b)
{
    int64_t r;
    if (op == J2('*', '*'))
        return power(x, a, b);
    if (op == '/' || op == '%' || op == J2('/', '/'))
        return divide(x, op, a, b);
    if (a.t == J_FLOAT || b.t == J_FLOAT) {
        double p = j_double(a), q = j_double(b);
        return j_float(op == '+' ? p + q : op == '-' ? p - q : p * q);
    }
    if (op == '+'   ? __builtin_add_overflow(a.u.i, b.u.i, &r)
        : op == '-' ? __builtin_sub_overflow(a.u.i, b.u.i, &r)
                    : __builtin_mul_overflow(a.u.i, b.u.i, &r))
        return overflow(x);
    return j_int(r);
}

/* ---- texts and lists ---- */

/* What |safe marks as HTML does not join plain text unescaped, as in markupsafe. */
static void add_escaped(struct jx *x, struct jbuf *b, const struct jstr *s)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    for (size_t i = 0; i < s->n && !x->failed; i++) {
        const char *p = s->s[i] ? strchr(from, s->s[i]) : NULL;
        if (p)
            jbuf_add(x, b, to[p - from], strlen(to[p - from]), s->m ? s->m[i] : s->mark);
        else
            jbuf_sub(x, b, s, i, 1);
    }
}

static struct jv join2(struct jx *x, const struct jstr *a, const struct jstr *b)
{
    struct jbuf t = {0};
    int markup = a->markup | b->markup;
    if (!markup && a->n == 0)
        return (struct jv){J_STR, {.s = (struct jstr *)(uintptr_t)b}};
    if (!markup && b->n == 0)
        return (struct jv){J_STR, {.s = (struct jstr *)(uintptr_t)a}};
    for (int i = 0; i < 2; i++)
        if (markup && !(i ? b : a)->markup)
            add_escaped(x, &t, i ? b : a);
        else
            jbuf_str(x, &t, i ? b : a);
    struct jv v = jbuf_take(x, &t);
    if (!x->failed)
        v.u.s->markup = (uint8_t)markup;
    return v;
}

static struct jv join_lists(struct jx *x, enum jtype t, const struct jlist *a,
                            const struct jlist *b)
{
    struct jlist *l;
    struct jv v = j_list(x, t, &l);
    for (size_t i = 0; i < a->n && !x->failed; i++)
        jlist_add(x, l, a->v[i]);
    for (size_t i = 0; i < b->n && !x->failed; i++)
        jlist_add(x, l, b->v[i]);
    return v;
}

static struct jv repeat(struct jx *x, struct jv a, int64_t n)
{
    struct jbuf b = {0};
    struct jlist *l = NULL;
    struct jv v = a.t == J_STR ? a : j_list(x, a.t, &l);
    for (int64_t i = 0; i < n && !x->failed; i++)
        if (a.t == J_STR) {
            if (jx_spend(x, 0) == 0)
                jbuf_str(x, &b, a.u.s);
        } else
            for (size_t k = 0; k <= a.u.l->n && !jx_spend(x, 0); k++)
                if (k < a.u.l->n)
                    jlist_add(x, l, a.u.l->v[k]);
    return a.t == J_STR ? jbuf_take(x, &b) : v;
}

static int sequence(struct jv v)
{
    return v.t == J_STR || v.t == J_LIST || v.t == J_TUPLE;
}

static int whole(struct jv v)
{
    return v.t == J_INT || v.t == J_BOOL;
}

struct jv jeval_bin(struct jx *x, int op, struct jv a, struct jv b)
{
    struct jargs args = {.v = &b, .n = 1};
    if (x->failed)
        return j_undef(NULL);
    if (j_number(a) && j_number(b))
        return arithmetic(x, op, a, b);
    for (int i = 0; i < 2; i++)
        if ((i ? b : a).t == J_UNDEF)
            return jx_fail(x, "'%s' is undefined",
                           (i ? b : a).u.what ? (i ? b : a).u.what : "a value");
    if (op == '+' && a.t == J_STR && b.t == J_STR)
        return join2(x, a.u.s, b.u.s);
    if (op == '+' && a.t == b.t && (a.t == J_LIST || a.t == J_TUPLE))
        return join_lists(x, a.t, a.u.l, b.u.l);
    if (op == '*' && sequence(a) && whole(b))
        return repeat(x, a, b.u.i);
    if (op == '*' && whole(a) && sequence(b))
        return repeat(x, b, a.u.i);
    if (op == '%' && a.t == J_STR) {
        if (b.t == J_TUPLE)
            args = (struct jargs){.v = b.u.l->v, .n = b.u.l->n};
        return jtext_format(x, a.u.s, &args);
    }
    char name[3] = {(char)(op > 255 ? op >> 8 : op), (char)(op > 255 ? op & 255 : 0), 0};
    return jx_fail(x, "unsupported operand types for %s: '%s' and '%s'", name, j_type(a),
                   j_type(b));
}

/* ---- operators that look at nodes ---- */

static struct jv concat(struct jx *x, const struct jnode *n)
{
    struct jbuf b = {0};
    for (const struct jnode *k = n->list; k && !x->failed; k = k->next)
        jprint_str(x, &b, jeval(x, k->a));
    return jbuf_take(x, &b);
}

static int compare(struct jx *x, int op, struct jv a, struct jv b)
{
    switch (op) {
    case 1:
        return j_in(x, a, b);
    case 2:
        return !j_in(x, a, b);
    case J2('=', '='):
        return j_eq(x, a, b);
    case J2('!', '='):
        return !j_eq(x, a, b);
    default:
        break;
    }
    if (j_number(a) && j_number(b) && (isnan(j_double(a)) || isnan(j_double(b))))
        return 0;
    int c = j_cmp(x, a, b);
    return op == '<' ? c < 0 : op == '>' ? c > 0 : op == J2('<', '=') ? c <= 0 : c >= 0;
}

static struct jv compare_chain(struct jx *x, const struct jnode *n)
{
    struct jv a = jeval(x, n->a);
    int yes = 1;
    for (const struct jnode *k = n->list; k && yes && !x->failed; k = k->next) {
        struct jv b = jeval(x, k->a);
        if (!x->failed)
            yes = compare(x, k->op, a, b);
        a = b;
    }
    return j_bool(yes);
}

static struct jv display(struct jx *x, const struct jnode *n)
{
    struct jlist *l;
    struct jdict *d;
    struct jv v;
    if (n->kind == N_DICT) {
        v = j_dict(x, &d);
        for (const struct jnode *k = n->list; k && !x->failed; k = k->next->next) {
            struct jv key = jeval(x, k->a);
            jdict_put(x, d, key, jeval(x, k->next->a));
        }
        return v;
    }
    v = j_list(x, n->kind == N_LIST ? J_LIST : J_TUPLE, &l);
    for (const struct jnode *k = n->list; k && !x->failed; k = k->next)
        jlist_add(x, l, jeval(x, k->a));
    return v;
}

static struct jv sign(struct jx *x, const struct jnode *n)
{
    struct jv v = jeval(x, n->a);
    if (n->kind == N_POS && !n->op)
        return v;
    if (x->failed || !j_number(v))
        return jx_fail(x, "bad operand type for unary %c: '%s'", n->kind == N_NEG ? '-' : '+',
                       j_type(v));
    if (v.t == J_FLOAT)
        return j_float(n->kind == N_NEG ? -v.u.f : v.u.f);
    if (n->kind == N_NEG && v.u.i == INT64_MIN)
        return overflow(x);
    return j_int(n->kind == N_NEG ? -v.u.i : v.u.i);
}

/* ---- calls ---- */

static void add_named(struct jx *x, struct jdict *d, struct jv name, struct jv v)
{
    if (name.t != J_STR || memchr(name.u.s->s, 0, name.u.s->n))
        jx_fail(x, "keywords must be strings");
    else if (jdict_get(x, d, name))
        jx_fail(x, "got several values for the argument '%.*s'", (int)name.u.s->n, name.u.s->s);
    else
        jdict_put(x, d, name, v);
}

/* One argument of the call; those with stars are several. */
static void add_arg(struct jx *x, const struct jnode *k, struct jlist *places, struct jdict *named)
{
    struct jv v = jeval(x, k->a);
    if (x->failed)
        return;
    if (k->name)
        add_named(x, named, j_text(x, k->name), v);
    else if (k->op == 0)
        jlist_add(x, places, v);
    else if (k->op == 1) {
        const struct jlist *l = j_iter(x, v);
        for (size_t i = 0; l && i < l->n && !x->failed; i++)
            jlist_add(x, places, l->v[i]);
    } else if (v.t != J_DICT)
        jx_fail(x, "argument after ** must be a mapping, not %s", j_type(v));
    else
        for (size_t i = 0; i < v.u.d->n && !x->failed; i++)
            add_named(x, named, v.u.d->key[i], v.u.d->val[i]);
}

int jeval_args(struct jx *x, const struct jnode *call, struct jargs *args)
{
    struct jlist *places;
    struct jdict *named;
    *args = (struct jargs){0};
    if (!call->list)
        return 0;
    j_list(x, J_LIST, &places);
    j_dict(x, &named);
    for (const struct jnode *k = call->list; k && !x->failed; k = k->next)
        add_arg(x, k, places, named);
    size_t n = places->n + named->n;
    args->v = jx_alloc(x, n * (sizeof *args->v + sizeof *args->name) + 1);
    if (x->failed)
        return -1;
    args->name = (const char **)(args->v + n);
    args->n = places->n;
    args->n_kw = named->n;
    for (size_t i = 0; i < args->n; i++)
        args->v[i] = places->v[i];
    for (size_t i = 0; i < args->n_kw; i++) {
        const struct jstr *s = named->key[i].u.s;
        char *name = jx_alloc(x, s->n + 1);
        if (!name)
            return -1;
        memcpy(name, s->s, s->n);
        args->name[args->n + i] = name;
        args->v[args->n + i] = named->val[i];
    }
    return 0;
}

struct jv jcall(struct jx *x, struct jv f, const struct jargs *args)
{
    struct jv arg[J_PARAMS];
    if (x->failed)
        return j_undef(NULL);
    switch (f.t) {
    case J_FUNC:
        return f.u.func->f(x, args);
    case J_MACRO:
        return jcall_macro(x, f.u.macro, args, j_undef("caller"));
    case J_METHOD: {
        const struct jmethod_row *m = f.u.method->row;
        if (m->raw)
            return m->raw(x, f.u.method->self, args);
        if (jbind(x, m->name, m->params, m->needs, args, arg))
            return j_undef(NULL);
        return m->f(x, f.u.method->self, arg);
    }
    case J_UNDEF:
        return jx_fail(x, "'%s' is undefined", f.u.what ? f.u.what : "a value");
    default:
        return jx_fail(x, "'%s' object is not callable", j_type(f));
    }
}

static struct jv call(struct jx *x, const struct jnode *n)
{
    struct jargs args;
    struct jv f = jeval(x, n->a);
    if (x->failed || jeval_args(x, n, &args))
        return j_undef(NULL);
    x->line = n->line;
    return jcall(x, f, &args);
}

static struct jv filter(struct jx *x, const struct jnode *n)
{
    struct jargs args;
    struct jv v = n->a ? jeval(x, n->a) : x->block;
    if (x->failed || jeval_args(x, n, &args))
        return j_undef(NULL);
    x->line = n->line;
    return jfilter_apply(x, n->row, v, &args);
}

static struct jv test(struct jx *x, const struct jnode *n)
{
    struct jargs args;
    struct jv v = jeval(x, n->a);
    if (x->failed || jeval_args(x, n, &args))
        return j_undef(NULL);
    x->line = n->line;
    return j_bool(jtest_apply(x, n->row, v, &args));
}

static struct jv condition(struct jx *x, const struct jnode *n)
{
    struct jv v = jeval(x, n->a);
    if (x->failed)
        return v;
    if (j_true(v))
        return jeval(x, n->b);
    return n->c ? jeval(x, n->c) : j_undef("the inline if-expression without else");
}

static struct jv optional(struct jx *x, const struct jnode *n)
{
    return n ? jeval(x, n) : j_none();
}

static struct jv expression(struct jx *x, const struct jnode *n)
{
    struct jv a, b;
    switch (n->kind) {
    case N_CONST:
        return n->val;
    case N_NAME:
        return lookup(x, n->name);
    case N_LIST:
    case N_TUPLE:
    case N_DICT:
        return display(x, n);
    case N_ATTR:
        a = jeval(x, n->a);
        return x->failed ? a : jget_attr(x, a, n->name);
    case N_ITEM:
        a = jeval(x, n->a);
        b = jeval(x, n->b);
        return x->failed ? a : jget_item(x, a, b);
    case N_SLICE: {
        a = jeval(x, n->a);
        b = optional(x, n->b);
        struct jv to = optional(x, n->c), step = optional(x, n->list);
        return x->failed ? a : jget_slice(x, a, b, to, step);
    }
    case N_CALL:
        return call(x, n);
    case N_FILTER:
        return filter(x, n);
    case N_TEST:
        return test(x, n);
    case N_BIN:
        a = jeval(x, n->a);
        b = jeval(x, n->b);
        return jeval_bin(x, n->op, a, b);
    case N_CONCAT:
        return concat(x, n);
    case N_CMP:
        return compare_chain(x, n);
    case N_AND:
        a = jeval(x, n->a);
        return j_true(a) ? jeval(x, n->b) : a;
    case N_OR:
        a = jeval(x, n->a);
        return x->failed || j_true(a) ? a : jeval(x, n->b);
    case N_NOT:
        return j_bool(!j_true(jeval(x, n->a)));
    case N_NEG:
    case N_POS:
        return sign(x, n);
    case N_COND:
        return condition(x, n);
    default:
        return jx_fail(x, "a statement where an expression should be");
    }
}

struct jv jeval(struct jx *x, const struct jnode *n)
{
    struct jv v = j_undef(NULL);
    if (!jx_enter(x) && !jx_spend(x, 0)) {
        x->line = n->line;
        v = expression(x, n);
    }
    jx_leave(x);
    return v;
}
