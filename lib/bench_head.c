/* bench_head - the name of the function that a prompt in C, C++ or JavaScript ends in */
#include "bench_private.h"
#include <ctype.h>
#include <string.h>

static int begins_name(char c)
{
    return isalpha((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static size_t name_length(const char *p)
{
    size_t n = 0;
    while (begins_name(p[n]) || (n && isdigit((unsigned char)p[n])))
        n++;
    return n;
}

/* Behind a line that goes on where its end has a backslash. */
static const char *line_end(const char *p)
{
    while (*p && *p != '\n')
        p += *p == '\\' && p[1] ? 2 : 1;
    return p;
}

/* Behind the comment, text or directive at p; p if there is none. */
static const char *skip(const char *p, int line_begins, enum bench_lang lang)
{
    const char *q = p;
    if (*p == '/' && p[1] == '/')
        return lang == BENCH_JAVASCRIPT ? p + strcspn(p, "\n") : line_end(p);
    if (*p == '/' && p[1] == '*')
        return (q = strstr(p + 2, "*/")) ? q + 2 : p + strlen(p);
    if (*p == '#' && line_begins && lang != BENCH_JAVASCRIPT)
        return line_end(p);
    if (*p != '"' && *p != '\'' && (*p != '`' || lang != BENCH_JAVASCRIPT))
        return p;
    for (q++; *q && *q != *p && (*q != '\n' || *p == '`');)
        q += *q == '\\' && q[1] ? 2 : 1;
    return *q == *p ? q + 1 : q;
}

struct name {
    const char *p;
    size_t n;
};

/* C and C++: the first name before a bracket in the last declaration outside of all brackets. */
static struct name c_head(const char *p, enum bench_lang lang)
{
    struct name word = {0}, found = {0};
    int depth = 0, taken = 0, line_begins = 1;
    while (*p) {
        const char *q = skip(p, line_begins, lang);
        size_t n = q == p ? name_length(p) : 0;
        if (q > p) {
            p = q;
            continue;
        }
        line_begins = *p == '\n' || (line_begins && isspace((unsigned char)*p));
        if (n) {
            word = (struct name){p, n};
            p += n;
            continue;
        }
        if (*p == '(' && depth == 0 && word.n && !taken) {
            found = word;
            taken = 1;
        }
        depth += strchr("([{", *p) != NULL;
        depth -= strchr(")]}", *p) != NULL && depth > 0;
        if (depth == 0 && (*p == ';' || *p == '}'))
            taken = 0;
        if (!isspace((unsigned char)*p))
            word.n = 0;
        p++;
    }
    return found;
}

/* The name that a definition at p, the beginning of a line, gives. */
static struct name js_name(const char *p)
{
    static const char *const words[] = {"const", "let", "var", "function", "class"};
    size_t n = name_length(p);
    if (n == 5 && !strncmp(p, "async", n)) {
        p += n + strspn(p + n, " \t");
        n = name_length(p);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n == strlen(words[i]) && !strncmp(p, words[i], n)) {
            p += n + strspn(p + n, " \t*");
            return (struct name){p, name_length(p)};
        }
    return (struct name){0};
}

/* JavaScript: the last name that is defined at the beginning of a line. */
static struct name js_head(const char *p)
{
    struct name found = {0};
    for (int line_begins = 1; *p;) {
        const char *q = skip(p, line_begins, BENCH_JAVASCRIPT);
        struct name x = line_begins && q == p ? js_name(p) : (struct name){0};
        if (x.n)
            found = x;
        line_begins = q == p && *p == '\n';
        p = q > p ? q : p + 1;
    }
    return found;
}

char *bench_head(enum bench_lang lang, const char *prompt)
{
    struct name x = lang == BENCH_JAVASCRIPT ? js_head(prompt) : c_head(prompt, lang);
    return x.n ? strndup(x.p, x.n) : NULL;
}
