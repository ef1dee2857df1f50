/* plugin - find and open a backend's shared object: no toolkit is needed to build or run the rest */
#include "plugin.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A program without dlopen (statically linked) has the built-in devices only. */
#ifdef KN_NO_PLUGIN
const struct kn_ops *kn_plugin(const char *stem, char *why, size_t size)
{
    snprintf(why, size, "%s is no part of this build", stem);
    return NULL;
}

const char *kn_plugin_file(const struct kn_ops *ops)
{
    (void)ops;
    return "";
}
#else
/* Without its last part; 0 if there is none. */
static int up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return 0;
    *slash = 0;
    return 1;
}

/* DIR/bin/TOOL has DIR/lib/apr/STEM.so; so has DIR/tests/kernels/TEST. */
static int find(const char *stem, char *path, size_t size)
{
    char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n <= 0)
        return 0;
    dir[n] = 0;
    for (int i = 0; i < 3 && up(dir); i++)
        if (i > 0 && (size_t)snprintf(path, size, "%s/lib/apr/%s.so", dir, stem) < size &&
            access(path, F_OK) == 0)
            return 1;
    return 0;
}

const struct kn_ops *kn_plugin(const char *stem, char *why, size_t size)
{
    char path[PATH_MAX + 64], symbol[64];
    if (!find(stem, path, sizeof path)) {
        snprintf(why, size, "this build has no lib/apr/%s.so", stem);
        return NULL;
    }
    void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    snprintf(symbol, sizeof symbol, "kn_%s_ops", stem);
    const struct kn_ops *ops = so ? dlsym(so, symbol) : NULL;
    if (!ops) {
        const char *said = dlerror();
        snprintf(why, size, "%s", said ? said : path);
    }
    return ops;
}

const char *kn_plugin_file(const struct kn_ops *ops)
{
    Dl_info i;
    return dladdr(ops, &i) && i.dli_fname ? i.dli_fname : "";
}
#endif
