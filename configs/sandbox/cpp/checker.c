/* checker - in the test's process: asks the candidate, and reports on descriptor 5
 *
 * The test's main() runs as it is.  A pass is reported when the process ends with status 0, which
 * only the test can make it do: nothing of the candidate's is in this process.  All else that can
 * happen ends in report() before. */
#define _GNU_SOURCE
#include "wire.h"
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static char nonce_of_job[80], got[160];
static int at = -1, reached, calls;
static struct apr_out question;
static struct apr_in answer;

/* ---- the report ---- */

/* s as the inside of a JSON string: printable ASCII as it is, all else by its code. */
static void quote(char *out, size_t size, const char *s)
{
    size_t n = 0;
    for (; *s && n + 7 < size; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c >= 32 && c < 127) {
            out[n++] = (char)c;
        } else {
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c < 32 ? c : '?');
        }
    }
    out[n] = 0;
}

static _Noreturn void report(const char *verdict, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static _Noreturn void report(const char *verdict, const char *fmt, ...)
{
    char detail[700], quoted[2000], line[2400];
    const char *p = line;
    va_list ap;
    int n, pass = !strcmp(verdict, "pass");
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    quote(quoted, sizeof quoted, detail);
    n = snprintf(line, sizeof line,
                 "{\"nonce\":\"%s\",\"verdict\":\"%s\",\"detail\":\"%s\",\"run\":%d,\"total\":%d}",
                 nonce_of_job, verdict, quoted, pass ? apr_total : reached, apr_total);
    while (n > 0) {
        ssize_t k = write(5, p, (size_t)n);
        if (k < 0 && errno != EINTR)
            break;
        if (k > 0) {
            p += k;
            n -= (int)k;
        }
    }
    _exit(0);
}

static const char *place(void)
{
    static char s[40];
    if (at < 0)
        return "test";
    snprintf(s, sizeof s, "assert %d of %d", at + 1, apr_total);
    return s;
}

void apr_at(int assertion)
{
    at = assertion;
    reached = at + 1 > reached ? at + 1 : reached;
}

void apr_right(void)
{
    at = -1;
}

void apr_false(const char *text)
{
    report("wrong_answer", "%s: %.160s; got %s", place(), text, calls ? got : "nothing");
}

/* libc's assert, for a header that includes the real <assert.h> by its path */
_Noreturn void __assert_fail(const char *text, const char *file, unsigned line,
                             const char *function)
{
    (void)file, (void)function;
    report("wrong_answer", "line %u: %.160s; got %s", line, text, calls ? got : "nothing");
}

/* ---- what came back, for people ---- */

static size_t show(char *out, size_t size, const unsigned char **p, const unsigned char *end);

static size_t show_blob(char *out, size_t size, const unsigned char *b, uint32_t n)
{
    size_t k = 0;
    k += (size_t)snprintf(out, size, "\"");
    for (uint32_t i = 0; i < n && k + 8 < size && i < 60; i++)
        k += (size_t)snprintf(out + k, size - k, b[i] >= 32 && b[i] < 127 ? "%c" : "\\x%02x", b[i]);
    return k + (size_t)snprintf(out + k, size - k, n > 60 ? "...\"" : "\"");
}

static size_t show_many(char *out, size_t size, const unsigned char **p, const unsigned char *end,
                        int tag, uint32_t n)
{
    size_t k = (size_t)snprintf(out, size, tag == 'l' ? "[" : tag == 't' ? "(" : "{");
    for (uint32_t i = 0; i < n && *p < end; i++) {
        if (k + 12 > size || i == 20)
            return k + (size_t)snprintf(out + k, size - k, "...");
        k += i ? (size_t)snprintf(out + k, size - k, ", ") : 0;
        k += show(out + k, size - k, p, end);
        if (tag == 'd' && k + 12 < size) {
            k += (size_t)snprintf(out + k, size - k, ": ");
            k += show(out + k, size - k, p, end);
        }
    }
    if (k + 2 < size)
        k += (size_t)snprintf(out + k, size - k, tag == 'l' ? "]" : tag == 't' ? ")" : "}");
    return k;
}

/* The value at *p, which has been read before and is well-formed; never more than size - 1 bytes. */
static size_t show(char *out, size_t size, const unsigned char **p, const unsigned char *end)
{
    int tag;
    uint32_t n = 0;
    double d;
    int32_t v;
    if (*p >= end || size < 40)
        return (size_t)snprintf(out, size, "...");
    tag = *(*p)++;
    if (strchr("jilsbtSd", tag) && end - *p >= 4) {
        memcpy(&n, *p, 4);
        *p += 4;
    }
    switch (tag) {
    case 'N':
        return (size_t)snprintf(out, size, "null");
    case 'T':
    case 'F':
        return (size_t)snprintf(out, size, tag == 'T' ? "true" : "false");
    case 'j':
        memcpy(&v, &n, 4);
        return (size_t)snprintf(out, size, "%d", v);
    case 'f':
        if (end - *p < 8)
            break;
        memcpy(&d, *p, 8);
        *p += 8;
        return (size_t)snprintf(out, size, "%.9g", d);
    case 'i':
    case 's':
    case 'b':
        if (n > (size_t)(end - *p))
            break;
        *p += n;
        if (tag != 'i')
            return show_blob(out, size, *p - n, n);
        if (n < 1 || n > 9 || (n == 9 && (*p)[-1]))
            return (size_t)snprintf(out, size, "<integer of %u bytes>", n);
        uint64_t x = (*p)[-1] >> 7 ? ~(uint64_t)0 : 0;
        for (uint32_t i = n; i-- > 0;)
            x = x << 8 | (*p - n)[i];
        return (size_t)(n < 9 ? snprintf(out, size, "%lld", (long long)x)
                              : snprintf(out, size, "%llu", (unsigned long long)x));
    case 'l':
    case 't':
    case 'S':
    case 'd':
        return show_many(out, size, p, end, tag, n);
    }
    return (size_t)snprintf(out, size, "...");
}

/* ---- questions and answers ---- */

struct apr_out *apr_question(const char *name, unsigned long n_args)
{
    apr_start(&question, 'C');
    apr_put_count(&question, 't', 2);
    apr_put_blob(&question, 's', name, strlen(name));
    apr_put_count(&question, 't', n_args);
    return &question;
}

/* Send the question; the kind of the answer, with `answer` at its value. 0: the other end is closed. */
static int ask(void)
{
    unsigned char nonce[8], *frame;
    unsigned long n;
    if (question.bad)
        report("harness_error", "the test's arguments: %s", question.bad);
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        report("harness_error", "no random numbers");
    if (apr_write(&question, nonce) < 0)
        return 0;
    frame = apr_read(&n);
    if (!frame) {
        if (n > 0)
            report("protocol", "%s: a frame of %lu bytes", place(), n);
        return 0;
    }
    if (memcmp(frame, nonce, sizeof nonce))
        report("protocol", "%s: an answer to another question", place());
    answer = (struct apr_in){.p = frame + 9, .n = n - 9, .left = APR_MAX_ITEMS};
    return frame[8];
}

static void copy(char *out, size_t size, struct apr_in *in) /* the next text, readable */
{
    unsigned long n;
    const char *p = apr_get_blob(in, 's', &n);
    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), p ? p : "");
}

static _Noreturn void exception(struct apr_in *in)
{
    char type[101], base[32], text[301];
    long long number;
    const char *verdict = "exception";
    apr_get_exactly(in, 't', 4);
    copy(type, sizeof type, in);
    copy(base, sizeof base, in);
    copy(text, sizeof text, in);
    number = apr_get_int(in, 0, 999);
    if (in->bad)
        report("protocol", "%s: an answer of no kind", place());
    if (!strcmp(base, "MemoryError"))
        verdict = "memory";
    else if (number == EAGAIN)
        verdict = "process_limit";
    else if (number == EFBIG || number == ENOSPC || number == EDQUOT)
        verdict = "file_limit";
    report(verdict, "%s%s%s", type, *text ? ": " : "", text);
}

struct apr_in *apr_answer(unsigned long n_back)
{
    char text[201];
    const unsigned char *p;
    int kind;
    calls++;
    kind = ask();
    switch (kind) {
    case 0:
        report("gone", "%s", place());
    case 'A':
    case 'V':
        if ((kind == 'A') != (n_back > 0))
            break;
        p = answer.p;
        show(got, sizeof got, &p, answer.p + answer.n);
        if (kind == 'A')
            apr_get_exactly(&answer, 't', 1 + n_back);
        return &answer;
    case 'B':
        copy(text, sizeof text, &answer);
        report("bad_return", "%s: not plain data: %s", place(), text);
    case 'E':
        exception(&answer);
    }
    report("protocol", "%s: an answer of no kind", place());
}

void apr_accept(struct apr_in *in)
{
    if (!in->bad && in->pos != in->n) {
        in->bad = "bytes after the value";
        in->malformed = 1;
    }
    if (in->bad)
        report(in->malformed ? "protocol" : "bad_return", "%s: %s; got %s", place(), in->bad, got);
    /* HumanEval-X compares reals by fabs(a - b) > 1e-4, which NaN is not, so NaN would be right */
    if (in->nan && !apr_nan)
        report("wrong_answer", "%s: not a number; got %s", place(), got);
}

/* ---- the test's beginning and end ---- */

/* A value from outside has led the test to memory that is not there, or to abort(). */
static void on_signal(int s)
{
    if (calls)
        report("wrong_answer", "%s: the test ends with signal %d; got %s", place(), s, got);
    report("harness_error", "the test ends with signal %d", s);
}

static void at_end(int status, void *unused)
{
    (void)unused;
    if (status != 0)
        report(calls ? "wrong_answer" : "harness_error", "the test ends with status %d", status);
    at = -1;
    if (calls == 0)
        report("harness_error", "the test does not call what it is to test");
    apr_start(&question, 'P');
    apr_put_null(&question);
    ask(); /* an answer too many would come here; that the candidate is gone by now does not matter */
    report("pass", "%s", "");
}

__attribute__((constructor)) static void begin(void)
{
    static char stack[65536];
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK | (int)SA_RESETHAND};
    const char *job = getenv("APR_NONCE");
    snprintf(nonce_of_job, sizeof nonce_of_job, "%s", job ? job : "");
    unsetenv("APR_NONCE");
    mallopt(M_PERTURB, 0x55); /* what the test does not set is nothing that it has seen before */
    sigaltstack(&s, NULL);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &a, NULL);
    if (on_exit(at_end, NULL) != 0)
        _exit(70);
}
