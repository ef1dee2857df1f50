/* apr-sandbox - judge code in a sandbox (code/1 to verdict/1) */
#include "bench.h"
#include "cli.h"
#include "earlier.h"
#include "expected.h"
#include "hash.h"
#include "jail.h"
#include "jobs.h"
#include "json.h"
#include "outfile.h"
#include "paths.h"
#include "sandbox.h"
#include "sandbox_selftest.h"
#include <stdlib.h>
#include <string.h>

static struct {
    const char *bench, *out, *require, *mode, *resume, *profile, *inputs;
    double cpu, wall;
    long jobs, memory, processes, output, recheck;
    int timings, probe, canonical, self_test;
} o = {.out = "-", .require = "none", .mode = "auto", .recheck = 1};

static const struct cli_opt opts[] = {
    // clang-format off
    CLI_STR('b', "bench", &o.bench, "NAME", "benchmark of configs/bench, or a .jsonl[.gz] file"),
    CLI_INT('j', "jobs", &o.jobs, "N", "judge N at once (0: three for two processors)", 0, JAIL_SLOTS),
    CLI_FLOAT('t', "cpu-seconds", &o.cpu, "F", "CPU time of a program, rounded up (0: the benchmark's, or 5)", 0, 86400),
    CLI_FLOAT('w', "wall-seconds", &o.wall, "F", "backstop in wall time (0: 3 times the CPU time and 2 s)", 0, 864000),
    CLI_INT('m', "memory", &o.memory, "MIB", "memory of a program (0: the benchmark's, or 1024)", 0, 1 << 20),
    CLI_INT(0, "processes", &o.processes, "N", "processes and threads of a program (0: 32)", 0, 4096),
    CLI_INT(0, "output-limit", &o.output, "KIB", "bytes on stdout and stderr (0: 1024)", 0, 1 << 20),
    CLI_STR(0, "profile", &o.profile, "FILE", "limits from a .yaml, where neither options nor benchmark say"),
    CLI_CHOICE(0, "mode", &o.mode, "auto|split|inproc", "code and test in two processes, or in one"),
    CLI_INT(0, "recheck", &o.recheck, "N", "try a wall time-out again, alone: so many times", 0, 9),
    CLI_STR(0, "resume", &o.resume, "FILE", "take over verdicts of an earlier run where the job is the same"),
    CLI_STR(0, "inputs", &o.inputs, "FILE", "call the code with these inputs and write what it does (behaviour/1)"),
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
    .see = "apr-extract(1), passk(1), bench(5), schema(7)",
    .output_version = SANDBOX_VERSION};

/* A run: jobs in input order, those that are judged now, where the verdicts go. */
struct work {
    struct bench bench;
    struct jobs jobs;
    struct expected expected;
    struct earlier earlier;
    struct sandbox_job *run; /* of this run, and which of all jobs each is */
    int *index, n_run;
    int next; /* the next job whose verdict is written */
    long passed, n_harness;
    unsigned enforced;
    struct partfile part; /* or */
    int to_stdout, skip;  /* skip: verdicts kept from an interrupted run */
    struct json_out line;
    struct cli_progress progress;
};

static void bad_line(const struct err *e)
{
    cli_warn("%s", e->msg);
}

static int put_line(struct work *w, const char *line, size_t n, struct err *e)
{
    w->next++;
    if (!w->to_stdout)
        return partfile_line(&w->part, line, n, e);
    return fwrite(line, 1, n, stdout) == n && putc('\n', stdout) != EOF && (n = 0, !fflush(stdout))
               ? 0
               : err_errno(e, ERR_IO, "standard output");
}

/* The verdict that an earlier run gave to job i, if it is taken over. */
static const char *taken_over(struct work *w, int i, size_t *n)
{
    const struct sandbox_job *job = &w->jobs.job[i];
    char hash[65];
    return w->earlier.n && sandbox_job_hash(job, job->limits, hash) == 0
               ? earlier_find(&w->earlier, job->task->task_id, w->jobs.sample[i], hash, n)
               : NULL;
}

/* Verdicts of earlier runs up to job `to`. */
static int put_earlier(struct work *w, int to, struct err *e)
{
    size_t n;
    while (w->next < to) {
        const char *line = taken_over(w, w->next, &n);
        if (put_line(w, line, n, e) < 0)
            return e->code;
    }
    return 0;
}

static int done(void *arg, int k, const struct verdict *v, struct err *e)
{
    struct work *w = arg;
    int i = w->index[k];
    const struct sandbox_job *job = &w->jobs.job[i];
    char hash[65];
    if (put_earlier(w, i, e) < 0)
        return e->code;
    if (sandbox_job_hash(job, job->limits, hash) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (o.inputs)
        verdict_behaviour(&w->line, v, job->task->task_id, w->jobs.sample[i], w->bench.name);
    else
        verdict_write(&w->line, v, job->task->task_id, w->jobs.sample[i], w->bench.name,
                      w->enforced, hash, w->jobs.rank[i], o.timings);
    if (w->line.failed)
        return err_set(e, ERR_NOMEM, "out of memory");
    w->passed += v->kind == VERDICT_pass;
    w->n_harness += v->kind == VERDICT_harness_error;
    put_line(w, w->line.buf, w->line.len, e);
    json_reset(&w->line);
    cli_progress(&w->progress, k + 1, NULL);
    return e->code;
}

static int seen(void *arg, const char *line, size_t n, struct err *e)
{
    struct work *w = arg;
    (void)line, (void)n;
    return ++w->skip > w->jobs.n
               ? err_set(e, ERR_DATA, "%s.part holds more verdicts than there is code", o.out)
               : 0;
}

/* What an interrupted run must share with this one to be gone on with: all code, tests, limits,
 * output form. */
static int part_key(const struct work *w, char *key, size_t size, struct err *e)
{
    struct hash_sha256 h;
    char hex[65];
    if (hash_sha256_init(&h) < 0)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (int i = 0; i < w->jobs.n; i++) {
        char line[512];
        if (sandbox_job_hash(&w->jobs.job[i], w->jobs.job[i].limits, hex) == 0) {
            snprintf(line, sizeof line, "%.300s %ld %s\n", w->jobs.job[i].task->task_id,
                     w->jobs.sample[i], hex);
            hash_sha256_add(&h, line, strlen(line));
        }
    }
    hash_sha256_hex(&h, hex);
    snprintf(key, size, "apr-sandbox %d %s %s %u %d", cli.output_version, hex, w->bench.name,
             w->enforced, o.timings);
    return 0;
}

/* Which jobs are judged now. */
static void choose(struct work *w)
{
    size_t n;
    w->run = cli_malloc(((size_t)w->jobs.n + 1) * sizeof *w->run);
    w->index = cli_malloc(((size_t)w->jobs.n + 1) * sizeof *w->index);
    for (int i = w->next = w->skip; i < w->jobs.n; i++)
        if (!taken_over(w, i, &n)) {
            struct sandbox_job *job = &w->jobs.job[i];
            if (w->expected.path) {
                job->expected = w->expected.path[job->task - w->bench.task];
                job->seconds = w->expected.seconds[job->task - w->bench.task];
            }
            w->index[w->n_run] = i;
            w->run[w->n_run++] = *job;
        }
}

static void expecting(void *arg, int n, int of)
{
    struct cli_progress *p = arg;
    p->total = of;
    cli_progress(p, n, NULL);
}

static int judge(struct work *w, struct sandbox *s, struct err *e)
{
    struct cli_progress p = {.what = "expected", .unit = "references"};
    char key[256];
    w->enforced = sandbox_enforced(s);
    w->to_stdout = !strcmp(o.out, "-");
    if (part_key(w, key, sizeof key, e) < 0 ||
        (!w->to_stdout && partfile_open(&w->part, o.out, key, seen, w, e) < 0))
        return e->code;
    if (w->bench.format == BENCH_EVALPLUS && w->skip < w->jobs.n &&
        expected_load(&w->expected, s, &w->bench, w->jobs.used, expecting, &p, e) < 0)
        return e->code;
    choose(w);
    w->progress = (struct cli_progress){.what = "judged", .unit = "programs", .total = w->n_run};
    if (sandbox_run(s, w->run, w->n_run, done, w, e) < 0 || put_earlier(w, w->jobs.n, e) < 0)
        return e->code;
    cli_progress_end(&w->progress, w->n_run, NULL);
    return 0;
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
    json_kv_int(&j, "cgroup", sandbox_cgroup(s));
    json_kv_str(&j, "python", sandbox_python(s));
    json_end(&j, '}');
    if (json_line(&j, stdout, &e) < 0)
        cli_die(&e);
    free(j.buf);
}

static int see_hostile(void *arg, const struct selftest *t, const struct verdict *v, struct err *e)
{
    int *bad = arg, good = !v || selftest_expected(t, v->kind), rc;
    struct json_out j = {0};
    *bad += !good;
    json_begin(&j, '{');
    json_kv_str(&j, "program", t->name);
    json_kv_bool(&j, "ok", good);
    if (v) {
        json_kv_str(&j, "verdict", verdict_name(v->kind));
        json_kv_str(&j, "expected", t->expect);
        json_kv_str(&j, "detail", v->detail);
        json_kv_num(&j, "wall_ms", v->wall_ms);
    } else {
        json_kv_str(&j, "skipped", t->skip);
    }
    json_end(&j, '}');
    rc = json_line(&j, stdout, e);
    free(j.buf);
    return rc;
}

/* 0 = all as expected, 1 = not. */
static int self_test(const struct sandbox_opts *so, struct err *e)
{
    struct selftest *t;
    char dir[4096];
    int n = 0, bad = 0;
    if (paths_find("tests/hostile/sandbox", dir, sizeof dir, e) < 0 ||
        selftest_load(&t, &n, dir, e) < 0 || selftest_run(so, t, n, dir, see_hostile, &bad, e) < 0)
        cli_die(e);
    if (bad)
        cli_warn("%d of %d programs got a verdict they must not get", bad, n);
    selftest_free(t, n);
    return bad > 0;
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

/* What a reader of the scores must know; the exit status. */
static int conclude(const struct work *w)
{
    if (o.canonical && w->bench.ceiling >= 0 && !w->skip && !w->earlier.n &&
        w->passed != w->bench.ceiling)
        cli_warn("%s: %ld reference solutions pass, not the %ld that were measured: check this "
                 "host before you trust "
                 "its scores",
                 w->bench.name, w->passed, w->bench.ceiling);
    if (w->n_harness)
        cli_warn("%ld verdict%s harness_error: not the model's fault; judge again with --resume",
                 w->n_harness, w->n_harness == 1 ? " is a" : "s are");
    return w->jobs.n_bad ? err_exit_code(ERR_DATA) : w->n_harness ? err_exit_code(ERR_OS) : 0;
}

/* The folder of the benchmark's data: jobs must not see the tests in it. */
static const char *folder_of(const char *path, char *buf, size_t size)
{
    const char *slash = strrchr(path, '/');
    snprintf(buf, size, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return buf;
}

static void parse(int *argc, char ***argv, struct sandbox_opts *so)
{
    struct err e = {0};
    cli_parse(&cli, argc, argv);
    if (*argc > 1 || (*argc && o.canonical))
        cli_usage(o.canonical ? "--canonical takes no FILE" : "one FILE at most");
    if (!o.bench && !o.probe && !o.self_test)
        cli_usage("--bench is needed");
    if (o.inputs && (o.resume || !strcmp(o.mode, "inproc")))
        cli_usage("--inputs: neither --resume nor --mode inproc");
    if (jail_parse(o.require, &so->require, &e) < 0)
        cli_usage("%s", e.msg);
    if (o.profile && sandbox_profile(&so->limits, o.profile, &e) < 0)
        cli_die(&e);
    so->jobs = (int)o.jobs;
    so->recheck = (int)o.recheck;
}

static void forget(struct work *w)
{
    expected_free(&w->expected);
    earlier_free(&w->earlier);
    jobs_free(&w->jobs);
    free(w->run);
    free(w->index);
    free(w->line.buf);
    bench_free(&w->bench);
}

int main(int argc, char **argv)
{
    struct sandbox_opts so = {.limits = sandbox_defaults, .allow = JAIL_ALL};
    struct work w = {0};
    double start = clock_now();
    char folder[4096];
    struct sandbox *s;
    struct err e = {0};
    parse(&argc, &argv, &so);
    if (o.self_test) {
        so.recheck = 0;
        return cli_exit(self_test(&so, &e));
    }
    if (o.probe) {
        if (sandbox_open(&s, &so, &e) < 0)
            cli_die(&e);
        print_probe(s);
        sandbox_close(s);
        return cli_exit(0);
    }
    const char *in = argc ? argv[0] : o.canonical ? NULL : "-";
    const struct sandbox_limits given = {.cpu_s = o.cpu,
                                         .wall_s = o.wall,
                                         .memory_mib = o.memory,
                                         .processes = o.processes,
                                         .output_kib = o.output};
    if (bench_load(&w.bench, o.bench, &e) < 0)
        cli_die(&e);
    jobs_init(&w.jobs, &w.bench, &given, &so.limits,
              !strcmp(o.mode, "inproc")  ? JOBS_INPROC
              : !strcmp(o.mode, "split") ? JOBS_SPLIT
                                         : JOBS_AUTO);
    if ((o.inputs && jobs_inputs(&w.jobs, o.inputs, &e) < 0) ||
        (in ? jobs_read(&w.jobs, in, bad_line, &e) : jobs_canonical(&w.jobs, &e)) < 0 ||
        (o.resume && earlier_load(&w.earlier, o.resume, &e) < 0))
        cli_die(&e);
    if (w.jobs.n == 0 && w.jobs.n_bad) { /* nothing to judge, and it was said why */
        forget(&w);
        return cli_exit(err_exit_code(ERR_DATA));
    }
    so.lang = w.bench.lang;
    so.packages = w.bench.packages;
    so.hidden = folder_of(w.bench.path, folder, sizeof folder);
    if (sandbox_open(&s, &so, &e) < 0)
        cli_die(&e);
    if (judge(&w, s, &e) < 0) {
        partfile_close(&w.part); /* a part without records goes */
        expected_free(&w.expected);
        sandbox_close(s);
        cli_die(&e);
    }
    sandbox_close(s);
    if (!w.to_stdout) {
        if (partfile_commit(&w.part, &e) < 0) {
            partfile_close(&w.part);
            cli_die(&e);
        }
        write_meta(in, &w, clock_now() - start);
    }
    int status = conclude(&w);
    forget(&w);
    return cli_exit(status);
}
