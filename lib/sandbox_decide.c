/* sandbox_decide - from a report and two exit statuses to a verdict */
#include "expected.h"
#include "outfile.h"
#include "sandbox_private.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A reference's results: the nonce, a line's end, the file. */
static void read_results(struct slot *t)
{
    size_t n = strlen(t->nonce);
    struct outfile f = {0};
    struct err e = {0};
    struct stat st;
    char head[64];
    t->reported = t->n_report > n + 1 && !memcmp(t->report, t->nonce, n) && t->report[n] == '\n';
    if (t->n_report > n + 1 && !memcmp(t->report, t->nonce, n) && t->report[n] == '!') {
        t->reported = 1;
        set(&t->v, VERDICT_exception, "%.*s", (int)(t->n_report - n - 1), t->report + n + 1);
        return;
    }
    if (!t->reported)
        return;
    n++;
    expected_head(head, sizeof head, t->report + n, t->n_report - n);
    if (lstat(t->expected, &st) == 0 && !S_ISREG(st.st_mode))
        unlink(t->expected); /* planted there: a pipe would be written, not replaced */
    if (outfile_open(&f, t->expected, &e) < 0 || outfile_write(&f, head, strlen(head), &e) < 0 ||
        outfile_write(&f, t->report + n, t->n_report - n, &e) < 0 || outfile_commit(&f, &e) < 0) {
        outfile_abort(&f);
        set(&t->v, VERDICT_harness_error, "%s", e.msg);
    } else {
        set(&t->v, VERDICT_pass, "%s", "");
    }
}

void sandbox_read_report(struct slot *t)
{
    struct err e = {0};
    cJSON *r;
    if (t->work == SANDBOX_REFERENCE) {
        read_results(t);
        return;
    }
    r = t->n_report ? json_parse(t->report, t->n_report, "report", &e) : NULL;
    const char *nonce = r ? json_get_str(r, "nonce", "", &e) : "",
               *kind = r ? json_get_str(r, "verdict", "", &e) : "";
    const char *detail = r ? json_get_str(r, "detail", "", &e) : "";
    int k = verdict_parse(kind);
    t->gone = !strcmp(kind, "gone");
    t->reported = r && !e.code && !strcmp(nonce, t->nonce) && (k >= 0 || t->gone);
    if (t->reported) {
        t->v.run = (int)json_get_int(r, "run", 0, &e);
        t->v.total = (int)json_get_int(r, "total", 0, &e);
        t->stays = t->jail[1] >= 0 && json_get_bool(r, "stays", 0, &e);
        if (!t->gone)
            set(&t->v, (enum verdict_kind)k, "%s", detail);
    }
    cJSON_Delete(r);
}

/* The candidate's process ended by itself before the test did. */
static int says_memory(const struct slot *t) /* node's last words */
{
    return memmem(t->tail, t->n_tail, "out of memory", 13) ||
           memmem(t->tail, t->n_tail, "llocation failed", 16);
}

static void ended(struct slot *t)
{
    const struct sandbox_limits *l = t->limits;
    const struct side *c = &t->side[CANDIDATE];
    struct verdict *v = &t->v;
    /* RLIMIT_CPU counts clock ticks, the usage we are told is exact: a busy machine tears them
     * apart */
    int cpu_killed;
    v->exit = WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 0;
    v->signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0;
    cpu_killed = v->signal == SIGXCPU || (v->signal == SIGKILL && c->cpu > ceil(l->cpu_s) / 2);
    if (c->failed)
        set(v, VERDICT_harness_error, "%s", t->failure);
    else if (v->exit == JAIL_EXIT_MEMORY)
        set(v, VERDICT_memory, "out of memory");
    else if (v->signal == 0)
        set(v, VERDICT_early_exit, "exit status %d before the end of the test", v->exit);
    else if (t->jail[0] == PROGRAM &&
             (v->signal == SIGABRT || v->signal == SIGTRAP || v->signal == SIGILL ||
              v->signal == SIGSEGV) &&
             says_memory(t))
        set(v, VERDICT_memory, "signal %d: out of memory", v->signal);
    else if (v->signal == SIGSYS)
        set(v, VERDICT_forbidden, "a forbidden system call");
    else if (cpu_killed)
        set(v, VERDICT_timeout_cpu, "more than %g s of CPU time", ceil(l->cpu_s));
    else if (v->signal == SIGXFSZ)
        set(v, VERDICT_file_limit, "a file of more than %ld MiB", l->file_mib);
    else if (v->signal == SIGKILL && c->kill) { /* by us, since nothing could come any more */
        v->signal = 0;
        set(v, VERDICT_protocol, "it closed its end before the end of the test");
    } else if (v->signal ==
               SIGKILL) /* nobody but the kernel's out-of-memory killer can have sent it */
        set(v, VERDICT_memory, "killed");
    else
        set(v, VERDICT_crash, "signal %d", v->signal);
}

/* A program's candidate that was not started: the compiler's complaint, said before any of its code ran. */
static void read_told(struct slot *t)
{
    struct err e = {0};
    cJSON *r = json_parse(t->told, t->n_told, "status", &e);
    const char *kind = r ? json_get_str(r, "verdict", "", &e) : "",
               *detail = r ? json_get_str(r, "detail", "", &e) : "";
    int k = verdict_parse(kind);
    if (r && !e.code && k >= 0 && k != VERDICT_pass)
        set(&t->v, (enum verdict_kind)k, "%s", detail);
    else
        set(&t->v, VERDICT_harness_error, "a status that cannot be read");
    cJSON_Delete(r);
}

/* No report: the checker ended in the middle of the test, or in one process the code did. */
static void unreported(struct slot *t)
{
    const struct side *k = &t->side[CHECKER];
    if ((t->jail[1] < 0))
        ended(t);
    else if (k->failed)
        set(&t->v, VERDICT_harness_error, "checker: %s", t->failure);
    else if (WIFSIGNALED(k->status) && WTERMSIG(k->status) == SIGXCPU)
        set(&t->v, VERDICT_timeout_cpu, "the test needs too long with what was returned");
    else if (WIFEXITED(k->status) && WEXITSTATUS(k->status) == JAIL_EXIT_MEMORY)
        set(&t->v, VERDICT_memory, "the test runs out of memory with what was returned");
    else
        set(&t->v, VERDICT_harness_error, "the checker ended without a report (status %d)",
            k->status);
}

/* A behaviour: what came back, then for each input that got no answer why. */
void sandbox_outputs(struct verdict *v, const cJSON *list, int total)
{
    struct json_out j = {0};
    const cJSON *text;
    size_t n;
    char why[64];
    snprintf(why, sizeof why, "!%s", verdict_name(v->kind));
    v->run = 0;
    json_begin(&j, '[');
    cJSON_ArrayForEach(text, list) if (v->run < total && cJSON_IsString(text))
    {
        json_str(&j, text->valuestring);
        v->run++;
    }
    for (int i = v->run; i < total; i++)
        json_str(&j, why);
    json_end(&j, ']');
    v->outputs = json_take(&j, &n);
}

static void decide_outputs(struct slot *t)
{
    struct err e = {0};
    cJSON *r = t->reported ? json_parse(t->report, t->n_report, "report", &e) : NULL;
    sandbox_outputs(&t->v, r ? cJSON_GetObjectItemCaseSensitive(r, "outputs") : NULL, t->n_inputs);
    cJSON_Delete(r);
}

void sandbox_decide(struct sandbox *s, struct slot *t)
{
    const struct sandbox_limits *l = t->limits;
    struct verdict *v = &t->v;
    t->v.cpu_ms = 1e3 * t->side[CANDIDATE].cpu;
    t->v.rss_kb = t->side[CANDIDATE].rss_kb;
    t->v.inproc = (t->jail[1] < 0);
    t->v.output_bytes = (long)t->n_output;
    if (t->n_told && !(t->reported && !t->gone && v->kind == VERDICT_harness_error))
        read_told(t);
    else if (t->why == KILL_WALL)
        set(v, VERDICT_timeout_wall, "more than %g s", t->wall_s);
    else if (t->why == KILL_CPU)
        set(v, VERDICT_timeout_cpu, "more than %g s of CPU time, all processes together", t->cpu_s);
    else if (t->n_output > (size_t)l->output_kib * 1024 &&
             (!t->reported || t->gone || v->kind == VERDICT_pass))
        set(v, VERDICT_output_limit, "more than %ld KiB of output", l->output_kib);
    else if (!t->reported)
        unreported(t);
    else if (t->gone)
        ended(t);
    /* some process of the tree was killed for memory: what the others made of it is no answer */
    if (v->kind != VERDICT_pass && v->kind != VERDICT_memory &&
        cgroup_oom_kills(&s->cgroup, (int)(t - s->slot)) > t->oom_before)
        set(v, VERDICT_memory, "more than %ld MiB, all processes together", l->memory_mib);
    if (t->work == SANDBOX_BEHAVIOUR)
        decide_outputs(t);
}
