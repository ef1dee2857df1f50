/* test_cgroup - where groups are made and what is written, on trees of plain files in both versions' shape */
#include "cgroup.h"
#include "jail.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[256];

static void put(const char *path, const char *text)
{
    char full[512];
    FILE *f;
    snprintf(full, sizeof full, "%s/%s", top, path);
    for (char *p = full + strlen(top) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0755);
        *p = '/';
    }
    if (!(f = fopen(full, "w")))
        printf("Bail out! %s\n", full), exit(1);
    fputs(text, f);
    fclose(f);
}

static const char *get(const char *path)
{
    static char text[512];
    char full[512];
    FILE *f;
    size_t n = 0;
    snprintf(full, sizeof full, "%s/%s", top, path);
    if ((f = fopen(full, "r"))) {
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    text[n] = 0;
    return text;
}

/* What a real hierarchy would have made inside slot 0 and 1 of ours. */
static void populate(const char *under, const char *const *file)
{
    char path[400];
    for (int i = 0; i < 2; i++)
        for (int k = 0; file[k]; k++) {
            snprintf(path, sizeof path, "%s/apr-sandbox.%ld/slot%d/%s", under, (long)getpid(), i,
                     file[k]);
            put(path, "");
        }
}

static const char *ours(const char *under, const char *rest)
{
    static char path[2][400];
    static int which;
    which ^= 1;
    snprintf(path[which], sizeof path[which], "%s/apr-sandbox.%ld/%s", under, (long)getpid(), rest);
    return path[which];
}

static void version_1(void)
{
    static const char *const memory[] = {"memory.limit_in_bytes", "cgroup.procs",
                                         "memory.oom_control", NULL};
    static const char *const pids[] = {"pids.max", "cgroup.procs", NULL};
    static const char *const cpu[] = {"cpuacct.usage", "cgroup.procs", NULL};
    struct cgroup g;
    struct err e = {0};
    char proc[300], text[1500];
    int fd[JAIL_CGROUPS], n;
    put("1/proc/cgroup",
        "9:name=systemd:/\n8:pids:/\n4:memory:/part/deep\n2:cpu,cpuacct:/c\n0::/\n");
    snprintf(text, sizeof text,
             "32 31 0:29 / %s/1/m rw - cgroup cgroup rw,memory\n33 31 0:30 / %s/1/p rw - cgroup "
             "cgroup rw,pids\n"
             "34 31 0:31 /c %s/1/c rw - cgroup cgroup rw,cpu,cpuacct\n41 31 0:38 / %s/1/u rw - "
             "cgroup2 cgroup2 rw\n",
             top, top, top, top);
    put("1/proc/mountinfo", text);
    put("1/m/part/deep/cgroup.procs", "");
    put("1/p/cgroup.procs", "");
    put("1/c/cgroup.procs", "");
    put("1/p/apr-sandbox.999999999/slot0/x",
        ""); /* of a process that is gone; not empty, so it stays: no harm */
    populate("1/m/part/deep", memory);
    populate("1/p", pids);
    populate("1/c", cpu);
    put(ours("1/m/part/deep", "slot0/memory.oom_control"),
        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    put(ours("1/c", "slot0/cpuacct.usage"), "2500000000\n");
    snprintf(proc, sizeof proc, "%s/1/proc", top);
    cgroup_open(&g, 2, JAIL_ALL, proc);
    ok(g.version == 1 && g.held == (JAIL_CG_MEMORY | JAIL_CG_PIDS | JAIL_CG_CPU),
       "version 1: three hierarchies, one with a path that its mount begins with");
    ok(cgroup_limit(&g, 0, 100, 7, &e) == 0 &&
           !strcmp(get(ours("1/m/part/deep", "slot0/memory.limit_in_bytes")), "104857600") &&
           !strcmp(get(ours("1/p", "slot0/pids.max")), "7"),
       "limits are written");
    put(ours("1/p", "slot0/pids.max"), "-");
    ok(cgroup_limit(&g, 0, 100, 7, &e) == 0 && !strcmp(get(ours("1/p", "slot0/pids.max")), "-"),
       "and only when they change");
    ok(cgroup_oom_kills(&g, 0) == 3 && cgroup_cpu(&g, 0) == 2.5 && cgroup_oom_kills(&g, 1) == 0,
       "counters");
    n = cgroup_procs(&g, 1, fd);
    ok(n == 3, "a slot has three cgroup.procs");
    for (int i = 0; i < n; i++)
        close(fd[i]);
    cgroup_close(&g);
    cgroup_open(&g, 2, JAIL_CG_PIDS, proc);
    ok(g.held == JAIL_CG_PIDS && cgroup_procs(&g, 0, fd) == 1, "only what is allowed");
    close(fd[0]);
    cgroup_close(&g);
}

static void version_2(void)
{
    static const char *const slot[] = {
        "memory.max",    "memory.swap.max", "pids.max", "cgroup.procs",
        "memory.events", "cpu.stat",        NULL};
    struct cgroup g;
    struct err e = {0};
    char proc[300], text[600];
    put("2/proc/cgroup", "0::/user/me\n");
    snprintf(text, sizeof text, "41 31 0:38 / %s/2/u rw - cgroup2 cgroup2 rw\n", top);
    put("2/proc/mountinfo", text);
    put("2/u/user/me/cgroup.subtree_control", "");
    put(ours("2/u/user/me", "cgroup.subtree_control"), "");
    populate("2/u/user/me", slot);
    put(ours("2/u/user/me", "slot1/memory.events"),
        "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n");
    put(ours("2/u/user/me", "slot1/cpu.stat"), "usage_usec 1500000\nuser_usec 1\n");
    snprintf(proc, sizeof proc, "%s/2/proc", top);
    cgroup_open(&g, 2, JAIL_ALL, proc);
    ok(g.version == 2 && g.held == (JAIL_CG_MEMORY | JAIL_CG_PIDS | JAIL_CG_CPU),
       "version 2: one group for all");
    ok(!strcmp(get("2/u/user/me/cgroup.subtree_control"), "+memory +pids"),
       "controllers are passed on");
    ok(cgroup_limit(&g, 1, 64, 5, &e) == 0 &&
           !strcmp(get(ours("2/u/user/me", "slot1/memory.max")), "67108864") &&
           !strcmp(get(ours("2/u/user/me", "slot1/memory.swap.max")), "0") &&
           !strcmp(get(ours("2/u/user/me", "slot1/pids.max")), "5"),
       "limits, and no way out into swap");
    ok(cgroup_oom_kills(&g, 1) == 1 && cgroup_cpu(&g, 1) == 1.5, "counters");
    cgroup_close(&g);
    put("3/proc/cgroup", "0::/user/me\n");
    put("3/proc/mountinfo", "");
    snprintf(proc, sizeof proc, "%s/3/proc", top);
    cgroup_open(&g, 2, JAIL_ALL, proc);
    ok(g.version == 0 && g.held == 0 && cgroup_limit(&g, 0, 64, 5, &e) == 0 &&
           cgroup_cpu(&g, 0) == 0,
       "a host without groups: nothing is held, nothing fails");
    cgroup_close(&g);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char command[400];
    snprintf(top, sizeof top, "%.200s/test_cgroup.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(top))
        printf("Bail out! %s\n", top), exit(1);
    version_1();
    version_2();
    snprintf(command, sizeof command, "rm -rf '%s'", top);
    ok(system(command) == 0, "clean");
    return done_testing();
}
