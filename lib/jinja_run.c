/* jinja_run - statements of a template; rendering */
#include "jinja_impl.h"
#include <stdlib.h>
#include <string.h>

/* ---- variables ---- */

struct jframe *jframe_new(struct jx *x, struct jframe *up)
{
    struct jframe *f = jx_alloc(x, sizeof *f);
    if (f)
        f->up = up;
    return f;
}

struct jvar *jframe_var(struct jx *x, struct jframe *f, const char *name)
{
    if (jx_spend(x, 4 * f->n))
        return NULL;
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].name == name)
            return &f->v[i];
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 4;
        struct jvar *v = jx_alloc(x, cap * sizeof *v);
        if (!v)
            return NULL;
        if (f->n)
            memcpy(v, f->v, f->n * sizeof *v);
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n] = (struct jvar){name, j_undef(name)};
    return &f->v[f->n++];
}

static void define(struct jx *x, const char *name, struct jv v)
{
    struct jvar *var = x->failed ? NULL : jframe_var(x, x->f, name);
    if (var)
        var->v = v;
}

static void set_attr(struct jx *x, const struct jnode *t, struct jv v)
{
    struct jv ns = jeval(x, t->a);
    if (x->failed)
        return;
    if (ns.t != J_NS)
        jx_fail(x, "cannot assign attribute on non-namespace object");
    else
        jdict_put(x, ns.u.d, j_text(x, t->name), v);
}

static void assign(struct jx *x, const struct jnode *t, struct jv v)
{
    if (x->failed)
        return;
    if (t->kind == N_NAME)
        define(x, t->name, v);
    else if (t->kind == N_ATTR)
        set_attr(x, t, v);
    else {
        struct jlist *l = j_iter(x, v);
        size_t n = 0;
        for (const struct jnode *k = t->list; k; k = k->next)
            n++;
        if (l && l->n != n) {
            jx_fail(x, "cannot unpack %zu values into %zu names", l->n, n);
            return;
        }
        n = 0;
        for (const struct jnode *k = t->list; k && l && !x->failed; k = k->next)
            assign(x, k->a, l->v[n++]);
    }
}

/* A body with a frame of its own, its output as a value. */
static struct jv capture(struct jx *x, const struct jnode *list, struct jframe *f)
{
    struct jbuf b = {0}, *out = x->out;
    struct jframe *outer = x->f;
    if (!f)
        return j_undef(NULL);
    x->out = &b;
    x->f = f;
    jrun(x, list);
    x->f = outer;
    x->out = out;
    return jbuf_take(x, &b);
}

/* ---- macros ---- */

static size_t bind_params(struct jx *x, const struct jnode *m, const struct jargs *args,
                          uint8_t *used)
{
    size_t at = 0;
    for (const struct jnode *p = m->alt; p && !x->failed; p = p->next, at++) {
        struct jv v = j_undef(p->name);
        int given = at < args->n;
        if (jx_spend(x, 8 * args->n_kw))
            break;
        if (given)
            v = args->v[at];
        for (size_t k = 0; k < args->n_kw; k++)
            if (strcmp(args->name[args->n + k], p->name) == 0) {
                if (given)
                    jx_fail(x, "the macro got the argument '%s' twice", p->name);
                v = args->v[args->n + k];
                given = used[k] = 1;
            }
        if (!given && p->a)
            v = jeval(x, p->a); /* a default sees the parameters before it */
        define(x, p->name, v);
    }
    return at;
}

static void bind_rest(struct jx *x, const struct jnode *m, const struct jargs *args, size_t at,
                      const uint8_t *used)
{
    struct jlist *rest;
    struct jdict *named;
    struct jv varargs = j_list(x, J_TUPLE, &rest), kwargs = j_dict(x, &named);
    for (; at < args->n && !x->failed; at++)
        jlist_add(x, rest, args->v[at]);
    for (size_t k = 0; k < args->n_kw && !x->failed; k++)
        if (!used[k])
            jdict_put(x, named, j_text(x, args->name[args->n + k]), args->v[args->n + k]);
    if (x->failed)
        return;
    if (rest->n && !(m->op & JP_VARARGS))
        jx_fail(x, "the macro '%s' takes fewer arguments", m->name ? m->name : "caller");
    if (named->n && !(m->op & JP_KWARGS))
        jx_fail(x, "the macro '%s' takes no argument '%s'", m->name ? m->name : "caller",
                named->key[0].u.s->s);
    if (m->op & JP_VARARGS)
        define(x, x->t->varargs, varargs);
    if (m->op & JP_KWARGS)
        define(x, x->t->kwargs, kwargs);
}

struct jv jcall_macro(struct jx *x, const struct jmacro *m, const struct jargs *args,
                      struct jv caller)
{
    struct jframe *outer = x->f, *f = jframe_new(x, m->frame);
    uint8_t *used = jx_alloc(x, args->n_kw + 1);
    struct jv v = j_undef(NULL);
    int line = x->line;
    if (!jx_enter(x) && f && used) {
        x->f = f;
        size_t at = bind_params(x, m->node, args, used);
        bind_rest(x, m->node, args, at, used);
        if (m->node->kind == N_MACRO && m->node->op & JP_CALLER)
            define(x, x->t->caller, caller);
        else if (caller.t == J_MACRO)
            jx_fail(x, "the macro '%s' does not call caller()", m->node->name);
        x->f = outer;
        v = capture(x, m->node->list, f);
        x->line = x->failed ? x->line : line;
    }
    x->f = outer;
    jx_leave(x);
    return v;
}

static struct jv macro_value(struct jx *x, const struct jnode *n)
{
    struct jmacro *m = jx_alloc(x, sizeof *m);
    if (!m)
        return j_undef(NULL);
    *m = (struct jmacro){n, x->f};
    return (struct jv){J_MACRO, {.macro = m}};
}

static void call_block(struct jx *x, const struct jnode *n)
{
    struct jargs args;
    struct jv f = jeval(x, n->a->a), v, caller = macro_value(x, n);
    if (x->failed || jeval_args(x, n->a, &args))
        return;
    if (f.t != J_MACRO) {
        jx_fail(x, "call: expected a macro, found %s", j_type(f));
        return;
    }
    v = jcall_macro(x, f.u.macro, &args, caller);
    if (!x->failed)
        jprint_str(x, x->out, v);
}

/* ---- loops ---- */

/* The items that the loop's own condition keeps. */
static struct jlist *kept(struct jx *x, const struct jnode *n, struct jlist *all)
{
    struct jlist *l;
    struct jframe *outer = x->f;
    j_list(x, J_LIST, &l);
    x->f = jframe_new(x, outer);
    for (size_t i = 0; i < all->n && !x->failed; i++) {
        assign(x, n->a, all->v[i]);
        if (!x->failed && j_true(jeval(x, n->c)))
            jlist_add(x, l, all->v[i]);
    }
    x->f = outer;
    return x->failed ? NULL : l;
}

static void iterate(struct jx *x, const struct jnode *n, struct jloop *loop)
{
    struct jframe *outer = x->f, *f = NULL;
    struct jv l = {J_LOOP, {.loop = loop}};
    for (loop->i = 0; loop->i < loop->items->n && x->stop != 1 && !jx_spend(x, 0); loop->i++) {
        if (!f || n->op) /* a macro may hold on to the frame */
            f = jframe_new(x, outer);
        else
            f->n = 0;
        if (!f)
            break;
        x->f = f;
        x->stop = 0;
        define(x, x->t->loop, l);
        assign(x, n->a, loop->items->v[loop->i]);
        jrun(x, n->list);
    }
    x->stop = 0;
    x->f = outer;
}

static void for_(struct jx *x, const struct jnode *n)
{
    struct jlist *items = NULL;
    struct jv over = jeval(x, n->b);
    if (!x->failed)
        items = j_iter(x, over);
    if (items && n->c)
        items = kept(x, n, items);
    if (!items)
        return;
    if (items->n == 0) {
        jrun(x, n->alt);
        return;
    }
    struct jloop *loop = jx_alloc(x, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct jloop){.items = items, .changed = j_undef(j_absent)};
    iterate(x, n, loop);
}

/* ---- the others ---- */

static void with_(struct jx *x, const struct jnode *n)
{
    struct jframe *outer = x->f, *f = jframe_new(x, outer);
    for (const struct jnode *s = n->alt; s && f && !x->failed; s = s->next) {
        struct jv v = jeval(x, s->b);
        x->f = f;
        assign(x, s->a, v);
        x->f = outer;
    }
    if (!f || x->failed)
        return;
    x->f = f;
    jrun(x, n->list);
    x->f = outer;
}

static struct jv filtered(struct jx *x, const struct jnode *n)
{
    struct jv v = capture(x, n->list, jframe_new(x, x->f)), before = x->block;
    if (!n->b || x->failed)
        return v;
    x->block = v;
    v = jeval(x, n->b);
    x->block = before;
    return v;
}

static void statement(struct jx *x, const struct jnode *n)
{
    struct jv v;
    switch (n->kind) {
    case N_DATA:
        jbuf_str(x, x->out, n->val.u.s);
        break;
    case N_OUT:
        v = jeval(x, n->a);
        if (!x->failed)
            jprint_str(x, x->out, v);
        break;
    case N_IF:
        v = jeval(x, n->a);
        if (!x->failed)
            jrun(x, j_true(v) ? n->list : n->alt);
        break;
    case N_FOR:
        for_(x, n);
        break;
    case N_SET:
        assign(x, n->a, jeval(x, n->b));
        break;
    case N_SETBLOCK:
        assign(x, n->a, filtered(x, n));
        break;
    case N_MACRO:
        define(x, n->name, macro_value(x, n));
        break;
    case N_CALLBLOCK:
        call_block(x, n);
        break;
    case N_FILTERBLOCK:
    case N_SCOPE:
        v = filtered(x, n);
        if (!x->failed)
            jprint_str(x, x->out, v);
        break;
    case N_WITH:
        with_(x, n);
        break;
    case N_BREAK:
        x->stop = 1;
        break;
    case N_CONTINUE:
        x->stop = 2;
        break;
    default:
        jx_fail(x, "an expression where a statement should be");
    }
}

void jrun(struct jx *x, const struct jnode *list)
{
    if (!jx_enter(x))
        for (const struct jnode *n = list; n && !x->failed && !x->stop; n = n->next) {
            x->line = n->line;
            if (!jx_spend(x, 0))
                statement(x, n);
        }
    jx_leave(x);
}

/* ---- rendering ---- */

static int take_text(struct jx *x, const struct jbuf *b, struct jinja_text *out)
{
    out->s = malloc(b->n + 1);
    out->mark = malloc(b->n + 1);
    if (!out->s || !out->mark) {
        free(out->s);
        free(out->mark);
        *out = (struct jinja_text){0};
        return err_set(x->e, ERR_NOMEM, "%s: out of memory", x->t->where);
    }
    if (b->n) {
        memcpy(out->s, b->s, b->n);
        memcpy(out->mark, b->m, b->n);
    }
    out->s[b->n] = 0;
    out->n = b->n;
    return 0;
}

int jinja_render(const struct jinja *t, struct jinja_vars *v, struct jinja_text *out, struct err *e)
{
    struct jbuf b = {0};
    struct jx x = {.a = &v->a, .t = t, .vars = v, .out = &b, .e = e, .line = 1, .most = v->steps};
    *out = (struct jinja_text){0};
    x.f = jframe_new(&x, NULL);
    if (x.f)
        jrun(&x, t->body);
    return x.failed ? e->code : take_text(&x, &b, out);
}
