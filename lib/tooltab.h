/* tooltab.h - the option table of another tool, as `TOOL --options=json` prints it
 *
 * The tool is looked for beside the running executable, never in PATH: a recipe is checked against
 * the tools that will run it.  Strings belong to the table until tooltab_free. */
#ifndef TOOLTAB_H
#define TOOLTAB_H
#include "err.h"
#include <cjson/cJSON.h>
#include <stddef.h>

struct toolopt {
    const char *name, *type, *arg,
        *dflt;       /* type: flag int float string choice list; arg may be NULL */
    char letter;     /* 0 = none */
    double min, max; /* of int and float */
};
struct tooltab {
    char *name;
    int output; /* version of what the tool writes */
    struct toolopt *opt;
    int n_opt;
    char exe[4096];
    cJSON *json;
};
/* The directory of the running executable (static storage), or NULL. */
const char *tooltab_dir(void);
/* 0; ERR_NOINPUT if there is no such tool; ERR_CONFIG if it does not answer with a table within 10
 * s. */
int tooltab_load(struct tooltab *t, const char *name, struct err *e);
void tooltab_free(struct tooltab *t);
const struct toolopt *tooltab_opt(const struct tooltab *t, const char *name); /* NULL if absent */
/* Would the tool take this value?  0, or ERR_CONFIG with "expected ..., found ..." in e. */
int toolopt_check(const struct toolopt *o, const char *value, struct err *e);
/* Names as a NULL-terminated list (malloc, one free): options of t, or the tools of the directory.
 */
const char **tooltab_names(const struct tooltab *t);
const char **tooltab_tools(void);
#endif
