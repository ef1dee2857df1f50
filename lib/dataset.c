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

/* ---- records: each task puts a record's ids behind those there and says how many are the prompt's ---- */

static int put_text(struct dataset *d, const struct bpe *b, const char *text, int flags,
                    struct err *e)
{
    int32_t *ids;
    long n = bpe_encode(b, text, strlen(text), flags, &ids, e);
    int rc = n < 0 ? (int)n : put(d, ids, (size_t)n, e);
    free(ids);
    return rc;
}

/* The token that ends a text, if there is one. */
static int put_end(struct dataset *d, const struct model *m, struct err *e)
{
    const int32_t eos = bpe_eos(m->tok), *end = eos >= 0 ? &eos : m->h.stop;
    return eos >= 0 || m->h.n_stop ? put(d, end, 1, e) : 0;
}

static int two_texts(const cJSON *v, const char *key, const char **first, const char **response,
                     struct err *e)
{
    *first = json_get_str(v, key, NULL, e);
    *response = json_get_str(v, "response", NULL, e);
    if (e->code)
        return e->code;
    if (!*first || !*response)
        return err_set(e, ERR_DATA, "no \"%s\", expected {\"%s\", \"response\"}",
                       *first ? "response" : key, key);
    if (!**response)
        return err_set(e, ERR_DATA, "the response is empty: nothing to learn from");
    return 0;
}

static int instruct(struct dataset *d, const struct chat *chat, const cJSON *v, size_t *n_prompt,
                    struct err *e)
{
    const char *system = json_get_str(v, "system", NULL, e), *instruction, *response;
    int32_t *ids = NULL;
    long k;
    if (e->code || two_texts(v, "instruction", &instruction, &response, e))
        return e->code;
    struct chat_msg msg[2] = {{"system", system}, {"user", instruction}};
    long n = chat_train(chat, system ? msg : msg + 1, system ? 2 : 1, response, &ids, &k, e);
    int rc = n < 0 ? (int)n : put(d, ids, (size_t)n, e);
    free(ids);
    *n_prompt = n < 0 ? 0 : (size_t)k;
    return rc;
}

/* Both texts as one, of which the prompt is what begins as it does alone. */
static int completion_whole(struct dataset *d, const struct model *m, const char *prompt,
                            const char *response, size_t *n_prompt, struct err *e)
{
    const size_t at = d->n_ids, a = strlen(prompt), b = strlen(response);
    char *all = malloc(a + b + 1);
    int32_t *ids = NULL;
    int rc = all ? 0 : err_set(e, ERR_NOMEM, "a sample of %zu bytes", a + b);
    if (rc == 0) {
        memcpy(all, prompt, a);
        memcpy(all + a, response, b + 1);
        rc = put_text(d, m->tok, all, BPE_SPECIAL | BPE_BOS, e);
    }
    long n = rc ? rc : bpe_encode(m->tok, prompt, a, BPE_SPECIAL | BPE_BOS, &ids, e);
    *n_prompt = 0;
    while (n >= 0 && *n_prompt < (size_t)n && at + *n_prompt < d->n_ids &&
           ids[*n_prompt] == d->ids[at + *n_prompt])
        ++*n_prompt;
    free(ids);
    free(all);
    return n < 0 ? (int)n : put_end(d, m, e);
}

/* The parts are encoded apart, as they will be when an answer is asked for. */
static int completion(struct dataset *d, const struct model *m, const cJSON *v, size_t *n_prompt,
                      struct err *e)
{
    const size_t at = d->n_ids;
    const char *prompt, *response;
    if (two_texts(v, "prompt", &prompt, &response, e))
        return e->code;
    if (bpe_wants_whole(m->tok))
        return completion_whole(d, m, prompt, response, n_prompt, e);
    if (put_text(d, m->tok, prompt, BPE_SPECIAL | BPE_BOS, e))
        return e->code;
    *n_prompt = d->n_ids - at;
    return put_text(d, m->tok, response, 0, e) ? e->code : put_end(d, m, e);
}

static int put_document(struct dataset *d, const struct model *m, const cJSON *v, struct err *e)
{
    const char *text = json_get_str(v, "text", NULL, e);
    const size_t at = d->n_ids;
    if (e->code)
        return e->code;
    if (!text)
        return err_set(e, ERR_DATA, "no \"text\", expected {\"text\"}");
    if (!*text)
        return err_set(e, ERR_DATA, "the text is empty: nothing to learn from");
    if (d->n_record == d->cap_record) {
        size_t cap = d->cap_record ? 2 * d->cap_record : 256, *p;
        if (cap > UINT32_MAX / 2 || !(p = realloc(d->record, cap * sizeof *p)))
            return err_set(e, ERR_NOMEM, "dataset: %zu documents", cap);
        d->record = p;
        d->cap_record = cap;
    }
    d->record[d->n_record++] = at;
    return put_text(d, m->tok, text, BPE_BOS, e) ? e->code : put_end(d, m, e);
}

/* ---- samples ---- */

static int add_sample(struct dataset *d, const struct dataset_sample *s, struct err *e)
{
    if (d->n == d->cap) {
        int cap = d->cap ? 2 * d->cap : 256;
        struct dataset_sample *p =
            d->cap > INT_MAX / 2 ? NULL : realloc(d->s, (size_t)cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_NOMEM, "dataset: %d samples", cap);
        d->s = p;
        d->cap = cap;
    }
    d->s[d->n++] = *s;
    d->n_loss += s->n_loss;
    d->longest = s->n > d->longest ? s->n : d->longest;
    return 0;
}

/* ---- classes ---- */

/* The label's number, which a set with classes of its own gives it when it is new. */
static int class_of(struct dataset *d, const char *label, const struct dataset *known,
                    struct err *e)
{
    const struct dataset *all = known ? known : d;
    for (int i = 0; i < all->n_label; i++)
        if (strcmp(all->label[i], label) == 0)
            return i;
    if (known)
        return err_set(e, ERR_DATA, "label \"%s\": the training data has none such", label);
    char **more = realloc(d->label, ((size_t)d->n_label + 1) * sizeof *more);
    if (!more)
        return err_set(e, ERR_NOMEM, "dataset: %d labels", d->n_label + 1);
    d->label = more;
    if (!(more[d->n_label] = strdup(label)))
        return err_set(e, ERR_NOMEM, "dataset: label %s", label);
    return d->n_label++;
}

static int classify(struct dataset *d, const struct model *m, const cJSON *v,
                    const struct dataset_conf *c, struct err *e)
{
    const size_t at = d->n_ids, most = (size_t)c->max_len - 1;
    const char *text = json_get_str(v, "text", NULL, e), *label;
    const cJSON *l = cJSON_GetObjectItemCaseSensitive(v, "label");
    char number[32];
    if (e->code)
        return e->code;
    const long whole = cJSON_IsNumber(l) ? json_get_int(v, "label", 0, e) : 0;
    snprintf(number, sizeof number, "%ld", whole);
    label = cJSON_IsString(l) ? l->valuestring : cJSON_IsNumber(l) ? number : NULL;
    if (e->code)
        return e->code;
    if (!text || !label)
        return err_set(e, ERR_DATA, "no \"%s\", expected {\"text\", \"label\"}",
                       text ? "label" : "text");
    if (!*text || !*label)
        return err_set(e, ERR_DATA, "the %s is empty", *text ? "label" : "text");
    if (put_text(d, m->tok, text, BPE_SPECIAL | BPE_BOS, e))
        return e->code;
    if (d->n_ids == at)
        return err_set(e, ERR_DATA, "the text has no tokens");
    const int longer = d->n_ids - at > most;
    if (longer && !c->truncate) {
        d->n_ids = at;
        d->left_out++;
        return 0;
    }
    if (longer)
        d->n_ids = at + most;
    d->truncated += longer;
    const int class = class_of(d, label, c->classes, e);
    if (class < 0)
        return e->code;
    const struct dataset_sample s = {
        .at = at, .n = (int)(d->n_ids - at) + 1, .n_prompt = (int)(d->n_ids - at), .n_loss = 1};
    return put(d, &(int32_t){class}, 1, e) ? e->code : add_sample(d, &s, e);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_number(const void *a, const void *b)
{
    const long x = strtol(*(char *const *)a, NULL, 10), y = strtol(*(char *const *)b, NULL, 10);
    return x < y ? -1 : x > y ? 1 : by_text(a, b); /* "1" and "01" are two */
}

/* Classes into their order; the samples' numbers follow. */
static int order_classes(struct dataset *d, const char *path, struct err *e)
{
    char **sorted = malloc(((size_t)d->n_label + 1) * sizeof *sorted), *end;
    int *to = malloc(((size_t)d->n_label + 1) * sizeof *to), numbers = 1;
    int rc = sorted && to ? 0 : err_set(e, ERR_NOMEM, "dataset: %d labels", d->n_label);
    if (rc == 0 && d->n_label < 2)
        rc = err_set(e, ERR_DATA, "%s: %d label, expected two or more", path, d->n_label);
    for (int i = 0; rc == 0 && i < d->n_label; i++) {
        sorted[i] = d->label[i];
        strtol(sorted[i], &end, 10);
        numbers &= !*end;
    }
    if (rc == 0)
        qsort(sorted, (size_t)d->n_label, sizeof *sorted, numbers ? by_number : by_text);
    for (int i = 0; rc == 0 && i < d->n_label; i++)
        for (int k = 0; k < d->n_label; k++)
            if (sorted[k] == d->label[i])
                to[i] = k;
    for (int i = 0; rc == 0 && i < d->n; i++) {
        int32_t *id = &d->ids[d->s[i].at + (size_t)d->s[i].n - 1];
        *id = to[*id];
    }
    if (rc == 0)
        memcpy(d->label, sorted, (size_t)d->n_label * sizeof *sorted);
    free(sorted);
    free(to);
    return rc;
}

/* ---- loading ---- */

static int put_sample(struct dataset *d, const struct model *m, const struct chat *chat,
                      const cJSON *v, const struct dataset_conf *c, struct err *e)
{
    const size_t at = d->n_ids, max = (size_t)c->max_len;
    size_t n_prompt = 0;
    int rc = chat ? instruct(d, chat, v, &n_prompt, e) : completion(d, m, v, &n_prompt, e);
    if (rc)
        return rc;
    if (n_prompt == 0 || c->prompt_loss) /* before the first token there is nothing to predict it */
        n_prompt = 1;
    const int longer = d->n_ids - at > max;
    if (longer)
        d->n_ids = at + max;
    const size_t n = d->n_ids - at;
    if (n_prompt >= n || (longer && !c->truncate)) {
        d->n_ids = at;
        d->left_out++;
        return 0;
    }
    d->truncated += longer;
    const struct dataset_sample s = {
        .at = at, .n = (int)n, .n_prompt = (int)n_prompt, .n_loss = (int)(n - n_prompt)};
    return add_sample(d, &s, e);
}

const size_t *dataset_next(const struct dataset *d, size_t at)
{
    size_t from = 0, to = d->n_record;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        if (d->record[mid] > at)
            to = mid;
        else
            from = mid + 1;
    }
    return d->record ? d->record + from : NULL;
}

/* The documents in an order of the seed. */
static int shuffle(struct dataset *d, uint64_t seed, struct err *e)
{
    const size_t n = d->n_record;
    uint32_t *order = malloc((n + 1) * sizeof *order);
    size_t *record = malloc((n + 1) * sizeof *record), used = 0;
    int32_t *ids = malloc((d->n_ids + 1) * sizeof *ids);
    struct rng r = {rng_key(seed, "documents", 0), 0};
    if (!order || !record || !ids) {
        free(order);
        free(record);
        free(ids);
        return err_set(e, ERR_NOMEM, "dataset: %zu ids", d->n_ids);
    }
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    rng_shuffle(&r, order, n);
    for (size_t i = 0; i < n; i++) {
        const size_t from = d->record[order[i]],
                     to = order[i] + 1 < n ? d->record[order[i] + 1] : d->n_ids;
        memcpy(ids + used, d->ids + from, (to - from) * sizeof *ids);
        record[i] = used;
        used += to - from;
    }
    free(order);
    free(d->record);
    free(d->ids);
    d->record = record;
    d->cap_record = n;
    d->ids = ids;
    d->cap_ids = d->n_ids;
    return 0;
}

/* Windows of `rows` rows: the last id of one is the first of the next. */
static int cut(struct dataset *d, size_t rows, struct err *e)
{
    for (size_t at = 0; at + 1 < d->n_ids; at += rows) {
        const size_t n = d->n_ids - at < rows + 1 ? d->n_ids - at : rows + 1;
        const long first = dataset_next(d, at + n - 1) - dataset_next(d, at);
        const struct dataset_sample s = {
            .at = at, .n = (int)n, .n_prompt = 1, .n_loss = (int)((long)n - 1 - first)};
        if (s.n_loss > 0 && add_sample(d, &s, e))
            return e->code;
    }
    return 0;
}

static int load_records(struct dataset *d, const char *path, const struct model *m,
                        const struct chat *chat, const struct dataset_conf *c, struct err *e)
{
    struct jsonl r;
    int rc = jsonl_open(&r, path, e);
    if (rc < 0)
        return rc;
    while ((rc = jsonl_next(&r, e)) > 0)
        if ((rc = c->task == DATASET_PRETRAIN   ? put_document(d, m, r.v, e)
                  : c->task == DATASET_CLASSIFY ? classify(d, m, r.v, c, e)
                                                : put_sample(d, m, chat, r.v, c, e)) < 0) {
            err_prefix(e, "%s:%ld", path, r.lineno);
            break;
        }
    jsonl_close(&r);
    return rc;
}

int dataset_load(struct dataset *d, const char *path, const struct model *m,
                 const struct dataset_conf *c, struct err *e)
{
    const char *where = m->file.path ? m->file.path : "model";
    const int chats = c->task == DATASET_INSTRUCT;
    struct chat *chat = NULL;
    int rc;
    memset(d, 0, sizeof *d);
    if (!m->tok || (chats && !model_has_chat(m)))
        return err_set(e, ERR_DATA, "%s: training data needs a tokenizer%s", where,
                       chats ? " and a chat template" : "");
    if (chats && (rc = model_chat(&chat, m, e)) < 0)
        return rc;
    rc = load_records(d, path, m, chat, c, e);
    chat_free(chat);
    for (size_t i = 0; rc == 0 && i < d->n_ids; i++)
        if (d->ids[i] < 0 || d->ids[i] >= m->h.n_vocab)
            rc = err_set(e, ERR_DATA, "%s: token %d is beyond the model's %d", path, d->ids[i],
                         m->h.n_vocab);
    if (rc == 0 && c->task == DATASET_PRETRAIN && (rc = shuffle(d, c->seed, e)) == 0)
        rc = cut(d, (size_t)c->max_len, e);
    if (rc == 0 && c->task == DATASET_CLASSIFY && d->n && !c->classes)
        rc = order_classes(d, path, e);
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
    free(d->record);
    for (int i = 0; i < d->n_label; i++)
        free(d->label[i]);
    free(d->label);
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
    const size_t *next = dataset_next(d, s->at), *end = next ? d->record + d->n_record : NULL;
    int from = p->start[it->bin], first = *row;
    for (int t = 0; t < it->rows; t++, (*row)++) {
        const size_t at = s->at + (size_t)t;
        if (next < end && *next == at)
            first = *row, next++;
        p->ids[*row] = d->ids[at];
        p->doc[*row] = first - from;
        p->label[*row] =
            t + 1 >= s->n_prompt && !(next < end && *next == at + 1) ? d->ids[at + 1] : -1;
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
