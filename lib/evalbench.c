/* evalbench - five tools in a pipe, and the score that the last one prints */
#include "evalbench.h"
#include "json.h"
#include "tooltab.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOOLS = 5, WORDS = 12, SCORE = 1 << 20 };
struct tool {
    const char *argv[WORDS + 1];
    int n;
    char exe[PATH_MAX], said[PATH_MAX]; /* said: its standard error */
    pid_t pid;
    int status;
};
struct chain {
    struct tool t[TOOLS];
    int n, out; /* started; the last one's standard output, -1: none yet */
    char adapter[PATH_MAX + 8];
};

static void words(struct tool *t, ...)
{
    va_list ap;
    const char *w;
    va_start(ap, t);
    while (t->n < WORDS && (w = va_arg(ap, const char *)))
        t->argv[t->n++] = w;
    va_end(ap);
}

static int plan(struct chain *c, const struct evalbench *b, const char *threads, struct err *e)
{
    static const char *const names[TOOLS] = {"apr-prompt", "apr-gen", "apr-extract", "apr-sandbox",
                                             "passk"};
    const char *const none = NULL, *const dir = tooltab_dir();
    for (int i = 0; i < TOOLS; i++) {
        struct tool *t = &c->t[i];
        if (!dir || snprintf(t->exe, sizeof t->exe, "%s/%s", dir, names[i]) >= PATH_MAX ||
            access(t->exe, X_OK))
            return err_set(e, ERR_UNAVAILABLE, "%s: not beside this program", names[i]);
        if (snprintf(t->said, sizeof t->said, "%s/%s.log", b->scratch, names[i]) >= PATH_MAX)
            return err_set(e, ERR_CANTCREAT, "%s: path too long", b->scratch);
        words(t, names[i], "-q", none);
    }
    words(&c->t[0], "--bench", b->bench, none);
    words(&c->t[1], "-m", b->model, "--device", b->device, "--threads", threads, none);
    if (b->adapter) {
        snprintf(c->adapter, sizeof c->adapter, "tuned=%s", b->adapter);
        words(&c->t[1], "--adapter", c->adapter, "--default-adapter", "tuned", none);
    }
    words(&c->t[3], "--bench", b->bench, none);
    words(&c->t[4], "--json", "--bench", b->bench, none);
    return 0;
}

/* In the child: what is open here is not for the tool. */
static _Noreturn void become(const struct tool *t, int in, int out, pid_t parent)
{
    int log = open(t->said, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent && log >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 &&
        dup2(log, 2) == 2) {
        syscall(SYS_close_range, 3U, ~0U, 0U);
        execv(t->exe, (char *const *)(uintptr_t)t->argv);
    }
    _exit(127);
}

/* Tool i, with the output of the one before it as its input. */
static int start(struct chain *c, int i, struct err *e)
{
    const pid_t me = getpid();
    const int in = i ? c->out : open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fd[2];
    c->out = -1;
    if (in < 0 || pipe2(fd, O_CLOEXEC)) {
        err_errno(e, ERR_OS, "%s: its pipe", c->t[i].argv[0]);
        if (in >= 0)
            close(in);
        return e->code;
    }
    const pid_t pid = fork();
    if (pid == 0)
        become(&c->t[i], in, fd[1], me);
    const int rc = pid < 0 ? err_errno(e, ERR_OS, "%s: fork", c->t[i].argv[0]) : 0;
    close(in);
    close(fd[1]);
    c->out = fd[0];
    c->t[i].pid = pid;
    c->n += pid > 0;
    return rc;
}

/* All that the last tool prints, at most SCORE - 1 bytes; the rest is read and dropped. */
static size_t read_all(int fd, char *buf)
{
    char rest[4096];
    size_t n = 0;
    for (;;) {
        const ssize_t k =
            n < SCORE - 1 ? read(fd, buf + n, SCORE - 1 - n) : read(fd, rest, sizeof rest);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        n += n < SCORE - 1 ? (size_t)k : 0;
    }
    buf[n] = 0;
    return n;
}

static void reap(struct chain *c)
{
    if (c->out >= 0)
        close(c->out);
    for (int i = 0; i < c->n; i++)
        while (waitpid(c->t[i].pid, &c->t[i].status, 0) < 0 && errno == EINTR)
            ;
}

/* ---- what went wrong ---- */

/* It could not write, for the next one had gone. */
static int of_the_next(int status)
{
    return (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE) ||
           (WIFEXITED(status) && WEXITSTATUS(status) == 74);
}

static void last_line(const char *path, char *line, size_t size)
{
    char buf[4096];
    FILE *f = fopen(path, "r");
    line[0] = 0;
    while (f && fgets(buf, sizeof buf, f))
        if (buf[strspn(buf, " \n")])
            snprintf(line, size, "%.*s", (int)strcspn(buf, "\n"), buf);
    if (f)
        fclose(f);
}

/* The tool that failed for a reason of its own. */
static int failure(const struct chain *c, struct err *e)
{
    const struct tool *bad = NULL;
    char line[300];
    for (int i = 0; i < c->n; i++)
        if (c->t[i].status && (!bad || (of_the_next(bad->status) && !of_the_next(c->t[i].status))))
            bad = &c->t[i];
    if (!bad)
        return 0;
    last_line(bad->said, line, sizeof line);
    const char *const colon = line[0] ? ": " : "";
    if (WIFSIGNALED(bad->status))
        return err_set(e, ERR_SOFTWARE, "%s died by signal %d%s%s", bad->argv[0],
                       WTERMSIG(bad->status), colon, line);
    return err_set(e, err_of_exit(WEXITSTATUS(bad->status)), "%s ended with %d%s%s", bad->argv[0],
                   WEXITSTATUS(bad->status), colon, line);
}

static int read_score(const char *text, size_t n, struct evalbench_score *s, struct err *e)
{
    const char *const end = memchr(text, '\n', n);
    cJSON *v = json_parse(text, end ? (size_t)(end - text) : n, "passk", e);
    if (!v)
        return e->code;
    s->value = json_get_num(v, "value", -1, e);
    s->passed = json_get_int(v, "passed", -1, e);
    s->tasks = json_get_int(v, "n_task", -1, e);
    s->harness_errors = json_get_int(v, "harness_errors", 0, e);
    cJSON_Delete(v);
    if (!e->code && !(s->value >= 0 && s->value <= 1 && s->passed >= 0 && s->tasks > 0))
        err_set(e, ERR_SOFTWARE, "passk: no score in its record");
    return e->code;
}

int evalbench_run(const struct evalbench *b, struct evalbench_score *s, struct err *e)
{
    struct chain *c = calloc(1, sizeof *c);
    char *text = malloc(SCORE), threads[24];
    int rc = c && text ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    size_t n = 0;
    snprintf(threads, sizeof threads, "%ld", b->threads);
    if (rc == 0) {
        c->out = -1;
        rc = plan(c, b, threads, e);
        for (int i = 0; rc == 0 && i < TOOLS; i++)
            rc = start(c, i, e);
        if (rc == 0)
            n = read_all(c->out, text);
        reap(c);
        if (rc == 0 && (rc = failure(c, e)) == 0)
            rc = read_score(text, n, s, e);
        if (rc)
            err_prefix(e, "benchmark %s", b->bench);
    }
    free(c);
    free(text);
    return rc;
}
