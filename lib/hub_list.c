/* hub_list - what a repository holds: the hub's listing, read as hostile input; patterns; origins */
#include "hub.h"
#include "json.h"
#include "mapfile.h"
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int hex_ok(const char *s, size_t n)
{
    return s && strspn(s, "0123456789abcdef") == n && !s[n];
}

int hub_by_path(const void *a, const void *b)
{
    return strcmp(((const struct hub_file *)a)->path, ((const struct hub_file *)b)->path);
}

/* {"rfilename", "size", "blobId", "lfs": {"sha256", "size"}} */
static int take_file(struct hub_file *f, const cJSON *v, const char *where, struct err *e)
{
    const cJSON *lfs = cJSON_GetObjectItemCaseSensitive(v, "lfs");
    const char *path = json_get_str(v, "rfilename", NULL, e), *oid;
    double size;
    if (e->code || !path)
        return err_set(e, ERR_DATA, "%s: a file without rfilename", where);
    if (!hub_path_ok(path))
        return err_set(e, ERR_DATA, "%s: file name '%.100s': expected a relative path without '..'",
                       where, path);
    lfs = cJSON_IsObject(lfs) ? lfs : NULL;
    oid = lfs ? json_get_str(lfs, "sha256", NULL, e) : json_get_str(v, "blobId", NULL, e);
    size = json_get_num(lfs ? lfs : v, "size", -1, e);
    if (e->code || !hex_ok(oid, lfs ? 64 : 40))
        return err_set(e, ERR_DATA, "%s: %s: expected a digest of %d hex digits, found %.80s",
                       where, path, lfs ? 64 : 40, oid ? oid : "none");
    if (!(size >= 0 && size <= 0x1p53) || size != (double)(uint64_t)size)
        return err_set(e, ERR_DATA, "%s: %s: size %g", where, path, size);
    f->size = (uint64_t)size;
    snprintf(f->oid, sizeof f->oid, "%s", oid);
    return (f->path = strdup(path)) ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", where);
}

int hub_list_parse(struct hub_list *l, const char *json, size_t n, const char *where, struct err *e)
{
    static const char *const keys[] = {"sha", "siblings", NULL};
    cJSON *v = json_pick(json, n, keys, where, e);
    const cJSON *list = v ? cJSON_GetObjectItemCaseSensitive(v, "siblings") : NULL;
    const char *sha = v ? json_get_str(v, "sha", NULL, e) : NULL;
    int rc = 0, count = cJSON_GetArraySize(list);
    memset(l, 0, sizeof *l);
    if (!v)
        return e->code;
    if (e->code || !hex_ok(sha, 40) || !cJSON_IsArray(list) || count > HUB_FILES)
        rc = err_set(e, ERR_DATA, "%s: expected \"sha\" and at most %d \"siblings\"", where,
                     HUB_FILES);
    else if (!(l->file = calloc((size_t)count + 1, sizeof *l->file)))
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", where);
    else
        memcpy(l->commit, sha, sizeof l->commit);
    for (const cJSON *f = rc ? NULL : list->child; f && rc == 0; f = f->next)
        if ((rc = take_file(&l->file[l->n], f, where, e)) == 0)
            l->n++;
    cJSON_Delete(v);
    if (rc == 0)
        qsort(l->file, (size_t)l->n, sizeof *l->file, hub_by_path);
    for (int i = 1; i < l->n && rc == 0; i++)
        if (strcmp(l->file[i].path, l->file[i - 1].path) == 0)
            rc = err_set(e, ERR_DATA, "%s: %s is there twice", where, l->file[i].path);
    if (rc < 0)
        hub_list_free(l);
    return rc;
}

void hub_list_free(struct hub_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->file[i].path);
    free(l->file);
    memset(l, 0, sizeof *l);
}

/* Is path a part of the split GGUF of which file is one: X-00001-of-00003.gguf? */
static int same_split(const char *file, const char *path)
{
    size_t n = strlen(file);
    int no, of, end = 0;
    return n > 20 && strlen(path) == n && memcmp(file, path, n - 20) == 0 &&
           sscanf(file + n - 20, "-%5d-of-%5d.gguf%n", &no, &of, &end) == 2 && end == 20 &&
           sscanf(path + n - 20, "-%5d-of-%5d.gguf%n", &no, &of, &end) == 2 && end == 20 &&
           memcmp(file + n - 14, path + n - 14, 14) == 0;
}

static int matches(const char *path, const char *const *pattern, int n)
{
    for (int i = 0; i < n; i++)
        if (fnmatch(pattern[i], path, 0) == 0)
            return 1;
    return 0;
}

int hub_list_select(struct hub_list *l, const char *file, const char *const *include, int n_include,
                    const char *const *exclude, int n_exclude, struct err *e)
{
    int kept = 0;
    for (int i = 0; i < l->n; i++) {
        struct hub_file *f = &l->file[i];
        int keep = *file ? strcmp(f->path, file) == 0 || same_split(file, f->path)
                         : (!n_include || matches(f->path, include, n_include)) &&
                               !matches(f->path, exclude, n_exclude);
        if (keep)
            l->file[kept++] = *f;
        else
            free(f->path);
    }
    l->n = kept;
    if (kept)
        return 0;
    return *file ? err_set(e, ERR_NOINPUT, "%s: not in the repository", file)
                 : err_set(e, ERR_NOINPUT, "no file of the repository matches the patterns");
}

static int load(const char *path, struct hub_list *l, struct err *e)
{
    struct mapfile m;
    int rc = mapfile_open(&m, path, e);
    if (rc < 0)
        return rc;
    rc = hub_list_parse(l, (const char *)m.p, m.n, path, e);
    mapfile_close(&m);
    return rc;
}

int hub_list_load(const struct hub *h, const struct hub_name *n, const char *commit,
                  struct hub_list *l, struct err *e)
{
    char path[PATH_MAX];
    if (hub_path(h, n, path, e, ".apr/%s.json", commit) < 0)
        return e->code;
    return load(path, l, e);
}

/* ---- a snapshot without its listing ---- */

static int walk(struct hub_list *l, int *cap, const char *dir, const char *below, int depth,
                struct err *e)
{
    char path[PATH_MAX], name[1024], to[PATH_MAX];
    struct dirent *en;
    struct stat st;
    int rc = 0;
    snprintf(path, sizeof path, "%s/%s", dir, below);
    DIR *d = opendir(path);
    if (!d)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    while (rc == 0 && (en = readdir(d))) {
        if (strcmp(en->d_name, ".") == 0 || strcmp(en->d_name, "..") == 0)
            continue;
        if (snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", en->d_name) >=
                (int)sizeof name ||
            !hub_path_ok(name) ||
            snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
            rc = err_set(e, ERR_DATA, "%s/%s: bad name", dir, en->d_name);
        else if (stat(path, &st))
            rc = err_errno(e, ERR_NOINPUT, "%s", path);
        else if (S_ISDIR(st.st_mode))
            rc = depth ? walk(l, cap, dir, name, depth - 1, e)
                       : err_set(e, ERR_DATA, "%s: too deep", path);
        else if (l->n == HUB_FILES)
            rc = err_set(e, ERR_DATA, "%s: more than %d files", dir, HUB_FILES);
        if (rc || S_ISDIR(st.st_mode))
            continue;
        if (l->n == *cap) {
            *cap = 2 * *cap + 64;
            struct hub_file *grown = realloc(l->file, (size_t)*cap * sizeof *grown);
            if (!grown) {
                rc = err_set(e, ERR_NOMEM, "%s: out of memory", dir);
                break;
            }
            l->file = grown;
        }
        struct hub_file *f = &l->file[l->n];
        ssize_t k = readlink(path, to, sizeof to - 1);
        to[k > 0 ? k : 0] = 0;
        const char *oid = strrchr(to, '/') ? strrchr(to, '/') + 1 : to;
        *f = (struct hub_file){.path = strdup(name), .size = (uint64_t)st.st_size};
        if (hex_ok(oid, 64) || hex_ok(oid, 40))
            snprintf(f->oid, sizeof f->oid, "%.64s", oid);
        l->n += f->path != NULL;
        rc = f->path ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", dir);
    }
    closedir(d);
    return rc;
}

int hub_list_walk(struct hub_list *l, const char *dir, const char *commit, struct err *e)
{
    int cap = 0;
    memset(l, 0, sizeof *l);
    int rc = walk(l, &cap, dir, "", HUB_DEPTH, e);
    if (rc < 0)
        hub_list_free(l);
    else {
        if (l->n)
            qsort(l->file, (size_t)l->n, sizeof *l->file, hub_by_path);
        snprintf(l->commit, sizeof l->commit, "%s", commit);
    }
    return rc;
}

/* ---- where a folder came from ---- */

/* DIR/.hub.json of apr-pull -o: {"schema":"pull/1","source":...,"commit":...,"files":[{"path","bytes","sha256"}]} */
static int from_record(const char *dir, char origin[512], struct hub_list *l, struct err *e)
{
    char path[PATH_MAX];
    struct err none = {0};
    cJSON *v;
    if (snprintf(path, sizeof path, "%s/%s", dir, HUB_RECORD) >= (int)sizeof path ||
        access(path, R_OK) || !(v = json_load(path, e)))
        return e->code ? e->code : ERR_NO;
    const char *source = json_get_str(v, "source", "", &none),
               *commit = json_get_str(v, "commit", "", &none);
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(v, "files"), *f;
    int rc = 0, n = cJSON_GetArraySize(files);
    memset(l, 0, sizeof *l);
    if (!hex_ok(commit, 40) || strncmp(source, HUB_SCHEME, sizeof HUB_SCHEME - 1) ||
        strlen(source) > 400 || n > HUB_FILES ||
        !(l->file = calloc((size_t)n + 1, sizeof *l->file)))
        rc = err_set(e, ERR_DATA, "%s: no record of apr-pull", path);
    for (f = rc ? NULL : files->child; f && rc == 0; f = f->next) {
        const char *name = json_get_str(f, "path", "", &none),
                   *oid = json_get_str(f, "oid", "", &none);
        struct hub_file *to = &l->file[l->n];
        const double size = json_get_num(f, "bytes", 0, &none);
        if (!hub_path_ok(name) || !(hex_ok(oid, 40) || hex_ok(oid, 64)))
            rc = err_set(e, ERR_DATA, "%s: file '%.100s': bad name or digest", path, name);
        else if (!(size >= 0 && size <= 0x1p53))
            rc = err_set(e, ERR_DATA, "%s: %s: size %g", path, name, size);
        else if (!(to->path = strdup(name)))
            rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        else {
            to->size = (uint64_t)size;
            snprintf(to->oid, sizeof to->oid, "%s", oid);
            l->n++;
        }
    }
    if (rc == 0) {
        memcpy(l->commit, commit, sizeof l->commit);
        size_t k = strcspn(source + sizeof HUB_SCHEME - 1, "@:") + sizeof HUB_SCHEME - 1;
        snprintf(origin, 512, "%.*s@%s", (int)k, source, commit);
        qsort(l->file, (size_t)l->n, sizeof *l->file, hub_by_path);
    } else {
        hub_list_free(l);
    }
    cJSON_Delete(v);
    return rc;
}

/* .../models--ORG--NAME/snapshots/COMMIT: the links name the digests. */
static int from_snapshot(char *dir, char origin[512], struct hub_list *l, struct err *e)
{
    char *commit = strrchr(dir, '/'), *mid, *repo, folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", dir);
    if (!commit || !hex_ok(commit + 1, 40))
        return ERR_NO;
    *commit++ = 0;
    if (!(mid = strrchr(dir, '/')) || strcmp(mid, "/snapshots"))
        return ERR_NO;
    *mid = 0;
    if (!(repo = strrchr(dir, '/')) || strncmp(repo, "/models--", 9))
        return ERR_NO;
    int k = snprintf(origin, 512, "%s", HUB_SCHEME);
    for (repo += 9; *repo && k < 400; repo++) {
        if (repo[0] == '-' && repo[1] == '-' && !strchr(origin + 5, '/')) {
            origin[k++] = '/';
            repo++;
        } else {
            origin[k++] = *repo;
        }
        origin[k] = 0;
    }
    snprintf(origin + k, (size_t)(512 - k), "@%s", commit);
    return hub_list_walk(l, folder, commit, e);
}

int hub_origin(const char *path, char origin[512], struct hub_list *l, struct err *e)
{
    char dir[PATH_MAX], given[PATH_MAX];
    struct stat st;
    memset(l, 0, sizeof *l);
    if (stat(path, &st) || snprintf(given, sizeof given, "%s", path) >= (int)sizeof given)
        return ERR_NO;
    if (!S_ISDIR(st.st_mode)) { /* its folder as it is named: the file itself is a link elsewhere */
        char *slash = strrchr(given, '/');
        if (slash)
            *slash = 0;
        else
            snprintf(given, sizeof given, ".");
    }
    if (!realpath(given, dir))
        return ERR_NO;
    int rc = from_record(dir, origin, l, e);
    return rc == ERR_NO ? from_snapshot(dir, origin, l, e) : rc;
}
