/* verify_run - two models through the same prompts: the source answers greedily, the copy is asked for every position
 *
 * A position's logits depend on its tokens alone, not on whether they came one by one or at once.  So the copy gets
 * prompts and the source's answers in one step, and its greedy text is the source's as far as its first choices are
 * the tokens that follow. */
#include "kld.h"
#include "verify_impl.h"
#include "walk.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    OUT = 16,
    GUESS = 16,
    SHORTEST = 4
}; /* logits at a time; ids of a prompt without tokenizer */

struct seq {
    int32_t ids[VERIFY_ROWS];
    int n_prompt, n; /* n: with the answer's tokens but the last */
    int answered;    /* tokens of the answer, the last too */
    int32_t last;
    int first; /* row of its first position */
};
struct plan {
    struct seq seq[VERIFY_PROMPTS];
    int n_seq, greedy, rows, n_vocab, n_real, n_ctx;
    const char *limit;
};
struct work {
    struct plan *p;
    struct walk w;
    float *logits; /* (VERIFY_ROWS of the source, n_vocab), by row */
    int32_t tok[VERIFY_ROWS], pos[VERIFY_ROWS], of[VERIFY_ROWS], at[VERIFY_ROWS];
    int32_t blocks[VERIFY_PROMPTS * VERIFY_ROWS];
};

/* ---- how much ---- */

static double weights(const struct view *v)
{
    double n = 0;
    for (int i = 0; i < v->n; i++)
        n += v->t[i].ndim == 2 ? (double)tensor_count(&v->t[i]) : 0;
    return n > 0 ? n : 1;
}

static size_t tensor_sum(const struct view *v)
{
    size_t n = 0;
    for (int i = 0; i < v->n; i++)
        n += v->t[i].bytes;
    return n;
}

static int encode(const struct view *v, const char *text, int k, struct seq *s, struct err *e)
{
    int32_t *ids = NULL;
    long n = GUESS;
    if (v->tok && (n = bpe_encode(v->tok, text, strlen(text), BPE_BOS, &ids, e)) < 0)
        return (int)n;
    s->n_prompt = n < VERIFY_ROWS ? (int)n : VERIFY_ROWS;
    for (int i = 0; i < s->n_prompt; i++)
        s->ids[i] = ids ? ids[i] : (i * 7 + k * 31 + 1) % v->h.n_vocab;
    free(ids);
    return 0;
}

/* As many prompts as fit, the last cut short; all of an answer's tokens but the last take a row too. */
static int make_plan(struct plan *p, const struct view *v, const struct verify_texts *x,
                     struct err *e)
{
    const double work = VERIFY_WORK / weights(v),
                 room = (double)VERIFY_LOGITS / ((double)v->h.n_vocab * sizeof(float));
    int most = VERIFY_ROWS;
    p->limit = "none";
    p->n_vocab = v->h.n_vocab;
    p->n_real = v->tok && bpe_n_vocab(v->tok) < v->h.n_vocab ? bpe_n_vocab(v->tok) : v->h.n_vocab;
    p->n_ctx = v->h.n_ctx < VERIFY_ROWS ? v->h.n_ctx : VERIFY_ROWS;
    p->greedy = tensor_sum(v) <= WALK_KEEP ? VERIFY_GREEDY : 1;
    if (p->greedy > p->n_ctx / 2)
        p->greedy = p->n_ctx < 2 ? 1 : p->n_ctx / 2, p->limit = "context";
    if (room < most)
        most = (int)room, p->limit = "memory";
    if (work < most)
        most = (int)work, p->limit = "work";
    most = most < VERIFY_LEAST ? VERIFY_LEAST : most;
    for (int i = 0; i < x->n_prompt && i < VERIFY_PROMPTS; i++) {
        struct seq *s = &p->seq[p->n_seq];
        if (encode(v, x->s[i], i, s, e) < 0)
            return e->code;
        if (s->n_prompt + p->greedy - 1 > p->n_ctx) {
            s->n_prompt = p->n_ctx > p->greedy ? p->n_ctx - p->greedy + 1 : p->n_ctx;
            p->limit = "context";
        }
        int left = most - p->rows - (p->greedy - 1);
        if (left < SHORTEST && p->n_seq)
            break;
        s->n_prompt = s->n_prompt < left || left < 1 ? s->n_prompt : left;
        if (s->n_prompt < 1)
            continue;
        p->rows += s->n_prompt + p->greedy - 1;
        p->n_seq++;
    }
    return p->n_seq ? 0 : err_set(e, ERR_UNAVAILABLE, "no prompt has a token");
}

/* ---- steps ---- */

/* Rows of the sequences from position `from`[k] on. */
static struct kn_rows rows_of(struct work *w, const int *from)
{
    struct plan *p = w->p;
    struct kn_rows r = {
        .n_seq = 0, .tok = w->tok, .pos = w->pos, .seq = w->of, .out = w->at, .blocks = w->blocks};
    const int per = (p->n_ctx + KN_TILE - 1) / KN_TILE;
    for (int k = 0; k < p->n_seq; k++) {
        const struct seq *s = &p->seq[k];
        if (from[k] >= s->n)
            continue;
        for (int i = 0; i < per; i++)
            w->blocks[r.n_seq * per + i] = k * per + i;
        for (int i = from[k]; i < s->n; i++, r.n_tok++) {
            w->tok[r.n_tok] = s->ids[i];
            w->pos[r.n_tok] = i;
            w->of[r.n_tok] = r.n_seq;
            w->at[r.n_tok] = s->first + i; /* of w->logits; not of the batch */
        }
        r.n_seq++;
    }
    return r;
}

/* Are they numbers?  A model that computes none is no copy of anything. */
static int check_finite(const struct work *w, const float *x, int row, struct err *e)
{
    for (int i = 0; i < w->p->n_vocab; i++)
        if (!isfinite(x[i]))
            return err_set(e, ERR_DATA, "%s: the logit of id %d at position %d is not finite",
                           w->w.v->name, i, row);
    return 0;
}

/* The step's logits to their places. */
static int keep_logits(struct work *w, const struct kn_rows *r, float *room, struct err *e)
{
    const size_t V = (size_t)w->p->n_vocab;
    int32_t rows[OUT];
    for (int at = 0; at < r->n_tok; at += OUT) {
        const int n = r->n_tok - at < OUT ? r->n_tok - at : OUT;
        for (int i = 0; i < n; i++)
            rows[i] = at + i;
        if (walk_logits(&w->w, r, rows, n, room, e) < 0)
            return e->code;
        for (int i = 0; i < n; i++) {
            if (check_finite(w, room + (size_t)i * V, w->at[at + i], e) < 0)
                return e->code;
            memcpy(w->logits + (size_t)w->at[at + i] * V, room + (size_t)i * V, V * sizeof *room);
        }
    }
    return 0;
}

static int is_stop(const struct hparams *h, int32_t id)
{
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] == id)
            return 1;
    return 0;
}

/* The source: prompts in one step, then a token of each answer a step. */
static int answer(struct work *w, float *room, struct err *e)
{
    struct plan *p = w->p;
    int from[VERIFY_PROMPTS] = {0}, rc = 0;
    for (int k = 0, row = 0; k < p->n_seq; k++) {
        p->seq[k].first = row;
        p->seq[k].n = p->seq[k].n_prompt;
        row += p->seq[k].n_prompt + p->greedy - 1;
    }
    for (int step = 0; step < p->greedy && rc == 0; step++) {
        struct kn_rows r = rows_of(w, from);
        if (!r.n_tok)
            break;
        if ((rc = walk_step(&w->w, &r, e)) < 0 || (rc = keep_logits(w, &r, room, e)) < 0)
            break;
        for (int k = 0; k < p->n_seq; k++) {
            struct seq *s = &p->seq[k];
            if (from[k] >= s->n)
                continue;
            from[k] = s->n;
            s->last =
                kld_top(w->logits + (size_t)(s->first + s->n - 1) * (size_t)p->n_vocab, p->n_real);
            s->answered++;
            if (step + 1 < p->greedy && !is_stop(&w->w.v->h, s->last))
                s->ids[s->n++] = s->last;
        }
    }
    return rc;
}

/* ---- differences ---- */

/* x is the source's row, which is finite. */
static int compare_row(const struct work *w, struct verify_run *r, const float *x, const float *y,
                       int row, struct err *e)
{
    const struct plan *p = w->p;
    r->rows++;
    if (memcmp(x, y, (size_t)p->n_vocab * sizeof *x) == 0) {
        r->top1++;
        return 0;
    }
    if (check_finite(w, y, row, e) < 0)
        return e->code;
    for (int i = 0; i < p->n_vocab; i++) {
        const double diff = fabs((double)x[i] - (double)y[i]), size = fabs((double)x[i]);
        r->max_diff = diff > r->max_diff ? diff : r->max_diff;
        r->largest = size > r->largest ? size : r->largest;
    }
    struct kld_row kl;
    kld_logits(&kl, x, y, p->n_vocab, -1);
    r->kl_max = kl.kl > r->kl_max ? kl.kl : r->kl_max;
    r->kl_mean += kl.kl; /* a sum so far */
    r->top1 += kld_top(x, p->n_real) == kld_top(y, p->n_real);
    return 0;
}

/* The copy: everything at once. */
static int ask(struct work *w, float *room, struct verify_run *v, struct err *e)
{
    struct plan *p = w->p;
    const int none[VERIFY_PROMPTS] = {0};
    const size_t V = (size_t)p->n_vocab;
    struct kn_rows r = rows_of(w, none);
    int32_t rows[OUT], choice[VERIFY_ROWS] = {0};
    if (walk_step(&w->w, &r, e) < 0)
        return e->code;
    for (int at = 0; at < r.n_tok; at += OUT) {
        const int n = r.n_tok - at < OUT ? r.n_tok - at : OUT;
        for (int i = 0; i < n; i++)
            rows[i] = at + i;
        if (walk_logits(&w->w, &r, rows, n, room, e) < 0)
            return e->code;
        for (int i = 0; i < n; i++) {
            const float *y = room + (size_t)i * V;
            if (compare_row(w, v, w->logits + (size_t)w->at[at + i] * V, y, w->at[at + i], e) < 0)
                return e->code;
            choice[w->at[at + i]] = kld_top(y, p->n_real);
        }
    }
    v->kl_mean /= v->rows;
    for (int k = 0; k < p->n_seq; k++) {
        const struct seq *s = &p->seq[k];
        int same = 0;
        while (same < s->answered) {
            const int at = s->n_prompt + same;
            if (choice[s->first + at - 1] != (at < s->n ? s->ids[at] : s->last))
                break;
            same++;
        }
        v->greedy += s->answered;
        v->greedy_same += same;
    }
    return 0;
}

/* ---- both ---- */

static int with(struct work *w, const struct view *v, struct kn_dev *dev, struct err *e)
{
    struct plan *p = w->p;
    return walk_open(&w->w, v, dev, KN_W_INFER, p->n_ctx, p->rows, p->n_seq, OUT,
                     (p->n_ctx + KN_TILE - 1) / KN_TILE, KN_F32, e);
}

int verify_run(struct verify_run *r, const struct view *from, const struct view *to,
               const struct verify_texts *x, int threads, struct err *e)
{
    struct plan p = {.n_seq = 0};
    struct kn_dev *dev = NULL;
    float *room = NULL;
    struct work *w = calloc(1, sizeof *w);
    int rc = w ? make_plan(&p, from, x, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc < 0)
        goto done;
    const size_t row = (size_t)p.n_vocab * sizeof(float);
    w->p = &p;
    w->logits = malloc((size_t)p.rows * row);
    room = malloc(OUT * row);
    if (!w->logits || !room) {
        rc = err_set(e, ERR_NOMEM, "%zu bytes of logits: out of memory",
                     ((size_t)p.rows + OUT) * row);
        goto done;
    }
    if ((rc = kn_open(&dev, "cpu", threads)) < 0) {
        rc = err_set(e, ERR_UNAVAILABLE, "device cpu: %s", kn_strerror(rc));
        goto done;
    }
    if ((rc = with(w, from, dev, e)) == 0) {
        rc = answer(w, room, e);
        walk_close(&w->w);
    }
    if (rc == 0 && (rc = with(w, to, dev, e)) == 0) {
        rc = ask(w, room, r, e);
        walk_close(&w->w);
    }
    for (int i = 0; i < from->n; i++)
        r->rounds_8bit |=
            tensor_is_weight(from->t[i].type) && kn_type_info(from->t[i].type)->act_block;
    r->prompts = p.n_seq;
    r->limit = p.limit;
done:
    if (dev)
        kn_close(dev);
    free(room);
    if (w)
        free(w->logits);
    free(w);
    return rc;
}
