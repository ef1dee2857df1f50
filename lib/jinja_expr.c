/* jinja_expr - expressions of a template as a tree, by the precedence of the operators */
#include "jinja_impl.h"
#include <string.h>

/* ---- operators, from the tightest ---- */

static struct jnode *unary(struct jparser *p, int filters)
{
    struct jnode *n;
    if (jparse_enter(p))
        return NULL;
    if (jparse_take_op(p, '-'))
        n = jparse_binary(p, N_NEG, 0, unary(p, 0), NULL);
    else if (jparse_take_op(p, '+'))
        n = jparse_binary(p, N_POS, '+', unary(p, 0), NULL);
    else
        n = jparse_primary(p, 0);
    n = jparse_postfix(p, n);
    if (filters)
        n = jparse_filter_expr(p, n);
    p->depth--;
    return p->failed ? NULL : n;
}

static struct jnode *power(struct jparser *p)
{
    struct jnode *n = unary(p, 1);
    int depth = p->depth;
    while (jparse_take_op(p, J2('*', '*')) && !jparse_enter(p))
        n = jparse_binary(p, N_BIN, J2('*', '*'), n, unary(p, 1));
    p->depth = depth;
    return n;
}

static struct jnode *product(struct jparser *p)
{
    struct jnode *n = power(p);
    int depth = p->depth;
    while (n && !p->failed && !jparse_enter(p)) {
        int op = p->tok->kind == T_OP ? p->tok->op : 0;
        if (op != '*' && op != '/' && op != '%' && op != J2('/', '/'))
            break;
        p->tok++;
        n = jparse_binary(p, N_BIN, op, n, power(p));
    }
    p->depth = depth;
    return n;
}

static struct jnode *concat(struct jparser *p)
{
    struct jnode *first = product(p), *n, **last;
    if (!jparse_is_op(p, '~') || p->failed)
        return first;
    if (!(n = jparse_node(p, N_CONCAT, p->tok->line)))
        return NULL;
    last = &n->list;
    do {
        struct jnode *k = jparse_node(p, N_POS, p->tok->line);
        if (!k)
            return NULL;
        k->a = first ? first : product(p);
        first = NULL;
        *last = k;
        last = &k->next;
    } while (jparse_take_op(p, '~'));
    return n;
}

static struct jnode *sum(struct jparser *p)
{
    struct jnode *n = concat(p);
    int depth = p->depth;
    while (n && !p->failed && (jparse_is_op(p, '+') || jparse_is_op(p, '-')) && !jparse_enter(p)) {
        int op = p->tok++->op;
        n = jparse_binary(p, N_BIN, op, n, concat(p));
    }
    p->depth = depth;
    return n;
}

enum { OP_IN = 1, OP_NOT_IN = 2 };

static int comparison(struct jparser *p)
{
    static const int ops[] = {J2('=', '='), J2('!', '='), '<', '>', J2('<', '='), J2('>', '=')};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (jparse_take_op(p, ops[i]))
            return ops[i];
    if (jparse_take_name(p, "in"))
        return OP_IN;
    if (jparse_is_name(p, "not") && p->tok[1].kind == T_NAME && p->tok[1].n == 2 &&
        memcmp(p->tok[1].s, "in", 2) == 0) {
        p->tok += 2;
        return OP_NOT_IN;
    }
    return 0;
}

static struct jnode *compare(struct jparser *p)
{
    struct jnode *n = sum(p), *cmp = NULL, **last = NULL;
    int op;
    while (n && !p->failed && (op = comparison(p))) {
        struct jnode *k = jparse_binary(p, N_CMP, op, sum(p), NULL);
        if (!cmp && (cmp = jparse_binary(p, N_CMP, 0, n, NULL)))
            last = &cmp->list;
        if (!k || !cmp)
            return NULL;
        *last = k;
        last = &k->next;
    }
    return cmp ? cmp : n;
}

static struct jnode *not_(struct jparser *p)
{
    if (!jparse_take_name(p, "not"))
        return compare(p);
    struct jnode *n = jparse_enter(p) ? NULL : jparse_binary(p, N_NOT, 0, not_(p), NULL);
    p->depth--;
    return n;
}

static struct jnode *and_(struct jparser *p)
{
    struct jnode *n = not_(p);
    int depth = p->depth;
    while (jparse_take_name(p, "and") && !jparse_enter(p))
        n = jparse_binary(p, N_AND, 0, n, not_(p));
    p->depth = depth;
    return n;
}

static struct jnode *or_(struct jparser *p)
{
    struct jnode *n = and_(p);
    int depth = p->depth;
    while (jparse_take_name(p, "or") && !jparse_enter(p))
        n = jparse_binary(p, N_OR, 0, n, and_(p));
    p->depth = depth;
    return n;
}

/* NULL exactly when p->failed. */
struct jnode *jparse_expr(struct jparser *p, int flags)
{
    if (jparse_enter(p)) {
        p->depth--;
        return NULL;
    }
    struct jnode *n = or_(p);
    int depth = p->depth;
    while (!(flags & JP_NO_COND) && jparse_take_name(p, "if") && !jparse_enter(p)) {
        struct jnode *c = jparse_binary(p, N_COND, 0, NULL, n);
        if (!c)
            break;
        c->a = or_(p);
        if (jparse_take_name(p, "else"))
            c->c = jparse_expr(p, 0);
        n = c;
    }
    p->depth = depth - 1;
    return p->failed ? NULL : n;
}

static int tuple_end(const struct jparser *p)
{
    return p->tok->kind == T_VEND || p->tok->kind == T_BEND || jparse_is_op(p, ')') ||
           jparse_is_op(p, '=') || jparse_is_name(p, "in");
}

struct jnode *jparse_tuple(struct jparser *p, int flags)
{
    struct jnode *n = jparse_node(p, N_TUPLE, p->tok->line), **last, *k, *one = NULL;
    int is_tuple = 0;
    if (!n)
        return NULL;
    last = &n->list;
    while (!p->failed && !tuple_end(p)) {
        one = flags & JP_SIMPLE ? jparse_primary(p, flags) : jparse_expr(p, flags);
        if (!one || !(k = jparse_node(p, N_POS, p->tok->line)))
            return NULL;
        k->a = one;
        *last = k;
        last = &k->next;
        if (!jparse_take_op(p, ','))
            break;
        is_tuple = 1;
    }
    if (p->failed)
        return NULL;
    if (!n->list && !(flags & JP_PARENS)) {
        jparse_fail(p, "expected an expression");
        return NULL;
    }
    return is_tuple || !n->list ? n : one;
}
