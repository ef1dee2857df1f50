/* extract - find the code in a model's answer */
#include "extract.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct span {
    const char *p;
    size_t n;
};

const char *extract_how_name(enum extract_how how)
{
    static const char *const names[] = {"none", "fence", "open-fence", "raw", "thinking"};
    return names[how];
}

/* ---- lines and words ---- */

/* The line at *p without its newline; *p moves behind it. 0 at the end. */
static int next_line(const char **p, const char *end, struct span *line)
{
    const char *nl;
    if (*p >= end)
        return 0;
    nl = memchr(*p, '\n', (size_t)(end - *p));
    line->p = *p;
    line->n = (size_t)((nl ? nl : end) - *p);
    *p = nl ? nl + 1 : end;
    return 1;
}

static int starts(const char *p, size_t n, const char *with)
{
    size_t m = strlen(with);
    return n >= m && !memcmp(p, with, m);
}

static struct span trim(struct span s)
{
    while (s.n && isspace((unsigned char)*s.p))
        s.p++, s.n--;
    while (s.n && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

static int is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t word(const char *p, size_t n) /* length of the identifier at p, 0 = none */
{
    size_t i = 0;
    if (n == 0 || isdigit((unsigned char)*p))
        return 0;
    while (i < n && is_word(p[i]))
        i++;
    return i;
}

/* ---- just enough of Python's lexer to know what is inside brackets and long strings ---- */

struct lex {
    char triple; /* the quote of an open long string, 0 = none */
    int depth;   /* open brackets */
    int bad;     /* a bracket was closed that was not open */
};

static void lex_line(struct lex *x, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (x->triple) {
            if (c == '\\')
                i++;
            else if (c == x->triple && i + 2 < n && p[i + 1] == c && p[i + 2] == c)
                x->triple = 0, i += 2;
        } else if (c == '#') {
            return;
        } else if (c == '"' || c == '\'') {
            if (i + 2 < n && p[i + 1] == c && p[i + 2] == c) {
                x->triple = c;
                i += 2;
            } else {
                for (i++; i < n && p[i] != c; i++)
                    if (p[i] == '\\')
                        i++;
            }
        } else if (strchr("([{", c)) {
            x->depth++;
        } else if (strchr(")]}", c)) {
            x->depth > 0 ? x->depth-- : (x->bad = 1);
        }
    }
}

static int balanced(struct span code)
{
    struct lex x = {0};
    const char *p = code.p, *end = code.p + code.n;
    struct span line;
    while (next_line(&p, end, &line))
        lex_line(&x, line.p, line.n);
    return !x.triple && x.depth == 0 && !x.bad;
}

/* ---- what a line is ---- */

static const char *const keywords[] = {
    "def", "class",  "import",  "from", "async",    "if",     "elif",  "else", "for",   "while",
    "try", "except", "finally", "with", "return",   "assert", "raise", "pass", "break", "continue",
    "del", "global", "lambda",  "not",  "nonlocal", "yield",  "await", NULL};

static int keyword(struct span s, size_t w)
{
    for (int i = 0; keywords[i]; i++)
        if (strlen(keywords[i]) == w && !memcmp(keywords[i], s.p, w))
            return 1;
    return 0;
}

/* Does a line at column 0, outside strings and brackets, read as Python rather than as prose? */
static int code_line(struct span s)
{
    size_t w;
    struct span rest;
    s = trim(s);
    if (s.n == 0)
        return 1;
    if (*s.p == '#') /* a comment, unless it is a heading with more than one # */
        return !(s.n > 1 && s.p[1] == '#');
    if (strchr("@([{)]}\"'", *s.p))
        return 1;
    if (*s.p == '*')
        return s.n > 1 && word(s.p + 1, s.n - 1) > 0 && memchr(s.p, '=', s.n) != NULL;
    if ((w = word(s.p, s.n)) == 0)
        return 0;
    rest.p = s.p + w;
    rest.n = s.n - w;
    rest = trim(rest);
    if (keyword(s, w)) { /* "from the list ..." and "import the module" are prose */
        if (w == 3 && starts(s.p, s.n, "def"))
            return memchr(rest.p, '(', rest.n) != NULL;
        if ((w == 6 && starts(s.p, s.n, "import")) || (w == 4 && starts(s.p, s.n, "from"))) {
            size_t m = word(rest.p, rest.n);
            struct span after = {rest.p + m, rest.n - m};
            after = trim(after);
            return rest.n && (m || *rest.p == '.') &&
                   (w == 4 ? starts(rest.p, rest.n, ".") || starts(after.p, after.n, "import") ||
                                 starts(after.p, after.n, ".")
                           : after.n == 0 || strchr(".,;#", *after.p) ||
                                 starts(after.p, after.n, "as "));
        }
        if ((w == 2 && starts(s.p, s.n, "if")) || (w == 3 && starts(s.p, s.n, "for")) ||
            (w == 4 && starts(s.p, s.n, "with")) ||
            (w == 5 && (starts(s.p, s.n, "while") || starts(s.p, s.n, "class"))))
            return memchr(s.p, ':', s.n) != NULL || memchr(s.p, '(', s.n) != NULL ||
                   s.p[s.n - 1] == '\\';
        return 1;
    }
    if (rest.n == 0)
        return 0;         /* a lone word */
    if (*rest.p == ':') { /* an annotation, not "Note: this ..." */
        struct span a = {rest.p + 1, rest.n - 1};
        size_t m;
        a = trim(a);
        m = word(a.p, a.n);
        while (m < a.n && isspace((unsigned char)a.p[m]))
            m++;
        return m > 0 && m < a.n && strchr("=[.|", a.p[m]);
    }
    return strchr("=([.,;+-*/%&|^<>@", *rest.p) &&
           !(*rest.p == ',' && !memchr(rest.p, '=', rest.n)) &&
           !(*rest.p == '.' && (rest.n == 1 || !is_word(rest.p[1]))) &&
           !(*rest.p == '(' && rest.p > s.p + w && !strchr(")]", s.p[s.n - 1])) &&
           !(*rest.p == '-' && rest.p > s.p + w && !memchr(rest.p, '=', rest.n));
}

/* A line with which code can begin. */
static int first_line(struct span s)
{
    size_t w = word(s.p, s.n);
    return (w && keyword(s, w) && code_line(s) &&
            (starts(s.p, s.n, "def ") || starts(s.p, s.n, "class ") ||
             starts(s.p, s.n, "import ") || starts(s.p, s.n, "from ") ||
             starts(s.p, s.n, "async def "))) ||
           (s.n > 1 && *s.p == '@' && word(s.p + 1, s.n - 1));
}

/* Up to the first line of prose at column 0. */
static struct span cut_prose(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    struct lex x = {0};
    int continued = 0;
    while (next_line(&p, end, &line)) {
        int inside = x.triple || x.depth > 0 || continued;
        if (!inside && line.n && !isspace((unsigned char)*line.p) && !code_line(line)) {
            s.n = (size_t)(line.p - s.p);
            return s;
        }
        if (x.depth > 0 && !x.triple &&
            (starts(line.p, line.n, "def ") || starts(line.p, line.n, "class ")))
            x.depth = 0; /* a bracket that was never closed: do not swallow the rest */
        lex_line(&x, line.p, line.n);
        continued = line.n && line.p[line.n - 1] == '\\';
    }
    return s;
}

int extract_defines(const char *code, const char *name)
{
    const char *p = code, *end = code + strlen(code);
    size_t m = strlen(name);
    struct span line;
    while (next_line(&p, end, &line)) {
        const char *q = line.p;
        size_t n = line.n;
        int def = 0;
        if (starts(q, n, "async "))
            q += 6, n -= 6;
        if (starts(q, n, "def ") || starts(q, n, "class ")) {
            size_t k = *q == 'd' ? 4 : 6;
            q += k, n -= k, def = 1;
            while (n && *q == ' ')
                q++, n--;
        }
        if (!starts(q, n, name) || (n > m && is_word(q[m])))
            continue;
        q += m, n -= m;
        while (n && *q == ' ')
            q++, n--;
        if (def || (n > 1 && *q == '=' && q[1] != '='))
            return 1;
    }
    return 0;
}

static int span_defines(struct span s, const char *name)
{
    char *z = strndup(s.p, s.n);
    int yes = z && extract_defines(z, name);
    free(z);
    return yes;
}

static int has_def(struct span s)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    while (next_line(&p, end, &line)) {
        struct span t = trim(line);
        if (starts(t.p, t.n, "def ") || starts(t.p, t.n, "class ") ||
            starts(t.p, t.n, "async def ") || (t.n && memmem(t.p, t.n, "= lambda", 8)))
            return 1;
    }
    return 0;
}

/* ---- fences ---- */

struct fence {
    struct span code;
    int indent; /* of the opening mark: taken off every line */
    int python; /* the mark names Python, or nothing */
    int closed;
};

/* A line that opens or closes a fence: the number of marks, *mark the character. */
static int fence_mark(struct span line, char *mark, int *indent, struct span *info)
{
    size_t i = 0, k = 0;
    while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
        i++;
    if (i >= line.n || (line.p[i] != '`' && line.p[i] != '~'))
        return 0;
    *mark = line.p[i];
    *indent = (int)i;
    while (i + k < line.n && line.p[i + k] == *mark)
        k++;
    info->p = line.p + i + k;
    info->n = line.n - i - k;
    *info = trim(*info);
    return k >= 3 ? (int)k : 0;
}

static int names_python(struct span info)
{
    static const char *const no[] = {
        "bash", "sh",    "shell",    "console", "text", "txt",       "json",       "output",
        "java", "c",     "cpp",      "c++",     "js",   "plaintext", "javascript", "yaml",
        "diff", "pycon", "markdown", "md",      "rust", "go",        NULL};
    size_t w = 0;
    while (w < info.n && !isspace((unsigned char)info.p[w]))
        w++;
    for (int i = 0; no[i]; i++)
        if (strlen(no[i]) == w && !strncasecmp(no[i], info.p, w))
            return 0;
    return 1;
}

/* The next fence in text from *p on. A closing mark inside a long string does not close when a
 * later one would leave the code balanced. 0 = no more. */
static int next_fence(const char **p, const char *end, struct fence *f)
{
    struct span line, info, none;
    char mark = 0, m2;
    int k = 0, k2, ind2;
    const char *q, *first_close = NULL, *first_after = NULL;
    while (next_line(p, end, &line))
        if ((k = fence_mark(line, &mark, &f->indent, &info)) > 0)
            break;
    if (k == 0)
        return 0;
    f->python = names_python(info);
    f->code.p = *p;
    if (info.n) { /* "```python def f(): ..." on one line */
        size_t w = word(info.p, info.n);
        struct span same = {info.p + w, info.n - w};
        same = trim(same);
        if (first_line(same))
            f->code.p = same.p;
        else if (first_line(info))
            f->code.p = info.p;
    }
    q = *p;
    while (next_line(&q, end, &line)) {
        k2 = fence_mark(line, &m2, &ind2, &none);
        if (k2 < k || m2 != mark || none.n)
            continue;
        f->code.n = (size_t)(line.p - f->code.p);
        if (!first_close)
            first_close = line.p, first_after = q;
        if (balanced(f->code)) {
            *p = q;
            f->closed = 1;
            return 1;
        }
        struct lex x = {0};
        const char *r = f->code.p;
        struct span l;
        while (next_line(&r, line.p, &l))
            lex_line(&x, l.p, l.n);
        if (!x.triple)
            break; /* broken code, but the mark is no part of a string */
    }
    if (first_close) {
        f->code.n = (size_t)(first_close - f->code.p);
        *p = first_after;
        f->closed = 1;
        return 1;
    }
    f->code.n = (size_t)(end - f->code.p);
    f->closed = 0;
    struct span t = trim(f->code); /* "return x```": closed without a line of its own */
    if (t.n > 3 && f->code.n && !memcmp(t.p + t.n - 3, "```", 3)) {
        f->code.n = (size_t)(t.p + t.n - 3 - f->code.p);
        f->closed = 1;
    }
    *p = end;
    return 1;
}

/* A copy without the fence's indentation, carriage returns and blank lines around it. */
static char *copy_code(struct span s, int indent)
{
    char *out = malloc(s.n + 2), *w = out;
    const char *p = s.p, *end = s.p + s.n;
    struct span line;
    if (!out)
        return NULL;
    while (next_line(&p, end, &line)) {
        int k = 0;
        while (k < indent && line.n && (*line.p == ' ' || *line.p == '\t'))
            line.p++, line.n--, k++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (w == out && trim(line).n == 0)
            continue;
        memcpy(w, line.p, line.n);
        w += line.n;
        *w++ = '\n';
    }
    while (w > out && isspace((unsigned char)w[-1]))
        w--;
    if (w > out)
        *w++ = '\n';
    *w = 0;
    return out;
}

/* ---- the whole ---- */

static int better(const struct fence *f, const char *entry) /* rank of a complete fence */
{
    int def = has_def(f->code);
    return (entry && span_defines(f->code, entry) ? 16 : 0) + (f->python ? 8 : 0) + (def ? 4 : 0) +
           (def && balanced(f->code) ? 2 : 0);
}

static char *from_fences(struct span s, const char *entry, enum extract_how *how)
{
    const char *p = s.p;
    struct fence f, best = {0};
    int rank = -1;
    while (next_fence(&p, s.p + s.n, &f)) {
        int r = f.closed
                    ? better(&f, entry)
                    : (entry && span_defines(f.code, entry) ? 16 : 0) + (has_def(f.code) ? 4 : 0);
        if (trim(f.code).n && r > rank) {
            rank = r;
            best = f;
        }
    }
    if (rank < 0)
        return NULL;
    *how = best.closed ? EXTRACT_FENCE : EXTRACT_OPEN_FENCE;
    return copy_code(best.closed ? best.code : cut_prose(best.code), best.indent);
}

static char *from_raw(struct span s, enum extract_how *how)
{
    const char *p = s.p, *end = s.p + s.n;
    struct span line, code;
    *how = EXTRACT_RAW;
    /* a body to append to the prompt: the first line that is not blank is indented */
    while (next_line(&p, end, &line))
        if (trim(line).n)
            break;
    if (p > s.p && line.n && (*line.p == '\t' || starts(line.p, line.n, "    "))) {
        code.p = line.p;
        code.n = (size_t)(end - line.p);
        return copy_code(cut_prose(code), 0);
    }
    /* the first line that is surely code, and what looks like code just above it ("N = 3") */
    const char *run = NULL;
    struct lex x = {0};
    for (p = s.p; next_line(&p, end, &line);) {
        int top = line.n && !isspace((unsigned char)*line.p) && !(run && (x.triple || x.depth > 0));
        if (top && first_line(line)) {
            code.p = run ? run : line.p;
            code.n = (size_t)(end - code.p);
            return copy_code(cut_prose(code), 0);
        }
        if (top && !code_line(line))
            run = NULL;
        else if (top && !run &&
                 (memchr(line.p, '=', line.n) || *line.p == '#' || starts(line.p, line.n, "try:")))
            run = line.p, memset(&x, 0, sizeof x);
        if (run)
            lex_line(&x, line.p, line.n);
    }
    return NULL;
}

static char *from_text(struct span s, const char *entry, enum extract_how *how)
{
    char *code = from_fences(s, entry, how);
    if (!code)
        code = from_raw(s, how);
    if (code && !*code) {
        free(code);
        code = NULL;
    }
    return code;
}

char *extract_code(const char *text, size_t n, const char *entry, enum extract_how *how)
{
    static const char *const ends[] = {"<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>",
                                       "</s>"};
    static const char *const tags[][2] = {{"<think>", "</think>"}, {"<thinking>", "</thinking>"}};
    struct span s = {text, strnlen(text, n)}, thought = {text, 0};
    char *code;
    if (starts(s.p, s.n, "\xef\xbb\xbf"))
        s.p += 3, s.n -= 3;
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        const char *close = NULL, *p = s.p,
                   *open = memmem(s.p, s.n, tags[i][0], strlen(tags[i][0]));
        while ((p = memmem(p, (size_t)(s.p + s.n - p), tags[i][1], strlen(tags[i][1]))))
            close = p, p += strlen(tags[i][1]);
        if (close) { /* what a template began may lack the opening tag */
            thought.p = s.p;
            thought.n = (size_t)(close - s.p);
            s.n -= (size_t)(close + strlen(tags[i][1]) - s.p);
            s.p = close + strlen(tags[i][1]);
        } else if (open && trim((struct span){s.p, (size_t)(open - s.p)}).n == 0) {
            thought = s;
            s.n = 0;
        }
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const char *p = memmem(s.p, s.n, ends[i], strlen(ends[i]));
        if (p)
            s.n = (size_t)(p - s.p);
    }
    if ((code = from_text(s, entry, how)))
        return code;
    if (thought.n && (code = from_text(thought, entry, how)) &&
        has_def((struct span){code, strlen(code)})) {
        *how = EXTRACT_THINKING;
        return code;
    }
    free(code);
    *how = EXTRACT_NONE;
    return calloc(1, 1);
}
