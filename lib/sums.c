/* sums - sha256 of files and folders, remembered by size, time and inode */
#include "sums.h"
#include "hash.h"
#include "outfile.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sums_line {
    char hex[65];
    long long size, mtime, inode;
    char *path;
};

static long long mtime_of(const struct stat *st)
{
    return (long long)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int add(struct sums *s, const struct sums_line *l, struct err *e)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].path, l->path) == 0) {
            char *path = s->v[i].path;
            s->v[i] = *l;
            s->v[i].path = path;
            return 0;
        }
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 16;
        struct sums_line *v = realloc(s->v, (size_t)cap * sizeof *v);
        if (!v)
            return err_set(e, ERR_NOMEM, "out of memory");
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n] = *l;
    if (!(s->v[s->n].path = strdup(l->path)))
        return err_set(e, ERR_NOMEM, "out of memory");
    s->n++;
    return 0;
}

int sums_load(struct sums *s, const char *path, struct err *e)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rc = 0;
    memset(s, 0, sizeof *s);
    FILE *f = fopen(path, "rb");
    if (!f)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_errno(e, ERR_NOINPUT, "%s", path);
    while (rc == 0 && (n = getline(&line, &cap, f)) > 0) {
        struct sums_line l = {0};
        int at = 0;
        if (line[n - 1] != '\n')
            break;
        line[n - 1] = 0;
        if (sscanf(line, "%64[0-9a-f] %lld %lld %lld %n", l.hex, &l.size, &l.mtime, &l.inode, &at) <
                4 ||
            !at || !line[at] || strlen(l.hex) != 64)
            continue;
        l.path = line + at;
        rc = add(s, &l, e);
    }
    free(line);
    fclose(f);
    return rc;
}

static int file_digest(struct sums *s, const char *path, const struct stat *st, char hex[65],
                       struct err *e)
{
    struct sums_line l = {
        .size = st->st_size, .mtime = mtime_of(st), .inode = (long long)st->st_ino};
    int rc;
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->v[i].path, path) == 0 && s->v[i].size == l.size && s->v[i].mtime == l.mtime &&
            s->v[i].inode == l.inode) {
            memcpy(hex, s->v[i].hex, 65);
            return 0;
        }
    if ((rc = hash_sha256_file(path, hex, e)) < 0)
        return rc;
    memcpy(l.hex, hex, 65);
    char *copy = strdup(path);
    if (!copy)
        return err_set(e, ERR_NOMEM, "out of memory");
    l.path = copy;
    rc = add(s, &l, e);
    free(copy);
    s->fresh = 1;
    return rc;
}

static int visible(const struct dirent *en)
{
    return en->d_name[0] != '.';
}

int sums_digest(struct sums *s, const char *path, char hex[65], struct err *e)
{
    struct hash_sha256 h;
    struct dirent **list = NULL;
    struct stat st;
    char full[PATH_MAX], one[65];
    int rc = 0;
    if (stat(path, &st))
        return err_errno(e, ERR_NOINPUT, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return file_digest(s, path, &st, hex, e);
    int n = scandir(path, &list, visible, alphasort);
    if (n < 0)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    if (hash_sha256_init(&h) < 0)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) {
        if (rc == 0 &&
            (size_t)snprintf(full, sizeof full, "%s/%s", path, list[i]->d_name) < sizeof full &&
            stat(full, &st) == 0 && S_ISREG(st.st_mode)) {
            if ((rc = file_digest(s, full, &st, one, e)) == 0) {
                hash_sha256_add(&h, list[i]->d_name, strlen(list[i]->d_name) + 1);
                hash_sha256_add(&h, one, 65);
            }
        }
        free(list[i]);
    }
    free(list);
    if (rc != ERR_NOMEM)
        hash_sha256_hex(&h, rc == 0 ? hex : one);
    return rc;
}

int sums_save(struct sums *s, const char *path, struct err *e)
{
    struct outfile o;
    int rc;
    if (!s->fresh)
        return 0;
    if ((rc = outfile_open(&o, path, e)) < 0)
        return rc;
    for (int i = 0; i < s->n; i++)
        fprintf(o.f, "%s %lld %lld %lld %s\n", s->v[i].hex, s->v[i].size, s->v[i].mtime,
                s->v[i].inode, s->v[i].path);
    return outfile_commit(&o, e);
}

void sums_free(struct sums *s)
{
    for (int i = 0; i < s->n; i++)
        free(s->v[i].path);
    free(s->v);
    memset(s, 0, sizeof *s);
}
