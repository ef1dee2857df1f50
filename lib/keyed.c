/* keyed - records of JSONL files by benchmark, task and sample */
#include "keyed.h"
#include <stdlib.h>
#include <string.h>

int keyed_same_bench(const char *a, const char *b)
{
    return !a || !b || !strcmp(a, b);
}

static int compare(const struct keyed_record *x, const char *task, long sample)
{
    int c = strcmp(x->task_id, task);
    return c ? c : (x->sample > sample) - (x->sample < sample);
}

static int by_key(const void *a, const void *b, void *records)
{
    const struct keyed_record *v = records, *x = &v[*(const int *)a], *y = &v[*(const int *)b];
    int c = compare(x, y->task_id, y->sample);
    if (!c)
        c = x->file - y->file;
    if (!c)
        c = strcmp(x->bench ? x->bench : "", y->bench ? y->bench : "");
    return c ? c : *(const int *)a - *(const int *)b;
}

/* By key, and nothing twice in a file. */
static int make_index(struct keyed *k, const char *path, struct err *e)
{
    int *p = realloc(k->index, ((size_t)k->n + 1) * sizeof *p);
    if (!p)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    k->index = p;
    for (int i = 0; i < k->n; i++)
        p[i] = i;
    qsort_r(p, (size_t)k->n, sizeof *p, by_key, k->v);
    for (int i = 1; i < k->n; i++) {
        const struct keyed_record *x = &k->v[p[i - 1]], *y = &k->v[p[i]];
        if (!compare(x, y->task_id, y->sample) && x->file == y->file &&
            keyed_same_bench(x->bench, y->bench))
            return err_set(e, ERR_DATA, "%s:%ld: %.60s, sample %ld is on line %ld too", path,
                           y->line, y->task_id, y->sample, x->line);
    }
    return 0;
}

static int add(struct keyed *k, struct jsonl *r, const char *const *drop, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    struct keyed_record x = {.line = r->lineno, .file = k->n_file};
    char digits[32];
    x.sample = json_get_int(r->v, "sample", 0, e);
    x.bench = json_get_str(r->v, "bench", NULL, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (id && !cJSON_IsNull(id) && !cJSON_IsString(id) && !cJSON_IsNumber(id))
        return err_set(e, ERR_DATA, "%s:%ld: task_id: expected a string", r->path, r->lineno);
    if (x.sample < 0)
        return err_set(e, ERR_DATA, "%s:%ld: sample: expected 0 or more, found %ld", r->path,
                       r->lineno, x.sample);
    if (k->n == k->cap) {
        int cap = k->cap ? 2 * k->cap : 256;
        struct keyed_record *v = realloc(k->v, (size_t)cap * sizeof *v);
        if (!v)
            return err_set(e, ERR_NOMEM, "%s: out of memory", r->path);
        k->v = v;
        k->cap = cap;
    }
    snprintf(digits, sizeof digits, "%.0f",
             cJSON_IsNumber(id) ? id->valuedouble : (double)r->lineno);
    if (!(x.task_id = strdup(cJSON_IsString(id) ? id->valuestring : digits)))
        return err_set(e, ERR_NOMEM, "%s: out of memory", r->path);
    for (; drop && *drop; drop++)
        cJSON_DeleteItemFromObjectCaseSensitive(r->v, *drop);
    x.v = r->v;
    r->v = NULL;
    k->v[k->n++] = x;
    return 0;
}

int keyed_read(struct keyed *k, const char *path, const char *schema, const char *const *drop,
               struct err *e)
{
    struct jsonl *r = malloc(sizeof *r);
    int rc;
    if (!r)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if ((rc = jsonl_open(r, path, e)) == 0) {
        while ((rc = jsonl_next(r, e)) > 0)
            if ((rc = jsonl_schema(r, schema, 1, e)) < 0 || (rc = add(k, r, drop, e)) < 0)
                break;
        if (rc == 0)
            rc = make_index(k, r->path, e);
        k->n_file++;
        jsonl_close(r);
    }
    free(r);
    return rc;
}

void keyed_free(struct keyed *k)
{
    for (int i = 0; i < k->n; i++) {
        free(k->v[i].task_id);
        cJSON_Delete(k->v[i].v);
    }
    free(k->v);
    free(k->index);
    memset(k, 0, sizeof *k);
}

const struct keyed_record *keyed_find(const struct keyed *k, int file, const char *bench,
                                      const char *task_id, long sample)
{
    const struct keyed_record *hit = NULL;
    int lo = 0, hi = k->n;
    while (lo < hi) { /* the first that is not before the key */
        int mid = (lo + hi) / 2;
        if (compare(&k->v[k->index[mid]], task_id, sample) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < k->n && !compare(&k->v[k->index[lo]], task_id, sample); lo++) {
        const struct keyed_record *x = &k->v[k->index[lo]];
        if (keyed_same_bench(bench, x->bench) && (file < 0 || file == x->file))
            hit = x;
    }
    return hit;
}

static int by_task(const void *a, const void *b, void *records)
{
    const struct keyed_record *v = records, *x = &v[*(const int *)a], *y = &v[*(const int *)b];
    int c = strcmp(x->task_id, y->task_id);
    if (!c)
        c = strcmp(x->bench ? x->bench : "", y->bench ? y->bench : "");
    if (!c)
        c = (x->sample > y->sample) - (x->sample < y->sample);
    return c ? c : *(const int *)a - *(const int *)b;
}

int *keyed_by_task(const struct keyed *k)
{
    int *order = malloc(((size_t)k->n + 1) * sizeof *order);
    for (int i = 0; order && i < k->n; i++)
        order[i] = i;
    if (order)
        qsort_r(order, (size_t)k->n, sizeof *order, by_task, k->v);
    return order;
}

int keyed_same_task(const struct keyed_record *a, const struct keyed_record *b)
{
    return !strcmp(a->task_id, b->task_id) &&
           !strcmp(a->bench ? a->bench : "", b->bench ? b->bench : "");
}
