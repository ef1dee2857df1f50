/* ranks - sums and shares over the connections of processes that train together */
#include "ranks.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 18 }; /* floats that go at once */

void ranks_init(struct ranks *r, int rank, int n, int wait)
{
    *r = (struct ranks){.rank = rank, .n = n, .wait = wait};
    for (int i = 0; i < RANKS_MOST; i++)
        r->fd[i] = -1;
}

void ranks_leave(struct ranks *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->fd[i] >= 0)
            close(r->fd[i]);
    free(r->buf);
    r->n = 0;
    r->buf = NULL;
}

static int gone(int rank, struct err *e)
{
    return err_set(e, ERR_UNAVAILABLE, "rank %d is gone: its connection is closed", rank);
}

/* What of a message is still to go or to come; 0: again, 1: done. */
struct half {
    char *p;
    size_t n;
    int fd, rank;
};

static int some(struct half *h, int out, struct err *e)
{
    const ssize_t n = out ? send(h->fd, h->p, h->n, MSG_NOSIGNAL | MSG_DONTWAIT)
                          : recv(h->fd, h->p, h->n, MSG_DONTWAIT);
    if (n > 0) {
        h->p += n;
        h->n -= (size_t)n;
        return 0;
    }
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    return gone(h->rank, e);
}

/* Both at once, so that two that send to each other cannot wait for ever. */
static int exchange(const struct ranks *r, struct half *out, struct half *in, struct err *e)
{
    while (out->n || in->n) {
        struct pollfd f[2] = {{.fd = out->n ? out->fd : -1, .events = POLLOUT},
                              {.fd = in->n ? in->fd : -1, .events = POLLIN}};
        const int got = poll(f, 2, r->wait * 1000);
        if (got < 0 && errno != EINTR)
            return err_errno(e, ERR_OS, "poll");
        if (got == 0)
            return err_set(e, ERR_UNAVAILABLE, "rank %d: nothing for %d seconds",
                           in->n ? in->rank : out->rank, r->wait);
        if (got > 0 && ((f[0].revents && some(out, 1, e)) || (f[1].revents && some(in, 0, e))))
            return e->code;
    }
    return 0;
}

static struct half half(const struct ranks *r, int rank, const void *p, size_t n)
{
    return (struct half){(char *)(uintptr_t)p, n, r->fd[rank], rank};
}

int ranks_send(struct ranks *r, int to, const void *p, size_t n, struct err *e)
{
    struct half out = half(r, to, p, n), in = {.n = 0};
    return exchange(r, &out, &in, e);
}

int ranks_recv(struct ranks *r, int from, void *p, size_t n, struct err *e)
{
    struct half out = {.n = 0}, in = half(r, from, p, n);
    return exchange(r, &out, &in, e);
}

int ranks_sum(struct ranks *r, double *x, int n, struct err *e)
{
    const size_t bytes = (size_t)n * sizeof *x;
    double *all = malloc(bytes * (size_t)r->n + 1);
    int rc = all ? 0 : err_set(e, ERR_NOMEM, "sums of %d ranks", r->n);
    for (int d = 1; rc == 0 && d < r->n; d++) {
        const int to = (r->rank + d) % r->n, from = (r->rank - d + r->n) % r->n;
        struct half out = half(r, to, x, bytes),
                    in = half(r, from, all + (size_t)from * (size_t)n, bytes);
        rc = exchange(r, &out, &in, e);
    }
    if (rc == 0)
        memcpy(all + (size_t)r->rank * (size_t)n, x, bytes);
    for (int i = 0; rc == 0 && i < n; i++) {
        x[i] = all[i];
        for (int k = 1; k < r->n; k++)
            x[i] += all[k * n + i];
    }
    free(all);
    return rc;
}

/* The part of rank i's share that goes in round c. */
struct piece {
    size_t at, n; /* floats */
};
static struct piece piece(const struct ranks *r, const struct params *p, int i, size_t c)
{
    const size_t from = params_share(p, i, r->n) + c * CHUNK, to = params_share(p, i + 1, r->n);
    return (struct piece){from, from >= to ? 0 : to - from < CHUNK ? to - from : CHUNK};
}

static size_t rounds(const struct ranks *r, const struct params *p)
{
    size_t most = 0;
    for (int i = 0; i < r->n; i++) {
        const size_t n = params_share(p, i + 1, r->n) - params_share(p, i, r->n);
        most = n > most ? n : most;
    }
    return (most + CHUNK - 1) / CHUNK;
}

static int buffers(struct ranks *r, struct err *e)
{
    if (!r->buf)
        r->buf = malloc(((size_t)r->n + 1) * CHUNK * sizeof *r->buf);
    return r->buf ? 0 : err_set(e, ERR_NOMEM, "buffers of %d ranks", r->n);
}

static int copy(struct params *p, int write, struct kn_at array, const struct piece *x, float *buf,
                struct err *e)
{
    const struct kn_at at = kn_plus(array, x->at * sizeof *buf);
    const size_t bytes = x->n * sizeof *buf;
    int rc = !bytes  ? 0
             : write ? kn_write(p->dev, at, buf, bytes)
                     : kn_read(p->dev, buf, at, bytes);
    return rc ? err_set(e, ERR_SOFTWARE, "parameters cannot be copied: %s", kn_strerror(rc)) : 0;
}

/* Others' gradients of one piece of this share, and their sum. */
static int reduce_round(struct ranks *r, struct params *p, size_t c, struct err *e)
{
    const struct piece own = piece(r, p, r->rank, c);
    float *sum = r->buf, *send = r->buf + (size_t)r->n * CHUNK;
    int rc = 0;
    for (int d = 1; rc == 0 && d < r->n; d++) {
        const int to = (r->rank + d) % r->n, from = (r->rank - d + r->n) % r->n;
        const struct piece x = piece(r, p, to, c);
        if ((rc = copy(p, 0, p->g, &x, send, e)))
            break;
        struct half out = half(r, to, send, x.n * sizeof *send),
                    in = half(r, from, r->buf + (size_t)from * CHUNK, own.n * sizeof *send);
        rc = exchange(r, &out, &in, e);
    }
    rc = rc ? rc : copy(p, 0, p->g, &own, r->buf + (size_t)r->rank * CHUNK, e);
    for (int k = 1; rc == 0 && k < r->n; k++)
        for (size_t i = 0; i < own.n; i++)
            sum[i] += r->buf[(size_t)k * CHUNK + i];
    return rc ? rc : copy(p, 1, p->g, &own, sum, e);
}

static int spread_round(struct ranks *r, struct params *p, size_t c, struct err *e)
{
    const struct piece own = piece(r, p, r->rank, c);
    float *send = r->buf, *recv = r->buf + CHUNK;
    int rc = copy(p, 0, p->w, &own, send, e);
    for (int d = 1; rc == 0 && d < r->n; d++) {
        const int to = (r->rank + d) % r->n, from = (r->rank - d + r->n) % r->n;
        const struct piece x = piece(r, p, from, c);
        struct half out = half(r, to, send, own.n * sizeof *send),
                    in = half(r, from, recv, x.n * sizeof *send);
        if ((rc = exchange(r, &out, &in, e)) == 0)
            rc = copy(p, 1, p->w, &x, recv, e);
    }
    return rc;
}

int ranks_reduce(struct ranks *r, struct params *p, struct err *e)
{
    const size_t n = rounds(r, p);
    int rc = buffers(r, e);
    for (size_t c = 0; rc == 0 && c < n; c++)
        rc = reduce_round(r, p, c, e);
    return rc;
}

int ranks_spread(struct ranks *r, struct params *p, struct err *e)
{
    const size_t n = rounds(r, p);
    int rc = buffers(r, e);
    for (size_t c = 0; rc == 0 && c < n; c++)
        rc = spread_round(r, p, c, e);
    return rc ? rc : kn_sync(p->dev) ? err_set(e, ERR_SOFTWARE, "parameters cannot be copied") : 0;
}
