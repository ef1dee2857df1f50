/* extract_need - which statements the answer needs, and what the pieces of code have in common
 *
 * Statements at the top of all candidates that parse are nodes; one needs another that binds or changes
 * a name which it takes from outside.  EvalPlus's sanitizer keeps what is reachable from the entry
 * point (evalplus/sanitize.py); here that is --sanitize, and by default it decides only which helpers
 * another piece must lend, and which statements that read the standard input can go. */
#include "extract_private.h"
#include "pyparse.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 1 << 16 };

struct node {
    int source, stmt; /* index of a candidate, of its statement */
    int keep, reads;  /* goes into the answer; reads the standard input */
};
struct provider {
    struct py_name name;
    int node;
};
struct group { /* the providers of one name */
    int first, n;
    int kept, reads, asked; /* ours are kept; one of ours reads; others were asked for it */
};
struct graph {
    struct finder *f;
    struct py_module *m; /* (f->n) of each candidate; empty if it does not parse */
    struct node *node;
    struct provider *prov; /* sorted by name, then node */
    struct group *group;   /* in that order */
    int *stack;
    int n, n_prov, n_group, top, best;
};

static int by_name(const struct py_name *a, const struct py_name *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return memcmp(a->p, b->p, a->n);
}

static int compare(const void *a, const void *b)
{
    const struct provider *x = a, *y = b;
    int c = by_name(&x->name, &y->name);
    return c ? c : x->node - y->node;
}

static const struct py_stmt *stmt(const struct graph *g, int node)
{
    return &g->m[g->node[node].source].stmt[g->node[node].stmt];
}

static const struct py_name *uses(const struct graph *g, int node, int *n)
{
    const struct py_stmt *s = stmt(g, node);
    const struct py_name *names = g->m[g->node[node].source].name;
    *n = s->n_uses;
    return s->n_uses ? &names[s->name + s->n_binds + s->n_changes] : NULL;
}

static struct span text(const struct graph *g, int node)
{
    const struct py_stmt *s = stmt(g, node);
    return (struct span){g->f->v[g->node[node].source].s.p + s->begin, s->end - s->begin};
}

static int is_import(const struct graph *g, int node)
{
    int k = stmt(g, node)->kind;
    return k == PY_IMPORT || k == PY_FROM;
}

static int is_definition(const struct graph *g, int node)
{
    int k = stmt(g, node)->kind;
    return k == PY_DEF || k == PY_CLASS;
}

static int ours(const struct graph *g, int node)
{
    return g->node[node].source == g->best;
}

static struct group *find(const struct graph *g,
                          const struct py_name *name) /* NULL = nothing gives it */
{
    int lo = 0, hi = g->n_group;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = by_name(&g->prov[g->group[mid].first].name, name);
        if (c == 0)
            return &g->group[mid];
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* ---- building ---- */

/* A body is the end of the prompt's function, whose parameters are then known. */
static int parse_body(struct graph *g, int i)
{
    const struct candidate *c = &g->f->v[i];
    const char *prompt = finder_prompt(g->f);
    size_t n = strlen(prompt);
    struct py_module *m = &g->m[i];
    char *all = malloc(n + 1 + c->s.n + 1);
    if (!all || finder_own(g->f, all) < 0)
        return -1;
    memcpy(all, prompt, n);
    all[n] = '\n';
    memcpy(all + n + 1, c->s.p, c->s.n);
    if (py_parse(m, all, n + 1 + c->s.n, 1) < 0)
        return -1;
    if (m->n > 0) {
        m->stmt[0] = m->stmt[m->n - 1];
        m->n = 1;
    }
    return 0;
}

static int parse_source(struct graph *g, int i)
{
    const struct candidate *c = &g->f->v[i];
    struct py_module *m = &g->m[i];
    if (!c->parses || (c->body && i != g->best) || g->f->work > g->f->limit)
        return 0;
    g->f->work += c->s.n;
    if ((c->body ? parse_body(g, i) : py_parse(m, c->s.p, c->s.n, 1)) < 0)
        return -1;
    if (m->more || g->n + m->n > MAX_NODES)
        py_module_free(m);
    g->n += m->n;
    g->n_prov += m->n_name;
    return 0;
}

static void add_nodes(struct graph *g)
{
    int k = 0;
    g->n_prov = 0;
    for (int i = 0; i < g->f->n; i++)
        for (int j = 0; j < g->m[i].n; j++, k++) {
            const struct py_stmt *s = &g->m[i].stmt[j];
            g->node[k].source = i;
            g->node[k].stmt = j;
            for (int a = 0; a < s->n_binds + s->n_changes; a++)
                g->prov[g->n_prov++] = (struct provider){g->m[i].name[s->name + a], k};
        }
    qsort(g->prov, (size_t)g->n_prov, sizeof *g->prov, compare);
    for (int i = 0, j; i < g->n_prov; i = j) {
        for (j = i; j < g->n_prov && by_name(&g->prov[j].name, &g->prov[i].name) == 0;)
            j++;
        g->group[g->n_group++] = (struct group){.first = i, .n = j - i};
    }
}

static int build(struct graph *g)
{
    if (parse_source(g, g->best) < 0)
        return -1;
    for (int i = 0; i < g->f->n; i++)
        if (i != g->best && parse_source(g, i) < 0)
            return -1;
    g->node = calloc((size_t)g->n + 1, sizeof *g->node);
    g->stack = calloc((size_t)g->n + 1, sizeof *g->stack);
    g->prov = calloc((size_t)g->n_prov + 1, sizeof *g->prov);
    g->group = calloc((size_t)g->n_prov + 1, sizeof *g->group);
    if (!g->node || !g->stack || !g->prov || !g->group)
        return -1;
    add_nodes(g);
    return 0;
}

static void keep(struct graph *g, int node)
{
    if (!g->node[node].keep)
        g->stack[g->top++] = node;
    g->node[node].keep = 1;
}

/* ---- inside the best candidate ---- */

/* Keep what gives `name`. 1 if something of ours does. */
static int keep_name(struct graph *g, const struct py_name *name)
{
    struct group *p = find(g, name);
    if (!p || p->kept)
        return p != NULL;
    for (int k = p->first; k < p->first + p->n; k++)
        if (ours(g, g->prov[k].node)) {
            keep(g, g->prov[k].node);
            p->kept = 1;
        }
    return p->kept;
}

/* Keep what the entry point needs (all definitions, if it is not known). */
static void keep_needed(struct graph *g)
{
    const char *entry = g->f->o->entry;
    struct py_name name = {entry, entry ? (uint32_t)strlen(entry) : 0};
    int n;
    if (!entry || !keep_name(g, &name))
        for (int i = 0; i < g->n; i++)
            if (ours(g, i) && is_definition(g, i))
                keep(g, i);
    while (g->top > 0) {
        const struct py_name *u = uses(g, g->stack[--g->top], &n);
        for (int k = 0; k < n; k++)
            keep_name(g, &u[k]);
    }
}

static int uses_name(const struct graph *g, int node, const char *name)
{
    struct py_name x = {name, (uint32_t)strlen(name)};
    int n;
    const struct py_name *u = uses(g, node, &n);
    for (int k = 0; k < n; k++)
        if (by_name(&u[k], &x) == 0)
            return 1;
    return 0;
}

/* An import and nothing else on its line. */
static int only_imports(const struct graph *g, int node)
{
    struct span t = text(g, node);
    return is_import(g, node) && !memchr(t.p, ';', t.n);
}

static int reads_itself(const struct graph *g, int node)
{
    static const char *const calls[] = {"input(", ".read(", ".readline(", ".readlines(", NULL};
    struct span t = text(g, node);
    int called =
        !is_import(g, node); /* "import sys; input = sys.stdin.readline" reads nothing yet */
    for (int i = 0; !called && calls[i]; i++)
        called = memmem(t.p, t.n, calls[i], strlen(calls[i])) != NULL;
    if (only_imports(g, node) || !called)
        return 0;
    if (uses_name(g, node, "input") || uses_name(g, node, "stdin") ||
        memmem(t.p, t.n, "sys.stdin", 9) || (is_import(g, node) && memmem(t.p, t.n, "stdin.", 6)))
        return 1;
    return uses_name(g, node, "open") &&
           (memmem(t.p, t.n, "open(0", 6) || memmem(t.p, t.n, "/dev/stdin", 10));
}

static int uses_reader(const struct graph *g, int node)
{
    int n;
    const struct py_name *u = uses(g, node, &n);
    for (int k = 0; k < n; k++) {
        const struct group *p = find(g, &u[k]);
        if (p && p->reads)
            return 1;
    }
    return 0;
}

/* What reads the standard input, calls what does, or uses what was read. */
static void find_readers(struct graph *g)
{
    int changed = 1;
    for (int i = 0; i < g->n; i++)
        g->node[i].reads = reads_itself(g, i);
    for (int pass = 0; changed && pass < 32; pass++) {
        changed = 0;
        for (int i = 0; i < g->n_group; i++)
            for (int k = g->group[i].first; k < g->group[i].first + g->group[i].n; k++)
                g->group[i].reads |= ours(g, g->prov[k].node) && g->node[g->prov[k].node].reads;
        for (int i = 0; i < g->n; i++)
            if (ours(g, i) && !g->node[i].reads && !only_imports(g, i) && uses_reader(g, i))
                changed = g->node[i].reads = 1;
    }
}

/* A judge gives no input: what reads it at the top can only fail. */
static int is_hopeless(const struct graph *g, int node)
{
    struct span t = text(g, node);
    if (!g->node[node].reads || is_definition(g, node) || only_imports(g, node))
        return 0;
    return !(stmt(g, node)->kind == PY_IF && memmem(t.p, t.n, "__name__", 8)); /* never run */
}

/* Decide about each statement of ours; how many go. */
static int choose_ours(struct graph *g)
{
    const struct extract_opts *o = g->f->o;
    int dropped = 0, sanitize = 0;
    keep_needed(g);
    find_readers(g);
    for (int i = 0; i < g->n; i++) /* nothing that is needed: nothing to go by */
        sanitize |= o->sanitize && ours(g, i) && g->node[i].keep;
    for (int i = 0; i < g->n; i++) {
        struct node *x = &g->node[i];
        if (!ours(g, i) || x->keep)
            continue;
        x->keep = sanitize ? is_import(g, i) : o->as_is || o->reads || !is_hopeless(g, i);
        dropped += !x->keep;
    }
    return dropped;
}

/* ---- from the other candidates ---- */

/* Names that need no definition; a piece that has another idea of them is not asked. */
static int is_builtin(const struct py_name *x)
{
    static const char *const names[] = {
        "abs",     "all",        "any",        "ascii",   "bin",      "bool",   "bytearray",
        "bytes",   "callable",   "chr",        "complex", "dict",     "dir",    "divmod",
        "eval",    "enumerate",  "exec",       "filter",  "float",    "format", "frozenset",
        "getattr", "globals",    "hasattr",    "hash",    "hex",      "id",     "input",
        "int",     "isinstance", "issubclass", "iter",    "len",      "list",   "locals",
        "map",     "max",        "min",        "next",    "object",   "oct",    "open",
        "ord",     "pow",        "print",      "range",   "property", "repr",   "reversed",
        "round",   "set",        "setattr",    "slice",   "sorted",   "str",    "sum",
        "super",   "tuple",      "type",       "vars",    "zip",      NULL};
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == x->n && !memcmp(names[i], x->p, x->n))
            return 1;
    return 0;
}

/* May a statement of another piece be lent?  Not its examples: what reads, or uses the entry point. */
static int can_be_lent(const struct graph *g, int node)
{
    const char *entry = g->f->o->entry;
    struct py_name name = {entry, entry ? (uint32_t)strlen(entry) : 0};
    int n;
    const struct py_name *u = uses(g, node, &n);
    if (is_definition(g, node) || is_import(g, node))
        return 1;
    if (stmt(g, node)->kind != PY_NAME || g->node[node].reads)
        return 0;
    for (int i = 0; entry && i < n; i++)
        if (by_name(&u[i], &name) == 0)
            return 0;
    return 1;
}

/* Keep what gives `name` in one other candidate: the first, or in a thinking block the last. */
static void borrow(struct graph *g, const struct py_name *name)
{
    struct group *p = find(g, name);
    int source = -1;
    if (!p || p->asked || is_builtin(name))
        return;
    p->asked = 1;
    for (int k = p->first; k < p->first + p->n; k++) {
        int node = g->prov[k].node;
        if (ours(g, node) && g->node[node].keep)
            return;
        if (!ours(g, node) && (source < 0 || g->f->late) && can_be_lent(g, node))
            source = g->node[node].source;
    }
    for (int k = p->first; k < p->first + p->n; k++)
        if (source >= 0 && g->node[g->prov[k].node].source == source &&
            can_be_lent(g, g->prov[k].node))
            keep(g, g->prov[k].node);
}

static void borrow_all(struct graph *g)
{
    int n;
    for (int i = 0; i < g->n; i++)
        if (ours(g, i) && g->node[i].keep)
            g->stack[g->top++] = i;
    while (g->top > 0) {
        const struct py_name *u = uses(g, g->stack[--g->top], &n);
        for (int k = 0; k < n; k++)
            borrow(g, &u[k]);
    }
}

/* ---- the text ---- */

static char *append(char *w, struct span s) /* as whole lines */
{
    memcpy(w, s.p, s.n);
    w += s.n;
    if (s.n && w[-1] != '\n')
        *w++ = '\n';
    return w;
}

static char *write_others(const struct graph *g, char *w, int *parts)
{
    int last = -1;
    for (int i = 0; i < g->n; i++)
        if (!ours(g, i) && g->node[i].keep) {
            *parts += g->node[i].source != last;
            last = g->node[i].source;
            w = append(w, text(g, i));
        }
    return w;
}

static char *write_ours(const struct graph *g, char *w, int dropped)
{
    struct span all = g->f->v[g->best].s;
    const char *from = all.p;
    if (dropped == 0)
        return append(w, all);
    for (int i = 0; i < g->n; i++) {
        struct span t, gap;
        if (!ours(g, i))
            continue;
        t = text(g, i);
        gap = (struct span){from, (size_t)(t.p - from)};
        if (!g->f->o->sanitize || span_blank(gap)) /* comments go: whose they are is not known */
            w = append(w, gap);
        if (g->node[i].keep)
            w = append(w, t);
        from = t.p + t.n;
    }
    return w;
}

static char *write_all(struct graph *g, int dropped, struct extract *x)
{
    const struct candidate *c = &g->f->v[g->best];
    size_t size = c->s.n + 8 + (size_t)g->n * 2; /* each piece may get a newline */
    char *out, *w;
    for (int i = 0; i < g->n; i++)
        size += ours(g, i) || !g->node[i].keep ? 0 : text(g, i).n;
    if (!(out = w = malloc(size)))
        return NULL;
    if (!c->body)
        w = write_others(g, w, &x->parts);
    if (w > out)
        *w++ = '\n', *w++ = '\n';
    w = write_ours(g, w, dropped);
    if (c->body)
        w = write_others(g, w, &x->parts);
    *w = 0;
    return out;
}

char *need_assemble(struct finder *f, int best, struct extract *x)
{
    const struct candidate *c = &f->v[best];
    struct graph g = {.f = f, .best = best, .m = calloc((size_t)f->n, sizeof *g.m)};
    char *out = NULL;
    int dropped = 0;
    x->parts = 1;
    if (!g.m || (c->parses && build(&g) < 0)) {
        f->nomem = 1;
    } else if (g.m[best].n > 0) {
        if (!c->body)
            dropped = choose_ours(&g);
        else
            for (int i = 0; i < g.n; i++)
                g.node[i].keep = ours(&g, i);
        if (!f->o->as_is && !memmem(c->s.p, c->s.n, "from __future__", 15))
            borrow_all(&g);
        out = write_all(&g, dropped, x);
    } else if ((out = malloc(c->s.n + 2))) {
        *append(out, c->s) = 0;
    }
    for (int i = 0; g.m && i < f->n; i++)
        py_module_free(&g.m[i]);
    free(g.m);
    free(g.node);
    free(g.stack);
    free(g.prov);
    free(g.group);
    x->dropped = dropped;
    return out;
}
