/* cgroup - find the hierarchies, make a group for each slot, set limits, read counters */
#include "cgroup.h"
#include "jail.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMORY, PIDS, CPU };
static const char prefix[] = "apr-sandbox.";
static const char *const v1_name[JAIL_CGROUPS] = {"memory", "pids", "cpuacct"};
static const unsigned bit_of[JAIL_CGROUPS] = {JAIL_CG_MEMORY, JAIL_CG_PIDS, JAIL_CG_CPU};

static int put(const char *dir, const char *file, const char *text)
{
    char path[768];
    int fd, ok;
    snprintf(path, sizeof path, "%.600s/%s", dir, file);
    if ((fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        return -1;
    ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok ? 0 : -1;
}

static int get(const char *dir, const char *file) /* open for reading, or -1 */
{
    char path[768];
    snprintf(path, sizeof path, "%.600s/%s", dir, file);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* ---- where this process is ---- */

static int has_word(const char *list, const char *word) /* in "rw,memory,pids" */
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ',') && (p[n] == 0 || p[n] == ',' || p[n] == '\n'))
            return 1;
    return 0;
}

/* The path of this process in the hierarchy of a controller (NULL: version 2's) by PROC/cgroup. */
static int own_path(const char *proc, const char *controller, char *out, size_t size)
{
    char file[256], line[1024];
    int found = 0;
    FILE *f;
    snprintf(file, sizeof file, "%.200s/cgroup", proc);
    if (!(f = fopen(file, "re")))
        return 0;
    while (!found && fgets(line, sizeof line, f)) { /* 4:memory:/path */
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        path[strcspn(path, "\n")] = 0;
        found = controller ? has_word(list + 1, controller) : list[1] == 0;
        if (found)
            snprintf(out, size, "%s", path);
    }
    fclose(f);
    return found;
}

/* The folder of this process's group: mount point and path below it, by PROC/mountinfo. */
static int own_dir(const char *proc, const char *controller, char *out, size_t size)
{
    char file[256], line[2048], own[512], root[512], point[512], type[32], options[512];
    int found = 0;
    FILE *f;
    if (!own_path(proc, controller, own, sizeof own))
        return 0;
    snprintf(file, sizeof file, "%.200s/mountinfo", proc);
    if (!(f = fopen(file, "re")))
        return 0;
    while (!found && fgets(line, sizeof line, f)) {
        const char *dash = strstr(line, " - "), *below = own;
        size_t n;
        if (!dash || sscanf(line, "%*s %*s %*s %511s %511s", root, point) != 2 ||
            sscanf(dash, " - %31s %*s %511s", type, options) != 2 ||
            strcmp(type, controller ? "cgroup" : "cgroup2") ||
            (controller && !has_word(options, controller)))
            continue;
        n = strcmp(root, "/") ? strlen(root)
                              : 0; /* what is mounted may be a part only (containers) */
        if (n && !strncmp(own, root, n))
            below = own + n;
        found = snprintf(out, size, "%s%s", point, strcmp(below, "/") ? below : "") < (int)size;
    }
    fclose(f);
    return found;
}

/* ---- making and removing ---- */

static void remove_tree(const char *dir) /* a group of ours: slots first; empty ones only can go */
{
    char path[768];
    struct dirent *d;
    DIR *list = opendir(dir);
    while (list && (d = readdir(list)))
        if (!strncmp(d->d_name, "slot", 4)) {
            snprintf(path, sizeof path, "%.400s/%.64s", dir, d->d_name);
            rmdir(path);
        }
    if (list)
        closedir(list);
    rmdir(dir);
}

static void remove_stale(const char *parent) /* what a killed process of ours could not remove */
{
    char path[768];
    struct dirent *d;
    DIR *list = opendir(parent);
    while (list && (d = readdir(list))) {
        long pid = strncmp(d->d_name, prefix, sizeof prefix - 1)
                       ? 0
                       : strtol(d->d_name + sizeof prefix - 1, NULL, 10);
        if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH) {
            snprintf(path, sizeof path, "%.400s/%.64s", parent, d->d_name);
            remove_tree(path);
        }
    }
    if (list)
        closedir(list);
}

/* PARENT/apr-sandbox.PID with a folder for each slot. */
static int make_groups(char dir[512], const char *parent, int n_slot)
{
    char path[600];
    remove_stale(parent);
    if (snprintf(dir, 512, "%s/%s%ld", parent, prefix, (long)getpid()) >= 512 ||
        (mkdir(dir, 0755) < 0 && errno != EEXIST)) {
        dir[0] = 0;
        return -1;
    }
    for (int i = 0; i < n_slot; i++) {
        snprintf(path, sizeof path, "%s/slot%d", dir, i);
        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
            remove_tree(dir);
            dir[0] = 0;
            return -1;
        }
    }
    return 0;
}

static int lists_only_us(const char *dir) /* cgroup.procs */
{
    char text[64];
    int fd = get(dir, "cgroup.procs");
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    return strtol(text, NULL, 10) == (long)getpid() && strchr(text, '\n') == text + n - 1;
}

/* Version 2 gives controllers to the children of a group without processes only (but for the root): if we are
 * alone in ours we move into a leaf. */
static int open_v2(struct cgroup *g, unsigned allow, const char *proc)
{
    const unsigned bits = JAIL_CG_MEMORY | JAIL_CG_PIDS | JAIL_CG_CPU;
    char own[512], path[600];
    if (!(allow & bits) || !own_dir(proc, NULL, own, sizeof own - 64))
        return 0;
    if (put(own, "cgroup.subtree_control", "+memory +pids") < 0) {
        if (errno != EBUSY || !lists_only_us(own))
            return 0;
        snprintf(g->leaf, sizeof g->leaf, "%.440s/apr-supervisor", own);
        if ((mkdir(g->leaf, 0755) < 0 && errno != EEXIST) ||
            put(g->leaf, "cgroup.procs", "0") < 0 ||
            put(own, "cgroup.subtree_control", "+memory +pids") < 0)
            return 0;
    }
    if (make_groups(g->dir[0], own, g->n_slot) < 0)
        return 0;
    if (put(g->dir[0], "cgroup.subtree_control", "+memory +pids") < 0) {
        remove_tree(g->dir[0]);
        g->dir[0][0] = 0;
        return 0;
    }
    for (int i = 0; i < g->n_slot; i++) {
        snprintf(path, sizeof path, "%s/slot%d", g->dir[0], i);
        g->slot[i].oom = get(path, "memory.events");
        g->slot[i].cpu = get(path, "cpu.stat");
    }
    g->version = 2;
    g->held = allow & bits;
    return 1;
}

static void open_v1(struct cgroup *g, unsigned allow, const char *proc)
{
    char own[512], path[600];
    for (int k = 0; k < JAIL_CGROUPS; k++) {
        if (!(allow & bit_of[k]) || !own_dir(proc, v1_name[k], own, sizeof own - 64) ||
            make_groups(g->dir[k], own, g->n_slot) < 0)
            continue;
        g->held |= bit_of[k];
        g->version = 1;
        for (int i = 0; i < g->n_slot; i++) {
            snprintf(path, sizeof path, "%s/slot%d", g->dir[k], i);
            if (k == MEMORY)
                g->slot[i].oom = get(path, "memory.oom_control");
            else if (k == CPU)
                g->slot[i].cpu = get(path, "cpuacct.usage");
        }
    }
}

void cgroup_open(struct cgroup *g, int n_slot, unsigned allow, const char *proc)
{
    memset(g, 0, sizeof *g);
    g->n_slot = n_slot;
    for (int i = 0; i < JAIL_SLOTS; i++)
        g->slot[i].oom = g->slot[i].cpu = -1;
    if (!open_v2(g, allow, proc))
        open_v1(g, allow, proc);
}

void cgroup_close(struct cgroup *g)
{
    for (int i = 0; i < g->n_slot; i++) {
        if (g->slot[i].oom >= 0)
            close(g->slot[i].oom);
        if (g->slot[i].cpu >= 0)
            close(g->slot[i].cpu);
    }
    for (int k = 0; k < JAIL_CGROUPS; k++)
        if (g->dir[k][0])
            remove_tree(g->dir[k]);
    memset(g, 0, sizeof *g);
}

int cgroup_procs(const struct cgroup *g, int slot, int fd[JAIL_CGROUPS])
{
    char path[600];
    int n = 0;
    for (int k = 0; k < JAIL_CGROUPS; k++) {
        if (!g->dir[k][0])
            continue;
        snprintf(path, sizeof path, "%s/slot%d/cgroup.procs", g->dir[k], slot);
        if ((fd[n] = open(path, O_WRONLY | O_CLOEXEC)) >= 0)
            n++;
    }
    return n;
}

/* ---- limits and counters ---- */

int cgroup_limit(struct cgroup *g, int slot, long memory_mib, long processes, struct err *e)
{
    struct cgroup_slot *s = &g->slot[slot];
    char dir[600], text[32];
    int rc = 0;
    if (g->held & (JAIL_CG_MEMORY) && s->memory_mib != memory_mib) {
        snprintf(dir, sizeof dir, "%s/slot%d", g->dir[MEMORY], slot);
        snprintf(text, sizeof text, "%lld", (long long)memory_mib << 20);
        rc = put(dir, g->version == 2 ? "memory.max" : "memory.limit_in_bytes", text);
        if (g->version == 2)
            put(dir, "memory.swap.max", "0"); /* absent without swap */
        s->memory_mib = memory_mib;
    }
    if (rc == 0 && g->held & (JAIL_CG_PIDS) && s->processes != processes) {
        snprintf(dir, sizeof dir, "%s/slot%d", g->dir[g->version == 2 ? 0 : PIDS], slot);
        snprintf(text, sizeof text, "%ld", processes);
        rc = put(dir, "pids.max", text);
        s->processes = processes;
    }
    return rc < 0 ? err_errno(e, ERR_OS, "sandbox: %s", dir) : 0;
}

/* A number behind a word at the beginning of a line of an open file; without word the whole file. */
static double counter(int fd, const char *word)
{
    char text[512], *p = text;
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = 0;
    for (; word && p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (!strncmp(p, word, strlen(word))) {
            p += strlen(word);
            break;
        }
    return p ? strtod(p, NULL) : 0;
}

long cgroup_oom_kills(const struct cgroup *g, int slot)
{
    return (long)counter(g->slot[slot].oom, "oom_kill ");
}

double cgroup_cpu(const struct cgroup *g, int slot)
{
    return g->version == 2 ? 1e-6 * counter(g->slot[slot].cpu, "usage_usec ")
                           : 1e-9 * counter(g->slot[slot].cpu, NULL);
}
