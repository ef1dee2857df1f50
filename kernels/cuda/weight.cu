/* weight - rows of a file into the layout of cuda.h, element by element back for embed */
#include "cuda/gemm_bf16.h"
#include "cuda/train_ops.h"
#include "cuda/unpack.h"
#include <stdio.h>
#include <stdlib.h>

enum { STAGE = 64 << 20 };

/* Two bytes a thread: rows [row0, row0 + n_row) of row_bytes each. */
__global__ static void pack_rows(uint8_t *dst, const uint8_t *src, struct form f, int n_block,
                                 int row0, int n_row, size_t row_bytes)
{
    const size_t half = row_bytes / 2, i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= half * n_row)
        return;
    const size_t byte = i % half * 2;
    const int row = (int)(i / half);
    const int b = (int)(byte / f.bytes), off = (int)(byte % f.bytes);
    *(uint16_t *)(dst + place(f, n_block, row0 + row, b, off)) =
        *(const uint16_t *)(src + row * row_bytes + byte);
}

/* One element a thread, widened to f32. */
__global__ static void widen_rows(uint8_t *dst, const uint8_t *src, int type, int n_block, int row0,
                                  int n_row, int k, size_t row_bytes)
{
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (size_t)n_row * k)
        return;
    const int row = (int)(i / k), col = (int)(i % k);
    const struct file_form ff = file_form_of(type);
    const uint8_t *block = src + row * row_bytes + (size_t)(col / ff.len) * ff.bytes;
    const float x = element(type, col % ff.len, [=](int off) { return (unsigned)block[off]; });
    *(float *)(dst + place(form_of(KN_F32), n_block, row0 + row, col / 4, col % 4 * 4)) = x;
}

/* Rows by way of the stage, as many at once as it holds. */
static int fill(struct kn_dev *d, struct cu_weight *w, int type, int n, int k, const void *rows)
{
    struct cu_dev *c = cu_dev(d);
    const size_t row_bytes = (size_t)(k / file_form_of(type).len) * file_form_of(type).bytes;
    const int at_once = (int)(STAGE / row_bytes < (size_t)n ? STAGE / row_bytes : (size_t)n);
    int rc = KN_OK;
    if (at_once == 0) {
        snprintf(d->why, sizeof d->why, "a row of %zu bytes is too long", row_bytes);
        return KN_EUNSUP;
    }
    for (int row = 0; row < n && rc == KN_OK; row += at_once) {
        const int count = n - row < at_once ? n - row : at_once;
        const size_t bytes = (size_t)count * row_bytes;
        rc = cu_status(d,
                       cudaMemcpyAsync(c->stage, (const char *)rows + (size_t)row * row_bytes,
                                       bytes, cudaMemcpyHostToDevice, c->stream),
                       "weight to the device");
        if (rc != KN_OK)
            return rc;
        if (w->form == type)
            pack_rows<<<cu_blocks(bytes / 2, 256), 256, 0, c->stream>>>(
                w->p, (uint8_t *)c->stage, form_of(type), w->n_block, row, count, row_bytes);
        else
            widen_rows<<<cu_blocks((size_t)count * k, 256), 256, 0, c->stream>>>(
                w->p, (uint8_t *)c->stage, type, w->n_block, row, count, k, row_bytes);
        rc = cu_launched(d, "packing of a weight");
    }
    return rc;
}

int cu_weight_new(struct kn_dev *d, int type, int n, int k, const void *rows, int flags,
                  struct kn_weight **out)
{
    struct cu_dev *c = cu_dev(d);
    struct cu_weight *w = (struct cu_weight *)calloc(1, sizeof *w);
    int rc = w ? KN_OK : KN_ENOMEM;
    if (rc == KN_OK && flags & KN_W_TRAIN)
        rc = cu_train_weight(d, w, type, n, k, rows, flags);
    if (rc == KN_OK && flags == (flags & (KN_W_TRAIN | KN_W_MIXED)) && flags) {
        *out = &w->w;
        return KN_OK;
    }
    if (rc == KN_OK)
        rc = cu_reserve(d, k);
    if (rc == KN_OK && !c->stage)
        rc = cu_status(d, cudaMalloc(&c->stage, STAGE), "room for loading");
    if (rc != KN_OK) {
        if (w)
            cu_weight_free(d, &w->w);
        return rc;
    }
    /* what has no form of its own, and products in f32 */
    w->form = !form_of(type).len || (act_block(type) && flags & KN_W_FLOAT) ? KN_F32 : type;
    const struct form f = form_of(w->form);
    w->n_block = (k + f.len - 1) / f.len;
    const size_t bytes = (size_t)cu_blocks((size_t)n, GROUP) * GROUP * w->n_block * f.bytes;
    if ((rc = cu_status(d, cudaMalloc(&w->p, bytes), "a weight")) != KN_OK ||
        (rc = cu_status(d, cudaMemsetAsync(w->p, 0, bytes, c->stream), "a weight")) != KN_OK ||
        (rc = fill(d, w, type, n, k, rows)) != KN_OK) {
        cu_weight_free(d, &w->w);
        return rc;
    }
    if (!d->exact && flags & KN_W_LAYER && (rc = cu_wide_keep(d, w, n, k)) != KN_OK) {
        cu_weight_free(d, &w->w);
        return rc;
    }
    *out = &w->w;
    return KN_OK;
}

void cu_weight_free(struct kn_dev *d, struct kn_weight *w)
{
    cudaFree(((struct cu_weight *)w)->p);
    cu_wide_drop(d, (struct cu_weight *)w);
    cu_train_weight_free((struct cu_weight *)w);
    free(w);
}

/* A token that the table does not have gives a row that is not a number: seen, not read out of bounds. */
__global__ static void embed_rows(float *y, const uint8_t *w, int type, int n_block, int n, int k,
                                  const int32_t *tok)
{
    const int row = tok[blockIdx.x];
    const struct form f = form_of(type);
    for (int col = threadIdx.x; col < k; col += blockDim.x)
        y[(size_t)blockIdx.x * k + col] =
            row < 0 || row >= n
                ? NAN
                : element(type,
                          (type == KN_F32 || type == KN_F16 || type == KN_BF16) ? 0 : col % f.len,
                          [=](int off) {
                              const int size = type == KN_F32 ? 4 : 2;
                              const int more = f.len < 32 ? col % f.len * size : 0;
                              return (unsigned)w[place(f, n_block, row, col / f.len, off + more)];
                          });
}

int cu_embed(struct kn_dev *d, struct kn_at y, const struct kn_weight *w, const struct kn_batch *b)
{
    const struct cu_weight *cw = (const struct cu_weight *)w;
    if (b->n_tok == 0)
        return KN_OK;
    embed_rows<<<b->n_tok, 256, 0, cu_dev(d)->stream>>>(
        cu_f32(y), cw->p, cw->form, cw->n_block, w->n, w->k, ((const struct cu_batch *)b)->dev);
    return cu_launched(d, "embed");
}
