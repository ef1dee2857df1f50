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

/* Is the folder ours, and closed to writers other than us?  XDG_CACHE_HOME may be in a shared place, and what
 * others put there must not decide a verdict. */
static int own(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & (S_IWGRP | S_IWOTH) && chmod(path, st.st_mode & 0755) < 0))
        return -1;
    return access(path, W_OK);
}

static int make_parents(char *path)
{
    char *last = strrchr(path, '/');
    for (char *p = path + 1; (p = strchr(p, '/')); p++) {
        int rc;
        *p = 0;
        rc = mkdir(path, 0777) < 0 && errno != EEXIST ? -1 : p == last ? own(path) : 0;
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
