/* err - error codes, their texts and exit statuses */
#include "err.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    if (e && !e->code) {
        va_list ap;
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
    }
    return code;
}

int err_errno(struct err *e, int code, const char *fmt, ...)
{
    int saved = errno;
    if (e && !e->code) {
        va_list ap;
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof e->msg, fmt, ap);
        va_end(ap);
        size_t n = strlen(e->msg);
        snprintf(e->msg + n, sizeof e->msg - n, ": %s", strerror(saved));
    }
    return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char buf[sizeof e->msg], head[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    snprintf(buf, sizeof buf, "%s: %.250s", head, e->msg);
    memcpy(e->msg, buf, sizeof buf);
    return e->code;
}

int err_exit_code(int code)
{
    switch (code) {
    case 0:
        return 0;
#define X(name, exit, text)                                                                        \
    case name:                                                                                     \
        return exit;
        ERR_CODES(X)
#undef X
    }
    return 70;
}

int err_of_exit(int status)
{
#define X(name, exit, text)                                                                        \
    if (status == exit)                                                                            \
        return name;
    ERR_CODES(X)
#undef X
    return ERR_SOFTWARE;
}

const char *err_text(int code)
{
    switch (code) {
    case 0:
        return "ok";
#define X(name, exit, text)                                                                        \
    case name:                                                                                     \
        return text;
        ERR_CODES(X)
#undef X
    }
    return "unknown error";
}
