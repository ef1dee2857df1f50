/* jinja_parse - statements of a template; what the interpreter does not support is refused here */
#include "jinja_impl.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int jparse_fail(struct jparser *p, const char *fmt, ...)
{
    char msg[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    p->failed = 1;
    return err_set(p->e, ERR_DATA, "%s:%d: %s", p->t->where, p->tok->line, msg);
}

static void *take_memory(struct jparser *p, size_t n)
{
    void *m = jarena_alloc(&p->t->a, n);
    if (!m) {
        p->failed = 1;
        err_set(p->e, ERR_NOMEM, "%s: out of memory for the template", p->t->where);
    }
    return m;
}

/* NULL only when memory ran out, which is a failure like all others: callers test p->failed. */
struct jnode *jparse_node(struct jparser *p, enum jkind kind, int line)
{
    struct jnode *n = take_memory(p, sizeof *n);
    if (n) {
        n->kind = kind;
        n->line = line;
    }
    return n;
}

static size_t bucket(const char *s, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum = 31 * sum + (uint8_t)s[i];
    return sum % J_NAMES;
}

struct jname *jparse_intern(struct jparser *p, const char *s, size_t n)
{
    struct jname *k, **list = &p->t->name[bucket(s, n)];
    for (k = *list; k; k = k->next)
        if (strncmp(k->s, s, n) == 0 && !k->s[n])
            return k;
    if (p->t->n_name == JINJA_NAMES) {
        jparse_fail(p, "more than %d different names", JINJA_NAMES);
        return NULL;
    }
    if (!(k = take_memory(p, sizeof *k + n + 1)))
        return NULL;
    p->t->n_name++;
    memcpy(k->s, s, n);
    k->next = *list;
    return *list = k;
}

/* The names that the interpreter itself gives values to. */
static void own_names(struct jparser *p)
{
    const char **own[] = {&p->t->loop, &p->t->caller, &p->t->varargs, &p->t->kwargs};
    static const char *const name[] = {"loop", "caller", "varargs", "kwargs"};
    for (int i = 0; i < 4; i++) {
        struct jname *k = jparse_intern(p, name[i], strlen(name[i]));
        *own[i] = k ? k->s : "";
        if (k)
            k->assigned = i > 0; /* a loop that is called is a recursive one, which we have not */
    }
}

int jparse_is_op(const struct jparser *p, int op)
{
    return p->tok->kind == T_OP && p->tok->op == op;
}

int jparse_is_name(const struct jparser *p, const char *name)
{
    return p->tok->kind == T_NAME && p->tok->n == strlen(name) &&
           memcmp(p->tok->s, name, p->tok->n) == 0;
}

int jparse_take_op(struct jparser *p, int op)
{
    return jparse_is_op(p, op) && !p->failed ? (p->tok++, 1) : 0;
}

int jparse_take_name(struct jparser *p, const char *name)
{
    return jparse_is_name(p, name) && !p->failed ? (p->tok++, 1) : 0;
}

void jparse_expect_op(struct jparser *p, int op)
{
    if (!jparse_take_op(p, op) && !p->failed)
        jparse_fail(p, "expected '%c'", op);
}

const char *jparse_name(struct jparser *p)
{
    if (p->failed || p->tok->kind != T_NAME) {
        if (!p->failed)
            jparse_fail(p, "expected a name");
        return NULL;
    }
    struct jname *k = jparse_intern(p, p->tok->s, p->tok->n);
    p->tok++;
    return k ? k->s : NULL;
}

static void assigned(struct jparser *p, const char *name)
{
    struct jname *k = name ? jparse_intern(p, name, strlen(name)) : NULL;
    if (k)
        k->assigned = 1;
}

/* ---- parts of statements ---- */

static struct jnode *statements(struct jparser *p, const char *end1, const char *end2,
                                const char *end3);

/* What set and for assign to: names, a tuple of them, an attribute of a namespace. */
static void check_target(struct jparser *p, struct jnode *n)
{
    if (!n || p->failed)
        return;
    if (n->kind == N_TUPLE)
        for (struct jnode *k = n->list; k; k = k->next)
            check_target(p, k->a);
    else if (n->kind == N_NAME)
        assigned(p, n->name);
    else if (n->kind != N_ATTR)
        jparse_fail(p, "cannot assign to this expression");
}

static struct jnode *target(struct jparser *p, int flags)
{
    struct jnode *n = jparse_tuple(p, JP_SIMPLE | flags);
    check_target(p, n);
    return n;
}

static void end_of_tag(struct jparser *p)
{
    jparse_take_op(p, ':');
    if (!p->failed && p->tok->kind != T_BEND)
        jparse_fail(p, "expected the end of the tag");
    if (!p->failed)
        p->tok++;
}

/* A body up to a tag that begins with one of the names, which is then the current token. */
static struct jnode *body(struct jparser *p, const char *end1, const char *end2, const char *end3)
{
    end_of_tag(p);
    return p->failed ? NULL : statements(p, end1, end2, end3);
}

static void end_named(struct jparser *p, const char *name)
{
    if (!jparse_take_name(p, name) && !p->failed)
        jparse_fail(p, "expected %s", name);
}

/* "(a, b=1)" of a macro or a call block, as N_NAME nodes with their defaults. */
static struct jnode *signature(struct jparser *p)
{
    struct jnode *first = NULL, **last = &first;
    int defaults = 0;
    jparse_expect_op(p, '(');
    while (!p->failed && !jparse_is_op(p, ')')) {
        if (first)
            jparse_expect_op(p, ',');
        struct jnode *n = jparse_node(p, N_NAME, p->tok->line);
        if (!n || !(n->name = jparse_name(p)))
            break;
        assigned(p, n->name);
        if (jparse_take_op(p, '='))
            defaults += (n->a = jparse_expr(p, 0)) != NULL;
        else if (defaults)
            jparse_fail(p, "a parameter without default follows one with");
        *last = n;
        last = &n->next;
    }
    jparse_expect_op(p, ')');
    return first;
}

/* A body with variables of its own, where break cannot reach a loop outside. */
static struct jnode *own_body(struct jparser *p, const char *end, int *seen)
{
    int loops = p->loops, outer = p->seen;
    p->loops = p->seen = 0;
    struct jnode *list = body(p, end, NULL, NULL);
    *seen = p->seen;
    p->loops = loops;
    p->seen = outer;
    end_named(p, end);
    return list;
}

/* ---- statements ---- */

static void if_(struct jparser *p, struct jnode *n)
{
    n->kind = N_IF;
    n->a = jparse_tuple(p, JP_NO_COND);
    n->list = body(p, "elif", "else", "endif");
    int line = p->tok->line;
    if (jparse_take_name(p, "elif")) {
        if (!(n->alt = jparse_node(p, N_IF, line)))
            return;
        if (++p->depth > 4 * JINJA_NESTING)
            jparse_fail(p, "too many elif");
        else
            if_(p, n->alt);
        p->depth--;
        return;
    }
    if (jparse_take_name(p, "else"))
        n->alt = body(p, "endif", NULL, NULL);
    end_named(p, "endif");
}

static void for_(struct jparser *p, struct jnode *n)
{
    int macros = p->macros;
    n->kind = N_FOR;
    n->a = target(p, 0);
    end_named(p, "in");
    n->b = jparse_tuple(p, JP_NO_COND);
    if (jparse_take_name(p, "if"))
        n->c = jparse_expr(p, 0);
    if (jparse_is_name(p, "recursive"))
        jparse_fail(p, "recursive loops are not supported");
    p->loops++;
    n->list = body(p, "else", "endfor", NULL);
    p->loops--;
    if (jparse_take_name(p, "else"))
        n->alt = body(p, "endfor", NULL, NULL);
    end_named(p, "endfor");
    n->op = p->macros != macros;
}

static void set_(struct jparser *p, struct jnode *n)
{
    int seen;
    n->a = target(p, JP_NS);
    n->kind = N_SET;
    if (jparse_take_op(p, '=')) {
        n->b = jparse_tuple(p, 0);
        return;
    }
    n->kind = N_SETBLOCK;
    if (jparse_take_op(p, '|'))
        n->b = jparse_filters(p, NULL);
    n->list = own_body(p, "endset", &seen);
    p->seen |= seen;
}

static void macro_(struct jparser *p, struct jnode *n)
{
    n->kind = N_MACRO;
    n->name = jparse_name(p);
    assigned(p, n->name);
    n->alt = signature(p);
    p->macros++;
    n->list = own_body(p, "endmacro", &n->op);
}

static void call_(struct jparser *p, struct jnode *n)
{
    int seen;
    n->kind = N_CALLBLOCK;
    if (jparse_is_op(p, '('))
        n->alt = signature(p);
    n->a = jparse_expr(p, 0);
    if (!p->failed && n->a->kind != N_CALL)
        jparse_fail(p, "call: expected a call");
    p->macros++;
    n->list = own_body(p, "endcall", &seen);
    p->seen |= seen;
}

static void filter_(struct jparser *p, struct jnode *n)
{
    int seen;
    n->kind = N_FILTERBLOCK;
    n->b = jparse_filters(p, NULL);
    n->list = own_body(p, "endfilter", &seen);
    p->seen |= seen;
}

static void with_(struct jparser *p, struct jnode *n)
{
    struct jnode **last = &n->alt;
    n->kind = N_WITH;
    while (!p->failed && p->tok->kind != T_BEND) {
        if (n->alt)
            jparse_expect_op(p, ',');
        struct jnode *s = jparse_node(p, N_SET, p->tok->line);
        if (!s)
            return;
        s->a = target(p, 0);
        jparse_expect_op(p, '=');
        s->b = jparse_expr(p, 0);
        *last = s;
        last = &s->next;
    }
    n->list = body(p, "endwith", NULL, NULL);
    end_named(p, "endwith");
}

/* transformers' mark of what an assistant wrote: the text is as without it */
static void generation_(struct jparser *p, struct jnode *n)
{
    int seen;
    n->kind = N_SCOPE;
    p->macros++;
    n->list = own_body(p, "endgeneration", &seen);
    p->seen |= seen;
}

static void jump(struct jparser *p, struct jnode *n)
{
    if (!p->loops)
        jparse_fail(p, "%s outside of a loop", n->kind == N_BREAK ? "break" : "continue");
}

static void break_(struct jparser *p, struct jnode *n)
{
    n->kind = N_BREAK;
    jump(p, n);
}

static void continue_(struct jparser *p, struct jnode *n)
{
    n->kind = N_CONTINUE;
    jump(p, n);
}

static struct jnode *tag(struct jparser *p)
{
    static const struct {
        const char *name;
        void (*parse)(struct jparser *p, struct jnode *n);
    } known[] = {{"if", if_},
                 {"for", for_},
                 {"set", set_},
                 {"macro", macro_},
                 {"call", call_},
                 {"filter", filter_},
                 {"with", with_},
                 {"break", break_},
                 {"continue", continue_},
                 {"generation", generation_}};
    struct jnode *n = jparse_node(p, N_SCOPE, p->tok->line);
    for (size_t i = 0; n && i < sizeof known / sizeof *known; i++)
        if (jparse_take_name(p, known[i].name)) {
            known[i].parse(p, n);
            end_of_tag(p);
            return n;
        }
    if (p->tok->kind == T_NAME)
        jparse_fail(p, "the tag '%.*s' is not supported%s", (int)(p->tok->n < 40 ? p->tok->n : 40),
                    p->tok->s, p->tok->n > 3 && !memcmp(p->tok->s, "end", 3) ? " here" : "");
    else
        jparse_fail(p, "a tag begins with a name");
    return NULL;
}

static struct jnode *data(struct jparser *p)
{
    struct jnode *n = jparse_node(p, N_DATA, p->tok->line);
    struct jstr *s = n ? take_memory(p, sizeof *s) : NULL;
    if (s) {
        *s = (struct jstr){.s = p->tok->s, .n = p->tok->n};
        n->val = (struct jv){J_STR, {.s = s}};
    }
    return n;
}

static struct jnode *output(struct jparser *p)
{
    struct jnode *n = jparse_node(p, N_OUT, p->tok->line);
    p->tok++;
    if (!n)
        return NULL;
    n->a = jparse_tuple(p, 0);
    if (!p->failed && p->tok->kind != T_VEND)
        jparse_fail(p, "expected the end of the expression");
    return n;
}

static int at_end(const struct jparser *p, const char *end)
{
    return end && jparse_is_name(p, end);
}

static struct jnode *statements(struct jparser *p, const char *end1, const char *end2,
                                const char *end3)
{
    struct jnode *first = NULL, **last = &first;
    if (++p->depth > JINJA_NESTING)
        jparse_fail(p, "blocks are nested too deeply");
    while (!p->failed) {
        struct jnode *n = NULL;
        if (p->tok->kind == T_EOF) {
            if (end1)
                jparse_fail(p, "the template ends before %s", end3 ? end3 : end2 ? end2 : end1);
            break;
        }
        if (p->tok->kind == T_DATA) {
            n = data(p);
            p->tok++;
        } else if (p->tok->kind == T_VBEGIN) {
            n = output(p);
            p->tok += !p->failed;
        } else {
            p->tok++;
            if (at_end(p, end1) || at_end(p, end2) || at_end(p, end3))
                break;
            n = tag(p);
        }
        if (!n)
            break;
        *last = n;
        last = &n->next;
    }
    p->depth--;
    return first;
}

/* Names that are called although nothing that can be called has them. */
static void check_calls(struct jparser *p)
{
    for (int i = 0; i < J_NAMES; i++)
        for (struct jname *k = p->t->name[i]; k && !p->failed; k = k->next)
            if (k->called && !k->assigned && !jfunc_find(k->s, strlen(k->s))) {
                p->failed = 1;
                err_set(p->e, ERR_DATA, "%s:%d: the function '%.60s' is not supported", p->t->where,
                        k->called, k->s);
            }
}

int jinja_parse(struct jinja **t, const char *text, size_t n, const char *where, struct err *e)
{
    struct jtoks toks = {0};
    struct jparser p = {.e = e};
    *t = p.t = calloc(1, sizeof **t);
    if (!*t)
        return err_set(e, ERR_NOMEM, "out of memory");
    p.t->a.limit = JINJA_MEMORY;
    snprintf(p.t->where, sizeof p.t->where, "%s", where);
    int rc = jinja_lex(p.t, text, n, &toks, e);
    if (rc == 0) {
        p.tok = toks.v;
        own_names(&p);
        if (!p.failed)
            p.t->body = statements(&p, NULL, NULL, NULL);
        check_calls(&p);
        rc = p.failed ? e->code : 0;
    }
    free(toks.v);
    if (rc) {
        jinja_free(*t);
        *t = NULL;
    }
    return rc;
}

void jinja_free(struct jinja *t)
{
    if (t)
        jarena_free(&t->a);
    free(t);
}

int jinja_uses(const struct jinja *t, const char *name)
{
    for (const struct jname *k = t->name[bucket(name, strlen(name))]; k; k = k->next)
        if (strcmp(k->s, name) == 0)
            return k->read;
    return 0;
}
