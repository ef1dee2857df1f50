/* frames - whole messages over the socket between candidate and checker, and jobs for a checker that stays
 *
 * A frame is u32 length, then that many bytes: 8 of a nonce, 1 of a kind, a value (codec.c). */
#include "zygote.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAME_MAX = 1 << 24 };

static int read_all(int fd, char *p,
                    size_t n) /* 1 = all of it, 0 = the other end is closed, -1 = errno */
{
    while (n > 0) {
        ssize_t k = read(fd, p, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return errno == ECONNRESET ? 0 : -1;
        if (k == 0)
            return 0;
        p += k;
        n -= (size_t)k;
    }
    return 1;
}

/* receive(fd) -> bytes of a frame without its length; None if the other end is closed.  ValueError for a
 * length that no frame has. */
PyObject *frames_receive(PyObject *self, PyObject *args)
{
    uint32_t n;
    PyObject *b;
    char *p;
    Py_ssize_t size;
    int fd, rc;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    if ((rc = read_all(fd, (char *)&n, 4)) == 0)
        Py_RETURN_NONE;
    if (rc < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (n < 9 || n > FRAME_MAX)
        return PyErr_Format(PyExc_ValueError, "a frame of %u bytes", (unsigned)n);
    if (!(b = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n)) ||
        PyBytes_AsStringAndSize(b, &p, &size) < 0)
        return NULL;
    if ((rc = read_all(fd, p, n)) <= 0) {
        Py_DECREF(b);
        if (rc < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
        Py_RETURN_NONE;
    }
    return b;
}

/* send(fd, bytes) -> True, or False if the other end is closed. */
PyObject *frames_send(PyObject *self, PyObject *args)
{
    const char *p;
    Py_ssize_t n;
    int fd;
    (void)self;
    if (!PyArg_ParseTuple(args, "iy#", &fd, &p, &n))
        return NULL;
    while (n > 0) {
        ssize_t k = send(fd, p, (size_t)n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0 && (errno == EPIPE || errno == ECONNRESET))
            Py_RETURN_FALSE;
        if (k < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
        p += k;
        n -= k;
    }
    Py_RETURN_TRUE;
}

/* pending(fd) -> 1 bytes wait there, 0 none, -1 the other end is closed. */
PyObject *frames_pending(PyObject *self, PyObject *args)
{
    char c;
    int fd;
    ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    n = recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    return PyLong_FromLong(n > 0 ? 1 : n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1);
}

static PyObject *contents(int fd) /* of a memory file */
{
    struct stat st;
    PyObject *b;
    char *p;
    Py_ssize_t size;
    off_t at = 0;
    if (fstat(fd, &st) < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (!(b = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)st.st_size)) ||
        PyBytes_AsStringAndSize(b, &p, &size) < 0)
        return NULL;
    while (at < st.st_size) {
        ssize_t k = pread(fd, p + at, (size_t)(st.st_size - at), at);
        if (k <= 0) {
            Py_DECREF(b);
            return k < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                         : PyErr_Format(PyExc_OSError, "a payload that shrank");
        }
        at += k;
    }
    return b;
}

/* payload(fd) -> bytes; closes fd. */
PyObject *frames_payload(PyObject *self, PyObject *args)
{
    PyObject *b;
    int fd;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &fd))
        return NULL;
    b = contents(fd);
    close(fd);
    return b;
}

/* next_job(control) -> bytes: wait for a job of a checker that serves many.  The message is u32 CPU seconds; its
 * descriptors are payload, peer (becomes 3), report (becomes 5).  None if the supervisor is gone. */
PyObject *frames_next_job(PyObject *self, PyObject *args)
{
    union {
        char buf[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } c;
    uint32_t cpu_s;
    struct iovec v = {&cpu_s, sizeof cpu_s};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof c.buf};
    struct cmsghdr *a;
    struct rusage use;
    struct rlimit l;
    PyObject *b;
    int control, fd[3];
    ssize_t n;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &control))
        return NULL;
    while ((n = recvmsg(control, &h, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        ;
    a = n == (ssize_t)sizeof cpu_s ? CMSG_FIRSTHDR(&h) : NULL;
    if (!a || a->cmsg_type != SCM_RIGHTS || a->cmsg_len != CMSG_LEN(sizeof fd))
        Py_RETURN_NONE;
    memcpy(fd, CMSG_DATA(a), sizeof fd);
    b = contents(fd[0]);
    if (dup2(fd[1], 3) < 0 || dup2(fd[2], 5) < 0)
        _exit(JAIL_EXIT_ENTER);
    for (int i = 0; i < 3; i++)
        if (fd[i] != 3 && fd[i] != 5)
            close(fd[i]);
    /* a limit for this job: whole seconds from now, so up to one more than asked */
    if (getrusage(RUSAGE_SELF, &use) == 0 && getrlimit(RLIMIT_CPU, &l) == 0) {
        l.rlim_cur = (rlim_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec + 2) + cpu_s;
        setrlimit(RLIMIT_CPU, &l);
    }
    return b;
}

/* peak() -> the most KiB of memory that this process had. */
PyObject *frames_peak(PyObject *self, PyObject *args)
{
    struct rusage use;
    (void)self, (void)args;
    getrusage(RUSAGE_SELF, &use);
    return PyLong_FromLong(use.ru_maxrss);
}
