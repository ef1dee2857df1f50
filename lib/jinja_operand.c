/* jinja_operand - what the operators of an expression work on: constants, names, calls, filters, tests; that the latter
 * exist and take such arguments is checked here */
#include "jinja_impl.h"
#include <string.h>

int jparse_enter(struct jparser *p)
{
    if (++p->depth > 4 * JINJA_NESTING && !p->failed)
        jparse_fail(p, "an expression is nested too deeply");
    return p->failed;
}

struct jnode *jparse_binary(struct jparser *p, enum jkind kind, int op, struct jnode *a,
                            struct jnode *b)
{
    struct jnode *n = jparse_node(p, kind, p->tok->line);
    if (n) {
        n->op = op;
        n->a = a;
        n->b = b;
    }
    return n;
}

/* ---- arguments ---- */

/* "(" a, *b, name=c, **d ")": named ones after those without, as nodes whose name is set; op tells the
 * stars. */
void jparse_args(struct jparser *p, struct jnode *call)
{
    struct jnode **last = &call->list, *any = NULL;
    int named = 0;
    jparse_expect_op(p, '(');
    while (!p->failed && !jparse_is_op(p, ')')) {
        if (any)
            jparse_expect_op(p, ',');
        if (jparse_is_op(p, ')'))
            break;
        const char *name = NULL;
        int stars = jparse_take_op(p, '*') ? 1 : jparse_take_op(p, J2('*', '*')) ? 2 : 0;
        if (stars && call->kind != N_CALL)
            jparse_fail(p, "arguments by * and ** are not supported here");
        if (!stars && p->tok->kind == T_NAME && p->tok[1].kind == T_OP && p->tok[1].op == '=') {
            name = jparse_name(p);
            p->tok++;
        } else if (named && stars != 2)
            jparse_fail(p, "an argument without name follows one with");
        named |= name != NULL || stars == 2;
        /* a wrapper, for the name and because an expression may be shared */
        struct jnode *k = jparse_node(p, N_POS, p->tok->line);
        if (!k)
            break;
        k->name = name;
        k->op = stars;
        k->a = jparse_expr(p, 0);
        *last = any = k;
        last = &k->next;
    }
    jparse_expect_op(p, ')');
}

/* Do the arguments of a filter, test or method suit its parameters? */
static void check_args(struct jparser *p, const struct jnode *n, const char *what, const char *name,
                       const char *params, int needs)
{
    int places = 0, most = jparam_count(params), given = 0;
    for (const struct jnode *k = n->list; k && !p->failed; k = k->next) {
        int at = k->name ? jparam_index(params, k->name) : places++;
        if (at < 0)
            jparse_fail(p, "%s '%s' with '%.40s' is not supported", what, name, k->name);
        else
            given += at < needs;
    }
    if (!p->failed && (places > most || given < needs))
        jparse_fail(p, "%s '%s' with %d arguments: expected %d to %d", what, name, places, needs,
                    most);
}

/* map('upper'), selectattr('x', 'equalto', y): the names in there are checked now too. */
static void check_passed(struct jparser *p, const struct jnode *n, const struct jfilter *f)
{
    const struct jnode *k = n->list;
    int attr = strstr(f->name, "attr") != NULL;
    if (strcmp(f->name, "format") == 0)
        return;
    if (attr && k)
        k = k->next;
    if (!k || k->name || !k->a || k->a->kind != N_CONST || k->a->val.t != J_STR)
        return;
    const struct jstr *s = k->a->val.u.s;
    if (strcmp(f->name, "map") == 0 ? !jfilter_find(s->s, s->n) : !jtest_find(s->s, s->n))
        jparse_fail(p, "%s: '%.*s' is not supported", f->name, (int)(s->n < 60 ? s->n : 60), s->s);
}

static int args_follow(const struct jparser *p)
{
    static const char *const stop[] = {"else", "or", "and"};
    enum jtok_kind k = p->tok->kind;
    for (size_t i = 0; i < 3; i++)
        if (jparse_is_name(p, stop[i]))
            return 0;
    return k == T_NAME || k == T_STR || k == T_INT || k == T_FLOAT || jparse_is_op(p, '[') ||
           jparse_is_op(p, '{');
}

/* ---- filters and tests ---- */

static void dotted(struct jparser *p, char *to, size_t n)
{
    size_t k = 0;
    to[0] = 0;
    do {
        size_t m = p->tok->n;
        if (p->tok->kind != T_NAME || k + m + 2 > n) {
            jparse_fail(p, "expected the name of a filter or test");
            return;
        }
        memcpy(to + k, p->tok->s, m);
        to[k += m] = 0;
        p->tok++;
        to[k] = '.';
        to[k + 1] = 0;
        k += jparse_is_op(p, '.');
    } while (jparse_take_op(p, '.'));
    to[k] = 0;
}

static struct jnode *filter(struct jparser *p, struct jnode *on)
{
    char name[64];
    struct jnode *n = jparse_node(p, N_FILTER, p->tok->line);
    dotted(p, name, sizeof name);
    if (!n || p->failed)
        return NULL;
    const struct jfilter *f = jfilter_find(name, strlen(name));
    if (!f) {
        jparse_fail(p, "the filter '%s' is not supported", name);
        return NULL;
    }
    n->row = f;
    n->a = on;
    if (jparse_is_op(p, '('))
        jparse_args(p, n);
    if (p->failed)
        return NULL;
    if (f->raw)
        check_passed(p, n, f);
    else
        check_args(p, n, "the filter", f->name, f->params, f->needs);
    return n;
}

struct jnode *jparse_filters(struct jparser *p, struct jnode *on)
{
    do
        on = filter(p, on);
    while (on && jparse_take_op(p, '|'));
    return on;
}

static struct jnode *test(struct jparser *p, struct jnode *on)
{
    char name[64];
    int negated = jparse_take_name(p, "not");
    struct jnode *n = jparse_node(p, N_TEST, p->tok->line);
    dotted(p, name, sizeof name);
    if (!n || p->failed)
        return NULL;
    const struct jtest *t = jtest_find(name, strlen(name));
    if (!t) {
        jparse_fail(p, "the test '%s' is not supported", name);
        return NULL;
    }
    n->row = t;
    n->a = on;
    if (jparse_is_op(p, '('))
        jparse_args(p, n);
    else if (args_follow(p)) {
        if (jparse_is_name(p, "is"))
            jparse_fail(p, "tests cannot be chained");
        struct jnode *k = jparse_node(p, N_POS, p->tok->line);
        if (!k)
            return NULL;
        k->a = jparse_postfix(p, jparse_primary(p, 0));
        n->list = k;
    }
    if (!p->failed)
        check_args(p, n, "the test", t->name, t->params, jparam_count(t->params));
    return negated && !p->failed ? jparse_binary(p, N_NOT, 0, n, NULL) : n;
}

/* ---- postfix: .name [item] (call) ---- */

static struct jnode *dot(struct jparser *p, struct jnode *on)
{
    struct jnode *n;
    if (p->tok->kind == T_INT) {
        if (!(n = jparse_binary(p, N_ITEM, 0, on, jparse_node(p, N_CONST, p->tok->line))) || !n->b)
            return NULL;
        n->b->val = j_int(p->tok++->i);
        return n;
    }
    n = jparse_binary(p, N_ATTR, 0, on, NULL);
    if (!n || !(n->name = jparse_name(p)))
        return NULL;
    if (strncmp(n->name, "__", 2) == 0)
        jparse_fail(p, "the attribute '%.40s' is not supported", n->name);
    return n;
}

static struct jnode *slice(struct jparser *p, struct jnode *on, struct jnode *from)
{
    struct jnode *n = jparse_node(p, N_SLICE, p->tok->line);
    if (!n)
        return NULL;
    n->a = on;
    n->b = from;
    jparse_expect_op(p, ':');
    if (!jparse_is_op(p, ']') && !jparse_is_op(p, ':'))
        n->c = jparse_expr(p, 0);
    if (jparse_take_op(p, ':') && !jparse_is_op(p, ']'))
        n->list = jparse_expr(p, 0);
    return n;
}

static struct jnode *subscript(struct jparser *p, struct jnode *on)
{
    struct jnode *n;
    if (jparse_is_op(p, ':'))
        n = slice(p, on, NULL);
    else {
        struct jnode *key = jparse_expr(p, 0);
        n = jparse_is_op(p, ':') ? slice(p, on, key) : jparse_binary(p, N_ITEM, 0, on, key);
    }
    if (jparse_is_op(p, ','))
        jparse_fail(p, "subscripts with several parts are not supported");
    jparse_expect_op(p, ']');
    return n;
}

static struct jnode *call(struct jparser *p, struct jnode *on)
{
    struct jnode *n = jparse_binary(p, N_CALL, 0, on, NULL);
    if (!n || !on)
        return NULL;
    if (on->kind == N_NAME) {
        struct jname *k = jparse_intern(p, on->name, strlen(on->name));
        if (k && !k->called)
            k->called = p->tok->line;
    }
    jparse_args(p, n);
    if (p->failed || on->kind != N_ATTR)
        return n;
    const struct jmethod_row *m = jmethod_find(on->name, -1);
    if (!m)
        jparse_fail(p, "the method '%.60s' is not supported", on->name);
    return n;
}

/* Attributes and subscripts, or filters and tests, one behind the other; calls among either. */
static struct jnode *chain(struct jparser *p, struct jnode *on, int filters)
{
    int depth = p->depth;
    while (on && !p->failed && !jparse_enter(p)) {
        if (!filters && jparse_take_op(p, '.'))
            on = dot(p, on);
        else if (!filters && jparse_take_op(p, '['))
            on = subscript(p, on);
        else if (filters && jparse_take_op(p, '|'))
            on = filter(p, on);
        else if (filters && jparse_take_name(p, "is"))
            on = test(p, on);
        else if (jparse_is_op(p, '('))
            on = call(p, on);
        else
            break;
    }
    p->depth = depth;
    return p->failed ? NULL : on;
}

struct jnode *jparse_postfix(struct jparser *p, struct jnode *on)
{
    return chain(p, on, 0);
}

struct jnode *jparse_filter_expr(struct jparser *p, struct jnode *on)
{
    return chain(p, on, 1);
}

/* ---- primaries ---- */

static struct jnode *constant(struct jparser *p, struct jv v)
{
    struct jnode *n = jparse_node(p, N_CONST, p->tok->line);
    if (n)
        n->val = v;
    return n;
}

/* Strings that follow each other are one. */
static struct jnode *string(struct jparser *p)
{
    size_t n = 0, k = 0, at = 0;
    while (p->tok[k].kind == T_STR)
        n += p->tok[k++].n;
    struct jstr *s = jarena_alloc(&p->t->a, sizeof *s + n + 1);
    if (!s) {
        p->failed = 1;
        err_set(p->e, ERR_NOMEM, "%s: out of memory for the template", p->t->where);
        return NULL;
    }
    char *o = (char *)(s + 1);
    for (; p->tok->kind == T_STR; p->tok++) {
        memcpy(o + at, p->tok->s, p->tok->n);
        at += p->tok->n;
    }
    *s = (struct jstr){.s = o, .n = n};
    return constant(p, (struct jv){J_STR, {.s = s}});
}

static struct jnode *name(struct jparser *p, int flags)
{
    int line = p->tok->line;
    if (jparse_take_name(p, "true") || jparse_take_name(p, "True"))
        return constant(p, j_bool(1));
    if (jparse_take_name(p, "false") || jparse_take_name(p, "False"))
        return constant(p, j_bool(0));
    if (jparse_take_name(p, "none") || jparse_take_name(p, "None"))
        return constant(p, j_none());
    struct jnode *n = jparse_node(p, N_NAME, line);
    struct jname *k = n ? jparse_intern(p, p->tok->s, p->tok->n) : NULL;
    if (!k)
        return NULL;
    p->tok++;
    n->name = k->s;
    if (!(flags & JP_SIMPLE))
        k->read = 1;
    p->seen |= strcmp(n->name, "varargs") == 0  ? JP_VARARGS
               : strcmp(n->name, "kwargs") == 0 ? JP_KWARGS
               : strcmp(n->name, "caller") == 0 ? JP_CALLER
                                                : 0;
    if (flags & JP_NS && jparse_take_op(p, '.')) {
        struct jnode *ref = jparse_binary(p, N_ATTR, 0, n, NULL);
        if (ref)
            ref->name = jparse_name(p);
        return ref;
    }
    return n;
}

/* [a, b] and {a: b, c: d} */
static struct jnode *display(struct jparser *p, enum jkind kind, int end)
{
    struct jnode *n = jparse_node(p, kind, p->tok->line), **last, *k;
    if (!n)
        return NULL;
    last = &n->list;
    p->tok++;
    while (!p->failed && !jparse_is_op(p, end)) {
        if (n->list)
            jparse_expect_op(p, ',');
        if (jparse_is_op(p, end))
            break;
        for (int part = 0; part <= (kind == N_DICT); part++) {
            if (part)
                jparse_expect_op(p, ':');
            if (!(k = jparse_node(p, N_POS, p->tok->line)))
                return NULL;
            k->a = jparse_expr(p, 0);
            *last = k;
            last = &k->next;
        }
    }
    jparse_expect_op(p, end);
    return n;
}

struct jnode *jparse_primary(struct jparser *p, int flags)
{
    struct jnode *n = NULL;
    if (jparse_enter(p))
        return NULL;
    if (p->tok->kind == T_NAME)
        n = name(p, flags);
    else if (p->tok->kind == T_STR)
        n = string(p);
    else if (p->tok->kind == T_INT || p->tok->kind == T_FLOAT) {
        n = constant(p, p->tok->kind == T_INT ? j_int(p->tok->i) : j_float(p->tok->f));
        p->tok++;
    } else if (jparse_take_op(p, '(')) {
        n = jparse_tuple(p, JP_PARENS);
        jparse_expect_op(p, ')');
    } else if (jparse_is_op(p, '['))
        n = display(p, N_LIST, ']');
    else if (jparse_is_op(p, '{'))
        n = display(p, N_DICT, '}');
    else
        jparse_fail(p, "expected an expression");
    p->depth--;
    return p->failed ? NULL : n;
}
