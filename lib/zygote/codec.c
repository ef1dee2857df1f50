/* codec - plain data as bytes: what may cross between the candidate and the checker, and nothing else
 *
 * None, bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, range by their
 * exact types, the built-in types themselves (as names), and handles for everything else.  Decoding builds
 * fresh values from bytes that are not trusted: every count is checked against what is left.  Both sides
 * bound depth, items and bytes.  tests/zygote/codec.py is the same in Python, and the definition.
 *
 *   N None   T F bool   j i32   i u32 n, n bytes (little-endian, signed)   f f64   c f64 f64
 *   s b y  u32 n, n bytes: str (UTF-8, surrogates pass), bytes, bytearray
 *   l t S Z  u32 n, n values: list, tuple, set, frozenset      d u32 n, n pairs: dict
 *   r  three ints: range      k u32 n, name: a built-in type
 *   o  u32 number, byte truth, then an s: a handle of the other side and the name of its type
 *
 * The canonical encoding (of digests) is the same for all values that Python calls equal: True, 1, 1.0 and 1+0j
 * are j or i, bytes and bytearrays b, sets S; sets and dicts are sorted by their encoded elements and keys. */
#include "zygote.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DEPTH = 64,
    MAX_ITEMS = 1 << 20,
    MAX_INT = 1 << 19,  /* bytes of an int */
    MAX_FRAME = 1 << 24 /* bytes of a value */
};

PyObject *codec_too_much;
static PyObject *malformed, *ordered, *defaults, *counter;
static PyObject *type_names; /* name -> type */

/* ---- encode ---- */

static int grow(struct codec_out *o, size_t more)
{
    size_t cap = o->cap ? o->cap : 256;
    char *b;
    if (o->n + more <= o->cap)
        return 0;
    if (o->n + more > 2 * (size_t)MAX_FRAME) {
        PyErr_Format(codec_too_much, "more than %d bytes", MAX_FRAME);
        return -1;
    }
    while (cap < o->n + more)
        cap *= 2;
    if (!(b = PyMem_Realloc(o->b, cap))) {
        PyErr_NoMemory();
        return -1;
    }
    o->b = b;
    o->cap = cap;
    return 0;
}

static int put(struct codec_out *o, char tag, const void *p, size_t n)
{
    if (grow(o, n + 1) < 0)
        return -1;
    o->b[o->n] = tag;
    memcpy(o->b + o->n + 1, p, n);
    o->n += n + 1;
    return 0;
}

static int put_blob(struct codec_out *o, char tag, const char *p, Py_ssize_t n)
{
    uint32_t n32 = (uint32_t)n;
    if (n > MAX_FRAME - 64) {
        PyErr_Format(codec_too_much, "%zd bytes in one value", n);
        return -1;
    }
    if (put(o, tag, &n32, 4) < 0 || grow(o, (size_t)n) < 0)
        return -1;
    memcpy(o->b + o->n, p, (size_t)n);
    o->n += (size_t)n;
    return 0;
}

static int put_count(struct codec_out *o, char tag, Py_ssize_t n)
{
    uint32_t n32 = (uint32_t)n;
    if (n > MAX_ITEMS) {
        PyErr_Format(codec_too_much, "more than %d items", MAX_ITEMS);
        return -1;
    }
    return put(o, tag, &n32, 4);
}

static int put_bytes_of(struct codec_out *o, char tag, PyObject *bytes) /* takes the reference */
{
    char *p;
    Py_ssize_t n;
    int rc = bytes && PyBytes_AsStringAndSize(bytes, &p, &n) == 0 ? put_blob(o, tag, p, n) : -1;
    Py_XDECREF(bytes);
    return rc;
}

/* A number of 64 bits: 4 bytes if they hold it, else bit_length / 8 + 1. */
static int put_number(struct codec_out *o, long long x)
{
    unsigned long long u = x < 0 ? 0ull - (unsigned long long)x : (unsigned long long)x;
    uint32_t n = 1;
    char b[13] = {0};
    if (x >= INT32_MIN && x <= INT32_MAX) {
        int32_t i = (int32_t)x;
        return put(o, 'j', &i, 4);
    }
    for (unsigned long long r = u; r >>= 8;)
        n++;
    n += u >> (8 * n - 1) !=
         0; /* the top bit of a byte is the sign's: bit_length is a multiple of 8 */
    memcpy(b, &n, 4);
    for (uint32_t i = 0; i < n; i++)
        b[4 + i] = (char)(i < 8 ? (unsigned long long)x >> 8 * i : x < 0 ? 0xff : 0);
    return put(o, 'i', b, 4 + n);
}

static int put_int(struct codec_out *o, PyObject *v)
{
    int overflow;
    long long x = PyLong_AsLongLongAndOverflow(v, &overflow);
    if (!overflow)
        return put_number(o, x);
    PyObject *bits = PyObject_CallMethod(v, "bit_length", NULL), *bytes = NULL, *signed_ = NULL,
             *to = NULL, *a = NULL;
    long n = bits ? PyLong_AsLong(bits) / 8 + 1 : -1;
    Py_XDECREF(bits);
    if (n > (o->canonical ? MAX_FRAME - 64 : MAX_INT)) {
        PyErr_Format(codec_too_much, "an integer of %ld bytes", n);
        return -1;
    }
    if (n > 0 && (to = PyObject_GetAttrString(v, "to_bytes")) &&
        (a = Py_BuildValue("(ls)", n, "little")) &&
        (signed_ = Py_BuildValue("{s:O}", "signed", Py_True)))
        bytes = PyObject_Call(to, a, signed_);
    Py_XDECREF(to);
    Py_XDECREF(a);
    Py_XDECREF(signed_);
    return put_bytes_of(o, 'i', bytes);
}

static int put_str(struct codec_out *o, PyObject *v)
{
    Py_ssize_t n;
    const char *p = PyUnicode_AsUTF8AndSize(v, &n);
    if (p)
        return put_blob(o, 's', p, n);
    PyErr_Clear(); /* surrogates */
    return put_bytes_of(o, 's', PyUnicode_AsEncodedString(v, "utf-8", "surrogatepass"));
}

static int put_value(struct codec_out *o, PyObject *v, int depth);

static int too_deep(int depth)
{
    if (depth < MAX_DEPTH)
        return 0;
    PyErr_Format(codec_too_much, "nested more than %d deep", MAX_DEPTH);
    return 1;
}

/* A list may change its length while a truth value is asked of something in it: sizes are looked at anew. */
static int put_sequence(struct codec_out *o, PyObject *v, int list, int depth)
{
    Py_ssize_t n = list ? PyList_Size(v) : PyTuple_Size(v);
    if (too_deep(depth) || put_count(o, list ? 'l' : 't', n) < 0)
        return -1;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *e = list ? PyList_GetItem(v, i) : PyTuple_GetItem(v, i);
        int rc;
        if (!e)
            return -1;
        Py_INCREF(e);
        rc = put_value(o, e, depth + 1);
        Py_DECREF(e);
        if (rc < 0)
            return -1;
    }
    return 0;
}

struct span { /* of an encoded element, or of a key with its value behind it */
    const char *b;
    size_t n, n_key;
};

static int by_bytes(const void *x, const void *y)
{
    const struct span *a = x, *b = y;
    size_t n = a->n_key < b->n_key ? a->n_key : b->n_key;
    int c = memcmp(a->b, b->b, n);
    return c ? c : (a->n_key > b->n_key) - (a->n_key < b->n_key);
}

/* What was appended from byte `from` on is n items: put them in order. ends: of each key and of each item. */
static int sort_items(struct codec_out *o, size_t from, const size_t *ends, Py_ssize_t n)
{
    struct span *s = PyMem_Malloc((size_t)(n + 1) * sizeof *s);
    char *copy = PyMem_Malloc(o->n - from + 1), *to = o->b + from;
    if (!s || !copy) {
        PyMem_Free(s);
        PyMem_Free(copy);
        PyErr_NoMemory();
        return -1;
    }
    memcpy(copy, o->b + from, o->n - from);
    for (Py_ssize_t i = 0; i < n; i++) {
        size_t at = i ? ends[2 * i - 1] : from;
        s[i] = (struct span){copy + (at - from), ends[2 * i + 1] - at, ends[2 * i] - at};
    }
    qsort(s, (size_t)n, sizeof *s, by_bytes);
    for (Py_ssize_t i = 0; i < n; i++) {
        memcpy(to, s[i].b, s[i].n);
        to += s[i].n;
    }
    PyMem_Free(s);
    PyMem_Free(copy);
    return 0;
}

static int put_canonical(struct codec_out *o, PyObject *v, int dict, int depth)
{
    PyObject *list = dict ? PyDict_Items(v) : PySequence_List(v);
    Py_ssize_t n = list ? PyList_Size(list) : -1;
    size_t *ends = n < 0 ? NULL : PyMem_Malloc((size_t)(2 * n + 1) * sizeof *ends), from;
    int rc = ends && !too_deep(depth) ? put_count(o, dict ? 'd' : 'S', n) : -1;
    from = o->n;
    for (Py_ssize_t i = 0; i < n && rc == 0; i++) {
        PyObject *e = PyList_GetItem(list, i);
        rc = put_value(o, dict ? PyTuple_GetItem(e, 0) : e, depth + 1);
        ends[2 * i] = o->n;
        if (rc == 0 && dict)
            rc = put_value(o, PyTuple_GetItem(e, 1), depth + 1);
        ends[2 * i + 1] = o->n;
    }
    if (rc == 0)
        rc = sort_items(o, from, ends, n);
    PyMem_Free(ends);
    Py_XDECREF(list);
    if (rc < 0 && !PyErr_Occurred())
        PyErr_NoMemory();
    return rc;
}

/* A number as the int that it equals; 0 if it is none, 1 if it was put, -1. */
static int put_equal_int(struct codec_out *o, PyObject *v)
{
    double d;
    PyObject *i;
    int rc;
    if (Py_TYPE(v) == &PyComplex_Type && PyComplex_ImagAsDouble(v) != 0)
        return 0;
    d = Py_TYPE(v) == &PyComplex_Type ? PyComplex_RealAsDouble(v) : PyFloat_AsDouble(v);
    if (d != d || d - d != 0) /* NaN, infinity */
        return 0;
    if (d > -9e18 && d < 9e18) {
        long long x = (long long)d;
        if ((double)x == d)
            return put_number(o, x) < 0 ? -1 : 1;
        if (Py_TYPE(v) == &PyFloat_Type)
            return 0;
    }
    if (!(i = PyLong_FromDouble(d)))
        return -1;
    if (PyLong_AsDouble(i) != d) {
        PyErr_Clear();
        Py_DECREF(i);
        if (Py_TYPE(v) == &PyFloat_Type)
            return 0;
        return put(o, 'f', &d, 8) < 0 ? -1 : 1; /* a complex that is a real number */
    }
    rc = put_int(o, i);
    Py_DECREF(i);
    return rc < 0 ? -1 : 1;
}

static int put_set(struct codec_out *o, PyObject *v, char tag, int depth)
{
    PyObject *it, *e;
    int rc;
    if (too_deep(depth) || put_count(o, tag, PySet_Size(v)) < 0 || !(it = PyObject_GetIter(v)))
        return -1;
    for (rc = 0; rc == 0 && (e = PyIter_Next(it)); Py_DECREF(e))
        rc = put_value(o, e, depth + 1);
    Py_DECREF(it);
    return rc < 0 || PyErr_Occurred() ? -1 : 0;
}

static int put_dict(struct codec_out *o, PyObject *v, int depth)
{
    PyObject *items = NULL, *pair;
    Py_ssize_t n;
    int rc = 0;
    if (too_deep(depth) || !(items = PyDict_Items(v)))
        return -1;
    n = PyList_Size(items);
    rc = put_count(o, 'd', n);
    for (Py_ssize_t i = 0; i < n && rc == 0; i++) {
        pair = PyList_GetItem(items, i);
        rc = put_value(o, PyTuple_GetItem(pair, 0), depth + 1);
        if (rc == 0)
            rc = put_value(o, PyTuple_GetItem(pair, 1), depth + 1);
    }
    Py_DECREF(items);
    return rc;
}

static int put_range(struct codec_out *o, PyObject *v, int depth)
{
    static const char *const parts[] = {"start", "stop", "step"};
    if (put(o, 'r', "", 0) < 0)
        return -1;
    for (int i = 0; i < 3; i++) {
        PyObject *e = PyObject_GetAttrString(v, parts[i]);
        int rc = e ? put_value(o, e, depth + 1) : -1;
        Py_XDECREF(e);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* The name of a type as bytes (new reference). */
static PyObject *name_of(PyObject *type)
{
    PyObject *name = PyObject_GetAttrString(type, "__name__"), *b;
    if (!name)
        return NULL;
    b = PyUnicode_Check(name) ? PyUnicode_AsEncodedString(name, "utf-8", "replace")
                              : PyBytes_FromString("?");
    Py_DECREF(name);
    return b;
}

static int put_handle(struct codec_out *o, PyObject *v)
{
    PyObject *r, *name;
    long number;
    int truth, ok = 0;
    uint32_t n32;
    char head[5], *p;
    Py_ssize_t n;
    if (!(r = PyObject_CallFunctionObjArgs(o->handle, v, NULL)))
        return -1;
    if (PyArg_ParseTuple(r, "lp", &number, &truth)) {
        n32 = (uint32_t)number;
        memcpy(head, &n32, 4);
        head[4] = (char)(truth != 0);
        ok = put(o, 'o', head, 5) == 0;
    }
    Py_DECREF(r);
    if (!ok || !(name = name_of((PyObject *)Py_TYPE(v))))
        return -1;
    ok = PyBytes_AsStringAndSize(name, &p, &n) == 0 && put_blob(o, 's', p, n < 200 ? n : 200) == 0;
    Py_DECREF(name);
    return ok ? 0 : -1;
}

/* One of the built-in types that cross as a name? */
static int is_named(PyObject *v)
{
    PyObject *name = PyObject_GetAttrString(v, "__name__"), *t;
    int yes;
    if (!name) {
        PyErr_Clear();
        return 0;
    }
    t = PyDict_GetItemWithError(type_names, name);
    yes = t == v;
    if (!t)
        PyErr_Clear();
    Py_DECREF(name);
    return yes;
}

static int put_value(struct codec_out *o, PyObject *v, int depth)
{
    PyTypeObject *t = Py_TYPE(v);
    double d[2];
    if (--o->items < 0) {
        PyErr_Format(codec_too_much, "more than %d items", MAX_ITEMS);
        return -1;
    }
    if (v == Py_None)
        return put(o, 'N', "", 0);
    if (v == Py_True || v == Py_False)
        return o->canonical ? put_int(o, v) : put(o, v == Py_True ? 'T' : 'F', "", 0);
    if (t == &PyLong_Type)
        return put_int(o, v);
    if (o->canonical && (t == &PyFloat_Type || t == &PyComplex_Type)) {
        int rc = put_equal_int(o, v);
        if (rc)
            return rc < 0 ? -1 : 0;
    }
    if (t == &PyFloat_Type) {
        d[0] = PyFloat_AsDouble(v);
        return put(o, 'f', d, 8);
    }
    if (t == &PyUnicode_Type)
        return put_str(o, v);
    if (t == &PyList_Type || t == &PyTuple_Type)
        return put_sequence(o, v, t == &PyList_Type, depth);
    if (t == &PyDict_Type || (PyObject *)t == ordered || (PyObject *)t == defaults ||
        (PyObject *)t == counter)
        return o->canonical ? put_canonical(o, v, 1, depth) : put_dict(o, v, depth);
    if (t == &PySet_Type || t == &PyFrozenSet_Type)
        return o->canonical ? put_canonical(o, v, 0, depth)
                            : put_set(o, v, t == &PySet_Type ? 'S' : 'Z', depth);
    if (t == &PyBytes_Type) {
        Py_INCREF(v);
        return put_bytes_of(o, 'b', v);
    }
    if (t == &PyByteArray_Type)
        return put_blob(o, o->canonical ? 'b' : 'y', PyByteArray_AsString(v), PyByteArray_Size(v));
    if (t == &PyComplex_Type) {
        d[0] = PyComplex_RealAsDouble(v);
        d[1] = PyComplex_ImagAsDouble(v);
        return put(o, 'c', d, 16);
    }
    if (t == &PyRange_Type)
        return put_range(o, v, depth);
    if (t == &PyType_Type && is_named(v))
        return put_bytes_of(o, 'k', name_of(v));
    return put_handle(o, v);
}

int codec_begin(struct codec_out *o, size_t head)
{
    o->n = 0;
    if (grow(o, head) < 0)
        return -1;
    o->n = head;
    return 0;
}

int codec_put(struct codec_out *o, PyObject *v)
{
    o->items = MAX_ITEMS;
    return put_value(o, v, 0);
}

/* encode(value, handle, canonical=False): handle(x) -> (number, truth) is asked for what is not plain data. */
PyObject *codec_encode(PyObject *self, PyObject *args)
{
    struct codec_out o = {0};
    PyObject *v, *r = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO|p", &v, &o.handle, &o.canonical))
        return NULL;
    if (codec_put(&o, v) == 0)
        r = PyBytes_FromStringAndSize(o.b, (Py_ssize_t)o.n);
    PyMem_Free(o.b);
    return r;
}

/* ---- decode ---- */

struct in {
    const unsigned char *b;
    size_t pos, end;
    long items;
    PyObject *opaque;
};

static PyObject *bad(const char *what)
{
    PyErr_SetString(malformed, what);
    return NULL;
}

static const unsigned char *take(struct in *i, size_t n)
{
    const unsigned char *p = i->b + i->pos;
    if (n > i->end - i->pos) {
        PyErr_Format(malformed, "value cut off at byte %zu of %zu", i->pos, i->end);
        return NULL;
    }
    i->pos += n;
    return p;
}

/* A count of bytes (each: 1 byte at least) or of values, which can't be more than the bytes that are left. */
static Py_ssize_t count(struct in *i)
{
    const unsigned char *p = take(i, 4);
    uint32_t n;
    if (!p)
        return -1;
    memcpy(&n, p, 4);
    if (n > i->end - i->pos) {
        bad("a count beyond the frame");
        return -1;
    }
    return (Py_ssize_t)n;
}

/* A count of values; they are taken off the total before memory for them is. */
static Py_ssize_t count_items(struct in *i, int each)
{
    Py_ssize_t n = count(i);
    if (n >= 0 && each * n > i->items) {
        PyErr_Format(malformed, "more than %d items", MAX_ITEMS);
        return -1;
    }
    i->items -= each * n;
    return n;
}

static PyObject *get(struct in *i, int depth);

static PyObject *get_int(struct in *i)
{
    Py_ssize_t n = count(i);
    const unsigned char *p = n < 0 ? NULL : take(i, (size_t)n);
    PyObject *from, *a = NULL, *k = NULL, *r = NULL;
    if (!p)
        return NULL;
    if (n > MAX_INT)
        return bad("integer too long");
    from = PyObject_GetAttrString((PyObject *)&PyLong_Type, "from_bytes");
    if (from && (a = Py_BuildValue("(y#s)", (const char *)p, n, "little")) &&
        (k = Py_BuildValue("{s:O}", "signed", Py_True)))
        r = PyObject_Call(from, a, k);
    Py_XDECREF(from);
    Py_XDECREF(a);
    Py_XDECREF(k);
    return r;
}

static PyObject *get_str(struct in *i, const char *errors)
{
    Py_ssize_t n = count(i);
    const unsigned char *p = n < 0 ? NULL : take(i, (size_t)n);
    PyObject *r = p ? PyUnicode_DecodeUTF8((const char *)p, n, errors) : NULL;
    if (p && !r) {
        PyErr_Clear();
        return bad("bad text");
    }
    return r;
}

static PyObject *get_sequence(struct in *i, char tag, int depth)
{
    Py_ssize_t n = count_items(i, 1);
    PyObject *v, *r;
    if (n < 0 || !(v = tag == 't' ? PyTuple_New(n) : PyList_New(n)))
        return NULL;
    for (Py_ssize_t k = 0; k < n; k++) {
        PyObject *e = get(i, depth + 1);
        if (!e || (tag == 't' ? PyTuple_SetItem(v, k, e) : PyList_SetItem(v, k, e)) < 0) {
            Py_DECREF(v);
            return NULL;
        }
    }
    if (tag == 'l' || tag == 't')
        return v;
    r = tag == 'S' ? PySet_New(v) : PyFrozenSet_New(v);
    Py_DECREF(v);
    if (!r && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        return bad("unhashable element");
    }
    return r;
}

static PyObject *get_dict(struct in *i, int depth)
{
    Py_ssize_t n = count_items(i, 2);
    PyObject *d = n < 0 ? NULL : PyDict_New();
    for (Py_ssize_t k = 0; d && k < n; k++) {
        PyObject *key = get(i, depth + 1), *v = key ? get(i, depth + 1) : NULL;
        int rc = v ? PyDict_SetItem(d, key, v) : -1;
        Py_XDECREF(key);
        if (rc < 0) {
            if (v && PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Clear();
                bad("unhashable key");
            }
            Py_DECREF(d);
            d = NULL;
        }
        Py_XDECREF(v);
    }
    return d;
}

static PyObject *get_range(struct in *i, int depth)
{
    PyObject *e[3] = {NULL, NULL, NULL}, *r = NULL;
    int ok = 1;
    for (int k = 0; k < 3 && ok; k++)
        ok = (e[k] = get(i, depth + 1)) && Py_TYPE(e[k]) == &PyLong_Type;
    if (ok)
        r = PyObject_CallFunctionObjArgs((PyObject *)&PyRange_Type, e[0], e[1], e[2], NULL);
    if (!r && !(PyErr_Occurred() && PyErr_ExceptionMatches(malformed))) {
        PyErr_Clear();
        bad("bad range");
    }
    for (int k = 0; k < 3; k++)
        Py_XDECREF(e[k]);
    return r;
}

static PyObject *get_type(struct in *i)
{
    PyObject *name = get_str(i, "replace"), *t;
    if (!name)
        return NULL;
    t = PyDict_GetItemWithError(type_names, name);
    Py_DECREF(name);
    if (!t) {
        PyErr_Clear();
        return bad("unknown type");
    }
    Py_INCREF(t);
    return t;
}

static PyObject *get_handle(struct in *i)
{
    const unsigned char *p = take(i, 6);
    uint32_t number;
    PyObject *name, *r;
    if (!p)
        return NULL;
    if (p[5] != 's')
        return bad("handle without a name");
    memcpy(&number, p, 4);
    if (!(name = get_str(i, "replace"))) /* cut at a byte, perhaps inside a character */
        return NULL;
    r = PyObject_CallFunction(i->opaque, "kOO", (unsigned long)number,
                              p[4] == 1 ? Py_True : Py_False, name);
    Py_DECREF(name);
    return r;
}

static PyObject *get(struct in *i, int depth)
{
    const unsigned char *p;
    Py_ssize_t n;
    int32_t j;
    double d[2];
    if (depth > MAX_DEPTH + 1)
        return bad("nested too deep");
    if (!(p = take(i, 1)))
        return NULL;
    switch (*p) {
    case 'N':
        Py_RETURN_NONE;
    case 'T':
        Py_RETURN_TRUE;
    case 'F':
        Py_RETURN_FALSE;
    case 'j':
        if (!(p = take(i, 4)))
            return NULL;
        memcpy(&j, p, 4);
        return PyLong_FromLong(j);
    case 'i':
        return get_int(i);
    case 'f':
        if (!(p = take(i, 8)))
            return NULL;
        memcpy(d, p, 8);
        return PyFloat_FromDouble(d[0]);
    case 's':
        return get_str(i, "surrogatepass");
    case 'l':
    case 't':
    case 'S':
    case 'Z':
        return get_sequence(i, (char)*p, depth);
    case 'd':
        return get_dict(i, depth);
    case 'b':
        if ((n = count(i)) < 0 || !(p = take(i, (size_t)n)))
            return NULL;
        return PyBytes_FromStringAndSize((const char *)p, n);
    case 'y':
        if ((n = count(i)) < 0 || !(p = take(i, (size_t)n)))
            return NULL;
        return PyByteArray_FromStringAndSize((const char *)p, n);
    case 'c':
        if (!(p = take(i, 16)))
            return NULL;
        memcpy(d, p, 16);
        return PyComplex_FromDoubles(d[0], d[1]);
    case 'r':
        return get_range(i, depth);
    case 'k':
        return get_type(i);
    case 'o':
        return get_handle(i);
    }
    return bad("unknown tag");
}

PyObject *codec_value(const char *b, size_t n, PyObject *opaque)
{
    struct in i = {.b = (const unsigned char *)b, .end = n, .items = MAX_ITEMS, .opaque = opaque};
    PyObject *v = get(&i, 0);
    if (v && i.pos != n) {
        Py_DECREF(v);
        return bad("bytes after the value");
    }
    return v;
}

/* decode(bytes, pos, opaque): opaque(number, truth, type_name) makes the stand-in of a handle. */
PyObject *codec_decode(PyObject *self, PyObject *args)
{
    struct in i = {.items = MAX_ITEMS};
    const char *b;
    Py_ssize_t n, pos;
    PyObject *v;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#nO", &b, &n, &pos, &i.opaque))
        return NULL;
    if (pos < 0 || pos > n)
        return bad("a position beyond the frame");
    i.b = (const unsigned char *)b;
    i.pos = (size_t)pos;
    i.end = (size_t)n;
    if (!(v = get(&i, 0)))
        return NULL;
    return Py_BuildValue("(Nn)", v, (Py_ssize_t)i.pos);
}

/* ---- */

static PyObject *from(const char *module, const char *name)
{
    PyObject *m = PyImport_ImportModule(module), *v = m ? PyObject_GetAttrString(m, name) : NULL;
    Py_XDECREF(m);
    return v;
}

int codec_init(PyObject *module)
{
    static const char *const names[] = {"int",       "float",     "complex", "bool",   "str",
                                        "bytes",     "bytearray", "list",    "tuple",  "set",
                                        "frozenset", "dict",      "range",   "object", "type"};
    if (!(ordered = from("collections", "OrderedDict")) ||
        !(defaults = from("collections", "defaultdict")) ||
        !(counter = from("collections", "Counter")) || !(type_names = PyDict_New()))
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PyObject *t = from("builtins", names[i]);
        if (!t || PyDict_SetItemString(type_names, names[i], t) < 0)
            return -1;
        Py_DECREF(t);
    }
    if (PyDict_SetItemString(type_names, "NoneType", (PyObject *)Py_TYPE(Py_None)) < 0)
        return -1;
    codec_too_much = PyErr_NewException("zygote.TooMuch", NULL, NULL);
    malformed = PyErr_NewException("zygote.Malformed", NULL, NULL);
    if (!codec_too_much || !malformed ||
        PyModule_AddIntConstant(module, "MAX_FRAME", MAX_FRAME) < 0)
        return -1;
    Py_INCREF(codec_too_much);
    Py_INCREF(malformed);
    return PyModule_AddObject(module, "TooMuch", codec_too_much) < 0 ||
                   PyModule_AddObject(module, "Malformed", malformed) < 0
               ? -1
               : 0;
}
