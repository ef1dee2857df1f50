/* paths - find the project's own configs and data relative to the executable */
#include "paths.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *paths_root(void)
{
    static char root[PATH_MAX];
    char dir[PATH_MAX], probe[PATH_MAX + 32];
    ssize_t n;
    if (root[0])
        return root;
    n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n <= 0)
        return NULL;
    dir[n] = 0;
    for (int up = 0; up < 6; up++) {
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            break;
        *slash = 0;
        snprintf(probe, sizeof probe, "%s/configs/bench", dir);
        if (access(probe, F_OK) == 0) {
            memcpy(root, dir, sizeof dir);
            return root;
        }
        snprintf(probe, sizeof probe, "%s/share/apr/configs/bench", dir);
        if (access(probe, F_OK) == 0) {
            snprintf(root, sizeof root, "%.4000s/share/apr", dir);
            return root;
        }
    }
    return NULL;
}

int paths_find(const char *name, char *out, size_t size, struct err *e)
{
    const char *root;
    if (access(name, F_OK) == 0 || name[0] == '/') {
        if ((size_t)snprintf(out, size, "%s", name) >= size)
            return err_set(e, ERR_NOINPUT, "%s: path too long", name);
        return access(out, F_OK) ? err_set(e, ERR_NOINPUT, "%s: no such file", name) : 0;
    }
    root = paths_root();
    if (!root)
        return err_set(e, ERR_NOINPUT, "%s: no such file", name);
    if ((size_t)snprintf(out, size, "%s/%s", root, name) >= size)
        return err_set(e, ERR_NOINPUT, "%s: path too long", name);
    if (access(out, F_OK))
        return err_set(e, ERR_NOINPUT, "%s: no such file, here or in %s", name, root);
    return 0;
}

int paths_beside(const char *name, char *out, size_t size, struct err *e)
{
    char dir[PATH_MAX], *slash;
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    dir[n > 0 ? n : 0] = 0;
    for (int up = 0; up < 6 && (slash = strrchr(dir, '/')) && slash != dir; up++) {
        *slash = 0;
        if ((size_t)snprintf(out, size, "%s/%s", dir, name) < size && access(out, F_OK) == 0)
            return 0;
    }
    return err_set(e, ERR_NOINPUT, "%s: not found in the folders above the program", name);
}

/* Where a file is or will be: its folder's real path and its name. */
static int place(const char *path, char *out, size_t size)
{
    char copy[PATH_MAX], folder[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if ((size_t)snprintf(copy, sizeof copy, "%.*s", slash ? (int)(slash - path) + 1 : 1,
                         slash ? path : ".") >= sizeof copy ||
        !realpath(copy, folder))
        return 0;
    return (size_t)snprintf(out, size, "%s/%s", folder, name) < size;
}

int paths_same(const char *a, const char *b)
{
    char x[2 * PATH_MAX], y[2 * PATH_MAX];
    struct stat s, t;
    if (!strcmp(a, b))
        return *a != 0;
    if (!*a || !*b || !strcmp(a, "-") || !strcmp(b, "-"))
        return 0;
    if (stat(a, &s) == 0 && stat(b, &t) == 0)
        return s.st_dev == t.st_dev && s.st_ino == t.st_ino;
    return place(a, x, sizeof x) && place(b, y, sizeof y) && !strcmp(x, y);
}
