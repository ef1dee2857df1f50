/* apr - git-style front: `apr gen` runs apr-gen; aprender's 19 names are understood too */
#include "cli.h"
#include "front.h"
#include "paths.h"
#include "tooltab.h"
#include "yaml.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct cli_opt opts[] = {CLI_END};
static const struct cli cli = {.name = "apr",
                               .what = "run a tool by its short name",
                               .usage = "NAME [ARGUMENTS] | help [NAME]",
                               .example = "apr gen -m m.apr -p 'def add(a, b):'",
                               .opts = opts,
                               .see = "recipe(5), schema(7), apr(5)",
                               .output_version = 1};
/* tools of the design that are not built yet, beyond the 19 names */
static const char *const planned[] = {"diff", "align", "parity", NULL};

static int exists(const char *tool, char *path, size_t size)
{
    const char *dir = tooltab_dir();
    return dir && !strchr(tool, '/') && (size_t)snprintf(path, size, "%s/%s", dir, tool) < size &&
           access(path, X_OK) == 0;
}

static _Noreturn void die(int code, const char *fmt, const char *a, const char *b)
{
    struct err e = {0};
    err_set(&e, code, "x");
    snprintf(e.msg, sizeof e.msg, fmt, a, b);
    cli_die(&e);
}

static _Noreturn void exec_tool(const char *const *argv)
{
    char path[PATH_MAX];
    if (!exists(argv[0], path, sizeof path))
        die(ERR_UNAVAILABLE, "%s is not built yet%s", argv[0], "");
    execv(path, (char *const *)argv);
    die(ERR_OS, "%s: %s", path, strerror(errno));
}

/* Steps one after another; the last status counts, the first failure stops. */
static int run_steps(struct front *f)
{
    char path[PATH_MAX];
    int status = 0;
    for (int i = 0; i < f->n_step; i++)
        if (!exists(f->step[i].argv[0], path, sizeof path))
            die(ERR_UNAVAILABLE, "%s is not built yet%s", f->step[i].argv[0], "");
    if (f->n_step == 1)
        exec_tool(f->step[0].argv);
    for (int i = 0; i < f->n_step && status == 0; i++) {
        pid_t pid = fork();
        if (pid == 0)
            exec_tool(f->step[i].argv);
        if (pid < 0)
            die(ERR_OS, "fork: %s%s", strerror(errno), "");
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (f->temporary) {
        snprintf(path, sizeof path, "%s.meta.json", f->temporary);
        unlink(f->temporary);
        unlink(path);
    }
    return status;
}

/* The tool that a word means: apr-WORD, or WORD itself. */
static const char *tool_of(const char *word, char *buf, size_t size)
{
    char path[PATH_MAX];
    snprintf(buf, size, "apr-%s", word);
    if (exists(buf, path, sizeof path))
        return buf;
    snprintf(buf, size, "%s", word);
    return strcmp(word, "apr") && exists(buf, path, sizeof path) ? buf : NULL;
}

/* What a tool says of itself in the first line of its help. */
static void what_of(const char *tool, char *line, size_t size)
{
    char cmd[PATH_MAX + 32], path[PATH_MAX];
    line[0] = 0;
    if (!exists(tool, path, sizeof path) || strchr(path, '\''))
        return;
    snprintf(cmd, sizeof cmd, "'%s' --help 2>/dev/null", path);
    FILE *f = popen(cmd, "r");
    if (!f)
        return;
    char first[256] = "", rest[256];
    if (fgets(first, sizeof first, f))
        while (fgets(rest, sizeof rest, f))
            ;
    pclose(f);
    first[strcspn(first, "\n")] = 0;
    char *dash = strstr(first, " - ");
    snprintf(line, size, "%s", dash ? dash + 3 : first);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list(void)
{
    char path[PATH_MAX], line[256];
    const char **tools = tooltab_tools(), *what = "", *tool;
    int n = 0;
    if (!tools)
        die(ERR_NOMEM, "%s%s", "out of memory", "");
    while (tools[n])
        n++;
    qsort(tools, (size_t)n, sizeof *tools, by_text);
    printf("tools (apr gen runs apr-gen; apr help NAME tells more):\n");
    for (int i = 0; i < n; i++)
        if (strcmp(tools[i], "apr")) {
            what_of(tools[i], line, sizeof line);
            printf("  %-16s %s\n", tools[i], line);
        }
    free(tools);
    printf("\naprender's names, with its flags:\n");
    for (const char *const *name = front_names(); *name; name++) {
        tool = front_tool(*name, &what);
        printf("  %-16s %s%s\n", *name, what,
               exists(tool, path, sizeof path) ? "" : " (not built yet)");
    }
    return 0;
}

static int help(const char *word)
{
    char buf[256], page[PATH_MAX], path[PATH_MAX], flags[4096];
    const char *what = "", *tool = front_tool(word, &what), *root = paths_root();
    if (tool) {
        front_flags(word, flags, sizeof flags);
        if (flags[0]) {
            printf("apr %s - %s; runs %s\n\n%s\n", word, what, tool, flags);
            fflush(stdout);
        }
        if (flags[0] || exists(tool, path, sizeof path))
            exec_tool((const char *const[]){tool, "--help", NULL});
        die(ERR_UNAVAILABLE, "%s: %s is not built yet", word, tool);
    }
    tool = tool_of(word, buf, sizeof buf);
    if (!tool)
        cli_usage("no tool is called '%.100s'", word);
    snprintf(page, sizeof page, "%s/tools/%s.1", root ? root : "", tool);
    if (isatty(1) && access(page, R_OK) == 0)
        execlp("man", "man", page, (char *)NULL); /* comes back if there is no man */
    exec_tool((const char *const[]){tool, "--help", NULL});
}

static _Noreturn void unknown(const char *word)
{
    const char *names[FRONT_ARGS + 1];
    const char **tools = tooltab_tools(), *near;
    int n = 0;
    for (const char *const *p = planned; *p; p++)
        if (strcmp(*p, word) == 0)
            die(ERR_UNAVAILABLE, "apr-%s is not built yet%s", word, "");
    for (const char *const *p = front_names(); *p; p++)
        names[n++] = *p;
    for (int i = 0; tools && tools[i] && n < FRONT_ARGS; i++)
        names[n++] = strncmp(tools[i], "apr-", 4) ? tools[i] : tools[i] + 4;
    names[n] = NULL;
    near = yaml_near(word, names);
    cli_usage("no tool is called '%.100s'%s%s%s", word, near ? ", did you mean '" : "",
              near ? near : "", near ? "'?" : "");
}

int main(int argc, char **argv)
{
    static struct front f;
    struct err e = {0};
    char buf[256];
    const char *word = argc > 1 ? argv[1] : "";
    if (argc < 2 || word[0] == '-') {
        cli_parse(&cli, &argc, &argv);
        cli_usage("expected the name of a tool (apr help lists them)");
    }
    int one = 1; /* the front's own options end at the name */
    char **own = (char *[]){argv[0], NULL};
    cli_parse(&cli, &one, &own);
    if (strcmp(word, "help") == 0)
        return cli_exit(argc > 2 ? help(argv[2]) : list());
    if (front_tool(word, NULL)) {
        if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
            return help(word);
        if (front_plan(&f, word, argc - 2, argv + 2, &e) < 0) {
            err_prefix(&e, "%s", word);
            cli_die(&e);
        }
        return run_steps(&f);
    }
    const char *tool = tool_of(word, buf, sizeof buf);
    if (!tool)
        unknown(word);
    argv[1] = (char *)tool;
    exec_tool((const char *const *)argv + 1);
}
