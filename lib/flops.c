/* flops - operations of a training token; a device's rate of products, by the clock */
#include "flops.h"
#include "clock.h"
#include "dev.h"
#include "train.h"
#include <stdlib.h>
#include <string.h>

double flops_token(const struct hparams *h, int full, int recompute, double document)
{
    const double e = h->n_embd, q = (double)h->n_head * h->head_dim,
                 kv = (double)h->n_head_kv * h->head_dim;
    const double layer = e * (q + 2 * kv) + q * e + 3 * e * h->n_ff;
    const double n = h->n_layer * layer + e * h->n_vocab;
    return full ? 6 * n + 12 * h->n_layer * document * q : (recompute ? 6 : 4) * n;
}

/* Sizes of the product: the first that takes LONG is measured. */
enum { SMALLEST = 256, LARGEST = 8192, TRIES = 3 };
static const double LONG = 0.01; /* seconds */

struct product {
    struct kn_dev *d;
    struct kn_weight *w; /* (n, n) */
    uint16_t *rows;      /* its values: it may read them where they are */
    struct kn_at x, y;   /* (n, n) */
    int n;
};

static int make(struct product *p, struct kn_dev *d, int n, int mixed)
{
    const size_t values = (size_t)n * (size_t)n;
    const int flags = KN_W_TRAIN | (mixed ? KN_W_MIXED : 0);
    int rc;
    *p = (struct product){.d = d, .n = n, .rows = malloc(values * sizeof *p->rows)};
    if (!p->rows)
        return KN_ENOMEM;
    for (size_t i = 0; i < values; i++)
        p->rows[i] = 0x3c00; /* 2^-7 */
    if ((rc = kn_weight_new(d, KN_BF16, n, n, p->rows, flags, &p->w)) == 0 &&
        (rc = kn_alloc(d, values * sizeof(float), &p->x)) == 0 &&
        (rc = kn_alloc(d, values * sizeof(float), &p->y)) == 0 &&
        (rc = kn_fill(d, p->x, 1, values)) == 0)
        rc = kn_sync(d);
    return rc;
}

static void done(struct product *p)
{
    if (p->y.buf)
        kn_free(p->d, p->y);
    if (p->x.buf)
        kn_free(p->d, p->x);
    if (p->w)
        kn_weight_free(p->d, p->w);
    free(p->rows);
}

static int run(const struct product *p, int mixed, double *seconds)
{
    struct kn_group g = {.k = p->n, .n_lin = 1, .x = p->x};
    g.lin[0] = (struct kn_lin){.w = p->w, .y = p->y};
    const double begin = clock_now();
    int rc = kn_group(p->d, &g, p->n, mixed ? KN_MIXED : 0);
    rc = rc ? rc : kn_sync(p->d);
    *seconds = clock_now() - begin;
    return rc;
}

int flops_peak(struct kn_dev *d, int mixed, double *per_second, struct err *e)
{
    int rc = 0, last = 0;
    *per_second = 0;
    for (int n = SMALLEST; rc == 0 && !last && n <= LARGEST; n *= 2) {
        struct product p;
        double seconds;
        if ((rc = make(&p, d, n, mixed)) == 0)
            rc = run(&p, mixed, &seconds); /* to get warm */
        last = rc == 0 && (seconds > LONG || n == LARGEST);
        for (int i = 0; rc == 0 && last && i < TRIES; i++)
            if ((rc = run(&p, mixed, &seconds)) == 0 && seconds > 0) {
                const double rate = 2.0 * n * n * n / seconds;
                *per_second = rate > *per_second ? rate : *per_second;
            }
        done(&p);
    }
    return rc < 0 ? dev_failed(d, "a product to be measured", rc, e) : 0;
}
