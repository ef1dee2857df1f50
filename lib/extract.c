/* extract - the code in a model's answer: regions, candidates, the best of them */
#include "extract.h"
#include "extract_private.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_CANDIDATES = 256 };

const char *extract_how_name(enum extract_how how)
{
    static const char *const names[EXTRACT_HOWS] = {"none", "fence", "open-fence", "raw",
                                                    "thinking"};
    return names[how];
}

const char *extract_mend_name(int bit)
{
    static const char *const names[EXTRACT_MENDS] = {"marks",      "html",    "backslashes",
                                                     "characters", "prompts", "tabs",
                                                     "newlines",   "indent",  "cut"};
    return names[bit];
}

/* ---- candidates ---- */

const char *finder_prompt(const struct finder *f)
{
    return f->o->prompt ? f->o->prompt : "def _():\n";
}

int finder_own(struct finder *f, void *p)
{
    if (f->n_own == f->cap_own) {
        int cap = f->cap_own ? 2 * f->cap_own : 16;
        void **v = realloc(f->own, (size_t)cap * sizeof *v);
        if (!v) {
            f->nomem = 1;
            free(p);
            return -1;
        }
        f->own = v;
        f->cap_own = cap;
    }
    f->own[f->n_own++] = p;
    return 0;
}

struct span finder_text(struct finder *f, char *s)
{
    if (!s || finder_own(f, s) < 0)
        return (struct span){NULL, 0};
    return (struct span){s, strlen(s)};
}

void finder_add(struct finder *f, const struct candidate *c)
{
    if (f->n >= MAX_CANDIDATES)
        return;
    if (f->n == f->cap) {
        int cap = f->cap ? 2 * f->cap : 8;
        struct candidate *v = realloc(f->v, (size_t)cap * sizeof *v);
        if (!v) {
            f->nomem = 1;
            return;
        }
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n] = *c;
    if (c->parses && !c->mended)
        f->v[f->n].line = 0, f->v[f->n].why = NULL;
    f->n++;
}

/* Without an entry point: do both begin with a definition of the same name? */
static int same_thing(const struct finder *f, const struct candidate *a, const struct candidate *b)
{
    return f->o->entry || f->o->reads ||
           (a->name.n && a->name.n == b->name.n && !memcmp(a->name.p, b->name.p, a->name.n));
}

/* Without an entry point a stub may be all that was asked for: it yields to
 * the same name alone. */
static int rank_beside(const struct finder *f, const struct candidate *a, const struct candidate *b)
{
    return a->rank == RANK_STUB && !same_thing(f, a, b) ? RANK_DEFINES : (int)a->rank;
}

/* Is a better than b, which came before it? */
static int better(const struct finder *f, const struct candidate *a, const struct candidate *b)
{
    int ra = rank_beside(f, a, b), rb = rank_beside(f, b, a);
    if (ra != rb)
        return ra > rb;
    if (a->named != b->named)
        return a->named > b->named;
    if (a->how != b->how)
        return a->how < b->how;
    return f->late || (a->again && same_thing(f, a, b));
}

static int best(const struct finder *f) /* -1: none */
{
    int k = -1;
    for (int i = 0; i < f->n; i++)
        if (f->v[i].rank >= 0 && (k < 0 || better(f, &f->v[i], &f->v[k])))
            k = i;
    return k;
}

/* ---- text ---- */

/* A copy with \n alone between lines, without a byte order mark. */
static char *plain_lines(const char *s, size_t n, size_t *m)
{
    char *out = malloc(n + 1), *w = out;
    int lone = memchr(s, '\r', n) && !memchr(s, '\n', n);
    if (!out)
        return NULL;
    if (n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3))
        s += 3, n -= 3;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\r' && lone)
            *w++ = '\n';
        else if (s[i] != '\r' || i + 1 == n || s[i + 1] != '\n')
            *w++ = s[i];
    }
    *w = 0;
    *m = (size_t)(w - out);
    return out;
}

/* Without blank lines around; a newline at its end (and the blank line that a last backslash continues
 * into). In place. */
static size_t trim_lines(char *s)
{
    char *p = s, *q;
    size_t all = strlen(s), n;
    while ((q = strchr(p, '\n')) && span_blank((struct span){p, (size_t)(q - p)}))
        p = q + 1;
    all -= (size_t)(p - s);
    for (n = all; n && strchr(" \t\r\n\f\v", p[n - 1]);)
        n--;
    memmove(s, p, n);
    if (n && s[n - 1] == '\\' && all >= n + 2)
        s[n++] = '\n';
    if (n)
        s[n++] = '\n';
    s[n] = 0;
    return n;
}

/* ---- the whole ---- */

static int search(struct finder *f, struct span text, struct extract *x, int *fences)
{
    struct regions r;
    if (f->o->asked != EXTRACT_CODE) {
        int rc = answer_search(f, text, fences);
        x->candidates += f->n;
        return rc;
    }
    int nomem = region_split(&r, text, f->o->lang) < 0, k;
    void (*region)(struct finder *, const struct region *) =
        f->o->lang == BENCH_PYTHON ? python_region : brace_region;
    f->limit = 16 * text.n + (1 << 20);
    for (int i = 0; i < r.n && !nomem; i++)
        region(f, &r.v[i]);
    k = best(f);
    if (r.fences && (k < 0 || f->v[k].rank < RANK_STUB) &&
        !nomem) { /* are the marks inside a string? */
        struct region all = {.s = text, .how = EXTRACT_RAW, .first = 1};
        int n = f->n;
        region(f, &all);
        for (int i = n; i < f->n; i++)
            if (!memmem(f->v[i].s.p, f->v[i].s.n, "```", 3) &&
                !memmem(f->v[i].s.p, f->v[i].s.n, "~~~", 3))
                f->v[i].rank = RANK_LENDS; /* no: it was seen before */
    }
    if (best(f) < 0 && f->o->lang == BENCH_PYTHON && !nomem)
        loose_search(f, text);
    free(r.v);
    *fences = r.fences;
    x->candidates += f->n;
    return nomem || f->nomem ? -1 : 0;
}

static char *answer_text(struct span s) /* with room for a newline */
{
    char *out = malloc(s.n + 2);
    if (out) {
        memcpy(out, s.p, s.n);
        out[s.n] = 0;
    }
    return out;
}

/* The best candidate as the answer. 0: there is none; -1: no memory. */
static int take(struct finder *f, struct extract *x)
{
    int k = best(f);
    const struct candidate *c = k < 0 ? NULL : &f->v[k];
    char *code;
    size_t n;
    if (!c)
        return 0;
    x->parts = 1;
    code = f->o->asked != EXTRACT_CODE  ? answer_text(c->s)
           : f->o->lang == BENCH_PYTHON ? need_assemble(f, k, x)
                                        : brace_assemble(f, k, x);
    if (!code)
        return -1;
    if ((n = trim_lines(code)) == 0) {
        free(code);
        return 0;
    }
    free(x->code);
    x->code = code;
    x->n = n;
    x->how = c->how;
    x->body = c->body;
    x->answer = f->o->asked != EXTRACT_CODE;
    x->parses = f->o->lang == BENCH_PYTHON ? c->parses : -1;
    x->defines = f->o->entry && !x->answer ? c->defines : -1;
    x->mended = c->mended;
    x->line = c->line;
    x->why = c->why;
    return 1;
}

static void finder_free(struct finder *f)
{
    for (int i = 0; i < f->n_own; i++)
        free(f->own[i]);
    free(f->own);
    free(f->v);
}

/* In the answer, and if there is nothing in it, in the reasoning. */
static int find(struct extract *x, struct span text, struct span thought,
                const struct extract_opts *o)
{
    struct finder answer = {.o = o}, inner = {.o = o, .late = 1};
    int rc = search(&answer, text, x, &x->fences) < 0 ? -1 : take(&answer, x), fences, k;
    if (rc == 0 && thought.n) {
        rc = search(&inner, thought, x, &fences);
        k = rc == 0 ? best(&inner) : -1;
        if (k >= 0 && (o->asked || inner.v[k].body || text_has_def(inner.v[k].s))) {
            rc = take(&inner, x);
            if (rc > 0)
                x->how = EXTRACT_THINKING;
        }
    }
    finder_free(&answer);
    finder_free(&inner);
    return rc;
}

int extract_find(struct extract *x, const char *text, size_t n, const char *thought, int open,
                 const struct extract_opts *o, struct err *e)
{
    size_t m, k = 0;
    char *plain = plain_lines(text, strnlen(text, n), &m), *apart = NULL;
    struct span s = {plain, m}, inside = {NULL, 0};
    int rc = -1;
    memset(x, 0, sizeof *x);
    x->parses = x->defines = -1;
    if (plain && (!thought || (apart = plain_lines(thought, strlen(thought), &k))) &&
        (x->code = calloc(1, 1))) {
        int overflow = region_thought(&s, &inside);
        if (span_trim(inside).n == 0 && apart) {
            inside = (struct span){apart, k};
            overflow = open;
        }
        if (span_trim(inside).n)
            x->thought = overflow ? EXTRACT_OVERFLOW : EXTRACT_THOUGHT;
        rc = find(x, region_turn(s), inside, o);
    }
    free(plain);
    free(apart);
    if (rc < 0) {
        free(x->code);
        x->code = NULL;
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    return 0;
}
