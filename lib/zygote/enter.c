/* enter - in a fresh child: namespaces, /tmp, user, limits, Landlock, seccomp */
#include "zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HIGH = 200 };           /* descriptors wait there while 0..5 are filled */
enum { CONTROL = 3, SAY = 6 }; /* the zygote's socket; where it is kept until the job has entered */

static int say = CONTROL;
static uint32_t in_slot;

/* Told on the zygote's socket, which no job ever holds: an exit status alone could be the program's own. */
static _Noreturn void fail(const char *what)
{
    struct jail_message m = {.event = JAIL_FAILED, .slot = in_slot};
    snprintf(m.text, sizeof m.text, "%.60s: %.60s", what, strerror(errno));
    if (send(say, &m, sizeof m, MSG_NOSIGNAL) < 0)
        _exit(JAIL_EXIT_ENTER);
    _exit(JAIL_EXIT_ENTER);
}

static void place_descriptors(const struct jail_request *r, const int *fd, int n_fd)
{
    static const struct {
        uint32_t bit;
        int at, also;
    } places[] = {{JAIL_FD_PAYLOAD, 4, -1},
                  {JAIL_FD_PEER, 3, -1},
                  {JAIL_FD_OUTPUT, 1, 2},
                  {JAIL_FD_REPORT, 5, -1},
                  {JAIL_FD_INPUT, 0, -1}};
    int high[JAIL_MAX_FDS], k = 0, used = 0;
    for (int i = 0; i < n_fd; i++)
        if ((high[i] = fcntl(fd[i], F_DUPFD, HIGH)) < 0)
            fail("descriptors");
    if (dup2(CONTROL, SAY) < 0)
        fail("descriptors");
    say = SAY;
    for (size_t i = 0; i < sizeof places / sizeof *places && k < n_fd; i++) {
        if (!(r->fds & places[i].bit))
            continue;
        if (dup2(high[k], places[i].at) < 0 ||
            (places[i].also >= 0 && dup2(high[k], places[i].also) < 0))
            fail("descriptors");
        used |= 1 << places[i].at | (places[i].also >= 0 ? 1 << places[i].also : 0);
        k++;
    }
    if (!(used & 2)) { /* the zygote's 1 and 2: /dev/null is 0 */
        if (dup2(0, 1) < 0 || dup2(0, 2) < 0)
            fail("descriptors");
        used |= 6;
    }
    for (int i = 3; i < 6; i++) /* nothing of the zygote's stays: its control socket was 3 */
        if (!(used >> i & 1))
            close(i);
    if (syscall(SYS_close_range, SAY + 1, ~0U, 0) < 0)
        for (int i = SAY + 1; i < 1024; i++)
            close(i);
}

static void limit(int what, rlim_t to)
{
    struct rlimit now, want = {to, to};
    if (getrlimit((__rlimit_resource_t)what, &now) == 0 && now.rlim_max < to)
        want.rlim_cur = want.rlim_max =
            now.rlim_max; /* lower already: a hard limit is never raised */
    if (setrlimit((__rlimit_resource_t)what, &want) < 0)
        fail("rlimit");
}

static void set_limits(const struct jail_request *r)
{
    limit(RLIMIT_CORE,
          1); /* less than any core, and of 0 a core_pattern with a pipe takes no notice: core(5) */
    if (r->cpu_s)
        limit(RLIMIT_CPU, r->cpu_s);
    if (r->memory_mib)
        limit(RLIMIT_AS, (rlim_t)r->memory_mib << 20);
    limit(RLIMIT_FSIZE, (rlim_t)r->file_mib << 20);
    limit(RLIMIT_NOFILE, r->files);
    limit(RLIMIT_NPROC, r->processes);
    limit(RLIMIT_MEMLOCK, 0);
    limit(RLIMIT_MSGQUEUE, 0);
    limit(RLIMIT_SIGPENDING, 64);
}

/* ---- Landlock: a second lock on files, beside the mount namespace and in place of it without one ---- */

static uint64_t all_of(int abi) /* access rights of files that this version knows */
{
    return abi < 2   ? (1u << 13) - 1
           : abi < 3 ? (1u << 14) - 1
           : abi < 5 ? (1u << 15) - 1
                     : (1u << 16) - 1;
}

void enter_landlock_init(struct enter *j)
{
    static const char *const read_only[] = {"/usr", "/lib",  "/lib32",  "/lib64",
                                            "/bin", "/sbin", "/sandbox"};
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                          "/dev/urandom"};
    const uint64_t read =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    j->abi = abi > 0 ? (int)abi : 0;
    for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
        int fd = open(read_only[i], O_PATH | O_CLOEXEC);
        if (fd >= 0)
            j->path[j->n_path++] = (struct landlock_path){fd, read};
    }
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        int fd = open(devices[i], O_PATH | O_CLOEXEC);
        if (fd >= 0)
            j->path[j->n_path++] = (struct landlock_path){fd, LANDLOCK_ACCESS_FS_READ_FILE |
                                                                  LANDLOCK_ACCESS_FS_WRITE_FILE};
    }
}

static void allow(int ruleset, int fd, uint64_t access)
{
    struct landlock_path_beneath_attr a = {.allowed_access = access, .parent_fd = fd};
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0) != 0)
        fail("landlock rule");
}

/* A ruleset with everything but the job's own /tmp, which has to wait for its mount. */
static int landlock_rules(const struct enter *j)
{
    /* handled: files; TCP bind and connect from 4 on; abstract sockets and signals to others from 6 on */
    uint64_t attr[3] = {all_of(j->abi), 3, 3};
    size_t size = j->abi < 4 ? 8 : j->abi < 6 ? 16 : 24;
    int fd = (int)syscall(SYS_landlock_create_ruleset, attr, size, 0);
    if (fd < 0)
        fail("landlock");
    for (int i = 0; i < j->n_path; i++)
        allow(fd, j->path[i].fd, j->path[i].access & attr[0]);
    return fd;
}

/* ---- */

static void join_cgroups(const struct enter *j, uint32_t slot)
{
    for (int i = 0; i < JAIL_CGROUPS; i++)
        if (j->cgroup[slot][i] >= 0 && write(j->cgroup[slot][i], "0", 1) != 1)
            fail("cgroup");
}

/* A pid namespace of a job holds no more processes than this: the least the kernel takes (Linux 6.14). */
static void cap_pids(const struct enter *j)
{
    int fd = openat(j->pid_max, "pid_max", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "301", 3) != 3)
        fail("pid_max");
    close(fd);
}

static void drop_rights(const struct enter *j, uint32_t slot)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    if (j->drop)
        prctl(PR_SET_SECUREBITS,
              SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                  SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED,
              0, 0, 0);
    if (j->uids) {
        unsigned user = j->uid_base + slot + 1;
        if (syscall(SYS_setresgid, user, user, user) < 0 ||
            syscall(SYS_setresuid, user, user, user) < 0)
            fail("user");
    } else if (j->own_userns &&
               unshare(CLONE_NEWUSER) < 0) { /* processes are counted by user and namespace */
        fail("user namespace");
    }
    if (j->drop && syscall(SYS_capset, &head, none) < 0)
        fail("capset");
}

void enter_jail(const struct enter *j, const struct jail_request *r, const int *fd, int n_fd)
{
    int rules = -1, tmp;
    char options[64];
    in_slot = r->slot;
    setsid();
    /* first where descriptors of the zygote are needed, then the job's own take their places */
    join_cgroups(j, r->slot);
    if (j->pid_max >= 0)
        cap_pids(j);
    if (j->abi)
        rules = landlock_rules(j);
    if (j->mntns && r->tmp_mib) {
        if (unshare(CLONE_NEWNS) < 0)
            fail("unshare");
        snprintf(options, sizeof options, "size=%um,nr_inodes=2048,mode=1777", r->tmp_mib);
        if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
            fail("/tmp");
        if (rules >= 0) {
            if ((tmp = open("/tmp", O_PATH | O_CLOEXEC)) < 0)
                fail("/tmp");
            allow(rules, tmp, all_of(j->abi));
        }
    }
    if (chdir(j->mntns ? "/tmp" : "/") < 0)
        fail("chdir");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail("no_new_privs");
    drop_rights(j, r->slot);
    if (rules >= 0 && syscall(SYS_landlock_restrict_self, rules, 0) != 0)
        fail("landlock");
    place_descriptors(r, fd, n_fd);
    set_limits(r);
    if (j->last.len && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &j->last, 0, 0) < 0)
        fail("seccomp");
    close(SAY);
}
