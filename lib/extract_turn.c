/* extract_turn - what is around an answer: thinking blocks, marks of turns
 *
 * Code may speak of such marks: one inside a string, and an end of thinking inside a fence, is no mark. */
#include "extract_private.h"
#include <ctype.h>
#include <string.h>

/* ---- marks outside of strings ---- */

struct walk {
    const char *begin, *p, *end;
    int bol;                  /* p is at the beginning of a line */
    char fence;               /* the character of the open fence, 0 = none */
    const char *no_close[3];  /* before here a quote of that kind is never closed on its line */
    const char *no_triple[2]; /* the same for long strings */
};

/* "don't": between letters, and they are no string's prefix. */
static int is_apostrophe(const struct walk *w)
{
    const char *p = w->p;
    if (*p != '\'' || p == w->begin || p + 1 == w->end || !isalnum((unsigned char)p[1]))
        return 0;
    while (p > w->begin && w->p - p < 3 && isalnum((unsigned char)p[-1]))
        p--;
    for (const char *q = p; q < w->p; q++)
        if (!strchr("rRbBfFuU", *q))
            return 1;
    return w->p - p > 2;
}

/* Behind the long string at p; NULL: it has no end, or a fence's mark is inside. */
static const char *long_string(struct walk *w)
{
    const char three[3] = {*w->p, *w->p, *w->p}, *from = w->p + 3, *q;
    int k = *w->p == '"';
    if (w->p < w->no_triple[k])
        return NULL;
    q = memmem(from, (size_t)(w->end - from), three, 3);
    if (!q)
        w->no_triple[k] = w->end;
    return q && !memmem(from, (size_t)(q - from), "```", 3) ? q + 3 : NULL;
}

/* Behind the string or inline code at p, which ends on its line; NULL: none. */
static const char *short_string(struct walk *w)
{
    static const char quotes[] = "\"'`";
    int k = (int)(strchr(quotes, *w->p) - quotes);
    const char *q = w->p + 1;
    if (w->p < w->no_close[k] || is_apostrophe(w))
        return NULL;
    for (; q < w->end && *q != '\n' && *q != *w->p; q++)
        if (*q == '\\' && q + 1 < w->end && q[1] != '\n')
            q++;
    if (q < w->end && *q == *w->p)
        return q + 1;
    w->no_close[k] = q;
    return NULL;
}

/* Is there nothing but a word from p to the end of its line? */
static int only_word(const char *p, const char *end)
{
    while (p < end && (isalnum((unsigned char)*p) || *p == '+' || *p == '\r'))
        p++;
    return p == end || *p == '\n';
}

/* Over ticks or tildes, three or more, at p: one that opens or closes a fence? first: on its line. */
static void pass_mark(struct walk *w, int first)
{
    char c = *w->p;
    const char *nl;
    while (w->p < w->end && *w->p == c)
        w->p++;
    if (w->fence) { /* "return x```" closes too; "```python" does not */
        if (w->fence == c && (w->p == w->end || !isalnum((unsigned char)*w->p)))
            w->fence = 0;
        return;
    }
    if (!first) {
        w->fence = only_word(w->p, w->end) ? c : 0;
        return;
    }
    nl = memchr(w->p, '\n', (size_t)(w->end - w->p));
    w->fence = memmem(w->p, (size_t)((nl ? nl : w->end) - w->p), "```", 3) ? 0 : c;
}

static int is_mark(const struct walk *w)
{
    const char *p = w->p;
    return w->end - p > 2 && (*p == '`' || *p == '~') && p[1] == *p && p[2] == *p;
}

/* The next mark that no string holds; NULL: none. w goes behind its first byte. */
static const char *next_mark(struct walk *w, const char *mark)
{
    while (w->p < w->end) {
        const char *p = w->p, *q = NULL;
        int three = w->end - p > 2 && p[1] == *p && p[2] == *p;
        if (is_mark(w) && (*p == '`' || w->bol)) {
            pass_mark(w, w->bol);
            w->bol = 0;
            continue;
        }
        if (*p == '"' || *p == '\'' || *p == '`')
            q = three && *p != '`' ? long_string(w) : short_string(w);
        w->bol = *p == '\n' || (w->bol && (*p == ' ' || *p == '\t' || *p == '>'));
        w->p = q ? q : p + 1;
        if (!q && *p == *mark && span_starts((struct span){p, (size_t)(w->end - p)}, mark))
            return p;
    }
    return NULL;
}

/* ---- thinking ---- */

static int alone(const struct walk *w, const char *p, size_t m)
{
    const char *q = p + m;
    while (q < w->end && (*q == ' ' || *q == '\r'))
        q++;
    return (p == w->begin || p[-1] == '\n') && (q == w->end || *q == '\n');
}

/* The last end mark outside of fences; if there is none, inside an open one the last alone on its line. */
static const char *last_end(struct span s, const char *mark)
{
    struct walk w = {.begin = s.p, .p = s.p, .end = s.p + s.n, .bol = 1};
    const char *outside = NULL, *line = NULL, *p;
    if (!memmem(s.p, s.n, mark, strlen(mark)))
        return NULL;
    while ((p = next_mark(&w, mark)))
        if (!w.fence)
            outside = p;
        else if (alone(&w, p, strlen(mark)))
            line = p;
    return outside ? outside : line;
}

static struct span without_begins(struct span s)
{
    static const char *const begins[] = {"<|im_start|>assistant",
                                         "<|assistant|>",
                                         "<start_of_turn>model",
                                         "<|start_header_id|>assistant<|end_header_id|>",
                                         "<|start|>assistant",
                                         "<|channel|>final<|message|>",
                                         "<|begin_of_text|>",
                                         "<bos>",
                                         "<s>",
                                         NULL};
    for (int i = 0; begins[i]; i++) {
        struct span t = s; /* its end stays as it is: there may be many marks before many blanks */
        while (t.n && isspace((unsigned char)*t.p))
            t.p++, t.n--;
        if (span_starts(t, begins[i])) {
            s.n = (size_t)(s.p + s.n - t.p) - strlen(begins[i]);
            s.p = t.p + strlen(begins[i]);
            i = -1;
        }
    }
    return s;
}

int region_thought(struct span *text, struct span *thought)
{
    static const char *const tags[][2] = {
        {"<think>", "</think>"}, /* Qwen3, DeepSeek-R1 */
        {"<thinking>", "</thinking>"},
        {"<thought>", "</thought>"},
        {"<reasoning>", "</reasoning>"},
        {"[THINK]", "[/THINK]"},                     /* Magistral */
        {"<seed:think>", "</seed:think>"},           /* Seed-OSS */
        {"\u25c1think\u25b7", "\u25c1/think\u25b7"}, /* Kimi */
        {"<|begin_of_thought|>", "<|end_of_thought|>"},
        {"<|channel|>analysis<|message|>", "<|channel|>final<|message|>"}}; /* gpt-oss */
    *thought = (struct span){text->p, 0};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        size_t m = strlen(tags[i][1]), k = strlen(tags[i][0]);
        const char *close = last_end(*text, tags[i][1]), *end = text->p + text->n;
        struct span s = span_trim(without_begins(*text));
        int open = span_starts(s, tags[i][0]);
        if (close &&
            (!open || close >= s.p + k)) { /* what a template began lacks the opening tag */
            thought->p = open ? s.p + k : text->p;
            thought->n = (size_t)(close - thought->p);
            text->p = close + m;
            text->n = (size_t)(end - text->p);
        } else if (open) {
            *thought = *text;
            text->n = 0;
            return 1;
        }
    }
    return 0;
}

/* ---- turns ---- */

struct span region_turn(struct span s)
{
    static const char *const ends[] = {"<|im_end|>",
                                       "<|im_start|>",
                                       "<|endoftext|>",
                                       "<|eot_id|>",
                                       "<|eom_id|>",
                                       "<|end|>",
                                       "<|return|>",
                                       "<|end_of_text|>",
                                       "<|EOT|>",
                                       "<end_of_turn>",
                                       "<|start_header_id|>",
                                       "<|assistant|>",
                                       "<|user|>",
                                       "<|file_sep|>",
                                       "<eos>",
                                       "<\uff5cend\u2581of\u2581sentence\uff5c>",
                                       NULL};
    s = without_begins(s);
    for (int i = 0; ends[i]; i++) {
        struct walk w = {.begin = s.p, .p = s.p, .end = s.p + s.n, .bol = 1};
        const char *p = memmem(s.p, s.n, ends[i], strlen(ends[i])) ? next_mark(&w, ends[i]) : NULL;
        if (p)
            s.n = (size_t)(p - s.p);
    }
    return s;
}
