/* fuzz_recipe - libFuzzer entry: whatever a recipe says, it is refused with its place, or becomes jobs whose names can
 * stand in a Make rule and whose arguments are JSON (make fuzz)
 *
 * The tools are not run: their option tables are the files of folder `options`. */
#define tooltab_load tooltab_run /* this one is not called */
#include "tooltab.c"
#undef tooltab_load
#include "fuzz.h"
#include "recipe.h"

int tooltab_load(struct tooltab *t, const char *name, struct err *e)
{
    char path[300];
    memset(t, 0, sizeof *t);
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && (p == name || !strchr("-_", *p)))
            return err_set(e, ERR_NOINPUT, "%s: not the name of a tool", name);
    if ((size_t)snprintf(path, sizeof path, "options/%s.json", name) >= sizeof path ||
        access(path, R_OK))
        return err_set(e, ERR_NOINPUT, "%s: no such tool", name);
    if (!(t->name = strdup(name)) || !(t->json = json_load(path, e)) || read_table(t, e) < 0)
        abort();
    return 0;
}

/* Of the words of a Make rule. */
static void word(const char *s)
{
    for (const char *p = s; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("-_./+,@", *p))
            abort();
    if (!*s)
        abort();
}

/* A line of the shell without an open quote. */
static void line(const char *s)
{
    int quoted = 0;
    for (; *s; s++) {
        if (*s == '\n' || *s == '\r' || (!quoted && strchr("$`;&|<>(){}*?\"#", *s)))
            abort();
        if (!quoted && *s == '\\')
            s++;
        quoted ^= *s == '\'';
    }
    if (quoted)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct recipe r;
    struct err e = {0};
    const struct recipe_ask ask = {.path = fuzz_file(0, p, n),
                                   .dir = "runs/x",
                                   .bench = n && p[n - 1] & 1 ? "basic,humaneval" : NULL};
    int rc = recipe_load(&r, &ask, &e);
    if (rc == 0)
        rc = recipe_jobs(&r, &e);
    if (rc < 0 && !*e.msg)
        abort();
    for (int i = 0; rc == 0 && i < r.n_job; i++) {
        const struct recipe_job *j = &r.job[i];
        cJSON *args = cJSON_Parse(j->args);
        word(j->name);
        word(j->target);
        line(j->command);
        for (int k = 0; k < j->deps.n; k++)
            word(j->deps.v[k]);
        if (!args)
            abort();
        cJSON_Delete(args);
    }
    recipe_free(&r);
    return 0;
}
