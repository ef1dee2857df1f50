/* wire - plain data as bytes, and frames, for C and C++ */
#include "wire.h"
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 13 }; /* length, nonce, kind */

/* ---- writing ---- */

static unsigned char *room(struct apr_out *o, unsigned long n)
{
    if (o->bad)
        return NULL;
    if (n > APR_MAX_FRAME - 64 || o->n > APR_MAX_FRAME - 64 - n) {
        o->bad = "more than 16 MiB";
        return NULL;
    }
    if (o->n + n > o->size) {
        unsigned long size = 2 * (o->n + n) + 256;
        unsigned char *p = realloc(o->p, size);
        if (!p) {
            o->bad = "out of memory";
            return NULL;
        }
        o->p = p;
        o->size = size;
    }
    o->n += n;
    return o->p + o->n - n;
}

static void little(unsigned char *p, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t big(const unsigned char *p, int n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

void apr_start(struct apr_out *o, char kind)
{
    unsigned char *p;
    o->n = 0;
    o->bad = NULL;
    if ((p = room(o, HEADER)))
        p[12] = (unsigned char)kind;
}

void apr_put_null(struct apr_out *o)
{
    unsigned char *p = room(o, 1);
    if (p)
        *p = 'N';
}

void apr_put_bool(struct apr_out *o, int v)
{
    unsigned char *p = room(o, 1);
    if (p)
        *p = v ? 'T' : 'F';
}

/* Two's complement in as many bytes as Python's bit_length() // 8 + 1; sign: all ones or none. */
static void put_long(struct apr_out *o, uint64_t v, uint64_t sign)
{
    int bits = 64, n;
    unsigned char *p;
    while (bits > 0 && !((v ^ sign) >> (bits - 1) & 1))
        bits--;
    n = bits / 8 + 1;
    if (!(p = room(o, 5 + (unsigned long)n)))
        return;
    p[0] = 'i';
    little(p + 1, (uint64_t)n, 4);
    for (int i = 0; i < n; i++)
        p[5 + i] = (unsigned char)((i < 8 ? v >> 8 * i : sign) & 255);
}

void apr_put_int(struct apr_out *o, long long v)
{
    unsigned char *p;
    if (v < INT32_MIN || v > INT32_MAX) {
        put_long(o, (uint64_t)v, v < 0 ? ~(uint64_t)0 : 0);
    } else if ((p = room(o, 5))) {
        p[0] = 'j';
        little(p + 1, (uint32_t)v, 4);
    }
}

void apr_put_uint(struct apr_out *o, unsigned long long v)
{
    if (v <= INT32_MAX)
        apr_put_int(o, (long long)v);
    else
        put_long(o, v, 0);
}

void apr_put_real(struct apr_out *o, double v)
{
    unsigned char *p = room(o, 9);
    uint64_t bits;
    memcpy(&bits, &v, 8);
    if (p) {
        p[0] = 'f';
        little(p + 1, bits, 8);
    }
}

void apr_put_count(struct apr_out *o, char tag, unsigned long n)
{
    unsigned char *p = room(o, 5);
    if (p && n > APR_MAX_ITEMS) {
        o->bad = "more than 1048576 items";
    } else if (p) {
        p[0] = (unsigned char)tag;
        little(p + 1, n, 4);
    }
}

void apr_put_blob(struct apr_out *o, char tag, const void *b, unsigned long n)
{
    unsigned char *p = n < APR_MAX_FRAME ? room(o, 5 + n) : room(o, n);
    if (p) {
        p[0] = (unsigned char)tag;
        little(p + 1, n, 4);
        if (n)
            memcpy(p + 5, b, n);
    }
}

void apr_put_string(struct apr_out *o, const char *s)
{
    if (s)
        apr_put_blob(o, 'b', s, strlen(s));
    else
        apr_put_null(o);
}

/* ---- reading ---- */

static void malformed(struct apr_in *in, const char *what)
{
    if (!in->bad) {
        in->bad = what;
        in->malformed = 1;
    }
}

void apr_wrong(struct apr_in *in, const char *what)
{
    if (!in->bad)
        in->bad = what;
}

static const unsigned char *take(struct apr_in *in, unsigned long n)
{
    if (!in->bad && n > in->n - in->pos)
        malformed(in, "a value is cut off");
    if (in->bad)
        return NULL;
    in->pos += n;
    return in->p + in->pos - n;
}

int apr_peek(const struct apr_in *in)
{
    return in->bad || in->pos >= in->n ? 0 : in->p[in->pos];
}

static int tag_of(struct apr_in *in) /* and count the item */
{
    const unsigned char *p = take(in, 1);
    if (p && in->left-- == 0)
        malformed(in, "more than 1048576 items");
    return in->bad ? 0 : *p;
}

void apr_get_null(struct apr_in *in)
{
    if (tag_of(in) != 'N')
        apr_wrong(in, "null expected");
}

unsigned long apr_get_count(struct apr_in *in, char tag)
{
    int t = tag_of(in);
    const unsigned char *p = t ? take(in, 4) : NULL;
    unsigned long n = p ? (unsigned long)big(p, 4) : 0;
    if (p && t != tag)
        apr_wrong(in, tag == 'd'   ? "a map expected"
                      : tag == 'S' ? "a set expected"
                      : tag == 't' ? "a tuple expected"
                                   : "a list expected");
    else if (n > in->n - in->pos) /* an item has at least one byte */
        malformed(in, "a count beyond the frame");
    return in->bad ? 0 : n;
}

void apr_get_exactly(struct apr_in *in, char tag, unsigned long n)
{
    if (apr_get_count(in, tag) != n)
        apr_wrong(in, "another number of values expected");
}

const void *apr_get_blob(struct apr_in *in, char tag, unsigned long *n)
{
    int t = tag_of(in);
    const unsigned char *p;
    *n = 0;
    if (t != tag)
        apr_wrong(in, "text expected");
    if (!(p = take(in, 4)))
        return NULL;
    *n = (unsigned long)big(p, 4);
    if (!(p = take(in, *n)))
        *n = 0;
    return p;
}

char *apr_get_string(struct apr_in *in)
{
    unsigned long n;
    const void *p;
    char *s;
    if (apr_peek(in) == 'N') {
        apr_get_null(in);
        return NULL;
    }
    p = apr_get_blob(in, 'b', &n);
    s = apr_array(n + 1, 1);
    if (n)
        memcpy(s, p, n);
    return s;
}

void apr_copy_bytes(struct apr_in *in, char *to, unsigned long n)
{
    unsigned long k;
    const void *p = apr_get_blob(in, 'b', &k);
    if (k != n)
        apr_wrong(in, "another number of bytes expected");
    else if (n)
        memcpy(to, p, n);
}

void apr_copy_string(struct apr_in *in, char *to)
{
    unsigned long k;
    const void *p;
    if (!to) {
        apr_get_null(in);
        return;
    }
    p = apr_get_blob(in, 'b', &k);
    if (k > strlen(to) || (k && memchr(p, 0, k)))
        apr_wrong(in, "a text that does not fit");
    else if (!in->bad) {
        memcpy(to, p ? p : "", k);
        to[k] = 0;
    }
}

/* An integer of any tag: its low 64 bits, and whether it is negative. 0 if it is none of 64 bits. */
static int integer(struct apr_in *in, uint64_t *v, int *negative)
{
    int t = tag_of(in);
    const unsigned char *p;
    unsigned long n;
    double d;
    *v = 0;
    *negative = 0;
    if (t == 'T' || t == 'F') {
        *v = t == 'T';
    } else if (t == 'j') {
        int32_t x = (p = take(in, 4)) ? (int32_t)(uint32_t)big(p, 4) : 0;
        *v = (uint64_t)(int64_t)x;
        *negative = x < 0;
    } else if (t == 'i') {
        if (!(p = take(in, 4)))
            return 0;
        n = (unsigned long)big(p, 4);
        if (n > APR_MAX_INT)
            malformed(in, "integer too long");
        if (!(p = take(in, n)))
            return 0;
        *negative = n > 0 && p[n - 1] >> 7;
        for (unsigned long i = 8; i < n; i++)
            if (p[i] != (*negative ? 255 : 0))
                return 0;
        *v = big(p, n < 8 ? (int)n : 8);
        if (*negative && n < 8)
            *v |= ~(uint64_t)0 << 8 * n;
        return !(*negative && n >= 8 && !(*v >> 63)); /* below -2^63 */
    } else if (t == 'f') {
        if (!(p = take(in, 8)))
            return 0;
        *v = big(p, 8);
        memcpy(&d, v, 8);
        if (!(d >= -9223372036854775808.0 && d < 9223372036854775808.0) || d != floor(d))
            return 0;
        *v = (uint64_t)(int64_t)d;
        *negative = d < 0;
    } else {
        return 0;
    }
    return !in->bad;
}

long long apr_get_int(struct apr_in *in, long long min, long long max)
{
    uint64_t v;
    int negative;
    long long x;
    if (!integer(in, &v, &negative) || (!negative && v > INT64_MAX)) {
        apr_wrong(in, "an integer of that size expected");
        return 0;
    }
    x = (long long)v;
    if (x < min || x > max)
        apr_wrong(in, "an integer of that size expected");
    return in->bad ? 0 : x;
}

unsigned long long apr_get_uint(struct apr_in *in, unsigned long long max)
{
    uint64_t v;
    int negative;
    if (!integer(in, &v, &negative) || negative || v > max)
        apr_wrong(in, "an unsigned integer of that size expected");
    return in->bad ? 0 : v;
}

int apr_get_bool(struct apr_in *in)
{
    return (int)apr_get_uint(in, 1);
}

double apr_get_real(struct apr_in *in)
{
    if (apr_peek(in) == 'f') {
        const unsigned char *p;
        uint64_t bits;
        double d = 0;
        tag_of(in);
        if ((p = take(in, 8))) {
            bits = big(p, 8);
            memcpy(&d, &bits, 8);
        }
        in->nan |= d != d;
        return d;
    }
    uint64_t v;
    int negative;
    if (!integer(in, &v, &negative)) {
        apr_wrong(in, "a number expected");
        return 0;
    }
    return negative ? (double)(int64_t)v : (double)v;
}

void *apr_array(unsigned long n, unsigned long size)
{
    unsigned long bytes =
        n * size; /* n is a count that came in a frame, or of something that exists */
    unsigned char *p = calloc(bytes + 32, 1);
    if (!p)
        _exit(121);              /* configs/sandbox/zygote.py: out of memory */
    memset(p + bytes, 0x55, 32); /* who reads behind the end shall not find zeros */
    return p;
}

/* ---- frames ---- */

static int receive(unsigned char *p, unsigned long n)
{
    while (n > 0) {
        ssize_t k = read(3, p, n);
        if (k == 0 || (k < 0 && errno != EINTR))
            return -1;
        if (k > 0) {
            p += k;
            n -= (unsigned long)k;
        }
    }
    return 0;
}

unsigned char *apr_read(unsigned long *n)
{
    static unsigned char *frame;
    unsigned char head[4];
    free(frame);
    frame = NULL;
    *n = 0;
    if (receive(head, 4) < 0)
        return NULL;
    *n = (unsigned long)big(head, 4);
    if (*n < 10 || *n > APR_MAX_FRAME)
        return NULL;
    frame = apr_array(*n, 1);
    if (receive(frame, *n) < 0) {
        *n = 0;
        return NULL;
    }
    return frame;
}

int apr_write(struct apr_out *o, const unsigned char nonce[8])
{
    const unsigned char *p = o->p;
    unsigned long n = o->n;
    little(o->p, n - 4, 4);
    memcpy(o->p + 4, nonce, 8);
    while (n > 0) {
        ssize_t k = send(3, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno != EINTR)
            return -1;
        if (k > 0) {
            p += k;
            n -= (unsigned long)k;
        }
    }
    return 0;
}
