/* engine - continuous batching: the queue, the mixed batch of a step, results in order */
#include "dev.h"
#include "engine_impl.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Blocks of past prompts that are kept for later ones: a long header's worth. */
enum { KEPT = 128 };

static int nomem(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

int engine_new(struct engine **out, const struct model *m, const struct engine_opts *o,
               struct err *e)
{
    struct engine *g = calloc(1, sizeof *g);
    size_t batch = (size_t)o->batch, rows;
    int rc;
    if (!g)
        return nomem(e);
    g->m = m;
    g->o = *o;
    if (g->o.chunk <= 0)
        g->o.chunk = ENGINE_CHUNK;
    if (g->o.chunk < o->batch)
        g->o.chunk = o->batch;
    g->max_blocks = engine_blocks(o->n_ctx);
    if (g->o.n_block <= 0)
        g->o.n_block = o->batch * g->max_blocks;
    rows = (size_t)g->o.chunk;
    if ((rc = forward_new(&g->f, m, g->o.chunk, o->batch, o->batch, g->max_blocks, g->o.n_block,
                          o->kv_type, e)) < 0)
        goto fail;
    if ((g->o.top || m->dev->ops->top) && (rc = forward_top(&g->f, e)) < 0)
        goto fail;
    g->scratch = sampler_scratch_new(m->h.n_vocab);
    g->active = calloc(batch, sizeof *g->active);
    g->table = calloc(batch, sizeof *g->table);
    g->tok = calloc(rows, sizeof *g->tok);
    g->pos = calloc(rows, sizeof *g->pos);
    g->seq = calloc(rows, sizeof *g->seq);
    g->rope = calloc(rows, sizeof *g->rope);
    g->adapter = calloc(rows, sizeof *g->adapter);
    g->out = calloc(batch, sizeof *g->out);
    g->blocks = calloc(batch * (size_t)g->max_blocks, sizeof *g->blocks);
    int ok = kvcache_init(&g->kv, g->o.n_block) == 0 && g->scratch && g->active && g->table &&
             g->tok && g->pos && g->seq && g->rope && g->adapter && g->out && g->blocks;
    for (size_t i = 0; ok && i < batch; i++)
        ok = (g->table[i] = calloc((size_t)g->max_blocks, sizeof **g->table)) != NULL;
    if (ok && !kn_host(m->dev, g->f.logits))
        ok = (g->logits = malloc((g->f.top.buf ? 1 : batch) * (size_t)m->h.n_vocab *
                                 sizeof *g->logits)) != NULL;
    if (!ok) {
        rc = nomem(e);
        goto fail;
    }
    g->kv.max_kept = g->max_blocks > KEPT ? g->max_blocks : KEPT;
    *out = g;
    return 0;
fail:
    engine_free(g);
    return rc;
}

static void seq_free(struct seq *s)
{
    answer_end(&s->answer);
    free(s);
}

void engine_free(struct engine *g)
{
    if (!g)
        return;
    for (struct seq *s = g->order, *next; s; s = next) {
        next = s->next;
        seq_free(s);
    }
    for (int i = 0; g->table && i < g->o.batch; i++)
        free(g->table[i]);
    sampler_scratch_free(g->scratch);
    kvcache_fini(&g->kv);
    forward_free(&g->f);
    free(g->active);
    free(g->table);
    free(g->tok);
    free(g->pos);
    free(g->seq);
    free(g->rope);
    free(g->adapter);
    free(g->out);
    free(g->blocks);
    free(g->logits);
    free(g);
}

int engine_positions(int n_ids, int max_tokens, int n_ctx)
{
    const int room = n_ctx - n_ids;
    return n_ids + (max_tokens < room ? max_tokens : room) - 1; /* the last is never fed back */
}

/* A sequence with its ids and log-probabilities behind it, and an answer with room for its text. */
static int seq_new(struct seq **out, const struct engine *g, const struct engine_request *r,
                   struct err *e)
{
    const int room = g->o.n_ctx - r->n_ids, max_new = r->max_tokens < room ? r->max_tokens : room;
    const size_t lp = r->logprobs ? (size_t)max_new * sizeof(double) : 0,
                 ids = (size_t)(r->n_ids + max_new) * sizeof(int32_t);
    struct seq *s = calloc(1, sizeof *s + lp + ids);
    if (!s)
        return nomem(e);
    s->req = *r;
    s->n_prompt = s->n_ids = r->n_ids;
    s->max_new = max_new;
    s->need = engine_blocks(engine_positions(r->n_ids, r->max_tokens, g->o.n_ctx));
    s->rope = model_rope_shift(g->m, engine_positions(r->n_ids, r->max_tokens, g->o.n_ctx));
    s->copy_from = -1;
    s->logprob = lp ? (double *)(void *)(s + 1) : NULL;
    s->ids = (int32_t *)(void *)((char *)(s + 1) + lp);
    memcpy(s->ids, r->ids, (size_t)r->n_ids * sizeof *s->ids);
    int rc = answer_begin(&s->answer, g->m->tok, r->stop, r->n_stop, r->think_budget, r->prefill,
                          r->ids, r->n_ids, e);
    if (rc == 0 && answer_reserve(&s->answer, (size_t)max_new * ENGINE_TOKEN_BYTES) < 0)
        rc = nomem(e);
    if (rc < 0)
        seq_free(s);
    else
        *out = s;
    return rc;
}

int engine_add(struct engine *g, const struct engine_request *r, struct err *e)
{
    struct seq *s = NULL;
    if (r->n_ids < 1)
        return err_set(e, ERR_DATA, "the prompt has no tokens");
    if (r->n_ids >= g->o.n_ctx)
        return err_set(e, ERR_DATA, "the prompt has %d tokens, the context %d positions", r->n_ids,
                       g->o.n_ctx);
    int need = engine_blocks(engine_positions(r->n_ids, r->max_tokens, g->o.n_ctx));
    if (need > g->o.n_block) {
        const struct hparams *h = &g->m->h;
        const size_t block = forward_bytes(h, 1, 1, 1, 1, 2, g->o.kv_type) -
                             forward_bytes(h, 1, 1, 1, 1, 1, g->o.kv_type);
        return err_set(e, ERR_NOMEM,
                       "the prompt and its answer need %zu bytes of KV cache, there are %zu",
                       (size_t)need * block, (size_t)g->o.n_block * block);
    }
    int rc = seq_new(&s, g, r, e);
    if (rc < 0)
        return rc;
    *(g->order_end ? &g->order_end->next : &g->order) = s;
    g->order_end = s;
    if (!g->queue)
        g->queue = s;
    g->n_queued++;
    return 0;
}

int engine_queued(const struct engine *g)
{
    return g->n_queued;
}

/* Rows of sequence s into the batch. */
static void add_rows(struct engine *g, struct kn_rows *r, struct seq *s, int n)
{
    while (s->n_block * KN_TILE < s->n_done + n) {
        s->block[s->n_block++] = kvcache_take(&g->kv);
        g->owed--;
    }
    memcpy(g->blocks + (size_t)r->n_seq * (size_t)g->max_blocks, s->block,
           (size_t)s->n_block * sizeof *g->blocks);
    for (int i = 0; i < n; i++) {
        g->tok[r->n_tok] = s->ids[s->n_done + i];
        g->pos[r->n_tok] = s->n_done + i;
        g->rope[r->n_tok] = s->n_done + i + s->rope;
        g->adapter[r->n_tok] = s->req.adapter - 1;
        g->seq[r->n_tok++] = r->n_seq;
    }
    r->n_seq++;
    s->rows = n;
    if (s->n_done + n == s->n_ids) {
        s->out = r->n_out;
        g->out[r->n_out++] = r->n_tok - 1;
    }
}

/* One row for each sequence that decodes, then prompts, both in order of admission. */
static int plan(struct engine *g, struct kn_rows *r, struct err *e)
{
    int rc = 0;
    *r = (struct kn_rows){
        .tok = g->tok, .pos = g->pos, .seq = g->seq, .out = g->out, .blocks = g->blocks};
    r->rope = g->rope;
    r->adapter = g->m->lora ? g->adapter : NULL;
    for (int i = 0; i < g->n_active; i++) {
        struct seq *s = g->active[i];
        s->rows = 0;
        s->out = -1;
    }
    for (int i = 0; i < g->n_active; i++)
        if (g->active[i]->n_ids > g->active[i]->n_prompt)
            add_rows(g, r, g->active[i], 1);
    r->n_made = r->n_tok;
    for (int i = 0; i < g->n_active && rc == 0; i++) {
        struct seq *s = g->active[i];
        int left = g->o.chunk - r->n_tok, want = s->n_ids - s->n_done;
        if (s->n_ids == s->n_prompt && left > 0 && engine_ready(g, s, &rc) && rc == 0)
            add_rows(g, r, s, want < left ? want : left);
    }
    return rc < 0 ? dev_failed(g->m->dev, "KV cache", rc, e) : 0;
}

static int is_stop(const struct hparams *h, int32_t id)
{
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] == id)
            return 1;
    return 0;
}

/* What a step's logits are seen through: in our memory, or as kn_top left them. */
struct view {
    const struct kn_top *top; /* (n_out), or NULL */
    float *logits;            /* (n_out, n_vocab) without top */
};

/* Of the rows that choose by it alone the most candidates, and all flags: 0 if there are none. */
static int wanted(const struct engine *g, int *flags)
{
    int most = 0, one, k;
    *flags = 0;
    for (int i = 0; i < g->n_active; i++) {
        const struct seq *s = g->active[i];
        if (s->out < 0 ||
            (k = sampler_top(&s->req.sampler, g->m->n_real, s->logprob != NULL, &one)) == 0)
            continue;
        most = k > most ? k : most;
        *flags |= one;
    }
    return most;
}

static int look(struct engine *g, int n_out, struct view *v, struct err *e)
{
    struct kn_dev *dev = g->m->dev;
    int rc, flags;
    *v = (struct view){0};
    if (!n_out)
        return 0;
    if (g->f.top.buf) {
        const int k = wanted(g, &flags);
        return k ? forward_tops(&g->f, k, flags, &v->top, e) : 0;
    }
    v->logits = g->logits;
    if (v->logits)
        rc = kn_read(dev, v->logits, g->f.logits,
                     (size_t)n_out * (size_t)g->m->h.n_vocab * sizeof *v->logits);
    else if ((rc = kn_sync(dev)) == 0)
        v->logits = kn_host(dev, g->f.logits);
    return rc < 0 ? dev_failed(dev, "logits", rc, e) : 0;
}

/* All logits of s. */
static int whole_row(struct engine *g, const struct seq *s, const struct view *v, float **row,
                     struct err *e)
{
    struct kn_dev *dev = g->m->dev;
    const size_t n = (size_t)g->m->h.n_vocab, off = (size_t)s->out * n;
    if (v->logits) {
        *row = v->logits + off;
        return 0;
    }
    const struct kn_at at = kn_plus(g->f.logits, off * sizeof **row);
    const int rc = g->logits ? kn_read(dev, g->logits, at, n * sizeof **row) : kn_sync(dev);
    *row = g->logits ? g->logits : kn_host(dev, at);
    return rc < 0 ? dev_failed(dev, "logits", rc, e) : 0;
}

/* The id that follows s, -1 if a logit is not a number. */
static int choose(struct engine *g, struct seq *s, const struct view *v, double *lp, int32_t *id,
                  struct err *e)
{
    const struct sampler *by = &s->req.sampler;
    const int n_real = g->m->n_real, forced = answer_forced(&s->answer);
    const uint64_t at = (uint64_t)s->n_ids;
    float *logits;
    int flags, rc;
    *id = forced >= 0 && !lp ? forced : SAMPLER_ALL;
    if (forced < 0 && v->top && sampler_top(by, n_real, lp != NULL, &flags))
        *id = sampler_next_top(by, g->scratch, v->top + s->out, n_real, s->req.key, at, lp);
    if (*id != SAMPLER_ALL)
        return 0;
    if ((rc = whole_row(g, s, v, &logits, e)) < 0)
        return rc;
    if (forced >= 0) {
        *lp = sampler_logprob(logits, n_real, forced);
        *id = forced;
    } else
        *id = sampler_next(by, g->scratch, logits, g->m->h.n_vocab, n_real, s->ids, s->n_ids,
                           s->req.key, at, lp);
    return 0;
}

/* The next token of s. 1: the sequence ends with it. */
static int next_token(struct engine *g, struct seq *s, const struct view *v, struct err *e)
{
    int n_new = s->n_ids - s->n_prompt, stopped;
    int32_t id;
    int rc = choose(g, s, v, s->logprob ? &s->logprob[n_new] : NULL, &id, e);
    if (rc < 0)
        return rc;
    if (id < 0)
        return err_set(e, ERR_DATA, "%s: a logit is not a number at position %d", g->m->file.path,
                       s->n_ids - 1);
    s->ids[s->n_ids++] = id;
    n_new++;
    g->stats.generated++;
    if (is_stop(&g->m->h, id)) {
        s->res.finish = ENGINE_STOP;
        return 1;
    }
    if ((stopped = answer_push(&s->answer, id)) < 0)
        return nomem(e);
    if (!stopped && n_new < s->max_new)
        return 0;
    s->res.finish = stopped                      ? ENGINE_STOP
                    : n_new == s->req.max_tokens ? ENGINE_LENGTH
                                                 : ENGINE_CONTEXT;
    return 1;
}

/* Place i becomes free: the result is detached, the blocks go back. */
static void finish(struct engine *g, int i)
{
    struct seq *s = g->active[i];
    int32_t *row = s->block;
    const struct answer *a = &s->answer;
    for (int b = s->n_block - 1; b >= 0;
         b--) /* of kept blocks the beginning of a prompt goes last */
        kvcache_drop(&g->kv, s->block[b]);
    g->owed -= s->need - s->n_block;
    s->res = (struct engine_result){.tag = s->req.tag,
                                    .finish = s->res.finish,
                                    .prompt_tokens = s->n_prompt,
                                    .ids = s->ids + s->n_prompt,
                                    .n_ids = s->n_ids - s->n_prompt,
                                    .logprob = s->logprob,
                                    .text = a->text.p,
                                    .n_text = a->text.n,
                                    .thinking = a->thought.n ? a->thought.p : NULL,
                                    .n_thinking = a->thought.n,
                                    .thinking_open = a->thinking,
                                    .seconds = clock_now() - s->start};
    s->finished = 1;
    *(g->fin_end ? &g->fin_end->newer : &g->fin) = s;
    g->fin_end = s;
    g->n_active--;
    memmove(g->active + i, g->active + i + 1, (size_t)(g->n_active - i) * sizeof *g->active);
    memmove(g->table + i, g->table + i + 1, (size_t)(g->n_active - i) * sizeof *g->table);
    g->table[g->n_active] = row;
}

/* What the step has computed.  Of one that waited nothing: blocks that it shares may be promises still. */
static void advance(struct engine *g, struct seq *s)
{
    if (!s->rows)
        return;
    s->n_done += s->rows;
    if (s->n_done - s->rows >= s->n_prompt)
        return;
    for (int b = 0; b < s->n_block && b * KN_TILE < s->n_prompt; b++) {
        int end = (b + 1) * KN_TILE < s->n_prompt - 1 ? (b + 1) * KN_TILE : s->n_prompt - 1;
        if (s->n_done >= end)
            kvcache_fill(&g->kv, s->block[b]);
    }
}

int engine_step(struct engine *g, struct err *e)
{
    struct kn_rows r;
    struct view v;
    int rc;
    engine_admit(g);
    if (!g->n_active)
        return 0;
    if ((rc = plan(g, &r, e)) < 0)
        return rc;
    assert(r.n_tok > 0); /* invariant 3 */
    if ((rc = forward_step(&g->f, &r, e)) < 0)
        return rc;
    g->stats.steps++;
    g->stats.most_active = g->n_active > g->stats.most_active ? g->n_active : g->stats.most_active;
    g->stats.rows += (uint64_t)r.n_tok;
    if ((rc = look(g, r.n_out, &v, e)) < 0)
        return rc;
    for (int i = 0; i < g->n_active;) {
        struct seq *s = g->active[i];
        advance(g, s);
        rc = s->out < 0 ? 0 : next_token(g, s, &v, e);
        if (rc < 0)
            return rc;
        if (rc)
            finish(g, i);
        else
            i++;
    }
    return g->n_active || g->queue;
}

const struct engine_result *engine_result(struct engine *g)
{
    struct seq *s = g->o.unordered ? g->fin : g->order;
    return s && s->finished ? &s->res : NULL;
}

void engine_release(struct engine *g, const struct engine_result *r)
{
    struct seq *s = (struct seq *)((char *)(uintptr_t)r - offsetof(struct seq, res)),
               *before = NULL;
    if (g->order != s)
        for (before = g->order; before->next != s;)
            before = before->next;
    *(before ? &before->next : &g->order) = s->next;
    if (g->order_end == s)
        g->order_end = before;
    for (struct seq **p = &g->fin, *prev = NULL; *p; prev = *p, p = &(*p)->newer)
        if (*p == s) {
            *p = s->newer;
            if (g->fin_end == s)
                g->fin_end = prev;
            break;
        }
    seq_free(s);
}

struct engine_stats engine_stats(const struct engine *g)
{
    return g->stats;
}

const char *engine_finish_name(enum engine_finish f)
{
    static const char *const names[] = {"stop", "length", "context"};
    return names[f];
}
