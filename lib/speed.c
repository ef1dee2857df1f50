/* speed - measured tests of tokens: prompts and single steps, of one sequence or many */
#include "speed.h"
#include "dev.h"
#include "forward.h"
#include "rng.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void speed_free(struct speed *s)
{
    for (int i = 0; i < s->n; i++) {
        free(s->row[i].value);
        free(s->row[i].step);
    }
    free(s->row);
    memset(s, 0, sizeof *s);
}

struct speed_row *speed_add(struct speed *s, const char *name, const char *unit, int n)
{
    if (s->n == s->cap) {
        int cap = s->cap ? 2 * s->cap : 8;
        struct speed_row *r = realloc(s->row, (size_t)cap * sizeof *r);
        if (!r)
            return NULL;
        s->row = r;
        s->cap = cap;
    }
    struct speed_row *r = &s->row[s->n];
    memset(r, 0, sizeof *r);
    if (!(r->value = calloc((size_t)n, sizeof *r->value)))
        return NULL;
    r->n = n;
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->unit, sizeof r->unit, "%s", unit);
    s->n++;
    return r;
}

int speed_list(const char *text, const char *what, int *v, int max, struct err *e)
{
    int n = 0;
    for (const char *p = text;; p++) {
        char *end;
        long x = strtol(p, &end, 10);
        if (end == p || *p < '0' || *p > '9' || (*end && *end != ',') || x > 1000000 ||
            (x == 0 && (n || *end)))
            return err_set(e, ERR_USAGE,
                           "%s: %s: expected numbers from 1 to 1000000 with commas, or 0", what,
                           text);
        if (n == max)
            return err_set(e, ERR_USAGE, "%s: %s: at most %d numbers", what, text, max);
        v[n] = (int)x;
        n += x > 0;
        if (!*end)
            return n;
        p = end;
    }
}

int speed_ctx(const struct speed_test *t)
{
    return t->n_prompt + t->n_gen;
}

/* ---- one run ---- */

struct run {
    const struct speed_test *t;
    struct forward f;
    struct rng rng;
    int chunk, max_blocks;
    int32_t *tok, *pos, *seq, *out, *table; /* (chunk or n_seq) x4, (n_seq, max_blocks) */
    float *logits;                          /* where the device's memory is not ours */
};

static int nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

static void run_free(struct run *r)
{
    forward_free(&r->f);
    free(r->tok);
    free(r->pos);
    free(r->seq);
    free(r->out);
    free(r->table);
    free(r->logits);
}

static int run_new(struct run *r, const struct model *m, const struct speed_conf *c,
                   const struct speed_test *t, struct err *e)
{
    int rows = t->n_prompt ? c->chunk : t->n_seq, n = t->n_seq, rc;
    *r = (struct run){.t = t, .rng = {c->seed, 0}};
    if (t->n_prompt && (long)n * t->n_prompt < rows)
        rows = n * t->n_prompt;
    rows = rows < n ? n : rows; /* a decoding step has a row of each sequence */
    r->chunk = rows;
    r->max_blocks = (speed_ctx(t) + KN_TILE - 1) / KN_TILE;
    size_t table = (size_t)n * (size_t)r->max_blocks;
    r->tok = calloc((size_t)rows, sizeof *r->tok);
    r->pos = calloc((size_t)rows, sizeof *r->pos);
    r->seq = calloc((size_t)rows, sizeof *r->seq);
    r->out = calloc((size_t)n, sizeof *r->out);
    r->table = calloc(table, sizeof *r->table);
    if (!r->tok || !r->pos || !r->seq || !r->out || !r->table)
        return nomem(e);
    for (size_t i = 0; i < table; i++)
        r->table[i] = (int32_t)i;
    if ((rc = forward_new(&r->f, m, rows, n, n, r->max_blocks, n * r->max_blocks, c->kv_type, e)) <
        0)
        return rc;
    if (m->dev->ops->top)
        return (rc = forward_top(&r->f, e)) < 0 ? rc : 0;
    if (!kn_host(m->dev, r->f.logits) &&
        !(r->logits = malloc((size_t)n * (size_t)m->h.n_vocab * sizeof *r->logits)))
        return nomem(e);
    return 0;
}

static void draw(struct run *r, int n)
{
    for (int i = 0; i < n; i++)
        r->tok[i] = (int32_t)rng_below(&r->rng, (uint64_t)r->f.m->n_real);
}

/* Queued work ends; the logits are where the host can see them, or the first of each row is, where the device finds it. */
static int step(struct run *r, const struct kn_rows *rows, struct err *e)
{
    struct kn_dev *d = r->f.d;
    int rc = forward_step(&r->f, rows, e);
    if (rc < 0)
        return rc;
    const struct kn_top *top;
    if (r->f.top.buf && rows->n_out)
        return forward_tops(&r->f, 1, 0, &top, e);
    size_t bytes = (size_t)rows->n_out * (size_t)r->f.m->h.n_vocab * sizeof *r->logits;
    if ((rc = r->logits && bytes ? kn_read(d, r->logits, r->f.logits, bytes) : kn_sync(d)) < 0)
        return dev_failed(d, "logits", rc, e);
    return 0;
}

/* All prompts, in steps of `chunk` rows that may hold the end of one and the beginning of the next. */
static int prompts(struct run *r, double *seconds, struct err *e)
{
    const struct speed_test *t = r->t;
    long all = (long)t->n_seq * t->n_prompt;
    for (long at = 0; at < all;) {
        int n = all - at < r->chunk ? (int)(all - at) : r->chunk, first = (int)(at / t->n_prompt);
        struct kn_rows rows = {.n_tok = n,
                               .tok = r->tok,
                               .pos = r->pos,
                               .seq = r->seq,
                               .out = r->out,
                               .blocks = r->table + (size_t)first * (size_t)r->max_blocks};
        draw(r, n);
        for (int i = 0; i < n; i++) {
            r->pos[i] = (int32_t)((at + i) % t->n_prompt);
            r->seq[i] = (int32_t)((at + i) / t->n_prompt) - first;
            if (r->pos[i] == t->n_prompt - 1)
                r->out[rows.n_out++] = i;
        }
        rows.n_seq = r->seq[n - 1] + 1;
        double start = clock_now();
        int rc = step(r, &rows, e);
        *seconds += clock_now() - start;
        if (rc < 0)
            return rc;
        at += n;
    }
    return 0;
}

static int decode(struct run *r, double *seconds, double *steps, struct err *e)
{
    const struct speed_test *t = r->t;
    for (int k = 0; k < t->n_gen; k++) {
        struct kn_rows rows = {.n_tok = t->n_seq,
                               .n_seq = t->n_seq,
                               .n_out = t->n_seq,
                               .n_made = t->n_seq,
                               .tok = r->tok,
                               .pos = r->pos,
                               .seq = r->seq,
                               .out = r->out,
                               .blocks = r->table};
        draw(r, t->n_seq);
        for (int i = 0; i < t->n_seq; i++) {
            r->pos[i] = t->n_prompt + k;
            r->seq[i] = r->out[i] = i;
        }
        double start = clock_now();
        int rc = step(r, &rows, e);
        double took = clock_now() - start;
        *seconds += took;
        if (steps)
            steps[k] = took;
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- a test ---- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Rows of a test, empty: the prompts' and the steps', which are one and the same without split. */
static int add_rows(struct speed *s, const struct speed_test *t, int reps, int at[2])
{
    char name[2][40] = {"", ""}, many[20] = "";
    if (t->split)
        snprintf(many, sizeof many, "x%d", t->n_seq);
    if (t->n_prompt)
        snprintf(name[0], sizeof name[0], "pp%d%s", t->n_prompt, many);
    if (t->n_gen)
        snprintf(name[1], sizeof name[1], "tg%d%s", t->n_gen, many);
    if (t->split || !t->n_prompt || !t->n_gen) {
        for (int i = 0; i < 2; i++) {
            at[i] = s->n;
            if (name[i][0] && !speed_add(s, name[i], "tok/s", reps))
                return 0;
        }
    } else {
        char both[82];
        snprintf(both, sizeof both, "%s+%s", name[0], name[1]);
        at[0] = at[1] = s->n;
        if (!speed_add(s, both, "tok/s", reps))
            return 0;
    }
    if (!t->n_gen)
        return 1;
    struct speed_row *r = &s->row[at[1]];
    if ((long)reps * t->n_gen > INT_MAX)
        return 0;
    r->n_step = reps * t->n_gen;
    r->step = calloc((size_t)r->n_step, sizeof *r->step);
    return r->step != NULL;
}

static int measure(struct speed *s, struct run *r, const struct speed_conf *c, const int at[2],
                   struct err *e)
{
    const struct speed_test *t = r->t;
    double n_prompt = (double)t->n_seq * t->n_prompt, n_gen = (double)t->n_seq * t->n_gen;
    for (int i = -c->warmup; i < c->reps; i++) {
        double pp = 0, tg = 0, *steps = NULL;
        int rc;
        if (i >= 0 && t->n_gen)
            steps = s->row[at[1]].step + (size_t)i * (size_t)t->n_gen;
        if (c->tell)
            c->tell(c->arg, s->row[s->n - 1].name, i);
        if ((rc = prompts(r, &pp, e)) < 0 || (rc = decode(r, &tg, steps, e)) < 0)
            return rc;
        if (i < 0)
            continue;
        if (t->split || !t->n_prompt || !t->n_gen) {
            if (t->n_prompt)
                s->row[at[0]].value[i] = n_prompt / pp;
            if (t->n_gen)
                s->row[at[1]].value[i] = n_gen / tg;
        } else
            s->row[at[0]].value[i] = (n_prompt + n_gen) / (pp + tg);
    }
    return 0;
}

static size_t kv_bytes(const struct run *r, int kv_type)
{
    const struct hparams *h = &r->f.m->h;
    return 2 * kn_row_bytes(kv_type, (size_t)h->n_head_kv * (size_t)h->head_dim) * KN_TILE *
           (size_t)h->n_layer * (size_t)r->f.n_block;
}

int speed_run(struct speed *s, const struct model *m, const struct speed_conf *c,
              const struct speed_test *t, struct err *e)
{
    struct run r;
    int at[2], first = s->n, rc;
    if (speed_ctx(t) > m->n_ctx)
        return err_set(e, ERR_USAGE, "a test of %d positions: the model has %d", speed_ctx(t),
                       m->n_ctx);
    if (t->n_seq > SPEED_SEQS)
        return err_set(e, ERR_USAGE, "%d sequences at once: at most %d", t->n_seq, SPEED_SEQS);
    speed_peak_reset();
    if (!add_rows(s, t, c->reps, at))
        return nomem(e);
    if ((rc = run_new(&r, m, c, t, e)) == 0 && (rc = measure(s, &r, c, at, e)) == 0)
        for (int i = first; i < s->n; i++) {
            struct speed_row *row = &s->row[i];
            row->kv = kv_bytes(&r, c->kv_type);
            row->peak = speed_peak();
            if (row->step)
                qsort(row->step, (size_t)row->n_step, sizeof *row->step, ascending);
        }
    run_free(&r);
    return rc;
}
