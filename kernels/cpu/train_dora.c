/* train_dora - DoRA on the cpu: columns shared out over threads, each summed in one order */
#include "cpu/cpu_train.h"
#include <math.h>

enum { PIECE = 512 }; /* columns of a row at once: whole blocks of any type */

/* Rows of the weight: w + alpha b a in f32, factors ascending; the squares are summed in double. */
static void norm_rows(const struct train_rows *j, int from, int to)
{
    const int k = j->w->k;
    float row[PIECE];
    for (int i = from; i < to; i++) {
        double sum = 0;
        for (int at = 0; at < k; at += PIECE) {
            const int n = k - at < PIECE ? k - at : PIECE;
            train_weight(j->w, i, at, n, row);
            for (int f = 0; j->x && f < j->n; f++) {
                const float *a = j->x + (size_t)f * (size_t)k + at;
                const float b = j->k * j->x2[(size_t)i * (size_t)j->n + (size_t)f];
                for (int p = 0; p < n; p++)
                    row[p] += b * a[p];
            }
            for (int p = 0; p < n; p++)
                sum += (double)row[p] * row[p];
        }
        j->y[i] = (float)sqrt(sum);
    }
}

int cpu_train_row_norm(struct kn_dev *d, struct kn_at norm, const struct kn_weight *w,
                       struct kn_at a, struct kn_at b, float alpha, int r)
{
    struct train_rows j = {.fn = norm_rows, .m = w->n, .n = r, .k = alpha, .w = w};
    j.y = cpu_f32(norm);
    j.x = cpu_f32(a);
    j.x2 = cpu_f32(b);
    return train_rows_run(d, &j, 4);
}

/* Of the two below the columns are the job's rows: m of them, n values each. */
static void scale_columns(const struct train_rows *j, int from, int to)
{
    for (int i = 0; i < j->n; i++) {
        const size_t at = (size_t)i * (size_t)j->m;
        for (int c = from; c < to; c++)
            j->y[at + (size_t)c] =
                j->x[at + (size_t)c] * (j->x2[c] / j->x3[c]) + (j->x4 ? j->x4[c] : 0);
    }
}

int cpu_train_dora(struct kn_dev *d, struct kn_at y, struct kn_at x, struct kn_at mag,
                   struct kn_at norm, struct kn_at bias, int m, int n)
{
    struct train_rows j = {.fn = scale_columns, .m = n, .n = m};
    j.y = cpu_f32(y);
    j.x = cpu_f32(x);
    j.x2 = cpu_f32(mag);
    j.x3 = cpu_f32(norm);
    j.x4 = cpu_f32(bias);
    return train_rows_run(d, &j, 64);
}

static void dot_columns(const struct train_rows *j, int from, int to)
{
    for (int c = from; c < to; c++) {
        double s = 0;
        for (int i = 0; i < j->n; i++) {
            const size_t at = (size_t)i * (size_t)j->m + (size_t)c;
            s += (double)j->x[at] * j->x2[at];
        }
        j->y[c] += (float)(s / j->x3[c]);
    }
}

int cpu_train_dora_bwd(struct kn_dev *d, struct kn_at dmag, struct kn_at dy, struct kn_at x,
                       struct kn_at norm, int m, int n)
{
    struct train_rows j = {.fn = dot_columns, .m = n, .n = m};
    j.y = cpu_f32(dmag);
    j.x = cpu_f32(dy);
    j.x2 = cpu_f32(x);
    j.x3 = cpu_f32(norm);
    return train_rows_run(d, &j, 64);
}
