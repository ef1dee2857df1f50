/* diff_logits - two models on the same prompts or text: how far their distributions of the next token are apart
 *
 * Both walk (walk.h) through groups of sequences side by side, so neither all weights of a large model nor many logits
 * are in memory at once.  Of a prompt every position counts, of a text cut into chunks those that apr-ppl scores. */
#include "diff.h"
#include "mapfile.h"
#include "walk.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 8, ROWS = 512, OUT = 16 }; /* sequences, rows of a step; logits at a time */

struct run {
    struct diff *d;
    const struct diff_want *w;
    const struct side *side[2];
    struct walk walk[2];
    float *logits[2]; /* (OUT, n_vocab) */
    struct kld kld;
    int n_ctx, n_vocab, max_rows, max_blocks;
    /* the group */
    int32_t *tok, *pos, *seq, *rows, *next, *blocks; /* (max_rows), (GROUP, max_blocks) */
    char *scored;
    int n_row, n_seq;
};

/* ---- a group ---- */

static int run_group(struct run *r, struct err *e)
{
    struct kn_rows rows = {.n_tok = r->n_row,
                           .n_seq = r->n_seq,
                           .tok = r->tok,
                           .pos = r->pos,
                           .seq = r->seq,
                           .out = r->rows,
                           .blocks = r->blocks};
    int32_t some[OUT];
    for (int m = 0; m < 2; m++)
        if (walk_step(&r->walk[m], &rows, e) < 0)
            return e->code;
    for (int at = 0, n = 0; at < r->n_row; at++) {
        if (r->scored[at])
            some[n++] = at;
        if (!n || (n < OUT && at + 1 < r->n_row))
            continue;
        for (int m = 0; m < 2; m++)
            if (walk_logits(&r->walk[m], &rows, some, n, r->logits[m], e) < 0)
                return e->code;
        for (int i = 0; i < n; i++) {
            const size_t va = (size_t)r->side[0]->v->h.n_vocab,
                         vb = (size_t)r->side[1]->v->h.n_vocab;
            struct kld_row row;
            kld_logits(&row, r->logits[0] + (size_t)i * va, r->logits[1] + (size_t)i * vb,
                       r->n_vocab, r->next[some[i]]);
            if (!isfinite(row.kl) || !isfinite(row.nll))
                return err_set(e, ERR_DATA, "%s, %s: a logit is not finite", r->d->path[0],
                               r->d->path[1]);
            if (kld_add(&r->kld, &row, e) < 0)
                return e->code;
        }
        n = 0;
    }
    r->n_row = r->n_seq = 0;
    return 0;
}

/* A's ids as rows of both embeddings: B may have fewer, and no tokenizer that says so. */
static int check_ids(const struct run *r, const int32_t *ids, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= r->n_vocab)
            return err_set(e, ERR_DATA,
                           "token %d has id %d in %s, the vocabularies share %d ids (%d, %d)", i,
                           (int)ids[i], r->side[0]->path, r->n_vocab, r->side[0]->v->h.n_vocab,
                           r->side[1]->v->h.n_vocab);
    return 0;
}

/* One more sequence; positions from `first` on are scored. */
static int add_sequence(struct run *r, const int32_t *ids, int n, int first, int last,
                        struct err *e)
{
    if ((r->n_row + n > r->max_rows || r->n_seq == GROUP) && run_group(r, e) < 0)
        return e->code;
    for (int i = 0; i < n; i++) {
        const int at = r->n_row++;
        r->tok[at] = ids[i];
        r->pos[at] = i;
        r->seq[at] = r->n_seq;
        r->rows[at] = at;
        r->next[at] = i + 1 < n ? ids[i + 1] : -1;
        r->scored[at] = i >= first && i <= last;
    }
    r->n_seq++;
    return 0;
}

/* ---- texts ---- */

/* A's ids; *same: B's tokenizer, if it has one, gives them too. */
static long encode(const struct run *r, const char *s, size_t n, int32_t **ids, int *same,
                   struct err *e)
{
    int32_t *other = NULL;
    const long count = bpe_encode(r->side[0]->v->tok, s, n, BPE_BOS, ids, e);
    *same = 1;
    if (count < 0 || !r->side[1]->v->tok)
        return count;
    const long k = bpe_encode(r->side[1]->v->tok, s, n, BPE_BOS, &other, e);
    *same = k == count && (k == 0 || memcmp(*ids, other, (size_t)k * sizeof *other) == 0);
    free(other);
    return k < 0 ? k : count;
}

static int add_prompts(struct run *r, struct err *e)
{
    struct jsonl in;
    int got = 0, rc = jsonl_open(&in, r->w->prompts, e);
    if (rc < 0)
        return rc;
    while (rc == 0 && (got = jsonl_next(&in, e)) == 1) {
        const char *s = json_get_str(in.v, "prompt", NULL, e);
        int32_t *ids = NULL;
        int same = 1;
        if (!s) {
            rc = err_set(e, ERR_DATA, "%s:%ld: expected a \"prompt\"", in.path, in.lineno);
            break;
        }
        long n = encode(r, s, strlen(s), &ids, &same, e);
        if (n < 0)
            rc = err_prefix(e, "%s:%ld", in.path, in.lineno);
        else if (!same)
            r->d->n_skipped++;
        else if (n > 0) {
            n = n < r->n_ctx ? n : r->n_ctx;
            if ((rc = check_ids(r, ids, (int)n, e)) < 0)
                err_prefix(e, "%s:%ld", in.path, in.lineno);
            else
                rc = add_sequence(r, ids, (int)n, 0, (int)n - 1, e);
            r->d->n_prompt++;
        }
        free(ids);
    }
    jsonl_close(&in);
    return rc < 0 ? rc : got < 0 ? got : 0;
}

static int add_text(struct run *r, struct err *e)
{
    struct mapfile m;
    const struct hparams *h = &r->side[0]->v->h;
    int32_t *ids = NULL;
    int same = 1, rc = mapfile_open(&m, r->w->text, e);
    if (rc < 0)
        return rc;
    const long n = encode(r, m.p ? (const char *)m.p : "", m.n, &ids, &same, e);
    if (n < 0)
        rc = err_prefix(e, "%s", r->w->text);
    else if (n < r->n_ctx)
        rc = err_set(e, ERR_DATA, "%s: %ld tokens, a chunk needs %d", r->w->text, n, r->n_ctx);
    else if (!same)
        r->d->n_skipped++;
    for (long c = 0; rc == 0 && same && c < n / r->n_ctx; c++) {
        int32_t *chunk = ids + c * r->n_ctx;
        if (h->add_bos && h->bos >= 0)
            chunk[0] = h->bos;
        if ((rc = check_ids(r, chunk, r->n_ctx, e)) < 0)
            err_prefix(e, "%s: chunk %ld", r->w->text, c);
        else
            rc = add_sequence(r, chunk, r->n_ctx, r->n_ctx / 2, r->n_ctx - 2, e);
        r->d->n_prompt++;
    }
    free(ids);
    mapfile_close(&m);
    return rc;
}

/* ---- all ---- */

static int open_run(struct run *r, struct kn_dev *dev, struct err *e)
{
    const size_t n = (size_t)r->max_rows;
    if (!(r->tok = calloc(n, sizeof *r->tok)) || !(r->pos = calloc(n, sizeof *r->pos)) ||
        !(r->seq = calloc(n, sizeof *r->seq)) || !(r->rows = calloc(n, sizeof *r->rows)) ||
        !(r->next = calloc(n, sizeof *r->next)) || !(r->scored = calloc(n, 1)) ||
        !(r->blocks = calloc((size_t)GROUP * (size_t)r->max_blocks, sizeof *r->blocks)))
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < GROUP * r->max_blocks; i++)
        r->blocks[i] = i;
    for (int m = 0; m < 2; m++) {
        const struct view *v = r->side[m]->v;
        if (!(r->logits[m] = malloc(OUT * (size_t)v->h.n_vocab * sizeof(float))))
            return err_set(e, ERR_NOMEM, "out of memory");
        if (walk_open(&r->walk[m], v, dev, KN_W_INFER, r->n_ctx, r->max_rows, GROUP, OUT,
                      r->max_blocks, KN_F32, e) < 0)
            return e->code;
    }
    return 0;
}

static void close_run(struct run *r)
{
    for (int m = 0; m < 2; m++) {
        if (r->walk[m].v)
            walk_close(&r->walk[m]);
        free(r->logits[m]);
    }
    free(r->tok);
    free(r->pos);
    free(r->seq);
    free(r->rows);
    free(r->next);
    free(r->scored);
    free(r->blocks);
    kld_free(&r->kld);
}

/* What keeps the two from being run on the same ids. */
static int check(struct run *r, struct err *e)
{
    for (int m = 0; m < 2; m++)
        if (!r->side[m]->whole)
            return err_set(e, ERR_DATA, "%s: cannot be run: %s", r->side[m]->path, r->side[m]->why);
    if (!r->side[0]->v->tok)
        return err_set(e, ERR_DATA, "%s: the model has no tokenizer", r->side[0]->path);
    if (r->w->ctx > r->n_ctx)
        return err_set(e, ERR_USAGE, "--ctx %ld: the models have a context of %d", r->w->ctx,
                       r->n_ctx);
    return 0;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int diff_logits(struct diff *d, const struct side *a, const struct side *b,
                const struct diff_want *w, struct err *e)
{
    const struct hparams *x = &a->v->h, *y = &b->v->h;
    struct run r = {.d = d, .w = w, .side = {a, b}};
    struct kn_dev *dev = NULL;
    int rc;
    r.n_ctx = smaller(x->n_ctx, y->n_ctx);
    r.n_vocab = smaller(x->n_vocab, y->n_vocab);
    if ((rc = check(&r, e)) < 0)
        return rc;
    r.n_ctx = smaller(r.n_ctx, w->ctx ? (int)w->ctx : 512);
    r.max_rows = r.n_ctx > ROWS ? r.n_ctx : ROWS;
    r.max_blocks = (r.n_ctx + KN_TILE - 1) / KN_TILE;
    if ((rc = kn_open(&dev, "cpu", w->threads)) < 0)
        return err_set(e, ERR_UNAVAILABLE, "device cpu: %s", kn_strerror(rc));
    if ((rc = open_run(&r, dev, e)) == 0 && (!w->prompts || (rc = add_prompts(&r, e)) == 0) &&
        (!w->text || (rc = add_text(&r, e)) == 0) && r.n_row)
        rc = run_group(&r, e);
    if (rc == 0 && !r.kld.n && !d->n_skipped)
        rc = err_set(e, ERR_DATA, "%s: nothing to be scored", w->prompts ? w->prompts : w->text);
    if (rc == 0 && r.kld.n) {
        kld_summary(&d->logits, &r.kld);
        d->has_logits = 1;
    }
    close_run(&r);
    kn_close(dev);
    return rc;
}
