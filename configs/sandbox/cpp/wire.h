/* wire.h - plain data as bytes, and frames: configs/sandbox/wire.md for C and C++
 *
 * It stands before code that was not written for it, so it includes nothing and brings no name but
 * its own.  Readers and writers remember the first thing that went wrong in `bad` and do nothing
 * from then on: one look at the end is enough. */
#ifndef APR_WIRE_H
#define APR_WIRE_H
#ifdef __cplusplus
extern "C" {
#endif

enum { APR_MAX_ITEMS = 1 << 20, APR_MAX_INT = 1 << 17, APR_MAX_FRAME = 1 << 24 };

struct apr_out { /* a frame in the making: 4 bytes length, 8 nonce, 1 kind, value */
    unsigned char *p;
    unsigned long n, size;
    const char *bad; /* why it cannot be sent, or NULL */
};
struct apr_in { /* a value being read */
    const unsigned char *p;
    unsigned long n, pos, left; /* left: items that may still come */
    const char *bad;            /* what is wrong with it, or NULL */
    int malformed;              /* bad: no value at all, rather than one of another type */
    int nan;                    /* a number that was read is none */
};

void apr_start(struct apr_out *o, char kind); /* empty the frame */
void apr_put_null(struct apr_out *o);
void apr_put_bool(struct apr_out *o, int v);
void apr_put_int(struct apr_out *o, long long v);
void apr_put_uint(struct apr_out *o, unsigned long long v);
void apr_put_real(struct apr_out *o, double v);
void apr_put_blob(struct apr_out *o, char tag, const void *p, unsigned long n);
void apr_put_string(struct apr_out *o, const char *s);            /* bytes, or null */
void apr_put_count(struct apr_out *o, char tag, unsigned long n); /* n values follow; d: n pairs */

int apr_peek(const struct apr_in *in); /* the next tag, 0 at the end */
void apr_get_null(struct apr_in *in);
/* A number that has the same value in the type that is asked for; 0 if there is none. */
int apr_get_bool(struct apr_in *in);
long long apr_get_int(struct apr_in *in, long long min, long long max);
unsigned long long apr_get_uint(struct apr_in *in, unsigned long long max);
double apr_get_real(struct apr_in *in);
/* n bytes inside the frame, and a 0 behind them is not promised. */
const void *apr_get_blob(struct apr_in *in, char tag, unsigned long *n);
char *apr_get_string(struct apr_in *in); /* malloc, with a 0; NULL for null */
unsigned long apr_get_count(struct apr_in *in, char tag);
void apr_get_exactly(struct apr_in *in, char tag, unsigned long n); /* a count that is known */
void apr_wrong(struct apr_in *in, const char *what);                /* a value of another type */
/* Over what is there: bytes of exactly n, a text no longer than the one it replaces. */
void apr_copy_bytes(struct apr_in *in, char *to, unsigned long n);
void apr_copy_string(struct apr_in *in, char *to);
void *apr_array(unsigned long n, unsigned long size); /* zeros; never fails */

/* One frame on descriptor 3. apr_read: the bytes behind the length, in a buffer that the next call
 * overwrites; NULL at the end of the stream or if the length is not one, with *n = that length. */
unsigned char *apr_read(unsigned long *n);
int apr_write(struct apr_out *o,
              const unsigned char nonce[8]); /* negative: the other end is closed */

/* ---- the candidate: answers calls of `name` until the checker is gone ---- */
typedef void apr_function(struct apr_in *args, struct apr_out *result);
int apr_serve(const char *name, unsigned long n_args, apr_function *f);
/* Answer with an exception instead: its type, "MemoryError" or "Exception", text, errno. */
void apr_throw(struct apr_out *o, const char *type, const char *base, const char *text, int number);

/* ---- the checker ---- */
struct apr_out *apr_question(const char *name, unsigned long n_args); /* then put the arguments */
/* The answer; with n_back > 0 the value is followed by so many arguments as they are after the call.
 * Does not return if there is none. */
struct apr_in *apr_answer(unsigned long n_back);
void apr_accept(struct apr_in *in); /* it has been read: ends the test if that went wrong */
void apr_at(int assertion);         /* this one begins */
void apr_right(void);               /* and holds */
void apr_false(const char *text) __attribute__((noreturn)); /* and does not */
extern const int apr_total;                                 /* how many there are */
extern const int apr_nan;                                   /* the test knows of NaN */

#ifdef __cplusplus
}
#endif
#endif
