/* inputs - examples out of a prompt, and what becomes of them */
#include "inputs.h"
#include "hash.h"
#include "pycall.h"
#include "pymutate.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ARGS = 16,
    MAX_EXAMPLES = 64,
    MAX_LETTERS = 96,
    MAX_TEXT = 4096, /* bytes of an input */
    TRIES = 40       /* for each input wanted, before it is given up */
};

struct param {
    char name[64];
    struct pytype type; /* of its annotation */
    int optional;
};
struct work {
    struct param param[MAX_ARGS];
    int n_param;                        /* -1 = no definition */
    struct pylit example[MAX_EXAMPLES]; /* tuples of arguments */
    int n_example;
    struct pytype type[MAX_ARGS]; /* by place */
    uint32_t letter[MAX_LETTERS];
    int n_letter, negative;
    uint64_t *hash; /* (n) of the inputs so far */
};

const char *inputs_from_name(enum inputs_from f)
{
    static const char *const names[] = {"none", "examples", "types", "names"};
    return names[f];
}

/* ---- the definition ---- */

/* At the next ',', '=' or ')' that is in no bracket and no quotes. */
static const char *skip_part(const char *p)
{
    while (*p && !strchr(",=)", *p)) {
        const char *end = NULL;
        if (strchr("([{", *p))
            end = pycall_end(p);
        else if (strchr("'\"", *p) && (end = strchr(p + 1, *p)))
            end++;
        p = end ? end : p + 1;
    }
    return p;
}

/* Read the parameters behind the bracket at p; a "*args" ends them. Returns what follows. */
static const char *read_params(struct work *w, const char *p)
{
    p++;
    for (w->n_param = 0; w->n_param < MAX_ARGS; w->n_param++) {
        struct param *x = &w->param[w->n_param];
        size_t n = 0;
        p += strspn(p, " \t\r\n,");
        while (pycall_word(p[n]))
            n++;
        if (n == 0 || n >= sizeof x->name)
            break;
        memcpy(x->name, p, n);
        p += n;
        p += strspn(p, " ");
        if (*p == ':') {
            const char *q = p + 1;
            if (pytype_read(&x->type, &q) == 0)
                p = q;
            else
                p = skip_part(p);
        }
        p += strspn(p, " ");
        if (*p == '=') {
            x->optional = 1;
            p = skip_part(p + 1);
        }
    }
    return p;
}

/* The entry point's definition in the prompt; returns the text behind its parameters, or the text. */
static const char *read_definition(struct work *w, const char *text, const char *entry)
{
    const char *open;
    w->n_param = -1;
    for (const char *p = text; (p = pycall_find(p, entry, &open)); p = open)
        if (p - text >= 4 && !strncmp(p - 4, "def ", 4))
            return read_params(w, open);
    return text;
}

static int required(const struct work *w)
{
    int n = 0;
    for (int i = 0; i < w->n_param; i++)
        n += !w->param[i].optional;
    return n;
}

/* ---- examples ---- */

/* Takes the arguments over. */
static void add_example(struct work *w, struct pylit *args)
{
    int bad = args->n > MAX_ARGS || w->n_example == MAX_EXAMPLES ||
              (w->n_param >= 0 && (args->n > w->n_param || args->n < required(w)));
    for (int i = 0; i < w->n_example && !bad; i++)
        bad = pylit_equal(&w->example[i], args);
    if (bad)
        pylit_free(args);
    else
        w->example[w->n_example++] = *args;
}

static void read_calls(struct work *w, const char *text, const char *entry)
{
    const char *open;
    struct pylit args;
    for (const char *p = text; (p = pycall_find(p, entry, &open)); p = open)
        if ((p - text < 4 || strncmp(p - 4, "def ", 4)) && pylit_read_args(&args, open) == 0)
            add_example(w, &args);
}

/* The k-th "NAME = LITERAL" or "NAME: LITERAL" of the text. */
static int assigned(struct pylit *v, const char *text, const char *name, int k)
{
    size_t n = strlen(name);
    for (const char *p = text; (p = strstr(p, name)); p += n) {
        const char *q = p + n + strspn(p + n, " ");
        if ((p > text && pycall_word(p[-1])) || pycall_word(p[n]) || (*q != '=' && *q != ':') ||
            q[1] == '=')
            continue;
        q++;
        if (pylit_read(v, &q) == 0) {
            if (k-- == 0)
                return 1;
            pylit_free(v);
        }
    }
    return 0;
}

/* Examples of assignments; only those that give every parameter a value. */
static int read_assignments(struct work *w, const char *text)
{
    for (int k = 0; k < MAX_EXAMPLES && w->n_param > 0; k++) {
        struct pylit args = {.kind = PYLIT_TUPLE}, v;
        for (int i = 0; i < w->n_param; i++) {
            if (!assigned(&v, text, w->param[i].name, k) &&
                !(w->n_param == 1 &&
                  (assigned(&v, text, "Input", k) || assigned(&v, text, "input", k))))
                break;
            if (pylit_insert(&args, args.n, &v) < 0)
                return -1;
        }
        if (args.n < w->n_param) {
            pylit_free(&args);
            return 0;
        }
        add_example(w, &args);
    }
    return 0;
}

/* Examples of types: annotations, then names, then integers. */
static int make_examples(struct work *w, struct rng *r, enum inputs_from *from)
{
    *from = INPUTS_TYPES;
    for (int i = 0; i < w->n_param; i++) {
        struct pytype *t = &w->param[i].type;
        if (t->kind == PYTYPE_UNKNOWN && !w->param[i].optional) {
            *from = INPUTS_NAMES;
            if (!pytype_of_name(t, w->param[i].name))
                t->kind = PYTYPE_INT;
        }
    }
    w->negative = 1;
    for (int k = 0; k < 4; k++) {
        struct pylit args = {.kind = PYLIT_TUPLE}, v;
        for (int i = 0; i < w->n_param && !w->param[i].optional; i++)
            if (pytype_make(&v, &w->param[i].type, r) < 0 || pylit_insert(&args, args.n, &v) < 0) {
                pylit_free(&args);
                return -1;
            }
        add_example(w, &args);
    }
    return 0;
}

/* ---- what the examples are made of ---- */

static void look(struct work *w, const struct pylit *v)
{
    w->negative |= (v->kind == PYLIT_INT && v->i < 0) || (v->kind == PYLIT_FLOAT && v->f < 0);
    for (int i = 0; i < v->n; i++) {
        int k = 0;
        if (v->kind != PYLIT_STR) {
            look(w, &v->item[i]);
            continue;
        }
        while (k < w->n_letter && w->letter[k] != v->s[i])
            k++;
        if (k == w->n_letter && k < MAX_LETTERS)
            w->letter[w->n_letter++] = v->s[i];
    }
}

static int learn(struct work *w)
{
    for (int k = 0; k < w->n_example; k++) {
        look(w, &w->example[k]);
        for (int i = 0; i < w->example[k].n; i++)
            if ((i >= w->n_param || w->param[i].type.kind == PYTYPE_UNKNOWN) &&
                pytype_join(&w->type[i], &w->example[k].item[i]) < 0)
                return -1;
    }
    return 0;
}

/* ---- the inputs ---- */

/* Add the arguments' text if it is new. */
static int add_input(struct inputs *in, struct work *w, const struct pylit *args)
{
    size_t len = 0;
    char *text = NULL;
    FILE *f = open_memstream(&text, &len);
    if (!f)
        return -1;
    pylit_write_args(f, args);
    if (fclose(f) != 0) {
        free(text);
        return -1;
    }
    uint64_t h = hash_fnv(HASH_FNV, text, len);
    int known = len > MAX_TEXT;
    for (int i = 0; i < in->n && !known; i++)
        known = w->hash[i] == h && !strcmp(in->v[i], text);
    if (known) {
        free(text);
        return 0;
    }
    w->hash[in->n] = h;
    in->v[in->n++] = text;
    return 0;
}

/* One more: an example, at times with an argument of another one, changed in one to three places. */
static int vary(struct inputs *in, struct work *w, struct pymutate *m)
{
    struct pylit args, x;
    const struct pylit *base = &w->example[rng_below(&m->rng, (uint64_t)w->n_example)],
                       *other = &w->example[rng_below(&m->rng, (uint64_t)w->n_example)];
    int rc = pylit_copy(&args, base), n = 1 + (int)rng_below(&m->rng, 3);
    if (rc < 0)
        return rc;
    if (args.n > 1 && other->n == args.n && rng_below(&m->rng, 4) == 0) {
        int i = (int)rng_below(&m->rng, (uint64_t)args.n);
        if ((rc = pylit_copy(&x, &other->item[i])) == 0) {
            pylit_free(&args.item[i]);
            args.item[i] = x;
        }
    }
    for (; n > 0 && args.n && rc == 0; n--) {
        int i = (int)rng_below(&m->rng, (uint64_t)args.n);
        const struct pytype *t =
            i < w->n_param && w->param[i].type.kind ? &w->param[i].type : &w->type[i];
        rc = pymutate(m, &args.item[i], t);
    }
    if (rc == 0)
        rc = add_input(in, w, &args);
    pylit_free(&args);
    return rc;
}

static void work_free(struct work *w)
{
    for (int i = 0; i < w->n_example; i++)
        pylit_free(&w->example[i]);
    for (int i = 0; i < MAX_ARGS; i++) {
        pytype_free(&w->param[i].type);
        pytype_free(&w->type[i]);
    }
    free(w->hash);
    free(w);
}

/* Fill w with examples; says where they are from. */
static int find_examples(struct work *w, const struct bench_task *t, struct rng *r,
                         enum inputs_from *from)
{
    const char *entry = bench_entry(t), *doc;
    int rc = 0;
    w->n_param = -1;
    if (!entry || t->judge == BENCH_PROGRAM) /* calls in Python's syntax are read here */
        return 0;
    if (!t->entry_point) { /* MBPP */
        for (int i = 0; i < t->n_tests; i++)
            read_calls(w, t->tests[i], entry);
    } else {
        doc = read_definition(w, t->prompt, entry);
        read_calls(w, t->prompt, entry);
        if (w->n_example == 0)
            rc = read_assignments(w, doc);
    }
    *from = w->n_example ? INPUTS_EXAMPLES : INPUTS_NOTHING;
    if (rc == 0 && w->n_example == 0 && w->n_param >= 0)
        rc = make_examples(w, r, from);
    return rc;
}

int inputs_make(struct inputs *in, const struct bench_task *t, int want, uint64_t seed,
                struct err *e)
{
    struct work *w = calloc(1, sizeof *w);
    struct pymutate m = {.rng = {.key = rng_key(seed, t->task_id, 0)}};
    int rc = -1;
    *in = (struct inputs){.v = calloc((size_t)want + 1, sizeof *in->v)};
    if (w)
        w->hash = calloc((size_t)want + 1, sizeof *w->hash);
    if (w && in->v && w->hash && (rc = find_examples(w, t, &m.rng, &in->from)) == 0 &&
        (rc = learn(w)) == 0) {
        m.letter = w->letter;
        m.n_letter = w->n_letter;
        m.negative = w->negative;
        for (int i = 0; i < w->n_example && in->n < want && rc == 0; i++)
            rc = add_input(in, w, &w->example[i]);
        for (long k = 0; k < (long)TRIES * want && in->n < want && w->n_example && rc == 0; k++)
            rc = vary(in, w, &m);
    }
    if (w)
        work_free(w);
    if (rc == 0)
        return 0;
    inputs_free(in);
    return err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id);
}

void inputs_free(struct inputs *in)
{
    for (int i = 0; i < in->n; i++)
        free(in->v[i]);
    free(in->v);
    *in = (struct inputs){0};
}
