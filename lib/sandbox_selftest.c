/* sandbox_selftest - read the hostile programs, find their tasks, run them */
#include "sandbox_selftest.h"
#include "expected.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_PROGRAMS = 4096 };

/* A program's language is its suffix; where no "bench" is named, its task is of this one. */
static const struct {
    const char *suffix, *bench;
} kinds[] = {{".py", "humaneval"},
             {".js", "humaneval-x-js"},
             {".cpp", "humaneval-x-cpp"},
             {".c", "basic-c"}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static int kind_of(const char *name) /* index, or -1 */
{
    const char *dot = strrchr(name, '.');
    for (int k = 0; dot && dot > name && k < N_KINDS; k++)
        if (!strcmp(dot, kinds[k].suffix))
            return k;
    return -1;
}

/* The rest of the line "# key: ..." or "// key: ..." (malloc), or NULL. */
static char *header(const char *text, const char *key)
{
    static const char *const begin[] = {"# ", "// "};
    char want[32];
    for (int i = 0; i < 2; i++) {
        snprintf(want, sizeof want, "%s%.20s: ", begin[i], key);
        for (const char *p = text; (p = strstr(p, want)); p++)
            if (p == text || p[-1] == '\n') {
                p += strlen(want);
                return strndup(p, strcspn(p, "\r\n"));
            }
    }
    return NULL;
}

/* The bytes of a file (malloc), NUL behind them; NULL with the error set. */
static char *read_program(const char *path, size_t *size, struct err *e)
{
    FILE *f = fopen(path, "rb");
    char *code = f ? malloc(MAX_BYTES + 1) : NULL;
    size_t n = code ? fread(code, 1, MAX_BYTES + 1, f) : 0;
    if (!f) {
        err_errno(e, ERR_NOINPUT, "%s", path);
        return NULL;
    }
    fclose(f);
    if (!code)
        err_set(e, ERR_NOMEM, "%s: out of memory", path);
    else if (n > MAX_BYTES)
        err_set(e, ERR_DATA, "%s: more than %d bytes", path, MAX_BYTES);
    else {
        code[n] = 0;
        *size = n;
        return code;
    }
    free(code);
    return NULL;
}

static int load_one(struct selftest *t, const char *path, const char *name, struct err *e)
{
    const int k = kind_of(name);
    size_t n;
    if (!(t->code = read_program(path, &n, e)))
        return e->code;
    t->name = strndup(name, strlen(name) - strlen(kinds[k].suffix));
    if (strlen(t->code) < n)
        snprintf(t->skip, sizeof t->skip, "a NUL byte, which no record of code can hold");
    t->task_id = header(t->code, "task");
    t->expect = header(t->code, "expect");
    if (!(t->bench = header(t->code, "bench")))
        t->bench = strdup(kinds[k].bench);
    if (!t->name || !t->bench)
        return err_set(e, ERR_NOMEM, "%s: out of memory", path);
    if (!t->task_id || !t->expect)
        return err_set(e, ERR_DATA, "%s: the lines \"task:\" and \"expect:\" are missing", path);
    for (char *w = t->expect; *w;) {
        char kind[32];
        size_t len = strcspn(w, " ");
        snprintf(kind, sizeof kind, "%.*s", (int)len, w);
        if (verdict_parse(kind) < 0)
            return err_set(e, ERR_DATA, "%s: %s is no verdict", path, kind);
        w += len + strspn(w + len, " ");
    }
    return 0;
}

static int is_program(const struct dirent *d)
{
    return kind_of(d->d_name) >= 0;
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
        free(t[i].bench);
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

/* ---- running ---- */

enum { MAX_BENCHES = 16 };

struct used { /* a benchmark that programs are of */
    const char *name;
    struct bench bench;
    struct expected expected;
    char *wanted; /* by task */
};
struct batch {
    struct selftest *t;
    struct used used[MAX_BENCHES];
    int n_used, n;
    int *index; /* job -> program */
    struct sandbox_job *job;
    selftest_told *told;
    void *arg;
};

/* The benchmark of program t; "x.yaml" is beside the programs. NULL with the error set. */
static struct used *bench_of(struct batch *b, const struct selftest *t, const char *dir,
                             struct err *e)
{
    struct used *u = b->used;
    char path[4200];
    size_t n = strlen(t->bench);
    while (u < b->used + b->n_used && strcmp(u->name, t->bench))
        u++;
    if (u < b->used + b->n_used)
        return u;
    if (b->n_used == MAX_BENCHES) {
        err_set(e, ERR_DATA, "%s: more than %d benchmarks", t->name, MAX_BENCHES);
        return NULL;
    }
    snprintf(path, sizeof path, "%.4000s/%.100s", dir, t->bench);
    if (bench_load(&u->bench, n > 5 && !strcmp(t->bench + n - 5, ".yaml") ? path : t->bench, e) < 0)
        return NULL;
    b->n_used++;
    u->name = t->bench;
    if (!(u->wanted = calloc((size_t)u->bench.n + 1, 1))) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return u;
}

static int find_tasks(struct batch *b, int n, const char *dir, struct err *e)
{
    for (int i = 0; i < n; i++) {
        struct selftest *t = &b->t[i];
        struct used *u;
        if (*t->skip)
            continue;
        if (!(u = bench_of(b, t, dir, e)))
            return e->code;
        if (!(t->task = bench_find(&u->bench, t->task_id)))
            return err_set(e, ERR_DATA, "%s: no task %s in %s", t->name, t->task_id, t->bench);
        t->lang = u->bench.lang;
        u->wanted[t->task - u->bench.task] = 1;
    }
    return 0;
}

static struct sandbox_job job_of(const struct batch *b, const struct selftest *t,
                                 const struct sandbox_limits *l)
{
    const struct used *u = b->used;
    while (strcmp(u->name, t->bench))
        u++;
    return (struct sandbox_job){
        .task = t->task,
        .code = t->code,
        .limits = l,
        .lang = u->bench.lang,
        .inproc = t->task->inproc || t->task->judge == BENCH_UNITTEST,
        .expected = u->expected.path ? u->expected.path[t->task - u->bench.task] : NULL};
}

static int pass_on(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct batch *b = arg;
    return b->told(b->arg, &b->t[b->index[i]], v, e);
}

/* Programs that only a clock can end get little of it, and come first; the others get plenty, so that a slow or
 * busy machine changes no verdict. */
static int run_lang(struct sandbox *s, struct batch *b, enum bench_lang lang, struct err *e)
{
    static const enum verdict_kind ended[] = {VERDICT_timeout_wall, VERDICT_timeout_cpu};
    struct sandbox_limits limits[3] = {sandbox_defaults, sandbox_defaults, sandbox_defaults};
    int k = 0;
    for (int by = 0; by < 3; by++) { /* the wall clock, CPU time, something else */
        struct sandbox_limits *l = &limits[by];
        l->memory_mib = 512;
        l->cpu_s = by < 2 ? 1 : 10;
        l->wall_s = by < 1 ? 2 : 60;
        for (int i = 0; i < b->n; i++) {
            const struct selftest *t = &b->t[i];
            int is = 0;
            while (is < 2 && !selftest_expected(t, ended[is]))
                is++;
            if (*t->skip || t->lang != lang || is != by)
                continue;
            b->index[k] = i;
            b->job[k++] = job_of(b, t, l);
        }
    }
    return sandbox_run(s, b->job, k, pass_on, b, e);
}

/* What the references of EvalPlus's tasks return. */
static int references(struct batch *b, struct sandbox *s, struct err *e)
{
    for (int i = 0; i < b->n_used; i++)
        if (b->used[i].bench.format == BENCH_EVALPLUS &&
            expected_load(&b->used[i].expected, s, &b->used[i].bench, b->used[i].wanted, NULL, NULL,
                          e) < 0)
            return e->code;
    return 0;
}

/* The programs in one language; without its compiler they are skipped. */
static int run_all_of(struct batch *b, const struct sandbox_opts *o, enum bench_lang lang,
                      struct err *e)
{
    struct sandbox_opts so = *o;
    struct sandbox *s;
    int some = 0;
    for (int i = 0; i < b->n; i++)
        some |= !*b->t[i].skip && b->t[i].lang == lang;
    so.lang = lang;
    if (!some || sandbox_open(&s, &so, e) < 0)
        return e->code;
    if (lang == BENCH_PYTHON)
        references(b, s, e);
    else if (sandbox_need_lang(s, e) == ERR_UNAVAILABLE) {
        for (int i = 0; i < b->n; i++)
            if (b->t[i].lang == lang)
                snprintf(b->t[i].skip, sizeof b->t[i].skip, "%.150s", e->msg);
        *e = (struct err){0};
    }
    if (e->code == 0)
        run_lang(s, b, lang, e);
    sandbox_close(s);
    return e->code;
}

int selftest_run(const struct sandbox_opts *o, struct selftest *t, int n, const char *dir,
                 selftest_told *told, void *arg, struct err *e)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return err_set(e, ERR_NOMEM, "out of memory");
    *b = (struct batch){.t = t, .n = n, .told = told, .arg = arg};
    b->job = calloc((size_t)n + 1, sizeof *b->job);
    b->index = calloc((size_t)n + 1, sizeof *b->index);
    if (!b->job || !b->index)
        err_set(e, ERR_NOMEM, "out of memory");
    else
        find_tasks(b, n, dir, e);
    for (int lang = 0; lang < BENCH_LANGS && e->code == 0; lang++)
        run_all_of(b, o, (enum bench_lang)lang, e);
    for (int i = 0; i < n && e->code == 0; i++)
        if (*t[i].skip)
            told(arg, &t[i], NULL, e);
    for (int i = 0; i < b->n_used; i++) {
        expected_free(&b->used[i].expected);
        bench_free(&b->used[i].bench);
        free(b->used[i].wanted);
    }
    free(b->job);
    free(b->index);
    free(b);
    return e->code;
}
