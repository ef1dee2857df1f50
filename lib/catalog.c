/* catalog - data sets and models by name, with their checksums */
#include "catalog.h"
#include "cache.h"
#include "hash.h"
#include "paths.h"
#include "yaml.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const keys[] = {"file",    "cache",   "url",    "sha256", "bytes",
                                   "licence", "records", "origin", NULL};

static int copy(char *to, size_t size, const char *from, const struct yaml_doc *d,
                const struct yaml *at, struct err *e)
{
    if ((size_t)snprintf(to, size, "%s", from) >= size)
        return yaml_err(d, at, e, "value longer than %zu bytes", size - 1);
    return 0;
}

/* A name that stays inside its directory: neither absolute nor with "..". */
static int inside(const char *s)
{
    return s[0] && s[0] != '/' && !strstr(s, "..");
}

static int read_entry(struct catalog_entry *c, const struct yaml_doc *d, const struct yaml *m,
                      struct err *e)
{
    const char *file, *cache, *sha;
    memset(c, 0, sizeof *c);
    if (m->kind != YAML_K_MAP)
        return yaml_err(d, m, e, "%s: expected a map", m->key);
    if (yaml_only(d, m, keys, e) < 0 || copy(c->name, sizeof c->name, m->key, d, m, e) < 0)
        return e->code;
    file = yaml_str(d, m, "file", NULL, e);
    cache = yaml_str(d, m, "cache", NULL, e);
    sha = yaml_str(d, m, "sha256", "", e);
    c->bytes = yaml_int(d, m, "bytes", 0, e);
    c->records = yaml_int(d, m, "records", 0, e);
    if (copy(c->url, sizeof c->url, yaml_str(d, m, "url", "", e), d, m, e) < 0 ||
        copy(c->licence, sizeof c->licence, yaml_str(d, m, "licence", "", e), d, m, e) < 0 ||
        copy(c->origin, sizeof c->origin, yaml_str(d, m, "origin", "", e), d, m, e) < 0 || e->code)
        return e->code;
    if (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64)
        return yaml_err(d, m, e, "%s: sha256 is not 64 hexadecimal digits", m->key);
    memcpy(c->sha256, sha, 65);
    if (!file == !cache || !inside(file ? file : cache))
        return yaml_err(d, m, e, "%s: one of file and cache, a relative path, is needed", m->key);
    if (cache)
        return (cache_path(cache, c->path, sizeof c->path) < 0
                    ? err_set(e, ERR_NOINPUT, "%s: path of the cache too long", cache)
                    : 0);
    if ((size_t)snprintf(c->path, sizeof c->path, "%s/%s", paths_root(), file) >= sizeof c->path)
        return yaml_err(d, m, e, "%s: path too long", m->key);
    return 0;
}

int catalog_find(struct catalog_entry *c, const char *name, struct err *e)
{
    char path[CATALOG_PATH];
    struct yaml_doc d;
    const struct yaml *m;
    int rc;
    if (!paths_root())
        return err_set(e, ERR_NOINPUT,
                       "data/catalog.yaml: the project's files are not beside the tool");
    if ((size_t)snprintf(path, sizeof path, "%s/data/catalog.yaml", paths_root()) >= sizeof path)
        return err_set(e, ERR_NOINPUT, "data/catalog.yaml: path too long");
    if ((rc = yaml_load(&d, path, e)) < 0)
        return rc;
    m = d.root && d.root->kind == YAML_K_MAP ? yaml_get(d.root, name) : NULL;
    rc = m ? read_entry(c, &d, m, e) : err_set(e, ERR_CONFIG, "%s: not in %s", name, path);
    yaml_free(&d);
    return rc;
}

/* One word for a shell: 0, or -1 if it does not fit. */
static int quote(char *to, size_t size, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789_./:@%+=,-";
    size_t n = 0;
    if (!s[strspn(s, plain)])
        return (size_t)snprintf(to, size, "%s", s) < size ? 0 : -1;
    to[n++] = '\'';
    for (; *s && n + 6 < size; s++) {
        if (*s == '\'') { /* '\'' ends the quotes, gives one and begins them again */
            memcpy(to + n, "'\\''", 4);
            n += 4;
        } else {
            to[n++] = *s;
        }
    }
    to[n++] = '\'';
    to[n] = 0;
    return *s ? -1 : 0;
}

int catalog_how(const struct catalog_entry *c, char *buf, size_t size)
{
    char path[CATALOG_PATH], url[sizeof c->url];
    int n;
    if (!c->url[0])
        n = snprintf(buf, size, "it is one of the project's own files: git checkout -- data");
    else if (quote(path, sizeof path, c->path) < 0 || quote(url, sizeof url, c->url) < 0)
        return -1;
    else
        n = snprintf(buf, size, "curl -fL --create-dirs -o %s %s (%ld bytes, sha256 %s)", path, url,
                     c->bytes, c->sha256);
    return (size_t)n < size ? 0 : -1;
}

static int missing(const struct catalog_entry *c, struct err *e)
{
    char how[sizeof e->msg - 100]; /* with the name and the words below it is a whole message */
    if (catalog_how(c, how, sizeof how) < 0)
        return err_set(e, ERR_NOINPUT, "%s: not here yet; it can be had from %s", c->name, c->url);
    if (!c->url[0])
        return err_set(e, ERR_NOINPUT, "%s: %s is missing; %s", c->name, c->path, how);
    return err_set(e, ERR_NOINPUT, "%s: not here yet; to get it: %s", c->name, how);
}

int catalog_verify(const struct catalog_entry *c, struct err *e)
{
    struct stat st;
    char hex[65];
    int rc;
    if (stat(c->path, &st) < 0)
        return missing(c, e);
    if (c->bytes && (long)st.st_size != c->bytes)
        return err_set(e, ERR_DATA, "%s: %s: expected %ld bytes, found %ld", c->name, c->path,
                       c->bytes, (long)st.st_size);
    if ((rc = hash_sha256_file(c->path, hex, e)) < 0)
        return rc;
    if (strcmp(hex, c->sha256))
        return err_set(e, ERR_DATA, "%s: %s: expected sha256 %s, found %s", c->name, c->path,
                       c->sha256, hex);
    return 0;
}

int catalog_resolve(const char *name_or_path, char *path, size_t size, struct err *e)
{
    struct catalog_entry c;
    int rc;
    if (!strcmp(name_or_path, "-") || access(name_or_path, F_OK) == 0) {
        if ((size_t)snprintf(path, size, "%s", name_or_path) >= size)
            return err_set(e, ERR_NOINPUT, "%s: path too long", name_or_path);
        return 0;
    }
    if (strchr(name_or_path, '/'))
        return err_set(e, ERR_NOINPUT, "%s: no such file", name_or_path);
    if ((rc = catalog_find(&c, name_or_path, e)) == ERR_CONFIG && strstr(e->msg, "not in"))
        return e->code = ERR_NOINPUT; /* neither a file nor a name */
    if (rc < 0 || (rc = catalog_verify(&c, e)) < 0)
        return rc;
    if ((size_t)snprintf(path, size, "%s", c.path) >= size)
        return err_set(e, ERR_NOINPUT, "%s: path too long", c.path);
    return 0;
}
