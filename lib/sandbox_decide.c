/* sandbox_decide - from the checker's report and two exit statuses to a verdict; what each side is
 * given */
#include "extract.h"
#include "hash.h"
#include "sandbox_private.h"
#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { EXIT_JAIL = 120, EXIT_MEMORY = 121 }; /* configs/sandbox/zygote.py */

static void set(struct verdict *v, enum verdict_kind k, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void set(struct verdict *v, enum verdict_kind k, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    v->kind = k;
    vsnprintf(v->detail, sizeof v->detail, fmt, ap);
    va_end(ap);
}

/* The checker's report, if it is whole and has our nonce. 1 = it is, with *gone if the candidate
 * was gone. */
static int read_report(struct slot *t, int *gone)
{
    struct err e = {0};
    cJSON *r = t->n_report && t->n_report < sizeof t->report
                   ? json_parse(t->report, t->n_report, "report", &e)
                   : NULL;
    const char *nonce = r ? json_get_str(r, "nonce", "", &e) : "",
               *kind = r ? json_get_str(r, "verdict", "", &e) : "";
    const char *detail = r ? json_get_str(r, "detail", "", &e) : "";
    int k = verdict_parse(kind), ok;
    *gone = !strcmp(kind, "gone");
    ok = r && !e.code && !strcmp(nonce, t->nonce) && (k >= 0 || *gone);
    if (ok) {
        t->v.run = (int)json_get_int(r, "run", 0, &e);
        t->v.total = (int)json_get_int(r, "total", 0, &e);
        if (!*gone)
            set(&t->v, (enum verdict_kind)k, "%s", detail);
    }
    cJSON_Delete(r);
    return ok;
}

/* The candidate's process ended by itself before the test did. */
static void ended(struct slot *t, const struct sandbox_limits *l)
{
    const struct side *c = &t->side[CANDIDATE];
    struct verdict *v = &t->v;
    /* RLIMIT_CPU counts clock ticks, the usage we are told is exact: a busy machine tears them
     * apart */
    int cpu_killed;
    v->exit = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0;
    v->signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0;
    cpu_killed = v->signal == SIGXCPU || (v->signal == SIGKILL && c->cpu > ceil(l->cpu_s) / 2);
    if (v->exit == EXIT_JAIL)
        set(v, VERDICT_harness_error, "%s", t->head);
    else if (v->exit == EXIT_MEMORY)
        set(v, VERDICT_memory, "out of memory");
    else if (v->signal == 0)
        set(v, VERDICT_early_exit, "exit status %d before the end of the test", v->exit);
    else if (v->signal == SIGSYS)
        set(v, VERDICT_forbidden, "a forbidden system call");
    else if (cpu_killed)
        set(v, VERDICT_timeout_cpu, "more than %g s of CPU time", ceil(l->cpu_s));
    else if (v->signal == SIGXFSZ)
        set(v, VERDICT_file_limit, "a file of more than %ld MiB", l->file_mib);
    else if (v->signal ==
             SIGKILL) /* nobody but the kernel's out-of-memory killer can have sent it */
        set(v, VERDICT_memory, "killed");
    else
        set(v, VERDICT_crash, "signal %d", v->signal);
}

void sandbox_decide(struct slot *t, const struct sandbox_limits *l)
{
    const struct side *c = &t->side[CANDIDATE], *k = &t->side[CHECKER];
    int gone = 0, report = read_report(t, &gone);
    t->v.cpu_ms = 1e3 * c->cpu;
    t->v.rss_kb = c->rss_kb;
    if (t->why == KILL_WALL)
        set(&t->v, VERDICT_timeout_wall, "more than %g s",
            l->wall_s > 0 ? l->wall_s : 3 * l->cpu_s + 2);
    else if (t->why == KILL_OUTPUT)
        set(&t->v, VERDICT_output_limit, "more than %ld KiB of output", l->output_kib);
    else if (report && !gone)
        return;
    else if (report)
        ended(t, l);
    else if (WIFSIGNALED(k->status) && WTERMSIG(k->status) == SIGKILL &&
             k->cpu > ceil(l->cpu_s) / 2 + 1)
        set(&t->v, VERDICT_timeout_cpu, "the test needs too long with what was returned");
    else if (WIFEXITED(k->status) && WEXITSTATUS(k->status) == EXIT_MEMORY)
        set(&t->v, VERDICT_memory, "the test runs out of memory with what was returned");
    else
        set(&t->v, VERDICT_harness_error, "the checker ended without a report (status %d)",
            k->status);
}

/* ---- what each side is given ---- */

/* Where the entry point's definition begins in the prompt; NULL if it is not there. */
static const char *definition(const char *prompt, const char *entry)
{
    size_t m = strlen(entry);
    for (const char *p = prompt; p && *p; p = strchr(p, '\n'), p += p != NULL) {
        const char *q = p + (strncmp(p, "async ", 6) ? 0 : 6);
        if (!strncmp(q, "def ", 4) && !strncmp(q + 4, entry, m) &&
            (q[4 + m] == '(' || q[4 + m] == ' '))
            return p;
    }
    return NULL;
}

char *sandbox_program(const struct bench_task *t, const char *code)
{
    const char *def = t->entry_point ? definition(t->prompt, t->entry_point) : NULL, *s = code;
    size_t before = 0, n = strlen(code);
    char *out;
    while (*s == '\n' || *s == '\r')
        s++;
    if (t->entry_point && !extract_defines(code, t->entry_point) && (*s == ' ' || *s == '\t'))
        before = strlen(t->prompt); /* a body */
    else if (def && !strstr(code, "from __future__"))
        before = (size_t)(def - t->prompt);
    if (!(out = malloc(before + n + 2)))
        return NULL;
    if (before)
        memcpy(out, t->prompt, before);
    memcpy(out + before, code, n + 1);
    return out;
}

char *sandbox_test_json(const struct bench_task *t, const char *nonce, size_t *n)
{
    struct json_out j = {0};
    json_begin(&j, '{');
    json_kv_str(&j, "task_id", t->task_id);
    json_kv_str(&j, "nonce", nonce);
    if (t->entry_point) {
        json_kv_str(&j, "entry_point", t->entry_point);
        json_kv_str(&j, "prompt", t->prompt);
        json_kv_str(&j, "test", t->test);
    } else {
        json_kv_str(&j, "setup", t->setup ? t->setup : "");
        json_key(&j, "tests");
        json_begin(&j, '[');
        for (int i = 0; i < t->n_tests; i++)
            json_str(&j, t->tests[i]);
        json_end(&j, ']');
    }
    json_end(&j, '}');
    return json_take(&j, n);
}

int sandbox_job_hash(const struct sandbox_job *j, const struct sandbox_limits *l, char hex[65])
{
    size_t n = 0;
    char *program = sandbox_program(j->task, j->code), *test = sandbox_test_json(j->task, "", &n),
         limits[160];
    struct hash_sha256 h;
    int ok = program && test && hash_sha256_init(&h) == 0;
    snprintf(limits, sizeof limits, "%g %g %ld %ld %ld %ld", l->cpu_s, l->wall_s, l->memory_mib,
             l->processes, l->file_mib, l->output_kib);
    if (ok) {
        hash_sha256_add(&h, program, strlen(program) + 1);
        hash_sha256_add(&h, test, n + 1);
        hash_sha256_add(&h, limits, strlen(limits));
        hash_sha256_hex(&h, hex);
    }
    free(program);
    free(test);
    return ok ? 0 : ERR_NOMEM;
}
