/* report_names - runs by the names of their files, with the folder where two files have one name */
#include "paths.h"
#include "report_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 64 }; /* of a folder's path, at most */

static const char *const stages[] = {"-score", "-scores", "-verdict", "-verdicts", NULL};
static const char *const texts_of[] = {"-sample", "-samples", "-code", "-prompt", "-prompts", NULL};

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *report_run_name(const char *path, const char *bench, int texts)
{
    char *s = strdup(base_of(path)), *dot;
    if (!s)
        return NULL;
    size_t nb = strlen(bench);
    while ((dot = strrchr(s, '.')) && dot != s &&
           (!strcmp(dot, ".jsonl") || !strcmp(dot, ".gz") || !strcmp(dot, ".score") ||
            !strcmp(dot, ".verdicts") || (nb && !strcmp(dot + 1, bench))))
        *dot = 0;
    for (const char *const *end = texts ? texts_of : stages; *end; end++) {
        size_t n = strlen(s), k = strlen(*end);
        if (n > k && !strcmp(s + n - k, *end))
            s[n - k] = 0;
    }
    size_t n = strlen(s);
    if (nb && n > nb + 1 && s[n - nb - 1] == '-' && !strcmp(s + n - nb, bench)) /* base-basic */
        s[n - nb - 1] = 0;
    return s;
}

/* ---- folders ---- */

/* The last parts of the path of a file's folder: "a/x" of "r/a/x/f" for 2, all it has for more. */
static const char *folder(const char *path, int parts, size_t *n)
{
    const char *end = base_of(path);
    if (end == path) {
        *n = 1;
        return ".";
    }
    while (end > path + 1 && end[-1] == '/')
        end--;
    const char *p = end;
    while (p > path && !(p[-1] == '/' && --parts == 0))
        p--;
    *n = (size_t)(end - p);
    return p;
}

/* Parts that tell two folders apart; 1 if nothing does. */
static int parts_apart(const char *a, const char *b)
{
    for (int k = 1; k < PARTS; k++) {
        size_t n, m;
        const char *p = folder(a, k, &n), *q = folder(b, k, &m);
        if (n != m || memcmp(p, q, n))
            return k;
    }
    return 1;
}

/* folder/name (malloc); takes name. */
static char *in_folder(const char *path, int parts, char *name)
{
    size_t n;
    const char *p = folder(path, parts, &n);
    size_t size = name ? n + strlen(name) + 2 : 0;
    char *s = name ? malloc(size) : NULL;
    if (s)
        snprintf(s, size, "%.*s/%s", (int)n, p, name);
    free(name);
    return s;
}

/* ---- files of one name ---- */

static size_t stem_length(const char *base)
{
    size_t n = strlen(base);
    if (n > 3 && strcmp(base + n - 3, ".gz") == 0)
        n -= 3;
    return n > 6 && strncmp(base + n - 6, ".jsonl", 6) == 0 ? n - 6 : n;
}

static int is_stem(const char *base, const char *stem)
{
    return stem_length(base) == strlen(stem) && strncmp(base, stem, strlen(stem)) == 0;
}

static int add_twin(struct report *r, const char *a, const char *b, struct err *e)
{
    const char *base = base_of(a);
    int parts = parts_apart(a, b);
    for (int i = 0; i < r->n_twin; i++)
        if (is_stem(base, r->twin[i].stem)) {
            r->twin[i].parts = parts > r->twin[i].parts ? parts : r->twin[i].parts;
            return 0;
        }
    struct report_twin *t = realloc(r->twin, ((size_t)r->n_twin + 1) * sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->twin = t;
    t[r->n_twin] = (struct report_twin){strndup(base, stem_length(base)), parts};
    return t[r->n_twin].stem ? (r->n_twin++, 0) : err_set(e, ERR_NOMEM, "out of memory");
}

int report_expect(struct report *r, const char *const *path, int n, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i && rc == 0; k++) {
            const char *a = base_of(path[i]), *b = base_of(path[k]);
            size_t len = stem_length(a);
            if (len == stem_length(b) && memcmp(a, b, len) == 0 && !paths_same(path[i], path[k]))
                rc = add_twin(r, path[i], path[k], e);
        }
    return rc;
}

/* The files called stem are of the run called name. */
static int is_of(const char *stem, const char *name, const char *bench)
{
    size_t n = strlen(name);
    const char *rest = stem + n, *const * all[] = {stages, texts_of};
    if (strncmp(stem, name, n))
        return 0;
    for (int i = 0; i < 2; i++)
        for (const char *const *s = all[i]; *s; s++) {
            size_t k = strlen(*s);
            if (strncmp(rest, *s, k) == 0 && (!rest[k] || rest[k] == '.'))
                return 1;
        }
    return !*rest || *rest == '.' || (*rest == '-' && strcmp(rest + 1, bench) == 0);
}

char *report_name(const struct report *r, const char *path, const char *bench, int texts)
{
    char *name = report_run_name(path, bench, texts);
    int parts = 0;
    for (int i = 0; name && i < r->n_twin; i++)
        if (r->twin[i].parts > parts && is_of(r->twin[i].stem, name, bench))
            parts = r->twin[i].parts;
    return parts ? in_folder(path, parts, name) : name;
}

char *report_name_among(const struct report *r, const char *path, const char *bench,
                        const char *const *other, int n)
{
    char *name = report_run_name(path, bench, 0);
    int parts = 0;
    for (int i = 0; name && i < n; i++) {
        char *its = strcmp(other[i], path) ? report_run_name(other[i], bench, 0) : NULL;
        int k = its && strcmp(its, name) == 0 ? parts_apart(path, other[i]) : 0;
        parts = k > parts ? k : parts;
        free(its);
    }
    if (parts)
        return in_folder(path, parts, name);
    free(name);
    return report_name(r, path, bench, 0);
}

char *report_file_name(const struct report *r, const char *path)
{
    for (int i = 0; i < r->n_twin; i++)
        if (is_stem(base_of(path), r->twin[i].stem))
            return in_folder(path, r->twin[i].parts, strdup(base_of(path)));
    return strdup(base_of(path));
}

int report_run_of(struct report *r, const char *path, const char *bench, int texts, struct err *e)
{
    char *name = report_name(r, path, bench, texts);
    for (int i = 0; name && i < r->n_run; i++)
        if (strcmp(r->run[i], name) == 0) {
            free(name);
            return i;
        }
    if (!name)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (r->n_run == REPORT_RUNS) {
        free(name);
        return err_set(e, ERR_DATA, "%s: more than %d runs in one report", path, REPORT_RUNS);
    }
    r->run[r->n_run] = name;
    return r->n_run++;
}
