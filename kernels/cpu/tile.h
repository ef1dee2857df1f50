/* tile.h - AMX tiles: the instructions themselves, or the same arithmetic written out
 *
 * Eight tiles of up to 16 rows of 64 bytes.  A file NAME.tile.c is compiled twice: with -DTILE_amx for
 * machines that have tiles, and without for a model in plain C, so that layouts and order can be
 * tested anywhere (device "cpu:amx-model").
 *
 * tile_shape gives each tile its rows and bytes a row; tile numbers are constants 0..7.  Products add to
 * C (rows of A by columns of B): A holds rows of 4-byte groups along k, B holds for each group of k
 * a row of 16 columns of 4 bytes ("VNNI layout").
 * Source: Intel 64 and IA-32 SDM volume 2, LDTILECFG, TDPBSSD ff., TDPBF16PS. */
#ifndef TILE_H
#define TILE_H
#include <stdint.h>
#include <string.h>

struct tile_shape { /* the operand of LDTILECFG, palette 1 */
    uint8_t palette, start_row, reserved[14];
    uint16_t colsb[16]; /* bytes of a row */
    uint8_t rows[16];
} __attribute__((aligned(64)));

static inline void tile_set(struct tile_shape *s, int t, int rows, int bytes)
{
    s->palette = 1;
    s->rows[t] = (uint8_t)rows;
    s->colsb[t] = (uint16_t)bytes;
}

/* 1 if the processor has int8 and bf16 tiles and the kernel grants them to this process (asked once: the
 * permission covers threads made later). */
int tile_allowed(void);

#if defined(TILE_amx)
#include <immintrin.h>
/* Written out: gcc's _tile_loadconfig says that it reads 8 bytes of the 64, and its _tile_loadd that it reads
 * no memory at all, so that stores before them may be dropped or moved.  The clobber here keeps what was
 * stored before a tile_begin before it; data that changes later needs another one. */
static inline void tile_begin(const struct tile_shape *s)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*s) : "memory");
}
#define tile_end()             _tile_release()
#define tile_zero(t)           _tile_zero(t)
#define tile_load(t, p, ld)    _tile_loadd(t, p, ld)
#define tile_store(t, p, ld)   _tile_stored(t, p, ld)
#define tile_dot_ss(c, a, b)   _tile_dpbssd(c, a, b) /* signed A, signed B */
#define tile_dot_su(c, a, b)   _tile_dpbsud(c, a, b) /* signed A, unsigned B */
#define tile_dot_bf16(c, a, b) _tile_dpbf16ps(c, a, b)
#else
#include <math.h>
struct tile_model {
    struct tile_shape shape;
    uint8_t row[8][16][64];
};
extern _Thread_local struct tile_model tile_model;

static inline void tile_begin(const struct tile_shape *s)
{
    memset(&tile_model, 0, sizeof tile_model);
    tile_model.shape = *s;
}
static inline void tile_end(void)
{
    memset(&tile_model, 0, sizeof tile_model);
}
static inline void tile_zero(int t)
{
    memset(tile_model.row[t], 0, sizeof tile_model.row[t]);
}
static inline void tile_load(int t, const void *p, size_t ld)
{
    tile_zero(t);
    for (int i = 0; i < tile_model.shape.rows[t]; i++)
        memcpy(tile_model.row[t][i], (const char *)p + (size_t)i * ld, tile_model.shape.colsb[t]);
}
static inline void tile_store(int t, void *p, size_t ld)
{
    for (int i = 0; i < tile_model.shape.rows[t]; i++)
        memcpy((char *)p + (size_t)i * ld, tile_model.row[t][i], tile_model.shape.colsb[t]);
}
static inline void tile_dot(int c, int a, int b, int b_signed)
{
    const struct tile_shape *s = &tile_model.shape;
    for (int m = 0; m < s->rows[c]; m++)
        for (int n = 0; n < s->colsb[c] / 4; n++) {
            int32_t sum;
            memcpy(&sum, tile_model.row[c][m] + 4 * n, 4);
            for (int k = 0; k < s->colsb[a]; k++) {
                uint8_t w = tile_model.row[b][k / 4][4 * n + k % 4];
                sum += (int8_t)tile_model.row[a][m][k] * (b_signed ? (int8_t)w : (int)w);
            }
            memcpy(tile_model.row[c][m] + 4 * n, &sum, 4);
        }
}
static inline void tile_dot_ss(int c, int a, int b)
{
    tile_dot(c, a, b, 1);
}
static inline void tile_dot_su(int c, int a, int b)
{
    tile_dot(c, a, b, 0);
}

/* denormals count as zero, on both sides of an operation */
static inline float tile_flush(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static inline float tile_bf16(const uint8_t *p)
{
    uint16_t h;
    uint32_t w;
    float x;
    memcpy(&h, p, 2);
    w = (uint32_t)h << 16;
    memcpy(&x, &w, 4);
    return tile_flush(x);
}
/* Of each pair of k one chain of fma from 0; the two chains are added, then added to C. */
static inline void tile_dot_bf16(int c, int a, int b)
{
    const struct tile_shape *s = &tile_model.shape;
    for (int m = 0; m < s->rows[c]; m++)
        for (int n = 0; n < s->colsb[c] / 4; n++) {
            float sum, t[2] = {0, 0};
            memcpy(&sum, tile_model.row[c][m] + 4 * n, 4);
            for (int k = 0; k < s->colsb[a] / 4; k++)
                for (int i = 0; i < 2; i++)
                    t[i] = tile_flush(fmaf(tile_bf16(tile_model.row[a][m] + 4 * k + 2 * i),
                                           tile_bf16(tile_model.row[b][k] + 4 * n + 2 * i), t[i]));
            sum = tile_flush(tile_flush(sum) + tile_flush(t[0] + t[1]));
            memcpy(tile_model.row[c][m] + 4 * n, &sum, 4);
        }
}
#endif
#endif
