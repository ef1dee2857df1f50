/* train_case.h - a case of a training call: inputs and outputs by number, on one device and on all against ref */
#ifndef TRAIN_CASE_H
#define TRAIN_CASE_H
#include "tap.h"
#include "train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 42;
static inline float draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(state >> 11) / 4503599627370496.0 - 1);
}

static inline struct kn_at put(struct kn_dev *d, const void *p, size_t bytes)
{
    struct kn_at a = {0};
    if (kn_alloc(d, bytes ? bytes : 4, &a) || (p && bytes && kn_write(d, a, p, bytes)))
        abort();
    return a;
}

static inline float *fill(size_t n, float scale)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw() * scale;
    return x;
}

/* A case: inputs and outputs by number; run() does the call on a device. */
enum { MAX_BUF = 48 };
struct test {
    const char *name;
    int m, n, k, type, flags, n_buf;
    float *in[MAX_BUF]; /* initial content, f32 or int32 */
    size_t len[MAX_BUF];
    int out[MAX_BUF]; /* 1: compare */
    void *rows;
    struct kn_attn attn;
    int doc_of;
    /* a group */
    int r, n_lin, input, absent; /* absent: nobody wants dx */
    int base; /* the first buffer of gradients of norm, weights and biases; 0: frozen */
    float dropout;
};

static inline struct test test(const char *name, int m, int n, int k, int type, int flags)
{
    struct test t = {.name = name, .m = m, .n = n, .k = k, .type = type, .flags = flags};
    return t;
}

static inline int buf(struct test *t, size_t n, float scale, int out)
{
    t->in[t->n_buf] = fill(n, scale);
    t->len[t->n_buf] = n;
    t->out[t->n_buf] = out;
    return t->n_buf++;
}

static inline int ids(struct test *t, size_t n, const int32_t *v)
{
    t->in[t->n_buf] = malloc((n + 1) * 4);
    memcpy(t->in[t->n_buf], v, n * 4);
    t->len[t->n_buf] = n;
    t->out[t->n_buf] = 0;
    return t->n_buf++;
}

typedef int run_fn(struct kn_dev *d, const struct test *t, struct kn_at *b, struct kn_weight *w);

/* Outputs of one device, all in one array. */
static inline float *run_on(const char *name, int threads, struct test *t, run_fn *run, size_t *n)
{
    struct kn_dev *d;
    struct kn_weight *w = NULL;
    struct kn_at b[MAX_BUF];
    if (kn_open(&d, name, threads))
        return NULL;
    for (int i = 0; i < t->n_buf; i++)
        b[i] = put(d, t->in[i], t->len[i] * 4);
    if (t->rows && kn_weight_new(d, t->type, t->n, t->k, t->rows, KN_W_TRAIN, &w))
        abort();
    float *out = NULL;
    *n = 0;
    if (run(d, t, b, w) == 0) {
        for (int i = 0; i < t->n_buf; i++)
            *n += t->out[i] ? t->len[i] : 0;
        out = malloc((*n + 1) * sizeof *out);
        size_t at = 0;
        for (int i = 0; i < t->n_buf; i++)
            if (t->out[i]) {
                kn_read(d, out + at, b[i], t->len[i] * 4);
                at += t->len[i];
            }
    }
    if (w)
        kn_weight_free(d, w);
    for (int i = 0; i < t->n_buf; i++)
        kn_free(d, b[i]);
    kn_close(d);
    return out;
}

static inline void *weight(int type, int n, int k)
{
    float *x = fill((size_t)n * k, 0.2f);
    size_t row = kn_row_bytes(type, (size_t)k);
    char *rows = malloc(row * n + 1);
    for (int i = 0; i < n; i++)
        kn_quantize(type, x + (size_t)i * k, rows + i * row, (size_t)k);
    free(x);
    return rows;
}

#endif
