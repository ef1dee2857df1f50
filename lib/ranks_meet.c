/* ranks_meet - how processes that train together find each other: at rank 0, which tells each where the others are */
#include "clock.h"
#include "outfile.h"
#include "ranks.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HOST = 64, PORT = 8, WHY = 96, KEY = 64, GREETING_WAIT = 5 };
static const char magic[8] = "APRRANK1";

/* Who connects says who it is; rank 0 answers with where everybody listens, or why not. */
struct greeting {
    char magic[8], key[KEY], port[PORT];
    int32_t rank, n;
};
struct place {
    char host[HOST], port[PORT];
};
struct answer {
    char magic[8], why[WHY]; /* why: empty, it is welcome */
    struct place at[RANKS_MOST];
};

struct meeting {
    struct ranks *r;
    const char *meet, *key;
    struct place first; /* where rank 0 is */
    int is_file, listener;
    double end; /* on the clock */
};

static int is_number(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == 0 && strlen(s) < PORT;
}

/* "HOST:PORT" (or "[::1]:PORT") to x; 0: it is a file's name. */
static int split(const char *text, struct place *x)
{
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (!colon || strchr(text, '/') || !is_number(colon + 1) || n >= HOST)
        return 0;
    if (n > 1 && text[0] == '[' && text[n - 1] == ']')
        text++, n -= 2;
    snprintf(x->host, sizeof x->host, "%.*s", (int)n, text);
    snprintf(x->port, sizeof x->port, "%s", colon + 1);
    return 1;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* n bytes to or from fd within so many seconds; -1: not. */
static int all(int fd, int out, void *p, size_t n, double seconds)
{
    const double end = clock_now() + seconds;
    char *at = p;
    while (n) {
        struct pollfd f = {.fd = fd, .events = out ? POLLOUT : POLLIN};
        const double left = end - clock_now();
        if (left <= 0 || poll(&f, 1, (int)(left * 1000) + 1) <= 0)
            return -1;
        const ssize_t got =
            out ? send(fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(fd, at, n, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return -1;
        at += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return 0;
}

/* The numbers of a socket's own or other end. */
static int end_of(int fd, int other, struct place *x)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    return (other ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &n) ||
           getnameinfo((struct sockaddr *)&a, n, x->host, sizeof x->host, x->port, sizeof x->port,
                       NI_NUMERICHOST | NI_NUMERICSERV);
}

/* A port that nobody listens at may be given to the very socket that looks for it. */
static int is_itself(int fd)
{
    struct place a, b;
    return end_of(fd, 0, &a) == 0 && end_of(fd, 1, &b) == 0 && strcmp(a.host, b.host) == 0 &&
           strcmp(a.port, b.port) == 0;
}

/* A connection that is there before `end`, or -1 and errno. */
static int connect_by(int fd, const struct addrinfo *a, double end)
{
    struct pollfd f = {.fd = fd, .events = POLLOUT};
    int why = connect(fd, a->ai_addr, a->ai_addrlen) ? errno : 0;
    socklen_t n = sizeof why;
    while (why == EINPROGRESS)
        if (clock_now() >= end)
            why = ETIMEDOUT;
        else if (poll(&f, 1, 100) > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n))
            why = errno;
    if (why == 0 && is_itself(fd))
        why = ECONNREFUSED;
    errno = why;
    return why ? -1 : 0;
}

/* A listener at this address, or a connection to it; -1 and errno. */
static int open_one(const struct addrinfo *a, int listens, double end)
{
    const int one = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (listens ? bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, RANKS_MOST)
                : connect_by(fd, a, end)) {
        const int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* The first of the addresses of x that serves. */
static int open_at(const struct place *x, int listens, double end, struct err *e)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = listens ? AI_PASSIVE : 0};
    struct addrinfo *a = NULL;
    int fd = -1, rc = getaddrinfo(x->host, x->port, &hints, &a);
    if (rc)
        return err_set(e, ERR_USAGE, "%s:%s: %s", x->host, x->port, gai_strerror(rc));
    for (const struct addrinfo *at = a; at && fd < 0; at = at->ai_next)
        fd = open_one(at, listens, end);
    if (fd < 0)
        err_errno(e, ERR_UNAVAILABLE, "%s:%s", x->host, x->port);
    freeaddrinfo(a);
    return fd;
}

static int too_late(const struct meeting *m, const char *who, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "%s: %s did not come within %d seconds", m->meet, who,
                   m->r->wait);
}

/* Somebody who greets as one of us, at our listener; why: empty, or what is wrong with it.
 * -1: nobody in time. */
static int accept_one(const struct meeting *m, struct greeting *g, char *why)
{
    const int one = 1;
    while (clock_now() < m->end) {
        struct pollfd f = {.fd = m->listener, .events = POLLIN};
        if (poll(&f, 1, 100) <= 0)
            continue;
        const int fd = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            continue;
        if (all(fd, 0, g, sizeof *g, GREETING_WAIT) || memcmp(g->magic, magic, sizeof magic)) {
            close(fd); /* a stranger */
            continue;
        }
        why[0] = 0;
        g->port[PORT - 1] = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (g->n != m->r->n)
            snprintf(why, WHY, "it is one of %d ranks, expected %d", g->n, m->r->n);
        else if (g->rank <= m->r->rank || g->rank >= m->r->n || !is_number(g->port))
            snprintf(why, WHY, "number %d is not expected here", g->rank);
        else if (m->r->fd[g->rank] >= 0)
            snprintf(why, WHY, "number %d came twice", g->rank);
        else if (memcmp(g->key, m->key, KEY))
            snprintf(why, WHY, "rank %d has another model, other arguments or other data", g->rank);
        return fd;
    }
    return -1;
}

static void greet(const struct meeting *m, struct greeting *g, const char *port)
{
    memset(g, 0, sizeof *g);
    memcpy(g->magic, magic, sizeof magic);
    memcpy(g->key, m->key, KEY);
    snprintf(g->port, sizeof g->port, "%s", port);
    g->rank = m->r->rank;
    g->n = m->r->n;
}

/* Those with a higher number connect to us; at: where they listen, NULL: they are told nothing. */
static int accept_all(struct meeting *m, struct answer *a, struct err *e)
{
    struct ranks *r = m->r;
    for (int left = r->n - 1 - r->rank; left > 0; left--) {
        struct greeting g;
        struct answer no = {.why = ""};
        const int fd = accept_one(m, &g, no.why);
        if (fd < 0) {
            char who[40];
            int i = r->rank + 1;
            while (i < r->n - 1 && r->fd[i] >= 0)
                i++;
            snprintf(who, sizeof who, "rank %d", i);
            return too_late(m, who, e);
        }
        if (no.why[0]) {
            memcpy(no.magic, magic, sizeof magic);
            if (a)
                all(fd, 1, &no, sizeof no, GREETING_WAIT);
            close(fd);
            return err_set(e, ERR_USAGE, "%s: %s", m->meet, no.why);
        }
        r->fd[g.rank] = fd;
        if (a && end_of(fd, 1, &a->at[g.rank]))
            return err_set(e, ERR_OS, "%s: rank %d has no address", m->meet, g.rank);
        if (a)
            memcpy(a->at[g.rank].port, g.port, sizeof g.port);
    }
    return 0;
}

/* Where rank 0 is, from the file; 0: it is not there yet. */
static int read_place(const struct meeting *m, struct place *x)
{
    char text[HOST + PORT + 2] = "";
    FILE *f = fopen(m->meet, "r");
    const int got = f && fgets(text, sizeof text, f);
    if (f)
        fclose(f);
    text[strcspn(text, "\n")] = 0;
    return got && split(text, x);
}

/* Where we listen, into the file, which is new or of an earlier meeting. */
static int publish(const struct meeting *m, struct err *e)
{
    struct outfile f;
    struct place x;
    char text[HOST + PORT + 2];
    if (access(m->meet, F_OK) == 0 && !read_place(m, &x))
        return err_set(e, ERR_USAGE, "%s: it exists, and is not the place of an earlier meeting",
                       m->meet);
    if (end_of(m->listener, 0, &x))
        return err_errno(e, ERR_OS, "%s", m->meet);
    snprintf(text, sizeof text, "%s:%s\n", x.host, x.port);
    if (outfile_open(&f, m->meet, e))
        return e->code;
    if (outfile_write(&f, text, strlen(text), e) || outfile_commit(&f, e)) {
        outfile_abort(&f);
        return e->code;
    }
    return 0;
}

static int be_first(struct meeting *m, struct err *e)
{
    struct ranks *r = m->r;
    struct answer a = {.why = ""};
    memcpy(a.magic, magic, sizeof magic);
    if ((m->listener = open_at(&m->first, 1, m->end, e)) < 0)
        return e->code;
    if (m->is_file && publish(m, e))
        return e->code;
    int rc = accept_all(m, &a, e);
    if (m->is_file)
        unlink(m->meet);
    for (int i = 1; rc == 0 && i < r->n; i++)
        if (all(r->fd[i], 1, &a, sizeof a, r->wait))
            rc = err_set(e, ERR_UNAVAILABLE, "rank %d is gone before the first step", i);
    return rc;
}

/* A connection to rank 0, which may come after us. */
static int find_first(struct meeting *m, struct err *e)
{
    while (clock_now() < m->end) {
        struct err last = {0};
        struct place x = m->first;
        const int fd = m->is_file && !read_place(m, &x) ? -1 : open_at(&x, 0, m->end, &last);
        if (fd >= 0)
            return fd;
        if (last.code == ERR_USAGE)
            return err_set(e, last.code, "%s", last.msg);
        nap();
    }
    return too_late(m, "rank 0", e);
}

static int be_another(struct meeting *m, struct err *e)
{
    struct ranks *r = m->r;
    struct greeting g;
    struct answer a;
    struct place own;
    const int fd = find_first(m, e);
    if (fd < 0)
        return fd;
    r->fd[0] = fd;
    if (end_of(fd, 0, &own))
        return err_errno(e, ERR_OS, "%s", m->meet);
    snprintf(own.port, sizeof own.port, "0");
    if ((m->listener = open_at(&own, 1, m->end, e)) < 0)
        return e->code;
    if (end_of(m->listener, 0, &own))
        return err_errno(e, ERR_OS, "%s", m->meet);
    greet(m, &g, own.port);
    if (all(fd, 1, &g, sizeof g, r->wait) || all(fd, 0, &a, sizeof a, r->wait) ||
        memcmp(a.magic, magic, sizeof magic))
        return err_set(e, ERR_UNAVAILABLE, "%s: rank 0 is gone before the first step", m->meet);
    a.why[WHY - 1] = 0;
    if (a.why[0])
        return err_set(e, ERR_USAGE, "%s: %s", m->meet, a.why);
    m->end = clock_now() + r->wait; /* all have come to rank 0: they come to us at once */
    for (int i = 1; i < r->rank; i++) {
        a.at[i].host[HOST - 1] = a.at[i].port[PORT - 1] = 0;
        if ((r->fd[i] = open_at(&a.at[i], 0, m->end, e)) < 0)
            return e->code;
        if (all(r->fd[i], 1, &g, sizeof g, r->wait))
            return err_set(e, ERR_UNAVAILABLE, "rank %d is gone before the first step", i);
    }
    return accept_all(m, NULL, e);
}

int ranks_join(struct ranks *r, const char *meet, const char *key, struct err *e)
{
    struct meeting m = {.r = r, .meet = meet, .key = key, .listener = -1};
    m.is_file = !split(meet, &m.first);
    m.end = clock_now() + r->wait;
    if (m.is_file)
        m.first = (struct place){"127.0.0.1", "0"};
    int rc = r->rank == 0 ? be_first(&m, e) : be_another(&m, e);
    if (m.listener >= 0)
        close(m.listener);
    return rc;
}
