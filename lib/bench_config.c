/* bench_config - a benchmark's description: configs/bench/NAME.yaml and the rules that it names */
#include "bench_private.h"
#include "catalog.h"
#include "paths.h"
#include "yaml.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const formats[BENCH_FORMATS + 1] = {"humaneval",   "mbpp",         "evalplus",
                                                       "humaneval-x", "stdio",        "cruxeval",
                                                       "multipl-e",   "bigcodebench", NULL};

/* Keep a text for the benchmark's life; NULL if memory ran out. */
static const char *keep(struct bench *b, const char *text)
{
    char **w = realloc(b->words, ((size_t)b->n_words + 1) * sizeof *w);
    if (!w)
        return NULL;
    b->words = w;
    return (w[b->n_words] = strdup(text)) ? w[b->n_words++] : NULL;
}

/* ---- lists of tasks: id and one or more values ---- */

struct item { /* of such a list */
    const struct yaml *at;
    struct bench_task *task;
    const char *why, *kind, *form;
    long memory_mib;
    double cpu_s;
};

/* One map of a list. 1, or 0 if its task is not there and that is allowed. */
static int read_item(struct bench *b, const struct yaml_doc *d, const struct yaml *m,
                     const char *list, const char *const *keys, int others, struct item *it,
                     struct err *e)
{
    const struct bench_task *t;
    const char *id;
    if (m->kind != YAML_K_MAP)
        return yaml_err(d, m, e, "%s: expected maps with id", list);
    if (yaml_only(d, m, keys, e) < 0)
        return e->code;
    id = yaml_str(d, m, "id", "", e);
    *it = (struct item){.at = m,
                        .why = yaml_str(d, m, "why", "", e),
                        .kind = yaml_str(d, m, "kind", "", e),
                        .form = yaml_str(d, m, "form", "", e),
                        .memory_mib = yaml_int(d, m, "memory_mib", 0, e),
                        .cpu_s = yaml_num(d, m, "cpu_s", 0, e)};
    if (e->code)
        return e->code;
    if (it->memory_mib < 0 || it->memory_mib > 1 << 20 || it->cpu_s < 0 || it->cpu_s > 86400)
        return yaml_err(d, m, e, "%s: memory_mib or cpu_s out of range", list);
    if (!(t = bench_find(b, id)))
        return others ? 0 : yaml_err(d, m, e, "%s: no task has the id %s", list, id);
    it->task = &b->task[t - b->task];
    return 1;
}

static int one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words))
            return 1;
    return 0;
}

/* Words of a form: bench(5), part EVALPLUS. */
static int form_ok(const char *form)
{
    static const char *const words[] = {"as-is",          "tuple",      "list-of-tuple",
                                        "tuple-of-tuple", "deep-tuple", "dict-of-tuple",
                                        "float",          "complex",    NULL};
    char word[32];
    int n = 0;
    while (*form) {
        size_t k = strcspn(form, " ");
        snprintf(word, sizeof word, "%.*s", (int)(k < 31 ? k : 31), form);
        form += k + strspn(form + k, " ");
        if (!strcmp(word, "..."))
            return n > 0 && !*form;
        if (!one_of(word, words))
            return 0;
        n++;
    }
    return n > 0;
}

static int apply(struct bench *b, const struct yaml_doc *d, const char *list, const struct item *it,
                 struct err *e)
{
    static const char *const oracles[] = {"root",       "set",       "not-none",
                                          "or-pyramid", "or-digits", NULL};
    const char **to, *text;
    if (!strcmp(list, "limits")) {
        it->task->memory_mib = it->memory_mib;
        it->task->cpu_s = it->cpu_s;
        return 0;
    }
    if (!strcmp(list, "trust")) {
        it->task->inproc = 1;
        return 0;
    }
    if (!strcmp(list, "faults"))
        to = &it->task->fault, text = it->why;
    else if (!strcmp(list, "oracle")) {
        if (!one_of(it->kind, oracles))
            return yaml_err(d, it->at, e, "oracle: unknown kind %s", it->kind);
        to = &it->task->oracle, text = it->kind;
    } else {
        if (!form_ok(it->form))
            return yaml_err(d, it->at, e, "arguments: unknown form %s", it->form);
        to = &it->task->form, text = it->form;
    }
    return (*to = keep(b, text)) ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", d->path);
}

/* The lists of a map. others: ids of tasks that this benchmark does not have are passed over. */
static int read_lists(struct bench *b, const struct yaml_doc *d, const struct yaml *map, int others,
                      struct err *e)
{
    static const struct {
        const char *list, *keys[6];
    } lists[] = {{"faults", {"id", "why", NULL}},
                 {"limits", {"id", "memory_mib", "cpu_s", "why", NULL}},
                 {"trust", {"id", "why", NULL}},
                 {"oracle", {"id", "kind", NULL}},
                 {"arguments", {"id", "form", NULL}}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct yaml *list = yaml_get(map, lists[i].list);
        if (list && list->kind != YAML_K_LIST)
            return yaml_err(d, list, e, "%s: expected a list", lists[i].list);
        for (const struct yaml *m = list ? list->child : NULL; m; m = m->next) {
            struct item it = {0};
            int rc = read_item(b, d, m, lists[i].list, lists[i].keys, others, &it, e);
            if (rc < 0 || (rc > 0 && apply(b, d, lists[i].list, &it, e) < 0))
                return e->code;
        }
    }
    return 0;
}

/* A section of configs/evalplus.yaml: what EvalPlus keeps in its code. */
static int read_rules(struct bench *b, const char *section, struct err *e)
{
    char path[PATH_MAX];
    struct yaml_doc d;
    const struct yaml *map;
    int rc;
    if ((rc = paths_find("configs/evalplus.yaml", path, sizeof path, e)) < 0 ||
        (rc = yaml_load(&d, path, e)) < 0)
        return rc;
    map = yaml_get(d.root, section);
    rc = map && map->kind == YAML_K_MAP ? read_lists(b, &d, map, 1, e)
                                        : yaml_err(&d, d.root, e, "no section %s", section);
    yaml_free(&d);
    return rc;
}

/* ---- the description ---- */

/* A word of a list; its index, or -1 with the error set. */
static int choice(const struct yaml_doc *d, const struct yaml *map, const char *key,
                  const char *dflt, const char *const *words, struct err *e)
{
    const char *s = yaml_str(d, map, key, dflt, e);
    for (int i = 0; words[i] && !e->code; i++)
        if (!strcmp(words[i], s))
            return i;
    if (!e->code)
        yaml_err(d, yaml_get(map, key) ? yaml_get(map, key) : map, e, "%s: unknown: %s", key, s);
    return -1;
}

static int read_values(struct bench *b, struct bench_config *c, const struct yaml_doc *d,
                       struct err *e)
{
    static const char *const languages[] = {"python", "c", "cpp", "javascript", NULL};
    static const char *const modes[] = {"split", "inproc", NULL};
    static const char *const asks[] = {"output", "complete", "input", "instruct", NULL};
    static const char *const packages[] = {"hidden", "shown", NULL};
    const struct yaml *root = d->root;
    int format = choice(d, root, "format", "", formats, e),
        lang = choice(d, root, "lang", "python", languages, e);
    int mode = choice(d, root, "mode", "split", modes, e),
        ask = choice(d, root, "ask", "output", asks, e);
    b->packages = choice(d, root, "packages", "hidden", packages, e) == 1;
    c->first_id = yaml_int(d, root, "first_id", 0, e);
    c->last_id = yaml_int(d, root, "last_id", c->first_id ? LONG_MAX : 0, e);
    c->n_task = yaml_int(d, root, "n_task", 0, e);
    c->known = 1;
    b->max_tokens = yaml_int(d, root, "max_tokens", b->max_tokens, e);
    b->ceiling = yaml_int(d, root, "ceiling", -1, e);
    b->memory_mib = yaml_int(d, root, "memory_mib", 0, e);
    b->cpu_s = yaml_num(d, root, "cpu_s", 0, e);
    snprintf(b->test_field, sizeof b->test_field, "%s", yaml_str(d, root, "test_field", "", e));
    if (e->code)
        return e->code;
    if (b->memory_mib < 0 || b->memory_mib > 1 << 20 || b->cpu_s < 0 || b->cpu_s > 86400)
        return yaml_err(d, root, e, "memory_mib or cpu_s out of range");
    b->format = (enum bench_format)format;
    b->lang = (enum bench_lang)lang;
    b->inproc = mode == 1;
    b->ask_input = ask == 2;
    b->instruct = ask == 3;
    return 0;
}

/* A name of the catalog, or a path from the folder of the description that says so. */
static int data_path(const char *from, const char *data, char *path, size_t size, struct err *e)
{
    const char *slash = strrchr(from, '/');
    size_t n = strlen(data);
    int is_file = strchr(data, '/') || (n > 6 && !strcmp(data + n - 6, ".jsonl")) ||
                  (n > 9 && !strcmp(data + n - 9, ".jsonl.gz"));
    if (!is_file || *data == '/' || !slash)
        return catalog_resolve(data, path, size, e);
    if ((size_t)(slash - from) + 1 + n >= size)
        return err_set(e, ERR_DATA, "%s: the path of its data is too long", from);
    snprintf(path, size, "%.*s/%s", (int)(slash - from), from, data);
    return 0;
}

int bench_read_config(struct bench *b, const char *path, struct err *e)
{
    static const char *const keys[] = {
        "name",    "data",       "format",   "lang",       "ask",        "first_id", "last_id",
        "n_task",  "max_tokens", "ceiling",  "faults",     "memory_mib", "cpu_s",    "limits",
        "mode",    "trust",      "packages", "test_field", "rules",      "oracle",   "arguments",
        "licence", "homepage",   "paper",    NULL};
    struct bench_config c = {0};
    struct yaml_doc d;
    char file[CATALOG_PATH];
    const char *name, *data, *rules;
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
    rules = yaml_str(&d, d.root, "rules", "", e);
    if ((rc = e->code) < 0)
        goto out;
    if (!name || !data || !yaml_get(d.root, "format")) {
        rc = yaml_err(&d, d.root, e, "name, data and format are needed");
        goto out;
    }
    if ((rc = read_values(b, &c, &d, e)) < 0 ||
        (rc = data_path(path, data, file, sizeof file, e)) < 0)
        goto out;
    b->name = strdup(name);
    b->path = strdup(file);
    if (!b->name || !b->path)
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
    else if ((rc = bench_read(b, &c, e)) == 0 && (rc = *rules ? read_rules(b, rules, e) : 0) == 0)
        rc = read_lists(b, &d, d.root, 0, e);
out:
    yaml_free(&d);
    return rc;
}
