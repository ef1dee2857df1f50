/* kldbase - llama.cpp's file of a base model's distributions */
#include "kldbase.h"
#include <math.h>
#include <string.h>

enum { HEAD = 20, MOST_VOCAB = 1 << 24, MOST_CTX = 1 << 24 };
static const char magic[] = "_logits_";
static const double MOST_LN_P = 0.01; /* 0, and what scale and low may be off as f32 */

int kldbase_rows(int n_ctx)
{
    return n_ctx - 1 - n_ctx / 2;
}

size_t kldbase_bytes(int n_vocab)
{
    return 8 + 4 * (((size_t)n_vocab + 1) / 2);
}

static int check(struct kldbase *b, struct err *e)
{
    const char *path = b->map.path;
    size_t tokens, rows, total;
    int32_t head[3];
    if (b->map.n < HEAD || memcmp(b->map.p, magic, 8))
        return err_set(e, ERR_DATA,
                       "%s: not a file of a base model's distributions: expected \"%s\"", path,
                       magic);
    memcpy(head, b->map.p + 8, sizeof head);
    b->n_ctx = head[0];
    b->n_vocab = head[1];
    b->n_chunk = head[2];
    if (b->n_ctx < 4 || b->n_ctx > MOST_CTX || b->n_vocab < 1 || b->n_vocab > MOST_VOCAB ||
        b->n_chunk < 1)
        return err_set(e, ERR_DATA, "%s: %d chunks of %d tokens of a vocabulary of %d", path,
                       b->n_chunk, b->n_ctx, b->n_vocab);
    if (!size_mul((size_t)b->n_chunk, 4 * (size_t)b->n_ctx, &tokens) ||
        !size_mul((size_t)b->n_chunk * (size_t)kldbase_rows(b->n_ctx), kldbase_bytes(b->n_vocab),
                  &rows) ||
        !size_add(tokens, rows, &total) || !size_add(total, HEAD, &total) || total != b->map.n)
        return err_set(e, ERR_DATA,
                       "%s: %zu bytes, which are not those of %d chunks of %d tokens of a "
                       "vocabulary of %d",
                       path, b->map.n, b->n_chunk, b->n_ctx, b->n_vocab);
    b->tok = (const int32_t *)(const void *)(b->map.p + HEAD);
    b->row = b->map.p + HEAD + tokens;
    for (size_t i = 0; i < tokens / 4; i++)
        if (b->tok[i] < 0 || b->tok[i] >= b->n_vocab)
            return err_set(e, ERR_DATA, "%s: token %zu: id %d of a vocabulary of %d", path, i,
                           b->tok[i], b->n_vocab);
    return 0;
}

int kldbase_open(struct kldbase *b, const char *path, struct err *e)
{
    int rc;
    memset(b, 0, sizeof *b);
    if ((rc = mapfile_open(&b->map, path, e)) == 0 && (rc = check(b, e)) < 0)
        kldbase_close(b);
    return rc;
}

void kldbase_close(struct kldbase *b)
{
    mapfile_close(&b->map);
}

int kldbase_compare(const struct kldbase *b, int chunk, int row, const float *q, int32_t next,
                    struct kld_row *r, struct err *e)
{
    const size_t bytes = kldbase_bytes(b->n_vocab);
    const uint8_t *p =
        b->row + ((size_t)chunk * (size_t)kldbase_rows(b->n_ctx) + (size_t)row) * bytes;
    const uint16_t *code = (const uint16_t *)(const void *)(p + 8);
    const double log_sum = kld_log_sum(q, b->n_vocab);
    double sum = 0;
    float how[2]; /* scale, low */
    int top = 0;
    memcpy(how, p, sizeof how);
    if (!isfinite(how[0]) || !isfinite(how[1]) || how[0] < 0)
        return err_set(e, ERR_DATA, "%s: chunk %d, position %d: scale %g, lowest %g", b->map.path,
                       chunk, row, (double)how[0], (double)how[1]);
    for (int i = 0; i < b->n_vocab; i++) {
        const double ln_p = (double)how[0] * code[i] + (double)how[1];
        if (ln_p > -16)
            sum += exp(ln_p) * (ln_p - ((double)q[i] - log_sum));
        top = code[i] > code[top] ? i : top;
    }
    const double highest = (double)how[0] * code[top] + (double)how[1];
    if (highest > MOST_LN_P)
        return err_set(e, ERR_DATA, "%s: chunk %d, position %d: ln P of id %d is %g, at most 0",
                       b->map.path, chunk, row, top, highest);
    *r = (struct kld_row){.nll = log_sum - (double)q[next],
                          .nll_base = -((double)how[0] * code[next] + (double)how[1]),
                          .kl = sum,
                          .same_top = top == kld_top(q, b->n_vocab)};
    mapfile_forget(&b->map, p, bytes);
    return 0;
}

int kldbase_begin(struct outfile *f, int n_ctx, int n_vocab, int n_chunk, const int32_t *tok,
                  struct err *e)
{
    const int32_t head[] = {n_ctx, n_vocab, n_chunk};
    int rc = outfile_write(f, magic, 8, e);
    if (rc == 0 && (rc = outfile_write(f, head, sizeof head, e)) == 0)
        rc = outfile_write(f, tok, (size_t)n_chunk * (size_t)n_ctx * sizeof *tok, e);
    return rc;
}

void kldbase_pack(const float *logits, int n, void *row)
{
    const float top = logits[kld_top(logits, n)];
    uint16_t *code = (uint16_t *)((uint8_t *)row + 8);
    float low = logits[0], how[2];
    for (int i = 1; i < n; i++)
        low = logits[i] < low ? logits[i] : low;
    low = low < top - 16 ? top - 16 : low;
    how[0] = (top - low) / 65535.0f;
    how[1] = (float)((double)low - kld_log_sum(logits, n));
    const float inverse = how[0] > 0 ? 1 / how[0] : 0;
    for (int i = 0; i < n; i++) {
        const float x = logits[i] > low ? inverse * (logits[i] - low) : 0;
        code[i] = (uint16_t)(x < 65535.0f ? lrintf(x) : 65535);
    }
    if (n & 1)
        code[n] = 0;
    memcpy(row, how, sizeof how);
}
