/* zygote.h - the extension module `zygote` that a jail's Python loads: fork, jail, frames
 *
 * CPython's limited API only, so one build serves every Python from 3.11 on.  Nothing here is
 * trusted once a candidate runs: it has been entered by then. */
#ifndef ZYGOTE_H
#define ZYGOTE_H
#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include "jail_request.h"
#include <Python.h>
#include <linux/filter.h>

struct landlock_path {
    int fd;
    uint64_t access;
};
/* How a job is put into its jail; filled once, before the first fork. */
struct enter {
    int candidate, mntns, uids, own_userns, drop;
    unsigned uid_base;
    int pid_max;            /* directory /proc/sys/kernel, or -1 */
    struct sock_fprog last; /* the seccomp program of a job (the other one is the zygote's); len 0:
                               none */
    int abi;                /* of Landlock; 0 = not used */
    struct landlock_path path[16];
    int n_path;
    int cgroup[JAIL_SLOTS][JAIL_CGROUPS]; /* cgroup.procs, or -1 */
};
/* Landlock's version and the paths that stay readable. */
void enter_landlock_init(struct enter *j);
/* In the child: from the zygote's rights down to a job's. On failure tells the supervisor why (JAIL_FAILED) and
 * exits. fd: the request's descriptors. */
void enter_jail(const struct enter *j, const struct jail_request *r, const int *fd, int n_fd);

PyObject *frames_receive(PyObject *self, PyObject *args);
PyObject *frames_send(PyObject *self, PyObject *args);
PyObject *frames_pending(PyObject *self, PyObject *args);
PyObject *frames_payload(PyObject *self, PyObject *args);
PyObject *frames_next_job(PyObject *self, PyObject *args);
PyObject *frames_peak(PyObject *self, PyObject *args);

PyObject *stream_answer(PyObject *self, PyObject *args);
PyObject *stream_compare(PyObject *self, PyObject *args);

struct codec_out { /* bytes that grow (PyMem); begins as zeros but for handle */
    char *b;
    size_t n, cap;
    long items;
    int canonical; /* equal values give equal bytes */
    PyObject *handle;
};
extern PyObject *codec_too_much;
int codec_begin(struct codec_out *o, size_t head); /* empty, with head bytes left free */
int codec_put(struct codec_out *o, PyObject *v);   /* append a value */
PyObject *codec_value(const char *b, size_t n,
                      PyObject *opaque); /* a value that fills all n bytes */
PyObject *codec_encode(PyObject *self,
                       PyObject *args); /* encode(value, handle, canonical) -> bytes */
PyObject *codec_decode(PyObject *self,
                       PyObject *args); /* decode(bytes, pos, opaque) -> (value, end) */
int codec_init(PyObject *module);       /* adds TooMuch and Malformed */
#endif
