/* parity_config - the prompt and the thresholds of a comparison, from a file */
#include "parity.h"
#include "paths.h"
#include "yaml.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static double number(const struct yaml_doc *d, const struct yaml *m, const char *key, double min,
                     double max, struct err *e)
{
    const struct yaml *v = e->code ? NULL : yaml_get(m, key);
    if (!v) {
        if (!e->code)
            yaml_err(d, m, e, "%s: missing", key);
        return 0;
    }
    const double x = yaml_num(d, m, key, 0, e);
    if (!e->code && !(x >= min && x <= max))
        yaml_err(d, v, e, "%s: expected %g to %g, found %g", key, min, max, x);
    return x;
}

static void limits(struct parity_limits *l, const struct yaml_doc *d, const char *name,
                   struct err *e)
{
    static const char *const keys[] = {"op", "layer", "logits", "tokens", "bits", NULL};
    const struct yaml *m = e->code ? NULL : yaml_get(d->root, name);
    if (e->code)
        return;
    if (!m || m->kind != YAML_K_MAP) {
        yaml_err(d, m ? m : d->root, e, "%s: expected a map of thresholds", name);
        return;
    }
    yaml_only(d, m, keys, e);
    l->op = number(d, m, "op", -1, 1, e);
    l->layer = number(d, m, "layer", -1, 1, e);
    l->logits = number(d, m, "logits", -1, 1, e);
    l->tokens = number(d, m, "tokens", 0, 1, e);
    l->bits = (int)number(d, m, "bits", 0, 1, e);
}

int parity_conf_load(struct parity_conf *c, const char *path, struct err *e)
{
    static const char *const top[] = {"schema",  "prompt", "positions", "singly", "exact",
                                      "rounded", "float",  "ref",       NULL};
    char found[PATH_MAX];
    struct yaml_doc d;
    memset(c, 0, sizeof *c);
    if (!path && paths_find("configs/parity.yaml", found, sizeof found, e) < 0)
        return e->code;
    if (yaml_load(&d, path ? path : found, e) < 0)
        return e->code;
    if (d.root->kind != YAML_K_MAP)
        yaml_err(&d, d.root, e, "expected a map");
    else if (yaml_only(&d, d.root, top, e) == 0 &&
             strcmp(yaml_str(&d, d.root, "schema", "", e), "parity-limits/1"))
        yaml_err(&d, d.root, e, "schema: expected parity-limits/1");
    c->positions = (int)number(&d, d.root, "positions", PARITY_LEAST, 512, e);
    c->singly = (int)number(&d, d.root, "singly", 0, 256, e);
    const char *prompt = e->code ? NULL : yaml_str(&d, d.root, "prompt", NULL, e);
    if (!e->code && (!prompt || !*prompt))
        yaml_err(&d, d.root, e, "prompt: missing");
    limits(&c->exact, &d, "exact", e);
    limits(&c->rounded, &d, "rounded", e);
    limits(&c->flt, &d, "float", e);
    limits(&c->ref, &d, "ref", e);
    if (!e->code && !(c->prompt = strdup(prompt)))
        err_set(e, ERR_NOMEM, "out of memory");
    yaml_free(&d);
    return e->code;
}

void parity_conf_free(struct parity_conf *c)
{
    free(c->prompt);
    memset(c, 0, sizeof *c);
}
