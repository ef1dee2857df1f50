/* paths - find the project's own configs and data relative to the executable */
#include "paths.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
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
