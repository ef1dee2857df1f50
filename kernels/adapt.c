/* adapt - adapters beside a layer's weights: rows grouped by adapter, low-rank products added to the layer's output
 *
 * A group's rows are gathered, multiplied and added back by the calls that all devices have, each of which treats a row by
 * itself: so a row's result is the same alone, in a group of any size and beside any other adapter. */
#include "adapt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t floats(int rows, int cols)
{
    return ((size_t)rows * (size_t)cols * sizeof(float) + 63) / 64 * 64;
}

size_t kn_adapter_bytes(int max_tok, const struct kn_adapter_width *w)
{
    return floats(max_tok, 1) + floats(max_tok, w->in) + floats(max_tok, w->rank) +
           (size_t)(w->columns ? 2 : 1) * floats(max_tok, w->out);
}

int kn_batch_adapters(struct kn_dev *d, struct kn_batch *b, int n, const struct kn_adapter_width *w)
{
    assert(n > 0 && w->in > 0 && w->rank > 0 && w->out > 0 && !b->n_adapter);
    const int t = b->max_tok;
    int err;
    b->group = calloc((size_t)n, sizeof *b->group);
    b->order = calloc((size_t)t, sizeof *b->order);
    if (!b->group || !b->order)
        return KN_ENOMEM;
    b->n_adapter = n;
    if ((err = kn_alloc(d, floats(t, 1), &b->rows)) ||
        (err = kn_alloc(d, floats(t, w->in), &b->in)) ||
        (err = kn_alloc(d, floats(t, w->rank), &b->z)) ||
        (err = kn_alloc(d, floats(t, w->out), &b->out)))
        return err;
    return w->columns ? kn_alloc(d, floats(t, w->out), &b->plain) : KN_OK;
}

void kn_adapt_free(struct kn_dev *d, struct kn_batch *b)
{
    kn_free(d, b->rows);
    kn_free(d, b->in);
    kn_free(d, b->z);
    kn_free(d, b->out);
    kn_free(d, b->plain);
    free(b->group);
    free(b->order);
}

int kn_adapt_set(struct kn_dev *d, struct kn_batch *b, const struct kn_rows *r)
{
    int at = 0;
    b->n_group = 0;
    if (!b->n_adapter || !r->adapter)
        return KN_OK;
    for (int a = 0; a < b->n_adapter; a++) {
        struct kn_adapted *g = &b->group[b->n_group];
        *g = (struct kn_adapted){.adapter = a, .first = at};
        for (int i = 0; i < r->n_tok; i++)
            if (r->adapter[i] == a)
                b->order[at++] = i;
        g->n = at - g->first;
        b->n_group += g->n > 0;
    }
    return at ? kn_write(d, b->rows, b->order, (size_t)at * sizeof *b->order) : KN_OK;
}

int kn_adapts(const struct kn_batch *b, const struct kn_lora *const *lora, int n)
{
    for (int i = 0; i < n && b->n_group; i++)
        for (int g = 0; lora[i] && g < b->n_group; g++)
            if (lora[i][b->group[g].adapter].a)
                return 1;
    return 0;
}

/* y += s * x, m rows of n */
static int add(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at rows, float s, int m,
               int n)
{
    return kn_add_rows(d, y, x, rows, (struct kn_at){0}, s, m, n);
}

/* x(m, n) times a factor for each column */
static int scale_columns(struct kn_dev *d, struct kn_at x, struct kn_at column, int m, int n)
{
    const int err = kn_sync(d);
    float *y = kn_host(d, x);
    const float *f = kn_host(d, column);
    if (err || !y || !f)
        return err ? err : KN_EUNSUP;
    for (int i = 0; i < m; i++, y += n)
        for (int j = 0; j < n; j++)
            y[j] *= f[j];
    return KN_OK;
}

/* One group's rows of y; x: its rows of the layer's input */
static int adapt_group(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                       const struct kn_lora *l, struct kn_at rows, int m, const struct kn_batch *b)
{
    const struct kn_at none = {0};
    int err;
    assert(l->a->k == w->k && l->b->n == w->n && l->a->n == l->b->k);
    if ((err = kn_matmul(d, b->z, x, l->a, none, m, 0)) ||
        (err = kn_matmul(d, b->out, b->z, l->b, none, m, 0)))
        return err;
    if (!l->column.buf)
        return add(d, y, b->out, rows, l->scale, m, w->n);
    struct kn_at t = b->plain; /* u, made once more without the bias; then what takes its place */
    if ((err = kn_matmul(d, t, x, w, none, m, 0)) || (err = add(d, y, t, rows, -1, m, w->n)) ||
        (err = add(d, t, b->out, none, l->scale, m, w->n)) ||
        (err = scale_columns(d, t, l->column, m, w->n)))
        return err;
    return add(d, y, t, rows, 1, m, w->n);
}

int kn_adapt(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
             const struct kn_lora *lora, const struct kn_batch *b)
{
    for (int i = 0; lora && i < b->n_group; i++) {
        const struct kn_adapted *g = &b->group[i];
        const struct kn_lora *l = &lora[g->adapter];
        const int all = g->n == b->n_tok; /* rows as they are */
        struct kn_at rows = kn_plus(b->rows, (size_t)g->first * sizeof *b->order);
        int err;
        if (!l->a)
            continue;
        if (!all && (err = kn_take_rows(d, b->in, x, rows, g->n, w->k)))
            return err;
        if ((err =
                 adapt_group(d, y, all ? x : b->in, w, l, all ? (struct kn_at){0} : rows, g->n, b)))
            return err;
    }
    return KN_OK;
}
