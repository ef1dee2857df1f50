/* test_optim - moments in less than f32, Muon against double precision, shares, and processes that train together */
#include "ckpt.h"
#include "moment.h"
#include "optim.h"
#include "ranks.h"
#include "rng.h"
#include "tap.h"
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char tmp[] = "/tmp/test_optim.XXXXXX";
static const char key[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* Two matrices, an embedding and two vectors; values and gradients drawn. */
static const struct {
    int rows, cols;
    enum params_kind kind;
} shape[] = {{50, 30, PARAMS_WEIGHT},
             {24, 40, PARAMS_MATRIX},
             {1, 17, PARAMS_VECTOR},
             {40, 24, PARAMS_MATRIX},
             {1, 700, PARAMS_VECTOR}};
enum { PARTS = sizeof shape / sizeof *shape };

static void draw(struct params *p, struct kn_at at, uint64_t k, double size)
{
    struct rng r = {rng_key(k, "values", 0), 0};
    float *x = malloc(p->n * sizeof *x);
    for (size_t i = 0; i < p->n; i++)
        x[i] = (float)(size * rng_normal(&r));
    kn_write(p->dev, at, x, p->n * sizeof *x);
    free(x);
}

static struct params make(const char *device, int threads)
{
    struct params p = {.n = 0};
    struct err e = {0};
    struct kn_dev *dev;
    size_t at;
    if (kn_open(&dev, device, threads))
        abort();
    for (int i = 0; i < PARTS; i++) {
        params_plan(&p, (size_t)shape[i].rows * (size_t)shape[i].cols, shape[i].kind, &at, &e);
        p.part[p.n_part - 1].rows = shape[i].rows;
        p.part[p.n_part - 1].cols = shape[i].cols;
    }
    if (params_alloc(&p, dev, "parameters", &e))
        abort();
    draw(&p, p.w, 1, 0.1);
    return p;
}

static void unmake(struct params *p)
{
    struct kn_dev *dev = p->dev;
    params_free(p);
    kn_close(dev);
}

static float *values(const struct params *p)
{
    float *x = malloc(p->n * sizeof *x);
    kn_read(p->dev, x, p->w, p->n * sizeof *x);
    return x;
}

static struct optim conf(enum kn_moment moment, int muon)
{
    struct optim o = OPTIM_DEFAULT;
    o.lr = 0.01;
    o.weight_decay = 0.1;
    o.clip = 0;
    o.schedule = OPTIM_CONSTANT;
    o.moment = moment;
    o.muon = muon;
    o.seed = 9;
    return o;
}

static void steps(struct params *p, const struct optim *o, long from, long to, struct err *e)
{
    double norm;
    for (long i = from; !e->code && i <= to; i++) {
        draw(p, p->g, 100 + (uint64_t)i, 0.01);
        optim_step(o, p, i, &norm, e);
    }
}

static double distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 1e-30;
    for (size_t i = 0; i < n; i++) {
        d += pow((double)a[i] - b[i], 2);
        s += pow((double)b[i], 2);
    }
    return sqrt(d / s);
}

/* The change of the weights over some steps is f32's but for what the moments lose. */
static void moments(void)
{
    static const double most[] = {0, 0.02, 0.15};
    float *first = NULL, *begin = NULL;
    for (int m = 0; m < 3; m++) {
        struct err e = {0};
        struct params p = make("cpu", 2), q = make("cpu", 1);
        const struct optim o = conf((enum kn_moment)m, 0);
        float *w = values(&p);
        begin = begin ? begin : values(&q);
        if (m == 0)
            memcpy(begin, w, p.n * sizeof *w);
        free(w);
        steps(&p, &o, 1, 20, &e);
        steps(&q, &o, 1, 20, &e);
        float *x = values(&p), *y = values(&q);
        ok(!e.code && !memcmp(x, y, p.n * sizeof *x), "moments %d: the same bits on two threads %s",
           m, e.msg);
        for (size_t i = 0; i < p.n; i++)
            x[i] -= begin[i];
        if (m == 0) {
            first = malloc(p.n * sizeof *first);
            memcpy(first, x, p.n * sizeof *first);
        }
        const double d = distance(x, first, p.n);
        ok(d <= most[m], "moments %d: 20 steps differ by %.1e of f32's", m, d);
        const size_t bytes = p.m_all + p.v_all;
        ok(m == 0   ? bytes == 8 * p.n
           : m == 1 ? bytes == 4 * p.n
                    : bytes < 8 * p.n / 3 && bytes == 2 * 260 * (6 + 4 + 1 + 4 + 3),
           "moments %d: %zu bytes for %zu parameters", m, bytes, p.n);
        free(x);
        free(y);
        unmake(&p);
        unmake(&q);
    }
    free(first);
    free(begin);
}

/* 6 steps are 3, a checkpoint, and 3 more. */
static void resumes(enum kn_moment m, int muon)
{
    struct err e = {0};
    struct params p = make("cpu", 2), q = make("cpu", 2);
    const struct optim o = conf(m, muon);
    char path[100];
    long step = 0;
    snprintf(path, sizeof path, "%s/r.ckpt", tmp);
    steps(&p, &o, 1, 3, &e);
    ckpt_save(path, key, &p, 3, &e);
    steps(&p, &o, 4, 6, &e);
    optim_begin(&o, &q, &e);
    ok(ckpt_load(path, key, &q, &step, &e) == 1 && step == 3, "moments %d, muon %d: loaded %s", m,
       muon, e.msg);
    steps(&q, &o, 4, 6, &e);
    float *x = values(&p), *y = values(&q);
    ok(!e.code && !memcmp(x, y, p.n * sizeof *x), "moments %d, muon %d: resumed, the same bits %s",
       m, muon, e.msg);
    const struct optim other = conf(m == KN_MOMENT_F32 ? KN_MOMENT_8BIT : KN_MOMENT_F32, muon);
    struct params z = make("cpu", 1);
    optim_begin(&other, &z, &e);
    ok(ckpt_load(path, key, &z, &step, &e) == ERR_DATA, "other moments: %s", e.msg);
    free(x);
    free(y);
    unmake(&p);
    unmake(&q);
    unmake(&z);
}

/* ---- Muon in double precision ---- */

/* c(m, n) = a(m, k) b(k, n) */
static void product(double *c, const double *a, const double *b, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            c[i * n + j] = 0;
            for (int l = 0; l < k; l++)
                c[i * n + j] += a[i * k + l] * b[l * n + j];
        }
}

static void transpose(double *t, const double *a, int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            t[j * m + i] = a[i * n + j];
}

/* zeropower_via_newtonschulz5 of kellerjordan.github.io/posts/muon, in double */
static void orthogonal(double *x, int rows, int cols)
{
    enum { MOST = 40 * 40 };
    static double y[MOST], t[MOST], a[MOST], b[MOST];
    double norm = 0;
    if (rows > cols) {
        transpose(t, x, rows, cols);
        memcpy(x, t, (size_t)(rows * cols) * sizeof *x);
        orthogonal(x, cols, rows);
        transpose(t, x, cols, rows);
        memcpy(x, t, (size_t)(rows * cols) * sizeof *x);
        return;
    }
    for (int i = 0; i < rows * cols; i++)
        norm += x[i] * x[i];
    for (int i = 0; i < rows * cols; i++)
        x[i] /= sqrt(norm) + 1e-7;
    for (int k = 0; k < 5; k++) {
        transpose(t, x, rows, cols);
        product(a, x, t, rows, rows, cols);
        product(b, a, a, rows, rows, rows);
        for (int i = 0; i < rows * rows; i++)
            b[i] = -4.7750 * a[i] + 2.0315 * b[i];
        product(y, b, x, rows, cols, rows);
        for (int i = 0; i < rows * cols; i++)
            x[i] = 3.4445 * x[i] + y[i];
    }
}

static void muon_is_right(const char *device)
{
    struct err e = {0};
    struct params p = make(device, 2);
    const struct optim o = conf(KN_MOMENT_F32, 1);
    float *w = values(&p), *g = malloc(p.n * sizeof *g);
    double *want = malloc(p.n * sizeof *want), *m = calloc(p.n, sizeof *m), u[40 * 40], worst = 0,
           norm;
    for (size_t i = 0; i < p.n; i++)
        want[i] = w[i];
    for (long s = 1; s <= 4; s++) {
        draw(&p, p.g, 100 + (uint64_t)s, 0.01);
        kn_read(p.dev, g, p.g, p.n * sizeof *g);
        optim_step(&o, &p, s, &norm, &e);
        for (int k = 0; k < PARTS; k++) {
            const size_t at = p.part[k].at;
            if (shape[k].kind != PARAMS_MATRIX)
                continue;
            for (size_t i = 0; i < p.part[k].n; i++) {
                m[at + i] = 0.95 * m[at + i] + g[at + i];
                u[i] = g[at + i] + 0.95 * m[at + i];
            }
            orthogonal(u, shape[k].rows, shape[k].cols);
            for (size_t i = 0; i < p.part[k].n; i++)
                want[at + i] -= 0.01 * (0.1 * want[at + i] + 0.2 * sqrt(40) * u[i]);
        }
    }
    free(w);
    w = values(&p);
    for (int k = 0; k < PARTS; k++)
        for (size_t i = p.part[k].at;
             shape[k].kind == PARAMS_MATRIX && i < p.part[k].at + p.part[k].n; i++)
            worst = fmax(worst, fabs(w[i] - want[i]));
    ok(!e.code && worst < 2e-6, "Muon on %s: four steps of double precision's, worst %.1e %s",
       device, worst, e.msg);
    /* the rest is AdamW's */
    struct params q = make(device, 1);
    const struct optim a = conf(KN_MOMENT_F32, 0);
    struct err e2 = {0};
    steps(&q, &a, 1, 4, &e2);
    float *x = values(&q);
    ok(!memcmp(x, w, p.part[0].n * sizeof *x) &&
           !memcmp(x + p.part[4].at, w + p.part[4].at, p.part[4].n * sizeof *x) &&
           memcmp(x + p.part[1].at, w + p.part[1].at, p.part[1].n * sizeof *x),
       "embedding and vectors have AdamW, matrices have not");
    ok(p.v_all == 4 * (1500 + 17 + 700), "a matrix has one moment");
    free(x);
    free(w);
    free(g);
    free(want);
    free(m);
    unmake(&p);
    unmake(&q);
}

static void shares(void)
{
    struct params p = make("ref", 1);
    int good = 1;
    for (int muon = 0; muon < 2; muon++) {
        const struct optim o = conf(KN_MOMENT_8BIT, muon);
        optim_moment_bytes(&o, &p);
        for (int n = 1; n <= 7; n++) {
            good &= params_share(&p, 0, n) == 0 && params_share(&p, n, n) == p.n;
            for (int i = 1; i <= n; i++)
                good &= params_share(&p, i, n) >= params_share(&p, i - 1, n);
            for (int i = 0; i < n; i++)
                for (int k = 0; k < PARTS; k++) {
                    const size_t at = params_share(&p, i, n), from = p.part[k].at;
                    if (at > from && at < from + p.part[k].n)
                        good &= (at - from) % KN_MOMENT_BLOCK == 0 &&
                                !(muon && shape[k].kind == PARAMS_MATRIX);
                }
        }
    }
    ok(good, "shares cut neither blocks nor Muon's matrices");
    unmake(&p);
}

/* ---- processes ---- */

/* What rank i of n does; its exit status is 0 if all went well. */
typedef int job(struct ranks *r, struct params *p, const struct optim *o, struct err *e);

static int together(int n, const struct optim *o, job *what, const char *file, int wait_s)
{
    int good = 0;
    pid_t pid[8];
    for (int i = 0; i < n; i++)
        if ((pid[i] = fork()) == 0) {
            struct err e = {0};
            struct ranks r;
            struct params p = make("cpu", 1);
            ranks_init(&r, i, n, wait_s);
            p.ranks = &r;
            int rc = ranks_join(&r, file, key, &e);
            rc = rc ? rc : what(&r, &p, o, &e);
            if (rc)
                fprintf(stderr, "# rank %d: %s\n", i, e.msg);
            ranks_leave(&r);
            _exit(rc != 0);
        }
    for (int i = 0; i < n; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        good += status == 0;
    }
    return good;
}

/* A rank's own gradient: some of the parameters'; all ranks' together are g. */
static void part_of_gradient(struct params *p, uint64_t k, int rank, int n)
{
    float *g = malloc(p->n * sizeof *g);
    draw(p, p->g, k, 0.01);
    kn_read(p->dev, g, p->g, p->n * sizeof *g);
    for (size_t i = 0; i < p->n; i++)
        if ((int)(i % (size_t)n) != rank)
            g[i] = 0;
    kn_write(p->dev, p->g, g, p->n * sizeof *g);
    free(g);
}

static int trains(struct ranks *r, struct params *p, const struct optim *o, struct err *e)
{
    char path[100];
    double norm;
    int rc = 0;
    for (long s = 1; rc == 0 && s <= 3; s++) {
        part_of_gradient(p, 100 + (uint64_t)s, r->rank, r->n);
        rc = optim_step(o, p, s, &norm, e);
    }
    snprintf(path, sizeof path, "%s/ranks.ckpt", tmp);
    rc = rc ? rc : ckpt_save(path, key, p, 3, e);
    double x[2] = {r->rank, 1};
    rc = rc ? rc : ranks_sum(r, x, 2, e);
    /* each takes its share from the file, and all have the same weights */
    long step;
    float *before = values(p);
    if (rc == 0 && ckpt_load(path, key, p, &step, e) != 1)
        rc = -1;
    float *after = values(p);
    rc = rc ? rc
            : memcmp(before, after, p->n * sizeof *after) || x[0] != r->n * (r->n - 1) / 2 ||
                  x[1] != r->n;
    free(before);
    free(after);
    return rc;
}

static int same_file(const char *a, const char *b)
{
    char cmd[300];
    snprintf(cmd, sizeof cmd, "cmp -s %s/%s %s/%s", tmp, a, tmp, b);
    return system(cmd) == 0;
}

/* Where no value of a gradient has two summands the sums are exact: all is one process's, to the last bit. */
static void many(int n, enum kn_moment m, int muon)
{
    struct err e = {0};
    char file[100], one[100];
    const struct optim o = conf(m, muon);
    struct params p = make("cpu", 1);
    snprintf(file, sizeof file, "%s/meet", tmp);
    snprintf(one, sizeof one, "%s/one.ckpt", tmp);
    steps(&p, &o, 1, 3, &e);
    ckpt_save(one, key, &p, 3, &e);
    unmake(&p);
    ok(together(n, &o, trains, file, 20) == n && access(file, F_OK),
       "%d ranks, moments %d, muon %d", n, m, muon);
    ok(!e.code && same_file("one.ckpt", "ranks.ckpt"), "... one process's checkpoint, to the byte");
}

static int dies(struct ranks *r, struct params *p, const struct optim *o, struct err *e)
{
    double norm;
    draw(p, p->g, 3, 0.01);
    if (r->rank == 1)
        _exit(0);
    int rc = optim_step(o, p, 1, &norm, e);
    return !(rc == ERR_UNAVAILABLE && strstr(e->msg, "is gone"));
}

static int sleeps(struct ranks *r, struct params *p, const struct optim *o, struct err *e)
{
    double x = 1;
    (void)p, (void)o;
    if (r->rank == 1)
        sleep(4);
    return r->rank == 0 ? !(ranks_sum(r, &x, 1, e) == ERR_UNAVAILABLE &&
                            strstr(e->msg, "rank 1: nothing for 1 seconds"))
                        : 0;
}

/* Two with different keys, and somebody who says something else. */
static void strangers(void)
{
    char file[100], other[65];
    struct err e = {0};
    struct ranks r;
    snprintf(file, sizeof file, "%s/meet", tmp);
    memcpy(other, key, sizeof other);
    other[3] = 'x';
    const pid_t pid = fork();
    if (pid == 0) {
        ranks_init(&r, 0, 2, 10);
        _exit(ranks_join(&r, file, key, &e) == ERR_USAGE && strstr(e.msg, "other arguments") ? 0
                                                                                             : 1);
    }
    while (access(file, F_OK))
        usleep(10000);
    char text[40] = "";
    FILE *f = fopen(file, "r");
    int port = f && fgets(text, sizeof text, f) ? (int)strtol(strrchr(text, ':') + 1, NULL, 10) : 0;
    if (f)
        fclose(f);
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char junk[400] = "GET / HTTP/1.1\r\n";
    ok(connect(fd, (const struct sockaddr *)&a, sizeof a) == 0 &&
           write(fd, junk, sizeof junk) == sizeof junk,
       "a stranger");
    close(fd);
    ranks_init(&r, 1, 2, 10);
    ok(ranks_join(&r, file, other, &e) == ERR_USAGE && strstr(e.msg, "other arguments"), "%s",
       e.msg);
    ranks_leave(&r);
    int status;
    waitpid(pid, &status, 0);
    ok(status == 0, "rank 0 says the same");
    e = (struct err){0};
    ranks_init(&r, 0, 2, 1);
    ok(ranks_join(&r, file, key, &e) == ERR_UNAVAILABLE && strstr(e.msg, "rank 1 did not come"),
       "%s", e.msg);
    ranks_leave(&r);
    e = (struct err){0};
    ranks_init(&r, 1, 2, 1);
    ok(ranks_join(&r, "127.0.0.1:1", key, &e) == ERR_UNAVAILABLE && strstr(e.msg, "rank 0 did not"),
       "%s", e.msg);
    ranks_leave(&r);
}

int main(void)
{
    char cmd[100], file[100];
    if (!mkdtemp(tmp))
        return 1;
    moments();
    for (int m = 0; m < 3; m++)
        for (int muon = 0; muon < 2; muon++)
            resumes((enum kn_moment)m, muon);
    muon_is_right("ref");
    muon_is_right("cpu");
    shares();
    many(2, KN_MOMENT_F32, 0);
    many(2, KN_MOMENT_8BIT, 1);
    many(3, KN_MOMENT_BF16, 0);
    many(5, KN_MOMENT_8BIT, 0);
    const struct optim o = conf(KN_MOMENT_F32, 0);
    snprintf(file, sizeof file, "%s/meet", tmp);
    ok(together(3, &o, dies, file, 20) == 3, "a rank that dies is an error on the others");
    ok(together(2, &o, sleeps, file, 1) == 2, "so is one that says nothing");
    strangers();
    snprintf(cmd, sizeof cmd, "rm -r %s", tmp);
    return done_testing() | system(cmd);
}
