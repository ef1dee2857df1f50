/* sandbox_selftest - read the hostile programs */
#include "sandbox_selftest.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 16, MAX_PROGRAMS = 4096 };

static char *header(const char *text,
                    const char *key) /* the rest of the line "# key: ..." (malloc) */
{
    char want[32];
    const char *p;
    snprintf(want, sizeof want, "# %.20s: ", key);
    if (!(p = strstr(text, want)) || (p != text && p[-1] != '\n'))
        return NULL;
    p += strlen(want);
    return strndup(p, strcspn(p, "\r\n"));
}

static int load_one(struct selftest *t, const char *path, const char *name, struct err *e)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    if (!f)
        return err_errno(e, ERR_NOINPUT, "%s", path);
    t->code = malloc(MAX_BYTES + 1);
    n = t->code ? fread(t->code, 1, MAX_BYTES, f) : 0;
    fclose(f);
    if (!t->code)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    t->code[n] = 0;
    t->name = strndup(name, strlen(name) - 3);
    t->task_id = header(t->code, "task");
    t->expect = header(t->code, "expect");
    if (!t->task_id || !t->expect)
        return err_set(e, ERR_DATA, "%s: the lines \"# task:\" and \"# expect:\" are missing",
                       path);
    for (char *w = t->expect; *w;) {
        char kind[32];
        size_t k = strcspn(w, " ");
        snprintf(kind, sizeof kind, "%.*s", (int)k, w);
        if (verdict_parse(kind) < 0)
            return err_set(e, ERR_DATA, "%s: %s is no verdict", path, kind);
        w += k + strspn(w + k, " ");
    }
    return 0;
}

static int is_program(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 3 && !strcmp(d->d_name + n - 3, ".py");
}

int selftest_load(struct selftest **out, int *n, const char *dir, struct err *e)
{
    struct dirent **list = NULL;
    struct selftest *t;
    int count = scandir(dir, &list, is_program, alphasort), rc = 0;
    *out = NULL;
    *n = 0;
    if (count < 0)
        return err_errno(e, ERR_NOINPUT, "%s", dir);
    if (!(t = calloc((size_t)count + 1, sizeof *t)))
        rc = err_set(e, ERR_NOMEM, "%s: out of memory", dir);
    else if (count == 0 || count > MAX_PROGRAMS)
        rc = err_set(e, ERR_DATA, "%s: expected 1 to %d programs, found %d", dir, MAX_PROGRAMS,
                     count);
    for (int i = 0; i < count; i++) {
        char path[4096];
        if (rc == 0) {
            snprintf(path, sizeof path, "%.3800s/%s", dir, list[i]->d_name);
            rc = load_one(&t[i], path, list[i]->d_name, e);
        }
        free(list[i]);
    }
    free(list);
    if (rc < 0) {
        selftest_free(t, count);
        return rc;
    }
    *out = t;
    *n = count;
    return 0;
}

void selftest_free(struct selftest *t, int n)
{
    for (int i = 0; t && i < n; i++) {
        free(t[i].name);
        free(t[i].task_id);
        free(t[i].expect);
        free(t[i].code);
    }
    free(t);
}

int selftest_expected(const struct selftest *t, enum verdict_kind k)
{
    const char *name = verdict_name(k), *p = t->expect;
    size_t n = strlen(name);
    while ((p = strstr(p, name))) {
        if ((p == t->expect || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0))
            return 1;
        p += n;
    }
    return 0;
}

struct batch {
    const struct selftest *t;
    int *index; /* job -> program */
    int (*told)(void *arg, const struct selftest *t, const struct verdict *v, struct err *e);
    void *arg;
};

static int pass_on(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct batch *b = arg;
    return b->told(b->arg, &b->t[b->index[i]], v, e);
}

int selftest_run(struct sandbox *s, const struct selftest *t, int n,
                 int (*told)(void *arg, const struct selftest *t, const struct verdict *v,
                             struct err *e),
                 void *arg, struct err *e)
{
    struct bench b = {0};
    struct sandbox_job *job = calloc((size_t)n + 1, sizeof *job);
    struct batch batch = {t, calloc((size_t)n + 1, sizeof(int)), told, arg};
    int rc = job && batch.index ? bench_load(&b, "humaneval", e)
                                : err_set(e, ERR_NOMEM, "out of memory");
    for (int waits = 0; waits < 2 && rc == 0; waits++) {
        struct sandbox_limits l = sandbox_defaults;
        int k = 0;
        l.cpu_s = 1, l.memory_mib = 512;
        l.wall_s = waits ? 2 : 60;
        for (int i = 0; i < n && rc == 0; i++) {
            const struct bench_task *task = bench_find(&b, t[i].task_id);
            if (selftest_expected(&t[i], VERDICT_timeout_wall) != waits)
                continue;
            if (!task)
                rc = err_set(e, ERR_DATA, "%s: no task %s", t[i].name, t[i].task_id);
            batch.index[k] = i;
            job[k++] = (struct sandbox_job){.task = task, .code = t[i].code, .limits = &l};
        }
        if (rc == 0)
            rc = sandbox_run(s, job, k, pass_on, &batch, e);
    }
    bench_free(&b);
    free(job);
    free(batch.index);
    return rc;
}
