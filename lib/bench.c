/* bench - load a benchmark's problems; find them by id */
#include "bench_private.h"
#include "hash.h"
#include "paths.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TASKS = 1 << 20 };

static const struct {
    const char *name;
    enum bench_lang lang;
} languages[] = {{"python", BENCH_PYTHON},         {"c", BENCH_C},       {"cpp", BENCH_CPP},
                 {"javascript", BENCH_JAVASCRIPT}, {"py", BENCH_PYTHON}, {"c++", BENCH_CPP},
                 {"js", BENCH_JAVASCRIPT}};

const char *bench_lang_name(enum bench_lang l)
{
    return (unsigned)l < BENCH_LANGS ? languages[l].name : "?";
}

int bench_lang_parse(const char *name)
{
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (!strcmp(languages[i].name, name))
            return (int)languages[i].lang;
    return -1;
}

static int no_memory(const struct bench *b, struct err *e)
{
    return err_set(e, ERR_NOMEM, "%s: out of memory", b->path);
}

/* The task id as text: task_id, CRUXEval's id, LiveCodeBench's question_id, MultiPL-E's name. */
static int task_id(char *buf, size_t size, const struct bench *b, const cJSON *v,
                   const struct jsonl *r, struct err *e)
{
    const char *key = b->format == BENCH_CRUXEVAL    ? "id"
                      : b->format == BENCH_STDIO     ? "question_id"
                      : b->format == BENCH_MULTIPL_E ? "name"
                                                     : "task_id";
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(v, key);
    int n = 0;
    if (cJSON_IsString(id))
        n = snprintf(buf, size, "%s", id->valuestring);
    else if (cJSON_IsNumber(id))
        n = snprintf(buf, size, "%.0f", id->valuedouble);
    else
        return err_set(e, ERR_DATA, "%s:%ld: %s is missing", r->path, r->lineno, key);
    return n < 1 || (size_t)n >= size
               ? err_set(e, ERR_DATA, "%s:%ld: %s is empty or too long", r->path, r->lineno, key)
               : 0;
}

static int by_id(const void *x, const void *y, void *task)
{
    const struct bench_task *t = task;
    return strcmp(t[*(const int *)x].task_id, t[*(const int *)y].task_id);
}

static int make_order(struct bench *b, struct err *e)
{
    if (!(b->order = malloc((size_t)(b->n ? b->n : 1) * sizeof *b->order)))
        return no_memory(b, e);
    for (int i = 0; i < b->n; i++)
        b->order[i] = i;
    qsort_r(b->order, (size_t)b->n, sizeof *b->order, by_id, b->task);
    for (int i = 1; i < b->n; i++)
        if (!strcmp(b->task[b->order[i - 1]].task_id, b->task[b->order[i]].task_id))
            return err_set(e, ERR_DATA, "%s: task_id %s occurs twice", b->path,
                           b->task[b->order[i]].task_id);
    return 0;
}

/* The number in a task id such as 11 or Mbpp/11. */
static long number_of(const char *id)
{
    const char *slash = strrchr(id, '/');
    return strtol(slash ? slash + 1 : id, NULL, 10);
}

static struct bench_task *add_task(struct bench *b, int *cap, struct err *e)
{
    if (b->n == MAX_TASKS) {
        err_set(e, ERR_DATA, "%s: more than %d tasks", b->path, MAX_TASKS);
        return NULL;
    }
    if (b->n == *cap) {
        struct bench_task *t = realloc(b->task, (size_t)(*cap = *cap ? 2 * *cap : 256) * sizeof *t);
        if (!t) {
            no_memory(b, e);
            return NULL;
        }
        b->task = t;
    }
    memset(&b->task[b->n], 0, sizeof *b->task);
    return &b->task[b->n++];
}

/* One line of the data: a task, unless its number is out of range. */
static int read_line(struct bench *b, const struct bench_config *c, const cJSON *v,
                     const struct jsonl *r, int *cap, struct err *e)
{
    struct bench_task *t;
    char id[256];
    if (task_id(id, sizeof id, b, v, r, e) < 0)
        return e->code;
    if (c->first_id || c->last_id) {
        long n = number_of(id);
        if (n < c->first_id || n > c->last_id)
            return 0;
    }
    if (!(t = add_task(b, cap, e)))
        return e->code;
    t->inproc = b->inproc;
    t->form = t->oracle = "";
    if (!(t->task_id = strdup(id)))
        return no_memory(b, e);
    return bench_record(b, t, v, r, e);
}

int bench_read(struct bench *b, const struct bench_config *c, struct err *e)
{
    struct jsonl r;
    int cap = 0, rc, first = !c->known;
    if ((rc = hash_sha256_file(b->path, b->sha256, e)) < 0 || (rc = jsonl_open(&r, b->path, e)) < 0)
        return rc;
    while ((rc = jsonl_next_line(&r, e)) > 0) {
        cJSON *v = bench_parse(b, &r, e);
        if (first && v) {
            b->format = cJSON_HasObjectItem(v, "entry_point") ? BENCH_HUMANEVAL : BENCH_MBPP;
            first = 0;
        }
        rc = v ? read_line(b, c, v, &r, &cap, e) : e->code;
        cJSON_Delete(v);
        if (rc < 0)
            break;
    }
    jsonl_close(&r);
    if (rc < 0)
        return rc;
    if (b->n == 0 || (c->n_task && c->n_task != b->n))
        return err_set(e, ERR_DATA, "%s: expected %ld tasks, found %d", b->path, c->n_task, b->n);
    b->mbpp = !b->task[0].entry_point;
    return make_order(b, e);
}

/* The name of a data file: its last component up to the first dot. */
static char *stem(const char *path)
{
    const char *s = strrchr(path, '/');
    s = s ? s + 1 : path;
    return strndup(s, strcspn(s, "."));
}

static int ends(const char *s, const char *with)
{
    size_t n = strlen(s), m = strlen(with);
    return n > m && !strcmp(s + n - m, with);
}

int bench_load(struct bench *b, const char *name, struct err *e)
{
    struct bench_config c = {0};
    char file[PATH_MAX], path[PATH_MAX];
    int rc;
    memset(b, 0, sizeof *b);
    b->ceiling = -1;
    b->max_tokens = 512; /* of a data file that no configs/bench entry describes */
    if (ends(name, ".jsonl") || ends(name, ".jsonl.gz")) {
        b->name = stem(name);
        b->path = strdup(name);
        rc = b->name && b->path ? bench_read(b, &c, e)
                                : err_set(e, ERR_NOMEM, "%s: out of memory", name);
    } else if (ends(name, ".yaml")) {
        rc = bench_read_config(b, name, e);
    } else {
        snprintf(file, sizeof file, "configs/bench/%.200s.yaml", name);
        if (strchr(name, '/') || paths_find(file, path, sizeof path, e) < 0) {
            memset(e, 0, sizeof *e);
            rc = err_set(e, ERR_NOINPUT, "%s: no such benchmark (configs/bench) and no .jsonl file",
                         name);
        } else {
            rc = bench_read_config(b, path, e);
        }
    }
    if (rc < 0)
        bench_free(b);
    return rc;
}

static void free_task(struct bench_task *t)
{
    for (int k = 0; k < t->n_tests; k++)
        free(t->tests[k]);
    for (int k = 0; k < t->n_io; k++) {
        free(t->io[k].in);
        free(t->io[k].out);
    }
    free(t->tests);
    free(t->io);
    free(t->task_id);
    free(t->prompt);
    free(t->entry_point);
    free(t->called);
    free(t->test);
    free(t->setup);
    free(t->canonical);
    free(t->record);
}

void bench_free(struct bench *b)
{
    for (int i = 0; i < b->n; i++)
        free_task(&b->task[i]);
    for (int i = 0; i < b->n_words; i++)
        free(b->words[i]);
    free(b->words);
    free(b->task);
    free(b->order);
    free(b->name);
    free(b->path);
    memset(b, 0, sizeof *b);
}

const char *bench_entry(const struct bench_task *t)
{
    return t->entry_point ? t->entry_point : t->called;
}

const struct bench_task *bench_find(const struct bench *b, const char *id)
{
    int lo = 0, hi = b->n;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = strcmp(id, b->task[b->order[mid]].task_id);
        if (c == 0)
            return &b->task[b->order[mid]];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}
