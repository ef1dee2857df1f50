/* jail_filter - the system calls that a sandboxed program may not make
 *
 * Two programs: the first is loaded by the zygote once and inherited by every job; the second holds what a
 * zygote must still do (namespaces, mounts, users) and each job loads it when it has entered its jail.  Loading
 * is what costs, so the second one is small. */
#include "jail.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Calls that only an escape needs: the process is killed and the verdict is "forbidden". */
static const char *const killed_first[] = {
    // clang-format off
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "move_mount",
    "open_tree", "fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr", "bpf", "perf_event_open",
    "userfaultfd", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "open_by_handle_at", "name_to_handle_at", "keyctl", "add_key", "request_key", "swapon", "swapoff", "reboot",
    "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "adjtimex", "sethostname",
    "setdomainname", "acct", "quotactl", "quotactl_fd", "iopl", "ioperm", "mknod", "mknodat", "syslog",
    "lookup_dcookie", "nfsservctl", "vhangup", "move_pages", "migrate_pages", "modify_ldt", "uselib", "ustat",
    "sysfs", "_sysctl", "vm86", "vm86old", "fanotify_init", "fanotify_mark", NULL
    // clang-format on
};
static const char *const killed_last[] = {"mount",  "umount", "umount2", "pivot_root",
                                          "chroot", "setns",  "unshare", NULL};
/* Calls that honest code may try: it sees an error. clone3 because its flags cannot be seen here;
 * libc falls back to clone. */
struct denial {
    const char *name;
    int error;
};
static const struct denial denied_first[] = {
    // clang-format off
    {"socket", EPERM}, {"socketcall", EPERM}, {"io_uring_setup", ENOSYS}, {"io_uring_enter", ENOSYS},
    {"io_uring_register", ENOSYS}, {"clone3", ENOSYS}, {"memfd_create", ENOSYS}, {"memfd_secret", ENOSYS},
    {"shmget", EPERM}, {"shmat", EPERM}, {"shmctl", EPERM}, {"semget", EPERM}, {"semop", EPERM},
    {"semctl", EPERM}, {"semtimedop", EPERM}, {"msgget", EPERM}, {"msgsnd", EPERM}, {"msgrcv", EPERM},
    {"msgctl", EPERM}, {"mq_open", EPERM}, {"mq_unlink", EPERM}, {"inotify_init", EPERM},
    {"inotify_init1", EPERM}, {"inotify_add_watch", EPERM}, {"mlock", EPERM}, {"mlock2", EPERM},
    {"mlockall", EPERM}, {"sched_setscheduler", EPERM}, {"sched_setparam", EPERM}, {"sched_setattr", EPERM},
    {"sched_setaffinity", EPERM}, {"setpriority", EPERM}, {"ioprio_set", EPERM}, {"mbind", EPERM},
    {"set_mempolicy", EPERM}, {"setxattr", EPERM}, {"lsetxattr", EPERM}, {"fsetxattr", EPERM},
    {"bind", EPERM}, {"connect", EPERM}, {"listen", EPERM}, {NULL, 0}
    // clang-format on
};
static const struct denial denied_last[] = {
    // clang-format off
    {"setuid", EPERM}, {"setgid", EPERM}, {"setreuid", EPERM}, {"setregid", EPERM}, {"setresuid", EPERM},
    {"setresgid", EPERM}, {"setgroups", EPERM}, {"setfsuid", EPERM}, {"setfsgid", EPERM}, {"capset", EPERM},
    {NULL, 0}
    // clang-format on
};

static int by_name(scmp_filter_ctx c, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name), rc;
    if (nr == __NR_SCMP_ERROR)
        return 0; /* older than this libseccomp: not on this machine either */
    rc = seccomp_rule_add(c, action, nr, 0);
    return rc == -EDOM || rc == -EOPNOTSUPP ? 0 : rc; /* not a call of this architecture */
}

static int by_table(scmp_filter_ctx c, const char *const *killed, const struct denial *denied)
{
    int rc = 0;
    for (; *killed && rc == 0; killed++)
        rc = by_name(c, SCMP_ACT_KILL_PROCESS, *killed);
    for (; denied->name && rc == 0; denied++)
        rc = by_name(c, SCMP_ACT_ERRNO((uint32_t)denied->error), denied->name);
    return rc;
}

/* One call by the value of an int argument, in all of these values. */
static int by_argument(scmp_filter_ctx c, uint32_t action, int nr, unsigned argument,
                       const unsigned *values, int n)
{
    int rc = 0;
    for (int i = 0; i < n && rc == 0; i++)
        rc = seccomp_rule_add(c, action, nr, 1,
                              SCMP_CMP32(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, values[i]));
    return rc;
}

/* Files that all jobs see (/usr, /dev/null) would carry a message from one to another: by a lock, a lease, a watch.
 * Locking succeeds and does nothing: a job's own files nobody else has, and sqlite asks for locks. */
static int no_locks(scmp_filter_ctx c)
{
    static const unsigned locks[] = {F_SETLK, F_SETLKW, 37 /* F_OFD_SETLK */,
                                     38 /* F_OFD_SETLKW */},
                          watches[] = {1024 /* F_SETLEASE */, 1026 /* F_NOTIFY */};
    int rc = by_name(c, SCMP_ACT_ERRNO(0), "flock");
    if (rc == 0)
        rc = by_argument(c, SCMP_ACT_ERRNO(0), SCMP_SYS(fcntl), 1, locks, 4);
    return rc ? rc : by_argument(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 1, watches, 2);
}

/* With these a socket of a pair gets a name of its own accord (unix(7), autobind), by which the socket of another
 * job in this network namespace could send to it. */
static int no_names(scmp_filter_ctx c)
{
    static const unsigned options[] = {SO_PASSCRED, SO_PASSSEC, 76 /* SO_PASSPIDFD */};
    return by_argument(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2, options, 3);
}

/* A crash must not start the host's handler of core dumps, which a core_pattern with a pipe does unless RLIMIT_CORE
 * is 1 (enter.c): changing that succeeds and does nothing. The kernel reads half of the register. */
static int no_cores(scmp_filter_ctx c)
{
    int rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(0), SCMP_SYS(setrlimit), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffff, RLIMIT_CORE));
    return rc ? rc
              : seccomp_rule_add(c, SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 2,
                                 SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, RLIMIT_CORE),
                                 SCMP_A2(SCMP_CMP_NE, 0, 0));
}

static int first_rules(scmp_filter_ctx c)
{
    static const unsigned long terminal[] = {TIOCSTI, 0x541c /* TIOCLINUX */, TIOCSCTTY};
    int rc = by_table(c, killed_first, denied_first);
    if (rc == 0)
        rc = no_locks(c);
    if (rc == 0)
        rc = no_names(c);
    for (size_t i = 0; i < sizeof terminal / sizeof *terminal && rc == 0; i++)
        rc = seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(ioctl), 1,
                              SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, terminal[i]));
    if (rc == 0) /* asking is harmless, changing is not (READ_IMPLIES_EXEC) */
        rc = seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(personality), 1,
                              SCMP_A0(SCMP_CMP_NE, 0xffffffff, 0));
    return rc;
}

static int last_rules(scmp_filter_ctx c, int alone)
{
    static const unsigned long spaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                           CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                           CLONE_NEWNET};
    static const char *const signals[] = {
        "kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo"};
    static const unsigned owners[] = {F_SETOWN, 10 /* F_SETSIG */, 15 /* F_SETOWN_EX */},
                          owner_ioctls[] = {0x8901 /* FIOSETOWN */, 0x8902 /* SIOCSPGRP */};
    int rc = by_table(c, killed_last, denied_last);
    if (rc == 0)
        rc = no_cores(c);
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces && rc == 0; i++)
        rc = seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
    if (rc == 0 && alone) {
        rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(EAGAIN), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
        if (rc == 0)
            rc = by_name(c, SCMP_ACT_ERRNO(EAGAIN), "fork");
        if (rc == 0)
            rc = by_name(c, SCMP_ACT_ERRNO(EAGAIN), "vfork");
        /* without a pid namespace the others can be seen: no signals at all, none that the kernel would send, no
         * limits of another process */
        for (size_t i = 0; i < sizeof signals / sizeof *signals && rc == 0; i++)
            rc = by_name(c, SCMP_ACT_ERRNO(EPERM), signals[i]);
        if (rc == 0)
            rc = by_argument(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 1, owners, 3);
        if (rc == 0)
            rc = by_argument(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, owner_ioctls, 2);
        if (rc == 0)
            rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                                  SCMP_A0(SCMP_CMP_NE, 0, 0));
    }
    return rc;
}

/* Append one program to fd, its length in bytes (u32) before it. */
static int append(int fd, int last, int alone)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    off_t at = lseek(fd, 0, SEEK_END), end;
    uint32_t n = 0;
    int rc;
    if (!c)
        return -ENOMEM;
    /* a call of another architecture (int 0x80, x32) kills: its numbers would pass by the rules */
    seccomp_attr_set(c, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree instead of 100 comparisons */
    rc = last ? last_rules(c, alone) : first_rules(c);
    if (rc == 0 && (at < 0 || write(fd, &n, sizeof n) != (ssize_t)sizeof n))
        rc = -errno;
    if (rc == 0)
        rc = seccomp_export_bpf(c, fd);
    seccomp_release(c);
    if (rc == 0) {
        end = lseek(fd, 0, SEEK_END);
        n = (uint32_t)(end - at) - (uint32_t)sizeof n;
        if (end < 0 || pwrite(fd, &n, sizeof n, at) != (ssize_t)sizeof n)
            rc = -errno;
    }
    return rc;
}

int jail_filter(int none, int alone, struct err *e)
{
    static const uint32_t empty[2] = {0, 0};
    int fd = memfd_create("seccomp", MFD_CLOEXEC), rc = fd < 0 ? -errno : 0;
    if (rc == 0 && none)
        rc = write(fd, empty, sizeof empty) == (ssize_t)sizeof empty ? 0 : -errno;
    for (int last = 0; last < 2 && rc == 0 && !none; last++)
        rc = append(fd, last, alone);
    if (rc == 0 && lseek(fd, 0, SEEK_SET) != 0)
        rc = -errno;
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        errno = -rc;
        return err_errno(e, ERR_OS, "seccomp");
    }
    return fd;
}
