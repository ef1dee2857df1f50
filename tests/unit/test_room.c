/* test_room - memory that is left, by the system and by control groups of both versions, on trees of
 * plain files */
#include "room.h"
#include "tap.h"
#include <ftw.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64];

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

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void fresh(void)
{
    if (*top)
        nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
    snprintf(top, sizeof top, "/tmp/test_room.XXXXXX");
    if (!mkdtemp(top))
        printf("Bail out! %s\n", top), exit(1);
}

int main(void)
{
    struct rlimit was, now;
    fresh();
    ok(room_available(top) == SIZE_MAX, "nothing is known: no limit");
    put("proc/meminfo", "MemTotal: 100000 kB\nMemFree: 7 kB\nMemAvailable:   50000 kB\n");
    ok(room_available(top) == 50000u * 1024, "what the system calls available");
    put("sys/fs/cgroup/memory.max", "max\n");
    put("sys/fs/cgroup/memory.current", "1000\n");
    ok(room_available(top) == 50000u * 1024, "a group without limit");
    put("sys/fs/cgroup/memory.max", "2000000\n");
    put("sys/fs/cgroup/memory.current", "1500000\n");
    ok(room_available(top) == 500000, "version 2, the root that a container sees");
    put("sys/fs/cgroup/memory.stat",
        "anon 1\nfile 900000\nactive_file 100000\ninactive_file 50000\n");
    ok(room_available(top) == 650000, "page cache of files can go, shared memory cannot");
    put("proc/self/cgroup", "0::/a/b/c\n");
    put("sys/fs/cgroup/a/b/memory.max", "300000\n");
    put("sys/fs/cgroup/a/b/memory.current", "100000\n");
    put("sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("sys/fs/cgroup/a/b/c/memory.current", "100000\n");
    ok(room_available(top) == 200000, "the limit of a group above the own");
    put("sys/fs/cgroup/a/b/memory.current", "300001\n");
    ok(room_available(top) == 0, "more than its limit: nothing");

    fresh();
    put("proc/meminfo", "MemAvailable: 50000 kB\n");
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/jobs/7\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000000\n");
    ok(room_available(top) == 50000u * 1024, "version 1's word for no limit");
    put("sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "4000000\n");
    put("sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes", "3000000\n");
    put("sys/fs/cgroup/memory/jobs/7/memory.stat", "total_inactive_file 20\ntotal_active_file 3\n");
    ok(room_available(top) == 1000023, "version 1, the own group");
    put("sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "much\n");
    put("proc/self/cgroup", "::\n:\n\n4:memory\n4:memory:/jobs/7");
    ok(room_available(top) == 50000u * 1024, "damaged files say nothing");

    getrlimit(RLIMIT_AS, &was);
    now = was;
    now.rlim_cur = 3u << 20;
    put("proc/self/status", "Name: x\nVmSize:    2048 kB\n");
    setrlimit(RLIMIT_AS, &now);
    size_t room = room_available(top);
    setrlimit(RLIMIT_AS, &was);
    ok(room <= 1u << 20, "the limit on address space (%zu)", room);
    fresh();
    nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
    return done_testing();
}
