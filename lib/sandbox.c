/* sandbox - the supervisor: starts jobs in both zygotes, watches clocks, decides verdicts */
#include "sandbox.h"
#include "hash.h"
#include "jail.h"
#include "paths.h"
#include "sandbox_private.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct sandbox_limits sandbox_defaults = {.cpu_s = 5,
                                                .wall_s = 0,
                                                .memory_mib = 1024,
                                                .processes = 32,
                                                .file_mib = 16,
                                                .output_kib = 1024};

enum { MSG_STARTED = 1, MSG_EXITED = 2, MSG_READY = 3 }; /* configs/sandbox/zygote.py */

struct sandbox {
    struct sandbox_opts o;
    struct jail jail[2];
    struct slot *slot;
    int n_slot;
    unsigned enforced;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double wall_limit(const struct sandbox_limits *l)
{
    return l->wall_s > 0
               ? l->wall_s
               : 3 * l->cpu_s + 2; /* eval-sandbox design: CPU decides, wall is a backstop */
}

unsigned sandbox_enforced(const struct sandbox *s)
{
    return s->enforced;
}

const char *sandbox_python(const struct sandbox *s)
{
    return s->jail[CANDIDATE].python;
}

void sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *l)
{
    s->o.limits = *l;
}

/* ---- starting a job ---- */

static int memory_file(const char *p, size_t n, struct err *e)
{
    int fd = memfd_create("payload", MFD_CLOEXEC);
    while (fd >= 0 && n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0) {
            close(fd);
            fd = -1;
            break;
        }
        p += k, n -= (size_t)k;
    }
    return fd < 0 ? err_errno(e, ERR_OS, "sandbox: memory file") : fd;
}

static int send_request(const struct jail *j, const uint32_t *request, size_t bytes,
                        const int fd[3], struct err *e)
{
    union {
        char buf[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } c = {{0}};
    struct iovec v = {(void *)(uintptr_t)request, bytes};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof c.buf};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    ssize_t n;
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(h), fd, 3 * sizeof(int));
    while ((n = sendmsg(j->ctl, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (n < 0) {
        char words[256];
        return err_errno(e, ERR_OS, "sandbox: zygote: %s", jail_last_words(j, words, sizeof words));
    }
    return 0;
}

static void random_hex(char *out, size_t bytes)
{
    unsigned char b[32];
    if (getrandom(b, bytes, 0) != (ssize_t)bytes)
        memset(b, 0, sizeof b); /* the pipe is private anyway: the nonce is the second lock */
    for (size_t i = 0; i < bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
}

static int start(struct sandbox *s, struct slot *t, const struct sandbox_job *job, struct err *e)
{
    const struct sandbox_limits *l = &s->o.limits;
    uint32_t cpu = (uint32_t)ceil(l->cpu_s);
    uint32_t request[7] = {
        (uint32_t)(t - s->slot), cpu, (uint32_t)l->memory_mib,    (uint32_t)l->processes,
        (uint32_t)l->file_mib,   64,  (uint32_t)(4 * l->file_mib)};
    int pair[2] = {-1, -1}, out[2] = {-1, -1}, rep[2] = {-1, -1}, code = -1, test = -1;
    char *program = sandbox_program(job->task, job->code), *checks;
    size_t n_checks = 0;
    memset(&t->v, 0, sizeof t->v);
    t->n_report = 0;
    t->n_output = 0;
    t->why = KILL_NONE;
    for (int k = 0; k < 2; k++) {
        t->side[k] = (struct side){.pidfd = -1};
    }
    random_hex(t->nonce, 16);
    checks = sandbox_test_json(job->task, t->nonce, &n_checks);
    if (!program || !checks) {
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
               pipe2(out, O_CLOEXEC) < 0 || pipe2(rep, O_CLOEXEC) < 0) {
        err_errno(e, ERR_OS, "sandbox: descriptors");
    } else {
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        fcntl(rep[0], F_SETFL, O_NONBLOCK);
        code = memory_file(program, strlen(program), e);
        test = memory_file(checks, n_checks, e);
    }
    if (e->code == 0) {
        int c_fd[3] = {code, pair[0], out[1]}, t_fd[3] = {test, pair[1], rep[1]};
        t->start = now();
        t->deadline = t->start + wall_limit(l);
        if (send_request(&s->jail[CANDIDATE], request, sizeof request, c_fd, e) == 0) {
            request[1] = cpu + 2; /* decoding and comparing what came back */
            request[2] += 512;
            send_request(&s->jail[CHECKER], request, sizeof request, t_fd, e);
        }
    }
    free(program);
    free(checks);
    int mine[] = {pair[0], pair[1], out[1], rep[1], code, test};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        if (mine[i] >= 0)
            close(mine[i]);
    t->out_fd = out[0];
    t->rep_fd = rep[0];
    t->busy = 1;
    return e->code;
}

/* ---- watching it ---- */

static void kill_side(struct slot *t, int k)
{
    t->side[k].kill = 1;
    if (t->side[k].pidfd >= 0 && !t->side[k].exited)
        syscall(SYS_pidfd_send_signal, t->side[k].pidfd, SIGKILL, NULL, 0);
}

static void stop_job(struct slot *t, enum kill_why why)
{
    if (t->why == KILL_NONE)
        t->why = why;
    kill_side(t, CANDIDATE);
    if (why != KILL_DONE)
        kill_side(t, CHECKER);
}

/* A message of a zygote; 0, or ERR_OS if it is gone. */
static int zygote_message(struct sandbox *s, int k, struct err *e)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } c;
    uint32_t m[32];
    char words[256];
    struct iovec v = {m, sizeof m};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof c.buf};
    ssize_t n = recvmsg(s->jail[k].ctl, &h, MSG_CMSG_CLOEXEC);
    struct cmsghdr *a;
    struct slot *t;
    int fd = -1;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n < 28)
        return err_set(e, ERR_OS, "sandbox: the %s zygote is gone: %s",
                       k == CANDIDATE ? "candidate" : "checker",
                       jail_last_words(&s->jail[k], words, sizeof words));
    a = CMSG_FIRSTHDR(&h);
    if (a && a->cmsg_type == SCM_RIGHTS && a->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(a), sizeof fd);
    if (m[0] == MSG_READY) {
        s->jail[k].enforced |= m[1] ? JAIL_LANDLOCK : 0;
        snprintf(s->jail[k].python, sizeof s->jail[k].python, "%.*s", (int)(n - 28),
                 (char *)(m + 7));
        return 0;
    }
    if (m[1] >= (uint32_t)s->n_slot || !s->slot[m[1]].busy) {
        if (fd >= 0)
            close(fd);
        return err_set(e, ERR_OS, "sandbox: a zygote speaks of slot %u", m[1]);
    }
    t = &s->slot[m[1]];
    if (m[0] == MSG_STARTED) {
        t->side[k].pidfd = fd;
        if (t->side[k].kill)
            kill_side(t, k);
    } else if (m[0] == MSG_EXITED) {
        t->side[k].exited = 1;
        t->side[k].status = (int)m[2];
        t->side[k].cpu = 1e-6 * ((double)m[3] + (double)m[4]);
        t->side[k].rss_kb = m[5];
        if (t->side[k].pidfd >= 0)
            close(t->side[k].pidfd);
        t->side[k].pidfd = -1;
    }
    return 0;
}

static void drain_output(struct sandbox *s, struct slot *t)
{
    char junk[65536];
    ssize_t n;
    while ((n = read(t->out_fd, junk, sizeof junk)) > 0) {
        if (t->n_output == 0) { /* kept for a child that could not enter its jail */
            size_t k = (size_t)n < sizeof t->head - 1 ? (size_t)n : sizeof t->head - 1;
            memcpy(t->head, junk, k);
            t->head[k] = 0;
        }
        t->n_output += (size_t)n;
        if (t->n_output > (size_t)s->o.limits.output_kib * 1024) {
            stop_job(t, KILL_OUTPUT);
            break;
        }
    }
    if (n == 0) {
        close(t->out_fd);
        t->out_fd = -1;
    }
}

static void drain_report(struct slot *t)
{
    ssize_t n = -1;
    while (t->n_report < sizeof t->report &&
           (n = read(t->rep_fd, t->report + t->n_report, sizeof t->report - t->n_report)) > 0)
        t->n_report += (size_t)n;
    if (n == 0) {
        close(t->rep_fd);
        t->rep_fd = -1;
        if (t->n_report)
            stop_job(t,
                     KILL_DONE); /* the checker has spoken: the candidate is not needed any more */
    }
}

static int finished(struct slot *t)
{
    return t->busy && t->side[CANDIDATE].exited && t->side[CHECKER].exited;
}

static void finish(struct sandbox *s, struct slot *t)
{
    if (t->rep_fd >= 0)
        drain_report(t);
    if (t->out_fd >= 0)
        drain_output(s, t);
    if (t->rep_fd >= 0)
        close(t->rep_fd);
    if (t->out_fd >= 0)
        close(t->out_fd);
    t->v.wall_ms = 1e3 * (now() - t->start);
    sandbox_decide(t, &s->o.limits);
    t->busy = 0;
}

/* Wait for the next event of any job and deal with it. */
static int step(struct sandbox *s, struct err *e)
{
    struct pollfd p[2 + 2 * JAIL_SLOTS];
    struct slot *of[2 + 2 * JAIL_SLOTS];
    double t0 = now(), wait = 60;
    int n = 2;
    for (int k = 0; k < 2; k++)
        p[k] = (struct pollfd){.fd = s->jail[k].ctl, .events = POLLIN};
    for (int i = 0; i < s->n_slot; i++) {
        struct slot *t = &s->slot[i];
        if (!t->busy)
            continue;
        if (t->deadline <= t0 && t->why == KILL_NONE)
            stop_job(t, KILL_WALL);
        if (t->why == KILL_NONE && t->deadline - t0 < wait)
            wait = t->deadline - t0;
        int fds[2] = {t->out_fd, t->rep_fd};
        for (int k = 0; k < 2; k++)
            if (fds[k] >= 0) {
                of[n] = t;
                p[n++] = (struct pollfd){.fd = fds[k], .events = POLLIN};
            }
    }
    if (poll(p, (nfds_t)n, (int)(1e3 * wait) + 1) < 0)
        return errno == EINTR ? 0 : err_errno(e, ERR_OS, "poll");
    for (int i = 2; i < n; i++) {
        if (!p[i].revents)
            continue;
        if (p[i].fd == of[i]->out_fd)
            drain_output(s, of[i]);
        else if (p[i].fd == of[i]->rep_fd)
            drain_report(of[i]);
    }
    for (int k = 0; k < 2; k++)
        if (p[k].revents && zygote_message(s, k, e) < 0)
            return e->code;
    return 0;
}

/* ---- a batch ---- */

struct batch {
    const struct sandbox_job *job;
    struct verdict *v;                /* (n) */
    char *state;                      /* (n) WAITING and so on */
    int n, next, told, active, again; /* again: a job to try alone, -1 */
};
enum { WAITING, RUNNING, JUDGED };

static int give(struct sandbox *s, struct batch *b, int i, struct err *e)
{
    struct slot *t = s->slot;
    while (t->busy)
        t++;
    t->job = i;
    b->state[i] = RUNNING;
    b->active++;
    return start(s, t, &b->job[i], e);
}

static void take(struct sandbox *s, struct batch *b, struct slot *t)
{
    int i = t->job, first = b->v[i].attempt == 1; /* this was its second attempt */
    finish(s, t);
    t->v.attempt = first ? 2 : 1;
    t->v.flaky = first && t->v.kind != VERDICT_timeout_wall;
    b->v[i] = t->v;
    b->active--;
    if (!first && t->v.kind == VERDICT_timeout_wall && s->o.recheck) {
        b->again = b->again < 0 ? i : b->again;
        b->state[i] = WAITING; /* a second one waits its turn: see below */
        return;
    }
    b->state[i] = JUDGED;
}

static int
next_again(const struct batch *b) /* another first attempt that ended in a wall time-out */
{
    for (int i = b->told; i < b->next; i++)
        if (b->state[i] == WAITING)
            return i;
    return -1;
}

int sandbox_run(struct sandbox *s, const struct sandbox_job *job, int n,
                int (*done)(void *arg, int i, const struct verdict *v, struct err *e), void *arg,
                struct err *e)
{
    struct batch b = {.job = job, .n = n, .again = -1};
    int rc = 0;
    b.v = calloc((size_t)n + 1, sizeof *b.v);
    b.state = calloc((size_t)n + 1, 1);
    if (!b.v || !b.state)
        rc = err_set(e, ERR_NOMEM, "sandbox: out of memory for %d jobs", n);
    while (rc == 0 && b.told < n) {
        /* new jobs, unless one must run alone */
        while (rc == 0 && b.again < 0 && b.next < n && b.active < s->n_slot) {
            int i = b.next++;
            if (!*job[i].code) {
                b.v[i] = (struct verdict){.kind = VERDICT_no_code, .attempt = 1};
                b.state[i] = JUDGED;
            } else {
                rc = give(s, &b, i, e);
            }
        }
        if (rc == 0 && b.again >= 0 && b.active == 0) {
            int i = b.again;
            rc = give(s, &b, i, e);
            while (rc == 0 && b.state[i] == RUNNING) {
                rc = step(s, e);
                for (int k = 0; k < s->n_slot && rc == 0; k++)
                    if (finished(&s->slot[k]))
                        take(s, &b, &s->slot[k]);
            }
            b.again = next_again(&b);
        } else if (rc == 0 && b.active > 0 && !(b.state[b.told] == JUDGED)) {
            rc = step(s, e);
        }
        for (int k = 0; k < s->n_slot && rc == 0; k++)
            if (finished(&s->slot[k]))
                take(s, &b, &s->slot[k]);
        while (rc == 0 && b.told < n && b.state[b.told] == JUDGED) {
            rc = done(arg, b.told, &b.v[b.told], e);
            b.told++;
        }
    }
    free(b.v);
    free(b.state);
    return rc;
}

/* ---- opening ---- */

static char *script(const char *role, struct err *e)
{
    const char *parts[] = {"codec", role, "zygote"};
    char name[64], path[4096], *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    for (int i = 0; out && i < 3; i++) {
        FILE *f;
        int c;
        snprintf(name, sizeof name, "configs/sandbox/%s.py", parts[i]);
        if (paths_find(name, path, sizeof path, e) < 0)
            break;
        if (!(f = fopen(path, "r"))) {
            err_errno(e, ERR_NOINPUT, "%s", path);
            break;
        }
        while ((c = getc(f)) != EOF)
            putc(c, out);
        fclose(f);
    }
    if (!out || fclose(out) != 0)
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    if (e->code) {
        free(text);
        return NULL;
    }
    return text;
}

struct own {
    int right;
    struct verdict v;
};
static int see_own(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct own *o = arg;
    (void)e;
    o->right += v->kind == (i ? VERDICT_wrong_answer : VERDICT_pass);
    if (i == 0)
        o->v = *v;
    return 0;
}

/* A right and a wrong solution of a task of our own: if these are not told apart, nothing is
 * judged. */
static int self_check(struct sandbox *s, struct err *e)
{
    struct bench_task t = {.task_id = "self/0",
                           .prompt = "def twice(x):\n    pass\n",
                           .entry_point = "twice",
                           .test =
                               "def check(f):\n    assert f(2) == 4\n    assert f('a') == 'aa'\n"};
    struct sandbox_job job[2] = {{&t, "def twice(x):\n    return x * 2\n"},
                                 {&t, "def twice(x):\n    return 4\n"}};
    struct own o = {0};
    int rc = sandbox_run(s, job, 2, see_own, &o, e);
    if (rc == 0 && o.right != 2)
        rc = err_set(e, ERR_OS, "sandbox: a right program of our own got %s: %s",
                     verdict_name(o.v.kind), o.v.detail);
    return rc;
}

int sandbox_open(struct sandbox **out, const struct sandbox_opts *o, struct err *e)
{
    static const char *const roles[] = {"candidate", "checker"};
    struct sandbox *s = calloc(1, sizeof *s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *out = NULL;
    if (!s)
        return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    s->o = *o;
    for (int k = 0; k < 2; k++)
        s->jail[k].ctl = s->jail[k].err = s->jail[k].pidfd = -1;
    s->n_slot = o->jobs > 0 ? o->jobs : cores > 0 ? (int)cores : 1;
    s->n_slot = s->n_slot > JAIL_SLOTS ? JAIL_SLOTS : s->n_slot;
    if (!(s->slot = calloc((size_t)s->n_slot, sizeof *s->slot)))
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    for (int k = 0; k < 2 && e->code == 0; k++) {
        char *text = script(roles[k], e);
        if (text)
            jail_start(&s->jail[k], roles[k], text, o->allow, e);
        free(text);
    }
    for (int k = 0; k < 2 && e->code == 0; k++) /* ready: the first message */
        zygote_message(s, k, e);
    s->enforced = s->jail[CANDIDATE].enforced & s->jail[CHECKER].enforced;
    if (e->code == 0 && (o->require & ~s->enforced)) {
        struct json_out j = {0};
        jail_names(&j, o->require & ~s->enforced);
        err_set(e, ERR_UNAVAILABLE, "sandbox: this host does not give %.*s", (int)j.len, j.buf);
        free(j.buf);
    }
    if (e->code == 0)
        self_check(s, e);
    if (e->code) {
        sandbox_close(s);
        return e->code;
    }
    *out = s;
    return 0;
}

void sandbox_close(struct sandbox *s)
{
    if (!s)
        return;
    for (int k = 0; k < 2; k++)
        jail_stop(&s->jail[k]);
    for (int i = 0; s->slot && i < s->n_slot; i++) { /* jobs of a run that was stopped */
        struct slot *t = &s->slot[i];
        int fd[] = {t->side[0].pidfd, t->side[1].pidfd, t->out_fd, t->rep_fd};
        for (int k = 0; t->busy && k < 4; k++)
            if (fd[k] >= 0)
                close(fd[k]);
    }
    free(s->slot);
    free(s);
}
