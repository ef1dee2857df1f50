/* qa_work - gates on what the model does: answers that are known, tokens a second, and against an earlier report */
#include "chat_model.h"
#include "engine.h"
#include "forward.h"
#include "qa_impl.h"
#include "rng.h"
#include "speed.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int make_request(struct requests *p, const char *prompt, const struct model *m,
                        int max_tokens, struct err *e)
{
    const struct request_defaults d = {.raw = !model_has_chat(m),
                                       .max_tokens = max_tokens,
                                       .n_ctx = m->n_ctx,
                                       .thinking = REQUEST_THINK_AUTO};
    return requests_add_text(p, prompt, m, &d, e);
}

int qa_answers(const struct model *m, const char *const *prompt, int n, int batch, int max_tokens,
               char **text, struct err *e)
{
    struct requests *p = calloc((size_t)n, sizeof *p);
    struct engine *g = NULL;
    const struct engine_result *r;
    int rc = p ? 0 : err_set(e, ERR_NOMEM, "out of memory"), made = 0, longest = 1, more = 1;
    memset(text, 0, (size_t)n * sizeof *text);
    for (; rc == 0 && made < n; made += rc == 0)
        if ((rc = make_request(&p[made], prompt[made], m, max_tokens, e)) == 0 &&
            p[made].longest > longest)
            longest = p[made].longest;
    const struct engine_opts o = {.batch = batch, .n_ctx = longest, .kv_type = KN_F32};
    rc = rc ? rc : engine_new(&g, m, &o, e);
    for (int i = 0; rc == 0 && i < n; i++) {
        const struct engine_request q = {.ids = p[i].v->ids,
                                         .n_ids = p[i].v->n_ids,
                                         .max_tokens = p[i].v->max_tokens,
                                         .sampler = {.top_p = 1, .repeat_penalty = 1},
                                         .key = rng_key(0, "qa", (uint64_t)i),
                                         .think_budget = -1,
                                         .tag = &text[i]};
        rc = engine_add(g, &q, e);
    }
    while (rc == 0 && more) {
        if ((more = engine_step(g, e)) < 0)
            rc = more;
        for (; rc == 0 && (r = engine_result(g)); engine_release(g, r))
            if (!(*(char **)r->tag = strndup(r->text ? r->text : "", r->n_text)))
                rc = err_set(e, ERR_NOMEM, "out of memory");
    }
    engine_free(g);
    for (int i = 0; i < made; i++)
        requests_free(&p[i]);
    for (int i = 0; rc < 0 && i < n; i++) {
        free(text[i]);
        text[i] = NULL;
    }
    free(p);
    return rc;
}

int qa_logits(const struct model *m, const char *prompt, float **x, int32_t **ids, int *n_tok,
              struct err *e)
{
    struct requests p;
    struct forward f;
    int rc = make_request(&p, prompt, m, 1, e), n, blocks;
    if (rc < 0)
        return rc;
    n = *n_tok = p.v->n_ids;
    blocks = (n + KN_TILE - 1) / KN_TILE;
    int32_t *at = calloc(3 * (size_t)n + (size_t)blocks, sizeof *at), *block = at + 3 * n;
    const size_t values = (size_t)n * (size_t)m->h.n_vocab;
    *ids = malloc((size_t)n * sizeof **ids);
    *x = malloc(values * sizeof **x);
    if (!at || !*ids || !*x)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else if ((rc = forward_new(&f, m, n, 1, n, blocks, blocks, KN_F32, e)) == 0) {
        const struct kn_rows rows = {.n_tok = n,
                                     .n_seq = 1,
                                     .n_out = n,
                                     .tok = *ids,
                                     .pos = at,
                                     .seq = at + n,
                                     .out = at + 2 * n,
                                     .rope = at,
                                     .blocks = block};
        memcpy(*ids, p.v->ids, (size_t)n * sizeof **ids);
        for (int i = 0; i < n; i++)
            at[i] = at[2 * n + i] = i;
        for (int i = 0; i < blocks; i++)
            block[i] = i;
        if ((rc = forward_step(&f, &rows, e)) == 0 &&
            (rc = kn_read(f.d, *x, f.logits, values * sizeof **x)) < 0)
            err_set(e, ERR_SOFTWARE, "%s: %s", f.d->name, kn_strerror(rc));
        forward_free(&f);
    }
    free(at);
    requests_free(&p);
    if (rc < 0) {
        free(*ids);
        free(*x);
        *ids = NULL;
        *x = NULL;
    }
    return rc;
}

struct qa_near qa_compare(const float *a, const float *b, int n_tok, int n_vocab)
{
    struct qa_near d = {.cosine = 1, .n = n_tok, .finite = 1};
    for (int t = 0; t < n_tok; t++, a += n_vocab, b += n_vocab) {
        double ab = 0, aa = 0, bb = 0;
        int ia = 0, ib = 0;
        for (int i = 0; i < n_vocab; i++) {
            d.finite &= isfinite(a[i]) && isfinite(b[i]);
            ab += (double)a[i] * b[i];
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
            d.most = fmax(d.most, fabs((double)a[i] - b[i]));
            ia = a[i] > a[ia] ? i : ia;
            ib = b[i] > b[ib] ? i : ib;
        }
        const double c = aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
        d.cosine = c < d.cosine ? c : d.cosine;
        d.same += ia == ib;
    }
    return d;
}

/* ---- answers that are known ---- */

static int applies(const struct qa_job *j, const struct qa_case *x)
{
    return x->model ? strncmp(j->q->name, x->model, strlen(x->model)) == 0 : model_has_chat(&j->m);
}

void qa_golden(struct qa_job *j, struct qa_gate *g)
{
    const struct qa_conf *c = j->c;
    const struct qa_case **use = calloc((size_t)c->n_golden + 1, sizeof *use);
    const char **prompt = calloc((size_t)c->n_golden + 1, sizeof *prompt);
    char **text = calloc((size_t)c->n_golden + 1, sizeof *text);
    struct err e = {0};
    int n = 0, right = 0, wrong = -1, own = 0;
    for (int i = 0; use && i < c->n_golden; i++) /* cases of this very model stand for the others */
        own |= c->golden[i].model && applies(j, &c->golden[i]);
    for (int i = 0; use && prompt && i < c->n_golden; i++)
        if (applies(j, &c->golden[i]) && (!own || c->golden[i].model)) {
            use[n] = &c->golden[i];
            prompt[n++] = c->golden[i].prompt;
        }
    if (!use || !prompt || !text)
        qa_say(g, QA_FAIL, "out of memory");
    else if (!n)
        qa_say(g, QA_SKIP, "no case for the model \"%s\", which has no chat template", j->q->name);
    else if (qa_answers(&j->m, prompt, n, 1, c->golden_tokens, text, &e) < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else {
        for (int i = 0; i < n; i++) {
            const int good = use[i]->exact ? strcmp(text[i], use[i]->expect) == 0
                                           : strstr(text[i], use[i]->expect) != NULL;
            right += good;
            wrong = good || wrong >= 0 ? wrong : i;
        }
        if (wrong < 0)
            qa_say(g, QA_PASS, "%d of %d answers as they must be", right, n);
        else
            qa_say(g, QA_FAIL,
                   "%d of %d answers as they must be; to \"%.60s\": expected %s\"%.80s\", found "
                   "\"%.120s\"",
                   right, n, use[wrong]->prompt, use[wrong]->exact ? "" : "a text with ",
                   use[wrong]->expect, text[wrong]);
        g->value = right;
        g->threshold = n;
        g->unit = "cases";
    }
    for (int i = 0; text && i < n; i++)
        free(text[i]);
    free(text);
    free(prompt);
    free(use);
}

/* ---- speed ---- */

double qa_rate(const struct model *m, const struct qa_conf *c, struct qa_gate *g)
{
    const struct speed_conf sc = {
        .reps = c->reps, .warmup = 1, .chunk = ENGINE_CHUNK, .kv_type = KN_F32, .seed = 1};
    const struct speed_test t = {.n_seq = 1, .n_gen = c->tokens < m->n_ctx ? c->tokens : m->n_ctx};
    struct speed s = {0};
    struct err e = {0};
    double rate = NAN;
    if (speed_run(&s, m, &sc, &t, &e) < 0)
        qa_say(g, QA_FAIL, "%s", e.msg);
    else
        rate = speed_sum(s.row[0].value, s.row[0].n).median;
    speed_free(&s);
    return rate;
}

void qa_throughput(struct qa_job *j, struct qa_gate *g)
{
    const double rate = qa_rate(&j->m, j->c, g);
    if (isnan(rate))
        return;
    g->value = rate;
    g->threshold = j->c->min_tok_s;
    g->unit = "tok/s";
    qa_say(g, rate >= g->threshold ? QA_PASS : QA_FAIL,
           "%.1f tokens a second, one by one, median of %d runs of %d; at least %g on %d threads",
           rate, j->c->reps, j->c->tokens, g->threshold, j->dev->n_threads);
}

/* Against the report of an earlier run on the same device and threads. */
void qa_regression(struct qa_job *j, struct qa_gate *g)
{
    const struct qa_previous *p = &j->previous;
    const struct qa_gate *now = &j->q->gate[QA_THROUGHPUT];
    if (!p->there)
        qa_say(g, QA_SKIP, "no earlier report to compare with (--previous-report)");
    else if (isnan(p->tok_s))
        qa_say(g, QA_SKIP, "the earlier report has no throughput");
    else if (isnan(now->value))
        qa_say(g, QA_SKIP, "the throughput was not measured");
    else if (strcmp(p->device, j->dev->name) || p->threads != j->dev->n_threads)
        qa_say(g, QA_SKIP, "the earlier report is of %s with %d threads, this run of %s with %d",
               p->device, p->threads, j->dev->name, j->dev->n_threads);
    else {
        g->value = now->value / p->tok_s;
        g->threshold = 1 - j->c->max_drop;
        g->unit = "x";
        qa_say(g, g->value >= g->threshold ? QA_PASS : QA_FAIL,
               "%.1f tokens a second, %.1f in the earlier report: %.3f of it, at least %.3f",
               now->value, p->tok_s, g->value, g->threshold);
    }
    for (int i = 0; g->status == QA_PASS && i < QA_N; i++)
        if (p->passed[i] && j->q->gate[i].status == QA_FAIL)
            qa_say(g, QA_FAIL, "%s passed in the earlier report and fails now", j->q->gate[i].name);
}
