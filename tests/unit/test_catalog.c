/* test_catalog - the catalog, every description of a benchmark and every fixture are what they say */
#include "catalog.h"
#include "json.h"
#include "tap.h"
#include "verdict.h"
#include "yaml.h"
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { MAX_SHIPPED = 5 << 20 }; /* benchmarks and training data, data/README.md */

static int put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    return f && fputs(text, f) >= 0 && fclose(f) == 0;
}

static int ends(const char *s, const char *with)
{
    size_t n = strlen(s), m = strlen(with);
    return n > m && !strcmp(s + n - m, with);
}

static int among(const char *s, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(s, *list))
            return 1;
    return 0;
}

/* A whole file, unpacked, as a text; NULL if it cannot be read. */
static char *text_of(const char *path)
{
    gzFile f = gzopen(path, "rb");
    size_t n = 0, cap = 1 << 16;
    char *s = malloc(cap);
    int k;
    while (f && s && (k = gzread(f, s + n, (unsigned)(cap - n - 1))) > 0)
        if ((n += (size_t)k) == cap - 1)
            s = realloc(s, cap *= 2);
    if (!f || gzclose(f) != Z_OK || !s)
        return NULL;
    s[n] = 0;
    return s;
}

static long lines_of(const char *s)
{
    long n = 0;
    for (; s && (s = strchr(s, '\n')); s++)
        n++;
    return n;
}

/* Is there a record with this id?  Ids are texts or numbers, and the first member of their record. */
static int has_id(const char *data, const char *id)
{
    char as_text[128], as_number[128], as_id[128];
    snprintf(as_text, sizeof as_text, "\"task_id\": \"%s\"", id);
    snprintf(as_id, sizeof as_id, "\"id\": \"%s\"", id);
    snprintf(as_number, sizeof as_number, "\"task_id\": %s,", id);
    return data && (strstr(data, as_text) || strstr(data, as_number) || strstr(data, as_id));
}

/* ---- the catalog ---- */

static void entry(const char *name)
{
    struct catalog_entry c;
    struct err e = {0};
    char *s = NULL;
    ok(catalog_find(&c, name, &e) == 0 && c.licence[0] && c.origin[0] && c.bytes > 0 &&
           (!c.url[0] || !strncmp(c.url, "https://", 8)),
       "%s: licence, origin, bytes, a safe url %s", name, e.msg);
    if (strstr(c.path, "/.cache/apr/")) {
        ok(c.url[0], "%s: is not shipped, so it has a url", name);
        return;
    }
    ok(catalog_verify(&c, &e) == 0, "%s: the shipped file is the catalog's %s", name, e.msg);
    if (c.records)
        s = text_of(c.path);
    ok(!c.records || lines_of(s) == c.records, "%s: %ld records", name, c.records);
    free(s);
}

static void entries(void)
{
    struct yaml_doc d;
    struct err e = {0};
    setenv("HOME", "/nowhere", 1);
    unsetenv("XDG_CACHE_HOME");
    if (yaml_load(&d, TOP "/data/catalog.yaml", &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    for (const struct yaml *m = d.root->child; m; m = m->next)
        entry(m->key);
    yaml_free(&d);
}

/* Everything in a folder is named by the catalog, or is a licence; its bytes. */
static long folder(const char *dir, const char *catalog)
{
    char path[4096], line[4096];
    struct dirent *f;
    struct stat st;
    long sum = 0;
    snprintf(path, sizeof path, TOP "/%s", dir);
    DIR *d = opendir(path);
    while (d && (f = readdir(d))) {
        if (f->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, TOP "/%s/%s", dir, f->d_name);
        snprintf(line, sizeof line, "file: %s/%s\n", dir, f->d_name);
        ok(stat(path, &st) == 0 && (ends(path, ".LICENSE") || strstr(catalog, line)),
           "%s/%s is in the catalog or a licence", dir, f->d_name);
        sum += (long)st.st_size;
    }
    if (d)
        closedir(d);
    return sum;
}

static void shipped(void)
{
    char *s = text_of(TOP "/data/catalog.yaml");
    long sum = s ? folder("data/bench", s) + folder("data/train", s) : -1;
    ok(sum > 0 && sum <= MAX_SHIPPED, "benchmarks and training data: %ld of %d bytes", sum,
       MAX_SHIPPED);
    free(s);
}

static void resolve(const char *dir)
{
    struct catalog_entry c;
    struct err e = {0};
    char path[CATALOG_PATH], sub[4200];
    ok(catalog_resolve("basic-finetune", path, sizeof path, &e) == 0 && strstr(path, "data/train/"),
       "%s %s", path, e.msg);
    ok(catalog_find(&c, "nothing", &e) == ERR_CONFIG, "%s", e.msg);
    e = (struct err){0};
    setenv("XDG_CACHE_HOME", dir, 1);
    ok(catalog_find(&c, "multipl-e-js", &e) == 0 && !strncmp(c.path, dir, strlen(dir)),
       "an entry that is not shipped lies in the cache: %s", c.path);
    snprintf(sub, sizeof sub, "%s/apr", dir);
    mkdir(sub, 0755);
    put(c.path, "short");
    ok(catalog_verify(&c, &e) == ERR_DATA && strstr(e.msg, "found 5"), "%s", e.msg);
    e = (struct err){0};
    c.bytes = 5;
    ok(catalog_verify(&c, &e) == ERR_DATA && strstr(e.msg, c.sha256) && strstr(e.msg, "f9b0078b"),
       "%s", e.msg);
    unlink(c.path);
    rmdir(sub);
    e = (struct err){0};
    ok(catalog_resolve("nothing", path, sizeof path, &e) == ERR_NOINPUT, "%s", e.msg);
}

static void how_to_get(void)
{
    struct catalog_entry c;
    struct err e = {0};
    char want[1024], far[600];
    setenv("XDG_CACHE_HOME", "/it's a place", 1);
    catalog_find(&c, "multipl-e-js", &e);
    snprintf(want, sizeof want,
             "curl -fL --create-dirs -o '/it'\\''s a place/apr/%s' %s (297853 bytes, sha256 %s)",
             "multipl-e-humaneval-js.jsonl", c.url, c.sha256);
    ok(catalog_verify(&c, &e) == ERR_NOINPUT && strstr(e.msg, want), "%s", e.msg);
    e = (struct err){0};
    memset(far, 'x', sizeof far);
    far[0] = '/';
    far[sizeof far - 1] = 0;
    setenv("XDG_CACHE_HOME", far, 1);
    catalog_find(&c, "multipl-e-js", &e);
    ok(catalog_verify(&c, &e) == ERR_NOINPUT && ends(e.msg, "humaneval-js.jsonl") &&
           strstr(e.msg, "https://") && !strstr(e.msg, "curl"),
       "a command that does not fit is not cut: %s", e.msg);
    e = (struct err){0};
    catalog_find(&c, "basic", &e);
    snprintf(c.path, sizeof c.path, "/nowhere");
    ok(catalog_verify(&c, &e) == ERR_NOINPUT && strstr(e.msg, "git checkout"), "%s", e.msg);
    unsetenv("XDG_CACHE_HOME");
}

/* ---- configs/bench ---- */

static const char *const bench_keys[] = {
    "name",   "data",       "format",   "lang",       "ask",       "first_id", "last_id",
    "n_task", "max_tokens", "ceiling",  "memory_mib", "cpu_s",     "mode",     "rules",
    "faults", "limits",     "trust",    "oracle",     "arguments", "licence",  "homepage",
    "paper",  "test_field", "packages", NULL};
static const char *const formats[] = {"humaneval",   "mbpp",         "evalplus",
                                      "humaneval-x", "stdio",        "cruxeval",
                                      "multipl-e",   "bigcodebench", NULL};
static const char *const kinds[] = {"root", "set", "not-none", "or-pyramid", "or-digits", NULL};
static const char *const words[] = {"as-is",         "tuple",
                                    "list-of-tuple", "tuple-of-tuple",
                                    "deep-tuple",    "dict-of-tuple",
                                    "float",         "complex",
                                    "...",           NULL};

/* A list of maps with an id that the data has (if it is here) and the member `must`; how many. */
static long items(const struct yaml_doc *d, const struct yaml *map, const char *key,
                  const char *must, const char *data)
{
    static const char *const keys[] = {"id", "why", "memory_mib", "cpu_s", "kind", "form", NULL};
    const struct yaml *list = yaml_get(map, key);
    struct err e = {0};
    long n = 0;
    for (const struct yaml *m = list ? list->child : NULL; m; m = m->next, n++) {
        const char *id = yaml_str(d, m, "id", "", &e), *v = yaml_str(d, m, must, "", &e);
        int good = yaml_only(d, m, keys, &e) == 0 && id[0] && v[0] && (!data || has_id(data, id));
        if (!strcmp(must, "kind"))
            good = good && among(v, kinds);
        char form[128], *save, *w;
        snprintf(form, sizeof form, "%s", strcmp(must, "form") ? "" : v);
        for (w = strtok_r(form, " ", &save); w; w = strtok_r(NULL, " ", &save))
            good = good && among(w, words);
        if (!good)
            ok(0, "%s: %s: %s: %s %s", d->path, key, id, v, e.msg);
    }
    return n;
}

/* What a description says of itself; data: the text of its data file, NULL if that is not here. */
static void facts(const struct yaml_doc *d, const char *name, const char *data)
{
    struct err e = {0};
    const char *format = yaml_str(d, d->root, "format", "", &e);
    const char *rules = yaml_str(d, d->root, "rules", "", &e);
    long n = yaml_int(d, d->root, "n_task", 0, &e), top = yaml_int(d, d->root, "ceiling", n, &e);
    ok(yaml_only(d, d->root, bench_keys, &e) == 0 && among(format, formats) &&
           !strcmp(yaml_str(d, d->root, "name", "", &e), name) && n > 0 &&
           yaml_int(d, d->root, "max_tokens", 0, &e) > 0,
       "%s: known keys and format %s", name, e.msg);
    if (data && !yaml_get(d->root, "first_id"))
        ok(lines_of(data) == n, "%s: %ld tasks in its data", name, n);
    ok(n - top == items(d, d->root, "faults", "why", data),
       "%s: ceiling %ld of %ld, and a reason for each that is missing", name, top, n);
    items(d, d->root, "limits", "why", data);
    items(d, d->root, "trust", "why", data);
    items(d, d->root, "oracle", "kind", data);
    items(d, d->root, "arguments", "form", data);
    ok(!rules[0] || !strncmp(name, rules, strlen(rules)), "%s: rules %s", name, rules);
}

static void description(const char *name)
{
    struct yaml_doc d;
    struct catalog_entry c;
    struct err e = {0};
    char path[4096], *data = NULL;
    snprintf(path, sizeof path, TOP "/configs/bench/%s.yaml", name);
    if (yaml_load(&d, path, &e) < 0 ||
        catalog_find(&c, yaml_str(&d, d.root, "data", "", &e), &e) < 0) {
        ok(0, "%s: %s", name, e.msg);
        return;
    }
    const char *licence = yaml_str(&d, d.root, "licence", c.licence, &e);
    ok(!strcmp(licence, c.licence), "%s: licence %s, the catalog's", name, licence);
    if (!access(c.path, R_OK))
        data = text_of(c.path);
    facts(&d, name, data);
    free(data);
    yaml_free(&d);
}

/* configs/evalplus.yaml is no benchmark: numbers, and for each of two benchmarks its lists. */
static void rules(void)
{
    static const char *const keys[] = {"schema", "rtol",          "float_atol", "min_s", "factor",
                                       "cap_s",  "humanevalplus", "mbppplus",   NULL};
    struct yaml_doc d;
    struct err e = {0};
    char *he = text_of(TOP "/data/bench/HumanEvalPlus.jsonl.gz");
    char *mb = text_of(TOP "/data/bench/MbppPlus.jsonl.gz");
    if (yaml_load(&d, TOP "/configs/evalplus.yaml", &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    ok(yaml_only(&d, d.root, keys, &e) == 0 &&
           !strcmp(yaml_str(&d, d.root, "schema", "", &e), "evalplus/1") &&
           yaml_num(&d, d.root, "rtol", 0, &e) == 1e-7 &&
           yaml_num(&d, d.root, "float_atol", 0, &e) == 1e-6 && !e.code,
       "evalplus.yaml: keys and numbers %s", e.msg);
    const struct yaml *h = yaml_get(d.root, "humanevalplus"), *m = yaml_get(d.root, "mbppplus");
    ok(items(&d, h, "oracle", "kind", he) == 1, "HumanEval+: one special comparison");
    ok(items(&d, m, "oracle", "kind", mb) == 12, "MBPP+: 12 special comparisons");
    ok(items(&d, m, "arguments", "form", mb) == 52, "MBPP+: 52 forms of arguments");
    yaml_free(&d);
    free(he);
    free(mb);
}

/* ---- tests/vectors/bench ---- */

static void answers(const char *name)
{
    struct jsonl code, want;
    struct err e = {0};
    char path[4096];
    long n = 0, passed = 0;
    int rc = 0, good = 1;
    snprintf(path, sizeof path, TOP "/tests/vectors/bench/%s.code.jsonl", name);
    char *a = strdup(path);
    snprintf(path, sizeof path, TOP "/tests/vectors/bench/%s.expect.jsonl", name);
    if (jsonl_open(&code, a, &e) == 0 && jsonl_open(&want, path, &e) == 0) {
        while (good && (rc = jsonl_next(&code, &e)) > 0 && jsonl_next(&want, &e) > 0) {
            const char *verdict = json_get_str(want.v, "verdict", "", &e);
            int pass = json_get_bool(want.v, "passed", -1, &e);
            good =
                jsonl_schema(&code, "code/1", 0, &e) == 0 && verdict_parse(verdict) >= 0 &&
                pass == !strcmp(verdict, "pass") &&
                !strcmp(json_get_str(code.v, "task_id", "a", &e),
                        json_get_str(want.v, "task_id", "b", &e)) &&
                json_get_int(code.v, "sample", -1, &e) == json_get_int(want.v, "sample", -2, &e) &&
                !strcmp(json_get_str(code.v, "bench", "", &e), name);
            passed += pass;
            n++;
        }
        good = good && jsonl_next(&want, &e) == 0;
        jsonl_close(&code);
        jsonl_close(&want);
    }
    ok(rc == 0 && good && !e.code && passed > 0 && passed < n,
       "fixture %s: %ld answers, %ld right, a verdict for each %s", name, n, passed, e.msg);
    free(a);
}

static void fixture(const char *name)
{
    struct yaml_doc d;
    struct err e = {0};
    char path[4096], *data;
    snprintf(path, sizeof path, TOP "/tests/vectors/bench/%s.yaml", name);
    if (yaml_load(&d, path, &e) < 0) {
        ok(0, "%s", e.msg);
        return;
    }
    snprintf(path, sizeof path, TOP "/tests/vectors/bench/%s",
             yaml_str(&d, d.root, "data", "", &e));
    data = text_of(path);
    ok(lines_of(data) == yaml_int(&d, d.root, "n_task", -1, &e), "fixture %s: its data", name);
    facts(&d, name, data);
    answers(name);
    free(data);
    yaml_free(&d);
}

/* f(name) for every name.yaml of a folder, in the order of names; how many. */
static int each(const char *dir, void (*f)(const char *name))
{
    struct dirent **list;
    int n = scandir(dir, &list, NULL, alphasort), done = 0;
    for (int i = 0; i < n; i++) {
        char *s = list[i]->d_name;
        if (ends(s, ".yaml")) {
            s[strlen(s) - 5] = 0;
            if (f != description || strcmp(s, "evalplus")) {
                f(s);
                done++;
            }
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return done;
}

int main(void)
{
    char dir[] = "/tmp/test_catalog.XXXXXX";
    if (!mkdtemp(dir))
        return 1;
    entries();
    shipped();
    ok(each(TOP "/configs/bench", description) >= 22, "descriptions of benchmarks");
    rules();
    ok(each(TOP "/tests/vectors/bench", fixture) >= 11, "fixtures");
    resolve(dir);
    how_to_get();
    rmdir(dir);
    return done_testing();
}
