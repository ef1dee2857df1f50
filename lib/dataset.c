/* dataset - JSONL to samples, samples to packed rows */
#include "dataset.h"
#include "chat_model.h"
#include "rng.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int put(struct dataset *d, const int32_t *ids, size_t n, struct err *e)
{
    if (d->n_ids + n > d->cap_ids) {
        size_t cap = (d->n_ids + n) * 3 / 2 + 1024;
        int32_t *p = realloc(d->ids, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_NOMEM, "dataset: %zu ids", cap);
        d->ids = p;
        d->cap_ids = cap;
    }
    if (n)
        memcpy(d->ids + d->n_ids, ids, n * sizeof *ids);
    d->n_ids += n;
    return 0;
}

static int put_sample(struct dataset *d, const struct chat *chat, const cJSON *v, int max_len,
                      struct err *e)
{
    const char *system = json_get_str(v, "system", NULL, e);
    const char *instruction = json_get_str(v, "instruction", NULL, e);
    const char *response = json_get_str(v, "response", NULL, e);
    struct chat_msg msg[2] = {{"system", system}, {"user", instruction}};
    int32_t *ids = NULL;
    struct dataset_sample s = {.at = d->n_ids};
    long n_prompt;
    int rc;
    if (e->code)
        return e->code;
    if (!instruction || !response)
        return err_set(e, ERR_DATA, "no \"%s\", expected {\"instruction\", \"response\"}",
                       instruction ? "response" : "instruction");
    if (!*response)
        return err_set(e, ERR_DATA, "the response is empty: nothing to learn from");
    long n = chat_train(chat, system ? msg : msg + 1, system ? 2 : 1, response, &ids, &n_prompt, e);
    if (n < 0)
        return (int)n;
    rc = put(d, ids, (size_t)n, e);
    free(ids);
    if (rc)
        return rc;
    if (d->n_ids - s.at > INT_MAX / 2)
        return err_set(e, ERR_DATA, "a sample of %zu tokens", d->n_ids - s.at);
    s.n = (int)(d->n_ids - s.at);
    s.n_prompt = (int)n_prompt;
    if (s.n > max_len) {
        d->n_ids = s.at + (size_t)max_len;
        s.n = max_len;
        if (s.n_prompt >= max_len) {
            d->n_ids = s.at;
            d->left_out++;
            return 0;
        }
        d->truncated++;
    }
    if (d->n == d->cap) {
        int cap = d->cap ? 2 * d->cap : 256;
        struct dataset_sample *p = realloc(d->s, (size_t)cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_NOMEM, "dataset: %d samples", cap);
        d->s = p;
        d->cap = cap;
    }
    d->s[d->n++] = s;
    d->n_loss += s.n - s.n_prompt;
    d->longest = s.n > d->longest ? s.n : d->longest;
    return 0;
}

int dataset_load(struct dataset *d, const char *path, const struct model *m, int max_len,
                 struct err *e)
{
    struct jsonl r;
    struct chat *chat;
    int rc;
    memset(d, 0, sizeof *d);
    if (!m->tok || !model_has_chat(m))
        return err_set(e, ERR_DATA, "%s: training data needs a tokenizer and a chat template",
                       m->file.path ? m->file.path : "model");
    if ((rc = model_chat(&chat, m, e)) < 0)
        return rc;
    if ((rc = jsonl_open(&r, path, e)) < 0) {
        chat_free(chat);
        return rc;
    }
    while ((rc = jsonl_next(&r, e)) > 0)
        if ((rc = put_sample(d, chat, r.v, max_len, e)) < 0) {
            err_prefix(e, "%s:%ld", path, r.lineno);
            break;
        }
    jsonl_close(&r);
    chat_free(chat);
    for (size_t i = 0; rc == 0 && i < d->n_ids; i++)
        if (d->ids[i] < 0 || d->ids[i] >= m->h.n_vocab)
            rc = err_set(e, ERR_DATA, "%s: token %d is beyond the model's %d", path, d->ids[i],
                         m->h.n_vocab);
    if (rc == 0 && d->n == 0)
        rc = err_set(e, ERR_DATA, "%s: no sample to learn from (%ld left out)", path, d->left_out);
    if (rc)
        dataset_free(d);
    return rc;
}

void dataset_free(struct dataset *d)
{
    free(d->ids);
    free(d->s);
    memset(d, 0, sizeof *d);
}

void dataset_order(uint32_t *order, int n, uint64_t seed, long epoch)
{
    struct rng r = {rng_key(seed, "epoch order", (uint64_t)epoch), 0};
    for (int i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    rng_shuffle(&r, order, (size_t)n);
}

/* ---- packs ---- */

struct item { /* a sample and its bin */
    uint32_t sample;
    int rows, at, bin; /* at: its place in `which`, for a stable order */
};

static int longer_first(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    return a->rows != b->rows ? (a->rows < b->rows) - (a->rows > b->rows)
                              : (a->at > b->at) - (a->at < b->at);
}

static int fill_bins(struct item *it, int n, int max_rows, int *used)
{
    int n_bin = 0;
    qsort(it, (size_t)n, sizeof *it, longer_first);
    for (int i = 0; i < n; i++) {
        int best = -1;
        for (int j = 0; j < n_bin; j++)
            if (used[j] + it[i].rows <= max_rows && (best < 0 || used[j] > used[best]))
                best = j;
        if (best < 0)
            used[best = n_bin++] = 0;
        it[i].bin = best;
        used[best] += it[i].rows;
    }
    return n_bin;
}

static void put_rows(struct dataset_packs *p, const struct dataset *d, const struct item *it,
                     int *row)
{
    const struct dataset_sample *s = &d->s[it->sample];
    int from = p->start[it->bin], first = *row;
    for (int t = 0; t < it->rows; t++, (*row)++) {
        p->ids[*row] = d->ids[s->at + (size_t)t];
        p->doc[*row] = first - from;
        p->label[*row] = t + 1 >= s->n_prompt ? d->ids[s->at + (size_t)t + 1] : -1;
        p->n_loss += p->label[*row] >= 0;
    }
}

int dataset_pack(struct dataset_packs *p, const struct dataset *d, const uint32_t *which, int n,
                 int max_rows, struct err *e)
{
    struct item *it = calloc((size_t)n + 1, sizeof *it);
    int *used = calloc((size_t)n + 1, sizeof *used), rc = 0;
    memset(p, 0, sizeof *p);
    for (int i = 0; it && i < n; i++) {
        it[i] = (struct item){.sample = which[i], .rows = d->s[which[i]].n - 1, .at = i};
        p->n_rows += it[i].rows;
        if (it[i].rows > max_rows)
            rc = err_set(e, ERR_SOFTWARE, "a sample of %d rows, packs of %d", it[i].rows, max_rows);
    }
    size_t rows = (size_t)p->n_rows + 1;
    p->start = calloc((size_t)n + 1, sizeof *p->start);
    p->ids = malloc(rows * sizeof *p->ids);
    p->doc = malloc(rows * sizeof *p->doc);
    p->label = malloc(rows * sizeof *p->label);
    if (!it || !used || !p->start || !p->ids || !p->doc || !p->label)
        rc = err_set(e, ERR_NOMEM, "a batch of %ld rows", p->n_rows);
    if (rc == 0) {
        p->n_pack = fill_bins(it, n, max_rows, used);
        for (int j = 0; j < p->n_pack; j++)
            p->start[j + 1] = p->start[j] + used[j];
        memcpy(used, p->start, (size_t)p->n_pack * sizeof *used); /* now the next free row */
        for (int i = 0; i < n; i++)
            put_rows(p, d, &it[i], &used[it[i].bin]);
    } else
        dataset_packs_free(p);
    free(it);
    free(used);
    return rc;
}

void dataset_packs_free(struct dataset_packs *p)
{
    free(p->start);
    free(p->ids);
    free(p->doc);
    free(p->label);
    memset(p, 0, sizeof *p);
}
