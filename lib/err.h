/* err.h - errors as values: a code, and a message filled where the failure was seen
 *
 * A function that can fail returns 0 or a negative enum err_code and fills *e (first error wins).  The
 * message says file, tensor, offset, expected, found; lower case, no full stop.  Nothing in lib prints
 * or exits but cli.c. */
#ifndef ERR_H
#define ERR_H
#include <stdarg.h>

/* code, exit status (sysexits.h), text */
#define ERR_CODES(X)                                                                               \
    X(ERR_NO, 1, "the answer is no")                                                               \
    X(ERR_USAGE, 64, "usage")                                                                      \
    X(ERR_DATA, 65, "bad input")                                                                   \
    X(ERR_NOINPUT, 66, "cannot open input")                                                        \
    X(ERR_UNAVAILABLE, 69, "not available")                                                        \
    X(ERR_SOFTWARE, 70, "internal error")                                                          \
    X(ERR_OS, 71, "operating system error")                                                        \
    X(ERR_CANTCREAT, 73, "cannot create output")                                                   \
    X(ERR_IO, 74, "input/output error")                                                            \
    X(ERR_LOCKED, 75, "locked")                                                                    \
    X(ERR_CONFIG, 78, "bad configuration")                                                         \
    X(ERR_NOMEM, 71, "out of memory")

enum err_zero { ERR_OK = 0, err_first = -100 };
enum err_code {
#define X(code, exit, text) code##_pos,
    ERR_CODES(X)
#undef X
};
/* negative codes: ERR_DATA and so on */
enum err_negative {
#define X(code, exit, text) code = -100 - code##_pos,
    ERR_CODES(X)
#undef X
};

struct err {
    int code;
    char msg[512];
};

/* Fill e (if it is empty) and return code: `return err_set(e, ERR_DATA, "%s: ...", path);` */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same with ": strerror(errno)" appended. */
int err_errno(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Put "prefix: " before the message, as it passes a place that knows more. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int err_exit_code(int code); /* sysexit of a code; 70 for an unknown one */
int err_of_exit(int status); /* the first code of that sysexit; ERR_SOFTWARE for an unknown one */
const char *err_text(int code);
#endif
