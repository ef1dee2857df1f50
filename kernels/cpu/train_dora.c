/* train_dora - DoRA on the cpu: columns shared out over threads, each summed in one order */
#include "cpu/cpu_train.h"
#include <math.h>

struct job {
    void (*fn)(const struct job *j, int from, int to, int thread);
    int m, n, r, n_chunk;
    float *y;
    const float *x, *x2, *norm, *bias;
    float alpha, *own; /* own: k floats a thread */
    const struct kn_weight *w;
};

static void chunk_of(void *ctx, int phase, int chunk, int thread)
{
    const struct job *j = ctx;
    int from, to;
    (void)phase;
    pool_part(j->n, j->n_chunk, chunk, &from, &to);
    j->fn(j, from, to, thread);
}

static void run(struct kn_dev *d, struct job *j, int least)
{
    j->n_chunk = pool_chunks(cpu_dev(d)->pool, j->n, least);
    pool_run(cpu_dev(d)->pool, chunk_of, j, &j->n_chunk, 1);
}

/* Rows of the weight: w + alpha b a in f32, factors ascending; the squares are summed in double. */
static void norm_rows(const struct job *j, int from, int to, int thread)
{
    const int k = j->w->k;
    float *row = j->own + (size_t)thread * (size_t)k;
    for (int i = from; i < to; i++) {
        double sum = 0;
        train_weight(j->w, i, 0, k, row);
        for (int f = 0; j->x && f < j->r; f++) {
            const float *a = j->x + (size_t)f * (size_t)k;
            const float b = j->alpha * j->x2[(size_t)i * (size_t)j->r + (size_t)f];
            for (int p = 0; p < k; p++)
                row[p] += b * a[p];
        }
        for (int p = 0; p < k; p++)
            sum += (double)row[p] * row[p];
        j->y[i] = (float)sqrt(sum);
    }
}

int cpu_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                       struct kn_at a, struct kn_at b, float alpha, int r)
{
    struct job j = {.fn = norm_rows, .n = w->n, .r = r, .alpha = alpha, .w = w};
    j.y = cpu_f32(norm);
    j.x = a.buf ? cpu_f32(a) : NULL;
    j.x2 = a.buf ? cpu_f32(b) : NULL;
    /* the caller's, for what a worker allocates is lost when it ends */
    j.own = train_scratch(TRAIN_OWN, (size_t)w->k * (size_t)d->n_threads);
    if (!j.own)
        return KN_ENOMEM;
    run(d, &j, 4);
    return 0;
}

static void scale_columns(const struct job *j, int from, int to, int thread)
{
    (void)thread;
    for (int i = 0; i < j->m; i++) {
        const size_t at = (size_t)i * (size_t)j->n;
        for (int c = from; c < to; c++)
            j->y[at + (size_t)c] =
                j->x[at + (size_t)c] * (j->x2[c] / j->norm[c]) + (j->bias ? j->bias[c] : 0);
    }
}

int cpu_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                   struct kn_at norm, struct kn_at bias, int m, int n)
{
    struct job j = {.fn = scale_columns, .m = m, .n = n};
    j.y = cpu_f32(y);
    j.x = cpu_f32(x);
    j.x2 = cpu_f32(mag);
    j.norm = cpu_f32(norm);
    j.bias = bias.buf ? cpu_f32(bias) : NULL;
    run(d, &j, 64);
    return 0;
}

static void dot_columns(const struct job *j, int from, int to, int thread)
{
    (void)thread;
    for (int c = from; c < to; c++) {
        double s = 0;
        for (int i = 0; i < j->m; i++) {
            const size_t at = (size_t)i * (size_t)j->n + (size_t)c;
            s += (double)j->x[at] * j->x2[at];
        }
        j->y[c] += (float)(s / j->norm[c]);
    }
}

int cpu_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                       struct kn_at norm, int m, int n)
{
    struct job j = {.fn = dot_columns, .m = m, .n = n};
    j.y = cpu_f32(dmag);
    j.x = cpu_f32(dy);
    j.x2 = cpu_f32(x);
    j.norm = cpu_f32(norm);
    run(d, &j, 64);
    return 0;
}
