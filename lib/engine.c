/* engine - continuous batching: admission by KV blocks, mixed prefill and decode, results in order
 *
 * Invariants
 *  1. ids[0..n_done-1] of a sequence are in the cache; n_done < n_ids while it is active.
 *  2. Blocks still to come for all active sequences (`owed`) never exceed what the cache can give,
 * so taking one inside a step cannot fail and nothing is ever thrown out half done.
 *  3. A sequence that shares blocks waits until they are filled; their owner was admitted before it
 * and runs before it, so the wait ends. */
#include "engine.h"
#include "answer.h"
#include "forward.h"
#include "kvcache.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_CHUNK = 512 }; /* rows at which a CPU's matmuls are at full speed */

struct seq {
    struct engine_request req;
    struct engine_result res;
    struct seq *next;  /* queue, or results in order */
    struct seq *newer; /* finished, in order of finishing */
    int finished;
    int32_t *ids; /* (n_prompt + max_new) */
    int n_ids, n_prompt, max_new, n_done;
    int n_block;    /* blocks held */
    int need;       /* blocks that it may come to hold */
    int n_shared;   /* of them taken from others: to be waited for */
    int copy_from;  /* a partly filled block to copy first, held; -1 none */
    int rows, out;  /* of this step; out: its index among the logits rows, -1 none */
    int32_t *block; /* (max_blocks) the place's row of the table */
    double *logprob;
    double start;
    struct answer answer;
};
struct engine {
    const struct model *m;
    struct engine_opts o;
    struct forward f;
    struct kvcache kv;
    struct sampler_scratch *scratch;
    struct seq **active; /* (batch) in order of admission */
    int32_t **table;     /* (batch) free rows of the block tables are beyond n_active */
    int n_active, owed, max_blocks, n_queued;
    struct seq *queue, *queue_end; /* waiting */
    struct seq *order, *order_end; /* all that have no result taken, in order of the requests */
    struct seq *fin, *fin_end;     /* finished, unordered */
    int32_t *tok, *pos, *seq, *out, *blocks; /* the step's batch */
    float *logits;                           /* where the device's memory is not ours */
    struct engine_stats stats;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int blocks_for(int positions)
{
    return (positions + KN_TILE - 1) / KN_TILE;
}

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
        g->o.chunk = DEFAULT_CHUNK;
    if (g->o.chunk < o->batch)
        g->o.chunk = o->batch;
    g->max_blocks = blocks_for(o->n_ctx);
    if (g->o.n_block <= 0)
        g->o.n_block = o->batch * g->max_blocks;
    rows = (size_t)g->o.chunk;
    if ((rc = forward_new(&g->f, m, g->o.chunk, o->batch, o->batch, g->max_blocks, g->o.n_block,
                          o->kv_type, e)) < 0)
        goto fail;
    g->scratch = sampler_scratch_new(m->h.n_vocab);
    g->active = calloc(batch, sizeof *g->active);
    g->table = calloc(batch, sizeof *g->table);
    g->tok = calloc(rows, sizeof *g->tok);
    g->pos = calloc(rows, sizeof *g->pos);
    g->seq = calloc(rows, sizeof *g->seq);
    g->out = calloc(batch, sizeof *g->out);
    g->blocks = calloc(batch * (size_t)g->max_blocks, sizeof *g->blocks);
    int ok = kvcache_init(&g->kv, g->o.n_block) == 0 && g->scratch && g->active && g->table &&
             g->tok && g->pos && g->seq && g->out && g->blocks;
    for (size_t i = 0; ok && i < batch; i++)
        ok = (g->table[i] = calloc((size_t)g->max_blocks, sizeof **g->table)) != NULL;
    if (ok && !kn_host(m->dev, g->f.logits))
        ok = (g->logits = malloc(batch * (size_t)m->h.n_vocab * sizeof *g->logits)) != NULL;
    if (!ok) {
        rc = nomem(e);
        goto fail;
    }
    *out = g;
    return 0;
fail:
    engine_free(g);
    return rc;
}

static void seq_free(struct seq *s)
{
    answer_end(&s->answer);
    free(s->ids);
    free(s->logprob);
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
    free(g->out);
    free(g->blocks);
    free(g->logits);
    free(g);
}

int engine_add(struct engine *g, const struct engine_request *r, struct err *e)
{
    int room = g->o.n_ctx - r->n_ids;
    if (r->n_ids < 1)
        return err_set(e, ERR_DATA, "the prompt has no tokens");
    if (room < 1)
        return err_set(e, ERR_DATA, "the prompt has %d tokens, the context %d positions", r->n_ids,
                       g->o.n_ctx);
    struct seq *s = calloc(1, sizeof *s);
    if (!s)
        return nomem(e);
    s->req = *r;
    s->n_prompt = r->n_ids;
    s->max_new = r->max_tokens < room ? r->max_tokens : room;
    s->need = blocks_for(s->n_prompt + s->max_new - 1); /* the last token is never fed back */
    s->copy_from = -1;
    if (s->need > g->o.n_block) {
        int need = s->need;
        free(s);
        return err_set(e, ERR_DATA, "the prompt and its answer need %d KV blocks, there are %d",
                       need, g->o.n_block);
    }
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

/* Take what the cache knows of the prompt's beginning, all but its last token: whole blocks to
 * hold, and a partly filled one to copy. */
static void share(struct engine *g, struct seq *s)
{
    const int32_t *ids = s->req.ids;
    int full = (s->n_prompt - 1) / KN_TILE, tail = (s->n_prompt - 1) % KN_TILE;
    uint64_t chain = 0;
    while (s->n_block < full) {
        int b = kvcache_find(&g->kv, chain, ids + s->n_block * KN_TILE, KN_TILE);
        if (b < 0)
            break;
        kvcache_hold(&g->kv, b);
        chain = g->kv.block[b].hash;
        s->block[s->n_block++] = b;
    }
    s->n_shared = s->n_block;
    s->n_done = s->n_block * KN_TILE;
    if (s->n_block == full && tail) {
        int b = kvcache_find(&g->kv, chain, ids + full * KN_TILE, tail);
        if (b >= 0) {
            kvcache_hold(&g->kv, b);
            s->copy_from = b;
            s->n_done += tail;
        }
    }
}

static void unshare(struct engine *g, struct seq *s)
{
    for (int b = s->n_block - 1; b >= 0; b--)
        kvcache_drop(&g->kv, s->block[b]);
    if (s->copy_from >= 0)
        kvcache_drop(&g->kv, s->copy_from);
    s->n_block = s->n_shared = s->n_done = 0;
    s->copy_from = -1;
}

/* Blocks for the rest of the prompt, entered as promises for those who come after. */
static void take_prompt_blocks(struct engine *g, struct seq *s)
{
    const int32_t *ids = s->req.ids;
    int n = blocks_for(s->n_prompt);
    uint64_t chain = s->n_block ? g->kv.block[s->block[s->n_block - 1]].hash : 0;
    g->owed += s->need - s->n_block;
    while (s->n_block < n) {
        int b = kvcache_take(&g->kv), at = s->n_block * KN_TILE;
        int left = s->n_prompt - 1 - at, k = left < KN_TILE ? left : KN_TILE;
        if (k > 0) {
            kvcache_enter(&g->kv, b, chain, ids + at, k);
            chain = kvcache_chain(chain, ids + at, k);
        }
        s->block[s->n_block++] = b;
        g->owed--;
    }
}

static int begin(struct engine *g, struct seq *s, struct err *e)
{
    const struct engine_request *r = &s->req;
    s->ids = malloc((size_t)(s->n_prompt + s->max_new) * sizeof *s->ids);
    if (r->logprobs)
        s->logprob = calloc((size_t)s->max_new, sizeof *s->logprob);
    if (!s->ids || (r->logprobs && !s->logprob))
        return nomem(e);
    memcpy(s->ids, r->ids, (size_t)s->n_prompt * sizeof *s->ids);
    s->n_ids = s->n_prompt;
    s->start = now();
    g->stats.prompt += (uint64_t)s->n_prompt;
    g->stats.shared += (uint64_t)s->n_done;
    return answer_begin(&s->answer, g->m->tok, r->stop, r->n_stop, r->think_budget, r->prefill,
                        r->ids, r->n_ids, e);
}

/* In order of the requests, as long as there is a place and blocks for the longest answer. */
static int admit(struct engine *g, struct err *e)
{
    while (g->queue && g->n_active < g->o.batch) {
        struct seq *s = g->queue;
        s->block = g->table[g->n_active];
        share(g, s);
        int rest = s->need - s->n_block;
        if (kvcache_left(&g->kv) - g->owed < rest) {
            int copy = s->copy_from;
            if (copy < 0 || g->n_active) {
                unshare(g, s);
                return 0;
            }
            kvcache_drop(&g->kv,
                         copy); /* alone, and the block to copy is the one that is missing */
            s->copy_from = -1;
            s->n_done = s->n_block * KN_TILE;
        }
        take_prompt_blocks(g, s);
        int rc = begin(g, s, e);
        if (rc < 0)
            return rc;
        g->active[g->n_active++] = s;
        g->queue = s->next;
        g->n_queued--;
    }
    return 0;
}

/* 1 once all that the sequence shares is there; copies the partly filled block. */
static int ready(struct engine *g, struct seq *s, int *rc)
{
    while (s->n_shared && g->kv.block[s->block[s->n_shared - 1]].filled)
        s->n_shared--;
    if (s->n_shared)
        return 0;
    if (s->copy_from >= 0) {
        int dst = s->block[(s->n_prompt - 1) / KN_TILE];
        if (!g->kv.block[s->copy_from].filled)
            return 0;
        *rc = kn_kv_copy(g->m->dev, g->f.kv, dst, s->copy_from);
        kvcache_drop(&g->kv, s->copy_from);
        s->copy_from = -1;
    }
    return 1;
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
        g->seq[r->n_tok++] = r->n_seq;
    }
    r->n_seq++;
    s->rows = n;
    if (s->n_done + n == s->n_ids) {
        s->out = r->n_out;
        g->out[r->n_out++] = r->n_tok - 1;
    }
}

/* One row for each sequence that decodes, then prompts in order of admission. */
static int plan(struct engine *g, struct kn_rows *r, struct err *e)
{
    int rc = 0, n_decode = 0;
    *r = (struct kn_rows){
        .tok = g->tok, .pos = g->pos, .seq = g->seq, .out = g->out, .blocks = g->blocks};
    for (int i = 0; i < g->n_active; i++) {
        struct seq *s = g->active[i];
        s->rows = 0;
        s->out = -1;
        n_decode += s->n_ids > s->n_prompt;
    }
    for (int i = 0; i < g->n_active && rc == 0; i++) {
        struct seq *s = g->active[i];
        int left = g->o.chunk - r->n_tok - n_decode, want = s->n_ids - s->n_done;
        if (s->n_ids > s->n_prompt) {
            add_rows(g, r, s, 1);
            n_decode--;
        } else if (left > 0 && ready(g, s, &rc) && rc == 0) {
            add_rows(g, r, s, want < left ? want : left);
        }
    }
    return rc < 0 ? err_set(e, ERR_SOFTWARE, "%s: %s", g->m->dev->name, kn_strerror(rc)) : 0;
}

static int is_stop(const struct hparams *h, int32_t id)
{
    for (int i = 0; i < h->n_stop; i++)
        if (h->stop[i] == id)
            return 1;
    return 0;
}

/* The next token of s from its logits. 1: the sequence ends with it. */
static int next_token(struct engine *g, struct seq *s, float *logits, struct err *e)
{
    int n_new = s->n_ids - s->n_prompt, stopped;
    double *lp = s->logprob ? &s->logprob[n_new] : NULL;
    int32_t id = answer_forced(&s->answer);
    if (id >= 0 && lp)
        *lp = sampler_logprob(logits, g->m->n_real, id);
    else if (id < 0)
        id = sampler_next(&s->req.sampler, g->scratch, logits, g->m->h.n_vocab, g->m->n_real,
                          s->ids, s->n_ids, s->req.key, (uint64_t)s->n_ids, lp);
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
                                    .seconds = now() - s->start};
    s->finished = 1;
    *(g->fin_end ? &g->fin_end->newer : &g->fin) = s;
    g->fin_end = s;
    g->n_active--;
    memmove(g->active + i, g->active + i + 1, (size_t)(g->n_active - i) * sizeof *g->active);
    memmove(g->table + i, g->table + i + 1, (size_t)(g->n_active - i) * sizeof *g->table);
    g->table[g->n_active] = row;
}

static void advance(struct engine *g, struct seq *s)
{
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
    float *logits = g->logits;
    int rc;
    if ((rc = admit(g, e)) < 0)
        return rc;
    if (!g->n_active)
        return 0;
    if ((rc = plan(g, &r, e)) < 0)
        return rc;
    assert(r.n_tok > 0); /* invariant 3 */
    if ((rc = forward_step(&g->f, &r, e)) < 0)
        return rc;
    g->stats.steps++;
    g->stats.rows += (uint64_t)r.n_tok;
    if (r.n_out) {
        if (logits)
            rc = kn_read(g->m->dev, logits, g->f.logits,
                         (size_t)r.n_out * (size_t)g->m->h.n_vocab * sizeof *logits);
        else if ((rc = kn_sync(g->m->dev)) == 0)
            logits = kn_host(g->m->dev, g->f.logits);
        if (rc < 0)
            return err_set(e, ERR_SOFTWARE, "%s: %s", g->m->dev->name, kn_strerror(rc));
    }
    for (int i = 0; i < g->n_active;) {
        struct seq *s = g->active[i];
        advance(g, s);
        rc =
            s->out < 0 ? 0 : next_token(g, s, logits + (size_t)s->out * (size_t)g->m->h.n_vocab, e);
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
