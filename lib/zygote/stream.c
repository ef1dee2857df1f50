/* stream - many calls of one function at once: answers as they come, compared as bytes first
 *
 * A list is u32 length and that many bytes, again and again.  Arguments have a byte before them that says how
 * the result is told: V as a value (codec.c), D as a digest of its canonical encoding, for the large ones.  An
 * answer on the socket is u32 length, 1 byte of kind and a value: V and D as asked, B not plain data or too
 * much, X SystemExit, E an exception. */
#include "zygote.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { RECEIVE = 1 << 18, ANSWER_MAX = (1 << 24) + 64 };

/* The next item of a list: 1, or 0 at its end, or -1 (ValueError). */
static int next_item(const char **p, const char *end, const char **item, uint32_t *n)
{
    if (*p == end)
        return 0;
    if (end - *p >= 4) {
        memcpy(n, *p, 4);
        if ((uint64_t)(end - *p) - 4 >= *n) {
            *item = *p + 4;
            *p += 4 + (size_t)*n;
            return 1;
        }
    }
    PyErr_SetString(PyExc_ValueError, "a list that is cut off");
    return -1;
}

static int send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Kind and value (new reference) of what a call raised; NULL if even that fails. */
static PyObject *raised(PyObject *describe, char *kind)
{
    PyObject *type, *value, *trace, *r;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    *kind = PyErr_GivenExceptionMatches(type, PyExc_SystemExit) ? 'X' : 'E';
    r = value ? PyObject_CallFunctionObjArgs(describe, value, NULL) : NULL;
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    return r;
}

/* The result v of a call as told by `how`, behind a head of 5 bytes. */
static int put_result(struct codec_out *o, PyObject *v, char how, PyObject *digest)
{
    PyObject *d;
    char *p;
    Py_ssize_t n;
    int rc;
    o->canonical = how == 'D';
    if (codec_begin(o, 5) < 0 || codec_put(o, v) < 0)
        return -1;
    if (how != 'D')
        return 0;
    d = PyObject_CallFunction(digest, "y#", o->b + 5, (Py_ssize_t)(o->n - 5));
    rc = d && PyBytes_AsStringAndSize(d, &p, &n) == 0 && n <= 64 ? codec_begin(o, 5 + (size_t)n)
                                                                 : -1;
    if (rc == 0)
        memcpy(o->b + 5, p, (size_t)n);
    Py_XDECREF(d);
    return rc;
}

/* answer(fd, arguments, function, handle, describe, digest): call the function with each tuple of the list and send
 * what it returns before the next call begins, so that no answer is lost when a later call ends the process.
 * digest(bytes) -> bytes. */
PyObject *stream_answer(PyObject *self, PyObject *args)
{
    const char *p, *end, *item;
    Py_ssize_t n_list;
    PyObject *f, *handle, *describe, *digest, *argument, *v;
    uint32_t n;
    int fd, rc;
    (void)self;
    if (!PyArg_ParseTuple(args, "iy#OOOO", &fd, &p, &n_list, &f, &handle, &describe, &digest))
        return NULL;
    end = p + n_list;
    while ((rc = next_item(&p, end, &item, &n)) > 0) {
        struct codec_out o = {.handle = handle};
        char how = n ? item[0] : 0, kind = how;
        if (how != 'V' && how != 'D')
            return PyErr_Format(PyExc_ValueError, "arguments that are none");
        if (!(argument = codec_value(item + 1, n - 1, Py_None)))
            return NULL;
        v = PyObject_CallObject(f, argument);
        Py_DECREF(argument);
        if (!v) {
            if (!(v = raised(describe, &kind)))
                return NULL;
            how = 'V';
        }
        rc = put_result(&o, v, how, digest);
        Py_DECREF(v);
        if (rc < 0) { /* what was returned cannot cross */
            kind = PyErr_ExceptionMatches(codec_too_much) ||
                           PyErr_ExceptionMatches(PyExc_RecursionError)
                       ? 'B'
                       : 'E';
            v = raised(describe, &(char){0});
            rc = v ? put_result(&o, v, 'V', digest) : -1;
            Py_XDECREF(v);
        }
        if (rc == 0) {
            n = (uint32_t)(o.n - 4);
            memcpy(o.b, &n, 4);
            o.b[4] = kind;
            rc = send_all(fd, o.b, o.n);
            if (rc < 0 && !PyErr_Occurred()) { /* the checker has heard enough */
                PyMem_Free(o.b);
                Py_RETURN_FALSE;
            }
        }
        PyMem_Free(o.b);
        if (rc < 0)
            return NULL;
    }
    if (rc < 0)
        return NULL;
    Py_RETURN_TRUE;
}

/* ---- the other end ---- */

struct inbox {
    int fd;
    char *b;
    size_t from, to, cap;
};

/* At least n bytes from `from` on: 1, 0 if the other end is closed before, -1. Waits in steps, so that a sender of
 * many short answers does not wake us for each. */
static int need(struct inbox *in, size_t n)
{
    long pause = 50000;
    if (in->cap - in->from < n) {
        memmove(in->b, in->b + in->from, in->to - in->from);
        in->to -= in->from;
        in->from = 0;
        if (in->cap < n) {
            char *b = PyMem_Realloc(in->b, n);
            if (!b) {
                PyErr_NoMemory();
                return -1;
            }
            in->b = b;
            in->cap = n;
        }
    }
    while (in->to - in->from < n) {
        ssize_t k = recv(in->fd, in->b + in->to, in->cap - in->to, MSG_DONTWAIT);
        if (k > 0) {
            in->to += (size_t)k;
            pause = 50000;
        } else if (k == 0 || (errno != EAGAIN && errno != EINTR)) {
            return 0;
        } else {
            struct timespec t = {0, pause};
            nanosleep(&t, NULL);
            pause = pause < 1000000 ? 2 * pause : 1000000;
        }
    }
    return 1;
}

/* compare(fd, expected, differs): answers against the list of expected values, V or D before each.  Where the bytes are not those
 * expected, differs(index, kind, body) decides: None to go on, else what it returns is returned.  Without a
 * difference: how many answers came (fewer than expected: the other end is closed).  ValueError for bytes
 * that are no answer. */
PyObject *stream_compare(PyObject *self, PyObject *args)
{
    const char *p, *end, *item;
    Py_ssize_t n_list, index = 0;
    struct inbox in = {.cap = RECEIVE};
    PyObject *differs, *r = NULL;
    uint32_t n, m;
    int rc;
    (void)self;
    if (!PyArg_ParseTuple(args, "iy#O", &in.fd, &p, &n_list, &differs))
        return NULL;
    if (!(in.b = PyMem_Malloc(in.cap)))
        return PyErr_NoMemory();
    end = p + n_list;
    while ((rc = next_item(&p, end, &item, &n)) > 0) {
        if ((rc = need(&in, 4)) <= 0)
            break;
        memcpy(&m, in.b + in.from, 4);
        if (m < 2 || m > ANSWER_MAX) {
            PyErr_Format(PyExc_ValueError, "an answer of %u bytes", (unsigned)m);
            rc = -1;
            break;
        }
        if ((rc = need(&in, 4 + (size_t)m)) <= 0)
            break;
        const char *answer = in.b + in.from + 4;
        if (n == 0 || answer[0] != item[0] || m != n || memcmp(answer + 1, item + 1, n - 1)) {
            r = PyObject_CallFunction(differs, "ny#y#", index, answer, (Py_ssize_t)1, answer + 1,
                                      (Py_ssize_t)m - 1);
            if (r != Py_None) {
                PyMem_Free(in.b);
                return r;
            }
            Py_DECREF(r);
        }
        in.from += 4 + (size_t)m;
        index++;
    }
    PyMem_Free(in.b);
    return rc < 0 ? NULL : PyLong_FromSsize_t(index);
}
