/* test_jail - what still holds where the host gives less: each mechanism alone is taken away */
#include "jail.h"
#include "sandbox.h"
#include "tap.h"
#include <string.h>
#include <unistd.h>

struct seen {
    int n;
    enum verdict_kind kind[8];
    char detail[8][768];
};
static int see(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct seen *s = arg;
    (void)e;
    s->kind[i] = v->kind;
    snprintf(s->detail[i], sizeof s->detail[0], "%s", v->detail);
    s->n++;
    return 0;
}

/* Each tries one thing and returns what came of it. */
static const char *const tries[] = {
    "import fcntl, os, signal, socket\ndef f(x):\n    a, b = socket.socketpair()\n"
    "    fcntl.fcntl(a, 8, os.getppid())\n    return 'an owner'\n",
    "import fcntl, signal, socket\ndef f(x):\n    a, b = socket.socketpair()\n"
    "    fcntl.fcntl(a, 10, signal.SIGKILL)\n    return 'a signal'\n",
    "import os, resource\ndef f(x):\n    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, "
    "0))\n"
    "    return 'a limit'\n",
    "import os\ndef f(x):\n    os.kill(os.getppid(), 0)\n    return 'a kill'\n",
    "import os\ndef f(x):\n    os.listdir('/proc')\n    return 'files'\n",
    "import os\ndef f(x):\n    open('/tmp/test_jail', 'w')\n    return 'a file'\n"};
enum { N_TRIES = sizeof tries / sizeof *tries };

static int run(unsigned allow, const char *const *code, int n, struct seen *seen, unsigned *held)
{
    struct bench_task t = {.task_id = "t",
                           .entry_point = "f",
                           .prompt = "def f(x):\n",
                           .test = "def check(g):\n    assert g(1) == 1\n"};
    struct sandbox_opts o = {.limits = sandbox_defaults, .jobs = 1, .allow = allow};
    struct sandbox_job job[8] = {{.task = &t}};
    struct sandbox *s;
    struct err e = {0};
    *seen = (struct seen){0};
    for (int i = 0; i < n; i++)
        job[i] = (struct sandbox_job){.task = &t, .code = code[i]};
    if (sandbox_open(&s, &o, &e) < 0) {
        printf("# %s\n", e.msg);
        return e.code;
    }
    *held = sandbox_enforced(s);
    if (sandbox_run(s, job, n, see, seen, &e) < 0)
        printf("# %s\n", e.msg);
    sandbox_close(s);
    return e.code;
}

/* No namespaces at all: the others can be seen, so no signal, no limit of theirs, no file. */
static void alone(void)
{
    struct seen seen;
    unsigned held;
    int rc = run(JAIL_SECCOMP | JAIL_LANDLOCK, tries, N_TRIES, &seen, &held);
    if (rc == ERR_UNAVAILABLE) {
        skip("no Python here");
        return;
    }
    ok(rc == 0 && seen.n == N_TRIES && !(held & (JAIL_PIDNS | JAIL_MNTNS | JAIL_USERNS)),
       "without namespaces it judges, and says so");
    for (int i = 0; i < (held & JAIL_LANDLOCK ? N_TRIES : 4); i++)
        ok(seen.kind[i] == VERDICT_exception && strstr(seen.detail[i], "Permission"),
           "without namespaces: %s", seen.detail[i]);
}

static void each(void)
{
    static const struct {
        unsigned bit;
        const char *name;
    } m[] = {{JAIL_USERNS, "userns"},   {JAIL_PIDNS, "pidns"},
             {JAIL_MNTNS, "mntns"},     {JAIL_NETNS, "netns"},
             {JAIL_IPCNS, "ipcns"},     {JAIL_UTSNS, "utsns"},
             {JAIL_SECCOMP, "seccomp"}, {JAIL_LANDLOCK, "landlock"},
             {JAIL_PIDMAX, "pid_max"},  {JAIL_CG_MEMORY | JAIL_CG_PIDS | JAIL_CG_CPU, "cgroups"}};
    static const char *const code[] = {
        "def f(x):\n    return x\n", "def f(x):\n    return 0\n",
        "import os\ndef f(x):\n    os._exit(120)\n",
        "class E:\n    def __eq__(self, o): return True\ndef f(x):\n    return E()\n"};
    static const enum verdict_kind want[] = {VERDICT_pass, VERDICT_wrong_answer, VERDICT_early_exit,
                                             VERDICT_bad_return};
    for (size_t i = 0; i < sizeof m / sizeof *m; i++) {
        struct seen seen;
        unsigned held = 0;
        int rc = run(JAIL_ALL & ~m[i].bit, code, 4, &seen, &held);
        if (rc == ERR_UNAVAILABLE)
            return;
        ok(rc == 0 && seen.n == 4 && !(held & m[i].bit) && !memcmp(seen.kind, want, sizeof want),
           "the same verdicts without %s, and it is not among what held", m[i].name);
    }
}

int main(void)
{
    alone();
    each();
    if (getuid() == 0) { /* and as anybody */
        if (setresgid(4242, 4242, 4242) < 0 || setresuid(4242, 4242, 4242) < 0)
            skip("this root cannot become another user");
        else if (access(TOP "/build", R_OK | X_OK) < 0)
            skip("the program cannot be run by others here");
        else {
            alone();
            each();
        }
    }
    return done_testing();
}
