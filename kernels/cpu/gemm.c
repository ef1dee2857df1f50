/* gemm.c - float matrix product: slabs of columns, blocks of rows, chunks along k (R2) */
#include "gemm.h"

#include <assert.h>
#include <string.h>

enum { SLAB_COLS = 16 * GEMM_SLAB };

int gemm_align(int type)
{
    int len = kn_type_info(type)->block_len;
    return len <= 16 ? 1 : len / 16;
}

/* nj panels from `from(k, 16 columns of a row)`; quantized rows are widened by whole blocks */
const float *gemm_panels_cols(const struct gemm *g, int j, int nj, int k0, int kc, float *buf,
                              size_t *stride)
{
    const struct kn_type_info *t = kn_type_info(g->b_type);
    float row[SLAB_COLS];
    int cols = g->n - 16 * j < 16 * nj ? g->n - 16 * j : 16 * nj;
    *stride = (size_t)kc * 16;
    memset(row, 0, sizeof row);
    for (int k = 0; k < kc; k++) {
        const char *src = (const char *)g->b + (size_t)(k0 + k) * (g->b_ld / (size_t)t->block_len) *
                                                   (size_t)t->block_bytes;
        src += (size_t)(16 * j / t->block_len) * (size_t)t->block_bytes;
        if (g->b_type == KN_F32)
            memcpy(row, src, (size_t)cols * sizeof *row);
        else
            kn_dequantize(g->b_type, src, row, (size_t)cols);
        for (int p = 0; p < nj; p++)
            memcpy(buf + (size_t)p * *stride + (size_t)k * 16, row + 16 * p, 16 * sizeof *row);
    }
    return buf;
}

const float *gemm_panels_rows(const struct gemm *g, int j, int nj, int k0, int kc, float *buf,
                              size_t *stride)
{
    const struct kn_type_info *t = kn_type_info(g->b_type);
    float rows[16][GEMM_KC];
    *stride = (size_t)kc * 16;
    for (int p = 0; p < nj; p++) {
        for (int c = 0; c < 16; c++) {
            int r = 16 * (j + p) + c;
            if (r >= g->n) {
                memset(rows[c], 0, sizeof rows[c]);
                continue;
            }
            const char *src = (const char *)g->b + ((size_t)r * g->b_ld + (size_t)k0) /
                                                       (size_t)t->block_len *
                                                       (size_t)t->block_bytes;
            if (g->b_type == KN_F32)
                memcpy(rows[c], src, (size_t)kc * sizeof(float));
            else
                kn_dequantize(g->b_type, src, rows[c], (size_t)kc);
        }
        float *to = buf + (size_t)p * *stride;
        for (int k = 0; k < kc; k++)
            for (int c = 0; c < 16; c++)
                to[k * 16 + c] = rows[c][k];
    }
    return buf;
}

const float *gemm_panels_packed(const struct gemm *g, int j, int nj, int k0, int kc, float *buf,
                                size_t *stride)
{
    size_t at = (size_t)j * (size_t)g->k * 16 + (size_t)k0 * 16;
    if (g->b_type == KN_F32) {
        *stride = (size_t)g->k * 16;
        return (const float *)g->b + at;
    }
    *stride = (size_t)kc * 16;
    for (int p = 0; p < nj; p++, at += (size_t)g->k * 16)
        g->isa->widen(g->b_type, (const uint16_t *)g->b + at, buf + (size_t)p * *stride, *stride);
    return buf;
}

size_t gemm_packed_bytes(int type, int n, int k)
{
    return (((size_t)n + 15) & ~(size_t)15) * (size_t)k * (type == KN_F32 ? 4 : 2);
}

void gemm_pack(int type, int n, int k, const void *rows, void *packed)
{
    for (int r = 0; r < ((n + 15) & ~15); r++)
        for (int i = 0; i < k; i++) {
            size_t to = (size_t)(r / 16) * (size_t)k * 16 + (size_t)i * 16 + (size_t)(r % 16);
            size_t from = (size_t)r * (size_t)k + (size_t)i;
            if (type == KN_F32)
                ((float *)packed)[to] = r < n ? ((const float *)rows)[from] : 0;
            else
                ((uint16_t *)packed)[to] = r < n ? ((const uint16_t *)rows)[from] : 0;
        }
}

void gemm_pack_widened(int type, int n, int k, const void *rows, float *panel)
{
    const struct kn_type_info *t = kn_type_info(type);
    float part[256];
    for (int r = 0; r < 16; r++)
        for (int i = 0; i < k; i += 256) {
            int len = k - i < 256 ? k - i : 256;
            size_t block = ((size_t)r * (size_t)k + (size_t)i) / (size_t)t->block_len;
            if (r < n)
                kn_dequantize(type, (const char *)rows + block * (size_t)t->block_bytes, part,
                              (size_t)len);
            for (int j = 0; j < len; j++)
                panel[(i + j) * 16 + r] = r < n ? part[j] : 0;
        }
}

/* scratch of a thread: panels, then totals */
enum { PANEL_FLOATS = GEMM_SLAB * GEMM_KC * 16, TOTAL_FLOATS = GEMM_MB * SLAB_COLS };

size_t gemm_scratch_bytes(void)
{
    return (PANEL_FLOATS + TOTAL_FLOATS) * sizeof(float);
}

struct plan {
    const struct gemm *g;
    int slab, n_slab, mb; /* panels of a slab, slabs, rows of a block */
};

/* rows [i, i + mr) of panels [j, j + nj) */
static void block(const struct gemm *g, int i, int mr, int j, int nj, int thread)
{
    float *buf = g->scratch + (size_t)thread * (PANEL_FLOATS + TOTAL_FLOATS);
    float *tot = buf + PANEL_FLOATS;
    size_t stride, ld = (size_t)nj * 16;
    const float *a = g->a + (size_t)i * g->a_row;
    for (int k = 0; k < g->k; k += GEMM_KC) {
        int kc = g->k - k < GEMM_KC ? g->k - k : GEMM_KC;
        const void *b;
        int type = KN_F32;
        if (g->panels == gemm_panels_packed && mr <= 8) { /* each weight is used once or twice */
            type = g->b_type;
            stride = (size_t)g->k * 16;
            b = (const char *)g->b +
                ((size_t)j * stride + (size_t)k * 16) * (type == KN_F32 ? 4 : 2);
        } else {
            b = g->panels(g, j, nj, k, kc, buf, &stride);
        }
        g->isa->tile(type, mr, nj, kc, a + (size_t)k * g->a_col, g->a_row, g->a_col, b, stride, tot,
                     ld, k == 0);
    }
    int cols = g->n - 16 * j < 16 * nj ? g->n - 16 * j : 16 * nj;
    g->isa->finish(mr, cols, tot, ld, g->c + (size_t)i * g->c_ld + 16 * j, g->c_ld, g->alpha,
                   g->bias ? g->bias + 16 * j : NULL, g->add);
}

void gemm_part(const struct gemm *g, int j, int nj, int thread)
{
    for (int i = 0; i < g->m; i += GEMM_MB)
        block(g, i, g->m - i < GEMM_MB ? g->m - i : GEMM_MB, j, nj, thread);
}

static void chunk(void *ctx, int phase, int c, int thread)
{
    (void)phase;
    const struct plan *pl = ctx;
    const struct gemm *g = pl->g;
    int panels = (g->n + 15) / 16;
    int j = c % pl->n_slab * pl->slab, i = c / pl->n_slab * pl->mb;
    block(g, i, g->m - i < pl->mb ? g->m - i : pl->mb, j,
          panels - j < pl->slab ? panels - j : pl->slab, thread);
}

void gemm_run(struct pool *p, const struct gemm *g)
{
    if (!g->m || !g->n)
        return;
    assert(g->k > 0);
    int align = g->align ? g->align : 1, panels = (g->n + 15) / 16;
    struct plan pl = {g, GEMM_SLAB, 0, g->m < GEMM_MB ? g->m : GEMM_MB};
    /* narrower slabs until every thread has a few chunks; four panels keep few rows busy */
    int want = pool_threads(p) == 1 ? 1 : 4 * pool_threads(p);
    int blocks = (g->m + pl.mb - 1) / pl.mb;
    while (pl.slab / 2 >= align && pl.slab > 4 &&
           blocks * ((panels + pl.slab - 1) / pl.slab) < want)
        pl.slab /= 2;
    pl.n_slab = (panels + pl.slab - 1) / pl.slab;
    int n_chunk = pl.n_slab * blocks;
    pool_run(p, chunk, &pl, &n_chunk, 1);
}
