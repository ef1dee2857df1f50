/* cache - where things that can be computed again are kept */
#define _XOPEN_SOURCE 700
#include "cache.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_parents(char *path)
{
    char *last = strrchr(path, '/');
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        int rc;
        *p = 0;
        rc = mkdir(path, 0777) < 0 && errno != EEXIST ? -1 : p == last ? access(path, W_OK) : 0;
        *p = '/';
        if (rc < 0)
            return -1;
    }
    return 0;
}

int cache_path(const char *name, char *path, size_t size)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = xdg && *xdg == '/' ? snprintf(path, size, "%s/apr/%s", xdg, name)
                               : snprintf(path, size, "%s/.cache/apr/%s", home ? home : "", name);
    return n > 0 && (size_t)n < size ? 0 : -1;
}

int cache_dir(const char *name, char *path, size_t size)
{
    if (cache_path(name, path, size) == 0 && *path == '/' && make_parents(path) == 0)
        return 0;
    *path = 0;
    return -1;
}

void cache_temporary(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, size, "%.400s/apr-cache.XXXXXX", tmp && *tmp ? tmp : "/tmp");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path), 0;
}

void cache_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
