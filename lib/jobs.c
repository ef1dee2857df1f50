/* jobs - records of code to jobs of the sandbox; whose limits hold */
#include "jobs.h"
#include "json.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jobs_init(struct jobs *j, const struct bench *b, const struct sandbox_limits *given,
               const struct sandbox_limits *base, enum jobs_mode mode)
{
    memset(j, 0, sizeof *j);
    j->bench = b;
    j->given = *given;
    j->base = *base;
    j->mode = mode;
}

static int by_task(struct jobs *j, struct err *e) /* the arrays that are as long as the benchmark */
{
    size_t n = (size_t)j->bench->n + 1;
    if (j->used)
        return 0;
    j->limits = calloc(n, sizeof *j->limits);
    j->next = calloc(n, sizeof *j->next);
    j->used = calloc(n, 1);
    return j->limits && j->next && j->used ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

static double first_of(double user, double task, double bench, double base)
{
    return user > 0 ? user : task > 0 ? task : bench > 0 ? bench : base;
}

/* The user's word, else the task's need, else the benchmark's, else ours. */
static void set_limits(const struct jobs *j, const struct bench_task *t, struct sandbox_limits *l)
{
    const struct bench *b = j->bench;
    l->cpu_s = first_of(j->given.cpu_s, t->cpu_s, b->cpu_s, j->base.cpu_s);
    l->wall_s = first_of(j->given.wall_s, 0, 0, j->base.wall_s);
    l->memory_mib = (long)first_of((double)j->given.memory_mib, (double)t->memory_mib,
                                   (double)b->memory_mib, (double)j->base.memory_mib);
    l->processes = (long)first_of((double)j->given.processes, 0, 0, (double)j->base.processes);
    l->file_mib = (long)first_of((double)j->given.file_mib, 0, 0, (double)j->base.file_mib);
    l->output_kib = (long)first_of((double)j->given.output_kib, 0, 0, (double)j->base.output_kib);
}

/* Do code and test share a process? A unittest has no other way, inputs and outputs have no use for it. */
static int in_one(enum jobs_mode mode, const struct bench_task *t)
{
    return t->judge == BENCH_UNITTEST ||
           (t->judge != BENCH_IO && t->judge != BENCH_PROGRAM &&
            (mode == JOBS_INPROC || (mode == JOBS_AUTO && t->inproc)));
}

int jobs_add(struct jobs *j, const struct bench_task *t, const char *code, long sample,
             struct err *e)
{
    int i = (int)(t - j->bench->task);
    if (by_task(j, e) < 0)
        return e->code;
    if (j->n == j->cap) {
        int cap = j->cap ? 2 * j->cap : 256;
        void *p = realloc(j->job, (size_t)cap * sizeof *j->job), *s, *r;
        j->job = p ? p : j->job;
        s = p ? realloc(j->sample, (size_t)cap * sizeof *j->sample) : NULL;
        j->sample = s ? s : j->sample;
        r = s ? realloc(j->rank, (size_t)cap * sizeof *j->rank) : NULL;
        if (!r)
            return err_set(e, ERR_NOMEM, "out of memory");
        j->rank = r;
        j->cap = cap;
    }
    if (!j->used[i])
        set_limits(j, t, &j->limits[i]);
    j->used[i] = 1;
    if (sample < 0)
        sample = j->next[i];
    if (sample >= j->next[i])
        j->next[i] = sample + 1;
    j->sample[j->n] = sample;
    j->rank[j->n] = NULL;
    j->job[j->n] = (struct sandbox_job){
        .task = t, .limits = &j->limits[i], .lang = j->bench->lang, .inproc = in_one(j->mode, t)};
    if (j->inputs) {
        j->job[j->n].work = SANDBOX_BEHAVIOUR;
        j->job[j->n].inproc = 0;
        if (!(j->job[j->n].inputs = j->inputs[i]))
            return err_set(e, ERR_DATA, "task_id %.200s has no inputs", t->task_id);
    }
    if (!(j->job[j->n].code = strdup(code)))
        return err_set(e, ERR_NOMEM, "out of memory");
    j->n++;
    return 0;
}

static int read_record(struct jobs *j, const struct jsonl *r, struct err *e)
{
    static const char *const fields[] = {"code", "completion", "solution", "generation", NULL};
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    const char *code = NULL, *key;
    long sample = json_get_int(r->v, "sample", -1, e);
    const struct bench_task *t;
    char buf[32];
    if (jsonl_schema(r, "code/1", 1, e) < 0)
        return e->code;
    for (int i = 0; fields[i] && !code && !e->code; i++)
        code = json_get_str(r->v, fields[i], NULL, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!code)
        return err_set(e, ERR_DATA, "%s:%ld: code is missing", r->path, r->lineno);
    snprintf(buf, sizeof buf, "%.0f", cJSON_IsNumber(id) ? id->valuedouble : (double)r->lineno);
    key = cJSON_IsString(id) ? id->valuestring : buf;
    if (!(t = bench_find(j->bench, key)))
        return err_set(e, ERR_DATA, "%s:%ld: task_id %.200s is not in the benchmark %s", r->path,
                       r->lineno, key, j->bench->name);
    if (jobs_add(j, t, code, sample, e) < 0)
        return e->code == ERR_DATA ? err_prefix(e, "%s:%ld", r->path, r->lineno) : e->code;
    const cJSON *rank = cJSON_GetObjectItemCaseSensitive(r->v, "rank");
    if (cJSON_IsObject(rank) && !(j->rank[j->n - 1] = cJSON_PrintUnformatted(rank)))
        return err_set(e, ERR_NOMEM, "out of memory");
    return 0;
}

static int one_input(struct jobs *j, const struct jsonl *r, struct err *e)
{
    const char *id = json_get_str(r->v, "task_id", NULL, e);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(r->v, "inputs"), *v;
    const struct bench_task *t = id ? bench_find(j->bench, id) : NULL;
    if (jsonl_schema(r, "inputs/1", 0, e) < 0)
        return e->code;
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!t)
        return err_set(e, ERR_DATA, "%s:%ld: task_id %.200s is not in the benchmark %s", r->path,
                       r->lineno, id ? id : "", j->bench->name);
    if (!cJSON_IsArray(list))
        return err_set(e, ERR_DATA, "%s:%ld: inputs: expected an array of texts", r->path,
                       r->lineno);
    cJSON_ArrayForEach(v, list) if (!cJSON_IsString(v)) return err_set(
        e, ERR_DATA, "%s:%ld: inputs: expected an array of texts", r->path, r->lineno);
    char **to = &j->inputs[t - j->bench->task];
    if (*to)
        return err_set(e, ERR_DATA, "%s:%ld: a second record for %.200s", r->path, r->lineno, id);
    return (*to = cJSON_PrintUnformatted(list)) ? 0 : err_set(e, ERR_NOMEM, "out of memory");
}

int jobs_inputs(struct jobs *j, const char *path, struct err *e)
{
    struct jsonl *r = malloc(sizeof *r);
    int rc;
    j->inputs = calloc((size_t)j->bench->n + 1, sizeof *j->inputs);
    rc = r && j->inputs ? jsonl_open(r, path, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0) {
        while ((rc = jsonl_next(r, e)) > 0 && (rc = one_input(j, r, e)) == 0)
            ;
        jsonl_close(r);
    }
    free(r);
    return e->code;
}

int jobs_read(struct jobs *j, const char *path, void (*bad)(const struct err *e), struct err *e)
{
    struct jsonl *r = malloc(sizeof *r);
    int rc = r ? jsonl_open(r, path, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc < 0) {
        free(r);
        return rc;
    }
    while ((rc = jsonl_next(r, e)) != 0) {
        long line = r->lineno;
        if (rc > 0)
            rc = read_record(j, r, e);
        if (rc < 0 && (e->code != ERR_DATA || !bad))
            break;
        if (rc < 0) {
            bad(e);
            j->n_bad++;
            memset(e, 0, sizeof *e);
            if (r->lineno == line &&
                r->in_len == 0) /* a last line without its end: nothing follows */
                break;
        }
    }
    jsonl_close(r);
    free(r);
    return e->code;
}

int jobs_canonical(struct jobs *j, struct err *e)
{
    for (int i = 0; i < j->bench->n; i++)
        if (*j->bench->task[i].canonical &&
            jobs_add(j, &j->bench->task[i], j->bench->task[i].canonical, 0, e) < 0)
            return e->code;
    return j->n ? 0 : err_set(e, ERR_DATA, "%s has no reference solutions", j->bench->name);
}

void jobs_free(struct jobs *j)
{
    for (int i = 0; i < j->n; i++)
        free((char *)(uintptr_t)j->job[i].code);
    for (int i = 0; i < j->n; i++)
        free(j->rank[i]);
    for (int i = 0; j->inputs && i < j->bench->n; i++)
        free(j->inputs[i]);
    free(j->inputs);
    free(j->rank);
    free(j->job);
    free(j->sample);
    free(j->limits);
    free(j->next);
    free(j->used);
    memset(j, 0, sizeof *j);
}
