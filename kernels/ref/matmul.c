/* matmul - y(m, n) = x(m, k) w(n, k)^T + bias: in double, by R1 (quantized) and by R2 (float)
 *
 * The loops take one weight row at a time and serve all rows of x with it, REF_MAX_ROWS at once, so
 * that a weight is unpacked once; the order of each sum does not depend on that. */
#include "ref/matmul.h"
#include "ref/ref.h"
#include <math.h>

/* y = or y += (product + bias) */
static void put(float *y, float product, const float *bias, int j, int flags)
{
    float v = bias ? product + bias[j] : product;
    *y = flags & KN_ADD ? *y + v : v;
}

static void matmul_double(struct ref_dev *d, float *y, const float *x, const struct kn_weight *w,
                          const float *bias, int m, int flags)
{
    for (int j = 0; j < w->n; j++) {
        ref_weight_f32(w, j, d->row);
        for (int i = 0; i < m; i++) {
            const float *xi = x + (size_t)i * (size_t)w->k;
            float *yij = y + (size_t)i * (size_t)w->n + j;
            double sum = bias ? bias[j] : 0;
            for (int p = 0; p < w->k; p++)
                sum += (double)xi[p] * d->row[p];
            *yij = (float)(flags & KN_ADD ? *yij + sum : sum);
        }
    }
}

/* R2: one chain of fma per 256 elements; the chunks are added in order */
static float dot_chunks(const float *x, const float *w, int k)
{
    float total = 0;
    for (int c = 0; c < k; c += 256) {
        int end = k - c < 256 ? k : c + 256;
        float acc = 0;
        for (int p = c; p < end; p++)
            acc = fmaf(x[p], w[p], acc);
        total = c ? total + acc : acc;
    }
    return total;
}

static void matmul_float(struct ref_dev *d, float *y, const float *x, const struct kn_weight *w,
                         const float *bias, int m, int flags)
{
    for (int j = 0; j < w->n; j++) {
        ref_weight_f32(w, j, d->row);
        for (int i = 0; i < m; i++)
            put(y + (size_t)i * (size_t)w->n + j,
                dot_chunks(x + (size_t)i * (size_t)w->k, d->row, w->k), bias, j, flags);
    }
}

/* R1: k activations to q and one scale per block of `len` */
static void quantize_row(const float *x, int k, int len, int8_t *q, float *scale)
{
    for (int b = 0; b < k / len; b++, x += len, q += len) {
        float amax = 0;
        for (int i = 0; i < len; i++)
            amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
        int zero = amax < 0x1p-96f;
        float inv = zero ? 0 : 127.0f / amax;
        scale[b] = zero ? 0 : amax / 127.0f;
        for (int i = 0; i < len; i++)
            q[i] = (int8_t)rintf(x[i] * inv);
    }
}

/* R1: exact integer dot product of each block, eight lanes of blocks, fold 4, 2, 1 */
static float dot_blocks(const struct ref_block *w, const int8_t *a, const float *scale, int n_block,
                        int len, int n_sub, int with_min)
{
    float lane[8] = {0};
    for (int b = 0; b < n_block; b++, w++, a += len) {
        int32_t s = 0, ms = 0;
        for (int j = 0; j < n_sub; j++) {
            int32_t qa = 0, sum = 0;
            for (int i = j * (len / n_sub); i < (j + 1) * (len / n_sub); i++) {
                qa += w->q[i] * a[i];
                sum += a[i];
            }
            s += w->sc[j] * qa;
            ms += w->mn[j] * sum;
        }
        float *acc = &lane[b % 8];
        *acc = fmaf(w->d * scale[b], (float)s, *acc);
        if (with_min)
            *acc = fmaf(w->m * scale[b], (float)ms, *acc);
    }
    for (int half = 4; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

static void matmul_quantized(struct ref_dev *d, float *y, const float *x, const struct kn_weight *w,
                             const float *bias, int m, int flags)
{
    const struct kn_type_info *t = kn_type_info(w->type);
    const struct ref_weight *rw = (const struct ref_weight *)w;
    int len = t->act_block, n_block = w->k / len, n_sub = 1;
    int with_min =
        w->type == KN_Q4_1 || w->type == KN_Q5_1 || w->type == KN_Q4_K || w->type == KN_Q5_K;
    for (int i0 = 0; i0 < m; i0 += REF_MAX_ROWS) {
        int rows = m - i0 < REF_MAX_ROWS ? m - i0 : REF_MAX_ROWS;
        for (int i = 0; i < rows; i++)
            quantize_row(x + (size_t)(i0 + i) * (size_t)w->k, w->k, len,
                         d->act + (size_t)i * (size_t)w->k,
                         d->act_scale + (size_t)i * (size_t)n_block);
        for (int j = 0; j < w->n; j++) {
            const uint8_t *p = rw->rows + (size_t)j * rw->row_bytes;
            for (int b = 0; b < n_block; b++, p += t->block_bytes)
                n_sub = ref_unpack(w->type, p, &d->block[b]);
            for (int i = 0; i < rows; i++)
                put(y + (size_t)(i0 + i) * (size_t)w->n + j,
                    dot_blocks(d->block, d->act + (size_t)i * (size_t)w->k,
                               d->act_scale + (size_t)i * (size_t)n_block, n_block, len, n_sub,
                               with_min),
                    bias, j, flags);
        }
    }
}

int ref_matmul(struct kn_dev *dev, struct kn_at y, struct kn_at x, const struct kn_weight *w,
               struct kn_at bias, int m, int flags)
{
    struct ref_dev *d = ref_dev(dev);
    (!d->rounded ? matmul_double
     : kn_type_info(w->type)->act_block && !(w->flags & KN_W_FLOAT)
         ? matmul_quantized
         : matmul_float)(d, ref_f32(dev, y), ref_f32(dev, x), w, ref_f32(dev, bias), m, flags);
    return KN_OK;
}
