/* imatrix.h - importance matrices: per weight and column the mean square of the activations that met it
 *
 * llama.cpp's two file formats, read and written: GGUF (general.type "imatrix", per weight NAME.in_sum2 and
 * NAME.counts) and the older .dat.  Names are GGUF's ("blk.0.attn_q.weight").  A weight that stands for
 * several matrices (experts) has a row and a count for each. */
#ifndef IMATRIX_H
#define IMATRIX_H
#include "err.h"
#include <stddef.h>
#include <stdint.h>

struct imatrix_entry {
    char *name;
    float *sum;     /* (n_mat, cols): sums of squares */
    int64_t *count; /* (n_mat): rows that were added */
    size_t n_mat, cols;
};
struct imatrix {
    struct imatrix_entry *entry; /* sorted by name once read or written */
    size_t n, cap;
    char **dataset; /* names of the texts */
    size_t n_dataset;
    uint32_t chunks, chunk_size; /* chunk_size 0: read from a .dat, which does not say it */
};
/* Either format, told apart by GGUF's magic. ERR_NOINPUT, ERR_DATA: what is damaged and where. */
int imatrix_read(struct imatrix *m, const char *path, struct err *e);
void imatrix_free(struct imatrix *m);

/* The entry of that name, made with zeros if absent; NULL: out of memory, or it has another shape (*e). */
struct imatrix_entry *imatrix_get(struct imatrix *m, const char *name, size_t n_mat, size_t cols,
                                  struct err *e);
const struct imatrix_entry *imatrix_find(const struct imatrix *m, const char *name);
int imatrix_dataset(struct imatrix *m, const char *name, struct err *e);
/* Sums and counts of b into a, whose chunk_size is set; ERR_DATA names a weight whose shapes differ. */
int imatrix_add(struct imatrix *a, const struct imatrix *b, struct err *e);
/* mean[n_mat * cols]: sum / count, and 1 where nothing was counted, as llama-quantize has it. */
void imatrix_mean(const struct imatrix_entry *t, float *mean);

/* Whole or not at all; dat: the older format, whose values are means times the number of chunks. */
int imatrix_write(struct imatrix *m, const char *path, int dat, char *sha256, struct err *e);
#endif
