/* collect - sums of squares of what meets each weight of a model, while it runs */
#include "collect.h"
#include "import.h"
#include "quant.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct watched {
    const struct kn_weight *w;
    size_t entry; /* of the matrix: entries move while more are made */
    size_t mat;
};
struct collect {
    struct kn_ops ops; /* first: d->ops points here, and so the calls find the rest */
    const struct kn_ops *real;
    struct kn_dev *d;
    struct imatrix *m;
    struct watched *watched; /* sorted by w */
    int n;
    float *row; /* where host and device share no memory */
    size_t row_len;
};

static int by_weight(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)((const struct watched *)a)->w,
                    y = (uintptr_t)((const struct watched *)b)->w;
    return (x > y) - (x < y);
}

static int add_rows(struct collect *c, struct imatrix_entry *t, size_t mat, struct kn_at x, int m)
{
    float *sum = t->sum + mat * t->cols;
    int rc = kn_sync(c->d);
    const float *host = rc ? NULL : kn_host(c->d, x);
    for (int r = 0; r < m && rc == 0; r++) {
        const float *row = host ? host + (size_t)r * t->cols : c->row;
        if (!host)
            rc = kn_read(c->d, c->row, kn_plus(x, (size_t)r * t->cols * sizeof *row),
                         t->cols * sizeof *row);
        for (size_t i = 0; i < t->cols && rc == 0; i++)
            sum[i] += row[i] * row[i];
    }
    t->count[mat] += m;
    return rc;
}

static int matmul(struct kn_dev *d, struct kn_at y, struct kn_at x, const struct kn_weight *w,
                  struct kn_at bias, int m, int flags)
{
    struct collect *c = (struct collect *)(void *)(uintptr_t)d->ops;
    const struct watched key = {.w = w},
                         *found = bsearch(&key, c->watched, (size_t)c->n, sizeof key, by_weight);
    int rc = found ? add_rows(c, &c->m->entry[found->entry], found->mat, x, m) : 0;
    return rc ? rc : c->real->matmul(d, y, x, w, bias, m, flags);
}

/* model_weights with room for whatever the file has */
static int watch_weights(struct collect *c, const struct model *model, int head, struct err *e)
{
    const int max = model->file.n_tensor;
    const struct tensor **t = calloc((size_t)max + 1, sizeof *t);
    const struct kn_weight **w = calloc((size_t)max + 1, sizeof *w);
    char name[TENSOR_NAME + 1];
    int rc = 0, expert;
    c->watched = calloc((size_t)max + 1, sizeof *c->watched);
    if (!t || !w || !c->watched)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    const int n = rc < 0 ? 0 : model_weights(model, t, w, max);
    for (int i = 0; i < n && rc == 0; i++) {
        if (!import_gguf_name(t[i]->name, name, sizeof name, &expert) ||
            (strncmp(name, "blk.", 4) && !(head && w[i] == model->head)))
            continue;
        const struct imatrix_entry *x = imatrix_get(
            c->m, name, expert < 0 ? 1 : (size_t)model->h.n_expert, (size_t)tensor_cols(t[i]), e);
        if (!x) {
            rc = e->code;
            break;
        }
        c->row_len = x->cols > c->row_len ? x->cols : c->row_len;
        c->watched[c->n++] =
            (struct watched){w[i], (size_t)(x - c->m->entry), expert < 0 ? 0 : (size_t)expert};
    }
    free(t);
    free(w);
    qsort(c->watched, (size_t)c->n, sizeof *c->watched, by_weight);
    return rc;
}

static void release(struct collect *c)
{
    free(c->watched);
    free(c->row);
    free(c);
}

int collect_begin(struct collect **out, const struct model *model, struct imatrix *m, int head,
                  struct err *e)
{
    struct collect *c = calloc(1, sizeof *c);
    int rc;
    if (!c)
        return err_set(e, ERR_NOMEM, "out of memory");
    c->m = m;
    c->d = model->dev;
    c->real = c->d->ops;
    if ((rc = watch_weights(c, model, head, e)) == 0 &&
        !(c->row = malloc((c->row_len + 1) * sizeof *c->row)))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc < 0) {
        release(c);
        return rc;
    }
    c->ops = *c->real;
    c->ops.matmul = matmul;
    c->ops.qkv = NULL;
    c->ops.ffn = NULL;
    c->ops.head = NULL;
    c->d->ops = &c->ops;
    *out = c;
    return 0;
}

int collect_end(struct collect *c, struct err *e)
{
    int rc = 0;
    c->d->ops = c->real;
    for (int k = 0; k < c->n && rc == 0; k++) {
        const struct imatrix_entry *t = &c->m->entry[c->watched[k].entry];
        for (size_t i = 0; i < t->n_mat * t->cols && rc == 0; i++)
            if (!isfinite(t->sum[i]))
                rc = err_set(e, ERR_DATA, "weight %s: the sum of squares of column %zu is %g",
                             t->name, i % t->cols, (double)t->sum[i]);
    }
    release(c);
    return rc;
}
