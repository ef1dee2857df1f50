/* earlier - verdicts of an earlier run by task, sample and job */
#include "earlier.h"
#include "json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *key_of(const char *task_id, long sample, const char *job) /* malloc */
{
    size_t n = strlen(task_id) + strlen(job) + 32;
    char *k = malloc(n);
    if (k)
        snprintf(k, n, "%s %ld %s", job, sample, task_id);
    return k;
}

static int add(struct earlier *x, const struct jsonl *r, struct err *e)
{
    const char *id = json_get_str(r->v, "task_id", NULL, e),
               *job = json_get_str(r->v, "job", NULL, e),
               *verdict = json_get_str(r->v, "verdict", "", e);
    long sample = json_get_int(r->v, "sample", 0, e);
    struct earlier_line *l;
    if (jsonl_schema(r, "verdict/1", 0, e) < 0 || e->code)
        return e->code;
    if (!id || !job)
        return err_set(e, ERR_DATA, "%s:%ld: expected a verdict with task_id and job", r->path,
                       r->lineno);
    if (!strcmp(verdict, "harness_error"))
        return 0;
    if (x->n == x->cap) {
        int cap = 2 * x->cap + 256;
        if (!(l = realloc(x->line, (size_t)cap * sizeof *l)))
            return err_set(e, ERR_NOMEM, "%s: out of memory", r->path);
        x->line = l;
        x->cap = cap;
    }
    l = &x->line[x->n];
    *l = (struct earlier_line){key_of(id, sample, job), strdup(r->line), r->len};
    x->n++;
    return l->key && l->text ? 0 : err_set(e, ERR_NOMEM, "%s: out of memory", r->path);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct earlier_line *)a)->key, ((const struct earlier_line *)b)->key);
}

int earlier_load(struct earlier *x, const char *path, struct err *e)
{
    struct jsonl *r = malloc(sizeof *r);
    int rc;
    memset(x, 0, sizeof *x);
    if (!r)
        return err_set(e, ERR_NOMEM, "out of memory");
    if ((rc = jsonl_open(r, path, e)) == 0) {
        while ((rc = jsonl_next(r, e)) > 0 && (rc = add(x, r, e)) == 0)
            ;
        /* what a kill left of the last line is no verdict */
        if (rc == ERR_DATA && !r->v && r->in_len == 0)
            memset(e, 0, sizeof *e);
        jsonl_close(r);
    }
    free(r);
    if (e->code)
        earlier_free(x);
    else if (x->n)
        qsort(x->line, (size_t)x->n, sizeof *x->line, by_key);
    return e->code;
}

const char *earlier_find(const struct earlier *x, const char *task_id, long sample, const char *job,
                         size_t *n)
{
    struct earlier_line want = {.key = x->n ? key_of(task_id, sample, job) : NULL}, *l;
    if (!want.key)
        return NULL;
    l = bsearch(&want, x->line, (size_t)x->n, sizeof *x->line, by_key);
    free(want.key);
    if (!l)
        return NULL;
    *n = l->n;
    return l->text;
}

void earlier_free(struct earlier *x)
{
    for (int i = 0; i < x->n; i++) {
        free(x->line[i].key);
        free(x->line[i].text);
    }
    free(x->line);
    memset(x, 0, sizeof *x);
}
