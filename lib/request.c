/* request - prompt records as token ids */
#include "request.h"
#include "chat_model.h"
#include "hash.h"
#include "mapfile.h"
#include "model_lora.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int copy(char **to, const char *s, struct err *e)
{
    *to = s ? strdup(s) : NULL;
    return s && !*to ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

static struct request *grow(struct requests *p, struct err *e)
{
    if (p->n == p->cap) {
        int cap = p->cap ? 2 * p->cap : 64;
        struct request *v = realloc(p->v, (size_t)cap * sizeof *v);
        if (!v) {
            err_set(e, ERR_NOMEM, "out of memory");
            return NULL;
        }
        p->v = v;
        p->cap = cap;
    }
    memset(&p->v[p->n], 0, sizeof *p->v);
    return &p->v[p->n++];
}

static int encode_raw(struct request *q, const char *text, const struct model *m, struct err *e)
{
    size_t a = strlen(text), b = q->prefill ? strlen(q->prefill) : 0;
    char *s = malloc(a + b + 1);
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    memcpy(s, text, a);
    memcpy(s + a, q->prefill ? q->prefill : "", b + 1);
    long n = bpe_encode(m->tok, s, a + b, BPE_SPECIAL | BPE_BOS, &q->ids, e);
    free(s);
    q->n_ids = n > INT32_MAX / 2 ? INT32_MAX : (int)n;
    return n < 0 ? (int)n : 0;
}

/* The turns of a record: system, messages, and the prompt as the last user turn. */
static int take_turns(struct chat_msg **out, int *n, const cJSON *v, const char *system,
                      const char *text, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "messages"), *m;
    int k = 0, i = 0;
    if (list && !cJSON_IsNull(list) && !cJSON_IsArray(list))
        return err_set(e, ERR_DATA, "messages: expected an array");
    struct chat_msg *msg = calloc((size_t)cJSON_GetArraySize(list) + 2, sizeof *msg);
    if (!msg)
        return err_set(e, ERR_NOMEM, "out of memory");
    *out = msg;
    if (system)
        msg[k++] = (struct chat_msg){"system", system};
    cJSON_ArrayForEach(m, list)
    {
        const char *role = cJSON_IsObject(m) ? json_get_str(m, "role", NULL, e) : NULL,
                   *content = cJSON_IsObject(m) ? json_get_str(m, "content", NULL, e) : NULL;
        if (!role || !content || e->code)
            return err_set(e, ERR_DATA, "messages: %d: expected role and content", i);
        if (strcmp(role, "user") && strcmp(role, "assistant") && strcmp(role, "system"))
            return err_set(e, ERR_DATA,
                           "messages: %d: role: expected system, user or assistant, found '%.40s'",
                           i, role);
        msg[k++] = (struct chat_msg){role, content};
        i++;
    }
    if (text)
        msg[k++] = (struct chat_msg){"user", text};
    *n = k;
    if (k == 0)
        return err_set(e, ERR_DATA, "the record has no prompt");
    if (strcmp(msg[k - 1].role, "user"))
        return err_set(e, ERR_DATA, "the last turn is the %s's: expected the user's",
                       msg[k - 1].role);
    return 0;
}

/* 1 if the model can think aloud: it has the marks, and its template, if we know it, speaks of them. */
static int can_think(const struct model *m)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(m->file.meta, "chat_template");
    return bpe_id(m->tok, "<think>") >= 0 && bpe_id(m->tok, "</think>") >= 0 &&
           (!cJSON_IsString(t) || strstr(t->valuestring, "think>"));
}

/* The ids of a conversation by the model's template, which is compiled for the first of them. */
static int encode_chat(struct requests *p, struct request *q, const struct chat_msg *msg, int n_msg,
                       const struct model *m, const struct request_defaults *d, struct err *e)
{
    enum chat_thinking thinking = d->thinking == REQUEST_THINK_ON    ? CHAT_THINK_ON
                                  : d->thinking == REQUEST_THINK_OFF ? CHAT_THINK_OFF
                                                                     : CHAT_THINK_AUTO;
    if (!model_has_chat(m))
        return err_set(e, ERR_DATA, "%s has no chat format: give raw prompts (--raw)",
                       m->file.path);
    if (d->thinking == REQUEST_THINK_ON && !can_think(m))
        return err_set(e, ERR_DATA,
                       "%s cannot think: its tokenizer and template have no <think> and </think>",
                       m->file.path);
    if (d->thinking == REQUEST_THINK_ON && q->prefill)
        return err_set(e, ERR_DATA, "an answer that has a prefill cannot begin with thinking");
    if (!can_think(m))
        thinking = CHAT_THINK_AUTO;
    if (!p->chat && model_chat(&p->chat, m, e))
        return e->code;
    long n = chat_encode(p->chat, msg, n_msg, thinking, q->prefill, &q->ids, e);
    q->n_ids = n > INT32_MAX / 2 ? INT32_MAX : (int)n;
    return n < 0 ? (int)n : 0;
}

/* The ids of a prompt: the model's chat format around it, or the text as it stands. */
static int encode(struct requests *p, struct request *q, const cJSON *v, const char *text, int raw,
                  const struct model *m, const struct request_defaults *d, struct err *e)
{
    const char *system = json_get_str(v, "system", NULL, e);
    struct chat_msg *msg = NULL;
    int n_msg = 0, rc = e->code ? e->code : take_turns(&msg, &n_msg, v, system, text, e);
    if (rc == 0 && raw && (!text || n_msg != 1 + !!system))
        rc = err_set(e, ERR_DATA, "a raw prompt is one text: no messages");
    if (rc == 0)
        rc = raw ? encode_raw(q, text, m, e) : encode_chat(p, q, msg, n_msg, m, d, e);
    free(msg);
    if (rc < 0)
        return rc;
    if (q->n_ids == 0)
        return err_set(e, ERR_DATA, "the prompt has no tokens");
    if (q->n_ids > INT32_MAX / 2)
        return err_set(e, ERR_DATA, "the prompt has more than %d tokens", INT32_MAX / 2);
    return 0;
}

static int fits(struct requests *p, struct request *q, int n_ctx, struct err *e)
{
    if (q->n_ids >= n_ctx)
        return err_set(e, ERR_DATA, "the prompt has %d tokens, the context %d positions", q->n_ids,
                       n_ctx);
    int room = n_ctx - q->n_ids, most = q->n_ids + (q->max_tokens < room ? q->max_tokens : room);
    if (most > p->longest)
        p->longest = most;
    return 0;
}

static int take_stops(struct request *q, const cJSON *stop, const struct request_defaults *d,
                      struct err *e)
{
    const cJSON *s;
    int own = cJSON_IsArray(stop) ? cJSON_GetArraySize(stop) : 0, rc;
    if (stop && !cJSON_IsNull(stop) && !cJSON_IsArray(stop))
        return err_set(e, ERR_DATA, "stop: expected an array of strings");
    q->stop = calloc((size_t)(own + d->n_stop) + 1, sizeof *q->stop);
    if (!q->stop)
        return err_set(e, ERR_NOMEM, "out of memory");
    cJSON_ArrayForEach(s, stop)
    {
        if (!cJSON_IsString(s) || !*s->valuestring)
            return err_set(e, ERR_DATA, "stop: expected strings that are not empty");
        if ((rc = copy(&q->stop[q->n_stop++], s->valuestring, e)) < 0)
            return rc;
    }
    for (int i = 0; i < d->n_stop; i++)
        if ((rc = copy(&q->stop[q->n_stop++], d->stop[i], e)) < 0)
            return rc;
    return 0;
}

/* task_id: a string, or a whole number as aprender's records have it */
static int take_id(struct request *q, const cJSON *v, long line, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(v, "task_id");
    char text[32];
    if (cJSON_IsString(id))
        return copy(&q->task_id, id->valuestring, e);
    if (id && !cJSON_IsNull(id) &&
        !(cJSON_IsNumber(id) && floor(id->valuedouble) == id->valuedouble &&
          fabs(id->valuedouble) <= 9007199254740992.0)) /* 2^53: beyond, two could be one */
        return err_set(e, ERR_DATA, "task_id: expected a string or a whole number");
    snprintf(text, sizeof text, "%.0f", cJSON_IsNumber(id) ? id->valuedouble : (double)line);
    return copy(&q->task_id, text, e);
}

/* adapter: a name of those that were loaded; null and "" are the base. */
static int take_adapter(struct request *q, const cJSON *v, const struct model *m,
                        const struct request_defaults *d, struct err *e)
{
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(v, "adapter");
    const char *name = x ? NULL : d->adapter;
    char known[200];
    if (x && !cJSON_IsNull(x) && !cJSON_IsString(x))
        return err_set(e, ERR_DATA, "adapter: expected a string");
    if (cJSON_IsString(x))
        name = x->valuestring;
    if (!name || !*name)
        return 0;
    q->adapter = m->lora ? 1 + model_lora_find(m->lora, name) : 0;
    if (q->adapter > 0)
        return 0;
    model_lora_names(m->lora, known, sizeof known);
    return err_set(e, ERR_DATA, "adapter '%.80s' is not loaded; loaded: %s", name, known);
}

static int take_record(struct requests *p, const cJSON *v, long line, const struct model *m,
                       const struct request_defaults *d, struct err *e)
{
    struct request *q = grow(p, e);
    const char *text, *template, *prefill;
    int rc;
    if (!q)
        return e->code;
    q->line = line;
    text = json_get_str(v, "prompt", NULL, e);
    template = json_get_str(v, "template", "chat", e);
    prefill = json_get_str(v, "prefill", d->prefill, e);
    const char *bench = json_get_str(v, "bench", NULL, e);
    long max_tokens = json_get_int(v, "max_tokens", d->max_tokens, e);
    q->sample = json_get_int(v, "sample", 0, e);
    if (e->code)
        return e->code;
    if (strcmp(template, "chat") && strcmp(template, "raw"))
        return err_set(e, ERR_DATA, "template: expected chat or raw, found '%s'", template);
    if (max_tokens < 1 || max_tokens > INT32_MAX / 2)
        return err_set(e, ERR_DATA, "max_tokens: expected 1 or more, found %ld", max_tokens);
    if (q->sample < 0)
        return err_set(e, ERR_DATA, "sample: expected 0 or more, found %ld", q->sample);
    q->max_tokens = (int)max_tokens;
    if ((rc = take_id(q, v, line, e)) < 0 || (rc = copy(&q->bench, bench, e)) < 0 ||
        (rc = copy(&q->prefill, prefill && *prefill ? prefill : NULL, e)) < 0 ||
        (rc = take_stops(q, cJSON_GetObjectItemCaseSensitive(v, "stop"), d, e)) < 0 ||
        (rc = take_adapter(q, v, m, d, e)) < 0 ||
        (rc = encode(p, q, v, text, d->raw || strcmp(template, "raw") == 0, m, d, e)) < 0)
        return rc;
    return fits(p, q, d->n_ctx, e);
}

static int by_key(const void *a, const void *b)
{
    const struct request *x = *(struct request *const *)a, *y = *(struct request *const *)b;
    int c = strcmp(x->task_id, y->task_id);
    return c ? c : (x->sample > y->sample) - (x->sample < y->sample);
}

/* Sort pointers by key; two records of one key are an error that names the later line. */
static int index_keys(struct requests *p, struct err *e)
{
    p->index = malloc(((size_t)p->n + 1) * sizeof *p->index);
    if (!p->index)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < p->n; i++)
        p->index[i] = &p->v[i];
    qsort(p->index, (size_t)p->n, sizeof *p->index, by_key);
    for (int i = 1; i < p->n; i++) {
        const struct request *a = p->index[i - 1], *b = p->index[i];
        if (by_key(&p->index[i - 1], &p->index[i]) == 0)
            return err_set(e, ERR_DATA, "%s:%ld: task_id %s, sample %ld is on line %ld too",
                           p->path, a->line > b->line ? a->line : b->line, a->task_id, a->sample,
                           a->line < b->line ? a->line : b->line);
    }
    return 0;
}

int requests_read(struct requests *p, const char *path, const struct model *m,
                  const struct request_defaults *d, struct err *e)
{
    struct hash_sha256 sha;
    struct jsonl *r = calloc(1, sizeof *r);
    int rc;
    memset(p, 0, sizeof *p);
    p->path = path;
    if (!r)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = jsonl_open(r, path, e)) < 0) {
        free(r);
        return rc;
    }
    if (hash_sha256_init(&sha) < 0) {
        jsonl_close(r);
        free(r);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    while ((rc = jsonl_next(r, e)) > 0) {
        hash_sha256_add(&sha, r->line, r->len);
        hash_sha256_add(&sha, "\n", 1);
        if ((rc = jsonl_schema(r, "prompt/1", 1, e)) < 0)
            break;
        if ((rc = take_record(p, r->v, r->lineno, m, d, e)) < 0) {
            err_prefix(e, "%s:%ld", path, r->lineno);
            break;
        }
    }
    hash_sha256_hex(&sha, p->sha256);
    jsonl_close(r);
    free(r);
    if (rc == 0)
        rc = index_keys(p, e);
    if (rc < 0)
        requests_free(p);
    return rc;
}

int requests_add_text(struct requests *p, const char *text, const struct model *m,
                      const struct request_defaults *d, struct err *e)
{
    int rc;
    cJSON *v = cJSON_CreateObject();
    memset(p, 0, sizeof *p);
    p->path = "prompt";
    if (!v || !cJSON_AddStringToObject(v, "prompt", text))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else if ((rc = take_record(p, v, 1, m, d, e)) == 0)
        rc = index_keys(p, e);
    cJSON_Delete(v);
    hash_sha256_mem(text, strlen(text), p->sha256);
    if (rc < 0)
        requests_free(p);
    return rc;
}

int requests_find(const struct requests *p, const char *task_id, long sample)
{
    struct request key = {.task_id = (char *)(uintptr_t)task_id, .sample = sample}, *k = &key,
                   **hit;
    hit = bsearch(&k, p->index, (size_t)p->n, sizeof *p->index, by_key);
    return hit ? (int)(*hit - p->v) : -1;
}

void requests_free(struct requests *p)
{
    for (int i = 0; i < p->n; i++) {
        struct request *q = &p->v[i];
        for (int s = 0; s < q->n_stop; s++)
            free(q->stop[s]);
        free(q->stop);
        free(q->task_id);
        free(q->bench);
        free(q->prefill);
        free(q->ids);
    }
    chat_free(p->chat);
    free(p->v);
    free(p->index);
    memset(p, 0, sizeof *p);
}
