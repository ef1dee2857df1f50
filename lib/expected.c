/* expected - files of what reference solutions return: names, the ones that are missing, the folder */
#include "expected.h"
#include "cache.h"
#include "hash.h"
#include "json.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 2,
    MEMORY_MIB = 4096,
    CPU_S = 120
}; /* of a reference, where the task asks for no more */

void expected_head(char *line, size_t size, const char *p, size_t n)
{
    snprintf(line, size, "APRX1 %zu %016llx\n", n, (unsigned long long)hash_xxh64(p, n, 0));
}

char *expected_read(const char *path, size_t *n, struct err *e)
{
    char line[64], want[64], *p = NULL;
    unsigned long long size = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), ok = 0;
    struct stat st;
    FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        fclose(f); /* anybody can compute the sum in its first line: others' files decide nothing */
        err_set(e, ERR_DATA, "%s: not a file of this user", path);
        return NULL;
    }
    if (fgets(line, sizeof line, f) && sscanf(line, "APRX1 %llu ", &size) == 1 && size < 1u << 30 &&
        (p = malloc((size_t)size + 1))) {
        *n = fread(p, 1, (size_t)size + 1, f);
        expected_head(want, sizeof want, p, *n);
        ok = *n == size && !strcmp(line, want);
    }
    fclose(f);
    if (ok)
        return p;
    free(p);
    err_set(e, ERR_DATA, "%s: damaged", path);
    return NULL;
}

static int usable(const char *path, long *seconds)
{
    struct err e = {0};
    size_t n;
    char *p = access(path, R_OK) == 0 ? expected_read(path, &n, &e) : NULL,
         *end = p ? memchr(p, '\n', n) : NULL;
    cJSON *head = end ? json_parse(p, (size_t)(end - p), path, &e) : NULL;
    *seconds = head ? json_get_int(head, "seconds", 0, &e) : 0;
    cJSON_Delete(head);
    free(p);
    return head && e.code == 0;
}

static int find_dir(struct expected *x, struct err *e)
{
    char name[600];
    if (cache_dir("expected/x", name, sizeof name) ==
        0) { /* its parent is there and can be written */
        snprintf(x->dir, sizeof x->dir, "%.*s", (int)(strrchr(name, '/') - name), name);
        return 0;
    }
    cache_temporary(x->dir, sizeof x->dir);
    if (!mkdtemp(x->dir))
        return err_errno(e, ERR_CANTCREAT, "%s", x->dir);
    x->temporary = 1;
    return 0;
}

/* DIR/SHA256 of a task (malloc). */
static char *name_of(const struct expected *x, const struct bench_task *t, const char *python)
{
    char head[128], hex[65], *program = sandbox_program(t, t->canonical), *path = NULL;
    struct hash_sha256 h;
    snprintf(head, sizeof head, "%d %.32s %.17g %.30s %.12s\n", VERSION, python, t->atol, t->form,
             t->oracle);
    if (program && hash_sha256_init(&h) == 0) {
        hash_sha256_add(&h, head, strlen(head));
        hash_sha256_add(&h, program, strlen(program) + 1);
        hash_sha256_add(&h, t->record, t->n_record);
        hash_sha256_hex(&h, hex);
        if ((path = malloc(strlen(x->dir) + 70)))
            snprintf(path, strlen(x->dir) + 70, "%s/%s", x->dir, hex);
    }
    free(program);
    return path;
}

struct told {
    struct expected *x;
    const struct bench *b;
    const int *index; /* job -> task */
    int n;
    void (*progress)(void *arg, int done, int of);
    void *arg;
};

static int told(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct told *t = arg;
    if (v->kind != VERDICT_pass)
        return err_set(e, ERR_DATA, "%s: %s: the reference solution: %s: %s", t->b->path,
                       t->b->task[t->index[i]].task_id, verdict_name(v->kind), v->detail);
    t->x->computed++;
    if (t->progress)
        t->progress(t->arg, i + 1, t->n);
    return 0;
}

int expected_load(struct expected *x, struct sandbox *s, const struct bench *b, const char *wanted,
                  void (*progress)(void *arg, int done, int of), void *arg, struct err *e)
{
    struct sandbox_job *job = NULL;
    struct sandbox_limits *limits = NULL;
    int *index = NULL, n = 0, rc;
    memset(x, 0, sizeof *x);
    if ((rc = find_dir(x, e)) < 0)
        return rc;
    x->n = b->n;
    x->path = calloc((size_t)b->n + 1, sizeof *x->path);
    x->seconds = calloc((size_t)b->n + 1, sizeof *x->seconds);
    job = calloc((size_t)b->n + 1, sizeof *job);
    limits = calloc((size_t)b->n + 1, sizeof *limits);
    index = calloc((size_t)b->n + 1, sizeof *index);
    rc = x->path && x->seconds && job && limits && index
             ? 0
             : err_set(e, ERR_NOMEM, "%s: out of memory", b->path);
    for (int i = 0; i < b->n && rc == 0; i++) {
        const struct bench_task *t = &b->task[i];
        if (!wanted[i] || t->judge != BENCH_EXPECTED || t->inproc)
            continue;
        if (!(x->path[i] = name_of(x, t, sandbox_python(s))))
            rc = err_set(e, ERR_NOMEM, "%s: out of memory", b->path);
        else if (!usable(x->path[i], &x->seconds[i])) {
            limits[n] = sandbox_defaults;
            limits[n].memory_mib = t->memory_mib > MEMORY_MIB ? t->memory_mib : MEMORY_MIB;
            limits[n].cpu_s = t->cpu_s > CPU_S ? t->cpu_s : CPU_S;
            index[n] = i;
            job[n] = (struct sandbox_job){.task = t,
                                          .code = t->canonical,
                                          .work = SANDBOX_REFERENCE,
                                          .expected = x->path[i],
                                          .limits = &limits[n]};
            n++;
        }
    }
    if (rc == 0 && n > 0) {
        struct told t = {x, b, index, n, progress, arg};
        rc = sandbox_run(s, job, n, told, &t, e);
        for (int k = 0; k < n && rc == 0; k++)
            usable(job[k].expected, &x->seconds[index[k]]);
    }
    free(job);
    free(limits);
    free(index);
    return rc;
}

void expected_free(struct expected *x)
{
    for (int i = 0; i < x->n && x->path; i++)
        free(x->path[i]);
    if (x->temporary)
        cache_remove(x->dir);
    free(x->path);
    free(x->seconds);
    memset(x, 0, sizeof *x);
}
