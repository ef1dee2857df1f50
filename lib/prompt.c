/* prompt - fill a strategy's text with a problem */
#include "prompt.h"
#include "json.h"
#include "paths.h"
#include "yaml.h"
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

int prompt_load(struct prompt *p, const char *strategy, struct err *e)
{
    static const char *const keys[] = {"strategy", "humaneval", "mbpp", "system", NULL};
    char file[PATH_MAX], path[PATH_MAX];
    const char *name, *he, *mbpp, *sys;
    struct yaml_doc d;
    size_t n = strlen(strategy);
    int rc;
    memset(p, 0, sizeof *p);
    if (n > 5 && !strcmp(strategy + n - 5, ".yaml"))
        snprintf(file, sizeof file, "%s", strategy);
    else if (strchr(strategy, '/'))
        return err_set(e, ERR_NOINPUT, "%s: a strategy is a name or a .yaml file", strategy);
    else
        snprintf(file, sizeof file, "configs/prompts/%.200s.yaml", strategy);
    if ((rc = paths_find(file, path, sizeof path, e)) < 0 || (rc = yaml_load(&d, path, e)) < 0)
        return rc;
    if (!d.root || d.root->kind != YAML_K_MAP)
        rc = yaml_err(&d, d.root, e, "expected a map");
    else
        rc = yaml_only(&d, d.root, keys, e);
    if (rc == 0) {
        name = yaml_str(&d, d.root, "strategy", strategy, e);
        he = yaml_str(&d, d.root, "humaneval", NULL, e);
        mbpp = yaml_str(&d, d.root, "mbpp", NULL, e);
        sys = yaml_str(&d, d.root, "system", NULL, e);
        rc = e->code;
        if (rc == 0) {
            p->strategy = dup(name);
            p->humaneval = dup(he);
            p->mbpp = dup(mbpp);
            p->system = dup(sys);
            if (!p->strategy || !p->humaneval != !he || !p->mbpp != !mbpp || !p->system != !sys)
                rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
        }
    }
    yaml_free(&d);
    if (rc < 0)
        prompt_free(p);
    return rc;
}

void prompt_free(struct prompt *p)
{
    free(p->strategy);
    free(p->humaneval);
    free(p->mbpp);
    free(p->system);
    memset(p, 0, sizeof *p);
}

static char *tests_text(const struct bench_task *t)
{
    size_t n = 1;
    char *s, *p;
    for (int i = 0; i < t->n_tests; i++)
        n += strlen(t->tests[i]) + 1;
    if (!(s = p = malloc(n)))
        return NULL;
    *p = 0;
    for (int i = 0; i < t->n_tests; i++)
        p = stpcpy(stpcpy(p, i ? "\n" : ""), t->tests[i]);
    return s;
}

char *prompt_text(const struct prompt *p, const struct bench *b, const struct bench_task *t,
                  struct err *e)
{
    const char *text = b->mbpp ? p->mbpp : p->humaneval;
    size_t n_prompt = strlen(t->prompt), len = 0;
    char *tests, *out = NULL;
    FILE *f;
    if (!text) {
        err_set(e, ERR_CONFIG, "strategy %s has no text for the format %s", p->strategy,
                b->mbpp ? "mbpp" : "humaneval");
        return NULL;
    }
    if (!b->mbpp)
        while (n_prompt && isspace((unsigned char)t->prompt[n_prompt - 1]))
            n_prompt--;
    tests = tests_text(t);
    f = open_memstream(&out, &len);
    if (tests && f) {
        for (const char *s = text; *s;) {
            const char *field = b->mbpp ? "{text}" : "{prompt}";
            if (!strncmp(s, field, strlen(field))) {
                fwrite(t->prompt, 1, n_prompt, f);
                s += strlen(field);
            } else if (!strncmp(s, "{tests}", 7)) {
                fputs(tests, f);
                s += 7;
            } else {
                fputc(*s++, f);
            }
        }
    }
    free(tests);
    if (!f || fclose(f) != 0 || !tests) {
        free(out);
        err_set(e, ERR_NOMEM, "%s: out of memory", t->task_id);
        return NULL;
    }
    return out;
}
