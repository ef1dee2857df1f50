/* pycall - find calls in Python source */
#include "pycall.h"
#include <ctype.h>
#include <string.h>

int pycall_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Behind the string that begins at p, or NULL if it does not end. */
static const char *skip_string(const char *p)
{
    char q = *p;
    int triple = p[1] == q && p[2] == q;
    for (p += triple ? 3 : 1; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '\n' && !triple)
            return NULL;
        else if (*p == q && (!triple || (p[1] == q && p[2] == q)))
            return p + (triple ? 3 : 1);
    }
    return NULL;
}

const char *pycall_end(const char *p)
{
    int depth = 0;
    while (p && *p) {
        if (*p == '\'' || *p == '"') {
            p = skip_string(p);
            continue;
        }
        if (*p == '#') {
            p += strcspn(p, "\n");
            continue;
        }
        if (strchr("([{", *p))
            depth++;
        else if (strchr(")]}", *p) && --depth <= 0)
            return p + 1;
        p++;
    }
    return NULL;
}

const char *pycall_find(const char *p, const char *name, const char **open)
{
    size_t n = strlen(name);
    for (const char *begin = p; n && (p = strstr(p, name)); p++) {
        const char *q = p + n;
        while (*q == ' ')
            q++;
        if (*q == '(' && (p == begin || !pycall_word(p[-1]))) {
            *open = q;
            return p;
        }
    }
    return NULL;
}

/* Names that MBPP's asserts wrap around the call: not what a solution defines. */
static int wraps(const char *s, size_t n)
{
    static const char *const names[] = {
        "set", "sorted", "list", "tuple",   "dict", "str", "int", "float",      "bool", "len",
        "abs", "round",  "sum",  "isclose", "all",  "any", "not", "isinstance", NULL};
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == n && !memcmp(names[i], s, n))
            return 1;
    return 0;
}

char *pycall_tested(const char *assert)
{
    const char *first = NULL;
    size_t n_first = 0;
    for (const char *p = assert; *p;) {
        size_t n = 0;
        while (pycall_word(p[n]))
            n++;
        const char *q = p + n + strspn(p + n, " ");
        if (n && *q == '(' && (n != 6 || strncmp(p, "assert", 6))) {
            if (!wraps(p, n))
                return strndup(p, n);
            if (!first)
                first = p, n_first = n;
        }
        p += n ? n : 1;
    }
    return first ? strndup(first, n_first) : NULL;
}
