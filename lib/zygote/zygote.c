/* zygote - the extension module: serve requests by forking, one jailed child a job */
#include "zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL = 3 };

static struct enter plan;
static struct child {
    pid_t pid;
    int pidfd;
    uint32_t slot;
} children[2 * JAIL_SLOTS];
static int n_children;

/* ---- words to the supervisor ---- */

static int tell(const struct jail_message *m, int fd)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } c;
    struct iovec v = {(void *)(uintptr_t)m, sizeof *m};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
    if (fd >= 0) {
        struct cmsghdr *a;
        memset(&c, 0, sizeof c);
        h.msg_control = c.buf;
        h.msg_controllen = sizeof c.buf;
        a = CMSG_FIRSTHDR(&h);
        a->cmsg_level = SOL_SOCKET;
        a->cmsg_type = SCM_RIGHTS;
        a->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(a), &fd, sizeof fd);
    }
    return sendmsg(CONTROL, &h, MSG_NOSIGNAL) == (ssize_t)sizeof *m ? 0 : -1;
}

/* A request and its descriptors; how many of these, or -1: the supervisor is gone. */
static int hear(struct jail_request *r, int fd[JAIL_MAX_FDS])
{
    union {
        char buf[CMSG_SPACE(JAIL_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } c;
    struct iovec v = {r, sizeof *r};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof c.buf};
    ssize_t n;
    struct cmsghdr *a;
    int k = 0;
    while ((n = recvmsg(CONTROL, &h, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof *r || (h.msg_flags & MSG_CTRUNC))
        return -1;
    a = CMSG_FIRSTHDR(&h);
    if (a && a->cmsg_type == SCM_RIGHTS) {
        k = (int)((a->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fd, CMSG_DATA(a), (size_t)k * sizeof(int));
    }
    return r->slot < JAIL_SLOTS && (r->kind == JAIL_CGROUP ? k <= JAIL_CGROUPS : k > 0) ? k : -1;
}

/* ---- jobs ---- */

static void set_cgroups(const struct jail_request *r, const int *fd, int n)
{
    for (int i = 0; i < JAIL_CGROUPS; i++) {
        if (plan.cgroup[r->slot][i] >= 0)
            close(plan.cgroup[r->slot][i]);
        plan.cgroup[r->slot][i] = i < n ? fd[i] : -1;
    }
}

/* 0 in the child, which is in its jail then; 1 in the zygote; -1: the host gives no process. */
static int start(const struct jail_request *r, const int *fd, int n, int me)
{
    struct jail_message m = {.event = JAIL_STARTED, .slot = r->slot};
    struct child *c = &children[n_children];
    if (me >= 0 && unshare(CLONE_NEWPID) < 0)
        return -1;
    c->pid = fork();
    if (c->pid == 0) {
        enter_jail(&plan, r, fd, n);
        return 0;
    }
    /* setns() with a descriptor of our own process leads back from the job's pid namespace */
    if (c->pid < 0 || (me >= 0 && setns(me, CLONE_NEWPID) < 0))
        return -1;
    for (int i = 0; i < n; i++)
        close(fd[i]);
    c->slot = r->slot;
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->pidfd < 0 || tell(&m, c->pidfd) < 0)
        return -1;
    n_children++;
    return 1;
}

static int reap(int i)
{
    struct child *c = &children[i];
    struct jail_message m = {.event = JAIL_EXITED, .slot = c->slot};
    struct rusage use;
    int status;
    if (wait4(c->pid, &status, 0, &use) < 0)
        return -1;
    m.status = status;
    m.rss_kb = (uint32_t)use.ru_maxrss;
    m.user_us = (uint64_t)use.ru_utime.tv_sec * 1000000u + (uint64_t)use.ru_utime.tv_usec;
    m.system_us = (uint64_t)use.ru_stime.tv_sec * 1000000u + (uint64_t)use.ru_stime.tv_usec;
    close(c->pidfd);
    *c = children[--n_children];
    return tell(&m, -1);
}

static void die(void) /* with everything that this zygote started */
{
    for (int i = 0; i < n_children; i++)
        kill(children[i].pid, SIGKILL);
    _exit(0);
}

/* Returns in the children only. */
static int serve(int me)
{
    struct pollfd p[1 + 2 * JAIL_SLOTS];
    struct jail_request r;
    int fd[JAIL_MAX_FDS], n;
    for (;;) {
        p[0] = (struct pollfd){.fd = CONTROL, .events = POLLIN};
        for (int i = 0; i < n_children; i++)
            p[1 + i] = (struct pollfd){.fd = children[i].pidfd, .events = POLLIN};
        if (poll(p, (nfds_t)n_children + 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            die();
        }
        for (int i = n_children - 1; i >= 0;
             i--) /* downwards: reap() moves the last into the gap */
            if (p[1 + i].revents && reap(i) < 0)
                die();
        if (!p[0].revents)
            continue;
        if ((n = hear(&r, fd)) < 0)
            die();
        if (r.kind == JAIL_CGROUP) {
            set_cgroups(&r, fd, n);
            continue;
        }
        if (n_children == 2 * JAIL_SLOTS)
            die();
        switch (start(&r, fd, n, me)) {
        case 0:
            return 0;
        case -1:
            die();
        }
    }
}

/* ---- Python's side ---- */

/* May a job's pid namespace have a limit of its own?  Before Linux 6.14 there is one for the host: not ours. */
static int probe_pid_max(int dir, int me)
{
    int status = -1;
    pid_t pid;
    if (unshare(CLONE_NEWPID) < 0)
        return 0;
    pid = fork();
    if (pid == 0) {
        int fd = openat(dir, "pid_max", O_WRONLY | O_CLOEXEC);
        _exit(fd >= 0 && write(fd, "301", 3) == 3 ? 0 : 1);
    }
    if (waitpid(pid, &status, 0) != pid || setns(me, CLONE_NEWPID) < 0)
        return 0;
    return status == 0;
}

/* setup(candidate, mntns, uids, uid_base, own_userns, drop, landlock, me, pid_max, first, last): me is a pidfd
 * of this process if jobs get pid namespaces, else -1; first is the seccomp program of the zygote and with it
 * of all jobs, last the one that jobs load when they have entered; either may be empty.  Returns the
 * mechanisms that hold: 1 Landlock, 2 pid_max. */
static PyObject *py_setup(PyObject *self, PyObject *args)
{
    const char *first, *last;
    Py_ssize_t n_first, n_last;
    int landlock, pid_max, me;
    struct sock_fprog f;
    char *copy;
    (void)self;
    if (!PyArg_ParseTuple(args, "pppIpppiiy#y#", &plan.candidate, &plan.mntns, &plan.uids,
                          &plan.uid_base, &plan.own_userns, &plan.drop, &landlock, &me, &pid_max,
                          &first, &n_first, &last, &n_last))
        return NULL;
    for (int i = 0; i < JAIL_SLOTS; i++)
        for (int k = 0; k < JAIL_CGROUPS; k++)
            plan.cgroup[i][k] = -1;
    plan.pid_max = me >= 0 && pid_max >= 0 && probe_pid_max(pid_max, me) ? pid_max : -1;
    prctl(PR_SET_NAME, plan.candidate ? "apr-candidate" : "apr-checker", 0, 0, 0); /* in ps */
    if (landlock)
        enter_landlock_init(&plan);
    if (n_last) {
        if (!(copy = PyMem_Malloc((size_t)n_last)))
            return PyErr_NoMemory();
        memcpy(copy, last, (size_t)n_last);
        plan.last = (struct sock_fprog){(unsigned short)(n_last / 8), (struct sock_filter *)copy};
    }
    if (n_first) {
        f = (struct sock_fprog){(unsigned short)(n_first / 8),
                                (struct sock_filter *)(uintptr_t)first};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &f, 0, 0) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong((plan.abi > 0) | (plan.pid_max >= 0) << 1);
}

/* serve(me, held, version): says READY, then forks a job a request; me is a pidfd of this process if jobs get
 * pid namespaces, else -1.  Returns in the jobs, once they have entered. */
static PyObject *py_serve(PyObject *self, PyObject *args)
{
    struct jail_message m = {.event = JAIL_READY};
    const char *version;
    int me;
    unsigned held;
    (void)self;
    if (!PyArg_ParseTuple(args, "iIs", &me, &held, &version))
        return NULL;
    m.held = held;
    strncpy(m.text, version, sizeof m.text - 1);
    if (tell(&m, -1) < 0)
        die();
    serve(me);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"setup", py_setup, METH_VARARGS, NULL},
                                {"serve", py_serve, METH_VARARGS, NULL},
                                {"receive", frames_receive, METH_VARARGS, NULL},
                                {"send", frames_send, METH_VARARGS, NULL},
                                {"pending", frames_pending, METH_VARARGS, NULL},
                                {"payload", frames_payload, METH_VARARGS, NULL},
                                {"next_job", frames_next_job, METH_VARARGS, NULL},
                                {"answer", stream_answer, METH_VARARGS, NULL},
                                {"compare", stream_compare, METH_VARARGS, NULL},
                                {"peak", frames_peak, METH_NOARGS, NULL},
                                {"encode", codec_encode, METH_VARARGS, NULL},
                                {"decode", codec_decode, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "zygote", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit_zygote(void);
PyMODINIT_FUNC PyInit_zygote(void)
{
    PyObject *m = PyModule_Create(&definition);
    if (m && codec_init(m) < 0) {
        Py_DecRef(m);
        return NULL;
    }
    return m;
}
