/* test_sandbox - programs put together, verdict names, mechanisms; and the judge over its own
 * interface */
#include "jail.h"
#include "sandbox.h"
#include "sandbox_selftest.h"
#include "tap.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int program_is(const struct bench_task *t, const char *code, const char *want)
{
    char *p = sandbox_program(t, code);
    int same = p && !strcmp(p, want);
    if (!same)
        printf("# got [%s]\n# wanted [%s]\n", p ? p : "NULL", want);
    free(p);
    return same;
}

static void programs(void)
{
    struct bench_task t = {
        .task_id = "t",
        .entry_point = "f",
        .prompt = "import math\n\ndef help(x):\n    return x\n\ndef f(x):\n    \"\"\"do\"\"\"\n",
        .test = ""};
    struct bench_task m = {.judge = BENCH_ASSERTS, .task_id = "m", .prompt = "do it"};
    struct bench_task near = t;
    near.prompt = "def f2(x):\n    return x\n\nasync def f (x):\n    pass\n";
    ok(program_is(&t, "def f(x):\n    return 1\n",
                  "import math\n\ndef help(x):\n    return x\n\ndef f(x):\n    return 1\n"),
       "imports and helpers of the prompt stand before a whole function");
    ok(program_is(&t, "    return 1\n",
                  "import math\n\ndef help(x):\n    return x\n\ndef f(x):\n    \"\"\"do\"\"\"\n    "
                  "return 1\n"),
       "a body stands after the prompt");
    ok(program_is(&t, "\n\n    return 1\n",
                  "import math\n\ndef help(x):\n    return x\n\ndef f(x):\n    "
                  "\"\"\"do\"\"\"\n\n\n    return 1\n"),
       "a body after blank lines as well");
    ok(program_is(&t, "def g(x):\n    return 1\n",
                  "import math\n\ndef help(x):\n    return x\n\ndef g(x):\n    return 1\n"),
       "another function does not become a body of the prompt's");
    ok(program_is(&t, "from __future__ import annotations\ndef f(x): pass\n",
                  "from __future__ import annotations\ndef f(x): pass\n"),
       "a __future__ import stays first");
    ok(program_is(&near, "def f(x): pass\n", "def f2(x):\n    return x\n\ndef f(x): pass\n"),
       "a name that begins alike is not the entry point");
    ok(program_is(&m, "def g(): pass\n", "def g(): pass\n"),
       "without an entry point the code stands alone");
}

static void names(void)
{
    struct err e = {0};
    unsigned mask = 0;
    int all = VERDICT_COUNT == 19;
    for (int k = 0; k < VERDICT_COUNT; k++)
        all = all && verdict_parse(verdict_name(k)) == k;
    ok(all && verdict_parse("passed") == -1 && verdict_parse("") == -1,
       "19 verdicts, each by its name");
    ok(jail_parse("pidns,seccomp", &mask, &e) == 0 && mask == (JAIL_PIDNS | JAIL_SECCOMP),
       "mechanisms by name");
    ok(jail_parse("all", &mask, &e) == 0 && mask == JAIL_ALL &&
           jail_parse("none", &mask, &e) == 0 && mask == 0,
       "all and none");
    ok(jail_parse("pidns,chroot", &mask, &e) == ERR_USAGE && strstr(e.msg, "chroot"), "%s", e.msg);
}

static void job_hashes(void)
{
    struct bench_task t = {.task_id = "t",
                           .entry_point = "f",
                           .prompt = "def f(x):\n",
                           .test = "a"},
                      u = t;
    struct sandbox_limits l = sandbox_defaults, l2 = l;
    struct sandbox_job a = {.task = &t, .code = "def f(x): pass\n"},
                       b = {.task = &t, .code = "def f(x): pass\n\n"},
                       c = {.task = &u, .code = a.code};
    char ha[65], hb[65], hc[65], hl[65], again[65];
    u.test = "b";
    l2.memory_mib++;
    sandbox_job_hash(&a, &l, ha);
    sandbox_job_hash(&a, &l, again);
    sandbox_job_hash(&b, &l, hb);
    sandbox_job_hash(&c, &l, hc);
    sandbox_job_hash(&a, &l2, hl);
    ok(!strcmp(ha, again) && strcmp(ha, hb) && strcmp(ha, hc) && strcmp(ha, hl),
       "a job's hash tells code, test and limits apart");
    l2 = l;
    l2.cpu_s += 1e-7;
    sandbox_job_hash(&a, &l2, hl);
    ok(strcmp(ha, hl), "limits to their last digit");
}

struct seen {
    int n, stop;
    enum verdict_kind kind[8];
    char detail[8][768];
};
static int see(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct seen *s = arg;
    if (i != s->n || i >= 8)
        return err_set(e, ERR_SOFTWARE, "out of order");
    s->kind[s->n] = v->kind;
    snprintf(s->detail[s->n++], sizeof s->detail[0], "%s", v->detail);
    return s->n == s->stop ? err_set(e, ERR_IO, "enough") : 0;
}

static void judge(void)
{
    struct bench_task t = {.task_id = "t",
                           .entry_point = "f",
                           .prompt = "def f(x):\n",
                           .test = "def check(g):\n    assert g(1) == 1\n    assert g([1]) == "
                                   "[1]\n    assert g({2: (3,)}) == {2: (3,)}\n"};
    struct bench_task broken = t;
    char *tests[] = {(char *)"assert f(1)", (char *)"assert f(2) is None"};
    struct bench_task m = {.judge = BENCH_ASSERTS,
                           .task_id = "m",
                           .prompt = "",
                           .setup = (char *)"",
                           .tests = tests,
                           .n_tests = 2};
    struct sandbox_opts o = {
        .limits = sandbox_defaults, .jobs = 2, .allow = JAIL_ALL, .recheck = 1};
    struct sandbox *s;
    struct seen seen = {0};
    struct err e = {0};
    broken.test = "def check(g):\n    raise KeyError('the test is broken')\n";
    struct sandbox_job job[] = {
        {.task = &t, .code = "def f(x):\n    return x\n"},
        {.task = &t, .code = ""},
        {.task = &t, .code = "def f(x):\n    return 1\n"},
        {.task = &broken, .code = "def f(x):\n    return x\n"},
        {.task = &m, .code = "def f(x):\n    return x if x == 1 else None\n"},
        {.task = &m, .code = "def f(x):\n    return object()\n", .seconds = 9}};
    if (sandbox_open(&s, &o, &e) < 0) {
        if (e.code == ERR_UNAVAILABLE)
            skip("%s", e.msg);
        else
            ok(0, "%s", e.msg);
        return;
    }
    int rc = sandbox_run(s, job, 6, see, &seen, &e);
    ok(rc == 0 && seen.n == 6, "six jobs in order, the last begun first: %s", e.msg);
    ok(seen.kind[0] == VERDICT_pass && seen.kind[1] == VERDICT_no_code, "right, and none");
    ok(seen.kind[2] == VERDICT_wrong_answer && strstr(seen.detail[2], "assert 2 of 3"), "%s",
       seen.detail[2]);
    ok(seen.kind[3] == VERDICT_harness_error && strstr(seen.detail[3], "KeyError"),
       "a test that breaks before it calls is ours: %s", seen.detail[3]);
    ok(seen.kind[4] == VERDICT_pass && seen.kind[5] == VERDICT_bad_return,
       "what is no plain data has its truth: %s", seen.detail[5]);
    seen = (struct seen){.stop = 1};
    ok(sandbox_run(s, job, 6, see, &seen, &e) == ERR_IO, "a consumer that fails stops it: %s",
       e.msg);
    sandbox_close(s);
}

static void programs_of_self_test(void)
{
    char dir[] = "/tmp/test_sandbox.XXXXXX", path[64], other[64];
    struct selftest *t;
    struct err e = {0};
    int n;
    FILE *f;
    if (!mkdtemp(dir))
        return;
    ok(selftest_load(&t, &n, dir, &e) == ERR_DATA, "%s", e.msg);
    snprintf(path, sizeof path, "%s/a.py", dir);
    f = fopen(path, "w");
    fputs("# task: x/1\n# expect: pass wrong_answer\n", f);
    fclose(f);
    e = (struct err){0};
    ok(selftest_load(&t, &n, dir, &e) == 0 && n == 1 && !strcmp(t->name, "a") &&
           !strcmp(t->task_id, "x/1") && selftest_expected(t, VERDICT_wrong_answer) &&
           !selftest_expected(t, VERDICT_exception),
       "a program and what it must get");
    ok(!strcmp(t->bench, "humaneval") && !*t->skip, "of HumanEval where it says nothing else");
    selftest_free(t, n);
    snprintf(other, sizeof other, "%s/b.cpp", dir);
    f = fopen(other, "w");
    fputs("/* b */\n// task: CPP/1\n// expect: crash\n// bench: own.yaml\nint main;\n", f);
    fclose(f);
    ok(selftest_load(&t, &n, dir, &e) == 0 && n == 2 && !strcmp(t[1].name, "b") &&
           !strcmp(t[1].task_id, "CPP/1") && !strcmp(t[1].bench, "own.yaml"),
       "C++ has other comments");
    selftest_free(t, n);
    unlink(other);
    f = fopen(path, "w");
    fputs("# task: x/1\n# expect: passed\n", f);
    fclose(f);
    ok(selftest_load(&t, &n, dir, &e) == ERR_DATA && strstr(e.msg, "passed"), "%s", e.msg);
    unlink(path);
    rmdir(dir);
    e = (struct err){0};
    ok(selftest_load(&t, &n, dir, &e) == ERR_NOINPUT, "%s", e.msg);
}

int main(void)
{
    programs();
    names();
    job_hashes();
    judge();
    programs_of_self_test();
    return done_testing();
}
