/* dataset.h - training samples as token ids, their batches and packs
 *
 * JSONL, one object a line; members that a task does not name are ignored.
 * - instruct: {"instruction", "response", "system" (optional)}.  A sample is the model's chat prompt of the
 *   instruction, the response, the end token and a newline; loss is taken on the last three alone.
 * - completion: {"prompt", "response"}.  A sample is the prompt as apr-gen --raw encodes it, the response as text,
 *   and the end token; loss is taken on the last two.
 * - pretrain: {"text"}.  A document is its text's ids, before them the token that the model begins texts with, if it
 *   does, behind them the end token.  The documents, in an order drawn from the seed, are laid end to end and cut
 *   into windows of max_len rows: these are the samples.  Where a document begins is known from the records, not
 *   from any token.  Every id but a document's first has a loss, in one window: of two neighbours the last row of
 *   one predicts the first id of the other.
 * - classify: {"text", "label"}, the label a text or a whole number.  A sample is the text as apr-gen --raw encodes it;
 *   its last token predicts the class, whose number stands behind it as if it were an id.  Classes are the labels that
 *   occur, as numbers if all are, else as texts, ascending.
 * A sample longer than max_len, but for pretraining's, is left out and counted, or with `truncate` cut there; one whose
 * prompt then fills max_len is left out too, for no token of it has a loss; of a text to be classified max_len - 1
 * tokens stay.  An empty response or text is an error with its line. */
#ifndef DATASET_H
#define DATASET_H
#include "model.h"

struct dataset_sample {
    size_t at;       /* first id */
    int n, n_prompt; /* ids in all; of them the first that have no loss */
    int n_loss; /* ids with loss: n - n_prompt, but of windows without the first ids of documents */
};
struct dataset {
    int32_t *ids;
    size_t n_ids, cap_ids;
    struct dataset_sample *s;
    int n, cap, longest;
    size_t *record; /* (n_record) of pretraining: ids before each document, ascending */
    size_t n_record, cap_record;
    char **label; /* (n_label) the classes' names */
    int n_label;
    long n_loss, truncated, left_out; /* ids with loss; samples cut, left out */
};
enum dataset_task { DATASET_INSTRUCT, DATASET_COMPLETION, DATASET_PRETRAIN, DATASET_CLASSIFY };
struct dataset_conf {
    enum dataset_task task;
    int max_len;
    int prompt_loss;               /* on the prompts too, but for their first token */
    uint64_t seed;                 /* of the documents' order */
    int truncate;                  /* samples longer than max_len are cut, not left out */
    const struct dataset *classes; /* whose these samples must have; NULL: their own */
};
int dataset_load(struct dataset *d, const char *path, const struct model *m,
                 const struct dataset_conf *c, struct err *e);
void dataset_free(struct dataset *d);
/* The first document that begins behind id number `at`; d->record + d->n_record if none does; NULL where there are no
 * documents. */
const size_t *dataset_next(const struct dataset *d, size_t at);
/* Order of an epoch: a permutation of 0..n-1 that depends on (seed, epoch, n) alone. */
void dataset_order(uint32_t *order, int n, uint64_t seed, long epoch);

/* Rows of some samples packed as documents: every id but a sample's last is a row, which predicts
 * the next, but for a document's last row in a window, which predicts nothing.  Bins are filled longest sample first, each into the fullest bin with room (best fit).
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
