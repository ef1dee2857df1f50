/* qa_config - the thresholds of the gates, from a file */
#include "qa.h"
#include "yaml.h"
#include <stdlib.h>
#include <string.h>

struct reader {
    struct yaml_doc d;
    struct err *e;
};

static const struct yaml *section(struct reader *r, const char *name, const char *const *keys)
{
    const struct yaml *m = yaml_get(r->d.root, name);
    if (!r->e->code && !m)
        yaml_err(&r->d, r->d.root, r->e, "%s: missing", name);
    else if (!r->e->code && m->kind != YAML_K_MAP)
        yaml_err(&r->d, m, r->e, "%s: expected a map", name);
    else if (!r->e->code)
        yaml_only(&r->d, m, keys, r->e);
    return r->e->code ? NULL : m;
}

/* A number that must be there and within bounds. */
static double number(struct reader *r, const struct yaml *m, const char *key, double min,
                     double max)
{
    if (r->e->code)
        return 0;
    const struct yaml *v = yaml_get(m, key);
    if (!v) {
        yaml_err(&r->d, m, r->e, "%s: missing", key);
        return 0;
    }
    const double x = yaml_num(&r->d, m, key, 0, r->e);
    if (!r->e->code && !(x >= min && x <= max))
        yaml_err(&r->d, v, r->e, "%s: expected %g to %g", key, min, max);
    return x;
}

static char *text(struct reader *r, const struct yaml *m, const char *key, int needed)
{
    const char *s = yaml_str(&r->d, m, key, NULL, r->e);
    if (!s && needed && !r->e->code)
        yaml_err(&r->d, m, r->e, "%s: missing", key);
    char *copy = s && !r->e->code ? strdup(s) : NULL;
    if (s && !r->e->code && !copy)
        err_set(r->e, ERR_NOMEM, "out of memory");
    return copy;
}

/* The members of a list of maps. */
static int entries(struct reader *r, const struct yaml *m, const char *key, const char *const *keys)
{
    const struct yaml *list = r->e->code ? NULL : yaml_get(m, key);
    int n = 0;
    if (!r->e->code && (!list || list->kind != YAML_K_LIST))
        yaml_err(&r->d, list ? list : m, r->e, "%s: expected a list", key);
    for (const struct yaml *v = r->e->code ? NULL : list->child; v && !r->e->code; v = v->next, n++)
        if (v->kind != YAML_K_MAP)
            yaml_err(&r->d, v, r->e, "%s: expected maps", key);
        else
            yaml_only(&r->d, v, keys, r->e);
    return n;
}

/* Room for n entries and one more, if nothing is wrong so far. */
static void *room(const struct reader *r, int n, size_t size)
{
    void *p = r->e->code ? NULL : calloc((size_t)n + 1, size);
    if (!p)
        err_set(r->e, ERR_NOMEM, "out of memory"); /* the first error stands */
    return p;
}

static void read_metadata(struct reader *r, struct qa_conf *c)
{
    static const char *const keys[] = {"min_ctx",    "max_ctx",     "min_rms_eps", "max_rms_eps",
                                       "rope_theta", "max_padding", NULL},
                             *const of[] = {"arch", "min", "max", NULL};
    const struct yaml *m = section(r, "metadata_plausibility", keys);
    const int n = m ? entries(r, m, "rope_theta", of) : 0;
    c->min_ctx = number(r, m, "min_ctx", 1, 1e9);
    c->max_ctx = number(r, m, "max_ctx", 1, 1e9);
    c->min_eps = number(r, m, "min_rms_eps", 0, 1);
    c->max_eps = number(r, m, "max_rms_eps", 0, 1);
    c->max_padding = number(r, m, "max_padding", 0, 1);
    if (!(c->theta = room(r, n, sizeof *c->theta)))
        return;
    const struct yaml *v = yaml_get(m, "rope_theta")->child;
    for (; v && !r->e->code; v = v->next) {
        struct qa_range *t = &c->theta[c->n_theta++];
        t->arch = text(r, v, "arch", 0);
        t->min = number(r, v, "min", 0, 1e12);
        t->max = number(r, v, "max", 0, 1e12);
    }
}

static void read_golden(struct reader *r, struct qa_conf *c)
{
    static const char *const keys[] = {"max_tokens", "cases", NULL}, *const of[] = {
                                                                         "model", "prompt",
                                                                         "expect", "text", NULL};
    const struct yaml *m = section(r, "golden_output", keys);
    const int n = m ? entries(r, m, "cases", of) : 0;
    c->golden_tokens = (int)number(r, m, "max_tokens", 1, 65536);
    if (!(c->golden = room(r, n, sizeof *c->golden)))
        return;
    const struct yaml *v = yaml_get(m, "cases")->child;
    for (; v && !r->e->code; v = v->next) {
        struct qa_case *g = &c->golden[c->n_golden++];
        g->model = text(r, v, "model", 0);
        g->prompt = text(r, v, "prompt", 1);
        g->exact = yaml_get(v, "text") != NULL;
        if (g->exact && yaml_get(v, "expect"))
            yaml_err(&r->d, v, r->e, "text or expect, not both");
        g->expect = text(r, v, g->exact ? "text" : "expect", 1);
        if (g->expect && !g->expect[0])
            yaml_err(&r->d, v, r->e, "an empty text is in every answer");
    }
}

int qa_conf_load(struct qa_conf *c, const char *path, struct err *e)
{
    static const char *const top[] = {"schema",
                                      "min_executed",
                                      "metadata_plausibility",
                                      "golden_output",
                                      "throughput",
                                      "performance_regression",
                                      "format_parity",
                                      "gpu",
                                      "ollama_parity",
                                      NULL},
                             *const throughput[] = {"min_tok_s", "tokens", "repetitions", NULL},
                             *const regression[] = {"max_drop", NULL},
                             *const formats[] = {"min_cosine", "min_top1", NULL},
                             *const gpu[] = {"min_speedup", "min_cosine", NULL},
                             *const ollama[] = {"min_ratio", NULL};
    struct reader r = {.e = e};
    const struct yaml *m;
    memset(c, 0, sizeof *c);
    if (yaml_load(&r.d, path, e) < 0)
        return e->code;
    if (r.d.root->kind != YAML_K_MAP)
        yaml_err(&r.d, r.d.root, e, "expected a map");
    else if (yaml_only(&r.d, r.d.root, top, e) == 0 &&
             strcmp(yaml_str(&r.d, r.d.root, "schema", "", e), "qa-gates/1"))
        yaml_err(&r.d, r.d.root, e, "schema: expected qa-gates/1");
    c->min_executed = (int)number(&r, r.d.root, "min_executed", 1, QA_N);
    read_metadata(&r, c);
    read_golden(&r, c);
    m = section(&r, "throughput", throughput);
    c->min_tok_s = number(&r, m, "min_tok_s", 0, 1e9);
    c->tokens = (int)number(&r, m, "tokens", 1, 4096);
    c->reps = (int)number(&r, m, "repetitions", 1, 1000);
    m = section(&r, "performance_regression", regression);
    c->max_drop = number(&r, m, "max_drop", 0, 1);
    m = section(&r, "format_parity", formats);
    c->format_cosine = number(&r, m, "min_cosine", 0, 1);
    c->format_top1 = number(&r, m, "min_top1", 0, 1);
    m = section(&r, "gpu", gpu);
    c->gpu_speedup = number(&r, m, "min_speedup", 0, 1e6);
    c->gpu_cosine = number(&r, m, "min_cosine", 0, 1);
    m = section(&r, "ollama_parity", ollama);
    c->ollama_ratio = number(&r, m, "min_ratio", 0, 1e6);
    yaml_free(&r.d);
    if (e->code)
        qa_conf_free(c);
    return e->code;
}

void qa_conf_free(struct qa_conf *c)
{
    for (int i = 0; c->theta && i < c->n_theta; i++)
        free(c->theta[i].arch);
    for (int i = 0; c->golden && i < c->n_golden; i++) {
        free(c->golden[i].model);
        free(c->golden[i].prompt);
        free(c->golden[i].expect);
    }
    free(c->theta);
    free(c->golden);
    memset(c, 0, sizeof *c);
}
