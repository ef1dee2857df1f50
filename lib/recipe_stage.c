/* recipe_stage - one stage of a recipe: its tool, options, inputs, outputs, repetition */
#include "recipe.h"
#include "recipe_impl.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_EACH = 100, MAX_INPUTS = 1000 };

// clang-format off
static const struct recipe_kind kinds[] = {
    {"gguf2apr",    NONE,     ".apr",  NULL},
    {"st2apr",      NONE,     ".apr",  NULL},
    {"apr-distill", DISTILL,  ".apr",  NULL},
    {"apr-lora",    FINETUNE, "",      "adapter_model.safetensors"},
    {"apr-align",   FINETUNE, "",      "adapter_model.safetensors"},
    {"apr-fuse",    FINETUNE, ".apr",  NULL},
    {"apr-merge",   MERGE,    ".apr",  NULL},
    {"apr-prune",   PRUNE,    ".apr",  NULL},
    {"apr-quant",   QUANTIZE, ".apr",  NULL},
    {"apr-compile", COMPILE,  ".bin",  NULL},
    {"apr2gguf",    COMPILE,  ".gguf", NULL},
    {"apr2st",      COMPILE,  "",      "model.safetensors"},
    {"apr-report",  NONE,     ".md",   NULL},
    {"apr-card",    NONE,     ".md",   NULL},
    {"apr-info",    NONE,     ".txt",  NULL},
    {"apr-check",   NONE,     ".txt",  NULL},
    {"apr-ppl",     NONE,     ".txt",  NULL},
    {"apr-random",  NONE,     ".apr",  NULL},
    {NULL,          NONE,     ".jsonl", NULL}};
static const struct recipe_kind whole_model =
    {"apr-lora",    FINETUNE, ".apr",  NULL};
// clang-format on

static int load_tool(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    const struct yaml *at = yaml_get(s->node, "run");
    const char *run = yaml_str(&r->doc, s->node, "run", NULL, e);
    struct err why = {0};
    int rc, k = 0;
    if (!run)
        return e->code ? e->code : yaml_err(&r->doc, s->node, e, "stage %s: no run: TOOL", s->name);
    if (strcmp(run, "import") == 0)
        run = strcmp(r->model.format, "gguf") == 0 ? "gguf2apr" : "st2apr";
    for (int i = 0; i < r->n_tab; i++)
        if (strcmp(r->tab[i].name, run) == 0)
            s->tool = &r->tab[i];
    if (!s->tool) {
        if ((rc = tooltab_load(&r->tab[r->n_tab], run, &why)) < 0) {
            const char **tools = rc == ERR_NOINPUT ? tooltab_tools() : NULL;
            yaml_err(&r->doc, at, e, "run: %s%s", why.msg, recipe_near(r, run, tools));
            free(tools);
            return e->code;
        }
        s->tool = &r->tab[r->n_tab++];
    }
    while (kinds[k].tool && strcmp(kinds[k].tool, run))
        k++;
    s->kind = &kinds[k];
    return 0;
}

/* foreach: bench, or foreach: with one key and its list of values */
static int load_foreach(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    const struct yaml *at = yaml_get(s->node, "foreach");
    int rc;
    if (!at)
        return 0;
    if (at->kind == YAML_K_SCALAR) {
        if (strcmp(at->text, "bench"))
            return yaml_err(&r->doc, at, e,
                            "foreach: expected bench, or a name with a list under it");
        if (!r->bench.n)
            return yaml_err(&r->doc, at, e, "foreach: bench, but the recipe has no bench: list");
        s->var = "bench";
        s->each = r->bench;
        return 0;
    }
    if (at->kind != YAML_K_MAP || at->child->next || !isalpha((unsigned char)at->child->key[0]) ||
        !recipe_name_ok(at->child->key, "_"))
        return yaml_err(&r->doc, at, e,
                        "foreach: expected one name with a list of values under it");
    s->var = at->child->key;
    if ((rc = recipe_texts(r, at->child, &s->each, e)) < 0)
        return rc;
    if (!s->each.n || s->each.n > MAX_EACH)
        return yaml_err(&r->doc, at->child, e, "foreach: expected 1 to %d values", MAX_EACH);
    for (int i = 0; i < s->each.n; i++) {
        if (!recipe_name_ok(s->each.v[i], "-_."))
            return yaml_err(&r->doc, at->child, e, "foreach: '%.60s' cannot be part of a file name",
                            s->each.v[i]);
        for (int j = 0; j < i; j++)
            if (strcmp(s->each.v[i], s->each.v[j]) == 0)
                return yaml_err(&r->doc, at->child, e, "foreach: '%.60s' is there twice",
                                s->each.v[i]);
    }
    return 0;
}

/* The next $word (a letter first: "$5" is a text) of s, its length with the $; or NULL. */
const char *recipe_var(const char *s, size_t *n)
{
    while ((s = strchr(s, '$')) && !isalpha((unsigned char)s[1]))
        s++;
    *n = s ? 1 : 0;
    while (s && (isalnum((unsigned char)s[*n]) || s[*n] == '_'))
        ++*n;
    return s;
}

/* Every $word of a text must be the stage's foreach variable. */
static int check_vars(struct recipe *r, const struct recipe_stage *s, const struct yaml *n,
                      struct err *e)
{
    size_t k;
    for (const char *p = recipe_var(n->text, &k); p; p = recipe_var(p + k, &k))
        if (!s->var || strlen(s->var) != k - 1 || strncmp(p + 1, s->var, k - 1))
            return yaml_err(&r->doc, n, e, "'%.*s' is not the variable of a foreach in this stage",
                            (int)k, p);
    return 0;
}

int recipe_stage_index(const struct recipe *r, const char *name, size_t n)
{
    for (int i = 0; i < r->n_stage; i++)
        if (strlen(r->stage[i].name) == n && strncmp(r->stage[i].name, name, n) == 0)
            return i;
    return -1;
}

static const char *option_or_near(struct recipe *r, const struct recipe_stage *s, const char *key)
{
    const char **names = tooltab_names(s->tool), *near = recipe_near(r, key, names);
    free(names);
    return near;
}

/* A given option: everything but the reserved keys. */
static int load_option(struct recipe *r, struct recipe_stage *s, const struct yaml *n,
                       struct err *e)
{
    struct yaml key = {.line = n->key_line, .col = n->key_col};
    struct recipe_set *set = &s->set[s->n_set];
    struct recipe_list l = {0};
    struct err why = {0};
    size_t k;
    int rc;
    set->opt = tooltab_opt(s->tool, n->key);
    if (!set->opt)
        return yaml_err(&r->doc, &key, e, "unknown key '%.60s': %s has no option --%.60s%s", n->key,
                        s->tool->name, n->key, option_or_near(r, s, n->key));
    if (strcmp(n->key, "output") == 0)
        return yaml_err(&r->doc, &key, e, "output: the recipe names the outputs itself");
    if (strcmp(set->opt->type, "list") && n->kind != YAML_K_SCALAR)
        return yaml_err(&r->doc, n, e, "%s: expected one value of type %s, found a %s", n->key,
                        set->opt->type, n->kind == YAML_K_LIST ? "list" : "map");
    if ((rc = recipe_texts(r, n, &l, e)) < 0)
        return rc;
    set->v = l.v;
    set->n = l.n;
    for (const struct yaml *m = n->kind == YAML_K_LIST ? n->child : n; m; m = m->next) {
        if ((rc = check_vars(r, s, m, e)) < 0)
            return rc;
        if (strpbrk(m->text, "\n\r"))
            return yaml_err(&r->doc, m, e, "%s: a line end in a value", n->key);
        if (!recipe_var(m->text, &k) && toolopt_check(set->opt, m->text, &why) < 0)
            return yaml_err(&r->doc, m, e, "%s", why.msg);
        if (strcmp(set->opt->type, "string") == 0 &&
            recipe_stage_index(r, m->text, strlen(m->text)) >= 0)
            return yaml_err(&r->doc, m, e, "%s: %s is a stage: write it under inputs:", n->key,
                            m->text);
        if (n->kind != YAML_K_LIST)
            break;
    }
    s->n_set++;
    return 0;
}

/* One input: model, STAGE, STAGE.OPTION, catalog:NAME, or a path with a slash. */
static int load_ref(struct recipe *r, struct recipe_stage *s, const struct yaml *n, const char *opt,
                    struct err *e)
{
    struct recipe_ref *ref = &s->ref[s->n_ref];
    const char *t = n->text, *dot;
    size_t k;
    int rc;
    if (n->kind != YAML_K_SCALAR)
        return yaml_err(&r->doc, n, e,
                        "an input is a text: model, a stage, catalog:NAME or a path");
    if ((rc = check_vars(r, s, n, e)) < 0)
        return rc;
    *ref = (struct recipe_ref){.at = n, .opt = opt, .text = t, .stage = -1};
    s->n_ref++;
    if (strcmp(t, "model") == 0) {
        ref->kind = REF_MODEL;
        return 0;
    }
    const int from_catalog = strncmp(t, "catalog:", 8) == 0;
    if (from_catalog || strchr(t, '/')) {
        ref->kind = from_catalog ? REF_CATALOG : REF_FILE;
        ref->text = ref->kind == REF_CATALOG ? t + 8 : t;
        char plain[300];
        snprintf(plain, sizeof plain, "%s", ref->text);
        for (char *p = plain; (p = strchr(p, '$'));)
            *p = '_';
        return recipe_path_ok(plain) && strlen(t) < sizeof plain
                   ? 0
                   : yaml_err(&r->doc, n, e,
                              "'%.100s': a path of letters, digits and . _ - + , @ / was expected",
                              t);
    }
    ref->kind = REF_STAGE;
    dot = strchr(t, '.');
    k = dot ? (size_t)(dot - t) : strlen(t);
    if ((ref->stage = recipe_stage_index(r, t, k)) < 0) {
        struct recipe_list names = {0};
        for (int i = 0; i < r->n_stage; i++)
            recipe_push(r, &names, r->stage[i].name);
        recipe_push(r, &names, "model");
        recipe_push(r, &names, NULL);
        return yaml_err(&r->doc, n, e,
                        "missing input '%.60s': no such stage%s (a file is written with a slash)",
                        t, recipe_near(r, t, names.v));
    }
    ref->side = dot ? dot + 1 : NULL;
    return 0;
}

static int load_refs(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    const struct yaml *in = yaml_get(s->node, "in"), *named = yaml_get(s->node, "inputs");
    int n = 0, rc;
    if (named && named->kind != YAML_K_MAP)
        return yaml_err(&r->doc, named, e, "inputs: expected OPTION: INPUT, one a line");
    for (const struct yaml *m = in ? in->child : NULL; m; m = m->next)
        n++;
    for (const struct yaml *m = named ? named->child : NULL; m; m = m->next) {
        n++;
        for (const struct yaml *k = m->child; k; k = k->next)
            n++;
    }
    if (n > MAX_INPUTS)
        return yaml_err(&r->doc, s->node, e, "stage %s: more than %d inputs", s->name, MAX_INPUTS);
    s->ref = recipe_bytes(r, ((size_t)n + 1) * sizeof *s->ref);
    if (!s->ref)
        return ERR_NOMEM;
    if (in && in->kind == YAML_K_MAP)
        return yaml_err(&r->doc, in, e,
                        "in: expected one input, or a list of inputs, each after '- '");
    for (const struct yaml *m = in && in->kind == YAML_K_LIST ? in->child : in; m; m = m->next) {
        if ((rc = load_ref(r, s, m, NULL, e)) < 0)
            return rc;
        if (m == in)
            break;
    }
    for (const struct yaml *m = named ? named->child : NULL; m; m = m->next) {
        const struct toolopt *o = tooltab_opt(s->tool, m->key);
        struct yaml key = {.line = m->key_line, .col = m->key_col};
        if (!o || (strcmp(o->type, "string") && strcmp(o->type, "list")))
            return yaml_err(&r->doc, &key, e,
                            "inputs: %s has no option --%.60s that takes a file%s", s->tool->name,
                            m->key, option_or_near(r, s, m->key));
        if (m->kind == YAML_K_LIST && strcmp(o->type, "list"))
            return yaml_err(&r->doc, m, e, "%s: expected one input, found a list", m->key);
        for (const struct yaml *k = m->kind == YAML_K_LIST ? m->child : m; k; k = k->next) {
            if ((rc = load_ref(r, s, k, m->key, e)) < 0)
                return rc;
            if (k == m)
                break;
        }
    }
    return 0;
}

static int load_outputs(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    const struct yaml *at = yaml_get(s->node, "outputs");
    if (at && at->kind != YAML_K_MAP)
        return yaml_err(&r->doc, at, e, "outputs: expected OPTION: EXTENSION, one a line");
    for (const struct yaml *m = at ? at->child : NULL; m; m = m->next) {
        const struct toolopt *o = tooltab_opt(s->tool, m->key);
        struct yaml key = {.line = m->key_line, .col = m->key_col};
        if (!o || strcmp(o->type, "string") || strcmp(m->key, "output") == 0)
            return yaml_err(&r->doc, &key, e,
                            "outputs: %s has no option --%.60s that names a file%s", s->tool->name,
                            m->key, option_or_near(r, s, m->key));
        if (m->kind != YAML_K_SCALAR || !recipe_name_ok(m->text, "."))
            return yaml_err(&r->doc, m, e, "outputs: expected an extension such as jsonl");
        if (s->n_out == (int)(sizeof s->out / sizeof *s->out))
            return yaml_err(&r->doc, m, e, "outputs: more than %d", s->n_out);
        s->out[s->n_out++] = (struct recipe_out){m->key, m->text};
    }
    return 0;
}

/* apr-lora writes a model, not an adapter, with method full. */
static int choose_kind(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    size_t n;
    if (strcmp(s->tool->name, "apr-lora"))
        return 0;
    for (int i = 0; i < s->n_set; i++) {
        if (strcmp(s->set[i].opt->name, "method"))
            continue;
        if (recipe_var(s->set[i].v[0], &n))
            return yaml_err(&r->doc, yaml_get(s->node, "method"), e,
                            "method: decides what the stage writes, so that no variable may");
        if (strcmp(s->set[i].v[0], "full") == 0)
            s->kind = &whole_model;
    }
    return 0;
}

int recipe_load_stage(struct recipe *r, struct recipe_stage *s, struct err *e)
{
    static const char *const own[] = {"run", "in",   "inputs",  "outputs", "uses",
                                      "doc", "show", "foreach", NULL};
    int rc, n = 2; /* room for an alert's options */
    const char *show;
    for (const struct yaml *m = s->node->child; m; m = m->next)
        n++;
    s->set = recipe_bytes(r, (size_t)n * sizeof *s->set);
    if (!s->set)
        return ERR_NOMEM;
    s->doc = yaml_str(&r->doc, s->node, "doc", "", e);
    s->uses = yaml_str(&r->doc, s->node, "uses", NULL, e);
    show = yaml_str(&r->doc, s->node, "show", "false", e);
    s->show = strcmp(show, "true") == 0;
    if (e->code)
        return e->code;
    if (s->uses && strcmp(s->uses, "cpu") && strcmp(s->uses, "gpu"))
        return yaml_err(&r->doc, yaml_get(s->node, "uses"), e,
                        "uses: expected cpu or gpu, found '%.40s'", s->uses);
    if (!s->show && strcmp(show, "false"))
        return yaml_err(&r->doc, yaml_get(s->node, "show"), e,
                        "show: expected true or false, found '%.40s'", show);
    if (strpbrk(s->doc, "\n\r"))
        return yaml_err(&r->doc, yaml_get(s->node, "doc"), e, "doc: a line end in a value");
    if ((rc = load_tool(r, s, e)) < 0 || (rc = load_foreach(r, s, e)) < 0 ||
        (rc = load_refs(r, s, e)) < 0 || (rc = load_outputs(r, s, e)) < 0)
        return rc;
    for (const struct yaml *m = s->node->child; m; m = m->next) {
        const char *const *k = own;
        while (*k && strcmp(*k, m->key))
            k++;
        if (!*k && (rc = load_option(r, s, m, e)) < 0)
            return rc;
        for (int i = 0; !*k && i < s->n_ref + s->n_out; i++) {
            const char *opt = i < s->n_ref ? s->ref[i].opt : s->out[i - s->n_ref].opt;
            if (opt && strcmp(opt, m->key) == 0)
                return yaml_err(&r->doc, m, e, "%s: given twice, as an option and as a file",
                                m->key);
        }
    }
    return choose_kind(r, s, e);
}
