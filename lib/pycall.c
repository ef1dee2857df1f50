/* pycall - find calls in Python source */
#include "pycall.h"
#include <ctype.h>
#include <stdio.h>
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

const char *pycall_entry(const struct bench_task *t, char *buf, size_t size)
{
    const char *entry = bench_entry(t);
    if (entry || !t->n_tests)
        return entry;
    for (const char *p = t->tests[0]; *p;) {
        size_t n = 0;
        while (pycall_word(p[n]))
            n++;
        const char *q = p + n + strspn(p + n, " ");
        if (n && *q == '(' && (n != 6 || strncmp(p, "assert", 6)) && n < size) {
            snprintf(buf, size, "%.*s", (int)n, p);
            return buf;
        }
        p += n ? n : 1;
    }
    return NULL;
}
