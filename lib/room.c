/* room - memory that is still to be had: the system's, the process's and its control groups' word */
#include "room.h"
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* A number from a line "key N" of a file, or from a file that is one number; SIZE_MAX if there is none
 * ("max" is none). */
static size_t number_in(const char *path, const char *key)
{
    char line[256];
    size_t found = SIZE_MAX, n = key ? strlen(key) : 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return found;
    while (found == SIZE_MAX && fgets(line, sizeof line, f)) {
        uint64_t v;
        if ((!key || (strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == ':'))) &&
            sscanf(line + n + (key ? 1 : 0), " %" SCNu64, &v) == 1)
            found = v < SIZE_MAX ? (size_t)v : SIZE_MAX;
    }
    fclose(f);
    return found;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct version {
    const char *base, *limit, *used, *cache[2];
};
static const struct version v1 = {"/sys/fs/cgroup/memory",
                                  "memory.limit_in_bytes",
                                  "memory.usage_in_bytes",
                                  {"total_inactive_file", "total_active_file"}},
                            v2 = {"/sys/fs/cgroup",
                                  "memory.max",
                                  "memory.current",
                                  {"inactive_file", "active_file"}};

/* What one group leaves: its page cache can go before the limit bites. */
static size_t room_of_group(const char *dir, const struct version *v)
{
    char path[1200];
    size_t used, limit;
    snprintf(path, sizeof path, "%s/%s", dir, v->limit);
    if ((limit = number_in(path, NULL)) > SIZE_MAX / 4) /* version 1's word for none is 2^63 */
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s/%s", dir, v->used);
    if ((used = number_in(path, NULL)) == SIZE_MAX)
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", dir);
    for (int i = 0; i < 2; i++) {
        size_t cache = number_in(path, v->cache[i]);
        if (cache != SIZE_MAX)
            used -= least(cache, used);
    }
    return limit - least(used, limit);
}

/* The least that a group and those above it leave.  Where only a part of the tree is mounted
 * (containers), the upper part of `own` names nothing, and its groups are silent. */
static size_t room_of_groups(const char *root, const char *own, const struct version *v)
{
    char dir[1024];
    size_t room = SIZE_MAX, base = strlen(root) + strlen(v->base);
    int n = snprintf(dir, sizeof dir, "%s%s%s", root, v->base, own);
    if (n < 0 || (size_t)n >= sizeof dir)
        return room;
    for (;;) {
        room = least(room, room_of_group(dir, v));
        char *slash = strrchr(dir + base, '/');
        if (!slash)
            return room;
        *slash = 0;
    }
}

static int has_memory(const char *list)
{
    const char *p = strstr(list, "memory");
    return p && (p == list || p[-1] == ',') && (p[6] == 0 || p[6] == ',');
}

static size_t room_of_cgroups(const char *root)
{
    char path[512], line[1024];
    size_t room = least(room_of_groups(root, "", &v2), room_of_groups(root, "", &v1));
    snprintf(path, sizeof path, "%.400s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return room;
    while (fgets(line, sizeof line, f)) { /* 0::/path, or 4:memory:/path */
        char *list = strchr(line, ':'), *own = list ? strchr(list + 1, ':') : NULL;
        if (!own)
            continue;
        *own++ = 0;
        own[strcspn(own, "\n")] = 0;
        if (list[1] == 0)
            room = least(room, room_of_groups(root, own, &v2));
        else if (has_memory(list + 1))
            room = least(room, room_of_groups(root, own, &v1));
    }
    fclose(f);
    return room;
}

static size_t kilobytes(size_t n)
{
    return n > SIZE_MAX / 1024 ? SIZE_MAX : n * 1024;
}

size_t room_available(const char *root)
{
    char path[512];
    struct rlimit as;
    snprintf(path, sizeof path, "%.400s/proc/meminfo", root);
    size_t room = kilobytes(number_in(path, "MemAvailable"));
    if (getrlimit(RLIMIT_AS, &as) == 0 && as.rlim_cur != RLIM_INFINITY) {
        snprintf(path, sizeof path, "%.400s/proc/self/status", root);
        size_t used = kilobytes(number_in(path, "VmSize"));
        room = least(room, (size_t)as.rlim_cur - least(used, (size_t)as.rlim_cur));
    }
    return least(room, room_of_cgroups(root));
}
