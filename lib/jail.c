/* jail - namespaces, a root of its own, and a Python in it */
#include "jail.h"
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PYTHON "/usr/bin/python3"

/* Users that no account has: job users are UID_BASE + 1 + slot, a range a zygote. Second choice for
 * hosts (containers) that map only the usual 65536. */
static const unsigned uid_bases[] = {0x70000000, 60000};
enum { UID_RANGE = JAIL_SLOTS + 1 };

static const struct {
    const char *name;
    unsigned bit;
} mechanisms[] = {{"userns", JAIL_USERNS},
                  {"pidns", JAIL_PIDNS},
                  {"mntns", JAIL_MNTNS},
                  {"netns", JAIL_NETNS},
                  {"ipcns", JAIL_IPCNS},
                  {"utsns", JAIL_UTSNS},
                  {"seccomp", JAIL_SECCOMP},
                  {"rlimits", JAIL_RLIMITS},
                  {"uid", JAIL_UID},
                  {"no_new_privs", JAIL_NNP},
                  {"landlock", JAIL_LANDLOCK},
                  {"pid_max", JAIL_PIDMAX},
                  {"cgroup.memory", JAIL_CG_MEMORY},
                  {"cgroup.pids", JAIL_CG_PIDS},
                  {"cgroup.cpu", JAIL_CG_CPU}};
enum { N_MECHANISMS = sizeof mechanisms / sizeof *mechanisms };

void jail_names(struct json_out *j, unsigned mask)
{
    json_begin(j, '[');
    for (int i = 0; i < N_MECHANISMS; i++)
        if (mask & mechanisms[i].bit)
            json_str(j, mechanisms[i].name);
    json_end(j, ']');
}

int jail_parse(const char *list, unsigned *mask, struct err *e)
{
    *mask = 0;
    if (!strcmp(list, "none"))
        return 0;
    if (!strcmp(list, "all")) {
        *mask = JAIL_ALL;
        return 0;
    }
    while (*list) {
        size_t n = strcspn(list, ",");
        int i;
        for (i = 0; i < N_MECHANISMS; i++)
            if (strlen(mechanisms[i].name) == n && !memcmp(mechanisms[i].name, list, n))
                break;
        if (i == N_MECHANISMS)
            return err_set(e, ERR_USAGE, "%.*s: no such mechanism (see --probe)", (int)n, list);
        *mask |= mechanisms[i].bit;
        list += n + (list[n] == ',');
    }
    return 0;
}

/* ---- the child: everything up to exec; a message to `say` and _exit on failure ---- */

static _Noreturn void give_up(int say, const char *what)
{
    char msg[256];
    int n = snprintf(msg, sizeof msg, "%s: %s", what, strerror(errno));
    if (write(say, msg, (size_t)n) < 0)
        _exit(126);
    _exit(125);
}

static int read_only(const char *path)
{
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    struct statvfs v;
    unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID;
    if (syscall(SYS_mount_setattr, -1, path, AT_RECURSIVE, &a, sizeof a) == 0)
        return 0;
    if (statvfs(path, &v) < 0) /* before Linux 5.12: flags that the host set must be kept */
        return -1;
    flags |= (v.f_flag & ST_NODEV ? MS_NODEV : 0) | (v.f_flag & ST_NOEXEC ? MS_NOEXEC : 0) |
             (v.f_flag & ST_NOATIME ? MS_NOATIME : 0) | (v.f_flag & ST_RELATIME ? MS_RELATIME : 0);
    return mount(NULL, path, NULL, flags, NULL);
}

/* A folder by its descriptor: the user that we are by now may not be able to walk to it. */
static void show(int say, int folder, const char *to)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/self/fd/%d", folder);
    if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0 || read_only(to) < 0)
        give_up(say, to);
}

/* An empty folder over what the new root shows of path; what is not shown is hidden as well. */
static void hide(int say, const char *path)
{
    char real[PATH_MAX], inside[PATH_MAX + 8];
    struct stat st;
    if (!realpath(path, real))
        return;
    snprintf(inside, sizeof inside, "/tmp%s", real);
    if (stat(inside, &st) < 0 || !S_ISDIR(st.st_mode) || !strchr(real + 1, '/'))
        return; /* and /usr itself has to stay */
    if (mount("tmpfs", inside, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,mode=755") < 0)
        give_up(say, path);
}

/* What must not be seen: our own data, the benchmark's, and packages, of which other evaluators' hold the same
 * benchmarks with their answers. */
static void hide_all(int say, const struct jail_opts *o)
{
    static const char *const patterns[] = {"/usr/local/share", "/usr/src",
                                           "/usr/lib/python3*/dist-packages",
                                           "/usr/local/lib/python3*"};
    glob_t g;
    for (size_t i = 0; i < (o->packages ? 2 : sizeof patterns / sizeof *patterns); i++) {
        if (glob(patterns[i], GLOB_NOSORT, NULL, &g) == 0)
            for (size_t k = 0; k < g.gl_pathc; k++)
                hide(say, g.gl_pathv[k]);
        globfree(&g);
    }
    for (int i = 0; i < 2; i++)
        if (o->hidden[i])
            hide(say, o->hidden[i]);
}

/* A tmpfs root with /usr (and its links from /) read-only, five devices, an empty /tmp; /apr is the folder of
 * the extension module. */
static void make_root(int say, int module, int sandbox, const struct jail_opts *o)
{
    static const char *const dirs[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
    static const char *const devs[] = {"null", "zero", "full", "random", "urandom"};
    char from[64], to[64], link[256];
    struct stat st;
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        give_up(say, "mount private");
    if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID, "size=1m,mode=755") < 0)
        give_up(say, "mount root");
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        ssize_t n;
        snprintf(from, sizeof from, "/%s", dirs[i]);
        snprintf(to, sizeof to, "/tmp/%s", dirs[i]);
        if (lstat(from, &st) < 0)
            continue;
        if (S_ISLNK(st.st_mode)) {
            if ((n = readlink(from, link, sizeof link - 1)) < 0)
                give_up(say, from);
            link[n] = 0;
            if (symlink(link, to) < 0)
                give_up(say, to);
        } else if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0 ||
                   read_only(to) < 0) {
            give_up(say, from);
        }
    }
    hide_all(say, o);
    if (mkdir("/tmp/dev", 0755) < 0 || mkdir("/tmp/tmp", 01777) < 0 || mkdir("/tmp/etc", 0755) < 0)
        give_up(say, "mkdir");
    for (size_t i = 0; i < sizeof devs / sizeof *devs; i++) {
        int fd;
        snprintf(from, sizeof from, "/dev/%s", devs[i]);
        snprintf(to, sizeof to, "/tmp/dev/%s", devs[i]);
        fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
        /* a device is written all the same, but its times are not: every job sees these */
        if (fd < 0 || mount(from, to, NULL, MS_BIND, NULL) < 0 || read_only(to) < 0)
            give_up(say, from);
        close(fd);
    }
    show(say, module, "/tmp/apr");
    if (sandbox >= 0)
        show(say, sandbox, "/tmp/sandbox");
    if (chdir("/tmp") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        give_up(say, "pivot_root");
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        give_up(say, "read-only root");
}

struct plan {
    const struct jail_opts *o;
    char module[4096]; /* folder of zygote.so */
    unsigned bits;
    int ctl, bpf, err, say,
        go; /* say: failure to the parent; go: the parent's word that maps are written */
};

static _Noreturn void child(const struct plan *p)
{
    static char *const env[] = {"PATH=/usr/bin:/bin",
                                "LC_ALL=C.UTF-8",
                                "TZ=UTC",
                                "HOME=/tmp",
                                "PYTHONDONTWRITEBYTECODE=1",
                                "PYTHONHASHSEED=0",
                                "PYTHONNOUSERSITE=1",
                                "LD_BIND_NOW=1",
                                NULL};
    char config[256], base = 0;
    sigset_t none;
    int null, k, pid_max = -1, module, sandbox = -1;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP)
            signal(s, SIG_DFL);
    /* if memory runs out on this host, the kernel shall take a job first; no more than a preference
     */
    if ((null = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)) >= 0) {
        k = write(null, "1000", 4) == 4;
        close(null);
    }
    if (read(p->go, &base, 1) !=
        1) /* '0'..: which base, 's': one user only, 'h': the host's users */
        _exit(124);
    module = open(p->module, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->o->sandbox)
        sandbox = open(p->o->sandbox, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (module < 0 || (p->o->sandbox && sandbox < 0))
        give_up(p->say, module < 0 ? p->module : p->o->sandbox);
    if ((p->bits & JAIL_USERNS) && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        give_up(p->say, "setresuid");
    if (p->bits & JAIL_PIDNS && p->bits & JAIL_PIDMAX)
        pid_max = open("/proc/sys/kernel", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->bits & JAIL_MNTNS)
        make_root(p->say, module, sandbox, p->o);
    if ((p->bits & JAIL_UTSNS) && sethostname("sandbox", 7) < 0)
        give_up(p->say, "sethostname");
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    umask(022);
    null = open("/dev/null", O_RDWR);
    /* out of the way of 0..6 first, then to their places */
    int from[7] = {null, null, p->err, p->ctl, p->bpf, p->say, pid_max < 0 ? null : pid_max};
    for (k = 0; k < 7; k++)
        if ((from[k] = fcntl(from[k], F_DUPFD, 100)) < 0)
            give_up(p->say, "descriptors");
    for (k = 0; k < 7; k++)
        if (dup2(from[k], k) < 0)
            give_up(from[5], "dup2");
    fcntl(5, F_SETFD, FD_CLOEXEC);
    syscall(SYS_close_range, 7, ~0U, 0);
    snprintf(config, sizeof config, "%d,%d,%d,%d,%u,%d,%d,%d,%d", p->o->candidate,
             !!(p->bits & JAIL_PIDNS), !!(p->bits & JAIL_MNTNS), base != 's',
             base == 'h' ? uid_bases[0] : 0, base == 's' && p->bits & JAIL_USERNS ? 1 : 0,
             !(base == 's' && !(p->bits & JAIL_USERNS)), !!(p->bits & JAIL_LANDLOCK),
             pid_max < 0 ? -1 : 6);
    execve(PYTHON,
           (char *[]){PYTHON, "-s", "-c", (char *)(uintptr_t)p->o->script,
                      (char *)(uintptr_t)(p->bits & JAIL_MNTNS ? "/apr" : p->module), config, NULL},
           env);
    give_up(5, PYTHON);
}

/* ---- the parent ---- */

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), ok;
    if (fd < 0)
        return -1;
    ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok ? 0 : -1;
}

/* Users of the namespace; the letter for the child. Root maps a range that no account has. */
static char map_users(pid_t pid, int range)
{
    char path[64], map[64];
    unsigned n = sizeof uid_bases / sizeof *uid_bases;
    for (unsigned i = 0; geteuid() == 0 && i < n; i++) {
        snprintf(map, sizeof map, "0 %u %d", uid_bases[i] + (unsigned)(range * UID_RANGE),
                 UID_RANGE);
        snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
        if (put(path, map) < 0)
            continue;
        snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
        return put(path, map) < 0 ? 0 : (char)('0' + i);
    }
    snprintf(path, sizeof path, "/proc/%d/setgroups", (int)pid);
    put(path, "deny");
    snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
    snprintf(map, sizeof map, "0 %u 1", (unsigned)geteuid());
    if (put(path, map) < 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/gid_map", (int)pid);
    snprintf(map, sizeof map, "0 %u 1", (unsigned)getegid());
    return put(path, map) < 0 ? 0 : 's';
}

/* One try with the namespaces in bits. 0, or -1 with why. */
static int try_start(struct jail *j, struct plan p, char why[256], struct err *e)
{
    static const struct {
        unsigned bit, flag;
    } ns[] = {{JAIL_USERNS, CLONE_NEWUSER}, {JAIL_PIDNS, CLONE_NEWPID}, {JAIL_MNTNS, CLONE_NEWNS},
              {JAIL_NETNS, CLONE_NEWNET},   {JAIL_IPCNS, CLONE_NEWIPC}, {JAIL_UTSNS, CLONE_NEWUTS}};
    const unsigned bits = p.bits;
    int ctl[2] = {-1, -1}, say[2] = {-1, -1}, go[2] = {-1, -1}, rc = -1;
    unsigned long flags = SIGCHLD;
    char base;
    ssize_t n;
    memset(j, 0, sizeof *j);
    j->ctl = j->err = j->pidfd = -1;
    snprintf(why, 256, "cannot start");
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
        flags |= bits & ns[i].bit ? ns[i].flag : 0;
    if ((p.bpf = jail_filter(!(bits & JAIL_SECCOMP), !(bits & JAIL_PIDNS), e)) < 0)
        return -1;
    j->err = memfd_create("stderr", MFD_CLOEXEC);
    if (j->err < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0 ||
        pipe2(say, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0) {
        snprintf(why, 256, "%s", strerror(errno));
        goto out;
    }
    p.ctl = ctl[1];
    p.err = j->err;
    p.say = say[1];
    p.go = go[0];
    j->pid = (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (j->pid == 0) {
        close(go[1]);
        child(&p);
    }
    if (j->pid < 0) {
        snprintf(why, 256, "clone: %s", strerror(errno));
        j->pid = 0;
        goto out;
    }
    close(go[0]), go[0] = -1;
    close(say[1]), say[1] = -1;
    base = bits & JAIL_USERNS ? map_users(j->pid, p.o->range) : geteuid() == 0 ? 'h' : 's';
    if (!base)
        snprintf(why, 256, "user mapping: %s", strerror(errno));
    else if (write(go[1], &base, 1) == 1) {
        n = read(say[0], why, 255); /* nothing at all: exec succeeded */
        why[n > 0 ? n : 0] = 0;
        rc = n == 0 ? 0 : -1;
    }
    if (rc == 0) {
        j->ctl = ctl[0], ctl[0] = -1;
        j->pidfd = (int)syscall(SYS_pidfd_open, j->pid, 0);
        j->enforced = (bits & ~(unsigned)(JAIL_LANDLOCK | JAIL_PIDMAX)) | JAIL_RLIMITS | JAIL_NNP |
                      (base != 's' ? JAIL_UID : 0);
    }
out:
    for (int i = 0; i < 2; i++) {
        int fd[] = {ctl[i], say[i], go[i]};
        for (int k = 0; k < 3; k++)
            if (fd[k] >= 0)
                close(fd[k]);
    }
    close(p.bpf);
    if (rc < 0)
        jail_stop(j);
    return rc;
}

int jail_start(struct jail *j, const struct jail_opts *o, struct err *e)
{
    const unsigned all =
        JAIL_USERNS | JAIL_PIDNS | JAIL_MNTNS | JAIL_NETNS | JAIL_IPCNS | JAIL_UTSNS;
    const unsigned levels[] = {all, all & ~JAIL_USERNS,
                               0}; /* the second is for root without user namespaces */
    struct plan p = {.o = o, .bpf = -1};
    unsigned last = ~0u;
    char why[256] = "", *slash;
    memset(j, 0, sizeof *j);
    j->ctl = j->err = j->pidfd = -1;
    if (access(PYTHON, X_OK) < 0)
        return err_errno(e, ERR_UNAVAILABLE, PYTHON);
    if (paths_beside("lib/apr/zygote.so", p.module, sizeof p.module, e) < 0)
        return e->code;
    if ((slash = strrchr(p.module, '/')))
        *slash = 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        p.bits = (levels[i] & o->allow) | (o->allow & (JAIL_SECCOMP | JAIL_LANDLOCK | JAIL_PIDMAX));
        if (p.bits == last)
            continue;
        last = p.bits;
        if (try_start(j, p, why, e) == 0)
            return 0;
        if (e->code)
            return e->code;
    }
    return err_set(e, ERR_OS, "sandbox: %s", why);
}

void jail_stop(struct jail *j)
{
    if (j->pid > 0) {
        kill(j->pid, SIGKILL);
        while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (j->pidfd >= 0)
        close(j->pidfd);
    if (j->ctl >= 0)
        close(j->ctl);
    if (j->err >= 0)
        close(j->err);
    memset(j, 0, sizeof *j);
    j->ctl = j->err = j->pidfd = -1;
}

const char *jail_last_words(const struct jail *j, char *buf, size_t size)
{
    off_t end = lseek(j->err, 0, SEEK_END),
          from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t n = end > 0 ? pread(j->err, buf, size - 1, from) : 0;
    char *nl;
    buf[n > 0 ? n : 0] = 0;
    while (n > 0 && buf[n - 1] == '\n')
        buf[--n] = 0;
    nl = strrchr(buf, '\n');
    return nl ? nl + 1 : buf;
}
