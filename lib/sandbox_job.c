/* sandbox_job - one job of the sandbox: start both sides, watch, kill, finish */
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
#include <time.h>
#include <unistd.h>

enum {
    OUTPUTS_MAX = 1 << 20, /* of a behaviour */
    REPORT_MAX = 8192,     /* bytes of a verdict */
    RESULTS_MAX = 1 << 29, /* of what a reference returns */
    CHECKER_MEMORY =
        512, /* MiB beyond the candidate's: it holds what came back beside what is expected */
    NODE_MEMORY =
        384, /* MiB of node's own; this and what building may use: configs/sandbox/languages.py */
    BUILD_CPU = 10,
    BUILD_WALL = 40,
    BUILD_MEMORY = 1024,
    BUILD_FILE = 16,
    BUILD_PROCESSES = 16,
    DESCRIPTORS = 64
};
#define CPU_LOOK 0.1 /* seconds between looks at the CPU time of a whole tree */
#define GONE     1.0 /* seconds for a process that has closed its socket to end */

double sandbox_wall(const struct sandbox_limits *l)
{
    return l->wall_s > 0
               ? l->wall_s
               : 3 * l->cpu_s + 2; /* eval-sandbox design: CPU decides, wall is a backstop */
}

/* ---- messages ---- */

/* Bytes and descriptors over a SEQPACKET socket; 0, or -1 with errno. */
static int send_fds(int to, const void *p, size_t n, const int *fd, int n_fd)
{
    union {
        char buf[CMSG_SPACE(JAIL_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } c;
    struct iovec v = {(void *)(uintptr_t)p, n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    ssize_t k;
    if (n_fd) {
        struct cmsghdr *h;
        memset(&c, 0, sizeof c);
        m.msg_control = c.buf;
        m.msg_controllen = CMSG_SPACE((size_t)n_fd * sizeof(int));
        h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN((size_t)n_fd * sizeof(int));
        memcpy(CMSG_DATA(h), fd, (size_t)n_fd * sizeof(int));
    }
    while ((k = sendmsg(to, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    return k < 0 ? -1 : 0;
}

int sandbox_ask_zygote(struct sandbox *s, int k, const struct jail_request *r, const int *fd,
                       int n_fd, struct err *e)
{
    char words[256];
    if (send_fds(s->jail[k].ctl, r, sizeof *r, fd, n_fd) == 0)
        return 0;
    return err_errno(e, ERR_OS, "sandbox: zygote: %s",
                     jail_last_words(&s->jail[k], words, sizeof words));
}

static void kill_side(struct side *p)
{
    p->kill = 1;
    if (p->pidfd >= 0 && p->live)
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

static void side_begins(struct side *p)
{
    *p = (struct side){.live = 1, .pidfd = -1};
}

int sandbox_message(struct sandbox *s, int k, struct err *e)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } c;
    struct jail_message m;
    struct iovec v = {&m, sizeof m};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.buf, .msg_controllen = sizeof c.buf};
    ssize_t n = recvmsg(s->jail[k].ctl, &h, MSG_CMSG_CLOEXEC);
    char words[256];
    struct cmsghdr *a;
    struct side *p;
    int fd = -1;
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (n != (ssize_t)sizeof m)
        return err_set(e, ERR_OS, "sandbox: the %s zygote is gone: %s",
                       k == CHECKER || k == PROGRAM_CHECKER ? "checker" : "candidate",
                       jail_last_words(&s->jail[k], words, sizeof words));
    a = CMSG_FIRSTHDR(&h);
    if (a && a->cmsg_type == SCM_RIGHTS && a->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(a), sizeof fd);
    if (m.event == JAIL_READY) {
        s->jail[k].enforced |= (m.held & 1 ? JAIL_LANDLOCK : 0) | (m.held & 2 ? JAIL_PIDMAX : 0);
        snprintf(s->jail[k].python, sizeof s->jail[k].python, "%.31s", m.text);
        return 0;
    }
    if (m.slot >= (uint32_t)s->n_slot ||
        !s->slot[m.slot].side[k == CHECKER || k == PROGRAM_CHECKER].live) {
        if (fd >= 0)
            close(fd);
        return err_set(e, ERR_OS, "sandbox: a zygote speaks of slot %u", m.slot);
    }
    p = &s->slot[m.slot].side[k == CHECKER || k == PROGRAM_CHECKER];
    if (m.event == JAIL_FAILED) {
        p->failed = 1;
        snprintf(s->slot[m.slot].failure, sizeof s->slot[m.slot].failure, "%.127s", m.text);
    } else if (m.event == JAIL_STARTED) {
        p->pidfd = fd;
        if (p->kill)
            kill_side(p);
    } else if (m.event == JAIL_EXITED) {
        p->live = 0;
        p->status = m.status;
        p->cpu = 1e-6 * (double)(m.user_us + m.system_us);
        p->rss_kb = (long)m.rss_kb;
        if (p->pidfd >= 0)
            close(p->pidfd);
        p->pidfd = -1;
        if (k == CHECKER && s->slot[m.slot].worker >= 0) {
            close(s->slot[m.slot].worker);
            s->slot[m.slot].worker = -1;
        }
    }
    return 0;
}

/* ---- starting ---- */

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

static void random_hex(char *out, size_t bytes)
{
    unsigned char b[32];
    if (getrandom(b, bytes, 0) != (ssize_t)bytes)
        memset(b, 0, sizeof b); /* the pipe is private anyway: the nonce is the second lock */
    for (size_t i = 0; i < bytes; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
}

/* A checker for slot t, which has none. */
static int start_worker(struct sandbox *s, struct slot *t, struct err *e)
{
    const struct sandbox_limits *l = t->limits;
    struct jail_request r = {.kind = JAIL_JOB,
                             .slot = (uint32_t)(t - s->slot),
                             .fds = JAIL_FD_PAYLOAD,
                             .memory_mib =
                                 l->memory_mib ? (uint32_t)l->memory_mib + CHECKER_MEMORY : 0,
                             .processes = (uint32_t)l->processes,
                             .file_mib = (uint32_t)l->file_mib,
                             .files = DESCRIPTORS};
    int pair[2], rc;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(e, ERR_OS, "sandbox: descriptors");
    side_begins(&t->side[CHECKER]);
    rc = sandbox_ask_zygote(s, CHECKER, &r, &pair[1], 1, e);
    close(pair[1]);
    t->worker = pair[0];
    t->worker_memory = l->memory_mib;
    return rc;
}

/* A checker that waits for its next job goes: its socket is closed and it sees the end. */
static void drop_worker(struct slot *t)
{
    if (t->worker >= 0)
        close(t->worker);
    t->worker = -1;
    kill_side(&t->side[CHECKER]);
}

void sandbox_drop_workers(struct sandbox *s)
{
    for (int i = 0; i < s->n_slot; i++)
        if (!s->slot[i].busy && s->slot[i].side[CHECKER].live)
            drop_worker(&s->slot[i]);
}

/* The checker's side: the one that waits, or a new one. */
static int give_test(struct sandbox *s, struct slot *t, const int fd[3], struct err *e)
{
    uint32_t cpu_s =
        (uint32_t)ceil(t->limits->cpu_s) + 2; /* decoding and comparing what came back */
    if (t->worker >= 0 && t->worker_memory < t->limits->memory_mib)
        drop_worker(t);
    while (t->side[CHECKER].live &&
           t->worker < 0) /* one that goes: its slot is free when it is gone */
        if (sandbox_message(s, CHECKER, e) < 0)
            return e->code;
    if (!t->side[CHECKER].live && start_worker(s, t, e) < 0)
        return e->code;
    if (send_fds(t->worker, &cpu_s, sizeof cpu_s, fd, 3) < 0)
        return err_errno(e, ERR_OS, "sandbox: checker");
    return 0;
}

/* What a job may use, as its zygote is told. Compilers get more than their product (configs/sandbox/languages.py,
 * LANG_BUILD); node reserves address space that it never uses, so its memory is bounded otherwise. */
static struct jail_request request(const struct sandbox *s, const struct slot *t, int k,
                                   uint32_t fds)
{
    const struct sandbox_limits *l = t->limits;
    int program = k >= PROGRAM, more = k == PROGRAM_CHECKER;
    struct jail_request r = {.kind = JAIL_JOB,
                             .slot = (uint32_t)(t - s->slot),
                             .fds = fds,
                             .cpu_s = (uint32_t)ceil(l->cpu_s) + (more ? 2 : 0),
                             .memory_mib = (uint32_t)l->memory_mib + (more ? CHECKER_MEMORY : 0),
                             .processes = (uint32_t)l->processes,
                             .file_mib = (uint32_t)l->file_mib,
                             .files = DESCRIPTORS,
                             .tmp_mib = (uint32_t)(4 * l->file_mib)};
    if (program && r.processes < BUILD_PROCESSES)
        r.processes = BUILD_PROCESSES;
    if (program && s->o.lang == BENCH_JAVASCRIPT)
        r.memory_mib = 0;
    else if (program) {
        r.cpu_s = r.cpu_s > BUILD_CPU ? r.cpu_s : BUILD_CPU;
        r.memory_mib = r.memory_mib > BUILD_MEMORY ? r.memory_mib : BUILD_MEMORY;
        r.file_mib = r.file_mib > BUILD_FILE ? r.file_mib : BUILD_FILE;
    }
    return r;
}

static int give_candidate(struct sandbox *s, struct slot *t, const int *fd, int n_fd, uint32_t fds,
                          struct err *e)
{
    int slot = (int)(t - s->slot);
    struct jail_request r = request(s, t, t->jail[0], fds);
    long memory = t->limits->memory_mib;
    if (t->jail[0] == PROGRAM) /* compilers; node's own data */
        memory = s->o.lang == BENCH_JAVASCRIPT ? memory + NODE_MEMORY
                 : memory > BUILD_MEMORY       ? memory
                                               : BUILD_MEMORY;
    if (cgroup_limit(&s->cgroup, slot, memory + r.tmp_mib, (long)r.processes, e) < 0)
        return e->code;
    t->cpu_before = cgroup_cpu(&s->cgroup, slot);
    t->oom_before = cgroup_oom_kills(&s->cgroup, slot);
    side_begins(&t->side[CANDIDATE]);
    return sandbox_ask_zygote(s, t->jail[0], &r, fd, n_fd, e);
}

/* The checker of a program: a process of its own for each. */
static int give_program_test(struct sandbox *s, struct slot *t, const int fd[3], struct err *e)
{
    struct jail_request r =
        request(s, t, PROGRAM_CHECKER, JAIL_FD_PAYLOAD | JAIL_FD_PEER | JAIL_FD_REPORT);
    side_begins(&t->side[CHECKER]);
    return sandbox_ask_zygote(s, PROGRAM_CHECKER, &r, fd, 3, e);
}

static void reset(struct slot *t)
{
    memset(&t->v, 0, sizeof t->v);
    t->n_report = t->n_output = 0;
    t->reported = t->gone = t->stays = 0;
    t->why = KILL_NONE;
    t->out_fd = t->rep_fd = t->told_fd = -1;
    t->n_tail = t->n_told = 0;
    t->failure[0] = 0;
    random_hex(t->nonce, 16);
}

/* Which jails a job needs, opened. */
static int choose_jails(struct sandbox *s, struct slot *t, const struct sandbox_job *job,
                        struct err *e)
{
    t->jail[0] = CANDIDATE;
    t->jail[1] = CHECKER;
    if (job->task->judge == BENCH_PROGRAM) {
        t->jail[0] = PROGRAM;
        t->jail[1] = PROGRAM_CHECKER;
    } else if (job->inproc || job->work == SANDBOX_REFERENCE) {
        t->jail[0] = INPROC;
        t->jail[1] = -1;
    }
    for (int i = 0; i < 2; i++)
        if (t->jail[i] >= 0 && sandbox_need(s, t->jail[i], e) < 0)
            return e->code;
    return 0;
}

static void set_clocks(const struct sandbox *s, struct slot *t, const struct bench_task *task)
{
    int builds = t->jail[0] == PROGRAM && s->o.lang != BENCH_JAVASCRIPT;
    t->start = clock_now();
    t->runs = task->judge == BENCH_IO && !task->called ? task->n_io : 1;
    t->cpu_s = t->runs * ceil(t->limits->cpu_s) + (builds ? BUILD_CPU : 0);
    t->wall_s = t->runs * sandbox_wall(t->limits) + (builds ? BUILD_WALL : 0);
    t->deadline = t->start + t->wall_s;
    t->look_at_cpu = t->start + t->cpu_s;
}

/* Send each side what it is given; the descriptors stay the caller's. */
static void give(struct sandbox *s, struct slot *t, int code, int test, const int pair[2], int out,
                 int rep, int told, struct err *e)
{
    if (t->jail[0] == INPROC) {
        int fd[] = {code, out, rep};
        give_candidate(s, t, fd, 3, JAIL_FD_PAYLOAD | JAIL_FD_OUTPUT | JAIL_FD_REPORT, e);
        return;
    }
    int fd[] = {code, pair[0], out, told}, check[] = {test, pair[1], rep};
    uint32_t fds =
        JAIL_FD_PAYLOAD | JAIL_FD_PEER | JAIL_FD_OUTPUT | (told >= 0 ? JAIL_FD_REPORT : 0);
    if (give_candidate(s, t, fd, told >= 0 ? 4 : 3, fds, e) < 0)
        return;
    if (t->jail[1] == CHECKER)
        give_test(s, t, check, e);
    else
        give_program_test(s, t, check, e);
}

int sandbox_start(struct sandbox *s, struct slot *t, const struct sandbox_job *job, struct err *e)
{
    int pair[2] = {-1, -1}, out[2] = {-1, -1}, rep[2] = {-1, -1}, told[2] = {-1, -1}, code = -1,
        test = -1;
    struct sandbox_payload p;
    reset(t);
    t->limits = job->limits ? job->limits : &s->o.limits;
    t->work = job->work;
    t->expected = job->expected;
    if (choose_jails(s, t, job, e) < 0 || sandbox_payload(&p, job, t->nonce, e) < 0)
        return e->code;
    t->n_inputs = p.n_inputs;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
        pipe2(rep, O_CLOEXEC) < 0 || (t->jail[0] == PROGRAM && pipe2(told, O_CLOEXEC) < 0)) {
        err_errno(e, ERR_OS, "sandbox: descriptors");
    } else {
        fcntl(out[0], F_SETFL, O_NONBLOCK);
        fcntl(rep[0], F_SETFL, O_NONBLOCK);
        if (told[0] >= 0)
            fcntl(told[0], F_SETFL, O_NONBLOCK);
        code = memory_file(p.code, p.n_code, e);
        test = p.test ? memory_file(p.test, p.n_test, e) : -1;
    }
    sandbox_payload_free(&p);
    if (e->code == 0) {
        set_clocks(s, t, job->task);
        t->busy = 1;
        t->out_fd = out[0];
        t->rep_fd = rep[0];
        t->told_fd = told[0];
        give(s, t, code, test, pair, out[1], rep[1], told[1], e);
    }
    int mine[] = {pair[0], pair[1], out[1], rep[1], told[1], code, test};
    int kept[] = {out[0], rep[0], told[0]};
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        if (mine[i] >= 0)
            close(mine[i]);
    for (size_t i = 0; i < sizeof kept / sizeof *kept && !t->busy; i++)
        if (kept[i] >= 0)
            close(kept[i]);
    return e->code;
}

/* ---- watching ---- */

static void stop_job(struct slot *t, enum kill_why why)
{
    if (t->why == KILL_NONE)
        t->why = why;
    kill_side(&t->side[CANDIDATE]);
    if (why == KILL_WALL || why == KILL_CPU)
        kill_side(&t->side[CHECKER]);
}

/* The last bytes of the output: what an interpreter says before it dies. */
static void keep_tail(struct slot *t, const char *p, size_t n)
{
    if (n >= TAIL) {
        memcpy(t->tail, p + n - TAIL, TAIL);
        t->n_tail = TAIL;
        return;
    }
    size_t old = t->n_tail + n > TAIL ? TAIL - n : t->n_tail;
    memmove(t->tail, t->tail + t->n_tail - old, old);
    memcpy(t->tail + old, p, n);
    t->n_tail = old + n;
}

/* Why a program's candidate was not started: nothing more is to come. */
static void drain_told(struct slot *t)
{
    ssize_t n = 0;
    while (t->n_told < sizeof t->told &&
           (n = read(t->told_fd, t->told + t->n_told, sizeof t->told - t->n_told)) > 0)
        t->n_told += (size_t)n;
    if (n < 0 && t->n_told < sizeof t->told)
        return;
    close(t->told_fd);
    t->told_fd = -1;
    if (t->n_told) /* the checker finds it gone, or that the test does not build here */
        kill_side(&t->side[CANDIDATE]);
}

static void drain_output(struct slot *t)
{
    char junk[65536];
    ssize_t n;
    while ((n = read(t->out_fd, junk, sizeof junk)) > 0) {
        t->n_output += (size_t)n;
        keep_tail(t, junk, (size_t)n);
        /* the checker goes on with the answers that it has: which verdict it is must not depend on when we look */
        if (t->n_output > (size_t)t->limits->output_kib * 1024) {
            stop_job(t, KILL_OUTPUT);
            break;
        }
    }
    if (n == 0) {
        close(t->out_fd);
        t->out_fd = -1;
    }
}

static int report_room(struct slot *t)
{
    size_t max = t->work == SANDBOX_REFERENCE   ? RESULTS_MAX
                 : t->work == SANDBOX_BEHAVIOUR ? OUTPUTS_MAX
                                                : REPORT_MAX,
           cap;
    char *p;
    if (t->n_report < t->cap_report)
        return 1;
    cap = t->cap_report ? 2 * t->cap_report : REPORT_MAX;
    if (cap > max || !(p = realloc(t->report, cap)))
        return 0;
    t->report = p;
    t->cap_report = cap;
    return 1;
}

static void drain_report(struct slot *t)
{
    ssize_t n = -1;
    int room;
    while ((room = report_room(t)) &&
           (n = read(t->rep_fd, t->report + t->n_report, t->cap_report - t->n_report)) > 0)
        t->n_report += (size_t)n;
    if (n != 0 && room)
        return;
    close(t->rep_fd);
    t->rep_fd = -1;
    if (!room) /* more than any report of ours */
        t->n_report = 0;
    sandbox_read_report(t);
    if (t->reported && t->gone) /* as it ends by itself: a moment, and then it will not */
        t->deadline = fmin(t->deadline, clock_now() + GONE);
    else if (t->reported) /* the checker has spoken: the candidate is not needed any more */
        stop_job(t, KILL_DONE);
}

int sandbox_finished(const struct slot *t)
{
    return t->busy && !t->side[CANDIDATE].live &&
           (t->jail[1] < 0 || !t->side[CHECKER].live || t->stays);
}

void sandbox_finish(struct sandbox *s, struct slot *t)
{
    if (t->rep_fd >= 0) {
        drain_report(t);
        if (t->rep_fd >= 0)
            sandbox_read_report(t);
    }
    if (t->out_fd >= 0)
        drain_output(t);
    if (t->told_fd >= 0)
        drain_told(t);
    sandbox_abandon(t);
    t->v.wall_ms = 1e3 * (clock_now() - t->start);
    sandbox_decide(s, t);
}

void sandbox_abandon(struct slot *t)
{
    if (t->rep_fd >= 0)
        close(t->rep_fd);
    if (t->out_fd >= 0)
        close(t->out_fd);
    if (t->told_fd >= 0)
        close(t->told_fd);
    t->rep_fd = t->out_fd = t->told_fd = -1;
    t->busy = 0;
}

/* The clocks of a job: wall, and where a cgroup counts, CPU of the whole tree. When to look again. */
static double watch_clocks(struct sandbox *s, struct slot *t, double now)
{
    if (t->why != KILL_NONE)
        return INFINITY;
    if (t->deadline <= now) {
        stop_job(t, t->reported && t->gone ? KILL_DONE : KILL_WALL);
        return INFINITY;
    }
    if (t->look_at_cpu <= now && s->cgroup.held & JAIL_CG_CPU) {
        t->look_at_cpu = now + CPU_LOOK;
        if (cgroup_cpu(&s->cgroup, (int)(t - s->slot)) - t->cpu_before > t->cpu_s + 0.5 * t->runs) {
            stop_job(t, KILL_CPU);
            return INFINITY;
        }
    }
    return fmin(t->deadline, s->cgroup.held & JAIL_CG_CPU ? t->look_at_cpu : INFINITY);
}

int sandbox_step(struct sandbox *s, struct err *e)
{
    struct pollfd p[N_JAILS + 3 * JAIL_SLOTS];
    struct slot *of[N_JAILS + 3 * JAIL_SLOTS];
    double now = clock_now(), next = now + 60;
    int n = N_JAILS;
    for (int k = 0; k < N_JAILS; k++)
        p[k] = (struct pollfd){.fd = s->jail[k].ctl, .events = POLLIN};
    for (int i = 0; i < s->n_slot; i++) {
        struct slot *t = &s->slot[i];
        if (!t->busy)
            continue;
        next = fmin(next, watch_clocks(s, t, now));
        int fds[3] = {t->out_fd, t->rep_fd, t->told_fd};
        for (int k = 0; k < 3; k++)
            if (fds[k] >= 0) {
                of[n] = t;
                p[n++] = (struct pollfd){.fd = fds[k], .events = POLLIN};
            }
    }
    if (poll(p, (nfds_t)n, (int)(1e3 * fmax(next - now, 0)) + 1) < 0)
        return errno == EINTR ? 0 : err_errno(e, ERR_OS, "poll");
    for (int i = N_JAILS; i < n; i++) {
        if (!p[i].revents)
            continue;
        if (p[i].fd == of[i]->out_fd)
            drain_output(of[i]);
        else if (p[i].fd == of[i]->rep_fd)
            drain_report(of[i]);
        else if (p[i].fd == of[i]->told_fd)
            drain_told(of[i]);
    }
    for (int k = 0; k < N_JAILS; k++)
        if (p[k].revents && sandbox_message(s, k, e) < 0)
            return e->code;
    return 0;
}
