/* extract_python - the candidates of a region: it as a whole, as a body, mended, or the parts that
 * parse */
#include "extract_private.h"
#include "pyparse.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_MEND = 1 << 18, /* bytes: longer pieces are taken as they are */
    MAX_CUTS = 64       /* ends tried for a statement that does not parse */
};

/* 0, or -1: no memory, or more was parsed than the answer is worth. */
static int parse(struct finder *f, struct py_module *m, struct span s, int names)
{
    memset(m, 0, sizeof *m);
    if (f->work > f->limit || f->nomem)
        return -1;
    if (py_parse(m, s.p, s.n, names) < 0)
        f->nomem = 1;
    f->work += m->read + 64;
    if (f->nomem)
        py_module_free(m);
    return f->nomem ? -1 : 0;
}

/* ---- programs ---- */

static int binds(const struct py_module *m, const struct py_stmt *s, const char *name)
{
    size_t n = strlen(name);
    for (int k = 0; k < s->n_binds; k++)
        if (m->name[s->name + k].n == n && !memcmp(m->name[s->name + k].p, name, n))
            return 1;
    return 0;
}

static int uses(const struct py_module *m, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < m->n; i++) {
        const struct py_stmt *s = &m->stmt[i];
        const struct py_name *u = m->name + s->name + s->n_binds + s->n_changes;
        for (int k = 0; k < s->n_uses; k++)
            if (u[k].n == n && !memcmp(u[k].p, name, n))
                return 1;
    }
    return 0;
}

static int holds(struct span s, const char *word)
{
    return memmem(s.p, s.n, word, strlen(word)) != NULL;
}

static int reads_stream(struct span s)
{
    return holds(s, "stdin") || holds(s, "open(0") || holds(s, "fileinput");
}

static int reads(struct span s)
{
    return holds(s, "input(") || reads_stream(s);
}

/* Is it a program that is judged by what it reads and writes? */
static int is_program_asked(const struct finder *f)
{
    return f->o->reads && !f->o->entry;
}

/* Such a program does both; what only reads is a piece of one. */
static int is_filter(const struct py_module *m, struct span s)
{
    return (uses(m, "input") || reads_stream(s) || (m->more && holds(s, "input("))) &&
           (uses(m, "print") || holds(s, "write") || (m->more && holds(s, "print(")));
}

/* What the module defines. An import defines nothing: "from solution import f". */
static void look(const struct finder *f, const struct py_module *m, struct span text,
                 struct candidate *c)
{
    const struct extract_opts *o = f->o;
    int def = 0, asked = 0, real = 0; /* a definition, what is asked for, and not a stub */
    int said = 0;                     /* what is asked for, by a definition */
    for (int i = 0; i < m->n; i++) {
        const struct py_stmt *s = &m->stmt[i];
        struct span t = {text.p + s->begin, s->end - s->begin};
        int head = s->kind == PY_DEF || s->kind == PY_CLASS;
        int defines = head || ((s->saw & PY_SAW_LAMBDA) && s->n_binds), this = defines;
        if ((s->kind == PY_IMPORT || s->kind == PY_FROM) && !memchr(t.p, ';', t.n))
            continue;
        if (head && !c->name.n && s->n_binds)
            c->name = (struct span){m->name[s->name].p, m->name[s->name].n};
        if (o->entry)
            this = binds(m, s, o->entry) && (!o->method || text_has_method(t, o->method));
        def |= defines;
        asked |= this;
        said |= this && defines;
        real |= this && !(head && stub_python(t));
    }
    if (is_program_asked(f))
        asked = real = said = is_filter(m, text);
    if (m->more && o->entry && text_defines(text, o->entry)) /* too much for names */
        asked = real = 1;
    c->defines = asked;
    c->rank = asked ? (real ? RANK_DEFINES : RANK_STUB) : def ? RANK_OTHER : RANK_TEXT;
    c->again = c->again && said && c->rank == RANK_DEFINES && !(c->mended & EXTRACT_MEND_CUT);
}

/* Add s if it parses as a program, else note why not in *c. */
static int as_program(struct finder *f, struct span s, struct candidate *c)
{
    struct py_module m;
    struct candidate add = *c;
    int ok;
    if (parse(f, &m, s, 1) < 0)
        return 0;
    ok = m.ok && m.n > 0 && !(m.saw & PY_SAW_RETURN);
    if (ok) {
        add.s = s;
        add.parses = 1;
        look(f, &m, s, &add);
        if (c->rank < 0) /* only for what the others need */
            add.rank = RANK_LENDS;
        finder_add(f, &add);
    } else if (!c->why) {
        c->line = m.ok ? 1 : m.line;
        c->why = m.ok ? "a return outside of functions" : m.why;
    }
    py_module_free(&m);
    return ok;
}

/* Does s parse?  Nothing is added; why not is noted in *c. */
static int is_program(struct finder *f, struct span s, struct candidate *c)
{
    struct candidate pool = *c;
    int n = f->n, ok = as_program(f, s, &pool);
    f->n = n;
    c->line = pool.line;
    c->why = pool.why;
    return ok;
}

static void as_broken(struct finder *f, struct span s, struct candidate c)
{
    int def = text_has_def(s);
    if (span_trim(s).n == 0)
        return;
    f->work += s.n;
    c.s = s;
    c.mended &= ~(unsigned)EXTRACT_MEND_CUT;
    c.parses = 0;
    c.defines = f->o->entry ? text_defines(s, f->o->entry) &&
                                  (!f->o->method || text_has_method(s, f->o->method))
                            : def;
    c.rank = f->o->entry && c.defines ? RANK_BROKEN : def ? RANK_DEF : RANK_TEXT;
    if (!c.why) /* it was only tried as a body */
        is_program(f, s, &c);
    if (!c.why) {
        c.line = 1;
        c.why = "too long to be parsed";
    }
    finder_add(f, &c);
}

/* The statement of s that does not parse, without its last lines: an end (an offset in s) behind
 * `lowest` at which it does; 0 = none. */
static size_t cut_back(struct finder *f, struct span s, const struct py_module *m, size_t lowest)
{
    const char *begin = s.p + m->failed, *p = begin, *end = s.p + s.n;
    const char *low = s.p + lowest > begin ? s.p + lowest : begin;
    long line = 1;
    for (const char *q = s.p; q < begin; q++)
        line += *q == '\n';
    for (; line < m->line && p < end; line++) { /* to the line of the error */
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl ? nl + 1 : end;
    }
    for (int k = 0; k < MAX_CUTS && p > low; k++) {
        struct py_module part;
        int ok;
        if (parse(f, &part, (struct span){begin, (size_t)(p - begin)}, 0) < 0)
            return 0;
        ok = part.ok && part.n > 0 && !(part.saw & PY_SAW_RETURN) &&
             m->failed + part.stmt[part.n - 1].end > lowest;
        py_module_free(&part);
        if (ok)
            return (size_t)(p - s.p);
        for (p--; p > low && p[-1] != '\n';)
            p--;
    }
    return 0;
}

/* ---- bodies ---- */

/* How much of s continues the function that the prompt began; 0 = nothing. With `cut` its last lines
 * may be left out. The error is noted in *c, if there is none yet. */
static size_t body_length(struct finder *f, struct span s, int cut, struct candidate *c)
{
    const char *prompt = finder_prompt(f);
    size_t before = strlen(prompt), n = 0;
    int gap = before && prompt[before - 1] != '\n';
    char *all = malloc(before + 1 + s.n);
    struct py_module m;
    if (!all) {
        f->nomem = 1;
        return 0;
    }
    memcpy(all, prompt, before);
    if (gap) /* a line is continued by lines only */
        all[before++] = '\n';
    memcpy(all + before, s.p, s.n);
    f->work += s.n;
    struct span whole = {all, before + s.n};
    if (parse(f, &m, whole, 0) == 0) {
        for (int i = 0; i < m.n && n == 0; i++)
            if (m.stmt[i].begin < before && m.stmt[i].end > before)
                n = m.stmt[i].end - before;
        if (n == 0 && !m.ok && m.failed < before) {
            long line = m.line;
            for (size_t i = 0; i < before; i++)
                line -= all[i] == '\n';
            if (!c->why)
                c->line = line, c->why = m.why;
            if (cut && (n = cut_back(f, whole, &m, before)) > 0)
                n -= before;
        }
        py_module_free(&m);
    }
    free(all);
    return n;
}

/* Add s, or how much of it is one, as a body, else note why not in *c. */
static int as_body(struct finder *f, struct span s, struct candidate *c, int cut)
{
    struct candidate add, behind = {.how = c->how, .rank = RANK_LENDS};
    struct span line = span_first(s);
    size_t n;
    if (line.n == 0 || (*line.p != ' ' && *line.p != '\t')) /* what the sandbox takes for a body */
        return 0;
    if (f->o->no_body || (n = body_length(f, s, cut, c)) == 0)
        return 0;
    add = *c;
    add.s = (struct span){s.p, n};
    add.mended |= cut ? EXTRACT_MEND_CUT : 0;
    add.body = add.parses = add.defines = 1;
    add.rank = RANK_BODY;
    finder_add(f, &add);
    if (n < s.n)
        as_program(f, (struct span){s.p + n, s.n - n}, &behind);
    return 1;
}

static size_t common_indent(struct span s)
{
    const char *p = s.p;
    struct span line;
    size_t least = SIZE_MAX;
    while (span_line(&p, s.p + s.n, &line))
        if (!span_blank(line) && span_indent(line) < least)
            least = span_indent(line);
    return least == SIZE_MAX ? 0 : least;
}

/* Text whose first line is indented: a program moved right, if it then defines what is asked for, else
 * a body. */
static int indented(struct finder *f, struct span s, struct candidate *c)
{
    size_t k = common_indent(s);
    int n = f->n;
    if (span_indent(span_first(s)) == 0)
        return 0;
    if (k > 0 && text_has_def(s) && !f->o->as_is && s.n <= MAX_MEND) {
        struct span t;
        struct candidate moved = *c;
        moved.mended |= EXTRACT_MEND_INDENT;
        t = finder_text(f, mend_indent(s, (struct span){"", 0}, k, 0, &f->nomem));
        if (t.p && as_program(f, t, &moved)) {
            if (f->n > n && (f->v[n].rank >= RANK_STUB || f->o->no_body))
                return 1;
            f->n = n;
        }
    }
    return as_body(f, s, c, 0);
}

/* Of the lines behind the first one: where those end that are indented, and the least indentation. */
static struct span block_behind(struct span first, const char *end, struct span *least)
{
    const char *p = first.p + first.n, *begin = p, *last = p;
    struct span line;
    *least = (struct span){NULL, 0};
    if (p < end)
        p++;
    while (span_line(&p, end, &line)) {
        size_t k = span_indent(line);
        if (k == line.n || *line.p == '#')
            continue;
        if (k == 0)
            break;
        last = line.p + line.n;
        if (!least->p || k < least->n)
            *least = (struct span){line.p, k};
    }
    return (struct span){begin, (size_t)(last - begin)};
}

/* A body of which the first line, or every line, lost its indentation or a part of it: "return x". */
static int flush_body(struct finder *f, struct span s, struct candidate *c)
{
    static const struct span four = {"    ", 4};
    struct span first = span_first(s), least;
    struct span block = block_behind(first, s.p + s.n, &least);
    size_t needs = (size_t)(block.p + block.n - s.p), k = span_indent(first),
           all = common_indent(s);
    first = (struct span){first.p + k, first.n - k};
    if (f->o->no_body || f->o->as_is || s.n > MAX_MEND || !text_is_code(first) ||
        (f->o->entry && text_defines(s, f->o->entry)))
        return 0;
    for (int try = 0; try < 3; try++) { /* the first line like the others, by four; all by four */
        struct span add = try == 0 && least.p ? least : four, t;
        struct candidate moved = *c;
        if (try < 2 ? !block.n && !span_starts(first, "return ") : text_begins_code(first) == 0)
            continue;
        t = finder_text(f, mend_indent(s, add, try < 2 ? k : all, try < 2, &f->nomem));
        moved.mended |= EXTRACT_MEND_INDENT;
        if (t.p && body_length(f, t, 0, &moved) >= (try < 2 ? needs + add.n - k : t.n))
            return as_body(f, t, &moved, 0);
    }
    return 0;
}

/* ---- mending ---- */

static int fits(struct finder *f, struct span s, struct candidate *c)
{
    return as_program(f, s, c) || (span_indent(span_first(s)) > 0 && as_body(f, s, c, 0));
}

static int mended(struct finder *f, struct span s, struct candidate c)
{
    static const struct {
        enum extract_mend what;
        int tab;
    } steps[] = {{EXTRACT_MEND_MARKS, 0},       {EXTRACT_MEND_HTML, 0},
                 {EXTRACT_MEND_BACKSLASHES, 0}, {EXTRACT_MEND_CHARACTERS, 0},
                 {EXTRACT_MEND_PROMPTS, 0},     {EXTRACT_MEND_TABS, 8},
                 {EXTRACT_MEND_TABS, 4},        {EXTRACT_MEND_NEWLINES, 0}};
    if (f->o->as_is || s.n > MAX_MEND)
        return 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct span t = finder_text(f, mend_text(steps[i].what, s, steps[i].tab, &f->nomem));
        unsigned before = c.mended;
        f->work += s.n;
        if (!t.p)
            continue;
        c.mended |= steps[i].what;
        if (fits(f, t, &c))
            return 1;
        if (steps[i].tab == 8)
            c.mended = before;
        else
            s = t;
    }
    return 0;
}

/* All of s as a program, as a body, or as one of them mended. */
static int as_whole(struct finder *f, struct span s, struct candidate *c)
{
    if (!f->o->as_is && s.n <= MAX_MEND && mend_needs_html(s)) { /* "a &lt; b" may parse as it is */
        struct candidate html = *c;
        struct span t = finder_text(f, mend_text(EXTRACT_MEND_HTML, s, 0, &f->nomem));
        html.mended |= EXTRACT_MEND_HTML;
        html.line = 1;
        html.why = "escapes of HTML";
        if (t.p && fits(f, t, &html))
            return 1;
    }
    return as_program(f, s, c) || indented(f, s, c) || flush_body(f, s, c) || mended(f, s, *c);
}

/* ---- parts ---- */

/* May code begin with this line, if code follows?  A program that reads may begin with a loop. */
static int may_begin(const struct finder *f, struct span line)
{
    static const char *const words[] = {"for ", "while ", "while(", "if ", "with ", NULL};
    if (memchr(line.p, '=', line.n) || *line.p == '#' || span_starts(line, "try:"))
        return 1;
    for (int i = 0; is_program_asked(f) && words[i]; i++)
        if (span_starts(line, words[i]))
            return 1;
    return 0;
}

/* Where the next code begins: a line that surely is code, with what looks like code just above it
 * ("N = 3"); NULL = nowhere. */
static const char *code_start(struct finder *f, const char *p, const char *end)
{
    const char *run = NULL;
    struct span line;
    struct lex x = {0};
    /* a run that fails at its first line is sought again from the second: counted as work */
    for (; f->sought <= f->limit && span_line(&p, end, &line); f->sought += line.n + 1) {
        int top = span_indent(line) == 0 && line.n && !(run && (x.triple || x.depth > 0));
        long k = top ? text_begins_code(line) : -1;
        if (is_program_asked(f) && (top ? text_is_code(line) : run != NULL) && reads(line))
            k = 0;
        if (k >= 0)
            return run ? run : line.p + k;
        if (top && !text_is_code(line))
            run = NULL;
        else if (top && !run && may_begin(f, line))
            run = line.p, memset(&x, 0, sizeof x);
        if (run)
            lex_line(&x, line);
    }
    return NULL;
}

/* The first Markdown heading among the comments from a to b; NULL = none. */
static const char *heading(const char *a, const char *b)
{
    struct span line;
    while (span_line(&a, b, &line))
        if (text_is_heading(line))
            return line.p;
    return NULL;
}

/* How many statements of m are code, and where that ends. */
static int accept(const struct py_module *m, struct span s, int prose, size_t *good, size_t *stop)
{
    int k = 0;
    const char *h;
    *good = 0;
    for (; k < m->n; *good = m->stmt[k++].end) {
        const struct py_stmt *t = &m->stmt[k];
        struct span line = {s.p + t->begin, t->end - t->begin};
        const char *nl = memchr(line.p, '\n', line.n);
        line.n = nl ? (size_t)(nl - line.p) : line.n;
        *stop = t->begin;
        if (t->saw & PY_SAW_RETURN)
            return k;
        if (!prose)
            continue;
        if ((h = heading(s.p + *good, s.p + t->begin))) {
            *stop = (size_t)(h - s.p);
            return k;
        }
        if (t->kind < PY_KEYWORD_FIRST && t->line == t->last_line && !text_is_code(line))
            return k;
    }
    *stop = m->ok ? s.n : m->failed;
    if (m->ok && !(prose && (h = heading(s.p + *good, s.p + s.n))))
        *good = s.n;
    return k;
}

/* One run of statements from s.p on. Returns where to look for the next. */
static const char *part(struct finder *f, struct span s, struct candidate c, int prose, int sure)
{
    struct py_module m;
    size_t good, stop, cut = 0;
    const char *end = s.p + s.n, *nl;
    struct span at;
    int k, bad;
    if (parse(f, &m, s, 0) < 0)
        return NULL;
    k = accept(&m, s, prose, &good, &stop);
    at = span_first((struct span){s.p + stop, s.n - stop});
    bad =
        !m.ok && k == m.n && (text_begins_code(at) == 0 || (sure && k == 0)); /* code, but broken */
    if (bad) {
        struct span all = text_cut_prose(s);
        c.line = m.line;
        c.why = m.why;
        f->work += all.n;
        if (mended(f, all, c)) {
            py_module_free(&m);
            return all.n == s.n ? NULL : code_start(f, all.p + all.n, end);
        }
        if (!f->o->as_is && (cut = cut_back(f, s, &m, 0)) > 0)
            good = cut;
    }
    py_module_free(&m);
    c.mended |= bad ? EXTRACT_MEND_CUT : 0;
    if (good > 0)
        as_program(f, (struct span){s.p, good}, &c);
    else if (bad)
        as_broken(f, text_cut_prose(s), c);
    if (good == s.n)
        return NULL;
    stop = stop > good ? stop : good;
    nl = memchr(s.p + stop, '\n', s.n - stop);
    return nl ? code_start(f, cut ? s.p + good : nl + 1, end) : NULL;
}

static void parts(struct finder *f, struct span s, struct candidate c, int prose, const char *from)
{
    const char *p = from ? from : code_start(f, s.p, s.p + s.n);
    for (int sure = from != NULL; p; sure = 0)
        p = part(f, (struct span){p, (size_t)(s.p + s.n - p)}, c, prose, sure);
}

/* ---- regions ---- */

static struct span dedent(struct finder *f, const struct region *r)
{
    const char *p = r->s.p, *end = r->s.p + r->s.n;
    char *out, *w;
    size_t indent;
    struct span line, t;
    if (r->indent == 0 && !r->quoted)
        return r->s;
    if (!(out = w = malloc(r->s.n + 2))) {
        f->nomem = 1;
        return (struct span){r->s.p, 0};
    }
    indent = span_indent(span_first(r->s)); /* what stands left of its mark keeps its shape */
    indent = r->quoted || indent > (size_t)r->indent ? (size_t)r->indent : indent;
    while (span_line(&p, end, &line)) {
        if (r->quoted && line.n && *line.p == '>') {
            line.p++, line.n--;
            if (line.n && *line.p == ' ')
                line.p++, line.n--;
        }
        for (size_t k = 0; k < indent && line.n && (*line.p == ' ' || *line.p == '\t'); k++)
            line.p++, line.n--;
        memcpy(w, line.p, line.n);
        w += line.n;
        *w++ = '\n';
    }
    *w = 0;
    t = finder_text(f, out);
    return t.p ? t : (struct span){r->s.p, 0};
}

static void fence_region(struct finder *f, struct span s, struct candidate c)
{
    int n = f->n, defines = 0;
    struct candidate whole = c;
    if (as_whole(f, s, &whole))
        return;
    if (f->o->as_is) {
        as_broken(f, c.how == EXTRACT_OPEN_FENCE ? text_cut_prose(s) : s, whole);
        return;
    }
    if (span_indent(span_first(s)) > 0 && as_body(f, s, &whole, 1))
        return;
    if (c.how == EXTRACT_FENCE) { /* of a whole fence something is left out */
        c.mended = EXTRACT_MEND_CUT;
        c.line = whole.line;
        c.why = whole.why;
    }
    parts(f, s, c, c.how == EXTRACT_OPEN_FENCE, span_first(s).p);
    for (int i = n; i < f->n; i++)
        defines |= f->v[i].rank == RANK_DEFINES || f->v[i].rank == RANK_STUB;
    if (!defines && f->o->entry && text_defines(s, f->o->entry))
        for (int i = n; i < f->n; i++) /* helpers alone are not the answer */
            f->v[i].rank = RANK_LENDS;
    as_broken(f, c.how == EXTRACT_OPEN_FENCE ? text_cut_prose(s) : s, whole);
}

/* Text at the beginning of the answer that is no program may be a body. */
static int raw_body(struct finder *f, struct span s, struct candidate c)
{
    struct span line = span_first(s);
    size_t k = span_indent(line);
    if (k == 0)
        return !is_program(f, s, &c) && flush_body(f, s, &c);
    if (indented(f, s, &c) || flush_body(f, s, &c))
        return 1;
    line.p += k, line.n -= k;
    if ((k > 1 || line.p[-1] == '\t') && text_is_code(line) && !mended(f, s, c) &&
        (f->o->as_is || !as_body(f, s, &c, 1)))
        as_broken(f, s, c);
    return 0;
}

static void raw_region(struct finder *f, struct span s, struct candidate c, int first)
{
    struct span all = text_cut_prose(s);
    if (!first || all.n == 0 || !raw_body(f, all, c))
        parts(f, s, c, 1, NULL);
}

void python_region(struct finder *f, const struct region *r)
{
    struct candidate c = {.how = r->how,
                          .named = r->named,
                          .again = r->how == EXTRACT_FENCE && !r->aside},
                     cut = c;
    struct span s = dedent(f, r);
    if (r->how == EXTRACT_RAW)
        raw_region(f, s, c, r->first);
    else if (r->how == EXTRACT_FENCE || !as_whole(f, text_cut_prose(s), &cut))
        fence_region(f, s, c);
}
