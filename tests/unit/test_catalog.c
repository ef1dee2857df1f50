/* test_catalog - the catalog and what it names are what they say */
#include "catalog.h"
#include "tap.h"
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

int main(void)
{
    char dir[] = "/tmp/test_catalog.XXXXXX";
    if (!mkdtemp(dir))
        return 1;
    entries();
    shipped();
    resolve(dir);
    how_to_get();
    rmdir(dir);
    return done_testing();
}
