/* spm_scores - merges from the scores of a SentencePiece model
 *
 * As transformers' convert_slow_tokenizer.py makes them: every way to cut a piece into two pieces is a
 * merge; pieces of higher score come first, among equal ones those in order of the parts' lengths, the
 * longest left one first. */
#include "bpe_impl.h"
#include "unicode.h"
#include <stdlib.h>
#include <string.h>

struct cut {
    double score;
    uint32_t left, right, result, n_left, n_right; /* lengths in characters */
};

static int by_score(const void *x, const void *y)
{
    const struct cut *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->n_left != b->n_left)
        return a->n_left > b->n_left ? -1 : 1;
    if (a->n_right != b->n_right)
        return a->n_right > b->n_right ? -1 : 1;
    if (a->result != b->result)
        return a->result < b->result ? -1 : 1;
    return a->left < b->left ? -1 : a->left > b->left;
}

static int is_piece(const struct bpe_build *w, int32_t id)
{
    return id >= 0 && w->kind[id] == BPE_K_BYTES;
}

/* The cuts of one piece; into list if that is not NULL. */
static size_t cuts(const struct bpe_build *w, uint32_t id, struct cut *list)
{
    const char *s = w->bytes + w->off[id];
    size_t n = w->off[id + 1] - w->off[id], k = 0;
    uint32_t total = 0, chars = 0;
    for (size_t i = 0; i < n; i++)
        total += ((uint8_t)s[i] & 0xC0) != 0x80;
    for (size_t i = 1; i < n; i++) {
        if (((uint8_t)s[i] & 0xC0) == 0x80)
            continue;
        chars++;
        int32_t a = bpe_index_find(&w->index, w->off, w->bytes, s, i),
                b = bpe_index_find(&w->index, w->off, w->bytes, s + i, n - i);
        if (!is_piece(w, a) || !is_piece(w, b))
            continue;
        if (list)
            list[k] =
                (struct cut){w->score[id], (uint32_t)a, (uint32_t)b, id, chars, total - chars};
        k++;
    }
    return k;
}

int spm_build_merges(struct bpe_build *w, struct err *e)
{
    size_t n = 0, k = 0;
    for (uint32_t id = 0; id < w->head.n_id; id++)
        n += w->kind[id] == BPE_K_BYTES ? cuts(w, id, NULL) : 0;
    if (n > BPE_MAX_MERGE)
        return err_set(e, ERR_DATA, "%s: more than %d merges", w->where, BPE_MAX_MERGE);
    struct cut *list = malloc((n + 1) * sizeof *list);
    uint32_t *merge = malloc((n + 1) * 3 * sizeof *merge);
    if (!list || !merge) {
        free(list);
        free(merge);
        return err_set(e, ERR_NOMEM, "%s: out of memory", w->where);
    }
    for (uint32_t id = 0; id < w->head.n_id; id++)
        k += w->kind[id] == BPE_K_BYTES ? cuts(w, id, list + k) : 0;
    qsort(list, n, sizeof *list, by_score);
    for (size_t i = 0; i < n; i++) {
        merge[3 * i] = list[i].left;
        merge[3 * i + 1] = list[i].right;
        merge[3 * i + 2] = list[i].result;
    }
    free(list);
    free(w->merge);
    w->merge = merge;
    w->cap_merge = 3 * n;
    w->head.n_merge = (uint32_t)n;
    return 0;
}
