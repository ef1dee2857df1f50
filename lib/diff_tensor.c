/* diff_tensor - the values of one tensor in two models, whatever their types */
#include "blocks.h"
#include "diff.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1 << 16, LET_GO = 1 << 22 }; /* values: a multiple of every block */

/* ---- sums ---- */

void diff_add(struct diff_sums *to, const struct diff_sums *s)
{
    to->count += s->count;
    to->aa += s->aa;
    to->bb += s->bb;
    to->ab += s->ab;
    to->dd += s->dd;
    to->max = fmax(to->max, s->max);
}

double diff_rms(const struct diff_sums *s)
{
    return s->count > 0 ? sqrt(s->dd / s->count) : 0;
}

double diff_rel_rms(const struct diff_sums *s)
{
    return s->dd > 0 ? s->aa > 0 ? sqrt(s->dd / s->aa) : INFINITY : 0;
}

double diff_cosine(const struct diff_sums *s)
{
    if (s->dd <= 0)
        return 1;
    return s->aa > 0 && s->bb > 0 ? fmax(-1, fmin(1, s->ab / sqrt(s->aa) / sqrt(s->bb))) : 0;
}

/* ---- values of a side ---- */

struct values {
    struct tensor t;
    void *made;   /* its bytes, where no file has them */
    float *whole; /* all values, where a row does not begin a block */
    int pairs;    /* its rows lie as neighbours turn, and those of the other side do not */
    float plus;   /* a norm less one, and that of the other side is not */
};

static int by_rows(const struct values *v)
{
    const uint64_t block = (uint64_t)tensor_type_block(v->t.type);
    return v->t.type != KN_NF4 && block && tensor_cols(&v->t) % block == 0;
}

static int open_values(struct values *v, const struct side *s, int i, int rows, struct err *e)
{
    v->t = s->v->t[i];
    if (!v->t.data && v->t.bytes) {
        if (!(v->made = malloc(v->t.bytes)))
            return err_set(e, ERR_NOMEM, "tensor %s: out of memory", v->t.name);
        if (s->v->fill(s->v->arg, i, v->made, e) < 0)
            return e->code;
        v->t.data = v->made;
    }
    if (!rows || !tensor_is_weight(v->t.type) || by_rows(v))
        return 0;
    const size_t n = (size_t)tensor_count(&v->t);
    size_t bytes;
    if (!size_mul(n, sizeof *v->whole, &bytes) || !(v->whole = malloc(bytes + 1)))
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", v->t.name);
    tensor_values(&v->t, 0, v->whole, n);
    return 0;
}

static void close_values(struct values *v, const struct side *s, int i)
{
    if (!v->made && s->v->forget && s->v->t[i].data)
        s->v->forget(s->v->arg, &s->v->t[i]);
    free(v->made);
    free(v->whole);
}

static void get(const struct values *v, uint64_t first, float *x, size_t n)
{
    if (v->whole)
        memcpy(x, v->whole + first, n * sizeof *x);
    else
        tensor_values(&v->t, first, x, n);
    for (size_t i = 0; i < n && v->plus != 0; i++)
        x[i] += v->plus;
}

/* Values first ... first + n - 1 were read: their pages leave memory, before all of a large tensor is in it. */
static void let_go(const struct values *v, const struct side *s, uint64_t first, uint64_t n)
{
    struct tensor part = v->t;
    if (v->made || v->whole || !s->v->forget || v->t.type == KN_NF4)
        return;
    part.data = (const char *)v->t.data + kn_row_bytes(v->t.type, (size_t)first);
    part.bytes = kn_row_bytes(v->t.type, (size_t)n);
    s->v->forget(s->v->arg, &part);
}

/* ---- both ---- */

static void compare(struct diff_tensor *t, const float *a, const float *b, uint64_t first, size_t n)
{
    struct diff_sums *s = &t->sum;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i], y = (double)b[i], d = y - x;
        if (!isfinite(x) || !isfinite(y)) {
            t->not_same += !(x == y || (isnan(x) && isnan(y)));
            continue;
        }
        s->count++;
        s->aa += x * x;
        s->bb += y * y;
        s->ab += x * y;
        s->dd += d * d;
        if (fabs(d) > s->max) {
            s->max = fabs(d);
            t->at = first + i;
        }
    }
}

/* Where row r of the order of halves lies in the order of neighbours: convert_hf_to_gguf.py's permute(). */
static uint64_t pair_row(uint64_t r, uint64_t head_dim)
{
    const uint64_t in_head = r % head_dim, half = head_dim / 2;
    return r - in_head + 2 * (in_head % half) + in_head / half;
}

static int compare_rows(struct diff_tensor *t, const struct values *a, const struct values *b,
                        uint64_t head_dim, struct err *e)
{
    const size_t cols = (size_t)(t->a.ndim > 1 ? tensor_cols(&t->a) : 1);
    float *x = malloc(2 * cols * sizeof *x);
    if (!x)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->a.name);
    for (uint64_t r = 0; r < tensor_count(&t->a) / cols; r++) {
        get(a, (a->pairs ? pair_row(r, head_dim) : r) * cols, x, cols);
        get(b, (b->pairs ? pair_row(r, head_dim) : r) * cols, x + cols, cols);
        compare(t, x, x + cols, r * cols, cols);
    }
    free(x);
    return 0;
}

static int compare_flat(struct diff_tensor *t, const struct values *a, const struct side *in_a,
                        const struct values *b, const struct side *in_b, struct err *e)
{
    const uint64_t count = tensor_count(&t->a);
    float *x = malloc(2 * CHUNK * sizeof *x);
    if (!x)
        return err_set(e, ERR_NOMEM, "tensor %s: out of memory", t->a.name);
    for (uint64_t at = 0, from = 0; at < count; at += CHUNK) {
        const size_t n = count - at < CHUNK ? (size_t)(count - at) : CHUNK;
        get(a, at, x, n);
        get(b, at, x + CHUNK, n);
        compare(t, x, x + CHUNK, at, n);
        if (at + n - from < LET_GO)
            continue;
        let_go(a, in_a, from, at + n - from);
        let_go(b, in_b, from, at + n - from);
        from = at + n;
    }
    free(x);
    return 0;
}

/* Elements of a head, if a's and b's rows of this tensor lie in different orders; else 0. */
static uint64_t other_order(const struct side *a, const struct side *b, const struct tensor *t)
{
    const struct hparams *h = &a->v->h;
    if (!a->has_h || !b->has_h || h->rope_pairs == b->v->h.rope_pairs)
        return 0;
    const int heads = strstr(t->name, ".self_attn.q_proj.")   ? h->n_head
                      : strstr(t->name, ".self_attn.k_proj.") ? h->n_head_kv
                                                              : 0;
    const uint64_t rows = t->ndim ? t->dim[0] : 0;
    return heads && rows && rows % (2 * (uint64_t)heads) == 0 ? rows / (uint64_t)heads : 0;
}

static int is_norm(const char *name)
{
    static const char end[] = "norm.weight";
    const size_t n = strlen(name);
    return n >= sizeof end - 1 && strcmp(name + n - (sizeof end - 1), end) == 0;
}

static int same_shape(const struct tensor *a, const struct tensor *b)
{
    return a->ndim == b->ndim && memcmp(a->dim, b->dim, (size_t)a->ndim * sizeof *a->dim) == 0;
}

int diff_tensor(struct diff_tensor *t, const struct side *a, int i, const struct side *b, int k,
                struct err *e)
{
    struct values x = {.plus = 0}, y = {.plus = 0};
    *t = (struct diff_tensor){.a = a->v->t[i], .b = b->v->t[k]};
    t->a.data = t->b.data = NULL;
    if (!same_shape(&t->a, &t->b)) {
        t->state = DIFF_SHAPE;
        return 0;
    }
    const uint64_t head_dim = other_order(a, b, &t->a);
    if (head_dim)
        x.pairs = a->v->h.rope_pairs, y.pairs = !x.pairs;
    if (a->has_h && b->has_h && a->v->h.norm_adds_one != b->v->h.norm_adds_one &&
        is_norm(t->a.name))
        x.plus = (float)a->v->h.norm_adds_one, y.plus = (float)b->v->h.norm_adds_one;
    if (open_values(&x, a, i, head_dim != 0, e) < 0 || open_values(&y, b, k, head_dim != 0, e) < 0)
        goto done;
    if (!tensor_is_weight(x.t.type) || !tensor_is_weight(y.t.type)) {
        const int same = x.t.type == y.t.type && x.t.bytes == y.t.bytes &&
                         (x.t.bytes == 0 || memcmp(x.t.data, y.t.data, x.t.bytes) == 0);
        t->state = same ? DIFF_EQUAL : DIFF_BYTES;
        goto done;
    }
    if ((head_dim ? compare_rows(t, &x, &y, head_dim, e) : compare_flat(t, &x, a, &y, b, e)) == 0)
        t->state = t->sum.max > 0 || t->not_same ? DIFF_BEYOND : DIFF_EQUAL;
done:
    close_values(&x, a, i);
    close_values(&y, b, k);
    return e->code;
}
