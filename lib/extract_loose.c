/* extract_loose - code in places where it is looked for only if there is none elsewhere: indented blocks
 * of Markdown, interactive sessions, inline code */
#include "extract_private.h"
#include <stdlib.h>
#include <string.h>

enum { LEAST_INDENT = 2, MAX_TEXT = 1 << 18 }; /* columns; bytes that are looked at */

/* Add what parses: "write `def f(x)` first" is prose. */
static void offer(struct finder *f, struct span s, unsigned mended, const char *why)
{
    struct region r = {.how = EXTRACT_RAW, .s = s};
    int n = f->n, end;
    if (!text_has_def(s)) /* examples alone are no answer */
        return;
    python_region(f, &r);
    end = f->n;
    f->n = n;
    for (int i = n; i < end; i++) {
        struct candidate *c = &f->v[i];
        if (!c->parses)
            continue;
        if (mended && !c->why)
            c->line = 1, c->why = why;
        c->mended |= mended;
        f->v[f->n++] = *c;
    }
}

/* What was typed behind >>> and ... anywhere in the text. */
static void session(struct finder *f, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line, t;
    while (span_line(&p, end, &line)) {
        if (!span_starts(span_trim(line), ">>> "))
            continue;
        s = (struct span){line.p, (size_t)(end - line.p)};
        if ((t = finder_text(f, mend_text(EXTRACT_MEND_PROMPTS, s, 0, &f->nomem))).p)
            offer(f, t, EXTRACT_MEND_PROMPTS, "prompts of a session");
        return;
    }
}

/* The next run of lines that are indented or blank, moved left; 0: there is none. */
static int next_block(const char **p, const char *end, struct span *block, size_t *least)
{
    struct span line;
    const char *stop = NULL;
    block->p = NULL;
    *least = 0;
    while (span_line(p, end, &line)) {
        size_t k = span_indent(line);
        if (k == line.n)
            continue;
        if (k < LEAST_INDENT && *line.p != '\t') {
            if (block->p)
                break;
            continue;
        }
        if (!block->p)
            block->p = line.p;
        if (!*least || k < *least)
            *least = k;
        stop = line.p + line.n;
    }
    if (block->p)
        block->n = (size_t)(stop - block->p);
    return block->p != NULL;
}

static void blocks(struct finder *f, struct span s)
{
    const char *p = s.p;
    struct span block, t;
    size_t least;
    while (next_block(&p, s.p + s.n, &block, &least))
        if ((t = finder_text(f, mend_indent(block, (struct span){"", 0}, least, 0, &f->nomem))).p)
            offer(f, t, EXTRACT_MEND_INDENT, "unexpected indent");
}

/* `def f(x): return x` within a sentence. */
static void inline_code(struct finder *f, struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    while (span_line(&p, end, &line)) {
        const char *q = line.p, *stop = line.p + line.n, *close;
        while ((q = memchr(q, '`', (size_t)(stop - q))) && ++q < stop &&
               (close = memchr(q, '`', (size_t)(stop - q)))) {
            struct span t = {q, (size_t)(close - q)};
            if (text_begins_code(t) == 0)
                offer(f, t, 0, NULL);
            q = close + 1;
        }
    }
}

void loose_search(struct finder *f, struct span text)
{
    int n = f->n;
    if (f->o->as_is || text.n > MAX_TEXT)
        return;
    session(f, text);
    if (f->n == n)
        blocks(f, text);
    if (f->n == n)
        inline_code(f, text);
}
