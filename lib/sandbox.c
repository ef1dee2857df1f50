/* sandbox - open the jails, try them on programs of our own, close */
#include "sandbox.h"
#include "paths.h"
#include "sandbox_private.h"
#include "yaml.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct sandbox_limits sandbox_defaults = {.cpu_s = 5,
                                                .wall_s = 0,
                                                .memory_mib = 1024,
                                                .processes = 32,
                                                .file_mib = 16,
                                                .output_kib = 1024};

unsigned sandbox_enforced(const struct sandbox *s)
{
    return s->enforced;
}

const char *sandbox_python(const struct sandbox *s)
{
    return s->jail[CANDIDATE].python;
}

int sandbox_cgroup(const struct sandbox *s)
{
    return s->cgroup.version;
}

int sandbox_profile(struct sandbox_limits *l, const char *path, struct err *e)
{
    static const char *const keys[] = {"cpu_s",    "wall_s",     "memory_mib", "processes",
                                       "file_mib", "output_kib", NULL};
    struct yaml_doc d;
    if (yaml_load(&d, path, e) < 0)
        return e->code;
    if (!d.root || d.root->kind != YAML_K_MAP)
        yaml_err(&d, d.root, e, "expected a map");
    else if (yaml_only(&d, d.root, keys, e) == 0) {
        l->cpu_s = yaml_num(&d, d.root, "cpu_s", l->cpu_s, e);
        l->wall_s = yaml_num(&d, d.root, "wall_s", l->wall_s, e);
        l->memory_mib = yaml_int(&d, d.root, "memory_mib", l->memory_mib, e);
        l->processes = yaml_int(&d, d.root, "processes", l->processes, e);
        l->file_mib = yaml_int(&d, d.root, "file_mib", l->file_mib, e);
        l->output_kib = yaml_int(&d, d.root, "output_kib", l->output_kib, e);
        if (e->code == 0 &&
            !(l->cpu_s > 0 && l->cpu_s <= 86400 && l->wall_s >= 0 && l->wall_s <= 864000 &&
              l->memory_mib >= 64 && l->memory_mib <= 1 << 20 && l->processes >= 1 &&
              l->processes <= 4096 && l->file_mib >= 1 && l->file_mib <= 65536 &&
              l->output_kib >= 1 && l->output_kib <= 1 << 20))
            yaml_err(&d, d.root, e, "a limit is out of range");
    }
    yaml_free(&d);
    return e->code;
}

void sandbox_set_limits(struct sandbox *s, const struct sandbox_limits *l)
{
    s->o.limits = *l;
    sandbox_drop_workers(s);
}

/* The scripts of a zygote, one after the other. */
static char *script(const char *const *parts, struct err *e)
{
    char name[64], path[4096], *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    for (; out && *parts; parts++) {
        FILE *f;
        int c;
        snprintf(name, sizeof name, "configs/sandbox/%s.py", *parts);
        if (paths_find(name, path, sizeof path, e) < 0)
            break;
        if (!(f = fopen(path, "r"))) {
            err_errno(e, ERR_NOINPUT, "%s", path);
            break;
        }
        while ((c = getc(f)) != EOF)
            putc(c, out);
        fclose(f);
    }
    if (!out || fclose(out) != 0)
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    if (e->code) {
        free(text);
        return NULL;
    }
    return text;
}

struct own {
    int right;
    struct verdict v;
};
static int see_own(void *arg, int i, const struct verdict *v, struct err *e)
{
    struct own *o = arg;
    (void)e;
    o->right += v->kind == (i ? VERDICT_wrong_answer : VERDICT_pass);
    if (i == 0)
        o->v = *v;
    return 0;
}

/* A right and a wrong solution of a task of our own: if these are not told apart, nothing is
 * judged. */
static int self_check(struct sandbox *s, struct err *e)
{
    struct bench_task t = {.task_id = "self/0",
                           .prompt = "def twice(x):\n    pass\n",
                           .entry_point = "twice",
                           .test =
                               "def check(f):\n    assert f(2) == 4\n    assert f('a') == 'aa'\n"};
    struct sandbox_job job[2] = {{.task = &t, .code = "def twice(x):\n    return x * 2\n"},
                                 {.task = &t, .code = "def twice(x):\n    return 4\n"}};
    struct own o = {0};
    int rc = sandbox_run(s, job, 2, see_own, &o, e);
    if (rc == 0 && o.right != 2)
        rc = err_set(e, ERR_OS, "sandbox: a right program of our own got %s: %s",
                     verdict_name(o.v.kind), o.v.detail);
    return rc;
}

/* Start zygote k; it is ready when its first message has come. */
static int open_jail(struct sandbox *s, int k, struct err *e)
{
    static const char *const parts[N_JAILS][7] = {
        {"candidate", "zygote"},
        {"judge", "evalplus", "io", "behaviour", "checker", "zygote"},
        {"candidate", "judge", "evalplus", "inproc", "zygote"},
        {"languages", "program", "zygote"},
        {"languages", "program", "zygote"}};
    struct jail_opts o = {.range = k,
                          .candidate = k != CHECKER && k != PROGRAM_CHECKER,
                          .sandbox = k >= PROGRAM ? s->languages.dir : NULL,
                          .hidden = {paths_root(), s->o.hidden},
                          .packages = s->o.packages,
                          .allow = s->o.allow};
    char *text = script(parts[k], e);
    if (text) {
        o.script = text;
        jail_start(&s->jail[k], &o, e);
    }
    free(text);
    return e->code;
}

/* What a job of jail k writes itself into. */
static int give_cgroups(struct sandbox *s, int k, struct err *e)
{
    for (int i = 0; i < s->n_slot && e->code == 0; i++) {
        struct jail_request r = {.kind = JAIL_CGROUP, .slot = (uint32_t)i};
        int fd[JAIL_CGROUPS], n = cgroup_procs(&s->cgroup, i, fd);
        if (n > 0)
            sandbox_ask_zygote(s, k, &r, fd, n, e);
        for (int c = 0; c < n; c++)
            close(fd[c]);
    }
    return e->code;
}

static int open_all(struct sandbox *s, struct err *e)
{
    for (int k = 0; k < INPROC; k++) /* both start at once */
        if (open_jail(s, k, e) < 0)
            return e->code;
    cgroup_open(&s->cgroup, s->n_slot, s->o.allow, "/proc/self");
    for (int k = 0; k < INPROC; k++)
        if (sandbox_message(s, k, e) < 0)
            return e->code;
    if (give_cgroups(s, CANDIDATE, e) < 0)
        return e->code;
    s->enforced = (s->jail[CANDIDATE].enforced & s->jail[CHECKER].enforced) | s->cgroup.held;
    if (s->o.require & ~s->enforced) {
        struct json_out j = {0};
        jail_names(&j, s->o.require & ~s->enforced);
        err_set(e, ERR_UNAVAILABLE, "sandbox: this host does not give %.*s", (int)j.len, j.buf);
        free(j.buf);
        return e->code;
    }
    return self_check(s, e);
}

int sandbox_need(struct sandbox *s, int k, struct err *e)
{
    if (s->jail[k].ctl >= 0)
        return 0;
    if (k >= PROGRAM && (s->enforced & (JAIL_PIDNS | JAIL_MNTNS)) != (JAIL_PIDNS | JAIL_MNTNS))
        return err_set(
            e, ERR_UNAVAILABLE,
            "sandbox: programs in %s need pid and mount namespaces, which this host does not give",
            bench_lang_name(s->o.lang));
    if (k >= PROGRAM && !*s->languages.dir && languages_open(&s->languages, s->o.lang, e) < 0)
        return e->code;
    if (open_jail(s, k, e) < 0 || sandbox_message(s, k, e) < 0)
        return e->code;
    return k == PROGRAM_CHECKER ? 0 : give_cgroups(s, k, e);
}

int sandbox_need_lang(struct sandbox *s, struct err *e)
{
    return sandbox_need(s, PROGRAM, e);
}

int sandbox_open(struct sandbox **out, const struct sandbox_opts *o, struct err *e)
{
    struct sandbox *s = calloc(1, sizeof *s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    *out = NULL;
    if (!s)
        return err_set(e, ERR_NOMEM, "sandbox: out of memory");
    s->o = *o;
    for (int k = 0; k < N_JAILS; k++)
        s->jail[k].ctl = s->jail[k].err = s->jail[k].pidfd = -1;
    /* half as many again as processors: while one job's processes start or end another computes */
    s->n_slot = o->jobs > 0 ? o->jobs : cores > 0 ? (int)(cores + (cores + 1) / 2) : 1;
    s->n_slot = s->n_slot > JAIL_SLOTS ? JAIL_SLOTS : s->n_slot;
    if (!(s->slot = calloc((size_t)s->n_slot, sizeof *s->slot)))
        err_set(e, ERR_NOMEM, "sandbox: out of memory");
    for (int i = 0; s->slot && i < s->n_slot; i++)
        s->slot[i] = (struct slot){.worker = -1,
                                   .out_fd = -1,
                                   .rep_fd = -1,
                                   .told_fd = -1,
                                   .side = {{.pidfd = -1}, {.pidfd = -1}}};
    if (e->code || open_all(s, e) < 0) {
        sandbox_close(s);
        return e->code;
    }
    *out = s;
    return 0;
}

void sandbox_close(struct sandbox *s)
{
    if (!s)
        return;
    for (int k = 0; k < N_JAILS; k++)
        jail_stop(&s->jail[k]);
    for (int i = 0; s->slot && i < s->n_slot; i++) {
        struct slot *t = &s->slot[i];
        int fd[] = {t->side[0].pidfd, t->side[1].pidfd, t->worker};
        sandbox_abandon(t); /* a job of a run that was stopped */
        free(t->report);
        for (int k = 0; k < 3; k++)
            if (fd[k] >= 0)
                close(fd[k]);
    }
    cgroup_close(&s->cgroup);
    languages_close(&s->languages);
    free(s->slot);
    free(s);
}
