/* tooltab - option tables of other tools: run, read, type-check values */
#include "tooltab.h"
#include "cli.h"
#include "json.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TABLE = 1 << 20, MAX_SECONDS = 10, MAX_TOOLS = 512 };

const char *tooltab_dir(void)
{
    static char dir[PATH_MAX];
    if (!dir[0]) {
        ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
        dir[n > 0 ? n : 0] = 0;
        char *slash = strrchr(dir, '/');
        if (slash && slash > dir)
            *slash = 0;
    }
    return dir[0] ? dir : NULL;
}

/* Everything that `exe --options=json` prints, at most MAX_TABLE bytes in MAX_SECONDS. */
static int run(const char *exe, char *buf, size_t *len, struct err *e)
{
    int fd[2], status, rc = 0;
    double end = clock_now() + MAX_SECONDS;
    size_t n = 0;
    if (pipe2(fd, O_CLOEXEC))
        return err_errno(e, ERR_OS, "pipe");
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return err_errno(e, ERR_OS, "fork");
    }
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(fd[1], 1);
        dup2(null, 2);
        execl(exe, exe, "--options=json", (char *)NULL);
        _exit(127);
    }
    close(fd[1]);
    for (;;) {
        struct pollfd p = {fd[0], POLLIN, 0};
        double left = end - clock_now();
        int ready = left > 0 ? poll(&p, 1, (int)(left * 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0) {
            rc = err_set(e, ERR_CONFIG, "no answer to --options=json within %d s", MAX_SECONDS);
            break;
        }
        ssize_t k = read(fd[0], buf + n, MAX_TABLE - n);
        if (k <= 0)
            break;
        n += (size_t)k;
        if (n == MAX_TABLE) {
            rc = err_set(e, ERR_CONFIG, "more than %d bytes of options", MAX_TABLE);
            break;
        }
    }
    close(fd[0]);
    if (rc < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc == 0 && (!WIFEXITED(status) || WEXITSTATUS(status)))
        rc = err_set(e, ERR_CONFIG, "--options=json failed: not one of our tools");
    *len = n;
    return rc;
}

static int known_type(const char *s)
{
    static const char *const types[] = {"flag", "int", "float", "string", "choice", "list"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(s, types[i]) == 0)
            return 1;
    return 0;
}

static int read_option(struct toolopt *o, const cJSON *v, struct err *e)
{
    o->name = json_get_str(v, "name", "", e);
    o->type = json_get_str(v, "type", "", e);
    o->letter = json_get_str(v, "letter", "", e)[0];
    o->arg = json_get_str(v, "arg", NULL, e);
    o->dflt = json_get_str(v, "default", "", e);
    o->min = json_get_num(v, "min", -INFINITY, e);
    o->max = json_get_num(v, "max", INFINITY, e);
    if (e->code)
        return e->code;
    if (!o->name[0] || !known_type(o->type) || (strcmp(o->type, "choice") == 0 && !o->arg))
        return err_set(e, ERR_CONFIG, "option '%s' of type '%s' is not understood", o->name,
                       o->type);
    return 0;
}

static int read_table(struct tooltab *t, struct err *e)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(t->json, "options"), *v;
    int rc;
    t->output = (int)json_get_int(t->json, "output", 0, e);
    if (!cJSON_IsArray(list))
        return err_set(e, ERR_CONFIG, "no list of options");
    int n = cJSON_GetArraySize(list);
    if (!(t->opt = calloc((size_t)n + 1, sizeof *t->opt)))
        return err_set(e, ERR_NOMEM, "out of memory");
    cJSON_ArrayForEach(v, list) if ((rc = read_option(&t->opt[t->n_opt++], v, e)) < 0) return rc;
    return 0;
}

int tooltab_load(struct tooltab *t, const char *name, struct err *e)
{
    const char *dir = tooltab_dir();
    char *buf;
    size_t len = 0;
    int rc;
    memset(t, 0, sizeof *t);
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == name || !strchr("-_", *p)))
            return err_set(e, ERR_NOINPUT, "%s: not the name of a tool", name);
    if (!name[0] || !dir ||
        (size_t)snprintf(t->exe, sizeof t->exe, "%s/%s", dir, name) >= sizeof t->exe ||
        access(t->exe, X_OK))
        return err_set(e, ERR_NOINPUT, "%s: no such tool in %s", name, dir ? dir : "?");
    buf = malloc(MAX_TABLE);
    t->name = strdup(name);
    if (!buf || !t->name)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else if ((rc = run(t->exe, buf, &len, e)) == 0) {
        if (!(t->json = json_parse(buf, len, "--options=json", e)))
            rc = e->code;
        else
            rc = read_table(t, e);
    }
    free(buf);
    if (rc < 0) {
        err_prefix(e, "%s", name);
        if (rc == ERR_DATA)
            rc = e->code = ERR_CONFIG;
        tooltab_free(t);
    }
    return rc;
}

void tooltab_free(struct tooltab *t)
{
    free(t->name);
    free(t->opt);
    cJSON_Delete(t->json);
    t->name = NULL;
    t->opt = NULL;
    t->json = NULL;
    t->n_opt = 0;
}

const struct toolopt *tooltab_opt(const struct tooltab *t, const char *name)
{
    for (int i = 0; i < t->n_opt; i++)
        if (strcmp(t->opt[i].name, name) == 0)
            return &t->opt[i];
    return NULL;
}

int toolopt_check(const struct toolopt *o, const char *s, struct err *e)
{
    char *end;
    if (strcmp(o->type, "flag") == 0)
        return strcmp(s, "true") == 0 || strcmp(s, "false") == 0
                   ? 0
                   : err_set(e, ERR_CONFIG, "%s: expected true or false, found '%.60s'", o->name,
                             s);
    if (strcmp(o->type, "choice") == 0)
        return cli_choice_has(o->arg, s)
                   ? 0
                   : err_set(e, ERR_CONFIG, "%s: expected one of %.200s, found '%.60s'", o->name,
                             o->arg, s);
    if (strcmp(o->type, "int") && strcmp(o->type, "float"))
        return 0;
    int whole = o->type[0] == 'i';
    double v = strtod(s, &end);
    if (end == s || *end || isspace((unsigned char)*s) || strpbrk(s, "xXnN") || !isfinite(v) ||
        (whole && v != floor(v)))
        return err_set(e, ERR_CONFIG, "%s: expected a %snumber, found '%.60s'", o->name,
                       whole ? "whole " : "", s);
    if (v < o->min || v > o->max)
        return err_set(e, ERR_CONFIG, "%s: expected %.15g to %.15g, found %.60s", o->name, o->min,
                       o->max, s);
    return 0;
}

const char **tooltab_names(const struct tooltab *t)
{
    const char **v = calloc((size_t)t->n_opt + 1, sizeof *v);
    for (int i = 0; v && i < t->n_opt; i++)
        v[i] = t->opt[i].name;
    return v;
}

/* One block: the pointers, then the names. */
const char **tooltab_tools(void)
{
    enum { ROOM = 64 };
    const char **v = calloc(1, (MAX_TOOLS + 1) * sizeof *v + MAX_TOOLS * ROOM);
    char *text = v ? (char *)(v + MAX_TOOLS + 1) : NULL;
    DIR *d = v && tooltab_dir() ? opendir(tooltab_dir()) : NULL;
    int n = 0;
    for (struct dirent *en; d && n < MAX_TOOLS && (en = readdir(d));)
        if (en->d_name[0] != '.' && strlen(en->d_name) < ROOM) {
            v[n] = memcpy(text + (size_t)n * ROOM, en->d_name, strlen(en->d_name));
            n++;
        }
    if (d)
        closedir(d);
    return v;
}
