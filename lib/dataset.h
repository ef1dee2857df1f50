/* dataset.h - training samples as token ids, their batches and packs
 *
 * JSONL, one object a line: {"instruction", "response", "system" (optional)}; other members are
 * ignored.  A sample is the model's chat prompt of the instruction, the response, the end token and
 * a newline; loss is taken on the last three alone.  A sample longer than max_len is cut there
 * (counted); one whose prompt alone fills max_len is left out (counted); an empty response is an
 * error with its line. */
#ifndef DATASET_H
#define DATASET_H
#include "model.h"

struct dataset_sample {
    size_t at;       /* first id */
    int n, n_prompt; /* ids in all; of them the prompt's */
};
struct dataset {
    int32_t *ids;
    size_t n_ids, cap_ids;
    struct dataset_sample *s;
    int n, cap, longest;
    long n_loss, truncated, left_out; /* ids with loss, samples cut, samples without room */
};
int dataset_load(struct dataset *d, const char *path, const struct model *m, int max_len,
                 struct err *e);
void dataset_free(struct dataset *d);
/* Order of an epoch: a permutation of 0..n-1 that depends on (seed, epoch, n) alone. */
void dataset_order(uint32_t *order, int n, uint64_t seed, long epoch);

/* Rows of some samples packed as documents: every id but a sample's last is a row, which predicts
 * the next.  Bins are filled longest sample first, each into the fullest bin with room (best fit).
 */
struct dataset_packs {
    int n_pack, *start;         /* start (n_pack + 1): rows of pack i */
    int32_t *ids, *doc, *label; /* doc counts from the pack's first row */
    long n_rows, n_loss;
};
int dataset_pack(struct dataset_packs *p, const struct dataset *d, const uint32_t *which, int n,
                 int max_rows, struct err *e);
void dataset_packs_free(struct dataset_packs *p);
#endif
