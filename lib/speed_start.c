/* speed_start - from nothing to the first token, in a process of its own */
#include "dev.h"
#include "forward.h"
#include "speed.h"
#include "start.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct report { /* what the child tells */
    double loaded, first;
    struct err e;
};

/* Forward pass of all ids at once, and the likeliest next token. */
static int first_token(struct model *m, const int32_t *ids, int n, int kv_type, struct err *e)
{
    struct forward f;
    int blocks = (n + KN_TILE - 1) / KN_TILE, rc;
    int32_t *place = calloc(3 * (size_t)n + (size_t)blocks, sizeof *place), last = n - 1;
    float *logits = malloc((size_t)m->h.n_vocab * sizeof *logits);
    memset(&f, 0, sizeof f);
    if (!place || !logits)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        rc = forward_new(&f, m, n, 1, 1, blocks, blocks, kv_type, e);
    if (rc == 0) {
        int32_t *pos = place, *seq = place + n, *table = place + 2 * n;
        for (int i = 0; i < n; i++)
            pos[i] = i;
        for (int i = 0; i < blocks; i++)
            table[i] = i;
        struct kn_rows r = {.n_tok = n,
                            .n_seq = 1,
                            .n_out = 1,
                            .tok = ids,
                            .pos = pos,
                            .seq = seq,
                            .out = &last,
                            .blocks = table};
        if ((rc = forward_step(&f, &r, e)) == 0 &&
            (rc = kn_read(m->dev, logits, f.logits, (size_t)m->h.n_vocab * sizeof *logits)) < 0)
            rc = dev_failed(m->dev, "logits", rc, e);
    }
    if (rc == 0) {
        int best = 0;
        for (int i = 1; i < m->n_real; i++)
            best = logits[i] > logits[best] ? i : best;
        if (!(logits[best] == logits[best]))
            rc = err_set(e, ERR_DATA, "%s: a logit is not a number", m->file.path);
    }
    forward_free(&f);
    free(place);
    free(logits);
    return rc;
}

static void child(struct report *r, double start, const char *path, const char *device, int threads,
                  int flags, const struct speed_conf *c)
{
    static const int32_t no_text[4] = {0, 1, 2, 3}; /* a model without tokenizer */
    struct model m;
    struct kn_dev *dev;
    int32_t *ids = NULL;
    long n = 4;
    if (start_model(&m, &dev, path, device, threads, flags, 0, &r->e) < 0)
        return;
    r->loaded = clock_now() - start;
    if (m.tok)
        n = bpe_encode(m.tok, SPEED_TEXT, strlen(SPEED_TEXT), BPE_BOS, &ids, &r->e);
    if (n < 0 || first_token(&m, m.tok ? ids : no_text, (int)n, c->kv_type, &r->e) < 0)
        return;
    r->first = clock_now() - start;
}

/* One process: its report, and the most memory that it had. */
static int start_once(struct report *r, size_t *peak, const char *path, const char *device,
                      int threads, int flags, const struct speed_conf *c, struct err *e)
{
    int fd[2], status;
    struct rusage use;
    if (pipe(fd) < 0)
        return err_errno(e, ERR_OS, "pipe");
    double start = clock_now();
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return err_errno(e, ERR_OS, "fork");
    }
    if (pid == 0) {
        close(fd[0]);
        memset(r, 0, sizeof *r);
        child(r, start, path, device, threads, flags, c);
        _exit(write(fd[1], r, sizeof *r) != sizeof *r);
    }
    close(fd[1]);
    ssize_t got = read(fd[0], r, sizeof *r); /* at most PIPE_BUF: in one piece */
    close(fd[0]);
    while (wait4(pid, &status, 0, &use) < 0)
        if (errno != EINTR)
            return err_errno(e, ERR_OS, "wait");
    if (got != sizeof *r)
        return err_set(e, ERR_OS, "the process that loads %s died", path);
    if (r->e.code) {
        if (e)
            *e = r->e;
        return r->e.code;
    }
    *peak = (size_t)use.ru_maxrss * 1024;
    return 0;
}

int speed_start(struct speed *s, const char *path, const char *device, int threads, int flags,
                const struct speed_conf *c, struct err *e)
{
    int load = s->n, ttft = load + 1;
    if (!speed_add(s, "load", "s", c->reps) || !speed_add(s, "ttft", "s", c->reps))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = -c->warmup; i < c->reps; i++) {
        struct report r = {0};
        size_t peak = 0;
        if (c->tell)
            c->tell(c->arg, "ttft", i);
        int rc = start_once(&r, &peak, path, device, threads, flags, c, e);
        if (rc < 0)
            return rc;
        if (i < 0)
            continue;
        s->row[load].value[i] = r.loaded;
        s->row[ttft].value[i] = r.first;
        s->row[ttft].peak = peak > s->row[ttft].peak ? peak : s->row[ttft].peak;
    }
    return 0;
}
