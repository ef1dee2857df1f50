/* bench - load a benchmark's description and its problems */
#include "bench.h"
#include "catalog.h"
#include "hash.h"
#include "json.h"
#include "paths.h"
#include "yaml.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TASKS = 1 << 20 };

struct config { /* what the yaml says beyond struct bench */
    long first_id, last_id, n_task;
    int format; /* -1 = see from the data */
};

static int no_memory(const struct bench *b, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: out of memory", b->path);
}

static char *join_lines(const cJSON *list) /* strings, a line each; NULL if memory ran out */
{
    size_t n = 1;
    char *s, *p;
    const cJSON *v;
    cJSON_ArrayForEach(v, list) if (cJSON_IsString(v)) n += strlen(v->valuestring) + 1;
    if (!(s = p = malloc(n)))
        return NULL;
    cJSON_ArrayForEach(v, list) if (cJSON_IsString(v)) p = stpcpy(stpcpy(p, v->valuestring), "\n");
    *p = 0;
    return s;
}

/* Names that MBPP's asserts wrap around the call: not what a solution defines. */
static int wraps(const char *s, size_t n)
{
    static const char *const names[] = {
        "assert", "set", "sorted", "list", "tuple",   "dict", "str", "int", "float",      "bool",
        "len",    "abs", "round",  "sum",  "isclose", "all",  "any", "not", "isinstance", NULL};
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == n && !memcmp(names[i], s, n))
            return 1;
    return 0;
}

static char *called_name(const char *s) /* malloc; NULL if nothing is called or memory ran out */
{
    while (*s) {
        size_t n = 0;
        while (isalnum((unsigned char)s[n]) || s[n] == '_')
            n++;
        if (n && s[n] == '(' && !wraps(s, n))
            return strndup(s, n);
        s += n ? n : 1;
    }
    return NULL;
}

static int read_tests(struct bench_task *t, const struct jsonl *r, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->v, "test_list"), *v;
    int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n == 0)
        return err_set(e, ERR_DATA, "%s:%ld: test_list is missing or empty", r->path, r->lineno);
    if (!(t->tests = calloc((size_t)n, sizeof *t->tests)))
        return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
    cJSON_ArrayForEach(v, list)
    {
        if (!cJSON_IsString(v))
            return err_set(e, ERR_DATA, "%s:%ld: test_list: expected strings", r->path, r->lineno);
        if (!(t->tests[t->n_tests++] = strdup(v->valuestring)))
            return err_set(e, ERR_NOMEM, "%s:%ld: out of memory", r->path, r->lineno);
    }
    return 0;
}

/* The task id as text; "" if there is none. */
static int task_id(char *buf, size_t size, const struct jsonl *r, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    int n = 0;
    if (cJSON_IsString(id))
        n = snprintf(buf, size, "%s", id->valuestring);
    else if (cJSON_IsNumber(id))
        n = snprintf(buf, size, "%.0f", id->valuedouble);
    else
        return err_set(e, ERR_DATA, "%s:%ld: task_id is missing", r->path, r->lineno);
    return n < 1 || (size_t)n >= size
               ? err_set(e, ERR_DATA, "%s:%ld: task_id is empty or too long", r->path, r->lineno)
               : 0;
}

static int read_task(struct bench *b, struct bench_task *t, const char *id, const struct jsonl *r,
                     struct err *e)
{
    const char *prompt, *entry = NULL, *test = NULL, *setup = "", *code;
    const cJSON *imports = cJSON_GetObjectItemCaseSensitive(r->v, "test_imports");
    prompt = json_get_str(r->v, b->mbpp ? "text" : "prompt", NULL, e);
    if (b->mbpp && !prompt) /* the sanitized file's name for it */
        prompt = json_get_str(r->v, "prompt", NULL, e);
    code = json_get_str(r->v, b->mbpp ? "code" : "canonical_solution", "", e);
    if (b->mbpp) {
        setup = json_get_str(r->v, "test_setup_code", "", e);
    } else {
        entry = json_get_str(r->v, "entry_point", NULL, e);
        test = json_get_str(r->v, "test", NULL, e);
    }
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!prompt || (!b->mbpp && (!entry || !test)))
        return err_set(e, ERR_DATA, "%s:%ld: %s is missing", r->path, r->lineno,
                       !prompt  ? (b->mbpp ? "text" : "prompt")
                       : !entry ? "entry_point"
                                : "test");
    t->task_id = strdup(id);
    t->prompt = strdup(prompt);
    t->entry_point = entry ? strdup(entry) : NULL;
    t->test = test ? strdup(test) : NULL;
    t->setup = cJSON_IsArray(imports) ? join_lines(imports) : strdup(setup);
    t->canonical = strdup(code);
    if (!t->task_id || !t->prompt || !t->setup || !t->canonical ||
        (entry && (!t->entry_point || !t->test)))
        return no_memory(b, e);
    if (b->mbpp && read_tests(t, r, e) == 0)
        t->called = called_name(t->tests[0]);
    return e->code;
}

static int by_id(const void *x, const void *y, void *task)
{
    const struct bench_task *t = task;
    return strcmp(t[*(const int *)x].task_id, t[*(const int *)y].task_id);
}

static int make_order(struct bench *b, struct err *e)
{
    if (!(b->order = malloc((size_t)(b->n ? b->n : 1) * sizeof *b->order)))
        return no_memory(b, e);
    for (int i = 0; i < b->n; i++)
        b->order[i] = i;
    qsort_r(b->order, (size_t)b->n, sizeof *b->order, by_id, b->task);
    for (int i = 1; i < b->n; i++)
        if (!strcmp(b->task[b->order[i - 1]].task_id, b->task[b->order[i]].task_id))
            return err_set(e, ERR_DATA, "%s: task_id %s occurs twice", b->path,
                           b->task[b->order[i]].task_id);
    return 0;
}

static int read_data(struct bench *b, const struct config *c, struct err *e)
{
    struct jsonl r;
    char id[256];
    int cap = 0, rc;
    if ((rc = hash_sha256_file(b->path, b->sha256, e)) < 0 || (rc = jsonl_open(&r, b->path, e)) < 0)
        return rc;
    b->mbpp = c->format;
    while ((rc = jsonl_next(&r, e)) > 0) {
        if (b->mbpp < 0)
            b->mbpp = !cJSON_HasObjectItem(r.v, "entry_point");
        if ((rc = task_id(id, sizeof id, &r, e)) < 0)
            break;
        if (c->first_id || c->last_id) {
            long n = strtol(id, NULL, 10);
            if (n < c->first_id || n > c->last_id)
                continue;
        }
        if (b->n == MAX_TASKS) {
            rc = err_set(e, ERR_DATA, "%s: more than %d tasks", b->path, MAX_TASKS);
            break;
        }
        if (b->n == cap) {
            struct bench_task *t =
                realloc(b->task, (size_t)(cap = cap ? 2 * cap : 256) * sizeof *t);
            if (!t) {
                rc = no_memory(b, e);
                break;
            }
            b->task = t;
        }
        memset(&b->task[b->n], 0, sizeof *b->task);
        if ((rc = read_task(b, &b->task[b->n++], id, &r, e)) < 0)
            break;
    }
    jsonl_close(&r);
    if (rc < 0)
        return rc;
    if (b->n == 0 || (c->n_task && c->n_task != b->n))
        return err_set(e, ERR_DATA, "%s: expected %ld tasks, found %d", b->path, c->n_task, b->n);
    return make_order(b, e);
}

/* ---- the yaml ---- */

static int read_faults(struct bench *b, const struct yaml_doc *d, struct err *e)
{
    static const char *const keys[] = {"id", "why", NULL};
    const struct yaml *list = yaml_get(d->root, "faults"), *m;
    int n = 0;
    if (!list)
        return 0;
    if (list->kind != YAML_K_LIST)
        return yaml_err(d, list, e, "faults: expected a list");
    for (m = list->child; m; m = m->next)
        n++;
    if (!(b->fault_text = calloc((size_t)n + 1, sizeof *b->fault_text)))
        return no_memory(b, e);
    for (m = list->child; m; m = m->next) {
        const char *id, *why;
        const struct bench_task *t;
        if (m->kind != YAML_K_MAP)
            return yaml_err(d, m, e, "faults: expected id and why");
        if (yaml_only(d, m, keys, e) < 0)
            return e->code;
        id = yaml_str(d, m, "id", "", e);
        why = yaml_str(d, m, "why", "", e);
        if (e->code)
            return e->code;
        if (!(t = bench_find(b, id)))
            return yaml_err(d, m, e, "faults: no task has the id %s", id);
        if (!(b->fault_text[b->n_fault] = strdup(why)))
            return no_memory(b, e);
        b->task[t - b->task].fault = b->fault_text[b->n_fault++];
    }
    return 0;
}

static int read_config(struct bench *b, const char *path, struct err *e)
{
    static const char *const keys[] = {"name",   "data",       "format",  "first_id", "last_id",
                                       "n_task", "max_tokens", "ceiling", "faults",   NULL};
    struct config c;
    struct yaml_doc d;
    char file[CATALOG_PATH];
    const char *name, *data, *format;
    int rc;
    if ((rc = yaml_load(&d, path, e)) < 0)
        return rc;
    rc = e->code;
    if (!d.root || d.root->kind != YAML_K_MAP) {
        rc = yaml_err(&d, d.root, e, "expected a map");
        goto out;
    }
    if ((rc = yaml_only(&d, d.root, keys, e)) < 0)
        goto out;
    name = yaml_str(&d, d.root, "name", NULL, e);
    data = yaml_str(&d, d.root, "data", NULL, e);
    format = yaml_str(&d, d.root, "format", "", e);
    c.first_id = yaml_int(&d, d.root, "first_id", 0, e);
    c.last_id = yaml_int(&d, d.root, "last_id", c.first_id ? LONG_MAX : 0, e);
    c.n_task = yaml_int(&d, d.root, "n_task", 0, e);
    b->max_tokens = yaml_int(&d, d.root, "max_tokens", b->max_tokens, e);
    b->ceiling = yaml_int(&d, d.root, "ceiling", -1, e);
    if ((rc = e->code) < 0)
        goto out;
    if (!name || !data || (strcmp(format, "humaneval") && strcmp(format, "mbpp"))) {
        rc = yaml_err(&d, d.root, e, "name, data and format (humaneval or mbpp) are needed");
        goto out;
    }
    c.format = !strcmp(format, "mbpp");
    if ((rc = catalog_resolve(data, file, sizeof file, e)) < 0)
        goto out;
    b->name = strdup(name);
    b->path = strdup(file);
    if (!b->name || !b->path)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
    else if ((rc = read_data(b, &c, e)) == 0)
        rc = read_faults(b, &d, e);
out:
    yaml_free(&d);
    return rc;
}

/* The name of a data file: its last component up to the first dot. */
static char *stem(const char *path)
{
    const char *s = strrchr(path, '/');
    s = s ? s + 1 : path;
    return strndup(s, strcspn(s, "."));
}

static int ends(const char *s, const char *with)
{
    size_t n = strlen(s), m = strlen(with);
    return n > m && !strcmp(s + n - m, with);
}

int bench_load(struct bench *b, const char *name, struct err *e)
{
    struct config c = {.format = -1};
    char file[PATH_MAX], path[PATH_MAX];
    int rc;
    memset(b, 0, sizeof *b);
    b->ceiling = -1;
    b->max_tokens = 512; /* of a data file that no configs/bench entry describes */
    if (ends(name, ".jsonl") || ends(name, ".jsonl.gz")) {
        b->name = stem(name);
        b->path = strdup(name);
        rc = b->name && b->path ? read_data(b, &c, e)
                                : err_set(e, ERR_NOMEM, "%s: out of memory", name);
    } else if (ends(name, ".yaml")) {
        rc = read_config(b, name, e);
    } else {
        snprintf(file, sizeof file, "configs/bench/%.200s.yaml", name);
        if (strchr(name, '/') || paths_find(file, path, sizeof path, e) < 0) {
            memset(e, 0, sizeof *e);
            rc = err_set(e, ERR_NOINPUT, "%s: no such benchmark (configs/bench) and no .jsonl file",
                         name);
        } else {
            rc = read_config(b, path, e);
        }
    }
    if (rc < 0)
        bench_free(b);
    return rc;
}

void bench_free(struct bench *b)
{
    for (int i = 0; i < b->n; i++) {
        struct bench_task *t = &b->task[i];
        for (int k = 0; k < t->n_tests; k++)
            free(t->tests[k]);
        free(t->tests);
        free(t->task_id);
        free(t->prompt);
        free(t->entry_point);
        free(t->called);
        free(t->test);
        free(t->setup);
        free(t->canonical);
    }
    for (int i = 0; i < b->n_fault; i++)
        free(b->fault_text[i]);
    free(b->fault_text);
    free(b->task);
    free(b->order);
    free(b->name);
    free(b->path);
    memset(b, 0, sizeof *b);
}

const char *bench_entry(const struct bench_task *t)
{
    return t->entry_point ? t->entry_point : t->called;
}

const struct bench_task *bench_find(const struct bench *b, const char *id)
{
    int lo = 0, hi = b->n;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = strcmp(id, b->task[b->order[mid]].task_id);
        if (c == 0)
            return &b->task[b->order[mid]];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
